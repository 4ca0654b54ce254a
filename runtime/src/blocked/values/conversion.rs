//! Between PyTorch's planar layout (NCHW) and the blocked one: what stands at the ends of a program on blocked values, and where one meets plain layers.

use crate::blocked::{BLOCK, Blocked};
use crate::kernels::Context;
use crate::parallel::{self, Disjoint};
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Copies samples `[c, h, w]` into the interior of a blocked value. Lanes past the last channel become zero; the halo is left alone.
///
/// # Panics
/// When a slice is no whole number of samples or the numbers differ.
pub fn to_blocked(context: &mut Context, value: &Blocked, planar: &[f32], blocked: &mut [f32]) {
    let isa = context.isa;
    let tasks = Tasks::new(value, planar.len(), blocked.len());
    let blocked = Disjoint::new(blocked);
    parallel::for_each(tasks.count(), |task| {
        let part = tasks.part(task);
        // SAFETY: the slices are as long as the descriptor says (checked by `Tasks::new`), and every task has pixels of its own.
        unsafe { part.run::<true>(isa, value, planar.as_ptr().cast_mut(), blocked.as_ptr()) };
    });
}

/// Copies the interior of a blocked value into samples `[c, h, w]`.
///
/// # Panics
/// When a slice is no whole number of samples or the numbers differ.
pub fn from_blocked(context: &mut Context, value: &Blocked, blocked: &[f32], planar: &mut [f32]) {
    let isa = context.isa;
    let tasks = Tasks::new(value, planar.len(), blocked.len());
    let planar = Disjoint::new(planar);
    parallel::for_each(tasks.count(), |task| {
        let part = tasks.part(task);
        // SAFETY: the slices are as long as the descriptor says (checked by `Tasks::new`), and every task has channels of its own.
        unsafe { part.run::<false>(isa, value, planar.as_ptr(), blocked.as_ptr().cast_mut()) };
    });
}

/// Floats worth a task of their own: 128 KiB read and written.
const TASK: usize = 16 * 1024;

/// Bands of rows of every block of every sample.
struct Tasks {
    blocks: usize,
    height: usize,
    bands: usize,
    batch: usize,
}

struct Part {
    sample: usize,
    block: usize,
    rows: [usize; 2],
}

impl Tasks {
    fn new(value: &Blocked, planar: usize, blocked: usize) -> Self {
        let batch = value.batch(blocked);
        let sample = value.channels * value.height * value.width;
        assert_eq!(planar, batch * sample, "planar and blocked slices hold different numbers of samples");
        let bands = (value.height * value.width * BLOCK / TASK).clamp(1, value.height.max(1));
        Tasks { blocks: value.blocks(), height: value.height, bands, batch }
    }

    fn count(&self) -> usize {
        self.batch * self.blocks * self.bands
    }

    fn part(&self, task: usize) -> Part {
        let (plane, band) = (task / self.bands, task % self.bands);
        let rows = [band, band + 1].map(|band| self.height * band / self.bands);
        Part { sample: plane / self.blocks, block: plane % self.blocks, rows }
    }
}

impl Part {
    /// # Safety
    /// `planar` and `blocked` point to all samples; the one that is written (`blocked` if `INTO`) may be written in this part, and the
    /// other is only read.
    unsafe fn run<const INTO: bool>(&self, isa: Isa, value: &Blocked, planar: *mut f32, blocked: *mut f32) {
        let plane = value.height * value.width;
        let channel = self.sample * value.channels + self.block * BLOCK;
        let rows = ConvertedRows::<INTO> {
            // SAFETY: within the samples.
            planar: unsafe { planar.add(channel * plane + self.rows[0] * value.width) },
            plane,
            channels: (value.channels - self.block * BLOCK).min(BLOCK),
            // SAFETY: as above.
            blocked: unsafe {
                blocked.add(self.sample * value.sample_len() + value.offset(self.block, self.rows[0], 0))
            },
            row_len: value.row_len(),
            rows: self.rows[1] - self.rows[0],
            width: value.width,
        };
        dispatch(isa, rows);
    }
}

/// ConvertedRows of one block.
struct ConvertedRows<const INTO: bool> {
    planar: *mut f32,
    plane: usize,
    /// Channels of the block, at most 16.
    channels: usize,
    blocked: *mut f32,
    row_len: usize,
    rows: usize,
    width: usize,
}

impl<const INTO: bool> Kernel for ConvertedRows<INTO> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for row in 0..self.rows {
            for column in (0..self.width).step_by(S::LANES) {
                let pixels = (self.width - column).min(S::LANES);
                for lane in (0..BLOCK).step_by(S::LANES) {
                    let channels = self.channels.saturating_sub(lane).min(S::LANES);
                    // SAFETY: `channels` runs of `pixels` floats of the planar sample, and as many pixels of the blocked one; whoever
                    // made this kernel vouches for them.
                    unsafe {
                        let planar = self.planar.wrapping_add(lane * self.plane + row * self.width + column);
                        let blocked = self.blocked.add(row * self.row_len + column * BLOCK + lane);
                        let mut square = [simd.zero(); BLOCK];
                        if INTO {
                            for (i, vector) in square.iter_mut().enumerate().take(channels) {
                                *vector = simd.load_ptr_partial(planar.wrapping_add(i * self.plane), pixels);
                            }
                            transpose(simd, &mut square);
                            for (i, &vector) in square.iter().enumerate().take(pixels) {
                                simd.store_ptr(vector, blocked.add(i * BLOCK));
                            }
                        } else {
                            for (i, vector) in square.iter_mut().enumerate().take(pixels) {
                                *vector = simd.load_ptr(blocked.add(i * BLOCK));
                            }
                            transpose(simd, &mut square);
                            for (i, &vector) in square.iter().enumerate().take(channels) {
                                simd.store_ptr_partial(vector, planar.add(i * self.plane), pixels);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Transposes the first LANES vectors.
///
/// Number i of a list of all L * L floats stands at row i / L, column i % L: log2(L) bits each. Interleaving the first half of the list
/// with the second moves the uppermost bit of every number to the bottom; after log2(L) times, rows and columns have changed places.
#[inline(always)]
fn transpose<S: Simd>(simd: S, square: &mut [S::V; BLOCK]) {
    for _ in 0..S::LANES.ilog2() {
        let from = *square;
        for i in 0..S::LANES / 2 {
            (square[2 * i], square[2 * i + 1]) = simd.interleave(from[i], from[i + S::LANES / 2]);
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
