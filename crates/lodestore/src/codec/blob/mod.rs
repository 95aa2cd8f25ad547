//! The blob format: any value and its bytes (spec: codecs §2, §3).
//!
//! Here: [`pack`] and [`unpack`], the envelope's deflate, and [`BlobCodec`]. Not here: where the bytes go; `<blob@>`
//! hands them to `<hash>`. Called by `table/` through the registry, and by the Python layer directly.

use bytes::Bytes;

use super::{Codec, DecodeContext, EncodeContext, Encoded};
use crate::error::{Error, Result};
use crate::value::Value;

/// Whether and how [`pack`] compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compress {
    /// Not at all.
    No,
    /// Fast and deterministic; noise is left as it is.
    #[default]
    Fast,
    /// The stream that the reference writes (zlib, level 6), for stores that both write to and that should share
    /// objects (`blob_deflate = "zlib6"`).
    Reference,
}

/// How [`unpack_with`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnpackOptions {
    /// Whether counts and lengths take 32 bits: yes, no, or (none) 64 bits first and, for `mYm` blobs that cannot be
    /// read so, 32 bits.
    pub dims32: Option<bool>,
}

/// The bytes of a value.
pub fn pack(_value: &Value, _compress: Compress) -> Result<Bytes> {
    Err(Error::unsupported("being written"))
}

/// The value of bytes.
pub fn unpack(bytes: Bytes) -> Result<Value> {
    unpack_with(bytes, UnpackOptions::default())
}

/// As [`unpack`], with options.
pub fn unpack_with(_bytes: Bytes, _options: UnpackOptions) -> Result<Value> {
    Err(Error::unsupported("being written"))
}

/// `<blob>` and `<blob@>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlobCodec;

impl Codec for BlobCodec {
    fn name(&self) -> &str {
        "blob"
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        Ok(if is_store { "<hash>" } else { "bytes" }.into())
    }

    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        let reference = match context.store {
            Some(store) => context.stores.get(Some(store))?.reference_deflate(),
            None => false,
        };
        let compress = if reference {
            Compress::Reference
        } else {
            Compress::Fast
        };
        Ok(Value::Bytes(pack(&value, compress)?).into())
    }

    fn decode(&self, stored: Value, _context: &DecodeContext<'_>) -> Result<Value> {
        match stored {
            Value::Bytes(bytes) => unpack(bytes),
            other => Err(Error::invalid(format!(
                "a blob is stored as bytes, not as {}",
                other.type_name()
            ))),
        }
    }
}
