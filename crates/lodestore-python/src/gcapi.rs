//! Conversion: garbage collection.

use std::collections::{BTreeMap, BTreeSet};

use lodestore::gc::{self, GcOptions, Stats};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::connection::PyLode;
use crate::error::ToPyResult;
use crate::progress::PyProgress;
use crate::value::json_to_py;

/// Adds this file's classes and functions to the extension module.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(gc_collect, m)?)?;
    m.add_function(wrap_pyfunction!(gc_format_stats, m)?)?;
    m.add_function(wrap_pyfunction!(gc_references, m)?)?;
    m.add_function(wrap_pyfunction!(gc_hash_paths, m)?)?;
    m.add_function(wrap_pyfunction!(gc_schema_paths, m)?)?;
    m.add_function(wrap_pyfunction!(gc_delete_schema_path, m)?)?;
    Ok(())
}

/// Options of what is quick enough to need no listener.
fn in_store(store: Option<String>) -> GcOptions<'static> {
    GcOptions {
        store,
        ..GcOptions::default()
    }
}

/// Scans, and removes unless `dry_run`; the statistics as a dict with the keys of both vocabularies.
#[pyfunction]
#[pyo3(signature = (lode, schemas, store, dry_run, force, grace, listener))]
#[allow(clippy::too_many_arguments)] // One call of a private interface: the arguments are those of `collect`.
fn gc_collect<'py>(
    py: Python<'py>,
    lode: &PyLode,
    schemas: Vec<String>,
    store: Option<String>,
    dry_run: bool,
    force: bool,
    grace: Option<f64>,
    listener: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let lode = lode.lode();
    let stats = py
        .detach(|| {
            let progress = PyProgress::new(listener);
            let options = GcOptions {
                store,
                force,
                grace,
                progress: &progress,
            };
            let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
            gc::collect(&lode, &schemas, dry_run, &options)
        })
        .or_raise()?;
    json_to_py(py, &serde_json::Value::Object(stats.to_json()))
}

/// Statistics as text.
#[pyfunction]
fn gc_format_stats(stats: &Bound<'_, PyDict>) -> PyResult<String> {
    // Counts and the lines of `scan_errors` are all that the text shows.
    let number = |key: &str| -> PyResult<u64> {
        stats.get_item(key)?.map_or(Ok(0), |value| value.extract())
    };
    let section = |prefix: &str| -> PyResult<gc::Section> {
        Ok(gc::Section {
            referenced: number(&format!("{prefix}_referenced"))?,
            stored: number(&format!("{prefix}_stored"))?,
            orphaned: number(&format!("{prefix}_orphaned"))?,
            orphaned_bytes: number(&format!("{prefix}_orphaned_bytes"))?,
            deleted: number(&format!("{prefix}_deleted"))?,
            orphans: Vec::new(),
        })
    };
    let hash = match stats.contains("hash_paths_stored")? {
        true => "hash_paths",
        false => "hash",
    };
    let stats = Stats {
        hash: section(hash)?,
        schema: section("schema_paths")?,
        bytes_freed: number("bytes_freed")?,
        errors: number("errors")?,
        scan_errors: stats
            .get_item("scan_errors")?
            .map_or(Ok(Vec::new()), |value| value.extract())?,
        dry_run: stats
            .get_item("dry_run")?
            .map_or(Ok(true), |value| value.extract())?,
    };
    Ok(stats.format())
}

/// Paths that rows refer to: (hash-addressed, schema-addressed).
#[pyfunction]
fn gc_references(
    py: Python<'_>,
    lode: &PyLode,
    schemas: Vec<String>,
    store: Option<String>,
) -> PyResult<(BTreeSet<String>, BTreeSet<String>)> {
    let lode = lode.lode();
    py.detach(|| {
        let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
        gc::referenced_paths(&lode, &schemas, &in_store(store))
    })
    .or_raise()
}

/// Hash-addressed files of a schema: path to size.
#[pyfunction]
fn gc_hash_paths(
    py: Python<'_>,
    lode: &PyLode,
    schema: &str,
    store: Option<String>,
) -> PyResult<BTreeMap<String, u64>> {
    let lode = lode.lode();
    py.detach(|| gc::list_hash_paths(&lode, schema, &in_store(store)))
        .or_raise()
}

/// Files of a schema's section, manifests included: path to size.
#[pyfunction]
fn gc_schema_paths(
    py: Python<'_>,
    lode: &PyLode,
    schema: &str,
    store: Option<String>,
) -> PyResult<BTreeMap<String, u64>> {
    let lode = lode.lode();
    py.detach(|| gc::list_schema_paths(&lode, schema, &in_store(store)))
        .or_raise()
}

/// Removes a schema-addressed object that no row refers to; false if nothing was there.
#[pyfunction]
fn gc_delete_schema_path(
    py: Python<'_>,
    lode: &PyLode,
    path: &str,
    store: Option<String>,
) -> PyResult<bool> {
    let lode = lode.lode();
    py.detach(|| gc::delete_schema_path(&lode, path, &in_store(store)))
        .or_raise()
}
