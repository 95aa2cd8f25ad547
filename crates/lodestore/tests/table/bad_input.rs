//! Each kind of bad input: the right kind of error, which says where, and nothing written.

use std::sync::Arc;

use lodestore::ErrorKind;
use lodestore::codec::Registry;
use lodestore::definition::Tier;
use lodestore::row;
use lodestore::schema::Lode;
use lodestore::store::fault::{Fault, FaultStore};
use lodestore::store::{FileStore, Store, StoreOptions, StoreSet, StoreSpec};
use lodestore::table::{FetchOptions, InsertOptions, Table};
use lodestore::value::{Array, Value};
use lodestore::{Error, Row};

use super::child::{Helper, as_helper, as_plain_user, on_small_disk};
use super::common::{Database, only_on_sqlite};
use super::support::{Lab, array, column, rows};

/// A lab with a subject and a session, ready for scans.
fn ready() -> (Lab, Table, Table, Table) {
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    subject.insert1(row! { subject_id: 1, name: "a" }).unwrap();
    session.insert1(row! { subject_id: 1, session: 1 }).unwrap();
    (lab, subject, session, scan)
}

fn refused(lab: &Lab, table: &Table, row: Row) -> Error {
    let before = (table.count().unwrap(), lab.files());
    let error = table.insert1(row).unwrap_err();
    assert_eq!(
        (table.count().unwrap(), lab.files()),
        before,
        "something was written: {error}"
    );
    let place = error.place();
    assert_eq!(
        (place.schema.as_deref(), place.table.as_deref()),
        (Some("lab"), Some(&*table.name().name)),
        "{error}"
    );
    error
}

#[test]
fn an_unknown_name_in_any_row_is_refused_with_the_nearest() {
    let (_lab, subject, _, _) = ready();
    let given = [
        row! { subject_id: 5, name: "a" },
        row! { subject_id: 6, name: "b", wieght: 1.0 },
    ];
    let error = subject
        .insert(given.clone(), &InsertOptions::default())
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.place().row),
        (ErrorKind::UnknownKey, Some(1))
    );
    insta::assert_snapshot!(error, @r"
    there is no attribute `wieght` (table lab.subject, row 1)
    Did you mean `weight`?
    ");
    let ignore = InsertOptions {
        ignore_extra_fields: true,
        ..InsertOptions::default()
    };
    assert_eq!(subject.insert(given, &ignore).unwrap(), 2);
}

#[test]
fn a_missing_key_or_required_attribute_is_named_before_any_upload() {
    let (lab, subject, _, scan) = ready();
    let error = refused(
        &lab,
        &scan,
        row! { subject_id: 1, session: 1, trace: array(&[1.0]) },
    );
    assert_eq!(
        (error.kind(), error.place().attribute.as_deref()),
        (ErrorKind::MissingAttribute, Some("scan"))
    );
    let error = refused(&lab, &subject, row! { subject_id: 3 });
    insta::assert_snapshot!(error, @"attribute `name` is missing: it has no default (table lab.subject, key subject_id=3, row 0)");
    let error = refused(&lab, &subject, row! { subject_id: 3, name: Value::Null });
    assert_eq!(error.kind(), ErrorKind::MissingAttribute);
}

#[test]
fn rows_of_another_shape_are_refused() {
    let (_lab, subject, _, _) = ready();
    let given = [
        row! { subject_id: 5, name: "a", weight: 1.0 },
        row! { subject_id: 6, name: "b" },
    ];
    let error = subject
        .insert(given, &InsertOptions::default())
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.place().row),
        (ErrorKind::Invalid, Some(1))
    );
    assert!(error.to_string().contains("it lacks weight"), "{error}");
}

#[test]
fn a_value_of_the_wrong_type_or_range_names_attribute_key_and_row() {
    let (lab, subject, session, _) = ready();
    for (table, row, attribute) in [
        (
            &subject,
            row! { subject_id: "seven", name: "a" },
            "subject_id",
        ),
        (
            &subject,
            row! { subject_id: 5_000_000_000i64, name: "a" },
            "subject_id",
        ),
        (
            &subject,
            row! { subject_id: 5, name: "a name that is much too long" },
            "name",
        ),
        (
            &subject,
            row! { subject_id: 5, name: "a", weight: "heavy" },
            "weight",
        ),
        (
            &session,
            row! { subject_id: 1, session: 100_000 },
            "session",
        ),
    ] {
        let error = refused(&lab, table, row);
        assert_eq!(
            (error.kind(), error.place().attribute.as_deref()),
            (ErrorKind::Data, Some(attribute)),
            "{error}"
        );
        assert_eq!(error.place().row, Some(0));
    }
}

#[test]
fn an_object_array_is_no_npy() {
    let (lab, _, _, scan) = ready();
    let objects = Array::objects(vec![2], vec![Value::from(1), Value::from("a")]).unwrap();
    let error = refused(
        &lab,
        &scan,
        row! { subject_id: 1, session: 1, scan: 1, frames: objects },
    );
    assert_eq!(
        error.place().attribute.as_deref(),
        Some("frames"),
        "{error}"
    );
    let error = refused(
        &lab,
        &scan,
        row! { subject_id: 1, session: 1, scan: 1, frames: "text" },
    );
    assert_eq!(
        error.place().attribute.as_deref(),
        Some("frames"),
        "{error}"
    );
}

#[test]
fn a_duplicate_row_is_found_before_its_object_is_written() {
    let (lab, _, _, scan) = ready();
    let one = |v: f64| row! { subject_id: 1, session: 1, scan: 1, frames: array(&[v]) };
    scan.insert1(one(1.0)).unwrap();
    let error = refused(&lab, &scan, one(2.0));
    insta::assert_snapshot!(error, @r"
    a row with the key subject_id=1, session=1, scan=1 is there already (table lab.scan, row 0)
    To ignore duplicates use `skip_duplicates`; to overwrite them use `replace`.
    ");
    assert_eq!(error.kind(), ErrorKind::Duplicate);
    let error = scan
        .insert(
            [
                row! { subject_id: 1, session: 1, scan: 5, frames: array(&[1.0]) },
                row! { subject_id: 1, session: 1, scan: 5, frames: array(&[1.0]) },
            ],
            &InsertOptions::default(),
        )
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.place().row, lab.files().len()),
        (ErrorKind::Duplicate, Some(1), 1)
    );
}

#[test]
fn a_missing_parent_is_named_before_any_upload() {
    let (lab, _, session, scan) = ready();
    let error = refused(
        &lab,
        &scan,
        row! { subject_id: 1, session: 8, scan: 1, trace: array(&[1.0]) },
    );
    assert_eq!(error.kind(), ErrorKind::Integrity);
    insta::assert_snapshot!(error, @r"
    there is no row in lab.session with subject_id=1, session=8 (table lab.scan, key subject_id=1, session=8, scan=1, row 0)
    Insert it into lab.session first.
    ");
    // Without objects the database finds it, and the row is told all the same.
    let given = [
        row! { subject_id: 1, session: 2 },
        row! { subject_id: 9, session: 1 },
    ];
    let error = session
        .insert(given, &InsertOptions::default())
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.place().row),
        (ErrorKind::Integrity, Some(1)),
        "{error}"
    );
}

#[test]
fn computed_tables_take_rows_from_their_make_only() {
    let (lab, _, _, _) = ready();
    let table = lab.declare("Stat", Tier::Computed, "-> Session\n---\nx : float64");
    let one = || row! { subject_id: 1, session: 1, x: 1.0 };
    assert_eq!(refused(&lab, &table, one()).kind(), ErrorKind::Invalid);
    let allow = InsertOptions {
        allow_direct_insert: true,
        ..InsertOptions::default()
    };
    assert_eq!(table.insert([one()], &allow).unwrap(), 1);
}

#[test]
fn a_missing_object_is_named_when_fetched_and_others_are_not_harmed() {
    let (lab, _, _, scan) = ready();
    scan.insert(
        rows(
            3,
            |i| row! { subject_id: 1, session: 1, scan: i, trace: array(&[i as f64; 50]) },
        ),
        &InsertOptions::default(),
    )
    .unwrap();
    std::fs::remove_file(lab.store().join(&lab.files()[0])).unwrap();
    let error = scan.batch(&Default::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingObject);
    assert_eq!(error.place().attribute.as_deref(), Some("trace"), "{error}");
    assert!(
        error
            .place()
            .key
            .as_deref()
            .is_some_and(|k| k.contains("scan=")),
        "{error}"
    );
    assert_eq!(column(&scan, "scan").len(), 3);
}

#[test]
fn foreign_bytes_in_a_blob_are_an_error_and_no_panic() {
    let (lab, _, _, scan) = ready();
    scan.insert1(row! { subject_id: 1, session: 1, scan: 1, trace: array(&[1.0; 50]) })
        .unwrap();
    std::fs::write(
        lab.store().join(&lab.files()[0]),
        b"something else entirely",
    )
    .unwrap();
    let error = scan.batch(&Default::default()).unwrap_err();
    assert_eq!(error.place().attribute.as_deref(), Some("trace"), "{error}");
}

#[test]
fn foreign_bytes_in_a_row_are_an_error_that_names_key_and_attribute() {
    let (lab, _, session, _) = ready();
    let foreign = Value::Bytes(b"\0\xffmYm".to_vec().into());
    lab.run(
        &format!("UPDATE {} SET events = {{}}", lab.full_name("session")),
        foreign,
    );
    let error = session.batch(&Default::default()).unwrap_err();
    assert_eq!(
        error.place().attribute.as_deref(),
        Some("events"),
        "{error}"
    );
    assert!(error.place().key.is_some(), "{error}");
    assert_eq!(column(&session, "note").len(), 1, "the rest can be read");
}

#[test]
fn a_missing_npy_is_an_error_when_loaded() {
    let (lab, _, _, scan) = ready();
    scan.insert1(row! { subject_id: 1, session: 1, scan: 1, frames: array(&[1.0; 50]) })
        .unwrap();
    let path = lab.files().remove(0);
    std::fs::remove_file(lab.store().join(&path)).unwrap();
    let frames: lodestore::codec::NpyRef = scan.one("frames").unwrap();
    for error in [
        frames.load().unwrap_err(),
        frames.read_rows(0..1).unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.place().path.as_deref()),
            (ErrorKind::MissingObject, Some(&*path)),
            "{error}"
        );
    }
}

#[test]
fn a_truncated_npy_is_an_error_when_loaded() {
    let (lab, _, _, scan) = ready();
    scan.insert1(row! { subject_id: 1, session: 1, scan: 1, frames: array(&[1.0; 50]) })
        .unwrap();
    let path = lab.store().join(&lab.files()[0]);
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, &content[..content.len() - 9]).unwrap();
    // The reference itself is lazy; loading it is what fails.
    for length in [content.len() - 9, 20, 3, 0] {
        std::fs::write(&path, &content[..length]).unwrap();
        let frames: lodestore::codec::NpyRef = scan.one("frames").unwrap();
        assert_eq!(
            frames.load().unwrap_err().kind(),
            ErrorKind::CorruptObject,
            "{length}"
        );
        let end = frames.read_rows(49..50);
        assert_eq!(
            end.unwrap_err().kind(),
            ErrorKind::CorruptObject,
            "{length}"
        );
    }
}

fn with_store(
    database: &Database,
    dir: &std::path::Path,
    wrap: impl Fn(Arc<dyn Store>) -> Arc<dyn Store>,
) -> Lode {
    let location = dir.join("objects");
    std::fs::create_dir_all(&location).unwrap();
    let config = database.config(dir);
    let backend = lodestore::sql::connect(&config).unwrap();
    let spec = StoreSpec::file("local", location.to_str().unwrap());
    let store: Arc<dyn Store> = Arc::new(FileStore::open(spec, StoreOptions::default()).unwrap());
    let stores = Arc::new(StoreSet::of([wrap(store)]));
    Lode::with_parts(config, backend, stores, Arc::clone(Registry::global()))
}

fn files_in(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let all = super::support::walk(&dir.join("objects"));
    all.into_iter()
        .filter(|p| !p.to_str().unwrap().contains("_lode"))
        .collect()
}

#[test]
fn a_row_that_cannot_be_encoded_is_named_whatever_others_do_meanwhile() {
    let (lab, ..) = ready();
    let table = super::support::declare(
        &lab.lode,
        "lab",
        "Encoded",
        Tier::Manual,
        None,
        "id : int32\n---\nx : <blob@>",
    );
    let too_long = Value::BigInt([vec![0; 65535], vec![1]].concat());
    for _ in 0..100 {
        let many = rows(3, |i| match i {
            1 => row! { id: i, x: too_long.clone() },
            _ => row! { id: i, x: array(&[i as f64; 50]) },
        });
        let error = table.insert(many, &InsertOptions::default()).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Interrupted, "{error}");
        assert_eq!(error.place().row, Some(1), "{error}");
        assert_eq!(error.place().attribute.as_deref(), Some("x"), "{error}");
    }
    assert_eq!(table.count().unwrap(), 0);
}

#[test]
fn an_answer_lost_by_the_store_leaves_no_row_and_nothing_that_is_not_collected() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::new();
    let lode = with_store(&database, dir.path(), |store| {
        Arc::new(FaultStore::new(store, Fault::LostAnswer, 3))
    });
    lode.create_schema("lab").unwrap();
    let definition = "id : int32\n---\nx : <blob@>\ny : <npy@>";
    let table = super::support::declare(&lode, "lab", "Data", Tier::Manual, None, definition);
    let many = || {
        rows(
            5,
            |i| row! { id: i, x: array(&[i as f64; 50]), y: array(&[i as f64]) },
        )
    };
    let error = table.insert(many(), &InsertOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert_eq!(table.count().unwrap(), 0);
    assert!(!files_in(dir.path()).is_empty());
    let options = lodestore::gc::GcOptions::default();
    lodestore::gc::collect(&lode, &["lab"], false, &options).unwrap();
    assert!(files_in(dir.path()).is_empty());
    table.insert(many(), &InsertOptions::default()).unwrap();
    assert_eq!(table.count().unwrap(), 5);
}

#[test]
fn bodies_that_are_cut_on_their_way_are_never_taken_for_values() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::new();
    let lode = with_store(&database, dir.path(), |store| {
        Arc::new(FaultStore::new(store, Fault::CutBody, 0))
    });
    lode.create_schema("lab").unwrap();
    let definition = "id : int32\n---\nx : <blob@>\ny : <npy@>";
    let table = super::support::declare(&lode, "lab", "Data", Tier::Manual, None, definition);
    let many = rows(
        3,
        |i| row! { id: i, x: array(&[i as f64; 50]), y: array(&[i as f64]) },
    );
    table.insert(many, &InsertOptions::default()).unwrap();
    let error = table.batch(&FetchOptions::columns(["x"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptObject, "{error}");
    assert_eq!(error.place().attribute.as_deref(), Some("x"), "{error}");
}

#[test]
fn a_full_disk_in_the_middle_of_a_batch_leaves_no_row_and_no_object() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::new();
    let lode = with_store(&database, dir.path(), |store| {
        Arc::new(FaultStore::new(store, Fault::Full, 7))
    });
    lode.create_schema("lab").unwrap();
    let table = super::support::declare(
        &lode,
        "lab",
        "Data",
        Tier::Manual,
        None,
        "id : int32\n---\nx : <blob@>\ny : <npy@>",
    );
    let many = || {
        rows(
            20,
            |i| row! { id: i, x: array(&[i as f64; 50]), y: array(&[i as f64]) },
        )
    };
    let error = table.insert(many(), &InsertOptions::default()).unwrap_err();
    assert_eq!(
        (error.kind(), error.place().table.as_deref()),
        (ErrorKind::Store, Some("data")),
        "{error}"
    );
    assert!(
        error.place().row.is_some() && error.place().key.is_some(),
        "{error}"
    );
    assert_eq!((table.count().unwrap(), files_in(dir.path())), (0, vec![]));
    // The disk has room again.
    assert_eq!(table.insert(many(), &InsertOptions::default()).unwrap(), 20);
}

#[test]
fn a_really_full_disk_is_an_error_that_says_so_and_leaves_nothing() {
    on_small_disk(
        "bad_input::a_really_full_disk_is_an_error_that_says_so_and_leaves_nothing",
        4 << 20,
        |dir| {
            // The database has room enough for rows on the same disk.
            let database = Database::new();
            let lode = database.open(dir);
            let lab = lode.schema("lab").unwrap();
            let data = lab
                .manual("Data", "id : int32\n---\nx = null : <npy@>\nfolder = null : <object@>\ninside = null : <blob>")
                .unwrap();
            let files = || {
                let all = super::support::walk(&dir.join("lab.db.objects"));
                all.into_iter().filter(|p| p.is_file()).collect::<Vec<_>>()
            };
            let large = |i: usize| array(&vec![i as f64; 100_000]);
            let error = data
                .insert(
                    rows(20, |i| row! { id: i, x: large(i as usize) }),
                    &InsertOptions::default(),
                )
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Store, "{error}");
            assert!(error.message().contains("is full"), "{error}");
            assert!(
                error.place().row.is_some() && error.place().attribute.as_deref() == Some("x"),
                "{error}"
            );
            assert_eq!((data.count().unwrap(), files()), (0, vec![]), "{error}");

            let mut staged = data.staged_insert(row! { id: 1 }).unwrap();
            let folder = staged.object("folder", "").unwrap();
            folder.set("small", b"x").unwrap();
            let error = folder.set("large", &vec![1; 6 << 20]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Store, "{error}");
            drop(staged);
            assert_eq!((data.count().unwrap(), files()), (0, vec![]));

            // What fits still goes in.
            data.insert1(row! { id: 1, x: large(1) }).unwrap();
            assert_eq!((data.count().unwrap(), files().len()), (1, 1));
            if only_on_sqlite("a server keeps its data elsewhere") {
                return;
            }
            // The database itself runs out of room.
            let noise: Vec<f64> = (0..800_000u64)
                .map(|i| (i.wrapping_mul(0x9e3779b97f4a7c15) as f64).sin())
                .collect();
            let error = data
                .insert1(row! { id: 2, inside: array(&noise) })
                .unwrap_err();
            assert!(error.to_string().contains("full"), "{error}");
            assert_eq!(data.count().unwrap(), 1);
            data.insert1(row! { id: 2 }).unwrap();
        },
    );
}

fn allow_writing(dir: &std::path::Path, allowed: bool) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            allow_writing(&path, allowed);
        }
    }
    let mode = if allowed { 0o755 } else { 0o555 };
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_read_only_store_is_an_error_that_names_it() {
    as_plain_user(
        "bad_input::a_read_only_store_is_an_error_that_names_it",
        |dir| {
            let database = Database::new();
            let lode = database.open(dir);
            let lab = lode.schema("lab").unwrap();
            let data = lab
            .manual("Data", "id : int32\n---\nx = null : <npy@>\ny = null : <blob@>\nfolder = null : <object@>")
            .unwrap();
            data.insert1(row! { id: 1, x: array(&[1.0]), y: array(&[1.0]) })
                .unwrap();
            let store = dir.join("lab.db.objects");
            let before = super::support::walk(&store);
            allow_writing(&store, false);
            assert!(
                std::fs::write(store.join("probe"), b"").is_err(),
                "the directory must be read-only"
            );
            let given = [
                row! { id: 2, x: array(&[1.0]) },
                row! { id: 2, y: array(&[2.0]) },
            ];
            for row in given {
                let error = data.insert1(row).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Store, "{error}");
                assert!(error.to_string().contains("lab.db.objects"), "{error}");
                assert_eq!(error.place().table.as_deref(), Some("data"));
            }
            let mut staged = data.staged_insert(row! { id: 2 }).unwrap();
            let error = staged.object("folder", "").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Store, "{error}");
            drop(staged);
            assert_eq!(
                (data.count().unwrap(), super::support::walk(&store)),
                (1, before)
            );
            // Reading goes on; collecting says what it could not remove and keeps the books right.
            let x: lodestore::codec::NpyRef = data.one("x").unwrap();
            assert_eq!(x.load().unwrap().len(), 1);
            data.delete(Default::default()).unwrap();
            let collected = lodestore::gc::collect(&lode, &["lab"], false, &Default::default());
            assert!(
                collected
                    .as_ref()
                    .map_or(true, |stats| stats.errors > 0 && stats.deleted() == 0),
                "{collected:?}"
            );
            allow_writing(&store, true);
            let stats =
                lodestore::gc::collect(&lode, &["lab"], false, &Default::default()).unwrap();
            assert_eq!((stats.deleted(), stats.errors), (2, 0));
        },
    );
}

#[test]
fn a_read_only_directory_of_the_database_is_an_error_and_nothing_is_written() {
    use std::os::unix::fs::PermissionsExt;
    if only_on_sqlite("a server keeps its data elsewhere") {
        return;
    }
    as_plain_user(
        "bad_input::a_read_only_directory_of_the_database_is_an_error_and_nothing_is_written",
        |dir| {
            let inner = dir.join("inner");
            std::fs::create_dir(&inner).unwrap();
            let url = format!("sqlite://{}", inner.join("lab.db").display());
            allow_writing(&inner, false);
            // Not there, and cannot be made.
            let error = Lode::open(&url)
                .and_then(|lode| lode.schema("lab"))
                .unwrap_err();
            assert!(error.to_string().contains("lab.db"), "{error}");
            assert_eq!(super::support::walk(&inner).len(), 0);

            allow_writing(&inner, true);
            let definition = "id : int32\n---\nx = null : <npy@>";
            Lode::open(&url)
                .unwrap()
                .schema("lab")
                .unwrap()
                .manual("Data", definition)
                .unwrap();
            for path in super::support::walk(&inner) {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444)).unwrap();
            }
            allow_writing(&inner, false);
            let before = super::support::walk(&inner);
            let insert = || {
                let lode = Lode::open(&url)?;
                lode.table("lab.Data")?
                    .insert1(row! { id: 1, x: array(&[1.0]) })
            };
            let error = insert().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Access, "{error}");
            assert_eq!(super::support::walk(&inner), before);
            allow_writing(&inner, true);
        },
    );
}

#[test]
fn a_store_that_cannot_be_a_directory_is_an_error_that_names_it() {
    let (lab, _, _, scan) = ready();
    std::fs::write(lab.store(), b"a file, where the directory should be").unwrap();
    let error = scan
        .insert1(row! { subject_id: 1, session: 1, scan: 1, trace: array(&[1.0]) })
        .unwrap_err();
    assert_eq!(scan.count().unwrap(), 0);
    assert!(error.to_string().contains("lab.db.objects"), "{error}");
}

#[test]
fn a_database_locked_by_another_process_is_a_lock_error_and_leaves_no_object() {
    if only_on_sqlite("a transaction of another connection locks nothing here") {
        return;
    }
    as_helper(|dir| {
        let lode = Database::new().open(dir);
        lode.begin().unwrap();
        lode
    });
    let (lab, _, _, scan) = ready();
    let helper = Helper::start(
        "bad_input::a_database_locked_by_another_process_is_a_lock_error_and_leaves_no_object",
        lab.dir.path(),
    );
    lab.lode
        .backend()
        .execute(&lodestore::sql::Statement::new("PRAGMA busy_timeout = 200"))
        .unwrap();
    let one =
        || row! { subject_id: 1, session: 1, scan: 1, trace: array(&[1.0]), frames: array(&[1.0]) };
    let error = scan.insert1(one()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout, "{error}");
    assert_eq!(scan.count().unwrap(), 0);
    drop(helper);
    // What could not be removed under the lock is the collector's.
    lodestore::gc::collect(&lab.lode, &["lab"], false, &Default::default()).unwrap();
    assert_eq!(lab.files(), Vec::<String>::new());
    scan.insert1(one()).unwrap();
}

#[test]
fn validate_tells_every_finding_and_writes_nothing() {
    let (lab, subject, _, _) = ready();
    let given = [
        row! { subject_id: 10, name: "fine" },
        row! { subject_id: "x", name: "a name that is much too long" },
        row! { subject_id: 10, name: "again" },
        row! { subject_id: 11, name: "a", colour: "red" },
        row! { subject_id: 12 },
    ];
    let validation = subject.validate(given, false).unwrap();
    assert!(!validation.is_valid());
    let found: Vec<(usize, Option<&str>)> = validation
        .issues
        .iter()
        .map(|i| (i.row, i.attribute.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            (1, Some("subject_id")),
            (1, Some("name")),
            (2, None),
            (3, Some("colour")),
            (4, None),
            (4, Some("name"))
        ]
    );
    assert_eq!(
        (validation.rows, subject.count().unwrap(), lab.files().len()),
        (5, 1, 0)
    );
    assert!(
        subject
            .validate([row! { subject_id: 10, name: "fine" }], false)
            .unwrap()
            .is_valid()
    );
}
