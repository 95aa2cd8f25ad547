//! Conversion: fetched batches as Python objects. (being written)

use lodestore::value::Batch;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Adds this file's classes and functions to the extension module.
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}

/// A list of dicts, one a row, in the batch's column order.
pub(crate) fn batch_to_dicts<'py>(py: Python<'py>, _batch: Batch) -> PyResult<Bound<'py, PyList>> {
    Ok(PyList::empty(py))
}

/// One row of a batch as a dict.
pub(crate) fn batch_row<'py>(py: Python<'py>, _batch: &Batch, _row: usize) -> PyResult<Bound<'py, PyDict>> {
    Ok(PyDict::new(py))
}

/// One array a column, in column order, with the dtypes of spec queries §13 ("A").
pub(crate) fn batch_to_arrays<'py>(_py: Python<'py>, _batch: Batch) -> PyResult<Vec<Bound<'py, PyAny>>> {
    Ok(Vec::new())
}

/// A structured array ("S" of spec queries §13). `nullable` says for each column whether it may hold NULL.
pub(crate) fn batch_to_structured<'py>(
    py: Python<'py>,
    _batch: Batch,
    _nullable: &[bool],
) -> PyResult<Bound<'py, PyAny>> {
    Ok(py.None().into_bound(py))
}

/// A `pyarrow.Table`. `ImportError` without pyarrow.
pub(crate) fn batch_to_arrow<'py>(py: Python<'py>, _batch: &Batch) -> PyResult<Bound<'py, PyAny>> {
    Ok(py.None().into_bound(py))
}
