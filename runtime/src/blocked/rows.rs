//! Rows of values as slices: what a kernel that is no register tile reads and writes, checked.

use super::values::{BLOCK, Blocked};
use crate::parallel::Disjoint;

/// Rows to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// From the first row on.
    data: &'a [f32],
    /// Floats from a row to the next.
    stride: usize,
    /// Floats of a row.
    len: usize,
}

impl<'a> Rows<'a> {
    /// Rows of a block of a sample, from row `first` on: all columns.
    pub fn of(value: &Blocked, data: &'a [f32], [sample, block, first]: [usize; 3]) -> Self {
        let start = sample * value.sample_len() + value.offset(block, first, 0);
        Rows { data: &data[start..], stride: value.row_len(), len: value.width * BLOCK }
    }

    /// A row, counted from the first.
    #[inline(always)]
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.data[index * self.stride..][..self.len]
    }
}

/// Rows to write, of one plane or of several: all that a task may touch of a buffer which other tasks write too.
pub(super) struct RowsMut<'a> {
    buffer: Disjoint<'a, f32>,
    start: usize,
    /// How many rows there are, and floats from one to the next.
    rows: [usize; 2],
    /// How many planes, and floats from one to the next.
    planes: [usize; 2],
    /// Floats of a row.
    len: usize,
}

impl<'a> RowsMut<'a> {
    /// Rows of a block of a sample: `columns` of each.
    ///
    /// # Safety
    /// While these rows are used, nobody else uses those columns of them.
    pub unsafe fn of(
        value: &Blocked,
        buffer: Disjoint<'a, f32>,
        [sample, block]: [usize; 2],
        rows: [usize; 2],
        columns: [usize; 2],
    ) -> Self {
        let start = sample * value.sample_len() + value.offset(block, rows[0], columns[0]);
        let len = (columns[1] - columns[0]) * BLOCK;
        RowsMut { buffer, start, rows: [rows[1] - rows[0], value.row_len()], planes: [1, 0], len }
    }

    /// Rows of `len` floats from `start` on, of one plane or of several, in numbers and distances.
    ///
    /// # Safety
    /// While these rows are used, nobody else uses them.
    pub unsafe fn plain(
        buffer: Disjoint<'a, f32>,
        start: usize,
        rows: [usize; 2],
        planes: [usize; 2],
        len: usize,
    ) -> Self {
        RowsMut { buffer, start, rows, planes, len }
    }

    /// How many rows a plane has.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.rows[0]
    }

    /// A row of the first plane.
    #[inline(always)]
    pub fn row(&mut self, index: usize) -> &mut [f32] {
        self.of_plane(0, index)
    }

    /// A row of a plane.
    #[inline(always)]
    pub fn of_plane(&mut self, plane: usize, index: usize) -> &mut [f32] {
        assert!(plane < self.planes[0] && index < self.rows[0], "a row of another task");
        let start = self.start + plane * self.planes[1] + index * self.rows[1];
        // SAFETY: one of the rows that the maker of this vouched for; it is borrowed from here, where there is one at a time.
        unsafe { self.buffer.slice(start..start + self.len) }
    }
}
