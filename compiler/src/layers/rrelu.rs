//! `rrelu`: a leaky relu whose slope is drawn for every element in training, and is the mean of the bounds in evaluation.

use super::contract::{Layer, LayerType};
use super::op::{Call, Extent, Gradient, Op, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind, Range};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const RRELU: LayerType = LayerType::one(
    "rrelu",
    "x, times a random slope where it is negative; in evaluation times their mean",
    &ARGUMENTS,
    Rrelu::parse,
);

static ARGUMENTS: [Argument; 2] = [
    Argument::new("lower", Kind::Number(Range::Any), Fallback::Number(1.0 / 8.0), "the smallest slope"),
    Argument::new("upper", Kind::Number(Range::Any), Fallback::Number(1.0 / 3.0), "the largest slope"),
];

#[derive(Debug, Clone)]
struct Rrelu {
    lower: Arg<f64>,
    upper: Arg<f64>,
}

impl Rrelu {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let (lower, upper) = (args.number("lower"), args.number("upper"));
        Some(Box::new(Self { lower: lower?, upper: upper? }))
    }
}

impl Layer for Rrelu {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let (lower, upper) = (self.lower.value as f32, self.upper.value as f32);
        if lower > upper {
            let title = format!("{} draws slopes from {lower} to {upper}, which is no range", cx.site.title());
            let (at, label) = match (&self.lower.span, &self.upper.span) {
                (Some(_), _) => (&self.lower, format!("must be at most upper = {upper}")),
                (None, _) => (&self.upper, format!("must be at least lower = {lower}")),
            };
            cx.refuse(at, title, label);
            return None;
        }
        let shape = cx.input().shape.clone();
        let len = shape.len();
        let range = castnet_descriptors::Rrelu { lower, upper };
        Checked::new(shape, RreluOp { range, len })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct RreluOp {
    range: castnet_descriptors::Rrelu,
    len: usize,
}

impl Op for RreluOp {
    /// The slopes that were drawn.
    fn saved(&self) -> Extent {
        Extent::per_sample(self.len)
    }

    fn reads(&self, _: Gradient) -> Reads {
        Reads { saved: true, ..Reads::default() }
    }

    fn trains_differently(&self) -> bool {
        true
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.range))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        quote!(castnet::rrelu::forward(context, &#op, #input, output);)
    }

    fn forward_train(&self, call: &Call) -> TokenStream {
        let (op, input, stream) = (&call.op, call.input(), &call.stream);
        quote!(castnet::rrelu::forward_train(context, &#op, #stream, #input, output, saved);)
    }

    fn backward_input(&self, _: &Call, _: usize) -> TokenStream {
        quote!(castnet::rrelu::backward(context, saved, grad_output, grad_input);)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{descriptor, refused};

    #[test]
    fn draws_from_a_range() {
        assert!(descriptor("[3]", &["type = 'rrelu'"]).contains("lower : 0.125 , upper : 0.33333334"));
        assert!(descriptor("[3]", &["type = 'rrelu'; lower = 0.2; upper = 0.2"]).contains("lower : 0.2 , upper : 0.2"));
        refused("[3]", &["type = 'rrelu'; lower = 0.5"], &["must be at most upper = 0.33333334"]);
        refused("[3]", &["type = 'rrelu'; upper = 0.1"], &["must be at least lower = 0.125"]);
    }
}
