//! Where the inference program is cut in two: the head goes through sample by sample, so that its maps stay in the caches; the tail
//! takes up to [`TAIL_BATCH`] samples together, so that each of its weights is read once for all of them.

use super::algorithm::BlockedAlgorithm;
use super::cost::{Modelled, linear, transfer};
use super::operation::{Convolution, ConvolutionKernel, Operation};
use super::program::{Call, Id, Part, Program, What};
use crate::shape::Shaped;

/// Samples that go through the tail together: enough to hide the reading of weights (a multiply-add for each costs as much as reading
/// its 4 bytes, at 85 a nanosecond and 15 bytes a nanosecond, for 23 samples), and few enough to bound the memory.
pub const TAIL_BATCH: usize = 32;

/// Floats that the second cache of most processors holds: 1 MiB.
const CACHE: usize = 1 << 18;

/// Floats that stay in the second cache whatever else passes through it: 64 KiB.
const FEW: usize = 1 << 14;

/// Cuts where what a batch gains by going together through all that follows is the largest.
pub fn cut(shaped: &Shaped, mut program: Program) -> Program {
    program.cut = best(shaped, &program);
    program
}

fn best(shaped: &Shaped, program: &Program) -> usize {
    if program.whole_batch {
        return 0;
    }
    let calls = program.calls.len();
    let lives = lives(program);
    let (mut best, mut best_gain, mut gain) = (calls, 0.0, 0.0);
    // Floats that cross a cut, from the last one backwards: each buffer from its last use down to its first.
    let mut crossing = Crossing::new(program, &lives);
    for at in (0..calls).rev() {
        let [alone, together] = [1, TAIL_BATCH].map(|batch| nanoseconds(shaped, program, &program.calls[at], batch));
        gain += TAIL_BATCH as f64 * alone - together;
        let (floats, parted) = crossing.at(at);
        let moved = 2.0 * transfer(TAIL_BATCH * floats);
        if gain - moved > best_gain && !parted {
            (best, best_gain) = (at, gain - moved);
        }
    }
    best
}

/// The first and the last moment of each buffer: call number `i` happens at `i`, the caller fills inputs in before all and takes outputs
/// after all. By home; `None` for what no call touches.
fn lives(program: &Program) -> Vec<Option<[isize; 2]>> {
    let mut lives: Vec<Option<[isize; 2]>> = vec![None; program.values.len()];
    let mut touch = |id: Id, at: isize| {
        let life = lives[program.values[id].home].get_or_insert([at; 2]);
        *life = [life[0].min(at), life[1].max(at)];
    };
    for (i, call) in program.calls.iter().enumerate() {
        call.operands.iter().for_each(|operand| touch(operand.value, i as isize));
    }
    program.inputs.iter().for_each(|&id| touch(id, -1));
    program.outputs.iter().for_each(|&id| touch(id, program.calls.len() as isize));
    lives
}

/// The buffers that are written before a cut and taken after it, outputs of the network included.
pub fn crossing(program: &Program, cut: usize) -> Vec<Id> {
    let crosses = |life: &Option<[isize; 2]>| life.is_some_and(|[from, to]| from < cut as isize && to >= cut as isize);
    let lives = lives(program);
    (0..lives.len()).filter(|&id| crosses(&lives[id])).collect()
}

/// What crosses a cut as that moves towards the beginning.
struct Crossing {
    /// For each moment, counted from the input's, what begins to be alive there and what is alive there for the last time.
    begins: Vec<[usize; 2]>,
    ends: Vec<[usize; 2]>,
    /// Floats, and values that the head may not leave to the tail, alive on both sides of the cut.
    floats: usize,
    kept: usize,
}

impl Crossing {
    fn new(program: &Program, lives: &[Option<[isize; 2]>]) -> Self {
        let moments = program.calls.len() + 2;
        let (mut begins, mut ends) = (vec![[0; 2]; moments], vec![[0; 2]; moments]);
        for (id, life) in lives.iter().enumerate() {
            let Some([from, to]) = life.map(|life| life.map(|at| (at + 1) as usize)) else { continue };
            // Indices and statistics are not copied from one arena to the other.
            let kept = matches!(program.values[id].what, What::Saved(_));
            for (at, moment) in [(from, &mut begins), (to, &mut ends)] {
                moment[at][0] += if kept { 0 } else { program.floats(id) };
                moment[at][1] += usize::from(kept);
            }
        }
        let [floats, kept] = ends[moments - 1];
        Self { begins, ends, floats, kept }
    }

    /// Floats that cross the cut before call `at`, and whether something would that must not. For `at` in descending order, each once.
    fn at(&mut self, at: usize) -> (usize, bool) {
        // What call `at` takes for the last time crosses now, and what it makes does no more.
        let ([more, more_kept], [fewer, fewer_kept]) = (self.ends[at + 1], self.begins[at + 1]);
        self.floats = self.floats + more - fewer;
        self.kept = self.kept + more_kept - fewer_kept;
        (self.floats, self.kept > 0)
    }
}

/// The model's time of a call for a batch.
fn nanoseconds(shaped: &Shaped, program: &Program, call: &Call, batch: usize) -> f64 {
    let computing = match &call.operation {
        Operation::Convolution(Convolution { kernel: ConvolutionKernel::Blocked(algorithm), sizes, .. }) => {
            algorithm.nanoseconds(sizes, batch)
        }
        Operation::Linear(it) => linear(&it.sizes, batch),
        _ => call.layer().map_or(0.0, |layer| {
            let op = &shaped.nodes[layer].op;
            if let Some(Operation::Linear(it)) = op.operation(layer) {
                return linear(&it.sizes, batch);
            }
            let parameters: usize = op.parameters().iter().map(|it| it.shape.iter().product::<usize>()).sum();
            // Few weights stay in the cache from sample to sample.
            if parameters < FEW { 0.0 } else { transfer(parameters) }
        }),
    };
    // Values are read and written from beyond the cache if all of them together do not fit in it: direct convolution goes through its
    // input once for every 32 output channels.
    let readings = match (&call.operation, call.part(Part::Output)) {
        (
            Operation::Convolution(Convolution {
                kernel: ConvolutionKernel::Blocked(BlockedAlgorithm::Direct), ..
            }),
            Some(output),
        ) => program.values[output].blocks().div_ceil(2),
        _ => 1,
    };
    let tensors = |part: Part| matches!(part, Part::Input(_) | Part::Residual);
    let read: usize = call.operands.iter().filter(|it| tensors(it.part)).map(|it| program.floats(it.value)).sum();
    let written = call.part(Part::Output).map_or(0, |id| program.floats(id));
    let fits = batch * (read + written) <= CACHE;
    let traffic = if fits { 0.0 } else { transfer(batch * (readings * read + written)) };
    computing + traffic
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;

    #[test]
    fn large_matrices_are_in_the_tail() {
        for name in ["vgg16", "alexnet", "resnet18"] {
            let Program { cut, calls, .. } = planned(name).program;
            assert!(cut > 0 && cut < calls.len(), "{name}: {cut} of {}", calls.len());
            let first = calls.iter().position(|call| matches!(call.operation, Operation::Linear(_))).unwrap();
            assert!(cut <= first, "{name}");
        }
    }

    #[test]
    fn what_crosses_is_small() {
        for name in ["vgg16", "resnet18", "resnet50", "googlenet", "densenet121", "mobilenet_v2"] {
            let program = planned(name).program;
            let crossing = crossing(&program, program.cut);
            let floats: usize = crossing.into_iter().map(|id| program.floats(id)).sum();
            assert!(floats < 1 << 18, "{name}: {floats} at call {}", program.cut);
        }
    }

    #[test]
    fn what_crosses_is_counted_on_the_way() {
        for name in ["googlenet", "unet", "segment_digits"] {
            let program = planned(name).program;
            let lives = lives(&program);
            let mut counted = Crossing::new(&program, &lives);
            for at in (0..program.calls.len()).rev() {
                let all = crossing(&program, at);
                let (kept, moved): (Vec<Id>, Vec<Id>) =
                    all.into_iter().partition(|&id| matches!(program.values[id].what, What::Saved(_)));
                let floats = moved.into_iter().map(|id| program.floats(id)).sum();
                assert_eq!(counted.at(at), (floats, !kept.is_empty()), "{name}, cut {at}");
            }
        }
    }
}
