//! One table behind `lodestore.table.Table`: insert, update, delete, drop, populate, what the catalogue says of it.

use lodestore::compute::{self, Make, PopulateOptions};
use lodestore::definition::TableName;
use lodestore::schema::Lode;
use lodestore::table::{DeleteOptions, DropOptions, InsertOptions, PartIntegrity, Table};
use lodestore::{ErrorKind, Result, Row};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::connection::{edge_data, graph_of};
use crate::error::{ToPyResult, from_pyerr, to_pyerr};
use crate::progress::PyProgress;
use crate::query::PyQuery;
use crate::staged::PyStagedInsert;
use crate::value::{Columns, Converted, row_from_py, row_to_dict, rows_from_py};

/// Adds the table class.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyTable>()?;
    Ok(())
}

/// A table by name on an open database; nothing is looked up until it is used.
#[pyclass(frozen, name = "Table", module = "lodestore._lodestore")]
pub(crate) struct PyTable(pub(crate) Table);

/// (attribute row index, attribute or None, message) of each finding.
type Issues = Vec<(usize, Option<String>, String)>;

impl PyTable {
    /// A table's handle.
    pub(crate) fn new(lode: Lode, name: TableName) -> PyTable {
        PyTable(Table::new(&lode, &name))
    }

    fn lode(&self) -> &Lode {
        self.0.lode()
    }

    fn columns(&self, py: Python<'_>) -> PyResult<Columns> {
        let heading = py
            .detach(|| self.lode().heading(self.0.name()))
            .or_raise()?;
        Ok(Columns::of(&heading))
    }

    fn full(&self, table: &TableName) -> String {
        self.lode().dialect().full_name(&table.schema, &table.name)
    }
}

#[pymethods]
impl PyTable {
    #[getter]
    fn schema(&self) -> &str {
        &self.0.name().schema
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.name().name
    }

    #[getter]
    fn full_name(&self) -> String {
        self.full(self.0.name())
    }

    fn query(&self) -> PyQuery {
        PyQuery(self.0.query().clone())
    }

    fn is_declared(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.lode().is_declared(self.0.name()))
            .or_raise()
    }

    /// (columns, unique) of each index other than the primary key.
    fn indexes(&self, py: Python<'_>) -> PyResult<Vec<(Vec<String>, bool)>> {
        let found = py
            .detach(|| self.lode().indexes(self.0.name()))
            .or_raise()?;
        Ok(found.into_iter().map(|i| (i.terms, i.unique)).collect())
    }

    /// The definition; `name(schema, table)` gives a class name or None.
    fn describe(&self, py: Python<'_>, name: Py<PyAny>) -> PyResult<String> {
        py.detach(|| {
            self.lode().describe(self.0.name(), &|table| {
                Python::attach(|py| {
                    name.call1(py, (&table.schema, &table.name))
                        .ok()?
                        .extract::<Option<String>>(py)
                        .ok()
                        .flatten()
                })
            })
        })
        .or_raise()
    }

    // -- relations -------------------------------------------------------------------------------------------------
    /// (schema, table, data) of each foreign key.
    fn parents<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, String, Bound<'py, PyDict>)>> {
        let graph = py
            .detach(|| graph_of(self.lode(), self.0.name()))
            .or_raise()?;
        graph
            .parents(self.0.name())
            .into_iter()
            .map(|k| {
                Ok((
                    k.parent.schema.clone(),
                    k.parent.name.clone(),
                    edge_data(py, k)?,
                ))
            })
            .collect()
    }

    /// (schema, table, data) of each foreign key that references the table.
    fn children<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Vec<(String, String, Bound<'py, PyDict>)>> {
        let graph = py
            .detach(|| graph_of(self.lode(), self.0.name()))
            .or_raise()?;
        graph
            .children(self.0.name())
            .into_iter()
            .map(|k| {
                Ok((
                    k.child.schema.clone(),
                    k.child.name.clone(),
                    edge_data(py, k)?,
                ))
            })
            .collect()
    }

    /// The table and everything it depends on, nearest first.
    fn ancestors(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let graph = py
            .detach(|| graph_of(self.lode(), self.0.name()))
            .or_raise()?;
        Ok(graph
            .ancestors(self.0.name())
            .into_iter()
            .rev()
            .map(|t| (t.schema, t.name))
            .collect())
    }

    /// The table and everything that depends on it, nearest first.
    fn descendants(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let graph = py
            .detach(|| graph_of(self.lode(), self.0.name()))
            .or_raise()?;
        Ok(graph
            .descendants(self.0.name())
            .into_iter()
            .map(|t| (t.schema, t.name))
            .collect())
    }

    fn parts(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let tables = py
            .detach(|| self.lode().tables(&self.0.name().schema))
            .or_raise()?;
        Ok(tables
            .into_iter()
            .filter(|t| t.master().as_ref() == Some(self.0.name()))
            .map(|t| (t.schema, t.name))
            .collect())
    }

    // -- rows ------------------------------------------------------------------------------------------------------
    #[pyo3(signature = (rows, *, replace, skip_duplicates, ignore_extra_fields, chunk_size, atomic, progress=None))]
    #[allow(clippy::too_many_arguments)]
    fn insert(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        replace: bool,
        skip_duplicates: bool,
        ignore_extra_fields: bool,
        chunk_size: Option<usize>,
        atomic: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<u64> {
        let columns = self.columns(py)?;
        let progress = PyProgress::new(progress);
        // The guard of auto-populated tables is Python's: it follows the calling context, not the thread.
        let options = InsertOptions {
            replace,
            skip_duplicates,
            ignore_extra_fields,
            allow_direct_insert: true,
            chunk_size,
            atomic,
            progress: &progress,
            ..InsertOptions::default()
        };
        let rows = rows_from_py(rows, &columns)?;
        py.detach(|| match rows {
            Converted::Same(rows) => self.0.insert_rows(rows, &options),
            Converted::Mixed(rows) => self.0.insert(rows, &options),
        })
        .or_raise()
    }

    fn insert_select(
        &self,
        py: Python<'_>,
        source: &PyQuery,
        replace: bool,
        skip_duplicates: bool,
        ignore_extra_fields: bool,
    ) -> PyResult<u64> {
        let progress = PyProgress::new(None);
        let options = InsertOptions {
            replace,
            skip_duplicates,
            ignore_extra_fields,
            allow_direct_insert: true,
            progress: &progress,
            ..InsertOptions::default()
        };
        py.detach(|| self.0.insert_select(&source.0, &options))
            .or_raise()
    }

    fn staged_insert(&self, py: Python<'_>) -> PyResult<PyStagedInsert> {
        Ok(PyStagedInsert::new(&self.0, self.columns(py)?))
    }

    fn update1(&self, py: Python<'_>, row: &Bound<'_, PyDict>) -> PyResult<()> {
        let row = row_from_py(row.as_any(), &self.columns(py)?, &mut true)?;
        py.detach(|| self.0.update1(row)).or_raise()
    }

    fn validate(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        ignore_extra_fields: bool,
    ) -> PyResult<(Issues, usize)> {
        let columns = self.columns(py)?;
        let mut converted = Vec::new();
        let mut numbers = Vec::new();
        let mut issues: Issues = Vec::new();
        let (mut count, mut warned) = (0, false);
        // Row by row, so that one bad row is a finding and not the end.
        for row in rows.try_iter()? {
            match row_from_py(&row?, &columns, &mut warned) {
                Ok(row) => {
                    converted.push(row);
                    numbers.push(count);
                }
                Err(error) => issues.push((count, None, error.value(py).to_string())),
            }
            count += 1;
        }
        let found = py
            .detach(|| self.0.validate(converted, ignore_extra_fields))
            .or_raise()?;
        issues.extend(found.issues.into_iter().map(|i| {
            (
                numbers.get(i.row).copied().unwrap_or(i.row),
                i.attribute,
                i.message,
            )
        }));
        issues.sort_by_key(|(row, ..)| *row);
        Ok((issues, count))
    }

    /// Deletes the rows of a restriction of this table. Returns (rows deleted here, counts by full name, done).
    fn delete(
        &self,
        py: Python<'_>,
        query: &PyQuery,
        transaction: bool,
        part_integrity: &str,
        dry_run: bool,
        ask: Option<Py<PyAny>>,
    ) -> PyResult<(u64, Vec<(String, u64)>, bool)> {
        let progress = PyProgress::new(None);
        let mut failure = None;
        let report = py.detach(|| {
            let mut confirm = ask.map(|ask| self.asker(ask, &mut failure));
            query.0.delete(DeleteOptions {
                transaction,
                part_integrity: integrity(part_integrity),
                dry_run,
                confirm: confirm
                    .as_mut()
                    .map(|c| c as &mut dyn FnMut(&[(TableName, u64)]) -> bool),
                progress: &progress,
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let report = report.or_raise()?;
        let counts = report
            .counts
            .iter()
            .map(|(t, n)| (self.full(t), *n))
            .collect();
        Ok((report.deleted, counts, report.executed))
    }

    fn delete_quick(&self, py: Python<'_>, query: &PyQuery) -> PyResult<u64> {
        py.detach(|| query.0.delete_quick()).or_raise()
    }

    /// Drops the table and everything that depends on it; True if done.
    fn drop(&self, py: Python<'_>, part_integrity: &str, ask: Option<Py<PyAny>>) -> PyResult<bool> {
        let mut failure = None;
        let dropped = py.detach(|| {
            let mut confirm = ask.map(|ask| self.asker(ask, &mut failure));
            self.0.drop_table(DropOptions {
                part_integrity: integrity(part_integrity),
                dry_run: false,
                confirm: confirm
                    .as_mut()
                    .map(|c| c as &mut dyn FnMut(&[(TableName, u64)]) -> bool),
            })
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(!dropped.or_raise()?.is_empty()),
        }
    }

    fn drop_quick(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.0.drop_quick()).or_raise()
    }

    // -- populate --------------------------------------------------------------------------------------------------
    fn default_key_source(&self, py: Python<'_>) -> PyResult<PyQuery> {
        py.detach(|| compute::default_key_source(&self.0))
            .or_raise()
            .map(PyQuery)
    }

    /// Key attributes that no foreign key brings.
    fn own_key_attributes(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let graph = py
            .detach(|| graph_of(self.lode(), self.0.name()))
            .or_raise()?;
        let heading = self.lode().heading(self.0.name()).or_raise()?;
        let brought: Vec<&String> = graph
            .parents(self.0.name())
            .into_iter()
            .flat_map(|k| k.attr_map.iter().map(|(c, _)| c))
            .collect();
        Ok(heading
            .primary_key()
            .map(|n| n.to_string())
            .filter(|n| !brought.contains(&n))
            .collect())
    }

    /// (remaining, total).
    fn progress(&self, py: Python<'_>, source: &PyQuery) -> PyResult<(u64, u64)> {
        py.detach(|| compute::progress(&source.0, &self.0))
            .or_raise()
    }

    /// Calls `maker` for every missing key. Returns the number of successes, and (key, exception) of failures.
    fn populate<'py>(
        &self,
        py: Python<'py>,
        source: &PyQuery,
        maker: Py<PyAny>,
        suppress_errors: bool,
        max_calls: Option<u64>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(u64, Bound<'py, PyList>)> {
        let progress = PyProgress::new(progress);
        let prepared = maker.call_method0(py, "is_prepared")?.extract(py)?;
        let mut maker = PyMake { maker, prepared };
        let options = PopulateOptions {
            suppress_errors,
            max_calls,
            progress: &progress,
        };
        let report = py
            .detach(|| compute::populate(&source.0, &self.0, &mut maker, &options))
            .or_raise()?;
        let errors = PyList::empty(py);
        for (key, error) in report.errors {
            errors.append((row_to_dict(py, key)?, to_pyerr(error).into_value(py)))?;
        }
        Ok((report.success_count, errors))
    }
}

impl PyTable {
    /// Asks a Python function; what it raises is kept and counts as no.
    fn asker<'a>(
        &'a self,
        ask: Py<PyAny>,
        failure: &'a mut Option<PyErr>,
    ) -> impl FnMut(&[(TableName, u64)]) -> bool + 'a {
        move |counts| {
            let named: Vec<(String, u64)> =
                counts.iter().map(|(t, n)| (self.full(t), *n)).collect();
            let answer =
                Python::attach(|py| ask.call1(py, (named,)).and_then(|a| a.extract::<bool>(py)));
            answer.unwrap_or_else(|error| {
                *failure = Some(error);
                false
            })
        }
    }
}

fn integrity(text: &str) -> PartIntegrity {
    match text {
        "ignore" => PartIntegrity::Ignore,
        "cascade" => PartIntegrity::Cascade,
        _ => PartIntegrity::Enforce,
    }
}

/// A Python `make`, called by the engine's loop.
struct PyMake {
    maker: Py<PyAny>,
    prepared: bool,
}

impl PyMake {
    fn call(&self, name: &str, key: &Row) -> Result<()> {
        Python::attach(|py| {
            let key = row_to_dict(py, key.clone()).map_err(from_pyerr)?;
            self.maker
                .call_method1(py, name, (key,))
                .map(drop)
                .map_err(|error| {
                    // SystemExit and its like end the loop, whatever may be suppressed.
                    let ends = !error.is_instance_of::<PyException>(py);
                    let error = from_pyerr(error);
                    if ends {
                        error.with_kind(ErrorKind::Interrupted)
                    } else {
                        error
                    }
                })
        })
    }
}

impl Make for PyMake {
    fn is_prepared(&self) -> bool {
        self.prepared
    }

    fn prepare(&mut self, key: &Row) -> Result<()> {
        if self.prepared {
            self.call("prepare", key)
        } else {
            Ok(())
        }
    }

    fn make(&mut self, key: &Row) -> Result<()> {
        self.call("make", key)
    }

    fn finished(&mut self, key: &Row) {
        // Only lets go of memory; there is nothing to do about a failure.
        drop(self.call("finished", key));
    }
}
