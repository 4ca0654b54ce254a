//! Third stage: every shape, parameter and multiply count. Checks what the spec states against what flows in.

use crate::args::{Arg, Site};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::{Graph, Node, ValueId};
use crate::header::Header;
use crate::layers::{self, Layer, Op};
use crate::source::Span;
use std::collections::HashMap;
use std::fmt;

/// The sizes of one sample: `[features]`, `[channels, length]` or `[channels, height, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(pub Vec<usize>);

impl Shape {
    /// The product of the sizes, or `None` where its bytes are more than memory can address.
    pub fn checked_len(&self) -> Option<usize> {
        checked_product(&self.0)
    }

    /// The product of the sizes. The shape stage has refused those that overflow.
    pub fn len(&self) -> usize {
        self.0.iter().product()
    }

    /// Never true: sizes are 1 or more.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of axes without the batch.
    pub fn rank(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The largest number of floats that one tensor may have: half of what 48 address bits reach, 2^47 bytes, is 2^45 floats.
/// Below it no sum or product in the later stages overflows 64 bits.
pub const MOST_FLOATS: usize = 1 << 45;

/// The product of sizes, or `None` past [`MOST_FLOATS`].
pub fn checked_product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size).filter(|&p| p <= MOST_FLOATS))
}

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
    input_spans: &'a [Option<Span>],
    diagnostics: &'a mut Diagnostics,
    /// Tells what a changed layer above would bring: the mended layer's site and what was changed.
    what_if: Option<WhatIf<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct WhatIf<'a> {
    graph: &'a Graph,
    node: usize,
    /// Of the nodes before it.
    results: &'a [Option<Checked>],
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
        if rank > 1 && other != self.site.kind && layers::find(&other).is_some() {
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
        let mends = self.what_if.map_or(Vec::new(), |what_if| what_if.mends());
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

/// A node with everything known.
#[derive(Debug)]
pub struct ShapedNode {
    /// Its name, type and place in the text.
    pub site: Site,
    /// What flows in.
    pub inputs: Vec<ValueId>,
    /// For unpooling: the pooling layer whose indices it takes.
    pub indices: Option<usize>,
    /// Whether an unpooling layer takes this one's indices.
    pub gives_indices: bool,
    /// The result's shape per sample.
    pub output: Shape,
    /// What the later stages use.
    pub op: Box<dyn Op>,
}

/// The network with everything known: nothing in it is unchecked.
#[derive(Debug)]
pub struct Shaped {
    /// What `[network]` says; every input has a shape.
    pub header: Header,
    /// Shapes of the inputs.
    pub inputs: Vec<Shape>,
    /// The layers in an order in which they can run.
    pub nodes: Vec<ShapedNode>,
    /// The values that the network returns.
    pub outputs: Vec<ValueId>,
}

impl Shaped {
    /// The shape of a value.
    pub fn shape(&self, value: ValueId) -> &Shape {
        match value {
            ValueId::Input(i) => &self.inputs[i],
            ValueId::Node(n) => &self.nodes[n].output,
        }
    }

    /// The name of a value.
    pub fn name(&self, value: ValueId) -> &str {
        match value {
            ValueId::Input(i) => &self.header.inputs[i].name,
            ValueId::Node(n) => &self.nodes[n].site.name,
        }
    }
}

/// Infers and checks all shapes. With errors there is no shaped network.
pub fn infer(graph: Graph, diagnostics: &mut Diagnostics) -> Option<Shaped> {
    let mut results: Vec<Option<Checked>> = Vec::with_capacity(graph.nodes.len());
    for (i, node) in graph.nodes.iter().enumerate() {
        if diagnostics.is_full() {
            return None;
        }
        let operands = operands(&graph, node, |n| results[n].as_ref());
        let checked = operands.zip(node.layer.as_deref()).and_then(|((inputs, indices), layer)| {
            let what_if = Some(WhatIf { graph: &graph, node: i, results: &results });
            let gives_indices = node.gives_indices;
            let input_spans = &node.input_spans;
            let mut cx = Infer { site: &node.site, inputs, indices, gives_indices, input_spans, diagnostics, what_if };
            check(layer, &mut cx)
        });
        results.push(checked);
    }
    check_totals(&graph, &results, diagnostics);
    if diagnostics.is_empty() { assemble(graph, results) } else { None }
}

/// A layer's own check, then the sizes of what it makes.
fn check(layer: &dyn Layer, cx: &mut Infer<'_>) -> Option<Checked> {
    let checked = layer.infer(cx)?;
    if checked.output.checked_len().is_none() {
        let title = format!("the result of {} is more than memory can address", cx.site.title());
        // A size past 64 bits has become the largest one.
        let label = match checked.output.0.contains(&usize::MAX) {
            true => "one of its sizes alone is".to_string(),
            false => format!("its shape is {}", checked.output),
        };
        cx.refuse_layer(title, label);
        return None;
    }
    for parameter in checked.op.parameters() {
        if checked_product(&parameter.shape).is_none() {
            let title = format!("{} of {} is more than memory can address", parameter.name, cx.site.title());
            cx.refuse_layer(title, format!("its shape is {:?}", parameter.shape));
            return None;
        }
    }
    Some(checked)
}

fn operands<'a>(
    graph: &Graph,
    node: &Node,
    result: impl Fn(usize) -> Option<&'a Checked>,
) -> Option<(Vec<Operand>, Option<Indices>)> {
    let operand = |value: &Option<ValueId>| match (*value)? {
        ValueId::Input(i) => {
            let input = &graph.header.inputs[i];
            Some(Operand { name: input.name.clone(), shape: input.shape.clone()?, story: None })
        }
        ValueId::Node(n) => {
            let checked = result(n)?;
            let name = graph.nodes[n].site.name.clone();
            Some(Operand { name, shape: checked.output.clone(), story: checked.story.clone() })
        }
    };
    let inputs: Option<Vec<Operand>> = node.inputs.iter().map(operand).collect();
    let indices = match node.indices {
        None => None,
        Some(source) => {
            let checked = result(source)?;
            let input = operand(&graph.nodes[source].inputs[0])?.shape;
            let largest = checked.op.largest_index()?;
            let name = graph.nodes[source].site.name.clone();
            let span = node.indices_span.clone().unwrap_or_else(|| node.site.span.clone());
            Some(Indices { name, input, output: checked.output.clone(), largest, span })
        }
    };
    Some((inputs?, indices))
}

impl WhatIf<'_> {
    /// The most layers above an error whose arguments are tried.
    const DEPTH: usize = 24;
    /// The most changes that are told.
    const MOST: usize = 2;
    /// The most inputs of layers that are looked at for one error: 24 layers, each with ten changes and a hundred layers below.
    const WORK: usize = 24_000;

    /// Changes to one layer above with which this node would be right: `` `conv1` (line 9) has padding = 2; with padding = 0 ``.
    fn mends(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut work = Self::WORK;
        for above in self.ancestors() {
            if found.len() == Self::MOST {
                break;
            }
            let node = &self.graph.nodes[above];
            let Some(layer) = &node.layer else { continue };
            for (change, changed) in layer.variants() {
                if self.fits(above, changed.as_ref(), &mut work) {
                    found.push((above, change));
                    break;
                }
            }
        }
        found.into_iter().map(|(above, change)| format!("`{}` {change}", self.graph.nodes[above].site.name)).collect()
    }

    /// The nodes above, nearest first.
    fn ancestors(&self) -> Vec<usize> {
        let mut seen = vec![self.node];
        let mut at = 0;
        while at < seen.len() && seen.len() <= Self::DEPTH {
            for value in self.graph.nodes[seen[at]].inputs.iter().flatten() {
                match value {
                    ValueId::Node(n) if seen.len() <= Self::DEPTH && !seen.contains(n) => seen.push(*n),
                    _ => {}
                }
            }
            at += 1;
        }
        seen.split_off(1)
    }

    /// Whether this node, and all between, are right once `changed` stands in place of the layer `above`. Not known is no.
    fn fits(&self, above: usize, changed: &dyn Layer, work: &mut usize) -> bool {
        let mut anew: HashMap<usize, Checked> = HashMap::new();
        for (i, node) in self.graph.nodes.iter().enumerate().take(self.node + 1).skip(above) {
            let Some(left) = work.checked_sub(1 + node.inputs.len()) else { return false };
            *work = left;
            let takes = |source: &usize| anew.contains_key(source);
            let sources = node.inputs.iter().flatten().filter_map(|value| match value {
                ValueId::Node(n) => Some(*n),
                ValueId::Input(_) => None,
            });
            if i != above && !sources.chain(node.indices).any(|source| takes(&source)) {
                continue;
            }
            let layer = if i == above { Some(changed) } else { node.layer.as_deref() };
            let operands = operands(self.graph, node, |n| anew.get(&n).or(self.results[n].as_ref()));
            let Some(((inputs, indices), layer)) = operands.zip(layer) else { return false };
            let mut silent = Diagnostics::default();
            let (gives_indices, input_spans) = (node.gives_indices, node.input_spans.as_slice());
            let diagnostics = &mut silent;
            let what_if = None;
            let mut cx = Infer { site: &node.site, inputs, indices, gives_indices, input_spans, diagnostics, what_if };
            let checked = check(layer, &mut cx);
            match checked {
                Some(checked) if silent.is_empty() => anew.insert(i, checked),
                _ => return false,
            };
        }
        anew.contains_key(&self.node)
    }
}

/// The whole network's parameters and values must be countable too.
fn check_totals(graph: &Graph, results: &[Option<Checked>], diagnostics: &mut Diagnostics) {
    let mut parameters = 0usize;
    let mut values = 0usize;
    for (node, checked) in graph.nodes.iter().zip(results) {
        let Some(checked) = checked else { continue };
        let own: usize = checked.op.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
        parameters = parameters.saturating_add(own);
        values = values.saturating_add(checked.output.len());
        for (total, what) in [(parameters, "parameters"), (values, "values")] {
            if total > MOST_FLOATS {
                let title = format!("the network's {what} are more than memory can address");
                let diagnostic = node.site.error(title, node.site.span.clone(), "up to this layer");
                diagnostics.push(diagnostic);
                return;
            }
        }
    }
}

fn assemble(graph: Graph, results: Vec<Option<Checked>>) -> Option<Shaped> {
    let inputs: Option<Vec<Shape>> = graph.header.inputs.iter().map(|input| input.shape.clone()).collect();
    let nodes = graph.nodes.into_iter().zip(results).map(|(node, checked)| {
        let checked = checked?;
        let inputs: Option<Vec<ValueId>> = node.inputs.into_iter().collect();
        let Node { site, indices, gives_indices, .. } = node;
        Some(ShapedNode { site, inputs: inputs?, indices, gives_indices, output: checked.output, op: checked.op })
    });
    let nodes: Option<Vec<ShapedNode>> = nodes.collect();
    let outputs: Option<Vec<ValueId>> = graph.outputs.into_iter().collect();
    Some(Shaped { header: graph.header, inputs: inputs?, nodes: nodes?, outputs: outputs? })
}
