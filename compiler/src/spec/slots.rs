//! Values while the graph is built: names stand for slots, which are filled as layers are placed.

use crate::graph::{Node, ValueId};
use crate::layers::contract::Layer;
use crate::source::Span;
use crate::spec::args::Arg;
use crate::spec::site::Site;
use std::cell::OnceCell;
use std::collections::HashMap;

/// A name's meaning while the graph is built.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Value(ValueId),
    /// What flows into a placed block, or a layer named before it stands in the text: known later.
    Alias(Option<usize>),
}

pub(super) type SlotId = usize;

/// A layer whose inputs are not resolved yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) site: Site,
    pub(super) layer: Option<Box<dyn Layer>>,
    pub(super) inputs: Vec<SlotId>,
    pub(super) input_spans: Vec<Option<Span>>,
    pub(super) indices: Option<SlotId>,
    pub(super) indices_span: Option<Span>,
}

impl Draft {
    pub(super) fn node(self, resolved: &[Option<ValueId>]) -> Node {
        let indices = self.indices.and_then(|slot| resolved[slot]).and_then(|value| match value {
            ValueId::Node(node) => Some(node),
            ValueId::Input(_) => None,
        });
        Node {
            site: self.site,
            layer: self.layer,
            inputs: self.inputs.iter().map(|&slot| resolved[slot]).collect(),
            input_spans: self.input_spans,
            indices,
            indices_span: self.indices_span,
            gives_indices: false,
        }
    }
}

/// What each slot stands for, with aliases followed; `None` for a name that is unknown or stands for itself.
pub(super) fn resolve_slots(slots: &[Slot]) -> Vec<Option<ValueId>> {
    let mut resolved: Vec<Option<ValueId>> = vec![None; slots.len()];
    let mut seen = vec![false; slots.len()];
    for start in 0..slots.len() {
        let mut path = Vec::new();
        let mut at = Some(start);
        let mut value = None;
        while let Some(slot) = at {
            if seen[slot] {
                value = resolved[slot]; // `None` where the path has come back to itself.
                break;
            }
            seen[slot] = true;
            path.push(slot);
            at = match slots[slot] {
                Slot::Value(known) => {
                    value = Some(known);
                    None
                }
                Slot::Alias(next) => next,
            };
        }
        for slot in path {
            resolved[slot] = value;
        }
    }
    resolved
}

/// A layer of the run at hand, before the names in it are resolved.
pub(super) struct Pending {
    pub(super) site: Site,
    pub(super) previous: SlotId,
    pub(super) input: Option<Arg<String>>,
    pub(super) many: Option<Vec<Arg<String>>>,
    pub(super) indices: Option<Arg<String>>,
    pub(super) target: Target,
}

/// The names that the layers of a run may take.
pub(super) struct Known<'a> {
    pub(super) scope: &'a HashMap<String, SlotId>,
    pub(super) sorted: OnceCell<Vec<&'a str>>,
}

impl<'a> Known<'a> {
    /// In an order that does not change from run to run, for the nearest to one that is not known.
    pub(super) fn sorted(&self) -> &[&'a str] {
        self.sorted.get_or_init(|| {
            let mut names: Vec<&str> = self.scope.keys().map(String::as_str).collect();
            names.sort_unstable();
            names
        })
    }
}

pub(super) enum Target {
    Draft(usize),
    /// The alias that is the first instance's `@input`.
    Entry(SlotId),
}
