//! The engine against a model in memory: whatever the order of operations, every committed row has its object, a
//! collection removes nothing that is referred to, and after it nothing unreferenced stays.

use std::collections::BTreeMap;

use lodestore::definition::Tier;
use lodestore::gc::{GcOptions, collect};
use lodestore::row;
use lodestore::sql::BackendKind;
use lodestore::table::{DeleteOptions, InsertOptions, Table};
use lodestore::value::{Array, Value};
use lodestore::{Error, ErrorKind, Row};
use proptest::prelude::*;

use super::common::kind;
use super::support::{Lab, array};

#[derive(Debug, Clone)]
enum Step {
    Parent(u8),
    Insert { rows: Vec<(u8, u8, u8)>, mode: u8 },
    Update { parent: u8, id: u8, content: u8 },
    DeleteParent(u8),
    DeleteRow { parent: u8, id: u8 },
    Undone(Box<Step>),
    Collect,
}

fn simple() -> impl Strategy<Value = Step> {
    let id = 0..4u8;
    prop_oneof![
        3 => id.clone().prop_map(Step::Parent),
        6 => (prop::collection::vec((0..4u8, 0..4u8, 0..3u8), 1..4), 0..3u8).prop_map(|(rows, mode)| Step::Insert { rows, mode }),
        3 => (id.clone(), 0..4u8, 0..3u8).prop_map(|(parent, id, content)| Step::Update { parent, id, content }),
        2 => id.clone().prop_map(Step::DeleteParent),
        2 => (id, 0..4u8).prop_map(|(parent, id)| Step::DeleteRow { parent, id }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => simple(),
        2 => simple().prop_map(|s| Step::Undone(Box::new(s))),
        2 => Just(Step::Collect),
    ]
}

/// (parent, id) → content; and the parents.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    parents: Vec<u8>,
    rows: BTreeMap<(u8, u8), u8>,
}

struct World {
    lab: Lab,
    parent: Table,
    data: Table,
    model: Model,
}

fn value(content: u8) -> Value {
    array(&[f64::from(content); 16])
}

fn data_row((parent, id, content): (u8, u8, u8)) -> Row {
    row! { parent: parent, id: id, blob: value(content), npy: value(content) }
}

impl World {
    fn new() -> World {
        let lab = Lab::new();
        let parent = lab.declare("Parent", Tier::Manual, "parent : int16");
        let data = lab.declare(
            "Data",
            Tier::Manual,
            "-> Parent\nid : int16\n---\nblob : <blob@>\nnpy : <npy@>",
        );
        World {
            lab,
            parent,
            data,
            model: Model::default(),
        }
    }

    /// Applies a step to the engine and to the model; both must agree on whether it works.
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Undone(inner) => {
                let before = self.model.clone();
                let lode = self.lab.lode.clone();
                let undone: lodestore::Result<()> = lode.transaction(|| {
                    self.apply(inner);
                    Err(Error::invalid("undo"))
                });
                assert!(undone.is_err());
                self.model = before;
            }
            Step::Parent(p) => {
                let result = self.parent.insert1(row! { parent: *p });
                if self.model.parents.contains(p) {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::Duplicate);
                } else {
                    result.unwrap();
                    self.model.parents.push(*p);
                }
            }
            Step::Insert { rows, mode } => self.insert(rows, *mode),
            Step::Update {
                parent,
                id,
                content,
            } => {
                let row = row! { parent: *parent, id: *id, blob: value(*content) };
                let found = self.model.rows.contains_key(&(*parent, *id));
                let result = self.data.update1(row).and_then(|()| {
                    self.data
                        .update1(row! { parent: *parent, id: *id, npy: value(*content) })
                });
                assert_eq!(result.is_ok(), found, "{result:?}");
                if found {
                    self.model.rows.insert((*parent, *id), *content);
                }
            }
            Step::DeleteParent(p) => {
                (&self.parent & row! { parent: *p })
                    .delete(DeleteOptions::default())
                    .unwrap();
                self.model.parents.retain(|q| q != p);
                self.model.rows.retain(|(q, _), _| q != p);
            }
            Step::DeleteRow { parent, id } => {
                let n = (&self.data & row! { parent: *parent, id: *id })
                    .delete(DeleteOptions::default())
                    .unwrap()
                    .deleted;
                assert_eq!(n == 1, self.model.rows.remove(&(*parent, *id)).is_some());
            }
            Step::Collect => {
                collect(&self.lab.lode, &["lab"], false, &GcOptions::default()).unwrap();
                self.check_store();
            }
        }
    }

    fn insert(&mut self, rows: &[(u8, u8, u8)], mode: u8) {
        let options = InsertOptions {
            skip_duplicates: mode == 1,
            replace: mode == 2,
            ..InsertOptions::default()
        };
        let files = self.lab.files();
        let result = self
            .data
            .insert(rows.iter().copied().map(data_row), &options);
        let mut next = self.model.rows.clone();
        let mut duplicate = false;
        for (p, id, content) in rows {
            let present = next.contains_key(&(*p, *id));
            duplicate |= present && mode == 0;
            if !(present && mode == 1) {
                next.insert((*p, *id), *content);
            }
        }
        // Rows that are skipped need no parent: they have one.
        let orphan = rows.iter().any(|(p, _, _)| !self.model.parents.contains(p));
        if duplicate || orphan {
            let kind = result.unwrap_err().kind();
            assert!(
                matches!(kind, ErrorKind::Duplicate | ErrorKind::Integrity),
                "{kind:?}"
            );
            assert_eq!(self.lab.files(), files, "a failed insert left objects");
        } else {
            result.unwrap();
            self.model.rows = next;
        }
    }

    /// Every committed row is there with its content, and its objects can be read.
    fn check_rows(&self) {
        let batch = self.data.batch(&Default::default()).unwrap();
        let mut found = BTreeMap::new();
        for row in batch.iter_rows() {
            let (Some(Value::Int(p)), Some(Value::Int(id))) = (row.get("parent"), row.get("id"))
            else {
                panic!("{row:?}")
            };
            let Some(Value::Array(blob)) = row.get("blob") else {
                panic!("{row:?}")
            };
            let npy = row
                .get("npy")
                .unwrap()
                .foreign::<lodestore::codec::NpyRef>()
                .unwrap()
                .load()
                .unwrap();
            let number = |a: &Array| a.to_ndarray::<f64>().unwrap()[0] as u8;
            assert_eq!(number(blob), number(&npy));
            found.insert((*p as u8, *id as u8), number(blob));
        }
        assert_eq!(found, self.model.rows);
        assert_eq!(
            self.parent.count().unwrap(),
            self.model.parents.len() as u64
        );
    }

    /// After a collection: one hash object per distinct content, one npy per row, nothing else, and no record left.
    fn check_store(&self) {
        let contents: std::collections::BTreeSet<u8> = self.model.rows.values().copied().collect();
        let files = self.lab.files();
        let hashes = files.iter().filter(|f| f.starts_with("_hash/")).count();
        assert_eq!(
            (hashes, files.len() - hashes),
            (contents.len(), self.model.rows.len()),
            "{files:?}"
        );
        let left = self
            .lab
            .lode
            .backend()
            .query_any(&lodestore::sql::Statement::new(format!(
                "SELECT count(*) FROM {}",
                self.lab.full_name("~lode_dropped")
            )))
            .unwrap();
        assert!(matches!(left.value(0, 0), Value::Int(0)), "{left:?}");
    }
}

/// A server takes its time.
fn cases() -> u32 {
    if kind() == BackendKind::Sqlite { 24 } else { 8 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_agrees_with_the_model(steps in prop::collection::vec(step(), 1..24)) {
        let mut world = World::new();
        for step in &steps {
            world.apply(step);
        }
        world.check_rows();
        world.apply(&Step::Collect);
        world.check_rows();
    }
}
