//! `batch_norm1d` and `batch_norm2d`: every channel by its mean and variance, of the batch in training and running ones in
//! evaluation.

use super::affine::{self, split, split_gradients};
use super::contract::{Layer, LayerType};
use super::init::{self, WeightInit};
use super::op::{BufferDecl, Call, Extent, Gradient, Op, Parameter, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::{Affine, Norm, Operation};
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind, Range};
use crate::tokens::int;
use castnet_descriptors::Init;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const BATCH_NORM1D: LayerType =
    LayerType::one("batch_norm1d", "a norm over batch and length", &ARGUMENTS, |args| parse(args, 1));
pub(super) const BATCH_NORM2D: LayerType =
    LayerType::one("batch_norm2d", "a norm over batch, height and width", &ARGUMENTS, |args| parse(args, 2));

static ARGUMENTS: [Argument; 6] = [
    Argument::new("num_features", Kind::Size, Fallback::Inferred, "channels, or features"),
    // torch.nn.functional.batch_norm trains with a positive eps alone.
    Argument::new("eps", Kind::Number(Range::Positive), Fallback::Number(1e-5), affine::EPS_ABOUT),
    Argument::new(
        "momentum",
        Kind::Number(Range::Unit),
        Fallback::Number(0.1),
        "how much of the running statistics a batch replaces",
    ),
    affine::AFFINE,
    Argument::new(
        "track_running_stats",
        Kind::Boolean,
        Fallback::Boolean(true),
        "whether evaluation uses statistics kept in training",
    ),
    init::ARGUMENT,
];

#[derive(Debug, Clone)]
struct BatchNorm {
    /// 1 or 2, from the type's name.
    axes: usize,
    num_features: Option<Arg<usize>>,
    eps: f32,
    momentum: f32,
    affine: bool,
    track_running_stats: bool,
    init: Option<WeightInit>,
}

fn parse(args: &mut Args<'_>, axes: usize) -> Option<Box<dyn Layer>> {
    let num_features = args.size("num_features");
    let eps = args.number("eps");
    let momentum = args.number("momentum");
    let affine = args.boolean("affine").is_none_or(|arg| arg.value);
    let track_running_stats = args.boolean("track_running_stats");
    let init = affine::read_init(args, affine, "affine = false");
    let track_running_stats = track_running_stats?.value;
    let (eps, momentum) = (eps?.value as f32, momentum?.value as f32);
    Some(Box::new(BatchNorm { axes, num_features, eps, momentum, affine, track_running_stats, init }))
}

impl Layer for BatchNorm {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        let takes = match self.axes {
            1 => shape.rank() <= 2,
            _ => shape.rank() == 3,
        };
        if !takes {
            cx.refuse_input(if self.axes == 1 {
                "[features] or [channels, length]"
            } else {
                "[channels, height, width]"
            });
            return None;
        }
        let (&channels, rest) = shape.0.split_first()?;
        cx.stated("num_features", &self.num_features, channels, if rest.is_empty() { "features" } else { "channels" });
        let inner = rest.iter().product();
        let weight = init::weight(cx, &self.init, &[channels], Init::Constant(1.0))?;
        let Self { eps, momentum, affine, track_running_stats, .. } = *self;
        let sizes = castnet_descriptors::BatchNorm { channels, inner, eps, momentum };
        Checked::new(shape, BatchNormOp { sizes, affine, track_running_stats, weight })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// A batch norm with its parameters and buffers.
#[derive(Debug)]
pub struct BatchNormOp {
    pub(crate) sizes: castnet_descriptors::BatchNorm,
    pub(crate) affine: bool,
    pub(crate) track_running_stats: bool,
    /// How the weight begins.
    weight: Init,
}

impl Op for BatchNormOp {
    fn parameters(&self) -> Vec<Parameter> {
        match self.affine {
            true => affine::parameters(&[self.sizes.channels], self.weight, true),
            false => Vec::new(),
        }
    }

    fn buffers(&self) -> Vec<BufferDecl> {
        let buffer = |name, fill| BufferDecl { name, shape: vec![self.sizes.channels], fill };
        match self.track_running_stats {
            true => vec![buffer("running_mean", 0.0), buffer("running_var", 1.0)],
            false => Vec::new(),
        }
    }

    /// Means, then inverse standard deviations.
    fn saved(&self) -> Extent {
        Extent::fixed(2 * self.sizes.channels)
    }

    fn reads(&self, gradient: Gradient) -> Reads {
        let parameters = self.affine && matches!(gradient, Gradient::Input(_));
        Reads { inputs: true, saved: true, parameters, ..Reads::default() }
    }

    fn trains_differently(&self) -> bool {
        true
    }

    fn evaluates_as_trained(&self) -> bool {
        !self.track_running_stats
    }

    /// The variance of a single value is none: "Expected more than 1 value per channel" in PyTorch.
    fn minimum_batch(&self) -> usize {
        if self.sizes.inner == 1 { 2 } else { 1 }
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let [running_mean, running_var] = call.buffers.as_slice() else { return self.forward_train(call) };
        let (op, input, weight, bias) = (&call.op, call.input(), call.optional(0), call.optional(1));
        let [mean, var] = [running_mean, running_var].map(|range| {
            let (from, to) = (int(range.start), int(range.end));
            quote!(&buffers[#from..#to])
        });
        quote!(castnet::batch_norm::forward(context, &#op, #input, #weight, #bias, #mean, #var, output);)
    }

    fn forward_train(&self, call: &Call) -> TokenStream {
        let (op, input, weight, bias) = (&call.op, call.input(), call.optional(0), call.optional(1));
        let running = match self.track_running_stats {
            true => quote!(Some((running_mean, running_var))),
            false => quote!(None),
        };
        let split = split(["running_mean", "running_var"], "buffers", &call.buffers);
        quote! {
            #split
            castnet::batch_norm::forward_train(context, &#op, #input, #weight, #bias, #running, output, saved);
        }
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let (op, input, weight) = (&call.op, call.input(), call.optional(0));
        quote!(castnet::batch_norm::backward_input(context, &#op, #input, #weight, saved, grad_output, grad_input);)
    }

    fn backward_parameters(&self, call: &Call) -> TokenStream {
        let (op, input, split) = (&call.op, call.input(), split_gradients(call));
        quote! {
            #split
            castnet::batch_norm::backward_parameters(context, &#op, #input, saved, grad_output, grad_weight, grad_bias);
        }
    }

    fn operation(&self, layer: usize) -> Option<Operation> {
        let norm = Norm { layer, affine: self.affine, eps: self.sizes.eps };
        self.track_running_stats.then_some(Operation::Affine(Affine { norm, activation: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::op::Extent;
    use super::super::testing::{compiled, last, refused, spec};
    use crate::lower::operation::{Function, Operation};
    use castnet_descriptors::Init;

    #[test]
    fn has_pytorchs_parameters_and_buffers() {
        let node = last("[4, 5, 6]", &["type = 'batch_norm2d'"]).unwrap();
        let names: Vec<_> = node.op.parameters().iter().map(|p| (p.name, p.init)).collect();
        assert_eq!(names, [("weight", Init::Constant(1.0)), ("bias", Init::Constant(0.0))]);
        let buffers: Vec<_> = node.op.buffers().iter().map(|b| (b.name, b.fill)).collect();
        assert_eq!(buffers, [("running_mean", 0.0), ("running_var", 1.0)]);
        assert_eq!(node.op.saved(), Extent::fixed(8));
        assert_eq!(node.op.minimum_batch(), 1);
    }

    #[test]
    fn one_value_per_channel_and_sample_needs_a_batch() {
        for (input, least) in [("[7]", 2), ("[7, 1]", 2), ("[7, 2]", 1)] {
            assert_eq!(last(input, &["type = 'batch_norm1d'"]).unwrap().op.minimum_batch(), least);
        }
        assert_eq!(last("[7, 1, 1]", &["type = 'batch_norm2d'"]).unwrap().op.minimum_batch(), 2);
    }

    #[test]
    fn without_running_statistics_it_evaluates_as_it_trains() {
        let layer = "type = 'batch_norm2d'; track_running_stats = false; affine = false";
        let node = last("[4, 5, 6]", &[layer]).unwrap();
        assert!(node.op.parameters().is_empty() && node.op.buffers().is_empty());
        let compiled = compiled(&spec("[4, 5, 6]", &[layer])).unwrap();
        let call = &compiled.evaluation.program.calls[0];
        assert_eq!(call.operation, Operation::Layer(Function::ForwardTrain));
    }

    #[test]
    fn what_pytorch_refuses_is_refused() {
        refused("[4, 5]", &["type = 'batch_norm2d'"], &["takes [channels, height, width]", "type = \"batch_norm1d\""]);
        refused("[4, 5, 6]", &["type = 'batch_norm1d'"], &["takes [features] or [channels, length]"]);
        refused(
            "[4, 5, 6]",
            &["type = 'batch_norm2d'; num_features = 5"],
            &["num_features = 5, but it receives 4 channels"],
        );
        refused("[4, 5, 6]", &["type = 'batch_norm2d'; eps = 0"], &["eps = 0, which must be more than 0"]);
        refused("[4, 5, 6]", &["type = 'batch_norm2d'; momentum = 2"], &["must be between 0 and 1"]);
        let init = "type = 'batch_norm2d'; affine = false; init = 'ones'";
        refused("[4, 5, 6]", &[init], &["says init, but with affine = false it has no weight"]);
    }
}
