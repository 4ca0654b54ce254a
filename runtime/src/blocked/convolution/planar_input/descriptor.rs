//! Sizes and choices of a convolution from planar values into blocked ones.

use crate::blocked::Blocked;
use crate::blocked::maps::pool2x2::{self, Pool2x2};
use crate::kernels::activation::Activation;

/// A convolution from an NCHW input into a blocked output, with its activation: PyTorch's `conv2d` with zero padding and one group.
#[derive(Clone, Copy, Debug)]
pub struct PlanarInputConv2d {
    /// Channels, rows and columns of the input.
    pub input: [usize; 3],
    /// The output `[oc, oh, ow]`, after the pool; its halo is not written. Padding below and to the right is whatever its size reads.
    pub output: Blocked,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Strides down and across.
    pub stride: [usize; 2],
    /// Padding above and to the left.
    pub padding: [usize; 2],
    /// Distances between taps, down and across.
    pub dilation: [usize; 2],
    /// The activation of the convolution's pixels.
    pub activation: Option<Activation>,
    /// What is made of each 2x2 of them, last.
    pub pool: Option<Pool2x2>,
}

impl PlanarInputConv2d {
    /// Multiply-adds that make one output.
    pub(super) const fn taps(&self) -> usize {
        self.input[0] * self.kernel[0] * self.kernel[1]
    }

    /// Floats of PyTorch's weight `[oc, ic, kh, kw]`.
    pub const fn weight_len(&self) -> usize {
        self.output.channels * self.taps()
    }

    /// Floats of one sample of the input.
    pub const fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.input[2]
    }

    /// Multiplications of one sample.
    pub const fn macs(&self) -> u64 {
        self.weight_len() as u64 * (self.convolved(0) * self.convolved(1)) as u64
    }

    /// Rows (axis 0) or columns (axis 1) that are convolved.
    pub(in crate::blocked) const fn convolved(&self, axis: usize) -> usize {
        let size = if axis == 0 { self.output.height } else { self.output.width };
        size * pool2x2::factor(self.pool)
    }

    /// Rows (axis 0) or columns (axis 1) of the input that `outputs` of them read.
    pub(super) const fn reach(&self, axis: usize, outputs: usize) -> usize {
        (outputs - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }
}
