//! `dropout` and `dropout2d`: random in training, nothing in evaluation.

use super::contract::{Layer, LayerType};
use super::op::{Call, Extent, Gradient, Op, Reads};
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::Operation;
use crate::spec::args::Args;
use crate::spec::argument::{self, Argument, Fallback, Range};
use crate::tokens::{float, int};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const DROPOUT: LayerType =
    LayerType::one("dropout", "zeros at random in training", &[P], |args| parse(args, Kind::Elements));
pub(super) const DROPOUT2D: LayerType =
    LayerType::one("dropout2d", "whole channels of zeros at random in training", &[P], |args| {
        parse(args, Kind::Channels)
    });

const P: Argument =
    Argument::new("p", argument::Kind::Number(Range::Unit), Fallback::Number(0.5), "the probability of a zero");

/// What is dropped as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Elements,
    Channels,
}

#[derive(Debug, Clone)]
struct Dropout {
    kind: Kind,
    p: f32,
}

fn parse(args: &mut Args<'_>, kind: Kind) -> Option<Box<dyn Layer>> {
    Some(Box::new(Dropout { kind, p: args.number("p")?.value as f32 }))
}

impl Layer for Dropout {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        let (groups, inner) = match self.kind {
            Kind::Elements => (shape.len(), 1),
            Kind::Channels if shape.rank() < 2 => {
                cx.refuse_input("[channels, length] or [channels, height, width]");
                return None;
            }
            Kind::Channels => (shape.0[0], shape.0[1..].iter().product()),
        };
        Checked::new(shape, DropoutOp { kind: self.kind, p: self.p, groups, inner })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct DropoutOp {
    kind: Kind,
    p: f32,
    /// What is kept or dropped, each for itself, in a sample.
    groups: usize,
    /// Elements of each.
    inner: usize,
}

impl Op for DropoutOp {
    fn is_alias(&self, training: bool) -> bool {
        !training
    }

    /// The factor of each group, 0 or `1 / (1 - p)`.
    fn saved(&self) -> Extent {
        Extent::per_sample(self.groups)
    }

    fn reads(&self, _: Gradient) -> Reads {
        Reads { saved: true, ..Reads::default() }
    }

    fn trains_differently(&self) -> bool {
        true
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        None
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let input = call.input();
        quote!(castnet::elementwise::copy(context, #input, output);)
    }

    fn forward_train(&self, call: &Call) -> TokenStream {
        let (input, p, stream, inner) = (call.input(), float(self.p), &call.stream, int(self.inner));
        match self.kind {
            Kind::Elements => quote!(castnet::dropout::forward(context, #p, #stream, #input, output, saved);),
            Kind::Channels => quote!(castnet::dropout::forward2d(context, #p, #stream, #inner, #input, output, saved);),
        }
    }

    fn backward_input(&self, _: &Call, _: usize) -> TokenStream {
        let inner = int(self.inner);
        match self.kind {
            Kind::Elements => quote!(castnet::dropout::backward(context, saved, grad_output, grad_input);),
            Kind::Channels => quote!(castnet::dropout::backward2d(context, #inner, saved, grad_output, grad_input);),
        }
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        Some(Operation::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::op::Extent;
    use super::super::testing::{last, refused};

    #[test]
    fn keeps_a_factor_for_each_that_is_dropped_as_one() {
        assert_eq!(last("[3, 4, 5]", &["type = 'dropout'"]).unwrap().op.saved(), Extent::per_sample(60));
        assert_eq!(last("[3, 4, 5]", &["type = 'dropout2d'"]).unwrap().op.saved(), Extent::per_sample(3));
        assert_eq!(last("[3, 4]", &["type = 'dropout2d'"]).unwrap().op.saved(), Extent::per_sample(3));
    }

    #[test]
    fn what_has_no_channels_or_no_probability_is_refused() {
        refused("[3]", &["type = 'dropout2d'"], &["takes [channels, length] or [channels, height, width]"]);
        refused("[3]", &["type = 'dropout'; p = 1.5"], &["p = 1.5, which must be between 0 and 1"]);
        refused("[3]", &["type = 'dropout'; p = nan"], &["p = NaN, which must be a finite number"]);
    }
}
