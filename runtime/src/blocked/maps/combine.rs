//! Sums and products of blocked values: residual connections that no convolution takes in, and gates.

use crate::blocked::bands::Bands;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::kernels::activation::Activation;
use crate::parallel::Disjoint;
use crate::simd::{Isa, Kernel, Simd, dispatch};

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
    let output = Disjoint::new(output);
    let moved = (op.inputs.len() + 1) * to.width * BLOCK;
    Bands::new(batch, to.blocks(), to.height, moved).for_each(|sample, block, rows| {
        let operand = |index: usize| {
            let value = &op.inputs[index];
            let stride = |size: usize, stride: usize| if size == 1 { 0 } else { stride };
            let row = stride(value.height, value.row_len());
            let start = sample * value.sample_len() + value.offset(block, 0, 0) + rows[0] * row;
            Operand { start: inputs[index][start..].as_ptr(), row, pixel: stride(value.width, BLOCK) }
        };
        // SAFETY: within the sample.
        let start = unsafe { output.as_ptr().add(sample * to.sample_len() + to.offset(block, rows[0], 0)) };
        let so_far = Operand { start: start.cast_const(), row: to.row_len(), pixel: BLOCK };
        // Two at a time: the sums so far are in the first cache.
        let count = inputs.len();
        for index in 1.min(count - 1)..count {
            let band = CombinedRows {
                left: if index <= 1 { operand(0) } else { so_far },
                right: operand(index),
                how: match (count, op.product) {
                    (1, _) => How::Copy,
                    (_, false) => How::Sum,
                    (_, true) => How::Product,
                },
                output: start,
                output_row: to.row_len(),
                rows: rows[1] - rows[0],
                width: to.width,
                clamp: if index + 1 == count { epilogue.clamp } else { None },
            };
            band.dispatch(isa);
        }
        // SAFETY: a sample of the output, of which these rows are the task's.
        unsafe {
            let sample = output.as_ptr().add(sample * to.sample_len());
            epilogue.finish(isa, to, sample, block, rows, [0, to.width]);
        }
    });
}

/// One side of a sum or product: its first pixel and its strides, 0 where it is broadcast.
#[derive(Clone, Copy)]
struct Operand {
    start: *const f32,
    row: usize,
    pixel: usize,
}

#[derive(Clone, Copy)]
enum How {
    Sum,
    Product,
    /// The right side alone.
    Copy,
}

/// Rows of one block. Only [`run`] makes one, of pixels that both sides and the output have, and no two with the same outputs.
struct CombinedRows {
    left: Operand,
    right: Operand,
    how: How,
    output: *mut f32,
    output_row: usize,
    rows: usize,
    width: usize,
    clamp: Option<[f32; 2]>,
}

impl CombinedRows {
    fn dispatch(self, isa: Isa) {
        match self.how {
            How::Sum => dispatch(isa, Combine::<SUM>(self)),
            How::Product => dispatch(isa, Combine::<PRODUCT>(self)),
            How::Copy => dispatch(isa, Combine::<COPY>(self)),
        }
    }
}

const SUM: u8 = 0;
const PRODUCT: u8 = 1;
const COPY: u8 = 2;

struct Combine<const HOW: u8>(CombinedRows);

impl<const HOW: u8> Kernel for Combine<HOW> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let CombinedRows { left, right, output, output_row, rows, width, clamp, .. } = self.0;
        let [low, high] = clamp.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]).map(|limit| simd.splat(limit));
        for row in 0..rows {
            // SAFETY: pixels of both sides and of the output.
            unsafe {
                let mut a = left.start.wrapping_add(row * left.row);
                let mut b = right.start.wrapping_add(row * right.row);
                let to = output.add(row * output_row);
                for pixel in 0..width {
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        let y = simd.load_ptr(b.add(lane));
                        let y = match HOW {
                            SUM => simd.add(simd.load_ptr(a.add(lane)), y),
                            PRODUCT => simd.mul(simd.load_ptr(a.add(lane)), y),
                            _ => y,
                        };
                        // The second operand is what a NaN leaves: it stays NaN.
                        let y = simd.min(high, simd.max(low, y));
                        simd.store_ptr(y, to.add(pixel * BLOCK + lane));
                    }
                    (a, b) = (a.wrapping_add(left.pixel), b.wrapping_add(right.pixel));
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
