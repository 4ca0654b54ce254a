//! What is done to sums before they are written: the activation.
//!
//! A clamp (ReLU, ReLU6) is applied in registers. Every other function goes over what a task has just written: inlined for each of a
//! tile's accumulators it would be several thousand instructions, and the tile's output is still in the cache.

use super::blocked::{BLOCK, Blocked};
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

    /// Applies what remains to `rows` x `columns` pixels of block `block` of a sample that starts at `sample`, and writes zeros to the
    /// lanes past the last channel.
    ///
    /// # Safety
    /// The pixels lie in the value, `sample` points to a whole sample, and nobody else accesses these pixels meanwhile.
    pub unsafe fn finish(
        &self,
        isa: Isa,
        value: &Blocked,
        sample: *mut f32,
        block: usize,
        rows: [usize; 2],
        columns: [usize; 2],
    ) {
        let Some(activation) = self.after else { return };
        let lanes = (value.channels - block * BLOCK).min(BLOCK);
        let pixels = Pixels {
            // SAFETY: the pixel lies in the sample.
            start: unsafe { sample.add(value.offset(block, rows[0], columns[0])) },
            rows: rows[1] - rows[0],
            row_len: value.row_len(),
            columns: columns[1] - columns[0],
            lanes,
        };
        macro_rules! run {
            ($function:expr) => {
                dispatch(
                    isa,
                    // SAFETY: the caller's promise.
                    unsafe { Finish::new(pixels, $function) },
                )
            };
        }
        with_function!(activation, value, run);
    }
}

#[derive(Clone, Copy)]
struct Pixels {
    start: *mut f32,
    rows: usize,
    row_len: usize,
    columns: usize,
    /// Lanes that hold channels.
    lanes: usize,
}

struct Finish<F> {
    pixels: Pixels,
    function: F,
}

impl<F> Finish<F> {
    /// # Safety
    /// As [`Epilogue::finish`].
    unsafe fn new(pixels: Pixels, function: F) -> Self {
        Finish { pixels, function }
    }
}

impl<F: Function<1>> Kernel for Finish<F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Pixels { start, rows, row_len, columns, lanes } = self.pixels;
        for row in 0..rows {
            for pixel in 0..columns {
                for lane in (0..BLOCK).step_by(S::LANES) {
                    // SAFETY: `new`'s caller vouches for every pixel.
                    unsafe {
                        let at = start.add(row * row_len + pixel * BLOCK + lane);
                        let y = self.function.apply(simd, [simd.load_ptr(at)]);
                        let keep = simd.first(lanes.saturating_sub(lane));
                        simd.store_ptr(simd.select(keep, y, simd.zero()), at);
                    }
                }
            }
        }
    }
}
