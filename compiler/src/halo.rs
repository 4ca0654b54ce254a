//! Which values lie where another of the same sizes lay before them and left its halo of zeros: it need not be written again.
//!
//! It is little to write but much to share: one thread writes it all, and every other fetches its part from that one's cache.

use crate::layout::{Call, Frozen, Id, Layout};
use crate::memory::{Half, Place, PlannedFrozen};
use std::collections::HashMap;

/// For each value whose halo is zero before its call, the value that left it.
pub fn kept(planned: &PlannedFrozen) -> HashMap<Id, Id> {
    let frozen = &planned.frozen;
    let (head, tail) = frozen.calls.split_at(frozen.cut);
    let mut kept = HashMap::new();
    for (half, calls) in [(&planned.head, head), (&planned.tail, tail)] {
        for (index, call) in calls.iter().enumerate() {
            if let Some(before) = left_by(frozen, half, &calls[..index], call.output) {
                kept.insert(call.output, before);
            }
        }
    }
    kept
}

/// The last of `calls` to write where `id` will lie, if it made a value with the same halo there.
fn left_by(frozen: &Frozen, half: &Half, calls: &[Call], id: Id) -> Option<Id> {
    let value = &frozen.values[id];
    // Its buffer holds nothing else.
    let whole =
        |id: Id| frozen.values[id].home == id && frozen.values.iter().filter(|value| value.home == id).count() == 1;
    let Layout::Blocked { halo } = value.layout else { return None };
    if halo == [0; 4] || !whole(id) {
        return None;
    }
    let place = half.places[&id];
    for call in calls.iter().rev() {
        let saved = half.saved.get(&call.fused.main).filter(|_| call.saves);
        if saved.is_some_and(|&saved| overlap(saved, place)) {
            return None;
        }
        let other = call.output;
        let there = half.places[&frozen.values[other].home];
        if overlap(there, place) {
            let before = &frozen.values[other];
            let same = there == place && before.sizes == value.sizes && before.layout == value.layout;
            return (same && whole(other)).then_some(other);
        }
    }
    None
}

fn overlap(a: Place, b: Place) -> bool {
    match (a, b) {
        (Place::PerSample(a, b), Place::PerSample(c, d)) | (Place::Fixed(a, b), Place::Fixed(c, d)) => a < d && c < b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, compile};
    use std::path::Path;

    #[test]
    fn nothing_is_written_between() {
        for name in ["mobilenet_v2", "mobilenet_v3_small", "resnet50", "googlenet", "densenet121", "unet"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../specs/{name}.toml"));
            let source = Source::new(name, std::fs::read_to_string(path).unwrap());
            let compiled = compile(&source).unwrap_or_else(|failure| panic!("{}", failure.render(&source)));
            let planned = &compiled.inference;
            let kept = kept(planned);
            assert!(name != "mobilenet_v2" || kept.len() >= 5, "{}", kept.len());
            // Written once more: every call, in order, marks the floats of its buffer with its own number.
            let frozen = &planned.frozen;
            let (head, tail) = frozen.calls.split_at(frozen.cut);
            for (half, calls) in [(&planned.head, head), (&planned.tail, tail)] {
                let mut floats = vec![usize::MAX; half.size.per_sample];
                for call in calls {
                    let Place::PerSample(from, to) = half.places[&frozen.values[call.output].home] else { continue };
                    if let Some(before) = kept.get(&call.output) {
                        assert!(floats[from..to].iter().all(|mark| mark == before), "{name}: {call:?}");
                        // The border of zeros is as wide and around as much.
                        let [was, is] = [*before, call.output].map(|id| &frozen.values[id]);
                        assert_eq!((was.sizes, was.layout), (is.sizes, is.layout), "{name}: {call:?}");
                    }
                    floats[from..to].fill(call.output);
                    if let (true, Some(&Place::PerSample(from, to))) = (call.saves, half.saved.get(&call.fused.main)) {
                        floats[from..to].fill(usize::MAX);
                    }
                }
            }
        }
    }
}
