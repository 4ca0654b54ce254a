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
//! | [`narrow`] | few channels to few channels, both NCHW |
//! | [`linear`] | linear layers, on plain rows |
//! | [`max_pool2d`], [`avg_pool2d`], [`adaptive_avg_pool2d`], [`adaptive_max_pool2d`], [`upsample`] | the layers of these names |
//! | [`affine`] | a batch norm by itself |
//! | [`map`] | an activation by itself |
//! | [`combine`] | sums and products |
//! | [`mod@concat`] | channels one after another |
//! | [`layout`] | between NCHW and the blocked layout |

pub mod adaptive_avg_pool2d;
pub mod adaptive_max_pool2d;
pub mod affine;
pub mod avg_pool2d;
mod bands;
pub mod blocked;
pub mod combine;
pub mod concat;
pub mod convolution;
pub mod depthwise;
pub mod direct;
mod epilogue;
pub mod layout;
pub mod linear;
pub mod map;
pub mod max_pool2d;
pub mod narrow;
mod on_blocked;
pub mod planar;
pub mod pooled;
#[cfg(all(test, feature = "std"))]
mod testing;
mod tile;
pub mod upsample;
pub mod weights;
mod window;
pub mod winograd;

pub use affine::BlockedAffine;
pub use blocked::{BLOCK, Blocked};
pub use combine::BlockedCombine;
pub use concat::BlockedConcat;
pub use convolution::BlockedConv2d;
pub use linear::PackedLinear;
pub use map::BlockedMap;
pub use narrow::NarrowConv2d;
pub use on_blocked::OnBlocked;
pub use planar::PlanarConv2d;
pub use pooled::Pool2x2;
pub use weights::{BatchNorm, Weights};

/// Where `len` floats of packed weights lie that follow `start` others: on the next cache line.
pub const fn part(start: usize, len: usize) -> core::ops::Range<usize> {
    let start = start.next_multiple_of(BLOCK);
    start..start + len
}
