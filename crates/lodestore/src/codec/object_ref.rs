//! `ObjectRef`: a file or folder in a store, known by its metadata and read when needed (spec: codecs §10, §11).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::hash::check_content;
use super::origin::{Origin, of_row};
use super::stream::{self, Recorded};
use super::{
    Manifest, ManifestEntry, ObjectHandle, ReadSeek, StoreLink, manifest_path, optional_text,
    parallel,
};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
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

/// An object, open for reading.
pub struct OpenObject {
    /// The reader, at the start.
    pub reader: Box<dyn ReadSeek>,
    /// Bytes of the object.
    pub size: u64,
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
    /// The row it was fetched from, to be named in errors.
    pub origin: Option<Origin>,
}

/// How many files of a folder are copied or compared at once.
const FILES: usize = 8;

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
            origin: None,
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
        of_row(self.origin.as_ref(), self.read_file(subpath))
    }

    fn read_file(&self, subpath: Option<&str>) -> Result<Bytes> {
        let store = self.link.open()?;
        let path = self.file(subpath, "read")?;
        let content = store.read(&path)?;
        if !self.is_dir && store.verifies() {
            self.check_size(&*store, &path, content.len() as u64)?;
            if let Some(hash) = self.hash.as_deref() {
                check_content(&*store, &path, hash, &content)?;
            }
        }
        Ok(content)
    }

    /// A reader over the file, or over one file of the folder, and its size. Remote objects are read by blocks, with
    /// read-ahead. A file of another size than recorded is [`ErrorKind::CorruptObject`], at once.
    pub fn open(&self, subpath: Option<&str>) -> Result<OpenObject> {
        of_row(self.origin.as_ref(), self.open_file(subpath))
    }

    fn open_file(&self, subpath: Option<&str>) -> Result<OpenObject> {
        let path = self.file(subpath, "open")?;
        let store = self.link.open()?;
        let head = store
            .head(&path)?
            .ok_or_else(|| super::missing(&*store, &path))?;
        if !self.is_dir && store.verifies() {
            self.check_size(&*store, &path, head.size)?;
        }
        if head.is_dir {
            return Err(folder("open", &path));
        }
        Ok(OpenObject {
            reader: store.open(&path)?,
            size: head.size,
        })
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

    /// Copies to the local disk. Each file is compared with what is recorded of it (unless checks are switched off), and
    /// only then takes the place of what was there, at once. Returns what the reference returns: the file's path, or
    /// `destination` for a folder (which lands in `destination/<base name>/`; with `flat`, in `destination`).
    pub fn download(
        &self,
        destination: &Path,
        subpath: Option<&str>,
        flat: bool,
        progress: &dyn Progress,
    ) -> Result<PathBuf> {
        let target = self.copy_to(destination, subpath, flat, progress);
        of_row(self.origin.as_ref(), target)
    }

    fn copy_to(
        &self,
        destination: &Path,
        subpath: Option<&str>,
        flat: bool,
        progress: &dyn Progress,
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
        if is_folder {
            let root = match flat {
                true => destination.to_owned(),
                false => destination.join(base),
            };
            self.copy_folder(&store, subpath.unwrap_or(""), &root, progress)?;
            return Ok(destination.to_owned());
        }
        let target = match destination.is_dir() {
            true => destination.join(base),
            false => destination.to_owned(),
        };
        let manifest = match subpath {
            Some(_) if store.verifies() => self.manifest(&*store)?,
            _ => None,
        };
        let recorded = match (subpath, &manifest) {
            _ if !store.verifies() => Recorded::default(),
            (None, _) => self.recorded(),
            (Some(sub), Some(manifest)) => recorded_in(manifest, &checked(sub)?),
            (Some(_), None) => Recorded::default(),
        };
        progress.begin("downloading", self.size.filter(|_| subpath.is_none()));
        let copied = stream::download(&store, &path, &target, recorded, progress);
        progress.end();
        copied.map(|()| target)
    }

    fn copy_folder(
        &self,
        store: &Arc<dyn ObjectHandle>,
        subpath: &str,
        root: &Path,
        progress: &dyn Progress,
    ) -> Result<()> {
        let path = self.below(subpath)?;
        let files = self.files(subpath)?;
        if files.is_empty() && self.item_count != Some(0) && store.head(&path)?.is_none() {
            return Err(super::missing(&**store, &path));
        }
        let manifest = match store.verifies() {
            true => self.manifest(&**store)?,
            false => None,
        };
        let below = checked(subpath)?;
        if let Some(manifest) = &manifest {
            // What the listing lacks would otherwise go unnoticed.
            let found: BTreeSet<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
            let prefix = if below.is_empty() {
                String::new()
            } else {
                format!("{below}/")
            };
            let mut wanted = manifest
                .files
                .iter()
                .filter_map(|f| f.path.strip_prefix(&prefix));
            if let Some(lost) = wanted.find(|path| !found.contains(path)) {
                return Err(super::missing(&**store, &format!("{path}/{lost}")));
            }
        }
        std::fs::create_dir_all(root).map_err(|e| Error::io("create", root, e))?;
        progress.begin(
            "downloading",
            Some(files.iter().map(|(_, size)| size).sum()),
        );
        let copied = parallel::run(files.len(), FILES, |i| {
            // Names come from a listing, which is not ours to trust: none may climb out of the destination.
            let relative = checked(&files[i].0)?;
            let recorded = match (&manifest, below.is_empty()) {
                (None, _) => Recorded::default(),
                (Some(manifest), true) => recorded_in(manifest, &relative),
                (Some(manifest), false) => recorded_in(manifest, &format!("{below}/{relative}")),
            };
            let target = root.join(&relative);
            stream::download(
                store,
                &format!("{path}/{relative}"),
                &target,
                recorded,
                progress,
            )
        });
        progress.end();
        copied.map(|_| ())
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
    /// count and size). All content is read, piece by piece; progress counts bytes.
    ///
    /// [`ErrorKind::CorruptObject`] or [`ErrorKind::MissingObject`] if they differ.
    pub fn verify(&self, progress: &dyn Progress) -> Result<()> {
        let found = self.link.open().and_then(|store| {
            if self.is_dir {
                return self.verify_folder(&store, progress);
            }
            progress.begin("verifying", self.size);
            let found = stream::check(&store, &self.path, self.recorded(), progress);
            progress.end();
            found
        });
        of_row(self.origin.as_ref(), found)
    }

    /// What the row records of a file.
    fn recorded(&self) -> Recorded<'_> {
        Recorded {
            size: self.size,
            hash: self.hash.as_deref(),
            checksum: None,
            by: "row",
        }
    }

    /// The manifest beside a folder; none if there is none.
    fn manifest(&self, store: &dyn ObjectHandle) -> Result<Option<Manifest>> {
        let path = manifest_path(&self.path);
        match store.read(&path) {
            Ok(text) => Manifest::parse(&text)
                .map(Some)
                .map_err(|e| e.store(store.name()).path(path)),
            Err(e) if e.kind() == ErrorKind::MissingObject => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn verify_folder(&self, store: &Arc<dyn ObjectHandle>, progress: &dyn Progress) -> Result<()> {
        let found: BTreeMap<String, u64> = self.files("")?.into_iter().collect();
        let Some(manifest) = self.manifest(&**store)? else {
            return self.verify_totals(&**store, &found);
        };
        let listed = (
            manifest.files.len() as u64,
            manifest.files.iter().map(|f| f.size).sum::<u64>(),
        );
        self.compare_totals(&**store, listed, "manifest lists")?;
        progress.begin("verifying", Some(listed.1));
        let compared = parallel::run(manifest.files.len(), FILES, |i| {
            let file = &manifest.files[i];
            let path = format!("{}/{}", self.path, checked(&file.path)?);
            if !found.contains_key(&file.path) {
                return Err(super::missing(&**store, &path));
            }
            stream::check(store, &path, recorded_as(file), progress)
        });
        progress.end();
        compared.map(|_| ())
    }

    /// Without a manifest: what the row says about the whole.
    fn verify_totals(&self, store: &dyn ObjectHandle, found: &BTreeMap<String, u64>) -> Result<()> {
        if found.is_empty() && self.item_count != Some(0) && store.head(&self.path)?.is_none() {
            return Err(super::missing(store, &self.path));
        }
        let totals = (found.len() as u64, found.values().sum());
        self.compare_totals(store, totals, "folder has")
    }

    /// Compares the number and size of the files with the row.
    fn compare_totals(
        &self,
        store: &dyn ObjectHandle,
        (count, size): (u64, u64),
        found: &str,
    ) -> Result<()> {
        match (self.item_count, self.size) {
            (Some(stated), _) if stated != count => Err(self.damaged(
                store,
                &self.path,
                format!("its {found} {count} files, its row says {stated}"),
            )),
            (_, Some(stated)) if stated != size => Err(self.damaged(
                store,
                &self.path,
                format!("its {found} {size} bytes, its row says {stated}"),
            )),
            _ => Ok(()),
        }
    }

    fn check_size(&self, store: &dyn ObjectHandle, path: &str, found: u64) -> Result<()> {
        match self.size {
            Some(size) if size != found => Err(self.damaged(
                store,
                path,
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
            (true, None) => Err(folder(action, &self.path)),
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

/// What a manifest records of one of its files.
fn recorded_as(file: &ManifestEntry) -> Recorded<'_> {
    Recorded {
        size: Some(file.size),
        hash: file.hash.as_deref(),
        checksum: None,
        by: "manifest",
    }
}

/// What a manifest records of a path; nothing for a file that it does not list.
fn recorded_in<'a>(manifest: &'a Manifest, path: &str) -> Recorded<'a> {
    let file = manifest.files.iter().find(|f| f.path == path);
    file.map(recorded_as).unwrap_or_default()
}

/// The error of an operation on a folder that needs a file.
fn folder(action: &str, path: &str) -> Error {
    let kind = match action {
        "open" => ErrorKind::IsADirectory,
        _ => ErrorKind::Invalid,
    };
    Error::new(kind, format!("cannot {action} {path}: it is a folder"))
        .path(path)
        .hint("Name a file in it as subpath, or download it.")
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
