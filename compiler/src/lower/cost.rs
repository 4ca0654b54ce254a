//! Estimates of time: the model by which algorithms are chosen and the inference program is cut.
//!
//! The machine of the model is one core of a Xeon of the Sapphire Rapids kind with AVX-512. What is compared are ratios, and they hold
//! for AVX2 about as well, since what Winograd's algorithms save and what their weights cost in bytes do not depend on the instruction
//! set. A convolution takes the longer of computing and of reading its weights, which come from beyond the second cache once a run:
//!
//! ```text
//! direct:     max(MACS / 81,  4 WEIGHTS / 15)                                           nanoseconds
//! F(m x m):   max(PRODUCTS / 75,  4 TRANSFORMED * PASSES / 15) + LINES * 2.7
//!
//! PRODUCTS    = TILES * n^2 * ic * oc        n = m + k - 1; TILES = batch * ceil(h / m) * ceil(w / m)
//! TRANSFORMED = n^2 * ic * oc                floats of weights, read once for every 56 tiles
//! LINES       = TILES * (n^2 ic + (n^2 / 2 + m^2) oc) / 16     cache lines that the transforms write, or read (counted half)
//! ```
//!
//! 81 and 75 are 95 % and 88 % of the 85 multiply-adds that a core does in a nanosecond; 15 bytes a nanosecond is what a
//! convolution gets from the third cache (a loop that does nothing else gets more); and writing a line that is not in the first cache takes 2.7 ns.
//!
//! From a planar value of few channels, everything is in the first cache, and vectors are full only along the output channels:
//!
//! ```text
//! direct:         MACS / 76
//! F(2x2, 5x5):    TILES * (3 ic + (13 + 9.7 ic) * ceil(oc / 16))
//! F(4x4, 7x7/2):  TILES * (80 ic + (58 + 50 ic) * ceil(oc / 16))
//! ```

use super::algorithm::{Algorithm, BlockedAlgorithm, PlanarAlgorithm, Tile};
use crate::spec::header::Winograd;
use castnet_descriptors::{BLOCK, Conv2d, Linear};

/// An algorithm whose time the model knows.
pub trait Modelled: Algorithm {
    /// The time for a batch on one core, in nanoseconds.
    fn nanoseconds(self, sizes: &Conv2d, batch: usize) -> f64;

    /// Whether it computes a convolution of these sizes.
    fn computes(self, sizes: &Conv2d) -> bool {
        match self.tile() {
            Some(Tile { kernel, stride, .. }) => {
                sizes.kernel == [kernel; 2]
                    && sizes.stride == [stride; 2]
                    && sizes.dilation == [1, 1]
                    && sizes.groups == 1
            }
            None if self.is_depthwise() => sizes.groups == sizes.input[0] && sizes.groups == sizes.output[0],
            None => true,
        }
    }

    /// The fastest for one sample, of those that the spec allows.
    fn fastest(sizes: &Conv2d, winograd: Winograd) -> Self {
        let computes = |algorithm: &&Self| algorithm.computes(sizes);
        let forced = match winograd {
            Winograd::F2 => Some(2),
            Winograd::F4 => Some(4),
            Winograd::Chosen | Winograd::Never => None,
        };
        let is_forced = |algorithm: &&Self| forced.is_some() && algorithm.tile().map(|tile| tile.outputs) == forced;
        if let Some(&algorithm) = Self::ALL.iter().filter(computes).find(is_forced) {
            return algorithm;
        }
        let allowed = |algorithm: &&Self| algorithm.tile().is_none() || winograd == Winograd::Chosen;
        let mut best = (Self::DIRECT, Self::DIRECT.nanoseconds(sizes, 1));
        for &algorithm in Self::ALL.iter().filter(computes).filter(allowed) {
            let time = algorithm.nanoseconds(sizes, 1);
            if time < best.1 {
                best = (algorithm, time);
            }
        }
        best.0
    }
}

/// Multiply-adds a nanosecond of one core.
const MACS: f64 = 85.0;
/// What of them direct convolution reaches.
const DIRECT: f64 = 0.95;
/// What of them Winograd's products reach.
const PRODUCTS: f64 = 0.88;
/// What of them direct convolution reaches from planar values.
const PLANAR: f64 = 0.9;
/// Nanoseconds for a tile of Winograd's algorithms from planar values.
struct PlanarTile {
    /// Transforming a channel.
    input: f64,
    /// Multiplying a channel for 16 outputs.
    products: f64,
    /// Transforming those.
    output: f64,
}
/// F(2x2, 5x5).
const PLANAR_2: PlanarTile = PlanarTile { input: 3.0, products: 9.7, output: 13.0 };
/// F(4x4, 7x7/2).
const PLANAR_4: PlanarTile = PlanarTile { input: 80.0, products: 50.0, output: 58.0 };
/// Bytes read in a nanosecond from beyond the second cache.
const BYTES: f64 = 15.0;
/// Nanoseconds to write a cache line to the second cache.
const LINE: f64 = 2.7;
/// Tiles that Winograd's kernels work on for each reading of the weights.
const TILES: usize = 56;

impl Modelled for BlockedAlgorithm {
    fn nanoseconds(self, sizes: &Conv2d, batch: usize) -> f64 {
        if let Some(tile) = self.tile() {
            return winograd(sizes, &tile, batch);
        }
        let weights = packed_weights(sizes, self.is_depthwise());
        let pixels = (batch * sizes.output[1] * sizes.output[2]) as f64;
        (pixels * weights / (DIRECT * MACS)).max(4.0 * weights / BYTES)
    }
}

impl Modelled for PlanarAlgorithm {
    fn nanoseconds(self, sizes: &Conv2d, batch: usize) -> f64 {
        let [height, width] = [sizes.output[1], sizes.output[2]];
        let tile = match self {
            Self::Direct => {
                let pixels = (batch * height * width) as f64;
                return pixels * packed_weights(sizes, false) / (PLANAR * MACS);
            }
            Self::WinogradF2Of5 => PLANAR_2,
            Self::WinogradF4Of7 => PLANAR_4,
        };
        let [inputs, blocks] = [sizes.input[0] as f64, sizes.output[0].div_ceil(BLOCK) as f64];
        let rows = self.tile().map_or(1, |tile| tile.outputs);
        let tiles = (batch * height.div_ceil(rows) * width.div_ceil(rows)) as f64;
        tiles * (tile.input * inputs + (tile.output + tile.products * inputs) * blocks)
    }
}

/// Floats of direct convolution's packed weights, without the bias.
fn packed_weights(sizes: &Conv2d, depthwise: bool) -> f64 {
    let Conv2d { input: [inputs, ..], output: [outputs, ..], kernel, groups, .. } = *sizes;
    let taps = kernel[0] * kernel[1];
    let taps = if depthwise {
        taps
    } else {
        // Full vectors: 16 output channels at a time, each with the inputs of all groups that the 16 belong to.
        (inputs / groups * BLOCK.div_ceil(outputs / groups)).min(inputs) * taps
    };
    (taps * outputs.next_multiple_of(BLOCK)) as f64
}

fn winograd(sizes: &Conv2d, tile: &Tile, batch: usize) -> f64 {
    let (planes, m) = (tile.planes().pow(2), tile.outputs);
    let tiles = batch * sizes.output[1].div_ceil(m) * sizes.output[2].div_ceil(m);
    let blocks = |channels: usize| channels.div_ceil(BLOCK) as f64;
    let [inputs, outputs] = [sizes.input[0], sizes.output[0]];
    let weights = (planes * inputs) as f64 * blocks(outputs) * BLOCK as f64;
    let passes = tiles.div_ceil(TILES) as f64;
    let lines = planes as f64 * blocks(inputs) + (planes as f64 / 2.0 + (m * m) as f64) * blocks(outputs);
    let products = tiles as f64 * weights / (PRODUCTS * MACS);
    products.max(4.0 * weights * passes / BYTES) + tiles as f64 * lines * LINE
}

/// Nanoseconds in which a core reads or writes so many floats beyond the second cache.
pub fn transfer(floats: usize) -> f64 {
    4.0 * floats as f64 / BYTES
}

/// Nanoseconds for a linear layer on a batch.
pub fn linear(sizes: &Linear, batch: usize) -> f64 {
    let weights = (sizes.in_features * sizes.out_features.next_multiple_of(BLOCK)) as f64;
    ((sizes.rows * batch) as f64 * weights / (DIRECT * MACS)).max(4.0 * weights / BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use castnet_descriptors::PaddingMode;

    fn conv(inputs: usize, outputs: usize, size: usize) -> Conv2d {
        square(3, inputs, outputs, size)
    }

    fn square(kernel: usize, inputs: usize, outputs: usize, size: usize) -> Conv2d {
        Conv2d {
            input: [inputs, size, size],
            output: [outputs, size, size],
            kernel: [kernel; 2],
            stride: [1, 1],
            padding: [kernel / 2; 2],
            dilation: [1, 1],
            groups: 1,
            padding_mode: PaddingMode::Zeros,
        }
    }

    fn blocked(sizes: &Conv2d, winograd: Winograd) -> BlockedAlgorithm {
        BlockedAlgorithm::fastest(sizes, winograd)
    }

    fn planar(sizes: &Conv2d, winograd: Winograd) -> PlanarAlgorithm {
        PlanarAlgorithm::fastest(sizes, winograd)
    }

    #[test]
    fn choices_are_those_that_were_measured() {
        for (inputs, outputs, size) in [(64, 64, 56), (128, 128, 28), (512, 512, 28), (64, 64, 224), (256, 256, 14)] {
            let algorithm = blocked(&conv(inputs, outputs, size), Winograd::Chosen);
            assert_eq!(algorithm, BlockedAlgorithm::WinogradF4, "{inputs} {outputs} {size}");
        }
        assert_ne!(blocked(&conv(512, 512, 7), Winograd::Chosen), BlockedAlgorithm::WinogradF4);
        // Maps of a few pixels are bound by their weights.
        assert_eq!(blocked(&conv(512, 512, 2), Winograd::Chosen), BlockedAlgorithm::Direct);
    }

    #[test]
    fn larger_kernels() {
        for (inputs, outputs, size) in [(16, 32, 28), (20, 50, 12), (64, 96, 17), (64, 192, 27)] {
            let sizes = square(5, inputs, outputs, size);
            let choices = [Winograd::Chosen, Winograd::F2, Winograd::F4, Winograd::Never].map(|w| blocked(&sizes, w));
            let (f2, direct) = (BlockedAlgorithm::WinogradF2Of5, BlockedAlgorithm::Direct);
            assert_eq!(choices, [f2, f2, direct, direct], "{inputs} {outputs} {size}");
        }
        assert_eq!(blocked(&square(5, 8, 16, 28), Winograd::Chosen), BlockedAlgorithm::Direct);
        // From planar values, where one channel is too few for its transform to pay.
        for (inputs, outputs, size) in [(3, 64, 32), (4, 16, 14), (6, 16, 14)] {
            let sizes = square(5, inputs, outputs, size);
            let algorithm = planar(&sizes, Winograd::Chosen);
            assert_eq!(algorithm, PlanarAlgorithm::WinogradF2Of5, "{inputs} {outputs} {size}");
        }
        assert_eq!(planar(&square(5, 1, 16, 28), Winograd::Chosen), PlanarAlgorithm::Direct);
        assert_eq!(planar(&square(5, 1, 16, 28), Winograd::F2), PlanarAlgorithm::WinogradF2Of5);
        assert_eq!(planar(&square(5, 6, 16, 14), Winograd::Never), PlanarAlgorithm::Direct);
        // 7x7 of stride 2, which only planar values are read for.
        let mut sizes = square(7, 3, 64, 224);
        (sizes.stride, sizes.output) = ([2, 2], [64, 112, 112]);
        assert_eq!(planar(&sizes, Winograd::Chosen), PlanarAlgorithm::WinogradF4Of7);
        assert_eq!(planar(&sizes, Winograd::F4), PlanarAlgorithm::WinogradF4Of7);
        assert_eq!(planar(&sizes, Winograd::F2), PlanarAlgorithm::Direct);
        assert_eq!(blocked(&sizes, Winograd::F4), BlockedAlgorithm::Direct);
        (sizes.input[0], sizes.output[0]) = (1, 16);
        assert_eq!(planar(&sizes, Winograd::Chosen), PlanarAlgorithm::Direct);
        // The other algorithms do not read planar values.
        for winograd in [Winograd::Chosen, Winograd::F2, Winograd::F4] {
            assert_eq!(planar(&conv(3, 64, 224), winograd), PlanarAlgorithm::Direct);
        }
    }

    #[test]
    fn what_an_algorithm_does_not_compute_is_not_chosen() {
        let mut sizes = conv(64, 64, 56);
        assert_eq!(blocked(&sizes, Winograd::Never), BlockedAlgorithm::Direct);
        assert_eq!(blocked(&sizes, Winograd::F2), BlockedAlgorithm::WinogradF2);
        sizes.stride = [2, 1];
        for winograd in [Winograd::Chosen, Winograd::F2, Winograd::F4] {
            assert_eq!(blocked(&sizes, winograd), BlockedAlgorithm::Direct);
        }
        sizes.groups = 64;
        assert_eq!(blocked(&sizes, Winograd::Never), BlockedAlgorithm::Depthwise);
        sizes.groups = 4;
        assert_eq!(blocked(&sizes, Winograd::Chosen), BlockedAlgorithm::Direct);
        let direct = |sizes: &Conv2d| BlockedAlgorithm::Direct.nanoseconds(sizes, 1);
        assert!(direct(&sizes) < direct(&conv(64, 64, 56)));
    }

    #[test]
    fn a_batch_reads_weights_once() {
        let [one, eight] = [1, 8].map(|batch| BlockedAlgorithm::Direct.nanoseconds(&conv(512, 512, 4), batch));
        assert!(eight < 8.0 * one);
        let matrix = Linear { in_features: 4096, out_features: 4096, rows: 1 };
        assert!(linear(&matrix, 8) < 2.0 * linear(&matrix, 1));
        assert!(transfer(16) > 0.0);
    }
}
