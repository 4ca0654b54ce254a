//! Which values lie where another of the same sizes lay before them and left its halo of zeros: it need not be written again.
//!
//! It is little to write but much to share: one thread writes it all, and every other fetches its part from that one's cache.

use super::planned::{Arena, Place, Planned};
use crate::lower::program::{Id, Layout, Part, Program};
use std::collections::BTreeMap;

/// The values whose halo is zero before their call, each with the value that left it.
pub(super) fn kept(planned: &Planned) -> Vec<(Id, Id)> {
    let program = &planned.program;
    let sharing = program.sharing();
    // Its buffer holds nothing else.
    let whole = |id: Id| program.home(id) == id && sharing[id] == 1;
    let mut kept = Vec::new();
    for (calls, arena) in
        [(0..program.cut, Some(&planned.first)), (program.cut..program.calls.len(), planned.second.as_ref())]
    {
        let Some(arena) = arena else { continue };
        let mut written = Written::default();
        for call in &program.calls[calls] {
            if let Some(id) = call.part(Part::Output).filter(|&id| has_halo(program, id) && whole(id))
                && let Some(before) = written.alone_at(program, arena, id)
                && whole(before)
                && program.values[before].content == program.values[id].content
                && program.values[before].layout == program.values[id].layout
            {
                kept.push((id, before));
            }
            for id in call.writes() {
                written.write(program, arena, id);
            }
        }
    }
    kept
}

fn has_halo(program: &Program, id: Id) -> bool {
    matches!(program.values[id].layout, Layout::Blocked { halo } if halo != [0; 4])
}

/// Which value wrote each float that grows with the batch last: runs by their first float, each with its end.
#[derive(Debug, Default)]
struct Written {
    runs: BTreeMap<usize, (usize, Id)>,
}

impl Written {
    /// The value that wrote all of a place, if one alone did and lay exactly there.
    fn alone_at(&self, program: &Program, arena: &Arena, id: Id) -> Option<Id> {
        let Place::PerSample(from, to) = arena.place(program, id)? else { return None };
        match self.runs.get(&from) {
            Some(&(end, before)) if end == to && arena.place(program, before) == arena.place(program, id) => {
                Some(before)
            }
            _ => None,
        }
    }

    fn write(&mut self, program: &Program, arena: &Arena, id: Id) {
        let Some(Place::PerSample(from, to)) = arena.place(program, id) else { return };
        // What reaches into the place from in front, and what begins in it, is cut.
        let before = self.runs.range(..from).next_back().map(|(&start, &run)| (start, run));
        if let Some((start, (end, other))) = before.filter(|&(_, (end, _))| end > from) {
            self.runs.insert(start, (from, other));
            if end > to {
                self.runs.insert(to, (end, other));
            }
        }
        let inside: Vec<usize> = self.runs.range(from..to).map(|(&start, _)| start).collect();
        for start in inside {
            if let Some((end, other)) = self.runs.remove(&start).filter(|&(end, _)| end > to) {
                self.runs.insert(to, (end, other));
            }
        }
        self.runs.insert(from, (to, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::testing::{SPECS, planned};

    #[test]
    fn nothing_is_written_between() {
        for name in SPECS {
            let planned = planned(name);
            let (program, kept) = (&planned.program, &planned.kept_halos);
            assert!(name != "mobilenet_v2" || kept.len() >= 5, "{}", kept.len());
            // Written once more: every call, in order, marks the floats of its buffers with the value's number.
            let mut floats: Vec<Vec<Id>> = Vec::new();
            for (at, call) in program.calls.iter().enumerate() {
                let arena = planned.arena(at);
                if at == 0 || at == program.cut {
                    floats.push(vec![usize::MAX; arena.size.per_sample]);
                }
                let floats = floats.last_mut().unwrap();
                for id in call.writes() {
                    let Some(Place::PerSample(from, to)) = arena.place(program, id) else { continue };
                    if let Some((_, before)) = kept.iter().find(|(kept, _)| *kept == id) {
                        assert!(floats[from..to].iter().all(|mark| mark == before), "{name}: {call:?}");
                        // The border of zeros is as wide and around as much.
                        let [was, is] = [*before, id].map(|id| &program.values[id]);
                        assert_eq!((&was.content, was.layout), (&is.content, is.layout), "{name}: {call:?}");
                    }
                    floats[from..to].fill(id);
                }
            }
        }
    }
}
