//! Keeps the groups of a convolution apart where a value is not finite.
//!
//! Where a block of output channels belongs to several groups, the tiles multiply what belongs to another group by a weight of zero: an
//! infinity or NaN there would make NaN of outputs that do not see it. So pixels with a NaN are computed again, with zeros in place of
//! what the others' groups see: the same sums in the same order, hence the same bits where nothing was wrong. Looking for them is one
//! pass over what a task has just written, beside hundreds of multiply-adds for each.

use super::OutputPlanes;
use crate::blocked::BLOCK;
use crate::simd::{Isa, Kernel, Simd, dispatch};

impl OutputPlanes<'_> {
    /// Whether the blocks hold channels of more than one group.
    pub(super) fn mixes_groups(&self) -> bool {
        self.span.depth > self.op.group_inputs()
    }

    /// Computes again what is NaN of `rows` x `columns` of the output, before the activations that follow the tiles.
    ///
    /// # Safety
    /// The slices are as long as the descriptor says, every tap lies in the input, and nobody else uses these output pixels.
    pub(super) unsafe fn separate(&self, isa: Isa, rows: [usize; 2], columns: [usize; 2]) {
        let to = &self.op.output;
        for block in self.span.block..self.span.block + self.span.blocks {
            for (row, column) in (rows[0]..rows[1]).flat_map(|y| (columns[0]..columns[1]).map(move |x| (y, x))) {
                let start = self.sample * to.sample_len() + to.offset(block, row, column);
                // SAFETY: a pixel that is the caller's.
                let output = unsafe { self.output.slice(start..start + BLOCK) };
                if output.iter().any(|value| value.is_nan()) {
                    dispatch(isa, Pixel { planes: self, block, at: [row, column], output });
                }
            }
        }
    }
}

/// One pixel of one block.
struct Pixel<'a> {
    planes: &'a OutputPlanes<'a>,
    block: usize,
    at: [usize; 2],
    output: &'a mut [f32],
}

impl Kernel for Pixel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Pixel { planes, block, at: [row, column], output } = self;
        let (op, span) = (planes.op, planes.span);
        let from = &op.input;
        let group = |lane: usize| (block * BLOCK + lane) / op.group_outputs();
        let start = span.weights + (block - span.block) * span.block_len(op);
        let mut weights = planes.packed[start..][..span.block_len(op)].chunks_exact(BLOCK);
        let corner = planes.sample * from.sample_len() + from.origin() + row * op.stride[0] * from.row_len();
        let corner = corner + column * op.stride[1] * BLOCK - op.padding[0] * from.row_len() - op.padding[1] * BLOCK;
        let mut sums = [0.0; BLOCK];
        sums.copy_from_slice(&planes.packed[block * BLOCK..][..BLOCK]);
        let mut first = span.first;
        let end = span.first + span.depth;
        while first < end {
            let next = end.min((first / BLOCK + 1) * BLOCK);
            for tap in 0..op.kernel[0] * op.kernel[1] {
                let (down, across) = (tap / op.kernel[1] * op.dilation[0], tap % op.kernel[1] * op.dilation[1]);
                let pixel = corner + first / BLOCK * from.plane_len() + down * from.row_len() + across * BLOCK;
                for (channel, weights) in (first..next).zip(&mut weights) {
                    let x = planes.input[pixel + channel % BLOCK];
                    let own = |lane: usize| group(lane) == channel / op.group_inputs();
                    let inputs: [f32; BLOCK] = core::array::from_fn(|lane| if own(lane) { x } else { 0.0 });
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        let [x, weight, sum] = [&inputs[lane..], &weights[lane..], &sums[lane..]].map(|v| simd.load(v));
                        simd.store(simd.mul_add(x, weight, sum), &mut sums[lane..]);
                    }
                }
            }
            first = next;
        }
        if let (Some(value), Some(data)) = (&op.residual, planes.residual) {
            let residual = &data[planes.sample * value.sample_len() + value.offset(block, row, column)..];
            sums.iter_mut().zip(residual).for_each(|(sum, x)| *sum += x);
        }
        if let Some([low, high]) = planes.epilogue.clamp {
            // NaN is left as it is.
            sums.iter_mut().for_each(|sum| *sum = sum.clamp(low, high));
        }
        output.copy_from_slice(&sums);
    }
}
