//! The algebra on declared tables of a real database: typed operands, lineage, hidden columns, long key lists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use jiff::civil::{date, datetime};
use lodestore::definition::{ForeignKeyLine, TableName, Tier, class_to_table};
use lodestore::error::ErrorKind;
use lodestore::query::{Cond, JoinOptions, Query, Top, U, all, col, keep};
use lodestore::schema::{Declare, ForeignKeyTarget, HiddenColumns, Lode};
use lodestore::table::InsertOptions;
use lodestore::value::{Json, Row, Value};
use lodestore::{any, row, sql};
use uuid::Uuid;

mod common;

use common::Database;

fn declare(lode: &Lode, tier: Tier, class_name: &str, definition: &str) {
    let hidden = HiddenColumns {
        job_metadata: tier == Tier::Computed,
        provenance: false,
    };
    let mut resolve = |line: &ForeignKeyLine| {
        let target = line.target.as_ref().unwrap();
        let stored = class_to_table(&target.name)?;
        let tables = lode.all_tables("lab")?;
        let table = tables
            .into_iter()
            .find(|t| t.name.trim_start_matches(['#', '_']) == stored)
            .unwrap();
        Ok(ForeignKeyTarget {
            table,
            renames: target.renames.clone(),
        })
    };
    let declare = Declare {
        schema: "lab",
        class_name,
        tier,
        master: None,
        definition,
        hidden,
        resolve: &mut resolve,
    };
    lode.declare(declare).unwrap();
}

fn fill(lode: &Lode, table: &str, rows: Vec<Row>) {
    let options = InsertOptions {
        allow_direct_insert: true,
        ..InsertOptions::default()
    };
    lode.table(table).unwrap().insert(rows, &options).unwrap();
}

struct Lab {
    lode: Lode,
    _database: Database,
    _folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new();
        let lode = database.open(folder.path());
        lode.create_schema("lab").unwrap();
        declare(
            &lode,
            Tier::Manual,
            "Subject",
            "subject_id : int32\n---\nname : varchar(8)\nweight = null : float32",
        );
        declare(
            &lode,
            Tier::Lookup,
            "Rig",
            "rig : varchar(8)\n---\nroom : int16",
        );
        declare(
            &lode,
            Tier::Manual,
            "Session",
            "-> Subject\nsession_no : int16\n---\nsession_date : date\n-> [nullable] Rig\nmeta = null : json",
        );
        declare(
            &lode,
            Tier::Manual,
            "Typed",
            "token : uuid\n---\nprice : decimal(8,2)\ndone : bool\nat : datetime(3)\nratio : float32\nraw : bytes\n\
             data = null : <blob>",
        );
        declare(
            &lode,
            Tier::Computed,
            "Stat",
            "-> Session\n---\nmean : float64",
        );
        declare(
            &lode,
            Tier::Manual,
            "Wild",
            "subject_id : int32\n---\nhabitat : varchar(8)",
        );
        fill(
            &lode,
            "lab.Subject",
            vec![
                row! { subject_id: 1, name: "ann", weight: 20.1 },
                row! { subject_id: 2, name: "O'B", weight: Value::Null },
                row! { subject_id: 3, name: "cat", weight: 30.0 },
            ],
        );
        fill(
            &lode,
            "lab.Rig",
            vec![row! { rig: "a", room: 1 }, row! { rig: "b", room: 2 }],
        );
        let meta = |text: &str| Json::checked(text.to_owned()).unwrap();
        fill(
            &lode,
            "lab.Session",
            vec![
                row! { subject_id: 1, session_no: 1, session_date: date(2024, 1, 1), rig: "a",
                meta: meta(r#"{"n": 2, "s": "x", "f": 0.5, "yes": true, "list": [1, {"k": "v"}]}"#) },
                row! { subject_id: 1, session_no: 2, session_date: date(2024, 6, 1), rig: Value::Null,
                meta: meta(r#"{"n": 3, "s": null}"#) },
                row! { subject_id: 2, session_no: 1, session_date: date(2025, 1, 1), rig: Value::Null, meta: Value::Null },
            ],
        );
        fill(
            &lode,
            "lab.Stat",
            vec![row! { subject_id: 1, session_no: 1, mean: 0.5 }],
        );
        fill(
            &lode,
            "lab.Typed",
            (0..3)
                .map(|n| {
                    row! {
                        token: Uuid::from_u128(n), price: Value::Decimal(format!("{n}0.5")), done: n == 1,
                        at: datetime(2024, 1, 1, 0, 0, n as i8, 500_000_000), ratio: 0.1 * n as f64, raw: vec![n as u8],
                        data: Value::Null,
                    }
                })
                .collect(),
        );
        Lab {
            lode,
            _database: database,
            _folder: folder,
        }
    }

    fn table(&self, class: &str) -> Query {
        Query::clone(&*self.lode.table(&format!("lab.{class}")).unwrap())
    }

    fn count(&self, query: &Query) -> u64 {
        let count = query.count().unwrap();
        assert_eq!(query.batch(&Default::default()).unwrap().rows as u64, count);
        assert_eq!(query.exists().unwrap(), count > 0);
        count
    }
}

#[test]
fn operands_are_compared_in_the_form_in_which_their_attribute_is_stored() {
    let lab = Lab::new();
    let typed = lab.table("Typed");
    let id = Uuid::from_u128(1);
    for cond in [
        Cond::from(row! { token: id }),
        row! { token: id.to_string() }.into(),
        row! { price: Value::Decimal("10.500".into()) }.into(),
        row! { price: 10.5 }.into(),
        row! { price: "10.5" }.into(),
        row! { done: true }.into(),
        row! { done: 1 }.into(),
        row! { at: datetime(2024, 1, 1, 0, 0, 1, 500_000_000) }.into(),
        row! { at: "2024-01-01 00:00:01.5" }.into(),
        row! { at: "2024-01-01T00:00:01.500000" }.into(),
        row! { ratio: 0.1 }.into(),
        row! { raw: vec![1u8] }.into(),
        "done".into(),
        "price > 9.4 and price < 11".into(),
        sql!("token = {}", id).into(),
        sql!(
            "at BETWEEN {} AND {}",
            datetime(2024, 1, 1, 0, 0, 1, 0),
            datetime(2024, 1, 1, 0, 0, 2, 0)
        )
        .into(),
        Cond::All(vec![
            col("price").gt(9.4),
            col("price").le(Value::Decimal("10.50".into())),
        ]),
        any![
            row! { token: id, price: 10.5 },
            row! { token: id, price: 99 }
        ],
    ] {
        assert_eq!(lab.count(&(&typed & cond.clone())), 1, "{cond:?}");
        assert_eq!(lab.count(&(&typed - cond.clone())), 2, "not {cond:?}");
    }
    assert_eq!(lab.count(&(&typed & row! { data: Value::Null })), 3);
    assert_eq!(
        (&typed & row! { data: 5 }).check().unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(
        (&typed & row! { token: "no uuid" })
            .count()
            .unwrap_err()
            .kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn quotes_in_values_are_only_characters() {
    let lab = Lab::new();
    let subject = lab.table("Subject");
    assert_eq!(lab.count(&(&subject & row! { name: "O'B" })), 1);
    for evil in [
        "' OR 1=1 --",
        "\\' OR 1=1 --",
        "\" OR \"\"=\"",
        "%",
        "{}",
        "?1",
        "$1",
    ] {
        assert_eq!(lab.count(&(&subject & row! { name: evil })), 0, "{evil}");
        assert_eq!(
            lab.count(&(&subject & sql!("name = {}", evil))),
            0,
            "{evil}"
        );
        let path: Row = [("meta.s", evil)].into_iter().collect();
        assert_eq!(lab.count(&(&lab.table("Session") & path)), 0, "{evil}");
    }
    assert_eq!(
        lab.count(&(&subject & "name = \"O'B\" and `subject_id` = 2")),
        1
    );
}

#[test]
fn json_is_restricted_by_path_and_by_document() {
    let lab = Lab::new();
    let session = lab.table("Session");
    let at = |path: &str, value: Value| &session & [(path, value)].into_iter().collect::<Row>();
    for (path, value) in [
        ("meta.n", Value::Int(2)),
        ("meta.n:signed", Value::Int(2)),
        ("meta.s", Value::from("x")),
        ("meta.f", Value::Float(0.5)),
        ("meta.yes", Value::Bool(true)),
        ("meta.list[0]", Value::Int(1)),
        ("meta.list[1].k", Value::from("v")),
        ("meta.list[1]", Value::Map(vec![("k".into(), "v".into())])),
    ] {
        assert_eq!(lab.count(&at(path, value.clone())), 1, "{path} = {value:?}");
    }
    assert_eq!(lab.count(&at("meta.s", Value::Null)), 2);
    assert_eq!(lab.count(&at("meta", Value::Null)), 1);
    let document = Value::Map(vec![("n".into(), 3.into()), ("s".into(), Value::Null)]);
    assert_eq!(lab.count(&at("meta", document)), 1);
    let n = session
        .proj(keep(()).compute("n", "subject_id * 10 + session_no"))
        .unwrap();
    assert_eq!(lab.count(&(&n & "n > 11")), 2);
}

#[test]
fn attributes_are_matched_by_origin() {
    let lab = Lab::new();
    let (subject, session, wild) = (
        lab.table("Subject"),
        lab.table("Session"),
        lab.table("Wild"),
    );
    for error in [
        subject.join(&wild, JoinOptions::default()).unwrap_err(),
        subject.restrict(&wild).unwrap_err(),
        wild.aggr(&session, keep(())).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("lab.wild.subject_id"), "{error}");
        assert!(error.hint_text().unwrap().contains("proj("), "{error}");
    }
    let mother = subject
        .proj(keep(()).rename("mother", "subject_id"))
        .unwrap();
    assert_eq!(lab.count(&(&subject * &mother)), 9);
    assert_eq!(lab.count(&(&(&subject * &session) * &lab.table("Rig"))), 1);
    assert_eq!(lab.count(&session.extend(&lab.table("Rig")).unwrap()), 3);
}

#[test]
fn hidden_columns_do_not_show_and_do_not_join() {
    let lab = Lab::new();
    let stat = lab.table("Stat");
    assert!(stat.heading().unwrap().names().all(|n| !n.starts_with('_')));
    assert_eq!(
        lab.count(&(&stat & "_job_duration is null or _job_duration >= 0")),
        1
    );
    let twice = &stat * &stat.proj(keep(())).unwrap();
    assert_eq!(lab.count(&twice), 1);
    // Both sides have them, and one condition speaks of them.
    assert_eq!(
        lab.count(&(&(&stat & "_job_duration is null or 1 = 1") * &stat.proj(keep(())).unwrap())),
        1
    );
}

#[test]
fn null_and_the_antijoin() {
    let lab = Lab::new();
    let (rig, session) = (lab.table("Rig"), lab.table("Session"));
    assert_eq!(lab.count(&(&rig - &session)), 1);
    assert_eq!(lab.count(&(&session - &rig)), 2);
    assert_eq!(lab.count(&(&session & &rig)), 1);
    assert_eq!(lab.count(&(U(["rig"]) & &session)), 2);
    assert_eq!(
        lab.count(&(&session - row! { subject_id: 1, session_no: 1 })),
        2
    );
}

#[test]
fn thousands_of_keys_are_one_condition() {
    let lab = Lab::new();
    fill(
        &lab.lode,
        "lab.Subject",
        (100..6100)
            .map(|n| row! { subject_id: n, name: "x", weight: Value::Null })
            .collect(),
    );
    let subject = lab.table("Subject");
    let keys: Vec<Row> = (&subject & "subject_id >= 100").keys().unwrap();
    assert_eq!(keys.len(), 6000);
    let started = std::time::Instant::now();
    assert_eq!((&subject & keys.clone()).count().unwrap(), 6000);
    assert_eq!((&subject - keys.clone()).count().unwrap(), 3);
    // Whole rows, floats and NULL among them, three attributes each.
    let rows: Vec<Row> = subject
        .batch(&Default::default())
        .unwrap()
        .iter_rows()
        .collect();
    assert_eq!((&subject & rows).count().unwrap(), 6003);
    // Conditions that are no keys.
    let documents: Vec<Cond> = (0..3000)
        .map(|n| sql!("subject_id = {}", n).into())
        .collect();
    assert_eq!((&subject & documents).count().unwrap(), 2903);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn tops_and_projections_on_a_table() {
    let lab = Lab::new();
    let session = lab.table("Session");
    let top = &session & Top::limit(1).order_by(["session_date DESC", "KEY"]);
    let row = top.batch(&Default::default()).unwrap().row(0);
    assert_eq!(
        format!("{:?}", row.get("session_date").unwrap()),
        format!("{:?}", Value::from(date(2025, 1, 1)))
    );
    let y = session
        .proj(
            all()
                .drop("meta")
                .rename("d", "session_date")
                .compute("y", "YEAR(session_date)"),
        )
        .unwrap();
    assert_eq!(lab.count(&(&y & "y = 2024")), 2);
    assert_eq!(lab.count(&(&y & row! { d: date(2024, 1, 1) })), 1);
    assert_eq!(lab.count(&(&y & "d > '2024-03-01' and rig is null")), 2);
    let busy = lab
        .table("Subject")
        .aggr(&session, keep("name").compute("n", "count(session_no)"))
        .unwrap();
    assert_eq!(lab.count(&busy), 3);
    assert_eq!(lab.count(&(&busy & "n > 1")), 1);
    assert_eq!(lab.count(&(&busy & row! { n: 0 })), 1);
}

#[test]
fn a_table_that_is_not_there_is_an_error_of_its_first_use() {
    let lab = Lab::new();
    let query = Query::table(&lab.lode, &TableName::new("lab", "nothing").unwrap());
    let error = (&query & "a = 1").count().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingTable);
    assert!(!format!("{query:?}").is_empty());
    let error = (&lab.table("Subject") & "1 = no_such_function(2)")
        .count()
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Query | ErrorKind::QuerySyntax),
        "{:?}",
        error.kind()
    );
}

#[test]
fn make_sql_runs_as_it_is() {
    let lab = Lab::new();
    let typed = lab.table("Typed");
    let query = &typed
        & row! { token: Uuid::from_u128(1), price: 10.5, done: true, ratio: 0.1, raw: vec![1u8] };
    let text = query.make_sql(lab.lode.dialect(), None).unwrap();
    let batch = lab
        .lode
        .backend()
        .query_any(&lodestore::sql::Statement::new(text))
        .unwrap();
    assert_eq!(batch.rows, 1);
}
