//! The blob format for `lodestore.blob`.

use bytes::Bytes;
use lodestore::codec::blob::{Compress, UnpackOptions, pack, unpack_with};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::ToPyResult;
use crate::value::{Mode, from_py, to_py};

/// Adds the two functions.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(blob_pack, m)?)?;
    m.add_function(wrap_pyfunction!(blob_unpack, m)?)?;
    Ok(())
}

/// The bytes of a value. Conversion needs the interpreter; packing and compressing do not.
#[pyfunction]
fn blob_pack<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    compress: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let value = from_py(value, Mode::Blob)?;
    let compress = if compress {
        Compress::Fast
    } else {
        Compress::No
    };
    let packed = py.detach(|| pack(&value, compress)).or_raise()?;
    Ok(PyBytes::new(py, &packed))
}

/// The value of bytes. `dims32` forces the width of counts; none lets the blob decide.
#[pyfunction]
fn blob_unpack<'py>(
    py: Python<'py>,
    blob: &Bound<'py, PyAny>,
    dims32: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    // Held by reference for the time of the call: nothing of the value borrows from it.
    let bytes = match from_py(blob, Mode::Column)? {
        lodestore::Value::Bytes(bytes) => bytes,
        _ => Bytes::new(),
    };
    let value = py
        .detach(|| unpack_with(bytes, UnpackOptions { dims32 }))
        .or_raise()?;
    to_py(py, value)
}
