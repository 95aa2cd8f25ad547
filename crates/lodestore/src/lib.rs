//! Lodestore: an engine for object-augmented schemas.
//!
//! Relational tables whose large values (arrays, files, Zarr trees, serialised objects) live in an object store, kept
//! together as one system: nothing visible is missing, nothing needed is deleted, nothing unneeded stays for ever.
//!
//! The modules, each using only those above it:
//!
//! | module | what lives there |
//! |---|---|
//! | [`value`] | dynamic values, rows, element types, columns |
//! | [`definition`] | the definition language and the types; no I/O |
//! | [`codec`] | a value and its stored form; lazy references |
//! | [`store`] | object stores: specifications, addressing, transfer |
//! | [`mod@sql`] | dialects (text) and connections (I/O) |
//! | [`schema`] | schemas and tables in a database |
//! | [`query`] | the algebra and its SQL |
//! | [`table`] | insert, fetch, update, delete |
//! | [`compute`] | populate |
//! | [`gc`] | what is stored, what is referenced, what may go |
//!
//! [`config`], [`error`] and [`progress`] may be used by all.

pub mod codec;
pub mod compute;
pub mod config;
pub mod definition;
pub mod diagram;
pub mod error;
pub mod gc;
mod memory;
pub mod progress;
pub mod query;
pub mod schema;
pub mod sql;
pub mod store;
pub mod table;
pub mod value;

pub use error::{Error, ErrorKind, Result};
pub use schema::Lode;
pub use table::{Schema, Table};
pub use value::{Row, Value};
