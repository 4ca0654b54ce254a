//! Second stage: tables -> typed layers joined by values. Blocks are expanded, names resolved, the order is fixed.

use crate::args::{Arg, Args, Placed, Site, list_names};
use crate::blocks::{self, Block, Copies, Scope};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::header::{self, Header, NAME_RULE, is_name};
use crate::layers::{self, Arity, Layer, LayerType};
use crate::order::{INDICES_RULE, link_indices, order, report_dead};
use crate::source::{Source, Span};
use crate::spec::{Table, Value, ValueKind};
use crate::suggest::nearest;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A value that flows in the network: an input, or the result of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueId {
    /// An input of the network, counted in the order of the text.
    Input(usize),
    /// The result of a node.
    Node(usize),
}

/// A layer with its place in the graph.
#[derive(Debug)]
pub struct Node {
    /// Its name, type and place in the text.
    pub site: Site,
    /// Its arguments; `None` where they could not be read.
    pub layer: Option<Box<dyn Layer>>,
    /// What flows in; `None` where a name could not be resolved.
    pub inputs: Vec<Option<ValueId>>,
    /// Where each of them is named; `None` for the layer above.
    pub input_spans: Vec<Option<Span>>,
    /// For unpooling: the pooling layer whose indices it takes.
    pub indices: Option<usize>,
    /// Where that layer is named.
    pub indices_span: Option<Span>,
    /// Whether an unpooling layer takes this one's indices.
    pub gives_indices: bool,
}

/// The network as typed layers, each after those whose results it takes.
#[derive(Debug)]
pub struct Graph {
    /// What `[network]` says.
    pub header: Header,
    /// The layers in an order in which they can run: the order of the text wherever that is one.
    pub nodes: Vec<Node>,
    /// The values that the network returns; `None` where a name could not be resolved.
    pub outputs: Vec<Option<ValueId>>,
}

/// More layers and placed blocks than any network has; a `repeat` past it is a slip of the finger. The largest of torchvision's
/// networks has some 700.
const MOST_LAYERS: usize = 20_000;

/// More blocks around one another than any network has; placing them recurses, and every one lengthens the names inside. Twice this
/// deep would still fit into a thread's 2 MiB.
const MOST_NESTED: usize = 128;

/// The most bytes of a layer's full name. It is copied wherever the layer is spoken of.
const MOST_NAME: usize = 1024;

/// Builds the graph. Errors go to `diagnostics`; what could be understood is returned for the next stage to check.
pub fn build(source: &Source, root: &Table, diagnostics: &mut Diagnostics) -> Graph {
    report_unknown_tables(root, diagnostics);
    let header = header::read(root, diagnostics);
    let blocks = blocks::read(root, diagnostics);
    let layers = blocks::read_layers(root, diagnostics);
    if layers.is_empty() && !root.keys().any(|key| key == "layer") {
        diagnostics.push(
            Diagnostic::new("the spec has no layers")
                .at(header.span.clone(), "nothing follows")
                .help("add the first one as [[layer]] with a `type`"),
        );
    }
    let mut expander = Expander {
        source,
        blocks: &blocks,
        by_name: blocks.iter().map(|block| (block.key.name.as_str(), block)).collect(),
        slots: (0..header.inputs.len()).map(|i| Slot::Value(ValueId::Input(i))).collect(),
        drafts: Vec::new(),
        names: HashMap::new(),
        placed: 0,
        copies: Copies::default(),
        stopped: false,
        diagnostics,
    };
    let mut scope = HashMap::new();
    for (i, input) in header.inputs.iter().enumerate() {
        scope.insert(input.name.clone(), i);
        expander.names.insert(input.name.clone(), input.span.clone());
    }
    let entry = if header.inputs.is_empty() { expander.unknown() } else { 0 };
    let (values, placed) = (HashMap::new(), Rc::new([]) as Rc<[Placed]>);
    let top = Placing { prefix: "", entry, scope: Scope { block: None, values: &values }, stack: &[], placed: &placed };
    let last = expander.place(&layers, top, &mut scope);
    if expander.stopped {
        return Graph { header, nodes: Vec::new(), outputs: Vec::new() };
    }
    let outputs = match &header.outputs {
        None => vec![last],
        Some(names) => names.iter().map(|name| expander.find_output(name, &scope, &header)).collect(),
    };
    let resolved = resolve_slots(&expander.slots);
    let outputs: Vec<Option<ValueId>> = outputs.into_iter().map(|slot| resolved[slot]).collect();
    report_indices_of_inputs(&expander.drafts, &resolved, &header, expander.diagnostics);
    let nodes: Vec<Node> = expander.drafts.into_iter().map(|draft| draft.node(&resolved)).collect();
    blocks::report_unused(&blocks, diagnostics);
    let (nodes, outputs) = order(nodes, outputs, diagnostics);
    let mut nodes = link_indices(nodes, diagnostics);
    report_dead(&header, &mut nodes, &outputs, diagnostics);
    Graph { header, nodes, outputs }
}

fn report_unknown_tables(root: &Table, diagnostics: &mut Diagnostics) {
    const KNOWN: [&str; 3] = ["network", "layer", "block"];
    for (key, _) in root.entries.iter().filter(|(key, _)| !KNOWN.contains(&key.name.as_str())) {
        let diagnostic = Diagnostic::new(format!("a spec has no `{}`", key.name))
            .at(key.span.clone(), "only [network], [[layer]] and [block.name] stand at the top");
        diagnostics.push(match nearest(&key.name, KNOWN) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
    }
}

/// A name's meaning while the graph is built.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Value(ValueId),
    /// What flows into a placed block, or a layer named before it stands in the text: known later.
    Alias(Option<usize>),
}

type SlotId = usize;

/// A layer whose inputs are not resolved yet.
#[derive(Debug)]
struct Draft {
    site: Site,
    layer: Option<Box<dyn Layer>>,
    inputs: Vec<SlotId>,
    input_spans: Vec<Option<Span>>,
    indices: Option<SlotId>,
    indices_span: Option<Span>,
}

impl Draft {
    fn node(self, resolved: &[Option<ValueId>]) -> Node {
        let indices = self.indices.and_then(|slot| resolved[slot]).and_then(|value| match value {
            ValueId::Node(node) => Some(node),
            ValueId::Input(_) => None,
        });
        Node {
            site: self.site,
            layer: self.layer,
            inputs: self.inputs.iter().map(|&slot| resolved[slot]).collect(),
            input_spans: self.input_spans,
            indices,
            indices_span: self.indices_span,
            gives_indices: false,
        }
    }
}

/// What each slot stands for, with aliases followed; `None` for a name that is unknown or stands for itself.
fn resolve_slots(slots: &[Slot]) -> Vec<Option<ValueId>> {
    let mut resolved: Vec<Option<ValueId>> = vec![None; slots.len()];
    let mut seen = vec![false; slots.len()];
    for start in 0..slots.len() {
        let mut path = Vec::new();
        let mut at = Some(start);
        let mut value = None;
        while let Some(slot) = at {
            if seen[slot] {
                value = resolved[slot]; // `None` where the path has come back to itself.
                break;
            }
            seen[slot] = true;
            path.push(slot);
            at = match slots[slot] {
                Slot::Value(known) => {
                    value = Some(known);
                    None
                }
                Slot::Alias(next) => next,
            };
        }
        for slot in path {
            resolved[slot] = value;
        }
    }
    resolved
}

/// Where a run of layers is placed.
#[derive(Clone, Copy)]
struct Placing<'a> {
    prefix: &'a str,
    entry: SlotId,
    scope: Scope<'a>,
    /// The blocks that are being placed, outermost first.
    stack: &'a [&'a str],
    placed: &'a Rc<[Placed]>,
}

/// A layer of the run at hand, before the names in it are resolved.
struct Pending {
    site: Site,
    previous: SlotId,
    input: Option<Arg<String>>,
    many: Option<Vec<Arg<String>>>,
    indices: Option<Arg<String>>,
    target: Target,
}

/// The names that the layers of a run may take.
struct Known<'a> {
    scope: &'a HashMap<String, SlotId>,
    sorted: OnceCell<Vec<&'a str>>,
}

impl<'a> Known<'a> {
    /// In an order that does not change from run to run, for the nearest to one that is not known.
    fn sorted(&self) -> &[&'a str] {
        self.sorted.get_or_init(|| {
            let mut names: Vec<&str> = self.scope.keys().map(String::as_str).collect();
            names.sort_unstable();
            names
        })
    }
}

enum Target {
    Draft(usize),
    /// The alias that is the first instance's `@input`.
    Entry(SlotId),
}

struct Expander<'a> {
    source: &'a Source,
    blocks: &'a [Block],
    by_name: HashMap<&'a str, &'a Block>,
    slots: Vec<Slot>,
    drafts: Vec<Draft>,
    /// Full names and where they are given.
    names: HashMap<String, Span>,
    /// Layers and blocks placed so far.
    placed: usize,
    copies: Copies,
    /// Whether a limit was met: what is placed is not the network, and nothing more is said of it.
    stopped: bool,
    diagnostics: &'a mut Diagnostics,
}

impl Expander<'_> {
    fn slot(&mut self, slot: Slot) -> SlotId {
        self.slots.push(slot);
        self.slots.len() - 1
    }

    /// A value that nobody knows, because of an error that has been reported.
    fn unknown(&mut self) -> SlotId {
        self.slot(Slot::Alias(None))
    }

    /// Places a run of layers: first all of them, so that every name is known, then the names in them. Returns the last one's slot.
    fn place(&mut self, layers: &[Table], placing: Placing<'_>, scope: &mut HashMap<String, SlotId>) -> SlotId {
        let mut pending = Vec::new();
        let mut previous = placing.entry;
        let mut counts: HashMap<String, usize> = HashMap::new();
        for table in layers {
            self.count_one(table);
            if self.stopped {
                break;
            }
            let table = placing.scope.substitute(table, &mut self.copies, self.diagnostics);
            if self.copies.is_spent() || self.diagnostics.is_full() {
                self.stopped = true;
                break;
            }
            let (kind, is_block) = self.kind_of(&table, placing);
            let count = counts.entry(kind.clone()).or_default();
            *count += 1;
            let (local, name_span) = self.local_name(&table, &kind, *count);
            let full = format!("{}{local}", placing.prefix);
            if full.len() > MOST_NAME {
                self.stop(format!("the full name of a layer has more than {MOST_NAME} letters"), &name_span);
                break;
            }
            let line = self.source.line(table.span.start);
            let kind_span = table.get("type").or(table.get("block")).map_or(&table.span, |value| &value.span).clone();
            let site = Site::layer(&full, (&kind, kind_span), table.span.clone(), line, placing.placed.clone());
            self.claim(&full, &name_span, &site);
            let output = if is_block {
                self.place_block(&table, site, placing, previous, &local, &mut pending)
            } else {
                self.place_layer(&table, site, previous, &mut pending)
            };
            scope.insert(local, output);
            previous = output;
        }
        let known = Known { scope, sorted: OnceCell::new() };
        for layer in pending {
            if self.stopped || self.diagnostics.is_full() {
                break;
            }
            self.resolve(layer, placing, &known);
        }
        previous
    }

    /// Counts a layer or a placed block. Past the most that a network has it is an error, and nothing more is to be placed.
    fn count_one(&mut self, table: &Table) {
        self.placed += 1;
        if self.placed > MOST_LAYERS && !self.stopped {
            self.stop(format!("the network has more than {MOST_LAYERS} layers and blocks"), &table.span);
        }
    }

    /// Adds the error that a limit is met.
    fn stop(&mut self, title: String, span: &Span) {
        self.diagnostics.push(Diagnostic::new(title).at(span.clone(), "while this was being placed"));
        self.stopped = true;
    }

    /// The type or the block of a layer; `?` where neither can be read.
    fn kind_of(&mut self, table: &Table, placing: Placing<'_>) -> (String, bool) {
        let title = |what: &str| format!("a layer {what}");
        match (table.get("type"), table.get("block")) {
            (Some(value), None) => match value.as_str() {
                Some(kind) => {
                    if layers::find(kind).is_none() {
                        self.report_unknown_type(kind, value, placing);
                    }
                    return (kind.to_string(), false);
                }
                None => {
                    let title = format!("a layer's type must be a word, not {}", value.describe());
                    self.diagnostics.push(Diagnostic::new(title).at(value.span.clone(), "write type = \"conv2d\""));
                }
            },
            (None, Some(value)) => match value.as_str() {
                Some(kind) => return (kind.to_string(), true),
                None => {
                    let title = format!("a layer's block must be a name, not {}", value.describe());
                    self.diagnostics.push(Diagnostic::new(title).at(value.span.clone(), "the name of a block"));
                }
            },
            (Some(_), Some(block)) => {
                let diagnostic = Diagnostic::new(title("has both a type and a block"));
                self.diagnostics.push(diagnostic.at(block.span.clone(), "keep one of the two"));
            }
            (None, None) => {
                let diagnostic = Diagnostic::new(title("has no type"))
                    .at(table.span.clone(), "no `type` below this line")
                    .help("add `type = \"conv2d\"` or another type to the layer");
                self.diagnostics.push(diagnostic);
            }
        }
        ("?".into(), false)
    }

    fn report_unknown_type(&mut self, kind: &str, value: &Value, placing: Placing<'_>) {
        let mut diagnostic =
            Diagnostic::new(format!("there is no layer type {kind:?}")).at(value.span.clone(), "not known");
        for Placed { span, instance } in placing.placed.iter() {
            diagnostic = diagnostic.context(span.clone(), format!("placed here as `{instance}`"));
        }
        if self.by_name.contains_key(kind) {
            diagnostic = diagnostic.help(format!("`{kind}` is a block: write block = {kind:?}"));
        } else if let Some(near) = nearest(kind, layers::LAYERS.iter().map(|layer| layer.name)) {
            diagnostic = diagnostic.help(format!("did you mean {near:?}?"));
        } else {
            let names = list_names(layers::LAYERS.iter().map(|layer| layer.name));
            diagnostic = diagnostic.help(format!("the types are {names}"));
        }
        self.diagnostics.push(diagnostic);
    }

    fn local_name(&mut self, table: &Table, kind: &str, count: usize) -> (String, Span) {
        let generated = format!("{kind}{count}");
        let Some(value) = table.get("name") else { return (generated, table.span.clone()) };
        match value.as_str() {
            Some(name) if is_name(name) => (name.to_string(), value.span.clone()),
            Some(name) => {
                let title = format!("a layer cannot be called {name:?}");
                self.diagnostics.push(Diagnostic::new(title).at(value.span.clone(), NAME_RULE));
                (generated, value.span.clone())
            }
            None => {
                let title = format!("a layer's name must be text, not {}", value.describe());
                self.diagnostics.push(Diagnostic::new(title).at(value.span.clone(), "must be text"));
                (generated, value.span.clone())
            }
        }
    }

    /// Notes a full name; one used twice is an error.
    fn claim(&mut self, full: &str, span: &Span, site: &Site) {
        if let Some(first) = self.names.get(full) {
            let title = format!("the name `{full}` is used twice");
            let diagnostic =
                site.error(title, span.clone(), "used again here").context(first.clone(), "first used here");
            self.diagnostics.push(diagnostic);
        } else {
            self.names.insert(full.to_string(), span.clone());
        }
    }

    fn place_layer(&mut self, table: &Table, site: Site, previous: SlotId, pending: &mut Vec<Pending>) -> SlotId {
        let draft = self.drafts.len();
        let kind = layers::find(&site.kind);
        let mut args = Args::new(&site, table, self.diagnostics);
        for key in ["name", "type"] {
            args.value(key);
        }
        let (mut input, mut many, mut indices, mut layer) = (None, None, None, None);
        if let Some(LayerType { arity, takes_indices, parse, .. }) = kind {
            match arity {
                Arity::One => input = args.reference("input"),
                Arity::Many => {
                    many = args.references("inputs");
                    if table.get("inputs").is_none() || many.as_ref().is_some_and(|names| names.len() < 2) {
                        let at = table.entry("inputs").map_or(&table.span, |(_, value)| &value.span).clone();
                        let value = Value { kind: ValueKind::Boolean(false), span: at, given: None };
                        let title = format!("{} needs two inputs or more", site.title());
                        args.refuse_with(&value, title, "too few inputs", |diagnostic| {
                            diagnostic.help("name them: inputs = [\"a\", \"b\"]")
                        });
                    }
                }
            }
            if *takes_indices {
                indices = args.required_reference("indices");
            }
            let parsed = parse(&mut args);
            if args.finish() {
                layer = parsed;
            }
        }
        self.drafts.push(Draft {
            site: site.clone(),
            layer,
            inputs: Vec::new(),
            input_spans: Vec::new(),
            indices: None,
            indices_span: None,
        });
        pending.push(Pending { site, previous, input, many, indices, target: Target::Draft(draft) });
        self.slot(Slot::Value(ValueId::Node(draft)))
    }

    fn place_block(
        &mut self,
        table: &Table,
        site: Site,
        placing: Placing<'_>,
        previous: SlotId,
        local: &str,
        pending: &mut Vec<Pending>,
    ) -> SlotId {
        let mut args = Args::new(&site, table, self.diagnostics);
        for key in ["name", "block", "with"] {
            args.value(key);
        }
        let input = args.reference("input");
        let repeat = args.size("repeat").map(|arg| arg.value);
        let entry = self.slots.len();
        let well = args.finish();
        self.slots.push(Slot::Alias(None));
        pending.push(Pending {
            site: site.clone(),
            previous,
            input,
            many: None,
            indices: None,
            target: Target::Entry(entry),
        });
        let Some(&block) = self.by_name.get(site.kind.as_str()) else {
            self.report_unknown_block(&site, table);
            return self.unknown();
        };
        block.placed.set(true);
        if placing.stack.contains(&site.kind.as_str()) {
            let span = table.get("block").map_or(table.span.clone(), |value| value.span.clone());
            let chain: Vec<&str> = placing.stack.iter().copied().chain([site.kind.as_str()]).collect();
            let title = format!("block `{}` places itself", site.kind);
            self.diagnostics.push(
                Diagnostic::new(title)
                    .at(span, "the block would never end")
                    .note(format!("the blocks around this layer: {}", chain.join(" > "))),
            );
            return self.unknown();
        }
        let place_span = table.get("block").map_or(&table.span, |value| &value.span);
        if placing.stack.len() == MOST_NESTED {
            self.stop(format!("blocks are nested more than {MOST_NESTED} deep"), place_span);
            return self.unknown();
        }
        let values = blocks::bind(block, table.get("with"), &mut self.copies, self.diagnostics);
        if !well {
            return self.unknown();
        }
        block.complete.set(true);
        let stack: Vec<&str> = placing.stack.iter().copied().chain([site.kind.as_str()]).collect();
        let mut output = entry;
        for i in 0..repeat.unwrap_or(1) {
            let instance = match repeat {
                Some(_) => format!("{}{local}.{i}", placing.prefix),
                None => format!("{}{local}", placing.prefix),
            };
            let here = Placed { span: place_span.clone(), instance: instance.as_str().into() };
            let placed: Rc<[Placed]> = placing.placed.iter().cloned().chain([here]).collect();
            let prefix = format!("{instance}.");
            let inner = Placing {
                prefix: &prefix,
                entry: output,
                scope: Scope { block: Some(block), values: &values },
                stack: &stack,
                placed: &placed,
            };
            output = self.place(&block.layers, inner, &mut HashMap::new());
            self.count_one(table);
            if self.stopped {
                break;
            }
        }
        output
    }

    fn report_unknown_block(&mut self, site: &Site, table: &Table) {
        let span = table.get("block").map_or(table.span.clone(), |value| value.span.clone());
        let diagnostic = site.error(format!("there is no block `{}`", site.kind), span, "not defined in this file");
        let near = nearest(&site.kind, self.blocks.iter().map(|block| block.key.name.as_str()));
        // The block that was meant is not unused.
        for block in self.blocks.iter().filter(|block| Some(block.key.name.as_str()) == near) {
            block.placed.set(true);
        }
        self.diagnostics.push(match near {
            Some(near) => diagnostic.help(format!("did you mean {near:?}?")),
            None => diagnostic.help(format!("define it: [block.{}] and [[block.{}.layer]]", site.kind, site.kind)),
        });
    }

    fn resolve(&mut self, layer: Pending, placing: Placing<'_>, known: &Known<'_>) {
        let Pending { site, previous, input, many, indices, target } = layer;
        let inputs: Vec<SlotId> = match (&many, &input) {
            (Some(names), _) => names.iter().map(|name| self.look_up(name, &site, placing, known)).collect(),
            (None, Some(name)) => vec![self.look_up(name, &site, placing, known)],
            (None, None) => vec![previous],
        };
        let input_spans = match (&many, &input) {
            (Some(names), _) => names.iter().map(|name| name.span.clone()).collect(),
            (None, name) => vec![name.as_ref().and_then(|name| name.span.clone())],
        };
        match target {
            Target::Entry(alias) => self.slots[alias] = Slot::Alias(Some(inputs[0])),
            Target::Draft(draft) => {
                self.drafts[draft].indices_span = indices.as_ref().and_then(|name| name.span.clone());
                let indices = indices.map(|name| self.look_up(&name, &site, placing, known));
                self.drafts[draft].inputs = inputs;
                self.drafts[draft].input_spans = input_spans;
                self.drafts[draft].indices = indices;
            }
        }
    }

    fn look_up(&mut self, name: &Arg<String>, site: &Site, placing: Placing<'_>, known: &Known<'_>) -> SlotId {
        if name.value == "@input" && placing.scope.block.is_some() {
            return placing.entry;
        }
        if let Some(&slot) = known.scope.get(&name.value) {
            return slot;
        }
        let span = name.span.clone().unwrap_or_else(|| site.span.clone());
        let title = format!("{} takes `{}`, which does not exist", site.title(), name.value);
        let mut diagnostic = site.error(title, span, "no layer or input is called so");
        if name.value == "@input" {
            diagnostic =
                diagnostic.help("@input is what flows into a block: outside of a block name a layer or an input");
        } else if let Some(near) = nearest(&name.value, known.sorted().iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        }
        if placing.scope.block.is_some() && self.names.contains_key(&name.value) {
            diagnostic = diagnostic.note("a block sees its own layers and @input, nothing outside");
        }
        self.diagnostics.push(diagnostic);
        self.unknown()
    }

    /// An output: a layer of the top, or a layer inside a placed block by its full name.
    fn find_output(&mut self, name: &Arg<String>, scope: &HashMap<String, SlotId>, header: &Header) -> SlotId {
        let is_input = header.inputs.iter().any(|input| input.name == name.value);
        if let (Some(&slot), false) = (scope.get(&name.value), is_input) {
            return slot;
        }
        if let Some(draft) = self.drafts.iter().position(|draft| draft.site.name == name.value) {
            return self.slot(Slot::Value(ValueId::Node(draft)));
        }
        let span = name.span.clone().unwrap_or_else(|| header.span.clone());
        let title = if is_input {
            format!("output `{}` is an input, not a layer", name.value)
        } else {
            format!("output `{}` does not exist", name.value)
        };
        let diagnostic = Diagnostic::new(title).at(span, "no layer is called so");
        let names: Vec<&str> = self.drafts.iter().map(|draft| draft.site.name.as_str()).collect();
        self.diagnostics.push(match nearest(&name.value, names) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
        self.unknown()
    }
}

/// Reports layers that take indices from an input of the network.
fn report_indices_of_inputs(
    drafts: &[Draft],
    resolved: &[Option<ValueId>],
    header: &Header,
    diagnostics: &mut Diagnostics,
) {
    for Draft { site, indices, indices_span, .. } in drafts {
        if let Some(ValueId::Input(i)) = indices.and_then(|slot| resolved[slot]) {
            let title = format!("{} takes indices from the input `{}`", site.title(), header.inputs[i].name);
            let span = indices_span.clone().unwrap_or_else(|| site.span.clone());
            diagnostics.push(site.error(title, span, INDICES_RULE));
        }
    }
}
