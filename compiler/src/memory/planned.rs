//! A program whose values have their places. Types alone.

use crate::lower::operation::Extent;
use crate::lower::program::{Id, Program};

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From and to, floats per sample.
    PerSample(usize, usize),
    /// From and to, floats.
    Fixed(usize, usize),
}

impl Place {
    /// Whether two places share a float.
    pub fn overlaps(self, other: Place) -> bool {
        match (self, other) {
            (Place::PerSample(a, b), Place::PerSample(c, d)) | (Place::Fixed(a, b), Place::Fixed(c, d)) => {
                a < d && c < b
            }
            _ => false,
        }
    }
}

/// Memory for some of a program's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arena {
    /// For each value that is the home of others or of itself, its place, if it has one here.
    pub(super) places: Vec<Option<Place>>,
    /// How much memory it is.
    pub size: Extent,
}

impl Arena {
    /// The place of the buffer in which a value lies; none where the arena's calls do not take it, or take it where the caller has it.
    pub fn place(&self, program: &Program, id: Id) -> Option<Place> {
        self.places[program.values[id].home]
    }
}

/// A program whose values have their places.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The program.
    pub program: Program,
    /// The arena of the first pass, which training's second pass shares.
    pub first: Arena,
    /// For inference the arena of the second pass, which a batch goes through together.
    pub second: Option<Arena>,
    /// For inference the buffers that the first pass makes and the second takes: they have a place in both.
    pub crossing: Vec<Id>,
    /// Values whose halo is zero already where their call begins, each with the value that left it there.
    pub kept_halos: Vec<(Id, Id)>,
}

impl Planned {
    /// The arena of call number `at`.
    pub fn arena(&self, at: usize) -> &Arena {
        match &self.second {
            Some(second) if at >= self.program.cut => second,
            _ => &self.first,
        }
    }

    /// Bytes of activations for one sample.
    pub fn bytes_per_sample(&self) -> usize {
        let floats: usize =
            [Some(&self.first), self.second.as_ref()].into_iter().flatten().map(|it| it.size.per_sample).sum();
        floats * size_of::<f32>()
    }
}
