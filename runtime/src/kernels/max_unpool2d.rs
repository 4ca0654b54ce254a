//! Max unpooling.

pub use castnet_descriptors::MaxUnpool2d;

use super::Context;
use super::max_pool2d::NOWHERE;
use super::pool2d::planes;
use crate::parallel::{for_each_chunk, items_per_task};

/// Writes each value at its index within its output plane, and zero everywhere else; of several values at one place the last wins.
///
/// - `input`: `[batch, channels, height, width]` as `op.input` says; `output` likewise.
/// - `indices`, as long as `input`: what max pooling wrote, each less than an output plane's elements; `u32::MAX` goes nowhere.
///
/// There is nothing to compute, and the places are anywhere: a scalar loop, bound by memory.
///
/// # Panics
///
/// If the lengths disagree with `op` or with one another, or an index is not in the output plane. Where that plane has as many elements as
/// the input of the pooling layer, every index is.
pub fn forward(_: &mut Context, op: &MaxUnpool2d, input: &[f32], indices: &[f32], output: &mut [f32]) {
    let (plane, out_plane) = check(op, input.len(), indices.len(), output.len());
    let per_task = items_per_task(output.len() / out_plane, out_plane + 2 * plane);
    for_each_chunk(output, per_task * out_plane, |i, output| {
        output.fill(0.0);
        let range = i * per_task * plane..;
        let sources = input[range.clone()].chunks(plane).zip(indices[range].chunks(plane));
        for (output, (input, indices)) in output.chunks_mut(out_plane).zip(sources) {
            for (value, index) in input.iter().zip(indices) {
                match output.get_mut(index.to_bits() as usize) {
                    Some(place) => *place = *value,
                    None => {
                        assert_eq!(index.to_bits(), NOWHERE, "an index outside of the unpooled plane of {out_plane}")
                    }
                }
            }
        }
    });
}

/// Each value's gradient is the one at its index.
///
/// - `grad_output`: the gradient for the output of [`forward`]; `grad_input`: takes that for its input.
///
/// # Panics
///
/// As [`forward`].
pub fn backward(_: &mut Context, op: &MaxUnpool2d, indices: &[f32], grad_output: &[f32], grad_input: &mut [f32]) {
    let (plane, out_plane) = check(op, grad_input.len(), indices.len(), grad_output.len());
    let per_task = items_per_task(grad_input.len() / plane, out_plane + 2 * plane);
    for_each_chunk(grad_input, per_task * plane, |i, grad_input| {
        let sources = indices[i * per_task * plane..]
            .chunks(plane)
            .zip(grad_output[i * per_task * out_plane..].chunks(out_plane));
        for (grad_input, (indices, grad_output)) in grad_input.chunks_mut(plane).zip(sources) {
            for (gradient, index) in grad_input.iter_mut().zip(indices) {
                *gradient = match grad_output.get(index.to_bits() as usize) {
                    Some(gradient) => *gradient,
                    None => {
                        assert_eq!(index.to_bits(), NOWHERE, "an index outside of the unpooled plane of {out_plane}");
                        0.0
                    }
                };
            }
        }
    });
}

/// Checks the lengths and returns the elements of an input and of an output plane.
#[track_caller]
fn check(op: &MaxUnpool2d, input_len: usize, indices_len: usize, output_len: usize) -> (usize, usize) {
    planes(op.input, op.output, input_len, output_len);
    assert_eq!(indices_len, input_len, "one index for every value");
    (op.input[1] * op.input[2], op.output[1] * op.output[2])
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::kernels::testing::{self, Tolerance, data, data_in};
    use crate::reference::max_unpool2d as reference;

    #[test]
    fn agrees_with_the_reference() {
        for (batch, input, output) in
            [(2, [3, 4, 5], [3, 8, 11]), (1, [1, 1, 1], [1, 1, 1]), (3, [40, 30, 30], [40, 60, 61])]
        {
            let op = MaxUnpool2d { input, output };
            let (len, out_len) = (batch * input.iter().product::<usize>(), batch * output.iter().product::<usize>());
            let (values, grad_output) = (data(1, len), data(2, out_len));
            // Among them a few places twice, and nowhere.
            let places = data_in(3, len, 0.0, (output[1] * output[2]) as f32);
            let indices: Vec<f32> = (places.iter().enumerate())
                .map(|(i, &place)| f32::from_bits(if i % 17 == 16 { NOWHERE } else { place as u32 }))
                .collect();
            let (mut expected, mut gradient) = (vec![f32::NAN; out_len], vec![f32::NAN; len]);
            reference::forward(&op, &values, &indices, &mut expected);
            reference::backward(&op, &indices, &grad_output, &mut gradient);
            testing::check(&format!("{op:?}"), Tolerance::EXACT, [expected], |context, [output]| {
                forward(context, &op, &values, &indices, output);
            });
            testing::check(&format!("{op:?}, backward"), Tolerance::EXACT, [gradient], |context, [grad_input]| {
                backward(context, &op, &indices, &grad_output, grad_input);
            });
        }
    }

    #[test]
    #[should_panic(expected = "outside of the unpooled plane")]
    fn refuses_an_index_outside_of_the_plane() {
        let op = MaxUnpool2d { input: [1, 1, 1], output: [1, 2, 2] };
        forward(&mut Context::new(), &op, &[1.0], &[f32::from_bits(4)], &mut [0.0; 4]);
    }
}
