//! Normalisations.

use core::ops::Range;

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

impl BatchNorm {
    /// Elements of a sample.
    #[inline]
    pub const fn sample_len(&self) -> usize {
        self.channels * self.inner
    }

    /// Where the elements of channel `c` of sample `n` stand.
    #[inline]
    pub fn plane(&self, n: usize, c: usize) -> Range<usize> {
        let start = n * self.sample_len() + c * self.inner;
        start..start + self.inner
    }
}

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

impl GroupNorm {
    /// Elements of one group of one sample.
    #[inline]
    pub const fn group_len(&self) -> usize {
        self.channels / self.groups * self.inner
    }
}

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

impl LocalResponseNorm {
    /// The channels that the window of channel `c` holds.
    #[inline]
    pub fn window(&self, c: usize) -> Range<usize> {
        c.saturating_sub(self.size / 2)..(c + self.size.div_ceil(2)).min(self.channels)
    }

    /// The channels whose windows hold channel `c`.
    #[inline]
    pub fn holders(&self, c: usize) -> Range<usize> {
        c.saturating_sub((self.size - 1) / 2)..(c + self.size / 2 + 1).min(self.channels)
    }

    /// Elements of a sample.
    #[inline]
    pub const fn sample_len(&self) -> usize {
        self.channels * self.inner
    }
}
