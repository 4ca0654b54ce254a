//! Linear layers that take a blocked map as it lies: their weights are packed in its order, and nothing is converted.

use super::operation::{Linear, Operation};
use super::program::{BLOCK, Call, Id, Layout, Part, Program};
use crate::shape::Shaped;

/// Leaves out conversions whose results nothing but linear layers take, where the map's buffer holds all of its floats and no others.
pub fn flatten(_: &Shaped, mut program: Program) -> Program {
    // A flattened value is another name of the same buffer.
    let mut by_others = vec![false; program.values.len()];
    for call in program.calls.iter().filter(|call| !matches!(call.operation, Operation::Linear(_))) {
        call.reads().for_each(|id| by_others[program.values[id].home] = true);
    }
    program.outputs.iter().for_each(|&id| by_others[program.values[id].home] = true);
    // For the plain value that a needless conversion would make, the map.
    let mut maps: Vec<Option<Id>> = vec![None; program.values.len()];
    let values = &program.values;
    program.calls.retain(|call| match needless(values, &by_others, call) {
        Some((to, from)) => {
            maps[to] = Some(from);
            false
        }
        None => true,
    });
    for call in &mut program.calls {
        let Operation::Linear(Linear { map, .. }) = &mut call.operation else { continue };
        for operand in call.operands.iter_mut().filter(|operand| operand.part == Part::Input(0)) {
            if let Some(from) = maps[values[operand.value].home] {
                operand.value = from;
                // A map of one pixel lies in both layouts alike.
                let sizes @ [_, height, width] = values[from].sizes();
                *map = (height * width > 1).then_some(sizes);
            }
        }
    }
    program.cut = program.calls.len();
    program
}

/// What a conversion would make, and from what, if nothing needs it.
fn needless(values: &[super::program::Value], by_others: &[bool], call: &Call) -> Option<(Id, Id)> {
    let (Operation::ToPlain, Some(from), Some(to)) =
        (&call.operation, call.part(Part::Input(0)), call.part(Part::Output))
    else {
        return None;
    };
    let map = &values[from];
    let dense = map.layout == Layout::BLOCKED && map.home == from && map.sizes()[0].is_multiple_of(BLOCK);
    (dense && values[to].home == to && !by_others[to]).then_some((to, from))
}

#[cfg(test)]
mod tests {
    use super::super::testing::inference;
    use super::*;

    fn program(layers: &str) -> Program {
        inference(&format!("[network]\ninput = [20, 6, 6]\n{layers}"))
    }

    fn conversions(program: &Program) -> usize {
        program.calls.iter().filter(|call| call.operation == Operation::ToPlain).count()
    }

    fn conv(channels: usize) -> String {
        format!("[[layer]]\nname = 'c{channels}'\ntype = 'conv2d'\nkernel_size = 3\nout_channels = {channels}\n")
    }

    const FLATTEN: &str = "[[layer]]\ntype = 'flatten'\n";
    const LINEAR: &str = "[[layer]]\ntype = 'linear'\nout_features = 10\n";

    #[test]
    fn linear_layers_take_blocked_maps() {
        let program = program(&format!("{}{FLATTEN}[[layer]]\ntype = 'dropout'\n{LINEAR}", conv(32)));
        assert_eq!(conversions(&program), 0);
        let linear = program.calls.last().unwrap();
        assert!(matches!(&linear.operation, Operation::Linear(Linear { map: Some([32, 4, 4]), .. })), "{linear:?}");
        assert!(program.values[linear.part(Part::Input(0)).unwrap()].layout.is_blocked());
    }

    #[test]
    fn others_take_plain_values() {
        // Channels outside of whole blocks.
        assert_eq!(conversions(&program(&format!("{}{FLATTEN}{LINEAR}", conv(24)))), 1);
        // A layer that is not linear takes the flattened map too.
        let shared =
            format!("{}{FLATTEN}{LINEAR}[[layer]]\ntype = 'concat'\ninputs = ['flatten1', 'linear1']\n", conv(32));
        assert_eq!(conversions(&program(&shared)), 1);
        // The map has a border for a convolution.
        let halo = format!(
            "{}{FLATTEN}{LINEAR}[[layer]]\nname = 'padded'\ntype = 'conv2d'\ninput = 'c32'\npadding = 1\nkernel_size = 3\n\
             out_channels = 4\n[[layer]]\ntype = 'flatten'\n[[layer]]\ntype = 'concat'\ninputs = ['linear1', 'flatten2']\n",
            conv(32)
        );
        assert_eq!(conversions(&program(&halo)), 2);
        // The map lies beside another in a concatenation's buffer.
        let part = format!(
            "{}{}input = 'input'\n[[layer]]\ntype = 'concat'\ninputs = ['c32', 'c16']\n[[layer]]\ntype = 'flatten'\n\
             [[layer]]\ntype = 'flatten'\ninput = 'c32'\n{LINEAR}[[layer]]\ntype = 'concat'\ninputs = ['flatten1', 'linear1']\n",
            conv(32),
            conv(16)
        );
        assert_eq!(conversions(&program(&part)), 2);
    }

    #[test]
    fn outputs_are_plain() {
        let spec = format!("outputs = ['c32', 'linear1']\n{}{FLATTEN}{LINEAR}", conv(32));
        assert_eq!(conversions(&program(&spec)), 1);
    }
}
