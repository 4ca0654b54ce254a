//! Shapes: the sizes of one sample.

use std::fmt;

/// The sizes of one sample: `[features]`, `[channels, length]` or `[channels, height, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(pub Vec<usize>);

impl Shape {
    /// The product of the sizes, or `None` where its bytes are more than memory can address.
    pub fn checked_len(&self) -> Option<usize> {
        checked_product(&self.0)
    }

    /// The product of the sizes. The shape stage has refused those that overflow.
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// Never true: sizes are 1 or more.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of axes without the batch.
    pub fn rank(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The largest number of floats that one tensor may have: half of what 48 address bits reach, 2^47 bytes, is 2^45 floats.
/// Below it no sum or product in the later stages overflows 64 bits.
pub const MOST_FLOATS: usize = 1 << 45;

/// The product of sizes, or `None` past [`MOST_FLOATS`].
pub fn checked_product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size).filter(|&p| p <= MOST_FLOATS))
}
