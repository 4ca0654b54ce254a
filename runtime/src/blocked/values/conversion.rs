//! Between PyTorch's planar layout (NCHW) and the blocked one: what stands at the ends of a program on blocked values, and where one meets plain layers.

use crate::blocked::bands::Bands;
use crate::blocked::rows::{Rows, RowsMut};
use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::kernels::transpose::transpose_square;
use crate::simd::{Kernel, Simd, dispatch};

/// Copies samples `[c, h, w]` into the interior of a blocked value. Lanes past the last channel become zero; the halo is left alone.
///
/// # Panics
/// When a slice is no whole number of samples or the numbers differ.
pub fn to_blocked(context: &mut Context, value: &Blocked, planar: &[f32], blocked: &mut [f32]) {
    let isa = context.isa;
    bands(value, planar.len(), blocked.len()).write(value, blocked, |[sample, block, first], to| {
        let plane = value.height * value.width;
        let from = &planar[(sample * value.channels + block * BLOCK) * plane + first * value.width..];
        dispatch(isa, ToBlocked { from, plane, channels: value.block_channels(block), to });
    });
}

/// Copies the interior of a blocked value into samples `[c, h, w]`.
///
/// # Panics
/// When a slice is no whole number of samples or the numbers differ.
pub fn from_blocked(context: &mut Context, value: &Blocked, blocked: &[f32], planar: &mut [f32]) {
    let isa = context.isa;
    bands(value, planar.len(), blocked.len()).write_planes(value, planar, |band, to| {
        dispatch(isa, ToPlanar { from: Rows::of(value, blocked, band), channels: value.block_channels(band[1]), to });
    });
}

/// How the work is cut, for slices of so many floats.
fn bands(value: &Blocked, planar: usize, blocked: usize) -> Bands {
    let batch = value.batch(blocked);
    let sample = value.channels * value.height * value.width;
    assert_eq!(planar, batch * sample, "planar and blocked slices hold different numbers of samples");
    Bands::new(batch, value.blocks(), value.height, 2 * value.width * BLOCK)
}

/// Rows of one block.
struct ToBlocked<'a, 'b> {
    /// The first channel, from the first of these rows on.
    from: &'a [f32],
    /// Floats from a channel to the next.
    plane: usize,
    channels: usize,
    to: RowsMut<'b>,
}

impl Kernel for ToBlocked<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ToBlocked { from, plane, channels, mut to } = self;
        for row in 0..to.count() {
            let to = to.row(row);
            let width = to.len() / BLOCK;
            for column in (0..width).step_by(S::LANES) {
                let pixels = (width - column).min(S::LANES);
                for lane in (0..BLOCK).step_by(S::LANES) {
                    let mut square = [simd.zero(); BLOCK];
                    for (i, vector) in square.iter_mut().enumerate().take(channels.saturating_sub(lane).min(S::LANES)) {
                        let start = (lane + i) * plane + row * width + column;
                        *vector = simd.load_partial(&from[start..start + pixels]);
                    }
                    transpose_square(simd, &mut square);
                    for (i, &vector) in square.iter().enumerate().take(pixels) {
                        simd.store(vector, &mut to[(column + i) * BLOCK + lane..]);
                    }
                }
            }
        }
    }
}

/// Rows of one block.
struct ToPlanar<'a, 'b> {
    from: Rows<'a>,
    channels: usize,
    /// As many planes.
    to: RowsMut<'b>,
}

impl Kernel for ToPlanar<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ToPlanar { from, channels, mut to } = self;
        for row in 0..to.count() {
            let from = from.row(row);
            let width = from.len() / BLOCK;
            for column in (0..width).step_by(S::LANES) {
                let pixels = (width - column).min(S::LANES);
                for lane in (0..channels).step_by(S::LANES) {
                    let mut square = [simd.zero(); BLOCK];
                    for (i, vector) in square.iter_mut().enumerate().take(pixels) {
                        *vector = simd.load(&from[(column + i) * BLOCK + lane..]);
                    }
                    transpose_square(simd, &mut square);
                    for (i, &vector) in square.iter().enumerate().take((channels - lane).min(S::LANES)) {
                        simd.store_partial(vector, &mut to.of_plane(lane + i, row)[column..column + pixels]);
                    }
                }
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::blocked::testing::blocked;
    use crate::kernels::testing::{Tolerance, check, data};

    #[test]
    fn there_and_back() {
        for channels in [1, 3, 4, 5, 8, 15, 16, 17, 40] {
            for [height, width] in [[1, 1], [3, 5], [2, 16], [5, 17], [1, 33]] {
                for batch in [1, 3] {
                    let value = Blocked::new(channels, height, width)
                        .with_halo([1, 2, 0, 1])
                        .within(1, channels.div_ceil(16) + 2);
                    let planar = data(1, batch * channels * height * width);
                    let expected = blocked(&value, &planar, f32::NAN);
                    check("to_blocked", Tolerance::EXACT.with_special(), [expected.clone()], |context, [output]| {
                        to_blocked(context, &value, &planar, output);
                    });
                    check("from_blocked", Tolerance::EXACT, [planar], |context, [output]| {
                        from_blocked(context, &value, &expected, output);
                    });
                }
            }
        }
    }

    #[test]
    fn bands() {
        let value = Blocked::new(20, 70, 66);
        let planar = data(1, 20 * 70 * 66);
        let expected = blocked(&value, &planar, 0.0);
        check("to_blocked", Tolerance::EXACT, [expected.clone()], |context, [output]| {
            to_blocked(context, &value, &planar, output);
        });
        check("from_blocked", Tolerance::EXACT, [planar], |context, [output]| {
            from_blocked(context, &value, &expected, output);
        });
    }
}
