//! Rows in, rows out: where rows, codecs and stores meet.
//!
//! Here: [`Lode::table`](crate::schema::Lode::table) and [`Table`] with insert, update, delete, drop and validate; the
//! fetch family of [`Query`](crate::query::Query); transactions around a closure. Not here: SQL text of the algebra (`query/`), how a
//! value is encoded (`codec/`), how bytes become durable (`store/`). Called by `compute/`, `gc/` and the front doors.
//!
//! The order of an insert is the first invariant of the whole: names and values are checked, then objects made durable,
//! then rows committed. Spec: manipulation.md, queries.md §13-§14.

mod options;

pub use options::{
    Confirm, DEFAULT_BYTES_IN_FLIGHT, DeleteOptions, DeleteReport, DropOptions, FetchOptions,
    InsertOptions, PartIntegrity, Validation, ValidationIssue,
};
