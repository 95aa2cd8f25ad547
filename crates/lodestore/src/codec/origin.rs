//! Where a lazy reference comes from, so that a failure long after the fetch names the row.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

type Name = dyn Fn(Error, usize) -> Error + Send + Sync;

/// A row of a fetched batch. Cheap to clone; the key becomes text only when an error asks for it.
#[derive(Clone)]
pub struct Origin {
    name: Arc<Name>,
    row: usize,
}

impl Origin {
    /// A row of a batch, by the function that names its rows in errors.
    pub fn new(name: Arc<Name>, row: usize) -> Self {
        Origin { name, row }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin(row {})", self.row)
    }
}

/// Names the row, if it is known, in what went wrong.
pub(super) fn of_row<T>(origin: Option<&Origin>, result: Result<T>) -> Result<T> {
    match origin {
        Some(origin) => result.map_err(|e| (origin.name)(e, origin.row)),
        None => result,
    }
}
