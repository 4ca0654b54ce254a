//! Random numbers that are a function of seed, step, layer and element, so that they depend neither on the order in which elements are
//! drawn nor on how many threads draw them.

use crate::simd::Simd;

/// A seed and the number of the training step: together with a layer and an element they determine a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Random {
    /// Chosen by the user.
    pub seed: u64,
    /// Counts the training steps.
    pub step: u64,
}

/// The odd multipliers of the 32-bit finaliser "lowbias32" (bias 0.17, found by search: <https://nullprogram.com/blog/2018/07/31/>).
const MULTIPLIERS: [u32; 2] = [0x7feb_352d, 0x846c_a68b];

/// SplitMix64's finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn mix32(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(MULTIPLIERS[0]);
    x = (x ^ (x >> 15)).wrapping_mul(MULTIPLIERS[1]);
    x ^ (x >> 16)
}

impl Random {
    /// Numbers from this seed, at step 0.
    pub const fn new(seed: u64) -> Self {
        Random { seed, step: 0 }
    }

    /// The key of a layer's numbers in this step.
    pub fn stream(&self, layer: u64) -> u64 {
        // The golden ratio's multiples keep seed, step and layer apart before each mixing.
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut key = mix64(self.seed.wrapping_add(GOLDEN));
        key = mix64(key ^ self.step.wrapping_mul(GOLDEN).wrapping_add(GOLDEN));
        mix64(key ^ layer.wrapping_mul(GOLDEN).wrapping_add(GOLDEN))
    }

    /// 32 random bits: element `i` of the stream `key`.
    pub fn bits(key: u64, i: u64) -> u32 {
        let [low, high] = halves(key, i);
        mix32(mix32(i as u32 ^ low) ^ high)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24: element `i` of the stream `key`.
    pub fn uniform(key: u64, i: u64) -> f32 {
        (Self::bits(key, i) >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// [`Random::uniform`] of the elements `i`, `i + 1`, …, one per lane; `i % LANES` must be 0.
    #[inline(always)]
    pub fn uniform_lanes<S: Simd>(simd: S, key: u64, i: u64) -> S::V {
        debug_assert!(i.is_multiple_of(S::LANES as u64));
        // A multiple of LANES has room for the lanes below the 2^32 where the halves change.
        let [low, high] = halves(key, i).map(|half| simd.splat_i(half as i32));
        let mut x = simd.xor_i(simd.add_i(simd.splat_i(i as u32 as i32), simd.iota()), low);
        x = mix32_lanes(simd, x);
        x = mix32_lanes(simd, simd.xor_i(x, high));
        simd.mul(simd.to_float(simd.shr_i::<8>(x)), simd.splat(1.0 / 16_777_216.0))
    }
}

/// The key's halves, of which each run of 2^32 elements has others.
#[inline(always)]
fn halves(key: u64, i: u64) -> [u32; 2] {
    let key = if i >> 32 == 0 { key } else { mix64(key ^ (i >> 32)) };
    [key as u32, (key >> 32) as u32]
}

#[inline(always)]
fn mix32_lanes<S: Simd>(simd: S, mut x: S::I) -> S::I {
    let [a, b] = MULTIPLIERS.map(|m| simd.splat_i(m as i32));
    x = simd.mul_i(simd.xor_i(x, simd.shr_i::<16>(x)), a);
    x = simd.mul_i(simd.xor_i(x, simd.shr_i::<15>(x)), b);
    simd.xor_i(x, simd.shr_i::<16>(x))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel, dispatch};

    struct Lanes(u64, u64);
    impl Kernel for Lanes {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let mut out = [f32::NAN; 16];
            let first = self.1 / 16 * 16;
            simd.store(Random::uniform_lanes(simd, self.0, first), &mut out);
            for (i, &x) in out[..S::LANES].iter().enumerate() {
                assert_eq!(x, Random::uniform(self.0, first + i as u64), "{}", S::ISA);
            }
        }
    }

    #[test]
    fn lanes_draw_what_elements_draw() {
        for &isa in Isa::detected() {
            for i in [0, 16, 4096, (1 << 32) - 16, 1 << 32, (5 << 32) + 320] {
                for layer in 0..4 {
                    dispatch(isa, Lanes(Random { seed: 42, step: 7 }.stream(layer), i));
                }
            }
        }
    }

    #[test]
    fn numbers_are_uniform_and_independent() {
        const N: u64 = 1 << 16;
        for (seed, step, layer) in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (42, 1000, 17)] {
            let key = Random { seed, step }.stream(layer);
            let next = Random { seed, step: step + 1 }.stream(layer);
            let (mut sum, mut beside, mut across, mut ones) = (0.0, 0.0, 0.0, [0u32; 32]);
            for i in 0..N {
                let centred = |key, i| f64::from(Random::uniform(key, i)) - 0.5;
                let x = centred(key, i);
                assert!((-0.5..0.5).contains(&x));
                sum += x;
                beside += x * centred(key, i + 1);
                across += x * centred(next, i);
                for (b, count) in ones.iter_mut().enumerate() {
                    *count += Random::bits(key, i) >> b & 1;
                }
            }
            // Standard deviations: sqrt(N / 12) = 74, sqrt(N) / 12 = 21, sqrt(N) / 2 = 128; five of them are allowed.
            assert!(sum.abs() < 370.0 && beside.abs() < 107.0 && across.abs() < 107.0, "{sum} {beside} {across}");
            assert!(ones.iter().all(|&count| count.abs_diff(N as u32 / 2) < 640), "{ones:?}");
        }
    }

    #[test]
    fn seeds_steps_and_layers_are_kept_apart() {
        let mut keys: Vec<u64> = Vec::new();
        for seed in 0..10 {
            for step in 0..10 {
                keys.extend((0..10).map(|layer| Random { seed, step }.stream(layer)));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 1000);
    }
}
