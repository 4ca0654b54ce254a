//! Memory from an array: enough for a program that makes a network once and then only predicts.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Packed weights (269 KB), those of the largest layer while they are packed (193 KB), activations, rounded up.
const BYTES: usize = 1 << 20;

#[repr(C, align(64))]
struct Memory {
    bytes: UnsafeCell<[u8; BYTES]>,
    used: AtomicUsize,
}

// SAFETY: `alloc` gives each byte to one caller only.
unsafe impl Sync for Memory {}

#[global_allocator]
static MEMORY: Memory = Memory { bytes: UnsafeCell::new([0; BYTES]), used: AtomicUsize::new(0) };

/// Bytes that have been given out.
pub fn used() -> usize {
    MEMORY.used.load(Relaxed)
}

// SAFETY: blocks lie within the array, are aligned (up to the array's own alignment; no more is given), and never overlap.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let place = |used: usize| {
            let start = used.checked_next_multiple_of(layout.align())?;
            let end = start.checked_add(layout.size())?;
            (end <= BYTES && layout.align() <= align_of::<Self>()).then_some((start, end))
        };
        match self.used.fetch_update(Relaxed, Relaxed, |used| place(used).map(|(_, end)| end)) {
            // SAFETY: `start` lies within the array.
            Ok(used) => match place(used) {
                Some((start, _)) => unsafe { self.bytes.get().cast::<u8>().add(start) },
                None => ptr::null_mut(),
            },
            Err(_) => ptr::null_mut(),
        }
    }

    /// Gives back what was given out last; anything else stays taken.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let start = block.addr() - self.bytes.get().addr();
        _ = self.used.compare_exchange(start + layout.size(), start, Relaxed, Relaxed);
    }
}
