//! Insert: all or nothing, objects before rows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use lodestore::ErrorKind;
use lodestore::definition::Tier;
use lodestore::progress::Progress;
use lodestore::row;
use lodestore::table::{FetchOptions, InsertOptions, Rows};
use lodestore::value::Value;

use super::support::{Lab, array, column, ints, rows};

#[test]
fn rows_come_back_as_they_went_in() {
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    let given = [
        row! { subject_id: 1, name: "a", weight: 2.5 },
        row! { weight: Value::Null, subject_id: 2, name: "b" },
    ];
    assert_eq!(subject.insert(given, &InsertOptions::default()).unwrap(), 2);
    session
        .insert1(row! { subject_id: 1, session: 1, events: array(&[1.0, 2.0]) })
        .unwrap();
    scan.insert1(row! { subject_id: 1, session: 1, scan: 1, trace: array(&[0.5; 100]), frames: array(&[1.5; 10]) }).unwrap();

    assert_eq!(ints(&subject, "subject_id"), [1, 2]);
    assert_eq!(
        (subject.count().unwrap(), scan.exists().unwrap()),
        (2, true)
    );
    let (name, weight): (String, Option<f64>) = (&subject & row! { subject_id: 2 })
        .one(["name", "weight"])
        .unwrap();
    assert_eq!((name.as_str(), weight), ("b", None));
    let trace: Vec<f64> = scan.one(["trace"]).unwrap();
    assert_eq!(trace, [0.5; 100]);
    let note: String = session.one(["note"]).unwrap();
    assert_eq!(note, "");
    assert_eq!(lab.files().len(), 2, "{:?}", lab.files());
}

#[test]
fn equal_content_is_stored_once() {
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    subject.insert1(row! { subject_id: 1, name: "a" }).unwrap();
    session.insert1(row! { subject_id: 1, session: 1 }).unwrap();
    let many = rows(
        20,
        |i| row! { subject_id: 1, session: 1, scan: i, trace: array(&[7.0; 50]) },
    );
    scan.insert(many, &InsertOptions::default()).unwrap();
    assert_eq!(lab.files().len(), 1);
    assert_eq!(scan.count().unwrap(), 20);
}

#[test]
fn typed_rows_fetch_only_their_fields() {
    #[derive(serde::Deserialize, Debug, PartialEq)]
    struct Animal {
        subject_id: u32,
        weight: Option<f64>,
    }
    let lab = Lab::new();
    let (subject, _, _) = lab.pipeline();
    let given = rows(
        3000,
        |i| row! { subject_id: i, name: format!("s{i}"), weight: (i % 2 == 0).then_some(i as f64) },
    );
    subject.insert(given, &InsertOptions::default()).unwrap();
    let animals: Vec<Animal> = subject.rows().order_by("KEY").collect().unwrap();
    assert_eq!(animals.len(), 3000);
    assert_eq!(
        animals[4],
        Animal {
            subject_id: 4,
            weight: Some(4.0)
        }
    );
    assert_eq!(animals[5].weight, None);

    #[derive(serde::Deserialize, Debug)]
    #[allow(dead_code)]
    struct Strict {
        weight: f64,
    }
    let error = subject.rows::<Strict>().collect().unwrap_err();
    assert_eq!(
        (error.kind(), error.place().attribute.as_deref()),
        (ErrorKind::Type, Some("weight"))
    );
}

#[test]
fn streams_give_every_row_once_while_others_write() {
    let lab = Lab::new();
    let (subject, _, _) = lab.pipeline();
    subject
        .insert(
            rows(5000, |i| row! { subject_id: i, name: "x" }),
            &InsertOptions::default(),
        )
        .unwrap();
    let mut seen = 0;
    for batch in subject.batches(512).unwrap() {
        let batch = batch.unwrap();
        assert!(batch.rows <= 512);
        if seen == 0 {
            subject
                .insert1(row! { subject_id: 9999, name: "late" })
                .unwrap();
        }
        seen += batch.rows;
    }
    assert_eq!((seen, subject.count().unwrap()), (5000, 5001));
}

#[test]
fn head_and_tail_are_in_key_order() {
    let lab = Lab::new();
    let (subject, _, _) = lab.pipeline();
    subject
        .insert(
            rows(10, |i| row! { subject_id: 9 - i, name: "x" }),
            &InsertOptions::default(),
        )
        .unwrap();
    let ids = |batch: lodestore::value::Batch| -> Vec<i64> {
        batch
            .rows_as::<(i64, String, Option<f64>)>()
            .unwrap()
            .into_iter()
            .map(|r| r.0)
            .collect()
    };
    assert_eq!(ids(subject.head(3).unwrap()), [0, 1, 2]);
    assert_eq!(ids(subject.tail(3).unwrap()), [7, 8, 9]);
    assert_eq!(subject.keys().unwrap().len(), 10);
    let some = FetchOptions {
        limit: Some(2),
        offset: 3,
        ..FetchOptions::columns(["subject_id"])
    };
    assert_eq!(
        subject
            .batch(&some)
            .unwrap()
            .column("subject_id")
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn skip_duplicates_keeps_what_is_there_and_writes_no_object_for_what_it_skips() {
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    subject.insert1(row! { subject_id: 1, name: "a" }).unwrap();
    session.insert1(row! { subject_id: 1, session: 1 }).unwrap();
    let scan_row =
        |i: i64, v: f64| row! { subject_id: 1, session: 1, scan: i, frames: array(&[v; 4]) };
    scan.insert1(scan_row(0, 0.0)).unwrap();
    let skip = InsertOptions {
        skip_duplicates: true,
        ..InsertOptions::default()
    };
    let n = scan
        .insert(
            [scan_row(0, 9.0), scan_row(1, 1.0), scan_row(1, 2.0)],
            &skip,
        )
        .unwrap();
    assert_eq!((n, scan.count().unwrap(), lab.files().len()), (1, 2, 2));
}

#[test]
fn replace_sets_what_is_not_given_to_its_default_and_leaves_the_old_object_to_collection() {
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    subject
        .insert1(row! { subject_id: 1, name: "a", weight: 3.0 })
        .unwrap();
    session.insert1(row! { subject_id: 1, session: 1 }).unwrap();
    let replace = InsertOptions {
        replace: true,
        ..InsertOptions::default()
    };
    // Dependent rows stay.
    subject
        .insert([row! { subject_id: 1, name: "b" }], &replace)
        .unwrap();
    let (name, weight): (String, Option<f64>) = subject.one(["name", "weight"]).unwrap();
    assert_eq!(
        (name.as_str(), weight, session.count().unwrap()),
        ("b", None, 1)
    );

    scan.insert1(row! { subject_id: 1, session: 1, scan: 1, frames: array(&[1.0]) })
        .unwrap();
    scan.insert(
        [row! { subject_id: 1, session: 1, scan: 1, frames: array(&[2.0]) }],
        &replace,
    )
    .unwrap();
    assert_eq!(lab.files().len(), 2);
    lodestore::gc::collect(&lab.lode, &["lab"], false, &Default::default()).unwrap();
    assert_eq!(lab.files().len(), 1);
}

#[test]
fn an_insert_is_atomic_and_chunks_commit_one_by_one() {
    let lab = Lab::new();
    let (subject, _, _) = lab.pipeline();
    let bad = || {
        vec![
            row! { subject_id: 1, name: "a" },
            row! { subject_id: 2, name: "b" },
            row! { subject_id: 2, name: "c" },
        ]
    };
    let error = subject
        .insert(bad(), &InsertOptions::default())
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.place().row),
        (ErrorKind::Duplicate, Some(2))
    );
    assert_eq!(subject.count().unwrap(), 0);
    let chunked = InsertOptions {
        chunk_size: Some(2),
        ..InsertOptions::default()
    };
    assert!(subject.insert(bad(), &chunked).is_err());
    assert_eq!(subject.count().unwrap(), 2);
}

#[test]
fn an_insert_in_a_transaction_is_undone_alone_and_the_transaction_goes_on() {
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    lab.lode
        .transaction(|| {
            subject.insert1(row! { subject_id: 1, name: "a" })?;
            session.insert1(row! { subject_id: 1, session: 1 })?;
            let twice = [
                row! { subject_id: 1, session: 1, scan: 1, trace: array(&[1.0]) },
                row! { subject_id: 1, session: 1, scan: 1, trace: array(&[2.0]) },
            ];
            assert!(scan.insert(twice, &InsertOptions::default()).is_err());
            scan.insert1(row! { subject_id: 1, session: 1, scan: 2, trace: array(&[3.0]) })
        })
        .unwrap();
    assert_eq!((ints(&scan, "scan"), lab.files().len()), (vec![2], 1));
}

#[test]
fn insert_select_copies_rows_in_the_database() {
    let lab = Lab::new();
    let (subject, _, _) = lab.pipeline();
    let copy = lab.declare(
        "Copy",
        Tier::Manual,
        "subject_id : int32\n---\nname : varchar(16)\nweight = null : float64",
    );
    subject
        .insert(
            rows(5, |i| row! { subject_id: i, name: "x" }),
            &InsertOptions::default(),
        )
        .unwrap();
    let n = copy
        .insert_select(&(&subject & "subject_id > 1"), &InsertOptions::default())
        .unwrap();
    assert_eq!((n, ints(&copy, "subject_id")), (3, vec![2, 3, 4]));
    let skip = InsertOptions {
        skip_duplicates: true,
        ..InsertOptions::default()
    };
    assert_eq!(copy.insert_select(&subject, &skip).unwrap(), 2);
}

#[test]
fn update_changes_one_row_and_resets_to_defaults() {
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    subject
        .insert(
            rows(2, |i| row! { subject_id: i, name: "x", weight: 1.0 }),
            &InsertOptions::default(),
        )
        .unwrap();
    session
        .insert1(row! { subject_id: 1, session: 1, note: "n" })
        .unwrap();
    scan.insert1(row! { subject_id: 1, session: 1, scan: 1, frames: array(&[1.0]) })
        .unwrap();
    subject
        .update1(row! { subject_id: 1, weight: Value::Null, name: "it's \\ new" })
        .unwrap();
    session
        .update1(row! { subject_id: 1, session: 1, note: Value::Null })
        .unwrap();
    scan.update1(row! { subject_id: 1, session: 1, scan: 1, frames: array(&[2.0, 3.0]) })
        .unwrap();
    let (name, weight): (String, Option<f64>) = (&subject & row! { subject_id: 1 })
        .one(["name", "weight"])
        .unwrap();
    assert_eq!((name.as_str(), weight), ("it's \\ new", None));
    assert_eq!(session.one::<String>(["note"]).unwrap(), "");
    assert_eq!(
        (&subject & row! { subject_id: 0 })
            .one::<String>(["name"])
            .unwrap(),
        "x"
    );
    lodestore::gc::collect(&lab.lode, &["lab"], false, &Default::default()).unwrap();
    let files = lab.files();
    assert_eq!(files.len(), 1);
    // The key reaches the codec, so the object lies with the others of its row.
    assert!(
        files[0].starts_with("_schema/lab/scan/subject_id=1/session=1/scan=1/frames_"),
        "{files:?}"
    );

    for (row, kind) in [
        (row! { subject_id: 7, name: "x" }, ErrorKind::Invalid),
        (row! { name: "x" }, ErrorKind::Invalid),
        (row! { subject_id: 1 }, ErrorKind::Invalid),
        (row! { subject_id: 1, nam: "x" }, ErrorKind::Invalid),
        (
            row! { subject_id: 1, name: Value::Null },
            ErrorKind::MissingAttribute,
        ),
        (row! { subject_id: 1, weight: "heavy" }, ErrorKind::Data),
    ] {
        let error = subject.update1(row).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn a_row_is_never_visible_before_its_object() {
    // A reader on another connection looks, again and again, while rows come in.
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    subject.insert1(row! { subject_id: 1, name: "a" }).unwrap();
    session.insert1(row! { subject_id: 1, session: 1 }).unwrap();
    let other = lab.again();
    let stop = AtomicBool::new(false);
    let mut looks = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..40 {
                let row = row! { subject_id: 1, session: 1, scan: i, trace: array(&[i as f64; 64]), frames: array(&[i as f64]) };
                scan.insert1(row).unwrap();
            }
            stop.store(true, Ordering::SeqCst);
        });
        while !stop.load(Ordering::SeqCst) && !writer.is_finished() {
            let seen = other.table("lab.Scan").unwrap();
            let batch = seen
                .batch(&FetchOptions {
                    decode: false,
                    ..FetchOptions::default()
                })
                .unwrap();
            let raw = |name: &str| batch.column(name).unwrap().values();
            for value in raw("trace").into_iter().chain(raw("frames")) {
                let Value::Json(json) = value else {
                    panic!("{value:?}")
                };
                let path = json.parse().unwrap()["path"].as_str().unwrap().to_owned();
                assert!(
                    lab.store().join(&path).exists(),
                    "a row names {path}, which is not there"
                );
                looks += 1;
            }
        }
        writer.join().unwrap();
    });
    assert!(looks > 0, "the reader never saw a row");
    assert_eq!(column(&scan, "trace").len(), 40);
}

#[test]
fn an_interrupted_insert_leaves_nothing() {
    struct StopAfter(Mutex<u32>);
    impl Progress for StopAfter {
        fn interrupted(&self) -> bool {
            let mut left = self.0.lock().unwrap();
            *left = left.saturating_sub(1);
            *left == 0
        }
    }
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    subject.insert1(row! { subject_id: 1, name: "a" }).unwrap();
    session.insert1(row! { subject_id: 1, session: 1 }).unwrap();
    let stop = StopAfter(Mutex::new(10));
    let options = InsertOptions {
        progress: &stop,
        ..InsertOptions::default()
    };
    let many = rows(
        50,
        |i| row! { subject_id: 1, session: 1, scan: i, trace: array(&[i as f64; 64]), frames: array(&[1.0]) },
    );
    let error = scan.insert(many, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!((scan.count().unwrap(), lab.files()), (0, vec![]));
}

#[test]
fn rows_of_one_shape_may_come_in_any_column_order() {
    let lab = Lab::new();
    let (subject, _, _) = lab.pipeline();
    let names = ["name", "subject_id"].map(Into::into).to_vec();
    let rows = Rows {
        names,
        values: vec![vec!["a".into(), 1.into()], vec!["b".into(), 2.into()]],
    };
    assert_eq!(
        subject
            .insert_rows(rows, &InsertOptions::default())
            .unwrap(),
        2
    );
    assert_eq!(
        (&subject & row! { subject_id: 2 })
            .one::<String>(["name"])
            .unwrap(),
        "b"
    );
}

#[test]
fn a_tight_memory_bound_only_slows_an_insert() {
    let lab = Lab::new();
    let (_, _, _) = lab.pipeline();
    let blobs = lab.declare(
        "Blobs",
        Tier::Manual,
        "id : int32\n---\nx : <blob>\ny : <blob@>",
    );
    let options = InsertOptions {
        bytes_in_flight: Some(10_000),
        ..InsertOptions::default()
    };
    let many = rows(
        30,
        |i| row! { id: i, x: array(&[i as f64; 500]), y: array(&[-(i as f64); 500]) },
    );
    assert_eq!(blobs.insert(many, &options).unwrap(), 30);
    for (i, value) in blobs
        .rows::<(i64, Vec<f64>, Vec<f64>)>()
        .order_by("KEY")
        .collect()
        .unwrap()
        .into_iter()
        .enumerate()
    {
        assert_eq!(
            value,
            (i as i64, vec![i as f64; 500], vec![-(i as f64); 500])
        );
    }
}
