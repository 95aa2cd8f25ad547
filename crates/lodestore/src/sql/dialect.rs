//! The text side of a database.

use std::borrow::Cow;

use super::{AlterSpec, Statement, literal};
use crate::definition::{Default, StorageType};
use crate::error::{Error, Result};
use crate::value::Value;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BackendKind {
    Sqlite,
    Postgres,
    MySql,
}

/// A table to be created: everything resolved, nothing left to look up.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// Schema.
    pub schema: String,
    /// Stored name.
    pub table: String,
    /// Table comment.
    pub comment: String,
    /// Columns in order, hidden ones included.
    pub columns: Vec<ColumnSpec>,
    /// Primary key, in declaration order.
    pub primary_key: Vec<String>,
    /// Foreign keys, in order.
    pub foreign_keys: Vec<ForeignKeySpec>,
    /// Declared indexes and those of `unique` foreign keys, in order (support indexes are the dialect's business).
    pub indexes: Vec<IndexSpec>,
}

/// A column to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSpec {
    /// Name.
    pub name: String,
    /// What it is in the database.
    pub storage: StorageType,
    /// Default and nullability.
    pub default: Default,
    /// `[nullable]` foreign key: NULL allowed and no default clause.
    pub nullable: bool,
    /// The full comment with marker: `:int32:unique id`.
    pub comment: String,
    /// Came through a foreign key.
    pub inherited: bool,
    /// The SQL of its type where the database has it already: that of the parent's column, or an enum type of its own.
    /// None lets the dialect write the type. [`crate::sql::Backend::known_types`] fills it in.
    pub known_type: Option<String>,
}

/// A foreign key to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKeySpec {
    /// Child columns.
    pub columns: Vec<String>,
    /// Parent schema.
    pub parent_schema: String,
    /// Parent stored name.
    pub parent_table: String,
    /// Parent columns.
    pub parent_columns: Vec<String>,
}

/// An index to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSpec {
    /// Unique.
    pub unique: bool,
    /// Terms: column names or expressions.
    pub terms: Vec<String>,
}

/// The text side of a database. Pure: no I/O, no state.
pub trait Dialect: Send + Sync {
    /// Which database.
    fn kind(&self) -> BackendKind;
    /// Quotes one identifier; the only place where identifiers are quoted.
    fn quote(&self, identifier: &str) -> String;
    /// The quoted full name of a table: `"s"."t"`, `` `s`.`t` ``, on SQLite `"s.t"`.
    fn full_name(&self, schema: &str, table: &str) -> String;
    /// Placeholder of the n-th parameter, from 1.
    fn placeholder(&self, n: usize) -> String;
    /// Longest stored table name.
    fn max_table_name(&self) -> usize;
    /// The statements that create a schema's `~lineage` table (spec: definition §7.4), if it is not there.
    fn create_lineage_table(&self, schema: &str) -> Result<Vec<Statement>>;
    /// The statements that create a schema's `~lode_dropped` table, if it is not there: `store` (NULL = the default),
    /// `path`, `dropped_at` (spec: README "Decisions").
    fn create_dropped_table(&self, schema: &str) -> Result<Vec<Statement>>;
    /// Checks a value against a column's type and converts it to the very form in which that column stores it (spec:
    /// definition §12), so that an operand bound in a condition equals what an insert has written: canonical decimal
    /// and temporal text, float32 rounding, UUID bytes, 0/1. NULL stays NULL. Errors are of kind
    /// [`crate::ErrorKind::Data`] and say what was expected; the caller adds attribute and row.
    fn stored(&self, storage: &StorageType, value: &Value) -> Result<Value> {
        self.stored_form(storage, value).map(Cow::into_owned)
    }
    /// As [`stored`](Dialect::stored), borrowed wherever the value is in that form already.
    fn stored_form<'a>(&self, storage: &StorageType, value: &'a Value) -> Result<Cow<'a, Value>>;
    /// As [`stored`](Dialect::stored), without a copy of what is in that form already.
    #[allow(clippy::wrong_self_convention)] // it is the value that becomes another
    fn into_stored(&self, storage: &StorageType, value: Value) -> Result<Value> {
        let changed = match self.stored_form(storage, &value)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(changed) => Some(changed),
        };
        Ok(changed.unwrap_or(value))
    }
    /// The statements that declare a table: types, table, indexes, comments. Executed in one transaction.
    fn create_table(&self, table: &TableSpec) -> Result<Vec<Statement>>;
    /// The statements that change a declared table. Run by [`super::Backend::alter_table`] only.
    fn alter_table(&self, alter: &AlterSpec) -> Result<Vec<Statement>>;
    /// Whether a column that the catalogue says to be of this type can be one of that type: false if it is another one,
    /// none if the names tell.
    fn may_hold(&self, _database_type: &str, _storage: &StorageType) -> Option<bool> {
        None
    }
    /// What a definition calls a column of this type that numbers itself.
    fn numbering_type(&self, type_: &str) -> String {
        match (self.kind(), type_) {
            (BackendKind::Postgres, "integer") => "serial".to_owned(),
            _ => format!("{type_} auto_increment"),
        }
    }
    /// True if a column can be put between others, and moved. If not, new ones come last.
    fn orders_columns(&self) -> bool {
        self.kind() != BackendKind::Postgres
    }
    /// The statement that sets what the log of a table says of changed rows: all of the old row, or its key.
    fn replica_identity(&self, _schema: &str, _table: &str, _full: bool) -> Result<Statement> {
        Err(Error::invalid("only PostgreSQL has replica identities"))
    }
    /// What sets a column to its declared default in an UPDATE. None if the database has no word for it: the default is
    /// then written out.
    fn default_word(&self) -> Option<&'static str> {
        (self.kind() != BackendKind::Sqlite).then_some("DEFAULT")
    }
    /// The quoted name of a temporary table for this session, used for tables of a schema.
    fn temporary_name(&self, schema: &str, name: &str) -> String {
        match self.kind() {
            BackendKind::MySql => self.full_name(schema, name),
            _ => self.quote(name),
        }
    }
    /// The statement that drops a temporary table, given by its quoted name, if it is there; it ends no transaction.
    fn drop_temporary(&self, name: &str) -> Statement {
        Statement::new(match self.kind() {
            BackendKind::MySql => format!("DROP TEMPORARY TABLE IF EXISTS {name}"),
            _ => format!("DROP TABLE IF EXISTS {name}"),
        })
    }
    /// True if a transaction covers declarations. Otherwise each takes effect at once and commits what is open.
    fn transactional_ddl(&self) -> bool {
        self.kind() != BackendKind::MySql
    }
    /// True if an operand of a set operation may be parenthesised.
    fn parenthesised_union(&self) -> bool;
    /// The text of `LIMIT n OFFSET m`.
    fn limit(&self, limit: Option<u64>, offset: u64) -> String;
    /// SQL expression of a JSON path (already parsed) in `column`, which is SQL text (a quoted name or an expression).
    /// `cast` is the type after the colon, if any; without one the result is text, on every backend alike.
    fn json_path(&self, column: &str, path: &[JsonStep], cast: Option<&str>) -> Result<String>;
    /// Translates user-written SQL text for this database: quotes of identifiers, functions (spec: queries §12, §16).
    /// `is_attribute` tells whether a double-quoted token names an attribute.
    fn translate(&self, sql: &str, is_attribute: &dyn Fn(&str) -> bool) -> Result<String>;
    /// A value in stored form as an SQL literal, for texts that people read or keep; what runs is always bound. An
    /// error of kind [`crate::ErrorKind::Invalid`] if there is none for its type.
    fn literal(&self, value: &Value) -> Result<String> {
        literal::literal(value, self.kind())
    }
    /// An aggregate of a column of decimals, where the database's own is not exact or does not compare as a number. Its
    /// function is in lower case.
    fn decimal_aggregate(&self, _function: &str, _column: &str) -> Option<String> {
        None
    }
    /// What follows an order term to put NULLs first or last. None if the database has no such words: the term is then
    /// preceded by `term IS NULL`.
    fn nulls(&self, first: bool) -> Option<&'static str> {
        match (self.kind(), first) {
            (BackendKind::MySql, _) => None,
            (_, true) => Some(" NULLS FIRST"),
            (_, false) => Some(" NULLS LAST"),
        }
    }
    /// True if several rows after `(a, b) IN` are a `VALUES` list, and not a list in parentheses.
    fn rows_are_values(&self) -> bool {
        self.kind() == BackendKind::Sqlite
    }
    /// True if a column of a native type carries a marker in its comment too, because the database keeps too little of
    /// the type (spec: definition §5, §12).
    fn marks_native_types(&self) -> bool {
        self.kind() == BackendKind::Sqlite
    }
    /// The statement that inserts what a query selects. Rows whose `key` is present already are skipped if it is given,
    /// and refused otherwise. Names are quoted.
    fn insert_select(&self, table: &str, columns: &str, query: &str, key: Option<&str>) -> String {
        // `WHERE true` keeps `ON CONFLICT` from being read as a join condition.
        let mut text = format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM ({query}) AS s WHERE true"
        );
        if let Some(key) = key {
            text.push_str(&format!(" ON CONFLICT ({key}) DO NOTHING"));
        }
        text
    }
    /// What follows the rows of an INSERT so that a row whose key is there already gets the new value of `column`.
    fn update_on_conflict(&self, key: &[&str], column: &str) -> String {
        let column = self.quote(column);
        match self.kind() {
            BackendKind::MySql => format!(" ON DUPLICATE KEY UPDATE {column}=VALUES({column})"),
            _ => {
                let key: Vec<String> = key.iter().map(|k| self.quote(k)).collect();
                let key = key.join(", ");
                format!(" ON CONFLICT ({key}) DO UPDATE SET {column}=excluded.{column}")
            }
        }
    }
    /// Equality of two JSON documents, given as SQL text, whatever their spelling.
    fn json_equal(&self, left: &str, right: &str) -> String {
        match self.kind() {
            BackendKind::Sqlite => format!("(json({left})=json({right}))"),
            BackendKind::Postgres => format!("(({left})::jsonb=({right})::jsonb)"),
            BackendKind::MySql => {
                format!("(JSON_CONTAINS({left}, {right}) AND JSON_CONTAINS({right}, {left}))")
            }
        }
    }
    /// Many rows of stored values, of these types where known, as one parameter, for what follows `(a, b) IN `: the text, in which `placeholder`
    /// stands for the parameter, and the parameter. None if the database, or this module for it, has no such form or
    /// a value does not fit into it; the caller then binds each value.
    fn bound_keys(
        &self,
        _types: &[Option<&StorageType>],
        _rows: &[Vec<Value>],
        _placeholder: &str,
    ) -> Option<(String, Value)> {
        None
    }
}

/// One step of a JSON path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonStep {
    /// `.name`
    Member(String),
    /// `[i]`
    Index(usize),
}
