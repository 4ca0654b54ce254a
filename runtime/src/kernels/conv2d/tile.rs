//! The register tile of a convolution: `M` output channels x `N` vectors of pixels, read straight from prepared planes.

// Arrays of registers are indexed by loops that unroll: an iterator over one would be no clearer, two arrays are mostly involved.
#![allow(clippy::needless_range_loop)]

use crate::kernels::tiles::Tiled;
use crate::simd::Simd;

/// A vector of results.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip {
    /// Where its first lane reads for a tap at offset 0.
    pub source: u32,
    /// Its first segment.
    pub first: u32,
    /// How many segments it has.
    pub count: u32,
}

/// Neighbouring lanes of a strip that are neighbours in the output too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Which of the samples side by side.
    pub sample: u32,
    /// Where its first lane goes in the band of the output channel.
    pub offset: u32,
    /// Its lanes: first and one past the last.
    pub lanes: [u8; 2],
}

/// Tiles of output channels, swept over the strips of a band.
pub(super) struct Sweep<'a> {
    /// The strips; every float that they read at any of the offsets exists.
    pub strips: &'a [Strip],
    pub segments: &'a [Segment],
    /// For each element of the reduction, how far from a strip's source it reads.
    pub offsets: &'a [u32],
    /// The prepared planes.
    pub source: *const f32,
    /// `[channel tile][reduction][channel in tile]`
    pub panels: &'a [f32],
    /// Output channels; the last tile is filled up with weights of zero.
    pub channels: usize,
    /// One per output channel.
    pub bias: Option<&'a [f32]>,
    /// The first output channel of the first sample, at the band's first result.
    pub output: *mut f32,
    /// From one output channel to the next.
    pub channel: usize,
    /// From one sample to the next.
    pub sample: usize,
    /// How many of the samples side by side there are.
    pub samples: usize,
}

/// Its promise: the strips' reads are within the source's allocation; the segments' writes are within the output's, which nobody else uses.
impl Tiled for &Sweep<'_> {
    const SHAPES_32: &'static [(usize, usize)] = &[(24, 1), (12, 2), (8, 3), (6, 4), (4, 6), (3, 8), (2, 10), (1, 12)];
    const SHAPES_16: &'static [(usize, usize)] = &[(12, 1), (6, 2), (4, 3), (3, 4), (2, 5), (1, 8)];
    const LOADS: usize = 2;

    #[inline(always)]
    unsafe fn run<S: Simd, const M: usize, const N: usize>(self, simd: S) {
        let Some(last) = self.strips.len().checked_sub(1) else { return };
        let depth = self.offsets.len();
        for tile in 0..self.channels.div_ceil(M) {
            let first_channel = tile * M;
            let rows = M.min(self.channels - first_channel);
            let panel = self.panels[first_channel * depth..][..M * depth].as_ptr();
            let mut bias = [0.0; M];
            if let Some(from) = self.bias {
                bias[..rows].copy_from_slice(&from[first_channel..][..rows]);
            }
            // SAFETY: the first output channel of the tile.
            let output = unsafe { self.output.add(first_channel * self.channel) };
            for first in (0..=last).step_by(N) {
                // A tile that runs past the last strip does it again.
                let strips: [Strip; N] = core::array::from_fn(|j| self.strips[(first + j).min(last)]);
                // SAFETY: the strip's place in the source.
                let sources = strips.map(|strip| unsafe { self.source.add(strip.source as usize) });
                let mut acc = [[simd.zero(); N]; M];
                for i in 0..M {
                    acc[i] = [simd.splat(bias[i]); N];
                }
                let mut weights = panel;
                for &offset in self.offsets {
                    let mut pixels = [simd.zero(); N];
                    for j in 0..N {
                        // SAFETY: the caller's promise for every strip at every offset.
                        pixels[j] = unsafe { simd.load_ptr(sources[j].add(offset as usize)) };
                    }
                    for i in 0..M {
                        // SAFETY: the panel holds M weights per offset.
                        let weight = unsafe { simd.splat_ptr(weights.add(i)) };
                        for j in 0..N {
                            acc[i][j] = simd.mul_add(weight, pixels[j], acc[i][j]);
                        }
                    }
                    // SAFETY: as above; at most one past the end.
                    weights = unsafe { weights.add(M) };
                }
                for j in 0..N {
                    let Strip { first, count, .. } = strips[j];
                    for segment in &self.segments[first as usize..(first + count) as usize] {
                        if segment.sample as usize >= self.samples {
                            continue;
                        }
                        let [start, end] = segment.lanes.map(usize::from);
                        // SAFETY: the caller's promise for every segment of the samples that there are, and the channels `rows`.
                        unsafe {
                            let to = output.add(segment.sample as usize * self.sample + segment.offset as usize);
                            if end - start == S::LANES {
                                for i in 0..M {
                                    if i < rows {
                                        simd.store_ptr(acc[i][j], to.add(i * self.channel));
                                    }
                                }
                            } else {
                                for i in 0..M {
                                    if i < rows {
                                        simd.store_ptr_lanes(acc[i][j], to.add(i * self.channel), start, end);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
