//! `local_response_norm`: every element by the squares of its neighbours in the channels around it.

use super::contract::{Layer, LayerType};
use super::op::{Call, Gradient, Op, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::spec::args::Args;
use crate::spec::argument::{Argument, Fallback, Kind, Range};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const LOCAL_RESPONSE_NORM: LayerType = LayerType::one(
    "local_response_norm",
    "x / (k + alpha / size * sum of squares of near channels)^beta",
    &ARGUMENTS,
    LocalResponseNorm::parse,
);

static ARGUMENTS: [Argument; 4] = [
    Argument::new("size", Kind::Size, Fallback::Required("5"), "channels that are near"),
    Argument::new("alpha", Kind::Number(Range::Any), Fallback::Number(1e-4), "the factor of the squares"),
    Argument::new("beta", Kind::Number(Range::Any), Fallback::Number(0.75), "the exponent"),
    Argument::new("k", Kind::Number(Range::Any), Fallback::Number(1.0), "what is added to the squares"),
];

#[derive(Debug, Clone, Copy)]
struct LocalResponseNorm {
    size: usize,
    alpha: f32,
    beta: f32,
    k: f32,
}

impl LocalResponseNorm {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let size = args.size("size");
        let alpha = args.number("alpha");
        let beta = args.number("beta");
        let k = args.number("k");
        let (alpha, beta, k) = (alpha?.value as f32, beta?.value as f32, k?.value as f32);
        Some(Box::new(Self { size: size?.value, alpha, beta, k }))
    }
}

impl Layer for LocalResponseNorm {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        if shape.rank() < 2 {
            cx.refuse_input("[channels, length] or [channels, height, width]");
            return None;
        }
        let (&channels, rest) = shape.0.split_first()?;
        let inner = rest.iter().product();
        let Self { size, alpha, beta, k } = *self;
        let sizes = castnet_descriptors::LocalResponseNorm { channels, inner, size, alpha, beta, k };
        Checked::new(shape, LocalResponseNormOp { sizes })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(*self)
    }
}

#[derive(Debug)]
struct LocalResponseNormOp {
    sizes: castnet_descriptors::LocalResponseNorm,
}

impl Op for LocalResponseNormOp {
    fn reads(&self, _: Gradient) -> Reads {
        Reads { inputs: true, output: true, ..Reads::default() }
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        quote!(castnet::local_response_norm::forward(context, &#op, #input, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        quote!(castnet::local_response_norm::backward(context, &#op, #input, output, grad_output, grad_input);)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{descriptor, refused};

    #[test]
    fn has_pytorchs_defaults() {
        let text = descriptor("[7, 4, 5]", &["type = 'local_response_norm'; size = 5"]);
        let sizes = "channels : 7 , inner : 20 , size : 5 , alpha : 0.0001 , beta : 0.75 , k : 1.0";
        assert!(text.contains(sizes), "{text}");
        refused("[7]", &["type = 'local_response_norm'; size = 5"], &["takes [channels, length] or"]);
        refused("[7, 4]", &["type = 'local_response_norm'; size = 0"], &["size = 0, which must be 1 or more"]);
    }
}
