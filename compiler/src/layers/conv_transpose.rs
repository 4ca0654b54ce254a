//! `conv_transpose2d`: the gradient of a convolution as a layer.

use super::contract::{Layer, LayerType};
use super::conv::{BIAS, DILATION, GROUPS, IN_CHANNELS, KERNEL_SIZE, OUT_CHANNELS, STRIDE, groups_divide};
use super::init::{self, WeightInit};
use super::op::{Call, Gradient, Op, Parameter, Reads};
use super::window::{axis_name, sizes_text};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::shape::sizes::Shape;
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind};
use castnet_descriptors::{Conv2d, ConvTranspose2d, Init, PaddingMode};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const CONV_TRANSPOSE2D: LayerType =
    LayerType::one("conv_transpose2d", "the transpose of a convolution", &ARGUMENTS, |args| {
        ConvTranspose::parse(args).map(|layer| Box::new(layer) as Box<dyn Layer>)
    });

static ARGUMENTS: [Argument; 10] = [
    IN_CHANNELS,
    OUT_CHANNELS,
    KERNEL_SIZE,
    STRIDE,
    Argument::new(
        "padding",
        Kind::PerAxis { least: 0 },
        Fallback::Whole(0),
        "pixels that are cut off around the result",
    ),
    Argument::new("output_padding", Kind::PerAxis { least: 0 }, Fallback::Whole(0), "pixels more behind the result"),
    GROUPS,
    BIAS,
    DILATION,
    init::ARGUMENT,
];

#[derive(Debug, Clone)]
struct ConvTranspose {
    in_channels: Option<Arg<usize>>,
    out_channels: Arg<usize>,
    kernel_size: Arg<[usize; 2]>,
    stride: Arg<[usize; 2]>,
    padding: Arg<[usize; 2]>,
    output_padding: Arg<[usize; 2]>,
    dilation: Arg<[usize; 2]>,
    groups: Arg<usize>,
    bias: bool,
    init: Option<WeightInit>,
    line: usize,
}

impl ConvTranspose {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let in_channels = args.size("in_channels");
        let out_channels = args.size("out_channels");
        let kernel_size = args.sizes("kernel_size");
        let stride = args.sizes("stride");
        let padding = args.sizes("padding");
        let output_padding = args.sizes("output_padding");
        let groups = args.size("groups");
        let bias = args.boolean("bias");
        let dilation = args.sizes("dilation");
        let init = init::read(args);
        Some(Self {
            in_channels,
            out_channels: out_channels?,
            kernel_size: kernel_size?,
            stride: stride?,
            padding: padding?,
            output_padding: output_padding?,
            dilation: dilation?,
            groups: groups?,
            bias: bias?.value,
            init,
            line: args.line(),
        })
    }

    /// `(in - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1` (torch.nn.ConvTranspose2d).
    /// Counted in 128 bits: the input has up to 2^45 pixels and the stride is up to 2^31.
    fn output(&self, cx: &mut Infer<'_>, axis: usize, size: usize) -> Option<usize> {
        let what = axis_name(axis, 2);
        let (stride, dilation) = (self.stride.value[axis], self.dilation.value[axis]);
        let extra = self.output_padding.value[axis];
        // As in PyTorch: more would be rows that no window reaches.
        if extra >= stride.max(dilation) {
            let most = stride.max(dilation) - 1;
            let title = format!(
                "{} says output_padding = {}, but its {what} can take at most {most}",
                cx.site.title(),
                sizes_text(&self.output_padding.value)
            );
            let label = "must be smaller than the stride or the dilation".to_string();
            cx.refuse_with(&self.output_padding, title, label, |diagnostic| {
                diagnostic.note(format!("along the {what} the stride is {stride} and the dilation {dilation}"))
            });
            return None;
        }
        let window = (dilation * (self.kernel_size.value[axis] - 1) + 1 + extra) as i128;
        let padding = self.padding.value[axis];
        let full = (size as i128 - 1) * stride as i128 + window;
        let output = full - 2 * padding as i128;
        if output < 1 {
            let title = format!("{} would make maps of {what} {output}", cx.site.title());
            let label = format!("takes 2 x {padding} away from {full}");
            cx.refuse_with(&self.padding, title, label, |diagnostic| {
                diagnostic
                    .help(format!("use a padding of at most {}, or a larger kernel_size or stride", (full - 1) / 2))
            });
            return None;
        }
        Some(usize::try_from(output).unwrap_or(usize::MAX))
    }
}

impl Layer for ConvTranspose {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let (channels, [height, width]) = cx.channels_and()?;
        let in_channels = cx.stated("in_channels", &self.in_channels, channels, "channels").unwrap_or(channels);
        let (out_channels, groups) = (self.out_channels.value, self.groups.value);
        let divided = groups_divide(cx, &self.groups, in_channels, out_channels);
        let output = [self.output(cx, 0, height)?, self.output(cx, 1, width)?];
        if !divided {
            return None;
        }
        let kernel = self.kernel_size.value;
        let weight = [in_channels, out_channels / groups, kernel[0], kernel[1]];
        // PyTorch takes the second axis as the fan-in, here as in a convolution.
        let fan_in = weight[1..].iter().fold(1usize, |product, &size| product.saturating_mul(size));
        let init = init::weight(cx, &self.init, &weight, init::default_bound(fan_in))?;
        // The convolution from the result to the input, whose gradient this layer is.
        let adjoint = Conv2d {
            input: [out_channels, output[0], output[1]],
            output: [in_channels, height, width],
            kernel,
            stride: self.stride.value,
            padding: self.padding.value,
            dilation: self.dilation.value,
            groups,
            padding_mode: PaddingMode::Zeros,
        };
        let op = ConvTransposeOp {
            sizes: ConvTranspose2d { adjoint },
            weight,
            bias: self.bias,
            init,
            bias_init: init::default_bound(fan_in),
        };
        Checked::new(Shape(adjoint.input.to_vec()), op)
    }

    /// The padding and the output padding that people forget or add.
    fn variants(&self) -> Vec<(String, Box<dyn Layer>)> {
        let mut found: Vec<(String, Box<dyn Layer>)> = Vec::new();
        let mut add = |key: &str, now: &Arg<[usize; 2]>, then: [usize; 2], changed: Self| {
            if now.value != then {
                let has = match now.span {
                    Some(_) => format!("{key} = {}", sizes_text(&now.value)),
                    None => format!("no {key}"),
                };
                let words = format!("(line {}) has {has}; with {key} = {}", self.line, sizes_text(&then));
                found.push((words, Box::new(changed)));
            }
        };
        for then in [[0; 2], self.kernel_size.value.map(|k| k / 2)] {
            add("padding", &self.padding, then, Self { padding: Arg::default(then), ..self.clone() });
        }
        for then in [[0; 2], self.stride.value.map(|s| s - 1)] {
            add(
                "output_padding",
                &self.output_padding,
                then,
                Self { output_padding: Arg::default(then), ..self.clone() },
            );
        }
        found
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct ConvTransposeOp {
    sizes: ConvTranspose2d,
    /// `[in, out / groups, kh, kw]`.
    weight: [usize; 4],
    bias: bool,
    init: Init,
    bias_init: Init,
}

impl Op for ConvTransposeOp {
    fn parameters(&self) -> Vec<Parameter> {
        let weight = Parameter { name: "weight", shape: self.weight.to_vec(), init: self.init };
        let bias = Parameter { name: "bias", shape: vec![self.sizes.adjoint.input[0]], init: self.bias_init };
        if self.bias { vec![weight, bias] } else { vec![weight] }
    }

    /// Every element of the input meets the weights of its channel.
    fn macs(&self) -> u64 {
        let sizes = self.sizes.adjoint.output.iter().chain(&self.weight[1..]);
        sizes.fold(1u64, |product, &size| product.saturating_mul(size as u64))
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
        quote!(castnet::conv_transpose2d::forward(context, &#op, #input, #weight, #bias, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, weight) = (&call.op, &call.parameters[0]);
        quote!(castnet::conv_transpose2d::backward_input(context, &#op, #weight, grad_output, grad_input);)
    }

    fn backward_parameters(&self, call: &Call) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), &call.gradients[0]);
        let bias = call
            .gradients
            .get(1)
            .map(|bias| quote!(castnet::conv_transpose2d::backward_bias(context, &#op, grad_output, #bias);));
        quote! {
            castnet::conv_transpose2d::backward_weight(context, &#op, #input, grad_output, #weight);
            #bias
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{last, refused, shape};

    #[test]
    fn sizes_are_pytorchs() {
        let layer =
            "type = 'conv_transpose2d'; out_channels = 4; kernel_size = 3; stride = 2; padding = 1; output_padding = 1";
        assert_eq!(shape("[3, 5, 6]", &[layer]).unwrap(), [4, 10, 12]);
        let layer =
            "type = 'conv_transpose2d'; out_channels = 6; kernel_size = [2, 3]; stride = [2, 1]; dilation = [1, 2]";
        assert_eq!(shape("[4, 4, 4]", &[layer]).unwrap(), [6, 8, 8]);
        // The dilation allows what the stride does not.
        let layer = "type = 'conv_transpose2d'; out_channels = 1; kernel_size = 2; dilation = 3; output_padding = 2";
        assert_eq!(shape("[1, 2, 2]", &[layer]).unwrap(), [1, 7, 7]);
    }

    #[test]
    fn weights_have_the_inputs_channels_first() {
        let layer = "type = 'conv_transpose2d'; out_channels = 6; kernel_size = [2, 3]; groups = 2";
        let node = last("[4, 4, 4]", &[layer]).unwrap();
        let parameters = node.op.parameters();
        assert_eq!(parameters[0].shape, [4, 3, 2, 3]);
        assert_eq!(parameters[1].shape, [6]);
        assert_eq!(node.op.macs(), 4 * 4 * 4 * 3 * 2 * 3);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let extra = "type = 'conv_transpose2d'; out_channels = 4; kernel_size = 3; stride = 2; output_padding = [1, 2]";
        refused("[3, 5, 6]", &[extra], &["says output_padding = [1, 2], but its width can take at most 1"]);
        let padded = "type = 'conv_transpose2d'; out_channels = 4; kernel_size = 3; padding = 4";
        refused("[3, 5, 6]", &[padded], &["would make maps of height -1", "a padding of at most 3"]);
        let groups = "type = 'conv_transpose2d'; out_channels = 4; kernel_size = 3; groups = 3";
        refused("[3, 5, 6]", &[groups], &["says groups = 3, which does not divide out_channels = 4"]);
    }

    #[test]
    fn huge_strides_do_not_overflow() {
        let layer = "type = 'conv_transpose2d'; out_channels = 1; kernel_size = 1; stride = 2147483647";
        refused("[1, 1, 35184372088832]", &[layer], &["more than memory can address"]);
    }
}
