//! Vectorised, blocked kernels: what generated code calls.
//!
//! A kernel takes a [`Context`], a descriptor of sizes, and slices as long as the batch times the size of a sample; floats, `NCHW`.
//! It writes its outputs and gradients and never adds to them. What lengths disagree is a bug of the caller and panics.

pub mod activation;
pub mod adaptive_pool2d;
pub mod avg_pool2d;
pub mod batch_norm;
pub mod concat;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod dropout;
pub mod elementwise;
pub mod gemm;
pub mod group_norm;
pub mod layer_norm;
pub mod linear;
pub mod local_response_norm;
pub mod lp_pool2d;
pub mod max_pool2d;
pub mod max_unpool2d;
pub mod pool2d;
pub mod prelu;
pub mod rrelu;
pub mod softmax;
pub mod upsample;

mod context;
pub(crate) mod map;
pub mod math;
mod random;
pub(crate) mod statistics;
#[cfg(all(test, feature = "std"))]
pub(crate) mod testing;
pub(crate) mod tiles;
pub(crate) mod transpose;
mod window;

pub use activation::Activation;
pub use adaptive_pool2d::AdaptivePool2d;
pub use avg_pool2d::AvgPool2d;
pub use batch_norm::BatchNorm;
pub use concat::Concat;
pub use context::Context;
pub use conv_transpose2d::ConvTranspose2d;
pub use conv2d::{Conv2d, PaddingMode};
pub use elementwise::Broadcast;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use local_response_norm::LocalResponseNorm;
pub use lp_pool2d::LpPool2d;
pub use max_unpool2d::MaxUnpool2d;
pub use pool2d::Pool2d;
pub use prelu::Prelu;
pub use random::Random;
pub use rrelu::Rrelu;
pub use softmax::Softmax;
pub use upsample::{Upsample, UpsampleMode};
