//! The connection: sessions, transactions, and what happens when one is lost.
//!
//! A [`MySql`] is one session behind a lock. A process forked from this one opens a session of its own on first use;
//! what the parent had open stays the parent's.
//!
//! A lost connection is opened again where nothing can have been half done (spec: manipulation §9, §12.11): a read is
//! run once more, and so is a write that was not sent. A write whose outcome nobody knows is an error, and so is
//! everything inside a transaction, which is gone with its session.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::session::{Session, Transaction};
use super::stream::Stream;
use super::{MySqlDialect, catalog, errors, insert};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{
    Backend, BatchStream, CatalogTable, Dialect, Insert, OutputColumn, ServerOptions, Statement,
    TableSpec,
};
use crate::value::{Batch, ColumnKind, Value};

/// A session that was idle for longer is asked whether it is still there before it is used.
const IDLE: Duration = Duration::from_secs(1);

/// The table of each schema on which collectors and writers meet; not part of what the catalogue tells.
pub(super) const LOCK: &str = "~lode_lock";

/// The server's number for it.
const TABLE_IS_YOUNGER: u16 = 1412;

/// A connection to a MySQL or MariaDB server.
pub struct MySql {
    options: ServerOptions,
    dialect: MySqlDialect,
    holder: RwLock<Arc<Holder>>,
}

/// The session of one process.
struct Holder {
    process: u32,
    /// The session's number on the server; 0 if it is closed.
    id: AtomicI64,
    session: Mutex<State>,
}

enum State {
    Open(Box<Session>),
    Lost,
    Closed,
}

/// What may be done once more if the connection is lost while it runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Has no effect that could be there twice.
    Read,
    /// Only as long as nothing was sent.
    Write,
}

impl fmt::Debug for MySql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MySql({})", self.describe())
    }
}

impl MySql {
    /// Connects.
    ///
    /// Errors: [`ErrorKind::LostConnection`] if no server can be reached, [`ErrorKind::Access`] if it refuses the user,
    /// [`ErrorKind::Unsupported`] if it is too old.
    pub fn open(options: ServerOptions) -> Result<MySql> {
        let session = Session::open(&options)?;
        Ok(MySql {
            dialect: session.dialect,
            options,
            holder: RwLock::new(Arc::new(Holder::new(session))),
        })
    }

    fn holder(&self) -> Arc<Holder> {
        let holder = Arc::clone(&self.holder.read().unwrap_or_else(PoisonError::into_inner));
        if holder.process == std::process::id() {
            return holder;
        }
        let mut current = self.holder.write().unwrap_or_else(PoisonError::into_inner);
        if current.process != std::process::id() {
            // Opened on first use. The parent's socket must not be written to, not even to say goodbye.
            let fresh = Arc::new(Holder {
                process: std::process::id(),
                id: AtomicI64::new(0),
                session: Mutex::new(State::Lost),
            });
            std::mem::forget(std::mem::replace(&mut *current, fresh));
            std::mem::forget(holder);
        }
        Arc::clone(&current)
    }

    /// The session, opened again if it was lost and may be.
    fn alive<'g>(
        &self,
        holder: &Holder,
        guard: &'g mut MutexGuard<'_, State>,
        forked: bool,
    ) -> Result<&'g mut Session> {
        if let State::Open(session) = &mut **guard
            && self.options.reconnect
            && session.transaction == Transaction::None
            && session.used.elapsed() > IDLE
            && session.conn.ping().is_err()
        {
            **guard = State::Lost;
        }
        if let State::Lost = **guard {
            if !self.options.reconnect && !forked {
                return Err(Error::new(
                    ErrorKind::LostConnection,
                    "the connection to the database was lost",
                )
                .hint("Open it again, or set `database.reconnect`."));
            }
            let fresh = Session::open(&self.options)?;
            holder.id.store(fresh.id(), Ordering::Relaxed);
            **guard = State::Open(Box::new(fresh));
        }
        match &mut **guard {
            State::Open(session) => Ok(session),
            _ => Err(closed()),
        }
    }

    fn with<T>(&self, kind: Work, mut work: impl FnMut(&mut Session) -> Result<T>) -> Result<T> {
        let holder = self.holder();
        let mut guard = holder.lock();
        let mut again = self.options.reconnect;
        loop {
            let forked = holder.id.load(Ordering::Relaxed) == 0;
            let session = self.alive(&holder, &mut guard, forked)?;
            if session.transaction == Transaction::Undone {
                return Err(undone());
            }
            let transaction = session.transaction != Transaction::None;
            session.sent = false;
            let result = work(session);
            session.used = Instant::now();
            let sent = session.sent;
            let error = match result {
                Err(error) if error.kind() == ErrorKind::LostConnection => error,
                other => return other,
            };
            *guard = State::Lost;
            if transaction {
                return Err(error.hint(
                    "The open transaction is lost with it: nothing of it was stored. Run it again from its beginning.",
                ));
            }
            if kind == Work::Write && sent {
                return Err(error.hint(
                    "Nobody can tell whether this statement took effect: look before you run it again.",
                ));
            }
            if !again {
                return Err(error);
            }
            again = false;
        }
    }

    /// Runs statements on a short-lived session of their own.
    fn apart<T>(&self, work: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        work(&mut Session::open(&self.options)?)
    }

    fn make_lock_table(&self, schema: &str) -> Result<()> {
        let table = self.dialect.full_name(schema, LOCK);
        self.apart(|session| {
            session.command(&format!(
                "CREATE TABLE IF NOT EXISTS {table} (`id` tinyint NOT NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB"
            ))?;
            session.command(&format!("INSERT IGNORE INTO {table} VALUES (1)"))
        })
    }

    /// Locks the row that collectors and writers of a schema meet on. The table is made if it is not there.
    fn lock_row(&self, schema: &str, how: &str) -> Result<()> {
        let text = format!(
            "SELECT `id` FROM {} {how}",
            self.dialect.full_name(schema, LOCK)
        );
        let lock = || self.with(Work::Read, |session| session.command(&text));
        let result = match lock() {
            Err(e) if e.kind() == ErrorKind::MissingTable => {
                self.make_lock_table(schema)?;
                lock()
            }
            other => other,
        };
        match result {
            // The table is younger than the snapshot of this transaction, which cannot see it: another session holds
            // the lock for it.
            Err(e) if errors::code(&e) == Some(TABLE_IS_YOUNGER) => {
                let mut keeper = Session::open(&self.options)?;
                keeper.command("START TRANSACTION")?;
                keeper.command(&text)?;
                if let State::Open(session) = &mut *self.holder().lock() {
                    session.keepers.push(keeper);
                }
                Ok(())
            }
            other => other,
        }
    }
}

impl Holder {
    fn new(session: Session) -> Holder {
        Holder {
            process: std::process::id(),
            id: AtomicI64::new(session.id()),
            session: Mutex::new(State::Open(Box::new(session))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::LostConnection, "the connection is closed").hint("Open it again.")
}

fn undone() -> Error {
    Error::new(
        ErrorKind::Deadlock,
        "the database has undone this transaction because of an earlier error",
    )
    .hint("Roll it back, and run it again from its beginning.")
}

fn no_transaction(message: &str) -> Error {
    Error::invalid(message)
}

impl Backend for MySql {
    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn execute(&self, statement: &Statement) -> Result<u64> {
        self.with(Work::Write, |session| session.execute(statement))
    }

    /// What has nothing to bind is not worth the round trip of preparing it.
    fn execute_all(&self, statements: &[Statement]) -> Result<()> {
        statements.iter().try_for_each(|statement| {
            self.with(Work::Write, |session| {
                if !statement.params.is_empty() {
                    return session.execute(statement).map(|_| ());
                }
                session.check_size(&statement.text, &[])?;
                session.sent = true;
                session.command(&statement.text)
            })
        })
    }

    fn query(&self, statement: &Statement, columns: &[OutputColumn]) -> Result<Batch> {
        self.with(Work::Read, |session| {
            session.query(statement, Some(columns))
        })
    }

    fn query_any(&self, statement: &Statement) -> Result<Batch> {
        self.with(Work::Read, |session| session.query(statement, None))
    }

    /// Outside a transaction a second session reads a snapshot in a thread of its own. In one, whose changes must be
    /// seen, the result is read to its end at once, as columns, and handed out in parts.
    fn stream(
        &self,
        statement: &Statement,
        columns: &[OutputColumn],
        rows: usize,
    ) -> Result<BatchStream> {
        let rows = rows.max(1);
        if !self.in_transaction() {
            if let State::Closed = *self.holder().lock() {
                return Err(closed());
            }
            let stream = Stream::start(&self.options, statement.clone(), columns.to_vec(), rows)?;
            return Ok(Box::new(stream));
        }
        let mut batches = Vec::new();
        self.with(Work::Read, |session| {
            session.batches(statement, Some(columns), rows, &mut |batch| {
                if batch.rows > 0 {
                    batches.push(Ok(batch));
                }
                true
            })
        })?;
        Ok(Box::new(batches.into_iter()))
    }

    fn insert(&self, insert: &Insert<'_>) -> Result<u64> {
        if insert.rows.is_empty() {
            return Ok(0);
        }
        self.with(Work::Write, |session| match insert.rows {
            // One statement, which undoes itself.
            [_] => insert::insert(session, insert),
            _ => session.atomically(|session| insert::insert(session, insert)),
        })
    }

    fn begin(&self) -> Result<()> {
        self.with(Work::Read, |session| match session.transaction {
            Transaction::None => {
                session.command("START TRANSACTION WITH CONSISTENT SNAPSHOT")?;
                session.transaction = Transaction::Open;
                Ok(())
            }
            _ => Err(Error::invalid("a transaction is open already")
                .hint("Commit it first, or use a savepoint to nest on purpose.")),
        })
    }

    fn commit(&self) -> Result<()> {
        let holder = self.holder();
        let mut guard = holder.lock();
        let State::Open(session) = &mut *guard else {
            return Err(no_transaction("there is no transaction to commit"));
        };
        match session.transaction {
            Transaction::None => return Err(no_transaction("there is no transaction to commit")),
            Transaction::Undone => return Err(undone()),
            Transaction::Open => {}
        }
        let result = session.command("COMMIT");
        match &result {
            Err(e) if e.kind() == ErrorKind::LostConnection => {
                *guard = State::Lost;
                return result.map_err(|e| {
                    e.hint("Nobody can tell whether the transaction was committed: look before you run it again.")
                });
            }
            Err(_) if session.transaction == Transaction::Open => {}
            _ => {
                session.transaction = Transaction::None;
                session.keepers.clear();
            }
        }
        session.used = Instant::now();
        result
    }

    fn rollback(&self) -> Result<()> {
        let holder = self.holder();
        let mut guard = holder.lock();
        let State::Open(session) = &mut *guard else {
            return Ok(());
        };
        if session.transaction == Transaction::None {
            return Ok(());
        }
        session.transaction = Transaction::None;
        let result = session.command("ROLLBACK");
        session.keepers.clear();
        match result {
            // The server rolls back what a lost session had open.
            Err(e) if e.kind() == ErrorKind::LostConnection => {
                *guard = State::Lost;
                Ok(())
            }
            other => other,
        }
    }

    fn in_transaction(&self) -> bool {
        matches!(&*self.holder().lock(), State::Open(session) if session.transaction != Transaction::None)
    }

    fn savepoint(&self, name: &str) -> Result<()> {
        self.with(Work::Write, |session| match session.transaction {
            Transaction::None => Err(no_transaction("a savepoint needs an open transaction")),
            _ => session.command(&format!("SAVEPOINT {}", self.dialect.quote(name))),
        })
    }

    fn release(&self, name: &str) -> Result<()> {
        self.with(Work::Write, |session| {
            session.command(&format!("RELEASE SAVEPOINT {}", self.dialect.quote(name)))
        })
    }

    fn rollback_to(&self, name: &str) -> Result<()> {
        self.with(Work::Write, |session| {
            session.command(&format!(
                "ROLLBACK TO SAVEPOINT {}",
                self.dialect.quote(name)
            ))
        })
    }

    fn begin_collecting(&self, schemas: &[&str]) -> Result<()> {
        // Sorted, so that two collectors never wait for each other.
        let schemas = self.with(Work::Read, |s| catalog::pipelines(s, schemas))?;
        for schema in &schemas {
            self.lock_row(schema, "LIMIT 0")?;
        }
        // Without a snapshot: that is taken by the first read, hence after the locks.
        self.with(Work::Read, |session| match session.transaction {
            Transaction::None => {
                session.command("START TRANSACTION")?;
                session.transaction = Transaction::Open;
                Ok(())
            }
            _ => Err(Error::invalid("a transaction is open already")),
        })?;
        schemas
            .iter()
            .try_for_each(|schema| self.lock_row(schema, "FOR UPDATE"))
            .inspect_err(|_| {
                let _ = self.rollback();
            })
    }

    fn lock_writer(&self, schema: &str) -> Result<()> {
        self.lock_row(schema, "LOCK IN SHARE MODE")
    }

    /// The types of the columns that foreign keys reference, and their collation if it is not what the schema gives
    /// anyway: a key of text needs the same on both sides (spec: definition §14).
    fn known_types(&self, table: &mut TableSpec) -> Result<()> {
        self.with(Work::Read, |session| catalog::known_types(session, table))
    }

    fn prepare_hidden(&self, statements: &[Statement]) -> Result<()> {
        let run = |session: &mut Session| {
            statements
                .iter()
                .try_for_each(|s| session.execute(s).map(|_| ()))
        };
        // A declaration commits what is open.
        match self.in_transaction() {
            true => self.apart(run),
            false => self.with(Work::Read, run),
        }
    }

    /// All but the server's own.
    fn schemas(&self) -> Result<Vec<String>> {
        self.with(Work::Read, catalog::schemas)
    }

    /// In the server's character set and collation if pipelines are there that have them: keys of text can be shared
    /// only between equal ones. Otherwise texts are compared exactly, as on the other databases.
    fn create_schema(&self, schema: &str) -> Result<()> {
        if schema.is_empty() || schema.contains(['.', '/', '\\', '\0']) || schema.ends_with(' ') {
            return Err(Error::invalid(format!(
                "`{schema}` cannot be the name of a schema on MySQL"
            )));
        }
        let exact = self.with(Work::Read, catalog::pipelines_are_exact)?;
        let mut text = format!("CREATE DATABASE {}", self.dialect.quote(schema));
        if exact {
            text.push_str(" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        }
        self.execute(&Statement::new(text))?;
        self.make_lock_table(schema)
    }

    fn drop_schema(&self, schema: &str) -> Result<()> {
        if let Some(table) = self
            .with(Work::Read, |s| catalog::tables(s, schema))?
            .into_iter()
            .find(|t| !t.starts_with('~'))
        {
            return Err(Error::new(
                ErrorKind::Integrity,
                format!("the schema `{schema}` still has tables"),
            )
            .table(schema, table));
        }
        let text = format!("DROP DATABASE {}", self.dialect.quote(schema));
        self.execute(&Statement::new(text)).map(|_| ())
    }

    fn catalog(&self, schema: &str) -> Result<Vec<CatalogTable>> {
        Ok(self.catalogs(&[schema])?.pop().unwrap_or_default())
    }

    fn catalogs(&self, schemas: &[&str]) -> Result<Vec<Vec<CatalogTable>>> {
        self.with(Work::Read, |session| {
            catalog::catalogs(session, schemas, None)
        })
    }

    fn catalog_of(&self, schema: &str, table: &str) -> Result<Option<CatalogTable>> {
        let found = self.with(Work::Read, |session| {
            catalog::catalogs(session, &[schema], Some(table))
        })?;
        Ok(found.into_iter().flatten().next())
    }

    fn referencing(&self, schema: &str) -> Result<Vec<(String, String)>> {
        self.with(Work::Read, |session| catalog::referencing(session, schema))
    }

    fn drop_table(&self, schema: &str, table: &str) -> Result<()> {
        let text = format!("DROP TABLE {}", self.dialect.full_name(schema, table));
        self.execute(&Statement::new(text))
            .map(|_| ())
            .map_err(|e| {
                let referenced = matches!(errors::code(&e), Some(1451 | 1217 | 3730));
                match referenced {
                    true => e
                        .reword("the table is referenced by another one")
                        .table(schema, table)
                        .hint("Drop that table first."),
                    false => e.table(schema, table),
                }
            })
    }

    fn describe(&self) -> String {
        format!("mysql:{}", self.options.shown())
    }

    fn user(&self) -> Result<String> {
        let batch = self.query_any(&Statement::new("SELECT user()"))?;
        match batch.value(0, 0) {
            Value::Text(user) => Ok(user),
            _ => Ok(format!("{}@", self.options.user)),
        }
    }

    fn connection_id(&self) -> i64 {
        self.holder().id.load(Ordering::Relaxed)
    }

    fn is_connected(&self) -> bool {
        let holder = self.holder();
        let mut guard = holder.lock();
        match &mut *guard {
            State::Open(session) => match session.conn.ping() {
                Ok(()) => true,
                Err(_) => {
                    *guard = State::Lost;
                    false
                }
            },
            _ => false,
        }
    }

    fn now(&self) -> Result<jiff::civil::DateTime> {
        let column = OutputColumn {
            name: "now".into(),
            kind: ColumnKind::DateTime,
            storage: None,
        };
        let batch = self.query(&Statement::new("SELECT UTC_TIMESTAMP(6)"), &[column])?;
        match batch.value(0, 0) {
            Value::DateTime(now) => Ok(now),
            _ => Err(Error::new(
                ErrorKind::Query,
                "the server does not tell the time",
            )),
        }
    }

    fn close(&self) {
        let holder = self.holder();
        *holder.lock() = State::Closed;
        holder.id.store(0, Ordering::Relaxed);
    }
}
