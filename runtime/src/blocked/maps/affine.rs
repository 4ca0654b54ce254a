//! A batch norm that no convolution takes in: a factor and an addend for every channel.

use crate::blocked::bands::Bands;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::BatchNorm;
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::kernels::activation::Activation;
use crate::parallel::Disjoint;
use crate::simd::{Kernel, Simd, dispatch};

/// A batch norm in evaluation mode, with its activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockedAffine {
    /// The input. Its halo is not read.
    pub input: Blocked,
    /// The output, of the same size. Its halo is not written.
    pub output: Blocked,
    /// The activation, applied last.
    pub activation: Option<Activation>,
}

/// Floats that [`pack`] writes: factors and addends, filled up to whole blocks of channels.
pub const fn packed_len(op: &BlockedAffine) -> usize {
    2 * op.output.blocks() * BLOCK
}

/// Packs the batch norm for [`run`], in f64, rounded once.
///
/// # Panics
/// When a slice has not the length that `op` says.
pub fn pack(op: &BlockedAffine, norm: &BatchNorm, packed: &mut [f32]) {
    let channels = op.output.channels;
    norm.check(channels);
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let (factors, addends) = packed.split_at_mut(op.output.blocks() * BLOCK);
    for (channel, (factor, addend)) in factors.iter_mut().zip(addends).enumerate() {
        let both = if channel < channels { norm.factor_and_addend(channel) } else { [0.0; 2] };
        [*factor, *addend] = both.map(|value| value as f32);
    }
}

/// Computes `output` for a batch of samples.
///
/// # Panics
/// When the values' sizes differ, a slice is no whole number of samples, or `packed` has not [`packed_len`] floats.
pub fn run(context: &mut Context, op: &BlockedAffine, input: &[f32], packed: &[f32], output: &mut [f32]) {
    let batch = op.input.same_size(&op.output, input.len(), output.len());
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let (from, to) = (&op.input, &op.output);
    let isa = context.isa;
    let epilogue = Epilogue::new(op.activation);
    let output = Disjoint::new(output);
    Bands::new(batch, to.blocks(), to.height, 2 * to.width * BLOCK).for_each(|sample, block, rows| {
        let start = sample * from.sample_len() + from.offset(block, rows[0], 0);
        let band = AffineRows {
            input: input[start..].as_ptr(),
            input_row: from.row_len(),
            // SAFETY: within the sample.
            output: unsafe { output.as_ptr().add(sample * to.sample_len() + to.offset(block, rows[0], 0)) },
            output_row: to.row_len(),
            rows: rows[1] - rows[0],
            width: to.width,
            factors: &packed[block * BLOCK..][..BLOCK],
            addends: &packed[(to.blocks() + block) * BLOCK..][..BLOCK],
            clamp: epilogue.clamp,
        };
        dispatch(isa, band);
        // SAFETY: a sample of the output, of which these rows are the task's.
        unsafe {
            let sample = output.as_ptr().add(sample * to.sample_len());
            epilogue.finish(isa, to, sample, block, rows, [0, to.width]);
        }
    });
}

/// Rows of one block. Only [`run`] makes one, with pointers to the first pixel of as many rows, and no two with the same outputs.
struct AffineRows<'a> {
    input: *const f32,
    input_row: usize,
    output: *mut f32,
    output_row: usize,
    rows: usize,
    width: usize,
    factors: &'a [f32],
    addends: &'a [f32],
    clamp: Option<[f32; 2]>,
}

impl Kernel for AffineRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [low, high] = self.clamp.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]).map(|limit| simd.splat(limit));
        for lane in (0..BLOCK).step_by(S::LANES) {
            let (factor, addend) = (simd.load(&self.factors[lane..]), simd.load(&self.addends[lane..]));
            for row in 0..self.rows {
                for pixel in 0..self.width {
                    // SAFETY: pixels of both.
                    unsafe {
                        let x = simd.load_ptr(self.input.add(row * self.input_row + pixel * BLOCK + lane));
                        // The second operand is what a NaN leaves: it stays NaN.
                        let y = simd.min(high, simd.max(low, simd.mul_add(x, factor, addend)));
                        simd.store_ptr(y, self.output.add(row * self.output_row + pixel * BLOCK + lane));
                    }
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::{Norm, blocked, laid_out};
    use crate::kernels::testing::{Tolerance, check, data};

    fn check_affine(channels: usize, [height, width]: [usize; 2], activation: Option<Activation>) {
        let norm = Norm::new(channels);
        let plain =
            crate::kernels::BatchNorm { channels, inner: height * width, eps: norm.borrow().eps, momentum: 0.1 };
        for batch in [1, 3] {
            let [input, output] = laid_out([[channels, height, width]; 2], batch > 1);
            let op = BlockedAffine { input, output, activation };
            let data = data(1, batch * channels * height * width);
            let mut expected = vec![f32::NAN; data.len()];
            let all = norm.borrow();
            crate::reference::batch_norm::forward(
                &plain,
                &data,
                all.weight,
                all.bias,
                all.mean,
                all.variance,
                &mut expected,
            );
            if let Some(activation) = activation {
                let sums = expected.clone();
                crate::reference::activation::forward(activation, &sums, &mut expected);
            }
            let mut packed = vec![f32::NAN; packed_len(&op)];
            pack(&op, &norm.borrow(), &mut packed);
            let data = blocked(&input, &data, f32::NAN);
            let expected = blocked(&output, &expected, f32::NAN);
            let tolerance = Tolerance::absolute(3e-6).with_special();
            check(&format!("{op:?} x {batch}"), tolerance, [expected], |context, [output]| {
                run(context, &op, &data, &packed, output);
            });
        }
    }

    #[test]
    fn channels_sizes_and_activations() {
        for activation in
            [None, Some(Activation::Relu), Some(Activation::Relu6), Some(Activation::Sigmoid), Some(Activation::Gelu)]
        {
            for channels in [1, 7, 15, 16, 17, 32, 40] {
                check_affine(channels, [3, 5], activation);
            }
            check_affine(20, [1, 1], activation);
            check_affine(20, [120, 130], activation);
        }
    }
}
