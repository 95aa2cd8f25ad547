//! `ObjectRef`: a file or folder in a store, known by its metadata and read when needed (spec: codecs §10, §11).

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{ReadSeek, StoreLink};
use crate::error::{Error, Result};
use crate::value::Foreign;

/// One folder of [`ObjectRef::walk`]: its path below the object (`""` for the object itself), folders, files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkEntry {
    /// Path below the object.
    pub dir: String,
    /// Names of folders in it.
    pub dirs: Vec<String>,
    /// Names of files in it.
    pub files: Vec<String>,
}

/// A lazy reference to a file or folder in a store.
#[derive(Debug, Clone)]
pub struct ObjectRef {
    /// Path in the store.
    pub path: String,
    /// Bytes; none for a folder given by `<filepath@>`.
    pub size: Option<u64>,
    /// Content hash (lower-case base32 MD5), if recorded.
    pub hash: Option<String>,
    /// Extension as given.
    pub ext: Option<String>,
    /// Folder.
    pub is_dir: bool,
    /// When it was stored, as text (ISO 8601); none if not recorded.
    pub timestamp: Option<String>,
    /// URL, if recorded.
    pub url: Option<String>,
    /// Store, as the metadata name it.
    pub store: Option<String>,
    /// MIME type, if recorded.
    pub mime_type: Option<String>,
    /// Number of files of a folder.
    pub item_count: Option<u64>,
    /// How the store is reached.
    pub link: StoreLink,
}

impl ObjectRef {
    /// From a JSON object; `path` and `size` are required ([`crate::ErrorKind::UnknownKey`]).
    pub fn from_json(_data: &serde_json::Value, _link: StoreLink) -> Result<Self> {
        Err(Error::unsupported("being written"))
    }

    /// `path, size, hash, ext, is_dir, timestamp` always; `url`, `store`, `mime_type`, `item_count` if set.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Full path: `location/path`, or `bucket/location/path`.
    pub fn full_path(&self) -> Result<String> {
        Err(Error::unsupported("being written"))
    }

    /// URL: as recorded, else made from the store.
    pub fn url(&self) -> Result<String> {
        Err(Error::unsupported("being written"))
    }

    /// The content of a file, checked against the recorded hash and size.
    pub fn read(&self) -> Result<Bytes> {
        Err(Error::unsupported("being written"))
    }

    /// The content of one file of a folder, or of the file itself with `None`.
    pub fn read_sub(&self, _subpath: Option<&str>) -> Result<Bytes> {
        Err(Error::unsupported("being written"))
    }

    /// A reader over the file, or over one file of the folder.
    pub fn open(&self, _subpath: Option<&str>) -> Result<Box<dyn ReadSeek>> {
        Err(Error::unsupported("being written"))
    }

    /// Base names in the folder: (name, is folder), sorted.
    pub fn listdir(&self, _subpath: &str) -> Result<Vec<(String, bool)>> {
        Err(Error::unsupported("being written"))
    }

    /// Every folder below, top down.
    pub fn walk(&self) -> Result<Vec<WalkEntry>> {
        Err(Error::unsupported("being written"))
    }

    /// Copies to the local disk; existing files are replaced atomically. Returns what the reference returns: the file's
    /// path, or `destination` for a folder (which lands in `destination/<base name>/`; with `flat`, in `destination`).
    pub fn download(
        &self,
        _destination: &Path,
        _subpath: Option<&str>,
        _flat: bool,
    ) -> Result<PathBuf> {
        Err(Error::unsupported("being written"))
    }

    /// True if the object (or `subpath` in it) is there.
    pub fn exists(&self, _subpath: Option<&str>) -> Result<bool> {
        Err(Error::unsupported("being written"))
    }

    /// Compares the object with its metadata: hash and size; for a folder its manifest, file by file (or, without one,
    /// count and size). [`crate::ErrorKind::CorruptObject`] or [`crate::ErrorKind::MissingObject`] if they differ.
    pub fn verify(&self) -> Result<()> {
        Err(Error::unsupported("being written"))
    }
}

impl Foreign for ObjectRef {
    fn type_name(&self) -> String {
        "ObjectRef".into()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
