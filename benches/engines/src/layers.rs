//! The networks as lists of layers, for the engines that are given code rather than a file.
//!
//! Batch norms are folded into the convolutions before them, as the ONNX files have it too.

use crate::{Model, Result};
use safetensors::SafeTensors;
use std::path::Path;

/// Values with their shape.
pub struct Values {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

pub enum Layer {
    /// `weight` is [out, in, kernel, kernel].
    Conv {
        weight: Values,
        bias: Vec<f32>,
        stride: usize,
        padding: usize,
    },
    Relu,
    Tanh,
    /// What it reads is never negative here: padding with zeros is as good as with the least number.
    MaxPool {
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    AvgPool {
        kernel: usize,
    },
    /// The mean of each channel, as [batch, channels].
    GlobalAvgPool,
    Flatten,
    /// `weight` is [out, in].
    Linear {
        weight: Values,
        bias: Vec<f32>,
    },
    /// The sum of what two lists make of one input: an empty list leaves it as it is.
    Sum {
        main: Vec<Layer>,
        shortcut: Vec<Layer>,
    },
}

pub fn read(model: Model, weights: &Path) -> Result<Vec<Layer>> {
    let bytes = std::fs::read(weights)?;
    let file = File(SafeTensors::deserialize(&bytes)?);
    let flat = |conv: &str, padding| file.conv(conv, None, 1, padding);
    Ok(match model {
        Model::Lenet5 => vec![
            flat("conv1", 2)?,
            Layer::Tanh,
            Layer::AvgPool { kernel: 2 },
            flat("conv2", 0)?,
            Layer::Tanh,
            Layer::AvgPool { kernel: 2 },
            Layer::Flatten,
            file.linear("fc1")?,
            Layer::Tanh,
            file.linear("fc2")?,
            Layer::Tanh,
            file.linear("fc3")?,
        ],
        Model::MnistCnn => vec![
            flat("conv1", 0)?,
            Layer::Relu,
            flat("conv2", 0)?,
            Layer::Relu,
            Layer::MaxPool { kernel: 2, stride: 2, padding: 0 },
            Layer::Flatten,
            file.linear("fc1")?,
            Layer::Relu,
            file.linear("fc2")?,
        ],
        Model::Resnet18 => {
            let mut layers = vec![
                file.conv("conv1", Some("bn1"), 2, 3)?,
                Layer::Relu,
                Layer::MaxPool { kernel: 3, stride: 2, padding: 1 },
            ];
            for stage in 1..=4 {
                for block in 0..2 {
                    let name = |part: &str| format!("layer{stage}.{block}.{part}");
                    let stride = if stage > 1 && block == 0 { 2 } else { 1 };
                    let shortcut = if stride == 2 {
                        vec![file.conv(&name("downsample.0"), Some(&name("downsample.1")), 2, 0)?]
                    } else {
                        Vec::new()
                    };
                    let main = vec![
                        file.conv(&name("conv1"), Some(&name("bn1")), stride, 1)?,
                        Layer::Relu,
                        file.conv(&name("conv2"), Some(&name("bn2")), 1, 1)?,
                    ];
                    layers.extend([Layer::Sum { main, shortcut }, Layer::Relu]);
                }
            }
            layers.extend([Layer::GlobalAvgPool, file.linear("fc")?]);
            layers
        }
    })
}

struct File<'a>(SafeTensors<'a>);

impl File<'_> {
    fn values(&self, name: &str) -> Result<Values> {
        let tensor = self.0.tensor(name)?;
        let data = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Values { shape: tensor.shape().to_vec(), data })
    }

    fn linear(&self, name: &str) -> Result<Layer> {
        let weight = self.values(&format!("{name}.weight"))?;
        Ok(Layer::Linear { weight, bias: self.values(&format!("{name}.bias"))?.data })
    }

    /// A convolution with its own bias or with the batch norm after it.
    fn conv(&self, name: &str, norm: Option<&str>, stride: usize, padding: usize) -> Result<Layer> {
        let mut weight = self.values(&format!("{name}.weight"))?;
        let Some(norm) = norm else {
            return Ok(Layer::Conv { weight, bias: self.values(&format!("{name}.bias"))?.data, stride, padding });
        };
        let [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|part| self.values(&format!("{norm}.{part}")).map(|values| values.data));
        let (scale, mut bias, mean, variance) = (scale?, shift?, mean?, variance?);
        let filter = weight.data.len() / weight.shape[0];
        for (channel, filter) in weight.data.chunks_exact_mut(filter).enumerate() {
            let factor = f64::from(scale[channel]) / (f64::from(variance[channel]) + 1e-5).sqrt();
            for value in filter {
                *value = (f64::from(*value) * factor) as f32;
            }
            bias[channel] = (f64::from(bias[channel]) - f64::from(mean[channel]) * factor) as f32;
        }
        Ok(Layer::Conv { weight, bias, stride, padding })
    }
}
