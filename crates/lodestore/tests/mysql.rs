//! What only MySQL and MariaDB do: lost sessions, locks, privileges, limits, and tables that others have written. What
//! every backend does is in `backend_conformance.rs`. Runs where `LODE_TEST_MYSQL` names a server on which the user may
//! do everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lodestore::config::Config;
use lodestore::definition::{Default, Marker, StorageType, Type};
use lodestore::error::{Error, ErrorKind, Result};
use lodestore::schema::column_kind;
use lodestore::sql::mysql::{MySql, MySqlDialect};
use lodestore::sql::{
    Backend, ColumnSpec, Conflict, Dialect, ForeignKeySpec, IndexSpec, Insert, OutputColumn,
    ServerOptions, Statement, TableSpec, Tls,
};
use lodestore::value::{ColumnKind, Value};

/// A schema of its own on the server that the environment names; removed at the end.
struct Lab {
    options: ServerOptions,
    backend: Arc<MySql>,
    schema: String,
}

impl Lab {
    fn new() -> Option<Lab> {
        let Ok(url) = std::env::var("LODE_TEST_MYSQL") else {
            eprintln!("SKIPPED: no LODE_TEST_MYSQL");
            return None;
        };
        let options = ServerOptions::from_config(&Config::for_url(&url).unwrap()).unwrap();
        let backend = Arc::new(MySql::open(options.clone()).unwrap());
        let schema = format!("mylab_{:08x}", rand::random::<u32>());
        backend.create_schema(&schema).unwrap();
        Some(Lab {
            options,
            backend,
            schema,
        })
    }

    fn other(&self) -> MySql {
        MySql::open(self.options.clone()).unwrap()
    }

    fn name(&self, table: &str) -> String {
        self.backend.dialect().full_name(&self.schema, table)
    }

    /// `t(k* | v)`.
    fn table(&self) {
        let text = format!(
            "CREATE TABLE {} (k int NOT NULL PRIMARY KEY, v varchar(20) NOT NULL DEFAULT '') ENGINE=InnoDB",
            self.name("t")
        );
        self.run(&text).unwrap();
    }

    fn run(&self, text: &str) -> Result<u64> {
        run(&*self.backend, text)
    }

    fn insert(&self, keys: std::ops::Range<i64>) -> Result<u64> {
        insert(&*self.backend, &self.schema, keys)
    }

    fn count(&self) -> i64 {
        let text = format!("SELECT count(*) FROM {}", self.name("t"));
        match self
            .backend
            .query_any(&Statement::new(text))
            .unwrap()
            .value(0, 0)
        {
            Value::Int(n) => n,
            other => panic!("{other:?}"),
        }
    }

    /// Ends this session from another one.
    fn kill(&self) {
        let id = self.backend.connection_id();
        run(&self.other(), &format!("KILL {id}")).unwrap();
        sleep(Duration::from_millis(100));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let quoted = self.backend.dialect().quote(&self.schema);
        let _ = run(&self.other(), &format!("DROP DATABASE IF EXISTS {quoted}"));
    }
}

fn run(backend: &dyn Backend, text: &str) -> Result<u64> {
    backend.execute(&Statement::new(text))
}

fn insert(backend: &dyn Backend, schema: &str, keys: std::ops::Range<i64>) -> Result<u64> {
    let rows: Vec<Vec<Option<Value>>> = keys.map(|k| vec![Some(k.into())]).collect();
    backend.insert(&Insert {
        schema,
        table: "t",
        columns: &[("k".into(), storage("int32"))],
        primary_key: &["k".into()],
        other_columns: &["v".into()],
        rows: &rows,
        conflict: Conflict::Error,
    })
}

/// Rows of `t` with both columns.
fn insert_rows(lab: &Lab, rows: &[Vec<Option<Value>>]) -> Result<u64> {
    lab.backend.insert(&Insert {
        schema: &lab.schema,
        table: "t",
        columns: &[
            ("k".into(), storage("int32")),
            ("v".into(), storage("varchar(20)")),
        ],
        primary_key: &["k".into()],
        other_columns: &[],
        rows,
        conflict: Conflict::Error,
    })
}

fn storage(type_: &str) -> StorageType {
    StorageType::parse(type_).unwrap()
}

fn column(name: &str, type_: &str, default: Default, comment: &str) -> ColumnSpec {
    let parsed = Type::parse(type_).unwrap();
    let storage = match &parsed {
        Type::Codec(codec) if codec.store.is_some() => storage("json"),
        Type::Codec(_) => storage("bytes"),
        other => other.storage().unwrap(),
    };
    ColumnSpec {
        name: name.into(),
        comment: Marker::compose(&parsed, comment),
        storage,
        default,
        nullable: false,
        inherited: false,
        known_type: None,
    }
}

fn output(name: &str, kind: ColumnKind) -> OutputColumn {
    OutputColumn {
        name: name.into(),
        kind,
        storage: None,
    }
}

// -------------------------------------------------------------------------------------------------------- lost sessions

#[test]
fn a_session_that_was_killed_while_idle_is_opened_again() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    let id = lab.backend.connection_id();
    lab.kill();
    // A read is run once more.
    assert_eq!(lab.count(), 0);
    assert_ne!(
        lab.backend.connection_id(),
        id,
        "a new session has a new number"
    );
    // After more than a second a write asks first whether the session is there.
    lab.kill();
    sleep(Duration::from_millis(1100));
    lab.run(&format!("INSERT INTO {} (k) VALUES (1)", lab.name("t")))
        .unwrap();
    lab.kill();
    lab.insert(2..5).unwrap();
    assert_eq!(lab.count(), 4);
    lab.kill();
    assert!(!lab.backend.is_connected());
    lab.backend.begin().unwrap();
    lab.backend.rollback().unwrap();
    assert!(lab.backend.is_connected());
}

#[test]
fn a_write_of_unknown_outcome_is_not_run_again() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    let text = format!(
        "INSERT INTO {} (k) SELECT 1 FROM (SELECT SLEEP(3)) s",
        lab.name("t")
    );
    let (id, other) = (lab.backend.connection_id(), lab.other());
    let killer = std::thread::spawn(move || {
        sleep(Duration::from_millis(500));
        run(&other, &format!("KILL {id}")).unwrap();
    });
    let error = lab.run(&text).unwrap_err();
    killer.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::LostConnection, "{error}");
    assert!(error.to_string().contains("Nobody can tell"), "{error}");
    assert_eq!(lab.count(), 0, "and the next statement works");
}

#[test]
fn a_transaction_is_lost_with_its_session() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    for read in [true, false] {
        lab.backend.begin().unwrap();
        lab.insert(0..3).unwrap();
        lab.kill();
        let error = match read {
            true => lab
                .backend
                .query_any(&Statement::new("SELECT 1"))
                .unwrap_err(),
            false => lab.insert(3..4).unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::LostConnection, "{error}");
        assert!(
            error.to_string().contains("nothing of it was stored"),
            "{error}"
        );
        assert!(!lab.backend.in_transaction());
        assert!(lab.backend.commit().is_err());
        assert_eq!(lab.count(), 0);
    }
    lab.backend.begin().unwrap();
    lab.insert(0..3).unwrap();
    lab.kill();
    let error = lab.backend.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LostConnection, "{error}");
    assert!(!lab.backend.in_transaction());
    lab.backend.begin().unwrap();
    lab.kill();
    lab.backend.rollback().unwrap();
    assert_eq!(lab.insert(0..3).unwrap(), 3);
}

#[test]
fn without_reconnecting_a_lost_session_stays_lost() {
    let Some(lab) = Lab::new() else { return };
    let backend = MySql::open(ServerOptions {
        reconnect: false,
        ..lab.options.clone()
    })
    .unwrap();
    run(&lab.other(), &format!("KILL {}", backend.connection_id())).unwrap();
    for _ in 0..2 {
        let error = backend.query_any(&Statement::new("SELECT 1")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LostConnection, "{error}");
    }
    assert!(!backend.is_connected());
}

#[test]
fn a_stream_whose_session_is_killed_says_so_and_a_dropped_one_ends_its_query() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    lab.insert(0..200_000).unwrap();
    let statement = Statement::new(format!("SELECT k FROM {} ORDER BY k", lab.name("t")));
    let columns = [output("k", ColumnKind::Int)];
    let sessions = || {
        let text = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT k FROM%'";
        let batch = lab.other().query_any(&Statement::new(text)).unwrap();
        let ids = (0..batch.rows).map(|row| format!("{:?}", batch.value(row, 0)));
        let ours: Vec<String> = ids
            .map(|id| {
                id.trim_start_matches("Int(")
                    .trim_end_matches(')')
                    .to_owned()
            })
            .collect();
        ours
    };
    let mut stream = lab.backend.stream(&statement, &columns, 1000).unwrap();
    assert_eq!(stream.next().unwrap().unwrap().rows, 1000);
    sleep(Duration::from_millis(200));
    let before = sessions();
    for id in &before {
        let _ = run(&lab.other(), &format!("KILL {id}"));
    }
    let error = stream.find_map(|batch| batch.err());
    // What was on its way may have been all there was.
    if !before.is_empty() {
        assert_eq!(error.expect("an error").kind(), ErrorKind::LostConnection);
    }

    let slow = Statement::new("SELECT SLEEP(30)");
    let stream = lab
        .backend
        .stream(&slow, &[output("s", ColumnKind::Int)], 10)
        .unwrap();
    sleep(Duration::from_millis(200));
    let start = Instant::now();
    drop(stream);
    let text =
        "SELECT count(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(30)'";
    while format!(
        "{:?}",
        lab.other()
            .query_any(&Statement::new(text))
            .unwrap()
            .value(0, 0)
    ) != "Int(0)"
    {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the query goes on"
        );
        sleep(Duration::from_millis(50));
    }
    // Nothing is locked for long: the table can be dropped.
    drop(lab.backend.stream(&statement, &columns, 1).unwrap());
    lab.backend.drop_table(&lab.schema, "t").unwrap();
}

// ---------------------------------------------------------------------------------------------------------------- locks

#[test]
fn a_deadlock_undoes_one_transaction_and_says_so() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    lab.insert(1..3).unwrap();
    let other = Arc::new(lab.other());
    let update = |k: i64| format!("UPDATE {} SET v = 'x' WHERE k = {k}", lab.name("t"));
    lab.backend.begin().unwrap();
    other.begin().unwrap();
    lab.run(&update(1)).unwrap();
    run(&*other, &update(2)).unwrap();
    let (second, text) = (other.clone(), update(1));
    let waiting = std::thread::spawn(move || run(&*second, &text));
    sleep(Duration::from_millis(300));
    let here = lab.run(&update(2));
    let there = waiting.join().unwrap();
    let (loser, error): (&dyn Backend, Error) = match (here, there) {
        (Err(error), Ok(_)) => (&*lab.backend, error),
        (Ok(_), Err(error)) => (&*other, error),
        both => panic!("{both:?}"),
    };
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{error}");
    // Until it is rolled back here too, nothing runs as if it were still inside, or outside.
    assert!(loser.in_transaction());
    assert_eq!(
        run(loser, &update(1)).unwrap_err().kind(),
        ErrorKind::Deadlock
    );
    assert_eq!(loser.commit().unwrap_err().kind(), ErrorKind::Deadlock);
    loser.rollback().unwrap();
    assert!(!loser.in_transaction());
    lab.backend.rollback().unwrap();
    other.rollback().unwrap();
    assert_eq!(lab.count(), 2);
}

#[test]
fn a_lock_that_is_held_too_long_is_a_lock_timeout_and_the_transaction_goes_on() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    lab.insert(1..3).unwrap();
    let other = lab.other();
    run(&other, "SET SESSION innodb_lock_wait_timeout = 1").unwrap();
    let update = |k: i64| format!("UPDATE {} SET v = 'x' WHERE k = {k}", lab.name("t"));
    lab.backend.begin().unwrap();
    lab.run(&update(1)).unwrap();
    other.begin().unwrap();
    run(&other, &update(2)).unwrap();
    let error = run(&other, &update(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout, "{error}");
    assert!(other.in_transaction());
    lab.backend.rollback().unwrap();
    run(&other, &update(1)).unwrap();
    other.commit().unwrap();
}

#[test]
fn collectors_and_writers_exclude_each_other() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    let (collector, writer) = (lab.other(), lab.other());
    for backend in [&collector, &writer] {
        run(backend, "SET SESSION innodb_lock_wait_timeout = 1").unwrap();
    }
    let schema = lab.schema.as_str();
    writer.begin().unwrap();
    writer.lock_writer(schema).unwrap();
    insert(&writer, schema, 1..2).unwrap();
    lab.backend.begin().unwrap();
    lab.backend.lock_writer(schema).unwrap();
    lab.backend.rollback().unwrap();
    let error = collector.begin_collecting(&[schema]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout, "{error}");
    assert!(!collector.in_transaction());
    writer.commit().unwrap();
    collector.begin_collecting(&[schema]).unwrap();
    let text = format!("SELECT count(*) FROM {}", lab.name("t"));
    let seen = collector.query_any(&Statement::new(text)).unwrap();
    assert_eq!(format!("{:?}", seen.value(0, 0)), "Int(1)");
    writer.begin().unwrap();
    assert_eq!(
        writer.lock_writer(schema).unwrap_err().kind(),
        ErrorKind::LockTimeout
    );
    writer.rollback().unwrap();
    collector.commit().unwrap();
    // A schema that others have made gets its lock when it is first needed; a hidden table is made beside an open
    // transaction, which can use it.
    lab.run(&format!("DROP TABLE {}", lab.name("~lode_lock")))
        .unwrap();
    lab.backend.begin().unwrap();
    lab.insert(5..6).unwrap();
    lab.backend.lock_writer(schema).unwrap();
    let error = collector.begin_collecting(&[schema]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout, "{error}");
    let statements = lab.backend.dialect().create_dropped_table(schema).unwrap();
    lab.backend.prepare_hidden(&statements).unwrap();
    lab.run(&format!(
        "INSERT INTO {} (path) VALUES ('a')",
        lab.name("~lode_dropped")
    ))
    .unwrap();
    lab.backend.rollback().unwrap();
    assert_eq!(lab.count(), 1);
    collector.begin_collecting(&[schema]).unwrap();
    collector.rollback().unwrap();
}

// ---------------------------------------------------------------------------------------------- users, limits, failures

#[test]
fn what_keeps_from_connecting_is_told() {
    let Some(lab) = Lab::new() else { return };
    let fail = |options: ServerOptions| MySql::open(options).unwrap_err();
    let base = || lab.options.clone();
    for (options, kind, message) in [
        (
            ServerOptions { port: 1, ..base() },
            ErrorKind::LostConnection,
            "no database server listens at",
        ),
        (
            ServerOptions {
                host: "no-such-host.invalid".into(),
                ..base()
            },
            ErrorKind::LostConnection,
            "no-such-host.invalid",
        ),
        (
            ServerOptions {
                host: "/no/such/socket".into(),
                ..base()
            },
            ErrorKind::LostConnection,
            "there is no socket /no/such/socket",
        ),
        (
            ServerOptions {
                password: Some("s3cret-word".into()),
                ..base()
            },
            ErrorKind::Access,
            "refuses user",
        ),
        (
            ServerOptions {
                database: Some("no_such_db".into()),
                ..base()
            },
            ErrorKind::Access,
            "no_such_db",
        ),
    ] {
        let error = fail(options);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint_text().is_some(), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret-word"));
    }
    let offers = lab
        .backend
        .query_any(&Statement::new("SELECT @@have_ssl = 'YES'"));
    if offers.is_ok_and(|b| format!("{:?}", b.value(0, 0)) == "Int(0)") {
        let error = fail(ServerOptions {
            tls: Tls::Require,
            ..base()
        });
        assert!(error.to_string().contains("does not offer TLS"), "{error}");
        MySql::open(ServerOptions {
            tls: Tls::Prefer,
            ..base()
        })
        .unwrap();
    }
}

#[test]
fn certificates_are_checked_if_that_is_asked_for() {
    let Some(lab) = Lab::new() else { return };
    let Ok(ca) = std::env::var("LODE_TEST_CA") else {
        eprintln!("SKIPPED: no LODE_TEST_CA");
        return;
    };
    let open = |host: &str, tls: Tls| {
        MySql::open(ServerOptions {
            host: host.into(),
            tls,
            ..lab.options.clone()
        })
    };
    let cipher = |backend: MySql| {
        let text = "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'";
        format!(
            "{:?}",
            backend
                .query_any(&Statement::new(text))
                .unwrap()
                .value(0, 0)
        )
    };
    let verify = |ca: Option<&str>| Tls::Verify {
        ca: ca.map(Into::into),
    };
    // The name in the certificate.
    let host = "localhost";
    for tls in [Tls::Prefer, Tls::Require, verify(Some(&ca))] {
        let encrypted = cipher(open(host, tls.clone()).unwrap());
        assert_ne!(encrypted, "Text(\"\")", "{tls:?}");
    }
    assert_eq!(cipher(open(host, Tls::Off).unwrap()), "Text(\"\")");
    for (host, tls, kind) in [
        (host, verify(None), ErrorKind::LostConnection),
        ("127.0.0.1", verify(Some(&ca)), ErrorKind::LostConnection),
        (host, verify(Some("/no/such/file.pem")), ErrorKind::Config),
    ] {
        let error = open(host, tls).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(error.hint_text().is_some(), "{error}");
    }
}

#[test]
fn a_missing_privilege_is_named() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    let user = format!("lode_{:08x}", rand::random::<u32>());
    for text in [
        format!("CREATE USER '{user}'@'%' IDENTIFIED BY 'pass''word'"),
        format!("CREATE USER '{user}'@'localhost' IDENTIFIED BY 'pass''word'"),
        format!(
            "GRANT SELECT ON `{}`.* TO '{user}'@'%', '{user}'@'localhost'",
            lab.schema
        ),
    ] {
        lab.run(&text).unwrap();
    }
    let options = |password: &str| ServerOptions {
        user: user.clone(),
        password: Some(password.into()),
        ..lab.options.clone()
    };
    let wrong = MySql::open(options("other")).unwrap_err();
    let ann = MySql::open(options("pass'word")).unwrap();
    let read = ann.query_any(&Statement::new(format!("SELECT k FROM {}", lab.name("t"))));
    let write = insert(&ann, &lab.schema, 0..3).unwrap_err();
    let create = ann.create_schema("lode_not_allowed").unwrap_err();
    let declare = run(&ann, &format!("CREATE TABLE {} (k int)", lab.name("u"))).unwrap_err();
    let schemas = ann.schemas().unwrap();
    for host in ["%", "localhost"] {
        lab.run(&format!("DROP USER '{user}'@'{host}'")).unwrap();
    }
    assert_eq!(wrong.kind(), ErrorKind::Access, "{wrong}");
    assert!(read.is_ok());
    for (error, grant) in [
        (
            &write,
            format!("GRANT INSERT ON `{}`.* TO '{user}'@", lab.schema),
        ),
        (&create, format!("ON `lode_not_allowed`.* TO '{user}'@")),
        (
            &declare,
            format!("GRANT CREATE ON `{}`.* TO '{user}'@", lab.schema),
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::Access, "{error}");
        assert!(error.to_string().contains(&grant), "{error}");
    }
    assert_eq!(schemas.iter().filter(|s| **s == lab.schema).count(), 1);
}

#[test]
fn a_value_larger_than_the_server_takes_is_refused_before_it_is_sent() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&format!(
        "CREATE TABLE {} (k int PRIMARY KEY, b longblob)",
        lab.name("t")
    ))
    .unwrap();
    let limit = lab
        .backend
        .query_any(&Statement::new("SELECT @@max_allowed_packet"))
        .unwrap();
    let Value::Int(limit) = limit.value(0, 0) else {
        panic!()
    };
    let id = lab.backend.connection_id();
    let put = |sizes: &[usize]| {
        let rows: Vec<Vec<Option<Value>>> = sizes
            .iter()
            .enumerate()
            .map(|(k, size)| vec![Some((k as i64).into()), Some(vec![7_u8; *size].into())])
            .collect();
        lab.backend.insert(&Insert {
            schema: &lab.schema,
            table: "t",
            columns: &[
                ("k".into(), storage("int32")),
                ("b".into(), storage("bytes")),
            ],
            primary_key: &["k".into()],
            other_columns: &["b".into()],
            rows: &rows,
            conflict: Conflict::Error,
        })
    };
    let limit = limit as usize;
    let error = put(&[10, limit + 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    let place = error.place();
    assert_eq!(
        (place.attribute.as_deref(), place.row),
        (Some("b"), Some(1)),
        "{error}"
    );
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
    assert_eq!(
        lab.backend.connection_id(),
        id,
        "the connection was not lost over it"
    );
    assert_eq!(lab.count(), 0);
    // Many rows that are too large together are sent in parts.
    assert_eq!(
        put(&[limit / 3, limit / 3, limit / 3, limit / 3]).unwrap(),
        4
    );
    let sum = lab.backend.query(
        &Statement::new(format!("SELECT SUM(LENGTH(b)) AS n FROM {}", lab.name("t"))),
        &[output("n", ColumnKind::Int)],
    );
    assert_eq!(
        format!("{:?}", sum.unwrap().value(0, 0)),
        format!("Int({})", limit / 3 * 4)
    );
}

#[test]
fn of_many_rows_all_are_in_or_none_and_the_one_at_fault_is_named() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    let row = |k: i64| -> Vec<Option<Value>> { vec![Some(k.into()), Some(format!("v{k}").into())] };
    let mut rows: Vec<_> = (0..6000).map(row).collect();
    // A duplicate, and a value that the column cannot hold, in the second of the parts that are sent at once.
    for (bad, kind) in [
        (row(17), ErrorKind::Duplicate),
        (
            vec![Some(9000.into()), Some("v".repeat(30).into())],
            ErrorKind::Data,
        ),
    ] {
        let good = std::mem::replace(&mut rows[4321], bad);
        let e = insert_rows(&lab, &rows).unwrap_err();
        assert_eq!((e.kind(), e.place().row), (kind, Some(4321)), "{e}");
        assert_eq!(lab.count(), 0);
        // The open transaction keeps what came before.
        lab.backend.begin().unwrap();
        insert_rows(&lab, &[row(7000)]).unwrap();
        let e = insert_rows(&lab, &rows).unwrap_err();
        assert_eq!((e.kind(), e.place().row), (kind, Some(4321)), "{e}");
        assert_eq!(lab.count(), 1);
        lab.backend.rollback().unwrap();
        rows[4321] = good;
    }
    assert_eq!(insert_rows(&lab, &rows).unwrap(), 6000);
    assert_eq!(lab.count(), 6000);
    let sum = format!(
        "SELECT count(*) FROM {} WHERE v = concat('v', k)",
        lab.name("t")
    );
    let sum = lab.backend.query_any(&Statement::new(sum)).unwrap();
    assert!(matches!(sum.value(0, 0), Value::Int(6000)));
}

#[test]
fn columns_of_mixed_values_and_rows_as_large_as_the_server_takes_are_inserted_too() {
    let Some(lab) = Lab::new() else { return };
    lab.table();
    let value = |k: i64| match k % 3 {
        0 => Value::Int(k),
        1 => Value::Float(0.5),
        _ => Value::Text(k.to_string()),
    };
    let mut rows: Vec<Vec<Option<Value>>> = (0..3000)
        .map(|k| vec![Some(k.into()), Some(value(k))])
        .collect();
    assert_eq!(insert_rows(&lab, &rows).unwrap(), 3000);
    let sum = format!(
        "SELECT count(*) FROM {} WHERE v = if(k % 3 = 1, '0.5', k)",
        lab.name("t")
    );
    let sum = lab.backend.query_any(&Statement::new(sum)).unwrap();
    assert!(matches!(sum.value(0, 0), Value::Int(3000)));

    // Two values that fit one by one, and not together.
    lab.run(&format!("DELETE FROM {}", lab.name("t"))).unwrap();
    lab.run(&format!(
        "ALTER TABLE {} MODIFY v longtext, ADD w longtext",
        lab.name("t")
    ))
    .unwrap();
    let limit = lab
        .backend
        .query_any(&Statement::new("SELECT @@max_allowed_packet"))
        .unwrap();
    let Value::Int(limit) = limit.value(0, 0) else {
        panic!("no limit")
    };
    let large = "x".repeat(usize::try_from(limit).unwrap() * 3 / 4);
    rows = (0..40_i64)
        .map(|k| {
            let text = if k == 20 {
                large.clone()
            } else {
                k.to_string()
            };
            vec![Some(k.into()), Some(text.clone().into()), Some(text.into())]
        })
        .collect();
    let done = lab.backend.insert(&Insert {
        schema: &lab.schema,
        table: "t",
        columns: &[
            ("k".into(), storage("int32")),
            ("v".into(), storage("longtext")),
            ("w".into(), storage("longtext")),
        ],
        primary_key: &["k".into()],
        other_columns: &[],
        rows: &rows,
        conflict: Conflict::Error,
    });
    assert_eq!(done.unwrap(), 40);
    assert_eq!(lab.count(), 40);
}

#[test]
fn zero_dates_of_other_programs_are_errors_that_name_the_column() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&format!(
        "CREATE TABLE {} (k int PRIMARY KEY, d date, m datetime)",
        lab.name("t")
    ))
    .unwrap();
    lab.run("SET SESSION sql_mode = ''").unwrap();
    lab.run(&format!(
        "INSERT INTO {} VALUES (1, '2024-02-29', '0000-00-00')",
        lab.name("t")
    ))
    .unwrap();
    let columns = [
        output("k", ColumnKind::Int),
        output("d", ColumnKind::Date),
        output("m", ColumnKind::DateTime),
    ];
    let text = format!("SELECT k, d, m FROM {}", lab.name("t"));
    let error = lab
        .backend
        .query(&Statement::new(&text), &columns)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert_eq!(
        (error.place().attribute.as_deref(), error.place().row),
        (Some("m"), Some(0))
    );
    assert_eq!(
        lab.backend
            .query_any(&Statement::new(&text))
            .unwrap_err()
            .kind(),
        ErrorKind::Data
    );
}

#[test]
fn decimals_are_compared_to_the_last_digit() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&format!(
        "CREATE TABLE {} (k decimal(30,10) PRIMARY KEY)",
        lab.name("t")
    ))
    .unwrap();
    lab.run(&format!(
        "INSERT INTO {} VALUES (12345678901234567890.0000000001), (12345678901234567890.0000000002)",
        lab.name("t")
    ))
    .unwrap();
    let found = lab.backend.query_any(&Statement {
        text: format!("SELECT k FROM {} WHERE k = ?1", lab.name("t")),
        params: vec![Value::Decimal("12345678901234567890.0000000001".into())],
    });
    assert_eq!(found.unwrap().rows, 1);
}

// ----------------------------------------------------------------------------------------------------------- catalogues

/// The example of the specification (definition §7.2).
fn example(schema: &str) -> Vec<TableSpec> {
    let table = |name: &str, comment: &str, columns: Vec<ColumnSpec>, key: &[&str]| TableSpec {
        schema: schema.into(),
        table: name.into(),
        comment: comment.into(),
        columns,
        primary_key: key.iter().map(|k| (*k).to_owned()).collect(),
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
    };
    let key = |columns: &[&str], parent: &str, parent_columns: &[&str]| ForeignKeySpec {
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        parent_schema: schema.into(),
        parent_table: parent.into(),
        parent_columns: parent_columns.iter().map(|c| (*c).to_owned()).collect(),
    };
    let inherited = |name: &str, type_: &str, comment: &str| ColumnSpec {
        inherited: true,
        ..column(name, type_, Default::Required, comment)
    };
    let literal = |text: &str| Default::Literal(text.into());
    let species = table(
        "#species",
        "",
        vec![column(
            "species",
            "varchar(16)",
            Default::Required,
            "latin name",
        )],
        &["species"],
    );
    let mut subject = table(
        "subject",
        "lab animal",
        vec![
            column("subject_id", "int32", Default::Required, "unique id"),
            inherited("species", "varchar(16)", "latin name"),
            column("sex", "enum('M','F','U')", literal("U"), ""),
            column("weight", "float32", literal("1.5"), "grams"),
            column("active", "bool", literal("true"), ""),
            column(
                "made",
                "datetime(3)",
                Default::CurrentTimestamp("CURRENT_TIMESTAMP(3)".into()),
                "",
            ),
            column("price", "decimal(10,2)", literal("0"), ""),
            column("tag", "uuid", Default::Null, ""),
            column("trace", "<blob>", Default::Null, ""),
            column("movie", "<object@cold>", Default::Null, "zarr"),
            column(
                "token",
                "uuid",
                literal("00112233-4455-6677-8899-aabbccddeeff"),
                "",
            ),
            column(
                "order",
                "varchar(40)",
                literal("it's \\ \"100%\""),
                "it's \\ a \"100%\" word",
            ),
        ],
        &["subject_id"],
    );
    subject
        .foreign_keys
        .push(key(&["species"], "#species", &["species"]));
    let index = |unique, terms: &[&str]| IndexSpec {
        unique,
        terms: terms.iter().map(|t| (*t).to_owned()).collect(),
    };
    subject.indexes = vec![
        index(true, &["tag"]),
        index(false, &["tag"]),
        index(false, &["order(10)", "price desc"]),
    ];
    vec![species, subject]
}

#[test]
fn the_example_of_the_specification() {
    let text: Vec<String> = example("lab")
        .iter()
        .flat_map(|t| MySqlDialect::default().create_table(t).unwrap())
        .map(|s| s.text)
        .collect();
    insta::assert_snapshot!(text.join("\n\n"));
}

#[test]
fn what_is_declared_is_read_back_as_it_was_written() {
    let Some(lab) = Lab::new() else { return };
    let specs = example(&lab.schema);
    for spec in &specs {
        for statement in lab.backend.dialect().create_table(spec).unwrap() {
            lab.backend.execute(&statement).unwrap();
        }
    }
    let tables = lab.backend.catalog(&lab.schema).unwrap();
    let subject = tables.iter().find(|t| t.name == "subject").unwrap();
    for (written, read) in specs[1].columns.iter().zip(&subject.columns) {
        assert_eq!(written.comment, read.comment);
        assert_eq!(
            written.default == Default::Null,
            read.nullable,
            "{}",
            read.name
        );
    }
    let defaults: Vec<(&str, &str)> = subject
        .columns
        .iter()
        .filter_map(|c| Some((c.name.as_str(), c.default.as_deref()?)))
        .collect();
    assert_eq!(
        defaults,
        [
            ("sex", "'U'"),
            ("weight", "1.5"),
            ("active", "1"),
            ("made", "CURRENT_TIMESTAMP(3)"),
            ("price", "0.00"),
            ("token", "X'00112233445566778899aabbccddeeff'"),
            ("order", "'it''s \\ \"100%\"'"),
        ]
    );
    let indexes: Vec<(bool, String)> = subject
        .indexes
        .iter()
        .map(|i| (i.unique, i.terms.join(",")))
        .collect();
    assert!(indexes.contains(&(true, "tag".into())) && !indexes.contains(&(false, "tag".into())));
    assert!(
        indexes
            .iter()
            .any(|(_, terms)| terms.starts_with("order(10),price")),
        "{indexes:?}"
    );
    // The defaults are those values.
    lab.run(&format!(
        "INSERT INTO {} VALUES ('mouse')",
        lab.name("#species")
    ))
    .unwrap();
    lab.run(&format!(
        "INSERT INTO {} (subject_id, species) VALUES (1, 'mouse')",
        lab.name("subject")
    ))
    .unwrap();
    let columns = [
        output("token", column_kind(&storage("uuid"))),
        output("order", ColumnKind::Text),
    ];
    let text = format!("SELECT token, `order` FROM {}", lab.name("subject"));
    let row = lab.backend.query(&Statement::new(text), &columns).unwrap();
    let Value::Uuid(token) = row.value(0, 0) else {
        panic!()
    };
    assert_eq!(token.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(
        format!("{:?}", row.value(0, 1)),
        format!("{:?}", Value::from("it's \\ \"100%\""))
    );
}

#[test]
fn keys_of_text_agree_across_schemas_of_different_collation() {
    let Some(lab) = Lab::new() else { return };
    let parents = format!("{}_ci", lab.schema);
    lab.run(&format!(
        "CREATE DATABASE `{parents}` CHARACTER SET latin1 COLLATE latin1_german1_ci"
    ))
    .unwrap();
    lab.run(&format!(
        "CREATE TABLE `{parents}`.`p` (`name` varchar(16) NOT NULL COMMENT ':varchar(16):', \
                      `n` int(10) unsigned NOT NULL, PRIMARY KEY (`name`, `n`))"
    ))
    .unwrap();
    let mut child = TableSpec {
        schema: lab.schema.clone(),
        table: "c".into(),
        comment: String::new(),
        columns: vec![
            ColumnSpec {
                inherited: true,
                ..column("who", "varchar(16)", Default::Required, "")
            },
            ColumnSpec {
                inherited: true,
                ..column("n", "int64", Default::Required, "")
            },
        ],
        primary_key: vec!["who".into(), "n".into()],
        foreign_keys: vec![ForeignKeySpec {
            columns: vec!["who".into(), "n".into()],
            parent_schema: parents.clone(),
            parent_table: "p".into(),
            parent_columns: vec!["name".into(), "n".into()],
        }],
        indexes: Vec::new(),
    };
    lab.backend.known_types(&mut child).unwrap();
    let types: Vec<_> = child
        .columns
        .iter()
        .map(|c| c.known_type.clone().unwrap())
        .collect();
    let made: Result<()> = lab
        .backend
        .dialect()
        .create_table(&child)
        .unwrap()
        .iter()
        .try_for_each(|s| lab.backend.execute(s).map(|_| ()));
    let referencing = lab.backend.referencing(&parents).unwrap();
    let _ = lab.run(&format!("DROP TABLE {}", lab.name("c")));
    lab.run(&format!("DROP DATABASE `{parents}`")).unwrap();
    assert_eq!(
        types,
        [
            "varchar(16) CHARACTER SET latin1 COLLATE latin1_german1_ci",
            "int unsigned"
        ]
    );
    made.unwrap();
    assert_eq!(referencing, [(lab.schema.clone(), "c".to_owned())]);
}

#[test]
fn indexes_on_expressions_are_refused_before_anything_is_made() {
    let dialect = MySqlDialect::default();
    let mut table = example("lab").remove(1);
    table.indexes = vec![IndexSpec {
        unique: false,
        terms: vec!["movie.shape[0]:signed".into()],
    }];
    let error = dialect.create_table(&table).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Definition, "{error}");
    let mysql = MySqlDialect {
        mariadb: false,
        version: (8, 0, 36),
    };
    let text = &mysql.create_table(&table).unwrap()[0].text;
    assert!(text.contains("INDEX ((CAST("), "{text}");
}

#[test]
fn comments_that_are_too_long_lose_only_what_the_type_tells() {
    let dialect = MySqlDialect::default();
    let values: Vec<String> = (0..100).map(|n| format!("'value number {n}'")).collect();
    let type_ = format!("enum({})", values.join(","));
    let mut table = example("lab").remove(0);
    table
        .columns
        .push(column("e", &type_, Default::Null, "kept"));
    let text = &dialect.create_table(&table).unwrap()[0].text;
    assert!(text.contains("COMMENT \"kept\""), "{text}");
    table
        .columns
        .push(column("f", "int32", Default::Null, &"x".repeat(1020)));
    let error = dialect.create_table(&table).unwrap_err();
    assert_eq!(
        (error.kind(), error.place().attribute.as_deref()),
        (ErrorKind::Definition, Some("f"))
    );
}

/// How long do a bulk insert, a fetch and the catalogue of a large server take? `cargo test -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn how_long_does_it_take() {
    let Some(lab) = Lab::new() else { return };
    let types = [
        "int32",
        "int32",
        "float64",
        "varchar(40)",
        "datetime(3)",
        "bool",
    ];
    let names = ["a", "b", "c", "d", "e", "f"];
    let spec = TableSpec {
        schema: lab.schema.clone(),
        table: "m".into(),
        comment: String::new(),
        columns: names
            .iter()
            .zip(types)
            .map(|(n, t)| column(n, t, Default::Required, ""))
            .collect(),
        primary_key: vec!["a".into(), "b".into()],
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
    };
    for statement in lab.backend.dialect().create_table(&spec).unwrap() {
        lab.backend.execute(&statement).unwrap();
    }
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
    let columns: Vec<(Arc<str>, StorageType)> = names
        .iter()
        .zip(types)
        .map(|(n, t)| ((*n).into(), storage(t)))
        .collect();
    for _ in 0..3 {
        lab.run(&format!("TRUNCATE TABLE {}", lab.name("m")))
            .unwrap();
        let start = Instant::now();
        let insert = Insert {
            schema: &lab.schema,
            table: "m",
            columns: &columns,
            primary_key: &["a".into(), "b".into()],
            other_columns: &[],
            rows: &rows,
            conflict: Conflict::Error,
        };
        assert_eq!(lab.backend.insert(&insert).unwrap(), 50_000);
        println!("insert of 50 000 rows: {:?}", start.elapsed());
        let outputs: Vec<OutputColumn> = names
            .iter()
            .zip(types)
            .map(|(n, t)| output(n, column_kind(&storage(t))))
            .collect();
        let text = format!("SELECT a, b, c, d, e, f FROM {}", lab.name("m"));
        let start = Instant::now();
        assert_eq!(
            lab.backend
                .query(&Statement::new(text), &outputs)
                .unwrap()
                .rows,
            50_000
        );
        println!("fetch: {:?}", start.elapsed());
    }
    let schemas: Vec<String> = (0..20).map(|n| format!("{}_{n}", lab.schema)).collect();
    for schema in &schemas {
        lab.backend.create_schema(schema).unwrap();
        for table in 0..25 {
            for mut spec in example(schema) {
                if spec.table == "subject" {
                    spec.table = format!("subject{table}");
                } else if table > 0 {
                    continue;
                }
                for statement in lab.backend.dialect().create_table(&spec).unwrap() {
                    lab.backend.execute(&statement).unwrap();
                }
            }
        }
    }
    let names: Vec<&str> = schemas.iter().map(String::as_str).collect();
    for _ in 0..3 {
        let start = Instant::now();
        let tables: usize = lab
            .backend
            .catalogs(&names)
            .unwrap()
            .iter()
            .map(Vec::len)
            .sum();
        println!("catalogue of {tables} tables: {:?}", start.elapsed());
        let start = Instant::now();
        lab.backend.catalog(names[0]).unwrap();
        println!("catalogue of one schema: {:?}", start.elapsed());
        let start = Instant::now();
        lab.backend.referencing(names[0]).unwrap();
        println!("referencing one schema: {:?}", start.elapsed());
    }
    for schema in &schemas {
        lab.run(&format!("DROP DATABASE `{schema}`")).unwrap();
    }
}
