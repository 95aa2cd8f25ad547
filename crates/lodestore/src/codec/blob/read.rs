//! A payload to its value (spec: codecs §2, §2.1 to §2.4; the rules of §11 "Fuzz targets").
//!
//! The bytes are untrusted: every count is checked against the bytes that remain before anything is allocated, depth
//! is bounded, and whatever is wrong is one class of error.

use bytes::Bytes;
use jiff::civil::{Date, Time};

use super::{MAX_DEPTH, check_decimal, check_names, class, fortran_order, is_hashable, tag};
use crate::error::{Error, Result};
use crate::value::{Array, DType, Element, Kind, Order, Sparse, TimeUnit, Value, element_count};

/// Reads one value that makes up all of `bytes[start..]`.
///
/// `own` says that nobody else holds the memory: an array that is the whole value then keeps it, without a copy.
pub(super) fn value(bytes: &Bytes, start: usize, narrow: bool, own: bool) -> Result<Value> {
    let mut reader = Reader {
        bytes: &bytes[start..],
        at: 0,
        narrow,
        memory: own.then_some((bytes, start)),
    };
    let value = reader.value(0)?;
    reader.finish()?;
    Ok(value)
}

/// The error for bytes that are no blob.
pub(super) fn damaged(what: impl AsRef<str>) -> Error {
    Error::invalid(format!("the blob cannot be read: {}", what.as_ref()))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Counts and lengths take 32 bits.
    narrow: bool,
    /// The memory behind `bytes`, and where `bytes` starts in it, if an array may keep it.
    memory: Option<(&'a Bytes, usize)>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let taken = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.get(..n))
            .ok_or_else(|| damaged("it is cut short"))?;
        self.at += n;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }

    /// A count, a length or a dimension: 64 bits, or 32 in old blobs.
    fn count(&mut self) -> Result<usize> {
        let count = if self.narrow {
            u64::from(self.u32()?)
        } else {
            u64::from_le_bytes(self.fixed()?)
        };
        usize::try_from(count).map_err(|_| damaged("a count is too large"))
    }

    /// A count of things of at least `size` bytes each, which must all be there.
    fn count_of(&mut self, size: usize) -> Result<usize> {
        let count = self.count()?;
        self.expect(count, size)?;
        Ok(count)
    }

    fn expect(&self, count: usize, size: usize) -> Result<()> {
        match count.checked_mul(size) {
            Some(bytes) if bytes <= self.rest() => Ok(()),
            _ => Err(damaged("it promises more than it holds")),
        }
    }

    fn finish(&self) -> Result<()> {
        if self.rest() == 0 {
            Ok(())
        } else {
            Err(damaged("something follows the value"))
        }
    }

    /// Size of the smallest item: its length and a tag.
    fn least_item(&self) -> usize {
        if self.narrow { 5 } else { 9 }
    }

    fn counted(&mut self) -> Result<&'a [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.counted()?).map_err(|_| damaged("a text is not UTF-8"))
    }

    fn item(&mut self, depth: usize) -> Result<Value> {
        let bytes = self.counted()?;
        let mut reader = Reader {
            bytes,
            at: 0,
            narrow: self.narrow,
            memory: None,
        };
        let value = reader.value(depth)?;
        reader.finish()?;
        Ok(value)
    }

    fn items(&mut self, count: usize, depth: usize) -> Result<Vec<Value>> {
        self.expect(count, self.least_item())?;
        // Values are larger than their smallest encoding, so the vector grows as items prove to be there.
        let mut items = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            items.push(self.item(depth)?);
        }
        Ok(items)
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Value>> {
        let count = self.count()?;
        self.items(count, depth)
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(damaged(format!(
                "it is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        let [tag] = self.fixed()?;
        Ok(match tag {
            tag::NULL => Value::Null,
            tag::BOOL => Value::Bool(self.fixed()? != [0]),
            tag::INT => {
                let length = u16::from_le_bytes(self.fixed()?);
                Value::from_int_bytes(self.take(usize::from(length))?)
            }
            tag::FLOAT => Value::Float(f64::from_le_bytes(self.fixed()?)),
            tag::COMPLEX => Value::Complex(
                f64::from_le_bytes(self.fixed()?),
                f64::from_le_bytes(self.fixed()?),
            ),
            tag::TEXT => Value::Text(self.text()?.to_owned()),
            tag::BYTES => Value::Bytes(Bytes::copy_from_slice(self.counted()?)),
            tag::DECIMAL => {
                let text = self.text()?;
                check_decimal(text).map_err(|e| damaged(e.message()))?;
                Value::Decimal(text.to_owned())
            }
            tag::MOMENT => self.moment()?,
            tag::UUID => Value::Uuid(uuid::Uuid::from_bytes(self.fixed()?)),
            tag::TUPLE => Value::Tuple(self.sequence(depth + 1)?),
            tag::LIST => Value::List(self.sequence(depth + 1)?),
            tag::SET => {
                let items = self.sequence(depth + 1)?;
                items
                    .iter()
                    .try_for_each(|item| check_hashable(item, "item of a set"))?;
                Value::Set(items)
            }
            tag::MAP => {
                let least = 2 * self.least_item();
                let count = self.count_of(least)?;
                let mut entries = Vec::with_capacity(count.min(1024));
                for _ in 0..count {
                    let key = self.item(depth + 1)?;
                    check_hashable(&key, "key of a dict")?;
                    entries.push((key, self.item(depth + 1)?));
                }
                Value::Map(entries)
            }
            tag::ARRAY => self.array(depth, true)?,
            tag::RECORDS => self.records(depth)?,
            tag::CELL => {
                let shape = self.shape()?;
                let count = element_count(&shape, 1)?;
                let items = self.items(count, depth + 1)?;
                // As the reference: an empty cell array of any shape comes back one-dimensional.
                if count == 0 {
                    Value::Cell {
                        shape: vec![0],
                        items,
                    }
                } else {
                    let items = to_c_order(&shape, items);
                    Value::Cell { shape, items }
                }
            }
            tag::STRUCT => self.structs(depth)?,
            tag::SPARSE => self.sparse()?,
            other => return Err(damaged(format!("unknown tag {other:#04x}"))),
        })
    }

    fn moment(&mut self) -> Result<Value> {
        let date = i32::from_le_bytes(self.fixed()?);
        let time = i64::from_le_bytes(self.fixed()?);
        let date = match date {
            -1 => None,
            10_101..=99_991_231 => {
                let date = Date::new(
                    (date / 10_000) as i16,
                    (date / 100 % 100) as i8,
                    (date % 100) as i8,
                );
                Some(date.map_err(|_| damaged("there is no such date"))?)
            }
            _ => return Err(damaged("there is no such date")),
        };
        let time = match time {
            -1 => None,
            0..=235_959_999_999 => {
                let clock = time / 1_000_000;
                let nanos = (time % 1_000_000 * 1000) as i32;
                let time = Time::new(
                    (clock / 10_000) as i8,
                    (clock / 100 % 100) as i8,
                    (clock % 100) as i8,
                    nanos,
                );
                Some(time.map_err(|_| damaged("there is no such time"))?)
            }
            _ => return Err(damaged("there is no such time")),
        };
        Ok(match (date, time) {
            (Some(date), Some(time)) => Value::DateTime(date.to_datetime(time)),
            (Some(date), None) => Value::Date(date),
            (None, Some(time)) => Value::Time(time),
            (None, None) => return Err(damaged("neither a date nor a time")),
        })
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        let ndim = self.count_of(if self.narrow { 4 } else { 8 })?;
        let shape = (0..ndim)
            .map(|_| self.count())
            .collect::<Result<Vec<_>>>()?;
        // Whatever the elements become: what was read can then be written and read again.
        element_count(&shape, size_of::<Value>()).map_err(|e| damaged(e.message()))?;
        Ok(shape)
    }

    fn names(&mut self) -> Result<Vec<String>> {
        let count = self.u32()? as usize;
        // A name is at least one character and its NUL.
        self.expect(count, 2)?;
        let mut names = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            let rest = &self.bytes[self.at..];
            let end = rest
                .iter()
                .position(|&b| b == 0)
                .ok_or_else(|| damaged("a field name does not end"))?;
            let name = std::str::from_utf8(&rest[..end])
                .map_err(|_| damaged("a field name is not UTF-8"))?;
            self.at += end + 1;
            names.push(name.to_owned());
        }
        Ok(names)
    }

    fn structs(&mut self, depth: usize) -> Result<Value> {
        let shape = self.shape()?;
        let names = self.names()?;
        if names.is_empty() {
            // The reference's spelling of "nothing": a 0-d array of None.
            return Ok(Value::from(Array::objects(Vec::new(), vec![Value::Null])?));
        }
        check_names(names.iter().map(String::as_str)).map_err(|e| damaged(e.message()))?;
        let count = element_count(&shape, 1)?;
        self.expect(count, names.len().saturating_mul(self.least_item()))?;
        let mut elements = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            elements.push(self.items(names.len(), depth + 1)?);
        }
        let elements = to_c_order(&shape, elements);
        Ok(Value::Struct {
            shape: shape.into(),
            names: names.into(),
            elements,
        })
    }

    fn records(&mut self, depth: usize) -> Result<Value> {
        let names = self.names()?;
        check_names(names.iter().map(String::as_str)).map_err(|e| damaged(e.message()))?;
        let mut shape: Option<Vec<usize>> = None;
        let mut fields = Vec::with_capacity(names.len().min(1024));
        for name in names {
            if depth >= MAX_DEPTH {
                return Err(damaged(format!(
                    "it is nested more than {MAX_DEPTH} levels deep"
                )));
            }
            let [tag] = self.fixed()?;
            let field = match tag {
                tag::ARRAY => self.array(depth + 1, false)?,
                tag::RECORDS => self.records(depth + 1)?,
                _ => {
                    return Err(damaged(format!(
                        "field {name} of a record array is not an array"
                    )));
                }
            };
            let of = match &field {
                Value::Array(array) => &array.shape,
                Value::Records { shape, .. } => shape,
                _ => return Err(damaged("a field of a record array is not an array")),
            };
            if shape.get_or_insert_with(|| of.clone()) != of {
                return Err(damaged("the fields of a record array differ in shape"));
            }
            fields.push((name, field));
        }
        let shape = shape.ok_or_else(|| damaged("a record array without fields"))?;
        Ok(Value::Records { shape, fields })
    }

    /// An array. `join`: a row of characters becomes one text; fields of records must keep their shape.
    fn array(&mut self, depth: usize, join: bool) -> Result<Value> {
        let shape = self.shape()?;
        let class = self.u32()?;
        let complex = match self.u32()? {
            0 => false,
            1 => true,
            _ => return Err(damaged("the flag for complex numbers is neither 0 nor 1")),
        };
        let dtype = match class {
            class::VALUES | class::CHAR if complex => {
                return Err(damaged("complex characters or values"));
            }
            class::VALUES => {
                let count = element_count(&shape, 1)?;
                let items = to_c_order(&shape, self.items(count, depth + 1)?);
                return Ok(Value::from(Array::objects(shape, items)?));
            }
            class::CHAR => return self.chars(shape, join).map(Value::from),
            _ => number(class).ok_or_else(|| damaged(format!("no array has the class {class}")))?,
        };
        if complex && class >= class::DATETIME {
            return Err(damaged("complex dates"));
        }
        let wrong = |e: Error| damaged(e.message());
        let count = element_count(&shape, dtype.itemsize.max(if complex { 16 } else { 1 }))
            .map_err(wrong)?;
        self.expect(count, dtype.itemsize * if complex { 2 } else { 1 })?;
        let length = count * dtype.itemsize;
        if complex {
            let (real, imaginary) = (self.take(length)?, self.take(length)?);
            let (dtype, memory) = interleave(&dtype, real, imaginary);
            return Ok(Value::from(Array::new(
                dtype,
                shape,
                Order::F,
                memory.into(),
            )?));
        }
        let start = self.at;
        let data = self.take(length)?;
        let memory = if dtype.kind == Kind::Bool && data.iter().any(|&b| b > 1) {
            // Any non-zero byte is true, but NumPy wants 1.
            data.iter()
                .map(|&b| u8::from(b != 0))
                .collect::<Vec<_>>()
                .into()
        } else if let Some((memory, base)) = self.memory.filter(|_| length > 0) {
            memory.slice(base + start..base + start + length)
        } else {
            Bytes::from(data.to_vec())
        };
        Ok(Value::from(Array::new(dtype, shape, Order::F, memory)?))
    }

    /// MATLAB text: 16-bit units. One row, or a one-dimensional array, is one text.
    fn chars(&mut self, shape: Vec<usize>, join: bool) -> Result<Array> {
        let wrong = |e: Error| damaged(e.message());
        let count = element_count(&shape, 4).map_err(wrong)?;
        self.expect(count, 2)?;
        let units = self
            .take(2 * count)?
            .chunks_exact(2)
            .map(|u| u16::from_le_bytes([u[0], u[1]]));
        let lone = || damaged("a text holds a lone surrogate");
        let row = matches!(shape.as_slice(), [_] | [1, _]);
        let (dtype, shape, codes) = if join && row {
            let codes: Vec<char> = char::decode_utf16(units)
                .collect::<Result<_, _>>()
                .map_err(|_| lone())?;
            (DType::str(codes.len().max(1)), vec![1], codes)
        } else {
            let codes = units
                .map(|u| char::from_u32(u32::from(u)))
                .collect::<Option<_>>()
                .ok_or_else(lone)?;
            (DType::str(1), shape, codes)
        };
        let mut memory: Vec<u8> = codes
            .into_iter()
            .flat_map(|c| u32::from(c).to_le_bytes())
            .collect();
        if join && row && memory.is_empty() {
            memory = vec![0; 4];
        }
        Array::new(dtype, shape, Order::F, memory.into())
    }

    /// mYm's sparse matrix (spec: codecs §2.3).
    fn sparse(&mut self) -> Result<Value> {
        let (rows, cols) = (self.count()?, self.count()?);
        let stored = self.count()?;
        let class = self.u32()?;
        let complex = self.u32()?;
        if !matches!(
            (class, complex),
            (class::DOUBLE, 0 | 1) | (class::LOGICAL, 0)
        ) {
            return Err(damaged("a sparse matrix is of doubles or logicals"));
        }
        let width = if self.narrow { 4 } else { 8 };
        let starts = cols
            .checked_add(1)
            .ok_or_else(|| damaged("a count is too large"))?;
        self.expect(starts, width)?;
        let column_starts = (0..starts)
            .map(|_| self.count())
            .collect::<Result<Vec<_>>>()?;
        self.expect(stored, width)?;
        let mut row_indices = (0..stored)
            .map(|_| self.count())
            .collect::<Result<Vec<_>>>()?;
        let used = column_starts[cols];
        let ascending = column_starts.windows(2).all(|pair| pair[0] <= pair[1]);
        if column_starts[0] != 0 || !ascending || used > stored || isize::try_from(rows).is_err() {
            return Err(damaged("the columns of a sparse matrix are out of order"));
        }
        row_indices.truncate(used);
        if row_indices.iter().any(|&row| row >= rows) {
            return Err(damaged("an element of a sparse matrix lies outside it"));
        }
        let dtype = if class == class::LOGICAL {
            bool::dtype()
        } else {
            f64::dtype()
        };
        self.expect(stored, dtype.itemsize * (1 + complex as usize))?;
        let length = stored * dtype.itemsize;
        let real = &self.take(length)?[..used * dtype.itemsize];
        let (dtype, memory) = if complex == 1 {
            interleave(&dtype, real, &self.take(length)?[..used * dtype.itemsize])
        } else if class == class::LOGICAL {
            (dtype, real.iter().map(|&b| u8::from(b != 0)).collect())
        } else {
            (dtype, real.to_vec())
        };
        let widen = |v: Vec<usize>| v.into_iter().map(|n| n as u64).collect();
        Ok(Value::Sparse(Box::new(Sparse {
            rows: rows as u64,
            cols: cols as u64,
            column_starts: widen(column_starts),
            row_indices: widen(row_indices),
            data: Array::new(dtype, vec![used], Order::F, memory.into())?,
        })))
    }
}

fn check_hashable(value: &Value, place: &str) -> Result<()> {
    if is_hashable(value) {
        Ok(())
    } else {
        Err(damaged(format!(
            "a {} cannot be a {place}",
            value.type_name()
        )))
    }
}

/// The element type of a class of numbers, truth values or dates, little-endian.
fn number(class: u32) -> Option<DType> {
    Some(
        match class {
            class::LOGICAL => bool::dtype(),
            class::DOUBLE => f64::dtype(),
            class::SINGLE => f32::dtype(),
            8..=15 => {
                let kind = if class.is_multiple_of(2) {
                    Kind::Int
                } else {
                    Kind::UInt
                };
                DType::number(kind, 1 << ((class - 8) / 2))
            }
            _ => DType::datetime(TimeUnit::from_index(class.checked_sub(class::DATETIME)?)?),
        }
        .little(),
    )
}

/// Both planes of a complex array as pairs, bit for bit: single stays single, all else becomes double.
fn interleave(dtype: &DType, real: &[u8], imaginary: &[u8]) -> (DType, Vec<u8>) {
    fn pairs<const N: usize, const M: usize>(
        real: &[u8],
        imaginary: &[u8],
        to: impl Fn([u8; N]) -> [u8; M],
    ) -> Vec<u8> {
        let part = |bytes: &[u8]| {
            let mut part = [0; N];
            part.copy_from_slice(bytes);
            to(part)
        };
        let mut out = vec![0; real.len() / N * 2 * M];
        for ((pair, re), im) in out
            .chunks_exact_mut(2 * M)
            .zip(real.chunks_exact(N))
            .zip(imaginary.chunks_exact(N))
        {
            pair[..M].copy_from_slice(&part(re));
            pair[M..].copy_from_slice(&part(im));
        }
        out
    }
    let complex = |size| DType {
        kind: Kind::Complex,
        itemsize: size,
        order: crate::value::ByteOrder::Little,
    };
    macro_rules! widen {
        ($ty:ty) => {
            pairs(real, imaginary, |b| {
                (<$ty>::from_le_bytes(b) as f64).to_le_bytes()
            })
        };
    }
    let memory = match (&dtype.kind, dtype.itemsize) {
        (Kind::Float, 4) => return (complex(8), pairs::<4, 4>(real, imaginary, |b| b)),
        (Kind::Float, _) => pairs::<8, 8>(real, imaginary, |b| b),
        (Kind::Bool, _) => pairs::<1, 8>(real, imaginary, |[b]| {
            f64::from(u8::from(b != 0)).to_le_bytes()
        }),
        (Kind::Int, 1) => widen!(i8),
        (Kind::Int, 2) => widen!(i16),
        (Kind::Int, 4) => widen!(i32),
        (Kind::Int, _) => widen!(i64),
        (_, 1) => widen!(u8),
        (_, 2) => widen!(u16),
        (_, 4) => widen!(u32),
        _ => widen!(u64),
    };
    (complex(16), memory)
}

/// Things in Fortran order, put in C order.
fn to_c_order<T: Default>(shape: &[usize], items: Vec<T>) -> Vec<T> {
    if shape.len() < 2 {
        return items;
    }
    let mut out: Vec<T> = Vec::new();
    out.resize_with(items.len(), T::default);
    for (item, index) in items.into_iter().zip(fortran_order(shape)) {
        out[index] = item;
    }
    out
}
