//! Pools of 2x2 pixels that become the last step of the first layers' convolutions: their kernels make the pixels in working memory, band
//! by band, and only what the pool leaves of them is a value.

use crate::layout::{Call, Id, Kernel, Value};
use crate::shape::Shaped;
use castnet_descriptors::Pool2x2;

/// Folds pools into the convolutions whose results nothing else takes.
pub fn fold(shaped: &Shaped, values: &[Value], calls: &mut Vec<Call>, outputs: &[Id]) {
    let mut index = 0;
    while index < calls.len() {
        if let Some((pool, kind)) = pool(shaped, values, calls, outputs, index) {
            let Call { fused, output, .. } = calls.remove(pool);
            calls[index].fused.pool = Some((fused.main, kind));
            calls[index].fused.result = fused.result;
            calls[index].output = output;
        }
        index += 1;
    }
}

/// The call that pools what call `index` makes, if that call can do it.
fn pool(shaped: &Shaped, values: &[Value], calls: &[Call], outputs: &[Id], index: usize) -> Option<(usize, Pool2x2)> {
    let Call { kernel: Kernel::FirstConvolution(_) | Kernel::NarrowConvolution, output, .. } = calls[index] else {
        return None;
    };
    // Nothing else may lie in its buffer.
    let alone = values.iter().filter(|value| value.home == values[output].home).count() == 1;
    let mut takers = (0..calls.len()).filter(|&taker| calls[taker].inputs.contains(&output));
    let (taker, None) = (takers.next()?, takers.next()) else { return None };
    let call = &calls[taker];
    let pools = matches!(call.kernel, Kernel::Layer | Kernel::Blocked(_)) && !call.saves;
    if !pools || !alone || outputs.contains(&output) {
        return None;
    }
    shaped.nodes[call.fused.main].op.pool_2x2().map(|kind| (taker, kind))
}

#[cfg(test)]
mod tests {
    use crate::layout::{Frozen, Kernel};
    use crate::{Source, compile};

    fn frozen(layers: &str) -> Frozen {
        let source = Source::new("test", format!("[network]\ninput = [1, 12, 12]\n{layers}"));
        compile(&source).unwrap_or_else(|failure| panic!("{}", failure.render(&source))).inference.frozen
    }

    fn pools(frozen: &Frozen) -> usize {
        frozen.calls.iter().filter(|call| call.fused.pool.is_some()).count()
    }

    const CONV: &str = "[[layer]]\ntype = 'conv2d'\nkernel_size = 3\npadding = 1\n";
    const POOL: &str = "[[layer]]\ntype = 'max_pool2d'\nkernel_size = 2\n";

    #[test]
    fn pools_are_the_last_step_of_first_convolutions() {
        for channels in [4, 20] {
            let conv = format!("{CONV}out_channels = {channels}\n[[layer]]\ntype = 'tanh'\n");
            let folded = frozen(&format!("{conv}{POOL}"));
            assert_eq!(pools(&folded), 1, "{channels}");
            assert!(folded.calls.iter().all(|call| !matches!(call.kernel, Kernel::Layer | Kernel::Blocked(_))));
            // A window that reaches past the map, that overlaps another, or that is not of 2x2 pixels.
            for other in [
                "[[layer]]\ntype = 'max_pool2d'\nkernel_size = 2\nstride = 1\n",
                "[[layer]]\ntype = 'max_pool2d'\nkernel_size = 2\npadding = 1\n",
                "[[layer]]\ntype = 'avg_pool2d'\nkernel_size = 3\n",
                "[[layer]]\ntype = 'avg_pool2d'\nkernel_size = 2\ndivisor_override = 3\n",
            ] {
                assert_eq!(pools(&frozen(&format!("{conv}{other}"))), 0, "{channels} {other}");
            }
            // A value that something else takes too.
            let shared = format!(
                "{CONV}out_channels = {channels}\nname = 'c'\n{POOL}name = 'p'\n[[layer]]\ntype = 'upsample'\nscale_factor = 2\n\
                 name = 'u'\n[[layer]]\ntype = 'add'\ninputs = ['u', 'c']\n"
            );
            assert_eq!(pools(&frozen(&shared)), 0, "{channels}");
        }
    }

    #[test]
    fn what_rounding_leaves_out_is_left_out() {
        let source = "[[layer]]\ntype = 'conv2d'\nkernel_size = 2\nout_channels = 20\n";
        assert_eq!(pools(&frozen(&format!("{source}{POOL}"))), 1);
        assert_eq!(pools(&frozen(&format!("{source}{POOL}ceil_mode = true\n"))), 0);
    }
}
