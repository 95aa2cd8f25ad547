//! The table of known settings: key, type, default, environment variable (spec: stores §1.3, §1.4).

use serde_json::{Value as Json, json};

use crate::error::{Error, ErrorKind, Result};

/// The type of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Str,
    OptStr,
    Secret,
    Int {
        min: i64,
        max: i64,
    },
    OptInt {
        min: i64,
        max: i64,
    },
    Float,
    Bool,
    OptBool,
    /// `true`, `false`, null or a table of TLS options.
    Tls,
    Choice(&'static [&'static str]),
    OptChoice(&'static [&'static str]),
    Object,
}

/// A known setting.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    /// Environment variable, and whether it beats the file.
    pub env: Option<(&'static str, Guard)>,
}

/// Whether an environment variable beats `datajoint.json` (spec: stores §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    Guarded,
    Unguarded,
}
use Guard::{Guarded, Unguarded};

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    env: Option<(&'static str, Guard)>,
) -> Key {
    Key {
        name,
        kind,
        default,
        env,
    }
}

const ANY: (i64, i64) = (i64::MIN, i64::MAX);
const PORT: Kind = Kind::OptInt { min: 1, max: 65535 };
const NATURAL: Kind = Kind::Int { min: 0, max: ANY.1 };

/// Defaults are JSON texts. Some defaults are computed (see `Config::get`).
pub(super) const KEYS: &[Key] = &[
    key(
        "database.host",
        Kind::Str,
        "\"localhost\"",
        Some(("DJ_HOST", Guarded)),
    ),
    key(
        "database.user",
        Kind::OptStr,
        "null",
        Some(("DJ_USER", Guarded)),
    ),
    key(
        "database.password",
        Kind::Secret,
        "null",
        Some(("DJ_PASS", Guarded)),
    ),
    key(
        "database.name",
        Kind::OptStr,
        "null",
        Some(("DJ_DATABASE_NAME", Guarded)),
    ),
    key(
        "database.backend",
        Kind::Choice(&["sqlite", "postgresql", "mysql"]),
        "null",
        Some(("DJ_BACKEND", Guarded)),
    ),
    key("database.port", PORT, "null", Some(("DJ_PORT", Guarded))),
    key(
        "database.reconnect",
        Kind::Bool,
        "true",
        Some(("DJ_RECONNECT", Unguarded)),
    ),
    key(
        "database.use_tls",
        Kind::Tls,
        "null",
        Some(("DJ_USE_TLS", Unguarded)),
    ),
    key(
        "database.create_tables",
        Kind::Bool,
        "true",
        Some(("DJ_CREATE_TABLES", Guarded)),
    ),
    key(
        "database.database_prefix",
        Kind::Str,
        "\"\"",
        Some(("DJ_DATABASE_PREFIX", Guarded)),
    ),
    key("connection.charset", Kind::Str, "\"\"", None),
    key("display.limit", NATURAL, "12", None),
    key(
        "display.width",
        Kind::Int { min: 1, max: ANY.1 },
        "14",
        None,
    ),
    key("display.show_tuple_count", Kind::Bool, "true", None),
    key(
        "display.diagram_direction",
        Kind::Choice(&["TB", "LR"]),
        "\"LR\"",
        Some(("DJ_DIAGRAM_DIRECTION", Guarded)),
    ),
    key(
        "display.diagram_theme",
        Kind::Choice(&["light", "dark", "auto"]),
        "\"auto\"",
        Some(("DJ_DIAGRAM_THEME", Guarded)),
    ),
    key(
        "jobs.auto_refresh",
        Kind::Bool,
        "true",
        Some(("DJ_JOBS_AUTO_REFRESH", Unguarded)),
    ),
    key(
        "jobs.keep_completed",
        Kind::Bool,
        "false",
        Some(("DJ_JOBS_KEEP_COMPLETED", Unguarded)),
    ),
    key(
        "jobs.stale_timeout",
        NATURAL,
        "3600",
        Some(("DJ_JOBS_STALE_TIMEOUT", Unguarded)),
    ),
    key(
        "jobs.default_priority",
        Kind::Int { min: 0, max: 255 },
        "5",
        Some(("DJ_JOBS_DEFAULT_PRIORITY", Unguarded)),
    ),
    key(
        "jobs.version_method",
        Kind::OptChoice(&["git", "none"]),
        "null",
        Some(("DJ_JOBS_VERSION_METHOD", Unguarded)),
    ),
    key(
        "jobs.allow_new_pk_fields_in_computed_tables",
        Kind::Bool,
        "false",
        Some(("DJ_JOBS_ALLOW_NEW_PK_FIELDS_IN_COMPUTED_TABLES", Unguarded)),
    ),
    key(
        "jobs.add_job_metadata",
        Kind::Bool,
        "false",
        Some(("DJ_JOBS_ADD_JOB_METADATA", Unguarded)),
    ),
    key(
        "provenance.capture",
        Kind::Bool,
        "false",
        Some(("DJ_PROVENANCE_CAPTURE", Unguarded)),
    ),
    key(
        "provenance.source",
        Kind::Object,
        "{}",
        Some(("DJ_PROVENANCE_SOURCE", Unguarded)),
    ),
    key(
        "loglevel",
        Kind::Choice(&["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        "\"INFO\"",
        Some(("DJ_LOG_LEVEL", Guarded)),
    ),
    key(
        "safemode",
        Kind::Bool,
        "true",
        Some(("DJ_SAFEMODE", Unguarded)),
    ),
    key(
        "ignore_config_file",
        Kind::Bool,
        "false",
        Some(("DJ_IGNORE_CONFIG_FILE", Guarded)),
    ),
    key(
        "query_cache",
        Kind::OptStr,
        "null",
        Some(("DJ_QUERY_CACHE", Unguarded)),
    ),
    key(
        "download_path",
        Kind::Str,
        "\".\"",
        Some(("DJ_DOWNLOAD_PATH", Unguarded)),
    ),
    // Lodestore's own settings.
    key(
        "lode.fsync",
        Kind::Bool,
        "true",
        Some(("LODE_FSYNC", Guarded)),
    ),
    key(
        "lode.verify",
        Kind::Bool,
        "true",
        Some(("LODE_VERIFY", Guarded)),
    ),
    key(
        "lode.create_locations",
        Kind::OptBool,
        "null",
        Some(("LODE_CREATE_LOCATIONS", Guarded)),
    ),
    key(
        "lode.objects_on_delete",
        Kind::Choice(&["deferred", "immediate"]),
        "\"deferred\"",
        Some(("LODE_OBJECTS_ON_DELETE", Guarded)),
    ),
    key(
        "lode.busy_timeout",
        Kind::Float,
        "30",
        Some(("LODE_BUSY_TIMEOUT", Guarded)),
    ),
    key(
        "lode.connect_timeout",
        Kind::Float,
        "10",
        Some(("LODE_CONNECT_TIMEOUT", Guarded)),
    ),
    key(
        "lode.workers",
        Kind::Int { min: 1, max: 1024 },
        "32",
        Some(("LODE_WORKERS", Guarded)),
    ),
    key(
        "lode.bytes_in_flight",
        Kind::Int { min: 1, max: ANY.1 },
        "536870912",
        Some(("LODE_BYTES_IN_FLIGHT", Guarded)),
    ),
    key(
        "lode.requests_in_flight",
        Kind::Int { min: 1, max: 1024 },
        "32",
        Some(("LODE_REQUESTS_IN_FLIGHT", Guarded)),
    ),
    key(
        "lode.multipart_size",
        Kind::Int {
            // The least that S3 takes.
            min: 5 << 20,
            max: 1 << 30,
        },
        "16777216",
        Some(("LODE_MULTIPART_SIZE", Guarded)),
    ),
    key(
        "lode.gc.grace",
        Kind::Float,
        "0",
        Some(("LODE_GC_GRACE", Guarded)),
    ),
];

/// Keys that appear in old documentation: accepted in files, and ignored.
pub(super) const IGNORED: &[&str] = &[
    "cache",
    "enable_python_native_blobs",
    "fetch_format",
    "connection.init_function",
];

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.name == name)
}

/// True if `name` is a group such as `database`.
pub(super) fn is_group(name: &str) -> bool {
    KEYS.iter().any(|k| {
        k.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

impl Key {
    pub(super) fn default_value(&self) -> Json {
        serde_json::from_str(self.default).unwrap_or(Json::Null)
    }

    /// Coerces and validates: `"77"` → 77, `"no"` → false.
    pub(super) fn coerce(&self, value: Json) -> Result<Json> {
        let wrong = |expected: &str| {
            let shown = if self.kind == Kind::Secret {
                "the value".to_string()
            } else {
                value.to_string()
            };
            Error::new(
                ErrorKind::Value,
                format!("setting `{}`: {shown} is not {expected}", self.name),
            )
        };
        match self.kind {
            Kind::Str if value.is_string() => Ok(value),
            Kind::Str => Err(wrong("a text")),
            Kind::OptStr | Kind::Secret if value.is_string() || value.is_null() => Ok(value),
            Kind::OptStr | Kind::Secret => Err(wrong("a text or null")),
            Kind::OptInt { .. } | Kind::OptBool | Kind::OptChoice(_) | Kind::Tls
                if is_null(&value) =>
            {
                Ok(Json::Null)
            }
            Kind::Int { min, max } | Kind::OptInt { min, max } => match as_int(&value) {
                Some(n) if (min..=max).contains(&n) => Ok(json!(n)),
                Some(_) => Err(wrong(&format!("between {min} and {max}"))),
                None => Err(wrong("an integer")),
            },
            Kind::Float => match value
                .as_f64()
                .or_else(|| value.as_str()?.trim().parse().ok())
            {
                Some(x) if x.is_finite() && x >= 0.0 => Ok(json!(x)),
                _ => Err(wrong("a number of at least zero")),
            },
            Kind::Bool | Kind::OptBool => as_bool(&value)
                .map(Json::Bool)
                .ok_or_else(|| wrong("a truth value")),
            Kind::Tls => match &value {
                Json::Object(_) => Ok(value),
                other => as_bool(other)
                    .map(Json::Bool)
                    .ok_or_else(|| wrong("a truth value or a table of options")),
            },
            Kind::Choice(options) | Kind::OptChoice(options) => match value.as_str() {
                Some(s) if options.contains(&s) => Ok(value),
                _ => Err(wrong(&format!("one of {}", options.join(", ")))),
            },
            Kind::Object => match &value {
                Json::Object(_) => Ok(value),
                Json::String(text) => serde_json::from_str::<serde_json::Map<String, Json>>(text)
                    .map(Json::Object)
                    .map_err(|_| wrong("a JSON object")),
                _ => Err(wrong("a table")),
            },
        }
    }
}

fn is_null(value: &Json) -> bool {
    value.is_null()
        || matches!(
            value.as_str().map(str::to_lowercase).as_deref(),
            Some("none" | "null" | "")
        )
}

fn as_int(value: &Json) -> Option<i64> {
    match value {
        Json::Number(n) => n
            .as_i64()
            .or_else(|| n.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64)),
        Json::String(s) => s.trim().parse().ok(),
        _ => None,
    }
}

fn as_bool(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(b) => Some(*b),
        Json::Number(n) => match n.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        Json::String(s) => match s.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" | "t" => Some(true),
            "false" | "0" | "no" | "n" | "off" | "f" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
