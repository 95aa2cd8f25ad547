//! PostgreSQL: a schema is a schema of the connected database.
//!
//! * [`PostgresDialect`]: text, pure.
//! * [`Postgres`]: the connection. It implements [`crate::sql::Backend`].
//!
//! Inside: `session` (connecting, transactions, what happens when a connection is lost), `backend` (the verbs),
//! `stream` (cursors), `insert` (bulk inserts: COPY and multi-row INSERT), `bind` (values into the binary form),
//! `decode` (rows into Arrow builders), `numeric` (the wire form of decimals), `errors` (SQLSTATE into kinds),
//! `catalog` (what is there), `ddl`, `translate`.

mod alter;
mod backend;
mod bind;
mod catalog;
mod ddl;
mod decode;
mod dialect;
mod errors;
mod insert;
mod numeric;
mod session;
mod stream;
mod translate;

pub use backend::Postgres;
pub use dialect::PostgresDialect;

use std::sync::Arc;

use crate::error::Result;
use crate::sql::{Backend, ServerOptions};

/// Connects. Errors as [`Postgres::open`] says.
pub fn open(options: ServerOptions) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(Postgres::open(options)?))
}
