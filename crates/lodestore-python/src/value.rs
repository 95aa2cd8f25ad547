//! Conversion: values both ways.
//!
//! * `from_py`: a Python object as a [`Value`](lodestore::Value), by the rules that its destination asks for (`Mode`).
//! * `to_py`: back.
//! * `arrays`: NumPy arrays, sharing memory in both directions wherever possible.
//! * `rows`: what users hand to `insert`, in bulk.
//!
//! Not here: columns fetched in bulk (`output`), the blob format (`lodestore::codec::blob`).

mod arrays;
mod from_py;
mod rows;
mod to_py;

pub(crate) use arrays::{array_to_py, dtype_from_py, dtype_to_py, objects_to_py};
pub(crate) use from_py::{Mode, from_py, mode_of_spec, shared_bytes};
pub(crate) use rows::{Columns, Converted, row_from_py, rows_from_py};
pub(crate) use to_py::{decimal, json_loads, json_to_py, row_to_dict, to_py, uuid};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Adds this file's classes and functions to the extension module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<arrays::Memory>()?;
    Ok(())
}

/// An object of a Python module, imported at first use and kept.
pub(crate) struct Lazy {
    module: &'static str,
    name: &'static str,
    cell: PyOnceLock<Py<PyAny>>,
}

impl Lazy {
    /// `module.name`.
    pub(crate) const fn new(module: &'static str, name: &'static str) -> Self {
        Lazy {
            module,
            name,
            cell: PyOnceLock::new(),
        }
    }

    /// The object.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        Ok(self
            .cell
            .get_or_try_init(py, || {
                py.import(self.module)?
                    .getattr(self.name)
                    .map(Bound::unbind)
            })?
            .bind(py))
    }
}
