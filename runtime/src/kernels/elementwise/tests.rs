use super::*;
use crate::kernels::testing::{Tolerance, check, check_update, data, straddling};
use crate::reference::elementwise as reference;

type Case = ([usize; 3], &'static [[usize; 3]]);

const CASES: [Case; 17] = [
    ([3, 5, 7], &[[3, 5, 7], [3, 5, 7]]),
    ([1, 1, 10], &[[1, 1, 10], [1, 1, 10], [1, 1, 10]]),
    // Channels scaled, as squeeze-and-excitation does.
    ([6, 5, 7], &[[6, 5, 7], [6, 1, 1]]),
    ([6, 5, 7], &[[6, 1, 1], [6, 5, 7]]),
    // Every place scaled.
    ([6, 5, 7], &[[1, 5, 7], [6, 5, 7]]),
    ([6, 5, 7], &[[1, 1, 7], [6, 5, 7]]),
    ([6, 5, 7], &[[6, 5, 7], [1, 5, 1]]),
    ([6, 5, 7], &[[6, 5, 7], [6, 1, 7]]),
    ([6, 5, 7], &[[6, 5, 7], [1, 1, 1]]),
    // Neither has the output's shape.
    ([6, 5, 7], &[[6, 1, 1], [1, 5, 7]]),
    ([6, 5, 7], &[[6, 1, 7], [1, 5, 1]]),
    // Three and four.
    ([6, 5, 7], &[[6, 1, 1], [1, 5, 1], [1, 1, 7]]),
    ([6, 5, 7], &[[6, 5, 7], [6, 1, 1], [1, 5, 7], [6, 5, 7]]),
    ([6, 1, 7], &[[1, 1, 7], [6, 1, 1], [6, 1, 7]]),
    ([1, 1, 1], &[[1, 1, 1], [1, 1, 1]]),
    // More than a row, more than a task.
    ([2, 3, 1100], &[[2, 3, 1100], [2, 3, 1]]),
    ([9, 60, 70], &[[9, 1, 1], [1, 60, 70]]),
];

fn size(shape: [usize; 3]) -> usize {
    shape.iter().product()
}

#[test]
fn sums_and_products_agree_with_the_reference() {
    for (output, shapes) in CASES {
        let op = Broadcast { output, inputs: shapes };
        for batch in [1, 3] {
            let owned: Vec<Vec<f32>> =
                shapes.iter().enumerate().map(|(k, &shape)| data(k as u64, batch * size(shape))).collect();
            let inputs: Vec<&[f32]> = owned.iter().map(|input| &input[..]).collect();
            let grad_output = data(99, batch * size(output));
            let name = format!("{op:?}, batch {batch}");
            let (mut sum, mut product) = (vec![f32::NAN; grad_output.len()], vec![f32::NAN; grad_output.len()]);
            reference::add(&op, &inputs, &mut sum);
            reference::mul(&op, &inputs, &mut product);
            let tolerance = Tolerance::absolute(1e-6);
            check(&format!("add {name}"), tolerance, [sum], |context, [output]| add(context, &op, &inputs, output));
            check(&format!("mul {name}"), tolerance, [product], |context, [output]| mul(context, &op, &inputs, output));
            for (which, &shape) in shapes.iter().enumerate() {
                let mut sum = vec![f32::NAN; batch * size(shape)];
                let mut product = sum.clone();
                reference::add_backward(&op, which, &grad_output, &mut sum);
                reference::mul_backward(&op, &inputs, which, &grad_output, &mut product);
                let tolerance = Tolerance::sum(size(output) / size(shape));
                check(&format!("add_backward {which} of {name}"), tolerance, [sum], |context, [gradient]| {
                    add_backward(context, &op, which, &grad_output, gradient);
                });
                check(&format!("mul_backward {which} of {name}"), tolerance, [product], |context, [gradient]| {
                    mul_backward(context, &op, &inputs, which, &grad_output, gradient);
                });
            }
        }
    }
}

#[test]
fn copies_and_accumulates() {
    for len in straddling(16).into_iter().chain([0, TASK - 1, TASK, 2 * TASK + 3]) {
        let (from, into) = (data(1, len), data(2, len));
        check("copy", Tolerance::EXACT, [from.clone()], |context, [into]| copy(context, &from, into));
        let sum: Vec<f32> = from.iter().zip(&into).map(|(a, b)| a + b).collect();
        check_update("accumulate", Tolerance::EXACT, [into], [sum], |context, [into]| accumulate(context, &from, into));
    }
}

#[test]
fn what_does_not_fit_panics() {
    let op = Broadcast { output: [2, 2, 2], inputs: &[[2, 2, 2], [2, 1, 1]] };
    let panics = |f: &dyn Fn(&mut Context)| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(&mut Context::new()))).is_err()
    };
    assert!(!panics(&|context| add(context, &op, &[&[0.0; 8], &[0.0; 2]], &mut [0.0; 8])));
    assert!(panics(&|context| add(context, &op, &[&[0.0; 8], &[0.0; 2]], &mut [0.0; 9])));
    assert!(panics(&|context| add(context, &op, &[&[0.0; 8], &[0.0; 3]], &mut [0.0; 8])));
    assert!(panics(&|context| add(context, &op, &[&[0.0; 8]], &mut [0.0; 8])));
    assert!(panics(&|context| mul_backward(context, &op, &[&[0.0; 8], &[0.0; 2]], 1, &[0.0; 8], &mut [0.0; 8])));
    let op = Broadcast { output: [2, 2, 2], inputs: &[[2, 2, 2], [2, 2, 3]] };
    assert!(panics(&|context| add(context, &op, &[&[0.0; 8], &[0.0; 12]], &mut [0.0; 8])));
}
