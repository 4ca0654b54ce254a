//! The convolution itself, forward and for the gradient of the input: blocks of prepared planes, swept by register tiles.
//!
//! A task prepares the planes of a band of rows (or of some samples side by side), small enough for the L2 cache, and sweeps the tiles of
//! output channels over them. This is the matrix product of the weight with the columns of im2col, whose columns are never made:
//! a tile reads them from where they lie. Every result is summed in the order of the weight's elements, whoever computes it.

use super::plan::{Band, Pass, Plan};
use super::planes::Source;
use super::tile::Sweep;
use super::unfold::Unfold;
use super::{Context, Conv2d};
use crate::kernels::tiles;
use crate::parallel::{self, Disjoint};
use crate::simd::{BLOCK, Kernel, Simd, dispatch};

/// Below so many floats, packing weights on several threads does not pay.
const PACK_ALONE: usize = 16 * 1024;

/// `target` from `source` and `weight` `[oc, ic / groups, kh, kw]`: output from input, or the input's gradient from the output's.
/// `bias` holds one number per channel of the target.
pub(super) fn correlate(
    context: &mut Context,
    op: &Conv2d,
    pass: Pass,
    source: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    target: &mut [f32],
) {
    let (source_len, target_len) = match pass {
        Pass::Forward => (op.input_len(), op.output_len()),
        Pass::Backward => (op.output_len(), op.input_len()),
    };
    if target.is_empty() {
        return;
    }
    let batch = target.len() / target_len;
    let isa = context.isa;
    let mut plan = core::mem::take(&mut context.plan);
    plan.make(isa, op, pass, batch);
    let panels = plan.panels_len(op.groups);
    let correlation =
        Correlation { op, pass, plan: &plan, source, source_len, target: Disjoint::new(target), target_len, bias };
    let each = correlation.scratch_len();
    let mut scratch = context.take_scratch(panels + each * plan.tasks.min(parallel::threads()));
    let (panels, rest) = scratch.split_at_mut(panels);
    pack(&plan, op, pass, weight, panels);
    let panels = &*panels;
    parallel::for_each_scratch(rest, each, plan.tasks, |scratch, task| {
        dispatch(isa, Task { correlation: &correlation, panels, scratch, task });
    });
    context.put_scratch(scratch);
    context.plan = plan;
}

/// Packs the weights: `[phase][group][tile][reduction][channel in tile]`, with zeros for the channels that the last tile lacks.
fn pack(plan: &Plan, op: &Conv2d, pass: Pass, weight: &[f32], panels: &mut [f32]) {
    let tile = plan.shape.0;
    let taps = op.kernel[0] * op.kernel[1];
    let group_len = op.group_inputs() * op.group_outputs() * taps;
    // From one channel of the target to the next, in the weight.
    let (channels, stride) = match pass {
        Pass::Forward => (op.group_outputs(), op.group_inputs() * taps),
        Pass::Backward => (op.group_inputs(), taps),
    };
    let mut rest = panels;
    for phase in 0..plan.phases.len() {
        let elements = &plan.weights[plan.phase(phase)];
        let panel_len = elements.len() * tile;
        let (now, later) = rest.split_at_mut(panel_len * plan.tiles * op.groups);
        rest = later;
        if panel_len == 0 {
            continue;
        }
        let one = |i: usize, panel: &mut [f32]| {
            let (group, first) = (i / plan.tiles, i % plan.tiles * tile);
            let from = &weight[group * group_len..][..group_len];
            let count = tile.min(channels - first);
            for (to, element) in panel.chunks_exact_mut(tile).zip(elements) {
                let from = &from[first * stride + *element as usize..];
                let (some, none) = to.split_at_mut(count);
                some.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, from)| *to = *from);
                none.fill(0.0);
            }
        };
        if now.len() <= PACK_ALONE {
            now.chunks_exact_mut(panel_len).enumerate().for_each(|(i, panel)| one(i, panel));
        } else {
            parallel::for_each_chunk(now, panel_len, one);
        }
    }
}

/// What all tasks share.
struct Correlation<'a> {
    op: &'a Conv2d,
    pass: Pass,
    plan: &'a Plan,
    source: &'a [f32],
    /// Floats of a sample.
    source_len: usize,
    target: Disjoint<'a, f32>,
    target_len: usize,
    bias: Option<&'a [f32]>,
}

impl Correlation<'_> {
    /// Channels of a group: of the source and of the target.
    fn channels(&self) -> (usize, usize) {
        match self.pass {
            Pass::Forward => (self.op.group_inputs(), self.op.group_outputs()),
            Pass::Backward => (self.op.group_outputs(), self.op.group_inputs()),
        }
    }

    /// Floats of a channel of the source and of the target.
    fn planes(&self) -> (usize, usize) {
        let (input, output) = (self.op.input[1] * self.op.input[2], self.op.output[1] * self.op.output[2]);
        match self.pass {
            Pass::Forward => (input, output),
            Pass::Backward => (output, input),
        }
    }

    /// Floats of the prepared planes.
    fn planes_len(&self) -> usize {
        if self.plan.as_is { 0 } else { self.plan.layout.len(self.channels().0).next_multiple_of(BLOCK) }
    }

    /// Floats of one channel's results before they are unfolded: `[phase][row][column]`.
    fn results_len(&self) -> usize {
        self.plan.phases.len() * self.plan.layout.band * self.plan.cols.outputs
    }

    /// Floats of working memory of a task: planes, then, unless results are written directly, a tile's results and a line.
    fn scratch_len(&self) -> usize {
        let unfolded = match self.plan.direct {
            true => 0,
            false => {
                let results = self.plan.layout.samples * self.plan.shape.0 * self.results_len();
                results.next_multiple_of(BLOCK) + self.plan.cols.outputs * self.op.stride[1]
            }
        };
        self.planes_len() + unfolded.next_multiple_of(BLOCK)
    }
}

/// One chunk of channel tiles for one band of one block of samples.
struct Task<'a> {
    correlation: &'a Correlation<'a>,
    panels: &'a [f32],
    scratch: &'a mut [f32],
    task: usize,
}

/// Where a task is.
#[derive(Clone, Copy)]
struct Position<'a> {
    band: &'a Band,
    /// The band's first unit.
    first: usize,
    /// The first sample and how many.
    sample: usize,
    samples: usize,
    group: usize,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Task { correlation, panels, scratch, task } = self;
        let plan = correlation.plan;
        let (chunk, block) = (task % plan.chunks, task / plan.chunks);
        let (band, sample) = (block % plan.band_count, block / plan.band_count * plan.layout.samples);
        let all = plan.tiles * correlation.op.groups;
        let (mut tile, end) = (all * chunk / plan.chunks, all * (chunk + 1) / plan.chunks);
        let (planes, rest) = scratch.split_at_mut(correlation.planes_len());
        let batch = correlation.target.len() / correlation.target_len;
        let mut position = Position {
            band: &plan.bands[usize::from(band + 1 == plan.band_count)],
            first: band * plan.bands[0].units,
            sample,
            samples: plan.layout.samples.min(batch - sample),
            group: 0,
        };
        while tile < end {
            position.group = tile / plan.tiles;
            let tiles = tile % plan.tiles..(end - position.group * plan.tiles).min(plan.tiles);
            tile += tiles.len();
            let channels = correlation.channels().0;
            let source = if plan.as_is {
                correlation.source[sample * correlation.source_len
                    + position.group * channels * correlation.planes().0
                    + position.first..]
                    .as_ptr()
            } else {
                let samples = sample * correlation.source_len..(sample + position.samples) * correlation.source_len;
                let source = Source {
                    data: &correlation.source[samples],
                    sample: correlation.source_len,
                    channels: (position.group * channels, channels),
                    rows: &plan.rows,
                    cols: &plan.cols,
                    mode: match correlation.pass {
                        Pass::Forward => correlation.op.padding_mode,
                        Pass::Backward => super::PaddingMode::Zeros,
                    },
                };
                source.prepare(simd, &plan.layout, position.first, planes);
                planes.as_ptr()
            };
            if plan.direct {
                correlation.sweep_to_target(simd, panels, position, source, tiles);
            } else {
                tiles.for_each(|tile| correlation.sweep_and_unfold(simd, panels, position, source, tile, rest));
            }
        }
    }
}

impl Correlation<'_> {
    /// The sweep of some tiles of a group, without the output's address.
    #[inline(always)]
    fn sweep_of<'b>(
        &'b self,
        panels: &'b [f32],
        position: Position<'b>,
        source: *const f32,
        phase: usize,
        tiles: core::ops::Range<usize>,
    ) -> Sweep<'b> {
        let plan = self.plan;
        let elements = plan.phase(phase);
        let (tile, channels) = (plan.shape.0, self.channels().1);
        let first_panel =
            elements.start * self.op.groups * plan.tiles + elements.len() * (position.group * plan.tiles + tiles.start);
        let first = tiles.start * tile;
        let count = (tiles.end * tile).min(channels) - first;
        Sweep {
            strips: &plan.strips[position.band.strips.clone()],
            segments: &plan.segments,
            panels: &panels[first_panel * tile..][..elements.len() * tiles.len() * tile],
            offsets: &plan.offsets[elements],
            source,
            channels: count,
            bias: self.bias.map(|bias| &bias[position.group * channels + first..][..count]),
            output: core::ptr::null_mut(),
            channel: 0,
            sample: 0,
            samples: position.samples,
        }
    }

    #[inline(always)]
    fn sweep_to_target<S: Simd>(
        &self,
        _: S,
        panels: &[f32],
        position: Position,
        source: *const f32,
        tiles: core::ops::Range<usize>,
    ) {
        let (_, plane) = self.planes();
        let channel = position.group * self.channels().1 + tiles.start * self.plan.shape.0;
        let mut correlation = self.sweep_of(panels, position, source, 0, tiles);
        let start = position.sample * self.target_len + channel * plane + position.first * self.plan.unit;
        debug_assert!(start < self.target.len());
        (correlation.channel, correlation.sample) = (plane, self.target_len);
        // SAFETY: the band's first result of the first channel. Strips read within the planes (or the source, which a strip of a map
        // taken as it stands never runs past); segments write the band's results of these channels and samples, which no other task does.
        unsafe {
            correlation.output = self.target.as_ptr().add(start);
            tiles::run(S::ISA, self.plan.shape, &correlation);
        }
    }

    #[inline(always)]
    fn sweep_and_unfold<S: Simd>(
        &self,
        simd: S,
        panels: &[f32],
        position: Position,
        source: *const f32,
        tile: usize,
        scratch: &mut [f32],
    ) {
        let plan = self.plan;
        let (results_len, sample_len) = (self.results_len(), plan.shape.0 * self.results_len());
        let (results, line) = scratch.split_at_mut((plan.layout.samples * sample_len).next_multiple_of(BLOCK));
        let line = &mut line[..plan.cols.outputs * self.op.stride[1]];
        let mut channels = 0;
        for phase in 0..plan.phases.len() {
            let mut correlation = self.sweep_of(panels, position, source, phase, tile..tile + 1);
            channels = correlation.channels;
            (correlation.channel, correlation.sample) = (results_len, sample_len);
            let results = &mut results[phase * plan.layout.band * plan.cols.outputs..];
            // SAFETY: as in `sweep_to_target`, the results being `[sample][channel][phase][row][column]` in this task's memory.
            unsafe {
                correlation.output = results.as_mut_ptr();
                tiles::run(S::ISA, plan.shape, &correlation);
            }
        }
        let [_, height, width] = self.op.input;
        let unfold = Unfold {
            rows: &plan.rows,
            cols: &plan.cols,
            mode: self.op.padding_mode,
            stride: self.op.stride,
            band: plan.layout.band,
            units: position.band.units,
            first: position.first,
            size: [height, width],
        };
        for sample in 0..position.samples {
            for i in 0..channels {
                let channel = position.group * self.channels().1 + tile * plan.shape.0 + i;
                let start = (position.sample + sample) * self.target_len + channel * height * width;
                let phases = &results[sample * sample_len + i * results_len..][..results_len];
                unfold.run(simd, phases, line, |y| {
                    // SAFETY: rows of one band (or the whole plane) of one channel, which no other task writes, one at a time.
                    unsafe { self.target.slice(start + y * width..start + (y + 1) * width) }
                });
            }
        }
    }
}
