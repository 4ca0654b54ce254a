//! What each type of layer computes, with its arguments resolved as PyTorch's documentation says.

use toml::{Table, Value};

/// The sizes of one sample.
pub type Shape = Vec<usize>;

/// A sliding window over a map `[channels, height, width]`; one-dimensional layers have height 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The map that the window slides over.
    pub input: [usize; 3],
    /// One value for each place of the window.
    pub output: [usize; 3],
    /// The window.
    pub kernel: [usize; 2],
    /// Pixels between places.
    pub stride: [usize; 2],
    /// Pixels added above and to the left.
    pub padding: [usize; 2],
    /// Pixels between the window's own.
    pub dilation: [usize; 2],
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are PyTorch's")]
pub enum Op {
    /// `axes`: how many its weight has beside channels.
    Conv {
        window: Window,
        axes: usize,
        groups: usize,
        bias: bool,
        mode: String,
    },
    /// `window` is that of the convolution whose gradient it is: its input is this layer's output.
    ConvTranspose {
        window: Window,
        groups: usize,
        bias: bool,
    },
    MaxPool(Window),
    MaxUnpool {
        input: [usize; 3],
        output: [usize; 3],
    },
    AvgPool {
        window: Window,
        count_include_pad: bool,
        divisor: Option<usize>,
    },
    LpPool {
        window: Window,
        norm_type: f64,
    },
    AdaptiveAvgPool {
        input: [usize; 3],
        output: [usize; 3],
    },
    AdaptiveMaxPool {
        input: [usize; 3],
        output: [usize; 3],
    },
    Linear {
        rows: usize,
        input: usize,
        output: usize,
        bias: bool,
    },
    /// flatten, identity
    Same,
    /// dropout, dropout2d: `inner` elements are kept or dropped together.
    Dropout {
        p: f64,
        inner: usize,
    },
    Rrelu {
        lower: f64,
        upper: f64,
    },
    Activation(Activation),
    Prelu {
        channels: usize,
        inner: usize,
    },
    Softmax {
        outer: usize,
        length: usize,
        inner: usize,
        log: bool,
    },
    BatchNorm {
        channels: usize,
        inner: usize,
        eps: f64,
        momentum: f64,
        affine: bool,
        track: bool,
    },
    LayerNorm {
        rows: usize,
        shape: Shape,
        eps: f64,
        weight: bool,
        bias: bool,
    },
    GroupNorm {
        groups: usize,
        channels: usize,
        inner: usize,
        eps: f64,
        affine: bool,
    },
    LocalResponseNorm {
        channels: usize,
        inner: usize,
        size: usize,
        alpha: f64,
        beta: f64,
        k: f64,
    },
    Upsample {
        input: [usize; 3],
        output: [usize; 3],
        scale: [f64; 2],
        bilinear: bool,
        align_corners: bool,
    },
    Add {
        inputs: Vec<[usize; 3]>,
        output: [usize; 3],
    },
    Mul {
        inputs: Vec<[usize; 3]>,
        output: [usize; 3],
    },
    Concat {
        outer: usize,
        lengths: Vec<usize>,
    },
}

/// An elementwise function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are PyTorch's")]
pub enum Activation {
    Relu,
    Relu6,
    LeakyRelu(f64),
    Elu(f64),
    Sigmoid,
    Tanh,
    Gelu,
    GeluTanh,
    Silu,
    Hardswish,
    Hardsigmoid,
}

struct Args<'a>(&'a Table);

impl Args<'_> {
    fn size(&self, key: &str) -> Option<usize> {
        self.0.get(key).map(|value| value.as_integer().expect("a whole number") as usize)
    }

    fn number(&self, key: &str, default: f64) -> f64 {
        match self.0.get(key) {
            None => default,
            Some(Value::Integer(i)) => *i as f64,
            Some(value) => value.as_float().expect("a number"),
        }
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        self.0.get(key).map_or(default, |value| value.as_bool().expect("true or false"))
    }

    fn word<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.0.get(key).map_or(default, |value| value.as_str().expect("a word"))
    }

    /// A number for all axes, or one for each; height and width. `fill` is the height of one-dimensional layers.
    fn pair(&self, key: &str, axes: usize, fill: usize) -> Option<[usize; 2]> {
        let whole = |value: &Value| value.as_integer().expect("a whole number") as usize;
        Some(match self.0.get(key)? {
            Value::Array(items) if axes == 2 => [whole(&items[0]), whole(&items[1])],
            Value::Array(items) => [fill, whole(&items[0])],
            value if axes == 2 => [whole(value); 2],
            value => [fill, whole(value)],
        })
    }
}

/// `[channels, height, width]` with height 1 where there is none.
fn map(shape: &[usize]) -> [usize; 3] {
    match *shape {
        [channels, length] => [channels, 1, length],
        [channels, height, width] => [channels, height, width],
        _ => panic!("{shape:?} is no map"),
    }
}

/// Ones in front, up to three axes.
fn three(shape: &[usize]) -> [usize; 3] {
    let mut three = [1; 3];
    three[3 - shape.len()..].copy_from_slice(shape);
    three
}

impl Op {
    /// A layer of this type on inputs of these shapes, and the shape of its result. `pooled`: what flowed into the pooling
    /// layer that gives the indices.
    pub fn new(kind: &str, args: &Table, inputs: &[&[usize]], pooled: Option<&[usize]>) -> (Op, Shape) {
        let args = Args(args);
        let x = inputs[0];
        let len: usize = x.iter().product();
        let axes = x.len() - 1;
        // A map's shape without the height that one-dimensional layers do not have.
        let unmap = |[channels, height, width]: [usize; 3]| match axes {
            1 => vec![channels, width],
            _ => vec![channels, height, width],
        };
        let same = |op| (op, x.to_vec());
        match kind {
            "conv1d" | "conv2d" => {
                let window = conv_window(&args, map(x), axes);
                let (groups, bias) = (args.size("groups").unwrap_or(1), args.flag("bias", true));
                let mode = args.word("padding_mode", "zeros").to_string();
                (Op::Conv { window, axes, groups, bias, mode }, unmap(window.output))
            }
            "conv_transpose2d" => {
                let window = transposed_window(&args, map(x));
                let (groups, bias) = (args.size("groups").unwrap_or(1), args.flag("bias", true));
                (Op::ConvTranspose { window, groups, bias }, window.input.to_vec())
            }
            "max_pool1d" | "max_pool2d" => {
                let window = pool_window(&args, map(x), axes);
                (Op::MaxPool(window), unmap(window.output))
            }
            "avg_pool1d" | "avg_pool2d" => {
                let window = pool_window(&args, map(x), axes);
                let count_include_pad = args.flag("count_include_pad", true);
                let divisor = args.size("divisor_override");
                (Op::AvgPool { window, count_include_pad, divisor }, unmap(window.output))
            }
            "lp_pool2d" => {
                let window = pool_window(&args, map(x), 2);
                (Op::LpPool { window, norm_type: args.number("norm_type", 2.0) }, unmap(window.output))
            }
            "max_unpool2d" => {
                let (input, kernel) = (map(x), args.pair("kernel_size", 2, 1).expect("a kernel"));
                let stride = args.pair("stride", 2, 1).unwrap_or(kernel);
                let padding = args.pair("padding", 2, 0).unwrap_or([0; 2]);
                let size = |axis: usize| (input[axis + 1] - 1) * stride[axis] + kernel[axis] - 2 * padding[axis];
                let [height, width] = args.pair("output_size", 2, 1).unwrap_or([size(0), size(1)]);
                assert!(pooled.is_some(), "indices come from a pooling layer");
                let output = [input[0], height, width];
                (Op::MaxUnpool { input, output }, output.to_vec())
            }
            "adaptive_avg_pool2d" | "adaptive_max_pool2d" => {
                let [height, width] = args.pair("output_size", 2, 1).expect("a size");
                let (input, output) = (map(x), [x[0], height, width]);
                let op = match kind {
                    "adaptive_avg_pool2d" => Op::AdaptiveAvgPool { input, output },
                    _ => Op::AdaptiveMaxPool { input, output },
                };
                (op, output.to_vec())
            }
            "linear" => {
                let (rest, input) = (&x[..axes], x[axes]);
                let output = args.size("out_features").expect("a size");
                let op = Op::Linear { rows: rest.iter().product(), input, output, bias: args.flag("bias", true) };
                (op, [rest, &[output]].concat())
            }
            "flatten" => {
                let dim = |key: &str, default: i64| {
                    let dim = args.0.get(key).map_or(default, |value| value.as_integer().expect("a whole number"));
                    axis(dim, x)
                };
                let (start, end) = (dim("start_dim", 1), dim("end_dim", -1));
                let joined: usize = x[start..=end].iter().product();
                (Op::Same, [&x[..start], &[joined], &x[end + 1..]].concat())
            }
            "identity" => same(Op::Same),
            "dropout" => same(Op::Dropout { p: args.number("p", 0.5), inner: 1 }),
            "dropout2d" => same(Op::Dropout { p: args.number("p", 0.5), inner: len / x[0] }),
            "rrelu" => {
                same(Op::Rrelu { lower: args.number("lower", 1.0 / 8.0), upper: args.number("upper", 1.0 / 3.0) })
            }
            "relu" => same(Op::Activation(Activation::Relu)),
            "relu6" => same(Op::Activation(Activation::Relu6)),
            "sigmoid" => same(Op::Activation(Activation::Sigmoid)),
            "tanh" => same(Op::Activation(Activation::Tanh)),
            "silu" => same(Op::Activation(Activation::Silu)),
            "hardswish" => same(Op::Activation(Activation::Hardswish)),
            "hardsigmoid" => same(Op::Activation(Activation::Hardsigmoid)),
            "leaky_relu" => same(Op::Activation(Activation::LeakyRelu(args.number("negative_slope", 0.01)))),
            "elu" => same(Op::Activation(Activation::Elu(args.number("alpha", 1.0)))),
            "gelu" if args.word("approximate", "none") == "tanh" => same(Op::Activation(Activation::GeluTanh)),
            "gelu" => same(Op::Activation(Activation::Gelu)),
            "prelu" => match args.size("num_parameters").unwrap_or(1) {
                1 => same(Op::Prelu { channels: 1, inner: len }),
                channels => same(Op::Prelu { channels, inner: len / channels }),
            },
            "softmax" | "log_softmax" => {
                let dim = axis(args.0["dim"].as_integer().expect("a whole number"), x);
                let (outer, inner) = (x[..dim].iter().product(), x[dim + 1..].iter().product());
                same(Op::Softmax { outer, length: x[dim], inner, log: kind == "log_softmax" })
            }
            "batch_norm1d" | "batch_norm2d" => same(Op::BatchNorm {
                channels: x[0],
                inner: len / x[0],
                eps: args.number("eps", 1e-5),
                momentum: args.number("momentum", 0.1),
                affine: args.flag("affine", true),
                track: args.flag("track_running_stats", true),
            }),
            "layer_norm" => {
                let shape = match args.0.get("normalized_shape") {
                    None => x.to_vec(),
                    Some(Value::Integer(size)) => vec![*size as usize],
                    Some(sizes) => sizes
                        .as_array()
                        .expect("a list")
                        .iter()
                        .map(|s| s.as_integer().expect("a size") as usize)
                        .collect(),
                };
                let rows = len / shape.iter().product::<usize>();
                let weight = args.flag("elementwise_affine", true);
                let bias = weight && args.flag("bias", true);
                same(Op::LayerNorm { rows, shape, eps: args.number("eps", 1e-5), weight, bias })
            }
            "group_norm" => same(Op::GroupNorm {
                groups: args.size("num_groups").expect("a number of groups"),
                channels: x[0],
                inner: len / x[0],
                eps: args.number("eps", 1e-5),
                affine: args.flag("affine", true),
            }),
            "local_response_norm" => same(Op::LocalResponseNorm {
                channels: x[0],
                inner: len / x[0],
                size: args.size("size").expect("a size"),
                alpha: args.number("alpha", 1e-4),
                beta: args.number("beta", 0.75),
                k: args.number("k", 1.0),
            }),
            "upsample" => {
                let scale = match args.0.get("scale_factor").expect("a scale") {
                    Value::Array(items) => [0, 1].map(|at: usize| {
                        items[at].as_float().unwrap_or_else(|| items[at].as_integer().expect("a number") as f64)
                    }),
                    _ => [args.number("scale_factor", 1.0); 2],
                };
                let input = map(x);
                let size = |axis: usize| (input[axis + 1] as f64 * scale[axis]).floor() as usize;
                let output = [input[0], size(0), size(1)];
                let bilinear = args.word("mode", "nearest") == "bilinear";
                let align_corners = args.flag("align_corners", false);
                (Op::Upsample { input, output, scale, bilinear, align_corners }, output.to_vec())
            }
            "add" | "mul" => {
                let shape: Shape =
                    (0..x.len()).map(|axis| inputs.iter().map(|shape| shape[axis]).max().expect("inputs")).collect();
                let (inputs, output) = (inputs.iter().map(|shape| three(shape)).collect(), three(&shape));
                let op = if kind == "add" { Op::Add { inputs, output } } else { Op::Mul { inputs, output } };
                (op, shape)
            }
            "concat" => {
                let dim = axis(args.0.get("dim").map_or(1, |dim| dim.as_integer().expect("a whole number")), x);
                let inner: usize = x[dim + 1..].iter().product();
                let lengths = inputs.iter().map(|shape| shape[dim] * inner).collect();
                let mut shape = x.to_vec();
                shape[dim] = inputs.iter().map(|shape| shape[dim]).sum();
                (Op::Concat { outer: x[..dim].iter().product(), lengths }, shape)
            }
            other => panic!("no layer type {other:?}"),
        }
    }

    /// Parameters with their shapes, in PyTorch's order.
    pub fn parameters(&self) -> Vec<(&'static str, Shape)> {
        let both = |weight: Shape, bias: Option<usize>| {
            let bias = bias.map(|size| ("bias", vec![size]));
            [("weight", weight)].into_iter().chain(bias).collect()
        };
        match self {
            Op::Conv { window: Window { input, output, kernel, .. }, axes, groups, bias, .. } => {
                let weight = [&[output[0], input[0] / groups], &kernel[2 - axes..]].concat();
                both(weight, bias.then_some(output[0]))
            }
            Op::ConvTranspose { window: Window { input, output, kernel, .. }, groups, bias } => {
                both(vec![output[0], input[0] / groups, kernel[0], kernel[1]], bias.then_some(input[0]))
            }
            Op::Linear { input, output, bias, .. } => both(vec![*output, *input], bias.then_some(*output)),
            Op::Prelu { channels, .. } => both(vec![*channels], None),
            Op::BatchNorm { channels, affine: true, .. } | Op::GroupNorm { channels, affine: true, .. } => {
                both(vec![*channels], Some(*channels))
            }
            Op::LayerNorm { shape, weight: true, bias, .. } => {
                let bias = bias.then(|| ("bias", shape.clone()));
                [("weight", shape.clone())].into_iter().chain(bias).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it keeps running statistics.
    pub fn tracks(&self) -> bool {
        matches!(self, Op::BatchNorm { track: true, .. })
    }
}

/// An axis of a sample from an axis that counts the batch as 0.
fn axis(dim: i64, shape: &[usize]) -> usize {
    if dim < 0 { (shape.len() as i64 + dim) as usize } else { dim as usize - 1 }
}

/// `floor((in + padding - dilation (kernel - 1) - 1) / stride) + 1`: torch.nn.Conv2d.
fn conv_window(args: &Args<'_>, input: [usize; 3], axes: usize) -> Window {
    let kernel = args.pair("kernel_size", axes, 1).expect("a kernel");
    let stride = args.pair("stride", axes, 1).unwrap_or([1; 2]);
    let dilation = args.pair("dilation", axes, 1).unwrap_or([1; 2]);
    let span = [0, 1].map(|axis: usize| dilation[axis] * (kernel[axis] - 1) + 1);
    let total = match args.0.get("padding") {
        Some(Value::String(word)) if word == "same" => span.map(|span| span - 1),
        Some(Value::String(_)) | None => [0; 2],
        Some(_) => args.pair("padding", axes, 0).expect("numbers").map(|padding| 2 * padding),
    };
    let size = |axis: usize| (input[axis + 1] + total[axis] - span[axis]) / stride[axis] + 1;
    let output = [args.size("out_channels").expect("channels"), size(0), size(1)];
    Window { input, output, kernel, stride, padding: total.map(|total| total / 2), dilation }
}

/// `(in - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1`: torch.nn.ConvTranspose2d.
fn transposed_window(args: &Args<'_>, input: [usize; 3]) -> Window {
    let pair = |key, default| args.pair(key, 2, default).unwrap_or([default; 2]);
    let kernel = args.pair("kernel_size", 2, 1).expect("a kernel");
    let (stride, dilation) = (pair("stride", 1), pair("dilation", 1));
    let (padding, extra) = (pair("padding", 0), pair("output_padding", 0));
    let size = |axis: usize| {
        (input[axis + 1] - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + extra[axis] + 1 - 2 * padding[axis]
    };
    let output = [args.size("out_channels").expect("channels"), size(0), size(1)];
    Window { input: output, output: input, kernel, stride, padding, dilation }
}

/// torch.nn.MaxPool2d and AvgPool2d. With `ceil_mode` the last window must begin within the input or its left padding.
fn pool_window(args: &Args<'_>, input: [usize; 3], axes: usize) -> Window {
    let kernel = args.pair("kernel_size", axes, 1).expect("a kernel");
    let stride = args.pair("stride", axes, 1).unwrap_or(kernel);
    let padding = args.pair("padding", axes, 0).unwrap_or([0; 2]);
    let dilation = args.pair("dilation", axes, 1).unwrap_or([1; 2]);
    let size = |axis: usize| {
        let (input, stride) = (input[axis + 1], stride[axis]);
        let room = input + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1;
        if !args.flag("ceil_mode", false) {
            return room / stride + 1;
        }
        let places = room.div_ceil(stride) + 1;
        if (places - 1) * stride >= input + padding[axis] { places - 1 } else { places }
    };
    Window { input, output: [input[0], size(0), size(1)], kernel, stride, padding, dilation }
}
