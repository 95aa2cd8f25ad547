//! A store in this process's memory: for tests, and for databases that are in memory themselves.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};

use super::path::{self, ObjectPath};
use super::{ObjectWriter, PutOutcome, Store, StoreOptions, StoreSpec};
use crate::codec::{
    Manifest, ManifestEntry, ObjectHandle, ObjectMeta, ObjectReader, Put, PutPath, PutSource,
    ReadSeek, content_hash, manifest_path, walk_folder,
};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::value::Row;

#[derive(Debug, Clone)]
struct Object {
    content: Bytes,
    modified: f64,
}

type Objects = BTreeMap<String, Object>;

/// A file to write: its path and content.
type File = (String, Bytes);

/// A store in memory. Clones share their objects.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    spec: StoreSpec,
    options: StoreOptions,
    objects: Arc<Mutex<Objects>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(spec: StoreSpec, options: StoreOptions) -> Self {
        MemoryStore {
            spec,
            options,
            objects: Arc::default(),
        }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, path: &str) -> Result<String> {
        Ok(ObjectPath::new(path)
            .map_err(|e| e.store(self.name()))?
            .as_str()
            .to_owned())
    }

    fn get(&self, path: &str) -> Result<Bytes> {
        let key = self.key(path)?;
        let objects = self.objects();
        match objects.get(&key) {
            Some(object) => Ok(object.content.clone()),
            None if below(&objects, &key).next().is_some() => Err(Error::new(
                ErrorKind::IsADirectory,
                format!("{path} is a folder, where a file was expected"),
            )
            .store(self.name())
            .path(path)),
            None => Err(Error::new(
                ErrorKind::MissingObject,
                format!("the object {path} is not in store `{}`", self.name()),
            )
            .store(self.name())
            .path(path)),
        }
    }

    /// The files that a put writes, a folder's manifest last.
    fn contents(&self, put: &Put) -> Result<(Vec<File>, Option<Manifest>)> {
        let path = self.key(put.path.as_str())?;
        ObjectPath::new(&path)?.check_names()?;
        Ok(match &put.source {
            PutSource::Segments(segments) => (vec![(path, joined(segments))], None),
            PutSource::File(local) => (vec![(path, read_local(local)?)], None),
            PutSource::Folder(local) => {
                let mut files = Vec::new();
                let mut entries = Vec::new();
                for (relative, _) in walk_folder(local)? {
                    let content = read_local(&local.join(&relative))?;
                    let hash = Some(content_hash([&content[..]]));
                    files.push((format!("{path}/{relative}"), content.clone()));
                    entries.push(ManifestEntry {
                        path: relative,
                        size: content.len() as u64,
                        hash,
                    });
                }
                let manifest = Manifest::new(entries);
                files.push((manifest_path(&path), manifest.to_json()?.into()));
                (files, Some(manifest))
            }
        })
    }

    fn put_one(&self, put: &Put) -> Result<PutOutcome> {
        let (files, manifest) = self.contents(put)?;
        let size = match &manifest {
            Some(manifest) => manifest.total_size,
            None => files.iter().map(|(_, c)| c.len() as u64).sum(),
        };
        if put.size.is_some_and(|stated| stated != size) {
            return Err(Error::new(
                ErrorKind::Value,
                format!(
                    "the source of {} changed while it was stored",
                    put.path.as_str()
                ),
            )
            .store(self.name())
            .path(put.path.as_str()));
        }
        let hash = match (&files[..], put.record_hash) {
            ([(_, content)], Some(_)) if manifest.is_none() => Some(content_hash([&content[..]])),
            _ => None,
        };
        let key = self.key(put.path.as_str())?;
        let fresh = matches!(put.path, PutPath::Fresh(_));
        let mut objects = self.objects();
        let hit = objects
            .get(&key)
            .is_some_and(|o| o.content.len() as u64 == size);
        let taken = objects.contains_key(&key) || below(&objects, &key).next().is_some();
        if fresh && taken {
            return Err(Error::new(
                ErrorKind::Store,
                format!("there is an object at {key} already"),
            )
            .store(self.name())
            .path(key));
        }
        let created = fresh || !hit;
        if created {
            for (path, content) in files {
                objects.insert(
                    path,
                    Object {
                        content,
                        modified: now(),
                    },
                );
            }
        }
        let item_count = manifest.map(|m| m.item_count);
        Ok(PutOutcome {
            path: put.path.as_str().to_owned(),
            size,
            hash,
            item_count,
            created,
            fresh,
        })
    }
}

fn joined(segments: &[Bytes]) -> Bytes {
    match segments {
        [one] => one.clone(),
        many => {
            let mut all = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
            many.iter().for_each(|s| all.extend_from_slice(s));
            all.freeze()
        }
    }
}

fn read_local(path: &Path) -> Result<Bytes> {
    std::fs::read(path)
        .map(Bytes::from)
        .map_err(|e| Error::io("read", path, e))
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

/// The objects below a folder; all of them for `""`.
fn below<'a>(
    objects: &'a Objects,
    folder: &str,
) -> impl Iterator<Item = (&'a String, &'a Object)> + use<'a> {
    let start = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    objects
        .range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded))
        .take_while({
            let start = start.clone();
            move |(path, _)| path.starts_with(&start)
        })
        .collect::<Vec<_>>()
        .into_iter()
}

impl ObjectReader for MemoryStore {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn protocol(&self) -> &str {
        self.spec.protocol.as_str()
    }

    fn head(&self, path: &str) -> Result<Option<ObjectMeta>> {
        let key = self.key(path)?;
        let objects = self.objects();
        if let Some(object) = objects.get(&key) {
            let size = object.content.len() as u64;
            return Ok(Some(ObjectMeta {
                path: path.to_owned(),
                size,
                is_dir: false,
                modified: Some(object.modified),
            }));
        }
        let mut found = None;
        for (_, object) in below(&objects, &key) {
            let meta: &mut ObjectMeta = found.get_or_insert(ObjectMeta {
                path: path.to_owned(),
                size: 0,
                is_dir: true,
                modified: None,
            });
            meta.size += object.content.len() as u64;
            meta.modified = Some(
                meta.modified
                    .map_or(object.modified, |m| m.max(object.modified)),
            );
        }
        Ok(found)
    }

    fn read(&self, path: &str) -> Result<Bytes> {
        self.get(path)
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let content = self.get(path)?;
        let cut = |x: u64| usize::try_from(x).map_or(content.len(), |x| x.min(content.len()));
        let (start, end) = (cut(range.start), cut(range.end));
        Ok(if start < end {
            content.slice(start..end)
        } else {
            Bytes::new()
        })
    }

    fn open(&self, path: &str) -> Result<Box<dyn ReadSeek>> {
        Ok(Box::new(Cursor::new(self.get(path)?)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let key = if prefix.trim_matches('/').is_empty() {
            String::new()
        } else {
            self.key(prefix)?
        };
        Ok(below(&self.objects(), &key)
            .map(|(path, object)| ObjectMeta {
                path: path.clone(),
                size: object.content.len() as u64,
                is_dir: false,
                modified: Some(object.modified),
            })
            .collect())
    }

    fn list_dir(&self, prefix: &str) -> Result<Vec<(String, bool)>> {
        let key = if prefix.trim_matches('/').is_empty() {
            String::new()
        } else {
            self.key(prefix)?
        };
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        for (path, _) in below(&self.objects(), &key) {
            let rest = if key.is_empty() {
                path.as_str()
            } else {
                &path[key.len() + 1..]
            };
            match rest.split_once('/') {
                Some((folder, _)) => names.insert(folder.to_owned(), true),
                None => names.insert(rest.to_owned(), false),
            };
        }
        Ok(names.into_iter().collect())
    }

    fn local_path(&self, _path: &str) -> Option<PathBuf> {
        None
    }

    fn full_path(&self, path: &str) -> String {
        path.to_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("memory://{}/{path}", self.spec.name)
    }

    fn verifies(&self) -> bool {
        self.options.verify_reads
    }

    fn download(&self, path: &str, destination: &Path) -> Result<()> {
        let content = self.get(path)?;
        let folder = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let failed = |e| Error::io("write", destination, e);
        let mut temporary = super::file_write::temporary(folder).map_err(failed)?;
        temporary.write_all(&content).map_err(failed)?;
        temporary
            .persist(destination)
            .map_err(|e| failed(e.error))?;
        Ok(())
    }
}

impl ObjectHandle for MemoryStore {
    fn hash_path(&self, schema: &str, hash: &str) -> Result<String> {
        path::hash_path(&self.spec, schema, hash).map_err(|e| e.store(self.name()))
    }

    fn schema_path(
        &self,
        schema: &str,
        table: &str,
        key: &Row,
        attribute: &str,
        ext: &str,
    ) -> Result<String> {
        path::schema_path(&self.spec, schema, table, key, attribute, ext)
            .map_err(|e| e.store(self.name()))
    }

    fn filepath(&self, path: &str) -> Result<String> {
        path::filepath(&self.spec, None, path)
    }

    fn reference_deflate(&self) -> bool {
        self.options.reference_deflate
    }
}

impl Store for MemoryStore {
    fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    fn put_many(&self, puts: &[Put], progress: &dyn Progress) -> Result<Vec<PutOutcome>> {
        if puts.is_empty() {
            return Ok(Vec::new());
        }
        progress.begin("storing objects", Some(puts.len() as u64));
        let mut outcomes = Vec::with_capacity(puts.len());
        for put in puts {
            let outcome = if progress.interrupted() {
                Err(Error::new(
                    ErrorKind::Interrupted,
                    "interrupted while storing objects",
                ))
            } else {
                self.put_one(put)
            };
            match outcome {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    self.discard(&outcomes);
                    progress.end();
                    return Err(error);
                }
            }
            progress.advance(1);
        }
        progress.end();
        Ok(outcomes)
    }

    fn writer(&self, path: &str) -> Result<Box<dyn ObjectWriter>> {
        let key = self.key(path)?;
        ObjectPath::new(&key)?.check_names()?;
        Ok(Box::new(MemoryWriter {
            store: self.clone(),
            path: key,
            content: Vec::new(),
        }))
    }

    fn put_bytes(&self, path: &str, content: &[u8]) -> Result<()> {
        let key = self.key(path)?;
        ObjectPath::new(&key)?.check_names()?;
        self.objects().insert(
            key,
            Object {
                content: Bytes::copy_from_slice(content),
                modified: now(),
            },
        );
        Ok(())
    }

    fn sync(&self, _path: &str) -> Result<()> {
        Ok(())
    }

    fn delete(&self, path: &str) -> Result<bool> {
        let key = self.key(path)?;
        Ok(self.objects().remove(&key).is_some())
    }

    fn delete_prefix(&self, prefix: &str) -> Result<u64> {
        let key = self.key(prefix)?;
        let mut objects = self.objects();
        let paths: Vec<String> = below(&objects, &key)
            .map(|(path, _)| path.clone())
            .collect();
        for path in &paths {
            objects.remove(path);
        }
        Ok(paths.len() as u64)
    }

    fn handle(self: Arc<Self>) -> Arc<dyn ObjectHandle> {
        self
    }
}

struct MemoryWriter {
    store: MemoryStore,
    path: String,
    content: Vec<u8>,
}

impl Write for MemoryWriter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.content.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for MemoryWriter {
    fn written(&self) -> u64 {
        self.content.len() as u64
    }

    fn commit(self: Box<Self>) -> Result<PutOutcome> {
        let MemoryWriter {
            store,
            path,
            content,
        } = *self;
        let hash = Some(content_hash([&content[..]]));
        let size = content.len() as u64;
        store.objects().insert(
            path.clone(),
            Object {
                content: content.into(),
                modified: now(),
            },
        );
        Ok(PutOutcome {
            path,
            size,
            hash,
            item_count: None,
            created: true,
            fresh: true,
        })
    }

    fn abort(self: Box<Self>) {}
}
