//! Convolutions: their sizes, and what stands outside their input.

/// What a convolution reads outside its input, as in `torch.nn.Conv2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaddingMode {
    /// Zeros.
    Zeros,
    /// The input mirrored at its first and last element, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// The first and last element, repeated: `a a | a b c | c c`.
    Replicate,
    /// The input again from the other end: `b c | a b c | a b`.
    Circular,
}

impl PaddingMode {
    /// The element of an axis of `length` elements that stands at `position`, which may lie outside; `None` is a zero.
    ///
    /// PyTorch refuses a reflection as wide as the input and a circle wider than it; here both go on periodically.
    #[inline]
    pub fn source(self, position: isize, length: usize) -> Option<usize> {
        if (0..length as isize).contains(&position) {
            return Some(position as usize);
        }
        match self {
            PaddingMode::Zeros => None,
            _ if length == 0 => None,
            PaddingMode::Replicate => Some(if position < 0 { 0 } else { length - 1 }),
            PaddingMode::Circular => Some(position.rem_euclid(length as isize) as usize),
            PaddingMode::Reflect => {
                // There and back without repeating the ends is 2 (length - 1) long; one element alone has no neighbour to mirror.
                let period = (2 * (length - 1)).max(1);
                let there = position.rem_euclid(period as isize) as usize;
                Some(there.min(period - there).min(length - 1))
            }
        }
    }
}

/// A two-dimensional convolution of one sample (cross-correlation, as in all deep learning), in PyTorch's NCHW layout.
///
/// `output[o, y, x] = bias[o] + sum over i, ky, kx of weight[o, i, ky, kx] * input[g * ic / groups + i, y * stride[0] + ky * dilation[0] -
/// padding[0], x * stride[1] + kx * dilation[1] - padding[1]]`, where `g` is the group of `o`. One-dimensional convolutions have height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Channels, height and width of the input.
    pub input: [usize; 3],
    /// Channels, height and width of the output. What is padded at the bottom and on the right follows from these.
    pub output: [usize; 3],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps of the kernel down and to the right.
    pub stride: [usize; 2],
    /// Rows above and columns to the left of the input that the kernel reaches.
    pub padding: [usize; 2],
    /// Distances of the kernel's elements from one another.
    pub dilation: [usize; 2],
    /// Into how many groups both the input's and the output's channels fall; each group is a convolution of its own.
    pub groups: usize,
    /// What stands outside the input.
    pub padding_mode: PaddingMode,
}

impl Conv2d {
    /// Floats of one input sample.
    #[inline]
    pub const fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.input[2]
    }

    /// Floats of one output sample.
    #[inline]
    pub const fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.output[2]
    }

    /// Input channels of one group.
    #[inline]
    pub const fn group_inputs(&self) -> usize {
        self.input[0] / self.groups
    }

    /// Output channels of one group.
    #[inline]
    pub const fn group_outputs(&self) -> usize {
        self.output[0] / self.groups
    }

    /// Floats of the weight `[oc, ic / groups, kh, kw]`.
    #[inline]
    pub const fn weight_len(&self) -> usize {
        self.output[0] * self.group_inputs() * self.kernel[0] * self.kernel[1]
    }

    /// Whether every output pixel is made from the input pixel in its place alone.
    #[inline]
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0] && self.input[1..] == self.output[1..]
    }

    /// Rows and columns that the kernel spans.
    #[inline]
    pub const fn extent(&self) -> [usize; 2] {
        [(self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1]
    }

    /// How far the kernel reaches over the input: rows above, columns to the left, rows below, columns to the right. What lies behind
    /// may be less than the padding in front, or more, or all there is: it follows from the output's size.
    pub const fn border(&self) -> [usize; 4] {
        let extent = self.extent();
        let mut behind = [0; 2];
        let mut axis = 0;
        while axis < 2 {
            let last = (self.output[axis + 1] - 1) * self.stride[axis] + extent[axis];
            behind[axis] = last.saturating_sub(self.padding[axis] + self.input[axis + 1]);
            axis += 1;
        }
        [self.padding[0], self.padding[1], behind[0], behind[1]]
    }

    /// Whether all that it reads outside its input are zeros.
    pub fn reads_zeros_outside(&self) -> bool {
        self.padding_mode == PaddingMode::Zeros || self.border() == [0; 4]
    }

    /// Where element `tap` of the kernel at output `index` stands on the input's `axis` (0: rows, 1: columns); may lie outside.
    #[inline]
    pub const fn position(&self, axis: usize, index: usize, tap: usize) -> isize {
        (index * self.stride[axis] + tap * self.dilation[axis]) as isize - self.padding[axis] as isize
    }
}

/// The sizes of a transposed convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose2d {
    /// The convolution whose gradient of the input this is: its input has the size of our output, its output that of our input. Padded with
    /// zeros, as PyTorch has no other transposed convolution.
    pub adjoint: Conv2d,
}

impl ConvTranspose2d {
    /// Floats of one input sample.
    #[inline]
    pub const fn input_len(&self) -> usize {
        self.adjoint.output_len()
    }

    /// Floats of one output sample.
    #[inline]
    pub const fn output_len(&self) -> usize {
        self.adjoint.input_len()
    }

    /// Floats of the weight `[ic, oc / groups, kh, kw]`.
    #[inline]
    pub const fn weight_len(&self) -> usize {
        self.adjoint.weight_len()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::Conv2d;
    use super::PaddingMode::{self, *};
    use std::vec::Vec;

    fn line(mode: PaddingMode, length: usize, from: isize, to: isize) -> Vec<isize> {
        (from..to).map(|p| mode.source(p, length).map_or(-1, |i| i as isize)).collect()
    }

    // torch.nn.functional.pad(torch.arange(4.)[None], (3, 3), mode)
    #[test]
    fn padding_modes_are_pytorchs() {
        assert_eq!(line(Zeros, 4, -2, 6), [-1, -1, 0, 1, 2, 3, -1, -1]);
        assert_eq!(line(Reflect, 4, -3, 7), [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]);
        assert_eq!(line(Replicate, 4, -3, 7), [0, 0, 0, 0, 1, 2, 3, 3, 3, 3]);
        assert_eq!(line(Circular, 4, -4, 8), [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn padding_modes_go_on_past_their_limits() {
        assert_eq!(line(Reflect, 1, -2, 3), [0; 5]);
        assert_eq!(line(Reflect, 2, -3, 4), [1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(line(Circular, 2, -3, 4), [1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(line(Replicate, 0, -1, 1), [-1, -1]);
    }

    #[test]
    fn a_border_may_lie_behind_the_input_alone() {
        // "same" with a kernel of 2: nothing in front, one row and one column behind.
        let mut conv = Conv2d {
            input: [3, 7, 8],
            output: [4, 7, 8],
            kernel: [2, 2],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
            padding_mode: Circular,
        };
        assert_eq!(conv.border(), [0, 0, 1, 1]);
        assert!(!conv.reads_zeros_outside());
        assert!(Conv2d { padding_mode: Zeros, ..conv }.reads_zeros_outside());
        // Without it every mode is the same.
        conv.output = [4, 6, 7];
        assert_eq!(conv.border(), [0; 4]);
        assert!(conv.reads_zeros_outside());
        // A stride that does not reach the padding behind: 2 * 2 + 3 = 7 of 1 + 7.
        let strided = Conv2d { output: [4, 3, 4], kernel: [3, 3], stride: [2, 2], padding: [1, 0], ..conv };
        assert_eq!(strided.border(), [1, 0, 0, 1]);
    }
}
