//! Pools of 2x2 pixels that become the last step of the first layers' convolutions: their kernels make the pixels in working memory, band
//! by band, and only what the pool leaves of them is a value.

use super::operation::{Convolution, ConvolutionKernel, Function, Operation};
use super::program::{Call, Part, Program, write};
use crate::shape::Shaped;
use castnet_descriptors::Pool2x2;

/// Folds pools into the convolutions whose results nothing else takes.
pub fn pools(shaped: &Shaped, mut program: Program) -> Program {
    let (takers, sharing) = (program.takers(), program.sharing());
    for at in 0..program.calls.len() {
        let call = &program.calls[at];
        let first = matches!(
            call.operation,
            Operation::Convolution(Convolution {
                kernel: ConvolutionKernel::FromPlanar(_) | ConvolutionKernel::Planar,
                ..
            })
        );
        let Some(result) = call.part(Part::Output).filter(|result| first && !program.outputs.contains(result)) else {
            continue;
        };
        // Nothing else may take it, under its own name or under another.
        let [taker] = takers[result][..] else { continue };
        let Some(kind) = pool(shaped, &program.calls[taker]).filter(|_| sharing[result] == 1) else { continue };
        let taken = std::mem::replace(&mut program.calls[taker], Call::new(Operation::Nothing, Vec::new(), Vec::new()));
        let pooled = taken.part(Part::Output);
        let call = &mut program.calls[at];
        call.layers.extend(taken.layers);
        call.operands.retain(|operand| operand.part != Part::Output);
        call.operands.extend(pooled.map(|id| write(Part::Output, id)));
        if let Operation::Convolution(convolution) = &mut call.operation {
            convolution.pool = Some(kind);
        }
    }
    // What is folded in is called no more.
    program.calls.retain(|call| !call.operands.is_empty());
    program.cut = program.calls.len();
    program
}

/// The pool of 2x2 pixels that a call makes and saves no indices of.
fn pool(shaped: &Shaped, call: &Call) -> Option<Pool2x2> {
    match (&call.operation, call.layer()) {
        (Operation::Maps(maps), _) => maps.pool,
        (Operation::Layer(Function::Forward), Some(layer)) => match shaped.nodes[layer].op.operation(layer) {
            Some(Operation::Maps(maps)) => maps.pool,
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::inference;
    use super::*;

    fn program(layers: &str) -> Program {
        inference(&format!("[network]\ninput = [1, 12, 12]\n{layers}"))
    }

    fn pools(program: &Program) -> usize {
        let has_pool = |call: &&Call| matches!(&call.operation, Operation::Convolution(it) if it.pool.is_some());
        program.calls.iter().filter(has_pool).count()
    }

    const CONV: &str = "[[layer]]\ntype = 'conv2d'\nkernel_size = 3\npadding = 1\n";
    const POOL: &str = "[[layer]]\ntype = 'max_pool2d'\nkernel_size = 2\n";

    #[test]
    fn pools_are_the_last_step_of_first_convolutions() {
        for channels in [4, 20] {
            let conv = format!("{CONV}out_channels = {channels}\n[[layer]]\ntype = 'tanh'\n");
            let folded = program(&format!("{conv}{POOL}"));
            assert_eq!(pools(&folded), 1, "{channels}");
            let pooling = |call: &Call| matches!(call.operation, Operation::Layer(_) | Operation::Maps(_));
            assert!(!folded.calls.iter().any(pooling));
            // A window that reaches past the map, that overlaps another, or that is not of 2x2 pixels.
            for other in [
                "[[layer]]\ntype = 'max_pool2d'\nkernel_size = 2\nstride = 1\n",
                "[[layer]]\ntype = 'max_pool2d'\nkernel_size = 2\npadding = 1\n",
                "[[layer]]\ntype = 'avg_pool2d'\nkernel_size = 3\n",
                "[[layer]]\ntype = 'avg_pool2d'\nkernel_size = 2\ndivisor_override = 3\n",
            ] {
                assert_eq!(pools(&program(&format!("{conv}{other}"))), 0, "{channels} {other}");
            }
            // A value that something else takes too.
            let shared = format!(
                "{CONV}out_channels = {channels}\nname = 'c'\n{POOL}name = 'p'\n[[layer]]\ntype = 'upsample'\nscale_factor = 2\n\
                 name = 'u'\n[[layer]]\ntype = 'add'\ninputs = ['u', 'c']\n"
            );
            assert_eq!(pools(&program(&shared)), 0, "{channels}");
        }
    }

    #[test]
    fn what_rounding_leaves_out_is_left_out() {
        let source = "[[layer]]\ntype = 'conv2d'\nkernel_size = 2\nout_channels = 20\n";
        assert_eq!(pools(&program(&format!("{source}{POOL}"))), 1);
        assert_eq!(pools(&program(&format!("{source}{POOL}ceil_mode = true\n"))), 0);
    }
}
