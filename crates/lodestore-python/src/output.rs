//! Conversion: fetched batches as Python objects.
//!
//! A batch comes as typed columns; each column becomes a run of Python objects (or one NumPy array) in one go, and rows
//! are put together from the runs. Values and dtypes: spec queries §13 (the PostgreSQL column) and §16.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array as _, ArrayRef};
use lodestore::codec::NpyRef;
use lodestore::value::{Batch, Column, ColumnKind, Digits};
use lodestore::{ErrorKind, Value};
use numpy::prelude::*;
use numpy::{PyArray1, PyArray2, PyUntypedArray};
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTime, PyTuple};
use pyo3_arrow::{PyArray as ArrowArray, PyTable as ArrowTable};

use crate::error::{raise, to_pyerr};
use crate::value::{Lazy, array_to_py, decimal, json_loads, objects_to_py, to_py, uuid};

type Objects<'py> = Vec<Bound<'py, PyAny>>;

/// Adds nothing: what is here is called by the query classes.
pub(crate) fn register(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}

/// Rows that are made at a time: few enough that their values are still in the processor's cache when the dicts are
/// put together.
const ROWS_AT_A_TIME: usize = 1024;

/// A list of dicts, one a row, in the batch's column order.
pub(crate) fn batch_to_dicts<'py>(py: Python<'py>, batch: Batch) -> PyResult<Bound<'py, PyList>> {
    // Tens of thousands of new dicts would set off the cycle collector again and again, for nothing: they hold no cycles.
    let _pause = CollectorPause::new(py);
    // Copied for each row: its table has the right size already, and is not built name by name.
    let template = PyDict::new(py);
    let mut names = Vec::with_capacity(batch.names.len());
    for name in batch.names.iter() {
        let name = PyString::intern(py, name);
        template.set_item(&name, py.None())?;
        names.push(name);
    }
    let mut rows = Vec::with_capacity(batch.rows);
    let mut columns: Vec<_> = batch.columns.into_iter().map(Pieces::of).collect();
    while rows.len() < batch.rows {
        let n = ROWS_AT_A_TIME.min(batch.rows - rows.len());
        let mut values = Vec::with_capacity(names.len());
        for column in &mut columns {
            values.push(objects(py, column.next(n))?.into_iter());
        }
        for _ in 0..n {
            let row = template.copy()?;
            for (name, column) in names.iter().zip(&mut values) {
                if let Some(value) = column.next() {
                    row.set_item(name, value)?;
                }
            }
            rows.push(row);
        }
    }
    PyList::new(py, rows)
}

/// A column that is used up piece by piece.
enum Pieces {
    Arrow(ColumnKind, ArrayRef, usize),
    Values(std::vec::IntoIter<Value>),
}

impl Pieces {
    fn of(column: Column) -> Pieces {
        match column {
            Column::Arrow(kind, array) => Pieces::Arrow(kind, array, 0),
            Column::Values(values) => Pieces::Values(values.into_iter()),
        }
    }

    /// The next `n` elements, of which there must be as many.
    fn next(&mut self, n: usize) -> Column {
        match self {
            Pieces::Arrow(kind, array, at) => {
                let piece = array.slice(*at, n);
                *at += n;
                Column::Arrow(*kind, piece)
            }
            Pieces::Values(values) => Column::Values(values.by_ref().take(n).collect()),
        }
    }
}

/// One array a column, in column order, with the dtypes of "A" in spec queries §13: a column with NULLs is an object
/// array; codec values of one shape are stacked; lazy arrays are loaded.
pub(crate) fn batch_to_arrays<'py>(py: Python<'py>, batch: Batch) -> PyResult<Objects<'py>> {
    let rows = batch.rows;
    batch
        .columns
        .into_iter()
        .map(|column| column_to_array(py, column, rows))
        .collect()
}

/// A structured array ("S" of spec queries §13). `nullable` says for each column whether it may hold NULL.
pub(crate) fn batch_to_structured<'py>(
    py: Python<'py>,
    batch: Batch,
    nullable: &[bool],
) -> PyResult<Bound<'py, PyAny>> {
    // Not `empty`: for records with objects it is ten times as slow.
    static ZEROS: Lazy = Lazy::new("numpy", "zeros");
    let rows = batch.rows;
    let mut dtype = Vec::with_capacity(batch.columns.len());
    let mut columns = Vec::with_capacity(batch.columns.len());
    for (i, (name, column)) in batch.names.iter().zip(batch.columns).enumerate() {
        let nullable = nullable.get(i).copied().unwrap_or(true);
        let array = match (&column, column.kind()) {
            (Column::Arrow(_, values), ColumnKind::Int)
                if !nullable && values.null_count() == 0 =>
            {
                ints(py, values)
            }
            (Column::Arrow(_, values), ColumnKind::Float) => floats(py, values),
            (Column::Values(_), _) => {
                let array = loaded(py, column)?;
                object_array(py, array)?
            }
            _ => objects_of(py, column)?,
        };
        dtype.push((name.to_string(), array.getattr(intern!(py, "dtype"))?));
        columns.push(array);
    }
    let array = ZEROS.get(py)?.call1((rows, dtype.clone()))?;
    for ((name, _), column) in dtype.iter().zip(columns) {
        array.set_item(name, column)?;
    }
    Ok(array)
}

/// Columns for a pandas data frame: a dict of name → array or list, from which pandas infers its own types. Nullable
/// integers become floats with NaN.
pub(crate) fn batch_to_columns<'py>(py: Python<'py>, batch: Batch) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    for (name, column) in batch.names.iter().zip(batch.columns) {
        let value = match &column {
            Column::Arrow(ColumnKind::Int, values) if values.null_count() == 0 => ints(py, values),
            Column::Arrow(ColumnKind::Int, values) => {
                let numbers = values.as_primitive::<Int64Type>();
                let floats = numbers
                    .iter()
                    .map(|v| v.map_or(f64::NAN, |v| v as f64))
                    .collect();
                PyArray1::<f64>::from_vec(py, floats).into_any()
            }
            Column::Arrow(ColumnKind::Float, values) => floats(py, values),
            Column::Arrow(ColumnKind::DateTime, values) => datetimes(py, values)?,
            Column::Arrow(ColumnKind::Text, _) => PyList::new(py, objects(py, column)?)?.into_any(),
            Column::Arrow(ColumnKind::Bool, values) if values.null_count() == 0 => {
                bools(py, values)
            }
            Column::Arrow(..) => object_array(py, objects(py, column)?)?,
            Column::Values(values) => {
                let plain = values.iter().all(|v| {
                    matches!(
                        v,
                        Value::Null
                            | Value::Bool(_)
                            | Value::Int(_)
                            | Value::Float(_)
                            | Value::Text(_)
                    )
                });
                let objects = objects(py, column)?;
                if plain {
                    PyList::new(py, objects)?.into_any()
                } else {
                    object_array(py, objects)?
                }
            }
        };
        out.set_item(PyString::intern(py, name), value)?;
    }
    Ok(out)
}

/// (name, data) of each column, for data frames: an object with Arrow's protocol, or a list of Python objects where Arrow
/// has no type and, if asked for, for parsed JSON.
pub(crate) fn batch_to_arrow_columns<'py>(
    py: Python<'py>,
    batch: Batch,
    digits: &[Option<Digits>],
    parse_json: bool,
) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    let mut out = Vec::with_capacity(batch.columns.len());
    for ((name, column), digits) in batch.names.iter().zip(batch.columns).zip(digits) {
        let parsed = parse_json && column.kind() == ColumnKind::Json;
        let data = match column.to_exchange(name, *digits) {
            Ok((array, field)) if !parsed => {
                Bound::new(py, ArrowArray::new(array, field))?.into_any()
            }
            Err(error) if error.kind() != ErrorKind::Type => return Err(to_pyerr(error)),
            _ => PyList::new(py, objects(py, column)?)?.into_any(),
        };
        out.push((name.to_string(), data));
    }
    Ok(out)
}

/// An object with Arrow's stream protocol; none if Arrow has no type for a column.
pub(crate) fn batch_to_arrow_stream<'py>(
    py: Python<'py>,
    batch: &Batch,
    digits: &[Option<Digits>],
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match batch.to_exchange(digits) {
        Ok(records) => {
            let schema = records.schema();
            let table = ArrowTable::try_new(vec![records], schema)?;
            Ok(Some(Bound::new(py, table)?.into_any()))
        }
        Err(error) if error.kind() == ErrorKind::Type => Ok(None),
        Err(error) => Err(to_pyerr(error)),
    }
}

/// The elements of a column as Python objects.
pub(crate) fn objects<'py>(py: Python<'py>, column: Column) -> PyResult<Objects<'py>> {
    let (kind, array) = match column {
        Column::Values(values) => {
            return values.into_iter().map(|value| to_py(py, value)).collect();
        }
        Column::Arrow(kind, array) => (kind, array),
    };
    let none = py.None().into_bound(py);
    match kind {
        ColumnKind::Int => collect(array.as_primitive::<Int64Type>().iter(), &none, |v| {
            v.into_bound_py_any(py)
        }),
        ColumnKind::Float => collect(array.as_primitive::<Float64Type>().iter(), &none, |v| {
            v.into_bound_py_any(py)
        }),
        ColumnKind::Bool => collect(array.as_boolean().iter(), &none, |v| {
            v.into_bound_py_any(py)
        }),
        ColumnKind::Text => collect(array.as_string::<i64>().iter(), &none, |v| {
            Ok(PyString::new(py, v).into_any())
        }),
        ColumnKind::Bytes => collect(array.as_binary::<i64>().iter(), &none, |v| {
            Ok(PyBytes::new(py, v).into_any())
        }),
        ColumnKind::Decimal => collect(array.as_string::<i64>().iter(), &none, |v| decimal(py, v)),
        ColumnKind::Json => collect(array.as_string::<i64>().iter(), &none, |v| {
            json_loads(py, v)
        }),
        ColumnKind::Uuid => collect(array.as_fixed_size_binary().iter(), &none, |v| {
            let bytes: [u8; 16] = v
                .try_into()
                .map_err(|_| raise("a uuid column holds values that are not 16 bytes"))?;
            uuid(py, u128::from_be_bytes(bytes))
        }),
        ColumnKind::Time => collect(
            array.as_primitive::<Time64MicrosecondType>().iter(),
            &none,
            |v| {
                let (seconds, micros) = (v / 1_000_000, (v % 1_000_000) as u32);
                let (h, m, s) = (
                    (seconds / 3600) as u8,
                    (seconds / 60 % 60) as u8,
                    (seconds % 60) as u8,
                );
                Ok(PyTime::new(py, h, m, s, micros, None)?.into_any())
            },
        ),
        // NumPy makes dates and datetimes faster than a call of their class a value would; NaT becomes None.
        ColumnKind::Date => listed(dates(py, &array)?),
        ColumnKind::DateTime => listed(datetimes(py, &array)?),
        ColumnKind::Any => Err(raise(
            "a column of values of any kind cannot be an Arrow column",
        )),
    }
}

fn collect<'py, T>(
    items: impl Iterator<Item = Option<T>>,
    none: &Bound<'py, PyAny>,
    convert: impl Fn(T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Objects<'py>> {
    let mut out = Vec::with_capacity(items.size_hint().0);
    for item in items {
        out.push(match item {
            Some(value) => convert(value)?,
            None => none.clone(),
        });
    }
    Ok(out)
}

fn listed<'py>(array: Bound<'py, PyAny>) -> PyResult<Objects<'py>> {
    let list = array.call_method0(intern!(array.py(), "tolist"))?;
    Ok(list.cast::<PyList>()?.iter().collect())
}

fn ints<'py>(py: Python<'py>, array: &ArrayRef) -> Bound<'py, PyAny> {
    PyArray1::<i64>::from_slice(py, array.as_primitive::<Int64Type>().values()).into_any()
}

fn floats<'py>(py: Python<'py>, array: &ArrayRef) -> Bound<'py, PyAny> {
    let array = array.as_primitive::<Float64Type>();
    if array.null_count() == 0 {
        return PyArray1::<f64>::from_slice(py, array.values()).into_any();
    }
    PyArray1::<f64>::from_vec(py, array.iter().map(|v| v.unwrap_or(f64::NAN)).collect()).into_any()
}

/// Text without NULLs, each as wide as the longest (`U` of NumPy: code points of four bytes).
fn texts<'py>(py: Python<'py>, array: &ArrayRef) -> PyResult<Bound<'py, PyAny>> {
    static ZEROS: Lazy = Lazy::new("numpy", "zeros");
    let array = array.as_string::<i64>();
    let longest = array.iter().flatten().map(|text| match text.is_ascii() {
        true => text.len(),
        false => text.chars().count(),
    });
    let width = longest.max().unwrap_or(0).max(1);
    // NumPy refuses what does not fit the memory.
    let zeros = ZEROS.get(py)?.call1(((array.len(), width), "u4"))?;
    let points = zeros.cast_into::<PyArray2<u32>>()?;
    {
        let mut points = points.try_readwrite()?;
        let cells = points.as_slice_mut()?.chunks_exact_mut(width);
        for (cell, text) in cells.zip(array.iter().flatten()) {
            if text.is_ascii() {
                for (point, byte) in cell.iter_mut().zip(text.bytes()) {
                    *point = u32::from(byte);
                }
            } else {
                for (point, character) in cell.iter_mut().zip(text.chars()) {
                    *point = u32::from(character);
                }
            }
        }
    }
    points
        .call_method1(intern!(py, "view"), (format!("U{width}"),))?
        .call_method1(intern!(py, "reshape"), (-1,))
}

fn bools<'py>(py: Python<'py>, array: &ArrayRef) -> Bound<'py, PyAny> {
    PyArray1::<bool>::from_vec(
        py,
        array
            .as_boolean()
            .iter()
            .map(|v| v.unwrap_or(false))
            .collect(),
    )
    .into_any()
}

/// `datetime64[us]`, NULL as NaT.
fn datetimes<'py>(py: Python<'py>, array: &ArrayRef) -> PyResult<Bound<'py, PyAny>> {
    let array = array.as_primitive::<TimestampMicrosecondType>();
    let micros = array.iter().map(|v| v.unwrap_or(i64::MIN)).collect();
    PyArray1::<i64>::from_vec(py, micros).call_method1(intern!(py, "view"), ("M8[us]",))
}

fn dates<'py>(py: Python<'py>, array: &ArrayRef) -> PyResult<Bound<'py, PyAny>> {
    let days = array
        .as_primitive::<Date32Type>()
        .iter()
        .map(|v| v.map_or(i64::MIN, i64::from))
        .collect();
    PyArray1::<i64>::from_vec(py, days).call_method1(intern!(py, "view"), ("M8[D]",))
}

/// A column as an array of objects.
fn objects_of<'py>(py: Python<'py>, column: Column) -> PyResult<Bound<'py, PyAny>> {
    let moments = match &column {
        Column::Arrow(ColumnKind::Date, values) => dates(py, values)?,
        Column::Arrow(ColumnKind::DateTime, values) => datetimes(py, values)?,
        _ => return object_array(py, objects(py, column)?),
    };
    moments.call_method1(intern!(py, "astype"), ("O",))
}

fn object_array<'py>(py: Python<'py>, objects: Objects<'py>) -> PyResult<Bound<'py, PyAny>> {
    objects_to_py(py, &[objects.len()], objects)
}

fn column_to_array<'py>(
    py: Python<'py>,
    column: Column,
    rows: usize,
) -> PyResult<Bound<'py, PyAny>> {
    if rows == 0 {
        return Ok(PyArray1::<f64>::from_slice(py, &[]).into_any());
    }
    match &column {
        Column::Arrow(_, values) if values.null_count() > 0 => objects_of(py, column),
        Column::Arrow(ColumnKind::Int, values) => Ok(ints(py, values)),
        Column::Arrow(ColumnKind::Float, values) => Ok(floats(py, values)),
        Column::Arrow(ColumnKind::Bool, values) => Ok(bools(py, values)),
        // Fixed-width text, as NumPy infers it. Bytes stay objects: NumPy's lose trailing zeros.
        Column::Arrow(ColumnKind::Text, values) => texts(py, values),
        Column::Arrow(..) => objects_of(py, column),
        Column::Values(values) => {
            if let Some(array) = read_together(py, values)? {
                return Ok(array);
            }
            let objects = loaded(py, column)?;
            stacked(py, objects)
        }
    }
}

/// Lazy arrays of one shape and type, read straight into one array; none for other values.
fn read_together<'py>(py: Python<'py>, values: &[Value]) -> PyResult<Option<Bound<'py, PyAny>>> {
    let refs: Option<Vec<&NpyRef>> = values.iter().map(|v| v.foreign()).collect();
    match refs {
        Some(refs) if !refs.is_empty() => crate::refs::read_stacked(py, &refs)?
            .map(|array| array_to_py(py, array))
            .transpose(),
        _ => Ok(None),
    }
}

/// The objects of a column of values; lazy arrays of one shape and type are loaded, concurrently. Shapes and types are
/// in the metadata, so that arrays that differ stay unloaded references and cost nothing.
fn loaded<'py>(py: Python<'py>, column: Column) -> PyResult<Objects<'py>> {
    let Column::Values(values) = &column else {
        return objects(py, column);
    };
    let refs: Vec<&NpyRef> = values.iter().filter_map(|v| v.foreign()).collect();
    let alike = refs.len() == values.len()
        && refs
            .windows(2)
            .all(|w| w[0].shape() == w[1].shape() && w[0].dtype_text() == w[1].dtype_text());
    if refs.is_empty() || !alike {
        return objects(py, column);
    }
    let arrays = crate::refs::read_all(py, &refs)?;
    drop(refs);
    let values = arrays.into_iter().map(Value::from).collect();
    objects(py, Column::Values(values))
}

/// Decoded values as one array: numbers, text and arrays of one shape are stacked, the rest stays an object array.
fn stacked<'py>(py: Python<'py>, objects: Objects<'py>) -> PyResult<Bound<'py, PyAny>> {
    static STACK: Lazy = Lazy::new("numpy", "stack");
    static ARRAY: Lazy = Lazy::new("numpy", "array");
    static GENERIC: Lazy = Lazy::new("numpy", "generic");
    let arrays = objects
        .iter()
        .filter(|o| o.cast::<PyUntypedArray>().is_ok())
        .count();
    if arrays == objects.len() {
        let shape =
            |o: &Bound<'py, PyAny>| o.getattr(intern!(py, "shape"))?.extract::<Vec<usize>>();
        let first = shape(&objects[0])?;
        for object in &objects[1..] {
            if shape(object)? != first {
                return object_array(py, objects);
            }
        }
        return STACK.get(py)?.call1((objects,));
    }
    let mut simple = arrays == 0;
    for object in &objects {
        simple = simple
            && (object.is_instance_of::<pyo3::types::PyInt>()
                || object.is_instance_of::<pyo3::types::PyFloat>()
                || object.is_instance_of::<pyo3::types::PyComplex>()
                || object.is_instance_of::<PyString>()
                || object.is_instance(GENERIC.get(py)?)?);
    }
    let lists = objects
        .iter()
        .all(|o| o.is_instance_of::<PyList>() || o.is_instance_of::<PyTuple>());
    if simple || lists {
        // Ragged lists have no array; mixed text and numbers have one that nobody wants.
        let array = ARRAY.get(py)?.call1((PyList::new(py, &objects)?,));
        if let Ok(array) = array {
            let texts = objects
                .iter()
                .filter(|o| o.is_instance_of::<PyString>())
                .count();
            if texts == 0 || texts == objects.len() {
                return Ok(array);
            }
        }
    }
    object_array(py, objects)
}

/// Python's cycle collector, paused until dropped.
struct CollectorPause<'py> {
    py: Python<'py>,
    was_on: bool,
}

impl<'py> CollectorPause<'py> {
    fn new(py: Python<'py>) -> Self {
        // SAFETY: the interpreter is attached.
        let was_on = unsafe { pyo3::ffi::PyGC_Disable() } != 0;
        CollectorPause { py, was_on }
    }
}

impl Drop for CollectorPause<'_> {
    fn drop(&mut self) {
        let _attached = self.py;
        if self.was_on {
            // SAFETY: the interpreter is attached.
            unsafe { pyo3::ffi::PyGC_Enable() };
        }
    }
}
