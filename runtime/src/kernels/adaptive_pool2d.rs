//! Adaptive average and max pooling.

/// The sizes of an adaptive pooling layer (`torch.nn.AdaptiveAvgPool2d`, `torch.nn.AdaptiveMaxPool2d`).
///
/// Along an axis of `n` elements, window `i` of `m` runs from `floor(i * n / m)` to `ceil((i + 1) * n / m)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptivePool2d {
    /// Channels, height and width of one sample's input.
    pub input: [usize; 3],
    /// Channels, height and width of one sample's output; as many channels as the input.
    pub output: [usize; 3],
}
