//! AVX2 with FMA: eight floats.

use super::{Isa, Kernel, Simd, block_methods, sealed::Sealed};
use core::arch::x86_64::*;

/// The proof that the machine has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// The proof, if the machine has them.
    #[inline]
    pub fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        #[cfg(not(feature = "std"))]
        let has = cfg!(all(target_feature = "avx2", target_feature = "fma"));
        has.then_some(Avx2(()))
    }
}

impl Sealed for Avx2 {}

/// Runs `kernel` with the instruction set enabled.
#[inline]
pub(super) fn run<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
    #[target_feature(enable = "avx2,fma")]
    fn enabled<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
        kernel.run(simd)
    }
    // SAFETY: `simd` proves the features.
    unsafe { enabled(simd, kernel) }
}

/// `n` ones (all bits) and then zeros, from any offset: `MASK[8 - n ..]`.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

/// Lanes below `count`.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn mask(count: usize) -> __m256i {
    debug_assert!(count <= 8);
    // SAFETY: eight integers from 8 - count on, for count in 0..=8.
    unsafe { _mm256_loadu_si256(MASK.as_ptr().add(8 - count).cast()) }
}

macro_rules! methods {
    ($(fn $name:ident $(<const $n:ident: i32>)? ($($arg:ident: $type:ty),*) -> $result:ty { $body:expr })*) => {$(
        #[inline(always)]
        fn $name $(<const $n: i32>)? (self, $($arg: $type),*) -> $result {
            // SAFETY: `self` proves AVX2 and FMA, and these intrinsics ask for nothing else.
            unsafe { $body }
        }
    )*};
}

impl Simd for Avx2 {
    type V = __m256;
    type I = __m256i;
    type M = __m256;

    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    const ISA: Isa = Isa::Avx2;

    block_methods!(0, 1);

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma")]
        fn enabled<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves the features.
        unsafe { enabled(f) }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::V {
        // SAFETY: the caller's promise; the load is unaligned.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: Self::V, p: *mut f32) {
        // SAFETY: the caller's promise; the store is unaligned.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_ptr_partial(self, p: *const f32, count: usize) -> Self::V {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm256_maskload_ps(p, mask(count)) }
    }
    #[inline(always)]
    unsafe fn store_ptr_partial(self, v: Self::V, p: *mut f32, count: usize) {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm256_maskstore_ps(p, mask(count), v) }
    }
    #[inline(always)]
    unsafe fn store_ptr_lanes(self, v: Self::V, p: *mut f32, start: usize, end: usize) {
        // SAFETY: masked lanes are not accessed; the caller vouches for the others.
        unsafe { _mm256_maskstore_ps(p.wrapping_sub(start), _mm256_andnot_si256(mask(start), mask(end)), v) }
    }

    methods! {
        fn splat(x: f32) -> Self::V { _mm256_set1_ps(x) }
        fn prefetch(p: *const f32) -> () { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        fn prefetch_far(p: *const f32) -> () { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }

        fn add(a: Self::V, b: Self::V) -> Self::V { _mm256_add_ps(a, b) }
        fn sub(a: Self::V, b: Self::V) -> Self::V { _mm256_sub_ps(a, b) }
        fn mul(a: Self::V, b: Self::V) -> Self::V { _mm256_mul_ps(a, b) }
        fn div(a: Self::V, b: Self::V) -> Self::V { _mm256_div_ps(a, b) }
        fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V { _mm256_fmadd_ps(a, b, c) }
        fn neg_mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V { _mm256_fnmadd_ps(a, b, c) }
        fn max(a: Self::V, b: Self::V) -> Self::V { _mm256_max_ps(a, b) }
        fn min(a: Self::V, b: Self::V) -> Self::V { _mm256_min_ps(a, b) }
        fn sqrt(a: Self::V) -> Self::V { _mm256_sqrt_ps(a) }
        fn floor(a: Self::V) -> Self::V { _mm256_floor_ps(a) }
        fn round(a: Self::V) -> Self::V { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }

        fn lt(a: Self::V, b: Self::V) -> Self::M { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
        fn le(a: Self::V, b: Self::V) -> Self::M { _mm256_cmp_ps::<_CMP_LE_OQ>(a, b) }
        fn eq(a: Self::V, b: Self::V) -> Self::M { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
        fn is_nan(a: Self::V) -> Self::M { _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a) }
        fn select(mask: Self::M, yes: Self::V, no: Self::V) -> Self::V { _mm256_blendv_ps(no, yes, mask) }
        fn and_m(a: Self::M, b: Self::M) -> Self::M { _mm256_and_ps(a, b) }
        fn or_m(a: Self::M, b: Self::M) -> Self::M { _mm256_or_ps(a, b) }
        fn mask_bits(mask: Self::M) -> u32 { _mm256_movemask_ps(mask) as u32 }

        fn splat_i(x: i32) -> Self::I { _mm256_set1_epi32(x) }
        fn iota() -> Self::I { _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7) }
        fn add_i(a: Self::I, b: Self::I) -> Self::I { _mm256_add_epi32(a, b) }
        fn sub_i(a: Self::I, b: Self::I) -> Self::I { _mm256_sub_epi32(a, b) }
        fn mul_i(a: Self::I, b: Self::I) -> Self::I { _mm256_mullo_epi32(a, b) }
        fn and_i(a: Self::I, b: Self::I) -> Self::I { _mm256_and_si256(a, b) }
        fn or_i(a: Self::I, b: Self::I) -> Self::I { _mm256_or_si256(a, b) }
        fn xor_i(a: Self::I, b: Self::I) -> Self::I { _mm256_xor_si256(a, b) }
        fn shl_i<const N: i32>(a: Self::I) -> Self::I { _mm256_slli_epi32::<N>(a) }
        fn shr_i<const N: i32>(a: Self::I) -> Self::I { _mm256_srli_epi32::<N>(a) }
        fn sar_i<const N: i32>(a: Self::I) -> Self::I { _mm256_srai_epi32::<N>(a) }
        fn gt_i(a: Self::I, b: Self::I) -> Self::M { _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b)) }
        fn eq_i(a: Self::I, b: Self::I) -> Self::M { _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)) }
        fn to_int(a: Self::V) -> Self::I { _mm256_cvtps_epi32(a) }
        fn to_float(a: Self::I) -> Self::V { _mm256_cvtepi32_ps(a) }
        fn to_bits(a: Self::V) -> Self::I { _mm256_castps_si256(a) }
        fn from_bits(a: Self::I) -> Self::V { _mm256_castsi256_ps(a) }

        fn reduce_sum(a: Self::V) -> f32 {{
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }}
        fn reduce_max(a: Self::V) -> f32 {{
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }}
        fn interleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {{
            // Of each half: a0 b0 a1 b1 | a4 b4 a5 b5 and a2 b2 a3 b3 | a6 b6 a7 b7.
            let low = _mm256_unpacklo_ps(a, b);
            let high = _mm256_unpackhi_ps(a, b);
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        }}
        fn deinterleave(a: Self::V, b: Self::V) -> (Self::V, Self::V) {{
            // a0..a3 b0..b3 and a4..a7 b4..b7, so that what stays within halves comes out as a0 a2 a4 a6 | b0 b2 b4 b6.
            let low = _mm256_permute2f128_ps::<0x20>(a, b);
            let high = _mm256_permute2f128_ps::<0x31>(a, b);
            (_mm256_shuffle_ps::<0b10_00_10_00>(low, high), _mm256_shuffle_ps::<0b11_01_11_01>(low, high))
        }}
    }
}
