//! One sample at a network's boundary: nested arrays, whose sizes the compiler checks at the call.

use alloc::boxed::Box;
use alloc::vec;

use crate::arena::Arena;
use crate::info::ValueInfo;
use crate::views::{Place, for_tuples};

/// Nested arrays of floats: `[f32; F]`, `[[f32; L]; C]`, `[[[f32; W]; H]; C]`. Implemented for these alone.
pub trait Nested: sealed::Sealed + Copy + 'static {
    /// All floats, the last axis fastest.
    fn flat(&self) -> &[f32];

    /// All floats, the last axis fastest.
    fn flat_mut(&mut self) -> &mut [f32];
}

/// An array of zeros that was never on the stack, however large it is.
///
/// ```
/// let mut image = castnet::zeroed::<[[[f32; 1024]; 1024]; 3]>(); // 12 MiB
/// image[2][1023][0] = 1.0;
/// ```
pub fn zeroed<T: Nested>() -> Box<T> {
    let floats = vec![0.0f32; size_of::<T>() / size_of::<f32>()].into_boxed_slice();
    // SAFETY: `T` is nested arrays of f32 and nothing else (the trait is sealed), so a block of size_of::<T>() / 4 floats
    // has the size, the alignment and the validity of a `T`; and the box gives its ownership up.
    unsafe { Box::from_raw(Box::into_raw(floats).cast::<T>()) }
}

mod sealed {
    /// Keeps `Nested` to types that are floats and nothing else: `zeroed` relies on it.
    pub trait Sealed {}
    impl<const A: usize> Sealed for [f32; A] {}
    impl<const A: usize, const B: usize> Sealed for [[f32; A]; B] {}
    impl<const A: usize, const B: usize, const C: usize> Sealed for [[[f32; A]; B]; C] {}
}

/// One sample for a network: a reference to nested arrays, or a tuple of them in the spec's order.
pub trait Sample: Copy {
    /// Copies the sample into an arena that is prepared for a batch of one.
    fn write(self, arena: &mut Arena, values: &'static [ValueInfo], place: Place);

    /// The floats of every array, where they lie.
    fn read<'s>(self, samples: &mut [&'s [f32]])
    where
        Self: 's;
}

impl<T: Nested> Sample for &T {
    fn write(self, arena: &mut Arena, values: &'static [ValueInfo], place: Place) {
        let [floats] = arena.get([place(&values[0])]);
        floats.copy_from_slice(self.flat());
    }

    fn read<'s>(self, samples: &mut [&'s [f32]])
    where
        Self: 's,
    {
        samples[0] = self.flat();
    }
}

/// A network's results for one sample: nested arrays, boxed where they are large, or a tuple in the spec's order.
pub trait Prediction: Sized {
    /// Zeros, made where they will stay: a boxed array is never on the stack.
    fn zeroed() -> Self;

    /// Copies the results out of the arena of a batch of one.
    fn read(&mut self, arena: &Arena, values: &'static [ValueInfo], place: Place);
}

impl<T: Nested> Prediction for Box<T> {
    fn zeroed() -> Self {
        zeroed()
    }

    fn read(&mut self, arena: &Arena, values: &'static [ValueInfo], place: Place) {
        self.flat_mut().copy_from_slice(arena.view(place(&values[0])));
    }
}

macro_rules! nested {
    ([$($size:ident)+], $array:ty, $zeros:expr, $($flatten:ident)*) => {
        impl<$(const $size: usize),+> Nested for $array {
            fn flat(&self) -> &[f32] {
                self.as_slice()$(.$flatten())*
            }

            fn flat_mut(&mut self) -> &mut [f32] {
                nested!(@mut self.as_mut_slice(), $($flatten)*)
            }
        }

        impl<$(const $size: usize),+> Prediction for $array {
            fn zeroed() -> Self {
                $zeros
            }

            fn read(&mut self, arena: &Arena, values: &'static [ValueInfo], place: Place) {
                self.flat_mut().copy_from_slice(arena.view(place(&values[0])));
            }
        }
    };
    (@mut $array:expr, ) => { $array };
    (@mut $array:expr, $first:ident $($rest:ident)*) => { nested!(@mut $array.as_flattened_mut(), $($rest)*) };
}
nested!([A], [f32; A], [0.0; A],);
nested!([A B], [[f32; A]; B], [[0.0; A]; B], as_flattened);
nested!([A B C], [[[f32; A]; B]; C], [[[0.0; A]; B]; C], as_flattened as_flattened);

macro_rules! tuples {
    ($($T:ident $axis:tt)+) => {
        impl<$($T: Sample),+> Sample for ($($T,)+) {
            fn write(self, arena: &mut Arena, values: &'static [ValueInfo], place: Place) {
                $(self.$axis.write(arena, &values[$axis..$axis + 1], place);)+
            }

            fn read<'s>(self, samples: &mut [&'s [f32]])
            where
                Self: 's,
            {
                $(self.$axis.read(&mut samples[$axis..$axis + 1]);)+
            }
        }

        impl<$($T: Prediction),+> Prediction for ($($T,)+) {
            fn zeroed() -> Self {
                ($($T::zeroed(),)+)
            }

            fn read(&mut self, arena: &Arena, values: &'static [ValueInfo], place: Place) {
                $(self.$axis.read(arena, &values[$axis..$axis + 1], place);)+
            }
        }
    };
}
for_tuples!(tuples);

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn the_last_axis_is_fastest() {
        let mut array = [[[0.0f32; 4]; 3]; 2];
        array[1][2][3] = 1.0;
        array[0][1][0] = 2.0;
        assert_eq!((array.flat()[23], array.flat()[4]), (1.0, 2.0));
        array.flat_mut()[12] = 3.0;
        assert_eq!(array[1][0][0], 3.0);
        assert_eq!([[5.0f32, 6.0], [7.0, 8.0]].flat(), [5.0, 6.0, 7.0, 8.0]);
        assert_eq!([5.0f32, 6.0].flat(), [5.0, 6.0]);
    }

    #[test]
    fn a_large_array_is_made_on_the_heap() {
        // 64 MiB through a stack of 64 KiB: in a debug build a copy by value would overflow it.
        let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
            let mut array = zeroed::<[[[f32; 4096]; 2048]; 2]>();
            array[1][2047][4095] = 1.0;
            (array.flat()[(16 << 20) - 1], array.flat()[0], array.flat().len())
        });
        assert_eq!(thread.unwrap().join().unwrap(), (1.0, 0.0, 16 << 20));
    }
}
