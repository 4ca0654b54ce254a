//! The optimizers against PyTorch 2.15:
//!
//! ```python
//! p = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0], requires_grad=True)
//! optimizer = torch.optim.SGD([p], lr=0.1)
//! for s in range(4):
//!     p.grad = torch.tensor([(i + 1) * 0.1 * (-1) ** (s + i) + 0.3 * p[i].item() for i in range(5)])
//!     optimizer.step()
//! print(p)
//! ```

use std::vec;
use std::vec::Vec;

use super::*;
use crate::simd::{Isa, with_isa};

const START: [f32; 5] = [1.0, -2.0, 0.5, 3.0, 0.0];

/// Gradients that depend on the parameters, so that an error in one step shows in all that follow.
fn gradients(parameters: &[f32], step: usize) -> Vec<f32> {
    let term = |(i, p): (usize, &f32)| {
        let i = i % START.len();
        (i as f32 + 1.0) * 0.1 * if (step + i).is_multiple_of(2) { 1.0 } else { -1.0 } + 0.3 * p
    };
    parameters.iter().enumerate().map(term).collect()
}

fn run(optimizer: &mut impl Optimizer, parameters: &mut [f32], steps: std::ops::Range<usize>) {
    for step in steps {
        let gradients = gradients(parameters, step);
        optimizer.step(parameters, &gradients).unwrap();
    }
}

/// Four steps on every instruction set, over parameters that repeat past several tasks and end within a vector.
#[track_caller]
fn expect(optimizer: impl Optimizer + Clone, expected: [f32; 5]) {
    for isa in Isa::of_architecture() {
        if !Isa::detected().contains(isa) {
            std::println!("SKIPPED: this machine has no {isa}");
            continue;
        }
        for length in [0, 1, 5, 16, 33, 2 * CHUNK + 23] {
            let mut parameters: Vec<f32> = START.iter().copied().cycle().take(length).collect();
            with_isa(*isa, || run(&mut optimizer.clone(), &mut parameters, 0..4));
            for (i, parameter) in parameters.iter().enumerate() {
                let difference = (parameter - expected[i % 5]).abs();
                assert!(difference <= 1e-6, "{isa}: {parameter} at {i} is not {}", expected[i % 5]);
            }
        }
    }
}

#[test]
fn sgd_is_pytorchs() {
    let sgd = || Sgd::new(0.1);
    expect(sgd(), [0.885875046, -1.77175009, 0.444393247, 2.65354943, 0.0029113479]);
    expect(sgd().weight_decay(0.05), [0.867855966, -1.73571193, 0.435617775, 2.59883618, 0.00337963714]);
    expect(sgd().momentum(0.9), [0.726333857, -1.45266771, 0.32700941, 2.28024292, -0.072315149]);
    expect(
        sgd().momentum(0.9).dampening(0.3).weight_decay(0.05),
        [0.732662737, -1.46532547, 0.316287071, 2.33811235, -0.100088574],
    );
    expect(
        sgd().momentum(0.9).nesterov(true).weight_decay(0.05),
        [0.605338573, -1.21067715, 0.277350754, 1.88690758, -0.050637044],
    );
}

#[test]
fn adam_is_pytorchs() {
    expect(Adam::new(0.1), [0.626852036, -1.62153494, 0.274003059, 2.62459803, -0.111274369]);
    expect(
        Adam::new(0.1).betas(0.8, 0.95).eps(1e-3).weight_decay(0.05),
        [0.626612306, -1.62030613, 0.271760702, 2.61663651, -0.0983564705],
    );
}

#[test]
fn adamw_is_pytorchs() {
    expect(AdamW::new(0.1), [0.623548687, -1.61422145, 0.272553474, 2.61323404, -0.110967815]);
    expect(
        AdamW::new(0.1).betas(0.8, 0.95).eps(1e-3).weight_decay(0.2),
        [0.568113446, -1.48338127, 0.256614059, 2.40261936, -0.0944496542],
    );
}

/// Two steps, saved, loaded into another one, two steps more: as four steps at once.
#[track_caller]
fn expect_resumes<O: Optimizer + Clone + PartialEq + std::fmt::Debug>(mut optimizer: O, mut other: O) {
    let unused = optimizer.clone();
    let mut parameters = START;
    run(&mut optimizer, &mut parameters, 0..2);
    other.load_bytes(&optimizer.to_bytes()).unwrap();
    assert_eq!(other, optimizer);
    let mut resumed = parameters;
    run(&mut optimizer, &mut parameters, 2..4);
    run(&mut other, &mut resumed, 2..4);
    assert_eq!(parameters, resumed);

    other.load_bytes(&unused.to_bytes()).unwrap();
    assert_eq!(other, unused, "a state before the first step");
}

#[test]
fn states_are_saved_and_loaded() {
    expect_resumes(Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(0.05), Sgd::new(9.0));
    expect_resumes(Sgd::new(0.1).momentum(0.9).dampening(0.5), Sgd::new(9.0));
    expect_resumes(Adam::new(0.1).betas(0.8, 0.95).eps(1e-3), Adam::new(9.0));
    expect_resumes(AdamW::new(0.1).weight_decay(0.2), AdamW::new(9.0));
}

#[test]
fn a_state_of_another_kind_is_refused_whole() {
    let mut adam = Adam::new(0.1);
    adam.step(&mut START.clone(), &[1.0; 5]).unwrap();
    let mut sgd = Sgd::new(0.3);
    let error = sgd.load_bytes(&adam.to_bytes()).unwrap_err().to_string();
    for problem in ["bytes does not fit sgd", "`momentum` [] is missing", "`exp_avg_sq` [5] is not a tensor"] {
        assert!(error.contains(problem), "{error}");
    }
    assert_eq!(sgd, Sgd::new(0.3));
    assert!(matches!(sgd.load_bytes(b"no such format"), Err(Error::Format { .. })));
    // A state that is well formed and makes no sense.
    let nonsense = Sgd::new(-1.0).to_bytes();
    assert!(matches!(sgd.load_bytes(&nonsense), Err(Error::Setting { .. })));
    assert_eq!(sgd, Sgd::new(0.3));
}

#[test]
fn settings_without_sense_and_lengths_that_differ_are_errors() {
    fn message(mut optimizer: impl Optimizer, parameters: &mut [f32], gradients: &[f32]) -> String {
        let before = parameters.to_vec();
        let message = optimizer.step(parameters, gradients).unwrap_err().to_string();
        assert_eq!(parameters, before);
        message
    }
    let mut p = START;
    let g = [1.0; 5];
    assert_eq!(message(Sgd::new(-0.1), &mut p, &g), "sgd: the learning rate is -0.1, but must be 0 or more");
    assert!(message(Sgd::new(f64::NAN), &mut p, &g).contains("NaN"));
    assert!(message(Sgd::new(0.1).nesterov(true), &mut p, &g).contains("needs a momentum"));
    assert!(message(Sgd::new(0.1).momentum(0.9).dampening(0.1).nesterov(true), &mut p, &g).contains("dampening"));
    assert!(message(Sgd::new(0.1).weight_decay(-1.0), &mut p, &g).contains("the weight decay is -1"));
    assert!(message(Adam::new(0.1).betas(1.0, 0.9), &mut p, &g).contains("beta1 is 1"));
    assert!(message(AdamW::new(0.1).betas(0.9, -0.1), &mut p, &g).contains("adamw: beta2 is -0.1"));
    assert!(message(Adam::new(0.1).eps(f64::INFINITY), &mut p, &g).contains("eps"));

    let error = message(Sgd::new(0.1), &mut p, &[]);
    assert!(error.contains("5 floats of parameters, but 0 of gradients"), "{error}");
    let mut adam = Adam::new(0.1);
    adam.step(&mut [0.0; 3], &[1.0; 3]).unwrap();
    let error = message(adam, &mut p, &g);
    assert!(error.contains("3 of its own state"), "{error}");
}

#[test]
fn an_optimizer_can_be_chosen_at_run_time() {
    let mut all: Vec<Box<dyn Optimizer>> = vec![Box::new(Sgd::new(0.1)), Box::new(Adam::new(0.1))];
    for optimizer in &mut all {
        optimizer.set_learning_rate(0.5);
        assert_eq!(optimizer.learning_rate(), 0.5);
        let mut parameters = START;
        optimizer.step(&mut parameters, &[1.0; 5]).unwrap();
        assert!(parameters.iter().zip(START).all(|(new, old)| (old - new - 0.5).abs() < 1e-5));
    }
}
