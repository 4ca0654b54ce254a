//! Everything a user does with a network, on networks written by hand as the macro would write them.

mod kernels;
mod mlp;

use castnet::ndarray::{Array1, Array2, Axis, s};
use castnet::{Error, Loss, Optimizer, Sgd, Tape, Trainer};
use mlp::Mlp;

/// Inputs that are a function of their place.
fn inputs(batch: usize) -> Array2<f32> {
    Array2::from_shape_fn((batch, 12), |(n, i)| ((n * 12 + i) as f32 * 0.7).sin())
}

fn labels(batch: usize) -> Vec<usize> {
    (0..batch).map(|n| n * 3 % 5).collect()
}

#[test]
fn forward_and_predict_agree_and_are_the_network() {
    let net = Mlp::new(42);
    let inputs = inputs(3);
    let outputs = net.forward(inputs.view()).unwrap();
    assert_eq!(outputs.shape(), [3, 5]);

    let tensor = |name: &str| &net.parameters()[Mlp::INFO.parameter(name).unwrap().range()];
    let weight = |name, shape| Array2::from_shape_vec(shape, tensor(name).to_vec()).unwrap();
    let bias = |name| Array1::from_vec(tensor(name).to_vec());
    let hidden = (inputs.dot(&weight("fc1.weight", (8, 12)).t()) + bias("fc1.bias")).mapv(f32::tanh);
    let expected = hidden.dot(&weight("fc2.weight", (5, 8)).t()) + bias("fc2.bias");
    assert!((&outputs - &expected).iter().all(|difference| difference.abs() <= 1e-6));

    for (input, output) in inputs.axis_iter(Axis(0)).zip(outputs.axis_iter(Axis(0))) {
        let sample: [f32; 12] = input.to_vec().try_into().unwrap();
        let prediction: [f32; 5] = net.predict(&sample);
        assert!(prediction.iter().zip(output).all(|(a, b)| (a - b).abs() <= 1e-6));
    }
}

#[test]
fn inputs_of_any_strides_are_the_same_inputs() {
    let net = Mlp::new(1);
    let inputs = inputs(4);
    let expected = net.forward(inputs.view()).unwrap();
    let transposed = inputs.t().as_standard_layout().to_owned();
    assert_eq!(net.forward(transposed.t()).unwrap(), expected);
    let mut wide = Array2::from_elem((8, 36), f32::NAN);
    wide.slice_mut(s![..;2, 6..;-1]).slice_mut(s![.., ..24;2]).assign(&inputs);
    assert_eq!(net.forward(wide.slice(s![..;2, 6..;-1]).slice(s![.., ..24;2])).unwrap(), expected);
}

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
fn what_does_not_fit_is_an_error() {
    let mut net = Mlp::new(3);
    let wrong = Array2::<f32>::zeros((2, 13));
    let message = net.forward(wrong.view()).unwrap_err().to_string();
    assert_eq!(
        message,
        "Mlp: the input `input` has the shape [batch, 12], but the array given for it has the shape [2, 13]"
    );
    assert_eq!(net.forward(inputs(0).view()).unwrap().shape(), [0, 5]);

    let mut tape = Tape::<Mlp>::new();
    assert_eq!(tape.outputs().shape(), [0, 5]);
    assert!(matches!(net.backward(&mut tape, wrong.view()), Err(Error::NoForwardPass { network: "Mlp" })));
    assert!(matches!(
        net.forward_train(&mut tape, inputs(0).view()),
        Err(Error::BatchTooSmall { training: true, minimum: 1, found: 0, .. })
    ));
    net.forward_train(&mut tape, inputs(2).view()).unwrap();
    assert!(matches!(net.backward(&mut tape, wrong.view()), Err(Error::Shape { .. })));
    let gradient = Array2::<f32>::zeros((3, 5));
    assert!(matches!(
        net.backward(&mut tape, gradient.view()),
        Err(Error::GradientBatch { expected: 2, found: 3, .. })
    ));
    net.backward(&mut tape, gradient.slice(s![..2, ..])).unwrap();
    assert!(matches!(net.backward(&mut tape, gradient.view()), Err(Error::NoForwardPass { .. })));

    // 2^55 samples that take 12 floats, by a stride of 0.
    let one = inputs(1);
    let huge = one.broadcast((1 << 55, 12)).unwrap();
    assert!(matches!(net.forward(huge), Err(Error::TooLarge { batch: Some(_), .. })));
    assert!(matches!(net.forward_train(&mut tape, huge), Err(Error::TooLarge { .. })));
    assert_eq!(net.forward(inputs(1).view()).unwrap().shape(), [1, 5]);
}
