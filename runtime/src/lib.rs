//! castnet compiles a neural network written in TOML into Rust.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod buffer;
pub mod kernels;
pub mod parallel;
#[cfg(feature = "std")]
pub mod reference;
pub mod simd;
