//! Upsampling.

pub use castnet_descriptors::{Upsample, UpsampleMode};

use core::ops::Range;

use super::Context;
use super::pool2d::planes;
use super::window::{load, load_pairs, store};
use crate::parallel::{self, for_each_chunk_scratch, items_per_task};
use crate::simd::{BLOCK, Kernel, Simd, dispatch};

/// The input rows or columns that an output takes from: `(1 - weight) * first + weight * second`; of the nearest, `first` alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Source {
    pub first: usize,
    pub second: usize,
    pub weight: f32,
}

/// What output `position` along an axis (0: rows, 1: columns) takes from, in PyTorch's single-precision arithmetic: at scale 1 its own
/// place; nearest `floor(position / scale)`, for the scale 2 by a shift; bilinear `(position + 1/2) / scale - 1/2`, at least 0, or
/// `position * (length - 1) / (out_length - 1)` with corners aligned. Never decreasing.
fn source(op: &Upsample, axis: usize, position: usize) -> Source {
    let (length, out_length) = (op.input[axis + 1], op.output[axis + 1]);
    let ratio = (1.0 / op.scale[axis]) as f32;
    let exactly = |at: usize| Source { first: at, second: at, weight: 0.0 };
    if out_length == length {
        return exactly(position);
    }
    let at = match op.mode {
        UpsampleMode::Nearest if out_length == 2 * length => return exactly(position / 2),
        UpsampleMode::Nearest => return exactly(((position as f32 * ratio) as usize).min(length - 1)),
        UpsampleMode::Bilinear => (ratio * (position as f32 + 0.5) - 0.5).max(0.0),
        UpsampleMode::BilinearAlignCorners if out_length == 1 => 0.0,
        UpsampleMode::BilinearAlignCorners => (length - 1) as f32 / (out_length - 1) as f32 * position as f32,
    };
    let first = (at as usize).min(length - 1);
    Source { first, second: (first + 1).min(length - 1), weight: (at - first as f32).clamp(0.0, 1.0) }
}

/// Whether a row is stretched to twice its width in the usual way, which whole vectors can do.
fn doubles_width(op: &Upsample) -> bool {
    let usual = match op.mode {
        UpsampleMode::Nearest => true,
        UpsampleMode::Bilinear => op.scale[1] == 2.0,
        UpsampleMode::BilinearAlignCorners => false,
    };
    usual && op.output[2] == 2 * op.input[2]
}

pub(crate) fn is_nearest(op: &Upsample) -> bool {
    op.mode == UpsampleMode::Nearest
}

/// Floats of the tables of rows and columns.
pub(crate) fn tables_len(op: &Upsample) -> usize {
    3 * (op.output[1] + op.output[2])
}

/// Writes what every row and every column of the output takes from.
pub(crate) fn write_tables<'a>(op: &Upsample, tables: &'a mut [f32]) -> [Table<'a>; 2] {
    let (rows, columns) = tables.split_at_mut(3 * op.output[1]);
    [(0, rows), (1, columns)].map(|(axis, table)| {
        let (firsts, rest) = table.split_at_mut(op.output[axis + 1]);
        let (seconds, weights) = rest.split_at_mut(op.output[axis + 1]);
        for (position, weight) in weights.iter_mut().enumerate() {
            let source = source(op, axis, position);
            firsts[position] = f32::from_bits(source.first as u32);
            seconds[position] = f32::from_bits(source.second as u32);
            *weight = source.weight;
        }
        Table { firsts, seconds, weights }
    })
}

/// What the rows or the columns of the output take from; indices as the bits of `u32`.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    firsts: &'a [f32],
    seconds: &'a [f32],
    weights: &'a [f32],
}

impl Table<'_> {
    #[inline(always)]
    pub(crate) fn at(&self, position: usize) -> Source {
        let (first, second) = (self.firsts[position].to_bits(), self.seconds[position].to_bits());
        Source { first: first as usize, second: second as usize, weight: self.weights[position] }
    }

    /// The positions that take from `source`, one of `sources`.
    fn takers(&self, source: usize, sources: usize) -> Range<usize> {
        // Sources never decrease, and most have few takers: a walk from a guess is shorter than a search by halves.
        let count = self.firsts.len();
        let mut start = (source * count / sources).min(count - 1);
        while start > 0 && self.at(start - 1).second >= source {
            start -= 1;
        }
        while start < count && self.at(start).second < source {
            start += 1;
        }
        let mut end = start;
        while end < count && self.at(end).first <= source {
            end += 1;
        }
        start..end
    }
}

/// Every output is the nearest input, or a weighted sum of two rows by two columns of its plane.
///
/// - `input`: `[batch, channels, height, width]` as `op.input` says; `output` likewise.
///
/// # Panics
///
/// If the lengths disagree with `op`.
pub fn forward(context: &mut Context, op: &Upsample, input: &[f32], output: &mut [f32]) {
    let rows = planes(op.input, op.output, input.len(), output.len()) * op.output[1];
    let (isa, width) = (context.isa, op.output[2]);
    let per_task = items_per_task(rows, 2 * width);
    // Bilinear needs two rows that are stretched already; nearest stretches in place.
    let each = if is_nearest(op) { 0 } else { 2 * width.next_multiple_of(BLOCK) };
    let workers = rows.div_ceil(per_task).min(parallel::threads());
    let (tables, scratch) = prepare(context, op, each * workers);
    for_each_chunk_scratch(output, per_task * width, scratch, each, |i, output, scratch| {
        let first = i * per_task;
        if is_nearest(op) {
            dispatch(isa, Nearest { op, tables, input, output, first });
        } else {
            dispatch(isa, Bilinear { op, tables, input, output, first, scratch });
        }
    });
}

/// The transpose of [`forward`]: every output's gradient goes to the inputs that it took from, with their weights.
///
/// - `grad_output`: the gradient for the output; `grad_input`: takes that for the input.
///
/// # Panics
///
/// If the lengths disagree with `op`.
pub fn backward(context: &mut Context, op: &Upsample, grad_output: &[f32], grad_input: &mut [f32]) {
    let rows = planes(op.input, op.output, grad_input.len(), grad_output.len()) * op.input[1];
    let isa = context.isa;
    let per_task = items_per_task(rows, op.input[2] + op.output[1] * op.output[2] / op.input[1]);
    let each = Backward::scratch_len(op);
    let workers = rows.div_ceil(per_task).min(parallel::threads());
    let (tables, scratch) = prepare(context, op, each * workers);
    for_each_chunk_scratch(grad_input, per_task * op.input[2], scratch, each, |i, grad_input, scratch| {
        dispatch(isa, Backward { op, tables, grad_output, grad_input, first: i * per_task, scratch });
    });
}

/// The tables of rows and columns, and working memory of `len` floats behind them.
fn prepare<'a>(context: &'a mut Context, op: &Upsample, len: usize) -> ([Table<'a>; 2], &'a mut [f32]) {
    let room = tables_len(op).next_multiple_of(BLOCK);
    let (tables, scratch) = context.scratch(room + len).split_at_mut(room);
    (write_tables(op, &mut tables[..tables_len(op)]), scratch)
}

/// Counts rows through all planes, of `height` rows each.
#[derive(Clone, Copy)]
struct Counter {
    plane: usize,
    y: usize,
    height: usize,
}

impl Counter {
    fn new(row: usize, height: usize) -> Self {
        Counter { plane: row / height, y: row % height, height }
    }

    /// The next row: not another division.
    #[inline(always)]
    fn advance(&mut self) {
        self.y += 1;
        if self.y == self.height {
            (self.plane, self.y) = (self.plane + 1, 0);
        }
    }
}

/// Consecutive output rows, counted through all planes.
struct Nearest<'a> {
    op: &'a Upsample,
    tables: [Table<'a>; 2],
    input: &'a [f32],
    output: &'a mut [f32],
    first: usize,
}

impl Kernel for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Nearest { op, tables: [rows, columns], input, output, first } = self;
        let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
        let mut done = None;
        let mut counter = Counter::new(first, out_height);
        for i in 0..output.len() / out_width {
            let row = counter.plane * height + rows.at(counter.y).first;
            counter.advance();
            if done == Some(row) {
                output.copy_within((i - 1) * out_width..i * out_width, i * out_width);
                continue;
            }
            done = Some(row);
            let output = &mut output[i * out_width..][..out_width];
            let input = &input[row * width..][..width];
            if doubles_width(op) {
                for (x, y) in input.chunks(S::LANES).zip(output.chunks_mut(2 * S::LANES)) {
                    let x = simd.load_partial(x);
                    let (low, high) = simd.interleave(x, x);
                    simd.store_partial(low, y);
                    if y.len() > S::LANES {
                        simd.store_partial(high, &mut y[S::LANES..]);
                    }
                }
            } else {
                for (y, first) in output.iter_mut().zip(columns.firsts) {
                    *y = input[first.to_bits() as usize];
                }
            }
        }
    }
}

/// Consecutive output rows, counted through all planes.
///
/// The input's rows are stretched first, element by element, each once and only two of them kept; then every output row mixes two of them
/// by whole vectors.
struct Bilinear<'a> {
    op: &'a Upsample,
    tables: [Table<'a>; 2],
    input: &'a [f32],
    output: &'a mut [f32],
    first: usize,
    scratch: &'a mut [f32],
}

impl Kernel for Bilinear<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Bilinear { op, tables: [rows, columns], input, output, first, scratch } = self;
        let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
        let (even, odd) = scratch.split_at_mut(scratch.len() / 2);
        let stretched = [&mut even[..out_width], &mut odd[..out_width]];
        // Which input row, counted through all planes, either holds.
        let mut holds = [None; 2];
        let mut counter = Counter::new(first, out_height);
        for output in output.chunks_exact_mut(out_width) {
            let source = rows.at(counter.y);
            for row in [source.first, source.second] {
                let counted = counter.plane * height + row;
                if holds[row % 2] != Some(counted) {
                    stretch(simd, op, columns, &input[counted * width..][..width], stretched[row % 2]);
                    holds[row % 2] = Some(counted);
                }
            }
            counter.advance();
            let (above, below) = (&*stretched[source.first % 2], &*stretched[source.second % 2]);
            let (weight_above, weight_below) = (simd.splat(1.0 - source.weight), simd.splat(source.weight));
            let mut x = 0;
            while x < out_width {
                let count = (out_width - x).min(S::LANES);
                // SAFETY: x + count is at most the length of either row and of the output.
                unsafe {
                    let above = load(simd, above.as_ptr().add(x), count);
                    let below = load(simd, below.as_ptr().add(x), count);
                    let mixed = simd.mul_add(weight_below, below, simd.mul(weight_above, above));
                    store(simd, mixed, output.as_mut_ptr().add(x), count);
                }
                x += S::LANES;
            }
        }
    }
}

/// Stretches a row bilinearly.
#[inline(always)]
fn stretch<S: Simd>(simd: S, op: &Upsample, columns: Table<'_>, input: &[f32], output: &mut [f32]) {
    let width = input.len();
    let inside = if doubles_width(op) { 1..output.len() - 1 } else { 0..0 };
    for x in (0..inside.start).chain(inside.end..output.len()) {
        let Source { first, second, weight } = columns.at(x);
        output[x] = (1.0 - weight) * input[first] + weight * input[second];
    }
    // Between elements j and j + 1 lie the outputs 2j + 1 and 2j + 2, at a quarter and three quarters of the way.
    let (near, far) = (simd.splat(0.75), simd.splat(0.25));
    let mut j = 0;
    while 2 * j + 1 < inside.end {
        let count = (width - 1 - j).min(S::LANES);
        // SAFETY: j + 1 + count is at most the width, and 2 * j + 1 + 2 * count less than twice that.
        unsafe {
            let (left, right) =
                (load(simd, input.as_ptr().add(j), count), load(simd, input.as_ptr().add(j + 1), count));
            let one = simd.mul_add(far, right, simd.mul(near, left));
            let two = simd.mul_add(near, right, simd.mul(far, left));
            let (low, high) = simd.interleave(one, two);
            let to = output.as_mut_ptr().add(2 * j + 1);
            store(simd, low, to, (2 * count).min(S::LANES));
            if 2 * count > S::LANES {
                store(simd, high, to.add(S::LANES), 2 * count - S::LANES);
            }
        }
        j += S::LANES;
    }
}

/// Consecutive input rows, counted through all planes: the rows of gradients are added by whole vectors, and given to the columns one by
/// one, or by vectors too where the width was doubled.
struct Backward<'a> {
    op: &'a Upsample,
    tables: [Table<'a>; 2],
    grad_output: &'a [f32],
    grad_input: &'a mut [f32],
    first: usize,
    scratch: &'a mut [f32],
}

impl Backward<'_> {
    /// A row of sums with one more at its start, and behind it as much as whole vectors of a doubled row read.
    fn scratch_len(op: &Upsample) -> usize {
        BLOCK + op.output[2].next_multiple_of(2 * BLOCK) + 2 * BLOCK
    }
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { op, tables: [rows, columns], grad_output, grad_input, first, scratch } = self;
        let ([_, height, width], [_, out_height, out_width]) = (op.input, op.output);
        let sums = &mut scratch[BLOCK - 1..];
        let mut counter = Counter::new(first, height);
        for grad_input in grad_input.chunks_exact_mut(width) {
            let (plane, y) = (counter.plane, counter.y);
            counter.advance();
            let grad_output = &grad_output[plane * out_height * out_width..][..out_height * out_width];
            sums.fill(0.0);
            let row = &mut sums[1..=out_width];
            for taker in rows.takers(y, height) {
                let source = rows.at(taker);
                // A row may be both first and second: the last one, where there is none after it.
                let of_first = if source.first == y { 1.0 - source.weight } else { 0.0 };
                let of_second = if source.second == y { source.weight } else { 0.0 };
                add_row(simd, &grad_output[taker * out_width..][..out_width], of_first + of_second, row);
            }
            if doubles_width(op) {
                // The first and the last output take all from one element, which these neighbours make up for.
                (sums[0], sums[out_width + 1]) = (sums[1], sums[out_width]);
                gather_doubled(simd, is_nearest(op), sums, grad_input);
                continue;
            }
            grad_input.fill(0.0);
            for (x, sum) in row.iter().enumerate() {
                let Source { first, second, weight } = columns.at(x);
                grad_input[first] += if is_nearest(op) { *sum } else { (1.0 - weight) * sum };
                if !is_nearest(op) {
                    grad_input[second] += weight * sum;
                }
            }
        }
    }
}

/// Gives every element the sum of what took from it in a row of twice the width, of which `sums[1]` is the first.
///
/// Element `j` is nearest to the outputs `2j` and `2j + 1`. Bilinear, they took three quarters from it, and their neighbours one.
#[inline(always)]
fn gather_doubled<S: Simd>(simd: S, nearest: bool, sums: &[f32], grad_input: &mut [f32]) {
    let width = grad_input.len();
    assert!(sums.len() > 2 * width.next_multiple_of(BLOCK) + 2 * BLOCK, "sums as far as whole vectors read");
    let mut j = 0;
    while j < width {
        // SAFETY: of the sums, 3 + 2 * (j + LANES) at most are read, and j + count is at most the width.
        unsafe {
            let from = sums.as_ptr().add(2 * j);
            let (here, there) = load_pairs(simd, from.add(1));
            let mut sum = simd.add(here, there);
            if !nearest {
                let (before, _) = load_pairs(simd, from);
                let (after, _) = load_pairs(simd, from.add(3));
                let quarter = simd.mul(simd.splat(0.25), simd.add(before, after));
                sum = simd.mul_add(simd.splat(0.75), sum, quarter);
            }
            store(simd, sum, grad_input.as_mut_ptr().add(j), (width - j).min(S::LANES));
        }
        j += S::LANES;
    }
}

/// Adds `weight * row` to `sums`.
#[inline(always)]
fn add_row<S: Simd>(simd: S, row: &[f32], weight: f32, sums: &mut [f32]) {
    for (row, sums) in row.chunks(S::LANES).zip(sums.chunks_mut(S::LANES)) {
        let sum = simd.mul_add(simd.splat(weight), simd.load_partial(row), simd.load_partial(sums));
        simd.store_partial(sum, sums);
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data, straddling};
    use crate::reference::upsample as reference;

    fn compare(channels: usize, [height, width]: [usize; 2], scale: [f64; 2], batch: usize) {
        for mode in [UpsampleMode::Nearest, UpsampleMode::Bilinear, UpsampleMode::BilinearAlignCorners] {
            let output = [channels, (height as f64 * scale[0]) as usize, (width as f64 * scale[1]) as usize];
            let op = Upsample { input: [channels, height, width], output, scale, mode };
            let input = data(1, batch * op.input.iter().product::<usize>());
            let grad_output = data(2, batch * op.output.iter().product::<usize>());
            let (mut output, mut grad_input) = (vec![f32::NAN; grad_output.len()], vec![f32::NAN; input.len()]);
            reference::forward(&op, &input, &mut output);
            reference::backward(&op, &grad_output, &mut grad_input);
            let exact = if is_nearest(&op) { Tolerance::EXACT } else { Tolerance::absolute(2.0 * f32::EPSILON) };
            check(&format!("{op:?}"), exact, [output], |context, [output]| forward(context, &op, &input, output));
            // Sums of as many gradients as outputs take from an input.
            let takers = (2.0 * scale[0].max(1.0) * 2.0 * scale[1].max(1.0)) as usize;
            check(&format!("{op:?}, backward"), Tolerance::sum(2 * takers), [grad_input], |context, [grad_input]| {
                backward(context, &op, &grad_output, grad_input);
            });
        }
    }

    #[test]
    fn doubling() {
        for width in straddling(16) {
            compare(2, [3, width], [2.0, 2.0], 2);
        }
    }

    #[test]
    fn any_scale() {
        for (size, scale) in [
            ([3, 4], [3.0, 3.0]),
            ([5, 7], [1.0, 1.0]),
            ([5, 7], [1.0, 2.0]),
            ([10, 30], [1.2, 1.1]),
            ([7, 33], [2.75, 1.5]),
            ([9, 20], [0.5, 0.7]),
            ([4, 4], [0.25, 0.3]),
            ([1, 1], [4.0, 5.0]),
            ([1, 40], [2.0, 2.1]),
        ] {
            compare(3, size, scale, 2);
        }
    }

    #[test]
    fn several_tasks() {
        compare(40, [20, 21], [2.0, 2.0], 2);
        compare(40, [20, 21], [3.0, 2.5], 1);
    }

    #[test]
    fn zero_times_infinity_is_nan_as_in_pytorch() {
        let op = Upsample { input: [1, 1, 2], output: [1, 1, 4], scale: [1.0, 2.0], mode: UpsampleMode::Bilinear };
        for &isa in crate::kernels::testing::isas() {
            let mut context = crate::simd::with_isa(isa, Context::new);
            let mut output = [0.0; 4];
            forward(&mut context, &op, &[1.0, f32::INFINITY], &mut output);
            let mut expected = [0.0; 4];
            reference::forward(&op, &[1.0, f32::INFINITY], &mut expected);
            assert_eq!(output.map(f32::is_nan), expected.map(f32::is_nan), "{isa}: {output:?}, not {expected:?}");
            assert!(output[0].is_nan(), "{output:?}");
        }
    }

    #[test]
    fn takers_are_the_rows_that_take() {
        for mode in [UpsampleMode::Nearest, UpsampleMode::Bilinear, UpsampleMode::BilinearAlignCorners] {
            for height in 1..9 {
                for scale in [0.3, 0.5, 1.0, 1.2, 1.5, 2.0, 3.7] {
                    let output = [1, (height as f64 * scale) as usize, 1];
                    if output[1] == 0 {
                        continue;
                    }
                    let op = Upsample { input: [1, height, 1], output, scale: [scale, 1.0], mode };
                    let mut tables = vec![f32::NAN; tables_len(&op)];
                    let [rows, _] = write_tables(&op, &mut tables);
                    for y in 0..height {
                        let takes = |&taker: &usize| {
                            let source = source(&op, 0, taker);
                            source.first == y || source.second == y
                        };
                        let takers: Vec<usize> = (0..output[1]).filter(takes).collect();
                        assert_eq!(rows.takers(y, height).collect::<Vec<_>>(), takers, "{op:?}, {y}");
                    }
                }
            }
        }
    }
}
