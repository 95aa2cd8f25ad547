//! A stream into an object of any size: parts are sent while it is written, with a few of them in memory.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt};

use super::{Client, runtime};
use crate::codec::ContentHasher;
use crate::error::{Error, ErrorKind, Result};
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
    hasher: ContentHasher,
    written: u64,
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
            hasher: ContentHasher::new(),
            written: 0,
        })
    }

    /// Begins to send what is in the buffer as one part.
    fn send(&mut self) -> Result<()> {
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
        self.wait_for(AHEAD)
    }

    /// Waits until no more than so many parts are under way.
    fn wait_for(&mut self, most: usize) -> Result<()> {
        while self.sending.len() > most {
            if let Some(oldest) = self.sending.pop_front() {
                oldest
                    .wait()?
                    .map_err(|e| self.client.at.failed("write", &self.path, &e))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let (client, path, key, size) = (
            self.client.clone(),
            self.path.clone(),
            self.key.clone(),
            self.written,
        );
        if self.upload.is_none() {
            let content = Bytes::from(std::mem::take(&mut self.buffer));
            return runtime::wait(async move { client.replace(&path, vec![content]).await });
        }
        if !self.buffer.is_empty() {
            self.send()?;
        }
        self.wait_for(0)?;
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

    /// Tells the server to forget the parts.
    fn forget(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            let sending = std::mem::take(&mut self.sending);
            for part in sending {
                // A part that arrives after the end would stay.
                let _ = part.wait();
            }
            let _ = runtime::wait(async move {
                upload
                    .abort()
                    .await
                    .map_err(|e| Error::new(ErrorKind::Store, e.to_string()))
            });
        }
    }
}

impl Write for RemoteWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= self.part {
            self.send().map_err(io::Error::other)?;
        }
        let n = buffer.len().min(self.part - self.buffer.len());
        self.buffer.extend_from_slice(&buffer[..n]);
        self.hasher.update(&buffer[..n]);
        self.written += n as u64;
        Ok(n)
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
        self.finish()?;
        Ok(PutOutcome {
            path: self.path.clone(),
            size: self.written,
            hash: Some(std::mem::take(&mut self.hasher).finish()),
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
