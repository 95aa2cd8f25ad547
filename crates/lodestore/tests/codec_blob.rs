//! The blob format against the shared vectors (spec: codecs §12), as far as Rust can see them: the Python expressions
//! are run by the Python tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use lodestore::codec::blob::{Compress, UnpackOptions, pack, unpack, unpack_with};
use lodestore::value::{Array, DType, Elements, Order};
use lodestore::{ErrorKind, Value};
use proptest::prelude::*;
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
    let Value::Array(array) = of("arr_obj_2x2") else {
        panic!()
    };
    let Elements::Objects(items) = array.data else {
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
        (Value::from(array.clone()), Compress::Fast),
        (Value::from(array.clone()), Compress::No),
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
            let Value::Array(array) = array else { panic!() };
            let Elements::Raw { bytes, offset, .. } = array.data else {
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

/// Any value that comes back as itself, nested a few levels.
fn values() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|b| Value::from_int_bytes(&b)),
            any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
            any::<(f64, f64)>().prop_map(|(a, b)| Value::Complex(a, b)),
            ".{0,12}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Value::from),
            (1i16..=9999, 1i8..=12, 1i8..=28)
                .prop_map(|(y, m, d)| jiff::civil::date(y, m, d).into()),
            (0i8..24, 0i8..60, 0i8..60, 0i32..1_000_000)
                .prop_map(|(h, m, s, us)| jiff::civil::time(h, m, s, us * 1000).into()),
            "-?[0-9]{1,9}(\\.[0-9]{1,9})?(E[+-][0-9]{1,3})?|NaN|-Infinity".prop_map(Value::Decimal),
            any::<u128>().prop_map(|v| uuid::Uuid::from_u128(v).into()),
            arrays(vec![2, 3]),
            proptest::collection::vec(0usize..5, 0..4).prop_flat_map(arrays),
        ];
    leaf.prop_recursive(4, 60, 6, |inner| {
        let items = proptest::collection::vec(inner.clone(), 0..6);
        let key = prop_oneof![
            ".{0,5}".prop_map(Value::Text),
            any::<i64>().prop_map(Value::Int),
            any::<bool>().prop_map(|b| Value::Tuple(vec![Value::Bool(b), Value::Set(vec![])]))
        ];
        prop_oneof![
            items.clone().prop_map(Value::List),
            items.clone().prop_map(Value::Tuple),
            proptest::collection::btree_set(any::<i64>(), 0..5)
                .prop_map(|s| Value::Set(s.into_iter().map(Value::Int).collect())),
            proptest::collection::vec((key, inner.clone()), 0..5).prop_map(Value::Map),
            proptest::collection::vec(inner.clone(), 6).prop_map(|items| Value::Cell {
                shape: vec![3, 2],
                items
            }),
            proptest::collection::vec(inner.clone(), 6).prop_map(|items| Array::objects(
                vec![2, 3],
                items
            )
            .unwrap()
            .into()),
            proptest::collection::vec(inner.clone(), 8).prop_map(|mut items| Value::Struct {
                shape: [2, 2].into(),
                names: ["a".into(), "é".into()].into(),
                elements: (0..4).map(|_| items.split_off(items.len() - 2)).collect(),
            }),
            (arrays(vec![2, 3]), arrays(vec![2, 3])).prop_map(|(a, b)| Value::Records {
                shape: vec![2, 3],
                fields: vec![
                    ("x".into(), a.clone()),
                    (
                        "y".into(),
                        Value::Records {
                            shape: vec![2, 3],
                            fields: vec![("z".into(), b)]
                        }
                    ),
                ],
            }),
        ]
    })
}

/// Arrays of any class and order.
fn arrays(shape: Vec<usize>) -> impl Strategy<Value = Value> {
    let types = [
        "bool",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "datetime64[D]",
        "datetime64[as]",
    ];
    let count: usize = shape.iter().product();
    let bytes = proptest::collection::vec(any::<u8>(), 16 * count);
    (
        proptest::sample::select(types.to_vec()),
        bytes,
        any::<bool>(),
    )
        .prop_map(move |(name, mut bytes, fortran)| {
            let dtype = DType::parse_text(name).unwrap();
            bytes.truncate(count * dtype.itemsize);
            if name == "bool" {
                bytes.iter_mut().for_each(|b| *b &= 1);
            }
            let order = if fortran { Order::F } else { Order::C };
            Array::new(dtype, shape.clone(), order, bytes.into())
                .unwrap()
                .into()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_value_comes_back_bit_for_bit(value in values()) {
        for compress in [Compress::No, Compress::Fast, Compress::Reference] {
            let packed = pack(&value, compress).unwrap();
            prop_assert!(unpack(packed.clone()).unwrap().same(&value));
            prop_assert_eq!(pack(&value, compress).unwrap(), packed);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in 0usize..4) {
        let head: &[u8] = [&b"mYm\0"[..], b"dj0\0", b"ZL123\0", b""][head];
        for dims32 in [None, Some(true), Some(false)] {
            if let Err(error) = unpack_with([head, &bytes].concat().into(), UnpackOptions { dims32 }) {
                prop_assert_eq!(error.kind(), ErrorKind::Invalid);
            }
        }
    }
}

#[test]
fn equal_sets_have_equal_bytes_and_need_hashable_items() {
    let set = |items: &[i64]| Value::Set(items.iter().map(|&i| Value::Int(i)).collect());
    assert_eq!(
        pack(&set(&[300, -1, 7]), Compress::No).unwrap(),
        pack(&set(&[7, 300, -1]), Compress::No).unwrap()
    );
    assert!(pack(&Value::Set(vec![set(&[1])]), Compress::No).is_ok());
    for wrong in [
        Value::List(vec![]),
        Value::Map(vec![]),
        Value::Tuple(vec![Value::List(vec![])]),
        Value::Decimal("sNaN".into()),
    ] {
        assert!(
            pack(&Value::Set(vec![wrong.clone()]), Compress::No).is_err(),
            "{wrong:?}"
        );
        assert!(pack(&Value::Map(vec![(wrong, Value::Null)]), Compress::No).is_err());
    }
}

#[test]
fn what_the_format_cannot_hold_is_refused() {
    let array = |text: &str| {
        let dtype = DType::parse_text(text).unwrap();
        let memory = vec![0; dtype.itemsize];
        Value::from(Array::new(dtype, vec![1], Order::C, memory.into()).unwrap())
    };
    for value in [
        array("float16"),
        array("float128"),
        array("timedelta64[s]"),
        array("|S3"),
        array("|V3"),
        array("datetime64"),
        array("datetime64[25s]"),
        array("[]"),
        array("[('a', 'S2')]"),
        array("[('a', '<i4', (2,))]"),
        array("[(('a', 'b'), [('c', '<f2')])]"),
        Value::BigInt([vec![0; 65535], vec![1]].concat()),
        Value::Struct {
            shape: [1].into(),
            names: [].into(),
            elements: vec![vec![]],
        },
        Value::Records {
            shape: vec![1],
            fields: vec![],
        },
        Value::Records {
            shape: vec![2],
            fields: vec![("a".into(), array("int8"))],
        },
        Value::Records {
            shape: vec![1],
            fields: vec![("a".into(), array("int8")), ("a".into(), array("int8"))],
        },
        Value::Records {
            shape: vec![1],
            fields: vec![("a\0".into(), array("int8"))],
        },
        Value::Cell {
            shape: vec![2],
            items: vec![],
        },
        Value::Decimal("1_0".into()),
        Value::Path("x".into()),
        Value::Date(jiff::civil::date(-5, 1, 1)),
    ] {
        let error = pack(&value, Compress::Fast)
            .err()
            .unwrap_or_else(|| panic!("{value:?} was packed"));
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn nesting_has_one_limit_for_both_ways() {
    let nested = |levels: usize| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let deepest = nested(256);
    assert!(
        unpack(pack(&deepest, Compress::No).unwrap())
            .unwrap()
            .same(&deepest)
    );
    assert!(pack(&nested(257), Compress::No).is_err());
}

#[test]
fn structured_arrays_are_written_as_records_and_big_endian_ones_are_turned_round() {
    let dtype = DType::parse_text(
        "{'names': ['a', 's'], 'formats': ['>i2', '>U2'], 'offsets': [1, 4], 'itemsize': 13}",
    )
    .unwrap();
    let mut memory = vec![0u8; 13];
    memory[1..3].copy_from_slice(&[0x12, 0x34]);
    memory[4..8].copy_from_slice(&u32::from('é').to_be_bytes());
    let value = Value::from(Array::new(dtype, vec![1], Order::C, memory.into()).unwrap());
    let Value::Records { shape, fields } = unpack(pack(&value, Compress::No).unwrap()).unwrap()
    else {
        panic!()
    };
    assert_eq!(shape, [1]);
    let wanted = [
        (
            "a",
            Value::from(Array::from_ndarray(ndarray::arr1(&[0x1234i16]))),
        ),
        (
            "s",
            Value::from(Array::objects(vec![1], vec!["é".into()]).unwrap()),
        ),
    ];
    assert!(
        fields
            .iter()
            .zip(&wanted)
            .all(|((n, v), (m, w))| n == m && v.same(w))
    );
}

#[test]
fn noise_is_stored_plain_and_the_rest_is_compressed() {
    let mut state = 1u64;
    let noise: Vec<u8> = (0..1 << 20)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect();
    let plain = pack(&Value::from(noise.clone()), Compress::Fast).unwrap();
    assert!(plain.starts_with(b"dj0\0"));
    let ramp: Vec<u8> = (0..1u32 << 20).map(|i| (i / 64) as u8).collect();
    let packed = pack(&Value::from(ramp), Compress::Fast).unwrap();
    assert!(packed.starts_with(b"ZL123\0"));
    assert!(packed.len() < 1 << 17, "{}", packed.len());
}

#[test]
fn bombs_are_refused_before_they_are_inflated() {
    let mut bomb = b"ZL123\0".to_vec();
    bomb.extend((1u64 << 40).to_le_bytes());
    bomb.extend([0x78, 0x9c, 1, 2, 3, 4, 5, 6, 7, 8]);
    let started = Instant::now();
    assert!(unpack(bomb.into()).is_err());
    // 300 bytes that promise a list of 2^32 items, arrays of 2^40 elements, and so on.
    for head in [
        &b"dj0\0\x02"[..],
        b"dj0\0\x04",
        b"dj0\0\x05",
        b"mYm\0C\x01\0\0\0\0\0\0\0",
        b"mYm\0A\x01\0\0\0\0\0\0\0",
    ] {
        let mut blob = head.to_vec();
        blob.extend((1u64 << 32).to_le_bytes());
        blob.resize(300, 6);
        assert!(unpack(blob.into()).is_err());
    }
    assert!(started.elapsed() < Duration::from_millis(500));
}
