//! Optimizers, as PyTorch defines them, over one flat buffer of parameters and one of gradients.

mod adam;
mod sgd;

pub use adam::{Adam, AdamW};
pub use sgd::Sgd;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
#[cfg(feature = "std")]
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use crate::buffer::Buffer;
use crate::error::Error;
#[cfg(feature = "std")]
use crate::file;
use crate::weights::{self, Numbers, StateDict, Tensor};

/// Floats of a task: 64 KiB from each of up to four buffers stay in the second-level cache, and handing a task out costs
/// less than a tenth of its work.
const CHUNK: usize = 16 * 1024;

/// Turns gradients into a step of the parameters.
pub trait Optimizer: Send {
    /// The name, in messages and in files.
    fn name(&self) -> &'static str;

    /// Whether the settings make sense.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] names the setting and its range.
    fn check(&self) -> Result<(), Error>;

    /// Makes a step: changes the parameters and the optimizer's own state. Allocates in the first step alone.
    ///
    /// # Errors
    ///
    /// [`Error::Lengths`] where parameters, gradients and state are not of one length, [`Error::Setting`], and
    /// [`Error::TooLarge`] where there is no memory for the state. Nothing has changed then.
    fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error>;

    /// The learning rate.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate.
    fn set_learning_rate(&mut self, learning_rate: f64);

    /// All settings and all state, by name.
    fn state(&self) -> OptimizerState;

    /// Takes settings and state over, under the names that [`state`](Self::state) uses.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] for a setting that makes no sense. Nothing has changed then.
    fn set_state(&mut self, state: OptimizerState) -> Result<(), Error>;

    /// Settings and state as the bytes of a safetensors file.
    fn to_bytes(&self) -> Vec<u8> {
        let state = self.state();
        weights::serialize(tensors(&state, ""), Some(("optimizer", self.name())))
    }

    /// Loads settings and state from the bytes of a safetensors file.
    ///
    /// # Errors
    ///
    /// [`Error::Format`], [`Error::Weights`] with all that is missing or unknown, [`Error::Setting`]. Nothing has
    /// changed then.
    fn load_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        load(self, bytes, "bytes")
    }

    /// Writes settings and state to a safetensors file: under another name beside it, which is then renamed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]
    #[cfg(feature = "std")]
    fn save(&self, path: impl AsRef<Path>) -> Result<(), Error>
    where
        Self: Sized,
    {
        file::write(path.as_ref(), &self.to_bytes())
    }

    /// Loads settings and state from a safetensors file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], and as [`load_bytes`](Self::load_bytes).
    #[cfg(feature = "std")]
    fn load(&mut self, path: impl AsRef<Path>) -> Result<(), Error>
    where
        Self: Sized,
    {
        let path = path.as_ref();
        load(self, &file::read(path)?, &path.display().to_string())
    }
}

/// An optimizer that was chosen at run time.
impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn check(&self) -> Result<(), Error> {
        (**self).check()
    }

    fn step(&mut self, parameters: &mut [f32], gradients: &[f32]) -> Result<(), Error> {
        (**self).step(parameters, gradients)
    }

    fn learning_rate(&self) -> f64 {
        (**self).learning_rate()
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        (**self).set_learning_rate(learning_rate);
    }

    fn state(&self) -> OptimizerState {
        (**self).state()
    }

    fn set_state(&mut self, state: OptimizerState) -> Result<(), Error> {
        (**self).set_state(state)
    }
}

/// An optimizer's settings and state, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// Settings and counts. A flag is 0 or 1.
    pub numbers: Vec<(&'static str, f64)>,
    /// One float for each parameter, or none before the first step.
    pub buffers: Vec<(&'static str, Buffer)>,
}

/// An optimizer's settings and state as tensors, each name behind a prefix. Buffers without floats are left out.
pub(crate) fn tensors<'a>(state: &'a OptimizerState, prefix: &str) -> Vec<(String, Tensor<'a>)> {
    let numbers = state.numbers.iter().map(|(name, number)| {
        (format!("{prefix}{name}"), Tensor { shape: Vec::new(), numbers: Numbers::F64(*number) })
    });
    let buffers = state.buffers.iter().filter(|(_, buffer)| !buffer.is_empty()).map(|(name, buffer)| {
        (format!("{prefix}{name}"), Tensor { shape: Vec::from([buffer.len()]), numbers: Numbers::F32(buffer) })
    });
    numbers.chain(buffers).collect()
}

/// Takes an optimizer's settings and state out of a file. `like` has their names; `floats` is the length that a buffer
/// must have, where it is known.
pub(crate) fn take(
    tensors: &mut StateDict<TensorView<'_>>,
    mut like: OptimizerState,
    prefix: &str,
    floats: Option<usize>,
) -> Result<OptimizerState, Error> {
    for (name, number) in &mut like.numbers {
        if let Some(bytes) = tensors.number(&format!("{prefix}{name}"), Dtype::F64, "F64") {
            *number = f64::from_le_bytes(bytes);
        }
    }
    for (name, buffer) in &mut like.buffers {
        let name = format!("{prefix}{name}");
        *buffer = match tensors.length(&name) {
            None => Buffer::new(),
            Some(length) => tensors.buffer(name, floats.unwrap_or(length))?,
        };
    }
    Ok(like)
}

fn load<O: Optimizer + ?Sized>(optimizer: &mut O, bytes: &[u8], origin: &str) -> Result<(), Error> {
    let mut tensors = StateDict::parse(bytes, origin)?;
    let state = take(&mut tensors, optimizer.state(), "", None)?;
    tensors.finish(optimizer.name())?;
    optimizer.set_state(state)
}

/// Whether all lengths are one; an empty state is one that the first step makes.
fn check_lengths(
    optimizer: &'static str,
    parameters: &[f32],
    gradients: &[f32],
    state: &[&Buffer],
) -> Result<(), Error> {
    let parameters = parameters.len();
    let wrong = |what, found| Err(Error::Lengths { optimizer, parameters, what, found });
    if gradients.len() != parameters {
        return wrong("gradients (there are none before a backward pass)", gradients.len());
    }
    match state.iter().find(|buffer| !buffer.is_empty() && buffer.len() != parameters) {
        Some(buffer) => wrong("its own state, which belongs to another network", buffer.len()),
        None => Ok(()),
    }
}

/// Whether a setting is finite and within a range.
fn check_setting(
    optimizer: &'static str,
    name: &str,
    value: f64,
    range: impl core::ops::RangeBounds<f64>,
    words: &str,
) -> Result<(), Error> {
    if value.is_finite() && range.contains(&value) {
        return Ok(());
    }
    Err(Error::Setting { optimizer, message: format!("{name} is {value}, but must be {words}") })
}

/// State for the first step.
fn allocate(optimizer: &'static str, floats: usize) -> Result<Buffer, Error> {
    Buffer::try_zeroed(floats).map_err(|_| Error::TooLarge {
        network: optimizer,
        what: "its state",
        batch: None,
        bytes: floats.checked_mul(4),
    })
}

/// A name that `state` does not use.
fn unknown(optimizer: &'static str, name: &str) -> Error {
    Error::Setting { optimizer, message: format!("there is no setting or state called `{name}`") }
}

#[cfg(all(test, feature = "std"))]
#[allow(clippy::excessive_precision, reason = "numbers stand as PyTorch prints them")]
mod tests;
