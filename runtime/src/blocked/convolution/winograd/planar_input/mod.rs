//! Winograd's algorithms from planar (NCHW) values of a few channels: first layers, and those of tiny networks.
//!
//! [`f2_5x5`] is F(2x2, 5x5). [`f4_7x7`] computes 7x7 kernels of stride 2: even and odd rows and columns are taken apart, which makes four
//! channels of each, and of the kernel four kernels of 4x4 at most, for F(4x4, 4x4).
//!
//! Blocks of 16 channels would be mostly empty, so here vectors lie along the columns while inputs are transformed, and along the output
//! channels afterwards. A row of tiles is worked on at a time, in the first cache: `B^T` is applied to the columns of its rows, of which
//! those as far apart as the tiles are then put together; `B` to the rows of these, the tiles of all channels side by side; the products are
//! sums over the channels, with the inputs broadcast. Weights are packed as `[bias][output block][plane][phase][ic][16]`.

mod rows;

use super::transform::{F2Of5, F4Of4, Variant};
use crate::blocked::convolution::planar_input::{self, Method, PlanarInputConv2d};
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::Weights;
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::simd::{Isa, dispatch};
use core::marker::PhantomData;
use rows::{PRODUCTS, TransformedRows};

/// What of a convolution an algorithm for stride 1 computes: for stride S, S x S phases, each the pixels and the taps S apart.
trait Phases<const M: usize, const N: usize>: Variant<M, N> {
    /// Rows and columns of the whole kernel: at most `STRIDE * KERNEL`.
    const SIZE: usize;
    /// The stride of the whole convolution.
    const STRIDE: usize;

    /// Of the phases down (or across), the first so many have whole kernels. The last tap of the others is zero, and so are their weights
    /// for the point at infinity.
    const FULL: usize = Self::SIZE - Self::STRIDE * (Self::KERNEL - 1);

    /// Input rows that a tile takes beyond those of its outputs' taps: the last phases' kernels end with taps of zero.
    const MORE: usize = Self::STRIDE * Self::KERNEL - Self::SIZE;
}

impl Phases<2, 6> for F2Of5 {
    const SIZE: usize = 5;
    const STRIDE: usize = 1;
}

impl Phases<4, 7> for F4Of4 {
    const SIZE: usize = 7;
    const STRIDE: usize = 2;
}

macro_rules! algorithm {
    ($(#[$doc:meta])* $name:ident, $variant:ty, $m:literal, $n:literal, $distance:literal) => {
        $(#[$doc])*
        pub mod $name {
            use super::*;

            /// Whether the algorithm computes this convolution: its size of kernel and stride, dilation 1.
            pub const fn supports(op: &PlanarInputConv2d) -> bool {
                super::supports(op, <$variant>::SIZE, <$variant>::STRIDE)
            }

            /// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of output channels.
            pub const fn packed_len(op: &PlanarInputConv2d) -> usize {
                super::packed_len(op, $n * $n * <$variant>::STRIDE * <$variant>::STRIDE)
            }

            /// Transforms and packs the weights (with what [`Weights`] folds in) for [`run`], in f64, rounded once.
            ///
            /// # Panics
            /// When the algorithm does not compute this convolution ([`supports`]), or a slice has not the length that `op` says.
            pub fn pack(op: &PlanarInputConv2d, weights: &Weights, packed: &mut [f32]) {
                super::pack::<$m, $n, $variant>(op, weights, packed);
            }

            /// Computes `output` for a batch of samples `[ic, h, w]`.
            ///
            /// # Panics
            /// When the algorithm does not compute this convolution ([`supports`]), a slice is no whole number of samples, the numbers
            /// differ, or `packed` has not [`packed_len`] floats.
            pub fn run(context: &mut Context, op: &PlanarInputConv2d, input: &[f32], packed: &[f32], output: &mut [f32]) {
                super::run::<$m, $n, $distance, $variant>(context, op, input, packed, output);
            }
        }
    };
}

algorithm! {
    /// F(2x2, 5x5): 2.78 times fewer multiplications.
    f2_5x5, F2Of5, 2, 6, 2
}
algorithm! {
    /// F(4x4, 4x4) for the phases of 7x7 kernels of stride 2: 4 times fewer multiplications.
    f4_7x7, F4Of4, 4, 7, 8
}

/// Tiles across that are transformed together at most.
const SEGMENT: usize = 16;

const fn supports(op: &PlanarInputConv2d, size: usize, stride: usize) -> bool {
    let [kernel, strides] = [op.kernel, op.stride];
    let square = kernel[0] == size && kernel[1] == size && strides[0] == stride && strides[1] == stride;
    square && matches!(op.dilation, [1, 1])
}

/// `planes` are those of all phases.
const fn packed_len(op: &PlanarInputConv2d, planes: usize) -> usize {
    op.output.blocks() * BLOCK * (1 + planes * op.input[0])
}

fn pack<const M: usize, const N: usize, W: Phases<M, N>>(
    op: &PlanarInputConv2d,
    weights: &Weights,
    packed: &mut [f32],
) {
    check::<M, N, W>(op);
    let (inputs, outputs) = (op.input[0], op.output.channels);
    let (size, stride, taps) = (W::SIZE, W::STRIDE, W::KERNEL);
    weights.check(op.weight_len(), outputs);
    let phases = stride * stride;
    assert_eq!(packed.len(), packed_len(op, N * N * phases), "floats of the packed weights");
    let (bias, packed) = packed.split_at_mut(op.output.blocks() * BLOCK);
    weights.write_bias(outputs, bias);
    packed.fill(0.0);
    for (output, input) in (0..outputs).flat_map(|output| (0..inputs).map(move |input| (output, input))) {
        let kernel = &weights.weight[(output * inputs + input) * size * size..][..size * size];
        let factor = weights.factor(output);
        for phase in 0..phases {
            // 5x5 at most.
            let mut part = [0.0; 25];
            for (y, x) in (0..taps).flat_map(|y| (0..taps).map(move |x| (y, x))) {
                let [row, column] = [y * stride + phase / stride, x * stride + phase % stride];
                if row < size && column < size {
                    part[y * taps + x] = kernel[row * size + column];
                }
            }
            for (plane, &value) in W::weight(&part, factor).as_flattened().iter().enumerate() {
                let layout = ((output / BLOCK * N * N + plane) * phases + phase) * inputs + input;
                packed[layout * BLOCK + output % BLOCK] = value as f32;
            }
        }
    }
}

/// # Panics
/// When the algorithm does not compute this convolution.
fn check<const M: usize, const N: usize, W: Phases<M, N>>(op: &PlanarInputConv2d) {
    let (size, stride) = (W::SIZE, W::STRIDE);
    assert!(supports(op, size, stride), "no {size}x{size} convolution of stride {stride}: {op:?}");
}

/// Tiles are `D` columns of the input apart.
fn run<const M: usize, const N: usize, const D: usize, W: Phases<M, N>>(
    context: &mut Context,
    op: &PlanarInputConv2d,
    input: &[f32],
    packed: &[f32],
    output: &mut [f32],
) {
    check::<M, N, W>(op);
    assert_eq!(packed.len(), packed_len(op, N * N * W::STRIDE * W::STRIDE), "floats of the packed weights");
    let clamp = Epilogue::new(op.activation).clamp;
    let layout = SegmentLayout::new::<M, N, D, W>(op.input[0], op.convolved(1).div_ceil(M));
    planar_input::bands(
        context,
        op,
        input,
        output,
        &Winograd::<M, N, D, W> { op, packed, isa: context.isa, clamp, layout, variant: PhantomData },
    );
}

/// A run's data.
struct Winograd<'a, const M: usize, const N: usize, const D: usize, W> {
    op: &'a PlanarInputConv2d,
    packed: &'a [f32],
    isa: Isa,
    clamp: Option<[f32; 2]>,
    layout: SegmentLayout,
    variant: PhantomData<W>,
}

/// Where what is between input and output lies in working memory.
#[derive(Clone, Copy)]
struct SegmentLayout {
    /// Tiles of a segment.
    tiles: usize,
    /// Columns of a segment that are a multiple of the tiles' distance apart, of one channel.
    columns: usize,
    /// Those of all channels, in whole vectors, `[ic][columns]`.
    line: usize,
}

impl SegmentLayout {
    fn new<const M: usize, const N: usize, const D: usize, W: Phases<M, N>>(inputs: usize, across: usize) -> Self {
        const { assert!(D == M * W::STRIDE && D.is_power_of_two()) };
        let tiles = across.div_ceil(across.div_ceil(SEGMENT));
        // A tile's last column lies so many distances after its first.
        let columns = tiles + (W::STRIDE * N - 1) / D;
        SegmentLayout { tiles, columns, line: (inputs * columns).next_multiple_of(BLOCK) }
    }

    /// Floats from a line of columns to the next; a vector may begin some after the first.
    const fn part(&self) -> usize {
        self.line + BLOCK
    }
}

impl<const M: usize, const N: usize, const D: usize, W: Phases<M, N>> Winograd<'_, M, N, D, W> {
    /// Floats of `B^T d`: `[row of the tile][phase of the rows][column within a distance][ic][columns]`.
    fn columns_len(&self) -> usize {
        N * W::STRIDE * D * self.layout.part()
    }

    /// Floats of `B^T d B`: `[plane][phase][ic][columns]`.
    fn transformed_len(&self) -> usize {
        N * N * W::STRIDE * W::STRIDE * self.layout.line
    }
}

impl<const M: usize, const N: usize, const D: usize, W: Phases<M, N>> Method for Winograd<'_, M, N, D, W> {
    const EDGE: usize = M;
    const MORE: usize = W::MORE;

    fn scratch(&self) -> usize {
        self.columns_len() + self.transformed_len() + PRODUCTS
    }

    unsafe fn convolve(
        &self,
        to: &Blocked,
        start: *mut f32,
        rows: [usize; 2],
        planes: &[f32],
        strides: [usize; 2],
        scratch: &mut [f32],
    ) {
        let (columns, scratch) = scratch.split_at_mut(self.columns_len());
        let (transformed, products) = scratch.split_at_mut(self.transformed_len());
        assert!(products.len() >= PRODUCTS);
        // SAFETY: the caller's promise.
        let band =
            unsafe { TransformedRows::new(self, to, start, rows, planes, strides, [columns, transformed, products]) };
        dispatch(self.isa, band);
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::maps::pool2x2::Pool2x2;
    use crate::blocked::testing::{PlanarInputAlgorithm, check_planar_input, first_layer};
    use crate::kernels::activation::Activation;

    const F2_5X5: PlanarInputAlgorithm =
        PlanarInputAlgorithm { packed_len: f2_5x5::packed_len, pack: f2_5x5::pack, run: f2_5x5::run, error: 4.0 };
    const F4_7X7: PlanarInputAlgorithm =
        PlanarInputAlgorithm { packed_len: f4_7x7::packed_len, pack: f4_7x7::pack, run: f4_7x7::run, error: 10.0 };

    /// Holds both algorithms against the reference, F(4x4, 4x4) with a kernel one larger on each side, and stride 2.
    #[track_caller]
    fn check_both(
        input: [usize; 3],
        outputs: usize,
        padding: usize,
        change: impl Fn(PlanarInputConv2d) -> PlanarInputConv2d,
        batch: usize,
    ) {
        check_planar_input(&F2_5X5, &change(first_layer(input, outputs, 5, 1, padding)), batch);
        check_planar_input(&F4_7X7, &change(first_layer(input, outputs, 7, 2, padding + 1)), batch);
    }

    #[test]
    fn every_size() {
        // Up to two segments and a bit, of 1 to 8 tiles each time; sizes that end in any part of a tile.
        let same = |op: PlanarInputConv2d| op;
        for width in 7..=72 {
            check_both([1 + width % 7, 7 + width % 6, width], 17, 0, same, 1);
            check_both([3, 4, width], 6, 2, same, 2);
        }
        for width in [120, 127, 131, 270] {
            check_both([3, 9, width], 6, 2, same, 1);
        }
        for height in 1..=16 {
            check_both([6, height, 9], 33, 2, same, 1);
        }
    }

    #[test]
    fn any_padding() {
        for padding in [[0, 0], [1, 0], [0, 3], [4, 1], [2, 5]] {
            let padded = |mut op: PlanarInputConv2d| {
                let out =
                    |axis: usize| (op.input[axis + 1] + 2 * padding[axis] - op.kernel[axis]) / op.stride[axis] + 1;
                op.padding = padding;
                op.output = Blocked::new(20, out(0), out(1));
                op
            };
            check_both([2, 12, 14], 20, 0, padded, 2);
        }
        // Less below and to the right than above and to the left; and outputs that see nothing but padding.
        let uneven = |mut op: PlanarInputConv2d| {
            (op.output.height, op.output.width) = (op.output.height - 1, op.output.width - 1);
            op
        };
        check_both([2, 12, 14], 20, 3, uneven, 1);
        check_both([1, 1, 1], 5, 6, |op| op, 1);
    }

    #[test]
    fn activations_halos_bands_and_batches() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)] {
            let change = |mut op: PlanarInputConv2d| {
                op.activation = activation;
                op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
                op
            };
            check_both([3, 71, 64], 40, 2, change, 3);
        }
        check_both([7, 100, 130], 32, 2, |op| op, 1);
    }

    #[test]
    fn pools() {
        for pool in [Pool2x2::Max, Pool2x2::Mean] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Tanh)] {
                for width in (9..=34).chain([71]) {
                    let change = |op: PlanarInputConv2d| op.pooled(pool, activation);
                    check_both(
                        [1 + width % 7, 9 + width % 2, width],
                        1 + width,
                        2 * (width % 2),
                        change,
                        1 + width % 2,
                    );
                }
                let change = |op: PlanarInputConv2d| {
                    let mut op = op.pooled(pool, activation);
                    op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
                    op
                };
                check_both([3, 70, 90], 40, 2, change, 2);
            }
        }
    }

    /// What F(4x4, 4x4) costs in accuracy on a first layer: the root mean square of the error over that of the outputs.
    #[test]
    fn accuracy() {
        use crate::blocked::BlockedConv2d;
        use crate::blocked::testing::{blocked, conv, reference};
        use crate::kernels::testing::data_in;
        let op = first_layer([3, 64, 64], 16, 7, 2, 3);
        let same: BlockedConv2d = conv([3, 16], [64, 64], [7, 7], [2, 2]);
        let [input, weight] =
            [(1, op.input_len()), (2, op.weight_len())].map(|(seed, len)| data_in(seed, len, -1.0, 1.0));
        let weights = Weights::new(&weight, None);
        let exact = blocked(&op.output, &reference(&same, &input, &weights, None), 0.0);
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        let scale = norm(&mut exact.iter().map(|&x| f64::from(x)));
        let direct = PlanarInputAlgorithm {
            packed_len: planar_input::packed_len,
            pack: planar_input::pack,
            run: planar_input::run,
            error: 1.0,
        };
        for (name, algorithm, bound) in [("direct", &direct, 4e-7), ("F(4x4, 7x7/2)", &F4_7X7, 2e-6)] {
            let mut packed = vec![0.0; (algorithm.packed_len)(&op)];
            (algorithm.pack)(&op, &weights, &mut packed);
            for &isa in crate::kernels::testing::isas() {
                let mut context = crate::simd::with_isa(isa, Context::new);
                let mut output = vec![0.0; op.output.sample_len()];
                (algorithm.run)(&mut context, &op, &input, &packed, &mut output);
                let errors = output.iter().zip(&exact).map(|(&x, &y)| f64::from(x) - f64::from(y));
                let error = norm(&mut errors.into_iter()) / scale;
                println!("{isa} {name}: {error:.1e}");
                assert!(error < bound, "{isa} {name}: {error:e}");
            }
        }
    }
}
