//! How the kernels that take one channel for one channel cut their work: rows of every block of every sample.

use super::rows::RowsMut;
use super::values::{BLOCK, Blocked};
use crate::parallel::{self, Disjoint};

/// Floats that a task should move: 128 KiB, some 3 µs from the second cache, beside which handing out a task is little.
const TASK: usize = 32 * 1024;

/// Rows for each thread from which on rows are shared out and not blocks.
const FEW: usize = 4;

/// All rows of all blocks of all samples, cut into tasks.
///
/// Rows are shared out and not blocks, where there are enough of them. The convolutions before and after, which take all channels for
/// each pixel, share out rows too, and tasks that follow each other are one thread's: so each thread meets what it has written itself.
/// What the other has written lies in its second cache, and to fetch it from there takes longer than to compute it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bands {
    /// Samples, rows, blocks.
    sizes: [usize; 3],
    /// Into how many pieces each of them is cut.
    pieces: [usize; 3],
}

impl Bands {
    /// `row` is what a row of one block moves, read and written, in floats.
    pub fn new(samples: usize, blocks: usize, height: usize, row: usize) -> Self {
        let threads = parallel::threads();
        let tasks = parallel::tasks(samples * blocks * height * row / TASK);
        let across = tasks.min(samples).max(1);
        let left = tasks.div_ceil(across);
        let down = if height >= FEW * threads { left.min(height / 2).max(1) } else { 1 };
        let pieces = [across, down, left.div_ceil(down).min(blocks).max(1)];
        Bands { sizes: [samples, height, blocks], pieces }
    }

    /// Calls `f` for every band: its sample, its block, its rows from and to. Each row is met once, by whatever thread.
    pub fn for_each(&self, f: impl Fn(usize, usize, [usize; 2]) + Sync) {
        let [_, down, across] = self.pieces;
        parallel::for_each(self.pieces.iter().product(), |task| {
            let part = |axis: usize, piece: usize| parallel::part(self.sizes[axis], self.pieces[axis], piece);
            let [samples, rows, blocks] =
                [part(0, task / across / down), part(1, task / across % down), part(2, task % across)];
            if rows[0] == rows[1] {
                return;
            }
            for sample in samples[0]..samples[1] {
                for block in blocks[0]..blocks[1] {
                    f(sample, block, rows);
                }
            }
        });
    }
}

impl Bands {
    /// Calls `f` for every band of a value in `output`, with its rows to write: its sample, its block, its first row.
    ///
    /// # Panics
    /// When these are not the value's bands.
    pub fn write(&self, value: &Blocked, output: &mut [f32], f: impl Fn([usize; 3], RowsMut) + Sync) {
        let [samples, height, blocks] = self.sizes;
        assert!(samples * value.sample_len() == output.len() && [height, blocks] == [value.height, value.blocks()]);
        let output = Disjoint::new(output);
        self.for_each(|sample, block, rows| {
            // SAFETY: every row of every block is met once.
            let to = unsafe { RowsMut::of(value, output, [sample, block], rows, [0, value.width]) };
            f([sample, block, rows[0]], to);
        });
    }

    /// As [`Bands::write`], where what is written is planar: the rows of a band in each of its block's channels, of which the value has
    /// [`BLOCK`](super::BLOCK) or fewer.
    ///
    /// # Panics
    /// When these are not the bands of a value of that size.
    pub fn write_planes(&self, value: &Blocked, output: &mut [f32], f: impl Fn([usize; 3], RowsMut) + Sync) {
        let [samples, height, blocks] = self.sizes;
        let plane = value.height * value.width;
        assert!(samples * value.channels * plane == output.len() && [height, blocks] == [value.height, value.blocks()]);
        let output = Disjoint::new(output);
        self.for_each(|sample, block, rows| {
            let start = (sample * value.channels + block * BLOCK) * plane + rows[0] * value.width;
            let (count, planes) = ([rows[1] - rows[0], value.width], [value.block_channels(block), plane]);
            // SAFETY: every row of every block is met once, and a channel is of one block.
            let to = unsafe { RowsMut::plain(output, start, count, planes, value.width) };
            f([sample, block, rows[0]], to);
        });
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_row_is_met_once() {
        for (samples, blocks, height, row) in [
            (1, 1, 1, 16),
            (2, 3, 5, 160),
            (1, 2, 100, 5000),
            (3, 1, 7, 1 << 20),
            (2, 40, 7, 224),
            (0, 2, 3, 16),
            (1, 1, 0, 0),
        ] {
            for threads in [1, 2, 3, 8] {
                let met = Mutex::new(std::vec![0; samples * blocks * height]);
                parallel::with_threads(threads, || {
                    Bands::new(samples, blocks, height, row).for_each(|sample, block, [start, end]| {
                        for y in start..end {
                            met.lock().unwrap()[(sample * blocks + block) * height + y] += 1;
                        }
                    });
                });
                assert!(met.into_inner().unwrap().iter().all(|&times| times == 1));
            }
        }
    }
}
