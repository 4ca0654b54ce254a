//! A network in 64-bit floats, forward only, by the formulas of PyTorch's documentation: what finite differences are taken of.

use std::collections::{BTreeMap, BTreeSet};

use crate::layer::{Activation, Op, Window};
use crate::spec::{Layer, Spec};

/// Numbers by name: parameters and buffers under their names in a state dict, values under those of layers and inputs.
pub type Numbers = BTreeMap<String, Vec<f64>>;

/// What a pass leaves.
#[derive(Clone, Debug)]
pub struct Pass {
    /// All inputs and results of layers.
    pub values: Numbers,
    /// Running statistics: in training as they are afterwards.
    pub buffers: Numbers,
    /// Of each max pooling, the pixel of its plane that each result was taken from.
    pub indices: BTreeMap<String, Vec<usize>>,
}

/// Runs every layer for a batch. In training dropout with `p` of 0 is allowed alone: nothing here draws.
pub fn run(spec: &Spec, weights: &Numbers, buffers: &Numbers, inputs: &Numbers, batch: usize, training: bool) -> Pass {
    let mut pass = Pass { values: inputs.clone(), buffers: buffers.clone(), indices: BTreeMap::new() };
    for layer in &spec.layers {
        update(layer, weights, &mut pass, batch, training);
    }
    pass
}

/// Runs again what depends on a parameter or an input, which has changed since the pass.
pub fn run_again(spec: &Spec, weights: &Numbers, pass: &mut Pass, changed: &str, batch: usize, training: bool) {
    let mut dirty = BTreeSet::from([changed]);
    for layer in &spec.layers {
        let owns = changed.rsplit_once('.').is_some_and(|(owner, _)| owner == layer.name);
        if owns || layer.inputs.iter().chain(&layer.indices).any(|input| dirty.contains(input.as_str())) {
            dirty.insert(&layer.name);
            update(layer, weights, pass, batch, training);
        }
    }
}

fn update(layer: &Layer, weights: &Numbers, pass: &mut Pass, batch: usize, training: bool) {
    let given = layer.indices.as_ref().map(|pool| pass.indices[pool].clone());
    let (output, found) = one(layer, weights, pass, given.as_deref(), batch, training);
    if let Some(found) = found {
        pass.indices.insert(layer.name.clone(), found);
    }
    pass.values.insert(layer.name.clone(), output);
}

fn one(
    layer: &Layer,
    weights: &Numbers,
    pass: &mut Pass,
    given: Option<&[usize]>,
    batch: usize,
    training: bool,
) -> (Vec<f64>, Option<Vec<usize>>) {
    let inputs: Vec<&[f64]> = layer.inputs.iter().map(|name| pass.values[name].as_slice()).collect();
    let x = inputs[0];
    let parameter = |name: &str| weights.get(&format!("{}.{name}", layer.name)).map(Vec::as_slice);
    let weight = || parameter("weight").expect("a weight");
    let output = match &layer.op {
        Op::Conv { window, groups, mode, .. } => conv(window, *groups, mode, x, weight(), parameter("bias")),
        Op::ConvTranspose { window, groups, .. } => conv_transpose(window, *groups, x, weight(), parameter("bias")),
        Op::MaxPool(window) => {
            let places = |axis, at| taps(window, axis, at);
            let (output, found) = maxima(window.input, window.output, x, places);
            return (output, Some(found));
        }
        Op::AdaptiveMaxPool { input, output } => {
            let bins = |axis: usize, at| bin(input[axis + 1], output[axis + 1], at).collect();
            maxima(*input, *output, x, bins).0
        }
        Op::MaxUnpool { input, output } => {
            let (from, into) = (input[1] * input[2], output[1] * output[2]);
            let mut y = vec![0.0; x.len() / from * into];
            for (i, (value, index)) in x.iter().zip(given.expect("indices")).enumerate() {
                y[i / from * into + index] = *value;
            }
            y
        }
        Op::AvgPool { window, count_include_pad, divisor } => avg_pool(window, *count_include_pad, *divisor, x),
        // PyTorch takes the mean of what a window holds times the size of a whole one.
        Op::LpPool { window, norm_type } => {
            let powers: Vec<f64> = x.iter().map(|x| x.powf(*norm_type)).collect();
            let whole = (window.kernel[0] * window.kernel[1]) as f64;
            let means = avg_pool(window, true, None, &powers);
            means.into_iter().map(|mean| (mean * whole).powf(1.0 / norm_type)).collect()
        }
        Op::AdaptiveAvgPool { input, output } => planes(*output, x.len() / (input[1] * input[2]), |plane, oy, ox| {
            let (rows, columns) = (bin(input[1], output[1], oy), bin(input[2], output[2], ox));
            let count = rows.len() * columns.len();
            let sum: f64 = rows
                .flat_map(|y| columns.clone().map(move |x| (y, x)))
                .map(|(iy, ix)| x[(plane * input[1] + iy) * input[2] + ix])
                .sum();
            sum / count as f64
        }),
        Op::Linear { input, output, .. } => {
            let mut y = Vec::new();
            for row in x.chunks(*input) {
                for o in 0..*output {
                    let dot: f64 = row.iter().zip(&weight()[o * input..]).map(|(a, b)| a * b).sum();
                    y.push(dot + parameter("bias").map_or(0.0, |bias| bias[o]));
                }
            }
            y
        }
        Op::Same => x.to_vec(),
        Op::Dropout { p, .. } => {
            assert!(!training || *p == 0.0, "nothing draws here");
            x.to_vec()
        }
        Op::Rrelu { lower, upper } => {
            assert!(!training || lower == upper, "nothing draws here");
            let slope = (lower + upper) / 2.0;
            x.iter().map(|&x| if x >= 0.0 { x } else { slope * x }).collect()
        }
        Op::Activation(activation) => x.iter().map(|&x| activate(*activation, x)).collect(),
        Op::Prelu { channels, inner } => {
            let slope = |i: usize| weight()[i / inner % channels];
            x.iter().enumerate().map(|(i, &x)| if x > 0.0 { x } else { slope(i) * x }).collect()
        }
        Op::Softmax { length, inner, log, .. } => softmax(*length, *inner, *log, x),
        Op::BatchNorm { .. } => return (batch_norm(layer, weights, pass, batch, training), None),
        Op::LayerNorm { shape, eps, .. } => {
            let length: usize = shape.iter().product();
            let mut y = Vec::new();
            for row in x.chunks(length) {
                let (mean, scale) = statistics(row.iter().copied(), *eps);
                y.extend(
                    row.iter()
                        .enumerate()
                        .map(|(i, x)| affine((x - mean) * scale, parameter("weight"), parameter("bias"), i)),
                );
            }
            y
        }
        Op::GroupNorm { groups, channels, inner, eps, .. } => {
            let length = channels / groups * inner;
            let mut y = Vec::new();
            for (g, group) in x.chunks(length).enumerate() {
                let (mean, scale) = statistics(group.iter().copied(), *eps);
                y.extend(group.iter().enumerate().map(|(i, x)| {
                    let channel = g % groups * (channels / groups) + i / inner;
                    affine((x - mean) * scale, parameter("weight"), parameter("bias"), channel)
                }));
            }
            y
        }
        Op::LocalResponseNorm { channels, inner, size, alpha, beta, k } => {
            let at = |i: usize| {
                let channel = i / inner % channels;
                // size / 2 channels before, and the rest of the window from here on.
                let first = channel.saturating_sub(size / 2);
                let last = (channel + size - size / 2).min(*channels);
                let sum: f64 = (first..last).map(|c| x[i + c * inner - channel * inner].powi(2)).sum();
                x[i] / (k + alpha * sum / *size as f64).powf(*beta)
            };
            (0..x.len()).map(at).collect()
        }
        Op::Upsample { input, output, scale, bilinear, align_corners } => {
            let source = |axis: usize, at: usize| {
                let (size, into) = (input[axis + 1], output[axis + 1]);
                if !bilinear {
                    let at = (at as f64 / scale[axis]).floor() as usize;
                    return [(at.min(size - 1), 1.0), (0, 0.0)];
                }
                let place = match (align_corners, into) {
                    (true, 1) => 0.0,
                    (true, _) => (at * (size - 1)) as f64 / (into - 1) as f64,
                    (false, _) => ((at as f64 + 0.5) / scale[axis] - 0.5).max(0.0),
                };
                let low = (place.floor() as usize).min(size - 1);
                let share = (place - low as f64).clamp(0.0, 1.0);
                [(low, 1.0 - share), ((low + 1).min(size - 1), share)]
            };
            planes(*output, x.len() / (input[1] * input[2]), |plane, oy, ox| {
                let mut sum = 0.0;
                for (iy, wy) in source(0, oy) {
                    for (ix, wx) in source(1, ox) {
                        sum += wy * wx * x[(plane * input[1] + iy) * input[2] + ix];
                    }
                }
                sum
            })
        }
        Op::Add { inputs: shapes, output } => broadcast(shapes, *output, &inputs, batch, 0.0, |a, b| a + b),
        Op::Mul { inputs: shapes, output } => broadcast(shapes, *output, &inputs, batch, 1.0, |a, b| a * b),
        Op::Concat { outer, lengths } => {
            let mut y = Vec::new();
            for row in 0..batch * outer {
                for (x, length) in inputs.iter().zip(lengths) {
                    y.extend(&x[row * length..(row + 1) * length]);
                }
            }
            y
        }
    };
    (output, None)
}

/// The pixels of the input, along one axis, that a place of the window covers.
fn taps(window: &Window, axis: usize, at: usize) -> Vec<usize> {
    (0..window.kernel[axis])
        .filter_map(|k| (at * window.stride[axis] + k * window.dilation[axis]).checked_sub(window.padding[axis]))
        .filter(|&i| i < window.input[axis + 1])
        .collect()
}

/// The pixels of an adaptive pooling's bin: from `floor(at size / into)` to `ceil((at + 1) size / into)`.
fn bin(size: usize, into: usize, at: usize) -> std::ops::Range<usize> {
    at * size / into..((at + 1) * size).div_ceil(into)
}

/// One value for every plane, row and column.
fn planes(output: [usize; 3], planes: usize, value: impl Fn(usize, usize, usize) -> f64) -> Vec<f64> {
    let mut y = Vec::new();
    for plane in 0..planes {
        for oy in 0..output[1] {
            for ox in 0..output[2] {
                y.push(value(plane, oy, ox));
            }
        }
    }
    y
}

fn maxima(
    input: [usize; 3],
    output: [usize; 3],
    x: &[f64],
    places: impl Fn(usize, usize) -> Vec<usize>,
) -> (Vec<f64>, Vec<usize>) {
    let mut found = Vec::new();
    let values = (0..x.len() / (input[1] * input[2])).flat_map(|plane| {
        let plane = &x[plane * input[1] * input[2]..(plane + 1) * input[1] * input[2]];
        let mut values = Vec::new();
        for oy in 0..output[1] {
            for ox in 0..output[2] {
                let pixels = places(0, oy)
                    .into_iter()
                    .flat_map(|iy| places(1, ox).into_iter().map(move |ix| iy * input[2] + ix));
                // The first of equal ones.
                let best = pixels.reduce(|best, at| if plane[at] > plane[best] { at } else { best }).expect("a pixel");
                values.push(plane[best]);
                found.push(best);
            }
        }
        values
    });
    (values.collect(), found)
}

/// The pixel of the input in whose place a padded one stands; `None` for zeros.
fn padded(at: isize, size: usize, mode: &str) -> Option<usize> {
    let last = size as isize - 1;
    let inside = match mode {
        "reflect" if at < 0 => -at,
        "reflect" if at > last => 2 * last - at,
        "replicate" => at.clamp(0, last),
        "circular" => at.rem_euclid(size as isize),
        _ => at,
    };
    (0..=last).contains(&inside).then_some(inside as usize)
}

fn conv(window: &Window, groups: usize, mode: &str, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let Window { input: [ic, ih, iw], output: [oc, ..], kernel: [kh, kw], .. } = *window;
    let per_group = ic / groups;
    // For each place of the window and each of its pixels, the pixel of the input.
    let sources = |axis: usize| -> Vec<Vec<Option<usize>>> {
        let source = |at: usize, k: usize| {
            let at = (at * window.stride[axis] + k * window.dilation[axis]) as isize - window.padding[axis] as isize;
            padded(at, window.input[axis + 1], mode)
        };
        let pixels = |at| (0..window.kernel[axis]).map(|k| source(at, k)).collect();
        (0..window.output[axis + 1]).map(pixels).collect()
    };
    let (rows, columns) = (sources(0), sources(1));
    planes(window.output, x.len() / (ic * ih * iw) * oc, |plane, oy, ox| {
        let (sample, o) = (plane / oc, plane % oc);
        let mut sum = bias.map_or(0.0, |bias| bias[o]);
        for c in 0..per_group {
            let plane = sample * ic + o / (oc / groups) * per_group + c;
            for (ky, iy) in rows[oy].iter().enumerate() {
                let Some(iy) = iy else { continue };
                let weight = &weight[((o * per_group + c) * kh + ky) * kw..][..kw];
                let row = &x[(plane * ih + iy) * iw..][..iw];
                for (weight, ix) in weight.iter().zip(&columns[ox]) {
                    let Some(ix) = ix else { continue };
                    sum += weight * row[*ix];
                }
            }
        }
        sum
    })
}

/// Every pixel of the input adds the kernel to the output, at `stride` times its place.
fn conv_transpose(window: &Window, groups: usize, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let Window { input: [oc, oh, ow], output: [ic, ih, iw], kernel: [kh, kw], .. } = *window;
    let per_group = oc / groups;
    let batch = x.len() / (ic * ih * iw);
    let mut y = vec![0.0; batch * oc * oh * ow];
    if let Some(bias) = bias {
        y.iter_mut().enumerate().for_each(|(i, y)| *y = bias[i / (oh * ow) % oc]);
    }
    for (i, value) in x.iter().enumerate() {
        let (sample, c, iy, ix) = (i / (ic * ih * iw), i / (ih * iw) % ic, i / iw % ih, i % iw);
        for o in 0..per_group {
            let plane = sample * oc + c / (ic / groups) * per_group + o;
            for ky in 0..kh {
                for kx in 0..kw {
                    let at = |axis: usize, at: usize, k: usize| {
                        (at * window.stride[axis] + k * window.dilation[axis])
                            .checked_sub(window.padding[axis])
                            .filter(|&at| at < window.input[axis + 1])
                    };
                    if let (Some(oy), Some(ox)) = (at(0, iy, ky), at(1, ix, kx)) {
                        y[(plane * oh + oy) * ow + ox] += value * weight[((c * per_group + o) * kh + ky) * kw + kx];
                    }
                }
            }
        }
    }
    y
}

fn avg_pool(window: &Window, count_include_pad: bool, divisor: Option<usize>, x: &[f64]) -> Vec<f64> {
    let [_, ih, iw] = window.input;
    planes(window.output, x.len() / (ih * iw), |plane, oy, ox| {
        // A window counts the padding it covers, but not what `ceil_mode` lets it reach beyond.
        let span = |axis: usize, at: usize| {
            let first = at * window.stride[axis];
            (first + window.kernel[axis]).min(window.input[axis + 1] + 2 * window.padding[axis]) - first
        };
        let (rows, columns) = (taps(window, 0, oy), taps(window, 1, ox));
        let count = match divisor {
            Some(divisor) => divisor,
            None if count_include_pad => span(0, oy) * span(1, ox),
            None => rows.len() * columns.len(),
        };
        let sum: f64 = rows.iter().flat_map(|iy| columns.iter().map(move |ix| x[(plane * ih + iy) * iw + ix])).sum();
        sum / count as f64
    })
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu(slope) => {
            if x > 0.0 {
                x
            } else {
                slope * x
            }
        }
        Activation::Elu(alpha) => {
            if x > 0.0 {
                x
            } else {
                alpha * x.exp_m1()
            }
        }
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => x / 2.0 * (1.0 + erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Hardswish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Hardsigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

/// `2 / sqrt(pi) exp(-x²) sum of 2^n x^(2n+1) / (1 3 5 … (2n+1))`: all terms have one sign, so that nothing cancels
/// (Abramowitz and Stegun, 7.1.6).
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

fn softmax(length: usize, inner: usize, log: bool, x: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for at in 0..x.len() / length {
        let first = at / inner * inner * length + at % inner;
        let places = (0..length).map(|i| first + i * inner);
        let most = places.clone().map(|i| x[i]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = places.clone().map(|i| (x[i] - most).exp()).sum();
        for i in places {
            y[i] = if log { x[i] - most - sum.ln() } else { (x[i] - most).exp() / sum };
        }
    }
    y
}

/// Mean, and one over the root of the variance.
fn statistics(values: impl ExactSizeIterator<Item = f64> + Clone, eps: f64) -> (f64, f64) {
    let (mean, variance) = mean_and_variance(values);
    (mean, 1.0 / (variance + eps).sqrt())
}

fn mean_and_variance(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, values.map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}

fn affine(x: f64, weight: Option<&[f64]>, bias: Option<&[f64]>, at: usize) -> f64 {
    x * weight.map_or(1.0, |weight| weight[at]) + bias.map_or(0.0, |bias| bias[at])
}

fn batch_norm(layer: &Layer, weights: &Numbers, pass: &mut Pass, batch: usize, training: bool) -> Vec<f64> {
    let Op::BatchNorm { channels, inner, eps, momentum, track, .. } = layer.op else { unreachable!("a batch norm") };
    let x = &pass.values[&layer.inputs[0]];
    let name = |part: &str| format!("{}.{part}", layer.name);
    let (weight, bias) = (weights.get(&name("weight")), weights.get(&name("bias")));
    let mut y = vec![0.0; x.len()];
    for c in 0..channels {
        let places: Vec<usize> =
            (0..batch).flat_map(|n| (0..inner).map(move |i| (n * channels + c) * inner + i)).collect();
        let (mean, variance) = if training || !track {
            mean_and_variance(places.iter().map(|&i| x[i]))
        } else {
            (pass.buffers[&name("running_mean")][c], pass.buffers[&name("running_var")][c])
        };
        if training && track {
            let count = places.len() as f64;
            let unbiased = variance * count / (count - 1.0);
            for (buffer, now) in [("running_mean", mean), ("running_var", unbiased)] {
                let running = &mut pass.buffers.get_mut(&name(buffer)).expect("a buffer")[c];
                *running += momentum * (now - *running);
            }
        }
        for i in places {
            let normal = (x[i] - mean) / (variance + eps).sqrt();
            y[i] = affine(normal, weight.map(Vec::as_slice), bias.map(Vec::as_slice), c);
        }
    }
    y
}

fn broadcast(
    shapes: &[[usize; 3]],
    output: [usize; 3],
    inputs: &[&[f64]],
    batch: usize,
    start: f64,
    combine: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    let mut y = Vec::new();
    for n in 0..batch {
        for i in 0..output.iter().product() {
            let at = [i / (output[1] * output[2]), i / output[2] % output[1], i % output[2]];
            let value = |(x, shape): (&&[f64], &[usize; 3])| {
                let place = (0..3).fold(n, |place, axis| place * shape[axis] + at[axis].min(shape[axis] - 1));
                x[place]
            };
            y.push(inputs.iter().zip(shapes).map(value).fold(start, &combine));
        }
    }
    y
}
