//! `prelu`: a leaky relu whose slope is learned, one for all channels or one each.

use super::contract::{Layer, LayerType};
use super::op::{Call, Gradient, Op, Parameter, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind, Range};
use castnet_descriptors::Init;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const PRELU: LayerType =
    LayerType::one("prelu", "x, times a trained slope where it is negative", &ARGUMENTS, Prelu::parse);

static ARGUMENTS: [Argument; 2] = [
    Argument::new("num_parameters", Kind::Size, Fallback::Whole(1), "slopes: 1, or one for each channel"),
    Argument::new("init", Kind::Number(Range::Any), Fallback::Number(0.25), "how the slopes begin"),
];

#[derive(Debug, Clone)]
struct Prelu {
    num_parameters: Arg<usize>,
    init: f32,
}

impl Prelu {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let (num_parameters, init) = (args.size("num_parameters"), args.number("init"));
        Some(Box::new(Self { num_parameters: num_parameters?, init: init?.value as f32 }))
    }
}

impl Layer for Prelu {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        let (&channels, rest) = shape.0.split_first()?;
        let inner: usize = rest.iter().product();
        let parameters = self.num_parameters.value;
        if parameters != 1 {
            let help = format!("write num_parameters = {channels}, or 1 for one slope for all channels");
            cx.agrees("num_parameters", &self.num_parameters, channels, "channels", &help);
        }
        let (channels, inner) = if parameters == 1 { (1, shape.len()) } else { (channels, inner) };
        let sizes = castnet_descriptors::Prelu { channels, inner };
        Checked::new(shape, PreluOp { sizes, init: self.init })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct PreluOp {
    sizes: castnet_descriptors::Prelu,
    init: f32,
}

impl Op for PreluOp {
    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter { name: "weight", shape: vec![self.sizes.channels], init: Init::Constant(self.init) }]
    }

    fn reads(&self, gradient: Gradient) -> Reads {
        Reads { inputs: true, parameters: matches!(gradient, Gradient::Input(_)), ..Reads::default() }
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), &call.parameters[0]);
        quote!(castnet::prelu::forward(context, &#op, #input, #weight, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), &call.parameters[0]);
        quote!(castnet::prelu::backward_input(context, &#op, #input, #weight, grad_output, grad_input);)
    }

    fn backward_parameters(&self, call: &Call) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), &call.gradients[0]);
        quote!(castnet::prelu::backward_weight(context, &#op, #input, grad_output, #weight);)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{descriptor, last, refused};
    use super::Init;

    #[test]
    fn has_one_slope_or_one_for_each_channel() {
        assert!(descriptor("[3, 4, 5]", &["type = 'prelu'"]).contains("channels : 1 , inner : 60"));
        assert!(descriptor("[3, 4, 5]", &["type = 'prelu'; num_parameters = 3"]).contains("channels : 3 , inner : 20"));
        assert!(descriptor("[3]", &["type = 'prelu'; num_parameters = 3"]).contains("channels : 3 , inner : 1"));
        let node = last("[3, 4, 5]", &["type = 'prelu'; init = 0.5"]).unwrap();
        assert_eq!(node.op.parameters()[0].init, Init::Constant(0.5));
    }

    #[test]
    fn other_numbers_of_slopes_are_refused() {
        let layer = "type = 'prelu'; num_parameters = 4";
        refused("[3, 4, 5]", &[layer], &["num_parameters = 4, but it receives 3 channels", "or 1 for one slope"]);
        refused("[3]", &["type = 'prelu'; init = 'ones'"], &["init must be a number"]);
    }
}
