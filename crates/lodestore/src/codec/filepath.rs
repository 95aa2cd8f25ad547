//! `<filepath@>`: a file or folder that already lies in a store; nothing is copied (spec: codecs §7, stores §5).

use super::{Codec, DecodeContext, EncodeContext, Encoded, ObjectRef, StoreLink, timestamp_now};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Value;

/// `<filepath@>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilepathCodec;

impl Codec for FilepathCodec {
    fn name(&self) -> &str {
        "filepath"
    }

    fn dtype(&self, is_store: bool) -> Result<String> {
        super::store_only("filepath", is_store)
    }

    fn uses_filepath_default(&self) -> bool {
        true
    }

    fn validate(&self, value: &Value) -> Result<()> {
        path_text(value).map(|_| ())
    }

    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        let store = context.stores.get_filepath(context.store)?;
        let path = store.filepath(path_text(&value)?)?;
        let Some(head) = store.head(&path)? else {
            return Err(Error::new(
                ErrorKind::FileNotFound,
                format!(
                    "there is no file {} in store `{}`",
                    store.full_path(&path),
                    store.name()
                ),
            )
            .store(store.name())
            .path(path)
            .hint("<filepath> records a file that is in the store already; copy it there first."));
        };
        let metadata = serde_json::json!({
            "path": path,
            "store": store.name(),
            "size": if head.is_dir { None } else { Some(head.size) },
            "is_dir": head.is_dir,
            "timestamp": timestamp_now(),
        });
        Ok(Value::Json(metadata.into()).into())
    }

    fn decode(&self, stored: Value, context: &DecodeContext<'_>) -> Result<Value> {
        let mut metadata = super::metadata_of(&stored, "filepath")?;
        // Rows of other writers may lack a size, which `ObjectRef` requires to be stated.
        metadata.entry("size").or_insert(serde_json::Value::Null);
        let link = StoreLink::Named {
            stores: context.stores.clone(),
            name: super::optional_text(&metadata, "store").map(str::to_owned),
            filepath: true,
        };
        let mut reference = ObjectRef::from_json(&serde_json::Value::Object(metadata), link)
            .map_err(|e| e.with_kind(ErrorKind::CorruptObject))?;
        reference.origin = context.origin.cloned();
        Ok(Value::Foreign(std::sync::Arc::new(reference)))
    }
}

fn path_text(value: &Value) -> Result<&str> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Path(path) => path.to_str().ok_or_else(|| {
            Error::new(
                ErrorKind::Value,
                format!("the path {} is not UTF-8", path.display()),
            )
        }),
        other => Err(Error::new(
            ErrorKind::Type,
            format!("<filepath> takes a path, not {}", other.type_name()),
        )),
    }
}
