//! Object stores: specifications, addressing, transfer.
//!
//! Lives here: what a configured store is ([`StoreSpec`]), where its objects lie ([`path`]), and how bytes get there so
//! that they are durable when the call returns ([`Store`], [`FileStore`], [`RemoteStore`]; spec: stores §2-§6, §9.2).
//! Does not live here: what the bytes mean (`codec/`), which row names them (`table/`), what may be deleted (`gc/`).
//! Called by `table/` (writes), `gc/` (lists, deletes), and through the reading traits of `codec/` by lazy references.
//!
//! Every store passes one conformance suite, `tests/store_conformance.rs`. Faults are injected by a wrapper store
//! ([`fault::FaultStore`]), not by flags in the code.

pub mod adapter;
mod durable;
pub mod fault;
mod fault_client;
mod file;
mod file_write;
pub mod path;
mod remote;
mod set;
mod spec;
mod staged;
mod trial;
mod usage;

pub use file::FileStore;
pub use remote::RemoteStore;
pub use set::{SpecSource, StoreSet, StoreSummary};
pub use spec::{Protocol, StoreSpec};
pub use staged::StagedObject;
pub use trial::{Outcome, Step, Trial, try_out};
pub use usage::{Usage, usage};

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::{ObjectHandle, Put};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// How stores behave that is not part of their specification (settings `lode.*`).
#[derive(Debug, Clone, PartialEq)]
pub struct StoreOptions {
    /// Flush every object and its folder to the disk before a put returns (`lode.fsync`).
    pub fsync: bool,
    /// Create a file store's location if it is absent (`lode.create_locations`).
    pub create_locations: bool,
    /// Compare hash and size on every whole read (`lode.verify`).
    pub verify_reads: bool,
    /// Threads of a concurrent put (`lode.workers`).
    pub workers: usize,
    /// Write blobs with the reference's own deflate stream (`lode.stores.<name>.blob_deflate = "zlib6"`).
    pub reference_deflate: bool,
    /// Requests to one remote store under way at once (`lode.requests_in_flight`).
    pub requests_in_flight: usize,
    /// Bytes in buffers of transfers (`lode.bytes_in_flight`).
    pub bytes_in_flight: u64,
    /// Objects above this are sent in parts of this size (`lode.multipart_size`).
    pub multipart_size: u64,
    /// How long one request may take (`lode.stores.<name>.timeout`, in seconds).
    pub timeout: Duration,
    /// How often a request that may be sent twice is repeated (`lode.stores.<name>.retries`).
    pub retries: usize,
    /// The region of an S3 store, which has no key for it (`lode.stores.<name>.region`).
    pub region: Option<String>,
    /// Another server for GCS and Azure, such as an emulator (`lode.stores.<name>.endpoint`).
    pub endpoint: Option<String>,
    /// A file of certificates that are trusted besides the system's (`lode.stores.<name>.ca`).
    pub ca: Option<String>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            fsync: true,
            create_locations: true,
            verify_reads: true,
            workers: 8,
            reference_deflate: false,
            requests_in_flight: 32,
            bytes_in_flight: 512 << 20,
            multipart_size: 16 << 20,
            timeout: Duration::from_secs(60),
            retries: 5,
            region: None,
            endpoint: None,
            ca: None,
        }
    }
}

/// What a put did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutOutcome {
    /// Where the object lies.
    pub path: String,
    /// Bytes; for a folder the sum over its files.
    pub size: u64,
    /// Content hash, if the put asked for it ([`Put::record_hash`]); never for folders.
    pub hash: Option<String>,
    /// Files of a folder.
    pub item_count: Option<u64>,
    /// False if an object with this content was there already.
    pub created: bool,
    /// True if the path is this put's own (random token): nobody else can rely on it.
    pub fresh: bool,
}

/// Writing to one store. When a put has returned, the object is durable; when it has failed, nothing is left behind.
///
/// Not promised: that an object is still there later (the collector may take it unless a row names it), nor any order
/// among concurrent puts.
pub trait Store: ObjectHandle {
    /// The specification it was opened by.
    fn spec(&self) -> &StoreSpec;

    /// Writes one object.
    fn put(&self, put: &Put, progress: &dyn Progress) -> Result<PutOutcome> {
        let mut outcomes = self.put_many(std::slice::from_ref(put), progress)?;
        outcomes
            .pop()
            .ok_or_else(|| Error::invalid("a put without outcome"))
    }

    /// Writes many objects concurrently; outcomes in the order of `puts`. On failure, and when interrupted, what this
    /// call created at fresh paths is removed (content-addressed objects stay: another writer may rely on them by now).
    fn put_many(&self, puts: &[Put], progress: &dyn Progress) -> Result<Vec<PutOutcome>>;

    /// A streaming writer. The object appears at `commit`, in the place of what was there; dropping the writer aborts.
    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>>;

    /// Writes bytes to `path`, replacing what is there, atomically. Durable only after [`Store::sync`]: for the many
    /// files of a staged folder, which are flushed together.
    fn put_bytes(&self, path: &str, content: &[u8]) -> Result<()>;

    /// Makes `path`, or every file below it, durable, whoever wrote it.
    fn sync(&self, path: &str) -> Result<()>;

    /// Copies an object within the store, replacing what is there. False if the store could not do that by itself, and
    /// the content went through this process.
    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        self.put_bytes(to, &self.read(from)?)?;
        self.sync(to)?;
        Ok(false)
    }

    /// False once the store has turned out not to know conditional puts.
    fn is_conditional(&self) -> bool {
        true
    }

    /// Deletes one object. True if it was there. Empty folders above it are removed, up to the location.
    fn delete(&self, path: &str) -> Result<bool>;

    /// As [`Store::delete`], for many objects, several at a time where that is faster; results in their order.
    fn delete_many(&self, paths: &[&str]) -> Vec<Result<bool>> {
        paths.iter().map(|path| self.delete(path)).collect()
    }

    /// Deletes every object below a folder, and the folder. Returns the number of files.
    fn delete_prefix(&self, prefix: &str) -> Result<u64>;

    /// The handle for readers.
    fn handle(self: Arc<Self>) -> Arc<dyn ObjectHandle>;

    /// Removes what puts created at fresh paths, folders with their manifests. For a caller whose row could not be
    /// committed. Failures are left to the collector.
    fn discard(&self, outcomes: &[PutOutcome]) {
        for outcome in outcomes.iter().filter(|o| o.created && o.fresh) {
            if outcome.item_count.is_some() {
                let _ = self.delete(&crate::codec::manifest_path(&outcome.path));
                let _ = self.delete_prefix(&outcome.path);
            } else {
                let _ = self.delete(&outcome.path);
            }
        }
    }
}

/// A stream into a new object.
pub trait ObjectWriter: Write + Send {
    /// Bytes written so far.
    fn written(&self) -> u64;
    /// Makes the object durable and visible.
    fn commit(self: Box<Self>) -> Result<PutOutcome>;
    /// Throws it away.
    fn abort(self: Box<Self>);
}

/// Opens a store by its specification.
pub fn open(spec: &StoreSpec, options: &StoreOptions) -> Result<Arc<dyn Store>> {
    match &spec.protocol {
        Protocol::File => Ok(Arc::new(FileStore::open(spec.clone(), options.clone())?)),
        Protocol::Memory => Ok(Arc::new(RemoteStore::memory(
            spec.clone(),
            options.clone(),
        )?)),
        Protocol::S3 | Protocol::Gcs | Protocol::Azure => {
            Ok(Arc::new(RemoteStore::open(spec.clone(), options.clone())?))
        }
        Protocol::Plugin(name) => {
            let adapter = adapter::find(name)?.ok_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "store `{}`: no plug-in knows the protocol `{name}`",
                        spec.name
                    ),
                )
                .store(&spec.name)
            })?;
            let files = adapter.open(spec)?;
            let store = RemoteStore::plugin(spec.clone(), options.clone(), files)?;
            Ok(Arc::new(store))
        }
    }
}
