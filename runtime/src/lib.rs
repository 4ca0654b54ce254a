//! castnet compiles a neural network written in TOML into Rust.
//!
//! [`network`](macro@network) reads a spec while the crate compiles, checks every shape, and writes the code of the layers,
//! forward and backward, with all sizes known. A wrong size is a compile error that shows the lines of the spec.
//!
//! ```
//! use castnet::ndarray::array;
//! use castnet::{Sgd, Trainer};
//!
//! // In a file of its own: #[castnet::network("specs/xor.toml")]
//! #[castnet::network(spec = r#"
//!     [network]
//!     input = [2]
//!     loss = "cross_entropy"
//!
//!     [[layer]]
//!     type = "linear"
//!     out_features = 8
//!
//!     [[layer]]
//!     type = "tanh"
//!
//!     [[layer]]
//!     type = "linear"
//!     out_features = 2
//! "#)]
//! pub struct Xor;
//!
//! let inputs = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
//! let labels = [0, 1, 1, 0];
//! let mut trainer = Trainer::new(Xor::new(42), Sgd::new(0.5).momentum(0.9));
//! for _ in 0..200 {
//!     trainer.step(inputs.view(), &labels)?;
//! }
//!
//! let net = trainer.into_network();
//! let scores: [f32; 2] = net.predict(&[1.0, 0.0]);
//! assert!(scores[1] > scores[0]);
//! # Ok::<(), castnet::Error>(())
//! ```
//!
//! # What there is
//!
//! - [`Network`]: what every network can do, alone or in code that is generic over networks. The macro writes the same
//!   functions as methods of the type. [`info`] is what a network says of itself: names, shapes, sizes.
//! - [`Trainer`]: one call per step, and the state of a training in a file. [`Tape`], [`loss`] and [`optim`] are its pieces.
//! - [`Frozen`]: a trained network as a program for inference.
//! - [`weights`]: the files that networks are saved in and loaded from.
//! - [`Error`]: what can go wrong at run time, in plain words.
//! - [`parallel`] and [`simd`]: how many threads, and which instructions of the processor, loops use.
//!
//! What else is public serves generated code and the crate's own tests, is hidden here, and changes with the macro.
//!
//! # Features
//!
//! `std`, on by default: files, threads, detection of the processor's instruction sets, and the environment variables
//! `CASTNET_ISA` (`scalar`, `avx2`, `avx512`, `neon`) and `CASTNET_NUM_THREADS`. Without it the crate is `no_std` and needs
//! an allocator.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod error;
#[cfg(feature = "std")]
mod file;
pub mod frozen;
pub mod info;
mod init;
pub mod loss;
pub mod network;
pub mod optim;
pub mod parallel;
pub mod simd;
pub mod tape;
pub mod trainer;
pub mod weights;
mod workspaces;

// What generated code, our tests and benchmarks name.
#[doc(hidden)]
pub mod arena;
#[doc(hidden)]
pub mod blocked;
#[doc(hidden)]
pub mod buffer;
#[doc(hidden)]
pub mod kernels;
#[doc(hidden)]
pub mod nested;
#[doc(hidden)]
pub mod passes;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod reference;
#[doc(hidden)]
pub mod scope;
#[doc(hidden)]
pub mod state;
#[doc(hidden)]
pub mod views;

pub use ndarray;

pub use castnet_macros::network;

pub use {
    error::{Error, Result},
    frozen::{Freeze, Frozen},
    info::NetworkInfo,
    loss::{Loss, Target},
    nested::zeroed,
    network::{Network, NetworkWithLoss, Pretrained},
    optim::{Adam, AdamW, Optimizer, Sgd},
    tape::Tape,
    trainer::Trainer,
};

/// What generated code names. Not for people: it changes with the macro.
#[doc(hidden)]
pub mod __private {
    pub use crate::arena::{Arena, ArenaSize, Span, fixed, per_sample};
    pub use crate::blocked;
    pub use crate::frozen::{Freeze, Frozen, FrozenInfo, pretrained_frozen};
    pub use crate::info::{BufferInfo, Init, NetworkInfo, ParameterInfo, ValueInfo};
    pub use crate::kernels::{self, *};
    pub use crate::network::{Network, NetworkWithLoss, Pretrained, pretrained};
    pub use crate::passes::Passes;
    pub use crate::scope;
    pub use crate::state::State;
    pub use crate::weights::{Tensors, buffer, parameter};
    pub use crate::{Error, Loss, Result, Tape, Target};
    pub use alloc::{boxed::Box, vec::Vec};
    pub use core::convert::{AsRef, Into};
    pub use core::ops::Range;
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
