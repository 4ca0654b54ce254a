//! From gradients of prepared planes back to the input: phases interleaved, padding cropped (zeros) or folded back (the other modes).

use super::PaddingMode;
use super::axis::Axis;
use crate::simd::Simd;

/// What lies where.
#[derive(Clone, Copy)]
pub(super) struct Unfold<'a> {
    pub rows: &'a Axis,
    pub cols: &'a Axis,
    pub mode: PaddingMode,
    pub stride: [usize; 2],
    /// Rows of results of a phase in the band, and how many of them count.
    pub band: usize,
    pub units: usize,
    /// The band's first row.
    pub first: usize,
    /// Height and width of the input.
    pub size: [usize; 2],
}

impl Unfold<'_> {
    /// Writes one channel of the input's gradient, `phases` `[row phase][column phase][band][column]`, through `row`, which lends rows of
    /// the gradient. `line` has room for a line of `cols.outputs * stride[1]` floats.
    #[inline(always)]
    pub fn run<'r, S: Simd>(&self, simd: S, phases: &[f32], line: &mut [f32], row: impl Fn(usize) -> &'r mut [f32]) {
        let [height, width] = self.size;
        if self.mode != PaddingMode::Zeros {
            for y in 0..height {
                row(y).fill(0.0);
            }
        }
        let (outputs, steps) = (self.cols.outputs, self.stride[1]);
        for (unit, phase) in (0..self.units).flat_map(|unit| (0..self.stride[0]).map(move |phase| (unit, phase))) {
            let position = self.rows.target + ((self.first + unit) * self.stride[0] + phase) as isize;
            let Some(y) = self.mode.source(position, height) else { continue };
            let part = |col: usize| &phases[((phase * steps + col) * self.band + unit) * outputs..][..outputs];
            let line: &[f32] = match steps {
                1 => part(0),
                2 => {
                    interleave(simd, part(0), part(1), line);
                    line
                }
                _ => {
                    for col in 0..steps {
                        line[col..].iter_mut().step_by(steps).zip(part(col)).for_each(|(to, from)| *to = *from);
                    }
                    line
                }
            };
            let row = row(y);
            let before = self.cols.target.unsigned_abs(); // a target is at most 0: cells before column 0
            if self.mode == PaddingMode::Zeros {
                super::planes::every(simd, &line[before..], 1, row);
                continue;
            }
            let inside = before.min(line.len())..(before + width).min(line.len());
            for (row, line) in row.chunks_mut(S::LANES).zip(line[inside.clone()].chunks(S::LANES)) {
                simd.store_partial(simd.add(simd.load_partial(row), simd.load_partial(line)), row);
            }
            for cell in (0..inside.start).chain(inside.end..line.len()) {
                if let Some(x) = self.mode.source(self.cols.target + cell as isize, width) {
                    row[x] += line[cell];
                }
            }
        }
    }
}

/// `to` becomes `even[0], odd[0], even[1], …`
#[inline(always)]
fn interleave<S: Simd>(simd: S, even: &[f32], odd: &[f32], to: &mut [f32]) {
    for ((even, odd), to) in even.chunks(S::LANES).zip(odd.chunks(S::LANES)).zip(to.chunks_mut(2 * S::LANES)) {
        let (low, high) = simd.interleave(simd.load_partial(even), simd.load_partial(odd));
        let (first, second) = to.split_at_mut(to.len().min(S::LANES));
        simd.store_partial(low, first);
        simd.store_partial(high, second);
    }
}
