//! The envelope's compression (spec: codecs §2 "Envelope", §11 "Deflate", "Skip noise").

use std::cell::RefCell;

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::literals;
use super::read::damaged;
use crate::codec::parallel;
use crate::error::Result;
use crate::memory;

/// Payloads up to this size are compressed where that halves them, about. Less would hardly make the row smaller on its
/// page, and cost several times what the rest of writing and reading it does.
const SMALL: usize = 4 << 10;
/// Payloads above this are sampled before they are compressed.
const SAMPLE_ABOVE: usize = 256 << 10;
const WINDOWS: usize = 8;
const WINDOW: usize = 16 << 10;
/// Below this estimated ratio the payload is stored plain.
const WORTHWHILE: f64 = 1.08;
/// A stream of literals this much longer than one with repetitions is taken all the same: it is made five times as fast.
const NEXT_TO_NOTHING: f64 = 1.05;
/// Literals are deflated in pieces of this size, each ending on a whole byte.
const PIECE: usize = 1 << 20;
/// From this size on, by several threads.
const THREADS_FROM: usize = 16 << 20;
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
    if payload.len() <= SMALL && !halves(payload) {
        return None;
    }
    if payload.len() > SAMPLE_ABOVE {
        let sample = Sample::of(payload);
        if sample.ratio() < WORTHWHILE {
            return None;
        }
        if sample.literals_suffice() {
            return Some(literal_stream(head, payload)).filter(|out| out.len() < payload.len());
        }
    }
    let mut out = memory::zeroed(payload.len() + 64).ok()?;
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

/// True if compression would halve a small payload, by an estimate: what repeats costs next to nothing, and the rest its
/// entropy. In whole numbers, so that every machine decides alike.
fn halves(payload: &[u8]) -> bool {
    /// Bits of a repetition: its length, its distance.
    const REPETITION: u32 = 20;
    let mut last = [0_u16; 1024];
    let (mut at, mut repetitions, mut literals) = (0, 0_u32, 0_u32);
    let mut counts = [0_u32; 256];
    while let Some(four) = payload[at..].first_chunk::<4>() {
        let hash = u32::from_le_bytes(*four).wrapping_mul(0x9e37_79b1) >> 22;
        // Positions count from one; zero is none.
        let before = usize::from(std::mem::replace(&mut last[hash as usize], at as u16 + 1));
        let same = match before.checked_sub(1) {
            Some(from) => {
                let pairs = payload[from..].iter().zip(&payload[at..]);
                pairs.take_while(|(a, b)| a == b).count()
            }
            None => 0,
        };
        // Shorter ones may cost more than their bytes do.
        if same >= 8 {
            repetitions += 1;
            at += same;
        } else {
            counts[usize::from(payload[at])] += 1;
            literals += 1;
            at += 1;
        }
    }
    // Sixteenths of bits, by logarithms whose fraction is taken as linear.
    let log2 = |n: u32| n.ilog2() * 16 + ((n << 4) >> n.ilog2()) - 16;
    let total = if literals > 0 { log2(literals) } else { 0 };
    let entropy: u32 = counts
        .iter()
        .filter(|n| **n > 0)
        .map(|n| n * (total - log2(*n)))
        .sum();
    let bits = entropy / 16 + repetitions * REPETITION;
    (bits / 8) as usize <= payload.len() / 2
}

/// A zlib stream without repetitions; large payloads on several threads, in pieces that do not depend on how many.
fn literal_stream(head: &[u8], payload: &[u8]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = payload.chunks(PIECE).collect();
    let deflated = |i: usize| {
        let mut out = Vec::new();
        literals::deflate(pieces[i], &mut out, i + 1 == pieces.len());
        out
    };
    let mut out = memory::with_capacity(payload.len()).unwrap_or_default();
    out.extend_from_slice(head);
    out.extend([0x78, 0x01]);
    if payload.len() < THREADS_FROM {
        for i in 0..pieces.len() {
            literals::deflate(pieces[i], &mut out, i + 1 == pieces.len());
        }
    } else {
        match parallel::run(pieces.len(), parallel::cores(), |i| Ok(deflated(i))) {
            Ok(done) => done.iter().for_each(|piece| out.extend_from_slice(piece)),
            Err(_) => (0..pieces.len()).for_each(|i| out.extend(deflated(i))),
        }
    }
    out.extend(libdeflater::adler32(payload).to_be_bytes());
    out.shrink_to_fit();
    out
}

/// What compression would make of windows spread evenly over a payload.
struct Sample {
    plain: usize,
    packed: usize,
    literals: usize,
}

impl Sample {
    fn of(payload: &[u8]) -> Sample {
        let mut out = vec![0; 2 * WINDOW];
        let step = (payload.len() - WINDOW) / (WINDOWS - 1);
        let mut sample = Sample {
            plain: WINDOWS * WINDOW,
            packed: 0,
            literals: 0,
        };
        for i in 0..WINDOWS {
            let window = &payload[i * step..i * step + WINDOW];
            sample.packed += FAST
                .with_borrow_mut(|c| c.zlib_compress(window, &mut out))
                .unwrap_or(WINDOW);
            sample.literals += literals::estimate(window);
        }
        sample
    }

    fn ratio(&self) -> f64 {
        self.plain as f64 / self.packed.min(self.literals).max(1) as f64
    }

    /// True if looking for repetitions would save next to nothing.
    fn literals_suffice(&self) -> bool {
        self.literals as f64 <= NEXT_TO_NOTHING * self.packed as f64
    }
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
    let mut out = memory::zeroed(size)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_payloads_are_compressed_where_that_halves_them() {
        let ramp: Vec<u8> = (0..600_i16).flat_map(i16::to_le_bytes).collect();
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(2000)
        .collect();
        let text = "subject 17 was weighed, and found wanting. ".repeat(40);
        let few: Vec<u8> = noise.iter().map(|b| b & 3).collect();
        for (payload, compressed) in [
            (&vec![0; 2000], true),
            (&text.into_bytes(), true),
            (&few, true),
            (&ramp, false),
            (&noise, false),
        ] {
            assert_eq!(
                fast(b"", payload).is_some(),
                compressed,
                "{:?}",
                &payload[..8]
            );
        }
        assert!(fast(b"", &noise[..3].repeat(500)).is_some());
    }
}
