//! Rows of the caller's own types, in and out.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::{Date, DateTime, Time};
use lodestore::codec::{NpyRef, ObjectRef};
use lodestore::definition::Tier;
use lodestore::sql::BackendKind;
use lodestore::table::{InsertOptions, Table};
use lodestore::value::{Array, Row, Value};
use lodestore::{ErrorKind, row};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::common::kind;
use super::support::{Lab, array, column, ints};

/// Types that are written as text, as the fetch side gives them.
mod as_text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(v: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(v)
    }

    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|_| D::Error::custom("not parsed"))
    }
}

/// Bytes as `serde_bytes` has them.
mod as_bytes {
    use serde::{Deserializer, Serializer, de::Error, de::Visitor};

    pub fn serialize<S: Serializer>(v: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(v)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_byte_buf<E: Error>(self, v: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(v)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// A value that equals what holds the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Same(Value);

impl PartialEq for Same {
    fn eq(&self, other: &Same) -> bool {
        self.0.same(&other.0)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct SameArray(Array);

impl PartialEq for SameArray {
    fn eq(&self, other: &SameArray) -> bool {
        self.0.same(&other.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Sex {
    F,
    M,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Filter {
    None,
    Low(f64),
    Band(i32, i32),
    Named { name: String, order: Option<u8> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Document {
    tags: Vec<String>,
    ratio: Option<f64>,
    filter: Filter,
    counts: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    id: u32,
    small: i8,
    large: i64,
    single: f32,
    double: f64,
    truth: bool,
    name: String,
    letter: char,
    sex: Sex,
    price: String,
    #[serde(with = "as_text")]
    day: Date,
    #[serde(with = "as_text")]
    moment: DateTime,
    #[serde(with = "as_text")]
    clock: Time,
    token: Uuid,
    #[serde(with = "as_bytes")]
    raw: Vec<u8>,
    document: Document,
    maybe: Option<i32>,
    list: Vec<f64>,
    filter: Filter,
    by_number: BTreeMap<i64, (String, Option<bool>)>,
    array: SameArray,
    any: Same,
}

const EVERYTHING: &str = "id : int32
---
small : int8
large : int64
single : float32
double : float64
truth : bool
name : varchar(32)
letter : char(1)
sex : enum('F', 'M')
price : decimal(10,3)
day : date
moment : datetime(6)
clock : time
token : uuid
raw : bytes
document : json
maybe = null : int32
list : <blob>
filter : <blob>
by_number : <blob@>
array : <blob@>
any : <blob>";

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        Just(Filter::None),
        // Quarters: JSON is read with the precision of `serde_json`.
        any::<i16>().prop_map(|v| Filter::Low(f64::from(v) / 4.0)),
        any::<(i32, i32)>().prop_map(|(a, b)| Filter::Band(a, b)),
        ("[a-zé\"]{0,5}", any::<Option<u8>>())
            .prop_map(|(name, order)| Filter::Named { name, order }),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u128>().prop_map(|v| Value::Uuid(Uuid::from_u128(v))),
        moment().prop_map(Value::from),
        vec(any::<u8>(), 0..9).prop_map(Value::from),
        vec(any::<f64>(), 0..9).prop_map(|v| array(&v)),
        vec("[a-z]{0,3}", 0..3).prop_map(|v| {
            Value::Map(
                v.iter()
                    .map(|k| (Value::Int(1), Value::from(k.as_str())))
                    .take(1)
                    .collect(),
            )
        }),
    ]
}

fn moment() -> impl Strategy<Value = DateTime> {
    let date = (1i16..=9999, 1i8..=12, 1i8..=28);
    let time = (0i8..24, 0i8..60, 0i8..60, 0i32..1_000_000);
    (date, time).prop_map(|((y, m, d), (h, min, s, us))| {
        jiff::civil::date(y, m, d).at(h, min, s, us * 1000)
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    let numbers = (
        any::<i8>(),
        any::<i64>(),
        any::<f32>().prop_filter("a database keeps no NaN", |v| !v.is_nan()),
        any::<f64>().prop_filter("a database keeps no NaN", |v| !v.is_nan()),
        any::<bool>(),
        any::<Option<i32>>(),
        -9_999_999i64..9_999_999,
        0u16..1000,
    );
    let texts = (
        "[a-zäß' ]{0,31}x",
        "[a-zé]",
        prop_oneof![Just(Sex::F), Just(Sex::M)],
        any::<u128>(),
        vec(any::<u8>(), 0..40),
    );
    let document = (
        vec("[a-zé\"\n]{0,5}", 0..4),
        any::<Option<i16>>(),
        filter(),
        btree_map("[a-z]{1,4}", any::<i64>(), 0..4),
    );
    let values = (
        vec(
            any::<f64>().prop_filter("NaN is not equal to itself", |v| !v.is_nan()),
            0..9,
        ),
        filter(),
        btree_map(any::<i64>(), ("[a-z]{0,4}", any::<Option<bool>>()), 0..4),
        vec(any::<f64>(), 0..9),
        value(),
    );
    (numbers, texts, document, values, moment()).prop_map(|(n, t, d, v, moment)| Everything {
        id: 0,
        small: n.0,
        large: n.1,
        single: n.2,
        double: n.3,
        truth: n.4,
        maybe: n.5,
        price: format!("{}.{:03}", n.6, n.7),
        name: t.0,
        letter: t.1.chars().next().unwrap(),
        sex: t.2,
        token: Uuid::from_u128(t.3),
        raw: t.4,
        day: moment.date(),
        moment,
        clock: moment.time().with().subsec_nanosecond(0).build().unwrap(),
        document: Document {
            tags: d.0,
            ratio: d.1.map(|v| f64::from(v) / 4.0),
            filter: d.2,
            counts: d.3,
        },
        list: v.0,
        filter: v.1,
        by_number: v.2,
        array: SameArray(Array::from_ndarray(ndarray::Array1::from(v.3))),
        any: Same(v.4),
    })
}

fn all<T: serde::de::DeserializeOwned>(table: &Table) -> Vec<T> {
    table.rows().order_by("KEY").collect().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if kind() == BackendKind::Sqlite { 24 } else { 8 }))]

    #[test]
    fn what_is_fetched_can_be_inserted_again(mut given in vec(everything(), 1..12)) {
        for (id, row) in given.iter_mut().enumerate() {
            row.id = id as u32;
        }
        let lab = Lab::new();
        let first = lab.declare("First", Tier::Manual, EVERYTHING);
        let second = lab.declare("Second", Tier::Manual, EVERYTHING);
        let options = InsertOptions::default();
        prop_assert_eq!(first.insert_typed(&given, &options).unwrap(), given.len() as u64);
        let fetched: Vec<Everything> = all(&first);
        prop_assert_eq!(&fetched, &given);
        second.insert_typed(fetched, &options).unwrap();
        prop_assert_eq!(all::<Everything>(&second), given);
        // The same bytes are in both tables, not only what a type makes of them.
        for name in ["price", "moment", "token", "document", "list", "filter", "any"] {
            let (a, b) = (column(&first, name), column(&second, name));
            prop_assert!(a.iter().zip(&b).all(|(a, b)| a.same(b)), "{}: {:?} {:?}", name, a, b);
        }
    }
}

#[test]
fn fetched_references_are_inserted_as_copies() {
    #[derive(Serialize)]
    struct Given {
        id: i32,
        trace: Option<Array>,
        frames: Value,
    }
    #[derive(Serialize, Deserialize)]
    struct Fetched {
        id: i32,
        trace: Option<NpyRef>,
        frames: ObjectRef,
    }
    let lab = Lab::new();
    let definition = "id : int32\n---\ntrace = null : <npy@>\nframes : <object@>";
    let first = lab.declare("First", Tier::Manual, definition);
    let second = lab.declare("Second", Tier::Manual, definition);
    let options = InsertOptions::default();
    let trace = Array::from_ndarray(ndarray::arr2(&[[1i16, 2], [3, 4]]));
    let given = [Some(trace.clone()), None].into_iter().zip(1..);
    let given = given.map(|(trace, id)| Given {
        id,
        trace,
        frames: Value::Bytes(vec![id as u8; 3].into()),
    });
    first.insert_typed(given, &options).unwrap();
    second
        .insert_typed(all::<Fetched>(&first), &options)
        .unwrap();
    first.delete(Default::default()).unwrap();
    let fetched: Vec<Fetched> = all(&second);
    assert!(
        fetched[0]
            .trace
            .as_ref()
            .unwrap()
            .load()
            .unwrap()
            .same(&trace)
    );
    assert!(fetched[1].trace.is_none());
    assert_eq!(&fetched[1].frames.read().unwrap()[..], [2; 3]);
}

#[test]
fn typed_rows_of_different_shape_are_matched_by_name() {
    #[derive(Serialize)]
    struct Animal<'a> {
        #[serde(flatten)]
        key: &'a Row,
        name: &'a str,
    }
    let lab = Lab::new();
    let (subject, _, _) = lab.pipeline();
    let options = InsertOptions::default();
    let key = row! { subject_id: 1 };
    let animal = Animal {
        key: &key,
        name: "a",
    };
    subject.insert_typed([animal], &options).unwrap();

    let map = |entries: [(&'static str, Value); 2]| indexmap::IndexMap::from(entries);
    let given = [
        map([("subject_id", 2.into()), ("name", "b".into())]),
        map([("name", "c".into()), ("subject_id", 3.into())]),
        map([("subject_id", 4.into()), ("name", "d".into())]),
    ];
    subject.insert_typed(given, &options).unwrap();
    assert_eq!(ints(&subject, "subject_id"), [1, 2, 3, 4]);
    let names: Vec<String> = subject
        .rows()
        .columns(["name"])
        .order_by("KEY")
        .collect()
        .unwrap();
    assert_eq!(names, ["a", "b", "c", "d"]);

    #[derive(Serialize)]
    struct Partial {
        subject_id: i32,
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        weight: Option<f64>,
    }
    let rows = [(5, Some(1.0)), (6, None)].map(|(subject_id, weight)| Partial {
        subject_id,
        name: "e",
        weight,
    });
    let error = subject.insert_typed(&rows, &options).unwrap_err();
    assert!(error.message().contains("it lacks weight"), "{error}");
    assert_eq!(error.place().row, Some(1));
    assert_eq!(subject.count().unwrap(), 4);
}

#[test]
fn unfit_typed_rows_are_refused_before_anything_is_written() {
    #[derive(Serialize)]
    struct Trial<T> {
        id: i32,
        trace: Vec<f64>,
        data: T,
    }
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("out of order"))
        }
    }
    let lab = Lab::new();
    let table = lab.declare(
        "Trial",
        Tier::Manual,
        "id : int32\n---\ntrace : <blob@>\ndata : bytes",
    );
    let options = InsertOptions::default();
    let trial = |id| (id, vec![f64::from(id)]);
    fn with<T>((id, trace): (i32, Vec<f64>), data: T) -> Trial<T> {
        Trial { id, trace, data }
    }

    let good = Value::Bytes(vec![1].into());
    let rows = [with(trial(1), good), with(trial(2), Value::Int(7))];
    let wrong_type = table.insert_typed(rows, &options).unwrap_err();
    assert_eq!(
        (wrong_type.kind(), wrong_type.place().row),
        (ErrorKind::Data, Some(1))
    );
    let broken = table
        .insert_typed([with(trial(1), Broken)], &options)
        .unwrap_err();
    assert_eq!(
        (broken.kind(), broken.place().row),
        (ErrorKind::Type, Some(0))
    );
    assert!(
        broken.message().contains("column `data`: out of order"),
        "{broken}"
    );
    for error in [&wrong_type, &broken] {
        assert_eq!(error.place().attribute.as_deref(), Some("data"));
        assert_eq!(error.place().table.as_deref(), Some("trial"));
    }

    let no_rows = [
        table.insert_typed([(1, 2)], &options),
        table.insert_typed([1], &options),
        table.insert_typed([Filter::Low(1.0)], &options),
        table.insert_typed([vec![1]], &options),
        table.insert_typed([HashMap::from([(1, 2)])], &options),
    ];
    for error in no_rows.map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Type);
        assert!(
            error.message().contains("a struct or a map with text keys"),
            "{error}"
        );
    }
    let unknown = table
        .insert_typed([row! { id: 1, dota: 2 }], &options)
        .unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::UnknownKey);

    assert_eq!(table.count().unwrap(), 0);
    assert!(lab.files().is_empty(), "{:?}", lab.files());
}

#[test]
fn values_are_not_given_to_other_serializers() {
    assert!(serde_json::to_string(&Value::Int(1)).is_err());
    let lab = Lab::new();
    let table = lab.declare("T", Tier::Manual, "id : int32");
    table
        .insert_typed(
            [HashMap::from([("id", Value::Int(2))])],
            &InsertOptions::default(),
        )
        .unwrap();
    assert_eq!(ints(&table, "id"), [2]);
}
