//! Sizes and choices of layers, which castnet's compiler and runtime share as values; and what both say of weights files.
//!
//! The compiler works them out from a spec and writes them into generated code; the runtime's kernels take them. Each is one type, so
//! that neither side has a copy of the other's. What is here follows from sizes alone: no buffers, no threads, no allocation.

#![no_std]
#![forbid(unsafe_code)]

mod activation;
mod axis;
mod convolution;
mod elementwise;
mod init;
mod linear;
mod loss;
mod normalization;
mod pooling;
pub mod state_dict;
mod upsampling;

pub use activation::{Activation, Prelu, Rrelu};
pub use axis::{Concat, Softmax};
pub use convolution::{Conv2d, ConvTranspose2d, PaddingMode};
pub use elementwise::Broadcast;
pub use init::Init;
pub use linear::Linear;
pub use loss::{Loss, UnknownLoss};
pub use normalization::{BatchNorm, GroupNorm, LayerNorm, LocalResponseNorm};
pub use pooling::{AdaptivePool2d, AvgPool2d, LpPool2d, MaxUnpool2d, Pool2d, Pool2x2};
pub use upsampling::{Upsample, UpsampleMode};

/// Channels of a block in the blocked layout of the inference program, and the floats to which sizes are rounded up where vectors of
/// any length are to divide them: one vector of AVX-512, two of AVX2, four of NEON.
pub const BLOCK: usize = 16;
