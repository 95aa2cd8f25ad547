//! The Python door: PyO3 classes over handles of the engine. Conversion only; behaviour lives in `lodestore`.
//!
//! One file a concept. `value`, `output`, `error`, `blob`, `codec`, `refs`, `streams` and `gcapi` convert values and errors;
//! `adapter` is the stores of plug-ins;
//! `config`, `connection`, `query`, `table` and `progress` are the handles behind the public classes of
//! `python/lodestore/`. One call crosses the boundary per user call; the GIL is released while the engine works.

// Names and tuples are as the Python side wants them.
#![allow(clippy::type_complexity, clippy::wrong_self_convention)]

use pyo3::prelude::*;

/// Rows by the million and arrays by the megabyte come and go: it keeps their memory at hand, and in large pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod adapter;
mod alter;
mod blob;
mod codec;
mod config;
mod connection;
mod diagram;
mod error;
mod gcapi;
mod output;
mod progress;
mod query;
mod refs;
mod staged;
mod streams;
mod table;
mod value;

/// The extension module `lodestore._lodestore`. Private: import `lodestore` instead.
#[pymodule]
fn _lodestore(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("debug_build", cfg!(debug_assertions))?;
    error::register(m)?;
    value::register(m)?;
    output::register(m)?;
    blob::register(m)?;
    codec::register(m)?;
    staged::register(m)?;
    refs::register(m)?;
    config::register(m)?;
    adapter::register(m)?;
    progress::register(m)?;
    connection::register(m)?;
    query::register(m)?;
    table::register(m)?;
    gcapi::register(m)?;
    diagram::register(m)?;
    alter::register(m)?;
    Ok(())
}
