//! One row: bound by reading the weights, each of which is used once.

use super::{Layer, TASK, clamped, slices};
use crate::blocked::BLOCK;
use crate::blocked::unroll::unroll;
use crate::kernels::Context;
use crate::parallel::{self, Disjoint};
use crate::simd::{Kernel, Simd, dispatch};

/// Vectors of outputs that are summed at a time: enough that no sum waits for its last product, which takes four cycles, two or four of
/// these being done in each.
const STREAMS: usize = 8;

/// Floats of weights for each thread above which a second cache (2 MiB) keeps too little of them to matter from one run to the next.
const KEPT: usize = 4 << 20;

/// Inputs before the use of their weights, at which these are fetched where there are more than [`KEPT`]. The hardware follows these few
/// streams nearly as fast by itself, and every fetch takes the place of a load, of which there is one for a multiply-add: weights in the
/// first or the second cache are read faster without.
const FAR: usize = 32;

impl Layer<'_> {
    /// One row.
    pub(super) fn stream(&self, context: &mut Context, input: &[f32]) {
        let blocks = self.op.blocks();
        let weights = blocks * self.op.block_len();
        let threads = parallel::threads();
        let tasks = match threads {
            1 => 1,
            // One each, so that every thread meets its own weights, in its own order.
            _ if weights / threads <= KEPT => threads,
            _ => 4 * threads,
        };
        let tasks = tasks.min(weights / TASK).clamp(1, blocks.div_ceil(2));
        let backwards = context.backwards;
        // `[slice][output]`; where there is one slice, its sums go where they belong.
        let slices = slices(self.op.in_features);
        let len = if slices > 1 { slices * blocks * BLOCK } else { 0 };
        let partial = Disjoint::new(context.scratch(len));
        parallel::for_each(tasks, |task| {
            let blocks = parallel::part(blocks, tasks, task);
            // SAFETY: every task has blocks of its own, of the outputs and of each slice's sums.
            dispatch(self.isa, unsafe { Stream::new(self, input, blocks, backwards, partial.as_ptr()) });
            // SAFETY: as above.
            unsafe { self.finish([0, 1], blocks) };
        });
    }
}

/// One row's sums for a run of blocks.
///
/// The units of work are slices of the inputs for a group of vectors. Every other run takes them in the opposite order and so begins
/// with the weights that the last one left in the second cache, which for a network of a few times its size is a good part of them.
/// What is added to what does not depend on it: slices are summed by themselves, then added in order.
struct Stream<'a> {
    layer: &'a Layer<'a>,
    input: &'a [f32],
    blocks: [usize; 2],
    backwards: bool,
    partial: *mut f32,
}

/// Vectors of outputs beside each other.
#[derive(Clone, Copy)]
struct Group {
    /// The first vector, counted from the first block of the run.
    first: usize,
    /// 1, 2, 4 or 8.
    count: usize,
}

/// The `index`-th group of `vectors` vectors: eights, then what is left in powers of two.
fn group(index: usize, vectors: usize) -> Group {
    let eights = vectors / STREAMS;
    if index < eights {
        return Group { first: STREAMS * index, count: STREAMS };
    }
    let mut first = STREAMS * eights;
    let mut left = index - eights;
    for count in [4, 2, 1] {
        if vectors & count != 0 {
            if left == 0 {
                return Group { first, count };
            }
            left -= 1;
            first += count;
        }
    }
    unreachable!("no group {index} of {vectors} vectors")
}

/// How many groups there are.
fn groups(vectors: usize) -> usize {
    vectors / STREAMS + (vectors % STREAMS).count_ones() as usize
}

impl<'a> Stream<'a> {
    /// # Safety
    /// Nobody else uses these blocks' outputs, or their part of `partial`, meanwhile: the sums of all slices unless there is one.
    unsafe fn new(
        layer: &'a Layer<'a>,
        input: &'a [f32],
        blocks: [usize; 2],
        backwards: bool,
        partial: *mut f32,
    ) -> Self {
        Stream { layer, input, blocks, backwards, partial }
    }

    /// A vector's block, and its first lane in it.
    fn place<S: Simd>(&self, vector: usize) -> [usize; 2] {
        [self.blocks[0] + vector * S::LANES / BLOCK, vector * S::LANES % BLOCK]
    }

    /// Where the weights of a group's first vector lie for the first input of a slice.
    fn weights<S: Simd>(&self, group: Group, slice: usize) -> *const f32 {
        let [block, lane] = self.place::<S>(group.first);
        let [start, _] = parallel::part(self.layer.op.in_features, slices(self.layer.op.in_features), slice);
        self.layer.weights(block, start).wrapping_add(lane)
    }

    /// The sums of a group's `Q` vectors over a slice, with weights fetched `AHEAD` inputs before their use if that is not 0.
    ///
    /// # Safety
    /// The group's vectors lie in the blocks that [`Stream::new`] was given.
    #[inline(always)]
    unsafe fn sums<S: Simd, const Q: usize, const AHEAD: usize>(&self, simd: S, group: Group, slice: usize) {
        let layer = self.layer;
        let stride = layer.op.block_len();
        let slices = slices(self.input.len());
        let [start, end] = parallel::part(self.input.len(), slices, slice);
        let input = &self.input[start..end];
        let mut weights = self.weights::<S>(group, slice);
        let mut sums = [simd.zero(); Q];
        // SAFETY: there are weights for each of these inputs and vectors, biases for the vectors; and the caller's promise.
        unsafe {
            if slice == 0 {
                let [block, lane] = self.place::<S>(group.first);
                let bias = layer.packed[block * BLOCK + lane..].as_ptr();
                unroll!(J < Q <= 8, { sums[J] = simd.load_ptr(bias.wrapping_add(J * S::LANES)) });
            }
            for x in input {
                let x = simd.splat_ptr(x);
                unroll!(J < Q <= 8, {
                    let at = J * S::LANES / BLOCK * stride + J * S::LANES % BLOCK;
                    if AHEAD > 0 && (J * S::LANES).is_multiple_of(BLOCK) {
                        simd.prefetch(weights.wrapping_add(at + AHEAD * BLOCK));
                    }
                    sums[J] = simd.mul_add(x, simd.load_ptr(weights.wrapping_add(at)), sums[J]);
                });
                weights = weights.wrapping_add(BLOCK);
            }
            if slices == 1 {
                let [block, lane] = self.place::<S>(group.first);
                let clamp = layer.epilogue.clamp;
                unroll!(J < Q <= 8, { layer.store(simd, [0, block], lane + J * S::LANES, clamped(simd, clamp, sums[J])) });
            } else {
                let to = self.sum_of::<S>(group.first, slice);
                unroll!(J < Q <= 8, { simd.store_ptr(sums[J], to.wrapping_add(J * S::LANES)) });
            }
        }
    }

    /// Where a slice's sum of a vector lies.
    fn sum_of<S: Simd>(&self, vector: usize, slice: usize) -> *mut f32 {
        let [block, lane] = self.place::<S>(vector);
        self.partial.wrapping_add((slice * self.layer.op.blocks() + block) * BLOCK + lane)
    }
}

impl Kernel for Stream<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let vectors = (self.blocks[1] - self.blocks[0]) * BLOCK / S::LANES;
        let slices = slices(self.input.len());
        let units = groups(vectors) * slices;
        let far = (self.blocks[1] - self.blocks[0]) * self.layer.op.block_len() > KEPT;
        let unit = |turn: usize| {
            let index = if self.backwards { units - 1 - turn } else { turn };
            (group(index / slices, vectors), index % slices)
        };
        for turn in 0..units {
            let (group, slice) = unit(turn);
            // SAFETY: the blocks are ours.
            unsafe {
                match group.count {
                    1 => self.sums::<S, 1, 0>(simd, group, slice),
                    2 => self.sums::<S, 2, 0>(simd, group, slice),
                    4 => self.sums::<S, 4, 0>(simd, group, slice),
                    _ if far => self.sums::<S, STREAMS, FAR>(simd, group, slice),
                    _ => self.sums::<S, STREAMS, 0>(simd, group, slice),
                }
            }
        }
        if slices > 1 {
            for vector in 0..vectors {
                let [block, lane] = self.place::<S>(vector);
                // SAFETY: every slice's sum has been written, and the outputs are ours.
                unsafe {
                    let mut sum = simd.load_ptr(self.sum_of::<S>(vector, 0));
                    for slice in 1..slices {
                        sum = simd.add(sum, simd.load_ptr(self.sum_of::<S>(vector, slice)));
                    }
                    self.layer.store(simd, [0, block], lane, clamped(simd, self.layer.epilogue.clamp, sum));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_every_vector_once() {
        for vectors in 0..40 {
            let mut next = 0;
            for index in 0..groups(vectors) {
                let group = group(index, vectors);
                assert_eq!(group.first, next);
                next += group.count;
            }
            assert_eq!(next, vectors);
        }
    }
}
