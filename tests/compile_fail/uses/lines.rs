//! Everything that one does with a network from two inputs to two outputs, none of them maps.

use super::Lines as Net;
use castnet::ndarray::{Array2, Array3};
use castnet::{Loss, Sgd, Tape, Trainer};

pub fn all() -> castnet::Result<()> {
    let mut net = Net::new(42);
    let (signals, features) = (Array3::<f32>::zeros((4, 2, 100)), Array2::<f32>::zeros((4, 10)));
    let target = Array3::<f32>::zeros((4, 3, 98));

    let (sequence, classes) = net.forward((signals.view(), features.view()))?;
    let mut outputs: (Array3<f32>, Array2<f32>) = (sequence, classes);
    net.forward_into((signals.view(), features.view()), &mut outputs)?;
    println!("{} {}", outputs.0[[0, 1, 2]], outputs.1.row(0));

    let mut prediction = net.predict((&[[0.0; 100]; 2], &[0.0; 10]));
    net.predict_into((&[[0.0; 100]; 2], &[0.0; 10]), &mut prediction)?;
    let (sequence, classes): ([[f32; 98]; 3], [f32; 5]) = prediction;
    println!("{} {}", sequence[2][97], classes[4]);

    let frozen = net.freeze();
    let (sequence, classes) = frozen.forward((signals.view(), features.view()))?;
    println!("{} {}", sequence[[0, 1, 2]], classes.row(0));
    let (_, [first, ..]) = frozen.predict((&[[0.0; 100]; 2], &[0.0; 10]));
    println!("{first}");

    let mut tape = Tape::<Net>::with_seed(3);
    net.forward_train(&mut tape, (signals.view(), features.view()))?;
    let (sequence, classes) = tape.outputs();
    let (loss, upstream) = castnet::loss::mse(sequence, &target)?;
    let other = Array2::zeros(classes.raw_dim());
    net.backward(&mut tape, (upstream.view(), other.view()))?;
    let (signal_gradients, feature_gradients) = tape.input_gradients();
    println!("{loss} {} {}", signal_gradients.sum(), feature_gradients.sum());

    let mut trainer = Trainer::with_loss(net, Sgd::new(0.1), Loss::Mse);
    println!("{}", trainer.step((signals.view(), features.view()), &target)?);
    Ok(())
}
