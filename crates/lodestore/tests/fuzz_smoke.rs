//! Every reader of outside input, with vectors, mutations of them, and noise, for a second each. The same functions as
//! in `fuzz/`, which search for as long as one likes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../fuzz/entries.rs"]
mod entries;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Memory that any input may take: what a blob may declare, twice, and some.
const ANY: usize = 160 << 20;
/// Memory per byte of input: deflate expands up to 1032 times.
const PER_BYTE: usize = 2200;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which remembers how much a thread had at most.
struct Counting;

fn count(more: usize, less: usize) {
    // Not at the end of a thread, when these are gone.
    let _ = LIVE.try_with(|live| {
        live.set(live.get().saturating_add(more).saturating_sub(less));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: everything is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn try_one(name: &str, entry: entries::Entry, data: &[u8]) {
    let before = LIVE.get();
    PEAK.set(before);
    let outcome = catch_unwind(AssertUnwindSafe(|| entry(data)));
    let used = PEAK.get() - before;
    let input = || String::from_utf8_lossy(data).escape_debug().to_string();
    let hex = || data_encoding::HEXLOWER.encode(data);
    assert!(
        outcome.is_ok(),
        "`{name}` panicked at\n{}\n{}",
        input(),
        hex()
    );
    let allowed = ANY + PER_BYTE * data.len();
    assert!(
        used <= allowed,
        "`{name}` took {used} bytes for {} of\n{}\n{}",
        data.len(),
        input(),
        hex()
    );
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let text = |seeds: &[&str]| {
        seeds
            .iter()
            .map(|s| s.as_bytes().to_vec())
            .collect::<Vec<_>>()
    };
    match name {
        "blob" => {
            let all: serde_json::Value =
                serde_json::from_str(include_str!("vectors/blob_vectors.json")).unwrap();
            let vectors = all["vectors"].as_array().unwrap().iter();
            let hex = vectors
                .flat_map(|v| ["hex", "envelope_hex", "packed_hex"].map(|key| v[key].as_str()));
            hex.flatten()
                .map(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap())
                .filter(|bytes| bytes.len() < 4096)
                .chain([b"mYm\0A\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0".to_vec()])
                .collect()
        }
        "npy" => {
            let header = |text: &str, data: &[u8]| {
                let mut file = b"\x93NUMPY\x01\x00".to_vec();
                file.extend((text.len() as u16).to_le_bytes());
                file.extend(text.as_bytes());
                file.extend(data);
                file
            };
            let mut seeds = text(&[
                "float64",
                "<f8",
                "[('a', '<f8'), ('b', '<i4', (2, 3))]",
                "datetime64[ns]",
            ]);
            seeds.extend([
                header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n", &[1; 16]),
                header("{'descr': '>i4', 'fortran_order': True, 'shape': (2, 3), }\n", &[1; 24]),
                header("{'descr': [('a', '<f8'), ('b', 'S3')], 'fortran_order': False, 'shape': (), }\n", &[1; 11]),
                header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }\n", &[]),
                header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 18446744073709551615), }\n", &[]),
            ]);
            seeds
        }
        "definition" => text(&[
            "# comment\n-> Subject\n-> [nullable, unique] lab.Session.Part.proj(a='b')\nid : int32 auto_increment # x\n\
             ---\nx = null : <blob@store>\nk = 'a' : enum('a', \"b\")\nindex(a, b)\nunique index (x)\nd : decimal(8, 2)",
            "t = CURRENT_TIMESTAMP : datetime(6)",
            "name = \"it's\" : varchar(20) # :int32: comment",
            "<blob@>",
            "int32",
            ":<npy@s>:comment",
            "\"lab\".\"#species\"",
            "SessionTrial",
            "__stat__part",
        ]),
        "metadata" => {
            let mut npy = seeds("npy").remove(4);
            npy.splice(
                0..0,
                br#"{"path": "x", "dtype": "float64", "shape": [2], "size": 80, "store": ""}"#
                    .iter()
                    .copied()
                    .chain([b'\n']),
            );
            let mut seeds = text(&[
                r#"{"path": "folder", "store": "m", "size": 3, "ext": null, "is_dir": true, "item_count": 1, "timestamp": "x"}"#,
                "{\"path\": \"x\", \"size\": 3, \"hash\": \"abc\", \"is_dir\": false, \"url\": \"file:///x\"}\nabc",
                r#"{"files": [{"path": "a/b", "size": 3, "hash": "x"}], "total_size": 3, "item_count": 1, "created": "x"}"#,
                "{\"path\": \"folder\", \"is_dir\": true}\n{\"files\": [{\"path\": \"x\", \"size\": 9}], \"total_size\": 9, \"item_count\": 1}",
                r#"{"path": "x", "dtype": "float64", "shape": [4611686018427387904, 4]}"#,
                r#"{"path": "x", "dtype": "V", "shape": [4611686018427387904, 4]}"#,
            ]);
            seeds.push(npy);
            seeds
        }
        "config" => text(&[
            r#"{"database": {"host": "h", "port": 3306, "backend": "sqlite"}, "safemode": true, "display.limit": 3}"#,
            r#"{"stores": {"default": "m", "m": {"protocol": "file", "location": "/a", "subfolding": [2, 2],
                "partition_pattern": "{a}/{b}", "token_length": 8, "hash_prefix": "h", "schema_prefix": "s"}}}"#,
            r#"{"object_storage": {"default": "m", "stores": {"m": {"protocol": "s3", "bucket": "b", "endpoint": "e"}}}}"#,
            "sqlite:///tmp/x.db",
            "postgresql://user:p%40ss@host:5432/name?x=y",
            "database.port\n3306",
            "stores.m.subfolding\n[20, 20]",
        ]),
        "paths" => text(&[
            "_schema/lab/t/id=1/x_abc.npy",
            "../x",
            "a/./b\n.zarr",
            "abcdefghijklmnopqrstuvwxyz",
            "/nowhere/a",
            "C:\\x",
            "a%2Fb",
        ]),
        "query" => text(&[
            "number > 3 AND label LIKE '%x%' OR (day IS NULL)",
            "sum(number)",
            "number DESC",
            "KEY",
            "-number",
            "(number)",
            "document.a[1]:double",
            "'it''s'",
            "2024-02-30",
            "23:59:60",
            "1e999",
            "{\"a\": [1]}",
            "'unclosed",
            "((",
            "{}",
            "b1a1f2d0-0000-4000-8000-000000000000",
            "CASE WHEN number THEN 1 END",
            "2024-01-01T00:00:00.123456Z",
        ]),
        other => panic!("no seeds for `{other}`"),
    }
}

fn mutated(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut data = seeds.choose(random).unwrap().clone();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=data.len());
        let to = random.random_range(at..=data.len().min(at + 12));
        match random.random_range(0..7) {
            0 => data.truncate(at),
            1 => drop(data.drain(at..to)),
            2 => data
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|b| *b ^= 1 << random.random_range(0..8)),
            3 => data.iter_mut().skip(at).take(8).for_each(|b| *b = 0xff),
            4 => drop(
                data.splice(
                    at..to,
                    (0..random.random_range(0..9))
                        .map(|_| random.random())
                        .collect::<Vec<u8>>(),
                ),
            ),
            5 => {
                let other = seeds.choose(random).unwrap();
                let from = random.random_range(0..=other.len());
                data.truncate(at);
                data.extend(&other[from..]);
            }
            _ => {
                // Nesting, and repetition.
                let piece = data[at..to].repeat(random.random_range(2..400));
                data.splice(at..to, piece);
            }
        }
    }
    data
}

fn run(name: &str) {
    let (_, entry) = *entries::ENTRIES.iter().find(|(n, _)| *n == name).unwrap();
    let seeds = seeds(name);
    seeds.iter().for_each(|seed| try_one(name, entry, seed));
    let seconds = std::env::var("LODESTORE_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1.0);
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut random = StdRng::seed_from_u64(seconds.to_bits());
    let mut runner = TestRunner::deterministic();
    let (bytes, text) = (
        proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        "\\PC{0,60}",
    );
    let mut tried = 0;
    while start.elapsed() < limit {
        try_one(name, entry, &bytes.new_tree(&mut runner).unwrap().current());
        try_one(
            name,
            entry,
            text.new_tree(&mut runner).unwrap().current().as_bytes(),
        );
        for _ in 0..8 {
            try_one(name, entry, &mutated(&seeds, &mut random));
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
}

macro_rules! smoke {
    ($($name:ident),*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        #[test]
        fn every_entry_is_tried() {
            let names: Vec<&str> = entries::ENTRIES.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

smoke!(blob, npy, definition, metadata, config, paths, query);
