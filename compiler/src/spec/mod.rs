//! TOML text -> [`Graph`]: the text's tables, the layers in them with their arguments read, blocks expanded, names resolved, an order
//! in which the layers can run.

pub mod args;
pub mod argument;
mod blocks;
mod expansion;
pub mod header;
mod meanings;
mod names;
mod order;
mod parameters;
pub mod site;
mod slots;
pub mod table;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::{Graph, Node, ValueId};
use crate::source::Source;
use crate::suggest::nearest;
use expansion::{Expander, Placing};
use header::Header;
use order::{INDICES_RULE, link_indices, order, report_dead};
use parameters::{Copies, Scope};
use site::Placed;
use slots::{Draft, Slot, resolve_slots};
use std::collections::HashMap;
use std::rc::Rc;
use table::Table;

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
