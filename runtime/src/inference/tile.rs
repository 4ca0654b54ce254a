//! The register tile of every convolution: a few pixels by a few vectors of output channels, accumulated over all taps.
//!
//! One step multiplies one input value of each of N pixels, broadcast, with Q vectors of weights. All strides are run-time numbers,
//! so the same loop reads blocked inputs, planar (NCHW) ones and the planes of a Winograd product; only the tile is constant, since
//! its N x Q accumulators must stay in registers. Addresses are made by `wrapping_add`: builds with debug assertions check every other
//! kind, which in these loops takes longer than the multiplications. The tiles:
//!
//! | | registers | N x Q | accumulators + weights + broadcast |
//! |---|---|---|---|
//! | AVX-512 | 32 | 14 x 2 (or x 1) | 28 + 2 + 1 |
//! | AVX2 | 16 | 6 x 2 | 12 + 2 + 1 |
//! | NEON | 32 | 6 x 4 | 24 + 4 + 1 |
//! | scalar (SSE2) | 16 | 2 x 4 | 8 + 4 + 1 |

use crate::simd::{BLOCK, Isa, Kernel, Simd, dispatch};

/// Repeats a block with `$i` = 0, 1, … below `$n`, each a constant: an accumulator array indexed by anything else is laid on the
/// stack, and whether LLVM unrolls a loop completely depends on a size limit that 14 x 2 products exceed.
///
/// The block is written out once for each number below the bound that follows, those from `$n` on being left out later: loops within
/// loops with bounds larger than needed are what compiling castnet takes longest for.
macro_rules! unroll {
    ($i:ident < $n:ident <= 2, $body:block) => { unroll!(@ $i $n 2 $body 0 1) };
    ($i:ident < $n:ident <= 4, $body:block) => { unroll!(@ $i $n 4 $body 0 1 2 3) };
    ($i:ident < $n:ident <= 5, $body:block) => { unroll!(@ $i $n 5 $body 0 1 2 3 4) };
    ($i:ident < $n:ident <= 6, $body:block) => { unroll!(@ $i $n 6 $body 0 1 2 3 4 5) };
    ($i:ident < $n:ident <= 7, $body:block) => { unroll!(@ $i $n 7 $body 0 1 2 3 4 5 6) };
    ($i:ident < $n:ident <= 8, $body:block) => { unroll!(@ $i $n 8 $body 0 1 2 3 4 5 6 7) };
    ($i:ident < $n:ident <= 14, $body:block) => { unroll!(@ $i $n 14 $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13) };
    (@ $i:ident $n:ident $most:literal $body:block $($k:literal)*) => {
        const { assert!($n <= $most, "more turns than are written out") };
        $({
            const $i: usize = $k;
            if $i < $n $body
        })*
    };
}
pub(super) use unroll;

/// Most pixels of a tile; see the module's table.
pub(super) const fn pixel_limit(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 14,
        Isa::Avx2 | Isa::Neon => 6,
        Isa::Scalar => 2,
    }
}

/// How far ahead of their use weights are fetched, in floats: 64 steps of 16, which a 14 x 2 tile takes 900 cycles for.
const PREFETCH: usize = 1024;

/// The taps that are summed: `depth` input channels ("lanes"), in blocks of `lanes`, times the kernel.
///
/// A planar input has one channel per "block" and its kernel's columns as lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps {
    /// Lanes in all, over all blocks.
    pub depth: usize,
    /// The lane of the first block that comes first (not 0 where a group starts within a block).
    pub first: usize,
    /// Lanes of a full block.
    pub lanes: usize,
    /// Floats from a lane to the next.
    pub lane_stride: usize,
    /// Floats from a block to the next.
    pub block_stride: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Floats from a tap to the next, down and across.
    pub kernel_stride: [usize; 2],
}

/// A run of equal tiles: `rows` x `columns` tiles of R x C pixels for some blocks of output channels.
///
/// Pointers and strides in floats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip {
    pub taps: Taps,
    /// The first tap of the first pixel, at the first block's lane 0.
    pub input: *const f32,
    /// From an output pixel's input to the next one's, down and across.
    pub input_stride: [usize; 2],
    /// `[blocks][taps][16]`
    pub weights: *const f32,
    /// From an output block's weights to the next one's.
    pub weight_block: usize,
    /// `[blocks * 16]`; null for none.
    pub bias: *const f32,
    /// Blocks of output channels.
    pub blocks: usize,
    pub output: *mut f32,
    /// From an output pixel to the next, down and across.
    pub output_stride: [usize; 2],
    /// From an output block to the next.
    pub output_block: usize,
    /// Added before clamping; null for none.
    pub residual: *const f32,
    pub residual_stride: [usize; 2],
    pub residual_block: usize,
    /// The least and largest value to write, when anything is clamped.
    pub clamp: Option<[f32; 2]>,
    /// Tiles down and across.
    pub tiles: [usize; 2],
    /// The weights that are used after these, to be fetched meanwhile; null for none.
    pub next_weights: *const f32,
}

/// Runs a strip of tiles of `rows` x `columns` pixels.
///
/// # Safety
/// All pixels of all tiles lie in the buffers that the strip points into, with all their taps, weights and biases; nobody else
/// accesses the output's pixels meanwhile. The tile is one of [`widths`] and [`tile_rows`].
pub(super) unsafe fn run(isa: Isa, strip: &Strip, rows: usize, columns: usize) {
    macro_rules! shapes {
        ($x:literal: $(($r:literal, $c:literal))*) => {
            match (rows, columns) {
                // SAFETY: the caller's promise.
                $(($r, $c) => dispatch(isa, unsafe { Tiles::<{ $r * $c }, $c, $x>::new(strip) }),)*
                _ => unreachable!("no tile of {rows} x {columns} pixels"),
            }
        };
        (one row, $x:literal $(, $more:tt)*) => {
            shapes! {
                $x:
                (1, 1) (1, 2) (1, 3) (1, 4) (1, 6) (1, 8) (1, 10) (1, 12) (1, 14)
                $($more)*
            }
        };
    }
    match distance(strip.input_stride[1], strip.taps.lane_stride, [strip.output_stride[1], strip.residual_stride[1]]) {
        16 => shapes! {
            one row, 16, (1, 5), (1, 7), (1, 9), (1, 11), (1, 13),
            (2, 2), (2, 3), (2, 4), (2, 5), (2, 6), (2, 7), (3, 2), (3, 3), (3, 4), (4, 2), (4, 3)
        },
        32 => shapes!(one row, 32, (1, 7), (2, 2), (2, 4), (2, 7), (3, 4)),
        // Planar inputs.
        1 => shapes!(one row, 1),
        2 => shapes!(one row, 2),
        _ => shapes!(one row, 0),
    }
}

/// The distance between the inputs of neighbouring pixels, in floats, if tiles are compiled for it, else 0.
pub(super) const fn distance(input: usize, lane_stride: usize, outputs: [usize; 2]) -> usize {
    match (input, lane_stride, outputs) {
        (1 | 2 | 16 | 32, 1, [16, 16]) => input,
        _ => 0,
    }
}

/// Cuts the columns `from..to` into tiles of widths that are compiled for a distance: `(start, width, count)`.
///
/// Most have tiles of even widths alone, half as much to compile; what is odd begins with a tile of 3 or 1. At the distance 16, where
/// nearly all the work is, there is every width.
pub(super) fn widths(isa: Isa, distance: usize, from: usize, to: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let (limit, len) = (pixel_limit(isa), to - from);
    let (odd, unit) = match (distance, len) {
        (16, _) => (0, 1),
        (32, 7) if limit >= 7 => (7, 1),
        (_, len) if len % 2 == 0 => (0, 2),
        (_, 1) => (1, 1),
        _ if limit < 3 => (1, 2),
        _ => (3, 2),
    };
    let rest = segments(0, (len - odd) / unit, limit / unit);
    let rest = rest.map(move |(start, width, count)| (from + odd + unit * start, unit * width, count));
    (odd > 0).then_some((from, odd, 1)).into_iter().chain(rest)
}

/// Rows of a tile `columns` wide: as many as the registers hold, of those that are compiled. All smaller numbers exist too.
pub(super) const fn tile_rows(isa: Isa, distance: usize, columns: usize) -> usize {
    let most = match (distance, columns) {
        (16, 2 | 3) => 4,
        (16 | 32, 4) => 3,
        (16, 5..=7) | (32, 2 | 7) => 2,
        _ => 1,
    };
    let fit = pixel_limit(isa) / columns;
    if fit < most { fit } else { most }
}

/// Cuts `from..to` into pieces of at most `limit` elements whose lengths differ by at most one: `(start, length, count)` of the longer
/// pieces, then of the shorter.
pub(super) fn segments(from: usize, to: usize, limit: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let len = to - from;
    let pieces = len.div_ceil(limit);
    let (short, longer) = (len / pieces.max(1), len % pieces.max(1));
    let split = from + longer * (short + 1);
    [(from, short + 1, longer), (split, short, pieces - longer)].into_iter().filter(|&(_, _, count)| count > 0)
}

/// `N` pixels in rows of `C`. Their inputs lie `X` floats apart across and their outputs 16, or as the strip says if `X` is 0: fourteen
/// addresses with a run-time distance are more than the general registers hold.
struct Tiles<'a, const N: usize, const C: usize, const X: usize>(&'a Strip);

impl<'a, const N: usize, const C: usize, const X: usize> Tiles<'a, N, C, X> {
    /// # Safety
    /// As [`run`].
    unsafe fn new(strip: &'a Strip) -> Self {
        Self(strip)
    }
}

impl<const N: usize, const C: usize, const X: usize> Kernel for Tiles<'_, N, C, X> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let strip = self.0;
        // SAFETY: the promise made to `new`.
        unsafe {
            if const { N > pixel_limit(S::ISA) } {
                unreachable!("a tile of {N} pixels does not fit in the registers");
            } else if const { S::LANES == BLOCK } {
                let mut block = 0;
                while block + 2 <= strip.blocks {
                    walk::<S, N, C, X, 2>(simd, strip, block);
                    block += 2;
                }
                if block < strip.blocks {
                    walk::<S, N, C, X, 1>(simd, strip, block);
                }
            } else {
                for block in 0..strip.blocks {
                    if const { S::LANES * 2 == BLOCK } {
                        walk::<S, N, C, X, 2>(simd, strip, block);
                    } else {
                        walk::<S, N, C, X, 4>(simd, strip, block);
                    }
                }
            }
        }
    }
}

/// What is fetched into the second cache while a tile is summed: a line each step.
///
/// Weights that lie beyond it are used once a run by few tiles. Fetched in the order of their use, a step would wait for them at the
/// first tile and the memory for the steps of the others; so each tile fetches its share of the next blocks' weights. It does so in
/// [`STREAMS`] places by turns: the processor's own prefetcher follows lines within a page of 4 KiB, and a page that lasts four times as
/// long gives it the time.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    from: *const f32,
    /// Floats from a step's line to the next one's, three times of four.
    jump: usize,
    /// The same from the last place back to the first.
    back: usize,
}

/// Places in which weights are fetched by turns.
const STREAMS: usize = 4;

impl Ahead {
    /// Nothing worth mentioning: the same line again and again.
    pub(super) fn nothing(weights: *const f32) -> Self {
        Ahead { from: weights, jump: 0, back: 0 }
    }

    /// The share of one of `tiles` tiles: `len` floats are fetched by all of them, in as many steps each as there are `taps`.
    fn share(next: *const f32, len: usize, tile: usize, tiles: usize, taps: &Taps) -> Self {
        let steps = taps.depth * taps.kernel[0] * taps.kernel[1];
        // Of a single tile's two lines a step the nearer prefetch brings what this leaves.
        let step = (len / (tiles * steps).max(1)).min(BLOCK);
        let from = next.wrapping_add(len / tiles * tile);
        if [taps.depth, taps.lanes, taps.first].iter().all(|lanes| lanes.is_multiple_of(STREAMS)) {
            let jump = steps * step / STREAMS;
            Ahead { from, jump, back: step.wrapping_sub((STREAMS - 1) * jump) }
        } else {
            // A run of lanes would end between two places.
            Ahead { from, jump: step, back: step }
        }
    }

    /// Floats to the next line from that of a step, counted from the beginning of its run of lanes.
    #[inline(always)]
    const fn after(&self, step: usize) -> usize {
        if step % STREAMS < STREAMS - 1 { self.jump } else { self.back }
    }
}

/// All tiles of a strip, for the `Q` vectors of output channels that start at `block`.
#[inline(always)]
unsafe fn walk<S: Simd, const N: usize, const C: usize, const X: usize, const Q: usize>(
    simd: S,
    strip: &Strip,
    block: usize,
) {
    const { assert!(N <= 14 && Q <= 4 && N.is_multiple_of(C)) };
    let rows = N / C;
    let across = |x: usize, strides: [usize; 2]| [strides[0], if X == 0 { strides[1] } else { x }];
    let input_stride = across(X, strip.input_stride);
    let (output_stride, residual_stride) = (across(BLOCK, strip.output_stride), across(BLOCK, strip.residual_stride));
    // The next blocks of output channels, or what comes after the last ones.
    let blocks = (Q * S::LANES).div_ceil(BLOCK);
    let weights = strip.weights.wrapping_add(block * strip.weight_block);
    let next = if block + blocks < strip.blocks {
        weights.wrapping_add(blocks * strip.weight_block)
    } else {
        strip.next_weights
    };
    let tiles = strip.tiles[0] * strip.tiles[1];
    for down in 0..strip.tiles[0] {
        for across in 0..strip.tiles[1] {
            let ahead = if next.is_null() {
                Ahead::nothing(weights)
            } else {
                let index = down * strip.tiles[1] + across;
                Ahead::share(next, blocks * strip.weight_block, index, tiles, &strip.taps)
            };
            let at = |stride: [usize; 2]| down * rows * stride[0] + across * C * stride[1];
            // SAFETY: every pixel, tap, weight and bias that is touched belongs to the strip, as `run`'s caller promised.
            unsafe {
                let mut sums = [[simd.zero(); Q]; N];
                if !strip.bias.is_null() {
                    unroll!(J < Q <= 4, {
                        let bias = simd.load_ptr(strip.bias.wrapping_add(block * BLOCK + J * S::LANES));
                        unroll!(I < N <= 14, { sums[I][J] = bias });
                    });
                }
                let input = strip.input.wrapping_add(at(input_stride));
                accumulate::<S, N, C, Q>(
                    simd,
                    &strip.taps,
                    if X == 0 { strip.taps.lane_stride } else { 1 },
                    input,
                    input_stride,
                    weights,
                    strip.weight_block,
                    ahead,
                    &mut sums,
                );
                // First layers have none.
                if X != 1 && X != 2 && !strip.residual.is_null() {
                    let residual = strip.residual.wrapping_add(at(residual_stride));
                    unroll!(I < N <= 14, {
                        let pixel = residual.wrapping_add(I / C * residual_stride[0] + I % C * residual_stride[1]);
                        unroll!(J < Q <= 4, {
                            let offset = vector::<S>(block, J, strip.residual_block);
                            sums[I][J] = simd.add(sums[I][J], simd.load_ptr(pixel.wrapping_add(offset)));
                        });
                    });
                }
                if let Some([low, high]) = strip.clamp {
                    let (low, high) = (simd.splat(low), simd.splat(high));
                    unroll!(I < N <= 14, {
                        // The second operand is what a NaN leaves: it stays NaN.
                        unroll!(J < Q <= 4, { sums[I][J] = simd.min(high, simd.max(low, sums[I][J])) });
                    });
                }
                let output = strip.output.wrapping_add(at(output_stride));
                unroll!(I < N <= 14, {
                    let pixel = output.wrapping_add(I / C * output_stride[0] + I % C * output_stride[1]);
                    unroll!(J < Q <= 4, {
                        simd.store_ptr(sums[I][J], pixel.wrapping_add(vector::<S>(block, J, strip.output_block)));
                    });
                });
            }
        }
    }
}

/// Offset of a tile's `j`-th vector from the first block of the strip, blocks lying `stride` apart.
#[inline(always)]
const fn vector<S: Simd>(block: usize, j: usize, stride: usize) -> usize {
    (block + j * S::LANES / BLOCK) * stride + j * S::LANES % BLOCK
}

/// Adds to `sums` the products of all taps of N pixels with Q vectors of weights; the weights of an output block lie `weight_block`
/// after the last one's.
///
/// # Safety
/// All taps of all pixels and their weights may be read.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn accumulate<S: Simd, const N: usize, const C: usize, const Q: usize>(
    simd: S,
    taps: &Taps,
    lane_stride: usize,
    input: *const f32,
    pixel_stride: [usize; 2],
    weights: *const f32,
    weight_block: usize,
    ahead: Ahead,
    sums: &mut [[S::V; Q]; N],
) {
    let mut far = ahead.from;
    // Addresses advance by additions alone: a chain of multiplications between two runs of lanes costs some 25 cycles, and the
    // multiply-adds that wait in the queue do not let it start early.
    let mut weights = weights;
    let mut block = input.wrapping_add(taps.first * lane_stride);
    let mut room = taps.lanes - taps.first;
    let mut remaining = taps.depth;
    while remaining > 0 {
        let lanes = remaining.min(room);
        let mut row = block;
        for _ in 0..taps.kernel[0] {
            let mut tap = row;
            for _ in 0..taps.kernel[1] {
                let mut lane = tap;
                for step in 0..lanes {
                    // SAFETY: the caller vouches for all taps and weights.
                    unsafe {
                        let mut factors = [simd.zero(); Q];
                        unroll!(J < Q <= 4, {
                            let offset = vector::<S>(0, J, weight_block);
                            factors[J] = simd.load_ptr(weights.wrapping_add(offset));
                            // A single vector a step is bound by its N + 1 loads, and the weights of 16 channels are few.
                            if Q > 1 && (J * S::LANES).is_multiple_of(BLOCK) {
                                simd.prefetch(weights.wrapping_add(offset + PREFETCH));
                            }
                        });
                        // One vector a step leaves no room for it.
                        if Q > 1 {
                            simd.prefetch_far(far);
                            far = far.wrapping_add(ahead.after(step));
                        }
                        unroll!(I < N <= 14, {
                            let value =
                                simd.splat_ptr(lane.wrapping_add(I / C * pixel_stride[0] + I % C * pixel_stride[1]));
                            unroll!(J < Q <= 4, { sums[I][J] = simd.mul_add(value, factors[J], sums[I][J]) });
                        });
                        weights = weights.wrapping_add(BLOCK);
                        lane = lane.wrapping_add(lane_stride);
                    }
                }
                tap = tap.wrapping_add(taps.kernel_stride[1]);
            }
            row = row.wrapping_add(taps.kernel_stride[0]);
        }
        // From the second block on, lanes start at 0.
        block = block.wrapping_add(taps.block_stride - (taps.lanes - room) * lane_stride);
        room = taps.lanes;
        remaining -= lanes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_compiled_and_cover_every_column_once() {
        for isa in Isa::ALL {
            for distance in [0, 1, 2, 16, 32] {
                for len in 0..100 {
                    let mut at = 3;
                    for (start, width, count) in widths(isa, distance, 3, 3 + len) {
                        assert_eq!(start, at);
                        assert!(
                            width <= pixel_limit(isa) && (distance == 16 || width < 4 || width % 2 == 0 || width == 7)
                        );
                        assert!((1..=pixel_limit(isa) / width).contains(&tile_rows(isa, distance, width)));
                        at += width * count;
                    }
                    assert_eq!(at, 3 + len);
                }
            }
        }
    }

    #[test]
    fn every_line_is_fetched_once() {
        for depth in [4, 16, 60, 512, 30] {
            let taps = Taps {
                depth,
                first: 0,
                lanes: BLOCK,
                lane_stride: 1,
                block_stride: 0,
                kernel: [3, 3],
                kernel_stride: [0; 2],
            };
            let steps = 9 * depth;
            // Two blocks of weights: two tiles fetch a line a step each, four half a line, one the half of them.
            for (tiles, floats) in [(1, 16), (2, 16), (4, 8)] {
                for tile in 0..tiles {
                    let ahead = Ahead::share(core::ptr::null(), 2 * steps * BLOCK, tile, tiles, &taps);
                    let start = 2 * steps * BLOCK / tiles * tile;
                    let mut far = ahead.from;
                    let mut met = alloc::vec![0; steps * floats / BLOCK];
                    for first in (0..depth).step_by(BLOCK) {
                        for _ in 0..9 {
                            for step in 0..(depth - first).min(BLOCK) {
                                met[(far as usize / 4 - start) / BLOCK] += 1;
                                far = far.wrapping_add(ahead.after(step));
                            }
                        }
                    }
                    assert!(met.iter().all(|&times| times == BLOCK / floats), "{depth} {tiles} {tile}: {met:?}");
                }
            }
        }
    }

    #[test]
    fn segments_cover_every_element_once() {
        for limit in 1..=14 {
            for len in 1..100 {
                let mut at = 3;
                for (start, width, count) in segments(3, 3 + len, limit) {
                    assert_eq!(start, at);
                    assert!(width > 0 && width <= limit);
                    at += width * count;
                }
                assert_eq!(at, 3 + len);
            }
        }
    }
}
