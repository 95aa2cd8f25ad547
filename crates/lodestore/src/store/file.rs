//! Stores in a local directory (spec: stores §3-§5, §9.2). Reading is here, writing in `file_write.rs`.
//!
//! Objects appear by one rename from a temporary in `{location}/_lode/tmp/`, so that no reader ever sees half of one,
//! and no name outside Lodestore's own section is ever temporary.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use super::StoreOptions;
use super::path::{self, ObjectPath};
use super::spec::{OWN_SECTION, StoreSpec};
use crate::codec::{ObjectHandle, ObjectMeta, ObjectReader, ReadSeek, parallel};
use crate::error::{Error, ErrorKind, Result};
use crate::memory;
use crate::value::Row;

/// A store in a local directory.
#[derive(Debug)]
pub struct FileStore {
    pub(super) spec: StoreSpec,
    pub(super) options: StoreOptions,
    /// The location, absolute.
    pub(super) root: PathBuf,
    /// Objects whose content this process has compared with their hash.
    verified: Mutex<HashMap<FileId, String>>,
    pub(super) swept: Once,
}

/// What identifies one content of one file: any change of content changes at least one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
    changed: (i64, i64),
}

impl FileId {
    fn of(metadata: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            FileId {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.len(),
                modified: metadata.modified().ok(),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            }
        }
        #[cfg(not(unix))]
        FileId {
            device: 0,
            inode: 0,
            size: metadata.len(),
            modified: metadata.modified().ok(),
            changed: (0, 0),
        }
    }
}

/// More entries than this are forgotten all at once: the memory is a help, not a promise.
const MAX_VERIFIED: usize = 65_536;

impl FileStore {
    /// A file store. Nothing is read or created yet; an absent location is an error at first use.
    pub fn open(spec: StoreSpec, options: StoreOptions) -> Result<Self> {
        let location = if spec.location.is_empty() {
            "."
        } else {
            &spec.location
        };
        let root = std::path::absolute(location)
            .map_err(|e| Error::io("resolve the location", location, e).store(&spec.name))?;
        Ok(Self::at(spec, options, root))
    }

    pub(super) fn at(spec: StoreSpec, options: StoreOptions, root: PathBuf) -> Self {
        FileStore {
            spec,
            options,
            root,
            verified: Mutex::default(),
            swept: Once::new(),
        }
    }

    /// The location, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The local file of a path, checked by its text only.
    pub(super) fn local(&self, path: &str) -> Result<PathBuf> {
        Ok(self.root.join(
            ObjectPath::new(path)
                .map_err(|e| e.store(self.name()))?
                .as_str(),
        ))
    }

    /// The local file of a path that exists, after following links. [`ErrorKind::MissingObject`] if it does not exist,
    /// [`ErrorKind::Value`] if a link leads out of the store.
    fn existing(&self, path: &str) -> Result<PathBuf> {
        let local = self.local(path)?;
        match self.contained(&local) {
            Ok(true) => Ok(local),
            Ok(false) => Err(self.escape(path)),
            Err(e) if is_absent(&e) => Err(self.missing(path)),
            Err(e) => Err(self.io_error("read", path, e)),
        }
    }

    /// True if an existing path, after following links, is inside the location.
    pub(super) fn contained(&self, local: &Path) -> io::Result<bool> {
        let real = local.canonicalize()?;
        Ok(real.starts_with(self.root.canonicalize()?))
    }

    pub(super) fn escape(&self, path: &str) -> Error {
        Error::new(
            ErrorKind::Value,
            format!(
                "the path {path} leads out of store `{}` through a link",
                self.name()
            ),
        )
        .store(self.name())
        .path(path)
    }

    pub(super) fn missing(&self, path: &str) -> Error {
        let error = Error::new(
            ErrorKind::MissingObject,
            format!("the object {path} is not in store `{}`", self.name()),
        )
        .store(self.name())
        .path(path);
        if self.root.is_dir() {
            error
        } else {
            error.hint(format!(
                "The store's location {} is absent; is it mounted?",
                self.root.display()
            ))
        }
    }

    /// An error of the file system, in the words of the store.
    pub(super) fn io_error(&self, action: &str, path: &str, source: io::Error) -> Error {
        let name = self.name();
        let error = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::new(
                ErrorKind::Store,
                format!("store `{name}` is full: could not {action} {path}"),
            )
            .hint(format!(
                "Free space on the disk of {}. Nothing was left behind.",
                self.root.display()
            )),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Error::new(
                ErrorKind::Store,
                format!("could not {action} {path} in store `{name}`: {source}"),
            )
            .hint(format!("Check the permissions of {}.", self.root.display())),
            io::ErrorKind::IsADirectory => Error::new(
                ErrorKind::IsADirectory,
                format!("{path} is a folder in store `{name}`, where a file was expected"),
            ),
            _ => Error::new(
                ErrorKind::Store,
                format!("could not {action} {path} in store `{name}`: {source}"),
            ),
        };
        error.store(name).path(path).with_source(source)
    }

    fn file(&self, path: &str) -> Result<(File, std::fs::Metadata)> {
        let local = self.existing(path)?;
        let file = File::open(&local).map_err(|e| {
            if is_absent(&e) {
                self.missing(path)
            } else {
                self.io_error("read", path, e)
            }
        })?;
        let metadata = file
            .metadata()
            .map_err(|e| self.io_error("read", path, e))?;
        if metadata.is_dir() {
            return Err(self.io_error("read", path, io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            return Err(Error::new(
                ErrorKind::Store,
                format!("{path} is neither file nor folder"),
            )
            .store(self.name())
            .path(path));
        }
        Ok((file, metadata))
    }

    fn id(&self, path: &str) -> Option<FileId> {
        std::fs::metadata(self.local(path).ok()?)
            .ok()
            .map(|m| FileId::of(&m))
    }

    /// The folder of a listing: none if there is no such folder.
    fn folder(&self, prefix: &str) -> Result<Option<PathBuf>> {
        if prefix.trim_matches('/').is_empty() {
            return Ok(self.root.is_dir().then(|| self.root.clone()));
        }
        match self.existing(prefix) {
            Ok(local) => Ok(local.is_dir().then_some(local)),
            Err(e) if e.kind() == ErrorKind::MissingObject => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn relative(&self, local: &Path) -> Result<String> {
        let relative = local.strip_prefix(&self.root).unwrap_or(local);
        relative.to_str().map(str::to_owned).ok_or_else(|| {
            Error::new(
                ErrorKind::Store,
                format!("the file name {} is not UTF-8", relative.display()),
            )
            .store(self.name())
        })
    }
}

/// What one thread reads of a large file, at least.
#[cfg(unix)]
const SHARE: usize = 2 << 20;

/// Fills an empty buffer with the first `size` bytes of a file, by several threads: mapping fresh memory takes longer
/// than the copy.
#[cfg(unix)]
fn read_shared(file: &File, mut buffer: Vec<u8>, size: usize) -> io::Result<Vec<u8>> {
    let share = size.div_ceil(parallel::cores().min(4)).max(SHARE);
    let room = buffer
        .spare_capacity_mut()
        .get_mut(..size)
        .ok_or(io::ErrorKind::OutOfMemory)?;
    std::thread::scope(|scope| {
        let mut parts: Vec<_> = room.chunks_mut(share).enumerate().collect();
        let last = parts.pop();
        let fill = |(i, part)| fill(file, part, (i * share) as u64);
        let others: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(move || fill(part)))
            .collect();
        last.map_or(Ok(()), fill)?;
        others.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a reading thread ended early")))
        })
    })?;
    // SAFETY: every part of the first `size` bytes of spare capacity has been filled.
    unsafe { buffer.set_len(size) };
    Ok(buffer)
}

/// Fills all of `room` from a place in a file.
#[cfg(unix)]
fn fill(file: &File, mut room: &mut [MaybeUninit<u8>], mut at: u64) -> io::Result<()> {
    while !room.is_empty() {
        match rustix::io::pread(file, &mut *room, at) {
            Ok(([], _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((filled, _)) => {
                let n = filled.len();
                at += n as u64;
                room = &mut room[n..];
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Memory for so many bytes of a file.
fn room(bytes: u64) -> Result<Vec<u8>> {
    // One byte more lets the read notice the end without growing.
    memory::with_capacity(usize::try_from(bytes).map_or(usize::MAX, |n| n.saturating_add(1)))
}

pub(super) fn is_absent(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn modified(metadata: &std::fs::Metadata) -> Option<f64> {
    let mtime = metadata
        .modified()
        .ok()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?
        .as_secs_f64();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let ctime = metadata.ctime() as f64 + metadata.ctime_nsec() as f64 * 1e-9;
        Some(mtime.max(ctime))
    }
    #[cfg(not(unix))]
    Some(mtime)
}

impl ObjectReader for FileStore {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn protocol(&self) -> &str {
        self.spec.protocol.as_str()
    }

    fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        let local = match self.existing(path) {
            Ok(local) => local,
            Err(e) if e.kind() == ErrorKind::MissingObject => return Ok(None),
            Err(e) => return Err(e),
        };
        let metadata = match std::fs::metadata(&local) {
            Ok(metadata) => metadata,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(self.io_error("read", path, e)),
        };
        let is_dir = metadata.is_dir();
        let size = if is_dir {
            self.list(path)?.iter().map(|f| f.size).sum()
        } else {
            metadata.len()
        };
        Ok(Some(ObjectMeta {
            path: path.to_owned(),
            size,
            is_dir,
            modified: modified(&metadata),
        }))
    }

    fn read(&self, path: &str) -> Result<Bytes> {
        let (file, metadata) = self.file(path)?;
        #[cfg(unix)]
        if metadata.len() >= 2 * SHARE as u64
            && let Ok(size) = usize::try_from(metadata.len())
        {
            let content = read_shared(&file, memory::with_capacity(size)?, size)
                .map_err(|e| self.io_error("read", path, e))?;
            return Ok(content.into());
        }
        let mut content = room(metadata.len())?;
        // A file that grows meanwhile is cut: what is stored never changes, so it is not ours.
        file.take(metadata.len())
            .read_to_end(&mut content)
            .map_err(|e| self.io_error("read", path, e))?;
        Ok(content.into())
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let mut found = self.read_ranges(path, &[range])?;
        Ok(found.pop().unwrap_or_default())
    }

    fn read_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (mut file, metadata) = self.file(path)?;
        let mut found = Vec::with_capacity(ranges.len());
        for range in ranges {
            let length = range.end.min(metadata.len()).saturating_sub(range.start);
            if length == 0 {
                found.push(Bytes::new());
                continue;
            }
            let mut content = room(length)?;
            file.seek(SeekFrom::Start(range.start))
                .and_then(|_| (&file).take(length).read_to_end(&mut content))
                .map_err(|e| self.io_error("read", path, e))?;
            found.push(content.into());
        }
        Ok(found)
    }

    fn read_into(&self, path: &str, rooms: &mut [&mut [u8]]) -> Result<u64> {
        let (mut file, metadata) = self.file(path)?;
        let mut left = metadata.len();
        for room in rooms {
            let wanted = usize::try_from(left).map_or(room.len(), |left| left.min(room.len()));
            file.read_exact(&mut room[..wanted])
                .map_err(|e| self.io_error("read", path, e))?;
            left -= wanted as u64;
        }
        Ok(metadata.len())
    }

    fn open(&self, path: &str) -> Result<Box<dyn ReadSeek>> {
        Ok(Box::new(self.file(path)?.0))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let mut files = Vec::new();
        self.visit(prefix, &mut |file| {
            files.push(file);
            Ok(())
        })?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn visit(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta) -> Result<()>) -> Result<()> {
        let Some(folder) = self.folder(prefix)? else {
            return Ok(());
        };
        let whole_store = folder == self.root;
        let walk = walkdir::WalkDir::new(&folder)
            .follow_links(true)
            .into_iter()
            .filter_entry(|entry| {
                let own = whole_store && entry.depth() == 1 && entry.file_name() == OWN_SECTION;
                let foreign =
                    entry.path_is_symlink() && !matches!(self.contained(entry.path()), Ok(true));
                !own && !foreign
            });
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                // A link to a folder above: everything below it is listed already.
                Err(e) if e.loop_ancestor().is_some() => continue,
                // Removed while we list, or a dangling link.
                Err(e) if e.io_error().is_some_and(is_absent) => continue,
                Err(e) => return Err(self.io_error("list", prefix, e.into())),
            };
            if !entry.file_type().is_file() {
                continue;
            }
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(e) if e.io_error().is_some_and(is_absent) => continue,
                Err(e) => return Err(self.io_error("list", prefix, e.into())),
            };
            each(ObjectMeta {
                path: self.relative(entry.path())?,
                size: metadata.len(),
                is_dir: false,
                modified: modified(&metadata),
            })?;
        }
        Ok(())
    }

    fn list_dir(&self, prefix: &str) -> Result<Vec<(String, bool)>> {
        let Some(folder) = self.folder(prefix)? else {
            return Ok(Vec::new());
        };
        let failed = |e| self.io_error("list", prefix, e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let mut is_dir = entry.file_type().map_err(failed)?.is_dir();
            if entry.file_type().map_err(failed)?.is_symlink() {
                if !matches!(self.contained(&entry.path()), Ok(true)) {
                    continue;
                }
                is_dir = entry.path().is_dir();
            }
            match entry.file_name().into_string() {
                Ok(name) if folder == self.root && name == OWN_SECTION => {}
                Ok(name) => names.push((name, is_dir)),
                Err(name) => {
                    return Err(Error::new(
                        ErrorKind::Store,
                        format!("the file name {} is not UTF-8", name.display()),
                    )
                    .store(self.name())
                    .path(prefix));
                }
            }
        }
        names.sort();
        Ok(names)
    }

    fn local_path(&self, path: &str) -> Option<PathBuf> {
        let local = self.local(path).ok()?;
        // What is absent cannot lead anywhere; the caller finds out when it opens it.
        match self.contained(&local) {
            Ok(false) => None,
            _ => Some(local),
        }
    }

    fn full_path(&self, path: &str) -> String {
        Path::new(&self.spec.location)
            .join(path)
            .to_string_lossy()
            .into_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("file://{}", self.root.join(path).display())
    }

    fn is_verified(&self, path: &str, hash: &str) -> bool {
        let Some(id) = self.id(path) else {
            return false;
        };
        self.verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .is_some_and(|known| known == hash)
    }

    fn set_verified(&self, path: &str, hash: &str) {
        let Some(id) = self.id(path) else { return };
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= MAX_VERIFIED {
            verified.clear();
        }
        verified.insert(id, hash.to_owned());
    }

    fn verifies(&self) -> bool {
        self.options.verify_reads
    }

    fn download(&self, path: &str, destination: &Path) -> Result<()> {
        let (mut source, _) = self.file(path)?;
        let folder = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let mut temporary =
            super::file_write::temporary(folder).map_err(|e| Error::io("write", destination, e))?;
        io::copy(&mut source, temporary.as_file_mut())
            .map_err(|e| Error::io("write", destination, e))?;
        temporary
            .persist(destination)
            .map_err(|e| Error::io("write", destination, e.error))?;
        Ok(())
    }
}

impl ObjectHandle for FileStore {
    fn hash_path(&self, schema: &str, hash: &str) -> Result<String> {
        path::hash_path(&self.spec, schema, hash).map_err(|e| e.store(self.name()))
    }

    fn schema_path(
        &self,
        schema: &str,
        table: &str,
        key: &Row,
        attribute: &str,
        ext: &str,
    ) -> Result<String> {
        path::schema_path(&self.spec, schema, table, key, attribute, ext)
            .map_err(|e| e.store(self.name()))
    }

    fn filepath(&self, path: &str) -> Result<String> {
        path::filepath(&self.spec, self.root.to_str(), path)
    }

    fn reference_deflate(&self) -> bool {
        self.options.reference_deflate
    }
}

impl FileStore {
    pub(super) fn into_handle(self: Arc<Self>) -> Arc<dyn ObjectHandle> {
        self
    }
}
