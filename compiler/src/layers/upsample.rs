//! `upsample`: larger (or smaller) maps by a factor.

use super::contract::{Layer, LayerType};
use super::op::{Call, Gradient, Op, Reads};
use super::window::axis_name;
use crate::descriptor;
use crate::layers::infer::{Checked, Infer, describe};
use crate::lower::operation::{Maps, Operation};
use crate::shape::sizes::Shape;
use crate::spec::args::{Arg, Args, Numbers};
use crate::spec::argument::{Argument, Fallback, Kind, words};
use castnet_descriptors::UpsampleMode;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const UPSAMPLE: LayerType = LayerType::one("upsample", "larger maps", &ARGUMENTS, Upsample::parse);

static ARGUMENTS: [Argument; 3] = [
    Argument::new("scale_factor", Kind::Factors, Fallback::Required("2"), "how many times larger"),
    Argument::new("mode", Kind::Word(&MODE_WORDS), Fallback::Word("nearest"), "how new pixels are made"),
    Argument::new(
        "align_corners",
        Kind::Boolean,
        Fallback::Boolean(false),
        "whether corners stay corners, with mode = \"bilinear\"",
    ),
];
const MODES: [(&str, UpsampleMode); 2] = [("nearest", UpsampleMode::Nearest), ("bilinear", UpsampleMode::Bilinear)];
static MODE_WORDS: [&str; 2] = words(&MODES);

#[derive(Debug, Clone)]
struct Upsample {
    scale_factor: Arg<Numbers>,
    mode: UpsampleMode,
}

impl Upsample {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let scale_factor = args.factors("scale_factor");
        let mode = args.word("mode", &MODES);
        let align_corners = args.boolean("align_corners");
        let mode = match (mode?.value, align_corners) {
            (UpsampleMode::Bilinear, Some(Arg { value: true, .. })) => UpsampleMode::BilinearAlignCorners,
            (UpsampleMode::Nearest, Some(Arg { value: true, .. })) => {
                let value = args.value("align_corners")?;
                let title = format!("{} says align_corners = true with mode = \"nearest\"", args.site().title());
                args.refuse_with(&value, title, "only mode = \"bilinear\" knows it, as in PyTorch", |diagnostic| {
                    diagnostic.help("add mode = \"bilinear\", or leave align_corners out")
                });
                return None;
            }
            (mode, _) => mode,
        };
        Some(Box::new(Self { scale_factor: scale_factor?, mode }))
    }

    /// The factors of `axes` axes.
    fn scales(&self, cx: &mut Infer<'_>, axes: usize) -> Option<Vec<f64>> {
        let scales = match &self.scale_factor.value {
            Numbers::One(scale) => return Some(vec![*scale; axes]),
            Numbers::PerAxis(scales) if scales.len() == axes => return Some(scales.clone()),
            Numbers::PerAxis(scales) => scales,
        };
        let given = if scales.len() == 1 { "one factor".to_string() } else { format!("{} factors", scales.len()) };
        let needed = if axes == 1 { "one axis" } else { "two axes" };
        let title = format!("{} lists {given}, but its input has {needed} behind the channels", cx.site.title());
        let label = format!("the input is {}", describe(cx.input()));
        cx.refuse_with(&self.scale_factor, title, label, |diagnostic| {
            diagnostic.help("write one number for all axes, or as many as there are axes")
        });
        None
    }

    /// `floor(in * scale)` (torch.nn.Upsample), in 64-bit floats as there.
    fn output(&self, cx: &mut Infer<'_>, axis: usize, axes: usize, size: usize, scale: f64) -> Option<usize> {
        let output = (size as f64 * scale).floor();
        if output < 1.0 {
            let what = axis_name(axis, axes);
            let title = format!("{} would make maps of {what} 0", cx.site.title());
            let label = format!("{size} x {scale} is less than 1");
            cx.refuse(&self.scale_factor, title, label);
            return None;
        }
        // Larger than any integer becomes the largest, which is refused as a size.
        Some(output as usize)
    }
}

impl Layer for Upsample {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let shape = cx.input().shape.clone();
        let takes = match self.mode {
            UpsampleMode::Nearest => shape.rank() >= 2,
            UpsampleMode::Bilinear | UpsampleMode::BilinearAlignCorners => shape.rank() == 3,
        };
        if !takes {
            cx.refuse_input(match self.mode {
                UpsampleMode::Nearest => "[channels, length] or [channels, height, width]",
                _ => "[channels, height, width] in mode \"bilinear\"",
            });
            return None;
        }
        let axes = shape.rank() - 1;
        let scales = self.scales(cx, axes)?;
        let mut output = shape.clone();
        for (axis, &scale) in scales.iter().enumerate() {
            output.0[axis + 1] = self.output(cx, axis, axes, shape.0[axis + 1], scale)?;
        }
        // One axis is the second of two, on maps of height 1.
        let two = |sizes: &Shape| [sizes.0[0], if axes == 1 { 1 } else { sizes.0[1] }, sizes.0[axes]];
        let scale = [if axes == 1 { 1.0 } else { scales[0] }, scales[axes - 1]];
        let sizes = castnet_descriptors::Upsample { input: two(&shape), output: two(&output), scale, mode: self.mode };
        Checked::new(output, UpsampleOp { sizes })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct UpsampleOp {
    sizes: castnet_descriptors::Upsample,
}

impl Op for UpsampleOp {
    fn reads(&self, _: Gradient) -> Reads {
        Reads::default()
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        quote!(castnet::upsample::forward(context, &#op, #input, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let op = &call.op;
        quote!(castnet::upsample::backward(context, &#op, grad_output, grad_input);)
    }

    fn operation(&self, _: usize) -> Option<Operation> {
        Some(Operation::Maps(Maps { module: "upsample", pool: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{descriptor, refused, shape};

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(shape("[2, 3, 4]", &["type = 'upsample'; scale_factor = 2"]).unwrap(), [2, 6, 8]);
        assert_eq!(shape("[2, 3, 5]", &["type = 'upsample'; scale_factor = [1.5, 0.7]"]).unwrap(), [2, 4, 3]);
        // 10 * 1.1 is 11.000000000000002 or so in 64 bits, as in PyTorch.
        assert_eq!(shape("[1, 10, 10]", &["type = 'upsample'; scale_factor = 1.1"]).unwrap(), [1, 11, 11]);
        assert_eq!(shape("[2, 5]", &["type = 'upsample'; scale_factor = 3"]).unwrap(), [2, 15]);
    }

    #[test]
    fn a_line_is_a_map_of_height_1() {
        let text = descriptor("[2, 5]", &["type = 'upsample'; scale_factor = [1.5]"]);
        assert!(text.contains("input : [2 , 1 , 5] , output : [2 , 1 , 7] , scale : [1.0 , 1.5]"), "{text}");
    }

    #[test]
    fn what_pytorch_refuses_is_refused() {
        let corners = "type = 'upsample'; scale_factor = 2; align_corners = true";
        refused("[2, 3, 4]", &[corners], &["align_corners = true with mode = \"nearest\""]);
        let bilinear = "type = 'upsample'; scale_factor = 2; mode = 'bilinear'";
        refused(
            "[2, 5]",
            &[bilinear],
            &["takes [channels, height, width] in mode \"bilinear\", but it receives [2, 5]"],
        );
        refused("[2, 5, 5]", &["type = 'upsample'; scale_factor = [2]"], &["lists one factor", "two axes"]);
        refused("[2, 5, 5]", &["type = 'upsample'; scale_factor = 0.1"], &["maps of height 0", "5 x 0.1"]);
        refused(
            "[2, 5, 5]",
            &["type = 'upsample'; scale_factor = [2, -1]"],
            &["scale_factor = -1, which must be more than 0"],
        );
        refused("[2, 5, 5]", &["type = 'upsample'; scale_factor = 1e30"], &["more than memory can address"]);
    }
}
