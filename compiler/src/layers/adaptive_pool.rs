//! `adaptive_avg_pool2d` and `adaptive_max_pool2d`: windows as many as the result has pixels.

use super::contract::{Layer, LayerType};
use super::op::{Call, Extent, Gradient, Op, Reads};
use super::pool::check_plane;
use crate::descriptor;
use crate::layers::infer::{Checked, Infer};
use crate::lower::operation::{Maps, Operation};
use crate::shape::sizes::Shape;
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{self, Argument, Fallback};
use castnet_descriptors::AdaptivePool2d;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const ADAPTIVE_AVG_POOL2D: LayerType =
    LayerType::one("adaptive_avg_pool2d", "means of as many windows", &[OUTPUT_SIZE], |args| {
        parse(args, Kind::Average)
    });
pub(super) const ADAPTIVE_MAX_POOL2D: LayerType =
    LayerType::one("adaptive_max_pool2d", "maxima of as many windows", &[OUTPUT_SIZE], |args| parse(args, Kind::Max));

const OUTPUT_SIZE: Argument = Argument::new(
    "output_size",
    argument::Kind::PerAxis { least: 1 },
    Fallback::Required("1"),
    "height and width of the result; 1 is global pooling",
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Average,
    Max,
}

#[derive(Debug, Clone)]
struct AdaptivePool {
    kind: Kind,
    output_size: Arg<[usize; 2]>,
}

fn parse(args: &mut Args<'_>, kind: Kind) -> Option<Box<dyn Layer>> {
    let output_size = args.sizes("output_size")?;
    Some(Box::new(AdaptivePool { kind, output_size }))
}

impl Layer for AdaptivePool {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let (channels, [height, width]) = cx.channels_and()?;
        if self.kind == Kind::Max {
            check_plane(cx, height, width)?;
        }
        let [rows, columns] = self.output_size.value;
        let sizes = AdaptivePool2d { input: [channels, height, width], output: [channels, rows, columns] };
        Checked::new(Shape(sizes.output.to_vec()), AdaptivePoolOp { kind: self.kind, sizes })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct AdaptivePoolOp {
    kind: Kind,
    sizes: AdaptivePool2d,
}

impl Op for AdaptivePoolOp {
    /// Where the maxima were.
    fn saved(&self) -> Extent {
        match self.kind {
            Kind::Max => Extent::per_sample(self.sizes.output.iter().product()),
            Kind::Average => Extent::default(),
        }
    }

    fn reads(&self, _: Gradient) -> Reads {
        Reads { saved: self.kind == Kind::Max, ..Reads::default() }
    }

    fn trains_differently(&self) -> bool {
        self.kind == Kind::Max
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        match self.kind {
            Kind::Average => quote!(castnet::adaptive_pool2d::avg_forward(context, &#op, #input, output);),
            Kind::Max => quote!(castnet::adaptive_pool2d::max_forward(context, &#op, #input, output, None);),
        }
    }

    fn forward_train(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        quote!(castnet::adaptive_pool2d::max_forward(context, &#op, #input, output, Some(saved));)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let op = &call.op;
        match self.kind {
            Kind::Average => {
                quote!(castnet::adaptive_pool2d::avg_backward(context, &#op, grad_output, grad_input);)
            }
            Kind::Max => {
                quote!(castnet::adaptive_pool2d::max_backward(context, &#op, saved, grad_output, grad_input);)
            }
        }
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        // Every window is one pixel.
        if self.sizes.input == self.sizes.output {
            return Some(Operation::Nothing);
        }
        let module = if self.kind == Kind::Max { "adaptive_max_pool2d" } else { "adaptive_avg_pool2d" };
        Some(Operation::Maps(Maps { module, pool: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refused, shape};

    #[test]
    fn makes_the_stated_size_smaller_or_larger() {
        assert_eq!(shape("[5, 6, 7]", &["type = 'adaptive_avg_pool2d'; output_size = 1"]).unwrap(), [5, 1, 1]);
        assert_eq!(shape("[2, 3, 3]", &["type = 'adaptive_max_pool2d'; output_size = [5, 2]"]).unwrap(), [2, 5, 2]);
        refused("[2, 3, 3]", &["type = 'adaptive_avg_pool2d'; output_size = [0, 1]"], &["must be 1 or more"]);
        refused("[2, 3]", &["type = 'adaptive_avg_pool2d'; output_size = 1"], &["takes [channels, height, width]"]);
        let huge = "type = 'adaptive_max_pool2d'; output_size = 2147483647";
        refused("[2, 3, 3]", &[huge], &["more than memory can address"]);
    }
}
