//! Codecs: a value and its stored form.
//!
//! Here: the [`Codec`] trait and the registry; `blob`, `hash`, `npy`, `attach`, `object`, `filepath`; the lazy
//! references [`NpyRef`] and [`ObjectRef`]. Not here: uploads and SQL. Encoding does **not** write to a store: it
//! returns the column value together with the [`Put`]s that must be durable before the row is committed (invariant 1);
//! `table/` executes them. Reading goes through the [`ObjectReader`] that `store/` implements.
//!
//! Spec: codecs.md.

mod put;
mod reader;
mod registry;

pub use put::{Put, PutPath, PutSource};
pub use reader::{ObjectHandle, ObjectMeta, ObjectReader, Stores};
pub use registry::{Chain, Registry};

use std::sync::Arc;

use crate::error::Result;
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
}

/// What decoding may use.
#[derive(Clone, Copy)]
pub struct DecodeContext<'a> {
    /// The stores.
    pub stores: &'a Arc<dyn Stores>,
    /// Where `<attach>` writes files (`download_path`).
    pub download_path: &'a std::path::Path,
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
        Encoded { value, puts: Vec::new() }
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

    /// True if a restriction should encode its operand (scalar-typed codecs that say so).
    fn restrictable(&self) -> bool {
        false
    }
}
