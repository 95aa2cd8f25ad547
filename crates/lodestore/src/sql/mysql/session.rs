//! One session with a server: opening it, its settings, and the statements that everything else is made of.

use std::sync::Once;
use std::time::Instant;

use mysql::prelude::{Protocol, Queryable};
use mysql::{Conn, Opts, OptsBuilder, Params, QueryResult, SslOpts, Value as SqlValue};

use super::decode::Decoder;
use super::{MySqlDialect, bind, errors};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{OutputColumn, ServerOptions, Statement, Tls};
use crate::value::Batch;

/// Prepared statements that are kept.
const STATEMENTS: usize = 64;

/// The settings of every session. The SQL mode is the reference's (spec: manipulation §7). Waiting for a table's lock
/// ends: the default would be a day, or a year. The server's messages, some of which are read, are in English.
const SETTINGS: &str = "SET NAMES utf8mb4, \
    SESSION sql_mode='NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY', \
    SESSION time_zone='+00:00', SESSION autocommit=1, SESSION group_concat_max_len=16777216, \
    SESSION lock_wait_timeout=60, SESSION foreign_key_checks=1, SESSION unique_checks=1, \
    SESSION lc_messages='en_US'";

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transaction {
    None,
    Open,
    /// The server has ended it (a deadlock): until it is rolled back here too, nothing runs, as it would be outside.
    Undone,
}

/// An open session.
pub(super) struct Session {
    pub(super) conn: Conn,
    pub(super) dialect: MySqlDialect,
    /// The server's limit of one packet, hence of one value.
    pub(super) max_packet: usize,
    /// MariaDB's bulk protocol can be used, as far as is known. Not over TLS: there the driver does not tell the server
    /// that it knows it.
    pub(super) bulk: bool,
    /// A lock timeout ends the transaction and not only the statement.
    timeout_ends_transaction: bool,
    pub(super) transaction: Transaction,
    /// Sessions that hold locks for the open transaction, as long as it lasts.
    pub(super) keepers: Vec<Session>,
    /// Something was sent whose effect cannot be known if the connection is lost now.
    pub(super) sent: bool,
    pub(super) used: Instant,
}

impl Session {
    pub(super) fn open(options: &ServerOptions) -> Result<Session> {
        if let Tls::Verify { ca: Some(path) } = &options.tls
            && !path.is_file()
        {
            let shown = path.display().to_string();
            return Err(Error::new(
                ErrorKind::Config,
                format!("there is no certificate file {shown}"),
            )
            .path(shown)
            .hint("Correct `ca` in `database.use_tls`."));
        }
        let (conn, encrypted) = connect(options).map_err(|e| errors::connecting(e, options))?;
        Session::ready(conn, encrypted).map_err(|e| match e.kind() {
            ErrorKind::Unsupported => e,
            _ => e.hint("This happened while the session was being set up."),
        })
    }

    fn ready(mut conn: Conn, encrypted: bool) -> Result<Session> {
        let sql = |e| errors::map(e, "");
        conn.query_drop(SETTINGS).map_err(sql)?;
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            .map_err(sql)?;
        type Row = (String, u64, i64);
        let row: Option<Row> = conn
            .query_first("SELECT version(), @@max_allowed_packet, @@innodb_rollback_on_timeout")
            .map_err(sql)?;
        let (version, max_packet, on_timeout) = row.unwrap_or_default();
        let dialect = MySqlDialect::of_version(&version);
        let oldest = if dialect.mariadb {
            (10, 6, 0)
        } else {
            (8, 0, 0)
        };
        if dialect.version < oldest {
            return Err(Error::unsupported(format!(
                "the server is of version {version}; MySQL 8.0 or MariaDB 10.6 are the oldest that can be used"
            )));
        }
        Ok(Session {
            conn,
            dialect,
            max_packet: usize::try_from(max_packet).unwrap_or(usize::MAX),
            bulk: dialect.mariadb && !encrypted,
            timeout_ends_transaction: on_timeout != 0,
            transaction: Transaction::None,
            keepers: Vec::new(),
            sent: false,
            used: Instant::now(),
        })
    }

    pub(super) fn id(&self) -> i64 {
        self.conn.connection_id().into()
    }

    /// Runs a statement of our own that has no result.
    pub(super) fn command(&mut self, sql: &str) -> Result<()> {
        let result = self.conn.query_iter(sql).and_then(finish);
        result.map(|_| ()).map_err(|e| self.failed(e, sql))
    }

    /// Runs a statement; rows affected.
    pub(super) fn execute(&mut self, statement: &Statement) -> Result<u64> {
        let (text, params) = bind::resolve(&self.dialect, statement)?;
        self.run(&text, params)
    }

    /// Runs a statement in the server's own terms; rows affected.
    pub(super) fn run(&mut self, text: &str, params: Vec<SqlValue>) -> Result<u64> {
        self.check_size(text, &params)?;
        match self.conn.prep(text) {
            Ok(prepared) => {
                self.sent = true;
                let result = self.conn.exec_iter(&prepared, params).and_then(finish);
                result.map_err(|e| self.failed(e, text))
            }
            // Some commands cannot be prepared. Those are single ones: anything else was a syntax error.
            Err(mysql::Error::MySqlError(e)) if e.code == 1295 && params.is_empty() => {
                self.sent = true;
                let result = self.conn.query_iter(text).and_then(finish);
                result.map_err(|e| self.failed(e, text))
            }
            Err(e) => Err(self.failed(e, text)),
        }
    }

    /// Runs a statement that inserts one row once for each row of values; in one round trip where the server can do that.
    pub(super) fn run_many(&mut self, text: &str, rows: Vec<Vec<SqlValue>>) -> Result<()> {
        let count = rows.len() as u64;
        let rows = rows.into_iter().map(Params::Positional);
        let prepared = self.conn.prep(text);
        prepared
            .and_then(|prepared| self.conn.exec_batch(&prepared, rows))
            .map_err(|e| self.failed(e, text))?;
        // Where there is no such protocol (a proxy) the driver has sent them one by one.
        self.bulk &= self.conn.affected_rows() == count;
        Ok(())
    }

    /// Runs a query to its end. Without columns their names come from the server.
    pub(super) fn query(
        &mut self,
        statement: &Statement,
        columns: Option<&[OutputColumn]>,
    ) -> Result<Batch> {
        let mut batches = Vec::new();
        self.batches(statement, columns, usize::MAX, &mut |batch| {
            batches.push(batch);
            true
        })?;
        // There is always a last one, which may be empty.
        batches
            .pop()
            .ok_or_else(|| Error::new(ErrorKind::Query, "the query gave no result"))
    }

    /// Runs a query and hands out its rows in batches of at most so many; the last one may be empty. `take` says
    /// whether it wants more.
    pub(super) fn batches(
        &mut self,
        statement: &Statement,
        columns: Option<&[OutputColumn]>,
        rows: usize,
        take: &mut dyn FnMut(Batch) -> bool,
    ) -> Result<()> {
        let (text, params) = bind::resolve(&self.dialect, statement)?;
        self.check_size(&text, &params)?;
        let mut failed = None;
        let mut result: Result<()> = Ok(());
        match self
            .conn
            .prep(&text)
            .and_then(|prepared| self.conn.exec_iter(&prepared, params))
        {
            Err(e) => failed = Some(e),
            Ok(mut found) => {
                let mut decoder = Decoder::new(columns, found.columns().as_ref())?;
                loop {
                    match found.next() {
                        None => {
                            take(decoder.finish());
                            break;
                        }
                        Some(Err(e)) => {
                            failed = Some(e);
                            break;
                        }
                        Some(Ok(row)) => {
                            if let Err(e) = decoder.push(row) {
                                result = Err(e);
                                break;
                            }
                            if decoder.rows() == rows && !take(decoder.finish()) {
                                // Nobody listens any more. To read the rest would take as long as the query does.
                                std::mem::forget(found);
                                return Ok(());
                            }
                        }
                    }
                }
            }
        }
        match failed {
            Some(e) => Err(self.failed(e, &text)),
            None => result,
        }
    }

    /// What the server would cut the connection for is refused before it is sent.
    pub(super) fn check_size(&self, text: &str, params: &[SqlValue]) -> Result<()> {
        // Values are sent apart from the statement if they are large together; each has to fit all the same.
        let largest = params.iter().map(value_size).max().unwrap_or(0);
        if text.len().max(largest) + 1024 > self.max_packet {
            let what = format!("a value of {largest} bytes");
            return Err(errors::too_large(match largest > text.len() {
                true => &what,
                false => "the statement",
            }));
        }
        Ok(())
    }

    /// Maps an error, and notices what it does to the open transaction.
    pub(super) fn failed(&mut self, error: mysql::Error, sql: &str) -> Error {
        let error = errors::map(error, sql);
        let ended = match error.kind() {
            ErrorKind::Deadlock => true,
            ErrorKind::LockTimeout => self.timeout_ends_transaction,
            _ => false,
        };
        if ended && self.transaction == Transaction::Open {
            self.transaction = Transaction::Undone;
        }
        error
    }

    /// Runs `work` atomically: in a transaction of its own, or under a savepoint of the open one.
    pub(super) fn atomically<T>(
        &mut self,
        work: impl FnOnce(&mut Session) -> Result<T>,
    ) -> Result<T> {
        let own = self.transaction == Transaction::None;
        if own {
            self.command("START TRANSACTION")?;
            self.transaction = Transaction::Open;
        } else {
            self.command("SAVEPOINT `~lode`")?;
        }
        let result = work(self).and_then(|value| {
            self.sent = own;
            self.command(if own {
                "COMMIT"
            } else {
                "RELEASE SAVEPOINT `~lode`"
            })?;
            Ok(value)
        });
        let lost = |e: &Error| e.kind() == ErrorKind::LostConnection;
        if result.as_ref().is_err_and(|e| !lost(e)) && self.transaction == Transaction::Open {
            // Where the server has undone more than this already, there is nothing left to undo.
            let undo = if own {
                "ROLLBACK"
            } else {
                "ROLLBACK TO SAVEPOINT `~lode`"
            };
            let _ = self.conn.query_drop(undo);
        }
        if own {
            self.transaction = Transaction::None;
        }
        result
    }
}

/// Reads a result to its end, where its error may be (a lock that was waited for); rows affected. Those of
/// an update are the rows that it found, as everywhere, and not only those that it changed. (The server can be told to
/// count so, but would then count rows that an insert skips.)
fn finish<P: Protocol>(mut result: QueryResult<'_, '_, '_, P>) -> mysql::Result<u64> {
    let found = result
        .info_str()
        .strip_prefix("Rows matched: ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    let affected = found.unwrap_or_else(|| result.affected_rows());
    result.try_for_each(|row| row.map(drop))?;
    Ok(affected)
}

/// Bytes that a value takes in a packet, about.
pub(super) fn value_size(value: &SqlValue) -> usize {
    match value {
        SqlValue::Bytes(bytes) => bytes.len() + 9,
        _ => 16,
    }
}

/// The connection, and whether it is encrypted.
fn connect(options: &ServerOptions) -> mysql::Result<(Conn, bool)> {
    // The driver takes the process-wide choice of cryptography, and would panic if there are several and none is made.
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let base = builder(options);
    let unchecked = SslOpts::default()
        .with_danger_accept_invalid_certs(true)
        .with_danger_skip_domain_validation(true);
    let plain = |base| Ok((Conn::new(Opts::from(base))?, false));
    let encrypted = |base| Ok((Conn::new(Opts::from(base))?, true));
    match &options.tls {
        // A socket file is on this machine: nothing to encrypt.
        _ if options.is_socket() => plain(base),
        Tls::Off => plain(base),
        Tls::Require => encrypted(base.ssl_opts(unchecked)),
        Tls::Verify { ca } => {
            let checked = SslOpts::default().with_root_cert_path(ca.clone());
            encrypted(base.ssl_opts(checked))
        }
        Tls::Prefer => match encrypted(base.clone().ssl_opts(unchecked)) {
            Err(mysql::Error::DriverError(mysql::DriverError::TlsNotSupported)) => plain(base),
            other => other,
        },
    }
}

fn builder(options: &ServerOptions) -> OptsBuilder {
    let base = OptsBuilder::new()
        .user(Some(&options.user))
        .pass(options.password.as_deref())
        .db_name(options.database.as_deref())
        .prefer_socket(false)
        .tcp_nodelay(true)
        .tcp_keepalive_time_ms(Some(60_000))
        .tcp_connect_timeout(Some(options.connect_timeout))
        .stmt_cache_size(STATEMENTS);
    match options.is_socket() {
        true => base.socket(Some(&options.host)),
        false => base
            .ip_or_hostname(Some(&options.host))
            .tcp_port(options.port),
    }
}
