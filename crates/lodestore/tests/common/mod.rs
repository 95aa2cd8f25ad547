//! The database that `LODE_TEST_BACKEND` names (SQLite by default), with nothing in it, for one test.
//!
//! On SQLite it is a file. On PostgreSQL every test has a database of its own. On MySQL schemas belong to the whole
//! server: tests take turns, over all processes, and remove the schemas they made.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use lodestore::config::Config;
use lodestore::schema::Lode;
use lodestore::sql::{Backend, BackendKind, Statement};
use lodestore::value::Value;
use serde_json::json;

/// What tests may call their schemas: these go when a test ends.
const SCHEMAS: [&str; 4] = ["lab", "other", "copy", "gone"];
/// Longer than any test waits for its turn.
const TURN: &str = "SELECT GET_LOCK('lode_tests', 3600)";

/// The database under test.
pub fn kind() -> BackendKind {
    match std::env::var("LODE_TEST_BACKEND").as_deref() {
        Err(_) | Ok("sqlite") => BackendKind::Sqlite,
        Ok("postgresql") => BackendKind::Postgres,
        Ok("mysql") => BackendKind::MySql,
        Ok(other) => {
            panic!("LODE_TEST_BACKEND is `{other}`: known are sqlite, postgresql and mysql")
        }
    }
}

/// True if the test is to be left out, because it is about SQLite; says so.
pub fn only_on_sqlite(reason: &str) -> bool {
    let skip = kind() != BackendKind::Sqlite;
    if skip {
        // Written directly, as the test harness hides what passing tests print.
        let _ = writeln!(std::io::stderr(), "SKIPPED on {:?}: {reason}", kind());
    }
    skip
}

/// A fresh database, removed when this is dropped.
pub struct Database(Option<Server>);

struct Server {
    admin: Arc<dyn Backend>,
    url: String,
    /// The database made for this test (PostgreSQL).
    made: Option<String>,
}

impl Database {
    pub fn new() -> Database {
        let variable = match kind() {
            BackendKind::Sqlite => return Database(None),
            BackendKind::Postgres => "LODE_TEST_POSTGRESQL",
            BackendKind::MySql => "LODE_TEST_MYSQL",
        };
        let url = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} is not set: no server to test on"));
        let config = Config::defaults("/");
        config.set_url(&url).unwrap();
        let admin = lodestore::sql::connect(&config).unwrap();
        let mut made = None;
        if kind() == BackendKind::Postgres {
            let name = format!("lode_{:016x}", rand::random::<u64>());
            run(&*admin, &format!("CREATE DATABASE {name}"));
            made = Some(name);
        } else {
            let turn = admin.query_any(&Statement::new(TURN)).unwrap();
            assert!(
                matches!(turn.value(0, 0), Value::Int(1)),
                "no turn: {turn:?}"
            );
            let found = admin.schemas().unwrap();
            let taken = found.iter().find(|s| SCHEMAS.contains(&s.as_str()));
            assert_eq!(
                taken, None,
                "the server has a schema of a name that tests use"
            );
        }
        Database(Some(Server { admin, url, made }))
    }

    /// A configuration that names the database, and a default store `lab.db.objects` in `dir`. The file of SQLite is
    /// there too.
    pub fn config(&self, dir: &Path) -> Config {
        let config = Config::defaults(dir);
        let Some(server) = &self.0 else {
            let file = dir.join("lab.db");
            config
                .set_url(&format!("sqlite://{}", file.display()))
                .unwrap();
            return config;
        };
        config.set_url(&server.url).unwrap();
        if let Some(name) = &server.made {
            config.set("database.name", json!(name)).unwrap();
        }
        // As on SQLite.
        let store = json!({"protocol": "file", "location": dir.join("lab.db.objects")});
        config
            .set_store("local", store.as_object().unwrap().clone())
            .unwrap();
        config.set("stores.default", json!("local")).unwrap();
        config.set("lode.create_locations", json!(true)).unwrap();
        config.set("lode.gc.grace", json!(0)).unwrap();
        config
    }

    /// A connection to the database, with its store in `dir`.
    pub fn open(&self, dir: &Path) -> Lode {
        Lode::connect(self.config(dir)).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(server) = &self.0 else { return };
        if let Some(name) = &server.made {
            return run(
                &*server.admin,
                &format!("DROP DATABASE {name} WITH (FORCE)"),
            );
        }
        // A session that the test has left open must not hold this up for ever.
        run(
            &*server.admin,
            "SET SESSION FOREIGN_KEY_CHECKS = 0, lock_wait_timeout = 20",
        );
        for schema in SCHEMAS {
            run(
                &*server.admin,
                &format!("DROP DATABASE IF EXISTS `{schema}`"),
            );
        }
    }
}

fn run(backend: &dyn Backend, text: &str) {
    // Not a panic: this may run while one passes by.
    if let Err(error) = backend.execute(&Statement::new(text)) {
        let _ = writeln!(std::io::stderr(), "{text}: {error}");
        assert!(std::thread::panicking(), "{text}: {error}");
    }
}
