//! Which instruction sets there are, which this machine has, and which one to use.

use core::fmt;
use core::str::FromStr;

/// An instruction set that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust in arrays of four: runs everywhere.
    Scalar,
    /// x86-64 with AVX2 and FMA (x86-64-v3).
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ (x86-64-v4).
    Avx512,
    /// AArch64 with Advanced SIMD.
    Neon,
}

/// No instruction set has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownIsa;

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such instruction set: expected scalar, avx2, avx512 or neon")
    }
}

impl core::error::Error for UnknownIsa {}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = UnknownIsa;

    /// Reads a name as `Display` writes it, in either case, with spaces around it.
    fn from_str(name: &str) -> Result<Self, UnknownIsa> {
        let name = name.trim();
        Isa::ALL.into_iter().find(|isa| name.eq_ignore_ascii_case(isa.name())).ok_or(UnknownIsa)
    }
}

impl Isa {
    /// Every instruction set, on whatever machine.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::Avx512];

    /// Those that a machine of this architecture may have.
    pub const fn of_architecture() -> &'static [Isa] {
        if cfg!(target_arch = "x86_64") {
            &[Isa::Scalar, Isa::Avx2, Isa::Avx512]
        } else if cfg!(target_arch = "aarch64") {
            &[Isa::Scalar, Isa::Neon]
        } else {
            &[Isa::Scalar]
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// Whether this machine has it. Without the feature `std`: whether the program was compiled for it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => super::Avx2::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => super::Avx512::new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => super::Neon::new().is_some(),
            _ => false,
        }
    }

    /// Those that this machine has, the best one last. An AVX-512 machine has all of its architecture's.
    pub fn detected() -> &'static [Isa] {
        let all = Isa::of_architecture();
        // Each one's requirements contain those of the one before, so what is available is a prefix.
        let count = all.iter().take_while(|isa| isa.is_available()).count();
        &all[..count]
    }

    /// The best one that this machine has.
    pub fn best() -> Isa {
        Isa::detected().last().copied().unwrap_or(Isa::Scalar)
    }

    /// The one to use: that of [`with_isa`] on this thread, else the environment's `CASTNET_ISA`, else the best.
    ///
    /// `CASTNET_ISA` is read once. A name that is unknown or that this machine lacks is reported on the standard error, once, and the
    /// best one is used.
    #[cfg(feature = "std")]
    pub fn active() -> Isa {
        static CHOSEN: std::sync::OnceLock<Isa> = std::sync::OnceLock::new();
        if let Some(isa) = OVERRIDE.get() {
            return isa;
        }
        *CHOSEN.get_or_init(|| {
            let wish = std::env::var_os("CASTNET_ISA");
            choose(wish.as_deref().map(|wish| wish.to_string_lossy()).as_deref()).unwrap_or_else(|complaint| {
                eprintln!("castnet: {complaint}");
                Isa::best()
            })
        })
    }

    /// The one to use: the best that the program was compiled for.
    #[cfg(not(feature = "std"))]
    pub fn active() -> Isa {
        Isa::best()
    }
}

/// What an environment variable's value asks for; an empty one asks for nothing.
#[cfg(feature = "std")]
fn choose(wish: Option<&str>) -> Result<Isa, String> {
    let Some(wish) = wish.filter(|wish| !wish.trim().is_empty()) else {
        return Ok(Isa::best());
    };
    match wish.parse::<Isa>() {
        Ok(isa) if isa.is_available() => Ok(isa),
        Ok(isa) => Err(format!("CASTNET_ISA={wish}: this machine has no {isa}; using {}", Isa::best())),
        Err(error) => Err(format!("CASTNET_ISA={wish}: {error}; using {}", Isa::best())),
    }
}

#[cfg(feature = "std")]
std::thread_local! {
    static OVERRIDE: core::cell::Cell<Option<Isa>> = const { core::cell::Cell::new(None) };
}

/// Calls `f` while [`Isa::active`] on this thread is `isa`; nests. Meant for tests and measurements.
///
/// # Panics
/// If this machine has no `isa`: a test must not pass by running something else.
#[cfg(feature = "std")]
pub fn with_isa<R>(isa: Isa, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Isa>);
    impl Drop for Restore {
        fn drop(&mut self) {
            OVERRIDE.set(self.0);
        }
    }
    assert!(isa.is_available(), "this machine has no {isa}");
    let _restore = Restore(OVERRIDE.replace(Some(isa)));
    f()
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn names_parse_as_they_print() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
            assert_eq!(format!(" {} ", isa.to_string().to_uppercase()).parse(), Ok(isa));
        }
        for wrong in ["", "avx", "avx5122", "sse2", "native"] {
            assert_eq!(wrong.parse::<Isa>(), Err(UnknownIsa));
        }
    }

    #[test]
    fn the_environment_chooses_or_is_told_why_not() {
        assert_eq!(choose(None), Ok(Isa::best()));
        assert_eq!(choose(Some(" ")), Ok(Isa::best()));
        for isa in Isa::ALL {
            let choice = choose(Some(&isa.to_string()));
            if isa.is_available() {
                assert_eq!(choice, Ok(isa));
            } else {
                assert!(choice.unwrap_err().contains(&format!("this machine has no {isa}")));
            }
        }
        let complaint = choose(Some("avx9")).unwrap_err();
        assert!(complaint.contains("CASTNET_ISA=avx9") && complaint.contains("avx512"), "{complaint}");
    }

    #[test]
    fn overrides_nest_and_end() {
        let before = Isa::active();
        for &outer in Isa::detected() {
            with_isa(outer, || {
                for &inner in Isa::detected() {
                    with_isa(inner, || assert_eq!(Isa::active(), inner));
                    assert_eq!(Isa::active(), outer);
                }
                let panicked = std::panic::catch_unwind(|| with_isa(Isa::Scalar, || panic!("on purpose")));
                assert!(panicked.is_err());
                assert_eq!(Isa::active(), outer);
            });
        }
        assert_eq!(Isa::active(), before);
    }

    #[test]
    fn the_best_comes_last_and_scalar_first() {
        assert_eq!(Isa::detected()[0], Isa::Scalar);
        assert_eq!(Isa::detected().last(), Some(&Isa::best()));
    }
}
