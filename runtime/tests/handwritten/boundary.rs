//! What goes in and what comes out.

use castnet::ndarray::{Array1, Array2, Array3, Array4, Axis, ShapeBuilder, s};
use castnet::{Error, Network, Tape};

use crate::large::{Image, Large};
use crate::mlp::Mlp;
use crate::parts::Parts;
use crate::{inputs, parts};

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

#[test]
fn several_inputs_and_outputs_are_tuples() {
    let mut net = Parts::new(0);
    net.parameters_mut().copy_from_slice(&[1.0, 2.0, -1.0]);
    net.buffers_mut()[..3].copy_from_slice(&[0.5, 0.25, 0.0]);
    let (a, b, c) = parts(3);
    let (centred, doubled, same) = net.forward((a.view(), b.view(), c.view())).unwrap();
    for ((n, i), centred) in centred.indexed_iter() {
        let expected = [a[[n, 0]] - 0.5, 2.0 * (a[[n, 1]] - 0.25), -a[[n, 2]]][i];
        assert_eq!(*centred, expected);
    }
    assert_eq!((&doubled, &same), (&(2.0 * &b), &c));

    let sample = ([0.5, 1.25, 1.0], [[1.0, 2.0, 3.0, 4.0, 5.0], [0.0; 5]], [[[7.0; 4]], [[8.0; 4]]]);
    let (centred, doubled, same) = net.predict((&sample.0, &sample.1, &sample.2));
    assert_eq!(centred, [0.0, 2.0, -1.0]);
    assert_eq!(doubled, [[2.0, 4.0, 6.0, 8.0, 10.0], [0.0; 5]]);
    assert_eq!(*same, sample.2);
}

#[test]
fn several_inputs_must_fit_together() {
    let net = Parts::new(0);
    let (a, b, c) = parts(3);
    let message = |result: Result<_, Error>| result.map(|_: <Parts as Network>::Outputs| ()).unwrap_err().to_string();
    assert_eq!(
        message(net.forward((a.view(), b.slice(s![..2, .., ..]), c.view()))),
        "Parts: the input `a` has a batch of 3 and the input `b` one of 2; they must be equal"
    );
    let wrong = Array4::<f32>::zeros((3, 1, 4, 2));
    assert_eq!(
        message(net.forward((a.view(), b.view(), wrong.view()))),
        "Parts: the input `c` has the shape [batch, 2, 1, 4], but the array given for it has the shape [3, 1, 4, 2]; \
         with channels last, give `.permuted_axes([0, 3, 1, 2])` of it"
    );
    assert!(net.forward((a.view(), b.view(), wrong.view().permuted_axes([0, 3, 1, 2]))).is_ok());
}

#[test]
fn outputs_can_be_written_over() {
    let net = Parts::new(0);
    let mut outputs = (Array2::zeros((0, 0)), Array3::zeros((3, 2, 5).f()), Array4::zeros((3, 2, 1, 4)));
    let place = outputs.2.as_ptr();
    for batch in [3, 3, 2, 0] {
        let (a, b, c) = parts(batch);
        net.forward_into((a.view(), b.view(), c.view()), &mut outputs).unwrap();
        assert_eq!(outputs, net.forward((a.view(), b.view(), c.view())).unwrap());
        assert_eq!(outputs.2.as_ptr() == place, batch == 3);
    }
    let mut prediction = [f32::NAN; 5];
    let net = Mlp::new(1);
    net.predict_into(&[0.5; 12], &mut prediction).unwrap();
    assert_eq!(prediction, net.predict(&[0.5; 12]));
    let mut outputs = Array2::zeros((2, 5));
    net.forward_into(inputs(2).view(), &mut outputs).unwrap();
    assert_eq!(outputs, net.forward(inputs(2).view()).unwrap());
}

#[test]
fn any_number_of_threads_may_predict_at_once() {
    let net = Mlp::new(5);
    let sample = |i: usize| [i as f32 * 0.1; 12];
    let expected: Vec<_> = (0..64).map(|i| net.predict(&sample(i))).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    for (i, expected) in expected.iter().enumerate() {
                        assert_eq!(net.predict(&sample(i)), *expected);
                    }
                }
            });
        }
    });
}

#[test]
fn nothing_large_is_on_the_stack() {
    // 16 MiB in, 16 MiB out and 32 MiB between, in a thread with 256 KiB of stack, in a debug build too.
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(|| {
        let mut net = Large::new(0);
        let mut image = castnet::zeroed::<Image>();
        image[3][1023][1023] = 4.0;
        let mut prediction = net.predict(&image);
        assert_eq!((prediction[3][1023][1023], prediction[0][0][0]), (8.0, 0.0));
        net.predict_into(&image, &mut prediction).unwrap();
        let batch = Array4::from_elem((1, 4, 1024, 1024), 1.5);
        assert!(net.forward(batch.view()).unwrap().iter().all(|y| *y == 3.0));
        let mut tape = Tape::new();
        net.forward_train(&mut tape, batch.view()).unwrap();
        net.backward(&mut tape, batch.view()).unwrap();
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn summaries_say_what_a_network_is() {
    assert_eq!(
        Parts::INFO.to_string(),
        "Parts\n\
         \x20 input      a                  [3]\n\
         \x20 input      b                  [2, 5]\n\
         \x20 input      c                  [2, 1, 4]\n\
         \x20 parameter  norm.scale         [3]\n\
         \x20 buffer     norm.running_mean  [3]\n\
         \x20 buffer     norm.running_var   [3]\n\
         \x20 output     centred            [3]\n\
         \x20 output     doubled            [2, 5]\n\
         \x20 output     same               [2, 1, 4]\n\
         3 parameters, 3 multiply-accumulates per sample\n\
         activations: 320 bytes per sample in evaluation, 640 in training"
    );
    assert!(Mlp::INFO.to_string().ends_with("; loss: cross_entropy"));
    assert_eq!(format!("{:?}", Mlp::new(1)), "Mlp { state: State { parameters: 149, buffers: 0, .. } }");
}

#[test]
fn a_clone_is_a_network_of_its_own() {
    let net = Mlp::new(1);
    let mut clone = net.clone();
    assert_eq!(clone.parameters(), net.parameters());
    clone.parameters_mut()[0] = 9.0;
    assert_ne!(clone.parameters()[0], net.parameters()[0]);
    assert_eq!(Mlp::new(1).parameters(), net.parameters());
    assert_ne!(Mlp::new(2).parameters(), net.parameters());
}
