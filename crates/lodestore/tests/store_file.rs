//! What only a store in a directory can get wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;

use bytes::Bytes;
use lodestore::ErrorKind;
use lodestore::codec::{ObjectHandle, ObjectReader, Put, PutPath, content_hash};
use lodestore::progress::Silent;
use lodestore::store::{FileStore, Store, StoreOptions, StoreSpec};

fn store_at(dir: &std::path::Path) -> FileStore {
    FileStore::open(
        StoreSpec::file("main", dir.to_str().unwrap()),
        StoreOptions::default(),
    )
    .unwrap()
}

fn fresh(path: &str, content: &[u8]) -> Put {
    Put::segments(
        "main",
        PutPath::Fresh(path.into()),
        vec![Bytes::copy_from_slice(content)],
    )
}

/// Every file below a directory, Lodestore's own section included.
fn everything(dir: &std::path::Path) -> Vec<String> {
    let mut files: Vec<String> = walk(dir)
        .into_iter()
        .map(|p| p.strip_prefix(dir).unwrap().display().to_string())
        .collect();
    files.sort();
    files
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn links_do_not_lead_out_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    std::fs::create_dir_all(&root).unwrap();
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("secret"), b"secret").unwrap();
    symlink(&outside, root.join("link")).unwrap();
    symlink(outside.join("secret"), root.join("file")).unwrap();
    let store = store_at(&root);
    for path in ["link/secret", "file"] {
        assert_eq!(
            store.read(path).unwrap_err().kind(),
            ErrorKind::Value,
            "{path}"
        );
        assert_eq!(
            store.head(path).unwrap_err().kind(),
            ErrorKind::Value,
            "{path}"
        );
        assert!(store.local_path(path).is_none(), "{path}");
    }
    assert!(store.list("").unwrap().is_empty());
    assert!(store.list_dir("").unwrap().is_empty());
    assert!(store.put(&fresh("link/new", b"x"), &Silent).is_err());
    assert!(store.put(&fresh("link/deep/new", b"x"), &Silent).is_err());
    assert!(store.delete("link/secret").is_err());
    assert!(store.delete_prefix("link/sub").is_err());
    assert_eq!(everything(&outside), ["secret"]);
    assert!(!outside.join("deep").exists());
}

#[test]
fn links_inside_the_store_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("raw")).unwrap();
    std::fs::write(dir.path().join("raw/a"), b"a").unwrap();
    symlink("raw", dir.path().join("alias")).unwrap();
    let store = store_at(dir.path());
    assert_eq!(store.read("alias/a").unwrap(), "a");
    assert_eq!(store.list("alias").unwrap().len(), 1);
}

#[test]
fn no_temporary_is_left_and_permissions_follow_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_at(dir.path());
    let puts: Vec<Put> = (0..20)
        .map(|i| fresh(&format!("_schema/t/o{i}"), b"x"))
        .collect();
    store.put_many(&puts, &Silent).unwrap();
    assert!(store.put(&fresh("_schema/t/o1", b"x"), &Silent).is_err());
    assert_eq!(everything(dir.path()).len(), 20);
    let reference = dir.path().join("plain");
    std::fs::write(&reference, b"").unwrap();
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&dir.path().join("_schema/t/o1")), mode(&reference));
}

#[test]
fn stale_temporaries_are_swept_and_young_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let temp = dir.path().join("_lode/tmp");
    std::fs::create_dir_all(&temp).unwrap();
    let file = std::fs::File::create(temp.join("old")).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(90_000))
        .unwrap();
    std::fs::write(temp.join("young"), b"").unwrap();
    store_at(dir.path())
        .put(&fresh("a", b"x"), &Silent)
        .unwrap();
    assert_eq!(everything(&temp), ["young"]);
}

#[test]
fn an_absent_location_is_created_only_where_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("new/objects");
    let spec = StoreSpec::file("main", location.to_str().unwrap());
    let strict = StoreOptions {
        create_locations: false,
        ..StoreOptions::default()
    };
    let store = FileStore::open(spec.clone(), strict).unwrap();
    assert_eq!(
        store.put(&fresh("a", b"x"), &Silent).unwrap_err().kind(),
        ErrorKind::FileNotFound
    );
    let error = store.read("a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingObject);
    assert!(error.hint_text().unwrap().contains("mounted"));
    assert!(!location.exists());
    FileStore::open(spec, StoreOptions::default())
        .unwrap()
        .put(&fresh("a", b"x"), &Silent)
        .unwrap();
    assert!(location.join("a").exists());
}

#[test]
fn a_location_that_cannot_be_written_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("file");
    std::fs::write(&location, b"in the way").unwrap();
    let error = store_at(&location)
        .put(&fresh("a", b"x"), &Silent)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(error.place().store.as_deref(), Some("main"));
    assert_eq!(std::fs::read(&location).unwrap(), b"in the way");

    let closed = dir.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser writes everywhere; then there is nothing to refuse.
    if std::fs::write(closed.join("probe"), b"").is_err() {
        let error = store_at(&closed)
            .put(&fresh("a", b"x"), &Silent)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store);
        assert!(error.hint_text().unwrap().contains("permissions"));
    }
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn paths_and_urls_are_spelled_for_people_and_programs() {
    let store = Arc::new(
        FileStore::open(StoreSpec::file("main", "/data/x"), StoreOptions::default()).unwrap(),
    );
    assert_eq!(store.full_path("a/b"), "/data/x/a/b");
    assert_eq!(store.url("a/b"), "file:///data/x/a/b");
    assert_eq!(store.filepath("/data/x/raw/a").unwrap(), "raw/a");
    assert_eq!(
        store.filepath("/data/y").unwrap_err().kind(),
        ErrorKind::Value
    );
}

#[test]
fn a_content_seen_once_is_not_hashed_again_until_the_file_changes() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_at(dir.path());
    let content = vec![3; 100_000];
    let hash = content_hash([&content[..]]);
    store
        .put(
            &fresh("_schema/a", &content).recording_hash("hash"),
            &Silent,
        )
        .unwrap();
    assert!(store.is_verified("_schema/a", &hash));
    assert!(!store.is_verified("_schema/a", "other"));
    std::fs::write(dir.path().join("_schema/a"), vec![4; 100_000]).unwrap();
    assert!(!store.is_verified("_schema/a", &hash));
}

#[test]
fn lodestores_own_section_is_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_at(dir.path());
    store.put(&fresh("a", b"x"), &Silent).unwrap();
    std::fs::write(dir.path().join("_lode/store.json"), b"{}").unwrap();
    assert_eq!(store.list("").unwrap().len(), 1);
    assert_eq!(store.list_dir("").unwrap().len(), 1);
}
