//! Sums and products of tensors, with axes of length 1 that broadcast.

use crate::kernels::elementwise::Broadcast;

/// Where element `i` of the whole output finds its element in an input of this shape.
fn at(op: &Broadcast, shape: [usize; 3], i: usize) -> usize {
    let [channels, height, width] = op.output;
    let position = [i / (height * width) % channels, i / width % height, i % width];
    let sample = i / (channels * height * width);
    // An axis of length 1 has its only element at 0, whatever the position.
    (0..3).fold(sample, |at, axis| at * shape[axis] + if shape[axis] == 1 { 0 } else { position[axis] })
}

/// `output = inputs[0] + inputs[1] + …`.
pub fn add(op: &Broadcast, inputs: &[&[f32]], output: &mut [f32]) {
    for (i, sum) in output.iter_mut().enumerate() {
        let terms = inputs.iter().zip(op.inputs).map(|(input, &shape)| f64::from(input[at(op, shape, i)]));
        *sum = terms.sum::<f64>() as f32;
    }
}

/// `output = inputs[0] * inputs[1] * …`.
pub fn mul(op: &Broadcast, inputs: &[&[f32]], output: &mut [f32]) {
    for (i, product) in output.iter_mut().enumerate() {
        let factors = inputs.iter().zip(op.inputs).map(|(input, &shape)| f64::from(input[at(op, shape, i)]));
        *product = factors.product::<f64>() as f32;
    }
}

/// The gradient of input `which` of [`add`].
pub fn add_backward(op: &Broadcast, which: usize, grad_output: &[f32], grad_input: &mut [f32]) {
    let mut sums = vec![0.0; grad_input.len()];
    for (i, &upstream) in grad_output.iter().enumerate() {
        sums[at(op, op.inputs[which], i)] += f64::from(upstream);
    }
    write(sums, grad_input);
}

/// The gradient of input `which` of [`mul`].
pub fn mul_backward(op: &Broadcast, inputs: &[&[f32]], which: usize, grad_output: &[f32], grad_input: &mut [f32]) {
    let mut sums = vec![0.0; grad_input.len()];
    for (i, &upstream) in grad_output.iter().enumerate() {
        let others = (0..inputs.len()).filter(|&k| k != which);
        let product: f64 = others.map(|k| f64::from(inputs[k][at(op, op.inputs[k], i)])).product();
        sums[at(op, op.inputs[which], i)] += f64::from(upstream) * product;
    }
    write(sums, grad_input);
}

fn write(sums: Vec<f64>, gradient: &mut [f32]) {
    for (gradient, sum) in gradient.iter_mut().zip(sums) {
        *gradient = sum as f32;
    }
}

/// `into += from`.
pub fn accumulate(from: &[f32], into: &mut [f32]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}

/// `into = from`.
pub fn copy(from: &[f32], into: &mut [f32]) {
    into.copy_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::finite_difference::{assert_gradient, values};

    #[test]
    fn broadcasts_as_numpy_does() {
        let op = Broadcast { output: [2, 2, 2], inputs: &[[2, 1, 1], [1, 2, 1], [1, 1, 2]] };
        let mut output = [f32::NAN; 8];
        add(&op, &[&[0.0, 100.0], &[0.0, 10.0], &[0.0, 1.0]], &mut output);
        assert_eq!(output, [0.0, 1.0, 10.0, 11.0, 100.0, 101.0, 110.0, 111.0]);
    }

    #[test]
    fn gradients_by_differences() {
        let op = Broadcast { output: [3, 2, 4], inputs: &[[3, 2, 4], [3, 1, 1], [1, 2, 4]] };
        let inputs = [values(1, 48), values(2, 6), values(3, 16)];
        let upstream = values(4, 48);
        for which in 0..3 {
            let run = |function: fn(&Broadcast, &[&[f32]], &mut [f32]), x: &[f32]| {
                let mut all = inputs.each_ref().map(|input| &input[..]);
                all[which] = x;
                let mut output = vec![f32::NAN; 48];
                function(&op, &all, &mut output);
                output
            };
            let mut gradient = vec![f32::NAN; inputs[which].len()];
            add_backward(&op, which, &upstream, &mut gradient);
            assert_gradient(|x| run(add, x), &inputs[which], &upstream, &gradient);
            mul_backward(&op, &inputs.each_ref().map(|input| &input[..]), which, &upstream, &mut gradient);
            assert_gradient(|x| run(mul, x), &inputs[which], &upstream, &gradient);
        }
    }
}
