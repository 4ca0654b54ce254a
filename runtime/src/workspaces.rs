//! Room to work in, kept from call to call and shared by threads that call at once.

pub(crate) use list::Workspaces;

impl<T: Default> Workspaces<T> {
    /// Runs with a workspace that nobody else has, and keeps it for the next call. One that panics is dropped.
    pub fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        let mut workspace = self.take();
        let result = run(&mut workspace);
        self.put(workspace);
        result
    }
}

#[cfg(feature = "std")]
mod list {
    use alloc::vec::Vec;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Workspaces that no call is using. There come to be as many as calls ever ran at once, and the one that was used
    /// last is used next, since its memory is in the caches.
    pub(crate) struct Workspaces<T>(Mutex<Vec<T>>);

    impl<T> Default for Workspaces<T> {
        fn default() -> Self {
            Self(Mutex::default())
        }
    }

    impl<T: Default> Workspaces<T> {
        fn idle(&self) -> MutexGuard<'_, Vec<T>> {
            // Nothing panics while it holds the lock, and a list of idle workspaces is valid at any point.
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn take(&self) -> T {
            let idle = self.idle().pop();
            idle.unwrap_or_default()
        }

        pub fn put(&self, workspace: T) {
            self.idle().push(workspace);
        }

        pub fn clear(&self) {
            let idle = core::mem::take(&mut *self.idle());
            drop(idle);
        }
    }
}

#[cfg(not(feature = "std"))]
mod list {
    use alloc::boxed::Box;
    use core::marker::PhantomData;
    use core::ptr;
    use core::sync::atomic::{AtomicPtr, Ordering};

    /// The workspace that no call is using. Without the standard library there is no lock to keep a list under: of
    /// several calls at once, all but one make a workspace of their own and drop it.
    pub(crate) struct Workspaces<T>(AtomicPtr<T>, PhantomData<T>);

    impl<T> Default for Workspaces<T> {
        fn default() -> Self {
            Self(AtomicPtr::default(), PhantomData)
        }
    }

    impl<T: Default> Workspaces<T> {
        pub fn take(&self) -> T {
            let idle = self.0.swap(ptr::null_mut(), Ordering::Acquire);
            if idle.is_null() {
                return T::default();
            }
            // SAFETY: `put` made the pointer from a box, and the swap has given it to this call alone.
            *unsafe { Box::from_raw(idle) }
        }

        pub fn put(&self, workspace: T) {
            let workspace = Box::into_raw(Box::new(workspace));
            let idle = self.0.swap(workspace, Ordering::AcqRel);
            if !idle.is_null() {
                // SAFETY: as in `take`.
                drop(unsafe { Box::from_raw(idle) });
            }
        }

        pub fn clear(&self) {
            drop(self.take());
        }
    }

    impl<T> Drop for Workspaces<T> {
        fn drop(&mut self) {
            let idle = self.0.swap(ptr::null_mut(), Ordering::Acquire);
            if !idle.is_null() {
                // SAFETY: as in `take`.
                drop(unsafe { Box::from_raw(idle) });
            }
        }
    }
}
