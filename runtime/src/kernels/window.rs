//! Windows that slide over planes: what max and average pooling share.
//!
//! A window's maximum or sum is taken one axis after the other: its rows first, whole vectors of the input's width at a time, into a row of
//! working memory; then that row's columns, whole vectors of the output's width. Padding is part of that row, so that neither loop knows
//! edges.

use super::pool2d::{GROUP, Pool2d, pooled_planes, row_groups};
use crate::parallel::{self, for_each_chunk_scratch, items_per_task};
use crate::simd::{BLOCK, Isa, Kernel, Simd, dispatch};

/// What a window is reduced by.
pub(super) trait Reduction: Copy + Sync {
    /// What leaves every value as it is; stands for padding.
    const IDENTITY: f32;
    /// Two values into one.
    fn combine<S: Simd>(simd: S, a: S::V, b: S::V) -> S::V;
    /// What all windows of output row `y` share.
    fn row(self, y: usize) -> f32;
    /// From the values of windows in a row, the first of them in column `x`, to what is written.
    fn finish<S: Simd>(self, simd: S, value: S::V, row: f32, x: usize) -> S::V;
}

/// The maximum, or NaN where there is one.
#[derive(Clone, Copy)]
pub(super) struct Maximum;

impl Reduction for Maximum {
    const IDENTITY: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn combine<S: Simd>(simd: S, a: S::V, b: S::V) -> S::V {
        simd.max_nan(a, b)
    }
    #[inline(always)]
    fn row(self, _: usize) -> f32 {
        0.0
    }
    #[inline(always)]
    fn finish<S: Simd>(self, _: S, value: S::V, _: f32, _: usize) -> S::V {
        value
    }
}

/// Reduces every window of `input` into `output`, with [`scratch_len`] floats of working memory.
pub(super) fn reduce<R: Reduction>(
    isa: Isa,
    op: &Pool2d,
    reduction: R,
    input: &[f32],
    output: &mut [f32],
    scratch: &mut [f32],
) {
    let per_task = rows_per_task(op, input.len(), output.len());
    for_each_chunk_scratch(output, per_task * op.output[2], scratch, GROUP * row_len(op), |i, output, scratch| {
        dispatch(isa, Reduce { op, reduction, input, output, first: i * per_task, scratch });
    });
}

/// Working memory for [`reduce`] on this thread's number of threads.
pub(super) fn scratch_len(op: &Pool2d, input_len: usize, output_len: usize) -> usize {
    let tasks = (output_len / op.output[2]).div_ceil(rows_per_task(op, input_len, output_len));
    GROUP * row_len(op) * tasks.min(parallel::threads())
}

/// How many output rows a task takes.
fn rows_per_task(op: &Pool2d, input_len: usize, output_len: usize) -> usize {
    let rows = pooled_planes(op, input_len, output_len) * op.output[1];
    items_per_task(rows, op.stride[0] * op.input[2] + op.output[2])
}

/// Floats of a working row: the padded input row, and as much more as whole vectors of outputs read.
pub(super) fn row_len(op: &Pool2d) -> usize {
    let read = op.output[2].next_multiple_of(BLOCK) * op.stride[1] + (op.kernel[1] - 1) * op.dilation[1];
    read.max(op.padding[1] + op.input[2]).next_multiple_of(BLOCK)
}

/// Consecutive output rows, counted through all planes.
struct Reduce<'a, R> {
    op: &'a Pool2d,
    reduction: R,
    input: &'a [f32],
    output: &'a mut [f32],
    /// The first row.
    first: usize,
    scratch: &'a mut [f32],
}

impl<R: Reduction> Kernel for Reduce<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Reduce { op, reduction, input, output, first, scratch } = self;
        let (width, out_width) = (op.input[2], op.output[2]);
        // Windows of two columns that stand side by side, of one row or two, need no working row.
        let pairs = (op.kernel[1], op.stride[1], op.dilation[1], op.padding[1]) == (2, 2, 1, 0)
            && op.kernel[0] <= 2
            && op.padding[0] == 0
            && 2 * out_width <= width
            && (op.output[1] - 1) * op.stride[0] + (op.kernel[0] - 1) * op.dilation[0] < op.input[1];
        let row_len = row_len(op);
        if !pairs {
            scratch.fill(R::IDENTITY);
        }
        for (plane, ys, at) in row_groups(op, first, output.len() / out_width) {
            let input = &input[plane * op.input_plane()..][..op.input_plane()];
            let output = &mut output[at * out_width..][..ys.len() * out_width];
            if pairs {
                for (y, output) in ys.zip(output.chunks_exact_mut(out_width)) {
                    let first = &input[y * op.stride[0] * width..][..2 * out_width];
                    if op.kernel[0] == 1 {
                        reduce_pairs(simd, reduction, [first], y, output);
                    } else {
                        let second = &input[(y * op.stride[0] + op.dilation[0]) * width..][..2 * out_width];
                        reduce_pairs(simd, reduction, [first, second], y, output);
                    }
                }
                continue;
            }
            for (y, row) in ys.clone().zip(scratch.chunks_exact_mut(row_len)) {
                reduce_rows::<S, R>(simd, op, input, y, &mut row[op.padding[1]..][..width]);
            }
            let rows = scratch.chunks_exact(row_len).zip(output.chunks_exact_mut(out_width));
            for (y, (row, output)) in ys.zip(rows) {
                match (op.stride[1], op.dilation[1]) {
                    (1, _) => reduce_columns::<S, R, 1>(simd, op, reduction, row, y, output),
                    (2, 1) => reduce_columns::<S, R, 2>(simd, op, reduction, row, y, output),
                    _ => reduce_columns::<S, R, 0>(simd, op, reduction, row, y, output),
                }
            }
        }
    }
}

/// Reduces the rows of the windows of output row `y` into one row as wide as the input.
#[inline(always)]
fn reduce_rows<S: Simd, R: Reduction>(simd: S, op: &Pool2d, input: &[f32], y: usize, row: &mut [f32]) {
    let rows = op.input_rows(y);
    // Three at a time: most windows have three rows, and few more.
    let (width, step) = (op.input[2], op.dilation[0]);
    let mut next = rows.start;
    while next < rows.end {
        let at = |i: usize| &input[(next + i * step) * width..][..width];
        let more = next > rows.start;
        match (rows.end - next).div_ceil(step) {
            1 => reduce_down::<S, R, 1>(simd, [at(0)], more, row),
            2 => reduce_down::<S, R, 2>(simd, [at(0), at(1)], more, row),
            _ => reduce_down::<S, R, 3>(simd, [at(0), at(1), at(2)], more, row),
        }
        next += 3 * step;
    }
    if rows.is_empty() {
        row.fill(R::IDENTITY);
    }
}

/// Reduces rows into `row`; with `more`, together with what is there.
#[inline(always)]
fn reduce_down<S: Simd, R: Reduction, const ROWS: usize>(simd: S, rows: [&[f32]; ROWS], more: bool, row: &mut [f32]) {
    let width = row.len();
    assert!(rows.iter().all(|row| row.len() == width), "rows of one width");
    let mut x = 0;
    while x < width {
        let count = (width - x).min(S::LANES);
        // SAFETY: all rows are `width` long, and x + count <= width.
        unsafe {
            let mut value = down_at::<S, R, ROWS>(simd, rows, x, count);
            if more {
                value = R::combine(simd, load(simd, row.as_ptr().add(x), count), value);
            }
            store(simd, value, row.as_mut_ptr().add(x), count);
        }
        x += S::LANES;
    }
}

/// The `count` floats from `p` on.
///
/// # Safety
///
/// `p` is valid for reading them, and `count <= LANES`.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(simd: S, p: *const f32, count: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { simd.load_ptr(p) } else { simd.load_ptr_partial(p, count) } }
}

/// Writes `count` floats from `p` on.
///
/// # Safety
///
/// `p` is valid for writing them, and `count <= LANES`.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(simd: S, value: S::V, p: *mut f32, count: usize) {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { simd.store_ptr(value, p) } else { simd.store_ptr_partial(value, p, count) } }
}

/// The even and the odd elements of the two vectors from `p` on.
///
/// # Safety
///
/// `p` is valid for reading `2 * LANES` floats.
#[inline(always)]
pub(super) unsafe fn load_pairs<S: Simd>(simd: S, p: *const f32) -> (S::V, S::V) {
    // SAFETY: the caller's promise.
    unsafe { simd.deinterleave(simd.load_ptr(p), simd.load_ptr(p.add(S::LANES))) }
}

/// Reduces the columns of a padded row, for a stride of 1, of 2 (without dilation), or any (0).
#[inline(always)]
fn reduce_columns<S: Simd, R: Reduction, const STRIDE: usize>(
    simd: S,
    op: &Pool2d,
    reduction: R,
    row: &[f32],
    y: usize,
    output: &mut [f32],
) {
    assert!(row.len() >= row_len(op) && output.len() == op.output[2], "a padded row for a row of outputs");
    let shared = reduction.row(y);
    let mut x = 0;
    while x < output.len() {
        // SAFETY: `row_len` has room for whole vectors of windows, and x + count is at most the output's length.
        unsafe {
            let value = reduce_across::<S, R, STRIDE>(simd, op, row.as_ptr().add(x * op.stride[1]));
            let count = (output.len() - x).min(S::LANES);
            store(simd, reduction.finish(simd, value, shared, x), output.as_mut_ptr().add(x), count);
        }
        x += S::LANES;
    }
}

/// Reduces a vector of windows, of which the first starts at `row`.
///
/// # Safety
///
/// All of a vector of windows is valid for reading; for stride 2 to the end of its last vector.
#[inline(always)]
unsafe fn reduce_across<S: Simd, R: Reduction, const STRIDE: usize>(simd: S, op: &Pool2d, row: *const f32) -> S::V {
    let (kernel, stride, dilation) = (op.kernel[1], op.stride[1], op.dilation[1]);
    // SAFETY: the caller's promise.
    unsafe {
        match STRIDE {
            1 => {
                let mut value = simd.load_ptr(row);
                for k in 1..kernel {
                    value = R::combine(simd, value, simd.load_ptr(row.add(k * dilation)));
                }
                value
            }
            2 => {
                // Neighbouring columns are the even and the odd elements of the same two vectors.
                let (even, odd) = load_pairs(simd, row);
                if kernel == 1 {
                    return even;
                }
                let mut value = R::combine(simd, even, odd);
                for k in (2..kernel).step_by(2) {
                    let (even, odd) = load_pairs(simd, row.add(k));
                    value = R::combine(simd, value, even);
                    if k + 1 < kernel {
                        value = R::combine(simd, value, odd);
                    }
                }
                value
            }
            _ => {
                let mut value = simd.load_strided(row, stride);
                for k in 1..kernel {
                    value = R::combine(simd, value, simd.load_strided(row.add(k * dilation), stride));
                }
                value
            }
        }
    }
}

/// Reduces windows of two columns that stand side by side.
#[inline(always)]
fn reduce_pairs<S: Simd, R: Reduction, const ROWS: usize>(
    simd: S,
    reduction: R,
    rows: [&[f32]; ROWS],
    y: usize,
    output: &mut [f32],
) {
    let width = output.len();
    assert!(rows.iter().all(|row| row.len() == 2 * width), "two columns for every output");
    let shared = reduction.row(y);
    let mut x = 0;
    while x < width {
        let count = 2 * (width - x).min(S::LANES);
        // SAFETY: all rows are `2 * width` long, 2 * x + count is at most that, and the outputs are half as many.
        unsafe {
            let low = down_at::<S, R, ROWS>(simd, rows, 2 * x, count.min(S::LANES));
            // Not a load of nothing: AVX-512 may fault on the address even so, and takes an exception to find that it does not matter.
            let high = if count > S::LANES {
                down_at::<S, R, ROWS>(simd, rows, 2 * x + S::LANES, count - S::LANES)
            } else {
                low
            };
            let (even, odd) = simd.deinterleave(low, high);
            let value = reduction.finish(simd, R::combine(simd, even, odd), shared, x);
            store(simd, value, output.as_mut_ptr().add(x), count / 2);
        }
        x += S::LANES;
    }
}

/// Reduces `count` columns from `x` on of some rows.
///
/// # Safety
///
/// The rows have these columns, and `count <= LANES`.
#[inline(always)]
unsafe fn down_at<S: Simd, R: Reduction, const ROWS: usize>(
    simd: S,
    rows: [&[f32]; ROWS],
    x: usize,
    count: usize,
) -> S::V {
    // SAFETY: the caller's promise.
    unsafe {
        let mut value = load(simd, rows[0].as_ptr().add(x), count);
        for row in &rows[1..] {
            value = R::combine(simd, value, load(simd, row.as_ptr().add(x), count));
        }
        value
    }
}
