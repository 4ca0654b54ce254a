//! Winograd's algorithms from planar (NCHW) values of a few channels: first layers, and those of tiny networks.
//!
//! [`f2_5x5`] is F(2x2, 5x5). [`f4_7x7`] computes 7x7 kernels of stride 2: even and odd rows and columns are taken apart, which makes four
//! channels of each, and of the kernel four kernels of 4x4 at most, for F(4x4, 4x4).
//!
//! Blocks of 16 channels would be mostly empty, so here vectors lie along the columns while inputs are transformed, and along the output
//! channels afterwards. A row of tiles is worked on at a time, in the first cache: `B^T` is applied to the columns of its rows, of which
//! those as far apart as the tiles are then put together; `B` to the rows of these, the tiles of all channels side by side; the products are
//! sums over the channels, with the inputs broadcast. Weights are packed as `[bias][output block][plane][phase][ic][16]`.

use super::transform::{F2Of5, F4Of4, Variant};
use crate::inference::blocked::{BLOCK, Blocked};
use crate::inference::epilogue::Epilogue;
use crate::inference::planar::{self, Method, PlanarConv2d};
use crate::inference::tile::unroll;
use crate::inference::weights::Weights;
use crate::kernels::Context;
use crate::simd::{Isa, Kernel, Simd, dispatch};
use core::marker::PhantomData;

/// What of a convolution an algorithm for stride 1 computes: for stride S, S x S phases, each the pixels and the taps S apart.
trait Phases<const M: usize, const N: usize>: Variant<M, N> {
    /// Rows and columns of the whole kernel: at most `STRIDE * KERNEL`.
    const SIZE: usize;
    /// The stride of the whole convolution.
    const STRIDE: usize;

    /// Of the phases down (or across), the first so many have whole kernels. The last tap of the others is zero, and so are their weights
    /// for the point at infinity.
    const FULL: usize = Self::SIZE - Self::STRIDE * (Self::KERNEL - 1);

    /// Input rows that a tile takes beyond those of its outputs' taps: the last phases' kernels end with taps of zero.
    const MORE: usize = Self::STRIDE * Self::KERNEL - Self::SIZE;
}

impl Phases<2, 6> for F2Of5 {
    const SIZE: usize = 5;
    const STRIDE: usize = 1;
}

impl Phases<4, 7> for F4Of4 {
    const SIZE: usize = 7;
    const STRIDE: usize = 2;
}

macro_rules! algorithm {
    ($(#[$doc:meta])* $name:ident, $variant:ty, $m:literal, $n:literal, $distance:literal) => {
        $(#[$doc])*
        pub mod $name {
            use super::*;

            /// Whether the algorithm computes this convolution: its size of kernel and stride, dilation 1.
            pub const fn supports(op: &PlanarConv2d) -> bool {
                super::supports(op, <$variant>::SIZE, <$variant>::STRIDE)
            }

            /// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of output channels.
            pub const fn packed_len(op: &PlanarConv2d) -> usize {
                super::packed_len(op, $n * $n * <$variant>::STRIDE * <$variant>::STRIDE)
            }

            /// Transforms and packs the weights (with what [`Weights`] folds in) for [`run`], in f64, rounded once.
            ///
            /// # Panics
            /// When the algorithm does not compute this convolution ([`supports`]), or a slice has not the length that `op` says.
            pub fn pack(op: &PlanarConv2d, weights: &Weights, packed: &mut [f32]) {
                super::pack::<$m, $n, $variant>(op, weights, packed);
            }

            /// Computes `output` for a batch of samples `[ic, h, w]`.
            ///
            /// # Panics
            /// When the algorithm does not compute this convolution ([`supports`]), a slice is no whole number of samples, the numbers
            /// differ, or `packed` has not [`packed_len`] floats.
            pub fn run(context: &mut Context, op: &PlanarConv2d, input: &[f32], packed: &[f32], output: &mut [f32]) {
                super::run::<$m, $n, $distance, $variant>(context, op, input, packed, output);
            }
        }
    };
}

algorithm! {
    /// F(2x2, 5x5): 2.78 times fewer multiplications.
    f2_5x5, F2Of5, 2, 6, 2
}
algorithm! {
    /// F(4x4, 4x4) for the phases of 7x7 kernels of stride 2: 4 times fewer multiplications.
    f4_7x7, F4Of4, 4, 7, 8
}

/// Tiles across that are transformed together at most.
const SEGMENT: usize = 16;

/// Room for the products of a row of planes, and for all rows transformed: (7 + 7 * 4) * 14 vectors, 31 KiB.
const PRODUCTS: usize = (7 + 7 * 4) * MOST * BLOCK;

/// Tiles whose products are summed together at most, on any instruction set.
const MOST: usize = 14;

/// Tiles whose sums leave registers for weights and inputs: 8 vectors of 32, 6 x 2 of 16, 6 x 4 of 32, and 2 x 4 of 16.
const fn limit(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => MOST,
        Isa::Avx2 | Isa::Neon => 6,
        Isa::Scalar => 2,
    }
}

const fn supports(op: &PlanarConv2d, size: usize, stride: usize) -> bool {
    let [kernel, strides] = [op.kernel, op.stride];
    let square = kernel[0] == size && kernel[1] == size && strides[0] == stride && strides[1] == stride;
    square && matches!(op.dilation, [1, 1])
}

/// `planes` are those of all phases.
const fn packed_len(op: &PlanarConv2d, planes: usize) -> usize {
    op.output.blocks() * BLOCK * (1 + planes * op.input[0])
}

fn pack<const M: usize, const N: usize, W: Phases<M, N>>(op: &PlanarConv2d, weights: &Weights, packed: &mut [f32]) {
    check::<M, N, W>(op);
    let (inputs, outputs) = (op.input[0], op.output.channels);
    let (size, stride, taps) = (W::SIZE, W::STRIDE, W::KERNEL);
    weights.check(op.weight_len(), outputs);
    let phases = stride * stride;
    assert_eq!(packed.len(), packed_len(op, N * N * phases), "floats of the packed weights");
    let (bias, packed) = packed.split_at_mut(op.output.blocks() * BLOCK);
    weights.write_bias(outputs, bias);
    packed.fill(0.0);
    for (output, input) in (0..outputs).flat_map(|output| (0..inputs).map(move |input| (output, input))) {
        let kernel = &weights.weight[(output * inputs + input) * size * size..][..size * size];
        let factor = weights.factor(output);
        for phase in 0..phases {
            // 5x5 at most.
            let mut part = [0.0; 25];
            for (y, x) in (0..taps).flat_map(|y| (0..taps).map(move |x| (y, x))) {
                let [row, column] = [y * stride + phase / stride, x * stride + phase % stride];
                if row < size && column < size {
                    part[y * taps + x] = kernel[row * size + column];
                }
            }
            for (plane, &value) in W::weight(&part, factor).as_flattened().iter().enumerate() {
                let place = ((output / BLOCK * N * N + plane) * phases + phase) * inputs + input;
                packed[place * BLOCK + output % BLOCK] = value as f32;
            }
        }
    }
}

/// # Panics
/// When the algorithm does not compute this convolution.
fn check<const M: usize, const N: usize, W: Phases<M, N>>(op: &PlanarConv2d) {
    let (size, stride) = (W::SIZE, W::STRIDE);
    assert!(supports(op, size, stride), "no {size}x{size} convolution of stride {stride}: {op:?}");
}

/// Tiles are `D` columns of the input apart.
fn run<const M: usize, const N: usize, const D: usize, W: Phases<M, N>>(
    context: &mut Context,
    op: &PlanarConv2d,
    input: &[f32],
    packed: &[f32],
    output: &mut [f32],
) {
    check::<M, N, W>(op);
    assert_eq!(packed.len(), packed_len(op, N * N * W::STRIDE * W::STRIDE), "floats of the packed weights");
    let clamp = Epilogue::new(op.activation).clamp;
    let place = Place::new::<M, N, D, W>(op.input[0], op.convolved(1).div_ceil(M));
    planar::bands(
        context,
        op,
        input,
        output,
        &Winograd::<M, N, D, W> { op, packed, isa: context.isa, clamp, place, variant: PhantomData },
    );
}

/// A run's data.
struct Winograd<'a, const M: usize, const N: usize, const D: usize, W> {
    op: &'a PlanarConv2d,
    packed: &'a [f32],
    isa: Isa,
    clamp: Option<[f32; 2]>,
    place: Place,
    variant: PhantomData<W>,
}

/// Where what is between input and output lies in working memory.
#[derive(Clone, Copy)]
struct Place {
    /// Tiles of a segment.
    tiles: usize,
    /// Columns of a segment that are a multiple of the tiles' distance apart, of one channel.
    columns: usize,
    /// Those of all channels, in whole vectors, `[ic][columns]`.
    line: usize,
}

impl Place {
    fn new<const M: usize, const N: usize, const D: usize, W: Phases<M, N>>(inputs: usize, across: usize) -> Self {
        const { assert!(D == M * W::STRIDE && D.is_power_of_two()) };
        let tiles = across.div_ceil(across.div_ceil(SEGMENT));
        // A tile's last column lies so many distances after its first.
        let columns = tiles + (W::STRIDE * N - 1) / D;
        Place { tiles, columns, line: (inputs * columns).next_multiple_of(BLOCK) }
    }

    /// Floats from a line of columns to the next; a vector may begin some after the first.
    const fn part(&self) -> usize {
        self.line + BLOCK
    }
}

impl<const M: usize, const N: usize, const D: usize, W: Phases<M, N>> Winograd<'_, M, N, D, W> {
    /// Floats of `B^T d`: `[row of the tile][phase of the rows][column within a distance][ic][columns]`.
    fn columns_len(&self) -> usize {
        N * W::STRIDE * D * self.place.part()
    }

    /// Floats of `B^T d B`: `[plane][phase][ic][columns]`.
    fn transformed_len(&self) -> usize {
        N * N * W::STRIDE * W::STRIDE * self.place.line
    }
}

impl<const M: usize, const N: usize, const D: usize, W: Phases<M, N>> Method for Winograd<'_, M, N, D, W> {
    const EDGE: usize = M;
    const MORE: usize = W::MORE;

    fn scratch(&self) -> usize {
        self.columns_len() + self.transformed_len() + PRODUCTS
    }

    unsafe fn convolve(
        &self,
        to: &Blocked,
        start: *mut f32,
        rows: [usize; 2],
        planes: &[f32],
        strides: [usize; 2],
        scratch: &mut [f32],
    ) {
        let (columns, scratch) = scratch.split_at_mut(self.columns_len());
        let (transformed, products) = scratch.split_at_mut(self.transformed_len());
        assert!(products.len() >= PRODUCTS);
        // SAFETY: the caller's promise.
        let band = unsafe { Band::new(self, to, start, rows, planes, strides, [columns, transformed, products]) };
        dispatch(self.isa, band);
    }
}

/// Rows of one sample.
struct Band<'a, const M: usize, const N: usize, const D: usize, W> {
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

impl<'a, const M: usize, const N: usize, const D: usize, W: Phases<M, N>> Band<'a, M, N, D, W> {
    /// # Safety
    /// As [`Method::convolve`].
    unsafe fn new(
        run: &'a Winograd<'a, M, N, D, W>,
        to: &'a Blocked,
        start: *mut f32,
        rows: [usize; 2],
        planes: &'a [f32],
        strides: [usize; 2],
        [columns, transformed, products]: [&'a mut [f32]; 3],
    ) -> Self {
        let [columns, transformed, products] = [columns, transformed, products].map(<[f32]>::as_mut_ptr);
        Band { run, to, start, rows, planes, strides, columns, transformed, products }
    }
}

impl<const M: usize, const N: usize, const D: usize, W: Phases<M, N>> Kernel for Band<'_, M, N, D, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let across = self.to.width.div_ceil(M);
        for row in (self.rows[0]..self.rows[1]).step_by(M) {
            for first in (0..across).step_by(self.run.place.tiles) {
                let count = (across - first).min(self.run.place.tiles);
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

impl<const M: usize, const N: usize, const D: usize, W: Phases<M, N>> Band<'_, M, N, D, W> {
    /// `B^T d` for the columns of `count` tiles of a row, from tile `first` on; `row` counts from the first one in the planes.
    ///
    /// # Safety
    /// The tiles' taps lie in the planes.
    #[inline(always)]
    unsafe fn columns<S: Simd>(&self, simd: S, row: usize, first: usize, count: usize) {
        let [plane, line] = self.strides;
        let (place, stride) = (self.run.place, W::STRIDE);
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
                            let to = self.columns.wrapping_add((I * stride + phase) * D * place.part());
                            let to = to.wrapping_add(channel * place.columns + x / D);
                            unroll!(J < D <= 8, { simd.store_ptr(split[J], to.wrapping_add(J * place.part())) });
                        });
                    }
                }
            }
        }
    }

    /// `d B` for the rows of a segment's tiles, all channels side by side.
    ///
    /// # Safety
    /// [`Band::columns`] has been called.
    #[inline(always)]
    unsafe fn rows<S: Simd>(&self, simd: S) {
        let (place, stride) = (self.run.place, W::STRIDE);
        let plane = stride * stride * place.line;
        for i in 0..N {
            for phase in 0..stride * stride {
                let from = self.columns.wrapping_add((i * stride + phase / stride) * D * place.part());
                let to = self.transformed.wrapping_add(i * N * plane + phase * place.line);
                for at in (0..place.line).step_by(S::LANES) {
                    // SAFETY: a vector lies within a line of columns and the room after them, and within a plane.
                    unsafe {
                        let mut d = [simd.zero(); N];
                        unroll!(J < N <= 7, {
                            let column = J * stride + phase % stride;
                            d[J] = simd.load_ptr(from.wrapping_add(column % D * place.part() + column / D + at));
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
    /// [`Band::rows`] has been called, and nobody else uses these outputs.
    #[inline(always)]
    unsafe fn tiles<S: Simd>(&self, simd: S, row: usize, first: usize, left: [usize; 2]) -> usize {
        let [tile, end] = left;
        let most = const { limit(S::ISA) };
        // As many as make the remaining passes equal.
        let count = (end - tile).div_ceil((end - tile).div_ceil(most));
        macro_rules! sizes {
            ($($count:literal)*) => {
                match count {
                    $($count if const { $count <= limit(S::ISA) } => {
                        // SAFETY: the caller's promise.
                        unsafe { self.blocks::<S, $count>(simd, row, first, tile) }
                    })*
                    _ => unreachable!("no tile of {count}"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        count
    }

    /// As [`Band::tiles`], for `P` tiles from `tile` on.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn blocks<S: Simd, const P: usize>(&self, simd: S, row: usize, first: usize, tile: usize) {
        let blocks = self.to.blocks();
        let mut block = 0;
        while block < blocks {
            // SAFETY: the caller's promise; the blocks exist.
            unsafe {
                block += match const { BLOCK / S::LANES } {
                    1 if P <= MOST / 2 && block + 2 <= blocks => self.some::<S, P, 2>(simd, block, row, first, tile),
                    1 => self.some::<S, P, 1>(simd, block, row, first, tile),
                    2 => self.some::<S, P, 2>(simd, block, row, first, tile),
                    _ => self.some::<S, P, 4>(simd, block, row, first, tile),
                };
            }
        }
    }

    /// As [`Band::blocks`], for `Q` vectors from `block` on; gives how many blocks they are.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn some<S: Simd, const P: usize, const Q: usize>(
        &self,
        simd: S,
        block: usize,
        row: usize,
        first: usize,
        tile: usize,
    ) -> usize {
        let Winograd { op, packed, clamp, .. } = *self.run;
        let bias = &packed[block * BLOCK..][..Q * S::LANES];
        let len = N * N * W::STRIDE * W::STRIDE * op.input[0] * BLOCK;
        let weights = packed[self.to.blocks() * BLOCK + block * len..][..(Q * S::LANES).div_ceil(BLOCK) * len].as_ptr();
        // `[plane across][tile][vector]`, of one row of planes, and `[plane down][column][tile][vector]`
        let (products, summed) = (self.products, self.products.wrapping_add(N * P * Q * S::LANES));
        for i in 0..N {
            // SAFETY: the caller's promise; there are weights for each plane, phase and channel.
            unsafe {
                self.multiply::<S, P, Q>(simd, weights, len, i, tile);
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
        let plane = self.to.plane_len();
        for vector in 0..Q {
            let (next, lane) = (vector * S::LANES / BLOCK, vector * S::LANES % BLOCK);
            let bias = simd.load(&bias[vector * S::LANES..]);
            for i in 0..P {
                let column = M * (first + tile + i);
                let width = (self.to.width - column).min(M);
                let to = self.start.wrapping_add(self.to.offset(block, row, column) + next * plane + lane);
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
        (Q * S::LANES).div_ceil(BLOCK)
    }

    /// The products of `P` tiles with `Q` vectors of the weights of plane row `i`, summed over the phases and channels. The weights of a
    /// block lie `len` floats after the last one's.
    ///
    /// # Safety
    /// As [`Band::tiles`].
    #[inline(always)]
    unsafe fn multiply<S: Simd, const P: usize, const Q: usize>(
        &self,
        simd: S,
        weights: *const f32,
        len: usize,
        i: usize,
        tile: usize,
    ) {
        let (place, inputs) = (self.run.place, self.run.op.input[0]);
        let phases = |index: usize| if index == N - 1 { W::FULL } else { W::STRIDE };
        for plane in 0..N {
            let mut sums = [[simd.zero(); Q]; P];
            for (y, x) in (0..phases(i)).flat_map(|y| (0..phases(plane)).map(move |x| (y, x))) {
                let phase = ((i * N + plane) * W::STRIDE + y) * W::STRIDE + x;
                let mut weights = weights.wrapping_add(phase * inputs * BLOCK);
                let mut input = self.transformed.wrapping_add(phase * place.line + tile).cast_const();
                for _ in 0..inputs {
                    // SAFETY: a line holds `columns` floats for each channel, and the weights are those of all planes and channels.
                    unsafe {
                        let mut factors = [simd.zero(); Q];
                        unroll!(J < Q <= 4, {
                            let at = J * S::LANES / BLOCK * len + J * S::LANES % BLOCK;
                            factors[J] = simd.load_ptr(weights.wrapping_add(at));
                        });
                        unroll!(I < P <= 14, {
                            let x = simd.splat_ptr(input.wrapping_add(I));
                            unroll!(J < Q <= 4, { sums[I][J] = simd.mul_add(x, factors[J], sums[I][J]) });
                        });
                    }
                    input = input.wrapping_add(place.columns);
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

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::inference::pooled::Pool2x2;
    use crate::inference::testing::{PlanarAlgorithm, check_planar, planar};
    use crate::kernels::activation::Activation;

    const F2_5X5: PlanarAlgorithm =
        PlanarAlgorithm { packed_len: f2_5x5::packed_len, pack: f2_5x5::pack, run: f2_5x5::run, error: 4.0 };
    const F4_7X7: PlanarAlgorithm =
        PlanarAlgorithm { packed_len: f4_7x7::packed_len, pack: f4_7x7::pack, run: f4_7x7::run, error: 10.0 };

    /// Holds both algorithms against the reference, F(4x4, 4x4) with a kernel one larger on each side, and stride 2.
    #[track_caller]
    fn check_both(
        input: [usize; 3],
        outputs: usize,
        padding: usize,
        change: impl Fn(PlanarConv2d) -> PlanarConv2d,
        batch: usize,
    ) {
        check_planar(&F2_5X5, &change(planar(input, outputs, 5, 1, padding)), batch);
        check_planar(&F4_7X7, &change(planar(input, outputs, 7, 2, padding + 1)), batch);
    }

    #[test]
    fn every_size() {
        // Up to two segments and a bit, of 1 to 8 tiles each time; sizes that end in any part of a tile.
        let same = |op: PlanarConv2d| op;
        for width in 7..=72 {
            check_both([1 + width % 7, 7 + width % 6, width], 17, 0, same, 1);
            check_both([3, 4, width], 6, 2, same, 2);
        }
        for width in [120, 127, 131, 270] {
            check_both([3, 9, width], 6, 2, same, 1);
        }
        for height in 1..=16 {
            check_both([6, height, 9], 33, 2, same, 1);
        }
    }

    #[test]
    fn any_padding() {
        for padding in [[0, 0], [1, 0], [0, 3], [4, 1], [2, 5]] {
            let padded = |mut op: PlanarConv2d| {
                let out =
                    |axis: usize| (op.input[axis + 1] + 2 * padding[axis] - op.kernel[axis]) / op.stride[axis] + 1;
                op.padding = padding;
                op.output = Blocked::new(20, out(0), out(1));
                op
            };
            check_both([2, 12, 14], 20, 0, padded, 2);
        }
        // Less below and to the right than above and to the left; and outputs that see nothing but padding.
        let uneven = |mut op: PlanarConv2d| {
            (op.output.height, op.output.width) = (op.output.height - 1, op.output.width - 1);
            op
        };
        check_both([2, 12, 14], 20, 3, uneven, 1);
        check_both([1, 1, 1], 5, 6, |op| op, 1);
    }

    #[test]
    fn activations_halos_bands_and_batches() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)] {
            let change = |mut op: PlanarConv2d| {
                op.activation = activation;
                op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
                op
            };
            check_both([3, 71, 64], 40, 2, change, 3);
        }
        check_both([7, 100, 130], 32, 2, |op| op, 1);
    }

    #[test]
    fn pools() {
        for pool in [Pool2x2::Max, Pool2x2::Mean] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Tanh)] {
                for width in (9..=34).chain([71]) {
                    let change = |op: PlanarConv2d| op.pooled(pool, activation);
                    check_both(
                        [1 + width % 7, 9 + width % 2, width],
                        1 + width,
                        2 * (width % 2),
                        change,
                        1 + width % 2,
                    );
                }
                let change = |op: PlanarConv2d| {
                    let mut op = op.pooled(pool, activation);
                    op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
                    op
                };
                check_both([3, 70, 90], 40, 2, change, 2);
            }
        }
    }

    /// What F(4x4, 4x4) costs in accuracy on a first layer: the root mean square of the error over that of the outputs.
    #[test]
    fn accuracy() {
        use crate::inference::BlockedConv2d;
        use crate::inference::testing::{blocked, conv, reference};
        use crate::kernels::testing::data_in;
        let op = planar([3, 64, 64], 16, 7, 2, 3);
        let same: BlockedConv2d = conv([3, 16], [64, 64], [7, 7], [2, 2]);
        let [input, weight] =
            [(1, op.input_len()), (2, op.weight_len())].map(|(seed, len)| data_in(seed, len, -1.0, 1.0));
        let weights = Weights::new(&weight, None);
        let exact = blocked(&op.output, &reference(&same, &input, &weights, None), 0.0);
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        let scale = norm(&mut exact.iter().map(|&x| f64::from(x)));
        let direct =
            PlanarAlgorithm { packed_len: planar::packed_len, pack: planar::pack, run: planar::run, error: 1.0 };
        for (name, algorithm, bound) in [("direct", &direct, 4e-7), ("F(4x4, 7x7/2)", &F4_7X7, 2e-6)] {
            let mut packed = vec![0.0; (algorithm.packed_len)(&op)];
            (algorithm.pack)(&op, &weights, &mut packed);
            for &isa in crate::kernels::testing::isas() {
                let mut context = crate::simd::with_isa(isa, Context::new);
                let mut output = vec![0.0; op.output.sample_len()];
                (algorithm.run)(&mut context, &op, &input, &packed, &mut output);
                let errors = output.iter().zip(&exact).map(|(&x, &y)| f64::from(x) - f64::from(y));
                let error = norm(&mut errors.into_iter()) / scale;
                println!("{isa} {name}: {error:.1e}");
                assert!(error < bound, "{isa} {name}: {error:e}");
            }
        }
    }
}
