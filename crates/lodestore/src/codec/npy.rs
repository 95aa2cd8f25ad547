//! `<npy@>`: one array as a standard `.npy` file (spec: codecs §8).

use super::npy_ref::NpyRef;
use super::{Codec, DecodeContext, EncodeContext, Encoded, Put, PutPath, PutSource, StoreLink};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Array, DType, Elements, Value, npy};

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

    fn validate(&self, value: &Value) -> Result<()> {
        match value {
            Value::Array(array) => check(array),
            value if value.foreign::<NpyRef>().is_some() => Ok(()),
            // The reference's exception here is its general one, not a TypeError.
            other => Err(
                Error::invalid(format!("<npy> stores arrays, not {}", other.type_name()))
                    .hint("Convert with numpy.asarray(…), or use <blob> for other values."),
            ),
        }
    }

    fn encode(&self, value: Value, context: &EncodeContext<'_>) -> Result<Encoded> {
        self.validate(&value)?;
        let store = context.stores.get(context.store)?;
        let path = store.schema_path(
            context.schema,
            context.table,
            context.key,
            context.attribute,
            ".npy",
        )?;
        let (facts, mut put) = match &value {
            Value::Array(array) => {
                // Contiguous memory is borrowed, never copied: header and array are two segments of one write.
                let segments = npy::encode(array)?;
                let offset = segments[0].len() as u64;
                let fortran_order = array.is_f_contiguous() && !array.is_c_contiguous();
                let sum = super::hash::checksum(segments.iter().map(|s| &s[..]));
                let put =
                    Put::segments(store.name(), PutPath::Fresh(path.clone()), segments.into());
                let facts = (
                    array.dtype.text(),
                    array.shape.clone(),
                    put.size,
                    Some((offset, fortran_order)),
                    Some(sum),
                );
                (facts, put)
            }
            value => match value.foreign::<NpyRef>() {
                Some(reference) => copy(reference, store.name(), &path)?,
                None => return Err(Error::invalid("<npy> stores arrays")),
            },
        };
        put.record_hash = Some("hash");
        let (dtype, shape, size, layout, sum) = facts;
        let metadata = serde_json::json!({
            "path": path,
            "store": store.name(),
            "dtype": dtype,
            "shape": shape,
            "hash": null,
            "xxh3": sum,
            "size": size,
            "offset": layout.map(|l| l.0),
            "fortran_order": layout.map(|l| l.1),
        });
        Ok(Encoded {
            value: Value::Json(metadata.into()),
            puts: vec![put],
        })
    }

    fn decode(&self, stored: Value, context: &DecodeContext<'_>) -> Result<Value> {
        let metadata = super::metadata_of(&stored, "npy")?;
        let link = StoreLink::Named {
            stores: context.stores.clone(),
            name: super::optional_text(&metadata, "store").map(str::to_owned),
            filepath: false,
        };
        let reference = NpyRef::from_json(&serde_json::Value::Object(metadata), link)?
            .from_row(context.origin.cloned());
        Ok(Value::Foreign(std::sync::Arc::new(reference)))
    }

    fn is_schema_addressed(&self) -> bool {
        true
    }
}

type Facts = (
    String,
    Vec<usize>,
    Option<u64>,
    Option<(u64, bool)>,
    Option<String>,
);

fn check(array: &Array) -> Result<()> {
    if matches!(array.data, Elements::Objects(_)) || array.dtype.has_objects() {
        return Err(Error::invalid("<npy> cannot store arrays of objects")
            .hint("Give the array a numeric, text or structured dtype, or use <blob>."));
    }
    Ok(())
}

/// An array that is in a store already: copied as it is, to a path of its own.
fn copy(reference: &NpyRef, store: &str, path: &str) -> Result<(Facts, Put)> {
    let source = reference.link().open()?;
    let head = source
        .head(reference.path())?
        .ok_or_else(|| super::missing(&*source, reference.path()))?;
    let layout = reference.layout()?;
    let target = PutPath::Fresh(path.to_owned());
    let put = match source.local_path(reference.path()) {
        Some(local) => Put {
            store: store.to_owned(),
            path: target,
            source: PutSource::File(local),
            record_hash: None,
            size: Some(head.size),
        },
        None => Put::segments(store, target, vec![source.read(reference.path())?]),
    };
    let dtype = reference
        .dtype()
        .map(DType::text)
        .unwrap_or_else(|_| reference.dtype_text().to_owned());
    Ok((
        (
            dtype,
            reference.shape().to_vec(),
            put.size,
            Some((layout.offset, layout.fortran_order)),
            reference.checksum().map(str::to_owned),
        ),
        put,
    ))
}

/// The error of a stored array that is not what its row says.
pub(super) fn corrupt(store: &str, path: &str, why: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::CorruptObject,
        format!("the object {path} is damaged: {why}"),
    )
    .store(store)
    .path(path)
}
