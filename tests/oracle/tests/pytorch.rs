//! The second reading of the spec format (`castnet_oracle`) against PyTorch's numbers: it is what the
//! tests on random networks trust.

use std::path::{Path, PathBuf};

use castnet_oracle::agreement::{Report, Tolerance};
use castnet_oracle::exact::{self, Numbers};
use castnet_oracle::finite::{Of, Point};
use castnet_oracle::spec::Spec;
use castnet_oracle::tensors::{self, Tensor, Tensors};

/// PyTorch computes in 32 bits: its rounding alone is what differs.
const TOLERANCE: Tolerance = Tolerance::GOLDEN;

fn specs() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden");
    let mut specs: Vec<PathBuf> = ["ops", "nets"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(golden.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    specs.sort();
    assert!(specs.len() >= 136, "{}", specs.len());
    specs
}

/// The tensors whose names begin so, under the rest of their names.
fn below(tensors: &Tensors, prefix: &str) -> Numbers {
    let found = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, values(tensor))));
    found.map(|(name, values)| (name.to_string(), values)).collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    match &tensor.numbers {
        tensors::Numbers::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        tensors::Numbers::I64(classes) => classes.iter().map(|&class| class as f64).collect(),
    }
}

#[test]
fn agrees_with_pytorch_on_every_golden_case() {
    for path in specs() {
        let spec = Spec::parse(&std::fs::read_to_string(&path).unwrap());
        let tensors = tensors::read(&path.with_extension("safetensors")).unwrap();
        let (inputs, batch) = (below(&tensors, "input."), tensors[&format!("input.{}", spec.inputs[0].0)].shape[0]);
        let (weights, buffers) = (below(&tensors, "param."), below(&tensors, "buffer."));
        let mut report = Report::default();
        let mut compare = |what: &str, shape: &[usize], ours: &[f64]| {
            let ours: Vec<f32> = ours.iter().map(|&value| value as f32).collect();
            match tensors.get(what) {
                Some(theirs) => report.compare(what, shape, &ours, &values(theirs), TOLERANCE),
                None => report.fail(format!("no tensor {what}")),
            }
        };
        let pass = exact::run(&spec, &weights, &buffers, &inputs, batch, false);
        for name in &spec.outputs {
            compare(&format!("eval.output.{name}"), &tensors[&format!("eval.output.{name}")].shape, &pass.values[name]);
        }
        for layer in &spec.layers {
            for (parameter, shape) in layer.op.parameters() {
                let name = format!("param.{}.{parameter}", layer.name);
                compare(&name, &shape, &values(&tensors[&name]));
                assert_eq!(tensors[&name].shape, shape, "{name} of {}", path.display());
            }
        }
        if tensors.keys().any(|name| name.starts_with("train.")) {
            let pass = exact::run(&spec, &weights, &buffers, &inputs, batch, true);
            for name in &spec.outputs {
                compare(&format!("train.output.{name}"), &[], &pass.values[name]);
            }
            for (name, values) in &pass.buffers {
                compare(&format!("train.buffer.{name}"), &[values.len()], values);
            }
            let upstream = below(&tensors, "train.grad_output.");
            gradients(Point { spec: &spec, weights, buffers, inputs, upstream, batch }, &tensors, &mut report);
        }
        report.finish(&path.display().to_string());
    }
}

/// Finite differences at a few numbers of every parameter and input against PyTorch's gradients.
fn gradients(mut point: Point<'_>, tensors: &Tensors, report: &mut Report) {
    let parameters: Vec<String> = point.weights.keys().cloned().collect();
    let inputs: Vec<String> = point.inputs.keys().cloned().collect();
    let (mut smooth, mut kinks) = (0, 0);
    let parameters = parameters.iter().map(|name| (Of::Parameter(name), format!("train.grad.{name}")));
    let inputs = inputs.iter().map(|name| (Of::Input(name), format!("train.grad_input.{name}")));
    for (of, name) in parameters.chain(inputs) {
        let theirs = values(&tensors[&name]);
        // PyTorch's rounding is relative to the largest of the sums, not to each gradient.
        let largest = theirs.iter().fold(0.0, |largest: f64, gradient| largest.max(gradient.abs()));
        let tolerance = Tolerance { absolute: 1e-5 + 1e-4 * largest, relative: 1e-4 };
        let places = [0, 1, 2, 3].map(|i| i * (theirs.len() - 1) / 3);
        for (&at, ours) in places.iter().zip(point.derivatives(of, &places)) {
            match ours {
                None => kinks += 1,
                Some(ours) => {
                    smooth += 1;
                    report.compare(&format!("{name} at {at}"), &[], &[ours as f32], &theirs[at..=at], tolerance);
                }
            }
        }
    }
    if kinks > smooth {
        report.fail(format!("{kinks} of {} places are kinks", kinks + smooth));
    }
}
