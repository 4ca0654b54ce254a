//! `max_unpool2d`: puts every value where a max pooling found it, and zero everywhere else.

use super::contract::{Layer, LayerType};
use super::op::{Call, Gradient, Op, Reads};
use super::pool;
use super::window::{axis_name, sizes_text};
use crate::descriptor;
use crate::layers::infer::{Checked, Indices, Infer, describe};
use crate::shape::sizes::Shape;
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind};
use castnet_descriptors::MaxUnpool2d;
use proc_macro2::TokenStream;
use quote::quote;

pub(super) const MAX_UNPOOL2D: LayerType = LayerType {
    takes_indices: true,
    ..LayerType::one("max_unpool2d", "maxima put back where a pooling found them", &ARGUMENTS, MaxUnpool::parse)
};

static ARGUMENTS: [Argument; 5] = [
    Argument::new("indices", Kind::Reference, Fallback::Required("\"pool1\""), "the max_pool2d that found them"),
    pool::KERNEL_SIZE,
    pool::STRIDE,
    Argument::new("padding", Kind::PerAxis { least: 0 }, Fallback::Whole(0), "the padding of that max_pool2d"),
    Argument::new(
        "output_size",
        Kind::PerAxis { least: 1 },
        Fallback::Described("computed"),
        "height and width of the result",
    ),
];

#[derive(Debug, Clone)]
struct MaxUnpool {
    kernel_size: Arg<[usize; 2]>,
    stride: Arg<[usize; 2]>,
    padding: Arg<[usize; 2]>,
    output_size: Option<Arg<[usize; 2]>>,
}

impl MaxUnpool {
    fn parse(args: &mut Args<'_>) -> Option<Box<dyn Layer>> {
        let kernel_size = args.sizes("kernel_size");
        let stride = args.sizes("stride");
        let padding = args.sizes("padding");
        let output_size = args.sizes("output_size");
        let kernel_size = kernel_size?;
        let stride = stride.unwrap_or(Arg::default(kernel_size.value));
        Some(Box::new(Self { kernel_size, stride, padding: padding?, output_size }))
    }

    /// The size along an axis, before `output_size`: `(in - 1) stride - 2 padding + kernel` (torch.nn.MaxUnpool2d).
    /// Counted in 128 bits: the input has up to 2^45 pixels and the stride is up to 2^31.
    fn computed(&self, axis: usize, size: usize) -> i128 {
        let [kernel, stride, padding] =
            [&self.kernel_size, &self.stride, &self.padding].map(|arg| arg.value[axis] as i128);
        (size as i128 - 1) * stride - 2 * padding + kernel
    }

    /// The size of the result along an axis, as stated or as computed.
    fn output(&self, cx: &mut Infer<'_>, axis: usize, size: usize) -> Option<usize> {
        let computed = self.computed(axis, size);
        let what = axis_name(axis, 2);
        let Some(stated) = &self.output_size else {
            if computed < 1 {
                let title = format!("{} would make maps of {what} {computed}", cx.site.title());
                let label = format!("takes away 2 x {}", self.padding.value[axis]);
                cx.refuse_with(&self.padding, title, label, |diagnostic| {
                    diagnostic.help("use the padding of the pooling layer whose indices it takes")
                });
                return None;
            }
            return Some(usize::try_from(computed).unwrap_or(usize::MAX));
        };
        // PyTorch: strictly between the computed size less and plus the stride.
        let stride = self.stride.value[axis] as i128;
        let (least, most) = ((computed - stride + 1).max(1), computed + stride - 1);
        let value = stated.value[axis];
        if (least..=most).contains(&(value as i128)) {
            return Some(value);
        }
        let title = format!(
            "{} says output_size = {}, but its {what} cannot be {value}",
            cx.site.title(),
            sizes_text(&stated.value)
        );
        let label = match least.cmp(&most) {
            std::cmp::Ordering::Less => format!("the {what} can be {least} to {most}"),
            std::cmp::Ordering::Equal => format!("the {what} can only be {least}"),
            std::cmp::Ordering::Greater => format!("no {what} is possible: the padding takes all away"),
        };
        cx.refuse_with(stated, title, label, |diagnostic| {
            diagnostic.note(format!(
                "{size} pixels of {what} are unpooled to {computed}, and output_size may differ from that by less than \
                 the stride, {stride}"
            ))
        });
        None
    }

    /// Every index must lie in the map.
    fn check_indices(&self, cx: &mut Infer<'_>, indices: &Indices, [height, width]: [usize; 2]) -> Option<()> {
        let fits = height.checked_mul(width).is_none_or(|plane| indices.largest < plane);
        if fits {
            return Some(());
        }
        let Indices { name, input, largest, .. } = indices;
        let title =
            format!("{} makes maps of {height} x {width}, too small for the indices of `{name}`", cx.site.title());
        let label = format!("`{name}` finds its maxima in {input}");
        let (pooled_height, pooled_width) = (input.0[1], input.0[2]);
        let possible = |axis: usize, wanted: usize| {
            let computed = self.computed(axis, cx.input().shape.0[axis + 1]);
            (wanted as i128 - computed).abs() < self.stride.value[axis] as i128
        };
        let help = match possible(0, pooled_height) && possible(1, pooled_width) {
            true => format!("write output_size = [{pooled_height}, {pooled_width}], the size that `{name}` pooled"),
            false => {
                format!("use the kernel_size, stride and padding of `{name}`, and its input's size as output_size")
            }
        };
        let diagnostic = cx.site.error(title, indices.span.clone(), label).note(format!(
            "its indices count pixels row by row and go up to {largest}; a map of {height} x {width} ends at {}",
            height * width - 1
        ));
        cx.push(diagnostic.help(help));
        None
    }
}

impl Layer for MaxUnpool {
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked> {
        let (channels, [height, width]) = cx.channels_and()?;
        let indices = cx.indices.clone()?;
        if indices.output != cx.input().shape {
            let title = format!(
                "{} receives {}, but the indices of `{}` are {}",
                cx.site.title(),
                cx.input().shape,
                indices.name,
                indices.output
            );
            let label = format!("there must be one index for every value of {}", describe(cx.input()));
            let diagnostic = cx.site.error(title, indices.span.clone(), label);
            cx.push(diagnostic.help("name the pooling layer whose result has this layer's input's shape"));
            return None;
        }
        let output = [self.output(cx, 0, height)?, self.output(cx, 1, width)?];
        self.check_indices(cx, &indices, output)?;
        let sizes = MaxUnpool2d { input: [channels, height, width], output: [channels, output[0], output[1]] };
        Checked::new(Shape(sizes.output.to_vec()), MaxUnpoolOp { sizes })
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

#[derive(Debug)]
struct MaxUnpoolOp {
    sizes: MaxUnpool2d,
}

impl Op for MaxUnpoolOp {
    /// The indices are there for every layer that takes them.
    fn reads(&self, _: Gradient) -> Reads {
        Reads::default()
    }

    fn descriptor(&self) -> Option<(TokenStream, TokenStream)> {
        Some(descriptor::item(&self.sizes))
    }

    fn forward(&self, call: &Call) -> TokenStream {
        let (op, input) = (&call.op, call.input());
        quote!(castnet::max_unpool2d::forward(context, &#op, #input, indices, output);)
    }

    fn backward_input(&self, call: &Call, _: usize) -> TokenStream {
        let op = &call.op;
        quote!(castnet::max_unpool2d::backward(context, &#op, indices, grad_output, grad_input);)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refused, shape};

    const POOL: &str = "name = 'pool'; type = 'max_pool2d'; kernel_size = 2";

    #[test]
    fn sizes_are_pytorchs() {
        let plain = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 2";
        assert_eq!(shape("[3, 8, 6]", &[POOL, plain]).unwrap(), [3, 8, 6]);
        // (4 - 1) * 2 + 2 = 8, and output_size may differ by less than the stride.
        let stated = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 2; output_size = [9, 9]";
        assert_eq!(shape("[3, 9, 9]", &[POOL, stated]).unwrap(), [3, 9, 9]);
    }

    #[test]
    fn an_impossible_output_size_is_refused() {
        let larger = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 2; output_size = [8, 10]";
        refused("[3, 8, 8]", &[POOL, larger], &["its width cannot be 10", "the width can be 7 to 9"]);
        let list = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 2; output_size = [3, 8, 8]";
        refused("[3, 8, 8]", &[POOL, list], &["has 2 axes, but output_size lists 3 numbers"]);
        let padded = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 2; padding = 4";
        refused("[3, 8, 8]", &[POOL, padded], &["would make maps of height 0"]);
    }

    #[test]
    fn a_map_too_small_for_the_indices_is_refused() {
        let plain = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 2";
        refused(
            "[1, 7, 7]",
            &[POOL, plain],
            &["makes maps of 6 x 6", "go up to 40", "ends at 35", "output_size = [7, 7]"],
        );
        // The pixels that no window reaches have no index: 2 * 7 + 2 = 16 is the last of a stride of 3.
        let pool = "name = 'pool'; type = 'max_pool2d'; kernel_size = 2; stride = 3";
        let unpool = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 2; stride = 3; output_size = [7, 7]";
        assert_eq!(shape("[1, 7, 7]", &[pool, unpool]).unwrap(), [1, 7, 7]);
    }

    #[test]
    fn indices_must_be_those_of_the_input() {
        let conv = "type = 'conv2d'; out_channels = 3; kernel_size = 3";
        let unpool = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 2";
        refused("[3, 8, 8]", &[POOL, conv, unpool], &["receives [3, 2, 2], but the indices of `pool` are [3, 4, 4]"]);
        let average = "name = 'pool'; type = 'avg_pool2d'; kernel_size = 2";
        refused("[3, 8, 8]", &[average, unpool], &["takes indices from layer `pool` (avg_pool2d), which has none"]);
        let of_input = "type = 'max_unpool2d'; indices = 'input'; kernel_size = 2";
        refused("[3, 8, 8]", &[POOL, of_input], &["takes indices from the input `input`"]);
        refused("[3, 8, 8]", &[POOL, "type = 'max_unpool2d'; kernel_size = 2"], &["needs indices"]);
    }

    #[test]
    fn huge_strides_do_not_overflow() {
        let pool = "name = 'pool'; type = 'max_pool2d'; kernel_size = 1";
        let unpool = "type = 'max_unpool2d'; indices = 'pool'; kernel_size = 1; stride = 2147483647";
        refused("[1, 65535, 65536]", &[pool, unpool], &["more than memory can address"]);
    }
}
