//! Concatenation of blocked values along the channels, where they do not already lie beside each other.

use crate::blocked::bands::Bands;
use crate::blocked::rows::{Rows, RowsMut};
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
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
    Bands::new(batch, to.blocks(), to.height, 2 * to.width * BLOCK).write(
        to,
        output,
        |[sample, block, first], mut rows| {
            for run in runs(op.inputs, block) {
                let from = Rows::of(&op.inputs[run.input], inputs[run.input], [sample, run.block, first]);
                dispatch(isa, Copy { from, lane: run.lane, to: &mut rows, lanes: [run.to, run.count] });
            }
            let filled = to.block_channels(block);
            if filled < BLOCK {
                for row in 0..rows.count() {
                    rows.row(row).chunks_exact_mut(BLOCK).for_each(|pixel| pixel[filled..].fill(0.0));
                }
            }
        },
    );
}

/// Some lanes of some rows' pixels.
struct Copy<'a, 'b> {
    from: Rows<'a>,
    /// The first lane there.
    lane: usize,
    to: &'a mut RowsMut<'b>,
    /// The first lane here, and how many.
    lanes: [usize; 2],
}

impl Kernel for Copy<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Copy { from, lane, to, lanes: [first, count] } = self;
        for row in 0..to.count() {
            let pixels = to.row(row).chunks_exact_mut(BLOCK).zip(from.row(row).chunks_exact(BLOCK));
            for (to, from) in pixels {
                let (to, from) = (&mut to[first..first + count], &from[lane..lane + count]);
                for (to, from) in to.chunks_mut(S::LANES).zip(from.chunks(S::LANES)) {
                    simd.store_partial(simd.load_partial(from), to);
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
