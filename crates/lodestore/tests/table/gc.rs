//! Collection: what no row refers to goes, what any row refers to stays, and any doubt stops it.

use std::sync::Arc;

use lodestore::codec::Registry;
use lodestore::definition::Tier;
use lodestore::gc::{GcOptions, collect, list_hash_paths, referenced_paths, scan};
use lodestore::progress::Silent;
use lodestore::row;
use lodestore::schema::Lode;
use lodestore::sql::{BackendKind, Statement};
use lodestore::store::fault::{Fault, FaultStore};
use lodestore::store::{FileStore, Store, StoreOptions, StoreSet, StoreSpec};
use lodestore::table::{FetchOptions, InsertOptions, Table};
use lodestore::value::{Json, Value};

use super::common::{Database, kind};
use super::support::{Lab, array, declare, rows};

fn filled() -> (Lab, Table) {
    let lab = Lab::new();
    let data = lab.declare(
        "Data",
        Tier::Manual,
        "id : int32\n---\nx = null : <blob@>\ny = null : <npy@>\nz = null : <attach@>",
    );
    data.insert(
        rows(
            6,
            |i| row! { id: i, x: array(&[i as f64; 20]), y: array(&[i as f64]) },
        ),
        &InsertOptions::default(),
    )
    .unwrap();
    (lab, data)
}

#[test]
fn a_plan_shows_what_would_go_and_removes_nothing_until_executed() {
    let (lab, data) = filled();
    (&data & "id < 2").delete_quick().unwrap();
    let plan = scan(&lab.lode, &["lab"], &GcOptions::default()).unwrap();
    assert_eq!(
        (
            plan.orphans().len(),
            plan.stats().hash.orphaned,
            plan.stats().schema.orphaned
        ),
        (4, 2, 2)
    );
    assert_eq!(
        (plan.stats().hash.referenced, plan.stats().hash.stored),
        (4, 6)
    );
    assert_eq!(lab.files().len(), 12);
    let bytes: u64 = plan.orphans().iter().map(|o| o.size).sum();
    let stats = plan.execute(&Silent).unwrap();
    assert_eq!(
        (
            stats.hash.deleted,
            stats.schema.deleted,
            stats.bytes_freed,
            stats.errors
        ),
        (2, 2, bytes, 0)
    );
    assert_eq!(lab.files().len(), 8);
    // Empty folders are gone too.
    assert!(!lab.store().join("_schema/lab/data/id=0").exists());
    assert_eq!(
        collect(&lab.lode, &["lab"], false, &GcOptions::default())
            .unwrap()
            .hash
            .deleted,
        0
    );
    assert_eq!(data.batch(&Default::default()).unwrap().rows, 4);
}

#[test]
fn statistics_speak_both_vocabularies() {
    let (lab, data) = filled();
    (&data & "id = 0").delete_quick().unwrap();
    let json = collect(&lab.lode, &["lab"], true, &GcOptions::default())
        .unwrap()
        .to_json();
    for (ours, theirs) in [
        ("hash_referenced", "hash_paths_referenced"),
        ("hash_stored", "hash_paths_stored"),
        ("hash_orphaned", "hash_paths_orphaned"),
        ("hash_orphaned_bytes", "hash_paths_orphaned_bytes"),
        ("hash_deleted", "hash_paths_deleted"),
        ("orphaned_hashes", "orphaned_hash_paths"),
        ("orphaned_paths", "orphaned_schema_paths"),
    ] {
        assert_eq!(json[ours], json[theirs], "{ours}");
    }
    assert_eq!(
        (
            json["orphaned"].as_u64(),
            json["deleted"].as_u64(),
            json["dry_run"].as_bool()
        ),
        (Some(2), Some(0), Some(true))
    );
    assert_eq!(json["schema_paths_referenced"], 5);
    let text = lodestore::gc::format_stats(
        &collect(&lab.lode, &["lab"], true, &GcOptions::default()).unwrap(),
    );
    assert!(
        text.contains("referenced: 5") && text.contains("dry run"),
        "{text}"
    );
}

#[test]
fn content_shared_by_rows_or_copied_to_another_schema_stays() {
    let (lab, data) = filled();
    lab.lode.create_schema("other").unwrap();
    let copy = declare(
        &lab.lode,
        "other",
        "Copy",
        Tier::Manual,
        None,
        "id : int32\n---\nx = null : <blob@>",
    );
    copy.insert_select(
        &data.proj(lodestore::query::keep(["x"])).unwrap(),
        &InsertOptions::default(),
    )
    .unwrap();
    data.insert1(row! { id: 77, x: array(&[3.0; 20]) }).unwrap();
    data.delete_quick().unwrap();
    let stats = collect(&lab.lode, &["lab"], false, &GcOptions::default()).unwrap();
    assert_eq!((stats.hash.deleted, stats.schema.deleted), (0, 6));
    assert_eq!(copy.batch(&Default::default()).unwrap().rows, 6);
}

#[test]
fn two_names_of_one_directory_are_one_store() {
    let (lab, data) = filled();
    let spec = serde_json::json!({"protocol": "file", "location": lab.store().join(".").to_str().unwrap()});
    let own = serde_json::json!({"protocol": "file", "location": lab.store().to_str().unwrap()});
    lab.lode
        .config()
        .set_store("local", own.as_object().unwrap().clone())
        .unwrap();
    lab.lode
        .config()
        .set("stores.default", serde_json::json!("local"))
        .unwrap();
    lab.lode
        .config()
        .set_store("alias", spec.as_object().unwrap().clone())
        .unwrap();
    // A null store, as older rows have it, may mean any store.
    let raw = FetchOptions {
        decode: false,
        ..FetchOptions::default()
    };
    let row = (&data & "id = 1").batch(&raw).unwrap().row(0);
    let Some(Value::Json(x)) = row.get("x") else {
        panic!("{row:?}")
    };
    let mut x = x.parse().unwrap();
    x["store"] = serde_json::Value::Null;
    let x = Json::checked(x.to_string()).unwrap();
    lab.run(
        &format!("UPDATE {} SET x = {{}} WHERE id = 1", lab.full_name("data")),
        x.into(),
    );
    let stats = collect(&lab.lode, &["lab"], false, &GcOptions::store("alias")).unwrap();
    assert_eq!(
        (
            stats.hash.deleted,
            stats.schema.deleted,
            stats.hash.referenced
        ),
        (0, 0, 6)
    );
    assert_eq!(data.batch(&Default::default()).unwrap().rows, 6);
}

#[test]
fn hidden_files_and_other_schemas_are_not_touched() {
    let (lab, _) = filled();
    std::fs::write(lab.store().join("mine.txt"), "keep").unwrap();
    std::fs::create_dir_all(lab.store().join("_hash/foreign")).unwrap();
    std::fs::write(
        lab.store().join("_hash/foreign/lvauakv4jmvhnolrtwiraf6fsi"),
        "keep",
    )
    .unwrap();
    std::fs::write(lab.store().join("_hash/lab/notes.txt"), "keep").unwrap();
    let stats = collect(&lab.lode, &["lab"], false, &GcOptions::default()).unwrap();
    assert_eq!((stats.hash.deleted, stats.schema.deleted), (0, 0));
    assert_eq!(lab.files().len(), 15);
}

#[test]
fn without_a_known_schema_there_is_nothing_to_scan() {
    let (lab, _) = filled();
    assert!(scan(&lab.lode, &[], &GcOptions::default()).is_err());
    assert!(
        scan(&lab.lode, &["labb"], &GcOptions::default())
            .err()
            .unwrap()
            .to_string()
            .contains("`lab`")
    );
    assert!(scan(&lab.lode, &["lab"], &GcOptions::store("nowhere")).is_err());
}

#[test]
fn collecting_inside_a_transaction_is_refused() {
    let (lab, data) = filled();
    let result = lab.lode.transaction(|| {
        data.delete_quick()?;
        collect(&lab.lode, &["lab"], false, &GcOptions::default()).map(|_| ())
    });
    assert!(result.is_err());
    assert_eq!((data.count().unwrap(), lab.files().len()), (6, 12));
}

#[test]
fn an_unknown_codec_whose_values_are_not_json_stops_collection_and_json_ones_are_read() {
    let (lab, data) = filled();
    let comment = |table: &str, column: &str, type_: &str, text: &str| {
        let text = match kind() {
            BackendKind::Sqlite => format!(
                "UPDATE \"~comment\" SET comment = '{text}' WHERE schema_name = 'lab' AND table_name = '{table}' \
                 AND column_name = '{column}'"
            ),
            BackendKind::Postgres => format!("COMMENT ON COLUMN lab.{table}.{column} IS '{text}'"),
            BackendKind::MySql => {
                format!("ALTER TABLE lab.{table} MODIFY {column} {type_} NULL COMMENT '{text}'")
            }
        };
        lab.lode.backend().execute(&Statement::new(text)).unwrap();
        lab.lode.refresh("lab");
    };
    // Its module is not imported here; the column is JSON, so the paths can be read all the same.
    comment("data", "y", "json", ":<spectrum@>:");
    let stats = collect(&lab.lode, &["lab"], false, &GcOptions::default()).unwrap();
    assert_eq!((stats.schema.referenced, stats.schema.deleted), (6, 0));
    let opaque = lab.declare("Opaque", Tier::Manual, "id : int32\n---\nv = null : <blob>");
    comment("opaque", "v", "longblob", ":<secret>:");
    data.count().unwrap();
    let error = scan(&lab.lode, &["lab"], &GcOptions::default())
        .err()
        .unwrap();
    assert!(error.to_string().contains("<secret>"), "{error}");
    assert_eq!(error.place().table.as_deref(), Some(&*opaque.name().name));
}

#[test]
fn a_listing_that_fails_stops_collection() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("objects");
    std::fs::create_dir_all(&location).unwrap();
    let database = Database::new();
    let config = database.config(dir.path());
    let backend = lodestore::sql::connect(&config).unwrap();
    let spec = StoreSpec::file("local", location.to_str().unwrap());
    let store: Arc<dyn Store> = Arc::new(FileStore::open(spec, StoreOptions::default()).unwrap());
    let stores = Arc::new(StoreSet::of([
        Arc::new(FaultStore::new(store, Fault::Unlistable, 0)) as Arc<dyn Store>,
    ]));
    let lode = Lode::with_parts(config, backend, stores, Arc::clone(Registry::global()));
    lode.create_schema("lab").unwrap();
    assert!(collect(&lode, &["lab"], false, &GcOptions::default()).is_err());
}

#[test]
fn removing_most_of_a_large_store_needs_force() {
    let lab = Lab::new();
    lab.declare("Data", Tier::Manual, "id : int32\n---\nx = null : <blob@>");
    let folder = lab.store().join("_hash/lab");
    std::fs::create_dir_all(&folder).unwrap();
    for i in 0..1001 {
        let digits: String = (0..5)
            .map(|p| char::from(b'a' + ((i / 10usize.pow(p)) % 10) as u8))
            .collect();
        std::fs::write(folder.join(format!("{digits}{}", "a".repeat(21))), "x").unwrap();
    }
    let error = collect(&lab.lode, &["lab"], false, &GcOptions::default()).unwrap_err();
    assert!(error.to_string().contains("force"), "{error}");
    assert_eq!(lab.files().len(), 1001);
    let forced = GcOptions {
        force: true,
        ..GcOptions::default()
    };
    assert_eq!(
        collect(&lab.lode, &["lab"], false, &forced)
            .unwrap()
            .hash
            .deleted,
        1001
    );
}

#[test]
fn young_files_can_be_spared_unless_a_row_dropped_them() {
    let (lab, data) = filled();
    std::fs::write(
        lab.store().join("_hash/lab/lvauakv4jmvhnolrtwiraf6fsi"),
        "hello",
    )
    .unwrap();
    (&data & "id = 0").delete_quick().unwrap();
    let patient = GcOptions {
        grace: Some(3600.0),
        ..GcOptions::default()
    };
    let stats = collect(&lab.lode, &["lab"], false, &patient).unwrap();
    assert_eq!((stats.hash.deleted, stats.schema.deleted), (1, 1));
    let stats = collect(&lab.lode, &["lab"], false, &GcOptions::default()).unwrap();
    assert_eq!((stats.hash.deleted, stats.schema.deleted), (1, 0));
}

#[test]
fn the_sections_can_be_listed_and_read_one_by_one() {
    let (lab, _) = filled();
    let listed = list_hash_paths(&lab.lode, "lab", &GcOptions::default()).unwrap();
    let (hash, schema) = referenced_paths(&lab.lode, &["lab"], &GcOptions::default()).unwrap();
    assert_eq!(
        listed
            .keys()
            .cloned()
            .collect::<std::collections::BTreeSet<_>>(),
        hash
    );
    assert_eq!(schema.len(), 6);
    let live = schema.into_iter().next().unwrap();
    assert!(lodestore::gc::delete_schema_path(&lab.lode, &live, &GcOptions::default()).is_err());
}

#[test]
fn collecting_while_others_insert_loses_nothing() {
    // Two connections: one inserts and deletes, the other collects as fast as it can. An insert may be told that its
    // object vanished; a committed row never lacks its object.
    let (lab, data) = filled();
    let other = lab.again();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut refused = 0;
            for i in 100..160 {
                // The same few contents again and again: hits on objects that are about to go.
                let row = row! { id: i, x: array(&[(i % 3) as f64; 20]), y: array(&[i as f64]) };
                match data.insert1(row) {
                    Ok(()) => {}
                    Err(e) if e.kind() == lodestore::ErrorKind::MissingObject => refused += 1,
                    Err(e) => panic!("{e}"),
                }
                (&data & format!("id = {}", i - 2)).delete_quick().unwrap();
            }
            refused
        });
        while !writer.is_finished() {
            collect(&other, &["lab"], false, &GcOptions::default()).unwrap();
        }
        writer.join().unwrap();
    });
    let batch = data.batch(&Default::default()).unwrap();
    for value in batch.column("y").unwrap().values() {
        if let Some(npy) = value.foreign::<lodestore::codec::NpyRef>() {
            npy.load().unwrap();
        }
    }
    assert!(batch.rows > 0);
}
