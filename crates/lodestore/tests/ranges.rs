//! Parts of stored values: which bytes are asked for, in how many requests, and that damage is named.
// One range is often all that is expected.
#![allow(clippy::single_range_in_vec_init)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lodestore::codec::{
    NpyRef, ObjectHandle, ObjectMeta, ObjectReader, ObjectRef, Origin, ReadSeek, Selection,
    StoreLink, content_hash, read_stacked,
};
use lodestore::progress::{Progress, Silent};
use lodestore::store::{RemoteStore, Store, StoreOptions, StoreSpec};
use lodestore::value::{Array, DType, Order, npy};
use lodestore::{Error, ErrorKind, Result, Row};
use proptest::prelude::*;

/// A store far away: no local files, and every request for bytes is written down.
#[derive(Debug)]
struct Far {
    inner: RemoteStore,
    asked: Mutex<Vec<Range<u64>>>,
    verifies: bool,
}

impl Far {
    fn new() -> Arc<Self> {
        Self::with(true)
    }

    fn with(verifies: bool) -> Arc<Self> {
        let options = StoreOptions::default();
        Arc::new(Far {
            inner: RemoteStore::memory(StoreSpec::memory("far"), options).unwrap(),
            asked: Mutex::default(),
            verifies,
        })
    }

    /// What was asked for since the last call.
    fn asked(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn write(&self, path: &str, content: &[u8]) {
        self.inner.put_bytes(path, content).unwrap();
    }
}

impl ObjectReader for Far {
    fn name(&self) -> &str {
        "far"
    }
    fn protocol(&self) -> &str {
        "s3"
    }
    fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        self.inner.head(path)
    }
    fn read(&self, path: &str) -> Result<Bytes> {
        let content = self.inner.read(path)?;
        self.asked.lock().unwrap().push(0..content.len() as u64);
        Ok(content)
    }
    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        self.asked.lock().unwrap().push(range.clone());
        self.inner.read_range(path, range)
    }
    fn open(&self, path: &str) -> Result<Box<dyn ReadSeek>> {
        self.inner.open(path)
    }
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        self.inner.list(prefix)
    }
    fn list_dir(&self, prefix: &str) -> Result<Vec<(String, bool)>> {
        self.inner.list_dir(prefix)
    }
    fn local_path(&self, _path: &str) -> Option<PathBuf> {
        None
    }
    fn full_path(&self, path: &str) -> String {
        path.to_owned()
    }
    fn url(&self, path: &str) -> String {
        path.to_owned()
    }
    fn verifies(&self) -> bool {
        self.verifies
    }
    fn download(&self, path: &str, destination: &Path) -> Result<()> {
        self.inner.download(path, destination)
    }
}

impl ObjectHandle for Far {
    fn hash_path(&self, schema: &str, hash: &str) -> Result<String> {
        self.inner.hash_path(schema, hash)
    }
    fn schema_path(&self, s: &str, t: &str, key: &Row, a: &str, ext: &str) -> Result<String> {
        self.inner.schema_path(s, t, key, a, ext)
    }
    fn filepath(&self, path: &str) -> Result<String> {
        self.inner.filepath(path)
    }
}

fn link(store: &Arc<Far>) -> StoreLink {
    StoreLink::Handle(store.clone())
}

fn counted(shape: &[usize], order: Order) -> Array {
    let total: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..total as u32).flat_map(u32::to_le_bytes).collect();
    let array = Array::new(DType::of::<u32>(), shape.to_vec(), Order::C, bytes.into()).unwrap();
    array.to_order(order).unwrap()
}

/// Stores an array; `ours` says whether the row has our own keys.
fn stored(store: &Arc<Far>, array: &Array, ours: bool) -> NpyRef {
    let segments = npy::encode(array).unwrap();
    let file = segments.concat();
    store.write("a.npy", &file);
    let mut metadata = serde_json::json!({
        "path": "a.npy", "store": "far", "dtype": array.dtype.text(), "shape": array.shape,
    });
    if ours {
        metadata["size"] = file.len().into();
        metadata["hash"] = content_hash([&file[..]]).into();
        metadata["offset"] = segments[0].len().into();
        metadata["fortran_order"] = (array.is_f_contiguous() && !array.is_c_contiguous()).into();
    }
    NpyRef::from_json(&metadata, link(store)).unwrap()
}

fn bytes(asked: &[Range<u64>]) -> u64 {
    asked.iter().map(|r| r.end - r.start).sum()
}

fn rows(range: Range<usize>) -> Selection {
    Selection::rows(range, usize::MAX)
}

#[test]
fn a_hundredth_of_an_array_is_one_request_of_its_own_bytes() {
    let store = Far::new();
    for order in [Order::C, Order::F] {
        let array = counted(&[10_000, 100], order);
        let r = stored(&store, &array, true);
        let (selection, part) = match order {
            Order::C => ([rows(5000..5100), Selection::All], 100 * 100 * 4),
            Order::F => ([Selection::All, rows(50..51)], 10_000 * 4),
        };
        let found = r.read_part(&selection).unwrap().unwrap();
        let asked = store.asked();
        assert_eq!((asked.len(), bytes(&asked)), (1, part), "{order:?}");
        let expected = array.to_ndarray::<u32>().unwrap();
        let first = found.to_ndarray::<u32>().unwrap();
        let wanted = match order {
            Order::C => expected[[5000, 0]],
            Order::F => expected[[0, 50]],
        };
        assert_eq!(first[[0, 0]], wanted);
    }
}

#[test]
fn without_our_keys_the_header_comes_along_and_is_kept() {
    let store = Far::new();
    let r = stored(&store, &counted(&[10_000, 100], Order::C), false);
    let part = |range| [rows(range), Selection::All];
    r.read_part(&part(5000..5100)).unwrap().unwrap();
    let asked = store.asked();
    assert_eq!(asked.len(), 2, "the header and the rows, together");
    assert!(bytes(&asked) <= 40_000 * 12 / 10);
    r.read_part(&part(7000..7100)).unwrap().unwrap();
    assert_eq!(store.asked(), [128 + 2_800_000..128 + 2_840_000]);
    // Near the start one request has both.
    let r = stored(&store, &counted(&[10_000, 100], Order::C), false);
    r.read_part(&part(0..100)).unwrap().unwrap();
    assert_eq!(store.asked(), [0..40_128]);
}

#[test]
fn a_wrong_guess_about_the_order_costs_one_request_more() {
    let store = Far::new();
    let array = counted(&[1000, 1000], Order::F);
    let r = stored(&store, &array, false);
    let part = [rows(500..505), Selection::rows(3..5, 1000)];
    let found = r.read_part(&part).unwrap().unwrap();
    let expected = array.to_ndarray::<u32>().unwrap();
    assert_eq!(
        found.to_ndarray::<u32>().unwrap()[[4, 1]],
        expected[[504, 4]]
    );
    assert!(store.asked().len() <= 4);
}

#[test]
fn scattered_rows_are_read_apart_and_near_ones_together() {
    let store = Far::new();
    let array = counted(&[100_000, 25], Order::C);
    let r = stored(&store, &array, true);
    let found = r.read_rows_at(&[90_000, 5, 6, 50_000, 5]).unwrap();
    let first: Vec<u32> = found.to_ndarray::<u32>().unwrap().column(0);
    assert_eq!(first, [2_250_000, 125, 150, 1_250_000, 125]);
    let asked = store.asked();
    assert_eq!((asked.len(), bytes(&asked)), (3, 400), "{asked:?}");
    // Every second row: one range, gaps and all.
    r.read_part(&[
        Selection::Range {
            start: 10,
            step: 2,
            count: 50,
        },
        Selection::All,
    ])
    .unwrap()
    .unwrap();
    assert_eq!(store.asked(), [128 + 1000..128 + 1000 + 9900]);
}

trait Column {
    fn column(&self, i: usize) -> Vec<u32>;
}

impl Column for ndarray::ArrayD<u32> {
    fn column(&self, i: usize) -> Vec<u32> {
        (0..self.shape()[0]).map(|row| self[[row, i]]).collect()
    }
}

#[test]
fn blocks_of_rows_are_read_one_ahead() {
    let store = Far::new();
    for (order, requests) in [(Order::C, 10), (Order::F, 10 * 4)] {
        let array = counted(&[100_000, 4], order);
        let r = stored(&store, &array, true);
        let mut blocks = r.iter_rows(10_000).unwrap();
        let first = blocks.next().unwrap().unwrap();
        assert_eq!(first.shape, [10_000, 4]);
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(
            store.asked.lock().unwrap().len(),
            2 * requests / 10,
            "one more is read, not two"
        );
        let rest: Vec<Array> = blocks.map(Result::unwrap).collect();
        assert_eq!(rest.len(), 9);
        assert!(rest[8].same(&r.read_rows(90_000..100_000).unwrap()));
        assert!(store.asked().len() >= requests);
        assert!(!r.is_loaded());
    }
    // Rows of many columns in Fortran order lie scattered: read whole, once.
    let array = counted(&[1000, 1000], Order::F);
    let r = stored(&store, &array, true);
    assert_eq!(r.iter_rows(1).unwrap().count(), 1000);
    assert_eq!(store.asked().len(), 1);
    assert!(!r.is_loaded(), "the copy belongs to the iteration");
}

#[test]
fn an_error_ends_the_blocks() {
    let store = Far::new();
    let array = counted(&[100_000, 4], Order::C);
    let r = stored(&store, &array, true);
    let file = npy::encode(&array).unwrap().concat();
    store.write("a.npy", &file[..1_000_000]);
    let blocks: Vec<_> = r.iter_rows(10_000).unwrap().collect();
    assert_eq!(blocks.len(), 7);
    let error = blocks[6].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptObject);
    assert!(
        error.message().contains("1000000 bytes") && error.message().contains("1600128"),
        "{error}"
    );
}

#[test]
fn an_array_that_was_cut_replaced_or_lost_is_named_with_its_row() {
    let array = counted(&[1000, 10], Order::C);
    let file = npy::encode(&array).unwrap().concat();
    let other = npy::encode(&counted(&[10, 1000], Order::C))
        .unwrap()
        .concat();
    let mut flipped = file.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let grown = [&file[..], b"more"].concat();
    let origin = Origin::new(
        Arc::new(|e: Error, row| e.table("lab", "scan").key(format!("id={row}"))),
        7,
    );
    for ours in [true, false] {
        for (name, content) in [
            ("cut", Some(file[..5000].to_vec())),
            ("another shape", Some(other.clone())),
            ("another content", Some(flipped.clone())),
            ("grown", Some(grown.clone())),
            ("lost", None),
        ] {
            // Without hash and size, only shape, type and length can be compared.
            if !ours && matches!(name, "another content" | "grown") {
                continue;
            }
            let store = Far::new();
            let r = stored(&store, &array, ours).from_row(Some(origin.clone()));
            match &content {
                Some(content) => store.write("a.npy", content),
                None => drop(store.inner.delete("a.npy").unwrap()),
            }
            let kind = match content {
                Some(_) => ErrorKind::CorruptObject,
                None => ErrorKind::MissingObject,
            };
            for error in [
                r.read().unwrap_err(),
                r.verify(&Silent).unwrap_err(),
                read_stacked(&[&r, &r], 2, None, &Silent).unwrap_err(),
            ] {
                assert_eq!(error.kind(), kind, "{name}: {error}");
                assert_eq!(error.place().table.as_deref(), Some("scan"), "{name}");
                assert_eq!(error.place().key.as_deref(), Some("id=7"), "{name}");
                assert_eq!(error.place().path.as_deref(), Some("a.npy"), "{name}");
            }
            if matches!(name, "cut" | "lost") {
                let error = r.read_rows(900..950).unwrap_err();
                assert_eq!(
                    (error.kind(), error.place().key.as_deref()),
                    (kind, Some("id=7"))
                );
            }
        }
        let store = Far::new();
        stored(&store, &array, ours).verify(&Silent).unwrap();
    }
}

#[test]
fn metadata_and_headers_that_lie_ask_for_no_memory() {
    let store = Far::new();
    let array = counted(&[100, 10], Order::C);
    stored(&store, &array, true);
    let huge = 1u64 << 40;
    for shape in [
        serde_json::json!([huge, 10]),
        serde_json::json!([huge * 1000]),
    ] {
        for ours in [true, false] {
            let mut metadata = serde_json::json!({
                "path": "a.npy", "store": "far", "dtype": "uint32", "shape": shape,
            });
            if ours {
                metadata["offset"] = 128.into();
                metadata["fortran_order"] = false.into();
            }
            let r = NpyRef::from_json(&metadata, link(&store)).unwrap();
            let mut selections = vec![Selection::All; r.ndim()];
            for wanted in [
                rows(1 << 38..1 << 39),
                Selection::Range {
                    start: 0,
                    step: 2,
                    count: 1 << 38,
                },
                Selection::Range {
                    start: 0,
                    step: 1 << 20,
                    count: 1 << 19,
                },
                Selection::Indices(vec![5, 1 << 38]),
            ] {
                selections[0] = wanted;
                assert_eq!(
                    r.read_selection(&selections).unwrap_err().kind(),
                    ErrorKind::CorruptObject
                );
            }
            assert_eq!(r.read().unwrap_err().kind(), ErrorKind::CorruptObject);
            let first = r
                .iter_rows(1 << 38)
                .and_then(|mut blocks| blocks.next().unwrap());
            assert_eq!(first.unwrap_err().kind(), ErrorKind::CorruptObject);
        }
    }
}

#[test]
fn many_arrays_are_read_into_one() {
    let store = Far::new();
    for order in [Order::C, Order::F] {
        for ours in [true, false] {
            let array = counted(&[30, 20], order);
            let r = stored(&store, &array, ours);
            let other = stored(&store, &array, ours);
            other.load().unwrap();
            let found = read_stacked(&[&r, &other, &r], 4, Some(1000), &Silent)
                .unwrap()
                .unwrap();
            assert_eq!(found.shape, [3, 30, 20]);
            let found = found.to_ndarray::<u32>().unwrap();
            let expected = array.to_ndarray::<u32>().unwrap();
            assert!(
                (0..3).all(|i| found[[i, 29, 7]] == expected[[29, 7]] && found[[i, 0, 19]] == 19)
            );
        }
    }
    assert!(read_stacked(&[], 4, None, &Silent).unwrap().is_none());
    let a = stored(&store, &counted(&[3], Order::C), true);
    let b = stored(&store, &counted(&[4], Order::C), true);
    assert!(read_stacked(&[&a, &b], 4, None, &Silent).unwrap().is_none());
}

// -- open files --------------------------------------------------------------------------------------------------------

fn noise(size: usize) -> Vec<u8> {
    let mut x = 1u32;
    let next = |_| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    };
    (0..size).map(next).collect()
}

#[test]
fn an_object_of_another_size_than_recorded_is_an_error_at_once() {
    let store = Far::new();
    store.write("o", &noise(1000));
    let metadata = serde_json::json!({"path": "o", "size": 2000, "is_dir": false});
    let r = ObjectRef::from_json(&metadata, link(&store)).unwrap();
    let error = r.open(None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::CorruptObject);
    assert!(error.message().contains("1000") && error.message().contains("2000"));
    let unchecked = Far::with(false);
    unchecked.write("o", &noise(1000));
    let r = ObjectRef::from_json(&metadata, link(&unchecked)).unwrap();
    assert_eq!(r.open(None).unwrap().size, 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn an_open_object_reads_like_a_file(
        size in 0usize..3_000_000,
        steps in proptest::collection::vec((0u64..3_200_000, 0usize..600_000), 1..12),
    ) {
        let store = Far::new();
        let content = noise(size);
        store.write("o", &content);
        let mut reader = store.open("o").unwrap();
        let mut file = std::io::Cursor::new(&content);
        for (at, length) in steps {
            reader.seek(SeekFrom::Start(at)).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            let (mut a, mut b) = (Vec::new(), Vec::new());
            (&mut reader).take(length as u64).read_to_end(&mut a).unwrap();
            (&mut file).take(length as u64).read_to_end(&mut b).unwrap();
            prop_assert!(a == b);
            prop_assert_eq!(reader.stream_position().unwrap(), file.stream_position().unwrap());
        }
    }
}

// -- verification and downloads ----------------------------------------------------------------------------------------

#[derive(Default)]
struct Counting(Mutex<(u64, u64)>);

impl Progress for Counting {
    fn begin(&self, _phase: &str, total: Option<u64>) {
        self.0.lock().unwrap().1 = total.unwrap_or(0);
    }
    fn advance(&self, units: u64) {
        self.0.lock().unwrap().0 += units;
    }
}

struct Stopped;

impl Progress for Stopped {
    fn interrupted(&self) -> bool {
        true
    }
}

fn object(store: &Arc<Far>, content: &[u8]) -> ObjectRef {
    store.write("_schema/o.bin", content);
    let metadata = serde_json::json!({
        "path": "_schema/o.bin", "size": content.len(), "hash": content_hash([content]), "is_dir": false,
    });
    ObjectRef::from_json(&metadata, link(store)).unwrap()
}

#[test]
fn a_download_appears_whole_and_right_or_not_at_all() {
    let store = Far::new();
    let content = noise(40 << 20);
    let r = object(&store, &content);
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("copy.bin");
    std::fs::write(&target, b"before").unwrap();
    let progress = Counting::default();
    r.download(&target, None, false, &progress).unwrap();
    assert!(std::fs::read(&target).unwrap() == content);
    assert_eq!(*progress.0.lock().unwrap(), (40 << 20, 40 << 20));

    std::fs::write(&target, b"before").unwrap();
    let mut damaged = content.clone();
    damaged[30 << 20] ^= 1;
    for wrong in [
        damaged,
        content[..1000].to_vec(),
        [&content[..], b"x"].concat(),
    ] {
        store.write("_schema/o.bin", &wrong);
        let error = r.download(&target, None, false, &Silent).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptObject);
        assert_eq!(
            r.verify(&Silent).unwrap_err().kind(),
            ErrorKind::CorruptObject
        );
    }
    store.write("_schema/o.bin", &content);
    let error = r.download(&target, None, false, &Stopped).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(
        r.verify(&Stopped).unwrap_err().kind(),
        ErrorKind::Interrupted
    );
    assert_eq!(std::fs::read(&target).unwrap(), b"before");
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing else is left"
    );

    let unchecked = Far::with(false);
    let r = object(&unchecked, &content);
    unchecked.write("_schema/o.bin", b"other");
    r.download(&target, None, false, &Silent).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"other");
}

#[test]
fn verification_reads_in_pieces() {
    let store = Far::new();
    let r = object(&store, &noise(40 << 20));
    let progress = Counting::default();
    r.verify(&progress).unwrap();
    let asked = store.asked();
    assert!(asked.iter().all(|r| r.end - r.start <= 8 << 20) && bytes(&asked) == 40 << 20);
    assert_eq!(*progress.0.lock().unwrap(), (40 << 20, 40 << 20));
}

#[test]
fn a_folder_is_compared_with_its_manifest_and_the_manifest_with_the_row() {
    let store = Far::new();
    let files = [("a", noise(10)), ("sub/b", noise(2000))];
    let entries: Vec<_> = files
        .iter()
        .map(|(path, content)| {
            store.write(&format!("f/{path}"), content);
            serde_json::json!({"path": path, "size": content.len(), "hash": content_hash([&content[..]])})
        })
        .collect();
    let manifest = |files: &[serde_json::Value]| {
        serde_json::json!({"files": files, "total_size": 2010, "item_count": 2, "created": "now"})
            .to_string()
    };
    store.write("f.manifest.json", manifest(&entries).as_bytes());
    let metadata = serde_json::json!({"path": "f", "size": 2010, "item_count": 2, "is_dir": true});
    let r = ObjectRef::from_json(&metadata, link(&store)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    r.verify(&Silent).unwrap();
    r.download(dir.path(), None, true, &Silent).unwrap();
    assert!(std::fs::read(dir.path().join("sub/b")).unwrap() == files[1].1);

    let out = dir.path().join("out");
    let broken = |kind| {
        assert_eq!(r.verify(&Silent).unwrap_err().kind(), kind);
        assert_eq!(
            r.download(&out, None, true, &Silent).unwrap_err().kind(),
            kind
        );
    };
    store.write("f/sub/b", &noise(2000)[..1999]);
    broken(ErrorKind::CorruptObject);
    let mut other = noise(2000);
    other[0] ^= 1;
    store.write("f/sub/b", &other);
    broken(ErrorKind::CorruptObject);
    assert!(
        r.download(&out.join("b"), Some("sub/b"), false, &Silent)
            .is_err()
    );
    store.inner.delete("f/sub/b").unwrap();
    broken(ErrorKind::MissingObject);
    assert!(!out.join("sub/b").exists());
    // A manifest that forgot the file does not hide the loss.
    store.write("f.manifest.json", manifest(&entries[..1]).as_bytes());
    let error = r.verify(&Silent).unwrap_err();
    assert!(
        error.message().contains("1 files") && error.message().contains("2"),
        "{error}"
    );
}
