//! Populate: which keys are missing, and one `make` at a time for each, in a transaction.
//!
//! Here: [`populate`], [`progress`], the default key source. Not here: job queues and executors (a later issue; the
//! loop takes keys one by one so that a queue can hand them out). Called by the front doors. Spec: compute.md §1-§5.

mod make;

pub use make::{Make, ThreePart};

use crate::error::Error;
use crate::progress::{Progress, Silent};
use crate::value::Row;

/// How to populate (spec: compute §4).
#[derive(Clone, Copy)]
pub struct PopulateOptions<'a> {
    /// Go on after a failed key and report it at the end. Interruptions ([`crate::ErrorKind::Interrupted`]) always stop.
    pub suppress_errors: bool,
    /// At most so many keys.
    pub max_calls: Option<u64>,
    /// Listener; also asked whether to stop, between keys.
    pub progress: &'a dyn Progress,
}

impl Default for PopulateOptions<'_> {
    fn default() -> Self {
        PopulateOptions {
            suppress_errors: false,
            max_calls: None,
            progress: &Silent,
        }
    }
}

/// What a populate did.
#[derive(Debug, Clone, Default)]
pub struct PopulateReport {
    /// Keys made and committed.
    pub success_count: u64,
    /// Keys that someone else had finished meanwhile.
    pub skipped: u64,
    /// Failed keys with their errors, if they were to be suppressed.
    pub errors: Vec<(Row, Error)>,
}
