//! `softmax` and `log_softmax` along one axis.

use super::contract::{Layer, LayerType};
use super::flatten::axis;
use super::op::{Call, Gradient, Op, Reads};
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind};
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const SOFTMAX: LayerType =
    LayerType::one("softmax", "exponentials that sum up to 1", &[DIM], |args| parse(args, false));
pub(super) const LOG_SOFTMAX: LayerType =
    LayerType::one("log_softmax", "the logarithm of softmax", &[DIM], |args| parse(args, true));

const DIM: Argument =
    Argument::new("dim", Kind::Integer, Fallback::Required("1"), "the axis of the sum; the batch is axis 0");

#[derive(Debug, Clone)]
struct Softmax {
    dim: Arg<i64>,
    log: bool,
}

fn parse(args: &mut Args<'_>, log: bool) -> Option<Box<dyn Layer>> {
    let dim = args.integer("dim")?;
    Some(Box::new(Softmax { dim, log }))
}

impl Layer for Softmax {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        let axis = axis(cx, "dim", &self.dim, &shape)?;
        let outer = shape.0[..axis].iter().product();
        let inner = shape.0[axis + 1..].iter().product();
        let sizes = castnet_descriptors::Softmax { outer, length: shape.0[axis], inner };
        Checked::new(shape, SoftmaxOp { sizes, log: self.log })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct SoftmaxOp {
    sizes: castnet_descriptors::Softmax,
    log: bool,
}

impl Op for SoftmaxOp {
    fn reads(&self, _: Gradient) -> Reads {
        Reads { output: true, ..Reads::default() }
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        match self.log {
            false => quote!(castnet::softmax::forward(context, &#op, #input, output);),
            true => quote!(castnet::softmax::log_forward(context, &#op, #input, output);),
        }
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let op = &call.op;
        match self.log {
            false => quote!(castnet::softmax::backward(context, &#op, output, grad_output, grad_input);),
            true => quote!(castnet::softmax::log_backward(context, &#op, output, grad_output, grad_input);),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{descriptor, refused};

    #[test]
    fn counts_the_batch_as_axis_0() {
        for (dim, sizes) in [
            ("1", "outer : 1 , length : 4 , inner : 15"),
            ("2", "outer : 4 , length : 3 , inner : 5"),
            ("-1", "outer : 12 , length : 5 , inner : 1"),
            ("-3", "outer : 1 , length : 4 , inner : 15"),
        ] {
            let text = descriptor("[4, 3, 5]", &[&format!("type = 'softmax'; dim = {dim}")]);
            assert!(text.contains(sizes), "{text}");
        }
    }

    #[test]
    fn the_batch_and_missing_axes_are_refused() {
        refused("[4, 3]", &["type = 'log_softmax'; dim = 0"], &["dim = 0, which is the batch", "axes are 1 to 2"]);
        refused("[4, 3]", &["type = 'softmax'; dim = -3"], &["dim = -3, which is the batch"]);
        refused("[4, 3]", &["type = 'softmax'; dim = 3"], &["the input is [batch, 4, 3]"]);
        refused("[4, 3]", &["type = 'softmax'; dim = -9223372036854775808"], &["no such axis"]);
        refused("[4, 3]", &["type = 'softmax'"], &["needs dim"]);
    }
}
