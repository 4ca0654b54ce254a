//! The algorithm of each convolution: the one with the smallest estimate of time, of those that `[network] winograd` allows.

use super::algorithm::{BlockedAlgorithm, PlanarAlgorithm};
use super::cost::Modelled;
use super::operation::{Convolution, ConvolutionKernel, Operation};
use super::program::Program;
use crate::shape::Shaped;

/// Chooses algorithms for one sample at a time.
pub fn select(shaped: &Shaped, mut program: Program) -> Program {
    let winograd = shaped.header.winograd;
    for call in &mut program.calls {
        if let Operation::Convolution(Convolution { kernel, sizes, .. }) = &mut call.operation {
            *kernel = match *kernel {
                ConvolutionKernel::Blocked(_) => ConvolutionKernel::Blocked(BlockedAlgorithm::fastest(sizes, winograd)),
                ConvolutionKernel::FromPlanar(_) => {
                    ConvolutionKernel::FromPlanar(PlanarAlgorithm::fastest(sizes, winograd))
                }
                ConvolutionKernel::Planar => ConvolutionKernel::Planar,
            };
        }
    }
    program
}
