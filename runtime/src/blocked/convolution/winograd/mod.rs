//! Winograd convolution: 3x3 and 5x5 kernels of stride 1 with 2.25 to 4 times fewer multiplications.
//!
//! [`f4`] is F(4x4, 3x3), the fastest where the map is about 13 or wider or the batch large; [`f2`] is F(2x2, 3x3), and [`f2_5x5`] is
//! F(2x2, 5x5), between blocked values. [`planar_input`] is F(2x2, 5x5) from planar inputs of few channels. The input is cut
//! into overlapping tiles (of 6x6 at a distance of 4, or 4x4 at 2), each transformed into 36 (16) numbers per channel; for each of
//! these planes the channels are multiplied by transformed weights, a matrix product over tiles; and the products are transformed
//! back. The formulas are Lavin and Gray's ("Fast algorithms for convolutional neural networks", 2016).
//!
//! Tiles of all samples form one list. It is worked on in blocks of some dozens, so that the transformed inputs stay in the L2 cache,
//! and weights, which are 4 (1.8) times as large as the plain ones, are read once a block. No halo is needed: tiles that reach beyond
//! the stored input see zeros.

mod blocking;
pub mod planar_input;
mod steps;
mod tiles;
mod transform;

use crate::blocked::BLOCK;
use crate::blocked::BlockedConv2d;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::Weights;
use crate::kernels::Context;
use crate::parallel::{self, Disjoint};
use blocking::{Blocking, Schedule};
use steps::Steps;
use tiles::Tiles;
use transform::Variant;

/// Whether an algorithm for square kernels of `size` computes this convolution: stride and dilation 1, one group.
const fn supports(op: &BlockedConv2d, size: usize) -> bool {
    let square = op.kernel[0] == size && op.kernel[1] == size;
    square && matches!((op.stride, op.dilation, op.groups), ([1, 1], [1, 1], 1))
}

macro_rules! algorithm {
    ($(#[$doc:meta])* $name:ident, $variant:ty, $m:literal, $n:literal) => {
        $(#[$doc])*
        pub mod $name {
            use super::transform::{self, Variant};
            use super::{BlockedConv2d, Context, Weights};

            /// Whether the algorithm computes this convolution: its size of kernel, stride and dilation 1, one group.
            pub const fn supports(op: &BlockedConv2d) -> bool {
                super::supports(op, <$variant>::KERNEL)
            }

            /// Floats that [`pack`] writes.
            pub const fn packed_len(op: &BlockedConv2d) -> usize {
                super::packed_len(op, $n * $n)
            }

            /// Transforms and packs the weights (with what [`Weights`] folds in) for [`run`], in f64, rounded once.
            ///
            /// # Panics
            /// When the algorithm does not compute this convolution ([`supports`]), or a slice has not the length that
            /// `op` says.
            pub fn pack(op: &BlockedConv2d, weights: &Weights, packed: &mut [f32]) {
                super::pack::<$m, $n, $variant>(op, weights, packed);
            }

            /// Computes `output` for a batch of samples.
            ///
            /// # Panics
            /// When the algorithm does not compute this convolution ([`supports`]), a slice is no whole number of samples,
            /// the numbers differ, or `packed` has not [`packed_len`] floats.
            pub fn run(
                context: &mut Context,
                op: &BlockedConv2d,
                input: &[f32],
                packed: &[f32],
                residual: Option<&[f32]>,
                output: &mut [f32],
            ) {
                super::run::<$m, $n, $variant>(context, op, input, packed, residual, output);
            }
        }
    };
}

algorithm! {
    /// F(2x2, 3x3): 2.25 times fewer multiplications.
    f2, transform::F2, 2, 4
}
algorithm! {
    /// F(4x4, 3x3): 4 times fewer multiplications.
    f4, transform::F4, 4, 6
}
algorithm! {
    /// F(2x2, 5x5): 2.78 times fewer multiplications.
    f2_5x5, transform::F2Of5, 2, 6
}

const fn packed_len(op: &BlockedConv2d, planes: usize) -> usize {
    op.output.blocks() * BLOCK * (1 + planes * op.input.channels)
}

/// Packed as `[bias][plane][output block][ic][16]`.
fn pack<const M: usize, const N: usize, W: Variant<M, N>>(op: &BlockedConv2d, weights: &Weights, packed: &mut [f32]) {
    let size = W::KERNEL;
    assert!(supports(op, size), "no {size}x{size} convolution of stride 1: {op:?}");
    weights.check(op.weight_len(), op.output.channels);
    assert_eq!(packed.len(), packed_len(op, N * N), "floats of the packed weights");
    let inputs = op.input.channels;
    let (bias, packed) = packed.split_at_mut(op.output.blocks() * BLOCK);
    weights.write_bias(op.output.channels, bias);
    let blocks = op.output.blocks();
    for output in 0..blocks * BLOCK {
        let factor = if output < op.output.channels { weights.factor(output) } else { 0.0 };
        for input in 0..inputs {
            let transformed = if output < op.output.channels {
                W::weight(&weights.weight[(output * inputs + input) * size * size..][..size * size], factor)
            } else {
                [[0.0; N]; N]
            };
            for (plane, &value) in transformed.as_flattened().iter().enumerate() {
                packed[((plane * blocks + output / BLOCK) * inputs + input) * BLOCK + output % BLOCK] = value as f32;
            }
        }
    }
}

fn run<const M: usize, const N: usize, W: Variant<M, N>>(
    context: &mut Context,
    op: &BlockedConv2d,
    input: &[f32],
    packed: &[f32],
    residual: Option<&[f32]>,
    output: &mut [f32],
) {
    let batch = op.check(input, residual, output);
    assert!(supports(op, W::KERNEL), "no {0}x{0} convolution of stride 1: {op:?}", W::KERNEL);
    assert_eq!(packed.len(), packed_len(op, N * N), "floats of the packed weights");
    let isa = context.isa;
    let tiles = Tiles::new(op, M, batch);
    let threads = parallel::threads();
    let blocking = Blocking::new(op, N * N, tiles.count(), threads);
    let epilogue = Epilogue::new(op.activation);
    let steps = Steps { isa, op, tiles, blocking, input, packed, residual, output: Disjoint::new(output), epilogue };
    let blocks = tiles.count().div_ceil(blocking.tiles);
    let (transformed_len, products_len) = (blocking.transformed_len(), blocking.products_len());
    match blocking.schedule {
        // Each thread computes some of the output channels of some blocks. It transforms the inputs for itself: to fetch from another's
        // cache what that has transformed takes longer, and so does waiting for it.
        Schedule::Channels => {
            let each = transformed_len + products_len;
            // Two to a block where there are blocks enough: weights are then read more often, inputs transformed not more than twice.
            let down = (threads / 2).clamp(1, blocks.max(1));
            let across = blocking.groups().min(threads.div_ceil(down));
            let scratch = context.scratch(each * (down * across).min(threads));
            parallel::for_each_scratch(scratch, each, down * across, |scratch, task| {
                let (transformed, products) = scratch.split_at_mut(transformed_len);
                let groups = parallel::part(blocking.groups(), across, task / down);
                let blocks = parallel::part(blocks, down, task % down);
                for block in blocks[0]..blocks[1] {
                    // SAFETY: the buffers are this task's, and so are these channels of these tiles.
                    unsafe {
                        steps.transform::<M, N, W>(block, [0, steps.input_units(block)], transformed.as_mut_ptr());
                        for group in groups[0]..groups[1] {
                            steps.group::<M, N, W>(block, group, transformed.as_ptr(), products.as_mut_ptr());
                        }
                    }
                }
            });
        }
        // Each thread computes blocks of tiles one after another.
        Schedule::Blocks => {
            let each = transformed_len + products_len;
            let scratch = context.scratch(each * blocks.min(threads));
            parallel::for_each_scratch(scratch, each, blocks, |scratch, block| {
                let (transformed, products) = scratch.split_at_mut(transformed_len);
                // SAFETY: the buffers are this task's, and so are these tiles.
                unsafe {
                    steps.transform::<M, N, W>(block, [0, steps.input_units(block)], transformed.as_mut_ptr());
                    for group in 0..blocking.groups() {
                        steps.group::<M, N, W>(block, group, transformed.as_ptr(), products.as_mut_ptr());
                    }
                }
            });
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::Blocked;
    use crate::blocked::testing::{Algorithm, check_convolution, conv};
    use crate::kernels::activation::Activation;

    const F2: Algorithm = Algorithm { packed_len: f2::packed_len, pack: f2::pack, run: f2::run, error: 2.0 };
    const F4: Algorithm = Algorithm { packed_len: f4::packed_len, pack: f4::pack, run: f4::run, error: 6.0 };

    const F2_5X5: Algorithm =
        Algorithm { packed_len: f2_5x5::packed_len, pack: f2_5x5::pack, run: f2_5x5::run, error: 4.0 };

    /// The algorithms for 3x3 kernels, and that for 5x5 with the same output: padding and halo are one more on each side.
    fn check_all(op: &BlockedConv2d, batch: usize) {
        check_convolution(&F2, op, batch);
        check_convolution(&F4, op, batch);
        let mut op = *op;
        op.kernel = [5, 5];
        op.padding = op.padding.map(|padding| padding + 1);
        op.input.halo = op.input.halo.map(|halo| halo + 1);
        check_convolution(&F2_5X5, &op, batch);
    }

    #[test]
    fn every_size() {
        for height in 1..=10 {
            for width in [1, 2, 3, 4, 5, 7, 8, 9, 13, 30, 38] {
                check_all(&conv([3, 17], [height, width], [3, 3], [1, 1]), 1 + height % 2);
            }
        }
    }

    #[test]
    fn channels_and_batches() {
        for input in [1, 16, 17, 40] {
            for output in [1, 16, 33, 80] {
                check_all(&conv([input, output], [6, 7], [3, 3], [1, 1]), 1 + input % 3);
            }
        }
    }

    #[test]
    fn any_padding_and_any_halo() {
        // More halo than padding, less, none at all, and uneven.
        for padding in [[0, 0], [1, 1], [2, 1], [0, 2]] {
            for halo in [[0, 0, 0, 0], [1, 1, 1, 1], [2, 3, 1, 0], [0, 1, 3, 2]] {
                let mut op = conv([5, 6], [7, 9], [3, 3], [1, 1]);
                op.padding = padding;
                op.input.halo = halo;
                op.output = Blocked::new(6, 5 + 2 * padding[0], 7 + 2 * padding[1]);
                check_all(&op, 2);
            }
        }
        let mut op = conv([5, 6], [7, 9], [3, 3], [1, 1]);
        op.output = Blocked::new(6, 8, 7);
        check_all(&op, 1);
    }

    #[test]
    fn fused_residuals_activations_and_slices() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Relu6), Some(Activation::Sigmoid)] {
            for residual in [false, true] {
                let mut op = conv([20, 44], [6, 9], [3, 3], [1, 1]);
                op.activation = activation;
                op.input = op.input.within(1, 4);
                op.output = op.output.with_halo([1, 1, 1, 1]).within(2, 5);
                op.residual = residual.then(|| op.output.with_halo([2, 0, 1, 0]).within(0, 3));
                check_all(&op, 2);
            }
        }
    }

    #[test]
    fn heavy_and_light_weights_in_several_blocks() {
        // 36 x 96 x 112 floats of weights are more than a cache, and 77 tiles more than a block.
        check_all(&conv([96, 112], [26, 41], [3, 3], [1, 1]), 1);
        check_all(&conv([16, 32], [40, 41], [3, 3], [1, 1]), 1);
    }

    #[test]
    fn many_threads_divide_blocks_and_channels() {
        use crate::blocked::testing::blocked;
        use crate::kernels::testing::data;
        // 77 tiles, two blocks, and 7 output blocks: more groups than fall to a thread, and fewer.
        let op = conv([96, 112], [26, 41], [3, 3], [1, 1]);
        let weight = data(1, op.weight_len());
        let mut packed = vec![0.0; f4::packed_len(&op)];
        f4::pack(&op, &Weights::new(&weight, None), &mut packed);
        let input = blocked(&op.input, &data(2, 96 * 26 * 41), 0.0);
        let output = |threads| {
            let mut output = vec![f32::NAN; op.output.sample_len()];
            parallel::with_threads(threads, || f4::run(&mut Context::new(), &op, &input, &packed, None, &mut output));
            output
        };
        let one = output(1);
        assert!(one.iter().all(|x| x.is_finite()));
        for threads in [4, 5, 8, 20] {
            assert!(output(threads) == one, "{threads} threads");
        }
    }

    /// What the algorithms cost in accuracy, on inputs as after a ReLU and weights as He et al. (2015) draw them: the root mean square
    /// of the error over that of the outputs, and the largest error over the same.
    #[test]
    fn accuracy() {
        use crate::blocked::direct;
        use crate::blocked::testing::{blocked, reference};
        use crate::kernels::testing::data_in;
        let small = conv([256, 16], [24, 24], [3, 3], [1, 1]);
        let large = conv([256, 16], [24, 24], [5, 5], [1, 1]);
        let normal = |seed, len: usize| -> Vec<f32> {
            // The sum of twelve uniform numbers has variance 1.
            data_in(seed, 12 * len, -0.5, 0.5).chunks(12).map(|x| x.iter().sum()).collect()
        };
        let planes: Vec<f32> = normal(1, 256 * 24 * 24).iter().map(|x| x.max(0.0)).collect();
        let direct = Algorithm { packed_len: direct::packed_len, pack: direct::pack, run: direct::run, error: 1.0 };
        for (name, op, algorithm, root, largest) in [
            ("direct", &small, &direct, 7e-7, 6e-6),
            ("F(2x2, 3x3)", &small, &F2, 7e-7, 6e-6),
            ("F(4x4, 3x3)", &small, &F4, 1.5e-6, 1.5e-5),
            ("direct, 5x5", &large, &direct, 1.3e-6, 1.3e-5),
            ("F(2x2, 5x5)", &large, &F2_5X5, 2e-6, 1.5e-5),
        ] {
            let taps = (256 * op.kernel[0] * op.kernel[1]) as f32;
            let weight: Vec<f32> = normal(2, op.weight_len()).iter().map(|x| x * (2.0f32 / taps).sqrt()).collect();
            let weights = Weights::new(&weight, None);
            let exact = blocked(&op.output, &reference(op, &planes, &weights, None), 0.0);
            let input = blocked(&op.input, &planes, 0.0);
            let scale = (exact.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / exact.len() as f64).sqrt();
            let mut packed = vec![0.0; (algorithm.packed_len)(op)];
            (algorithm.pack)(op, &weights, &mut packed);
            for &isa in crate::kernels::testing::isas() {
                let mut output = vec![0.0; op.output.sample_len()];
                let mut context = crate::simd::with_isa(isa, Context::new);
                (algorithm.run)(&mut context, op, &input, &packed, None, &mut output);
                let error = |(x, y): (&f32, &f32)| (f64::from(*x) - f64::from(*y)).abs() / scale;
                let errors = || output.iter().zip(&exact).map(error);
                let square = errors().map(|x| x * x).sum::<f64>() / exact.len() as f64;
                let (got, max) = (square.sqrt(), errors().fold(0.0, f64::max));
                println!("{isa} {name}: {got:.1e}, at most {max:.1e}");
                assert!(got < root && max < largest, "{isa} {name}: {got:e}, {max:e}");
            }
        }
    }
}
