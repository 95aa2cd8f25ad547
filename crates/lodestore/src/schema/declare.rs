//! Declaration: definition text → table (spec: definition §4-§7, §9, §10, §14).

use indexmap::{IndexMap, IndexSet};

use super::reading::{column_kind, resolve, type_of, without_numbering};
use super::{Lode, lineage};
use crate::config::Config;
use crate::definition::{
    AttributeLine, CoreType, Default, ForeignKeyLine, Item, ItemKind, Marker, Section, StorageType,
    TableName, Tier, Type, parse,
};
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::sql::{ColumnSpec, ForeignKeySpec, IndexSpec, TableSpec};

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

impl HiddenColumns {
    /// What the settings ask for.
    pub fn of(config: &Config) -> HiddenColumns {
        HiddenColumns {
            job_metadata: config.get_bool("jobs.add_job_metadata"),
            provenance: config.get_bool("provenance.capture"),
        }
    }
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
    /// It was not there before.
    pub created: bool,
    /// Things the user should hear about: duplicates ignored, native types, own key attributes of a computed table.
    pub warnings: Vec<String>,
}

pub(super) fn declare(lode: &Lode, declare: Declare<'_>) -> Result<Declared> {
    let table = table_name(lode, &declare)?;
    let snapshot = lode.snapshot_with(&table)?;
    // Where a table was declared a moment ago, there is a schema.
    if snapshot.tables.is_empty() && snapshot.stale().is_empty() {
        lode.require_schema(&table.schema)?;
    }
    if snapshot.table(&table.name).is_some() {
        return Ok(Declared {
            table,
            created: false,
            warnings: Vec::new(),
        });
    }
    if lode.in_transaction() {
        return Err(
            Error::invalid("a table cannot be declared inside a transaction")
                .table(&table.schema, &table.name)
                .hint("Declare it before the transaction begins."),
        );
    }
    let place = |e: Error| e.table(&table.schema, &table.name);
    let mut compiled = compile(lode, &table, declare).map_err(place)?;
    lode.backend()
        .known_types(&mut compiled.spec)
        .map_err(place)?;
    let statements = lode
        .dialect()
        .create_table(&compiled.spec)
        .map_err(|e| place(compiled.point_at_index(e)))?;
    let result = match lode.dialect().transactional_ddl() {
        true => lode.transaction(|| {
            lode.run(statements)?;
            lineage::replace_within(lode, &table, &compiled.lineage)
        }),
        // The table comes last, in one statement: when it is there, nothing is missing.
        false => {
            lineage::replace(lode, &table, &compiled.lineage).and_then(|()| lode.run(statements))
        }
    };
    lode.refresh_table(&table);
    match result {
        Ok(()) => Ok(Declared {
            table,
            created: true,
            warnings: compiled.warnings,
        }),
        // Another process may have declared the very table meanwhile.
        Err(_) if lode.is_declared(&table)? => Ok(Declared {
            table,
            created: false,
            warnings: compiled.warnings,
        }),
        Err(error) => {
            if !lode.dialect().transactional_ddl() {
                // Rows of a table that is not there do no harm; the error to tell is the first one.
                let _ = lineage::remove(lode, &table);
            }
            lode.refresh(&table.schema);
            Err(place(error))
        }
    }
}

/// Derives the lineage of a declared table from its definition, if its primary key lacks some.
pub(super) fn restore_lineage(lode: &Lode, declare: Declare<'_>) -> Result<bool> {
    let table = table_name(lode, &declare)?;
    let snapshot = lode.snapshot_with(&table)?;
    let found = snapshot.require(&table.name)?;
    let known = |column: &String| snapshot.origin(&table.name, column).is_some();
    if found.primary_key.iter().all(known) || lode.in_transaction() {
        return Ok(false);
    }
    let compiled =
        compile(lode, &table, declare).map_err(|e| e.table(&table.schema, &table.name))?;
    // Of a definition that has changed since only what the table has counts.
    let present = |name: &str| found.columns.iter().any(|c| c.name == name);
    let rows: Vec<(String, String)> = compiled
        .lineage
        .into_iter()
        .filter(|(name, _)| present(name))
        .collect();
    let result = lineage::replace(lode, &table, &rows);
    lode.refresh_table(&table);
    result.map(|()| true)
}

pub(super) fn table_name(lode: &Lode, declare: &Declare<'_>) -> Result<TableName> {
    let table = match (declare.tier, declare.master) {
        (Tier::Part, Some(master)) => TableName::part_of(master, declare.class_name)?,
        (Tier::Part, None) => {
            return Err(Error::invalid(format!(
                "the part `{}` has no master",
                declare.class_name
            )));
        }
        (Tier::Hidden | Tier::Other, _) => {
            return Err(Error::invalid(format!(
                "`{}` has no tier that can be declared",
                declare.class_name
            )));
        }
        (tier, _) => TableName::of_class(declare.schema, tier, declare.class_name)?,
    };
    let limit = lode.dialect().max_table_name();
    if table.name.len() > limit {
        let length = table.name.len();
        return Err(Error::invalid(format!(
            "the stored name `{}` has {length} characters; the limit is {limit}",
            table.name
        ))
        .table(&table.schema, &table.name)
        .hint("Choose a shorter class name."));
    }
    Ok(table)
}

pub(super) struct Compiled {
    pub(super) spec: TableSpec,
    /// New name → old name, as `{old}` at the head of a comment says.
    pub(super) renames: IndexMap<String, String>,
    index_lines: Vec<Item>,
    /// (attribute, origin).
    lineage: Vec<(String, String)>,
    warnings: Vec<String>,
}

struct Compiler<'a> {
    lode: &'a Lode,
    table: &'a TableName,
    columns: IndexMap<String, ColumnSpec>,
    primary_key: IndexSet<String>,
    foreign_keys: Vec<ForeignKeySpec>,
    indexes: Vec<IndexSpec>,
    lineage: IndexMap<String, String>,
    renames: IndexMap<String, String>,
    warnings: Vec<String>,
}

pub(super) fn compile(lode: &Lode, table: &TableName, declare: Declare<'_>) -> Result<Compiled> {
    let definition = parse(declare.definition)?;
    let mut compiler = Compiler {
        lode,
        table,
        columns: IndexMap::new(),
        primary_key: IndexSet::new(),
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        lineage: IndexMap::new(),
        renames: IndexMap::new(),
        warnings: Vec::new(),
    };
    for item in &definition.items {
        let primary = item.section == Section::Primary;
        let line = |e: Error| item.point(e);
        match &item.kind {
            ItemKind::Attribute(attribute) => {
                compiler.attribute(attribute, primary).map_err(line)?
            }
            ItemKind::ForeignKey(key) => {
                let target = (declare.resolve)(key).map_err(line)?;
                compiler.foreign_key(key, &target, primary).map_err(line)?;
            }
            ItemKind::Index(index) => {
                compiler.indexes.push(IndexSpec {
                    unique: index.unique,
                    terms: index.terms.clone(),
                });
            }
        }
    }
    compiler.hidden_columns(declare.tier, declare.hidden);
    if matches!(declare.tier, Tier::Imported | Tier::Computed) {
        compiler.warn_about_own_keys();
    }
    Ok(Compiled {
        spec: TableSpec {
            schema: table.schema.clone(),
            table: table.name.clone(),
            comment: definition.comment,
            columns: compiler.columns.into_values().collect(),
            primary_key: compiler.primary_key.into_iter().collect(),
            foreign_keys: compiler.foreign_keys,
            indexes: compiler.indexes,
        },
        renames: compiler.renames,
        index_lines: definition
            .items
            .into_iter()
            .filter(|item| matches!(item.kind, ItemKind::Index(_)))
            .collect(),
        lineage: compiler.lineage.into_iter().collect(),
        warnings: compiler.warnings,
    })
}

impl Compiled {
    /// What is wrong with an index shows when its SQL is made; here its line comes back.
    fn point_at_index(&self, error: Error) -> Error {
        let term = error.place().attribute.clone();
        let names_it = |item: &&Item| matches!((&item.kind, &term), (ItemKind::Index(index), Some(term)) if index.terms.contains(term));
        match self.index_lines.iter().find(names_it) {
            Some(item) => item.point(error),
            None => error,
        }
    }
}

impl Compiler<'_> {
    fn own_origin(&self, attribute: &str) -> String {
        format!("{}.{}.{attribute}", self.table.schema, self.table.name)
    }

    fn attribute(&mut self, line: &AttributeLine, primary: bool) -> Result<()> {
        if self.columns.contains_key(&line.name) {
            self.warnings.push(format!(
                "attribute `{}` is defined already; the later line is ignored",
                line.name
            ));
            return Ok(());
        }
        let storage = self
            .storage(&line.type_)
            .map_err(|e| e.attribute(&line.name))?;
        storage
            .check_default(&line.default)
            .map_err(|e| e.attribute(&line.name))?;
        if primary {
            storage.check_key().map_err(|e| e.attribute(&line.name))?;
            if line.default == Default::Null {
                return Err(Error::new(
                    ErrorKind::Definition,
                    "a primary-key attribute cannot be null",
                )
                .attribute(&line.name));
            }
            self.primary_key.insert(line.name.clone());
            self.lineage
                .insert(line.name.clone(), self.own_origin(&line.name));
        }
        if let Type::Native(native) = &line.type_ {
            self.warnings.push(format!(
                "attribute `{}` has the native type `{}`, which not every database has; core types are portable",
                line.name, native.text
            ));
        }
        // What a column was called before is a note for `alter`, not part of what is stored.
        let (old, comment) = former_name(&line.comment);
        if let Some(old) = old {
            self.renames.insert(line.name.clone(), old.to_owned());
        }
        let comment = self.marked(&line.type_, comment);
        self.columns.insert(
            line.name.clone(),
            ColumnSpec {
                name: line.name.clone(),
                storage,
                default: line.default.clone(),
                nullable: false,
                comment,
                inherited: false,
                known_type: None,
            },
        );
        Ok(())
    }

    fn storage(&self, type_: &Type) -> Result<StorageType> {
        match resolve(Some(type_), self.lode.codecs()) {
            (Some(storage), _) => Ok(storage),
            (None, Some(Err(error))) => Err(error),
            (None, _) => Err(Error::new(
                ErrorKind::Definition,
                format!("the type `{type_}` is not known"),
            )),
        }
    }

    /// The column comment with its marker. Elsewhere native columns go without one, as the reference writes them; on
    /// SQLite the storage class says too little (spec: definition §5, §12).
    fn marked(&self, type_: &Type, comment: &str) -> String {
        match type_ {
            Type::Native(_) if !self.lode.dialect().marks_native_types() => comment.to_owned(),
            _ => Marker::compose(type_, comment),
        }
    }

    fn foreign_key(
        &mut self,
        line: &ForeignKeyLine,
        target: &ForeignKeyTarget,
        primary: bool,
    ) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Definition, message));
        if target.table == *self.table {
            return wrong("a table cannot reference itself".to_owned());
        }
        if primary && line.nullable {
            return wrong("a foreign key of the primary key cannot be nullable".to_owned());
        }
        let snapshot = self.lode.snapshot_with(&target.table)?;
        let parent = snapshot.require(&target.table.name)?;
        if parent.primary_key.iter().any(|k| k.starts_with('_')) {
            return wrong(format!(
                "`{}` has no primary key of its own to reference",
                target.table
            ));
        }
        for (new, old) in &target.renames {
            if !parent.columns.iter().any(|c| c.name == *old) {
                let error = Error::new(
                    ErrorKind::Definition,
                    format!("`{}` has no attribute `{old}`", target.table),
                );
                return Err(
                    match did_you_mean(old, parent.columns.iter().map(|c| c.name.as_str())) {
                        Some(hint) => error.hint(hint),
                        None => error,
                    },
                );
            }
            if parent.primary_key.contains(new) && !target.renames.iter().any(|(_, o)| o == new) {
                return wrong(format!(
                    "`{new}` is another attribute of the key of `{}` already",
                    target.table
                ));
            }
        }
        // The parent's primary attributes in the order of its columns.
        let keys = parent
            .columns
            .iter()
            .filter(|c| parent.primary_key.contains(&c.name));
        let mut key = ForeignKeySpec {
            columns: Vec::new(),
            parent_schema: target.table.schema.clone(),
            parent_table: target.table.name.clone(),
            parent_columns: Vec::new(),
        };
        for column in keys {
            let renamed = target.renames.iter().find(|(_, old)| *old == column.name);
            let name = renamed.map_or(&column.name, |(new, _)| new);
            if key.columns.contains(name) {
                return wrong(format!(
                    "two attributes of the key of `{}` are both called `{name}`",
                    target.table
                ));
            }
            let type_ = match type_of(self.lode, &snapshot, parent, column) {
                Some(type_) => without_numbering(type_),
                None => {
                    return wrong(format!(
                        "the type of `{}` in `{}` cannot be read",
                        column.name, target.table
                    ));
                }
            };
            let storage = self.storage(&type_)?;
            match self.columns.get(name) {
                None => {
                    let comment = self.marked(&type_, &Marker::parse(&column.comment).comment);
                    let spec = ColumnSpec {
                        name: name.clone(),
                        storage,
                        default: Default::Required,
                        nullable: line.nullable,
                        comment,
                        inherited: true,
                        known_type: None,
                    };
                    self.columns.insert(name.clone(), spec);
                    if primary {
                        self.primary_key.insert(name.clone());
                    }
                }
                Some(present) if column_kind(&present.storage) != column_kind(&storage) => {
                    return wrong(format!(
                        "`{name}` is of type `{}` here, but of type `{storage}` in `{}`",
                        present.storage, target.table
                    ));
                }
                Some(_) => {}
            }
            let origin = match snapshot.origin(&parent.name, &column.name) {
                Some(origin) => origin.to_string(),
                None => {
                    if snapshot.lineage_available {
                        self.warnings.push(format!(
                            "`{}.{}` has no lineage; it is taken as the origin",
                            target.table, column.name
                        ));
                    }
                    format!("{}.{}", target.table, column.name)
                }
            };
            self.lineage.insert(name.clone(), origin);
            key.columns.push(name.clone());
            key.parent_columns.push(column.name.clone());
        }
        if line.unique {
            self.indexes.push(IndexSpec {
                unique: true,
                terms: key.columns.clone(),
            });
        }
        self.foreign_keys.push(key);
        Ok(())
    }

    /// Columns of the engine's own.
    fn hidden_columns(&mut self, tier: Tier, hidden: HiddenColumns) {
        if self.primary_key.is_empty() {
            let column = hidden_column(
                "_singleton",
                CoreType::Bool,
                Default::Literal("1".into()),
                "singleton primary key",
            );
            self.primary_key.insert(column.name.clone());
            self.lineage
                .insert(column.name.clone(), self.own_origin(&column.name));
            self.columns.insert(column.name.clone(), column);
        }
        for column in tier_columns(tier, hidden) {
            self.columns.insert(column.name.clone(), column);
        }
    }

    fn warn_about_own_keys(&mut self) {
        let inherited = |name: &String| self.foreign_keys.iter().any(|k| k.columns.contains(name));
        let own: Vec<&str> = self
            .primary_key
            .iter()
            .filter(|name| !name.starts_with('_') && !inherited(name))
            .map(String::as_str)
            .collect();
        if !own.is_empty() {
            let text = format!(
                "the primary-key attributes {} of this auto-populated table come from no foreign key; `populate` cannot know their values",
                own.join(", ")
            );
            self.warnings.push(text);
        }
    }
}

/// The hidden columns of a tier (spec: definition §6). The comments are part of the on-disk form.
pub(super) fn tier_columns(tier: Tier, hidden: HiddenColumns) -> Vec<ColumnSpec> {
    let mut columns = Vec::new();
    if hidden.job_metadata && matches!(tier, Tier::Imported | Tier::Computed) {
        columns.push(hidden_column(
            "_job_start_time",
            CoreType::DateTime(Some(3)),
            Default::Null,
            "when computation began",
        ));
        columns.push(hidden_column(
            "_job_duration",
            CoreType::Float32,
            Default::Null,
            "computation duration in seconds",
        ));
        columns.push(hidden_column(
            "_job_version",
            CoreType::Varchar(64),
            Default::Literal(String::new()),
            "code version",
        ));
    }
    if hidden.provenance && tier == Tier::Manual {
        columns.push(hidden_column(
            "_prov",
            CoreType::Json,
            Default::Null,
            "extrinsic provenance for a row that entered from outside",
        ));
    }
    columns
}

fn hidden_column(name: &str, type_: CoreType, default: Default, comment: &str) -> ColumnSpec {
    ColumnSpec {
        name: name.to_owned(),
        comment: Marker::compose(&Type::Core(type_.clone()), comment),
        storage: StorageType::Core(type_),
        default,
        nullable: false,
        inherited: false,
        known_type: None,
    }
}

/// `{old} comment` taken apart.
pub(super) fn former_name(comment: &str) -> (Option<&str>, &str) {
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    match comment.strip_prefix('{').and_then(|c| c.split_once('}')) {
        Some((name, rest)) if is_name(&name) => (Some(name), rest.trim_start()),
        _ => (None, comment),
    }
}
