//! The open database behind `lodestore.connection.Connection`, and names of tables.

use std::sync::{Arc, PoisonError, RwLock};

use lodestore::config::Config;
use lodestore::definition::{self, ForeignKeyLine, TableName, Tier};
use lodestore::schema::{Declare, Dependencies, ForeignKey, ForeignKeyTarget, HiddenColumns, Lode};
use lodestore::sql::{BackendKind, Statement};
use lodestore::store::StoreSet;
use lodestore::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::alter::PyAlteration;
use crate::config::PyConfig;
use crate::error::{ToPyResult, class, from_pyerr, to_pyerr};
use crate::table::PyTable;
use crate::value::{Mode, from_py, to_py};

/// Adds the connection class and the functions on names.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyLode>()?;
    m.add_function(wrap_pyfunction!(split_table_name, m)?)?;
    m.add_function(wrap_pyfunction!(class_to_table, m)?)?;
    m.add_function(wrap_pyfunction!(table_to_class, m)?)?;
    m.add_function(wrap_pyfunction!(table_tier, m)?)?;
    Ok(())
}

/// One open database with its stores.
#[pyclass(frozen, name = "Lode", module = "lodestore._lodestore")]
pub(crate) struct PyLode {
    // Replaced when a closed connection is opened again.
    lode: RwLock<Lode>,
    config: Config,
    stores: Arc<StoreSet>,
}

/// What a raw query gave: column names if it returns rows, the rows, and how many rows it touched.
type RawResult<'py> = (Option<Vec<String>>, Vec<Bound<'py, PyTuple>>, u64);

impl PyLode {
    /// The engine's handle.
    pub(crate) fn lode(&self) -> Lode {
        self.lode
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[pymethods]
impl PyLode {
    /// Opens what the settings name.
    #[staticmethod]
    fn connect(py: Python<'_>, config: &PyConfig) -> PyResult<PyLode> {
        let (config, stores) = (config.config.clone(), config.stores.clone());
        let lode = py
            .detach(|| Lode::connect_with(config.clone(), stores.clone()))
            .or_raise()?;
        Ok(PyLode {
            lode: RwLock::new(lode),
            config,
            stores,
        })
    }

    fn reopen(&self, py: Python<'_>) -> PyResult<()> {
        let lode = py
            .detach(|| Lode::connect_with(self.config.clone(), self.stores.clone()))
            .or_raise()?;
        *self.lode.write().unwrap_or_else(PoisonError::into_inner) = lode;
        Ok(())
    }

    #[getter]
    fn backend(&self) -> &'static str {
        match self.lode().dialect().kind() {
            BackendKind::Sqlite => "sqlite",
            BackendKind::Postgres => "postgresql",
            BackendKind::MySql => "mysql",
        }
    }

    #[getter]
    fn connection_id(&self) -> i64 {
        self.lode().backend().connection_id()
    }

    #[getter]
    fn is_connected(&self, py: Python<'_>) -> bool {
        py.detach(|| self.lode().backend().is_connected())
    }

    #[getter]
    fn in_transaction(&self) -> bool {
        self.lode().in_transaction()
    }

    fn describe(&self) -> String {
        self.lode().backend().describe()
    }

    fn user(&self) -> PyResult<String> {
        self.lode().backend().user().or_raise()
    }

    fn ping(&self, py: Python<'_>) -> PyResult<()> {
        if py.detach(|| self.lode().backend().is_connected()) {
            Ok(())
        } else {
            Err(to_pyerr(Error::new(
                lodestore::ErrorKind::LostConnection,
                "the database does not answer",
            )))
        }
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.lode().backend().close());
    }

    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.lode().begin()).or_raise()
    }

    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.lode().commit()).or_raise()
    }

    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.lode().rollback()).or_raise()
    }

    fn savepoint(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        py.detach(|| self.lode().backend().savepoint(name))
            .or_raise()
    }

    fn release(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        py.detach(|| self.lode().backend().release(name)).or_raise()
    }

    fn rollback_to(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        py.detach(|| self.lode().backend().rollback_to(name))
            .or_raise()
    }

    /// Quotes an identifier.
    fn quote_identifier(&self, name: &str) -> String {
        self.lode().dialect().quote(name)
    }

    /// Runs raw SQL in which NUL stands for each parameter. Returns names (none if it gives no rows), rows, row count.
    fn query<'py>(
        &self,
        py: Python<'py>,
        text: &str,
        params: &Bound<'py, PyList>,
    ) -> PyResult<RawResult<'py>> {
        let lode = self.lode();
        let mut sql = String::with_capacity(text.len());
        for (n, piece) in text.split('\0').enumerate() {
            if n > 0 {
                sql.push_str(&lode.dialect().placeholder(n));
            }
            sql.push_str(piece);
        }
        let params = params
            .iter()
            .map(|p| from_py(&p, Mode::Column))
            .collect::<PyResult<Vec<_>>>()?;
        let statement = Statement { text: sql, params };
        if gives_rows(&statement.text) {
            let batch = py
                .detach(|| lode.backend().query_any(&statement))
                .or_raise()?;
            let mut rows = Vec::with_capacity(batch.rows);
            for row in 0..batch.rows {
                let values = (0..batch.columns.len())
                    .map(|c| to_py(py, batch.value(row, c)))
                    .collect::<PyResult<Vec<_>>>()?;
                rows.push(PyTuple::new(py, values)?);
            }
            let names = batch.names.iter().map(|n| n.to_string()).collect();
            let count = rows.len() as u64;
            Ok((Some(names), rows, count))
        } else {
            let count = py
                .detach(|| lode.backend().execute(&statement))
                .or_raise()?;
            // Raw DDL may have changed any heading.
            lode.refresh_all();
            Ok((None, Vec::new(), count))
        }
    }

    fn schemas(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        py.detach(|| self.lode().schemas()).or_raise()
    }

    fn schema_exists(&self, py: Python<'_>, schema: &str) -> PyResult<bool> {
        py.detach(|| self.lode().schema_exists(schema)).or_raise()
    }

    fn create_schema(&self, py: Python<'_>, schema: &str) -> PyResult<()> {
        py.detach(|| self.lode().create_schema(schema)).or_raise()
    }

    fn drop_schema(&self, py: Python<'_>, schema: &str) -> PyResult<()> {
        py.detach(|| self.lode().drop_schema(schema)).or_raise()
    }

    /// (schema, stored name) in topological order.
    fn tables(&self, py: Python<'_>, schema: &str) -> PyResult<Vec<(String, String)>> {
        let tables = py.detach(|| self.lode().tables(schema)).or_raise()?;
        Ok(tables.into_iter().map(|t| (t.schema, t.name)).collect())
    }

    fn lineage(&self, py: Python<'_>, schema: &str) -> PyResult<Py<PyDict>> {
        let pairs = py.detach(|| self.lode().lineage(schema)).or_raise()?;
        let dict = PyDict::new(py);
        for (attribute, origin) in pairs {
            dict.set_item(attribute, origin)?;
        }
        Ok(dict.unbind())
    }

    fn lineage_table_exists(&self, py: Python<'_>, schema: &str) -> PyResult<bool> {
        py.detach(|| self.lode().lineage_table_exists(schema))
            .or_raise()
    }

    fn rebuild_lineage(&self, py: Python<'_>, schema: &str) -> PyResult<()> {
        py.detach(|| self.lode().rebuild_lineage(schema)).or_raise()
    }

    /// Declares a table. `resolve(text, name, renames)` gives (schema, table, renames). Returns warnings, or None if it
    /// was there already.
    #[allow(clippy::too_many_arguments)]
    fn declare(
        &self,
        py: Python<'_>,
        schema: &str,
        class_name: &str,
        tier: &str,
        master: Option<String>,
        definition: &str,
        resolve: Py<PyAny>,
    ) -> PyResult<Option<Vec<String>>> {
        self.with_declaration(
            py,
            schema,
            class_name,
            tier,
            master,
            definition,
            resolve,
            |lode, declare| {
                let declared = lode.declare(declare)?;
                Ok(declared.created.then_some(declared.warnings))
            },
        )
    }

    /// Differences between a definition and the declared table.
    #[allow(clippy::too_many_arguments)]
    fn check_definition(
        &self,
        py: Python<'_>,
        schema: &str,
        class_name: &str,
        tier: &str,
        master: Option<String>,
        definition: &str,
        resolve: Py<PyAny>,
    ) -> PyResult<Vec<String>> {
        self.with_declaration(
            py,
            schema,
            class_name,
            tier,
            master,
            definition,
            resolve,
            |lode, declare| lode.check_definition(declare),
        )
    }

    /// Records lost lineage again; true if there was some to record.
    #[allow(clippy::too_many_arguments)]
    fn restore_lineage(
        &self,
        py: Python<'_>,
        schema: &str,
        class_name: &str,
        tier: &str,
        master: Option<String>,
        definition: &str,
        resolve: Py<PyAny>,
    ) -> PyResult<bool> {
        self.with_declaration(
            py,
            schema,
            class_name,
            tier,
            master,
            definition,
            resolve,
            |lode, declare| lode.restore_lineage(declare),
        )
    }

    /// What it takes to change a declared table to a changed definition.
    #[allow(clippy::too_many_arguments)]
    fn alter(
        &self,
        py: Python<'_>,
        schema: &str,
        class_name: &str,
        tier: &str,
        master: Option<String>,
        definition: &str,
        resolve: Py<PyAny>,
    ) -> PyResult<PyAlteration> {
        let plan = self.with_declaration(
            py,
            schema,
            class_name,
            tier,
            master,
            definition,
            resolve,
            |lode, declare| lode.alter(declare),
        )?;
        Ok(PyAlteration::new(self.lode(), plan))
    }

    /// What it takes to write the markers that a table's columns lack.
    #[allow(clippy::too_many_arguments)]
    fn restore_markers(
        &self,
        py: Python<'_>,
        schema: &str,
        class_name: &str,
        tier: &str,
        master: Option<String>,
        definition: &str,
        resolve: Py<PyAny>,
    ) -> PyResult<PyAlteration> {
        let plan = self.with_declaration(
            py,
            schema,
            class_name,
            tier,
            master,
            definition,
            resolve,
            |lode, declare| lode.restore_markers(declare),
        )?;
        Ok(PyAlteration::new(self.lode(), plan))
    }

    /// What it takes to add hidden columns that a table lacks.
    fn add_hidden_columns(
        &self,
        py: Python<'_>,
        schema: &str,
        table: &str,
        job_metadata: bool,
        provenance: bool,
    ) -> PyResult<PyAlteration> {
        let lode = self.lode();
        let hidden = HiddenColumns {
            job_metadata,
            provenance,
        };
        let table = TableName {
            schema: schema.to_owned(),
            name: table.to_owned(),
        };
        let plan = py
            .detach(|| lode.add_hidden_columns(&table, hidden))
            .or_raise()?;
        Ok(PyAlteration::new(lode, plan))
    }

    /// The statement that sets a replica identity; run unless `dry_run`.
    fn replica_identity(
        &self,
        py: Python<'_>,
        schema: &str,
        table: &str,
        full: bool,
        dry_run: bool,
    ) -> PyResult<String> {
        let lode = self.lode();
        let table = TableName {
            schema: schema.to_owned(),
            name: table.to_owned(),
        };
        py.detach(|| {
            let statement = lode.replica_identity(&table, full)?;
            if !dry_run {
                lode.backend().execute(&statement)?;
            }
            Ok(statement.text)
        })
        .or_raise()
    }

    /// A table's handle; nothing is looked up.
    fn table(&self, schema: &str, table: &str) -> PyTable {
        PyTable::new(
            self.lode(),
            TableName {
                schema: schema.to_owned(),
                name: table.to_owned(),
            },
        )
    }

    /// The foreign keys among all tables reachable from some schemas.
    fn dependencies<'py>(
        &self,
        py: Python<'py>,
        schemas: Vec<String>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let lode = self.lode();
        let names: Vec<&str> = schemas.iter().map(String::as_str).collect();
        lode.look_again();
        let graph = py.detach(|| lode.dependencies(&names)).or_raise()?;
        let full = |t: &TableName| lode.dialect().full_name(&t.schema, &t.name);
        let dict = PyDict::new(py);
        let nodes: Vec<(String, Vec<String>)> = graph
            .nodes()
            .iter()
            .map(|t| (full(t), graph.primary_key(t).to_vec()))
            .collect();
        dict.set_item("nodes", nodes)?;
        let edges = PyList::empty(py);
        for key in graph.foreign_keys() {
            edges.append((full(&key.parent), full(&key.child), edge_data(py, key)?))?;
        }
        dict.set_item("edges", edges)?;
        let order: Vec<String> = graph.topo_sort().or_raise()?.iter().map(full).collect();
        dict.set_item("order", order)?;
        Ok(dict)
    }
}

impl PyLode {
    #[allow(clippy::too_many_arguments)]
    fn with_declaration<T: Send>(
        &self,
        py: Python<'_>,
        schema: &str,
        class_name: &str,
        tier: &str,
        master: Option<String>,
        definition: &str,
        resolve: Py<PyAny>,
        run: impl FnOnce(&Lode, Declare<'_>) -> Result<T> + Send,
    ) -> PyResult<T> {
        let tier = match tier {
            "manual" => Tier::Manual,
            "lookup" => Tier::Lookup,
            "imported" => Tier::Imported,
            "computed" => Tier::Computed,
            _ => Tier::Part,
        };
        let lode = self.lode();
        let master = master.map(|name| TableName {
            schema: schema.to_owned(),
            name,
        });
        let hidden = HiddenColumns::of(&self.config);
        let mut target = |line: &ForeignKeyLine| resolve_with(&resolve, line);
        py.detach(move || {
            run(
                &lode,
                Declare {
                    schema,
                    class_name,
                    tier,
                    master: master.as_ref(),
                    definition,
                    hidden,
                    resolve: &mut target,
                },
            )
        })
        .or_raise()
    }
}

/// Asks Python what a `->` line leads to.
fn resolve_with(resolve: &Py<PyAny>, line: &ForeignKeyLine) -> Result<ForeignKeyTarget> {
    Python::attach(|py| {
        let (name, renames) = match &line.target {
            Some(target) => (Some(target.name.as_str()), target.renames.clone()),
            None => (None, Vec::new()),
        };
        let found = resolve
            .call1(py, (line.target_text.as_str(), name, renames))
            .map_err(|error| refused_target(py, error))?;
        let (schema, table, renames): (String, String, Vec<(String, String)>) =
            found.extract(py).map_err(from_pyerr)?;
        Ok(ForeignKeyTarget {
            table: TableName {
                schema,
                name: table,
            },
            renames,
        })
    })
}

/// What Python says of a target is a finding on its line; the exceptions of other code stay what they are.
fn refused_target(py: Python<'_>, error: PyErr) -> Error {
    match class(py, "DataJointError") {
        Ok(class) if error.value(py).is_instance(&class).unwrap_or(false) => {
            Error::new(ErrorKind::Definition, error.value(py).to_string())
        }
        _ => from_pyerr(error),
    }
}

/// What Python code sees of a foreign key.
pub(crate) fn edge_data<'py>(py: Python<'py>, key: &ForeignKey) -> PyResult<Bound<'py, PyDict>> {
    let data = PyDict::new(py);
    data.set_item("primary", key.primary)?;
    let map = PyDict::new(py);
    for (child, parent) in &key.attr_map {
        map.set_item(child, parent)?;
    }
    data.set_item("attr_map", map)?;
    data.set_item("aliased", key.aliased)?;
    data.set_item("multi", key.multi)?;
    Ok(data)
}

/// The dependency graph around one table.
pub(crate) fn graph_of(lode: &Lode, table: &TableName) -> Result<std::sync::Arc<Dependencies>> {
    lode.dependencies(&[table.schema.as_str()])
}

/// True if a statement returns rows.
fn gives_rows(sql: &str) -> bool {
    let first = sql
        .trim_start_matches(|c: char| c.is_whitespace() || c == '(')
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    matches!(
        first.as_str(),
        "SELECT" | "SHOW" | "VALUES" | "PRAGMA" | "EXPLAIN" | "DESCRIBE"
    ) || (matches!(
        first.as_str(),
        "WITH" | "INSERT" | "UPDATE" | "DELETE" | "REPLACE"
    ) && (first == "WITH" || sql.to_ascii_uppercase().contains("RETURNING")))
}

/// (schema, stored name) of a full table name in either quotes.
#[pyfunction]
fn split_table_name(full_name: &str) -> PyResult<(String, String)> {
    let name = TableName::parse(full_name).or_raise()?;
    Ok((name.schema, name.name))
}

#[pyfunction]
fn class_to_table(class: &str) -> PyResult<String> {
    definition::class_to_table(class).or_raise()
}

#[pyfunction]
fn table_to_class(table: &str) -> String {
    definition::table_to_class(table)
}

/// (tier, stored name of the master) of a stored name.
#[pyfunction]
fn table_tier(table: &str) -> (&'static str, Option<String>) {
    let name = TableName {
        schema: String::new(),
        name: table.to_owned(),
    };
    (name.tier().name(), name.master().map(|m| m.name))
}
