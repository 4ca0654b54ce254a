//! The functions that the macro writes for a network: straight-line code that runs its layers.

use crate::arena::Arena;
use crate::error::Error;
use crate::kernels::Context;
use crate::weights::Tensors;

/// The passes of evaluation and of training.
#[derive(Clone, Copy, Debug)]
pub struct Passes {
    /// Runs the layers in evaluation: from the inputs' places in the arena to the outputs' places.
    pub evaluation: fn(context: &mut Context, parameters: &[f32], buffers: &[f32], arena: &mut Arena),
    /// Runs the layers in training, keeps what the backward pass needs, and updates the buffers.
    pub training: fn(context: &mut Context, parameters: &[f32], buffers: &mut [f32], arena: &mut Arena),
    /// Runs the layers backward: from the gradients of the outputs in the arena to all of `gradients`, and to the gradients of the
    /// inputs where `inputs` says so.
    pub backward: fn(context: &mut Context, parameters: &[f32], gradients: &mut [f32], arena: &mut Arena, inputs: bool),
}

/// Packs the weights of all layers of an inference program.
pub type Pack = fn(tensors: &mut Tensors<'_>, packed: &mut [f32]) -> Result<(), Error>;

/// Runs the first half of an inference program for one sample: `inputs` are its floats, input by input.
pub type HeadPass = fn(context: &mut Context, packed: &[f32], inputs: &[&[f32]], arena: &mut Arena);

/// Runs the second half.
pub type TailPass = fn(context: &mut Context, packed: &[f32], arena: &mut Arena);
