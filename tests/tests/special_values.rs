//! One pixel that is NaN, infinite or huge among ordinary ones: which outputs of a frozen convolution it changes, and by how much.
//!
//! `docs/inference.md` promises what is held here. Evaluation mode is the measure: there a pixel changes the outputs whose windows see it.

use castnet::simd::{Isa, with_isa};
use castnet_oracle::random::Draw;
use castnet_tests::subject::{Held, Subject};

/// A network of one convolution with a bias.
struct Convolution {
    /// The outputs across that an algorithm computes together: 1 for direct convolution.
    tile: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    groups: usize,
}

/// Roundings of 2^-24, in units of the pixel times the sum of the weights' absolute values by which it is multiplied: what an output of a
/// tile that the pixel lies in may be away from evaluation mode.
const ROUNDINGS: f64 = 16.0;

/// The same where the output is computed by itself.
const DIRECT_ROUNDINGS: f64 = 4.0;

/// Beyond this an intermediate number of a tile may overflow.
const LARGEST: f32 = 1e35;

macro_rules! convolutions {
    ($($name:ident: [$tile:literal, $kernel:literal, $stride:literal, $padding:literal, $groups:literal], $spec:literal;)*) => {$(
        #[test]
        fn $name() {
            #[castnet::network(spec = $spec)]
            pub struct Net;
            let form = Convolution { tile: $tile, kernel: $kernel, stride: $stride, padding: $padding, groups: $groups };
            form.check(&mut Held::<Net>::new());
        }
    )*};
}

convolutions! {
    winograd_f2: [2, 3, 1, 1, 1], r#"
        network = { input = [32, 16, 16], winograd = "f2" }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 3, padding = 1 }]
    "#;
    winograd_f4: [4, 3, 1, 1, 1], r#"
        network = { input = [32, 16, 16], winograd = "f4" }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 3, padding = 1 }]
    "#;
    winograd_f2_5x5: [2, 5, 1, 2, 1], r#"
        network = { input = [32, 16, 15], winograd = "f2" }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 5, padding = 2 }]
    "#;
    winograd_f2_5x5_from_planar: [2, 5, 1, 2, 1], r#"
        network = { input = [4, 16, 15], winograd = "f2" }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 5, padding = 2 }]
    "#;
    winograd_f4_7x7_from_planar: [4, 7, 2, 3, 1], r#"
        network = { input = [3, 30, 33], winograd = "f4" }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 7, stride = 2, padding = 3 }]
    "#;
    direct: [1, 3, 1, 1, 1], r#"
        network = { input = [32, 16, 16], winograd = false }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 3, padding = 1 }]
    "#;
    direct_5x5: [1, 5, 1, 2, 1], r#"
        network = { input = [32, 16, 15], winograd = false }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 5, padding = 2 }]
    "#;
    direct_from_planar: [1, 7, 2, 3, 1], r#"
        network = { input = [3, 30, 33], winograd = false }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 7, stride = 2, padding = 3 }]
    "#;
    direct_planar: [1, 3, 1, 1, 1], r#"
        network = { input = [3, 16, 16] }
        layer = [{ name = "conv", type = "conv2d", out_channels = 4, kernel_size = 3, padding = 1 }]
    "#;
    depthwise: [1, 3, 1, 1, 24], r#"
        network = { input = [24, 16, 16] }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 3, padding = 1, groups = 24 }]
    "#;
    depthwise_strided: [1, 5, 2, 2, 17], r#"
        network = { input = [17, 15, 16] }
        layer = [{ name = "conv", type = "conv2d", out_channels = 17, kernel_size = 5, stride = 2, padding = 2, groups = 17 }]
    "#;
    grouped: [1, 3, 1, 1, 2], r#"
        network = { input = [32, 16, 16] }
        layer = [{ name = "conv", type = "conv2d", out_channels = 32, kernel_size = 3, padding = 1, groups = 2 }]
    "#;
    several_groups_in_a_block: [1, 3, 1, 1, 8], r#"
        network = { input = [32, 16, 16] }
        layer = [{ name = "conv", type = "conv2d", out_channels = 24, kernel_size = 3, padding = 1, groups = 8 }]
    "#;
}

impl Convolution {
    /// Outputs `[from, to)` along an axis that a pixel is seen by, if outputs are computed `tile` at a time.
    fn reached(&self, tile: usize, position: usize, outputs: usize) -> [usize; 2] {
        let sees = |index: usize| {
            let first = index / tile * tile;
            let last = first + tile - 1;
            let position = position + self.padding;
            first * self.stride <= position && position < last * self.stride + self.kernel
        };
        let seeing: Vec<usize> = (0..outputs).filter(|&index| sees(index)).collect();
        seeing.first().map_or([0, 0], |&first| [first, seeing.last().unwrap() + 1])
    }

    fn check(&self, subject: &mut dyn Subject) {
        let info = subject.info();
        let (from, to) = (info.inputs[0].shape, info.outputs[0].shape);
        let mut draw = Draw::new(3);
        for parameter in info.parameters {
            subject.parameters()[parameter.range()].iter_mut().for_each(|value| *value = draw.normal() as f32);
        }
        let weight = subject.parameters()[info.parameters[0].range()].to_vec();
        let ordinary: Vec<f32> = (0..from.iter().product()).map(|_| draw.normal() as f32).collect();
        let pixels = [[8, 8], [3, 4], [7, 0], [0, from[2] - 1], [from[1] - 1, 5], [from[1] - 1, from[2] - 1]];
        for &isa in Isa::detected() {
            with_isa(isa, || {
                let frozen = subject.freeze();
                let usual = frozen.forward(1, &[&ordinary]).unwrap().remove(0);
                let (mut tiles, mut worst) = (0, 0.0f64);
                for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e8, -1e8, 1e35, 1e37] {
                    for [y, x] in pixels {
                        let channel = (y + x) % from[0];
                        let mut input = ordinary.clone();
                        input[(channel * from[1] + y) * from[2] + x] = special;
                        let evaluated = subject.forward(1, &[&input]).unwrap().remove(0);
                        let outputs = frozen.forward(1, &[&input]).unwrap().remove(0);
                        for (at, (&ours, &theirs)) in outputs.iter().zip(&evaluated).enumerate() {
                            let (oc, row, column) = (at / (to[1] * to[2]), at / to[2] % to[1], at % to[2]);
                            let what =
                                || format!("{isa}: {special} at {channel}, {y}, {x}: {ours} at {oc}, {row}, {column}");
                            let group = channel / (from[0] / self.groups);
                            let within = |tile: usize| {
                                let [rows, columns] =
                                    [(y, to[1]), (x, to[2])].map(|(pixel, outputs)| self.reached(tile, pixel, outputs));
                                oc / (to[0] / self.groups) == group
                                    && (rows[0]..rows[1]).contains(&row)
                                    && (columns[0]..columns[1]).contains(&column)
                            };
                            if !within(self.tile) {
                                // Nothing of the pixel reaches it: not one bit.
                                assert_eq!(ours.to_bits(), usual[at].to_bits(), "{}, not {}", what(), usual[at]);
                                continue;
                            }
                            tiles += usize::from(!within(1));
                            if !special.is_finite() {
                                // What sees it is not finite, whatever else the tile has become.
                                assert!(!within(1) || !ours.is_finite(), "{}, not {theirs}", what());
                                continue;
                            }
                            if self.tile > 1 && special.abs() > LARGEST {
                                continue;
                            }
                            let taps = self.kernel * self.kernel;
                            let inputs = from[0] / self.groups;
                            let kernel = &weight[(oc * inputs + channel % inputs) * taps..][..taps];
                            let sum: f64 = kernel.iter().map(|&w| f64::from(w.abs())).sum();
                            let roundings = if self.tile > 1 { ROUNDINGS } else { DIRECT_ROUNDINGS };
                            let error = (f64::from(ours) - f64::from(theirs)).abs();
                            let unit = f64::from(special.abs()) * sum * (0.5f64).powi(24);
                            worst = worst.max(error / unit);
                            assert!(error <= roundings * unit, "{}, not {theirs}: {} roundings", what(), error / unit);
                        }
                    }
                }
                println!("{isa}: {worst:.1} roundings");
                assert_eq!(tiles > 0, self.tile > 1, "{isa}: tiles reach farther than windows");
            });
        }
    }
}
