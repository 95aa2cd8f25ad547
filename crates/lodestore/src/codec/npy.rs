//! `<npy@>`.

use super::{Codec, DecodeContext, EncodeContext, Encoded};
use crate::error::{Error, Result};
use crate::value::Value;

/// `<npy@>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NpyCodec;

impl Codec for NpyCodec {
    fn name(&self) -> &str {
        "npy"
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        super::store_only("npy", is_store)
    }

    fn encode(&self, _value: Value, _context: &EncodeContext<'_>) -> Result<Encoded> {
        Err(Error::unsupported("being written"))
    }

    fn decode(&self, _stored: Value, _context: &DecodeContext<'_>) -> Result<Value> {
        Err(Error::unsupported("being written"))
    }
}
