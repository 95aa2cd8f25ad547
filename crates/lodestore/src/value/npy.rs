//! The `.npy` format: header in and out (spec: codecs §8). The reader takes untrusted bytes.

use bytes::Bytes;

use super::DType;
use super::array::{Array, Elements, Order, element_count};
use super::literal::{self, Literal, repr};
use crate::error::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Data start at a multiple of this.
const ALIGN: usize = 64;
/// NumPy leaves room for the first (Fortran order: last) dimension to grow to so many digits in place.
const GROWTH_DIGITS: usize = 21;
/// Longest header that is read. The reference stops at 10,000 bytes, and so cannot load what it wrote itself.
const MAX_HEADER: usize = 16 << 20;

/// What a `.npy` header says.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Element type.
    pub dtype: DType,
    /// True if the first index varies fastest.
    pub fortran_order: bool,
    /// Shape.
    pub shape: Vec<usize>,
    /// Where the elements start.
    pub data_offset: usize,
}

impl Header {
    /// Size of the elements in bytes.
    pub fn nbytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.itemsize
    }

    /// Order of the elements.
    pub fn order(&self) -> Order {
        if self.fortran_order {
            Order::F
        } else {
            Order::C
        }
    }
}

/// The header, to the byte as `numpy.save` writes it: version 1.0, or 2.0 if it is longer than 65535 bytes, or 3.0 if
/// a field name is not Latin-1.
pub fn write_header(dtype: &DType, fortran: bool, shape: &[usize]) -> Result<Vec<u8>> {
    let order = if fortran { "True" } else { "False" };
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    let tuple = if let [one] = dims.as_slice() {
        format!("({one},)")
    } else {
        format!("({})", dims.join(", "))
    };
    let mut text = format!(
        "{{'descr': {}, 'fortran_order': {order}, 'shape': {tuple}, }}",
        dtype.descr()?
    );
    if let Some(growing) = if fortran { dims.last() } else { dims.first() } {
        text.push_str(&" ".repeat(GROWTH_DIGITS.saturating_sub(growing.len())));
    }
    let latin1: Option<Vec<u8>> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect();
    let wide = latin1.is_none();
    let text = latin1.unwrap_or(text.into_bytes());
    let padded = |length_size: usize| {
        let used = MAGIC.len() + 2 + length_size + text.len() + 1;
        text.len() + 1 + ALIGN - used % ALIGN
    };
    let mut out = MAGIC.to_vec();
    let len = if !wide && padded(2) <= usize::from(u16::MAX) {
        out.extend([1, 0]);
        out.extend((padded(2) as u16).to_le_bytes());
        padded(2)
    } else {
        let len = u32::try_from(padded(4))
            .map_err(|_| Error::invalid("the element type is too long for a .npy header"))?;
        out.extend([if wide { 3 } else { 2 }, 0]);
        out.extend(len.to_le_bytes());
        padded(4)
    };
    let blanks = len - 1 - text.len();
    out.extend(text);
    out.resize(out.len() + blanks, b' ');
    out.push(b'\n');
    Ok(out)
}

/// How many bytes the header takes, from the first 12 bytes of a file (fewer are enough for version 1).
pub fn header_size(start: &[u8]) -> Result<usize> {
    let (length, at) = match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => {
            (usize::from(u16::from_le_bytes([*a, *b])), 10)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
            (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1..=3, ..] => {
            return Err(Error::invalid("the .npy header is cut short"));
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', version, ..] => {
            return Err(Error::invalid(format!(
                "version {version} of the .npy format is not known"
            )));
        }
        _ => return Err(Error::invalid("not a .npy file")),
    };
    if length > MAX_HEADER {
        return Err(Error::invalid(format!(
            "a .npy header of {length} bytes is refused"
        )));
    }
    Ok(at + length)
}

/// Reads the header at the start of a `.npy` file. `bytes` may be only the first part of the file, as long as the
/// header is in it (see [`header_size`]). Nothing is said about the elements being there.
pub fn parse_header(bytes: &[u8]) -> Result<Header> {
    let data_offset = header_size(bytes)?;
    let start = if bytes.get(6) == Some(&1) { 10 } else { 12 };
    let text = bytes
        .get(start..data_offset)
        .ok_or_else(|| Error::invalid("the .npy header is cut short"))?;
    let text = if bytes.get(6) == Some(&3) {
        std::str::from_utf8(text)
            .map_err(|_| Error::invalid("the .npy header is not UTF-8"))?
            .to_owned()
    } else {
        text.iter().map(|&b| char::from(b)).collect()
    };
    let Literal::Dict(entries) = literal::parse(&text)? else {
        return Err(Error::invalid("the .npy header is not a dictionary"));
    };
    let (mut dtype, mut fortran_order, mut shape) = (None, None, None);
    for (key, value) in &entries {
        match (key, value) {
            (Literal::Str(key), value) if key == "descr" && dtype.is_none() => {
                dtype = Some(DType::from_literal(value, None)?)
            }
            (Literal::Str(key), Literal::Bool(fortran))
                if key == "fortran_order" && fortran_order.is_none() =>
            {
                fortran_order = Some(*fortran);
            }
            (Literal::Str(key), Literal::Tuple(dims)) if key == "shape" && shape.is_none() => {
                let dims = dims.iter().map(|d| {
                    if let Literal::Int(d) = d {
                        usize::try_from(*d).ok()
                    } else {
                        None
                    }
                });
                let dims: Option<Vec<usize>> = dims.collect();
                shape = Some(dims.ok_or_else(|| {
                    Error::invalid("the shape in the .npy header is not one of sizes")
                })?);
            }
            (Literal::Str(key), _) => {
                return Err(Error::invalid(format!(
                    "the .npy header holds {}, wrong or twice",
                    repr(key)
                )));
            }
            _ => {
                return Err(Error::invalid(
                    "the .npy header holds a key that is not a text",
                ));
            }
        }
    }
    let (Some(dtype), Some(fortran_order), Some(shape)) = (dtype, fortran_order, shape) else {
        return Err(Error::invalid(
            "the .npy header lacks descr, fortran_order or shape",
        ));
    };
    element_count(&shape, dtype.itemsize)?;
    Ok(Header {
        dtype,
        fortran_order,
        shape,
        data_offset,
    })
}

/// A whole `.npy` file as header and elements; contiguous elements are not copied. Arrays F- but not C-contiguous are
/// written in column order, others in row order. Objects cannot be written.
pub fn encode(array: &Array) -> Result<[Bytes; 2]> {
    if matches!(array.data, Elements::Objects(_)) || array.dtype.has_objects() {
        return Err(Error::invalid(
            "an array of objects cannot be written as .npy",
        ));
    }
    let fortran = array.is_f_contiguous() && !array.is_c_contiguous();
    let header = write_header(&array.dtype, fortran, &array.shape)?;
    Ok([
        header.into(),
        array.to_contiguous(if fortran { Order::F } else { Order::C })?,
    ])
}

/// Reads a whole `.npy` file; the elements share its memory. Bytes after the elements are ignored, as NumPy does.
/// Files with pickled objects are refused.
pub fn decode(file: Bytes) -> Result<Array> {
    let header = parse_header(&file)?;
    if header.dtype.has_objects() {
        return Err(Error::invalid(
            "the .npy file holds pickled objects, which are not read",
        ));
    }
    let end = header
        .data_offset
        .checked_add(header.nbytes())
        .filter(|&end| end <= file.len());
    let end = end.ok_or_else(|| Error::invalid("the .npy file is shorter than its header says"))?;
    let order = header.order();
    Array::new(
        header.dtype,
        header.shape,
        order,
        file.slice(header.data_offset..end),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_scalar_has_the_header_that_numpy_writes() {
        let file = encode(&Array::scalar(5i64)).unwrap().concat();
        let text = b"{'descr': '<i8', 'fortran_order': False, 'shape': (), }";
        let mut wanted = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        wanted.extend(text);
        wanted.resize(127, b' ');
        wanted.push(b'\n');
        wanted.extend(5i64.to_le_bytes());
        assert_eq!(file, wanted);
        assert!(decode(file.into()).unwrap().same(&Array::scalar(5i64)));
    }

    #[test]
    fn long_and_non_latin_headers_take_later_versions() {
        let many = DType::packed((0..6000).map(|i| (format!("field{i}"), DType::of::<u8>())));
        let named = DType::packed([("世".to_string(), DType::of::<f32>())]);
        for (dtype, version) in [(many, 2), (named, 3)] {
            let header = write_header(&dtype, false, &[3]).unwrap();
            assert_eq!(header[6], version);
            assert_eq!(header.len() % 64, 0);
            let parsed = parse_header(&header).unwrap();
            assert_eq!(
                parsed,
                Header {
                    dtype,
                    fortran_order: false,
                    shape: vec![3],
                    data_offset: header.len()
                }
            );
        }
    }

    #[test]
    fn column_order_is_kept() {
        let a = Array::from_ndarray(ndarray::arr2(&[[1i16, 2, 3], [4, 5, 6]]).reversed_axes());
        let file: Bytes = encode(&a).unwrap().concat().into();
        assert!(parse_header(&file).unwrap().fortran_order);
        assert!(decode(file).unwrap().same(&a));
    }

    #[test]
    fn damaged_headers_are_refused() {
        let good = encode(&Array::scalar(1u8)).unwrap().concat();
        for len in 0..good.len() {
            assert!(
                decode(Bytes::copy_from_slice(&good[..len])).is_err(),
                "{len}"
            );
        }
        for text in [
            "",
            "{}",
            "[]",
            "{'descr': '<i8', 'fortran_order': False}",
            "{'descr': '<i8', 'fortran_order': 0, 'shape': ()}",
            "{'descr': '<i8', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<i8', 'fortran_order': False, 'shape': (9223372036854775807, 4)}",
            "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), 'more': 1}",
            "{'descr': '<i8', 'descr': '<i8', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        ] {
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((text.len() as u16).to_le_bytes());
            file.extend(text.bytes());
            file.extend([0; 16]);
            assert!(decode(file.into()).is_err(), "{text}");
        }
    }
}
