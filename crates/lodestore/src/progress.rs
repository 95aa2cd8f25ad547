//! Progress of long work. The engine reports through [`Progress`]; the front doors draw it.
//!
//! Anything that can take longer than two seconds takes a `&dyn Progress`. The same trait carries interruption: a
//! front door that sees Ctrl-C answers [`Progress::interrupted`] with true and the work stops at the next safe point.

/// A listener to long work. All methods have empty defaults.
pub trait Progress: Send + Sync {
    /// A phase begins: a name in the present participle ("storing objects") and the number of units, if known.
    fn begin(&self, _phase: &str, _total: Option<u64>) {}
    /// So many more units are done.
    fn advance(&self, _units: u64) {}
    /// The phase is over.
    fn end(&self) {}
    /// A line for the person (what was deleted, what was skipped).
    fn note(&self, _line: &str) {}
    /// Asks whether to stop. Checked between units; the work then rolls back and returns [`crate::ErrorKind::Interrupted`].
    fn interrupted(&self) -> bool {
        false
    }
}

/// Reports nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
