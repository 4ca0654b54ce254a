//! Where the inference program is cut in two: the head goes through sample by sample, so that its maps stay in the caches; the tail
//! takes up to [`TAIL_BATCH`] samples together, so that each of its weights is read once for all of them.

use crate::cost::{Algorithm, Work, linear, transfer};
use crate::layers::Role;
use crate::layout::{Frozen, Id, Kernel};
use crate::shape::Shaped;
use std::collections::HashSet;

/// Samples that go through the tail together: enough to hide the reading of weights (a multiply-add for each costs as much as reading
/// its 4 bytes, at 85 a nanosecond and 15 bytes a nanosecond, for 23 samples), and few enough to bound the memory.
pub const TAIL_BATCH: usize = 32;

/// Floats that the second cache of most processors holds: 1 MiB.
const CACHE: usize = 1 << 18;

/// Floats that stay in the second cache whatever else passes through it: 64 KiB.
const FEW: usize = 1 << 14;

/// How many calls the head has: what a batch gains by going together through all that follows is the largest there.
pub fn cut(shaped: &Shaped, frozen: &Frozen) -> usize {
    if frozen.whole_batch {
        return 0;
    }
    let calls = frozen.calls.len();
    let (mut best, mut best_gain, mut gain) = (calls, 0.0, 0.0);
    for at in (0..calls).rev() {
        let [alone, together] = [1, TAIL_BATCH].map(|batch| nanoseconds(shaped, frozen, at, batch));
        gain += TAIL_BATCH as f64 * alone - together;
        let crossing: usize = crossing(frozen, at).into_iter().map(|id| frozen.floats(id)).sum();
        let moved = 2.0 * transfer(TAIL_BATCH * crossing);
        if gain - moved > best_gain && !parts_indices(frozen, at) {
            (best, best_gain) = (at, gain - moved);
        }
    }
    best
}

/// The buffers that are written before a cut and taken after it, outputs of the network included.
pub fn crossing(frozen: &Frozen, cut: usize) -> Vec<Id> {
    let home = |id: &Id| frozen.values[*id].home;
    let (head, tail) = frozen.calls.split_at(cut);
    let touched = |calls: &[crate::layout::Call]| -> HashSet<Id> {
        calls.iter().flat_map(|call| call.inputs.iter().chain([&call.output])).map(home).collect()
    };
    let mut before = touched(head);
    before.extend(frozen.inputs.iter().map(home));
    let mut after = touched(tail);
    after.extend(frozen.outputs.iter().map(home));
    let mut both: Vec<Id> = before.intersection(&after).copied().collect();
    both.sort_unstable();
    both
}

/// Whether the indices of a pooling layer would be made before a cut and taken after it.
fn parts_indices(frozen: &Frozen, cut: usize) -> bool {
    let (head, tail) = frozen.calls.split_at(cut);
    let taken: HashSet<usize> = tail.iter().filter_map(|call| call.indices).collect();
    head.iter().any(|call| call.saves && taken.contains(&call.fused.main))
}

/// The model's time of a call for a batch.
fn nanoseconds(shaped: &Shaped, frozen: &Frozen, at: usize, batch: usize) -> f64 {
    let call = &frozen.calls[at];
    let node = || &shaped.nodes[call.fused.main];
    let computing = match (&call.kernel, call.fused.main < shaped.nodes.len()) {
        (Kernel::Convolution(algorithm), _) => match node().op.role() {
            Role::Convolution(form) => {
                let [input, output] = [call.inputs[0], call.output].map(|id| frozen.values[id].sizes);
                Work { form, input, output }.nanoseconds(*algorithm, batch)
            }
            _ => 0.0,
        },
        (_, true) => {
            let parameters: usize = node().op.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
            match node().op.role() {
                Role::Linear { in_features, out_features, rows } => linear(in_features, out_features, rows * batch),
                // Few weights stay in the cache from sample to sample.
                _ if parameters < FEW => 0.0,
                _ => transfer(parameters),
            }
        }
        _ => 0.0,
    };
    // Values are read and written from beyond the cache if all of them together do not fit in it: direct convolution goes through its
    // input once for every 32 output channels.
    let readings = match &call.kernel {
        Kernel::Convolution(Algorithm::Direct) => frozen.values[call.output].blocks().div_ceil(2),
        _ => 1,
    };
    let floats = |ids: &[Id]| -> usize { ids.iter().map(|&id| frozen.floats(id)).sum() };
    let (read, written) = (floats(&call.inputs), floats(&[call.output]));
    let fits = batch * (read + written) <= CACHE;
    let traffic = if fits { 0.0 } else { transfer(batch * (readings * read + written)) };
    computing + traffic
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::freeze;
    use crate::{Source, compile};

    fn frozen(name: &str) -> Frozen {
        let path = format!("{}/../specs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let source = Source::new(name, std::fs::read_to_string(path).unwrap());
        freeze(&compile(&source).unwrap_or_else(|failure| panic!("{}", failure.render(&source))).shaped)
    }

    #[test]
    fn large_matrices_are_in_the_tail() {
        for name in ["vgg16", "alexnet", "resnet18"] {
            let frozen = frozen(name);
            assert!(
                frozen.cut > 0 && frozen.cut < frozen.calls.len(),
                "{name}: {} of {}",
                frozen.cut,
                frozen.calls.len()
            );
            let first = frozen.calls.iter().position(|call| call.kernel == Kernel::Linear).unwrap();
            assert!(frozen.cut <= first, "{name}");
        }
    }

    #[test]
    fn what_crosses_is_small() {
        for name in ["vgg16", "resnet18", "resnet50", "googlenet", "densenet121", "mobilenet_v2"] {
            let frozen = frozen(name);
            let floats: usize = crossing(&frozen, frozen.cut).into_iter().map(|id| frozen.floats(id)).sum();
            assert!(floats < 1 << 18, "{name}: {floats} at call {}", frozen.cut);
        }
    }
}
