//! Everything else that is done to a map: pools, upsampling, and what is done pixel by pixel.

pub mod activation;
pub mod adaptive_avg_pool2d;
pub mod adaptive_max_pool2d;
pub mod affine;
pub mod avg_pool2d;
pub mod combine;
pub mod max_pool2d;
mod on_blocked;
pub(super) mod pool2x2;
mod pooling;
pub mod upsample;

pub use activation::BlockedActivation;
pub use affine::BlockedAffine;
pub use combine::BlockedCombine;
pub use on_blocked::OnBlocked;
pub use pool2x2::Pool2x2;
