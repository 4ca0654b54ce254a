//! Linear layers that take a blocked map as it lies: their weights are packed in its order, and nothing is converted.

use crate::layout::{Call, Id, Kernel, Layout, Value};
use castnet_descriptors::BLOCK;

/// Leaves out conversions whose results nothing but linear layers take, where the map's buffer holds all of its floats and no others.
pub fn take_blocked(values: &[Value], calls: &mut Vec<Call>, outputs: &[Id]) {
    let mut index = 0;
    while index < calls.len() {
        if is_needless(values, calls, outputs, &calls[index]) {
            let Call { inputs, output, .. } = calls.remove(index);
            for call in calls.iter_mut() {
                for id in call.inputs.iter_mut().filter(|id| values[**id].home == output) {
                    *id = inputs[0];
                }
            }
        } else {
            index += 1;
        }
    }
}

fn is_needless(values: &[Value], calls: &[Call], outputs: &[Id], conversion: &Call) -> bool {
    let (Kernel::ToPlain, from, to) = (&conversion.kernel, conversion.inputs[0], conversion.output) else {
        return false;
    };
    let map = &values[from];
    let dense =
        map.layout == Layout::Blocked { halo: [0; 4] } && map.home == from && map.sizes[0].is_multiple_of(BLOCK);
    // A flattened value is another name of the same buffer.
    let taken = |id: &Id| values[*id].home == to;
    let by_others = calls.iter().any(|call| call.kernel != Kernel::Linear && call.inputs.iter().any(taken));
    dense && values[to].home == to && !by_others && !outputs.iter().any(taken)
}

#[cfg(test)]
mod tests {
    use crate::layout::{Frozen, Kernel, Layout};
    use crate::{Source, compile};

    fn frozen(layers: &str) -> Frozen {
        let source = Source::new("test", format!("[network]\ninput = [20, 6, 6]\n{layers}"));
        compile(&source).unwrap_or_else(|failure| panic!("{}", failure.render(&source))).inference.frozen
    }

    fn conversions(frozen: &Frozen) -> usize {
        frozen.calls.iter().filter(|call| call.kernel == Kernel::ToPlain).count()
    }

    fn conv(channels: usize) -> String {
        format!("[[layer]]\nname = 'c{channels}'\ntype = 'conv2d'\nkernel_size = 3\nout_channels = {channels}\n")
    }

    const FLATTEN: &str = "[[layer]]\ntype = 'flatten'\n";
    const LINEAR: &str = "[[layer]]\ntype = 'linear'\nout_features = 10\n";

    #[test]
    fn linear_layers_take_blocked_maps() {
        let frozen = frozen(&format!("{}{FLATTEN}[[layer]]\ntype = 'dropout'\n{LINEAR}", conv(32)));
        assert_eq!(conversions(&frozen), 0);
        let linear = frozen.calls.last().unwrap();
        assert!(matches!(frozen.values[linear.inputs[0]].layout, Layout::Blocked { .. }), "{linear:?}");
    }

    #[test]
    fn others_take_plain_values() {
        // Channels outside of whole blocks.
        assert_eq!(conversions(&frozen(&format!("{}{FLATTEN}{LINEAR}", conv(24)))), 1);
        // A layer that is not linear takes the flattened map too.
        let shared =
            format!("{}{FLATTEN}{LINEAR}[[layer]]\ntype = 'concat'\ninputs = ['flatten1', 'linear1']\n", conv(32));
        assert_eq!(conversions(&frozen(&shared)), 1);
        // The map has a border for a convolution.
        let halo = format!(
            "{}{FLATTEN}{LINEAR}[[layer]]\nname = 'padded'\ntype = 'conv2d'\ninput = 'c32'\npadding = 1\nkernel_size = 3\n\
             out_channels = 4\n[[layer]]\ntype = 'flatten'\n[[layer]]\ntype = 'concat'\ninputs = ['linear1', 'flatten2']\n",
            conv(32)
        );
        assert_eq!(conversions(&frozen(&halo)), 2);
        // The map lies beside another in a concatenation's buffer.
        let part = format!(
            "{}{}input = 'input'\n[[layer]]\ntype = 'concat'\ninputs = ['c32', 'c16']\n[[layer]]\ntype = 'flatten'\n\
             [[layer]]\ntype = 'flatten'\ninput = 'c32'\n{LINEAR}[[layer]]\ntype = 'concat'\ninputs = ['flatten1', 'linear1']\n",
            conv(32),
            conv(16)
        );
        assert_eq!(conversions(&frozen(&part)), 2);
    }

    #[test]
    fn outputs_are_plain() {
        let spec = format!("outputs = ['c32', 'linear1']\n{}{FLATTEN}{LINEAR}", conv(32));
        assert_eq!(conversions(&frozen(&spec)), 1);
    }
}
