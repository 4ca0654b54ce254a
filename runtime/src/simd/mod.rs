//! Instruction sets: the only place with intrinsics.
//!
//! A kernel is written once, generic over [`Simd`], and run through [`dispatch`]:
//!
//! ```
//! use castnet::simd::{Isa, Kernel, Simd, dispatch};
//!
//! struct Double<'a>(&'a mut [f32]);
//! impl Kernel for Double<'_> {
//!     type Output = ();
//!     #[inline(always)] // or the vectors would pass through memory
//!     fn run<S: Simd>(self, simd: S) {
//!         for chunk in self.0.chunks_mut(S::LANES) {
//!             let v = simd.load_partial(chunk);
//!             simd.store_partial(simd.add(v, v), chunk);
//!         }
//!     }
//! }
//! let mut x = [1.0, 2.0, 3.0];
//! dispatch(Isa::active(), Double(&mut x));
//! assert_eq!(x, [2.0, 4.0, 6.0]);
//! ```
//!
//! Three rules keep the intrinsics inlined, without which a kernel is some fifty times slower:
//! - every generic function between `dispatch` and an operation is `#[inline(always)]`;
//! - threads stand outside: a task given to [`crate::parallel`] calls `dispatch` (or [`Simd::vectorize`]) itself, since a closure that
//!   another function calls through a pointer is compiled without the instruction set;
//! - accumulator arrays are indexed by constants or by loops that unroll completely.

mod isa;
mod scalar;
#[cfg(all(test, feature = "std"))]
mod tests;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use castnet_descriptors::BLOCK;
#[cfg(feature = "std")]
pub use isa::with_isa;
pub use isa::{Isa, UnknownIsa};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use scalar::Scalar;

mod sealed {
    pub trait Sealed {}
}

/// A computation that runs on any instruction set; see [`dispatch`].
pub trait Kernel {
    /// What the computation returns.
    type Output;
    /// Runs with the vectors of `S`. Implementors mark it `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs `kernel` compiled for `isa`. An instruction set that this machine lacks runs as [`Isa::Scalar`].
#[inline]
pub fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            if let Some(simd) = Avx512::new() {
                return avx512::run(simd, kernel);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            if let Some(simd) = Avx2::new() {
                return avx2::run(simd, kernel);
            }
        }
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => {
            if let Some(simd) = Neon::new() {
                return neon::run(simd, kernel);
            }
        }
        _ => {}
    }
    scalar::run(kernel)
}

/// An instruction set's vectors. A value of this type is the proof that the machine has it: only detection makes one.
///
/// Operations work lane by lane on `f32` unless they say otherwise. Floating-point operations round to nearest, denormals are kept.
/// Pointers need no alignment beyond that of `f32`.
pub trait Simd: Copy + Send + Sync + core::fmt::Debug + sealed::Sealed + 'static {
    /// A vector of [`Simd::LANES`] floats.
    type V: Copy + Send + Sync + core::fmt::Debug;
    /// A vector of as many 32-bit integers.
    type I: Copy + Send + Sync + core::fmt::Debug;
    /// A truth value per lane.
    type M: Copy + Send + Sync + core::fmt::Debug;
    /// [`BLOCK`] floats as an array of `BLOCK / LANES` vectors.
    type B: Copy + Send + Sync + AsRef<[Self::V]> + AsMut<[Self::V]>;

    /// Floats in a vector: 16 (AVX-512), 8 (AVX2) or 4. Divides [`BLOCK`].
    const LANES: usize;
    /// Vector registers: what bounds a register tile.
    const REGISTERS: usize;
    /// Which instruction set this is.
    const ISA: Isa;

    /// Calls `f` in a context compiled for this instruction set; for the body of a closure that runs on another thread.
    /// Mark the closure `#[inline(always)]`.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    // Making, loading and storing.

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// Zero in every lane.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }
    /// The float at `p` in every lane.
    ///
    /// # Safety
    /// `p` is valid for reading one float.
    #[inline(always)]
    unsafe fn splat_ptr(self, p: *const f32) -> Self::V {
        // SAFETY: the caller's promise.
        self.splat(unsafe { *p })
    }
    /// The first `LANES` floats of `from`.
    ///
    /// # Panics
    /// If `from` is shorter.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        assert!(from.len() >= Self::LANES, "a vector is longer than the slice it is loaded from");
        // SAFETY: the slice holds LANES floats.
        unsafe { self.load_ptr(from.as_ptr()) }
    }
    /// Writes `v` to the first `LANES` floats of `to`.
    ///
    /// # Panics
    /// If `to` is shorter.
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32]) {
        assert!(to.len() >= Self::LANES, "a vector is longer than the slice it is stored to");
        // SAFETY: the slice holds LANES floats.
        unsafe { self.store_ptr(v, to.as_mut_ptr()) }
    }
    /// The first `min(LANES, from.len())` floats of `from`; zero in the other lanes.
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::V {
        // SAFETY: at most as many floats as the slice holds are read.
        unsafe { self.load_ptr_partial(from.as_ptr(), from.len().min(Self::LANES)) }
    }
    /// Writes the first `min(LANES, to.len())` lanes of `v` to `to`.
    #[inline(always)]
    fn store_partial(self, v: Self::V, to: &mut [f32]) {
        // SAFETY: at most as many floats as the slice holds are written.
        unsafe { self.store_ptr_partial(v, to.as_mut_ptr(), to.len().min(Self::LANES)) }
    }
    /// The `LANES` floats from `p` on.
    ///
    /// # Safety
    /// `p` is valid for reading `LANES` floats.
    unsafe fn load_ptr(self, p: *const f32) -> Self::V;
    /// Writes `v` to the `LANES` floats from `p` on.
    ///
    /// # Safety
    /// `p` is valid for writing `LANES` floats.
    unsafe fn store_ptr(self, v: Self::V, p: *mut f32);
    /// The `count` floats from `p` on, `count <= LANES`; zero in the other lanes. Nothing past them is touched.
    ///
    /// # Safety
    /// `p` is valid for reading `count` floats.
    unsafe fn load_ptr_partial(self, p: *const f32, count: usize) -> Self::V;
    /// Writes the first `count` lanes, `count <= LANES`, from `p` on. Nothing past them is touched.
    ///
    /// # Safety
    /// `p` is valid for writing `count` floats.
    unsafe fn store_ptr_partial(self, v: Self::V, p: *mut f32, count: usize);
    /// Writes the lanes `start..end`, `start <= end <= LANES`, from `p` on. Nothing else is touched.
    ///
    /// # Safety
    /// `p` is valid for writing `end - start` floats.
    #[inline(always)]
    unsafe fn store_ptr_lanes(self, v: Self::V, p: *mut f32, start: usize, end: usize) {
        debug_assert!(start <= end && end <= Self::LANES);
        let mut lanes = [0.0; BLOCK];
        self.store(v, &mut lanes);
        for (i, lane) in lanes[start..end].iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { *p.add(i) = *lane };
        }
    }
    /// Lane i is the float at `p + i * stride`.
    ///
    /// # Safety
    /// Every one of these floats is valid for reading.
    #[inline(always)]
    unsafe fn load_strided(self, p: *const f32, stride: usize) -> Self::V {
        let mut lanes = [0.0; BLOCK];
        for (i, lane) in lanes.iter_mut().enumerate().take(Self::LANES) {
            // SAFETY: the caller's promise.
            *lane = unsafe { *p.add(i * stride) };
        }
        self.load(&lanes)
    }
    /// Asks for the cache line of `p` in all caches. Harmless for any address.
    fn prefetch(self, p: *const f32);
    /// Asks for the cache line of `p` in the second cache, the first one being full of what is used before it. Harmless for any address.
    #[inline(always)]
    fn prefetch_far(self, p: *const f32) {
        self.prefetch(p);
    }

    // Arithmetic.

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`, correctly rounded.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b` within one ulp, for divisors and quotients that are far from the ends of the range and not for NaN in the divisor alone:
    /// faster where a division takes its time.
    #[inline(always)]
    fn quotient(self, a: Self::V, b: Self::V) -> Self::V {
        self.div(a, b)
    }
    /// `a * b + c`, rounded once where the machine can (everywhere but [`Scalar`]).
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`, rounded as [`Simd::mul_add`].
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`: the second operand if either is NaN, so that `max(zero, x)` is a ReLU that keeps NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a < b { a } else { b }`: the second operand if either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger, or NaN if either is NaN, as `torch.maximum` and max pooling do.
    #[inline(always)]
    fn max_nan(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(self.is_nan(a), a, self.max(a, b))
    }
    /// The smaller, or NaN if either is NaN.
    #[inline(always)]
    fn min_nan(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(self.is_nan(a), a, self.min(a, b))
    }
    /// The square root, correctly rounded.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The largest integer that is not larger.
    fn floor(self, a: Self::V) -> Self::V;
    /// The nearest integer, ties to even.
    fn round(self, a: Self::V) -> Self::V;
    /// `-a`, also of zero and NaN.
    #[inline(always)]
    fn neg(self, a: Self::V) -> Self::V {
        self.from_bits(self.xor_i(self.to_bits(a), self.splat_i(i32::MIN)))
    }
    /// The magnitude.
    #[inline(always)]
    fn abs(self, a: Self::V) -> Self::V {
        self.from_bits(self.and_i(self.to_bits(a), self.splat_i(i32::MAX)))
    }
    /// The magnitude of `a` with the sign of `sign`.
    #[inline(always)]
    fn copysign(self, a: Self::V, sign: Self::V) -> Self::V {
        let sign = self.and_i(self.to_bits(sign), self.splat_i(i32::MIN));
        self.from_bits(self.or_i(self.to_bits(self.abs(a)), sign))
    }
    /// `a * 2^n` for whole `n` in -252..=254, with gradual underflow (AVX-512 takes any `n`).
    #[inline(always)]
    fn scale2(self, a: Self::V, n: Self::V) -> Self::V {
        // 2^n alone leaves the exponent's range -126..=127, its two halves do not.
        let n = self.to_int(n);
        let half = self.sar_i::<1>(n);
        let power = |n| self.from_bits(self.shl_i::<23>(self.add_i(n, self.splat_i(127))));
        self.mul(self.mul(a, power(half)), power(self.sub_i(n, half)))
    }

    // Comparing and choosing.

    /// `a < b`.
    fn lt(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a <= b`.
    fn le(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a == b`.
    fn eq(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a > b`.
    #[inline(always)]
    fn gt(self, a: Self::V, b: Self::V) -> Self::M {
        self.lt(b, a)
    }
    /// `a >= b`.
    #[inline(always)]
    fn ge(self, a: Self::V, b: Self::V) -> Self::M {
        self.le(b, a)
    }
    /// Whether it is NaN.
    fn is_nan(self, a: Self::V) -> Self::M;
    /// `yes` where `mask` holds, else `no`.
    fn select(self, mask: Self::M, yes: Self::V, no: Self::V) -> Self::V;
    /// `yes` where `mask` holds, else `no`, of integers.
    #[inline(always)]
    fn select_i(self, mask: Self::M, yes: Self::I, no: Self::I) -> Self::I {
        self.to_bits(self.select(mask, self.from_bits(yes), self.from_bits(no)))
    }
    /// Both.
    fn and_m(self, a: Self::M, b: Self::M) -> Self::M;
    /// Either.
    fn or_m(self, a: Self::M, b: Self::M) -> Self::M;
    /// Bit i is lane i.
    fn mask_bits(self, mask: Self::M) -> u32;
    /// The first `count` lanes; all of them if `count >= LANES`.
    #[inline(always)]
    fn first(self, count: usize) -> Self::M {
        self.gt_i(self.splat_i(count.min(Self::LANES) as i32), self.iota())
    }

    // Integers: wrapping 32-bit lanes.

    /// `x` in every lane.
    fn splat_i(self, x: i32) -> Self::I;
    /// 0, 1, 2, …
    fn iota(self) -> Self::I;
    /// `a + b`.
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`.
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// The low half of `a * b`.
    fn mul_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a & b`.
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a | b`.
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a ^ b`.
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a << N`, for N in 1..=31.
    fn shl_i<const N: i32>(self, a: Self::I) -> Self::I;
    /// `a >> N` filling with zeros, for N in 1..=31.
    fn shr_i<const N: i32>(self, a: Self::I) -> Self::I;
    /// `a >> N` filling with the sign, for N in 1..=31.
    fn sar_i<const N: i32>(self, a: Self::I) -> Self::I;
    /// `a > b`, signed.
    fn gt_i(self, a: Self::I, b: Self::I) -> Self::M;
    /// `a == b`.
    fn eq_i(self, a: Self::I, b: Self::I) -> Self::M;
    /// The nearest integer, ties to even. Unspecified outside the range of `i32` and for NaN.
    fn to_int(self, a: Self::V) -> Self::I;
    /// The integer as a float, rounded.
    fn to_float(self, a: Self::I) -> Self::V;
    /// The float's bits.
    fn to_bits(self, a: Self::V) -> Self::I;
    /// The float of these bits.
    #[allow(clippy::wrong_self_convention)]
    fn from_bits(self, a: Self::I) -> Self::V;

    // Across lanes.

    /// The sum of the lanes, in an order that the instruction set fixes.
    fn reduce_sum(self, a: Self::V) -> f32;
    /// The largest lane; unspecified if one is NaN.
    fn reduce_max(self, a: Self::V) -> f32;
    /// The largest lane, or NaN if one is.
    #[inline(always)]
    fn reduce_max_nan(self, a: Self::V) -> f32 {
        if self.mask_bits(self.is_nan(a)) != 0 { f32::NAN } else { self.reduce_max(a) }
    }
    /// `a0 b0 a1 b1 …`: its first and its second half.
    fn interleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// The even and the odd elements of `a` followed by `b`: undoes [`Simd::interleave`].
    fn deinterleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);

    // Blocks of 16 floats.

    /// `x` in every lane.
    fn block_splat(self, x: f32) -> Self::B;
    /// The first 16 floats of `from`.
    ///
    /// # Panics
    /// If `from` is shorter.
    #[inline(always)]
    fn block_load(self, from: &[f32]) -> Self::B {
        assert!(from.len() >= BLOCK, "a block is longer than the slice it is loaded from");
        // SAFETY: the slice holds a block.
        unsafe { self.block_load_ptr(from.as_ptr()) }
    }
    /// Writes `b` to the first 16 floats of `to`.
    ///
    /// # Panics
    /// If `to` is shorter.
    #[inline(always)]
    fn block_store(self, b: Self::B, to: &mut [f32]) {
        assert!(to.len() >= BLOCK, "a block is longer than the slice it is stored to");
        // SAFETY: the slice holds a block.
        unsafe { self.block_store_ptr(b, to.as_mut_ptr()) }
    }
    /// The 16 floats from `p` on.
    ///
    /// # Safety
    /// `p` is valid for reading 16 floats.
    unsafe fn block_load_ptr(self, p: *const f32) -> Self::B;
    /// Writes `b` to the 16 floats from `p` on.
    ///
    /// # Safety
    /// `p` is valid for writing 16 floats.
    unsafe fn block_store_ptr(self, b: Self::B, p: *mut f32);
    /// `a + b`.
    fn block_add(self, a: Self::B, b: Self::B) -> Self::B;
    /// `a * b`.
    fn block_mul(self, a: Self::B, b: Self::B) -> Self::B;
    /// As [`Simd::max`].
    fn block_max(self, a: Self::B, b: Self::B) -> Self::B;
    /// As [`Simd::max_nan`].
    fn block_max_nan(self, a: Self::B, b: Self::B) -> Self::B;
    /// `a * b + c`.
    fn block_mul_add(self, a: Self::B, b: Self::B, c: Self::B) -> Self::B;
    /// `a * b + c` where `a` is one vector, as [`Simd::splat`] makes it, for all of the block.
    fn block_mul_add_splat(self, a: Self::V, b: Self::B, c: Self::B) -> Self::B;
}

/// The operations on blocks, as arrays of the vectors with these indices.
macro_rules! block_methods {
    ($($i:literal),*) => {
        type B = [Self::V; 16 / Self::LANES];

        #[inline(always)]
        fn block_splat(self, x: f32) -> Self::B {
            [self.splat(x); 16 / Self::LANES]
        }
        #[inline(always)]
        unsafe fn block_load_ptr(self, p: *const f32) -> Self::B {
            // SAFETY: the caller's promise of 16 floats.
            unsafe { [$(self.load_ptr(p.add($i * Self::LANES))),*] }
        }
        #[inline(always)]
        unsafe fn block_store_ptr(self, b: Self::B, p: *mut f32) {
            // SAFETY: the caller's promise of 16 floats.
            unsafe { $(self.store_ptr(b[$i], p.add($i * Self::LANES));)* }
        }
        #[inline(always)]
        fn block_add(self, a: Self::B, b: Self::B) -> Self::B {
            [$(self.add(a[$i], b[$i])),*]
        }
        #[inline(always)]
        fn block_mul(self, a: Self::B, b: Self::B) -> Self::B {
            [$(self.mul(a[$i], b[$i])),*]
        }
        #[inline(always)]
        fn block_max(self, a: Self::B, b: Self::B) -> Self::B {
            [$(self.max(a[$i], b[$i])),*]
        }
        #[inline(always)]
        fn block_max_nan(self, a: Self::B, b: Self::B) -> Self::B {
            [$(self.max_nan(a[$i], b[$i])),*]
        }
        #[inline(always)]
        fn block_mul_add(self, a: Self::B, b: Self::B, c: Self::B) -> Self::B {
            [$(self.mul_add(a[$i], b[$i], c[$i])),*]
        }
        #[inline(always)]
        fn block_mul_add_splat(self, a: Self::V, b: Self::B, c: Self::B) -> Self::B {
            [$(self.mul_add(a, b[$i], c[$i])),*]
        }
    };
}
use block_methods;
