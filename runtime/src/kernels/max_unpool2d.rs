//! Max unpooling.

/// The sizes of a max unpooling layer (`torch.nn.MaxUnpool2d`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxUnpool2d {
    /// Channels, height and width of one sample's input: the output of the pooling layer that found the indices.
    pub input: [usize; 3],
    /// Channels, height and width of one sample's output.
    pub output: [usize; 3],
}
