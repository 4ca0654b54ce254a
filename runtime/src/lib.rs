//! castnet compiles a neural network written in TOML into Rust.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "std")]
pub mod arena;
pub mod buffer;
#[cfg(feature = "std")]
pub mod error;
pub mod inference;
#[cfg(feature = "std")]
pub mod info;
#[cfg(feature = "std")]
mod init;
pub mod kernels;
#[cfg(feature = "std")]
pub mod loss;
#[cfg(feature = "std")]
pub mod nested;
#[cfg(feature = "std")]
mod network;
#[cfg(feature = "std")]
pub mod optim;
pub mod parallel;
#[cfg(feature = "std")]
pub mod reference;
pub mod simd;
#[cfg(feature = "std")]
pub mod state;
#[cfg(feature = "std")]
pub mod tape;
#[cfg(feature = "std")]
pub mod trainer;
#[cfg(feature = "std")]
pub mod views;
#[cfg(feature = "std")]
mod weights;

pub use ndarray;

#[cfg(feature = "std")]
pub use castnet_macros::network;

#[cfg(feature = "std")]
pub use {
    error::{Error, Result},
    info::NetworkInfo,
    loss::{Loss, Target},
    nested::zeroed,
    network::{Network, NetworkWithLoss},
    optim::{Adam, AdamW, Optimizer, Sgd},
    tape::Tape,
    trainer::Trainer,
};

/// What generated code names. Not for people: it changes with the macro.
#[doc(hidden)]
#[cfg(feature = "std")]
pub mod __private {
    pub use crate::arena::{Arena, ArenaSize, Span, fixed, per_sample};
    pub use crate::info::{BufferInfo, Init, NetworkInfo, ParameterInfo, ValueInfo};
    pub use crate::kernels;
    pub use crate::kernels::*;
    pub use crate::loss::Loss;
    pub use crate::network::{Network, NetworkWithLoss};
    pub use crate::state::State;
    pub use crate::tape::Tape;
    pub use crate::{Error, Result, Target};
    pub use ndarray;
    pub use std::{boxed::Box, convert::AsRef, path::Path, vec::Vec};
}
