//! A planned change of a table, for Python to show and to execute.

use std::sync::{Mutex, PoisonError};

use lodestore::schema::{Alteration, Lode};
use lodestore::{Error, Result};
use pyo3::prelude::*;

use crate::error::{ToPyResult, to_pyerr};

/// Adds the class.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyAlteration>()
}

/// What will change, and what it takes. Executed once.
#[pyclass(frozen, name = "Alteration", module = "lodestore._lodestore")]
pub(crate) struct PyAlteration {
    lode: Lode,
    plan: Mutex<Option<Alteration>>,
}

impl PyAlteration {
    pub(crate) fn new(lode: Lode, plan: Alteration) -> PyAlteration {
        PyAlteration {
            lode,
            plan: Mutex::new(Some(plan)),
        }
    }

    fn with<T>(&self, read: impl FnOnce(&Alteration) -> T) -> PyResult<T> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.as_ref().map(read).ok_or_else(|| to_pyerr(executed()))
    }
}

fn executed() -> Error {
    Error::invalid("the change has been executed already")
}

#[pymethods]
impl PyAlteration {
    /// Sentences.
    #[getter]
    fn changes(&self) -> PyResult<Vec<String>> {
        self.with(|plan| plan.changes().to_vec())
    }

    /// Differences that stay.
    #[getter]
    fn ignored(&self) -> PyResult<Vec<String>> {
        self.with(|plan| plan.ignored().to_vec())
    }

    /// SQL texts.
    #[getter]
    fn statements(&self) -> PyResult<Vec<String>> {
        self.with(|plan| plan.statements().iter().map(|s| s.text.clone()).collect())
    }

    fn execute(&self, py: Python<'_>) -> PyResult<()> {
        let plan = self
            .plan
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let run = || -> Result<()> { plan.ok_or_else(executed)?.execute(&self.lode) };
        py.detach(run).or_raise()
    }
}
