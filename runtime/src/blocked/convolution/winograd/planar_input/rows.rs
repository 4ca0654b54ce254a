//! The steps of a band: transforming columns, then rows, products, and transforming those.

use super::{Phases, Winograd};
use crate::blocked::convolution::winograd::transform::Variant;
use crate::blocked::unroll::unroll;
use crate::blocked::{BLOCK, Blocked};
use crate::simd::{Isa, Kernel, Simd};

/// Room for the products of a row of planes, and for all rows transformed: (7 + 7 * 4) * 14 vectors, 31 KiB.
pub(super) const PRODUCTS: usize = (7 + 7 * 4) * MOST * BLOCK;

/// Tiles whose products are summed together at most, on any instruction set.
const MOST: usize = 14;

/// Tiles whose products are summed together: 14 vectors of 32 registers, 6 x 2 of 16, 6 x 4 of 32, and 2 x 4 of 16 leave room for weights
/// and inputs.
const fn has_count(isa: Isa, count: usize) -> bool {
    match isa {
        Isa::Avx512 => matches!(count, 1..=7 | MOST),
        Isa::Avx2 | Isa::Neon => count <= 6,
        Isa::Scalar => count <= 2,
    }
}

/// As many of `left` tiles as there can be, or as make the remaining passes equal.
fn tile_count(isa: Isa, left: usize) -> usize {
    let most = match isa {
        Isa::Avx512 if left >= MOST => return MOST,
        Isa::Avx512 => 7,
        Isa::Avx2 | Isa::Neon => 6,
        Isa::Scalar => 2,
    };
    left.div_ceil(left.div_ceil(most))
}

/// Rows of one sample.
pub(super) struct TransformedRows<'a, const M: usize, const N: usize, const D: usize, W> {
    run: &'a Winograd<'a, M, N, D, W>,
    to: &'a Blocked,
    start: *mut f32,
    rows: [usize; 2],
    planes: &'a [f32],
    strides: [usize; 2],
    /// [`Winograd::columns_len`] floats.
    columns: *mut f32,
    /// [`Winograd::transformed_len`] floats.
    transformed: *mut f32,
    /// [`PRODUCTS`] floats.
    products: *mut f32,
}

impl<'a, const M: usize, const N: usize, const D: usize, W: Phases<M, N>> TransformedRows<'a, M, N, D, W> {
    /// # Safety
    /// As [`Method::convolve`](crate::blocked::convolution::planar_input::Method::convolve).
    pub(super) unsafe fn new(
        run: &'a Winograd<'a, M, N, D, W>,
        to: &'a Blocked,
        start: *mut f32,
        rows: [usize; 2],
        planes: &'a [f32],
        strides: [usize; 2],
        [columns, transformed, products]: [&'a mut [f32]; 3],
    ) -> Self {
        let [columns, transformed, products] = [columns, transformed, products].map(<[f32]>::as_mut_ptr);
        TransformedRows { run, to, start, rows, planes, strides, columns, transformed, products }
    }
}

impl<const M: usize, const N: usize, const D: usize, W: Phases<M, N>> Kernel for TransformedRows<'_, M, N, D, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let across = self.to.width.div_ceil(M);
        for row in (self.rows[0]..self.rows[1]).step_by(M) {
            for first in (0..across).step_by(self.run.layout.tiles) {
                let count = (across - first).min(self.run.layout.tiles);
                // SAFETY: the tile's taps lie in the planes, as the maker of this band promised; a segment's tiles, and its outputs.
                unsafe {
                    self.columns(simd, row - self.rows[0], first, count);
                    self.rows(simd);
                    let mut tile = 0;
                    while tile < count {
                        tile += self.tiles(simd, row, first, [tile, count]);
                    }
                }
            }
        }
    }
}

impl<const M: usize, const N: usize, const D: usize, W: Phases<M, N>> TransformedRows<'_, M, N, D, W> {
    /// `B^T d` for the columns of `count` tiles of a row, from tile `first` on; `row` counts from the first one in the planes.
    ///
    /// # Safety
    /// The tiles' taps lie in the planes.
    #[inline(always)]
    unsafe fn columns<S: Simd>(&self, simd: S, row: usize, first: usize, count: usize) {
        let [plane, line] = self.strides;
        let (layout, stride) = (self.run.layout, W::STRIDE);
        let width = D * (count - 1) + stride * N;
        for channel in 0..self.run.op.input[0] {
            for phase in 0..stride {
                let from = self.planes[channel * plane + (row * stride + phase) * line + D * first..].as_ptr();
                for x in (0..width).step_by(D * S::LANES) {
                    // SAFETY: the caller's promise; what is written past a channel's columns lies in the next one's, which are written
                    // after these, or in the room after the last.
                    unsafe {
                        let mut columns = [[simd.zero(); D]; N];
                        unroll!(J < D <= 8, {
                            let at = x + J * S::LANES;
                            if at < width {
                                let column = column::<S, M, N, W>(simd, from.wrapping_add(at), stride * line, width - at);
                                unroll!(I < N <= 7, { columns[I][J] = column[I] });
                            }
                        });
                        unroll!(I < N <= 7, {
                            let split = split(simd, columns[I]);
                            let to = self.columns.wrapping_add((I * stride + phase) * D * layout.part());
                            let to = to.wrapping_add(channel * layout.columns + x / D);
                            unroll!(J < D <= 8, { simd.store_ptr(split[J], to.wrapping_add(J * layout.part())) });
                        });
                    }
                }
            }
        }
    }

    /// `d B` for the rows of a segment's tiles, all channels side by side.
    ///
    /// # Safety
    /// [`TransformedRows::columns`] has been called.
    #[inline(always)]
    unsafe fn rows<S: Simd>(&self, simd: S) {
        let (layout, stride) = (self.run.layout, W::STRIDE);
        let plane = stride * stride * layout.line;
        for i in 0..N {
            for phase in 0..stride * stride {
                let from = self.columns.wrapping_add((i * stride + phase / stride) * D * layout.part());
                let to = self.transformed.wrapping_add(i * N * plane + phase * layout.line);
                for at in (0..layout.line).step_by(S::LANES) {
                    // SAFETY: a vector lies within a line of columns and the room after them, and within a plane.
                    unsafe {
                        let mut d = [simd.zero(); N];
                        unroll!(J < N <= 7, {
                            let column = J * stride + phase % stride;
                            d[J] = simd.load_ptr(from.wrapping_add(column % D * layout.part() + column / D + at));
                        });
                        let d = W::input(simd, d);
                        unroll!(J < N <= 7, { simd.store_ptr(d[J], to.wrapping_add(J * plane + at)) });
                    }
                }
            }
        }
    }

    /// Computes the outputs of all blocks for some of a segment's tiles, those of `left` being left to do; gives how many they were.
    ///
    /// # Safety
    /// [`TransformedRows::rows`] has been called, and nobody else uses these outputs.
    #[inline(always)]
    unsafe fn tiles<S: Simd>(&self, simd: S, row: usize, first: usize, left: [usize; 2]) -> usize {
        let [tile, end] = left;
        let count = tile_count(S::ISA, end - tile);
        macro_rules! sizes {
            ($($count:literal)*) => {
                match count {
                    $($count if const { has_count(S::ISA, $count) } => {
                        // SAFETY: the caller's promise.
                        unsafe { self.blocks::<S, $count>(simd, row, first, tile) }
                    })*
                    _ => unreachable!("no tile of {count}"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7 14);
        count
    }

    /// As [`TransformedRows::tiles`], for `P` tiles from `tile` on.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn blocks<S: Simd, const P: usize>(&self, simd: S, row: usize, first: usize, tile: usize) {
        for block in 0..self.to.blocks() {
            // SAFETY: the caller's promise; the block exists.
            unsafe {
                match const { BLOCK / S::LANES } {
                    1 => self.block::<S, P, 1>(simd, block, row, first, tile),
                    2 => self.block::<S, P, 2>(simd, block, row, first, tile),
                    _ => self.block::<S, P, 4>(simd, block, row, first, tile),
                }
            }
        }
    }

    /// As [`TransformedRows::blocks`], for one of them, which is `Q` vectors.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn block<S: Simd, const P: usize, const Q: usize>(
        &self,
        simd: S,
        block: usize,
        row: usize,
        first: usize,
        tile: usize,
    ) {
        let Winograd { op, packed, clamp, .. } = *self.run;
        let bias = &packed[block * BLOCK..][..BLOCK];
        let len = N * N * W::STRIDE * W::STRIDE * op.input[0] * BLOCK;
        let weights = packed[self.to.blocks() * BLOCK + block * len..][..len].as_ptr();
        // `[plane across][tile][vector]`, of one row of planes, and `[plane down][column][tile][vector]`
        let (products, summed) = (self.products, self.products.wrapping_add(N * P * Q * S::LANES));
        for i in 0..N {
            // SAFETY: the caller's promise; there are weights for each plane, phase and channel.
            unsafe {
                self.multiply::<S, P, Q>(simd, weights, i, tile);
                for at in (0..P * Q * S::LANES).step_by(S::LANES) {
                    let mut t = [simd.zero(); N];
                    unroll!(J < N <= 7, { t[J] = simd.load_ptr(products.wrapping_add(J * P * Q * S::LANES + at)) });
                    let t = W::output(simd, t);
                    let to = summed.wrapping_add(i * M * P * Q * S::LANES + at);
                    unroll!(J < M <= 4, { simd.store_ptr(t[J], to.wrapping_add(J * P * Q * S::LANES)) });
                }
            }
        }
        let height = (self.rows[1] - row).min(M);
        for vector in 0..Q {
            let lane = vector * S::LANES;
            let bias = simd.load(&bias[lane..]);
            for i in 0..P {
                let column = M * (first + tile + i);
                let width = (self.to.width - column).min(M);
                let to = self.start.wrapping_add(self.to.offset(block, row, column) + lane);
                for x in 0..width {
                    // SAFETY: the sums have just been written, and these pixels are the band's.
                    unsafe {
                        let from = summed.wrapping_add(((x * P + i) * Q + vector) * S::LANES);
                        let mut t = [simd.zero(); N];
                        unroll!(I < N <= 7, { t[I] = simd.load_ptr(from.wrapping_add(I * M * P * Q * S::LANES)) });
                        let y = W::output(simd, t);
                        unroll!(I < M <= 4, {
                            if I < height {
                                let mut y = simd.add(y[I], bias);
                                if let Some([low, high]) = clamp {
                                    y = simd.min(simd.splat(high), simd.max(simd.splat(low), y));
                                }
                                simd.store_ptr(y, to.wrapping_add(I * self.to.row_len() + x * BLOCK));
                            }
                        });
                    }
                }
            }
        }
    }

    /// The products of `P` tiles with `Q` vectors of the weights of plane row `i`, summed over the phases and channels.
    ///
    /// # Safety
    /// As [`TransformedRows::tiles`].
    #[inline(always)]
    unsafe fn multiply<S: Simd, const P: usize, const Q: usize>(
        &self,
        simd: S,
        weights: *const f32,
        i: usize,
        tile: usize,
    ) {
        let (layout, inputs) = (self.run.layout, self.run.op.input[0]);
        let phases = |index: usize| if index == N - 1 { W::FULL } else { W::STRIDE };
        for plane in 0..N {
            let mut sums = [[simd.zero(); Q]; P];
            for (y, x) in (0..phases(i)).flat_map(|y| (0..phases(plane)).map(move |x| (y, x))) {
                let phase = ((i * N + plane) * W::STRIDE + y) * W::STRIDE + x;
                let mut weights = weights.wrapping_add(phase * inputs * BLOCK);
                let mut input = self.transformed.wrapping_add(phase * layout.line + tile).cast_const();
                for _ in 0..inputs {
                    // SAFETY: a line holds `columns` floats for each channel, and the weights are those of all planes and channels.
                    unsafe {
                        let mut factors = [simd.zero(); Q];
                        unroll!(J < Q <= 4, { factors[J] = simd.load_ptr(weights.wrapping_add(J * S::LANES)) });
                        unroll!(I < P <= 14, {
                            let x = simd.splat_ptr(input.wrapping_add(I));
                            unroll!(J < Q <= 4, { sums[I][J] = simd.mul_add(x, factors[J], sums[I][J]) });
                        });
                    }
                    input = input.wrapping_add(layout.columns);
                    weights = weights.wrapping_add(BLOCK);
                }
            }
            let to = self.products.wrapping_add(plane * P * Q * S::LANES);
            unroll!(I < P <= 14, {
                unroll!(J < Q <= 4, {
                    // SAFETY: room for MOST tiles in each plane.
                    unsafe { simd.store_ptr(sums[I][J], to.wrapping_add((I * Q + J) * S::LANES)) };
                });
            });
        }
    }
}

/// `B^T d` for a vector of columns, of which at most `count` are read; rows lie `line` apart.
///
/// # Safety
/// They can be read in each of `N` rows.
#[inline(always)]
unsafe fn column<S: Simd, const M: usize, const N: usize, W: Variant<M, N>>(
    simd: S,
    from: *const f32,
    line: usize,
    count: usize,
) -> [S::V; N] {
    let mut d = [simd.zero(); N];
    unroll!(I < N <= 7, {
        let row = from.wrapping_add(I * line);
        // SAFETY: the caller's promise.
        d[I] = unsafe { if count >= S::LANES { simd.load_ptr(row) } else { simd.load_ptr_partial(row, count) } };
    });
    W::input(simd, d)
}

/// `D` vectors of columns that follow each other, `D` being a power of two: of the result, vector `i` holds columns `i`, `i + D`, …
#[inline(always)]
fn split<S: Simd, const D: usize>(simd: S, columns: [S::V; D]) -> [S::V; D] {
    let mut split = columns;
    let mut parts = 1;
    while parts < D {
        // Even and odd columns of each pair: the bits of a column's number become, one after the other, that of the vector's.
        let mut next = split;
        for k in 0..D / 2 {
            (next[k], next[k + D / 2]) = simd.deinterleave(split[2 * k], split[2 * k + 1]);
        }
        split = next;
        parts *= 2;
    }
    split
}
