use super::*;
use crate::kernels::testing::{self, Tolerance};
use crate::reference::conv2d as reference;

/// A convolution whose output has the size that PyTorch computes.
fn op(input: [usize; 3], oc: usize, kernel: [usize; 2]) -> Conv2d {
    let mut op = Conv2d {
        input,
        output: [oc, 0, 0],
        kernel,
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
        padding_mode: PaddingMode::Zeros,
    };
    size(&mut op);
    op
}

fn size(op: &mut Conv2d) {
    for axis in 0..2 {
        let padded = op.input[axis + 1] + 2 * op.padding[axis];
        op.output[axis + 1] =
            padded.saturating_sub((op.kernel[axis] - 1) * op.dilation[axis] + 1) / op.stride[axis] + 1;
    }
}

fn with(mut op: Conv2d, change: impl FnOnce(&mut Conv2d)) -> Conv2d {
    change(&mut op);
    size(&mut op);
    op
}

fn check(op: &Conv2d, batch: usize) {
    let name = format!("{op:?} x {batch}");
    let taps = op.kernel[0] * op.kernel[1];
    let input = testing::data(1, batch * op.input_len());
    let weight = testing::data(2, op.weight_len());
    let bias = testing::data(3, op.output[0]);
    let upstream = testing::data(4, batch * op.output_len());

    let mut output = vec![f32::NAN; upstream.len()];
    reference::forward(op, &input, &weight, Some(&bias), &mut output);
    let tolerance = Tolerance::sum(op.group_inputs() * taps + 1);
    testing::check(&format!("{name}, forward"), tolerance, [output], |context, [output]| {
        forward(context, op, &input, &weight, Some(&bias), output);
    });

    let mut grad_input = vec![f32::NAN; input.len()];
    reference::backward_input(op, &weight, &upstream, &mut grad_input);
    // Folding padding back adds the gradients of several positions.
    let tolerance = Tolerance::sum(4 * op.group_outputs() * taps);
    testing::check(&format!("{name}, backward_input"), tolerance, [grad_input], |context, [grad_input]| {
        backward_input(context, op, &weight, &upstream, grad_input);
    });

    let mut grad_weight = vec![f32::NAN; weight.len()];
    reference::backward_weight(op, &input, &upstream, &mut grad_weight);
    let tolerance = Tolerance::sum(batch * op.output[1] * op.output[2]);
    testing::check(&format!("{name}, backward_weight"), tolerance, [grad_weight], |context, [grad_weight]| {
        backward_weight(context, op, &input, &upstream, grad_weight);
    });

    let mut grad_bias = vec![f32::NAN; bias.len()];
    reference::backward_bias(op, &upstream, &mut grad_bias);
    testing::check(&format!("{name}, backward_bias"), tolerance, [grad_bias], |context, [grad_bias]| {
        backward_bias(context, op, &upstream, grad_bias);
    });
}

const MODES: [PaddingMode; 4] =
    [PaddingMode::Zeros, PaddingMode::Reflect, PaddingMode::Replicate, PaddingMode::Circular];

#[test]
fn channels_straddle_tiles() {
    for oc in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 23, 24, 25, 33] {
        check(&with(op([3, 7, 9], oc, [3, 3]), |op| op.padding = [1, 1]), 2);
    }
}

#[test]
fn widths_straddle_vectors() {
    for width in [1, 2, 3, 4, 5, 7, 8, 9, 14, 15, 16, 17, 28, 31, 32, 33, 47, 48, 49] {
        check(&with(op([2, 5, width], 6, [3, 3]), |op| op.padding = [1, 1]), 3);
        check(&op([5, 4, width], 7, [1, 1]), 2);
    }
}

#[test]
fn every_form() {
    for mode in MODES {
        for stride in [[1, 1], [2, 2], [1, 3], [3, 2]] {
            for dilation in [[1, 1], [2, 1], [1, 3]] {
                for padding in [[0, 0], [1, 2], [3, 3]] {
                    check(
                        &with(op([4, 8, 9], 6, [3, 2]), |op| {
                            (op.stride, op.dilation, op.padding, op.padding_mode) = (stride, dilation, padding, mode);
                            op.groups = 2;
                        }),
                        2,
                    );
                }
            }
        }
    }
}

#[test]
fn groups_down_to_depthwise() {
    for (channels, oc, groups) in [(4, 8, 4), (6, 6, 6), (6, 12, 6), (8, 4, 2), (9, 9, 3), (40, 40, 40)] {
        for stride in [1, 2] {
            check(
                &with(op([channels, 9, 11], oc, [3, 3]), |op| {
                    (op.padding, op.stride, op.groups) = ([1, 1], [stride, stride], groups);
                }),
                2,
            );
        }
    }
}

#[test]
fn uneven_same() {
    // padding="same" with an even kernel: one more at the bottom and on the right.
    for mode in MODES {
        let mut op = op([3, 6, 10], 4, [4, 2]);
        (op.padding, op.output, op.padding_mode) = ([1, 0], [4, 6, 10], mode);
        check(&op, 2);
        let mut wide = op;
        (wide.dilation, wide.padding) = ([1, 3], [1, 1]);
        check(&wide, 2);
    }
}

#[test]
fn odd_sizes() {
    // Kernels as large as the map, patches, padding wider than the kernel, strides past the kernel, a single pixel.
    check(&op([3, 6, 5], 4, [6, 5]), 3);
    check(&with(op([3, 8, 12], 5, [4, 4]), |op| op.stride = [4, 4]), 2);
    check(&with(op([2, 4, 4], 3, [1, 1]), |op| op.padding = [3, 2]), 2);
    check(&with(op([2, 4, 4], 3, [2, 2]), |op| (op.padding, op.stride) = ([3, 4], [2, 3])), 2);
    check(&with(op([2, 9, 9], 3, [1, 2]), |op| op.stride = [3, 4]), 2);
    check(&op([5, 1, 1], 7, [1, 1]), 3);
    check(&with(op([5, 1, 1], 7, [3, 3]), |op| op.padding = [1, 1]), 5);
    check(&with(op([3, 1, 40], 4, [1, 5]), |op| op.padding = [0, 2]), 2);
    check(&with(op([3, 40, 1], 4, [5, 1]), |op| op.padding = [2, 0]), 2);
    check(&with(op([1, 5, 20], 2, [3, 15]), |op| op.padding = [1, 7]), 2);
}

#[test]
fn samples_side_by_side() {
    for batch in [1, 2, 3, 5, 7, 8, 13, 17] {
        check(&with(op([4, 7, 7], 5, [3, 3]), |op| op.padding = [1, 1]), batch);
        check(&with(op([4, 3, 3], 5, [3, 3]), |op| (op.padding, op.stride) = ([1, 1], [2, 2])), batch);
    }
}

#[test]
fn bands_of_large_maps() {
    check(&with(op([40, 60, 61], 3, [3, 3]), |op| op.padding = [1, 1]), 1);
    check(&with(op([40, 60, 61], 3, [3, 3]), |op| (op.padding, op.stride) = ([1, 1], [2, 2])), 1);
    check(&op([200, 30, 31], 4, [1, 1]), 1);
    let circular = |op: &mut Conv2d| (op.padding, op.padding_mode) = ([1, 1], PaddingMode::Circular);
    check(&with(op([40, 60, 61], 3, [3, 3]), circular), 1);
}

#[test]
fn an_empty_batch_is_nothing() {
    check(&op([3, 6, 6], 4, [3, 3]), 0);
}
