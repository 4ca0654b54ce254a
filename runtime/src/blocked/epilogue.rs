//! What is done to sums before they are written: the activation.
//!
//! A clamp (ReLU, ReLU6) is applied in registers. Every other function goes over what a task has just written: inlined for each of a
//! tile's accumulators it would be several thousand instructions, and the tile's output is still in the cache.

use super::rows::{Rows, RowsMut};
use super::values::BLOCK;
use crate::kernels::activation::{Activation, value, with_function};
use crate::kernels::map::Function;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// An activation as the register tiles apply it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epilogue {
    /// The least and largest value to write.
    pub clamp: Option<[f32; 2]>,
    /// What [`Epilogue::finish`] applies.
    after: Option<Activation>,
}

impl Epilogue {
    pub fn new(activation: Option<Activation>) -> Self {
        match activation {
            None => Epilogue { clamp: None, after: None },
            Some(Activation::Relu) => Epilogue { clamp: Some([0.0, f32::INFINITY]), after: None },
            Some(Activation::Relu6) => Epilogue { clamp: Some([0.0, 6.0]), after: None },
            after => Epilogue { clamp: None, after },
        }
    }

    /// Whether nothing remains for [`Epilogue::finish`].
    pub fn is_finished(&self) -> bool {
        self.after.is_none()
    }

    /// Applies what remains to rows of a block, and writes zeros to the lanes from `lanes` on.
    pub fn finish(&self, isa: Isa, rows: RowsMut, lanes: usize) {
        let Some(activation) = self.after else { return };
        apply(isa, activation, None, rows, lanes);
    }

    /// Applies what remains to rows without blocks.
    pub fn finish_plain(&self, isa: Isa, rows: RowsMut) {
        self.finish(isa, rows, BLOCK);
    }
}

/// Writes the function of every float of `from`, or of what is in `to` already. Rows are pixels of 16 floats, of which those from lane
/// `lanes` on become zeros, or anything where that is 16.
pub(super) fn apply(isa: Isa, activation: Activation, from: Option<Rows>, to: RowsMut, lanes: usize) {
    macro_rules! run {
        ($function:expr) => {
            dispatch(isa, Apply { from, to, lanes, function: $function })
        };
    }
    with_function!(activation, value, run);
}

struct Apply<'a, F> {
    from: Option<Rows<'a>>,
    to: RowsMut<'a>,
    lanes: usize,
    function: F,
}

impl<F: Function<1>> Kernel for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Apply { from, mut to, lanes, function } = self;
        for row in 0..to.count() {
            let to = to.row(row);
            // In the first cache from here on: two loops, one of them reading elsewhere, would be twice the code for each function.
            if let Some(from) = &from {
                to.copy_from_slice(from.row(row));
            }
            let mut at = 0;
            let mut vectors = to.chunks_exact_mut(S::LANES);
            for vector in &mut vectors {
                let y = function.apply(simd, [simd.load(vector)]);
                let keep = simd.first(lanes.saturating_sub(at % BLOCK));
                simd.store(simd.select(keep, y, simd.zero()), vector);
                at += S::LANES;
            }
            let tail = vectors.into_remainder();
            if !tail.is_empty() {
                simd.store_partial(function.apply(simd, [simd.load_partial(tail)]), tail);
            }
        }
    }
}
