//! A trial of a store: everything that Lodestore will ask of it, once, with small objects of its own.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::spec::OWN_SECTION;
use super::{Store, StoreSet};
use crate::codec::{Put, PutPath};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Silent;

/// How far a store's clock may be from this computer's, in seconds.
const SKEW: f64 = 60.0;

/// What a store did when it was tried.
#[derive(Debug)]
pub struct Trial {
    /// Store name.
    pub store: String,
    /// Protocol; empty if the specification could not be read.
    pub protocol: String,
    /// Where it is, without secrets.
    pub location: String,
    /// What was tried, in order.
    pub steps: Vec<Step>,
}

impl Trial {
    /// True if nothing failed.
    pub fn passed(&self) -> bool {
        !self
            .steps
            .iter()
            .any(|s| matches!(s.outcome, Outcome::Failed(_)))
    }
}

/// One thing that was tried.
#[derive(Debug)]
pub struct Step {
    /// What (`put`, `list`).
    pub name: &'static str,
    /// How long it took.
    pub time: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a step.
#[derive(Debug)]
pub enum Outcome {
    /// It worked; with a remark if there is something to know.
    Passed(Option<String>),
    /// It did not. The error says why, its hint what to do.
    Failed(Error),
    /// It was not tried, because of an earlier step.
    Skipped,
}

/// Tries a store; none means the default. Nothing is left behind, unless the store refuses to delete: then that step's
/// error names what is left.
pub fn try_out(stores: &StoreSet, name: Option<&str>) -> Trial {
    let resolved = stores.resolve_name(name);
    let mut trial = Trial {
        store: match (&resolved, name) {
            (Ok(resolved), _) => resolved.clone(),
            (Err(_), Some(name)) => name.to_owned(),
            (Err(_), None) => "(default)".to_owned(),
        },
        protocol: String::new(),
        location: String::new(),
        steps: Vec::new(),
    };
    let begun = Instant::now();
    match resolved.and_then(|name| stores.get_store(Some(&name))) {
        Ok(store) => {
            trial.protocol = store.spec().protocol.as_str().to_owned();
            trial.location = store.spec().place();
            trial.steps = Run::new(&*store).all();
        }
        Err(error) => trial.steps.push(Step {
            name: "open",
            time: begun.elapsed(),
            outcome: Outcome::Failed(error),
        }),
    }
    trial
}

/// A trial under way.
struct Run<'a> {
    store: &'a dyn Store,
    /// Where its objects are: a folder that nobody else uses.
    folder: String,
    content: Bytes,
    steps: Vec<Step>,
}

impl<'a> Run<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Run {
            store,
            folder: format!("{OWN_SECTION}/test-{}", uuid::Uuid::new_v4()),
            content: (0..=255u8).cycle().take(4096).collect(),
            steps: Vec::new(),
        }
    }

    fn all(mut self) -> Vec<Step> {
        let began = seconds(SystemTime::now());
        let put = self.step("put", Self::put);
        let ended = seconds(SystemTime::now());
        if put {
            self.step("conditional put", Self::conditional_put);
            self.step("ranged get", Self::ranged_get);
        } else {
            self.skip(&["conditional put", "ranged get"]);
        }
        // What may be listed is worth knowing of a store that may only be read.
        self.step("list", |run| run.list(put));
        if put {
            self.step("copy", Self::copy);
            self.step("clock", |run| run.clock(began, ended));
            self.step("delete", Self::delete);
        } else {
            self.skip(&["copy", "clock", "delete"]);
            // A put that failed may have arrived all the same.
            let _ = self.store.delete(&self.path("put"));
        }
        self.steps
    }

    fn step(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&Self) -> Result<Option<String>>,
    ) -> bool {
        let begun = Instant::now();
        let done = work(self);
        let time = begun.elapsed();
        let passed = done.is_ok();
        let outcome = done.map_or_else(Outcome::Failed, Outcome::Passed);
        self.steps.push(Step {
            name,
            time,
            outcome,
        });
        passed
    }

    fn skip(&mut self, names: &[&'static str]) {
        self.steps.extend(names.iter().map(|name| Step {
            name,
            time: Duration::ZERO,
            outcome: Outcome::Skipped,
        }));
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn put(&self) -> Result<Option<String>> {
        let path = self.path("put");
        self.store.put_bytes(&path, &self.content)?;
        self.store.sync(&path)?;
        Ok(None)
    }

    fn conditional_put(&self) -> Result<Option<String>> {
        let put = Put::segments(
            self.store.name(),
            PutPath::Hash(self.path("conditional")),
            vec![self.content.clone()],
        );
        let first = self.store.put(&put, &Silent)?;
        let second = self.store.put(&put, &Silent)?;
        if !first.created || second.created {
            return Err(self
                .wrong("the store does not heed the condition that nothing be there")
                .hint("Two writers of one content would both write it. Ask the store's maker for conditional puts (If-None-Match)."));
        }
        Ok((!self.store.is_conditional()).then(|| {
            "the store knows no conditional puts: Lodestore looks first, and writes then".to_owned()
        }))
    }

    fn ranged_get(&self) -> Result<Option<String>> {
        let path = self.path("put");
        let end = self.content.len() as u64;
        for range in [1000..1100, end - 10..end + 10] {
            let wanted = range.start as usize..range.end.min(end) as usize;
            if self.store.read_range(&path, range.clone())? != self.content[wanted] {
                return Err(self.wrong(&format!(
                    "bytes {} to {} came back different from what was put",
                    range.start, range.end
                )));
            }
        }
        Ok(None)
    }

    fn list(&self, put: bool) -> Result<Option<String>> {
        let found = self.store.list(&self.folder)?;
        let path = self.path("put");
        if put && !found.iter().any(|f| f.path == path) {
            return Err(self
                .wrong("the listing does not show what was put just before")
                .hint("The collector relies on complete listings; do not collect in this store."));
        }
        Ok(None)
    }

    fn copy(&self) -> Result<Option<String>> {
        let copied = self.path("copy");
        let by_itself = self.store.copy(&self.path("put"), &copied)?;
        if self.store.read(&copied)? != self.content {
            return Err(self.wrong("the copy differs from what was put"));
        }
        Ok((!by_itself).then(|| "by reading and writing: the store copies nothing itself".into()))
    }

    /// The time of the object that was put must be the time at which it was put.
    fn clock(&self, began: f64, ended: f64) -> Result<Option<String>> {
        let path = self.path("put");
        let found = self.store.head(&path)?;
        let Some(time) = found.and_then(|f| f.modified) else {
            return Ok(Some("the store does not say when an object was put".into()));
        };
        let skew = if time < began {
            // Times of many stores are whole seconds.
            (time + 1.0 - began).min(0.0)
        } else {
            (time - ended).max(0.0)
        };
        if skew.abs() > SKEW {
            let way = if skew > 0.0 { "ahead of" } else { "behind" };
            return Err(self
                .wrong(&format!(
                    "its clock is {:.0} seconds {way} this computer's",
                    skew.abs()
                ))
                .hint(
                    "Set the clock that is wrong: the collector judges by it how old an object is.",
                ));
        }
        Ok((skew.abs() >= 1.0).then(|| format!("{skew:+.0} s from this computer's")))
    }

    fn delete(&self) -> Result<Option<String>> {
        let paths = ["put", "conditional", "copy"].map(|name| self.path(name));
        let named: Vec<&str> = paths.iter().map(String::as_str).collect();
        let deleted = self.store.delete_many(&named);
        let left = || {
            format!(
                "Objects of this test are left at {}.",
                self.store.full_path(&self.folder)
            )
        };
        for done in deleted {
            done.map_err(|e| e.hint(left()))?;
        }
        if self.store.exist_many(&named)?.contains(&true) {
            return Err(self.wrong("what was deleted is still there").hint(left()));
        }
        Ok(None)
    }

    fn wrong(&self, what: &str) -> Error {
        let name = self.store.name();
        Error::new(ErrorKind::Store, format!("store `{name}`: {what}")).store(name)
    }
}

/// Seconds since the epoch.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |t| t.as_secs_f64())
}
