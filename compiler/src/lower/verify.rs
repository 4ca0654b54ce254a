//! What holds of every program, whatever passes it has been through. It is checked between passes in builds with debug assertions.

use super::halos::wanted;
use super::operation::{ConvolutionKernel, Operation};
use super::program::{Access, Call, Id, Layout, Part, Program};

/// Checks that every value is made once, before it is taken; that calls do not read what they write; that layouts are those that the
/// operations take (`laid_out`: once they have been chosen), and halos as wide as readers want (`bordered`: once they have been widened).
pub fn verify(program: &Program, laid_out: bool, bordered: bool) -> Result<(), String> {
    let mut made = Made::new(program);
    let mut turns = program.turns().into_iter().peekable();
    for at in 0..=program.calls.len() {
        while let Some(turn) = turns.next_if(|turn| turn.before == at) {
            for &id in &turn.takes {
                made.take(id).map_err(|wrong| format!("{wrong}, and the caller takes it before call {at}"))?;
            }
            for &id in &turn.fills {
                made.make(id).map_err(|wrong| format!("{wrong}, by the caller before call {at}"))?;
            }
        }
        let Some(call) = program.calls.get(at) else { break };
        let check = || -> Result<(), String> {
            call.operands.iter().try_for_each(|operand| match operand.access {
                Access::Read | Access::Update => made.take(operand.value),
                Access::Write => Ok(()),
            })?;
            overlaps(program, call)?;
            if laid_out {
                layouts(program, call)?;
            }
            if bordered { borders(program, call) } else { Ok(()) }
        };
        check().map_err(|wrong| format!("{wrong}, in call {at}: {call:?}"))?;
        for id in call.writes() {
            made.make(id).map_err(|wrong| format!("{wrong}, in call {at}: {call:?}"))?;
        }
    }
    Ok(())
}

/// What has been made so far.
struct Made<'a> {
    program: &'a Program,
    made: Vec<bool>,
    /// For each home, the runs of blocks that calls have made there: for values that no call makes as a whole.
    blocks: Vec<Vec<(usize, usize)>>,
    /// Whether a call or the caller makes the value.
    has_maker: Vec<bool>,
}

impl<'a> Made<'a> {
    fn new(program: &'a Program) -> Self {
        let mut has_maker: Vec<bool> = program.makers().into_iter().map(|maker| maker.is_some()).collect();
        program.turns().iter().flat_map(|turn| &turn.fills).for_each(|&id| has_maker[id] = true);
        let made = vec![false; program.values.len()];
        Self { program, made, blocks: vec![Vec::new(); program.values.len()], has_maker }
    }

    fn make(&mut self, id: Id) -> Result<(), String> {
        if std::mem::replace(&mut self.made[id], true) {
            return Err(format!("value {id} is made twice"));
        }
        let value = &self.program.values[id];
        if value.layout.is_blocked() {
            self.blocks[value.home].push((value.first_block, value.first_block + value.blocks()));
        }
        Ok(())
    }

    /// A value that no call makes is another name of what lies in its home, or is put together there by its parts.
    fn take(&self, id: Id) -> Result<(), String> {
        let value = &self.program.values[id];
        let there = match (self.has_maker[id], value.layout) {
            (true, _) => self.made[id],
            (false, Layout::Plain) => value.home != id && self.take(value.home).is_ok(),
            (false, Layout::Blocked { .. }) => {
                let (from, to) = (value.first_block, value.first_block + value.blocks());
                let parts = self.blocks[value.home].iter().filter(|&&(a, b)| from <= a && b <= to);
                parts.map(|&(a, b)| b - a).sum::<usize>() == to - from
            }
        };
        if there { Ok(()) } else { Err(format!("value {id} ({:?}) is taken before it is made", value.what)) }
    }
}

/// A call does not write where it reads.
fn overlaps(program: &Program, call: &Call) -> Result<(), String> {
    for written in call.writes() {
        let home = program.home(written);
        if call.reads().any(|id| program.home(id) == home) {
            return Err(format!("the buffer of value {home} is read and written"));
        }
    }
    Ok(())
}

fn layouts(program: &Program, call: &Call) -> Result<(), String> {
    let (plain, blocked) = (Some(false), Some(true));
    // What flows in, and what comes out; `None` for either.
    let (from, to) = match &call.operation {
        Operation::Convolution(it) => match it.kernel {
            ConvolutionKernel::Blocked(_) => (blocked, blocked),
            ConvolutionKernel::FromPlanar(_) => (plain, blocked),
            ConvolutionKernel::Planar => (plain, plain),
        },
        Operation::Linear(it) => (if it.map.is_some() { blocked } else { None }, plain),
        Operation::Affine(_)
        | Operation::Activation(_)
        | Operation::Combine(_)
        | Operation::Maps(_)
        | Operation::Concat { .. } => (blocked, blocked),
        Operation::ToBlocked => (plain, blocked),
        Operation::ToPlain => (blocked, plain),
        Operation::Layer(_) | Operation::Accumulate | Operation::Zero | Operation::Nothing | Operation::Flatten => {
            (plain, plain)
        }
    };
    for operand in &call.operands {
        let lies = program.values[operand.value].layout.is_blocked();
        let wanted = if operand.access == Access::Write { to } else { from };
        if wanted.is_some_and(|blocked| blocked != lies) {
            return Err(format!("value {} lies in another layout than the operation takes", operand.value));
        }
    }
    Ok(())
}

fn borders(program: &Program, call: &Call) -> Result<(), String> {
    let (Operation::Convolution(convolution), Some(input)) = (&call.operation, call.part(Part::Input(0))) else {
        return Ok(());
    };
    let have = match program.values[input].layout {
        Layout::Plain => [0; 4],
        Layout::Blocked { halo } => halo,
    };
    if wanted(convolution).iter().zip(have).all(|(&want, have)| want <= have) {
        return Ok(());
    }
    Err(format!("the halo of value {input} is {have:?}, narrower than what is read"))
}

#[cfg(test)]
mod tests {
    use super::super::operation::Function;
    use super::super::testing::{SPECS, inference, read_spec};
    use super::super::{evaluation, training};
    use super::*;

    fn program() -> Program {
        let conv = "[[layer]]\ntype = 'conv2d'\nout_channels = 16\nkernel_size = 3\npadding = 1\n";
        inference(&format!("[network]\ninput = [16, 8, 8]\nwinograd = false\n{conv}{conv}"))
    }

    fn wrong(program: &Program, what: &str) {
        let message = verify(program, true, true).unwrap_err();
        assert!(message.contains(what), "{message}");
    }

    #[test]
    fn programs_are_right() {
        assert_eq!(verify(&program(), true, true), Ok(()));
        for name in SPECS {
            let shaped = read_spec(name);
            for program in [evaluation(&shaped), training(&shaped)] {
                assert_eq!(verify(&program, true, true), Ok(()), "{name}");
            }
        }
    }

    #[test]
    fn what_is_taken_before_it_is_made() {
        let mut program = program();
        program.calls.swap(1, 2);
        wrong(&program, "taken before it is made");
        program.calls.clear();
        wrong(&program, "the caller takes it");
    }

    #[test]
    fn what_is_made_twice() {
        let mut program = program();
        let again = program.calls[1].clone();
        program.calls.insert(2, again);
        wrong(&program, "made twice");
    }

    #[test]
    fn a_layout_that_no_kernel_takes() {
        let mut program = program();
        program.calls[1].operation = Operation::Layer(Function::Forward);
        wrong(&program, "another layout");
    }

    #[test]
    fn a_halo_that_is_too_narrow() {
        let mut program = program();
        let input = program.calls[1].part(Part::Input(0)).unwrap();
        program.values[input].layout = Layout::BLOCKED;
        wrong(&program, "narrower");
    }

    #[test]
    fn a_buffer_that_is_read_and_written() {
        let mut program = program();
        let [input, output] = [Part::Input(0), Part::Output].map(|part| program.calls[1].part(part).unwrap());
        program.values[output].home = input;
        wrong(&program, "read and written");
    }
}
