//! SQLite: one file holds all schemas (spec: definition §12).
//!
//! * [`SqliteDialect`]: text, pure.
//! * [`Sqlite`]: the connection. It implements [`crate::sql::Backend`].
//!
//! Inside: `connection` (opening, marks, sessions), `decode` (rows into Arrow builders), `insert` (bulk inserts),
//! `bind` (values into statements), `errors` (driver errors into kinds), `functions` (what MySQL and PostgreSQL users
//! expect to find), `catalog` (what is there), `ddl`, `translate`.

mod dialect;

pub use dialect::SqliteDialect;
