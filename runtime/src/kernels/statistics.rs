//! Sums over slices for means, variances and gradients of norms.
//!
//! In single precision within a block, whose partial sums stay short, and in double precision across blocks.

use crate::simd::Simd;

/// Elements summed in single precision: with 4 vectors of partial sums, 16 (AVX-512) to 64 (scalar) additions each.
const SUM_BLOCK: usize = 1024;

/// The sum of the elements.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, x: &[f32]) -> f64 {
    let mut total = 0.0;
    for block in x.chunks(SUM_BLOCK) {
        let mut sums = [simd.zero(); 4];
        let mut quads = block.chunks_exact(4 * S::LANES);
        for quad in &mut quads {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = simd.add(*sum, simd.load(&quad[i * S::LANES..]));
            }
        }
        for (vector, sum) in quads.remainder().chunks(S::LANES).zip(&mut sums) {
            *sum = simd.add(*sum, simd.load_partial(vector));
        }
        let sum = simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3]));
        total += f64::from(simd.reduce_sum(sum));
    }
    total
}
