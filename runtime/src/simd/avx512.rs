//! AVX-512 (F, VL, BW, DQ): sixteen floats, masks in registers of their own.

use super::{Isa, Kernel, Simd, block_methods, sealed::Sealed};
use core::arch::x86_64::*;

/// The proof that the machine has AVX-512 F, VL, BW and DQ, AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// The proof, if the machine has them.
    #[inline]
    pub fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && super::Avx2::new().is_some();
        #[cfg(not(feature = "std"))]
        let has = cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512vl",
            target_feature = "avx512bw",
            target_feature = "avx512dq",
            target_feature = "fma"
        ));
        has.then_some(Avx512(()))
    }
}

impl Sealed for Avx512 {}

/// Runs `kernel` with the instruction set enabled.
#[inline]
pub(super) fn run<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    fn enabled<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
        kernel.run(simd)
    }
    // SAFETY: `simd` proves the features.
    unsafe { enabled(simd, kernel) }
}

/// Lanes below `count`, for `count` in 0..=16.
#[inline(always)]
fn mask(count: usize) -> __mmask16 {
    debug_assert!(count <= 16);
    ((1u32 << count) - 1) as __mmask16
}

macro_rules! methods {
    ($(fn $name:ident $(<const $n:ident: i32>)? ($($arg:ident: $type:ty),*) -> $result:ty { $body:expr })*) => {$(
        #[inline(always)]
        fn $name $(<const $n: i32>)? (self, $($arg: $type),*) -> $result {
            // SAFETY: `self` proves the features, and these intrinsics ask for nothing else.
            unsafe { $body }
        }
    )*};
}

impl Simd for Avx512 {
    type V = __m512;
    type I = __m512i;
    type M = __mmask16;

    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const ISA: Isa = Isa::Avx512;

    block_methods!(0);

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        fn enabled<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves the features.
        unsafe { enabled(f) }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::V {
        // SAFETY: the caller's promise; the load is unaligned.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: Self::V, p: *mut f32) {
        // SAFETY: the caller's promise; the store is unaligned.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_ptr_partial(self, p: *const f32, count: usize) -> Self::V {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm512_maskz_loadu_ps(mask(count), p) }
    }
    #[inline(always)]
    unsafe fn store_ptr_partial(self, v: Self::V, p: *mut f32, count: usize) {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(p, mask(count), v) }
    }
    #[inline(always)]
    unsafe fn store_ptr_lanes(self, v: Self::V, p: *mut f32, start: usize, end: usize) {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm512_mask_storeu_ps(p.wrapping_sub(start), mask(end) & !mask(start), v) }
    }
    /// An estimate of the reciprocal with 14 bits, one step of Newton's iteration for it and one for the quotient: 5 operations in place
    /// of a division, which takes 16 cycles.
    #[inline(always)]
    fn quotient(self, a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: `self` proves AVX-512 F.
        let r = unsafe { _mm512_rcp14_ps(b) };
        // Off by 2^-14 of it; the remainder is exact but for its rounding, and 2^-14 of what it brings is 2^-28 of the quotient.
        let q = self.mul(a, r);
        self.mul_add(r, self.neg_mul_add(b, q, a), q)
    }
    #[inline(always)]
    fn and_m(self, a: Self::M, b: Self::M) -> Self::M {
        a & b
    }
    #[inline(always)]
    fn or_m(self, a: Self::M, b: Self::M) -> Self::M {
        a | b
    }
    #[inline(always)]
    fn mask_bits(self, mask: Self::M) -> u32 {
        u32::from(mask)
    }
    #[inline(always)]
    fn first(self, count: usize) -> Self::M {
        mask(count.min(16))
    }

    methods! {
        fn splat(x: f32) -> Self::V { _mm512_set1_ps(x) }
        fn prefetch(p: *const f32) -> () { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        fn prefetch_far(p: *const f32) -> () { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }

        fn add(a: Self::V, b: Self::V) -> Self::V { _mm512_add_ps(a, b) }
        fn sub(a: Self::V, b: Self::V) -> Self::V { _mm512_sub_ps(a, b) }
        fn mul(a: Self::V, b: Self::V) -> Self::V { _mm512_mul_ps(a, b) }
        fn div(a: Self::V, b: Self::V) -> Self::V { _mm512_div_ps(a, b) }
        fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V { _mm512_fmadd_ps(a, b, c) }
        fn neg_mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V { _mm512_fnmadd_ps(a, b, c) }
        fn max(a: Self::V, b: Self::V) -> Self::V { _mm512_max_ps(a, b) }
        fn min(a: Self::V, b: Self::V) -> Self::V { _mm512_min_ps(a, b) }
        fn sqrt(a: Self::V) -> Self::V { _mm512_sqrt_ps(a) }
        fn floor(a: Self::V) -> Self::V { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a) }
        fn round(a: Self::V) -> Self::V { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        fn scale2(a: Self::V, n: Self::V) -> Self::V { _mm512_scalef_ps(a, n) }

        fn lt(a: Self::V, b: Self::V) -> Self::M { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
        fn le(a: Self::V, b: Self::V) -> Self::M { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b) }
        fn eq(a: Self::V, b: Self::V) -> Self::M { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
        fn is_nan(a: Self::V) -> Self::M { _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a) }
        fn select(mask: Self::M, yes: Self::V, no: Self::V) -> Self::V { _mm512_mask_blend_ps(mask, no, yes) }

        fn splat_i(x: i32) -> Self::I { _mm512_set1_epi32(x) }
        fn iota() -> Self::I { _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) }
        fn add_i(a: Self::I, b: Self::I) -> Self::I { _mm512_add_epi32(a, b) }
        fn sub_i(a: Self::I, b: Self::I) -> Self::I { _mm512_sub_epi32(a, b) }
        fn mul_i(a: Self::I, b: Self::I) -> Self::I { _mm512_mullo_epi32(a, b) }
        fn and_i(a: Self::I, b: Self::I) -> Self::I { _mm512_and_si512(a, b) }
        fn or_i(a: Self::I, b: Self::I) -> Self::I { _mm512_or_si512(a, b) }
        fn xor_i(a: Self::I, b: Self::I) -> Self::I { _mm512_xor_si512(a, b) }
        fn shl_i<const N: i32>(a: Self::I) -> Self::I { _mm512_sll_epi32(a, _mm_cvtsi32_si128(N)) }
        fn shr_i<const N: i32>(a: Self::I) -> Self::I { _mm512_srl_epi32(a, _mm_cvtsi32_si128(N)) }
        fn sar_i<const N: i32>(a: Self::I) -> Self::I { _mm512_sra_epi32(a, _mm_cvtsi32_si128(N)) }
        fn gt_i(a: Self::I, b: Self::I) -> Self::M { _mm512_cmpgt_epi32_mask(a, b) }
        fn eq_i(a: Self::I, b: Self::I) -> Self::M { _mm512_cmpeq_epi32_mask(a, b) }
        fn to_int(a: Self::V) -> Self::I { _mm512_cvtps_epi32(a) }
        fn to_float(a: Self::I) -> Self::V { _mm512_cvtepi32_ps(a) }
        fn to_bits(a: Self::V) -> Self::I { _mm512_castps_si512(a) }
        fn from_bits(a: Self::I) -> Self::V { _mm512_castsi512_ps(a) }

        fn reduce_sum(a: Self::V) -> f32 { _mm512_reduce_add_ps(a) }
        fn reduce_max(a: Self::V) -> f32 { _mm512_reduce_max_ps(a) }
        fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {{
            // Indices 16 and up are b's lanes.
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
        }}
        fn deinterleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {{
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        }}
    }
}
