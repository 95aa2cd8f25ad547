//! SQLite: one file holds all schemas (spec: definition §12).
//!
//! * [`SqliteDialect`]: text, pure.
//! * [`Sqlite`]: the connection. It implements [`crate::sql::Backend`].
//!
//! Inside: `connection` (opening, marks, sessions), `decode` (rows into Arrow builders), `insert` (bulk inserts),
//! `bind` (values into statements), `errors` (driver errors into kinds), `functions` (what MySQL and PostgreSQL users
//! expect to find), `catalog` (what is there), `ddl`, `translate`.

mod alter;
mod bind;
mod catalog;
mod connection;
mod ddl;
mod decode;
mod dialect;
mod errors;
mod functions;
mod insert;
mod translate;

pub use connection::{Sqlite, SqliteOptions};
pub use dialect::SqliteDialect;
