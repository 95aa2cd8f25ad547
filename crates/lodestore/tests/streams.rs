//! Streams into stores: whole or not at all, in bounded memory, once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use lodestore::codec::{
    ArrayStream, Blocks, ByteStream, EncodeContext, Put, PutPath, PutStream, Registry,
    content_hash, record_write,
};
use lodestore::config::Config;
use lodestore::progress::{Progress, Silent};
use lodestore::store::fault::{Fault, FaultStore};
use lodestore::store::{self, Store, StoreOptions, StoreSet, StoreSpec};
use lodestore::value::{Array, DType, npy};
use lodestore::{Error, ErrorKind, Row, Value, row};

struct Fixture {
    store: Arc<dyn Store>,
    _dir: tempfile::TempDir,
}

fn stores() -> Vec<Fixture> {
    let dir = || tempfile::tempdir().unwrap();
    let make = |dir: tempfile::TempDir, spec: StoreSpec, options: StoreOptions| Fixture {
        store: store::open(&spec, &options).unwrap(),
        _dir: dir,
    };
    let file = dir();
    let location = StoreSpec::file("main", file.path().join("objects").to_str().unwrap());
    let small_parts = StoreOptions {
        multipart_size: 1000,
        ..StoreOptions::default()
    };
    let mut stores = vec![
        make(file, location, StoreOptions::default()),
        make(dir(), StoreSpec::memory("main"), StoreOptions::default()),
        make(dir(), StoreSpec::memory("main"), small_parts),
    ];
    if let Ok(text) = std::env::var("LODE_TEST_S3") {
        let mut spec: serde_json::Value = serde_json::from_str(&text).unwrap();
        spec["location"] = format!("streams/{:016x}", rand::random::<u64>()).into();
        let spec = StoreSpec::from_json("main", spec.as_object().unwrap()).unwrap();
        stores.push(make(dir(), spec, StoreOptions::default()));
    } else {
        eprintln!("SKIPPED: no LODE_TEST_S3");
    }
    stores
}

fn paths(store: &dyn Store) -> Vec<String> {
    let objects = store.list("").unwrap().into_iter().map(|m| m.path);
    objects.filter(|p| !p.starts_with("_lode/")).collect()
}

/// Blocks of `size` bytes, counted as they are pulled; then, perhaps, an error.
struct Counted {
    left: usize,
    size: usize,
    fails: bool,
    pulled: Arc<AtomicUsize>,
}

impl Blocks for Counted {
    fn next_block(&mut self) -> lodestore::Result<Option<Bytes>> {
        if self.left == 0 {
            return match self.fails {
                true => Err(Error::new(ErrorKind::Value, "the camera was unplugged")),
                false => Ok(None),
            };
        }
        self.left -= 1;
        let n = self.pulled.fetch_add(1, Ordering::Relaxed);
        Ok(Some(vec![n as u8; self.size].into()))
    }

    fn facts(&self) -> Vec<(&'static str, serde_json::Value)> {
        vec![("blocks", self.pulled.load(Ordering::Relaxed).into())]
    }
}

fn counted(left: usize, size: usize, fails: bool) -> (PutStream, Arc<AtomicUsize>) {
    let pulled = Arc::new(AtomicUsize::new(0));
    let blocks = Counted {
        left,
        size,
        fails,
        pulled: pulled.clone(),
    };
    (PutStream::new(blocks), pulled)
}

fn fresh(path: &str, stream: PutStream, size: Option<u64>) -> Put {
    Put::stream("main", PutPath::Fresh(path.into()), stream, size).recording_hash("hash")
}

#[test]
fn a_stream_arrives_whole_with_hash_size_and_what_its_end_tells() {
    for fixture in stores() {
        let store = &*fixture.store;
        // Small blocks, large ones, none.
        for (n, size) in [(7, 300), (3, 3 << 20), (0, 0)] {
            let path = format!("a/{n}");
            let put = fresh(&path, counted(n, size, false).0, None);
            let outcome = store.put(&put, &Silent).unwrap();
            let content = store.read(&path).unwrap();
            let expected: Vec<u8> = (0..n).flat_map(|i| vec![i as u8; size]).collect();
            assert!(content == expected, "{n} × {size}");
            assert_eq!(outcome.size, (n * size) as u64);
            assert_eq!(outcome.hash, Some(content_hash([&expected[..]])));
            let mut json = Value::Json(serde_json::json!({"hash": null, "blocks": null}).into());
            record_write(&mut json, &put, outcome.hash.as_deref()).unwrap();
            let Value::Json(json) = json else { panic!() };
            let json = json.parse().unwrap();
            assert_eq!(json["blocks"], n);
            assert_eq!(json["hash"].as_str(), outcome.hash.as_deref());
        }
        store.delete_prefix("a").unwrap();
    }
}

#[test]
fn a_stream_that_fails_or_lies_leaves_nothing_and_says_so() {
    for fixture in stores() {
        let store = &*fixture.store;
        let segments = Put::segments(
            "main",
            PutPath::Fresh("b/other".into()),
            vec![Bytes::from_static(b"other")],
        );
        for (fails, size, message) in [
            (true, None, "unplugged"),
            (false, Some(30_001), "fewer bytes"),
            (false, Some(29_999), "more bytes"),
        ] {
            let puts = [
                segments.clone(),
                fresh("b/x", counted(100, 300, fails).0, size),
            ];
            let error = store.put_many(&puts, &Silent).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(error.place().path.as_deref(), Some("b/x"), "{error:?}");
            assert!(paths(store).is_empty());
        }
    }
}

#[test]
fn a_stream_is_stored_once() {
    for fixture in stores() {
        let store = &*fixture.store;
        let (stream, _) = counted(2, 10, false);
        store
            .put(&fresh("c/1", stream.clone(), None), &Silent)
            .unwrap();
        let error = store.put(&fresh("c/2", stream, None), &Silent).unwrap_err();
        assert!(error.to_string().contains("only once"), "{error}");
        assert_eq!(paths(store), ["c/1"]);
        // Nor does it take another's place.
        let error = store.put(&fresh("c/1", counted(9, 900, false).0, None), &Silent);
        assert!(error.is_err());
        assert_eq!(store.read("c/1").unwrap().len(), 20);
        store.delete("c/1").unwrap();
    }
}

#[test]
fn content_that_is_there_is_not_read_again() {
    for fixture in stores() {
        let store = &*fixture.store;
        let hash = content_hash([&vec![0; 5000][..]]);
        let put = |stream| {
            let path = PutPath::Hash(format!("_hash/s/{hash}"));
            Put::stream("main", path, stream, Some(5000))
        };
        assert!(
            store
                .put(&put(counted(1, 5000, false).0), &Silent)
                .unwrap()
                .created
        );
        let (stream, pulled) = counted(1, 5000, false);
        assert!(!store.put(&put(stream), &Silent).unwrap().created);
        assert_eq!(pulled.load(Ordering::Relaxed), 0);
        store.delete_prefix("_hash").unwrap();
    }
}

struct StopAfter(AtomicUsize, usize);

impl Progress for StopAfter {
    fn interrupted(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) >= self.1
    }
}

#[test]
fn an_interruption_stops_between_blocks_and_leaves_nothing() {
    for fixture in stores() {
        let store = &*fixture.store;
        let (stream, pulled) = counted(1_000_000, 2000, false);
        let stop = StopAfter(AtomicUsize::new(0), 40);
        let error = store.put(&fresh("d/x", stream, None), &stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(pulled.load(Ordering::Relaxed) <= 41);
        assert!(paths(store).is_empty());
    }
}

#[test]
fn a_fault_strikes_streams_too() {
    for fixture in stores() {
        let store = FaultStore::new(fixture.store.clone(), Fault::ShortWrite, 0);
        store
            .put(&fresh("e/x", counted(4, 50, false).0, None), &Silent)
            .unwrap();
        assert_eq!(store.inner_len("e/x"), 100);
        fixture.store.delete("e/x").unwrap();
    }
}

trait InnerLen {
    fn inner_len(&self, path: &str) -> usize;
}

impl InnerLen for FaultStore {
    fn inner_len(&self, path: &str) -> usize {
        use lodestore::codec::ObjectReader;
        self.read(path).unwrap().len()
    }
}

// -- codecs -----------------------------------------------------------------------------------------------------------

/// Encodes a value for a type and writes its objects; the column's JSON.
fn stored(
    store: &Arc<dyn Store>,
    spec: &str,
    value: Value,
) -> lodestore::Result<serde_json::Value> {
    let stores = StoreSet::of([store.clone()]);
    let chain = Registry::builtin().resolve(spec)?;
    chain.validate(&value)?;
    let key: Row = row! { id: 1 };
    let name = chain.resolve_store(&stores)?;
    let mut encoded = chain.encode(
        value,
        &EncodeContext {
            schema: "s",
            table: "t",
            attribute: "o",
            key: &key,
            store: name.as_deref(),
            stores: &stores,
            config: &Config::defaults("."),
        },
    )?;
    let outcomes = stores.put_all(&encoded.puts, &Silent)?;
    for (put, outcome) in encoded.puts.iter().zip(&outcomes) {
        record_write(&mut encoded.value, put, outcome.hash.as_deref())?;
    }
    match encoded.value {
        Value::Json(json) => json.parse(),
        other => panic!("{other:?}"),
    }
}

fn rows(from: i32, n: i32) -> Array {
    let flat = (from * 3..(from + n) * 3).collect();
    Array::from_ndarray(ndarray::Array2::from_shape_vec((n as usize, 3), flat).unwrap())
}

fn foreign<T: lodestore::value::Foreign>(value: T) -> Value {
    Value::Foreign(Arc::new(value))
}

#[test]
fn an_array_comes_in_blocks_and_is_the_same_file_as_in_one_piece() {
    for fixture in stores() {
        let blocks = || [rows(0, 5), rows(5, 0), rows(5, 2)].map(Ok);
        let known = ArrayStream::new(blocks(), vec![7, 3], DType::of::<i32>()).unwrap();
        let unknown =
            ArrayStream::of_unknown_length(blocks(), vec![3], DType::of::<i32>()).unwrap();
        let whole = stored(&fixture.store, "<npy@>", Value::from(rows(0, 7))).unwrap();
        for stream in [known, unknown] {
            let json = stored(&fixture.store, "<npy@>", foreign(stream)).unwrap();
            for key in [
                "dtype",
                "shape",
                "hash",
                "xxh3",
                "size",
                "offset",
                "fortran_order",
            ] {
                assert!(!json[key].is_null());
                assert_eq!(json[key], whole[key], "{key}");
            }
            let content = fixture.store.read(json["path"].as_str().unwrap()).unwrap();
            assert!(npy::decode(content).unwrap().same(&rows(0, 7)));
        }
        fixture.store.delete_prefix("_schema").unwrap();
    }
}

#[test]
fn blocks_that_are_not_what_was_announced_are_refused() {
    for fixture in stores() {
        let floats = || Array::from_ndarray(ndarray::Array2::<f64>::zeros((2, 3)));
        let wide = || Array::from_ndarray(ndarray::Array2::<i32>::zeros((2, 4)));
        let cases: [(Vec<Array>, &str); 5] = [
            (vec![rows(0, 5)], "ends after 5 rows of 7"),
            (vec![], "ends after 0 rows of 7"),
            (vec![rows(0, 5), rows(5, 3)], "brings row 8, but 7 were"),
            (
                vec![rows(0, 5), floats()],
                "block 1 of the stream has dtype float64",
            ),
            (
                vec![rows(0, 5), wide()],
                "block 1 of the stream has shape (2, 4); its rows should have shape (3,)",
            ),
        ];
        for (blocks, message) in cases {
            let blocks: Vec<_> = blocks.into_iter().map(Ok).collect();
            let stream = ArrayStream::new(blocks, vec![7, 3], DType::of::<i32>()).unwrap();
            let error = stored(&fixture.store, "<npy@>", foreign(stream)).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(paths(&*fixture.store).is_empty());
        }
    }
}

/// A reader that cannot go back, and gives little at a time.
struct Pipe(io::Cursor<Vec<u8>>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(70_001);
        self.0.read(&mut buffer[..n])
    }
}

#[test]
fn open_files_become_objects_arrays_and_attachments() {
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 % 253) as u8).collect();
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("big.bin");
    std::fs::write(&local, &content).unwrap();
    let pipe = |name: Option<&str>| {
        let pipe = Pipe(io::Cursor::new(content.clone()));
        foreign(ByteStream::of_reader(name.map(str::to_owned), pipe))
    };
    for fixture in stores() {
        let store = &fixture.store;
        let tuple = Value::Tuple(vec![Value::from(".dat"), pipe(None)]);
        let json = stored(store, "<object@>", tuple).unwrap();
        assert_eq!(json["size"], content.len());
        assert_eq!(json["ext"], ".dat");
        assert_eq!(json["hash"], content_hash([&content[..]]));
        assert!(store.read(json["path"].as_str().unwrap()).unwrap() == content);

        let named = [b"big.bin\0", &content[..]].concat();
        for value in [
            Value::from(local.clone()),
            pipe(Some("/elsewhere/big.bin")),
            foreign(
                ByteStream::of_file(Some("big.bin".into()), std::fs::File::open(&local).unwrap())
                    .unwrap(),
            ),
        ] {
            let json = stored(store, "<attach@>", value).unwrap();
            assert_eq!(json["hash"], content_hash([&named[..]]));
            assert_eq!(json["size"], named.len());
            let path = json["path"].as_str().unwrap();
            assert!(store.read(path).unwrap() == named);
            store.delete(path).unwrap();
        }
        let error = stored(store, "<attach@>", pipe(None)).unwrap_err();
        assert!(error.to_string().contains("name"), "{error}");

        let file: Vec<u8> = npy::encode(&rows(0, 200_000)).unwrap().concat();
        let mut longer = file.clone();
        longer.extend(b"what follows is another matter");
        let array = |bytes: &[u8]| {
            foreign(ByteStream::of_reader(
                None,
                Pipe(io::Cursor::new(bytes.to_vec())),
            ))
        };
        let json = stored(store, "<npy@>", array(&longer)).unwrap();
        assert_eq!(json["shape"], serde_json::json!([200_000, 3]));
        assert_eq!(json["dtype"], "int32");
        assert_eq!(json["hash"], content_hash([&file[..]]));
        assert!(store.read(json["path"].as_str().unwrap()).unwrap() == file);
        store.delete_prefix("_schema").unwrap();
        for (bytes, message) in [
            (&file[..file.len() - 1], "fewer bytes"),
            (&file[..20], "cut short"),
            (b"no array", "not a .npy file"),
        ] {
            let error = stored(store, "<npy@>", array(bytes)).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
        assert!(paths(&**store).is_empty());
    }
}
