//! Which algorithm a convolution of the inference program takes: the one with the smallest estimate of time.

use crate::layout::BLOCK;
use crate::ops::Convolution;

/// The algorithms of `castnet::inference`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// The definition, in register tiles.
    Direct,
    /// A kernel of one pixel: a matrix product over all pixels.
    Pointwise,
    /// Winograd's F(2x2, 3x3): 2.25 times fewer multiplications.
    Winograd2,
    /// Winograd's F(4x4, 3x3): 4 times fewer multiplications.
    Winograd4,
    /// Every channel by itself.
    Depthwise,
    /// Groups whose channels are no multiples of 16.
    Grouped,
}

/// The algorithm for a convolution between blocked values of these sizes.
pub fn choose(conv: &Convolution, input: [usize; 3], output: [usize; 3], winograd: bool) -> Algorithm {
    if conv.groups == input[0] && conv.groups == output[0] && conv.groups > 1 {
        return Algorithm::Depthwise;
    }
    let even = |channels: usize| (channels / conv.groups).is_multiple_of(BLOCK);
    if conv.groups > 1 && !(even(input[0]) && even(output[0])) {
        return Algorithm::Grouped;
    }
    if conv.kernel == [1, 1] && conv.padding == [0, 0] {
        return Algorithm::Pointwise;
    }
    let form = conv.kernel == [3, 3] && conv.stride == [1, 1] && conv.dilation == [1, 1] && conv.groups == 1;
    if !(winograd && form) || input[0] < BLOCK || output[0] < BLOCK {
        return Algorithm::Direct;
    }
    match output[1].min(output[2]) {
        0..=3 => Algorithm::Direct,
        4..=12 => Algorithm::Winograd2,
        _ => Algorithm::Winograd4,
    }
}
