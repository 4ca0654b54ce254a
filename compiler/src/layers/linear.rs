//! `linear`: a matrix on the last axis.

use super::contract::{Layer, LayerType};
use super::init::{self, WeightInit};
use super::op::{Call, Gradient, Op, Parameter, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::{self, Operation};
use crate::shape::sizes::Shape;
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind};
use castnet_descriptors::Init;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const LINEAR: LayerType = LayerType::one("linear", "the last axis times a matrix", &ARGUMENTS, |args| {
    Linear::parse(args).map(|layer| Box::new(layer) as Box<dyn Layer>)
});

static ARGUMENTS: [Argument; 4] = [
    Argument::new("in_features", Kind::Size, Fallback::Inferred, "features that flow in"),
    Argument::new("out_features", Kind::Size, Fallback::Required("10"), "features of the result"),
    Argument::new("bias", Kind::Boolean, Fallback::Boolean(true), "whether something is added to each feature"),
    init::ARGUMENT,
];

#[derive(Debug, Clone)]
struct Linear {
    in_features: Option<Arg<usize>>,
    out_features: Arg<usize>,
    bias: bool,
    init: Option<WeightInit>,
}

impl Linear {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let in_features = args.size("in_features");
        let out_features = args.size("out_features");
        let bias = args.boolean("bias");
        let init = init::read(args);
        Some(Self { in_features, out_features: out_features?, bias: bias?.value, init })
    }
}

impl Layer for Linear {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let input = cx.input().shape.clone();
        let (&last, leading) = input.0.split_last()?;
        let what = if leading.is_empty() { "features" } else { "on the last axis" };
        let in_features = cx.stated("in_features", &self.in_features, last, what);
        let out_features = self.out_features.value;
        let mut shape = leading.to_vec();
        shape.push(out_features);
        // A wrong in_features leaves the result's shape known: the layers below are still checked.
        let in_features = in_features.unwrap_or(last);
        let init = init::weight(cx, &self.init, &[out_features, in_features], init::default_bound(in_features))?;
        let rows = leading.iter().product();
        let op =
            LinearOp { sizes: castnet_descriptors::Linear { in_features, out_features, rows }, bias: self.bias, init };
        Checked::new(Shape(shape), op)
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct LinearOp {
    sizes: castnet_descriptors::Linear,
    bias: bool,
    init: Init,
}

impl Op for LinearOp {
    fn parameters(&self) -> Vec<Parameter> {
        let shape = vec![self.sizes.out_features, self.sizes.in_features];
        let weight = Parameter { name: "weight", shape, init: self.init };
        let shape = vec![self.sizes.out_features];
        let bias = Parameter { name: "bias", shape, init: init::default_bound(self.sizes.in_features) };
        if self.bias { vec![weight, bias] } else { vec![weight] }
    }

    fn macs(&self) -> u64 {
        let sizes = [self.sizes.rows, self.sizes.in_features, self.sizes.out_features];
        sizes.iter().fold(1u64, |product, &size| product.saturating_mul(size as u64))
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
        quote!(castnet::linear::forward(context, &#op, #input, #weight, #bias, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, weight) = (&call.op, &call.parameters[0]);
        quote!(castnet::linear::backward_input(context, &#op, #weight, grad_output, grad_input);)
    }

    fn backward_parameters(&self, call: &Call) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), &call.gradients[0]);
        let bias = call
            .gradients
            .get(1)
            .map(|bias| quote!(castnet::linear::backward_bias(context, &#op, grad_output, #bias);));
        quote! {
            castnet::linear::backward_weight(context, &#op, #input, grad_output, #weight);
            #bias
        }
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        let linear = operation::Linear { sizes: self.sizes, map: None, norm: None, activation: None };
        Some(Operation::Linear(linear))
    }
}
