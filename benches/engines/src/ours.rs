//! castnet: the networks, compiled from their specs and frozen.

use crate::{Engine, Model, Result, Setup};
use castnet::ndarray::{Array2, ArrayView4};
use castnet::parallel;

#[castnet::network("../../specs/lenet5.toml")]
struct LeNet5;

#[castnet::network("../../specs/mnist_cnn.toml")]
struct MnistCnn;

#[castnet::network("../../specs/resnet18.toml")]
struct ResNet18;

pub fn engine(setup: &Setup) -> Result<Engine> {
    /// Each network is a type of its own.
    macro_rules! frozen {
        ($network:ident) => {{
            let mut net = $network::new(0);
            net.load(&setup.weights)?;
            let model = net.freeze();
            let mut result = Array2::zeros((1, setup.outputs));
            let (input, threads, shape) = (setup.input.clone(), setup.threads, setup.shape);
            Box::new(move |output| {
                let input = ArrayView4::from_shape(shape, &input)?;
                parallel::with_threads(threads, || model.forward_into(input, &mut result))?;
                output.copy_from_slice(result.as_slice().ok_or("an output in pieces")?);
                Ok(())
            })
        }};
    }
    Ok(match setup.model {
        Model::Lenet5 => frozen!(LeNet5),
        Model::MnistCnn => frozen!(MnistCnn),
        Model::Resnet18 => frozen!(ResNet18),
    })
}
