//! Content that comes block by block, once: what is written of it is all there ever was of it in memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// What a column's JSON is to say besides: keys and values.
pub type Facts = Vec<(&'static str, serde_json::Value)>;

/// Blocks of bytes, pulled one after the other.
///
/// A block is done with before the next one is asked for, so its memory may be used again for that one.
pub trait Blocks: Send {
    /// The next block; none at the end. Not called again after the end or an error.
    fn next_block(&mut self) -> Result<Option<Bytes>>;

    /// What is known only at the end, and is to be recorded in the column's JSON.
    fn facts(&self) -> Facts {
        Facts::new()
    }
}

/// The blocks of one [`Put`](super::Put). They can be written once; clones share them.
#[derive(Clone)]
pub struct PutStream(Arc<Mutex<State>>);

struct State {
    blocks: Option<Box<dyn Blocks>>,
    facts: Facts,
}

impl PutStream {
    /// A stream that nobody has read yet.
    pub fn new(blocks: impl Blocks + 'static) -> Self {
        PutStream(Arc::new(Mutex::new(State {
            blocks: Some(Box::new(blocks)),
            facts: Facts::new(),
        })))
    }

    /// Hands every block to `sink`, on this thread, and asks for interruption before each. Returns the number of bytes,
    /// which must be `size` if that is given.
    pub fn pour(
        &self,
        size: Option<u64>,
        progress: &dyn Progress,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut blocks = self.state().blocks.take().ok_or_else(used)?;
        let mut total = 0u64;
        loop {
            if progress.interrupted() {
                return Err(Error::new(
                    ErrorKind::Interrupted,
                    "interrupted while storing a stream",
                ));
            }
            let Some(block) = blocks.next_block()? else {
                break;
            };
            total += block.len() as u64;
            if size.is_some_and(|size| total > size) {
                break;
            }
            sink(&block)?;
        }
        if let Some(size) = size.filter(|size| *size != total) {
            let how = if total > size { "more" } else { "fewer" };
            return Err(Error::new(
                ErrorKind::Value,
                format!("the stream brings {how} bytes than the {size} that were announced"),
            ));
        }
        self.state().facts = blocks.facts();
        Ok(total)
    }

    /// What the end of the stream told; nothing before.
    pub fn facts(&self) -> Facts {
        self.state().facts.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PutStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PutStream")
    }
}

/// The error of a stream that was read before.
pub(super) fn used() -> Error {
    Error::invalid("the stream was read before: it can be stored only once")
        .hint("Open or make it again, and insert the row again.")
}
