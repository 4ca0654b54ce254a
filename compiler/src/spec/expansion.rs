//! Blocks put in place: tables of layers -> layers with their arguments read, each under its full name.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::ValueId;
use crate::layers::contract::{Arity, LayerType};
use crate::layers::registry::{self, LAYERS};
use crate::source::{Source, Span};
use crate::spec::args::Args;
use crate::spec::blocks::Block;
use crate::spec::meanings;
use crate::spec::parameters::{Copies, Scope, bind};
use crate::spec::site::{NAME_RULE, Placed, Site, is_name};
use crate::spec::slots::{Draft, Known, Pending, Slot, SlotId, Target};
use crate::spec::table::{Table, Value, ValueKind};
use crate::suggest::{list_names, nearest, plain};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

/// More layers and placed blocks than any network has; a `repeat` past it is a slip of the finger. The largest of torchvision's
/// networks has some 700.
const MOST_LAYERS: usize = 20_000;

/// More blocks around one another than any network has; placing them recurses, and every one lengthens the names inside. Twice this
/// deep would still fit into a thread's 2 MiB.
const MOST_NESTED: usize = 128;

/// The most bytes of a layer's full name. It is copied wherever the layer is spoken of.
const MOST_NAME: usize = 1024;

/// Where a run of layers is placed.
#[derive(Clone, Copy)]
pub(super) struct Placing<'a> {
    pub(super) prefix: &'a str,
    pub(super) entry: SlotId,
    pub(super) scope: Scope<'a>,
    /// The blocks that are being placed, outermost first.
    pub(super) stack: &'a [&'a str],
    pub(super) placed: &'a Rc<[Placed]>,
}

pub(super) struct Expander<'a> {
    pub(super) source: &'a Source,
    pub(super) blocks: &'a [Block],
    pub(super) by_name: HashMap<&'a str, &'a Block>,
    pub(super) slots: Vec<Slot>,
    pub(super) drafts: Vec<Draft>,
    /// Full names and where they are given.
    pub(super) names: HashMap<String, Span>,
    /// Layers and blocks placed so far.
    pub(super) placed: usize,
    pub(super) copies: Copies,
    /// Whether a limit was met: what is placed is not the network, and nothing more is said of it.
    pub(super) stopped: bool,
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl Expander<'_> {
    pub(super) fn slot(&mut self, slot: Slot) -> SlotId {
        self.slots.push(slot);
        self.slots.len() - 1
    }

    /// A value that nobody knows, because of an error that has been reported.
    pub(super) fn unknown(&mut self) -> SlotId {
        self.slot(Slot::Alias(None))
    }

    /// Places a run of layers: first all of them, so that every name is known, then the names in them. Returns the last one's slot.
    pub(super) fn place(
        &mut self,
        layers: &[Table],
        placing: Placing<'_>,
        scope: &mut HashMap<String, SlotId>,
    ) -> SlotId {
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
                    if registry::find(kind).is_none() {
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
        } else if let Some(same) = LAYERS.iter().find(|layer| plain(layer.name) == meanings::bare(kind)) {
            diagnostic = diagnostic.help(format!("did you mean {:?}?", same.name));
        } else if let Some(answer) = meanings::of_type(kind) {
            diagnostic = diagnostic.help(answer);
        } else if let Some(near) = nearest(kind, LAYERS.iter().map(|layer| layer.name)) {
            diagnostic = diagnostic.help(format!("did you mean {near:?}?"));
        } else {
            let names = list_names(LAYERS.iter().map(|layer| layer.name));
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
        let kind = registry::find(&site.kind);
        let mut args = Args::new(&site, table, self.diagnostics);
        for key in ["name", "type"] {
            args.value(key);
        }
        let (mut input, mut many, mut indices, mut layer) = (None, None, None, None);
        if let Some(LayerType { arity, takes_indices, arguments, parse, .. }) = kind {
            args = args.with(arguments);
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
                indices = args.reference("indices");
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
        let values = bind(block, table.get("with"), &mut self.copies, self.diagnostics);
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
}
