//! `ArrayStream`: an array that comes block by block along its first axis, and is never in memory as a whole.

use std::any::Any;
use std::fmt;
use std::io::{Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3Default;

use super::put_stream::{Facts, used};
use super::{Blocks, ByteSource, ByteStream};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Array, DType, Foreign, Order, element_count, npy};

type Source = Box<dyn Iterator<Item = Result<Array>> + Send>;

/// An array as a value of `<npy@>`: blocks of rows along the first axis. It can be stored once.
///
/// ```
/// # use lodestore::codec::ArrayStream;
/// # use lodestore::value::{Array, DType};
/// let blocks = (0..100).map(|i| Ok(Array::from_ndarray(ndarray::Array2::from_elem((1000, 64), i as f32))));
/// let stream = ArrayStream::new(blocks, vec![100_000, 64], DType::of::<f32>())?;
/// # Ok::<_, lodestore::Error>(())
/// ```
pub struct ArrayStream {
    dtype: DType,
    /// Rows; none if that is known only at the end.
    rows: Option<usize>,
    /// Shape of one row.
    inner: Vec<usize>,
    source: Mutex<Option<Source>>,
}

impl ArrayStream {
    /// An array of known shape. Blocks have this element type and shape but for the first axis, whose lengths add up.
    pub fn new<I>(blocks: I, shape: Vec<usize>, dtype: DType) -> Result<Self>
    where
        I: IntoIterator<Item = Result<Array>>,
        I::IntoIter: Send + 'static,
    {
        let Some((rows, inner)) = shape.split_first() else {
            return Err(Error::invalid(
                "a stream of blocks needs at least one axis, along which they come",
            ));
        };
        element_count(&shape, dtype.itemsize)?;
        Self::make(
            Box::new(blocks.into_iter()),
            Some(*rows),
            inner.to_vec(),
            dtype,
        )
    }

    /// An array whose number of rows is known only at the end. The `.npy` format says it at the start, so the blocks
    /// are kept in a temporary file until then.
    pub fn of_unknown_length<I>(blocks: I, inner: Vec<usize>, dtype: DType) -> Result<Self>
    where
        I: IntoIterator<Item = Result<Array>>,
        I::IntoIter: Send + 'static,
    {
        element_count(&inner, dtype.itemsize)?;
        Self::make(Box::new(blocks.into_iter()), None, inner, dtype)
    }

    fn make(source: Source, rows: Option<usize>, inner: Vec<usize>, dtype: DType) -> Result<Self> {
        if dtype.has_objects() {
            return Err(Error::invalid("a stream cannot bring arrays of objects")
                .hint("Give it a numeric, text or structured dtype."));
        }
        Ok(ArrayStream {
            dtype,
            rows,
            inner,
            source: Mutex::new(Some(source)),
        })
    }

    /// Element type.
    pub fn dtype(&self) -> &DType {
        &self.dtype
    }

    /// The array as a `.npy` file. With unknown length this reads all blocks. An error the second time.
    pub(super) fn open(&self) -> Result<NpyBlocks> {
        let source = {
            let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
            source.take().ok_or_else(used)?
        };
        let mut rows = Rows {
            source,
            dtype: self.dtype.clone(),
            announced: self.rows,
            inner: self.inner.clone(),
            blocks: 0,
            rows: 0,
        };
        let (count, content): (usize, Content) = match self.rows {
            Some(count) => (count, Content::Rows(rows)),
            None => {
                let spool = rows.spool()?;
                (rows.rows, Content::Spooled(spool))
            }
        };
        let mut shape = vec![count];
        shape.extend(&self.inner);
        let elements = element_count(&shape, self.dtype.itemsize)?;
        let header = Bytes::from(npy::write_header(&self.dtype, false, &shape)?);
        Ok(NpyBlocks {
            offset: header.len() as u64,
            size: header.len() as u64 + (elements * self.dtype.itemsize) as u64,
            shape,
            header: Some(header),
            content,
            sum: Xxh3Default::new(),
        })
    }
}

impl fmt::Debug for ArrayStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrayStream")
            .field("dtype", &self.dtype.text())
            .field("rows", &self.rows)
            .field("inner", &self.inner)
            .finish()
    }
}

impl Foreign for ArrayStream {
    fn type_name(&self) -> String {
        "ArrayStream".into()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Blocks, checked against what was announced.
struct Rows {
    source: Source,
    dtype: DType,
    announced: Option<usize>,
    inner: Vec<usize>,
    blocks: usize,
    rows: usize,
}

impl Rows {
    /// The elements of the next block that has any; none at the end.
    fn next_block(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(block) = self.source.next() else {
                return match self.announced {
                    Some(rows) if rows != self.rows => Err(wrong(format!(
                        "the stream ends after {} rows of {rows}",
                        self.rows
                    ))),
                    _ => Ok(None),
                };
            };
            let block = block?;
            self.check(&block)?;
            self.blocks += 1;
            let bytes = block.to_contiguous(Order::C)?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    fn check(&mut self, block: &Array) -> Result<()> {
        let number = self.blocks;
        if block.dtype != self.dtype {
            return Err(wrong(format!(
                "block {number} of the stream has dtype {}, which cannot become {} without loss",
                block.dtype.text(),
                self.dtype.text()
            )));
        }
        let Some((rows, _)) = block.shape.split_first().filter(|(_, i)| **i == self.inner) else {
            return Err(wrong(format!(
                "block {number} of the stream has shape {}; its rows should have shape {}",
                shape_text(&block.shape),
                shape_text(&self.inner)
            )));
        };
        self.rows = self
            .rows
            .checked_add(*rows)
            .ok_or_else(|| wrong("the stream has more rows than can be counted".into()))?;
        match self.announced {
            Some(announced) if self.rows > announced => Err(wrong(format!(
                "block {number} of the stream brings row {}, but {announced} were announced",
                self.rows
            ))),
            _ => Ok(()),
        }
    }

    /// Keeps all blocks in a temporary file.
    fn spool(&mut self) -> Result<Box<dyn ByteSource>> {
        let failed = |e| Error::io("write", std::env::temp_dir(), e);
        let mut file = tempfile::tempfile().map_err(failed)?;
        while let Some(block) = self.next_block()? {
            file.write_all(&block).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        ByteStream::of_file(None, file)?.take()
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Value, message)
}

/// A shape as Python writes it.
fn shape_text(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        _ => {
            let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("({})", sizes.join(", "))
        }
    }
}

enum Content {
    Rows(Rows),
    Spooled(Box<dyn ByteSource>),
}

/// A `.npy` file that comes block by block.
pub(super) struct NpyBlocks {
    pub(super) shape: Vec<usize>,
    pub(super) offset: u64,
    pub(super) size: u64,
    header: Option<Bytes>,
    content: Content,
    sum: Xxh3Default,
}

impl Blocks for NpyBlocks {
    fn next_block(&mut self) -> Result<Option<Bytes>> {
        const PIECE: usize = 4 << 20;
        let block = match (self.header.take(), &mut self.content) {
            (Some(header), _) => Some(header),
            (None, Content::Rows(rows)) => rows.next_block()?,
            (None, Content::Spooled(source)) => Some(source.read(PIECE)?).filter(|b| !b.is_empty()),
        };
        if let Some(block) = &block {
            self.sum.update(block);
        }
        Ok(block)
    }

    fn facts(&self) -> Facts {
        vec![("xxh3", format!("{:032x}", self.sum.digest128()).into())]
    }
}
