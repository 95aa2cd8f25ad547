//! The blob format against the shared vectors (spec: codecs §12), as far as Rust can see them: the Python expressions
//! are run by the Python tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use lodestore::codec::blob::{Compress, UnpackOptions, pack, unpack, unpack_with};
use lodestore::value::{Array, Elements, Order};
use lodestore::{ErrorKind, Value};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    kind: String,
    hex: Option<String>,
    envelope_hex: Option<String>,
    packed_hex: Option<String>,
    dims: Option<u32>,
}

impl Vector {
    fn bytes(&self) -> Bytes {
        unhex(self.hex.as_deref().unwrap())
    }
}

fn unhex(text: &str) -> Bytes {
    data_encoding::HEXLOWER
        .decode(text.as_bytes())
        .unwrap()
        .into()
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn vectors(kind: &str) -> Vec<Vector> {
    let text = include_str!("vectors/blob_vectors.json");
    let all: Vectors = serde_json::from_str(text).unwrap();
    let of_kind: Vec<Vector> = all.vectors.into_iter().filter(|v| v.kind == kind).collect();
    assert!(!of_kind.is_empty());
    of_kind
}

fn of(id: &str) -> Value {
    let all: Vectors = serde_json::from_str(include_str!("vectors/blob_vectors.json")).unwrap();
    unpack(all.vectors.iter().find(|v| v.id == id).unwrap().bytes()).unwrap()
}

/// Values that come back as another value: characters as text, an empty cell with another shape.
const CHANGES: [&str; 5] = [
    "arr_char_1d",
    "arr_char_1x2",
    "arr_char_0d",
    "arr_char_empty",
    "cell_empty",
];

#[test]
fn every_form_of_a_vector_decodes_to_one_value() {
    for v in vectors("roundtrip") {
        let plain = unpack(v.bytes()).unwrap_or_else(|e| panic!("{}: {e}", v.id));
        for other in [&v.envelope_hex, &v.packed_hex].into_iter().flatten() {
            let value = unpack(unhex(other)).unwrap_or_else(|e| panic!("{}: {e}", v.id));
            assert!(plain.same(&value), "{}: {plain:?} and {value:?}", v.id);
        }
    }
}

#[test]
fn what_was_decoded_is_written_with_the_bytes_of_the_vector() {
    for v in vectors("roundtrip")
        .into_iter()
        .filter(|v| !CHANGES.contains(&v.id.as_str()))
    {
        let value = unpack(v.bytes()).unwrap();
        assert_eq!(
            hex(&pack(&value, Compress::No).unwrap()),
            v.hex.unwrap(),
            "{}",
            v.id
        );
    }
}

#[test]
fn compression_changes_nothing_but_the_size() {
    for v in vectors("roundtrip")
        .into_iter()
        .filter(|v| !CHANGES.contains(&v.id.as_str()))
    {
        let value = unpack(v.bytes()).unwrap();
        let plain = pack(&value, Compress::No).unwrap();
        let fast = pack(&value, Compress::Fast).unwrap();
        assert!(unpack(fast.clone()).unwrap().same(&value), "{}", v.id);
        assert!(
            fast == plain || (plain.len() > 1000 && fast.len() < plain.len()),
            "{}",
            v.id
        );
    }
}

#[test]
#[ignore]
fn the_reference_stream_is_the_stream_of_the_reference() {
    for v in vectors("roundtrip")
        .into_iter()
        .filter(|v| !CHANGES.contains(&v.id.as_str()))
    {
        let packed = pack(&unpack(v.bytes()).unwrap(), Compress::Reference).unwrap();
        assert_eq!(
            hex(&packed),
            v.packed_hex.unwrap_or(v.hex.unwrap()),
            "{}",
            v.id
        );
    }
}

#[test]
fn hand_assembled_blobs_are_read_and_their_width_is_found() {
    for v in vectors("decode") {
        let dims32 = Some(v.dims == Some(32));
        let told = unpack_with(v.bytes(), UnpackOptions { dims32 })
            .unwrap_or_else(|e| panic!("{}: {e}", v.id));
        let found = unpack(v.bytes()).unwrap_or_else(|e| panic!("{}: {e}", v.id));
        assert!(told.same(&found), "{}", v.id);
    }
}

#[test]
fn better_bytes_than_the_references_are_read_and_written() {
    for v in vectors("encode_better") {
        let value = unpack(v.bytes()).unwrap_or_else(|e| panic!("{}: {e}", v.id));
        if v.id != "char_2x2" {
            assert_eq!(
                hex(&pack(&value, Compress::No).unwrap()),
                v.hex.unwrap(),
                "{}",
                v.id
            );
        }
    }
}

#[test]
fn damaged_blobs_are_one_kind_of_error_at_once() {
    for v in vectors("malformed") {
        let started = Instant::now();
        for dims32 in [None, Some(false)] {
            let error = unpack_with(v.bytes(), UnpackOptions { dims32 })
                .err()
                .unwrap_or_else(|| panic!("{} was read", v.id));
            assert_eq!(error.kind(), ErrorKind::Invalid, "{}", v.id);
        }
        assert!(started.elapsed() < Duration::from_secs(2), "{}", v.id);
    }
}

#[test]
fn matlab_text_is_one_string_a_row_and_characters_otherwise() {
    let text = |id| match of(id) {
        Value::Array(a) => (
            a.dtype.text(),
            a.shape.clone(),
            a.to_contiguous(Order::C).unwrap(),
        ),
        other => panic!("{other:?}"),
    };
    let utf32 = |s: &str| {
        s.chars()
            .flat_map(|c| u32::from(c).to_le_bytes())
            .collect::<Bytes>()
    };
    assert_eq!(text("mat_char_row"), ("<U3".into(), vec![1], utf32("abc")));
    assert_eq!(
        text("mat_char_row_greek"),
        ("<U2".into(), vec![1], utf32("Ω!"))
    );
    assert_eq!(text("mat_char_1x0"), ("<U1".into(), vec![1], utf32("\0")));
    assert_eq!(
        text("mat_char_matrix"),
        ("<U1".into(), vec![2, 2], utf32("abcd"))
    );
    assert_eq!(text("mat_char_0x0"), ("<U1".into(), vec![0, 0], utf32("")));
    assert_eq!(text("arr_char_0d"), ("<U1".into(), vec![], utf32("a")));
}

#[test]
fn complex_integers_widen_and_planes_are_joined_bit_for_bit() {
    let Value::Array(a) = of("mat_complex_int16") else {
        panic!()
    };
    assert_eq!(
        (a.dtype.text().as_str(), a.shape.as_slice()),
        ("complex128", &[1, 2][..])
    );
    let wanted: Vec<u8> = [1f64, 3., 2., 4.]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    assert_eq!(a.to_contiguous(Order::C).unwrap(), wanted);
    let Value::Array(a) = of("arr_complex_inf") else {
        panic!()
    };
    let wanted: Vec<u8> = [1., f64::INFINITY, -0.0, 0.0, 1., f64::NAN]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    assert_eq!(a.to_contiguous(Order::C).unwrap(), wanted);
}

#[test]
fn cells_structs_and_object_arrays_are_put_in_c_order() {
    let Value::Cell { items, .. } = of("cell_2x2") else {
        panic!()
    };
    let first = |v: &Value| match v {
        Value::Array(a) => a.to_ndarray::<i64>().unwrap()[[0]],
        other => panic!("{other:?}"),
    };
    assert_eq!(items.iter().map(first).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let Value::Struct { elements, .. } = of("struct_2x2_order") else {
        panic!()
    };
    assert_eq!(
        elements.iter().map(|e| first(&e[0])).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    let Value::Array(Array {
        data: Elements::Objects(items),
        ..
    }) = of("arr_obj_2x2")
    else {
        panic!()
    };
    let wanted = [Value::from(1), "a".into(), Value::Null, 2.5.into()];
    assert!(items.iter().zip(&wanted).all(|(a, b)| a.same(b)));
}

#[test]
fn a_sparse_matrix_keeps_its_columns() {
    let Value::Sparse(s) = of("mat_sparse") else {
        panic!()
    };
    assert_eq!((s.rows, s.cols), (3, 2));
    assert_eq!(
        (s.column_starts.as_slice(), s.row_indices.as_slice()),
        (&[0, 1, 2][..], &[2, 0][..])
    );
    assert_eq!(
        s.data.to_ndarray::<f64>().unwrap(),
        ndarray::arr1(&[1.5, -2.0]).into_dyn()
    );
    assert!(pack(&Value::Sparse(s), Compress::No).is_err());
}

#[test]
fn an_array_owns_its_memory_alone() {
    let array = Array::from_ndarray(ndarray::Array2::from_shape_fn((300, 40), |(i, j)| {
        (i * j) as f64
    }));
    for (value, compress) in [
        (Value::Array(array.clone()), Compress::Fast),
        (Value::Array(array.clone()), Compress::No),
        (
            Value::List(vec![array.clone().into(), array.into()]),
            Compress::Fast,
        ),
    ] {
        let packed = pack(&value, compress).unwrap();
        let arrays = match unpack(packed).unwrap() {
            Value::List(items) => items,
            one => vec![one],
        };
        for array in arrays {
            let Value::Array(Array {
                data: Elements::Raw { bytes, offset, .. },
                ..
            }) = array
            else {
                panic!()
            };
            assert_eq!(bytes[offset..].as_ptr() as usize % 8, 0);
            assert!(bytes.try_into_mut().is_ok());
        }
    }
}

/// Every vector, damaged in every single byte and cut at every length: no panic, no hang, one class of error.
#[test]
fn mutated_vectors_never_panic() {
    for kind in ["roundtrip", "decode", "malformed"] {
        for v in vectors(kind) {
            let bytes = v.bytes();
            let limit = bytes.len().min(220);
            for at in 0..limit {
                let _ = unpack(bytes.slice(..at));
                for change in [
                    0x00,
                    0x01,
                    0x7f,
                    0x80,
                    0xff,
                    bytes[at] ^ 1,
                    bytes[at].wrapping_add(1),
                ] {
                    let mut mutated = bytes.to_vec();
                    mutated[at] = change;
                    if let Err(error) = unpack(mutated.into()) {
                        assert_eq!(error.kind(), ErrorKind::Invalid, "{}", v.id);
                    }
                }
            }
        }
    }
}
