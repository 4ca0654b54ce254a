//! NEON (Advanced SIMD of AArch64): four floats, 32 registers.

use super::{Isa, Kernel, Simd, block_methods, sealed::Sealed};
use core::arch::aarch64::*;

/// The proof that the machine has NEON.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Neon {
    /// The proof, if the machine has it.
    #[inline]
    pub fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::arch::is_aarch64_feature_detected!("neon");
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = "neon");
        has.then_some(Neon(()))
    }
}

impl Sealed for Neon {}

/// Runs `kernel` with the instruction set enabled.
#[inline]
pub(super) fn run<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
    #[target_feature(enable = "neon")]
    fn enabled<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
        kernel.run(simd)
    }
    // SAFETY: `simd` proves the feature.
    unsafe { enabled(simd, kernel) }
}

macro_rules! methods {
    ($(fn $name:ident $(<const $n:ident: i32>)? ($($arg:ident: $type:ty),*) -> $result:ty { $body:expr })*) => {$(
        #[inline(always)]
        fn $name $(<const $n: i32>)? (self, $($arg: $type),*) -> $result {
            // SAFETY: `self` proves NEON, and these intrinsics ask for nothing else.
            unsafe { $body }
        }
    )*};
}

impl Simd for Neon {
    type V = float32x4_t;
    type I = int32x4_t;
    type M = uint32x4_t;

    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    const ISA: Isa = Isa::Neon;

    block_methods!(0, 1, 2, 3);

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "neon")]
        fn enabled<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves the feature.
        unsafe { enabled(f) }
    }

    #[inline(always)]
    unsafe fn splat_ptr(self, p: *const f32) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { vld1q_dup_f32(p) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::V {
        // SAFETY: the caller's promise; the load needs no alignment beyond a float's.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: Self::V, p: *mut f32) {
        // SAFETY: the caller's promise; the store needs no alignment beyond a float's.
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn load_ptr_partial(self, p: *const f32, count: usize) -> Self::V {
        // SAFETY: the caller's promise: element i is read only if i < count.
        let at = |i: usize| if i < count { unsafe { *p.add(i) } } else { 0.0 };
        let lanes = [at(0), at(1), at(2), at(3)];
        // SAFETY: four floats.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_ptr_partial(self, v: Self::V, p: *mut f32, count: usize) {
        // SAFETY: the caller's promise: element i is written only if i < count.
        unsafe {
            if count > 0 {
                vst1q_lane_f32::<0>(p, v);
            }
            if count > 1 {
                vst1q_lane_f32::<1>(p.add(1), v);
            }
            if count > 2 {
                vst1q_lane_f32::<2>(p.add(2), v);
            }
            if count > 3 {
                vst1q_lane_f32::<3>(p.add(3), v);
            }
        }
    }
    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        // SAFETY: a hint, which no address makes fault. (The intrinsic is not stable yet.)
        unsafe {
            core::arch::asm!("prfm pldl1keep, [{}]", in(reg) p, options(nostack, readonly, preserves_flags));
        }
    }
    #[inline(always)]
    fn prefetch_far(self, p: *const f32) {
        // SAFETY: as above.
        unsafe {
            core::arch::asm!("prfm pldl2keep, [{}]", in(reg) p, options(nostack, readonly, preserves_flags));
        }
    }

    methods! {
        fn splat(x: f32) -> Self::V { vdupq_n_f32(x) }

        fn add(a: Self::V, b: Self::V) -> Self::V { vaddq_f32(a, b) }
        fn sub(a: Self::V, b: Self::V) -> Self::V { vsubq_f32(a, b) }
        fn mul(a: Self::V, b: Self::V) -> Self::V { vmulq_f32(a, b) }
        fn div(a: Self::V, b: Self::V) -> Self::V { vdivq_f32(a, b) }
        fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V { vfmaq_f32(c, a, b) }
        fn neg_mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V { vfmsq_f32(c, a, b) }
        // FMAX and FMIN give NaN if either is; the trait's `max` and `min` give the second operand.
        fn max(a: Self::V, b: Self::V) -> Self::V { vbslq_f32(vcgtq_f32(a, b), a, b) }
        fn min(a: Self::V, b: Self::V) -> Self::V { vbslq_f32(vcltq_f32(a, b), a, b) }
        fn max_nan(a: Self::V, b: Self::V) -> Self::V { vmaxq_f32(a, b) }
        fn min_nan(a: Self::V, b: Self::V) -> Self::V { vminq_f32(a, b) }
        fn sqrt(a: Self::V) -> Self::V { vsqrtq_f32(a) }
        fn floor(a: Self::V) -> Self::V { vrndmq_f32(a) }
        fn round(a: Self::V) -> Self::V { vrndnq_f32(a) }
        fn neg(a: Self::V) -> Self::V { vnegq_f32(a) }
        fn abs(a: Self::V) -> Self::V { vabsq_f32(a) }

        fn lt(a: Self::V, b: Self::V) -> Self::M { vcltq_f32(a, b) }
        fn le(a: Self::V, b: Self::V) -> Self::M { vcleq_f32(a, b) }
        fn eq(a: Self::V, b: Self::V) -> Self::M { vceqq_f32(a, b) }
        fn is_nan(a: Self::V) -> Self::M { vmvnq_u32(vceqq_f32(a, a)) }
        fn select(mask: Self::M, yes: Self::V, no: Self::V) -> Self::V { vbslq_f32(mask, yes, no) }
        fn select_i(mask: Self::M, yes: Self::I, no: Self::I) -> Self::I { vbslq_s32(mask, yes, no) }
        fn and_m(a: Self::M, b: Self::M) -> Self::M { vandq_u32(a, b) }
        fn or_m(a: Self::M, b: Self::M) -> Self::M { vorrq_u32(a, b) }
        fn mask_bits(mask: Self::M) -> u32 { vaddvq_u32(vandq_u32(mask, vld1q_u32([1, 2, 4, 8].as_ptr()))) }

        fn splat_i(x: i32) -> Self::I { vdupq_n_s32(x) }
        fn iota() -> Self::I { vld1q_s32([0, 1, 2, 3].as_ptr()) }
        fn add_i(a: Self::I, b: Self::I) -> Self::I { vaddq_s32(a, b) }
        fn sub_i(a: Self::I, b: Self::I) -> Self::I { vsubq_s32(a, b) }
        fn mul_i(a: Self::I, b: Self::I) -> Self::I { vmulq_s32(a, b) }
        fn and_i(a: Self::I, b: Self::I) -> Self::I { vandq_s32(a, b) }
        fn or_i(a: Self::I, b: Self::I) -> Self::I { vorrq_s32(a, b) }
        fn xor_i(a: Self::I, b: Self::I) -> Self::I { veorq_s32(a, b) }
        fn shl_i<const N: i32>(a: Self::I) -> Self::I { vshlq_n_s32::<N>(a) }
        fn shr_i<const N: i32>(a: Self::I) -> Self::I {
            vreinterpretq_s32_u32(vshrq_n_u32::<N>(vreinterpretq_u32_s32(a)))
        }
        fn sar_i<const N: i32>(a: Self::I) -> Self::I { vshrq_n_s32::<N>(a) }
        fn gt_i(a: Self::I, b: Self::I) -> Self::M { vcgtq_s32(a, b) }
        fn eq_i(a: Self::I, b: Self::I) -> Self::M { vceqq_s32(a, b) }
        fn to_int(a: Self::V) -> Self::I { vcvtnq_s32_f32(a) }
        fn to_float(a: Self::I) -> Self::V { vcvtq_f32_s32(a) }
        fn to_bits(a: Self::V) -> Self::I { vreinterpretq_s32_f32(a) }
        fn from_bits(a: Self::I) -> Self::V { vreinterpretq_f32_s32(a) }

        fn reduce_sum(a: Self::V) -> f32 { vaddvq_f32(a) }
        fn reduce_max(a: Self::V) -> f32 { vmaxvq_f32(a) }
        fn reduce_max_nan(a: Self::V) -> f32 { vmaxvq_f32(a) }
        fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) { (vzip1q_f32(a, b), vzip2q_f32(a, b)) }
        fn deinterleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) { (vuzp1q_f32(a, b), vuzp2q_f32(a, b)) }
    }
}
