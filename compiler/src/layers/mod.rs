//! The layers: one file per family, with its arguments, checks, shapes, gradient and emission. Each is registered in [`registry`].

mod activation;
mod adaptive_pool;
mod affine;
mod batch_norm;
mod combine;
mod concat;
pub mod contract;
mod conv;
mod conv_transpose;
mod dropout;
mod flatten;
mod group_norm;
pub mod infer;
mod init;
mod layer_norm;
mod linear;
mod local_response_norm;
mod max_unpool;
pub mod op;
mod pool;
mod prelu;
pub mod registry;
mod rrelu;
mod softmax;
#[cfg(test)]
pub(crate) mod testing;
mod upsample;
mod window;
