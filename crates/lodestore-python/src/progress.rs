//! Progress of long work, reported to a Python object; and Ctrl-C.

use lodestore::progress::Progress;
use pyo3::prelude::*;

/// Adds nothing; the listener is made by the calls that take one.
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}

/// Reports to a Python object with `begin`, `advance`, `end` and `note`, or to nobody; notices pending signals.
///
/// What a listener raises is dropped: work must not stop because a bar could not be drawn.
pub(crate) struct PyProgress(Option<Py<PyAny>>);

impl PyProgress {
    /// A listener, or only the watch for signals.
    pub(crate) fn new(listener: Option<Py<PyAny>>) -> Self {
        PyProgress(listener)
    }
}

impl Progress for PyProgress {
    fn begin(&self, phase: &str, total: Option<u64>) {
        if let Some(listener) = &self.0 {
            Python::attach(|py| drop(listener.call_method1(py, "begin", (phase, total))));
        }
    }

    fn advance(&self, units: u64) {
        if let Some(listener) = &self.0 {
            Python::attach(|py| drop(listener.call_method1(py, "advance", (units,))));
        }
    }

    fn end(&self) {
        if let Some(listener) = &self.0 {
            Python::attach(|py| drop(listener.call_method0(py, "end")));
        }
    }

    fn note(&self, line: &str) {
        if let Some(listener) = &self.0 {
            Python::attach(|py| drop(listener.call_method1(py, "note", (line,))));
        }
    }

    fn interrupted(&self) -> bool {
        Python::attach(|py| py.check_signals().is_err())
    }
}
