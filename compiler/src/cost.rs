//! Which algorithm computes a convolution of the inference program: the one with the smallest estimate of time.
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

use castnet_descriptors::{BLOCK, Conv2d};
use std::fmt;

/// The algorithms of `castnet::blocked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
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
    /// F(4x4, 4x4) for the phases of 7x7 kernels of stride 2: 4 times fewer multiplications. From planar values alone.
    WinogradF4Of7,
}

/// What one of Winograd's algorithms computes.
struct Form {
    /// Rows of its kernels.
    kernel: usize,
    /// Their stride.
    stride: usize,
    /// Rows of the outputs that it makes together.
    outputs: usize,
}

impl Form {
    /// Rows of the planes of transformed weights, of all phases.
    const fn planes(&self) -> usize {
        (self.outputs + self.kernel.div_ceil(self.stride) - 1) * self.stride
    }
}

impl Algorithm {
    /// All but [`Algorithm::Direct`], which computes everything.
    pub const OTHERS: [Algorithm; 5] = [
        Algorithm::Depthwise,
        Algorithm::WinogradF2,
        Algorithm::WinogradF4,
        Algorithm::WinogradF2Of5,
        Algorithm::WinogradF4Of7,
    ];

    /// The module of `castnet::blocked` that computes convolutions between blocked values, as a path; none for what is computed from
    /// planar values alone.
    pub const fn module(self) -> Option<&'static [&'static str]> {
        match self {
            Algorithm::Direct => Some(&["direct"]),
            Algorithm::Depthwise => Some(&["depthwise"]),
            Algorithm::WinogradF2 => Some(&["winograd", "f2"]),
            Algorithm::WinogradF4 => Some(&["winograd", "f4"]),
            Algorithm::WinogradF2Of5 => Some(&["winograd", "f2_5x5"]),
            Algorithm::WinogradF4Of7 => None,
        }
    }

    /// The module that computes convolutions from planar values, if one does.
    pub const fn planar_module(self) -> Option<&'static [&'static str]> {
        match self {
            Algorithm::Direct => Some(&["planar_input"]),
            Algorithm::WinogradF2Of5 => Some(&["winograd", "planar_input", "f2_5x5"]),
            Algorithm::WinogradF4Of7 => Some(&["winograd", "planar_input", "f4_7x7"]),
            Algorithm::Depthwise | Algorithm::WinogradF2 | Algorithm::WinogradF4 => None,
        }
    }

    /// Whether it is one of Winograd's.
    pub const fn is_winograd(self) -> bool {
        self.form().is_some()
    }

    const fn form(self) -> Option<Form> {
        match self {
            Algorithm::Direct | Algorithm::Depthwise => None,
            Algorithm::WinogradF2 => Some(Form { kernel: 3, stride: 1, outputs: 2 }),
            Algorithm::WinogradF4 => Some(Form { kernel: 3, stride: 1, outputs: 4 }),
            Algorithm::WinogradF2Of5 => Some(Form { kernel: 5, stride: 1, outputs: 2 }),
            Algorithm::WinogradF4Of7 => Some(Form { kernel: 7, stride: 2, outputs: 4 }),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Direct => "direct",
            Algorithm::Depthwise => "depthwise",
            Algorithm::WinogradF2 => "Winograd F(2x2)",
            Algorithm::WinogradF4 => "Winograd F(4x4)",
            Algorithm::WinogradF2Of5 => "Winograd F(2x2, 5x5)",
            Algorithm::WinogradF4Of7 => "Winograd F(4x4, 7x7/2)",
        })
    }
}

/// What `[network] winograd` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Winograd {
    /// `true`: where the model finds it faster.
    #[default]
    Chosen,
    /// `false`: never.
    Never,
    /// `"f2"`: tiles of 2x2 wherever there is such an algorithm, and larger ones nowhere.
    F2,
    /// `"f4"`: tiles of 4x4 wherever there is such an algorithm, and smaller ones nowhere.
    F4,
}

/// A convolution, as far as its time depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Kernel, stride, dilation and groups.
    pub form: Conv2d,
    /// Channels, height and width of the input.
    pub input: [usize; 3],
    /// Channels, height and width of the output.
    pub output: [usize; 3],
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

impl Work {
    /// Whether an algorithm computes it, from one kind of value or the other.
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        let form = &self.form;
        match (algorithm, algorithm.form()) {
            (_, Some(Form { kernel, stride, .. })) => {
                form.kernel == [kernel; 2] && form.stride == [stride; 2] && form.dilation == [1, 1] && form.groups == 1
            }
            (Algorithm::Depthwise, None) => form.groups == self.input[0] && form.groups == self.output[0],
            (_, None) => true,
        }
    }

    /// The fastest algorithm for one sample between blocked values, of those that are allowed.
    pub fn fastest(&self, winograd: Winograd) -> Algorithm {
        self.choose(winograd, |algorithm| self.nanoseconds(algorithm, 1))
    }

    /// The fastest algorithm for one sample from a planar value, of those that are allowed.
    pub fn fastest_planar(&self, winograd: Winograd) -> Algorithm {
        self.choose(winograd, |algorithm| self.planar_nanoseconds(algorithm))
    }

    fn choose(&self, winograd: Winograd, nanoseconds: impl Fn(Algorithm) -> f64) -> Algorithm {
        let forced: &[Algorithm] = match winograd {
            Winograd::F2 => &[Algorithm::WinogradF2, Algorithm::WinogradF2Of5],
            Winograd::F4 => &[Algorithm::WinogradF4, Algorithm::WinogradF4Of7],
            Winograd::Chosen | Winograd::Never => &[],
        };
        let computes = |algorithm: &Algorithm| self.allows(*algorithm) && nanoseconds(*algorithm).is_finite();
        if let Some(&algorithm) = forced.iter().find(|algorithm| computes(algorithm)) {
            return algorithm;
        }
        let asked = |algorithm: &Algorithm| !algorithm.is_winograd() || winograd == Winograd::Chosen;
        let mut best = Algorithm::Direct;
        for algorithm in Algorithm::OTHERS.into_iter().filter(|algorithm| computes(algorithm) && asked(algorithm)) {
            if nanoseconds(algorithm) < nanoseconds(best) {
                best = algorithm;
            }
        }
        best
    }

    /// The model's time between blocked values for a batch on one core, in nanoseconds; infinite for what is not computed between them.
    pub fn nanoseconds(&self, algorithm: Algorithm, batch: usize) -> f64 {
        if algorithm.module().is_none() {
            return f64::INFINITY;
        }
        if let Some(form) = algorithm.form() {
            return self.winograd(&form, batch);
        }
        let weights = self.weights(algorithm);
        let pixels = (batch * self.output[1] * self.output[2]) as f64;
        (pixels * weights / (DIRECT * MACS)).max(4.0 * weights / BYTES)
    }

    /// The model's time from a planar value of few channels for one sample; infinite for what is computed between blocked values alone.
    pub fn planar_nanoseconds(&self, algorithm: Algorithm) -> f64 {
        let [inputs, blocks] = [self.input[0] as f64, self.output[0].div_ceil(BLOCK) as f64];
        let [height, width] = [self.output[1], self.output[2]];
        if algorithm.planar_module().is_none() {
            return f64::INFINITY;
        }
        let Some(form) = algorithm.form() else {
            return (height * width) as f64 * self.weights(algorithm) / (PLANAR * MACS);
        };
        let tile = if form.outputs == 2 { PLANAR_2 } else { PLANAR_4 };
        let tiles = (height.div_ceil(form.outputs) * width.div_ceil(form.outputs)) as f64;
        tiles * (tile.input * inputs + (tile.output + tile.products * inputs) * blocks)
    }

    /// Floats of the packed weights, without the bias.
    pub fn weights(&self, algorithm: Algorithm) -> f64 {
        let Conv2d { kernel, groups, .. } = self.form;
        let outputs = self.output[0].next_multiple_of(BLOCK);
        let taps = match (algorithm, algorithm.form()) {
            (_, Some(form)) => form.planes().pow(2) * self.input[0],
            (Algorithm::Depthwise, None) => kernel[0] * kernel[1],
            // Full vectors: 16 output channels at a time, each with the inputs of all groups that the 16 belong to.
            (_, None) => {
                let group = [self.input[0] / groups, self.output[0] / groups];
                (group[0] * BLOCK.div_ceil(group[1])).min(self.input[0]) * kernel[0] * kernel[1]
            }
        };
        (taps * outputs) as f64
    }

    fn winograd(&self, form: &Form, batch: usize) -> f64 {
        let (planes, m) = (form.planes().pow(2), form.outputs);
        let tiles = batch * self.output[1].div_ceil(m) * self.output[2].div_ceil(m);
        let blocks = |channels: usize| channels.div_ceil(BLOCK) as f64;
        let [inputs, outputs] = [self.input[0], self.output[0]];
        let weights = (planes * inputs) as f64 * blocks(outputs) * BLOCK as f64;
        let passes = tiles.div_ceil(TILES) as f64;
        let lines = planes as f64 * blocks(inputs) + (planes as f64 / 2.0 + (m * m) as f64) * blocks(outputs);
        let products = tiles as f64 * weights / (PRODUCTS * MACS);
        products.max(4.0 * weights * passes / BYTES) + tiles as f64 * lines * LINE
    }
}

/// Nanoseconds in which a core reads or writes so many floats beyond the second cache.
pub fn transfer(floats: usize) -> f64 {
    4.0 * floats as f64 / BYTES
}

/// Nanoseconds for a linear layer on a batch.
pub fn linear(in_features: usize, out_features: usize, batch: usize) -> f64 {
    let weights = (in_features * out_features.next_multiple_of(BLOCK)) as f64;
    (batch as f64 * weights / (DIRECT * MACS)).max(4.0 * weights / BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use castnet_descriptors::PaddingMode;

    fn conv(inputs: usize, outputs: usize, size: usize) -> Work {
        square(3, inputs, outputs, size)
    }

    fn square(kernel: usize, inputs: usize, outputs: usize, size: usize) -> Work {
        let [input, output] = [[inputs, size, size], [outputs, size, size]];
        let form = Conv2d {
            input,
            output,
            kernel: [kernel; 2],
            stride: [1, 1],
            padding: [kernel / 2; 2],
            dilation: [1, 1],
            groups: 1,
            padding_mode: PaddingMode::Zeros,
        };
        Work { form, input, output }
    }

    #[test]
    fn choices_are_those_that_were_measured() {
        for (inputs, outputs, size) in [(64, 64, 56), (128, 128, 28), (512, 512, 28), (64, 64, 224), (256, 256, 14)] {
            let algorithm = conv(inputs, outputs, size).fastest(Winograd::Chosen);
            assert_eq!(algorithm, Algorithm::WinogradF4, "{inputs} {outputs} {size}");
        }
        assert_ne!(conv(512, 512, 7).fastest(Winograd::Chosen), Algorithm::WinogradF4);
        // Maps of a few pixels are bound by their weights.
        assert_eq!(conv(512, 512, 2).fastest(Winograd::Chosen), Algorithm::Direct);
    }

    #[test]
    fn larger_kernels() {
        for (inputs, outputs, size) in [(16, 32, 28), (20, 50, 12), (64, 96, 17), (64, 192, 27)] {
            let work = square(5, inputs, outputs, size);
            assert_eq!(work.fastest(Winograd::Chosen), Algorithm::WinogradF2Of5, "{inputs} {outputs} {size}");
            assert_eq!(work.fastest(Winograd::F2), Algorithm::WinogradF2Of5);
            assert_eq!(work.fastest(Winograd::F4), Algorithm::Direct);
            assert_eq!(work.fastest(Winograd::Never), Algorithm::Direct);
        }
        assert_eq!(square(5, 8, 16, 28).fastest(Winograd::Chosen), Algorithm::Direct);
        // From planar values, where one channel is too few for its transform to pay.
        for (inputs, outputs, size) in [(3, 64, 32), (4, 16, 14), (6, 16, 14)] {
            let work = square(5, inputs, outputs, size);
            assert_eq!(work.fastest_planar(Winograd::Chosen), Algorithm::WinogradF2Of5, "{inputs} {outputs} {size}");
        }
        assert_eq!(square(5, 1, 16, 28).fastest_planar(Winograd::Chosen), Algorithm::Direct);
        assert_eq!(square(5, 1, 16, 28).fastest_planar(Winograd::F2), Algorithm::WinogradF2Of5);
        assert_eq!(square(5, 6, 16, 14).fastest_planar(Winograd::Never), Algorithm::Direct);
        // 7x7 of stride 2, which only planar values are read for.
        let mut work = square(7, 3, 64, 224);
        (work.form.stride, work.output) = ([2, 2], [64, 112, 112]);
        assert_eq!(work.fastest_planar(Winograd::Chosen), Algorithm::WinogradF4Of7);
        assert_eq!(work.fastest_planar(Winograd::F4), Algorithm::WinogradF4Of7);
        assert_eq!(work.fastest_planar(Winograd::F2), Algorithm::Direct);
        assert_eq!(work.fastest(Winograd::F4), Algorithm::Direct);
        (work.input[0], work.output[0]) = (1, 16);
        assert_eq!(work.fastest_planar(Winograd::Chosen), Algorithm::Direct);
        // The other algorithms do not read planar values.
        for winograd in [Winograd::Chosen, Winograd::F2, Winograd::F4] {
            assert_eq!(conv(3, 64, 224).fastest_planar(winograd), Algorithm::Direct);
        }
    }

    #[test]
    fn what_an_algorithm_does_not_compute_is_not_chosen() {
        let mut work = conv(64, 64, 56);
        assert_eq!(work.fastest(Winograd::Never), Algorithm::Direct);
        assert_eq!(work.fastest(Winograd::F2), Algorithm::WinogradF2);
        work.form.stride = [2, 1];
        for winograd in [Winograd::Chosen, Winograd::F2, Winograd::F4] {
            assert_eq!(work.fastest(winograd), Algorithm::Direct);
        }
        work.form.groups = 64;
        assert_eq!(work.fastest(Winograd::Never), Algorithm::Depthwise);
        work.form.groups = 4;
        assert_eq!(work.fastest(Winograd::Chosen), Algorithm::Direct);
        assert!(work.nanoseconds(Algorithm::Direct, 1) < conv(64, 64, 56).nanoseconds(Algorithm::Direct, 1));
    }

    #[test]
    fn a_batch_reads_weights_once() {
        let work = conv(512, 512, 4);
        assert!(work.nanoseconds(Algorithm::Direct, 8) < 8.0 * work.nanoseconds(Algorithm::Direct, 1));
        assert!(linear(4096, 4096, 8) < 2.0 * linear(4096, 4096, 1));
        assert!(transfer(16) > 0.0);
    }
}
