//! The open database with its stores, codecs and caches.

use std::sync::Arc;

/// An open database with its stores. Cheap to clone; all clones share one connection.
#[derive(Clone, Debug)]
pub struct Lode {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {}
