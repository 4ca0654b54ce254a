//! What an output should have been: class numbers or values, borrowed from whatever holds them.

use alloc::vec::Vec;

use ndarray::{ArrayBase, ArrayView, ArrayViewD, Data, Dimension};

/// What an output should have been. Made from slices, `Vec`s and `ndarray` arrays of class numbers or of `f32` values.
///
/// ```
/// use castnet::{Target, ndarray::{Array2, Array4}};
///
/// let labels: Vec<u8> = vec![7, 2, 1];
/// assert!(matches!(Target::from(&labels), Target::Classes(_)));
/// let masks = Array4::<f32>::zeros((3, 1, 8, 8));
/// assert!(matches!(Target::from(masks.view()), Target::Values(_)));
/// let pairs = Array2::<i64>::zeros((3, 2));
/// assert!(matches!(Target::from(&pairs), Target::Classes(_)));
/// ```
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// Class numbers, one for each position of an output.
    Classes(Classes<'a>),
    /// Values of the output's shape.
    Values(ArrayViewD<'a, f32>),
}

/// Class numbers `[n]`, `[n, length]` or `[n, height, width]` of any integer type.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the types' names say it")]
pub enum Classes<'a> {
    U8(ArrayViewD<'a, u8>),
    U16(ArrayViewD<'a, u16>),
    U32(ArrayViewD<'a, u32>),
    U64(ArrayViewD<'a, u64>),
    Usize(ArrayViewD<'a, usize>),
    I8(ArrayViewD<'a, i8>),
    I16(ArrayViewD<'a, i16>),
    I32(ArrayViewD<'a, i32>),
    I64(ArrayViewD<'a, i64>),
}

/// A number that a target may hold: an integer for classes, `f32` for values.
pub trait TargetElement: sealed::Sealed + Sized + 'static {
    /// The view as a target.
    fn target(view: ArrayViewD<'_, Self>) -> Target<'_>;
}

mod sealed {
    /// The losses know what to do with these types alone.
    pub trait Sealed {}
    impl Sealed for f32 {}
}

impl TargetElement for f32 {
    fn target(view: ArrayViewD<'_, f32>) -> Target<'_> {
        Target::Values(view)
    }
}

macro_rules! classes {
    ($($integer:ident $variant:ident;)+) => {
        $(
            impl sealed::Sealed for $integer {}

            impl TargetElement for $integer {
                fn target(view: ArrayViewD<'_, $integer>) -> Target<'_> {
                    Target::Classes(Classes::$variant(view))
                }
            }
        )+

        impl Classes<'_> {
            /// The shape.
            pub fn shape(&self) -> &[usize] {
                match self {
                    $(Self::$variant(view) => view.shape(),)+
                }
            }

            /// Calls `each` with every class number, in order, until it says to stop.
            pub(crate) fn try_for_each<E>(&self, mut each: impl FnMut(usize, i128) -> Result<(), E>) -> Result<(), E> {
                match self {
                    $(Self::$variant(view) => {
                        view.iter().enumerate().try_for_each(|(at, &class)| each(at, class as i128))
                    })+
                }
            }
        }
    };
}
classes! {
    u8 U8;
    u16 U16;
    u32 U32;
    u64 U64;
    usize Usize;
    i8 I8;
    i16 I16;
    i32 I32;
    i64 I64;
}

impl<'a, T: TargetElement, D: Dimension> From<ArrayView<'a, T, D>> for Target<'a> {
    fn from(view: ArrayView<'a, T, D>) -> Self {
        T::target(view.into_dyn())
    }
}

impl<'a, T: TargetElement, S: Data<Elem = T>, D: Dimension> From<&'a ArrayBase<S, D>> for Target<'a> {
    fn from(array: &'a ArrayBase<S, D>) -> Self {
        array.view().into()
    }
}

impl<'a, T: TargetElement> From<&'a [T]> for Target<'a> {
    fn from(slice: &'a [T]) -> Self {
        ArrayView::from(slice).into()
    }
}

impl<'a, T: TargetElement> From<&'a Vec<T>> for Target<'a> {
    fn from(vector: &'a Vec<T>) -> Self {
        vector.as_slice().into()
    }
}

impl<'a, T: TargetElement, const N: usize> From<&'a [T; N]> for Target<'a> {
    fn from(array: &'a [T; N]) -> Self {
        array.as_slice().into()
    }
}
