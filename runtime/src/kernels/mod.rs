//! Vectorised, blocked kernels: what generated code calls.

pub mod adaptive_pool2d;
pub mod avg_pool2d;
pub mod batch_norm;
pub mod group_norm;
pub mod layer_norm;
pub mod local_response_norm;
pub mod max_unpool2d;
pub mod pool2d;
pub mod upsample;
