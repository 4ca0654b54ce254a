//! The trained tensors from which the weights of an inference program are packed, one layer after the other.

use alloc::boxed::Box;

use super::piece::Piece;
use super::stored::Stored;
use crate::error::Error;

/// A network's parameters and buffers.
#[derive(Debug)]
pub struct Tensors<'a>(Place<'a>);

/// Where they are.
#[derive(Debug)]
enum Place<'a> {
    Memory { parameters: &'a [f32], buffers: &'a [f32] },
    File(Box<Stored<'a>>),
}

impl<'a> Tensors<'a> {
    /// Those of a network in memory.
    pub fn new(parameters: &'a [f32], buffers: &'a [f32]) -> Self {
        Self(Place::Memory { parameters, buffers })
    }

    /// Those in a file.
    pub(crate) fn stored(stored: Stored<'a>) -> Self {
        Self(Place::File(Box::new(stored)))
    }

    /// Some pieces, all readable at once.
    ///
    /// # Errors
    ///
    /// None for a network in memory; [`Error::Io`] and [`Error::TooLarge`] for one in a file.
    pub fn get<const N: usize>(&mut self, pieces: [Piece; N]) -> Result<[&[f32]; N], Error> {
        match &mut self.0 {
            Place::Memory { parameters, buffers } => Ok(pieces.map(|piece| match piece {
                Piece::Parameter(range) => &parameters[range],
                Piece::Buffer(range) => &buffers[range],
            })),
            Place::File(stored) => stored.get(pieces),
        }
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
        let length: usize = pieces.iter().map(|piece| piece.range().len()).sum();
        assert_eq!(length, to.len(), "pieces of another length");
        if let Place::File(stored) = &mut self.0 {
            return stored.copy(pieces, to);
        }
        let mut rest = to;
        for piece in self.get(pieces)? {
            let (first, after) = rest.split_at_mut(piece.len());
            first.copy_from_slice(piece);
            rest = after;
        }
        Ok(())
    }
}
