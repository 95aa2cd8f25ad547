//! The open database with its stores, codecs and caches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::snapshot::{LINEAGE, Snapshot};
use super::{
    Alteration, Declare, Declared, Dependencies, Heading, HiddenColumns, alter, declare,
    dependencies, describe, drop, lineage,
};
use crate::codec::Registry;
use crate::config::Config;
use crate::definition::{SchemaName, TableName};
use crate::error::{Error, Result, did_you_mean};
use crate::sql::{self, Backend, CatalogIndex, Dialect};
use crate::store::StoreSet;

/// An open database with its stores. Cheap to clone; all clones share one connection.
///
/// A transaction belongs to the connection, hence to all clones. What is cached about a schema is read again as soon as
/// anyone changes the catalogue.
#[derive(Clone)]
pub struct Lode {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<dyn Backend>,
    config: Config,
    stores: Arc<StoreSet>,
    codecs: Arc<Registry>,
    schemas: Mutex<HashMap<String, Arc<Snapshot>>>,
}

impl std::fmt::Debug for Lode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lode({})", self.inner.backend.describe())
    }
}

impl Lode {
    /// Opens a database by URL (`sqlite://file.db`, `postgresql://user@host/database`, `mysql://user@host`; see
    /// [`Config::for_url`]), with everything else as environment and configuration files say.
    pub fn open(url: &str) -> Result<Lode> {
        Lode::connect(Config::for_url(url)?)
    }

    /// Opens the database that a configuration names, with the codecs of this process.
    pub fn connect(config: Config) -> Result<Lode> {
        let stores = Arc::new(StoreSet::new(config.clone()));
        Lode::connect_with(config, stores)
    }

    /// As [`Lode::connect`], with stores that are open already.
    pub fn connect_with(config: Config, stores: Arc<StoreSet>) -> Result<Lode> {
        let backend = sql::connect(&config)?;
        Ok(Lode::with_parts(
            config,
            backend,
            stores,
            Arc::clone(Registry::global()),
        ))
    }

    /// From parts, for tests and for embedding.
    pub fn with_parts(
        config: Config,
        backend: Arc<dyn Backend>,
        stores: Arc<StoreSet>,
        codecs: Arc<Registry>,
    ) -> Lode {
        Lode {
            inner: Arc::new(Inner {
                backend,
                config,
                stores,
                codecs,
                schemas: Mutex::default(),
            }),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The connection.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.inner.backend
    }

    /// The text side of the database.
    pub fn dialect(&self) -> &dyn Dialect {
        self.inner.backend.dialect()
    }

    /// The stores.
    pub fn stores(&self) -> &Arc<StoreSet> {
        &self.inner.stores
    }

    /// The codecs.
    pub fn codecs(&self) -> &Arc<Registry> {
        &self.inner.codecs
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
    pub fn schema_exists(&self, schema: &str) -> Result<bool> {
        Ok(self.schemas()?.iter().any(|s| s == schema))
    }

    /// Creates a schema with its `~lode_dropped` table. An error if it exists or its name is not valid (spec:
    /// definition §1).
    pub fn create_schema(&self, schema: &str) -> Result<()> {
        let name = SchemaName::new(schema)?;
        let same = |s: &&String| s.to_lowercase() == schema.to_lowercase();
        if let Some(other) = self.schemas()?.iter().find(same) {
            return Err(match other == schema {
                true => Error::invalid(format!("the schema `{schema}` exists already")),
                // Not every database tells them apart, and no person does.
                false => Error::invalid(format!(
                    "the name `{schema}` differs from that of the schema `{other}` in upper and lower case only"
                )),
            });
        }
        let result = self.declaring(|| {
            self.inner.backend.create_schema(name.as_str())?;
            self.run(self.dialect().create_dropped_table(name.as_str())?)
        });
        self.refresh(schema);
        result
    }

    /// Drops a schema with all its tables; [`crate::ErrorKind::Integrity`] if another schema references it.
    pub fn drop_schema(&self, schema: &str) -> Result<()> {
        self.require_schema(schema)?;
        drop::schema(self, schema)
    }

    /// The visible tables of a schema in topological order, parts directly after their master.
    pub fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        self.look_again();
        let order = self.dependencies(&[schema])?.topo_sort()?;
        Ok(order.into_iter().filter(|t| t.schema == schema).collect())
    }

    /// All tables of a schema, hidden ones included, sorted by name.
    pub fn all_tables(&self, schema: &str) -> Result<Vec<TableName>> {
        let snapshot = self.snapshot(schema)?;
        Ok(snapshot
            .tables
            .iter()
            .map(|t| snapshot.table_name(t))
            .collect())
    }

    /// True if the table is there.
    pub fn is_declared(&self, table: &TableName) -> Result<bool> {
        Ok(self.snapshot_with(table)?.table(&table.name).is_some())
    }

    /// The heading of a table, cached. An undeclared table is an error of kind [`crate::ErrorKind::MissingTable`].
    pub fn heading(&self, table: &TableName) -> Result<Arc<Heading>> {
        let snapshot = self.snapshot_with(table)?;
        if snapshot.tables.is_empty() {
            self.require_schema(&table.schema)?;
        }
        snapshot.heading(self, &table.name)
    }

    /// Declares a table (spec: definition §10), unless it is declared already; then nothing happens. Everything is
    /// checked before any DDL; types, table, indexes, comments and lineage are one transaction. An error inside a
    /// transaction.
    pub fn declare(&self, declare: Declare<'_>) -> Result<Declared> {
        declare::declare(self, declare)
    }

    /// The differences between a definition and the declared table, as sentences; empty if there are none.
    pub fn check_definition(&self, declare: Declare<'_>) -> Result<Vec<String>> {
        alter::differences(self, declare)
    }

    /// Records the lineage of a declared table again if its primary key has lost some: true if it had (spec: definition
    /// §9).
    pub fn restore_lineage(&self, declare: Declare<'_>) -> Result<bool> {
        declare::restore_lineage(self, declare)
    }

    /// What it takes to change a declared table to a changed definition (spec: definition §11): a plan to look at and
    /// to execute. Refused ([`crate::ErrorKind::Unsupported`]): changes of the primary key, of foreign keys, of indexes,
    /// and of types that the values cannot follow. An error inside a transaction.
    pub fn alter(&self, declare: Declare<'_>) -> Result<Alteration> {
        alter::plan(self, declare)
    }

    /// What it takes to add the hidden columns that a table of its tier has by these settings and that are not there
    /// (spec: definition §6).
    pub fn add_hidden_columns(
        &self,
        table: &TableName,
        hidden: HiddenColumns,
    ) -> Result<Alteration> {
        alter::add_hidden(self, table, hidden)
    }

    /// What it takes to write the markers that are missing from the comments of a table's columns: without its marker
    /// a codec attribute is raw data (spec: definition §5, §14).
    pub fn restore_markers(&self, declare: Declare<'_>) -> Result<Alteration> {
        alter::restore_markers(self, declare)
    }

    /// The statement that sets a table's replica identity to full, or to its default; an error except on PostgreSQL.
    pub fn replica_identity(&self, table: &TableName, full: bool) -> Result<sql::Statement> {
        self.snapshot_with(table)?.require(&table.name)?;
        self.dialect()
            .replica_identity(&table.schema, &table.name, full)
    }

    /// The definition that would declare the table as it is (spec: definition §7.3). `name` gives the class name of a
    /// referenced table, if the caller knows one; else the quoted full name is printed.
    pub fn describe(
        &self,
        table: &TableName,
        name: &dyn Fn(&TableName) -> Option<String>,
    ) -> Result<String> {
        describe::describe(self, table, name)
    }

    /// Indexes other than the primary key, support indexes included.
    pub fn indexes(&self, table: &TableName) -> Result<Vec<CatalogIndex>> {
        Ok(self
            .snapshot_with(table)?
            .require(&table.name)?
            .indexes
            .clone())
    }

    /// The foreign keys among all tables reachable from these schemas, in both directions and across schemas.
    pub fn dependencies(&self, schemas: &[&str]) -> Result<Arc<Dependencies>> {
        dependencies::load(self, schemas).map(Arc::new)
    }

    /// (`schema.table.attribute`, origin) of a schema, sorted.
    pub fn lineage(&self, schema: &str) -> Result<Vec<(String, String)>> {
        let snapshot = self.snapshot(schema)?;
        let name = |(table, attribute): &(String, String)| format!("{schema}.{table}.{attribute}");
        let mut lineage: Vec<_> = snapshot
            .lineage
            .iter()
            .map(|(k, origin)| (name(k), origin.to_string()))
            .collect();
        lineage.sort();
        Ok(lineage)
    }

    /// True if the schema records lineage.
    pub fn lineage_table_exists(&self, schema: &str) -> Result<bool> {
        Ok(self.snapshot(schema)?.table(LINEAGE).is_some())
    }

    /// Recomputes the lineage of a schema from its foreign keys, then replaces it in one transaction.
    pub fn rebuild_lineage(&self, schema: &str) -> Result<()> {
        self.require_schema(schema)?;
        let result = lineage::rebuild(self, schema);
        self.refresh(schema);
        result
    }

    /// Drops one table with its lineage; [`crate::ErrorKind::Integrity`] if another table references it. No error if
    /// it is not declared.
    pub fn drop_table(&self, table: &TableName) -> Result<()> {
        drop::table(self, table)
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
        let result = self.inner.backend.rollback();
        self.rolled_back();
        result
    }

    /// True while a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.inner.backend.in_transaction()
    }

    /// Runs `body` in a transaction: commit on success, rollback on error or panic. Inside an open transaction it
    /// becomes a savepoint of that one, so that a failure undoes `body` only.
    pub fn transaction<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.in_transaction() {
            return self.savepoint(body);
        }
        self.begin()?;
        self.finish(body)
    }

    /// Runs `body` in the transaction that has just begun, and ends it.
    fn finish<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut undo = Undo {
            lode: self,
            savepoint: None,
            done: false,
        };
        let value = body()?;
        self.commit()?;
        undo.done = true;
        Ok(value)
    }

    /// Runs declarations in a transaction, where a transaction covers them; elsewhere one that is open would be
    /// committed by them, which is refused.
    pub(super) fn declaring<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.dialect().transactional_ddl() {
            true => self.transaction(body),
            false if self.in_transaction() => Err(Error::invalid(
                "tables and schemas cannot be created or dropped inside a transaction of this database",
            )
            .hint("It would be committed by that. Commit or roll back first.")),
            false => body(),
        }
    }

    /// Runs `body` under a savepoint of the open transaction; an error without one.
    pub fn savepoint<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        // Some servers forget an outer savepoint of the same name.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("lode_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.inner.backend.savepoint(&name)?;
        let mut undo = Undo {
            lode: self,
            savepoint: Some(name.clone()),
            done: false,
        };
        let value = body()?;
        self.inner.backend.release(&name)?;
        undo.done = true;
        Ok(value)
    }

    /// As [`transaction`](Lode::transaction), while no other connection can commit rows that name objects: whoever
    /// removes objects looks for references in here. An error inside an open transaction, unless that keeps all others
    /// out anyway.
    pub fn exclusively<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let backend = &self.inner.backend;
        if self.in_transaction() {
            if backend.serializes_writers() {
                return self.savepoint(body);
            }
            return Err(Error::invalid(
                "objects cannot be removed inside a transaction: other connections may rely on them",
            ));
        }
        let mut schemas = self.schemas()?;
        loop {
            let names: Vec<&str> = schemas.iter().map(String::as_str).collect();
            backend.begin_collecting(&names)?;
            // The writers of a schema that was created while this waited are not kept out.
            let now = self.schemas().inspect_err(|_| {
                let _ = backend.rollback();
            })?;
            if now.iter().all(|s| schemas.contains(s)) {
                return self.finish(body);
            }
            backend.rollback()?;
            schemas = now;
        }
    }

    /// Forgets what is cached about a schema (someone else may have changed it).
    pub fn refresh(&self, schema: &str) {
        self.known().remove(schema);
    }

    /// Notes that a table was declared or dropped: it is read again when somebody asks. Where the catalogue has a
    /// version, that tells when.
    pub(super) fn refresh_table(&self, table: &TableName) {
        let known = self.known().get(&table.schema).cloned();
        match known {
            Some(snapshot) if snapshot.version.is_none() => snapshot.mark(&table.name),
            _ => self.refresh(&table.schema),
        }
    }

    /// Forgets what is cached about all schemas.
    pub fn refresh_all(&self) {
        self.known().clear();
    }

    /// The catalogue may be at a version whose number it had before, with other content.
    fn rolled_back(&self) {
        // Where the catalogue has no version, who changes it forgets what is cached, also on failure.
        if !matches!(self.inner.backend.catalog_version(), Ok(None)) {
            self.refresh_all();
        }
    }

    /// The schema's catalogue, from the cache if nothing has changed since.
    pub(super) fn snapshot(&self, schema: &str) -> Result<Arc<Snapshot>> {
        let mut found = self.snapshots(&[schema])?;
        found
            .pop()
            .ok_or_else(|| Error::invalid(format!("there is no schema `{schema}`")))
    }

    /// The catalogues of several schemas, in the same order; those that are not cached are read together.
    pub(super) fn snapshots(&self, schemas: &[&str]) -> Result<Vec<Arc<Snapshot>>> {
        let mut cached: Vec<Option<Arc<Snapshot>>> = {
            let known = self.known();
            schemas.iter().map(|s| known.get(*s).cloned()).collect()
        };
        for known in &mut cached {
            let Some(before) = known.take() else { continue };
            *known = Snapshot::up_to_date(Arc::clone(&before), &*self.inner.backend)?;
            if let Some(now) = known.as_ref().filter(|now| !Arc::ptr_eq(now, &before)) {
                self.known().insert(now.schema.clone(), Arc::clone(now));
            }
        }
        let now = match cached.iter().any(Option::is_some) {
            true => self.inner.backend.catalog_version()?,
            false => None,
        };
        let valid = |s: &Option<Arc<Snapshot>>| s.as_ref().is_some_and(|s| s.version == now);
        let missing: Vec<&str> = schemas
            .iter()
            .zip(&cached)
            .filter(|(_, cached)| !valid(cached))
            .map(|(schema, _)| *schema)
            .collect();
        let mut fresh = match missing.is_empty() {
            true => Vec::new(),
            false => Snapshot::read(&*self.inner.backend, &missing)?,
        }
        .into_iter()
        .map(Arc::new);
        let mut found = Vec::with_capacity(schemas.len());
        let mut known = self.known();
        for cached in cached {
            match cached.filter(|s| s.version == now) {
                Some(cached) => found.push(cached),
                None => {
                    if let Some(read) = fresh.next() {
                        known.insert(read.schema.clone(), Arc::clone(&read));
                        found.push(read);
                    }
                }
            }
        }
        Ok(found)
    }

    /// As [`Lode::snapshot`]; if the table is not in it, what may be old is read once again.
    pub(super) fn snapshot_with(&self, table: &TableName) -> Result<Arc<Snapshot>> {
        let known = self.known().get(&table.schema).cloned();
        let Some(known) = known.filter(|s| s.version.is_none()) else {
            return self.snapshot(&table.schema);
        };
        // Only this table must be known as it is now.
        if known.table(&table.name).is_some() && !known.stale().contains(&table.name) {
            return Ok(known);
        }
        let now = Arc::new(known.with_table(&*self.inner.backend, &table.name)?);
        self.known().insert(table.schema.clone(), Arc::clone(&now));
        Ok(now)
    }

    /// Forgets what may be old: for operations that are to see what is there now, whoever made it.
    pub fn look_again(&self) {
        self.known().retain(|_, s| s.version.is_some());
    }

    /// As [`Lode::look_again`], and reads what is not known of these schemas together.
    pub(crate) fn look_again_at(&self, schemas: &[String]) -> Result<()> {
        self.look_again();
        let names: Vec<&str> = schemas.iter().map(String::as_str).collect();
        self.snapshots(&names).map(|_| ())
    }

    /// Reads a table's schema again if what is cached may be old: it has no version, and was not read just now. True if
    /// the table has other columns than before.
    pub(crate) fn read_again(&self, table: &TableName, age: Duration) -> Result<bool> {
        let before = self.known().get(&table.schema).cloned();
        let Some(before) = before.filter(|b| b.version.is_none() && b.read_at.elapsed() > age)
        else {
            return Ok(false);
        };
        self.refresh(&table.schema);
        let now = self.snapshot(&table.schema)?;
        let columns = |s: &Snapshot| s.table(&table.name).map(|t| t.columns.clone());
        Ok(columns(&before) != columns(&now))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Snapshot>>> {
        self.inner
            .schemas
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn require_schema(&self, schema: &str) -> Result<()> {
        let schemas = self.schemas()?;
        if schemas.iter().any(|s| s == schema) {
            return Ok(());
        }
        let error = Error::invalid(format!("there is no schema `{schema}`"));
        Err(
            match did_you_mean(schema, schemas.iter().map(String::as_str)) {
                Some(hint) => error.hint(hint),
                None => error,
            },
        )
    }

    pub(super) fn run(&self, statements: Vec<sql::Statement>) -> Result<()> {
        self.inner.backend.execute_all(&statements)
    }
}

/// Undoes what was begun unless it was done, also when a panic passes by.
struct Undo<'a> {
    lode: &'a Lode,
    savepoint: Option<String>,
    done: bool,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // A failure here has a cause that the caller is told about already.
        let _ = match &self.savepoint {
            None => self.lode.inner.backend.rollback(),
            Some(name) => {
                let backend = &self.lode.inner.backend;
                backend
                    .rollback_to(name)
                    .and_then(|()| backend.release(name))
            }
        };
        self.lode.rolled_back();
    }
}
