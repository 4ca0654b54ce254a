//! What a network owns: its parameters, its buffers, and room to work in.

use core::fmt;

use crate::arena::Arena;
use crate::buffer::Buffer;
use crate::info::NetworkInfo;
use crate::init;
use crate::kernels::Context;
use crate::simd::Isa;
use crate::workspaces::Workspaces;

/// What a network owns: the one field of the struct that the macro writes.
///
/// A clone has its own parameters and buffers.
#[derive(Default)]
pub struct State {
    /// All parameters, flat, where [`NetworkInfo::parameters`] says.
    pub parameters: Buffer,
    /// All buffers, flat, where [`NetworkInfo::buffers`] says.
    pub buffers: Buffer,
    workspaces: Workspaces<Workspace>,
}

impl State {
    /// Parameters initialised from a seed, and buffers with their first values.
    pub fn new(info: &NetworkInfo, seed: u64) -> Self {
        let mut state = Self::zeroed(info);
        for parameter in info.parameters {
            init::fill(parameter.init, seed, parameter.name, &mut state.parameters[parameter.range()]);
        }
        for buffer in info.buffers {
            state.buffers[buffer.range()].fill(buffer.fill);
        }
        state
    }

    /// Room for parameters and buffers, to be filled from a file.
    pub(crate) fn zeroed(info: &NetworkInfo) -> Self {
        let (parameters, buffers) = (Buffer::zeroed(info.parameter_count), Buffer::zeroed(info.buffer_count));
        Self { parameters, buffers, workspaces: Workspaces::default() }
    }

    /// Runs with a workspace that nobody else has, and keeps it for the next call.
    pub(crate) fn with_workspace<R>(&self, run: impl FnOnce(&mut Workspace) -> R) -> R {
        self.workspaces.with(|workspace| {
            workspace.context.isa = Isa::active();
            run(workspace)
        })
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
