//! How the work of a run is cut into tasks.

use super::{Pixels, packed_len, spans};
use crate::blocked::BlockedConv2d;
use crate::parallel;

/// How the work of a run is cut into tasks.
pub(super) struct Grid {
    /// The whole: output groups, samples, rows, columns.
    size: [usize; 4],
    /// Into how many pieces each is cut.
    pieces: [usize; 4],
}

/// What one task computes, as `[start, end]`.
pub(super) struct Part {
    pub spans: [usize; 2],
    pub samples: [usize; 2],
    pub rows: [usize; 2],
    pub columns: [usize; 2],
}

impl Grid {
    /// Half of a typical L2 cache (1 to 2 MiB), in floats: what a task's inputs or weights should fit in.
    const CACHE: usize = 128 * 1024;
    /// Multiplications worth a task of their own: some 5 µs at full speed.
    const TASK: u64 = 400_000;

    pub fn new(op: &BlockedConv2d, pixels: &Pixels, batch: usize, threads: usize) -> Self {
        let size = [spans(op).count(), batch, pixels.size[0], pixels.size[1]];
        let mut pieces = [1; 4];
        // Small weights stay in the cache while sample follows sample; large ones are read once, group by group, for all samples.
        let heavy = packed_len(op) > Self::CACHE;
        if !heavy {
            pieces[1] = batch;
            let bands = op.input.sample_len().div_ceil(Self::CACHE);
            let longer = if size[2] > 1 { 2 } else { 3 };
            pieces[longer] = bands.clamp(1, size[longer].div_ceil(14).max(1));
        }
        if threads > 1 {
            // Enough tasks that the last ones even out, none too small to be worth handing out.
            let most = op.macs() * batch as u64 / Self::TASK;
            let wanted = parallel::tasks(usize::try_from(most).unwrap_or(usize::MAX));
            let order = if heavy { [0, 1, 2, 3] } else { [1, 2, 3, 0] };
            for axis in order {
                let others = pieces.iter().product::<usize>() / pieces[axis];
                if others * pieces[axis] < wanted {
                    // Rows and columns are cut no finer than tiles.
                    let most = match axis {
                        2 => size[2].div_ceil(2),
                        3 => size[3].div_ceil(14),
                        _ => size[axis],
                    };
                    pieces[axis] = wanted.div_ceil(others).clamp(1, most.max(1));
                }
            }
        }
        Grid { size, pieces }
    }

    pub fn tasks(&self) -> usize {
        self.pieces.iter().product()
    }

    /// The part of a task; output groups vary slowest where weights are cut, so that each thread meets its own weights.
    pub fn part(&self, task: usize) -> Part {
        let mut rest = task;
        let mut take = |axis: usize| {
            let piece = rest % self.pieces[axis];
            rest /= self.pieces[axis];
            parallel::part(self.size[axis], self.pieces[axis], piece)
        };
        let (columns, rows, samples) = (take(3), take(2), take(1));
        Part { spans: take(0), samples, rows, columns }
    }
}
