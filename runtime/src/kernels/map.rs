//! Loops over elements: a function of one, two or three floats at every place, in vectors, on several threads when that pays.

use crate::parallel;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Elements in a task of an elementwise loop; a loop of no more runs where it is.
///
/// Handing out a loop takes about a microsecond while the workers are awake. 16 Ki floats that are read and written are 128 KiB: some
/// 3 microseconds from L2 at 40 GB/s, and with an exponential, at about 0.3 ns each, 5. A multiple of every vector's length.
pub(crate) const TASK: usize = 16 * 1024;

/// A function of `N` floats.
pub(crate) trait Function<const N: usize>: Copy + Send + Sync {
    /// The function lane by lane. Implementors mark it `#[inline(always)]`.
    fn apply<S: Simd>(self, simd: S, x: [S::V; N]) -> S::V;
}

/// `output[i] = function(inputs[0][i], inputs[1][i], …)`.
///
/// # Panics
/// If a length differs.
pub(crate) fn map<const N: usize, F: Function<N>>(isa: Isa, function: F, inputs: [&[f32]; N], output: &mut [f32]) {
    for input in inputs {
        assert_eq!(input.len(), output.len(), "inputs and output of an elementwise loop have the same length");
    }
    parallel::for_each_chunk(output, TASK, |i, output| {
        let inputs = inputs.map(|input| &input[i * TASK..][..output.len()]);
        dispatch(isa, Map { function, inputs, output });
    });
}

/// As [`map`], where `into` is also the function's first argument: `into[i] = function(into[i], inputs[0][i], …)`.
///
/// # Panics
/// If a length differs.
pub(crate) fn update<F: Function<2>>(isa: Isa, function: F, from: &[f32], into: &mut [f32]) {
    assert_eq!(from.len(), into.len(), "both sides of an update have the same length");
    parallel::for_each_chunk(into, TASK, |i, into| {
        dispatch(isa, Update { function, from: &from[i * TASK..][..into.len()], into });
    });
}

/// One task of [`map`]; also for rows that a kernel cuts itself.
pub(crate) struct Map<'a, const N: usize, F> {
    pub function: F,
    /// As long as the output, each.
    pub inputs: [&'a [f32]; N],
    pub output: &'a mut [f32],
}

impl<const N: usize, F: Function<N>> Kernel for Map<'_, N, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Map { function, inputs, output } = self;
        let len = output.len();
        for input in inputs {
            assert_eq!(input.len(), len);
        }
        let mut i = 0;
        while i + S::LANES <= len {
            // SAFETY: LANES elements from i on are within all slices, which are `len` long.
            unsafe {
                let mut x = [simd.zero(); N];
                let mut n = 0;
                while n < N {
                    x[n] = simd.load_ptr(inputs[n].as_ptr().add(i));
                    n += 1;
                }
                simd.store_ptr(function.apply(simd, x), output.as_mut_ptr().add(i));
            }
            i += S::LANES;
        }
        if i < len {
            let mut x = [simd.zero(); N];
            let mut n = 0;
            while n < N {
                x[n] = simd.load_partial(&inputs[n][i..]);
                n += 1;
            }
            simd.store_partial(function.apply(simd, x), &mut output[i..]);
        }
    }
}

/// One task of [`update`].
pub(crate) struct Update<'a, F> {
    pub function: F,
    pub from: &'a [f32],
    pub into: &'a mut [f32],
}

impl<F: Function<2>> Kernel for Update<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Update { function, from, into } = self;
        let len = into.len();
        assert_eq!(from.len(), len);
        let mut i = 0;
        while i + S::LANES <= len {
            // SAFETY: LANES elements from i on are within both slices, which are `len` long.
            unsafe {
                let p = into.as_mut_ptr().add(i);
                simd.store_ptr(function.apply(simd, [simd.load_ptr(p), simd.load_ptr(from.as_ptr().add(i))]), p);
            }
            i += S::LANES;
        }
        if i < len {
            let x = [simd.load_partial(&into[i..]), simd.load_partial(&from[i..])];
            simd.store_partial(function.apply(simd, x), &mut into[i..]);
        }
    }
}

/// `a + b`.
#[derive(Clone, Copy)]
pub(crate) struct Add;

impl Function<2> for Add {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [a, b]: [S::V; 2]) -> S::V {
        simd.add(a, b)
    }
}

/// `a * b`.
#[derive(Clone, Copy)]
pub(crate) struct Mul;

impl Function<2> for Mul {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [a, b]: [S::V; 2]) -> S::V {
        simd.mul(a, b)
    }
}

/// `into[i] = function(into[i], value)`: for a row that a kernel cuts itself.
#[inline(always)]
pub(crate) fn update_with<S: Simd, F: Function<2>>(simd: S, function: F, value: f32, into: &mut [f32]) {
    let value = simd.splat(value);
    for chunk in into.chunks_mut(S::LANES) {
        simd.store_partial(function.apply(simd, [simd.load_partial(chunk), value]), chunk);
    }
}

/// The sum of `x`, in an order that depends on the instruction set and the length alone.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let mut sums = [simd.zero(); 4];
    let mut blocks = x.chunks_exact(4 * S::LANES);
    for block in &mut blocks {
        // Four sums, since an addition takes some four cycles to give what the next one needs.
        sums = [
            simd.add(sums[0], simd.load(block)),
            simd.add(sums[1], simd.load(&block[S::LANES..])),
            simd.add(sums[2], simd.load(&block[2 * S::LANES..])),
            simd.add(sums[3], simd.load(&block[3 * S::LANES..])),
        ];
    }
    for rest in blocks.remainder().chunks(S::LANES) {
        sums[0] = simd.add(sums[0], simd.load_partial(rest));
    }
    simd.reduce_sum(simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3])))
}

/// `output[i] = function(i / inner)(inputs[0][i], …)`: rows of `inner` elements, each with a function of its own.
///
/// # Panics
/// If a length differs.
pub(crate) fn map_rows<const N: usize, F: Function<N>>(
    isa: Isa,
    inner: usize,
    function: impl Fn(usize) -> F + Sync,
    inputs: [&[f32]; N],
    output: &mut [f32],
) {
    for input in inputs {
        assert_eq!(input.len(), output.len(), "inputs and output of an elementwise loop have the same length");
    }
    parallel::for_each_chunk(output, TASK, |i, output| {
        let inputs = inputs.map(|input| &input[i * TASK..][..output.len()]);
        dispatch(isa, MapRows { inner, start: i * TASK, function: &function, inputs, output });
    });
}

/// One task of [`map_rows`]: the elements from `start` on.
struct MapRows<'a, const N: usize, R> {
    inner: usize,
    start: usize,
    function: R,
    inputs: [&'a [f32]; N],
    output: &'a mut [f32],
}

impl<const N: usize, F: Function<N>, R: Fn(usize) -> F> Kernel for MapRows<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let MapRows { inner, start, function, mut inputs, mut output } = self;
        let (mut row, mut column) = (start / inner, start % inner);
        while !output.is_empty() {
            let (now, later) = output.split_at_mut((inner - column).min(output.len()));
            let mut first = inputs;
            let mut n = 0;
            while n < N {
                (first[n], inputs[n]) = inputs[n].split_at(now.len());
                n += 1;
            }
            Map { function: function(row), inputs: first, output: now }.run(simd);
            output = later;
            (row, column) = (row + 1, 0);
        }
    }
}

/// `factor * x`.
#[derive(Clone, Copy)]
pub(crate) struct Scale(pub f32);

impl Function<1> for Scale {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, [x]: [S::V; 1]) -> S::V {
        simd.mul(x, simd.splat(self.0))
    }
}
