//! How values lie, and what changes nothing but that.

mod blocked;
pub mod concat;
pub mod conversion;

pub use blocked::{BLOCK, Blocked};
pub use concat::BlockedConcat;
