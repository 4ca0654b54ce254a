//! Training: in one call and in pieces.

use castnet::ndarray::{Array2, Array3, Array4, s};
use castnet::{Adam, AdamW, Error, Loss, Network, Optimizer, Sgd, Tape, Trainer};

use crate::mlp::Mlp;
use crate::parts::{self, Parts};
use crate::{inputs, labels};

#[test]
fn gradients_agree_with_finite_differences() {
    let mut net = Mlp::new(7);
    let (mut inputs, labels) = (inputs(3), labels(3));
    let mut tape = Tape::new();
    net.forward_train(&mut tape, inputs.view()).unwrap();
    let (_, upstream) = castnet::loss::cross_entropy(tape.outputs(), &labels).unwrap();
    net.backward(&mut tape, upstream.view()).unwrap();
    let gradients = tape.gradients().to_vec();
    let input_gradients = tape.input_gradients().to_owned();

    let loss = |net: &Mlp, inputs: &Array2<f32>| {
        castnet::loss::cross_entropy(net.forward(inputs.view()).unwrap().view(), &labels).unwrap().0
    };
    let close = |up: f32, down: f32, gradient: f32| {
        let slope = (up - down) / 0.02;
        assert!((slope - gradient).abs() <= 1e-3 * (1.0 + gradient.abs()), "{slope} {gradient}");
    };
    assert_eq!(gradients.len(), Mlp::PARAMETER_COUNT);
    for (i, gradient) in gradients.into_iter().enumerate() {
        let parameter = net.parameters()[i];
        let [up, down] = [0.01, -0.01].map(|step| {
            net.parameters_mut()[i] = parameter + step;
            loss(&net, &inputs)
        });
        net.parameters_mut()[i] = parameter;
        close(up, down, gradient);
    }
    for at in [[0, 0], [1, 7], [2, 11]] {
        let input = inputs[at];
        let [up, down] = [0.01, -0.01].map(|step| {
            inputs[at] = input + step;
            loss(&net, &inputs)
        });
        inputs[at] = input;
        close(up, down, input_gradients[at]);
    }
}

#[test]
fn a_step_of_the_trainer_is_its_pieces() {
    let (inputs, labels) = (inputs(6), labels(6));
    let mut trainer = Trainer::new(Mlp::new(3), Sgd::new(0.1).momentum(0.9));
    let mut net = Mlp::new(3);
    let mut optimizer = Sgd::new(0.1).momentum(0.9);
    let mut tape = Tape::new();
    let mut losses = Vec::new();
    for _ in 0..20 {
        let stepped = trainer.step(inputs.view(), &labels).unwrap();
        net.forward_train(&mut tape, inputs.view()).unwrap();
        let loss = net.backward_from_loss(&mut tape, Loss::CrossEntropy, &labels).unwrap();
        optimizer.step(net.parameters_mut(), tape.gradients()).unwrap();
        assert_eq!(stepped, loss);
        losses.push(loss);
    }
    assert_eq!(trainer.network().parameters(), net.parameters());
    assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn parts_of_a_batch_make_the_step_of_the_whole() {
    let (inputs, labels) = (inputs(7), labels(7));
    let mut whole = Trainer::new(Mlp::new(3), Sgd::new(0.1).momentum(0.9));
    let mut parted = Trainer::new(Mlp::new(3), Sgd::new(0.1).momentum(0.9));
    for _ in 0..3 {
        let loss = whole.step(inputs.view(), &labels).unwrap();
        let a = parted.accumulate(inputs.slice(s![..4, ..]), &labels[..4]).unwrap();
        let before = parted.network().parameters().to_vec();
        assert!(parted.accumulate(inputs.slice(s![..4, ..]), &[9; 4]).is_err());
        let b = parted.accumulate(inputs.slice(s![4.., ..]), &labels[4..]).unwrap();
        assert_eq!(parted.network().parameters(), before);
        parted.apply().unwrap();
        assert!(((4.0 * a + 3.0 * b) / 7.0 - loss).abs() < 1e-6);
        for (a, b) in parted.network().parameters().iter().zip(whole.network().parameters()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
    let before = parted.network().parameters().to_vec();
    parted.apply().unwrap();
    assert_eq!(parted.network().parameters(), before, "a step without any part");
    // Positions that do not count have no weight.
    parted.accumulate(inputs.slice(s![..2, ..]), &[-100, -100]).unwrap();
    parted.apply().unwrap();
    assert_eq!(parted.network().parameters(), before);
}

#[test]
fn gradients_of_several_batches_add_up() {
    let mut net = Mlp::new(3);
    let mut tape = Tape::new();
    let mut sum = vec![0.0; Mlp::PARAMETER_COUNT];
    assert!(tape.accumulated().is_empty());
    for (batch, weight) in [(2, 0.25), (5, 0.75)] {
        net.forward_train(&mut tape, inputs(batch).view()).unwrap();
        net.backward_from_loss(&mut tape, Loss::CrossEntropy, &labels(batch)).unwrap();
        tape.accumulate(weight).unwrap();
        sum.iter_mut().zip(tape.gradients()).for_each(|(sum, gradient)| *sum += weight * gradient);
    }
    assert!(tape.accumulated().iter().zip(&sum).all(|(a, b)| (a - b).abs() < 1e-7));
    tape.clear_accumulated();
    assert!(tape.accumulated().iter().all(|gradient| *gradient == 0.0));
}

#[test]
fn several_outputs_have_gradients_each() {
    let mut net = Parts::new(0);
    let (a, b, c) = crate::parts(4);
    let mut tape = Tape::<Parts>::new();
    net.forward_train(&mut tape, (a.view(), b.view(), c.view())).unwrap();
    let (centred, doubled, same) = tape.outputs();
    assert!(centred.sum().abs() < 1e-5);
    assert_eq!((doubled.to_owned(), same.to_owned()), (2.0 * &b, c.clone()));
    let mean = a.column(0).sum() / 4.0;
    assert!((net.buffers()[0] - 0.1 * mean).abs() < 1e-6, "running statistics move in training");

    let upstream = (Array2::from_elem((4, 3), 1.0), b.clone(), c.clone());
    net.backward(&mut tape, (upstream.0.view(), upstream.1.view(), upstream.2.view())).unwrap();
    let (a_gradient, b_gradient, c_gradient) = tape.input_gradients();
    assert!(a_gradient.iter().all(|gradient| gradient.abs() < 1e-6), "a constant gradient is centred away");
    assert_eq!((b_gradient.to_owned(), c_gradient.to_owned()), (2.0 * &b, c.clone()));
    assert_eq!(tape.outputs().0.shape(), [0, 3], "a backward pass uses the outputs up");

    // A loss is on the first output; the others have no gradient.
    net.forward_train(&mut tape, (a.view(), b.view(), c.view())).unwrap();
    net.backward_from_loss(&mut tape, Loss::Mse, &a).unwrap();
    let (_, b_gradient, c_gradient) = tape.input_gradients();
    assert_eq!((b_gradient.to_owned(), c_gradient.to_owned()), (Array3::zeros((4, 2, 5)), Array4::zeros((4, 2, 1, 4))));
}

#[test]
fn outputs_that_are_one_value_add_their_gradients() {
    #[castnet::network(spec = r#"
            [network]
            input = [2, 3]
            outputs = ["scaled", "flat", "again"]

            [[layer]]
            name = "scaled"
            type = "linear"
            out_features = 3
            bias = false

            [[layer]]
            name = "flat"
            type = "flatten"

            [[layer]]
            name = "again"
            type = "identity"
            input = "scaled"
        "#)]
    pub struct Net;

    let mut net = Net::new(1);
    net.parameters_mut().copy_from_slice(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    let input: Array3<f32> = crate::ramp((2, 2, 3), 0.7);
    let (scaled, flat, again) = net.forward(input.view()).unwrap();
    assert_eq!((&scaled, &again), (&input, &input));
    assert_eq!(flat.shape(), [2, 6]);
    assert!(flat.iter().eq(&input));

    let mut tape = Tape::<Net>::new();
    net.forward_train(&mut tape, input.view()).unwrap();
    net.backward(&mut tape, (input.view(), flat.view(), (2.0 * &input).view())).unwrap();
    let difference = &tape.input_gradients() - &(4.0 * &input);
    assert!(difference.iter().all(|difference| difference.abs() < 1e-6));

    net.forward_train(&mut tape, input.view()).unwrap();
    net.backward_from_loss(&mut tape, Loss::Mse, &Array3::<f32>::zeros((2, 2, 3))).unwrap();
    let difference = &tape.input_gradients() - &(&input / 6.0);
    assert!(difference.iter().all(|difference| difference.abs() < 1e-6));
}

#[test]
fn a_loss_can_be_named_where_the_spec_names_none() {
    let (a, b, c) = crate::parts(4);
    let mut trainer = Trainer::with_loss(Parts::new(0), Sgd::new(0.3), parts::LOSS);
    let target = 3.0 * (&a - &a.mean_axis(castnet::ndarray::Axis(0)).unwrap());
    let losses: Vec<_> = (0..30).map(|_| trainer.step((a.view(), b.view(), c.view()), &target).unwrap()).collect();
    assert!(losses[29] < 0.1 * losses[0], "{losses:?}");
    assert_eq!(trainer.loss(), Loss::Mse);
    let (_, b_gradient, _) = trainer.tape().input_gradients();
    assert_eq!(b_gradient.shape(), [0, 2, 5], "a trainer leaves the gradients of the inputs out");
}

#[test]
fn a_step_that_fails_changes_nothing() {
    let (a, b, c) = crate::parts(4);
    let mut trainer = Trainer::with_loss(Parts::new(0), Sgd::new(0.1), Loss::Mse);
    let inputs = || (a.view(), b.view(), c.view());
    trainer.step(inputs(), &a).unwrap();
    let before = trainer.to_bytes();
    assert!(matches!(trainer.step(inputs(), &b), Err(Error::TargetShape { .. })));
    assert!(matches!(trainer.step(inputs(), &[1usize, 2]), Err(Error::TargetKind { .. })));
    let one = (a.slice(s![..1, ..]), b.slice(s![..1, .., ..]), c.slice(s![..1, .., .., ..]));
    let error = trainer.step(one, a.slice(s![..1, ..])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Parts: a batch of 1 in training, which needs at least 2: a batch norm takes its statistics over one value per \
         channel and sample"
    );
    trainer.set_learning_rate(-1.0);
    assert!(matches!(trainer.step(inputs(), &a), Err(Error::Setting { .. })));
    trainer.set_learning_rate(0.1);
    assert_eq!(trainer.to_bytes(), before);

    let mut trainer = Trainer::new(Mlp::new(1), Sgd::new(0.1));
    let error = trainer.step(crate::inputs(2).view(), &[0, 5]).unwrap_err();
    assert!(error.to_string().contains("class 5, but there are 5 classes, 0 to 4"));
    assert!(matches!(trainer.step(crate::inputs(0).view(), &[0; 0]), Err(Error::BatchTooSmall { found: 0, .. })));
}

/// Trains on, after a detour through bytes, as if there had been none.
fn expect_resumes(optimizer: impl Optimizer + Clone, other: impl Optimizer) {
    let (inputs, labels) = (inputs(6), labels(6));
    let mut trainer = Trainer::new(Mlp::new(3), optimizer).seed(11);
    for _ in 0..3 {
        trainer.step(inputs.view(), &labels).unwrap();
    }
    let mut resumed = Trainer::new(Mlp::new(4), other);
    resumed.load_bytes(&trainer.to_bytes()).unwrap();
    assert_eq!(resumed.tape().random(), trainer.tape().random());
    assert_eq!((resumed.tape().random().seed, resumed.tape().random().step), (11, 3));
    for _ in 0..3 {
        let losses = [&mut trainer.step(inputs.view(), &labels), &mut resumed.step(inputs.view(), &labels)]
            .map(|loss| *loss.as_ref().unwrap());
        assert_eq!(losses[0], losses[1]);
    }
    assert_eq!(resumed.to_bytes(), trainer.to_bytes());
}

#[test]
fn a_training_that_is_loaded_goes_on_as_it_would_have() {
    expect_resumes(Sgd::new(0.1).momentum(0.9), Sgd::new(0.7));
    expect_resumes(Adam::new(0.01), Adam::new(0.7).eps(1.0));
    expect_resumes(Box::new(AdamW::new(0.01)), Box::new(AdamW::new(0.7)) as Box<dyn Optimizer>);
}

#[test]
fn a_training_of_another_kind_is_refused_whole() {
    let mut trainer = Trainer::new(Mlp::new(3), Sgd::new(0.1).momentum(0.9));
    trainer.step(inputs(3).view(), &labels(3)).unwrap();
    let before = trainer.to_bytes();
    let mut adam = Trainer::new(Mlp::new(3), Adam::new(0.1));
    adam.step(inputs(3).view(), &labels(3)).unwrap();
    let error = trainer.load_bytes(&adam.to_bytes()).unwrap_err().to_string();
    assert!(error.contains("`optimizer.momentum` [] is missing"), "{error}");
    assert!(error.contains("`optimizer.exp_avg` [149] is not a tensor of the network"), "{error}");
    let error = trainer.load_bytes(&Mlp::new(1).to_bytes()).unwrap_err().to_string();
    assert!(error.contains("`network.fc1.weight` [8, 12] is missing"), "{error}");
    let parts = Trainer::with_loss(Parts::new(1), Sgd::new(0.1), Loss::Mse).to_bytes();
    assert!(matches!(trainer.load_bytes(&parts), Err(Error::Weights(_))));
    assert_eq!(trainer.to_bytes(), before);
}
