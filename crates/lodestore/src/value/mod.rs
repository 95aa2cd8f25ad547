//! Values: what a row holds, before it is encoded and after it is decoded. No I/O.
//!
//! * [`Value`]: one dynamic value, from a plain integer to a nested Python-like tree.
//! * [`Array`] and [`DType`]: n-dimensional arrays with NumPy's element types.
//! * [`Row`]: ordered attribute name → value.
//! * [`Batch`] and [`Column`]: rows in bulk, as Arrow arrays, the way a database hands them over.
//! * [`npy`]: the `.npy` header, read and written.
//!
//! Called by every other module; calls none of them but `error`.

mod array;
mod batch;
mod dtype;
mod dtype_text;
mod exchange;
mod json;
mod literal;
pub mod npy;
mod row;

pub use array::{Array, Elements, Order, contiguous_strides, element_count};
pub use batch::{Batch, Column, ColumnBuilder, ColumnKind};
pub use dtype::{ByteOrder, DType, Element, Field, Kind, TimeUnit};
pub use exchange::Digits;
pub use json::Json;
pub use row::{Row, RowBuilder};

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use jiff::civil::{Date, DateTime, Time};
use uuid::Uuid;

/// One dynamic value.
///
/// The first group is what a column can hold; the second what a codec can take apart and put together (spec:
/// codecs §2); the third are values that only pass through.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL, Python `None`.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A double.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// A calendar date.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// Date and time without zone; UTC by convention.
    DateTime(DateTime),
    /// An exact decimal number, as its text (Python's `str(Decimal)`, hence also `NaN`, `Infinity`, `1E+3`).
    Decimal(String),
    /// A UUID.
    Uuid(Uuid),
    /// A JSON document, as text.
    Json(Json),

    /// An integer of any size: little-endian two's complement, at least one byte.
    BigInt(Vec<u8>),
    /// A complex number: real, imaginary.
    Complex(f64, f64),
    /// An n-dimensional array. A 0-d array of numbers, truth values or dates is a NumPy scalar; a 0-d array of text
    /// or objects is a 0-d array.
    Array(Box<Array>),
    /// A record array (NumPy structured dtype): names and one array (or nested `Records`) per field, all of `shape`.
    Records {
        /// Shape of the record array.
        shape: Vec<usize>,
        /// Field name and values; each value is an `Array` or `Records` of the same shape.
        fields: Vec<(String, Value)>,
    },
    /// A MATLAB cell array; items in C order.
    Cell {
        /// Shape.
        shape: Vec<usize>,
        /// Items in C order.
        items: Vec<Value>,
    },
    /// A MATLAB struct array; elements in C order, each with one value per field.
    Struct {
        /// Shape.
        shape: Box<[usize]>,
        /// Field names.
        names: Box<[String]>,
        /// Elements in C order.
        elements: Vec<Vec<Value>>,
    },
    /// A MATLAB sparse matrix in compressed-column form.
    Sparse(Box<Sparse>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A list.
    List(Vec<Value>),
    /// A set; a frozenset where it is a dictionary's key or an item of another set.
    Set(Vec<Value>),
    /// A mapping in insertion order; keys need not be text.
    Map(Vec<(Value, Value)>),

    /// A local path, for codecs that take files.
    Path(PathBuf),
    /// A value of foreign code (a Python object, a lazy reference) that the engine only passes on.
    Foreign(Arc<dyn Foreign>),
}

// Rows by the million are made of these: what is large stands behind a pointer.
const _: () = assert!(size_of::<Value>() <= 56);

/// A sparse matrix, compressed by column (spec: codecs §2.3).
#[derive(Debug, Clone)]
pub struct Sparse {
    /// Rows.
    pub rows: u64,
    /// Columns.
    pub cols: u64,
    /// Column starts, `cols + 1` of them.
    pub column_starts: Vec<u64>,
    /// Row index of each stored element.
    pub row_indices: Vec<u64>,
    /// The stored elements, 1-d: float64, complex128 or bool.
    pub data: Array,
}

/// A value that the engine does not look into.
pub trait Foreign: Any + Send + Sync + fmt::Debug {
    /// Its type, for messages.
    fn type_name(&self) -> String;
    /// For downcasting.
    fn as_any(&self) -> &dyn Any;
}

impl Value {
    /// True for [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The name of the value's type, in the words of the person who sees the message.
    pub fn type_name(&self) -> String {
        match self {
            Value::Null => "None".into(),
            Value::Bool(_) => "bool".into(),
            Value::Int(_) | Value::BigInt(_) => "int".into(),
            Value::Float(_) => "float".into(),
            Value::Text(_) => "str".into(),
            Value::Bytes(_) => "bytes".into(),
            Value::Date(_) => "date".into(),
            Value::Time(_) => "time".into(),
            Value::DateTime(_) => "datetime".into(),
            Value::Decimal(_) => "Decimal".into(),
            Value::Uuid(_) => "UUID".into(),
            Value::Json(_) => "JSON".into(),
            Value::Complex(..) => "complex".into(),
            Value::Array(_) => "array".into(),
            Value::Records { .. } => "record array".into(),
            Value::Cell { .. } => "MatCell".into(),
            Value::Struct { .. } => "MatStruct".into(),
            Value::Sparse(_) => "sparse matrix".into(),
            Value::Tuple(_) => "tuple".into(),
            Value::List(_) => "list".into(),
            Value::Set(_) => "set".into(),
            Value::Map(_) => "dict".into(),
            Value::Path(_) => "path".into(),
            Value::Foreign(f) => f.type_name(),
        }
    }

    /// True if both hold the same value of the same type, bit for bit: NaN equals itself, `-0.0` differs from `0.0`,
    /// arrays agree in element type and shape whatever their layout. Sets compare without order. Foreign values are
    /// the same if they are one object.
    pub fn same(&self, other: &Value) -> bool {
        use Value as V;
        let all = |a: &[Value], b: &[Value]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
        };
        match (self, other) {
            (V::Null, V::Null) => true,
            (V::Bool(a), V::Bool(b)) => a == b,
            (V::Int(a), V::Int(b)) => a == b,
            (V::BigInt(_) | V::Int(_), V::BigInt(_) | V::Int(_)) => {
                self.int_bytes() == other.int_bytes()
            }
            (V::Float(a), V::Float(b)) => a.to_bits() == b.to_bits(),
            (V::Complex(a, b), V::Complex(c, d)) => {
                a.to_bits() == c.to_bits() && b.to_bits() == d.to_bits()
            }
            (V::Text(a), V::Text(b)) | (V::Decimal(a), V::Decimal(b)) => a == b,
            (V::Bytes(a), V::Bytes(b)) => a == b,
            (V::Date(a), V::Date(b)) => a == b,
            (V::Time(a), V::Time(b)) => a == b,
            (V::DateTime(a), V::DateTime(b)) => a == b,
            (V::Uuid(a), V::Uuid(b)) => a == b,
            (V::Json(a), V::Json(b)) => a == b,
            (V::Array(a), V::Array(b)) => a.same(b),
            (
                V::Records {
                    shape: s,
                    fields: f,
                },
                V::Records {
                    shape: t,
                    fields: g,
                },
            ) => {
                s == t
                    && f.len() == g.len()
                    && f.iter().zip(g).all(|((n, v), (m, w))| n == m && v.same(w))
            }
            (V::Cell { shape: s, items: a }, V::Cell { shape: t, items: b }) => s == t && all(a, b),
            (
                V::Struct {
                    shape: s,
                    names: n,
                    elements: a,
                },
                V::Struct {
                    shape: t,
                    names: m,
                    elements: b,
                },
            ) => s == t && n == m && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| all(a, b)),
            (V::Sparse(a), V::Sparse(b)) => {
                (a.rows, a.cols) == (b.rows, b.cols)
                    && a.column_starts == b.column_starts
                    && a.row_indices == b.row_indices
                    && a.data.same(&b.data)
            }
            (V::Tuple(a), V::Tuple(b)) | (V::List(a), V::List(b)) => all(a, b),
            (V::Set(a), V::Set(b)) => {
                let mut left: Vec<&Value> = b.iter().collect();
                a.len() == b.len()
                    && a.iter().all(|v| match left.iter().position(|w| v.same(w)) {
                        Some(i) => {
                            left.swap_remove(i);
                            true
                        }
                        None => false,
                    })
            }
            (V::Map(a), V::Map(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|((k, v), (l, w))| k.same(l) && v.same(w))
            }
            (V::Path(a), V::Path(b)) => a == b,
            (V::Foreign(a), V::Foreign(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// An integer of any size from little-endian two's complement; `Int` if it fits 64 bits.
    pub fn from_int_bytes(bytes: &[u8]) -> Value {
        let bytes = trim_int(bytes);
        if bytes.len() > 8 {
            return Value::BigInt(bytes.to_vec());
        }
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut buffer = [if negative { 0xff } else { 0 }; 8];
        buffer[..bytes.len()].copy_from_slice(bytes);
        Value::Int(i64::from_le_bytes(buffer))
    }

    /// The shortest little-endian two's complement of an integer.
    pub fn int_bytes(&self) -> Option<Vec<u8>> {
        match self {
            Value::Int(v) => Some(trim_int(&v.to_le_bytes()).to_vec()),
            Value::BigInt(bytes) if bytes.is_empty() => Some(vec![0]),
            Value::BigInt(bytes) => Some(trim_int(bytes).to_vec()),
            _ => None,
        }
    }

    /// The text of a [`Value::Text`].
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a [`Value::Int`].
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Downcasts a foreign value.
    pub fn foreign<T: 'static>(&self) -> Option<&T> {
        match self {
            Value::Foreign(f) => f.as_any().downcast_ref(),
            _ => None,
        }
    }
}

/// Drops the high bytes of a little-endian two's complement that say no more than the sign below them.
fn trim_int(bytes: &[u8]) -> &[u8] {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) {
        0xff
    } else {
        0
    };
    let mut len = bytes.len();
    while len > 1 && bytes[len - 1] == fill && (bytes[len - 2] ^ fill) & 0x80 == 0 {
        len -= 1;
    }
    &bytes[..len]
}

macro_rules! value_from {
    ($($ty:ty => $variant:ident $(as $via:ty)?),* $(,)?) => {$(
        impl From<$ty> for Value {
            fn from(v: $ty) -> Value {
                Value::$variant(value_from!(@ v $($via)?))
            }
        }
    )*};
    (@ $v:ident) => { $v };
    (@ $v:ident $via:ty) => { <$via>::from($v) };
}

value_from! {
    bool => Bool, i8 => Int as i64, i16 => Int as i64, i32 => Int as i64, i64 => Int, u8 => Int as i64,
    u16 => Int as i64, u32 => Int as i64, f32 => Float as f64, f64 => Float, String => Text, &str => Text as String,
    Bytes => Bytes, Vec<u8> => Bytes as Bytes, Date => Date, Time => Time, DateTime => DateTime, Uuid => Uuid,
    Json => Json, PathBuf => Path, Array => Array as Box<Array>,
}

impl<T: Element, D: ndarray::Dimension> From<ndarray::Array<T, D>> for Value {
    fn from(array: ndarray::Array<T, D>) -> Value {
        Value::from(Array::from_ndarray(array))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}
