//! Elementwise activations without parameters: one kernel with a variant each.

use super::contract::{Layer, LayerType};
use super::op::{Call, Gradient, Op, Reads};
use crate::descriptor::Code;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::Operation;
use castnet_descriptors::Activation;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const RELU: LayerType = LayerType::one("relu", |_| plain(Activation::Relu));
pub(super) const RELU6: LayerType = LayerType::one("relu6", |_| plain(Activation::Relu6));
pub(super) const SIGMOID: LayerType = LayerType::one("sigmoid", |_| plain(Activation::Sigmoid));
pub(super) const TANH: LayerType = LayerType::one("tanh", |_| plain(Activation::Tanh));
pub(super) const SILU: LayerType = LayerType::one("silu", |_| plain(Activation::Silu));
pub(super) const HARDSWISH: LayerType = LayerType::one("hardswish", |_| plain(Activation::Hardswish));
pub(super) const HARDSIGMOID: LayerType = LayerType::one("hardsigmoid", |_| plain(Activation::Hardsigmoid));
pub(super) const LEAKY_RELU: LayerType = LayerType::one("leaky_relu", |args| {
    let negative_slope = args.number("negative_slope").map_or(0.01, |arg| arg.value) as f32;
    plain(Activation::LeakyRelu { negative_slope })
});
pub(super) const ELU: LayerType = LayerType::one("elu", |args| {
    let alpha = args.number("alpha").map_or(1.0, |arg| arg.value) as f32;
    plain(Activation::Elu { alpha })
});
pub(super) const GELU: LayerType = LayerType::one("gelu", |args| {
    let words = [("none", Activation::Gelu), ("tanh", Activation::GeluTanh)];
    plain(args.word("approximate", &words).map_or(Activation::Gelu, |arg| arg.value))
});

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
