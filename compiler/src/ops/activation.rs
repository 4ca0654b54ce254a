//! Elementwise activations without parameters: one kernel with a variant each.

use super::{Call, Gradient, Layer, LayerType, Op, Reads};
use crate::args::Args;
use crate::shape::{Checked, Infer};
use crate::tokens::float;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const RELU: LayerType = LayerType::one("relu", |args| plain(args, Activation::Relu));
pub(super) const SIGMOID: LayerType = LayerType::one("sigmoid", |args| plain(args, Activation::Sigmoid));
pub(super) const TANH: LayerType = LayerType::one("tanh", |args| plain(args, Activation::Tanh));
pub(super) const LEAKY_RELU: LayerType = LayerType::one("leaky_relu", |args| {
    let negative_slope = args.number("negative_slope").map_or(0.01, |arg| arg.value) as f32;
    plain(args, Activation::LeakyRelu { negative_slope })
});

fn plain(_: &mut Args<'_>, activation: Activation) -> Option<Box<dyn Layer>> {
    Some(Box::new(activation))
}

/// The runtime's `Activation`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    Relu,
    LeakyRelu { negative_slope: f32 },
    Sigmoid,
    Tanh,
}

impl Activation {
    /// The runtime's value.
    pub fn tokens(&self) -> TokenStream {
        match self {
            Activation::Relu => quote!(castnet::Activation::Relu),
            Activation::LeakyRelu { negative_slope } => {
                let negative_slope = float(*negative_slope);
                quote!(castnet::Activation::LeakyRelu { negative_slope: #negative_slope })
            }
            Activation::Sigmoid => quote!(castnet::Activation::Sigmoid),
            Activation::Tanh => quote!(castnet::Activation::Tanh),
        }
    }

    /// Whether the gradient is computed from the result (and the input need not be kept).
    fn saves_output(&self) -> bool {
        matches!(self, Activation::Relu | Activation::Sigmoid | Activation::Tanh)
    }
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
        let (activation, input) = (self.tokens(), call.input());
        quote!(castnet::activation::forward(context, #activation, #input, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let activation = self.tokens();
        let saved = if self.saves_output() { &quote::format_ident!("output") } else { call.input() };
        quote!(castnet::activation::backward(context, #activation, #saved, grad_output, grad_input);)
    }
}
