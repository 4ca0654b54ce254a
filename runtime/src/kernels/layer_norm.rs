//! Layer normalisation.

/// A layer normalisation layer (`torch.nn.LayerNorm`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// Rows of one sample, each normalised by itself.
    pub rows: usize,
    /// Elements of one row: the product of `normalized_shape`.
    pub length: usize,
    /// Added to the variance.
    pub eps: f32,
}
