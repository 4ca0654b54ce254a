//! What every convolution between blocked values shares: the descriptor and the checks.

use crate::blocked::Blocked;
use crate::kernels::activation::Activation;

/// A convolution between blocked values, with all that is fused into it.
///
/// `output = activation(norm(conv(input, weight) + bias) + residual)`, the convolution being PyTorch's `conv2d` (a cross-correlation). The output's size follows from its descriptor; padding below and to the right is whatever that size reads.
#[derive(Clone, Copy, Debug)]
pub struct BlockedConv2d {
    /// The input `[ic, h, w]`. Its halo holds at least the padding (Winograd alone needs none).
    pub input: Blocked,
    /// The output `[oc, oh, ow]`, its halo is not written.
    pub output: Blocked,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Strides down and across.
    pub stride: [usize; 2],
    /// Padding above and to the left.
    pub padding: [usize; 2],
    /// Distances between taps, down and across.
    pub dilation: [usize; 2],
    /// Groups: channels of input and output are cut into as many runs that do not mix.
    pub groups: usize,
    /// A value of the output's size that is added before the activation.
    pub residual: Option<Blocked>,
    /// The activation, applied last.
    pub activation: Option<Activation>,
}

impl BlockedConv2d {
    /// Input channels that one output channel sees.
    pub const fn group_inputs(&self) -> usize {
        self.input.channels / self.groups
    }

    /// Output channels of one group.
    pub const fn group_outputs(&self) -> usize {
        self.output.channels / self.groups
    }

    /// Floats of PyTorch's weight `[oc, ic / groups, kh, kw]`.
    pub const fn weight_len(&self) -> usize {
        self.output.channels * self.group_inputs() * self.kernel[0] * self.kernel[1]
    }

    /// Multiplications of one sample, counted as direct convolution does.
    pub const fn macs(&self) -> u64 {
        self.weight_len() as u64 * (self.output.height * self.output.width) as u64
    }

    /// Whether every channel is convolved by itself into one output channel.
    pub const fn is_depthwise(&self) -> bool {
        self.groups == self.input.channels && self.groups == self.output.channels
    }

    /// Rows and columns that the kernel's taps span.
    pub(crate) const fn extent(&self) -> [usize; 2] {
        [(self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1]
    }

    /// Asserts that the sizes agree and returns the batch.
    ///
    /// # Panics
    /// When a slice is no whole number of samples, the slices disagree, or the residual is missing or of another size.
    pub(crate) fn check(&self, input: &[f32], residual: Option<&[f32]>, output: &[f32]) -> usize {
        let batch = self.input.batch(input.len());
        assert_eq!(batch, self.output.batch(output.len()), "input and output hold different numbers of samples");
        assert!(
            self.groups > 0 && self.input.channels.is_multiple_of(self.groups),
            "groups do not divide the input: {self:?}"
        );
        assert!(self.output.channels.is_multiple_of(self.groups), "groups do not divide the output: {self:?}");
        match (&self.residual, residual) {
            (Some(value), Some(data)) => {
                assert_eq!(batch, value.batch(data.len()), "residual and output hold different numbers of samples");
                let (a, b) = (value, &self.output);
                assert_eq!([a.channels, a.height, a.width], [b.channels, b.height, b.width], "the residual's size");
            }
            (None, None) => {}
            _ => panic!("the residual must be given where the descriptor names one, and only there"),
        }
        batch
    }

    /// Asserts that every tap of every output pixel lies in the stored input, halo included.
    ///
    /// # Panics
    /// When the halo is too small.
    pub(crate) fn check_halo(&self) {
        let [top, left, bottom, right] = self.input.halo;
        let extent = self.extent();
        let last = [
            (self.output.height - 1) * self.stride[0] + extent[0],
            (self.output.width - 1) * self.stride[1] + extent[1],
        ];
        assert!(
            self.padding[0] <= top
                && self.padding[1] <= left
                && last[0] <= self.padding[0] + self.input.height + bottom
                && last[1] <= self.padding[1] + self.input.width + right,
            "the input's halo is smaller than the padding: {self:?}"
        );
    }
}
