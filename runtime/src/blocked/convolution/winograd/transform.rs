//! The transforms of Winograd's (Toom's and Cook's) algorithms, one vector of channels at a time.
//!
//! F(m x m, k x k) computes m x m outputs from n x n inputs, n = m + k - 1, as `Y = A^T [(G g G^T) . (B^T d B)] A`. With the points
//! p_0 … p_{n-2} and infinity (Lavin and Gray, 2015, following Winograd, 1980):
//!
//! - row i of `B^T` holds the coefficients of `prod_{j != i} (x - p_j)`, the last row those of the product over all j;
//! - row i of `G` is `[1, p_i, …, p_i^(k-1)] / prod_{j != i} (p_i - p_j)`, the last `[0, …, 0, 1]`;
//! - row k of `A^T` is `p_i^k`, with 1 for infinity in the last row alone.
//!
//! With n = 6, the points are 0, ±5/8, ±3/2. They cost the multiply-adds of the usual 0, ±1, ±2, every constant is exact in f32, and
//! the error of F(4 x 4, 3 x 3) is a quarter: root mean square 2 times that of direct summation, against 4 (256 channels, normally
//! distributed). `B^T` knows the points alone, and is the same for F(4 x 4, 3 x 3) and F(2 x 2, 5 x 5).

use crate::simd::Simd;

/// One of the algorithms: M x M outputs from N x N inputs.
pub(super) trait Variant<const M: usize, const N: usize>: Copy + Send + Sync + 'static {
    /// Rows and columns of the kernel: `N - M + 1`.
    const KERNEL: usize = N + 1 - M;

    /// `G g G^T` in f64, times `factor`: `g` is one channel's kernel, row by row.
    fn weight(g: &[f32], factor: f64) -> [[f64; N]; N];

    /// `B^T d`.
    fn input<S: Simd>(simd: S, d: [S::V; N]) -> [S::V; N];

    /// `A^T t`.
    fn output<S: Simd>(simd: S, t: [S::V; N]) -> [S::V; M];
}

/// F(2 x 2, 3 x 3), points 0, ±1.
#[derive(Clone, Copy, Debug)]
pub(super) struct F2;

impl Variant<2, 4> for F2 {
    fn weight(g: &[f32], factor: f64) -> [[f64; 4]; 4] {
        let mut matrix = weights::<3, 4>(&[0.0, 1.0, -1.0]);
        // The signs of this row here and in `input` are both turned.
        matrix[0][0] = 1.0;
        transformed(&matrix, g, factor)
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, [d0, d1, d2, d3]: [S::V; 4]) -> [S::V; 4] {
        [s.sub(d0, d2), s.add(d2, d1), s.sub(d2, d1), s.sub(d3, d1)]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [t0, t1, t2, t3]: [S::V; 4]) -> [S::V; 2] {
        [s.add(t0, s.add(t1, t2)), s.add(s.sub(t1, t2), t3)]
    }
}

/// `G` for `points` and infinity, and kernels of `K`.
fn weights<const K: usize, const N: usize>(points: &[f64]) -> [[f64; K]; N] {
    let mut matrix = [[0.0; K]; N];
    for (i, (row, &point)) in matrix.iter_mut().zip(points).enumerate() {
        let others = points.iter().enumerate().filter(|&(j, _)| j != i);
        let product: f64 = others.map(|(_, &other)| point - other).product();
        let mut power = 1.0 / product;
        for value in row {
            *value = power;
            power *= point;
        }
    }
    matrix[N - 1][K - 1] = 1.0;
    matrix
}

/// Six points: 0, ±[`P`], ±[`Q`] and infinity.
const SIX: [f64; 5] = [0.0, P, -P, Q, -Q];
const P: f64 = 0.625;
const Q: f64 = 1.5;
const P2: f64 = P * P;
const Q2: f64 = Q * Q;

/// `B^T d` for these points.
#[inline(always)]
fn six_inputs<S: Simd>(s: S, [d0, d1, d2, d3, d4, d5]: [S::V; 6]) -> [S::V; 6] {
    let c = |x: f64| s.splat(x as f32);
    let (p, q, p2, q2) = (c(P), c(Q), c(P2), c(Q2));
    // x (x^2 - p^2) (x^2 - q^2) = x^5 - (p^2 + q^2) x^3 + p^2 q^2 x
    let (sum, product) = (c(P2 + Q2), c(P2 * Q2));
    let even_p = s.neg_mul_add(q2, d2, d4);
    let odd_p = s.neg_mul_add(q2, d1, d3);
    let even_q = s.neg_mul_add(p2, d2, d4);
    let odd_q = s.neg_mul_add(p2, d1, d3);
    [
        s.mul_add(product, d0, s.neg_mul_add(sum, d2, d4)),
        s.mul_add(p, odd_p, even_p),
        s.neg_mul_add(p, odd_p, even_p),
        s.mul_add(q, odd_q, even_q),
        s.neg_mul_add(q, odd_q, even_q),
        s.mul_add(product, d1, s.neg_mul_add(sum, d3, d5)),
    ]
}

/// F(4 x 4, 3 x 3).
#[derive(Clone, Copy, Debug)]
pub(super) struct F4;

impl Variant<4, 6> for F4 {
    fn weight(g: &[f32], factor: f64) -> [[f64; 6]; 6] {
        transformed(&weights::<3, 6>(&SIX), g, factor)
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
        six_inputs(s, d)
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [t0, t1, t2, t3, t4, t5]: [S::V; 6]) -> [S::V; 4] {
        let c = |x: f64| s.splat(x as f32);
        let (sum_p, difference_p) = (s.add(t1, t2), s.sub(t1, t2));
        let (sum_q, difference_q) = (s.add(t3, t4), s.sub(t3, t4));
        [
            s.add(t0, s.add(sum_p, sum_q)),
            s.mul_add(c(P), difference_p, s.mul(c(Q), difference_q)),
            s.mul_add(c(P2), sum_p, s.mul(c(Q2), sum_q)),
            s.mul_add(c(P * P2), difference_p, s.mul_add(c(Q * Q2), difference_q, t5)),
        ]
    }
}

/// F(2 x 2, 5 x 5).
#[derive(Clone, Copy, Debug)]
pub(super) struct F2Of5;

impl Variant<2, 6> for F2Of5 {
    fn weight(g: &[f32], factor: f64) -> [[f64; 6]; 6] {
        transformed(&weights::<5, 6>(&SIX), g, factor)
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
        six_inputs(s, d)
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [t0, t1, t2, t3, t4, t5]: [S::V; 6]) -> [S::V; 2] {
        let c = |x: f64| s.splat(x as f32);
        [
            s.add(s.add(t0, s.add(t1, t2)), s.add(t3, t4)),
            s.mul_add(c(P), s.sub(t1, t2), s.mul_add(c(Q), s.sub(t3, t4), t5)),
        ]
    }
}

/// F(4 x 4, 4 x 4), points 0, ±1/2, ±1 and 2: for each phase of a 7 x 7 kernel of stride 2.
#[derive(Clone, Copy, Debug)]
pub(super) struct F4Of4;

impl Variant<4, 7> for F4Of4 {
    fn weight(g: &[f32], factor: f64) -> [[f64; 7]; 7] {
        transformed(&weights::<4, 7>(&[0.0, 0.5, -0.5, 1.0, -1.0, 2.0]), g, factor)
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, [d0, d1, d2, d3, d4, d5, d6]: [S::V; 7]) -> [S::V; 7] {
        let (half, two, quarter, sum) = (s.splat(0.5), s.splat(2.0), s.splat(0.25), s.splat(1.25));
        // (x^2 - 1/4) (x^2 - 1) = x^4 - 5/4 x^2 + 1/4, times 1, x and x^2
        let four = s.mul_add(quarter, d0, s.neg_mul_add(sum, d2, d4));
        let five = s.mul_add(quarter, d1, s.neg_mul_add(sum, d3, d5));
        let six = s.mul_add(quarter, d2, s.neg_mul_add(sum, d4, d6));
        // x (x - 2) (x^2 - 1), and times x
        let (even, odd) = (s.sub(d4, d2), s.sub(d3, d1));
        let (halves, x_halves) = (s.neg_mul_add(two, odd, even), s.neg_mul_add(two, even, s.sub(d5, d3)));
        // x (x - 2) (x^2 - 1/4), and times x
        let (even, odd) = (s.neg_mul_add(quarter, d2, d4), s.neg_mul_add(quarter, d1, d3));
        let ones = s.neg_mul_add(two, odd, even);
        let x_ones = s.neg_mul_add(two, even, s.neg_mul_add(quarter, d3, d5));
        [
            s.neg_mul_add(two, four, five),
            s.mul_add(half, halves, x_halves),
            s.neg_mul_add(half, halves, x_halves),
            s.add(x_ones, ones),
            s.sub(x_ones, ones),
            five,
            s.neg_mul_add(two, five, six),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [t0, t1, t2, t3, t4, t5, t6]: [S::V; 7]) -> [S::V; 4] {
        let c = |x: f32| s.splat(x);
        let (sum_half, difference_half) = (s.add(t1, t2), s.sub(t1, t2));
        let (sum_one, difference_one) = (s.add(t3, t4), s.sub(t3, t4));
        [
            s.add(s.add(t0, t5), s.add(sum_half, sum_one)),
            s.mul_add(c(0.5), difference_half, s.mul_add(c(2.0), t5, difference_one)),
            s.mul_add(c(0.25), sum_half, s.mul_add(c(4.0), t5, sum_one)),
            s.mul_add(c(0.125), difference_half, s.mul_add(c(8.0), t5, s.add(difference_one, t6))),
        ]
    }
}

/// `G g G^T`, times `factor`, of `G` and a kernel `g`, row by row.
fn transformed<const N: usize, const K: usize>(matrix: &[[f64; K]; N], g: &[f32], factor: f64) -> [[f64; N]; N] {
    let dot = |row: &[f64; K], g: [f64; K]| row.iter().zip(g).map(|(&x, y)| x * y).sum::<f64>();
    let mut product = [[0.0; K]; N];
    let mut transformed = [[0.0; N]; N];
    for (row, product) in matrix.iter().zip(&mut product) {
        for (x, value) in product.iter_mut().enumerate() {
            *value = dot(row, core::array::from_fn(|y| f64::from(g[y * K + x]) * factor));
        }
    }
    for (product, transformed) in product.iter().zip(&mut transformed) {
        for (column, value) in matrix.iter().zip(transformed) {
            *value = dot(column, *product);
        }
    }
    transformed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, dispatch};

    /// One tile: M x M outputs of N x N inputs and a kernel.
    struct Tile<'a, const M: usize, const N: usize, W>([[f32; N]; N], &'a [f32], W);

    impl<const M: usize, const N: usize, W: Variant<M, N>> Kernel for Tile<'_, M, N, W> {
        type Output = [[f32; M]; M];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [[f32; M]; M] {
            let rows = self.0.map(|row| W::input(s, row.map(|x| s.splat(x))));
            let weight = W::weight(self.1, 1.0);
            let mut columns = [[s.zero(); M]; N];
            for (j, column) in columns.iter_mut().enumerate() {
                let d = W::input(s, rows.map(|row| row[j]));
                *column = W::output(s, core::array::from_fn(|i| s.mul(d[i], s.splat(weight[i][j] as f32))));
            }
            core::array::from_fn(|y| W::output(s, columns.map(|column| column[y])).map(|v| s.reduce_max(v)))
        }
    }

    fn check<const M: usize, const N: usize, W: Variant<M, N>>(variant: W) {
        let k = W::KERNEL;
        let d: [[f32; N]; N] = core::array::from_fn(|y| core::array::from_fn(|x| ((3 * y + x * x) % 7) as f32 - 2.5));
        let g: [f32; 25] = core::array::from_fn(|i| [0.75, -1.5, 2.0, 0.5][i * i % 5 % 4]);
        for &isa in Isa::detected() {
            let outputs = dispatch(isa, Tile::<M, N, W>(d, &g[..k * k], variant));
            for (y, row) in outputs.into_iter().enumerate() {
                for (x, output) in row.into_iter().enumerate() {
                    let product = |tap: usize| f64::from(g[tap]) * f64::from(d[y + tap / k][x + tap % k]);
                    let expected: f64 = (0..k * k).map(product).sum();
                    assert!((f64::from(output) - expected).abs() < 5e-5, "{isa} {y} {x}: {output} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_tile_is_a_convolution() {
        check(F2);
        check(F4);
        check(F2Of5);
        check(F4Of4);
    }
}
