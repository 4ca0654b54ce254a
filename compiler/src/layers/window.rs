//! What layers with sliding windows share: padding, its modes, and the check that a window fits.

use crate::diagnostic::Diagnostic;
use crate::layers::infer::{Infer, describe};
use crate::spec::args::{Arg, Args};
use crate::spec::argument::{Argument, Fallback, Kind, words};
use crate::spec::table::ValueKind;
use castnet_descriptors::PaddingMode;
use std::fmt;

/// The argument `padding` of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding<const N: usize> {
    /// This much on both sides of each axis.
    Sizes([usize; N]),
    /// As much as keeps the size, with the odd pixel behind.
    Same,
}

impl<const N: usize> Padding<N> {
    /// Reads `padding`: a number, one per axis, `"same"` or `"valid"`. `None` after an error.
    pub fn read(args: &mut Args<'_>) -> Option<Arg<Self>> {
        let Some(value) = args.value("padding") else { return Some(Arg::default(Self::Sizes([0; N]))) };
        let padding = match &value.kind {
            ValueKind::String(_) => {
                let [same, valid] = PADDING_WORDS;
                args.read_word("padding", &value, &[(same, Self::Same), (valid, Self::Sizes([0; N]))])?
            }
            _ => Self::Sizes(args.read_sizes("padding", &value, 0)?),
        };
        Some(Arg { value: padding, span: Some(value.span), given: value.given })
    }

    /// What stands before and behind the input along an axis, for a window that spans `dilated` pixels there.
    /// PyTorch's `"same"` puts `floor(total / 2)` before and the rest behind.
    pub fn around(&self, axis: usize, dilated: usize) -> (usize, usize) {
        match self {
            Padding::Sizes(sizes) => (sizes[axis], sizes[axis]),
            Padding::Same => {
                let total = dilated - 1;
                (total / 2, total - total / 2)
            }
        }
    }
}

impl<const N: usize> fmt::Display for Padding<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Padding::Same => write!(f, "\"same\""),
            Padding::Sizes(sizes) => write!(f, "{}", sizes_text(sizes)),
        }
    }
}

/// Words for a convolution's padding: as much as keeps the size, none.
pub(super) static PADDING_WORDS: [&str; 2] = ["same", "valid"];

const PADDING_MODES: [(&str, PaddingMode); 4] = [
    ("zeros", PaddingMode::Zeros),
    ("reflect", PaddingMode::Reflect),
    ("replicate", PaddingMode::Replicate),
    ("circular", PaddingMode::Circular),
];
static PADDING_MODE_WORDS: [&str; 4] = words(&PADDING_MODES);

/// The argument `padding_mode`.
pub(super) const PADDING_MODE: Argument =
    Argument::new("padding_mode", Kind::Word(&PADDING_MODE_WORDS), Fallback::Word("zeros"), "what the padding holds");

/// Reads `padding_mode`.
pub(super) fn read_padding_mode(args: &mut Args<'_>) -> Option<PaddingMode> {
    args.word("padding_mode", &PADDING_MODES).map(|arg| arg.value)
}

/// Reflecting reaches one pixel less than the input has, going around all of it (as in PyTorch).
pub(super) fn check_padding<const N: usize>(
    mode: PaddingMode,
    cx: &mut Infer<'_>,
    padding: &Arg<Padding<N>>,
    around: [usize; 2],
    axis: usize,
    axes: usize,
    size: usize,
) -> Option<()> {
    let most = around[0].max(around[1]);
    let (word, rule, wrong) = match mode {
        PaddingMode::Reflect => ("reflect", "smaller than", most >= size),
        PaddingMode::Circular => ("circular", "no larger than", most > size),
        PaddingMode::Zeros | PaddingMode::Replicate => return Some(()),
    };
    if !wrong {
        return Some(());
    }
    let what = axis_name(axis, axes);
    let title = format!("{} pads {most} pixels in mode \"{word}\", but the input's {what} is {size}", cx.site.title());
    cx.refuse(padding, title, format!("padding must be {rule} the input's {what}, {size}"));
    None
}

/// `height`, `width` or `length`.
pub(super) fn axis_name(axis: usize, axes: usize) -> &'static str {
    match (axes, axis) {
        (1, _) => "length",
        (_, 0) => "height",
        _ => "width",
    }
}

/// Where the windows of a layer reach along one of its axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Which axis, of how many.
    pub axis: usize,
    /// How many axes the windows have.
    pub axes: usize,
    /// Pixels that a window spans, with its dilation.
    pub span: usize,
    /// Padding before the input.
    pub before: usize,
    /// Padding behind the input.
    pub behind: usize,
    /// Pixels by which the last window may run over the padding: `stride - 1` with `ceil_mode`.
    pub beyond: usize,
}

/// Checks that a window fits into the padded input.
pub(super) fn padded_window<const N: usize>(
    cx: &mut Infer<'_>,
    kernel_size: &Arg<[usize; N]>,
    reach: &Reach,
    size: usize,
) -> Option<()> {
    let Reach { axis, axes, span, before, behind, beyond } = *reach;
    let room = size + before + behind + beyond;
    if span <= room {
        return Some(());
    }
    let what = axis_name(axis, axes);
    let kernel = kernel_size.value[axis];
    let window = if span == kernel { format!("{span}") } else { format!("{span} ({kernel}, dilated)") };
    let padded = if before + behind > 0 { " padded" } else { "" };
    let title = format!(
        "{} has a window of {what} {window}, but its{padded} input has {what} {}",
        cx.site.title(),
        size + before + behind
    );
    let input = describe(cx.input());
    let label = match (before, behind) {
        (0, 0) => format!("the input is {input}"),
        (a, b) if a == b => format!("the input is {input}, padded by {a} on each side"),
        (a, b) => format!("the input is {input}, padded by {a} and {b}"),
    };
    let mends = cx.mends("it would fit");
    cx.refuse_with(kernel_size, title, label, |diagnostic| {
        // A kernel of k spans dilation * (k - 1) + 1.
        let most = if kernel == 1 { 1 } else { (room - 1) / ((span - 1) / (kernel - 1)) + 1 };
        mends.into_iter().fold(diagnostic, Diagnostic::note).help(format!(
            "a kernel_size of {most} is the largest that fits here; or add padding, or take away poolings and strides above"
        ))
    });
    None
}

/// `3`, or `[3, 5]` where the sizes differ.
pub(super) fn sizes_text(sizes: &[usize]) -> String {
    match sizes {
        [first, rest @ ..] if rest.iter().all(|size| size == first) => first.to_string(),
        _ => format!("{sizes:?}"),
    }
}
