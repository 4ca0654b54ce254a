//! What holds for a compiled network as a whole: results that do not depend on threads, agreement of instruction sets, loops that
//! allocate nothing, memory that is not on the stack.

use castnet::ndarray::{Array4, Axis, s};
use castnet::simd::{Isa, with_isa};
use castnet::{Network, Sgd, Tape, Trainer, parallel, zeroed};
use castnet_tests::allocations;

/// The smallest chain with most kinds of work.
#[castnet::network("../specs/lenet5.toml")]
struct LeNet5;

/// 100 MB of activations for one sample.
#[castnet::network(spec = r#"
    [network]
    input = [4, 1024, 1024]
    loss = "mse"

    [[layer]]
    name = "conv1"
    type = "conv2d"
    out_channels = 8
    kernel_size = 3
    padding = 1

    [[layer]]
    type = "relu"

    [[layer]]
    name = "conv2"
    type = "conv2d"
    out_channels = 8
    kernel_size = 1

    [[layer]]
    type = "max_pool2d"
    kernel_size = 4
"#)]
struct Large;

/// 900 layers, one after the other.
#[castnet::network(spec = r#"
    [network]
    input = [2, 3, 3]
    loss = "mse"

    [block.unit]

    [[block.unit.layer]]
    type = "leaky_relu"

    [[block.unit.layer]]
    type = "tanh"

    [[block.unit.layer]]
    type = "add"
    inputs = ["@input", "tanh1"]

    [[layer]]
    name = "first"
    type = "conv2d"
    out_channels = 2
    kernel_size = 1

    [[layer]]
    name = "unit"
    block = "unit"
    repeat = 300
"#)]
struct Deep;

/// Random layers and statistics of the batch.
#[castnet::network(spec = r#"
    [network]
    input = [3, 12, 12]
    loss = "cross_entropy"

    [[layer]]
    name = "conv"
    type = "conv2d"
    out_channels = 16
    kernel_size = 3

    [[layer]]
    name = "bn"
    type = "batch_norm2d"

    [[layer]]
    type = "rrelu"

    [[layer]]
    type = "dropout2d"
    p = 0.2

    [[layer]]
    type = "flatten"

    [[layer]]
    type = "dropout"

    [[layer]]
    name = "fc"
    type = "linear"
    out_features = 5
"#)]
struct Random;

/// Two inputs: one is read by the layers that samples go through one by one, the other by those that take a batch together.
#[castnet::network(spec = r#"
    [network]
    inputs = { image = [2, 5, 6], context = [300] }
    loss = "mse"

    [[layer]]
    name = "conv"
    type = "conv2d"
    input = "image"
    out_channels = 4
    kernel_size = 3

    [[layer]]
    type = "flatten"

    [[layer]]
    name = "fc1"
    type = "linear"
    out_features = 300

    [[layer]]
    name = "all"
    type = "concat"
    inputs = ["fc1", "context"]

    [[layer]]
    name = "fc2"
    type = "linear"
    out_features = 200
"#)]
struct TwoInputs;

/// Images without a pattern.
fn images(shape: (usize, usize, usize, usize)) -> Array4<f32> {
    let mut rng = fastrand::Rng::with_seed(1);
    Array4::from_shape_simple_fn(shape, || 2.0 * rng.f32() - 1.0)
}

/// Parameters and losses after some steps.
fn trained<N>(net: N, images: &Array4<f32>, classes: usize) -> (Vec<f32>, Vec<u32>)
where
    N: castnet::NetworkWithLoss + for<'a> Network<Inputs<'a> = castnet::ndarray::ArrayView4<'a, f32>>,
{
    let labels: Vec<usize> = (0..images.shape()[0]).map(|i| i % classes).collect();
    let mut trainer = Trainer::new(net, Sgd::new(0.05).momentum(0.9)).seed(3);
    let losses = (0..4).map(|_| trainer.step(images.view(), &labels).expect("a step")).collect();
    let bits = trainer.network().parameters().iter().map(|x| x.to_bits()).collect();
    (losses, bits)
}

#[test]
fn frozen_networks_read_views_of_any_strides() {
    let digits = images((5, 28, 1, 28)).permuted_axes([0, 2, 3, 1]);
    let model = LeNet5::new(1).freeze();
    let plain = digits.as_standard_layout();
    assert!(!digits.is_standard_layout());
    assert_eq!(model.forward(digits.view()).unwrap(), model.forward(plain.view()).unwrap());
    // Every second sample, which lies as it should, of a batch that does not.
    let halves = plain.slice(s![..;2, .., .., ..]);
    assert_eq!(model.forward(halves).unwrap(), model.forward(plain.view()).unwrap().slice(s![..;2, ..]));

    // The second half takes its own copy of the one, and none of the other.
    assert_eq!(TwoInputs::INFO.inputs.iter().map(|input| input.frozen.is_empty()).collect::<Vec<_>>(), [true, false]);
    let model = TwoInputs::new(1).freeze();
    let (first, second) = (images((35, 6, 5, 2)).reversed_axes(), images((35, 300, 1, 1)));
    let first = first.permuted_axes([3, 0, 1, 2]);
    let second = second.into_shape_with_order((35, 300)).unwrap();
    let second = second.slice(s![.., ..;-1]);
    let plain = (first.as_standard_layout(), second.as_standard_layout());
    let outputs = model.forward((first.view(), second)).unwrap();
    assert_eq!(outputs, model.forward((plain.0.view(), plain.1.view())).unwrap());
    // Not each other's samples: evaluation mode copies inputs in a way of its own.
    let evaluated = TwoInputs::new(1).forward((plain.0.view(), plain.1.view())).unwrap();
    assert!(outputs.iter().zip(&evaluated).all(|(a, b)| (a - b).abs() < 1e-5));
    let (mut image, mut context) = ([[[0.0; 6]; 5]; 2], [0.0; 300]);
    image
        .as_flattened_mut()
        .as_flattened_mut()
        .copy_from_slice(first.index_axis(Axis(0), 34).to_owned().as_standard_layout().as_slice().unwrap());
    context.copy_from_slice(plain.1.row(34).as_slice().unwrap());
    assert_eq!(model.predict((&image, &context))[..], outputs.row(34).as_slice().unwrap()[..]);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let digits = images((33, 1, 28, 28));
    let colours = images((7, 3, 12, 12));
    let run = |threads| {
        parallel::with_threads(threads, || (trained(LeNet5::new(1), &digits, 10), trained(Random::new(1), &colours, 5)))
    };
    let one = run(1);
    for threads in [2, 3] {
        assert_eq!(one, run(threads), "{threads} threads");
    }
}

#[test]
fn instruction_sets_agree() {
    let digits = images((8, 1, 28, 28));
    let (expected, _) = with_isa(Isa::Scalar, || trained(LeNet5::new(1), &digits, 10));
    for &isa in Isa::detected() {
        let (losses, _) = with_isa(isa, || trained(LeNet5::new(1), &digits, 10));
        for (a, b) in losses.iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-4, "{isa}: {losses:?}, but scalar: {expected:?}");
        }
    }
}

#[test]
fn steady_loops_allocate_nothing() {
    let digits = images((16, 1, 28, 28));
    let labels = [3usize; 16];
    let mut trainer = Trainer::new(LeNet5::new(1), Sgd::new(0.05).momentum(0.9));
    let net = LeNet5::new(2);
    let sample = [[[0.25; 28]; 28]; 1];
    let model = net.freeze();
    let mut once = || {
        trainer.step(digits.view(), &labels).expect("a step");
        model.predict(&sample);
        net.predict(&sample)
    };
    for _ in 0..3 {
        once();
    }
    // Other tests of this program allocate beside this one: a steady loop is one that can run without any.
    let quiet = (0..200).any(|_| {
        let before = allocations::everywhere();
        for _ in 0..3 {
            once();
        }
        allocations::everywhere() == before
    });
    assert!(quiet, "every run of the loop allocated");
}

#[test]
fn a_frozen_network_serves_many_threads_at_once() {
    let digits = images((24, 1, 28, 28));
    let model = LeNet5::new(5).freeze();
    let together = model.forward(digits.view()).expect("outputs");
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (model, digits, together) = (&model, &digits, &together);
            scope.spawn(move || {
                let mut sample = [[[0.0; 28]; 28]; 1];
                for index in (thread..24).step_by(6).cycle().take(40) {
                    for ((_, row, column), value) in digits.index_axis(Axis(0), index).indexed_iter() {
                        sample[0][row][column] = *value;
                    }
                    assert_eq!(model.predict(&sample)[..], together.row(index).to_vec()[..], "sample {index}");
                }
            });
        }
    });
}

#[test]
fn nothing_large_is_on_the_stack() {
    const { assert!(Large::TRAINING_BYTES_PER_SAMPLE > 100_000_000) };
    let work = || {
        let mut net = Large::new(1);
        let mut sample = zeroed::<[[[f32; 1024]; 1024]; 4]>();
        sample[3][1023][1023] = 1.0;
        let prediction = net.predict(&sample);
        assert!(prediction.iter().flatten().flatten().all(|x| x.is_finite()));
        let batch = Array4::zeros((1, 4, 1024, 1024));
        let outputs = net.forward(batch.view()).expect("outputs");
        assert!(net.freeze().predict(&sample).iter().flatten().flatten().all(|x| x.is_finite()));
        let mut tape = Tape::new();
        net.forward_train(&mut tape, batch.view()).expect("a pass");
        net.backward(&mut tape, outputs.view()).expect("gradients");
        let mut trainer = Trainer::new(net, Sgd::new(0.01));
        assert!(trainer.step(batch.view(), outputs.view()).expect("a step").is_finite());
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(work).expect("a thread");
    thread.join().expect("the work fits into 256 KiB of stack");
}

#[test]
fn a_deep_network_needs_no_deep_stack() {
    let work = || {
        let net = Deep::new(1);
        let sample = [[[1e-3; 3]; 3]; 2];
        for prediction in [net.predict(&sample), net.freeze().predict(&sample)] {
            assert!(prediction.as_flattened().as_flattened().iter().all(|x| x.is_finite()));
        }
        let batch = Array4::from_elem((2, 2, 3, 3), 1e-3);
        let mut trainer = Trainer::new(net, Sgd::new(1e-9));
        assert!(trainer.step(batch.view(), batch.view()).expect("a step").is_finite());
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(work).expect("a thread");
    thread.join().expect("the work fits into 256 KiB of stack");
}

#[test]
fn the_counters_count() {
    let (here, everywhere) = (allocations::here(), allocations::everywhere());
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations::here(), here + 1);
    assert!(allocations::everywhere() > everywhere);
}
