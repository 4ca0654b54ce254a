//! Concatenation of blocked values along the channels, where they do not already lie beside each other.

use crate::blocked::bands::Bands;
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::parallel::Disjoint;
use crate::simd::{Kernel, Simd, dispatch};

/// Values whose channels follow one another in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedConcat {
    /// The inputs, of any numbers of channels; rows and columns are the output's. The halos are not read.
    pub inputs: &'static [Blocked],
    /// The output, of as many channels as all inputs. Its halo is not written.
    pub output: Blocked,
}

/// Channels of one block of an input that go into one block of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The input.
    input: usize,
    /// Its block and the first lane there.
    block: usize,
    lane: usize,
    /// The first lane in the output's block.
    to: usize,
    /// Lanes.
    count: usize,
}

/// The runs of the output's block `block`, in order.
fn runs(inputs: &[Blocked], block: usize) -> impl Iterator<Item = Run> {
    let [mut at, end] = [block * BLOCK, (block + 1) * BLOCK];
    let mut before = 0;
    let mut input = 0;
    core::iter::from_fn(move || {
        while input < inputs.len() && before + inputs[input].channels <= at {
            before += inputs[input].channels;
            input += 1;
        }
        if input == inputs.len() || at == end {
            return None;
        }
        let from = at - before;
        let (lane, left) = (from % BLOCK, inputs[input].channels - from);
        let count = left.min(BLOCK - lane).min(end - at);
        let run = Run { input, block: from / BLOCK, lane, to: at % BLOCK, count };
        at += count;
        Some(run)
    })
}

/// Computes `output` for a batch of samples.
///
/// # Panics
/// When a size or the number of the inputs does not fit, or a slice is no whole number of samples.
pub fn run(context: &mut Context, op: &BlockedConcat, inputs: &[&[f32]], output: &mut [f32]) {
    let to = &op.output;
    let batch = to.batch(output.len());
    assert_eq!(inputs.len(), op.inputs.len(), "as many inputs as the descriptor names");
    let mut channels = 0;
    for (value, data) in op.inputs.iter().zip(inputs) {
        assert_eq!(batch, value.batch(data.len()), "input and output hold different numbers of samples");
        assert_eq!([value.height, value.width], [to.height, to.width], "an input of another size than the output's");
        channels += value.channels;
    }
    assert_eq!(channels, to.channels, "inputs and output have different numbers of channels");
    let isa = context.isa;
    let output = Disjoint::new(output);
    Bands::new(batch, to.blocks(), to.height, 2 * to.width * BLOCK).for_each(|sample, block, rows| {
        // SAFETY: within the sample.
        let start = unsafe { output.as_ptr().add(sample * to.sample_len() + to.offset(block, rows[0], 0)) };
        let copy = Copy {
            input: core::ptr::null(),
            input_row: 0,
            output: start,
            output_row: to.row_len(),
            rows: rows[1] - rows[0],
            width: to.width,
            count: 0,
        };
        for run in runs(op.inputs, block) {
            let value = &op.inputs[run.input];
            let from = sample * value.sample_len() + value.offset(run.block, rows[0], 0) + run.lane;
            dispatch(
                isa,
                Copy {
                    input: inputs[run.input][from..].as_ptr(),
                    input_row: value.row_len(),
                    // SAFETY: a lane of the pixel.
                    output: unsafe { start.add(run.to) },
                    count: run.count,
                    ..copy
                },
            );
        }
        let filled = (to.channels - block * BLOCK).min(BLOCK);
        if filled < BLOCK {
            // SAFETY: a lane of the pixel.
            let output = unsafe { start.add(filled) };
            dispatch(isa, Copy { output, count: BLOCK - filled, ..copy });
        }
    });
}

/// Some lanes of some rows' pixels, from an input, or zeros. Only [`run`] makes one, of lanes that both have, and no two with the same
/// outputs.
struct Copy {
    /// Null for zeros.
    input: *const f32,
    input_row: usize,
    output: *mut f32,
    output_row: usize,
    rows: usize,
    width: usize,
    count: usize,
}

impl Kernel for Copy {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Copy { input, input_row, output, output_row, rows, width, count } = self;
        for start in (0..count).step_by(S::LANES) {
            let lanes = (count - start).min(S::LANES);
            for row in 0..rows {
                for pixel in 0..width {
                    // SAFETY: lanes of pixels of both.
                    unsafe {
                        let to = output.add(row * output_row + pixel * BLOCK + start);
                        let from = input.wrapping_add(row * input_row + pixel * BLOCK + start);
                        if lanes == S::LANES {
                            let x = if input.is_null() { simd.zero() } else { simd.load_ptr(from) };
                            simd.store_ptr(x, to);
                        } else {
                            let x = if input.is_null() { simd.zero() } else { simd.load_ptr_partial(from, lanes) };
                            simd.store_ptr_partial(x, to, lanes);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::{blocked, laid_out};
    use crate::kernels::Concat;
    use crate::kernels::testing::{Tolerance, check, data};

    fn check_concat(channels: &[usize], [height, width]: [usize; 2]) {
        for batch in [1, 3] {
            let shapes: Vec<[usize; 3]> = channels.iter().map(|&channels| [channels, height, width]).collect();
            let data: Vec<Vec<f32>> = shapes
                .iter()
                .enumerate()
                .map(|(i, shape)| data(i as u64, batch * shape.iter().product::<usize>()))
                .collect();
            let lengths: Vec<usize> = channels.iter().map(|channels| channels * height * width).collect();
            let output = [channels.iter().sum(), height, width];
            let mut expected = vec![f32::NAN; batch * output.iter().product::<usize>()];
            let slices: Vec<&[f32]> = data.iter().map(|data| &data[..]).collect();
            let plain = Concat { outer: 1, lengths: lengths.leak() };
            crate::reference::concat::forward(&plain, &slices, &mut expected);
            let values: Vec<Blocked> = shapes.iter().map(|&shape| laid_out([shape, output], batch > 1)[0]).collect();
            let to = laid_out([output; 2], batch > 1)[1];
            let data: Vec<Vec<f32>> =
                values.iter().zip(&data).map(|(value, data)| blocked(value, data, f32::NAN)).collect();
            let slices: Vec<&[f32]> = data.iter().map(|data| &data[..]).collect();
            let op = BlockedConcat { inputs: values.leak(), output: to };
            let expected = blocked(&to, &expected, f32::NAN);
            check(&format!("{op:?} x {batch}"), Tolerance::EXACT.with_special(), [expected], |context, [output]| {
                run(context, &op, &slices, output);
            });
        }
    }

    #[test]
    fn any_channels() {
        for first in 1..=40 {
            check_concat(&[first, 5], [3, 4]);
            check_concat(&[16, first, 40], [1, 3]);
        }
        check_concat(&[1; 37], [2, 2]);
        check_concat(&[32, 16, 48], [5, 5]);
        check_concat(&[7], [2, 3]);
        check_concat(&[20, 30], [90, 100]);
    }

    #[test]
    fn runs_fill_every_lane_once() {
        let values: Vec<Blocked> = [3, 16, 1, 40, 5].iter().map(|&channels| Blocked::new(channels, 1, 1)).collect();
        let mut channel = 0;
        let mut lanes = vec![];
        for (input, value) in values.iter().enumerate() {
            lanes.extend((0..value.channels).map(|channel| (input, channel)));
        }
        for block in 0..lanes.len().div_ceil(BLOCK) {
            for run in runs(&values, block) {
                assert_eq!(block * BLOCK + run.to, channel);
                for i in 0..run.count {
                    assert_eq!(lanes[channel], (run.input, run.block * BLOCK + run.lane + i));
                    channel += 1;
                }
            }
        }
        assert_eq!(channel, lanes.len());
    }
}
