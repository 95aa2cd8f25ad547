//! The verbs: statements, transactions, schemas.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures_util::StreamExt;
use md5::{Digest, Md5};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::decode::Decoder;
use super::insert::Plan;
use super::session::{Link, Run, Session};
use super::stream::{Spare, Stream};
use super::{PostgresDialect, bind, catalog, ddl, errors};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{
    Backend, BatchStream, CatalogTable, Dialect, Insert, OutputColumn, ServerOptions, Statement,
    TableSpec,
};
use crate::value::{Batch, Value};

/// A connection to one database of a PostgreSQL server.
pub struct Postgres {
    options: ServerOptions,
    session: RwLock<Arc<Session>>,
    /// A session for the next stream.
    spare: Spare,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres({})", self.describe())
    }
}

impl Postgres {
    /// Connects.
    ///
    /// Errors: [`ErrorKind::Access`] if the server does not let the user in, or has no such database;
    /// [`ErrorKind::LostConnection`] if it does not answer; [`ErrorKind::Config`] for certificates that cannot be read.
    pub fn open(options: ServerOptions) -> Result<Postgres> {
        let session = Session::open(&options)?;
        Ok(Postgres {
            options,
            session: RwLock::new(Arc::new(session)),
            spare: Arc::new(Mutex::new(None)),
        })
    }

    /// The session of this process: a fork opens its own, and leaves the parent's alone.
    fn session(&self) -> Result<Arc<Session>> {
        let session = Arc::clone(&self.session.read().unwrap_or_else(PoisonError::into_inner));
        if session.process == std::process::id() {
            return Ok(session);
        }
        let mut current = self.session.write().unwrap_or_else(PoisonError::into_inner);
        if current.process != std::process::id() {
            *current = Arc::new(Session::open(&self.options)?);
        }
        Ok(Arc::clone(&current))
    }

    fn run<T: Send>(
        &self,
        run: Run,
        work: impl AsyncFn(&mut Link) -> Result<T> + Sync,
    ) -> Result<T> {
        self.session()?.run(&self.options, run, work)
    }

    fn select(&self, statement: &Statement, columns: Option<&[OutputColumn]>) -> Result<Batch> {
        let run = match is_read(&statement.text) {
            true => Run::Read,
            false => Run::Write,
        };
        self.run(run, async |link| query(link, statement, columns).await)
    }

    /// Advisory locks are of one database, and have numbers for names.
    fn lock_number(&self, schema: &str) -> i64 {
        let database = self
            .options
            .database
            .as_deref()
            .unwrap_or(&self.options.user);
        let hash = Md5::digest(format!("lodestore:{database}:{schema}").as_bytes());
        hash[..8]
            .iter()
            .fold(0_i64, |n, b| (n << 8) | i64::from(*b))
    }

    /// The error of a foreign key names the parent without its schema; the constraint knows it.
    fn name_parent(&self, error: Error) -> Error {
        let Some(db) = errors::server(&error) else {
            return error;
        };
        let (Some(schema), Some(table), Some(constraint)) =
            (db.schema(), db.table(), db.constraint())
        else {
            return error;
        };
        if *db.code() != SqlState::FOREIGN_KEY_VIOLATION {
            return error;
        }
        let wanted = [schema.to_owned(), table.to_owned(), constraint.to_owned()];
        let parent = self.run(Run::Read, async |link| {
            catalog::parent(link, &wanted[0], &wanted[1], &wanted[2]).await
        });
        match (parent, error.place().attribute.clone()) {
            (Ok(Some((schema, table))), Some(columns))
                if error.message().contains("names a row") =>
            {
                error.reword(format!(
                    "the foreign key ({columns}) names a row that `{schema}.{table}` does not have"
                ))
            }
            _ => error,
        }
    }
}

/// The prepared statement for these parameters.
pub(super) async fn prepared(
    link: &mut Link,
    statement: &Statement,
) -> Result<tokio_postgres::Statement> {
    statement.params.iter().try_for_each(bind::check)?;
    let prepared = link.prepare(&statement.text).await?;
    let (given, expected) = (statement.params.len(), prepared.params().len());
    if given != expected {
        return Err(Error::new(
            ErrorKind::QuerySyntax,
            format!("the statement takes {expected} parameters, {given} were given"),
        )
        .hint(format!("In the statement: {}", statement.text)));
    }
    let wider = |(value, type_)| bind::wider(value, type_);
    let pairs = || statement.params.iter().zip(prepared.params());
    if is_read(&statement.text) && pairs().any(|pair| wider(pair).is_some()) {
        let types: Vec<Type> = pairs()
            .map(|(value, type_)| bind::wider(value, type_).unwrap_or_else(|| type_.clone()))
            .collect();
        return link.prepare_anew(&statement.text, &types).await;
    }
    Ok(prepared)
}

async fn query(
    link: &mut Link,
    statement: &Statement,
    columns: Option<&[OutputColumn]>,
) -> Result<Batch> {
    let prepared = prepared(link, statement).await?;
    let mut decoder = Decoder::new(columns, prepared.columns())?;
    let params = statement.params.iter().map(bind::Parameter);
    let rows = link.client.query_raw(&prepared, params).await;
    let mut rows = pin!(rows.map_err(|e| link.fail(e, &statement.text))?);
    while let Some(row) = rows.next().await {
        decoder.push(&row.map_err(|e| link.fail(e, &statement.text))?)?;
    }
    Ok(decoder.finish())
}

async fn execute(link: &mut Link, statement: &Statement) -> Result<u64> {
    let text = &statement.text;
    let changed = if statement.params.is_empty() {
        link.client.execute_typed(text, &[]).await
    } else {
        let prepared = prepared(link, statement).await?;
        let params = statement.params.iter().map(bind::Parameter);
        link.client.execute_raw(&prepared, params).await
    };
    let changed = changed.map_err(|e| link.fail(e, text))?;
    match first_word(text).as_str() {
        "ALTER" | "DROP" => link.forget(),
        "SELECT" | "VALUES" | "SHOW" | "TABLE" | "FETCH" => return Ok(0),
        _ => {}
    }
    Ok(changed)
}

fn first_word(text: &str) -> String {
    text.trim_start_matches(|c: char| c.is_whitespace() || c == '(')
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase()
}

/// True if a statement can be repeated without harm.
fn is_read(text: &str) -> bool {
    match first_word(text).as_str() {
        "SELECT" | "VALUES" | "SHOW" | "TABLE" => true,
        "WITH" => {
            let upper = text.to_ascii_uppercase();
            !["INSERT", "UPDATE", "DELETE", "MERGE"]
                .iter()
                .any(|word| upper.contains(word))
        }
        _ => false,
    }
}

/// True for what was lost against another session that created the same thing at the same moment.
fn is_creation_race(error: &Error, text: &str) -> bool {
    text.contains("IF NOT EXISTS")
        && errors::code(error).is_some_and(|code| {
            *code == SqlState::UNIQUE_VIOLATION
                || *code == SqlState::DUPLICATE_TABLE
                || *code == SqlState::DUPLICATE_OBJECT
        })
}

impl Backend for Postgres {
    fn dialect(&self) -> &dyn Dialect {
        &PostgresDialect
    }

    fn execute(&self, statement: &Statement) -> Result<u64> {
        // Transactions are begun and ended by their own verbs, so that the session knows of them.
        match (
            first_word(&statement.text).as_str(),
            statement.text.to_ascii_uppercase(),
        ) {
            ("BEGIN" | "START", _) => return self.begin().map(|()| 0),
            ("COMMIT" | "END", _) => return self.commit().map(|()| 0),
            ("ROLLBACK" | "ABORT", text) if !text.contains(" TO ") => {
                return self.rollback().map(|()| 0);
            }
            ("ROLLBACK" | "SAVEPOINT" | "RELEASE", _) => {
                return self.run(Run::Bare, async |link| execute(link, statement).await);
            }
            _ => {}
        }
        let run = match is_read(&statement.text) {
            true => Run::Read,
            false => Run::Write,
        };
        let once = || self.run(run, async |link| execute(link, statement).await);
        match once() {
            Err(error) if is_creation_race(&error, &statement.text) => once(),
            other => other,
        }
    }

    fn execute_all(&self, statements: &[Statement]) -> Result<()> {
        if statements.iter().any(|s| !s.params.is_empty()) || !self.in_transaction() {
            return statements
                .iter()
                .try_for_each(|statement| self.execute(statement).map(|_| ()));
        }
        let texts: Vec<&str> = statements.iter().map(|s| s.text.as_str()).collect();
        let together = texts.join(";\n");
        self.run(Run::Write, async |link| {
            link.batch(&together).await?;
            Ok(())
        })
    }

    fn query(&self, statement: &Statement, columns: &[OutputColumn]) -> Result<Batch> {
        self.select(statement, Some(columns))
    }

    fn query_any(&self, statement: &Statement) -> Result<Batch> {
        self.select(statement, None)
    }

    /// Outside a transaction a session of its own reads a snapshot; inside one a cursor of this session does.
    fn stream(
        &self,
        statement: &Statement,
        columns: &[OutputColumn],
        rows: usize,
    ) -> Result<BatchStream> {
        let rows = rows.clamp(1, 1 << 20);
        let session = self.session()?;
        let stream = match self.in_transaction() {
            true => Stream::shared(&self.options, session, statement, columns, rows)?,
            false => {
                // Refuses a closed connection.
                session.run(&self.options, Run::Bare, async |_| Ok(()))?;
                Stream::own(&self.options, &self.spare, statement, columns, rows)?
            }
        };
        Ok(Box::new(stream))
    }

    fn insert(&self, insert: &Insert<'_>) -> Result<u64> {
        if insert.rows.is_empty() {
            return Ok(0);
        }
        let plan = Plan::new(insert)?;
        let run = match plan.is_single() {
            true => Run::Write,
            false => Run::Several,
        };
        self.run(run, async |link| plan.run(link).await)
            .map_err(|e| match e.kind() {
                ErrorKind::Integrity => self.name_parent(e),
                _ => e,
            })
    }

    fn begin(&self) -> Result<()> {
        self.session()?
            .begin(&self.options, "BEGIN", async |_| Ok(()))
    }

    fn commit(&self) -> Result<()> {
        self.session()?.commit()
    }

    fn rollback(&self) -> Result<()> {
        self.session()?.rollback()
    }

    fn in_transaction(&self) -> bool {
        self.session().is_ok_and(|s| s.lock().transaction.is_some())
    }

    fn savepoint(&self, name: &str) -> Result<()> {
        if !self.in_transaction() {
            return Err(Error::invalid("a savepoint needs an open transaction"));
        }
        let text = format!("SAVEPOINT {}", PostgresDialect.quote(name));
        self.run(Run::Bare, async |link| link.batch(&text).await)
    }

    fn release(&self, name: &str) -> Result<()> {
        let text = format!("RELEASE SAVEPOINT {}", PostgresDialect.quote(name));
        self.run(Run::Bare, async |link| link.batch(&text).await)
    }

    fn rollback_to(&self, name: &str) -> Result<()> {
        let text = format!("ROLLBACK TO SAVEPOINT {}", PostgresDialect.quote(name));
        self.run(Run::Bare, async |link| link.batch(&text).await)
    }

    fn begin_collecting(&self, schemas: &[&str]) -> Result<()> {
        // In one order, so that two collectors do not wait for each other.
        let mut numbers: Vec<i64> = schemas.iter().map(|s| self.lock_number(s)).collect();
        numbers.sort_unstable();
        let locks: Vec<String> = numbers
            .iter()
            .map(|n| format!("SELECT pg_catalog.pg_advisory_xact_lock({n})"))
            .collect();
        let locks = locks.join(";");
        // Each statement sees what was committed before it.
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        self.session()?
            .begin(&self.options, begin, async |link| link.batch(&locks).await)
    }

    fn lock_writer(&self, schema: &str) -> Result<()> {
        let number = self.lock_number(schema);
        let text = format!("SELECT pg_catalog.pg_advisory_xact_lock_shared({number})");
        // Lasts as long as the transaction: the savepoint around it is released, not rolled back.
        self.run(Run::Write, async |link| link.batch(&text).await)
    }

    fn prepare_hidden(&self, statements: &[Statement]) -> Result<()> {
        let once = || {
            self.run(Run::Several, async |link| {
                for statement in statements {
                    execute(link, statement).await?;
                }
                Ok(())
            })
        };
        match once() {
            Err(error) if statements.iter().any(|s| is_creation_race(&error, &s.text)) => once(),
            other => other,
        }
    }

    fn schemas(&self) -> Result<Vec<String>> {
        self.run(Run::Read, async |link| catalog::schemas(link).await)
    }

    fn create_schema(&self, schema: &str) -> Result<()> {
        ddl::check_schema_name(schema)?;
        let text = format!("CREATE SCHEMA {}", PostgresDialect.quote(schema));
        self.run(Run::Write, async |link| link.batch(&text).await)
            .map_err(|e| match errors::code(&e) {
                Some(code) if *code == SqlState::DUPLICATE_SCHEMA => {
                    Error::invalid(format!("the schema `{schema}` exists already")).with_source(e)
                }
                _ => e,
            })
    }

    fn drop_schema(&self, schema: &str) -> Result<()> {
        self.run(Run::Several, async |link| {
            ddl::drop_schema(link, schema).await
        })
    }

    fn catalog(&self, schema: &str) -> Result<Vec<CatalogTable>> {
        Ok(self.catalogs(&[schema])?.pop().unwrap_or_default())
    }

    fn catalogs(&self, schemas: &[&str]) -> Result<Vec<Vec<CatalogTable>>> {
        self.run(Run::Read, async |link| {
            catalog::catalogs(link, schemas, None).await
        })
    }

    fn catalog_of(&self, schema: &str, table: &str) -> Result<Option<CatalogTable>> {
        let found = self.run(Run::Read, async |link| {
            catalog::catalogs(link, &[schema], Some(table)).await
        })?;
        Ok(found.into_iter().flatten().next())
    }

    fn referencing(&self, schema: &str) -> Result<Vec<(String, String)>> {
        self.run(Run::Read, async |link| {
            catalog::referencing(link, schema).await
        })
    }

    fn known_types(&self, table: &mut TableSpec) -> Result<()> {
        let known = self.run(Run::Read, async |link| {
            catalog::known_types(link, table).await
        })?;
        for (column, known) in table.columns.iter_mut().zip(known) {
            column.known_type = known;
        }
        Ok(())
    }

    fn drop_table(&self, schema: &str, table: &str) -> Result<()> {
        self.run(Run::Several, async |link| {
            ddl::drop_table(link, schema, table).await
        })
    }

    fn describe(&self) -> String {
        format!("postgresql://{}", self.options.shown())
    }

    fn user(&self) -> Result<String> {
        let host = match self.options.is_socket() {
            true => "localhost",
            false => &self.options.host,
        };
        Ok(format!("{}@{host}", self.options.user))
    }

    fn connection_id(&self) -> i64 {
        let id = |s: Arc<Session>| s.lock().link.as_ref().map_or(0, |l| l.id);
        self.session().map_or(0, id)
    }

    fn is_connected(&self) -> bool {
        self.session().is_ok_and(|s| s.is_alive())
    }

    fn now(&self) -> Result<jiff::civil::DateTime> {
        let statement = Statement::new("SELECT pg_catalog.clock_timestamp() AT TIME ZONE 'UTC'");
        match self.query_any(&statement)?.value(0, 0) {
            Value::DateTime(now) => Ok(now),
            _ => Err(Error::new(
                ErrorKind::Query,
                "the server's clock cannot be read",
            )),
        }
    }

    fn close(&self) {
        if let Ok(session) = self.session() {
            session.close();
        }
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
