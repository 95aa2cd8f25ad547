//! The blob format: any value and its bytes (spec: codecs §2, §3).
//!
//! Here: [`pack`] and [`unpack`], the envelope's deflate, and [`BlobCodec`]. Not here: where the bytes go; `<blob@>`
//! hands them to `<hash>`. Called by `table/` through the registry, and by the Python layer directly.

mod deflate;
mod literals;
mod read;
mod write;

use std::collections::HashSet;

use bytes::Bytes;

use super::{Codec, DecodeContext, EncodeContext, Encoded};
use crate::error::{Error, Result};
use crate::value::{Kind, Value};

/// Whether and how [`pack`] compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compress {
    /// Not at all.
    No,
    /// Fast and deterministic; noise is left as it is.
    #[default]
    Fast,
    /// The stream that the reference writes (zlib, level 6), for stores that both write to and that should share
    /// objects (`blob_deflate = "zlib6"`).
    Reference,
}

/// How [`unpack_with`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnpackOptions {
    /// Whether counts and lengths take 32 bits: yes, no, or (none) 64 bits first and, for `mYm` blobs that cannot be
    /// read so, 32 bits.
    pub dims32: Option<bool>,
}

const MYM: &[u8; 4] = b"mYm\0";
const DJ0: &[u8; 4] = b"dj0\0";
const ENVELOPE: &[u8; 6] = b"ZL123\0";
/// Payloads up to this length are not compressed.
const THRESHOLD: usize = 1000;
/// Deepest nesting, written and read. Bounds the stack that hostile bytes can use.
const MAX_DEPTH: usize = 256;

/// Tags (spec: codecs §2).
mod tag {
    pub const ARRAY: u8 = b'A';
    pub const CELL: u8 = b'C';
    pub const STRUCT: u8 = b'S';
    pub const SPARSE: u8 = b'P';
    pub const RECORDS: u8 = b'F';
    pub const NULL: u8 = 0xff;
    pub const TUPLE: u8 = 1;
    pub const LIST: u8 = 2;
    pub const SET: u8 = 3;
    pub const MAP: u8 = 4;
    pub const TEXT: u8 = 5;
    pub const BYTES: u8 = 6;
    pub const INT: u8 = 0x0a;
    pub const BOOL: u8 = 0x0b;
    pub const COMPLEX: u8 = 0x0c;
    pub const FLOAT: u8 = 0x0d;
    pub const DECIMAL: u8 = b'd';
    pub const MOMENT: u8 = b't';
    pub const UUID: u8 = b'u';
}

/// MATLAB's array classes (spec: codecs §2.1). From `INT8` on signed and unsigned alternate, sizes doubling.
mod class {
    pub const LOGICAL: u32 = 3;
    pub const CHAR: u32 = 4;
    pub const VALUES: u32 = 5;
    pub const DOUBLE: u32 = 6;
    pub const SINGLE: u32 = 7;
    pub const INT8: u32 = 8;
    pub const DATETIME: u32 = 65536;
}

/// The bytes of a value (spec: codecs §2). An error for what the format cannot hold; nothing is stored approximately.
pub fn pack(value: &Value, compress: Compress) -> Result<Bytes> {
    let payload = write::payload(value)?;
    if payload.len() > THRESHOLD {
        let mut head = ENVELOPE.to_vec();
        head.extend((payload.len() as u64).to_le_bytes());
        let packed = match compress {
            Compress::No => None,
            Compress::Fast => deflate::fast(&head, &payload),
            Compress::Reference => deflate::reference(&head, &payload),
        };
        if let Some(packed) = packed {
            return Ok(packed.into());
        }
    }
    Ok(payload.into())
}

/// The value of bytes (spec: codecs §2). Blobs of 32-bit mYm are recognised.
///
/// Every array owns its memory, in Fortran order, in a `Bytes` that nobody else holds: `Bytes::try_into_mut` makes it
/// writable without a copy. An array that is the whole blob starts on a multiple of eight bytes.
///
/// One class of error ([`crate::ErrorKind::Invalid`]) for whatever is wrong with the bytes.
pub fn unpack(bytes: Bytes) -> Result<Value> {
    unpack_with(bytes, UnpackOptions::default())
}

/// As [`unpack`], with options.
pub fn unpack_with(bytes: Bytes, options: UnpackOptions) -> Result<Value> {
    if let Some(narrow) = options.dims32 {
        return unpack_width(&bytes, narrow, false);
    }
    unpack_width(&bytes, false, false)
        .or_else(|error| unpack_width(&bytes, true, true).map_err(|_| error))
}

/// Reads with one width of counts. `matlab`: only `mYm` payloads are meant.
fn unpack_width(bytes: &Bytes, narrow: bool, matlab: bool) -> Result<Value> {
    let check = |payload: &[u8]| match payload {
        [b'm', b'Y', b'm', 0, ..] => Ok(()),
        [b'd', b'j', b'0', 0, ..] if !matlab => Ok(()),
        [] => Err(read::damaged("it is empty")),
        _ if payload.starts_with(ENVELOPE) => Err(read::damaged("it is compressed twice")),
        _ => Err(read::damaged("it starts with none of the known marks")),
    };
    let Some(rest) = bytes.strip_prefix(ENVELOPE) else {
        check(bytes)?;
        return read::value(bytes, MYM.len(), narrow, false);
    };
    let cut = || read::damaged("it is cut short");
    let (declared, stream) = if narrow {
        let (length, stream) = rest.split_first_chunk().ok_or_else(cut)?;
        (u64::from(u32::from_le_bytes(*length)), stream)
    } else {
        let (length, stream) = rest.split_first_chunk().ok_or_else(cut)?;
        (u64::from_le_bytes(*length), stream)
    };
    let declared = usize::try_from(declared).map_err(|_| read::damaged("a count is too large"))?;
    // The data of an array that is the whole value then start at a multiple of eight.
    let pad = if narrow { 0 } else { ALIGN_PAD };
    let payload = Bytes::from(deflate::inflate(stream, declared, pad)?);
    check(&payload[pad..])?;
    read::value(&payload, pad + MYM.len(), narrow, true)
}

/// Prefix, tag, dimension count, class and flag before the data of an array are 21 bytes, and eight for each dimension.
const ALIGN_PAD: usize = 3;

/// What Python can hash, given that sets become frozensets where it matters.
fn is_hashable(value: &Value) -> bool {
    match value {
        Value::Tuple(items) => items.iter().all(is_hashable),
        Value::Array(array) => {
            array.ndim() == 0
                && !matches!(
                    array.dtype.kind,
                    Kind::Object | Kind::Str | Kind::Bytes | Kind::Struct { .. }
                )
        }
        Value::Decimal(text) => !text.to_ascii_lowercase().contains("snan"),
        Value::List(_)
        | Value::Map(_)
        | Value::Records { .. }
        | Value::Cell { .. }
        | Value::Struct { .. }
        | Value::Sparse(_) => false,
        _ => true,
    }
}

/// Checks the text of a decimal number as Python prints it.
fn check_decimal(text: &str) -> Result<()> {
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let good = if let Some(payload) = lower
        .strip_prefix("snan")
        .or_else(|| lower.strip_prefix("nan"))
    {
        digits(payload)
    } else if lower == "infinity" || lower == "inf" {
        true
    } else {
        let (number, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // Python's limit on exponents is 18 nines.
        (1..=18).contains(&exponent.len())
            && digits(exponent)
            && digits(whole)
            && digits(fraction)
            && whole.len() + fraction.len() > 0
    };
    if good {
        Ok(())
    } else {
        Err(Error::invalid("a decimal number is not written as one"))
    }
}

/// Checks the names of fields: there are some, none is empty, doubled, or holds a NUL.
fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if name.is_empty() || name.contains('\0') {
            return Err(Error::invalid("a field name is empty or holds a NUL"));
        }
        if !seen.insert(name) {
            return Err(Error::invalid(format!(
                "the field name {name:?} occurs twice"
            )));
        }
    }
    if seen.is_empty() {
        Err(Error::invalid("a structure without fields"))
    } else {
        Ok(())
    }
}

/// For each element in Fortran order its index in C order.
fn fortran_order(shape: &[usize]) -> impl Iterator<Item = usize> {
    let mut strides: Vec<usize> = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    let mut left: usize = shape.iter().product();
    let mut index = vec![0; shape.len()];
    let (shape, mut at) = (shape.to_vec(), 0);
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let current = at;
        for axis in 0..shape.len() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
        Some(current)
    })
}

/// `<blob>` and `<blob@>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlobCodec;

impl Codec for BlobCodec {
    fn name(&self) -> &str {
        "blob"
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        Ok(if is_store { "<hash>" } else { "bytes" }.into())
    }

    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        let reference = match context.store {
            Some(store) => context.stores.get(Some(store))?.reference_deflate(),
            None => false,
        };
        let compress = if reference {
            Compress::Reference
        } else {
            Compress::Fast
        };
        Ok(Value::Bytes(pack(&value, compress)?).into())
    }

    fn decode(&self, stored: Value, _context: &DecodeContext<'_>) -> Result<Value> {
        match stored {
            Value::Bytes(bytes) => unpack(bytes),
            other => Err(Error::invalid(format!(
                "a blob is stored as bytes, not as {}",
                other.type_name()
            ))),
        }
    }
}
