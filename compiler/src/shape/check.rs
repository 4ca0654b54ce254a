//! What one layer makes of what flows into it.

use crate::graph::{Graph, Node, ValueId};
use crate::layers::contract::Layer;
use crate::layers::infer::{Checked, Indices, Infer, Operand};
use crate::shape::sizes::checked_product;

/// A layer's own check, then the sizes of what it makes.
pub(super) fn check(layer: &dyn Layer, cx: &mut Infer<'_>) -> Option<Checked> {
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

pub(super) fn operands<'a>(
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
