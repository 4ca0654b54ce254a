//! Concatenations whose parts are made in their buffer: no copying. Later ones first, so that of several that begin alike (DenseNet's)
//! the longest holds them all.

use super::operation::Operation;
use super::program::{BLOCK, Call, Id, Part, Program, Value};
use crate::shape::Shaped;
use std::collections::HashSet;

/// Places the parts of concatenations of blocked maps in their buffers, and leaves out the calls that would copy them.
pub fn concat(_: &Shaped, mut program: Program) -> Program {
    let makers = program.makers();
    let mut placed = vec![false; program.values.len()];
    let mut in_place = vec![false; program.calls.len()];
    let takers = program.takers();
    let Program { values, calls, .. } = &mut program;
    for at in (0..calls.len()).rev() {
        let Some(whole) = copies_blocked(values, &calls[at]) else { continue };
        let parts: Vec<Id> = calls[at].inputs().collect();
        if let Some((home, first_block)) = consecutive(values, &placed, &parts) {
            // A beginning of a longer concatenation that has been placed.
            let into_itself = |&taker: &usize| calls[taker].writes().any(|made| values[made].home == home);
            if values[whole].home == whole && !placed[whole] && !takers[whole].iter().any(into_itself) {
                (values[whole].home, values[whole].first_block) = (home, first_block);
                placed[whole] = true;
                in_place[at] = true;
            }
            continue;
        }
        let even = parts[..parts.len() - 1].iter().all(|&id| values[id].sizes()[0].is_multiple_of(BLOCK));
        let distinct = parts.iter().collect::<HashSet<_>>().len() == parts.len();
        let free = parts.iter().all(|&id| !placed[id] && values[id].home == id);
        let (home, mut block) = (values[whole].home, values[whole].first_block);
        // A call must not read and write one buffer.
        let inside = |id: Id| values[id].home == home || parts.contains(&id);
        let makes_from_inside = |&part: &Id| makers[part].is_some_and(|maker| calls[maker].reads().any(inside));
        if !(even && distinct && free) || parts.iter().any(makes_from_inside) {
            continue;
        }
        for &id in &parts {
            (values[id].home, values[id].first_block) = (home, block);
            block += values[id].blocks();
            placed[id] = true;
        }
        in_place[at] = true;
    }
    let mut copied = in_place.iter().map(|placed| !placed);
    calls.retain(|_| copied.next().unwrap_or(true));
    program.cut = program.calls.len();
    program
}

/// The result of a call that would copy blocked maps one behind the other.
fn copies_blocked(values: &[Value], call: &Call) -> Option<Id> {
    let result = call.part(Part::Output)?;
    let copies = matches!(call.operation, Operation::Concat { .. }) && values[result].layout.is_blocked();
    copies.then_some(result)
}

/// The place of values that lie one behind the other in one buffer already.
fn consecutive(values: &[Value], placed: &[bool], ids: &[Id]) -> Option<(Id, usize)> {
    let first = &values[*ids.first()?];
    let mut block = first.first_block;
    for &id in ids {
        let value = &values[id];
        if !placed[id] || value.home != first.home || value.first_block != block {
            return None;
        }
        block += value.blocks();
    }
    Some((first.home, first.first_block))
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;

    #[test]
    fn concatenations_are_made_in_place() {
        for name in ["densenet121", "googlenet", "squeezenet1_1"] {
            let program = planned(name).program;
            for call in &program.calls {
                assert!(!matches!(call.operation, Operation::Concat { .. }), "{name}: {call:?}");
                let home = |id: Id| program.values[id].home;
                let made: Vec<Id> = call.writes().map(home).collect();
                assert!(call.reads().all(|id| !made.contains(&home(id))), "{name}: {call:?}");
            }
        }
    }
}
