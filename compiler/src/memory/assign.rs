//! Places for things of which some live at the same time.

use super::planned::Place;
use crate::lower::operation::Extent;

/// Offsets are multiples of this many floats: one cache line and one AVX-512 vector, 64 bytes.
const ALIGNMENT: usize = 16;

/// The moments during which something lives, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub from: usize,
    pub to: usize,
}

/// Places for things of these sizes and lives, and the size of the arena that holds them. Larger ones first, each as low as the ones
/// placed before allow (greedy by size: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
pub(super) fn assign(extents: &[Extent], lives: &[Life]) -> (Vec<Place>, Extent) {
    let mut places = vec![Place::Fixed(0, 0); extents.len()];
    let mut size = Extent::default();
    for fixed in [false, true] {
        let floats = |id: usize| if fixed { extents[id].fixed } else { extents[id].per_sample };
        let mut order: Vec<usize> = (0..extents.len()).filter(|&id| floats(id) > 0).collect();
        order.sort_by_key(|&id| (std::cmp::Reverse(floats(id)), lives[id].from, id));
        // Placed so far, by offset: (from, to, which).
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
