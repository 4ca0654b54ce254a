//! Softmax and its logarithm along one axis.

pub use castnet_descriptors::Softmax;

use super::map::TASK;
use super::{Context, math};
use crate::parallel::{self, Disjoint};
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// `output = e^(input - m) / sum(e^(input - m))` along the axis, `m` being the maximum along it. A NaN or an infinity makes all of its
/// axis NaN (minus infinity alone only if there is nothing else), as in PyTorch.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn forward(context: &mut Context, op: &Softmax, input: &[f32], output: &mut [f32]) {
    run(context.isa, op, What::Forward, [input, input], output);
}

/// `grad_input = output * (grad_output - sum(grad_output * output))` along the axis.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn backward(context: &mut Context, op: &Softmax, output: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    run(context.isa, op, What::Backward, [output, grad_output], grad_input);
}

/// `output = input - m - ln(sum(e^(input - m)))` along the axis: the logarithm of [`forward`], without its underflow.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn log_forward(context: &mut Context, op: &Softmax, input: &[f32], output: &mut [f32]) {
    run(context.isa, op, What::LogForward, [input, input], output);
}

/// `grad_input = grad_output - e^output * sum(grad_output)` along the axis; `output` is that of [`log_forward`].
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn log_backward(context: &mut Context, op: &Softmax, output: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    run(context.isa, op, What::LogBackward, [output, grad_output], grad_input);
}

#[derive(Clone, Copy)]
enum What {
    Forward,
    Backward,
    LogForward,
    LogBackward,
}

fn run(isa: Isa, op: &Softmax, what: What, from: [&[f32]; 2], to: &mut [f32]) {
    let plane = op.length * op.inner;
    let sample = op.outer * plane;
    assert_eq!(to.len() % sample, 0, "buffers hold whole samples of {op:?}");
    assert!(from.iter().all(|from| from.len() == to.len()), "buffers of a softmax have the same length");
    // A plane is `[length, inner]`. Small planes go several to a task; of a large one a task takes some columns, a multiple of 16 as
    // vectors are. Half of TASK, since each element is read two or three times.
    let planes = to.len() / plane;
    let (group, columns) = if plane >= TASK / 2 {
        (1, (TASK / 2 / op.length).max(1).next_multiple_of(16).min(op.inner))
    } else {
        (TASK / 2 / plane, op.inner)
    };
    let across = op.inner.div_ceil(columns);
    let to = Disjoint::new(to);
    parallel::for_each(planes.div_ceil(group) * across, |task| {
        let first = task / across * group;
        let start = task % across * columns;
        let part = Part {
            op: *op,
            what,
            planes: [first, (first + group).min(planes)],
            columns: [start, (start + columns).min(op.inner)],
            from,
            to,
        };
        dispatch(isa, part);
    });
}

/// Some planes, and of them some columns.
struct Part<'a> {
    op: Softmax,
    what: What,
    planes: [usize; 2],
    columns: [usize; 2],
    from: [&'a [f32]; 2],
    /// As long as both of `from`; of these columns of these planes nobody else uses anything meanwhile.
    to: Disjoint<'a, f32>,
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Part { op, what, planes, columns, from, to } = self;
        let total = to.len();
        assert!(from[0].len() == total && from[1].len() == total && planes[1] * op.length * op.inner <= total);
        assert!(columns[1] <= op.inner);
        for plane in planes[0]..planes[1] {
            let mut column = columns[0];
            while column < columns[1] {
                let at = plane * op.length * op.inner + column;
                // SAFETY: `at` is within a plane that lies within all three buffers, by the assertions above.
                let (x, g, y) = unsafe { (from[0].as_ptr().add(at), from[1].as_ptr().add(at), to.as_ptr().add(at)) };
                // SAFETY: what a line visits, `length` steps of `inner` from `at` on and `lanes` columns, stays in the plane, and its
                // elements of `to` belong to this task.
                unsafe {
                    if op.inner == 1 {
                        apply(Line::<S, true> { simd, length: op.length, inner: 1, lanes: 1, x, g, y }, what);
                    } else {
                        let lanes = S::LANES.min(columns[1] - column);
                        apply(Line::<S, false> { simd, length: op.length, inner: op.inner, lanes, x, g, y }, what);
                    }
                }
                column += S::LANES;
            }
        }
    }
}

/// Either one axis whose elements lie side by side (`ALONG`), taken in vectors along it, the last of which may be shorter; or as many
/// axes side by side as a vector has lanes (or `lanes` of them), taken in steps of `inner`.
struct Line<S, const ALONG: bool> {
    simd: S,
    length: usize,
    inner: usize,
    lanes: usize,
    x: *const f32,
    g: *const f32,
    y: *mut f32,
}

impl<S: Simd, const ALONG: bool> Line<S, ALONG> {
    #[inline(always)]
    fn steps(&self) -> usize {
        if ALONG { self.length.div_ceil(S::LANES) } else { self.length }
    }

    /// Where step `i` is, and how many lanes it has.
    #[inline(always)]
    fn at(&self, i: usize) -> (usize, usize) {
        if ALONG { (i * S::LANES, (self.length - i * S::LANES).min(S::LANES)) } else { (i * self.inner, self.lanes) }
    }

    /// Step `i` of what `p` points to; zero in missing lanes.
    ///
    /// # Safety
    /// `p` is one of the line's pointers, and the line lies within its buffer.
    #[inline(always)]
    unsafe fn load(&self, p: *const f32, i: usize) -> S::V {
        let (at, lanes) = self.at(i);
        // SAFETY: the caller's promise.
        unsafe {
            if lanes == S::LANES { self.simd.load_ptr(p.add(at)) } else { self.simd.load_ptr_partial(p.add(at), lanes) }
        }
    }

    /// # Safety
    /// As for `load`.
    #[inline(always)]
    unsafe fn store(&self, v: S::V, i: usize) {
        let (at, lanes) = self.at(i);
        // SAFETY: the caller's promise.
        unsafe {
            if lanes == S::LANES {
                self.simd.store_ptr(v, self.y.add(at));
            } else {
                self.simd.store_ptr_partial(v, self.y.add(at), lanes);
            }
        }
    }

    /// `v`, step `i`, with `other` in missing lanes.
    #[inline(always)]
    fn fill(&self, v: S::V, i: usize, other: f32) -> S::V {
        let lanes = self.at(i).1;
        if lanes == S::LANES { v } else { self.simd.select(self.simd.first(lanes), v, self.simd.splat(other)) }
    }

    /// The sum of `term(i)` over the axis, in every lane that belongs to it. Sums of 64 terms are summed, for the error's sake: it grows
    /// with the number of additions that follow each other.
    #[inline(always)]
    fn sum(&self, mut term: impl FnMut(usize) -> S::V) -> S::V {
        let mut total = self.simd.zero();
        for start in (0..self.steps()).step_by(64) {
            let mut sum = self.simd.zero();
            for i in start..(start + 64).min(self.steps()) {
                sum = self.simd.add(sum, term(i));
            }
            total = self.simd.add(total, sum);
        }
        if ALONG { self.simd.splat(self.simd.reduce_sum(total)) } else { total }
    }

    /// The maximum over the axis. A NaN may be lost, but the sum of exponentials has it.
    ///
    /// # Safety
    /// As for `load`.
    #[inline(always)]
    unsafe fn maximum(&self) -> S::V {
        let mut maximum = self.simd.splat(f32::NEG_INFINITY);
        for i in 0..self.steps() {
            // SAFETY: the caller's promise.
            let x = unsafe { self.load(self.x, i) };
            maximum = self.simd.max(maximum, self.fill(x, i, f32::NEG_INFINITY));
        }
        if ALONG { self.simd.splat(self.simd.reduce_max(maximum)) } else { maximum }
    }
}

/// # Safety
/// The line lies within its buffers, and nobody else uses its elements of `y`.
#[inline(always)]
unsafe fn apply<S: Simd, const ALONG: bool>(line: Line<S, ALONG>, what: What) {
    let s = line.simd;
    // SAFETY: the caller's promise, for every load and store.
    unsafe {
        match what {
            What::Forward => {
                let maximum = line.maximum();
                let sum = line.sum(
                    #[inline(always)]
                    |i| {
                        let e = math::exp(s, s.sub(line.load(line.x, i), maximum));
                        line.store(e, i);
                        line.fill(e, i, 0.0)
                    },
                );
                let scale = s.div(s.splat(1.0), sum);
                for i in 0..line.steps() {
                    line.store(s.mul(line.load(line.y, i), scale), i);
                }
            }
            What::LogForward => {
                let maximum = line.maximum();
                let sum = line.sum(
                    #[inline(always)]
                    |i| line.fill(math::exp(s, s.sub(line.load(line.x, i), maximum)), i, 0.0),
                );
                let logarithm = math::ln(s, sum);
                for i in 0..line.steps() {
                    line.store(s.sub(s.sub(line.load(line.x, i), maximum), logarithm), i);
                }
            }
            What::Backward => {
                let sum = line.sum(
                    #[inline(always)]
                    |i| s.mul(line.load(line.x, i), line.load(line.g, i)),
                );
                for i in 0..line.steps() {
                    line.store(s.mul(line.load(line.x, i), s.sub(line.load(line.g, i), sum)), i);
                }
            }
            What::LogBackward => {
                let sum = line.sum(
                    #[inline(always)]
                    |i| line.load(line.g, i),
                );
                for i in 0..line.steps() {
                    let e = math::exp(s, line.load(line.x, i));
                    line.store(s.neg_mul_add(e, sum, line.load(line.g, i)), i);
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{Tolerance, check, data, data_in, straddling};
    use crate::reference::softmax as reference;

    fn check_all(op: Softmax, batch: usize) {
        let len = batch * op.outer * op.length * op.inner;
        let (input, upstream) = (data_in(1, len, -8.0, 8.0), data(2, len));
        let name = format!("{op:?}, batch {batch}");
        let blank = || vec![f32::NAN; len];
        // Softmax is at most 1 and errs by some ulps; its sums have `length` terms.
        let tolerance = Tolerance::sum(op.length.max(16));

        let (mut output, mut gradient) = (blank(), blank());
        reference::forward(&op, &input, &mut output);
        reference::backward(&op, &output, &upstream, &mut gradient);
        check(&format!("softmax {name}"), tolerance, [output.clone()], |context, [y]| forward(context, &op, &input, y));
        check(&format!("softmax backward {name}"), tolerance, [gradient], |context, [gradient]| {
            backward(context, &op, &output, &upstream, gradient);
        });

        let (mut output, mut gradient) = (blank(), blank());
        reference::log_forward(&op, &input, &mut output);
        reference::log_backward(&op, &output, &upstream, &mut gradient);
        // The logarithms are up to 16 + ln(length).
        let logarithm = Tolerance { relative: 1e-6, ..Tolerance::absolute(2e-6) };
        check(&format!("log_softmax {name}"), logarithm, [output.clone()], |context, [y]| {
            log_forward(context, &op, &input, y);
        });
        let tolerance = Tolerance { relative: 1e-5, ..tolerance };
        check(&format!("log_softmax backward {name}"), tolerance, [gradient], |context, [gradient]| {
            log_backward(context, &op, &output, &upstream, gradient);
        });
    }

    #[test]
    fn agrees_with_the_reference_along_rows() {
        for length in straddling(16).into_iter().chain([10, 1000]) {
            check_all(Softmax { outer: 1, length, inner: 1 }, 3);
            check_all(Softmax { outer: 5, length, inner: 1 }, 2);
        }
        check_all(Softmax { outer: 1, length: TASK + 1, inner: 1 }, 2);
        check_all(Softmax { outer: 300, length: 100, inner: 1 }, 1);
    }

    #[test]
    fn agrees_with_the_reference_across_rows() {
        for inner in straddling(16) {
            check_all(Softmax { outer: 2, length: 5, inner }, 2);
        }
        // Many small planes; planes that are cut into columns; longer than a task.
        check_all(Softmax { outer: 1, length: 10, inner: 49 }, 60);
        check_all(Softmax { outer: 1, length: 21, inner: 999 }, 2);
        check_all(Softmax { outer: 1, length: TASK, inner: 3 }, 1);
    }

    #[test]
    fn large_numbers_and_what_is_not_finite() {
        const INF: f32 = f32::INFINITY;
        let rows = [
            [1e30, 1e30, 0.0, -1e30],
            [1000.0, 999.0, 998.0, 0.0],
            [-INF, 0.0, 1.0, -INF],
            [-INF, -INF, -INF, -INF],
            [INF, 0.0, 1.0, 2.0],
            [f32::NAN, 0.0, 1.0, 2.0],
            [0.0, 1.0, 2.0, f32::NAN],
            [f32::NAN, INF, -INF, 0.0],
            [0.5, 1.0, 2.0, 3.0],
        ];
        let tolerance = Tolerance { relative: 1e-6, ..Tolerance::absolute(1e-6) }.with_special();
        let along = rows.as_flattened();
        let across: Vec<f32> = (0..36).map(|i| rows[i % 9][i / 9]).collect();
        for (op, input) in [
            (Softmax { outer: 9, length: 4, inner: 1 }, along),
            (Softmax { outer: 1, length: 4, inner: 9 }, &across[..]),
        ] {
            let (mut output, mut logarithm) = (vec![0.0; 36], vec![0.0; 36]);
            reference::forward(&op, input, &mut output);
            reference::log_forward(&op, input, &mut logarithm);
            assert_eq!(output.iter().filter(|x| x.is_nan()).count(), 5 * 4);
            check("softmax", tolerance, [output], |context, [y]| forward(context, &op, input, y));
            check("log_softmax", tolerance, [logarithm], |context, [y]| log_forward(context, &op, input, y));
        }
    }
}
