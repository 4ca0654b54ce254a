//! How kernels are held against the reference: [`check`] runs one on every instruction set of the machine and on 1, 2 and 3 threads.
//!
//! ```ignore
//! let input = testing::data(1, len);
//! let mut expected = vec![f32::NAN; len];
//! reference::softmax::forward(&op, &input, &mut expected);
//! testing::check("softmax", Tolerance::relative(1e-6), [expected], |context, [output]| {
//!     softmax::forward(context, &op, &input, output);
//! });
//! ```

use super::{Context, Random};
use crate::parallel::with_threads;
use crate::simd::{Isa, with_isa};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Once;

/// How far a number may be from the reference's: `absolute + relative * |reference|`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    pub absolute: f32,
    pub relative: f32,
    /// Whether the reference may be NaN or infinite; then the kernel must be so too, in the same places. Else either fails.
    pub special: bool,
}

impl Tolerance {
    /// The same numbers (zeros of either sign).
    pub const EXACT: Tolerance = Tolerance { absolute: 0.0, relative: 0.0, special: false };

    pub const fn absolute(absolute: f32) -> Self {
        Tolerance { absolute, ..Self::EXACT }
    }

    pub const fn relative(relative: f32) -> Self {
        Tolerance { relative, ..Self::EXACT }
    }

    /// For a sum of `terms` products of numbers in -1..1, added in f32 in any order. Partial sums are about sqrt(terms) / 3, each addition
    /// errs by half an epsilon of them, and errors grow as the root of their number: terms * epsilon / 6 is one standard deviation.
    pub fn sum(terms: usize) -> Self {
        Tolerance::absolute(f32::EPSILON * terms.max(4) as f32)
    }

    /// Lets the reference be NaN or infinite.
    pub const fn with_special(self) -> Self {
        Tolerance { special: true, ..self }
    }

    fn allows(self, got: f32, want: f32) -> bool {
        if want.is_finite() {
            // Not `!(difference > tolerance)`, which NaN would pass.
            (f64::from(got) - f64::from(want)).abs()
                <= f64::from(self.absolute) + f64::from(self.relative) * f64::from(want).abs()
        } else {
            self.special && (got == want || (got.is_nan() && want.is_nan()))
        }
    }
}

/// Fails, naming the worst element, unless every one of `got` is close to that of `want`.
#[track_caller]
pub(crate) fn assert_close(name: &str, tolerance: Tolerance, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}: lengths differ");
    let wrong = || (0..got.len()).filter(|&i| !tolerance.allows(got[i], want[i]));
    // NaN counts as the worst of all.
    let error = |i: usize| if got[i].is_nan() { f32::INFINITY } else { (got[i] - want[i]).abs() };
    if let Some(worst) = wrong().max_by(|&i, &j| error(i).total_cmp(&error(j))) {
        let first = wrong().next().unwrap();
        panic!(
            "{name}: {} of {} elements are wrong (tolerance {tolerance:?}); first [{first}] = {:?}, expected {:?}; \
             worst [{worst}] = {:?}, expected {:?}",
            wrong().count(),
            got.len(),
            got[first],
            want[first],
            got[worst],
            want[worst],
        );
    }
}

/// Fails unless both have the same bits.
#[track_caller]
pub(crate) fn assert_same_bits(name: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}: lengths differ");
    if let Some(i) = (0..got.len()).find(|&i| got[i].to_bits() != want[i].to_bits()) {
        panic!(
            "{name}: element {i} is {:?} ({:#x}), not {:?} ({:#x})",
            got[i],
            got[i].to_bits(),
            want[i],
            want[i].to_bits()
        );
    }
}

/// `len` numbers uniform in -1..1, the same for the same seed.
pub(crate) fn data(seed: u64, len: usize) -> Vec<f32> {
    data_in(seed, len, -1.0, 1.0)
}

/// `len` numbers uniform in `low..high`, the same for the same seed.
pub(crate) fn data_in(seed: u64, len: usize, low: f32, high: f32) -> Vec<f32> {
    let key = Random::new(seed).stream(0);
    (0..len as u64).map(|i| low + (high - low) * Random::uniform(key, i)).collect()
}

/// Sizes on both sides of the edges of a tile of `tile`: 1, and around once, twice and thrice the tile.
pub(crate) fn straddling(tile: usize) -> Vec<usize> {
    let around = [1, 2, 3].into_iter().flat_map(|n| [n * tile - 1, n * tile, n * tile + 1]);
    around.chain([1]).filter(|&n| n > 0).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The instruction sets of this machine. Those of its architecture that it lacks are announced once, past the test harness's capture.
pub(crate) fn isas() -> &'static [Isa] {
    static ANNOUNCED: Once = Once::new();
    ANNOUNCED.call_once(|| {
        for isa in Isa::of_architecture().iter().filter(|isa| !isa.is_available()) {
            let _ = writeln!(
                std::io::stderr(),
                "\n*** NOT TESTED: this machine has no {isa}; its kernels were not run ***\n"
            );
        }
    });
    Isa::detected()
}

/// Runs `kernel` on every instruction set of this machine, with outputs full of NaN, and fails unless
/// - on one thread the outputs are close to `expected`,
/// - on two and on three threads they have the same bits as on one,
/// - a second run with the same context, whose working memory holds NaN, gives the same bits.
#[track_caller]
pub(crate) fn check<const N: usize>(
    name: &str,
    tolerance: Tolerance,
    expected: [Vec<f32>; N],
    kernel: impl Fn(&mut Context, [&mut [f32]; N]),
) {
    let poison = expected.each_ref().map(|expected| vec![f32::NAN; expected.len()]);
    check_update(name, tolerance, poison, expected, kernel);
}

/// As [`check`], for buffers that a kernel also reads: each run starts from `initial`.
#[track_caller]
pub(crate) fn check_update<const N: usize>(
    name: &str,
    tolerance: Tolerance,
    initial: [Vec<f32>; N],
    expected: [Vec<f32>; N],
    kernel: impl Fn(&mut Context, [&mut [f32]; N]),
) {
    for &isa in isas() {
        let mut context = with_isa(isa, Context::new);
        context.random = Random { seed: 42, step: 7 };
        let run = |context: &mut Context, threads| {
            let mut outputs = initial.clone();
            with_threads(threads, || kernel(context, outputs.each_mut().map(|output| &mut output[..])));
            outputs
        };
        let once = run(&mut context, 1);
        for (i, (got, want)) in once.iter().zip(&expected).enumerate() {
            assert_close(&format!("{name}, {isa}, output {i}"), tolerance, got, want);
        }
        for threads in [1, 2, 3] {
            context.poison_scratch();
            for (i, (got, want)) in run(&mut context, threads).iter().zip(&once).enumerate() {
                assert_same_bits(&format!("{name}, {isa}, output {i}, again on {threads} threads"), got, want);
            }
        }
    }
}

mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn fails(f: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(f)).is_err()
    }

    #[test]
    fn comparisons_fail_where_they_should() {
        let close =
            |got: f32, want: f32| !fails(|| assert_close("", Tolerance::absolute(0.5), &[0.0, got], &[0.0, want]));
        assert!(close(1.5, 1.0) && close(0.5, 1.0));
        for got in [1.6, 0.4, f32::NAN, f32::INFINITY] {
            assert!(!close(got, 1.0), "{got}");
        }
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!close(special, special) && !close(1.0, special));
            let special_close = |got, want| Tolerance::absolute(0.5).with_special().allows(got, want);
            assert!(special_close(special, special));
            assert!(!special_close(special, 1.0) && !special_close(1.0, special) && !special_close(special, f32::MAX));
        }
        assert!(fails(|| assert_close("", Tolerance::EXACT, &[1.0], &[])));
        assert!(fails(|| assert_same_bits("", &[0.0], &[-0.0])));
    }

    #[test]
    fn check_notices_what_is_wrong() {
        let notices = |kernel: &dyn Fn(&mut Context, [&mut [f32]; 1])| {
            fails(|| check("", Tolerance::EXACT, [vec![1.0; 40]], kernel))
        };
        assert!(!notices(&|_, [output]| output.fill(1.0)));
        assert!(notices(&|_, [output]| output[..39].fill(1.0)), "an element that was not written");
        assert!(notices(&|_, [output]| output.iter_mut().for_each(|x| *x += 1.0)), "adding instead of writing");
        assert!(
            notices(&|context, [output]| output.fill(1.0 + context.scratch(1)[0])),
            "working memory that is taken to be zero"
        );
        let threads = || crate::parallel::threads() as f32;
        assert!(notices(&|_, [output]| output.fill(threads().min(2.0))), "a result that depends on the threads");
        for &isa in Isa::detected() {
            assert!(
                notices(&|context, [output]| output.fill(if context.isa == isa { 2.0 } else { 1.0 })),
                "{isa} is wrong"
            );
        }
    }

    #[test]
    fn data_is_the_same_for_the_same_seed() {
        assert_eq!(data(3, 100), data(3, 100));
        assert_ne!(data(3, 100), data(4, 100));
        assert!(data_in(5, 1000, 2.0, 3.0).iter().all(|x| (2.0..=3.0).contains(x)));
    }

    #[test]
    fn tolerances_fit_what_they_are_for() {
        for terms in [1, 10, 1000, 100_000] {
            let (x, y) = (data(1, terms), data(2, terms));
            let products = || x.iter().zip(&y);
            let exact: f64 = products().map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            let rounded: f32 = products().map(|(&x, &y)| x * y).sum();
            assert_close("sum", Tolerance::sum(terms), &[rounded], &[exact as f32]);
        }
        assert!(Tolerance::relative(0.1).allows(10.9, 10.0) && !Tolerance::relative(0.1).allows(11.1, 10.0));
    }

    #[test]
    fn sizes_straddle() {
        assert_eq!(straddling(4), [1, 3, 4, 5, 7, 8, 9, 11, 12, 13]);
        assert_eq!(straddling(1), [1, 2, 3, 4]);
    }

    /// On the machines that must run everything, CI names everything: `CASTNET_REQUIRE_ISA=avx2,avx512`.
    #[test]
    fn this_machine_has_what_is_required() {
        for name in
            std::env::var("CASTNET_REQUIRE_ISA").unwrap_or_default().split(',').filter(|name| !name.trim().is_empty())
        {
            let isa: Isa = name.parse().unwrap();
            assert!(isas().contains(&isa), "CASTNET_REQUIRE_ISA names {isa}, which this machine lacks");
        }
    }
}
