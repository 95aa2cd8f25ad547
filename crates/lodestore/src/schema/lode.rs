//! The open database with its stores, codecs and caches.

use std::sync::Arc;

use super::{Declare, Declared, Dependencies, Heading};
use crate::codec::Registry;
use crate::config::Config;
use crate::definition::TableName;
use crate::error::{Error, Result};
use crate::sql::{Backend, CatalogIndex, Dialect};
use crate::store::StoreSet;

/// An open database with its stores. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Lode {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Lode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lode({})", self.inner.backend.describe())
    }
}

struct Inner {
    config: Config,
    backend: Arc<dyn Backend>,
    stores: Arc<StoreSet>,
    codecs: Arc<Registry>,
}

impl Lode {
    /// Opens `sqlite:///path/to/file.db`, `sqlite://file.db` or `sqlite://:memory:` with default settings.
    pub fn open(_url: &str) -> Result<Lode> {
        Err(Error::unsupported("being written"))
    }

    /// The connection.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.inner.backend
    }

    /// The text side of the database.
    pub fn dialect(&self) -> &dyn Dialect {
        self.inner.backend.dialect()
    }

    /// The codecs.
    pub fn codecs(&self) -> &Arc<Registry> {
        &self.inner.codecs
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The configured stores.
    pub fn stores(&self) -> &Arc<StoreSet> {
        &self.inner.stores
    }

    /// True if both share one connection (operands of a join must).
    pub fn same_connection(&self, other: &Lode) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Names of all schemas, sorted.
    pub fn schemas(&self) -> Result<Vec<String>> {
        self.inner.backend.schemas()
    }

    /// True if the schema exists.
    pub fn schema_exists(&self, _schema: &str) -> Result<bool> {
        Err(Error::unsupported("being written"))
    }

    /// Creates a schema with its `~lode_dropped` table. An error if it exists or its name is not valid (spec:
    /// definition §1).
    pub fn create_schema(&self, _schema: &str) -> Result<()> {
        Err(Error::unsupported("being written"))
    }

    /// Drops a schema with all its tables; [`crate::ErrorKind::Integrity`] if another schema references it.
    pub fn drop_schema(&self, _schema: &str) -> Result<()> {
        Err(Error::unsupported("being written"))
    }

    /// The visible tables of a schema in topological order, parts directly after their master.
    pub fn tables(&self, _schema: &str) -> Result<Vec<TableName>> {
        Err(Error::unsupported("being written"))
    }

    /// All tables of a schema, hidden ones included, sorted by name.
    pub fn all_tables(&self, _schema: &str) -> Result<Vec<TableName>> {
        Err(Error::unsupported("being written"))
    }

    /// True if the table is there.
    pub fn is_declared(&self, _table: &TableName) -> Result<bool> {
        Err(Error::unsupported("being written"))
    }

    /// The heading of a table, cached. An undeclared table is an error of kind [`crate::ErrorKind::MissingTable`].
    pub fn heading(&self, _table: &TableName) -> Result<Arc<Heading>> {
        Err(Error::unsupported("being written"))
    }

    /// Declares a table (spec: definition §10). Everything is checked before any DDL; types, table, indexes, comments
    /// and lineage are one transaction. An error inside a transaction.
    pub fn declare(&self, _declare: Declare<'_>) -> Result<Declared> {
        Err(Error::unsupported("being written"))
    }

    /// The differences between a definition and the declared table, as sentences; empty if there are none.
    pub fn check_definition(&self, _declare: Declare<'_>) -> Result<Vec<String>> {
        Err(Error::unsupported("being written"))
    }

    /// The definition that would declare the table as it is (spec: definition §7.3). `name` gives the class name of a
    /// referenced table, if the caller knows one; else the quoted full name is printed.
    pub fn describe(&self, _table: &TableName, _name: &dyn Fn(&TableName) -> Option<String>) -> Result<String> {
        Err(Error::unsupported("being written"))
    }

    /// Indexes other than the primary key, support indexes included.
    pub fn indexes(&self, _table: &TableName) -> Result<Vec<CatalogIndex>> {
        Err(Error::unsupported("being written"))
    }

    /// The foreign keys among all tables reachable from these schemas, in both directions and across schemas.
    pub fn dependencies(&self, _schemas: &[&str]) -> Result<Arc<Dependencies>> {
        Err(Error::unsupported("being written"))
    }

    /// `schema.table.attribute` → origin, for a schema.
    pub fn lineage(&self, _schema: &str) -> Result<Vec<(String, String)>> {
        Err(Error::unsupported("being written"))
    }

    /// True if the schema records lineage.
    pub fn lineage_table_exists(&self, _schema: &str) -> Result<bool> {
        Err(Error::unsupported("being written"))
    }

    /// Recomputes the lineage of a schema from its foreign keys, then replaces it in one transaction.
    pub fn rebuild_lineage(&self, _schema: &str) -> Result<()> {
        Err(Error::unsupported("being written"))
    }

    /// Drops one table with its lineage; [`crate::ErrorKind::Integrity`] if another table references it. No error if
    /// it is not declared.
    pub fn drop_table(&self, _table: &TableName) -> Result<()> {
        Err(Error::unsupported("being written"))
    }

    /// Begins a transaction; an error if one is open, which stays untouched.
    pub fn begin(&self) -> Result<()> {
        self.inner.backend.begin()
    }

    /// Commits.
    pub fn commit(&self) -> Result<()> {
        self.inner.backend.commit()
    }

    /// Rolls back; harmless without a transaction.
    pub fn rollback(&self) -> Result<()> {
        self.inner.backend.rollback()
    }

    /// True while a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.inner.backend.in_transaction()
    }

    /// Runs `body` in a transaction: commit on success, rollback on error or panic. Inside an open transaction it
    /// becomes a savepoint of that one.
    pub fn transaction<T>(&self, _body: impl FnOnce() -> Result<T>) -> Result<T> {
        Err(Error::unsupported("being written"))
    }

    /// Runs `body` under a savepoint of the open transaction; an error without one.
    pub fn savepoint<T>(&self, _body: impl FnOnce() -> Result<T>) -> Result<T> {
        Err(Error::unsupported("being written"))
    }

    /// Forgets what is cached about a schema (someone else may have changed it).
    pub fn refresh(&self, _schema: &str) {}
}
