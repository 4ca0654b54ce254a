//! Random valid specs: graphs of all types of layers, with branches, values used several times, several inputs and outputs,
//! and blocks. The same seed gives the same spec.

mod arguments;
mod draw;
mod writer;

pub use draw::Draw;
use writer::{MANY, Writer};

/// Every type of layer.
pub const KINDS: [&str; 39] = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm1d",
    "batch_norm2d",
    "concat",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "dropout",
    "dropout2d",
    "elu",
    "flatten",
    "gelu",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "identity",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "lp_pool2d",
    "max_pool1d",
    "max_pool2d",
    "max_unpool2d",
    "mul",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
    "upsample",
];

/// A spec of up to `layers` layers. One in four has layers that draw in training.
pub fn spec(seed: u64, layers: usize) -> String {
    let mut draw = Draw::new(seed);
    let count = draw.pick(&[1, 1, 1, 2, 3]);
    let inputs = (0..count)
        .map(|i| {
            let name = if count == 1 { "input".to_string() } else { format!("in{i}") };
            let shape = match draw.below(6) {
                0 => vec![draw.between(1, 9)],
                1 => vec![draw.between(1, 6), draw.between(1, 12)],
                _ => vec![draw.between(1, 5), draw.between(1, 9), draw.between(1, 9)],
            };
            (name, shape)
        })
        .collect();
    let draws = draw.once_in(4);
    let mut writer = Writer::new(draw, inputs);
    writer.draws = draws;
    let length = writer.draw.between(layers.div_ceil(4), layers);
    for _ in 0..length {
        writer.step();
    }
    let outputs = writer.finish();
    let loss = writer.draw.pick(&["mse", "l1", "smooth_l1", "bce_with_logits", "cross_entropy"]);
    writer.text(&outputs, loss)
}

/// `count` layers of one type beside each other, each with inputs, an output and arguments of its own. In training the batch
/// should be 5 or more: nothing else may be left of an axis for a batch norm.
pub fn layers(kind: &'static str, seed: u64, count: usize) -> String {
    let mut draw = Draw::new(seed);
    let ranks: &[usize] = match kind {
        "conv1d" | "max_pool1d" | "avg_pool1d" => &[2],
        "batch_norm1d" => &[1, 2],
        "dropout2d" | "local_response_norm" => &[2, 3],
        kind if kind.ends_with("2d") || kind == "upsample" => &[3],
        _ => &[1, 2, 3],
    };
    let joins = MANY.contains(&kind);
    let mut inputs = Vec::new();
    for layer in 0..count {
        let rank = draw.pick(ranks);
        let mut shape = vec![draw.between(1, [60, 30, 20][rank - 1])];
        shape.extend((1..rank).map(|_| draw.between(1, 11)));
        let dim = draw.below(rank);
        for operand in 0..if joins { draw.between(2, 3) } else { 1 } {
            let mut shape = shape.clone();
            match kind {
                "concat" => shape[dim] = draw.between(1, 11),
                // All but the first may broadcast.
                "add" | "mul" if operand > 0 => shape.iter_mut().for_each(|size| *size = draw.pick(&[*size, *size, 1])),
                _ => {}
            }
            inputs.push((format!("in{layer}_{operand}"), shape));
        }
    }
    let mut writer = Writer::new(draw, inputs.clone());
    (writer.least, writer.largest) = (1, usize::MAX);
    let mut outputs = Vec::new();
    for layer in 0..count {
        let operands: Vec<usize> =
            (0..inputs.len()).filter(|&at| inputs[at].0.starts_with(&format!("in{layer}_"))).collect();
        outputs.push(writer.alone(kind, &operands));
    }
    writer.text(&outputs, "mse")
}
