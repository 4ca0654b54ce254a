//! Sums and products of tensors, with axes of length 1 that broadcast; copies.

pub use castnet_descriptors::Broadcast;

use super::Context;
use super::map::{self, Add, Function, Map, Mul, TASK, Update};
use crate::parallel;
use crate::simd::{Kernel, Simd, dispatch};

/// `output = inputs[0] + inputs[1] + …`, each broadcast to the output's shape.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn add(context: &mut Context, op: &Broadcast, inputs: &[&[f32]], output: &mut [f32]) {
    forward(context, Add, op, inputs, output);
}

/// `output = inputs[0] * inputs[1] * …`, each broadcast to the output's shape.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples.
pub fn mul(context: &mut Context, op: &Broadcast, inputs: &[&[f32]], output: &mut [f32]) {
    forward(context, Mul, op, inputs, output);
}

/// The gradient of input `which` of [`add`]: that of the output, summed over the axes along which the input was broadcast.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples, or there is no input `which`.
pub fn add_backward(context: &mut Context, op: &Broadcast, which: usize, grad_output: &[f32], grad_input: &mut [f32]) {
    if op.inputs[which] == op.output {
        return copy(context, grad_output, grad_input);
    }
    backward(context, op, &[], which, grad_output, grad_input);
}

/// The gradient of input `which` of [`mul`]: that of the output times the other inputs, summed over the axes along which the input was
/// broadcast.
///
/// # Panics
/// If the lengths are not those of the same whole number of samples, or there is no input `which`.
pub fn mul_backward(
    context: &mut Context,
    op: &Broadcast,
    inputs: &[&[f32]],
    which: usize,
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    assert_eq!(inputs.len(), op.inputs.len(), "as many inputs as shapes");
    backward(context, op, inputs, which, grad_output, grad_input);
}

/// `into += from`.
///
/// # Panics
/// If the lengths differ.
pub fn accumulate(context: &mut Context, from: &[f32], into: &mut [f32]) {
    map::update(context.isa, Add, from, into);
}

/// `into = from`.
///
/// # Panics
/// If the lengths differ.
pub fn copy(_: &mut Context, from: &[f32], into: &mut [f32]) {
    assert_eq!(from.len(), into.len(), "both sides of a copy have the same length");
    parallel::for_each_chunk(into, TASK, |i, into| into.copy_from_slice(&from[i * TASK..][..into.len()]));
}

/// The batch and the sample's axes, outermost first, where neighbours along which the same inputs are broadcast have become one.
/// Equal shapes become a single row of everything.
#[derive(Clone, Copy)]
struct Axes {
    /// Ones on the left.
    sizes: [usize; 4],
    /// Which axis of the batch (0, 1..=3 are the sample's) was the innermost of those merged; 4 for the ones on the left.
    innermost: [usize; 4],
}

/// Elements that are worked on at once, which stay in the L1 cache from one input to the next: 2 KiB.
const ROW: usize = 512;

impl Axes {
    fn new(op: &Broadcast, batch: usize) -> Self {
        let size = |axis: usize| if axis == 0 { batch } else { op.output[axis - 1] };
        // The batch is never broadcast.
        let broadcast = |input: &[usize; 3], axis: usize| axis > 0 && input[axis - 1] != op.output[axis - 1];
        let mut axes = Axes { sizes: [1; 4], innermost: [4; 4] };
        let mut at = 4;
        for axis in (0..4).rev().filter(|&axis| size(axis) != 1) {
            let like_the_last =
                at < 4 && op.inputs.iter().all(|input| broadcast(input, axis) == broadcast(input, axes.innermost[at]));
            if !like_the_last {
                at -= 1;
                axes.innermost[at] = axis;
            }
            axes.sizes[at] *= size(axis);
        }
        axes
    }

    /// By how many elements of an input of this shape one step along each axis moves: 0 where it is broadcast.
    fn strides(&self, op: &Broadcast, shape: [usize; 3]) -> [usize; 4] {
        self.innermost.map(|axis| match axis {
            0 => shape.iter().product(),
            1..=3 if shape[axis - 1] == op.output[axis - 1] => shape[axis..].iter().product(),
            _ => 0,
        })
    }
}

/// The position along the outer three axes of row `row`, of as many rows as `sizes` has.
#[inline(always)]
fn position(sizes: [usize; 4], row: usize) -> [usize; 3] {
    [row / (sizes[1] * sizes[2]), row / sizes[2] % sizes[1], row % sizes[2]]
}

#[inline(always)]
fn offset(strides: [usize; 4], position: [usize; 3], column: usize) -> usize {
    position[0] * strides[0] + position[1] * strides[1] + position[2] * strides[2] + column * strides[3]
}

/// Checks all lengths and returns the batch.
#[track_caller]
fn batch(op: &Broadcast, output_len: usize) -> usize {
    assert!(op.inputs.len() >= 2, "two inputs at least");
    for input in op.inputs {
        assert!(
            (0..3).all(|i| input[i] == 1 || input[i] == op.output[i]),
            "{input:?} does not broadcast to {:?}",
            op.output
        );
    }
    let sample: usize = op.output.iter().product();
    assert_eq!(output_len % sample, 0, "the output holds whole samples of {:?}", op.output);
    output_len / sample
}

#[track_caller]
fn check_inputs(op: &Broadcast, batch: usize, inputs: &[&[f32]]) {
    assert_eq!(inputs.len(), op.inputs.len(), "as many inputs as shapes");
    for (input, shape) in inputs.iter().zip(op.inputs) {
        assert_eq!(input.len(), batch * shape.iter().product::<usize>(), "an input holds {batch} samples of {shape:?}");
    }
}

fn forward<F: Function<2>>(context: &mut Context, function: F, op: &Broadcast, inputs: &[&[f32]], output: &mut [f32]) {
    let batch = batch(op, output.len());
    check_inputs(op, batch, inputs);
    let (isa, axes) = (context.isa, Axes::new(op, batch));
    parallel::for_each_chunk(output, TASK, |i, output| {
        dispatch(isa, Forward { function, op, axes, inputs, start: i * TASK, output });
    });
}

/// Computes `output`, the elements of the whole output from `start` on.
struct Forward<'a, F> {
    function: F,
    op: &'a Broadcast<'a>,
    axes: Axes,
    inputs: &'a [&'a [f32]],
    start: usize,
    output: &'a mut [f32],
}

impl<F: Function<2>> Kernel for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Forward { function, op, axes, inputs, start, output } = self;
        if let ([a, b], [shape_a, shape_b]) = (inputs, op.inputs)
            && shape_a == shape_b
        {
            let inputs = [&a[start..][..output.len()], &b[start..][..output.len()]];
            return Map { function, inputs, output }.run(simd);
        }
        let mut done = 0;
        while done < output.len() {
            let (row, column) = ((start + done) / axes.sizes[3], (start + done) % axes.sizes[3]);
            let len = (axes.sizes[3] - column).min(output.len() - done).min(ROW);
            let (position, output) = (position(axes.sizes, row), &mut output[done..done + len]);
            for (k, input) in inputs.iter().enumerate() {
                let strides = axes.strides(op, op.inputs[k]);
                let at = offset(strides, position, column);
                match (k, strides[3]) {
                    (0, 0) => output.fill(input[at]),
                    (0, _) => output.copy_from_slice(&input[at..at + len]),
                    (_, 0) => map::update_with(simd, function, input[at], output),
                    (_, _) => Update { function, from: &input[at..at + len], into: output }.run(simd),
                }
            }
            done += len;
        }
    }
}

/// The gradient of input `which`, where the function is the product of `inputs`, or the sum if there are none.
fn backward(
    context: &mut Context,
    op: &Broadcast,
    inputs: &[&[f32]],
    which: usize,
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    let batch = batch(op, grad_output.len());
    if !inputs.is_empty() {
        check_inputs(op, batch, inputs);
    }
    let sample: usize = op.inputs[which].iter().product();
    assert_eq!(grad_input.len(), batch * sample, "the gradient holds {batch} samples of {:?}", op.inputs[which]);
    if grad_input.is_empty() {
        return;
    }
    let (isa, axes) = (context.isa, Axes::new(op, batch));
    // As many elements as are sums of a task's worth of terms.
    let terms = grad_output.len() / grad_input.len();
    parallel::for_each_chunk(grad_input, (TASK / terms).max(16), |i, gradient| {
        let start = i * (TASK / terms).max(16);
        dispatch(isa, Backward { op, axes, inputs, which, grad_output, start, gradient });
    });
}

/// Computes `gradient`, the elements of the whole gradient from `start` on.
struct Backward<'a> {
    op: &'a Broadcast<'a>,
    axes: Axes,
    /// None for a sum.
    inputs: &'a [&'a [f32]],
    which: usize,
    grad_output: &'a [f32],
    start: usize,
    gradient: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Backward { op, axes, inputs, which, grad_output, start, gradient } = self;
        let own = axes.strides(op, op.inputs[which]);
        let upstream = axes.strides(op, op.output);
        // Of every axis either the input has its own elements or it is summed over.
        let (mut sizes, mut summed) = (axes.sizes, axes.sizes);
        for axis in 0..4 {
            *(if own[axis] == 0 { &mut sizes[axis] } else { &mut summed[axis] }) = 1;
        }
        let mut row_buffer = [0.0; ROW];
        let mut done = 0;
        while done < gradient.len() {
            let (row, column) = ((start + done) / sizes[3], (start + done) % sizes[3]);
            let len = (sizes[3] - column).min(gradient.len() - done).min(ROW);
            let (fixed, gradient) = (position(sizes, row), &mut gradient[done..done + len]);
            gradient.fill(0.0);
            let mut total = 0.0;
            for other in 0..summed[0] * summed[1] * summed[2] {
                let moving = position(summed, other);
                let position = [fixed[0] + moving[0], fixed[1] + moving[1], fixed[2] + moving[2]];
                // Along the row, the input has elements of its own or all of them are summed.
                let mut from = column;
                let end = if own[3] == 0 { axes.sizes[3] } else { column + len };
                while from < end {
                    let len = (end - from).min(ROW);
                    let at = offset(upstream, position, from);
                    let mut terms = &grad_output[at..at + len];
                    for (k, input) in inputs.iter().enumerate().filter(|&(k, _)| k != which) {
                        let strides = axes.strides(op, op.inputs[k]);
                        let at = offset(strides, position, from);
                        // The first factor is taken with what comes from above, the others with what is there.
                        let product = &mut row_buffer[..len];
                        if k == usize::from(which == 0) {
                            product.copy_from_slice(terms);
                        }
                        if strides[3] == 0 {
                            map::update_with(simd, Mul, input[at], product);
                        } else {
                            Update { function: Mul, from: &input[at..at + len], into: product }.run(simd);
                        }
                    }
                    if !inputs.is_empty() {
                        terms = &row_buffer[..len];
                    }
                    if own[3] == 0 {
                        total += f64::from(map::sum(simd, terms));
                    } else {
                        Update { function: Add, from: terms, into: gradient }.run(simd);
                    }
                    from += len;
                }
            }
            if own[3] == 0 {
                gradient[0] = total as f32;
            }
            done += len;
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
