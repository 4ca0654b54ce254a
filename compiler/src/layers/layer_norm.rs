//! `layer_norm`: the last axes of every sample by their mean and variance.

use super::affine;
use super::contract::{Layer, LayerType};
use super::init::{self, WeightInit};
use super::op::{Call, Extent, Gradient, Op, Parameter, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer, describe};
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind, Range};
use castnet_descriptors::Init;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const LAYER_NORM: LayerType =
    LayerType::one("layer_norm", "a norm over the last axes", &ARGUMENTS, LayerNorm::parse);

static ARGUMENTS: [Argument; 5] = [
    Argument::new("normalized_shape", Kind::Sizes, Fallback::Described("the whole sample"), "the last axes' sizes"),
    Argument::new("eps", Kind::Number(Range::NotNegative), Fallback::Number(1e-5), affine::EPS_ABOUT),
    Argument::new("elementwise_affine", Kind::Boolean, Fallback::Boolean(true), "whether a weight follows the norm"),
    Argument::new("bias", Kind::Boolean, Fallback::Boolean(true), "whether a bias follows the weight"),
    init::ARGUMENT,
];

#[derive(Debug, Clone)]
struct LayerNorm {
    normalized_shape: Option<Arg<Vec<usize>>>,
    eps: f32,
    elementwise_affine: bool,
    bias: bool,
    init: Option<WeightInit>,
}

impl LayerNorm {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let normalized_shape = args.size_list("normalized_shape");
        let eps = args.number("eps");
        let elementwise_affine = args.boolean("elementwise_affine").is_none_or(|arg| arg.value);
        let bias = args.boolean("bias").is_none_or(|arg| arg.value);
        let init = affine::read_init(args, elementwise_affine, "elementwise_affine = false");
        let eps = eps?.value as f32;
        Some(Box::new(Self { normalized_shape, eps, elementwise_affine, bias, init }))
    }

    /// The axes that are normalised: the stated ones must be the last of the input.
    fn normalized(&self, cx: &mut Infer<'_>) -> Option<Vec<usize>> {
        let shape = cx.input().shape.0.clone();
        let Some(stated) = &self.normalized_shape else { return Some(shape) };
        if shape.ends_with(&stated.value) {
            return Some(stated.value.clone());
        }
        let input = cx.input().shape.clone();
        let title = format!("{} says normalized_shape = {:?}, but it receives {input}", cx.site.title(), stated.value);
        let label = format!("the input is {}", describe(cx.input()));
        let endings: Vec<String> = (0..shape.len()).rev().map(|from| format!("{:?}", &shape[from..])).collect();
        cx.refuse_with(stated, title, label, |diagnostic| {
            diagnostic.help(format!(
                "it must be the last axes of the input: {}; left out, it is the whole sample",
                endings.join(" or ")
            ))
        });
        None
    }
}

impl Layer for LayerNorm {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        let normalized = self.normalized(cx)?;
        let rows = shape.0[..shape.rank() - normalized.len()].iter().product();
        let weight = init::weight(cx, &self.init, &normalized, Init::Constant(1.0))?;
        let Self { eps, elementwise_affine: affine, bias, .. } = *self;
        let sizes = castnet_descriptors::LayerNorm { rows, length: normalized.iter().product(), eps };
        Checked::new(shape, LayerNormOp { sizes, normalized, affine, bias, weight })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct LayerNormOp {
    sizes: castnet_descriptors::LayerNorm,
    /// The axes that are normalised together.
    normalized: Vec<usize>,
    affine: bool,
    bias: bool,
    weight: Init,
}

impl Op for LayerNormOp {
    fn parameters(&self) -> Vec<Parameter> {
        match self.affine {
            true => affine::parameters(&self.normalized, self.weight, self.bias),
            false => Vec::new(),
        }
    }

    /// For every row its mean and inverse standard deviation.
    fn saved(&self) -> Extent {
        Extent::per_sample(2 * self.sizes.rows)
    }

    fn reads(&self, gradient: Gradient) -> Reads {
        let parameters = self.affine && matches!(gradient, Gradient::Input(_));
        Reads { inputs: true, saved: true, parameters, ..Reads::default() }
    }

    fn trains_differently(&self) -> bool {
        true
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input, weight, bias) = (&call.op, call.input(), call.optional(0), call.optional(1));
        quote!(castnet::layer_norm::forward(context, &#op, #input, #weight, #bias, output, None);)
    }

    fn forward_train(&self, call: &Call) -> TokenStream {
        let (op, input, weight, bias) = (&call.op, call.input(), call.optional(0), call.optional(1));
        quote!(castnet::layer_norm::forward(context, &#op, #input, #weight, #bias, output, Some(saved));)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), call.optional(0));
        quote!(castnet::layer_norm::backward_input(context, &#op, #input, #weight, saved, grad_output, grad_input);)
    }

    fn backward_parameters(&self, call: &Call) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), &call.gradients[0]);
        let bias = call
            .gradients
            .get(1)
            .map(|bias| quote!(castnet::layer_norm::backward_bias(context, &#op, grad_output, #bias);));
        quote! {
            castnet::layer_norm::backward_weight(context, &#op, #input, saved, grad_output, #weight);
            #bias
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{descriptor, last, refused};

    #[test]
    fn normalises_the_last_axes() {
        let whole = descriptor("[4, 5, 6]", &["type = 'layer_norm'"]);
        assert!(whole.contains("rows : 1 , length : 120"), "{whole}");
        let last_two = descriptor("[4, 5, 6]", &["type = 'layer_norm'; normalized_shape = [5, 6]"]);
        assert!(last_two.contains("rows : 4 , length : 30"), "{last_two}");
        let one = descriptor("[4, 5, 6]", &["type = 'layer_norm'; normalized_shape = 6; eps = 0.001"]);
        assert!(one.contains("rows : 20 , length : 6 , eps : 0.001"), "{one}");
    }

    #[test]
    fn has_pytorchs_parameters() {
        let shapes = |layer: &str| -> Vec<Vec<usize>> {
            last("[4, 5, 6]", &[layer]).unwrap().op.parameters().into_iter().map(|p| p.shape).collect()
        };
        assert_eq!(shapes("type = 'layer_norm'; normalized_shape = [5, 6]"), [[5, 6], [5, 6]]);
        assert_eq!(shapes("type = 'layer_norm'; normalized_shape = [6]; bias = false"), [[6]]);
        assert!(shapes("type = 'layer_norm'; elementwise_affine = false").is_empty());
    }

    #[test]
    fn other_axes_are_refused() {
        let layer = "type = 'layer_norm'; normalized_shape = [4, 5]";
        refused(
            "[4, 5, 6]",
            &[layer],
            &["normalized_shape = [4, 5], but it receives [4, 5, 6]", "[6] or [5, 6] or [4, 5, 6]"],
        );
        refused("[6]", &["type = 'layer_norm'; normalized_shape = [6, 6]"], &["but it receives [6]"]);
        refused("[6]", &["type = 'layer_norm'; normalized_shape = []"], &["must be a list of whole numbers"]);
    }
}
