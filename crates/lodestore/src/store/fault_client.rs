//! As [`FaultStore`](super::fault::FaultStore), one level below: a client of a remote store that fails on purpose, for
//! tests of what the store makes of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

/// What goes wrong on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientFault {
    /// The object is written, and the connection breaks before the answer.
    LostAnswer,
    /// The connection breaks before the request is carried out.
    LostRequest,
    /// The server does not know conditional puts.
    Unconditional,
    /// Bodies end after their first half.
    CutBody,
    /// Listings miss their second half, and say so by an error.
    PartialListing,
    /// Every request takes this much longer.
    Latency(Duration),
    /// Puts take this much longer.
    SlowWrites(Duration),
}

/// A client that strikes the first `times` requests that its fault concerns.
#[derive(Debug)]
pub struct FaultClient {
    inner: Arc<dyn ObjectStore>,
    fault: ClientFault,
    left: AtomicUsize,
}

impl FaultClient {
    /// Wraps a client.
    pub fn new(inner: Arc<dyn ObjectStore>, fault: ClientFault, times: usize) -> Self {
        FaultClient {
            inner,
            fault,
            left: AtomicUsize::new(times),
        }
    }

    /// True if this request is struck.
    fn strikes(&self, fault: ClientFault) -> bool {
        let take = |left: usize| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.fault == fault && self.left.fetch_update(set, get, take).is_ok()
    }

    async fn wait(&self, is_write: bool) {
        match self.fault {
            ClientFault::Latency(time) => tokio::time::sleep(time).await,
            ClientFault::SlowWrites(time) if is_write => tokio::time::sleep(time).await,
            _ => {}
        }
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "faulty",
        source: "the connection broke".into(),
    }
}

impl fmt::Display for FaultClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultClient {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.wait(true).await;
        if options.mode == PutMode::Create && self.fault == ClientFault::Unconditional {
            return Err(Error::NotImplemented {
                operation: "conditional put".into(),
                implementer: self.to_string(),
            });
        }
        if self.strikes(ClientFault::LostRequest) {
            return Err(broken());
        }
        let done = self.inner.put_opts(location, payload, options).await;
        if self.strikes(ClientFault::LostAnswer) {
            return Err(broken());
        }
        done
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.wait(true).await;
        let upload = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(FaultUpload {
            upload,
            lost: self.strikes(ClientFault::LostAnswer),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.wait(false).await;
        let head = options.head;
        let result = self.inner.get_opts(location, options).await?;
        if head || !self.strikes(ClientFault::CutBody) {
            return Ok(result);
        }
        let (meta, range, attributes) = (
            result.meta.clone(),
            result.range.clone(),
            result.attributes.clone(),
        );
        let content = result.bytes().await?;
        let half = content.slice(..content.len() / 2);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(half)]).boxed()),
            meta,
            range,
            attributes,
            extensions: Default::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let all = self.inner.list(prefix);
        if !self.strikes(ClientFault::PartialListing) {
            return all;
        }
        let half = async move {
            let all: Vec<_> = all.collect().await;
            let half = all.len() / 2;
            let mut some: Vec<_> = all.into_iter().take(half).collect();
            some.push(Err(broken()));
            stream::iter(some)
        };
        stream::once(half).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.wait(false).await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.wait(true).await;
        self.inner.copy_opts(from, to, options).await
    }
}

/// An upload in parts whose last answer may be lost.
#[derive(Debug)]
struct FaultUpload {
    upload: Box<dyn MultipartUpload>,
    lost: bool,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> object_store::UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.upload.complete().await;
        match self.lost {
            true => Err(broken()),
            false => done,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
