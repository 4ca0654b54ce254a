//! Operations element by element.

/// Tensors that are added or multiplied element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast<'a> {
    /// The shape of one sample's output; what has fewer axes has ones on the left.
    pub output: [usize; 3],
    /// The shape of one sample of each input, two at least: along each axis the output's length or 1.
    pub inputs: &'a [[usize; 3]],
}
