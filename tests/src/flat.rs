//! The inputs and outputs of any network as flat slices: what a test has that is generic over networks.

use castnet::info::ValueInfo;
use castnet::ndarray::{Array, ArrayView, Dimension};
use castnet::nested::Nested;
use castnet::views::Axes;

/// Views or a sample made from one slice per value.
pub trait FromFlat<'a> {
    /// Takes as many slices as there are values.
    fn from_flat(batch: usize, values: &'static [ValueInfo], floats: &[&'a [f32]]) -> Self;
}

/// Views, arrays or a prediction as one vector per value.
pub trait ToFlat {
    /// The floats of each value, the last axis fastest.
    fn to_flat(&self) -> Vec<Vec<f32>>;
}

impl<'a, D: Axes> FromFlat<'a> for ArrayView<'a, f32, D> {
    fn from_flat(batch: usize, values: &'static [ValueInfo], floats: &[&'a [f32]]) -> Self {
        ArrayView::from_shape(D::batched(batch, values[0].shape), floats[0]).expect("the slice has the value's size")
    }
}

impl<T: Nested> FromFlat<'_> for &'static T {
    /// The sample is never freed: a test has few of them.
    fn from_flat(_: usize, _: &'static [ValueInfo], floats: &[&[f32]]) -> Self {
        let mut sample = castnet::zeroed::<T>();
        sample.flat_mut().copy_from_slice(floats[0]);
        Box::leak(sample)
    }
}

impl<D: Dimension> ToFlat for ArrayView<'_, f32, D> {
    fn to_flat(&self) -> Vec<Vec<f32>> {
        vec![self.iter().copied().collect()]
    }
}

impl<D: Dimension> ToFlat for Array<f32, D> {
    fn to_flat(&self) -> Vec<Vec<f32>> {
        self.view().to_flat()
    }
}

macro_rules! nested {
    ($($size:ident)+, $array:ty) => {
        impl<$(const $size: usize),+> ToFlat for $array {
            fn to_flat(&self) -> Vec<Vec<f32>> {
                vec![self.flat().to_vec()]
            }
        }

        impl<$(const $size: usize),+> ToFlat for Box<$array> {
            fn to_flat(&self) -> Vec<Vec<f32>> {
                vec![self.flat().to_vec()]
            }
        }
    };
}
nested!(A, [f32; A]);
nested!(A B, [[f32; A]; B]);
nested!(A B C, [[[f32; A]; B]; C]);

macro_rules! tuples {
    ($($T:ident $at:tt)+) => {
        impl<'a, $($T: FromFlat<'a>),+> FromFlat<'a> for ($($T,)+) {
            fn from_flat(batch: usize, values: &'static [ValueInfo], floats: &[&'a [f32]]) -> Self {
                ($($T::from_flat(batch, &values[$at..], &floats[$at..]),)+)
            }
        }

        impl<$($T: ToFlat),+> ToFlat for ($($T,)+) {
            fn to_flat(&self) -> Vec<Vec<f32>> {
                [$(self.$at.to_flat()),+].concat()
            }
        }
    };
}

macro_rules! for_tuples {
    ($($T:ident $at:tt)+; $Next:ident $next:tt $($rest:tt)*) => {
        tuples!($($T $at)+);
        for_tuples!($($T $at)+ $Next $next; $($rest)*);
    };
    ($($T:ident $at:tt)+;) => {
        tuples!($($T $at)+);
    };
}
for_tuples!(A 0 B 1; C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15 Q 16 R 17 S 18 T 19 U 20 V 21 W 22 X 23
    Y 24 Z 25 AA 26 AB 27 AC 28 AD 29 AE 30 AF 31);
