//! A batch norm that no convolution takes in: a factor and an addend for every channel.

use crate::blocked::bands::Bands;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::folding::BatchNorm;
use crate::blocked::rows::{Rows, RowsMut};
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::kernels::activation::Activation;
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
    let (isa, to) = (context.isa, &op.output);
    let epilogue = Epilogue::new(op.activation);
    let (factors, addends) = packed.split_at(to.blocks() * BLOCK);
    Bands::new(batch, to.blocks(), to.height, 2 * to.width * BLOCK).write(to, output, |band, mut rows| {
        let [factors, addends] = [factors, addends].map(|values| &values[band[1] * BLOCK..][..BLOCK]);
        dispatch(
            isa,
            Affine { from: Rows::of(&op.input, input, band), to: &mut rows, factors, addends, clamp: epilogue.clamp },
        );
        epilogue.finish(isa, rows, to.block_channels(band[1]));
    });
}

/// Rows of one block.
struct Affine<'a, 'b> {
    from: Rows<'a>,
    to: &'a mut RowsMut<'b>,
    /// One for each lane.
    factors: &'a [f32],
    addends: &'a [f32],
    clamp: Option<[f32; 2]>,
}

impl Kernel for Affine<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Affine { from, to, factors, addends, clamp } = self;
        let [low, high] = clamp.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]).map(|limit| simd.splat(limit));
        for row in 0..to.count() {
            let pixels = to.row(row).chunks_exact_mut(BLOCK).zip(from.row(row).chunks_exact(BLOCK));
            for (to, from) in pixels {
                for lane in (0..BLOCK).step_by(S::LANES) {
                    let [x, factor, addend] = [from, factors, addends].map(|values| simd.load(&values[lane..]));
                    // The second operand is what a NaN leaves: it stays NaN.
                    let y = simd.min(high, simd.max(low, simd.mul_add(x, factor, addend)));
                    simd.store(y, &mut to[lane..]);
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
