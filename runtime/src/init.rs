//! First values of parameters: each number is a function of the seed, the parameter's name and its place in it.

use crate::info::Init;
use crate::kernels::{Random, math};
use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Fills one parameter. Renaming, adding or removing other layers changes nothing in it.
pub(crate) fn fill(init: Init, seed: u64, name: &str, floats: &mut [f32]) {
    let key = Random::new(seed).stream(hash(name));
    match init {
        Init::Constant(value) => floats.fill(value),
        Init::Uniform(bound) => {
            for (i, float) in (0..).zip(floats) {
                *float = bound * (2.0 * Random::uniform(key, i) - 1.0);
            }
        }
        Init::Normal(deviation) => {
            for (i, pair) in (0..).zip(floats.chunks_mut(2)) {
                for (float, normal) in pair.iter_mut().zip(normal_pair(key, i)) {
                    *float = deviation * normal;
                }
            }
        }
    }
}

/// Two independent numbers of the standard normal distribution: the i-th pair of the stream `key`.
///
/// Marsaglia's polar method ("Improper use of the polar method", 1964): a point in the unit circle, at a distance of
/// sqrt(s) from its centre, times sqrt(-2 ln(s) / s). It needs no sine, and the logarithm is our own, so that no machine's
/// library makes other numbers.
fn normal_pair(key: u64, i: u64) -> [f32; 2] {
    // The k-th try draws from a range of its own; one in 4 / pi succeeds.
    (0..).find_map(|k: u64| polar(key, i.wrapping_mul(2).wrapping_add(k << 48))).expect("one try succeeds")
}

fn polar(key: u64, i: u64) -> Option<[f32; 2]> {
    let [u, v] = [i, i + 1].map(|i| 2.0 * Random::uniform(key, i) - 1.0);
    let s = u * u + v * v;
    if s >= 1.0 || s == 0.0 {
        return None;
    }
    let factor = dispatch(Isa::Scalar, Factor(s));
    Some([u * factor, v * factor])
}

/// `sqrt(-2 ln(s) / s)`, on the instruction set that every machine has.
struct Factor(f32);

impl Kernel for Factor {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let s = simd.splat(self.0);
        let squared = simd.div(simd.mul(simd.splat(-2.0), math::ln(simd, s)), s);
        simd.reduce_max(simd.sqrt(squared))
    }
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits: the same on every machine and in every version.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    fn filled(init: Init, seed: u64, name: &str, length: usize) -> Vec<f32> {
        let mut floats = vec![f32::NAN; length];
        fill(init, seed, name, &mut floats);
        floats
    }

    /// Mean, variance and kurtosis (a uniform distribution's is 1.8, a normal one's 3).
    fn moments(floats: &[f32]) -> [f64; 3] {
        let mean_of = |power: i32, center: f64| {
            floats.iter().map(|x| (f64::from(*x) - center).powi(power)).sum::<f64>() / floats.len() as f64
        };
        let mean = mean_of(1, 0.0);
        let variance = mean_of(2, mean);
        [mean, variance, mean_of(4, mean) / (variance * variance)]
    }

    #[test]
    fn distributions_have_their_moments() {
        let [mean, variance, kurtosis] = moments(&filled(Init::Uniform(0.3), 1, "conv1.weight", 100_000));
        assert!(mean.abs() < 2e-3 && (variance - 0.03).abs() < 3e-4 && (kurtosis - 1.8).abs() < 0.02);
        let [mean, variance, kurtosis] = moments(&filled(Init::Normal(0.5), 1, "conv1.weight", 100_001));
        assert!(mean.abs() < 6e-3 && (variance - 0.25).abs() < 5e-3 && (kurtosis - 3.0).abs() < 0.08);
        // No number of a pair says anything about the other, nor about the next pair.
        let floats = filled(Init::Normal(1.0), 3, "conv2.weight", 100_000);
        for lag in [1, 2] {
            let products = floats.iter().zip(&floats[lag..]).map(|(a, b)| f64::from(a * b)).sum::<f64>() / 1e5;
            assert!(products.abs() < 0.015, "{products}");
        }
        assert_eq!(filled(Init::Constant(0.25), 1, "prelu1.weight", 3), [0.25; 3]);
    }

    #[test]
    fn uniform_numbers_stay_within_their_bound_and_reach_near_it() {
        let floats = filled(Init::Uniform(0.3), 7, "fc1.weight", 10_000);
        assert!(floats.iter().all(|x| x.abs() <= 0.3));
        assert!(floats.iter().any(|x| *x > 0.29) && floats.iter().any(|x| *x < -0.29));
    }

    #[test]
    fn seeds_and_names_have_numbers_of_their_own() {
        let a = filled(Init::Uniform(1.0), 1, "fc1.weight", 64);
        assert_eq!(a, filled(Init::Uniform(1.0), 1, "fc1.weight", 64));
        for (seed, name) in [(2, "fc1.weight"), (1, "fc2.weight")] {
            let b = filled(Init::Uniform(1.0), seed, name, 64);
            assert!(a.iter().zip(&b).all(|(a, b)| a != b), "{seed} {name}");
        }
    }
}
