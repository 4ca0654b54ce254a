//! Sums over slices: means, variances, and what the gradients of norms need.
//!
//! In single precision within a block, whose partial sums stay short, and in double precision across blocks. The order of every sum depends
//! on lengths and on the instruction set alone.

use super::window::{load, store};
use crate::simd::Simd;

/// Elements summed in single precision: in 4 vectors of partial sums, 32 (AVX-512) to 128 (scalar) additions each. Two such blocks lie in
/// the first-level cache.
pub(super) const SUM_BLOCK: usize = 2048;

/// Partial sums: enough of them that additions (of a latency of 4 cycles) do not wait for one another.
type Partial<S> = [<S as Simd>::V; 4];

#[inline(always)]
fn zero<S: Simd>(simd: S) -> Partial<S> {
    [simd.zero(); 4]
}

#[inline(always)]
fn total<S: Simd>(simd: S, sums: Partial<S>) -> f64 {
    let sum = simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3]));
    f64::from(simd.reduce_sum(sum))
}

/// Adds the elements of `x`.
#[inline(always)]
fn add<S: Simd>(simd: S, sums: &mut Partial<S>, x: &[f32]) {
    let mut quads = x.chunks_exact(4 * S::LANES);
    for quad in &mut quads {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = simd.add(*sum, simd.load(&quad[i * S::LANES..]));
        }
    }
    for (vector, sum) in quads.remainder().chunks(S::LANES).zip(sums) {
        *sum = simd.add(*sum, simd.load_partial(vector));
    }
}

/// Adds the deviations of the elements of `x` from `centre`, and their squares.
#[inline(always)]
fn add_deviations<S: Simd>(simd: S, sums: &mut Partial<S>, squares: &mut Partial<S>, x: &[f32], centre: f32) {
    let centre = simd.splat(centre);
    let mut quads = x.chunks_exact(4 * S::LANES);
    for quad in &mut quads {
        for (i, (sum, square)) in sums.iter_mut().zip(&mut *squares).enumerate() {
            let deviation = simd.sub(simd.load(&quad[i * S::LANES..]), centre);
            *sum = simd.add(*sum, deviation);
            *square = simd.mul_add(deviation, deviation, *square);
        }
    }
    for (vector, (sum, square)) in quads.remainder().chunks(S::LANES).zip(sums.iter_mut().zip(squares)) {
        // The lanes past the end deviate by nothing.
        let deviation = simd.select(simd.first(vector.len()), simd.sub(simd.load_partial(vector), centre), simd.zero());
        *sum = simd.add(*sum, deviation);
        *square = simd.mul_add(deviation, deviation, *square);
    }
}

/// Adds the elements of `g`, each times its weight, and their products with the deviations of those of `x` from `centre`.
#[inline(always)]
fn add_products<S: Simd>(
    simd: S,
    sums: &mut Partial<S>,
    products: &mut Partial<S>,
    (g, weight): (&[f32], Option<&[f32]>),
    x: &[f32],
    centre: f32,
) {
    let centre = simd.splat(centre);
    let quad = 4 * S::LANES;
    let (g_quads, x_quads) = (g.chunks_exact(quad), x.chunks_exact(quad));
    let (g_rest, x_rest) = (g_quads.remainder(), x_quads.remainder());
    for (q, (g, x)) in g_quads.zip(x_quads).enumerate() {
        for (i, (sum, product)) in sums.iter_mut().zip(&mut *products).enumerate() {
            let mut g = simd.load(&g[i * S::LANES..]);
            if let Some(weight) = weight {
                g = simd.mul(g, simd.load(&weight[q * quad + i * S::LANES..]));
            }
            *sum = simd.add(*sum, g);
            *product = simd.mul_add(g, simd.sub(simd.load(&x[i * S::LANES..]), centre), *product);
        }
    }
    let rest = g.len() - g_rest.len();
    let vectors = g_rest.chunks(S::LANES).zip(x_rest.chunks(S::LANES));
    for (i, ((g, x), (sum, product))) in vectors.zip(sums.iter_mut().zip(products)).enumerate() {
        // The lanes past the end of `g` are zero, whatever their weights are.
        let mut g = simd.load_partial(g);
        if let Some(weight) = weight {
            g = simd.mul(g, simd.load_partial(&weight[rest + i * S::LANES..]));
        }
        *sum = simd.add(*sum, g);
        *product = simd.mul_add(g, simd.sub(simd.load_partial(x), centre), *product);
    }
}

/// The sum of the elements.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, x: &[f32]) -> f64 {
    let mut result = 0.0;
    for block in x.chunks(SUM_BLOCK) {
        let mut sums = zero(simd);
        add(simd, &mut sums, block);
        result += total(simd, sums);
    }
    result
}

/// How many numbers there are, their mean, and the sum of the squares of their deviations from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    pub count: f64,
    pub mean: f64,
    pub squares: f64,
}

impl Moments {
    /// Those of both together (Chan, Golub and LeVeque, 1979).
    #[inline(always)]
    fn merge(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        let (between, share) = (other.mean - self.mean, other.count / count);
        Moments {
            count,
            mean: self.mean + between * share,
            squares: self.squares + other.squares + between * between * self.count * share,
        }
    }

    /// The biased variance.
    #[inline(always)]
    pub(super) fn variance(self) -> f64 {
        self.squares / self.count
    }
}

/// Strided rows of equal length: what a channel's elements are in a batch.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    data: &'a [f32],
    /// Where the first row starts.
    start: usize,
    /// From one row to the next.
    stride: usize,
    /// Elements of a row.
    pub len: usize,
    /// Rows.
    pub count: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `len` elements, the first at `start` and the others every `stride` elements after it, as far as `data` goes.
    #[inline(always)]
    pub(super) fn new(data: &'a [f32], start: usize, stride: usize, len: usize) -> Self {
        Rows { data, start, stride, len, count: data.len() / stride }
    }

    /// All of `data`, in one row.
    #[inline(always)]
    pub(super) fn one(data: &'a [f32]) -> Self {
        Rows { data, start: 0, stride: data.len(), len: data.len(), count: 1 }
    }

    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> &'a [f32] {
        &self.data[self.start + i * self.stride..][..self.len]
    }

    /// Blocks of up to [`SUM_BLOCK`] elements: rows in a range, and of each the elements in a range. At most 128 rows, since those shorter
    /// than a vector all go into the same one.
    #[inline(always)]
    fn blocks(&self) -> impl Iterator<Item = (core::ops::Range<usize>, core::ops::Range<usize>)> + use<> {
        let (len, count) = (self.len, self.count);
        let (rows, elements) = ((SUM_BLOCK / len.max(1)).clamp(1, 128), len.clamp(1, SUM_BLOCK));
        (0..count).step_by(rows).flat_map(move |row| {
            let rows = row..(row + rows).min(count);
            (0..len).step_by(elements).map(move |at| (rows.clone(), at..(at + elements).min(len)))
        })
    }
}

/// The moments of all elements.
///
/// Each block is read twice, the second time from the first-level cache: its mean first, then what deviates from the mean as rounded,
/// which corrects the mean too (the corrected two-pass algorithm of Chan, Golub and LeVeque, 1983).
#[inline(always)]
pub(super) fn moments<S: Simd>(simd: S, x: Rows<'_>) -> Moments {
    let mut result = Moments::default();
    for (rows, elements) in x.blocks() {
        let count = (rows.len() * elements.len()) as f64;
        let mut sums = zero(simd);
        for i in rows.clone() {
            add(simd, &mut sums, &x.row(i)[elements.clone()]);
        }
        let centre = (total(simd, sums) / count) as f32;
        let (mut sums, mut squares) = (zero(simd), zero(simd));
        for i in rows {
            add_deviations(simd, &mut sums, &mut squares, &x.row(i)[elements.clone()], centre);
        }
        let (off, squares) = (total(simd, sums) / count, total(simd, squares));
        let block = Moments { count, mean: f64::from(centre) + off, squares: squares - off * off * count };
        result = if result.count == 0.0 { block } else { result.merge(block) };
    }
    result
}

/// The sum of the elements of `g`, and the sum of their products with the deviations of those of `x` from `centre`. With a weight for
/// every element of a row, of the elements times their weights.
#[inline(always)]
pub(super) fn products<S: Simd>(simd: S, g: Rows<'_>, weight: Option<&[f32]>, x: Rows<'_>, centre: f32) -> (f64, f64) {
    let mut result = (0.0, 0.0);
    for (rows, elements) in g.blocks() {
        let (mut sums, mut products) = (zero(simd), zero(simd));
        for i in rows {
            let (g, x) = (&g.row(i)[elements.clone()], &x.row(i)[elements.clone()]);
            let weight = weight.map(|weight| &weight[elements.clone()]);
            add_products(simd, &mut sums, &mut products, (g, weight), x, centre);
        }
        result = (result.0 + total(simd, sums), result.1 + total(simd, products));
    }
    result
}

/// `1 / sqrt(variance + eps)`.
#[inline(always)]
pub(crate) fn inverse_deviation<S: Simd>(simd: S, variance: f64, eps: f32) -> f64 {
    let x = variance + f64::from(eps);
    // `core` has no square root: one step of Newton's iteration from single precision doubles its digits.
    let start = 1.0 / f64::from(simd.reduce_max(simd.sqrt(simd.splat(x as f32))));
    let better = start * (1.5 - 0.5 * x * start * start);
    if start.is_finite() { better } else { start }
}

/// `y = (x - centre) * scale + shift`.
#[inline(always)]
pub(super) fn normalise<S: Simd>(simd: S, x: &[f32], centre: f32, scale: f32, shift: f32, y: &mut [f32]) {
    let (centre, scale, shift) = (simd.splat(centre), simd.splat(scale), simd.splat(shift));
    let whole = y.len() - y.len() % S::LANES;
    let ((x, x_rest), (y, y_rest)) = (x.split_at(whole), y.split_at_mut(whole));
    for (x, y) in x.chunks_exact(S::LANES).zip(y.chunks_exact_mut(S::LANES)) {
        simd.store(simd.mul_add(simd.sub(simd.load(x), centre), scale, shift), y);
    }
    if !y_rest.is_empty() {
        simd.store_partial(simd.mul_add(simd.sub(simd.load_partial(x_rest), centre), scale, shift), y_rest);
    }
}

/// `y = (x - centre) * scale * weight + bias`, with a weight and a bias for every element.
#[inline(always)]
pub(super) fn normalise_by_element<S: Simd>(
    simd: S,
    x: &[f32],
    centre: f32,
    scale: f32,
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let (centre, scale) = (simd.splat(centre), simd.splat(scale));
    assert!(
        x.len() == y.len() && [weight, bias].into_iter().flatten().all(|values| values.len() == y.len()),
        "rows of one length"
    );
    let mut i = 0;
    while i < y.len() {
        let count = (y.len() - i).min(S::LANES);
        // SAFETY: i + count is at most the length of each.
        unsafe {
            let mut value = simd.mul(simd.sub(load(simd, x.as_ptr().add(i), count), centre), scale);
            if let Some(weight) = weight {
                value = simd.mul(value, load(simd, weight.as_ptr().add(i), count));
            }
            if let Some(bias) = bias {
                value = simd.add(value, load(simd, bias.as_ptr().add(i), count));
            }
            store(simd, value, y.as_mut_ptr().add(i), count);
        }
        i += S::LANES;
    }
}

/// What turns the gradient for a norm's output into that for its input; see [`Slopes::apply`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Slopes {
    pub centre: f32,
    pub scale: f32,
    pub slope: f32,
    pub shift: f32,
}

impl Slopes {
    /// From the mean and the scale of the norm, its weight (that of all elements; 1 for weights of elements), and the means of `dy * weight`
    /// and of `dy * weight * (x - mean)`: with `n = (x - mean) * scale`,
    /// `dx = scale * (dy * weight - mean(dy * weight) - n * mean(dy * weight * n))`.
    #[inline(always)]
    pub(super) fn new(mean: f32, scale: f32, weight: f32, mean_of_dy: f64, mean_of_products: f64) -> Self {
        let exact = f64::from(scale);
        Slopes {
            centre: mean,
            scale: (f64::from(weight) * exact) as f32,
            slope: (exact * exact * exact * mean_of_products) as f32,
            shift: (exact * mean_of_dy) as f32,
        }
    }

    /// `dx = dy * weight * scale - (x - centre) * slope - shift`, with 1 for weights of elements that are not given.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(self, simd: S, dy: &[f32], weight: Option<&[f32]>, x: &[f32], dx: &mut [f32]) {
        let (centre, scale) = (simd.splat(self.centre), simd.splat(self.scale));
        let (slope, shift) = (simd.splat(self.slope), simd.splat(-self.shift));
        assert!(
            dy.len() == dx.len() && x.len() == dx.len() && weight.is_none_or(|weight| weight.len() == dx.len()),
            "rows of one length"
        );
        let mut i = 0;
        while i < dx.len() {
            let count = (dx.len() - i).min(S::LANES);
            // SAFETY: i + count is at most the length of each.
            unsafe {
                let mut g = load(simd, dy.as_ptr().add(i), count);
                if let Some(weight) = weight {
                    g = simd.mul(g, load(simd, weight.as_ptr().add(i), count));
                }
                let centred = simd.sub(load(simd, x.as_ptr().add(i), count), centre);
                let value = simd.neg_mul_add(centred, slope, simd.mul_add(g, scale, shift));
                store(simd, value, dx.as_mut_ptr().add(i), count);
            }
            i += S::LANES;
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{data, isas};
    use crate::simd::{Kernel, dispatch};

    struct Both<'a>(Rows<'a>, Rows<'a>);
    impl Kernel for Both<'_> {
        type Output = (Moments, (f64, f64), f64);
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let moments = moments(simd, self.0);
            (moments, products(simd, self.1, None, self.0, moments.mean as f32), sum(simd, self.0.row(0)))
        }
    }

    fn close(got: f64, want: f64, scale: f64) -> bool {
        (got - want).abs() <= 2e-7 * scale
    }

    #[test]
    fn agree_with_double_precision() {
        for (len, count) in [(1, 1), (1, 5000), (3, 7), (49, 100), (2048, 3), (2049, 2), (10_000, 2), (64, 64)] {
            for offset in [0.0, 100.0, -3000.0] {
                let stride = len + 5;
                let x: Vec<f32> = data(1, stride * count).into_iter().map(|x| x + offset).collect();
                let g = data(2, stride * count);
                let rows = Rows::new(&x, 2, stride, len);
                let all = |data: &[f32]| -> Vec<f64> {
                    data.chunks(stride).flat_map(|row| row[2..2 + len].iter().map(|&x| f64::from(x))).collect()
                };
                let (x64, g64) = (all(&x), all(&g));
                let n = x64.len() as f64;
                let mean = x64.iter().sum::<f64>() / n;
                let squares: f64 = x64.iter().map(|x| (x - mean).powi(2)).sum();
                for &isa in isas() {
                    let (moments, products, sum) = dispatch(isa, Both(rows, Rows::new(&g, 2, stride, len)));
                    assert_eq!(moments.count, n);
                    assert!(close(moments.mean, mean, 1.0), "{isa}, {len} x {count}: {moments:?}, not {mean}");
                    assert!(close(moments.squares, squares, n), "{isa}, {len} x {count}: {moments:?}, not {squares}");
                    let centre = f64::from(moments.mean as f32);
                    let dot: f64 = g64.iter().zip(&x64).map(|(g, x)| g * (x - centre)).sum();
                    assert!(close(products.0, g64.iter().sum(), n), "{isa}, {len} x {count}: {products:?}");
                    assert!(close(products.1, dot, n), "{isa}, {len} x {count}: {products:?}, not {dot}");
                    let first: f64 = x64[..len].iter().sum();
                    assert!(close(sum, first, len as f64 * (1.0 + f64::from(offset.abs()))), "{isa}, {len}: {sum}");
                }
            }
        }
    }

    struct Inverse(f64, f32);
    impl Kernel for Inverse {
        type Output = f64;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> f64 {
            inverse_deviation(simd, self.0, self.1)
        }
    }

    #[test]
    fn inverse_deviation_is_accurate() {
        for &isa in isas() {
            for variance in [0.0, 1e-20, 1e-5, 0.3, 1.0, 7.7e3, 1e30] {
                let want = 1.0 / (variance + f64::from(1e-5f32)).sqrt();
                let got = dispatch(isa, Inverse(variance, 1e-5));
                assert!((got - want).abs() <= 1e-12 * want, "{isa}: {got}, not {want}");
            }
            assert_eq!(dispatch(isa, Inverse(0.0, 0.0)), f64::INFINITY);
            assert!(dispatch(isa, Inverse(f64::NAN, 1e-5)).is_nan());
        }
    }
}
