//! Average pooling.

use super::pool2d::Pool2d;

/// An average pooling layer (`torch.nn.AvgPool2d`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    /// The windows, of dilation 1.
    pub pool: Pool2d,
    /// Whether the divisor counts elements of the padding; they are zero in the sum anyhow.
    pub count_include_pad: bool,
    /// The divisor, whatever the window holds (`divisor_override`).
    pub divisor: Option<usize>,
}
