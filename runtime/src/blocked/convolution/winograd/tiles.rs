//! Tiles of the input and the output: where they lie, and the transforms of a block of them.

use super::transform::Variant;
use crate::blocked::BLOCK;
use crate::blocked::BlockedConv2d;
use crate::blocked::epilogue::Epilogue;
use crate::blocked::rows::RowsMut;
use crate::blocked::unroll::unroll;
use crate::parallel::Disjoint;
use crate::simd::{Isa, Kernel, Simd};
use core::marker::PhantomData;
use core::mem::MaybeUninit;

/// The tiles of all samples, counted row by row, sample by sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    /// Outputs across a tile.
    edge: usize,
    down: usize,
    across: usize,
    batch: usize,
}

/// Tiles beside each other.
struct Row {
    sample: usize,
    /// The tile's row and the first one's column, in tiles.
    down: usize,
    across: usize,
    count: usize,
    /// The first tile's place in the block.
    index: usize,
}

impl Tiles {
    pub fn new(op: &BlockedConv2d, edge: usize, batch: usize) -> Self {
        Tiles { edge, down: op.output.height.div_ceil(edge), across: op.output.width.div_ceil(edge), batch }
    }

    pub fn count(&self) -> usize {
        self.batch * self.down * self.across
    }

    /// The tiles `start..end` as rows.
    fn rows(self, [start, end]: [usize; 2]) -> impl Iterator<Item = Row> {
        let mut tile = start;
        core::iter::from_fn(move || {
            (tile < end).then(|| {
                let across = tile % self.across;
                let row = tile / self.across;
                let count = (self.across - across).min(end - tile);
                let index = tile - start;
                tile += count;
                Row { sample: row / self.down, down: row % self.down, across, count, index }
            })
        })
    }

    /// Applies what activation remains to the outputs of a range of tiles.
    ///
    /// These outputs are the calling task's.
    pub fn finish(
        &self,
        isa: Isa,
        op: &BlockedConv2d,
        epilogue: &Epilogue,
        range: [usize; 2],
        channels: [usize; 2],
        output: &Disjoint<f32>,
    ) {
        if epilogue.is_finished() {
            return;
        }
        for row in self.rows(range) {
            let rows = [row.down * self.edge, ((row.down + 1) * self.edge).min(op.output.height)];
            let columns = [row.across * self.edge, ((row.across + row.count) * self.edge).min(op.output.width)];
            for block in channels[0]..channels[1] {
                // SAFETY: these pixels are the caller's.
                let rows = unsafe { RowsMut::of(&op.output, *output, [row.sample, block], rows, columns) };
                epilogue.finish(isa, rows, op.output.block_channels(block));
            }
        }
    }
}

/// Transforms input tiles into planes.
pub(super) struct InputTransform<'a, const M: usize, const N: usize, W> {
    pub op: &'a BlockedConv2d,
    pub tiles: Tiles,
    pub input: &'a [f32],
    /// The block's tiles, of all.
    pub range: [usize; 2],
    /// Which [`units`] of the block.
    pub units: [usize; 2],
    /// `[plane][input block][tile][16]`
    pub transformed: *mut f32,
    /// Floats from a plane to the next.
    pub plane: usize,
    /// Floats from an input block to the next.
    pub stride: usize,
    pub variant: PhantomData<W>,
}

/// Tiles of a unit.
const UNIT: usize = 4;

/// Pixels across so many tiles of F(4 x 4), the wider ones: with 6 rows of 16 channels 7 KiB, well within the first cache.
const WIDTH: usize = 4 * UNIT + 2;

/// `B^T d` of the columns of a unit's pixels. On a cache line's boundary: vectors that cross it take twice the time.
#[repr(align(64))]
struct Columns([MaybeUninit<f32>; 6 * WIDTH * BLOCK]);

/// Units of work in a block of tiles and some blocks of channels: a few tiles of one block each.
pub(super) fn units(range: [usize; 2], blocks: usize) -> usize {
    blocks * (range[1] - range[0]).div_ceil(UNIT)
}

/// A unit: its block of channels, counted from the first, and its tiles.
fn unit(index: usize, range: [usize; 2]) -> (usize, [usize; 2]) {
    let chunks = (range[1] - range[0]).div_ceil(UNIT);
    let start = range[0] + index % chunks * UNIT;
    (index / chunks, [start, (start + UNIT).min(range[1])])
}

impl<const M: usize, const N: usize, W: Variant<M, N>> Kernel for InputTransform<'_, M, N, W> {
    type Output = ();

    /// `B^T d` for every column of pixels of some tiles beside each other, which overlap, then `(B^T d) B` for each tile.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const { assert!(M * UNIT + N - M <= WIDTH && N <= 6) };
        let value = &self.op.input;
        let [top, left, bottom, right] = value.halo;
        let stored = [top + value.height + bottom, left + value.width + right];
        // From the stored corner to the first tap of the first output.
        let shift = [top as isize - self.op.padding[0] as isize, left as isize - self.op.padding[1] as isize];
        let mut columns = Columns([const { MaybeUninit::uninit() }; 6 * WIDTH * BLOCK]);
        let columns = columns.0.as_mut_ptr().cast::<f32>();
        for index in self.units[0]..self.units[1] {
            let (block, range) = unit(index, self.range);
            for row in self.tiles.rows(range) {
                let [y, x] = [shift[0] + (row.down * M) as isize, shift[1] + (row.across * M) as isize];
                let width = M * row.count + N - M;
                let start = row.sample * value.sample_len() + (value.first_block + block) * value.plane_len();
                let plane = &self.input[start..start + value.plane_len()];
                // The rows and the columns that are stored.
                let rows = [y, y + N as isize].map(|row| (row.clamp(0, stored[0] as isize) - y) as usize);
                let pixels = [x, x + width as isize].map(|pixel| (pixel.clamp(0, stored[1] as isize) - x) as usize);
                // SAFETY: the loads are from stored pixels, as has just been computed, `columns` holds N rows of WIDTH pixels, and
                // whoever made this kernel vouches for the transformed floats.
                unsafe {
                    for pixel in (0..pixels[0]).chain(pixels[1]..width) {
                        for i in 0..N {
                            for lane in (0..BLOCK).step_by(S::LANES) {
                                simd.store_ptr(simd.zero(), columns.add((i * WIDTH + pixel) * BLOCK + lane));
                            }
                        }
                    }
                    let corner = plane.as_ptr().wrapping_offset(y * value.row_len() as isize + x * BLOCK as isize);
                    for pixel in pixels[0]..pixels[1] {
                        for lane in (0..BLOCK).step_by(S::LANES) {
                            let at = pixel * BLOCK + lane;
                            column::<S, M, N, W>(simd, corner.wrapping_add(at), value.row_len(), rows, columns.add(at));
                        }
                    }
                    let place = range[0] - self.range[0] + row.index;
                    let to = self.transformed.add(block * self.stride + place * BLOCK);
                    for tile in 0..row.count {
                        for lane in (0..BLOCK).step_by(S::LANES) {
                            let from = columns.add(tile * M * BLOCK + lane);
                            rows_of_tile::<S, M, N, W>(simd, from, to.add(tile * BLOCK + lane), self.plane);
                        }
                    }
                }
            }
        }
    }
}

/// `B^T d` for a column of pixels, of which those outside of `rows` are zero.
///
/// # Safety
/// A vector can be read from the `rows` of N that lie `row_len` apart, and written to N that lie WIDTH pixels apart.
#[inline(always)]
unsafe fn column<S: Simd, const M: usize, const N: usize, W: Variant<M, N>>(
    simd: S,
    from: *const f32,
    row_len: usize,
    rows: [usize; 2],
    to: *mut f32,
) {
    let mut d = [simd.zero(); N];
    // SAFETY: the caller's promise.
    unsafe {
        if rows[0] == 0 && rows[1] == N {
            unroll!(I < N <= 6, { d[I] = simd.load_ptr(from.wrapping_add(I * row_len)) });
        } else {
            unroll!(I < N <= 6, {
                if (rows[0]..rows[1]).contains(&I) {
                    d[I] = simd.load_ptr(from.wrapping_add(I * row_len));
                }
            });
        }
        let d = W::input(simd, d);
        unroll!(I < N <= 6, { simd.store_ptr(d[I], to.wrapping_add(I * WIDTH * BLOCK)) });
    }
}

/// `d B` for the N rows of a tile.
///
/// # Safety
/// A vector can be read from N x N pixels in rows of WIDTH, and written to each of the planes.
#[inline(always)]
unsafe fn rows_of_tile<S: Simd, const M: usize, const N: usize, W: Variant<M, N>>(
    simd: S,
    from: *const f32,
    to: *mut f32,
    plane: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        unroll!(I < N <= 6, {
            let mut d = [simd.zero(); N];
            unroll!(J < N <= 6, { d[J] = simd.load_ptr(from.wrapping_add((I * WIDTH + J) * BLOCK)) });
            let d = W::input(simd, d);
            unroll!(J < N <= 6, { simd.store_ptr(d[J], to.wrapping_add((I * N + J) * plane)) });
        });
    }
}

/// Transforms planes of products into output tiles.
pub(super) struct OutputTransform<'a, const M: usize, const N: usize, W> {
    pub op: &'a BlockedConv2d,
    pub tiles: Tiles,
    /// The block's tiles, of all.
    pub range: [usize; 2],
    /// Which [`units`] of the block and the group.
    pub units: [usize; 2],
    /// The group's first output block.
    pub first: usize,
    /// `[plane][output block][tile][16]`
    pub products: *const f32,
    /// Floats from a plane to the next.
    pub plane: usize,
    /// Floats from an output block to the next.
    pub stride: usize,
    /// `[oc]`
    pub bias: &'a [f32],
    pub residual: Option<&'a [f32]>,
    pub output: &'a Disjoint<'a, f32>,
    pub epilogue: &'a Epilogue,
    pub variant: PhantomData<W>,
}

impl<const M: usize, const N: usize, W: Variant<M, N>> Kernel for OutputTransform<'_, M, N, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let value = &self.op.output;
        for index in self.units[0]..self.units[1] {
            let (in_group, range) = unit(index, self.range);
            let block = self.first + in_group;
            let bias = &self.bias[block * BLOCK..][..BLOCK];
            for row in self.tiles.rows(range) {
                let y = row.down * M;
                let height = (value.height - y).min(M);
                let place = range[0] - self.range[0] + row.index;
                for i in 0..row.count {
                    let x = (row.across + i) * M;
                    let width = (value.width - x).min(M);
                    let residual = match (self.residual, &self.op.residual) {
                        (Some(data), Some(residual)) => {
                            let offset = row.sample * residual.sample_len() + residual.offset(block, y, x);
                            (data[offset..].as_ptr(), residual.row_len())
                        }
                        _ => (core::ptr::null(), 0),
                    };
                    let offset = row.sample * value.sample_len() + value.offset(block, y, x);
                    assert!(offset < self.output.len());
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        // SAFETY: the tile's pixels within `height` and `width` are the output's (and the residual's), and whoever
                        // made this kernel vouches for the products.
                        unsafe {
                            let from = self.products.add(in_group * self.stride + (place + i) * BLOCK + lane);
                            let residual =
                                if residual.0.is_null() { residual } else { (residual.0.add(lane), residual.1) };
                            let to = (self.output.as_ptr().add(offset + lane), value.row_len());
                            let bias = simd.load(&bias[lane..]);
                            let clamp = self.epilogue.clamp;
                            output_tile::<S, M, N, W>(
                                simd,
                                from,
                                self.plane,
                                bias,
                                residual,
                                clamp,
                                to,
                                [height, width],
                            );
                        }
                    }
                }
            }
        }
    }
}

/// One tile: `A^T m A`, and all that is fused. The residual and the output come with the distance of their rows.
///
/// # Safety
/// A vector can be read from each plane and from `size` pixels of the residual unless it is null, and written to those of the output.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn output_tile<S: Simd, const M: usize, const N: usize, W: Variant<M, N>>(
    simd: S,
    from: *const f32,
    plane: usize,
    bias: S::V,
    residual: (*const f32, usize),
    clamp: Option<[f32; 2]>,
    to: (*mut f32, usize),
    size: [usize; 2],
) {
    let mut columns = [[simd.zero(); M]; N];
    // SAFETY: the caller's promise.
    unsafe {
        unroll!(J < N <= 7, {
            let mut t = [simd.zero(); N];
            unroll!(I < N <= 7, { t[I] = simd.load_ptr(from.wrapping_add((I * N + J) * plane)) });
            columns[J] = W::output(simd, t);
        });
        unroll!(I < M <= 4, {
            if I < size[0] {
                let mut t = [simd.zero(); N];
                unroll!(J < N <= 7, { t[J] = columns[J][I] });
                let y = W::output(simd, t);
                unroll!(J < M <= 4, {
                    if J < size[1] {
                        let mut y = simd.add(y[J], bias);
                        if !residual.0.is_null() {
                            y = simd.add(y, simd.load_ptr(residual.0.wrapping_add(I * residual.1 + J * BLOCK)));
                        }
                        if let Some([low, high]) = clamp {
                            y = simd.min(simd.splat(high), simd.max(simd.splat(low), y));
                        }
                        simd.store_ptr(y, to.0.wrapping_add(I * to.1 + J * BLOCK));
                    }
                });
            }
        });
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn units_cover_every_block_and_tile_once() {
        for (start, end, blocks) in [(0, 1, 1), (5, 33, 3), (28, 56, 4), (7, 12, 2)] {
            let mut met = vec![0; blocks * (end - start)];
            for index in 0..units([start, end], blocks) {
                let (block, [from, to]) = unit(index, [start, end]);
                assert!(from < to);
                for tile in from..to {
                    met[block * (end - start) + tile - start] += 1;
                }
            }
            assert!(met.iter().all(|&times| times == 1), "{met:?}");
        }
    }

    #[test]
    fn rows_cover_every_tile_once() {
        let tiles = Tiles { edge: 4, down: 3, across: 5, batch: 2 };
        for start in 0..=30 {
            for end in start..=30 {
                let mut tile = start;
                for row in tiles.rows([start, end]) {
                    assert_eq!((row.sample * 3 + row.down) * 5 + row.across, tile);
                    assert_eq!(row.index, tile - start);
                    assert!(row.count > 0 && row.across + row.count <= 5);
                    tile += row.count;
                }
                assert_eq!(tile, end);
            }
        }
    }
}
