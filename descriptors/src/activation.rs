//! Activation functions.

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where positive, else `negative_slope * x`.
    LeakyRelu {
        /// The slope below zero.
        negative_slope: f32,
    },
    /// `x` where positive, else `alpha * (e^x - 1)` (Clevert, Unterthiner and Hochreiter, 2015).
    Elu {
        /// Minus the limit at minus infinity.
        alpha: f32,
    },
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x * F(x)` with the normal distribution `F(x) = (1 + erf(x / sqrt(2))) / 2` (Hendrycks and Gimpel, 2016).
    Gelu,
    /// [`Activation::Gelu`] with `F(x) = (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`.
    GeluTanh,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * min(max(x + 3, 0), 6) / 6` (Howard et al., "Searching for MobileNetV3", 2019).
    Hardswish,
    /// `min(max(x + 3, 0), 6) / 6`.
    Hardsigmoid,
}

impl Activation {
    /// Whether its gradient is computed from the output; else it is from the input.
    #[inline]
    pub const fn saves_output(self) -> bool {
        matches!(self, Activation::Relu | Activation::Relu6 | Activation::Sigmoid | Activation::Tanh)
    }
}

/// Which elements share a slope of `torch.nn.PReLU`: a sample is `[channels, inner]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prelu {
    /// Slopes: 1, or the number of channels (PyTorch's `num_parameters`).
    pub channels: usize,
    /// Elements to a slope; with one slope, the whole sample.
    pub inner: usize,
}

/// The range of the random slopes of `torch.nn.RReLU`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rrelu {
    /// The smallest slope.
    pub lower: f32,
    /// What the slopes stay below.
    pub upper: f32,
}
