//! Objects to be written: the plan that encoding hands to the table layer.

use std::path::PathBuf;

use bytes::Bytes;

/// One object to be made durable before the row that names it is committed.
#[derive(Debug, Clone)]
pub struct Put {
    /// Store name, resolved.
    pub store: String,
    /// Where to.
    pub path: PutPath,
    /// What.
    pub source: PutSource,
    /// If set, the store's write computes the MD5 (lower-case base32) of the content and the table layer records it
    /// under this key of the column's JSON, so that large content is read once only.
    pub record_hash: Option<&'static str>,
}

/// The path of an object within its store, and whether an existing object there may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutPath {
    /// Content-addressed: an existing object of the same size is a hit and is kept.
    Hash(String),
    /// Schema-addressed with a random token: must not exist.
    Fresh(String),
}

impl PutPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        match self {
            PutPath::Hash(p) | PutPath::Fresh(p) => p,
        }
    }
}

/// The content of an object.
#[derive(Debug, Clone)]
pub enum PutSource {
    /// Segments written one after the other; usually a small header and borrowed array memory.
    Segments(Vec<Bytes>),
    /// A local file.
    File(PathBuf),
    /// A local folder: the files below it, and a manifest beside it, written last.
    Folder(PathBuf),
}
