//! Fifth stage: lifetimes of storages -> offsets in one arena.
//!
//! Offsets are floats per sample and are scaled by the batch at run time: two storages that do not overlap for one sample do not
//! overlap for any number. Storages that do not grow with the batch lie in a region of their own, in front.

use crate::layers::Extent;
use crate::layout::{Call, Frozen, Id};
use crate::program::{Program, StorageId};
use crate::shape::Shaped;
use crate::split;
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
    /// The part that goes through sample by sample.
    pub head: Half,
    /// The part that takes a batch together.
    pub tail: Half,
    /// The values that the head makes and the tail takes, each with a place in both: buffers, by the value that they are the home of.
    pub crossing: Vec<Id>,
}

/// The places of one half of the inference program, which has an arena of its own.
#[derive(Debug, Default)]
pub struct Half {
    /// The place of each buffer that it touches, by the value that it is the home of.
    pub places: HashMap<Id, Place>,
    /// The place of what a layer saves (indices, statistics), by node.
    pub saved: HashMap<usize, Place>,
    /// The size of the arena.
    pub size: Extent,
}

/// Gives every value of the inference program its place.
pub fn plan_frozen(shaped: &Shaped, frozen: Frozen) -> PlannedFrozen {
    let all = split::crossing(&frozen, frozen.cut);
    let (before, after) = frozen.calls.split_at(frozen.cut);
    // The head reads the inputs where the caller has them.
    let crossing: Vec<Id> = all.iter().copied().filter(|id| !frozen.inputs.contains(id)).collect();
    let head = plan_half(shaped, &frozen, before, &[], &crossing, &frozen.inputs);
    let outputs: Vec<Id> = frozen.outputs.iter().map(|&id| frozen.values[id].home).collect();
    let tail = plan_half(shaped, &frozen, after, &all, &outputs, &[]);
    PlannedFrozen { frozen, head, tail, crossing }
}

/// Plans some calls: the buffers that are filled before them and taken after them; those that are lent lie elsewhere and get no place.
fn plan_half(shaped: &Shaped, frozen: &Frozen, calls: &[Call], filled: &[Id], taken: &[Id], lent: &[Id]) -> Half {
    /// What lies in a storage: the buffer of a value, or what a node saves.
    #[derive(Clone, Copy, PartialEq, Eq, Hash)]
    enum Held {
        Value(Id),
        Saved(usize),
    }
    let mut lives: Vec<(Held, Life)> = Vec::new();
    let mut known: HashMap<Held, usize> = HashMap::new();
    let mut touch = |held: Held, at: usize| {
        let index = *known.entry(held).or_insert_with(|| {
            lives.push((held, Life { from: at, to: at }));
            lives.len() - 1
        });
        let life = &mut lives[index].1;
        (life.from, life.to) = (life.from.min(at), life.to.max(at));
    };
    for &id in filled {
        touch(Held::Value(id), 0);
    }
    for (i, call) in calls.iter().enumerate() {
        for id in call.inputs.iter().chain([&call.output]).map(|&id| frozen.values[id].home) {
            if !lent.contains(&id) {
                touch(Held::Value(id), i + 1);
            }
        }
        let own = call.saves.then_some(call.fused.main).filter(|&node| !shaped.nodes[node].op.saved().is_empty());
        for node in own.into_iter().chain(call.indices) {
            touch(Held::Saved(node), i + 1);
        }
    }
    for &id in taken {
        touch(Held::Value(id), calls.len() + 1);
    }
    let extents: Vec<Extent> = lives
        .iter()
        .map(|(held, _)| match *held {
            Held::Value(id) => Extent::per_sample(frozen.floats(id)),
            Held::Saved(node) => shaped.nodes[node].op.saved(),
        })
        .collect();
    let (places, size) = assign(&extents, &lives.iter().map(|&(_, life)| life).collect::<Vec<_>>());
    let mut half = Half { size, ..Half::default() };
    for ((held, _), place) in lives.into_iter().zip(places) {
        match held {
            Held::Value(id) => half.places.insert(id, place),
            Held::Saved(node) => half.saved.insert(node, place),
        };
    }
    half
}

impl PlannedFrozen {
    /// Bytes of activations for one sample.
    pub fn bytes_per_sample(&self) -> usize {
        [&self.head, &self.tail].map(|half| half.size.per_sample * size_of::<f32>()).into_iter().sum()
    }
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
