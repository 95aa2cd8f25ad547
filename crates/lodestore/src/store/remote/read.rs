//! Reading: whole objects and ranges, large ones by several requests into one buffer, many small ones at once.
//!
//! A read of several requests asks each time for the content that the first one saw (If-Match), so that an object that is
//! replaced meanwhile gives an error, never a mixture.

use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::path::Path as LocalPath;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::explain::{Failure, is_absent, is_beyond_end, is_whole};
use super::{Client, runtime};
use crate::error::{Error, ErrorKind, Result};
use crate::memory;

/// What one request reads of a large object.
pub(super) const CHUNK: u64 = 8 << 20;

/// Chunks of one download that are under way at once.
const AHEAD: usize = 4;

/// Below this, the bytes of a server end up in one buffer anyway.
const SMALL: u64 = 64 << 10;

/// One content of one object.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) key: Path,
    pub(super) size: u64,
    pub(super) etag: Option<String>,
}

/// What a first request brought.
struct First {
    version: Version,
    start: u64,
    body: GetResult,
    /// Kept until the body has arrived.
    leave: Option<OwnedSemaphorePermit>,
}

/// The first chunk of a large object.
enum Begun {
    /// On its way.
    Open(GetResult, Option<OwnedSemaphorePermit>),
    /// Here.
    Read(BytesMut),
}

impl Client {
    /// A range of an object, cut at its end.
    pub(super) async fn fetch(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let key = self.at.key(path)?;
        if range.is_empty() {
            // Absence is an error also where nothing is to be read.
            return match self.head_object(path).await? {
                Some(_) => Ok(Bytes::new()),
                None => Err(self.absent(path).await),
            };
        }
        match self.first(path, &key, &range).await? {
            Some(first) => self.rest(path, first, range.end).await,
            None => Ok(Bytes::new()),
        }
    }

    /// The first request of a read; none if the range begins behind the end.
    async fn first(&self, path: &str, key: &Path, range: &Range<u64>) -> Result<Option<First>> {
        let leave = self.session.request().await;
        let end = range.end.min(range.start.saturating_add(CHUNK));
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.start..end)),
            ..GetOptions::default()
        };
        let (body, start) = match self.get(key, options).await {
            Ok(body) => (body, range.start),
            Err(e) if is_beyond_end(&e) => return Ok(None),
            // A server without ranges, or an empty object on some: all of it, then.
            Err(e) if is_whole(&e) && range.start == 0 => {
                let body = self.get(key, GetOptions::default()).await;
                (body.map_err(|e| self.at.unread(path, &e))?, 0)
            }
            Err(e) if is_absent(&e) => return Err(self.absent(path).await),
            Err(e) => return Err(self.at.unread(path, &e)),
        };
        let version = Version {
            key: key.clone(),
            size: body.meta.size,
            etag: body.meta.e_tag.clone(),
        };
        Ok(Some(First {
            version,
            start,
            body,
            leave,
        }))
    }

    /// The rest of a read.
    async fn rest(&self, path: &str, first: First, end: u64) -> Result<Bytes> {
        let First {
            version,
            start,
            body,
            leave,
        } = first;
        let end = end.min(version.size);
        let had = body.range.end;
        let length = usize::try_from(end.saturating_sub(start))
            .map_err(|_| Error::invalid(format!("{path} is larger than this computer's memory")))?;
        if end <= had && length as u64 <= SMALL {
            return self.small(path, body, length).await;
        }
        if end <= had {
            let filled = collect(body, self.at.named(room(length))?).await;
            return self.whole(path, filled, length);
        }
        // Nobody waits for memory while others wait for his request: that could last for ever.
        let (held, begun) = match self.session.try_buffer(length as u64) {
            Some(held) => (Some(held), Begun::Open(body, leave)),
            None => {
                let start = collect(body, self.at.named(room((had - start) as usize))?).await;
                drop(leave);
                let start = start.map_err(|e| self.at.unread(path, &e))?;
                (self.session.buffer(length as u64).await, Begun::Read(start))
            }
        };
        let mut buffer = self.at.named(room(length))?;
        let mut parts = JoinSet::new();
        let mut order = Vec::new();
        let mut tail = buffer.split_off((had - start) as usize);
        parts.spawn(async move {
            match begun {
                Begun::Open(body, _leave) => collect_part(0, body, buffer).await,
                Begun::Read(start) => {
                    buffer.extend_from_slice(&start);
                    (0, Ok(buffer))
                }
            }
        });
        let mut at = had;
        while at < end {
            let next = end.min(at + CHUNK);
            let following = tail.split_off((next - at) as usize);
            let (client, version) = (self.clone(), version.clone());
            let (index, range) = (order.len() + 1, at..next);
            order.push(range.clone());
            parts.spawn(async move {
                let _leave = client.session.request().await;
                let body = client.get_version(&version, range).await;
                match body {
                    Ok(body) => collect_part(index, body, tail).await,
                    Err(e) => (index, Err(e)),
                }
            });
            tail = following;
            at = next;
        }
        let mut filled: Vec<Option<BytesMut>> = (0..=order.len()).map(|_| None).collect();
        while let Some(done) = parts.join_next().await {
            // The other requests end with the set.
            let (index, part) =
                done.map_err(|_| Error::new(ErrorKind::Store, "a transfer ended early"))?;
            filled[index] = Some(part.map_err(|e| self.at.unread(path, &e))?);
        }
        let mut all = BytesMut::new();
        for part in filled.into_iter().flatten() {
            // They lie side by side: nothing is copied.
            all.unsplit(part);
        }
        drop(held);
        self.whole(path, Ok(all), length)
    }

    /// A body that fits in one buffer of the network: usually it is that buffer.
    async fn small(&self, path: &str, body: GetResult, length: usize) -> Result<Bytes> {
        let content = body.bytes().await.map_err(|e| self.at.unread(path, &e))?;
        match content.len() >= length {
            true => Ok(content.slice(..length)),
            false => Err(self.cut(path, content.len(), length)),
        }
    }

    fn whole(&self, path: &str, filled: Result<BytesMut, Failure>, length: usize) -> Result<Bytes> {
        let content = filled.map_err(|e| self.at.unread(path, &e))?;
        match content.len() == length {
            true => Ok(content.freeze()),
            false => Err(self.cut(path, content.len(), length)),
        }
    }

    fn cut(&self, path: &str, found: usize, length: usize) -> Error {
        Error::new(
            ErrorKind::Store,
            format!(
                "the server sent {found} bytes of {path} where {length} were announced (store `{}`)",
                self.at.name()
            ),
        )
        .store(self.at.name())
        .path(path)
        .hint("Read it again.")
    }

    /// One request for a range of a known content.
    pub(super) async fn get_version(
        &self,
        version: &Version,
        range: Range<u64>,
    ) -> Result<GetResult, Failure> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: version.etag.clone(),
            ..GetOptions::default()
        };
        let body = self
            .session
            .clients
            .store
            .get_opts(&version.key, options)
            .await?;
        // Without an etag the size is all that can be compared.
        if body.meta.size != version.size {
            return Err(Failure::Precondition {
                path: version.key.to_string(),
                source: "its size is another one".into(),
            });
        }
        Ok(body)
    }

    async fn get(&self, key: &Path, options: GetOptions) -> Result<GetResult, Failure> {
        self.session.clients.store.get_opts(key, options).await
    }

    /// Several ranges of one object at once, in order.
    pub(super) fn read_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let begun: Vec<_> = ranges
            .iter()
            .map(|range| {
                let (client, path, range) = (self.clone(), path.to_owned(), range.clone());
                runtime::start(async move {
                    let _leave = client.session.request().await;
                    client.fetch(&path, range).await
                })
            })
            .collect();
        begun
            .into_iter()
            .map(|pending| pending.and_then(|p| p.wait()?))
            .collect()
    }

    /// Many whole objects, in order.
    pub(super) fn read_many(&self, paths: &[&str]) -> Vec<Result<Bytes>> {
        let begun: Vec<_> = paths
            .iter()
            .map(|path| {
                let (client, path) = (self.clone(), (*path).to_owned());
                runtime::start(async move { client.fetch(&path, 0..u64::MAX).await })
            })
            .collect();
        begun
            .into_iter()
            .map(|pending| pending.and_then(|p| p.wait()?))
            .collect()
    }

    /// Copies an object to a local file, which appears whole or not at all.
    pub(super) fn download(&self, path: &str, destination: &LocalPath) -> Result<()> {
        let key = self.at.key(path)?;
        let (client, name) = (self.clone(), path.to_owned());
        let first = runtime::wait(async move {
            match client.first(&name, &key, &(0..CHUNK)).await? {
                Some(first) => {
                    let version = first.version.clone();
                    let end = first.body.range.end;
                    Ok(Some((client.rest(&name, first, end).await?, version)))
                }
                None => Ok(None),
            }
        })?;
        let folder = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => LocalPath::new("."),
        };
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let failed = |e| Error::io("write", destination, e);
        let mut temporary = super::super::file_write::temporary(folder).map_err(failed)?;
        if let Some((start, version)) = first {
            temporary.write_all(&start).map_err(failed)?;
            self.copy_rest(path, version, start.len() as u64, |part| {
                temporary.write_all(part).map_err(failed)
            })?;
        }
        temporary
            .persist(destination)
            .map_err(|e| failed(e.error))?;
        Ok(())
    }

    /// Hands what follows `start` to `take`, piece by piece, with a few pieces under way.
    fn copy_rest(
        &self,
        path: &str,
        version: Version,
        start: u64,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut next = start;
        let mut ahead = VecDeque::new();
        loop {
            while next < version.size && ahead.len() < AHEAD {
                let range = next..version.size.min(next + CHUNK);
                next = range.end;
                ahead.push_back(self.start_chunk(path, &version, range)?);
            }
            match ahead.pop_front() {
                Some(chunk) => take(&chunk.wait()??)?,
                None => return Ok(()),
            }
        }
    }

    /// Begins to read a range of a known content.
    pub(super) fn start_chunk(
        &self,
        path: &str,
        version: &Version,
        range: Range<u64>,
    ) -> Result<runtime::Pending<Result<Bytes>>> {
        let (client, version, path) = (self.clone(), version.clone(), path.to_owned());
        runtime::start(async move {
            let _leave = client.session.request().await;
            let length = (range.end - range.start) as usize;
            let body = client.get_version(&version, range).await;
            let body = body.map_err(|e| client.at.unread(&path, &e))?;
            let buffer = client.at.named(room(length))?;
            client.whole(&path, collect(body, buffer).await, length)
        })
    }

    /// Why an object cannot be read that is not there.
    async fn absent(&self, path: &str) -> Error {
        match self.is_folder(path).await {
            Ok(true) => self.at.is_folder(path),
            Ok(false) => self.at.missing(path),
            Err(e) => e,
        }
    }
}

/// An empty buffer with room for so many bytes. An error instead of an abort if they cannot be had.
fn room(length: usize) -> Result<BytesMut> {
    let memory: Vec<u8> = memory::with_capacity(length)?;
    // Through `Bytes`, so that the memory is taken over as it is.
    Ok(BytesMut::from(Bytes::from(memory)))
}

async fn collect_part(
    index: usize,
    body: GetResult,
    buffer: BytesMut,
) -> (usize, Result<BytesMut, Failure>) {
    (index, collect(body, buffer).await)
}

/// Fills a buffer from a body, never beyond the room it has.
async fn collect(body: GetResult, mut buffer: BytesMut) -> Result<BytesMut, Failure> {
    let mut stream = body.into_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        let left = buffer.capacity() - buffer.len();
        buffer.extend_from_slice(&piece[..piece.len().min(left)]);
    }
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_buffer_is_cut_filled_and_joined_without_copying() {
        for length in [1, 100, 9 << 20] {
            let mut first = room(length).unwrap();
            assert!(first.is_empty() && first.capacity() >= length);
            let start = first.as_ptr();
            let mut second = first.split_off(length / 2);
            second.resize(length - length / 2, 2);
            first.resize(length / 2, 1);
            first.unsplit(second);
            assert_eq!((first.as_ptr(), first.len()), (start, length));
        }
        assert!(room(usize::MAX / 2).is_err());
    }
}
