//! What each choice of algorithms costs in accuracy: a whole network against the same in 64-bit floats.
//!
//! ```text
//! cargo test -p castnet-tests --test accuracy -- --nocapture
//! ```
//!
//! prints the errors that `docs/inference.md` has.

use castnet::ndarray::{Array4, ArrayView4};
use castnet::simd::{Isa, with_isa};
use castnet::{Freeze, Network};
use castnet_oracle::exact::{self, Numbers};
use castnet_oracle::random::Draw;
use castnet_oracle::spec::Spec;

/// The networks, which differ in nothing but `winograd`.
mod networks {
    include!(concat!(env!("OUT_DIR"), "/accuracy.rs"));
}

const BATCH: usize = 4;

/// Images, and the outputs in 64-bit floats for a network's parameters.
struct Truth {
    images: Array4<f32>,
    outputs: Vec<f64>,
}

fn truth(net: &networks::Direct) -> Truth {
    let spec = Spec::parse(networks::SPEC);
    let mut draw = Draw::new(7);
    let images = Array4::from_shape_simple_fn((BATCH, 3, 32, 32), || draw.normal() as f32);
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let parameters = networks::Direct::INFO.parameters.iter();
    let weights: Numbers = parameters.map(|p| (p.name.to_string(), wide(&net.parameters()[p.range()]))).collect();
    let buffers = networks::Direct::INFO.buffers.iter();
    let buffers: Numbers = buffers.map(|b| (b.name.to_string(), wide(&net.buffers()[b.range()]))).collect();
    let input = networks::Direct::INFO.inputs[0].name.to_string();
    let inputs: Numbers = [(input, wide(images.as_slice().unwrap()))].into_iter().collect();
    let pass = exact::run(&spec, &weights, &buffers, &inputs, BATCH, false);
    let outputs = pass.values[networks::Direct::INFO.outputs[0].name].clone();
    Truth { images, outputs }
}

/// The largest error and the root of the mean square, in units of the largest output.
fn errors(outputs: &[f32], truth: &Truth) -> [f64; 2] {
    let largest = truth.outputs.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let apart = || outputs.iter().zip(&truth.outputs).map(|(&ours, theirs)| (f64::from(ours) - theirs).abs());
    assert!(outputs.len() == truth.outputs.len() && apart().all(f64::is_finite));
    let mean = apart().map(|error| error * error).sum::<f64>() / outputs.len() as f64;
    [apart().fold(0.0, f64::max) / largest, mean.sqrt() / largest]
}

/// Holds the frozen network below `bound` on every instruction set.
fn check<N>(name: &str, source: &networks::Direct, truth: &Truth, bound: f64)
where
    N: Freeze<Outputs = castnet::ndarray::Array2<f32>>,
    for<'a> N: Network<Inputs<'a> = ArrayView4<'a, f32>>,
{
    let mut net = N::new(0);
    net.parameters_mut().copy_from_slice(source.parameters());
    net.buffers_mut().copy_from_slice(source.buffers());
    let model = castnet::Frozen::new(&net);
    for &isa in Isa::detected() {
        let outputs = with_isa(isa, || model.forward(truth.images.view())).unwrap();
        let [most, mean] = errors(outputs.as_slice().unwrap(), truth);
        println!("{name:8} {isa:7} at most {most:.1e}, root mean square {mean:.1e} of the largest output");
        assert!(most <= bound, "{name} on {isa}: {most:e} of the largest output, more than {bound:e}");
    }
}

#[test]
fn every_choice_is_as_accurate_as_documented() {
    // Weights that neither let values die out on the way nor grow (He et al., 2015): else the last bias is all that is compared.
    let mut source = networks::Direct::new(3);
    let mut draw = Draw::new(5);
    for parameter in networks::Direct::INFO.parameters.iter().filter(|parameter| parameter.shape.len() > 1) {
        let inputs: usize = parameter.shape[1..].iter().product();
        let scale = (2.0 / inputs as f64).sqrt();
        let weights = &mut source.parameters_mut()[parameter.range()];
        weights.iter_mut().for_each(|weight| *weight = (scale * draw.normal()) as f32);
    }
    let truth = truth(&source);
    check::<networks::Direct>("direct", &source, &truth, 2e-6);
    check::<networks::F2>("F(2x2)", &source, &truth, 3e-6);
    check::<networks::F4>("F(4x4)", &source, &truth, 1e-5);
    check::<networks::Chosen>("chosen", &source, &truth, 1e-5);
    let outputs = source.forward(truth.images.view()).unwrap();
    let [most, mean] = errors(outputs.as_slice().unwrap(), &truth);
    println!("evaluation mode: at most {most:.1e}, root mean square {mean:.1e} of the largest output");
    assert!(most <= 2e-6);
}
