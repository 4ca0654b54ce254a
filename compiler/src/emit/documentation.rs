//! The documentation of the generated type: what the network is, and its layers.

use crate::compiled::Compiled;
use crate::lower::algorithm::Algorithm;
use crate::lower::operation::{ConvolutionKernel, Operation};
use crate::lower::program::Call;
use crate::source::Source;
use crate::tokens::grouped;

/// Documentation that is appended to the user's own: what the network is, and its layers.
///
/// Shapes stand in backticks: rustdoc takes a bare `[10]` for a link.
pub(super) fn lines(compiled: &Compiled, source: &Source, parameter_count: usize) -> Vec<String> {
    let shaped = &compiled.shaped;
    let list = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(", ");
    let inputs =
        shaped.header.inputs.iter().zip(&shaped.inputs).map(|(input, shape)| format!("`{}` `{shape}`", input.name));
    let outputs = shaped.outputs.iter().map(|&value| format!("`{}` `{}`", shaped.name(value), shaped.shape(value)));
    let macs: u64 = shaped.nodes.iter().fold(0, |sum, node| sum.saturating_add(node.op.macs()));
    let mut lines = vec![
        String::new(),
        format!("# The network of `{}`", source.path),
        String::new(),
        format!(
            "{} parameters, {} multiply-accumulates per sample. Inputs: {}. Outputs: {}.",
            grouped(parameter_count as u64),
            grouped(macs),
            list(&mut inputs.into_iter()),
            list(&mut outputs.into_iter()),
        ),
        String::new(),
        "| layer | type | result | parameters | frozen |".into(),
        "|---|---|---|---|---|".into(),
    ];
    let frozen = frozen(compiled);
    for (node, frozen) in shaped.nodes.iter().zip(frozen) {
        let count: usize = node.op.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
        let count = if count > 0 { grouped(count as u64) } else { String::new() };
        lines.push(format!("| `{}` | {} | `{}` | {count} | {frozen} |", node.site.name, node.site.kind, node.output));
    }
    if compiled.inference.program.calls.iter().any(is_winograd) {
        lines.push(String::new());
        lines.push(
            "Winograd's algorithms compute outputs in tiles: a NaN, an infinity or a huge number in a pixel may change every output of \
             the tiles that read it; with `[network] winograd = false` it changes those whose windows see it, as in evaluation."
                .into(),
        );
    }
    let calls = compiled.inference.program.calls.len();
    let [head, tail] = [compiled.inference.program.cut, calls - compiled.inference.program.cut];
    lines.push(String::new());
    lines.push(format!("Frozen, it is {calls} calls: {head} for each sample, {tail} for a batch together."));
    lines
}

/// What the inference program makes of each layer.
fn frozen(compiled: &Compiled) -> Vec<String> {
    let nodes = &compiled.shaped.nodes;
    let mut texts = vec!["nothing to do".to_string(); nodes.len()];
    for call in &compiled.inference.program.calls {
        let Some((&main, folded)) = call.layers.split_first() else { continue };
        texts[main] = made_of(call);
        for &layer in folded {
            texts[layer] = format!("in `{}`", nodes[main].site.name);
        }
    }
    texts
}

fn made_of(call: &Call) -> String {
    match &call.operation {
        Operation::Convolution(it) => match it.kernel {
            ConvolutionKernel::Blocked(algorithm) => algorithm.to_string(),
            ConvolutionKernel::FromPlanar(algorithm) => format!("{algorithm}, planar input"),
            ConvolutionKernel::Planar => "direct, planar".into(),
        },
        Operation::Linear(_) => "packed".into(),
        Operation::Layer(_) => "as in evaluation".into(),
        _ => "blocked".into(),
    }
}

fn is_winograd(call: &Call) -> bool {
    match &call.operation {
        Operation::Convolution(it) => match it.kernel {
            ConvolutionKernel::Blocked(algorithm) => algorithm.tile().is_some(),
            ConvolutionKernel::FromPlanar(algorithm) => algorithm.tile().is_some(),
            ConvolutionKernel::Planar => false,
        },
        _ => false,
    }
}
