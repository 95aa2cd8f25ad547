//! Databases: dialects (text) and connections (I/O).
//!
//! [`Dialect`] is pure text: quoting, DDL, function translation. [`Backend`] is one connection. Nothing outside this
//! module knows which database it talks to; SQL text is born here (and, composed of dialect pieces, in `query/`).
//! Implementations: `sqlite`; later `postgres`, `mysql`.

mod backend;
mod catalog;
pub(crate) mod convert;
mod dialect;
pub mod sqlite;

pub use backend::{Backend, BatchStream, Conflict, Insert, OutputColumn, Statement};
pub use catalog::{CatalogColumn, CatalogForeignKey, CatalogIndex, CatalogTable};
pub use dialect::{BackendKind, ColumnSpec, Dialect, ForeignKeySpec, IndexSpec, JsonStep, TableSpec};
