//! How parameters begin.

/// How a parameter is initialised. The macro works out the numbers from PyTorch's rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in `-bound..bound`.
    Uniform(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// This value everywhere.
    Constant(f32),
}
