//! The inference program, first half: layers -> fused operations. A batch norm goes into the convolution before it, an addition and
//! an activation into the layer whose result they take, where nothing else takes that result.

use crate::graph::ValueId;
use crate::layers::Role;
use crate::shape::Shaped;
use castnet_descriptors::{Activation, Pool2x2};
use std::collections::HashMap;

/// One operation of the inference program.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The layer that gives it its kind.
    pub main: usize,
    /// The batch norm folded into it.
    pub affine: Option<usize>,
    /// What is added before the activation.
    pub residual: Option<(usize, ValueId)>,
    /// The activation applied last, or before a pool.
    pub activation: Option<(usize, Activation)>,
    /// The pool that a convolution ends with.
    pub pool: Option<(usize, Pool2x2)>,
    /// What flows in, layers that do nothing in evaluation left out.
    pub inputs: Vec<ValueId>,
    /// The layer whose result it makes: the last one folded into it.
    pub result: usize,
}

impl Fused {
    /// The layers in it, in order.
    pub fn layers(&self) -> Vec<usize> {
        let activation = self.activation.map(|(node, _)| node);
        let pool = self.pool.map(|(node, _)| node);
        let folded = [self.affine, self.residual.map(|(node, _)| node), activation, pool];
        [Some(self.main)].into_iter().chain(folded).flatten().collect()
    }
}

/// The fused operations in an order in which they can run.
#[derive(Debug)]
pub struct FusedGraph {
    /// The operations.
    pub ops: Vec<Fused>,
    /// For each output of the network the value that it is.
    pub outputs: Vec<ValueId>,
}

/// Follows layers that do nothing in evaluation (`dropout`, `identity`) back to what they pass on.
struct Passing<'a> {
    shaped: &'a Shaped,
}

impl Passing<'_> {
    fn source(&self, mut value: ValueId) -> ValueId {
        while let ValueId::Node(node) = value {
            let it = &self.shaped.nodes[node];
            if !matches!(it.op.role(), Role::Nothing) || self.shaped.outputs.contains(&value) {
                return value;
            }
            value = it.inputs[0];
        }
        value
    }
}

/// Fuses what can be fused.
pub fn fuse(shaped: &Shaped) -> FusedGraph {
    let passing = Passing { shaped };
    let inputs: Vec<Vec<ValueId>> =
        shaped.nodes.iter().map(|node| node.inputs.iter().map(|&value| passing.source(value)).collect()).collect();
    // Who takes each layer's result; a network output is taken by the caller too, and can be folded into nothing.
    let mut takers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    let skipped = |node: usize| passing.source(ValueId::Node(node)) != ValueId::Node(node);
    for node in (0..shaped.nodes.len()).filter(|&node| !skipped(node)) {
        for &value in &inputs[node] {
            takers.entry(value).or_default().push(node);
        }
    }
    let only_taker = |node: usize| -> Option<usize> {
        let value = ValueId::Node(node);
        match takers.get(&value).map(Vec::as_slice) {
            Some([one]) if !shaped.outputs.contains(&value) => Some(*one),
            _ => None,
        }
    };
    let mut folded = vec![false; shaped.nodes.len()];
    let mut ops = Vec::new();
    for main in 0..shaped.nodes.len() {
        if folded[main] || skipped(main) {
            continue;
        }
        let mut fused = Fused {
            affine: None,
            residual: None,
            activation: None,
            pool: None,
            main,
            inputs: inputs[main].clone(),
            result: main,
        };
        let role = shaped.nodes[main].op.role();
        if matches!(role, Role::Convolution(_) | Role::Linear { rows: 1, .. }) {
            fold_affine(shaped, &mut fused, &only_taker, &mut folded);
        }
        if matches!(role, Role::Convolution(_)) {
            fold_residual(shaped, &mut fused, &inputs, &only_taker, &mut folded);
        }
        if matches!(role, Role::Convolution(_) | Role::Linear { .. } | Role::Affine { .. } | Role::Add | Role::Mul) {
            fold_activation(shaped, &mut fused, &only_taker, &mut folded);
        }
        ops.push(fused);
    }
    // An operation runs where its last layer stood: by then everything that it takes has been made.
    ops.sort_by_key(|fused| fused.result);
    let outputs = shaped.outputs.iter().map(|&value| passing.source(value)).collect();
    FusedGraph { ops, outputs }
}

fn fold_affine(shaped: &Shaped, fused: &mut Fused, only_taker: &impl Fn(usize) -> Option<usize>, folded: &mut [bool]) {
    let Some(next) = only_taker(fused.result) else { return };
    if matches!(shaped.nodes[next].op.role(), Role::Affine { .. }) {
        fused.affine = Some(next);
        fused.result = next;
        folded[next] = true;
    }
}

/// An addition of two values of one shape, the other of which is made elsewhere.
fn fold_residual(
    shaped: &Shaped,
    fused: &mut Fused,
    inputs: &[Vec<ValueId>],
    only_taker: &impl Fn(usize) -> Option<usize>,
    folded: &mut [bool],
) {
    let Some(next) = only_taker(fused.result) else { return };
    if folded[next] || !matches!(shaped.nodes[next].op.role(), Role::Add) {
        return;
    }
    let own = ValueId::Node(fused.result);
    let [a, b] = inputs[next][..] else { return };
    let other = if a == own { b } else { a };
    if other != own && shaped.shape(other) == shaped.shape(own) {
        fused.residual = Some((next, other));
        fused.result = next;
        folded[next] = true;
    }
}

fn fold_activation(
    shaped: &Shaped,
    fused: &mut Fused,
    only_taker: &impl Fn(usize) -> Option<usize>,
    folded: &mut [bool],
) {
    let Some(next) = only_taker(fused.result) else { return };
    if let Role::Activation(activation) = shaped.nodes[next].op.role() {
        fused.activation = Some((next, activation));
        fused.result = next;
        folded[next] = true;
    }
}
