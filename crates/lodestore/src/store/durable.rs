//! Writing local files so that they survive a power loss: content, hash, flush.
//!
//! A flush of one small file costs milliseconds, mostly waiting for the disk's journal. Many at once are flushed by one
//! `syncfs` where the system has it, else by several threads, so that their waits overlap.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use bytes::Bytes;

use crate::codec::{ContentHasher, PutStream, parallel};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// From this many files on, one flush of the whole file system is cheaper than one of each.
const SYNCFS_FROM: usize = 12;

/// Below this size hashing on a second thread is not worth its start.
const OVERLAP_FROM: u64 = 2 << 20;

const CHUNK: usize = 1 << 20;

/// Writes segments, hashing them on a second thread if they are large: the cost is that of the slower of the two.
/// `flush` makes the content durable before this returns.
pub(super) fn write_segments(
    file: &mut File,
    segments: &[Bytes],
    hash: bool,
    flush: bool,
) -> io::Result<Option<String>> {
    let total: u64 = segments.iter().map(|s| s.len() as u64).sum();
    let write = |file: &mut File| -> io::Result<()> {
        for segment in segments {
            file.write_all(segment)?;
        }
        if flush { file.sync_data() } else { Ok(()) }
    };
    let digest = || {
        let mut hasher = ContentHasher::new();
        segments.iter().for_each(|s| hasher.update(s));
        hasher.finish()
    };
    if !hash {
        write(file)?;
        return Ok(None);
    }
    if total < OVERLAP_FROM {
        write(file)?;
        return Ok(Some(digest()));
    }
    std::thread::scope(|scope| {
        let hashing = scope.spawn(digest);
        write(file)?;
        let hash = hashing
            .join()
            .map_err(|_| io::Error::other("the hashing thread ended early"))?;
        Ok(Some(hash))
    })
}

/// Copies a stream into a file, reading it once. With `hash`, hashing overlaps reading and writing. Returns bytes
/// written and the hash.
pub(super) fn write_stream(
    source: &mut dyn Read,
    file: &mut File,
    hash: bool,
) -> io::Result<(u64, Option<String>)> {
    let mut written = 0;
    let mut first = vec![0; CHUNK];
    let n = read_chunk(source, &mut first)?;
    file.write_all(&first[..n])?;
    written += n as u64;
    if n < CHUNK {
        let mut hasher = ContentHasher::new();
        if hash {
            hasher.update(&first[..n]);
        }
        return Ok((written, hash.then(|| hasher.finish())));
    }
    if !hash {
        loop {
            let n = read_chunk(source, &mut first)?;
            file.write_all(&first[..n])?;
            written += n as u64;
            if n < CHUNK {
                return Ok((written, None));
            }
        }
    }
    std::thread::scope(|scope| {
        // Two chunks may wait: enough to keep both sides busy, and a bound on memory.
        let (send, receive) = sync_channel::<Bytes>(2);
        let hashing = scope.spawn(move || {
            let mut hasher = ContentHasher::new();
            for chunk in receive {
                hasher.update(&chunk);
            }
            hasher.finish()
        });
        let lost = || io::Error::other("the hashing thread ended early");
        send.send(Bytes::from(first)).map_err(|_| lost())?;
        loop {
            let mut chunk = vec![0; CHUNK];
            let n = read_chunk(source, &mut chunk)?;
            chunk.truncate(n);
            let chunk = Bytes::from(chunk);
            send.send(chunk.clone()).map_err(|_| lost())?;
            file.write_all(&chunk)?;
            written += n as u64;
            if n < CHUNK {
                break;
            }
        }
        drop(send);
        let hash = hashing.join().map_err(|_| lost())?;
        Ok((written, Some(hash)))
    })
}

/// Writes a stream into a file, block by block. With `hash`, each large block is hashed while it is written; it is done
/// with before the next one is pulled. Returns bytes written and the hash.
pub(super) fn write_blocks(
    stream: &PutStream,
    size: Option<u64>,
    file: &mut File,
    hash: bool,
    failed: &dyn Fn(io::Error) -> Error,
    progress: &dyn Progress,
) -> Result<(u64, Option<String>)> {
    let mut hasher = ContentHasher::new();
    let written = stream.pour(size, progress, &mut |block| {
        if hash && block.len() as u64 >= OVERLAP_FROM {
            let hasher = &mut hasher;
            return std::thread::scope(|scope| {
                let hashing = scope.spawn(|| hasher.update(block));
                file.write_all(block).map_err(failed)?;
                let lost = |_| failed(io::Error::other("the hashing thread ended early"));
                hashing.join().map_err(lost)
            });
        }
        if hash {
            hasher.update(block);
        }
        file.write_all(block).map_err(failed)
    })?;
    Ok((written, hash.then(|| hasher.finish())))
}

/// Reads until the buffer is full or the stream ends.
fn read_chunk(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// True if so many files are better flushed together, after they are written, than each by itself.
pub(super) fn together(files: usize) -> bool {
    cfg!(target_os = "linux") && files >= SYNCFS_FROM
}

/// Makes files and directories durable. `any` is some path on the same file system, which must exist.
pub(super) fn sync_all(paths: &[PathBuf], any: &Path, workers: usize) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    if together(paths.len()) {
        let root = File::open(any).map_err(|e| Error::io("open", any, e))?;
        match rustix::fs::syncfs(&root) {
            Ok(()) => return Ok(()),
            // Some file systems of user space do not offer it.
            Err(
                rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP,
            ) => {}
            Err(e) => return Err(Error::io("flush", any, e.into())),
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = any;
    parallel::run(paths.len(), workers, |i| sync_one(&paths[i])).map(|_| ())
}

fn sync_one(path: &Path) -> Result<()> {
    let result = File::open(path).and_then(|f| f.sync_all());
    match result {
        // Gone meanwhile: an empty folder that a collector removed. What mattered has been renamed elsewhere.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        // Directories cannot be flushed on every system.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && path.is_dir() => Ok(()),
        Err(e) => Err(Error::io("flush", path, e)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::codec::content_hash;

    #[test]
    fn streams_and_segments_of_every_size_arrive_whole_and_hashed() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let content: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
            let expected = content_hash([&content[..]]);
            let named = tempfile::NamedTempFile::new().unwrap();
            let mut file = named.reopen().unwrap();
            let (n, hash) = write_stream(&mut &content[..], &mut file, true).unwrap();
            assert_eq!((n as usize, hash.as_deref()), (size, Some(&*expected)));
            assert!(std::fs::read(named.path()).unwrap() == content);

            let named = tempfile::NamedTempFile::new().unwrap();
            let mut file = named.reopen().unwrap();
            assert_eq!(
                write_stream(&mut &content[..], &mut file, false).unwrap(),
                (size as u64, None)
            );
            assert!(std::fs::read(named.path()).unwrap() == content);

            let named = tempfile::NamedTempFile::new().unwrap();
            let mut file = named.reopen().unwrap();
            let content = Bytes::from(content);
            let halves = [content.slice(..size / 2), content.slice(size / 2..)];
            assert_eq!(
                write_segments(&mut file, &halves, true, true).unwrap(),
                Some(expected)
            );
            assert!(std::fs::read(named.path()).unwrap() == content);
        }
    }
}
