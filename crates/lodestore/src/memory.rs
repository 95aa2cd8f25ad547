//! Memory for large buffers.
//!
//! Fresh memory is mapped page by page at first touch, which costs as much as filling it. Asking for large pages, where
//! the system has them, makes that cost vanish.

use std::alloc::{Layout, alloc_zeroed};

use crate::error::{Error, Result};

/// Buffers below this gain nothing.
const LARGE: usize = 4 << 20;

/// An empty buffer with room for `size` bytes. An error instead of an abort if the memory cannot be had.
pub(crate) fn with_capacity(size: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(size).map_err(|_| lack(size))?;
    advise(&buffer);
    Ok(buffer)
}

/// A buffer of `size` zeros, which cost nothing until they are touched.
pub(crate) fn zeroed(size: usize) -> Result<Vec<u8>> {
    let layout = Layout::array::<u8>(size).map_err(|_| lack(size))?;
    if size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout is not empty.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return Err(lack(size));
    }
    // SAFETY: the memory comes from the global allocator with the layout of `size` bytes, all of them initialised.
    let buffer = unsafe { Vec::from_raw_parts(memory, size, size) };
    advise(&buffer);
    Ok(buffer)
}

fn lack(size: usize) -> Error {
    Error::invalid(format!("no memory for {size} bytes"))
        .hint("Read a slice, or fewer rows at a time.")
}

#[cfg(target_os = "linux")]
fn advise(buffer: &Vec<u8>) {
    use rustix::mm::{Advice, madvise};

    if buffer.capacity() < LARGE {
        return;
    }
    let page = rustix::param::page_size();
    let start = buffer.as_ptr() as usize;
    let (first, end) = (
        start.next_multiple_of(page),
        (start + buffer.capacity()) / page * page,
    );
    let pages = buffer.as_ptr().wrapping_add(first - start).cast_mut();
    // SAFETY: the pages lie within the buffer's own allocation, and the advice changes how they are mapped, not what
    // they hold. If it is refused, nothing changes.
    let _ = unsafe { madvise(pages.cast(), end - first, Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &Vec<u8>) {
    let _ = LARGE;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn buffers_have_room_and_zeros_are_zero() {
        for size in [0, 1, LARGE - 1, LARGE, LARGE + 12_345] {
            let buffer = with_capacity(size).unwrap();
            assert!(buffer.is_empty() && buffer.capacity() >= size);
            let buffer = zeroed(size).unwrap();
            assert!(buffer.len() == size && buffer.iter().all(|b| *b == 0));
        }
        assert!(zeroed(usize::MAX / 2).is_err());
    }
}
