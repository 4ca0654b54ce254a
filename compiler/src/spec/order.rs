//! The order of a graph's layers, and what only shows once all of them are joined: cycles, indices from layers that have none, layers
//! that nothing uses.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::{Node, ValueId};
use crate::layers::registry;
use crate::spec::header::Header;
use std::collections::BTreeSet;

/// The most layers of a cycle that its error names.
const MOST_TOLD: usize = 16;

pub(crate) const INDICES_RULE: &str = "indices come from a max_pool2d";

/// Sorts the nodes so that each comes after those it takes from, keeping the order of the text where that is possible.
pub(crate) fn order(
    nodes: Vec<Node>,
    outputs: Vec<Option<ValueId>>,
    diagnostics: &mut Diagnostics,
) -> (Vec<Node>, Vec<Option<ValueId>>) {
    let sources = |node: &Node| -> Vec<usize> {
        let values = node.inputs.iter().flatten().filter_map(|value| match value {
            ValueId::Node(n) => Some(*n),
            ValueId::Input(_) => None,
        });
        values.chain(node.indices).collect()
    };
    let mut waiting: Vec<usize> = nodes.iter().map(|node| sources(node).len()).collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for source in sources(node) {
            users[source].push(i);
        }
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|&i| waiting[i] == 0).collect();
    let mut position = vec![usize::MAX; nodes.len()];
    let mut sorted = Vec::with_capacity(nodes.len());
    while let Some(next) = ready.pop_first() {
        position[next] = sorted.len();
        sorted.push(next);
        for &user in &users[next] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.insert(user);
            }
        }
    }
    if sorted.len() < nodes.len() {
        report_cycle(&nodes, &position, sources, diagnostics);
    }
    let place = |value: ValueId| match value {
        ValueId::Node(n) => (position[n] != usize::MAX).then(|| ValueId::Node(position[n])),
        input => Some(input),
    };
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let sorted = sorted.into_iter().filter_map(|i| nodes[i].take()).map(|mut node| {
        node.inputs = node.inputs.iter().map(|value| value.and_then(place)).collect();
        node.indices = node.indices.map(|n| position[n]);
        node
    });
    (sorted.collect(), outputs.into_iter().map(|value| value.and_then(place)).collect())
}

/// Names the layers of one cycle, in the order in which values would flow.
fn report_cycle(
    nodes: &[Node],
    position: &[usize],
    sources: impl Fn(&Node) -> Vec<usize>,
    diagnostics: &mut Diagnostics,
) {
    let inside = |i: &usize| position[*i] == usize::MAX;
    let Some(mut at) = (0..nodes.len()).find(inside) else { return };
    let mut path = Vec::new();
    let mut on_path = vec![false; nodes.len()];
    while !on_path[at] {
        on_path[at] = true;
        path.push(at);
        match sources(&nodes[at]).into_iter().find(inside) {
            Some(next) => at = next,
            None => return,
        }
    }
    let start = path.iter().position(|&i| i == at).unwrap_or(0);
    let mut cycle: Vec<usize> = path[start..].to_vec();
    cycle.reverse();
    let first = cycle.iter().enumerate().min_by_key(|&(_, i)| *i).map_or(0, |(at, _)| at);
    cycle.rotate_left(first);
    // Of a long cycle its beginning and its last layer.
    let told: Vec<Option<usize>> = match cycle.len() {
        0..=MOST_TOLD => cycle.iter().copied().map(Some).collect(),
        length => cycle[..MOST_TOLD - 1].iter().copied().map(Some).chain([None, Some(cycle[length - 1])]).collect(),
    };
    let name = |node: Option<usize>| node.map_or("…".to_string(), |i| format!("`{}`", nodes[i].site.name));
    let names: Vec<String> = told.iter().chain(told.first()).map(|&node| name(node)).collect();
    let site = &nodes[cycle[0]].site;
    let title = format!("{} is part of a cycle", site.title());
    let mut diagnostic = site.error(title, site.span.clone(), "its result flows back into it");
    for other in told.into_iter().flatten().skip(1) {
        diagnostic =
            diagnostic.context(nodes[other].site.span.clone(), format!("through `{}`", nodes[other].site.name));
    }
    diagnostics.push(diagnostic.note(format!("the cycle: {}", names.join(" -> "))));
}

/// Marks the pooling layers whose indices are taken; anything else cannot give indices.
pub(crate) fn link_indices(mut nodes: Vec<Node>, diagnostics: &mut Diagnostics) -> Vec<Node> {
    for i in 0..nodes.len() {
        let Some(source) = nodes[i].indices else { continue };
        if registry::find(&nodes[source].site.kind).is_some_and(|kind| kind.gives_indices) {
            nodes[source].gives_indices = true;
            continue;
        }
        let (site, giver) = (&nodes[i].site, &nodes[source].site);
        let title = format!("{} takes indices from {}, which has none", site.title(), giver.title());
        let span = nodes[i].indices_span.clone().unwrap_or_else(|| site.span.clone());
        let diagnostic = site.error(title, span, INDICES_RULE).context(giver.span.clone(), "this layer has no indices");
        diagnostics.push(diagnostic);
        nodes[i].layer = None;
    }
    nodes
}

/// Reports layers and inputs that nothing uses.
pub(crate) fn report_dead(
    header: &Header,
    nodes: &mut [Node],
    outputs: &[Option<ValueId>],
    diagnostics: &mut Diagnostics,
) {
    if !diagnostics.is_empty() {
        return; // A name that could not be resolved makes others look unused.
    }
    let mut used: BTreeSet<ValueId> = outputs.iter().flatten().copied().collect();
    for node in nodes.iter() {
        used.extend(node.inputs.iter().flatten());
        used.extend(node.indices.map(ValueId::Node));
    }
    for (i, node) in nodes.iter().enumerate() {
        if !used.contains(&ValueId::Node(i)) {
            let title = format!("nothing uses the result of {}", node.site.title());
            let help =
                format!("remove it, name it as another layer's input, or add outputs = [{:?}, …]", node.site.name);
            diagnostics.push(
                node.site.error(title, node.site.span.clone(), "no layer takes it, and it is no output").help(help),
            );
        }
    }
    for (i, input) in header.inputs.iter().enumerate() {
        if !used.contains(&ValueId::Input(i)) {
            let title = format!("nothing uses the input `{}`", input.name);
            diagnostics.push(
                Diagnostic::new(title)
                    .at(input.span.clone(), "no layer takes it")
                    .help("remove it, or name it as a layer's input"),
            );
        }
    }
}
