//! Settings: where each value came from, and what it is.
//!
//! [`Config`] merges, highest first: assignments at run time; guarded environment variables and `DJ_STORES`;
//! `datajoint.json`; unguarded environment variables; the secrets directory (fills gaps only); defaults
//! (spec: stores §1). The precedence is peculiar because the reference's is, and files are shared with it. Every value
//! remembers its [`Origin`].
//!
//! With nothing configured the database is SQLite in `lodestore.db` and the default store is a directory beside it.

mod keys;
mod load;
mod protocols;
mod stores;
mod template;
mod url;

pub(crate) use protocols::{check_protocol, set_protocols};

pub use load::{FILE_NAME, SECRETS_NAME, SYSTEM_SECRETS, Sources, find_config_file};

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, ErrorKind, Result, did_you_mean};

/// Name of the SQLite file when none is configured.
pub const DEFAULT_DATABASE_FILE: &str = "lodestore.db";
/// Name of the store that exists without configuration.
pub const LOCAL_STORE: &str = "local";
/// What a secret looks like when shown.
pub const MASK: &str = "**********";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A `datajoint.json`.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A file of the secrets directory.
    Secret(PathBuf),
    /// Assigned by the program.
    Runtime,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(p) => write!(f, "{}", p.display()),
            Origin::Env(name) => write!(f, "environment {name}"),
            Origin::Secret(p) => write!(f, "secret {}", p.display()),
            Origin::Runtime => f.write_str("set by the program"),
        }
    }
}

/// One line of a listing: secrets are masked.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Dotted key.
    pub key: String,
    /// Value, masked if secret.
    pub value: Json,
    /// Where it came from.
    pub origin: Origin,
}

/// The settings. Cloning gives another handle to the same settings; [`Config::fork`] copies.
#[derive(Clone)]
pub struct Config(Arc<RwLock<State>>);

#[derive(Debug, Clone, Default)]
struct State {
    /// Known scalar settings that somebody set.
    values: IndexMap<String, (Json, Origin)>,
    /// Store specifications, as written.
    stores: IndexMap<String, (Map<String, Json>, Origin)>,
    /// `default` and `filepath_default`.
    store_defaults: IndexMap<String, (String, Origin)>,
    /// Unknown `lode.*` settings, kept for plug-ins (`lode.stores.<name>.*`).
    extra: IndexMap<String, (Json, Origin)>,
    /// The configuration file, if one was read.
    file: Option<PathBuf>,
    /// Directory of the SQLite file when none is named.
    directory: PathBuf,
    /// The named SQLite file, made absolute when it was set, so that a later change of directory moves nothing.
    sqlite_path: Option<PathBuf>,
}

/// A saved state, for [`Config::restore`].
#[derive(Debug, Clone)]
pub struct Snapshot(State);

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for entry in self.entries() {
            map.entry(&entry.key, &entry.value.to_string());
        }
        map.finish()
    }
}

impl Config {
    /// Only defaults, with the given working directory.
    pub fn defaults(directory: impl Into<PathBuf>) -> Config {
        Config(Arc::new(RwLock::new(State {
            directory: directory.into(),
            ..State::default()
        })))
    }

    /// Reads the process's environment, the configuration file and secrets. Returns warnings for what was wrong but
    /// not fatal.
    pub fn from_env() -> Result<(Config, Vec<String>)> {
        Self::load(&Sources::process()?)
    }

    /// Reads the given sources.
    pub fn load(sources: &Sources) -> Result<(Config, Vec<String>)> {
        load::load(sources)
    }

    /// Reads a file on top of what is set; unlike the file found at start, failures are errors.
    ///
    /// # Errors
    /// `FileNotFound` if absent, `Config`/`Value` if a key or value is wrong.
    pub fn load_file(&self, path: &Path) -> Result<()> {
        let (text, origin) = load::read(path)?;
        let mut warnings = Vec::new();
        let mut state = self.write();
        load::apply_file(&mut state, &text, &origin, &mut warnings)?;
        match warnings.into_iter().next() {
            Some(first) => Err(Error::new(ErrorKind::Config, first)),
            None => Ok(()),
        }
    }

    /// Settings for a database URL, on top of environment and files: `sqlite://file.db`, `sqlite:///abs/file.db`,
    /// `sqlite::memory:` or a plain file name; `postgresql://user:password@host:port/database` and
    /// `mysql://user:password@host:port` with the options `sslmode` (`disable`, `prefer`, `require`, `verify-full`),
    /// `sslrootcert` and `host` (a Unix socket: for PostgreSQL its folder, for MySQL the socket).
    pub fn for_url(url: &str) -> Result<Config> {
        let (config, _) = Self::from_env()?;
        config.set_url(url)?;
        Ok(config)
    }

    /// Points the settings at a database URL (see [`for_url`](Self::for_url)).
    pub fn set_url(&self, url: &str) -> Result<()> {
        url::apply(self, url)
    }

    /// A number that all clones of this handle share and no other living handle has.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// An independent copy.
    pub fn fork(&self) -> Config {
        Config(Arc::new(RwLock::new(self.read().clone())))
    }

    /// The value of a dotted key: a scalar (secrets in clear), a whole group as an object, or a path into `stores`.
    /// None if the key does not exist.
    pub fn get(&self, key: &str) -> Option<Json> {
        let state = self.read();
        if let Some(known) = keys::find(key) {
            return Some(state.value(known));
        }
        if key == "stores" {
            return Some(state.stores_json());
        }
        if let Some(path) = key.strip_prefix("stores.") {
            return state.store_path(path);
        }
        if let Some((value, _)) = state.extra.get(key) {
            return Some(value.clone());
        }
        if keys::is_group(key) {
            let prefix = format!("{key}.");
            let mut group = Map::new();
            for known in keys::KEYS.iter().filter(|k| k.name.starts_with(&prefix)) {
                group.insert(known.name[prefix.len()..].to_string(), state.value(known));
            }
            return Some(Json::Object(group));
        }
        None
    }

    /// A text setting; none if null or unknown.
    pub fn get_str(&self, key: &str) -> Option<String> {
        self.get(key)?.as_str().map(str::to_string)
    }

    /// A truth setting; false if null or unknown.
    pub fn get_bool(&self, key: &str) -> bool {
        self.get(key).and_then(|v| v.as_bool()).unwrap_or(false)
    }

    /// An integer setting.
    pub fn get_i64(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_i64()
    }

    /// A number setting.
    pub fn get_f64(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    /// Assigns a setting: coerced and validated.
    ///
    /// # Errors
    /// `UnknownKey` for an unknown top-level key, `Value` for an unknown nested key or a bad value.
    pub fn set(&self, key: &str, value: Json) -> Result<()> {
        self.write().set(key, value, Origin::Runtime)
    }

    /// Resets a setting to its default; `UnknownKey` if there is no such setting.
    pub fn unset(&self, key: &str) -> Result<()> {
        let mut state = self.write();
        if keys::find(key).is_some() {
            state.values.shift_remove(key);
            if key == "database.name" {
                state.sqlite_path = None;
            }
            return Ok(());
        }
        if key == "stores" {
            state.stores.clear();
            state.store_defaults.clear();
            return Ok(());
        }
        if let Some(name) = key.strip_prefix("stores.") {
            let gone = state.store_defaults.shift_remove(name).is_some()
                | state.stores.shift_remove(name).is_some();
            return if gone {
                Ok(())
            } else {
                Err(state.unknown_store(name))
            };
        }
        if state.extra.shift_remove(key).is_some() {
            return Ok(());
        }
        if keys::is_group(key) {
            let prefix = format!("{key}.");
            state.values.retain(|k, _| !k.starts_with(&prefix));
            return Ok(());
        }
        Err(unknown_key(key))
    }

    /// Where a setting came from; none if there is no such setting.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        let state = self.read();
        if keys::find(key).is_some() {
            return Some(
                state
                    .values
                    .get(key)
                    .map_or(Origin::Default, |(_, o)| o.clone()),
            );
        }
        if let Some((_, origin)) = state.extra.get(key) {
            return Some(origin.clone());
        }
        let name = key.strip_prefix("stores.")?;
        let name = name.split('.').next().unwrap_or(name);
        state
            .store_defaults
            .get(name)
            .map(|(_, o)| o.clone())
            .or_else(|| state.stores.get(name).map(|(_, o)| o.clone()))
            .or_else(|| state.implicit_store(name).map(|_| Origin::Default))
    }

    /// All keys: known settings, extra `lode.*` ones, and `stores.<name>.<attr>`.
    pub fn keys(&self) -> Vec<String> {
        self.entries().into_iter().map(|e| e.key).collect()
    }

    /// All settings with origins, secrets masked.
    pub fn entries(&self) -> Vec<Entry> {
        let state = self.read();
        let mut entries: Vec<Entry> = keys::KEYS
            .iter()
            .map(|known| {
                let value = state.value(known);
                let masked = known.kind == keys::Kind::Secret && !value.is_null();
                Entry {
                    key: known.name.to_string(),
                    value: if masked { json!(MASK) } else { value },
                    origin: state
                        .values
                        .get(known.name)
                        .map_or(Origin::Default, |(_, o)| o.clone()),
                }
            })
            .collect();
        entries.extend(state.extra.iter().map(|(key, (value, origin))| Entry {
            key: key.clone(),
            value: value.clone(),
            origin: origin.clone(),
        }));
        entries.extend(state.store_entries());
        entries
    }

    /// True for keys whose value must not be shown.
    pub fn is_secret(key: &str) -> bool {
        match key.strip_prefix("stores.") {
            Some(path) => path
                .split_once('.')
                .is_some_and(|(_, attribute)| stores::is_secret(attribute)),
            None => keys::find(key).is_some_and(|k| k.kind == keys::Kind::Secret),
        }
    }

    /// The names of all settings (for completion and suggestions).
    pub fn known_keys() -> impl Iterator<Item = &'static str> {
        keys::KEYS.iter().map(|k| k.name)
    }

    /// The configuration file in use.
    pub fn file(&self) -> Option<PathBuf> {
        self.read().file.clone()
    }

    /// Saves the state, for [`restore`](Self::restore).
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.read().clone())
    }

    /// Puts a saved state back.
    pub fn restore(&self, snapshot: Snapshot) {
        *self.write() = snapshot.0;
    }

    /// The file of an SQLite database, absolute; `None` for `:memory:`.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        self.read().sqlite_file()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic elsewhere leaves the settings readable: every write is a single assignment.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn value(&self, key: &keys::Key) -> Json {
        if let Some((value, _)) = self.values.get(key.name) {
            return value.clone();
        }
        match key.name {
            "database.backend" => json!(self.backend()),
            "database.port" => match self.backend() {
                "postgresql" => json!(5432),
                "mysql" => json!(3306),
                _ => Json::Null,
            },
            "database.name" if self.backend() == "sqlite" => match self.sqlite_file() {
                Some(path) => json!(path.to_string_lossy()),
                None => Json::Null,
            },
            // On a server, clients that know nothing of Lodestore may be writing objects whose rows come later.
            "lode.gc.grace" => match self.backend() {
                "sqlite" => json!(0.0),
                _ => json!(3600.0),
            },
            "lode.create_locations" => json!(self.backend() == "sqlite"),
            _ => key.default_value(),
        }
    }

    /// SQLite unless a backend, a host or a user is configured (spec: python-api §12).
    fn backend(&self) -> &str {
        match self.values.get("database.backend") {
            Some((value, _)) => value.as_str().unwrap_or("sqlite"),
            None if ["database.host", "database.user"]
                .iter()
                .any(|k| self.values.contains_key(*k)) =>
            {
                "mysql"
            }
            None => "sqlite",
        }
    }

    fn sqlite_file(&self) -> Option<PathBuf> {
        if matches!(self.values.get("database.name"), Some((Json::String(name), _)) if name == ":memory:")
        {
            return None;
        }
        let default = || self.directory.join(DEFAULT_DATABASE_FILE);
        let path = self.sqlite_path.clone().unwrap_or_else(default);
        Some(std::path::absolute(&path).unwrap_or(path))
    }

    fn set(&mut self, key: &str, value: Json, origin: Origin) -> Result<()> {
        if let Some(known) = keys::find(key) {
            let value = known.coerce(value)?;
            if key == "database.name" {
                // A relative name in a file is meant relative to that file, elsewhere to the working directory.
                self.sqlite_path = value.as_str().map(|name| match &origin {
                    Origin::File(file) => file.parent().unwrap_or(Path::new("")).join(name),
                    _ => std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name)),
                });
            }
            self.values.insert(key.to_string(), (value, origin));
            return Ok(());
        }
        if key == "stores" {
            let Json::Object(block) = value else {
                return Err(Error::new(
                    ErrorKind::Value,
                    "setting `stores`: not a table of stores",
                ));
            };
            self.stores.clear();
            self.store_defaults.clear();
            return self.merge_stores(block, &origin);
        }
        if let Some(path) = key.strip_prefix("stores.") {
            return self.set_store_path(path, value, origin);
        }
        if key.starts_with("lode.") {
            if let Json::Object(group) = value {
                for (name, value) in group {
                    self.set(&format!("{key}.{name}"), value, origin.clone())?;
                }
                return Ok(());
            }
            self.extra.insert(key.to_string(), (value, origin));
            return Ok(());
        }
        if keys::is_group(key) {
            let Json::Object(group) = value else {
                return Err(Error::new(
                    ErrorKind::Value,
                    format!("setting `{key}` is a group, not a value"),
                ));
            };
            for (name, value) in group {
                self.set(&format!("{key}.{name}"), value, origin.clone())?;
            }
            return Ok(());
        }
        Err(unknown_key(key))
    }
}

fn unknown_key(key: &str) -> Error {
    let kind = match key.split_once('.') {
        Some((group, _)) if keys::is_group(group) => ErrorKind::Value,
        _ => ErrorKind::UnknownKey,
    };
    let error = Error::new(kind, format!("there is no setting `{key}`"));
    match did_you_mean(key, Config::known_keys()) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
