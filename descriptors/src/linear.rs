//! Linear layers.

/// The sizes of a linear layer (`torch.nn.Linear`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Length of the last axis of the input.
    pub in_features: usize,
    /// Length of the last axis of the output.
    pub out_features: usize,
    /// The product of the other axes of a sample.
    pub rows: usize,
}

impl Linear {
    /// Floats of one input sample.
    #[inline]
    pub const fn input_len(&self) -> usize {
        self.rows * self.in_features
    }

    /// Floats of one output sample.
    #[inline]
    pub const fn output_len(&self) -> usize {
        self.rows * self.out_features
    }

    /// Floats of the weight `[out, in]`.
    #[inline]
    pub const fn weight_len(&self) -> usize {
        self.out_features * self.in_features
    }
}
