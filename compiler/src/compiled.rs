//! A network that is ready to be emitted.

use crate::memory::Planned;
use crate::shape::Shaped;

/// A network that is ready to be emitted.
#[derive(Debug)]
pub struct Compiled {
    /// Shapes, parameters and names.
    pub shaped: Shaped,
    /// The program of evaluation mode.
    pub evaluation: Planned,
    /// The program of a training step.
    pub training: Planned,
    /// The program of the frozen network.
    pub inference: Planned,
}
