//! Runs of a network's flat parameters and buffers, by which packing asks for tensors.

use core::ops::Range;

/// A run of a network's flat parameters or buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Of the parameters.
    Parameter(Range<usize>),
    /// Of the buffers.
    Buffer(Range<usize>),
}

impl Piece {
    pub(crate) fn range(&self) -> Range<usize> {
        let (Piece::Parameter(range) | Piece::Buffer(range)) = self;
        range.clone()
    }
}

/// The floats `range` of the parameters.
pub const fn parameter(range: Range<usize>) -> Piece {
    Piece::Parameter(range)
}

/// The floats `range` of the buffers.
pub const fn buffer(range: Range<usize>) -> Piece {
    Piece::Buffer(range)
}
