//! PostgreSQL.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sql::{Backend, ServerOptions};

/// Connects.
pub fn open(options: ServerOptions) -> Result<Arc<dyn Backend>> {
    let _ = options;
    Err(Error::unsupported(
        "PostgreSQL databases are not available in this version",
    ))
}
