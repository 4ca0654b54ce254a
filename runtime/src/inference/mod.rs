//! The kernels of the frozen inference program: blocked layouts, packed weights, everything fused that can be.
//!
//! Values lie as [`Blocked`] says. Every kernel is a module with the same functions over a descriptor of sizes, which generated code
//! builds as a constant:
//!
//! - `packed_len(op)`: floats of the packed weights, a `const fn`;
//! - `pack(op, weights, packed)`: writes them, once, from PyTorch's layout, with batch norm folded in ([`Weights`]);
//! - `run(context, op, input, packed, residual, output)`: computes the interior of the output for all samples that the slices hold,
//!   with bias, residual and activation. It allocates nothing once the context has grown, and its results do not depend on the number
//!   of threads, bit by bit, nor on how many samples are computed together.
//!
//! | module | computes |
//! |---|---|
//! | [`direct`] | every convolution between blocked values, 1x1 and grouped ones included |
//! | [`winograd::f2`], [`winograd::f4`] | 3x3 of stride 1, with 2.25 and 4 times fewer multiplications |
//! | [`depthwise`] | one channel to one channel |
//! | [`planar`] | first layers, from NCHW inputs of few channels |
//! | [`linear`] | linear layers, on plain rows |
//! | [`layout`] | between NCHW and the blocked layout |

pub mod blocked;
pub mod convolution;
pub mod depthwise;
pub mod direct;
mod epilogue;
pub mod layout;
pub mod linear;
pub mod planar;
#[cfg(all(test, feature = "std"))]
mod testing;
mod tile;
pub mod weights;
pub mod winograd;

pub use blocked::{BLOCK, Blocked};
pub use convolution::BlockedConv2d;
pub use linear::PackedLinear;
pub use planar::PlanarConv2d;
pub use weights::{BatchNorm, Weights};

/// Where `len` floats of packed weights lie that follow `start` others: on the next cache line.
pub const fn part(start: usize, len: usize) -> core::ops::Range<usize> {
    let start = start.next_multiple_of(BLOCK);
    start..start + len
}
