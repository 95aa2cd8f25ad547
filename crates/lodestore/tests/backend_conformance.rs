//! One suite of claims about `sql::Backend`, run on every implementation there is. A new backend adds an entry to
//! `backends`; what only one database does is at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use lodestore::config::Config;
use lodestore::definition::{Default, Marker, StorageType, Type};
use lodestore::error::{ErrorKind, Result};
use lodestore::schema::column_kind;
use lodestore::sql::sqlite::{Sqlite, SqliteOptions};
use lodestore::sql::{
    Backend, BackendKind, ColumnSpec, Conflict, ForeignKeySpec, IndexSpec, Insert, JsonStep,
    OutputColumn, Statement, TableSpec,
};
use lodestore::value::{Batch, ColumnKind, Json, Value};

thread_local! {
    /// The schema of the test that runs on this thread. Servers are shared: each test has one of its own.
    static SCHEMA: RefCell<String> = const { RefCell::new(String::new()) };
}

fn schema() -> String {
    SCHEMA.with_borrow(String::clone)
}

fn use_schema(name: &str) {
    SCHEMA.with_borrow_mut(|s| name.clone_into(s));
}

/// What is removed again after a test: a folder, and a schema on a server.
struct Fixture {
    _folder: Option<tempfile::TempDir>,
    server: Option<(String, String)>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let Some((url, schema)) = &self.server else {
            return;
        };
        let backend = open(url);
        let quoted = backend.dialect().quote(schema);
        let text = match backend.dialect().kind() {
            BackendKind::Postgres => format!("DROP SCHEMA IF EXISTS {quoted} CASCADE"),
            _ => format!("DROP DATABASE IF EXISTS {quoted}"),
        };
        let _ = backend.execute(&Statement::new(text));
    }
}

fn open(url: &str) -> Arc<dyn Backend> {
    lodestore::sql::connect(&Config::for_url(url).unwrap()).unwrap()
}

/// Every implementation, fresh, with a schema of the name that `schema` tells. Servers are those that the environment
/// names.
fn backends() -> Vec<(&'static str, Arc<dyn Backend>, Fixture)> {
    use_schema(&format!("lab_{:08x}", rand::random::<u32>()));
    let folder = || Fixture {
        _folder: Some(tempfile::tempdir().unwrap()),
        server: None,
    };
    let (file, memory) = (folder(), folder());
    let path = file._folder.as_ref().unwrap().path().join("lab.db");
    let on_file = Sqlite::open(path, SqliteOptions::default()).unwrap();
    let in_memory = Sqlite::open(":memory:", SqliteOptions::default()).unwrap();
    let mut all: Vec<(_, Arc<dyn Backend>, _)> = vec![
        ("sqlite file", Arc::new(on_file), file),
        ("sqlite memory", Arc::new(in_memory), memory),
    ];
    for (name, variable) in [
        ("postgresql", "LODE_TEST_POSTGRESQL"),
        ("mysql", "LODE_TEST_MYSQL"),
    ] {
        let Ok(url) = std::env::var(variable) else {
            eprintln!("SKIPPED: no {variable}");
            continue;
        };
        let backend = open(&url);
        let fixture = Fixture {
            _folder: None,
            server: Some((url, schema())),
        };
        all.push((name, backend, fixture));
    }
    for (_, backend, _) in &all {
        backend.create_schema(&schema()).unwrap();
    }
    all
}

fn storage(type_: &str) -> StorageType {
    StorageType::parse(type_).unwrap()
}

fn column(name: &str, type_: &str, default: Default) -> ColumnSpec {
    let type_ = Type::parse(type_).unwrap();
    ColumnSpec {
        name: name.into(),
        comment: Marker::compose(&type_, "a comment"),
        storage: type_.storage().unwrap(),
        default,
        nullable: false,
        inherited: false,
        known_type: None,
    }
}

fn table(name: &str, columns: Vec<ColumnSpec>, key: &[&str]) -> TableSpec {
    TableSpec {
        schema: schema(),
        table: name.into(),
        comment: "it's a \"table\" with 100% \\ in it".into(),
        columns,
        primary_key: key.iter().map(|k| (*k).to_owned()).collect(),
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
    }
}

fn create(backend: &dyn Backend, table: &TableSpec) {
    for statement in backend.dialect().create_table(table).unwrap() {
        backend.execute(&statement).unwrap();
    }
}

/// `species(species*)` and `subject(subject_id* | species → species, sex?, weight, note)`.
fn lab(backend: &dyn Backend) {
    create(
        backend,
        &table(
            "#species",
            vec![column("species", "varchar(16)", Default::Required)],
            &["species"],
        ),
    );
    let mut subject = table(
        "subject",
        vec![
            column("subject_id", "int32", Default::Required),
            column("species", "varchar(16)", Default::Required),
            column("sex", "enum('M','F')", Default::Null),
            column("weight", "float64", Default::Literal("1.5".into())),
            column("note", "varchar(10)", Default::Literal("none".into())),
        ],
        &["subject_id"],
    );
    subject.foreign_keys.push(ForeignKeySpec {
        columns: vec!["species".into()],
        parent_schema: schema(),
        parent_table: "#species".into(),
        parent_columns: vec!["species".into()],
    });
    subject.indexes.push(IndexSpec {
        unique: true,
        terms: vec!["note".into(), "sex".into()],
    });
    create(backend, &subject);
    insert(
        backend,
        "#species",
        &[("species", "varchar(16)")],
        &["species"],
        &[vec![Some("mouse".into())]],
        Conflict::Error,
    )
    .unwrap();
}

fn insert(
    backend: &dyn Backend,
    table: &str,
    columns: &[(&str, &str)],
    key: &[&str],
    rows: &[Vec<Option<Value>>],
    conflict: Conflict,
) -> Result<u64> {
    let columns: Vec<(Arc<str>, StorageType)> = columns
        .iter()
        .map(|(n, t)| ((*n).into(), storage(t)))
        .collect();
    let key: Vec<Arc<str>> = key.iter().map(|k| (*k).into()).collect();
    let other: Vec<Arc<str>> = match table {
        "subject" => ["species", "sex", "weight", "note"].map(Arc::from).to_vec(),
        _ => Vec::new(),
    };
    let rows: Vec<Vec<Option<Value>>> = rows
        .iter()
        .map(|row| stored(backend, &columns, row))
        .collect::<Result<_>>()?;
    backend.insert(&Insert {
        schema: &schema(),
        table,
        columns: &columns,
        primary_key: &key,
        other_columns: &other,
        rows: &rows,
        conflict,
    })
}

/// A row as the table layer hands it over: in stored form.
fn stored(
    backend: &dyn Backend,
    columns: &[(Arc<str>, StorageType)],
    row: &[Option<Value>],
) -> Result<Vec<Option<Value>>> {
    let values = row.iter().zip(columns);
    values
        .map(|(value, (_, storage))| match value {
            Some(Value::Text(t)) if t.is_empty() => Ok(value.clone()),
            Some(value) => backend.dialect().stored(storage, value).map(Some),
            None => Ok(None),
        })
        .collect()
}

/// Subjects with these ids; the note makes each unique.
fn subjects(backend: &dyn Backend, ids: impl IntoIterator<Item = i64>) -> Result<u64> {
    let rows: Vec<_> = ids
        .into_iter()
        .map(|id| {
            vec![
                Some(id.into()),
                Some("mouse".into()),
                None,
                None,
                Some(id.to_string().into()),
            ]
        })
        .collect();
    insert(
        backend,
        "subject",
        &SUBJECT,
        &["subject_id"],
        &rows,
        Conflict::Error,
    )
}

const SUBJECT: [(&str, &str); 5] = [
    ("subject_id", "int32"),
    ("species", "varchar(16)"),
    ("sex", "enum('M','F')"),
    ("weight", "float64"),
    ("note", "varchar(10)"),
];

fn count(backend: &dyn Backend, table: &str) -> i64 {
    let text = format!(
        "SELECT count(*) FROM {}",
        backend.dialect().full_name(&schema(), table)
    );
    match backend
        .query_any(&Statement::new(text))
        .unwrap()
        .value(0, 0)
    {
        Value::Int(n) => n,
        other => panic!("{other:?}"),
    }
}

fn output(name: &str, kind: ColumnKind) -> OutputColumn {
    OutputColumn {
        name: name.into(),
        kind,
        storage: None,
    }
}

fn cell(batch: &Batch, row: usize, column: usize) -> String {
    format!("{:?}", batch.value(row, column))
}

fn select(backend: &dyn Backend, table: &str, name: &str, order: &str) -> Statement {
    let d = backend.dialect();
    Statement::new(format!(
        "SELECT {} FROM {} ORDER BY {}",
        d.quote(name),
        d.full_name(&schema(), table),
        d.quote(order)
    ))
}

#[test]
fn every_type_gives_back_what_was_put_in() {
    let date = jiff::civil::date(2024, 2, 29);
    let moment = date.at(12, 30, 15, 123_456_000);
    let cases: Vec<(&str, Value, Value)> = vec![
        ("int8", (-128).into(), (-128).into()),
        ("int64", i64::MIN.into(), i64::MIN.into()),
        ("float32", 0.1.into(), f64::from(0.1_f32).into()),
        ("float64", 1e-300.into(), 1e-300.into()),
        ("float64", f64::INFINITY.into(), f64::INFINITY.into()),
        ("bool", true.into(), true.into()),
        ("bool", 0.into(), false.into()),
        (
            "decimal(12,3)",
            Value::Decimal("-12.3456".into()),
            Value::Decimal("-12.346".into()),
        ),
        ("decimal(4,0)", 7.into(), Value::Decimal("7".into())),
        ("char(5)", "ab   ".into(), "ab".into()),
        ("varchar(6)", "naïve☃".into(), "naïve☃".into()),
        ("varchar(6)", "".into(), "".into()),
        (
            "varchar(40)",
            "it's; \"q\" `b` % \\ ?1 $1".into(),
            "it's; \"q\" `b` % \\ ?1 $1".into(),
        ),
        ("enum('a','b c','d,e:f')", "d,e:f".into(), "d,e:f".into()),
        ("date", date.into(), date.into()),
        ("datetime", moment.into(), moment.into()),
        (
            "datetime(3)",
            moment.into(),
            date.at(12, 30, 15, 123_000_000).into(),
        ),
        ("datetime(0)", moment.into(), date.at(12, 30, 15, 0).into()),
        (
            "json",
            Json::checked("{\"a\": [1, null]}").unwrap().into(),
            Json::checked("{\"a\": [1, null]}").unwrap().into(),
        ),
        (
            "uuid",
            uuid::Uuid::from_u128(7).into(),
            uuid::Uuid::from_u128(7).into(),
        ),
        (
            "bytes",
            vec![0_u8, 255, 0].into(),
            vec![0_u8, 255, 0].into(),
        ),
        ("bytes", Vec::<u8>::new().into(), Vec::<u8>::new().into()),
    ];
    for (which, backend, _dir) in backends() {
        let kind = backend.dialect().kind();
        for (n, (type_, given, expected)) in cases.iter().enumerate() {
            if kind == BackendKind::MySql && matches!(given, Value::Float(f) if f.is_infinite()) {
                let error = backend.dialect().stored(&storage(type_), given);
                assert_eq!(error.unwrap_err().kind(), ErrorKind::Data);
                continue;
            }
            // A plain `datetime` keeps whole seconds there (spec: definition §3.1).
            let seconds = Value::from(date.at(12, 30, 15, 0));
            let expected = match kind {
                BackendKind::MySql if *type_ == "datetime" => &seconds,
                _ => expected,
            };
            let name = format!("t{n}");
            let columns = vec![
                column("k", "int8", Default::Required),
                column("v", type_, Default::Null),
            ];
            create(&*backend, &table(&name, columns, &["k"]));
            let rows = [
                vec![Some(1.into()), Some(given.clone())],
                vec![Some(2.into()), None],
            ];
            insert(
                &*backend,
                &name,
                &[("k", "int8"), ("v", type_)],
                &["k"],
                &rows,
                Conflict::Error,
            )
            .unwrap();
            let columns = [OutputColumn {
                name: "v".into(),
                kind: column_kind(&storage(type_)),
                storage: Some(storage(type_)),
            }];
            let batch = backend
                .query(&select(&*backend, &name, "v", "k"), &columns)
                .unwrap();
            assert_eq!(
                cell(&batch, 0, 0),
                format!("{expected:?}"),
                "{which}: {type_}"
            );
            assert_eq!(cell(&batch, 1, 0), "Null", "{which}: {type_}");
            // An operand in stored form finds the row.
            let d = backend.dialect();
            let found = Statement {
                text: format!(
                    "SELECT count(*) FROM {} WHERE {} = {}",
                    d.full_name(&schema(), &name),
                    d.quote("v"),
                    d.placeholder(1)
                ),
                params: vec![d.stored(&storage(type_), given).unwrap()],
            };
            assert_eq!(
                cell(&backend.query_any(&found).unwrap(), 0, 0),
                "Int(1)",
                "{which}: {type_}"
            );
        }
    }
}

#[test]
fn native_times_are_times() {
    for (which, backend, _dir) in backends() {
        let columns = vec![
            column("k", "int8", Default::Required),
            column("v", "time", Default::Null),
        ];
        create(&*backend, &table("t", columns, &["k"]));
        let time = jiff::civil::time(23, 59, 58, 0);
        insert(
            &*backend,
            "t",
            &[("k", "int8"), ("v", "time")],
            &["k"],
            &[vec![Some(1.into()), Some(time.into())]],
            Conflict::Error,
        )
        .unwrap();
        let batch = backend
            .query(
                &select(&*backend, "t", "v", "k"),
                &[output("v", ColumnKind::Time)],
            )
            .unwrap();
        assert_eq!(
            cell(&batch, 0, 0),
            format!("{:?}", Value::Time(time)),
            "{which}"
        );
    }
}

#[test]
fn what_a_column_cannot_hold_has_no_stored_form() {
    let wrong: Vec<(&str, Value)> = vec![
        ("int8", 128.into()),
        ("int32", 2.5.into()),
        ("int32", "twelve".into()),
        ("bool", 2.into()),
        ("decimal(4,2)", Value::Decimal("100.00".into())),
        ("varchar(3)", "four".into()),
        ("varchar(3)", vec![1_u8].into()),
        ("enum('a','b')", "A".into()),
        ("date", "2024-02-30".into()),
        ("datetime", "noon".into()),
        ("uuid", "1234".into()),
        ("bytes", "text".into()),
        ("json", Value::Json(Json::from_text("{"))),
    ];
    for (which, backend, _dir) in backends() {
        for (type_, value) in &wrong {
            let error = backend.dialect().stored(&storage(type_), value);
            assert_eq!(
                error.unwrap_err().kind(),
                ErrorKind::Data,
                "{which}: {type_}"
            );
        }
    }
}

#[test]
fn failures_have_their_kinds_and_places() {
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        lab(b);
        subjects(b, [1]).unwrap();
        let row = |id: i64, species: &str, note: &str| {
            vec![
                Some(id.into()),
                Some(species.into()),
                Some("M".into()),
                None,
                Some(note.into()),
            ]
        };
        let put = |row| {
            insert(
                b,
                "subject",
                &SUBJECT,
                &["subject_id"],
                &[row],
                Conflict::Error,
            )
            .unwrap_err()
        };

        let error = put(row(1, "mouse", "x"));
        assert_eq!(
            (error.kind(), error.place().attribute.as_deref()),
            (ErrorKind::Duplicate, Some("subject_id")),
            "{which}"
        );
        assert_eq!(
            (error.place().table.as_deref(), error.place().key.as_deref()),
            (Some("subject"), Some("subject_id=1"))
        );

        put(row(2, "rat", "x")).to_string();
        let error = put(row(2, "rat", "x"));
        assert_eq!(
            (error.kind(), error.place().attribute.as_deref()),
            (ErrorKind::Integrity, Some("species")),
            "{which}"
        );
        assert!(error.message().contains("#species"), "{which}: {error}");

        let error = insert(
            b,
            "subject",
            &SUBJECT[..1],
            &["subject_id"],
            &[vec![Some(5.into())]],
            Conflict::Error,
        )
        .unwrap_err();
        assert_eq!(
            (error.kind(), error.place().attribute.as_deref()),
            (ErrorKind::MissingAttribute, Some("species")),
            "{which}"
        );

        let d = b.dialect();
        let subject = d.full_name(&schema(), "subject");
        for (text, kind) in [
            (
                format!("DELETE FROM {}", d.full_name(&schema(), "#species")),
                ErrorKind::Integrity,
            ),
            (
                format!("SELECT * FROM {}", d.full_name(&schema(), "nothing")),
                ErrorKind::MissingTable,
            ),
            (
                format!("SELECT absent FROM {subject}"),
                ErrorKind::UnknownAttribute,
            ),
            (
                format!("INSERT INTO {subject} (absent) VALUES (1)"),
                ErrorKind::UnknownAttribute,
            ),
            ("SELEC 1".to_owned(), ErrorKind::QuerySyntax),
            (format!("UPDATE {subject} SET sex = 'X'"), ErrorKind::Data),
            (
                format!("UPDATE {subject} SET subject_id = 'x'"),
                ErrorKind::Data,
            ),
            (
                format!(
                    "SELECT 1 FROM {subject} WHERE subject_id = {}",
                    d.placeholder(1)
                ),
                ErrorKind::QuerySyntax,
            ),
        ] {
            let error = b.execute(&Statement::new(&text)).unwrap_err();
            assert_eq!(error.kind(), kind, "{which}: {text}: {error}");
        }
        let error = b.execute(&Statement {
            text: format!("SELECT {}", d.placeholder(1)),
            params: vec![Value::List(vec![])],
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Type, "{which}");
        assert_eq!(count(b, "subject"), 1, "{which}");
    }
}

#[test]
fn an_insert_is_atomic_and_leaves_an_open_transaction_usable() {
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        lab(b);
        assert_eq!(
            subjects(b, [1, 2, 3, 1]).unwrap_err().kind(),
            ErrorKind::Duplicate
        );
        assert_eq!(
            (count(b, "subject"), b.in_transaction()),
            (0, false),
            "{which}"
        );
        b.begin().unwrap();
        subjects(b, [1]).unwrap();
        let error = subjects(b, [2, 3, 1]).unwrap_err();
        assert_eq!(error.place().row, Some(2), "{which}");
        assert!(b.in_transaction(), "{which}");
        subjects(b, [2]).unwrap();
        b.commit().unwrap();
        assert_eq!(count(b, "subject"), 2, "{which}");
    }
}

#[test]
fn forty_thousand_rows_are_one_insert() {
    for (which, backend, _dir) in backends() {
        lab(&*backend);
        assert_eq!(subjects(&*backend, 0..40_000).unwrap(), 40_000, "{which}");
        assert_eq!(count(&*backend, "subject"), 40_000, "{which}");
    }
}

#[test]
fn what_is_not_given_gets_its_default() {
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        lab(b);
        let rows = [
            vec![
                Some(1.into()),
                Some("mouse".into()),
                None,
                Some(9.0.into()),
                None,
            ],
            vec![
                Some(2.into()),
                Some("mouse".into()),
                None,
                Some("".into()),
                Some("two".into()),
            ],
        ];
        insert(
            b,
            "subject",
            &SUBJECT,
            &["subject_id"],
            &rows,
            Conflict::Error,
        )
        .unwrap();
        let weights = b
            .query(
                &select(b, "subject", "weight", "subject_id"),
                &[output("weight", ColumnKind::Float)],
            )
            .unwrap();
        assert_eq!(
            (cell(&weights, 0, 0), cell(&weights, 1, 0)),
            ("Float(9.0)".into(), "Float(1.5)".into()),
            "{which}"
        );
        let notes = b
            .query(
                &select(b, "subject", "note", "subject_id"),
                &[output("note", ColumnKind::Text)],
            )
            .unwrap();
        assert_eq!(cell(&notes, 0, 0), "Text(\"none\")", "{which}");
        // A row of defaults only.
        create(
            b,
            &table(
                "t",
                vec![column("k", "int8", Default::Literal("3".into()))],
                &["k"],
            ),
        );
        assert_eq!(
            insert(b, "t", &[], &["k"], &[vec![]], Conflict::Error).unwrap(),
            1
        );
        assert_eq!(
            insert(b, "t", &[], &["k"], &[vec![]], Conflict::Skip).unwrap(),
            0,
            "{which}"
        );
        assert_eq!(
            insert(
                b,
                "t",
                &[("k", "int8")],
                &["k"],
                &[vec![None]],
                Conflict::Error
            )
            .unwrap_err()
            .kind(),
            ErrorKind::Duplicate
        );
    }
}

#[test]
fn skip_keeps_and_replace_resets() {
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        lab(b);
        create(
            b,
            &TableSpec {
                foreign_keys: vec![ForeignKeySpec {
                    columns: vec!["subject_id".into()],
                    parent_schema: schema(),
                    parent_table: "subject".into(),
                    parent_columns: vec!["subject_id".into()],
                }],
                ..table(
                    "child",
                    vec![column("subject_id", "int32", Default::Required)],
                    &["subject_id"],
                )
            },
        );
        subjects(b, [1]).unwrap();
        insert(
            b,
            "child",
            &SUBJECT[..1],
            &["subject_id"],
            &[vec![Some(1.into())]],
            Conflict::Error,
        )
        .unwrap();
        let given = [
            ("subject_id", "int32"),
            ("species", "varchar(16)"),
            ("weight", "float64"),
        ];
        let rows = [
            vec![Some(1.into()), Some("mouse".into()), Some(7.0.into())],
            vec![Some(2.into()), Some("mouse".into()), Some(8.0.into())],
        ];
        assert_eq!(
            insert(
                b,
                "subject",
                &given,
                &["subject_id"],
                &rows[..1],
                Conflict::Skip
            )
            .unwrap(),
            0,
            "{which}"
        );
        assert_eq!(
            insert(
                b,
                "subject",
                &given,
                &["subject_id"],
                &rows[..1],
                Conflict::Replace
            )
            .unwrap(),
            1,
            "{which}"
        );
        let read = |name: &str| {
            cell(
                &b.query_any(&select(b, "subject", name, "subject_id"))
                    .unwrap(),
                0,
                0,
            )
        };
        assert_eq!(
            (read("weight"), read("note")),
            ("Float(7.0)".into(), "Text(\"none\")".into()),
            "{which}"
        );
        assert_eq!(
            count(b, "child"),
            1,
            "{which}: a replaced row keeps its dependents"
        );
        // A unique index other than the key is not skipped over.
        let row = vec![
            Some(3.into()),
            Some("mouse".into()),
            Some("M".into()),
            None,
            Some("x".into()),
        ];
        insert(
            b,
            "subject",
            &SUBJECT,
            &["subject_id"],
            std::slice::from_ref(&row),
            Conflict::Error,
        )
        .unwrap();
        let mut twin = row;
        twin[0] = Some(4.into());
        let error = insert(
            b,
            "subject",
            &SUBJECT,
            &["subject_id"],
            &[twin],
            Conflict::Skip,
        )
        .unwrap_err();
        assert_eq!(
            (error.kind(), error.place().attribute.as_deref()),
            (ErrorKind::Duplicate, Some("note, sex")),
            "{which}"
        );
    }
}

#[test]
fn transactions_and_savepoints() {
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        lab(b);
        b.rollback().unwrap();
        assert!(b.commit().is_err() && b.savepoint("s").is_err(), "{which}");
        b.begin().unwrap();
        assert!(
            b.begin().is_err() && b.in_transaction(),
            "{which}: a second begin leaves the first open"
        );
        subjects(b, [1]).unwrap();
        b.savepoint("s").unwrap();
        subjects(b, [2]).unwrap();
        b.rollback_to("s").unwrap();
        b.release("s").unwrap();
        subjects(b, [3]).unwrap();
        assert_eq!(count(b, "subject"), 2, "{which}");
        b.commit().unwrap();
        b.begin().unwrap();
        subjects(b, [9]).unwrap();
        b.rollback().unwrap();
        assert_eq!(count(b, "subject"), 2, "{which}");
    }
}

#[test]
fn a_stream_is_a_snapshot_and_other_statements_run_beside_it() {
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        lab(b);
        subjects(b, 0..5000).unwrap();
        let statement = select(b, "subject", "subject_id", "subject_id");
        let columns = [output("subject_id", ColumnKind::Int)];
        let mut stream = b.stream(&statement, &columns, 1000).unwrap();
        assert_eq!(stream.next().unwrap().unwrap().rows, 1000, "{which}");
        subjects(b, 5000..6000).unwrap();
        b.execute(&Statement::new(format!(
            "DELETE FROM {}",
            b.dialect().full_name(&schema(), "subject")
        )))
        .unwrap();
        let rest: usize = stream.map(|batch| batch.unwrap().rows).sum();
        assert_eq!(rest, 4000, "{which}");

        b.begin().unwrap();
        subjects(b, 0..10).unwrap();
        let own: usize = b
            .stream(&statement, &columns, 3)
            .unwrap()
            .map(|batch| batch.unwrap().rows)
            .sum();
        assert_eq!(
            own, 10,
            "{which}: a transaction streams what it has written"
        );
        b.rollback().unwrap();

        let absent = b.dialect().full_name(&schema(), "absent");
        let wrong = Statement::new(format!("SELECT x FROM {absent}"));
        let failed = b
            .stream(&wrong, &columns, 3)
            .and_then(|mut s| s.next().unwrap_or_else(|| panic!("no error")));
        assert_eq!(
            failed.unwrap_err().kind(),
            ErrorKind::MissingTable,
            "{which}"
        );
        // Dropping a stream early is fine, and nothing stays locked.
        subjects(b, 0..5000).unwrap();
        drop(b.stream(&statement, &columns, 1).unwrap());
        subjects(b, 5000..5001).unwrap();
    }
}

#[test]
fn a_value_of_the_wrong_form_in_the_database_is_an_error_not_a_panic() {
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        for (sql, kind) in [
            ("'x'", ColumnKind::Int),
            ("1.5", ColumnKind::Int),
            ("2", ColumnKind::Bool),
            ("'2024-02-30'", ColumnKind::Date),
            ("'2024-02-28 25:00:00'", ColumnKind::DateTime),
            ("'x'", ColumnKind::Bytes),
        ] {
            let error = b
                .query(
                    &Statement::new(format!("SELECT {sql}")),
                    &[output("v", kind)],
                )
                .unwrap_err();
            assert_eq!(
                (error.kind(), error.place().attribute.as_deref()),
                (ErrorKind::Data, Some("v")),
                "{which}: {sql}"
            );
        }
        assert_eq!(
            b.query(
                &Statement::new("SELECT 1, 2"),
                &[output("v", ColumnKind::Int)]
            )
            .unwrap_err()
            .kind(),
            ErrorKind::Query
        );
    }
}

#[test]
fn the_catalogue_tells_what_was_created() {
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        assert!(b.schemas().unwrap().contains(&schema()), "{which}");
        assert!(b.create_schema(&schema()).is_err(), "{which}");
        lab(b);
        let tables = b.catalog(&schema()).unwrap();
        assert_eq!(
            tables.iter().map(|t| &*t.name).collect::<Vec<_>>(),
            ["#species", "subject"],
            "{which}"
        );
        let subject = &tables[1];
        assert_eq!(
            subject.comment, "it's a \"table\" with 100% \\ in it",
            "{which}"
        );
        assert_eq!(subject.primary_key, ["subject_id"], "{which}");
        let sex = &subject.columns[2];
        assert_eq!(
            (&*sex.comment, sex.nullable, sex.default.as_deref()),
            (":enum('M','F'):a comment", true, None),
            "{which}"
        );
        assert_eq!(
            subject.columns[4].default.as_deref(),
            Some("'none'"),
            "{which}"
        );
        let key = &subject.foreign_keys[0];
        assert_eq!(
            (&*key.parent_schema, &*key.parent_table, &key.columns[0][..]),
            (&*schema(), "#species", "species"),
            "{which}"
        );
        let indexes: Vec<(bool, String)> = subject
            .indexes
            .iter()
            .map(|i| (i.unique, i.terms.join(",")))
            .collect();
        assert_eq!(
            indexes,
            [(true, "note,sex".to_owned()), (false, "species".to_owned())],
            "{which}"
        );
        assert_eq!(
            b.referencing(&schema()).unwrap(),
            [(schema(), "subject".to_owned())],
            "{which}"
        );

        assert_eq!(
            b.drop_table(&schema(), "#species").unwrap_err().kind(),
            ErrorKind::Integrity,
            "{which}"
        );
        assert_eq!(
            b.drop_schema(&schema()).unwrap_err().kind(),
            ErrorKind::Integrity,
            "{which}"
        );
        let before = b.catalog_version().unwrap();
        b.drop_table(&schema(), "subject").unwrap();
        assert!(
            before.is_none() || before != b.catalog_version().unwrap(),
            "{which}"
        );
        assert_eq!(
            b.drop_table(&schema(), "subject").unwrap_err().kind(),
            ErrorKind::MissingTable,
            "{which}"
        );
        b.drop_table(&schema(), "#species").unwrap();
        b.drop_schema(&schema()).unwrap();
        assert!(!b.schemas().unwrap().contains(&schema()), "{which}");
    }
}

#[test]
fn json_paths_reach_into_documents() {
    let member = |name: &str| JsonStep::Member(name.into());
    for (which, backend, _dir) in backends() {
        let b = &*backend;
        create(
            b,
            &table(
                "t",
                vec![
                    column("k", "int8", Default::Required),
                    column("m", "json", Default::Null),
                ],
                &["k"],
            ),
        );
        let document = Json::checked(
            r#"{"a": {"b c": 2, "t": true, "o": {"x": [1, "y"]}}, "n": null, "it's": 1.5}"#,
        )
        .unwrap();
        insert(
            b,
            "t",
            &[("k", "int8"), ("m", "json")],
            &["k"],
            &[vec![Some(1.into()), Some(document.into())]],
            Conflict::Error,
        )
        .unwrap();
        for (path, cast, expected) in [
            (vec![member("a"), member("b c")], None, "Text(\"2\")"),
            (vec![member("a"), member("b c")], Some("signed"), "Int(2)"),
            (vec![member("a"), member("t")], None, "Text(\"true\")"),
            (
                vec![member("a"), member("o"), member("x"), JsonStep::Index(1)],
                None,
                "Text(\"y\")",
            ),
            (vec![member("it's")], Some("double"), "Float(1.5)"),
            (vec![member("n")], None, "Null"),
            (vec![member("nowhere")], None, "Null"),
        ] {
            let d = b.dialect();
            let expression = d.json_path(&d.quote("m"), &path, cast).unwrap();
            let text = format!("SELECT {expression} FROM {}", d.full_name(&schema(), "t"));
            assert_eq!(
                cell(&b.query_any(&Statement::new(text)).unwrap(), 0, 0),
                expected,
                "{which}: {path:?}"
            );
        }
        assert!(
            b.dialect()
                .json_path("m", &[member("a")], Some("nonsense"))
                .is_err(),
            "{which}"
        );
    }
}

#[test]
fn a_closed_connection_says_so() {
    for (which, backend, _dir) in backends() {
        assert!(
            backend.is_connected()
                && backend.connection_id() > 0
                && backend.user().unwrap().contains('@'),
            "{which}"
        );
        backend.close();
        assert!(!backend.is_connected(), "{which}");
        assert_eq!(
            backend.schemas().unwrap_err().kind(),
            ErrorKind::LostConnection,
            "{which}"
        );
        assert!(!backend.in_transaction(), "{which}");
    }
}

#[test]
fn one_connection_may_be_used_by_many_threads() {
    for (which, backend, _dir) in backends() {
        lab(&*backend);
        let schema = schema();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (backend, schema) = (&backend, &schema);
                scope.spawn(move || {
                    use_schema(schema);
                    (0..50).for_each(|n| {
                        assert_eq!(subjects(&**backend, [thread * 100 + n]).unwrap(), 1)
                    })
                });
            }
        });
        assert_eq!(count(&*backend, "subject"), 200, "{which}");
    }
}

// ---------------------------------------------------------------------------------------------------------- SQLite only

fn quick() -> SqliteOptions {
    SqliteOptions {
        busy_timeout: Duration::from_millis(50),
        ..SqliteOptions::default()
    }
}

#[test]
fn a_foreign_file_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    std::fs::write(
        file("text.db"),
        "this is no database, it is a letter to my dear friend, and long",
    )
    .unwrap();
    let foreign = rusqlite::Connection::open(file("foreign.db")).unwrap();
    foreign.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(foreign);
    let newer = rusqlite::Connection::open(file("newer.db")).unwrap();
    newer
        .execute_batch("PRAGMA application_id=1280263237; PRAGMA user_version=99")
        .unwrap();
    drop(newer);
    for (name, message) in [
        ("text.db", "not an SQLite database"),
        ("foreign.db", "another program"),
        ("newer.db", "layout 99"),
    ] {
        let before = std::fs::read(file(name)).unwrap();
        let error = Sqlite::open(file(name), quick()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(std::fs::read(file(name)).unwrap(), before, "{name}");
    }
    let error = Sqlite::open(dir.path(), quick()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Access, "{error}");
    assert_eq!(
        Sqlite::open(file("no/such/folder.db"), quick())
            .unwrap_err()
            .kind(),
        ErrorKind::Access
    );
    let options = SqliteOptions {
        create: false,
        ..quick()
    };
    assert_eq!(
        Sqlite::open(file("absent.db"), options).unwrap_err().kind(),
        ErrorKind::FileNotFound
    );
    assert!(!file("absent.db").exists());
}

#[test]
fn a_lock_held_by_another_is_a_lock_timeout_and_then_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lab.db");
    let one = Sqlite::open(&path, quick()).unwrap();
    let two = Sqlite::open(&path, quick()).unwrap();
    one.begin().unwrap();
    one.create_schema("a").unwrap();
    assert_eq!(
        two.create_schema("b").unwrap_err().kind(),
        ErrorKind::LockTimeout
    );
    assert_eq!(two.begin().unwrap_err().kind(), ErrorKind::LockTimeout);
    assert_eq!(two.schemas().unwrap(), [""; 0], "readers are not blocked");
    one.commit().unwrap();
    two.create_schema("b").unwrap();
    assert_eq!(one.schemas().unwrap(), ["a", "b"]);
}

#[test]
fn a_read_only_database_reads_and_refuses_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lab.db");
    Sqlite::open(&path, quick())
        .unwrap()
        .create_schema("a")
        .unwrap();
    let reader = Sqlite::open(
        &path,
        SqliteOptions {
            read_only: true,
            ..quick()
        },
    )
    .unwrap();
    assert_eq!(reader.schemas().unwrap(), ["a"]);
    assert_eq!(
        reader.create_schema("b").unwrap_err().kind(),
        ErrorKind::Access
    );
}

#[test]
fn integer_columns_are_never_rowid_aliases() {
    // A lone `INTEGER PRIMARY KEY` would invent missing keys.
    let dir = tempfile::tempdir().unwrap();
    let backend = Sqlite::open(dir.path().join("lab.db"), quick()).unwrap();
    backend.create_schema("lab").unwrap();
    use_schema("lab");
    let columns = vec![
        column("k", "int64", Default::Required),
        column("v", "int8", Default::Null),
    ];
    create(&backend, &table("t", columns, &["k"]));
    let error = insert(
        &backend,
        "t",
        &[("v", "int8")],
        &["k"],
        &[vec![Some(1.into())]],
        Conflict::Error,
    )
    .unwrap_err();
    assert_eq!(
        (error.kind(), error.place().attribute.as_deref()),
        (ErrorKind::MissingAttribute, Some("k"))
    );
}

#[test]
fn functions_of_the_other_databases_work_in_queries() {
    let backend = Sqlite::open(":memory:", quick()).unwrap();
    let one = |sql: &str| {
        let text = backend
            .dialect()
            .translate(sql, &|name| name == "v")
            .unwrap();
        cell(
            &backend
                .query_any(&Statement::new(format!("SELECT {text}")))
                .unwrap(),
            0,
            0,
        )
    };
    assert_eq!(
        one("TIMESTAMPDIFF(DAY, '2024-01-01', '2024-03-01')"),
        "Int(60)"
    );
    assert_eq!(one("IF(1 < 2, \"yes\", \"no\")"), "Text(\"yes\")");
    assert_eq!(
        one("GROUP_CONCAT(v ORDER BY v DESC SEPARATOR \"-\") FROM (SELECT 1 AS v UNION SELECT 2)"),
        "Text(\"2-1\")"
    );
    assert_eq!(one("'a' LIKE 'A'"), "Int(0)");
    assert_eq!(one("\"v\" FROM (SELECT 5 AS v)"), "Int(5)");
    let unknown = backend
        .query_any(&Statement::new("SELECT \"nothing\""))
        .unwrap_err();
    assert_eq!(
        unknown.kind(),
        ErrorKind::UnknownAttribute,
        "double quotes are never a text"
    );
}

/// How long does a fetch of 50 000 rows of six columns take? `cargo test --release -- --ignored --nocapture decode`.
#[test]
#[ignore = "a measurement, for release builds"]
fn decode_fifty_thousand_rows() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Sqlite::open(dir.path().join("lab.db"), SqliteOptions::default()).unwrap();
    backend.create_schema("lab").unwrap();
    use_schema("lab");
    let types = [
        "int32",
        "int32",
        "float64",
        "varchar(40)",
        "datetime(3)",
        "bool",
    ];
    let names = ["a", "b", "c", "d", "e", "f"];
    let columns = names
        .iter()
        .zip(types)
        .map(|(n, t)| column(n, t, Default::Required))
        .collect();
    create(&backend, &table("t", columns, &["a", "b"]));
    let moment = jiff::civil::date(2024, 2, 29).at(12, 30, 15, 123_000_000);
    let rows: Vec<Vec<Option<Value>>> = (0..50_000_i64)
        .map(|n| {
            let values: [Value; 6] = [
                (n / 100).into(),
                (n % 100).into(),
                (n as f64 * 0.5).into(),
                format!("row number {n}").into(),
                moment.into(),
                (n % 2 == 0).into(),
            ];
            values.map(Some).to_vec()
        })
        .collect();
    let given: Vec<(&str, &str)> = names.into_iter().zip(types).collect();
    let start = std::time::Instant::now();
    insert(&backend, "t", &given, &["a", "b"], &rows, Conflict::Error).unwrap();
    println!("insert: {:?}", start.elapsed());
    let statement = Statement::new("SELECT a, b, c, d, e, f FROM \"lab.t\"");
    let columns: Vec<OutputColumn> = names
        .iter()
        .zip(types)
        .map(|(n, t)| OutputColumn {
            name: (*n).into(),
            kind: column_kind(&storage(t)),
            storage: None,
        })
        .collect();
    for _ in 0..5 {
        let start = std::time::Instant::now();
        assert_eq!(backend.query(&statement, &columns).unwrap().rows, 50_000);
        println!("fetch: {:?}", start.elapsed());
    }
}
