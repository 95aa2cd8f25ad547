//! A database with a store in a temporary directory, and tables to try things on.

use std::path::{Path, PathBuf};

use lodestore::definition::{TableName, Tier};
use lodestore::query::Query;
use lodestore::schema::{Declare, ForeignKeyTarget, HiddenColumns, Lode};
use lodestore::sql::Statement;
use lodestore::table::Table;
use lodestore::value::{Array, Row, Value};

use super::common::Database;

/// The directory and the database live as long as this.
pub struct Lab {
    pub lode: Lode,
    pub database: Database,
    pub dir: tempfile::TempDir,
}

impl Lab {
    /// A fresh database with one schema, `lab`.
    pub fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::new();
        let lode = database.open(dir.path());
        lode.create_schema("lab").unwrap();
        Lab {
            lode,
            database,
            dir,
        }
    }

    /// Another connection to the same database and store.
    pub fn again(&self) -> Lode {
        self.database.open(self.dir.path())
    }

    /// The quoted full name of a table in `lab`.
    pub fn full_name(&self, table: &str) -> String {
        self.lode.dialect().full_name("lab", table)
    }

    /// Runs SQL that every database reads the same way, with `{}` for its one value.
    pub fn run(&self, text: &str, value: Value) {
        let statement = Statement {
            text: text.replace("{}", &self.lode.dialect().placeholder(1)),
            params: vec![value],
        };
        self.lode.backend().execute(&statement).unwrap();
    }

    /// The directory of the default store.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("lab.db.objects")
    }

    /// Every file in the store, relative and sorted; not the engine's own section.
    pub fn files(&self) -> Vec<String> {
        let root = self.store();
        let mut files: Vec<String> = walk(&root)
            .into_iter()
            .map(|p| p.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .filter(|p| !p.starts_with("_lode"))
            .collect();
        files.sort();
        files
    }

    /// Declares a table in `lab`.
    pub fn declare(&self, class: &str, tier: Tier, definition: &str) -> Table {
        declare(&self.lode, "lab", class, tier, None, definition)
    }

    /// Declares a part.
    pub fn part(&self, master: &Table, class: &str, definition: &str) -> Table {
        declare(
            &self.lode,
            "lab",
            class,
            Tier::Part,
            Some(master.name()),
            definition,
        )
    }

    /// Subject (manual), Session (child), Scan (grandchild with objects).
    pub fn pipeline(&self) -> (Table, Table, Table) {
        let subject = self.declare(
            "Subject",
            Tier::Manual,
            "subject_id : int32\n---\nname : varchar(16)\nweight = null : float64",
        );
        let session = self.declare(
            "Session",
            Tier::Manual,
            "-> Subject\nsession : int16\n---\nnote = '' : varchar(64)\nevents = null : <blob>",
        );
        let scan = self.declare(
            "Scan",
            Tier::Manual,
            "-> Session\nscan : int16\n---\ntrace = null : <blob@>\nframes = null : <npy@>",
        );
        (subject, session, scan)
    }
}

pub fn declare(
    lode: &Lode,
    schema: &str,
    class: &str,
    tier: Tier,
    master: Option<&TableName>,
    definition: &str,
) -> Table {
    let resolver = lode.clone();
    let own = schema.to_owned();
    let master_name = master.cloned();
    let declared = lode
        .declare(Declare {
            schema,
            class_name: class,
            tier,
            master,
            definition,
            hidden: HiddenColumns::default(),
            resolve: &mut |line| {
                let target = line.target.as_ref().expect("a simple target");
                let table = if target.name == "master" {
                    master_name.clone().expect("a master")
                } else if target.name.contains('.')
                    && resolver.schema_exists(target.name.split('.').next().unwrap())?
                {
                    resolver.table(&target.name)?.name().clone()
                } else {
                    resolver
                        .table(&format!("{own}.{}", target.name))?
                        .name()
                        .clone()
                };
                Ok(ForeignKeyTarget {
                    table,
                    renames: target.renames.clone(),
                })
            },
        })
        .unwrap();
    Table::new(lode, &declared.table)
}

pub fn walk(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(walk(&path))
        } else {
            out.push(path)
        }
    }
    out
}

/// A one-dimensional array of doubles.
pub fn array(values: &[f64]) -> Value {
    Value::from(Array::from_ndarray(ndarray::Array1::from(values.to_vec())))
}

/// Column `name` of all rows, in key order.
pub fn column(query: &Query, name: &str) -> Vec<Value> {
    let options = lodestore::table::FetchOptions {
        order_by: vec!["KEY".into()],
        ..lodestore::table::FetchOptions::columns([name])
    };
    query
        .batch(&options)
        .unwrap()
        .column(name)
        .unwrap()
        .values()
}

/// The integers of a column.
pub fn ints(query: &Query, name: &str) -> Vec<i64> {
    column(query, name)
        .into_iter()
        .map(|v| match v {
            Value::Int(v) => v,
            other => panic!("{other:?}"),
        })
        .collect()
}

pub fn rows(n: i64, make: impl Fn(i64) -> Row) -> Vec<Row> {
    (0..n).map(make).collect()
}
