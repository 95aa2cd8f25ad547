//! `ObjectRef`: a file or folder in a store, known by its metadata and read when needed (spec: codecs §10, §11).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::hash::check_content;
use super::{
    ContentHasher, Manifest, ObjectHandle, ReadSeek, StoreLink, manifest_path, optional_text,
    parallel,
};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Foreign;

/// One folder of [`ObjectRef::walk`]: its path below the object (`""` for the object itself), folders, files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkEntry {
    /// Path below the object.
    pub dir: String,
    /// Names of folders in it.
    pub dirs: Vec<String>,
    /// Names of files in it.
    pub files: Vec<String>,
}

/// A lazy reference to a file or folder in a store.
#[derive(Debug, Clone)]
pub struct ObjectRef {
    /// Path in the store.
    pub path: String,
    /// Bytes; none for a folder given by `<filepath@>`.
    pub size: Option<u64>,
    /// Content hash (lower-case base32 MD5), if recorded.
    pub hash: Option<String>,
    /// Extension as given.
    pub ext: Option<String>,
    /// Folder.
    pub is_dir: bool,
    /// When it was stored, as text (ISO 8601); none if not recorded.
    pub timestamp: Option<String>,
    /// URL, if recorded.
    pub url: Option<String>,
    /// Store, as the metadata name it.
    pub store: Option<String>,
    /// MIME type, if recorded.
    pub mime_type: Option<String>,
    /// Number of files of a folder.
    pub item_count: Option<u64>,
    /// How the store is reached.
    pub link: StoreLink,
}

/// How many files of a folder are copied at once.
const DOWNLOADS: usize = 8;

impl ObjectRef {
    /// From a JSON object; `path` and `size` are required ([`ErrorKind::UnknownKey`]), unknown keys are ignored.
    pub fn from_json(data: &serde_json::Value, link: StoreLink) -> Result<Self> {
        let map = data.as_object().ok_or_else(|| {
            Error::new(
                ErrorKind::Type,
                "the metadata of an object are a JSON object",
            )
        })?;
        for key in ["path", "size"] {
            if !map.contains_key(key) {
                return Err(Error::new(
                    ErrorKind::UnknownKey,
                    format!("the metadata of an object lack `{key}`"),
                ));
            }
        }
        let text = |key: &str| optional_text(map, key).map(str::to_owned);
        let number = |key: &str| map.get(key).and_then(|v| v.as_u64());
        Ok(ObjectRef {
            path: text("path")
                .ok_or_else(|| Error::new(ErrorKind::Type, "the `path` of an object is text"))?,
            size: number("size"),
            hash: text("hash"),
            ext: text("ext"),
            is_dir: map.get("is_dir").and_then(|v| v.as_bool()).unwrap_or(false),
            timestamp: text("timestamp"),
            url: text("url"),
            store: text("store"),
            mime_type: text("mime_type"),
            item_count: number("item_count"),
            link,
        })
    }

    /// `path, size, hash, ext, is_dir, timestamp` always; `url`, `store`, `mime_type`, `item_count` if set.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "path": self.path,
            "size": self.size,
            "hash": self.hash,
            "ext": self.ext,
            "is_dir": self.is_dir,
            "timestamp": self.timestamp,
        });
        for (key, value) in [
            ("url", &self.url),
            ("store", &self.store),
            ("mime_type", &self.mime_type),
        ] {
            if let Some(value) = value.as_ref().filter(|v| !v.is_empty()) {
                json[key] = value.as_str().into();
            }
        }
        if let Some(count) = self.item_count {
            json["item_count"] = count.into();
        }
        json
    }

    /// Full path: `location/path`, or `bucket/location/path`.
    pub fn full_path(&self) -> Result<String> {
        Ok(self.link.open()?.full_path(&self.path))
    }

    /// URL: as recorded, else made from the store.
    pub fn url(&self) -> Result<String> {
        match self.url.as_ref().filter(|u| !u.is_empty()) {
            Some(url) => Ok(url.clone()),
            None => Ok(self.link.open()?.url(&self.path)),
        }
    }

    /// The content of a file, compared with the recorded hash and size.
    pub fn read(&self) -> Result<Bytes> {
        self.read_sub(None)
    }

    /// The content of one file of a folder, or of the file itself with `None`.
    pub fn read_sub(&self, subpath: Option<&str>) -> Result<Bytes> {
        let store = self.link.open()?;
        let path = self.file(subpath, "read")?;
        let content = store.read(&path)?;
        if !self.is_dir && store.verifies() {
            self.check_size(&*store, content.len() as u64)?;
            if let Some(hash) = self.hash.as_deref() {
                check_content(&*store, &path, hash, &content)?;
            }
        }
        Ok(content)
    }

    /// A reader over the file, or over one file of the folder.
    pub fn open(&self, subpath: Option<&str>) -> Result<Box<dyn ReadSeek>> {
        let path = self.file(subpath, "open")?;
        self.link.open()?.open(&path)
    }

    /// Base names in the folder: (name, is folder), sorted. An error for a file.
    pub fn listdir(&self, subpath: &str) -> Result<Vec<(String, bool)>> {
        self.must_be_folder("listdir")?;
        let store = self.link.open()?;
        let path = self.below(subpath)?;
        let names = store.list_dir(&path)?;
        if names.is_empty() && self.item_count != Some(0) && store.head(&path)?.is_none() {
            return Err(super::missing(&*store, &path));
        }
        Ok(names)
    }

    /// Every folder below, top down, names sorted. An error for a file.
    pub fn walk(&self) -> Result<Vec<WalkEntry>> {
        self.must_be_folder("walk")?;
        let files = self.files("")?;
        let mut folders: BTreeMap<String, (BTreeSet<String>, Vec<String>)> = BTreeMap::new();
        folders.insert(String::new(), Default::default());
        for (path, _) in &files {
            let (mut dir, name) = path.rsplit_once('/').unwrap_or(("", path));
            folders
                .entry(dir.to_owned())
                .or_default()
                .1
                .push(name.to_owned());
            while !dir.is_empty() {
                let (above, name) = dir.rsplit_once('/').unwrap_or(("", dir));
                folders
                    .entry(above.to_owned())
                    .or_default()
                    .0
                    .insert(name.to_owned());
                dir = above;
            }
        }
        let mut entries = Vec::with_capacity(folders.len());
        let mut waiting = vec![String::new()];
        while let Some(dir) = waiting.pop() {
            let Some((dirs, files)) = folders.remove(&dir) else {
                continue;
            };
            let join = |name: &String| {
                if dir.is_empty() {
                    name.clone()
                } else {
                    format!("{dir}/{name}")
                }
            };
            waiting.extend(dirs.iter().rev().map(join));
            entries.push(WalkEntry {
                dirs: dirs.into_iter().collect(),
                files,
                dir,
            });
        }
        Ok(entries)
    }

    /// Copies to the local disk; existing files are replaced atomically. Returns what the reference returns: the file's
    /// path, or `destination` for a folder (which lands in `destination/<base name>/`; with `flat`, in `destination`).
    pub fn download(
        &self,
        destination: &Path,
        subpath: Option<&str>,
        flat: bool,
    ) -> Result<PathBuf> {
        let store = self.link.open()?;
        let path = match subpath {
            Some(sub) => {
                self.must_be_folder("download with a subpath")?;
                self.below(sub)?
            }
            None => self.path.clone(),
        };
        let base = path.rsplit('/').next().unwrap_or(&path);
        let is_folder = match subpath {
            None => self.is_dir,
            Some(_) => match store.head(&path)? {
                Some(head) => head.is_dir,
                None => return Err(super::missing(&*store, &path)),
            },
        };
        if !is_folder {
            let target = if destination.is_dir() {
                destination.join(base)
            } else {
                destination.to_owned()
            };
            store.download(&path, &target)?;
            if subpath.is_none() && store.verifies() {
                let size = std::fs::metadata(&target)
                    .map_err(|e| Error::io("read", &target, e))?
                    .len();
                self.check_size(&*store, size)?;
            }
            return Ok(target);
        }
        let files = self.files(subpath.unwrap_or(""))?;
        if files.is_empty() && self.item_count != Some(0) && store.head(&path)?.is_none() {
            return Err(super::missing(&*store, &path));
        }
        let root = if flat {
            destination.to_owned()
        } else {
            destination.join(base)
        };
        std::fs::create_dir_all(&root).map_err(|e| Error::io("create", &root, e))?;
        parallel::run(files.len(), DOWNLOADS, |i| {
            // Names come from a listing, which is not ours to trust: none may climb out of the destination.
            let relative = checked(&files[i].0)?;
            store.download(&format!("{path}/{relative}"), &root.join(&relative))
        })?;
        Ok(destination.to_owned())
    }

    /// True if the object (or `subpath` in it) is there. A folder recorded as empty always is.
    pub fn exists(&self, subpath: Option<&str>) -> Result<bool> {
        let store = self.link.open()?;
        match subpath.filter(|s| !s.is_empty()) {
            None => Ok(
                (self.is_dir && self.item_count == Some(0)) || store.head(&self.path)?.is_some()
            ),
            Some(sub) => Ok(store.head(&self.below(sub)?)?.is_some()),
        }
    }

    /// Compares the object with its metadata: hash and size; for a folder its manifest, file by file (or, without one,
    /// count and size). [`ErrorKind::CorruptObject`] or [`ErrorKind::MissingObject`] if they differ.
    pub fn verify(&self) -> Result<()> {
        let store = self.link.open()?;
        if self.is_dir {
            self.verify_folder(&*store)
        } else {
            self.verify_file(&*store)
        }
    }

    fn verify_file(&self, store: &dyn ObjectHandle) -> Result<()> {
        let head = store
            .head(&self.path)?
            .ok_or_else(|| super::missing(store, &self.path))?;
        self.check_size(store, head.size)?;
        match &self.hash {
            Some(hash) => self.compare_hash(store, &self.path, hash),
            None => Ok(()),
        }
    }

    fn verify_folder(&self, store: &dyn ObjectHandle) -> Result<()> {
        let found: BTreeMap<String, u64> = self.files("")?.into_iter().collect();
        let manifest = match store.read(&manifest_path(&self.path)) {
            Ok(text) => Manifest::parse(&text)
                .map_err(|e| e.store(store.name()).path(manifest_path(&self.path)))?,
            Err(e) if e.kind() == ErrorKind::MissingObject => {
                return self.verify_totals(store, &found);
            }
            Err(e) => return Err(e),
        };
        for file in &manifest.files {
            let path = format!("{}/{}", self.path, checked(&file.path)?);
            match found.get(&file.path) {
                None => return Err(super::missing(store, &path)),
                Some(size) if *size != file.size => {
                    return Err(self.damaged(
                        store,
                        &path,
                        format!("it has {size} bytes, its manifest says {}", file.size),
                    ));
                }
                Some(_) => {}
            }
            if let Some(hash) = &file.hash {
                self.compare_hash(store, &path, hash)?;
            }
        }
        Ok(())
    }

    /// Without a manifest: what the row says about the whole.
    fn verify_totals(&self, store: &dyn ObjectHandle, found: &BTreeMap<String, u64>) -> Result<()> {
        if found.is_empty() && self.item_count != Some(0) && store.head(&self.path)?.is_none() {
            return Err(super::missing(store, &self.path));
        }
        let (count, size) = (found.len() as u64, found.values().sum::<u64>());
        match (self.item_count, self.size) {
            (Some(stated), _) if stated != count => Err(self.damaged(
                store,
                &self.path,
                format!("it has {count} files, its row says {stated}"),
            )),
            (_, Some(stated)) if stated != size => Err(self.damaged(
                store,
                &self.path,
                format!("it has {size} bytes, its row says {stated}"),
            )),
            _ => Ok(()),
        }
    }

    fn compare_hash(&self, store: &dyn ObjectHandle, path: &str, hash: &str) -> Result<()> {
        let mut stream = store.open(path)?;
        let mut hasher = ContentHasher::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => hasher.update(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", path, e).store(store.name())),
            }
        }
        let found = hasher.finish();
        if found != hash {
            return Err(self.damaged(
                store,
                path,
                format!("its content hashes to {found}, recorded is {hash}"),
            ));
        }
        Ok(())
    }

    fn check_size(&self, store: &dyn ObjectHandle, found: u64) -> Result<()> {
        match self.size {
            Some(size) if size != found => Err(self.damaged(
                store,
                &self.path,
                format!("it has {found} bytes, its row says {size}"),
            )),
            _ => Ok(()),
        }
    }

    fn damaged(&self, store: &dyn ObjectHandle, path: &str, why: String) -> Error {
        Error::new(
            ErrorKind::CorruptObject,
            format!("the object {path} is damaged: {why}"),
        )
        .store(store.name())
        .path(path)
    }

    /// The files below a folder of the object: (path below that folder, size), sorted.
    fn files(&self, subpath: &str) -> Result<Vec<(String, u64)>> {
        let path = self.below(subpath)?;
        let prefix = format!("{path}/");
        let files = self.link.open()?.list(&path)?;
        Ok(files
            .into_iter()
            .filter_map(|f| f.path.strip_prefix(&prefix).map(|p| (p.to_owned(), f.size)))
            .collect())
    }

    /// The path of a file, for an operation that needs one.
    fn file(&self, subpath: Option<&str>, action: &str) -> Result<String> {
        match (self.is_dir, subpath.filter(|s| !s.is_empty())) {
            (false, None) => Ok(self.path.clone()),
            (true, Some(sub)) => self.below(sub),
            (false, Some(_)) => Err(Error::invalid(format!(
                "{} is a file; it has no subpath",
                self.path
            ))
            .path(&self.path)),
            (true, None) => Err(Error::new(
                if action == "open" {
                    ErrorKind::IsADirectory
                } else {
                    ErrorKind::Invalid
                },
                format!("cannot {action} {}: it is a folder", self.path),
            )
            .path(&self.path)
            .hint("Name a file in it as subpath, or download it.")),
        }
    }

    fn must_be_folder(&self, action: &str) -> Result<()> {
        if self.is_dir {
            return Ok(());
        }
        Err(
            Error::invalid(format!("{action}: {} is a file, not a folder", self.path))
                .path(&self.path),
        )
    }

    fn below(&self, subpath: &str) -> Result<String> {
        let sub = checked(subpath)?;
        Ok(if sub.is_empty() {
            self.path.clone()
        } else {
            format!("{}/{sub}", self.path)
        })
    }
}

/// A path below the object; `..` is refused ([`ErrorKind::Value`]).
fn checked(subpath: &str) -> Result<String> {
    let parts: Vec<&str> = subpath
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    if parts.contains(&"..") || subpath.contains('\0') {
        return Err(Error::new(
            ErrorKind::Value,
            format!("the path {subpath:?} leaves the object"),
        )
        .path(subpath));
    }
    Ok(parts.join("/"))
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

impl Foreign for ObjectRef {
    fn type_name(&self) -> String {
        "ObjectRef".into()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
