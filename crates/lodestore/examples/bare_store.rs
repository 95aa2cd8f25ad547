//! What the object store's client alone takes, in Rust, for the large arrays of `benches/workloads.py` (`make bench`
//! prints it beside the engines): `bare_store s3`, with the store in `LODE_BENCH_STORE`. A measurement, not an example of
//! using Lodestore.

use std::time::Instant;

use futures_util::future::try_join_all;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const OBJECTS: usize = 10;
const BYTES: usize = 32 * 30_000 * 8;

fn main() -> Result<()> {
    let spec: serde_json::Value = serde_json::from_str(&std::env::var("LODE_BENCH_STORE")?)?;
    let text = |key: &str| spec[key].as_str().unwrap_or_default();
    // One provider of TLS for the process, as the engine does it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", text("endpoint")))
        .with_allow_http(true)
        .with_bucket_name(text("bucket"))
        .with_region("us-east-1")
        .with_access_key_id(text("access_key"))
        .with_secret_access_key(text("secret_key"))
        .build()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let arrays: Vec<bytes::Bytes> = (0..OBJECTS).map(noise).collect();
    let paths: Vec<Path> = (0..OBJECTS)
        .map(|i| Path::from(format!("bare-{}/{i}", std::process::id())))
        .collect();
    let timed = |name: &str, start: Instant| println!("{name} {}", start.elapsed().as_secs_f64());

    let start = Instant::now();
    runtime.block_on(try_join_all(
        (0..OBJECTS).map(|i| store.put(&paths[i], PutPayload::from(arrays[i].clone()))),
    ))?;
    timed("put 10 arrays of 7.7 MB at once", start);
    let start = Instant::now();
    for path in &paths {
        let got = runtime.block_on(async { store.get(path).await?.bytes().await })?;
        assert_eq!(got.len(), BYTES);
    }
    timed("get 10 arrays of 7.7 MB in turn", start);
    let start = Instant::now();
    runtime.block_on(try_join_all(paths.iter().map(|path| async {
        let result = store.get(path).await?;
        result.bytes().await
    })))?;
    timed("get 10 arrays of 7.7 MB at once", start);
    for path in &paths {
        runtime.block_on(store.delete(path))?;
    }
    Ok(())
}

/// Bytes that no server can compress.
fn noise(seed: usize) -> bytes::Bytes {
    let mut state = seed as u64 + 1;
    let words = (0..BYTES / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}
