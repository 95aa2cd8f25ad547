//! Codecs: a value and its stored form.
//!
//! Here: the [`Codec`] trait and the registry; `blob`, `hash`, `npy`, `attach`, `object`, `filepath`; the lazy
//! references [`NpyRef`] and [`ObjectRef`]. Not here: uploads and SQL. Encoding does **not** write to a store: it
//! returns the column value together with the [`Put`]s that must be durable before the row is committed (invariant 1);
//! `table/` executes them. Reading goes through the [`ObjectReader`] that `store/` implements.
//!
//! Spec: codecs.md.

mod array_stream;
mod attach;
pub mod blob;
mod byte_stream;
mod filepath;
mod hash;
mod manifest;
mod npy;
mod npy_part;
mod npy_ref;
mod npy_stack;
mod object;
mod object_ref;
mod origin;
pub(crate) mod parallel;
mod put;
mod put_stream;
mod reader;
mod registry;
mod select;
mod stream;

pub use array_stream::ArrayStream;
pub use attach::AttachCodec;
pub use blob::BlobCodec;
pub use byte_stream::{ByteSource, ByteStream};
pub use filepath::FilepathCodec;
pub use hash::{ContentHasher, HashCodec, content_hash};
pub use manifest::{Manifest, ManifestEntry, manifest_path, walk_folder};
pub use npy::NpyCodec;
pub use npy_part::RowBlocks;
pub use npy_ref::{MapMode, MapSource, NpyRef, load_all, read_all};
pub use npy_stack::read_stacked;
pub use object::{ObjectCodec, ObjectFacts};
pub use object_ref::{ObjectRef, OpenObject, WalkEntry};
pub use origin::Origin;
pub use put::{Put, PutPath, PutSource, record_write};
pub use put_stream::{Blocks, PutStream};
pub use reader::{ObjectHandle, ObjectMeta, ObjectReader, ReadSeek, StoreLink, Stores};
pub use registry::{Chain, Registry, parse_type_spec};
pub use select::Selection;

use std::sync::Arc;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Row, Value};

/// Where a value comes from or goes to.
#[derive(Debug, Clone, Copy)]
pub struct EncodeContext<'a> {
    /// Schema name.
    pub schema: &'a str,
    /// Stored table name, with tier prefix.
    pub table: &'a str,
    /// Attribute name.
    pub attribute: &'a str,
    /// The primary-key values of the row, in key order, as the caller gave them.
    pub key: &'a Row,
    /// The resolved store of the whole chain; none for in-row codecs.
    pub store: Option<&'a str>,
    /// The stores, for path building and for looking at existing objects.
    pub stores: &'a dyn Stores,
    /// The settings of the connection.
    pub config: &'a Config,
}

/// What decoding may use.
#[derive(Clone, Copy)]
pub struct DecodeContext<'a> {
    /// The stores.
    pub stores: &'a Arc<dyn Stores>,
    /// Where `<attach>` writes files (`download_path`).
    pub download_path: &'a std::path::Path,
    /// The settings of the connection.
    pub config: &'a Config,
    /// The row of the value, if it is known: lazy references name it in errors.
    pub origin: Option<&'a Origin>,
}

/// The result of encoding: the next value of the chain, and objects to be made durable before it is committed.
#[derive(Debug, Default)]
pub struct Encoded {
    /// Value for the next codec, or for the column.
    pub value: Value,
    /// Objects to write.
    pub puts: Vec<Put>,
}

impl From<Value> for Encoded {
    fn from(value: Value) -> Self {
        Encoded {
            value,
            puts: Vec::new(),
        }
    }
}

/// A named conversion between a value and its stored form (spec: codecs §1).
pub trait Codec: Send + Sync {
    /// Registry key.
    fn name(&self) -> &str;

    /// The next type in the chain: a core type (`bytes`, `json`, `varchar(40)`) or another codec (`<…>`).
    /// An error if the mode (with or without store) is not offered.
    fn dtype(&self, is_store: bool) -> Result<String>;

    /// Checks a value before anything is encoded or written. Called on the outermost codec only.
    fn validate(&self, _value: &Value) -> Result<()> {
        Ok(())
    }

    /// Encodes one value (never NULL).
    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded>;

    /// Decodes one stored value (never NULL).
    fn decode(&self, stored: Value, context: &DecodeContext<'_>) -> Result<Value>;

    /// Object paths that a stored value (JSON text or anything else) refers to: (path, store).
    /// Default: a JSON object's `path` and `store`.
    fn referenced_paths(&self, stored: &Value) -> Result<Vec<(String, Option<String>)>> {
        registry::default_referenced_paths(stored)
    }

    /// True if the codec is foreign code that must see the caller's own object, unconverted.
    fn wants_foreign(&self) -> bool {
        false
    }

    /// True for codecs whose objects live at schema-addressed paths (for garbage collection statistics).
    fn is_schema_addressed(&self) -> bool {
        false
    }

    /// True if an unnamed store means `stores.filepath_default` instead of `stores.default`.
    fn uses_filepath_default(&self) -> bool {
        false
    }

    /// True if a restriction should encode its operand (scalar-typed codecs that say so).
    fn restrictable(&self) -> bool {
        false
    }
}

/// The `dtype` of a codec that exists with a store only.
fn store_only(name: &str, is_store: bool) -> Result<String> {
    if is_store {
        return Ok("json".into());
    }
    Err(
        Error::invalid(format!("the codec <{name}> keeps its values in a store")).hint(format!(
            "Write <{name}@> for the default store, or <{name}@store>."
        )),
    )
}

/// The metadata object in a stored JSON value.
fn metadata_of(stored: &Value, codec: &str) -> Result<Metadata> {
    let text = match stored {
        Value::Json(json) => json.as_str(),
        Value::Text(text) => text.as_str(),
        other => {
            return Err(Error::new(
                ErrorKind::CorruptObject,
                format!(
                    "the stored value of <{codec}> is {}, not JSON metadata",
                    other.type_name()
                ),
            ));
        }
    };
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        _ => Err(Error::new(
            ErrorKind::CorruptObject,
            format!("the stored value of <{codec}> is no JSON object"),
        )),
    }
}

/// JSON metadata of an object, as a row holds it.
type Metadata = serde_json::Map<String, serde_json::Value>;

fn required_text<'a>(metadata: &'a Metadata, key: &str, codec: &str) -> Result<&'a str> {
    optional_text(metadata, key).ok_or_else(|| {
        Error::new(
            ErrorKind::CorruptObject,
            format!("the metadata of <{codec}> have no text under `{key}`"),
        )
    })
}

fn optional_text<'a>(metadata: &'a Metadata, key: &str) -> Option<&'a str> {
    metadata.get(key).and_then(|v| v.as_str())
}

/// Now, as Python's `datetime.now(timezone.utc).isoformat()` writes it.
pub(crate) fn timestamp_now() -> String {
    let now = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .datetime();
    format!("{}+00:00", now.strftime("%Y-%m-%dT%H:%M:%S%.6f"))
}

/// A plain value as JSON. An error ([`ErrorKind::Type`]) for what JSON cannot hold.
pub(crate) fn to_json(value: &Value) -> Result<serde_json::Value> {
    use serde_json::Value as J;
    Ok(match value {
        Value::Null => J::Null,
        Value::Bool(b) => J::Bool(*b),
        Value::Int(i) => J::from(*i),
        Value::Float(x) => J::from(*x),
        Value::Text(text) => J::String(text.clone()),
        Value::Json(json) => json.parse()?,
        Value::List(items) | Value::Tuple(items) => {
            J::Array(items.iter().map(to_json).collect::<Result<_>>()?)
        }
        Value::Map(entries) => {
            let mut map = serde_json::Map::new();
            for (key, item) in entries {
                let Value::Text(key) = key else {
                    return Err(Error::new(
                        ErrorKind::Type,
                        "the keys of a JSON object must be text",
                    ));
                };
                map.insert(key.clone(), to_json(item)?);
            }
            J::Object(map)
        }
        other => {
            return Err(Error::new(
                ErrorKind::Type,
                format!("JSON cannot hold a value of type {}", other.type_name()),
            ));
        }
    })
}

/// The error of an object that is not where its row says.
fn missing(store: &dyn ObjectHandle, path: &str) -> Error {
    Error::new(
        ErrorKind::MissingObject,
        format!("the object {path} is not in store `{}`", store.name()),
    )
    .store(store.name())
    .path(path)
}

/// Permissions that the umask then narrows, for files that are made as temporaries and renamed.
pub(crate) fn permissions(mode: u32) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(mode)
}
