//! One axis of a convolution as a walk with stride 1 over prepared cells.
//!
//! Forward, element `k` of the kernel meets output `o` at padded position `P = o * s + k * d`. Cells of equal `P % s` are laid side by side,
//! one *slot* per remainder, so that element `k` reads cell `o + k * d / s` of the slot `k * d % s`: neighbouring outputs read
//! neighbouring cells whatever the stride is.
//!
//! Backward, padded position `P = s * t + phase` of the input receives from output `o = t - k * d / s` of every element `k` with
//! `k * d % s == phase`: again neighbours in `t` read neighbouring cells, and each phase is a convolution of stride 1 of its own.

use super::{Conv2d, PaddingMode};
use alloc::vec::Vec;

/// One element of the kernel along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tap {
    /// The slot it reads.
    pub slot: usize,
    /// The cell it reads for result 0.
    pub shift: usize,
    /// The phase of the results it adds to.
    pub phase: usize,
}

/// One axis; see the head of this file.
#[derive(Clone, Debug, Default)]
pub(super) struct Axis {
    /// Elements of the source.
    pub length: usize,
    /// From one cell to the next, this many elements of the source.
    pub step: usize,
    /// Where the first cell of each slot stands in the source; may be outside.
    pub starts: Vec<isize>,
    /// The kernel's elements.
    pub taps: Vec<Tap>,
    /// Results per phase.
    pub outputs: usize,
    /// Cells needed besides one per result: the largest shift.
    pub reach: usize,
    /// Where result 0 of phase 0 stands in the input (backward only); may be outside.
    pub target: isize,
}

impl Axis {
    /// The forward pass along `axis` (0: rows, 1: columns).
    pub fn forward(&mut self, op: &Conv2d, axis: usize) {
        let (stride, dilation) = (op.stride[axis], op.dilation[axis]);
        self.length = op.input[axis + 1];
        self.step = stride;
        self.outputs = op.output[axis + 1];
        self.target = 0;
        self.starts.clear();
        self.taps.clear();
        for k in 0..op.kernel[axis] {
            let start = (k * dilation % stride) as isize - op.padding[axis] as isize;
            let slot = self.starts.iter().position(|s| *s == start).unwrap_or_else(|| {
                self.starts.push(start);
                self.starts.len() - 1
            });
            self.taps.push(Tap { slot, shift: k * dilation / stride, phase: 0 });
        }
        self.reach = (op.kernel[axis] - 1) * dilation / stride;
    }

    /// The gradient of the input along `axis`. With zeros outside, its results are the input's own positions (and up to a stride around
    /// them), otherwise all padded positions, whose gradients are to be folded back.
    pub fn backward(&mut self, op: &Conv2d, axis: usize) {
        let (stride, dilation, padding) = (op.stride[axis], op.dilation[axis], op.padding[axis]);
        let span = (op.kernel[axis] - 1) * dilation;
        let (first, last) = match op.padding_mode {
            PaddingMode::Zeros => (padding / stride, (padding + op.input[axis + 1]).max(1) - 1),
            _ => (0, op.output[axis + 1].max(1) * stride - stride + span),
        };
        self.length = op.output[axis + 1];
        self.step = 1;
        self.outputs = last / stride + 1 - first;
        self.target = (first * stride) as isize - padding as isize;
        self.reach = span / stride;
        self.starts.clear();
        self.starts.push(first as isize - self.reach as isize);
        self.taps.clear();
        self.taps.extend((0..op.kernel[axis]).map(|k| {
            let tap = k * dilation;
            Tap { slot: 0, shift: self.reach - tap / stride, phase: tap % stride }
        }));
    }

    /// How many cells a line of `outputs` results needs.
    pub fn cells(&self) -> usize {
        self.outputs + self.reach
    }

    /// Which of a slot's cells lie within the source: how many before them do not, and how many do.
    pub fn inside(&self, slot: usize) -> (usize, usize) {
        let start = self.starts[slot];
        let before = if start < 0 { start.unsigned_abs().div_ceil(self.step) } else { 0 };
        // The first cell past the end stands at start + end * step >= length.
        let end = (self.length as isize - start).max(0).unsigned_abs().div_ceil(self.step);
        let (before, end) = (before.min(self.cells()), end.min(self.cells()));
        (before, end.saturating_sub(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(input: usize, output: usize, kernel: usize, stride: usize, padding: usize, dilation: usize) -> Conv2d {
        Conv2d {
            input: [1, 1, input],
            output: [1, 1, output],
            kernel: [1, kernel],
            stride: [1, stride],
            padding: [0, padding],
            dilation: [1, dilation],
            groups: 1,
            padding_mode: PaddingMode::Zeros,
        }
    }

    #[test]
    fn every_tap_finds_its_position() {
        for (kernel, stride, padding, dilation) in
            [(3, 1, 1, 1), (3, 2, 1, 1), (5, 3, 4, 2), (2, 3, 0, 2), (1, 2, 0, 1)]
        {
            let op = op(20, 5, kernel, stride, padding, dilation);
            let mut axis = Axis::default();
            axis.forward(&op, 1);
            for (k, tap) in axis.taps.iter().enumerate() {
                for o in 0..op.output[2] {
                    let position = axis.starts[tap.slot] + ((o + tap.shift) * axis.step) as isize;
                    assert_eq!(position, op.position(1, o, k));
                    assert!(o + tap.shift < axis.cells());
                }
            }
            for slot in 0..axis.starts.len() {
                let (before, inside) = axis.inside(slot);
                for cell in 0..axis.cells() {
                    let position = axis.starts[slot] + (cell * axis.step) as isize;
                    assert_eq!((before..before + inside).contains(&cell), (0..20).contains(&position));
                }
            }
        }
    }

    #[test]
    fn every_output_goes_back_to_its_position() {
        for (kernel, stride, padding, dilation) in
            [(3, 1, 1, 1), (3, 2, 1, 1), (5, 3, 4, 2), (2, 3, 0, 2), (1, 2, 0, 1)]
        {
            let op = op(20, 5, kernel, stride, padding, dilation);
            let mut axis = Axis::default();
            axis.backward(&op, 1);
            let mut met = 0;
            for (k, tap) in axis.taps.iter().enumerate() {
                for t in 0..axis.outputs {
                    let target = axis.target + (t * stride + tap.phase) as isize;
                    let output = axis.starts[0] + (t + tap.shift) as isize;
                    if (0..20).contains(&target) && (0..5).contains(&output) {
                        assert_eq!(target, op.position(1, output as usize, k));
                        met += 1;
                    }
                }
            }
            let all = (0..kernel).flat_map(|k| (0..5).map(move |o| (o, k)));
            assert_eq!(met, all.filter(|(o, k)| (0..20).contains(&op.position(1, *o, *k))).count());
        }
    }
}
