//! Layers along one axis.

/// The axis of a softmax (`torch.nn.Softmax`, `torch.nn.LogSoftmax`): a sample is `[outer, length, inner]`, and the numbers along the middle axis become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Elements of the axes before, the batch left out.
    pub outer: usize,
    /// Elements of the axis.
    pub length: usize,
    /// Elements of the axes after.
    pub inner: usize,
}

/// Tensors that are joined along an axis: each sample of input `k` is `[outer, lengths[k]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat<'a> {
    /// Elements of the axes before, the batch left out.
    pub outer: usize,
    /// For each input, the elements of the axis times those of the axes after.
    pub lengths: &'a [usize],
}

impl Concat<'_> {
    /// Elements of all inputs in one row of the output.
    #[inline]
    pub fn row_len(&self) -> usize {
        self.lengths.iter().sum()
    }
}
