//! Channels of one element each, as in `torch.nn.BatchNorm1d` after a linear layer: vectors run along the channels.

use super::{Backward, Train, slopes, value};
use crate::kernels::window::{load, store};
use crate::simd::{BLOCK, Simd};

/// Channels that a task takes at least: as many as a few cache lines of every sample hold.
pub(super) const CHANNELS: usize = 64;

/// Samples whose values are added in single precision.
const ROWS: usize = 64;

/// A number for every lane.
type Lanes<T> = [T; BLOCK];

/// `y = (x - mean) * scale + bias` for whole samples.
#[inline(always)]
pub(super) fn affine<S: Simd>(
    simd: S,
    input: &[f32],
    mean: &[f32],
    scales: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let channels = mean.len();
    for (x, y) in input.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
        for (j, (x, y)) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)).enumerate() {
            let range = j * S::LANES..j * S::LANES + x.len();
            let centred = simd.sub(simd.load_partial(x), simd.load_partial(&mean[range.clone()]));
            let shift = match bias {
                Some(bias) => simd.load_partial(&bias[range.clone()]),
                None => simd.zero(),
            };
            simd.store_partial(simd.mul_add(centred, simd.load_partial(&scales[range]), shift), y);
        }
    }
}

/// Adds the lanes of a vector to sums in double precision.
#[inline(always)]
fn add_lanes<S: Simd>(simd: S, vector: S::V, sums: &mut Lanes<f64>) {
    let mut lanes = [0.0; BLOCK];
    simd.store(vector, &mut lanes);
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum += f64::from(lane);
    }
}

/// The sum over the samples of the values in the channels from `c` on, `count <= LANES` of them.
#[inline(always)]
fn sums<S: Simd>(simd: S, x: &[f32], channels: usize, c: usize, count: usize) -> Lanes<f64> {
    let mut sums = [0.0; BLOCK];
    for x in x.chunks(ROWS * channels) {
        let mut sum = simd.zero();
        for x in x.chunks_exact(channels) {
            sum = simd.add(sum, simd.load_partial(&x[c..c + count]));
        }
        add_lanes(simd, sum, &mut sums);
    }
    sums
}

/// The sums of the deviations from `centre`, and of their squares.
#[inline(always)]
fn deviations<S: Simd>(
    simd: S,
    x: &[f32],
    channels: usize,
    c: usize,
    count: usize,
    centre: S::V,
) -> (Lanes<f64>, Lanes<f64>) {
    let (mut sums, mut squares) = ([0.0; BLOCK], [0.0; BLOCK]);
    for x in x.chunks(ROWS * channels) {
        let (mut sum, mut square) = (simd.zero(), simd.zero());
        for x in x.chunks_exact(channels) {
            let deviation = simd.sub(simd.load_partial(&x[c..c + count]), centre);
            sum = simd.add(sum, deviation);
            square = simd.mul_add(deviation, deviation, square);
        }
        add_lanes(simd, sum, &mut sums);
        add_lanes(simd, square, &mut squares);
    }
    (sums, squares)
}

/// The sums of `dy`, and of `dy * (x - centre)`.
#[inline(always)]
fn products<S: Simd>(
    simd: S,
    dy: &[f32],
    x: &[f32],
    channels: usize,
    c: usize,
    count: usize,
    centre: S::V,
) -> (Lanes<f64>, Lanes<f64>) {
    let (mut sums, mut products) = ([0.0; BLOCK], [0.0; BLOCK]);
    for (dy, x) in dy.chunks(ROWS * channels).zip(x.chunks(ROWS * channels)) {
        let (mut sum, mut product) = (simd.zero(), simd.zero());
        for (dy, x) in dy.chunks_exact(channels).zip(x.chunks_exact(channels)) {
            let dy = simd.load_partial(&dy[c..c + count]);
            sum = simd.add(sum, dy);
            product = simd.mul_add(dy, simd.sub(simd.load_partial(&x[c..c + count]), centre), product);
        }
        add_lanes(simd, sum, &mut sums);
        add_lanes(simd, product, &mut products);
    }
    (sums, products)
}

/// The statistics of a range of channels, and their values normalised; see [`super::forward_train`].
#[inline(always)]
pub(super) fn train<S: Simd>(simd: S, mut task: Train<'_>) {
    let channels = task.op.channels;
    let batch = task.input.len() / channels;
    let samples = batch as f64;
    for c in task.channels.clone().step_by(S::LANES) {
        let count = (task.channels.end - c).min(S::LANES);
        let sums = sums(simd, task.input, channels, c, count);
        let centres: Lanes<f32> = core::array::from_fn(|i| (sums[i] / samples) as f32);
        // The corrected two-pass algorithm; see `statistics::moments`.
        let (off, squares) = deviations(simd, task.input, channels, c, count, simd.load(&centres));
        let [mut means, mut scales, mut shifts] = [[0.0; BLOCK]; 3];
        for i in 0..count {
            let mean = f64::from(centres[i]) + off[i] / samples;
            let at = c - task.channels.start + i;
            task.statistics.set(simd, task.op, at, samples, mean, squares[i] - off[i] * off[i] / samples);
            means[i] = task.statistics.means[at];
            scales[i] = task.statistics.scales[at] * value(task.weight, c + i, 1.0);
            shifts[i] = value(task.bias, c + i, 0.0);
        }
        let (mean, scale, shift) = (simd.load(&means), simd.load(&scales), simd.load(&shifts));
        for n in 0..batch {
            let range = n * channels + c..n * channels + c + count;
            // SAFETY: no other task has these channels, and a range has `count` elements.
            unsafe {
                let x = load(simd, task.input[range.clone()].as_ptr(), count);
                let y = simd.mul_add(simd.sub(x, mean), scale, shift);
                store(simd, y, task.output.slice(range).as_mut_ptr(), count);
            }
        }
    }
}

/// The gradients of a range of channels; see [`super::backward`].
#[inline(always)]
pub(super) fn backward<S: Simd>(simd: S, mut task: Backward<'_>) {
    let channels = task.op.channels;
    let batch = task.input.len() / channels;
    let samples = batch as f64;
    for c in task.channels.clone().step_by(S::LANES) {
        let count = (task.channels.end - c).min(S::LANES);
        let centre = simd.load_partial(&task.saved[c..c + count]);
        let (sums, products) = products(simd, task.grad_output, task.input, channels, c, count, centre);
        let [mut factors, mut slants, mut shifts] = [[0.0; BLOCK]; 3];
        for i in 0..count {
            let scale = task.saved[channels + c + i];
            if let Some((weight, bias)) = &mut task.parameters {
                let at = c - task.channels.start + i;
                weight[at] = (products[i] * f64::from(scale)) as f32;
                bias[at] = sums[i] as f32;
            }
            let weight = value(task.weight, c + i, 1.0);
            let slopes = slopes(weight, task.saved[c + i], scale, sums[i] / samples, products[i] / samples);
            (factors[i], slants[i], shifts[i]) = (slopes.scale, slopes.slope, slopes.shift);
        }
        let Some(grad_input) = &task.grad_input else { continue };
        let (factor, slant, shift) = (simd.load(&factors), simd.load(&slants), simd.load(&shifts));
        for n in 0..batch {
            let range = n * channels + c..n * channels + c + count;
            // SAFETY: no other task has these channels, and a range has `count` elements.
            unsafe {
                let dy = load(simd, task.grad_output[range.clone()].as_ptr(), count);
                let centred = simd.sub(load(simd, task.input[range.clone()].as_ptr(), count), centre);
                let dx = simd.neg_mul_add(centred, slant, simd.sub(simd.mul(dy, factor), shift));
                store(simd, dx, grad_input.slice(range).as_mut_ptr(), count);
            }
        }
    }
}
