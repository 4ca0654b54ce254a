//! The gradient of the weight.
//!
//! Samples (or bands of rows of a large one) are taken a block at a time: first all threads prepare the block's planes and rearrange its
//! upstream gradient, then each adds up some elements of the weight over the whole block. So no sum is divided among threads, and the
//! order of every sum depends on sizes alone.

use super::axis::Axis;
use super::dot::Dot;
use super::outer::{Outer, Runs};
use super::plan::{BUDGET, Pass, Plan};
use super::planes::{Layout, Source, every};
use super::{Context, Conv2d};
use crate::kernels::tiles;
use crate::kernels::transpose::transpose;
use crate::parallel::{self, Disjoint};
use crate::simd::{BLOCK, Isa, Kernel, Simd, dispatch};
use core::ops::Range;

/// How the sums are formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// Vectors of output channels: [`super::outer`].
    Outer,
    /// Vectors of pixels: [`super::dot`].
    Dot,
}

/// What lies where, in floats.
struct WeightGradient<'a> {
    op: &'a Conv2d,
    rows: &'a Axis,
    cols: &'a Axis,
    /// Of the planes of one sample.
    layout: Layout,
    /// Whether the planes are the input itself, the map taken as one row.
    as_is: bool,
    method: Method,
    shape: (usize, usize),
    /// For each element of a group's kernel, where it reads in the group's planes.
    offsets: &'a [u32],
    lanes: usize,
    /// Panels of output channels per group (with vectors of output channels).
    panels: usize,
    /// Samples in a block, bands of a sample, units (rows, or pixels of a map taken as one row) in a band.
    samples: usize,
    bands: usize,
    band: usize,
    /// Planes and rearranged upstream gradient of a sample in a block.
    planes_len: usize,
    upstream_len: usize,
    input: &'a [f32],
    upstream: &'a [f32],
}

/// A block of work.
#[derive(Clone, Copy)]
struct Block {
    /// The first sample and how many.
    sample: usize,
    samples: usize,
    /// The first unit and how many.
    first: usize,
    units: usize,
    /// Whether it is the first of all.
    start: bool,
}

/// Writes `gradient` `[oc, ic / groups, kh, kw]` from `input` and `upstream` `[batch, oc, oh, ow]`.
pub(super) fn gradient(context: &mut Context, op: &Conv2d, input: &[f32], upstream: &[f32], gradient: &mut [f32]) {
    if upstream.is_empty() {
        gradient.fill(0.0);
        return;
    }
    if gradient.is_empty() {
        return;
    }
    let isa = context.isa;
    let mut plan = core::mem::take(&mut context.plan);
    let whole = WeightGradient::new(&mut plan, isa, op, input, upstream);
    let depth = whole.offsets.len();
    let planes_len = (whole.samples * whole.planes_len).next_multiple_of(BLOCK);
    let upstream_len = (whole.samples * whole.upstream_len).next_multiple_of(BLOCK);
    let mut scratch = context.take_scratch(planes_len + upstream_len + whole.sums_len());
    let (planes, rest) = scratch.split_at_mut(planes_len);
    let (rearranged, sums) = rest.split_at_mut(upstream_len);

    let batch = upstream.len() / op.output_len();
    let units = if whole.as_is { op.output[1] * op.output[2] } else { op.output[1] };
    for sample in (0..batch).step_by(whole.samples) {
        for band in 0..whole.bands {
            let first = band * whole.band;
            let block = Block {
                sample,
                samples: whole.samples.min(batch - sample),
                first,
                units: whole.band.min(units - first),
                start: sample == 0 && band == 0,
            };
            whole.prepare(isa, block, planes, rearranged);
            match whole.method {
                Method::Outer => whole.add_outer(isa, block, planes, rearranged, sums),
                Method::Dot => whole.add_dot(isa, block, planes, rearranged, gradient),
            }
        }
    }
    if whole.method == Method::Outer {
        // [element of the kernel][channel in panel] becomes [channel][element of the kernel].
        let (channels, width) = (op.group_outputs(), whole.width());
        let sums = &*sums;
        let panel_len = whole.panel_len();
        let gradient = Disjoint::new(gradient);
        parallel::for_each(op.groups * whole.panels, |i| {
            let first = i % whole.panels * width;
            let start = i / whole.panels * channels + first;
            let count = width.min(channels - first);
            // SAFETY: panels have channels of their own.
            let to = unsafe { gradient.slice(start * depth..(start + count) * depth) };
            dispatch(isa, Transpose { from: &sums[i * panel_len..], stride: width, to, size: (depth, count) });
        });
    }
    context.put_scratch(scratch);
    context.plan = plan;
}

struct Transpose<'a> {
    from: &'a [f32],
    stride: usize,
    to: &'a mut [f32],
    size: (usize, usize),
}

impl Kernel for Transpose<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        transpose(simd, self.from, self.stride, self.to, self.size.0, self.size);
    }
}

impl<'a> WeightGradient<'a> {
    fn new(plan: &'a mut Plan, isa: Isa, op: &'a Conv2d, input: &'a [f32], upstream: &'a [f32]) -> Self {
        let (lanes, registers) = tiles::lanes_and_registers(isa);
        plan.rows.forward(op, 0);
        plan.cols.forward(op, 1);
        let [channels, height, width] = op.output;
        let depth = op.group_inputs() * op.kernel[0] * op.kernel[1];
        let vectors = op.group_outputs().div_ceil(lanes);
        let whole = Layout::new(&plan.rows, &plan.cols, op.padding_mode, height, 1, lanes);

        // Half cycles per sample either way.
        let (outer_shape, per_pixel) = tiles::best_shape::<Outer>(registers, depth, vectors);
        let (dot_shape, per_vector) = tiles::best_shape::<&Dot>(registers, op.group_outputs(), depth);
        let flat = ((height - 1) * whole.pitch + width).div_ceil(lanes);
        let method = if per_pixel * height * width <= per_vector * flat { Method::Outer } else { Method::Dot };
        let as_is = method == Method::Outer && op.is_pointwise();
        let (whole, units) = match as_is {
            true => (Layout::as_is(height * width), height * width),
            false => (whole, height),
        };
        let shape = if method == Method::Outer { outer_shape } else { dot_shape };
        let panels = match method {
            Method::Outer => vectors.div_ceil(shape.1),
            Method::Dot => 0,
        };

        // Twice the budget, as planes and upstream gradient stream through: in bands, whole samples, or several of these.
        let upstream_unit = match method {
            Method::Outer => op.groups * panels * shape.1 * lanes * if as_is { 1 } else { width },
            Method::Dot => channels * whole.pitch,
        };
        let planes_unit = if as_is { op.input[0] } else { op.input[0] * whole.channel / height.max(1) };
        let size = |units: usize| (planes_unit + upstream_unit) * units;
        let (mut bands, mut band) = (1, units);
        while band > 1 && size(band) > 2 * BUDGET {
            bands *= 2;
            band = units.div_ceil(bands);
        }
        let bands = units.div_ceil(band);
        let samples = match bands {
            1 => (2 * BUDGET / size(units).max(1)).max(1),
            _ => 1,
        };
        let layout = match as_is {
            true => whole,
            false => Layout::new(&plan.rows, &plan.cols, op.padding_mode, band, 1, lanes),
        };
        plan.layout = layout;
        plan.build_offsets(op, Pass::Forward, op.group_inputs(), op.group_outputs());
        let upstream_len = match method {
            Method::Outer => upstream_unit * band,
            Method::Dot => channels * ((band - 1) * layout.pitch + width).next_multiple_of(lanes),
        };
        WeightGradient {
            op,
            rows: &plan.rows,
            cols: &plan.cols,
            layout,
            as_is,
            method,
            shape,
            offsets: &plan.offsets,
            lanes,
            panels,
            samples,
            bands,
            band,
            planes_len: if as_is { 0 } else { op.input[0] * layout.channel },
            upstream_len,
            input,
            upstream,
        }
    }

    /// Output channels in a panel.
    fn width(&self) -> usize {
        self.shape.1 * self.lanes
    }

    /// Sums of a panel: the elements of the kernel filled up to whole tiles, times its channels.
    fn panel_len(&self) -> usize {
        self.offsets.len().next_multiple_of(self.shape.0) * self.width()
    }

    fn sums_len(&self) -> usize {
        match self.method {
            Method::Outer => self.op.groups * self.panels * self.panel_len(),
            Method::Dot => 0,
        }
    }

    /// Vectors of a sample's upstream gradient in a block.
    fn vectors(&self, block: Block) -> usize {
        ((block.units - 1) * self.layout.pitch + self.op.output[2]).div_ceil(self.lanes)
    }

    /// Prepares the planes and rearranges the upstream gradient of a block.
    fn prepare(&self, isa: Isa, block: Block, planes: &mut [f32], rearranged: &mut [f32]) {
        let [channels, ..] = self.op.output;
        let units = match self.method {
            Method::Outer => self.op.groups * self.panels,
            Method::Dot => channels,
        };
        // Parts of samples, if there are few of these.
        let parts = (4 * parallel::threads()).div_ceil(block.samples).min(self.op.input[0].max(units).div_ceil(8));
        let (planes, rearranged) = (Disjoint::new(planes), Disjoint::new(rearranged));
        parallel::for_each(block.samples * parts, |task| {
            let (sample, part) = (task / parts, task % parts);
            let share = |all: usize| all * part / parts..all * (part + 1) / parts;
            let inputs = if self.as_is { 0..0 } else { share(self.op.input[0]) };
            let start = sample * self.planes_len;
            // SAFETY: samples and their parts have planes of their own.
            let planes = unsafe {
                let channel = self.layout.channel;
                planes.slice(start + inputs.start * channel..start + inputs.end * channel)
            };
            let start = sample * self.upstream_len;
            // SAFETY: as above; this slice is used for the part's units alone.
            let rearranged = unsafe {
                let unit = self.unit_len(block);
                let units = share(units);
                rearranged.slice(start + units.start * unit..start + units.end * unit)
            };
            dispatch(isa, Prepare { whole: self, block, sample, inputs, planes, units: share(units), rearranged });
        });
    }

    /// Floats of the rearranged upstream gradient of one panel (or channel) of a sample.
    fn unit_len(&self, block: Block) -> usize {
        match self.method {
            Method::Outer => block.units * if self.as_is { 1 } else { self.op.output[2] } * self.width(),
            Method::Dot => self.vectors(block) * self.lanes,
        }
    }

    /// The planes of a block's first sample from a group on, and from one sample to the next.
    fn planes(&self, block: Block, planes: &'a [f32], group: usize) -> (&'a [f32], usize) {
        let first = group * self.op.group_inputs() * self.layout.channel;
        match self.as_is {
            true => (&self.input[block.sample * self.op.input_len() + first + block.first..], self.op.input_len()),
            false => (&planes[first..], self.planes_len),
        }
    }

    fn add_outer(&self, isa: Isa, block: Block, planes: &'a [f32], upstream: &[f32], sums: &mut [f32]) {
        let (depth, width, panel_len) = (self.offsets.len(), self.width(), self.panel_len());
        let tiles = depth.div_ceil(self.shape.0);
        // Tiles of a panel are cut into chunks; some tasks per thread.
        let all = self.op.groups * self.panels;
        let chunks = (8 * parallel::threads()).div_ceil(all).min(tiles);
        let sums = Disjoint::new(sums);
        parallel::for_each(all * chunks, |task| {
            let (panel, chunk) = (task / chunks, task % chunks);
            let tiles = tiles * chunk / chunks..tiles * (chunk + 1) / chunks;
            let elements = tiles.start * self.shape.0..(tiles.end * self.shape.0).min(depth);
            let start = panel * panel_len;
            // SAFETY: chunks of panels have sums of their own.
            let sums = unsafe {
                let tile = self.shape.0 * width;
                sums.slice(start + tiles.start * tile..start + tiles.end * tile)
            };
            let (planes, plane_sample) = self.planes(block, planes, panel / self.panels);
            let (rows, pixels) = if self.as_is { (1, block.units) } else { (block.units, self.op.output[2]) };
            let runs = Runs { samples: block.samples, rows, pixels, sample: plane_sample, row: self.layout.pitch };
            let whole = Outer {
                runs,
                planes: planes.as_ptr(),
                offsets: &self.offsets[elements],
                upstream: upstream[panel * self.unit_len(block)..].as_ptr(),
                sample: self.upstream_len,
                sums,
                add: !block.start,
            };
            // SAFETY: `WeightGradient::prepare` wrote every pixel of the block: planes for all offsets, and the upstream gradient.
            unsafe { tiles::run(isa, self.shape, whole) };
        });
    }

    fn add_dot(&self, isa: Isa, block: Block, planes: &'a [f32], upstream: &[f32], gradient: &mut [f32]) {
        let (channels, depth) = (self.op.group_outputs(), self.offsets.len());
        let gradient = Disjoint::new(gradient);
        let tiles = channels.div_ceil(self.shape.0);
        let columns = depth.div_ceil(self.shape.1);
        let all = self.op.groups * tiles;
        let chunks = (8 * parallel::threads()).div_ceil(all).min(columns);
        parallel::for_each(all * chunks, |task| {
            let (tile, chunk) = (task / chunks, task % chunks);
            let (group, tile) = (tile / tiles, tile % tiles);
            let columns = columns * chunk / chunks..columns * (chunk + 1) / chunks;
            let elements = columns.start * self.shape.1..(columns.end * self.shape.1).min(depth);
            let (planes, plane_sample) = self.planes(block, planes, group);
            let start = group * channels * depth + elements.start;
            debug_assert!(start < gradient.len());
            let whole = Dot {
                samples: block.samples,
                vectors: self.vectors(block),
                planes: planes.as_ptr(),
                plane_sample,
                offsets: &self.offsets[elements],
                upstream: upstream[group * channels * self.unit_len(block)..].as_ptr(),
                sample: self.upstream_len,
                channels: (tile * self.shape.0, ((tile + 1) * self.shape.0).min(channels)),
                // SAFETY: the group's first element of this chunk.
                gradient: unsafe { gradient.as_ptr().add(start) },
                stride: depth,
                add: !block.start,
            };
            // SAFETY: `WeightGradient::prepare` wrote every vector of the block; planes end in a gap of a vector of zeros, up to which the last may
            // run. Tasks have channels and elements of the gradient of their own.
            unsafe { tiles::run(isa, self.shape, &whole) };
        });
    }
}

/// Prepares a part of a sample.
struct Prepare<'a> {
    whole: &'a WeightGradient<'a>,
    block: Block,
    /// In the block.
    sample: usize,
    inputs: Range<usize>,
    planes: &'a mut [f32],
    /// Panels of all groups, or output channels.
    units: Range<usize>,
    rearranged: &'a mut [f32],
}

impl Kernel for Prepare<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Prepare { whole, block, sample, inputs, planes, units, rearranged } = self;
        let sample = block.sample + sample;
        let op = whole.op;
        if !inputs.is_empty() {
            let source = Source {
                data: &whole.input[sample * op.input_len()..][..op.input_len()],
                sample: op.input_len(),
                channels: (inputs.start, inputs.len()),
                rows: whole.rows,
                cols: whole.cols,
                mode: op.padding_mode,
            };
            source.prepare(simd, &whole.layout, block.first, planes);
        }
        let [channels, height, width] = op.output;
        let plane = height * width;
        let upstream = &whole.upstream[sample * channels * plane..][..channels * plane];
        let unit_len = whole.unit_len(block);
        if unit_len == 0 {
            return;
        }
        for (unit, to) in units.zip(rearranged.chunks_exact_mut(unit_len)) {
            match whole.method {
                Method::Outer => {
                    let first = unit % whole.panels * whole.width();
                    let count = whole.width().min(op.group_outputs() - first);
                    let channel = unit / whole.panels * op.group_outputs() + first;
                    let pixels = unit_len / whole.width();
                    let from = &upstream[channel * plane + block.first * if whole.as_is { 1 } else { width }..];
                    if count < whole.width() {
                        to.fill(0.0);
                    }
                    transpose(simd, from, plane, to, whole.width(), (count, pixels));
                }
                Method::Dot => {
                    let from = &upstream[unit * plane + block.first * width..][..block.units * width];
                    to.fill(0.0);
                    for (from, to) in from.chunks_exact(width).zip(to.chunks_mut(whole.layout.pitch)) {
                        every(simd, from, 1, &mut to[..width]);
                    }
                }
            }
        }
    }
}
