//! Adaptive average and max pooling.

pub use castnet_descriptors::AdaptivePool2d;

use super::Context;
use super::avg_pool2d::{self, AvgPool2d, Means};
use super::max_pool2d::{self, scatter};
use super::pool2d::{Pool2d, planes};
use super::window::{load, store};
use crate::parallel::{self, Disjoint, for_each_chunk, for_each_chunk_scratch, for_each_scratch, items_per_task};
use crate::simd::{BLOCK, Kernel, Simd, dispatch};

/// Ordinary pooling that does the same: where the windows are all alike, and narrow enough for whole vectors of them to pay.
fn ordinary(op: &AdaptivePool2d) -> Option<Pool2d> {
    let [kernel_height, kernel_width] = [op.input[1] / op.output[1], op.input[2] / op.output[2]];
    let alike = [kernel_height * op.output[1], kernel_width * op.output[2]] == op.input[1..];
    let kernel = [kernel_height, kernel_width];
    (alike && kernel_width <= 8).then_some(Pool2d {
        input: op.input,
        output: op.output,
        kernel,
        stride: kernel,
        padding: [0, 0],
        dilation: [1, 1],
    })
}

/// The mean of every window.
///
/// - `input`: `[batch, channels, height, width]` as `op.input` says; `output` likewise.
///
/// # Panics
///
/// If the lengths disagree with `op`.
pub fn avg_forward(context: &mut Context, op: &AdaptivePool2d, input: &[f32], output: &mut [f32]) {
    let planes = planes(op.input, op.output, input.len(), output.len());
    let isa = context.isa;
    let (plane, out_plane) = op.planes();
    if out_plane == 1 {
        let per_task = items_per_task(planes, plane);
        return for_each_chunk(output, per_task, |i, output| {
            dispatch(isa, Means { input: &input[i * per_task * plane..], plane, divisor: plane as f64, output });
        });
    }
    if let Some(pool) = ordinary(op) {
        let op = AvgPool2d { pool, count_include_pad: true, divisor: None };
        return avg_pool2d::forward(context, &op, input, output);
    }
    let per_task = items_per_task(planes, plane);
    let each = op.input[2].next_multiple_of(BLOCK);
    let scratch = context.scratch(each * planes.div_ceil(per_task).min(parallel::threads()));
    for_each_chunk_scratch(output, per_task * out_plane, scratch, each, |i, output, scratch| {
        dispatch(isa, AvgForward { op, input: &input[i * per_task * plane..], output, scratch });
    });
}

/// Every output's gradient, over the size of its window, goes to each input of the window.
///
/// - `grad_output`: the gradient for the output of [`avg_forward`]; `grad_input`: takes that for its input.
///
/// # Panics
///
/// If the lengths disagree with `op`.
pub fn avg_backward(context: &mut Context, op: &AdaptivePool2d, grad_output: &[f32], grad_input: &mut [f32]) {
    let planes = planes(op.input, op.output, grad_input.len(), grad_output.len());
    let isa = context.isa;
    let (plane, out_plane) = op.planes();
    let per_task = items_per_task(planes, plane);
    if out_plane == 1 {
        return for_each_chunk(grad_input, per_task * plane, |i, grad_input| {
            for (plane_gradient, gradient) in grad_input.chunks_mut(plane).zip(&grad_output[i * per_task..]) {
                plane_gradient.fill(gradient / plane as f32);
            }
        });
    }
    if let Some(pool) = ordinary(op) {
        let op = AvgPool2d { pool, count_include_pad: true, divisor: None };
        return avg_pool2d::backward(context, &op, grad_output, grad_input);
    }
    let each = op.output[2].next_multiple_of(BLOCK);
    let scratch = context.scratch(each * planes.div_ceil(per_task).min(parallel::threads()));
    for_each_chunk_scratch(grad_input, per_task * plane, scratch, each, |i, grad_input, scratch| {
        dispatch(isa, AvgBackward { op, grad_output: &grad_output[i * per_task * out_plane..], grad_input, scratch });
    });
}

/// The maximum of every window, and where it stands: ties, NaN and `indices` as in [`max_pool2d::forward`].
///
/// - `input`: `[batch, channels, height, width]` as `op.input` says; `output` likewise; `indices`, where it is given, as long as `output`.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn max_forward(
    context: &mut Context,
    op: &AdaptivePool2d,
    input: &[f32],
    output: &mut [f32],
    indices: Option<&mut [f32]>,
) {
    let planes = planes(op.input, op.output, input.len(), output.len());
    if let Some(pool) = ordinary(op) {
        return max_pool2d::forward(context, &pool, input, output, indices);
    }
    assert!(indices.as_ref().is_none_or(|indices| indices.len() == output.len()), "one index for every output");
    let isa = context.isa;
    let (plane, out_plane) = op.planes();
    let per_task = items_per_task(planes, plane);
    let tasks = planes.div_ceil(per_task);
    // Maxima and their rows.
    let each = 2 * op.input[2].next_multiple_of(BLOCK);
    let scratch = context.scratch(each * tasks.min(parallel::threads()));
    let (output, indices) = (Disjoint::new(output), indices.map(Disjoint::new));
    for_each_scratch(scratch, each, tasks, |scratch, i| {
        let range = i * per_task * out_plane..planes.min((i + 1) * per_task) * out_plane;
        // SAFETY: the tasks' ranges do not overlap.
        let (output, indices) = unsafe { (output.slice(range.clone()), indices.map(|indices| indices.slice(range))) };
        dispatch(isa, MaxForward { op, input: &input[i * per_task * plane..], output, indices, scratch });
    });
}

/// Every output's gradient goes to the input that was its maximum.
///
/// - `indices`: what [`max_forward`] wrote; `grad_output`: the gradient for its output; `grad_input`: takes that for its input.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn max_backward(
    context: &mut Context,
    op: &AdaptivePool2d,
    indices: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    planes(op.input, op.output, grad_input.len(), grad_output.len());
    match ordinary(op) {
        Some(pool) => max_pool2d::backward(context, &pool, indices, grad_output, grad_input),
        None => scatter(op.input[1] * op.input[2], op.output[1] * op.output[2], indices, grad_output, grad_input),
    }
}

/// Whole planes: the rows of windows are added by vectors, the sums' columns one by one.
struct AvgForward<'a> {
    op: &'a AdaptivePool2d,
    input: &'a [f32],
    output: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Kernel for AvgForward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let AvgForward { op, input, output, scratch } = self;
        let ((plane, out_plane), [_, _, width]) = (op.planes(), op.input);
        for (input, output) in input.chunks_exact(plane).zip(output.chunks_exact_mut(out_plane)) {
            for (oy, output) in output.chunks_exact_mut(op.output[2]).enumerate() {
                let rows = op.window(0, oy);
                let sums = &mut scratch[..width];
                add_rows(simd, &input[rows.start * width..rows.end * width], None, sums);
                for (ox, mean) in output.iter_mut().enumerate() {
                    let columns = op.window(1, ox);
                    let count = (rows.len() * columns.len()) as f32;
                    *mean = sums[columns].iter().sum::<f32>() / count;
                }
            }
        }
    }
}

/// Whole planes: the rows of gradients are added by vectors, and given to the columns one by one.
struct AvgBackward<'a> {
    op: &'a AdaptivePool2d,
    grad_output: &'a [f32],
    grad_input: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Kernel for AvgBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let AvgBackward { op, grad_output, grad_input, scratch } = self;
        let ((plane, out_plane), [_, _, out_width]) = (op.planes(), op.output);
        for (grad_output, grad_input) in grad_output.chunks_exact(out_plane).zip(grad_input.chunks_exact_mut(plane)) {
            for (y, grad_input) in grad_input.chunks_exact_mut(op.input[2]).enumerate() {
                let holders = op.holders(0, y);
                let sums = &mut scratch[..out_width];
                add_rows(
                    simd,
                    &grad_output[holders.start * out_width..holders.end * out_width],
                    Some((op, holders.start)),
                    sums,
                );
                for (ox, sum) in sums.iter_mut().enumerate() {
                    *sum /= op.window(1, ox).len() as f32;
                }
                for (x, gradient) in grad_input.iter_mut().enumerate() {
                    *gradient = sums[op.holders(1, x)].iter().sum();
                }
            }
        }
    }
}

/// Adds rows as wide as `sums`; with `windows`, each over the rows of its window, of which the first is given.
#[inline(always)]
fn add_rows<S: Simd>(simd: S, rows: &[f32], windows: Option<(&AdaptivePool2d, usize)>, sums: &mut [f32]) {
    let width = sums.len();
    let mut x = 0;
    while x < width {
        let count = (width - x).min(S::LANES);
        let mut sum = simd.zero();
        for (i, row) in rows.chunks_exact(width).enumerate() {
            // SAFETY: x + count is at most the width.
            let mut value = unsafe { load(simd, row.as_ptr().add(x), count) };
            if let Some((op, first)) = windows {
                value = simd.div(value, simd.splat(op.window(0, first + i).len() as f32));
            }
            sum = simd.add(sum, value);
        }
        // SAFETY: as above.
        unsafe { store(simd, sum, sums.as_mut_ptr().add(x), count) };
        x += S::LANES;
    }
}

/// Whole planes: the rows of windows are compared by vectors, the maxima's columns one by one.
struct MaxForward<'a> {
    op: &'a AdaptivePool2d,
    input: &'a [f32],
    output: &'a mut [f32],
    indices: Option<&'a mut [f32]>,
    scratch: &'a mut [f32],
}

impl Kernel for MaxForward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let MaxForward { op, input, output, mut indices, scratch } = self;
        let ((plane, out_plane), [_, _, width]) = (op.planes(), op.input);
        let (maxima, rows_of_maxima) = scratch.split_at_mut(scratch.len() / 2);
        let (maxima, rows_of_maxima) = (&mut maxima[..width], &mut rows_of_maxima[..width]);
        for (p, (input, output)) in input.chunks_exact(plane).zip(output.chunks_exact_mut(out_plane)).enumerate() {
            for (oy, output) in output.chunks_exact_mut(op.output[2]).enumerate() {
                let rows = op.window(0, oy);
                compare_rows(simd, &input[rows.start * width..rows.end * width], rows.start, maxima, rows_of_maxima);
                for (ox, max) in output.iter_mut().enumerate() {
                    let columns = op.window(1, ox);
                    let index = |x: usize| rows_of_maxima[x].to_bits() as usize * width + x;
                    let mut best = (maxima[columns.start], index(columns.start));
                    for x in columns.skip(1) {
                        let next = (maxima[x], index(x));
                        // The first of equal maxima in the order of the plane, but the last NaN.
                        let wins = if next.0.is_nan() {
                            !best.0.is_nan() || next.1 > best.1
                        } else {
                            next.0 > best.0 || (next.0 == best.0 && next.1 < best.1)
                        };
                        if wins {
                            best = next;
                        }
                    }
                    *max = best.0;
                    if let Some(indices) = &mut indices {
                        indices[p * out_plane + oy * op.output[2] + ox] = f32::from_bits(best.1 as u32);
                    }
                }
            }
        }
    }
}

/// The maximum of every column of some rows, and its row (as the bits of a `u32`), the first row being `first`.
#[inline(always)]
fn compare_rows<S: Simd>(simd: S, rows: &[f32], first: usize, maxima: &mut [f32], rows_of_maxima: &mut [f32]) {
    let width = maxima.len();
    assert!(rows.len() >= width && rows_of_maxima.len() == width, "rows of one width, one at least");
    let mut x = 0;
    while x < width {
        let count = (width - x).min(S::LANES);
        // SAFETY: x + count is at most the width.
        unsafe {
            let mut max = load(simd, rows.as_ptr().add(x), count);
            let mut row_of_max = simd.splat_i(first as i32);
            for (i, row) in rows.chunks_exact(width).enumerate().skip(1) {
                let value = load(simd, row.as_ptr().add(x), count);
                let wins = simd.or_m(simd.gt(value, max), simd.is_nan(value));
                max = simd.select(wins, value, max);
                row_of_max = simd.select_i(wins, simd.splat_i((first + i) as i32), row_of_max);
            }
            store(simd, max, maxima.as_mut_ptr().add(x), count);
            store(simd, simd.from_bits(row_of_max), rows_of_maxima.as_mut_ptr().add(x), count);
        }
        x += S::LANES;
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data};
    use crate::reference::adaptive_pool2d as reference;

    fn compare(op: &AdaptivePool2d, batch: usize) {
        let (len, out_len) = (batch * op.input.iter().product::<usize>(), batch * op.output.iter().product::<usize>());
        let (input, grad_output) = (data(1, len), data(2, out_len));
        let (mut output, mut grad_input) = (vec![f32::NAN; out_len], vec![f32::NAN; len]);
        reference::avg_forward(op, &input, &mut output);
        reference::avg_backward(op, &grad_output, &mut grad_input);
        // Sums of up to 1000 terms over as many, or of a few.
        let tolerance = Tolerance::absolute(4.0 * f32::EPSILON);
        check(&format!("avg, {op:?}"), tolerance, [output.clone()], |context, [output]| {
            avg_forward(context, op, &input, output);
        });
        check(&format!("avg, {op:?}, backward"), tolerance, [grad_input.clone()], |context, [grad_input]| {
            avg_backward(context, op, &grad_output, grad_input);
        });
        // Few different values, so that there are ties; NaN and infinities among them.
        let special = |x: f32| match (x * 20.0).round() {
            19.0 => f32::NAN,
            18.0 => f32::INFINITY,
            ..=-5.0 => f32::NEG_INFINITY,
            x => x,
        };
        let input: Vec<f32> = input.into_iter().map(special).collect();
        let mut indices = vec![f32::NAN; out_len];
        reference::max_forward(op, &input, &mut output, Some(&mut indices));
        reference::max_backward(op, &indices, &grad_output, &mut grad_input);
        let exact = Tolerance::EXACT.with_special();
        check(&format!("max, {op:?}, values"), exact, [output.clone()], |context, [output]| {
            max_forward(context, op, &input, output, None);
        });
        check(&format!("max, {op:?}"), exact, [output, indices.clone()], |context, [output, indices]| {
            max_forward(context, op, &input, output, Some(indices));
        });
        check(&format!("max, {op:?}, backward"), Tolerance::EXACT, [grad_input], |context, [grad_input]| {
            max_backward(context, op, &indices, &grad_output, grad_input);
        });
    }

    #[test]
    fn agrees_with_the_reference() {
        for (input, output) in [
            ([5, 6, 7], [5, 1, 1]),
            ([3, 7, 10], [3, 3, 4]),
            ([2, 3, 3], [2, 5, 5]),
            ([2, 8, 64], [2, 4, 32]),
            ([2, 5, 33], [2, 5, 16]),
            ([2, 5, 31], [2, 2, 1]),
            ([2, 4, 18], [2, 2, 2]),
            ([1, 3, 15], [1, 7, 40]),
            ([2, 1, 1], [2, 3, 17]),
            ([2, 33, 1], [2, 1, 1]),
            ([2, 30, 31], [2, 1, 1]),
            ([80, 30, 31], [80, 4, 5]),
            ([80, 30, 30], [80, 1, 1]),
            ([80, 30, 30], [80, 15, 15]),
        ] {
            compare(&AdaptivePool2d { input, output }, 2);
        }
    }

    #[test]
    fn holders_are_the_windows_that_hold() {
        for length in 1..12 {
            for count in 1..15 {
                let op = AdaptivePool2d { input: [1, length, 1], output: [1, count, 1] };
                for at in 0..length {
                    let holders: Vec<usize> = (0..count).filter(|&i| op.window(0, i).contains(&at)).collect();
                    assert_eq!(op.holders(0, at).collect::<Vec<_>>(), holders);
                }
            }
        }
    }
}
