//! Stores of plug-ins: `lodestore.storage_adapter.AdapterFiles` as the file system of a store.
//!
//! The engine calls from threads of its own, so whoever waits for the engine must have let go of the interpreter.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lodestore::store::StoreSpec;
use lodestore::store::adapter::{
    Adapter, Adapters, FileInfo, FileSystem, Keys, Page, Upload, set_adapters,
};
use lodestore::{Error, ErrorKind, Result};
use pyo3::exceptions::{
    PyConnectionError, PyFileNotFoundError, PyOSError, PyPermissionError, PyTimeoutError,
};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyIterator};
use serde_json::Value as Json;

use crate::config::json_value_to_py;
use crate::error::{class, from_pyerr};

/// Lets the engine look up protocols among the plug-ins.
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    set_adapters(Arc::new(Plugins));
    Ok(())
}

/// The plug-ins that are installed.
struct Plugins;

impl Adapters for Plugins {
    fn find(&self, protocol: &str) -> Result<Option<Arc<dyn Adapter>>> {
        Python::attach(|py| {
            let found = module(py)?.call_method1("get_storage_adapter", (protocol,))?;
            Ok(match found.is_none() {
                true => None,
                false => Some(Arc::new(PyAdapter(found.unbind())) as Arc<dyn Adapter>),
            })
        })
        .map_err(from_pyerr)
    }
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("lodestore.storage_adapter")
}

fn to_dict<'py>(py: Python<'py>, keys: &Keys) -> PyResult<Bound<'py, PyAny>> {
    json_value_to_py(py, &Json::Object(keys.clone()))
}

/// A `StorageAdapter`.
#[derive(Debug)]
struct PyAdapter(Py<PyAny>);

impl Adapter for PyAdapter {
    fn check(&self, store: &str, keys: &Keys) -> Result<()> {
        Python::attach(|py| {
            let checked = self
                .0
                .call_method1(py, "validate_spec", (to_dict(py, keys)?,));
            let Err(e) = checked else { return Ok(Ok(())) };
            let refused = e.is_instance(py, &class(py, "DataJointError")?);
            let why = format!("store `{store}`: {}", e.value(py));
            Ok(Err(match refused {
                true => Error::new(ErrorKind::Config, why)
                    .store(store)
                    .with_source(e),
                false => from_pyerr(e),
            }))
        })
        .map_err(from_pyerr)?
    }

    fn open(&self, spec: &StoreSpec) -> Result<Arc<dyn FileSystem>> {
        Python::attach(|py| {
            let keys = to_dict(py, &spec.connection)?;
            let files = module(py)?.call_method1("AdapterFiles", (&self.0, keys))?;
            Ok(Arc::new(PyFiles(files.unbind())) as Arc<dyn FileSystem>)
        })
        .map_err(from_pyerr)
    }
}

/// An `AdapterFiles`.
#[derive(Debug)]
struct PyFiles(Py<PyAny>);

impl PyFiles {
    /// Works with the object; an exception is an error of the file system.
    fn with<T>(&self, work: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T> {
        with(&self.0, work)
    }
}

fn with<T>(object: &Py<PyAny>, work: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T> {
    Python::attach(|py| work(object.bind(py)).map_err(|e| failure(py, e)))
}

/// What an exception of a file system means.
fn failure(py: Python<'_>, error: PyErr) -> Error {
    let is_lost =
        error.is_instance_of::<PyConnectionError>(py) || error.is_instance_of::<PyTimeoutError>(py);
    // Network libraries raise it without a number.
    let is_vague = || {
        let number = error.value(py).getattr("errno");
        error.is_instance_of::<PyOSError>(py) && number.is_ok_and(|n| n.is_none())
    };
    let kind = if error.is_instance_of::<PyFileNotFoundError>(py) {
        ErrorKind::MissingObject
    } else if error.is_instance_of::<PyPermissionError>(py) {
        ErrorKind::Access
    } else if is_lost || is_vague() {
        ErrorKind::Store
    } else {
        return from_pyerr(error);
    };
    Error::new(kind, error.to_string()).with_source(error)
}

/// (path, size, is a folder, seconds since the epoch, version)
type Entry = (String, u64, bool, Option<f64>, Option<String>);

fn info((path, size, is_dir, modified, version): Entry) -> FileInfo {
    let after = |seconds| Duration::try_from_secs_f64(seconds).ok();
    FileInfo {
        path,
        size,
        is_dir,
        modified: modified
            .and_then(after)
            .and_then(|d| SystemTime::UNIX_EPOCH.checked_add(d)),
        version,
    }
}

fn page(entries: &Bound<'_, PyAny>) -> PyResult<Page> {
    let entries: Vec<Entry> = entries.extract()?;
    Ok(entries.into_iter().map(info).collect())
}

impl FileSystem for PyFiles {
    fn info(&self, path: &str) -> Result<Option<FileInfo>> {
        self.with(|files| {
            let found: Option<Entry> = files.call_method1("info", (path,))?.extract()?;
            Ok(found.map(info))
        })
    }

    fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        self.with(|files| {
            let content = files.call_method1("read", (path, range.start, range.end))?;
            Ok(Bytes::from_owner(content.extract::<PyBackedBytes>()?))
        })
    }

    fn write(&self, path: &str, content: &[Bytes], create: bool) -> Result<bool> {
        self.with(|files| {
            let whole = joined(files.py(), content)?;
            files
                .call_method1("write", (path, whole, create))?
                .extract()
        })
    }

    fn upload(&self, path: &str) -> Result<Box<dyn Upload>> {
        self.with(|files| {
            let upload = files.call_method1("upload", (path,))?;
            Ok(Box::new(PyUpload(Some(upload.unbind()))) as Box<dyn Upload>)
        })
    }

    fn list(&self, folder: &str) -> Result<Box<dyn Iterator<Item = Result<Page>> + Send>> {
        self.with(|files| {
            let pages = files.call_method1("pages", (folder,))?.try_iter()?;
            Ok(Box::new(Pages(pages.unbind())) as Box<dyn Iterator<Item = _> + Send>)
        })
    }

    fn list_dir(&self, folder: &str) -> Result<Page> {
        self.with(|files| page(&files.call_method1("list_dir", (folder,))?))
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        self.with(|files| files.call_method1("copy", (from, to)).map(drop))
    }

    fn delete(&self, path: &str) -> Result<bool> {
        self.with(|files| files.call_method1("delete", (path,))?.extract())
    }

    fn full_path(&self, path: &str) -> String {
        self.text("full_path", path)
    }

    fn url(&self, path: &str) -> String {
        self.text("url", path)
    }
}

impl PyFiles {
    /// A text about a path; the path itself if the plug-in has none.
    fn text(&self, method: &str, path: &str) -> String {
        self.with(|files| files.call_method1(method, (path,))?.extract())
            .unwrap_or_else(|_| path.to_owned())
    }
}

/// One Python object of several segments.
fn joined<'py>(py: Python<'py>, segments: &[Bytes]) -> PyResult<Bound<'py, PyBytes>> {
    let size = segments.iter().map(Bytes::len).sum();
    PyBytes::new_with(py, size, |mut room| {
        for segment in segments {
            let (part, rest) = room.split_at_mut(segment.len());
            part.copy_from_slice(segment);
            room = rest;
        }
        Ok(())
    })
}

/// The pages of a listing.
struct Pages(Py<PyIterator>);

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        Python::attach(|py| {
            let next = self.0.bind(py).clone().next()?;
            let found = next.and_then(|entries| page(&entries));
            Some(found.map_err(|e| failure(py, e)))
        })
    }
}

/// An upload; none once it has ended.
struct PyUpload(Option<Py<PyAny>>);

impl PyUpload {
    fn give_up(&mut self) {
        if let Some(upload) = self.0.take() {
            // What could not be removed is left to the collector.
            let _ = with(&upload, |upload| upload.call_method0("abort").map(drop));
        }
    }
}

impl Upload for PyUpload {
    fn write(&mut self, content: &[u8]) -> Result<()> {
        let Some(upload) = &self.0 else {
            return Err(Error::invalid("the upload has ended"));
        };
        with(upload, |upload| {
            let content = PyBytes::new(upload.py(), content);
            upload.call_method1("write", (content,)).map(drop)
        })
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let Some(upload) = &self.0 else {
            return Err(Error::invalid("the upload has ended"));
        };
        with(upload, |upload| upload.call_method0("commit").map(drop))?;
        self.0 = None;
        Ok(())
    }

    fn abort(mut self: Box<Self>) {
        self.give_up();
    }
}

impl Drop for PyUpload {
    fn drop(&mut self) {
        self.give_up();
    }
}
