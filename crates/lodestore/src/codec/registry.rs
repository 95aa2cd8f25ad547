//! Codecs by name, and chains of codecs.

use std::sync::Arc;

use super::Codec;
use crate::error::Result;
use crate::value::Value;

/// A column type resolved through its codecs (spec: codecs §1 "Resolution").
#[derive(Clone)]
pub struct Chain {
    /// Codecs, outermost first; empty for a core or native type.
    pub codecs: Vec<Arc<dyn Codec>>,
    /// The final type text (`bytes`, `json`, `varchar(32)`).
    pub dtype: String,
    /// The effective store as written: none without `@`, `""` for the default.
    pub store: Option<String>,
}

/// Codecs by name. One per process for the front doors ([`Registry::global`]); tests make their own.
pub struct Registry {}

pub(super) fn default_referenced_paths(_stored: &Value) -> Result<Vec<(String, Option<String>)>> {
    Ok(Vec::new())
}
