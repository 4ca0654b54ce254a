//! `dropout`: random in training, nothing in evaluation.

use super::{Call, Extent, Gradient, Layer, LayerType, Op, Reads};
use crate::shape::{Checked, Infer};
use crate::tokens::{float, long};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const DROPOUT: LayerType = LayerType::one("dropout", |args| {
    let p = args.number_where("p", "between 0 and 1", |p| (0.0..=1.0).contains(&p)).map_or(0.5, |arg| arg.value);
    Some(Box::new(Dropout { p: p as f32 }))
});

#[derive(Debug, Clone)]
struct Dropout {
    p: f32,
}

impl Layer for Dropout {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        Checked::new(shape.clone(), DropoutOp { p: self.p, len: shape.len() })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct DropoutOp {
    p: f32,
    len: usize,
}

impl Op for DropoutOp {
    fn is_alias(&self, training: bool) -> bool {
        !training
    }

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
        None
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let input = call.input();
        quote!(castnet::elementwise::copy(context, #input, output);)
    }

    fn forward_train(&self, call: &Call) -> TokenStream {
        let (input, p, number) = (call.input(), float(self.p), long(call.number));
        quote!(castnet::dropout::forward(context, #p, #number, #input, output, saved);)
    }

    fn backward_input(&self, _: &Call, _: usize) -> TokenStream {
        quote!(castnet::dropout::backward(context, saved, grad_output, grad_input);)
    }
}
