//! Objects to be written: the plan that encoding hands to the table layer.

use std::path::PathBuf;

use bytes::Bytes;

use super::PutStream;
use super::put_stream::Facts;
use crate::error::{Error, ErrorKind, Result};
use crate::value::Value;

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
    /// The size that the metadata already states. A source that turns out to have another size (a file that changed
    /// meanwhile) is an error, because the row would not describe its object.
    pub size: Option<u64>,
}

impl Put {
    /// A put of in-memory segments, whose size is known.
    pub fn segments(store: impl Into<String>, path: PutPath, segments: Vec<Bytes>) -> Self {
        let size = segments.iter().map(|s| s.len() as u64).sum();
        Put {
            store: store.into(),
            path,
            source: PutSource::Segments(segments),
            record_hash: None,
            size: Some(size),
        }
    }

    /// A put of a stream; `size` if it is known.
    pub fn stream(
        store: impl Into<String>,
        path: PutPath,
        stream: PutStream,
        size: Option<u64>,
    ) -> Self {
        Put {
            store: store.into(),
            path,
            source: PutSource::Stream(stream),
            record_hash: None,
            size,
        }
    }

    /// Asks the write to compute the content's hash, to be recorded under `key` (see [`record_write`]).
    pub fn recording_hash(mut self, key: &'static str) -> Self {
        self.record_hash = Some(key);
        self
    }
}

/// Records in the column's JSON what only the write could tell: the hash, under the key the [`Put`] asked for, and what
/// the end of a stream brought. The places that the codec left for it (`null`) are filled, so that the order of keys
/// stays as the codec chose it.
///
/// An error ([`crate::ErrorKind::Value`]) if the value is not a JSON object, or the store computed no hash.
pub fn record_write(value: &mut Value, put: &Put, hash: Option<&str>) -> Result<()> {
    let mut facts = match &put.source {
        PutSource::Stream(stream) => stream.facts(),
        _ => Facts::new(),
    };
    match (put.record_hash, hash) {
        (Some(key), Some(hash)) => facts.push((key, hash.into())),
        (Some(_), None) => {
            return Err(Error::invalid("the store computed no hash").path(put.path.as_str()));
        }
        (None, _) => {}
    }
    if facts.is_empty() {
        return Ok(());
    }
    let Value::Json(json) = &*value else {
        return Err(Error::new(
            ErrorKind::Value,
            format!(
                "what a write tells can only be recorded in JSON, not in {}",
                value.type_name()
            ),
        ));
    };
    let mut document = json.parse()?;
    let Some(map) = document.as_object_mut() else {
        return Err(Error::new(
            ErrorKind::Value,
            "what a write tells can only be recorded in a JSON object",
        ));
    };
    for (key, fact) in facts {
        map.insert(key.to_owned(), fact);
    }
    *value = Value::Json(document.into());
    Ok(())
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
    /// Blocks that come once. They are pulled on the thread that calls the store, one put after the other; a put that
    /// failed on the way cannot be tried again with the same stream.
    Stream(PutStream),
}
