//! The algorithms that compute convolutions. Types alone; which one is chosen is told by [`super::cost`].

use std::fmt;

/// The algorithms between blocked values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockedAlgorithm {
    /// Tap by tap, any kernel.
    Direct,
    /// Channel by channel.
    Depthwise,
    /// F(2x2, 3x3): 2.25 times fewer multiplications.
    WinogradF2,
    /// F(4x4, 3x3): 4 times fewer multiplications.
    WinogradF4,
    /// F(2x2, 5x5): 2.78 times fewer multiplications.
    WinogradF2Of5,
}

/// The algorithms from a plain value of few channels to a blocked one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanarAlgorithm {
    /// Tap by tap, any kernel.
    Direct,
    /// F(2x2, 5x5): 2.78 times fewer multiplications.
    WinogradF2Of5,
    /// F(4x4, 4x4) for the phases of 7x7 kernels of stride 2: 4 times fewer multiplications.
    WinogradF4Of7,
}

/// What one of Winograd's algorithms computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Rows of its kernels.
    pub kernel: usize,
    /// Their stride.
    pub stride: usize,
    /// Rows of the outputs that it makes together.
    pub outputs: usize,
}

impl Tile {
    /// Rows of the planes of transformed weights, of all phases.
    pub const fn planes(&self) -> usize {
        (self.outputs + self.kernel.div_ceil(self.stride) - 1) * self.stride
    }
}

const F2: Tile = Tile { kernel: 3, stride: 1, outputs: 2 };
const F4: Tile = Tile { kernel: 3, stride: 1, outputs: 4 };
const F2_OF_5: Tile = Tile { kernel: 5, stride: 1, outputs: 2 };
const F4_OF_7: Tile = Tile { kernel: 7, stride: 2, outputs: 4 };

/// What is alike in both kinds of algorithm.
pub trait Algorithm: fmt::Display + Copy + PartialEq + 'static {
    /// The one that computes everything.
    const DIRECT: Self;
    /// All of them.
    const ALL: &'static [Self];

    /// The tile of one of Winograd's algorithms.
    fn tile(self) -> Option<Tile>;

    /// Whether it computes one channel from one channel alone.
    fn is_depthwise(self) -> bool {
        false
    }
}

impl Algorithm for BlockedAlgorithm {
    const DIRECT: Self = Self::Direct;
    const ALL: &'static [Self] =
        &[Self::Direct, Self::Depthwise, Self::WinogradF2, Self::WinogradF4, Self::WinogradF2Of5];

    fn tile(self) -> Option<Tile> {
        match self {
            Self::Direct | Self::Depthwise => None,
            Self::WinogradF2 => Some(F2),
            Self::WinogradF4 => Some(F4),
            Self::WinogradF2Of5 => Some(F2_OF_5),
        }
    }

    fn is_depthwise(self) -> bool {
        self == Self::Depthwise
    }
}

impl Algorithm for PlanarAlgorithm {
    const DIRECT: Self = Self::Direct;
    const ALL: &'static [Self] = &[Self::Direct, Self::WinogradF2Of5, Self::WinogradF4Of7];

    fn tile(self) -> Option<Tile> {
        match self {
            Self::Direct => None,
            Self::WinogradF2Of5 => Some(F2_OF_5),
            Self::WinogradF4Of7 => Some(F4_OF_7),
        }
    }
}

impl fmt::Display for BlockedAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Depthwise => "depthwise",
            Self::WinogradF2 => "Winograd F(2x2)",
            Self::WinogradF4 => "Winograd F(4x4)",
            Self::WinogradF2Of5 => "Winograd F(2x2, 5x5)",
        })
    }
}

impl fmt::Display for PlanarAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::WinogradF2Of5 => "Winograd F(2x2, 5x5)",
            Self::WinogradF4Of7 => "Winograd F(4x4, 7x7/2)",
        })
    }
}
