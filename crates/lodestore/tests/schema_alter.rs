//! Changing declared tables: what changes, what stays, what is refused. On SQLite always; on the servers that
//! `LODE_TEST_POSTGRESQL` and `LODE_TEST_MYSQL` name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lodestore::config::Config;
use lodestore::definition::{ForeignKeyLine, TableName, Tier};
use lodestore::error::{ErrorKind, Result};
use lodestore::schema::{Alteration, Declare, ForeignKeyTarget, HiddenColumns, Lode};
use lodestore::sql::Statement;
use lodestore::table::{FetchOptions, Table};
use lodestore::value::{Row, Value};
use proptest::prelude::*;

/// A schema of its own, which goes when this does.
struct Lab {
    lode: Lode,
    schema: String,
    _dir: tempfile::TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.lode.drop_schema(&self.schema);
    }
}

impl Lab {
    fn open(url: Option<&str>) -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::defaults(dir.path());
        let file = format!("sqlite://{}", dir.path().join("lab.db").display());
        config.set_url(url.unwrap_or(&file)).unwrap();
        let lode = Lode::connect(config).unwrap();
        let schema = match url {
            None => "lab".to_owned(),
            Some(_) => format!("alter_{:08x}", rand::random::<u32>()),
        };
        lode.create_schema(&schema).unwrap();
        Lab {
            lode,
            schema,
            _dir: dir,
        }
    }

    fn sqlite() -> Lab {
        Lab::open(None)
    }

    /// One on each database that there is.
    fn all() -> Vec<Lab> {
        let mut labs = vec![Lab::sqlite()];
        for variable in ["LODE_TEST_POSTGRESQL", "LODE_TEST_MYSQL"] {
            match std::env::var(variable) {
                Ok(url) => labs.push(Lab::open(Some(&url))),
                Err(_) => eprintln!("SKIPPED: no {variable}"),
            }
        }
        labs
    }

    fn with<T>(
        &self,
        tier: Tier,
        class: &str,
        definition: &str,
        run: impl FnOnce(&Lode, Declare<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut resolve = |line: &ForeignKeyLine| {
            let target = line.target.as_ref().unwrap();
            let name = match target.name.contains('.') {
                true => target.name.clone(),
                false => format!("{}.{}", self.schema, target.name),
            };
            Ok(ForeignKeyTarget {
                table: self.lode.table(&name)?.name().clone(),
                renames: target.renames.clone(),
            })
        };
        let declare = Declare {
            schema: &self.schema,
            class_name: class,
            tier,
            master: None,
            definition,
            hidden: HiddenColumns::default(),
            resolve: &mut resolve,
        };
        run(&self.lode, declare)
    }

    fn declare(&self, class: &str, definition: &str) -> Table {
        let declared = self
            .with(Tier::Manual, class, definition, |lode, d| lode.declare(d))
            .unwrap();
        Table::new(&self.lode, &declared.table)
    }

    fn plan(&self, class: &str, definition: &str) -> Result<Alteration> {
        self.with(Tier::Manual, class, definition, |lode, d| lode.alter(d))
    }

    fn alter(&self, class: &str, definition: &str) -> Result<()> {
        self.plan(class, definition)?.execute(&self.lode)
    }

    fn drift(&self, class: &str, definition: &str) -> Vec<String> {
        self.with(Tier::Manual, class, definition, |lode, d| {
            lode.check_definition(d)
        })
        .unwrap()
    }

    fn describe(&self, table: &Table) -> String {
        self.lode
            .describe(table.name(), &|t| t.class_name())
            .unwrap()
    }

    /// After an alteration nothing is left to do, and the table is what a fresh one would be.
    fn settled(&self, class: &str, definition: &str) {
        let plan = self.plan(class, definition).unwrap();
        assert_eq!(plan.changes(), &[] as &[String], "{:?}", self.lode);
        assert!(plan.statements().is_empty());
        assert_eq!(self.drift(class, definition), [] as [String; 0]);
    }
}

fn row(values: &[(&str, Value)]) -> Row {
    values
        .iter()
        .map(|(n, v)| (std::sync::Arc::from(*n), v.clone()))
        .collect()
}

fn rows(table: &Table) -> Vec<Row> {
    let options = FetchOptions {
        order_by: vec!["KEY".into()],
        ..FetchOptions::default()
    };
    let batch = table.query().batch(&options).unwrap();
    (0..batch.rows)
        .map(|r| {
            batch
                .names
                .iter()
                .enumerate()
                .map(|(c, n)| (n.clone(), batch.value(r, c)))
                .collect()
        })
        .collect()
}

#[test]
fn attributes_are_added_dropped_renamed_and_changed() {
    for lab in Lab::all() {
        let table = lab.declare(
            "Subject",
            "# animals\nid : int32 # key\n---\nname : varchar(16)\nweight=0 : float32 # grams\nold : int16\nsex='U' : enum('M','F','U')\ncount : int16",
        );
        for (id, sex) in [(1, "F"), (2, "M")] {
            table
                .insert1(row(&[
                    ("id", id.into()),
                    ("name", "Ada".into()),
                    ("weight", 20.5.into()),
                    ("old", 7.into()),
                    ("sex", sex.into()),
                    ("count", 300.into()),
                ]))
                .unwrap();
        }
        let wanted = "# many animals\nid : int32 # key\n---\nmass=1.5 : float64 # {weight} in grams\nname=null : varchar(32) # called\n\
                      sex='F' : enum('F','M')\ncount : int64\nnote='none' : varchar(20)\ntag=null : uuid\nvalue=null : <blob>";
        lab.alter("Subject", wanted).unwrap();
        let after = rows(&table);
        assert_eq!(after.len(), 2);
        assert!(after[0].get("mass").unwrap().same(&20.5.into()));
        assert_eq!(after[0].get("name").unwrap().as_text(), Some("Ada"));
        assert_eq!(after[1].get("sex").unwrap().as_text(), Some("M"));
        assert_eq!(after[0].get("count").unwrap().as_int(), Some(300));
        assert_eq!(after[0].get("note").unwrap().as_text(), Some("none"));
        assert!(after[0].get("tag").unwrap().is_null() && after[0].get("old").is_none());
        lab.settled("Subject", wanted);
        let fresh = lab.declare("Other", wanted);
        let sorted = |t: &Table| {
            let mut lines: Vec<String> = lab.describe(t).lines().map(str::to_owned).collect();
            // Not every database can put an attribute between others.
            if !lab.lode.dialect().orders_columns() {
                lines.sort();
            }
            lines
        };
        assert_eq!(sorted(&table), sorted(&fresh));
        assert!(lab.describe(&table).contains("# in grams"));
    }
}

#[test]
fn what_a_key_or_an_index_is_cannot_be_altered() {
    for lab in Lab::all() {
        lab.declare("Parent", "p : int32");
        lab.declare(
            "Child",
            "id : int32\n---\n-> Parent\na : int32\nb : int32\nindex(a)",
        );
        for (wrong, word) in [
            (
                "id2 : int32\n---\n-> Parent\na : int32\nb : int32\nindex(a)",
                "primary key",
            ),
            (
                "id : int32\n---\na : int32\nb : int32\nindex(a)",
                "foreign key",
            ),
            (
                "id : int32\n---\n-> Parent\na : int32\nb : int32",
                "index (a)",
            ),
            (
                "id : int32\n---\n-> Parent\na : int32\nb : int32\nindex(a)\nunique index(b)",
                "unique index (b)",
            ),
        ] {
            let error = lab.plan("Child", wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains(word), "{error}");
        }
        // A changed key is told, and stays.
        let plan = lab
            .plan(
                "Child",
                "id : int64 # number\n---\n-> Parent\na : int32\nb : int32\nindex(a)",
            )
            .unwrap();
        assert!(plan.is_empty());
        assert_eq!(plan.ignored().len(), 2, "{:?}", plan.ignored());
        // A foreign key may become nullable.
        let nullable = "id : int32\n---\n-> [nullable] Parent\na : int32\nb : int32\nindex(a)";
        lab.alter("Child", nullable).unwrap();
        lab.settled("Child", nullable);
        let child = lab.lode.table(&format!("{}.Child", lab.schema)).unwrap();
        child
            .insert1(row(&[("id", 1.into()), ("a", 1.into()), ("b", 2.into())]))
            .unwrap();
        let error = lab
            .plan(
                "Child",
                "id : int32\n---\n-> Parent\na : int32\nb : int32\nindex(a)",
            )
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        let orphan = row(&[
            ("id", 2.into()),
            ("p", 9.into()),
            ("a", 1.into()),
            ("b", 2.into()),
        ]);
        assert_eq!(
            child.insert1(orphan).unwrap_err().kind(),
            ErrorKind::Integrity
        );
    }
}

#[test]
fn a_renamed_attribute_keeps_its_index_and_the_note_does_no_harm() {
    for lab in Lab::all() {
        let table = lab.declare(
            "T",
            "id : int32\n---\na : int32\nb : int32\nunique index(a)",
        );
        table
            .insert1(row(&[("id", 1.into()), ("a", 5.into()), ("b", 6.into())]))
            .unwrap();
        let wanted = "id : int32\n---\nalpha : int32 # {a} first\nb : int32\nunique index(alpha)";
        lab.alter("T", wanted).unwrap();
        assert_eq!(rows(&table)[0].get("alpha").unwrap().as_int(), Some(5));
        lab.settled("T", wanted);
        lab.settled("T", &wanted.replace("{a} ", ""));
        let again = row(&[("id", 2.into()), ("alpha", 5.into()), ("b", 6.into())]);
        assert_eq!(
            table.insert1(again).unwrap_err().kind(),
            ErrorKind::Duplicate
        );
        for (wrong, word) in [
            (
                "id : int32\n---\nx : int32 # {nothing}\nb : int32",
                "nothing",
            ),
            (
                "id : int32\n---\nx : int32 # {alpha}\ny : int32 # {alpha}\nb : int32\nunique index(x)",
                "both",
            ),
            (
                "id : int32\n---\nx : int32 # {alpha}\nalpha : int32\nb : int32\nunique index(alpha)",
                "stay",
            ),
            (
                "id : int32\n---\nb : int32 # {alpha}\nunique index(b)",
                "has both",
            ),
        ] {
            let error = lab.plan("T", wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Definition, "{error}");
            assert!(error.message().contains(word), "{error}");
        }
    }
}

#[test]
fn values_that_do_not_fit_are_an_error_and_nothing_has_happened() {
    for lab in Lab::all() {
        let table = lab.declare(
            "T",
            "id : int32\n---\na : int32\nt : varchar(20)\nf=null : float64\nv=null : <blob>",
        );
        let before = row(&[
            ("id", 1.into()),
            ("a", 1000.into()),
            ("t", "ten".into()),
            ("f", 1.5.into()),
            ("v", "x".into()),
        ]);
        table.insert1(before).unwrap();
        let described = lab.describe(&table);
        for wrong in [
            "id : int32\n---\na : int8\nt : varchar(20)\nf=null : float64\nv=null : <blob>",
            "id : int32\n---\na : int32\nt : int32\nf=null : float64\nv=null : <blob>",
            "id : int32\n---\na : int32\nt : varchar(2)\nf=null : float64\nv=null : <blob>",
            "id : int32\n---\na : int32\nt : enum('one','two')\nf=null : float64\nv=null : <blob>",
            "id : int32\n---\na : int32\nt : varchar(20)\nf=null : int32\nv=null : <blob>",
            "id : int32\n---\na : int32\nt : varchar(20)\nf=null : float64\nv=null : <npy@>",
            "id : int32\n---\na : int32\nt : varchar(20)\nf=null : float64\nv=null : <blob>\nx : int32",
        ] {
            let error = lab.alter("T", wrong).expect_err(wrong);
            assert!(!error.message().is_empty());
            assert_eq!(lab.describe(&table), described, "{wrong}");
            assert_eq!(rows(&table)[0].get("t").unwrap().as_text(), Some("ten"));
        }
        // Without rows everything goes.
        lab.lode
            .backend()
            .execute(&Statement::new(format!(
                "DELETE FROM {}",
                lab.lode.dialect().full_name(&lab.schema, "t")
            )))
            .unwrap();
        let wanted =
            "id : int32\n---\na : int8\nt : int32\nf=null : int32\nv=null : json\nx : int32";
        lab.alter("T", wanted).unwrap();
        lab.settled("T", wanted);
    }
}

#[test]
fn inside_a_transaction_it_is_an_error() {
    let lab = Lab::sqlite();
    lab.declare("T", "id : int32\n---\na : int32");
    let wanted = "id : int32\n---\na : int64";
    let plan = lab.plan("T", wanted).unwrap();
    lab.lode.begin().unwrap();
    assert!(
        lab.plan("T", wanted)
            .unwrap_err()
            .message()
            .contains("transaction")
    );
    assert!(
        plan.execute(&lab.lode)
            .unwrap_err()
            .message()
            .contains("transaction")
    );
    lab.lode.rollback().unwrap();
}

#[test]
fn a_plan_that_has_grown_old_does_nothing() {
    let lab = Lab::sqlite();
    lab.declare("T", "id : int32\n---\na : int32");
    let plan = lab.plan("T", "id : int32\n---\na : int64").unwrap();
    lab.alter("T", "id : int32\n---\na : int32\nb=0 : int32")
        .unwrap();
    assert!(
        plan.execute(&lab.lode)
            .unwrap_err()
            .message()
            .contains("changed since")
    );
    lab.settled("T", "id : int32\n---\na : int32\nb=0 : int32");
}

#[test]
fn a_rebuilt_table_keeps_children_numbers_and_lineage() {
    let lab = Lab::sqlite();
    let parent = lab.declare(
        "Parent",
        "id : int auto_increment\n---\na : int32\nindex(a)",
    );
    for a in [1, 2, 3] {
        parent.insert1(row(&[("a", a.into())])).unwrap();
    }
    let child = lab.declare("Child", "-> Parent");
    child.insert1(row(&[("id", 2.into())])).unwrap();
    let delete = "DELETE FROM \"lab.parent\" WHERE id = 3";
    lab.lode.backend().execute(&Statement::new(delete)).unwrap();
    let lineage = lab.lode.lineage("lab").unwrap();
    lab.alter(
        "Parent",
        "id : int auto_increment\n---\na : int64\nindex(a)",
    )
    .unwrap();
    assert_eq!(lab.lode.lineage("lab").unwrap(), lineage);
    parent.insert1(row(&[("a", 4.into())])).unwrap();
    assert_eq!(
        rows(&parent).last().unwrap().get("id").unwrap().as_int(),
        Some(4)
    );
    // The foreign key still holds, in both directions.
    let delete = "DELETE FROM \"lab.parent\" WHERE id = 2";
    let error = lab
        .lode
        .backend()
        .execute(&Statement::new(delete))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert_eq!(
        child.insert1(row(&[("id", 77.into())])).unwrap_err().kind(),
        ErrorKind::Integrity
    );
    assert_eq!(lab.lode.all_tables("lab").unwrap().len(), 4);
}

#[test]
fn hidden_columns_are_added_once_and_survive() {
    for lab in Lab::all() {
        let table = lab.declare("T", "id : int32\n---\na : int32");
        table
            .insert1(row(&[("id", 1.into()), ("a", 2.into())]))
            .unwrap();
        let hidden = HiddenColumns {
            provenance: true,
            job_metadata: true,
        };
        let plan = lab.lode.add_hidden_columns(table.name(), hidden).unwrap();
        assert_eq!(plan.changes().len(), 1);
        plan.execute(&lab.lode).unwrap();
        let again = lab.lode.add_hidden_columns(table.name(), hidden).unwrap();
        assert!(again.is_empty());
        let wanted = "id : int32\n---\nb='x' : varchar(3)\na : int64";
        lab.alter("T", wanted).unwrap();
        lab.settled("T", wanted);
        let heading = lab.lode.heading(table.name()).unwrap();
        assert_eq!(&*heading.hidden[0].name, "_prov");
    }
}

#[test]
fn a_comment_is_seen_by_other_connections() {
    let lab = Lab::sqlite();
    let table = lab.declare("T", "id : int32\n---\na : int32");
    let other = Lode::connect(lab.lode.config().clone()).unwrap();
    other.heading(table.name()).unwrap();
    lab.alter("T", "# new\nid : int32\n---\na : int32 # better")
        .unwrap();
    let heading = other.heading(table.name()).unwrap();
    assert_eq!(heading.comment, "new");
    assert_eq!(heading.get("a").unwrap().comment, "better");
}

#[test]
fn inherited_columns_without_markers_have_the_type_of_their_origin() {
    let lab = Lab::sqlite();
    lab.lode.create_schema("other").unwrap();
    let grand = lab.declare(
        "Grand",
        "flag : bool\nday : date\nprice : decimal(6,2)\ntag : uuid",
    );
    lab.with(
        Tier::Manual,
        "Middle",
        "-> Grand.proj(yes='flag')\nn : int8",
        |lode, d| {
            lode.declare(Declare {
                schema: "other",
                ..d
            })
        },
    )
    .unwrap();
    let child = lab.declare(
        "Leaf",
        "-> other.Middle\n---\nown : <blob>\nplain=1 : int32",
    );
    let forget = |condition: &str| {
        lab.lode
            .backend()
            .execute(&Statement::new(format!(
                "DELETE FROM \"~comment\" WHERE {condition}"
            )))
            .unwrap();
        for schema in ["lab", "other"] {
            lab.lode.refresh(schema);
        }
    };
    forget("\"column_name\" IN ('yes','day','price','tag') AND \"table_name\" <> 'grand'");
    let heading = lab.lode.heading(child.name()).unwrap();
    let kinds: Vec<String> = ["yes", "day", "price", "tag", "n"]
        .map(|n| heading.get(n).unwrap().type_.as_ref().unwrap().to_string())
        .to_vec();
    assert_eq!(kinds, ["bool", "date", "decimal(6,2)", "uuid", "int8"]);
    let leaf = "-> other.Middle\n---\nown : <blob>\nplain=1 : int32";
    lab.settled("Leaf", leaf);
    // A table declared on top of it gets full markers.
    let next = lab.declare("Next", "-> Leaf");
    let heading = lab.lode.heading(next.name()).unwrap();
    assert_eq!(
        heading
            .get("yes")
            .unwrap()
            .type_
            .as_ref()
            .unwrap()
            .to_string(),
        "bool"
    );

    // What was lost of the table's own is told and written again.
    forget("\"table_name\" = 'leaf'");
    let drift = lab.drift("Leaf", leaf);
    assert!(
        drift
            .iter()
            .any(|d| d.contains("`own`") && d.contains("restore_markers")),
        "{drift:?}"
    );
    let plan = lab
        .with(Tier::Manual, "Leaf", leaf, |lode, d| {
            lode.restore_markers(d)
        })
        .unwrap();
    assert_eq!(plan.changes().len(), 7, "{:?}", plan.changes());
    plan.execute(&lab.lode).unwrap();
    lab.settled("Leaf", leaf);
    let _ = (grand, TableName::new("lab", "leaf").unwrap());
}

#[test]
fn what_others_have_changed_is_seen_when_it_is_asked_for() {
    for lab in Lab::all() {
        let table = lab.declare("T", "id : int32\n---\na : int32");
        let other = Lode::connect(lab.lode.config().clone()).unwrap();
        let seen = Table::new(&other, table.name());
        assert!(seen.query().heading().unwrap().get("b").is_none());
        assert!(
            !other
                .is_declared(&TableName::new(&lab.schema, "later").unwrap())
                .unwrap()
        );
        lab.alter("T", "id : int32\n---\na : int32\nb=1 : int32")
            .unwrap();
        let later = lab.declare("Later", "id : int32");
        let all = row(&[("id", 1.into()), ("a", 2.into()), ("b", 3.into())]);
        seen.insert1(all).unwrap();
        assert_eq!(seen.restrict("b = 3").unwrap().count().unwrap(), 1);
        assert!(other.is_declared(later.name()).unwrap());
        assert_eq!(Table::new(&other, later.name()).query().count().unwrap(), 0);
        lab.alter("T", "id : int32\n---\na : int32\nc=1 : int32")
            .unwrap();
        assert_eq!(seen.restrict("c = 1").unwrap().count().unwrap(), 1);
        lab.declare("Last", "-> Later");
        let names: Vec<String> = other
            .tables(&lab.schema)
            .unwrap()
            .into_iter()
            .map(|t| t.name)
            .collect();
        assert_eq!(names, ["later", "last", "t"]);
        let error = seen.restrict("nothing = 1").unwrap_err();
        assert!(error.message().contains("nothing"));
    }
}

const TYPES: [(&str, &str); 9] = [
    ("int16", "7"),
    ("int64", "7"),
    ("float64", "1.5"),
    ("varchar(12)", "'abc'"),
    ("decimal(8,3)", "2.5"),
    ("datetime(3)", "'2024-01-02 03:04:05'"),
    ("enum('a','b')", "'a'"),
    ("<blob>", "null"),
    ("json", "null"),
];

/// Attributes: name, index of the type, default or null, comment.
fn attributes() -> impl Strategy<Value = Vec<(u8, usize, bool, u8)>> {
    prop::collection::vec((0..7u8, 0..TYPES.len(), any::<bool>(), 0..3u8), 0..6).prop_map(
        |mut v| {
            let mut seen = std::collections::HashSet::new();
            v.retain(|(name, ..)| seen.insert(*name));
            v
        },
    )
}

fn definition(comment: u8, attributes: &[(u8, usize, bool, u8)]) -> String {
    let mut text = format!("# table {comment}\nid : int32\n---\n");
    for (name, type_, null, comment) in attributes {
        let (type_, default) = TYPES[*type_];
        let default = if *null { "null" } else { default };
        let comment = ["", "# one", "# a 'quoted' \"one\": more"][usize::from(*comment)];
        text.push_str(&format!("a{name} = {default} : {type_} {comment}\n"));
    }
    text
}

fn there_and_back(lab: &Lab, first: &[(u8, usize, bool, u8)], second: &[(u8, usize, bool, u8)]) {
    let class = format!("T{:08x}", rand::random::<u32>());
    let class = class.replace(|c: char| c.is_ascii_lowercase(), "X");
    let table = lab.declare(&class, &definition(0, first));
    for id in 0..3 {
        table.insert1(row(&[("id", id.into())])).unwrap();
    }
    let before = rows(&table);
    let wanted = definition(1, second);
    // Attributes without a value change into anything; others may be refused, but then nothing happens.
    match lab.alter(&class, &wanted) {
        Err(error) => {
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Unsupported | ErrorKind::Data | ErrorKind::Integrity
                ) || first
                    .iter()
                    .any(|(n, t, ..)| second.iter().any(|(m, u, ..)| n == m && t != u)),
                "{error}\n{}\n{wanted}",
                definition(0, first)
            );
            assert_eq!(lab.drift(&class, &definition(0, first)), [] as [String; 0]);
        }
        Ok(()) => {
            lab.settled(&class, &wanted);
            let after = rows(&table);
            assert_eq!(after.len(), 3);
            for (name, type_, ..) in first {
                let name = format!("a{name}");
                if second
                    .iter()
                    .any(|(n, t, ..)| format!("a{n}") == name && t == type_)
                {
                    for (b, a) in before.iter().zip(&after) {
                        assert!(b.get(&name).unwrap().same(a.get(&name).unwrap()), "{name}");
                    }
                }
            }
            let fresh = lab.declare(&format!("{class}F"), &wanted);
            if lab.lode.dialect().orders_columns() {
                assert_eq!(lab.describe(&table), lab.describe(&fresh));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn rows_survive_any_change_of_secondary_attributes(first in attributes(), second in attributes()) {
        there_and_back(&Lab::sqlite(), &first, &second);
    }
}

#[test]
fn rows_survive_changes_on_servers() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    for lab in Lab::all().iter().skip(1) {
        for _ in 0..12 {
            let two = (attributes(), attributes()).new_tree(&mut runner).unwrap();
            let (first, second) = two.current();
            there_and_back(lab, &first, &second);
        }
    }
}
