//! Writing to a file store: stage, flush, rename, flush folders (spec: stores §9.2).
//!
//! Order matters. Contents are durable before they get their names, names before the call returns; so a row can never
//! outlive its bytes, and a name never shows less than the whole content. Many puts share their flushes.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::{NamedTempFile, TempDir, TempPath};

use super::file::{FileStore, is_absent};
use super::path::ObjectPath;
use super::spec::OWN_SECTION;
use super::{ObjectWriter, PutOutcome, Store, StoreSpec, durable};
use crate::codec::{
    ContentHasher, Manifest, ManifestEntry, ObjectHandle, ObjectReader, Put, PutPath, PutSource,
    manifest_path, walk_folder,
};
use crate::codec::{parallel, permissions};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// Temporaries older than this belong to nobody.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// How often a rename is tried again after a collector removed the folder under it.
const RETRIES: usize = 100;

/// What a rename does with an object that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Refuse,
    Replace,
    /// Kept if it has this size, else replaced.
    KeepOfSize(u64),
}

/// One object, written but not yet visible.
struct Staged {
    content: Content,
    size: u64,
    hash: Option<String>,
    item_count: Option<u64>,
}

enum Content {
    /// An object of the same content is there already.
    Hit,
    /// A file.
    File(TempPath),
    /// A folder, and its manifest.
    Folder {
        folder: TempDir,
        files: Vec<PathBuf>,
        manifest: TempPath,
    },
    /// The same path occurs earlier in the batch.
    Same(usize),
}

impl Store for FileStore {
    fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    fn put_many(&self, puts: &[Put], progress: &dyn Progress) -> Result<Vec<PutOutcome>> {
        if puts.is_empty() {
            return Ok(Vec::new());
        }
        let targets: Vec<PathBuf> = puts
            .iter()
            .map(|p| self.target(p.path.as_str()))
            .collect::<Result<_>>()?;
        let twins = twins(puts);
        self.prepare()?;
        progress.begin("storing objects", Some(puts.len() as u64));
        let result = self.put_prepared(puts, &targets, &twins, progress);
        progress.end();
        result
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>> {
        let target = self.target(path)?;
        self.prepare()?;
        let temporary =
            temporary(&self.temp_folder()).map_err(|e| self.io_error("write", path, e))?;
        Ok(Box::new(FileWriter {
            root: self.clone_for_writer(),
            path: path.to_owned(),
            target,
            temporary,
            hasher: ContentHasher::new(),
            written: 0,
        }))
    }

    fn put_bytes(&self, path: &str, content: &[u8]) -> Result<()> {
        let target = self.target(path)?;
        self.prepare()?;
        let failed = |e| self.io_error("write", path, e);
        let mut temporary = temporary(&self.temp_folder()).map_err(failed)?;
        temporary.write_all(content).map_err(failed)?;
        self.rename(
            temporary.into_temp_path(),
            &target,
            path,
            Existing::Replace,
            &mut Made::default(),
        )?;
        Ok(())
    }

    fn sync(&self, path: &str) -> Result<()> {
        if !self.options.fsync {
            return Ok(());
        }
        let local = self.local(path)?;
        let mut paths: Vec<PathBuf> = vec![local.clone()];
        if local.is_dir() {
            let walk = walkdir::WalkDir::new(&local).into_iter();
            paths = walk
                .map(|e| e.map(|e| e.into_path()))
                .collect::<Result<_, _>>()
                .map_err(|e| self.io_error("flush", path, e.into()))?;
        }
        // Who wrote them may have made any of the folders above.
        paths.extend(
            local
                .ancestors()
                .skip(1)
                .take_while(|a| a.starts_with(&self.root))
                .map(Path::to_owned),
        );
        durable::sync_all(&paths, &self.root, self.options.workers)
    }

    fn delete(&self, path: &str) -> Result<bool> {
        let local = self.local(path)?;
        if !self.parent_contained(&local, path)? {
            return Ok(false);
        }
        match std::fs::symlink_metadata(&local) {
            Ok(m) if m.is_dir() => return Ok(false),
            Ok(_) => {}
            Err(e) if is_absent(&e) => return Ok(false),
            Err(e) => return Err(self.io_error("delete", path, e)),
        }
        match std::fs::remove_file(&local) {
            Ok(()) => {
                self.prune(&local);
                Ok(true)
            }
            Err(e) if is_absent(&e) => Ok(false),
            Err(e) => Err(self.io_error("delete", path, e)),
        }
    }

    fn delete_prefix(&self, prefix: &str) -> Result<u64> {
        let local = self.local(prefix)?;
        if !self.parent_contained(&local, prefix)? {
            return Ok(0);
        }
        match std::fs::symlink_metadata(&local) {
            Ok(m) if m.is_dir() => {}
            Ok(_) => return Ok(0),
            Err(e) if is_absent(&e) => return Ok(0),
            Err(e) => return Err(self.io_error("delete", prefix, e)),
        }
        let files = walkdir::WalkDir::new(&local)
            .into_iter()
            .flatten()
            .filter(|e| !e.file_type().is_dir())
            .count();
        // Links are removed, not followed.
        match std::fs::remove_dir_all(&local) {
            Ok(()) => {}
            Err(e) if is_absent(&e) => {}
            Err(e) => return Err(self.io_error("delete", prefix, e)),
        }
        self.prune(&local);
        Ok(files as u64)
    }

    fn handle(self: Arc<Self>) -> Arc<dyn ObjectHandle> {
        self.into_handle()
    }
}

/// Folders that a call made, so that they can be flushed, or removed again.
#[derive(Default)]
struct Made {
    /// Made by this call, outermost first.
    folders: Vec<PathBuf>,
    /// Folders whose entries changed.
    changed: BTreeSet<PathBuf>,
}

impl FileStore {
    fn put_prepared(
        &self,
        puts: &[Put],
        targets: &[PathBuf],
        twins: &[Option<usize>],
        progress: &dyn Progress,
    ) -> Result<Vec<PutOutcome>> {
        let batch_flush = self.options.fsync && durable::together(puts.len());
        let each_flush = self.options.fsync && !batch_flush;
        // Streams are pulled by the calling thread, which a single worker is.
        let streamed = puts
            .iter()
            .any(|put| matches!(put.source, PutSource::Stream(_)));
        let workers = match streamed {
            true => 1,
            false => self.workers(batch_flush || !self.options.fsync),
        };
        let mut staged = parallel::run(puts.len(), workers, |i| {
            if progress.interrupted() {
                return Err(Error::new(
                    ErrorKind::Interrupted,
                    "interrupted while storing objects",
                ));
            }
            let done = match twins[i] {
                Some(first) => Ok(Staged {
                    content: Content::Same(first),
                    size: 0,
                    hash: None,
                    item_count: None,
                }),
                None => self.stage(&puts[i], &targets[i], each_flush, progress),
            };
            progress.advance(1);
            done
        })?;
        if batch_flush {
            self.flush_contents(&staged, targets)?;
        }
        let mut made = Made::default();
        let mut outcomes = Vec::with_capacity(puts.len());
        for (i, put) in puts.iter().enumerate() {
            match self.publish(put, &targets[i], &mut staged[i], &outcomes, &mut made) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    self.undo(&outcomes, &made);
                    // `Duplicate` is told apart in here only; to callers it is a store that is not as it should be.
                    let taken = error.kind() == ErrorKind::Duplicate;
                    return Err(if taken {
                        error.with_kind(ErrorKind::Store)
                    } else {
                        error
                    });
                }
            }
        }
        if self.options.fsync {
            let changed: Vec<PathBuf> = made.changed.iter().cloned().collect();
            if let Err(error) = durable::sync_all(&changed, &self.root, self.options.workers) {
                self.undo(&outcomes, &made);
                return Err(error.store(self.name()));
            }
        }
        for (put, outcome) in puts.iter().zip(&outcomes) {
            // The hash was taken from the very bytes that were written: no need to read them back to know it.
            match (&outcome.hash, outcome.created && outcome.size >= 1 << 16) {
                (Some(hash), true) => self.set_verified(&outcome.path, hash),
                (None, true) if matches!(put.path, PutPath::Hash(_)) => {
                    if let Some(hash) = outcome.path.rsplit('/').next() {
                        self.set_verified(&outcome.path, hash);
                    }
                }
                _ => {}
            }
        }
        Ok(outcomes)
    }

    /// Writes one object to a temporary.
    fn stage(
        &self,
        put: &Put,
        target: &Path,
        flush: bool,
        progress: &dyn Progress,
    ) -> Result<Staged> {
        let path = put.path.as_str();
        let failed = |e| self.io_error("write", path, e);
        if let (PutPath::Hash(_), Some(size)) = (&put.path, put.size)
            && self.is_hit(target, size, path)?
        {
            if flush {
                // Whoever wrote it may not have flushed it; for a flushed file this costs nothing.
                durable::sync_all(&[target.to_owned()], &self.root, 1)?;
            }
            return Ok(Staged {
                content: Content::Hit,
                size,
                hash: None,
                item_count: None,
            });
        }
        let staged = match &put.source {
            PutSource::Segments(segments) => {
                let mut temporary = temporary(&self.temp_folder()).map_err(failed)?;
                let hash = durable::write_segments(
                    temporary.as_file_mut(),
                    segments,
                    put.record_hash.is_some(),
                    flush,
                )
                .map_err(failed)?;
                let size = segments.iter().map(|s| s.len() as u64).sum();
                Staged {
                    content: Content::File(temporary.into_temp_path()),
                    size,
                    hash,
                    item_count: None,
                }
            }
            PutSource::File(local) => {
                let mut source = File::open(local).map_err(|e| Error::io("read", local, e))?;
                let mut temporary = temporary(&self.temp_folder()).map_err(failed)?;
                let (size, hash) = durable::write_stream(
                    &mut source,
                    temporary.as_file_mut(),
                    put.record_hash.is_some(),
                )
                .map_err(failed)?;
                if flush {
                    temporary.as_file().sync_data().map_err(failed)?;
                }
                Staged {
                    content: Content::File(temporary.into_temp_path()),
                    size,
                    hash,
                    item_count: None,
                }
            }
            PutSource::Folder(local) => self.stage_folder(local, path, flush)?,
            PutSource::Stream(stream) => {
                let mut temporary = temporary(&self.temp_folder()).map_err(failed)?;
                let (size, hash) = durable::write_blocks(
                    stream,
                    put.size,
                    temporary.as_file_mut(),
                    put.record_hash.is_some(),
                    &failed,
                    progress,
                )
                .map_err(|e| match e.place().path {
                    Some(_) => e,
                    None => e.store(self.name()).path(path),
                })?;
                if flush {
                    temporary.as_file().sync_data().map_err(failed)?;
                }
                Staged {
                    content: Content::File(temporary.into_temp_path()),
                    size,
                    hash,
                    item_count: None,
                }
            }
        };
        match put.size {
            Some(stated) if stated != staged.size => Err(Error::new(
                ErrorKind::Value,
                format!(
                    "the source of {path} changed while it was stored: {stated} bytes became {}",
                    staged.size
                ),
            )
            .store(self.name())
            .path(path)),
            _ => Ok(staged),
        }
    }

    fn stage_folder(&self, source: &Path, path: &str, flush: bool) -> Result<Staged> {
        let failed = |e| self.io_error("write", path, e);
        let files = walk_folder(source)?;
        let folder = tempfile::Builder::new()
            .prefix("folder-")
            .permissions(permissions(0o777))
            .tempdir_in(self.temp_folder())
            .map_err(failed)?;
        let mut entries = Vec::with_capacity(files.len());
        let mut locals = Vec::with_capacity(files.len());
        let mut folders = BTreeSet::from([folder.path().to_owned()]);
        for (relative, _) in files {
            ObjectPath::new(&format!("{path}/{relative}"))?.check_names()?;
            let from = source.join(&relative);
            let to = folder.path().join(&relative);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
                folders.extend(
                    parent
                        .ancestors()
                        .take_while(|a| a.starts_with(folder.path()))
                        .map(Path::to_owned),
                );
            }
            let mut input = File::open(&from).map_err(|e| Error::io("read", &from, e))?;
            let mut output = File::create_new(&to).map_err(failed)?;
            let (size, hash) =
                durable::write_stream(&mut input, &mut output, true).map_err(failed)?;
            // As the reference does: the copy is as old as the original. Only a courtesy, so failure is no failure.
            if let Ok(modified) = input.metadata().and_then(|m| m.modified()) {
                let _ = output.set_modified(modified);
            }
            entries.push(ManifestEntry {
                path: relative,
                size,
                hash,
            });
            locals.push(to);
        }
        locals.extend(folders);
        let manifest = Manifest::new(entries);
        let mut manifest_file = temporary(&self.temp_folder()).map_err(failed)?;
        manifest_file
            .write_all(&manifest.to_json()?)
            .map_err(failed)?;
        if flush {
            durable::sync_all(&locals, &self.root, self.options.workers)?;
            manifest_file.as_file().sync_data().map_err(failed)?;
        }
        Ok(Staged {
            content: Content::Folder {
                folder,
                files: locals,
                manifest: manifest_file.into_temp_path(),
            },
            size: manifest.total_size,
            hash: None,
            item_count: Some(manifest.item_count),
        })
    }

    /// One flush for all staged contents and hits.
    fn flush_contents(&self, staged: &[Staged], targets: &[PathBuf]) -> Result<()> {
        let mut paths = Vec::new();
        for (one, target) in staged.iter().zip(targets) {
            match &one.content {
                Content::File(path) => paths.push(path.to_path_buf()),
                Content::Folder {
                    files, manifest, ..
                } => {
                    paths.extend(files.iter().cloned());
                    paths.push(manifest.to_path_buf());
                }
                Content::Hit => paths.push(target.clone()),
                Content::Same(_) => {}
            }
        }
        durable::sync_all(&paths, &self.root, self.options.workers)
            .map_err(|e| e.store(self.name()))
    }

    /// Gives a staged object its name.
    fn publish(
        &self,
        put: &Put,
        target: &Path,
        staged: &mut Staged,
        earlier: &[PutOutcome],
        made: &mut Made,
    ) -> Result<PutOutcome> {
        let path = put.path.as_str();
        let fresh = matches!(put.path, PutPath::Fresh(_));
        let mut outcome = PutOutcome {
            path: path.to_owned(),
            size: staged.size,
            hash: staged.hash.take(),
            item_count: staged.item_count,
            created: true,
            fresh,
        };
        match std::mem::replace(&mut staged.content, Content::Hit) {
            Content::Hit => {
                outcome.created = false;
                // Its name may be as young as its content.
                made.changed.extend(target.parent().map(Path::to_owned));
            }
            Content::Same(first) => {
                outcome = earlier
                    .get(first)
                    .cloned()
                    .ok_or_else(|| Error::new(ErrorKind::Store, "a twin before its first"))?;
                outcome.created = false;
            }
            Content::File(temporary) if fresh => {
                self.rename(temporary, target, path, Existing::Refuse, made)?;
            }
            Content::File(temporary) => {
                let existing = Existing::KeepOfSize(staged.size);
                outcome.created = self.rename(temporary, target, path, existing, made)?;
            }
            Content::Folder {
                folder, manifest, ..
            } => {
                if target.exists() {
                    return Err(self.occupied(path));
                }
                self.retry(target, path, made, || {
                    std::fs::rename(folder.path(), target)
                })?;
                // The folder has moved: there is nothing left to clean up at its old place.
                let _ = folder.keep();
                let manifest_at = manifest_path(path);
                if let Err(error) = self.rename(
                    manifest,
                    &self.local(&manifest_at)?,
                    &manifest_at,
                    Existing::Refuse,
                    made,
                ) {
                    let _ = std::fs::remove_dir_all(target);
                    return Err(error);
                }
            }
        }
        Ok(outcome)
    }

    /// Renames a temporary into place. [`ErrorKind::Duplicate`] if something is there and must not be replaced.
    /// Returns false if an object was there and was kept.
    fn rename(
        &self,
        temporary: TempPath,
        target: &Path,
        path: &str,
        existing: Existing,
        made: &mut Made,
    ) -> Result<bool> {
        let mut waiting = Some(temporary);
        let mut kept = false;
        self.retry(target, path, made, || {
            let found = match existing {
                Existing::KeepOfSize(size) => {
                    std::fs::metadata(target).ok().map(|m| m.len() == size)
                }
                Existing::Refuse | Existing::Replace => None,
            };
            // Someone else may have written the same content meanwhile.
            if found == Some(true) {
                kept = true;
                return Ok(());
            }
            let Some(temporary) = waiting.take() else {
                return Err(io::Error::other("the temporary is gone"));
            };
            // An object of another size is damaged: it is replaced.
            let done = if existing == Existing::Replace || found == Some(false) {
                temporary.persist(target)
            } else {
                temporary.persist_noclobber(target)
            };
            done.map_err(|e| {
                waiting = Some(e.path);
                match existing {
                    // Written between the look and the rename: look again.
                    Existing::KeepOfSize(_) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                        io::ErrorKind::NotFound.into()
                    }
                    _ => e.error,
                }
            })
        })?;
        Ok(!kept)
    }

    /// Makes the folders above `target` and runs `rename`, again if a collector removed an empty folder in between.
    fn retry(
        &self,
        target: &Path,
        path: &str,
        made: &mut Made,
        mut rename: impl FnMut() -> io::Result<()>,
    ) -> Result<()> {
        let parent = target.parent().unwrap_or(&self.root);
        let mut tries = 0;
        loop {
            self.make_folders(parent, path, made)?;
            match rename() {
                Ok(()) => {
                    made.changed.insert(parent.to_owned());
                    return Ok(());
                }
                Err(e) if is_absent(&e) && tries < RETRIES => tries += 1,
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
                    ) =>
                {
                    return Err(self.occupied(path));
                }
                Err(e) => return Err(self.io_error("write", path, e)),
            }
        }
    }

    fn occupied(&self, path: &str) -> Error {
        Error::new(
            ErrorKind::Duplicate,
            format!("there is an object at {path} already"),
        )
        .store(self.name())
        .path(path)
    }

    /// Makes a folder and those above it, after checking that no link leads out of the store.
    fn make_folders(&self, folder: &Path, path: &str, made: &mut Made) -> Result<()> {
        if made.changed.contains(folder) && folder.is_dir() {
            return Ok(());
        }
        let mut missing = Vec::new();
        let mut existing = folder;
        while !existing.exists() {
            missing.push(existing);
            match existing.parent() {
                Some(parent) if existing != self.root => existing = parent,
                _ => break,
            }
        }
        match self.contained(existing) {
            Ok(true) => {}
            Ok(false) => return Err(self.escape(path)),
            // Removed by a collector just now; the rename will fail and come back here.
            Err(e) if is_absent(&e) => return Ok(()),
            Err(e) => return Err(self.io_error("write", path, e)),
        }
        for folder in missing.into_iter().rev() {
            match std::fs::create_dir(folder) {
                Ok(()) => {
                    made.changed.extend(folder.parent().map(Path::to_owned));
                    made.folders.push(folder.to_owned());
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    // Made by someone else just now, who may not have flushed it.
                    made.changed.extend(folder.parent().map(Path::to_owned));
                }
                // As above.
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(self.io_error("write", path, e)),
            }
        }
        Ok(())
    }

    /// Takes back what a failed call made: objects at fresh paths, and empty folders.
    fn undo(&self, outcomes: &[PutOutcome], made: &Made) {
        self.discard(outcomes);
        for folder in made.folders.iter().rev() {
            // Fails if someone else put something there, which is right.
            let _ = std::fs::remove_dir(folder);
        }
    }

    /// True if a file of this size is there. Something else in its place is an error.
    fn is_hit(&self, target: &Path, size: u64, path: &str) -> Result<bool> {
        match std::fs::metadata(target) {
            Ok(m) if m.is_file() => Ok(m.len() == size),
            Ok(_) => Err(Error::new(
                ErrorKind::Store,
                format!("{path} is taken by something that is no file"),
            )
            .store(self.name())
            .path(path)),
            Err(e) if is_absent(&e) => Ok(false),
            Err(e) => Err(self.io_error("read", path, e)),
        }
    }

    fn target(&self, path: &str) -> Result<PathBuf> {
        let checked = ObjectPath::new(path).map_err(|e| e.store(self.name()))?;
        checked.check_names().map_err(|e| e.store(self.name()))?;
        let local = self.root.join(checked.as_str());
        Ok(local)
    }

    fn temp_folder(&self) -> PathBuf {
        self.root.join(OWN_SECTION).join("tmp")
    }

    /// The location and the folder of temporaries; sweeps what crashed processes left there.
    fn prepare(&self) -> Result<()> {
        if !self.root.is_dir() {
            if !self.options.create_locations {
                return Err(Error::new(
                    ErrorKind::FileNotFound,
                    format!(
                        "the location {} of store `{}` is no directory",
                        self.root.display(),
                        self.name()
                    ),
                )
                .store(self.name())
                .hint("Create it, mount it, or set lode.create_locations."));
            }
            std::fs::create_dir_all(&self.root)
                .map_err(|e| self.io_error("create", &self.spec.location, e))?;
        }
        let folder = self.temp_folder();
        if !folder.is_dir() {
            self.make_folders(&folder, "_lode/tmp", &mut Made::default())?;
        }
        match self.contained(&folder) {
            Ok(true) => {}
            Ok(false) => return Err(self.escape("_lode/tmp")),
            Err(e) => return Err(self.io_error("write", "_lode/tmp", e)),
        }
        self.swept.call_once(|| sweep(&folder));
        Ok(())
    }

    /// False if the folder above does not exist; an error if a link leads out of the store.
    fn parent_contained(&self, local: &Path, path: &str) -> Result<bool> {
        match self.contained(local.parent().unwrap_or(&self.root)) {
            Ok(true) => Ok(true),
            Ok(false) => Err(self.escape(path)),
            Err(e) if is_absent(&e) => Ok(false),
            Err(e) => Err(self.io_error("delete", path, e)),
        }
    }

    /// Removes empty folders above a deleted path, up to the location.
    fn prune(&self, local: &Path) {
        for folder in local.ancestors().skip(1) {
            if folder == self.root
                || !folder.starts_with(&self.root)
                || std::fs::remove_dir(folder).is_err()
            {
                return;
            }
        }
    }

    fn workers(&self, cpu_bound: bool) -> usize {
        // Waiting for flushes overlaps well; copying to the page cache does not.
        if cpu_bound {
            self.options.workers.min(parallel::cores())
        } else {
            self.options.workers
        }
    }

    fn clone_for_writer(&self) -> Arc<FileStore> {
        Arc::new(FileStore::at(
            self.spec.clone(),
            self.options.clone(),
            self.root.clone(),
        ))
    }
}

/// For each put, the index of an earlier one at the same content-addressed path.
pub(super) fn twins(puts: &[Put]) -> Vec<Option<usize>> {
    let mut first: HashMap<&str, usize> = HashMap::new();
    puts.iter()
        .enumerate()
        .map(|(i, put)| match &put.path {
            PutPath::Hash(path) => match first.get(path.as_str()) {
                Some(earlier) => Some(*earlier),
                None => {
                    first.insert(path, i);
                    None
                }
            },
            PutPath::Fresh(_) => None,
        })
        .collect()
}

/// A temporary file whose permissions follow the umask once it is renamed into place.
pub(super) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".put-")
        .permissions(permissions(0o666))
        .tempfile_in(folder)
}

/// Removes temporaries of crashed processes.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let age = metadata
            .modified()
            .ok()
            .and_then(|m| SystemTime::now().duration_since(m).ok());
        if age.is_some_and(|a| a > STALE) {
            let _ = if metadata.is_dir() {
                std::fs::remove_dir_all(entry.path())
            } else {
                std::fs::remove_file(entry.path())
            };
        }
    }
}

/// A stream into a file store.
struct FileWriter {
    root: Arc<FileStore>,
    path: String,
    target: PathBuf,
    temporary: NamedTempFile,
    hasher: ContentHasher,
    written: u64,
}

impl Write for FileWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.temporary.write(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

impl ObjectWriter for FileWriter {
    fn written(&self) -> u64 {
        self.written
    }

    fn commit(self: Box<Self>) -> Result<PutOutcome> {
        let FileWriter {
            root: store,
            path,
            target,
            temporary,
            hasher,
            written,
        } = *self;
        if store.options.fsync {
            temporary
                .as_file()
                .sync_data()
                .map_err(|e| store.io_error("write", &path, e))?;
        }
        let mut made = Made::default();
        store.rename(
            temporary.into_temp_path(),
            &target,
            &path,
            Existing::Replace,
            &mut made,
        )?;
        if store.options.fsync {
            let changed: Vec<PathBuf> = made.changed.into_iter().collect();
            durable::sync_all(&changed, &store.root, store.options.workers)?;
        }
        Ok(PutOutcome {
            path,
            size: written,
            hash: Some(hasher.finish()),
            item_count: None,
            created: true,
            fresh: true,
        })
    }

    fn abort(self: Box<Self>) {}
}
