//! Options and reports of the verbs, as plain structs with documented defaults. The front doors derive theirs from them.

use std::path::PathBuf;

use crate::definition::TableName;
use crate::progress::{Progress, Silent};

/// How to insert (spec: manipulation §1).
#[derive(Clone, Copy)]
pub struct InsertOptions<'a> {
    /// Replace rows whose primary key is there already; attributes not given get their defaults.
    pub replace: bool,
    /// Keep rows whose primary key is there already, and skip those offered.
    pub skip_duplicates: bool,
    /// Ignore names that the table does not have, instead of refusing them.
    pub ignore_extra_fields: bool,
    /// Allow inserting into an Imported or Computed table outside its `make`.
    pub allow_direct_insert: bool,
    /// Commit so many rows at a time. Unset: all rows or none.
    pub chunk_size: Option<usize>,
    /// With `chunk_size`: still all rows or none.
    pub atomic: bool,
    /// Bytes that may be between encoding and the store at any time, unless a single row is larger. None: the setting
    /// `lode.bytes_in_flight`.
    pub bytes_in_flight: Option<u64>,
    /// Listener; also asked whether to stop.
    pub progress: &'a dyn Progress,
}

impl Default for InsertOptions<'_> {
    fn default() -> Self {
        InsertOptions {
            replace: false,
            skip_duplicates: false,
            ignore_extra_fields: false,
            allow_direct_insert: false,
            chunk_size: None,
            atomic: false,
            bytes_in_flight: None,
            progress: &Silent,
        }
    }
}

/// What to fetch and how (spec: queries §13). `order_by`, `limit` and `offset` act as `Top` does: a limit or an offset
/// alone implies the order of the primary key.
#[derive(Clone)]
pub struct FetchOptions<'a> {
    /// Attributes in the wanted order; none means all, in heading order.
    pub columns: Option<Vec<String>>,
    /// Order terms: `"KEY"`, `"a"`, `"a DESC"`.
    pub order_by: Vec<String>,
    /// At most so many rows.
    pub limit: Option<u64>,
    /// Skip so many rows.
    pub offset: u64,
    /// Decode codec columns. If false they come in stored form (bytes, JSON text).
    pub decode: bool,
    /// Where `<attach>` writes its files; unset means the configured `download_path`.
    pub download_path: Option<PathBuf>,
    /// Listener; also asked whether to stop.
    pub progress: &'a dyn Progress,
}

impl Default for FetchOptions<'_> {
    fn default() -> Self {
        FetchOptions {
            columns: None,
            order_by: Vec::new(),
            limit: None,
            offset: 0,
            decode: true,
            download_path: None,
            progress: &Silent,
        }
    }
}

impl FetchOptions<'_> {
    /// Fetches only these attributes, in this order.
    pub fn columns<I: IntoIterator<Item = S>, S: Into<String>>(names: I) -> Self {
        FetchOptions {
            columns: Some(names.into_iter().map(Into::into).collect()),
            ..Self::default()
        }
    }
}

/// What a delete or drop does about parts whose master stays (spec: manipulation §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartIntegrity {
    /// Refuse to delete a part row whose master row stays.
    #[default]
    Enforce,
    /// Delete part rows alone.
    Ignore,
    /// Delete the master rows as well, with everything below them.
    Cascade,
}

/// Asks the person; gets every affected table with its number of rows, parents first.
pub type Confirm<'a> = &'a mut dyn FnMut(&[(TableName, u64)]) -> bool;

/// How to delete (spec: manipulation §4, §12.3, §12.10).
pub struct DeleteOptions<'a> {
    /// True: join an open transaction or make one. False: never ask; an open transaction is still joined, and without one
    /// the delete makes its own, because half a cascade helps nobody.
    pub transaction: bool,
    /// What to do about parts whose master stays.
    pub part_integrity: PartIntegrity,
    /// Only count.
    pub dry_run: bool,
    /// Asked before anything is deleted; no lock is held meanwhile.
    pub confirm: Option<Confirm<'a>>,
    /// Listener.
    pub progress: &'a dyn Progress,
}

impl Default for DeleteOptions<'_> {
    fn default() -> Self {
        DeleteOptions {
            transaction: true,
            part_integrity: PartIntegrity::Enforce,
            dry_run: false,
            confirm: None,
            progress: &Silent,
        }
    }
}

/// What a delete did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteReport {
    /// Rows deleted from the table itself; 0 when declined or on a dry run.
    pub deleted: u64,
    /// Affected rows of every table, parents first; tables without affected rows are included with 0.
    pub counts: Vec<(TableName, u64)>,
    /// True if the rows are gone.
    pub executed: bool,
    /// Objects that the deleted rows referred to and that now await collection.
    pub dropped_objects: u64,
    /// Objects removed at once (`lode.objects_on_delete = "immediate"`).
    pub collected_objects: u64,
}

/// How to drop (spec: manipulation §4.9).
#[derive(Default)]
pub struct DropOptions<'a> {
    /// `Enforce` or `Ignore`.
    pub part_integrity: PartIntegrity,
    /// Only tell which tables would go.
    pub dry_run: bool,
    /// Asked before anything is dropped.
    pub confirm: Option<Confirm<'a>>,
}

/// One finding of [`Table::validate`](super::Table::validate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationIssue {
    /// Zero-based row index.
    pub row: usize,
    /// The attribute, if it concerns one.
    pub attribute: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// What `validate` found (spec: manipulation §2, §12.14).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validation {
    /// Findings, by row.
    pub issues: Vec<ValidationIssue>,
    /// Rows looked at.
    pub rows: usize,
}

impl Validation {
    /// True without findings.
    pub fn is_valid(&self) -> bool {
        self.issues.is_empty()
    }

    /// One line of success, or a headline, at most ten findings and the number of the others.
    pub fn summary(&self) -> String {
        if self.is_valid() {
            return format!("Validation passed: {} rows checked", self.rows);
        }
        let mut text = format!(
            "Validation failed: {} errors in {} rows",
            self.issues.len(),
            self.rows
        );
        for issue in self.issues.iter().take(10) {
            let place = issue
                .attribute
                .as_ref()
                .map(|a| format!(", attribute {a}"))
                .unwrap_or_default();
            text.push_str(&format!("\n  row {}{place}: {}", issue.row, issue.message));
        }
        if self.issues.len() > 10 {
            text.push_str(&format!("\n  … and {} more", self.issues.len() - 10));
        }
        text
    }
}
