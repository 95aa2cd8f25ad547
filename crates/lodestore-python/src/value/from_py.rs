//! A Python object as a [`Value`].

use std::any::Any;

use bytes::Bytes;
use jiff::civil::{Date, DateTime, Time};
use lodestore::definition::{CoreType, StorageType};
use lodestore::schema::Attribute;
use lodestore::value::{Array, DType, Elements, Foreign, Json, Kind};
use lodestore::{Error, ErrorKind, Value};
use numpy::PyUntypedArray;
use numpy::prelude::*;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDate, PyDateAccess, PyDateTime, PyDict, PyFloat,
    PyFrozenSet, PyInt, PyList, PyMemoryView, PySet, PyString, PyTime, PyTimeAccess, PyTuple,
};
use uuid::Uuid;

use super::Lazy;
use super::arrays::{dtype_from_py, raw_elements};
use crate::error::{raise, to_pyerr};

/// What a value is for, and with it the rules of its conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For the blob codec: the type rules of spec codecs §2 ("Which tag").
    Blob,
    /// For a plain column: NumPy scalars and missing values become plain values, aware datetimes become UTC.
    Column,
    /// For a JSON column: the text of `json.dumps`.
    Json,
    /// For `<npy@>`: arrays as they are, records included.
    Npy,
    /// For codecs that distinguish bytes, paths, tuples and mappings by their exact type (`<object@>`, `<hash@>`).
    Object,
    /// For foreign code: the object itself.
    Foreign,
}

/// Nested deeper than this, a value cannot be read back (spec: codecs §11).
const MAX_DEPTH: usize = 256;

/// A Python object that the engine passes on without looking into it.
pub(crate) struct PyForeign {
    /// The object.
    pub(crate) object: Py<PyAny>,
    type_name: String,
}

impl PyForeign {
    /// Wraps an object.
    pub(crate) fn wrap(object: &Bound<'_, PyAny>) -> Value {
        let type_name = object
            .get_type()
            .fully_qualified_name()
            .map_or_else(|_| "object".into(), |n| n.to_string());
        Value::Foreign(std::sync::Arc::new(PyForeign {
            object: object.clone().unbind(),
            type_name,
        }))
    }
}

impl std::fmt::Debug for PyForeign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}>", self.type_name)
    }
}

impl Foreign for PyForeign {
    fn type_name(&self) -> String {
        self.type_name.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The rules for values of an attribute.
pub(crate) fn mode_of_attribute(attribute: &Attribute) -> Mode {
    match (attribute.chain.as_deref(), &attribute.storage) {
        (Some(Ok(chain)), _) => match chain.codecs.first() {
            Some(codec) if codec.wants_foreign() => Mode::Foreign,
            Some(codec) => mode_of_builtin(codec.name()),
            None => Mode::Column,
        },
        (None, Some(StorageType::Core(CoreType::Json))) => Mode::Json,
        _ => Mode::Column,
    }
}

/// The rules for what a codec hands to the next type of its chain (`<blob>`, `json`, `varchar(40)`).
pub(crate) fn mode_of_spec(spec: &str) -> Mode {
    let spec = spec.trim();
    if spec == "json" {
        return Mode::Json;
    }
    let Some(name) = spec.strip_prefix('<') else {
        return Mode::Column;
    };
    let name = name.split(['@', '>']).next().unwrap_or_default().trim();
    match lodestore::codec::Registry::global().get(name) {
        Ok(codec) if codec.wants_foreign() => Mode::Foreign,
        _ => mode_of_builtin(name),
    }
}

fn mode_of_builtin(name: &str) -> Mode {
    match name {
        "blob" => Mode::Blob,
        "npy" => Mode::Npy,
        "object" | "hash" => Mode::Object,
        _ => Mode::Column,
    }
}

/// Converts a Python object.
///
/// # Errors
/// `DataJointError` for nesting beyond 256 levels, and whatever the object itself raises. Objects that have no
/// counterpart are passed on as foreign values; the codec that receives them says what it accepts.
pub(crate) fn from_py(object: &Bound<'_, PyAny>, mode: Mode) -> PyResult<Value> {
    match mode {
        Mode::Foreign if object.is_none() => Ok(Value::Null),
        Mode::Foreign => Ok(PyForeign::wrap(object)),
        Mode::Json => json(object),
        Mode::Object => whole(object),
        Mode::Blob | Mode::Column | Mode::Npy => convert(object, mode, 0),
    }
}

fn convert(object: &Bound<'_, PyAny>, mode: Mode, depth: usize) -> PyResult<Value> {
    if depth > MAX_DEPTH {
        return Err(raise(format!(
            "the value is nested more than {MAX_DEPTH} levels deep (or contains itself)"
        )));
    }
    // Exact types first: one pointer comparison each, and NumPy need not be loaded for them.
    if object.is_none() {
        Ok(Value::Null)
    } else if let Ok(v) = object.cast_exact::<PyInt>() {
        int(v)
    } else if let Ok(v) = object.cast_exact::<PyString>() {
        text(v)
    } else if let Ok(v) = object.cast_exact::<PyFloat>() {
        Ok(Value::Float(v.value()))
    } else if let Ok(v) = object.cast_exact::<PyBool>() {
        Ok(Value::Bool(v.is_true()))
    } else if let Ok(v) = object.cast_exact::<PyBytes>() {
        Ok(Value::Bytes(shared_bytes(v)))
    } else if let Ok(v) = object.cast_exact::<PyList>() {
        sequence(v.iter(), v.len(), mode, depth).map(Value::List)
    } else if let Ok(v) = object.cast_exact::<PyTuple>() {
        sequence(v.iter(), v.len(), mode, depth).map(Value::Tuple)
    } else if let Ok(v) = object.cast_exact::<PyDict>() {
        let mut items = Vec::with_capacity(v.len());
        for (key, value) in v {
            items.push((
                convert(&key, mode, depth + 1)?,
                convert(&value, mode, depth + 1)?,
            ));
        }
        Ok(Value::Map(items))
    } else {
        convert_other(object, mode, depth)
    }
}

fn convert_other(object: &Bound<'_, PyAny>, mode: Mode, depth: usize) -> PyResult<Value> {
    static NUMBER: Lazy = Lazy::new("numpy", "number");
    static BOOL: Lazy = Lazy::new("numpy", "bool_");
    static DATETIME64: Lazy = Lazy::new("numpy", "datetime64");
    static DECIMAL: Lazy = Lazy::new("decimal", "Decimal");
    static UUID: Lazy = Lazy::new("uuid", "UUID");
    static MAPPING: Lazy = Lazy::new("collections.abc", "Mapping");
    static MUTABLE_SEQUENCE: Lazy = Lazy::new("collections.abc", "MutableSequence");
    static SEQUENCE: Lazy = Lazy::new("collections.abc", "Sequence");
    static SET: Lazy = Lazy::new("collections.abc", "Set");
    static PATH_LIKE: Lazy = Lazy::new("os", "PathLike");
    static TIMEDELTA: Lazy = Lazy::new("datetime", "timedelta");

    let py = object.py();
    if mode == Mode::Column
        && object.is_exact_instance_of::<PyDateTime>()
        && let Some(moment) = plain_datetime(object)?
    {
        return Ok(moment);
    }
    if let Ok(array) = object.cast_exact::<PyUntypedArray>() {
        return ndarray(array, mode, depth);
    }
    // A codec's own references before whatever else they pretend to be.
    if let Some(reference) = crate::refs::as_foreign(object)? {
        return Ok(reference);
    }
    if object.is_exact_instance_of::<PyDateTime>()
        || object.is_exact_instance_of::<PyDate>()
        || object.is_exact_instance_of::<PyTime>()
    {
        return moment(object, mode);
    }
    if object.is_exact_instance(UUID.get(py)?) {
        return uuid(object);
    }
    if object.is_exact_instance(DECIMAL.get(py)?) {
        return Ok(Value::Decimal(object.str()?.to_string()));
    }
    if let Ok(array) = object.cast::<PyUntypedArray>() {
        return ndarray(array, mode, depth);
    }
    let number = object.is_instance(NUMBER.get(py)?)?;
    if !number {
        if let Ok(v) = object.cast::<PyInt>() {
            return int(v);
        }
        if let Ok(v) = object.cast::<PyComplex>() {
            return Ok(Value::Complex(v.real(), v.imag()));
        }
        if let Ok(v) = object.cast::<PyFloat>() {
            return Ok(Value::Float(v.value()));
        }
    }
    if number || object.is_instance(DATETIME64.get(py)?)? || object.is_instance(BOOL.get(py)?)? {
        return numpy_scalar(object, mode);
    }
    if matches!(
        &*object.get_type().name()?.to_string_lossy(),
        "NaTType" | "NAType"
    ) {
        // The missing values of pandas. A blob has nothing for them: `NaT` is a datetime only by name.
        return Ok(if mode == Mode::Column {
            Value::Null
        } else {
            PyForeign::wrap(object)
        });
    }
    if object.is_instance_of::<PyDate>() || object.is_instance_of::<PyTime>() {
        return moment(object, mode);
    }
    if object.is_instance(DECIMAL.get(py)?)? {
        return Ok(Value::Decimal(
            DECIMAL.get(py)?.call1((object,))?.str()?.to_string(),
        ));
    }
    if object.is_instance(UUID.get(py)?)? {
        return uuid(object);
    }
    if let Ok(v) = object.cast::<PyString>() {
        return text(v);
    }
    if let Ok(v) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(shared_bytes(v)));
    }
    if let Ok(v) = object.cast::<PyByteArray>() {
        return Ok(Value::Bytes(v.to_vec().into()));
    }
    if object.is_instance(MAPPING.get(py)?)? {
        let mut items = Vec::new();
        for pair in object.call_method0(intern!(py, "items"))?.try_iter()? {
            let pair = pair?;
            items.push((
                convert(&pair.get_item(0)?, mode, depth + 1)?,
                convert(&pair.get_item(1)?, mode, depth + 1)?,
            ));
        }
        return Ok(Value::Map(items));
    }
    if mode == Mode::Column {
        if object.is_instance_of::<PyMemoryView>() {
            let bytes = object.call_method0(intern!(py, "tobytes"))?;
            return Ok(Value::Bytes(shared_bytes(bytes.cast::<PyBytes>()?)));
        }
        if object.is_instance(TIMEDELTA.get(py)?)? {
            return timedelta(object);
        }
    }
    let iterated = |build: fn(Vec<Value>) -> Value| -> PyResult<Value> {
        let items = object
            .try_iter()?
            .map(|item| convert(&item?, mode, depth + 1))
            .collect::<PyResult<_>>()?;
        Ok(build(items))
    };
    if object.is_instance(MUTABLE_SEQUENCE.get(py)?)? {
        return iterated(Value::List);
    }
    if object.is_instance(SEQUENCE.get(py)?)? {
        return iterated(Value::Tuple);
    }
    if object.is_instance_of::<PySet>()
        || object.is_instance_of::<PyFrozenSet>()
        || object.is_instance(SET.get(py)?)?
    {
        return iterated(Value::Set);
    }
    if object.is_instance(PATH_LIKE.get(py)?)? {
        return path(object);
    }
    if mode != Mode::Blob
        && let Some(stream) = crate::streams::of_file(object)?
    {
        return Ok(stream);
    }
    Ok(PyForeign::wrap(object))
}

fn sequence<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    len: usize,
    mode: Mode,
    depth: usize,
) -> PyResult<Vec<Value>> {
    let mut values = Vec::with_capacity(len);
    for item in items {
        values.push(convert(&item, mode, depth + 1)?);
    }
    Ok(values)
}

fn int(v: &Bound<'_, PyInt>) -> PyResult<Value> {
    if let Ok(v) = v.extract::<i64>() {
        return Ok(Value::Int(v));
    }
    let py = v.py();
    let bits: usize = v.call_method0(intern!(py, "bit_length"))?.extract()?;
    let options = PyDict::new(py);
    options.set_item("signed", true)?;
    let bytes = v.call_method(
        intern!(py, "to_bytes"),
        (bits / 8 + 1, "little"),
        Some(&options),
    )?;
    Ok(Value::BigInt(bytes.extract()?))
}

fn text(v: &Bound<'_, PyString>) -> PyResult<Value> {
    Ok(Value::Text(v.to_str()?.to_owned()))
}

/// Python's immutable bytes, borrowed when long enough to matter.
pub(crate) fn shared_bytes(v: &Bound<'_, PyBytes>) -> Bytes {
    const WORTH_SHARING: usize = 4096;
    struct Held(pyo3::pybacked::PyBackedBytes);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    if v.as_bytes().len() < WORTH_SHARING {
        Bytes::copy_from_slice(v.as_bytes())
    } else {
        Bytes::from_owner(Held(v.clone().into()))
    }
}

fn uuid(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    Ok(Value::Uuid(Uuid::from_u128(
        object.getattr(intern!(object.py(), "int"))?.extract()?,
    )))
}

fn path(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    static FSPATH: Lazy = Lazy::new("os", "fspath");
    let path = FSPATH.get(object.py())?.call1((object,))?;
    Ok(Value::Path(path.extract::<std::path::PathBuf>()?))
}

/// A `datetime` without time zone, from the ten bytes of its pickle: one call instead of one for each field. None if it
/// has a zone.
fn plain_datetime(object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    let reduced = object.call_method0(intern!(object.py(), "__reduce__"))?;
    let state = reduced.cast::<PyTuple>()?.get_item(1)?;
    let state = state.cast::<PyTuple>()?;
    if state.len() != 1 {
        return Ok(None);
    }
    let fields = state.get_item(0)?;
    let &[y1, y0, month, day, hour, minute, second, f2, f1, f0] =
        fields.cast::<PyBytes>()?.as_bytes()
    else {
        return Ok(None);
    };
    let micros = i32::from_be_bytes([0, f2, f1, f0]);
    let date = Date::new(i16::from_be_bytes([y1, y0]), month as i8, day as i8);
    let time = Time::new(hour as i8, minute as i8, second as i8, micros * 1000);
    // Whatever else the bytes might say one day, the fields can be asked for.
    Ok(match (date, time) {
        (Ok(date), Ok(time)) => Some(Value::DateTime(DateTime::from_parts(date, time))),
        _ => None,
    })
}

/// A date, time or datetime.
fn moment(object: &Bound<'_, PyAny>, mode: Mode) -> PyResult<Value> {
    static UTC: Lazy = Lazy::new("datetime", "timezone");
    let py = object.py();
    let wrong = |e: jiff::Error| {
        to_pyerr(Error::new(
            ErrorKind::Value,
            format!("not a moment in time: {e}"),
        ))
    };
    let zone = |o: &Bound<'_, PyAny>| -> PyResult<bool> {
        Ok(!o.getattr(intern!(py, "tzinfo"))?.is_none())
    };
    if let Ok(v) = object.cast::<PyDateTime>() {
        if zone(object)? {
            if mode == Mode::Column {
                let utc = UTC.get(py)?.getattr(intern!(py, "utc"))?;
                let naive = object.call_method1(intern!(py, "astimezone"), (utc,))?;
                let none = PyDict::new(py);
                none.set_item("tzinfo", py.None())?;
                return moment(
                    &naive.call_method(intern!(py, "replace"), (), Some(&none))?,
                    mode,
                );
            }
            warn_once(object, "the time zone of a datetime is not kept in a blob")?;
        }
        if mode == Mode::Blob {
            if v.get_fold() {
                warn_once(object, "the fold of a datetime is not kept in a blob")?;
            }
            if object
                .getattr(intern!(py, "nanosecond"))
                .is_ok_and(|n| n.is_truthy().unwrap_or(false))
            {
                warn_once(object, "nanoseconds are not kept in a blob")?;
            }
        }
        let date = Date::new(v.get_year() as i16, v.get_month() as i8, v.get_day() as i8)
            .map_err(wrong)?;
        return Ok(Value::DateTime(DateTime::from_parts(
            date,
            clock(v).map_err(wrong)?,
        )));
    }
    if let Ok(v) = object.cast::<PyTime>() {
        if zone(object)? {
            warn_once(object, "the time zone of a time is not kept")?;
        }
        return Ok(Value::Time(clock(v).map_err(wrong)?));
    }
    let v = object.cast::<PyDate>()?;
    Ok(Value::Date(
        Date::new(v.get_year() as i16, v.get_month() as i8, v.get_day() as i8).map_err(wrong)?,
    ))
}

fn clock(v: &impl PyTimeAccess) -> Result<Time, jiff::Error> {
    Time::new(
        v.get_hour() as i8,
        v.get_minute() as i8,
        v.get_second() as i8,
        v.get_microsecond() as i32 * 1000,
    )
}

fn timedelta(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = object.py();
    let (days, seconds, micros): (i64, i64, i64) = (
        object.getattr(intern!(py, "days"))?.extract()?,
        object.getattr(intern!(py, "seconds"))?.extract()?,
        object.getattr(intern!(py, "microseconds"))?.extract()?,
    );
    // What MySQL drivers hand out for TIME columns; only a time of day has a counterpart.
    match Time::new(
        (seconds / 3600) as i8,
        (seconds / 60 % 60) as i8,
        (seconds % 60) as i8,
        (micros * 1000) as i32,
    ) {
        Ok(time) if days == 0 => Ok(Value::Time(time)),
        _ => Ok(PyForeign::wrap(object)),
    }
}

fn numpy_scalar(object: &Bound<'_, PyAny>, mode: Mode) -> PyResult<Value> {
    let py = object.py();
    if mode == Mode::Column {
        static DATETIME64: Lazy = Lazy::new("numpy", "datetime64");
        let plain = if object.is_instance(DATETIME64.get(py)?)? {
            // Finer units than microseconds would come out as a bare integer.
            let unit: String = object.getattr(intern!(py, "dtype"))?.str()?.extract()?;
            let target = if unit == "datetime64[D]" {
                "datetime64[D]"
            } else {
                "datetime64[us]"
            };
            object
                .call_method1(intern!(py, "astype"), (target,))?
                .call_method0(intern!(py, "item"))?
        } else {
            object.call_method0(intern!(py, "item"))?
        };
        // `longdouble.item()` gives itself back.
        return if plain.get_type().is(object.get_type()) {
            Ok(Value::Float(plain.extract()?))
        } else {
            convert(&plain, mode, 0)
        };
    }
    if mode == Mode::Npy {
        return Ok(PyForeign::wrap(object));
    }
    static ASARRAY: Lazy = Lazy::new("numpy", "asarray");
    let array = ASARRAY.get(py)?.call1((object,))?;
    plain_array(array.cast::<PyUntypedArray>()?, object)
}

fn ndarray(array: &Bound<'_, PyUntypedArray>, mode: Mode, depth: usize) -> PyResult<Value> {
    static CELL: Lazy = Lazy::new("lodestore.blob", "MatCell");
    static STRUCT: Lazy = Lazy::new("lodestore.blob", "MatStruct");
    let py = array.py();
    if mode == Mode::Npy {
        return npy_array(array);
    }
    if mode == Mode::Blob && is_masked(array)? {
        warn_once(array.as_any(), "the mask of a masked array is not kept")?;
        let filled = array.call_method0(intern!(py, "filled"))?;
        return ndarray(filled.cast::<PyUntypedArray>()?, mode, depth);
    }
    if mode == Mode::Column && array.ndim() == 0 {
        let item = array.call_method1(intern!(py, "__getitem__"), (PyTuple::empty(py),))?;
        if item.cast::<PyUntypedArray>().is_err() {
            return convert(&item, mode, depth + 1);
        }
    }
    let plain = array.is_exact_instance_of::<PyUntypedArray>();
    if !plain && array.is_instance(CELL.get(py)?)? {
        let flat = flattened(array)?;
        let mut items = Vec::with_capacity(array.len());
        for i in 0..array.len() {
            items.push(convert(&flat.get_item(i)?, mode, depth + 1)?);
        }
        return Ok(Value::Cell {
            shape: array.shape().to_vec(),
            items,
        });
    }
    let Some(names) = array.dtype().names() else {
        return object_or_plain(array, mode, depth);
    };
    if names.is_empty() {
        return Err(raise("a record array without fields cannot be encoded"));
    }
    if !plain && array.is_instance(STRUCT.get(py)?)? {
        let mut elements: Vec<Vec<Value>> = (0..array.len())
            .map(|_| Vec::with_capacity(names.len()))
            .collect();
        for name in &names {
            let column = array.get_item(name)?;
            let flat = flattened(column.cast::<PyUntypedArray>()?)?;
            for (i, element) in elements.iter_mut().enumerate() {
                element.push(convert(&flat.get_item(i)?, mode, depth + 1)?);
            }
        }
        return Ok(Value::Struct {
            shape: array.shape().into(),
            names: names.into(),
            elements,
        });
    }
    let mut fields = Vec::with_capacity(names.len());
    for name in names {
        let column = array.get_item(&name)?;
        let column = column.cast::<PyUntypedArray>()?;
        if column.shape() != array.shape() {
            return Err(to_pyerr(
                Error::invalid(format!(
                    "field `{name}` holds sub-arrays, which records in a blob cannot"
                ))
                .hint("Store that field as an array of its own."),
            ));
        }
        fields.push((name, ndarray(column, mode, depth + 1)?));
    }
    Ok(Value::Records {
        shape: array.shape().to_vec(),
        fields,
    })
}

/// The elements as a one-dimensional plain array in C order.
fn flattened<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyAny>> {
    static ASARRAY: Lazy = Lazy::new("numpy", "asarray");
    let py = array.py();
    ASARRAY
        .get(py)?
        .call1((array,))?
        .call_method1(intern!(py, "reshape"), (-1,))
}

fn object_or_plain(array: &Bound<'_, PyUntypedArray>, mode: Mode, depth: usize) -> PyResult<Value> {
    if !array.dtype().has_object() {
        return plain_array(array, array.as_any());
    }
    let Some(dtype) = dtype_from_py(array.dtype().as_any())? else {
        return Ok(PyForeign::wrap(array));
    };
    let flat = flattened(array)?;
    let mut values = Vec::with_capacity(array.len());
    for i in 0..array.len() {
        values.push(convert(&flat.get_item(i)?, mode, depth + 1)?);
    }
    Ok(Value::from(Array {
        dtype,
        shape: array.shape().to_vec(),
        data: Elements::Objects(values),
    }))
}

/// An array of fixed-size elements. `shown` is named if the type has no counterpart.
fn plain_array(array: &Bound<'_, PyUntypedArray>, shown: &Bound<'_, PyAny>) -> PyResult<Value> {
    let Some(dtype) = dtype_from_py(array.dtype().as_any())? else {
        return Ok(PyForeign::wrap(shown));
    };
    Ok(array_value(array, dtype))
}

fn array_value(array: &Bound<'_, PyUntypedArray>, dtype: DType) -> Value {
    let data = raw_elements(array, dtype.itemsize);
    Value::from(Array {
        dtype,
        shape: array.shape().to_vec(),
        data,
    })
}

fn npy_array(array: &Bound<'_, PyUntypedArray>) -> PyResult<Value> {
    let described = dtype_from_py(array.dtype().as_any())?;
    match described {
        Some(dtype) if dtype.kind == Kind::Object => {
            // The codec refuses these by their type; the elements are not needed for that.
            Ok(Value::from(Array {
                dtype,
                shape: vec![0],
                data: Elements::Objects(Vec::new()),
            }))
        }
        Some(dtype) if !array.dtype().has_object() => match crate::streams::of_memory_map(array)? {
            Some(stream) => Ok(stream),
            None => Ok(array_value(array, dtype)),
        },
        _ => Err(to_pyerr(
            Error::new(
                ErrorKind::Value,
                format!(
                    "arrays of dtype {} cannot be stored as .npy",
                    array.dtype().str()?
                ),
            )
            .hint("Use <blob@> for Python objects, or convert to a fixed-size dtype."),
        )),
    }
}

fn is_masked(array: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    let py = array.py();
    if array
        .get_type()
        .is(<PyUntypedArray as pyo3::PyTypeInfo>::type_object(py))
    {
        return Ok(false);
    }
    Ok(array.hasattr(intern!(py, "_mask"))? && array.hasattr(intern!(py, "fill_value"))?)
}

/// One warning per process, type and reason.
fn warn_once(object: &Bound<'_, PyAny>, what: &str) -> PyResult<()> {
    use std::collections::HashSet;
    use std::sync::{Mutex, PoisonError};
    static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    static WARN: Lazy = Lazy::new("warnings", "warn");
    let text = format!("{what} ({})", object.get_type().name()?);
    let first = {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get_or_insert_default().insert(text.clone())
    };
    if first {
        WARN.get(object.py())?.call1((text,))?;
    }
    Ok(())
}

/// A JSON column's value, by the standard serialiser. What it cannot write raises its `TypeError`.
fn json(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    static DUMPS: Lazy = Lazy::new("json", "dumps");
    if object.is_none() {
        return Ok(Value::Null);
    }
    let py = object.py();
    let strict = PyDict::new(py);
    strict.set_item(intern!(py, "allow_nan"), false)?;
    let text = DUMPS.get(py)?.call((object,), Some(&strict)).map_err(|e| {
        let kind = if e.is_instance_of::<PyTypeError>(py) {
            ErrorKind::Type
        } else if e.is_instance_of::<PyValueError>(py) {
            ErrorKind::Value
        } else {
            return e;
        };
        let refused = Error::new(kind, format!("not a JSON value: {}", e.value(py)));
        to_pyerr(refused.hint("JSON has no NaN, no infinities and no reference cycles."))
    })?;
    Ok(Value::Json(Json::from_text(
        text.cast::<PyString>()?.to_str()?,
    )))
}

/// A value for a codec that looks at the exact type: bytes, paths, `(ext, content)`, mappings.
fn whole(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(v) = object.cast::<PyTuple>()
        && v.len() == 2
    {
        let content = v.get_item(1)?;
        return Ok(Value::Tuple(vec![
            convert(&v.get_item(0)?, Mode::Column, 0)?,
            whole(&content)?,
        ]));
    }
    if object.is_instance_of::<PyByteArray>() || object.is_instance_of::<PyMemoryView>() {
        return Ok(PyForeign::wrap(object));
    }
    convert(object, Mode::Column, 0)
}
