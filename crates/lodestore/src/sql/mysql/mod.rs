//! MySQL 8 and MariaDB 10.6 or newer: each schema is a database of one server (spec: definition §3, §5, §7).
//!
//! * [`MySqlDialect`]: text, pure; it knows which of the two servers it writes for.
//! * [`MySql`]: the connection. It implements [`crate::sql::Backend`].
//!
//! Inside: `session` (opening, settings of a session, statements), `connection` (transactions, reconnecting), `stream`
//! (queries in a thread), `bind` and `decode` (values), `insert` (many rows, by statements) and `bulk` (by MariaDB's
//! protocol for them), `errors` (numbers into kinds), `catalog` (what is there), `ddl`, `translate`.
//!
//! MariaDB 10.11 is what the tests run on; what is written for MySQL 8 follows its manual.

mod bind;
mod bulk;
mod catalog;
mod connection;
mod ddl;
mod decode;
mod dialect;
mod errors;
mod insert;
mod session;
mod stream;
mod translate;

use std::sync::Arc;

pub use connection::MySql;
pub use dialect::MySqlDialect;

use crate::error::Result;
use crate::sql::{Backend, ServerOptions};

/// Connects. Errors as [`MySql::open`] says.
pub fn open(options: ServerOptions) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(MySql::open(options)?))
}
