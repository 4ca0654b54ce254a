//! `conv1d` and `conv2d`. A one-dimensional convolution is the two-dimensional one on maps of height 1.

use super::contract::{Layer, LayerType};
use super::init::{self, WeightInit};
use super::op::{Call, Gradient, Op, Parameter, Reads};
use super::window::{self, Padding, Reach, padded_window, sizes_text};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::{Convolution, Operation};
use crate::shape::sizes::Shape;
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind};
use crate::suggest::list_names;
use castnet_descriptors::{Conv2d, Init, PaddingMode};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const CONV1D: LayerType =
    LayerType::one("conv1d", "a convolution along the length", &ARGUMENTS, |args| boxed(Conv::<1>::parse(args)));
pub(super) const CONV2D: LayerType =
    LayerType::one("conv2d", "a convolution", &ARGUMENTS, |args| boxed(Conv::<2>::parse(args)));

static ARGUMENTS: [Argument; 10] = [
    IN_CHANNELS,
    OUT_CHANNELS,
    KERNEL_SIZE,
    STRIDE,
    Argument::new(
        "padding",
        Kind::PerAxisOr(&window::PADDING_WORDS),
        Fallback::Whole(0),
        "pixels around the input; \"same\" keeps its size",
    ),
    DILATION,
    GROUPS,
    BIAS,
    window::PADDING_MODE,
    init::ARGUMENT,
];

pub(super) const IN_CHANNELS: Argument =
    Argument::new("in_channels", Kind::Size, Fallback::Inferred, "channels that flow in");
pub(super) const OUT_CHANNELS: Argument =
    Argument::new("out_channels", Kind::Size, Fallback::Required("16"), "channels of the result");
pub(super) const KERNEL_SIZE: Argument =
    Argument::new("kernel_size", Kind::PerAxis { least: 1 }, Fallback::Required("3"), "rows and columns of the kernel");
pub(super) const STRIDE: Argument =
    Argument::new("stride", Kind::PerAxis { least: 1 }, Fallback::Whole(1), "pixels from one window to the next");
pub(super) const DILATION: Argument =
    Argument::new("dilation", Kind::PerAxis { least: 1 }, Fallback::Whole(1), "pixels from one tap to the next");
pub(super) const GROUPS: Argument =
    Argument::new("groups", Kind::Size, Fallback::Whole(1), "runs of channels that do not mix");
pub(super) const BIAS: Argument =
    Argument::new("bias", Kind::Boolean, Fallback::Boolean(true), "whether something is added to each channel");

fn boxed<const N: usize>(layer: Option<Conv<N>>) -> Option<Box<dyn Layer>> {
    layer.map(|layer| Box::new(layer) as Box<dyn Layer>)
}

/// A convolution over `N` axes, as written.
#[derive(Debug, Clone)]
struct Conv<const N: usize> {
    in_channels: Option<Arg<usize>>,
    out_channels: Arg<usize>,
    kernel_size: Arg<[usize; N]>,
    stride: Arg<[usize; N]>,
    padding: Arg<Padding<N>>,
    dilation: Arg<[usize; N]>,
    groups: Arg<usize>,
    bias: bool,
    padding_mode: PaddingMode,
    init: Option<WeightInit>,
    line: usize,
}

impl<const N: usize> Conv<N> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let in_channels = args.size("in_channels");
        let out_channels = args.size("out_channels");
        let kernel_size = args.sizes("kernel_size");
        let stride = args.sizes("stride");
        let padding = Padding::read(args);
        let dilation = args.sizes("dilation");
        let groups = args.size("groups");
        let bias = args.boolean("bias");
        let padding_mode = window::read_padding_mode(args);
        let init = init::read(args);
        if let Some(arg) = &padding
            && matches!(arg.value, Padding::Same)
            && stride.as_ref().is_some_and(|stride| stride.value != [1; N])
        {
            let title = format!("{} says padding = \"same\" with a stride over 1", args.site().title());
            let value = args.value("padding")?;
            args.refuse_with(&value, title, "\"same\" needs stride = 1, as in PyTorch", |diagnostic| {
                diagnostic.help("give the padding in numbers")
            });
        }
        Some(Self {
            in_channels,
            out_channels: out_channels?,
            kernel_size: kernel_size?,
            stride: stride?,
            padding: padding?,
            dilation: dilation?,
            groups: groups?,
            bias: bias?.value,
            padding_mode: padding_mode?,
            init,
            line: args.line(),
        })
    }
}

impl<const N: usize> Layer for Conv<N> {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let (channels, sizes) = cx.channels_and::<N>()?;
        infer(self, cx, channels, sizes)
    }

    fn variants(&self) -> Vec<(String, Box<dyn Layer>)> {
        variants(self)
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// The padding that people forget or add, none and half the kernel, and the strides they choose between.
fn variants<const N: usize>(conv: &Conv<N>) -> Vec<(String, Box<dyn Layer>)> {
    let mut found: Vec<(String, Box<dyn Layer>)> = Vec::new();
    for sizes in [[0; N], conv.kernel_size.value.map(|k| k / 2)] {
        let padding = Padding::Sizes(sizes);
        if padding == conv.padding.value {
            continue;
        }
        let has = match conv.padding.span {
            Some(_) => format!("has padding = {}", conv.padding.value),
            None => "has no padding".to_string(),
        };
        let words = format!("(line {}) {has}; with padding = {padding}", conv.line);
        found.push((words, Box::new(Conv { padding: Arg { value: padding, ..conv.padding.clone() }, ..conv.clone() })));
    }
    for stride in [[1; N], [2; N]] {
        // "same" needs a stride of 1.
        if stride == conv.stride.value || conv.padding.value == Padding::Same {
            continue;
        }
        let (now, then) = (sizes_text(&conv.stride.value), sizes_text(&stride));
        let words = format!("(line {}) has stride = {now}; with stride = {then}", conv.line);
        found.push((words, Box::new(Conv { stride: Arg::default(stride), ..conv.clone() })));
    }
    found
}

/// Output size along each axis: `floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`
/// (torch.nn.Conv2d).
fn infer<const N: usize>(conv: &Conv<N>, cx: &mut Infer<'_>, channels: usize, sizes: [usize; N]) -> Option<Checked> {
    let in_channels = cx.stated("in_channels", &conv.in_channels, channels, "channels").unwrap_or(channels);
    let out_channels = conv.out_channels.value;
    let groups = conv.groups.value;
    let divided = groups_divide(cx, &conv.groups, in_channels, out_channels);
    let mut output = [0; N];
    let mut before = [0; N];
    for axis in 0..N {
        let dilated = conv.dilation.value[axis] * (conv.kernel_size.value[axis] - 1) + 1;
        let (first, last) = conv.padding.value.around(axis, dilated);
        before[axis] = first;
        window::check_padding(conv.padding_mode, cx, &conv.padding, [first, last], axis, N, sizes[axis])?;
        let reach = Reach { axis, axes: N, span: dilated, before: first, behind: last, beyond: 0 };
        padded_window(cx, &conv.kernel_size, &reach, sizes[axis])?;
        output[axis] = (sizes[axis] + first + last - dilated) / conv.stride.value[axis] + 1;
    }
    if !divided {
        return None;
    }
    let kernel: usize = conv.kernel_size.value.iter().product();
    // Past what memory can address the weight is refused by its shape, once this has returned.
    let fan_in = (in_channels / groups).saturating_mul(kernel);
    let weight: Vec<usize> = [out_channels, in_channels / groups].into_iter().chain(conv.kernel_size.value).collect();
    let init = init::weight(cx, &conv.init, &weight, init::default_bound(fan_in))?;
    let shape = |channels, sizes: [usize; N]| Shape([channels].into_iter().chain(sizes).collect());
    let op = ConvOp {
        sizes: Conv2d {
            input: with_height(in_channels, sizes),
            output: with_height(out_channels, output),
            kernel: two_axes(conv.kernel_size.value, 1),
            stride: two_axes(conv.stride.value, 1),
            padding: two_axes(before, 0),
            dilation: two_axes(conv.dilation.value, 1),
            groups,
            padding_mode: conv.padding_mode,
        },
        weight,
        bias: conv.bias,
        init,
        bias_init: init::default_bound(fan_in),
    };
    Checked::new(shape(out_channels, output), op)
}

/// Whether `groups` divides the channels on both sides; an error if not.
pub(super) fn groups_divide(cx: &mut Infer<'_>, groups: &Arg<usize>, in_channels: usize, out_channels: usize) -> bool {
    let value = groups.value;
    let sides = [("in_channels", in_channels), ("out_channels", out_channels)];
    let odd: Vec<(&str, usize)> = sides.into_iter().filter(|(_, channels)| !channels.is_multiple_of(value)).collect();
    if odd.is_empty() {
        return true;
    }
    let named: Vec<String> = odd.iter().map(|(key, channels)| format!("{key} = {channels}")).collect();
    let title = format!("{} says groups = {value}, which does not divide {}", cx.site.title(), named.join(" and "));
    let quotients: Vec<String> = odd.iter().map(|(_, channels)| format!("{channels} / {value}")).collect();
    let label = format!("{} {} not whole", quotients.join(" and "), if odd.len() == 1 { "is" } else { "are" });
    cx.refuse_with(groups, title, label, |diagnostic| {
        let both = divisors(greatest_common_divisor(in_channels, out_channels));
        diagnostic.help(format!("groups can be {both}: they divide {in_channels} and {out_channels} both"))
    });
    false
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The numbers that divide `n`, or the smallest dozen of them: `1, 2, 3 and 6`.
pub(super) fn divisors(n: usize) -> String {
    let small: Vec<usize> = (1..).take_while(|d| d * d <= n).filter(|d| n.is_multiple_of(*d)).collect();
    let large = small.iter().rev().map(|d| n / d).filter(|d| d * d > n);
    let mut all: Vec<usize> = small.iter().copied().chain(large).collect();
    if all.len() > 12 {
        all.truncate(12);
        return format!("{}, …", all.iter().map(usize::to_string).collect::<Vec<_>>().join(", "));
    }
    let words: Vec<String> = all.iter().map(usize::to_string).collect();
    list_names(words.iter().map(String::as_str))
}

/// `N` axes as two, with `fill` as the missing height.
pub(super) fn two_axes<const N: usize>(sizes: [usize; N], fill: usize) -> [usize; 2] {
    let mut axes = [fill; 2];
    axes[2 - N..].copy_from_slice(&sizes);
    axes
}

/// Channels and `N` axes as channels, height and width.
pub(super) fn with_height<const N: usize>(channels: usize, sizes: [usize; N]) -> [usize; 3] {
    let [height, width] = two_axes(sizes, 1);
    [channels, height, width]
}

/// A convolution with what belongs to its parameters.
#[derive(Debug)]
pub struct ConvOp {
    pub(crate) sizes: Conv2d,
    /// PyTorch's shape of the weight.
    weight: Vec<usize>,
    bias: bool,
    init: Init,
    bias_init: Init,
}

impl Op for ConvOp {
    fn parameters(&self) -> Vec<Parameter> {
        let weight = Parameter { name: "weight", shape: self.weight.clone(), init: self.init };
        let bias = Parameter { name: "bias", shape: vec![self.sizes.output[0]], init: self.bias_init };
        if self.bias { vec![weight, bias] } else { vec![weight] }
    }

    fn macs(&self) -> u64 {
        let window = self.weight[1..].iter().fold(1u64, |product, &size| product.saturating_mul(size as u64));
        self.sizes.output.iter().fold(window, |product, &size| product.saturating_mul(size as u64))
    }

    fn reads(&self, gradient: Gradient) -> Reads {
        match gradient {
            Gradient::Parameters => Reads { inputs: true, ..Reads::default() },
            Gradient::Input(_) => Reads { parameters: true, ..Reads::default() },
        }
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input, weight, bias) = (&call.op, call.input(), &call.parameters[0], call.optional(1));
        quote!(castnet::conv2d::forward(context, &#op, #input, #weight, #bias, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, weight) = (&call.op, &call.parameters[0]);
        quote!(castnet::conv2d::backward_input(context, &#op, #weight, grad_output, grad_input);)
    }

    fn backward_parameters(&self, call: &Call) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), &call.gradients[0]);
        let bias = call
            .gradients
            .get(1)
            .map(|bias| quote!(castnet::conv2d::backward_bias(context, &#op, grad_output, #bias);));
        quote! {
            castnet::conv2d::backward_weight(context, &#op, #input, grad_output, #weight);
            #bias
        }
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        // Another mode of padding is as good as zeros where nothing is padded, neither in front nor behind.
        self.sizes.reads_zeros_outside().then(|| Operation::Convolution(Convolution::new(self.sizes)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refused, shape};
    use super::*;

    #[test]
    fn sizes_are_pytorchs() {
        let conv =
            |input: &str, more: &str| shape(input, &[&format!("type = 'conv2d'; out_channels = 2; {more}")]).unwrap();
        assert_eq!(conv("[3, 23, 21]", "kernel_size = 7; stride = 2; padding = 3"), [2, 12, 11]);
        assert_eq!(conv("[3, 9, 10]", "kernel_size = 3; dilation = [1, 3]; padding = [1, 3]"), [2, 9, 10]);
        assert_eq!(conv("[3, 5, 6]", "kernel_size = [3, 4]; padding = 'same'"), [2, 5, 6]);
        assert_eq!(conv("[3, 1, 1]", "kernel_size = 1"), [2, 1, 1]);
        let line = "type = 'conv1d'; out_channels = 6; kernel_size = 3; stride = 2; padding = 2; dilation = 2";
        assert_eq!(shape("[4, 17]", &[line]).unwrap(), [6, 9]);
    }

    #[test]
    fn groups_divide_both_sides() {
        let layer = "type = 'conv2d'; out_channels = 31; kernel_size = 1; groups = 5";
        refused("[48, 8, 8]", &[layer], &["does not divide in_channels = 48 and out_channels = 31", "groups can be 1"]);
        let layer = "type = 'conv2d'; out_channels = 8; kernel_size = 1; groups = 3";
        refused("[12, 8, 8]", &[layer], &["does not divide out_channels = 8", "1, 2 and 4"]);
    }

    #[test]
    fn divisors_are_found_fast() {
        assert_eq!(divisors(1), "1");
        assert_eq!(divisors(36), "1, 2, 3, 4, 6, 9, 12, 18 and 36");
        assert_eq!(divisors(i32::MAX as usize), "1 and 2147483647");
        assert_eq!(divisors(360), "1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 18, …");
    }

    #[test]
    fn huge_arguments_do_not_overflow() {
        let layer = "type = 'conv2d'; out_channels = 1; kernel_size = 2147483647; padding = 2147483647";
        refused("[1048576, 1, 1]", &[layer], &["more than memory can address"]);
        let layer = "type = 'conv2d'; out_channels = 2147483647; kernel_size = 1";
        refused("[2147483647, 1, 1]", &[layer], &["weight of layer", "more than memory can address"]);
    }
}
