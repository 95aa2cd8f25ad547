//! Lazy references for `lodestore.builtin_codecs.NpyRef` and `lodestore.objectref.ObjectRef`.
//!
//! The public classes are Python's (they take part in NumPy's and dataclass protocols); what reads is here.

use std::any::Any;
use std::io::{Read, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lodestore::codec::{MapMode, NpyRef, ObjectRef, ReadSeek, RowBlocks, Selection, StoreLink};
use lodestore::progress::Silent;
use lodestore::value::{Array, Foreign};
use lodestore::{Error, Value};
use numpy::PyArray1;
use numpy::prelude::*;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::error::{ToPyResult, raise, to_pyerr};
use crate::progress::PyProgress;
use crate::staged::PyLink;
use crate::value::{Lazy, array_to_py, dtype_to_py, json_to_py};

/// Adds the handles.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyNpyHandle>()?;
    m.add_class::<PyObjectHandle>()?;
    m.add_class::<PyReader>()?;
    m.add_class::<PyRowBlocks>()?;
    m.add_function(wrap_pyfunction!(load_handles, m)?)?;
    Ok(())
}

static NPY_REF: Lazy = Lazy::new("lodestore.builtin_codecs", "NpyRef");
static OBJECT_REF: Lazy = Lazy::new("lodestore.objectref", "ObjectRef");
static ARRAY_STREAM: Lazy = Lazy::new("lodestore.streams", "ArrayStream");

/// The engine's reference inside a Python reference, or its stream for an `ArrayStream`; none for any other object.
pub(crate) fn as_foreign(object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    let py = object.py();
    // By name first: the classes need not be loaded to know that something is none of theirs.
    let name = object.get_type().name()?;
    match &*name.to_string_lossy() {
        "NpyRef" if object.is_instance(NPY_REF.get(py)?)? => {
            let handle = object
                .getattr(intern!(py, "_handle"))?
                .cast_into::<PyNpyHandle>()?;
            Ok(Some(Value::Foreign(handle.get().0.clone())))
        }
        "ObjectRef" if object.is_instance(OBJECT_REF.get(py)?)? => {
            let handle = object
                .call_method0(intern!(py, "_handle"))?
                .cast_into::<PyObjectHandle>()?;
            Ok(Some(Value::Foreign(Arc::new(handle.get().0.clone()))))
        }
        "ArrayStream" if object.is_instance(ARRAY_STREAM.get(py)?)? => {
            crate::streams::of_array_stream(object).map(Some)
        }
        _ => Ok(None),
    }
}

/// The Python object of an engine's reference.
pub(crate) fn foreign_to_py<'py>(
    py: Python<'py>,
    foreign: Arc<dyn Foreign>,
) -> PyResult<Bound<'py, PyAny>> {
    let name = foreign.type_name();
    let any: Arc<dyn Any + Send + Sync> = foreign;
    let any = match any.downcast::<NpyRef>() {
        Ok(npy) => {
            let handle = Bound::new(py, PyNpyHandle(npy))?;
            return NPY_REF
                .get(py)?
                .call_method1(intern!(py, "_wrap"), (handle,));
        }
        Err(any) => any,
    };
    match any.downcast::<ObjectRef>() {
        Ok(object) => {
            let handle = Bound::new(py, PyObjectHandle((*object).clone()))?;
            OBJECT_REF
                .get(py)?
                .call_method1(intern!(py, "_wrap"), (handle,))
        }
        Err(_) => Err(raise(format!(
            "a value of type {name} has no Python counterpart"
        ))),
    }
}

/// How many arrays are read at once for a column.
const WORKERS: usize = 16;

/// Reads many arrays concurrently.
pub(crate) fn read_all(py: Python<'_>, refs: &[&NpyRef]) -> PyResult<Vec<Array>> {
    py.detach(|| lodestore::codec::read_all(refs, WORKERS, None, &Silent))
        .or_raise()
}

/// Reads many arrays of one shape and type into one; none if that is for NumPy to do.
pub(crate) fn read_stacked(py: Python<'_>, refs: &[&NpyRef]) -> PyResult<Option<Array>> {
    py.detach(|| lodestore::codec::read_stacked(refs, WORKERS, None, &Silent))
        .or_raise()
}

/// Reads many arrays concurrently, for references of Python.
#[pyfunction]
fn load_handles<'py>(
    py: Python<'py>,
    handles: Vec<Py<PyNpyHandle>>,
    workers: usize,
    max_bytes: Option<u64>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let refs: Vec<Arc<NpyRef>> = handles.iter().map(|h| h.get().0.clone()).collect();
    let arrays: Vec<Array> = py
        .detach(|| {
            let refs: Vec<&NpyRef> = refs.iter().map(|r| &**r).collect();
            lodestore::codec::read_all(&refs, workers.max(1), max_bytes, &Silent)
        })
        .or_raise()?;
    arrays
        .into_iter()
        .map(|array| array_to_py(py, array))
        .collect()
}

fn link_of(link: Option<&PyLink>) -> StoreLink {
    link.map_or(StoreLink::None, |l| l.0.clone())
}

fn parse(text: &str) -> PyResult<serde_json::Value> {
    serde_json::from_str(text)
        .map_err(|e| raise(format!("the metadata of a reference are not JSON: {e}")))
}

/// What an `NpyRef` reads through.
#[pyclass(frozen, name = "NpyHandle", module = "lodestore._lodestore")]
pub(crate) struct PyNpyHandle(Arc<NpyRef>);

#[pymethods]
impl PyNpyHandle {
    #[new]
    fn new(metadata: &str, link: Option<&PyLink>) -> PyResult<Self> {
        let npy = NpyRef::from_json(&parse(metadata)?, link_of(link)).or_raise()?;
        Ok(PyNpyHandle(Arc::new(npy)))
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json_to_py(py, &self.0.to_json())
    }

    #[getter]
    fn link(&self) -> PyLink {
        PyLink(self.0.link().clone())
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.shape())
    }

    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        dtype_to_py(py, self.0.dtype().or_raise()?)
    }

    #[getter]
    fn size(&self) -> u64 {
        self.0.size()
    }

    #[getter]
    fn nbytes(&self) -> PyResult<u64> {
        self.0.nbytes().or_raise()
    }

    #[getter]
    fn path(&self) -> String {
        self.0.path().to_owned()
    }

    #[getter]
    fn store(&self) -> Option<String> {
        self.0.store().map(str::to_owned)
    }

    /// The whole array, in memory of its own.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let array = py.detach(|| self.0.read()).or_raise()?;
        array_to_py(py, array)
    }

    /// What the selections pick, one for each axis: None for all, (start, step, count), or a list of ascending indices.
    /// None if reading the whole array is better and `always` is false.
    fn read_part<'py>(
        &self,
        py: Python<'py>,
        selections: Vec<Bound<'py, PyAny>>,
        always: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let selections = selections
            .iter()
            .map(selection)
            .collect::<PyResult<Vec<_>>>()?;
        let part = py
            .detach(|| match always {
                true => self.0.read_selection(&selections).map(Some),
                false => self.0.read_part(&selections),
            })
            .or_raise()?;
        part.map(|array| array_to_py(py, array)).transpose()
    }

    /// An iterator over blocks of so many rows.
    fn iter_rows(&self, py: Python<'_>, rows: usize) -> PyResult<PyRowBlocks> {
        let blocks = py.detach(|| self.0.iter_rows(rows)).or_raise()?;
        Ok(PyRowBlocks(Mutex::new(blocks)))
    }

    /// None if the object is as its metadata say, else what differs, as an exception.
    #[pyo3(signature = (progress=None))]
    fn verify(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Option<PyErr>> {
        let progress = PyProgress::new(progress);
        difference(py.detach(|| self.0.verify(&progress)))
    }

    /// What to map: path, offset, column order, dtype, shape, whether the file is a private copy.
    fn map<'py>(
        &self,
        py: Python<'py>,
        mode: &str,
        cache: PathBuf,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mode = match mode {
            "r" => MapMode::Read,
            "r+" => MapMode::ReadWrite,
            "c" => MapMode::CopyOnWrite,
            other => {
                let refused = Error::new(
                    lodestore::ErrorKind::Value,
                    format!("mmap_mode cannot be {other:?}"),
                );
                return Err(to_pyerr(refused.hint("Use 'r', 'r+' or 'c'.")));
            }
        };
        let source = py.detach(|| self.0.map(mode, &cache)).or_raise()?;
        let out = PyDict::new(py);
        out.set_item("path", source.path)?;
        out.set_item("offset", source.offset)?;
        out.set_item("fortran_order", source.fortran_order)?;
        out.set_item("dtype", dtype_to_py(py, &source.dtype)?)?;
        out.set_item("shape", PyTuple::new(py, &source.shape)?)?;
        out.set_item("private", source.private)?;
        Ok(out)
    }
}

/// What is wanted of one axis.
fn selection(wanted: &Bound<'_, PyAny>) -> PyResult<Selection> {
    if wanted.is_none() {
        return Ok(Selection::All);
    }
    if let Ok(indices) = wanted.cast::<PyArray1<i64>>() {
        let indices = indices.try_readonly()?;
        let indices = indices.as_array();
        let indices: Option<Vec<usize>> =
            indices.iter().map(|i| usize::try_from(*i).ok()).collect();
        return indices
            .map(Selection::Indices)
            .ok_or_else(|| PyValueError::new_err("a selection has no negative indices"));
    }
    let (start, step, count) = wanted.extract()?;
    Ok(Selection::Range { start, step, count })
}

/// Blocks of rows, with the next one being read already.
#[pyclass(frozen, name = "RowBlocks", module = "lodestore._lodestore")]
pub(crate) struct PyRowBlocks(Mutex<RowBlocks>);

#[pymethods]
impl PyRowBlocks {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = py.detach(|| {
            let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            blocks.next().transpose()
        });
        block
            .or_raise()?
            .map(|array| array_to_py(py, array))
            .transpose()
    }
}

/// What an `ObjectRef` reads through.
#[pyclass(frozen, name = "ObjectHandle", module = "lodestore._lodestore")]
pub(crate) struct PyObjectHandle(ObjectRef);

#[pymethods]
impl PyObjectHandle {
    /// `origin` is the handle of the same reference as it was fetched: errors name its row.
    #[new]
    #[pyo3(signature = (metadata, link, origin=None))]
    fn new(
        metadata: &str,
        link: Option<&PyLink>,
        origin: Option<&PyObjectHandle>,
    ) -> PyResult<Self> {
        let mut object = ObjectRef::from_json(&parse(metadata)?, link_of(link)).or_raise()?;
        object.origin = origin.and_then(|handle| handle.0.origin.clone());
        Ok(PyObjectHandle(object))
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json_to_py(py, &self.0.to_json())
    }

    #[getter]
    fn link(&self) -> PyLink {
        PyLink(self.0.link.clone())
    }

    #[getter]
    fn full_path(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| self.0.full_path()).or_raise()
    }

    #[getter]
    fn url(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| self.0.url()).or_raise()
    }

    #[pyo3(signature = (subpath=None))]
    fn read<'py>(&self, py: Python<'py>, subpath: Option<&str>) -> PyResult<Bound<'py, PyBytes>> {
        let content = py
            .detach(|| match subpath {
                None => self.0.read(),
                Some(_) => self.0.read_sub(subpath),
            })
            .or_raise()?;
        Ok(PyBytes::new(py, &content))
    }

    #[pyo3(signature = (subpath=None))]
    fn open(&self, py: Python<'_>, subpath: Option<&str>) -> PyResult<PyReader> {
        let opened = py.detach(|| self.0.open(subpath)).or_raise()?;
        Ok(PyReader {
            reader: Mutex::new(Some(opened.reader)),
            size: opened.size,
        })
    }

    fn listdir(&self, py: Python<'_>, subpath: &str) -> PyResult<Vec<(String, bool)>> {
        py.detach(|| self.0.listdir(subpath)).or_raise()
    }

    /// (folder below the object, names of folders, names of files).
    #[allow(clippy::type_complexity)]
    fn walk(&self, py: Python<'_>) -> PyResult<Vec<(String, Vec<String>, Vec<String>)>> {
        let entries = py.detach(|| self.0.walk()).or_raise()?;
        Ok(entries
            .into_iter()
            .map(|e| (e.dir, e.dirs, e.files))
            .collect())
    }

    #[pyo3(signature = (destination, subpath=None, flat=false, progress=None))]
    fn download(
        &self,
        py: Python<'_>,
        destination: PathBuf,
        subpath: Option<&str>,
        flat: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<PathBuf> {
        let progress = PyProgress::new(progress);
        py.detach(|| self.0.download(&destination, subpath, flat, &progress))
            .or_raise()
    }

    #[pyo3(signature = (subpath=None))]
    fn exists(&self, py: Python<'_>, subpath: Option<&str>) -> PyResult<bool> {
        py.detach(|| self.0.exists(subpath)).or_raise()
    }

    /// None if the object is as its metadata say, else what differs, as an exception.
    #[pyo3(signature = (progress=None))]
    fn verify(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Option<PyErr>> {
        let progress = PyProgress::new(progress);
        difference(py.detach(|| self.0.verify(&progress)))
    }
}

/// What a verification found; other failures are raised.
fn difference(verified: lodestore::Result<()>) -> PyResult<Option<PyErr>> {
    use lodestore::ErrorKind::{CorruptObject, MissingObject};
    match verified {
        Ok(()) => Ok(None),
        Err(e) if matches!(e.kind(), CorruptObject | MissingObject) => Ok(Some(to_pyerr(e))),
        Err(e) => Err(to_pyerr(e)),
    }
}

/// A seekable reader, wrapped by `lodestore.storage.ObjectFile`.
#[pyclass(frozen, name = "ObjectReader", module = "lodestore._lodestore")]
pub(crate) struct PyReader {
    reader: Mutex<Option<Box<dyn ReadSeek>>>,
    #[pyo3(get)]
    size: u64,
}

impl PyReader {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut dyn ReadSeek) -> std::io::Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let mut guard = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = guard
                .as_mut()
                .ok_or_else(|| PyValueError::new_err("I/O operation on closed file"))?;
            act(&mut **reader).map_err(io_to_pyerr)
        })
    }
}

/// What a reader of the engine failed with: its own error if there is one inside.
fn io_to_pyerr(error: std::io::Error) -> PyErr {
    match error.downcast::<Error>() {
        Ok(inner) => to_pyerr(inner),
        Err(other) => other.into(),
    }
}

#[pymethods]
impl PyReader {
    /// At most `size` bytes; all that remain if negative.
    fn read<'py>(&self, py: Python<'py>, size: i64) -> PyResult<Bound<'py, PyBytes>> {
        let content = self.with(py, |reader| {
            let mut out = Vec::new();
            match u64::try_from(size) {
                Ok(limit) => reader.take(limit).read_to_end(&mut out)?,
                Err(_) => reader.read_to_end(&mut out)?,
            };
            Ok(out)
        })?;
        Ok(PyBytes::new(py, &content))
    }

    /// Fills the memory of an array of bytes, as far as the object goes. Returns the number of bytes.
    fn readinto(&self, py: Python<'_>, room: &Bound<'_, PyArray1<u8>>) -> PyResult<usize> {
        let mut room = room.try_readwrite()?;
        let room = room.as_slice_mut()?;
        self.with(py, |reader| {
            let mut filled = 0;
            while filled < room.len() {
                match reader.read(&mut room[filled..]) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(filled)
        })
    }

    fn seek(&self, py: Python<'_>, offset: i64, whence: i32) -> PyResult<u64> {
        let target = match whence {
            0 => SeekFrom::Start(
                u64::try_from(offset)
                    .map_err(|_| PyValueError::new_err("negative seek position"))?,
            ),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            other => return Err(PyValueError::new_err(format!("whence cannot be {other}"))),
        };
        self.with(py, |reader| reader.seek(target))
    }

    fn close(&self) {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.take();
    }
}
