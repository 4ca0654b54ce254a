//! The innermost loops: products of taps and weights, and what is fetched meanwhile.

use super::Taps;
use crate::blocked::unroll::unroll;
use crate::simd::{BLOCK, Simd};

/// How far ahead of their use weights are fetched, in floats: 64 steps of 16, which a 14 x 2 tile takes 900 cycles for.
const PREFETCH: usize = 1024;

/// What is fetched into the second cache while a tile is summed: a line each step.
///
/// Weights that lie beyond it are used once a run by few tiles. Fetched in the order of their use, a step would wait for them at the
/// first tile and the memory for the steps of the others; so each tile fetches its share of the next blocks' weights. It does so in
/// [`STREAMS`] places by turns: the processor's own prefetcher follows lines within a page of 4 KiB, and a page that lasts four times as
/// long gives it the time.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    from: *const f32,
    /// Floats from a step's line to the next one's, three times of four.
    jump: usize,
    /// The same from the last place back to the first.
    back: usize,
}

/// Places in which weights are fetched by turns.
const STREAMS: usize = 4;

impl Ahead {
    /// Nothing worth mentioning: the same line again and again.
    pub fn nothing(weights: *const f32) -> Self {
        Ahead { from: weights, jump: 0, back: 0 }
    }

    /// The share of one of `tiles` tiles: `len` floats are fetched by all of them, in as many steps each as there are `taps`.
    pub fn share(next: *const f32, len: usize, tile: usize, tiles: usize, taps: &Taps) -> Self {
        let steps = taps.depth * taps.kernel[0] * taps.kernel[1];
        // Of a single tile's two lines a step the nearer prefetch brings what this leaves.
        let step = (len / (tiles * steps).max(1)).min(BLOCK);
        let from = next.wrapping_add(len / tiles * tile);
        if [taps.depth, taps.lanes, taps.first].iter().all(|lanes| lanes.is_multiple_of(STREAMS)) {
            let jump = steps * step / STREAMS;
            Ahead { from, jump, back: step.wrapping_sub((STREAMS - 1) * jump) }
        } else {
            // A run of lanes would end between two places.
            Ahead { from, jump: step, back: step }
        }
    }

    /// Floats to the next line from that of a step, counted from the beginning of its run of lanes.
    #[inline(always)]
    const fn after(&self, step: usize) -> usize {
        if step % STREAMS < STREAMS - 1 { self.jump } else { self.back }
    }
}

/// Offset of a tile's `j`-th vector from the first block of the strip, blocks lying `stride` apart.
#[inline(always)]
pub(super) const fn vector<S: Simd>(block: usize, j: usize, stride: usize) -> usize {
    (block + j * S::LANES / BLOCK) * stride + j * S::LANES % BLOCK
}

/// Adds to `sums` the products of all taps of N pixels with Q vectors of weights; the weights of an output block lie `weight_block`
/// after the last one's.
///
/// # Safety
/// All taps of all pixels and their weights may be read.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn accumulate<S: Simd, const N: usize, const C: usize, const Q: usize>(
    simd: S,
    taps: &Taps,
    lane_stride: usize,
    input: *const f32,
    pixel_stride: [usize; 2],
    weights: *const f32,
    weight_block: usize,
    ahead: Ahead,
    sums: &mut [[S::V; Q]; N],
) {
    let mut far = ahead.from;
    // Addresses advance by additions alone: a chain of multiplications between two runs of lanes costs some 25 cycles, and the
    // multiply-adds that wait in the queue do not let it start early.
    let mut weights = weights;
    let mut block = input.wrapping_add(taps.first * lane_stride);
    let mut room = taps.lanes - taps.first;
    let mut remaining = taps.depth;
    while remaining > 0 {
        let lanes = remaining.min(room);
        let mut row = block;
        for _ in 0..taps.kernel[0] {
            let mut tap = row;
            for _ in 0..taps.kernel[1] {
                let mut lane = tap;
                for step in 0..lanes {
                    // SAFETY: the caller vouches for all taps and weights.
                    unsafe {
                        let mut factors = [simd.zero(); Q];
                        unroll!(J < Q <= 4, {
                            let offset = vector::<S>(0, J, weight_block);
                            factors[J] = simd.load_ptr(weights.wrapping_add(offset));
                            // A single vector a step is bound by its N + 1 loads, and the weights of 16 channels are few.
                            if Q > 1 && (J * S::LANES).is_multiple_of(BLOCK) {
                                simd.prefetch(weights.wrapping_add(offset + PREFETCH));
                            }
                        });
                        // One vector a step leaves no room for it.
                        if Q > 1 {
                            simd.prefetch_far(far);
                            far = far.wrapping_add(ahead.after(step));
                        }
                        unroll!(I < N <= 14, {
                            let value =
                                simd.splat_ptr(lane.wrapping_add(I / C * pixel_stride[0] + I % C * pixel_stride[1]));
                            unroll!(J < Q <= 4, { sums[I][J] = simd.mul_add(value, factors[J], sums[I][J]) });
                        });
                        weights = weights.wrapping_add(BLOCK);
                        lane = lane.wrapping_add(lane_stride);
                    }
                }
                tap = tap.wrapping_add(taps.kernel_stride[1]);
            }
            row = row.wrapping_add(taps.kernel_stride[0]);
        }
        // From the second block on, lanes start at 0.
        block = block.wrapping_add(taps.block_stride - (taps.lanes - room) * lane_stride);
        room = taps.lanes;
        remaining -= lanes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_fetched_once() {
        for depth in [4, 16, 60, 512, 30] {
            let taps = Taps {
                depth,
                first: 0,
                lanes: BLOCK,
                lane_stride: 1,
                block_stride: 0,
                kernel: [3, 3],
                kernel_stride: [0; 2],
            };
            let steps = 9 * depth;
            // Two blocks of weights: two tiles fetch a line a step each, four half a line, one the half of them.
            for (tiles, floats) in [(1, 16), (2, 16), (4, 8)] {
                for tile in 0..tiles {
                    let ahead = Ahead::share(core::ptr::null(), 2 * steps * BLOCK, tile, tiles, &taps);
                    let start = 2 * steps * BLOCK / tiles * tile;
                    let mut far = ahead.from;
                    let mut met = alloc::vec![0; steps * floats / BLOCK];
                    for first in (0..depth).step_by(BLOCK) {
                        for _ in 0..9 {
                            for step in 0..(depth - first).min(BLOCK) {
                                met[(far as usize / 4 - start) / BLOCK] += 1;
                                far = far.wrapping_add(ahead.after(step));
                            }
                        }
                    }
                    assert!(met.iter().all(|&times| times == BLOCK / floats), "{depth} {tiles} {tile}: {met:?}");
                }
            }
        }
    }
}
