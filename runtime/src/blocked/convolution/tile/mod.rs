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

mod accumulate;
mod shapes;

use crate::blocked::unroll::unroll;
use crate::simd::{BLOCK, Isa, Kernel, Simd, dispatch};
use accumulate::{Ahead, accumulate, vector};
pub(in crate::blocked) use shapes::{distance, pixel_limit, segments, tile_rows, widths};

/// The taps that are summed: `depth` input channels ("lanes"), in blocks of `lanes`, times the kernel.
///
/// A planar input has one channel per "block" and its kernel's columns as lanes.
#[derive(Clone, Copy, Debug)]
pub(in crate::blocked) struct Taps {
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
pub(in crate::blocked) struct Strip {
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
    /// RegisterTiles down and across.
    pub tiles: [usize; 2],
    /// The weights that are used after these, to be fetched meanwhile; null for none.
    pub next_weights: *const f32,
}

/// Runs a strip of tiles of `rows` x `columns` pixels.
///
/// # Safety
/// All pixels of all tiles lie in the buffers that the strip points into, with all their taps, weights and biases; nobody else
/// accesses the output's pixels meanwhile. The tile is one of [`widths`] and [`tile_rows`].
pub(in crate::blocked) unsafe fn run(isa: Isa, strip: &Strip, rows: usize, columns: usize) {
    macro_rules! shapes {
        ($x:literal: $(($r:literal, $c:literal))*) => {
            match (rows, columns) {
                // SAFETY: the caller's promise.
                $(($r, $c) => dispatch(isa, unsafe { RegisterTiles::<{ $r * $c }, $c, $x>::new(strip) }),)*
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

/// `N` pixels in rows of `C`. Their inputs lie `X` floats apart across and their outputs 16, or as the strip says if `X` is 0: fourteen
/// addresses with a run-time distance are more than the general registers hold.
struct RegisterTiles<'a, const N: usize, const C: usize, const X: usize>(&'a Strip);

impl<'a, const N: usize, const C: usize, const X: usize> RegisterTiles<'a, N, C, X> {
    /// # Safety
    /// As [`run`].
    unsafe fn new(strip: &'a Strip) -> Self {
        Self(strip)
    }
}

impl<const N: usize, const C: usize, const X: usize> Kernel for RegisterTiles<'_, N, C, X> {
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
