//! Writing: many objects at once, under bounds on requests and bytes.
//!
//! The calling thread hands puts to tasks, a few more than there may be requests, and asks for interruption while it
//! waits. A call that fails takes back what it made at fresh paths.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload};

use super::create::Created;
use super::{Client, runtime};
use crate::codec::{
    ContentHasher, Manifest, ManifestEntry, Put, PutPath, PutSource, content_hash, manifest_path,
    walk_folder,
};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::store::{PutOutcome, file_write::twins};

/// How often the calling thread asks for interruption.
pub(super) const ASK: Duration = Duration::from_millis(50);

/// How long a call that has failed waits for its requests under way. What ends later cleans up after itself.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Content-addressed objects above this are looked for before they are sent.
const LOOK_FIRST: u64 = 1 << 20;

/// How often a content-addressed object is tried again that others delete as it is found.
const TRIES: usize = 20;

/// The content of one object.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Segments(Vec<Bytes>),
    File(PathBuf),
}

/// One object to write.
pub(super) struct Work<'a> {
    pub(super) path: &'a str,
    /// Content-addressed: what is there may be kept.
    pub(super) shared: bool,
    pub(super) body: Body,
    pub(super) size: u64,
    pub(super) hashed: bool,
    pub(super) stop: &'a AtomicBool,
}

/// What writing one object did.
pub(super) struct Written {
    pub(super) created: bool,
    pub(super) hash: Option<String>,
}

type Message = (usize, Result<PutOutcome>);

impl Client {
    pub(super) fn put_many(
        &self,
        puts: &[Put],
        progress: &dyn Progress,
    ) -> Result<Vec<PutOutcome>> {
        // All names before the first object.
        for put in puts {
            self.at.target(put.path.as_str())?;
        }
        if puts.is_empty() {
            return Ok(Vec::new());
        }
        progress.begin("storing objects", Some(puts.len() as u64));
        let outcomes = self.put_checked(puts, progress);
        progress.end();
        outcomes
    }

    fn put_checked(&self, puts: &[Put], progress: &dyn Progress) -> Result<Vec<PutOutcome>> {
        let is_stream = |put: &Put| matches!(put.source, PutSource::Stream(_));
        if !puts.iter().any(is_stream) {
            return self.put_tasks(puts, progress);
        }
        let others: Vec<Put> = puts.iter().filter(|p| !is_stream(p)).cloned().collect();
        let mut done = self.put_tasks(&others, progress)?.into_iter();
        let mut outcomes: Vec<PutOutcome> = Vec::with_capacity(puts.len());
        for put in puts {
            let outcome = match &put.source {
                PutSource::Stream(stream) => self.put_stream(put, stream, progress),
                _ => done.next().ok_or_else(|| {
                    Error::new(ErrorKind::Store, "a transfer ended early").store(self.at.name())
                }),
            };
            match outcome {
                Ok(outcome) => outcomes.push(outcome),
                Err(e) => {
                    outcomes.extend(done);
                    self.discard(&outcomes);
                    return Err(e);
                }
            }
            if is_stream(put) {
                progress.advance(1);
            }
        }
        Ok(outcomes)
    }

    fn put_tasks(&self, puts: &[Put], progress: &dyn Progress) -> Result<Vec<PutOutcome>> {
        let twins = twins(puts);
        let (send, receive) = channel::<Message>();
        let stop = Arc::new(AtomicBool::new(false));
        let most = 2 * self.at.options.requests_in_flight.max(1);
        let mut outcomes: Vec<Option<PutOutcome>> = vec![None; puts.len()];
        let mut failure: Option<(usize, Error)> = None;
        let mut gave_up = None;
        let mut waiting = (0..puts.len()).filter(|i| twins[*i].is_none());
        let mut under_way = 0;
        loop {
            while failure.is_none() && under_way < most {
                let Some(i) = waiting.next() else { break };
                match self.begin(i, &puts[i], send.clone(), stop.clone()) {
                    Ok(()) => under_way += 1,
                    Err(e) => failure = Some((i, e)),
                }
            }
            if under_way == 0 {
                break;
            }
            match receive.recv_timeout(ASK) {
                Ok((i, done)) => {
                    under_way -= 1;
                    match done {
                        Ok(outcome) => {
                            outcomes[i] = Some(outcome);
                            progress.advance(1);
                        }
                        // The first in order speaks, and nobody who only stopped because of another.
                        Err(e) if e.kind() == ErrorKind::Interrupted => {}
                        Err(e) if failure.as_ref().is_none_or(|(first, _)| i < *first) => {
                            failure = Some((i, e));
                        }
                        Err(_) => {}
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if failure.is_none() && progress.interrupted() {
                let error = Error::new(ErrorKind::Interrupted, "interrupted while storing objects");
                // No put of the batch comes before it.
                failure = Some((0, error));
            }
            if failure.is_some() {
                stop.store(true, Ordering::Relaxed);
                let since = *gave_up.get_or_insert_with(Instant::now);
                if since.elapsed() > GRACE {
                    break;
                }
            }
        }
        drop(receive);
        if let Some((_, error)) = failure {
            let made: Vec<PutOutcome> = outcomes.into_iter().flatten().collect();
            self.discard(&made);
            return Err(error);
        }
        for (i, twin) in twins.iter().enumerate() {
            if let Some(first) = twin {
                outcomes[i] = outcomes[*first].clone().map(|first| PutOutcome {
                    created: false,
                    ..first
                });
            }
        }
        let whole: Option<Vec<PutOutcome>> = outcomes.into_iter().collect();
        whole.ok_or_else(|| {
            Error::new(ErrorKind::Store, "a transfer ended early").store(self.at.name())
        })
    }

    /// Begins one put.
    fn begin(
        &self,
        i: usize,
        put: &Put,
        send: Sender<Message>,
        stop: Arc<AtomicBool>,
    ) -> Result<()> {
        let (client, put) = (self.clone(), put.clone());
        runtime::handle()?.spawn(async move {
            let worker = client.clone();
            // A task of its own, so that it is answered for whatever happens to it.
            let done = tokio::spawn(async move { worker.put_one(&put, &stop).await }).await;
            let done = done.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Store, "a transfer ended early").store(client.at.name()))
            });
            if let Err(unheard) = send.send((i, done))
                && let (_, Ok(outcome)) = unheard.0
            {
                // The call has failed and gone: nobody will name this object.
                let _ = runtime::blocking(move || client.discard(&[outcome])).await;
            }
        });
        Ok(())
    }

    async fn put_one(&self, put: &Put, stop: &AtomicBool) -> Result<PutOutcome> {
        let path = put.path.as_str();
        let (body, size) = match &put.source {
            PutSource::Folder(local) => return self.put_folder(put, local.clone(), stop).await,
            PutSource::Segments(segments) => {
                let size = segments.iter().map(|s| s.len() as u64).sum();
                (Body::Segments(segments.clone()), size)
            }
            // Written by the calling thread: see `put_checked`.
            PutSource::Stream(_) => return Err(Error::invalid("a stream cannot be shared")),
            PutSource::File(local) => {
                let found = std::fs::metadata(local);
                let size = found.map_err(|e| Error::io("read", local, e))?.len();
                (Body::File(local.clone()), size)
            }
        };
        self.check_size(put, size)?;
        let fresh = matches!(put.path, PutPath::Fresh(_));
        let written = self
            .write(Work {
                path,
                shared: !fresh,
                body,
                size,
                hashed: put.record_hash.is_some(),
                stop,
            })
            .await?;
        Ok(PutOutcome {
            path: path.to_owned(),
            size,
            hash: written.hash,
            item_count: None,
            created: written.created,
            fresh,
        })
    }

    /// Writes one object.
    pub(super) async fn write(&self, work: Work<'_>) -> Result<Written> {
        let key = self.at.target(work.path)?;
        stopped(work.stop)?;
        let in_parts = work.size > self.at.options.multipart_size;
        if work.shared && (in_parts || work.size > LOOK_FIRST) {
            let found = self.head_object(work.path).await?;
            if found.is_some_and(|f| f.size == work.size) {
                return Ok(Written {
                    created: false,
                    hash: None,
                });
            }
        }
        if in_parts {
            return self.upload(&key, work).await;
        }
        let leave = match &work.body {
            Body::File(_) => self.session.buffer(work.size).await,
            Body::Segments(_) => None,
        };
        let segments = match &work.body {
            Body::Segments(segments) => segments.clone(),
            Body::File(local) => vec![read_file(local.clone(), work.size).await?],
        };
        let (created, hash) = tokio::try_join!(
            self.place(&work, &key, &segments),
            hash(work.hashed, segments.clone()),
        )?;
        drop(leave);
        Ok(Written { created, hash })
    }

    /// Puts content in its place. False if an object of this content was there already.
    async fn place(
        &self,
        work: &Work<'_>,
        key: &object_store::path::Path,
        segments: &[Bytes],
    ) -> Result<bool> {
        for _ in 0..TRIES {
            stopped(work.stop)?;
            match self.create(work.path, key, segments).await? {
                Created::Made => return Ok(true),
                Created::Exists if !work.shared => return Err(self.at.taken(work.path)),
                Created::Exists => {}
            }
            // Never from an earlier listing: it may have gone, or be damaged.
            match self.head_object(work.path).await? {
                Some(found) if found.size == work.size => return Ok(false),
                Some(_) => {
                    self.replace(work.path, segments.to_vec()).await?;
                    return Ok(true);
                }
                // Deleted just now by a collector: it is ours to make.
                None => {}
            }
        }
        Err(Error::new(
            ErrorKind::Store,
            format!(
                "could not write {}: it is deleted as often as it is found",
                work.path
            ),
        )
        .store(self.at.name())
        .path(work.path))
    }

    /// Writes an object in the place of what is there.
    pub(super) async fn replace(&self, path: &str, segments: Vec<Bytes>) -> Result<()> {
        let key = self.at.target(path)?;
        let size = segments.iter().map(|s| s.len() as u64).sum();
        if size > self.at.options.multipart_size {
            let stop = AtomicBool::new(false);
            let work = Work {
                path,
                shared: true,
                body: Body::Segments(segments),
                size,
                hashed: false,
                stop: &stop,
            };
            return self.upload(&key, work).await.map(|_| ());
        }
        let _leave = self.session.request().await;
        let payload: PutPayload = segments.into_iter().collect();
        let done = self.session.clients.store.put(&key, payload).await;
        done.map(|_| ())
            .map_err(|e| self.at.failed("write", path, &e))
    }

    /// Writes a folder: its files, many at a time, then its manifest.
    async fn put_folder(&self, put: &Put, local: PathBuf, stop: &AtomicBool) -> Result<PutOutcome> {
        let path = put.path.as_str();
        let root = local.clone();
        let files = runtime::blocking(move || walk_folder(&root)).await??;
        self.check_size(put, files.iter().map(|(_, size)| size).sum())?;
        for (relative, _) in &files {
            self.at.target(&format!("{path}/{relative}"))?;
        }
        if self.is_folder(path).await? {
            return Err(self.at.taken(path));
        }
        let done = self.put_files(path, &local, files, stop).await;
        let manifest = match done {
            Ok(manifest) => manifest,
            Err(e) => {
                // All of it is ours: nothing was there before, and the path carries a random token.
                let _ = self.delete_prefix(path).await;
                return Err(e);
            }
        };
        Ok(PutOutcome {
            path: path.to_owned(),
            size: manifest.total_size,
            hash: None,
            item_count: Some(manifest.item_count),
            created: true,
            fresh: true,
        })
    }

    async fn put_files(
        &self,
        path: &str,
        local: &std::path::Path,
        files: Vec<(String, u64)>,
        stop: &AtomicBool,
    ) -> Result<Manifest> {
        let puts = files.into_iter().map(|(relative, size)| {
            let body = Body::File(local.join(&relative));
            async move {
                let at = format!("{path}/{relative}");
                let written = self
                    .write(Work {
                        path: &at,
                        shared: false,
                        body,
                        size,
                        hashed: true,
                        stop,
                    })
                    .await?;
                Ok::<_, Error>(ManifestEntry {
                    path: relative,
                    size,
                    hash: written.hash,
                })
            }
        });
        // In their order, as the walk gave them.
        let most = self.at.options.requests_in_flight.max(1);
        let entries: Vec<ManifestEntry> = stream::iter(puts).buffered(most).try_collect().await?;
        stopped(stop)?;
        let manifest = Manifest::new(entries);
        let manifest_at = manifest_path(path);
        let key = self.at.target(&manifest_at)?;
        let content = [Bytes::from(manifest.to_json()?)];
        match self.create(&manifest_at, &key, &content).await? {
            Created::Made => Ok(manifest),
            Created::Exists => Err(self.at.taken(&manifest_at)),
        }
    }

    fn check_size(&self, put: &Put, size: u64) -> Result<()> {
        if put.size.is_some_and(|stated| stated != size) {
            return Err(self.changed(put.path.as_str()));
        }
        Ok(())
    }

    fn changed(&self, path: &str) -> Error {
        Error::new(
            ErrorKind::Value,
            format!("the source of {path} changed while it was stored"),
        )
        .store(self.at.name())
        .path(path)
    }
}

/// An error once the call has been given up.
pub(super) fn stopped(stop: &AtomicBool) -> Result<()> {
    match stop.load(Ordering::Relaxed) {
        true => Err(Error::new(
            ErrorKind::Interrupted,
            "interrupted while storing objects",
        )),
        false => Ok(()),
    }
}

/// The content hash, if it is wanted.
pub(super) async fn hash(wanted: bool, segments: Vec<Bytes>) -> Result<Option<String>> {
    let size: usize = segments.iter().map(Bytes::len).sum();
    match wanted {
        false => Ok(None),
        // Not worth another thread.
        true if size < 1 << 16 => Ok(Some(content_hash(segments.iter().map(|s| &s[..])))),
        true => {
            let work = move || {
                let mut hasher = ContentHasher::new();
                segments.iter().for_each(|s| hasher.update(s));
                hasher.finish()
            };
            runtime::blocking(work).await.map(Some)
        }
    }
}

/// A whole local file, which must have the size that it had.
async fn read_file(local: PathBuf, size: u64) -> Result<Bytes> {
    runtime::blocking(move || {
        let content = std::fs::read(&local).map_err(|e| Error::io("read", &local, e))?;
        if content.len() as u64 != size {
            return Err(Error::new(
                ErrorKind::Value,
                format!("the file {} changed while it was stored", local.display()),
            ));
        }
        Ok(Bytes::from(content))
    })
    .await?
}
