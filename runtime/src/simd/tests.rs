//! Every operation of every instruction set against plain arithmetic, lane by lane.

use super::*;

const SPECIAL: [f32; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.7,
    -3.7,
    1e-40,
    -1e-40,
    1e30,
    -1e30,
    8_388_609.0,
    f32::MAX,
    f32::MIN_POSITIVE,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    127.3,
];

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

struct Operations;

impl Kernel for Operations {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(BLOCK.is_multiple_of(S::LANES));
        for offset in 0..SPECIAL.len() {
            let lane = |i: usize, by: usize| SPECIAL[(i * by + offset) % SPECIAL.len()];
            // Steps prime to the length pair every number with many others.
            let a: Vec<f32> = (0..S::LANES).map(|i| lane(i, 1)).collect();
            let b: Vec<f32> = (0..S::LANES).map(|i| lane(i, 5)).collect();
            let c: Vec<f32> = (0..S::LANES).map(|i| lane(i, 7)).collect();
            let (va, vb, vc) = (s.load(&a), s.load(&b), s.load(&c));
            let check = |name: &str, v: S::V, expected: &dyn Fn(usize) -> f32| {
                let mut out = vec![f32::NAN; S::LANES];
                s.store(v, &mut out);
                for (i, &got) in out.iter().enumerate() {
                    let want = expected(i);
                    assert!(
                        same(got, want),
                        "{}: {name}({}, {}, {}) = {got}, expected {want}",
                        S::ISA,
                        a[i],
                        b[i],
                        c[i]
                    );
                }
            };
            check("add", s.add(va, vb), &|i| a[i] + b[i]);
            check("sub", s.sub(va, vb), &|i| a[i] - b[i]);
            check("mul", s.mul(va, vb), &|i| a[i] * b[i]);
            check("div", s.div(va, vb), &|i| a[i] / b[i]);
            let fused = S::ISA != Isa::Scalar;
            check("mul_add", s.mul_add(va, vb, vc), &|i| {
                if fused { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] }
            });
            check("neg_mul_add", s.neg_mul_add(va, vb, vc), &|i| {
                if fused { (-a[i]).mul_add(b[i], c[i]) } else { c[i] - a[i] * b[i] }
            });
            check("max", s.max(va, vb), &|i| if a[i] > b[i] { a[i] } else { b[i] });
            check("min", s.min(va, vb), &|i| if a[i] < b[i] { a[i] } else { b[i] });
            check("max with zero", s.max(s.zero(), vb), &|i| if 0.0 > b[i] { 0.0 } else { b[i] });
            let nan = |i: usize| a[i].is_nan() || b[i].is_nan();
            // Of zeros of different sign either may come out.
            let zeros = |name, v: S::V, expected: &dyn Fn(usize) -> f32| {
                check(name, s.add(v, s.zero()), &|i| expected(i) + 0.0)
            };
            zeros("max_nan", s.max_nan(va, vb), &|i| if nan(i) { f32::NAN } else { a[i].max(b[i]) });
            zeros("min_nan", s.min_nan(va, vb), &|i| if nan(i) { f32::NAN } else { a[i].min(b[i]) });
            check("sqrt", s.sqrt(va), &|i| a[i].sqrt());
            check("floor", s.floor(va), &|i| a[i].floor());
            check("round", s.round(va), &|i| a[i].round_ties_even());
            check("neg", s.neg(va), &|i| -a[i]);
            check("abs", s.abs(va), &|i| a[i].abs());
            check("copysign", s.copysign(va, vb), &|i| a[i].copysign(b[i]));
            let powers: Vec<f32> = (0..S::LANES)
                .map(|i| [-252.0, -150.0, -127.0, -3.0, 0.0, 1.0, 128.0, 254.0][(i + offset) % 8])
                .collect();
            // Two exact halves; a denormal in between would round twice, which the numbers above (few bits) do not show.
            check("scale2", s.scale2(va, s.load(&powers)), &|i| (f64::from(a[i]) * f64::from(powers[i]).exp2()) as f32);

            let truth = |name: &str, m: S::M, expected: &dyn Fn(usize) -> bool| {
                for i in 0..S::LANES {
                    assert_eq!(s.mask_bits(m) >> i & 1 == 1, expected(i), "{}: {name}({}, {})", S::ISA, a[i], b[i]);
                }
                assert_eq!(u64::from(s.mask_bits(m)) >> S::LANES, 0);
                check(name, s.select(m, va, vc), &|i| if expected(i) { a[i] } else { c[i] });
            };
            truth("lt", s.lt(va, vb), &|i| a[i] < b[i]);
            truth("le", s.le(va, vb), &|i| a[i] <= b[i]);
            truth("eq", s.eq(va, vb), &|i| a[i] == b[i]);
            truth("gt", s.gt(va, vb), &|i| a[i] > b[i]);
            truth("ge", s.ge(va, vb), &|i| a[i] >= b[i]);
            truth("is_nan", s.is_nan(va), &|i| a[i].is_nan());
            truth("and_m", s.and_m(s.lt(va, vb), s.lt(va, vc)), &|i| a[i] < b[i] && a[i] < c[i]);
            truth("or_m", s.or_m(s.lt(va, vb), s.lt(va, vc)), &|i| a[i] < b[i] || a[i] < c[i]);
            for count in 0..=S::LANES + 1 {
                truth("first", s.first(count), &|i| i < count);
            }

            let bits = |x: &[f32], i: usize| x[i].to_bits() as i32;
            let integers = |name: &str, v: S::I, expected: &dyn Fn(usize) -> i32| {
                let mut out = vec![f32::NAN; S::LANES];
                s.store(s.from_bits(v), &mut out);
                for (i, got) in out.iter().enumerate() {
                    assert_eq!(got.to_bits() as i32, expected(i), "{}: {name}", S::ISA);
                }
            };
            let (ia, ib) = (s.to_bits(va), s.to_bits(vb));
            integers("iota", s.iota(), &|i| i as i32);
            integers("splat_i", s.splat_i(-7), &|_| -7);
            integers("add_i", s.add_i(ia, ib), &|i| bits(&a, i).wrapping_add(bits(&b, i)));
            integers("sub_i", s.sub_i(ia, ib), &|i| bits(&a, i).wrapping_sub(bits(&b, i)));
            integers("mul_i", s.mul_i(ia, ib), &|i| bits(&a, i).wrapping_mul(bits(&b, i)));
            integers("and_i", s.and_i(ia, ib), &|i| bits(&a, i) & bits(&b, i));
            integers("or_i", s.or_i(ia, ib), &|i| bits(&a, i) | bits(&b, i));
            integers("xor_i", s.xor_i(ia, ib), &|i| bits(&a, i) ^ bits(&b, i));
            integers("shl_i", s.shl_i::<23>(ia), &|i| bits(&a, i) << 23);
            integers("shr_i", s.shr_i::<9>(ia), &|i| (a[i].to_bits() >> 9) as i32);
            integers("sar_i", s.sar_i::<9>(ia), &|i| bits(&a, i) >> 9);
            integers("select_i", s.select_i(s.gt_i(ia, ib), ia, ib), &|i| bits(&a, i).max(bits(&b, i)));
            truth("eq_i", s.eq_i(ia, ib), &|i| bits(&a, i) == bits(&b, i));
            check("to_float", s.to_float(ia), &|i| bits(&a, i) as f32);
            let small: Vec<f32> = a.iter().map(|&x| if x.abs() < 2e9 { x } else { 6.5 }).collect();
            integers("to_int", s.to_int(s.load(&small)), &|i| small[i].round_ties_even() as i32);

            let (low, high) = s.interleave(va, vb);
            let mixed = |i: usize| if i.is_multiple_of(2) { a[i / 2] } else { b[i / 2] };
            check("interleave", low, &mixed);
            check("interleave", high, &|i| mixed(i + S::LANES));
            let (even, odd) = s.deinterleave(low, high);
            check("deinterleave", even, &|i| a[i]);
            check("deinterleave", odd, &|i| b[i]);

            let whole: Vec<f32> = (0..S::LANES).map(|i| (i * i + offset) as f32).collect();
            assert_eq!(s.reduce_sum(s.load(&whole)), whole.iter().sum::<f32>(), "{}", S::ISA);
            assert_eq!(s.reduce_max(s.neg(s.load(&whole))), -(offset as f32), "{}", S::ISA);
            assert_eq!(s.reduce_max_nan(s.load(&whole)), whole[S::LANES - 1], "{}", S::ISA);
            assert_eq!(s.reduce_max_nan(va).is_nan(), a.iter().any(|x| x.is_nan()), "{}", S::ISA);
        }
    }
}

struct Memory;

impl Kernel for Memory {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let from: Vec<f32> = (1..100).map(|i| i as f32).collect();
        for count in 0..=S::LANES {
            let v = s.load_partial(&from[..count]);
            let mut full = vec![f32::NAN; S::LANES];
            s.store(v, &mut full);
            let mut expected = vec![0.0; S::LANES];
            expected[..count].copy_from_slice(&from[..count]);
            assert_eq!(full, expected, "{}", S::ISA);
            let mut to = vec![f32::NAN; S::LANES + 1];
            s.store_partial(s.load(&from), &mut to[..count]);
            assert_eq!(to[..count], from[..count], "{}", S::ISA);
            assert!(to[count..].iter().all(|x| x.is_nan()), "{}: a partial store wrote past its end", S::ISA);
            for start in 0..=count {
                let mut to = vec![f32::NAN; S::LANES + 1];
                // SAFETY: `to` holds more floats than a vector has.
                unsafe { s.store_ptr_lanes(s.load(&from), to[1..].as_mut_ptr(), start, count) };
                assert_eq!(to[1..1 + count - start], from[start..count], "{}", S::ISA);
                assert!(to[0].is_nan() && to[1 + count - start..].iter().all(|x| x.is_nan()), "{}", S::ISA);
            }
        }
        let mut out = vec![f32::NAN; S::LANES];
        // SAFETY: 6 * 15 < 99 floats.
        let (strided, splat) = unsafe { (s.load_strided(from.as_ptr(), 6), s.splat_ptr(&from[3])) };
        s.store(strided, &mut out);
        assert!(out.iter().enumerate().all(|(i, &x)| x == (6 * i + 1) as f32), "{}", S::ISA);
        s.store(splat, &mut out);
        assert!(out.iter().all(|&x| x == 4.0), "{}", S::ISA);
        s.prefetch(from.as_ptr());
        assert_eq!(s.vectorize(|| s.reduce_sum(s.splat(2.0))), 2.0 * S::LANES as f32);
    }
}

struct Blocks;

impl Kernel for Blocks {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x: Vec<f32> = (0..64).map(|i| (i as f32 - 7.0) * 0.5).collect();
        let (a, b, c) = (s.block_load(&x), s.block_load(&x[16..]), s.block_load(&x[32..]));
        assert_eq!(a.as_ref().len() * S::LANES, BLOCK);
        let check = |block: S::B, expected: &dyn Fn(usize) -> f32| {
            let mut out = vec![f32::NAN; BLOCK + 1];
            s.block_store(block, &mut out);
            for (i, &got) in out[..BLOCK].iter().enumerate() {
                assert!(same(got, expected(i)), "{}: lane {i} is {got}, expected {}", S::ISA, expected(i));
            }
            assert!(out[BLOCK].is_nan());
        };
        check(a, &|i| x[i]);
        check(s.block_splat(3.0), &|_| 3.0);
        check(s.block_add(a, b), &|i| x[i] + x[i + 16]);
        check(s.block_mul(a, b), &|i| x[i] * x[i + 16]);
        check(s.block_max(a, s.block_splat(1.0)), &|i| x[i].max(1.0));
        check(s.block_max_nan(s.block_splat(f32::NAN), a), &|_| f32::NAN);
        check(s.block_mul_add(a, b, c), &|i| x[i] * x[i + 16] + x[i + 32]);
        check(s.block_mul_add_splat(s.splat(2.0), b, c), &|i| 2.0 * x[i + 16] + x[i + 32]);
    }
}

/// Quotients of numbers of many magnitudes, within an ulp.
struct Quotients;

impl Kernel for Quotients {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in 0..20_000u32 {
            let random = |seed: u32| {
                let bits = (i * 2 + seed).wrapping_mul(2_654_435_761);
                // 2^-31..2^32 and either sign.
                f32::from_bits((bits & 0x807f_ffff) | (96 + (bits >> 23 & 63)) << 23)
            };
            let (a, b) = (if i % 100 == 0 { 0.0 } else { random(0) }, random(1));
            let mut out = [f32::NAN; BLOCK];
            s.store(s.quotient(s.splat(a), s.splat(b)), &mut out);
            let exact = f64::from(a) / f64::from(b);
            let error = (f64::from(out[0]) - exact).abs();
            assert!(error <= exact.abs() * f64::from(f32::EPSILON), "{}: {a} / {b} = {}", S::ISA, out[0]);
        }
    }
}

#[test]
fn quotients_are_close() {
    for &isa in Isa::detected() {
        dispatch(isa, Quotients);
    }
}

#[test]
fn every_operation_agrees_with_plain_arithmetic() {
    for &isa in Isa::detected() {
        dispatch(isa, Operations);
        dispatch(isa, Memory);
        dispatch(isa, Blocks);
    }
}

struct Which;

impl Kernel for Which {
    type Output = Isa;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Isa {
        S::ISA
    }
}

#[test]
fn dispatch_runs_what_was_asked_or_scalar() {
    for isa in Isa::ALL {
        let expected = if isa.is_available() { isa } else { Isa::Scalar };
        assert_eq!(dispatch(isa, Which), expected);
    }
}
