//! Transposing in registers.

use crate::simd::Simd;

/// `to[j * to_stride + i] = from[i * from_stride + j]` for `i < rows` and `j < cols`.
///
/// # Panics
/// If the slices do not hold these elements.
#[inline(always)]
pub(crate) fn transpose<S: Simd>(
    simd: S,
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
    (rows, cols): (usize, usize),
) {
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(from.len() >= (rows - 1) * from_stride + cols && to.len() >= (cols - 1) * to_stride + rows);
    for i in (0..rows).step_by(S::LANES) {
        for j in (0..cols).step_by(S::LANES) {
            let (height, width) = (S::LANES.min(rows - i), S::LANES.min(cols - j));
            // SAFETY: the block at (i, j) of `height` x `width` is within both, as asserted.
            unsafe {
                let from = from.as_ptr().add(i * from_stride + j);
                let to = to.as_mut_ptr().add(j * to_stride + i);
                block(simd, from, from_stride, to, to_stride, (height, width));
            }
        }
    }
}

/// Transposes one block of at most `LANES` x `LANES`.
///
/// # Safety
/// `from` is valid for reading `size.0` rows of `size.1`, `to` for writing `size.1` rows of `size.0`.
#[inline(always)]
unsafe fn block<S: Simd>(
    simd: S,
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
    (rows, cols): (usize, usize),
) {
    let mut v = [simd.zero(); 16];
    for (i, v) in v.iter_mut().enumerate().take(S::LANES) {
        if i < rows {
            // SAFETY: the caller's promise for row i.
            *v = unsafe { simd.load_ptr_partial(from.add(i * from_stride), cols) };
        }
    }
    transpose_square(simd, &mut v);
    for (j, v) in v.iter().enumerate().take(S::LANES) {
        if j < cols {
            // SAFETY: the caller's promise for row j of the result.
            unsafe { simd.store_ptr_partial(*v, to.add(j * to_stride), rows) };
        }
    }
}

/// Transposes the first `LANES` vectors.
#[inline(always)]
pub(crate) fn transpose_square<S: Simd>(simd: S, v: &mut [S::V; 16]) {
    // Interleaving rows i and i + LANES / 2 moves the top bit of the row's number to the bottom of the column's: as many times as there
    // are bits, and the two have changed places.
    let mut bits = S::LANES;
    while bits > 1 {
        let before = *v;
        for i in 0..S::LANES / 2 {
            (v[2 * i], v[2 * i + 1]) = simd.interleave(before[i], before[i + S::LANES / 2]);
        }
        bits /= 2;
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, Tolerance};
    use crate::simd::{Kernel, dispatch};

    struct Transpose<'a>(&'a [f32], usize, &'a mut [f32], usize, (usize, usize));
    impl Kernel for Transpose<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            transpose(simd, self.0, self.1, self.2, self.3, self.4);
        }
    }

    #[test]
    fn rows_become_columns() {
        for (rows, cols) in [1, 3, 4, 5, 8, 15, 16, 17, 33].into_iter().flat_map(|r| [1, 4, 7, 16, 18].map(|c| (r, c)))
        {
            let from = testing::data(1, rows * (cols + 2));
            let expected = (0..cols).flat_map(|j| {
                let from = &from;
                (0..rows).map(move |i| from[i * (cols + 2) + j])
            });
            testing::check(
                &format!("transpose {rows} x {cols}"),
                Tolerance::EXACT,
                [expected.collect()],
                |context, [to]| {
                    dispatch(context.isa, Transpose(&from, cols + 2, to, rows, (rows, cols)));
                },
            );
        }
    }
}
