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
