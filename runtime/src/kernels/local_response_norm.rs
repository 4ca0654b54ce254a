//! Local response normalisation.

/// A local response normalisation layer (`torch.nn.LocalResponseNorm`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNorm {
    /// Channels, which the windows run over.
    pub channels: usize,
    /// Elements of one channel of one sample.
    pub inner: usize,
    /// Channels of a window.
    pub size: usize,
    /// Multiplies the mean of the squares.
    pub alpha: f32,
    /// The exponent.
    pub beta: f32,
    /// Added to the mean of the squares.
    pub k: f32,
}
