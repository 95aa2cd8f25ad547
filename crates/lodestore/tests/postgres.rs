//! What only PostgreSQL does: sessions that are killed, locks and deadlocks, grants, enum types, COPY, encryption, and
//! tables as the reference writes them. On the server that `LODE_TEST_POSTGRESQL` names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use lodestore::config::Config;
use lodestore::definition::{Default, Marker, StorageType, TableName, Tier, Type};
use lodestore::error::{Error, ErrorKind, Result};
use lodestore::schema::{Declare, ForeignKeyTarget, HiddenColumns, Lode, column_kind};
use lodestore::sql::postgres::Postgres;
use lodestore::sql::{
    Backend, ColumnSpec, Conflict, ForeignKeySpec, IndexSpec, Insert, OutputColumn, ServerOptions,
    Statement, TableSpec, Tls,
};
use lodestore::value::{ColumnKind, Json, Value};

/// A schema of its own, which goes when this does.
struct Lab {
    options: ServerOptions,
    db: Postgres,
    schema: String,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let admin = Postgres::open(self.options.clone()).unwrap();
        for schema in [self.schema.clone(), format!("{}_b", self.schema)] {
            run(
                &admin,
                &format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE"),
            )
            .unwrap();
        }
    }
}

fn lab() -> Option<Lab> {
    let Ok(url) = std::env::var("LODE_TEST_POSTGRESQL") else {
        eprintln!("SKIPPED: no LODE_TEST_POSTGRESQL");
        return None;
    };
    let options = ServerOptions::from_config(&Config::for_url(&url).unwrap()).unwrap();
    let db = Postgres::open(options.clone()).unwrap();
    let schema = format!("only_pg_{:08x}", rand::random::<u32>());
    db.create_schema(&schema).unwrap();
    Some(Lab {
        options,
        db,
        schema,
    })
}

fn run(db: &dyn Backend, text: &str) -> Result<u64> {
    db.execute(&Statement::new(text))
}

fn one(db: &dyn Backend, text: &str) -> Result<Value> {
    db.query_any(&Statement::new(text)).map(|b| b.value(0, 0))
}

fn int(db: &dyn Backend, text: &str) -> i64 {
    one(db, text).unwrap().as_int().unwrap()
}

impl Lab {
    fn another(&self) -> Postgres {
        Postgres::open(self.options.clone()).unwrap()
    }

    fn table(&self, name: &str) -> String {
        format!("\"{}\".\"{name}\"", self.schema)
    }

    /// `t(k primary key, v text)`.
    fn simple(&self) -> String {
        let t = self.table("t");
        run(
            &self.db,
            &format!("CREATE TABLE {t} (k int PRIMARY KEY, v text)"),
        )
        .unwrap();
        t
    }

    fn count(&self, table: &str) -> i64 {
        int(&self.another(), &format!("SELECT count(*) FROM {table}"))
    }

    fn kill(&self, id: i64) {
        let admin = self.another();
        assert_eq!(
            int(&admin, &format!("SELECT count(pg_terminate_backend({id}))")),
            1
        );
        let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {id}");
        while int(&admin, &gone) > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

// ------------------------------------------------------------------------------------------------- lost connections

#[test]
fn a_session_killed_while_idle_is_opened_again_before_anything_is_sent() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    for write in [false, true] {
        let before = lab.db.connection_id();
        lab.kill(before);
        match write {
            true => assert_eq!(
                run(&lab.db, &format!("INSERT INTO {t} VALUES (1)")).unwrap(),
                1
            ),
            false => assert_eq!(int(&lab.db, "SELECT 1"), 1),
        }
        assert_ne!(lab.db.connection_id(), before);
        assert!(lab.db.is_connected());
    }
    lab.kill(lab.db.connection_id());
    lab.db.begin().unwrap();
    lab.db.rollback().unwrap();
    lab.kill(lab.db.connection_id());
    assert!(
        !lab.db.is_connected(),
        "the truth, before it is opened again"
    );
}

#[test]
fn a_transaction_whose_session_is_killed_is_gone_and_says_so() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    lab.db.begin().unwrap();
    run(&lab.db, &format!("INSERT INTO {t} VALUES (1)")).unwrap();
    lab.kill(lab.db.connection_id());
    let error = run(&lab.db, &format!("INSERT INTO {t} VALUES (2)")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LostConnection);
    assert!(
        error.to_string().contains("nothing of it was committed"),
        "{error}"
    );
    assert!(!lab.db.in_transaction());
    assert_eq!(
        run(&lab.db, &format!("INSERT INTO {t} VALUES (3)")).unwrap(),
        1
    );
    assert_eq!(lab.count(&t), 1);

    lab.db.begin().unwrap();
    run(&lab.db, &format!("INSERT INTO {t} VALUES (4)")).unwrap();
    lab.kill(lab.db.connection_id());
    assert_eq!(
        lab.db.commit().unwrap_err().kind(),
        ErrorKind::LostConnection
    );
    assert!(!lab.db.in_transaction());
    assert_eq!(lab.count(&t), 1);
}

#[test]
fn a_statement_that_was_under_way_is_repeated_only_if_it_reads() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    let id = lab.db.connection_id();
    let kill_soon = |id| {
        std::thread::sleep(Duration::from_millis(300));
        lab.kill(id);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| kill_soon(id));
        assert_eq!(int(&lab.db, "SELECT 7 FROM pg_sleep(1)"), 7);
    });
    let id = lab.db.connection_id();
    std::thread::scope(|scope| {
        scope.spawn(|| kill_soon(id));
        let slow = format!("INSERT INTO {t} SELECT 1 FROM pg_sleep(1)");
        let error = run(&lab.db, &slow).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LostConnection);
        assert!(error.to_string().contains("Nobody knows"), "{error}");
    });
    assert_eq!(lab.count(&t), 0);
    assert_eq!(int(&lab.db, "SELECT 1"), 1);
}

#[test]
fn without_reconnecting_a_lost_connection_stays_lost() {
    let Some(lab) = lab() else { return };
    let options = ServerOptions {
        reconnect: false,
        ..lab.options.clone()
    };
    let db = Postgres::open(options).unwrap();
    lab.kill(db.connection_id());
    for _ in 0..2 {
        assert_eq!(
            one(&db, "SELECT 1").unwrap_err().kind(),
            ErrorKind::LostConnection
        );
    }
}

#[test]
fn a_stream_whose_session_is_killed_ends_with_an_error() {
    let Some(lab) = lab() else { return };
    let columns = [OutputColumn {
        name: "n".into(),
        kind: ColumnKind::Int,
        storage: None,
    }];
    let rows = Statement::new("SELECT n FROM generate_series(1, 100000) AS s(n)");
    let size = 12_345;
    let mut stream = lab.db.stream(&rows, &columns, size).unwrap();
    assert_eq!(stream.next().unwrap().unwrap().rows, size);
    let id = int(
        &lab.db,
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'FETCH FORWARD 12345%'",
    );
    lab.kill(id);
    assert_eq!(
        stream.next().unwrap().unwrap_err().kind(),
        ErrorKind::LostConnection
    );
    assert!(stream.next().is_none());
    // The next one finds a session, and two at once do not meet.
    let again = lab.db.stream(&rows, &columns, size).unwrap();
    let other = lab.db.stream(&rows, &columns, 7).unwrap();
    assert_eq!(again.map(|b| b.unwrap().rows).sum::<usize>(), 100_000);
    assert_eq!(other.map(|b| b.unwrap().rows).sum::<usize>(), 100_000);
}

#[test]
fn a_stream_of_a_transaction_outlives_its_commit_but_not_its_rollback() {
    let Some(lab) = lab() else { return };
    let columns = [OutputColumn {
        name: "n".into(),
        kind: ColumnKind::Int,
        storage: None,
    }];
    let rows = Statement {
        text: "SELECT n FROM generate_series(1, $1::int) AS s(n)".into(),
        params: vec![100.into()],
    };
    lab.db.begin().unwrap();
    let mut stream = lab.db.stream(&rows, &columns, 40).unwrap();
    stream.next().unwrap().unwrap();
    assert!(
        one(&lab.db, "SELECT nonsense").is_err(),
        "a failure beside it"
    );
    lab.db.commit().unwrap();
    assert_eq!(stream.map(|b| b.unwrap().rows).sum::<usize>(), 60);
    lab.db.begin().unwrap();
    let mut stream = lab.db.stream(&rows, &columns, 40).unwrap();
    lab.db.rollback().unwrap();
    assert_eq!(
        stream.next().unwrap().unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(int(&lab.db, "SELECT 1"), 1);
}

#[test]
fn what_cannot_be_reached_is_said_clearly_and_without_the_password() {
    let Some(lab) = lab() else { return };
    let secret = ServerOptions {
        password: Some("opensesame".into()),
        connect_timeout: Duration::from_secs(5),
        ..lab.options.clone()
    };
    let unknown = |change: &dyn Fn(&mut ServerOptions)| -> Error {
        let mut options = secret.clone();
        change(&mut options);
        let error = Postgres::open(options).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("opensesame"));
        error
    };
    let error = unknown(&|o| o.database = Some("no_such_database".into()));
    assert_eq!(error.kind(), ErrorKind::Access);
    assert!(
        error
            .to_string()
            .contains("there is no database `no_such_database`"),
        "{error}"
    );
    let error = unknown(&|o| o.port = 1);
    assert_eq!(error.kind(), ErrorKind::LostConnection);
    assert!(
        error
            .to_string()
            .contains("no PostgreSQL server answers at"),
        "{error}"
    );
    let error = unknown(&|o| o.host = "no-such-host.invalid".into());
    assert_eq!(error.kind(), ErrorKind::LostConnection);
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
    let error = unknown(&|o| o.user = "no_such_user_here".into());
    assert_eq!(error.kind(), ErrorKind::Access, "{error}");
}

#[test]
fn connections_are_encrypted_as_asked() {
    let Some(lab) = lab() else { return };
    let open = |tls| {
        Postgres::open(ServerOptions {
            tls,
            ..lab.options.clone()
        })
    };
    let encrypted = |db: &Postgres| {
        one(
            db,
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        )
        .unwrap()
    };
    assert!(encrypted(&open(Tls::Off).unwrap()).same(&Value::Bool(false)));
    if one(&lab.db, "SHOW ssl").unwrap().as_text() != Some("on") {
        eprintln!("SKIPPED: the server has no TLS");
        let error = open(Tls::Require).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LostConnection, "{error}");
        return;
    }
    for tls in [Tls::Prefer, Tls::Require] {
        assert!(encrypted(&open(tls).unwrap()).same(&Value::Bool(true)));
    }
    let error = open(Tls::Verify { ca: None }).unwrap_err();
    assert!(error.to_string().contains("database.use_tls"), "{error}");
    let missing = open(Tls::Verify {
        ca: Some("/no/such/file.pem".into()),
    });
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn it_may_be_used_inside_a_runtime_of_somebody_else() {
    let Some(lab) = lab() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        assert_eq!(int(&lab.db, "SELECT 1"), 1);
        drop(lab.another());
    });
}

// ------------------------------------------------------------------------------------------------ locks and privileges

#[test]
fn deadlocks_and_locks_have_kinds_of_their_own() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    run(&lab.db, &format!("INSERT INTO {t} VALUES (1), (2)")).unwrap();
    let other = lab.another();
    let update =
        |db: &dyn Backend, k: i64| run(db, &format!("UPDATE {t} SET v = 'x' WHERE k = {k}"));
    lab.db.begin().unwrap();
    other.begin().unwrap();
    update(&lab.db, 1).unwrap();
    update(&other, 2).unwrap();
    let (one, two) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let first = update(&lab.db, 2).map_err(|e| e.kind());
            // The failed statement is undone, but what the transaction had locked before stays locked.
            if first.is_err() {
                lab.db.rollback().unwrap();
            }
            first
        });
        std::thread::sleep(Duration::from_millis(100));
        let second = update(&other, 1).map_err(|e| e.kind());
        if second.is_err() {
            other.rollback().unwrap();
        }
        (waiting.join().unwrap(), second)
    });
    assert_eq!(
        [one, two]
            .iter()
            .filter(|r| **r == Err(ErrorKind::Deadlock))
            .count(),
        1
    );
    lab.db.rollback().unwrap();
    other.rollback().unwrap();

    lab.db.begin().unwrap();
    update(&lab.db, 1).unwrap();
    run(&other, "SET lock_timeout = '50ms'").unwrap();
    assert_eq!(
        update(&other, 1).unwrap_err().kind(),
        ErrorKind::LockTimeout
    );
    lab.db.rollback().unwrap();
}

#[test]
fn collectors_and_writers_exclude_each_other() {
    let Some(lab) = lab() else { return };
    let (writer, second) = (lab.another(), lab.another());
    for db in [&writer, &second] {
        db.begin().unwrap();
        db.lock_writer(&lab.schema).unwrap();
    }
    second.commit().unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            lab.db.begin_collecting(&[&lab.schema, "another"]).unwrap();
            start.elapsed()
        });
        std::thread::sleep(Duration::from_millis(200));
        writer.commit().unwrap();
        assert!(collector.join().unwrap() >= Duration::from_millis(200));
    });
    run(&second, "SET lock_timeout = '50ms'").unwrap();
    second.begin().unwrap();
    assert_eq!(
        second.lock_writer(&lab.schema).unwrap_err().kind(),
        ErrorKind::LockTimeout
    );
    second.rollback().unwrap();
    lab.db.commit().unwrap();
}

#[test]
fn a_missing_grant_is_named() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    let role = format!("guest_{:08x}", rand::random::<u32>());
    run(&lab.db, &format!("CREATE ROLE {role} LOGIN")).unwrap();
    let guest = Postgres::open(ServerOptions {
        user: role.clone(),
        ..lab.options.clone()
    })
    .unwrap();
    let hint = |text: &str| {
        let error = run(&guest, text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Access, "{error}");
        error.hint_text().unwrap().to_owned()
    };
    let read = format!("SELECT * FROM {t}");
    let usage = format!("GRANT USAGE ON SCHEMA \"{}\" TO \"{role}\"", lab.schema);
    assert!(hint(&read).contains(&usage));
    run(&lab.db, &usage).unwrap();
    let select = format!("GRANT SELECT ON TABLE {t} TO \"{role}\"");
    assert!(hint(&read).ends_with(&select), "{}", hint(&read));
    run(&lab.db, &select).unwrap();
    assert_eq!(run(&guest, &read).unwrap(), 0);
    assert!(hint(&format!("INSERT INTO {t} VALUES (1)")).contains("GRANT INSERT ON TABLE"));
    assert!(hint("CREATE SCHEMA guests").contains("GRANT CREATE ON DATABASE"));
    guest.close();
    run(&lab.db, &format!("DROP OWNED BY {role}")).unwrap();
    run(&lab.db, &format!("DROP ROLE {role}")).unwrap();
}

// -------------------------------------------------------------------------------------------------------- statements

#[test]
fn a_prepared_statement_survives_a_change_of_its_table() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    run(&lab.db, &format!("INSERT INTO {t} VALUES (1, '5')")).unwrap();
    let read = format!("SELECT v FROM {t}");
    for inside in [false, true] {
        assert!(one(&lab.db, &read).is_ok());
        let to = if inside { "bigint" } else { "int" };
        run(
            &lab.another(),
            &format!("ALTER TABLE {t} ALTER v TYPE {to} USING v::{to}"),
        )
        .unwrap();
        if inside {
            lab.db.begin().unwrap();
        }
        assert!(one(&lab.db, &read).unwrap().same(&Value::Int(5)));
    }
    lab.db.commit().unwrap();
}

#[test]
fn a_failed_transaction_is_never_taken_for_committed() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    lab.db.begin().unwrap();
    run(&lab.db, &format!("INSERT INTO {t} VALUES (1)")).unwrap();
    // Fails without a savepoint, and leaves the transaction failed.
    assert!(lab.db.release("nothing").is_err());
    assert!(lab.db.commit().is_err());
    assert!(!lab.db.in_transaction());
    assert_eq!(lab.count(&t), 0);
}

#[test]
fn an_operand_that_its_column_cannot_hold_is_equal_to_nothing() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    run(&lab.db, &format!("INSERT INTO {t} VALUES (1)")).unwrap();
    for (value, found) in [
        (Value::Int(1), 1),
        (Value::Int(1 << 40), 0),
        (Value::Float(1.5), 0),
        (Value::Float(1.0), 1),
        (Value::Decimal("1.00".into()), 1),
    ] {
        let count = Statement {
            text: format!("SELECT count(*) FROM {t} WHERE k = $1"),
            params: vec![value],
        };
        assert!(
            lab.db
                .query_any(&count)
                .unwrap()
                .value(0, 0)
                .same(&Value::Int(found))
        );
    }
}

#[test]
fn results_of_any_type_are_read() {
    let Some(lab) = lab() else { return };
    for (sql, expected) in [
        ("1::smallint", "Int(1)"),
        ("sum(n) FROM (VALUES (1::bigint)) AS t(n)", "Decimal(\"1\")"),
        ("123456.789000::numeric", "Decimal(\"123456.789000\")"),
        ("'NaN'::numeric", "Decimal(\"NaN\")"),
        ("'NaN'::float8", "Float(NaN)"),
        ("'ab'::char(5)", "Text(\"ab\")"),
        (
            "'2024-02-29 12:00:00+02'::timestamptz",
            "DateTime(2024-02-29T10:00:00)",
        ),
        (
            "'1 year 2 days 03:04:05.5'::interval",
            "Text(\"1 year 2 days 03:04:05.5\")",
        ),
        ("NULL::uuid", "Null"),
        ("'x'::name", "Text(\"x\")"),
        ("'{\"a\":1}'::jsonb", "Json(Json({\"a\": 1}))"),
        ("1::oid", "Int(1)"),
    ] {
        let value = one(&lab.db, &format!("SELECT {sql}")).unwrap();
        assert_eq!(format!("{value:?}"), expected, "{sql}");
    }
    let error = one(&lab.db, "SELECT ARRAY[1]").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("cast it to text"), "{error}");
    assert_eq!(
        one(&lab.db, "SELECT 'infinity'::date").unwrap_err().kind(),
        ErrorKind::Data
    );
}

// ------------------------------------------------------------------------------------------------------- bulk inserts

fn storage(type_: &str) -> StorageType {
    StorageType::parse(type_).unwrap()
}

fn column(name: &str, type_: &str, default: Default) -> ColumnSpec {
    let type_ = Type::parse(type_).unwrap();
    ColumnSpec {
        name: name.into(),
        comment: Marker::compose(&type_, ""),
        storage: type_.storage().unwrap(),
        default,
        nullable: false,
        inherited: false,
        known_type: None,
    }
}

#[test]
fn copied_rows_are_the_rows_that_insert_writes() {
    let Some(lab) = lab() else { return };
    let moment = jiff::civil::date(2024, 2, 29).at(12, 30, 15, 123_000_000);
    let types: Vec<(&str, Value)> = vec![
        ("int8", (-7).into()),
        ("int64", i64::MAX.into()),
        ("float32", 0.1.into()),
        ("float64", f64::NAN.into()),
        ("bool", true.into()),
        ("decimal(12,3)", Value::Decimal("-12.346".into())),
        ("char(5)", "ab".into()),
        ("varchar(6)", "naïve☃".into()),
        ("enum('a','b c')", "b c".into()),
        ("date", moment.date().into()),
        ("datetime(3)", moment.into()),
        ("json", Json::checked("{\"a\": [1, null]}").unwrap().into()),
        ("uuid", uuid::Uuid::from_u128(7).into()),
        ("bytes", vec![0_u8, 255].into()),
        ("time", jiff::civil::time(23, 59, 58, 0).into()),
    ];
    let name = |n: usize| format!("c{n}");
    let mut columns = vec![column("k", "int32", Default::Required)];
    columns.extend(
        types
            .iter()
            .enumerate()
            .map(|(n, (t, _))| column(&name(n), t, Default::Null)),
    );
    let table = TableSpec {
        schema: lab.schema.clone(),
        table: "all_types".into(),
        comment: String::new(),
        columns,
        primary_key: vec!["k".into()],
        foreign_keys: vec![],
        indexes: vec![],
    };
    for statement in lab.db.dialect().create_table(&table).unwrap() {
        lab.db.execute(&statement).unwrap();
    }
    let given: Vec<(Arc<str>, StorageType)> = std::iter::once(("k".into(), storage("int32")))
        .chain(
            types
                .iter()
                .enumerate()
                .map(|(n, (t, _))| (name(n).into(), storage(t))),
        )
        .collect();
    let row = |k: i64| -> Vec<Option<Value>> {
        let values = types.iter().map(|(t, v)| {
            Some(lab.db.dialect().stored(&storage(t), v).unwrap()).filter(|_| k % 7 != 3)
        });
        let null = |v: Option<Value>| Some(v.unwrap_or(Value::Null));
        std::iter::once(Some(k.into()))
            .chain(values.map(null))
            .collect()
    };
    let put = |rows: &[Vec<Option<Value>>]| {
        lab.db.insert(&Insert {
            schema: &lab.schema,
            table: "all_types",
            columns: &given,
            primary_key: &["k".into()],
            other_columns: &[],
            rows,
            conflict: Conflict::Error,
        })
    };
    let many: Vec<_> = (0..100).map(row).collect();
    assert_eq!(put(&many).unwrap(), 100);
    for k in 100..104 {
        assert_eq!(put(&[row(k)]).unwrap(), 1);
    }
    for (n, (type_, expected)) in types.iter().enumerate() {
        let column = OutputColumn {
            name: name(n).into(),
            kind: column_kind(&storage(type_)),
            storage: None,
        };
        let text = format!(
            "SELECT {} FROM {} ORDER BY k",
            name(n),
            lab.table("all_types")
        );
        let batch = lab.db.query(&Statement::new(text), &[column]).unwrap();
        let expected = match expected {
            Value::Float(f) if *type_ == "float32" => Value::Float(f64::from(*f as f32)),
            other => other.clone(),
        };
        for k in 0..104 {
            let expected = if k % 7 == 3 {
                Value::Null
            } else {
                expected.clone()
            };
            assert_eq!(
                format!("{:?}", batch.value(k, 0)),
                format!("{expected:?}"),
                "{type_} {k}"
            );
        }
    }
    // A copy that fails names the row, and leaves nothing.
    let mut wrong: Vec<_> = (200..300).map(row).collect();
    wrong[57][0] = Some(5.into());
    let error = put(&wrong).unwrap_err();
    assert_eq!(
        (error.kind(), error.place().row),
        (ErrorKind::Duplicate, Some(57)),
        "{error}"
    );
    assert_eq!(error.place().key.as_deref(), Some("k=5"));
    assert_eq!(lab.count(&lab.table("all_types")), 104);
}

#[test]
fn what_a_foreign_key_misses_is_named_with_its_schema() {
    let Some(lab) = lab() else { return };
    let other = format!("{}_b", lab.schema);
    lab.db.create_schema(&other).unwrap();
    run(
        &lab.db,
        &format!("CREATE TABLE \"{other}\".\"#p\" (p int PRIMARY KEY)"),
    )
    .unwrap();
    let child = lab.table("child");
    run(
        &lab.db,
        &format!("CREATE TABLE {child} (k int PRIMARY KEY, p int REFERENCES \"{other}\".\"#p\")"),
    )
    .unwrap();
    for rows in [3, 100] {
        let rows: Vec<_> = (0..rows)
            .map(|k| vec![Some(Value::Int(k)), Some(Value::Null)])
            .collect();
        let mut rows = rows;
        rows[2][1] = Some(9.into());
        let error = lab
            .db
            .insert(&Insert {
                schema: &lab.schema,
                table: "child",
                columns: &[
                    ("k".into(), storage("int32")),
                    ("p".into(), storage("int32")),
                ],
                primary_key: &["k".into()],
                other_columns: &[],
                rows: &rows,
                conflict: Conflict::Error,
            })
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.place().row),
            (ErrorKind::Integrity, Some(2)),
            "{error}"
        );
        assert!(
            error
                .message()
                .contains(&format!("(p) names a row that `{other}.#p`")),
            "{error}"
        );
    }
}

#[test]
fn a_row_may_be_replaced_twice_in_one_batch() {
    let Some(lab) = lab() else { return };
    let t = lab.simple();
    let rows: Vec<Vec<Option<Value>>> = [(1, "a"), (2, "b"), (1, "c")]
        .map(|(k, v)| vec![Some(k.into()), Some(v.into())])
        .to_vec();
    let count = lab
        .db
        .insert(&Insert {
            schema: &lab.schema,
            table: "t",
            columns: &[
                ("k".into(), storage("int32")),
                ("v".into(), storage("text")),
            ],
            primary_key: &["k".into()],
            other_columns: &["v".into()],
            rows: &rows,
            conflict: Conflict::Replace,
        })
        .unwrap();
    assert_eq!(count, 3);
    assert_eq!(
        one(&lab.db, &format!("SELECT v FROM {t} WHERE k = 1"))
            .unwrap()
            .as_text(),
        Some("c")
    );
}

// ------------------------------------------------------------------------------------------------- tables and types

#[test]
fn the_example_of_the_specification_has_this_ddl() {
    let marked = |name: &str, type_: &str, default: Default, comment: &str| ColumnSpec {
        comment: Marker::compose(&Type::parse(type_).unwrap(), comment),
        ..column(name, type_, default)
    };
    let text = |t: &str| Default::Literal(t.into());
    let codec = |name: &str, type_: &str, storage: &str, comment: &str| ColumnSpec {
        comment: Marker::compose(&Type::parse(type_).unwrap(), comment),
        ..column(name, storage, Default::Null)
    };
    let table = TableSpec {
        schema: "lab".into(),
        table: "subject".into(),
        comment: "lab animal".into(),
        columns: vec![
            marked("subject_id", "int32", Default::Required, "unique id"),
            ColumnSpec {
                inherited: true,
                ..marked("species", "varchar(16)", Default::Required, "latin name")
            },
            marked("sex", "enum('M','F','U')", text("U"), ""),
            marked("weight", "float32", text("1.5"), "grams"),
            marked("active", "bool", text("1"), ""),
            marked(
                "made",
                "datetime(3)",
                Default::CurrentTimestamp("CURRENT_TIMESTAMP(3)".into()),
                "",
            ),
            marked("price", "decimal(10,2)", text("0"), ""),
            marked("tag", "uuid", Default::Null, ""),
            codec("trace", "<blob>", "bytes", ""),
            codec("movie", "<object@cold>", "json", "zarr"),
        ],
        primary_key: vec!["subject_id".into()],
        foreign_keys: vec![ForeignKeySpec {
            columns: vec!["species".into()],
            parent_schema: "lab".into(),
            parent_table: "#species".into(),
            parent_columns: vec!["species".into()],
        }],
        indexes: vec![IndexSpec {
            unique: true,
            terms: vec!["tag".into()],
        }],
    };
    let statements = lodestore::sql::postgres::PostgresDialect;
    let statements = lodestore::sql::Dialect::create_table(&statements, &table).unwrap();
    let texts: Vec<String> = statements.into_iter().map(|s| s.text).collect();
    insta::assert_snapshot!(texts.join(";\n"));
}

/// Tables as the reference writes them (spec: definition §7.2), `lab` in place of the schema's name.
const REFERENCE: [&str; 11] = [
    r##"CREATE TABLE IF NOT EXISTS "lab"."#species" ("species" varchar(16) NOT NULL, PRIMARY KEY ("species"))"##,
    r##"COMMENT ON COLUMN "lab"."#species"."species" IS ':varchar(16):latin \"name\"'"##,
    r#"CREATE TYPE "lab"."enum_e54fc739" AS ENUM ('M', 'F', 'U')"#,
    r##"CREATE TABLE IF NOT EXISTS "lab"."subject" (
"subject_id" integer NOT NULL,
"species" varchar(16) NOT NULL,
"sex" "lab"."enum_e54fc739" NOT NULL DEFAULT 'U',
"weight" real NOT NULL DEFAULT '1.5',
"active" boolean NOT NULL DEFAULT '1',
"made" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
"price" numeric(10,2) NOT NULL DEFAULT '0',
"tag" uuid DEFAULT NULL,
"trace" bytea DEFAULT NULL,
"movie" jsonb DEFAULT NULL,
PRIMARY KEY ("subject_id"),
FOREIGN KEY ("species") REFERENCES "lab"."#species" ("species") ON UPDATE CASCADE ON DELETE RESTRICT
)"##,
    r#"CREATE UNIQUE INDEX "idx_subject_tag" ON "lab"."subject" ("tag")"#,
    r#"CREATE INDEX "idx_subject_species" ON "lab"."subject" ("species")"#,
    r#"COMMENT ON TABLE "lab"."subject" IS 'lab animal'"#,
    r#"COMMENT ON COLUMN "lab"."subject"."subject_id" IS ':int32:unique id'"#,
    r#"COMMENT ON COLUMN "lab"."subject"."made" IS ':datetime(3):'"#,
    r#"COMMENT ON COLUMN "lab"."subject"."movie" IS ':<object@cold>:zarr'"#,
    r#"CREATE TABLE "lab"."numbered" ("n" serial, "v" double precision, PRIMARY KEY ("n"))"#,
];

#[test]
fn tables_of_the_reference_are_read_as_they_were_written() {
    let Some(lab) = lab() else { return };
    for text in REFERENCE {
        run(
            &lab.db,
            &text.replace("\"lab\"", &format!("\"{}\"", lab.schema)),
        )
        .unwrap();
    }
    let tables = lab.db.catalogs(&["nowhere", &lab.schema]).unwrap();
    assert!(tables[0].is_empty());
    let mut shown = String::new();
    for table in &tables[1] {
        shown.push_str(&format!(
            "{} # {} {:?}\n",
            table.name, table.comment, table.primary_key
        ));
        for c in &table.columns {
            shown.push_str(&format!(
                "  {} {} {:?} null={} {:?} auto={} {}\n",
                c.name,
                c.database_type,
                c.type_text,
                c.nullable,
                c.default,
                c.auto_increment,
                c.comment
            ));
        }
        for k in &table.foreign_keys {
            shown.push_str(&format!(
                "  {:?} -> {} {:?}\n",
                k.columns, k.parent_table, k.parent_columns
            ));
        }
        for i in &table.indexes {
            shown.push_str(&format!("  {} {} {:?}\n", i.name, i.unique, i.terms));
        }
    }
    insta::assert_snapshot!(shown);
    lab.db.drop_table(&lab.schema, "subject").unwrap();
    let types = format!(
        "SELECT count(*) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
         WHERE n.nspname = '{}' AND t.typtype = 'e'",
        lab.schema
    );
    assert_eq!(
        int(&lab.db, &types),
        0,
        "the enum type goes with the last column of it"
    );
}

fn declare(lode: &Lode, schema: &str, class_name: &str, definition: &str) -> Result<TableName> {
    let resolver = lode.clone();
    let own = schema.to_owned();
    let declared = lode.declare(Declare {
        schema,
        class_name,
        tier: Tier::Manual,
        master: None,
        definition,
        hidden: HiddenColumns::default(),
        resolve: &mut |line| {
            let target = line.target.as_ref().unwrap();
            let name = match target.name.contains('.') {
                true => target.name.clone(),
                false => format!("{own}.{}", target.name),
            };
            Ok(ForeignKeyTarget {
                table: resolver.table(&name)?.name().clone(),
                renames: target.renames.clone(),
            })
        },
    })?;
    Ok(declared.table)
}

#[test]
fn enum_types_are_told_apart_by_order_and_content() {
    let Some(lab) = lab() else { return };
    let url = std::env::var("LODE_TEST_POSTGRESQL").unwrap();
    let lode = Lode::connect(Config::for_url(&url).unwrap()).unwrap();
    let (a, b) = (lab.schema.clone(), format!("{}_b", lab.schema));
    lode.create_schema(&b).unwrap();
    let type_of = |schema: &str, table: &str, column: &str| {
        let text = format!(
            "SELECT a.atttypid::regtype::text FROM pg_attribute a WHERE attname = '{column}' \
             AND attrelid = '\"{schema}\".\"{table}\"'::regclass"
        );
        one(&lab.db, &text).unwrap().as_text().unwrap().to_owned()
    };
    declare(&lode, &a, "One", "k : int8\n---\nv : enum('b','a')").unwrap();
    declare(&lode, &a, "Two", "k : int8\n---\nv : enum('a','b')").unwrap();
    declare(
        &lode,
        &a,
        "Three",
        "k : int8\n---\nv : enum('b','a')\nw : enum('b','a')",
    )
    .unwrap();
    assert_eq!(type_of(&a, "one", "v"), type_of(&a, "three", "v"));
    assert_eq!(type_of(&a, "three", "w"), type_of(&a, "three", "v"));
    assert_ne!(type_of(&a, "one", "v"), type_of(&a, "two", "v"));
    declare(&lode, &a, "Four", "k : int8\n---\nv : enum('a_b')").unwrap();
    run(
        &lab.db,
        &format!("INSERT INTO {} VALUES (1, 'a_b')", lab.table("four")),
    )
    .unwrap();
    declare(&lode, &a, "Five", "v : enum('a,b:c','d''e','100%','\\')").unwrap();
    run(
        &lab.db,
        &format!(
            "INSERT INTO {} VALUES ('a,b:c'), ('d''e'), ('100%'), ('\\')",
            lab.table("five")
        ),
    )
    .unwrap();
    // Children and grandchildren in another schema.
    declare(&lode, &b, "Child", &format!("-> {a}.Five\nn : int8")).unwrap();
    declare(&lode, &b, "Grandchild", "-> Child\n---\nx = null : int32").unwrap();
    assert_eq!(type_of(&b, "grandchild", "v"), type_of(&a, "five", "v"));
    lode.drop_table(&TableName::new(&a, "two").unwrap())
        .unwrap();
    lode.drop_table(&TableName::new(&a, "three").unwrap())
        .unwrap();
    run(
        &lab.db,
        &format!("INSERT INTO {} VALUES (1, 'b')", lab.table("one")),
    )
    .unwrap();
    // What has no namesake here is refused before anything is made.
    for wrong in [
        "int auto_increment",
        "int unsigned",
        "tinyint",
        "longblob",
        "year",
    ] {
        let error = declare(
            &lode,
            &a,
            "Wrong",
            &format!("k : int8\n---\nv = null : {wrong}"),
        );
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Definition, "{wrong}");
    }
    assert!(declare(&lode, &a, "Numbered", "k : serial").is_ok());
    assert_eq!(
        lode.drop_schema(&a).unwrap_err().kind(),
        ErrorKind::Integrity,
        "another schema references it"
    );
    lode.drop_schema(&b).unwrap();
    lode.drop_schema(&a).unwrap();
    lab.db.create_schema(&a).unwrap();
}

#[test]
fn what_was_written_is_what_describe_prints() {
    let Some(lab) = lab() else { return };
    let url = std::env::var("LODE_TEST_POSTGRESQL").unwrap();
    let lode = Lode::connect(Config::for_url(&url).unwrap()).unwrap();
    let definition = "# it's 100% \"new\" \\\n\
        k = 'it''s %s' : varchar(20) # 50% of \"it\", \\ and 'that'\n---\n\
        b = true : bool\nd = '2024-02-29' : date\nn = -1 : int16\n\
        at = CURRENT_TIMESTAMP : datetime\nm = null : json\n\
        unique index(b, d)\nindex(n desc)\nindex(m.a.b)";
    let table = declare(&lode, &lab.schema, "Odd", definition).unwrap();
    insta::assert_snapshot!(lode.describe(&table, &|_| None).unwrap());
}
