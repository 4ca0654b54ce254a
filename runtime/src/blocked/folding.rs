//! The trained weights that go into packing, and the batch norm that is folded into them.

use crate::blocked::BLOCK;
use crate::kernels::statistics::inverse_deviation;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// A batch norm in evaluation mode: `(x - mean) / sqrt(variance + eps) * weight + bias`, one of each for a channel, as PyTorch names them.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// `[channels]`, ones where there is none.
    pub weight: Option<&'a [f32]>,
    /// `[channels]`, zeros where there is none.
    pub bias: Option<&'a [f32]>,
    /// `[channels]`: `running_mean`.
    pub mean: &'a [f32],
    /// `[channels]`: `running_var`.
    pub variance: &'a [f32],
    /// What keeps the root from zero.
    pub eps: f32,
}

impl BatchNorm<'_> {
    /// Asserts the lengths.
    ///
    /// # Panics
    /// When one is not `channels`.
    pub(crate) fn check(&self, channels: usize) {
        let all = [
            ("weight", self.weight),
            ("bias", self.bias),
            ("mean", Some(self.mean)),
            ("variance", Some(self.variance)),
        ];
        for (name, values) in all {
            if let Some(values) = values {
                assert_eq!(values.len(), channels, "floats of the batch norm's {name}");
            }
        }
    }

    /// The norm of a channel as `x * factor + addend`: both.
    pub(crate) fn factor_and_addend(&self, channel: usize) -> [f64; 2] {
        let of = |values: Option<&[f32]>, default| values.map_or(default, |values| f64::from(values[channel]));
        let factor = of(self.weight, 1.0) * dispatch(Isa::Scalar, InverseDeviation(self.variance[channel], self.eps));
        [factor, of(self.bias, 0.0) - f64::from(self.mean[channel]) * factor]
    }
}

/// `1 / sqrt(variance + eps)` in double precision.
struct InverseDeviation(f32, f32);

impl Kernel for InverseDeviation {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        inverse_deviation(simd, f64::from(self.0), self.1)
    }
}

/// The trained weights of a convolution or linear layer and the batch norm that follows, in PyTorch's layouts.
///
/// The packed weights compute `norm(layer(x, weight) + bias)`. Folding is done in f64 and rounded once.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// `[oc, ic / groups, kh, kw]`, or `[out, in]`
    pub weight: &'a [f32],
    /// `[oc]`
    pub bias: Option<&'a [f32]>,
    /// Over the output channels.
    pub norm: Option<BatchNorm<'a>>,
}

impl<'a> Weights<'a> {
    /// Weights and bias with nothing folded in.
    pub const fn new(weight: &'a [f32], bias: Option<&'a [f32]>) -> Self {
        Self { weight, bias, norm: None }
    }

    /// Asserts the lengths.
    ///
    /// # Panics
    /// When one does not fit.
    pub(crate) fn check(&self, weight_len: usize, channels: usize) {
        assert_eq!(self.weight.len(), weight_len, "floats of the weight");
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), channels, "floats of the bias");
        }
        if let Some(norm) = &self.norm {
            norm.check(channels);
        }
    }

    /// The factor of an output channel.
    pub(crate) fn factor(&self, channel: usize) -> f64 {
        self.norm.map_or(1.0, |norm| norm.factor_and_addend(channel)[0])
    }

    /// The factors of a block of output channels, zeros past the last one.
    pub(crate) fn factors(&self, block: usize, channels: usize) -> [f64; BLOCK] {
        core::array::from_fn(|lane| match block * BLOCK + lane {
            channel if channel < channels => self.factor(channel),
            _ => 0.0,
        })
    }

    /// The folded bias of an output channel.
    pub(crate) fn offset(&self, channel: usize) -> f32 {
        let bias = self.bias.map_or(0.0, |bias| f64::from(bias[channel]));
        let [factor, addend] = self.norm.map_or([1.0, 0.0], |norm| norm.factor_and_addend(channel));
        (bias * factor + addend) as f32
    }

    /// Writes the folded biases, zeros after the last channel.
    pub(crate) fn write_bias(&self, channels: usize, packed: &mut [f32]) {
        for (channel, value) in packed.iter_mut().enumerate() {
            *value = if channel < channels { self.offset(channel) } else { 0.0 };
        }
    }
}
