//! Every operation as plain safe loops, as the literature defines it: what the kernels are tested against.

pub mod activation;
pub mod adaptive_pool2d;
pub mod avg_pool2d;
pub mod batch_norm;
pub mod concat;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod dropout;
pub mod elementwise;
pub mod group_norm;
pub mod im2col;
pub mod layer_norm;
pub mod linear;
pub mod local_response_norm;
pub mod lp_pool2d;
pub mod max_pool2d;
pub mod max_unpool2d;
pub mod prelu;
pub mod rrelu;
pub mod softmax;
pub mod special;
pub mod upsample;

#[cfg(test)]
pub(crate) mod finite_difference;
