//! Bands of rows: what their taps read is copied between zeros, the rows are convolved by whatever method, and pooled.

use super::PlanarInputConv2d;
use crate::blocked::convolution::padded::copy_rows;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::maps::pool2x2;
use crate::blocked::rows::RowsMut;
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::parallel::{self, Disjoint};

/// Floats of padded rows that a task copies at a time: 64 KiB.
const COPY: usize = 16 * 1024;

/// Floats of pixels to be pooled that a task makes at a time: 64 KiB.
const POOLED: usize = 16 * 1024;

/// Multiplications worth a task of their own: some 5 µs at full speed.
const TASK: u64 = 400_000;

/// How the rows of a band are convolved.
pub(in crate::blocked::convolution) trait Method: Sync {
    /// Rows and columns are convolved in multiples of this: what lies beyond the output is not written, but its taps are read.
    const EDGE: usize;
    /// Rows and columns that are read beyond these taps.
    const MORE: usize;

    /// Floats of working memory for one band.
    fn scratch(&self) -> usize;

    /// Convolves rows of a sample of `to`, which starts at `start`, from `planes`, in which the first row's first tap comes first;
    /// `strides` are the distances of planes and of rows. All but the activation that [`Epilogue::finish`] applies.
    ///
    /// # Safety
    /// Every tap lies in the planes, the rows are those of a whole sample, and nobody else uses them meanwhile.
    unsafe fn convolve(
        &self,
        to: &Blocked,
        start: *mut f32,
        rows: [usize; 2],
        planes: &[f32],
        strides: [usize; 2],
        scratch: &mut [f32],
    );
}

/// Computes `output` band by band: copies what the band's taps read between zeros where there is padding, convolves, applies the
/// activation and pools.
///
/// # Panics
/// When a slice is no whole number of samples, or the numbers differ.
pub(in crate::blocked::convolution) fn bands<M: Method>(
    context: &mut Context,
    op: &PlanarInputConv2d,
    input: &[f32],
    output: &mut [f32],
    method: &M,
) {
    let batch = op.output.batch(output.len());
    assert_eq!(input.len(), batch * op.input_len(), "input and output hold different numbers of samples");
    let isa = context.isa;
    let height = op.output.height;
    let epilogue = Epilogue::new(op.activation);
    // Rows and pixels that are convolved for one of the output.
    let factor = pool2x2::factor(op.pool);
    let reach = |axis: usize, convolved: usize| op.reach(axis, convolved.next_multiple_of(M::EDGE)) + M::MORE;
    let columns = reach(1, op.convolved(1));
    let inside = reach(0, op.convolved(0)) <= op.input[1] && columns <= op.input[2];
    let unpadded = op.padding == [0, 0] && inside;
    let reach = |rows: usize| reach(0, rows * factor);
    let copied = |rows: usize| if unpadded { 0 } else { op.input[0] * reach(rows) * columns };
    let convolved = |rows: usize| {
        let value = Blocked::new(op.output.channels, rows * factor, op.convolved(1));
        if op.pool.is_some() { value.sample_len() } else { 0 }
    };

    // Bands of rows: enough of them for the threads, and a copy each that stays in the cache.
    let threads = parallel::threads();
    let mut bands = 1;
    if threads > 1 {
        let most = usize::try_from(op.macs() * batch as u64 / TASK).unwrap_or(usize::MAX);
        bands = parallel::tasks(most).div_ceil(batch).min(height);
    }
    let mut rows = height.div_ceil(bands);
    while rows > 1 && (copied(rows) > COPY || convolved(rows) > POOLED) {
        rows = rows.div_ceil(2);
    }
    // The same rows are convolved together however many bands there are: results do not depend on it.
    rows = rows.next_multiple_of(M::EDGE.div_ceil(factor));
    let bands = height.div_ceil(rows);
    let copy_len = copied(rows).next_multiple_of(BLOCK);
    let each = copy_len + convolved(rows) + method.scratch().next_multiple_of(BLOCK);
    let output = Disjoint::new(output);
    let tasks = batch * bands;
    let scratch = context.scratch(each * tasks.min(threads));
    parallel::for_each_scratch(scratch, each, tasks, |scratch, task| {
        let (copy, scratch) = scratch.split_at_mut(copy_len);
        let (sample, band) = (task / bands, task % bands);
        let (pixels, scratch) = scratch.split_at_mut(convolved(rows));
        let rows = [band * rows, ((band + 1) * rows).min(height)];
        let input = &input[sample * op.input_len()..][..op.input_len()];
        let first = rows[0] * factor * op.stride[0];
        let (planes, strides) = if unpadded {
            let [_, h, w] = op.input;
            (&input[first * w..], [h * w, w])
        } else {
            let reach = reach(rows[1] - rows[0]);
            copy_rows(op.input, op.padding, input, first, [reach, columns], copy);
            (&*copy, [reach * columns, columns])
        };
        let convolve = |to: &Blocked, buffer: Disjoint<f32>, sample: usize, rows: [usize; 2], scratch: &mut [f32]| {
            // SAFETY: all that the rows' taps reach lies in the input or has been copied, and nobody else uses these rows.
            unsafe {
                let start = buffer.as_ptr().add(sample * to.sample_len());
                method.convolve(to, start, rows, planes, strides, scratch);
                for block in 0..to.blocks() {
                    let rows = RowsMut::of(to, buffer, [sample, block], rows, [0, to.width]);
                    epilogue.finish(isa, rows, to.block_channels(block));
                }
            }
        };
        let Some(pool) = op.pool else {
            return convolve(&op.output, output, sample, rows, scratch);
        };
        let height = (rows[1] - rows[0]) * factor;
        let value = Blocked::new(op.output.channels, height, op.convolved(1));
        let pixels = Disjoint::new(pixels);
        convolve(&value, pixels, 0, [0, height], scratch);
        for block in 0..value.blocks() {
            // SAFETY: pixels that have been convolved, and rows of the output that are this task's.
            unsafe {
                let sample = output.as_ptr().add(sample * op.output.sample_len());
                let rows = pool2x2::PooledPairs {
                    from: pixels.as_ptr().add(value.offset(block, 0, 0)),
                    from_row: value.row_len(),
                    to: sample.add(op.output.offset(block, rows[0], 0)),
                    to_row: op.output.row_len(),
                    size: [rows[1] - rows[0], op.output.width],
                };
                pool2x2::blocked(isa, pool, rows);
            }
        }
    });
}
