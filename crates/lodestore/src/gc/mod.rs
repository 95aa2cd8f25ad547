//! Garbage collection: what is stored, what rows refer to, what may go. Plan first, then execute.
//!
//! Here: the scan that makes a [`Plan`], its execution, and the statistics. Not here: how references are read from
//! rows (`table/`, which also needs them) and how a store lists and deletes (`store/`). Called by the front doors.
//!
//! Any doubt refuses: a table that cannot be read, a value that cannot be understood, a listing that fails, a plan that
//! would remove most of a store. Deletion excludes every writer ([`Lode::exclusively`]), after references are read
//! again; every writer looks at its objects once more under its own lock before it commits. So a committed
//! row keeps its object, whatever the order of events. (Leases and the trash of stores.md §9.3 are a later issue.)
//! Spec: stores.md §7-§9.

mod listing;
mod stats;

pub use stats::{Section, Stats, format_bytes, format_stats};

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::codec::manifest_path;
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::progress::{Progress, Silent};
use crate::schema::Lode;
use crate::store::Store;
use crate::table::{References, Section as Place, dropped, references};

/// Files removed per transaction: bounds how long the write lock is held.
const FILES_PER_TRANSACTION: usize = 2000;

/// Above so many candidates the mass guard looks at the share.
const MASS: usize = 1000;

/// What to scan and how.
#[derive(Clone)]
pub struct GcOptions<'a> {
    /// The store; none means the default one.
    pub store: Option<String>,
    /// Remove even if that is more than 1000 files and more than half of what is stored.
    pub force: bool,
    /// Keep unreferenced files younger than so many seconds, unless a row is known to have dropped them. None: the
    /// setting `lode.gc.grace`, else 0.
    pub grace: Option<f64>,
    /// Listener.
    pub progress: &'a dyn Progress,
}

impl Default for GcOptions<'_> {
    fn default() -> Self {
        GcOptions {
            store: None,
            force: false,
            grace: None,
            progress: &Silent,
        }
    }
}

impl GcOptions<'_> {
    /// Scans one store.
    pub fn store(name: impl Into<String>) -> Self {
        GcOptions {
            store: Some(name.into()),
            ..Self::default()
        }
    }
}

/// A file that nothing refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Path in the store.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// At a content-addressed path.
    pub is_hash: bool,
}

/// What a collection would remove: a value to look at, and to execute once.
#[must_use = "a plan removes nothing until it is executed"]
pub struct Plan {
    lode: Lode,
    store: Arc<dyn Store>,
    schemas: Vec<String>,
    orphans: Vec<Orphan>,
    stats: Stats,
    force: bool,
}

/// Finds what may go: lists the schemas' sections of a store first, then reads the references of every schema of the
/// database. Removes nothing.
///
/// Errors: no schema given, a schema or store that is not there, a listing or a table that cannot be read.
pub fn scan(lode: &Lode, schemas: &[&str], options: &GcOptions<'_>) -> Result<Plan> {
    let (store, schemas) = subject(lode, schemas, options)?;
    let mut stats = Stats {
        dry_run: true,
        ..Stats::default()
    };

    // List first: a row committed after the listing names an object that is then not a candidate, or that its writer
    // has yet to look at again.
    options.progress.begin("listing stored objects", None);
    let mut hash_files = Vec::new();
    let mut schema_files = Vec::new();
    for schema in &schemas {
        let place = |e: Error| e.store(store.name()).table(schema, "");
        hash_files.extend(listing::hash_files(&*store, schema).map_err(place)?);
        schema_files.extend(listing::schema_files(lode, &*store, schema).map_err(place)?);
        interruption(options.progress)?;
    }
    options.progress.end();

    options.progress.begin("reading references", None);
    let live = Live::read(lode, &store)?;
    options.progress.end();
    interruption(options.progress)?;

    let recorded = recorded_paths(lode, &*store, &schemas)?;
    let grace = options
        .grace
        .or_else(|| lode.config().get_f64("lode.gc.grace"))
        .unwrap_or(0.0);
    let youngest = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(f64::INFINITY, |now| now.as_secs_f64() - grace);

    let mut orphans = Vec::new();
    for (files, is_hash) in [(hash_files, true), (schema_files, false)] {
        let section = if is_hash {
            &mut stats.hash
        } else {
            &mut stats.schema
        };
        let mut seen = HashSet::new();
        for file in files.into_iter().filter(|f| !f.is_dir) {
            if !seen.insert(file.path.clone()) {
                continue;
            }
            section.stored += 1;
            if live.holds(&file.path) {
                continue;
            }
            // A store without times gives no proof of age.
            let young = grace > 0.0 && file.modified.is_none_or(|m| m > youngest);
            if young && !recorded.contains(&file.path) {
                continue;
            }
            section.orphaned += 1;
            section.orphaned_bytes += file.size;
            section.orphans.push(file.path.clone());
            orphans.push(Orphan {
                path: file.path,
                size: file.size,
                is_hash,
            });
        }
        section.orphans.sort_unstable();
    }
    let (hash, schema) = live.counts(&schemas, &*store);
    (stats.hash.referenced, stats.schema.referenced) = (hash, schema);
    orphans.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Plan {
        lode: lode.clone(),
        store,
        schemas,
        orphans,
        stats,
        force: options.force,
    })
}

/// Scans and, unless `dry_run`, removes.
pub fn collect(
    lode: &Lode,
    schemas: &[&str],
    dry_run: bool,
    options: &GcOptions<'_>,
) -> Result<Stats> {
    let plan = scan(lode, schemas, options)?;
    if dry_run {
        Ok(plan.stats)
    } else {
        plan.execute(options.progress)
    }
}

impl Plan {
    /// The numbers so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What would be removed, by path.
    pub fn orphans(&self) -> &[Orphan] {
        &self.orphans
    }

    /// Refuses a plan that would remove most of a large store, unless forced.
    pub fn check(&self) -> Result<()> {
        let stored = self.stats.hash.stored + self.stats.schema.stored;
        if self.force || self.orphans.len() <= MASS || 2 * self.orphans.len() as u64 <= stored {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{} of {stored} stored files would be removed, more than half of the store",
            self.orphans.len()
        ))
        .store(self.store.name())
        .hint("If that is what you want, collect with `force`."))
    }

    /// Removes the orphans that are still orphans, and clears the record of dropped objects.
    ///
    /// Errors: a transaction is open, the mass guard, references that can no longer be read. Files that could not be
    /// removed are counted and named in the statistics.
    pub fn execute(mut self, progress: &dyn Progress) -> Result<Stats> {
        self.check()?;
        if self.lode.in_transaction() {
            return Err(
                Error::invalid("garbage cannot be collected inside a transaction")
                    .hint("A rollback would bring back rows whose objects are gone."),
            );
        }
        self.stats.dry_run = false;
        progress.begin("removing objects", Some(self.orphans.len() as u64));
        let orphans = std::mem::take(&mut self.orphans);
        for files in orphans.chunks(FILES_PER_TRANSACTION) {
            interruption(progress)?;
            self.remove(files)?;
            progress.advance(files.len() as u64);
        }
        progress.end();
        self.clear_record()?;
        Ok(self.stats)
    }

    fn remove(&mut self, files: &[Orphan]) -> Result<()> {
        let lode = self.lode.clone();
        lode.exclusively(|| {
            // Again, now that nobody else can commit.
            let live = Live::read(&lode, &self.store)?;
            let dead = files.iter().filter(|f| !live.holds(&f.path));
            // The marks of staged objects first: their writers go by them.
            let (marks, others): (Vec<&Orphan>, Vec<&Orphan>) =
                dead.partition(|f| f.path.ends_with(".staged"));
            for files in [marks, others] {
                let paths: Vec<&str> = files.iter().map(|f| f.path.as_str()).collect();
                for (file, deleted) in files.iter().zip(self.store.delete_many(&paths)) {
                    self.count(file, deleted);
                }
            }
            Ok(())
        })
    }

    fn count(&mut self, file: &Orphan, deleted: Result<bool>) {
        match deleted {
            Ok(true) => {
                self.stats.bytes_freed += file.size;
                let section = if file.is_hash {
                    &mut self.stats.hash
                } else {
                    &mut self.stats.schema
                };
                section.deleted += 1;
            }
            // Someone else was faster.
            Ok(false) => {}
            Err(e) => {
                self.stats.errors += 1;
                self.stats.scan_errors.push(e.to_string());
            }
        }
    }

    /// Forgets the recorded objects of this store that are gone or referred to again.
    fn clear_record(&self) -> Result<()> {
        self.lode.exclusively(|| {
            let mut live = None;
            for schema in &self.schemas {
                let (mut done, mut unheld) = (Vec::new(), Vec::new());
                for (name, path) in dropped::recorded(&self.lode, schema)? {
                    if !is_same(&self.lode, name.as_deref(), &*self.store) {
                        continue;
                    }
                    let live = match &live {
                        Some(live) => live,
                        None => live.insert(Live::read(&self.lode, &self.store)?),
                    };
                    match live.holds(&references::clean(&path)) {
                        true => done.push((name, path)),
                        false => unheld.push((name, path)),
                    }
                }
                let paths: Vec<&str> = unheld.iter().map(|(_, path)| path.as_str()).collect();
                let found = self.store.exist_many(&paths)?;
                let gone = unheld.into_iter().zip(found).filter(|(_, found)| !found);
                done.extend(gone.map(|(record, _)| record));
                dropped::forget(&self.lode, schema, &done)?;
            }
            Ok(())
        })
    }
}

/// The paths of one store that some row refers to.
struct Live {
    by_section: BTreeMap<Place, HashSet<String>>,
}

impl Live {
    fn read(lode: &Lode, store: &Arc<dyn Store>) -> Result<Live> {
        let schemas = lode.schemas()?;
        let references: References = references::references(lode, &schemas)?;
        Ok(Live {
            by_section: references.in_store(&**store, lode.stores()),
        })
    }

    /// True if the file is an object that a row refers to, lies in one, or is the manifest of one.
    fn holds(&self, path: &str) -> bool {
        let named = |p: &str| self.by_section.values().any(|paths| paths.contains(p));
        let mut at = path;
        loop {
            if named(at) {
                return true;
            }
            match at.rsplit_once('/') {
                Some((parent, _)) => at = parent,
                None => break,
            }
        }
        let suffix = manifest_path("");
        path.strip_suffix(suffix.as_str()).is_some_and(named)
    }

    /// Distinct objects of the schemas: hash-addressed, schema-addressed.
    fn counts(&self, schemas: &[String], store: &dyn Store) -> (u64, u64) {
        let of = |place: Place| self.by_section.get(&place).into_iter().flatten();
        let spec = store.spec();
        let within = |path: &str, prefix: &str| {
            let relative = path
                .strip_prefix(prefix)
                .unwrap_or(path)
                .trim_start_matches('/');
            let mut parts = relative.split('/').skip_while(|p| p.contains('='));
            // Objects at the root, as older versions wrote them, count by their schema too.
            parts.next().is_some_and(|p| schemas.iter().any(|s| s == p))
        };
        let hash = of(Place::Hash)
            .filter(|p| within(p, &spec.hash_prefix))
            .count();
        let schema = of(Place::Schema)
            .filter(|p| within(p, &spec.schema_prefix))
            .count();
        (hash as u64, schema as u64)
    }
}

/// Paths that rows refer to in the schemas' sections of a store: (hash-addressed, schema-addressed).
pub fn referenced_paths(
    lode: &Lode,
    schemas: &[&str],
    options: &GcOptions<'_>,
) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (store, schemas) = subject(lode, schemas, options)?;
    let sections = references::references(lode, &schemas)?.in_store(&*store, lode.stores());
    let of = |place| {
        sections
            .get(&place)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    };
    Ok((of(Place::Hash), of(Place::Schema)))
}

/// Hash-addressed files of a schema with their sizes.
pub fn list_hash_paths(
    lode: &Lode,
    schema: &str,
    options: &GcOptions<'_>,
) -> Result<BTreeMap<String, u64>> {
    let (store, _) = subject(lode, &[schema], options)?;
    Ok(listing::hash_files(&*store, schema)?
        .into_iter()
        .map(|f| (f.path, f.size))
        .collect())
}

/// Files of a schema's section with their sizes, manifests included.
pub fn list_schema_paths(
    lode: &Lode,
    schema: &str,
    options: &GcOptions<'_>,
) -> Result<BTreeMap<String, u64>> {
    let (store, _) = subject(lode, &[schema], options)?;
    Ok(listing::schema_files(lode, &*store, schema)?
        .into_iter()
        .map(|f| (f.path, f.size))
        .collect())
}

/// Removes one schema-addressed object that no row refers to: a file, or a folder with its manifest. False if nothing
/// was there. An error if a row refers to it.
pub fn delete_schema_path(lode: &Lode, path: &str, options: &GcOptions<'_>) -> Result<bool> {
    let store = lode.stores().get_store(options.store.as_deref())?;
    lode.exclusively(|| {
        let live = Live::read(lode, &store)?;
        let below = format!("{}/", references::clean(path));
        let inside = live
            .by_section
            .values()
            .flatten()
            .any(|p| p.starts_with(&below));
        if inside || live.holds(&references::clean(path)) {
            return Err(Error::invalid("a row refers to this object")
                .store(store.name())
                .path(path));
        }
        match store.head(path)? {
            None => Ok(false),
            Some(meta) if meta.is_dir => {
                store.delete(&manifest_path(path))?;
                Ok(store.delete_prefix(path)? > 0)
            }
            Some(_) => store.delete(path),
        }
    })
}

/// The store and the schemas of a scan, checked.
fn subject(
    lode: &Lode,
    schemas: &[&str],
    options: &GcOptions<'_>,
) -> Result<(Arc<dyn Store>, Vec<String>)> {
    if schemas.is_empty() {
        return Err(Error::invalid(
            "at least one schema is needed to look for garbage",
        ));
    }
    let known = lode.schemas()?;
    if let Some(unknown) = schemas.iter().find(|s| !known.iter().any(|k| k == *s)) {
        let error = Error::invalid(format!("there is no schema `{unknown}`"));
        return Err(
            match did_you_mean(unknown, known.iter().map(String::as_str)) {
                Some(hint) => error.hint(hint),
                None => error,
            },
        );
    }
    let mut names: Vec<String> = Vec::new();
    for schema in schemas {
        if !names.iter().any(|n| n == schema) {
            names.push((*schema).to_owned());
        }
    }
    Ok((lode.stores().get_store(options.store.as_deref())?, names))
}

fn recorded_paths(lode: &Lode, store: &dyn Store, schemas: &[String]) -> Result<HashSet<String>> {
    let mut paths = HashSet::new();
    for schema in schemas {
        for (name, path) in dropped::recorded(lode, schema)? {
            if is_same(lode, name.as_deref(), store) {
                paths.insert(references::clean(&path));
            }
        }
    }
    Ok(paths)
}

fn is_same(lode: &Lode, name: Option<&str>, store: &dyn Store) -> bool {
    lode.stores()
        .resolve_name(name)
        .is_ok_and(|n| n == store.name())
}

fn interruption(progress: &dyn Progress) -> Result<()> {
    if progress.interrupted() {
        Err(Error::new(ErrorKind::Interrupted, "interrupted"))
    } else {
        Ok(())
    }
}
