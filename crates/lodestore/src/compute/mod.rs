//! Populate: which keys are missing, and one `make` at a time for each, in a transaction.
//!
//! Here: [`populate`], [`progress`], [`default_key_source`]. Not here: job queues and executors (a later issue; the
//! loop takes keys one by one so that a queue can hand them out). Called by the front doors. Spec: compute.md §1-§5.

mod make;
mod metadata;

pub use make::{Make, ThreePart};

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Progress, Silent};
use crate::query::{Cond, Query, keep};
use crate::schema::Lode;
use crate::table::{FetchOptions, InsertPermit, Table};
use crate::value::Row;

/// How to populate (spec: compute §4).
#[derive(Clone, Copy)]
pub struct PopulateOptions<'a> {
    /// Go on after a failed key and report it at the end. Interruptions ([`ErrorKind::Interrupted`]) always stop.
    pub suppress_errors: bool,
    /// At most so many keys.
    pub max_calls: Option<u64>,
    /// Listener; also asked whether to stop, between keys.
    pub progress: &'a dyn Progress,
}

impl Default for PopulateOptions<'_> {
    fn default() -> Self {
        PopulateOptions {
            suppress_errors: false,
            max_calls: None,
            progress: &Silent,
        }
    }
}

/// What a populate did.
#[derive(Debug, Clone, Default)]
pub struct PopulateReport {
    /// Keys made and committed.
    pub success_count: u64,
    /// Keys that someone else had finished meanwhile.
    pub skipped: u64,
    /// Failed keys with their errors, if they were to be suppressed.
    pub errors: Vec<(Row, Error)>,
}

/// Makes the keys of `key_source` that `target` does not have yet, one by one, each in a transaction of its own.
///
/// A key whose `make` fails leaves nothing behind. An error of kind [`ErrorKind::Interrupted`] always ends the loop;
/// front doors map their own interrupts (`KeyboardInterrupt`, `SystemExit`) to it, keeping the original as source.
///
/// Errors: the table is restricted, a transaction is open, a key attribute of the source is missing from the target,
/// and, unless suppressed, the first error of a `make`, with the key.
pub fn populate(
    key_source: &Query,
    target: &Table,
    make: &mut dyn Make,
    options: &PopulateOptions<'_>,
) -> Result<PopulateReport> {
    let lode = target.lode();
    let place = |e: Error| e.table(&target.name().schema, &target.name().name);
    if target.is_restricted() {
        return Err(
            place(Error::invalid("a restricted table cannot be populated"))
                .hint("Give the restriction to populate instead."),
        );
    }
    if lode.in_transaction() {
        return Err(place(Error::invalid(
            "populate cannot run inside a transaction: every key has its own",
        )));
    }
    // In key order, so that the same happens on every database.
    let keys = missing(key_source, target)?.batch(&FetchOptions {
        order_by: vec!["KEY".into()],
        limit: options.max_calls,
        ..FetchOptions::default()
    })?;
    let keys: Vec<Row> = keys.iter_rows().collect();
    let mut report = PopulateReport::default();
    options.progress.begin("making", Some(keys.len() as u64));
    for key in keys {
        if options.progress.interrupted() {
            return Err(place(Error::new(ErrorKind::Interrupted, "interrupted")));
        }
        let outcome = make_one(lode, target, &key, make);
        make.finished(&key);
        match outcome {
            Ok(true) => report.success_count += 1,
            Ok(false) => report.skipped += 1,
            Err(e) => {
                let e = place(e.key(key_text(&key)));
                if !options.suppress_errors || e.kind() == ErrorKind::Interrupted {
                    options.progress.end();
                    return Err(e);
                }
                options.progress.note(&format!("{e}"));
                report.errors.push((key, e));
            }
        }
        options.progress.advance(1);
    }
    options.progress.end();
    Ok(report)
}

/// Makes one key; false if it is there already.
fn make_one(lode: &Lode, target: &Table, key: &Row, make: &mut dyn Make) -> Result<bool> {
    let here = target.restrict(key)?;
    let started = Instant::now();
    let clock = jiff::Zoned::now().datetime();
    if make.is_prepared() {
        if here.exists()? {
            return Ok(false);
        }
        make.prepare(key)?;
    }
    lode.transaction(|| {
        // Again, or for the first time, and now under the transaction: nobody can come in between.
        if here.exists()? {
            return Ok(false);
        }
        {
            let _permit = InsertPermit::of_key(target.name(), key);
            make.make(key)?;
        }
        metadata::record(lode, target, key, clock, started.elapsed())?;
        Ok(true)
    })
}

/// Remaining and total number of keys (spec: compute §5).
pub fn progress(key_source: &Query, target: &Table) -> Result<(u64, u64)> {
    let total = key_source.proj(only_key())?.count()?;
    Ok((missing(key_source, target)?.count()?, total))
}

/// The keys of the source that the target does not have.
pub fn missing(key_source: &Query, target: &Table) -> Result<Query> {
    let (source, heading) = (key_source.proj(only_key())?, target.heading()?);
    if let Some(name) = source
        .primary_key()?
        .iter()
        .find(|n| heading.get(n).is_none())
    {
        return Err(Error::invalid(format!(
            "the key source has an attribute `{name}` that the table lacks"
        ))
        .table(&target.name().schema, &target.name().name)
        .attribute(&**name));
    }
    source.restrict(!Cond::In(target.proj(only_key())?))
}

/// The default key source: the join of the parents that the primary key references, projected to the key with its
/// names (spec: compute §3). An error if no foreign key lies within the primary key.
pub fn default_key_source(target: &Table) -> Result<Query> {
    let lode = target.lode();
    let graph = lode.dependencies(&[&target.name().schema])?;
    let mut source: Option<Query> = None;
    for edge in graph
        .parents(target.name())
        .into_iter()
        .filter(|e| e.primary)
    {
        let mut projection = only_key();
        for (child, parent) in edge
            .attr_map
            .iter()
            .filter(|(child, parent)| child != parent)
        {
            projection = projection.rename(child.as_str(), parent.as_str());
        }
        let parent = Query::table(lode, &edge.parent).proj(projection)?;
        source = Some(match source {
            None => parent,
            Some(source) => source.join(&parent, Default::default())?,
        });
    }
    source.ok_or_else(|| {
        Error::invalid(
            "no foreign key lies within the primary key, so there is no default key source",
        )
        .table(&target.name().schema, &target.name().name)
        .hint("Give a key source.")
    })
}

impl Table {
    /// Populates the table from its default key source; see [`populate`].
    pub fn populate(&self, mut make: impl FnMut(&Row) -> Result<()>) -> Result<PopulateReport> {
        populate(
            &default_key_source(self)?,
            self,
            &mut make,
            &PopulateOptions::default(),
        )
    }
}

fn only_key() -> crate::query::Projection {
    keep(Vec::<String>::new())
}

fn key_text(key: &Row) -> String {
    crate::table::row_text(key)
}
