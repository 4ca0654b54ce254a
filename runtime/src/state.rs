//! What a network owns: its parameters, its buffers, and room to work in.

use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, PoisonError};

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::info::NetworkInfo;
use crate::init;
use crate::kernels::Context;
use crate::simd::Isa;

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
        self.workspaces.idle().clear();
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

/// Workspaces that no call is using. There come to be as many as calls ever ran at once, and the one that was used last
/// is used next, since its memory is in the caches.
#[derive(Default)]
struct Workspaces(Mutex<Vec<Workspace>>);

impl Workspaces {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Workspace>> {
        // Nothing panics while it holds the lock, and a list of idle workspaces is valid at any point.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Workspace {
        let idle = self.idle().pop();
        idle.unwrap_or_default()
    }

    fn put(&self, workspace: Workspace) {
        self.idle().push(workspace);
    }
}
