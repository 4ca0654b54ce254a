//! candle: the layers of `candle_nn`, as its own models are written.

use crate::layers::{self, Layer, Values};
use crate::{Engine, Result, Setup};
use candle_core::{D, Device, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, Linear, Module, Sequential, seq};

pub fn engine(setup: &Setup) -> Result<Engine> {
    let network = build(layers::read(setup.model, &setup.weights)?)?;
    let input = Tensor::from_slice(&setup.input, &setup.shape, &Device::Cpu)?;
    Ok(Box::new(move |output| {
        let result = network.forward(&input)?.flatten_all()?.to_vec1::<f32>()?;
        output.copy_from_slice(&result);
        Ok(())
    }))
}

fn build(layers: Vec<Layer>) -> Result<Sequential> {
    let mut network = seq();
    for layer in layers {
        network = match layer {
            Layer::Conv { weight, bias, stride, padding } => {
                let config = Conv2dConfig { padding, stride, ..Default::default() };
                // Every call puts the filters in the order [out, kernel, kernel, in]: they lie like that beforehand.
                let weight = tensor(weight)?.permute((0, 2, 3, 1))?.contiguous()?.permute((0, 3, 1, 2))?;
                network.add(Conv2d::new(weight, Some(vector(bias)?), config))
            }
            Layer::Relu => network.add_fn(|x| x.relu()),
            Layer::Tanh => network.add_fn(|x| x.tanh()),
            Layer::MaxPool { kernel, stride, padding: 0 } => {
                network.add_fn(move |x| x.max_pool2d_with_stride(kernel, stride))
            }
            Layer::MaxPool { kernel, stride, padding } => network.add_fn(move |x| {
                let x = x.pad_with_zeros(D::Minus1, padding, padding)?;
                x.pad_with_zeros(D::Minus2, padding, padding)?.max_pool2d_with_stride(kernel, stride)
            }),
            Layer::AvgPool { kernel } => network.add_fn(move |x| x.avg_pool2d(kernel)),
            Layer::GlobalAvgPool => network.add_fn(|x| x.mean(D::Minus1)?.mean(D::Minus1)),
            Layer::Flatten => network.add_fn(|x| x.flatten_from(1)),
            Layer::Linear { weight, bias } => network.add(Linear::new(tensor(weight)?, Some(vector(bias)?))),
            Layer::Sum { main, shortcut } => network.add(Sum { main: build(main)?, shortcut: build(shortcut)? }),
        };
    }
    Ok(network)
}

struct Sum {
    main: Sequential,
    shortcut: Sequential,
}

impl Module for Sum {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.main.forward(x)? + self.shortcut.forward(x)?
    }
}

fn tensor(values: Values) -> Result<Tensor> {
    Ok(Tensor::from_vec(values.data, values.shape, &Device::Cpu)?)
}

fn vector(values: Vec<f32>) -> Result<Tensor> {
    let length = values.len();
    Ok(Tensor::from_vec(values, length, &Device::Cpu)?)
}
