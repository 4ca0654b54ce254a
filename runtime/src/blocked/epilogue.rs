//! What is done to sums before they are written: the activation.
//!
//! A clamp (ReLU, ReLU6) is applied in registers. Every other function goes over what a task has just written: inlined for each of a
//! tile's accumulators it would be several thousand instructions, and the tile's output is still in the cache.

use crate::blocked::{BLOCK, Blocked};
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
        // SAFETY: the pixel lies in the sample.
        let start = unsafe { sample.add(value.offset(block, rows[0], columns[0])) };
        let rows = ActivationRows {
            from: start,
            from_row: value.row_len(),
            to: start,
            to_row: value.row_len(),
            rows: rows[1] - rows[0],
            pixels: columns[1] - columns[0],
            lanes: (value.channels - block * BLOCK).min(BLOCK),
            tail: 0,
        };
        // SAFETY: the caller's promise.
        unsafe { apply(isa, activation, rows) };
    }

    /// Applies what remains to `rows` rows of `len` floats, `row_len` apart, without blocks.
    ///
    /// # Safety
    /// The rows may be written, and nobody else accesses them meanwhile.
    pub unsafe fn finish_plain(&self, isa: Isa, start: *mut f32, rows: usize, row_len: usize, len: usize) {
        let Some(activation) = self.after else { return };
        let rows = ActivationRows {
            from: start,
            from_row: row_len,
            to: start,
            to_row: row_len,
            rows,
            pixels: len / BLOCK,
            lanes: BLOCK,
            tail: len % BLOCK,
        };
        // SAFETY: the caller's promise.
        unsafe { apply(isa, activation, rows) };
    }
}

/// ActivationRows of pixels of 16 floats, to read and to write, perhaps in the same place.
#[derive(Clone, Copy)]
pub(super) struct ActivationRows {
    pub from: *const f32,
    /// From a row to the next.
    pub from_row: usize,
    pub to: *mut f32,
    pub to_row: usize,
    pub rows: usize,
    /// Whole pixels of a row.
    pub pixels: usize,
    /// Lanes that hold channels: the others become zeros.
    pub lanes: usize,
    /// Floats of a row past its last whole pixel, and nothing after them.
    pub tail: usize,
}

/// Writes the function of every float.
///
/// # Safety
/// The rows may be read and written, and nobody else accesses what is written meanwhile.
pub(super) unsafe fn apply(isa: Isa, activation: Activation, rows: ActivationRows) {
    macro_rules! run {
        ($function:expr) => {
            dispatch(
                isa,
                // SAFETY: the caller's promise.
                unsafe { Apply::new(rows, $function) },
            )
        };
    }
    with_function!(activation, value, run);
}

struct Apply<F> {
    rows: ActivationRows,
    function: F,
}

impl<F> Apply<F> {
    /// # Safety
    /// As [`apply`].
    unsafe fn new(rows: ActivationRows, function: F) -> Self {
        Apply { rows, function }
    }
}

impl<F: Function<1>> Kernel for Apply<F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ActivationRows { from, from_row, to, to_row, rows, pixels, lanes, tail } = self.rows;
        for row in 0..rows {
            // SAFETY: `new`'s caller vouches for every row; a tail is read and written no farther than it reaches.
            unsafe {
                let (from, to) = (from.add(row * from_row), to.add(row * to_row));
                let mut at = 0;
                while at < pixels * BLOCK {
                    let y = self.function.apply(simd, [simd.load_ptr(from.add(at))]);
                    let keep = simd.first(lanes.saturating_sub(at % BLOCK));
                    simd.store_ptr(simd.select(keep, y, simd.zero()), to.add(at));
                    at += S::LANES;
                }
                let end = at + tail;
                while at < end {
                    let count = (end - at).min(S::LANES);
                    let y = self.function.apply(simd, [simd.load_ptr_partial(from.add(at), count)]);
                    simd.store_ptr_partial(y, to.add(at), count);
                    at += S::LANES;
                }
            }
        }
    }
}
