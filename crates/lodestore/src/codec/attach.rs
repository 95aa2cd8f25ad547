//! `<attach>`: a local file, its name and content (spec: codecs §5).

use super::{Codec, DecodeContext, EncodeContext, Encoded};
use crate::error::{Error, Result};
use crate::value::Value;

/// `<attach>`, `<attach@>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttachCodec;

impl Codec for AttachCodec {
    fn name(&self) -> &str {
        "attach"
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        Ok(if is_store { "<hash>" } else { "bytes" }.into())
    }

    fn encode(&self, _value: Value, _context: &EncodeContext<'_>) -> Result<Encoded> {
        Err(Error::unsupported("being written"))
    }

    fn decode(&self, _stored: Value, _context: &DecodeContext<'_>) -> Result<Value> {
        Err(Error::unsupported("being written"))
    }
}
