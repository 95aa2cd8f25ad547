//! Databases: dialects (text) and connections (I/O).
//!
//! [`Dialect`] is pure text: quoting, DDL, function translation. [`Backend`] is one connection. Nothing outside this
//! module knows which database it talks to; SQL text is born here (and, composed of dialect pieces, in `query/`).
//! Implementations: `sqlite`, `postgres`, `mysql`.

mod alter;
mod backend;
mod builders;
mod catalog;
pub(crate) mod convert;
mod dialect;
mod indexes;
mod literal;
pub mod mysql;
pub mod postgres;
mod rows;
mod server;
pub mod sqlite;
mod tls;
mod tokens;

pub use alter::{AlterSpec, ColumnChange, Conversion, Position};
pub use backend::{Backend, BatchStream, Conflict, Insert, OutputColumn, Statement};
pub use catalog::{CatalogColumn, CatalogForeignKey, CatalogIndex, CatalogTable};
pub use dialect::{
    BackendKind, ColumnSpec, Dialect, ForeignKeySpec, IndexSpec, JsonStep, TableSpec,
};

pub use server::{ServerOptions, Tls};

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, Result};

/// Opens the database that the configuration names. Errors as the implementation's `open` says.
pub fn connect(config: &Config) -> Result<Arc<dyn Backend>> {
    match config.get_str("database.backend").as_deref() {
        Some("postgresql") => postgres::open(ServerOptions::from_config(config)?),
        Some("mysql") => mysql::open(ServerOptions::from_config(config)?),
        _ => open_file(config),
    }
}

fn open_file(config: &Config) -> Result<Arc<dyn Backend>> {
    let mut options = sqlite::SqliteOptions::default();
    if let Some(seconds) = config.get_f64("lode.busy_timeout") {
        options.busy_timeout = Duration::try_from_secs_f64(seconds).map_err(|_| {
            Error::new(
                crate::ErrorKind::Config,
                format!("lode.busy_timeout cannot be {seconds}"),
            )
        })?;
    }
    let path = config.sqlite_file().unwrap_or_else(|| ":memory:".into());
    Ok(Arc::new(sqlite::Sqlite::open(path, options)?))
}
