//! Average pooling.

pub use castnet_descriptors::AvgPool2d;

use super::Context;
use super::pool2d::{self, GROUP, Pool2d};
use super::statistics;
use super::window::{self, Reduction, load, store};
use crate::parallel::{self, for_each_chunk, for_each_chunk_scratch, items_per_task};
use crate::simd::{BLOCK, Isa, Kernel, Simd, dispatch};

/// Checks what the kernels rely on and returns the number of planes.
#[track_caller]
fn planes(op: &AvgPool2d, input_len: usize, output_len: usize) -> usize {
    assert_eq!(op.pool.dilation, [1, 1], "average pooling knows no dilation");
    pool2d::pooled_planes(&op.pool, input_len, output_len)
}

/// Floats of the table of [`write_divisors`].
fn table_len(op: &AvgPool2d) -> usize {
    op.pool.output[1].next_multiple_of(BLOCK) + op.pool.output[2].next_multiple_of(BLOCK)
}

/// Writes the factors of the divisors: those of the rows, and those of the columns, either as many as whole vectors.
fn write_divisors<'a>(op: &AvgPool2d, table: &'a mut [f32]) -> Divisors<'a> {
    let (rows, columns) = table.split_at_mut(op.pool.output[1].next_multiple_of(BLOCK));
    for (axis, factors) in [&mut *rows, &mut *columns].into_iter().enumerate() {
        for (position, factor) in factors.iter_mut().enumerate() {
            // What is past the output divides lanes that are not written.
            *factor = if position < op.pool.output[axis + 1] { op.divisor(axis, position) } else { 1.0 };
        }
    }
    // Where every divisor is a power of two, the product with its reciprocal is the quotient, bit by bit, and several times as fast.
    let exact = rows.iter().chain(&*columns).all(|&factor| factor.to_bits().trailing_zeros() >= 23);
    if exact {
        rows.iter_mut().chain(&mut *columns).for_each(|factor| *factor = 1.0 / *factor);
    }
    Divisors { rows, columns, exact }
}

/// The sum of every window over its divisor, which is PyTorch's: `divisor` where it is given; else the elements of the window that lie in
/// the input, and with `count_include_pad` those in the padding too, but none beyond it.
///
/// - `input`: `[batch, channels, height, width]` as `op.pool.input` says; `output` likewise.
///
/// # Panics
///
/// If the lengths disagree with `op`, or the windows are dilated.
pub fn forward(context: &mut Context, op: &AvgPool2d, input: &[f32], output: &mut [f32]) {
    let isa = context.isa;
    let scratch = context.scratch(forward_scratch_len(op, input.len(), output.len()));
    forward_in(isa, op, input, output, scratch);
}

/// Floats of scratch that [`forward_in`] takes.
pub(super) fn forward_scratch_len(op: &AvgPool2d, input_len: usize, output_len: usize) -> usize {
    if op.is_global() { 0 } else { table_len(op) + window::scratch_len(&op.pool, input_len, output_len) }
}

/// [`forward`] with scratch of the caller's.
pub(super) fn forward_in(isa: Isa, op: &AvgPool2d, input: &[f32], output: &mut [f32], scratch: &mut [f32]) {
    planes(op, input.len(), output.len());
    if op.is_global() {
        let (plane, divisor) = (op.pool.input_plane(), f64::from(op.divisor(0, 0)) * f64::from(op.divisor(1, 0)));
        let per_task = items_per_task(output.len(), plane);
        return for_each_chunk(output, per_task, |i, output| {
            dispatch(isa, Means { input: &input[i * per_task * plane..], plane, divisor, output });
        });
    }
    let (table, scratch) = scratch.split_at_mut(table_len(op));
    window::reduce(isa, &op.pool, write_divisors(op, table), input, output, scratch);
}

/// Every output's gradient, over the divisor, goes to each input of its window.
///
/// - `grad_output`: the gradient for the output; `grad_input`: takes that for the input.
///
/// # Panics
///
/// If the lengths disagree with `op`, or the windows are dilated.
pub fn backward(context: &mut Context, op: &AvgPool2d, grad_output: &[f32], grad_input: &mut [f32]) {
    let isa = context.isa;
    let scratch = context.scratch(backward_scratch_len(op, grad_input.len()));
    backward_in(isa, op, grad_output, grad_input, scratch);
}

/// Floats of scratch that [`backward_in`] takes.
pub(super) fn backward_scratch_len(op: &AvgPool2d, input_len: usize) -> usize {
    if op.is_global() {
        return 0;
    }
    let rows = input_len / op.pool.input[2];
    let tasks = rows.div_ceil(items_per_task(rows, 2 * op.pool.input[2]));
    table_len(op) + GROUP * Backward::row_len(&op.pool) * tasks.min(parallel::threads())
}

/// [`backward`] with scratch of the caller's.
pub(super) fn backward_in(isa: Isa, op: &AvgPool2d, grad_output: &[f32], grad_input: &mut [f32], scratch: &mut [f32]) {
    let planes = planes(op, grad_input.len(), grad_output.len());
    if op.is_global() {
        let (plane, divisor) = (op.pool.input_plane(), op.divisor(0, 0) * op.divisor(1, 0));
        let per_task = items_per_task(planes, plane);
        return for_each_chunk(grad_input, per_task * plane, |i, grad_input| {
            for (plane, gradient) in grad_input.chunks_mut(plane).zip(&grad_output[i * per_task..]) {
                plane.fill(gradient / divisor);
            }
        });
    }
    let [_, height, width] = op.pool.input;
    let rows = planes * height;
    let per_task = items_per_task(rows, 2 * width);
    let each = GROUP * Backward::row_len(&op.pool);
    let (table, scratch) = scratch.split_at_mut(table_len(op));
    let divisors = write_divisors(op, table);
    for_each_chunk_scratch(grad_input, per_task * width, scratch, each, |i, grad_input, scratch| {
        dispatch(isa, Backward { op: &op.pool, divisors, grad_output, grad_input, first: i * per_task, scratch });
    });
}

/// Divisors as the products of a factor for the row and one for the column.
#[derive(Clone, Copy)]
struct Divisors<'a> {
    rows: &'a [f32],
    columns: &'a [f32],
    /// Whether these are the reciprocals, to be multiplied with.
    exact: bool,
}

impl Divisors<'_> {
    /// Values over their divisors, the factors of which are `row` and `column`.
    #[inline(always)]
    fn divide<S: Simd>(self, simd: S, value: S::V, row: f32, column: S::V) -> S::V {
        let product = simd.mul(simd.splat(row), column);
        if self.exact { simd.mul(value, product) } else { simd.div(value, product) }
    }
}

/// The sum over the divisor.
impl Reduction for Divisors<'_> {
    const IDENTITY: f32 = 0.0;
    #[inline(always)]
    fn combine<S: Simd>(simd: S, a: S::V, b: S::V) -> S::V {
        simd.add(a, b)
    }
    #[inline(always)]
    fn row(self, y: usize) -> f32 {
        self.rows[y]
    }
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, value: S::V, row: f32, x: usize) -> S::V {
        self.divide(simd, value, row, simd.load(&self.columns[x..]))
    }
}

/// Sums of whole planes over one divisor.
pub(super) struct Means<'a> {
    pub input: &'a [f32],
    /// Elements of a plane.
    pub plane: usize,
    pub divisor: f64,
    pub output: &'a mut [f32],
}

impl Kernel for Means<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (plane, mean) in self.input.chunks_exact(self.plane).zip(self.output) {
            *mean = (statistics::sum(simd, plane) / self.divisor) as f32;
        }
    }
}

/// Consecutive input rows, counted through all planes.
///
/// The transpose of the forward pass: what the windows' rows give to an input row is summed in a working row, as wide as the output and with
/// zeros on both sides; then every input column takes from the columns of that row whose windows hold it.
struct Backward<'a> {
    op: &'a Pool2d,
    divisors: Divisors<'a>,
    grad_output: &'a [f32],
    grad_input: &'a mut [f32],
    /// The first row.
    first: usize,
    scratch: &'a mut [f32],
}

impl Backward<'_> {
    /// Zeros in front of the working row: window columns before the first that an input column's formula may name.
    fn front(op: &Pool2d) -> usize {
        op.kernel[1].div_ceil(op.stride[1])
    }

    /// Floats of the working row: `front` zeros, the sums, and zeros as far as whole vectors of input columns reach.
    fn row_len(op: &Pool2d) -> usize {
        let reach = op.input[2].div_ceil(op.stride[1]).next_multiple_of(BLOCK) + op.padding[1] / op.stride[1] + 1;
        (Self::front(op) + op.output[2].max(reach)).next_multiple_of(BLOCK)
    }
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { op, divisors, grad_output, grad_input, first, scratch } = self;
        let ([_, height, width], out_width) = (op.input, op.output[2]);
        let (row_len, front) = (Self::row_len(op), Self::front(op));
        scratch.fill(0.0);
        let count = grad_input.len() / width;
        let mut at = 0;
        while at < count {
            let (plane, y) = ((first + at) / height, (first + at) % height);
            let group = GROUP.min(count - at).min(height - y);
            let grad_output = &grad_output[plane * op.output_plane()..][..op.output_plane()];
            for (y, row) in (y..).zip(scratch.chunks_exact_mut(row_len).take(group)) {
                sum_rows(simd, op, divisors, grad_output, y, &mut row[front..][..out_width]);
            }
            let rows = grad_input[at * width..].chunks_exact_mut(width);
            for (row, grad_input) in scratch.chunks_exact(row_len).take(group).zip(rows) {
                match op.stride[1] {
                    1 => spread::<S, 1>(simd, op, row, grad_input),
                    2 => spread::<S, 2>(simd, op, row, grad_input),
                    _ => spread::<S, 0>(simd, op, row, grad_input),
                }
            }
            at += group;
        }
    }
}

/// The sum of the rows of gradients, each over its divisor, whose windows hold input row `y`.
#[inline(always)]
fn sum_rows<S: Simd>(simd: S, op: &Pool2d, divisors: Divisors<'_>, grad_output: &[f32], y: usize, row: &mut [f32]) {
    let out_width = row.len();
    // Windows start every `stride` rows of the padded input, of which `y` is this one.
    let padded = y + op.padding[0];
    let first = (padded + 1).saturating_sub(op.kernel[0]).div_ceil(op.stride[0]);
    let end = (padded / op.stride[0] + 1).min(op.output[1]);
    assert!(grad_output.len() >= end * out_width && divisors.columns.len() >= out_width, "a plane as `op` says");
    // Between windows further apart than they are high there may be none.
    let factors = if first < end { &divisors.rows[first..end] } else { &[] };
    let mut x = 0;
    while x < out_width {
        let count = (out_width - x).min(S::LANES);
        // SAFETY: rows of gradients, table and working row are `out_width` long.
        unsafe {
            let column = load(simd, divisors.columns.as_ptr().add(x), count);
            let mut sum = simd.zero();
            for (i, factor) in factors.iter().enumerate() {
                let gradient = load(simd, grad_output.as_ptr().add((first + i) * out_width + x), count);
                // In the lanes past the row, zero over zero: they are not written.
                sum = simd.add(sum, divisors.divide(simd, gradient, *factor, column));
            }
            store(simd, sum, row.as_mut_ptr().add(x), count);
        }
        x += S::LANES;
    }
}

/// Gives every input column the sum of the columns of `row` whose windows hold it, for a stride of 1, of 2, or any (0).
///
/// Input column `u * stride + q` is padded column `u * stride + q + padding`: element `k` of the windows whose column is
/// `u + (q + padding - k) / stride`, for every `k` that leaves no remainder.
#[inline(always)]
fn spread<S: Simd, const STRIDE: usize>(simd: S, op: &Pool2d, row: &[f32], grad_input: &mut [f32]) {
    // Known to the compiler where it is small: a division takes as long as a short row.
    let stride = if STRIDE == 0 { op.stride[1] } else { STRIDE };
    let (padding, kernel, width) = (op.padding[1], op.kernel[1], grad_input.len());
    assert!(row.len() >= Backward::row_len(op) && width == op.input[2], "a working row for an input row");
    // Not the address of a shorter slice, before which nothing may be read.
    let row = row.as_ptr().wrapping_add(Backward::front(op));
    let mut u = 0;
    while u * stride < width {
        let x = u * stride;
        // SAFETY: `row_len` has room for whole vectors of input columns behind `front`, and before it for the elements of a window; and
        // `x + count` is at most the width.
        unsafe {
            match STRIDE {
                1 => {
                    let sum = sum_columns(simd, row.add(u + padding), kernel, 0, 1);
                    store(simd, sum, grad_input.as_mut_ptr().add(x), (width - x).min(S::LANES));
                }
                2 => {
                    let even = sum_columns(simd, row.add(u + padding / 2), kernel, padding % 2, 2);
                    let odd = sum_columns(simd, row.add(u + padding.div_ceil(2)), kernel, (1 + padding) % 2, 2);
                    let (low, high) = simd.interleave(even, odd);
                    let count = (width - x).min(2 * S::LANES);
                    store(simd, low, grad_input.as_mut_ptr().add(x), count.min(S::LANES));
                    if count > S::LANES {
                        store(simd, high, grad_input.as_mut_ptr().add(x + S::LANES), count - S::LANES);
                    }
                }
                _ => {
                    for q in 0..stride {
                        let (start, remainder) = (u + (q + padding) / stride, (q + padding) % stride);
                        let mut lanes = [0.0; BLOCK];
                        simd.store(sum_columns(simd, row.add(start), kernel, remainder, stride), &mut lanes);
                        let columns = grad_input[x..].iter_mut().skip(q).step_by(stride);
                        for (gradient, lane) in columns.zip(&lanes[..S::LANES]) {
                            *gradient = *lane;
                        }
                    }
                }
            }
        }
        u += S::LANES;
    }
}

/// The sum of the vectors at `row`, `row - 1`, …, one for each element `remainder`, `remainder + stride`, … of a window.
///
/// # Safety
///
/// Vectors at all of these are valid for reading.
#[inline(always)]
unsafe fn sum_columns<S: Simd>(simd: S, row: *const f32, kernel: usize, remainder: usize, stride: usize) -> S::V {
    let mut sum = simd.zero();
    for (back, _) in (remainder..kernel).step_by(stride).enumerate() {
        // SAFETY: the caller's promise.
        sum = simd.add(sum, unsafe { simd.load_ptr(row.sub(back)) });
    }
    sum
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::pool2d::sized;
    use crate::kernels::testing::{Tolerance, check, data, straddling};
    use crate::reference::avg_pool2d as reference;

    /// Compares both passes with the reference, for every kind of divisor.
    fn compare(pool: &Pool2d, batch: usize) {
        for (count_include_pad, divisor) in [(true, None), (false, None), (true, Some(5))] {
            let op = AvgPool2d { pool: *pool, count_include_pad, divisor };
            let input = data(1, batch * pool.input.iter().product::<usize>());
            let grad_output = data(2, batch * pool.output.iter().product::<usize>());
            let (mut output, mut grad_input) = (vec![f32::NAN; grad_output.len()], vec![f32::NAN; input.len()]);
            reference::forward(&op, &input, &mut output);
            reference::backward(&op, &grad_output, &mut grad_input);
            // A sum of that many terms over about as many, or over the divisor; in the backward pass as many terms over it.
            let terms = pool.kernel[0] * pool.kernel[1];
            let error = Tolerance::sum(terms).absolute / divisor.unwrap_or(terms) as f32;
            let tolerance = Tolerance::absolute(error.max(4.0 * f32::EPSILON));
            check(&format!("{op:?}"), tolerance, [output], |context, [output]| forward(context, &op, &input, output));
            check(&format!("{op:?}, backward"), tolerance, [grad_input], |context, [grad_input]| {
                backward(context, &op, &grad_output, grad_input);
            });
        }
    }

    #[test]
    fn windows_of_any_kind() {
        for width in straddling(16) {
            let width = width + 4;
            for (kernel, stride, padding) in [
                ([2, 2], [2, 2], [0, 0]),
                ([1, 2], [1, 2], [0, 0]),
                ([3, 2], [2, 2], [0, 0]),
                ([3, 3], [2, 2], [1, 1]),
                ([3, 3], [1, 1], [1, 1]),
                ([2, 3], [1, 2], [1, 0]),
                ([3, 3], [3, 3], [1, 1]),
                ([3, 5], [2, 4], [0, 2]),
                ([2, 2], [3, 3], [1, 0]),
                ([7, 1], [7, 1], [3, 0]),
                ([5, 4], [1, 1], [2, 2]),
            ] {
                for ceil in [false, true] {
                    compare(&sized([2, 7, width], kernel, stride, padding, [1, 1], ceil), 2);
                }
            }
        }
    }

    #[test]
    fn one_window_of_everything() {
        for size in [1, 2, 7, 13, 40] {
            compare(&sized([3, size, size + 1], [size, size + 1], [1, 1], [0, 0], [1, 1], false), 2);
        }
        compare(&sized([3, 3, 3], [5, 5], [5, 5], [1, 1], [1, 1], false), 2);
    }

    #[test]
    fn several_tasks() {
        compare(&sized([40, 64, 64], [2, 2], [2, 2], [0, 0], [1, 1], false), 1);
        compare(&sized([20, 64, 64], [3, 3], [2, 2], [1, 1], [1, 1], false), 2);
        compare(&sized([80, 40, 40], [40, 40], [1, 1], [0, 0], [1, 1], false), 2);
    }

    #[test]
    fn an_empty_batch_is_no_work() {
        let pool = sized([2, 4, 4], [2, 2], [2, 2], [0, 0], [1, 1], false);
        let op = AvgPool2d { pool, count_include_pad: true, divisor: None };
        let mut context = Context::new();
        forward(&mut context, &op, &[], &mut []);
        backward(&mut context, &op, &[], &mut []);
    }
}
