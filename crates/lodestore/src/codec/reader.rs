//! What codecs and lazy references need of a store. Implemented by `store/`.

use std::fmt;
use std::io::{Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::parallel;
use crate::error::{Error, Result};
use crate::value::Row;

/// Size and kind of something in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectMeta {
    /// Path relative to the store's location.
    pub path: String,
    /// Bytes; for a folder the sum over its files.
    pub size: u64,
    /// True for a folder.
    pub is_dir: bool,
    /// Seconds since the epoch, the newer of modification and status change where the store has both.
    pub modified: Option<f64>,
}

/// A seekable reader.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// Reading from one store. Paths are relative to the store's location, `/`-separated, and checked: an
/// implementation refuses absolute paths and `..` unless `path` came from a row and policy allows it.
pub trait ObjectReader: Send + Sync + fmt::Debug {
    /// Store name.
    fn name(&self) -> &str;
    /// Protocol (`file`, `memory`, `s3`, …).
    fn protocol(&self) -> &str;
    /// Metadata, or none if nothing is there. A folder is anything with objects below it.
    fn head(&self, path: &str) -> Result<Option<ObjectMeta>>;
    /// Which of the paths are there, as objects or folders.
    fn exist_many(&self, paths: &[&str]) -> Result<Vec<bool>> {
        let looked = paths.iter().map(|path| Ok(self.head(path)?.is_some()));
        looked.collect()
    }
    /// The whole object; [`crate::ErrorKind::MissingObject`] if absent.
    fn read(&self, path: &str) -> Result<Bytes>;
    /// Many whole objects at once, in order. The caller bounds what it asks for.
    fn read_many(&self, paths: &[&str]) -> Vec<Result<Bytes>> {
        let read = |i: usize| Ok(self.read(paths[i]));
        match parallel::run(paths.len(), self.requests(), read) {
            Ok(contents) => contents,
            Err(e) => paths.iter().map(|_| Err(e.clone())).collect(),
        }
    }
    /// How many reads are worth having under way at once.
    fn requests(&self) -> usize {
        2 * parallel::cores()
    }
    /// A range of bytes, cut at the end of the object.
    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes>;
    /// Several ranges of one object, each cut at its end; in order. A store that can asks for them at once.
    fn read_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let ranges = ranges.iter();
        ranges.map(|r| self.read_range(path, r.clone())).collect()
    }
    /// Fills memory with the start of an object, one buffer after the other, as far as the object goes. Returns the
    /// object's size.
    fn read_into(&self, path: &str, rooms: &mut [&mut [u8]]) -> Result<u64> {
        let content = self.read(path)?;
        let mut rest = &content[..];
        for room in rooms {
            let (part, after) = rest.split_at(room.len().min(rest.len()));
            room[..part.len()].copy_from_slice(part);
            rest = after;
        }
        Ok(content.len() as u64)
    }
    /// How many bytes cost as much as one more range: a gap that is smaller is better read over.
    fn range_gap(&self) -> u64 {
        64 << 10
    }
    /// A seekable reader over a file.
    fn open(&self, path: &str) -> Result<Box<dyn ReadSeek>>;
    /// Every file below a folder, recursively, with paths relative to the store's location, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>>;
    /// Shows every file below a folder, as [`ObjectReader::list`] does, one after the other and in no order: a store that
    /// can keeps only some of them in memory. Ends at the first error of `each`.
    fn visit(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta) -> Result<()>) -> Result<()> {
        self.list(prefix)?.into_iter().try_for_each(each)
    }
    /// Base names directly below a folder: (name, is_dir), sorted.
    fn list_dir(&self, prefix: &str) -> Result<Vec<(String, bool)>>;
    /// The object's own file, where the store is a local directory (for memory maps).
    fn local_path(&self, path: &str) -> Option<PathBuf>;
    /// Full path: `location/path` for files, `bucket/location/path` for clouds.
    fn full_path(&self, path: &str) -> String;
    /// URL: `file:///…`, `s3://…`.
    fn url(&self, path: &str) -> String;
    /// True if this process has already seen the content of this very object match `hash`, and the object is known
    /// not to have changed since. Lets whole reads skip a second hashing.
    fn is_verified(&self, _path: &str, _hash: &str) -> bool {
        false
    }
    /// Remembers for [`ObjectReader::is_verified`] that the content matched `hash`.
    fn set_verified(&self, _path: &str, _hash: &str) {}
    /// True if whole reads compare hash and size with the metadata (setting `lode.verify`, default on).
    fn verifies(&self) -> bool {
        true
    }
    /// Copies one object to a local file, atomically (temporary file beside it, then rename).
    fn download(&self, path: &str, destination: &Path) -> Result<()>;
}

/// A reader and what its configuration says about addressing.
pub trait ObjectHandle: ObjectReader {
    /// `{hash_prefix}/{schema}/{folds}{hash}` (spec: stores §3).
    fn hash_path(&self, schema: &str, hash: &str) -> Result<String>;
    /// `{schema_prefix}/{partition}/{schema}/{table}/{key}/{attribute}_{token}{ext}` with a fresh token (spec: stores §4).
    fn schema_path(
        &self,
        schema: &str,
        table: &str,
        key: &Row,
        attribute: &str,
        ext: &str,
    ) -> Result<String>;
    /// Checks and normalises a `<filepath>` value: relative, inside the location, outside the reserved sections and
    /// below `filepath_prefix` if set (spec: stores §5). [`crate::ErrorKind::Value`] otherwise.
    fn filepath(&self, path: &str) -> Result<String>;
    /// True if the store asks for the reference's own deflate stream (`lode.stores.<name>.blob_deflate = "zlib6"`).
    fn reference_deflate(&self) -> bool {
        false
    }
}

/// How a lazy reference reaches its store: looked up at first use, so that metadata never need an open store.
#[derive(Debug, Clone)]
pub enum StoreLink {
    /// No store: every member that needs one is an error.
    None,
    /// A store in hand.
    Handle(Arc<dyn ObjectHandle>),
    /// A store by name among the configured ones.
    Named {
        /// The configured stores.
        stores: Arc<dyn Stores>,
        /// Name; none and `""` mean the default.
        name: Option<String>,
        /// The default is `stores.filepath_default`.
        filepath: bool,
    },
}

impl StoreLink {
    /// The store. An error without one ([`crate::ErrorKind::Invalid`]) or if its name is not configured.
    pub fn open(&self) -> Result<Arc<dyn ObjectHandle>> {
        match self {
            StoreLink::None => Err(Error::invalid("this reference has no store to read from")
                .hint("References that come from a fetch have one; give one when making a reference by hand.")),
            StoreLink::Handle(handle) => Ok(handle.clone()),
            StoreLink::Named { stores, name, filepath: false } => stores.get(name.as_deref()),
            StoreLink::Named { stores, name, filepath: true } => stores.get_filepath(name.as_deref()),
        }
    }
}

/// The configured stores.
pub trait Stores: Send + Sync + fmt::Debug {
    /// A store by name; `None` and `""` mean the default.
    fn get(&self, name: Option<&str>) -> Result<Arc<dyn ObjectHandle>>;
    /// The store of a `<filepath>` attribute: `None` and `""` mean `stores.filepath_default`.
    fn get_filepath(&self, name: Option<&str>) -> Result<Arc<dyn ObjectHandle>>;
}
