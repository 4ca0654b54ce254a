//! castnet compiles a neural network written in TOML into Rust.

pub mod kernels;
pub mod reference;
pub mod simd;
