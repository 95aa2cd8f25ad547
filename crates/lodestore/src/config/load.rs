//! Reading configuration: environment, `datajoint.json`, secrets (spec: stores §1.1-§1.3).

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use serde_json::{Map, Value as Json, json};

use super::keys::{self, Guard};
use super::{Config, Origin, State};
use crate::error::{Error, ErrorKind, Result, did_you_mean};

/// Name of the configuration file.
pub const FILE_NAME: &str = "datajoint.json";
/// Name of the secrets directory beside it.
pub const SECRETS_NAME: &str = ".secrets";
/// Secrets directory of last resort.
pub const SYSTEM_SECRETS: &str = "/run/secrets/datajoint";

/// What configuration is read from. Tests make their own; programs use [`Sources::process`].
#[derive(Debug, Clone)]
pub struct Sources {
    /// Where the search for `datajoint.json` starts.
    pub directory: PathBuf,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Secrets directory used when there is none beside the configuration file.
    pub system_secrets: PathBuf,
}

impl Sources {
    /// The process's own working directory and environment.
    pub fn process() -> Result<Sources> {
        let directory =
            std::env::current_dir().map_err(|e| Error::io("find the working directory", ".", e))?;
        // Variables that are not text cannot be settings.
        let env = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        Ok(Sources {
            directory,
            env,
            system_secrets: SYSTEM_SECRETS.into(),
        })
    }

    fn var(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

/// The nearest `datajoint.json` at or above a directory; the search ends after a repository root.
pub fn find_config_file(start: &Path) -> Option<PathBuf> {
    for directory in start.ancestors() {
        let candidate = directory.join(FILE_NAME);
        if candidate.is_file() {
            return Some(candidate);
        }
        if directory.join(".git").exists() || directory.join(".hg").exists() {
            return None;
        }
    }
    None
}

pub(super) fn load(sources: &Sources) -> Result<(Config, Vec<String>)> {
    let mut state = State {
        directory: sources.directory.clone(),
        ..State::default()
    };
    let mut warnings = Vec::new();
    let ignore_files = match sources.var("DJ_IGNORE_CONFIG_FILE") {
        Some(text) => {
            state.set(
                "ignore_config_file",
                json!(text),
                Origin::Env("DJ_IGNORE_CONFIG_FILE".into()),
            )?;
            state
                .values
                .get("ignore_config_file")
                .is_some_and(|(v, _)| v == &json!(true))
        }
        None => false,
    };

    apply_env(&mut state, sources, Guard::Unguarded)?;
    apply_groups(&mut state, sources)?;
    let file = if ignore_files {
        None
    } else {
        find_config_file(&sources.directory)
    };
    if let Some(path) = &file {
        state.directory = path.parent().unwrap_or(&sources.directory).to_path_buf();
        state.file = Some(path.clone());
        match read(path) {
            Ok((text, origin)) => {
                if let Err(error) = apply_file(&mut state, &text, &origin, &mut warnings) {
                    warnings.push(format!("{}: {error}", path.display()));
                }
            }
            Err(error) => warnings.push(error.to_string()),
        }
    }
    apply_env(&mut state, sources, Guard::Guarded)?;
    if let Some(text) = sources.var("DJ_STORES").filter(|t| !t.trim().is_empty()) {
        let block = serde_json::from_str::<Map<String, Json>>(text)
            .map_err(|_| Error::new(ErrorKind::Value, "DJ_STORES is not a JSON object"))?;
        state.set(
            "stores",
            Json::Object(block),
            Origin::Env("DJ_STORES".into()),
        )?;
    }
    if !ignore_files {
        let beside = file
            .as_deref()
            .and_then(Path::parent)
            .map(|d| d.join(SECRETS_NAME))
            .filter(|d| d.is_dir());
        let secrets = beside.unwrap_or_else(|| sources.system_secrets.clone());
        if secrets.is_dir() {
            apply_secrets(&mut state, &secrets, &mut warnings);
        }
    }
    Ok((Config(Arc::new(RwLock::new(state))), warnings))
}

fn apply_env(state: &mut State, sources: &Sources, guard: Guard) -> Result<()> {
    for known in keys::KEYS {
        let Some((name, _)) = known.env.filter(|(_, g)| *g == guard) else {
            continue;
        };
        if let Some(text) = sources
            .var(name)
            .filter(|_| known.name != "ignore_config_file")
        {
            state
                .set(known.name, json!(text), Origin::Env(name.to_string()))
                .map_err(|e| e.hint(format!("It comes from the environment variable {name}.")))?;
        }
    }
    Ok(())
}

/// `DJ_DATABASE`, `DJ_JOBS`, …: a whole group as JSON, below the single variables (spec: stores §1.3).
fn apply_groups(state: &mut State, sources: &Sources) -> Result<()> {
    for group in ["database", "connection", "display", "jobs", "provenance"] {
        let name = format!("DJ_{}", group.to_uppercase());
        let Some(text) = sources.var(&name).filter(|t| !t.trim().is_empty()) else {
            continue;
        };
        let block = serde_json::from_str::<Map<String, Json>>(text)
            .map_err(|_| Error::new(ErrorKind::Value, format!("{name} is not a JSON object")))?;
        for (inner, value) in block {
            // The database group spells its keys as the variables do (`DJ_HOST`).
            let key = keys::KEYS
                .iter()
                .find(|k| {
                    k.env
                        .is_some_and(|(env, _)| env.eq_ignore_ascii_case(&inner))
                })
                .map_or_else(
                    || format!("{group}.{}", inner.to_lowercase()),
                    |k| k.name.to_string(),
                );
            if !state.values.contains_key(&key) {
                state.set(&key, value, Origin::Env(name.clone()))?;
            }
        }
    }
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<(Map<String, Json>, Origin)> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let parsed = serde_json::from_str(&text).map_err(|e| {
        Error::new(
            ErrorKind::Config,
            format!("{} is not a JSON object: {e}", path.display()),
        )
    })?;
    Ok((parsed, Origin::File(path.to_path_buf())))
}

/// Applies a file's keys in order; keys before a bad one stay applied.
pub(super) fn apply_file(
    state: &mut State,
    file: &Map<String, Json>,
    origin: &Origin,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let explicit: Vec<String> = file
        .get("stores")
        .and_then(Json::as_object)
        .map(|s| s.keys().cloned().collect())
        .unwrap_or_default();
    for (key, value) in file {
        match (key.as_str(), value) {
            ("stores", Json::Object(block)) => state.merge_stores(block.clone(), origin)?,
            ("stores", _) => return Err(Error::new(ErrorKind::Config, "`stores` is not a table")),
            ("object_storage", Json::Object(block)) => {
                apply_object_storage(state, block, &explicit, origin, warnings)?
            }
            ("lode", Json::Object(block)) => apply_lode(state, "lode", block, origin, warnings)?,
            (group, Json::Object(block)) if keys::is_group(group) => {
                for (name, value) in block {
                    apply_key(state, &format!("{group}.{name}"), value, origin)?;
                }
            }
            _ => apply_key(state, key, value, origin)?,
        }
    }
    Ok(())
}

fn apply_key(state: &mut State, key: &str, value: &Json, origin: &Origin) -> Result<()> {
    let known = keys::find(key).is_some() || key.starts_with("stores.") || key.starts_with("lode.");
    // Unknown keys are the reference's, or another program's: silently left alone.
    if known && !keys::IGNORED.contains(&key) {
        state.set(key, value.clone(), origin.clone())?;
    }
    Ok(())
}

/// `"object_storage": {"stores": {…}, "default": …}`, a spelling of the seeds (spec: stores §1.5).
fn apply_object_storage(
    state: &mut State,
    block: &Map<String, Json>,
    explicit: &[String],
    origin: &Origin,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if let Some(Json::Object(stores)) = block.get("stores") {
        for (name, spec) in stores {
            if explicit.contains(name) {
                warnings.push(format!(
                    "store `{name}` is in both `stores` and `object_storage`: `stores` wins"
                ));
            } else {
                state.set_store_path(name, spec.clone(), origin.clone())?;
            }
        }
    }
    if let Some(default) = block.get("default").or_else(|| block.get("default_store"))
        && !explicit.iter().any(|n| n == "default")
    {
        state.set_store_path("default", default.clone(), origin.clone())?;
    }
    Ok(())
}

fn apply_lode(
    state: &mut State,
    prefix: &str,
    block: &Map<String, Json>,
    origin: &Origin,
    warnings: &mut Vec<String>,
) -> Result<()> {
    for (name, value) in block {
        let key = format!("{prefix}.{name}");
        match value {
            Json::Object(inner) => apply_lode(state, &key, inner, origin, warnings)?,
            _ => {
                if keys::find(&key).is_none() && !key.starts_with("lode.stores.") {
                    let hint = did_you_mean(&key, Config::known_keys()).unwrap_or_default();
                    warnings.push(
                        format!("unknown setting `{key}` in {origin}. {hint}")
                            .trim_end()
                            .to_string(),
                    );
                }
                state.set(&key, value.clone(), origin.clone())?;
            }
        }
    }
    Ok(())
}

/// Secrets fill only what is unset.
fn apply_secrets(state: &mut State, directory: &Path, warnings: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        warnings.push(format!(
            "the secrets directory {} cannot be read",
            directory.display()
        ));
        return;
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.sort();
    for path in files {
        let Some(name) = path
            .file_name()
            .and_then(|n| n.to_str())
            .filter(|n| !n.starts_with('.'))
        else {
            continue;
        };
        let name = name.to_string();
        let store_attribute = name
            .strip_prefix("stores.")
            .and_then(|p| p.split_once('.'))
            .filter(|(n, a)| !n.is_empty() && !a.contains('.'));
        let unset = match (&store_attribute, name.as_str()) {
            (Some((store, attribute)), _) => !state
                .stores
                .get(*store)
                .is_some_and(|(spec, _)| spec.contains_key(*attribute)),
            (None, "database.user" | "database.password") => !state.values.contains_key(&name),
            _ => continue,
        };
        if !unset {
            continue;
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                if let Err(error) =
                    state.set(&name, json!(text.trim()), Origin::Secret(path.clone()))
                {
                    warnings.push(format!("{}: {error}", path.display()));
                }
            }
            Err(error) => warnings.push(format!(
                "the secret {} cannot be read: {error}",
                path.display()
            )),
        }
    }
}
