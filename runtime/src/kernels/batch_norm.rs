//! Batch normalisation.

/// A batch normalisation layer (`torch.nn.BatchNorm1d`, `torch.nn.BatchNorm2d`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Channels, each normalised by itself.
    pub channels: usize,
    /// Elements of one channel of one sample.
    pub inner: usize,
    /// Added to the variance.
    pub eps: f32,
    /// The share of the new statistic in the running one.
    pub momentum: f32,
}
