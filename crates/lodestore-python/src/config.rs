//! Conversion: the configuration handle. (being written)

use pyo3::prelude::*;

/// Adds this file's classes and functions to the extension module.
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
