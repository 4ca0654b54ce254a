//! What stands around a blocked map: zeros as far as the convolutions that read it reach. Values in one buffer have one halo, the widest.

use super::algorithm::{Algorithm, BlockedAlgorithm};
use super::operation::{Convolution, ConvolutionKernel, Operation};
use super::program::{Layout, Part, Program};
use crate::shape::Shaped;

/// Widens halos to what their readers want.
pub fn halos(_: &Shaped, mut program: Program) -> Program {
    // By the value whose buffer it is.
    let mut widest = vec![[0; 4]; program.values.len()];
    for call in &program.calls {
        if let (Operation::Convolution(convolution), Some(input)) = (&call.operation, call.part(Part::Input(0))) {
            widen(&mut widest[program.values[input].home], wanted(convolution));
        }
    }
    for value in &mut program.values {
        if let Layout::Blocked { halo } = &mut value.layout {
            *halo = widest[value.home];
        }
    }
    program
}

/// What a convolution reads around its input. Winograd's tiles see zeros beyond the map by themselves, and so does what reads plain
/// values.
pub fn wanted(convolution: &Convolution) -> [usize; 4] {
    match convolution.kernel {
        ConvolutionKernel::Blocked(algorithm) if !is_winograd(algorithm) => convolution.sizes.border(),
        _ => [0; 4],
    }
}

fn is_winograd(algorithm: BlockedAlgorithm) -> bool {
    algorithm.tile().is_some()
}

fn widen(halo: &mut [usize; 4], wanted: [usize; 4]) {
    for (have, want) in halo.iter_mut().zip(wanted) {
        *have = (*have).max(want);
    }
}
