//! burn: tensor operations on Flex, its backend for processors.

use crate::layers::{self, Layer, Values};
use crate::{Engine, Result, Setup};
use burn::tensor::module::{adaptive_avg_pool2d, avg_pool2d, conv2d, linear, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};

pub fn engine(setup: &Setup) -> Result<Engine> {
    let device = Device::flex();
    let network = build(layers::read(setup.model, &setup.weights)?, &device);
    let input = Tensor::<4>::from_data(TensorData::new(setup.input.clone(), setup.shape), &device);
    Ok(Box::new(move |output| {
        let data = match run(&network, Value::Map(input.clone())) {
            Value::Map(x) => x.into_data(),
            Value::Rows(x) => x.into_data(),
        };
        output.copy_from_slice(data.as_slice::<f32>().map_err(|error| format!("{error:?}"))?);
        Ok(())
    }))
}

/// A tensor's rank is part of its type.
enum Value {
    Map(Tensor<4>),
    Rows(Tensor<2>),
}

type Step = Box<dyn Fn(Value) -> Value>;

fn run(network: &[Step], x: Value) -> Value {
    network.iter().fold(x, |x, step| step(x))
}

fn build(layers: Vec<Layer>, device: &Device) -> Vec<Step> {
    let vector = |values: Vec<f32>| {
        let length = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [length]), device)
    };
    let step = |layer| -> Step {
        match layer {
            Layer::Conv { weight: Values { shape, data }, bias, stride, padding } => {
                let weight = Tensor::<4>::from_data(TensorData::new(data, shape), device);
                let bias = vector(bias);
                let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
                on_map(move |x| conv2d(x, weight.clone(), Some(bias.clone()), options.clone()))
            }
            Layer::Relu => on_any(activation::relu, activation::relu),
            Layer::Tanh => on_any(activation::tanh, activation::tanh),
            Layer::MaxPool { kernel, stride, padding } => {
                let options = MaxPoolOptions {
                    kernel_size: [kernel; 2],
                    stride: [stride; 2],
                    padding: [(padding, padding); 2],
                    dilation: [1; 2],
                    ceil_mode: false,
                };
                on_map(move |x| max_pool2d(x, options.clone()))
            }
            Layer::AvgPool { kernel } => on_map(move |x| avg_pool2d(x, AvgPoolOptions::new([kernel; 2]))),
            Layer::GlobalAvgPool => flattened(|x| adaptive_avg_pool2d(x, [1, 1])),
            Layer::Flatten => flattened(|x| x),
            Layer::Linear { weight: Values { shape, data }, bias } => {
                // burn keeps weights as [in, out].
                let (rows, columns) = (shape[0], shape[1]);
                let transposed: Vec<f32> = (0..data.len()).map(|i| data[i % rows * columns + i / rows]).collect();
                let weight = Tensor::<2>::from_data(TensorData::new(transposed, [columns, rows]), device);
                let bias = vector(bias);
                Box::new(move |x| match x {
                    Value::Rows(x) => Value::Rows(linear(x, weight.clone(), Some(bias.clone()))),
                    Value::Map(_) => panic!("a linear layer on a map"),
                })
            }
            Layer::Sum { main, shortcut } => {
                let (main, shortcut) = (build(main, device), build(shortcut, device));
                on_map(move |x| {
                    let other = x.clone();
                    match (run(&main, Value::Map(x)), run(&shortcut, Value::Map(other))) {
                        (Value::Map(a), Value::Map(b)) => a + b,
                        _ => panic!("a sum of rows"),
                    }
                })
            }
        }
    };
    layers.into_iter().map(step).collect()
}

fn on_any(map: fn(Tensor<4>) -> Tensor<4>, rows: fn(Tensor<2>) -> Tensor<2>) -> Step {
    Box::new(move |x| match x {
        Value::Map(x) => Value::Map(map(x)),
        Value::Rows(x) => Value::Rows(rows(x)),
    })
}

fn on_map(f: impl Fn(Tensor<4>) -> Tensor<4> + 'static) -> Step {
    Box::new(move |x| match x {
        Value::Map(x) => Value::Map(f(x)),
        Value::Rows(_) => panic!("rows where a map belongs"),
    })
}

fn flattened(f: impl Fn(Tensor<4>) -> Tensor<4> + 'static) -> Step {
    Box::new(move |x| match x {
        Value::Map(x) => Value::Rows(f(x).flatten(1, 3)),
        rows => rows,
    })
}
