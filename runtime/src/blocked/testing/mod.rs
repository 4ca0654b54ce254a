//! How the blocked convolutions are held against a plain one, in f64 and NCHW.

mod planar_input;

pub(crate) use planar_input::{PlanarInputAlgorithm, check_planar_input, first_layer};

use super::{BLOCK, BatchNorm, Blocked, BlockedConv2d, OnBlocked, Pool2x2, Weights};
use crate::kernels::Context;
use crate::kernels::testing::{Tolerance, check, data, data_in};

/// A sample's values `[c, h, w]` laid out as `value` says, for each sample of `nchw`. The halo holds `halo`; blocks of the buffer
/// that are not the value's hold NaN.
pub(crate) fn blocked(value: &Blocked, nchw: &[f32], halo: f32) -> Vec<f32> {
    let plane = value.height * value.width;
    let batch = nchw.len() / (value.channels * plane);
    let mut buffer = vec![f32::NAN; batch * value.sample_len()];
    for (sample, buffer) in buffer.chunks_mut(value.sample_len()).enumerate() {
        let ours = value.first_block * value.plane_len()..(value.first_block + value.blocks()) * value.plane_len();
        buffer[ours].fill(halo);
        for channel in 0..value.blocks() * BLOCK {
            for pixel in 0..plane {
                let at = value.offset(channel / BLOCK, pixel / value.width, pixel % value.width) + channel % BLOCK;
                buffer[at] = match channel < value.channels {
                    true => nchw[(sample * value.channels + channel) * plane + pixel],
                    false => 0.0,
                };
            }
        }
    }
    buffer
}

/// The statistics and parameters of a batch norm, whose factors are between 0.3 and 1.5.
pub(crate) struct Norm([Vec<f32>; 4]);

impl Norm {
    pub fn new(channels: usize) -> Self {
        let in_range = |seed, low, high| data_in(seed, channels, low, high);
        Norm([in_range(5, 0.5, 1.5), in_range(4, -1.0, 1.0), in_range(7, -0.5, 0.5), in_range(8, 1.0, 2.0)])
    }

    pub fn borrow(&self) -> BatchNorm<'_> {
        let [weight, bias, mean, variance] = &self.0;
        BatchNorm { weight: Some(weight), bias: Some(bias), mean, variance, eps: 1e-2 }
    }
}

/// A convolution with everything fused, from NCHW to NCHW.
pub(crate) fn reference(op: &BlockedConv2d, input: &[f32], weights: &Weights, residual: Option<&[f32]>) -> Vec<f32> {
    let (from, to) = (&op.input, &op.output);
    let (inputs, outputs) = (op.group_inputs(), op.group_outputs());
    let [kh, kw] = op.kernel;
    let input_len = from.channels * from.height * from.width;
    let mut output = vec![];
    for (sample, input) in input.chunks(input_len).enumerate() {
        for oc in 0..to.channels {
            for y in 0..to.height {
                for x in 0..to.width {
                    let mut sum = 0.0;
                    for ic in 0..inputs {
                        for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                            let iy = (y * op.stride[0] + ky * op.dilation[0]).wrapping_sub(op.padding[0]);
                            let ix = (x * op.stride[1] + kx * op.dilation[1]).wrapping_sub(op.padding[1]);
                            if iy < from.height && ix < from.width {
                                let channel = oc / outputs * inputs + ic;
                                let value = input[(channel * from.height + iy) * from.width + ix];
                                let weight = weights.weight[((oc * inputs + ic) * kh + ky) * kw + kx];
                                sum += f64::from(value) * f64::from(weight);
                            }
                        }
                    }
                    let of = |values: Option<&[f32]>, default| values.map_or(default, |values| f64::from(values[oc]));
                    sum += of(weights.bias, 0.0);
                    if let Some(norm) = &weights.norm {
                        let deviation = (f64::from(norm.variance[oc]) + f64::from(norm.eps)).sqrt();
                        sum = (sum - f64::from(norm.mean[oc])) / deviation * of(norm.weight, 1.0) + of(norm.bias, 0.0);
                    }
                    if let Some(residual) = residual {
                        sum += f64::from(residual[((sample * to.channels + oc) * to.height + y) * to.width + x]);
                    }
                    output.push(sum as f32);
                }
            }
        }
    }
    if let Some(activation) = op.activation {
        let sums = output.clone();
        crate::reference::activation::forward(activation, &sums, &mut output);
    }
    output
}

/// Values of these sizes: as small as can be, or slices of larger buffers with halos.
pub(crate) fn laid_out(sizes: [[usize; 3]; 2], sliced: bool) -> [Blocked; 2] {
    let [from, to] = sizes.map(|[channels, height, width]| Blocked::new(channels, height, width));
    if sliced {
        let (a, b) = (from.blocks(), to.blocks());
        [from.with_halo([1, 2, 0, 1]).within(1, a + 2), to.with_halo([0, 1, 2, 0]).within(2, b + 3)]
    } else {
        [from, to]
    }
}

/// Inputs and output rows and columns of adaptive pools: one window, windows alike, unlike, and smaller than one pixel.
pub(crate) const ADAPTIVE: [([usize; 3], [usize; 2]); 10] = [
    ([1, 7, 7], [1, 1]),
    ([40, 7, 7], [1, 1]),
    ([16, 1, 1], [1, 1]),
    ([17, 14, 28], [7, 7]),
    ([5, 13, 17], [6, 6]),
    ([33, 3, 2], [7, 7]),
    ([20, 10, 11], [1, 11]),
    ([20, 11, 10], [11, 1]),
    ([31, 6, 40], [3, 5]),
    ([24, 120, 130], [60, 26]),
];

/// Holds a layer on blocked values against the reference on every instruction set. Halos hold NaN, which nobody may read.
#[track_caller]
pub(crate) fn check_layer<T: Copy + std::fmt::Debug>(
    layer: T,
    sizes: [[usize; 3]; 2],
    tolerance: Tolerance,
    run: fn(&mut Context, &OnBlocked<T>, &[f32], &mut [f32]),
    reference: impl Fn(&T, &[f32], &mut [f32]),
) {
    for batch in [1, 3] {
        let [input, output] = laid_out(sizes, batch > 1);
        let [from, to] = sizes.map(|size| batch * size.iter().product::<usize>());
        let nchw = data(1, from);
        let mut expected = vec![f32::NAN; to];
        reference(&layer, &nchw, &mut expected);
        let data = blocked(&input, &nchw, f32::NAN);
        let expected = blocked(&output, &expected, f32::NAN);
        let op = OnBlocked { layer, input, output };
        check(&format!("{op:?} x {batch}"), tolerance.with_special(), [expected], |context, [output]| {
            run(context, &op, &data, output);
        });
    }
}

/// A convolution with padding on all sides and a halo that is just enough; `size` is the input's.
pub(crate) fn conv(channels: [usize; 2], size: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> BlockedConv2d {
    let padding = [kernel[0] / 2, kernel[1] / 2];
    let out = |i: usize| (size[i] + 2 * padding[i] - kernel[i]) / stride[i] + 1;
    BlockedConv2d {
        input: Blocked::new(channels[0], size[0], size[1]).with_halo([padding[0], padding[1], padding[0], padding[1]]),
        output: Blocked::new(channels[1], out(0), out(1)),
        kernel,
        stride,
        padding,
        dilation: [1, 1],
        groups: 1,
        residual: None,
        activation: None,
    }
}

/// The packing and the running of an algorithm.
pub(crate) struct Algorithm {
    pub packed_len: fn(&BlockedConv2d) -> usize,
    pub pack: fn(&BlockedConv2d, &Weights, &mut [f32]),
    #[allow(clippy::type_complexity)]
    pub run: fn(&mut Context, &BlockedConv2d, &[f32], &[f32], Option<&[f32]>, &mut [f32]),
    /// The error of one output in units of that of a plain sum in f32.
    pub error: f32,
}

/// Holds `algorithm` against the reference on every instruction set, with a bias and a batch norm.
#[track_caller]
pub(crate) fn check_convolution(algorithm: &Algorithm, op: &BlockedConv2d, batch: usize) {
    let (from, to) = (&op.input, &op.output);
    let input = data(1, batch * from.channels * from.height * from.width);
    let weight = data(2, op.weight_len());
    let (bias, norm) = (data(3, to.channels), Norm::new(to.channels));
    let weights = Weights { weight: &weight, bias: Some(&bias), norm: Some(norm.borrow()) };
    let residual = op.residual.map(|_| data(6, batch * to.channels * to.height * to.width));
    let output = reference(op, &input, &weights, residual.as_deref());

    let mut packed = vec![f32::NAN; (algorithm.packed_len)(op)];
    (algorithm.pack)(op, &weights, &mut packed);
    assert!(packed.iter().all(|x| x.is_finite()), "{op:?}: packed weights that were not written");
    let input = blocked(from, &input, 0.0);
    let residual = op.residual.map(|value| blocked(&value, &residual.unwrap(), f32::NAN));
    // The halo and other values' blocks are to stay the NaN that they are before.
    let expected = blocked(to, &output, f32::NAN);
    let terms = op.group_inputs() * op.kernel[0] * op.kernel[1] + 4;
    let tolerance = Tolerance::absolute(algorithm.error * 2.0 * Tolerance::sum(terms).absolute).with_special();
    check(&format!("{op:?} x {batch}"), tolerance, [expected], |context, [output]| {
        (algorithm.run)(context, op, &input, &packed, residual.as_deref(), output);
    });
    // Without anything to fold in.
    (algorithm.pack)(op, &Weights::new(&weight, None), &mut packed);
    assert!(packed[..to.channels].iter().all(|&x| x == 0.0), "{op:?}: a bias from nowhere");
}

/// The pool of 2x2 pixels of planes whose rows have `2 * width` columns; of any number of them, since rows come in pairs.
pub(crate) fn pool_reference(pool: Option<Pool2x2>, width: usize, planes: Vec<f32>) -> Vec<f32> {
    let Some(pool) = pool else { return planes };
    let rows = planes.chunks_exact(4 * width);
    let pooled = |pair: &[f32], x: usize| {
        let window = [pair[2 * x], pair[2 * x + 1], pair[2 * width + 2 * x], pair[2 * width + 2 * x + 1]];
        match pool {
            Pool2x2::Max => window.into_iter().fold(f32::NEG_INFINITY, f32::max),
            Pool2x2::Mean => window.iter().sum::<f32>() / 4.0,
        }
    };
    rows.flat_map(|pair| (0..width).map(move |x| pooled(pair, x))).collect()
}
