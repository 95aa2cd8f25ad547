//! `<hash@>`: bytes at a path made from their MD5, shared by equal contents (spec: codecs §4, stores §3).

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use md5::{Digest, Md5};

use super::byte_stream::HashedContent;
use super::{Codec, DecodeContext, EncodeContext, Encoded, Put, PutPath, PutSource};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Value;

/// The content hash of stores §3, computed piece by piece: MD5 as lower-case base32 without padding, 26 characters.
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(Md5);

impl ContentHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes added.
    pub fn finish(self) -> String {
        let mut text = BASE32_NOPAD.encode(&self.0.finalize());
        text.make_ascii_lowercase();
        text
    }
}

/// The content hash of some segments, one after the other.
pub fn content_hash<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = ContentHasher::new();
    for segment in segments {
        hasher.update(segment);
    }
    hasher.finish()
}

/// A fast checksum of some segments, one after the other: XXH3 of 128 bits, as 32 hexadecimal digits. It finds damage,
/// at a twentieth of the time of the content hash; it proves nothing about who wrote the bytes.
pub fn checksum<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    for segment in segments {
        hasher.update(segment);
    }
    format!("{:032x}", hasher.digest128())
}

/// `<hash@>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct HashCodec;

impl Codec for HashCodec {
    fn name(&self) -> &str {
        "hash"
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        super::store_only("hash", is_store)
    }

    fn validate(&self, value: &Value) -> Result<()> {
        match value {
            Value::Bytes(_) => Ok(()),
            other => Err(Error::new(
                ErrorKind::Type,
                format!("<hash> stores bytes, not {}", other.type_name()),
            )),
        }
    }

    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        let store = context.stores.get(context.store)?;
        let (hash, size, source) = match (&value, value.foreign::<HashedContent>()) {
            (Value::Bytes(content), _) => (
                content_hash([&content[..]]),
                content.len() as u64,
                PutSource::Segments(vec![content.clone()]),
            ),
            (_, Some(hashed)) => (
                hashed.hash.clone(),
                hashed.size,
                PutSource::Stream(hashed.stream.clone()),
            ),
            (other, None) => {
                return Err(Error::new(
                    ErrorKind::Type,
                    format!("<hash> stores bytes, not {}", other.type_name()),
                ));
            }
        };
        let path = store.hash_path(context.schema, &hash)?;
        let metadata = serde_json::json!({
            "hash": hash,
            "path": path,
            "schema": context.schema,
            "store": store.name(),
            "size": size,
        });
        let put = Put {
            store: store.name().to_owned(),
            path: PutPath::Hash(path),
            source,
            record_hash: None,
            size: Some(size),
        };
        Ok(Encoded {
            value: Value::Json(metadata.into()),
            puts: vec![put],
        })
    }

    fn decode(&self, stored: Value, context: &DecodeContext<'_>) -> Result<Value> {
        let metadata = super::metadata_of(&stored, "hash")?;
        let path = super::required_text(&metadata, "path", "hash")?;
        let store = context
            .stores
            .get(super::optional_text(&metadata, "store"))?;
        let content = store.read(path)?;
        if let Some(hash) = super::optional_text(&metadata, "hash") {
            check_content(&*store, path, hash, &content)?;
        }
        Ok(Value::Bytes(content))
    }
}

/// Compares content with the recorded hash, unless the store has checks switched off or this very object was checked
/// before. [`ErrorKind::CorruptObject`] if they differ.
pub(super) fn check_content(
    store: &dyn super::ObjectHandle,
    path: &str,
    hash: &str,
    content: &Bytes,
) -> Result<()> {
    check_by(store, path, hash, || content_hash([&content[..]]))
}

/// As [`check_content`], by a hash of any kind, which is found only if it is needed.
pub(super) fn check_by(
    store: &dyn super::ObjectHandle,
    path: &str,
    stated: &str,
    find: impl FnOnce() -> String,
) -> Result<()> {
    if !store.verifies() || store.is_verified(path, stated) {
        return Ok(());
    }
    let found = find();
    if found != stated {
        return Err(Error::new(
            ErrorKind::CorruptObject,
            format!(
                "the object {path} is damaged: its content hashes to {found}, its row says {stated}"
            ),
        )
        .store(store.name())
        .path(path));
    }
    store.set_verified(path, stated);
    Ok(())
}
