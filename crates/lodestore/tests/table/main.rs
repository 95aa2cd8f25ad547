//! Rows, objects and what becomes of them: insert, update, delete, populate, collect, on a real database and store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod child;
#[path = "../common/mod.rs"]
mod common;
mod delete;
mod gc;
mod insert;
mod model;
mod populate;
mod race;
mod staged;
mod support;
mod typed;
