//! A stream into an object of any size: parts are sent while it is written, with a few of them in memory.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt};

use super::create::Created;
use super::write::{ASK, GRACE};
use super::{Client, runtime};
use crate::codec::{ContentHasher, Put, PutPath, PutStream};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Progress, Silent};
use crate::store::{ObjectWriter, PutOutcome};

/// Parts under way at once: memory is a part more than this.
const AHEAD: usize = 4;

/// After so many parts they are made twice as large, so that ten thousand suffice.
const GROW_AFTER: usize = 1000;

pub(super) struct RemoteWriter {
    client: Client,
    path: String,
    key: Path,
    buffer: Vec<u8>,
    part: usize,
    parts: usize,
    upload: Option<Box<dyn MultipartUpload>>,
    sending: VecDeque<runtime::Pending<object_store::Result<()>>>,
    hasher: Option<ContentHasher>,
    written: u64,
}

impl Client {
    /// Writes a stream, on the calling thread.
    pub(super) fn put_stream(
        &self,
        put: &Put,
        stream: &PutStream,
        progress: &dyn Progress,
    ) -> Result<PutOutcome> {
        let path = put.path.as_str();
        let mut outcome = PutOutcome {
            path: path.to_owned(),
            size: put.size.unwrap_or(0),
            hash: None,
            item_count: None,
            created: true,
            fresh: matches!(put.path, PutPath::Fresh(_)),
        };
        let (client, at) = (self.clone(), path.to_owned());
        // As for uploads in parts: there is no conditional one.
        match runtime::wait(async move { client.head_object(&at).await })? {
            Some(_) if outcome.fresh => return Err(self.at.taken(path)),
            Some(found) if put.size == Some(found.size) => {
                outcome.created = false;
                return Ok(outcome);
            }
            _ => {}
        }
        // Dropped on failure, which takes back what was sent.
        let mut writer = RemoteWriter::new(self.clone(), path)?;
        writer.hasher = put.record_hash.is_some().then(ContentHasher::new);
        outcome.size = stream
            .pour(put.size, progress, &mut |block| writer.add(block, progress))
            .map_err(|e| match e.place().path {
                Some(_) => e,
                None => e.store(self.at.name()).path(path),
            })?;
        writer.finish(outcome.fresh, progress)?;
        outcome.hash = writer.hasher.take().map(ContentHasher::finish);
        Ok(outcome)
    }
}

impl RemoteWriter {
    pub(super) fn new(client: Client, path: &str) -> Result<Self> {
        let key = client.at.target(path)?;
        let part = client.at.options.multipart_size.max(1) as usize;
        Ok(RemoteWriter {
            client,
            path: path.to_owned(),
            key,
            buffer: Vec::new(),
            part,
            parts: 0,
            upload: None,
            sending: VecDeque::new(),
            hasher: Some(ContentHasher::new()),
            written: 0,
        })
    }

    /// Begins to send what is in the buffer as one part.
    fn send(&mut self, progress: &dyn Progress) -> Result<()> {
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => {
                let (client, key, path) =
                    (self.client.clone(), self.key.clone(), self.path.clone());
                runtime::wait(async move {
                    let made = client.session.clients.store.put_multipart(&key).await;
                    made.map_err(|e| client.at.failed("write", &path, &e))
                })?
            }
        };
        let content = Bytes::from(std::mem::take(&mut self.buffer));
        let part = upload.put_part(content.into());
        self.upload = Some(upload);
        let session = Arc::clone(&self.client.session);
        self.sending.push_back(runtime::start(async move {
            let _leave = session.request().await;
            part.await
        })?);
        self.parts += 1;
        if self.parts.is_multiple_of(GROW_AFTER) {
            self.part *= 2;
        }
        self.wait_for(AHEAD, progress)
    }

    /// Waits until no more than so many parts are under way, asking for interruption meanwhile.
    fn wait_for(&mut self, most: usize, progress: &dyn Progress) -> Result<()> {
        while self.sending.len() > most {
            let Some(oldest) = self.sending.front() else {
                break;
            };
            match oldest.wait_for(ASK)? {
                Some(done) => {
                    self.sending.pop_front();
                    done.map_err(|e| self.client.at.failed("write", &self.path, &e))?;
                }
                None if progress.interrupted() => {
                    return Err(Error::new(
                        ErrorKind::Interrupted,
                        "interrupted while storing a stream",
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Adds bytes, sending a part whenever one is full.
    fn add(&mut self, mut bytes: &[u8], progress: &dyn Progress) -> Result<()> {
        while !bytes.is_empty() {
            if self.buffer.len() >= self.part {
                self.send(progress)?;
            }
            let n = bytes.len().min(self.part - self.buffer.len());
            if self.upload.is_some() && self.buffer.is_empty() {
                // There is one part already, so this one will be full, too.
                self.buffer = crate::memory::with_capacity(self.part)?;
            }
            self.buffer.extend_from_slice(&bytes[..n]);
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&bytes[..n]);
            }
            self.written += n as u64;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Makes the object visible. `fresh`: where nothing is yet.
    fn finish(&mut self, fresh: bool, progress: &dyn Progress) -> Result<()> {
        let (client, path, key, size) = (
            self.client.clone(),
            self.path.clone(),
            self.key.clone(),
            self.written,
        );
        if self.upload.is_none() {
            let content = vec![Bytes::from(std::mem::take(&mut self.buffer))];
            return runtime::wait(async move {
                if !fresh {
                    return client.replace(&path, content).await;
                }
                match client.create(&path, &key, &content).await? {
                    Created::Made => Ok(()),
                    Created::Exists => Err(client.at.taken(&path)),
                }
            });
        }
        if !self.buffer.is_empty() {
            self.send(progress)?;
        }
        self.wait_for(0, progress)?;
        let Some(mut upload) = self.upload.take() else {
            return Ok(());
        };
        runtime::wait(async move {
            let done = client.complete(&mut *upload, &path, &key, size).await;
            if done.is_err() {
                let _ = upload.abort().await;
            }
            done
        })
    }

    /// Tells the server to forget the parts. Parts under way are waited for, as one that arrives after the end would
    /// stay; if they take long, in the background.
    fn forget(&mut self) {
        let Some(mut upload) = self.upload.take() else {
            return;
        };
        let sending = std::mem::take(&mut self.sending);
        let forgetting = runtime::start(async move {
            let ended = move || sending.into_iter().for_each(|part| drop(part.wait()));
            let _ = runtime::blocking(ended).await;
            let _ = upload.abort().await;
        });
        if let Ok(forgetting) = forgetting {
            let _ = forgetting.wait_for(GRACE);
        }
    }
}

impl Write for RemoteWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.add(buffer, &Silent).map_err(io::Error::other)?;
        Ok(buffer.len())
    }

    /// Nothing is visible before the end, so there is nothing to hurry.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for RemoteWriter {
    fn written(&self) -> u64 {
        self.written
    }

    fn commit(mut self: Box<Self>) -> Result<PutOutcome> {
        self.finish(false, &Silent)?;
        Ok(PutOutcome {
            path: self.path.clone(),
            size: self.written,
            hash: self.hasher.take().map(ContentHasher::finish),
            item_count: None,
            created: true,
            fresh: true,
        })
    }

    fn abort(self: Box<Self>) {}
}

impl Drop for RemoteWriter {
    fn drop(&mut self) {
        self.forget();
    }
}
