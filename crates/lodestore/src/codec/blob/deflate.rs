//! The envelope's compression (spec: codecs §2 "Envelope", §11 "Deflate", "Skip noise").

use std::cell::RefCell;

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::read::damaged;
use crate::error::{Error, Result};

/// Payloads above this are sampled before they are compressed.
const SAMPLE_ABOVE: usize = 256 << 10;
const WINDOWS: usize = 8;
const WINDOW: usize = 16 << 10;
/// Below this estimated ratio the payload is stored plain.
const WORTHWHILE: f64 = 1.08;
/// A declared length above both this and what deflate can expand to is refused.
const ALWAYS_ALLOWED: usize = 64 << 20;
const MAX_EXPANSION: usize = 1032;

/// Level 1; `CompressionLvl::fastest()` is level 0, which does not compress at all.
const LEVEL: CompressionLvl = match CompressionLvl::new(1) {
    Ok(level) => level,
    Err(_) => CompressionLvl::fastest(),
};

thread_local! {
    // Both hold tables that are worth keeping from one value to the next.
    static FAST: RefCell<Compressor> = RefCell::new(Compressor::new(LEVEL));
    static INFLATE: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// Appends the zlib stream to `head`, or gives nothing if head and stream would not be shorter than the payload, or
/// if samples say that the payload is noise. The same bytes give the same stream on every machine.
pub(super) fn fast(head: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() > SAMPLE_ABOVE && estimate(payload) < WORTHWHILE {
        return None;
    }
    // Zeroed memory from the allocator costs nothing until it is touched.
    let mut out = vec![0; payload.len() + 64];
    out[..head.len()].copy_from_slice(head);
    let written = FAST
        .with_borrow_mut(|c| c.zlib_compress(payload, &mut out[head.len()..]))
        .ok()?;
    out.truncate(head.len() + written);
    if out.len() >= payload.len() {
        return None;
    }
    out.shrink_to_fit();
    Some(out)
}

/// The compression ratio, from windows spread evenly over the payload.
fn estimate(payload: &[u8]) -> f64 {
    let mut out = vec![0; 2 * WINDOW];
    let step = (payload.len() - WINDOW) / (WINDOWS - 1);
    let packed: usize = (0..WINDOWS)
        .map(|i| {
            let window = &payload[i * step..i * step + WINDOW];
            FAST.with_borrow_mut(|c| c.zlib_compress(window, &mut out))
                .unwrap_or(WINDOW)
        })
        .sum();
    (WINDOWS * WINDOW) as f64 / packed as f64
}

/// Inflates a stream whose length is known into memory that starts with `pad` unused bytes. Bytes after the stream are
/// ignored. No more is ever inflated than declared.
pub(super) fn inflate(stream: &[u8], declared: usize, pad: usize) -> Result<Vec<u8>> {
    let wrong_length = || {
        damaged(format!(
            "it does not inflate to the {declared} bytes that it declares"
        ))
    };
    if declared > ALWAYS_ALLOWED.max(stream.len().saturating_mul(MAX_EXPANSION)) {
        return Err(damaged(format!(
            "{} bytes cannot inflate to the {declared} that it declares",
            stream.len()
        )));
    }
    let size = declared.checked_add(pad).ok_or_else(wrong_length)?;
    // Asking first turns an allocation that cannot be had into an error instead of an abort.
    Vec::<u8>::new()
        .try_reserve_exact(size)
        .map_err(|e| Error::invalid(format!("no memory for a blob of {declared} bytes: {e}")))?;
    let mut out = vec![0; size];
    match INFLATE.with_borrow_mut(|d| d.zlib_decompress(stream, &mut out[pad..])) {
        Ok(n) if n == declared => Ok(out),
        Ok(_) | Err(libdeflater::DecompressionError::InsufficientSpace) => Err(wrong_length()),
        Err(libdeflater::DecompressionError::BadData) => {
            Err(damaged("its compressed data are damaged"))
        }
    }
}

/// The stream that the reference writes: zlib itself at its default level. As [`fast`], but nothing is skipped.
///
/// Other deflate libraries, also those that imitate zlib's interface, cut other streams, and the bytes of this one name
/// the object.
pub(super) fn reference(head: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; payload.len()];
    out[..head.len()].copy_from_slice(head);
    let room = &mut out[head.len()..];
    let mut written = room.len().try_into().ok()?;
    let length = payload.len().try_into().ok()?;
    // SAFETY: both pointers are valid for the lengths given; zlib writes at most `written` bytes and says how many.
    let code = unsafe {
        libz_sys::compress2(
            room.as_mut_ptr(),
            &mut written,
            payload.as_ptr(),
            length,
            libz_sys::Z_DEFAULT_COMPRESSION,
        )
    };
    // Anything but success means here that the stream is not shorter than the payload.
    if code != libz_sys::Z_OK {
        return None;
    }
    out.truncate(head.len() + usize::try_from(written).ok()?);
    out.shrink_to_fit();
    Some(out).filter(|out| out.len() < payload.len())
}
