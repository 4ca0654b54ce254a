//! The transforms of Winograd's (Toom's and Cook's) algorithms, one vector of channels at a time.
//!
//! F(m x m, 3 x 3) computes m x m outputs from n x n inputs, n = m + 2, as `Y = A^T [(G g G^T) . (B^T d B)] A`. With the points
//! p_0 … p_m and infinity (Lavin and Gray, 2015, following Winograd, 1980):
//!
//! - row i of `B^T` holds the coefficients of `prod_{j != i} (x - p_j)`, the last row those of the product over all j;
//! - row i of `G` is `[1, p_i, p_i^2] / prod_{j != i} (p_i - p_j)`, the last `[0, 0, 1]`;
//! - row k of `A^T` is `p_i^k`, with 1 for infinity in the last row alone.
//!
//! F(4 x 4) takes the points 0, ±5/8, ±3/2. They cost the multiply-adds of the usual 0, ±1, ±2, every constant is exact in f32, and
//! the error is a quarter: root mean square 2 times that of direct summation, against 4 (256 channels, normally distributed).

use crate::simd::Simd;

/// One of the algorithms: M x M outputs from N x N inputs.
pub(super) trait Variant<const M: usize, const N: usize>: Copy + Send + Sync + 'static {
    /// `G`.
    const WEIGHT: [[f64; 3]; N];

    /// `B^T d`.
    fn input<S: Simd>(simd: S, d: [S::V; N]) -> [S::V; N];

    /// `A^T t`.
    fn output<S: Simd>(simd: S, t: [S::V; N]) -> [S::V; M];
}

/// F(2 x 2, 3 x 3), points 0, ±1.
#[derive(Clone, Copy, Debug)]
pub(super) struct F2;

impl Variant<2, 4> for F2 {
    // The signs of the first row here and in `input` are both turned.
    const WEIGHT: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

    #[inline(always)]
    fn input<S: Simd>(s: S, [d0, d1, d2, d3]: [S::V; 4]) -> [S::V; 4] {
        [s.sub(d0, d2), s.add(d2, d1), s.sub(d2, d1), s.sub(d3, d1)]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [t0, t1, t2, t3]: [S::V; 4]) -> [S::V; 2] {
        [s.add(t0, s.add(t1, t2)), s.add(s.sub(t1, t2), t3)]
    }
}

/// F(4 x 4, 3 x 3), points 0, ±[`F4::P`], ±[`F4::Q`].
#[derive(Clone, Copy, Debug)]
pub(super) struct F4;

impl F4 {
    const P: f64 = 0.625;
    const Q: f64 = 1.5;
    const P2: f64 = Self::P * Self::P;
    const Q2: f64 = Self::Q * Self::Q;

    /// The row of `G` for the point `p`, of which `other` is the other positive point's square.
    const fn row(p: f64, other: f64) -> [f64; 3] {
        // The product over j of p - p_j: p (0), 2 p (-p), p^2 - other (the other two).
        let n = p * 2.0 * p * (p * p - other);
        [1.0 / n, p / n, p * p / n]
    }
}

impl Variant<4, 6> for F4 {
    const WEIGHT: [[f64; 3]; 6] = [
        [1.0 / (Self::P2 * Self::Q2), 0.0, 0.0],
        Self::row(Self::P, Self::Q2),
        Self::row(-Self::P, Self::Q2),
        Self::row(Self::Q, Self::P2),
        Self::row(-Self::Q, Self::P2),
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<S: Simd>(s: S, [d0, d1, d2, d3, d4, d5]: [S::V; 6]) -> [S::V; 6] {
        let c = |x: f64| s.splat(x as f32);
        let (p, q, p2, q2) = (c(Self::P), c(Self::Q), c(Self::P2), c(Self::Q2));
        // x (x^2 - p^2) (x^2 - q^2) = x^5 - (p^2 + q^2) x^3 + p^2 q^2 x
        let (sum, product) = (c(Self::P2 + Self::Q2), c(Self::P2 * Self::Q2));
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

    #[inline(always)]
    fn output<S: Simd>(s: S, [t0, t1, t2, t3, t4, t5]: [S::V; 6]) -> [S::V; 4] {
        let c = |x: f64| s.splat(x as f32);
        let (sum_p, difference_p) = (s.add(t1, t2), s.sub(t1, t2));
        let (sum_q, difference_q) = (s.add(t3, t4), s.sub(t3, t4));
        [
            s.add(t0, s.add(sum_p, sum_q)),
            s.mul_add(c(Self::P), difference_p, s.mul(c(Self::Q), difference_q)),
            s.mul_add(c(Self::P2), sum_p, s.mul(c(Self::Q2), sum_q)),
            s.mul_add(c(Self::P * Self::P2), difference_p, s.mul_add(c(Self::Q * Self::Q2), difference_q, t5)),
        ]
    }
}

/// `G g G^T` in f64, times `factor`: `g` is one channel's kernel, row by row.
pub(super) fn weight<const M: usize, const N: usize, W: Variant<M, N>>(g: &[f32], factor: f64) -> [[f64; N]; N] {
    let dot = |row: &[f64; 3], g: [f64; 3]| row[0] * g[0] + row[1] * g[1] + row[2] * g[2];
    let mut product = [[0.0; 3]; N];
    let mut transformed = [[0.0; N]; N];
    for (row, product) in W::WEIGHT.iter().zip(&mut product) {
        for (x, value) in product.iter_mut().enumerate() {
            *value = dot(row, [0, 3, 6].map(|y| f64::from(g[y + x]) * factor));
        }
    }
    for (product, transformed) in product.iter().zip(&mut transformed) {
        for (column, value) in W::WEIGHT.iter().zip(transformed) {
            *value = dot(column, *product);
        }
    }
    transformed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, dispatch};

    /// One dimension: outputs of N inputs and 3 weights.
    struct OneDimension<const M: usize, const N: usize, W>([f32; N], [f64; 3], W);

    impl<const M: usize, const N: usize, W: Variant<M, N>> Kernel for OneDimension<M, N, W> {
        type Output = [f32; M];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f32; M] {
            let d = W::input(s, self.0.map(|x| s.splat(x)));
            let g = W::WEIGHT.map(|row| (row[0] * self.1[0] + row[1] * self.1[1] + row[2] * self.1[2]) as f32);
            let products = core::array::from_fn(|i| s.mul(d[i], s.splat(g[i])));
            W::output(s, products).map(|y| s.reduce_max(y))
        }
    }

    fn check<const M: usize, const N: usize, W: Variant<M, N>>(variant: W) {
        let d: [f32; N] = core::array::from_fn(|i| (i * i % 7) as f32 - 2.5);
        let g = [0.75, -1.5, 2.0];
        for &isa in Isa::detected() {
            let y = dispatch(isa, OneDimension::<M, N, W>(d, g, variant));
            for (i, y) in y.into_iter().enumerate() {
                let expected: f64 = (0..3).map(|j| g[j] * f64::from(d[i + j])).sum();
                assert!((f64::from(y) - expected).abs() < 1e-5, "{isa} {i}: {y} {expected}");
            }
        }
    }

    #[test]
    fn one_dimension_is_a_convolution() {
        check(F2);
        check(F4);
    }
}
