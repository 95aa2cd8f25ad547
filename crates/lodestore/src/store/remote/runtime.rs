//! The one asynchronous runtime behind the synchronous stores.
//!
//! Made when first used, and shared by all stores of the process: what it does is wait for the network. A forked child
//! has none of its parent's threads, so it makes its own.

use std::future::Future;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, ErrorKind, Result};

/// Threads of the runtime: signing and copying are little work, waiting is none.
const THREADS: usize = 2;

/// The runtime, and the process that it belongs to.
static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// The runtime of this process.
pub(super) fn handle() -> Result<Handle> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match &*runtime {
        Some((owner, runtime)) if *owner == process => Ok(runtime.handle().clone()),
        _ => {
            let made = Builder::new_multi_thread()
                .worker_threads(THREADS)
                .thread_name("lodestore-io")
                .enable_all()
                .build()
                .map_err(|e| {
                    Error::new(
                        ErrorKind::Store,
                        format!("cannot start the threads that talk to object stores: {e}"),
                    )
                })?;
            // It lives as long as the process. The parent's is left alone in a child: its threads do not exist here, and
            // ending it would wait for them.
            let made: &'static Runtime = Box::leak(Box::new(made));
            *runtime = Some((process, made));
            Ok(made.handle().clone())
        }
    }
}

/// Work under way.
pub(super) struct Pending<T>(Receiver<T>);

impl<T> Pending<T> {
    /// Waits for its end.
    pub(super) fn wait(self) -> Result<T> {
        self.0
            .recv()
            .map_err(|_| Error::new(ErrorKind::Store, "a transfer ended early"))
    }

    /// Waits for its end, for so long at most; none if it has not come.
    pub(super) fn wait_for(&self, most: Duration) -> Result<Option<T>> {
        match self.0.recv_timeout(most) {
            Ok(done) => Ok(Some(done)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::new(ErrorKind::Store, "a transfer ended early"))
            }
        }
    }
}

/// Begins work, on the runtime's threads.
pub(super) fn start<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Pending<T>> {
    let (send, receive) = sync_channel(1);
    handle()?.spawn(async move {
        // Nobody waits any more: the result is not wanted.
        let _ = send.send(work.await);
    });
    Ok(Pending(receive))
}

/// Does work on the runtime's threads, and waits for it.
pub(super) fn wait<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    start(work)?.wait()?
}

/// Runs blocking work (hashing, local files) beside the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::new(ErrorKind::Store, "a transfer ended early"))
}
