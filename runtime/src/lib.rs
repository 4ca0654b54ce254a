//! castnet compiles a neural network written in TOML into Rust.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod arena;
pub mod buffer;
pub mod error;
#[cfg(feature = "std")]
mod file;
pub mod inference;
pub mod info;
mod init;
pub mod kernels;
pub mod loss;
pub mod nested;
mod network;
pub mod optim;
pub mod parallel;
#[cfg(feature = "std")]
pub mod reference;
pub mod simd;
pub mod state;
pub mod tape;
pub mod trainer;
pub mod views;
mod weights;

pub use ndarray;

pub use castnet_macros::network;

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
pub mod __private {
    pub use crate::arena::{Arena, ArenaSize, Span, fixed, per_sample};
    pub use crate::info::{BufferInfo, Init, NetworkInfo, ParameterInfo, ValueInfo};
    pub use crate::kernels::{self, *};
    pub use crate::network::{Network, NetworkWithLoss};
    pub use crate::state::State;
    pub use crate::{Error, Loss, Result, Tape, Target};
    pub use alloc::{boxed::Box, vec::Vec};
    pub use core::convert::AsRef;
    pub use ndarray;
    #[cfg(feature = "std")]
    pub use std::path::Path;

    pub use crate::__with_std as with_std;
}

/// Items that need the standard library: methods that open files. Generated code does not know castnet's features.
#[doc(hidden)]
#[cfg(feature = "std")]
#[macro_export]
macro_rules! __with_std {
    ($($items:tt)*) => { $($items)* };
}

/// Items that need the standard library: there are none without it.
#[doc(hidden)]
#[cfg(not(feature = "std"))]
#[macro_export]
macro_rules! __with_std {
    ($($items:tt)*) => {};
}
