//! `<object@>`: bytes, a file or a folder, at a path that mirrors the schema (spec: codecs §6, stores §4).

use std::path::Path;

use super::byte_stream::{ByteBlocks, Records, SMALL, read_up_to};
use super::{
    ByteStream, Codec, DecodeContext, EncodeContext, Encoded, ObjectRef, Put, PutPath, PutSource,
    PutStream, StoreLink, timestamp_now, walk_folder,
};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Json, Value};

/// `<object@>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ObjectCodec;

/// What the metadata of an object state.
#[derive(Debug, Clone, Copy)]
pub struct ObjectFacts<'a> {
    /// Path in the store.
    pub path: &'a str,
    /// Store name, resolved.
    pub store: &'a str,
    /// Bytes; of a folder without its manifest.
    /// None if only its write will tell.
    pub size: Option<u64>,
    /// Extension as given.
    pub ext: Option<&'a str>,
    /// Folder.
    pub is_dir: bool,
    /// Number of files of a folder.
    pub item_count: Option<u64>,
    /// Content hash, if known.
    pub hash: Option<&'a str>,
}

impl ObjectCodec {
    /// The column's JSON object, in the reference's order of keys, then our `hash` (left `null` for a file whose write
    /// will compute it).
    pub fn metadata(facts: ObjectFacts<'_>) -> serde_json::Value {
        let mut metadata = serde_json::json!({
            "path": facts.path,
            "store": facts.store,
            "size": facts.size,
            "ext": facts.ext,
            "is_dir": facts.is_dir,
            "item_count": facts.item_count,
            "timestamp": timestamp_now(),
        });
        if !facts.is_dir {
            metadata["hash"] = facts.hash.into();
        }
        metadata
    }
}

impl Codec for ObjectCodec {
    fn name(&self) -> &str {
        "object"
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        super::store_only("object", is_store)
    }

    fn validate(&self, value: &Value) -> Result<()> {
        match value {
            Value::Bytes(_) => Ok(()),
            Value::Tuple(items) => tuple_parts(items).map(|_| ()),
            Value::Text(path) => local_kind(Path::new(path)).map(|_| ()),
            Value::Path(path) => local_kind(path).map(|_| ()),
            Value::Map(_) | Value::Json(_) => finished_metadata(value).map(|_| ()),
            value
                if value.foreign::<ObjectRef>().is_some()
                    || value.foreign::<ByteStream>().is_some() =>
            {
                Ok(())
            }
            other => Err(wrong_type(other)),
        }
    }

    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        match &value {
            Value::Bytes(content) => encode_bytes(content.clone(), None, context),
            Value::Tuple(items) => {
                let (ext, content) = tuple_parts(items)?;
                match (content, content.foreign::<ByteStream>()) {
                    (Value::Bytes(content), _) => encode_bytes(content.clone(), ext, context),
                    (_, Some(stream)) => encode_stream(stream, ext, context),
                    (other, None) => Err(wrong_type(other)),
                }
            }
            Value::Text(path) => encode_local(Path::new(path), context),
            Value::Path(path) => encode_local(path, context),
            Value::Map(_) | Value::Json(_) => Ok(Value::Json(finished_metadata(&value)?).into()),
            value => match (value.foreign::<ObjectRef>(), value.foreign::<ByteStream>()) {
                (Some(reference), _) => encode_copy(reference, context),
                (None, Some(stream)) => encode_stream(stream, None, context),
                (None, None) => Err(wrong_type(value)),
            },
        }
    }

    fn decode(&self, stored: Value, context: &DecodeContext<'_>) -> Result<Value> {
        let metadata = super::metadata_of(&stored, "object")?;
        let link = StoreLink::Named {
            stores: context.stores.clone(),
            name: super::optional_text(&metadata, "store").map(str::to_owned),
            filepath: false,
        };
        let mut reference = ObjectRef::from_json(&serde_json::Value::Object(metadata), link)
            .map_err(|e| e.with_kind(ErrorKind::CorruptObject))?;
        reference.origin = context.origin.cloned();
        Ok(Value::Foreign(std::sync::Arc::new(reference)))
    }

    fn is_schema_addressed(&self) -> bool {
        true
    }
}

fn wrong_type(value: &Value) -> Error {
    Error::new(
        ErrorKind::Type,
        format!(
            "<object> stores bytes, an open file, (ext, bytes or file), or a path of a local file or folder, not {}",
            value.type_name()
        ),
    )
}

/// `(ext, data)`.
fn tuple_parts(items: &[Value]) -> Result<(Option<&str>, &Value)> {
    let fits = |v: &Value| matches!(v, Value::Bytes(_)) || v.foreign::<ByteStream>().is_some();
    match items {
        [Value::Text(ext), content] if fits(content) => Ok((Some(ext), content)),
        [Value::Null, content] if fits(content) => Ok((None, content)),
        _ => Err(Error::new(
            ErrorKind::Type,
            "a tuple for <object> is (ext, data): text or None, and bytes or an open binary file",
        )),
    }
}

/// Metadata that the caller made: any JSON object with a text `path`.
fn finished_metadata(value: &Value) -> Result<Json> {
    let json = match value {
        Value::Json(json) => json.clone(),
        other => Json::from(&super::to_json(other)?),
    };
    match json.parse()? {
        serde_json::Value::Object(map)
            if map.get("path").is_some_and(serde_json::Value::is_string) =>
        {
            Ok(json)
        }
        _ => Err(Error::new(
            ErrorKind::Type,
            "a mapping for <object> must be finished metadata, with a `path`",
        )),
    }
}

/// True for a folder. Errors: absent, neither file nor folder.
fn local_kind(path: &Path) -> Result<bool> {
    let metadata = std::fs::metadata(path).map_err(|e| {
        let absent = e.kind() == std::io::ErrorKind::NotFound;
        let error = Error::io("read", path, e);
        if absent {
            error.hint("A string for <object> is a local path; it is never a URL or the content itself (use bytes).")
        } else {
            error
        }
    })?;
    if metadata.is_dir() {
        Ok(true)
    } else if metadata.is_file() {
        Ok(false)
    } else {
        Err(Error::new(
            ErrorKind::Value,
            format!("{} is neither file nor folder", path.display()),
        ))
    }
}

fn encode_bytes(
    content: bytes::Bytes,
    ext: Option<&str>,
    context: &EncodeContext<'_>,
) -> Result<Encoded> {
    let store = context.stores.get(context.store)?;
    let path = store.schema_path(
        context.schema,
        context.table,
        context.key,
        context.attribute,
        ext.unwrap_or(""),
    )?;
    let facts = ObjectFacts {
        path: &path,
        store: store.name(),
        size: Some(content.len() as u64),
        ext,
        is_dir: false,
        item_count: None,
        hash: None,
    };
    let metadata = ObjectCodec::metadata(facts);
    let put =
        Put::segments(store.name(), PutPath::Fresh(path), vec![content]).recording_hash("hash");
    Ok(Encoded {
        value: Value::Json(metadata.into()),
        puts: vec![put],
    })
}

/// A stream of any length. What is short goes as plain bytes, together with that of other rows.
fn encode_stream(
    stream: &ByteStream,
    ext: Option<&str>,
    context: &EncodeContext<'_>,
) -> Result<Encoded> {
    let mut source = stream.take()?;
    let start = bytes::Bytes::from(read_up_to(&mut *source, SMALL)?);
    if start.len() < SMALL {
        return encode_bytes(start, ext, context);
    }
    let store = context.stores.get(context.store)?;
    let path = store.schema_path(
        context.schema,
        context.table,
        context.key,
        context.attribute,
        ext.unwrap_or(""),
    )?;
    let metadata = ObjectCodec::metadata(ObjectFacts {
        path: &path,
        store: store.name(),
        size: None,
        ext,
        is_dir: false,
        item_count: None,
        hash: None,
    });
    let blocks = PutStream::new(ByteBlocks::new(start, source, None, Records::Size));
    let put = Put::stream(store.name(), PutPath::Fresh(path), blocks, None).recording_hash("hash");
    Ok(Encoded {
        value: Value::Json(metadata.into()),
        puts: vec![put],
    })
}

fn encode_local(local: &Path, context: &EncodeContext<'_>) -> Result<Encoded> {
    let is_dir = local_kind(local)?;
    let suffix = local
        .extension()
        .and_then(|e| e.to_str())
        .filter(|e| !e.is_empty());
    let suffix = suffix.map(|e| format!(".{e}")).unwrap_or_default();
    let ext = if is_dir { None } else { Some(suffix.as_str()) };
    encode_source(local, is_dir, ext, context)
}

fn encode_source(
    local: &Path,
    is_dir: bool,
    ext: Option<&str>,
    context: &EncodeContext<'_>,
) -> Result<Encoded> {
    let store = context.stores.get(context.store)?;
    let (size, item_count) = if is_dir {
        let files = walk_folder(local)?;
        (
            files.iter().map(|(_, size)| size).sum(),
            Some(files.len() as u64),
        )
    } else {
        (
            std::fs::metadata(local)
                .map_err(|e| Error::io("read", local, e))?
                .len(),
            None,
        )
    };
    let path = store.schema_path(
        context.schema,
        context.table,
        context.key,
        context.attribute,
        ext.unwrap_or(""),
    )?;
    let facts = ObjectFacts {
        path: &path,
        store: store.name(),
        size: Some(size),
        ext,
        is_dir,
        item_count,
        hash: None,
    };
    let metadata = ObjectCodec::metadata(facts);
    // The working directory may have changed by the time the put runs.
    let local = std::path::absolute(local).map_err(|e| Error::io("read", local, e))?;
    let put = Put {
        store: store.name().to_owned(),
        path: PutPath::Fresh(path),
        source: if is_dir {
            PutSource::Folder(local)
        } else {
            PutSource::File(local)
        },
        record_hash: if is_dir { None } else { Some("hash") },
        size: Some(size),
    };
    Ok(Encoded {
        value: Value::Json(metadata.into()),
        puts: vec![put],
    })
}

/// An object that is in a store already: copied to a path of its own, because rows never share a schema-addressed object.
fn encode_copy(reference: &ObjectRef, context: &EncodeContext<'_>) -> Result<Encoded> {
    let source = reference.link.open()?;
    if let Some(local) = source.local_path(&reference.path) {
        if !local.exists() {
            return Err(super::missing(&*source, &reference.path));
        }
        return encode_source(&local, reference.is_dir, reference.ext.as_deref(), context);
    }
    if reference.is_dir {
        return Err(Error::unsupported(
            "copying a folder object between remote stores is not part of this version",
        )
        .store(source.name())
        .path(&reference.path)
        .hint("Download it, and insert the local folder."));
    }
    encode_bytes(reference.read()?, reference.ext.as_deref(), context)
}
