//! What a configured store is: its keys, checked (spec: stores §2.1).

use std::sync::Arc;

use crate::config::check_protocol;
use crate::error::{Error, ErrorKind, Result, did_you_mean};

/// How a store is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Protocol {
    File,
    S3,
    Gcs,
    Azure,
    /// In this process's memory, for tests.
    Memory,
    /// By a plug-in, see [`adapter`](super::adapter).
    Plugin(Arc<str>),
}

impl Protocol {
    /// As configuration spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Protocol::File => "file",
            Protocol::S3 => "s3",
            Protocol::Gcs => "gcs",
            Protocol::Azure => "azure",
            Protocol::Memory => "memory",
            Protocol::Plugin(name) => name,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Protocol::File,
            Protocol::S3,
            Protocol::Gcs,
            Protocol::Azure,
            Protocol::Memory,
        ]
        .into_iter()
        .find(|p| p.as_str() == text)
    }

    fn required(&self) -> &'static [&'static str] {
        match self {
            Protocol::File => &["location"],
            Protocol::S3 => &["endpoint", "bucket", "location"],
            Protocol::Gcs => &["bucket", "location"],
            Protocol::Azure => &["container", "location"],
            Protocol::Memory | Protocol::Plugin(_) => &[],
        }
    }

    fn optional(&self) -> &'static [&'static str] {
        match self {
            Protocol::File => &[],
            Protocol::S3 => &["access_key", "secret_key", "secure", "proxy_server"],
            Protocol::Gcs => &["token", "project"],
            Protocol::Azure => &["account_name", "account_key", "connection_string"],
            Protocol::Memory => &["location"],
            Protocol::Plugin(_) => &[],
        }
    }
}

const COMMON: &[&str] = &[
    "protocol",
    "subfolding",
    "partition_pattern",
    "token_length",
    "hash_prefix",
    "schema_prefix",
    "filepath_prefix",
    "stage",
];

/// The section of a store that Lodestore keeps for itself: temporaries, identity, trash.
pub const OWN_SECTION: &str = "_lode";

/// A store's specification, checked and with defaults.
///
/// Connection keys of the cloud protocols stay in `connection`; they hold secrets and are not shown by `Debug`.
#[derive(Clone, PartialEq)]
pub struct StoreSpec {
    /// Store name.
    pub name: String,
    /// How it is reached.
    pub protocol: Protocol,
    /// Directory or key prefix, verbatim.
    pub location: String,
    /// Lengths of the folds of hash paths.
    pub subfolding: Vec<usize>,
    /// Attributes that move to the front of schema-addressed paths: those named in braces.
    pub partition: Vec<String>,
    /// Characters of a random token.
    pub token_length: usize,
    /// Section of hash-addressed objects, without slashes at its ends; may be empty.
    pub hash_prefix: String,
    /// Section of schema-addressed objects, likewise.
    pub schema_prefix: String,
    /// Section that `<filepath>` values must lie in, if set.
    pub filepath_prefix: Option<String>,
    /// Keys that only the protocol's own connection needs (endpoint, bucket, credentials).
    pub connection: serde_json::Map<String, serde_json::Value>,
}

impl std::fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSpec")
            .field("name", &self.name)
            .field("protocol", &self.protocol.as_str())
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl StoreSpec {
    /// A file store at a directory, with defaults for everything else.
    pub fn file(name: impl Into<String>, location: impl Into<String>) -> Self {
        StoreSpec {
            name: name.into(),
            protocol: Protocol::File,
            location: location.into(),
            subfolding: Vec::new(),
            partition: Vec::new(),
            token_length: 8,
            hash_prefix: "_hash".into(),
            schema_prefix: "_schema".into(),
            filepath_prefix: None,
            connection: serde_json::Map::new(),
        }
    }

    /// A store in memory, for tests.
    pub fn memory(name: impl Into<String>) -> Self {
        StoreSpec {
            protocol: Protocol::Memory,
            ..Self::file(name, "")
        }
    }

    /// Reads a configured specification. Errors ([`ErrorKind::Config`]) name the store and the key.
    pub fn from_json(
        name: &str,
        keys: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self> {
        let reader = Reader { name, keys };
        let protocol = reader.protocol()?;
        // A plug-in knows its own keys, and gets all of them.
        let is_plugin = matches!(protocol, Protocol::Plugin(_));
        if !is_plugin {
            reader.check_keys(&protocol)?;
        }
        let mut spec = StoreSpec {
            protocol,
            ..Self::file(name, reader.text("location")?.unwrap_or_default())
        };
        spec.subfolding = reader.subfolding()?;
        spec.token_length = reader.token_length()?;
        spec.partition = reader
            .text("partition_pattern")?
            .map(|p| pattern_names(&p))
            .unwrap_or_default();
        if let Some(prefix) = reader.prefix("hash_prefix")? {
            spec.hash_prefix = prefix;
        }
        if let Some(prefix) = reader.prefix("schema_prefix")? {
            spec.schema_prefix = prefix;
        }
        spec.filepath_prefix = reader.prefix("filepath_prefix")?.filter(|p| !p.is_empty());
        spec.check_prefixes()?;
        spec.connection = keys
            .iter()
            .filter(|(k, _)| is_plugin || !COMMON.contains(&k.as_str()) && *k != "location")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        Ok(spec)
    }

    /// Where the store is, for people: never with a secret.
    pub fn place(&self) -> String {
        let text = |key: &str| {
            self.connection
                .get(key)
                .and_then(|v| v.as_str())
                .unwrap_or("")
        };
        let cloud = |scheme: &str, bucket: &str| match self.location.as_str() {
            "" => format!("{scheme}://{bucket}"),
            location => format!("{scheme}://{bucket}/{location}"),
        };
        match &self.protocol {
            Protocol::File => self.location.clone(),
            Protocol::Memory => "this process".to_owned(),
            Protocol::S3 => format!(
                "{} at {}",
                cloud("s3", text("bucket")),
                without_login(text("endpoint"))
            ),
            Protocol::Gcs => cloud("gs", text("bucket")),
            Protocol::Azure => cloud("az", text("container")),
            Protocol::Plugin(name) => format!("{name}://{}", self.location),
        }
    }

    fn check_prefixes(&self) -> Result<()> {
        let mut sections = vec![
            ("hash_prefix", self.hash_prefix.as_str()),
            ("schema_prefix", &self.schema_prefix),
        ];
        sections.extend(
            self.filepath_prefix
                .as_deref()
                .map(|p| ("filepath_prefix", p)),
        );
        sections.retain(|(_, p)| !p.is_empty());
        sections.push(("the reserved section", OWN_SECTION));
        for (i, (a_name, a)) in sections.iter().enumerate() {
            for (b_name, b) in &sections[i + 1..] {
                if within(a, b) || within(b, a) {
                    return Err(Error::new(
                        ErrorKind::Config,
                        format!("the sections of store `{}` overlap: {a_name} is `{a}`, {b_name} is `{b}`", self.name),
                    )
                    .store(&self.name)
                    .hint("Give each section a folder of its own."));
                }
            }
        }
        Ok(())
    }
}

/// An endpoint without what some write into it to log in.
fn without_login(endpoint: &str) -> String {
    let address = endpoint.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}{host}")
}

/// True if `path` is `section` or lies below it.
pub(super) fn within(path: &str, section: &str) -> bool {
    path.strip_prefix(section)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

struct Reader<'a> {
    name: &'a str,
    keys: &'a serde_json::Map<String, serde_json::Value>,
}

impl Reader<'_> {
    fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new(
            ErrorKind::Config,
            format!("store `{}`: {message}", self.name),
        )
        .store(self.name)
    }

    fn protocol(&self) -> Result<Protocol> {
        let Some(text) = self.text("protocol")? else {
            return Err(self
                .error("the key `protocol` is missing")
                .hint("Known protocols: file, s3, gcs, azure."));
        };
        let name = text.to_lowercase();
        if let Some(known) = Protocol::parse(&name) {
            return Ok(known);
        }
        if check_protocol(&name, self.name, self.keys)? {
            return Ok(Protocol::Plugin(name.into()));
        }
        let error = self.error(format!("the protocol `{text}` is unknown"));
        Err(match did_you_mean(&text, ["file", "s3", "gcs", "azure"]) {
            Some(hint) => error.hint(hint),
            None => error.hint("Known protocols: file, s3, gcs, azure, and those of installed plug-ins (in Python)."),
        })
    }

    fn check_keys(&self, protocol: &Protocol) -> Result<()> {
        let allowed = || {
            COMMON
                .iter()
                .chain(protocol.required())
                .chain(protocol.optional())
                .copied()
        };
        let mut problems = Vec::new();
        let mut hints = Vec::new();
        for key in protocol.required() {
            if self.keys.get(*key).is_none_or(serde_json::Value::is_null) {
                problems.push(format!("the key `{key}` is missing"));
            }
        }
        for key in self.keys.keys() {
            if !allowed().any(|a| a == key) {
                problems.push(format!(
                    "the key `{key}` is unknown for protocol `{}`",
                    protocol.as_str()
                ));
                hints.extend(did_you_mean(key, allowed()));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let error = self.error(problems.join("; "));
        Err(if hints.is_empty() {
            error
        } else {
            error.hint(hints.join(" "))
        })
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        match self.keys.get(key) {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.error(format!("`{key}` must be text, not {other}"))),
        }
    }

    fn prefix(&self, key: &str) -> Result<Option<String>> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let prefix = text.trim_matches('/').to_owned();
        if prefix.split('/').any(|p| p == ".." || p == ".") || prefix.contains('\0') {
            return Err(self.error(format!("`{key}` is no plain path: `{text}`")));
        }
        Ok(Some(prefix))
    }

    fn subfolding(&self) -> Result<Vec<usize>> {
        let wrong = || {
            self.error(
                "`subfolding` must be a list of positive whole numbers whose sum is at most 26",
            )
        };
        let items = match self.keys.get("subfolding") {
            None | Some(serde_json::Value::Null) => return Ok(Vec::new()),
            Some(serde_json::Value::Array(items)) => items,
            Some(_) => return Err(wrong()),
        };
        let mut folds = Vec::with_capacity(items.len());
        for item in items {
            match item.as_u64() {
                Some(n @ 1..=26) => folds.push(n as usize),
                _ => return Err(wrong()),
            }
        }
        if folds.iter().sum::<usize>() > 26 {
            return Err(wrong());
        }
        Ok(folds)
    }

    fn token_length(&self) -> Result<usize> {
        match self.keys.get("token_length") {
            None | Some(serde_json::Value::Null) => Ok(8),
            Some(value) => match value.as_u64() {
                Some(n @ 4..=16) => Ok(n as usize),
                _ => Err(self.error(format!(
                    "`token_length` must be a whole number from 4 to 16, not {value}"
                ))),
            },
        }
    }
}

/// The names in braces: `{name}`, where a name is letters, digits and underscores. Anything else has no effect.
fn pattern_names(pattern: &str) -> Vec<String> {
    let mut names = Vec::new();
    for piece in pattern.split('{').skip(1) {
        if let Some((name, _)) = piece.split_once('}')
            && !name.is_empty()
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn spec(json: serde_json::Value) -> Result<StoreSpec> {
        StoreSpec::from_json("main", json.as_object().unwrap())
    }

    fn refusal(json: serde_json::Value) -> String {
        spec(json).unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_applied_and_null_means_default() {
        let s = spec(serde_json::json!({"protocol": "file", "location": "", "hash_prefix": null, "stage": "x"})).unwrap();
        assert_eq!(
            (&*s.hash_prefix, &*s.schema_prefix, s.token_length),
            ("_hash", "_schema", 8)
        );
        let s = spec(serde_json::json!({"protocol": "file", "location": "/d", "hash_prefix": "/h2/", "schema_prefix": "",
            "subfolding": [2, 2], "partition_pattern": "x/{k_date}-{k_str}/{}/plain", "token_length": 4,
            "filepath_prefix": "raw/"}))
        .unwrap();
        assert_eq!(
            (
                &*s.hash_prefix,
                &*s.schema_prefix,
                s.filepath_prefix.as_deref()
            ),
            ("h2", "", Some("raw"))
        );
        assert_eq!(
            (s.subfolding, s.partition, s.token_length),
            (vec![2, 2], vec!["k_date".into(), "k_str".into()], 4)
        );
    }

    #[test]
    fn cloud_keys_are_kept_but_not_shown() {
        let s = spec(
            serde_json::json!({"protocol": "s3", "endpoint": "e", "bucket": "b", "location": "l",
            "secret_key": "hush"}),
        )
        .unwrap();
        assert_eq!(s.connection["secret_key"], "hush");
        assert!(!format!("{s:?}").contains("hush"));
    }

    #[test]
    fn wrong_specifications_say_what_is_wrong() {
        insta::assert_snapshot!(refusal(serde_json::json!({"protocol": "file", "locaton": "/d"})), @r"
        store `main`: the key `location` is missing; the key `locaton` is unknown for protocol `file`
        Did you mean `location`?
        ");
        insta::assert_snapshot!(refusal(serde_json::json!({"location": "/d"})), @r"
        store `main`: the key `protocol` is missing
        Known protocols: file, s3, gcs, azure.
        ");
        insta::assert_snapshot!(refusal(serde_json::json!({"protocol": "fil", "location": "/d"})), @r"
        store `main`: the protocol `fil` is unknown
        Did you mean `file`?
        ");
        insta::assert_snapshot!(refusal(serde_json::json!({"protocol": "file", "location": "/d", "hash_prefix": "a", "schema_prefix": "a/b"})), @r"
        the sections of store `main` overlap: hash_prefix is `a`, schema_prefix is `a/b`
        Give each section a folder of its own.
        ");
        for (key, bad) in [
            ("subfolding", serde_json::json!([0])),
            ("subfolding", serde_json::json!([20, 7])),
            ("subfolding", serde_json::json!("2")),
            ("token_length", serde_json::json!(3)),
            ("token_length", serde_json::json!("8")),
            ("hash_prefix", serde_json::json!("../up")),
            ("filepath_prefix", serde_json::json!("_lode/x")),
            ("location", serde_json::json!(5)),
        ] {
            let mut json = serde_json::json!({"protocol": "file", "location": "/d"});
            json[key] = bad.clone();
            assert!(spec(json).is_err(), "{key} = {bad}");
        }
        // Neighbours by name are not nested.
        assert!(spec(serde_json::json!({"protocol": "file", "location": "/d", "hash_prefix": "a", "schema_prefix": "ab"})).is_ok());
    }
}
