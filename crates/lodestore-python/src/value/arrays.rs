//! NumPy arrays and element types, both ways.
//!
//! Incoming arrays are borrowed: the engine's `Bytes` hold a reference to the array. Outgoing arrays take over the
//! engine's memory when nobody else holds it, so that a decoded array is writable and was never copied.

use std::ffi::{c_int, c_void};

use bytes::{Bytes, BytesMut};
use lodestore::value::{Array, ByteOrder, DType, Elements, Field, Kind, TimeUnit};
use numpy::PY_ARRAY_API;
use numpy::npyffi::{NPY_ARRAY_WRITEABLE, NpyTypes, get_type_object, npy_intp};
use numpy::prelude::*;
use numpy::{PyArray1, PyArrayDescr, PyUntypedArray};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::Lazy;
use crate::error::raise;

static DTYPE: Lazy = Lazy::new("numpy", "dtype");
static DATETIME_DATA: Lazy = Lazy::new("numpy", "datetime_data");
static RECORD: Lazy = Lazy::new("numpy", "record");
static EMPTY: Lazy = Lazy::new("numpy", "empty");

const UNITS: [(TimeUnit, &str); 14] = [
    (TimeUnit::Generic, "generic"),
    (TimeUnit::Year, "Y"),
    (TimeUnit::Month, "M"),
    (TimeUnit::Week, "W"),
    (TimeUnit::Day, "D"),
    (TimeUnit::Hour, "h"),
    (TimeUnit::Minute, "m"),
    (TimeUnit::Second, "s"),
    (TimeUnit::Millisecond, "ms"),
    (TimeUnit::Microsecond, "us"),
    (TimeUnit::Nanosecond, "ns"),
    (TimeUnit::Picosecond, "ps"),
    (TimeUnit::Femtosecond, "fs"),
    (TimeUnit::Attosecond, "as"),
];

/// The memory of an outgoing array; NumPy holds it as the array's base.
#[pyclass(frozen, module = "lodestore._lodestore", name = "_Memory")]
pub(crate) struct Memory {
    _memory: BytesMut,
}

/// The memory of an incoming array, kept alive by a reference to the array.
struct Borrowed {
    start: *const u8,
    len: usize,
    _array: Py<PyAny>,
}

// SAFETY: the memory belongs to the NumPy array that `_array` keeps alive; it is only read, and NumPy neither moves nor
// frees it while references exist. `Py` may be sent and shared between threads.
unsafe impl Send for Borrowed {}
// SAFETY: as above; all access is by shared reference.
unsafe impl Sync for Borrowed {}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `start..start + len` spans the elements of the living array (see `elements_of`).
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

/// The elements of an array of fixed-size elements, without a copy.
pub(super) fn raw_elements(array: &Bound<'_, PyUntypedArray>, itemsize: usize) -> Elements {
    let shape = array.shape();
    let strides = array.strides().to_vec();
    if shape.contains(&0) || itemsize == 0 {
        return Elements::Raw {
            bytes: Bytes::new(),
            offset: 0,
            strides,
        };
    }
    // The elements span from the lowest to the highest address that any index reaches.
    let (mut below, mut above) = (0usize, itemsize);
    for (&n, &stride) in shape.iter().zip(&strides) {
        let reach = (n - 1) * stride.unsigned_abs();
        if stride < 0 {
            below += reach
        } else {
            above += reach
        }
    }
    // SAFETY: the pointer is that of a living array object.
    let data = unsafe {
        (*array.as_array_ptr())
            .fields
            .data
            .cast::<u8>()
            .cast_const()
    };
    // SAFETY: `below` bytes before the first element belong to the same array (negative strides).
    let start = unsafe { data.sub(below) };
    let owner = Borrowed {
        start,
        len: below + above,
        _array: array.clone().into_any().unbind(),
    };
    Elements::Raw {
        bytes: Bytes::from_owner(owner),
        offset: below,
        strides,
    }
}

/// The engine's element type for a `numpy.dtype`; none for types that it has no word for (`StringDType`, user types).
pub(crate) fn dtype_from_py(dtype: &Bound<'_, PyAny>) -> PyResult<Option<DType>> {
    let py = dtype.py();
    let descr = dtype.cast::<PyArrayDescr>()?;
    let itemsize = descr.itemsize();
    let order = match descr.byteorder() {
        b'>' => ByteOrder::Big,
        b'|' => ByteOrder::None,
        b'=' if cfg!(target_endian = "big") => ByteOrder::Big,
        _ => ByteOrder::Little,
    };
    let kind = match descr.kind() {
        b'b' => Kind::Bool,
        b'i' => Kind::Int,
        b'u' => Kind::UInt,
        b'f' => Kind::Float,
        b'c' => Kind::Complex,
        b'S' => Kind::Bytes,
        b'U' => Kind::Str,
        b'O' => Kind::Object,
        k @ (b'M' | b'm') => {
            let (unit, count): (String, u32) = DATETIME_DATA.get(py)?.call1((dtype,))?.extract()?;
            let Some((unit, _)) = UNITS.iter().find(|(_, name)| *name == unit) else {
                return Ok(None);
            };
            if k == b'M' {
                Kind::DateTime(*unit, count)
            } else {
                Kind::TimeDelta(*unit, count)
            }
        }
        b'V' => {
            let names = dtype.getattr(intern!(py, "names"))?;
            if names.is_none() {
                Kind::Void
            } else {
                let all = dtype.getattr(intern!(py, "fields"))?;
                let mut fields = Vec::new();
                for name in names.extract::<Vec<String>>()? {
                    let entry = all.get_item(&name)?;
                    let mut inner = entry.get_item(0)?;
                    let offset = entry.get_item(1)?.extract()?;
                    let title = entry.get_item(2).ok().and_then(|t| t.extract().ok());
                    let mut shape = Vec::new();
                    let sub = inner.getattr(intern!(py, "subdtype"))?;
                    if !sub.is_none() {
                        shape = sub.get_item(1)?.extract()?;
                        inner = sub.get_item(0)?;
                    }
                    let Some(dtype) = dtype_from_py(&inner)? else {
                        return Ok(None);
                    };
                    fields.push(Field {
                        name,
                        title,
                        dtype,
                        shape,
                        offset,
                    });
                }
                let aligned = dtype.getattr(intern!(py, "isalignedstruct"))?.extract()?;
                let record = dtype.getattr(intern!(py, "type"))?.is(RECORD.get(py)?);
                Kind::Struct {
                    fields,
                    aligned,
                    record,
                }
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(DType {
        kind,
        itemsize,
        order,
    }))
}

/// The `numpy.dtype` of an element type.
pub(crate) fn dtype_to_py<'py>(py: Python<'py>, dtype: &DType) -> PyResult<Bound<'py, PyAny>> {
    if let Some(native) = native_dtype(py, dtype) {
        return Ok(native.into_any());
    }
    let make = DTYPE.get(py)?;
    let size = dtype.itemsize;
    let order = match dtype.order {
        ByteOrder::Little => '<',
        ByteOrder::Big => '>',
        ByteOrder::None => '|',
    };
    let time = |code: &str, unit: &TimeUnit, count: u32| {
        let name = UNITS
            .iter()
            .find(|(u, _)| u == unit)
            .map_or("generic", |(_, name)| name);
        match (unit, count) {
            (TimeUnit::Generic, _) => format!("{order}{code}8"),
            (_, 1) => format!("{order}{code}8[{name}]"),
            _ => format!("{order}{code}8[{count}{name}]"),
        }
    };
    let text = match &dtype.kind {
        Kind::Bool => "?".into(),
        Kind::Int => format!("{order}i{size}"),
        Kind::UInt => format!("{order}u{size}"),
        Kind::Float => format!("{order}f{size}"),
        Kind::Complex => format!("{order}c{size}"),
        Kind::Bytes => format!("S{size}"),
        Kind::Str => format!("{order}U{}", size / 4),
        Kind::Void => format!("V{size}"),
        Kind::DateTime(unit, count) => time("M", unit, *count),
        Kind::TimeDelta(unit, count) => time("m", unit, *count),
        Kind::Object => "O".into(),
        Kind::Struct {
            fields,
            aligned,
            record,
        } => return struct_dtype(py, size, fields, *aligned, *record),
    };
    make.call1((text,))
}

/// The types that nearly all arrays have, of which NumPy has one object each.
fn native_dtype<'py>(py: Python<'py>, dtype: &DType) -> Option<Bound<'py, PyArrayDescr>> {
    let foreign = match cfg!(target_endian = "big") {
        true => ByteOrder::Little,
        false => ByteOrder::Big,
    };
    if dtype.order == foreign {
        return None;
    }
    Some(match (&dtype.kind, dtype.itemsize) {
        (Kind::Bool, 1) => numpy::dtype::<bool>(py),
        (Kind::Int, 1) => numpy::dtype::<i8>(py),
        (Kind::Int, 2) => numpy::dtype::<i16>(py),
        (Kind::Int, 4) => numpy::dtype::<i32>(py),
        (Kind::Int, 8) => numpy::dtype::<i64>(py),
        (Kind::UInt, 1) => numpy::dtype::<u8>(py),
        (Kind::UInt, 2) => numpy::dtype::<u16>(py),
        (Kind::UInt, 4) => numpy::dtype::<u32>(py),
        (Kind::UInt, 8) => numpy::dtype::<u64>(py),
        (Kind::Float, 4) => numpy::dtype::<f32>(py),
        (Kind::Float, 8) => numpy::dtype::<f64>(py),
        _ => return None,
    })
}

fn struct_dtype<'py>(
    py: Python<'py>,
    itemsize: usize,
    fields: &[Field],
    aligned: bool,
    record: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let make = DTYPE.get(py)?;
    let mut formats = Vec::new();
    for field in fields {
        let inner = dtype_to_py(py, &field.dtype)?;
        formats.push(match field.shape.is_empty() {
            true => inner,
            false => make.call1(((inner, PyTuple::new(py, &field.shape)?),))?,
        });
    }
    let spec = PyDict::new(py);
    spec.set_item("names", PyList::new(py, fields.iter().map(|f| &f.name))?)?;
    spec.set_item("formats", formats)?;
    spec.set_item("offsets", PyList::new(py, fields.iter().map(|f| f.offset))?)?;
    if fields.iter().any(|f| f.title.is_some()) {
        spec.set_item(
            "titles",
            PyList::new(py, fields.iter().map(|f| f.title.as_deref()))?,
        )?;
    }
    spec.set_item("itemsize", itemsize)?;
    let dtype = match aligned {
        true => make.call1((&spec, true))?,
        false => make.call1((&spec,))?,
    };
    match record {
        true => make.call1(((RECORD.get(py)?, dtype),)),
        false => Ok(dtype),
    }
}

/// An `ndarray` over the engine's memory if nobody else holds it, else over a copy. Objects are not for here.
fn raw_to_py<'py>(
    py: Python<'py>,
    dtype: &DType,
    shape: &[usize],
    bytes: Bytes,
    offset: usize,
    strides: &[isize],
) -> PyResult<Bound<'py, PyAny>> {
    let descr = dtype_to_py(py, dtype)?;
    if has_object(dtype) {
        return Err(raise("an array of raw memory cannot hold Python objects"));
    }
    // Zero-size elements and empty arrays have no memory worth sharing, and NumPy gives a new `S0` or `U0` its own size.
    if shape.contains(&0) || dtype.itemsize == 0 {
        return EMPTY.get(py)?.call1((PyTuple::new(py, shape)?, descr));
    }
    check_span(dtype, shape, bytes.len(), offset, strides)?;
    let mut memory = match bytes.try_into_mut() {
        Ok(memory) => memory,
        Err(shared) => BytesMut::from(&shared[..]),
    };
    let descr = descr.cast_into::<PyArrayDescr>()?;
    let alignment = descr.alignment().max(1);
    if !(memory.as_ptr() as usize + offset).is_multiple_of(alignment) {
        // NumPy can work on such memory, slowly. One copy is cheaper than slow arithmetic for ever.
        let mut room = BytesMut::zeroed(memory.len() + alignment);
        let shift = (alignment - (room.as_ptr() as usize + offset) % alignment) % alignment;
        room[shift..shift + memory.len()].copy_from_slice(&memory);
        memory = room.split_off(shift);
    }
    let data = memory.as_mut_ptr();
    let base = Bound::new(py, Memory { _memory: memory })?;
    let mut dims: Vec<npy_intp> = shape.iter().map(|&n| n as npy_intp).collect();
    let mut steps: Vec<npy_intp> = strides.to_vec();
    // SAFETY: `data + offset` with these strides stays within `memory` (checked above), which `base` keeps alive and in
    // place (a heap block); the descriptor's reference is given away, as the function wants.
    let pointer = unsafe {
        PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            get_type_object(py, NpyTypes::PyArray_Type),
            descr.into_dtype_ptr(),
            dims.len() as c_int,
            dims.as_mut_ptr(),
            steps.as_mut_ptr(),
            data.add(offset).cast::<c_void>(),
            NPY_ARRAY_WRITEABLE,
            std::ptr::null_mut(),
        )
    };
    // SAFETY: a new reference, or null with the exception set.
    let array = unsafe { Bound::from_owned_ptr_or_err(py, pointer)? };
    // SAFETY: `array` is a new array; the reference to `base` is given away.
    let set = unsafe {
        PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), base.into_any().into_ptr())
    };
    if set < 0 {
        Err(PyErr::fetch(py))
    } else {
        Ok(array)
    }
}

fn has_object(dtype: &DType) -> bool {
    match &dtype.kind {
        Kind::Object => true,
        Kind::Struct { fields, .. } => fields.iter().any(|f| has_object(&f.dtype)),
        _ => false,
    }
}

fn check_span(
    dtype: &DType,
    shape: &[usize],
    len: usize,
    offset: usize,
    strides: &[isize],
) -> PyResult<()> {
    let wrong = || raise("an array does not fit its memory");
    if strides.len() != shape.len() {
        return Err(wrong());
    }
    let (mut low, mut high) = (
        offset,
        offset.checked_add(dtype.itemsize).ok_or_else(wrong)?,
    );
    for (&n, &stride) in shape.iter().zip(strides) {
        let reach = stride.unsigned_abs().checked_mul(n - 1).ok_or_else(wrong)?;
        if stride < 0 {
            low = low.checked_sub(reach).ok_or_else(wrong)?;
        } else {
            high = high.checked_add(reach).ok_or_else(wrong)?;
        }
    }
    if high > len { Err(wrong()) } else { Ok(()) }
}

/// An `ndarray` (0-d arrays included) from the engine's array.
pub(crate) fn array_to_py<'py>(py: Python<'py>, array: Array) -> PyResult<Bound<'py, PyAny>> {
    let Array { dtype, shape, data } = array;
    match data {
        Elements::Raw {
            bytes,
            offset,
            strides,
        } => raw_to_py(py, &dtype, &shape, bytes, offset, &strides),
        Elements::Objects(values) => {
            let mut objects = Vec::with_capacity(values.len());
            for value in values {
                objects.push(super::to_py(py, value)?);
            }
            objects_to_py(py, &shape, objects)
        }
    }
}

/// An object array of this shape, filled element by element (nothing is broadcast or looked into).
pub(crate) fn objects_to_py<'py>(
    py: Python<'py>,
    shape: &[usize],
    objects: Vec<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let flat = PyArray1::from_vec(
        py,
        objects
            .into_iter()
            .map(Bound::unbind)
            .collect::<Vec<Py<PyAny>>>(),
    );
    flat.call_method1(intern!(py, "reshape"), (PyTuple::new(py, shape)?,))
}
