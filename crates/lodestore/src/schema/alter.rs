//! Changing declared tables (spec: definition §11, §14): how a table differs from a definition, and what it takes to
//! make it equal. The plan is text and can be shown; only [`Alteration::execute`] changes anything.

use std::collections::BTreeSet;

use super::declare::{compile, former_name, table_name, tier_columns};
use super::reading::{column_kind, default_of, resolve, type_of};
use super::snapshot::Snapshot;
use super::{Declare, HiddenColumns, Lode};
use crate::definition::{CoreType, Default, Marker, NativeKind, StorageType, TableName, Type};
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::sql::{
    AlterSpec, CatalogColumn, CatalogForeignKey, CatalogIndex, CatalogTable, ColumnChange,
    ColumnSpec, Conversion, ForeignKeySpec, IndexSpec, Position, Statement, TableSpec,
};
use crate::value::{ColumnKind, Value};

/// A planned change of one table. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "nothing changes until it is executed"]
pub struct Alteration {
    table: TableName,
    changes: Vec<String>,
    ignored: Vec<String>,
    statements: Vec<Statement>,
    /// The catalogue that was looked at.
    seen: Option<u64>,
}

impl Alteration {
    /// The table.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// True if the table is what it should be.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What will change, as sentences.
    pub fn changes(&self) -> &[String] {
        &self.changes
    }

    /// Differences that stay, as sentences.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The SQL that will run.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Runs it: everything or nothing, where the database can undo DDL. An error inside a transaction.
    pub fn execute(self, lode: &Lode) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        no_transaction(lode, &self.table)?;
        let result = lode.backend().alter_table(&self.statements, self.seen);
        lode.refresh(&self.table.schema);
        result.map_err(|e| e.table(&self.table.schema, &self.table.name))
    }
}

fn no_transaction(lode: &Lode, table: &TableName) -> Result<()> {
    match lode.in_transaction() {
        false => Ok(()),
        true => Err(
            Error::invalid("a table cannot be altered inside a transaction")
                .table(&table.schema, &table.name)
                .hint("Alter it before the transaction begins."),
        ),
    }
}

pub(super) fn plan(lode: &Lode, declare: Declare<'_>) -> Result<Alteration> {
    let table = table_name(lode, &declare)?;
    let place = |e: Error| e.table(&table.schema, &table.name);
    let look = Look::new(lode, &table)?;
    let found = look.table()?;
    let compiled = compile(lode, &table, declare).map_err(place)?;
    let renames: Vec<(&str, &str)> = compiled
        .renames
        .iter()
        .map(|(new, old)| (new.as_str(), old.as_str()))
        .collect();
    let mut diff = Diff::new(&look, found, &compiled.spec, renames).map_err(place)?;
    let refused = key_differences(&compiled.spec, found, &diff.renames);
    if !refused.is_empty() {
        return Err(place(Error::unsupported(format!(
            "primary keys, foreign keys and indexes cannot be altered: {}",
            refused.join("; ")
        )))
        .hint("Declare the table under a new name and copy the rows, or drop it and declare it again."));
    }
    diff.columns().map_err(place)?;
    diff.comment();
    diff.finish().map_err(place)
}

pub(super) fn add_hidden(
    lode: &Lode,
    table: &TableName,
    hidden: HiddenColumns,
) -> Result<Alteration> {
    let place = |e: Error| e.table(&table.schema, &table.name);
    let look = Look::new(lode, table)?;
    let found = look.table()?;
    let spec = look.spec(found).map_err(place)?;
    let mut diff = Diff::with(&look, found, &spec);
    for column in tier_columns(table.tier(), hidden) {
        if found.columns.iter().any(|c| c.name == column.name) {
            continue;
        }
        diff.changes
            .push(format!("add the hidden attribute `{}`", column.name));
        diff.alter.changes.push(ColumnChange::Add {
            column: column.clone(),
            position: None,
        });
        diff.alter.table.columns.push(column);
    }
    diff.finish().map_err(place)
}

pub(super) fn restore_markers(lode: &Lode, declare: Declare<'_>) -> Result<Alteration> {
    let table = table_name(lode, &declare)?;
    let place = |e: Error| e.table(&table.schema, &table.name);
    let look = Look::new(lode, &table)?;
    let found = look.table()?;
    let compiled = compile(lode, &table, declare).map_err(place)?;
    let wanted = |name: &String| compiled.spec.columns.iter().find(|c| c.name == *name);
    // The definition says what a column without marker is; the catalogue need not be able to.
    let mut unmarked = Vec::new();
    let mut spec = look.bare_spec(found);
    for present in &found.columns {
        let marked = Marker::parse(&present.comment).type_text.is_some();
        let lost = wanted(&present.name).filter(|_| !marked).and_then(|w| {
            let type_text = Marker::parse(&w.comment).type_text?;
            Some((w, type_text))
        });
        spec.columns.push(match lost {
            None => look.column(found, present).map_err(place)?,
            Some((wanted, type_text)) => {
                let column = look.column_of(found, present, wanted.storage.clone(), None);
                let fits = look.fits(present, &wanted.storage);
                unmarked.push((present, column.clone(), type_text, fits));
                column
            }
        });
    }
    let mut diff = Diff::with(&look, found, &spec);
    for (present, column, type_text, fits) in unmarked {
        if !fits {
            diff.ignored.push(format!(
                "attribute `{}` is `{}` in the database, which cannot be `{type_text}`",
                column.name, present.database_type
            ));
            continue;
        }
        diff.changes.push(format!(
            "record that attribute `{}` is `{type_text}`",
            column.name
        ));
        let mut marked = column.clone();
        marked.comment = format!(":{type_text}:{}", present.comment);
        diff.set(&column, marked, None, Conversion::Keep);
    }
    diff.finish().map_err(place)
}

/// How a declared table differs from a definition, as sentences.
pub(super) fn differences(lode: &Lode, declare: Declare<'_>) -> Result<Vec<String>> {
    let table = table_name(lode, &declare)?;
    let place = |e: Error| e.table(&table.schema, &table.name);
    let snapshot = lode.snapshot_with(&table)?;
    let look = Look {
        lode,
        snapshot,
        name: &table,
    };
    let found = look.table()?;
    let compiled = compile(lode, &table, declare).map_err(place)?;
    let mut out = Vec::new();
    let spec = &compiled.spec;
    if spec.comment != found.comment {
        out.push(format!(
            "the table comment is \"{}\" in the database and \"{}\" in the definition",
            found.comment, spec.comment
        ));
    }
    for column in spec.columns.iter().filter(|c| !c.name.starts_with('_')) {
        match found.columns.iter().find(|c| c.name == column.name) {
            Some(present) => out.extend(look.differs(found, present, column)),
            None => out.push(format!(
                "attribute `{}` of the definition is not in the database",
                column.name
            )),
        }
    }
    for column in found.columns.iter().filter(|c| !c.name.starts_with('_')) {
        if !spec.columns.iter().any(|c| c.name == column.name) {
            out.push(format!(
                "attribute `{}` of the database is not in the definition",
                column.name
            ));
        }
    }
    out.extend(key_differences(spec, found, &[]));
    Ok(out)
}

/// A table as it is.
struct Look<'a> {
    lode: &'a Lode,
    snapshot: std::sync::Arc<Snapshot>,
    name: &'a TableName,
}

impl<'a> Look<'a> {
    /// As it is now, and not as it was when somebody last looked.
    fn new(lode: &'a Lode, name: &'a TableName) -> Result<Look<'a>> {
        no_transaction(lode, name)?;
        lode.refresh(&name.schema);
        Ok(Look {
            lode,
            snapshot: lode.snapshot(&name.schema)?,
            name,
        })
    }

    fn table(&self) -> Result<&CatalogTable> {
        self.snapshot.require(&self.name.name)
    }

    /// A column as it would be declared.
    fn column(&self, table: &CatalogTable, column: &CatalogColumn) -> Result<ColumnSpec> {
        let type_ = type_of(self.lode, &self.snapshot, table, column);
        let storage = match resolve(type_.as_ref(), self.lode.codecs()) {
            (Some(storage), _) => storage,
            // An unknown codec; the column itself can still be told.
            (None, _) => StorageType::parse(&column.database_type).map_err(|_| {
                Error::invalid(format!(
                    "the type `{}` of attribute `{}` cannot be read",
                    column.database_type, column.name
                ))
                .attribute(&column.name)
            })?,
        };
        // Where there is no marker the numbering is a flag beside the type.
        let storage =
            match column.auto_increment && Marker::parse(&column.comment).type_text.is_none() {
                true => StorageType::parse(&format!("{} auto_increment", column.database_type))
                    .unwrap_or(storage),
                false => storage,
            };
        Ok(self.column_of(table, column, storage, type_.as_ref()))
    }

    /// A column of a known type as it would be declared.
    fn column_of(
        &self,
        table: &CatalogTable,
        column: &CatalogColumn,
        storage: StorageType,
        type_: Option<&Type>,
    ) -> ColumnSpec {
        let inherited = is_inherited(table, &column.name);
        let default = default_of(column, type_).unwrap_or(Default::Required);
        let bare = inherited && column.nullable;
        ColumnSpec {
            name: column.name.clone(),
            storage,
            nullable: bare,
            default: if bare { Default::Required } else { default },
            comment: column.comment.clone(),
            inherited,
            known_type: None,
        }
    }

    /// True if a column can hold values of a type, as far as the database's name for it tells.
    fn fits(&self, column: &CatalogColumn, storage: &StorageType) -> bool {
        let dialect = self.lode.dialect();
        let by_name = || match StorageType::parse(&column.database_type) {
            Ok(found) => column_kind(&found) == column_kind(storage),
            Err(_) => true,
        };
        dialect
            .may_hold(&column.database_type, storage)
            .unwrap_or_else(by_name)
    }

    /// The table as it would be declared.
    fn spec(&self, table: &CatalogTable) -> Result<TableSpec> {
        let mut spec = self.bare_spec(table);
        for column in &table.columns {
            spec.columns.push(self.column(table, column)?);
        }
        Ok(spec)
    }

    /// The same without its columns.
    fn bare_spec(&self, table: &CatalogTable) -> TableSpec {
        let key = |k: &CatalogForeignKey| ForeignKeySpec {
            columns: k.columns.clone(),
            parent_schema: k.parent_schema.clone(),
            parent_table: k.parent_table.clone(),
            parent_columns: k.parent_columns.clone(),
        };
        let index = |i: &CatalogIndex| IndexSpec {
            unique: i.unique,
            terms: i.terms.clone(),
        };
        TableSpec {
            schema: self.name.schema.clone(),
            table: self.name.name.clone(),
            comment: table.comment.clone(),
            columns: Vec::new(),
            primary_key: table.primary_key.clone(),
            foreign_keys: table.foreign_keys.iter().map(key).collect(),
            indexes: table.indexes.iter().map(index).collect(),
        }
    }

    /// What of one column differs, as sentences.
    fn differs(
        &self,
        table: &CatalogTable,
        present: &CatalogColumn,
        wanted: &ColumnSpec,
    ) -> Vec<String> {
        let name = &wanted.name;
        let mut out = Vec::new();
        let marker = Marker::parse(&present.comment);
        let found = type_of(self.lode, &self.snapshot, table, present);
        let type_ = wanted_type(wanted);
        let inherited = wanted.inherited;
        if !inherited && marker.type_text.is_none() && lacks_marker(&type_, found.as_ref()) {
            out.push(format!(
                "attribute `{name}` has lost the record of its type `{type_}` in the database; \
                 lodestore.migrate.restore_markers writes it again"
            ));
        } else if !same_type(&type_, found.as_ref()) {
            out.push(format!(
                "attribute `{name}` is `{}` in the database and `{type_}` in the definition",
                marker
                    .type_text
                    .as_deref()
                    .unwrap_or(&present.database_type),
            ));
        }
        if wanted.takes_null() != present.nullable {
            let state = |nullable| if nullable { "nullable" } else { "required" };
            out.push(format!(
                "attribute `{name}` is {} in the database and {} in the definition",
                state(present.nullable),
                state(wanted.takes_null())
            ));
        } else if !inherited {
            let there = default_of(present, Some(&type_)).unwrap_or(Default::Required);
            if !present.auto_increment
                && !self.same_default(&wanted.storage, &wanted.default, &there)
            {
                let shown = |d: &Default| d.to_text(&type_).unwrap_or_else(|| "none".to_owned());
                out.push(format!(
                    "the default of attribute `{name}` is {} in the database and {} in the definition",
                    shown(&there),
                    shown(&wanted.default)
                ));
            }
        }
        if !inherited && Marker::parse(&wanted.comment).comment != marker.comment {
            out.push(format!("the comment of attribute `{name}` differs"));
        }
        out
    }

    /// Whether two defaults give the same value. Times of insertion do: databases tell their digits differently.
    fn same_default(&self, storage: &StorageType, a: &Default, b: &Default) -> bool {
        match (a, b) {
            (Default::Literal(a), Default::Literal(b)) => {
                let value = |text: &String| {
                    let value = Value::Text(text.clone());
                    self.lode.dialect().stored(storage, &value).ok()
                };
                a == b || value(a).zip(value(b)).is_some_and(|(a, b)| a.same(&b))
            }
            (Default::CurrentTimestamp(_), Default::CurrentTimestamp(_)) => true,
            _ => a == b,
        }
    }

    /// True if a row meets a condition.
    fn any_row(&self, condition: &str) -> Result<bool> {
        let table = self
            .lode
            .dialect()
            .full_name(&self.name.schema, &self.name.name);
        let text = format!("SELECT 1 FROM {table} WHERE {condition} LIMIT 1");
        let found = self.lode.backend().query_any(&Statement::new(text))?;
        Ok(found.rows > 0)
    }
}

fn is_inherited(table: &CatalogTable, column: &str) -> bool {
    table
        .foreign_keys
        .iter()
        .any(|k| k.columns.iter().any(|c| c == column))
}

/// The type of a column to be declared.
fn wanted_type(column: &ColumnSpec) -> Type {
    Marker::parse(&column.comment)
        .type_()
        .unwrap_or_else(|| Type::from(column.storage.clone()))
}

/// True if a column without marker cannot be read as the type that it should have.
fn lacks_marker(wanted: &Type, found: Option<&Type>) -> bool {
    !matches!(wanted, Type::Native(_)) && found != Some(wanted)
}

fn same_type(wanted: &Type, found: Option<&Type>) -> bool {
    match (wanted, found) {
        (Type::Native(a), Some(Type::Native(b))) => a.kind == b.kind,
        // What has no marker and no name that we know was native when it was declared.
        (Type::Native(_), None) => true,
        (a, Some(b)) => a == b,
        (_, None) => false,
    }
}

/// Differences of primary key, foreign keys and indexes. `renames` are (new, old).
fn key_differences(
    wanted: &TableSpec,
    found: &CatalogTable,
    renames: &[(String, String)],
) -> Vec<String> {
    let now = |name: &String| match renames.iter().find(|(_, old)| old == name) {
        Some((new, _)) => new.clone(),
        None => name.clone(),
    };
    let mut out = Vec::new();
    if wanted.primary_key != found.primary_key {
        out.push(format!(
            "the primary key is ({}) in the database and ({}) in the definition",
            found.primary_key.join(", "),
            wanted.primary_key.join(", ")
        ));
    }
    // A repeated key is no other key.
    let wanted_keys: BTreeSet<_> = wanted
        .foreign_keys
        .iter()
        .map(|k| {
            (
                &k.columns,
                &k.parent_schema,
                &k.parent_table,
                &k.parent_columns,
            )
        })
        .collect();
    let found_keys: BTreeSet<_> = found
        .foreign_keys
        .iter()
        .map(|k| {
            (
                &k.columns,
                &k.parent_schema,
                &k.parent_table,
                &k.parent_columns,
            )
        })
        .collect();
    for (columns, schema, table, _) in wanted_keys.difference(&found_keys) {
        out.push(format!(
            "the foreign key ({}) to `{schema}.{table}` is not in the database",
            columns.join(", ")
        ));
    }
    for (columns, schema, table, _) in found_keys.difference(&wanted_keys) {
        out.push(format!(
            "the foreign key ({}) to `{schema}.{table}` is not in the definition",
            columns.join(", ")
        ));
    }
    // Databases spell expressions in their own way; only indexes on columns can be compared.
    let plain = |terms: &[String]| {
        terms
            .iter()
            .all(|t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let text = |unique: bool, terms: &[String]| {
        format!(
            "{}index ({})",
            if unique { "unique " } else { "" },
            terms.join(", ")
        )
    };
    let present: BTreeSet<(bool, Vec<String>)> = found
        .indexes
        .iter()
        .map(|i| (i.unique, i.terms.iter().map(now).collect()))
        .collect();
    for index in wanted.indexes.iter().filter(|i| plain(&i.terms)) {
        let there = |unique| present.contains(&(unique, index.terms.clone()));
        if !there(index.unique) && !there(true) {
            out.push(format!(
                "the {} is not in the database",
                text(index.unique, &index.terms)
            ));
        }
    }
    for (unique, terms) in present.iter().filter(|(_, terms)| plain(terms)) {
        let declared = wanted.indexes.iter().any(|i| i.terms == *terms);
        let supports = !unique && wanted.foreign_keys.iter().any(|k| k.columns == *terms);
        if !declared && !supports {
            out.push(format!(
                "the {} is not in the definition",
                text(*unique, terms)
            ));
        }
    }
    out
}

/// Changes as they are found.
struct Diff<'a> {
    look: &'a Look<'a>,
    found: &'a CatalogTable,
    wanted: &'a TableSpec,
    /// (new, old).
    renames: Vec<(String, String)>,
    alter: AlterSpec,
    changes: Vec<String>,
    ignored: Vec<String>,
}

impl<'a> Diff<'a> {
    /// For a table whose columns are known.
    fn with(look: &'a Look<'a>, found: &'a CatalogTable, spec: &'a TableSpec) -> Diff<'a> {
        Diff {
            look,
            found,
            wanted: spec,
            renames: Vec::new(),
            alter: AlterSpec {
                table: spec.clone(),
                changes: Vec::new(),
                comment: false,
            },
            changes: Vec::new(),
            ignored: Vec::new(),
        }
    }

    fn new(
        look: &'a Look<'a>,
        found: &'a CatalogTable,
        wanted: &'a TableSpec,
        notes: Vec<(&str, &str)>,
    ) -> Result<Diff<'a>> {
        let renames = renames(found, wanted, notes)?;
        let mut diff = Diff::with(look, found, wanted);
        diff.alter.table = look.spec(found)?;
        diff.renames = renames;
        Ok(diff)
    }

    fn comment(&mut self) {
        if self.wanted.comment != self.found.comment {
            self.changes.push(format!(
                "change the table comment from \"{}\" to \"{}\"",
                self.found.comment, self.wanted.comment
            ));
            self.alter.table.comment.clone_from(&self.wanted.comment);
            self.alter.comment = true;
        }
    }

    /// Replaces a column of the plan's table, and notes the change.
    fn set(
        &mut self,
        old: &ColumnSpec,
        column: ColumnSpec,
        position: Option<Position>,
        conversion: Conversion,
    ) {
        let columns = &mut self.alter.table.columns;
        if let Some(present) = columns.iter_mut().find(|c| c.name == old.name) {
            *present = column.clone();
        }
        self.alter.changes.push(ColumnChange::Modify {
            old: old.clone(),
            column,
            position,
            conversion,
        });
    }

    /// Drops, then what is added or changed in the order of the definition.
    fn columns(&mut self) -> Result<()> {
        let visible = |name: &String| !name.starts_with('_');
        let wanted: Vec<&ColumnSpec> = self
            .wanted
            .columns
            .iter()
            .filter(|c| visible(&c.name))
            .collect();
        let renames = self.renames.clone();
        let old_name = |name: &String| match renames.iter().find(|(new, _)| new == name) {
            Some((_, old)) => old.clone(),
            None => name.clone(),
        };
        let mut order = Vec::new();
        for column in self.found.columns.iter().filter(|c| visible(&c.name)) {
            match wanted.iter().find(|w| old_name(&w.name) == column.name) {
                Some(w) => order.push(w.name.clone()),
                None => {
                    self.changes.push(format!("drop `{}`", column.name));
                    self.alter
                        .changes
                        .push(ColumnChange::Drop(column.name.clone()));
                }
            }
        }
        let ordered = self.look.lode.dialect().orders_columns();
        let mut previous: Option<String> = None;
        let mut columns = Vec::new();
        for column in wanted {
            let old = self
                .found
                .columns
                .iter()
                .find(|c| c.name == old_name(&column.name));
            let position = match ordered {
                true => place(&mut order, &column.name, previous.as_deref()),
                false => None,
            };
            match old {
                None => columns.push(self.add(column, position, &mut order)?),
                Some(old) => columns.push(self.modify(old, column, position)?),
            }
            previous = Some(column.name.clone());
        }
        if !order
            .iter()
            .eq(columns.iter().map(|c: &ColumnSpec| &c.name))
        {
            self.ignored.push(
                "the order of the attributes stays as it is: this database adds columns at the end and moves none"
                    .to_owned(),
            );
        }
        let table = &mut self.alter.table;
        let hidden = table.columns.iter().filter(|c| c.name.starts_with('_'));
        columns.extend(hidden.cloned());
        table.columns = columns;
        table.indexes.clone_from(&self.wanted.indexes);
        Ok(())
    }

    fn add(
        &mut self,
        column: &ColumnSpec,
        position: Option<Position>,
        order: &mut Vec<String>,
    ) -> Result<ColumnSpec> {
        if !order.contains(&column.name) {
            order.push(column.name.clone());
        }
        if column.default == Default::Required && !column.nullable && self.look.any_row("1=1")? {
            return Err(Error::invalid(format!(
                "the new attribute `{}` needs a value for the rows that are there",
                column.name
            ))
            .attribute(&column.name)
            .hint("Give it a default, or `null` as default."));
        }
        self.changes.push(format!(
            "add `{}` of type `{}`",
            column.name,
            wanted_type(column)
        ));
        self.alter.changes.push(ColumnChange::Add {
            column: column.clone(),
            position,
        });
        Ok(column.clone())
    }

    /// A column that stays: what it will be.
    fn modify(
        &mut self,
        present: &CatalogColumn,
        wanted: &ColumnSpec,
        position: Option<Position>,
    ) -> Result<ColumnSpec> {
        let look = self.look;
        let old = look.column(self.found, present)?;
        let mut column = old.clone();
        let mut conversion = Conversion::Keep;
        let mut texts = Vec::new();
        if self.wanted.primary_key.contains(&wanted.name) {
            // A key is what rows are known by, here and in other tables.
            let kept = look.differs(self.found, present, wanted);
            self.ignored.extend(
                kept.into_iter()
                    .map(|text| format!("{text}; keys stay as they are")),
            );
        } else if wanted.inherited {
            column.nullable = wanted.nullable;
        } else {
            column = wanted.clone();
            texts = look.differs(self.found, present, wanted);
            conversion = self.conversion(present, &old, wanted)?;
        }
        let mut old = old;
        if conversion == Conversion::Keep {
            // The same in another spelling.
            old.storage.clone_from(&column.storage);
        }
        if look.same_default(&column.storage, &column.default, &old.default)
            || present.auto_increment
        {
            old.default.clone_from(&column.default);
        }
        if wanted.inherited && old.nullable != column.nullable {
            texts = look.differs(self.found, present, wanted);
        }
        if old.takes_null()
            && !column.takes_null()
            && look.any_row(&format!(
                "{} IS NULL",
                look.lode.dialect().quote(&present.name)
            ))?
        {
            return Err(Error::new(
                ErrorKind::Integrity,
                format!(
                    "attribute `{}` is null in some rows and cannot become required",
                    present.name
                ),
            )
            .attribute(&present.name)
            .hint("Give these rows a value first."));
        }
        if old.name != column.name {
            texts.insert(0, format!("rename `{}` to `{}`", old.name, column.name));
        }
        // `{old}` at the head of a stored comment, which other clients leave there.
        let leftover = former_name(&Marker::parse(&old.comment).comment)
            .0
            .is_some();
        if leftover && texts.is_empty() && old.comment != column.comment {
            texts.push(format!(
                "the comment of attribute `{}` differs",
                column.name
            ));
        }
        if texts.is_empty() && position.is_none() {
            return Ok(old);
        }
        if texts.is_empty() {
            // Only its place changes.
            column = old.clone();
        }
        if position.is_some() {
            texts.push(match &position {
                Some(Position::After(other)) => format!("move `{}` behind `{other}`", column.name),
                _ => format!("move `{}` to the front", column.name),
            });
        }
        self.changes.append(&mut texts);
        self.set(&old, column.clone(), position, conversion);
        Ok(column)
    }

    /// What the values of a column need on their way to another type.
    fn conversion(
        &self,
        present: &CatalogColumn,
        old: &ColumnSpec,
        wanted: &ColumnSpec,
    ) -> Result<Conversion> {
        let look = self.look;
        let found = type_of(look.lode, &look.snapshot, self.found, present);
        let type_ = wanted_type(wanted);
        if same_type(&type_, found.as_ref()) {
            return Ok(Conversion::Keep);
        }
        let unmarked = Marker::parse(&present.comment).type_text.is_none();
        let (from, to) = (column_kind(&old.storage), column_kind(&wanted.storage));
        let keeps = match (&found, &type_) {
            // The store of each value is part of what its row holds.
            (Some(Type::Codec(a)), Type::Codec(b)) => {
                a.name == b.name && old.storage == wanted.storage
            }
            (_, Type::Codec(_)) => unmarked && look.fits(present, &wanted.storage),
            _ => false,
        };
        if keeps {
            return Ok(Conversion::Keep);
        }
        let quoted = look.lode.dialect().quote(&present.name);
        let codec = matches!(found, Some(Type::Codec(_))) || matches!(type_, Type::Codec(_));
        if !codec && convertible(from, to) {
            if let (Some((min, max)), ColumnKind::Int | ColumnKind::Bool) =
                (range(&wanted.storage), from)
                && from != ColumnKind::Bool
                && look.any_row(&format!("{quoted} < {min} OR {quoted} > {max}"))?
            {
                return Err(Error::new(
                    ErrorKind::Data,
                    format!(
                        "attribute `{}` has values that do not fit into `{type_}`",
                        present.name
                    ),
                )
                .attribute(&present.name));
            }
            return Ok(Conversion::Convert);
        }
        if look.any_row(&format!("{quoted} IS NOT NULL"))? {
            let from = found.map_or_else(|| present.database_type.clone(), |t| t.to_string());
            return Err(Error::unsupported(format!(
                "attribute `{}` has values of type `{from}`, which cannot become `{type_}`",
                present.name
            ))
            .attribute(&present.name)
            .hint("Add an attribute of the new type, copy the values, then drop the old one."));
        }
        Ok(Conversion::Empty)
    }

    fn finish(mut self) -> Result<Alteration> {
        self.look
            .lode
            .backend()
            .known_types(&mut self.alter.table)?;
        for change in &mut self.alter.changes {
            if let ColumnChange::Add { column, .. } | ColumnChange::Modify { column, .. } = change
                && let Some(known) = self
                    .alter
                    .table
                    .columns
                    .iter()
                    .find(|c| c.name == column.name)
            {
                column.known_type.clone_from(&known.known_type);
            }
        }
        let statements = match self.changes.is_empty() {
            true => Vec::new(),
            false => self.look.lode.dialect().alter_table(&self.alter)?,
        };
        Ok(Alteration {
            table: self.look.name.clone(),
            changes: self.changes,
            ignored: self.ignored,
            statements,
            seen: self.look.snapshot.version,
        })
    }
}

/// (new, old) of the columns that are renamed. A note about a rename that has happened is no error.
fn renames(
    found: &CatalogTable,
    wanted: &TableSpec,
    notes: Vec<(&str, &str)>,
) -> Result<Vec<(String, String)>> {
    let present = |name: &str| found.columns.iter().any(|c| c.name == name);
    let mut out: Vec<(String, String)> = Vec::new();
    for (new, old) in notes {
        let wrong =
            |message: String| Err(Error::new(ErrorKind::Definition, message).attribute(new));
        match (present(old), present(new)) {
            (false, true) => continue,
            (false, false) => {
                let error = Error::new(
                    ErrorKind::Definition,
                    format!(
                        "`{new}` is to be the new name of `{old}`, which the table does not have"
                    ),
                )
                .attribute(new);
                let names = found.columns.iter().map(|c| c.name.as_str());
                return Err(match did_you_mean(old, names) {
                    Some(hint) => error.hint(hint),
                    None => error,
                });
            }
            (true, true) if old != new => {
                return wrong(format!(
                    "`{old}` cannot be renamed to `{new}`: the table has both"
                ));
            }
            _ => {}
        }
        if wanted.columns.iter().any(|c| c.name == old) {
            return wrong(format!(
                "`{old}` cannot be renamed to `{new}` and stay in the definition"
            ));
        }
        if let Some((other, _)) = out.iter().find(|(_, o)| o == old) {
            return wrong(format!(
                "both `{other}` and `{new}` are to be the new name of `{old}`"
            ));
        }
        out.push((new.to_owned(), old.to_owned()));
    }
    Ok(out)
}

/// Puts a column behind the previous one; where, if it was not there already.
fn place(order: &mut Vec<String>, name: &str, previous: Option<&str>) -> Option<Position> {
    let index = |order: &Vec<String>, name: &str| order.iter().position(|n| n == name);
    let now = index(order, name);
    let at = previous.and_then(|p| index(order, p)).map_or(0, |i| i + 1);
    if now == Some(at) {
        return None;
    }
    if let Some(now) = now {
        order.remove(now);
    }
    let at = previous.and_then(|p| index(order, p)).map_or(0, |i| i + 1);
    order.insert(at, name.to_owned());
    Some(match previous {
        Some(previous) => Position::After(previous.to_owned()),
        None => Position::First,
    })
}

/// Kinds whose values go over without loss, or with an error. The same everywhere, whatever a database might do.
fn convertible(from: ColumnKind, to: ColumnKind) -> bool {
    use ColumnKind::{Bool, Date, DateTime, Decimal, Float, Int, Text};
    from == to
        || matches!(
            (from, to),
            (Int, Float | Decimal | Text | Bool)
                | (Bool, Int)
                | (Decimal, Float | Text)
                | (Date, DateTime | Text)
                | (DateTime, Text)
                | (Text, Int | Decimal | Float | Date | DateTime)
        )
}

/// The bounds of an integer type.
fn range(storage: &StorageType) -> Option<(i64, i64)> {
    match storage {
        StorageType::Core(CoreType::Int8) => Some((i8::MIN.into(), i8::MAX.into())),
        StorageType::Core(CoreType::Int16) => Some((i16::MIN.into(), i16::MAX.into())),
        StorageType::Core(CoreType::Int32) => Some((i32::MIN.into(), i32::MAX.into())),
        StorageType::Core(CoreType::Bool) => Some((0, 1)),
        StorageType::Native(native) => match native.kind {
            NativeKind::Int { min, max, .. } => Some((min, max)),
            _ => None,
        },
        StorageType::Core(_) => None,
    }
}
