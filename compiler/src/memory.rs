//! Fifth stage: lifetimes of storages -> offsets in one arena.
//!
//! Offsets are floats per sample and are scaled by the batch at run time: two storages that do not overlap for one sample do not
//! overlap for any number. Storages that do not grow with the batch lie in a region of their own, in front.

use crate::layout::Frozen;
use crate::ops::Extent;
use crate::program::{Program, StorageId};
use crate::shape::Shaped;
use std::collections::HashMap;

/// Offsets are multiples of this many floats: one cache line and one AVX-512 vector, 64 bytes.
const ALIGNMENT: usize = 16;

/// A program whose storages have their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The program.
    pub program: Program,
    /// The place of each storage.
    pub places: Vec<Place>,
    /// The size of the arena.
    pub size: Extent,
}

/// Where a storage lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From and to, floats per sample.
    PerSample(usize, usize),
    /// From and to, floats.
    Fixed(usize, usize),
}

/// The steps during which a storage is taken, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    from: usize,
    to: usize,
}

/// Gives every storage its place. Larger ones first, each as low as the ones placed before allow
/// (greedy by size: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
pub fn plan(program: Program) -> Planned {
    let lives = lives(&program);
    let extents: Vec<Extent> = program.storages.iter().map(|storage| storage.extent).collect();
    let (places, size) = assign(&extents, &lives);
    Planned { program, places, size }
}

/// Places for storages of these sizes and lives, and the size of the arena that holds them.
fn assign(extents: &[Extent], lives: &[Life]) -> (Vec<Place>, Extent) {
    let mut places = vec![Place::Fixed(0, 0); extents.len()];
    let mut size = Extent::default();
    for fixed in [false, true] {
        let floats = |id: usize| if fixed { extents[id].fixed } else { extents[id].per_sample };
        let mut order: Vec<usize> = (0..extents.len()).filter(|&id| floats(id) > 0).collect();
        order.sort_by_key(|&id| (std::cmp::Reverse(floats(id)), lives[id].from, id));
        // Placed so far, by offset: (from, to, storage).
        let mut placed: Vec<(usize, usize, usize)> = Vec::with_capacity(order.len());
        for id in order {
            let room = floats(id).next_multiple_of(ALIGNMENT);
            let mut at = 0;
            for &(from, to, other) in &placed {
                let together = lives[id].from <= lives[other].to && lives[other].from <= lives[id].to;
                if !together || to <= at {
                    continue;
                }
                if from >= at + room {
                    break;
                }
                at = to;
            }
            let index = placed.partition_point(|&(from, ..)| from < at);
            placed.insert(index, (at, at + room, id));
            let end = at + floats(id);
            if fixed {
                places[id] = Place::Fixed(at, end);
                size.fixed = size.fixed.max(at + room);
            } else {
                places[id] = Place::PerSample(at, end);
                size.per_sample = size.per_sample.max(at + room);
            }
        }
    }
    (places, size)
}

/// The inference program with its places.
#[derive(Debug)]
pub struct PlannedFrozen {
    /// The program.
    pub frozen: Frozen,
    /// The place of each value; that of its home counts.
    pub places: Vec<Place>,
    /// The place of what a layer saves (indices, statistics), by node.
    pub saved: HashMap<usize, Place>,
    /// The size of the arena.
    pub size: Extent,
}

/// Gives every value of the inference program its place.
pub fn plan_frozen(shaped: &Shaped, frozen: Frozen) -> PlannedFrozen {
    let values = frozen.values.len();
    let mut extents: Vec<Extent> = (0..values).map(|id| Extent::per_sample(frozen.floats(id))).collect();
    let mut lives: Vec<Option<Life>> = vec![None; values];
    let mut storages: HashMap<usize, usize> = HashMap::new();
    let end = frozen.calls.len() + 1;
    for (i, call) in frozen.calls.iter().enumerate() {
        let homes = call.inputs.iter().chain([&call.output]).map(|&id| frozen.values[id].home);
        let mut touched: Vec<usize> = homes.collect();
        let own = call.saves.then_some(call.fused.main).filter(|&node| !shaped.nodes[node].op.saved().is_empty());
        for node in own.into_iter().chain(call.indices) {
            touched.push(*storages.entry(node).or_insert_with(|| {
                extents.push(shaped.nodes[node].op.saved());
                lives.push(None);
                extents.len() - 1
            }));
        }
        for id in touched {
            touch(&mut lives[id], i + 1);
        }
    }
    for &id in &frozen.inputs {
        touch(&mut lives[frozen.values[id].home], 0);
    }
    for &id in &frozen.outputs {
        touch(&mut lives[frozen.values[id].home], end);
    }
    // A value that lies in another's buffer takes no room of its own.
    for (id, value) in frozen.values.iter().enumerate() {
        if value.home != id {
            extents[id] = Extent::default();
        }
    }
    let lives: Vec<Life> = lives.into_iter().map(|life| life.unwrap_or(Life { from: 0, to: end })).collect();
    let (places, size) = assign(&extents, &lives);
    let saved = storages.into_iter().map(|(node, id)| (node, places[id])).collect();
    PlannedFrozen { frozen, places, saved, size }
}

fn touch(life: &mut Option<Life>, at: usize) {
    let life = life.get_or_insert(Life { from: at, to: at });
    life.from = life.from.min(at);
    life.to = life.to.max(at);
}

/// From the first step that takes a storage to the last. Inputs are there before the first step, outputs until after the last
/// forward one; the gradients of outputs come before the first backward step, those of inputs stay until after the last.
fn lives(program: &Program) -> Vec<Life> {
    // The steps are counted from 1. The caller's moments: 0 before all, `loss` between forward and backward, `end` after all.
    // A forward step number i (from 0) happens at i + 1, a backward one at i + 2.
    let loss = program.forward + 1;
    let end = program.steps.len() + 2;
    let mut lives: Vec<Option<Life>> = vec![None; program.storages.len()];
    let mut touch = |id: StorageId, at: usize| touch(&mut lives[id], at);
    for (i, step) in program.steps.iter().enumerate() {
        let at = if i < program.forward { i + 1 } else { i + 2 };
        for operand in &step.operands {
            touch(operand.storage, at);
        }
    }
    for &id in &program.inputs {
        touch(id, 0);
    }
    for &id in program.outputs.iter().chain(&program.output_gradients) {
        touch(id, loss);
    }
    for &id in &program.input_gradients {
        touch(id, end);
    }
    lives.into_iter().map(|life| life.unwrap_or(Life { from: 0, to: end })).collect()
}

impl Planned {
    /// A program of bytes: the activations of one sample.
    pub fn bytes_per_sample(&self) -> usize {
        self.size.per_sample * size_of::<f32>()
    }
}
