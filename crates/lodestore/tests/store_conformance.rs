//! One suite for every store: what `Store` promises, claimed once, run on each implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use lodestore::codec::{Manifest, Put, PutPath, PutSource, content_hash};
use lodestore::progress::{Progress, Silent};
use lodestore::store::{
    self, RemoteStore, Store, StoreOptions, StoreSet, StoreSpec, fault::Fault, fault::FaultStore,
};
use lodestore::{ErrorKind, row};

#[path = "common/plugin.rs"]
mod plugin;
use plugin::Drawer;

/// A store under test, and the directory that lives as long.
struct Fixture {
    store: Arc<dyn Store>,
    /// Its location in the bucket, to be emptied.
    location: Option<String>,
    _dir: tempfile::TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if self.location.is_some() {
            for path in paths(&*self.store) {
                let _ = self.store.delete(&path);
            }
        }
    }
}

fn stores() -> Vec<Fixture> {
    let file = |options: StoreOptions| {
        let dir = tempfile::tempdir().unwrap();
        let spec = StoreSpec::file("main", dir.path().join("objects").to_str().unwrap());
        Fixture {
            store: store::open(&spec, &options).unwrap(),
            location: None,
            _dir: dir,
        }
    };
    let memory = |options: StoreOptions| Fixture {
        store: store::open(&StoreSpec::memory("main"), &options).unwrap(),
        location: None,
        _dir: tempfile::tempdir().unwrap(),
    };
    let plugin = |options: StoreOptions| Fixture {
        store: Arc::new(
            RemoteStore::plugin(StoreSpec::memory("main"), options, Arc::<Drawer>::default())
                .unwrap(),
        ),
        location: None,
        _dir: tempfile::tempdir().unwrap(),
    };
    let mut stores = vec![
        file(StoreOptions::default()),
        file(StoreOptions {
            fsync: false,
            workers: 1,
            ..StoreOptions::default()
        }),
        memory(StoreOptions::default()),
        // Everything in parts, one request at a time.
        memory(StoreOptions {
            multipart_size: 4,
            requests_in_flight: 1,
            bytes_in_flight: 1,
            ..StoreOptions::default()
        }),
        plugin(StoreOptions::default()),
        plugin(StoreOptions {
            multipart_size: 4,
            requests_in_flight: 1,
            bytes_in_flight: 1,
            ..StoreOptions::default()
        }),
    ];
    stores.extend(s3());
    stores
}

/// The server that `LODE_TEST_S3` names, at a location of its own.
fn s3() -> Option<Fixture> {
    let Ok(text) = std::env::var("LODE_TEST_S3") else {
        eprintln!("SKIPPED: no LODE_TEST_S3");
        return None;
    };
    let mut spec: serde_json::Value = serde_json::from_str(&text).unwrap();
    let location = format!("conformance/{:016x}", rand::random::<u64>());
    spec["location"] = location.clone().into();
    let spec = StoreSpec::from_json("main", spec.as_object().unwrap()).unwrap();
    Some(Fixture {
        store: store::open(&spec, &StoreOptions::default()).unwrap(),
        location: Some(location),
        _dir: tempfile::tempdir().unwrap(),
    })
}

fn fresh(path: &str, content: &[u8]) -> Put {
    Put::segments(
        "main",
        PutPath::Fresh(path.into()),
        vec![Bytes::copy_from_slice(content)],
    )
}

fn hashed(content: &[u8]) -> Put {
    let path = format!("_hash/lab/{}", content_hash([content]));
    Put::segments(
        "main",
        PutPath::Hash(path),
        vec![Bytes::copy_from_slice(content)],
    )
}

fn put(store: &dyn Store, put: &Put) -> lodestore::store::PutOutcome {
    store.put(put, &Silent).unwrap()
}

fn paths(store: &dyn Store) -> Vec<String> {
    store
        .list("")
        .unwrap()
        .into_iter()
        .map(|f| f.path)
        .collect()
}

fn folder(dir: &Path) -> std::path::PathBuf {
    let source = dir.join("source");
    std::fs::create_dir_all(source.join("sub")).unwrap();
    std::fs::write(source.join("a.bin"), b"12345").unwrap();
    std::fs::write(source.join("sub/b.bin"), b"678").unwrap();
    source
}

#[test]
fn what_is_put_is_read_whole_by_range_and_by_seeking() {
    for f in stores() {
        let s = &*f.store;
        let outcome = put(
            s,
            &fresh("_schema/lab/t/id=1/o_x.bin", b"0123456789").recording_hash("hash"),
        );
        assert_eq!(
            (outcome.size, outcome.created, outcome.fresh),
            (10, true, true)
        );
        assert_eq!(outcome.hash, Some(content_hash([&b"0123456789"[..]])));
        let path = outcome.path;
        assert_eq!(s.read(&path).unwrap(), "0123456789");
        assert_eq!(s.read_range(&path, 2..5).unwrap(), "234");
        assert_eq!(s.read_range(&path, 8..50).unwrap(), "89");
        assert_eq!(s.read_range(&path, 50..60).unwrap(), "");
        assert_eq!(s.read_range(&path, 5..u64::MAX).unwrap(), "56789");
        let mut reader = s.open(&path).unwrap();
        reader.seek(SeekFrom::Start(7)).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "789");
        let head = s.head(&path).unwrap().unwrap();
        assert_eq!((head.size, head.is_dir), (10, false));
        assert!(head.modified.unwrap() > 1.6e9);
    }
}

#[test]
fn segments_are_written_one_after_the_other() {
    for f in stores() {
        let segments = vec![
            Bytes::from_static(b"head"),
            Bytes::new(),
            Bytes::from(vec![7; 3 << 20]),
        ];
        let expected = content_hash(segments.iter().map(|s| &s[..]));
        let one = Put::segments("main", PutPath::Fresh("_schema/a".into()), segments)
            .recording_hash("hash");
        let outcome = put(&*f.store, &one);
        assert_eq!(outcome.hash, Some(expected));
        let content = f.store.read("_schema/a").unwrap();
        assert_eq!(
            (content.len(), &content[..5]),
            ((3 << 20) + 4, &b"head\x07"[..])
        );
    }
}

#[test]
fn a_missing_object_is_named_with_its_store() {
    for f in stores() {
        let s = &*f.store;
        for error in [
            s.read("_schema/none").unwrap_err(),
            s.read_range("_schema/none", 0..1).unwrap_err(),
            s.open("_schema/none").err().unwrap(),
            s.download("_schema/none", &f._dir.path().join("x"))
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::MissingObject);
            assert_eq!(error.place().store.as_deref(), Some("main"));
            assert_eq!(error.place().path.as_deref(), Some("_schema/none"));
        }
        assert!(s.head("_schema/none").unwrap().is_none());
        assert!(s.list("_schema/none").unwrap().is_empty());
        assert!(!s.delete("_schema/none").unwrap());
        assert_eq!(s.delete_prefix("_schema/none").unwrap(), 0);
    }
}

#[test]
fn equal_contents_are_one_object() {
    for f in stores() {
        let s = &*f.store;
        assert!(put(s, &hashed(b"hello")).created);
        assert!(!put(s, &hashed(b"hello")).created);
        // Also within one call.
        let outcomes = s
            .put_many(&[hashed(b"new"), hashed(b"hello"), hashed(b"new")], &Silent)
            .unwrap();
        assert_eq!(
            outcomes.iter().map(|o| o.created).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert_eq!(outcomes[2].size, 3);
        assert_eq!(paths(s).len(), 2);
    }
}

#[test]
fn a_damaged_object_is_replaced_when_its_content_is_put_again() {
    for f in stores() {
        let s = &*f.store;
        let path = put(s, &hashed(b"hello")).path;
        s.put_bytes(&path, b"he").unwrap();
        assert!(put(s, &hashed(b"hello")).created);
        assert_eq!(s.read(&path).unwrap(), "hello");
    }
}

#[test]
fn a_fresh_path_that_is_taken_is_an_error_and_the_object_stays() {
    for f in stores() {
        let s = &*f.store;
        put(s, &fresh("_schema/a", b"first"));
        let error = s.put(&fresh("_schema/a", b"second"), &Silent).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert_eq!(s.read("_schema/a").unwrap(), "first");
    }
}

#[test]
fn many_puts_keep_their_order_and_all_arrive() {
    for f in stores() {
        let s = &*f.store;
        let puts: Vec<Put> = (0..200)
            .map(|i| fresh(&format!("_schema/lab/t/id={i}/o_{i}"), &[i as u8; 100]))
            .collect();
        let outcomes = s.put_many(&puts, &Silent).unwrap();
        for (i, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.path, puts[i].path.as_str());
            assert_eq!(s.read(&outcome.path).unwrap(), vec![i as u8; 100]);
        }
        assert!(s.put_many(&[], &Silent).unwrap().is_empty());
    }
}

#[test]
fn a_failed_call_takes_back_its_fresh_objects() {
    for f in stores() {
        let s = &*f.store;
        put(s, &fresh("_schema/taken", b"x"));
        let before = paths(s);
        let mut puts: Vec<Put> = (0..30)
            .map(|i| fresh(&format!("_schema/lab/t/id={i}/o"), b"y"))
            .collect();
        puts.push(fresh("_schema/taken", b"z"));
        assert!(s.put_many(&puts, &Silent).is_err());
        assert_eq!(paths(s), before);
    }
}

#[test]
fn an_interrupted_call_takes_back_its_fresh_objects() {
    struct AfterFive(AtomicUsize);
    impl Progress for AfterFive {
        fn advance(&self, _units: u64) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= 5
        }
    }
    for f in stores() {
        let puts: Vec<Put> = (0..30)
            .map(|i| fresh(&format!("_schema/lab/t/id={i}/o"), b"y"))
            .collect();
        let error = f
            .store
            .put_many(&puts, &AfterFive(AtomicUsize::new(0)))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(paths(&*f.store).is_empty());
    }
}

#[test]
fn discard_removes_fresh_objects_only() {
    for f in stores() {
        let s = &*f.store;
        let source = folder(f._dir.path());
        let of_folder = Put {
            store: "main".into(),
            path: PutPath::Fresh("_schema/folder".into()),
            source: PutSource::Folder(source),
            record_hash: None,
            size: None,
        };
        let outcomes = s
            .put_many(
                &[fresh("_schema/a", b"a"), hashed(b"shared"), of_folder],
                &Silent,
            )
            .unwrap();
        assert_eq!(paths(s).len(), 5);
        s.discard(&outcomes);
        assert_eq!(paths(s), [outcomes[1].path.clone()]);
    }
}

#[test]
fn a_folder_arrives_with_its_manifest() {
    for f in stores() {
        let s = &*f.store;
        let source = folder(f._dir.path());
        let one = Put {
            store: "main".into(),
            path: PutPath::Fresh("_schema/lab/t/id=1/o_abc".into()),
            source: PutSource::Folder(source),
            record_hash: None,
            size: Some(8),
        };
        let outcome = put(s, &one);
        assert_eq!((outcome.size, outcome.item_count), (8, Some(2)));
        let below: Vec<_> = s
            .list("_schema/lab/t/id=1/o_abc")
            .unwrap()
            .into_iter()
            .map(|m| (m.path, m.size))
            .collect();
        assert_eq!(
            below,
            [
                ("_schema/lab/t/id=1/o_abc/a.bin".into(), 5),
                ("_schema/lab/t/id=1/o_abc/sub/b.bin".into(), 3)
            ]
        );
        let manifest =
            Manifest::parse(&s.read("_schema/lab/t/id=1/o_abc.manifest.json").unwrap()).unwrap();
        assert_eq!((manifest.total_size, manifest.item_count), (8, 2));
        assert_eq!(manifest.files[1].path, "sub/b.bin");
        assert_eq!(manifest.files[1].hash, Some(content_hash([&b"678"[..]])));
        let head = s.head("_schema/lab/t/id=1/o_abc").unwrap().unwrap();
        assert_eq!((head.size, head.is_dir), (8, true));
        assert_eq!(
            s.list_dir("_schema/lab/t/id=1/o_abc").unwrap(),
            [("a.bin".into(), false), ("sub".into(), true)]
        );
        assert_eq!(
            s.read("_schema/lab/t/id=1/o_abc").unwrap_err().kind(),
            ErrorKind::IsADirectory
        );
        assert_eq!(s.delete_prefix("_schema/lab/t/id=1/o_abc").unwrap(), 2);
        assert_eq!(paths(s), ["_schema/lab/t/id=1/o_abc.manifest.json"]);
    }
}

#[test]
fn a_source_that_changed_since_it_was_measured_is_refused() {
    for f in stores() {
        let source = f._dir.path().join("file");
        std::fs::write(&source, b"longer than stated").unwrap();
        let one = Put {
            store: "main".into(),
            path: PutPath::Fresh("_schema/a".into()),
            source: PutSource::File(source),
            record_hash: Some("hash"),
            size: Some(3),
        };
        assert_eq!(
            f.store.put(&one, &Silent).unwrap_err().kind(),
            ErrorKind::Value
        );
        assert!(paths(&*f.store).is_empty());
    }
}

#[test]
fn local_files_are_copied_and_hashed() {
    for f in stores() {
        let source = f._dir.path().join("file");
        let content: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&source, &content).unwrap();
        let one = Put {
            store: "main".into(),
            path: PutPath::Fresh("_schema/a".into()),
            source: PutSource::File(source.clone()),
            record_hash: Some("hash"),
            size: Some(content.len() as u64),
        };
        assert_eq!(
            put(&*f.store, &one).hash,
            Some(content_hash([&content[..]]))
        );
        assert!(f.store.read("_schema/a").unwrap() == content);
        let gone = Put {
            source: PutSource::File(source.with_extension("gone")),
            path: PutPath::Fresh("_schema/b".into()),
            ..one
        };
        assert_eq!(
            f.store.put(&gone, &Silent).unwrap_err().kind(),
            ErrorKind::FileNotFound
        );
    }
}

#[test]
fn a_stream_appears_at_commit_and_not_before() {
    for f in stores() {
        let s = &*f.store;
        let mut writer = s.writer("_schema/lab/a").unwrap();
        writer.write_all(b"one ").unwrap();
        writer.write_all(b"two").unwrap();
        assert_eq!(writer.written(), 7);
        assert!(s.head("_schema/lab/a").unwrap().is_none());
        let outcome = writer.commit().unwrap();
        assert_eq!(
            (outcome.size, outcome.hash),
            (7, Some(content_hash([&b"one two"[..]])))
        );
        assert_eq!(s.read("_schema/lab/a").unwrap(), "one two");
        let mut writer = s.writer("_schema/lab/b").unwrap();
        writer.write_all(b"x").unwrap();
        writer.abort();
        let mut writer = s.writer("_schema/lab/c").unwrap();
        writer.write_all(b"x").unwrap();
        drop(writer);
        assert_eq!(paths(s), ["_schema/lab/a"]);
    }
}

#[test]
fn no_path_leaves_the_store() {
    for f in stores() {
        let s = &*f.store;
        for bad in ["../x", "/etc/passwd", "a/../../x", "", "a\0b"] {
            assert_eq!(s.read(bad).unwrap_err().kind(), ErrorKind::Value, "{bad:?}");
            assert_eq!(s.head(bad).unwrap_err().kind(), ErrorKind::Value, "{bad:?}");
            assert_eq!(
                s.delete(bad).unwrap_err().kind(),
                ErrorKind::Value,
                "{bad:?}"
            );
            assert_eq!(
                s.delete_prefix(bad).unwrap_err().kind(),
                ErrorKind::Value,
                "{bad:?}"
            );
            assert_eq!(
                s.put(&fresh(bad, b"x"), &Silent).unwrap_err().kind(),
                ErrorKind::Value,
                "{bad:?}"
            );
            assert_eq!(
                s.put_bytes(bad, b"x").unwrap_err().kind(),
                ErrorKind::Value,
                "{bad:?}"
            );
            assert_eq!(
                s.writer(bad).err().unwrap().kind(),
                ErrorKind::Value,
                "{bad:?}"
            );
        }
    }
}

#[test]
fn a_name_too_long_is_refused_before_anything_is_written() {
    for f in stores() {
        let long = format!("_schema/{}", "x".repeat(256));
        let error = f
            .store
            .put_many(&[fresh("_schema/ok", b"x"), fresh(&long, b"x")], &Silent)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(paths(&*f.store).is_empty());
    }
}

#[test]
fn download_replaces_a_local_file_whole() {
    for f in stores() {
        put(&*f.store, &fresh("_schema/a", b"new"));
        let target = f._dir.path().join("made/here/a.bin");
        f.store.download("_schema/a", &target).unwrap();
        std::fs::write(&target, b"an older and longer one").unwrap();
        f.store.download("_schema/a", &target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(
            std::fs::read_dir(target.parent().unwrap()).unwrap().count(),
            1
        );
    }
}

#[test]
fn deleting_tidies_up_to_the_location() {
    for f in stores() {
        let s = &*f.store;
        put(s, &fresh("_schema/lab/t/id=1/a", b"x"));
        put(s, &fresh("_schema/lab/t/id=2/a", b"x"));
        // SeaweedFS shows empty folders for a while.
        let at_once = f.location.is_none();
        assert!(s.delete("_schema/lab/t/id=1/a").unwrap());
        let below = s.list_dir("_schema/lab/t").unwrap();
        assert!(below.contains(&("id=2".to_owned(), true)));
        assert!(below.len() == 1 || !at_once);
        assert!(s.delete("_schema/lab/t/id=2/a").unwrap());
        assert!(s.list("").unwrap().is_empty());
        assert!(s.list_dir("").unwrap().is_empty() || !at_once);
        put(s, &fresh("_schema/lab/t/id=3/a", b"x"));
    }
}

#[test]
fn many_are_read_looked_for_and_deleted_in_order() {
    for f in stores() {
        let s = &*f.store;
        let puts: Vec<Put> = (0..50)
            .map(|i| fresh(&format!("_schema/lab/t/id={i}/o"), &[i; 10]))
            .collect();
        s.put_many(&puts, &Silent).unwrap();
        let mut wanted: Vec<&str> = puts.iter().map(|p| p.path.as_str()).collect();
        wanted.insert(7, "_schema/none");
        let read = s.read_many(&wanted);
        assert_eq!(read[8].as_ref().unwrap(), &[7; 10][..]);
        assert_eq!(read[50].as_ref().unwrap(), &[49; 10][..]);
        assert_eq!(
            read[7].as_ref().unwrap_err().kind(),
            ErrorKind::MissingObject
        );
        wanted[20] = "_schema/lab";
        let there = s.exist_many(&wanted).unwrap();
        let absent: Vec<usize> = (0..there.len()).filter(|i| !there[*i]).collect();
        assert_eq!(absent, [7]);
        let deleted = s.delete_many(&wanted);
        let kept: Vec<usize> = (0..51).filter(|i| !deleted[*i].as_ref().unwrap()).collect();
        assert_eq!(kept, [7, 20]);
        assert_eq!(paths(s), [puts[19].path.as_str()]);
    }
}

#[test]
fn large_objects_are_the_same_by_every_way_of_reading() {
    for f in stores() {
        let s = &*f.store;
        let content: Vec<u8> = (0..40_000_003_u32).map(|i| (i / 7 % 251) as u8).collect();
        let source = f._dir.path().join("large");
        std::fs::write(&source, &content).unwrap();
        let put = Put {
            store: "main".into(),
            path: PutPath::Fresh("_schema/large".into()),
            source: PutSource::File(source),
            record_hash: Some("hash"),
            size: Some(content.len() as u64),
        };
        let expected = content_hash([&content[..]]);
        assert_eq!(s.put(&put, &Silent).unwrap().hash.as_ref(), Some(&expected));
        assert!(s.read("_schema/large").unwrap() == content);
        let range = 1_000_000..30_000_000;
        assert!(
            s.read_range("_schema/large", range.clone()).unwrap() == content[1_000_000..30_000_000]
        );
        let target = f._dir.path().join("copy");
        s.download("_schema/large", &target).unwrap();
        assert!(std::fs::read(&target).unwrap() == content);
        let mut file = s.open("_schema/large").unwrap();
        let mut whole = Vec::new();
        file.read_to_end(&mut whole).unwrap();
        assert!(whole == content);
        for at in [
            0_i64,
            17,
            -3,
            39_000_000,
            1 << 20,
            (1 << 20) - 1,
            -20_000_000,
        ] {
            let to = match at < 0 {
                true => SeekFrom::End(at),
                false => SeekFrom::Start(at as u64),
            };
            let start = file.seek(to).unwrap() as usize;
            let mut piece = [0; 3];
            file.read_exact(&mut piece).unwrap();
            assert_eq!(piece, content[start..start + 3]);
        }
        // Content-addressed, from memory, twice.
        let halves = [
            Bytes::from(content.clone()).slice(..5),
            Bytes::from(content).slice(5..),
        ];
        let path = PutPath::Hash(format!("_hash/lab/{expected}"));
        let put = Put::segments("main", path, halves.to_vec()).recording_hash("hash");
        let outcome = s.put(&put, &Silent).unwrap();
        assert_eq!((outcome.created, outcome.hash), (true, Some(expected)));
        assert!(!s.put(&put, &Silent).unwrap().created);
    }
}

#[test]
fn a_stream_of_many_parts_arrives_whole() {
    for f in stores() {
        let mut writer = f.store.writer("_schema/lab/stream").unwrap();
        let mut hasher = lodestore::codec::ContentHasher::new();
        for i in 0..40_u8 {
            let piece = vec![i; 1_000_001];
            hasher.update(&piece);
            writer.write_all(&piece).unwrap();
        }
        let outcome = writer.commit().unwrap();
        assert_eq!(outcome.size, 40 * 1_000_001);
        assert_eq!(outcome.hash, Some(hasher.finish()));
        assert_eq!(
            f.store
                .read_range("_schema/lab/stream", 39_000_039..39_000_041)
                .unwrap(),
            [39, 39][..]
        );
        let mut writer = f.store.writer("_schema/lab/none").unwrap();
        writer.write_all(&[0; 20_000_000]).unwrap();
        writer.abort();
        f.store
            .writer("_schema/lab/empty")
            .unwrap()
            .commit()
            .unwrap();
        assert_eq!(f.store.read("_schema/lab/empty").unwrap(), "");
        assert_eq!(
            paths(&*f.store),
            ["_schema/lab/empty", "_schema/lab/stream"]
        );
    }
}

#[test]
fn every_character_of_a_key_value_arrives() {
    for f in stores() {
        let s = &*f.store;
        let names = [
            "a b",
            "a+b",
            "a%2Fb",
            "100%",
            "é日\u{1F600}",
            "x=1&y=2",
            "#",
            "a;b,c",
            "..a",
            "a..",
            "~",
            "'\"`",
            "a\u{1}b",
            "tab\tnew\nline",
            "{a}[b]^",
            "@:!$",
            "\u{7f}",
            "<>",
            " a ",
        ];
        let puts: Vec<Put> = names
            .iter()
            .map(|name| fresh(&format!("_schema/lab/t/k={name}/o_x"), name.as_bytes()))
            .collect();
        s.put_many(&puts, &Silent).unwrap();
        let mut expected: Vec<&str> = puts.iter().map(|p| p.path.as_str()).collect();
        expected.sort();
        assert_eq!(paths(s), expected);
        let mut folders: Vec<(String, bool)> =
            names.iter().map(|n| (format!("k={n}"), true)).collect();
        folders.sort();
        assert_eq!(s.list_dir("_schema/lab/t").unwrap(), folders);
        for (name, put) in names.iter().zip(&puts) {
            assert_eq!(
                s.read(put.path.as_str()).unwrap(),
                name.as_bytes(),
                "{name:?}"
            );
        }
        assert_eq!(s.delete_prefix("_schema/lab").unwrap(), names.len() as u64);
        assert!(paths(s).is_empty());
    }
}

#[test]
fn concurrent_writers_of_one_content_all_succeed() {
    for f in stores() {
        let s = &*f.store;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for i in 0..20_u8 {
                        put(s, &hashed(&[i; 1000]));
                        if i % 5 == 0 {
                            // A collector that removes the object and its folder between our steps.
                            let _ = s.delete(hashed(&[i; 1000]).path.as_str());
                        }
                    }
                });
            }
        });
        for i in (0..20_u8).filter(|i| i % 5 != 0) {
            assert_eq!(
                s.read(hashed(&[i; 1000]).path.as_str()).unwrap(),
                vec![i; 1000]
            );
        }
    }
}

#[test]
fn staged_folders_are_sealed_with_a_manifest_and_aborted_without_trace() {
    use lodestore::store::StagedObject;
    for f in stores() {
        let key = row! { id: 1 };
        let staged =
            StagedObject::new(f.store.clone(), "lab", "rec", &key, "frames", ".zarr").unwrap();
        assert!(staged.path().starts_with("_schema/lab/rec/id=1/frames_"));
        assert!(staged.path().ends_with(".zarr"));
        assert_eq!(
            staged.finish(&Silent).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        staged.set("c/0/0", b"chunk").unwrap();
        staged.set("zarr.json", b"{}").unwrap();
        staged.set("zarr.json", b"{ }").unwrap();
        staged.set("gone", b"x").unwrap();
        assert!(staged.delete("gone").unwrap());
        assert_eq!(staged.get("c/0/0").unwrap().unwrap(), "chunk");
        assert!(staged.get("c/0/1").unwrap().is_none());
        assert_eq!(
            staged.set("../x", b"").unwrap_err().kind(),
            ErrorKind::Value
        );
        assert_eq!(
            staged.list().unwrap(),
            [("c/0/0".to_owned(), 5), ("zarr.json".to_owned(), 3)]
        );
        let metadata = staged.finish(&Silent).unwrap();
        assert_eq!(metadata["size"], 8);
        assert_eq!(metadata["item_count"], 2);
        assert_eq!(metadata["ext"], ".zarr");
        assert_eq!(metadata["is_dir"], true);
        assert_eq!(metadata["store"], "main");
        let keys: Vec<_> = metadata.as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            keys,
            [
                "path",
                "store",
                "size",
                "ext",
                "is_dir",
                "item_count",
                "timestamp"
            ]
        );
        let manifest = f
            .store
            .read(&format!("{}.manifest.json", staged.path()))
            .unwrap();
        assert_eq!(Manifest::parse(&manifest).unwrap().item_count, 2);
        put(&*f.store, &fresh("_schema/lab/rec/id=1/other_x", b"stays"));
        staged.abort().unwrap();
        assert_eq!(paths(&*f.store), ["_schema/lab/rec/id=1/other_x"]);

        let single = StagedObject::new(f.store.clone(), "lab", "rec", &key, "raw", "").unwrap();
        let mut writer = single.writer().unwrap();
        writer.write_all(b"hello").unwrap();
        writer.commit().unwrap();
        let metadata = single.finish(&Silent).unwrap();
        assert_eq!(
            (&metadata["size"], &metadata["ext"], &metadata["hash"]),
            (
                &5.into(),
                &serde_json::Value::Null,
                &"lvauakv4jmvhnolrtwiraf6fsi".into()
            )
        );
    }
}

#[test]
fn a_failing_put_leaves_nothing_behind() {
    for f in stores() {
        let faulty = FaultStore::new(f.store.clone(), Fault::Full, 3);
        let puts: Vec<Put> = (0..6)
            .map(|i| fresh(&format!("_schema/o{i}"), b"x"))
            .collect();
        let error = faulty.put_many(&puts, &Silent).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert!(error.to_string().contains("full"));
        assert_eq!(faulty.attempts(), 6);
        assert!(paths(&*f.store).is_empty());
        // A short write is found by who reads, and healed by who writes again.
        let short = FaultStore::new(f.store.clone(), Fault::ShortWrite, 0);
        let path = put(&short, &hashed(b"hello")).path;
        assert_eq!(f.store.read(&path).unwrap(), "he");
        put(&*f.store, &hashed(b"hello"));
        assert_eq!(f.store.read(&path).unwrap(), "hello");
    }
}

#[test]
fn a_trial_passes_and_leaves_nothing_behind() {
    for f in stores() {
        let before = f.store.list("_lode").unwrap();
        let trial = store::try_out(&StoreSet::of([f.store.clone()]), None);
        assert!(trial.passed(), "{trial:?}");
        let skipped = |s: &store::Step| matches!(s.outcome, store::Outcome::Skipped);
        assert!(trial.steps.len() == 7 && !trial.steps.iter().any(skipped));
        assert_eq!(f.store.list("_lode").unwrap(), before);
        assert_eq!(paths(&*f.store), [""; 0]);
    }
}

#[test]
fn a_trial_says_which_step_failed() {
    for (fault, steps) in [
        (Fault::CutBody, vec!["ranged get", "copy"]),
        (Fault::Unlistable, vec!["list"]),
    ] {
        for f in stores() {
            let faulty: Arc<dyn Store> = Arc::new(FaultStore::new(f.store.clone(), fault, 0));
            let trial = store::try_out(&StoreSet::of([faulty]), None);
            let failed: Vec<_> = trial
                .steps
                .iter()
                .filter(|s| matches!(s.outcome, store::Outcome::Failed(_)))
                .map(|s| s.name)
                .collect();
            assert_eq!(failed, steps, "{trial:?}");
            assert_eq!(f.store.list("_lode").unwrap(), []);
        }
    }
}

#[test]
fn visiting_shows_what_listing_does_and_ends_at_an_error() {
    for f in stores() {
        let s = &*f.store;
        let puts: Vec<_> = (0..20)
            .map(|i| fresh(&format!("_schema/lab/t/id={i}/o_x{i}"), b"x"))
            .collect();
        s.put_many(&puts, &Silent).unwrap();
        let mut seen = Vec::new();
        s.visit("_schema", &mut |file| {
            seen.push(file);
            Ok(())
        })
        .unwrap();
        seen.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(seen, s.list("_schema").unwrap());
        let mut count = 0;
        let ended = s.visit("_schema", &mut |_| {
            count += 1;
            Err(lodestore::Error::invalid("enough"))
        });
        assert_eq!((count, ended.unwrap_err().message()), (1, "enough"));
        let used = store::usage(s, &Silent).unwrap();
        assert_eq!(used.len(), 1);
        assert_eq!((used[0].objects, used[0].bytes), (20, 20));
        assert_eq!(used[0].table.as_deref(), Some("t"));
    }
}
