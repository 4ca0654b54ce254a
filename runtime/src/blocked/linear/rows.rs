//! Several rows: tiles of rows by blocks of outputs.

use super::{Layer, TASK, clamped, slices};
use crate::blocked::BLOCK;
use crate::blocked::convolution::tile::pixel_limit;
use crate::blocked::unroll::unroll;
use crate::kernels::Context;
use crate::kernels::transpose::transpose;
use crate::parallel::{self, Disjoint};
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// How far ahead a tile's weights are fetched, in floats of each block: 64 inputs.
const TILE_AHEAD: usize = 1024;

/// Rows that pass over a weight while it is in the cache.
const ROWS: usize = 112;

impl Layer<'_> {
    /// Several rows.
    pub(super) fn multiply(&self, context: &mut Context, rows: usize, input: &[f32]) {
        let op = self.op;
        let depth = op.in_features;
        // Pairs of rows, so that half as many tiles need compiling; of an odd number, the last is computed twice over nothing.
        let pairs = rows.div_ceil(2);
        let most = pair_limit(self.isa);
        let tiles = pairs.div_ceil(most);
        let tile = |index: usize| {
            let at = |index: usize| 2 * (pairs * index / tiles);
            [at(index), at(index + 1)]
        };
        let scratch = context.scratch(2 * pairs * depth);
        let transposed = Disjoint::new(scratch);
        let copy = |index: usize| {
            let [start, end] = tile(index);
            // SAFETY: every task has rows of its own.
            let to = unsafe { transposed.slice(start * depth..end * depth) };
            let count = end.min(rows) - start;
            dispatch(self.isa, Transpose { from: &input[start * depth..], to, depth, rows: count, width: end - start });
        };
        if rows * depth < 8 * TASK {
            (0..tiles).for_each(copy);
        } else {
            parallel::for_each(tiles, copy);
        }

        // Tasks: bands of tiles by runs of blocks.
        let (threads, blocks) = (parallel::threads(), op.blocks());
        let work = rows * blocks * op.block_len();
        let bands = tiles.div_ceil(ROWS / (2 * most));
        let wanted = if threads == 1 { 1 } else { (work / (20 * TASK)).clamp(1, 4 * threads) };
        let runs = wanted.div_ceil(bands).clamp(1, blocks.div_ceil(2));
        let bands = bands.max(wanted.div_ceil(runs).min(tiles));
        parallel::for_each(bands * runs, |task| {
            let (band, run) = (task % bands, task / bands);
            // An even number of blocks to all but the last.
            let blocks = [run, run + 1].map(|run| (blocks.div_ceil(2) * run / runs * 2).min(blocks));
            let tiles = [band, band + 1].map(|band| tiles * band / bands);
            let several = tiles[1] - tiles[0] > 1;
            for slice in (0..slices(depth)).map(|index| parallel::part(depth, slices(depth), index)) {
                let group = blocks_of_tile(self.isa);
                for block in (blocks[0]..blocks[1]).step_by(group) {
                    for (index, [start, end]) in (tiles[0]..tiles[1]).map(tile).enumerate() {
                        let tile = Tile {
                            layer: self,
                            rows: [start, end.min(rows)],
                            // SAFETY: within the scratch memory.
                            input: unsafe { transposed.as_ptr().add(start * depth) },
                            slice,
                            block,
                            blocks: group.min(blocks[1] - block),
                            // A single tile waits for the weights anyhow.
                            far: (several && index < group).then(|| {
                                let next = block + group + index;
                                let past = next >= blocks[1];
                                self.weights(if past { blocks[0] + index } else { next }, slice[usize::from(past)])
                            }),
                        };
                        // SAFETY: all has been transposed, and every task has outputs of its own.
                        unsafe { tile.run((end - start) / 2) };
                    }
                }
            }
            // SAFETY: as above.
            unsafe { self.finish([tile(tiles[0])[0], tile(tiles[1] - 1)[1].min(rows)], blocks) };
        });
    }
}

/// The transpose of some rows' inputs: `to[i * width + row]`.
struct Transpose<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
    depth: usize,
    rows: usize,
    width: usize,
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        transpose(simd, self.from, self.depth, self.to, self.width, (self.rows, self.depth));
    }
}

/// Most pairs of rows of a tile: 14 x 2, 6 x 2, 6 x 4 and 2 x 4 vectors of sums, as the convolutions have them.
const fn pair_limit(isa: Isa) -> usize {
    pixel_limit(isa) / 2
}

/// Blocks of a tile.
const fn blocks_of_tile(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 2,
        _ => 1,
    }
}

/// Some rows, one slice of their inputs, one or two blocks of outputs.
struct Tile<'a> {
    layer: &'a Layer<'a>,
    /// Rows that exist: one fewer than the tile may have.
    rows: [usize; 2],
    /// `[in][rows of the tile]`
    input: *const f32,
    /// The inputs to sum over; the first slice starts from the bias, the others' sums are added to those so far.
    slice: [usize; 2],
    block: usize,
    blocks: usize,
    /// Weights that the second cache is to have when these are done: a line for each input. Each of the first tiles fetches those of one
    /// of the next blocks; fetched in the order of their use, they would be waited for by the first tile, and by the others not at all.
    far: Option<*const f32>,
}

impl Tile<'_> {
    /// # Safety
    /// The input holds `2 * pairs` floats for each of the layer's inputs, and nobody else uses these outputs meanwhile.
    unsafe fn run(self, pairs: usize) {
        let isa = self.layer.isa;
        macro_rules! sizes {
            ($($pairs:literal)*) => {
                match pairs {
                    $($pairs => dispatch(
                        isa,
                        // SAFETY: the caller's promise.
                        unsafe { Rows::<{ 2 * $pairs }>::new(&self) },
                    ),)*
                    _ => unreachable!("no tile of {pairs} pairs of rows"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7);
    }
}

/// A tile of `N` rows.
struct Rows<'a, const N: usize>(&'a Tile<'a>);

impl<'a, const N: usize> Rows<'a, N> {
    /// # Safety
    /// As [`Tile::run`].
    unsafe fn new(tile: &'a Tile<'a>) -> Self {
        Rows(tile)
    }

    /// The sums of `Q` vectors.
    ///
    /// # Safety
    /// As [`Tile::run`]; the vectors are the tile's blocks.
    #[inline(always)]
    unsafe fn sums<S: Simd, const Q: usize>(&self, simd: S) {
        let tile = self.0;
        let layer = tile.layer;
        let stride = layer.op.block_len();
        let count = tile.rows[1] - tile.rows[0];
        let first = tile.slice[0] == 0;
        let last = tile.slice[1] == layer.op.in_features;
        let clamp = if last { layer.epilogue.clamp } else { None };
        let bias = &layer.packed[tile.block * BLOCK..][..Q * S::LANES];
        let start = layer.op.blocks() * BLOCK + tile.block * stride;
        let weights = &layer.packed[start..][..Q * S::LANES / BLOCK * stride];
        // SAFETY: the weights hold `stride` floats for each block, 16 of them for each input; and the caller's promise.
        unsafe {
            let mut sums = [[simd.zero(); Q]; N];
            if first {
                unroll!(J < Q <= 4, {
                    let bias = simd.load(&bias[J * S::LANES..]);
                    unroll!(I < N <= 14, { sums[I][J] = bias });
                });
            }
            let mut weights = weights.as_ptr().wrapping_add(tile.slice[0] * BLOCK);
            // Or the same line again and again.
            let (mut far, far_step) = tile.far.map_or((weights, 0), |far| (far, BLOCK));
            let mut input = tile.input.wrapping_add(tile.slice[0] * N);
            for _ in tile.slice[0]..tile.slice[1] {
                let mut factors = [simd.zero(); Q];
                unroll!(J < Q <= 4, {
                    let at = J * S::LANES / BLOCK * stride + J * S::LANES % BLOCK;
                    factors[J] = simd.load_ptr(weights.wrapping_add(at));
                    if (J * S::LANES).is_multiple_of(BLOCK) {
                        simd.prefetch(weights.wrapping_add(at + TILE_AHEAD));
                    }
                });
                unroll!(I < N <= 14, {
                    let x = simd.splat_ptr(input.wrapping_add(I));
                    unroll!(J < Q <= 4, { sums[I][J] = simd.mul_add(x, factors[J], sums[I][J]) });
                });
                simd.prefetch_far(far);
                far = far.wrapping_add(far_step);
                weights = weights.wrapping_add(BLOCK);
                input = input.wrapping_add(N);
            }
            unroll!(I < N <= 14, {
                if I < count {
                    let row = [tile.rows[0] + I, tile.block];
                    unroll!(J < Q <= 4, {
                        let mut sum = sums[I][J];
                        if !first {
                            sum = simd.add(layer.load(simd, row, J * S::LANES), sum);
                        }
                        layer.store(simd, row, J * S::LANES, clamped(simd, clamp, sum));
                    });
                }
            });
        }
    }
}

impl<const N: usize> Kernel for Rows<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // SAFETY: the promise made to `new`.
        unsafe {
            if const { N > pixel_limit(S::ISA) } {
                unreachable!("a tile of {N} rows does not fit in the registers");
            } else if const { S::LANES == BLOCK } {
                if self.0.blocks == 2 { self.sums::<S, 2>(simd) } else { self.sums::<S, 1>(simd) }
            } else if const { S::LANES * 2 == BLOCK } {
                self.sums::<S, 2>(simd);
            } else {
                self.sums::<S, 4>(simd);
            }
        }
    }
}
