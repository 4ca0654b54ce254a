//! Upsampling.

/// How an upsampling layer fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpsampleMode {
    /// The nearest input, as `torch.nn.Upsample(mode="nearest")` rounds.
    Nearest,
    /// Bilinear between the centres of the elements (`align_corners=False`).
    Bilinear,
    /// Bilinear with the corners of input and output on one another (`align_corners=True`).
    BilinearAlignCorners,
}

/// An upsampling layer (`torch.nn.Upsample`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upsample {
    /// Channels, height and width of one sample's input.
    pub input: [usize; 3],
    /// Channels, height and width of one sample's output: the input's times the scale, rounded down.
    pub output: [usize; 3],
    /// The scale factors of height and width as given. In double precision, as PyTorch takes them: the nearest index of
    /// a factor such as 1.2 depends on it.
    pub scale: [f64; 2],
    /// How to fill in.
    pub mode: UpsampleMode,
}
