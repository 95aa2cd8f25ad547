//! Codecs over a store: what is written, with which metadata, and what comes back lazily.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use lodestore::codec::{
    DecodeContext, EncodeContext, MapMode, NpyRef, ObjectRef, PutSource, Registry, Selection,
    Stores, load_all, record_write,
};
use lodestore::config::Config;
use lodestore::progress::Silent;
use lodestore::store::{self, Store, StoreOptions, StoreSet, StoreSpec};
use lodestore::value::{Array, Json};
use lodestore::{ErrorKind, Result, Row, Value, row};

/// A store set over one file store, with the steps that the table layer takes around a codec.
struct Bench {
    dir: tempfile::TempDir,
    stores: Arc<StoreSet>,
    registry: Registry,
}

impl Bench {
    fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    fn with(options: StoreOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = StoreSpec::file("loc", dir.path().join("objects").to_str().unwrap());
        let store = store::open(&spec, &options).unwrap();
        Bench {
            dir,
            stores: Arc::new(StoreSet::of([store])),
            registry: Registry::builtin(),
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.stores.get_store(None).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Encodes, writes, and returns the column's value.
    fn encode(&self, spec: &str, value: impl Into<Value>) -> Result<Value> {
        let chain = self.registry.resolve(spec)?;
        let value = value.into();
        chain.validate(&value)?;
        let store = chain.resolve_store(&*self.stores)?;
        let key: Row = row! { id: 1 };
        let context = EncodeContext {
            schema: "s",
            table: "t",
            attribute: "o",
            key: &key,
            store: store.as_deref(),
            stores: &*self.stores,
            config: &Config::defaults("."),
        };
        let mut encoded = chain.encode(value, &context)?;
        let outcomes = self.stores.put_all(&encoded.puts, &Silent)?;
        for (put, outcome) in encoded.puts.iter().zip(&outcomes) {
            record_write(&mut encoded.value, put, outcome.hash.as_deref())?;
        }
        Ok(encoded.value)
    }

    fn decode(&self, spec: &str, stored: Value) -> Result<Value> {
        let stores: Arc<dyn Stores> = self.stores.clone();
        let downloads = self.path("downloads");
        self.registry.resolve(spec)?.decode(
            stored,
            &DecodeContext {
                stores: &stores,
                download_path: &downloads,
                config: &Config::defaults("."),
                origin: None,
            },
        )
    }

    fn round(&self, spec: &str, value: impl Into<Value>) -> Value {
        self.decode(spec, self.encode(spec, value).unwrap())
            .unwrap()
    }

    /// Damages the one object of the store.
    fn overwrite(&self, stored: &Value, content: &[u8]) {
        std::fs::write(
            self.path("objects").join(text(&json(stored), "path")),
            content,
        )
        .unwrap();
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Json(json) => json.parse().unwrap(),
        other => panic!("not JSON: {other:?}"),
    }
}

fn text(json: &serde_json::Value, key: &str) -> String {
    json[key].as_str().unwrap().to_owned()
}

fn keys(json: &serde_json::Value) -> Vec<&str> {
    json.as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn npy(value: &Value) -> &NpyRef {
    value.foreign().unwrap()
}

fn object(value: &Value) -> &ObjectRef {
    value.foreign().unwrap()
}

fn counted(rows: usize, columns: usize) -> Array {
    Array::from_ndarray(ndarray::Array2::from_shape_fn((rows, columns), |(i, j)| {
        (i * columns + j) as i32
    }))
}

fn fortran(rows: usize, columns: usize) -> Array {
    counted(rows, columns)
        .to_order(lodestore::value::Order::F)
        .unwrap()
}

#[test]
fn hash_writes_the_reference_metadata_and_names_the_resolved_store() {
    let b = Bench::new();
    let stored = b.encode("<hash@>", Bytes::from_static(b"raw")).unwrap();
    let Value::Json(text) = &stored else { panic!() };
    assert_eq!(
        text.as_str(),
        r#"{"hash": "xxiwnlz2mp3342ln2f5cdctp7m", "path": "_hash/s/xxiwnlz2mp3342ln2f5cdctp7m", "schema": "s", "store": "loc", "size": 3}"#
    );
    assert!(matches!(b.decode("<hash@>", stored).unwrap(), Value::Bytes(c) if c == "raw"));
    assert_eq!(
        b.encode("<hash@loc>", "text").unwrap_err().kind(),
        ErrorKind::Type
    );
    // Rows of the reference may name no store.
    let foreign =
        Json::from_text(r#"{"path": "_hash/s/xxiwnlz2mp3342ln2f5cdctp7m", "store": null}"#);
    assert!(matches!(b.decode("<hash@>", foreign.into()).unwrap(), Value::Bytes(c) if c == "raw"));
}

#[test]
fn damaged_and_missing_content_is_told_apart() {
    let b = Bench::new();
    let stored = b.encode("<hash@>", Bytes::from_static(b"content")).unwrap();
    b.overwrite(&stored, b"c0ntent");
    assert_eq!(
        b.decode("<hash@>", stored.clone()).unwrap_err().kind(),
        ErrorKind::CorruptObject
    );
    b.store().delete(&text(&json(&stored), "path")).unwrap();
    let error = b.decode("<hash@>", stored).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingObject);
    assert_eq!(error.place().store.as_deref(), Some("loc"));
    for bad in ["[]", "{}", r#"{"path": 5}"#] {
        let stored = Value::Json(Json::from_text(bad));
        for spec in ["<hash@>", "<npy@>", "<object@>", "<filepath@>"] {
            assert_eq!(
                b.decode(spec, stored.clone()).unwrap_err().kind(),
                ErrorKind::CorruptObject,
                "{spec} {bad}"
            );
        }
    }
}

#[test]
fn no_row_reads_outside_the_store() {
    let b = Bench::new();
    std::fs::write(b.path("secret"), b"secret").unwrap();
    b.encode("<hash@>", Bytes::from_static(b"x")).unwrap();
    let stored = |p: &str| {
        Value::Json(serde_json::json!({"path": p, "store": "loc", "size": 6, "dtype": "int8", "shape": [6]}).into())
    };
    for path in ["../secret", b.path("secret").to_str().unwrap()] {
        assert_eq!(
            b.decode("<hash@>", stored(path)).unwrap_err().kind(),
            ErrorKind::Value
        );
        assert_eq!(
            npy(&b.decode("<npy@>", stored(path)).unwrap())
                .load()
                .unwrap_err()
                .kind(),
            ErrorKind::Value
        );
        assert_eq!(
            object(&b.decode("<object@>", stored(path)).unwrap())
                .read()
                .unwrap_err()
                .kind(),
            ErrorKind::Value
        );
    }
}

#[test]
fn an_unknown_store_is_an_error_that_suggests_names() {
    let b = Bench::new();
    insta::assert_snapshot!(b.encode("<npy@lok>", counted(1, 1)).unwrap_err(), @r"
    there is no store named `lok`
    Did you mean `loc`?
    ");
    // Fetching costs no store; only reading does.
    let stored = serde_json::json!({"path": "p", "store": "gone", "dtype": "int64", "shape": [2]});
    let value = b.decode("<npy@>", Value::Json(stored.into())).unwrap();
    assert_eq!(npy(&value).shape(), [2]);
    assert!(npy(&value).load().is_err());
}

#[test]
fn npy_metadata_start_as_the_reference_writes_them() {
    let b = Bench::new();
    let stored = b.encode("<npy@>", counted(2, 3)).unwrap();
    let metadata = json(&stored);
    assert_eq!(
        keys(&metadata),
        [
            "path",
            "store",
            "dtype",
            "shape",
            "hash",
            "xxh3",
            "size",
            "offset",
            "fortran_order"
        ]
    );
    assert_eq!(metadata["dtype"], "int32");
    assert_eq!(metadata["shape"], serde_json::json!([2, 3]));
    assert_eq!(metadata["size"], 128 + 24);
    assert_eq!(text(&metadata, "hash").len(), 26);
    assert_eq!(text(&metadata, "xxh3").len(), 32);
    assert!(text(&metadata, "path").starts_with("_schema/s/t/id=1/o_"));
    assert!(text(&metadata, "path").ends_with(".npy"));
}

#[test]
fn arrays_come_back_equal_in_either_order_and_load_once() {
    let b = Bench::new();
    let empty = Array::from_ndarray(ndarray::Array2::<f64>::zeros((0, 3)));
    for array in [counted(7, 5), fortran(7, 5), Array::scalar(5_i64), empty] {
        let value = b.round("<npy@>", array.clone());
        let r = npy(&value);
        assert!(!r.is_loaded());
        assert!(r.read().unwrap().same(&array));
        assert!(!r.is_loaded());
        assert!(r.load().unwrap().same(&array));
        assert!(r.is_loaded());
        b.store().delete(r.path()).unwrap();
        assert!(r.load().unwrap().same(&array), "kept");
        r.unload();
        assert_eq!(r.load().unwrap_err().kind(), ErrorKind::MissingObject);
    }
}

#[test]
fn contiguous_arrays_are_not_copied() {
    let b = Bench::new();
    let memory = Bytes::from(vec![1_u8; 4000]);
    let dtype = counted(1, 1).dtype;
    let array = Array::new(
        dtype,
        vec![1000],
        lodestore::value::Order::C,
        memory.clone(),
    )
    .unwrap();
    let chain = b.registry.resolve("<npy@>").unwrap();
    let key = row! { id: 1 };
    let context = EncodeContext {
        schema: "s",
        table: "t",
        attribute: "o",
        key: &key,
        store: Some("loc"),
        stores: &*b.stores,
        config: &Config::defaults("."),
    };
    let encoded = chain.encode(array.into(), &context).unwrap();
    let PutSource::Segments(segments) = &encoded.puts[0].source else {
        panic!()
    };
    assert_eq!(segments[1].as_ptr(), memory.as_ptr());
}

#[test]
fn slices_read_only_their_bytes() {
    let b = Bench::with(StoreOptions {
        verify_reads: true,
        ..StoreOptions::default()
    });
    for array in [counted(100, 10), fortran(100, 10)] {
        let stored = b.encode("<npy@>", array.clone()).unwrap();
        // With our keys, and with only those that the reference writes.
        let mut bare = json(&stored);
        for key in ["hash", "size", "offset", "fortran_order"] {
            bare.as_object_mut().unwrap().remove(key);
        }
        for stored in [stored.clone(), Value::Json(bare.into())] {
            let value = b.decode("<npy@>", stored).unwrap();
            let r = npy(&value);
            let rows = r.read_rows(20..25).unwrap();
            assert_eq!(rows.shape, [5, 10]);
            assert_eq!(rows.to_ndarray::<i32>().unwrap()[[0, 3]], 203);
            assert_eq!(r.read_rows(98..500).unwrap().shape, [2, 10]);
            assert_eq!(r.read_rows(500..600).unwrap().shape, [0, 10]);
            assert!(!r.is_loaded(), "ranged reads keep nothing");

            let rows = |range| Selection::rows(range, 100);
            let columns = |range| Selection::rows(range, 10);
            let part = r
                .read_part(&[rows(10..20), columns(4..6)])
                .unwrap()
                .unwrap();
            assert_eq!(part.shape, [10, 2]);
            assert_eq!(part.to_ndarray::<i32>().unwrap()[[3, 1]], 135);
            assert!(!r.is_loaded());
            let more_than_half = [rows(0..60), columns(0..6)];
            assert!(r.read_part(&more_than_half).unwrap().is_none());
            let exact = r.read_selection(&more_than_half).unwrap();
            assert_eq!((&exact.shape[..], r.is_loaded()), (&[60, 6][..], false));
            assert_eq!(exact.to_ndarray::<i32>().unwrap()[[59, 5]], 595);
            let picked = r.read_rows_at(&[99, 3, 3, 50]).unwrap();
            let picked = picked.to_ndarray::<i32>().unwrap();
            assert_eq!(
                [picked[[0, 0]], picked[[2, 9]], picked[[3, 1]]],
                [990, 39, 501]
            );
            assert!(r.read_rows_at(&[100]).is_err());
            r.load().unwrap();
            assert!(exact.same(&r.read_selection(&more_than_half).unwrap()));
            assert_eq!(
                r.read_rows(3..4).unwrap().to_ndarray::<i32>().unwrap()[[0, 0]],
                30,
                "from the cache"
            );
        }
        let value = b.decode("<npy@>", stored).unwrap();
        let runs: Vec<Array> = npy(&value)
            .iter_rows(30)
            .unwrap()
            .collect::<Result<_>>()
            .unwrap();
        assert_eq!(
            runs.iter().map(|r| r.shape[0]).collect::<Vec<_>>(),
            [30, 30, 30, 10]
        );
        assert_eq!(runs[3].to_ndarray::<i32>().unwrap()[[9, 9]], 999);
        assert!(npy(&value).iter_rows(0).is_err());
    }
}

#[test]
fn a_truncated_or_foreign_npy_is_an_error_everywhere() {
    let b = Bench::new();
    let stored = b.encode("<npy@>", counted(100, 10)).unwrap();
    let path = b.path("objects").join(text(&json(&stored), "path"));
    let whole = std::fs::read(&path).unwrap();
    let mut other_shape = whole.clone();
    let at = other_shape
        .windows(9)
        .position(|w| w == b"(100, 10)")
        .unwrap();
    other_shape[at..at + 9].copy_from_slice(b"(10, 100)");
    let cases: [(&str, Vec<u8>); 5] = [
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("header only", whole[..100].to_vec()),
        ("empty", Vec::new()),
        ("text", b"not an array".to_vec()),
        ("shape", other_shape),
    ];
    for (name, content) in cases {
        std::fs::write(&path, content).unwrap();
        let value = b.decode("<npy@>", stored.clone()).unwrap();
        let r = npy(&value);
        assert_eq!(
            r.load().unwrap_err().kind(),
            ErrorKind::CorruptObject,
            "{name}"
        );
        assert_eq!(
            r.map(MapMode::Read, &b.path("cache")).unwrap_err().kind(),
            ErrorKind::CorruptObject,
            "{name}"
        );
        if name != "shape" {
            assert_eq!(
                r.read_rows(99..100).unwrap_err().kind(),
                ErrorKind::CorruptObject,
                "{name}"
            );
        }
    }
    // The same size, shape and type, another content.
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&path, flipped).unwrap();
    let value = b.decode("<npy@>", stored).unwrap();
    assert!(
        npy(&value)
            .load()
            .unwrap_err()
            .message()
            .contains("hashes to")
    );
}

#[test]
fn checks_on_reading_can_be_switched_off() {
    let b = Bench::with(StoreOptions {
        verify_reads: false,
        ..StoreOptions::default()
    });
    let stored = b.encode("<hash@>", Bytes::from_static(b"content")).unwrap();
    b.overwrite(&stored, b"changed");
    assert!(matches!(b.decode("<hash@>", stored).unwrap(), Value::Bytes(c) if c == "changed"));
}

#[test]
fn npy_metadata_from_strangers_are_refused_without_a_panic() {
    let b = Bench::new();
    for bad in [
        r#"{"path": "p", "dtype": "int64", "shape": [-1]}"#,
        r#"{"path": "p", "dtype": "int64", "shape": [1.5]}"#,
        r#"{"path": "p", "dtype": "int64", "shape": [9223372036854775807, 9223372036854775807]}"#,
        r#"{"path": "p", "dtype": "int64"}"#,
        r#"{"path": "p", "shape": []}"#,
        r#"{"dtype": "int64", "shape": []}"#,
    ] {
        assert_eq!(
            b.decode("<npy@>", Value::Json(Json::from_text(bad)))
                .unwrap_err()
                .kind(),
            ErrorKind::CorruptObject,
            "{bad}"
        );
    }
    let odd = r#"{"path": "p", "dtype": "__import__('os')", "shape": [3], "offset": 18446744073709551615, "fortran_order": false}"#;
    let value = b
        .decode("<npy@>", Value::Json(Json::from_text(odd)))
        .unwrap();
    assert!(npy(&value).dtype().is_err());
    assert!(npy(&value).load().is_err());
    let far = r#"{"path": "p", "dtype": "int64", "shape": [300], "offset": 18446744073709551615, "fortran_order": false}"#;
    let value = b
        .decode("<npy@>", Value::Json(Json::from_text(far)))
        .unwrap();
    assert!(npy(&value).read_rows(1..2).is_err());
}

#[test]
fn object_arrays_and_other_values_are_refused_before_anything_is_written() {
    let b = Bench::new();
    let objects = Array::objects(vec![1], vec![Value::Null]).unwrap();
    assert!(b.encode("<npy@>", objects).is_err());
    assert!(b.encode("<npy@>", Value::List(vec![])).is_err());
    assert!(!b.path("objects").exists());
}

#[test]
fn a_map_shares_the_stored_file_to_read_and_a_copy_to_write() {
    let b = Bench::new();
    let value = b.round("<npy@>", counted(4, 4));
    let r = npy(&value);
    let cache = b.path("cache");
    let own = r.map(MapMode::Read, &cache).unwrap();
    assert_eq!(
        (own.offset, own.fortran_order, own.private),
        (128, false, false)
    );
    assert!(own.path.starts_with(b.path("objects")));
    assert!(!cache.exists());
    let copy = r.map(MapMode::ReadWrite, &cache).unwrap();
    assert!(copy.private && copy.path.starts_with(&cache));
    std::fs::write(&copy.path, b"scribble").unwrap();
    assert!(r.load().unwrap().same(&counted(4, 4)));
    assert_eq!(MapMode::parse("w+").unwrap_err().kind(), ErrorKind::Value);

    let memory = store::open(&StoreSpec::memory("mem"), &StoreOptions::default()).unwrap();
    let b = Bench {
        stores: Arc::new(StoreSet::of([memory])),
        ..Bench::new()
    };
    let value = b.round("<npy@>", counted(4, 4));
    let map = npy(&value).map(MapMode::Read, &b.path("cache")).unwrap();
    assert!(map.path.starts_with(b.path("cache")));
    assert_eq!(
        map.path,
        npy(&value)
            .map(MapMode::CopyOnWrite, &b.path("cache"))
            .unwrap()
            .path
    );
}

#[test]
fn many_references_load_together_within_a_budget() {
    let b = Bench::new();
    let values: Vec<Value> = (1..20).map(|n| b.round("<npy@>", counted(n, 10))).collect();
    let refs: Vec<&NpyRef> = values.iter().map(npy).collect();
    load_all(&refs, 4, Some(1000), &Silent).unwrap();
    assert!(refs.iter().all(|r| r.is_loaded()));
    assert_eq!(refs[18].load().unwrap().shape, [19, 10]);
    refs[3].unload();
    b.store().delete(refs[3].path()).unwrap();
    assert_eq!(
        load_all(&refs, 4, None, &Silent).unwrap_err().kind(),
        ErrorKind::MissingObject
    );
    assert!(load_all(&refs, 0, None, &Silent).is_err());
}

#[test]
fn an_array_reference_is_stored_again_at_a_path_of_its_own() {
    let b = Bench::new();
    let first = b.round("<npy@>", fortran(6, 4));
    let second = b.round("<npy@>", first.clone());
    assert_ne!(npy(&first).path(), npy(&second).path());
    b.store().delete(npy(&first).path()).unwrap();
    assert!(npy(&second).load().unwrap().same(&fortran(6, 4)));
    npy(&second).unload();
    let column = [Selection::All, Selection::rows(0..1, 4)];
    let column = npy(&second).read_part(&column).unwrap().unwrap();
    assert_eq!(
        (&column.shape[..], npy(&second).is_loaded()),
        (&[6, 1][..], false)
    );
}

#[test]
fn attachments_travel_in_the_row_or_through_the_store() {
    let b = Bench::new();
    let file = b.path("x.txt");
    std::fs::write(&file, b"hello").unwrap();
    let stored = b.encode("<attach>", file.clone()).unwrap();
    assert!(matches!(&stored, Value::Bytes(c) if &c[..] == b"x.txt\0hello"));
    for spec in ["<attach>", "<attach@>"] {
        let Value::Text(path) = b.round(spec, file.clone()) else {
            panic!()
        };
        assert_eq!(Path::new(&path), b.path("downloads/x.txt"));
        assert_eq!(std::fs::read(path).unwrap(), b"hello");
    }
    assert_eq!(
        b.encode("<attach>", b.path("none")).unwrap_err().kind(),
        ErrorKind::FileNotFound
    );
    assert_eq!(
        b.encode("<attach>", b.path("")).unwrap_err().kind(),
        ErrorKind::IsADirectory
    );
    assert_eq!(
        b.encode("<attach>", 5_i64).unwrap_err().kind(),
        ErrorKind::Type
    );
}

#[test]
fn objects_of_every_kind_have_the_reference_metadata() {
    let b = Bench::new();
    let stored = b.encode("<object@>", Bytes::from_static(b"hello")).unwrap();
    let metadata = json(&stored);
    assert_eq!(
        keys(&metadata),
        [
            "path",
            "store",
            "size",
            "ext",
            "is_dir",
            "item_count",
            "timestamp",
            "hash"
        ]
    );
    assert_eq!(
        (&metadata["ext"], &metadata["size"], &metadata["item_count"]),
        (&Value::Null.to(), &5.into(), &Value::Null.to())
    );
    assert_eq!(metadata["hash"], "lvauakv4jmvhnolrtwiraf6fsi");
    assert!(text(&metadata, "timestamp").ends_with("+00:00"));
    for (ext, kept) in [("dat", "dat"), (".dat", ".dat")] {
        let value = Value::Tuple(vec![ext.into(), Bytes::from_static(b"x").into()]);
        let metadata = json(&b.encode("<object@>", value).unwrap());
        assert!(
            text(&metadata, "path").ends_with(".dat")
                && !text(&metadata, "path").ends_with("..dat")
        );
        assert_eq!(metadata["ext"], kept);
    }
    std::fs::write(b.path("a.tar.gz"), b"zip").unwrap();
    let metadata = json(&b.encode("<object@>", b.path("a.tar.gz")).unwrap());
    assert_eq!(metadata["ext"], ".gz");
    std::fs::write(b.path("plain"), b"").unwrap();
    assert_eq!(
        json(&b.encode("<object@>", b.path("plain")).unwrap())["ext"],
        ""
    );
    let finished = Value::Map(vec![
        ("path".into(), "a/b".into()),
        ("mine".into(), 1_i64.into()),
    ]);
    assert_eq!(
        json(&b.encode("<object@>", finished).unwrap()),
        serde_json::json!({"path": "a/b", "mine": 1})
    );
    assert_eq!(
        b.encode("<object@>", 5_i64).unwrap_err().kind(),
        ErrorKind::Type
    );
    assert_eq!(
        b.encode("<object@>", "/no/such/file").unwrap_err().kind(),
        ErrorKind::FileNotFound
    );
}

trait To {
    fn to(self) -> serde_json::Value;
}

impl To for Value {
    fn to(self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

#[test]
fn a_folder_object_is_listed_read_downloaded_and_verified() {
    let b = Bench::new();
    let source = b.path("x.zarr");
    std::fs::create_dir_all(source.join("sub/deep")).unwrap();
    for (name, content) in [
        ("a.txt", "aaaaa"),
        ("sub/b.txt", "bbb"),
        ("sub/deep/c.txt", "c"),
    ] {
        std::fs::write(source.join(name), content).unwrap();
    }
    let stored = b.encode("<object@>", source).unwrap();
    let metadata = json(&stored);
    assert_eq!(
        (
            &metadata["size"],
            &metadata["item_count"],
            &metadata["is_dir"]
        ),
        (&9.into(), &3.into(), &true.into())
    );
    assert!(metadata["ext"].is_null());
    assert!(!text(&metadata, "path").ends_with(".zarr"));
    let value = b.decode("<object@>", stored).unwrap();
    let r = object(&value);
    r.verify(&Silent).unwrap();
    assert!(
        r.exists(None).unwrap()
            && r.exists(Some("sub/b.txt")).unwrap()
            && !r.exists(Some("no")).unwrap()
    );
    assert_eq!(
        r.listdir("").unwrap(),
        [("a.txt".to_owned(), false), ("sub".to_owned(), true)]
    );
    assert_eq!(
        r.listdir("no").unwrap_err().kind(),
        ErrorKind::MissingObject
    );
    let walk: Vec<_> = r
        .walk()
        .unwrap()
        .into_iter()
        .map(|e| (e.dir, e.dirs, e.files))
        .collect();
    let s = |x: &str| x.to_owned();
    assert_eq!(
        walk,
        [
            (s(""), vec![s("sub")], vec![s("a.txt")]),
            (s("sub"), vec![s("deep")], vec![s("b.txt")]),
            (s("sub/deep"), vec![], vec![s("c.txt")])
        ]
    );
    assert_eq!(r.read_sub(Some("sub/b.txt")).unwrap(), "bbb");
    assert!(r.read().is_err());
    assert_eq!(r.open(None).err().unwrap().kind(), ErrorKind::IsADirectory);
    assert_eq!(
        r.read_sub(Some("../../x")).unwrap_err().kind(),
        ErrorKind::Value
    );

    let to = b.path("down");
    assert_eq!(r.download(&to, None, false, &Silent).unwrap(), to);
    let base = r.path.rsplit('/').next().unwrap();
    assert_eq!(
        std::fs::read(to.join(base).join("sub/deep/c.txt")).unwrap(),
        b"c"
    );
    r.download(&b.path("flat"), None, true, &Silent).unwrap();
    assert_eq!(std::fs::read(b.path("flat/sub/b.txt")).unwrap(), b"bbb");
    r.download(&b.path("one.txt"), Some("a.txt"), false, &Silent)
        .unwrap();
    assert_eq!(std::fs::read(b.path("one.txt")).unwrap(), b"aaaaa");

    let inside = b.path("objects").join(&r.path);
    std::fs::write(inside.join("a.txt"), b"AAAAA").unwrap();
    assert_eq!(
        r.verify(&Silent).unwrap_err().kind(),
        ErrorKind::CorruptObject
    );
    std::fs::remove_file(inside.join("a.txt")).unwrap();
    assert_eq!(
        r.verify(&Silent).unwrap_err().kind(),
        ErrorKind::MissingObject
    );
    std::fs::remove_file(b.path("objects").join(format!("{}.manifest.json", r.path))).unwrap();
    assert!(
        r.verify(&Silent)
            .unwrap_err()
            .message()
            .contains("2 files, its row says 3")
    );
}

#[test]
fn a_file_object_is_read_downloaded_and_verified() {
    let b = Bench::new();
    let value = b.round(
        "<object@>",
        Value::Tuple(vec![".txt".into(), Bytes::from_static(b"hello").into()]),
    );
    let r = object(&value);
    assert_eq!(r.read().unwrap(), "hello");
    r.verify(&Silent).unwrap();
    assert_eq!(r.to_string(), r.path);
    assert_eq!(
        r.full_path().unwrap(),
        b.path("objects").join(&r.path).to_str().unwrap()
    );
    assert!(r.url().unwrap().starts_with("file:///"));
    assert!(r.listdir("").is_err() && r.walk().is_err() && r.open(Some("x")).is_err());
    let target = r.download(b.dir.path(), None, false, &Silent).unwrap();
    assert_eq!(target, b.path(r.path.rsplit('/').next().unwrap()));
    std::fs::write(&target, b"stale content").unwrap();
    r.download(&target, None, false, &Silent).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"hello");
    let again = ObjectRef::from_json(&r.to_json(), r.link.clone()).unwrap();
    assert_eq!(again.read().unwrap(), "hello");
    assert_eq!(again.to_json(), r.to_json());
    // Stored again, it lies at a path of its own.
    let copy = b.round("<object@>", value.clone());
    assert_ne!(object(&copy).path, r.path);
    assert!(object(&copy).path.ends_with(".txt"));
    std::fs::write(b.path("objects").join(&r.path), b"hell").unwrap();
    assert_eq!(r.read().unwrap_err().kind(), ErrorKind::CorruptObject);
    assert_eq!(
        r.verify(&Silent).unwrap_err().kind(),
        ErrorKind::CorruptObject
    );
    b.store().delete(&r.path).unwrap();
    assert_eq!(r.read().unwrap_err().kind(), ErrorKind::MissingObject);
    assert_eq!(
        r.verify(&Silent).unwrap_err().kind(),
        ErrorKind::MissingObject
    );
    assert!(!r.exists(None).unwrap());
    assert_eq!(object(&copy).read().unwrap(), "hello");
}

#[test]
fn references_without_store_say_so() {
    use lodestore::codec::StoreLink;
    let r = ObjectRef::from_json(
        &serde_json::json!({"path": "p", "size": 1}),
        StoreLink::None,
    )
    .unwrap();
    assert_eq!(r.read().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        ObjectRef::from_json(&serde_json::json!({"path": "p"}), StoreLink::None)
            .unwrap_err()
            .kind(),
        ErrorKind::UnknownKey
    );
}

#[test]
fn filepath_records_what_is_in_the_store_already() {
    let b = Bench::new();
    let raw = b.path("objects/raw");
    std::fs::create_dir_all(&raw).unwrap();
    std::fs::write(raw.join("x.dat"), b"12345").unwrap();
    for given in [
        "raw/x.dat".to_owned(),
        "./raw/../raw/x.dat".into(),
        raw.join("x.dat").to_str().unwrap().into(),
    ] {
        let stored = b.encode("<filepath@>", given.as_str()).unwrap();
        let metadata = json(&stored);
        assert_eq!(
            keys(&metadata),
            ["path", "store", "size", "is_dir", "timestamp"]
        );
        assert_eq!(
            (text(&metadata, "path"), &metadata["size"]),
            ("raw/x.dat".into(), &5.into())
        );
        assert_eq!(
            object(&b.decode("<filepath@>", stored).unwrap())
                .read()
                .unwrap(),
            "12345"
        );
    }
    let folder = b.encode("<filepath@>", "raw").unwrap();
    assert!(json(&folder)["size"].is_null());
    assert_eq!(
        object(&b.decode("<filepath@>", folder).unwrap())
            .listdir("")
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        b.encode("<filepath@>", "raw/none").unwrap_err().kind(),
        ErrorKind::FileNotFound
    );
    assert_eq!(
        b.encode("<filepath@>", "../x").unwrap_err().kind(),
        ErrorKind::Value
    );
    assert_eq!(
        b.encode("<filepath@>", "_schema/x").unwrap_err().kind(),
        ErrorKind::Value
    );
    assert_eq!(
        b.encode("<filepath@>", Bytes::new()).unwrap_err().kind(),
        ErrorKind::Type
    );
}
