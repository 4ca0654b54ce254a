//! A network node by node on `castnet::reference`: forward in training, and backward with every gradient in a buffer of its
//! own. It knows nothing of the compiler's programs, plans and code.

use std::collections::BTreeMap;

use castnet::kernels as k;
use castnet::kernels::Random;
use castnet::reference as r;
use castnet_oracle::layer::{Activation, Op, Window};
use castnet_oracle::spec::{Layer, Spec};

/// Numbers by name: parameters and buffers under their names in a state dict, values under those of layers and inputs.
pub type Numbers = BTreeMap<String, Vec<f32>>;

/// What a training pass and its backward pass leave.
#[derive(Debug, Default)]
pub struct Pass {
    /// All inputs and results of layers.
    pub values: Numbers,
    /// Running statistics afterwards.
    pub buffers: Numbers,
    /// Gradients of inputs and results.
    pub value_gradients: Numbers,
    /// Gradients of parameters.
    pub gradients: Numbers,
    /// What layers keep for the backward pass: masks, indices, statistics.
    saved: Numbers,
}

/// Runs a batch forward in training and backward from gradients of the outputs. The layers draw as number so-and-so in the
/// order of the text.
pub fn train(
    spec: &Spec,
    weights: &Numbers,
    buffers: &Numbers,
    inputs: &Numbers,
    upstream: &Numbers,
    random: Random,
) -> Pass {
    let mut pass = Pass { values: inputs.clone(), buffers: buffers.clone(), ..Pass::default() };
    for (number, layer) in spec.layers.iter().enumerate() {
        let batch = inputs[&spec.inputs[0].0].len() / spec.inputs[0].1.iter().product::<usize>();
        let output = vec![f32::NAN; batch * layer.shape.iter().product::<usize>()];
        pass.values.insert(layer.name.clone(), output);
        pass.forward(layer, number as u64, weights, random);
    }
    for (name, values) in &pass.values {
        pass.value_gradients.insert(name.clone(), vec![0.0; values.len()]);
    }
    for output in &spec.outputs {
        pass.value_gradients.insert(output.clone(), upstream[output].clone());
    }
    for layer in spec.layers.iter().rev() {
        pass.backward(layer, weights);
    }
    pass
}

fn conv(window: &Window, groups: usize, mode: &str) -> k::Conv2d {
    let Window { input, output, kernel, stride, padding, dilation } = *window;
    let padding_mode = match mode {
        "reflect" => k::PaddingMode::Reflect,
        "replicate" => k::PaddingMode::Replicate,
        "circular" => k::PaddingMode::Circular,
        _ => k::PaddingMode::Zeros,
    };
    k::Conv2d { input, output, kernel, stride, padding, dilation, groups, padding_mode }
}

fn pool(window: &Window) -> k::Pool2d {
    let Window { input, output, kernel, stride, padding, dilation } = *window;
    k::Pool2d { input, output, kernel, stride, padding, dilation }
}

fn activation(op: Activation) -> k::Activation {
    match op {
        Activation::Relu => k::Activation::Relu,
        Activation::Relu6 => k::Activation::Relu6,
        Activation::LeakyRelu(slope) => k::Activation::LeakyRelu { negative_slope: slope as f32 },
        Activation::Elu(alpha) => k::Activation::Elu { alpha: alpha as f32 },
        Activation::Sigmoid => k::Activation::Sigmoid,
        Activation::Tanh => k::Activation::Tanh,
        Activation::Gelu => k::Activation::Gelu,
        Activation::GeluTanh => k::Activation::GeluTanh,
        Activation::Silu => k::Activation::Silu,
        Activation::Hardswish => k::Activation::Hardswish,
        Activation::Hardsigmoid => k::Activation::Hardsigmoid,
    }
}

/// An unpooled-to pixel map and its pooled one.
fn unpool(input: [usize; 3], output: [usize; 3]) -> k::MaxUnpool2d {
    k::MaxUnpool2d { input, output }
}

fn broadcast(inputs: &[[usize; 3]], output: [usize; 3]) -> k::Broadcast<'_> {
    k::Broadcast { output, inputs }
}

fn upsample(op: &Op) -> k::Upsample {
    let Op::Upsample { input, output, scale, bilinear, align_corners } = op else { unreachable!("an upsample") };
    let mode = match (bilinear, align_corners) {
        (false, _) => k::UpsampleMode::Nearest,
        (true, false) => k::UpsampleMode::Bilinear,
        (true, true) => k::UpsampleMode::BilinearAlignCorners,
    };
    k::Upsample { input: *input, output: *output, scale: *scale, mode }
}

/// Whether the kernels take an activation's gradient from its output.
fn saves_output(activation: Activation) -> bool {
    matches!(activation, Activation::Relu | Activation::Relu6 | Activation::Sigmoid | Activation::Tanh)
}

impl Pass {
    /// Takes a value out, to be written while others are read.
    fn forward(&mut self, layer: &Layer, number: u64, weights: &Numbers, random: Random) {
        let mut y = self.values.remove(&layer.name).expect("it was made before");
        let inputs: Vec<&[f32]> = layer.inputs.iter().map(|name| self.values[name].as_slice()).collect();
        let x = inputs[0];
        let parameter = |part: &str| weights.get(&format!("{}.{part}", layer.name)).map(Vec::as_slice);
        let (weight, bias) = (parameter("weight"), parameter("bias"));
        let one = || weight.expect("a weight");
        let mut saved = Vec::new();
        let y_all = &mut y[..];
        match &layer.op {
            Op::Conv { window, groups, mode, .. } => {
                r::conv2d::forward(&conv(window, *groups, mode), x, one(), bias, y_all);
            }
            Op::ConvTranspose { window, groups, .. } => {
                let op = k::ConvTranspose2d { adjoint: conv(window, *groups, "zeros") };
                r::conv_transpose2d::forward(&op, x, one(), bias, y_all);
            }
            Op::MaxPool(window) => {
                saved = vec![f32::NAN; y_all.len()];
                r::max_pool2d::forward(&pool(window), x, y_all, Some(&mut saved));
            }
            Op::MaxUnpool { input, output } => {
                let indices = &self.saved[layer.indices.as_ref().expect("indices")];
                r::max_unpool2d::forward(&unpool(*input, *output), x, indices, y_all);
            }
            Op::AvgPool { window, count_include_pad, divisor } => {
                let op = k::AvgPool2d { pool: pool(window), count_include_pad: *count_include_pad, divisor: *divisor };
                r::avg_pool2d::forward(&op, x, y_all);
            }
            Op::LpPool { window, norm_type } => {
                r::lp_pool2d::forward(&k::LpPool2d { pool: pool(window), norm_type: *norm_type as f32 }, x, y_all);
            }
            Op::AdaptiveAvgPool { input, output } => {
                r::adaptive_pool2d::avg_forward(&k::AdaptivePool2d { input: *input, output: *output }, x, y_all);
            }
            Op::AdaptiveMaxPool { input, output } => {
                saved = vec![f32::NAN; y_all.len()];
                let op = k::AdaptivePool2d { input: *input, output: *output };
                r::adaptive_pool2d::max_forward(&op, x, y_all, Some(&mut saved));
            }
            Op::Linear { rows, input, output, .. } => {
                let op = k::Linear { in_features: *input, out_features: *output, rows: *rows };
                r::linear::forward(&op, x, one(), bias, y_all);
            }
            Op::Same => y_all.copy_from_slice(x),
            Op::Dropout { p, inner } => {
                saved = vec![f32::NAN; y_all.len() / inner];
                r::dropout::forward2d(random, *p as f32, number, *inner, x, y_all, &mut saved);
            }
            Op::Rrelu { lower, upper } => {
                saved = vec![f32::NAN; y_all.len()];
                let op = k::Rrelu { lower: *lower as f32, upper: *upper as f32 };
                r::rrelu::forward_train(random, &op, number, x, y_all, &mut saved);
            }
            Op::Activation(op) => r::activation::forward(activation(*op), x, y_all),
            Op::Prelu { channels, inner } => {
                r::prelu::forward(&k::Prelu { channels: *channels, inner: *inner }, x, one(), y_all);
            }
            Op::Softmax { outer, length, inner, log } => {
                let op = k::Softmax { outer: *outer, length: *length, inner: *inner };
                let forward = if *log { r::softmax::log_forward } else { r::softmax::forward };
                forward(&op, x, y_all);
            }
            Op::BatchNorm { channels, track, .. } => {
                saved = vec![f32::NAN; 2 * channels];
                let [mean, var] = ["running_mean", "running_var"].map(|part| format!("{}.{part}", layer.name));
                let mut running = track.then(|| [&mean, &var].map(|name| self.buffers[name].clone()));
                let both = running.as_mut().map(|[mean, var]| (&mut mean[..], &mut var[..]));
                r::batch_norm::forward_train(&batch_norm(&layer.op), x, weight, bias, both, y_all, &mut saved);
                self.buffers.extend([mean, var].into_iter().zip(running.into_iter().flatten()));
            }
            Op::LayerNorm { rows, .. } => {
                let op = layer_norm(&layer.op);
                saved = vec![f32::NAN; 2 * rows * (y_all.len() / (rows * op.length))];
                r::layer_norm::forward(&op, x, weight, bias, y_all, Some(&mut saved));
            }
            Op::GroupNorm { groups, channels, inner, .. } => {
                saved = vec![f32::NAN; 2 * groups * (y_all.len() / (channels * inner))];
                r::group_norm::forward(&group_norm(&layer.op), x, weight, bias, y_all, Some(&mut saved));
            }
            Op::LocalResponseNorm { .. } => r::local_response_norm::forward(&local_response_norm(&layer.op), x, y_all),
            Op::Upsample { .. } => r::upsample::forward(&upsample(&layer.op), x, y_all),
            Op::Add { inputs: shapes, output } => {
                r::elementwise::add(&broadcast(shapes, *output), &inputs, y_all);
            }
            Op::Mul { inputs: shapes, output } => {
                r::elementwise::mul(&broadcast(shapes, *output), &inputs, y_all);
            }
            Op::Concat { outer, lengths } => {
                r::concat::forward(&k::Concat { outer: *outer, lengths }, &inputs, y_all);
            }
        }
        self.saved.insert(layer.name.clone(), saved);
        self.values.insert(layer.name.clone(), y);
    }

    fn backward(&mut self, layer: &Layer, weights: &Numbers) {
        let inputs: Vec<&[f32]> = layer.inputs.iter().map(|name| self.values[name].as_slice()).collect();
        let (x, y, saved) = (inputs[0], &self.values[&layer.name][..], &self.saved[&layer.name][..]);
        let g = &self.value_gradients[&layer.name][..];
        let weight = weights.get(&format!("{}.weight", layer.name)).map(Vec::as_slice);
        let one = || weight.expect("a weight");
        let mut contributions: Vec<Vec<f32>> = inputs.iter().map(|x| vec![f32::NAN; x.len()]).collect();
        let dx = &mut contributions[0][..];
        let parameters = layer.op.parameters();
        let mut gradients: Vec<Vec<f32>> =
            parameters.iter().map(|(_, shape)| vec![f32::NAN; shape.iter().product()]).collect();
        let (dw, db) = gradients.split_at_mut(parameters.len().min(1));
        let dw = dw.first_mut().map_or(&mut [][..], |dw| &mut dw[..]);
        let db = db.first_mut().map(|db| &mut db[..]);
        match &layer.op {
            Op::Conv { window, groups, mode, .. } => {
                let op = conv(window, *groups, mode);
                r::conv2d::backward_input(&op, one(), g, dx);
                r::conv2d::backward_weight(&op, x, g, dw);
                if let Some(db) = db {
                    r::conv2d::backward_bias(&op, g, db);
                }
            }
            Op::ConvTranspose { window, groups, .. } => {
                let op = k::ConvTranspose2d { adjoint: conv(window, *groups, "zeros") };
                r::conv_transpose2d::backward_input(&op, one(), g, dx);
                r::conv_transpose2d::backward_weight(&op, x, g, dw);
                if let Some(db) = db {
                    r::conv_transpose2d::backward_bias(&op, g, db);
                }
            }
            Op::MaxPool(window) => r::max_pool2d::backward(&pool(window), saved, g, dx),
            Op::MaxUnpool { input, output } => {
                let indices = &self.saved[layer.indices.as_ref().expect("indices")];
                r::max_unpool2d::backward(&unpool(*input, *output), indices, g, dx);
            }
            Op::AvgPool { window, count_include_pad, divisor } => {
                let op = k::AvgPool2d { pool: pool(window), count_include_pad: *count_include_pad, divisor: *divisor };
                r::avg_pool2d::backward(&op, g, dx);
            }
            Op::LpPool { window, norm_type } => {
                let op = k::LpPool2d { pool: pool(window), norm_type: *norm_type as f32 };
                r::lp_pool2d::backward(&op, x, y, g, dx);
            }
            Op::AdaptiveAvgPool { input, output } => {
                r::adaptive_pool2d::avg_backward(&k::AdaptivePool2d { input: *input, output: *output }, g, dx);
            }
            Op::AdaptiveMaxPool { input, output } => {
                r::adaptive_pool2d::max_backward(&k::AdaptivePool2d { input: *input, output: *output }, saved, g, dx);
            }
            Op::Linear { rows, input, output, .. } => {
                let op = k::Linear { in_features: *input, out_features: *output, rows: *rows };
                r::linear::backward_input(&op, one(), g, dx);
                r::linear::backward_weight(&op, x, g, dw);
                if let Some(db) = db {
                    r::linear::backward_bias(&op, g, db);
                }
            }
            Op::Same => dx.copy_from_slice(g),
            Op::Dropout { inner, .. } => r::dropout::backward2d(*inner, saved, g, dx),
            Op::Rrelu { .. } => r::rrelu::backward(saved, g, dx),
            Op::Activation(op) => {
                r::activation::backward(activation(*op), if saves_output(*op) { y } else { x }, g, dx);
            }
            Op::Prelu { channels, inner } => {
                let op = k::Prelu { channels: *channels, inner: *inner };
                r::prelu::backward_input(&op, x, one(), g, dx);
                r::prelu::backward_weight(&op, x, g, dw);
            }
            Op::Softmax { outer, length, inner, log } => {
                let op = k::Softmax { outer: *outer, length: *length, inner: *inner };
                let backward = if *log { r::softmax::log_backward } else { r::softmax::backward };
                backward(&op, y, g, dx);
            }
            Op::BatchNorm { affine, channels, .. } => {
                let op = batch_norm(&layer.op);
                r::batch_norm::backward_input(&op, x, weight, saved, g, dx);
                let mut none = [vec![0.0; *channels], vec![0.0; *channels]];
                let [a, b] = &mut none;
                let (dw, db) = if *affine { (dw, db.expect("a bias")) } else { (&mut a[..], &mut b[..]) };
                r::batch_norm::backward_parameters(&op, x, saved, g, dw, db);
            }
            Op::LayerNorm { .. } => {
                let op = layer_norm(&layer.op);
                r::layer_norm::backward_input(&op, x, weight, saved, g, dx);
                if weight.is_some() {
                    r::layer_norm::backward_weight(&op, x, saved, g, dw);
                }
                if let Some(db) = db {
                    r::layer_norm::backward_bias(&op, g, db);
                }
            }
            Op::GroupNorm { .. } => {
                let op = group_norm(&layer.op);
                r::group_norm::backward_input(&op, x, weight, saved, g, dx);
                if let Some(db) = db {
                    r::group_norm::backward_parameters(&op, x, saved, g, dw, db);
                }
            }
            Op::LocalResponseNorm { .. } => {
                r::local_response_norm::backward(&local_response_norm(&layer.op), x, y, g, dx);
            }
            Op::Upsample { .. } => r::upsample::backward(&upsample(&layer.op), g, dx),
            Op::Add { inputs: shapes, output } => {
                let op = broadcast(shapes, *output);
                for (which, dx) in contributions.iter_mut().enumerate() {
                    r::elementwise::add_backward(&op, which, g, dx);
                }
            }
            Op::Mul { inputs: shapes, output } => {
                let op = broadcast(shapes, *output);
                for (which, dx) in contributions.iter_mut().enumerate() {
                    r::elementwise::mul_backward(&op, &inputs, which, g, dx);
                }
            }
            Op::Concat { outer, lengths } => {
                let op = k::Concat { outer: *outer, lengths };
                for (which, dx) in contributions.iter_mut().enumerate() {
                    r::concat::backward(&op, which, g, dx);
                }
            }
        }
        for (input, contribution) in layer.inputs.iter().zip(contributions) {
            let sum = self.value_gradients.get_mut(input).expect("every value has a gradient");
            r::elementwise::accumulate(&contribution, sum);
        }
        let names = parameters.iter().map(|(part, _)| format!("{}.{part}", layer.name));
        self.gradients.extend(names.zip(gradients));
    }
}

fn batch_norm(op: &Op) -> k::BatchNorm {
    let Op::BatchNorm { channels, inner, eps, momentum, .. } = *op else { unreachable!("a batch norm") };
    k::BatchNorm { channels, inner, eps: eps as f32, momentum: momentum as f32 }
}

fn layer_norm(op: &Op) -> k::LayerNorm {
    let Op::LayerNorm { rows, shape, eps, .. } = op else { unreachable!("a layer norm") };
    k::LayerNorm { rows: *rows, length: shape.iter().product(), eps: *eps as f32 }
}

fn group_norm(op: &Op) -> k::GroupNorm {
    let Op::GroupNorm { groups, channels, inner, eps, .. } = *op else { unreachable!("a group norm") };
    k::GroupNorm { groups, channels, inner, eps: eps as f32 }
}

fn local_response_norm(op: &Op) -> k::LocalResponseNorm {
    let Op::LocalResponseNorm { channels, inner, size, alpha, beta, k } = *op else { unreachable!("such a norm") };
    k::LocalResponseNorm { channels, inner, size, alpha: alpha as f32, beta: beta as f32, k: k as f32 }
}
