//! Protocols that are not built in. Who knows them is above this module (`store::adapter`), so they are asked through a
//! function.

use std::sync::OnceLock;

use serde_json::{Map, Value as Json};

use crate::error::Result;

/// Checks the specification of a store of this protocol: (protocol, store, keys). None for a protocol that nobody knows.
type Check = fn(&str, &str, &Map<String, Json>) -> Result<Option<()>>;

static CHECK: OnceLock<Check> = OnceLock::new();

/// Sets who checks specifications of protocols that are not built in.
pub(crate) fn set_protocols(check: Check) {
    // It is the same function each time.
    let _ = CHECK.set(check);
}

/// Checks a specification of a protocol that is not built in. False if nobody knows the protocol.
pub(crate) fn check_protocol(
    protocol: &str,
    store: &str,
    keys: &Map<String, Json>,
) -> Result<bool> {
    match CHECK.get() {
        Some(check) => Ok(check(protocol, store, keys)?.is_some()),
        None => Ok(false),
    }
}
