//! `max_pool1d`, `max_pool2d`, `avg_pool1d`, `avg_pool2d` and `lp_pool2d`. A one-dimensional pooling is the two-dimensional one on maps of
//! height 1.

use super::contract::{Layer, LayerType};
use super::conv::DILATION;
use super::conv::{two_axes, with_height};
use super::op::{Call, Extent, Gradient, Op, Reads};
use super::window::{Reach, axis_name, padded_window, sizes_text};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::{Maps, Operation};
use crate::shape::sizes::Shape;
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{self, Argument, Fallback, Range};
use castnet_descriptors::{AvgPool2d, LpPool2d, Pool2d, Pool2x2};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const MAX_POOL1D: LayerType =
    LayerType::one("max_pool1d", "the largest of each window", &MAX_ARGUMENTS, Pool::<1>::max);
pub(super) const MAX_POOL2D: LayerType = LayerType {
    gives_indices: true,
    ..LayerType::one("max_pool2d", "the largest of each window", &MAX_ARGUMENTS, Pool::<2>::max)
};
pub(super) const AVG_POOL1D: LayerType =
    LayerType::one("avg_pool1d", "the mean of each window", &AVG_ARGUMENTS_1D, Pool::<1>::average);
pub(super) const AVG_POOL2D: LayerType =
    LayerType::one("avg_pool2d", "the mean of each window", &AVG_ARGUMENTS_2D, Pool::<2>::average);

pub(super) const LP_POOL2D: LayerType =
    LayerType::one("lp_pool2d", "the root of the sum of powers of each window", &LP_ARGUMENTS, Pool::<2>::power);

static LP_ARGUMENTS: [Argument; 4] = [NORM_TYPE, KERNEL_SIZE, STRIDE, CEIL_MODE];
const NORM_TYPE: Argument = Argument::new(
    "norm_type",
    argument::Kind::Number(Range::Positive),
    Fallback::Required("2"),
    "the power and the root; powers of negative numbers are NaN where it is not whole",
);
static MAX_ARGUMENTS: [Argument; 5] = [KERNEL_SIZE, STRIDE, PADDING, DILATION, CEIL_MODE];
static AVG_ARGUMENTS_1D: [Argument; 5] = [KERNEL_SIZE, STRIDE, PADDING, CEIL_MODE, COUNT_INCLUDE_PAD];
static AVG_ARGUMENTS_2D: [Argument; 6] = [KERNEL_SIZE, STRIDE, PADDING, CEIL_MODE, COUNT_INCLUDE_PAD, DIVISOR_OVERRIDE];

pub(super) const KERNEL_SIZE: Argument = Argument::new(
    "kernel_size",
    argument::Kind::PerAxis { least: 1 },
    Fallback::Required("2"),
    "rows and columns of a window",
);
pub(super) const STRIDE: Argument = Argument::new(
    "stride",
    argument::Kind::PerAxis { least: 1 },
    Fallback::Same("kernel_size"),
    "pixels from one window to the next",
);
pub(super) const PADDING: Argument = Argument::new(
    "padding",
    argument::Kind::PerAxis { least: 0 },
    Fallback::Whole(0),
    "pixels around the input, at most half a window",
);
pub(super) const CEIL_MODE: Argument = Argument::new(
    "ceil_mode",
    argument::Kind::Boolean,
    Fallback::Boolean(false),
    "whether a window may reach over the end",
);
const COUNT_INCLUDE_PAD: Argument = Argument::new(
    "count_include_pad",
    argument::Kind::Boolean,
    Fallback::Boolean(true),
    "whether a mean counts the padding",
);
const DIVISOR_OVERRIDE: Argument = Argument::new(
    "divisor_override",
    argument::Kind::Size,
    Fallback::Described("none"),
    "what sums are divided by in place of the count",
);

/// What is made of the pixels of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Max,
    Average { count_include_pad: bool, divisor: Option<usize> },
    Power { norm_type: f32 },
}

/// A pooling over `N` axes, as written.
#[derive(Debug, Clone)]
struct Pool<const N: usize> {
    kind: Kind,
    kernel_size: Arg<[usize; N]>,
    stride: Arg<[usize; N]>,
    padding: Arg<[usize; N]>,
    dilation: Arg<[usize; N]>,
    ceil_mode: Arg<bool>,
    line: usize,
}

impl<const N: usize> Pool<N> {
    fn max(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let dilation = args.sizes("dilation");
        let padding = args.sizes("padding");
        let pool = Self::windows(args)?;
        Some(Box::new(Self { dilation: dilation?, padding: padding?, ..pool }))
    }

    fn average(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let pool = Self::windows(args);
        let count_include_pad = args.boolean("count_include_pad");
        let divisor = if N == 2 { args.size("divisor_override").map(|arg| arg.value) } else { None };
        let padding = args.sizes("padding");
        let kind = Kind::Average { count_include_pad: count_include_pad?.value, divisor };
        Some(Box::new(Self { kind, padding: padding?, ..pool? }))
    }

    fn power(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let norm_type = args.number("norm_type");
        let pool = Self::windows(args)?;
        Some(Box::new(Self { kind: Kind::Power { norm_type: norm_type?.value as f32 }, ..pool }))
    }

    /// What all have.
    fn windows(args: &mut Args<'_>) -> Option<Self> {
        let kernel_size = args.sizes("kernel_size");
        let stride = args.sizes("stride");
        let ceil_mode = args.boolean("ceil_mode");
        let kernel_size = kernel_size?;
        let stride = stride.unwrap_or(Arg::default(kernel_size.value));
        let (padding, dilation) = (Arg::default([0; N]), Arg::default([1; N]));
        let ceil_mode = ceil_mode?;
        Some(Self { kind: Kind::Max, kernel_size, stride, padding, dilation, ceil_mode, line: args.line() })
    }
}

impl<const N: usize> Layer for Pool<N> {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let (channels, sizes) = cx.channels_and::<N>()?;
        let mut output = [0; N];
        for axis in 0..N {
            self.check_padding(cx, axis)?;
            output[axis] = self.output_size(cx, axis, sizes[axis])?;
        }
        let windows = Pool2d {
            input: with_height(channels, sizes),
            output: with_height(channels, output),
            kernel: two_axes(self.kernel_size.value, 1),
            stride: two_axes(self.stride.value, 1),
            padding: two_axes(self.padding.value, 0),
            dilation: two_axes(self.dilation.value, 1),
        };
        if self.kind == Kind::Max {
            check_plane(cx, windows.input[1], windows.input[2])?;
        }
        let shape = Shape([channels].into_iter().chain(output).collect());
        Checked::new(shape, PoolOp { kind: self.kind, windows })
    }

    /// Other paddings, strides and roundings: what people choose between.
    fn variants(&self) -> Vec<(String, Box<dyn Layer>)> {
        let mut found: Vec<(String, Box<dyn Layer>)> = Vec::new();
        for padding in [[0; N], self.kernel_size.value.map(|k| k / 2)] {
            if padding != self.padding.value {
                let words = self.words("padding", &self.padding, sizes_text(&padding), "no padding");
                found.push((words, Box::new(Self { padding: Arg::default(padding), ..self.clone() })));
            }
        }
        let ceil_mode = !self.ceil_mode.value;
        let has = if self.ceil_mode.value { "has ceil_mode = true" } else { "rounds its size down" };
        let words = format!("(line {}) {has}; with ceil_mode = {ceil_mode}", self.line);
        found.push((words, Box::new(Self { ceil_mode: Arg::default(ceil_mode), ..self.clone() })));
        for stride in [self.kernel_size.value, [2; N], [1; N]] {
            if stride != self.stride.value {
                let unset = format!("stride = {}, its kernel_size", sizes_text(&self.stride.value));
                let words = self.words("stride", &self.stride, sizes_text(&stride), &unset);
                found.push((words, Box::new(Self { stride: Arg::default(stride), ..self.clone() })));
            }
        }
        found
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl<const N: usize> Pool<N> {
    fn words(&self, key: &str, now: &Arg<[usize; N]>, then: String, unset: &str) -> String {
        let has = match now.span {
            Some(_) => format!("{key} = {}", sizes_text(&now.value)),
            None => unset.to_string(),
        };
        format!("(line {}) has {has}; with {key} = {then}", self.line)
    }

    /// Pixels that a window spans along an axis.
    fn span(&self, axis: usize) -> usize {
        self.dilation.value[axis] * (self.kernel_size.value[axis] - 1) + 1
    }

    /// At most half the window is padding: `torch.nn.MaxPool2d` counts the dilated window, `MaxPool1d` the kernel alone.
    fn check_padding(&self, cx: &mut Infer<'_>, axis: usize) -> Option<()> {
        let padding = self.padding.value[axis];
        let (window, what) = match N {
            1 => (self.kernel_size.value[axis], "kernel_size"),
            _ => (self.span(axis), "window"),
        };
        if padding <= window / 2 {
            return Some(());
        }
        let title =
            format!("{} says padding = {padding}, which is more than half its {what}, {window}", cx.site.title());
        let label = format!("at most {window} / 2, so {}", window / 2);
        cx.refuse_with(&self.padding, title, label, |diagnostic| {
            diagnostic.help(format!("use padding = {}, or a larger kernel_size", window / 2))
        });
        None
    }

    /// `floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`; with `ceil_mode` rounded up, and one less where the last
    /// window would begin behind the input and its padding in front (torch.nn.MaxPool2d, torch.nn.AvgPool2d).
    fn output_size(&self, cx: &mut Infer<'_>, axis: usize, size: usize) -> Option<usize> {
        let (span, stride, padding) = (self.span(axis), self.stride.value[axis], self.padding.value[axis]);
        let beyond = if self.ceil_mode.value { stride - 1 } else { 0 };
        let reach = Reach { axis, axes: N, span, before: padding, behind: padding, beyond };
        padded_window(cx, &self.kernel_size, &reach, size)?;
        let output = (size + 2 * padding + beyond - span) / stride + 1;
        let dropped = self.ceil_mode.value && (output - 1) * stride >= size + padding;
        Some(if dropped { output - 1 } else { output })
    }
}

/// Max pooling counts the pixels of a plane with 32 bits, whose largest number stands for "none".
pub(super) fn check_plane(cx: &mut Infer<'_>, height: usize, width: usize) -> Option<()> {
    let most = u32::MAX as usize;
    if height.checked_mul(width).is_some_and(|plane| plane <= most) {
        return Some(());
    }
    let title = format!("{} takes the maximum over maps of {height} x {width} pixels", cx.site.title());
    let name = axis_name(0, 2);
    cx.refuse_layer(title, format!("{name} x width is more than {most}, the most that an index can count"));
    None
}

#[derive(Debug)]
struct PoolOp {
    kind: Kind,
    windows: Pool2d,
}

impl PoolOp {
    /// The last pixel along an axis that a window reaches.
    fn last(&self, axis: usize) -> usize {
        let (size, windows) = (self.windows.input[axis + 1], self.windows.output[axis + 1]);
        let (kernel, stride) = (self.windows.kernel[axis], self.windows.stride[axis]);
        let (padding, dilation) = (self.windows.padding[axis], self.windows.dilation[axis]);
        let mut last = 0;
        for window in (0..windows).rev() {
            // Counted from the first pixel of the padding.
            let start = window * stride;
            let end = start + (kernel - 1) * dilation;
            // Windows that end inside the input: the last of them reaches farthest.
            if end < size + padding {
                return last.max(end.saturating_sub(padding));
            }
            // A window that runs over the end: its last pixel inside is a multiple of the dilation behind its start.
            let inside = start + (size + padding - 1).saturating_sub(start) / dilation * dilation;
            last = last.max(inside.saturating_sub(padding));
            if last == size - 1 {
                break;
            }
        }
        last
    }
}

impl Op for PoolOp {
    fn saved(&self) -> Extent {
        match self.kind {
            Kind::Max => Extent::per_sample(self.windows.output.iter().product()),
            Kind::Average { .. } | Kind::Power { .. } => Extent::default(),
        }
    }

    fn reads(&self, _: Gradient) -> Reads {
        match self.kind {
            Kind::Max => Reads { saved: true, ..Reads::default() },
            Kind::Average { .. } => Reads::default(),
            Kind::Power { .. } => Reads { inputs: true, output: true, ..Reads::default() },
        }
    }

    /// Max pooling keeps where the maxima were.
    fn trains_differently(&self) -> bool {
        self.kind == Kind::Max
    }

    fn largest_index(&self) -> Option<usize> {
        (self.kind == Kind::Max).then(|| self.last(0) * self.windows.input[2] + self.last(1))
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(match self.kind {
            Kind::Max => descriptor::item(&self.windows),
            Kind::Average { count_include_pad, divisor } => {
                descriptor::item(&AvgPool2d { pool: self.windows, count_include_pad, divisor })
            }
            Kind::Power { norm_type } => descriptor::item(&LpPool2d { pool: self.windows, norm_type }),
        })
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        match self.kind {
            Kind::Max => quote!(castnet::max_pool2d::forward(context, &#op, #input, output, None);),
            Kind::Average { .. } => quote!(castnet::avg_pool2d::forward(context, &#op, #input, output);),
            Kind::Power { .. } => quote!(castnet::lp_pool2d::forward(context, &#op, #input, output);),
        }
    }

    fn forward_train(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        quote!(castnet::max_pool2d::forward(context, &#op, #input, output, Some(saved));)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        match self.kind {
            Kind::Max => quote!(castnet::max_pool2d::backward(context, &#op, saved, grad_output, grad_input);),
            Kind::Average { .. } => quote!(castnet::avg_pool2d::backward(context, &#op, grad_output, grad_input);),
            Kind::Power { .. } => {
                quote!(castnet::lp_pool2d::backward(context, &#op, #input, output, grad_output, grad_input);)
            }
        }
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        let module = match self.kind {
            Kind::Max => "max_pool2d",
            Kind::Average { .. } => "avg_pool2d",
            Kind::Power { .. } => return None,
        };
        Some(Operation::Maps(Maps { module, pool: self.pool_2x2() }))
    }
}

impl PoolOp {
    /// The pool that it is, if it makes one pixel of each 2x2 that lie whole in its input.
    fn pool_2x2(&self) -> Option<Pool2x2> {
        let windows = self.windows.kernel == [2, 2] && self.windows.stride == [2, 2] && self.windows.dilation == [1, 1];
        // With `ceil_mode` the last window may reach past the map.
        let whole = self.windows.padding == [0, 0]
            && (1..3).all(|axis| 2 * self.windows.output[axis] <= self.windows.input[axis]);
        match self.kind {
            _ if !windows || !whole => None,
            Kind::Max => Some(Pool2x2::Max),
            Kind::Average { divisor: None | Some(4), .. } => Some(Pool2x2::Mean),
            Kind::Average { .. } | Kind::Power { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{descriptor, last, refused, shape};

    fn pooled(input: &str, layer: &str) -> Vec<usize> {
        shape(input, &[layer]).unwrap()
    }

    #[test]
    fn sizes_are_pytorchs() {
        assert_eq!(pooled("[2, 6, 9]", "type = 'max_pool2d'; kernel_size = 2"), [2, 3, 4]);
        assert_eq!(pooled("[2, 7, 7]", "type = 'max_pool2d'; kernel_size = 3; stride = 2"), [2, 3, 3]);
        assert_eq!(
            pooled("[2, 7, 8]", "type = 'max_pool2d'; kernel_size = [2, 5]; stride = 2; padding = [1, 2]"),
            [2, 4, 4]
        );
        assert_eq!(pooled("[2, 9, 9]", "type = 'max_pool2d'; kernel_size = 3; stride = 1; dilation = 2"), [2, 5, 5]);
        assert_eq!(pooled("[3, 14]", "type = 'max_pool1d'; kernel_size = 3; stride = 2; dilation = 2"), [3, 5]);
        assert_eq!(pooled("[3, 11]", "type = 'avg_pool1d'; kernel_size = 3; stride = 2; padding = 1"), [3, 6]);
    }

    #[test]
    fn a_power_pool_has_no_padding() {
        assert_eq!(pooled("[2, 7, 8]", "type = 'lp_pool2d'; norm_type = 2; kernel_size = 3; stride = 2"), [2, 3, 3]);
        let ceil = "type = 'lp_pool2d'; norm_type = 1.5; kernel_size = 3; stride = 2; ceil_mode = true";
        assert_eq!(pooled("[2, 7, 8]", ceil), [2, 3, 4]);
        assert!(descriptor("[2, 7, 8]", &[ceil]).ends_with("norm_type : 1.5 }"));
        refused(
            "[2, 7, 8]",
            &["type = 'lp_pool2d'; norm_type = 2; kernel_size = 3; padding = 1"],
            &["no key `padding`"],
        );
        refused("[2, 7, 8]", &["type = 'lp_pool2d'; norm_type = 0; kernel_size = 3"], &["must be more than 0"]);
        refused("[2, 7, 8]", &["type = 'lp_pool2d'; kernel_size = 3"], &["needs norm_type"]);
    }

    #[test]
    fn ceil_mode_rounds_up_unless_the_last_window_begins_behind_the_input() {
        assert_eq!(
            pooled("[2, 6, 6]", "type = 'max_pool2d'; kernel_size = 3; stride = 2; ceil_mode = true"),
            [2, 3, 3]
        );
        // Rounded up to 2 windows; the second would begin at pixel 4 of 4.
        assert_eq!(
            pooled("[1, 4, 4]", "type = 'max_pool2d'; kernel_size = 1; stride = 4; ceil_mode = true"),
            [1, 1, 1]
        );
        // A window may be larger than its input if that is what rounds up to 1.
        assert_eq!(
            pooled("[1, 2, 2]", "type = 'avg_pool2d'; kernel_size = 3; stride = 2; ceil_mode = true"),
            [1, 1, 1]
        );
        let window = "type = 'avg_pool2d'; kernel_size = 3; stride = 1; ceil_mode = true";
        refused("[1, 2, 2]", &[window], &["a window of height 3, but its input has height 2"]);
    }

    #[test]
    fn padding_is_at_most_half_the_window() {
        let dilated = "type = 'max_pool2d'; kernel_size = 3; padding = 2; dilation = 2";
        assert_eq!(pooled("[1, 8, 8]", dilated), [1, 3, 3]);
        let plain = "type = 'max_pool2d'; kernel_size = 3; padding = 2";
        refused("[1, 8, 8]", &[plain], &["says padding = 2, which is more than half its window, 3", "use padding = 1"]);
        // One-dimensional pooling counts the kernel without its dilation.
        let line = "type = 'max_pool1d'; kernel_size = 3; padding = 2; dilation = 2";
        refused("[1, 8]", &[line], &["says padding = 2, which is more than half its kernel_size, 3"]);
    }

    #[test]
    fn a_size_error_names_the_pooling_that_would_mend_it() {
        let pool = "name = 'pool'; type = 'max_pool2d'; kernel_size = 3; stride = 2; padding = 1";
        let flatten = "type = 'flatten'";
        let linear = "type = 'linear'; in_features = 16; out_features = 1";
        refused(
            "[1, 6, 6]",
            &[pool, flatten, linear],
            &["`pool` (line 4) rounds its size down; with ceil_mode = true this would be 16"],
        );
    }

    #[test]
    fn the_divisor_belongs_to_two_axes() {
        let layer = "type = 'avg_pool2d'; kernel_size = 2; divisor_override = 3; count_include_pad = false";
        let text = descriptor("[1, 4, 4]", &[layer]);
        assert!(text.contains("count_include_pad : false , divisor : Some (3)"), "{text}");
        refused(
            "[1, 4]",
            &["type = 'avg_pool1d'; kernel_size = 2; divisor_override = 3"],
            &["no key `divisor_override`"],
        );
    }

    #[test]
    fn indices_count_with_32_bits() {
        assert!(shape("[1, 65536, 65535]", &["type = 'max_pool2d'; kernel_size = 2"]).is_ok());
        refused("[1, 65536, 65536]", &["type = 'max_pool2d'; kernel_size = 2"], &["4294967295"]);
        assert!(shape("[1, 65536, 65536]", &["type = 'avg_pool2d'; kernel_size = 2"]).is_ok());
    }

    /// The last pixel that any window sees, by looking at all of them.
    #[test]
    fn the_largest_index_is_that_of_the_last_pixel_seen() {
        let mut seen = 0;
        for size in 1..=9usize {
            for kernel in 1..=4usize {
                for stride in 1..=4usize {
                    for padding in 0..=2 {
                        for dilation in 1..=3usize {
                            for ceil_mode in [false, true] {
                                let layer = format!(
                                    "type = 'max_pool2d'; kernel_size = [1, {kernel}]; stride = [1, {stride}]; \
                                     padding = [0, {padding}]; dilation = [1, {dilation}]; ceil_mode = {ceil_mode}"
                                );
                                let Ok(node) = last(&format!("[1, 1, {size}]"), &[&layer]) else { continue };
                                let pixels = (0..node.output.0[2])
                                    .flat_map(|window| (0..kernel).map(move |tap| window * stride + tap * dilation));
                                let pixels = pixels.filter_map(|pixel| pixel.checked_sub(padding));
                                let largest = pixels.filter(|pixel| *pixel < size).max().unwrap_or(0);
                                assert_eq!(node.op.largest_index(), Some(largest), "{size}: {layer}");
                                seen += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(seen > 500, "{seen} cases");
    }

    #[test]
    fn huge_arguments_do_not_overflow() {
        let layer = "type = 'max_pool2d'; kernel_size = 2147483647; padding = 1073741823; dilation = 2147483647";
        refused("[1, 8, 8]", &[layer], &["has a window of height"]);
        let ceil = "type = 'avg_pool2d'; kernel_size = 1; stride = 2147483647; ceil_mode = true";
        assert_eq!(pooled("[1, 1, 35184372088832]", ceil), [1, 1, 16385]);
    }
}
