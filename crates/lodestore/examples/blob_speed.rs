//! How fast are blobs packed and unpacked? `cargo run --release -p lodestore --example blob_speed [MB]`

use std::time::Instant;

use bytes::Bytes;
use lodestore::codec::blob::{Compress, pack, unpack};
use lodestore::value::{Array, Element};
use lodestore::{Result, Value};
use ndarray::Array2;

/// A small generator, so that every run sees the same data.
struct Noise(u64);

impl Noise {
    fn bits(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let x = self.0 ^ (self.0 >> 29);
        x.wrapping_mul(0xbf58476d1ce4e5b9)
    }

    /// Roughly normal, mean 0, deviation 1.
    fn normal(&mut self) -> f64 {
        (0..4)
            .map(|_| (self.bits() >> 40) as f64 / (1 << 24) as f64 - 0.5)
            .sum::<f64>()
            * 1.7
    }
}

fn array<T: Element>(bytes: usize, mut next: impl FnMut() -> T) -> Array {
    let columns = 64;
    Array::from_ndarray(Array2::from_shape_simple_fn(
        (bytes / size_of::<T>() / columns, columns),
        &mut next,
    ))
}

fn best<T>(mut run: impl FnMut() -> Result<T>) -> Result<(f64, T)> {
    let mut fastest = f64::INFINITY;
    let mut last = None;
    for _ in 0..5 {
        let start = Instant::now();
        let result = run()?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
        last = Some(result);
    }
    last.map(|last| (fastest, last))
        .ok_or_else(|| lodestore::Error::invalid("nothing ran"))
}

fn main() -> Result<()> {
    let megabytes: usize = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(8);
    let size = megabytes * 1_000_000;
    let mut noise = Noise(7);
    let mut walk = 0.0;
    let mut level = 0.0;
    let cases = [
        (
            "int16 traces",
            array(size, || (noise.normal() * 30.0) as i16),
        ),
        (
            "float32 walk",
            array(size, || {
                walk += noise.normal();
                walk as f32
            }),
        ),
        (
            "uint8 image",
            array(size, || {
                level = 0.9 * level + noise.normal();
                (128.0 + 4.0 * level) as u8
            }),
        ),
        ("float64 noise", array(size, || noise.normal())),
        ("zeros", array(size, || 0.0f64)),
    ];
    println!("{megabytes} MB, C order; MB/s of plain data, best of 5");
    println!(
        "{:14} {:>7} {:>9} {:>9} {:>9} {:>9}",
        "", "ratio", "copy", "pack", "unpack", "reference"
    );
    for (name, array) in cases {
        let value = Value::from(array);
        let rate = |seconds: f64| size as f64 / 1e6 / seconds;
        let (plain, _) = best(|| pack(&value, Compress::No))?;
        let (fast, packed) = best(|| pack(&value, Compress::Fast))?;
        let start = Instant::now();
        pack(&value, Compress::Reference)?;
        let reference = start.elapsed().as_secs_f64();
        let (back, _) = best(|| unpack(Bytes::clone(&packed)))?;
        println!(
            "{name:14} {:7.2} {:9.0} {:9.0} {:9.0} {:9.0}",
            size as f64 / packed.len() as f64,
            rate(plain),
            rate(fast),
            rate(back),
            rate(reference)
        );
    }
    Ok(())
}
