//! Lazy references for `lodestore.builtin_codecs.NpyRef` and `lodestore.objectref.ObjectRef`.
//!
//! The public classes are Python's (they take part in NumPy's and dataclass protocols); what reads is here.

use std::any::Any;
use std::io::{Read, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lodestore::codec::{MapMode, NpyRef, ObjectRef, ReadSeek, StoreLink};
use lodestore::progress::Silent;
use lodestore::value::{Array, Foreign};
use lodestore::{Error, Value};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::error::{ToPyResult, raise, to_pyerr};
use crate::staged::PyLink;
use crate::value::{Lazy, array_to_py, dtype_to_py, json_to_py};

/// Adds the handles.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyNpyHandle>()?;
    m.add_class::<PyObjectHandle>()?;
    m.add_class::<PyReader>()?;
    m.add_function(wrap_pyfunction!(load_handles, m)?)?;
    Ok(())
}

static NPY_REF: Lazy = Lazy::new("lodestore.builtin_codecs", "NpyRef");
static OBJECT_REF: Lazy = Lazy::new("lodestore.objectref", "ObjectRef");

/// The engine's reference inside a Python reference; none for any other object.
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

/// Reads many arrays concurrently.
pub(crate) fn read_all(py: Python<'_>, refs: &[&NpyRef]) -> PyResult<Vec<Array>> {
    const WORKERS: usize = 16;
    py.detach(|| {
        lodestore::codec::load_all(refs, WORKERS, None, &Silent)?;
        refs.iter()
            .map(|r| {
                let array = r.load();
                // The caller takes the memory over; a second holder would force a copy.
                r.unload();
                array
            })
            .collect::<lodestore::Result<_>>()
    })
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
        .detach(|| -> lodestore::Result<_> {
            let refs: Vec<&NpyRef> = refs.iter().map(|r| &**r).collect();
            lodestore::codec::load_all(&refs, workers.max(1), max_bytes, &Silent)?;
            refs.iter()
                .map(|r| {
                    let array = r.load();
                    r.unload();
                    array
                })
                .collect()
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

    fn read_rows<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        stop: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = py.detach(|| self.0.read_rows(start..stop)).or_raise()?;
        array_to_py(py, array)
    }

    /// (array, axis, start): see `NpyRef::read_slice`.
    fn read_slice<'py>(
        &self,
        py: Python<'py>,
        first: Option<(usize, usize)>,
        last: Option<(usize, usize)>,
    ) -> PyResult<(Bound<'py, PyAny>, Option<usize>, usize)> {
        let part = py
            .detach(|| {
                self.0
                    .read_slice(first.map(|(a, b)| a..b), last.map(|(a, b)| a..b))
            })
            .or_raise()?;
        Ok((array_to_py(py, part.array)?, part.axis, part.start))
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

/// What an `ObjectRef` reads through.
#[pyclass(frozen, name = "ObjectHandle", module = "lodestore._lodestore")]
pub(crate) struct PyObjectHandle(ObjectRef);

#[pymethods]
impl PyObjectHandle {
    #[new]
    fn new(metadata: &str, link: Option<&PyLink>) -> PyResult<Self> {
        Ok(PyObjectHandle(
            ObjectRef::from_json(&parse(metadata)?, link_of(link)).or_raise()?,
        ))
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
        let reader = py.detach(|| self.0.open(subpath)).or_raise()?;
        Ok(PyReader(Mutex::new(Some(reader))))
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

    #[pyo3(signature = (destination, subpath=None, flat=false))]
    fn download(
        &self,
        py: Python<'_>,
        destination: PathBuf,
        subpath: Option<&str>,
        flat: bool,
    ) -> PyResult<PathBuf> {
        py.detach(|| self.0.download(&destination, subpath, flat))
            .or_raise()
    }

    #[pyo3(signature = (subpath=None))]
    fn exists(&self, py: Python<'_>, subpath: Option<&str>) -> PyResult<bool> {
        py.detach(|| self.0.exists(subpath)).or_raise()
    }

    /// None if the object is as its metadata say, else what differs.
    fn verify(&self, py: Python<'_>) -> PyResult<Option<String>> {
        use lodestore::ErrorKind;
        match py.detach(|| self.0.verify()) {
            Ok(()) => Ok(None),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::CorruptObject | ErrorKind::MissingObject
                ) =>
            {
                Ok(Some(e.to_string()))
            }
            Err(e) => Err(to_pyerr(e)),
        }
    }
}

/// A seekable reader, wrapped by `lodestore.storage.ObjectFile`.
#[pyclass(frozen, name = "ObjectReader", module = "lodestore._lodestore")]
pub(crate) struct PyReader(Mutex<Option<Box<dyn ReadSeek>>>);

impl PyReader {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut dyn ReadSeek) -> std::io::Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = guard
                .as_mut()
                .ok_or_else(|| PyValueError::new_err("I/O operation on closed file"))?;
            act(&mut **reader).map_err(PyErr::from)
        })
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
