//! The trained tensors from which the weights of an inference program are packed, one layer after the other.

use core::ops::Range;

use crate::error::Error;

/// A run of a network's flat parameters or buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Of the parameters.
    Parameter(Range<usize>),
    /// Of the buffers.
    Buffer(Range<usize>),
}

/// The floats `range` of the parameters.
pub const fn parameter(range: Range<usize>) -> Piece {
    Piece::Parameter(range)
}

/// The floats `range` of the buffers.
pub const fn buffer(range: Range<usize>) -> Piece {
    Piece::Buffer(range)
}

/// A network's parameters and buffers.
#[derive(Debug)]
pub struct Tensors<'a> {
    parameters: &'a [f32],
    buffers: &'a [f32],
}

impl<'a> Tensors<'a> {
    /// Those of a network in memory.
    pub fn new(parameters: &'a [f32], buffers: &'a [f32]) -> Self {
        Self { parameters, buffers }
    }

    /// Some pieces, all readable at once.
    ///
    /// # Errors
    ///
    /// None for a network in memory.
    pub fn get<const N: usize>(&mut self, pieces: [Piece; N]) -> Result<[&[f32]; N], Error> {
        Ok(pieces.map(|piece| match piece {
            Piece::Parameter(range) => &self.parameters[range],
            Piece::Buffer(range) => &self.buffers[range],
        }))
    }

    /// Copies pieces one behind the other.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Panics
    ///
    /// Where `to` has not their length.
    pub fn copy<const N: usize>(&mut self, pieces: [Piece; N], to: &mut [f32]) -> Result<(), Error> {
        let mut rest = to;
        for piece in self.get(pieces)? {
            let (first, after) = rest.split_at_mut(piece.len());
            first.copy_from_slice(piece);
            rest = after;
        }
        assert!(rest.is_empty(), "pieces of another length");
        Ok(())
    }
}
