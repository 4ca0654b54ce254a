//! Sums and products of blocked values: residual connections that no convolution takes in, and gates.

use crate::blocked::bands::Bands;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::rows::{Rows, RowsMut};
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::kernels::activation::Activation;
use crate::simd::{Kernel, Simd, dispatch};

/// Values that are added or multiplied pixel by pixel, with an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockedCombine {
    /// Whether they are multiplied; else they are added.
    pub product: bool,
    /// The inputs, one at least, as many channels each as the output. An input of one row or one column stands for as many as the output
    /// has. The halos are not read.
    pub inputs: &'static [Blocked],
    /// The output. Its halo is not written.
    pub output: Blocked,
    /// The activation, applied last.
    pub activation: Option<Activation>,
}

/// Computes `output` for a batch of samples: inputs are taken in order, as Python's `a + b + c` does.
///
/// # Panics
/// When a size or the number of the inputs does not fit, or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &BlockedCombine, inputs: &[&[f32]], output: &mut [f32]) {
    let to = &op.output;
    let batch = to.batch(output.len());
    assert!(!inputs.is_empty() && inputs.len() == op.inputs.len(), "as many inputs as the descriptor names");
    for (value, data) in op.inputs.iter().zip(inputs) {
        assert_eq!(batch, value.batch(data.len()), "input and output hold different numbers of samples");
        assert!(
            value.channels == to.channels
                && (value.height == to.height || value.height == 1)
                && (value.width == to.width || value.width == 1),
            "an input that does not broadcast to the output: {op:?}"
        );
    }
    let isa = context.isa;
    let epilogue = Epilogue::new(op.activation);
    let moved = (op.inputs.len() + 1) * to.width * BLOCK;
    Bands::new(batch, to.blocks(), to.height, moved).write(to, output, |[sample, block, first], mut rows| {
        let operand = |index: usize| {
            let value = &op.inputs[index];
            let first = if value.height == 1 { 0 } else { first };
            Operand {
                rows: Rows::of(value, inputs[index], [sample, block, first]),
                spread: [value.height == 1, value.width == 1],
            }
        };
        // Two at a time: the sums so far are in the first cache.
        let last = inputs.len() - 1;
        for index in 1.min(last)..=last {
            let clamp = if index == last { epilogue.clamp } else { None };
            let left = (index == 1).then(|| operand(0));
            let to = &mut rows;
            match (last, op.product) {
                (0, _) => dispatch(isa, Combine::<COPY> { left, right: operand(index), to, clamp }),
                (_, false) => dispatch(isa, Combine::<SUM> { left, right: operand(index), to, clamp }),
                (_, true) => dispatch(isa, Combine::<PRODUCT> { left, right: operand(index), to, clamp }),
            }
        }
        epilogue.finish(isa, rows, to.block_channels(block));
    });
}

/// One side of a sum or product.
#[derive(Clone, Copy)]
struct Operand<'a> {
    rows: Rows<'a>,
    /// Whether one row, and one pixel of a row, stands for all.
    spread: [bool; 2],
}

impl<'a> Operand<'a> {
    #[inline(always)]
    fn row(&self, index: usize) -> &'a [f32] {
        self.rows.row(if self.spread[0] { 0 } else { index })
    }

    /// From a pixel to the next.
    #[inline(always)]
    fn stride(&self) -> usize {
        if self.spread[1] { 0 } else { BLOCK }
    }
}

const SUM: u8 = 0;
const PRODUCT: u8 = 1;
/// The right side alone.
const COPY: u8 = 2;

/// Rows of one block. Without a left side, what is in `to` is it.
struct Combine<'a, 'b, const HOW: u8> {
    left: Option<Operand<'a>>,
    right: Operand<'a>,
    to: &'a mut RowsMut<'b>,
    clamp: Option<[f32; 2]>,
}

impl<const HOW: u8> Kernel for Combine<'_, '_, HOW> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Combine { left, right, to, clamp } = self;
        let [low, high] = clamp.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]).map(|limit| simd.splat(limit));
        for index in 0..to.count() {
            let to = to.row(index);
            let b = right.row(index);
            let finish = |a: S::V, b: S::V| {
                let y = match HOW {
                    SUM => simd.add(a, b),
                    PRODUCT => simd.mul(a, b),
                    _ => b,
                };
                // The second operand is what a NaN leaves: it stays NaN.
                simd.min(high, simd.max(low, y))
            };
            let (mut at_a, mut at_b) = (0, 0);
            if let Some(left) = &left {
                let a = left.row(index);
                for to in to.chunks_exact_mut(BLOCK) {
                    let (a, b) = (&a[at_a..at_a + BLOCK], &b[at_b..at_b + BLOCK]);
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        simd.store(finish(simd.load(&a[lane..]), simd.load(&b[lane..])), &mut to[lane..]);
                    }
                    (at_a, at_b) = (at_a + left.stride(), at_b + right.stride());
                }
            } else {
                for to in to.chunks_exact_mut(BLOCK) {
                    let b = &b[at_b..at_b + BLOCK];
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        let a = if HOW == COPY { simd.zero() } else { simd.load(&to[lane..]) };
                        simd.store(finish(a, simd.load(&b[lane..])), &mut to[lane..]);
                    }
                    at_b += right.stride();
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::{blocked, laid_out};
    use crate::kernels::Broadcast;
    use crate::kernels::testing::{Tolerance, check, data};
    use crate::reference::elementwise;

    fn check_combine(output: [usize; 3], inputs: &[[usize; 2]], product: bool, activation: Option<Activation>) {
        let shapes: Vec<[usize; 3]> = inputs.iter().map(|&[h, w]| [output[0], h, w]).collect();
        for batch in [1, 3] {
            let data: Vec<Vec<f32>> = shapes
                .iter()
                .enumerate()
                .map(|(i, shape)| data(i as u64, batch * shape.iter().product::<usize>()))
                .collect();
            let slices: Vec<&[f32]> = data.iter().map(|data| &data[..]).collect();
            let plain = Broadcast { output, inputs: shapes.clone().leak() };
            let mut expected = vec![f32::NAN; batch * output.iter().product::<usize>()];
            match product {
                true => elementwise::mul(&plain, &slices, &mut expected),
                false => elementwise::add(&plain, &slices, &mut expected),
            }
            if let Some(activation) = activation {
                let sums = expected.clone();
                crate::reference::activation::forward(activation, &sums, &mut expected);
            }
            let values: Vec<Blocked> = shapes.iter().map(|&shape| laid_out([shape, output], batch > 1)[0]).collect();
            let to = laid_out([output; 2], batch > 1)[1];
            let data: Vec<Vec<f32>> =
                values.iter().zip(&data).map(|(value, data)| blocked(value, data, f32::NAN)).collect();
            let slices: Vec<&[f32]> = data.iter().map(|data| &data[..]).collect();
            let op = BlockedCombine { product, inputs: values.leak(), output: to, activation };
            let expected = blocked(&to, &expected, f32::NAN);
            let tolerance = Tolerance::absolute(4e-6).with_special();
            check(&format!("{op:?} x {batch}"), tolerance, [expected], |context, [output]| {
                run(context, &op, &slices, output);
            });
        }
    }

    #[test]
    fn sums_and_products_broadcast() {
        for product in [false, true] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Relu6), Some(Activation::Sigmoid)] {
                for channels in [1, 5, 16, 17, 40] {
                    for inputs in [
                        &[[4, 6], [4, 6]][..],
                        &[[4, 6], [1, 1]],
                        &[[1, 1], [4, 6]],
                        &[[1, 6], [4, 1]],
                        &[[4, 1], [4, 6], [1, 6]],
                        &[[1, 1], [1, 1], [1, 1], [4, 6]],
                        &[[4, 6]],
                        &[[1, 6]],
                    ] {
                        check_combine([channels, 4, 6], inputs, product, activation);
                    }
                }
            }
            check_combine([20, 1, 1], &[[1, 1], [1, 1]], product, None);
            check_combine([20, 90, 100], &[[90, 100], [90, 100]], product, Some(Activation::Relu));
            check_combine([20, 90, 100], &[[90, 100], [1, 1]], product, None);
        }
    }

    #[test]
    fn nan_stays_nan() {
        let value = Blocked::new(16, 1, 2);
        let inputs: &[Blocked] = vec![value; 2].leak();
        let op = BlockedCombine { product: false, inputs, output: value, activation: Some(Activation::Relu) };
        for &isa in crate::kernels::testing::isas() {
            let mut output = [0.0; 32];
            let mut input = [1.0; 32];
            input[..16].fill(f32::NAN);
            run(&mut crate::simd::with_isa(isa, Context::new), &op, &[&input, &[-2.0; 32]], &mut output);
            assert!(output[..16].iter().all(|y| y.is_nan()) && output[16..].iter().all(|&y| y == 0.0), "{isa}");
        }
    }
}
