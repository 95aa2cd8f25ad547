//! Staged insert: an object written in place before its row; both stay or neither does (spec: stores §6).

use std::io::Write;

use lodestore::codec::ObjectRef;
use lodestore::definition::Tier;
use lodestore::gc::{self, GcOptions};
use lodestore::query::Query;
use lodestore::table::{InsertOptions, Table};
use lodestore::{ErrorKind, Row, row};

use super::support::Lab;

fn lab() -> (Lab, Table) {
    let lab = Lab::new();
    let table = lab.declare(
        "Stack",
        Tier::Manual,
        "id : int32\nname : varchar(20)\n---\nsize = 0 : int32\nframes = null : <object@>\nraw = null : <object@>\nx = null : <npy@>",
    );
    (lab, table)
}

fn key(id: i64) -> Row {
    row! { id: id, name: "a" }
}

fn frames(query: &Query) -> ObjectRef {
    query.one("frames").unwrap()
}

#[test]
fn a_folder_and_a_file_are_there_with_their_row() {
    let (lab, table) = lab();
    let mut staged = table.staged_insert(key(1)).unwrap();
    let folder = staged.object("frames", ".zarr").unwrap();
    folder.set("c/0/0", b"chunk").unwrap();
    folder.set("zarr.json", b"{}").unwrap();
    let mut file = staged.object("raw", "bin").unwrap().writer().unwrap();
    file.write_all(b"0123456789").unwrap();
    file.commit().unwrap();
    staged.row.set("size", 7); // not known before the object was written
    assert_eq!(table.count().unwrap(), 0, "the row comes last");
    staged.commit().unwrap();

    let (size, folder, raw): (i64, ObjectRef, ObjectRef) =
        table.one(["size", "frames", "raw"]).unwrap();
    assert_eq!(size, 7);
    assert_eq!(
        (folder.is_dir, folder.size, folder.item_count),
        (true, Some(7), Some(2))
    );
    assert_eq!(folder.ext.as_deref(), Some(".zarr"));
    assert_eq!(folder.read_sub(Some("c/0/0")).unwrap(), "chunk");
    folder.verify(&lodestore::progress::Silent).unwrap();
    assert_eq!(
        (raw.is_dir, raw.size, raw.ext.as_deref()),
        (false, Some(10), Some("bin"))
    );
    assert_eq!(raw.read().unwrap(), "0123456789");
    raw.verify(&lodestore::progress::Silent).unwrap();
    assert_eq!(
        lab.files().len(),
        4,
        "two files, the manifest, one file: {:?}",
        lab.files()
    );
}

#[test]
fn given_up_it_leaves_neither_row_nor_object() {
    let (lab, table) = lab();
    {
        let mut staged = table.staged_insert(key(1)).unwrap();
        staged
            .object("frames", "")
            .unwrap()
            .set("a/b", b"x")
            .unwrap();
        staged.object("raw", "").unwrap().set("c", b"x").unwrap();
        assert_eq!(lab.files().len(), 4, "written in place, each with its mark");
        // An error on the way drops it without commit; so does a panic.
    }
    assert_eq!((table.count().unwrap(), lab.files()), (0, vec![]));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut staged = table.staged_insert(key(1)).unwrap();
        staged.object("frames", "").unwrap().set("a", b"x").unwrap();
        panic!("in the middle");
    }));
    assert!(panicked.is_err());
    assert_eq!((table.count().unwrap(), lab.files()), (0, vec![]));
}

#[test]
fn a_row_that_is_refused_takes_its_object_along() {
    let (lab, table) = lab();
    let refused = |set: &dyn Fn(&mut Row)| {
        let mut staged = table.staged_insert(key(1)).unwrap();
        staged.object("frames", "").unwrap().set("a", b"x").unwrap();
        set(&mut staged.row);
        let error = staged.commit().unwrap_err();
        assert_eq!(
            (table.count().unwrap(), lab.files()),
            (0, vec![]),
            "{error}"
        );
        assert_eq!(error.place().table.as_deref(), Some("stack"), "{error}");
        error.kind()
    };
    assert_eq!(
        refused(&|row| _ = row.set("size", "large")),
        ErrorKind::Data
    );
    assert_eq!(
        refused(&|row| _ = row.set("sise", 1)),
        ErrorKind::UnknownKey
    );
    assert_eq!(
        refused(&|row| _ = row.set("x", "no array")),
        ErrorKind::Invalid
    );
}

#[test]
fn a_duplicate_is_refused_and_the_first_object_is_untouched() {
    let (lab, table) = lab();
    let stage = |content: &[u8]| {
        let mut staged = table.staged_insert(key(1))?;
        staged.object("frames", ".zarr")?.set("a", content)?;
        staged.commit()
    };
    stage(b"first").unwrap();
    let (before, path) = (lab.files(), frames(&table).path);
    assert_eq!(stage(b"second").unwrap_err().kind(), ErrorKind::Duplicate);
    assert_eq!((table.count().unwrap(), lab.files()), (1, before));
    assert_eq!(frames(&table).read_sub(Some("a")).unwrap(), "first");
    // The path of a key is never used twice, even after the row is gone.
    table.delete(Default::default()).unwrap();
    stage(b"third").unwrap();
    assert_ne!(frames(&table).path, path);
    assert_eq!(
        std::fs::read(lab.store().join(&path).join("a")).unwrap(),
        b"first"
    );
}

#[test]
fn what_is_not_there_is_no_object() {
    let (lab, table) = lab();
    let mut staged = table.staged_insert(key(1)).unwrap();
    staged.object("frames", "").unwrap();
    let error = staged.commit().unwrap_err();
    assert_eq!(
        (error.kind(), error.place().attribute.as_deref()),
        (ErrorKind::Invalid, Some("frames")),
        "{error}"
    );
    let mut staged = table.staged_insert(key(1)).unwrap();
    let object = staged.object("frames", "").unwrap();
    object.set("a", b"x").unwrap();
    assert!(object.delete("a").unwrap());
    assert!(staged.commit().is_err());
    assert_eq!((table.count().unwrap(), lab.files()), (0, vec![]));
    // Without a staged object it is an insert like any other.
    table.staged_insert(key(2)).unwrap().commit().unwrap();
    assert_eq!(table.count().unwrap(), 1);
}

#[test]
fn the_first_call_fixes_path_and_extension() {
    let (_lab, table) = lab();
    let mut staged = table.staged_insert(key(1)).unwrap();
    let first = staged.object("frames", ".zarr").unwrap();
    staged.row.set("name", "b");
    let again = staged.object("frames", ".other").unwrap();
    assert_eq!(first.path(), again.path());
    assert!(
        first
            .path()
            .starts_with("_schema/lab/stack/id=1/name=a/frames_"),
        "{}",
        first.path()
    );
    assert!(first.path().ends_with(".zarr"), "{}", first.path());
    // What the user gives for the attribute gives way to what was written.
    staged.row.set("frames", "/somewhere/else");
    first.set("a", b"x").unwrap();
    staged.commit().unwrap();
    let object = frames(&(&table & row! { name: "b" }));
    assert_eq!(
        (object.path.as_str(), object.ext.as_deref()),
        (first.path(), Some(".zarr"))
    );
}

#[test]
fn no_path_leads_out_of_the_object() {
    let (lab, table) = lab();
    let mut staged = table
        .staged_insert(row! { id: 1, name: "../../x" })
        .unwrap();
    let object = staged.object("frames", "").unwrap();
    assert!(
        object.path().split('/').all(|part| part != ".."),
        "{}",
        object.path()
    );
    for path in ["../x", "a/../../x", "/etc/x", "", "a//b", "a\0b", "."] {
        if let Ok(()) = object.set(path, b"x") {
            let files = lab.files();
            assert!(
                files.iter().all(|f| f.starts_with(object.path())),
                "{path:?}: {files:?}"
            );
        }
    }
    assert!(object.set("../x", b"x").is_err());
    assert!(object.set("a/../../x", b"x").is_err());
    assert!(object.get("../x").is_err());
    assert!(object.delete("../x").is_err());
    assert!(object.delete_below("..").is_err());
    let mut staged = table.staged_insert(key(2)).unwrap();
    for ext in ["/../../x", "a/b", "/.."] {
        let path = staged.object("frames", ext).map(|o| o.path().to_owned());
        assert!(path.is_err(), "{ext}: {path:?}");
    }
}

#[test]
fn only_objects_of_a_known_key_can_be_staged() {
    let (lab, table) = lab();
    let mut staged = table.staged_insert(row! { id: 1 }).unwrap();
    for (attribute, part) in [
        ("frames", "name"),
        ("x", "<object@>"),
        ("size", "<object@>"),
        ("frame", "frame"),
    ] {
        let error = staged.object(attribute, "").unwrap_err();
        assert!(error.message().contains(part), "{attribute}: {error}");
        assert_eq!(error.place().attribute.as_deref(), Some(attribute));
    }
    staged.row.set("name", "a");
    staged.object("frames", "").unwrap().set("a", b"x").unwrap();
    staged.commit().unwrap();
    let stat = lab.declare("Stat", Tier::Computed, "-> Stack\n---\nframes : <object@>");
    assert!(stat.staged_insert(key(1)).is_err(), "outside of make");
    let report = stat
        .populate(|key| {
            let mut staged = stat.staged_insert(key.clone())?;
            staged.object("frames", "")?.set("a", b"x")?;
            staged.commit().map(|_| ())
        })
        .unwrap();
    assert_eq!(report.success_count, 1);
}

#[test]
fn a_rollback_around_it_leaves_the_object_to_the_collector() {
    let (lab, table) = lab();
    let outcome: lodestore::Result<()> = lab.lode.transaction(|| {
        let mut staged = table.staged_insert(key(1))?;
        staged.object("frames", "")?.set("a", b"x")?;
        staged.commit()?;
        Err(lodestore::Error::invalid("later"))
    });
    assert!(outcome.is_err());
    assert_eq!((table.count().unwrap(), lab.files().len()), (0, 2));
    gc::collect(&lab.lode, &["lab"], false, &GcOptions::default()).unwrap();
    assert_eq!(lab.files(), Vec::<String>::new());
}

#[test]
fn an_object_that_vanished_before_the_commit_is_an_error_and_no_row() {
    let (lab, table) = lab();
    let mut staged = table.staged_insert(key(1)).unwrap();
    let object = staged.object("frames", "").unwrap();
    object.set("a", b"x").unwrap();
    std::fs::remove_dir_all(lab.store().join(object.path())).unwrap();
    assert!(staged.commit().is_err());
    assert_eq!((table.count().unwrap(), lab.files()), (0, vec![]));
    // Duplicates are looked for in the same way as in a plain insert.
    let options = InsertOptions::default();
    assert_eq!(table.insert([key(1)], &options).unwrap(), 1);
}
