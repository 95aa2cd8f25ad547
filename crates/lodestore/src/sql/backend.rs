//! The I/O side of a database.

use std::fmt;
use std::sync::Arc;

use super::{CatalogTable, Dialect, TableSpec};
use crate::definition::StorageType;
use crate::error::Result;
use crate::value::{Batch, ColumnKind, Value};

/// SQL text with bound parameters (`?` or `$n` as the dialect's placeholder says).
#[derive(Debug, Clone, Default)]
pub struct Statement {
    /// Text.
    pub text: String,
    /// Parameters.
    pub params: Vec<Value>,
}

impl Statement {
    /// A statement without parameters.
    pub fn new(text: impl Into<String>) -> Self {
        Statement {
            text: text.into(),
            params: Vec::new(),
        }
    }
}

/// What a selected column is, so that it can be decoded straight into a typed column.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputColumn {
    /// Name.
    pub name: Arc<str>,
    /// Kind to decode to; `Any` lets the database decide per value.
    pub kind: ColumnKind,
    /// The storage type, where known (scale of decimals, digits of datetimes).
    pub storage: Option<StorageType>,
}

/// What an insert does about a row whose key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// Fail.
    #[default]
    Error,
    /// Keep the present row (primary key only, spec: manipulation §11).
    Skip,
    /// Replace its values; columns not listed get their defaults.
    Replace,
}

/// A bulk insert of encoded rows.
#[derive(Debug)]
pub struct Insert<'a> {
    /// Schema.
    pub schema: &'a str,
    /// Stored table name.
    pub table: &'a str,
    /// Column names with their storage types.
    pub columns: &'a [(Arc<str>, StorageType)],
    /// Primary-key columns (for conflicts).
    pub primary_key: &'a [Arc<str>],
    /// All other columns of the table with their default expression, for [`Conflict::Replace`].
    pub other_columns: &'a [Arc<str>],
    /// Rows in column order, values in stored form. None = the declared default.
    pub rows: &'a [Vec<Option<Value>>],
    /// What to do about duplicates.
    pub conflict: Conflict,
}

/// Batches of a running query. Dropping it cancels the query.
pub type BatchStream = Box<dyn Iterator<Item = Result<Batch>> + Send>;

/// One connection to a database. All methods take `&self`: an implementation locks inside.
///
/// Contract: `execute`, `insert` and `query` outside [`begin`](Backend::begin) are each atomic. A failed statement
/// undoes itself only and leaves an open transaction usable. Errors are mapped to [`crate::ErrorKind`]s (spec:
/// python-api §7); no driver error leaks.
pub trait Backend: Send + Sync + fmt::Debug {
    /// The text side.
    fn dialect(&self) -> &dyn Dialect;
    /// Executes a statement; rows affected.
    fn execute(&self, statement: &Statement) -> Result<u64>;
    /// Executes statements one after the other; together, where that saves round trips.
    fn execute_all(&self, statements: &[Statement]) -> Result<()> {
        statements
            .iter()
            .try_for_each(|statement| self.execute(statement).map(|_| ()))
    }
    /// Runs a query to its end.
    fn query(&self, statement: &Statement, columns: &[OutputColumn]) -> Result<Batch>;
    /// Runs a query whose columns are not known before: names come from the database, kinds are `Any`.
    fn query_any(&self, statement: &Statement) -> Result<Batch>;
    /// Runs a query in batches of at most `rows` rows, from a snapshot, in bounded memory; other statements may run
    /// on this connection meanwhile.
    fn stream(
        &self,
        statement: &Statement,
        columns: &[OutputColumn],
        rows: usize,
    ) -> Result<BatchStream>;
    /// Inserts rows in bulk, atomically; rows actually inserted.
    fn insert(&self, insert: &Insert<'_>) -> Result<u64>;

    /// Begins a transaction; an error if one is open.
    fn begin(&self) -> Result<()>;
    /// Commits.
    fn commit(&self) -> Result<()>;
    /// Rolls back; harmless without a transaction.
    fn rollback(&self) -> Result<()>;
    /// True while a transaction is open.
    fn in_transaction(&self) -> bool;
    /// Sets a savepoint.
    fn savepoint(&self, name: &str) -> Result<()>;
    /// Releases a savepoint.
    fn release(&self, name: &str) -> Result<()>;
    /// Rolls back to a savepoint.
    fn rollback_to(&self, name: &str) -> Result<()>;
    /// Begins a transaction during which no other transaction that has called [`lock_writer`](Backend::lock_writer)
    /// for one of these schemas is open: waits for them to end, and makes those wait that come later. Whatever they
    /// committed is visible in it.
    fn begin_collecting(&self, schemas: &[&str]) -> Result<()>;
    /// True if at most one transaction is open at a time, so that any transaction keeps writers of objects out.
    fn serializes_writers(&self) -> bool {
        false
    }
    /// Tells that the open transaction is about to commit rows which name objects, or may reuse such objects; lasts
    /// until it ends. Many may hold it at once; see [`begin_collecting`](Backend::begin_collecting).
    fn lock_writer(&self, schema: &str) -> Result<()>;
    /// Executes statements that create hidden tables if they are not there, without ending an open transaction (some
    /// databases commit it before DDL: they use another connection).
    fn prepare_hidden(&self, statements: &[Statement]) -> Result<()>;

    /// Names of all schemas, sorted.
    fn schemas(&self) -> Result<Vec<String>>;
    /// Creates a schema; an error if it exists.
    fn create_schema(&self, schema: &str) -> Result<()>;
    /// Removes an empty schema from the catalogue together with what hidden tables are left.
    fn drop_schema(&self, schema: &str) -> Result<()>;
    /// All tables of a schema with columns, keys, indexes and comments, hidden tables included, in a handful of queries.
    fn catalog(&self, schema: &str) -> Result<Vec<CatalogTable>>;
    /// As [`catalog`](Backend::catalog) for several schemas at once, in the same handful of queries.
    fn catalogs(&self, schemas: &[&str]) -> Result<Vec<Vec<CatalogTable>>> {
        schemas.iter().map(|schema| self.catalog(schema)).collect()
    }
    /// One table as [`catalog`](Backend::catalog) has it; none if it is not there. Costs no more for a large schema.
    fn catalog_of(&self, schema: &str, table: &str) -> Result<Option<CatalogTable>> {
        let tables = self.catalog(schema)?;
        Ok(tables.into_iter().find(|t| t.name == table))
    }
    /// Foreign keys of any schema that reference tables of this one: (child schema, child table).
    fn referencing(&self, schema: &str) -> Result<Vec<(String, String)>>;
    /// Fills in [`known_type`](crate::sql::ColumnSpec::known_type) of a table about to be created.
    fn known_types(&self, _table: &mut TableSpec) -> Result<()> {
        Ok(())
    }
    /// Drops a table and what belongs to it in the catalogue (comments).
    fn drop_table(&self, schema: &str, table: &str) -> Result<()>;

    /// Runs what [`Dialect::alter_table`] gave, all of it or nothing (as far as the database can undo DDL). `seen` is the
    /// catalogue's version when that was made: if it has changed, nothing is done and it is an error.
    fn alter_table(&self, statements: &[Statement], _seen: Option<u64>) -> Result<()> {
        let run = || {
            statements
                .iter()
                .try_for_each(|s| self.execute(s).map(|_| ()))
        };
        if !self.dialect().transactional_ddl() {
            return run();
        }
        self.begin()?;
        let result = run().and_then(|()| self.commit());
        if result.is_err() {
            // The caller is told of the first error; a second one has the same cause.
            let _ = self.rollback();
        }
        result
    }

    /// User name, host or file: for reprs and provenance.
    fn describe(&self) -> String;
    /// `user@host`.
    fn user(&self) -> Result<String>;
    /// Identifier of the session.
    fn connection_id(&self) -> i64;
    /// True if the connection is alive.
    fn is_connected(&self) -> bool;
    /// A number that changes whenever any connection changes the catalogue (tables, comments): the key of catalogue
    /// caches. Cheap; `None` if the server has none: then what is cached lasts until this connection changes the
    /// catalogue itself or finds that it must have changed (an absent table or attribute).
    fn catalog_version(&self) -> Result<Option<u64>> {
        Ok(None)
    }
    /// The clock of the database, UTC, to the microsecond.
    fn now(&self) -> Result<jiff::civil::DateTime>;
    /// Closes it; using it afterwards is an error of kind `LostConnection`.
    fn close(&self);
}
