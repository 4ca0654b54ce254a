//! Writes a spec layer by layer, and knows every value's shape.

use std::collections::HashMap;
use std::fmt::Write;

use super::arguments::{Args, arguments, does_not_overlap};
use super::draw::Draw;
use crate::layer::{Op, Shape};

/// The types that take one value, by the number of its axes.
const ONE_AXIS: &[&str] = &["linear", "batch_norm1d", "layer_norm", "softmax", "group_norm", "flatten"];
const TWO_AXES: &[&str] = &[
    "conv1d",
    "conv1d",
    "max_pool1d",
    "avg_pool1d",
    "batch_norm1d",
    "linear",
    "softmax",
    "layer_norm",
    "group_norm",
    "local_response_norm",
    "flatten",
];
const THREE_AXES: &[&str] = &[
    "conv2d",
    "conv2d",
    "conv2d",
    "conv2d",
    "conv_transpose2d",
    "max_pool2d",
    "avg_pool2d",
    "lp_pool2d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "batch_norm2d",
    "group_norm",
    "layer_norm",
    "local_response_norm",
    "upsample",
    "linear",
    "softmax",
    "flatten",
    "unpool",
    "gate",
    "block",
];
/// The types that keep any shape.
const ANY: &[&str] = &[
    "relu",
    "relu6",
    "sigmoid",
    "tanh",
    "silu",
    "hardswish",
    "hardsigmoid",
    "leaky_relu",
    "prelu",
    "elu",
    "gelu",
    "identity",
    "dropout",
    "rrelu",
    "log_softmax",
];
/// The types that join values.
pub(super) const MANY: &[&str] = &["add", "mul", "concat"];

/// Values are not made larger than this, so that a network stays quick to differentiate.
const LARGEST: usize = 600;

/// A value of the network.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    /// The layer that makes it: another name where a block does.
    layer: String,
    /// Whether it depends on a parameter.
    trained: bool,
    shape: Shape,
    used: bool,
}

/// A pooling whose windows do not overlap, for unpooling: its name, input and arguments.
#[derive(Clone, Debug)]
struct Pool {
    name: String,
    input: Shape,
    output: Shape,
    args: Args,
}

pub(super) struct Writer {
    pub draw: Draw,
    layers: String,
    blocks: String,
    values: Vec<Value>,
    pools: Vec<Pool>,
    counts: HashMap<String, usize>,
    /// What a layer without `input` takes.
    previous: String,
    /// Whether layers that draw in training may be placed.
    pub draws: bool,
    /// How many values are inputs.
    inputs: usize,
    /// The numbers of a sample over which statistics are taken at least.
    pub least: usize,
    /// The numbers of a value at most.
    pub largest: usize,
}

impl Writer {
    pub fn new(draw: Draw, inputs: Vec<(String, Shape)>) -> Self {
        let input =
            |(name, shape): (String, Shape)| Value { layer: name.clone(), name, trained: false, shape, used: false };
        let values: Vec<Value> = inputs.into_iter().map(input).collect();
        Self {
            draw,
            layers: String::new(),
            blocks: String::new(),
            pools: Vec::new(),
            counts: HashMap::new(),
            previous: values[0].name.clone(),
            draws: false,
            inputs: values.len(),
            values,
            // The variance of two numbers can be near nothing, and then no 32 bits tell its gradient.
            least: 3,
            largest: LARGEST,
        }
    }

    /// The whole spec. The loss is left out where the first output depends on no parameter.
    pub fn text(&self, outputs: &[usize], loss: &str) -> String {
        let mut header = String::from("[network]\n");
        let inputs = &self.values[..self.inputs];
        if let [Value { name, shape, .. }] = inputs
            && name == "input"
        {
            let _ = writeln!(header, "input = {shape:?}");
        } else {
            let inputs: Vec<String> =
                inputs.iter().map(|Value { name, shape, .. }| format!("{name} = {shape:?}")).collect();
            let _ = writeln!(header, "inputs = {{ {} }}", inputs.join(", "));
        }
        let names: Vec<&str> = outputs.iter().map(|&at| self.values[at].layer.as_str()).collect();
        let _ = writeln!(header, "outputs = {names:?}");
        if self.values[outputs[0]].trained {
            let _ = writeln!(header, "loss = \"{loss}\"");
        }
        header.push('\n');
        header + &self.blocks + &self.layers
    }

    /// A layer of this type with inputs of its own; where no arguments fit them, one that does nothing.
    pub fn alone(&mut self, kind: &'static str, operands: &[usize]) -> usize {
        let shape = self.values[operands[0]].shape.clone();
        for _ in 0..16 {
            let made = match kind {
                "concat" => {
                    let shapes: Vec<&Shape> = operands.iter().map(|&at| &self.values[at].shape).collect();
                    let differs = |&dim: &usize| shapes.iter().any(|other| other[dim] != shape[dim]);
                    let dim = (0..shape.len()).find(differs).unwrap_or(0);
                    self.layer(kind, operands, vec![("dim", (dim + 1).to_string())])
                }
                "add" | "mul" => self.layer(kind, operands, Vec::new()),
                "max_unpool2d" => self.pool_and_unpool(operands[0]),
                _ => match arguments(&mut self.draw, kind, &shape, self.least) {
                    Some(args) => self.layer(kind, operands, args),
                    None => None,
                },
            };
            if let Some(made) = made {
                return made;
            }
        }
        self.layer("identity", operands, Vec::new()).expect("it takes any shape")
    }

    /// A pooling whose windows do not overlap, with all its arguments, and the unpooling of its result.
    fn pool_and_unpool(&mut self, at: usize) -> Option<usize> {
        let sizes = self.values[at].shape[1..].to_vec();
        let (mut kernel, mut stride, mut padding) = (Vec::new(), Vec::new(), Vec::new());
        for &size in &sizes {
            let k = self.draw.between(1, size.min(4));
            kernel.push(k);
            stride.push(k + self.draw.below(2));
            padding.push(self.draw.between(0, k / 2));
        }
        let args = vec![
            ("kernel_size", format!("{kernel:?}")),
            ("stride", format!("{stride:?}")),
            ("padding", format!("{padding:?}")),
        ];
        let pooled = self.layer("max_pool2d", &[at], args.clone())?;
        let indices = [("indices", format!("{:?}", self.values[pooled].name)), ("output_size", format!("{sizes:?}"))];
        self.layer("max_unpool2d", &[pooled], args.into_iter().chain(indices).collect())
    }

    /// A value to work on: one that nothing uses yet, more often than not.
    fn choose(&mut self) -> usize {
        let unused: Vec<usize> = (0..self.values.len()).filter(|&i| !self.values[i].used).collect();
        if !unused.is_empty() && !self.draw.once_in(4) {
            return self.draw.pick(&unused);
        }
        self.draw.below(self.values.len())
    }

    pub fn step(&mut self) {
        let at = self.choose();
        let shape = self.values[at].shape.clone();
        let kinds = match shape.len() {
            1 => ONE_AXIS,
            2 => TWO_AXES,
            _ => THREE_AXES,
        };
        match self.draw.below(10) {
            0..6 => {
                let kind = self.draw.pick(kinds);
                self.one(kind, at, &shape);
            }
            6..8 => {
                let kind = self.draw.pick(ANY);
                if self.draws || !["dropout", "rrelu"].contains(&kind) {
                    self.one(kind, at, &shape);
                }
            }
            _ => self.join(at),
        }
    }

    /// A layer with one input. Where the type does not fit the shape, nothing happens.
    fn one(&mut self, kind: &'static str, at: usize, shape: &[usize]) {
        match kind {
            "unpool" => return self.unpool(at),
            "gate" => return self.gate(at),
            "block" => return self.block(at),
            _ => {}
        }
        if let Some(args) = arguments(&mut self.draw, kind, shape, self.least) {
            self.layer(kind, &[at], args);
        }
    }

    /// A sum, a product or a concatenation of values that fit.
    fn join(&mut self, at: usize) {
        let kind = self.draw.pick(MANY);
        let shape = self.values[at].shape.clone();
        let dim = self.draw.below(shape.len());
        let fits = |other: &Shape| {
            other.len() == shape.len()
                && (0..shape.len()).all(|axis| (kind == "concat" && axis == dim) || other[axis] == shape[axis])
        };
        let fitting: Vec<usize> = (0..self.values.len()).filter(|&i| fits(&self.values[i].shape)).collect();
        let mut inputs = vec![at];
        for _ in 0..self.draw.between(1, 3) {
            inputs.push(self.draw.pick(&fitting));
        }
        // Powers of one value grow beyond what 32 bits can tell apart.
        if kind == "mul" {
            inputs.dedup();
            inputs.truncate(2);
            if inputs.len() < 2 {
                return;
            }
        }
        let args = if kind == "concat" && (dim > 0 || self.draw.once_in(2)) {
            vec![("dim", (dim + 1).to_string())]
        } else {
            Vec::new()
        };
        self.layer(kind, &inputs, args);
    }

    /// Unpooling of a value that has the shape of a pooling's result; and then a convolution, since what lies between the
    /// unpooled values is zero, where some activations have a kink.
    fn unpool(&mut self, at: usize) {
        let shape = self.values[at].shape.clone();
        let fitting: Vec<Pool> = self.pools.iter().filter(|pool| pool.output == shape).cloned().collect();
        if fitting.is_empty() {
            return;
        }
        let pool = self.draw.pick(&fitting);
        let mut args = pool.args.clone();
        args.push(("indices", format!("{:?}", pool.name)));
        args.push(("output_size", format!("{:?}", &pool.input[1..])));
        if let Some(unpooled) = self.layer("max_unpool2d", &[at], args) {
            let args = vec![("out_channels", self.draw.between(1, 4).to_string()), ("kernel_size", "1".into())];
            self.layer("conv2d", &[unpooled], args);
        }
    }

    /// One number for each channel, by which the map is multiplied.
    fn gate(&mut self, at: usize) {
        if let Some(pooled) = self.layer("adaptive_avg_pool2d", &[at], vec![("output_size", "1".into())])
            && let Some(gate) = self.layer("sigmoid", &[pooled], Vec::new())
        {
            let kind = self.draw.pick(&["mul", "add"]);
            let inputs = if self.draw.once_in(2) { [gate, at] } else { [at, gate] };
            self.layer(kind, &inputs, Vec::new());
        }
    }

    /// A residual block that keeps the shape, placed once or repeated.
    fn block(&mut self, at: usize) {
        let Value { shape, .. } = self.values[at].clone();
        let name = format!("unit{}", self.counts.len());
        let act = self.draw.pick(&["tanh", "silu", "leaky_relu"]);
        let _ = writeln!(
            self.blocks,
            "[block.{name}]\nparams = {{ channels = 1, kernel = 1, pad = 0 }}\n\n\
             [[block.{name}.layer]]\nname = \"conv\"\ntype = \"conv2d\"\nout_channels = \"$channels\"\n\
             kernel_size = \"$kernel\"\npadding = \"$pad\"\n\n[[block.{name}.layer]]\ntype = \"{act}\"\n\n\
             [[block.{name}.layer]]\ntype = \"add\"\ninputs = [\"@input\", \"conv\", \"{act}1\"]\n"
        );
        let (kernel, pad) = self.draw.pick(&[("1", "0"), ("3", "1"), ("[3, 1]", "[1, 0]")]);
        let placed = format!("placed{}", self.counts.len());
        self.counts.insert(name.clone(), 1);
        let _ = writeln!(self.layers, "[[layer]]\nname = \"{placed}\"\nblock = \"{name}\"");
        if self.previous != self.values[at].name {
            let _ = writeln!(self.layers, "input = {:?}", self.values[at].name);
        }
        let _ = writeln!(self.layers, "with = {{ channels = {}, kernel = {kernel}, pad = {pad} }}", shape[0]);
        let mut layer = format!("{placed}.add1");
        if self.draw.once_in(2) {
            let repeat = self.draw.between(1, 3);
            let _ = writeln!(self.layers, "repeat = {repeat}");
            layer = format!("{placed}.{}.add1", repeat - 1);
        }
        self.layers.push('\n');
        self.values[at].used = true;
        self.previous.clone_from(&placed);
        self.values.push(Value { name: placed, layer, trained: true, shape, used: false });
    }

    /// Writes a layer, unless its result would be too large. Returns the value that it makes.
    fn layer(&mut self, kind: &'static str, inputs: &[usize], args: Args) -> Option<usize> {
        let mut text = String::new();
        for (key, value) in &args {
            let _ = writeln!(text, "{key} = {value}");
        }
        let shapes: Vec<&[usize]> = inputs.iter().map(|&i| self.values[i].shape.as_slice()).collect();
        let table = text.parse().expect("TOML");
        let (op, shape) = Op::new(kind, &table, &shapes, Some(&[]));
        if shape.iter().product::<usize>() > self.largest || shape.contains(&0) {
            return None;
        }
        let count = self.counts.entry(kind.to_string()).or_default();
        *count += 1;
        let (name, named) = match self.draw.below(3) {
            0 => (format!("{kind}{count}"), false),
            1 => (format!("{kind}.at.{}", self.values.len()), true),
            _ => (format!("{kind}-{}", self.values.len()), true),
        };
        self.layers.push_str("[[layer]]\n");
        if named {
            let _ = writeln!(self.layers, "name = {name:?}");
        }
        let _ = writeln!(self.layers, "type = {kind:?}");
        if MANY.contains(&kind) {
            let names: Vec<&str> = inputs.iter().map(|&i| self.values[i].name.as_str()).collect();
            let _ = writeln!(self.layers, "inputs = {names:?}");
        } else if self.values[inputs[0]].name != self.previous || self.draw.once_in(3) {
            let _ = writeln!(self.layers, "input = {:?}", self.values[inputs[0]].name);
        }
        let _ = writeln!(self.layers, "{text}");
        if kind == "max_pool2d" && does_not_overlap(&args) {
            let (input, output) = (self.values[inputs[0]].shape.clone(), shape.clone());
            self.pools.push(Pool { name: name.clone(), input, output, args });
        }
        for &input in inputs {
            self.values[input].used = true;
        }
        self.previous.clone_from(&name);
        let trained = !op.parameters().is_empty() || inputs.iter().any(|&input| self.values[input].trained);
        self.values.push(Value { layer: name.clone(), name, trained, shape, used: false });
        Some(self.values.len() - 1)
    }

    /// Outputs: all that nothing uses, and now and then a value that something does. Too many are joined.
    pub fn finish(&mut self) -> Vec<usize> {
        let inputs = self.inputs;
        for at in 0..inputs {
            if !self.values[at].used {
                self.layer("tanh", &[at], Vec::new());
            }
        }
        if self.values.len() == inputs {
            self.layer("identity", &[0], Vec::new());
        }
        let unused = |writer: &Self| -> Vec<usize> {
            (inputs..writer.values.len()).filter(|&i| !writer.values[i].used).collect()
        };
        let loose = unused(self);
        if loose.len() > 4 {
            let flat: Vec<usize> = loose
                .iter()
                .map(|&at| match self.values[at].shape.len() {
                    1 => at,
                    _ => self.layer("flatten", &[at], Vec::new()).expect("as large as before"),
                })
                .collect();
            // Piece by piece, so that no value grows too large.
            let mut flat = flat.into_iter();
            let first = flat.next().expect("five at least");
            flat.fold(first, |joined, next| self.layer("concat", &[joined, next], Vec::new()).unwrap_or(next));
        }
        let mut outputs = unused(self);
        for _ in 0..self.draw.below(3) {
            let more = self.draw.between(inputs, self.values.len() - 1);
            if !outputs.contains(&more) {
                outputs.push(more);
            }
        }
        for at in (1..outputs.len()).rev() {
            let other = self.draw.below(at + 1);
            outputs.swap(at, other);
        }
        outputs.truncate(12);
        outputs
    }
}
