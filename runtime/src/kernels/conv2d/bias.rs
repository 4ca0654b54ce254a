//! The gradient of the bias: sums over batch and pixels.

use super::Context;
use crate::parallel;
use crate::simd::{Kernel, Simd, dispatch};

/// Below so many floats, several threads do not pay: some microseconds.
const ALONE: usize = 32 * 1024;

/// Writes `sums` `[channels]`: `values` `[batch, channels, plane]` summed over batch and plane.
pub(super) fn gradient(context: &mut Context, plane: usize, values: &[f32], sums: &mut [f32]) {
    let (isa, channels) = (context.isa, sums.len());
    assert_eq!(values.len() % (channels * plane).max(1), 0, "the gradient must hold whole samples");
    // One task does neighbouring channels, which lie together in memory.
    let tasks = if values.len() < ALONE { 1 } else { channels.min(4 * parallel::threads()) };
    let each = channels.div_ceil(tasks.max(1)).max(1);
    parallel::for_each_chunk(sums, each, |i, sums| {
        dispatch(isa, Sums { values, plane, channels, first: i * each, sums });
    });
}

struct Sums<'a> {
    values: &'a [f32],
    plane: usize,
    channels: usize,
    first: usize,
    sums: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let sample = self.channels * self.plane;
        for (channel, sum) in self.sums.iter_mut().enumerate() {
            // Four sums at once: an addition takes 2 to 4 cycles, and one or two start in each.
            let mut acc = [simd.zero(); 4];
            for values in self.values.chunks_exact(sample.max(1)) {
                let plane = &values[(self.first + channel) * self.plane..][..self.plane];
                let mut chunks = plane.chunks_exact(4 * S::LANES);
                for chunk in &mut chunks {
                    for j in 0..4 {
                        acc[j] = simd.add(acc[j], simd.load(&chunk[j * S::LANES..]));
                    }
                }
                for (j, rest) in chunks.remainder().chunks(S::LANES).enumerate() {
                    // At most four vectors, the last of them in part.
                    acc[j & 3] = simd.add(acc[j & 3], simd.load_partial(rest));
                }
            }
            *sum = simd.reduce_sum(simd.add(simd.add(acc[0], acc[1]), simd.add(acc[2], acc[3])));
        }
    }
}
