//! Elementwise activations without parameters: one kernel with a variant each.

use super::contract::{Layer, LayerType};
use super::op::{Call, Gradient, Op, Reads};
use crate::descriptor::Code;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::Operation;
use crate::spec::argument::{Argument, Fallback, Kind, Range, words};
use castnet_descriptors::Activation;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const RELU: LayerType = LayerType::one("relu", "max(x, 0)", &[], |_| plain(Activation::Relu));
pub(super) const RELU6: LayerType = LayerType::one("relu6", "x between 0 and 6", &[], |_| plain(Activation::Relu6));
pub(super) const SIGMOID: LayerType =
    LayerType::one("sigmoid", "1 / (1 + exp(-x))", &[], |_| plain(Activation::Sigmoid));
pub(super) const TANH: LayerType = LayerType::one("tanh", "hyperbolic tangent", &[], |_| plain(Activation::Tanh));
pub(super) const SILU: LayerType = LayerType::one("silu", "x sigmoid(x)", &[], |_| plain(Activation::Silu));
pub(super) const HARDSWISH: LayerType =
    LayerType::one("hardswish", "x hardsigmoid(x)", &[], |_| plain(Activation::Hardswish));
pub(super) const HARDSIGMOID: LayerType =
    LayerType::one("hardsigmoid", "x / 6 + 1 / 2, between 0 and 1", &[], |_| plain(Activation::Hardsigmoid));
pub(super) const LEAKY_RELU: LayerType =
    LayerType::one("leaky_relu", "x, times a slope where it is negative", &[NEGATIVE_SLOPE], |args| {
        plain(Activation::LeakyRelu { negative_slope: args.number("negative_slope")?.value as f32 })
    });
pub(super) const ELU: LayerType =
    LayerType::one("elu", "x, or alpha (exp(x) - 1) where it is negative", &[ALPHA], |args| {
        plain(Activation::Elu { alpha: args.number("alpha")?.value as f32 })
    });
pub(super) const GELU: LayerType =
    LayerType::one("gelu", "x times the normal distribution's integral up to x", &[APPROXIMATE], |args| {
        plain(args.word("approximate", &GELUS)?.value)
    });

const NEGATIVE_SLOPE: Argument =
    Argument::new("negative_slope", Kind::Number(Range::Any), Fallback::Number(0.01), "the slope of negative values");
const ALPHA: Argument =
    Argument::new("alpha", Kind::Number(Range::Any), Fallback::Number(1.0), "minus what large negative values become");
const APPROXIMATE: Argument = Argument::new(
    "approximate",
    Kind::Word(&GELU_WORDS),
    Fallback::Word("none"),
    "whether by tanh in place of the integral",
);
const GELUS: [(&str, Activation); 2] = [("none", Activation::Gelu), ("tanh", Activation::GeluTanh)];
static GELU_WORDS: [&str; 2] = words(&GELUS);

fn plain(activation: Activation) -> Option<Box<dyn Layer>> {
    Some(Box::new(activation))
}

impl Layer for Activation {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        Checked::new(cx.input().shape.clone(), *self)
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(*self)
    }
}

impl Op for Activation {
    fn reads(&self, _: Gradient) -> Reads {
        Reads { inputs: !self.saves_output(), output: self.saves_output(), ..Reads::default() }
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        None
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (activation, input) = (self.code(), call.input());
        quote!(castnet::activation::forward(context, #activation, #input, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let activation = self.code();
        let input = call.input();
        let saved = if self.saves_output() { quote!(output) } else { quote!(#input) };
        quote!(castnet::activation::backward(context, #activation, #saved, grad_output, grad_input);)
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        Some(Operation::Activation(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::super::op::{Gradient, Reads};
    use super::super::testing::{last, refused};

    #[test]
    fn keeps_what_its_gradient_reads() {
        for (layer, output) in
            [("relu6", true), ("tanh", true), ("silu", false), ("hardsigmoid", false), ("elu", false)]
        {
            let node = last("[3]", &[&format!("type = '{layer}'")]).unwrap();
            let reads = Reads { output, inputs: !output, ..Reads::default() };
            assert_eq!(node.op.reads(Gradient::Input(0)), reads, "{layer}");
        }
    }

    #[test]
    fn what_is_no_argument_is_refused() {
        refused(
            "[3]",
            &["type = 'gelu'; approximate = 'tan'"],
            &["must be \"none\" or \"tanh\"", "did you mean \"tanh\"?"],
        );
        refused("[3]", &["type = 'elu'; alpha = '1'"], &["alpha must be a number, not the text \"1\""]);
        refused("[3]", &["type = 'leaky_relu'; negative_slope = inf"], &["must be a finite number"]);
        refused("[3]", &["type = 'relu'; inplace = true"], &["has no key `inplace`"]);
    }
}
