//! A [`Value`] as a Python object.

use lodestore::value::{Array, Elements, Kind, Sparse};
use lodestore::{Error, Row, Value};
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBytes, PyComplex, PyDate, PyDateTime, PyDict, PyFrozenSet, PyList, PySet, PyString, PyTime,
    PyTuple,
};

use super::Lazy;
use super::arrays::{array_to_py, objects_to_py};
use super::from_py::PyForeign;
use crate::error::{raise, to_pyerr};

/// Converts a value. Decoded arrays are writable and take over the engine's memory; 0-d numbers become NumPy scalars.
pub(crate) fn to_py<'py>(py: Python<'py>, value: Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(v) => v.into_bound_py_any(py),
        Value::Int(v) => v.into_bound_py_any(py),
        Value::Float(v) => v.into_bound_py_any(py),
        Value::Text(v) => Ok(PyString::new(py, &v).into_any()),
        Value::Bytes(v) => Ok(PyBytes::new(py, &v).into_any()),
        Value::Date(v) => {
            Ok(PyDate::new(py, i32::from(v.year()), v.month() as u8, v.day() as u8)?.into_any())
        }
        Value::Time(v) => {
            let (h, m, s) = (v.hour() as u8, v.minute() as u8, v.second() as u8);
            Ok(PyTime::new(py, h, m, s, v.subsec_nanosecond() as u32 / 1000, None)?.into_any())
        }
        Value::DateTime(v) => {
            let (date, time) = (v.date(), v.time());
            Ok(PyDateTime::new(
                py,
                i32::from(date.year()),
                date.month() as u8,
                date.day() as u8,
                time.hour() as u8,
                time.minute() as u8,
                time.second() as u8,
                time.subsec_nanosecond() as u32 / 1000,
                None,
            )?
            .into_any())
        }
        Value::Decimal(text) => decimal(py, &text),
        Value::Uuid(v) => uuid(py, v.as_u128()),
        Value::Json(json) => json_loads(py, json.as_str()),
        Value::BigInt(bytes) => {
            static FROM_BYTES: Lazy = Lazy::new("builtins", "int");
            let options = PyDict::new(py);
            options.set_item("signed", true)?;
            FROM_BYTES.get(py)?.call_method(
                intern!(py, "from_bytes"),
                (PyBytes::new(py, &bytes), "little"),
                Some(&options),
            )
        }
        Value::Complex(re, im) => Ok(PyComplex::from_doubles(py, re, im).into_any()),
        Value::Array(array) => decoded_array(py, *array),
        Value::Records { shape, fields } => {
            static RECARRAY: Lazy = Lazy::new("numpy", "recarray");
            records(py, &shape, fields)?.call_method1(intern!(py, "view"), (RECARRAY.get(py)?,))
        }
        Value::Cell { shape, items } => {
            static CELL: Lazy = Lazy::new("lodestore.blob", "MatCell");
            let objects = items
                .into_iter()
                .map(|v| to_py(py, v))
                .collect::<PyResult<_>>()?;
            objects_to_py(py, &shape, objects)?.call_method1(intern!(py, "view"), (CELL.get(py)?,))
        }
        Value::Struct {
            shape,
            names,
            elements,
        } => structs(py, &shape, names.into_vec(), elements),
        Value::Sparse(sparse) => csc_matrix(py, *sparse),
        Value::Tuple(items) => {
            let items = items
                .into_iter()
                .map(|v| to_py(py, v))
                .collect::<PyResult<Vec<_>>>()?;
            Ok(PyTuple::new(py, items)?.into_any())
        }
        Value::List(items) => {
            let items = items
                .into_iter()
                .map(|v| to_py(py, v))
                .collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, items)?.into_any())
        }
        Value::Set(items) => {
            let set = PySet::empty(py)?;
            for item in items {
                set.add(hashable(py, item)?)
                    .map_err(|e| unhashable(py, e))?;
            }
            Ok(set.into_any())
        }
        Value::Map(items) => {
            let dict = PyDict::new(py);
            for (key, value) in items {
                let key = hashable(py, key)?;
                dict.set_item(key, to_py(py, value)?)
                    .map_err(|e| unhashable(py, e))?;
            }
            Ok(dict.into_any())
        }
        Value::Path(path) => {
            static PATH: Lazy = Lazy::new("pathlib", "Path");
            PATH.get(py)?.call1((path.into_os_string(),))
        }
        Value::Foreign(foreign) => match foreign.as_any().downcast_ref::<PyForeign>() {
            Some(wrapped) => Ok(wrapped.object.bind(py).clone()),
            None => crate::refs::foreign_to_py(py, foreign),
        },
        other => Err(raise(format!(
            "a value of type {} has no Python counterpart",
            other.type_name()
        ))),
    }
}

/// A value where Python wants a hashable one: sets become frozensets, also inside tuples.
fn hashable<'py>(py: Python<'py>, value: Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Set(items) => {
            let items = items
                .into_iter()
                .map(|v| hashable(py, v))
                .collect::<PyResult<Vec<_>>>()?;
            Ok(PyFrozenSet::new(py, items)
                .map_err(|e| unhashable(py, e))?
                .into_any())
        }
        Value::Tuple(items) => {
            let items = items
                .into_iter()
                .map(|v| hashable(py, v))
                .collect::<PyResult<Vec<_>>>()?;
            Ok(PyTuple::new(py, items)?.into_any())
        }
        other => to_py(py, other),
    }
}

fn unhashable(py: Python<'_>, error: PyErr) -> PyErr {
    if error.is_instance_of::<pyo3::exceptions::PyTypeError>(py) {
        raise(format!(
            "the blob holds a key or set member that Python cannot hash: {}",
            error.value(py)
        ))
    } else {
        error
    }
}

pub(crate) fn decimal<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    static DECIMAL: Lazy = Lazy::new("decimal", "Decimal");
    DECIMAL
        .get(py)?
        .call1((text,))
        .map_err(|_| raise(format!("`{text}` is not a decimal number")))
}

pub(crate) fn uuid<'py>(py: Python<'py>, number: u128) -> PyResult<Bound<'py, PyAny>> {
    static UUID: Lazy = Lazy::new("uuid", "UUID");
    let options = PyDict::new(py);
    options.set_item(intern!(py, "int"), number)?;
    UUID.get(py)?.call((), Some(&options))
}

/// A JSON text as Python's own reader gives it.
pub(crate) fn json_loads<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: Lazy = Lazy::new("json", "loads");
    LOADS.get(py)?.call1((text,))
}

/// A JSON document as Python objects.
pub(crate) fn json_to_py<'py>(
    py: Python<'py>,
    value: &serde_json::Value,
) -> PyResult<Bound<'py, PyAny>> {
    match value {
        serde_json::Value::Null => Ok(py.None().into_bound(py)),
        serde_json::Value::Bool(v) => v.into_bound_py_any(py),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(v), _) => v.into_bound_py_any(py),
            (None, Some(v)) => v.into_bound_py_any(py),
            _ => n.as_f64().unwrap_or(f64::NAN).into_bound_py_any(py),
        },
        serde_json::Value::String(v) => Ok(PyString::new(py, v).into_any()),
        serde_json::Value::Array(items) => {
            let items = items
                .iter()
                .map(|v| json_to_py(py, v))
                .collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, items)?.into_any())
        }
        serde_json::Value::Object(map) => {
            let dict = PyDict::new(py);
            for (key, value) in map {
                dict.set_item(key, json_to_py(py, value)?)?;
            }
            Ok(dict.into_any())
        }
    }
}

/// A row as a `dict`.
pub(crate) fn row_to_dict<'py>(py: Python<'py>, row: Row) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in row {
        dict.set_item(PyString::intern(py, &name), to_py(py, value)?)?;
    }
    Ok(dict)
}

fn decoded_array<'py>(py: Python<'py>, array: Array) -> PyResult<Bound<'py, PyAny>> {
    let scalar = array.shape.is_empty()
        && matches!(array.data, Elements::Raw { .. })
        && !matches!(
            array.dtype.kind,
            Kind::Str | Kind::Bytes | Kind::Struct { .. } | Kind::Object
        );
    let array = array_to_py(py, array)?;
    if scalar {
        array.get_item(PyTuple::empty(py))
    } else {
        Ok(array)
    }
}

fn records<'py>(
    py: Python<'py>,
    shape: &[usize],
    fields: Vec<(String, Value)>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut columns = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let column = match value {
            Value::Array(array) => array_to_py(py, *array)?,
            Value::Records { shape, fields } => records(py, &shape, fields)?,
            other => {
                return Err(raise(format!(
                    "field `{name}` of a record array is of type {}",
                    other.type_name()
                )));
            }
        };
        columns.push((name, column));
    }
    structured(py, shape, &columns)
}

/// A structured array from one array a field.
fn structured<'py>(
    py: Python<'py>,
    shape: &[usize],
    columns: &[(String, Bound<'py, PyAny>)],
) -> PyResult<Bound<'py, PyAny>> {
    static EMPTY: Lazy = Lazy::new("numpy", "empty");
    let dtype = columns
        .iter()
        .map(|(name, column)| Ok((name, column.getattr(intern!(py, "dtype"))?)))
        .collect::<PyResult<Vec<_>>>()?;
    let array = EMPTY
        .get(py)?
        .call1((PyTuple::new(py, shape)?, dtype, "F"))
        .map_err(|e| {
            raise(format!(
                "the blob's records do not make a NumPy array: {}",
                e.value(py)
            ))
        })?;
    for (name, column) in columns {
        array.set_item(name, column)?;
    }
    Ok(array)
}

fn structs<'py>(
    py: Python<'py>,
    shape: &[usize],
    names: Vec<String>,
    elements: Vec<Vec<Value>>,
) -> PyResult<Bound<'py, PyAny>> {
    static ARRAY: Lazy = Lazy::new("numpy", "array");
    static RECARRAY: Lazy = Lazy::new("numpy", "recarray");
    static STRUCT: Lazy = Lazy::new("lodestore.blob", "MatStruct");
    if names.is_empty() {
        // As the reference reads a struct without fields (spec: codecs §2, tag S).
        return ARRAY.get(py)?.call1((py.None(),));
    }
    let mut columns: Vec<Vec<Bound<'py, PyAny>>> = names
        .iter()
        .map(|_| Vec::with_capacity(elements.len()))
        .collect();
    for element in elements {
        for (column, value) in columns.iter_mut().zip(element) {
            column.push(to_py(py, value)?);
        }
    }
    let columns = names
        .into_iter()
        .zip(columns)
        .map(|(name, objects)| Ok((name, objects_to_py(py, shape, objects)?)))
        .collect::<PyResult<Vec<_>>>()?;
    structured(py, shape, &columns)?
        .call_method1(intern!(py, "view"), (RECARRAY.get(py)?,))?
        .call_method1(intern!(py, "view"), (STRUCT.get(py)?,))
}

fn csc_matrix<'py>(py: Python<'py>, sparse: Sparse) -> PyResult<Bound<'py, PyAny>> {
    let Ok(module) = py.import("scipy.sparse") else {
        return Err(to_pyerr(
            Error::unsupported("the blob holds a sparse matrix, which needs SciPy")
                .hint("Install scipy to read it."),
        ));
    };
    let data = array_to_py(py, sparse.data)?;
    let shape = (sparse.rows, sparse.cols);
    let options = PyDict::new(py);
    options.set_item("shape", shape)?;
    module.call_method(
        "csc_matrix",
        ((data, sparse.row_indices, sparse.column_starts),),
        Some(&options),
    )
}
