//! The inference program, second half: a layout and a kernel for every fused operation, buffers for the values.
//!
//! Maps lie blocked, 16 channels side by side with a halo of zeros as wide as the convolutions that read them want
//! (`castnet::blocked::Blocked`); everything else lies as PyTorch has it. Where the two meet, a conversion is put in.

use crate::cost::{Algorithm, Work};
use crate::flattened;
use crate::fuse::{Fused, FusedGraph, fuse};
use crate::graph::ValueId;
use crate::layers::Role;
use crate::pooled;
use crate::shape::{Shape, Shaped};
use crate::split;
use castnet_descriptors::{BLOCK, Conv2d};
use std::collections::{HashMap, HashSet};

/// A value of the inference program: its number in [`Frozen::values`].
pub type Id = usize;

/// How a value lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As PyTorch has it: `[channels, height, width]` or flat.
    Plain,
    /// Blocked, with what stands above, left, below and right of the map.
    Blocked {
        /// Top, left, bottom, right.
        halo: [usize; 4],
    },
}

/// A value of the inference program.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The value of the graph that it is.
    pub of: ValueId,
    /// Channels, height, width; ones where the shape has fewer axes.
    pub sizes: [usize; 3],
    /// How it lies.
    pub layout: Layout,
    /// The value in whose buffer it lies: itself, or a concatenation that it is a part of.
    pub home: Id,
    /// The first of its blocks in that buffer.
    pub first_block: usize,
}

impl Value {
    /// Blocks of 16 channels.
    pub fn blocks(&self) -> usize {
        self.sizes[0].div_ceil(BLOCK)
    }
}

/// What an operation calls.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Kernel {
    /// A convolution between blocked values.
    Convolution(Algorithm),
    /// A convolution from a plain value of few channels, direct or by Winograd's algorithm.
    FirstConvolution(Algorithm),
    /// A convolution of few channels to few, between plain values.
    NarrowConvolution,
    Linear,
    Affine,
    Activation,
    Combine {
        product: bool,
    },
    /// A layer on maps, by the kernel's module.
    Blocked(&'static str),
    /// Copies the parts of a concatenation that could not be made in place.
    Concat,
    ToBlocked,
    ToPlain,
    /// The layer's own function on plain values.
    Layer,
}

/// One call of the inference program.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The operation, or the one whose input is converted.
    pub fused: Fused,
    /// What is called.
    pub kernel: Kernel,
    /// Values that flow in; a residual is the last.
    pub inputs: Vec<Id>,
    /// The value that is made.
    pub output: Id,
    /// For an unpooling layer the pooling layer whose indices it takes.
    pub indices: Option<usize>,
    /// Whether indices or statistics are saved, as in training.
    pub saves: bool,
}

/// The inference program.
#[derive(Debug)]
pub struct Frozen {
    /// All values.
    pub values: Vec<Value>,
    /// The calls in order.
    pub calls: Vec<Call>,
    /// The values of the network's inputs.
    pub inputs: Vec<Id>,
    /// The values of its outputs, all plain.
    pub outputs: Vec<Id>,
    /// How many of the calls go through sample by sample; the others take a batch together ([`crate::split`]).
    pub cut: usize,
    /// Whether the whole batch must go through together: statistics of the batch are taken in evaluation.
    pub whole_batch: bool,
}

impl Frozen {
    /// Floats of a value's buffer for one sample.
    pub fn floats(&self, id: Id) -> usize {
        let value = &self.values[id];
        let [channels, height, width] = value.sizes;
        match value.layout {
            Layout::Plain => channels * height * width,
            Layout::Blocked { halo: [top, left, bottom, right] } => {
                value.blocks() * BLOCK * (top + height + bottom) * (left + width + right)
            }
        }
    }
}

/// Chooses layouts and kernels.
pub fn freeze(shaped: &Shaped) -> Frozen {
    let FusedGraph { ops, outputs } = fuse(shaped);
    let mut builder =
        Builder { shaped, values: Vec::new(), calls: Vec::new(), plain: HashMap::new(), blocked: HashMap::new() };
    let inputs = (0..shaped.inputs.len()).map(|i| builder.value(ValueId::Input(i), Layout::Plain)).collect();
    for fused in ops {
        builder.operation(fused);
    }
    let outputs: Vec<Id> = outputs.iter().map(|&value| builder.plain(value)).collect();
    let Builder { mut values, mut calls, .. } = builder;
    pooled::fold(shaped, &values, &mut calls, &outputs);
    place_concatenations(&mut values, &mut calls);
    share_halos(&mut values);
    flattened::take_blocked(&values, &mut calls, &outputs);
    let whole_batch = shaped.nodes.iter().any(|node| node.op.evaluates_as_trained());
    let mut frozen = Frozen { values, calls, inputs, outputs, cut: 0, whole_batch };
    frozen.cut = split::cut(shaped, &frozen);
    frozen
}

/// Channels, height, width of a shape: `[f]` is `f` channels of one pixel, `[c, l]` maps of height 1.
pub(crate) fn sizes(shape: &Shape) -> [usize; 3] {
    match shape.0[..] {
        [features] => [features, 1, 1],
        [channels, length] => [channels, 1, length],
        [channels, height, width] => [channels, height, width],
        _ => unreachable!("a shape has one to three axes"),
    }
}

struct Builder<'a> {
    shaped: &'a Shaped,
    values: Vec<Value>,
    calls: Vec<Call>,
    plain: HashMap<ValueId, Id>,
    blocked: HashMap<ValueId, Id>,
}

impl Builder<'_> {
    /// A new value in a buffer of its own.
    fn value(&mut self, of: ValueId, layout: Layout) -> Id {
        let id = self.values.len();
        let sizes = sizes(self.shaped.shape(of));
        self.values.push(Value { of, sizes, layout, home: id, first_block: 0 });
        match layout {
            Layout::Plain => self.plain.insert(of, id),
            Layout::Blocked { .. } => self.blocked.insert(of, id),
        };
        id
    }

    fn new_blocked(&mut self, of: ValueId) -> Id {
        self.value(of, Layout::Blocked { halo: [0; 4] })
    }

    fn convert(&mut self, from: Id, of: ValueId, kernel: Kernel) -> Id {
        let layout = if kernel == Kernel::ToPlain { Layout::Plain } else { Layout::Blocked { halo: [0; 4] } };
        let output = self.value(of, layout);
        let main = match of {
            ValueId::Node(node) => node,
            ValueId::Input(_) => usize::MAX,
        };
        let result = main;
        let fused =
            Fused { main, affine: None, residual: None, activation: None, pool: None, inputs: vec![of], result };
        self.calls.push(Call { fused, kernel, inputs: vec![from], output, indices: None, saves: false });
        output
    }

    /// The value as PyTorch has it.
    fn plain(&mut self, of: ValueId) -> Id {
        match (self.plain.get(&of), self.blocked.get(&of)) {
            (Some(&id), _) => id,
            (None, Some(&from)) => self.convert(from, of, Kernel::ToPlain),
            (None, None) => unreachable!("a value is made before it is taken"),
        }
    }

    /// The value blocked.
    fn blocked(&mut self, of: ValueId) -> Id {
        match (self.blocked.get(&of), self.plain.get(&of)) {
            (Some(&id), _) => id,
            (None, Some(&from)) => self.convert(from, of, Kernel::ToBlocked),
            (None, None) => unreachable!("a value is made before it is taken"),
        }
    }

    fn is_blocked(&self, of: ValueId) -> bool {
        self.blocked.contains_key(&of)
    }

    /// Widens a blocked value's halo to what a reader wants.
    fn widen(&mut self, id: Id, wanted: [usize; 4]) {
        if let Layout::Blocked { halo } = &mut self.values[id].layout {
            for (have, want) in halo.iter_mut().zip(wanted) {
                *have = (*have).max(want);
            }
        }
    }

    fn operation(&mut self, fused: Fused) {
        let node = &self.shaped.nodes[fused.main];
        let is_map = |value: &ValueId| self.shaped.shape(*value).rank() > 1;
        let maps = fused.inputs.iter().all(is_map) && node.output.rank() > 1;
        match node.op.role() {
            Role::Convolution(conv) if conv.reads_zeros_outside() => self.convolution(fused, &conv),
            Role::Linear { rows: 1, .. } => self.call_plain(fused, Kernel::Linear),
            Role::Affine { .. } if maps => self.call_blocked(fused, Kernel::Affine),
            Role::Activation(_) if maps && self.is_blocked(fused.inputs[0]) => {
                self.call_blocked(fused, Kernel::Activation);
            }
            Role::Add if maps && self.combines_blocked(&fused) => {
                self.call_blocked(fused, Kernel::Combine { product: false });
            }
            Role::Mul if maps && self.combines_blocked(&fused) => {
                self.call_blocked(fused, Kernel::Combine { product: true });
            }
            Role::Blocked(module) if maps && !node.gives_indices && !self.is_narrow(fused.inputs[0]) => {
                self.call_blocked(fused, Kernel::Blocked(module));
            }
            Role::Concat { channels: true } if maps && fused.inputs.iter().any(|&value| self.is_blocked(value)) => {
                self.call_blocked(fused, Kernel::Concat);
            }
            Role::Flatten => self.flatten(&fused),
            _ => self.layer(fused),
        }
    }

    /// Whether a value is plain and has so few channels that blocks of 16 would be mostly empty.
    fn is_narrow(&self, of: ValueId) -> bool {
        !self.is_blocked(of) && self.shaped.shape(of).0[0] < BLOCK / 2
    }

    /// Whether a sum or product is taken between blocked values: one of them is, and all have the same channels.
    fn combines_blocked(&self, fused: &Fused) -> bool {
        let channels = |value: &ValueId| self.shaped.shape(*value).0[0];
        fused.inputs.iter().any(|&value| self.is_blocked(value))
            && fused.inputs.iter().all(|value| channels(value) == channels(&fused.inputs[0]))
    }

    fn call_blocked(&mut self, fused: Fused, kernel: Kernel) {
        let inputs: Vec<Id> = fused.inputs.clone().into_iter().map(|value| self.blocked(value)).collect();
        let output = self.new_blocked(ValueId::Node(fused.result));
        self.calls.push(Call { fused, kernel, inputs, output, indices: None, saves: false });
    }

    fn call_plain(&mut self, fused: Fused, kernel: Kernel) {
        let inputs: Vec<Id> = fused.inputs.clone().into_iter().map(|value| self.plain(value)).collect();
        let output = self.value(ValueId::Node(fused.result), Layout::Plain);
        self.calls.push(Call { fused, kernel, inputs, output, indices: None, saves: false });
    }

    /// A layer without a kernel of its own here, and what was folded into it, each by its function on plain values.
    fn layer(&mut self, fused: Fused) {
        let mut inputs = fused.inputs.clone();
        for node in fused.layers() {
            let it = &self.shaped.nodes[node];
            if let Some((add, other)) = fused.residual
                && add == node
            {
                inputs.push(other);
            }
            let single = Fused {
                main: node,
                affine: None,
                residual: None,
                activation: None,
                pool: None,
                inputs: inputs.clone(),
                result: node,
            };
            let ids: Vec<Id> = inputs.iter().map(|&value| self.plain(value)).collect();
            let output = self.value(ValueId::Node(node), Layout::Plain);
            let saves = it.gives_indices || it.op.evaluates_as_trained();
            let indices = it.indices;
            self.calls.push(Call { fused: single, kernel: Kernel::Layer, inputs: ids, output, indices, saves });
            inputs = vec![ValueId::Node(node)];
        }
    }

    /// Renames a plain value: no call, the same buffer.
    fn flatten(&mut self, fused: &Fused) {
        let value = ValueId::Node(fused.main);
        if self.shaped.outputs.contains(&value) {
            return self.layer(fused.clone());
        }
        let source = self.plain(fused.inputs[0]);
        let id = self.value(value, Layout::Plain);
        self.values[id].home = self.values[source].home;
    }

    fn convolution(&mut self, fused: Fused, conv: &Conv2d) {
        let output = ValueId::Node(fused.result);
        let first = fused.inputs[0];
        let residual = fused.residual.map(|(_, value)| self.blocked(value));
        // Few channels would leave most of a block empty: such an input is read as it is.
        let few = self.shaped.shape(first).0[0] < BLOCK / 2 && conv.groups == 1 && residual.is_none();
        if few && !self.is_blocked(first) && self.shaped.shape(output).0[0] < BLOCK / 2 && conv.stride[1] == 1 {
            return self.call_plain(fused, Kernel::NarrowConvolution);
        }
        let [from, to] = [first, output].map(|value| sizes(self.shaped.shape(value)));
        let work = Work { form: *conv, input: from, output: to };
        let (input, kernel) = if few && !self.is_blocked(first) {
            (self.plain(first), Kernel::FirstConvolution(work.fastest_planar(self.shaped.header.winograd)))
        } else {
            let input = self.blocked(first);
            let algorithm = work.fastest(self.shaped.header.winograd);
            // Winograd's tiles see zeros beyond the map by themselves.
            if !algorithm.is_winograd() {
                self.widen(input, halo(conv, [work.input, work.output]));
            }
            (input, Kernel::Convolution(algorithm))
        };
        let output = self.new_blocked(output);
        let inputs = [input].into_iter().chain(residual).collect();
        self.calls.push(Call { fused, kernel, inputs, output, indices: None, saves: false });
    }
}

/// What a convolution reads around its input: padding above and to the left, and below and to the right what the last window reaches.
pub fn halo(conv: &Conv2d, [input, output]: [[usize; 3]; 2]) -> [usize; 4] {
    let after = |axis: usize| {
        let span = (conv.kernel[axis] - 1) * conv.dilation[axis] + 1;
        let end = (output[axis + 1] - 1) * conv.stride[axis] + span;
        end.saturating_sub(conv.padding[axis] + input[axis + 1])
    };
    [conv.padding[0], conv.padding[1], after(0), after(1)]
}

/// Lets the parts of a concatenation be made in its buffer: no copying. Later concatenations first, so that of several that begin
/// alike (DenseNet's) the longest holds them all.
fn place_concatenations(values: &mut [Value], calls: &mut Vec<Call>) {
    let concats: Vec<usize> = (0..calls.len()).filter(|&i| calls[i].kernel == Kernel::Concat).rev().collect();
    let mut placed: HashSet<Id> = HashSet::new();
    let mut in_place: HashSet<usize> = HashSet::new();
    for &at in &concats {
        let inputs = calls[at].inputs.clone();
        let whole = calls[at].output;
        if let Some((home, first_block)) = consecutive(values, &placed, &inputs) {
            // A beginning of a longer concatenation that has been placed.
            let own = |call: &Call| call.inputs.contains(&whole) && values[call.output].home == home;
            if values[whole].home == whole && !placed.contains(&whole) && !calls.iter().any(own) {
                (values[whole].home, values[whole].first_block) = (home, first_block);
                placed.insert(whole);
                in_place.insert(at);
            }
            continue;
        }
        let even = inputs[..inputs.len() - 1].iter().all(|&id| values[id].sizes[0].is_multiple_of(BLOCK));
        let distinct = inputs.iter().collect::<HashSet<_>>().len() == inputs.len();
        let free = inputs.iter().all(|id| !placed.contains(id) && values[*id].home == *id);
        if !(even && distinct && free) || reads_its_own_buffer(values, calls, &inputs, whole) {
            continue;
        }
        let (home, mut block) = (values[whole].home, values[whole].first_block);
        for &id in &inputs {
            (values[id].home, values[id].first_block) = (home, block);
            block += values[id].blocks();
            placed.insert(id);
        }
        in_place.insert(at);
    }
    let mut index = 0;
    calls.retain(|_| {
        index += 1;
        !in_place.contains(&(index - 1))
    });
}

/// The place of values that lie one behind the other in one buffer already.
fn consecutive(values: &[Value], placed: &HashSet<Id>, ids: &[Id]) -> Option<(Id, usize)> {
    let first = &values[ids[0]];
    let mut block = first.first_block;
    for &id in ids {
        let value = &values[id];
        if !placed.contains(&id) || value.home != first.home || value.first_block != block {
            return None;
        }
        block += value.blocks();
    }
    Some((first.home, first.first_block))
}

/// Whether a part is made from something that would lie in the same buffer: a call must not read and write one buffer.
fn reads_its_own_buffer(values: &[Value], calls: &[Call], parts: &[Id], whole: Id) -> bool {
    let home = values[whole].home;
    let inside = |id: Id| parts.contains(&id) || values[id].home == home;
    calls.iter().any(|call| parts.contains(&call.output) && call.inputs.iter().any(|&id| inside(id)))
}

/// Values in one buffer have one halo: the widest.
fn share_halos(values: &mut [Value]) {
    let mut widest: HashMap<Id, [usize; 4]> = HashMap::new();
    for value in values.iter() {
        if let Layout::Blocked { halo } = value.layout {
            let most = widest.entry(value.home).or_default();
            for (have, want) in most.iter_mut().zip(halo) {
                *have = (*have).max(want);
            }
        }
    }
    for value in values.iter_mut() {
        if let Layout::Blocked { halo } = &mut value.layout {
            *halo = widest[&value.home];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Place;
    use crate::{Source, compile};
    use std::path::Path;

    /// The inference program of a network of `specs/`.
    fn planned(name: &str) -> crate::memory::PlannedFrozen {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../specs/{name}.toml"));
        let source = Source::new(name, std::fs::read_to_string(path).unwrap());
        compile(&source).unwrap_or_else(|failure| panic!("{}", failure.render(&source))).inference
    }

    fn count(frozen: &Frozen, wanted: impl Fn(&Kernel) -> bool) -> usize {
        frozen.calls.iter().filter(|call| wanted(&call.kernel)).count()
    }

    #[test]
    fn resnet18_is_its_convolutions() {
        let frozen = planned("resnet18").frozen;
        // 20 convolutions with every batch norm, 8 sums and all activations in them, two poolings, one matrix.
        assert_eq!(count(&frozen, |kernel| matches!(kernel, Kernel::Convolution(_) | Kernel::FirstConvolution(_))), 20);
        assert_eq!(count(&frozen, |kernel| matches!(kernel, Kernel::FirstConvolution(_))), 1);
        assert_eq!(count(&frozen, |kernel| matches!(kernel, Kernel::Blocked(_))), 2);
        assert_eq!(count(&frozen, |kernel| matches!(kernel, Kernel::Linear)), 1);
        assert_eq!(frozen.calls.iter().filter(|call| call.fused.residual.is_some()).count(), 8);
        assert_eq!(
            count(&frozen, |kernel| matches!(kernel, Kernel::Affine | Kernel::Layer | Kernel::Combine { .. })),
            0
        );
    }

    #[test]
    fn concatenations_are_made_in_place() {
        for name in ["densenet121", "googlenet", "squeezenet1_1"] {
            let frozen = planned(name).frozen;
            assert_eq!(count(&frozen, |kernel| matches!(kernel, Kernel::Concat)), 0, "{name}");
            for call in &frozen.calls {
                let home = |id: Id| frozen.values[id].home;
                assert!(call.inputs.iter().all(|&id| home(id) != home(call.output)), "{name}: {call:?}");
            }
        }
    }

    #[test]
    fn values_that_live_together_do_not_overlap() {
        for name in ["lenet5", "resnet50", "densenet121", "googlenet", "mobilenet_v3_small", "unet"] {
            let planned = planned(name);
            let frozen = &planned.frozen;
            let (before, after) = frozen.calls.split_at(frozen.cut);
            let outputs: Vec<Id> = frozen.outputs.iter().map(|&id| frozen.values[id].home).collect();
            // The head reads inputs where the caller has them; what the tail takes of them is copied.
            assert!(frozen.inputs.iter().all(|id| !planned.head.places.contains_key(id)));
            let lent = frozen.inputs.iter().copied().filter(|id| planned.tail.places.contains_key(id));
            let filled: Vec<Id> = planned.crossing.iter().copied().chain(lent).collect();
            let halves =
                [(before, &planned.head, &vec![], &planned.crossing), (after, &planned.tail, &filled, &outputs)];
            for (calls, half, filled, last) in halves {
                for (i, call) in calls.iter().enumerate() {
                    // Whatever is taken later and was made before must survive what this call writes.
                    let written = frozen.values[call.output].home;
                    let made: HashSet<Id> =
                        calls[..i].iter().map(|c| frozen.values[c.output].home).chain(filled.iter().copied()).collect();
                    let taken = calls[i..].iter().flat_map(|c| &c.inputs).map(|&id| frozen.values[id].home);
                    for other in
                        taken.chain(last.iter().copied()).filter(|home| made.contains(home) && *home != written)
                    {
                        let [Place::PerSample(a, b), Place::PerSample(c, d)] =
                            [half.places[&written], half.places[&other]]
                        else {
                            panic!("{name}: a value without a place");
                        };
                        assert!(b <= c || d <= a, "{name}, call {i}: {a}..{b} overlaps {c}..{d}");
                    }
                }
            }
        }
    }
}
