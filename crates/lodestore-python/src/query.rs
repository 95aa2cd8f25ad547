//! Query expressions behind `lodestore.expression.QueryExpression`.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::types::{Decimal128Type, DecimalType as _};
use lodestore::Row;
use lodestore::definition::{CoreType, NativeKind, NativeType, StorageType, Type};
use lodestore::query::{Cond, JoinOptions, Projection, Query, Top, U};
use lodestore::schema::{Attribute, Heading, Source};
use lodestore::table::{Batches, FetchOptions};
use lodestore::value::{Batch, ColumnKind, Digits};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBool, PyDict, PyList, PyString, PyTuple};

use crate::error::{ToPyResult, raise};
use crate::output;
use crate::progress::PyProgress;
use crate::value::{Mode, from_py, row_to_dict, to_py};

/// Adds the query classes.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyQuery>()?;
    m.add_class::<PyRows>()?;
    Ok(())
}

/// An immutable expression.
#[pyclass(frozen, name = "Query", module = "lodestore._lodestore")]
pub(crate) struct PyQuery(pub(crate) Query);

/// Attributes, comment and whether lineage is known: what `Heading` is made of.
type HeadingParts<'py> = (Bound<'py, PyList>, String, bool);

#[pymethods]
impl PyQuery {
    fn heading<'py>(&self, py: Python<'py>) -> PyResult<HeadingParts<'py>> {
        let heading = py.detach(|| self.0.heading()).or_raise()?;
        heading_to_py(py, &heading)
    }

    /// The heading of the base table, before projection.
    fn original_heading<'py>(&self, py: Python<'py>) -> PyResult<HeadingParts<'py>> {
        let heading = py
            .detach(|| match self.0.base_table() {
                Some(table) => self.0.lode()?.heading(&table),
                None => self.0.heading(),
            })
            .or_raise()?;
        heading_to_py(py, &heading)
    }

    fn primary_key(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let key = py.detach(|| self.0.primary_key()).or_raise()?;
        Ok(key.iter().map(|n| n.to_string()).collect())
    }

    /// (new, old) of renamed attributes.
    fn renames(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let heading = py.detach(|| self.0.heading()).or_raise()?;
        Ok(heading
            .attributes
            .values()
            .filter_map(|a| match &a.source {
                Source::Renamed(old) => Some((a.name.to_string(), old.clone())),
                _ => None,
            })
            .collect())
    }

    fn is_restricted(&self) -> bool {
        self.0.is_restricted()
    }

    fn ignored_keys(&self) -> Vec<String> {
        self.0
            .ignored_keys()
            .iter()
            .map(|k| k.to_string())
            .collect()
    }

    fn support(&self) -> PyResult<Vec<String>> {
        let lode = self.0.lode().or_raise()?;
        let tables = self.0.tables().or_raise()?;
        Ok(tables
            .iter()
            .map(|t| lode.dialect().full_name(&t.schema, &t.name))
            .collect())
    }

    // -- algebra ---------------------------------------------------------------------------------------------------
    fn restrict(
        &self,
        py: Python<'_>,
        condition: &Bound<'_, PyAny>,
        semantic_check: bool,
    ) -> PyResult<PyQuery> {
        let cond = condition_from_py(condition, 0)?;
        py.detach(|| match cond {
            Cond::Top(top) => self.0.top(top),
            cond => self.0.restrict_with(cond, semantic_check),
        })
        .or_raise()
        .map(PyQuery)
    }

    fn proj(
        &self,
        py: Python<'_>,
        names: Vec<String>,
        named: &Bound<'_, PyDict>,
    ) -> PyResult<PyQuery> {
        let projection = Projection::from_args(names, pairs(named)?);
        py.detach(|| self.0.proj(projection))
            .or_raise()
            .map(PyQuery)
    }

    fn join(
        &self,
        py: Python<'_>,
        other: &PyQuery,
        semantic_check: bool,
        left: bool,
        allow_nullable_pk: bool,
    ) -> PyResult<PyQuery> {
        let options = JoinOptions {
            semantic_check,
            left,
            allow_nullable_pk,
        };
        py.detach(|| self.0.join(&other.0, options))
            .or_raise()
            .map(PyQuery)
    }

    fn union(&self, py: Python<'_>, other: &PyQuery) -> PyResult<PyQuery> {
        py.detach(|| self.0.union(&other.0)).or_raise().map(PyQuery)
    }

    fn aggr(
        &self,
        py: Python<'_>,
        group: &PyQuery,
        names: Vec<String>,
        named: &Bound<'_, PyDict>,
        exclude_nonmatching: bool,
    ) -> PyResult<PyQuery> {
        let projection = Projection::from_args(names, pairs(named)?);
        py.detach(|| self.0.aggr_with(&group.0, projection, exclude_nonmatching))
            .or_raise()
            .map(PyQuery)
    }

    fn u_restrict(&self, py: Python<'_>, names: Vec<String>) -> PyResult<PyQuery> {
        py.detach(|| U(names).restrict(&self.0))
            .or_raise()
            .map(PyQuery)
    }

    fn u_aggr(
        &self,
        py: Python<'_>,
        names: Vec<String>,
        named: &Bound<'_, PyDict>,
    ) -> PyResult<PyQuery> {
        let projection = Projection::from_args(Vec::<String>::new(), pairs(named)?);
        py.detach(|| U(names).aggr(&self.0, projection))
            .or_raise()
            .map(PyQuery)
    }

    // -- how many --------------------------------------------------------------------------------------------------
    fn count(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.0.count()).or_raise()
    }

    fn exists(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.0.exists()).or_raise()
    }

    // -- fetch -----------------------------------------------------------------------------------------------------
    fn to_dicts<'py>(
        &self,
        py: Python<'py>,
        columns: Option<Vec<String>>,
        window: Window,
    ) -> PyResult<Bound<'py, PyList>> {
        output::batch_to_dicts(py, self.fetch(py, columns, window)?)
    }

    fn to_structured<'py>(&self, py: Python<'py>, window: Window) -> PyResult<Bound<'py, PyAny>> {
        let batch = self.fetch(py, None, window)?;
        let heading = self.0.heading().or_raise()?;
        let nullable: Vec<bool> = batch
            .names
            .iter()
            .map(|n| heading.get(n).is_none_or(|a| a.nullable))
            .collect();
        output::batch_to_structured(py, batch, &nullable)
    }

    /// (key dicts or None, arrays of the columns).
    fn to_arrays<'py>(
        &self,
        py: Python<'py>,
        columns: Vec<String>,
        include_key: bool,
        window: Window,
    ) -> PyResult<(Option<Bound<'py, PyList>>, Vec<Bound<'py, PyAny>>)> {
        let key = if include_key {
            self.primary_key(py)?
        } else {
            Vec::new()
        };
        let mut wanted: Vec<String> = Vec::new();
        for name in columns.iter().chain(&key) {
            if !wanted.contains(name) {
                wanted.push(name.clone());
            }
        }
        let batch = self.fetch(py, Some(wanted), window)?;
        let chosen = |names: &[String]| batch.select(names.iter().map(String::as_str)).or_raise();
        let keys = if include_key {
            Some(output::batch_to_dicts(py, chosen(&key)?)?)
        } else {
            None
        };
        Ok((keys, output::batch_to_arrays(py, chosen(&columns)?)?))
    }

    /// Columns for a pandas data frame: name → array or list.
    fn to_columns<'py>(&self, py: Python<'py>, window: Window) -> PyResult<Bound<'py, PyDict>> {
        output::batch_to_columns(py, self.fetch(py, None, window)?)
    }

    /// (name, data) of each column: an object with Arrow's protocol, or a list where Arrow has no type. Not everyone
    /// reads `wide_decimals`, of more than 38 digits.
    fn to_arrow_columns<'py>(
        &self,
        py: Python<'py>,
        parse_json: bool,
        wide_decimals: bool,
        window: Window,
    ) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let batch = self.fetch(py, None, window)?;
        let mut digits = self.digits(&batch)?;
        if !wide_decimals {
            let fits = |d: &mut Digits| d.0 <= Decimal128Type::MAX_PRECISION;
            digits.iter_mut().for_each(|d| *d = d.take_if(fits));
        }
        output::batch_to_arrow_columns(py, batch, &digits, parse_json)
    }

    /// An object with Arrow's stream protocol; None if a column has no Arrow type.
    fn arrow_stream<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let batch = self.fetch(py, None, Window::default())?;
        let digits = self.digits(&batch)?;
        output::batch_to_arrow_stream(py, &batch, &digits)
    }

    /// The one row, as a dict; an error unless there is exactly one.
    fn fetch1<'py>(
        &self,
        py: Python<'py>,
        columns: Option<Vec<String>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let progress = PyProgress::new(None);
        let options = FetchOptions {
            columns,
            progress: &progress,
            ..FetchOptions::default()
        };
        let row = py.detach(|| self.0.one_row(&options)).or_raise()?;
        row_to_dict(py, row)
    }

    /// Tuples of undecoded values for a preview, in key order.
    fn preview<'py>(
        &self,
        py: Python<'py>,
        columns: Vec<String>,
        limit: u64,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let progress = PyProgress::new(None);
        let options = FetchOptions {
            columns: Some(columns),
            limit: Some(limit),
            decode: false,
            progress: &progress,
            ..FetchOptions::default()
        };
        let batch = py.detach(|| self.0.batch(&options)).or_raise()?;
        (0..batch.rows)
            .map(|row| {
                let values = (0..batch.columns.len())
                    .map(|c| to_py(py, batch.value(row, c)))
                    .collect::<PyResult<Vec<_>>>()?;
                PyTuple::new(py, values)
            })
            .collect()
    }

    /// An iterator of dicts over one cursor, `rows` at a time.
    fn iterate(&self, py: Python<'_>, rows: usize) -> PyResult<PyRows> {
        let batches = py.detach(|| self.0.batches(rows)).or_raise()?;
        Ok(PyRows {
            state: Mutex::new(RowState {
                batches: Some(batches),
                ready: None,
                next: 0,
            }),
        })
    }

    // -- SQL text --------------------------------------------------------------------------------------------------
    fn make_sql(&self, fields: Option<Vec<String>>) -> PyResult<String> {
        let lode = self.0.lode().or_raise()?;
        let fields: Option<Vec<Arc<str>>> =
            fields.map(|names| names.into_iter().map(Arc::from).collect());
        self.0
            .make_sql(lode.dialect(), fields.as_deref())
            .or_raise()
    }

    fn sql<'py>(&self, py: Python<'py>) -> PyResult<(String, Bound<'py, PyList>)> {
        let lode = self.0.lode().or_raise()?;
        let statement = self.0.sql(lode.dialect()).or_raise()?;
        let params = PyList::empty(py);
        for value in statement.params {
            params.append(to_py(py, value)?)?;
        }
        Ok((statement.text, params))
    }

    fn from_clause(&self) -> PyResult<String> {
        let lode = self.0.lode().or_raise()?;
        let text = self.0.from_text(lode.dialect()).or_raise()?;
        Ok(text.replace('%', "%%"))
    }

    fn where_clause(&self) -> PyResult<String> {
        let lode = self.0.lode().or_raise()?;
        let text = self.0.where_text(lode.dialect()).or_raise()?;
        Ok(if text.is_empty() {
            text
        } else {
            format!(" WHERE {}", text.replace('%', "%%"))
        })
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// Order terms, limit and offset of a fetch.
type Window = (Vec<String>, Option<u64>, u64);

impl PyQuery {
    fn fetch(
        &self,
        py: Python<'_>,
        columns: Option<Vec<String>>,
        (order_by, limit, offset): Window,
    ) -> PyResult<Batch> {
        let progress = PyProgress::new(None);
        let options = FetchOptions {
            columns,
            order_by,
            limit,
            offset,
            progress: &progress,
            ..FetchOptions::default()
        };
        py.detach(|| self.0.batch(&options)).or_raise()
    }

    /// Precision and scale of each column that is declared as a decimal.
    fn digits(&self, batch: &Batch) -> PyResult<Vec<Option<Digits>>> {
        let heading = self.0.heading().or_raise()?;
        let declared = |name: &str| match &heading.get(name)?.type_ {
            Some(
                Type::Core(CoreType::Decimal { precision, scale })
                | Type::Native(NativeType {
                    kind:
                        NativeKind::Decimal {
                            precision, scale, ..
                        },
                    ..
                }),
            ) => Some((u8::try_from(*precision).ok()?, u8::try_from(*scale).ok()?)),
            _ => None,
        };
        Ok(batch.names.iter().map(|name| declared(name)).collect())
    }
}

/// Rows of a running query, as dicts.
#[pyclass(frozen, name = "Rows", module = "lodestore._lodestore")]
pub(crate) struct PyRows {
    state: Mutex<RowState>,
}

struct RowState {
    batches: Option<Batches>,
    ready: Option<Py<PyList>>,
    next: usize,
}

#[pymethods]
impl PyRows {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            // Locked only while no Python code runs: a row's conversion may call user code, which may iterate too.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(ready) = &state.ready {
                let ready = ready.bind(py);
                if state.next < ready.len() {
                    let row = ready.get_item(state.next)?;
                    state.next += 1;
                    return Ok(Some(row));
                }
            }
            let Some(mut batches) = state.batches.take() else {
                return Ok(None);
            };
            state.ready = None;
            drop(state);
            let batch = py.detach(|| batches.next().map(|b| (b, batches)));
            let Some((batch, batches)) = batch else {
                return Ok(None);
            };
            let rows = output::batch_to_dicts(py, batch.or_raise()?)?;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.ready = Some(rows.unbind());
            state.next = 0;
            state.batches = Some(batches);
        }
    }
}

fn pairs(named: &Bound<'_, PyDict>) -> PyResult<Vec<(String, String)>> {
    named
        .iter()
        .map(|(k, v)| Ok((k.extract()?, v.extract()?)))
        .collect()
}

/// Deeper than this a condition is surely a mistake (a list that holds itself).
const MAX_DEPTH: usize = 64;

/// A condition as Python people write it.
fn condition_from_py(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Cond> {
    if depth > MAX_DEPTH {
        return Err(raise("the restriction is nested too deeply"));
    }
    let deeper = depth + 1;
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Cond::from(text.to_str()?));
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Cond::Const(truth.is_true()));
    }
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        return Ok(Cond::Eq(row_of(dict)?));
    }
    if let Ok(query) = value.cast::<PyQuery>() {
        return Ok(Cond::In(query.get().0.clone()));
    }
    // Marked conditions and expressions say what they are; a table class says it through an instance of itself.
    if value.hasattr("_lode_condition")? {
        let marked = if value.is_instance_of::<pyo3::types::PyType>() {
            value.call0()?.call_method0("_lode_condition")?
        } else {
            value.call_method0("_lode_condition")?
        };
        let tag: String = marked.get_item(0)?.extract()?;
        return match tag.as_str() {
            "all" => Ok(Cond::All(conditions(&marked.get_item(1)?, deeper)?)),
            "not" => Ok(!condition_from_py(&marked.get_item(1)?, deeper)?),
            "in" => condition_from_py(&marked.get_item(1)?, deeper),
            "true" => Ok(Cond::Const(true)),
            "top" => Ok(Cond::Top(Top {
                limit: marked
                    .get_item(1)?
                    .extract()
                    .map_err(|_| raise("the limit of a Top cannot be negative"))?,
                order_by: marked.get_item(2)?.extract()?,
                offset: marked
                    .get_item(3)?
                    .extract()
                    .map_err(|_| raise("the offset of a Top cannot be negative"))?,
            })),
            _ => Err(raise(format!("unknown kind of condition `{tag}`"))),
        };
    }
    if value.cast::<pyo3::types::PyMapping>().is_ok() {
        let dict = PyDict::new(value.py());
        dict.update(value.cast::<pyo3::types::PyMapping>()?)?;
        return Ok(Cond::Eq(row_of(&dict)?));
    }
    let refuse = || {
        let name = value
            .get_type()
            .name()
            .map_or_else(|_| "object".into(), |n| n.to_string());
        raise(format!("a restriction cannot be of type {name}"))
    };
    // A record: its fields name attributes.
    if let Ok(names) = value.getattr("dtype").and_then(|t| t.getattr("names"))
        && !names.is_none()
        && value
            .getattr("ndim")
            .is_ok_and(|n| n.extract::<usize>().is_ok_and(|n| n == 0))
    {
        let dict = PyDict::new(value.py());
        for name in names.try_iter()? {
            let name = name?;
            dict.set_item(&name, value.get_item(&name)?)?;
        }
        return Ok(Cond::Eq(row_of(&dict)?));
    }
    if value.is_none()
        || value.is_instance_of::<pyo3::types::PyBytes>()
        || value.hasattr("to_frame")?
    {
        return Err(refuse());
    }
    // Data frames: pandas with what its index names, then polars.
    if value.hasattr("to_records")? {
        let levels = value.getattr("index")?.getattr("names")?;
        let mut named = false;
        for level in levels.try_iter()? {
            named |= !level?.is_none();
        }
        let options = [("index", named)].into_py_dict(value.py())?;
        let records = value.call_method("to_records", (), Some(&options))?;
        return Ok(Cond::Any(conditions(&records, deeper)?));
    }
    if value.hasattr("to_dicts")? {
        let rows = value.call_method0("to_dicts")?;
        return Ok(Cond::Any(conditions(&rows, deeper)?));
    }
    match conditions(value, deeper) {
        Ok(found) => Ok(Cond::Any(found)),
        Err(error)
            if error.is_instance_of::<PyTypeError>(value.py()) && value.try_iter().is_err() =>
        {
            Err(refuse())
        }
        Err(error) => Err(error),
    }
}

fn conditions(values: &Bound<'_, PyAny>, depth: usize) -> PyResult<Vec<Cond>> {
    values
        .try_iter()?
        .map(|item| condition_from_py(&item?, depth))
        .collect()
}

fn row_of(dict: &Bound<'_, PyDict>) -> PyResult<Row> {
    let mut row = Row::new();
    for (key, value) in dict.iter() {
        let Ok(name) = key.extract::<String>() else {
            return Err(raise(format!(
                "attribute names are text, not {}",
                key.get_type().name()?
            )));
        };
        // What is restricted by is converted as a column's value is; attributes of codecs refuse later, by name.
        let converted = from_py(&value, Mode::Column).inspect_err(|error| {
            let note = format!("restriction by `{name}`");
            let _ = error.value(value.py()).call_method1("add_note", (note,));
        })?;
        row.set(name, converted);
    }
    Ok(row)
}

/// A heading as the parts of Python's `Heading`.
pub(crate) fn heading_to_py<'py>(
    py: Python<'py>,
    heading: &Heading,
) -> PyResult<HeadingParts<'py>> {
    let list = PyList::empty(py);
    for attribute in heading.attributes.values() {
        list.append(attribute_to_py(py, attribute)?)?;
    }
    Ok((list, heading.comment.clone(), heading.lineage_available))
}

fn attribute_to_py<'py>(py: Python<'py>, a: &Attribute) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    let codec = match &a.type_ {
        Some(Type::Codec(spec)) => Some(spec),
        _ => None,
    };
    let stored_json = matches!(&a.storage, Some(StorageType::Core(CoreType::Json)));
    let numeric = matches!(
        a.kind,
        ColumnKind::Int | ColumnKind::Float | ColumnKind::Decimal
    );
    let (type_, expression) = match &a.source {
        Source::Expression(text) => ("expression".to_owned(), Some(text.clone())),
        Source::Renamed(old) => (
            a.database_type.clone(),
            Some(format!("\"{}\"", old.replace('"', "\"\""))),
        ),
        Source::Column => (a.database_type.clone(), None),
    };
    d.set_item("name", &*a.name)?;
    d.set_item("type", type_)?;
    d.set_item("original_type", a.type_.as_ref().map(ToString::to_string))?;
    d.set_item("in_key", a.in_key)?;
    d.set_item("nullable", a.nullable)?;
    d.set_item("default", &a.default)?;
    let computed = matches!(a.source, Source::Expression(_)) && a.comment.is_empty();
    d.set_item(
        "comment",
        if computed {
            "calculated attribute"
        } else {
            a.comment.as_str()
        },
    )?;
    d.set_item("autoincrement", a.auto_increment)?;
    d.set_item("numeric", numeric)?;
    d.set_item("string", a.kind == ColumnKind::Text)?;
    d.set_item("uuid", a.kind == ColumnKind::Uuid)?;
    d.set_item("json", stored_json || a.kind == ColumnKind::Json)?;
    d.set_item("is_blob", a.kind == ColumnKind::Bytes)?;
    d.set_item("is_hidden", a.name.starts_with('_'))?;
    d.set_item("codec", codec.map(|c| c.name.as_str()))?;
    d.set_item("store", codec.and_then(|c| c.store.as_deref()))?;
    d.set_item("unsupported", a.chain.as_ref().is_some_and(|c| c.is_err()))?;
    d.set_item("attribute_expression", expression)?;
    d.set_item("dtype", element_type(a, codec.is_some()))?;
    d.set_item("lineage", a.lineage.as_deref())?;
    Ok(d)
}

/// The element type of the attribute's field in a structured array (spec: queries §13).
fn element_type(a: &Attribute, codec: bool) -> &'static str {
    match a.kind {
        _ if codec => "object",
        ColumnKind::Int if !a.nullable => "int64",
        ColumnKind::Float => "float64",
        _ => "object",
    }
}
