//! Where the parameters and buffers of each layer lie in the flat ones.

use crate::shape::Shaped;
use std::ops::Range;

/// The tables of places.
#[derive(Debug)]
pub(super) struct Offsets {
    /// For each layer, the range of each parameter.
    pub parameters: Vec<Vec<Range<usize>>>,
    /// For each layer, the range of each buffer.
    pub buffers: Vec<Vec<Range<usize>>>,
    /// Floats of all parameters.
    pub parameter_count: usize,
    /// Floats of all buffers.
    pub buffer_count: usize,
}

impl Offsets {
    /// In the order of the layers, without gaps.
    pub fn new(shaped: &Shaped) -> Self {
        let mut offsets = Self { parameters: Vec::new(), buffers: Vec::new(), parameter_count: 0, buffer_count: 0 };
        fn place(shape: &[usize], next: &mut usize) -> Range<usize> {
            let from = *next;
            *next += shape.iter().product::<usize>();
            from..*next
        }
        for node in &shaped.nodes {
            let next = &mut offsets.parameter_count;
            offsets.parameters.push(node.op.parameters().iter().map(|it| place(&it.shape, next)).collect());
            let next = &mut offsets.buffer_count;
            offsets.buffers.push(node.op.buffers().iter().map(|it| place(&it.shape, next)).collect());
        }
        offsets
    }
}
