//! Declaration: definition text → table (spec: definition §4-§7, §9, §10, §14).

use crate::definition::{ForeignKeyLine, TableName, Tier};
use crate::error::Result;

/// What to declare.
pub struct Declare<'a> {
    /// Schema.
    pub schema: &'a str,
    /// Class name (`Subject`; for a part the part's own, `Trial`).
    pub class_name: &'a str,
    /// Tier; `Part` needs `master`.
    pub tier: Tier,
    /// The master of a part.
    pub master: Option<&'a TableName>,
    /// Definition text.
    pub definition: &'a str,
    /// Hidden columns asked for by the settings.
    pub hidden: HiddenColumns,
    /// Resolves the target of a foreign-key line to a declared table and renames.
    pub resolve: &'a mut dyn FnMut(&ForeignKeyLine) -> Result<ForeignKeyTarget>,
}

/// Hidden columns that the settings ask for (spec: definition §6). They only apply to their tiers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HiddenColumns {
    /// `jobs.add_job_metadata`: for Imported and Computed.
    pub job_metadata: bool,
    /// `provenance.capture`: for Manual.
    pub provenance: bool,
}

/// The resolved target of a foreign-key line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKeyTarget {
    /// The parent.
    pub table: TableName,
    /// (new, old) renames.
    pub renames: Vec<(String, String)>,
}

/// What was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The table.
    pub table: TableName,
    /// Things the user should hear about: duplicates ignored, native types, own key attributes of a computed table.
    pub warnings: Vec<String>,
}
