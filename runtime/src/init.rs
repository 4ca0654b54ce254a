//! First values of parameters: each number is a function of the seed, the parameter's name and its place in it.

use crate::info::Init;
use crate::kernels::Random;

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
            // Box-Muller: two uniform numbers make two independent normal ones.
            for (i, pair) in (0..).step_by(2).zip(floats.chunks_mut(2)) {
                // 1 - [0, 1) is (0, 1]: its logarithm is finite.
                let radius = (-2.0 * f64::from(1.0 - Random::uniform(key, i)).ln()).sqrt();
                let (sin, cos) = (core::f64::consts::TAU * f64::from(Random::uniform(key, i + 1))).sin_cos();
                for (float, direction) in pair.iter_mut().zip([cos, sin]) {
                    *float = (f64::from(deviation) * radius * direction) as f32;
                }
            }
        }
    }
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits: the same on every machine and in every version.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
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
