//! Large objects in parts, several under way at once. Until the last request nothing is visible; on failure the server is
//! told to forget the parts.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::write::{Body, Work, Written, hash, stopped};
use super::{Client, runtime};
use crate::codec::ContentHasher;
use crate::error::{Error, ErrorKind, Result};

/// Parts of one object that are under way at once.
pub(super) const PARTS: usize = 6;

/// Parts that an upload may have.
const MOST_PARTS: u64 = 10_000;

impl Client {
    /// Sends an object in parts.
    pub(super) async fn upload(&self, key: &Path, work: Work<'_>) -> Result<Written> {
        // There is no conditional upload in parts. Nobody else writes at a fresh path, whose token is random; this look
        // finds mistakes.
        if !work.shared && self.head_object(work.path).await?.is_some() {
            return Err(self.at.taken(work.path));
        }
        let failed = |e| self.at.failed("write", work.path, &e);
        let mut upload = self
            .session
            .clients
            .store
            .put_multipart(key)
            .await
            .map_err(failed)?;
        let sent = self.send_parts(&mut *upload, &work).await;
        let done = match sent {
            Ok(hash) => self
                .complete(&mut *upload, work.path, key, work.size)
                .await
                .map(|()| hash),
            Err(e) => Err(e),
        };
        match done {
            Ok(hash) => Ok(Written {
                created: true,
                hash,
            }),
            Err(e) => {
                let _ = upload.abort().await;
                Err(e)
            }
        }
    }

    /// Makes the object visible. If the answer is lost, or a repeated request finds the upload gone, the object itself
    /// tells.
    pub(super) async fn complete(
        &self,
        upload: &mut dyn MultipartUpload,
        path: &str,
        key: &Path,
        size: u64,
    ) -> Result<()> {
        match upload.complete().await {
            Ok(_) => Ok(()),
            Err(e) => match self.session.clients.store.head(key).await {
                Ok(found) if found.size == size => Ok(()),
                _ => Err(self.at.failed("write", path, &e)),
            },
        }
    }

    async fn send_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        work: &Work<'_>,
    ) -> Result<Option<String>> {
        let part = self
            .at
            .options
            .multipart_size
            .max(1)
            .max(work.size.div_ceil(MOST_PARTS));
        match &work.body {
            Body::Segments(segments) => {
                let hashing = tokio::spawn(hash(work.hashed, segments.clone()));
                self.send_segments(upload, work, segments, part).await?;
                hashing
                    .await
                    .map_err(|_| Error::new(ErrorKind::Store, "a transfer ended early"))?
            }
            Body::File(local) => self.send_file(upload, work, local.clone(), part).await,
        }
    }

    async fn send_segments(
        &self,
        upload: &mut dyn MultipartUpload,
        work: &Work<'_>,
        segments: &[Bytes],
        part: u64,
    ) -> Result<()> {
        let mut sending = JoinSet::new();
        for payload in cut(segments, part) {
            self.make_room(&mut sending, work).await?;
            self.send(&mut sending, upload, payload, None);
        }
        self.drain(&mut sending, work).await
    }

    /// Reads a file part by part, hashing as it goes.
    async fn send_file(
        &self,
        upload: &mut dyn MultipartUpload,
        work: &Work<'_>,
        mut local: PathBuf,
        part: u64,
    ) -> Result<Option<String>> {
        let unread = {
            let local = local.clone();
            move |e| Error::io("read", &local, e)
        };
        let file = File::open(&local).map_err(&unread)?;
        let mut state = (file, ContentHasher::new());
        let mut left = work.size;
        let mut sending = JoinSet::new();
        while left > 0 {
            self.make_room(&mut sending, work).await?;
            let length = left.min(part);
            let leave = self.session.buffer(length).await;
            let (mut file, mut hasher) = state;
            let hashed = work.hashed;
            let read = move || {
                let mut content = crate::memory::with_capacity(length as usize)?;
                (&mut file)
                    .take(length)
                    .read_to_end(&mut content)
                    .map_err(|e| Error::io("read", &local, e))?;
                if hashed {
                    hasher.update(&content);
                }
                Ok::<_, Error>((file, hasher, Bytes::from(content), local))
            };
            let (file, hasher, content, same) = runtime::blocking(read).await??;
            local = same;
            if content.len() as u64 != length {
                return Err(self.shrunk(work.path));
            }
            state = (file, hasher);
            left -= length;
            self.send(&mut sending, upload, content.into(), leave);
        }
        let (mut file, hasher) = state;
        let more = file.read(&mut [0]).map_err(&unread)?;
        if more > 0 {
            return Err(self.shrunk(work.path));
        }
        self.drain(&mut sending, work).await?;
        Ok(work.hashed.then(|| hasher.finish()))
    }

    fn shrunk(&self, path: &str) -> Error {
        Error::new(
            ErrorKind::Value,
            format!("the source of {path} changed while it was stored"),
        )
        .store(self.at.name())
        .path(path)
    }

    /// Begins to send a part.
    fn send(
        &self,
        sending: &mut JoinSet<object_store::Result<()>>,
        upload: &mut dyn MultipartUpload,
        payload: PutPayload,
        leave: Option<OwnedSemaphorePermit>,
    ) {
        let session = Arc::clone(&self.session);
        let part = upload.put_part(payload);
        sending.spawn(async move {
            let _request = session.request().await;
            let done = part.await;
            drop(leave);
            done
        });
    }

    /// Waits until another part may begin.
    async fn make_room(
        &self,
        sending: &mut JoinSet<object_store::Result<()>>,
        work: &Work<'_>,
    ) -> Result<()> {
        stopped(work.stop)?;
        while sending.len() >= PARTS {
            self.one_done(sending, work.path).await?;
        }
        Ok(())
    }

    async fn drain(
        &self,
        sending: &mut JoinSet<object_store::Result<()>>,
        work: &Work<'_>,
    ) -> Result<()> {
        while !sending.is_empty() {
            stopped(work.stop)?;
            self.one_done(sending, work.path).await?;
        }
        stopped(work.stop)
    }

    async fn one_done(
        &self,
        sending: &mut JoinSet<object_store::Result<()>>,
        path: &str,
    ) -> Result<()> {
        match sending.join_next().await {
            Some(Ok(done)) => done.map_err(|e| self.at.failed("write", path, &e)),
            Some(Err(_)) => Err(Error::new(ErrorKind::Store, "a transfer ended early")),
            None => Ok(()),
        }
    }
}

/// Cuts segments into parts, without copying.
fn cut(segments: &[Bytes], part: u64) -> Vec<PutPayload> {
    let mut parts = Vec::new();
    let mut current: Vec<Bytes> = Vec::new();
    let mut room = part as usize;
    for segment in segments {
        let mut rest = segment.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(room));
            room -= piece.len();
            current.push(piece);
            if room == 0 {
                parts.push(current.drain(..).collect());
                room = part as usize;
            }
        }
    }
    if !current.is_empty() {
        parts.push(current.into_iter().collect());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_across_segments() {
        let segments = [
            Bytes::from_static(b"ab"),
            Bytes::new(),
            Bytes::from_static(b"cdefgh"),
            Bytes::from_static(b"i"),
        ];
        let parts: Vec<Bytes> = cut(&segments, 3).into_iter().map(Bytes::from).collect();
        assert_eq!(parts, ["abc", "def", "ghi"]);
        let parts: Vec<Bytes> = cut(&segments, 4).into_iter().map(Bytes::from).collect();
        assert_eq!(parts, ["abcd", "efgh", "i"]);
    }
}
