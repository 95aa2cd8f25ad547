//! Writing configuration files (spec: stores §1.5).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::load::SECRETS_NAME;
use super::{Config, Origin, keys, stores};
use crate::error::{Error, ErrorKind, Result};

impl Config {
    /// Writes what differs from the defaults to a file, secrets left out. Replaces the file atomically.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = Map::new();
        for entry in self.entries() {
            if entry.origin == Origin::Default
                || Config::is_secret(&entry.key)
                || entry.key.starts_with("stores.")
            {
                continue;
            }
            insert_nested(&mut file, &entry.key, entry.value);
        }
        let mut block = self
            .get("stores")
            .and_then(|v| v.as_object().cloned())
            .unwrap_or_default();
        for spec in block.values_mut().filter_map(Json::as_object_mut) {
            spec.retain(|key, _| !stores::is_secret(key));
        }
        if !block.is_empty() {
            file.insert("stores".into(), Json::Object(block));
        }
        let directory = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut temporary =
            tempfile::NamedTempFile::new_in(directory).map_err(|e| Error::io("write", path, e))?;
        temporary
            .write_all(pretty(&Json::Object(file)).as_bytes())
            .map_err(|e| Error::io("write", path, e))?;
        temporary
            .persist(path)
            .map_err(|e| Error::io("write", path, e.error))?;
        Ok(())
    }

    /// Writes a template configuration file and, if asked, a secrets directory with placeholders.
    ///
    /// # Errors
    /// `FileExists` if the file is there already: a template never overwrites.
    pub fn save_template(path: &Path, minimal: bool, create_secrets: bool) -> Result<PathBuf> {
        let template = if minimal {
            json!({"database": {"host": "localhost", "port": 3306}})
        } else {
            full_template()
        };
        create_new(path, pretty(&template).as_bytes(), 0o644)?;
        if create_secrets {
            let directory = path.parent().unwrap_or(Path::new(".")).join(SECRETS_NAME);
            fs::create_dir_all(&directory).map_err(|e| Error::io("create", &directory, e))?;
            restrict(&directory, 0o700)?;
            for (name, content) in [
                ("database.user", "your_username"),
                ("database.password", "your_password"),
                (".gitignore", "*\n"),
            ] {
                let file = directory.join(name);
                if !file.exists() {
                    create_new(&file, content.as_bytes(), 0o600)?;
                }
            }
        }
        Ok(path.to_path_buf())
    }
}

fn full_template() -> Json {
    let mut template = Map::new();
    for key in keys::KEYS {
        let secret = Config::is_secret(key.name) || key.name == "database.user";
        if !secret && !key.name.starts_with("lode.") && !key.name.starts_with("jobs.") {
            let value = match key.name {
                "database.backend" => json!("sqlite"),
                _ => key.default_value(),
            };
            insert_nested(&mut template, key.name, value);
        }
    }
    template.insert(
        "stores".into(),
        json!({
            "default": "main",
            "main": {"protocol": "file", "location": "/data/my-project"},
            "raw_data": {
                "protocol": "s3", "endpoint": "s3.amazonaws.com", "bucket": "my-bucket", "location": "my-project/raw"
            }
        }),
    );
    Json::Object(template)
}

fn insert_nested(map: &mut Map<String, Json>, key: &str, value: Json) {
    match key.split_once('.') {
        None => {
            map.insert(key.to_string(), value);
        }
        Some((group, rest)) => {
            let entry = map.entry(group.to_string()).or_insert_with(|| json!({}));
            if let Some(inner) = entry.as_object_mut() {
                insert_nested(inner, rest, value);
            }
        }
    }
}

fn pretty(value: &Json) -> String {
    // A map of plain JSON values always serialises.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn create_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let mut file = fs::File::create_new(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Error::new(
            ErrorKind::FileExists,
            format!("{} exists already", path.display()),
        )
        .path(path.display().to_string())
        .hint("Remove it first, or choose another path."),
        _ => Error::io("create", path, e),
    })?;
    restrict(path, mode)?;
    file.write_all(content)
        .map_err(|e| Error::io("write", path, e))
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|e| Error::io("set permissions of", path, e))
}

#[cfg(not(unix))]
fn restrict(_path: &Path, _mode: u32) -> Result<()> {
    Ok(())
}
