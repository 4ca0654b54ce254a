//! Linear layers on plain rows: `output = activation(input * weight^T + bias)`.
//!
//! Weights are packed as `[bias][block of 16 outputs][in][16]`: vectors lie along the outputs, and each block is one stream.
//!
//! One row is bound by reading the weights: some blocks at a time, the input's floats broadcast one after another, with a software
//! prefetch ahead. Several rows share the weights in a register tile of rows by blocks. Their inputs are transposed first, so that a
//! step reads the floats of a tile's rows beside each other; the inputs are cut into slices, so that the slices of all rows stay in the
//! cache while every weight passes by once.
//!
//! Every sum starts from the bias and runs over the inputs in order, however many rows there are: a sample's result does not depend on
//! which others are computed with it.

use super::blocked::BLOCK;
use super::epilogue::Epilogue;
use super::tile::{pixel_limit, segments, unroll};
use super::weights::Weights;
use crate::kernels::Context;
use crate::kernels::activation::Activation;
use crate::kernels::transpose::transpose;
use crate::parallel::{self, Disjoint};
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// A linear layer with its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackedLinear {
    /// Floats of an input row.
    pub in_features: usize,
    /// Floats of an output row.
    pub out_features: usize,
    /// The activation, applied last.
    pub activation: Option<Activation>,
}

impl PackedLinear {
    /// Blocks of outputs.
    const fn blocks(&self) -> usize {
        self.out_features.div_ceil(BLOCK)
    }

    /// Floats of a block's weights.
    const fn block_len(&self) -> usize {
        self.in_features * BLOCK
    }

    /// Floats of PyTorch's weight `[out, in]`.
    pub const fn weight_len(&self) -> usize {
        self.out_features * self.in_features
    }
}

/// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of outputs.
pub const fn packed_len(op: &PackedLinear) -> usize {
    op.blocks() * (BLOCK + op.block_len())
}

/// Packs the weights `[out, in]` (with what [`Weights`] folds in) for [`run`].
///
/// # Panics
/// When a slice has not the length that `op` says.
pub fn pack(op: &PackedLinear, weights: &Weights, packed: &mut [f32]) {
    assert!(op.in_features > 0 && op.out_features > 0, "a linear layer of nothing: {op:?}");
    weights.check(op.weight_len(), op.out_features);
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let (bias, packed) = packed.split_at_mut(op.blocks() * BLOCK);
    weights.write_bias(op.out_features, bias);
    for (block, packed) in packed.chunks_exact_mut(op.block_len()).enumerate() {
        let factors = weights.factors(block, op.out_features);
        for (i, packed) in packed.chunks_exact_mut(BLOCK).enumerate() {
            for (lane, value) in packed.iter_mut().enumerate() {
                let output = block * BLOCK + lane;
                *value = if output < op.out_features {
                    (f64::from(weights.weight[output * op.in_features + i]) * factors[lane]) as f32
                } else {
                    0.0
                };
            }
        }
    }
}

/// Computes `output` `[rows, out]` from `input` `[rows, in]`.
///
/// # Panics
/// When a slice is no whole number of rows, the numbers differ, or `packed` has not [`packed_len`] floats.
pub fn run(context: &mut Context, op: &PackedLinear, input: &[f32], packed: &[f32], output: &mut [f32]) {
    let rows = output.len().checked_div(op.out_features).unwrap_or(0);
    assert!(op.in_features > 0 && op.out_features > 0, "a linear layer of nothing: {op:?}");
    assert_eq!(output.len(), rows * op.out_features, "the output of a linear layer must hold whole rows");
    assert_eq!(input.len(), rows * op.in_features, "input and output of a linear layer hold different numbers of rows");
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let isa = context.isa;
    let epilogue = Epilogue::new(op.activation);
    let layer = Layer { op, isa, packed, output: Disjoint::new(output), epilogue };
    if rows == 1 {
        layer.stream(input);
    } else if rows > 1 {
        layer.multiply(context, rows, input);
    }
}

/// Weights that are worth a task of their own, in floats: 80 KiB, some 5 µs from the third cache.
const TASK: usize = 20 * 1024;

/// Blocks that a single row's sums are computed for at a time: enough sums that none waits for the last product, which takes four
/// cycles, two or four of these being done in each.
const STREAMS: usize = 8;

/// How far ahead of their use a single row's weights are fetched, in floats of each block: 16 KiB for eight blocks. Twice as much leaves
/// the first cache before it is used, which costs weights that lie in the second 40 % of their speed.
const AHEAD: usize = 512;

/// How far ahead a tile's weights are fetched, in floats of each block: 64 inputs.
const TILE_AHEAD: usize = 1024;

/// Inputs of a slice: two blocks' weights are 256 KiB, the inputs of 32 rows as much. A quarter of it is as fast.
const SLICE: usize = 2048;

/// Rows that pass over a weight while it is in the cache.
const ROWS: usize = 112;

/// A run.
struct Layer<'a> {
    op: &'a PackedLinear,
    isa: Isa,
    packed: &'a [f32],
    output: Disjoint<'a, f32>,
    epilogue: Epilogue,
}

impl Layer<'_> {
    /// One row.
    fn stream(&self, input: &[f32]) {
        let blocks = self.op.blocks();
        let weights = blocks * self.op.block_len();
        let tasks = match parallel::threads() {
            1 => 1,
            threads => (weights / TASK).clamp(1, (4 * threads).min(blocks.div_ceil(2))),
        };
        parallel::for_each(tasks, |task| {
            let blocks = [task, task + 1].map(|task| blocks * task / tasks);
            // SAFETY: every task has blocks of its own.
            dispatch(self.isa, unsafe { Stream::new(self, input, blocks) });
            // SAFETY: as above.
            unsafe { self.finish([0, 1], blocks) };
        });
    }

    /// Several rows.
    fn multiply(&self, context: &mut Context, rows: usize, input: &[f32]) {
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
            for (start, len, count) in segments(0, depth, SLICE) {
                for slice in (0..count).map(|i| [start + i * len, start + (i + 1) * len]) {
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
            }
            // SAFETY: as above.
            unsafe { self.finish([tile(tiles[0])[0], tile(tiles[1] - 1)[1].min(rows)], blocks) };
        });
    }

    /// Where a block's weights of an input lie; past the end for what there is not.
    fn weights(&self, block: usize, input: usize) -> *const f32 {
        let start = (self.op.blocks() + input) * BLOCK + block * self.op.block_len();
        self.packed.as_ptr().wrapping_add(start)
    }

    /// Applies what activation remains to the outputs of some rows and blocks.
    ///
    /// # Safety
    /// Nobody else uses them meanwhile.
    unsafe fn finish(&self, rows: [usize; 2], blocks: [usize; 2]) {
        if self.epilogue.is_finished() {
            return;
        }
        let out = self.op.out_features;
        let columns = blocks.map(|block| (block * BLOCK).min(out));
        // SAFETY: the caller's promise; they lie in the output.
        unsafe {
            let start = self.output.as_ptr().add(rows[0] * out + columns[0]);
            self.epilogue.finish_plain(self.isa, start, rows[1] - rows[0], out, columns[1] - columns[0]);
        }
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

/// One row's sums for a run of blocks.
struct Stream<'a> {
    layer: &'a Layer<'a>,
    input: &'a [f32],
    blocks: [usize; 2],
}

impl<'a> Stream<'a> {
    /// # Safety
    /// Nobody else uses these blocks' outputs meanwhile.
    unsafe fn new(layer: &'a Layer<'a>, input: &'a [f32], blocks: [usize; 2]) -> Self {
        Stream { layer, input, blocks }
    }

    /// The sums of `Q` vectors from `block` on.
    ///
    /// # Safety
    /// The vectors' blocks are among those that [`Stream::new`] was given.
    #[inline(always)]
    unsafe fn sums<S: Simd, const Q: usize>(&self, simd: S, block: usize) {
        let layer = self.layer;
        let stride = layer.op.block_len();
        let bias = &layer.packed[block * BLOCK..][..Q * S::LANES];
        let start = layer.op.blocks() * BLOCK + block * stride;
        let weights = &layer.packed[start..][..Q * S::LANES / BLOCK * stride];
        let mut weights = weights.as_ptr();
        let clamp = layer.epilogue.clamp;
        // SAFETY: the weights hold `stride` floats for each of these blocks, 16 of them for each input.
        unsafe {
            let mut sums = [simd.zero(); Q];
            unroll!(J < Q, { sums[J] = simd.load(&bias[J * S::LANES..]) });
            for x in self.input {
                let x = simd.splat_ptr(x);
                unroll!(J < Q, {
                    let at = J * S::LANES / BLOCK * stride + J * S::LANES % BLOCK;
                    if (J * S::LANES).is_multiple_of(BLOCK) {
                        simd.prefetch(weights.wrapping_add(at + AHEAD));
                    }
                    sums[J] = simd.mul_add(x, simd.load_ptr(weights.wrapping_add(at)), sums[J]);
                });
                weights = weights.wrapping_add(BLOCK);
            }
            unroll!(J < Q, { layer.store(simd, [0, block], J * S::LANES, clamped(simd, clamp, sums[J])) });
        }
    }
}

impl Kernel for Stream<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const { assert!(STREAMS == 8) };
        let [mut block, end] = self.blocks;
        // SAFETY: the blocks are ours.
        unsafe {
            while (end - block) * BLOCK >= 8 * S::LANES {
                self.sums::<S, 8>(simd, block);
                block += 8 * S::LANES / BLOCK;
            }
            if const { 4 * S::LANES >= BLOCK } && (end - block) * BLOCK >= 4 * S::LANES {
                self.sums::<S, 4>(simd, block);
                block += 4 * S::LANES / BLOCK;
            }
            if const { 2 * S::LANES >= BLOCK } && (end - block) * BLOCK >= 2 * S::LANES {
                self.sums::<S, 2>(simd, block);
                block += 2 * S::LANES / BLOCK;
            }
            if const { S::LANES >= BLOCK } && block < end {
                self.sums::<S, 1>(simd, block);
            }
        }
    }
}

/// The sums' limits, where the activation is a clamp. The second operand is what a NaN leaves: it stays NaN.
#[inline(always)]
fn clamped<S: Simd>(simd: S, clamp: Option<[f32; 2]>, sum: S::V) -> S::V {
    match clamp {
        Some([low, high]) => simd.min(simd.splat(high), simd.max(simd.splat(low), sum)),
        None => sum,
    }
}

impl Layer<'_> {
    /// Writes what is an output of the vector that starts at lane `lane` of a `[row, block]`.
    ///
    /// # Safety
    /// The row exists, and nobody else uses these outputs meanwhile.
    #[inline(always)]
    unsafe fn store<S: Simd>(&self, simd: S, [row, block]: [usize; 2], lane: usize, sums: S::V) {
        let column = block * BLOCK + lane;
        let out = self.op.out_features;
        // SAFETY: the row's floats from `column` on.
        unsafe {
            let to = self.output.as_ptr().wrapping_add(row * out + column);
            if column + S::LANES <= out {
                simd.store_ptr(sums, to);
            } else if column < out {
                simd.store_ptr_partial(sums, to, out - column);
            }
        }
    }

    /// Reads what has been written so far of a vector, zeros past the last output.
    ///
    /// # Safety
    /// As [`Layer::store`].
    #[inline(always)]
    unsafe fn load<S: Simd>(&self, simd: S, [row, block]: [usize; 2], lane: usize) -> S::V {
        let column = block * BLOCK + lane;
        let out = self.op.out_features;
        // SAFETY: the row's floats from `column` on.
        unsafe {
            let from = self.output.as_ptr().wrapping_add(row * out + column);
            if column + S::LANES <= out {
                simd.load_ptr(from)
            } else {
                simd.load_ptr_partial(from, out.saturating_sub(column))
            }
        }
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
    /// The inputs to sum over; the first slice starts from the bias, the others from the sums so far.
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
            unroll!(J < Q, {
                let bias = simd.load(&bias[J * S::LANES..]);
                unroll!(I < N, { sums[I][J] = bias });
            });
            if !first {
                unroll!(I < N, {
                    if I < count {
                        let row = [tile.rows[0] + I, tile.block];
                        unroll!(J < Q, { sums[I][J] = layer.load(simd, row, J * S::LANES) });
                    }
                });
            }
            let mut weights = weights.as_ptr().wrapping_add(tile.slice[0] * BLOCK);
            // Or the same line again and again.
            let (mut far, far_step) = tile.far.map_or((weights, 0), |far| (far, BLOCK));
            let mut input = tile.input.wrapping_add(tile.slice[0] * N);
            for _ in tile.slice[0]..tile.slice[1] {
                let mut factors = [simd.zero(); Q];
                unroll!(J < Q, {
                    let at = J * S::LANES / BLOCK * stride + J * S::LANES % BLOCK;
                    factors[J] = simd.load_ptr(weights.wrapping_add(at));
                    if (J * S::LANES).is_multiple_of(BLOCK) {
                        simd.prefetch(weights.wrapping_add(at + TILE_AHEAD));
                    }
                });
                unroll!(I < N, {
                    let x = simd.splat_ptr(input.wrapping_add(I));
                    unroll!(J < Q, { sums[I][J] = simd.mul_add(x, factors[J], sums[I][J]) });
                });
                simd.prefetch_far(far);
                far = far.wrapping_add(far_step);
                weights = weights.wrapping_add(BLOCK);
                input = input.wrapping_add(N);
            }
            unroll!(I < N, {
                if I < count {
                    let row = [tile.rows[0] + I, tile.block];
                    unroll!(J < Q, { layer.store(simd, row, J * S::LANES, clamped(simd, clamp, sums[I][J])) });
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

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::inference::testing::Norm;
    use crate::kernels::Linear;
    use crate::kernels::testing::{Tolerance, check, data};
    use crate::reference;

    #[track_caller]
    fn check_linear(inputs: usize, outputs: usize, rows: usize, activation: Option<Activation>) {
        let op = PackedLinear { in_features: inputs, out_features: outputs, activation };
        let (weight, bias, norm) = (data(1, op.weight_len()), data(2, outputs), Norm::new(outputs));
        let input = data(3, rows * inputs);
        let plain = Linear { in_features: inputs, out_features: outputs, rows: 1 };
        let mut packed = vec![f32::NAN; packed_len(&op)];
        let tolerance = Tolerance::absolute(3.0 * Tolerance::sum(inputs + 4).absolute);
        for norm in [None, Some(norm.borrow())] {
            let mut expected = vec![f32::NAN; rows * outputs];
            reference::linear::forward(&plain, &input, &weight, Some(&bias), &mut expected);
            if let Some(norm) = &norm {
                for row in expected.chunks_mut(outputs) {
                    for (i, y) in row.iter_mut().enumerate() {
                        let [factor, addend] = norm.factor_and_addend(i);
                        *y = (f64::from(*y) * factor + addend) as f32;
                    }
                }
            }
            if let Some(activation) = activation {
                let sums = expected.clone();
                reference::activation::forward(activation, &sums, &mut expected);
            }
            pack(&op, &Weights { weight: &weight, bias: Some(&bias), norm }, &mut packed);
            check(&format!("{op:?} x {rows}"), tolerance, [expected], |context, [output]| {
                run(context, &op, &input, &packed, output);
            });
        }
    }

    #[test]
    fn every_number_of_rows() {
        for rows in 0..=45 {
            check_linear(19, 33, rows, None);
        }
    }

    #[test]
    fn every_number_of_outputs() {
        for outputs in (1..=40).chain([63, 64, 65, 127, 128, 129, 143, 144]) {
            for rows in [1, 2, 3, 15] {
                check_linear(7, outputs, rows, Some(Activation::Relu));
            }
        }
    }

    #[test]
    fn slices_bands_and_tasks() {
        for rows in [1, 3, 29, 130] {
            check_linear(4500, 50, rows, Some(Activation::Relu6));
            check_linear(600, 300, rows, None);
        }
        check_linear(1, 1, 1, None);
        check_linear(100, 10, 1000, None);
    }

    #[test]
    fn activations() {
        for activation in [Activation::Tanh, Activation::Sigmoid, Activation::Gelu, Activation::Relu] {
            for (outputs, rows) in [(3, 1), (16, 5), (37, 2), (300, 1), (37, 40)] {
                check_linear(20, outputs, rows, Some(activation));
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        let op = PackedLinear { in_features: 2100, out_features: 37, activation: Some(Activation::Tanh) };
        let (weight, input) = (data(1, op.weight_len()), data(2, 5 * op.in_features));
        let mut packed = vec![0.0; packed_len(&op)];
        pack(&op, &Weights::new(&weight, None), &mut packed);
        for &isa in crate::kernels::testing::isas() {
            let mut context = crate::simd::with_isa(isa, Context::new);
            let mut together = vec![f32::NAN; 5 * 37];
            run(&mut context, &op, &input, &packed, &mut together);
            for (input, together) in input.chunks(op.in_features).zip(together.chunks(37)) {
                let mut alone = [f32::NAN; 37];
                run(&mut context, &op, input, &packed, &mut alone);
                crate::kernels::testing::assert_same_bits(&format!("{isa}"), &alone, together);
            }
        }
    }

    #[test]
    fn nan_stays_nan() {
        let op = PackedLinear { in_features: 3, out_features: 20, activation: Some(Activation::Relu) };
        let mut packed = vec![0.0; packed_len(&op)];
        pack(&op, &Weights::new(&data(1, 60), None), &mut packed);
        for &isa in crate::kernels::testing::isas() {
            let mut context = crate::simd::with_isa(isa, Context::new);
            let mut output = vec![0.0; 40];
            run(&mut context, &op, &[0.0, f32::NAN, 1.0, 1.0, 1.0, 1.0], &packed, &mut output);
            assert!(output[..20].iter().all(|x| x.is_nan()) && output[20..].iter().all(|x| x.is_finite()), "{isa}");
        }
    }
}
