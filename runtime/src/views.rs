//! Batches at a network's boundary: `ndarray` views into an arena and out of it, and owned arrays of results.

use alloc::vec::Vec;

use ndarray::{Array, ArrayView, ArrayViewMut, Axis, Dimension, Ix2, Ix3, Ix4, Slice};

use crate::arena::{Arena, Span};
use crate::error::{Error, Role};
use crate::info::ValueInfo;

/// Picks one of the places of a value: in evaluation, in training, or its gradient.
pub type Place = fn(&ValueInfo) -> Span;

/// The axes of a batch: the batch axis, then the one, two or three axes of a sample.
pub trait Axes: Dimension {
    /// The axes of this many samples of this shape.
    ///
    /// # Panics
    ///
    /// Where the number of axes is another.
    fn batched(batch: usize, sample: &[usize]) -> Self;
}

macro_rules! axes {
    ($ix:ident, $($axis:literal)+) => {
        impl Axes for $ix {
            fn batched(batch: usize, sample: &[usize]) -> Self {
                assert_eq!(sample.len(), [$($axis),+].len(), "axes of a sample");
                $ix(batch, $(sample[$axis]),+)
            }
        }
    };
}
axes!(Ix2, 0);
axes!(Ix3, 0 1);
axes!(Ix4, 0 1 2);

/// Views of a network's inputs, or of its outputs: one `ArrayView`, or a tuple of them in the spec's order.
pub trait Views<'a>: Sized + Sync {
    /// The batch size, once every array has been found to have its value's shape and all to have one batch size.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] and [`Error::Batches`].
    fn batch(&self, network: &'static str, role: Role, values: &'static [ValueInfo]) -> Result<usize, Error>;

    /// Copies the arrays, whatever their strides, into an arena that is prepared for their batch, or adds them to what is
    /// there. Of several that have one place, each is added to those before.
    fn write(&self, arena: &mut Arena, values: &'static [ValueInfo], place: Place, add: bool);

    /// Makes room in `copies`, one for each array, for a sample of those whose samples are not one run of floats.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there is no memory for it.
    fn reserve(
        &self,
        network: &'static str,
        values: &'static [ValueInfo],
        copies: &mut [Vec<f32>],
    ) -> Result<(), Error>;

    /// Sample number `index` of every array: where it lies or, where that is not one run of floats, copied.
    fn sample<'s>(&'s self, index: usize, copies: &'s mut [Vec<f32>], samples: &mut [&'s [f32]]);

    /// Views of the values in an arena.
    fn read(arena: &'a Arena, values: &'static [ValueInfo], place: Place) -> Self;

    /// Views of no samples.
    fn none(values: &'static [ValueInfo]) -> Self;
}

impl<'a, D: Axes> Views<'a> for ArrayView<'a, f32, D> {
    fn batch(&self, network: &'static str, role: Role, values: &'static [ValueInfo]) -> Result<usize, Error> {
        let ValueInfo { name, shape: expected, .. } = values[0];
        let found = self.shape();
        if found[1..] == *expected {
            Ok(found[0])
        } else {
            Err(Error::Shape { network, role, name, expected, found: found.to_vec() })
        }
    }

    fn write(&self, arena: &mut Arena, values: &'static [ValueInfo], place: Place, add: bool) {
        let axes = D::batched(arena.batch(), values[0].shape);
        let [floats] = arena.get([place(&values[0])]);
        match self.as_slice() {
            Some(contiguous) if !add => floats.copy_from_slice(contiguous),
            _ => {
                let mut to = ArrayViewMut::from_shape(axes, floats).expect("a planned value has its shape's size");
                if add {
                    to += self;
                } else {
                    to.assign(self);
                }
            }
        }
    }

    fn reserve(
        &self,
        network: &'static str,
        values: &'static [ValueInfo],
        copies: &mut [Vec<f32>],
    ) -> Result<(), Error> {
        if self.slice_axis(Axis(0), Slice::from(..1)).as_slice().is_some() {
            return Ok(());
        }
        let (len, copy) = (values[0].len(), &mut copies[0]);
        copy.clear();
        copy.try_reserve_exact(len).map_err(|_| Error::TooLarge {
            network,
            what: "a copy of a sample",
            batch: Some(1),
            bytes: len.checked_mul(4),
        })
    }

    fn sample<'s>(&'s self, index: usize, copies: &'s mut [Vec<f32>], samples: &mut [&'s [f32]]) {
        let sample = self.slice_axis(Axis(0), Slice::from(index..index + 1));
        samples[0] = match sample.to_slice() {
            Some(floats) => floats,
            None => {
                let copy = &mut copies[0];
                copy.clear();
                copy.extend(&sample);
                copy
            }
        };
    }

    fn read(arena: &'a Arena, values: &'static [ValueInfo], place: Place) -> Self {
        let axes = D::batched(arena.batch(), values[0].shape);
        ArrayView::from_shape(axes, arena.view(place(&values[0]))).expect("a planned value has its shape's size")
    }

    fn none(values: &'static [ValueInfo]) -> Self {
        ArrayView::from_shape(D::batched(0, values[0].shape), &[]).expect("no samples are no floats")
    }
}

/// A network's results for a batch: one `Array`, or a tuple of them in the spec's order.
pub trait Outputs: Sized {
    /// Copies the values out of an arena into new arrays.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there is no memory for them.
    fn from_arena(network: &'static str, arena: &Arena, values: &'static [ValueInfo]) -> Result<Self, Error>;

    /// Copies the values out of an arena into these arrays; allocates only where their shape is not that of the batch.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there is no memory for them.
    fn assign(&mut self, network: &'static str, arena: &Arena, values: &'static [ValueInfo]) -> Result<(), Error>;

    /// Arrays of no samples.
    fn none(values: &'static [ValueInfo]) -> Self;

    /// Gives the arrays the shape of a batch; allocates only where it is another. What they hold is unspecified.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where there is no memory for them.
    fn prepare(&mut self, network: &'static str, batch: usize, values: &'static [ValueInfo]) -> Result<(), Error>;

    /// Copies all samples of an arena over those from number `first` on.
    fn write_samples(&mut self, first: usize, arena: &Arena, values: &'static [ValueInfo], place: Place);
}

impl<D: Axes> Outputs for Array<f32, D> {
    fn from_arena(network: &'static str, arena: &Arena, values: &'static [ValueInfo]) -> Result<Self, Error> {
        let from = arena.view(values[0].evaluation);
        let mut floats = Vec::new();
        floats.try_reserve_exact(from.len()).map_err(|_| Error::TooLarge {
            network,
            what: "the outputs",
            batch: Some(arena.batch()),
            bytes: Some(size_of_val(from)),
        })?;
        floats.extend_from_slice(from);
        let axes = D::batched(arena.batch(), values[0].shape);
        Ok(Array::from_shape_vec(axes, floats).expect("a planned value has its shape's size"))
    }

    fn assign(&mut self, network: &'static str, arena: &Arena, values: &'static [ValueInfo]) -> Result<(), Error> {
        let axes = D::batched(arena.batch(), values[0].shape);
        let fits = self.raw_dim() == axes;
        match self.as_slice_mut() {
            Some(floats) if fits => floats.copy_from_slice(arena.view(values[0].evaluation)),
            _ => *self = Self::from_arena(network, arena, values)?,
        }
        Ok(())
    }

    fn none(values: &'static [ValueInfo]) -> Self {
        Array::zeros(D::batched(0, values[0].shape))
    }

    fn prepare(&mut self, network: &'static str, batch: usize, values: &'static [ValueInfo]) -> Result<(), Error> {
        let axes = D::batched(batch, values[0].shape);
        if self.raw_dim() == axes && self.is_standard_layout() {
            return Ok(());
        }
        let len = values[0].len().saturating_mul(batch);
        let mut floats = Vec::new();
        floats.try_reserve_exact(len).map_err(|_| Error::TooLarge {
            network,
            what: "the outputs",
            batch: Some(batch),
            bytes: len.checked_mul(4),
        })?;
        floats.resize(len, 0.0);
        *self = Array::from_shape_vec(axes, floats).expect("as many floats as the shape says");
        Ok(())
    }

    fn write_samples(&mut self, first: usize, arena: &Arena, values: &'static [ValueInfo], place: Place) {
        let from = arena.view(place(&values[0]));
        let start = first * values[0].len();
        let to = self.as_slice_mut().expect("`prepare` makes arrays in standard layout");
        to[start..start + from.len()].copy_from_slice(from);
    }
}

macro_rules! tuples {
    ($($T:ident $axis:tt)+) => {
        impl<'a, $($T: Views<'a>),+> Views<'a> for ($($T,)+) {
            fn batch(&self, network: &'static str, role: Role, values: &'static [ValueInfo]) -> Result<usize, Error> {
                let first = (values[0].name, self.0.batch(network, role, &values[0..1])?);
                $({
                    let other = (values[$axis].name, self.$axis.batch(network, role, &values[$axis..$axis + 1])?);
                    if other.1 != first.1 {
                        return Err(Error::Batches { network, role, first, other });
                    }
                })+
                Ok(first.1)
            }

            fn write(&self, arena: &mut Arena, values: &'static [ValueInfo], place: Place, add: bool) {
                $({
                    let again = values[..$axis].iter().any(|before| place(before) == place(&values[$axis]));
                    self.$axis.write(arena, &values[$axis..$axis + 1], place, add || again);
                })+
            }

            fn reserve(
                &self,
                network: &'static str,
                values: &'static [ValueInfo],
                copies: &mut [Vec<f32>],
            ) -> Result<(), Error> {
                $(self.$axis.reserve(network, &values[$axis..$axis + 1], &mut copies[$axis..$axis + 1])?;)+
                Ok(())
            }

            fn sample<'s>(&'s self, index: usize, copies: &'s mut [Vec<f32>], samples: &mut [&'s [f32]]) {
                $(
                    let (copy, copies) = copies.split_at_mut(1);
                    self.$axis.sample(index, copy, &mut samples[$axis..$axis + 1]);
                )+
                debug_assert!(copies.is_empty());
            }

            fn read(arena: &'a Arena, values: &'static [ValueInfo], place: Place) -> Self {
                ($($T::read(arena, &values[$axis..$axis + 1], place),)+)
            }

            fn none(values: &'static [ValueInfo]) -> Self {
                ($($T::none(&values[$axis..$axis + 1]),)+)
            }
        }

        impl<$($T: Outputs),+> Outputs for ($($T,)+) {
            fn from_arena(network: &'static str, arena: &Arena, values: &'static [ValueInfo]) -> Result<Self, Error> {
                Ok(($($T::from_arena(network, arena, &values[$axis..$axis + 1])?,)+))
            }

            fn assign(
                &mut self,
                network: &'static str,
                arena: &Arena,
                values: &'static [ValueInfo],
            ) -> Result<(), Error> {
                $(self.$axis.assign(network, arena, &values[$axis..$axis + 1])?;)+
                Ok(())
            }

            fn none(values: &'static [ValueInfo]) -> Self {
                ($($T::none(&values[$axis..$axis + 1]),)+)
            }

            fn prepare(
                &mut self,
                network: &'static str,
                batch: usize,
                values: &'static [ValueInfo],
            ) -> Result<(), Error> {
                $(self.$axis.prepare(network, batch, &values[$axis..$axis + 1])?;)+
                Ok(())
            }

            fn write_samples(&mut self, first: usize, arena: &Arena, values: &'static [ValueInfo], place: Place) {
                $(self.$axis.write_samples(first, arena, &values[$axis..$axis + 1], place);)+
            }
        }
    };
}
/// The most inputs or outputs that the compiler lets a spec have.
pub(crate) const MOST: usize = 32;

/// Calls a macro once for each length of tuple, 2 to [`MOST`], with `type index` pairs.
macro_rules! for_tuples {
    ($each:ident) => {
        for_tuples!(@ $each A 0 B 1; C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15 Q 16 R 17 S 18 T 19 U 20
            V 21 W 22 X 23 Y 24 Z 25 AA 26 AB 27 AC 28 AD 29 AE 30 AF 31);
    };
    (@ $each:ident $($T:ident $at:tt)+; $Next:ident $next:tt $($rest:tt)*) => {
        $each!($($T $at)+);
        for_tuples!(@ $each $($T $at)+ $Next $next; $($rest)*);
    };
    (@ $each:ident $($T:ident $at:tt)+;) => {
        $each!($($T $at)+);
    };
}
pub(crate) use for_tuples;
for_tuples!(tuples);
