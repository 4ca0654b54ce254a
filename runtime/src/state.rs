//! What a network owns: its parameters, its buffers, and room to work in.

use core::fmt;

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::info::NetworkInfo;
use crate::init;
use crate::kernels::Context;
use crate::simd::Isa;
use workspaces::Workspaces;

/// What a network owns: the one field of the struct that the macro writes.
///
/// A clone has its own parameters and buffers.
#[derive(Default)]
pub struct State {
    /// All parameters, flat, where [`NetworkInfo::parameters`] says.
    pub parameters: Buffer,
    /// All buffers, flat, where [`NetworkInfo::buffers`] says.
    pub buffers: Buffer,
    workspaces: Workspaces,
}

impl State {
    /// Parameters initialised from a seed, and buffers with their first values.
    pub fn new(info: &NetworkInfo, seed: u64) -> Self {
        let mut parameters = Buffer::zeroed(info.parameter_count);
        for parameter in info.parameters {
            init::fill(parameter.init, seed, parameter.name, &mut parameters[parameter.range()]);
        }
        let mut buffers = Buffer::zeroed(info.buffer_count);
        for buffer in info.buffers {
            buffers[buffer.range()].fill(buffer.fill);
        }
        Self { parameters, buffers, workspaces: Workspaces::default() }
    }

    /// Runs with a workspace that nobody else has, and keeps it for the next call.
    pub(crate) fn with_workspace<R>(&self, run: impl FnOnce(&mut Workspace) -> R) -> R {
        let mut workspace = self.workspaces.take();
        workspace.context.isa = Isa::active();
        let result = run(&mut workspace);
        self.workspaces.put(workspace);
        result
    }

    /// Gives the memory of idle workspaces back. The next pass allocates again.
    pub fn release_workspaces(&self) {
        self.workspaces.clear();
    }
}

impl Clone for State {
    fn clone(&self) -> Self {
        Self { parameters: self.parameters.clone(), buffers: self.buffers.clone(), workspaces: Workspaces::default() }
    }
}

impl fmt::Debug for State {
    /// Sizes and not numbers: a network has millions of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("parameters", &self.parameters.len())
            .field("buffers", &self.buffers.len())
            .finish_non_exhaustive()
    }
}

/// Room for one evaluation pass.
#[derive(Default)]
pub(crate) struct Workspace {
    pub arena: Arena,
    pub context: Context,
}

#[cfg(feature = "std")]
mod workspaces {
    use alloc::vec::Vec;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::Workspace;

    /// Workspaces that no call is using. There come to be as many as calls ever ran at once, and the one that was used
    /// last is used next, since its memory is in the caches.
    #[derive(Default)]
    pub(super) struct Workspaces(Mutex<Vec<Workspace>>);

    impl Workspaces {
        fn idle(&self) -> MutexGuard<'_, Vec<Workspace>> {
            // Nothing panics while it holds the lock, and a list of idle workspaces is valid at any point.
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub fn take(&self) -> Workspace {
            let idle = self.idle().pop();
            idle.unwrap_or_default()
        }

        pub fn put(&self, workspace: Workspace) {
            self.idle().push(workspace);
        }

        pub fn clear(&self) {
            let idle = core::mem::take(&mut *self.idle());
            drop(idle);
        }
    }
}

#[cfg(not(feature = "std"))]
mod workspaces {
    use alloc::boxed::Box;
    use core::ptr;
    use core::sync::atomic::{AtomicPtr, Ordering};

    use super::Workspace;

    /// The workspace that no call is using. Without the standard library there is no lock to keep a list under: of
    /// several calls at once, all but one make a workspace of their own and drop it.
    #[derive(Default)]
    pub(super) struct Workspaces(AtomicPtr<Workspace>);

    impl Workspaces {
        pub fn take(&self) -> Workspace {
            let idle = self.0.swap(ptr::null_mut(), Ordering::Acquire);
            if idle.is_null() {
                return Workspace::default();
            }
            // SAFETY: `put` made the pointer from a box, and the swap has given it to this call alone.
            *unsafe { Box::from_raw(idle) }
        }

        pub fn put(&self, workspace: Workspace) {
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

    impl Drop for Workspaces {
        fn drop(&mut self) {
            self.clear();
        }
    }
}
