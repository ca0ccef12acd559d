//! `TetherDB`: a key-value store for Python with direct and queued writes.
//!
//! A message travels one way:
//!
//! ```text
//! Python call ─ bindings ─ Store ─┬─ direct ────────────────┐
//!             (convert, validate) └─ Queue ─ worker ─ batch ─┴─ Backend ─ SQLite
//! ```
//!
//! Dependencies point the same way: `bindings` → `store` → `queue` → `backend`. Everything but
//! `bindings` builds and is tested without Python (`cargo test`); the `python` feature adds it.

pub mod backend;
pub mod config;
pub mod error;
pub mod executor;
pub mod message;
pub mod process;
pub mod queue;
pub mod reply;
pub mod store;
pub mod sync;
pub mod wait;

#[cfg(feature = "python")]
mod bindings;
