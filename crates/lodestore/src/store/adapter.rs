//! Protocols that are not built in: plug-ins that bring a file system of their own (spec: stores §2.4).
//!
//! An [`Adapter`] is one protocol, the [`FileSystem`] that it opens one store. What Lodestore makes of it, from addressing
//! to bounds on what is under way, is the same as for the clouds: `remote/bridge.rs` puts it behind their interface.
//!
//! What a file system cannot do, nobody can do for it. One that knows no exclusive creation is asked first and written
//! to then, so that two writers of one path may both write; and whether an object that is half written can be seen, or
//! is still there after a power failure, is its own matter.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;

use super::StoreSpec;
use crate::config;
use crate::error::Result;

/// A specification as it is configured.
pub type Keys = serde_json::Map<String, serde_json::Value>;

/// Where protocols are looked up that are not built in.
pub trait Adapters: Send + Sync {
    /// The adapter of a protocol, if there is one.
    fn find(&self, protocol: &str) -> Result<Option<Arc<dyn Adapter>>>;
}

/// One protocol.
pub trait Adapter: Send + Sync + fmt::Debug {
    /// Checks the keys of a store's specification.
    fn check(&self, store: &str, keys: &Keys) -> Result<()>;

    /// The file system of a store. All keys of its specification are in [`StoreSpec::connection`].
    fn open(&self, spec: &StoreSpec) -> Result<Arc<dyn FileSystem>>;
}

/// What a file system says of a file or a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct FileInfo {
    /// Path, relative to the store's location.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// True for a folder.
    pub is_dir: bool,
    /// When it was written.
    pub modified: Option<SystemTime>,
    /// What changes whenever the content does.
    pub version: Option<String>,
}

/// Some files of a listing.
pub type Page = Vec<FileInfo>;

/// The file system of one store. Paths are relative to the store's location. Calls may block, and come from several
/// threads at once. Failures that may pass (a connection that broke) have [`crate::ErrorKind::Store`] and are tried
/// again; all others are final.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// What is at a path now, never from an earlier listing; none if nothing is.
    fn info(&self, path: &str) -> Result<Option<FileInfo>>;

    /// Bytes of a file. [`crate::ErrorKind::MissingObject`] if it is absent.
    fn read(&self, path: &str, range: Range<u64>) -> Result<Bytes>;

    /// Writes a file, and the folders above it. With `create` only if nothing is there; false if something is.
    fn write(&self, path: &str, content: &[Bytes], create: bool) -> Result<bool>;

    /// Writes a file piece by piece.
    fn upload(&self, path: &str) -> Result<Box<dyn Upload>>;

    /// Every file below a folder, in pages. Complete, or an error; none if there is no such folder.
    fn list(&self, folder: &str) -> Result<Box<dyn Iterator<Item = Result<Page>> + Send>>;

    /// Files and folders directly in a folder.
    fn list_dir(&self, folder: &str) -> Result<Page>;

    /// Copies a file, replacing what is there.
    fn copy(&self, from: &str, to: &str) -> Result<()>;

    /// Deletes a file. False if it was not there.
    fn delete(&self, path: &str) -> Result<bool>;

    /// The path with the store's location.
    fn full_path(&self, path: &str) -> String;

    /// The URL of a path.
    fn url(&self, path: &str) -> String;
}

/// A file that is written piece by piece. Dropping it abandons it.
pub trait Upload: Send {
    /// Appends a piece.
    fn write(&mut self, content: &[u8]) -> Result<()>;

    /// Ends the file.
    fn commit(self: Box<Self>) -> Result<()>;

    /// Removes what was written.
    fn abort(self: Box<Self>);
}

static ADAPTERS: RwLock<Option<Arc<dyn Adapters>>> = RwLock::new(None);

/// Sets where this process looks up protocols that are not built in.
pub fn set_adapters(adapters: Arc<dyn Adapters>) {
    *ADAPTERS.write().unwrap_or_else(PoisonError::into_inner) = Some(adapters);
    config::set_protocols(check);
}

/// The adapter of a protocol that is not built in.
pub(super) fn find(protocol: &str) -> Result<Option<Arc<dyn Adapter>>> {
    // Not under the lock: looking up may run other people's code.
    let adapters = ADAPTERS
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    match adapters {
        Some(adapters) => adapters.find(protocol),
        None => Ok(None),
    }
}

/// Checks a specification with its adapter; none if the protocol has none.
fn check(protocol: &str, store: &str, keys: &Keys) -> Result<Option<()>> {
    match find(protocol)? {
        Some(adapter) => adapter.check(store, keys).map(Some),
        None => Ok(None),
    }
}
