//! Convolutions: one file or folder for each algorithm, over descriptors by the layouts of input and output.

pub mod depthwise;
mod descriptor;
pub mod direct;
mod padded;
pub mod planar;
pub mod planar_input;
pub(super) mod tile;
pub mod winograd;

pub use descriptor::BlockedConv2d;
pub use planar::PlanarConv2d;
pub use planar_input::PlanarInputConv2d;
