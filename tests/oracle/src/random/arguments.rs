//! Arguments with which a layer fits what flows into it.

use super::draw::Draw;

/// Keys and values as TOML.
pub(super) type Args = Vec<(&'static str, String)>;

/// Arguments with which the type takes this shape. Statistics are not taken over fewer than `least` numbers of a sample.
pub(super) fn arguments(draw: &mut Draw, kind: &str, shape: &[usize], least: usize) -> Option<Args> {
    let mut args = Args::new();
    let channels = shape[0];
    let sizes = &shape[1..];
    let inner: usize = sizes.iter().product();
    let divisors = |n: usize| -> Vec<usize> { (1..=n).filter(|d| n.is_multiple_of(*d)).collect() };
    match kind {
        "linear" => {
            args.push(("out_features", draw.between(1, 9).to_string()));
            flag(draw, &mut args, "bias", true);
        }
        "conv1d" | "conv2d" => convolution(draw, &mut args, channels, sizes)?,
        "conv_transpose2d" => transposed(draw, &mut args, channels, sizes)?,
        "max_pool1d" | "max_pool2d" | "avg_pool1d" | "avg_pool2d" | "lp_pool2d" => {
            pooling(draw, &mut args, kind, sizes)
        }
        "adaptive_avg_pool2d" | "adaptive_max_pool2d" => {
            let output: Vec<usize> = sizes.iter().map(|_| draw.between(1, 5)).collect();
            args.push(("output_size", either(draw, &output)));
        }
        "batch_norm1d" | "batch_norm2d" => {
            if inner < least {
                return None;
            }
            flag(draw, &mut args, "affine", true);
            flag(draw, &mut args, "track_running_stats", true);
            if draw.once_in(3) {
                args.extend([("eps", "0.01".into()), ("momentum", "0.3".into())]);
            }
        }
        "group_norm" => {
            let groups: Vec<usize> = divisors(channels).into_iter().filter(|g| channels / g * inner >= least).collect();
            if groups.is_empty() {
                return None;
            }
            args.push(("num_groups", draw.pick(&groups).to_string()));
            flag(draw, &mut args, "affine", true);
            if draw.once_in(3) {
                args.push(("eps", "0.01".into()));
            }
        }
        "layer_norm" => {
            let tail = draw.between(1, shape.len());
            let over = &shape[shape.len() - tail..];
            if over.iter().product::<usize>() < least {
                return None;
            }
            if tail < shape.len() || draw.once_in(2) {
                args.push(("normalized_shape", format!("{over:?}")));
            }
            flag(draw, &mut args, "elementwise_affine", true);
            flag(draw, &mut args, "bias", true);
            if draw.once_in(3) {
                args.push(("eps", "0.01".into()));
            }
        }
        "local_response_norm" => {
            let size = draw.between(1, 5).to_string();
            args.extend([("size", size), ("alpha", "0.1".into()), ("k", "1.5".into())]);
            if draw.once_in(3) {
                args.push(("beta", "0.5".into()));
            }
        }
        "upsample" => {
            args.push(("scale_factor", draw.between(1, 3).to_string()));
            if draw.once_in(2) {
                args.push(("mode", "\"bilinear\"".into()));
                flag(draw, &mut args, "align_corners", false);
            }
        }
        "softmax" | "log_softmax" => {
            let axis = draw.below(shape.len()) as i64;
            let dim = if draw.once_in(2) { axis + 1 } else { axis - shape.len() as i64 };
            args.push(("dim", dim.to_string()));
        }
        "flatten" => {
            let start = draw.between(1, shape.len());
            let end = draw.between(start, shape.len());
            if !draw.once_in(2) || shape.len() == 1 {
                args.extend([
                    ("start_dim", start.to_string()),
                    ("end_dim", (end as i64 - shape.len() as i64 - 1).to_string()),
                ]);
            }
        }
        "leaky_relu" => args.push(("negative_slope", "0.2".into())),
        "prelu" if draw.once_in(2) => args.push(("num_parameters", channels.to_string())),
        "elu" => args.push(("alpha", draw.pick(&["0.5", "1", "1.3"]).into())),
        "gelu" if draw.once_in(2) => args.push(("approximate", "\"tanh\"".into())),
        "dropout" | "dropout2d" => args.push(("p", draw.pick(&["0", "0.3", "0.75"]).into())),
        "rrelu" if draw.once_in(2) => args.extend([("lower", "0.1".into()), ("upper", "0.6".into())]),
        _ => {}
    }
    Some(args)
}

/// A list, or a number where all are the same.
fn either(draw: &mut Draw, sizes: &[usize]) -> String {
    if sizes.iter().all(|&size| size == sizes[0]) && draw.once_in(2) {
        sizes[0].to_string()
    } else {
        format!("{sizes:?}")
    }
}

/// Sets a flag against its default, now and then.
fn flag(draw: &mut Draw, args: &mut Args, key: &'static str, default: bool) {
    if draw.once_in(3) {
        args.push((key, (!default).to_string()));
    }
}

fn convolution(draw: &mut Draw, args: &mut Args, channels: usize, sizes: &[usize]) -> Option<()> {
    let groups: Vec<usize> = (1..=channels).filter(|g| channels.is_multiple_of(*g)).collect();
    let groups = if draw.once_in(3) { draw.pick(&groups) } else { 1 };
    let out = if groups == channels && draw.once_in(2) {
        channels
    } else {
        groups * draw.between(1, 6usize.div_ceil(groups))
    };
    args.push(("out_channels", out.to_string()));
    if groups > 1 {
        args.push(("groups", groups.to_string()));
    }
    flag(draw, args, "bias", true);
    let mode = draw.pick(&["zeros", "zeros", "zeros", "reflect", "replicate", "circular"]);
    // Even spans with padding = "same": a border that is wider behind the input, or there alone.
    let uneven = draw.once_in(4);
    let (kernels, dilations): (&[usize], &[usize]) =
        if uneven { (&[1, 2, 2, 2, 4], &[1, 1, 1, 3]) } else { (&[1, 2, 3, 4], &[1, 1, 1, 2, 3]) };
    let kernel: Vec<usize> = sizes.iter().map(|_| draw.pick(kernels)).collect();
    let dilation: Vec<usize> = sizes.iter().map(|_| draw.pick(dilations)).collect();
    let spans: Vec<usize> = kernel.iter().zip(&dilation).map(|(k, d)| d * (k - 1) + 1).collect();
    let most = |size: usize| match mode {
        "reflect" => size - 1,
        "circular" => size,
        _ => 4,
    };
    let same = (uneven || draw.once_in(5)) && spans.iter().zip(sizes).all(|(span, &size)| span / 2 <= most(size));
    let mut padding = Vec::new();
    for (span, &size) in spans.iter().zip(sizes) {
        // As little as the window needs, and sometimes more.
        let needed = span.saturating_sub(size).div_ceil(2);
        if !same && needed > most(size) {
            return None;
        }
        let more = if draw.once_in(2) { (span / 2).clamp(needed, most(size).max(needed)) } else { needed };
        padding.push(more.min(most(size)).max(needed));
    }
    args.push(("kernel_size", either(draw, &kernel)));
    args.push(("dilation", either(draw, &dilation)));
    if same {
        args.push(("padding", "\"same\"".into()));
    } else {
        args.push(("padding", either(draw, &padding)));
        let stride: Vec<usize> = sizes.iter().map(|_| draw.pick(&[1, 1, 2, 3])).collect();
        args.push(("stride", either(draw, &stride)));
    }
    if mode != "zeros" {
        args.push(("padding_mode", format!("{mode:?}")));
    }
    Some(())
}

fn transposed(draw: &mut Draw, args: &mut Args, channels: usize, sizes: &[usize]) -> Option<()> {
    let groups = if draw.once_in(3) { channels } else { 1 };
    args.push(("out_channels", (groups * draw.between(1, 3usize.div_ceil(groups))).to_string()));
    if groups > 1 {
        args.push(("groups", groups.to_string()));
    }
    flag(draw, args, "bias", true);
    let (mut kernel, mut stride, mut dilation, mut padding, mut extra) = (vec![], vec![], vec![], vec![], vec![]);
    for &size in sizes {
        let (k, s, d) = (draw.between(1, 4), draw.between(1, 3), draw.between(1, 2));
        let whole = (size - 1) * s + d * (k - 1) + 1;
        let p = draw.below(3).min((whole - 1) / 2);
        let e = if draw.once_in(2) { draw.below(s.max(d)) } else { 0 };
        kernel.push(k);
        stride.push(s);
        dilation.push(d);
        padding.push(p);
        extra.push(e);
    }
    let all = [
        ("kernel_size", kernel),
        ("stride", stride),
        ("dilation", dilation),
        ("padding", padding),
        ("output_padding", extra),
    ];
    for (key, sizes) in all {
        args.push((key, either(draw, &sizes)));
    }
    Some(())
}

fn pooling(draw: &mut Draw, args: &mut Args, kind: &str, sizes: &[usize]) {
    let (max, power) = (kind.starts_with("max"), kind == "lp_pool2d");
    let kernel: Vec<usize> = sizes.iter().map(|&size| draw.between(1, size.min(3))).collect();
    args.push(("kernel_size", either(draw, &kernel)));
    if draw.once_in(2) {
        let stride: Vec<usize> = sizes.iter().map(|_| draw.between(1, 3)).collect();
        args.push(("stride", either(draw, &stride)));
        if !power {
            let padding: Vec<usize> = kernel.iter().map(|k| draw.between(0, k / 2)).collect();
            args.push(("padding", either(draw, &padding)));
        }
        flag(draw, args, "ceil_mode", false);
        if max && kernel.iter().zip(sizes).all(|(k, &size)| 2 * (k - 1) < size) {
            args.push(("dilation", draw.between(1, 2).to_string()));
        }
    }
    if power {
        // Even ones: the others are NaN where a sum is negative.
        args.push(("norm_type", draw.pick(&["2", "4"]).into()));
    } else if !max {
        flag(draw, args, "count_include_pad", true);
        if kind == "avg_pool2d" && draw.once_in(4) {
            args.push(("divisor_override", draw.between(1, 7).to_string()));
        }
    }
}

/// Whether the windows share no pixel and the arguments are those of an unpooling too.
pub(super) fn does_not_overlap(args: &Args) -> bool {
    args.iter().all(|(key, _)| *key == "kernel_size")
}
