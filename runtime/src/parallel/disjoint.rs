//! A slice of which several tasks write parts.

use core::marker::PhantomData;
use core::ops::Range;

/// A mutable slice of which several tasks write parts that do not overlap, where chunks are not enough: columns, channel blocks.
#[derive(Clone, Copy)]
pub struct Disjoint<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out mutable parts alone, whose not overlapping the callers of its unsafe functions vouch for.
unsafe impl<T: Send> Send for Disjoint<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Takes the slice for as long as parts may be written.
    pub fn new(slice: &'a mut [T]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// While the part is used, nobody uses an overlapping one.
    ///
    /// # Panics
    /// If `range` is not within the slice.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part outside of the slice");
        // SAFETY: within the slice, and the caller promises that nobody else uses it.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start) }
    }

    /// The first element's address, for kernels that write by pointer: what they write must be within the slice and be written by one
    /// task alone.
    #[inline]
    pub fn as_ptr(&self) -> *mut T {
        self.start
    }
}
