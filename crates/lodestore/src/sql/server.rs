//! What it takes to reach a database server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// Where a server is, and who asks.
#[derive(Clone)]
pub struct ServerOptions {
    /// Host name or address; what begins with `/` is a Unix socket (for PostgreSQL the folder it is in, for MySQL the
    /// socket itself).
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password.
    pub password: Option<String>,
    /// Database to connect to. PostgreSQL: the one that holds the schemas (default: of the user's name); MySQL: none
    /// is needed, as each schema is a database.
    pub database: Option<String>,
    /// Encryption.
    pub tls: Tls,
    /// Open the connection again when it was lost, where nothing can have been half done.
    pub reconnect: bool,
    /// How long to wait for the server to answer.
    pub connect_timeout: Duration,
}

/// Encryption of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Off,
    /// If the server offers it; the certificate is not checked.
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always; certificate and host name are checked against this file of certificates (PEM), else the system's.
    Verify {
        /// The authority's certificate, PEM.
        ca: Option<PathBuf>,
    },
}

impl fmt::Debug for ServerOptions {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shown())
    }
}

impl ServerOptions {
    /// Reads the `database.*` settings.
    ///
    /// Errors: [`ErrorKind::Config`] if the user is not set or a setting cannot be used.
    pub fn from_config(config: &Config) -> Result<ServerOptions> {
        let wrong = |message: &str| Error::new(ErrorKind::Config, message);
        let user = config.get_str("database.user").ok_or_else(|| {
            wrong("no database user is configured")
                .hint("Set `database.user` (or DJ_USER), or give it in the URL.")
        })?;
        let port = config
            .get_i64("database.port")
            .and_then(|p| u16::try_from(p).ok())
            .ok_or_else(|| wrong("`database.port` is not a port number"))?;
        let seconds = config.get_f64("lode.connect_timeout").unwrap_or(10.0);
        Ok(ServerOptions {
            host: config
                .get_str("database.host")
                .unwrap_or_else(|| "localhost".to_owned()),
            port,
            user,
            password: config.get_str("database.password"),
            database: config.get_str("database.name"),
            tls: tls(config)?,
            reconnect: config.get_bool("database.reconnect"),
            connect_timeout: Duration::try_from_secs_f64(seconds)
                .map_err(|_| wrong("`lode.connect_timeout` is not a number of seconds"))?,
        })
    }

    /// `user@host:port[/database]`, for reprs and messages.
    pub fn shown(&self) -> String {
        let place = match self.host.starts_with('/') {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        };
        match &self.database {
            Some(database) => format!("{}@{place}/{database}", self.user),
            None => format!("{}@{place}", self.user),
        }
    }

    /// True if the host is a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

/// `database.use_tls`: null prefers it, false and true are off and require; a table may hold `mode` (`off`, `prefer`,
/// `require`, `verify`) and `ca`. With `ca` alone the mode is `verify`.
fn tls(config: &Config) -> Result<Tls> {
    let wrong = |message: String| Error::new(ErrorKind::Config, message);
    let table = match config.get("database.use_tls") {
        None | Some(serde_json::Value::Null) => return Ok(Tls::Prefer),
        Some(serde_json::Value::Bool(false)) => return Ok(Tls::Off),
        Some(serde_json::Value::Bool(true)) => return Ok(Tls::Require),
        Some(serde_json::Value::Object(table)) => table,
        Some(other) => return Err(wrong(format!("`database.use_tls` cannot be {other}"))),
    };
    if let Some(key) = table.keys().find(|k| !["mode", "ca"].contains(&k.as_str())) {
        return Err(wrong(format!("`database.use_tls` has no option `{key}`"))
            .hint("Known are mode and ca."));
    }
    let ca = table.get("ca").and_then(|v| v.as_str()).map(PathBuf::from);
    match table.get("mode").and_then(|v| v.as_str()) {
        None | Some("verify") => Ok(Tls::Verify { ca }),
        Some("off") => Ok(Tls::Off),
        Some("prefer") => Ok(Tls::Prefer),
        Some("require") => Ok(Tls::Require),
        Some(mode) => Err(
            wrong(format!("`{mode}` is not a mode of `database.use_tls`"))
                .hint("Known are off, prefer, require and verify."),
        ),
    }
}
