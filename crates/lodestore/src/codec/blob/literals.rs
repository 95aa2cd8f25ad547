//! A deflate encoder that codes bytes by their frequency and looks for no repetitions (RFC 1951, dynamic blocks of
//! literals).
//!
//! In recorded numbers there is little to be found twice: sixteen-bit traces and photon counts come out as small as
//! from a full compressor, several times as fast. Written here because no well-kept library has it: those that offer
//! "Huffman only" pass every byte through their match finder's queues and are no faster than with the search.

/// Bytes per block, each with codes of its own.
const BLOCK: usize = 32 << 10;
/// The longest code. Readers decode up to eleven bits by one table lookup, and five codes fit one 64-bit word.
const LONGEST: usize = 11;
const END: usize = 256;
const SYMBOLS: usize = 257;
/// The order in which a block's head states the lengths of its code for code lengths.
const LENGTH_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// Bits, the first one lowest, appended to bytes.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    /// At most 32 bits at once.
    fn put(&mut self, bits: u32, count: u32) {
        self.buffer |= u64::from(bits) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.buffer as u8);
            self.buffer >>= 8;
            self.count -= 8;
        }
    }

    fn fill_byte(&mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }
}

/// Appends the blocks of `bytes` to `out`, ending on a whole byte. Unless `last`, other blocks may follow.
pub(super) fn deflate(bytes: &[u8], out: &mut Vec<u8>, last: bool) {
    let mut bits = Bits {
        out,
        buffer: 0,
        count: 0,
    };
    let mut blocks = bytes.chunks(BLOCK).peekable();
    if bytes.is_empty() && last {
        block(&[], true, &mut bits);
    }
    while let Some(bytes) = blocks.next() {
        block(bytes, last && blocks.peek().is_none(), &mut bits);
    }
    if !last {
        // An empty stored block: it starts on a whole byte, and so does what follows.
        bits.put(0, 3);
        bits.fill_byte();
        bits.put(0xffff_0000, 32);
    }
    bits.fill_byte();
}

/// The length that [`deflate`] would give, but for the heads of blocks.
pub(super) fn estimate(bytes: &[u8]) -> usize {
    let frequencies = frequencies(bytes);
    let lengths = code_lengths(&frequencies, LONGEST);
    let bits: u64 = frequencies
        .iter()
        .zip(lengths)
        .map(|(n, length)| u64::from(*n) * u64::from(length))
        .sum();
    (bits / 8) as usize
}

fn block(bytes: &[u8], last: bool, bits: &mut Bits<'_>) {
    let lengths = code_lengths(&frequencies(bytes), LONGEST);
    bits.put(u32::from(last), 1);
    bits.put(2, 2);
    head(&lengths, bits);
    let codes = codes(&lengths);

    // One word per symbol: the code above eight bits of its length.
    let mut table = [0u32; 256];
    for (entry, (code, length)) in table.iter_mut().zip(codes.iter().zip(lengths)) {
        *entry = u32::from(*code) << 8 | u32::from(length);
    }
    bits.out.reserve(bytes.len() * LONGEST / 8 + 16);
    let (mut buffer, mut count) = (bits.buffer, bits.count);
    let mut fives = bytes.chunks_exact(5);
    for five in &mut fives {
        for byte in five {
            let entry = table[usize::from(*byte)];
            buffer |= u64::from(entry >> 8) << count;
            count += entry & 0xff;
        }
        // Whole bytes leave; what the word held above them is written again with the next ones.
        let whole = count / 8;
        let at = bits.out.len();
        bits.out.extend_from_slice(&buffer.to_le_bytes());
        bits.out.truncate(at + whole as usize);
        buffer = buffer.checked_shr(8 * whole).unwrap_or(0);
        count &= 7;
    }
    (bits.buffer, bits.count) = (buffer, count);
    for byte in fives.remainder() {
        let at = usize::from(*byte);
        bits.put(u32::from(codes[at]), u32::from(lengths[at]));
    }
    bits.put(u32::from(codes[END]), u32::from(lengths[END]));
}

/// How often each byte occurs; the end of the block once.
fn frequencies(bytes: &[u8]) -> [u32; SYMBOLS] {
    // Four counters per byte, so that runs of one byte do not wait for each other.
    let mut counts = [[0u32; 256]; 4];
    let mut fours = bytes.chunks_exact(4);
    for four in &mut fours {
        for (counts, byte) in counts.iter_mut().zip(four) {
            counts[usize::from(*byte)] += 1;
        }
    }
    for byte in fours.remainder() {
        counts[0][usize::from(*byte)] += 1;
    }
    let mut all = [0; SYMBOLS];
    for (symbol, total) in all.iter_mut().enumerate().take(256) {
        *total = counts.iter().map(|c| c[symbol]).sum();
    }
    all[END] = 1;
    all
}

/// Lengths of a prefix code for these frequencies, none above `longest`. At least two symbols have one.
fn code_lengths<const N: usize>(frequencies: &[u32; N], longest: usize) -> [u8; N] {
    let mut lengths = [0; N];
    let mut leaves: Vec<(u32, usize)> = frequencies
        .iter()
        .enumerate()
        .filter(|(_, n)| **n > 0)
        .map(|(symbol, n)| (*n, symbol))
        .collect();
    // A code of one symbol is not complete, and some readers refuse it.
    let unused = frequencies.iter().enumerate().filter(|(_, n)| **n == 0);
    let missing = 2usize.saturating_sub(leaves.len());
    leaves.extend(unused.take(missing).map(|(symbol, _)| (0, symbol)));
    leaves.sort_unstable();

    // Huffman's algorithm with two queues: leaves in order, and the sums, which come out in order.
    let n = leaves.len();
    let mut weights: Vec<u64> = leaves.iter().map(|(w, _)| u64::from(*w)).collect();
    let mut parents = vec![0; 2 * n - 1];
    let (mut leaf, mut sum) = (0, n);
    while weights.len() < 2 * n - 1 {
        let parent = weights.len();
        let mut total = 0;
        for _ in 0..2 {
            let leaf_first = leaf < n && (sum == parent || weights[leaf] <= weights[sum]);
            let at = if leaf_first { &mut leaf } else { &mut sum };
            parents[*at] = parent;
            total += weights[*at];
            *at += 1;
        }
        weights.push(total);
    }
    let mut depths = vec![0usize; 2 * n - 1];
    let mut of_length = vec![0u32; longest + 1];
    for node in (0..2 * n - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
        if node < n {
            of_length[depths[node].min(longest)] += 1;
        }
    }
    // Cutting long codes off leaves too little room: shorter ones grow until all fit.
    let room = 1u32 << longest;
    let taken = |of_length: &[u32]| -> u32 {
        let each = of_length.iter().enumerate().skip(1);
        each.map(|(l, n)| n << (longest - l)).sum()
    };
    while taken(&of_length) > room {
        let shorter = (1..longest).rev().find(|l| of_length[*l] > 0);
        let Some(shorter) = shorter else { break };
        of_length[shorter] -= 1;
        of_length[shorter + 1] += 1;
    }
    // And may leave some over, for the longest ones to shrink again.
    for length in (2..=longest).rev() {
        while of_length[length] > 0 && taken(&of_length) + (1 << (longest - length)) <= room {
            of_length[length] -= 1;
            of_length[length - 1] += 1;
        }
    }
    // The rarest symbols have the longest codes.
    let mut leaves = leaves.into_iter();
    for length in (1..=longest).rev() {
        for (_, symbol) in leaves.by_ref().take(of_length[length] as usize) {
            lengths[symbol] = length as u8;
        }
    }
    lengths
}

/// The canonical codes of these lengths, first bit lowest.
fn codes<const N: usize>(lengths: &[u8; N]) -> [u16; N] {
    let mut next = [0u16; 17];
    for length in 1..16 {
        let shorter = lengths
            .iter()
            .filter(|l| usize::from(**l) == length)
            .count();
        next[length + 1] = (next[length] + shorter as u16) << 1;
    }
    let mut codes = [0; N];
    for (code, length) in codes.iter_mut().zip(lengths).filter(|(_, l)| **l > 0) {
        let next = &mut next[usize::from(*length)];
        *code = next.reverse_bits() >> (16 - u16::from(*length));
        *next += 1;
    }
    codes
}

/// The head of a block: the lengths of the codes of literals, and of two distance codes that are never used.
fn head(lengths: &[u8; SYMBOLS], bits: &mut Bits<'_>) {
    // (symbol, extra bits, number of extra bits)
    let mut tokens: Vec<(u8, u32, u32)> = Vec::with_capacity(SYMBOLS + 2);
    let mut rest: &[u8] = &[&lengths[..], &[1, 1]].concat();
    while let [first, ..] = rest {
        let run = rest.iter().take_while(|l| *l == first).count();
        let used = match (first, run) {
            (0, 11..) => {
                let n = run.min(138);
                tokens.push((18, n as u32 - 11, 7));
                n
            }
            (0, 3..) => {
                tokens.push((17, run as u32 - 3, 3));
                run
            }
            (_, 4..) => {
                let n = (run - 1).min(6);
                tokens.push((*first, 0, 0));
                tokens.push((16, n as u32 - 3, 2));
                n + 1
            }
            _ => {
                tokens.push((*first, 0, 0));
                1
            }
        };
        rest = &rest[used..];
    }
    let mut frequencies = [0u32; 19];
    for (symbol, ..) in &tokens {
        frequencies[usize::from(*symbol)] += 1;
    }
    let of_lengths = code_lengths(&frequencies, 7);
    let codes = codes(&of_lengths);
    let stated = LENGTH_ORDER
        .iter()
        .rposition(|s| of_lengths[*s] > 0)
        .map_or(4, |last| (last + 1).max(4));
    bits.put(0, 5); // 257 codes of literals
    bits.put(1, 5); // two codes of distances
    bits.put(stated as u32 - 4, 4);
    for symbol in &LENGTH_ORDER[..stated] {
        bits.put(u32::from(of_lengths[*symbol]), 3);
    }
    for (symbol, extra, width) in tokens {
        let at = usize::from(symbol);
        bits.put(u32::from(codes[at]), u32::from(of_lengths[at]));
        bits.put(extra, width);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn round(bytes: &[u8], cut: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        deflate(first, &mut stream, false);
        deflate(second, &mut stream, true);
        let mut back = vec![0; bytes.len()];
        let n = libdeflater::Decompressor::new()
            .deflate_decompress(&stream, &mut back)
            .unwrap();
        assert_eq!(n, bytes.len());
        assert!(back == bytes);
        stream
    }

    #[test]
    fn codes_of_every_shape_are_read_back() {
        round(b"", 0);
        round(b"a", 0);
        round(&[7; 100_000], 50_000);
        round(&(0..=255).collect::<Vec<u8>>(), 3);
        // Frequencies of Fibonacci make the longest codes there are: these must be cut.
        let mut steep = Vec::new();
        let (mut a, mut b) = (1usize, 1usize);
        for symbol in 0..24u8 {
            steep.extend(std::iter::repeat_n(symbol, a));
            (a, b) = (b, a + b);
        }
        assert!(round(&steep[steep.len() - BLOCK..], BLOCK).len() < BLOCK / 2);
        round(&steep, 1000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn anything_is_read_back(
            bytes in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..70_000),
            cut in 0usize..70_000,
        ) {
            round(&bytes, cut);
        }

        #[test]
        fn lengths_make_a_complete_code(frequencies in proptest::array::uniform19(0u32..1000)) {
            let lengths = code_lengths(&frequencies, 7);
            let room: u32 = lengths.iter().filter(|l| **l > 0).map(|l| 1 << (7 - l)).sum();
            prop_assert_eq!(room, 1 << 7);
        }
    }
}
