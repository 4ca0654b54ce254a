//! Floats on the heap, aligned to a cache line.

use alloc::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Floats on the heap, aligned to 64 bytes: a cache line, and an AVX-512 vector.
pub struct Buffer {
    floats: NonNull<f32>,
    len: usize,
}

/// A [`Buffer`] could not be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// How many floats were asked for.
    pub floats: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "out of memory: no room for {} floats", self.floats)
    }
}

impl core::error::Error for OutOfMemory {}

impl Buffer {
    /// The alignment in bytes.
    pub const ALIGNMENT: usize = 64;

    /// A buffer without floats; allocates nothing.
    pub const fn new() -> Self {
        // Any well aligned address does for no floats.
        let aligned = core::ptr::without_provenance_mut(Self::ALIGNMENT);
        match NonNull::new(aligned) {
            Some(floats) => Buffer { floats, len: 0 },
            None => unreachable!(),
        }
    }

    /// `len` zeros.
    ///
    /// # Errors
    /// When the allocator has no room, or `len` floats are more than an address can span.
    pub fn try_zeroed(len: usize) -> Result<Self, OutOfMemory> {
        if len == 0 {
            return Ok(Buffer::new());
        }
        let refused = OutOfMemory { floats: len };
        let layout = Self::layout(len).ok_or(refused)?;
        // SAFETY: the layout's size is not zero.
        let floats =
            unsafe { if layout.align() == Self::HUGE_PAGE { alloc_huge(layout) } else { alloc_zeroed(layout) } };
        Ok(Buffer { floats: NonNull::new(floats.cast()).ok_or(refused)?, len })
    }

    /// `len` zeros.
    ///
    /// # Panics
    /// Ends the program as other collections do when there is no memory; see [`Buffer::try_zeroed`].
    pub fn zeroed(len: usize) -> Self {
        Buffer::try_zeroed(len).unwrap_or_else(|refused| match Self::layout(len) {
            Some(layout) => handle_alloc_error(layout),
            None => panic!("{refused}"),
        })
    }

    /// Bytes of a huge page of Linux on x86-64 and, with pages of 4 KiB, on AArch64.
    pub(crate) const HUGE_PAGE: usize = 2 << 20;

    fn layout(len: usize) -> Option<Layout> {
        let layout = Layout::array::<f32>(len).ok()?;
        // Where less than a huge page would be filled, none is asked for.
        let huge = cfg!(all(feature = "std", target_os = "linux")) && layout.size() >= Self::HUGE_PAGE;
        layout.align_to(if huge { Self::HUGE_PAGE } else { Self::ALIGNMENT }).ok()
    }
}

/// Zeros in huge pages, where the system grants them: weights are read in one long stream each time, of which every page of 4 KiB
/// would cost a walk through the page tables (5 to 10 % of a layer that memory bounds).
///
/// # Safety
/// The layout's size is not zero.
unsafe fn alloc_huge(layout: Layout) -> *mut u8 {
    // Not `alloc_zeroed`, which would touch every page before the advice.
    // SAFETY: the caller's promise.
    let start = unsafe { alloc(layout) };
    if !start.is_null() {
        #[cfg(all(feature = "std", target_os = "linux"))]
        // SAFETY: the range is part of one allocation, and the advice changes nothing that it holds. Whether it is taken does not
        // matter.
        unsafe {
            libc::madvise(start.cast(), layout.size() & !(Buffer::HUGE_PAGE - 1), libc::MADV_HUGEPAGE);
        }
        // SAFETY: as many bytes have been allocated.
        unsafe { start.write_bytes(0, layout.size()) };
    }
    start
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let (Some(layout), 1..) = (Self::layout(self.len), self.len) {
            // SAFETY: `try_zeroed` allocated with this very layout.
            unsafe { dealloc(self.floats.as_ptr().cast(), layout) }
        }
    }
}

// SAFETY: a buffer owns its floats, as a `Vec<f32>` does.
unsafe impl Send for Buffer {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Buffer {}

impl Deref for Buffer {
    type Target = [f32];
    #[inline]
    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialised floats (zeroed at first) are owned by `self`.
        unsafe { core::slice::from_raw_parts(self.floats.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.floats.as_ptr(), self.len) }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer::new()
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Buffer::from(&**self)
    }

    fn clone_from(&mut self, from: &Self) {
        if self.len == from.len {
            self.copy_from_slice(from);
        } else {
            *self = from.clone();
        }
    }
}

impl From<&[f32]> for Buffer {
    fn from(floats: &[f32]) -> Self {
        let mut buffer = Buffer::zeroed(floats.len());
        buffer.copy_from_slice(floats);
        buffer
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Buffer {
    /// As a slice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn is_aligned_zeroed_and_a_slice() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let mut buffer = Buffer::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % Buffer::ALIGNMENT, 0);
            assert!(buffer.iter().all(|&x| x == 0.0));
            buffer.fill(2.5);
            let copy = buffer.clone();
            assert_eq!(copy, buffer);
            assert_ne!(copy.as_ptr(), if len == 0 { core::ptr::null() } else { buffer.as_ptr() });
        }
        assert_eq!(format!("{:?}", Buffer::from(&[1.0, 2.0][..])), "[1.0, 2.0]");
    }

    #[test]
    fn clone_from_keeps_the_allocation_where_the_length_agrees() {
        let mut to = Buffer::zeroed(3);
        let address = to.as_ptr();
        to.clone_from(&Buffer::from(&[1.0, 2.0, 3.0][..]));
        assert_eq!((to.as_ptr(), &to[..]), (address, &[1.0, 2.0, 3.0][..]));
        to.clone_from(&Buffer::new());
        assert!(to.is_empty());
    }

    #[test]
    fn refuses_what_cannot_be() {
        for len in [usize::MAX, isize::MAX as usize / 4, isize::MAX as usize / 8] {
            let refused = Buffer::try_zeroed(len).unwrap_err();
            assert_eq!(refused, OutOfMemory { floats: len });
            assert!(format!("{refused}").contains("floats"));
        }
    }
}
