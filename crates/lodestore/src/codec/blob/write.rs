//! A value to its payload (spec: codecs §2, "Tags"; §2.1, §2.2).

use super::{MAX_DEPTH, check_decimal, class, fortran_order, is_hashable, tag};
use crate::error::{Error, Result};
use crate::memory;
use crate::value::{Array, DType, Elements, Kind, Order, Value, element_count};

/// Prefix and value. The prefix is `mYm` if MATLAB's reader knows every tag within, else `dj0`.
pub(super) fn payload(value: &Value) -> Result<Vec<u8>> {
    let mut writer = Writer {
        out: memory::with_capacity(4 + size_hint(value))?,
        matlab: true,
    };
    writer.out.extend(super::MYM);
    writer.value(value, 0)?;
    if !writer.matlab {
        writer.out[..4].copy_from_slice(super::DJ0);
    }
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    /// Nothing so far that only the `dj0` prefix allows.
    matlab: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::invalid(format!(
                "the value is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        match value {
            Value::Array(array) => return self.array(array, depth),
            Value::Cell { shape, items } => return self.cell(shape, items, depth),
            Value::Struct {
                shape,
                names,
                elements,
            } => return self.structs(shape, names, elements, depth),
            _ => self.matlab = false,
        }
        match value {
            Value::Null => self.out.push(tag::NULL),
            Value::Bool(v) => self.out.extend([tag::BOOL, u8::from(*v)]),
            Value::Int(_) | Value::BigInt(_) => self.int(value)?,
            Value::Float(v) => {
                self.out.push(tag::FLOAT);
                self.out.extend(v.to_le_bytes());
            }
            Value::Complex(re, im) => {
                self.out.push(tag::COMPLEX);
                self.out.extend(re.to_le_bytes());
                self.out.extend(im.to_le_bytes());
            }
            Value::Text(text) => self.counted(tag::TEXT, text.as_bytes()),
            Value::Bytes(bytes) => self.counted(tag::BYTES, bytes),
            Value::Decimal(text) => {
                check_decimal(text)?;
                self.counted(tag::DECIMAL, text.as_bytes());
            }
            Value::Date(date) => self.moment(Some(*date), None)?,
            Value::Time(time) => self.moment(None, Some(*time))?,
            Value::DateTime(at) => self.moment(Some(at.date()), Some(at.time()))?,
            Value::Uuid(uuid) => {
                self.out.push(tag::UUID);
                self.out.extend(uuid.as_bytes());
            }
            Value::Tuple(items) => self.sequence(tag::TUPLE, items, depth)?,
            Value::List(items) => self.sequence(tag::LIST, items, depth)?,
            Value::Set(items) => self.set(items, depth)?,
            Value::Map(items) => {
                self.out.push(tag::MAP);
                self.count(items.len());
                for (key, value) in items {
                    check_hashable(key, "key of a dict")?;
                    self.item(key, depth + 1)?;
                    self.item(value, depth + 1)?;
                }
            }
            Value::Records { shape, fields } => {
                self.record_head(fields.iter().map(|(name, _)| name.as_str()))?;
                for (name, field) in fields {
                    let of = match field {
                        Value::Array(array) => &array.shape,
                        Value::Records { shape, .. } => shape,
                        other => {
                            return Err(Error::invalid(format!(
                                "field {name} of a record array is a {}",
                                other.type_name()
                            )));
                        }
                    };
                    if of != shape {
                        return Err(Error::invalid(format!(
                            "field {name} differs in shape from its record array"
                        )));
                    }
                    self.value(field, depth + 1)?;
                }
            }
            Value::Sparse(_) => {
                return Err(
                    Error::invalid("sparse matrices are read from blobs but not written")
                        .hint("Store a dense array, or the arrays that make up the matrix."),
                );
            }
            other => {
                return Err(Error::invalid(format!(
                    "a value of type {} cannot be stored in a blob",
                    other.type_name()
                )));
            }
        }
        Ok(())
    }

    fn count(&mut self, n: usize) {
        self.out.extend((n as u64).to_le_bytes());
    }

    fn counted(&mut self, tag: u8, bytes: &[u8]) {
        self.out.push(tag);
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// A length and a value of this length. The length is filled in afterwards.
    fn item(&mut self, value: &Value, depth: usize) -> Result<()> {
        let at = self.out.len();
        self.count(0);
        self.value(value, depth)?;
        let length = (self.out.len() - at - 8) as u64;
        self.out[at..at + 8].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn sequence(&mut self, tag: u8, items: &[Value], depth: usize) -> Result<()> {
        self.out.push(tag);
        self.count(items.len());
        items.iter().try_for_each(|item| self.item(item, depth + 1))
    }

    /// Sorted by their bytes, so that equal sets have equal bytes (spec: codecs §11, "Dedup").
    fn set(&mut self, items: &[Value], depth: usize) -> Result<()> {
        let mut encoded = Vec::with_capacity(items.len());
        for item in items {
            check_hashable(item, "item of a set")?;
            let mut writer = Writer {
                out: Vec::new(),
                matlab: true,
            };
            writer.item(item, depth + 1)?;
            encoded.push(writer.out);
        }
        encoded.sort_unstable();
        self.out.push(tag::SET);
        self.count(items.len());
        encoded
            .iter()
            .for_each(|item| self.out.extend_from_slice(item));
        Ok(())
    }

    /// n = bit_length ÷ 8 + 1 bytes: the shortest two's complement, but one more for −2^(8k−1).
    fn int(&mut self, value: &Value) -> Result<()> {
        let mut bytes = value.int_bytes().unwrap_or_default();
        if let Some((&0x80, rest)) = bytes.split_last()
            && rest.iter().all(|&b| b == 0)
        {
            bytes.push(0xff);
        }
        let length = u16::try_from(bytes.len()).map_err(|_| {
            Error::invalid("an integer of more than 65535 bytes cannot be stored in a blob")
        })?;
        self.out.push(tag::INT);
        self.out.extend(length.to_le_bytes());
        self.out.extend(bytes);
        Ok(())
    }

    fn moment(
        &mut self,
        date: Option<jiff::civil::Date>,
        time: Option<jiff::civil::Time>,
    ) -> Result<()> {
        let date = match date {
            Some(d) if d.year() < 1 => {
                return Err(Error::invalid(format!(
                    "{d}: years before 1 cannot be stored in a blob"
                )));
            }
            Some(d) => {
                i32::from(d.year()) * 10_000 + i32::from(d.month()) * 100 + i32::from(d.day())
            }
            None => -1,
        };
        let time = time.map_or(-1, |t| {
            let clock =
                i64::from(t.hour()) * 10_000 + i64::from(t.minute()) * 100 + i64::from(t.second());
            clock * 1_000_000 + i64::from(t.subsec_nanosecond() / 1000)
        });
        self.out.push(tag::MOMENT);
        self.out.extend(date.to_le_bytes());
        self.out.extend(time.to_le_bytes());
        Ok(())
    }

    fn dims(&mut self, tag: u8, shape: &[usize]) {
        self.out.push(tag);
        self.count(shape.len());
        shape.iter().for_each(|&dim| self.count(dim));
    }

    fn cell(&mut self, shape: &[usize], items: &[Value], depth: usize) -> Result<()> {
        check_items(shape, items.len())?;
        self.dims(tag::CELL, shape);
        fortran_order(shape).try_for_each(|i| self.item(&items[i], depth + 1))
    }

    fn structs(
        &mut self,
        shape: &[usize],
        names: &[String],
        elements: &[Vec<Value>],
        depth: usize,
    ) -> Result<()> {
        check_items(shape, elements.len())?;
        if elements.iter().any(|element| element.len() != names.len()) {
            return Err(Error::invalid(
                "a struct array whose elements differ in their number of fields",
            ));
        }
        self.dims(tag::STRUCT, shape);
        self.names(names.iter().map(String::as_str))?;
        fortran_order(shape).try_for_each(|i| {
            elements[i]
                .iter()
                .try_for_each(|field| self.item(field, depth + 1))
        })
    }

    fn names<'a>(&mut self, names: impl ExactSizeIterator<Item = &'a str> + Clone) -> Result<()> {
        let count = u32::try_from(names.len()).map_err(|_| Error::invalid("too many fields"))?;
        super::check_names(names.clone())?;
        self.out.extend(count.to_le_bytes());
        for name in names {
            self.out.extend(name.as_bytes());
            self.out.push(0);
        }
        Ok(())
    }

    fn record_head<'a>(
        &mut self,
        names: impl ExactSizeIterator<Item = &'a str> + Clone,
    ) -> Result<()> {
        self.matlab = false;
        self.out.push(tag::RECORDS);
        self.names(names)
    }

    fn array(&mut self, array: &Array, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::invalid(format!(
                "the element type is nested more than {MAX_DEPTH} levels deep"
            )));
        }
        let (items, raw) = match &array.data {
            Elements::Objects(items) => (Some(items), false),
            Elements::Raw { .. } => (None, true),
        };
        if let Some(items) = items {
            self.matlab = false;
            check_items(&array.shape, items.len())?;
            self.array_head(array, class::VALUES, false);
            return fortran_order(&array.shape).try_for_each(|i| self.item(&items[i], depth + 1));
        }
        debug_assert!(raw);
        if let Kind::Struct { fields, .. } = &array.dtype.kind {
            self.record_head(fields.iter().map(|f| f.name.as_str()))?;
            for field in fields {
                if !field.shape.is_empty() {
                    return Err(Error::invalid(format!("field {} is a sub-array, which blobs cannot hold", field.name))
                        .hint("Store the field as an array of its own, or the whole in an <npy@> attribute."));
                }
                self.array(&array.field(&field.name)?, depth + 1)?;
            }
            return Ok(());
        }
        let class = class_of(&array.dtype)?;
        match class {
            class::CHAR => {
                self.array_head(array, class, false);
                for byte in array.to_contiguous(Order::F)? {
                    self.out.extend([byte, 0]);
                }
            }
            class::VALUES => {
                self.matlab = false;
                self.array_head(array, class, false);
                for text in texts(array)? {
                    let length = 9 + text.len();
                    self.count(length);
                    self.counted(tag::TEXT, text.as_bytes());
                }
            }
            _ => {
                self.matlab &= array.ndim() > 0 && class < class::DATETIME;
                let complex = array.dtype.kind == Kind::Complex;
                self.array_head(array, class, complex);
                let little = array.to_little()?;
                if complex {
                    let half = array.dtype.itemsize / 2;
                    little.append_part_to(Order::F, 0..half, &mut self.out)?;
                    little.append_part_to(Order::F, half..2 * half, &mut self.out)?;
                } else {
                    little.append_to(Order::F, &mut self.out)?;
                }
            }
        }
        Ok(())
    }

    fn array_head(&mut self, array: &Array, class: u32, complex: bool) {
        self.dims(tag::ARRAY, &array.shape);
        self.out.extend(class.to_le_bytes());
        self.out.extend(u32::from(complex).to_le_bytes());
    }
}

fn check_items(shape: &[usize], items: usize) -> Result<()> {
    let count = element_count(shape, size_of::<Value>())?;
    if count != items {
        return Err(Error::invalid(format!(
            "{items} items do not fill an array of {count}"
        )));
    }
    Ok(())
}

fn check_hashable(value: &Value, place: &str) -> Result<()> {
    if is_hashable(value) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a {} cannot be a {place}",
        value.type_name()
    )))
}

fn class_of(dtype: &DType) -> Result<u32> {
    let refused = |hint: &str| {
        let error = Error::invalid(format!(
            "an array of {} cannot be stored in a blob",
            dtype.text()
        ));
        if hint.is_empty() {
            error
        } else {
            error.hint(hint)
        }
    };
    Ok(match (&dtype.kind, dtype.itemsize) {
        (Kind::Bool, 1) => class::LOGICAL,
        (Kind::Float | Kind::Complex, size) => match (size, dtype.kind == Kind::Complex) {
            (8, false) | (16, true) => class::DOUBLE,
            (4, false) | (8, true) => class::SINGLE,
            _ => {
                return Err(refused(
                    "Convert it to float32 or float64, or use an <npy@> attribute.",
                ));
            }
        },
        (Kind::Int, size @ (1 | 2 | 4 | 8)) => class::INT8 + 2 * size.trailing_zeros(),
        (Kind::UInt, size @ (1 | 2 | 4 | 8)) => class::INT8 + 1 + 2 * size.trailing_zeros(),
        (Kind::Bytes, 1) => class::CHAR,
        (Kind::Str, _) => class::VALUES,
        (Kind::DateTime(unit, 1), 8) => match unit.index() {
            Some(index) => class::DATETIME + index,
            None => return Err(refused("Give the datetime64 a unit.")),
        },
        (Kind::DateTime(..), _) => {
            return Err(refused("Convert it to a plain unit such as datetime64[s]."));
        }
        _ => return Err(refused("Use an <npy@> attribute.")),
    })
}

/// The elements of a text array in Fortran order, without the NULs that fill them up.
fn texts(array: &Array) -> Result<Vec<String>> {
    let little = array.to_little()?;
    if little.dtype.itemsize == 0 {
        return Ok(vec![String::new(); array.len()]);
    }
    let memory = little.to_contiguous(Order::F)?;
    memory
        .chunks_exact(little.dtype.itemsize)
        .map(|element| {
            let codes = element
                .chunks_exact(4)
                .map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
            let text: Option<String> = codes.map(char::from_u32).collect();
            let mut text =
                text.ok_or_else(|| Error::invalid("a text array holds a lone surrogate"))?;
            text.truncate(text.trim_end_matches('\0').len());
            Ok(text)
        })
        .collect()
}

/// Bytes that the value will take; exact where it matters, for arrays of numbers, text and bytes.
fn size_hint(value: &Value) -> usize {
    let items = |items: &[Value]| items.iter().map(|item| 8 + size_hint(item)).sum::<usize>();
    match value {
        Value::Text(text) | Value::Decimal(text) => 9 + text.len(),
        Value::Bytes(bytes) => 9 + bytes.len(),
        Value::Array(array) => {
            17 + 8 * array.ndim()
                + match &array.data {
                    Elements::Objects(values) => items(values),
                    Elements::Raw { .. } => match array.dtype.kind {
                        Kind::Bytes => 2 * array.len(),
                        Kind::Str => 21 * array.len(),
                        _ => array.len().saturating_mul(array.dtype.itemsize),
                    },
                }
        }
        Value::Records { fields, .. } => {
            5 + fields
                .iter()
                .map(|(name, v)| name.len() + 1 + size_hint(v))
                .sum::<usize>()
        }
        Value::Cell {
            shape,
            items: values,
        } => 9 + 8 * shape.len() + items(values),
        Value::Struct {
            shape,
            names,
            elements,
        } => {
            let names: usize = names.iter().map(|name| name.len() + 1).sum();
            13 + 8 * shape.len() + names + elements.iter().map(|e| items(e)).sum::<usize>()
        }
        Value::Tuple(values) | Value::List(values) | Value::Set(values) => 9 + items(values),
        Value::Map(entries) => {
            9 + entries
                .iter()
                .map(|(k, v)| 16 + size_hint(k) + size_hint(v))
                .sum::<usize>()
        }
        _ => 17,
    }
}
