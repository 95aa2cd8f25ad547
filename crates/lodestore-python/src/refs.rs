//! Conversion: lazy references. (being written)

use std::sync::Arc;

use lodestore::Value;
use lodestore::value::Foreign;
use pyo3::prelude::*;

/// Adds this file's classes and functions to the extension module.
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}

/// The engine's reference inside a Python reference; none for any other object.
pub(crate) fn as_foreign(_object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    Ok(None)
}

/// The Python object of an engine's reference.
pub(crate) fn foreign_to_py<'py>(py: Python<'py>, _foreign: Arc<dyn Foreign>) -> PyResult<Bound<'py, PyAny>> {
    Ok(py.None().into_bound(py))
}
