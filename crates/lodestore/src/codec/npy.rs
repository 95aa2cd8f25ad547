//! `<npy@>`: one array as a standard `.npy` file (spec: codecs §8).

use super::byte_stream::{ByteBlocks, Records, read_up_to};
use super::npy_ref::NpyRef;
use super::{
    ArrayStream, ByteStream, Codec, DecodeContext, EncodeContext, Encoded, Put, PutPath, PutSource,
    PutStream, StoreLink,
};
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
            value
                if value.foreign::<NpyRef>().is_some()
                    || value.foreign::<ArrayStream>().is_some()
                    || value.foreign::<ByteStream>().is_some() =>
            {
                Ok(())
            }
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
            value => {
                if let Some(reference) = value.foreign::<NpyRef>() {
                    copy(reference, store.name(), &path)?
                } else if let Some(stream) = value.foreign::<ArrayStream>() {
                    pour(stream, store.name(), &path)?
                } else if let Some(file) = value.foreign::<ByteStream>() {
                    copy_file(file, store.name(), &path)?
                } else {
                    return Err(Error::invalid("<npy> stores arrays"));
                }
            }
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

/// An array that comes in blocks. Its checksum is known at the end.
fn pour(stream: &ArrayStream, store: &str, path: &str) -> Result<(Facts, Put)> {
    let blocks = stream.open()?;
    let facts = (
        stream.dtype().text(),
        blocks.shape.clone(),
        Some(blocks.size),
        Some((blocks.offset, false)),
        None,
    );
    let size = Some(blocks.size);
    let target = PutPath::Fresh(path.to_owned());
    let put = Put::stream(store, target, PutStream::new(blocks), size);
    Ok((facts, put))
}

/// An open `.npy` file: copied as it is, after a look at its header. What follows the array is left in the file.
fn copy_file(file: &ByteStream, store: &str, path: &str) -> Result<(Facts, Put)> {
    let mut source = file.take()?;
    // The header says how long it is: see `header_size`.
    let mut head = read_up_to(&mut *source, 12)?;
    let wanted = npy::header_size(&head)?;
    head.extend(read_up_to(&mut *source, wanted.saturating_sub(head.len()))?);
    let header = npy::parse_header(&head)?;
    if header.dtype.has_objects() {
        return Err(Error::invalid(
            "the .npy file holds pickled objects, which are not stored",
        ));
    }
    let size = header.data_offset as u64 + header.nbytes() as u64;
    let left = size.saturating_sub(head.len() as u64);
    // A header shorter than what was read at first: the elements are fewer than a handful of bytes.
    head.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let facts = (
        header.dtype.text(),
        header.shape.clone(),
        Some(size),
        Some((header.data_offset as u64, header.fortran_order)),
        None,
    );
    let blocks = ByteBlocks::new(head.into(), source, Some(left), Records::Checksum);
    let target = PutPath::Fresh(path.to_owned());
    let put = Put::stream(store, target, PutStream::new(blocks), Some(size));
    Ok((facts, put))
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
