//! A seekable file over an object: blocks are read as they are asked for, more at a time when reading goes on and on, and
//! a few are kept, for formats that go back and forth (HDF5).

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::read::Version;
use super::{Client, runtime};
use crate::error::Result;

/// Bytes of a block.
const BLOCK: u64 = 1 << 20;

/// Blocks that one request brings at most.
const MOST: u64 = 8;

/// Blocks that are kept.
const KEPT: usize = 24;

/// An object as a file. What it shows is one content: an object that is replaced meanwhile is an error.
pub(super) struct RemoteFile {
    client: Client,
    path: String,
    version: Version,
    position: u64,
    /// Blocks by number, the latest used last.
    blocks: VecDeque<(u64, Bytes)>,
    /// The block after the latest request.
    next: u64,
    /// Blocks of the next request, if it goes on from there.
    ahead: u64,
}

impl RemoteFile {
    pub(super) fn open(client: Client, path: &str) -> Result<Self> {
        let (asking, name) = (client.clone(), path.to_owned());
        let version = runtime::wait(async move { asking.version(&name).await })?;
        Ok(RemoteFile {
            client,
            path: path.to_owned(),
            version,
            position: 0,
            blocks: VecDeque::new(),
            next: 0,
            ahead: 1,
        })
    }

    /// A block, from memory or from the store.
    fn block(&mut self, number: u64) -> io::Result<Bytes> {
        if let Some(at) = self.blocks.iter().position(|(n, _)| *n == number) {
            let block = self.blocks.remove(at).unwrap_or_default();
            self.blocks.push_back(block.clone());
            return Ok(block.1);
        }
        self.ahead = match number == self.next {
            true => (self.ahead * 2).min(MOST),
            false => 1,
        };
        let start = number * BLOCK;
        let end = self.version.size.min(start + self.ahead * BLOCK);
        let content = self
            .client
            .start_chunk(&self.path, &self.version, start..end)
            .and_then(|chunk| chunk.wait()?)
            .map_err(io::Error::other)?;
        self.next = number + self.ahead;
        let pieces = content.len().div_ceil(BLOCK as usize);
        for i in (0..pieces).rev() {
            let from = i * BLOCK as usize;
            let piece = content.slice(from..content.len().min(from + BLOCK as usize));
            self.blocks.push_back((number + i as u64, piece));
        }
        while self.blocks.len() > KEPT {
            self.blocks.pop_front();
        }
        Ok(content.slice(..content.len().min(BLOCK as usize)))
    }
}

impl Read for RemoteFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.version.size || buffer.is_empty() {
            return Ok(0);
        }
        let block = self.block(self.position / BLOCK)?;
        let within = (self.position % BLOCK) as usize;
        let piece = block.get(within..).unwrap_or_default();
        let n = piece.len().min(buffer.len());
        buffer[..n].copy_from_slice(&piece[..n]);
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for RemoteFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.version.size.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a position before the start")
        })?;
        Ok(self.position)
    }
}
