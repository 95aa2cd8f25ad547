//! Stores and staged objects for `lodestore.storage` and `lodestore.staged_insert`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lodestore::codec::{Put, PutPath, PutSource, StoreLink, Stores, content_hash, manifest_path};
use lodestore::progress::Silent;
use lodestore::store::{ObjectWriter, StagedObject, Store};
use lodestore::table::{StagedInsert, Table};
use lodestore::{Error, ErrorKind, Row};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::config::PyConfig;
use crate::error::{ToPyResult, raise, to_pyerr};
use crate::value::{Columns, Mode, from_py, row_from_py, row_to_dict};

/// Adds the classes.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyStore>()?;
    m.add_class::<PyLink>()?;
    m.add_class::<PyWriter>()?;
    m.add_class::<PyStaged>()?;
    m.add_class::<PyStagedInsert>()?;
    m.add_function(wrap_pyfunction!(compute_hash, m)?)?;
    Ok(())
}

/// The content hash of bytes: MD5 in lower-case base32.
#[pyfunction]
fn compute_hash(content: PyBackedBytes) -> String {
    content_hash([&content[..]])
}

/// How a reference reaches its store, for pickling and comparing.
#[pyclass(frozen, name = "StoreLink", module = "lodestore._lodestore")]
pub(crate) struct PyLink(pub(crate) StoreLink);

#[pymethods]
impl PyLink {
    /// A store by name among those of the settings, looked up at first use.
    #[staticmethod]
    #[pyo3(signature = (config, name, filepath=false))]
    fn named(config: &PyConfig, name: Option<String>, filepath: bool) -> PyLink {
        let stores: Arc<dyn Stores> = config.stores.clone();
        PyLink(StoreLink::Named {
            stores,
            name,
            filepath,
        })
    }

    /// A store in hand.
    #[staticmethod]
    fn of(store: &PyStore) -> PyLink {
        PyLink(StoreLink::Handle(store.0.clone().handle()))
    }

    /// No store.
    #[staticmethod]
    fn none() -> PyLink {
        PyLink(StoreLink::None)
    }

    #[getter]
    fn name(&self) -> Option<String> {
        match &self.0 {
            StoreLink::None => None,
            StoreLink::Handle(handle) => Some(handle.name().to_owned()),
            StoreLink::Named { name, .. } => name.clone(),
        }
    }

    #[getter]
    fn filepath(&self) -> bool {
        matches!(self.0, StoreLink::Named { filepath: true, .. })
    }

    #[getter]
    fn is_none(&self) -> bool {
        matches!(self.0, StoreLink::None)
    }

    /// Protocol of the store.
    #[getter]
    fn protocol(&self, py: Python<'_>) -> PyResult<String> {
        Ok(py
            .detach(|| self.0.open())
            .or_raise()?
            .protocol()
            .to_owned())
    }

    /// The object's own file, if the store is a local directory.
    fn local_path(&self, py: Python<'_>, path: &str) -> PyResult<Option<PathBuf>> {
        py.detach(|| self.0.open())
            .or_raise()
            .map(|store| store.local_path(path))
    }

    /// Size and kind, or none.
    fn head(&self, py: Python<'_>, path: &str) -> PyResult<Option<(u64, bool)>> {
        let meta = py.detach(|| self.0.open()?.head(path)).or_raise()?;
        Ok(meta.map(|m| (m.size, m.is_dir)))
    }

    fn read<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyBytes>> {
        let content = py.detach(|| self.0.open()?.read(path)).or_raise()?;
        Ok(PyBytes::new(py, &content))
    }

    fn read_range<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        start: u64,
        end: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let content = py
            .detach(|| self.0.open()?.read_range(path, start..end))
            .or_raise()?;
        Ok(PyBytes::new(py, &content))
    }

    /// Every file below a folder: (path, size).
    fn list(&self, py: Python<'_>, prefix: &str) -> PyResult<Vec<(String, u64)>> {
        let files = py.detach(|| self.0.open()?.list(prefix)).or_raise()?;
        Ok(files.into_iter().map(|f| (f.path, f.size)).collect())
    }

    /// Names directly below a folder: (name, is folder).
    fn list_dir(&self, py: Python<'_>, prefix: &str) -> PyResult<Vec<(String, bool)>> {
        py.detach(|| self.0.open()?.list_dir(prefix)).or_raise()
    }

    fn full_path(&self, py: Python<'_>, path: &str) -> PyResult<String> {
        Ok(py.detach(|| self.0.open()).or_raise()?.full_path(path))
    }

    fn url(&self, py: Python<'_>, path: &str) -> PyResult<String> {
        Ok(py.detach(|| self.0.open()).or_raise()?.url(path))
    }
}

/// One open store, for writing too.
#[pyclass(frozen, name = "Store", module = "lodestore._lodestore")]
pub(crate) struct PyStore(pub(crate) Arc<dyn Store>);

#[pymethods]
impl PyStore {
    /// Opens a configured store; none and `""` mean the default.
    #[staticmethod]
    fn open(py: Python<'_>, config: &PyConfig, name: Option<&str>) -> PyResult<PyStore> {
        py.detach(|| config.stores.get_store(name))
            .or_raise()
            .map(PyStore)
    }

    #[getter]
    fn name(&self) -> String {
        self.0.name().to_owned()
    }

    #[getter]
    fn protocol(&self) -> String {
        self.0.protocol().to_owned()
    }

    /// Writes bytes to a path, replacing what is there, durably.
    fn put_bytes(&self, py: Python<'_>, path: &str, content: PyBackedBytes) -> PyResult<()> {
        py.detach(|| {
            self.0.put_bytes(path, &content)?;
            self.0.sync(path)
        })
        .or_raise()
    }

    /// Writes a content-addressed object unless it is there. True if it was written.
    fn put_hash(&self, py: Python<'_>, path: String, content: PyBackedBytes) -> PyResult<bool> {
        let bytes = Bytes::from_owner(content);
        py.detach(|| self.put(PutPath::Hash(path), PutSource::Segments(vec![bytes])))
            .map(|o| o.created)
    }

    /// Copies a local file to a path where nothing is yet.
    fn put_file(&self, py: Python<'_>, local: PathBuf, path: String) -> PyResult<u64> {
        py.detach(|| self.put(PutPath::Fresh(path), PutSource::File(local)))
            .map(|o| o.size)
    }

    /// Copies a local folder to a path where nothing is yet, with its manifest beside it, whose text is returned.
    fn put_folder(&self, py: Python<'_>, local: PathBuf, path: String) -> PyResult<String> {
        py.detach(|| {
            let outcome = self.put(PutPath::Fresh(path), PutSource::Folder(local))?;
            let manifest = self.0.read(&manifest_path(&outcome.path)).or_raise()?;
            String::from_utf8(manifest.to_vec()).map_err(|_| raise("a manifest is text"))
        })
    }

    fn download(&self, py: Python<'_>, path: &str, local: PathBuf) -> PyResult<()> {
        py.detach(|| self.0.download(path, &local)).or_raise()
    }

    fn delete(&self, py: Python<'_>, path: &str) -> PyResult<bool> {
        py.detach(|| self.0.delete(path)).or_raise()
    }

    fn delete_prefix(&self, py: Python<'_>, prefix: &str) -> PyResult<u64> {
        py.detach(|| self.0.delete_prefix(prefix)).or_raise()
    }

    /// A stream into a new object.
    fn writer(&self, py: Python<'_>, path: &str) -> PyResult<PyWriter> {
        py.detach(|| self.0.writer(path))
            .or_raise()
            .map(|w| PyWriter(Mutex::new(Some(w))))
    }

    fn hash_path(&self, schema: &str, hash: &str) -> PyResult<String> {
        self.0.hash_path(schema, hash).or_raise()
    }

    fn schema_path(
        &self,
        schema: &str,
        table: &str,
        key: &Bound<'_, PyDict>,
        attribute: &str,
        ext: &str,
    ) -> PyResult<String> {
        self.0
            .schema_path(schema, table, &key_row(key)?, attribute, ext)
            .or_raise()
    }

    fn filepath(&self, path: &str) -> PyResult<String> {
        self.0.filepath(path).or_raise()
    }

    /// The specification, secrets masked.
    fn __repr__(&self) -> String {
        format!(
            "<lodestore store {} ({})>",
            self.0.name(),
            self.0.protocol()
        )
    }
}

impl PyStore {
    fn put(&self, path: PutPath, source: PutSource) -> PyResult<lodestore::store::PutOutcome> {
        let put = Put {
            store: self.0.name().to_owned(),
            path,
            source,
            record_hash: None,
            size: None,
        };
        self.0.put(&put, &Silent).or_raise()
    }
}

/// A key given as a dict.
pub(crate) fn key_row(key: &Bound<'_, PyDict>) -> PyResult<Row> {
    let mut row = Row::new();
    for (name, value) in key {
        let name: String = name.extract()?;
        row.0.insert(name.into(), from_py(&value, Mode::Column)?);
    }
    Ok(row)
}

/// A binary stream into a new object, which appears when it is closed.
#[pyclass(frozen, name = "ObjectWriter", module = "lodestore._lodestore")]
pub(crate) struct PyWriter(Mutex<Option<Box<dyn ObjectWriter>>>);

#[pymethods]
impl PyWriter {
    fn write(&self, py: Python<'_>, content: &Bound<'_, PyAny>) -> PyResult<usize> {
        static BYTES: crate::value::Lazy = crate::value::Lazy::new("builtins", "bytes");
        let content: PyBackedBytes = match content.extract() {
            Ok(content) => content,
            Err(_) => BYTES.get(py)?.call1((content,))?.extract()?,
        };
        py.detach(|| {
            let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let writer = guard
                .as_mut()
                .ok_or_else(|| PyValueError::new_err("the stream is closed"))?;
            writer.write_all(&content).map_err(|e| {
                to_pyerr(Error::new(
                    ErrorKind::Store,
                    format!("could not write to the store: {e}"),
                ))
            })?;
            Ok(content.len())
        })
    }

    /// Bytes written so far.
    fn tell(&self, py: Python<'_>) -> u64 {
        py.detach(|| {
            let writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            writer.as_ref().map_or(0, |w| w.written())
        })
    }

    /// Makes the object durable and visible. Closing again does nothing.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(
            || match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(writer) => writer.commit().map(|_| ()).or_raise(),
                None => Ok(()),
            },
        )
    }

    /// Throws it away.
    fn abort(&self, py: Python<'_>) {
        py.detach(|| {
            if let Some(writer) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
                writer.abort();
            }
        });
    }
}

/// Giving up an object may need the interpreter on other threads (plug-in stores), so it is let go of here, too.
impl Drop for PyWriter {
    fn drop(&mut self) {
        let writer = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer.take() {
            Python::attach(|py| py.detach(|| drop(writer)));
        }
    }
}

/// A staged insert: the engine's, over a row that Python keeps until it is inserted.
#[pyclass(frozen, name = "StagedInsert", module = "lodestore._lodestore")]
pub(crate) struct PyStagedInsert {
    columns: Columns,
    // None once it was committed or given up.
    staged: Mutex<Option<StagedInsert>>,
}

impl PyStagedInsert {
    /// The guard of auto-populated tables is Python's, as for `insert`.
    pub(crate) fn new(table: &Table, columns: Columns) -> PyStagedInsert {
        PyStagedInsert {
            columns,
            staged: Mutex::new(Some(table.staged_insert_direct(Row::new()))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<StagedInsert>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyStagedInsert {
    /// The object of an attribute; its path is fixed by the first call. `row` holds the key.
    fn object(
        &self,
        py: Python<'_>,
        row: &Bound<'_, PyDict>,
        attribute: &str,
        ext: &str,
    ) -> PyResult<PyStaged> {
        let row = key_row(row)?;
        py.detach(|| {
            let mut guard = self.lock();
            let staged = guard
                .as_mut()
                .ok_or_else(|| raise("the staged insert has ended"))?;
            staged.row = row;
            staged.object(attribute, ext).or_raise().map(PyStaged)
        })
    }

    /// Makes the objects durable and inserts the row; the metadata of the objects by attribute.
    fn commit<'py>(
        &self,
        py: Python<'py>,
        row: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let row = row_from_py(row.as_any(), &self.columns, &mut true)?;
        let objects = py.detach(|| {
            let staged = self.lock().take();
            let mut staged = staged.ok_or_else(|| raise("the staged insert has ended"))?;
            staged.row = row;
            staged.commit().or_raise()
        })?;
        row_to_dict(py, objects)
    }

    /// Removes the objects, unless the row was inserted or may have been.
    fn abort(&self, py: Python<'_>) {
        py.detach(|| drop(self.lock().take()));
    }
}

/// As for [`PyWriter`].
impl Drop for PyStagedInsert {
    fn drop(&mut self) {
        let staged = self.staged.get_mut();
        if let Some(staged) = staged.unwrap_or_else(PoisonError::into_inner).take() {
            Python::attach(|py| py.detach(|| drop(staged)));
        }
    }
}

/// One object of a staged insert.
#[pyclass(frozen, name = "StagedObject", module = "lodestore._lodestore")]
pub(crate) struct PyStaged(Arc<StagedObject>);

#[pymethods]
impl PyStaged {
    /// Name of the store.
    #[getter]
    fn store(&self) -> String {
        self.0.store().name().to_owned()
    }

    #[getter]
    fn path(&self) -> String {
        self.0.path().to_owned()
    }

    fn writer(&self, py: Python<'_>) -> PyResult<PyWriter> {
        py.detach(|| self.0.writer())
            .or_raise()
            .map(|w| PyWriter(Mutex::new(Some(w))))
    }

    /// A stream into one file of a folder.
    fn writer_at(&self, py: Python<'_>, relative: &str) -> PyResult<PyWriter> {
        py.detach(|| self.0.writer_at(relative))
            .or_raise()
            .map(|w| PyWriter(Mutex::new(Some(w))))
    }

    /// Writes one file of a folder, replacing what is there.
    fn set(&self, py: Python<'_>, relative: &str, content: PyBackedBytes) -> PyResult<()> {
        py.detach(|| self.0.set(relative, &content)).or_raise()
    }
}
