//! Prepared planes: a band of the source with its padding written out, laid out so that every element of the kernel reads the cells of
//! neighbouring results from neighbouring addresses.
//!
//! `[channel][row slot][column slot][row][sample][column]`. With zeros outside, the right padding of a row is the left padding of the next
//! (or of the next sample beside it), so that a row takes `width + max(left, right)` cells instead of `left + width + right`: fewer
//! cells lie between the results of neighbouring rows, and a vector that runs across rows wastes fewer lanes. For a 7 x 7 map with
//! padding 1 and two samples side by side, 7 of 8 lanes are used.

use super::PaddingMode;
use super::axis::Axis;
use crate::simd::{BLOCK, Simd};

/// How prepared planes lie in memory. Lengths and distances in floats.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layout {
    /// Samples side by side.
    pub samples: usize,
    /// Results per column of a band: rows of output (or one, in a map taken as one row).
    pub band: usize,
    /// Prepared rows per slot.
    pub rows: usize,
    /// From one sample to the one beside it.
    pub cell: usize,
    /// From one row to the next.
    pub pitch: usize,
    /// From one slot's plane to the next.
    pub plane: usize,
    /// From one channel to the next.
    pub channel: usize,
    /// Row slots and column slots.
    pub slots: [usize; 2],
}

impl Layout {
    /// The layout of `band` rows of results with `samples` side by side, and at least `gap` zeros after each channel's
    /// cells and their padding.
    pub fn new(rows: &Axis, cols: &Axis, mode: PaddingMode, band: usize, samples: usize, gap: usize) -> Self {
        let cells = cols.cells();
        let shared = (0..cols.starts.len()).map(|slot| {
            let (before, inside) = cols.inside(slot);
            before.min(cells - before - inside)
        });
        let overlap = match mode {
            // No more than lies between two rows of results, or these would overlap too.
            PaddingMode::Zeros => shared.min().unwrap_or(0).min(cols.reach),
            _ => 0,
        };
        let cell = cells - overlap;
        let (rows, pitch, slots) = (band + rows.reach, samples * cell, [rows.starts.len(), cols.starts.len()]);
        let plane = rows * pitch;
        // An odd number of cache lines, so that the same place in successive channels falls into different sets of the cache.
        let channel = ((slots[0] * slots[1] * plane + overlap + gap).div_ceil(BLOCK) | 1) * BLOCK;
        Layout { samples, band, rows, cell, pitch, plane, channel, slots }
    }

    /// The layout of a source that is used as it stands: one row of `length` floats per channel.
    pub fn as_is(length: usize) -> Self {
        let (samples, band, rows, slots) = (1, 1, 1, [1, 1]);
        Layout { samples, band, rows, cell: length, pitch: length, plane: length, channel: length, slots }
    }

    /// Floats of `channels` channels, with one vector more, up to which loads may run past the end.
    pub fn len(&self, channels: usize) -> usize {
        channels * self.channel + BLOCK
    }

    /// Where a tap of the two axes reads for the first result of the first channel.
    pub fn offset(&self, row: super::axis::Tap, col: super::axis::Tap) -> usize {
        (row.slot * self.slots[1] + col.slot) * self.plane + row.shift * self.pitch + col.shift
    }
}

/// A source to prepare planes of: samples of `[channels, rows.length, cols.length]`.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// Samples side by side in the layout, the first at the start of the slice; those that it lacks become zeros.
    pub data: &'a [f32],
    /// Floats from one sample to the next.
    pub sample: usize,
    /// The first channel and how many.
    pub channels: (usize, usize),
    pub rows: &'a Axis,
    pub cols: &'a Axis,
    pub mode: PaddingMode,
}

impl Source<'_> {
    /// Writes the planes, `channels.1 * layout.channel` floats, of the results' rows from `first` on.
    #[inline(always)]
    pub fn prepare<S: Simd>(&self, simd: S, layout: &Layout, first: usize, planes: &mut [f32]) {
        let (height, width) = (self.rows.length, self.cols.length);
        let samples = self.data.len().checked_div(self.sample).unwrap_or(0);
        for c in 0..self.channels.1 {
            let channel = &mut planes[c * layout.channel..][..layout.channel];
            let used = layout.slots[0] * layout.slots[1] * layout.plane;
            channel[used..].fill(0.0);
            for (plane, cells) in channel[..used].chunks_exact_mut(layout.plane.max(1)).enumerate() {
                let (row_start, slot) = (self.rows.starts[plane / layout.slots[1]], plane % layout.slots[1]);
                let (before, inside) = self.cols.inside(slot);
                for (row, line) in cells.chunks_exact_mut(layout.pitch).enumerate() {
                    let position = row_start + ((first + row) * self.rows.step) as isize;
                    let y = self.mode.source(position, height);
                    for (sample, line) in line.chunks_exact_mut(layout.cell).enumerate() {
                        let Some(y) = y.filter(|_| sample < samples) else {
                            zero(simd, line);
                            continue;
                        };
                        let start = sample * self.sample + ((self.channels.0 + c) * height + y) * width;
                        let from = &self.data[start..][..width];
                        let (head, rest) = line.split_at_mut(before);
                        let (body, tail) = rest.split_at_mut(inside);
                        if self.mode == PaddingMode::Zeros {
                            zero(simd, head);
                            zero(simd, tail);
                        } else {
                            let at = |cell: usize| {
                                let position = self.cols.starts[slot] + (cell * self.cols.step) as isize;
                                self.mode.source(position, width).map_or(0.0, |x| from[x])
                            };
                            head.iter_mut().enumerate().for_each(|(i, x)| *x = at(i));
                            tail.iter_mut().enumerate().for_each(|(i, x)| *x = at(before + inside + i));
                        }
                        if inside > 0 {
                            let first = self.cols.starts[slot] + (before * self.cols.step) as isize;
                            every(simd, &from[first.unsigned_abs()..], self.cols.step, body);
                        }
                    }
                }
            }
        }
    }
}

/// Writes zeros.
#[inline(always)]
fn zero<S: Simd>(simd: S, to: &mut [f32]) {
    for to in to.chunks_mut(S::LANES) {
        simd.store_partial(simd.zero(), to);
    }
}

/// `to[i] = from[i * step]`.
#[inline(always)]
pub(super) fn every<S: Simd>(simd: S, from: &[f32], step: usize, to: &mut [f32]) {
    match step {
        1 => {
            let from = &from[..to.len()];
            let (mut a, mut b) = (from.chunks_exact(S::LANES), to.chunks_exact_mut(S::LANES));
            for (a, b) in (&mut a).zip(&mut b) {
                simd.store(simd.load(a), b);
            }
            if !a.remainder().is_empty() {
                simd.store_partial(simd.load_partial(a.remainder()), b.into_remainder());
            }
        }
        2 => {
            for (i, to) in to.chunks_mut(S::LANES).enumerate() {
                let from = &from[i * 2 * S::LANES..];
                let low = simd.load_partial(from);
                let high = simd.load_partial(from.get(S::LANES..).unwrap_or_default());
                simd.store_partial(simd.deinterleave(low, high).0, to);
            }
        }
        _ => {
            for (to, from) in to.iter_mut().zip(from.iter().step_by(step)) {
                *to = *from;
            }
        }
    }
}
