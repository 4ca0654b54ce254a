//! Runs a network on the inputs, parameters and upstream gradients that PyTorch was given, and compares all that it
//! computed. The names of the tensors are those of `golden/oracle.py`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use castnet::info::ValueInfo;
use castnet::ndarray::{ArrayViewD, IxDyn};
use castnet::optim::Sgd;
use castnet::simd::{Isa, with_isa};
use castnet::{NetworkInfo, Target};

use crate::frozen;
use crate::subject::Subject;
use castnet_oracle::agreement::{Report, Tolerance};
use castnet_oracle::tensors::{self, Numbers, Tensors};

/// Runs one case, once for each instruction set of the machine. `random`: layers draw in training, and PyTorch's draws
/// are not ours, so that there is nothing to compare in training.
///
/// # Panics
///
/// With all that disagrees, is missing, or is there and was not asked for.
pub fn run(subject: impl Fn() -> Box<dyn Subject>, path: &str, random: bool) {
    let mut report = Report::default();
    match tensors::read(Path::new(path)) {
        Err(error) => panic!("{error}"),
        Ok(tensors) => {
            for &isa in Isa::detected() {
                with_isa(isa, || check(subject().as_mut(), &tensors, random, &mut report, &isa.to_string()));
            }
        }
    }
    report.finish(path);
}

/// Runs one case frozen alone, once for each instruction set of the machine: its spec asks for an algorithm of its own.
///
/// # Panics
///
/// With all that disagrees.
pub fn run_frozen(subject: impl Fn() -> Box<dyn Subject>, path: &str) {
    let mut report = Report::default();
    match tensors::read(Path::new(path)) {
        Err(error) => panic!("{error}"),
        Ok(tensors) => {
            for &isa in Isa::detected() {
                let mut subject = subject();
                let info = subject.info();
                let isa_name = isa.to_string();
                let asked = RefCell::default();
                let mut case = Case { info, tensors: &tensors, asked, report: &mut report, isa: &isa_name };
                with_isa(isa, || case.run_frozen(subject.as_mut()));
            }
        }
    }
    report.finish(path);
}

fn check(subject: &mut dyn Subject, tensors: &Tensors, random: bool, report: &mut Report, isa: &str) {
    let mut case = Case { info: subject.info(), tensors, asked: RefCell::default(), report, isa };
    case.run(subject, random);
    let unused: Vec<&String> = tensors.keys().filter(|name| !case.asked.borrow().contains(*name)).collect();
    if !case.report.failed() && !unused.is_empty() {
        case.report.fail(format!("the file holds tensors that were not compared: {unused:?}"));
    }
}

/// What a case begins with.
struct Loaded<'a> {
    batch: usize,
    inputs: Vec<&'a [f32]>,
    /// A safetensors file.
    weights: Vec<u8>,
}

struct Case<'a> {
    info: &'static NetworkInfo,
    tensors: &'a Tensors,
    /// The tensors that were asked for.
    asked: RefCell<BTreeSet<String>>,
    report: &'a mut Report,
    isa: &'a str,
}

impl<'a> Case<'a> {
    /// The tensor of values of this name, which must be there and of this shape; `batch`: with a batch axis in front.
    fn values(&mut self, name: &str, batch: Option<usize>, shape: &[usize]) -> Option<&'a [f32]> {
        self.asked.borrow_mut().insert(name.to_string());
        let expected: Vec<usize> = batch.into_iter().chain(shape.iter().copied()).collect();
        match self.tensors.get(name) {
            None => self.report.fail(format!("the file has no tensor `{name}`")),
            Some(tensor) if tensor.shape != expected => {
                self.report.fail(format!("`{name}` is {:?} where {expected:?} belongs", tensor.shape));
            }
            Some(tensor) => match &tensor.numbers {
                Numbers::F32(values) => return Some(values),
                Numbers::I64(_) => self.report.fail(format!("`{name}` holds I64 where F32 belongs")),
            },
        }
        None
    }

    fn compare(&mut self, name: &str, batch: Option<usize>, shape: &[usize], ours: &[f32]) {
        if let Some(theirs) = self.values(name, batch, shape) {
            let theirs: Vec<f64> = theirs.iter().map(|&value| f64::from(value)).collect();
            let shape: Vec<usize> = batch.into_iter().chain(shape.iter().copied()).collect();
            let what = format!("{name} ({})", self.isa);
            self.report.compare(&what, &shape, ours, &theirs, Tolerance::GOLDEN);
        }
    }

    /// The result, or `None` and a failure.
    fn expect<T>(&mut self, what: &str, result: Result<T, castnet::Error>) -> Option<T> {
        result.map_err(|error| self.report.fail(format!("{what} ({}): {error}", self.isa))).ok()
    }

    fn run(&mut self, subject: &mut dyn Subject, random: bool) -> Option<()> {
        let info = self.info;
        let Loaded { batch, inputs, weights } = self.load(subject)?;
        self.evaluate(subject, batch, &inputs);
        let trained = self.tensors.keys().any(|name| name.starts_with("train.") || name.starts_with("steps."));
        if random && !trained {
            return Some(()); // What remains in the file is reported as not compared.
        }
        self.train(subject, batch, &inputs);
        if info.loss.is_some() {
            let loaded = subject.load(&weights);
            self.expect("loading", loaded)?;
            self.steps(subject, batch, &inputs);
        }
        Some(())
    }

    fn run_frozen(&mut self, subject: &mut dyn Subject) -> Option<()> {
        let Loaded { batch, inputs, .. } = self.load(subject)?;
        self.frozen(subject, batch, &inputs)
    }

    /// Loads the weights.
    fn load(&mut self, subject: &mut dyn Subject) -> Option<Loaded<'a>> {
        let info = self.info;
        let first = format!("input.{}", info.inputs[0].name);
        let Some(batch) = self.tensors.get(&first).and_then(|tensor| tensor.shape.first().copied()) else {
            self.report.fail(format!("the file has no tensor `{first}` with a batch axis"));
            return None;
        };
        let inputs: Vec<Option<&[f32]>> = info
            .inputs
            .iter()
            .map(|input| self.values(&format!("input.{}", input.name), Some(batch), input.shape))
            .collect();
        let weights = self.weights();
        let inputs: Vec<&[f32]> = inputs.into_iter().collect::<Option<_>>()?;
        let weights = weights?;
        let loaded = subject.load(&weights);
        self.expect("loading", loaded)?;
        Some(Loaded { batch, inputs, weights })
    }

    /// All parameters and buffers as a weights file, under their names in a state dict.
    fn weights(&mut self) -> Option<Vec<u8>> {
        let info = self.info;
        let parameters = info.parameters.iter().map(|p| ("param", p.name, p.shape));
        let buffers = info.buffers.iter().map(|b| ("buffer", b.name, b.shape));
        let found: Vec<Option<_>> = parameters
            .chain(buffers)
            .map(|(kind, name, shape)| {
                self.values(&format!("{kind}.{name}"), None, shape).map(|values| (name, shape, values))
            })
            .collect();
        Some(tensors::to_bytes(found.into_iter().collect::<Option<Vec<_>>>()?))
    }

    fn evaluate(&mut self, subject: &mut dyn Subject, batch: usize, inputs: &[&[f32]]) -> Option<()> {
        let info = self.info;
        let outputs = self.expect("forward", subject.forward(batch, inputs))?;
        for (output, ours) in info.outputs.iter().zip(&outputs) {
            self.compare(&format!("eval.output.{}", output.name), Some(batch), output.shape, ours);
        }
        self.frozen(subject, batch, inputs);
        // The same through `predict`, sample by sample.
        for sample in 0..batch {
            let one = |values: &'static [ValueInfo], at: usize| {
                let len = values[at].len();
                sample * len..(sample + 1) * len
            };
            let inputs: Vec<&[f32]> =
                inputs.iter().enumerate().map(|(at, input)| &input[one(info.inputs, at)]).collect();
            let Some(prediction) = subject.predict(&inputs) else { break };
            for (at, (output, ours)) in info.outputs.iter().zip(&prediction).enumerate() {
                let what = format!("predict.{} of sample {sample} ({})", output.name, self.isa);
                let Some(theirs) = self.values(&format!("eval.output.{}", output.name), Some(batch), output.shape)
                else {
                    continue;
                };
                let theirs: Vec<f64> = theirs[one(info.outputs, at)].iter().map(|&value| f64::from(value)).collect();
                self.report.compare(&what, output.shape, ours, &theirs, Tolerance::GOLDEN);
            }
        }
        Some(())
    }

    /// The frozen network.
    fn frozen(&mut self, subject: &dyn Subject, batch: usize, inputs: &[&[f32]]) -> Option<()> {
        let outputs = self.info.outputs;
        let expected: Vec<Option<Vec<f64>>> = outputs
            .iter()
            .map(|output| {
                let values = self.values(&format!("eval.output.{}", output.name), Some(batch), output.shape)?;
                Some(values.iter().map(|&value| f64::from(value)).collect())
            })
            .collect();
        let expected: Vec<Vec<f64>> = expected.into_iter().collect::<Option<_>>()?;
        frozen::check(subject, batch, inputs, &expected, self.isa, self.report);
        Some(())
    }

    fn train(&mut self, subject: &mut dyn Subject, batch: usize, inputs: &[&[f32]]) -> Option<()> {
        let info = self.info;
        let upstream: Vec<Option<&[f32]>> = info
            .outputs
            .iter()
            .map(|output| self.values(&format!("train.grad_output.{}", output.name), Some(batch), output.shape))
            .collect();
        let upstream: Vec<&[f32]> = upstream.into_iter().collect::<Option<_>>()?;
        let trained = subject.train(0, batch, inputs, &upstream, true);
        let trained = self.expect("training", trained)?;
        for (output, ours) in info.outputs.iter().zip(&trained.outputs) {
            self.compare(&format!("train.output.{}", output.name), Some(batch), output.shape, ours);
        }
        for (input, ours) in info.inputs.iter().zip(&trained.input_gradients) {
            self.compare(&format!("train.grad_input.{}", input.name), Some(batch), input.shape, ours);
        }
        for parameter in info.parameters {
            let ours = &trained.gradients[parameter.range()];
            self.compare(&format!("train.grad.{}", parameter.name), None, parameter.shape, ours);
        }
        for buffer in info.buffers {
            let ours = subject.buffers()[buffer.range()].to_vec();
            self.compare(&format!("train.buffer.{}", buffer.name), None, buffer.shape, &ours);
        }
        Some(())
    }

    /// Steps of SGD on the same batch.
    fn steps(&mut self, subject: &mut dyn Subject, batch: usize, inputs: &[&[f32]]) -> Option<()> {
        let info = self.info;
        self.asked.borrow_mut().insert("target".into());
        let Some(tensor) = self.tensors.get("target") else {
            self.report.fail("the file has no tensor `target`, and the spec names a loss");
            return None;
        };
        let target: Target<'_> = match &tensor.numbers {
            Numbers::F32(values) => ArrayViewD::from_shape(IxDyn(&tensor.shape), values).ok()?.into(),
            Numbers::I64(classes) => ArrayViewD::from_shape(IxDyn(&tensor.shape), classes).ok()?.into(),
        };
        let steps = self.tensors.get("steps.loss").map_or(0, |losses| losses.shape.iter().product());
        let losses = subject.steps(Sgd::new(0.05).momentum(0.9), batch, inputs, target, steps);
        let losses = self.expect("steps", losses)?;
        self.compare("steps.loss", None, &[steps], &losses);
        for parameter in info.parameters {
            let ours = subject.parameters()[parameter.range()].to_vec();
            self.compare(&format!("steps.param.{}", parameter.name), None, parameter.shape, &ours);
        }
        Some(())
    }
}
