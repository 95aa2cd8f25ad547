//! `NpyRef`: an array in a store, known by its metadata and read when needed (spec: codecs §9, §11).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::npy::corrupt;
use super::origin::{Origin, of_row};
use super::stream::{self, Recorded};
use super::{Metadata, ObjectHandle, StoreLink, parallel};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::value::npy::{self, Header};
use crate::value::{Array, DType, Foreign, Kind, element_count};

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

/// How the elements lie in the file.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) offset: u64,
    pub(super) fortran_order: bool,
    pub(super) dtype: DType,
}

impl From<Header> for Layout {
    fn from(header: Header) -> Self {
        Layout {
            offset: header.data_offset as u64,
            fortran_order: header.fortran_order,
            dtype: header.dtype,
        }
    }
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
    pub(super) origin: Option<Origin>,
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
            origin: None,
        })
    }

    /// The same reference, which names the row it was fetched from in errors.
    pub fn from_row(mut self, origin: Option<Origin>) -> Self {
        self.origin = origin;
        self
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
        of_row(self.origin.as_ref(), self.read_whole())
    }

    fn read_whole(&self) -> Result<Array> {
        let store = self.link.open()?;
        let content = store.read(&self.path)?;
        let name = store.name();
        let found = content.len() as u64;
        let header =
            npy::parse_header(&content).map_err(|e| corrupt(name, &self.path, e.message()));
        let header = self.check_size(&*store, found).and(header)?;
        let end = self.check_whole(&*store, &header, found, &[&content[..]])?;
        let order = header.order();
        Array::new(
            header.dtype,
            header.shape,
            order,
            content.slice(header.data_offset..end),
        )
    }

    fn check_size(&self, store: &dyn ObjectHandle, found: u64) -> Result<()> {
        match self.metadata.get("size").and_then(|s| s.as_u64()) {
            Some(size) if store.verifies() && size != found => Err(corrupt(
                store.name(),
                &self.path,
                format!("it has {found} bytes, its row says {size}"),
            )),
            _ => Ok(()),
        }
    }

    /// Compares the whole of a file, as some segments, with the row. Returns where the elements end.
    pub(super) fn check_whole(
        &self,
        store: &dyn ObjectHandle,
        header: &Header,
        found: u64,
        segments: &[&[u8]],
    ) -> Result<usize> {
        use super::hash::{check_by, checksum, content_hash};
        self.check_size(store, found)?;
        self.check_header(header, store.name())?;
        let end = self.data_end(header, found, store.name())?;
        // Either proves that the bytes are those that were written; the checksum does so in no time.
        let segments = segments.iter().copied();
        match (
            self.checksum(),
            super::optional_text(&self.metadata, "hash"),
        ) {
            (Some(_), Some(hash)) if store.is_verified(&self.path, hash) => {}
            (Some(sum), _) => check_by(store, &self.path, sum, || checksum(segments))?,
            (None, Some(hash)) => check_by(store, &self.path, hash, || content_hash(segments))?,
            (None, None) => {}
        }
        Ok(end)
    }

    /// Compares the object with its row: size, hash, checksum, and the file's header. All content is read, piece by
    /// piece, and nothing is kept; progress counts bytes.
    ///
    /// [`ErrorKind::CorruptObject`] or [`ErrorKind::MissingObject`] if they differ.
    pub fn verify(&self, progress: &dyn Progress) -> Result<()> {
        of_row(self.origin.as_ref(), self.compare(progress))
    }

    fn compare(&self, progress: &dyn Progress) -> Result<()> {
        let store = self.link.open()?;
        let size = self.metadata.get("size").and_then(|s| s.as_u64());
        progress.begin("verifying", size);
        let recorded = Recorded {
            size,
            hash: super::optional_text(&self.metadata, "hash"),
            checksum: self.checksum(),
            by: "row",
        };
        let compared = stream::check(&store, &self.path, recorded, progress);
        progress.end();
        compared?;
        // Rows of other writers record neither: at least the header must say what the row says, and the rest be there.
        let header = self.header(&*store)?;
        self.check_header(&header, store.name())?;
        let head = store.head(&self.path)?;
        let found = head.map_or(0, |head| head.size);
        self.data_end(&header, found, store.name()).map(|_| ())
    }

    /// Forgets what [`NpyRef::load`] kept.
    pub fn unload(&self) {
        *self.cached() = None;
    }

    /// The same reference with a cache of its own.
    pub(super) fn detached(&self) -> Self {
        NpyRef {
            cache: Arc::default(),
            ..self.clone()
        }
    }

    /// A local file to map. The stored object itself on a local store for reading; a private copy in `cache` for
    /// [`MapMode::ReadWrite`]; a copy kept in `cache` for other stores, told apart by store, path, size and age.
    /// `cache` is made with mode 0700.
    pub fn map(&self, mode: MapMode, cache: &Path) -> Result<MapSource> {
        of_row(self.origin.as_ref(), self.map_file(mode, cache))
    }

    fn map_file(&self, mode: MapMode, cache: &Path) -> Result<MapSource> {
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

    pub(super) fn cached(&self) -> MutexGuard<'_, Option<Array>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the elements lie in the file: by the header if it was read before, or by our own keys in the metadata, else
    /// by the header, read now.
    pub(super) fn layout(&self) -> Result<Layout> {
        if let Some(layout) = self.known_layout().clone() {
            return Ok(layout);
        }
        if let Some(layout) = self.stated_layout() {
            return Ok(layout);
        }
        let store = self.link.open()?;
        let header = self.header(&*store)?;
        self.check_header(&header, store.name())?;
        let layout = Layout::from(header);
        *self.known_layout() = Some(layout.clone());
        Ok(layout)
    }

    /// What the header said, once it was read.
    pub(super) fn known_layout(&self) -> MutexGuard<'_, Option<Layout>> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What our own keys in the metadata say.
    pub(super) fn stated_layout(&self) -> Option<Layout> {
        Some(Layout {
            offset: self.metadata.get("offset")?.as_u64()?,
            fortran_order: self.metadata.get("fortran_order")?.as_bool()?,
            dtype: self.file_dtype()?,
        })
    }

    /// The type that the file's header gives: that of the metadata, but for what a header cannot say.
    pub(super) fn file_dtype(&self) -> Option<DType> {
        let dtype = self.dtype.as_ref().ok()?;
        match dtype.kind {
            Kind::Struct { .. } => {
                let header = npy::write_header(dtype, false, &[]).ok()?;
                Some(npy::parse_header(&header).ok()?.dtype)
            }
            _ => Some(dtype.clone()),
        }
    }

    pub(super) fn header(&self, store: &dyn ObjectHandle) -> Result<Header> {
        let failed = |e: Error| corrupt(store.name(), &self.path, e.message());
        let mut start: Bytes = store.read_range(&self.path, 0..256)?;
        let size = npy::header_size(&start).map_err(failed)?;
        if size > start.len() {
            start = store.read_range(&self.path, 0..size as u64)?;
        }
        npy::parse_header(&start).map_err(failed)
    }

    /// Compares a file's header with the metadata.
    pub(super) fn check_header(&self, header: &Header, store: &str) -> Result<()> {
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
    pub(super) fn data_end(&self, header: &Header, size: u64, store: &str) -> Result<usize> {
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
/// at once (none: 512 MiB; one reference larger than that is read alone). Loaded ones are skipped. Stops at the first error.
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
    each_at(refs, workers, max_bytes, progress, |_, r| work(r))
}

/// Works on many references concurrently, each with its number; results in order.
pub(super) fn each_at<T: Send>(
    refs: &[&NpyRef],
    workers: usize,
    max_bytes: Option<u64>,
    progress: &dyn Progress,
    work: impl Fn(usize, &NpyRef) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if workers == 0 {
        return Err(Error::new(
            ErrorKind::Value,
            "the number of workers must be positive",
        ));
    }
    let budget = Budget {
        limit: max_bytes.unwrap_or(IN_FLIGHT),
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
        let result = budget.with(bytes, || work(i, refs[i]));
        progress.advance(1);
        result
    });
    progress.end();
    results
}

/// Bytes that are read at once if nothing else is said.
const IN_FLIGHT: u64 = 512 << 20;

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
