//! Arrays of four floats in plain Rust: what runs where nothing better is known.

use super::{Isa, Kernel, Simd, block_methods, sealed::Sealed};

/// Plain Rust in arrays of four.
#[derive(Clone, Copy, Debug)]
pub struct Scalar(());

impl Scalar {
    /// Every machine has it.
    pub const fn new() -> Self {
        Scalar(())
    }
}

impl Default for Scalar {
    fn default() -> Self {
        Scalar::new()
    }
}

impl Sealed for Scalar {}

/// The four lanes written out: a closure over `core::array::from_fn` is not always inlined.
macro_rules! lanes {
    ($i:ident => $value:expr) => {
        [
            {
                const $i: usize = 0;
                $value
            },
            {
                const $i: usize = 1;
                $value
            },
            {
                const $i: usize = 2;
                $value
            },
            {
                const $i: usize = 3;
                $value
            },
        ]
    };
}

/// Ties to even. Adding 1.5 * 2^23 leaves no bits below the unit, in the rounding mode of the machine.
#[inline(always)]
fn round(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    // From 2^22 on the sum would leave the binade of MAGIC; the floats from 2^23 on are whole, and those between have halves:
    // they are rounded by 2^23 alone.
    let magnitude = x.abs();
    let rounded = if magnitude < 4_194_304.0 {
        (magnitude + MAGIC) - MAGIC
    } else if magnitude < 8_388_608.0 {
        (magnitude + 8_388_608.0) - 8_388_608.0
    } else {
        return x; // also infinite or NaN
    };
    rounded.copysign(x)
}

#[inline(always)]
fn floor(x: f32) -> f32 {
    let rounded = round(x);
    if rounded > x { rounded - 1.0 } else { rounded }
}

#[cfg(feature = "std")]
#[inline(always)]
fn sqrt(x: f32) -> f32 {
    x.sqrt()
}

/// Newton's iteration in f64. `core` has no square root.
#[cfg(any(test, not(feature = "std")))]
#[cfg_attr(feature = "std", allow(dead_code))]
fn sqrt_newton(x: f32) -> f32 {
    if !(x > 0.0 && x < f32::INFINITY) {
        return if x < 0.0 { f32::NAN } else { x }; // zero of either sign, infinity, NaN
    }
    let x = f64::from(x);
    // Halving the biased exponent gives a start within 6 %; the error squares: 2e-3, 2e-6, 2e-12, 1e-16.
    let mut y = f64::from_bits((x.to_bits() >> 1) + (1023 << 51));
    for _ in 0..4 {
        y = 0.5 * (y + x / y);
    }
    y as f32
}

#[cfg(not(feature = "std"))]
use sqrt_newton as sqrt;

/// Runs `kernel` without an instruction set. A function of its own, and not a part of every `dispatch`: that is compiled where it is
/// called, and the kernel would be there each time.
#[inline(never)]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Scalar::new())
}

impl Simd for Scalar {
    type V = [f32; 4];
    type I = [i32; 4];
    type M = [bool; 4];

    const LANES: usize = 4;
    const REGISTERS: usize = 16;
    const ISA: Isa = Isa::Scalar;

    block_methods!(0, 1, 2, 3);

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::V {
        // SAFETY: the caller's promise of four floats; an array's alignment is that of its elements.
        unsafe { *p.cast::<[f32; 4]>() }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: Self::V, p: *mut f32) {
        // SAFETY: as above.
        unsafe { *p.cast::<[f32; 4]>() = v }
    }
    #[inline(always)]
    unsafe fn load_ptr_partial(self, p: *const f32, count: usize) -> Self::V {
        // SAFETY: the caller's promise: lane I is read only if I < count.
        lanes!(I => if I < count { unsafe { *p.add(I) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_ptr_partial(self, v: Self::V, p: *mut f32, count: usize) {
        // SAFETY: the caller's promise: lane I is written only if I < count.
        lanes!(I => if I < count { unsafe { *p.add(I) = v[I] } });
    }
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(I => a[I] + b[I])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(I => a[I] - b[I])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(I => a[I] * b[I])
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(I => a[I] / b[I])
    }
    // Not `f32::mul_add`: without the instruction it is a call of some 20 ns.
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        lanes!(I => a[I] * b[I] + c[I])
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        lanes!(I => c[I] - a[I] * b[I])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(I => if a[I] > b[I] { a[I] } else { b[I] })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        lanes!(I => if a[I] < b[I] { a[I] } else { b[I] })
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        lanes!(I => sqrt(a[I]))
    }
    #[inline(always)]
    fn floor(self, a: Self::V) -> Self::V {
        lanes!(I => floor(a[I]))
    }
    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        lanes!(I => round(a[I]))
    }

    #[inline(always)]
    fn lt(self, a: Self::V, b: Self::V) -> Self::M {
        lanes!(I => a[I] < b[I])
    }
    #[inline(always)]
    fn le(self, a: Self::V, b: Self::V) -> Self::M {
        lanes!(I => a[I] <= b[I])
    }
    #[inline(always)]
    fn eq(self, a: Self::V, b: Self::V) -> Self::M {
        lanes!(I => a[I] == b[I])
    }
    #[inline(always)]
    fn is_nan(self, a: Self::V) -> Self::M {
        lanes!(I => a[I].is_nan())
    }
    #[inline(always)]
    fn select(self, mask: Self::M, yes: Self::V, no: Self::V) -> Self::V {
        lanes!(I => if mask[I] { yes[I] } else { no[I] })
    }
    #[inline(always)]
    fn and_m(self, a: Self::M, b: Self::M) -> Self::M {
        lanes!(I => a[I] & b[I])
    }
    #[inline(always)]
    fn or_m(self, a: Self::M, b: Self::M) -> Self::M {
        lanes!(I => a[I] | b[I])
    }
    #[inline(always)]
    fn mask_bits(self, mask: Self::M) -> u32 {
        u32::from(mask[0]) | u32::from(mask[1]) << 1 | u32::from(mask[2]) << 2 | u32::from(mask[3]) << 3
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [x; 4]
    }
    #[inline(always)]
    fn iota(self) -> Self::I {
        [0, 1, 2, 3]
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanes!(I => a[I].wrapping_add(b[I]))
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanes!(I => a[I].wrapping_sub(b[I]))
    }
    #[inline(always)]
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanes!(I => a[I].wrapping_mul(b[I]))
    }
    #[inline(always)]
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanes!(I => a[I] & b[I])
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanes!(I => a[I] | b[I])
    }
    #[inline(always)]
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I {
        lanes!(I => a[I] ^ b[I])
    }
    #[inline(always)]
    fn shl_i<const N: i32>(self, a: Self::I) -> Self::I {
        lanes!(I => a[I] << N)
    }
    #[inline(always)]
    fn shr_i<const N: i32>(self, a: Self::I) -> Self::I {
        lanes!(I => ((a[I] as u32) >> N) as i32)
    }
    #[inline(always)]
    fn sar_i<const N: i32>(self, a: Self::I) -> Self::I {
        lanes!(I => a[I] >> N)
    }
    #[inline(always)]
    fn gt_i(self, a: Self::I, b: Self::I) -> Self::M {
        lanes!(I => a[I] > b[I])
    }
    #[inline(always)]
    fn eq_i(self, a: Self::I, b: Self::I) -> Self::M {
        lanes!(I => a[I] == b[I])
    }
    #[inline(always)]
    fn to_int(self, a: Self::V) -> Self::I {
        lanes!(I => round(a[I]) as i32)
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::V {
        lanes!(I => a[I] as f32)
    }
    #[inline(always)]
    fn to_bits(self, a: Self::V) -> Self::I {
        lanes!(I => a[I].to_bits() as i32)
    }
    #[inline(always)]
    fn from_bits(self, a: Self::I) -> Self::V {
        lanes!(I => f32::from_bits(a[I] as u32))
    }

    #[inline(always)]
    fn reduce_sum(self, a: Self::V) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn reduce_max(self, a: Self::V) -> f32 {
        a[0].max(a[2]).max(a[1].max(a[3]))
    }
    #[inline(always)]
    fn interleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        ([a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]])
    }
    #[inline(always)]
    fn deinterleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        ([a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]])
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn rounding_agrees_with_the_standard_library() {
        let mut bits = 0u32;
        loop {
            let x = f32::from_bits(bits);
            assert_eq!(round(x).to_bits(), if x.is_nan() { bits } else { x.round_ties_even().to_bits() }, "{x}");
            assert_eq!(floor(x).to_bits(), if x.is_nan() { bits } else { x.floor().to_bits() }, "{x}");
            let root = sqrt_newton(x);
            assert!(root.to_bits() == x.sqrt().to_bits() || (root.is_nan() && x.sqrt().is_nan()), "{x}");
            // A prime step visits every exponent and both signs with some 65,000 numbers.
            bits = match bits.checked_add(65_537) {
                Some(next) => next,
                None => break,
            };
        }
        for x in [0.5, 1.5, 2.5, -0.5, -0.3, 4_194_303.5, 4_194_304.5, 8_388_607.5, 8_388_609.0] {
            assert_eq!(round(x).to_bits(), f32::round_ties_even(x).to_bits(), "{x}");
            assert_eq!(floor(x).to_bits(), x.floor().to_bits(), "{x}");
        }
    }
}
