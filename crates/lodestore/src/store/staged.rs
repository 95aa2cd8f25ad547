//! Staged objects: written in place before their row exists (spec: stores §6).

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{ObjectWriter, PutOutcome, Store};
use crate::codec::{
    Manifest, ManifestEntry, ObjectMeta, ObjectReader, content_hash, manifest_path,
};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::value::Row;

/// One object of a staged insert: a fresh path, written directly as one file or as a folder.
///
/// `finish` makes it durable and returns the column's metadata; `abort` removes it. The path carries a random token, so
/// everything at and below it is this object's own. No row names it yet, so a collector may take what was written so far
/// for garbage; an empty file beside it, which goes with the rest, tells ([`StagedObject::is_intact`]).
#[derive(Debug)]
pub struct StagedObject {
    store: Arc<dyn Store>,
    path: String,
    ext: Option<String>,
    written: Arc<Mutex<Written>>,
}

/// What this process wrote, by path in the store, so that it need not be read back to be known.
type Written = HashMap<String, Known>;

#[derive(Debug)]
struct Known {
    size: u64,
    hash: String,
    /// Of a local file, which anybody may change.
    modified: Option<f64>,
}

impl StagedObject {
    /// Chooses the path and marks it. `ext` as the user gave it; empty means none.
    pub fn new(
        store: Arc<dyn Store>,
        schema: &str,
        table: &str,
        key: &Row,
        attribute: &str,
        ext: &str,
    ) -> Result<Self> {
        let path = store.schema_path(schema, table, key, attribute, ext)?;
        store.put_bytes(&marker(&path), b"")?;
        Ok(StagedObject {
            store,
            path,
            ext: Some(ext.to_owned()).filter(|e| !e.is_empty()),
            written: Arc::default(),
        })
    }

    /// Path in the store.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A writer of the object as one file.
    pub fn writer(&self) -> Result<Box<dyn ObjectWriter>> {
        self.recording(&self.path)
    }

    /// A writer of one file of the folder.
    pub fn writer_at(&self, relative: &str) -> Result<Box<dyn ObjectWriter>> {
        self.recording(&self.below(relative)?)
    }

    /// A writer that leaves word of what it wrote.
    fn recording(&self, path: &str) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(RecordingWriter {
            writer: self.store.writer(path)?,
            store: Arc::clone(&self.store),
            written: Arc::clone(&self.written),
        }))
    }

    /// The content hash of a file: as it was written, or by reading it.
    fn hash_of(&self, path: &str, size: u64) -> Result<String> {
        let known = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.remove(path).filter(|known| known.size == size)
        };
        match known {
            Some(known) if known.modified == modified(&*self.store, path)? => Ok(known.hash),
            _ => hash_object(&*self.store, path),
        }
    }

    /// The content of one file of the folder; none if it is not there.
    pub fn get(&self, relative: &str) -> Result<Option<Bytes>> {
        match self.store.read(&self.below(relative)?) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == ErrorKind::MissingObject => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes one file of the folder, replacing what is there.
    pub fn set(&self, relative: &str, content: &[u8]) -> Result<()> {
        let path = self.below(relative)?;
        self.store.put_bytes(&path, content)?;
        let (size, hash) = (content.len() as u64, content_hash([content]));
        record(&*self.store, &self.written, path, size, hash)
    }

    /// Deletes one file of the folder. True if it was there.
    pub fn delete(&self, relative: &str) -> Result<bool> {
        self.store.delete(&self.below(relative)?)
    }

    /// Deletes everything below a folder of the folder (`""`: all). Returns the number of files.
    pub fn delete_below(&self, relative: &str) -> Result<u64> {
        let prefix = if relative.trim_matches('/').is_empty() {
            self.path.clone()
        } else {
            self.below(relative)?
        };
        self.store.delete_prefix(&prefix)
    }

    /// The files of the folder: (path below it, size), sorted.
    pub fn list(&self) -> Result<Vec<(String, u64)>> {
        let prefix = format!("{}/", self.path);
        let files = self.store.list(&self.path)?;
        Ok(files
            .into_iter()
            .filter_map(|f| f.path.strip_prefix(&prefix).map(|p| (p.to_owned(), f.size)))
            .collect())
    }

    /// Makes the object durable, writes the manifest of a folder, and returns the column's metadata. An error
    /// ([`ErrorKind::Invalid`]) if nothing was written.
    pub fn finish(&self, progress: &dyn Progress) -> Result<serde_json::Value> {
        let Some(head) = self.store.head(&self.path)? else {
            return Err(Error::invalid("nothing was written to the staged object")
                .store(self.store.name())
                .path(&self.path)
                .hint("Write to what `open` or `store` returned before the block ends."));
        };
        progress.begin("checking staged files", None);
        let outcome = self.seal(&head, progress);
        progress.end();
        outcome
    }

    fn seal(&self, head: &ObjectMeta, progress: &dyn Progress) -> Result<serde_json::Value> {
        let (size, hash, item_count) = if head.is_dir {
            let mut entries = Vec::new();
            for (path, size) in self.list()? {
                if progress.interrupted() {
                    return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
                }
                let hash = self.hash_of(&format!("{}/{path}", self.path), size)?;
                entries.push(ManifestEntry {
                    path,
                    size,
                    hash: Some(hash),
                });
                progress.advance(1);
            }
            if entries.is_empty() {
                return Err(
                    Error::invalid("nothing was written to the staged object").path(&self.path)
                );
            }
            let manifest = Manifest::new(entries);
            // Files first, manifest last: a folder with a manifest is complete.
            self.store.sync(&self.path)?;
            let manifest_at = manifest_path(&self.path);
            self.store.put_bytes(&manifest_at, &manifest.to_json()?)?;
            self.store.sync(&manifest_at)?;
            (manifest.total_size, None, Some(manifest.item_count))
        } else {
            let hash = self.hash_of(&self.path, head.size)?;
            self.store.sync(&self.path)?;
            (head.size, Some(hash), None)
        };
        Ok(crate::codec::ObjectCodec::metadata(
            crate::codec::ObjectFacts {
                path: &self.path,
                store: self.store.name(),
                size: Some(size),
                ext: self.ext.as_deref(),
                is_dir: head.is_dir,
                item_count,
                hash: hash.as_deref(),
            },
        ))
    }

    /// False if a collector removed what was written, or some of it: it removes the mark first. To be asked under the
    /// database's write lock, which collectors hold.
    pub fn is_intact(&self) -> Result<bool> {
        Ok(self.store.head(&marker(&self.path))?.is_some()
            && self.store.head(&self.path)?.is_some())
    }

    /// Removes the mark, once a committed row names the object.
    pub fn release(&self) -> Result<()> {
        self.store.delete(&marker(&self.path)).map(|_| ())
    }

    /// Removes what was written, with the manifest. Nothing else can be at or below the path.
    pub fn abort(&self) -> Result<()> {
        self.release()?;
        self.store.delete(&manifest_path(&self.path))?;
        self.store.delete_prefix(&self.path)?;
        self.store.delete(&self.path)?;
        Ok(())
    }

    fn below(&self, relative: &str) -> Result<String> {
        let relative = super::path::ObjectPath::new(relative)?;
        let path = super::path::ObjectPath::new(&format!("{}/{relative}", self.path))?;
        path.check_names()?;
        Ok(path.as_str().to_owned())
    }
}

/// A writer that leaves word of what it wrote.
struct RecordingWriter {
    writer: Box<dyn ObjectWriter>,
    store: Arc<dyn Store>,
    written: Arc<Mutex<Written>>,
}

impl Write for RecordingWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.writer.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl ObjectWriter for RecordingWriter {
    fn written(&self) -> u64 {
        self.writer.written()
    }

    fn commit(self: Box<Self>) -> Result<PutOutcome> {
        let outcome = self.writer.commit()?;
        if let Some(hash) = &outcome.hash {
            let (path, hash) = (outcome.path.clone(), hash.clone());
            record(&*self.store, &self.written, path, outcome.size, hash)?;
        }
        Ok(outcome)
    }

    fn abort(self: Box<Self>) {
        self.writer.abort();
    }
}

fn record(
    store: &dyn Store,
    written: &Mutex<Written>,
    path: String,
    size: u64,
    hash: String,
) -> Result<()> {
    let modified = modified(store, &path)?;
    let known = Known {
        size,
        hash,
        modified,
    };
    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
    written.insert(path, known);
    Ok(())
}

/// When a local file last changed; none in stores where nobody but a store's client can write.
fn modified(store: &dyn Store, path: &str) -> Result<Option<f64>> {
    match store.local_path(path) {
        Some(_) => Ok(store.head(path)?.and_then(|head| head.modified)),
        None => Ok(None),
    }
}

/// Sorts before everything below the path, so a collector, which goes by path, removes it first.
fn marker(path: &str) -> String {
    format!("{path}.staged")
}

/// Hashes an object piece by piece.
fn hash_object(reader: &dyn ObjectReader, path: &str) -> Result<String> {
    let mut stream = reader.open(path)?;
    let mut hasher = crate::codec::ContentHasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("read", path, e).store(reader.name())),
        }
    }
}
