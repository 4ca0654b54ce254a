//! Max pooling.

use super::Context;
use super::pool2d::{GROUP, Pool2d, pooled_planes, row_groups};
use super::window::{self, Maximum, load, load_pairs, store};
use crate::parallel::{self, Disjoint, for_each_chunk, for_each_scratch, items_per_task};
use crate::simd::{BLOCK, Kernel, Simd, dispatch};

/// The index kept for a window that lies in the padding altogether, which takes dilation: there is no maximum.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The maximum of every window, and where it stands.
///
/// As in PyTorch: padding is never the maximum, the first of equal maxima counts, a NaN anywhere in a window is its maximum (the last NaN,
/// where there are several), and a window with no element at all gives minus infinity.
///
/// - `input`: `[batch, channels, height, width]` as `op.input` says; `output` likewise.
/// - `indices`, as long as `output`: where it is given, takes `h * width + w` of the maximum within its input plane, as the bits of a
///   `u32`; `u32::MAX` for a window with no element.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn forward(context: &mut Context, op: &Pool2d, input: &[f32], output: &mut [f32], indices: Option<&mut [f32]>) {
    let Some(indices) = indices else {
        let isa = context.isa;
        let scratch = context.scratch(window::scratch_len(op, input.len(), output.len()));
        return window::reduce(isa, op, Maximum, input, output, scratch);
    };
    assert_eq!(indices.len(), output.len(), "one index for every output");
    let [_, out_height, out_width] = op.output;
    let rows = pooled_planes(op, input.len(), output.len()) * out_height;
    let per_task = items_per_task(rows, op.stride[0] * op.input[2] + 2 * out_width);
    let tasks = rows.div_ceil(per_task);
    let isa = context.isa;
    // A table of the output's width that all share, and for each worker the padded input rows of a group of output rows.
    let band = ((GROUP - 1) * op.stride[0] + (op.kernel[0] - 1) * op.dilation[0] + 1).min(op.input[1]);
    let (table_len, each) = (out_width.next_multiple_of(BLOCK), band * window::row_len(op));
    let scratch = context.scratch(table_len + each * tasks.min(parallel::threads()));
    let (first_taps, scratch) = scratch.split_at_mut(table_len);
    for (x, word) in first_taps.iter_mut().enumerate() {
        let taps = op.taps(1, x);
        *word = f32::from_bits(if taps.is_empty() { NOWHERE } else { (taps.start * op.dilation[1]) as u32 });
    }
    let first_taps = &*first_taps;
    let (output, indices) = (Disjoint::new(output), Disjoint::new(indices));
    for_each_scratch(scratch, each, tasks, |scratch, i| {
        let first = i * per_task;
        let range = first * out_width..(first + per_task).min(rows) * out_width;
        // SAFETY: the tasks' ranges do not overlap.
        let (output, indices) = unsafe { (output.slice(range.clone()), indices.slice(range)) };
        dispatch(isa, WithIndices { op, input, output, indices, first, first_taps, scratch });
    });
}

/// Every output's gradient goes to the input that was its maximum.
///
/// - `indices`: what [`forward`] wrote; `grad_output`, as long: the gradient for its output.
/// - `grad_input`: takes the gradient for its input.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another.
pub fn backward(context: &mut Context, op: &Pool2d, indices: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    pooled_planes(op, grad_input.len(), grad_output.len());
    let (plane, out_plane) = (op.input_plane(), op.output_plane());
    // Windows of two by two that tile the input: every input belongs to one.
    let tiles = (op.kernel, op.stride, op.padding, op.dilation) == ([2, 2], [2, 2], [0, 0], [1, 1])
        && [2 * op.output[1], 2 * op.output[2]] == op.input[1..];
    if !tiles {
        return scatter(plane, out_plane, indices, grad_output, grad_input);
    }
    assert_eq!(indices.len(), grad_output.len(), "one index for every output");
    let isa = context.isa;
    let rows = grad_output.len() / op.output[2];
    let per_task = items_per_task(rows, 6 * op.output[2]);
    for_each_chunk(grad_input, per_task * 2 * op.input[2], |i, grad_input| {
        dispatch(isa, BackwardTiles { op, indices, grad_output, grad_input, first: i * per_task });
    });
}

/// Adds every gradient to the element of its plane that its index names, after zero.
pub(super) fn scatter(plane: usize, out_plane: usize, indices: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    assert_eq!(indices.len(), grad_output.len(), "one index for every output");
    let per_task = items_per_task(grad_input.len() / plane, plane + 2 * out_plane);
    for_each_chunk(grad_input, per_task * plane, |i, grad_input| {
        grad_input.fill(0.0);
        let range = i * per_task * out_plane..;
        let sources = indices[range.clone()].chunks(out_plane).zip(grad_output[range].chunks(out_plane));
        for (grad_input, (indices, grad_output)) in grad_input.chunks_mut(plane).zip(sources) {
            for (index, gradient) in indices.iter().zip(grad_output) {
                // NOWHERE is in no plane.
                if let Some(sum) = grad_input.get_mut(index.to_bits() as usize) {
                    *sum += gradient;
                }
            }
        }
    });
}

/// Consecutive output rows, counted through all planes, with their indices.
struct WithIndices<'a> {
    op: &'a Pool2d,
    input: &'a [f32],
    output: &'a mut [f32],
    indices: &'a mut [f32],
    /// The first row.
    first: usize,
    /// For each output column, the columns from the start of its window to the first that lies in the input.
    first_taps: &'a [f32],
    scratch: &'a mut [f32],
}

impl Kernel for WithIndices<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let WithIndices { op, input, output, indices, first, first_taps, scratch } = self;
        let ([_, _, width], out_width) = (op.input, op.output[2]);
        let tiles = (op.kernel, op.stride, op.padding, op.dilation) == ([2, 2], [2, 2], [0, 0], [1, 1])
            && 2 * op.output[1] <= op.input[1]
            && 2 * out_width <= width;
        let padded_len = window::row_len(op);
        if !tiles {
            scratch.fill(f32::NEG_INFINITY);
        }
        for (plane, ys, at) in row_groups(op, first, output.len() / out_width) {
            let input = &input[plane * op.input_plane()..][..op.input_plane()];
            let range = at * out_width..(at + ys.len()) * out_width;
            let (output, indices) = (&mut output[range.clone()], &mut indices[range]);
            let rows = output.chunks_exact_mut(out_width).zip(indices.chunks_exact_mut(out_width));
            if tiles {
                for (y, (output, indices)) in ys.zip(rows) {
                    tile_row(simd, op, input, y, output, indices);
                }
                continue;
            }
            let inside = |row: usize| row.saturating_sub(op.padding[0]).min(op.input[1]);
            let last = (ys.end - 1) * op.stride[0] + (op.kernel[0] - 1) * op.dilation[0];
            let band = inside(ys.start * op.stride[0])..inside(last + 1);
            for (padded, y) in scratch.chunks_exact_mut(padded_len).zip(band.clone()) {
                padded[op.padding[1]..][..width].copy_from_slice(&input[y * width..][..width]);
            }
            for (y, (output, indices)) in ys.zip(rows) {
                let rows = op.input_rows(y);
                if rows.is_empty() {
                    output.fill(f32::NEG_INFINITY);
                    indices.fill(f32::from_bits(NOWHERE));
                    continue;
                }
                let window_rows =
                    &scratch[(rows.start - band.start) * padded_len..(rows.end - band.start) * padded_len];
                match (op.stride[1], op.dilation[1]) {
                    (1, _) => window_row::<S, 1>(simd, op, window_rows, rows.start, first_taps, output, indices),
                    (2, 1) => window_row::<S, 2>(simd, op, window_rows, rows.start, first_taps, output, indices),
                    _ => window_row::<S, 0>(simd, op, window_rows, rows.start, first_taps, output, indices),
                }
            }
        }
    }
}

/// The larger of a running maximum and a later value, with its index: `value` where it is larger or NaN.
#[inline(always)]
fn later<S: Simd>(simd: S, (max, index): (S::V, S::I), value: S::V, value_index: usize) -> (S::V, S::I) {
    let wins = simd.or_m(simd.gt(value, max), simd.is_nan(value));
    (simd.select(wins, value, max), simd.select_i(wins, simd.splat_i(value_index as i32), index))
}

/// One row of windows over padded rows, for a stride of 1, of 2 (without dilation), or any (0). The elements are taken in the order in which
/// they stand, so that the first of equal ones wins.
#[inline(always)]
fn window_row<S: Simd, const STRIDE: usize>(
    simd: S,
    op: &Pool2d,
    window_rows: &[f32],
    first_row: usize,
    first_taps: &[f32],
    output: &mut [f32],
    indices: &mut [f32],
) {
    let (stride, dilation, width) = (op.stride[1], op.dilation[1], op.input[2]);
    let padded_len = window::row_len(op);
    let nowhere = simd.splat_i(NOWHERE as i32);
    assert!(output.len() == op.output[2] && indices.len() == op.output[2] && first_taps.len() >= op.output[2]);
    let mut x = 0;
    while x < output.len() {
        let count = (output.len() - x).min(S::LANES);
        // Indices from the start of the window, which is the left padding's first column in `first_row`.
        let mut best = (simd.splat(f32::NEG_INFINITY), simd.to_bits(simd.load_partial(&first_taps[x..])));
        for (k, row) in window_rows.chunks_exact(padded_len).step_by(op.dilation[0]).enumerate() {
            let row = row[x * stride..].as_ptr();
            let base = k * op.dilation[0] * width;
            // SAFETY: a padded row has room for whole vectors of windows.
            unsafe {
                match STRIDE {
                    1 => {
                        for column in (0..op.kernel[1]).map(|k| k * dilation) {
                            best = later(simd, best, simd.load_ptr(row.add(column)), base + column);
                        }
                    }
                    2 => {
                        for column in (0..op.kernel[1]).step_by(2) {
                            let (even, odd) = load_pairs(simd, row.add(column));
                            best = later(simd, best, even, base + column);
                            if column + 1 < op.kernel[1] {
                                best = later(simd, best, odd, base + column + 1);
                            }
                        }
                    }
                    _ => {
                        for column in (0..op.kernel[1]).map(|k| k * dilation) {
                            best = later(simd, best, simd.load_strided(row.add(column), stride), base + column);
                        }
                    }
                }
            }
        }
        let (max, index) = best;
        // Wrapping where the window starts in the padding; what is added to it makes up for that.
        let start = ((first_row * width + x * stride) as i32).wrapping_sub(op.padding[1] as i32);
        let start = simd.add_i(simd.splat_i(start), simd.mul_i(simd.iota(), simd.splat_i(stride as i32)));
        let index = simd.select_i(simd.eq_i(index, nowhere), nowhere, simd.add_i(index, start));
        // SAFETY: x + count is at most the length of both.
        unsafe {
            store(simd, max, output.as_mut_ptr().add(x), count);
            store(simd, simd.from_bits(index), indices.as_mut_ptr().add(x), count);
        }
        x += S::LANES;
    }
}

/// One row of windows of two by two that stand side by side.
#[inline(always)]
fn tile_row<S: Simd>(simd: S, op: &Pool2d, input: &[f32], y: usize, output: &mut [f32], indices: &mut [f32]) {
    let (width, out_width) = (op.input[2], output.len());
    let (above, below) = input[2 * y * width..][..2 * width].split_at(width);
    assert!(2 * out_width <= width && indices.len() == out_width, "two columns for every output");
    let mut x = 0;
    while x < out_width {
        let count = (out_width - x).min(S::LANES);
        // SAFETY: both rows have 2 * (x + count) columns, output and indices x + count.
        unsafe {
            let (a, b) = load_some_pairs(simd, above.as_ptr().add(2 * x), count);
            let (c, d) = load_some_pairs(simd, below.as_ptr().add(2 * x), count);
            let best = later(simd, (a, simd.splat_i(0)), b, 1);
            let best = later(simd, best, c, width);
            let (max, offset) = later(simd, best, d, width + 1);
            let first = simd.splat_i((2 * (y * width + x)) as i32);
            let index = simd.add_i(simd.add_i(first, simd.shl_i::<1>(simd.iota())), offset);
            store(simd, max, output.as_mut_ptr().add(x), count);
            store(simd, simd.from_bits(index), indices.as_mut_ptr().add(x), count);
        }
        x += S::LANES;
    }
}

/// The even and the odd elements of `count` pairs from `p` on.
///
/// # Safety
///
/// `p` is valid for reading them, and `count <= LANES`.
#[inline(always)]
unsafe fn load_some_pairs<S: Simd>(simd: S, p: *const f32, count: usize) -> (S::V, S::V) {
    let len = 2 * count;
    // SAFETY: the caller's promise.
    unsafe {
        let low = load(simd, p, len.min(S::LANES));
        // Not a load of nothing; see `reduce_pairs`.
        let high = if len > S::LANES { load(simd, p.add(S::LANES), len - S::LANES) } else { low };
        simd.deinterleave(low, high)
    }
}

/// Consecutive pairs of input rows under windows of two by two that tile the input, counted through all planes.
struct BackwardTiles<'a> {
    op: &'a Pool2d,
    indices: &'a [f32],
    grad_output: &'a [f32],
    grad_input: &'a mut [f32],
    /// The first pair, which is a row of the output.
    first: usize,
}

impl Kernel for BackwardTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ([_, _, width], [_, out_height, out_width]) = (self.op.input, self.op.output);
        for (i, rows) in self.grad_input.chunks_mut(2 * width).enumerate() {
            let row = self.first + i;
            let range = row * out_width..(row + 1) * out_width;
            let (indices, grad_output) = (&self.indices[range.clone()], &self.grad_output[range]);
            let (above, below) = rows.split_at_mut(width);
            for x in (0..out_width).step_by(S::LANES) {
                let end = (x + S::LANES).min(out_width);
                let index = simd.to_bits(simd.load_partial(&indices[x..end]));
                let gradient = simd.load_partial(&grad_output[x..end]);
                let first = simd.splat_i((row % out_height * 2 * width + 2 * x) as i32);
                let offset = simd.sub_i(index, simd.add_i(first, simd.shl_i::<1>(simd.iota())));
                store_shares(simd, offset, gradient, 0, &mut above[2 * x..2 * end]);
                store_shares(simd, offset, gradient, width, &mut below[2 * x..2 * end]);
            }
        }
    }
}

/// Writes the gradients of a vector of tiles to one row of them, whose elements have the offsets `start` and `start + 1` in their tiles.
#[inline(always)]
fn store_shares<S: Simd>(simd: S, offset: S::I, gradient: S::V, start: usize, row: &mut [f32]) {
    let left = simd.select(simd.eq_i(offset, simd.splat_i(start as i32)), gradient, simd.zero());
    let right = simd.select(simd.eq_i(offset, simd.splat_i((start + 1) as i32)), gradient, simd.zero());
    let (low, high) = simd.interleave(left, right);
    if row.len() == 2 * S::LANES {
        simd.store(low, row);
        simd.store(high, &mut row[S::LANES..]);
    } else {
        simd.store_partial(low, row);
        if row.len() > S::LANES {
            simd.store_partial(high, &mut row[S::LANES..]);
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::pool2d::sized as op;
    use crate::kernels::testing::{Tolerance, check, data, straddling};
    use crate::reference::max_pool2d as reference;

    /// Compares everything with the reference. Few different values, so that there are ties; NaN and infinities among them.
    fn compare(op: &Pool2d, batch: usize) {
        let len = batch * op.input.iter().product::<usize>();
        let out_len = batch * op.output.iter().product::<usize>();
        let input: Vec<f32> = data(1, len)
            .into_iter()
            .map(|x| match (x * 20.0).round() {
                19.0 => f32::NAN,
                18.0 => f32::INFINITY,
                ..=-5.0 => f32::NEG_INFINITY,
                x => x,
            })
            .collect();
        let (mut output, mut indices) = (vec![f32::NAN; out_len], vec![f32::NAN; out_len]);
        reference::forward(op, &input, &mut output, Some(&mut indices));
        let exact = Tolerance::EXACT.with_special();
        check(&format!("{op:?}, values"), exact, [output.clone()], |context, [output]| {
            forward(context, op, &input, output, None);
        });
        check(&format!("{op:?}, indices"), exact, [output, indices.clone()], |context, [output, indices]| {
            forward(context, op, &input, output, Some(indices));
        });
        let grad_output = data(2, out_len);
        let mut grad_input = vec![f32::NAN; len];
        reference::backward(op, &indices, &grad_output, &mut grad_input);
        check(&format!("{op:?}, backward"), Tolerance::EXACT, [grad_input], |context, [grad_input]| {
            backward(context, op, &indices, &grad_output, grad_input);
        });
    }

    #[test]
    fn two_by_two() {
        for width in straddling(16).into_iter().chain(straddling(32)) {
            for ceil in [false, true] {
                compare(&op([3, 4, width.max(2)], [2, 2], [2, 2], [0, 0], [1, 1], ceil), 2);
                compare(&op([2, 5, width.max(2)], [2, 2], [2, 2], [0, 0], [1, 1], ceil), 1);
            }
        }
    }

    #[test]
    fn windows_of_any_kind() {
        for width in straddling(16) {
            let width = width + 4;
            for (kernel, stride, padding, dilation) in [
                ([3, 3], [2, 2], [0, 0], [1, 1]),
                ([3, 3], [2, 2], [1, 1], [1, 1]),
                ([3, 3], [1, 1], [1, 1], [1, 1]),
                ([1, 2], [1, 2], [0, 1], [1, 1]),
                ([2, 1], [2, 2], [1, 0], [1, 1]),
                ([3, 4], [3, 2], [1, 2], [1, 1]),
                ([2, 3], [1, 3], [0, 1], [1, 1]),
                ([3, 2], [2, 3], [1, 1], [2, 1]),
                ([2, 3], [2, 1], [1, 1], [1, 2]),
                ([2, 2], [1, 2], [2, 2], [4, 3]),
                ([1, 1], [4, 4], [0, 0], [1, 1]),
            ] {
                for ceil in [false, true] {
                    compare(&op([2, 7, width], kernel, stride, padding, dilation, ceil), 2);
                }
            }
        }
    }

    #[test]
    fn windows_in_the_padding_altogether() {
        compare(&op([2, 2, 20], [2, 2], [1, 1], [2, 2], [4, 4], false), 1);
        compare(&op([2, 20, 2], [2, 2], [1, 1], [2, 2], [4, 4], false), 1);
    }

    #[test]
    fn several_tasks() {
        // 40 planes of 64 x 64: 160 Ki floats, five tasks.
        compare(&op([40, 64, 64], [2, 2], [2, 2], [0, 0], [1, 1], false), 1);
        compare(&op([20, 64, 64], [3, 3], [2, 2], [1, 1], [1, 1], false), 2);
    }

    #[test]
    fn an_empty_batch_is_no_work() {
        let op = op([2, 4, 4], [2, 2], [2, 2], [0, 0], [1, 1], false);
        let mut context = Context::new();
        forward(&mut context, &op, &[], &mut [], None);
        forward(&mut context, &op, &[], &mut [], Some(&mut []));
        backward(&mut context, &op, &[], &[], &mut []);
    }
}
