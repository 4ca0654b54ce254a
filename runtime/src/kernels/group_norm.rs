//! Group normalisation.

/// A group normalisation layer (`torch.nn.GroupNorm`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNorm {
    /// Groups of channels, each normalised by itself; a divisor of `channels`.
    pub groups: usize,
    /// Channels.
    pub channels: usize,
    /// Elements of one channel of one sample.
    pub inner: usize,
    /// Added to the variance.
    pub eps: f32,
}
