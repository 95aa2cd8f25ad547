//! One session with the server: connecting, transactions, and what happens when the connection is lost.
//!
//! The driver is asynchronous; a session has a runtime of its own, on which the driver's task runs whenever somebody
//! waits for an answer. So nothing moves between calls, and no thread is kept.
//!
//! In a transaction each call stands under a savepoint, so that a failure undoes itself only. The savepoint is set and
//! released without waiting: the words travel with the statement, and cost no round trip.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{ServerOptions, Tls, tls};

/// Statements that are kept prepared.
const PREPARED: usize = 128;
/// Longer ones are not worth keeping: they hold lists, and will not come again.
const LONGEST_PREPARED: usize = 16_384;

/// The name is ours: savepoints of callers have others.
const SAVEPOINT: &str = "SAVEPOINT \"~lode\"";
const RELEASE: &str = "RELEASE SAVEPOINT \"~lode\"";
const UNDO: &str = "ROLLBACK TO SAVEPOINT \"~lode\"; RELEASE SAVEPOINT \"~lode\"";
/// The server answers `COMMIT` of a failed transaction with a silent rollback. A savepoint it refuses loudly.
const COMMIT: &str = "SAVEPOINT \"~lode\"; COMMIT";

/// How a piece of work is to be run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Run {
    /// It only reads: if the connection is lost it is done again.
    Read,
    /// One statement that writes, atomic by itself.
    Write,
    /// Several statements that shall be one.
    Several,
    /// Bare: inside a snapshot that nobody else uses, or words that steer the transaction itself.
    Bare,
}

/// A connection.
pub(super) struct Link {
    pub(super) client: Client,
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
    /// The server's process.
    pub(super) id: i64,
    pub(super) user: String,
    /// The server has said good-bye; the socket may still look open for a moment.
    lost: bool,
    prepared: HashMap<String, (tokio_postgres::Statement, u64)>,
    clock: u64,
}

/// What may change about a session.
pub(super) struct State {
    pub(super) link: Option<Link>,
    /// Closed by the caller, for good.
    closed: bool,
    /// The number of the open transaction.
    pub(super) transaction: Option<u64>,
    begun: u64,
}

/// One session, of one process.
pub(super) struct Session {
    pub(super) process: u32,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    state: Mutex<State>,
}

fn lost(message: &str) -> Error {
    Error::new(ErrorKind::LostConnection, message)
}

fn closed() -> Error {
    lost("the connection is closed").hint("Open it again.")
}

impl Session {
    pub(super) fn open(options: &ServerOptions) -> Result<Session> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| {
                Error::new(
                    ErrorKind::Query,
                    format!("no event loop for the connection: {e}"),
                )
            })?;
        let session = Session {
            process: std::process::id(),
            runtime: Some(runtime),
            state: Mutex::new(State {
                link: None,
                closed: false,
                transaction: None,
                begun: 0,
            }),
        };
        let link = session.block_on(async || Link::connect(options).await)?;
        session.lock().link = Some(link);
        Ok(session)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for asynchronous work; on a thread of its own if this one belongs to somebody's runtime.
    fn block_on<T: Send>(&self, work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
        let Some(runtime) = &self.runtime else {
            return Err(closed());
        };
        if Handle::try_current().is_err() {
            return runtime.block_on(work());
        }
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| runtime.block_on(work()));
            match waiting.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs work on the connection, opened anew if it was lost and nothing can have been half done.
    pub(super) fn run<T: Send>(
        &self,
        options: &ServerOptions,
        run: Run,
        work: impl AsyncFn(&mut Link) -> Result<T> + Sync,
    ) -> Result<T> {
        let mut guard = self.lock();
        let state: &mut State = &mut guard;
        self.block_on(async || {
            let mut again = run == Run::Read && options.reconnect;
            loop {
                state.ready(options).await?;
                let inside = state.transaction.is_some();
                let Some(link) = &mut state.link else {
                    return Err(closed());
                };
                let error = match link.attempt(run, inside, &work).await {
                    Err(error) if error.kind() == ErrorKind::LostConnection => error,
                    other => return other,
                };
                link.lost = true;
                if inside {
                    return Err(state.transaction_lost(error));
                }
                if !again {
                    return Err(match run {
                        Run::Read | Run::Bare => error,
                        Run::Write | Run::Several => error.hint(
                            "Nobody knows whether the statement was carried out: look before you repeat it.",
                        ),
                    });
                }
                again = false;
            }
        })
    }

    /// Begins a transaction. Until the first statement nothing is at stake: it is begun anew on a new connection.
    pub(super) fn begin<T: Send>(
        &self,
        options: &ServerOptions,
        text: &str,
        first: impl AsyncFn(&mut Link) -> Result<T> + Sync,
    ) -> Result<T> {
        let mut guard = self.lock();
        let state: &mut State = &mut guard;
        self.block_on(async || {
            if state.transaction.is_some() && !state.is_dead().await {
                return Err(Error::invalid("a transaction is open already")
                    .hint("Commit it first, or use a savepoint to nest on purpose."));
            }
            let mut again = options.reconnect;
            loop {
                state.ready(options).await?;
                let Some(link) = &mut state.link else {
                    return Err(closed());
                };
                let begun = async {
                    link.batch(text).await?;
                    first(link).await
                };
                match begun.await {
                    Ok(value) => {
                        state.begun += 1;
                        state.transaction = Some(state.begun);
                        return Ok(value);
                    }
                    Err(error) if error.kind() == ErrorKind::LostConnection && again => {
                        link.lost = true;
                        again = false
                    }
                    Err(error) => {
                        match error.kind() {
                            ErrorKind::LostConnection => link.lost = true,
                            _ => drop(link.batch("ROLLBACK").await),
                        }
                        return Err(error);
                    }
                }
            }
        })
    }

    pub(super) fn commit(&self) -> Result<()> {
        let mut guard = self.lock();
        let state: &mut State = &mut guard;
        self.block_on(async || {
            if state.transaction.is_none() {
                return Err(Error::invalid("there is no transaction to commit"));
            }
            let Some(link) = &mut state.link else {
                return Err(closed());
            };
            let result = link.batch(COMMIT).await;
            state.transaction = None;
            match result {
                Err(error) if error.kind() == ErrorKind::LostConnection => {
                    link.lost = true;
                    Err(error.hint("Nobody knows whether the transaction was committed."))
                }
                Err(error) => {
                    let _ = link.batch("ROLLBACK").await;
                    Err(error)
                }
                Ok(()) => Ok(()),
            }
        })
    }

    pub(super) fn rollback(&self) -> Result<()> {
        let mut guard = self.lock();
        let state: &mut State = &mut guard;
        if state.transaction.take().is_none() {
            return Ok(());
        }
        self.block_on(async || match &mut state.link {
            // A connection that is gone has rolled back.
            Some(link) => match link.batch("ROLLBACK").await {
                Err(error) if error.kind() == ErrorKind::LostConnection => {
                    link.lost = true;
                    Ok(())
                }
                other => other,
            },
            None => Ok(()),
        })
    }

    /// One cheap round trip.
    pub(super) fn is_alive(&self) -> bool {
        let mut guard = self.lock();
        let state: &mut State = &mut guard;
        self.block_on(async || match &mut state.link {
            Some(link) => link.batch("").await,
            None => Err(closed()),
        })
        .is_ok()
    }

    /// Says good-bye and closes for good.
    pub(super) fn close(&self) {
        let mut guard = self.lock();
        let state: &mut State = &mut guard;
        state.closed = true;
        state.transaction = None;
        let Some(link) = state.link.take() else {
            return;
        };
        let _ = self.block_on(async move || {
            let Link {
                client,
                driver,
                prepared,
                ..
            } = link;
            drop(prepared);
            drop(client);
            let _ = tokio::time::timeout(Duration::from_millis(500), driver).await;
            Ok(())
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // The socket is the parent's: not even a good-bye may be sent on it.
            let state = self.state.get_mut();
            std::mem::forget(state.unwrap_or_else(PoisonError::into_inner).link.take());
            std::mem::forget(self.runtime.take());
            return;
        }
        self.close();
        if let Some(runtime) = self.runtime.take() {
            // Unlike dropping it, this is allowed inside another runtime.
            runtime.shutdown_background();
        }
    }
}

impl State {
    /// True if there is no connection, or a dead one.
    async fn is_dead(&mut self) -> bool {
        match &self.link {
            Some(link) => link.is_lost().await,
            None => true,
        }
    }

    /// Makes sure that there is a live connection, as far as can be told without asking.
    async fn ready(&mut self, options: &ServerOptions) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        if !self.is_dead().await {
            return Ok(());
        }
        if self.transaction.is_some() {
            return Err(self.transaction_lost(lost("the server ended the connection")));
        }
        if !options.reconnect && self.link.is_some() {
            return Err(lost("the server ended the connection").hint("Open it again."));
        }
        self.link = Some(Link::connect(options).await?);
        Ok(())
    }

    fn transaction_lost(&mut self, error: Error) -> Error {
        self.transaction = None;
        error.hint("The open transaction is gone, and nothing of it was committed. Run it again.")
    }
}

impl Link {
    async fn connect(options: &ServerOptions) -> Result<Link> {
        let wait = options.connect_timeout;
        match tokio::time::timeout(wait, Link::connect_now(options)).await {
            Ok(result) => result,
            Err(_) => Err(lost(&format!(
                "no answer from {} within {} seconds",
                options.shown(),
                wait.as_secs_f64()
            ))
            .hint("Check `database.host` and `database.port`.")),
        }
    }

    async fn connect_now(options: &ServerOptions) -> Result<Link> {
        let mut config = Config::new();
        config
            .host(&options.host)
            .port(options.port)
            .user(&options.user)
            .dbname(options.database.as_deref().unwrap_or(&options.user))
            .application_name("lodestore")
            .ssl_mode(match options.tls {
                Tls::Off => SslMode::Disable,
                Tls::Prefer => SslMode::Prefer,
                Tls::Require | Tls::Verify { .. } => SslMode::Require,
            });
        if let Some(password) = &options.password {
            config.password(password);
        }
        let encryption = MakeRustlsConnect::new(tls::client_config(&options.tls)?);
        let connected = match config.connect(encryption.clone()).await {
            Err(error) if options.tls == Tls::Prefer && errors::is_tls(&error) => {
                config.ssl_mode(SslMode::Disable).connect(encryption).await
            }
            other => other,
        };
        let (client, connection) = connected.map_err(|e| errors::connecting(e, options))?;
        let driver = tokio::spawn(connection);
        let setup = client
            .simple_query(
                "SET TIME ZONE 'UTC'; SET standard_conforming_strings = on; SET DateStyle = 'ISO'; \
                 SET client_min_messages = warning; SELECT pg_catalog.pg_backend_pid()",
            )
            .await
            .map_err(|e| errors::connecting(e, options))?;
        let id = setup.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        Ok(Link {
            client,
            driver,
            id: id.unwrap_or(0),
            user: options.user.clone(),
            lost: false,
            prepared: HashMap::new(),
            clock: 0,
        })
    }

    /// True if the connection is known to be gone, after a look at what the server has sent meanwhile.
    async fn is_lost(&self) -> bool {
        // Once for the socket to be polled, once for the driver to read it.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.lost || self.client.is_closed()
    }

    pub(super) fn fail(&self, error: tokio_postgres::Error, sql: &str) -> Error {
        errors::map(error, sql, &self.user)
    }

    /// Statements without results, in one round trip.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<()> {
        let result = self.client.batch_execute(sql).await;
        result.map_err(|e| self.fail(e, sql))
    }

    /// Sends a statement, and does not wait for the answer.
    async fn post(&self, sql: &str) {
        let mut sent = pin!(self.client.batch_execute(sql));
        poll_fn(|context| {
            let _ = sent.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }

    /// Runs work so that its failure undoes itself; again if a prepared statement was out of date.
    async fn attempt<T>(
        &mut self,
        run: Run,
        inside: bool,
        work: &impl AsyncFn(&mut Link) -> Result<T>,
    ) -> Result<T> {
        let (before, after, undo) = match (run, inside) {
            (Run::Bare, _) | (Run::Read | Run::Write, false) => (None, None, None),
            (_, true) => (Some(SAVEPOINT), None, Some(UNDO)),
            (Run::Several, false) => (Some("BEGIN"), Some(COMMIT), Some("ROLLBACK")),
        };
        let mut again = true;
        loop {
            if let Some(before) = before {
                self.post(before).await;
            }
            let mut result = work(self).await;
            if let (Ok(_), Some(after)) = (&result, after)
                && let Err(error) = self.batch(after).await
            {
                result = Err(error);
            }
            let error = match result {
                Ok(value) => {
                    if inside && before.is_some() {
                        self.post(RELEASE).await;
                    }
                    return Ok(value);
                }
                Err(error) => error,
            };
            if error.kind() != ErrorKind::LostConnection
                && let Some(undo) = undo
            {
                self.batch(undo).await?;
            }
            let stale = errors::code(&error).is_some_and(|code| {
                *code == SqlState::INVALID_SQL_STATEMENT_NAME
                    || (*code == SqlState::FEATURE_NOT_SUPPORTED
                        && error.message().contains("cached plan"))
            });
            if !stale || !again || run == Run::Bare {
                return Err(error);
            }
            again = false;
            self.prepared.clear();
        }
    }

    /// The prepared statement of a text.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<tokio_postgres::Statement> {
        self.clock += 1;
        if let Some((statement, used)) = self.prepared.get_mut(sql) {
            *used = self.clock;
            return Ok(statement.clone());
        }
        let statement = self.prepare_anew(sql, &[]).await?;
        if sql.len() > LONGEST_PREPARED {
            return Ok(statement);
        }
        if self.prepared.len() >= PREPARED {
            let oldest = self.prepared.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(text) = oldest.map(|(text, _)| text.clone()) {
                self.prepared.remove(&text);
            }
        }
        self.prepared
            .insert(sql.to_owned(), (statement.clone(), self.clock));
        Ok(statement)
    }

    /// Prepares a statement that is not kept.
    pub(super) async fn prepare_anew(
        &self,
        sql: &str,
        types: &[Type],
    ) -> Result<tokio_postgres::Statement> {
        let prepared = self.client.prepare_typed(sql, types).await;
        prepared.map_err(|e| self.fail(e, sql))
    }

    /// Forgets what was prepared: the tables have changed.
    pub(super) fn forget(&mut self) {
        self.prepared.clear();
    }
}
