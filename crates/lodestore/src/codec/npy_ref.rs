//! `NpyRef`: an array in a store, known by its metadata and read when needed (spec: codecs §9, §11).

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::{Metadata, StoreLink};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::value::{Array, DType, Foreign};

/// How a memory map may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapMode {
    /// `r`: read only.
    Read,
    /// `r+`: writable. Stored objects never change, so this is a private writable copy.
    ReadWrite,
    /// `c`: copy on write, in memory.
    CopyOnWrite,
}

/// What to map: a local `.npy` file and where its data start.
#[derive(Debug, Clone)]
pub struct MapSource {
    /// The file.
    pub path: PathBuf,
    /// Where the data start.
    pub offset: u64,
    /// Column order.
    pub fortran_order: bool,
    /// Element type by the file's header.
    pub dtype: DType,
    /// Shape by the file's header.
    pub shape: Vec<usize>,
    /// True if `path` is a private copy that may be written and should be removed by who maps it.
    pub private: bool,
}

/// A part of an array, as [`NpyRef::read_slice`] read it.
#[derive(Debug, Clone)]
pub struct Part {
    /// The elements.
    pub array: Array,
    /// The axis along which `array` is a part; none if it is the whole.
    pub axis: Option<usize>,
    /// Index along `axis` of the first element of `array`.
    pub start: usize,
}

/// A lazy reference to an array in a store. Metadata cost no I/O.
#[derive(Debug)]
pub struct NpyRef {
    metadata: Metadata,
    link: StoreLink,
    cache: Mutex<Option<Array>>,
}

impl NpyRef {
    /// A reference from the column's JSON object. `path`, `dtype` (text) and `shape` are required.
    pub fn from_json(_metadata: &serde_json::Value, _link: StoreLink) -> Result<Self> {
        Err(Error::unsupported("being written"))
    }

    /// The metadata, as they were read.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Object(self.metadata.clone())
    }

    /// How the store is reached.
    pub fn link(&self) -> &StoreLink {
        &self.link
    }

    /// Shape, by the metadata.
    pub fn shape(&self) -> &[usize] {
        &[]
    }

    /// Element type as written in the metadata.
    pub fn dtype_text(&self) -> &str {
        ""
    }

    /// Element type. An error if the metadata's text is no NumPy type.
    pub fn dtype(&self) -> Result<&DType> {
        Err(Error::unsupported("being written"))
    }

    /// Number of dimensions.
    pub fn ndim(&self) -> usize {
        self.shape().len()
    }

    /// Number of elements.
    pub fn size(&self) -> u64 {
        0
    }

    /// Bytes of all elements.
    pub fn nbytes(&self) -> Result<u64> {
        Err(Error::unsupported("being written"))
    }

    /// Path in the store.
    pub fn path(&self) -> &str {
        ""
    }

    /// Store, as the metadata name it.
    pub fn store(&self) -> Option<&str> {
        None
    }

    /// True once [`NpyRef::load`] has filled the cache.
    pub fn is_loaded(&self) -> bool {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// The whole array, read once and kept.
    pub fn load(&self) -> Result<Array> {
        Err(Error::unsupported("being written"))
    }

    /// The whole array, not kept here: its memory belongs to the caller alone.
    pub fn read(&self) -> Result<Array> {
        Err(Error::unsupported("being written"))
    }

    /// Forgets what [`NpyRef::load`] kept.
    pub fn unload(&self) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Rows `range` (first axis), cut at the end, read by range where that saves at least half of the object. The cache
    /// is used if filled, and not filled.
    pub fn read_rows(&self, _range: Range<usize>) -> Result<Array> {
        Err(Error::unsupported("being written"))
    }

    /// What covers `first` of the first axis and `last` of the last axis (none: all of it): in C order rows of the first
    /// axis, in Fortran order of the last, by one ranged read where that saves at least half; else the whole array.
    pub fn read_slice(
        &self,
        _first: Option<Range<usize>>,
        _last: Option<Range<usize>>,
    ) -> Result<Part> {
        Err(Error::unsupported("being written"))
    }

    /// Runs of `rows` rows, one after the other, with one run in memory at a time.
    pub fn iter_rows(&self, rows: usize) -> Result<impl Iterator<Item = Result<Array>> + use<'_>> {
        let _ = rows;
        Ok(std::iter::empty())
    }

    /// A local file to map. The stored object itself on a local store for reading; a private copy for
    /// [`MapMode::ReadWrite`]; a cached copy (`cache`, made with mode 0700) for other stores.
    pub fn map(&self, _mode: MapMode, _cache: &std::path::Path) -> Result<MapSource> {
        Err(Error::unsupported("being written"))
    }
}

impl Foreign for NpyRef {
    fn type_name(&self) -> String {
        "NpyRef".into()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Loads many references concurrently into their caches: at most `workers` at a time and at most `max_bytes` being read
/// at once. Stops at the first error.
pub fn load_all(
    _refs: &[&NpyRef],
    _workers: usize,
    _max_bytes: Option<u64>,
    _progress: &dyn Progress,
) -> Result<()> {
    Err(Error::unsupported("being written"))
}
