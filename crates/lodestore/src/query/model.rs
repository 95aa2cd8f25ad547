//! The algebra against a model: every query is run on a real SQLite file and compared with what a few lines of Rust make
//! of the same rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::detached;
use super::*;
use crate::sql::Backend;
use crate::sql::sqlite::{Sqlite, SqliteOptions};
use crate::value::{Row, Value};

/// One row of the model: text, numbers and NULL as what they print.
type Cells = BTreeMap<String, Option<String>>;
type Rows = Vec<Cells>;

fn cell(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Int(v) => v.to_string(),
        Value::Text(v) => v.clone(),
        Value::Float(v) => format!("{v:?}"),
        Value::Bool(v) => v.to_string(),
        other => format!("{other:?}"),
    })
}

struct Lab {
    database: Sqlite,
    tables: BTreeMap<&'static str, Rows>,
    _folder: tempfile::TempDir,
}

impl Lab {
    /// Two dozen rows with every combination that matters: no match, several matches, NULL on either side.
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let database =
            Sqlite::open(folder.path().join("lab.db"), SqliteOptions::default()).unwrap();
        let tables: &[(&str, &str, &[&str], &[&str])] = &[
            (
                "subject",
                "subject_id INT, name TEXT, sex TEXT, weight REAL, PRIMARY KEY (subject_id)",
                &["subject_id", "name", "sex", "weight"],
                &[
                    "1,'a','M',20.5",
                    "2,'b','F',NULL",
                    "3,'O''B',NULL,30.25",
                    "4,'d','M',20.5",
                    "5,'e','F',NULL",
                ],
            ),
            (
                "#rig",
                "rig TEXT, room INT, PRIMARY KEY (rig)",
                &["rig", "room"],
                &["'r1',1", "'r2',2", "'r3',1"],
            ),
            (
                "session",
                "subject_id INT, session_no INT, session_date TEXT, rig TEXT, notes TEXT, PRIMARY KEY (subject_id, session_no)",
                &["subject_id", "session_no", "rig", "notes"],
                &[
                    "1,1,'r1','x'",
                    "1,2,NULL,'y'",
                    "1,3,'r2','x'",
                    "2,1,'r1','z'",
                    "2,2,NULL,''",
                    "3,1,'r2','x'",
                    "4,5,NULL,'y'",
                ],
            ),
            (
                "trial",
                "subject_id INT, session_no INT, trial_no INT, rt REAL, ok INT, meta TEXT, _hidden TEXT, PRIMARY KEY (subject_id, session_no, trial_no)",
                &["subject_id", "session_no", "trial_no", "rt"],
                &[
                    "1,1,1,0.5",
                    "1,1,2,NULL",
                    "1,3,1,1.5",
                    "2,2,1,0.5",
                    "4,5,9,NULL",
                ],
            ),
            (
                "mouse",
                "subject_id INT, coat TEXT, PRIMARY KEY (subject_id)",
                &["subject_id", "coat"],
                &["1,'w'", "2,'b'"],
            ),
            (
                "rat",
                "subject_id INT, tail INT, PRIMARY KEY (subject_id)",
                &["subject_id", "tail"],
                &["2,7", "3,8"],
            ),
        ];
        let mut model = BTreeMap::new();
        for (table, columns, names, rows) in tables {
            let name = database.dialect().full_name("lab", table);
            database
                .execute(&Statement::new(format!("CREATE TABLE {name} ({columns})")))
                .unwrap();
            for row in *rows {
                let text = format!("INSERT INTO {name} ({}) VALUES ({row})", names.join(","));
                database.execute(&Statement::new(text)).unwrap();
            }
            let all = database
                .query_any(&Statement::new(format!("SELECT * FROM {name}")))
                .unwrap();
            let rows = all
                .iter_rows()
                .map(|row| {
                    row.iter()
                        .filter(|(n, _)| !n.starts_with('_'))
                        .map(|(n, v)| (n.to_owned(), cell(v)))
                        .collect()
                })
                .collect();
            model.insert(*table, rows);
        }
        Lab {
            database,
            tables: model,
            _folder: folder,
        }
    }

    fn rows(&self, table: &str) -> Rows {
        self.tables[table].clone()
    }

    /// The rows of a query, in its own order; checks on the way that count and existence agree.
    fn ordered(&self, query: &Query) -> Rows {
        let plan = query
            .plan_for(self.database.dialect(), &PlanOptions::default())
            .unwrap();
        let batch = self
            .database
            .query(&plan.statement, &plan.columns)
            .unwrap_or_else(|e| panic!("{e}\n{}", plan.statement.text));
        let rows: Rows = batch
            .iter_rows()
            .map(|row| {
                row.iter()
                    .take(plan.attributes.len())
                    .map(|(n, v)| (n.to_owned(), cell(v)))
                    .collect()
            })
            .collect();
        let scalar = |plan: Plan| {
            let batch = self.database.query(&plan.statement, &plan.columns).unwrap();
            batch.value(0, 0)
        };
        let count = scalar(query.count_statement(self.database.dialect()).unwrap());
        assert_eq!(
            cell(&count),
            Some(rows.len().to_string()),
            "count of {}",
            plan.statement.text
        );
        let found = scalar(query.exists_statement(self.database.dialect()).unwrap());
        assert_eq!(
            cell(&found),
            Some(i64::from(!rows.is_empty()).to_string()),
            "existence of {}",
            plan.statement.text
        );
        rows
    }

    fn run(&self, query: &Query) -> Rows {
        sorted(self.ordered(query))
    }
}

fn sorted(mut rows: Rows) -> Rows {
    rows.sort();
    rows
}

fn names(query: &Query) -> Vec<String> {
    query
        .heading()
        .unwrap()
        .names()
        .map(|n| n.to_string())
        .collect()
}

/// The natural join of the model: equal in all common attributes, NULL equal to nothing.
fn matches(a: &Cells, b: &Cells) -> bool {
    a.iter().all(|(name, value)| {
        b.get(name)
            .is_none_or(|other| value.is_some() && value == other)
    })
}

fn joined(left: &Rows, right: &Rows, outer: bool, right_names: &[String]) -> Rows {
    let mut out = Rows::new();
    for a in left {
        let before = out.len();
        for b in right.iter().filter(|b| matches(a, b)) {
            out.push(
                a.iter()
                    .chain(b)
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect(),
            );
        }
        if outer && out.len() == before {
            let mut row = a.clone();
            for name in right_names {
                row.entry(name.clone()).or_insert(None);
            }
            out.push(row);
        }
    }
    out
}

/// A condition of the model. The tree is turned into a [`Cond`] and judged row by row in three-valued logic.
#[derive(Debug, Clone)]
enum Tree {
    Const(bool),
    /// `session_no > n`
    Above(i64),
    /// `rig = '…'` as text
    RigText(String),
    RigIsNull,
    Row(Vec<(&'static str, Option<String>)>),
    /// Rows of a list.
    Rows(Vec<(i64, i64)>),
    Rigs(Vec<Option<String>>),
    /// In the rigs of this room, by expression.
    InRoom(i64),
    /// In the trials above this number.
    InTrials(i64),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
}

fn leaf() -> impl Strategy<Value = Tree> {
    let rig = prop_oneof![
        Just("r1".to_owned()),
        Just("r2".to_owned()),
        Just("nope".to_owned())
    ];
    let pair = (0i64..6, 0i64..6);
    prop_oneof![
        any::<bool>().prop_map(Tree::Const),
        (0i64..4).prop_map(Tree::Above),
        rig.clone().prop_map(Tree::RigText),
        Just(Tree::RigIsNull),
        (
            proptest::option::of(rig.clone()),
            proptest::option::of(0i64..5)
        )
            .prop_map(|(rig, no)| {
                let mut row = vec![("rig", rig), ("unknown", None)];
                row.extend(no.map(|no| ("session_no", Some(no.to_string()))));
                Tree::Row(row)
            }),
        proptest::collection::vec(pair.clone(), 0..5).prop_map(Tree::Rows),
        // Beyond the number of parameters of one statement.
        proptest::collection::vec(pair, 130..200).prop_map(Tree::Rows),
        proptest::collection::vec(proptest::option::of(rig), 1..4).prop_map(Tree::Rigs),
        (1i64..4).prop_map(Tree::InRoom),
        (0i64..10).prop_map(Tree::InTrials),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::All),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::Any),
            inner.prop_map(|t| Tree::Not(Box::new(t))),
        ]
    })
}

impl Tree {
    fn cond(&self) -> Cond {
        match self {
            Tree::Const(value) => Cond::Const(*value),
            Tree::Above(n) => crate::sql!("session_no > {}", *n).into(),
            Tree::RigText(rig) => format!("rig = '{rig}'").into(),
            Tree::RigIsNull => "`rig` IS NULL".into(),
            Tree::Row(row) => Cond::Eq(
                row.iter()
                    .map(|(name, value)| {
                        let number = value.as_ref().and_then(|v| v.parse::<i64>().ok());
                        (
                            *name,
                            number.map_or_else(|| Value::from(value.clone()), Value::from),
                        )
                    })
                    .collect::<Row>(),
            ),
            Tree::Rows(rows) => Cond::Any(
                rows.iter()
                    .map(|(s, n)| crate::row! { session_no: *n, subject_id: *s }.into())
                    .collect(),
            ),
            Tree::Rigs(rigs) => Cond::Any(
                rigs.iter()
                    .map(|rig| crate::row! { rig: rig.clone() }.into())
                    .collect(),
            ),
            Tree::InRoom(room) => (&detached("#rig") & crate::row! { room: *room }).into(),
            Tree::InTrials(n) => (&detached("trial") & crate::sql!("trial_no > {}", *n)).into(),
            Tree::All(trees) => Cond::All(trees.iter().map(Tree::cond).collect()),
            Tree::Any(trees) => Cond::Any(trees.iter().map(Tree::cond).collect()),
            Tree::Not(tree) => !tree.cond(),
        }
    }

    fn judge(&self, row: &Cells, lab: &Lab) -> Option<bool> {
        let number = |name: &str| row[name].as_ref().map(|v| v.parse::<i64>().unwrap());
        let all = |results: Vec<Option<bool>>| {
            if results.contains(&Some(false)) {
                Some(false)
            } else if results.contains(&None) {
                None
            } else {
                Some(true)
            }
        };
        let not = |result: Option<bool>| result.map(|r| !r);
        let some = |results: Vec<Option<bool>>| not(all(results.into_iter().map(not).collect()));
        match self {
            Tree::Const(value) => Some(*value),
            Tree::Above(n) => number("session_no").map(|v| v > *n),
            Tree::RigText(rig) => row["rig"].as_ref().map(|v| v == rig),
            Tree::RigIsNull => Some(row["rig"].is_none()),
            Tree::Row(pairs) => all(pairs
                .iter()
                .filter(|(name, _)| row.contains_key(*name))
                .map(|(name, value)| match (&row[*name], value) {
                    (found, None) => Some(found.is_none()),
                    (None, Some(_)) => None,
                    (Some(found), Some(value)) => Some(found == value),
                })
                .collect()),
            Tree::Rows(rows) => Some(rows.iter().any(|(s, n)| {
                number("subject_id") == Some(*s) && number("session_no") == Some(*n)
            })),
            Tree::Rigs(rigs) => some(
                rigs.iter()
                    .map(|rig| match (&row["rig"], rig) {
                        (found, None) => Some(found.is_none()),
                        (None, Some(_)) => None,
                        (Some(found), Some(rig)) => Some(found == rig),
                    })
                    .collect(),
            ),
            Tree::InRoom(room) => Some(
                lab.tables["#rig"]
                    .iter()
                    .any(|r| r["room"] == Some(room.to_string()) && r["rig"] == row["rig"]),
            ),
            Tree::InTrials(n) => Some(lab.tables["trial"].iter().any(|t| {
                t["trial_no"].as_ref().unwrap().parse::<i64>().unwrap() > *n
                    && matches(&row.clone(), &key_of(t))
            })),
            Tree::All(trees) => all(trees.iter().map(|t| t.judge(row, lab)).collect()),
            Tree::Any(trees) => some(trees.iter().map(|t| t.judge(row, lab)).collect()),
            Tree::Not(tree) => not(tree.judge(row, lab)),
        }
    }

    fn keep(&self, rows: Rows, lab: &Lab) -> Rows {
        rows.into_iter()
            .filter(|row| self.judge(row, lab) == Some(true))
            .collect()
    }
}

fn key_of(trial: &Cells) -> Cells {
    trial
        .iter()
        .filter(|(n, _)| ["subject_id", "session_no"].contains(&n.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

fn by_key(mut rows: Rows) -> Rows {
    rows.sort_by_key(|r| {
        let n = |name: &str| {
            r.get(name)
                .and_then(|v| v.as_ref())
                .and_then(|v| v.parse::<i64>().ok())
        };
        (n("subject_id"), n("session_no"), n("trial_no"))
    });
    rows
}

fn window(rows: Rows, limit: Option<u64>, offset: u64) -> Rows {
    rows.into_iter()
        .skip(offset as usize)
        .take(limit.map_or(usize::MAX, |l| l as usize))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn restrictions_keep_the_rows_that_they_are_true_of(trees in proptest::collection::vec(tree(), 4)) {
        let lab = Lab::shared();
        for tree in &trees {
            let query = &detached("session") & tree.cond();
            prop_assert_eq!(lab.run(&query), sorted(tree.keep(lab.rows("session"), lab)), "{:?}", tree);
            let query = &detached("session") - tree.cond();
            let not = Tree::Not(Box::new(tree.clone()));
            prop_assert_eq!(lab.run(&query), sorted(not.keep(lab.rows("session"), lab)), "not {:?}", tree);
        }
    }

    #[test]
    fn restrictions_of_made_attributes_are_those_of_what_they_are_made_from(first in tree(), second in tree()) {
        let lab = Lab::shared();
        // Swapped names: whatever is written in terms of the old ones would now be wrong.
        let renamed = (&detached("session") & first.cond())
            .proj(Projection::from_args(["..."], [("notes", "rig"), ("rig", "notes"), ("n", "session_no + 1")]))
            .unwrap();
        let back = renamed
            .proj(Projection::from_args(["session_date"], [("notes", "rig"), ("rig", "notes")]))
            .unwrap();
        let kept = second.keep(first.keep(lab.rows("session"), lab), lab);
        prop_assert_eq!(lab.run(&(&back & second.cond())), sorted(kept));
    }

    #[test]
    fn joins_are_those_of_nested_loops(a in tree(), no in 0i64..10, room in 1i64..4, outer: bool) {
        let lab = Lab::shared();
        let session = &detached("session") & a.cond();
        let left = a.keep(lab.rows("session"), lab);

        let trial = &detached("trial") & crate::sql!("trial_no > {}", no);
        let trials: Rows =
            lab.rows("trial").into_iter().filter(|t| t["trial_no"].as_ref().unwrap().parse::<i64>().unwrap() > no).collect();
        prop_assert_eq!(lab.run(&(&session * &trial)), sorted(joined(&left, &trials, false, &[])));
        prop_assert_eq!(lab.run(&(&trial * &session)), sorted(joined(&trials, &left, false, &[])));

        let rig = &detached("#rig") & crate::row! { room: room };
        let rigs: Rows = lab.rows("#rig").into_iter().filter(|r| r["room"] == Some(room.to_string())).collect();
        let both = session.join(&rig, JoinOptions { left: outer, ..Default::default() }).unwrap();
        let expected = joined(&left, &rigs, outer, &names(&rig));
        prop_assert_eq!(lab.run(&both), sorted(expected.clone()));
        // A third operand: flattened into the same FROM.
        prop_assert_eq!(lab.run(&(&both * &trial)), sorted(joined(&expected, &trials, false, &[])));
        prop_assert_eq!(lab.run(&(&trial * &both)), sorted(joined(&trials, &expected, false, &[])));
    }

    #[test]
    fn aggregations_are_those_of_the_groups(a in tree(), heavy: bool, exclude: bool) {
        let lab = Lab::shared();
        let subject = if heavy { &detached("subject") & "weight > 25 or weight is null" } else { detached("subject") };
        let subjects: Rows = lab.rows("subject").into_iter()
            .filter(|s| !heavy || s["weight"].as_ref().is_none_or(|w| w.parse::<f64>().unwrap() > 25.0)).collect();
        let sessions = a.keep(lab.rows("session"), lab);
        let query = subject.aggr_with(
            &(&detached("session") & a.cond()),
            Projection::from_args(["name"], [("n", "count(session_no)"), ("last", "max(session_no)"), ("w", "weight")]),
            exclude,
        ).unwrap();
        let expected: Rows = subjects.iter().filter_map(|s| {
            let group: Vec<i64> = sessions.iter().filter(|x| x["subject_id"] == s["subject_id"])
                .map(|x| x["session_no"].as_ref().unwrap().parse().unwrap()).collect();
            if exclude && group.is_empty() {
                return None;
            }
            Some(Cells::from([
                ("subject_id".into(), s["subject_id"].clone()),
                ("name".into(), s["name"].clone()),
                ("w".into(), s["weight"].clone()),
                ("n".into(), Some(group.len().to_string())),
                ("last".into(), group.iter().max().map(i64::to_string)),
            ]))
        }).collect();
        prop_assert_eq!(lab.run(&query), sorted(expected.clone()));
        let many: Rows = expected.into_iter().filter(|r| r["n"].as_ref().unwrap().parse::<i64>().unwrap() > 1).collect();
        prop_assert_eq!(lab.run(&(&query & "n > 1")), sorted(many.clone()));
        // As an operand of everything else.
        let in_many: Rows = sessions.iter().filter(|x| many.iter().any(|m| m["subject_id"] == x["subject_id"])).cloned().collect();
        prop_assert_eq!(lab.run(&(&detached("session") & a.cond() & (&query & "n > 1"))), sorted(in_many));
        let total = U(()).aggr(&query, Projection::from_args([""; 0], [("t", "sum(n)"), ("k", "count(*)")])).unwrap();
        prop_assert_eq!(lab.run(&total).len(), 1);
    }

    #[test]
    fn tops_are_windows_of_the_ordered_rows(
        a in tree(), b in tree(), l1 in proptest::option::of(0u64..8), o1 in 0u64..5, l2 in proptest::option::of(0u64..8), o2 in 0u64..5,
    ) {
        let lab = Lab::shared();
        let top = |limit, offset| Top { limit, offset, order_by: None };
        let first = &detached("session") & a.cond() & top(l1, o1);
        let rows = window(by_key(a.keep(lab.rows("session"), lab)), l1, o1);
        prop_assert_eq!(lab.ordered(&first), rows.clone());
        prop_assert_eq!(lab.ordered(&(&first & top(l2, o2))), window(rows.clone(), l2, o2));
        // Another order wraps.
        let mut down = rows.clone();
        down.reverse();
        prop_assert_eq!(
            lab.ordered(&(&first & Top { limit: l2, offset: o2, order_by: Some(vec!["KEY DESC".into()]) })),
            window(down, l2, o2)
        );
        // Every other operator takes the window as it is.
        prop_assert_eq!(lab.run(&(&first & b.cond())), sorted(b.keep(rows.clone(), lab)));
        prop_assert_eq!(lab.run(&(&first * &detached("trial"))), sorted(joined(&rows, &lab.rows("trial"), false, &[])));
        prop_assert_eq!(lab.run(&(&detached("trial") * &first)), sorted(joined(&lab.rows("trial"), &rows, false, &[])));
        let subjects: Rows = lab.rows("subject").into_iter().filter(|s| rows.iter().any(|r| r["subject_id"] == s["subject_id"])).collect();
        prop_assert_eq!(lab.run(&(&detached("subject") & &first)), sorted(subjects.clone()));
        let others: Rows = lab.rows("subject").into_iter().filter(|s| !subjects.contains(s)).collect();
        prop_assert_eq!(lab.run(&(&detached("subject") - &first)), sorted(others));
    }

    #[test]
    fn universal_sets_are_the_distinct_values(a in tree(), b in tree()) {
        let lab = Lab::shared();
        let query = U(["rig"]) & (&detached("session") & a.cond());
        let kept = a.keep(lab.rows("session"), lab);
        let distinct = |rows: &Rows| {
            let mut rigs: Rows = rows.iter().map(|r| Cells::from([("rig".into(), r["rig"].clone())])).collect();
            rigs.sort();
            rigs.dedup();
            rigs
        };
        prop_assert_eq!(lab.run(&query), distinct(&kept));
        let groups = U(["rig"]).aggr(&(&detached("session") & a.cond()), Projection::from_args([""; 0], [("n", "count(*)")])).unwrap();
        let expected: Rows = distinct(&kept).into_iter().map(|mut r| {
            let n = kept.iter().filter(|k| k["rig"] == r["rig"]).count();
            r.insert("n".into(), Some(n.to_string()));
            r
        }).collect();
        prop_assert_eq!(lab.run(&groups), sorted(expected));
        // As a restriction, where NULL matches nothing, and negated.
        let rows = b.keep(lab.rows("session"), lab);
        let set = distinct(&kept);
        let (inside, outside): (Rows, Rows) = rows.into_iter().partition(|r| {
            r["rig"].is_some() && set.iter().any(|s| s["rig"] == r["rig"])
        });
        prop_assert_eq!(lab.run(&(&detached("session") & b.cond() & &query)), sorted(inside));
        prop_assert_eq!(lab.run(&((&detached("session") & b.cond()) - &query)), sorted(outside));
        // Without attributes: one row, if there is any.
        prop_assert_eq!(lab.run(&(U(()) & (&detached("session") & a.cond()))).len(), usize::from(!kept.is_empty()));
    }

    #[test]
    fn unions_have_one_row_per_key(some_mice: bool, some_rats: bool, tail in 6i64..9) {
        let lab = Lab::shared();
        let (mut mouse, mut rat) = (detached("mouse"), detached("rat"));
        let (mut mice, mut rats) = (lab.rows("mouse"), lab.rows("rat"));
        if some_mice {
            mouse = &mouse & "coat = 'b'";
            mice.retain(|m| m["coat"] == Some("b".into()));
        }
        if some_rats {
            rat = &rat & crate::sql!("tail > {}", tail);
            rats.retain(|r| r["tail"].as_ref().unwrap().parse::<i64>().unwrap() > tail);
        }
        let mut expected = joined(&mice, &rats, true, &names(&rat));
        for r in &rats {
            if !mice.iter().any(|m| m["subject_id"] == r["subject_id"]) {
                let mut row = r.clone();
                row.insert("coat".into(), None);
                expected.push(row);
            }
        }
        let union = &mouse + &rat;
        prop_assert_eq!(lab.run(&union), sorted(expected.clone()));
        let long: Rows = expected.iter().filter(|r| r["tail"].as_ref().is_some_and(|t| t.parse::<i64>().unwrap() > 7)).cloned().collect();
        prop_assert_eq!(lab.run(&(&union & "tail > 7")), sorted(long));
        let keys: Rows = expected.iter().map(|r| Cells::from([("subject_id".into(), r["subject_id"].clone())])).collect();
        let key = keep(());
        let pure = &mouse.proj(key.clone()).unwrap() + &rat.proj(key).unwrap();
        prop_assert_eq!(lab.run(&pure), sorted(keys));
        let subjects: Rows = lab.rows("subject").into_iter().filter(|s| expected.iter().any(|e| e["subject_id"] == s["subject_id"])).collect();
        prop_assert_eq!(lab.run(&(&detached("subject") & &union)), sorted(subjects.clone()));
        prop_assert_eq!(lab.run(&(&detached("subject") * &union)).len(), expected.len());
        prop_assert_eq!(
            lab.run(&U(()).aggr(&union, Projection::from_args([""; 0], [("n", "count(*)")])).unwrap()),
            vec![Cells::from([("n".into(), Some(expected.len().to_string()))])]
        );
    }
}

impl Lab {
    /// Nothing writes to it.
    fn shared() -> &'static Lab {
        static LAB: std::sync::OnceLock<Lab> = std::sync::OnceLock::new();
        LAB.get_or_init(Lab::new)
    }
}

#[test]
fn long_lists_of_every_kind_of_key_find_their_rows() {
    let lab = Lab::new();
    let name = lab.database.dialect().full_name("lab", "token");
    let create = format!(
        "CREATE TABLE {name} (token BLOB PRIMARY KEY, price TEXT COLLATE decimal, code REAL)"
    );
    lab.database.execute(&Statement::new(create)).unwrap();
    for n in 0..3u128 {
        let text = format!("INSERT INTO {name} VALUES (?1, ?2, ?3)");
        let params = vec![
            Value::Uuid(uuid::Uuid::from_u128(n)),
            Value::from(format!("{n}.50")),
            Value::Float(f64::from(0.1f32 * n as f32)),
        ];
        lab.database.execute(&Statement { text, params }).unwrap();
    }
    let token = detached("token");
    let rows = |n: u128| -> Vec<Row> {
        (1..n)
            .map(|n| {
                crate::row! {
                    token: uuid::Uuid::from_u128(n),
                    price: Value::Decimal(format!("{n}.5")),
                    code: f64::from(0.1f32 * n as f32),
                }
            })
            .collect()
    };
    for many in [10, 1000] {
        assert_eq!(lab.ordered(&(&token & rows(many))).len(), 2, "{many}");
        assert_eq!(lab.ordered(&(&token - rows(many))).len(), 1, "{many}");
    }
    let one: Vec<Row> = (1..40_000u128)
        .map(|n| crate::row! { token: uuid::Uuid::from_u128(n) })
        .collect();
    assert_eq!(lab.ordered(&(&token & one)).len(), 2);
}
