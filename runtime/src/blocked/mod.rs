//! Kernels on blocked values and packed weights, with everything fused that can be.
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
//! What has no weights has `run` alone, and what has no residual takes none. The modules lie in rooms by what they compute, and are all
//! named here:
//!
//! | room | module | computes |
//! |---|---|---|
//! | `convolution/` | [`direct`] | every convolution between blocked values, 1x1 and grouped ones included |
//! | | [`winograd::f2`], [`winograd::f4`] | 3x3 of stride 1, with 2.25 and 4 times fewer multiplications |
//! | | [`winograd::f2_5x5`] | 5x5 of stride 1, with 2.78 times fewer |
//! | | [`depthwise`] | one channel to one channel |
//! | | [`planar_input`] | first layers: from planar (NCHW) values of few channels into blocked ones |
//! | | [`winograd::planar_input`] | the same for 5x5 of stride 1 and 7x7 of stride 2, with fewer multiplications |
//! | | [`planar`] | few channels to few channels, both planar |
//! | `maps/` | [`max_pool2d`], [`avg_pool2d`], [`adaptive_avg_pool2d`], [`adaptive_max_pool2d`], [`upsample`] | the layers of these names |
//! | | [`affine`] | a batch norm by itself |
//! | | [`activation`] | an activation by itself |
//! | | [`combine`] | sums and products |
//! | `linear/` | [`linear`] | linear layers, on plain rows |
//! | `values/` | [`mod@concat`] | channels one after another |
//! | | [`conversion`] | between planar and blocked values |

mod bands;
mod convolution;
mod epilogue;
mod folding;
pub mod linear;
mod maps;
mod rows;
#[cfg(all(test, feature = "std"))]
mod testing;
mod unroll;
mod values;

pub use convolution::{
    BlockedConv2d, PlanarConv2d, PlanarInputConv2d, depthwise, direct, planar, planar_input, winograd,
};
pub use folding::{BatchNorm, Weights};
pub use linear::PackedLinear;
pub use maps::{
    BlockedActivation, BlockedAffine, BlockedCombine, OnBlocked, Pool2x2, activation, adaptive_avg_pool2d,
    adaptive_max_pool2d, affine, avg_pool2d, combine, max_pool2d, upsample,
};
pub use values::{BLOCK, Blocked, BlockedConcat, concat, conversion};

/// Where `len` floats of packed weights lie that follow `start` others: on the next cache line.
pub const fn part(start: usize, len: usize) -> core::ops::Range<usize> {
    let start = start.next_multiple_of(BLOCK);
    start..start + len
}
