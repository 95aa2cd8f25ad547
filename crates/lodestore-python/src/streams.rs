//! Streams from Python: `lodestore.streams.ArrayStream`, large memory maps, and open files.
//!
//! The engine pulls them on the thread that called it, so that generators run where they were made.

use bytes::Bytes;
use lodestore::codec::{ArrayStream, ByteSource, ByteStream};
use lodestore::value::Array;
use lodestore::{Error, ErrorKind, Result, Value};
use numpy::PyUntypedArray;
use numpy::prelude::*;
use pyo3::exceptions::{PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};

use crate::error::{ToPyResult, from_pyerr, raise, to_pyerr};
use crate::value::{Lazy, Mode, dtype_from_py, from_py, shared_bytes};

/// The engine's stream for a `lodestore.ArrayStream`.
pub(crate) fn of_array_stream(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = object.py();
    let dtype = object.getattr(intern!(py, "dtype"))?;
    let Some(dtype) = dtype_from_py(&dtype)? else {
        return Err(raise(format!("arrays of dtype {dtype} cannot be streamed")));
    };
    let shape: Vec<Option<usize>> = object.getattr(intern!(py, "shape"))?.extract()?;
    let blocks = PyBlocks {
        stream: object.clone().unbind(),
        iterator: None,
    };
    let known: Option<Vec<usize>> = shape.iter().copied().collect();
    let stream = match known {
        Some(shape) => ArrayStream::new(blocks, shape, dtype),
        None => {
            let inner = shape.into_iter().skip(1).flatten().collect();
            ArrayStream::of_unknown_length(blocks, inner, dtype)
        }
    };
    Ok(Value::Foreign(std::sync::Arc::new(stream.or_raise()?)))
}

/// A large `numpy.memmap` as a stream; none for other arrays.
pub(crate) fn of_memory_map(array: &Bound<'_, PyUntypedArray>) -> PyResult<Option<Value>> {
    static MEMMAP: Lazy = Lazy::new("numpy", "memmap");
    static OF_MEMORY_MAP: Lazy = Lazy::new("lodestore.streams", "_of_memory_map");
    const LARGE: usize = 32 << 20;
    let py = array.py();
    let exact = array
        .get_type()
        .is(<PyUntypedArray as pyo3::PyTypeInfo>::type_object(py));
    let bytes = array.len().saturating_mul(array.dtype().itemsize());
    if exact || bytes < LARGE || !array.is_instance(MEMMAP.get(py)?)? {
        return Ok(None);
    }
    let stream = OF_MEMORY_MAP.get(py)?.call1((array,))?;
    match stream.is_none() {
        true => Ok(None),
        false => of_array_stream(&stream).map(Some),
    }
}

/// An open binary file as a stream; none for what has no `read`.
///
/// # Errors
/// `TypeError` for a file opened as text.
pub(crate) fn of_file(object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    static TEXT: Lazy = Lazy::new("io", "TextIOBase");
    let py = object.py();
    let readable = object
        .getattr(intern!(py, "read"))
        .is_ok_and(|read| read.is_callable());
    if !readable || object.is_instance_of::<PyType>() {
        return Ok(None);
    }
    if object.is_instance(TEXT.get(py)?)? {
        return Err(to_pyerr(text_mode()));
    }
    let name = match object.getattr(intern!(py, "name")) {
        Ok(name) => name.cast::<PyString>().ok().map(|n| n.to_string()),
        Err(_) => None,
    };
    let type_name = object.get_type().fully_qualified_name()?.to_string();
    let seekable = object
        .call_method0(intern!(py, "seekable"))
        .is_ok_and(|yes| yes.is_truthy().unwrap_or(false));
    let start = match seekable {
        true => object.call_method0(intern!(py, "tell")).ok(),
        false => None,
    };
    let source = PyFile {
        file: object.clone().unbind(),
        start: start.map(Bound::unbind),
        begun: false,
        ended: false,
    };
    let stream = ByteStream::new(&type_name, name, source);
    Ok(Some(Value::Foreign(std::sync::Arc::new(stream))))
}

fn text_mode() -> Error {
    Error::new(ErrorKind::Type, "the file is open in text mode")
        .hint("Open it with mode \"rb\": stored are bytes.")
}

/// Blocks of a Python iterator, which is made when the first one is wanted.
struct PyBlocks {
    stream: Py<PyAny>,
    iterator: Option<Py<PyAny>>,
}

impl PyBlocks {
    fn pull(&mut self, py: Python<'_>) -> PyResult<Option<Array>> {
        let iterator = match &self.iterator {
            Some(iterator) => iterator.bind(py).clone(),
            None => {
                let made = self.stream.bind(py).call_method0(intern!(py, "_blocks"))?;
                self.iterator = Some(made.clone().unbind());
                made
            }
        };
        let block = match iterator.call_method0(intern!(py, "__next__")) {
            Ok(block) => block,
            Err(e) if e.is_instance_of::<PyStopIteration>(py) => return Ok(None),
            Err(e) => return Err(e),
        };
        match from_py(&block, Mode::Npy)? {
            Value::Array(array) => Ok(Some(*array)),
            other => Err(raise(format!(
                "a block of an ArrayStream is {}, not an array",
                other.type_name()
            ))),
        }
    }
}

impl Iterator for PyBlocks {
    type Item = Result<Array>;

    fn next(&mut self) -> Option<Result<Array>> {
        Python::attach(|py| self.pull(py))
            .map_err(from_pyerr)
            .transpose()
    }
}

/// A Python object with `read`.
struct PyFile {
    file: Py<PyAny>,
    /// Where it stood, if it can go back there.
    start: Option<Py<PyAny>>,
    begun: bool,
    ended: bool,
}

impl PyFile {
    fn pull(&mut self, py: Python<'_>, most: usize) -> PyResult<Bytes> {
        if self.ended {
            return Ok(Bytes::new());
        }
        let file = self.file.bind(py);
        let read = match file.call_method1(intern!(py, "read"), (most,)) {
            // Some objects can only be read whole.
            Err(e) if !self.begun && e.is_instance_of::<PyTypeError>(py) => {
                self.ended = true;
                file.call_method0(intern!(py, "read"))?
            }
            read => read?,
        };
        self.begun = true;
        bytes_of(&read)
    }
}

fn bytes_of(read: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    static BYTES: Lazy = Lazy::new("builtins", "bytes");
    if let Ok(bytes) = read.cast::<PyBytes>() {
        return Ok(shared_bytes(bytes));
    }
    if read.is_instance_of::<PyString>() {
        return Err(to_pyerr(text_mode()));
    }
    if read.is_none() {
        return Err(raise(
            "the file has nothing to read yet (it does not block)",
        ));
    }
    let bytes = BYTES.get(read.py())?.call1((read,))?;
    Ok(shared_bytes(bytes.cast::<PyBytes>()?))
}

impl ByteSource for PyFile {
    fn read(&mut self, most: usize) -> Result<Bytes> {
        Python::attach(|py| self.pull(py, most)).map_err(from_pyerr)
    }

    fn is_seekable(&self) -> bool {
        self.start.is_some()
    }

    fn rewind(&mut self) -> Result<()> {
        self.ended = false;
        Python::attach(|py| {
            let seek = intern!(py, "seek");
            self.file
                .bind(py)
                .call_method1(seek, (&self.start,))
                .map(|_| ())
        })
        .map_err(from_pyerr)
    }
}
