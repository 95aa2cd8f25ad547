//! Open files and other streams of bytes as values: for `<npy@>`, `<object@>` and `<attach@>`.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3Default;

use super::put_stream::{Facts, used};
use super::{Blocks, ContentHasher, PutStream};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Foreign;

/// What is read at a time.
const PIECE: usize = 4 << 20;

/// Content up to this is handled as plain bytes, together with that of other rows.
pub(super) const SMALL: usize = 1 << 20;

/// Where the bytes of a [`ByteStream`] come from.
pub trait ByteSource: Send {
    /// Further bytes, at most so many; empty at the end.
    fn read(&mut self, most: usize) -> Result<Bytes>;

    /// True if [`ByteSource::rewind`] is possible.
    fn is_seekable(&self) -> bool {
        false
    }

    /// Goes back to where it was at first.
    fn rewind(&mut self) -> Result<()> {
        Err(Error::unsupported("the stream cannot be read again"))
    }
}

/// A stream of bytes as a value: an open file. It can be stored once.
pub struct ByteStream {
    type_name: String,
    name: Option<String>,
    source: Mutex<Option<Box<dyn ByteSource>>>,
}

impl ByteStream {
    /// From any source. `type_name` is for messages; `name`, if there is one, is a file's name or path.
    pub fn new(type_name: &str, name: Option<String>, source: impl ByteSource + 'static) -> Self {
        ByteStream {
            type_name: type_name.to_owned(),
            name,
            source: Mutex::new(Some(Box::new(source))),
        }
    }

    /// From a local file, from where it stands.
    pub fn of_file(name: Option<String>, mut file: File) -> Result<Self> {
        let start = file.stream_position().ok();
        Ok(Self::new("File", name, FileSource { file, start }))
    }

    /// From any reader.
    pub fn of_reader(name: Option<String>, reader: impl Read + Send + 'static) -> Self {
        Self::new("Read", name, ReaderSource(reader))
    }

    /// The name, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The bytes. An error the second time.
    pub(super) fn take(&self) -> Result<Box<dyn ByteSource>> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        source.take().ok_or_else(used)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.type_name)
    }
}

impl Foreign for ByteStream {
    fn type_name(&self) -> String {
        self.type_name.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct FileSource {
    file: File,
    start: Option<u64>,
}

impl ByteSource for FileSource {
    fn read(&mut self, most: usize) -> Result<Bytes> {
        read_some(&mut self.file, most)
    }

    fn is_seekable(&self) -> bool {
        self.start.is_some()
    }

    fn rewind(&mut self) -> Result<()> {
        let start = self.start.unwrap_or(0);
        let done = self.file.seek(SeekFrom::Start(start));
        done.map(|_| ()).map_err(unreadable)
    }
}

struct ReaderSource<R>(R);

impl<R: Read + Send> ByteSource for ReaderSource<R> {
    fn read(&mut self, most: usize) -> Result<Bytes> {
        read_some(&mut self.0, most)
    }
}

fn read_some(reader: &mut impl Read, most: usize) -> Result<Bytes> {
    let mut buffer = vec![0; most];
    loop {
        match reader.read(&mut buffer) {
            Ok(n) => {
                buffer.truncate(n);
                return Ok(buffer.into());
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(unreadable(e)),
        }
    }
}

fn unreadable(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Store, format!("cannot read the stream: {e}"))
}

/// Reads until there are so many bytes, or the stream ends.
pub(super) fn read_up_to(source: &mut dyn ByteSource, size: usize) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    while content.len() < size {
        let more = source.read((size - content.len()).min(PIECE))?;
        if more.is_empty() {
            break;
        }
        content.extend_from_slice(&more);
    }
    Ok(content)
}

/// What of a source is stored: something before it, and how much of it.
pub(super) struct ByteBlocks {
    first: Option<Bytes>,
    source: Box<dyn ByteSource>,
    /// Bytes still to come; none: all there are.
    left: Option<u64>,
    size: u64,
    sum: Xxh3Default,
    /// The checksum that the whole must have.
    expected: Option<u128>,
    records: Records,
}

/// What of a stream the column's JSON is to say.
pub(super) enum Records {
    Nothing,
    Size,
    Checksum,
}

impl ByteBlocks {
    /// `first`, and then what the source still has, at most `left`.
    pub(super) fn new(
        first: Bytes,
        source: Box<dyn ByteSource>,
        left: Option<u64>,
        records: Records,
    ) -> Self {
        ByteBlocks {
            first: Some(first),
            source,
            left,
            size: 0,
            sum: Xxh3Default::new(),
            expected: None,
            records,
        }
    }
}

impl Blocks for ByteBlocks {
    fn next_block(&mut self) -> Result<Option<Bytes>> {
        let block = match self.first.take().filter(|first| !first.is_empty()) {
            Some(first) => first,
            None => {
                let most = self
                    .left
                    .map_or(PIECE, |left| left.min(PIECE as u64) as usize);
                let block = match most {
                    0 => Bytes::new(),
                    most => self.source.read(most)?,
                };
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(block.len() as u64);
                }
                block
            }
        };
        if block.is_empty() {
            return match self.expected {
                Some(sum) if sum != self.sum.digest128() => Err(Error::new(
                    ErrorKind::Value,
                    "the file changed while it was stored",
                )),
                _ => Ok(None),
            };
        }
        self.size += block.len() as u64;
        if self.expected.is_some() || matches!(self.records, Records::Checksum) {
            self.sum.update(&block);
        }
        Ok(Some(block))
    }

    fn facts(&self) -> Facts {
        match self.records {
            Records::Nothing => Facts::new(),
            Records::Size => vec![("size", self.size.into())],
            Records::Checksum => {
                vec![("xxh3", format!("{:032x}", self.sum.digest128()).into())]
            }
        }
    }
}

/// Content for a content-addressed path, too large for memory: hashed, and ready to be read once more.
#[derive(Debug)]
pub(super) struct HashedContent {
    pub(super) hash: String,
    pub(super) size: u64,
    pub(super) stream: PutStream,
}

impl HashedContent {
    /// Reads `first` and then the source to hash it. `first` is `prefix` bytes of ours, and what was already read of the
    /// source. What cannot be read twice goes to a temporary file on the way.
    pub(super) fn of(first: Bytes, prefix: usize, mut source: Box<dyn ByteSource>) -> Result<Self> {
        let failed = |e| Error::io("write", std::env::temp_dir(), e);
        let mut spool = match source.is_seekable() {
            true => None,
            false => Some(tempfile::tempfile().map_err(failed)?),
        };
        if let Some(spool) = &mut spool {
            spool.write_all(&first[prefix..]).map_err(failed)?;
        }
        let mut hasher = ContentHasher::new();
        let mut sum = Xxh3Default::new();
        let mut size = 0;
        let mut block = first.clone();
        while !block.is_empty() {
            hasher.update(&block);
            sum.update(&block);
            size += block.len() as u64;
            block = source.read(PIECE)?;
            if let Some(spool) = &mut spool {
                spool.write_all(&block).map_err(failed)?;
            }
        }
        if let Some(file) = spool {
            source = Box::new(FileSource {
                file,
                start: Some(0),
            });
        }
        source.rewind()?;
        let mut blocks = ByteBlocks::new(first.slice(..prefix), source, None, Records::Nothing);
        blocks.expected = Some(sum.digest128());
        Ok(HashedContent {
            hash: hasher.finish(),
            size,
            stream: PutStream::new(blocks),
        })
    }
}

impl Foreign for HashedContent {
    fn type_name(&self) -> String {
        "bytes".into()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
