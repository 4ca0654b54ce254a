//! What a layer sees and says while its shape is inferred.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::layers::op::Op;
use crate::shape::sizes::Shape;
use crate::source::Span;
use crate::spec::args::Arg;
use crate::spec::site::Site;
use std::fmt::Debug;

/// What flows into a layer.
#[derive(Debug, Clone)]
pub struct Operand {
    /// The name of the layer or input that it comes from.
    pub name: String,
    /// Its shape per sample.
    pub shape: Shape,
    /// How that shape came about, for messages: `[16, 6, 6] flattened to 576`.
    pub story: Option<String>,
}

/// The indices that an unpooling layer takes: those of this pooling layer.
#[derive(Debug, Clone)]
pub struct Indices {
    /// The pooling layer's name.
    pub name: String,
    /// What flowed into it.
    pub input: Shape,
    /// What came out.
    pub output: Shape,
    /// The largest index that it can give: `h * width + w` of the last pixel that a window reaches.
    pub largest: usize,
    /// Where the pooling layer is named.
    pub span: Span,
}

/// A layer with everything known.
#[derive(Debug)]
pub struct Checked {
    /// The result's shape per sample.
    pub output: Shape,
    /// How the result's shape came about, where that helps the reader of a later error.
    pub story: Option<String>,
    /// What the later stages use.
    pub op: Box<dyn Op>,
}

impl Checked {
    /// A layer whose result has this shape.
    pub fn new(output: Shape, op: impl Op + 'static) -> Option<Self> {
        Some(Self { output, story: None, op: Box::new(op) })
    }
}

/// What the network around a layer tells for its errors.
pub trait Advice: Debug {
    /// Changes to one layer above with which this one would be right: `` `conv1` (line 9) has padding = 2; with padding = 0 ``.
    fn mends(&self) -> Vec<String>;

    /// Whether there is such a type of layer.
    fn is_type(&self, kind: &str) -> bool;
}

/// What a layer sees while its shape is inferred.
#[derive(Debug)]
pub struct Infer<'a> {
    /// The layer.
    pub site: &'a Site,
    /// What flows in, one for each input.
    pub inputs: Vec<Operand>,
    /// For unpooling.
    pub indices: Option<Indices>,
    /// Whether an unpooling layer takes this layer's indices.
    pub gives_indices: bool,
    /// Where each input is named; `None` where it is the layer above.
    pub input_spans: &'a [Option<Span>],
    /// Where its errors go.
    pub diagnostics: &'a mut Diagnostics,
    /// For its errors; `None` where nobody will read them.
    pub advice: Option<&'a dyn Advice>,
}

impl Infer<'_> {
    /// The only input.
    pub fn input(&self) -> &Operand {
        &self.inputs[0]
    }

    /// The only input's sizes as `N` axes, or an error that says what this layer takes.
    pub fn axes<const N: usize>(&mut self) -> Option<[usize; N]> {
        if let Ok(sizes) = <[usize; N]>::try_from(self.inputs[0].shape.0.as_slice()) {
            return Some(sizes);
        }
        self.refuse_input(["", "[features]", "[channels, length]", "[channels, height, width]"][N]);
        None
    }

    /// Adds the error that the only input has not the axes that this layer takes.
    pub fn refuse_input(&mut self, wanted: &str) {
        let operand = &self.inputs[0];
        let title = format!("{} takes {wanted}, but it receives {}", self.site.title(), operand.shape);
        let label = format!("the input is {}", describe(operand));
        let mut diagnostic = self.site.error(title, self.input_span(0), label);
        let rank = operand.shape.rank();
        let (from, to) = if rank == 3 { ("1d", "2d") } else { ("2d", "1d") };
        let other = self.site.kind.replace(from, to);
        if rank > 1 && other != self.site.kind && self.advice.is_some_and(|advice| advice.is_type(&other)) {
            diagnostic = diagnostic.help(format!("for {} there is type = {other:?}", operand.shape));
        } else if rank == 1 && operand.story.is_some() {
            diagnostic =
                diagnostic.help(format!("put this layer above `{}`, where the shape still has axes", operand.name));
        }
        self.push(diagnostic);
    }

    /// The only input's channels and its `N` axes behind them, or an error that says what this layer takes.
    pub fn channels_and<const N: usize>(&mut self) -> Option<(usize, [usize; N])> {
        match N {
            1 => self.axes::<2>().map(|[channels, length]| (channels, [length; N])),
            _ => self.axes::<3>().map(|[channels, height, width]| {
                let mut sizes = [height; N];
                sizes[N - 1] = width;
                (channels, sizes)
            }),
        }
    }

    /// Where input number `which` is named, or the layer's type where it is the layer above.
    pub fn input_span(&self, which: usize) -> Span {
        self.input_spans.get(which).cloned().flatten().unwrap_or_else(|| self.site.kind_span.clone())
    }

    /// Adds an error at an argument, or at the layer where the argument is a default.
    pub fn refuse<T>(&mut self, arg: &Arg<T>, title: impl Into<String>, label: impl Into<String>) {
        self.refuse_with(arg, title, label, |diagnostic| diagnostic);
    }

    /// [`Infer::refuse`] with notes and help.
    pub fn refuse_with<T>(
        &mut self,
        arg: &Arg<T>,
        title: impl Into<String>,
        label: impl Into<String>,
        more: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        let span = arg.span.clone().unwrap_or_else(|| self.site.span.clone());
        let mut diagnostic = self.site.error(title, span, label);
        if let Some((name, span)) = &arg.given {
            diagnostic = diagnostic.context(span.clone(), format!("`${name}` is given here"));
        }
        self.diagnostics.push(more(diagnostic));
    }

    /// Checks a size that the spec may state against the one that flows in; both are the same afterwards.
    ///
    /// The error says which change to a layer above would make the stated size right, if there is one.
    pub fn stated(&mut self, key: &str, stated: &Option<Arg<usize>>, actual: usize, what: &str) -> Option<usize> {
        let Some(arg) = stated else { return Some(actual) };
        self.agrees(key, arg, actual, what, &format!("write {key} = {actual}, or leave it out to have it inferred"))
    }

    /// [`Infer::stated`] for an argument that has a default of its own; `help` says how to mend it.
    pub fn agrees(&mut self, key: &str, arg: &Arg<usize>, actual: usize, what: &str, help: &str) -> Option<usize> {
        if arg.value == actual {
            return Some(actual);
        }
        let title = format!("{} says {key} = {}, but it receives {actual} {what}", self.site.title(), arg.value);
        let label = format!("the input is {}", describe(&self.inputs[0]));
        let mends = self.mends(&format!("this would be {}", arg.value));
        self.refuse_with(arg, title, label, |diagnostic| {
            mends.into_iter().fold(diagnostic, Diagnostic::note).help(help)
        });
        None
    }

    /// Adds the error that the inputs number `a` and `b` do not go together, at the places where they are named.
    pub fn refuse_pair(
        &mut self,
        a: usize,
        b: usize,
        title: impl Into<String>,
        more: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        let diagnostic = self
            .site
            .error(title, self.input_span(b), describe(&self.inputs[b]))
            .context(self.input_span(a), describe(&self.inputs[a]));
        let mends = self.mends("the shapes would fit");
        self.push(mends.into_iter().fold(more(diagnostic), Diagnostic::note));
    }

    /// What could be changed in a layer above, at most two ways, nearest first:
    /// `` `conv1` (line 9) has padding = 2; with padding = 0 `` and then `would`.
    pub fn mends(&self, would: &str) -> Vec<String> {
        let mends = self.advice.map_or(Vec::new(), |advice| advice.mends());
        mends.into_iter().map(|mend| format!("{mend} {would}")).collect()
    }

    /// Adds an error that this layer made itself.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// An error at the layer's type.
    pub fn refuse_layer(&mut self, title: impl Into<String>, label: impl Into<String>) {
        let diagnostic = self.site.error(title, self.site.kind_span.clone(), label);
        self.diagnostics.push(diagnostic);
    }
}

/// `` `pool2`: [16, 6, 6] ``, or how it came about.
pub fn describe(operand: &Operand) -> String {
    match &operand.story {
        Some(story) => format!("`{}`: {story}", operand.name),
        None => format!("`{}`: {}", operand.name, operand.shape),
    }
}
