//! Matrix products, single precision: packed and blocked, with register tiles (Goto and van de Geijn, "Anatomy of high-performance matrix
//! multiplication", 2008).
//!
//! The left matrix is packed whole; each task packs a panel of the right one as wide as the register tile, which then stays in the L1
//! cache while all tiles of rows pass over it. Sums run over the reduction in order, cut into slices that depend on sizes alone.

mod inner;
mod tile;

use super::Context;
use super::tiles;
use super::transpose::transpose;
use crate::parallel::{self, Disjoint};
use crate::simd::{BLOCK, Isa, Kernel, Simd, dispatch};
use core::ops::Range;
use tile::Product;

/// Floats of a packed panel of the right matrix: 32 KiB, which the L1 cache holds beside what streams through.
const PANEL: usize = 8 * 1024;
/// Floats of the packed left matrix at a time: 4 MiB, a part of the L3 cache.
const LEFT: usize = 1024 * 1024;
/// Up to so many floats, the right matrix stays in the L2 cache and may be read where it lies.
const NEAR: usize = 128 * 1024;
/// Products that one task should have at least: some 4 microseconds.
const GRAIN: usize = 256 * 1024;

/// A matrix that lies in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The first element is the first of the slice.
    pub data: &'a [f32],
    /// From one row to the next, in floats.
    pub row: usize,
    /// From one column to the next, in floats.
    pub col: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other, of `cols` floats each.
    pub const fn rows(data: &'a [f32], cols: usize) -> Self {
        Matrix { data, row: cols, col: 1 }
    }

    /// Its rows as columns.
    pub const fn transposed(self) -> Self {
        Matrix { data: self.data, row: self.col, col: self.row }
    }

    fn holds(&self, rows: usize, cols: usize) -> bool {
        rows == 0 || cols == 0 || (rows - 1) * self.row + (cols - 1) * self.col < self.data.len()
    }
}

/// Writes `c` `[m, n]`, or adds to it if `add`: `a` `[m, k]` times `b` `[k, n]`, plus `bias` `[n]` in every row.
///
/// # Panics
/// If a slice is too short, or there is a bias to add to what is there.
pub fn gemm(
    context: &mut Context,
    [m, n, k]: [usize; 3],
    a: Matrix,
    b: Matrix,
    bias: Option<&[f32]>,
    add: bool,
    c: &mut [f32],
) {
    assert!(a.holds(m, k) && b.holds(k, n) && c.len() == m * n, "matrices of these sizes");
    assert!(bias.is_none_or(|bias| bias.len() == n && !add), "a bias per column, where nothing is added to");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        // No products: zeros and the bias.
        if !add {
            c.chunks_exact_mut(n).for_each(|row| match bias {
                Some(bias) => row.copy_from_slice(bias),
                None => row.fill(0.0),
            });
        }
        return;
    }
    let isa = context.isa;
    if !add && inner::pays(m, k) && a.col == 1 && b.row == 1 {
        return inner::product(isa, [m, n, k], a, b, bias, c);
    }
    let (lanes, registers) = tiles::lanes_and_registers(isa);
    let (shape, _) = tiles::best_shape::<&Product>(registers, m, n.div_ceil(lanes));
    let width = shape.1 * lanes;
    let slices = k.div_ceil((PANEL / width).max(1));
    let slice = k.div_ceil(slices);
    // Rows whose packed left matrix is within its bound.
    let most = (LEFT / k / shape.0).max(1) * shape.0;
    let left_len = (m.min(most).next_multiple_of(shape.0) * k).next_multiple_of(BLOCK);
    let right_len = slice * width;
    let mut scratch = context.take_scratch(left_len + right_len * parallel::threads());
    let (left, right) = scratch.split_at_mut(left_len);
    let c = Disjoint::new(c);
    for first in (0..m).step_by(most) {
        let rows = most.min(m - first);
        let whole = RowProduct { size: [rows, n, k], first, a, b, bias, add, shape, width, slice };
        whole.pack_left(isa, left);
        let (tiles, panels) = (rows.div_ceil(shape.0), n.div_ceil(width));
        // A task is a panel and a chunk of the tiles of rows; with many panels, all tiles.
        let wanted = (4 * parallel::threads()).min((rows * n * k).div_ceil(GRAIN));
        let chunks = if wanted <= 1 { 1 } else { wanted.div_ceil(panels).min(tiles) };
        let run = |right: &mut [f32], task: usize| {
            let tiles = tiles * (task % chunks) / chunks..tiles * (task % chunks + 1) / chunks;
            dispatch(isa, Task { whole: &whole, left, right, panel: task / chunks, tiles, c: &c });
        };
        if wanted <= 1 {
            (0..panels).for_each(|task| run(&mut right[..right_len], task));
        } else {
            parallel::for_each_scratch(right, right_len, panels * chunks, run);
        }
    }
    context.put_scratch(scratch);
}

/// The product of some rows.
struct RowProduct<'a> {
    size: [usize; 3],
    /// The first row.
    first: usize,
    a: Matrix<'a>,
    b: Matrix<'a>,
    bias: Option<&'a [f32]>,
    add: bool,
    /// Rows and vectors of a tile.
    shape: (usize, usize),
    /// Columns of a panel.
    width: usize,
    /// The reduction is cut into slices of so many elements.
    slice: usize,
}

impl RowProduct<'_> {
    /// Packs the left matrix: `[slice][tile][element of the slice][row in tile]`.
    fn pack_left(&self, isa: Isa, left: &mut [f32]) {
        let [rows, _, k] = self.size;
        let tiles = rows.div_ceil(self.shape.0);
        let left = Disjoint::new(left);
        let pack = |tile: usize| {
            for elements in slices(k, self.slice) {
                let start = (elements.start * tiles + tile * elements.len()) * self.shape.0;
                // SAFETY: tiles have parts of their own.
                let to = unsafe { left.slice(start..start + elements.len() * self.shape.0) };
                let first = self.first + tile * self.shape.0;
                let count = self.shape.0.min(rows - tile * self.shape.0);
                let from = &self.a.data[first * self.a.row + elements.start * self.a.col..];
                let from = Matrix { data: from, ..self.a }.transposed();
                dispatch(isa, Pack { from, size: (elements.len(), count), width: self.shape.0, to });
            }
        };
        if rows * k < GRAIN / 8 {
            (0..tiles).for_each(pack);
        } else {
            parallel::for_each(tiles, pack);
        }
    }
}

/// The slices of `k` elements, `slice` each.
fn slices(k: usize, slice: usize) -> impl Iterator<Item = Range<usize>> {
    (0..k).step_by(slice).map(move |start| start..(start + slice).min(k))
}

/// Packs rows of `size.1` floats into rows of `width`, filled up with zeros.
struct Pack<'a> {
    from: Matrix<'a>,
    size: (usize, usize),
    width: usize,
    to: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        pack(simd, self.from, self.size, self.width, self.to);
    }
}

#[inline(always)]
fn pack<S: Simd>(simd: S, from: Matrix, (rows, cols): (usize, usize), width: usize, to: &mut [f32]) {
    if from.row == 1 && from.col != 1 {
        if cols < width {
            to.fill(0.0);
        }
        return transpose(simd, from.data, from.col, to, width, (cols, rows));
    }
    for (row, to) in to.chunks_exact_mut(width).enumerate().take(rows) {
        let (some, none) = to.split_at_mut(cols);
        if from.col == 1 {
            let from = &from.data[row * from.row..][..cols];
            for (from, to) in from.chunks(S::LANES).zip(some.chunks_mut(S::LANES)) {
                simd.store_partial(simd.load_partial(from), to);
            }
        } else {
            let from = from.data[row * from.row..].iter().step_by(from.col);
            some.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        none.fill(0.0);
    }
}

/// A panel of columns times some tiles of rows.
struct Task<'a> {
    whole: &'a RowProduct<'a>,
    left: &'a [f32],
    right: &'a mut [f32],
    panel: usize,
    tiles: Range<usize>,
    c: &'a Disjoint<'a, f32>,
}

impl Kernel for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Task { whole, left, right, panel, tiles, c } = self;
        let [rows, n, k] = whole.size;
        let first = panel * whole.width;
        let cols = whole.width.min(n - first);
        let all = rows.div_ceil(whole.shape.0);
        // Few tiles do not make up for packing what is near and whole anyway.
        let in_place = whole.b.col == 1 && cols == whole.width && tiles.len() <= 8 && k * whole.b.row <= NEAR;
        for elements in slices(k, whole.slice) {
            let from = &whole.b.data[(elements.start * whole.b.row + first * whole.b.col).min(whole.b.data.len())..];
            let (right, right_row) = if in_place {
                (from.as_ptr(), whole.b.row)
            } else {
                let from = Matrix { data: from, ..whole.b };
                pack(simd, from, (elements.len(), cols), whole.width, right);
                (right.as_ptr(), whole.width)
            };
            let start = (elements.start * all + tiles.start * elements.len()) * whole.shape.0;
            let product = Product {
                depth: elements.len(),
                left: &left[start..][..tiles.len() * elements.len() * whole.shape.0],
                right,
                right_row,
                rows: (tiles.end * whole.shape.0).min(rows) - tiles.start * whole.shape.0,
                cols,
                bias: whole.bias.filter(|_| elements.start == 0).map(|bias| &bias[first..][..cols]),
                add: whole.add || elements.start > 0,
                // SAFETY: the first element of the first tile of the panel.
                c: unsafe { c.as_ptr().add((whole.first + tiles.start * whole.shape.0) * n + first) },
                c_row: n,
            };
            // SAFETY: `right` holds whole rows of the panel; these rows and columns of `c` are this task's.
            unsafe { tiles::run(S::ISA, whole.shape, &product) };
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, Tolerance};

    fn expected(size: [usize; 3], a: Matrix, b: Matrix, bias: Option<&[f32]>) -> Vec<f32> {
        let [m, n, k] = size;
        let mut c = vec![f32::NAN; m * n];
        for (i, c) in c.iter_mut().enumerate() {
            let (row, col) = (i / n, i % n);
            let at = |m: &Matrix, row: usize, col: usize| f64::from(m.data[row * m.row + col * m.col]);
            let sum: f64 = (0..k).map(|e| at(&a, row, e) * at(&b, e, col)).sum();
            *c = (sum + bias.map_or(0.0, |bias| f64::from(bias[col]))) as f32;
        }
        c
    }

    fn check(size: [usize; 3]) {
        let [m, n, k] = size;
        let (a, b, bias) = (testing::data(1, m * k), testing::data(2, k * n), testing::data(3, n));
        for (left, right) in [(false, false), (false, true), (true, false), (true, true)] {
            let name = format!("{m} x {n} x {k}, transposed {left} {right}");
            let a = if left { Matrix::rows(&a, m).transposed() } else { Matrix::rows(&a, k) };
            let b = if right { Matrix::rows(&b, k).transposed() } else { Matrix::rows(&b, n) };
            let tolerance = Tolerance::sum(k + 1);
            testing::check(&name, tolerance, [expected(size, a, b, Some(&bias))], |context, [c]| {
                gemm(context, size, a, b, Some(&bias), false, c);
            });
            let start = testing::data(4, m * n);
            let sum = expected(size, a, b, None).iter().zip(&start).map(|(c, start)| c + start).collect();
            testing::check_update(&format!("{name}, added"), tolerance, [start], [sum], |context, [c]| {
                gemm(context, size, a, b, None, true, c);
            });
        }
    }

    #[test]
    fn sizes_straddle_tiles() {
        for m in [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 24, 25, 32, 33] {
            for n in [1, 7, 8, 9, 15, 16, 17, 31, 33, 48, 49, 65] {
                check([m, n, 5]);
            }
        }
    }

    #[test]
    fn depths_straddle_slices() {
        for k in [0, 1, 2, 15, 16, 17, 40, 84, 127, 128, 129, 170, 171, 257, 400, 1025, 2047, 2049, 4100] {
            check([5, 19, k]);
            check([26, 10, k]);
        }
    }

    #[test]
    fn large_ones_are_cut() {
        check([270, 70, 4099]);
        check([3, 700, 300]);
        check([700, 3, 300]);
        check([200, 300, 100]);
    }

    #[test]
    fn strides_of_any_kind() {
        let (a, b) = (testing::data(1, 1000), testing::data(2, 1000));
        let (a, b) = (Matrix { data: &a, row: 20, col: 2 }, Matrix { data: &b, row: 40, col: 3 });
        testing::check("strides", Tolerance::sum(10), [expected([9, 11, 10], a, b, None)], |context, [c]| {
            gemm(context, [9, 11, 10], a, b, None, false, c);
        });
    }
}
