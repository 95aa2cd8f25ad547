//! The configured stores, opened when first used.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Protocol, PutOutcome, Store, StoreOptions, StoreSpec, open};
use crate::codec::{ObjectHandle, Put, Stores};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::progress::Progress;

/// Where the stores of a [`StoreSet`] are configured.
pub trait SpecSource: Send + Sync + fmt::Debug {
    /// The specification of a store that [`SpecSource::names`] lists.
    fn spec(&self, name: &str) -> Result<StoreSpec>;
    /// The default store's name (`filepath`: of `<filepath@>`). An error if none is configured.
    fn default_name(&self, filepath: bool) -> Result<String>;
    /// All store names, sorted.
    fn names(&self) -> Vec<String>;
    /// Behaviour of a store.
    fn options(&self, name: &str) -> StoreOptions;
}

/// The configured stores, opened when first used. A store whose configuration changed is opened anew.
pub struct StoreSet {
    source: Box<dyn SpecSource>,
    opened: Mutex<HashMap<String, Opened>>,
}

/// A configured store as it is shown: never with a secret.
#[derive(Debug)]
pub struct StoreSummary {
    /// Store name.
    pub name: String,
    /// Protocol; empty if the specification is wrong.
    pub protocol: String,
    /// Where it is; empty if the specification is wrong.
    pub location: String,
    /// True if columns without a store name use it.
    pub is_default: bool,
    /// True if `<filepath@>` without a store name uses it.
    pub is_filepath_default: bool,
    /// What is wrong with the specification.
    pub problem: Option<Error>,
}

struct Opened {
    spec: StoreSpec,
    options: StoreOptions,
    store: Arc<dyn Store>,
}

impl StoreSet {
    /// The stores of a configuration.
    pub fn new(source: impl SpecSource + 'static) -> Self {
        StoreSet {
            source: Box::new(source),
            opened: Mutex::default(),
        }
    }

    /// Given stores, for tests and for embedding; the first is the default, for `<filepath@>` too.
    pub fn of(stores: impl IntoIterator<Item = Arc<dyn Store>>) -> Self {
        let stores: Vec<Arc<dyn Store>> = stores.into_iter().collect();
        let opened = stores
            .iter()
            .map(|s| {
                (
                    s.name().to_owned(),
                    Opened {
                        spec: s.spec().clone(),
                        options: StoreOptions::default(),
                        store: s.clone(),
                    },
                )
            })
            .collect();
        let given = Given(stores.iter().map(|s| s.spec().clone()).collect());
        StoreSet {
            source: Box::new(given),
            opened: Mutex::new(opened),
        }
    }

    /// All store names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.source.names()
    }

    /// All stores. None is opened.
    pub fn describe(&self) -> Vec<StoreSummary> {
        let default = self.source.default_name(false).ok();
        let filepath = self.source.default_name(true).ok();
        let describe = |name: String| {
            let (protocol, location, problem) = match self.source.spec(&name) {
                Ok(spec) => (spec.protocol.as_str().to_owned(), spec.place(), None),
                Err(e) => (String::new(), String::new(), Some(e)),
            };
            StoreSummary {
                protocol,
                location,
                is_default: default.as_ref() == Some(&name),
                is_filepath_default: filepath.as_ref() == Some(&name),
                problem,
                name,
            }
        };
        self.names().into_iter().map(describe).collect()
    }

    /// The name that a store name in a type or in metadata stands for: `None` and `""` mean the default. An error for a
    /// name that is not configured.
    pub fn resolve_name(&self, name: Option<&str>) -> Result<String> {
        let name = self.resolve(name, false)?;
        self.source.spec(&name)?;
        Ok(name)
    }

    /// As [`StoreSet::resolve_name`], with the default of `<filepath@>`.
    pub fn resolve_filepath_name(&self, name: Option<&str>) -> Result<String> {
        let name = self.resolve(name, true)?;
        self.source.spec(&name)?;
        Ok(name)
    }

    /// A store for writing; `None` and `""` mean the default.
    pub fn get_store(&self, name: Option<&str>) -> Result<Arc<dyn Store>> {
        let name = self.resolve(name, false)?;
        self.opened(&name)
    }

    /// Writes objects to the stores that they name; outcomes in the order of `puts`. On failure what was created at
    /// fresh paths is removed in all stores.
    pub fn put_all(&self, puts: &[Put], progress: &dyn Progress) -> Result<Vec<PutOutcome>> {
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        for (i, put) in puts.iter().enumerate() {
            let name = self.resolve(Some(&put.store), false)?;
            match groups.iter_mut().find(|(n, _)| *n == name) {
                Some((_, members)) => members.push(i),
                None => groups.push((name, vec![i])),
            }
        }
        if let [(name, _)] = &groups[..] {
            return self.opened(name)?.put_many(puts, progress);
        }
        let mut outcomes: Vec<Option<PutOutcome>> = vec![None; puts.len()];
        let mut done: Vec<(Arc<dyn Store>, Vec<PutOutcome>)> = Vec::new();
        for (name, members) in groups {
            let group: Vec<Put> = members.iter().map(|i| puts[*i].clone()).collect();
            let result = self
                .opened(&name)
                .and_then(|store| Ok((store.put_many(&group, progress)?, store)));
            match result {
                Ok((results, store)) => {
                    for (i, outcome) in members.into_iter().zip(&results) {
                        outcomes[i] = Some(outcome.clone());
                    }
                    done.push((store, results));
                }
                Err(error) => {
                    for (store, results) in done {
                        store.discard(&results);
                    }
                    return Err(error);
                }
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Removes what [`StoreSet::put_all`] created at fresh paths, when the rows could not be committed.
    pub fn discard_all(&self, puts: &[Put], outcomes: &[PutOutcome]) {
        for (put, outcome) in puts.iter().zip(outcomes) {
            if let Ok(store) = self.get_store(Some(&put.store)) {
                store.discard(std::slice::from_ref(outcome));
            }
        }
    }

    fn resolve(&self, name: Option<&str>, filepath: bool) -> Result<String> {
        match name.filter(|n| !n.is_empty()) {
            None => self.source.default_name(filepath),
            // Not looked up here: opening it says what is wrong, and names that are not listed may still be known
            // (the store that a SQLite database has without configuration).
            Some(name) => Ok(name.to_owned()),
        }
    }

    fn opened(&self, name: &str) -> Result<Arc<dyn Store>> {
        let spec = self.source.spec(name)?;
        let options = self.source.options(name);
        if let Some(known) = self.known(name, &spec, &options) {
            return Ok(known);
        }
        // Not under the lock: opening may run other people's code.
        let store = open(&spec, &options)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = opened.get(name).filter(|o| o.serves(&spec, &options)) {
            return Ok(first.store.clone());
        }
        opened.insert(
            name.to_owned(),
            Opened {
                spec,
                options,
                store: store.clone(),
            },
        );
        Ok(store)
    }

    /// The store of this name, if it is open and its configuration did not change.
    fn known(
        &self,
        name: &str,
        spec: &StoreSpec,
        options: &StoreOptions,
    ) -> Option<Arc<dyn Store>> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let known = opened.get(name).filter(|o| o.serves(spec, options))?;
        Some(known.store.clone())
    }
}

impl Opened {
    fn serves(&self, spec: &StoreSpec, options: &StoreOptions) -> bool {
        // What is in memory would be lost by opening anew.
        self.spec == *spec && (self.options == *options || spec.protocol == Protocol::Memory)
    }
}

impl fmt::Debug for StoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Stores for StoreSet {
    fn get(&self, name: Option<&str>) -> Result<Arc<dyn ObjectHandle>> {
        Ok(self.get_store(name)?.handle())
    }

    fn get_filepath(&self, name: Option<&str>) -> Result<Arc<dyn ObjectHandle>> {
        let name = self.resolve(name, true)?;
        Ok(self.opened(&name)?.handle())
    }
}

impl SpecSource for Config {
    fn spec(&self, name: &str) -> Result<StoreSpec> {
        StoreSpec::from_json(name, &self.store_spec(Some(name), false)?)
    }

    fn default_name(&self, filepath: bool) -> Result<String> {
        self.resolve_store(None, filepath)
    }

    fn names(&self) -> Vec<String> {
        self.store_names()
    }

    fn options(&self, name: &str) -> StoreOptions {
        let default = StoreOptions::default();
        let own = |key: &str| self.get(&format!("lode.stores.{name}.{key}"));
        let own_text = |key: &str| Some(own(key)?.as_str()?.to_owned()).filter(|t| !t.is_empty());
        // A number may have been written as text, in the environment for instance.
        let own_number = |key: &str| {
            let value = own(key)?;
            let number = value
                .as_f64()
                .or_else(|| value.as_str()?.trim().parse().ok());
            number.filter(|n| n.is_finite() && *n >= 0.0)
        };
        let count = |key: &str| self.get_i64(key).and_then(|n| u64::try_from(n).ok());
        StoreOptions {
            fsync: self.get_bool("lode.fsync"),
            create_locations: self.get_bool("lode.create_locations"),
            verify_reads: self.get_bool("lode.verify"),
            workers: count("lode.workers").unwrap_or(8).clamp(1, 64) as usize,
            reference_deflate: own_text("blob_deflate").as_deref() == Some("zlib6"),
            requests_in_flight: count("lode.requests_in_flight")
                .map_or(default.requests_in_flight, |n| n.clamp(1, 1024) as usize),
            bytes_in_flight: count("lode.bytes_in_flight").unwrap_or(default.bytes_in_flight),
            multipart_size: count("lode.multipart_size").unwrap_or(default.multipart_size),
            timeout: own_number("timeout")
                .filter(|seconds| *seconds > 0.0)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .unwrap_or(default.timeout),
            retries: own_number("retries").map_or(default.retries, |n| n.min(20.0) as usize),
            region: own_text("region"),
            endpoint: own_text("endpoint"),
            ca: own_text("ca"),
        }
    }
}

/// Stores that were opened by the caller.
#[derive(Debug)]
struct Given(Vec<StoreSpec>);

impl SpecSource for Given {
    fn spec(&self, name: &str) -> Result<StoreSpec> {
        let found = self.0.iter().find(|s| s.name == name);
        found.cloned().ok_or_else(|| {
            let error = Error::new(
                ErrorKind::Config,
                format!("there is no store named `{name}`"),
            )
            .store(name);
            match did_you_mean(name, self.0.iter().map(|s| s.name.as_str())) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }

    fn default_name(&self, _filepath: bool) -> Result<String> {
        let first = self.0.first();
        first
            .map(|s| s.name.clone())
            .ok_or_else(|| Error::new(ErrorKind::Config, "no store is configured"))
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(|s| s.name.clone()).collect();
        names.sort();
        names
    }

    fn options(&self, _name: &str) -> StoreOptions {
        StoreOptions::default()
    }
}
