//! What would mend a size error: small changes to the layers above, tried one by one.

use crate::diagnostic::Diagnostics;
use crate::graph::{Graph, ValueId};
use crate::layers::contract::Layer;
use crate::layers::infer::{Advice, Checked, Infer};
use crate::layers::registry;
use crate::shape::check::{check, operands};
use std::collections::HashMap;

/// The network around a layer, as far as its shapes are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct WhatIf<'a> {
    pub(super) graph: &'a Graph,
    pub(super) node: usize,
    /// Of the nodes before it.
    pub(super) results: &'a [Option<Checked>],
}

impl WhatIf<'_> {
    /// The most layers above an error whose arguments are tried.
    const DEPTH: usize = 24;
    /// The most changes that are told.
    const MOST: usize = 2;
    /// The most inputs of layers that are looked at for one error: 24 layers, each with ten changes and a hundred layers below.
    const WORK: usize = 24_000;

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
            let advice = None;
            let mut cx = Infer { site: &node.site, inputs, indices, gives_indices, input_spans, diagnostics, advice };
            let checked = check(layer, &mut cx);
            match checked {
                Some(checked) if silent.is_empty() => anew.insert(i, checked),
                _ => return false,
            };
        }
        anew.contains_key(&self.node)
    }
}

impl Advice for WhatIf<'_> {
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

    fn is_type(&self, kind: &str) -> bool {
        registry::find(kind).is_some()
    }
}
