//! The `stores` block (spec: stores §2).

use serde_json::{Map, Value as Json, json};

use super::{Config, Entry, LOCAL_STORE, MASK, Origin, State, check_protocol};
use crate::error::{Error, ErrorKind, Result, did_you_mean};

/// Attributes of a store that are never shown.
const SECRET_ATTRIBUTES: &[&str] = &[
    "secret_key",
    "token",
    "account_key",
    "connection_string",
    "access_key",
];

/// Words in the names of plug-ins' attributes that tell a secret.
const SECRET_WORDS: &[&str] = &["secret", "password", "passphrase", "token", "credential"];

/// True for an attribute of a store that is never shown.
pub(super) fn is_secret(attribute: &str) -> bool {
    let name = attribute.to_lowercase();
    let told = SECRET_WORDS.iter().any(|word| name.contains(word)) || name.ends_with("_key");
    SECRET_ATTRIBUTES.contains(&attribute) || told && !COMMON.contains(&attribute)
}

const COMMON: &[&str] = &[
    "protocol",
    "location",
    "subfolding",
    "partition_pattern",
    "token_length",
    "hash_prefix",
    "schema_prefix",
    "filepath_prefix",
    "stage",
];

/// (protocol, required, also allowed)
const PROTOCOLS: &[(&str, &[&str], &[&str])] = &[
    ("file", &["location"], &[]),
    ("memory", &[], &[]),
    (
        "s3",
        &["endpoint", "bucket", "location"],
        &["access_key", "secret_key", "secure", "proxy_server"],
    ),
    ("gcs", &["bucket", "location"], &["token", "project"]),
    (
        "azure",
        &["container", "location"],
        &["account_name", "account_key", "connection_string"],
    ),
];

impl Config {
    /// Configured store names, without `default` and `filepath_default`. The implicit store `local` of an SQLite
    /// database is listed when nothing else is configured.
    pub fn store_names(&self) -> Vec<String> {
        let state = self.read();
        let mut names: Vec<String> = state.stores.keys().cloned().collect();
        if names.is_empty() && state.implicit_store(LOCAL_STORE).is_some() {
            names.push(LOCAL_STORE.to_string());
        }
        names
    }

    /// Adds or replaces a store.
    pub fn set_store(&self, name: &str, spec: Map<String, Json>) -> Result<()> {
        self.write()
            .set_store_path(name, Json::Object(spec), Origin::Runtime)
    }

    /// Removes a store, or a default; true if it was there.
    pub fn remove_store(&self, name: &str) -> bool {
        self.unset(&format!("stores.{name}")).is_ok()
    }

    /// The specification as written, without defaults and checks; none if there is no such store.
    pub fn raw_store(&self, name: &str) -> Option<Map<String, Json>> {
        let state = self.read();
        state
            .stores
            .get(name)
            .map(|(spec, _)| spec.clone())
            .or_else(|| state.implicit_store(name))
    }

    /// The name a store reference resolves to: `None` and `""` mean `stores.default` (or `stores.filepath_default`).
    pub fn resolve_store(&self, name: Option<&str>, filepath: bool) -> Result<String> {
        let state = self.read();
        if let Some(name) = name.filter(|n| !n.is_empty()) {
            return Ok(name.to_string());
        }
        let key = if filepath {
            "filepath_default"
        } else {
            "default"
        };
        if let Some((name, _)) = state.store_defaults.get(key) {
            return Ok(name.clone());
        }
        if state.stores.is_empty() && state.implicit_store(LOCAL_STORE).is_some() {
            return Ok(LOCAL_STORE.to_string());
        }
        let example = state.stores.keys().next().map_or("main", String::as_str);
        Err(Error::new(
            ErrorKind::Config,
            format!("no default store is configured: `stores.{key}` is not set"),
        )
        .hint(format!(
            "Set it to the name of a store, for example config.stores['{key}'] = '{example}'."
        )))
    }

    /// The specification of a store with defaults applied and keys checked.
    ///
    /// # Errors
    /// `Config` for an unknown store or protocol, missing or unknown keys, overlapping prefixes.
    pub fn store_spec(&self, name: Option<&str>, filepath: bool) -> Result<Map<String, Json>> {
        let name = self.resolve_store(name, filepath)?;
        let raw = {
            let state = self.read();
            match state.stores.get(&name) {
                Some((spec, _)) => spec.clone(),
                None => state
                    .implicit_store(&name)
                    .ok_or_else(|| state.unknown_store(&name))?,
            }
        };
        // Not under the lock: a plug-in checks its own keys.
        check(&name, raw)
    }
}

impl State {
    /// The store that an SQLite database has without configuration. It stays reachable by name when stores are
    /// configured later, so that rows which name it stay readable (invariant 3).
    pub(super) fn implicit_store(&self, name: &str) -> Option<Map<String, Json>> {
        if name != LOCAL_STORE || self.backend() != "sqlite" {
            return None;
        }
        let mut spec = Map::new();
        match self.sqlite_file() {
            Some(file) => {
                spec.insert("protocol".into(), json!("file"));
                spec.insert(
                    "location".into(),
                    json!(format!("{}.objects", file.to_string_lossy())),
                );
            }
            None => {
                spec.insert("protocol".into(), json!("memory"));
            }
        }
        Some(spec)
    }

    pub(super) fn unknown_store(&self, name: &str) -> Error {
        let known: Vec<&str> = self.stores.keys().map(String::as_str).collect();
        let error = Error::new(
            ErrorKind::Config,
            format!("store `{name}` is not configured"),
        )
        .store(name);
        let error = match did_you_mean(name, known.iter().copied()) {
            Some(hint) => error.hint(hint),
            None => error,
        };
        error.hint(format!(
            "Configure it: config.stores['{name}'] = {{'protocol': 'file', 'location': '/path'}}."
        ))
    }

    /// Merges a `stores` block: each store replaced whole.
    pub(super) fn merge_stores(&mut self, block: Map<String, Json>, origin: &Origin) -> Result<()> {
        for (name, value) in block {
            self.set_store_path(&name, value, origin.clone())?;
        }
        Ok(())
    }

    /// Assigns `name` or `name.attribute` or one of the two defaults.
    pub(super) fn set_store_path(&mut self, path: &str, value: Json, origin: Origin) -> Result<()> {
        let bad = |what: &str| {
            Err(Error::new(
                ErrorKind::Value,
                format!("setting `stores.{path}`: {what}"),
            ))
        };
        if path == "default" || path == "filepath_default" {
            return match value {
                Json::String(name) => {
                    self.store_defaults.insert(path.to_string(), (name, origin));
                    Ok(())
                }
                Json::Null => {
                    self.store_defaults.shift_remove(path);
                    Ok(())
                }
                _ => bad("must name a store"),
            };
        }
        match path.split_once('.') {
            None => match value {
                Json::Object(spec) => {
                    self.stores.insert(path.to_string(), (spec, origin));
                    Ok(())
                }
                _ => bad("must be a table"),
            },
            Some((name, attribute)) if !name.is_empty() && !attribute.contains('.') => {
                let entry = self
                    .stores
                    .entry(name.to_string())
                    .or_insert_with(|| (Map::new(), origin));
                entry.0.insert(attribute.to_string(), value);
                Ok(())
            }
            Some(_) => bad("stores have no deeper settings"),
        }
    }

    pub(super) fn store_path(&self, path: &str) -> Option<Json> {
        if let Some((name, _)) = self.store_defaults.get(path) {
            return Some(json!(name));
        }
        let (name, attribute) = match path.split_once('.') {
            Some((name, attribute)) => (name, Some(attribute)),
            None => (path, None),
        };
        let spec = match self.stores.get(name) {
            Some((spec, _)) => spec.clone(),
            None => self
                .listed_implicit_store()
                .filter(|_| name == LOCAL_STORE)?,
        };
        match attribute {
            Some(attribute) => spec.get(attribute).cloned(),
            None => Some(Json::Object(spec)),
        }
    }

    /// The implicit store while it is the only one: then it is shown among the settings.
    fn listed_implicit_store(&self) -> Option<Map<String, Json>> {
        let alone = self.stores.is_empty();
        alone.then(|| self.implicit_store(LOCAL_STORE)).flatten()
    }

    pub(super) fn stores_json(&self) -> Json {
        let mut block = Map::new();
        for (key, (name, _)) in &self.store_defaults {
            block.insert(key.clone(), json!(name));
        }
        for (name, (spec, _)) in &self.stores {
            block.insert(name.clone(), Json::Object(spec.clone()));
        }
        Json::Object(block)
    }

    pub(super) fn store_entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, (name, origin)) in &self.store_defaults {
            entries.push(Entry {
                key: format!("stores.{key}"),
                value: json!(name),
                origin: origin.clone(),
            });
        }
        let implicit = self.listed_implicit_store();
        let implicit = implicit.map(|spec| (LOCAL_STORE.to_string(), (spec, Origin::Default)));
        let explicit = self
            .stores
            .iter()
            .map(|(name, stored)| (name.clone(), stored.clone()));
        for (name, (spec, origin)) in explicit.chain(implicit) {
            for (attribute, value) in spec {
                let secret = is_secret(&attribute) && !value.is_null();
                entries.push(Entry {
                    key: format!("stores.{name}.{attribute}"),
                    value: if secret { json!(MASK) } else { value },
                    origin: origin.clone(),
                });
            }
        }
        entries
    }
}

fn check(name: &str, mut spec: Map<String, Json>) -> Result<Map<String, Json>> {
    let fail = |message: String| {
        Error::new(ErrorKind::Config, format!("store `{name}`: {message}")).store(name)
    };
    let protocol = match spec.get("protocol").and_then(Json::as_str) {
        Some(protocol) => protocol.to_lowercase(),
        None => {
            return Err(fail("`protocol` is missing".into())
                .hint("It is one of file, s3, gcs, azure, memory."));
        }
    };
    spec.insert("protocol".into(), json!(protocol));
    let Some((_, required, allowed)) = PROTOCOLS.iter().find(|(p, ..)| *p == protocol) else {
        if check_protocol(&protocol, name, &spec)? {
            return with_defaults(&protocol, spec).map_err(fail);
        }
        let error = fail(format!("unknown protocol `{protocol}`"))
            .hint("Known are file, s3, gcs, azure, memory.");
        return Err(
            match did_you_mean(&protocol, PROTOCOLS.iter().map(|(p, ..)| *p)) {
                Some(hint) => error.hint(hint),
                None => error,
            },
        );
    };
    let missing: Vec<&str> = required
        .iter()
        .copied()
        .filter(|k| !spec.contains_key(*k))
        .collect();
    if !missing.is_empty() {
        return Err(fail(format!(
            "missing {} for protocol {protocol}",
            quoted(&missing)
        )));
    }
    let known = || {
        COMMON
            .iter()
            .chain(required.iter())
            .chain(allowed.iter())
            .copied()
    };
    if let Some(unknown) = spec.keys().find(|k| !known().any(|n| n == k.as_str())) {
        let error = fail(format!(
            "unknown setting `{unknown}` for protocol {protocol}"
        ));
        return Err(match did_you_mean(unknown, known()) {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    with_defaults(&protocol, spec).map_err(fail)
}

/// Fills in what was left out, and checks what was not.
fn with_defaults(protocol: &str, mut spec: Map<String, Json>) -> Result<Map<String, Json>, String> {
    let mut default = |key: &str, value: Json| {
        if spec.get(key).is_none_or(|v| v.is_null()) {
            spec.insert(key.to_string(), value);
        }
    };
    default("subfolding", Json::Null);
    default("partition_pattern", Json::Null);
    default("token_length", json!(8));
    default("hash_prefix", json!("_hash"));
    default("schema_prefix", json!("_schema"));
    default("filepath_prefix", Json::Null);
    if protocol == "s3" {
        default("secure", json!(true));
    }
    if protocol == "memory" {
        default("location", json!(""));
    }
    let is_plugin = PROTOCOLS.iter().all(|(p, ..)| *p != protocol);
    check_values(&spec, is_plugin)?;
    Ok(spec)
}

fn check_values(spec: &Map<String, Json>, is_plugin: bool) -> Result<(), String> {
    for (key, value) in spec {
        // A plug-in's own keys are its own matter.
        let text_expected = !["subfolding", "token_length", "secure"].contains(&key.as_str())
            && (!is_plugin || COMMON.contains(&key.as_str()));
        if text_expected && !value.is_string() && !value.is_null() {
            return Err(format!("`{key}` must be a text, not {value}"));
        }
    }
    if let Some(folds) = spec.get("subfolding").filter(|v| !v.is_null()) {
        let parsed: Option<Vec<u64>> = folds
            .as_array()
            .and_then(|a| a.iter().map(|v| v.as_u64().filter(|n| *n > 0)).collect());
        if parsed.is_none_or(|p| {
            p.iter()
                .try_fold(0u64, |a, n| a.checked_add(*n))
                .is_none_or(|sum| sum > 26)
        }) {
            return Err(format!(
                "`subfolding` must be a list of positive integers whose sum is at most 26, not {folds}"
            ));
        }
    }
    if let Some(length) = spec.get("token_length")
        && !length.as_u64().is_some_and(|n| (4..=16).contains(&n))
    {
        return Err(format!(
            "`token_length` must be an integer between 4 and 16, not {length}"
        ));
    }
    let prefix = |key: &str| {
        let text = spec
            .get(key)
            .and_then(Json::as_str)
            .unwrap_or("")
            .trim_matches('/');
        (key.to_string(), format!("{text}/"))
    };
    let prefixes: Vec<_> = ["hash_prefix", "schema_prefix", "filepath_prefix"]
        .map(prefix)
        .into_iter()
        .filter(|(_, p)| p != "/")
        .collect();
    for (i, (a, pa)) in prefixes.iter().enumerate() {
        for (b, pb) in &prefixes[i + 1..] {
            if pa.starts_with(pb.as_str()) || pb.starts_with(pa.as_str()) {
                return Err(format!("`{a}` and `{b}` overlap"));
            }
        }
    }
    Ok(())
}

fn quoted(names: &[&str]) -> String {
    names
        .iter()
        .map(|n| format!("`{n}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
