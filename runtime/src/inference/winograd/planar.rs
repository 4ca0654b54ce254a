//! F(2x2, 5x5) from planar (NCHW) values of a few channels, as in the second layer of LeNet-5.
//!
//! Blocks of 16 channels would be mostly empty, so here vectors lie along the columns while inputs are transformed, and along the output
//! channels afterwards. A row of tiles is worked on at a time, in the first cache: `B^T` is applied to the columns of six rows, whose even
//! and odd columns are then written apart, since the tiles are two columns apart; `B` to the rows of these, the tiles of all channels side
//! by side; the products are sums over the channels, with the inputs broadcast. Weights are packed as
//! `[bias][output block][plane][ic][16]`.

use super::tiles::output_tile;
use super::transform::{F2Of5, Variant};
use crate::inference::blocked::{BLOCK, Blocked};
use crate::inference::epilogue::Epilogue;
use crate::inference::planar::{self, Method, PlanarConv2d};
use crate::inference::tile::unroll;
use crate::inference::weights::Weights;
use crate::kernels::Context;
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Outputs, inputs and taps across.
const M: usize = 2;
const N: usize = 6;
const TAPS: usize = F2Of5::KERNEL;
const PLANES: usize = N * N;

/// Tiles across that are transformed together: with 7 channels their 36 planes take 18 KiB of the first cache.
const SEGMENT: usize = 16;

/// Tiles whose products are summed together at most, on any instruction set.
const MOST: usize = 8;

/// Tiles whose sums leave registers for weights and inputs: 8 vectors of 32, 6 x 2 of 16, 6 x 4 of 32, and 2 x 4 of 16.
const fn limit(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => MOST,
        Isa::Avx2 | Isa::Neon => 6,
        Isa::Scalar => 2,
    }
}

/// Whether the algorithm computes this convolution: 5x5, stride and dilation 1.
pub const fn supports(op: &PlanarConv2d) -> bool {
    matches!((op.kernel, op.stride, op.dilation), ([TAPS, TAPS], [1, 1], [1, 1]))
}

/// Floats that [`pack`] writes: biases and weights, filled up to whole blocks of output channels.
pub const fn packed_len(op: &PlanarConv2d) -> usize {
    op.output.blocks() * BLOCK * (1 + PLANES * op.input[0])
}

/// Transforms and packs the weights (with what [`Weights`] folds in) for [`run`], in f64, rounded once.
///
/// # Panics
/// When the algorithm does not compute this convolution ([`supports`]), or a slice has not the length that `op` says.
pub fn pack(op: &PlanarConv2d, weights: &Weights, packed: &mut [f32]) {
    assert!(supports(op), "no 5x5 convolution of stride 1: {op:?}");
    let (inputs, outputs) = (op.input[0], op.output.channels);
    weights.check(op.weight_len(), outputs);
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let (bias, packed) = packed.split_at_mut(op.output.blocks() * BLOCK);
    weights.write_bias(outputs, bias);
    packed.fill(0.0);
    for output in 0..outputs {
        let factor = weights.factor(output);
        for input in 0..inputs {
            let kernel = &weights.weight[(output * inputs + input) * TAPS * TAPS..][..TAPS * TAPS];
            for (plane, &value) in F2Of5::weight(kernel, factor).as_flattened().iter().enumerate() {
                let place = (output / BLOCK * PLANES + plane) * inputs + input;
                packed[place * BLOCK + output % BLOCK] = value as f32;
            }
        }
    }
}

/// Computes `output` for a batch of samples `[ic, h, w]`.
///
/// # Panics
/// When the algorithm does not compute this convolution ([`supports`]), a slice is no whole number of samples, the numbers differ, or
/// `packed` has not [`packed_len`] floats.
pub fn run(context: &mut Context, op: &PlanarConv2d, input: &[f32], packed: &[f32], output: &mut [f32]) {
    assert!(supports(op), "no 5x5 convolution of stride 1: {op:?}");
    assert_eq!(packed.len(), packed_len(op), "floats of the packed weights");
    let clamp = Epilogue::new(op.activation).clamp;
    let across = op.convolved(1).div_ceil(M);
    let winograd = Winograd { op, packed, isa: context.isa, clamp, place: Place::new(op.input[0], across) };
    planar::bands(context, op, input, output, &winograd);
}

/// A run's data.
struct Winograd<'a> {
    op: &'a PlanarConv2d,
    packed: &'a [f32],
    isa: Isa,
    clamp: Option<[f32; 2]>,
    place: Place,
}

/// Where what is between input and output lies in working memory.
#[derive(Clone, Copy)]
struct Place {
    /// Even (or odd) columns of a segment, of one channel.
    half: usize,
    /// Those of all channels, in whole vectors: floats of a plane of transformed inputs, `[ic][half]`.
    plane: usize,
}

impl Place {
    const fn new(inputs: usize, across: usize) -> Self {
        // A tile's last column is two pairs of columns after its first.
        let half = if across < SEGMENT { across } else { SEGMENT } + 2;
        Place { half, plane: (inputs * half).next_multiple_of(BLOCK) }
    }

    /// Floats from the even columns of a transformed row to the odd ones, and to the next row's: a vector may begin two after the first.
    const fn columns(&self) -> usize {
        self.plane + BLOCK
    }

    /// Floats of `B^T d`: `[row of the tile][even, odd][ic][half]`.
    const fn columns_len(&self) -> usize {
        N * 2 * self.columns()
    }

    /// Floats of `B^T d B`: `[plane][ic][half]`.
    const fn transformed_len(&self) -> usize {
        PLANES * self.plane
    }
}

impl Method for Winograd<'_> {
    const EDGE: usize = M;

    fn scratch(&self) -> usize {
        self.place.columns_len() + self.place.transformed_len() + PLANES * MOST * BLOCK
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
        let (columns, scratch) = scratch.split_at_mut(self.place.columns_len());
        let (transformed, products) = scratch.split_at_mut(self.place.transformed_len());
        assert!(products.len() >= PLANES * MOST * BLOCK);
        // SAFETY: the caller's promise.
        let band = unsafe { Band::new(self, to, start, rows, planes, strides, [columns, transformed, products]) };
        dispatch(self.isa, band);
    }
}

/// Rows of one sample.
struct Band<'a> {
    run: &'a Winograd<'a>,
    to: &'a Blocked,
    start: *mut f32,
    rows: [usize; 2],
    planes: &'a [f32],
    strides: [usize; 2],
    /// [`Place::columns_len`] floats.
    columns: *mut f32,
    /// [`Place::transformed_len`] floats.
    transformed: *mut f32,
    /// `[plane][tile][16]`, for [`MOST`] tiles.
    products: *mut f32,
}

impl<'a> Band<'a> {
    /// # Safety
    /// As [`Method::convolve`].
    unsafe fn new(
        run: &'a Winograd<'a>,
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

impl Kernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let across = self.to.width.div_ceil(M);
        for row in (self.rows[0]..self.rows[1]).step_by(M) {
            for first in (0..across).step_by(SEGMENT) {
                let count = (across - first).min(SEGMENT);
                // SAFETY: the tile's taps lie in the planes, as the maker of this band promised; a segment's tiles, and its outputs.
                unsafe {
                    self.columns(simd, row - self.rows[0], first, count);
                    self.rows(simd);
                    for block in 0..self.to.blocks() {
                        let mut tile = 0;
                        while tile < count {
                            tile += self.tiles(simd, block, row, first, [tile, count]);
                        }
                    }
                }
            }
        }
    }
}

impl Band<'_> {
    /// `B^T d` for the columns of `count` tiles of a row, from tile `first` on; `row` counts from the first one in the planes.
    ///
    /// # Safety
    /// The tiles' taps lie in the planes.
    #[inline(always)]
    unsafe fn columns<S: Simd>(&self, simd: S, row: usize, first: usize, count: usize) {
        let [plane, line] = self.strides;
        let place = self.run.place;
        let width = M * (count + 2);
        for channel in 0..self.run.op.input[0] {
            let from = self.planes[channel * plane + row * line + M * first..].as_ptr();
            let to = self.columns.wrapping_add(channel * place.half);
            for x in (0..width).step_by(2 * S::LANES) {
                // SAFETY: the caller's promise; what is written past a channel's columns lies in the next one's, which are written after
                // these, or in the room after the last.
                unsafe {
                    let left = column::<S>(simd, from.wrapping_add(x), line, width - x);
                    let right = if width - x > S::LANES {
                        column::<S>(simd, from.wrapping_add(x + S::LANES), line, width - x - S::LANES)
                    } else {
                        left
                    };
                    unroll!(I < N <= 6, {
                        let (even, odd) = simd.deinterleave(left[I], right[I]);
                        let to = to.wrapping_add(2 * I * place.columns() + x / 2);
                        simd.store_ptr(even, to);
                        simd.store_ptr(odd, to.wrapping_add(place.columns()));
                    });
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
        let place = self.run.place;
        for at in (0..place.plane).step_by(S::LANES) {
            unroll!(I < N <= 6, {
                let even = self.columns.wrapping_add(2 * I * place.columns() + at);
                let odd = even.wrapping_add(place.columns());
                let to = self.transformed.wrapping_add(I * N * place.plane + at);
                // SAFETY: a vector lies within a row's columns and the room after them, and within a plane.
                unsafe {
                    let mut d = [simd.zero(); N];
                    unroll!(J < N <= 6, {
                        d[J] = simd.load_ptr(if J.is_multiple_of(2) { even } else { odd }.wrapping_add(J / 2));
                    });
                    let d = F2Of5::input(simd, d);
                    unroll!(J < N <= 6, { simd.store_ptr(d[J], to.wrapping_add(J * place.plane)) });
                }
            });
        }
    }

    /// Computes a block's outputs for some of a segment's tiles, those of `left` being left to do; gives how many they were.
    ///
    /// # Safety
    /// [`Band::rows`] has been called, and nobody else uses these outputs.
    #[inline(always)]
    unsafe fn tiles<S: Simd>(&self, simd: S, block: usize, row: usize, first: usize, left: [usize; 2]) -> usize {
        let [tile, end] = left;
        let most = const { limit(S::ISA) };
        // As many as make the remaining passes equal.
        let count = (end - tile).div_ceil((end - tile).div_ceil(most));
        macro_rules! sizes {
            ($($count:literal)*) => {
                match count {
                    $($count if const { $count <= limit(S::ISA) } => {
                        // SAFETY: the caller's promise.
                        unsafe { self.some::<S, $count>(simd, block, row, first, tile) }
                    })*
                    _ => unreachable!("no tile of {count}"),
                }
            };
        }
        sizes!(1 2 3 4 5 6 7 8);
        count
    }

    /// As [`Band::tiles`], for `P` tiles from `tile` on.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn some<S: Simd, const P: usize>(&self, simd: S, block: usize, row: usize, first: usize, tile: usize) {
        let Winograd { op, packed, clamp, .. } = *self.run;
        let (inputs, blocks) = (op.input[0], self.to.blocks());
        let bias = &packed[block * BLOCK..][..BLOCK];
        let weights = &packed[blocks * BLOCK + block * PLANES * inputs * BLOCK..][..PLANES * inputs * BLOCK];
        // SAFETY: the caller's promise; there are weights for each plane and channel.
        unsafe {
            match const { BLOCK / S::LANES } {
                1 => self.multiply::<S, P, 1>(simd, weights.as_ptr(), inputs, tile),
                2 => self.multiply::<S, P, 2>(simd, weights.as_ptr(), inputs, tile),
                _ => self.multiply::<S, P, 4>(simd, weights.as_ptr(), inputs, tile),
            }
        }
        let height = (self.rows[1] - row).min(M);
        for i in 0..P {
            let column = M * (first + tile + i);
            let width = (self.to.width - column).min(M);
            let to = self.start.wrapping_add(self.to.offset(block, row, column));
            for lane in (0..BLOCK).step_by(S::LANES) {
                // SAFETY: the products have just been written, and these pixels are the band's.
                unsafe {
                    output_tile::<S, M, N, F2Of5>(
                        simd,
                        self.products.wrapping_add(i * BLOCK + lane),
                        P * BLOCK,
                        simd.load(&bias[lane..]),
                        (core::ptr::null(), 0),
                        clamp,
                        (to.wrapping_add(lane), self.to.row_len()),
                        [height, width],
                    );
                }
            }
        }
    }

    /// The products of `P` tiles with `Q` vectors of each plane's weights, summed over the channels.
    ///
    /// # Safety
    /// As [`Band::tiles`].
    #[inline(always)]
    unsafe fn multiply<S: Simd, const P: usize, const Q: usize>(
        &self,
        simd: S,
        mut weights: *const f32,
        inputs: usize,
        tile: usize,
    ) {
        let place = self.run.place;
        for plane in 0..PLANES {
            let mut input = self.transformed.wrapping_add(plane * place.plane + tile).cast_const();
            let mut sums = [[simd.zero(); Q]; P];
            for _ in 0..inputs {
                // SAFETY: a plane holds `half` floats for each channel, and the weights are those of all planes and channels.
                unsafe {
                    let mut factors = [simd.zero(); Q];
                    unroll!(J < Q <= 4, { factors[J] = simd.load_ptr(weights.wrapping_add(J * S::LANES)) });
                    unroll!(I < P <= 8, {
                        let x = simd.splat_ptr(input.wrapping_add(I));
                        unroll!(J < Q <= 4, { sums[I][J] = simd.mul_add(x, factors[J], sums[I][J]) });
                    });
                }
                input = input.wrapping_add(place.half);
                weights = weights.wrapping_add(BLOCK);
            }
            let to = self.products.wrapping_add(plane * P * BLOCK);
            unroll!(I < P <= 8, {
                unroll!(J < Q <= 4, {
                    // SAFETY: room for MOST tiles in each plane.
                    unsafe { simd.store_ptr(sums[I][J], to.wrapping_add(I * BLOCK + J * S::LANES)) };
                });
            });
        }
    }
}

/// `B^T d` for a vector of columns, of which `count` are read; rows lie `line` apart.
///
/// # Safety
/// They can be read in each of six rows.
#[inline(always)]
unsafe fn column<S: Simd>(simd: S, from: *const f32, line: usize, count: usize) -> [S::V; N] {
    let mut d = [simd.zero(); N];
    unroll!(I < N <= 6, {
        let row = from.wrapping_add(I * line);
        // SAFETY: the caller's promise.
        d[I] = unsafe { if count >= S::LANES { simd.load_ptr(row) } else { simd.load_ptr_partial(row, count) } };
    });
    F2Of5::input(simd, d)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::inference::pooled::Pool2x2;
    use crate::inference::testing::{PlanarAlgorithm, check_planar, planar};
    use crate::kernels::activation::Activation;

    const F2_5X5: PlanarAlgorithm = PlanarAlgorithm { packed_len, pack, run, error: 4.0 };

    #[test]
    fn every_size() {
        // Up to two segments and a bit, of 1 to 8 tiles each time; odd sizes end in half a tile.
        for width in 5..=72 {
            check_planar(&F2_5X5, &planar([1 + width % 7, 5 + width % 6, width], 17, 5, 1, 0), 1);
            check_planar(&F2_5X5, &planar([3, 4, width], 6, 5, 1, 2), 2);
        }
        for height in 1..=12 {
            check_planar(&F2_5X5, &planar([6, height, 9], 33, 5, 1, 2), 1);
        }
    }

    #[test]
    fn any_padding() {
        for padding in [[0, 0], [1, 0], [0, 3], [4, 1], [2, 5]] {
            let mut op = planar([2, 12, 14], 20, 5, 1, 0);
            op.padding = padding;
            op.output = Blocked::new(20, 8 + 2 * padding[0], 10 + 2 * padding[1]);
            check_planar(&F2_5X5, &op, 2);
        }
        // Less below and to the right than above and to the left; and outputs that see nothing but padding.
        let mut op = planar([2, 12, 14], 20, 5, 1, 3);
        op.output = Blocked::new(20, 11, 13);
        check_planar(&F2_5X5, &op, 1);
        check_planar(&F2_5X5, &planar([1, 1, 1], 5, 5, 1, 6), 1);
    }

    #[test]
    fn activations_halos_bands_and_batches() {
        for activation in [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)] {
            let mut op = planar([3, 71, 64], 40, 5, 1, 2);
            op.activation = activation;
            op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
            check_planar(&F2_5X5, &op, 3);
        }
        check_planar(&F2_5X5, &planar([7, 100, 130], 32, 5, 1, 2), 1);
    }

    #[test]
    fn pools() {
        for pool in [Pool2x2::Max, Pool2x2::Mean] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Tanh)] {
                for width in (7..=34).chain([71]) {
                    let op = planar([1 + width % 7, 9 + width % 2, width], 1 + width, 5, 1, 2 * (width % 2));
                    check_planar(&F2_5X5, &op.pooled(pool, activation), 1 + width % 2);
                }
                let mut op = planar([3, 70, 90], 40, 5, 1, 2).pooled(pool, activation);
                op.output = op.output.with_halo([1, 2, 0, 1]).within(1, 5);
                check_planar(&F2_5X5, &op, 2);
            }
        }
    }
}
