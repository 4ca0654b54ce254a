//! The kernels of the frozen inference program: blocked layouts, packed weights, everything fused that can be.

pub mod blocked;
pub mod convolution;
pub mod direct;
mod epilogue;
#[cfg(all(test, feature = "std"))]
mod testing;
mod tile;

pub use blocked::{BLOCK, Blocked};
pub use convolution::{BlockedConv2d, Weights};
