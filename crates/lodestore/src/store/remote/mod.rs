//! Stores behind the `object_store` crate: S3, GCS, Azure, and memory (spec: stores §2, §9.2).
//!
//! The interface is synchronous, as everywhere in the engine; the work is done by tasks of one shared runtime
//! (`runtime.rs`), of which a store has so many requests and bytes under way and no more. Connecting is in `connect.rs`,
//! names in `key.rs` and `wire.rs`, reading in `read.rs` and `open.rs`, writing in `write.rs`, `create.rs`,
//! `multipart.rs` and `writer.rs`, listing and deleting in `list.rs`, and errors in words in `explain.rs`.

mod bridge;
mod connect;
mod create;
mod explain;
mod key;
mod list;
mod multipart;
mod open;
mod read;
mod runtime;
mod wire;
mod write;
mod writer;

use std::fmt;
use std::ops::Range;
use std::path::{Path as LocalPath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::bridge::Bridge;
use self::connect::Clients;
use super::adapter::FileSystem;
use super::path::{self, ObjectPath};
use super::{ObjectWriter, Protocol, PutOutcome, Store, StoreOptions, StoreSpec};
use crate::codec::{ObjectHandle, ObjectMeta, ObjectReader, Put, ReadSeek};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::value::Row;

/// A store behind the `object_store` crate. Clones are the same store.
#[derive(Clone)]
pub struct RemoteStore {
    at: Arc<Site>,
    source: Source,
    /// Connections of this process; a forked child makes its own.
    session: Arc<Mutex<Option<Arc<Session>>>>,
}

/// Where the client comes from.
#[derive(Clone)]
enum Source {
    /// It is made from the specification.
    Spec,
    /// It was given.
    Given(Arc<dyn ObjectStore>),
}

/// What does not change over a store's life.
struct Site {
    spec: StoreSpec,
    options: StoreOptions,
    /// The bucket or container; empty in memory.
    bucket: String,
    /// What must not be shown.
    secrets: Vec<String>,
    /// The file system of a plug-in's store, which names its paths itself.
    files: Option<Arc<dyn FileSystem>>,
}

/// The clients of one process, and the bounds on what they have under way.
struct Session {
    process: u32,
    clients: Clients,
    requests: Arc<Semaphore>,
    /// Bytes in buffers of ours, in units of [`UNIT`].
    bytes: Arc<Semaphore>,
    units: u32,
    /// False once the server has said that it knows no conditional puts.
    conditional: AtomicBool,
    /// Whether the server takes several slashes for one, once that is known.
    collapses: OnceLock<bool>,
}

/// What one permit for bytes stands for.
const UNIT: u64 = 4096;

impl Session {
    fn new(clients: Clients, options: &StoreOptions) -> Self {
        let units = (options.bytes_in_flight / UNIT).clamp(1, u64::from(u32::MAX)) as u32;
        Session {
            process: std::process::id(),
            clients,
            requests: Arc::new(Semaphore::new(options.requests_in_flight.max(1))),
            bytes: Arc::new(Semaphore::new(units as usize)),
            units,
            conditional: AtomicBool::new(true),
            collapses: OnceLock::new(),
        }
    }

    /// Leave for one more request. Whoever has it must not wait for another.
    async fn request(&self) -> Option<OwnedSemaphorePermit> {
        // It fails if the semaphore is closed, which never happens.
        Arc::clone(&self.requests).acquire_owned().await.ok()
    }

    /// Leave for a buffer. One larger than the bound has it alone. Not to be waited for while holding a request.
    async fn buffer(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let bound = Arc::clone(&self.bytes);
        bound.acquire_many_owned(self.in_units(bytes)).await.ok()
    }

    /// As [`Session::buffer`], without waiting.
    fn try_buffer(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let bound = Arc::clone(&self.bytes);
        bound.try_acquire_many_owned(self.in_units(bytes)).ok()
    }

    fn in_units(&self, bytes: u64) -> u32 {
        bytes.div_ceil(UNIT).min(u64::from(self.units)) as u32
    }
}

/// What the tasks of one call work with.
#[derive(Clone)]
struct Client {
    at: Arc<Site>,
    session: Arc<Session>,
}

impl RemoteStore {
    /// A store of protocol `s3`, `gcs` or `azure`. Nothing is asked of the server yet; what is wrong with the
    /// specification itself is an error ([`ErrorKind::Config`]).
    pub fn open(spec: StoreSpec, options: StoreOptions) -> Result<Self> {
        let store = Self::at(spec, options, Source::Spec, None)?;
        store.client()?;
        Ok(store)
    }

    /// An empty store in memory.
    pub fn memory(spec: StoreSpec, options: StoreOptions) -> Result<Self> {
        Self::over(spec, options, Arc::new(InMemory::new()))
    }

    /// A store over a client of the `object_store` crate, for embedding and for tests. Only addressing is taken from the
    /// specification. The client should not repeat conditional puts by itself: a lost answer would look like an object
    /// that was there before.
    pub fn over(
        spec: StoreSpec,
        options: StoreOptions,
        client: Arc<dyn ObjectStore>,
    ) -> Result<Self> {
        Self::at(spec, options, Source::Given(client), None)
    }

    /// A store over the file system of a plug-in.
    pub fn plugin(
        spec: StoreSpec,
        options: StoreOptions,
        files: Arc<dyn FileSystem>,
    ) -> Result<Self> {
        let client = Arc::new(Bridge(Arc::clone(&files)));
        Self::at(spec, options, Source::Given(client), Some(files))
    }

    fn at(
        spec: StoreSpec,
        options: StoreOptions,
        source: Source,
        files: Option<Arc<dyn FileSystem>>,
    ) -> Result<Self> {
        if files.is_none() {
            connect::check_location(&spec)?;
        }
        let at = Site {
            bucket: connect::bucket(&spec),
            secrets: connect::secrets(&spec),
            spec,
            options,
            files,
        };
        Ok(RemoteStore {
            at: Arc::new(at),
            source,
            session: Arc::default(),
        })
    }

    fn client(&self) -> Result<Client> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match &*session {
            Some(session) if session.process == std::process::id() => session.clone(),
            _ => {
                let clients = match &self.source {
                    Source::Given(client) => Clients::same(client),
                    Source::Spec => connect::connect(&self.at)?,
                };
                let made = Arc::new(Session::new(clients, &self.at.options));
                *session = Some(made.clone());
                made
            }
        };
        Ok(Client {
            at: self.at.clone(),
            session,
        })
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteStore").field(&self.at.spec).finish()
    }
}

impl Site {
    fn name(&self) -> &str {
        &self.spec.name
    }

    /// `location`, verbatim. Empty for a plug-in, which adds it by itself.
    fn location(&self) -> &str {
        match self.files {
            Some(_) => "",
            None => &self.spec.location,
        }
    }

    /// The location and a slash; empty if the location is.
    fn base(&self) -> String {
        match self.location() {
            "" => String::new(),
            location => format!("{location}/"),
        }
    }

    /// The key of a path, which is checked.
    fn key(&self, path: &str) -> Result<Path> {
        let checked = ObjectPath::new(path).map_err(|e| e.store(self.name()))?;
        let place = |e: Error| e.store(self.name()).path(path);
        let key = key::to_path(&format!("{}{checked}", self.base())).map_err(place)?;
        if key::is_escaped(key.as_ref()) && !connect::can_escape(&self.spec.protocol) {
            return Err(place(Error::new(
                ErrorKind::Value,
                format!(
                    "the path {path:?} has a control character, which stores of protocol `{}` cannot hold",
                    self.spec.protocol.as_str()
                ),
            )));
        }
        Ok(key)
    }

    /// The key of a path that will be written.
    fn target(&self, path: &str) -> Result<Path> {
        let place = |e: Error| e.store(self.name()).path(path);
        let checked = ObjectPath::new(path).map_err(place)?;
        checked.check_names().map_err(place)?;
        let length = self.base().len() + checked.as_str().len();
        let bounded = self.files.is_none() && self.spec.protocol != Protocol::Memory;
        if length > key::MAX_KEY && bounded {
            return Err(place(
                Error::new(
                    ErrorKind::Value,
                    format!(
                        "the object's name would have {length} bytes; object stores take at most {}",
                        key::MAX_KEY
                    ),
                )
                .hint("Shorten the key values that are part of the object's path."),
            ));
        }
        self.key(path)
    }

    fn full_path(&self, path: &str) -> String {
        if let Some(files) = &self.files {
            return files.full_path(path);
        }
        let parts = [&*self.bucket, &*self.spec.location, path];
        let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        parts.join("/")
    }
}

impl ObjectReader for RemoteStore {
    fn name(&self) -> &str {
        self.at.name()
    }

    fn protocol(&self) -> &str {
        self.at.spec.protocol.as_str()
    }

    fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        let (client, path) = (self.client()?, path.to_owned());
        runtime::wait(async move { client.head(&path).await })
    }

    fn exist_many(&self, paths: &[&str]) -> Result<Vec<bool>> {
        self.client()?.exist_many(paths)
    }

    fn read(&self, path: &str) -> Result<Bytes> {
        self.read_range(path, 0..u64::MAX)
    }

    fn read_many(&self, paths: &[&str]) -> Vec<Result<Bytes>> {
        match self.client() {
            Ok(client) => client.read_many(paths),
            Err(e) => paths.iter().map(|_| Err(e.clone())).collect(),
        }
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let (client, path) = (self.client()?, path.to_owned());
        runtime::wait(async move { client.fetch(&path, range).await })
    }

    fn read_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match ranges {
            [range] => Ok(vec![self.read_range(path, range.clone())?]),
            _ => self.client()?.read_ranges(path, ranges),
        }
    }

    fn open(&self, path: &str) -> Result<Box<dyn ReadSeek>> {
        Ok(Box::new(open::RemoteFile::open(self.client()?, path)?))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let (client, prefix) = (self.client()?, prefix.to_owned());
        runtime::wait(async move { client.list(&prefix).await })
    }

    fn visit(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta) -> Result<()>) -> Result<()> {
        self.client()?.visit(prefix, each)
    }

    fn list_dir(&self, prefix: &str) -> Result<Vec<(String, bool)>> {
        let (client, prefix) = (self.client()?, prefix.to_owned());
        runtime::wait(async move { client.list_dir(&prefix).await })
    }

    fn local_path(&self, _path: &str) -> Option<PathBuf> {
        None
    }

    fn full_path(&self, path: &str) -> String {
        self.at.full_path(path)
    }

    fn url(&self, path: &str) -> String {
        if let Some(files) = &self.at.files {
            return files.url(path);
        }
        let full = self.at.full_path(path);
        match &self.at.spec.protocol {
            Protocol::S3 => format!("s3://{full}"),
            Protocol::Gcs => format!("gs://{full}"),
            Protocol::Azure => format!("az://{full}"),
            other => format!("{}://{}/{full}", other.as_str(), self.name()),
        }
    }

    fn verifies(&self) -> bool {
        self.at.options.verify_reads
    }

    fn requests(&self) -> usize {
        match self.at.spec.protocol {
            // Nothing is waited for.
            Protocol::Memory => 1,
            _ => self.at.options.requests_in_flight.max(1),
        }
    }

    fn download(&self, path: &str, destination: &LocalPath) -> Result<()> {
        self.client()?.download(path, destination)
    }
}

impl ObjectHandle for RemoteStore {
    fn hash_path(&self, schema: &str, hash: &str) -> Result<String> {
        path::hash_path(&self.at.spec, schema, hash).map_err(|e| e.store(self.name()))
    }

    fn schema_path(
        &self,
        schema: &str,
        table: &str,
        key: &Row,
        attribute: &str,
        ext: &str,
    ) -> Result<String> {
        path::schema_path(&self.at.spec, schema, table, key, attribute, ext)
            .map_err(|e| e.store(self.name()))
    }

    fn filepath(&self, path: &str) -> Result<String> {
        path::filepath(&self.at.spec, None, path)
    }

    fn reference_deflate(&self) -> bool {
        self.at.options.reference_deflate
    }
}

impl Store for RemoteStore {
    fn spec(&self) -> &StoreSpec {
        &self.at.spec
    }

    fn put_many(&self, puts: &[Put], progress: &dyn Progress) -> Result<Vec<PutOutcome>> {
        self.client()?.put_many(puts, progress)
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(writer::RemoteWriter::new(self.client()?, path)?))
    }

    fn put_bytes(&self, path: &str, content: &[u8]) -> Result<()> {
        let (client, path) = (self.client()?, path.to_owned());
        let content = Bytes::copy_from_slice(content);
        runtime::wait(async move { client.replace(&path, vec![content]).await })
    }

    /// What a store has acknowledged is durable.
    fn sync(&self, _path: &str) -> Result<()> {
        Ok(())
    }

    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        let (client, from, to) = (self.client()?, from.to_owned(), to.to_owned());
        runtime::wait(async move { client.copy(&from, &to).await })?;
        Ok(true)
    }

    fn is_conditional(&self) -> bool {
        self.client()
            .map_or(true, |c| c.session.conditional.load(Ordering::Relaxed))
    }

    fn delete(&self, path: &str) -> Result<bool> {
        let (client, path) = (self.client()?, path.to_owned());
        runtime::wait(async move { client.delete(&path).await })
    }

    fn delete_many(&self, paths: &[&str]) -> Vec<Result<bool>> {
        match self.client() {
            Ok(client) => client.delete_many(paths),
            Err(e) => paths.iter().map(|_| Err(e.clone())).collect(),
        }
    }

    fn delete_prefix(&self, prefix: &str) -> Result<u64> {
        let (client, prefix) = (self.client()?, prefix.to_owned());
        runtime::wait(async move { client.delete_prefix(&prefix).await })
    }

    fn handle(self: Arc<Self>) -> Arc<dyn ObjectHandle> {
        self
    }

    fn discard(&self, outcomes: &[PutOutcome]) {
        if let Ok(client) = self.client() {
            client.discard(outcomes);
        }
    }
}
