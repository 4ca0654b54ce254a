//! Vectorised exponentials, logarithms and their kin.
//!
//! Polynomials and quotients are minimax approximations of the relative error, found by Remez exchange in 50 digits. Errors are counted
//! in ulps of the result, at most 2^-23 = 1.2e-7 of it; the bounds are for every instruction set, and the tests enforce them over floats
//! of all exponents. [`crate::simd::Scalar`], which rounds products before it adds them, comes closest to them. NaN gives NaN.

use crate::simd::Simd;

/// `ln 2` in two parts: the first has nine bits, so that its product with an exponent is exact.
const LN2_HIGH: f32 = 355.0 / 512.0;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// The polynomial with these coefficients, the constant first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, coefficients: [f32; N]) -> S::V {
    let mut sum = s.splat(coefficients[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = s.mul_add(sum, x, s.splat(coefficients[i]));
    }
    sum
}

/// `n` and `r` of `x = n ln 2 + r` with whole `n` and `|r| <= ln 2 / 2`.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    let n = s.round(s.mul(x, s.splat(core::f32::consts::LOG2_E)));
    let r = s.neg_mul_add(n, s.splat(LN2_HIGH), x);
    (n, s.neg_mul_add(n, s.splat(LN2_LOW), r))
}

/// `e^x`, within 1.5 ulp, down to the last denormal.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // Beyond these the result is 0 (e^-104 < 2^-150) or infinite (89 / ln 2 > 128); `max` and `min` keep a NaN in second place.
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let (n, r) = reduce(s, x);
    // (e^r - 1 - r) / r^2, error 2^-28 of e^r.
    let q = polynomial(s, r, [0.499_999_93, 0.166_665_2, 0.041_668_39, 8.368_745e-3, 1.381_453_9e-3]);
    let p = s.mul_add(s.mul(r, r), q, r);
    s.scale2(s.add(p, s.splat(1.0)), n)
}

/// `e^x - 1`, within 2 ulp, also near zero.
#[inline(always)]
pub fn exp_m1<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let (n, r) = reduce(s, x);
    // (e^r - 1 - r) / r^2, error 2^-31 of e^r - 1.
    let q = polynomial(s, r, [0.5, 0.166_666_67, 0.041_666_325, 8.333_22e-3, 1.394_325_4e-3, 1.996_227_4e-4]);
    let p = s.mul_add(s.mul(r, r), q, r);
    let one = s.splat(1.0);
    let power = s.scale2(one, n);
    // 2^n p + (2^n - 1); where 2^n alone might overflow, the 1 is far below a ulp.
    s.select(s.gt(n, s.splat(30.0)), s.scale2(s.add(p, one), n), s.mul_add(p, power, s.sub(power, one)))
}

/// The natural logarithm, within 1 ulp; -infinity of zero, NaN below.
#[inline(always)]
pub fn ln<S: Simd>(s: S, x: S::V) -> S::V {
    // A denormal is made normal; 2^23 is counted off again.
    let small = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let scaled = s.select(small, s.mul(x, s.splat(8_388_608.0)), x);
    let bits = s.to_bits(scaled);
    // The exponent for a mantissa in sqrt(1/2)..sqrt(2), whose bits begin at 0x3f3504f3.
    let exponent = s.sar_i::<23>(s.sub_i(bits, s.splat_i(0x3f35_04f3)));
    let f = s.sub(s.from_bits(s.sub_i(bits, s.shl_i::<23>(exponent))), s.splat(1.0));
    let e = s.add(s.to_float(exponent), s.select(small, s.splat(-23.0), s.zero()));
    // (ln(1 + f) - f + f^2 / 2) / f^3, error 2^-30 of ln(1 + f).
    let coefficients = [
        0.333_333_12,
        -0.250_000_1,
        0.200_021_34,
        -0.166_680_07,
        0.142_192_24,
        -0.124_051_36,
        0.118_903_235,
        -0.116_796_52,
        0.067_465_976,
    ];
    let squared = s.mul(f, f);
    let mut y = s.mul(s.mul(squared, f), polynomial(s, f, coefficients));
    y = s.mul_add(e, s.splat(LN2_LOW), y);
    y = s.neg_mul_add(squared, s.splat(0.5), y);
    y = s.mul_add(e, s.splat(LN2_HIGH), s.add(f, y));
    // Infinity and NaN as they are, -infinity for zero, NaN for what is negative.
    y = s.select(s.lt(x, s.splat(f32::INFINITY)), y, x);
    y = s.select(s.lt(x, s.zero()), s.splat(f32::NAN), y);
    s.select(s.eq(x, s.zero()), s.splat(f32::NEG_INFINITY), y)
}

/// `x^y` for `x >= 0` as `e^(y ln x)`: the error is up to `2 + 2 |y ln x|` ulp.
#[inline(always)]
pub fn pow<S: Simd>(s: S, x: S::V, y: f32) -> S::V {
    exp(s, s.mul(s.splat(y), ln(s, x)))
}

/// The hyperbolic tangent, within 6 ulp (3.6e-7 of the value) and never beyond 1.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    // tanh(x) / x as a quotient in x^2, error 2^-29. From 9.02 on the nearest float to tanh(x) is 1: there the quotient stays what it is,
    // and the product grows beyond. `min` keeps a NaN in second place.
    let squared = s.min(s.splat(9.02 * 9.02), s.mul(x, x));
    let p = [1.0, 0.136_799_16, 3.868_328_4e-3, 2.800_747_2e-5, 3.058_505_7e-8, -1.220_349_2e-11];
    let q = [1.0, 0.470_132_48, 0.027_245_84, 3.938_632_3e-4, 1.287_367_3e-6];
    // The product comes last: it keeps the sign of zero.
    let y = s.mul(x, s.quotient(polynomial(s, squared, p), polynomial(s, squared, q)));
    s.min(s.splat(1.0), s.max(s.splat(-1.0), y))
}

/// `1 / (1 + e^-x)`, within 3 ulp; zero below -89, where it is less than 3e-39.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.neg(x))))
}

/// The error function, within 6 ulp (3.6e-7 of the value) and never beyond 1.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::V) -> S::V {
    // erf(x) / x as a quotient in x^2, error 2^-25. From 3.925 on the nearest float to erf(x) is 1; see `tanh`.
    let squared = s.min(s.splat(3.925 * 3.925), s.mul(x, x));
    let p = [
        core::f32::consts::FRAC_2_SQRT_PI,
        0.190_595_14,
        0.052_769_486,
        3.772_610_3e-3,
        2.848_450_8e-4,
        2.046_019_4e-6,
    ];
    let q = [1.0, 0.502_243_3, 0.114_183_3, 0.014_983_318, 1.163_872_7e-3, 3.804_777e-5];
    // The product comes last: it keeps the sign of zero.
    let y = s.mul(x, s.quotient(polynomial(s, squared, p), polynomial(s, squared, q)));
    s.min(s.splat(1.0), s.max(s.splat(-1.0), y))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::isas;
    use crate::reference::special::erf as erf64;
    use crate::simd::{Kernel, dispatch};

    /// What is under test, so that one kernel can run it.
    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        ExpM1,
        Ln,
        Tanh,
        Sigmoid,
        Erf,
        Pow(f32),
    }

    struct Apply<'a>(Function, &'a [f32], &'a mut [f32]);
    impl Kernel for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for (x, y) in self.1.chunks(S::LANES).zip(self.2.chunks_mut(S::LANES)) {
                let x = s.load_partial(x);
                let v = match self.0 {
                    Function::Exp => exp(s, x),
                    Function::ExpM1 => exp_m1(s, x),
                    Function::Ln => ln(s, x),
                    Function::Tanh => tanh(s, x),
                    Function::Sigmoid => sigmoid(s, x),
                    Function::Erf => erf(s, x),
                    Function::Pow(power) => pow(s, x, power),
                };
                s.store_partial(v, y);
            }
        }
    }

    /// The distance in ulps of `exact`, or of the smallest denormal; NaN and infinities must agree.
    fn ulps(got: f32, exact: f64) -> f64 {
        let nearest = exact as f32;
        if !nearest.is_finite() || !got.is_finite() {
            // Rounding may overflow where the exact value does not, and the other way round.
            let edge =
                exact.abs() > 0.999_999 * f64::from(f32::MAX) && f64::from(got.abs()) > 0.999_999 * f64::from(f32::MAX);
            let same = got == nearest || got.is_nan() && nearest.is_nan() || edge && (got > 0.0) == (exact > 0.0);
            return if same { 0.0 } else { f64::INFINITY };
        }
        let exponent = (nearest.to_bits() >> 23 & 255).max(1) as i32 - 127 - 23;
        (f64::from(got) - exact).abs() / f64::from(exponent).exp2()
    }

    /// Every `step`-th float of all 2^32, both signs; a prime step visits every exponent and many mantissas.
    fn floats(step: usize) -> Vec<f32> {
        (0..=u32::MAX).step_by(step).map(f32::from_bits).collect()
    }

    fn check(name: &str, function: Function, inputs: &[f32], exact: impl Fn(f64) -> f64, bound: impl Fn(f32) -> f64) {
        for &isa in isas() {
            let mut outputs = vec![f32::NAN; inputs.len()];
            dispatch(isa, Apply(function, inputs, &mut outputs));
            let mut worst = (0.0, 0.0, 0.0);
            for (&x, &y) in inputs.iter().zip(&outputs) {
                let error = ulps(y, exact(f64::from(x)));
                // Written so that a NaN fails.
                let fine = error <= bound(x);
                assert!(fine, "{name} on {isa}: {x:e} gives {y:e}, exactly {:e}: {error} ulp", exact(f64::from(x)));
                if error > worst.0 {
                    worst = (error, x, y);
                }
            }
            println!("{name} on {isa}: at most {:.2} ulp, at {:e}", worst.0, worst.1);
        }
    }

    const SPECIAL: [f32; 15] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1e-45,
        -1e-45,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        88.722_84,
        -103.972_08,
        -87.336_54,
    ];

    /// Floats of every exponent, the special ones, and those on a fine grid where the functions bend.
    fn inputs() -> Vec<f32> {
        let mut all = floats(4001);
        all.extend(SPECIAL);
        all.extend((-1_200_000..=1_000_000).map(|i| i as f32 / 10_007.0));
        all
    }

    #[test]
    fn exp_is_close() {
        check("exp", Function::Exp, &inputs(), f64::exp, |_| 1.5);
        check("exp_m1", Function::ExpM1, &inputs(), f64::exp_m1, |_| 2.0);
    }

    #[test]
    fn ln_is_close() {
        check("ln", Function::Ln, &inputs(), f64::ln, |_| 1.0);
        let near_one: Vec<f32> = (0..200_000).map(|i| f32::from_bits(1.0f32.to_bits() - 100_000 + i)).collect();
        check("ln", Function::Ln, &near_one, f64::ln, |_| 1.0);
    }

    #[test]
    fn pow_is_as_close_as_it_says() {
        let inputs: Vec<f32> = inputs().into_iter().map(f32::abs).collect();
        for power in [-0.75, 0.75, 0.5, -1.0, 2.0] {
            let bound = |x: f32| 2.0 + 2.0 * (power * x.ln()).abs().min(104.0) as f64;
            check("pow", Function::Pow(power), &inputs, |x| x.powf(f64::from(power)), bound);
        }
    }

    #[test]
    fn tanh_is_close() {
        check("tanh", Function::Tanh, &inputs(), f64::tanh, |_| 6.0);
    }

    #[test]
    fn sigmoid_is_close() {
        // Where the quotient is denormal or the exponential overflows, the error is below 3e-39.
        let bound = |x: f32| if x < -87.0 { 3e-39 / 1.4e-45 } else { 3.0 };
        check("sigmoid", Function::Sigmoid, &inputs(), |x| 1.0 / (1.0 + (-x).exp()), bound);
    }

    #[test]
    fn erf_is_close() {
        check("erf", Function::Erf, &inputs(), erf64, |_| 6.0);
    }

    #[test]
    fn odd_functions_keep_the_sign_of_zero() {
        for &isa in isas() {
            for function in [Function::Tanh, Function::Erf] {
                let mut outputs = [f32::NAN; 2];
                dispatch(isa, Apply(function, &[0.0, -0.0], &mut outputs));
                assert_eq!(outputs.map(f32::to_bits), [0.0f32, -0.0].map(f32::to_bits), "{isa}");
            }
        }
    }

    #[test]
    fn bounded_functions_stay_within_one() {
        let inputs = inputs();
        for &isa in isas() {
            for function in [Function::Tanh, Function::Erf, Function::Sigmoid] {
                let mut outputs = vec![f32::NAN; inputs.len()];
                dispatch(isa, Apply(function, &inputs, &mut outputs));
                assert!(inputs.iter().zip(&outputs).all(|(x, y)| y.abs() <= 1.0 || x.is_nan()));
            }
        }
    }
}
