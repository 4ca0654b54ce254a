//! Third stage: every shape, parameter and multiply count. Checks what the spec states against what flows in.

mod check;
mod mends;
pub mod shaped;
pub mod sizes;

use crate::diagnostic::Diagnostics;
use crate::graph::{Graph, Node, ValueId};
use crate::layers::infer::{Advice, Checked, Infer};
use check::{check, operands};
use mends::WhatIf;
pub use shaped::{Shaped, ShapedNode};
use sizes::MOST_FLOATS;
pub use sizes::Shape;

/// Infers and checks all shapes. With errors there is no shaped network.
pub fn infer(graph: Graph, diagnostics: &mut Diagnostics) -> Option<Shaped> {
    let mut results: Vec<Option<Checked>> = Vec::with_capacity(graph.nodes.len());
    for (i, node) in graph.nodes.iter().enumerate() {
        if diagnostics.is_full() {
            return None;
        }
        let operands = operands(&graph, node, |n| results[n].as_ref());
        let checked = operands.zip(node.layer.as_deref()).and_then(|((inputs, indices), layer)| {
            let what_if = WhatIf { graph: &graph, node: i, results: &results };
            let (site, gives_indices, input_spans) = (&node.site, node.gives_indices, node.input_spans.as_slice());
            let advice = Some(&what_if as &dyn Advice);
            let mut cx = Infer { site, inputs, indices, gives_indices, input_spans, diagnostics, advice };
            check(layer, &mut cx)
        });
        results.push(checked);
    }
    check_totals(&graph, &results, diagnostics);
    if diagnostics.is_empty() { assemble(graph, results) } else { None }
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
