//! Creating an object where there is none, by one conditional request (`If-None-Match: *`).
//!
//! Asking first and writing then would leave a gap in which somebody else writes. The price is a question when an answer
//! is lost: was it our own object that the repeated request found? The object is read back to tell.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};
use rand::Rng;

use super::Client;
use super::explain::{Failure, Verdict, is_absent, judge};
use crate::error::{Error, Result};

/// The first pause before a request is repeated; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest.
const LONGEST: Duration = Duration::from_secs(5);

/// What became of a conditional put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    /// The object was made by this call.
    Made,
    /// Something was there already.
    Exists,
}

impl Client {
    /// Makes an object unless there is one.
    pub(super) async fn create(
        &self,
        path: &str,
        key: &Path,
        segments: &[Bytes],
    ) -> Result<Created> {
        let payload: PutPayload = segments.iter().cloned().collect();
        // True once a request may have been carried out although its answer said otherwise, or never came.
        let mut doubt = false;
        let mut attempt = 0;
        loop {
            let failure = match self.try_create(key, payload.clone()).await {
                Ok(created) => {
                    return Ok(match created {
                        Created::Exists if doubt && self.is_ours(key, segments).await => {
                            Created::Made
                        }
                        created => created,
                    });
                }
                Err(failure) => failure,
            };
            match judge(&failure) {
                Verdict::Exists if doubt && self.is_ours(key, segments).await => {
                    return Ok(Created::Made);
                }
                Verdict::Exists => return Ok(Created::Exists),
                // Asked once more, now without condition.
                Verdict::Unconditional
                    if self.session.conditional.swap(false, Ordering::Relaxed) =>
                {
                    continue;
                }
                Verdict::Unconditional | Verdict::Failed => {
                    return Err(self.at.failed("write", path, &failure));
                }
                Verdict::Doubt => doubt = true,
                Verdict::Again => {}
            }
            attempt += 1;
            if attempt > self.at.options.retries {
                if doubt && self.is_ours(key, segments).await {
                    return Ok(Created::Made);
                }
                return Err(self.unwritten(path, &failure, doubt));
            }
            tokio::time::sleep(pause(attempt)).await;
        }
    }

    async fn try_create(&self, key: &Path, payload: PutPayload) -> Result<Created, Failure> {
        let _leave = self.session.request().await;
        if self.session.conditional.load(Ordering::Relaxed) {
            let options = PutOptions::from(PutMode::Create);
            self.session
                .clients
                .once
                .put_opts(key, payload, options)
                .await?;
            return Ok(Created::Made);
        }
        match self.session.clients.store.head(key).await {
            Ok(_) => Ok(Created::Exists),
            Err(e) if is_absent(&e) => {
                self.session.clients.store.put(key, payload).await?;
                Ok(Created::Made)
            }
            Err(e) => Err(e),
        }
    }

    /// True if what is there is what was sent. A store that cannot be asked says no: then the object is left alone.
    async fn is_ours(&self, key: &Path, segments: &[Bytes]) -> bool {
        let Ok(found) = self.session.clients.store.get(key).await else {
            return false;
        };
        if found.meta.size != segments.iter().map(|s| s.len() as u64).sum::<u64>() {
            return false;
        }
        match found.bytes().await {
            Ok(content) => {
                let mut rest = &content[..];
                segments.iter().all(|segment| {
                    let same = rest.starts_with(segment);
                    rest = rest.get(segment.len()..).unwrap_or_default();
                    same
                }) && rest.is_empty()
            }
            Err(_) => false,
        }
    }

    fn unwritten(&self, path: &str, failure: &Failure, doubt: bool) -> Error {
        let error = self.at.failed("write", path, failure);
        match doubt {
            true => error.hint("The object may be there all the same; then no row names it, and the next collection removes it."),
            false => error,
        }
    }
}

/// How long to wait before an attempt: twice as long each time, and never the same for two clients.
fn pause(attempt: usize) -> Duration {
    let whole = PAUSE
        .saturating_mul(1 << attempt.min(10).saturating_sub(1))
        .min(LONGEST);
    whole.mul_f64(rand::rng().random_range(0.5..1.0))
}
