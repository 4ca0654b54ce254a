//! What a convolution works out once per call from its sizes: where everything lies, in tables that keep their memory between calls.

use super::axis::Axis;
use super::planes::Layout;
use super::tile::{Segment, Strip, Sweep};
use super::{Conv2d, PaddingMode};
use crate::kernels::tiles;
use crate::parallel;
use crate::simd::{BLOCK, Isa};
use alloc::vec::Vec;
use core::ops::Range;

/// Floats of prepared planes that one task works on at a time: 384 KiB, which leaves room for the weights in an L2 cache of 512 KiB to
/// 2 MiB.
pub(super) const BUDGET: usize = 96 * 1024;

/// Which way a convolution goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// From the input to the output.
    Forward,
    /// From the output's gradient to the input's.
    Backward,
}

/// The strips of one size of band.
#[derive(Clone, Debug, Default)]
pub(super) struct Band {
    /// Rows of results (pixels, in a map taken as one row).
    pub units: usize,
    /// Which strips.
    pub strips: Range<usize>,
}

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(super) rows: Axis,
    pub(super) cols: Axis,
    pub(super) layout: Layout,
    /// Whether the source is read as it stands, the map taken as one row: a 1 x 1 kernel.
    pub(super) as_is: bool,
    /// Whether results go to the target as they are computed; otherwise through [`super::unfold`].
    pub(super) direct: bool,
    /// For every phase, one after the other, and every element of the reduction, how far from a strip's source it reads.
    pub(super) offsets: Vec<u32>,
    /// As `offsets`: where the weight of a group's first result channel is, from the group's first weight on.
    pub(super) weights: Vec<u32>,
    /// Where each phase's elements end in `offsets`.
    pub(super) phases: Vec<usize>,
    pub(super) strips: Vec<Strip>,
    pub(super) segments: Vec<Segment>,
    /// The bands but the last, and the last.
    pub(super) bands: [Band; 2],
    /// How many bands there are.
    pub(super) band_count: usize,
    /// Floats of a result channel per unit of a band.
    pub(super) unit: usize,
    /// Channels and strips of a register tile.
    pub(super) shape: (usize, usize),
    /// Result channels of a group fall into this many tiles.
    pub(super) tiles: usize,
    /// All tiles of all groups fall into this many chunks, one task each (per band and block of samples).
    pub(super) chunks: usize,
    /// Tasks.
    pub(super) tasks: usize,
}

impl Plan {
    /// Works everything out anew.
    pub(super) fn make(&mut self, isa: Isa, op: &Conv2d, pass: Pass, batch: usize) {
        let (lanes, registers) = tiles::lanes_and_registers(isa);
        let (source_channels, target_channels) = match pass {
            Pass::Forward => (op.group_inputs(), op.group_outputs()),
            Pass::Backward => (op.group_outputs(), op.group_inputs()),
        };
        let zeros = op.padding_mode == PaddingMode::Zeros;
        match pass {
            Pass::Forward => (self.rows.forward(op, 0), self.cols.forward(op, 1)),
            Pass::Backward => (self.rows.backward(op, 0), self.cols.backward(op, 1)),
        };
        let pixels = op.input[1] * op.input[2];
        self.as_is = op.is_pointwise() && pixels >= lanes;
        self.direct = self.as_is || pass == Pass::Forward || (op.stride == [1, 1] && zeros);
        if self.as_is {
            self.layout = Layout::as_is(pixels);
            // The last band takes what is left, at least a vector: a strip that would run past the end starts earlier instead.
            let most = (BUDGET / source_channels.max(1)).max(1).next_multiple_of(lanes);
            self.band_count = (pixels - lanes) / most + 1;
            self.unit = 1;
            let last = pixels - (self.band_count - 1) * most;
            self.build_strips(lanes, [if self.band_count > 1 { most } else { last }, last]);
        } else {
            let mode = if pass == Pass::Forward { op.padding_mode } else { PaddingMode::Zeros };
            let whole = Layout::new(&self.rows, &self.cols, mode, self.rows.outputs, 1, 0);
            let size = |rows: usize| whole.channel / whole.rows * (rows + self.rows.reach) * source_channels;
            let mut band = self.rows.outputs;
            if pass == Pass::Forward || zeros {
                while band > 1 && size(band) > BUDGET {
                    band = band.div_ceil(2);
                }
            }
            self.band_count = self.rows.outputs.div_ceil(band);
            self.unit = self.cols.outputs;
            let samples = if self.band_count > 1 { 1 } else { self.beside(mode, whole, source_channels, batch, lanes) };
            self.layout = Layout::new(&self.rows, &self.cols, mode, band, samples, 0);
            self.build_strips(lanes, [band, self.rows.outputs - (self.band_count - 1) * band]);
        }
        self.build_offsets(op, pass, source_channels, target_channels);
        (self.shape, _) = tiles::best_shape::<&Sweep>(registers, target_channels, self.bands[0].strips.len());
        self.tiles = target_channels.div_ceil(self.shape.0);
        let blocks = batch.div_ceil(self.layout.samples) * self.band_count;
        // Four tasks per thread even out what disturbs the threads.
        self.chunks = (4 * parallel::threads()).div_ceil(blocks.max(1)).min(self.tiles * op.groups);
        if parallel::threads() == 1 {
            self.chunks = 1;
        }
        self.tasks = blocks * self.chunks;
    }

    /// How many samples to lay side by side, so that few lanes are wasted.
    fn beside(&mut self, mode: PaddingMode, whole: Layout, channels: usize, batch: usize, lanes: usize) -> usize {
        let rows = self.rows.outputs;
        let mut best = (1, self.count_strips(&whole, rows, lanes) as f32);
        for samples in [2, 3, 4, 6, 8] {
            // Every thread shall have a block of samples.
            if samples * parallel::threads() > batch || samples * whole.len(channels) > BUDGET {
                break;
            }
            let layout = Layout::new(&self.rows, &self.cols, mode, rows, samples, 0);
            let blocks = batch.div_ceil(samples) as f32 / batch as f32;
            let strips = self.count_strips(&layout, rows, lanes) as f32 * blocks;
            if strips < 0.95 * best.1 {
                best = (samples, strips);
            }
        }
        best.0
    }

    /// Strips of a band, if they run across rows.
    fn flat_lanes(&self, layout: &Layout, units: usize) -> usize {
        (units - 1) * layout.pitch + (layout.samples - 1) * layout.cell + self.cols.outputs
    }

    /// Strips of a band, run across rows or not.
    fn count_strips(&self, layout: &Layout, units: usize, lanes: usize) -> usize {
        let apart = units * layout.samples * self.cols.outputs.div_ceil(lanes);
        self.flat_lanes(layout, units).div_ceil(lanes).min(apart)
    }

    fn build_strips(&mut self, lanes: usize, sizes: [usize; 2]) {
        self.strips.clear();
        self.segments.clear();
        for (band, units) in sizes.into_iter().enumerate() {
            if band == 1 && units == sizes[0] {
                self.bands[1] = self.bands[0].clone();
                break;
            }
            let start = self.strips.len();
            if self.as_is {
                for strip in 0..units.div_ceil(lanes) {
                    let pixel = (strip * lanes).min(units - lanes);
                    self.push_strip(pixel);
                    self.push_segment(0, pixel, 0..lanes);
                }
            } else {
                self.push_rows(lanes, units);
            }
            self.bands[band] = Band { units, strips: start..self.strips.len() };
        }
    }

    fn push_rows(&mut self, lanes: usize, units: usize) {
        let (layout, width) = (self.layout, self.cols.outputs);
        let flat = self.flat_lanes(&layout, units);
        if flat.div_ceil(lanes) > units * layout.samples * width.div_ceil(lanes) {
            for (row, sample) in (0..units).flat_map(|row| (0..layout.samples).map(move |sample| (row, sample))) {
                for col in (0..width).step_by(lanes) {
                    self.push_strip(row * layout.pitch + sample * layout.cell + col);
                    self.push_segment(sample, row * width + col, 0..lanes.min(width - col));
                }
            }
            return;
        }
        for first in (0..flat).step_by(lanes) {
            self.push_strip(first);
            let mut cell = first;
            while cell < (first + lanes).min(flat) {
                let (row, rest) = (cell / layout.pitch, cell % layout.pitch);
                let (sample, col) = (rest / layout.cell, rest % layout.cell);
                if col < width {
                    let count = (width - col).min(first + lanes - cell);
                    self.push_segment(sample, row * width + col, cell - first..cell - first + count);
                }
                cell += layout.cell - col;
            }
        }
    }

    fn push_strip(&mut self, source: usize) {
        self.strips.push(Strip { source: source as u32, first: self.segments.len() as u32, count: 0 });
    }

    fn push_segment(&mut self, sample: usize, offset: usize, lanes: Range<usize>) {
        let lanes = [lanes.start as u8, lanes.end as u8];
        self.segments.push(Segment { sample: sample as u32, offset: offset as u32, lanes });
        if let Some(strip) = self.strips.last_mut() {
            strip.count += 1;
        }
    }

    /// The tables `offsets`, `weights` and `phases`, for the axes and the layout.
    pub(super) fn build_offsets(&mut self, op: &Conv2d, pass: Pass, source_channels: usize, target_channels: usize) {
        let [kh, kw] = op.kernel;
        self.offsets.clear();
        self.weights.clear();
        self.phases.clear();
        let phases = if pass == Pass::Forward { [1, 1] } else { op.stride };
        for (phase_row, phase_col) in (0..phases[0]).flat_map(|row| (0..phases[1]).map(move |col| (row, col))) {
            for channel in 0..source_channels {
                for (ky, row) in self.rows.taps.iter().enumerate().filter(|(_, tap)| tap.phase == phase_row) {
                    for (kx, col) in self.cols.taps.iter().enumerate().filter(|(_, tap)| tap.phase == phase_col) {
                        let weight = match pass {
                            Pass::Forward => channel,
                            Pass::Backward => channel * target_channels,
                        };
                        self.weights.push((weight * kh * kw + ky * kw + kx) as u32);
                        self.offsets.push((channel * self.layout.channel + self.layout.offset(*row, *col)) as u32);
                    }
                }
            }
            self.phases.push(self.offsets.len());
        }
    }

    /// The elements of `offsets` and `weights` that are of `phase`.
    pub(super) fn phase(&self, phase: usize) -> Range<usize> {
        phase.checked_sub(1).map_or(0, |before| self.phases[before])..self.phases[phase]
    }

    /// Floats of all packed weights, `[phase][group][tile][reduction][channel in tile]`.
    pub(super) fn panels_len(&self, groups: usize) -> usize {
        (groups * self.tiles * self.shape.0 * self.offsets.len()).next_multiple_of(BLOCK)
    }
}
