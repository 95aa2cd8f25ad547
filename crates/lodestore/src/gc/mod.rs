//! Garbage collection: what is stored, what rows refer to, what may go. Plan first, then execute.
//!
//! Here: the scan that makes a plan, its execution, and the statistics. Not here: how references are read from
//! rows (`table/`, which also needs them) and how a store lists and deletes (`store/`). Called by the front doors.
//! Any doubt refuses: a table that cannot be read, a value that cannot be understood, a listing that fails.
//! Spec: stores.md §7-§9.

mod stats;

pub use stats::{Section, Stats, format_bytes, format_stats};
