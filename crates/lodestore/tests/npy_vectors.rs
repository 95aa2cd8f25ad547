//! Element types and `.npy` headers against what NumPy 2.4 prints and writes (`vectors/numpy_types.json`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lodestore::value::{DType, npy};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    /// `str(dtype)`.
    text: String,
    itemsize: usize,
    shape: Vec<usize>,
    /// The file up to its data.
    header: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors/numpy_types.json")).unwrap()
}

#[test]
fn the_text_of_a_type_is_read_and_printed_as_numpy_does() {
    for v in vectors() {
        let dtype = DType::parse_text(&v.text).unwrap_or_else(|e| panic!("{}: {e}", v.text));
        assert_eq!(dtype.itemsize, v.itemsize, "{}", v.text);
        assert_eq!(dtype.text(), v.text);
    }
}

#[test]
fn headers_are_numpys_to_the_byte() {
    for v in vectors() {
        let header = data_encoding::HEXLOWER.decode(v.header.as_bytes()).unwrap();
        let parsed = npy::parse_header(&header).unwrap_or_else(|e| panic!("{}: {e}", v.text));
        assert_eq!(
            (&parsed.shape, parsed.data_offset),
            (&v.shape, header.len()),
            "{}",
            v.text
        );
        assert_eq!(parsed.dtype.itemsize, v.itemsize, "{}", v.text);
        for dtype in [parsed.dtype, DType::parse_text(&v.text).unwrap()] {
            let written = npy::write_header(&dtype, parsed.fortran_order, &v.shape).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&written),
                String::from_utf8_lossy(&header),
                "{}",
                v.text
            );
            assert_eq!(written, header, "{}", v.text);
        }
    }
}
