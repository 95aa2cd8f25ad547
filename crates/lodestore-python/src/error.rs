//! Conversion: engine errors as Python exceptions, and Python exceptions as engine errors.
//!
//! The classes live in `lodestore.errors`; [`ErrorKind`] decides which one (spec: python-api §7). An exception that
//! user code raised while the engine called it comes back as the very same object.

use std::error::Error as StdError;

use lodestore::{Error, ErrorKind};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Adds nothing: the classes are Python's own.
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}

/// Results of the engine as results of Python.
pub(crate) trait ToPyResult<T> {
    /// Converts the error; see [`to_pyerr`].
    fn or_raise(self) -> PyResult<T>;
}

impl<T> ToPyResult<T> for lodestore::Result<T> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(to_pyerr)
    }
}

/// The Python exception for an engine error.
///
/// [`ErrorKind::Foreign`] gives back the exception it wraps, unchanged. Others are instances of the classes of
/// `lodestore.errors`, with the place as attributes and the wrapped exception, if any, as `__cause__`.
pub(crate) fn to_pyerr(error: Error) -> PyErr {
    Python::attach(|py| {
        let wrapped = find_pyerr(&error).map(|e| e.clone_ref(py));
        if error.kind() == ErrorKind::Foreign
            && let Some(original) = wrapped
        {
            return original;
        }
        if error.kind() == ErrorKind::Interrupted {
            return match wrapped {
                Some(original) => original,
                None => PyKeyboardInterrupt::new_err(error.message().to_owned()),
            };
        }
        build(py, &error, wrapped).unwrap_or_else(|failure| failure)
    })
}

/// A `DataJointError` with this message.
pub(crate) fn raise(message: impl Into<String>) -> PyErr {
    to_pyerr(Error::invalid(message))
}

/// An engine error that carries a Python exception through the engine and out again.
pub(crate) fn from_pyerr(error: PyErr) -> Error {
    let interrupted = Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py));
    let wrapped = Error::foreign(error);
    if interrupted {
        wrapped.with_kind(ErrorKind::Interrupted)
    } else {
        wrapped
    }
}

/// A class of `lodestore.errors` by name.
pub(crate) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    MODULE
        .get_or_try_init(py, || py.import("lodestore.errors").map(Bound::unbind))?
        .bind(py)
        .getattr(name)
}

fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Definition => "DefinitionError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::Config => "ConfigError",
        ErrorKind::Type => "ValueTypeError",
        ErrorKind::Value => "WrongValueError",
        ErrorKind::UnknownKey => "UnknownKeyError",
        ErrorKind::FileNotFound => "MissingFileError",
        ErrorKind::FileExists => "ExistingFileError",
        ErrorKind::IsADirectory => "NotAFileError",
        ErrorKind::Query => "QueryError",
        ErrorKind::QuerySyntax => "QuerySyntaxError",
        ErrorKind::Access => "AccessError",
        ErrorKind::Duplicate => "DuplicateError",
        ErrorKind::Integrity => "IntegrityError",
        ErrorKind::UnknownAttribute => "UnknownAttributeError",
        ErrorKind::MissingAttribute => "MissingAttributeError",
        ErrorKind::MissingTable => "MissingTableError",
        ErrorKind::Data => "DataError",
        ErrorKind::Deadlock => "DeadlockError",
        ErrorKind::LockTimeout => "LockTimeoutError",
        ErrorKind::Serialization => "SerializationError",
        ErrorKind::LostConnection => "LostConnectionError",
        ErrorKind::MissingObject => "MissingExternalFile",
        ErrorKind::Store => "StoreError",
        _ => "DataJointError",
    }
}

fn build(py: Python<'_>, error: &Error, cause: Option<PyErr>) -> PyResult<PyErr> {
    let instance = class(py, class_name(error.kind()))?.call1((error.to_string(),))?;
    let place = error.place();
    for (name, value) in [
        ("schema", &place.schema),
        ("table", &place.table),
        ("attribute", &place.attribute),
        ("key", &place.key),
        ("store", &place.store),
        ("path", &place.path),
    ] {
        if let Some(value) = value {
            instance.setattr(name, value)?;
        }
    }
    if let Some(row) = place.row {
        instance.setattr("row", row)?;
    }
    if let Some(hint) = error.hint_text() {
        instance.setattr("hint", hint)?;
    }
    let built = PyErr::from_value(instance);
    if cause.is_some() {
        built.set_cause(py, cause);
    }
    Ok(built)
}

fn find_pyerr(error: &Error) -> Option<&PyErr> {
    let mut source = error.source();
    while let Some(current) = source {
        if let Some(found) = current.downcast_ref::<PyErr>() {
            return Some(found);
        }
        source = current.source();
    }
    None
}
