//! How the kernels that move more than they compute cut their work: bands of rows of every block of every sample.

use crate::parallel;

/// Floats that a task should move: 128 KiB, some 3 µs from the second cache, beside which handing out a task is little.
const TASK: usize = 32 * 1024;

/// All rows of all blocks of all samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bands {
    samples: usize,
    blocks: usize,
    height: usize,
    /// Bands that the rows of a block are cut into.
    bands: usize,
    /// Bands of a task, more than one where blocks are small.
    each: usize,
}

impl Bands {
    /// `row` is what a row of one block moves, read and written, in floats.
    pub fn new(samples: usize, blocks: usize, height: usize, row: usize) -> Self {
        let plane = (height * row).max(1);
        let bands = (plane / TASK).clamp(1, height.max(1));
        let each = if bands > 1 { 1 } else { TASK.div_ceil(plane) };
        Bands { samples, blocks, height, bands, each }
    }

    /// Calls `f` for every band: its sample, its block, its rows from and to. Each is met once, by whatever thread.
    pub fn for_each(&self, f: impl Fn(usize, usize, [usize; 2]) + Sync) {
        let all = self.samples * self.blocks * self.bands;
        parallel::for_each(all.div_ceil(self.each), |task| {
            for index in task * self.each..((task + 1) * self.each).min(all) {
                let (plane, band) = (index / self.bands, index % self.bands);
                let rows = [band, band + 1].map(|band| self.height * band / self.bands);
                f(plane / self.blocks, plane % self.blocks, rows);
            }
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
            let met = Mutex::new(std::vec![0; samples * blocks * height]);
            Bands::new(samples, blocks, height, row).for_each(|sample, block, [start, end]| {
                for y in start..end {
                    met.lock().unwrap()[(sample * blocks + block) * height + y] += 1;
                }
            });
            assert!(met.into_inner().unwrap().iter().all(|&times| times == 1));
        }
    }
}
