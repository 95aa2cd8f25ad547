//! A wrapper store that fails on purpose, for tests of what happens then.
//!
//! Faults are injected around a real store, so that no store carries code that exists for tests only.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

pub use super::fault_client::{ClientFault, FaultClient};
use super::{ObjectWriter, PutOutcome, Store, StoreSpec};
use crate::codec::{ObjectHandle, ObjectMeta, ObjectReader, Put, PutSource, ReadSeek};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::value::Row;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full: the put fails.
    Full,
    /// The put fails for no named reason.
    Broken,
    /// The put reports success, but only the first half of the bytes arrive: damage that only readers can find.
    ShortWrite,
    /// Every listing fails.
    Unlistable,
    /// Every read fails.
    Unreadable,
    /// The put is done, and reports a failure: an answer that was lost.
    LostAnswer,
    /// Reads bring the first half of what they should.
    CutBody,
    /// Listings show the first half of what is there.
    PartialListing,
    /// Every call takes this much longer.
    Latency(Duration),
    /// Every put takes this much longer.
    SlowWrites(Duration),
}

/// A store that fails at the `nth` put (counted from zero over its life), or at every listing or read.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn Store>,
    fault: Fault,
    nth: usize,
    puts: AtomicUsize,
}

impl FaultStore {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, fault: Fault, nth: usize) -> Self {
        FaultStore {
            inner,
            fault,
            nth,
            puts: AtomicUsize::new(0),
        }
    }

    /// Puts attempted so far.
    pub fn attempts(&self) -> usize {
        self.puts.load(Ordering::Relaxed)
    }

    /// Where in a batch of so many puts the fault strikes, if it does.
    fn struck(&self, count: usize) -> Option<usize> {
        let first = self.puts.fetch_add(count, Ordering::Relaxed);
        self.nth.checked_sub(first).filter(|at| *at < count)
    }

    /// Replaces an object by its first half.
    fn cut(&self, put: &Put) -> Result<()> {
        let path = put.path.as_str();
        let all = match &put.source {
            PutSource::Segments(segments) => Bytes::from(segments.concat()),
            PutSource::File(_) | PutSource::Stream(_) => self.inner.read(path)?,
            PutSource::Folder(_) => return Ok(()),
        };
        self.inner.put_bytes(path, &all[..all.len() / 2])
    }

    fn wait(&self, is_write: bool) {
        match self.fault {
            Fault::Latency(time) => std::thread::sleep(time),
            Fault::SlowWrites(time) if is_write => std::thread::sleep(time),
            _ => {}
        }
    }

    /// What arrives of a body.
    fn arrived(&self, content: Bytes) -> Bytes {
        match self.fault {
            Fault::CutBody => content.slice(..content.len() / 2),
            _ => content,
        }
    }

    fn shown<T>(&self, mut all: Vec<T>) -> Vec<T> {
        if self.fault == Fault::PartialListing {
            all.truncate(all.len() / 2);
        }
        all
    }

    fn refuse(&self, fault: Fault, path: &str) -> Result<()> {
        self.wait(false);
        if self.fault == fault {
            return Err(Error::new(
                ErrorKind::Store,
                format!("could not reach {path} in store `{}`", self.name()),
            )
            .store(self.name())
            .path(path));
        }
        Ok(())
    }
}

impl ObjectReader for FaultStore {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn protocol(&self) -> &str {
        self.inner.protocol()
    }
    fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        self.refuse(Fault::Unreadable, path)?;
        self.inner.head(path)
    }
    fn read(&self, path: &str) -> Result<Bytes> {
        self.refuse(Fault::Unreadable, path)?;
        Ok(self.arrived(self.inner.read(path)?))
    }
    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        self.refuse(Fault::Unreadable, path)?;
        Ok(self.arrived(self.inner.read_range(path, range)?))
    }
    fn open(&self, path: &str) -> Result<Box<dyn ReadSeek>> {
        self.refuse(Fault::Unreadable, path)?;
        self.inner.open(path)
    }
    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        self.refuse(Fault::Unlistable, prefix)?;
        Ok(self.shown(self.inner.list(prefix)?))
    }
    fn list_dir(&self, prefix: &str) -> Result<Vec<(String, bool)>> {
        self.refuse(Fault::Unlistable, prefix)?;
        Ok(self.shown(self.inner.list_dir(prefix)?))
    }
    fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.inner.local_path(path)
    }
    fn full_path(&self, path: &str) -> String {
        self.inner.full_path(path)
    }
    fn url(&self, path: &str) -> String {
        self.inner.url(path)
    }
    fn verifies(&self) -> bool {
        self.inner.verifies()
    }
    fn download(&self, path: &str, destination: &Path) -> Result<()> {
        self.refuse(Fault::Unreadable, path)?;
        self.inner.download(path, destination)
    }
}

impl ObjectHandle for FaultStore {
    fn hash_path(&self, schema: &str, hash: &str) -> Result<String> {
        self.inner.hash_path(schema, hash)
    }
    fn schema_path(
        &self,
        schema: &str,
        table: &str,
        key: &Row,
        attribute: &str,
        ext: &str,
    ) -> Result<String> {
        self.inner.schema_path(schema, table, key, attribute, ext)
    }
    fn filepath(&self, path: &str) -> Result<String> {
        self.inner.filepath(path)
    }
}

impl Store for FaultStore {
    fn spec(&self) -> &StoreSpec {
        self.inner.spec()
    }

    fn put_many(&self, puts: &[Put], progress: &dyn Progress) -> Result<Vec<PutOutcome>> {
        self.wait(true);
        let Some(struck) = self.struck(puts.len()).map(|at| &puts[at]) else {
            return self.inner.put_many(puts, progress);
        };
        let path = struck.path.as_str();
        let failed = |message: String| {
            let error = Error::new(ErrorKind::Store, message);
            Err(error.store(self.name()).path(path))
        };
        match self.fault {
            // As a store that stages all contents before it publishes the first.
            Fault::Full => failed(format!(
                "store `{}` is full: could not write {path}",
                self.name()
            )),
            Fault::Broken => failed(format!("could not write {path}")),
            Fault::ShortWrite => {
                let outcomes = self.inner.put_many(puts, progress)?;
                self.cut(struck)?;
                Ok(outcomes)
            }
            Fault::LostAnswer => {
                self.inner.put_many(puts, progress)?;
                failed(format!("the answer to writing {path} did not come"))
            }
            _ => self.inner.put_many(puts, progress),
        }
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>> {
        self.inner.writer(path)
    }
    fn put_bytes(&self, path: &str, content: &[u8]) -> Result<()> {
        self.inner.put_bytes(path, content)
    }
    fn sync(&self, path: &str) -> Result<()> {
        self.inner.sync(path)
    }
    fn delete(&self, path: &str) -> Result<bool> {
        self.inner.delete(path)
    }
    fn delete_prefix(&self, prefix: &str) -> Result<u64> {
        self.inner.delete_prefix(prefix)
    }
    fn handle(self: Arc<Self>) -> Arc<dyn ObjectHandle> {
        self
    }
}
