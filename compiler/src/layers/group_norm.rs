//! `group_norm`: groups of channels of every sample by their mean and variance.

use super::affine::{self, split_gradients};
use super::contract::{Layer, LayerType};
use super::conv::divisors;
use super::init::{self, WeightInit};
use super::op::{Call, Extent, Gradient, Op, Parameter, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer, describe};
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind, Range};
use castnet_descriptors::Init;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const GROUP_NORM: LayerType =
    LayerType::one("group_norm", "a norm over each group of channels", &ARGUMENTS, GroupNorm::parse);

static ARGUMENTS: [Argument; 5] = [
    Argument::new("num_groups", Kind::Size, Fallback::Required("1"), "groups of channels"),
    Argument::new("num_channels", Kind::Size, Fallback::Inferred, "channels that flow in"),
    Argument::new("eps", Kind::Number(Range::NotNegative), Fallback::Number(1e-5), affine::EPS_ABOUT),
    affine::AFFINE,
    init::ARGUMENT,
];

#[derive(Debug, Clone)]
struct GroupNorm {
    num_groups: Arg<usize>,
    num_channels: Option<Arg<usize>>,
    eps: f32,
    affine: bool,
    init: Option<WeightInit>,
}

impl GroupNorm {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let num_groups = args.size("num_groups");
        let num_channels = args.size("num_channels");
        let eps = args.number("eps");
        let affine = args.boolean("affine").is_none_or(|arg| arg.value);
        let init = affine::read_init(args, affine, "affine = false");
        Some(Box::new(Self { num_groups: num_groups?, num_channels, eps: eps?.value as f32, affine, init }))
    }
}

impl Layer for GroupNorm {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        let (&channels, rest) = shape.0.split_first()?;
        cx.stated("num_channels", &self.num_channels, channels, "channels");
        let groups = self.num_groups.value;
        if !channels.is_multiple_of(groups) {
            let title =
                format!("{} says num_groups = {groups}, which does not divide {channels} channels", cx.site.title());
            let label = format!("the input is {}", describe(cx.input()));
            cx.refuse_with(&self.num_groups, title, label, |diagnostic| {
                diagnostic.help(format!("{channels} is divided by {}", divisors(channels)))
            });
            return None;
        }
        let inner = rest.iter().product();
        let weight = init::weight(cx, &self.init, &[channels], Init::Constant(1.0))?;
        let sizes = castnet_descriptors::GroupNorm { groups, channels, inner, eps: self.eps };
        Checked::new(shape, GroupNormOp { sizes, affine: self.affine, weight })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct GroupNormOp {
    sizes: castnet_descriptors::GroupNorm,
    affine: bool,
    weight: Init,
}

impl Op for GroupNormOp {
    fn parameters(&self) -> Vec<Parameter> {
        match self.affine {
            true => affine::parameters(&[self.sizes.channels], self.weight, true),
            false => Vec::new(),
        }
    }

    /// For every group its mean and inverse standard deviation.
    fn saved(&self) -> Extent {
        Extent::per_sample(2 * self.sizes.groups)
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
        quote!(castnet::group_norm::forward(context, &#op, #input, #weight, #bias, output, None);)
    }

    fn forward_train(&self, call: &Call) -> TokenStream {
        let (op, input, weight, bias) = (&call.op, call.input(), call.optional(0), call.optional(1));
        quote!(castnet::group_norm::forward(context, &#op, #input, #weight, #bias, output, Some(saved));)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), call.optional(0));
        quote!(castnet::group_norm::backward_input(context, &#op, #input, #weight, saved, grad_output, grad_input);)
    }

    fn backward_parameters(&self, call: &Call) -> TokenStream {
        let (op, input, split) = (&call.op, call.input(), split_gradients(call));
        quote! {
            #split
            castnet::group_norm::backward_parameters(context, &#op, #input, saved, grad_output, grad_weight, grad_bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{descriptor, refused};

    #[test]
    fn takes_samples_of_any_number_of_axes() {
        let map = descriptor("[6, 4, 5]", &["type = 'group_norm'; num_groups = 3"]);
        assert!(map.contains("groups : 3 , channels : 6 , inner : 20"), "{map}");
        let features = descriptor("[6]", &["type = 'group_norm'; num_groups = 2; num_channels = 6"]);
        assert!(features.contains("groups : 2 , channels : 6 , inner : 1"), "{features}");
    }

    #[test]
    fn groups_must_divide_the_channels() {
        let layer = "type = 'group_norm'; num_groups = 4";
        refused("[6, 4, 4]", &[layer], &["num_groups = 4, which does not divide 6 channels", "1, 2, 3 and 6"]);
        refused("[6, 4, 4]", &["type = 'group_norm'; num_groups = 3; num_channels = 9"], &["it receives 6 channels"]);
        refused("[6, 4, 4]", &["type = 'group_norm'"], &["needs num_groups"]);
    }
}
