//! Lifetimes of values -> offsets in arenas.
//!
//! Offsets are floats per sample and are scaled by the batch at run time: two values that do not overlap for one sample do not
//! overlap for any number. Values that do not grow with the batch lie in a region of their own, in front.

mod assign;
mod halos;
mod planned;

use crate::lower::cut::crossing;
use crate::lower::operation::Extent;
use crate::lower::program::{Call, Id, Kind, Program};
use assign::{Life, assign};

pub use planned::{Arena, Place, Planned};

/// Gives every value its place.
pub fn plan(program: Program) -> Planned {
    if program.kind == Kind::Inference { in_two(program) } else { in_one(program) }
}

/// One arena for all calls: the caller's turns and the calls, one after the other, are the moments of its values' lives.
fn in_one(program: Program) -> Planned {
    let mut lives = Lives::new(&program);
    let mut turns = program.turns().into_iter().peekable();
    let mut moment = 0;
    for at in 0..=program.calls.len() {
        while let Some(turn) = turns.next_if(|turn| turn.before == at) {
            turn.fills.iter().chain(&turn.takes).for_each(|&id| lives.touch(id, moment));
            moment += 1;
        }
        if let Some(call) = program.calls.get(at) {
            lives.call(call, moment);
            moment += 1;
        }
    }
    let first = lives.arena();
    Planned { program, first, second: None, crossing: Vec::new(), kept_halos: Vec::new() }
}

/// An arena for what goes through sample by sample, and one for a batch. The first reads the network's inputs where the caller has them.
fn in_two(program: Program) -> Planned {
    let all = crossing(&program, program.cut);
    let (head, tail) = program.calls.split_at(program.cut);
    let crossing: Vec<Id> = all.iter().copied().filter(|id| !program.inputs.contains(id)).collect();
    let mut lives = Lives::new(&program);
    run(&mut lives, head, &[], &crossing);
    program.inputs.iter().for_each(|&id| lives.forget(id));
    let first = lives.arena();
    let mut lives = Lives::new(&program);
    run(&mut lives, tail, &all, &program.outputs);
    let second = Some(lives.arena());
    let mut planned = Planned { program, first, second, crossing, kept_halos: Vec::new() };
    planned.kept_halos = halos::kept(&planned);
    planned
}

/// Calls between a moment at which some buffers are filled and one at which some are taken out.
fn run(lives: &mut Lives<'_>, calls: &[Call], filled: &[Id], taken: &[Id]) {
    filled.iter().for_each(|&id| lives.touch(id, 0));
    calls.iter().enumerate().for_each(|(i, call)| lives.call(call, i + 1));
    taken.iter().for_each(|&id| lives.touch(id, calls.len() + 1));
}

/// The moments in which buffers are taken, from the first to the last, by home.
struct Lives<'a> {
    program: &'a Program,
    lives: Vec<Option<Life>>,
}

impl<'a> Lives<'a> {
    fn new(program: &'a Program) -> Self {
        Self { program, lives: vec![None; program.values.len()] }
    }

    fn touch(&mut self, id: Id, at: usize) {
        let life = self.lives[self.program.home(id)].get_or_insert(Life { from: at, to: at });
        (life.from, life.to) = (life.from.min(at), life.to.max(at));
    }

    fn call(&mut self, call: &Call, at: usize) {
        call.operands.iter().for_each(|operand| self.touch(operand.value, at));
    }

    /// Leaves out a buffer that lies elsewhere.
    fn forget(&mut self, id: Id) {
        self.lives[self.program.home(id)] = None;
    }

    fn arena(self) -> Arena {
        let touched = self.lives.iter().enumerate().filter_map(|(id, life)| Some((id, (*life)?)));
        let (ids, lives): (Vec<Id>, Vec<Life>) = touched.unzip();
        let extents: Vec<Extent> = ids.iter().map(|&id| self.program.values[id].extent()).collect();
        let (assigned, size) = assign(&extents, &lives);
        let mut places = vec![None; self.program.values.len()];
        for (id, place) in ids.into_iter().zip(assigned) {
            places[id] = Some(place);
        }
        Arena { places, size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::program::Access;
    use crate::lower::testing::{SPECS, planned, read_spec};
    use crate::lower::{evaluation, training};

    /// Whatever is taken later and was made before survives what a call writes.
    fn survives(name: &str, planned: &Planned) {
        let program = &planned.program;
        // For each home, when it is taken for the last time, and whether it has been made.
        let mut last = vec![0; program.values.len()];
        let mut moments: Vec<(Vec<Id>, Vec<Id>)> = vec![(Vec::new(), Vec::new()); program.calls.len() + 1];
        for turn in program.turns() {
            moments[turn.before].0.extend(turn.fills);
            moments[turn.before].1.extend(turn.takes);
        }
        for (at, (_, takes)) in moments.iter().enumerate() {
            let reads = program.calls.get(at).into_iter().flat_map(|call| &call.operands);
            let taken = reads.map(|operand| operand.value).chain(takes.iter().copied());
            taken.for_each(|id| last[program.home(id)] = at);
        }
        let mut made: Vec<Id> = Vec::new();
        for (at, call) in program.calls.iter().enumerate() {
            made.extend(moments[at].0.iter().map(|&id| program.home(id)));
            let arena = planned.arena(at);
            for operand in call.operands.iter().filter(|operand| operand.access != Access::Read) {
                let written = program.home(operand.value);
                let place = arena.place(program, written).unwrap_or_else(|| panic!("{name}: call {at} has no place"));
                for &other in made.iter().filter(|&&other| other != written && last[other] >= at) {
                    let lies = arena.place(program, other).is_some_and(|lies| lies.overlaps(place));
                    assert!(!lies, "{name}, call {at}: value {written} overlaps value {other}");
                }
            }
            made.extend(call.writes().map(|id| program.home(id)));
            made.sort_unstable();
            made.dedup();
            made.retain(|&id| last[id] > at);
        }
    }

    #[test]
    fn values_that_live_together_do_not_overlap() {
        for name in SPECS {
            survives(name, &planned(name));
            let shaped = read_spec(name);
            survives(name, &plan(evaluation(&shaped)));
            survives(name, &plan(training(&shaped)));
        }
    }

    #[test]
    fn the_head_reads_inputs_where_the_caller_has_them() {
        let planned = planned("resnet50");
        let program = &planned.program;
        assert!(program.inputs.iter().all(|&id| planned.first.place(program, id).is_none()));
    }
}
