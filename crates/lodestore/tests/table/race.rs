//! Writers and collectors on connections of their own: whatever the order of events, a committed row has its objects.

use std::sync::atomic::{AtomicBool, Ordering};

use lodestore::codec::{NpyRef, ObjectRef};
use lodestore::definition::Tier;
use lodestore::gc::{GcOptions, collect};
use lodestore::progress::Silent;
use lodestore::query::keep;
use lodestore::schema::Lode;
use lodestore::sql::{BackendKind, Statement};
use lodestore::table::{InsertOptions, Table};
use lodestore::value::{Row, Value};
use lodestore::{Error, ErrorKind, row};

use super::common::kind;
use super::support::{Lab, array, declare};

const DATA: &str = "id : int32\n---\nx = null : <blob@>\ny = null : <npy@>\nz = null : <object@>";
const WRITERS: i64 = 3;

/// Few contents, so that writers meet objects that are about to go.
fn row_of(id: i64, content: i64) -> Row {
    row! { id: id, x: array(&[content as f64; 20]), y: array(&[content as f64]) }
}

/// All objects of these rows can be read.
fn check(table: &Table, condition: &str) -> usize {
    let batch = (table & condition).batch(&Default::default()).unwrap();
    for row in batch.iter_rows() {
        for (name, value) in row.iter() {
            if let Some(npy) = value.foreign::<NpyRef>() {
                npy.load()
                    .unwrap_or_else(|e| panic!("{name} of {row:?}: {e}"));
            }
            if let Some(object) = value.foreign::<ObjectRef>() {
                object
                    .verify(&lodestore::progress::Silent)
                    .unwrap_or_else(|e| panic!("{name} of {row:?}: {e}"));
            }
        }
    }
    batch.rows
}

/// One change of the writer's own rows, of a kind that `n` picks.
fn change(lode: &Lode, writer: i64, n: i64) -> lodestore::Result<()> {
    let (data, copy) = (lode.table("lab.Data")?, lode.table("other.Copy")?);
    let id = writer * 1000 + n % 7;
    let replace = InsertOptions {
        replace: true,
        ..InsertOptions::default()
    };
    let content = (writer + n) % 3;
    match n % 9 {
        // What is there is replaced, with what others have just dropped.
        0..=2 => data.insert([row_of(id, content)], &replace).map(|_| ()),
        3 => (&data & row! { id: id }).delete_quick().map(|_| ()),
        4 => match (&data & row! { id: id }).exists()? {
            true => {
                data.update1(row! { id: id, x: array(&[content as f64; 20]), y: array(&[9.0]) })
            }
            false => Ok(()),
        },
        // Rows of all writers, copied with their references while those may be deleting them.
        5 => {
            (&copy & row! { writer: writer }).delete_quick()?;
            let rows = data.proj(keep(["x"]).compute("writer", writer.to_string()))?;
            copy.insert_select(&rows, &InsertOptions::default())
                .map(|_| ())
        }
        6 => {
            (&data & row! { id: id }).delete_quick()?;
            let mut staged = data.staged_insert(row! { id: id })?;
            staged.object("z", "")?.set("part", b"content")?;
            staged.commit().map(|_| ())
        }
        // A transaction that holds its references open for a while, then undoes or keeps them.
        _ => {
            let outcome = lode.transaction(|| {
                data.insert([row_of(id, content)], &replace)?;
                std::thread::sleep(std::time::Duration::from_millis(3));
                data.insert([row_of(id + 100, content)], &replace)?;
                if n % 2 == 0 {
                    Err(Error::invalid("undone"))
                } else {
                    Ok(())
                }
            });
            match outcome {
                Err(e) if e.message() == "undone" => Ok(()),
                other => other,
            }
        }
    }
}

#[test]
fn no_committed_row_loses_its_object_to_a_collector() {
    let lab = Lab::new();
    lab.declare("Data", Tier::Manual, DATA);
    lab.lode.create_schema("other").unwrap();
    declare(
        &lab.lode,
        "other",
        "Copy",
        Tier::Manual,
        None,
        "writer : int32\nid : int32\n---\nx = null : <blob@>",
    );
    let changes = if kind() == BackendKind::Sqlite {
        45
    } else {
        90
    };
    let (writing, mut collected) = (AtomicBool::new(true), 0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let lode = lab.again();
                if writer == 0 {
                    // It collects what it drops itself.
                    lode.config()
                        .set("lode.objects_on_delete", serde_json::json!("immediate"))
                        .unwrap();
                }
                scope.spawn(move || {
                    let (data, mut done) = (lode.table("lab.Data").unwrap(), 0);
                    for n in 0..changes {
                        match change(&lode, writer, n) {
                            Ok(()) => done += 1,
                            // The object went before the commit, and so did the row; or the server chose a victim.
                            Err(e)
                                if matches!(
                                    e.kind(),
                                    ErrorKind::MissingObject | ErrorKind::Deadlock
                                ) => {}
                            Err(e) => panic!("change {n} of writer {writer}: {e}"),
                        }
                        // Nobody else deletes these.
                        check(
                            &data,
                            &format!("id >= {} and id < {}", writer * 1000, writer * 1000 + 1000),
                        );
                    }
                    done
                })
            })
            .collect();
        let collectors: Vec<_> = (0..2)
            .map(|_| {
                let (lode, writing) = (lab.again(), &writing);
                scope.spawn(move || {
                    let mut deleted = 0;
                    while writing.load(Ordering::SeqCst) {
                        deleted += collect(&lode, &["lab", "other"], false, &GcOptions::default())
                            .unwrap()
                            .deleted();
                    }
                    deleted
                })
            })
            .collect();
        let done: Vec<_> = writers.into_iter().map(|w| w.join()).collect();
        writing.store(false, Ordering::SeqCst);
        collected += collectors
            .into_iter()
            .map(|c| c.join().unwrap())
            .sum::<u64>();
        for done in done {
            assert!(done.unwrap() > changes / 3, "too few changes went through");
        }
    });
    assert!(collected > 0, "the collectors never found anything");
    for name in ["lab.Data", "other.Copy"] {
        check(&lab.lode.table(name).unwrap(), "1 = 1");
    }
    // At rest, what is stored is what is referred to.
    collect(&lab.lode, &["lab", "other"], false, &GcOptions::default()).unwrap();
    let again = collect(&lab.lode, &["lab", "other"], true, &GcOptions::default()).unwrap();
    assert_eq!((again.hash.orphaned, again.schema.orphaned), (0, 0));
    assert_eq!(again.hash.stored, again.hash.referenced);
}

#[test]
fn a_collector_sees_tables_and_columns_that_others_made_since_it_last_looked() {
    let lab = Lab::new();
    let data = lab.declare("Data", Tier::Manual, DATA);
    data.insert1(row_of(1, 1)).unwrap();
    let collector = lab.again();
    collect(&collector, &["lab"], false, &GcOptions::default()).unwrap();
    // Only the new tables refer to these objects.
    lab.lode.create_schema("other").unwrap();
    for (schema, class) in [("lab", "Late"), ("other", "Later")] {
        let late = declare(
            &lab.lode,
            schema,
            class,
            Tier::Manual,
            None,
            "id : int32\n---\nx = null : <blob@>",
        );
        late.insert1(row! { id: 2, x: array(&[5.0; 20]) }).unwrap();
        let rows = data.proj(keep(["x"])).unwrap();
        late.insert_select(&rows, &InsertOptions::default())
            .unwrap();
    }
    data.delete(Default::default()).unwrap();
    let stats = collect(&collector, &["lab", "other"], false, &GcOptions::default()).unwrap();
    assert_eq!((stats.hash.deleted, stats.schema.deleted), (0, 1));
    for name in ["lab.Late", "other.Later"] {
        let values = super::support::column(&lab.lode.table(name).unwrap(), "x");
        assert_eq!(values.len(), 2);
        assert!(
            values.iter().all(|v| matches!(v, Value::Array(_))),
            "{values:?}"
        );
    }
}

/// On SQLite a transaction keeps all others out; on MySQL rows that are being copied cannot be deleted.
#[test]
fn a_collector_waits_for_the_writers_of_a_schema_that_is_made_while_it_waits() {
    if kind() != BackendKind::Postgres {
        return;
    }
    let lab = Lab::new();
    let data = lab.declare("Data", Tier::Manual, DATA);
    let (holder, collector, copier) = (lab.again(), lab.again(), lab.again());
    // An object that is garbage when the plan is made, and in use afterwards.
    data.insert1(row_of(1, 1)).unwrap();
    data.delete(Default::default()).unwrap();
    let plan = lodestore::gc::scan(&collector, &["lab"], &GcOptions::default()).unwrap();
    assert_eq!(plan.stats().hash.orphaned, 1);
    data.insert1(row_of(1, 1)).unwrap();

    let waiting = || {
        let text = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                    WHERE NOT l.granted AND d.datname = current_database()";
        let found = lab.lode.backend().query_any(&Statement::new(text)).unwrap();
        matches!(found.value(0, 0), Value::Int(1))
    };
    holder.begin().unwrap();
    holder
        .table("lab.Data")
        .unwrap()
        .insert1(row_of(2, 2))
        .unwrap();
    let copy = std::thread::scope(|scope| {
        let collecting = scope.spawn(move || plan.execute(&Silent).unwrap());
        while !waiting() {
            assert!(
                !collecting.is_finished(),
                "the collector did not wait for a writer"
            );
        }
        copier.create_schema("other").unwrap();
        let definition = "id : int32\n---\nx = null : <blob@>";
        let copy = declare(&copier, "other", "Copy", Tier::Manual, None, definition);
        copier.begin().unwrap();
        let rows = copier.table("lab.Data").unwrap().proj(keep(["x"])).unwrap();
        copy.insert_select(&rows, &InsertOptions::default())
            .unwrap();
        (&data & "id = 1").delete_quick().unwrap();
        holder.commit().unwrap();
        // Now it waits for the copier.
        while !waiting() && !collecting.is_finished() {}
        copier.commit().unwrap();
        collecting.join().unwrap();
        copy
    });
    assert_eq!((check(&copy, "1 = 1"), check(&data, "1 = 1")), (1, 1));
}
