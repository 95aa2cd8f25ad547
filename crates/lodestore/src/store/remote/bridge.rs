//! The file system of a plug-in behind the interface of the `object_store` crate. Its calls block, so they run beside
//! the runtime's threads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UploadPart,
};

use super::explain::Failure;
use super::{key, runtime};
use crate::error::{Error, ErrorKind};
use crate::store::adapter::{FileInfo, FileSystem, Upload};

/// Deletions of one call that are under way at once.
const DELETIONS: usize = 8;

/// A file system as a client.
#[derive(Debug)]
pub(super) struct Bridge(pub(super) Arc<dyn FileSystem>);

impl fmt::Display for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plug-in")
    }
}

impl Bridge {
    /// Runs blocking work with the file system and the name of a path.
    async fn run<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce(&dyn FileSystem, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (files, name) = (Arc::clone(&self.0), key::from_path(path));
        beside(move || work(&*files, &name)).await
    }
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    runtime::blocking(work)
        .await
        .unwrap_or_else(|e| Err(generic(e)))
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Generic {
        store: "plug-in",
        source: Box::new(source),
    }
}

/// A plug-in's error in the library's terms. The error itself stays inside: `explain.rs` takes it out again.
fn failure(name: &str, error: Error) -> Failure {
    let path = name.to_owned();
    match error.kind() {
        ErrorKind::MissingObject => Failure::NotFound {
            path,
            source: Box::new(error),
        },
        ErrorKind::Access => Failure::PermissionDenied {
            path,
            source: Box::new(error),
        },
        _ => generic(error),
    }
}

fn absent(name: &str) -> Failure {
    Failure::NotFound {
        path: name.to_owned(),
        source: "there is no such file".into(),
    }
}

fn meta(file: FileInfo) -> Result<ObjectMeta> {
    Ok(ObjectMeta {
        location: key::to_path(&file.path).map_err(generic)?,
        last_modified: file.modified.unwrap_or(SystemTime::UNIX_EPOCH).into(),
        size: file.size,
        e_tag: file.version,
        version: None,
    })
}

/// The file at a path.
fn look(files: &dyn FileSystem, name: &str) -> Result<ObjectMeta> {
    match files.info(name).map_err(|e| failure(name, e))? {
        Some(file) if !file.is_dir => meta(FileInfo {
            path: name.to_owned(),
            ..file
        }),
        _ => Err(absent(name)),
    }
}

#[async_trait]
impl ObjectStore for Bridge {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Failure::NotImplemented {
                    operation: "conditional update".into(),
                    implementer: self.to_string(),
                });
            }
        };
        self.run(location, move |files, name| {
            let segments: Vec<Bytes> = payload.into_iter().collect();
            match files.write(name, &segments, create) {
                Ok(true) => Ok(PutResult {
                    e_tag: None,
                    version: None,
                    extensions: Default::default(),
                }),
                Ok(false) => Err(Failure::AlreadyExists {
                    path: name.to_owned(),
                    source: "something is there".into(),
                }),
                Err(e) => Err(failure(name, e)),
            }
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let name = key::from_path(location);
        let upload = self
            .run(location, |files, name| {
                files.upload(name).map_err(|e| failure(name, e))
            })
            .await?;
        Ok(Box::new(Parts {
            begun: 0,
            state: Arc::new(Mutex::new(State {
                name,
                upload: Some(upload),
                next: 0,
                waiting: BTreeMap::new(),
            })),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.run(location, move |files, name| {
            let meta = look(files, name)?;
            if options.if_match.is_some() && options.if_match != meta.e_tag {
                return Err(Failure::Precondition {
                    path: name.to_owned(),
                    source: "its content is another one".into(),
                });
            }
            let range = match &options.range {
                Some(range) => range.as_range(meta.size).map_err(generic)?,
                None => 0..meta.size,
            };
            let content = match options.head {
                true => Bytes::new(),
                false => files
                    .read(name, range.clone())
                    .map_err(|e| failure(name, e))?,
            };
            Ok(GetResult {
                payload: GetResultPayload::Stream(stream::iter([Ok(content)]).boxed()),
                meta,
                range,
                attributes: Default::default(),
                extensions: Default::default(),
            })
        })
        .await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let files = Arc::clone(&self.0);
        let delete = move |location: Result<Path>| {
            let files = Arc::clone(&files);
            async move {
                let location = location?;
                let name = key::from_path(&location);
                let deleted =
                    beside(move || files.delete(&name).map_err(|e| failure(&name, e))).await;
                deleted.map(|_| location)
            }
        };
        locations.map(delete).buffered(DELETIONS).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let files = Arc::clone(&self.0);
        let folder = prefix.map(key::from_path).unwrap_or_default();
        let pages = stream::try_unfold(None, move |pages| {
            let (files, folder) = (Arc::clone(&files), folder.clone());
            beside(move || {
                let failed = |e| failure(&folder, e);
                let mut pages = match pages {
                    Some(pages) => pages,
                    None => files.list(&folder).map_err(failed)?,
                };
                let page = pages.next().transpose().map_err(failed)?;
                Ok(page.map(|page| (stream::iter(page.into_iter().map(meta)), Some(pages))))
            })
        });
        pages.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let folder = prefix.cloned().unwrap_or_default();
        self.run(&folder, |files, name| {
            let found = files.list_dir(name).map_err(|e| failure(name, e))?;
            let (folders, objects): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.is_dir);
            let folders = folders
                .iter()
                .map(|f| key::to_path(&f.path).map_err(generic));
            Ok(ListResult {
                common_prefixes: folders.collect::<Result<_>>()?,
                objects: objects.into_iter().map(meta).collect::<Result<_>>()?,
                extensions: Default::default(),
            })
        })
        .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let to = key::from_path(to);
        self.run(from, move |files, from| {
            if options.mode == CopyMode::Create
                && files.info(&to).map_err(|e| failure(&to, e))?.is_some()
            {
                return Err(Failure::AlreadyExists {
                    path: to,
                    source: "something is there".into(),
                });
            }
            files.copy(from, &to).map_err(|e| failure(from, e))
        })
        .await
    }
}

/// An upload in parts, which arrive in any order and are written in theirs.
struct Parts {
    begun: usize,
    state: Arc<Mutex<State>>,
}

struct State {
    name: String,
    upload: Option<Box<dyn Upload>>,
    /// The part that is written next.
    next: usize,
    /// Parts that came before their turn. Nobody waits for an earlier part, which may need what he holds to be sent.
    waiting: BTreeMap<usize, PutPayload>,
}

impl State {
    fn add(&mut self, index: usize, part: PutPayload) -> Result<()> {
        self.waiting.insert(index, part);
        while let Some(part) = self.waiting.remove(&self.next) {
            let Some(upload) = &mut self.upload else {
                return Err(absent(&self.name));
            };
            for segment in &part {
                let written = upload.write(segment);
                written.map_err(|e| failure(&self.name, e))?;
            }
            self.next += 1;
        }
        Ok(())
    }
}

impl Parts {
    /// Runs blocking work with the state. Parts wait for each other there, beside the runtime's threads.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        let state = Arc::clone(&self.state);
        beside(move || work(&mut state.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let index = self.begun;
        self.begun += 1;
        self.run(move |state| state.add(index, data)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let begun = self.begun;
        self.run(move |state| {
            let whole = state.next == begun;
            match state.upload.take() {
                Some(upload) if whole => upload.commit().map_err(|e| failure(&state.name, e)),
                upload => {
                    if let Some(upload) = upload {
                        upload.abort();
                    }
                    Err(generic(Error::new(
                        ErrorKind::Store,
                        "not all parts were written",
                    )))
                }
            }
        })
        .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: Default::default(),
        })
    }

    async fn abort(&mut self) -> Result<()> {
        self.run(|state| {
            if let Some(upload) = state.upload.take() {
                upload.abort();
            }
            Ok(())
        })
        .await
    }
}
