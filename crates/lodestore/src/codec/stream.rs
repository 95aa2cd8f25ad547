//! Objects piece by piece, in bounded memory: to be compared with what is recorded of them, or copied to the local disk.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::npy::corrupt;
use super::{ContentHasher, ObjectHandle};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// What one read of a local file takes.
const LOCAL: usize = 1 << 20;
/// What one request takes, and how many run at once.
const PIECE: u64 = 8 << 20;
const PIECES: u64 = 4;

/// What is recorded of an object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recorded<'a> {
    pub(super) size: Option<u64>,
    /// The content hash.
    pub(super) hash: Option<&'a str>,
    /// The fast checksum.
    pub(super) checksum: Option<&'a str>,
    /// Who says so, for messages: `row` or `manifest`.
    pub(super) by: &'a str,
}

impl Recorded<'_> {
    fn check_size(&self, store: &dyn ObjectHandle, path: &str, found: u64) -> Result<()> {
        match self.size {
            Some(size) if size != found => Err(corrupt(
                store.name(),
                path,
                format!("it has {found} bytes, its {} says {size}", self.by),
            )),
            _ => Ok(()),
        }
    }
}

/// The hashes that are recorded, being computed.
struct Hashing<'a> {
    recorded: Recorded<'a>,
    hash: Option<ContentHasher>,
    checksum: Option<Box<xxhash_rust::xxh3::Xxh3Default>>,
}

impl<'a> Hashing<'a> {
    fn of(recorded: Recorded<'a>) -> Self {
        Hashing {
            recorded,
            hash: recorded.hash.map(|_| ContentHasher::new()),
            checksum: recorded
                .checksum
                .map(|_| Box::new(xxhash_rust::xxh3::Xxh3Default::new())),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        if let Some(hash) = &mut self.hash {
            hash.update(piece);
        }
        if let Some(checksum) = &mut self.checksum {
            checksum.update(piece);
        }
    }

    fn finish(self, store: &dyn ObjectHandle, path: &str) -> Result<()> {
        let hash = self.hash.map(ContentHasher::finish);
        let checksum = self.checksum.map(|c| format!("{:032x}", c.digest128()));
        for (found, stated) in [
            (hash, self.recorded.hash),
            (checksum, self.recorded.checksum),
        ] {
            if let (Some(found), Some(stated)) = (found, stated)
                && found != stated
            {
                return Err(corrupt(
                    store.name(),
                    path,
                    format!(
                        "its content hashes to {found}, its {} says {stated}",
                        self.recorded.by
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Compares an object with what is recorded of it. Nothing to hash: nothing is read.
pub(super) fn check(
    store: &Arc<dyn ObjectHandle>,
    path: &str,
    recorded: Recorded<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let size = size_of(&**store, path)?;
    recorded.check_size(&**store, path, size)?;
    if recorded.hash.is_none() && recorded.checksum.is_none() {
        progress.advance(size);
        return Ok(());
    }
    let mut hashing = Hashing::of(recorded);
    each_piece(&**store, path, size, progress, &mut |piece| {
        hashing.update(piece);
        Ok(())
    })?;
    hashing.finish(&**store, path)
}

/// Copies an object to a local file. The file appears, or takes the place of what was there, when it is whole and agrees
/// with what is recorded of it; else nothing is left behind.
pub(super) fn download(
    store: &Arc<dyn ObjectHandle>,
    path: &str,
    target: &Path,
    recorded: Recorded<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let size = size_of(&**store, path)?;
    recorded.check_size(&**store, path, size)?;
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    let failed = |e| Error::io("write", target, e);
    let mut temporary = tempfile::Builder::new()
        .prefix(".lode-")
        .permissions(super::permissions(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    let mut hashing = Hashing::of(recorded);
    each_piece(&**store, path, size, progress, &mut |piece| {
        hashing.update(piece);
        temporary.write_all(piece).map_err(failed)
    })?;
    hashing.finish(&**store, path)?;
    temporary.persist(target).map_err(|e| failed(e.error))?;
    Ok(())
}

/// The bytes of an object. [`ErrorKind::MissingObject`] if it is absent, [`ErrorKind::IsADirectory`] for a folder.
fn size_of(store: &dyn ObjectHandle, path: &str) -> Result<u64> {
    match store.head(path)? {
        None => Err(super::missing(store, path)),
        Some(head) if head.is_dir => Err(Error::new(
            ErrorKind::IsADirectory,
            format!("{path} is a folder, where a file was expected"),
        )
        .store(store.name())
        .path(path)),
        Some(head) => Ok(head.size),
    }
}

fn each_piece(
    store: &dyn ObjectHandle,
    path: &str,
    size: u64,
    progress: &dyn Progress,
    visit: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut visit = |piece: &[u8]| {
        if progress.interrupted() {
            return Err(Error::new(
                ErrorKind::Interrupted,
                format!("interrupted while reading {path}"),
            ));
        }
        visit(piece)?;
        progress.advance(piece.len() as u64);
        Ok(())
    };
    let read = match store.local_path(path) {
        Some(local) => local_pieces(store, path, &local, &mut visit)?,
        None => remote_pieces(store, path, size, &mut visit)?,
    };
    match read == size {
        true => Ok(()),
        false => Err(corrupt(
            store.name(),
            path,
            format!("{read} bytes could be read of {size}: it changed meanwhile"),
        )),
    }
}

fn local_pieces(
    store: &dyn ObjectHandle,
    path: &str,
    local: &Path,
    visit: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let failed = |e| Error::io("read", local, e).store(store.name()).path(path);
    let mut file = File::open(local).map_err(failed)?;
    let mut buffer = vec![0; LOCAL];
    let mut read = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(read),
            Ok(n) => {
                read += n as u64;
                visit(&buffer[..n])?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
    }
}

fn remote_pieces(
    store: &dyn ObjectHandle,
    path: &str,
    size: u64,
    visit: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let mut read = 0;
    let mut start = 0;
    while start < size {
        let end = start.saturating_add(PIECE * PIECES).min(size);
        let ranges: Vec<_> = (0..PIECES)
            .map(|i| start + i * PIECE)
            .filter(|from| *from < end)
            .map(|from| from..(from + PIECE).min(end))
            .collect();
        for piece in store.read_ranges(path, &ranges)? {
            read += piece.len() as u64;
            visit(&piece)?;
        }
        start = end;
    }
    Ok(read)
}
