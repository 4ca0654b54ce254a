//! Weights files: safetensors with PyTorch's names and layouts, loaded whole or not at all.
//!
//! A file has a tensor for every parameter and buffer of the network, called as in a state dict of PyTorch (`conv1.weight`), and no
//! others; a batch norm's `num_batches_tracked` may be among them and is left out. Numbers are `F32`, or `F64`, `F16` or `BF16`, which are
//! converted. [`Network::load`](crate::Network::load) and [`Network::save`](crate::Network::save) read and write such files,
//! [`Frozen::load`](crate::Frozen::load) packs the layers of one as they are read, and the macro's `weights = "…"` builds one in. All
//! that is wrong with a file comes together, as a [`WeightsError`].

mod floats;
mod piece;
mod source;
mod state_dict;
mod stored;
mod tensors;
mod write;

#[cfg(feature = "std")]
use std::path::Path;

use alloc::vec::Vec;

pub use crate::error::{WeightsError, WeightsProblem};
#[doc(hidden)]
pub use piece::{Piece, buffer, parameter};
#[cfg(feature = "std")]
pub(crate) use source::Opened;
pub(crate) use state_dict::StateDict;
pub(crate) use stored::Stored;
#[doc(hidden)]
pub use tensors::Tensors;
pub(crate) use write::{Numbers, Tensor, network_tensors, serialize};

use crate::error::Error;
use crate::info::NetworkInfo;
use crate::state::State;

/// Loads a network's tensors from a file.
#[cfg(feature = "std")]
pub(crate) fn load(info: &NetworkInfo, state: &mut State, path: &Path) -> Result<(), Error> {
    load_bytes(info, state, &crate::file::read(path)?, &path.display().to_string())
}

/// Loads a network's tensors from the bytes of a file.
pub(crate) fn load_bytes(info: &NetworkInfo, state: &mut State, bytes: &[u8], origin: &str) -> Result<(), Error> {
    let mut tensors = StateDict::parse(bytes, origin)?;
    let network = tensors.network(info, "");
    tensors.finish(info.name)?;
    network.apply(state);
    Ok(())
}

/// A network's tensors as the bytes of a file.
pub(crate) fn to_bytes(info: &NetworkInfo, state: &State) -> Vec<u8> {
    serialize(network_tensors(info, state, ""), None)
}
