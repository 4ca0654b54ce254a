//! What a call of a program does, with everything that was decided about it. Types alone.

use super::algorithm::{BlockedAlgorithm, PlanarAlgorithm};
use castnet_descriptors::{Activation, Conv2d, Pool2x2};

/// What a call does. The emitter matches on it once, and asks no layer again.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// A layer's own function on plain values.
    Layer(Function),
    /// A gradient to which one more contribution is added.
    Accumulate,
    /// A gradient to which nothing contributes.
    Zero,
    /// Evaluation passes the input on as it is.
    Nothing,
    /// The same floats under another shape.
    Flatten,
    /// A convolution padded with zeros, and what is folded into it.
    Convolution(Convolution),
    /// A linear layer, and what is folded into it.
    Linear(Linear),
    /// A factor and an addend for each channel.
    Affine(Affine),
    /// Every element by itself.
    Activation(Activation),
    /// A sum or a product of all inputs.
    Combine(Combine),
    /// A layer on maps that has a kernel for blocked ones.
    Maps(Maps),
    /// The inputs one behind the other.
    Concat {
        /// Whether along the channels.
        channels: bool,
    },
    /// From PyTorch's layout to channels in blocks of 16.
    ToBlocked,
    /// From channels in blocks of 16 to PyTorch's layout.
    ToPlain,
}

/// One of the functions that a layer has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Evaluation's.
    Forward,
    /// Training's, where it differs: it saves something, or draws random numbers.
    ForwardTrain,
    /// One of its gradients.
    Gradient(Gradient),
}

/// A convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// Its sizes, before the pool.
    pub sizes: Conv2d,
    /// What computes it.
    pub kernel: ConvolutionKernel,
    /// The batch norm folded into its weights.
    pub norm: Option<Norm>,
    /// Applied last, or before the pool.
    pub activation: Option<Activation>,
    /// What it ends with.
    pub pool: Option<Pool2x2>,
}

impl Convolution {
    /// A convolution with nothing folded in. Direct convolution between blocked values computes every one.
    pub fn new(sizes: Conv2d) -> Self {
        let kernel = ConvolutionKernel::Blocked(BlockedAlgorithm::Direct);
        Self { sizes, kernel, norm: None, activation: None, pool: None }
    }
}

/// What computes a convolution, by how its values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvolutionKernel {
    /// Between blocked values.
    Blocked(BlockedAlgorithm),
    /// From a plain value of few channels to a blocked one.
    FromPlanar(PlanarAlgorithm),
    /// From few channels to few, between plain values.
    Planar,
}

/// A batch norm with running statistics, folded into other weights or packed for itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// The layer whose tensors it has.
    pub layer: usize,
    /// Whether it has a weight and a bias.
    pub affine: bool,
    /// What is added to the variance.
    pub eps: f32,
}

/// A linear layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Its sizes.
    pub sizes: castnet_descriptors::Linear,
    /// The sizes of the blocked map that it takes as it lies; none for features as PyTorch has them.
    pub map: Option<[usize; 3]>,
    /// The batch norm folded into its weights.
    pub norm: Option<Norm>,
    /// Applied last.
    pub activation: Option<Activation>,
}

/// A batch norm that could not be folded.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// Its tensors.
    pub norm: Norm,
    /// Applied last.
    pub activation: Option<Activation>,
}

/// A sum or a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Combine {
    /// A product, not a sum.
    pub product: bool,
    /// Applied last.
    pub activation: Option<Activation>,
}

/// A layer on maps whose kernel for blocked ones takes the layer's own descriptor of sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maps {
    /// The kernel's module.
    pub module: &'static str,
    /// The pool that it is, if it makes one pixel of each 2x2 that lie whole in its input.
    pub pool: Option<Pool2x2>,
}

impl Operation {
    /// Where an activation that follows may be applied by the call itself.
    pub fn activation_mut(&mut self) -> Option<&mut Option<Activation>> {
        match self {
            Operation::Convolution(Convolution { activation, .. })
            | Operation::Linear(Linear { activation, .. })
            | Operation::Affine(Affine { activation, .. })
            | Operation::Combine(Combine { activation, .. }) => Some(activation),
            _ => None,
        }
    }

    /// Where the factors of a batch norm that follows may be folded into weights.
    pub fn norm_mut(&mut self) -> Option<&mut Option<Norm>> {
        match self {
            Operation::Convolution(Convolution { norm, .. }) => Some(norm),
            Operation::Linear(Linear { norm, sizes, .. }) if sizes.rows == 1 => Some(norm),
            _ => None,
        }
    }
}

/// A gradient of a layer: each is a function of its own in the generated code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gradient {
    /// That of all parameters.
    Parameters,
    /// That of input number so-and-so.
    Input(usize),
}

/// A number of floats: some per sample, some once for the whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Floats for each sample.
    pub per_sample: usize,
    /// Floats once.
    pub fixed: usize,
}

impl Extent {
    /// Floats for each sample.
    pub const fn per_sample(floats: usize) -> Self {
        Self { per_sample: floats, fixed: 0 }
    }

    /// Floats once for the batch.
    pub const fn fixed(floats: usize) -> Self {
        Self { per_sample: 0, fixed: floats }
    }

    /// Whether it is nothing.
    pub const fn is_empty(&self) -> bool {
        self.per_sample == 0 && self.fixed == 0
    }
}
