//! `NpyRef`: an array in a store, known by its metadata and read when needed (spec: codecs §9, §11).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::npy::corrupt;
use super::{Metadata, ObjectHandle, StoreLink, parallel};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::value::npy::{self, Header};
use crate::value::{Array, DType, Elements, Foreign, Kind, Order, element_count};

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

impl MapMode {
    /// From NumPy's spelling. [`ErrorKind::Value`] for any other, `w+` included, which would destroy the object.
    pub fn parse(mode: &str) -> Result<Self> {
        match mode {
            "r" => Ok(MapMode::Read),
            "r+" => Ok(MapMode::ReadWrite),
            "c" => Ok(MapMode::CopyOnWrite),
            other => Err(Error::new(
                ErrorKind::Value,
                format!("mmap_mode must be 'r', 'r+' or 'c', not {other:?}"),
            )),
        }
    }
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

/// How the elements lie in the file.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) offset: u64,
    pub(super) fortran_order: bool,
    dtype: DType,
}

/// A lazy reference to an array in a store. Metadata cost no I/O. Clones share what is loaded.
#[derive(Debug, Clone)]
pub struct NpyRef {
    metadata: Metadata,
    path: String,
    dtype_text: String,
    dtype: Result<DType>,
    shape: Vec<usize>,
    link: StoreLink,
    cache: Arc<Mutex<Option<Array>>>,
    layout: Arc<Mutex<Option<Layout>>>,
}

impl NpyRef {
    /// A reference from the column's JSON object. `path`, `dtype` (text) and `shape` are required
    /// ([`ErrorKind::CorruptObject`]). A dtype that cannot be parsed is an error only where it is needed.
    pub fn from_json(metadata: &serde_json::Value, link: StoreLink) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(
                ErrorKind::CorruptObject,
                format!("the metadata of <npy> {why}"),
            )
        };
        let metadata = metadata
            .as_object()
            .ok_or_else(|| wrong("are no JSON object"))?
            .clone();
        let path = super::required_text(&metadata, "path", "npy")?.to_owned();
        let dtype_text = super::required_text(&metadata, "dtype", "npy")?.to_owned();
        let dims = metadata
            .get("shape")
            .and_then(|s| s.as_array())
            .ok_or_else(|| wrong("have no list under `shape`"))?;
        let shape: Option<Vec<usize>> = dims
            .iter()
            .map(|d| d.as_u64().and_then(|d| usize::try_from(d).ok()))
            .collect();
        let shape = shape.ok_or_else(|| wrong("have a `shape` that is no list of sizes"))?;
        let dtype = DType::parse_text(&dtype_text);
        let itemsize = dtype.as_ref().map_or(1, |d| d.itemsize);
        if element_count(&shape, itemsize).is_err() {
            return Err(wrong("describe an array that no memory could hold"));
        }
        Ok(NpyRef {
            metadata,
            path,
            dtype_text,
            dtype,
            shape,
            link,
            cache: Arc::default(),
            layout: Arc::default(),
        })
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
        &self.shape
    }

    /// Element type as written in the metadata.
    pub fn dtype_text(&self) -> &str {
        &self.dtype_text
    }

    /// Element type. An error if the metadata's text is no NumPy type.
    pub fn dtype(&self) -> Result<&DType> {
        self.dtype.as_ref().map_err(Clone::clone)
    }

    /// Number of dimensions.
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn size(&self) -> u64 {
        self.shape.iter().map(|d| *d as u64).product()
    }

    /// Bytes of all elements. An error if the element type cannot be read.
    pub fn nbytes(&self) -> Result<u64> {
        Ok(self.size() * self.dtype()?.itemsize as u64)
    }

    /// Path in the store.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Store, as the metadata name it.
    pub fn store(&self) -> Option<&str> {
        super::optional_text(&self.metadata, "store")
    }

    /// The checksum of the file, if its row states one.
    pub(super) fn checksum(&self) -> Option<&str> {
        super::optional_text(&self.metadata, "xxh3")
    }

    /// True once [`NpyRef::load`] has filled the cache.
    pub fn is_loaded(&self) -> bool {
        self.cached().is_some()
    }

    /// The whole array, read once and kept. Hash, size and header are compared with the metadata.
    ///
    /// Errors: [`ErrorKind::MissingObject`], [`ErrorKind::CorruptObject`].
    pub fn load(&self) -> Result<Array> {
        // Held while reading, so that concurrent callers read once.
        let mut cache = self.cached();
        if let Some(array) = &*cache {
            return Ok(array.clone());
        }
        let array = self.read()?;
        *cache = Some(array.clone());
        Ok(array)
    }

    /// The whole array, neither taken from the cache nor kept: its memory belongs to the caller alone.
    pub fn read(&self) -> Result<Array> {
        let store = self.link.open()?;
        let content = store.read(&self.path)?;
        let name = store.name();
        let found = content.len() as u64;
        if let Some(size) = self.metadata.get("size").and_then(|s| s.as_u64())
            && store.verifies()
            && size != found
        {
            return Err(corrupt(
                name,
                &self.path,
                format!("it has {found} bytes, its row says {size}"),
            ));
        }
        let header =
            npy::parse_header(&content).map_err(|e| corrupt(name, &self.path, e.message()))?;
        self.check_header(&header, name)?;
        let end = self.data_end(&header, found, name)?;
        // Either proves that the bytes are those that were written; the checksum does so in no time.
        let hash = super::optional_text(&self.metadata, "hash");
        match (self.checksum(), hash) {
            (Some(_), Some(hash)) if store.is_verified(&self.path, hash) => {}
            (Some(sum), _) => {
                super::hash::check_checksum(&*store, &self.path, sum, &content)?;
            }
            (None, Some(hash)) => super::hash::check_content(&*store, &self.path, hash, &content)?,
            (None, None) => {}
        }
        let order = header.order();
        Array::new(
            header.dtype,
            header.shape,
            order,
            content.slice(header.data_offset..end),
        )
    }

    /// Forgets what [`NpyRef::load`] kept.
    pub fn unload(&self) {
        *self.cached() = None;
    }

    /// Rows `range` of the first axis, cut at the end. In C order only their bytes are read; in Fortran order the whole
    /// array is. The cache is used if filled, and not filled.
    pub fn read_rows(&self, range: Range<usize>) -> Result<Array> {
        let Some(&rows) = self.shape.first() else {
            return Err(Error::new(
                ErrorKind::Type,
                "an array without dimensions has no rows",
            ));
        };
        let range = range.start.min(rows)..range.end.min(rows).max(range.start.min(rows));
        if let Some(array) = &*self.cached() {
            return slice_axis(array, 0, range);
        }
        let layout = self.layout()?;
        if layout.fortran_order && self.ndim() > 1 {
            return slice_axis(&self.read()?, 0, range);
        }
        self.read_axis(&layout, 0, range)
    }

    /// What covers `first` of the first axis and `last` of the last axis (none: all of it): in C order rows of the first
    /// axis, in Fortran order of the last, by one ranged read where that saves at least half; else the whole array, by
    /// [`NpyRef::load`].
    pub fn read_slice(
        &self,
        first: Option<Range<usize>>,
        last: Option<Range<usize>>,
    ) -> Result<Part> {
        let whole = || {
            Ok(Part {
                array: self.load()?,
                axis: None,
                start: 0,
            })
        };
        if self.is_loaded() || self.shape.is_empty() || (first.is_none() && last.is_none()) {
            return whole();
        }
        let layout = self.layout()?;
        let end = self.ndim() - 1;
        let (axis, range) = match (layout.fortran_order, end) {
            (_, 0) => (0, first.or(last)),
            (false, _) => (0, first),
            (true, _) => (end, last),
        };
        let dim = self.shape[axis];
        match range {
            Some(range) => {
                let start = range.start.min(dim);
                let range = start..range.end.clamp(start, dim);
                if range.len() > dim / 2 {
                    return whole();
                }
                Ok(Part {
                    array: self.read_axis(&layout, axis, range)?,
                    axis: Some(axis),
                    start,
                })
            }
            None => whole(),
        }
    }

    /// Runs of `rows` rows, one after the other, with one run in memory at a time (in Fortran order, where rows do not
    /// lie together, the whole array). An error for `rows = 0` and for an array without dimensions.
    pub fn iter_rows(&self, rows: usize) -> Result<impl Iterator<Item = Result<Array>> + use<'_>> {
        let Some(&count) = self.shape.first() else {
            return Err(Error::new(
                ErrorKind::Type,
                "an array without dimensions has no rows",
            ));
        };
        if rows == 0 {
            return Err(Error::new(
                ErrorKind::Value,
                "the number of rows must be positive",
            ));
        }
        let whole = match self.ndim() > 1 && !self.is_loaded() && self.layout()?.fortran_order {
            true => Some(self.read()?),
            false => None,
        };
        Ok((0..count).step_by(rows).map(move |start| {
            let range = start..(start + rows).min(count);
            match &whole {
                Some(array) => slice_axis(array, 0, range),
                None => self.read_rows(range),
            }
        }))
    }

    /// A local file to map. The stored object itself on a local store for reading; a private copy in `cache` for
    /// [`MapMode::ReadWrite`]; a copy kept in `cache` for other stores, told apart by store, path, size and age.
    /// `cache` is made with mode 0700.
    pub fn map(&self, mode: MapMode, cache: &Path) -> Result<MapSource> {
        let store = self.link.open()?;
        let head = store
            .head(&self.path)?
            .ok_or_else(|| super::missing(&*store, &self.path))?;
        let header = self.header(&*store)?;
        self.check_header(&header, store.name())?;
        // A map that reaches beyond the end of its file would end the process, not the call.
        self.data_end(&header, head.size, store.name())?;
        let local = match (store.local_path(&self.path), mode) {
            (Some(local), MapMode::Read | MapMode::CopyOnWrite) => local,
            (_, MapMode::ReadWrite) => {
                private_folder(cache)?;
                let copy = tempfile::Builder::new()
                    .prefix("writable-")
                    .suffix(".npy")
                    .tempfile_in(cache)
                    .map_err(|e| Error::io("write", cache, e))?
                    .into_temp_path();
                store.download(&self.path, &copy)?;
                copy.keep()
                    .map_err(|e| Error::io("write", cache, e.error))?
            }
            (None, _) => {
                private_folder(cache)?;
                let identity = format!(
                    "{}\0{}\0{:?}",
                    store.url(&self.path),
                    head.size,
                    head.modified
                );
                let copy = cache.join(format!(
                    "{}.npy",
                    super::content_hash([identity.as_bytes()])
                ));
                if !std::fs::metadata(&copy).is_ok_and(|m| m.len() == head.size) {
                    store.download(&self.path, &copy)?;
                }
                copy
            }
        };
        Ok(MapSource {
            path: local,
            offset: header.data_offset as u64,
            fortran_order: header.fortran_order,
            dtype: header.dtype,
            shape: header.shape,
            private: mode == MapMode::ReadWrite,
        })
    }

    fn cached(&self) -> MutexGuard<'_, Option<Array>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the elements lie in the file: from our own keys in the metadata, else from the header, read once.
    pub(super) fn layout(&self) -> Result<Layout> {
        let mut layout = self.layout.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = &*layout {
            return Ok(layout.clone());
        }
        let offset = self.metadata.get("offset").and_then(|o| o.as_u64());
        let fortran_order = self.metadata.get("fortran_order").and_then(|f| f.as_bool());
        let found = match (offset, fortran_order, &self.dtype) {
            (Some(offset), Some(fortran_order), Ok(dtype)) => Layout {
                offset,
                fortran_order,
                dtype: dtype.clone(),
            },
            _ => {
                let store = self.link.open()?;
                let header = self.header(&*store)?;
                self.check_header(&header, store.name())?;
                let offset = header.data_offset as u64;
                Layout {
                    offset,
                    fortran_order: header.fortran_order,
                    dtype: header.dtype,
                }
            }
        };
        *layout = Some(found.clone());
        Ok(found)
    }

    fn header(&self, store: &dyn ObjectHandle) -> Result<Header> {
        let failed = |e: Error| corrupt(store.name(), &self.path, e.message());
        let mut start: Bytes = store.read_range(&self.path, 0..256)?;
        let size = npy::header_size(&start).map_err(failed)?;
        if size > start.len() {
            start = store.read_range(&self.path, 0..size as u64)?;
        }
        npy::parse_header(&start).map_err(failed)
    }

    /// Compares a file's header with the metadata.
    fn check_header(&self, header: &Header, store: &str) -> Result<()> {
        if header.dtype.has_objects() {
            return Err(corrupt(
                store,
                &self.path,
                "its elements are pickled objects, which are never read",
            ));
        }
        if header.shape != self.shape {
            return Err(corrupt(
                store,
                &self.path,
                format!(
                    "its header says shape {:?}, its row says {:?}",
                    header.shape, self.shape
                ),
            ));
        }
        if let Ok(dtype) = &self.dtype {
            // A record type loses its class and its padding its form in a file; its size it keeps.
            let structured = |d: &DType| matches!(d.kind, Kind::Struct { .. });
            let same = if structured(dtype) && structured(&header.dtype) {
                dtype.itemsize == header.dtype.itemsize
            } else {
                dtype.text() == header.dtype.text()
            };
            if !same {
                return Err(corrupt(
                    store,
                    &self.path,
                    format!(
                        "its header says type {}, its row says {}",
                        header.dtype.text(),
                        self.dtype_text
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Where the elements end; an error if the object ends before.
    fn data_end(&self, header: &Header, size: u64, store: &str) -> Result<usize> {
        let count = self
            .shape
            .iter()
            .try_fold(header.dtype.itemsize, |n, d| n.checked_mul(*d));
        let end = count.and_then(|n| n.checked_add(header.data_offset));
        match end {
            Some(end) if end as u64 <= size => Ok(end),
            _ => Err(corrupt(
                store,
                &self.path,
                format!(
                    "it is cut short: {size} bytes, where shape and type need {}",
                    end.unwrap_or(usize::MAX)
                ),
            )),
        }
    }

    /// One ranged read along the slowest axis.
    fn read_axis(&self, layout: &Layout, axis: usize, range: Range<usize>) -> Result<Array> {
        let others: u64 = self
            .shape
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != axis)
            .map(|(_, d)| *d as u64)
            .product();
        let step = others.saturating_mul(layout.dtype.itemsize as u64);
        let mut shape = self.shape.clone();
        shape[axis] = range.len();
        let order = if layout.fortran_order {
            Order::F
        } else {
            Order::C
        };
        let place = |index: usize| {
            (index as u64)
                .checked_mul(step)
                .and_then(|n| n.checked_add(layout.offset))
        };
        let (Some(start), Some(end)) = (place(range.start), place(range.end)) else {
            return Err(corrupt(
                "",
                &self.path,
                "its metadata describe an impossible place",
            ));
        };
        let store = self.link.open()?;
        let content = if end == start {
            Bytes::new()
        } else {
            store.read_range(&self.path, start..end)?
        };
        if content.len() as u64 != end - start {
            return Err(corrupt(
                store.name(),
                &self.path,
                format!("it is cut short before byte {end}"),
            ));
        }
        Array::new(layout.dtype.clone(), shape, order, content)
    }
}

/// A view of part of one axis.
fn slice_axis(array: &Array, axis: usize, range: Range<usize>) -> Result<Array> {
    let Elements::Raw {
        bytes,
        offset,
        strides,
    } = &array.data
    else {
        return Err(Error::invalid("an array of objects has no raw memory"));
    };
    let mut shape = array.shape.clone();
    shape[axis] = range.len();
    let start = if range.is_empty() {
        *offset
    } else {
        offset.wrapping_add_signed(strides[axis] * range.start as isize)
    };
    Array::strided(
        array.dtype.clone(),
        shape,
        bytes.clone(),
        start,
        strides.clone(),
    )
}

/// A folder that only its owner may look into.
fn private_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|e| Error::io("create", path, e))
}

impl Foreign for NpyRef {
    fn type_name(&self) -> String {
        "NpyRef".into()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Loads many references concurrently into their caches: at most `workers` at a time, and at most `max_bytes` being read
/// at once (one reference larger than that is read alone). Loaded ones are skipped. Stops at the first error.
pub fn load_all(
    refs: &[&NpyRef],
    workers: usize,
    max_bytes: Option<u64>,
    progress: &dyn Progress,
) -> Result<()> {
    each(refs, workers, max_bytes, progress, |r| r.load().map(|_| ())).map(|_| ())
}

/// Reads many arrays concurrently, as [`load_all`], but leaves them to the caller instead of keeping them.
pub fn read_all(
    refs: &[&NpyRef],
    workers: usize,
    max_bytes: Option<u64>,
    progress: &dyn Progress,
) -> Result<Vec<Array>> {
    each(refs, workers, max_bytes, progress, NpyRef::read)
}

fn each<T: Send>(
    refs: &[&NpyRef],
    workers: usize,
    max_bytes: Option<u64>,
    progress: &dyn Progress,
    work: impl Fn(&NpyRef) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if workers == 0 {
        return Err(Error::new(
            ErrorKind::Value,
            "the number of workers must be positive",
        ));
    }
    let budget = Budget {
        limit: max_bytes.unwrap_or(u64::MAX),
        used: Mutex::new(0),
        freed: Condvar::new(),
    };
    progress.begin("loading arrays", Some(refs.len() as u64));
    let results = parallel::run(refs.len(), workers, |i| {
        if progress.interrupted() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted while loading arrays",
            ));
        }
        let bytes = if refs[i].is_loaded() {
            0
        } else {
            refs[i].nbytes().unwrap_or(0)
        };
        let result = budget.with(bytes, || work(refs[i]));
        progress.advance(1);
        result
    });
    progress.end();
    results
}

/// Bytes that may be in flight.
struct Budget {
    limit: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    fn with<T>(&self, bytes: u64, work: impl FnOnce() -> T) -> T {
        let bytes = bytes.min(self.limit);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && *used > self.limit - bytes {
            used = self
                .freed
                .wait(used)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        drop(used);
        let result = work();
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        self.freed.notify_all();
        result
    }
}
