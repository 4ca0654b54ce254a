//! Register tiles whose size is chosen while running, among those that are compiled.

use crate::simd::{Isa, Kernel, Simd, dispatch};

/// Work that register tiles of `M` x `N` vectors do: `M` numbers that are broadcast times `N` vectors, summed in `M * N` registers.
pub(crate) trait Tiled {
    /// The tiles for 32 vector registers: `M * N` accumulators, `N` vectors and a number or two. At least 8 accumulators, since an FMA
    /// takes 4 cycles and two start in each.
    const SHAPES_32: &'static [(usize, usize)];
    /// The tiles for 16 vector registers.
    const SHAPES_16: &'static [(usize, usize)];
    /// Loads that a vector takes: two where it mostly spans two cache lines.
    const LOADS: usize;

    /// Does it by tiles of `M` x `N`. Implementors mark it `#[inline(always)]`.
    ///
    /// # Safety
    /// As the implementor says.
    unsafe fn run<S: Simd, const M: usize, const N: usize>(self, simd: S);
}

/// The tiles for so many registers.
const fn shapes<T: Tiled>(registers: usize) -> &'static [(usize, usize)] {
    if registers >= 32 { T::SHAPES_32 } else { T::SHAPES_16 }
}

/// The tile that does `rows` x `vectors` in the fewest cycles, and half of these cycles for each step.
pub(crate) fn best_shape<T: Tiled>(registers: usize, rows: usize, vectors: usize) -> ((usize, usize), usize) {
    let cycles = |&(m, n): &(usize, usize)| {
        // Two FMAs or two loads start in a cycle.
        rows.div_ceil(m) * vectors.div_ceil(n) * (m * n).max(m + T::LOADS * n)
    };
    let best = shapes::<T>(registers).iter().min_by_key(|shape| cycles(shape)).unwrap_or(&(1, 8));
    (*best, cycles(best))
}

/// Does `work` by tiles of `shape`, which [`best_shape`] returned for the registers of `isa`: a function of its own for each, compiled for
/// the instruction set.
///
/// # Safety
/// As [`Tiled::run`].
#[inline(always)]
pub(crate) unsafe fn run<T: Tiled>(isa: Isa, shape: (usize, usize), work: T) {
    macro_rules! arms {
        ($($m:literal x $n:literal),*) => {
            match shape {
                $(($m, $n) if const { contains(T::SHAPES_32, ($m, $n)) || contains(T::SHAPES_16, ($m, $n)) } => {
                    // The caller's promises go with it.
                    dispatch(isa, Tile::<T, $m, $n>(work));
                })*
                _ => unreachable!("a tile that best_shape does not know"),
            }
        };
    }
    arms!(
        24 x 1, 12 x 2, 8 x 3, 6 x 4, 5 x 5, 4 x 6, 3 x 8, 2 x 10, 1 x 12,
        12 x 1, 6 x 2, 4 x 3, 3 x 4, 2 x 5, 1 x 8
    );
}

/// Work by tiles of one size. Only [`run`] makes it, under its caller's promises.
struct Tile<T, const M: usize, const N: usize>(T);

impl<T: Tiled, const M: usize, const N: usize> Kernel for Tile<T, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // What an instruction set has not is not compiled for it, which is more than half of all.
        if const { !contains(shapes::<T>(S::REGISTERS), (M, N)) } {
            unreachable!("a tile that this instruction set has not");
        }
        // SAFETY: the promises made to `run`.
        unsafe { self.0.run::<S, M, N>(simd) }
    }
}

/// Whether a tile is one of `shapes`.
const fn contains(shapes: &[(usize, usize)], tile: (usize, usize)) -> bool {
    let mut i = 0;
    while i < shapes.len() {
        if shapes[i].0 == tile.0 && shapes[i].1 == tile.1 {
            return true;
        }
        i += 1;
    }
    false
}

/// Lanes and registers of `isa`.
pub(crate) fn lanes_and_registers(isa: Isa) -> (usize, usize) {
    struct Numbers;
    impl Kernel for Numbers {
        type Output = (usize, usize);
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> (usize, usize) {
            (S::LANES, S::REGISTERS)
        }
    }
    dispatch(isa, Numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_numbers_count() {
        assert!(contains(&[(1, 2), (3, 4)], (3, 4)));
        assert!(!contains(&[(1, 2), (3, 4)], (1, 4)));
        assert!(!contains(&[], (1, 1)));
    }

    struct Squares;
    impl Tiled for Squares {
        const SHAPES_32: &'static [(usize, usize)] = &[(5, 5), (1, 12)];
        const SHAPES_16: &'static [(usize, usize)] = &[(3, 4), (1, 8)];
        const LOADS: usize = 1;
        unsafe fn run<S: Simd, const M: usize, const N: usize>(self, _: S) {
            assert!(contains(shapes::<Self>(S::REGISTERS), (M, N)));
        }
    }

    #[test]
    fn every_shape_runs_where_it_is_compiled() {
        for &isa in Isa::detected() {
            let (_, registers) = lanes_and_registers(isa);
            for &shape in shapes::<Squares>(registers) {
                // SAFETY: it touches nothing.
                unsafe { run(isa, shape, Squares) };
            }
            assert_eq!(best_shape::<Squares>(registers, 1, 100).0.0, 1);
        }
    }
}
