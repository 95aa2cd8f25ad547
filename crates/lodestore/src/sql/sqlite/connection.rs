//! The connection: opening a file, its marks, statements, transactions, streaming.
//!
//! A [`Sqlite`] is one SQLite connection behind a lock. A process forked from this one gets a connection of its own on
//! first use (SQLite forbids to carry one across a fork); what the parent had open stays the parent's.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rand::Rng;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, InterruptHandle, OpenFlags};

use super::decode::Decoder;
use super::{SqliteDialect, bind, catalog, ddl, errors, functions, insert};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{Backend, BatchStream, CatalogTable, Dialect, Insert, OutputColumn, Statement};
use crate::value::{Batch, ColumnKind};

/// "LODE": marks a file as ours.
const APPLICATION_ID: i64 = 0x4C4F_4445;
/// Version of the file's layout.
const USER_VERSION: i64 = 1;

/// How to open a file.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// How long to wait for a lock that another connection holds.
    pub busy_timeout: Duration,
    /// Create the file if it is not there.
    pub create: bool,
    /// Open for reading only.
    pub read_only: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            busy_timeout: Duration::from_secs(30),
            create: true,
            read_only: false,
        }
    }
}

/// A connection to one SQLite file, or to a private database in memory.
pub struct Sqlite {
    /// None for `:memory:`.
    path: Option<PathBuf>,
    options: SqliteOptions,
    session: RwLock<Arc<Session>>,
}

/// One open handle, of one process.
struct Session {
    process: u32,
    id: i64,
    /// Readers may run beside a writer, so that a stream needs no copy.
    wal: bool,
    connection: Mutex<Option<Connection>>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sqlite({})", self.describe())
    }
}

impl Sqlite {
    /// Opens a file, making a new one ready for use; `:memory:` is a private database that ends with the connection.
    ///
    /// Errors: [`ErrorKind::Access`] for a folder, a missing folder or missing permissions; [`ErrorKind::Invalid`] for
    /// a file that is not a Lodestore database; [`ErrorKind::LockTimeout`] if someone else keeps it locked.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Sqlite> {
        let path = path.as_ref();
        let path = match path.as_os_str() == ":memory:" {
            true => None,
            // Absolute, so that a later change of the working directory does not matter.
            false => Some(std::path::absolute(path).map_err(|e| Error::io("find", path, e))?),
        };
        let session = Session::open(path.as_deref(), &options)?;
        Ok(Sqlite {
            path,
            options,
            session: RwLock::new(Arc::new(session)),
        })
    }

    /// The file; none for a database in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn session(&self) -> Result<Arc<Session>> {
        let session = Arc::clone(&self.session.read().unwrap_or_else(PoisonError::into_inner));
        if session.process == std::process::id() {
            return Ok(session);
        }
        let mut current = self.session.write().unwrap_or_else(PoisonError::into_inner);
        if current.process != std::process::id() {
            if self.path.is_none() {
                return Err(Error::new(
                    ErrorKind::LostConnection,
                    "a database in memory belongs to the process that opened it, and this is a fork of that process",
                ));
            }
            let fresh = Arc::new(Session::open(self.path.as_deref(), &self.options)?);
            // The parent's handle must not even be closed here: closing drops the parent's locks on the file.
            std::mem::forget(std::mem::replace(&mut *current, fresh));
            std::mem::forget(session);
        }
        Ok(Arc::clone(&current))
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let session = self.session()?;
        let guard = session.lock();
        match &*guard {
            Some(connection) => work(connection),
            None => Err(closed()),
        }
    }

    /// Runs `work` atomically: in a transaction of its own, or under a savepoint of the open one.
    fn atomically<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.with(|connection| atomically(connection, work))
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::LostConnection, "the connection is closed").hint("Open it again.")
}

fn batch(connection: &Connection, sql: &str) -> Result<()> {
    connection
        .execute_batch(sql)
        .map_err(|e| errors::map(e, sql))
}

fn atomically<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    let (begin, commit, undo) = match connection.is_autocommit() {
        true => ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"),
        false => (
            "SAVEPOINT \"~lode\"",
            "RELEASE \"~lode\"",
            "ROLLBACK TO \"~lode\"; RELEASE \"~lode\"",
        ),
    };
    batch(connection, begin)?;
    let result = work(connection).and_then(|value| batch(connection, commit).map(|()| value));
    if result.is_err() && !connection.is_autocommit() {
        // Some errors (a full disk) have rolled back already; then there is nothing left to undo.
        let _ = connection.execute_batch(undo);
    }
    result
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn open(path: Option<&Path>, options: &SqliteOptions) -> Result<Session> {
        let connection = match path {
            None => connect(None, options)?,
            Some(path) => {
                check_place(path, options)?;
                connect(Some(path), options)?
            }
        };
        let wal = initialise(&connection, path, options)?;
        Ok(Session {
            process: std::process::id(),
            id: rand::rng().random_range(1..i64::MAX),
            wal: wal && path.is_some(),
            connection: Mutex::new(Some(connection)),
        })
    }
}

/// What SQLite would only call "unable to open", said clearly.
fn check_place(path: &Path, options: &SqliteOptions) -> Result<()> {
    let refuse = |message: String| {
        Err(Error::new(ErrorKind::Access, message).path(path.display().to_string()))
    };
    if path.is_dir() {
        return refuse(format!(
            "{} is a folder, not a database file",
            path.display()
        ));
    }
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return refuse(format!("the folder {} does not exist", folder.display()));
    }
    if !path.exists() && (options.read_only || !options.create) {
        return Err(Error::new(
            ErrorKind::FileNotFound,
            format!("there is no database file {}", path.display()),
        )
        .path(path.display().to_string()));
    }
    Ok(())
}

fn connect(path: Option<&Path>, options: &SqliteOptions) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags |= match options.read_only {
        true => OpenFlags::SQLITE_OPEN_READ_ONLY,
        false => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    if options.create && !options.read_only {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let opened = match path {
        None => Connection::open_in_memory_with_flags(flags),
        Some(path) => Connection::open_with_flags(path, flags),
    };
    let failed = |e: rusqlite::Error| opening_error(errors::map(e, ""), path);
    let connection = opened.map_err(failed)?;
    let setup = || -> rusqlite::Result<()> {
        connection.busy_timeout(options.busy_timeout)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_prepared_statement_cache_capacity(128);
        functions::register(&connection)?;
        connection.execute_batch(
            "PRAGMA foreign_keys=ON; PRAGMA case_sensitive_like=ON; PRAGMA cache_size=-32768;",
        )
    };
    setup().map_err(failed)?;
    Ok(connection)
}

fn opening_error(error: Error, path: Option<&Path>) -> Error {
    let Some(path) = path else { return error };
    let shown = path.display().to_string();
    match error.kind() {
        // Everything that could be wrong with the place was ruled out before: what is left are permissions.
        ErrorKind::LostConnection if error.message().contains("unable to open") => Error::new(
            ErrorKind::Access,
            format!("the database file {shown} cannot be opened"),
        )
        .hint("Check the permissions of the file and of its folder (SQLite writes a journal beside the file).")
        .path(shown)
        .with_source(error),
        ErrorKind::LostConnection if error.message().contains("not a database") => {
            Error::invalid(format!("{shown} is not an SQLite database")).path(shown).with_source(error)
        }
        _ => error.path(shown),
    }
}

/// Checks the marks, makes a new file ready, and sets the journal. True under WAL. A foreign file is not touched.
fn initialise(
    connection: &Connection,
    path: Option<&Path>,
    options: &SqliteOptions,
) -> Result<bool> {
    let failed = |e: rusqlite::Error| opening_error(errors::map(e, ""), path);
    let number = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(failed)
    };
    let marked = |connection: &Connection| -> Result<bool> {
        let read = |sql: &str| {
            connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))
                .map_err(failed)
        };
        let shown = path.map_or_else(|| ":memory:".to_owned(), |p| p.display().to_string());
        match (read("PRAGMA application_id")?, read("PRAGMA user_version")?) {
            (APPLICATION_ID, USER_VERSION) => Ok(true),
            (APPLICATION_ID, version) => Err(Error::invalid(format!(
                "{shown} has layout {version}; this version of Lodestore knows layout {USER_VERSION}"
            ))
            .hint("Use the version of Lodestore that wrote it, or a newer one.")
            .path(shown)),
            (0, 0) if read("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(false),
            _ => Err(Error::invalid(format!("{shown} is an SQLite database of another program"))
                .hint("Choose another file name: Lodestore keeps its schemas in a file of its own.")
                .path(shown)),
        }
    };
    let ready = marked(connection)?;
    if options.read_only {
        return match ready {
            true => Ok(connection
                .query_row("PRAGMA journal_mode", [], |r| r.get::<_, String>(0))
                .map_err(failed)?
                == "wal"),
            false => Err(Error::invalid(
                "an empty file cannot be opened for reading only",
            )),
        };
    }
    let writable = !connection.is_readonly("main").map_err(failed)?;
    let mode: String = match writable {
        true => connection
            .query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
            .map_err(failed)?,
        false => connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .map_err(failed)?,
    };
    let wal = mode == "wal";
    batch(
        connection,
        if wal {
            "PRAGMA synchronous=NORMAL"
        } else {
            "PRAGMA synchronous=FULL"
        },
    )?;
    if !ready {
        // Another process may be doing the same: look again under the write lock.
        let prepare = |connection: &Connection| {
            if !marked(connection)? {
                batch(connection, ddl::CATALOG)?;
                batch(
                    connection,
                    &format!(
                        "PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={USER_VERSION}"
                    ),
                )?;
            }
            Ok(())
        };
        atomically(connection, prepare).map_err(|e| match path {
            Some(p) => e.path(p.display().to_string()),
            None => e,
        })?;
    }
    number("SELECT count(*) FROM \"~schema\"")?;
    Ok(wal)
}

fn prepared<'c>(
    connection: &'c Connection,
    statement: &Statement,
) -> Result<rusqlite::CachedStatement<'c>> {
    let mut prepared = connection
        .prepare_cached(&statement.text)
        .map_err(|e| errors::map(e, &statement.text))?;
    let expected = prepared.parameter_count();
    if expected != statement.params.len() {
        let given = statement.params.len();
        return Err(errors::map(
            rusqlite::Error::InvalidParameterCount(given, expected),
            &statement.text,
        ));
    }
    for (i, value) in statement.params.iter().enumerate() {
        let parameter = bind::parameter(value)?;
        prepared
            .raw_bind_parameter(i + 1, parameter)
            .map_err(|e| errors::map(e, &statement.text))?;
    }
    Ok(prepared)
}

fn run(
    connection: &Connection,
    statement: &Statement,
    columns: Option<&[OutputColumn]>,
) -> Result<Batch> {
    let mut prepared = prepared(connection, statement)?;
    let found;
    let columns = match columns {
        Some(columns) if columns.len() == prepared.column_count() => columns,
        Some(columns) => {
            return Err(Error::new(
                ErrorKind::Query,
                format!(
                    "the query gives {} columns, {} are expected",
                    prepared.column_count(),
                    columns.len()
                ),
            ));
        }
        None => {
            found = any_columns(&prepared);
            &found
        }
    };
    let mut decoder = Decoder::new(columns);
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next().map_err(|e| errors::map(e, &statement.text))? {
        decoder.push(row)?;
    }
    Ok(decoder.finish())
}

fn any_columns(statement: &rusqlite::Statement<'_>) -> Vec<OutputColumn> {
    statement
        .column_names()
        .map(|name| OutputColumn {
            name: name.into(),
            kind: ColumnKind::Any,
            storage: None,
        })
        .collect()
}

impl Backend for Sqlite {
    fn dialect(&self) -> &dyn Dialect {
        &SqliteDialect
    }

    fn execute(&self, statement: &Statement) -> Result<u64> {
        self.with(|connection| {
            let before = connection.total_changes();
            let mut prepared = prepared(connection, statement)?;
            let mut rows = prepared.raw_query();
            while rows
                .next()
                .map_err(|e| errors::map(e, &statement.text))?
                .is_some()
            {}
            drop(rows);
            // `changes` keeps the number of the last statement that changed rows, which need not be this one.
            Ok(if connection.total_changes() == before {
                0
            } else {
                connection.changes()
            })
        })
    }

    fn query(&self, statement: &Statement, columns: &[OutputColumn]) -> Result<Batch> {
        self.with(|connection| run(connection, statement, Some(columns)))
    }

    fn query_any(&self, statement: &Statement) -> Result<Batch> {
        self.with(|connection| run(connection, statement, None))
    }

    /// Outside a transaction a second, read-only connection reads a snapshot in a thread of its own. Where that is not
    /// possible (an open transaction whose changes must be seen, a database in memory, a journal that lets readers
    /// block writers) the result is read to its end at once, as columns, and handed out in parts.
    fn stream(
        &self,
        statement: &Statement,
        columns: &[OutputColumn],
        rows: usize,
    ) -> Result<BatchStream> {
        let rows = rows.max(1);
        let session = self.session()?;
        let in_transaction = match &*session.lock() {
            Some(connection) => !connection.is_autocommit(),
            None => return Err(closed()),
        };
        match &self.path {
            Some(path) if session.wal && !in_transaction => Ok(Box::new(Stream::start(
                path,
                &self.options,
                statement.clone(),
                columns.to_vec(),
                rows,
            )?)),
            _ => self.with(|connection| {
                let mut prepared = prepared(connection, statement)?;
                let mut decoder = Decoder::new(columns);
                let mut batches = Vec::new();
                let mut found = prepared.raw_query();
                while let Some(row) = found.next().map_err(|e| errors::map(e, &statement.text))? {
                    decoder.push(row)?;
                    if decoder.rows() == rows {
                        batches.push(Ok(decoder.finish()));
                    }
                }
                if decoder.rows() > 0 {
                    batches.push(Ok(decoder.finish()));
                }
                let stream: BatchStream = Box::new(batches.into_iter());
                Ok(stream)
            }),
        }
    }

    fn insert(&self, insert: &Insert<'_>) -> Result<u64> {
        if insert.rows.is_empty() {
            return Ok(0);
        }
        self.atomically(|connection| insert::insert(connection, insert))
    }

    fn begin(&self) -> Result<()> {
        self.with(|connection| match connection.is_autocommit() {
            true => batch(connection, "BEGIN IMMEDIATE"),
            false => Err(Error::invalid("a transaction is open already")
                .hint("Commit it first, or use a savepoint to nest on purpose.")),
        })
    }

    fn commit(&self) -> Result<()> {
        self.with(|connection| match connection.is_autocommit() {
            true => Err(Error::invalid("there is no transaction to commit")),
            false => batch(connection, "COMMIT"),
        })
    }

    fn rollback(&self) -> Result<()> {
        self.with(|connection| match connection.is_autocommit() {
            true => Ok(()),
            false => batch(connection, "ROLLBACK"),
        })
    }

    fn in_transaction(&self) -> bool {
        self.with(|connection| Ok(!connection.is_autocommit()))
            .unwrap_or(false)
    }

    fn savepoint(&self, name: &str) -> Result<()> {
        self.with(|connection| match connection.is_autocommit() {
            true => Err(Error::invalid("a savepoint needs an open transaction")),
            false => batch(
                connection,
                &format!("SAVEPOINT {}", SqliteDialect.quote(name)),
            ),
        })
    }

    fn release(&self, name: &str) -> Result<()> {
        self.with(|connection| {
            batch(
                connection,
                &format!("RELEASE {}", SqliteDialect.quote(name)),
            )
        })
    }

    fn rollback_to(&self, name: &str) -> Result<()> {
        self.with(|connection| {
            batch(
                connection,
                &format!("ROLLBACK TO {}", SqliteDialect.quote(name)),
            )
        })
    }

    fn begin_collecting(&self, _schemas: &[&str]) -> Result<()> {
        // The write lock keeps every other writer out.
        self.begin()
    }

    fn serializes_writers(&self) -> bool {
        true
    }

    fn lock_writer(&self, _schema: &str) -> Result<()> {
        Ok(())
    }

    fn prepare_hidden(&self, statements: &[Statement]) -> Result<()> {
        self.atomically(|connection| {
            statements
                .iter()
                .try_for_each(|s| run(connection, s, None).map(|_| ()))
        })
    }

    fn schemas(&self) -> Result<Vec<String>> {
        self.with(|connection| {
            let text = "SELECT \"schema_name\" FROM \"~schema\" ORDER BY 1";
            let mut prepared = connection
                .prepare_cached(text)
                .map_err(|e| errors::map(e, text))?;
            let names = prepared
                .query_map([], |row| row.get(0))
                .and_then(Iterator::collect);
            names.map_err(|e| errors::map(e, text))
        })
    }

    fn create_schema(&self, schema: &str) -> Result<()> {
        if schema.is_empty()
            || schema.contains('.')
            || schema.to_ascii_lowercase().starts_with("sqlite_")
        {
            return Err(Error::invalid(format!(
                "`{schema}` cannot be the name of a schema on SQLite"
            )));
        }
        let statement = Statement {
            text: "INSERT INTO \"~schema\" (\"schema_name\") VALUES (?1)".to_owned(),
            params: vec![schema.into()],
        };
        self.execute(&statement)
            .map(|_| ())
            .map_err(|e| match e.kind() {
                ErrorKind::Duplicate => Error::invalid(format!(
                    "the schema `{schema}` exists already"
                ))
                .hint("On SQLite the names of schemas differ by more than upper and lower case."),
                _ => e,
            })
    }

    fn drop_schema(&self, schema: &str) -> Result<()> {
        self.atomically(|connection| {
            for table in catalog::catalog(connection, schema)? {
                if !table.name.starts_with('~') {
                    return Err(Error::new(
                        ErrorKind::Integrity,
                        format!("the schema `{schema}` still has tables"),
                    )
                    .table(schema, table.name));
                }
                drop_table(connection, schema, &table.name)?;
            }
            for text in [
                "DELETE FROM \"~comment\" WHERE \"schema_name\" = ?1",
                "DELETE FROM \"~schema\" WHERE \"schema_name\" = ?1",
            ] {
                connection
                    .execute(text, [schema])
                    .map_err(|e| errors::map(e, text))?;
            }
            Ok(())
        })
    }

    fn catalog(&self, schema: &str) -> Result<Vec<CatalogTable>> {
        self.with(|connection| catalog::catalog(connection, schema))
    }

    fn referencing(&self, schema: &str) -> Result<Vec<(String, String)>> {
        self.with(|connection| children(connection, &format!("{schema}."), true))
    }

    fn drop_table(&self, schema: &str, table: &str) -> Result<()> {
        self.atomically(|connection| drop_table(connection, schema, table))
    }

    fn alter_table(&self, statements: &[Statement], seen: Option<u64>) -> Result<()> {
        // Under one lock: no other thread may write on this connection while its foreign keys are off.
        self.with(|connection| {
            if !connection.is_autocommit() {
                return Err(Error::invalid(
                    "a table cannot be altered inside a transaction",
                ));
            }
            // Only outside a transaction; a rebuild drops a table that others may reference.
            batch(connection, "PRAGMA foreign_keys=OFF")?;
            let result = atomically(connection, |connection| alter(connection, statements, seen));
            batch(connection, "PRAGMA foreign_keys=ON")?;
            result
        })
    }

    fn describe(&self) -> String {
        match &self.path {
            Some(path) => format!("sqlite:{}", path.display()),
            None => "sqlite::memory:".to_owned(),
        }
    }

    fn user(&self) -> Result<String> {
        let name = ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .find_map(|v| std::env::var(v).ok().filter(|n| !n.is_empty()));
        Ok(format!(
            "{}@localhost",
            name.as_deref().unwrap_or("unknown")
        ))
    }

    fn connection_id(&self) -> i64 {
        self.session().map_or(0, |s| s.id)
    }

    fn is_connected(&self) -> bool {
        self.with(|_| Ok(())).is_ok()
    }

    fn catalog_version(&self) -> Result<Option<u64>> {
        self.with(|connection| version(connection).map(Some))
    }

    fn now(&self) -> Result<jiff::civil::DateTime> {
        // The database is on this machine: its clock is ours, and finer than SQLite's.
        let now = jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now());
        Ok(now.round(jiff::Unit::Microsecond).unwrap_or(now))
    }

    fn close(&self) {
        if let Ok(session) = self.session() {
            *session.lock() = None;
        }
    }
}

/// Tables of other names that reference a table, or any table whose name begins with `name`.
fn children(connection: &Connection, name: &str, prefix: bool) -> Result<Vec<(String, String)>> {
    let condition = match prefix {
        true => "substr(f.\"table\", 1, length(?1)) = ?1 COLLATE NOCASE",
        false => "f.\"table\" = ?1 COLLATE NOCASE AND m.name <> ?1 COLLATE NOCASE",
    };
    let text = format!(
        "SELECT DISTINCT m.name FROM sqlite_schema m, pragma_foreign_key_list(m.name) f \
         WHERE m.type = 'table' AND {condition} ORDER BY 1"
    );
    let mut prepared = connection
        .prepare_cached(&text)
        .map_err(|e| errors::map(e, &text))?;
    let names: rusqlite::Result<Vec<String>> = prepared
        .query_map([name], |row| row.get(0))
        .and_then(Iterator::collect);
    let split = |full: String| match full.split_once('.') {
        Some((schema, table)) => (schema.to_owned(), table.to_owned()),
        None => (String::new(), full),
    };
    Ok(names
        .map_err(|e| errors::map(e, &text))?
        .into_iter()
        .map(split)
        .collect())
}

fn version(connection: &Connection) -> Result<u64> {
    let text = "PRAGMA schema_version";
    let mut prepared = connection
        .prepare_cached(text)
        .map_err(|e| errors::map(e, text))?;
    let version: i64 = prepared
        .query_row([], |row| row.get(0))
        .map_err(|e| errors::map(e, text))?;
    Ok(version as u64)
}

/// Inside a transaction without foreign keys: the statements, and a look at whether every reference still holds.
fn alter(connection: &Connection, statements: &[Statement], seen: Option<u64>) -> Result<()> {
    if seen.is_some_and(|seen| version(connection).is_ok_and(|now| now != seen)) {
        return Err(
            Error::invalid("the tables have changed since this change was planned")
                .hint("Look at them again and repeat."),
        );
    }
    for statement in statements {
        run(connection, statement, None)?;
    }
    Ok(())
}

fn drop_table(connection: &Connection, schema: &str, table: &str) -> Result<()> {
    // SQLite would drop a referenced table as long as no row stands in the way, and leave dangling keys.
    if let Some((child_schema, child)) = children(connection, &format!("{schema}.{table}"), false)?
        .into_iter()
        .next()
    {
        return Err(Error::new(
            ErrorKind::Integrity,
            format!("the table is referenced by `{child_schema}.{child}`"),
        )
        .table(schema, table)
        .hint("Drop that table first."));
    }
    batch(
        connection,
        &format!("DROP TABLE {}", SqliteDialect.full_name(schema, table)),
    )?;
    let text = "DELETE FROM \"~comment\" WHERE \"schema_name\" = ?1 AND \"table_name\" = ?2";
    connection
        .execute(text, [schema, table])
        .map_err(|e| errors::map(e, text))?;
    Ok(())
}

/// A query that runs in a thread, on a connection of its own. Dropping it interrupts the query.
struct Stream {
    batches: Receiver<Result<Batch>>,
    interrupt: InterruptHandle,
}

impl Stream {
    fn start(
        path: &Path,
        options: &SqliteOptions,
        statement: Statement,
        columns: Vec<OutputColumn>,
        rows: usize,
    ) -> Result<Stream> {
        // Not opened read-only: a reader of a WAL file may have to make its shared-memory file.
        let connection = connect(
            Some(path),
            &SqliteOptions {
                create: false,
                ..options.clone()
            },
        )?;
        // The first read fixes the snapshot, before the caller goes on and may write.
        batch(
            &connection,
            "PRAGMA query_only=ON; BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1",
        )?;
        drop(prepared(&connection, &statement)?);
        let interrupt = connection.get_interrupt_handle();
        let (sender, batches) = sync_channel(1);
        std::thread::Builder::new()
            .name("lodestore-stream".to_owned())
            .spawn(move || {
                if let Err(error) = produce(&connection, &statement, &columns, rows, &sender) {
                    let _ = sender.send(Err(error));
                }
            })
            .map_err(|e| Error::new(ErrorKind::Query, format!("no thread for the query: {e}")))?;
        Ok(Stream { batches, interrupt })
    }
}

fn produce(
    connection: &Connection,
    statement: &Statement,
    columns: &[OutputColumn],
    rows: usize,
    sender: &SyncSender<Result<Batch>>,
) -> Result<()> {
    let mut prepared = prepared(connection, statement)?;
    if prepared.column_count() != columns.len() {
        return Err(Error::new(
            ErrorKind::Query,
            format!(
                "the query gives {} columns, {} are expected",
                prepared.column_count(),
                columns.len()
            ),
        ));
    }
    let mut decoder = Decoder::new(columns);
    let mut found = prepared.raw_query();
    while let Some(row) = found.next().map_err(|e| errors::map(e, &statement.text))? {
        decoder.push(row)?;
        // A failed send means that nobody listens any more.
        if decoder.rows() == rows && sender.send(Ok(decoder.finish())).is_err() {
            return Ok(());
        }
    }
    if decoder.rows() > 0 {
        let _ = sender.send(Ok(decoder.finish()));
    }
    Ok(())
}

impl Iterator for Stream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.recv().ok()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.interrupt.interrupt();
    }
}
