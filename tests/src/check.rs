//! Everything that must hold for a network whose spec is at hand and whose numbers nobody knows: it agrees with the node-by-node
//! run on the reference, with the second reading in 64-bit floats and its finite differences, for every instruction set; its
//! bits depend neither on the number of threads nor on what its memory held before.

use castnet::NetworkInfo;
use castnet::kernels::Random;
use castnet::parallel::with_threads;
use castnet::simd::{Isa, with_isa};
use castnet_oracle::agreement::{Report, Tolerance};
use castnet_oracle::exact;
use castnet_oracle::finite::{Of, Point};
use castnet_oracle::layer::Op;
use castnet_oracle::random::Draw;
use castnet_oracle::spec::Spec;

use crate::frozen;
use crate::nodes::{self, Numbers, Pass};
use crate::subject::{Subject, Trained};

/// Places of each parameter and input at which a finite difference is taken.
const PLACES: usize = 6;

/// Checks a network against its spec, with parameters and a batch drawn from the seed.
///
/// # Panics
///
/// With all that disagrees.
pub fn run(subject: impl Fn() -> Box<dyn Subject>, text: &str, seed: u64, batch: usize) {
    let spec = Spec::parse(text);
    let mut report = Report::default();
    let mut subject = subject();
    interface(subject.info(), &spec, &mut report);
    if !report.failed() {
        Check::new(&spec, seed, batch).run(subject.as_mut(), &mut report);
    }
    if report.failed() {
        eprintln!("{text}");
    }
    report.finish(&format!("seed {seed}, batch {batch}"));
}

/// The constant tables against the second reading.
fn interface(info: &NetworkInfo, spec: &Spec, report: &mut Report) {
    let mut same = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            report.fail(format!("{what}: {ours} instead of {theirs}"));
        }
    };
    let pairs = |values: &[castnet::info::ValueInfo]| -> String {
        format!("{:?}", values.iter().map(|value| (value.name, value.shape)).collect::<Vec<_>>())
    };
    same("inputs", pairs(info.inputs), format!("{:?}", spec.inputs));
    let outputs: Vec<(&String, &[usize])> = spec.outputs.iter().map(|name| (name, spec.shape(name))).collect();
    same("outputs", pairs(info.outputs), format!("{outputs:?}"));
    let mut offset = 0;
    let mut placed = |tensors: Vec<(String, Vec<usize>)>| -> String {
        let place = |(name, shape): (String, Vec<usize>)| {
            let from = offset;
            offset += shape.iter().product::<usize>();
            (name, shape, from)
        };
        format!("{:?}", tensors.into_iter().map(place).collect::<Vec<_>>())
    };
    let theirs = placed(parameters(spec));
    let ours: Vec<_> = info.parameters.iter().map(|p| (p.name, p.shape, p.offset)).collect();
    same("parameters", format!("{ours:?}"), theirs);
    same("parameter_count", info.parameter_count.to_string(), offset.to_string());
    let ours: Vec<_> = info.buffers.iter().map(|b| (b.name, b.shape)).collect();
    same("buffers", format!("{ours:?}"), format!("{:?}", buffers(spec)));
}

/// Names and shapes of all parameters.
fn parameters(spec: &Spec) -> Vec<(String, Vec<usize>)> {
    let of = |layer: &castnet_oracle::spec::Layer| -> Vec<(String, Vec<usize>)> {
        layer.op.parameters().into_iter().map(|(part, shape)| (format!("{}.{part}", layer.name), shape)).collect()
    };
    spec.layers.iter().flat_map(of).collect()
}

/// Names and shapes of all buffers.
fn buffers(spec: &Spec) -> Vec<(String, Vec<usize>)> {
    let tracking = spec.layers.iter().filter(|layer| layer.op.tracks());
    tracking
        .flat_map(|layer| {
            let channels = layer.op.parameters().first().map_or_else(|| channels(&layer.op), |(_, shape)| shape[0]);
            ["running_mean", "running_var"].map(|part| (format!("{}.{part}", layer.name), vec![channels]))
        })
        .collect()
}

fn channels(op: &Op) -> usize {
    let Op::BatchNorm { channels, .. } = op else { unreachable!("a batch norm tracks") };
    *channels
}

struct Check<'a> {
    spec: &'a Spec,
    weights: Numbers,
    buffers: Numbers,
    inputs: Numbers,
    upstream: Numbers,
    batch: usize,
    seed: u64,
    draw: Draw,
}

impl<'a> Check<'a> {
    fn new(spec: &'a Spec, seed: u64, batch: usize) -> Self {
        let mut draw = Draw::new(!seed);
        let mut normal = |count: usize, scale: f64, shift: f64| -> Vec<f32> {
            (0..count).map(|_| (shift + scale * draw.normal()) as f32).collect()
        };
        let weights = parameters(spec)
            .into_iter()
            .map(|(name, shape)| {
                let count: usize = shape.iter().product();
                // Sums of the fan-in's length stay of the order of 1; scales of norms lie around 1.
                let values = match (name.ends_with("weight"), shape.len()) {
                    (true, 1) => normal(count, 0.2, 0.8),
                    (true, _) => normal(count, (shape[0] as f64 / count as f64).sqrt(), 0.0),
                    (false, _) => normal(count, 0.3, 0.0),
                };
                (name, values)
            })
            .collect();
        let buffers = buffers(spec)
            .into_iter()
            .map(|(name, shape)| {
                let values = normal(shape[0], 0.2, 0.0);
                let mean = name.ends_with("mean");
                (name, if mean { values } else { values.iter().map(|value| 0.5 + value.abs()).collect() })
            })
            .collect();
        let inputs = spec
            .inputs
            .iter()
            .map(|(name, shape)| (name.clone(), normal(batch * shape.iter().product::<usize>(), 1.0, 0.0)));
        let inputs = inputs.collect();
        let upstream = spec
            .outputs
            .iter()
            .map(|name| (name.clone(), normal(batch * spec.shape(name).iter().product::<usize>(), 1.0, 0.0)));
        let upstream = upstream.collect();
        Self { spec, weights, buffers, inputs, upstream, batch, seed, draw }
    }

    fn run(&mut self, subject: &mut dyn Subject, report: &mut Report) {
        let expected =
            nodes::train(self.spec, &self.weights, &self.buffers, &self.inputs, &self.upstream, Random::new(self.seed));
        for &isa in Isa::detected() {
            with_isa(isa, || {
                self.evaluation(subject, report, isa);
                if let Some(trained) = self.train(subject, report, true) {
                    self.compare(&expected, &trained, subject, report, isa);
                }
            });
        }
        self.bits(subject, report);
        self.steady(subject, report);
        let draws = |op: &Op| match *op {
            Op::Dropout { p, .. } => p > 0.0,
            Op::Rrelu { lower, upper } => lower < upper,
            _ => false,
        };
        if !self.spec.layers.iter().any(|layer| draws(&layer.op)) {
            self.differences(&expected, report);
        }
    }

    /// Sets parameters and buffers.
    fn load(&self, subject: &mut dyn Subject) {
        let info = subject.info();
        for parameter in info.parameters {
            subject.parameters()[parameter.range()].copy_from_slice(&self.weights[parameter.name]);
        }
        for buffer in info.buffers {
            subject.buffers()[buffer.range()].copy_from_slice(&self.buffers[buffer.name]);
        }
    }

    fn ordered(names: impl Iterator<Item = &'static str>, numbers: &Numbers) -> Vec<&[f32]> {
        names.map(|name| numbers[name].as_slice()).collect()
    }

    fn train(&self, subject: &mut dyn Subject, report: &mut Report, poisoned: bool) -> Option<Trained> {
        self.load(subject);
        let info = subject.info();
        let inputs = Self::ordered(info.inputs.iter().map(|input| input.name), &self.inputs);
        let upstream = Self::ordered(info.outputs.iter().map(|output| output.name), &self.upstream);
        let trained = subject.train(self.seed, self.batch, &inputs, &upstream, poisoned);
        trained.map_err(|error| report.fail(error.to_string())).ok()
    }

    fn evaluation(&self, subject: &mut dyn Subject, report: &mut Report, isa: Isa) {
        self.load(subject);
        let info = subject.info();
        let inputs = Self::ordered(info.inputs.iter().map(|input| input.name), &self.inputs);
        let nans: Vec<Vec<f32>> = inputs.iter().map(|input| vec![f32::NAN; input.len()]).collect();
        let nans: Vec<&[f32]> = nans.iter().map(Vec::as_slice).collect();
        // What the memory held before must not matter.
        let outputs = subject.forward(self.batch, &nans).and_then(|_| subject.forward(self.batch, &inputs));
        let outputs = match outputs {
            Ok(outputs) => outputs,
            Err(error) => return report.fail(error.to_string()),
        };
        let wide = |numbers: &Numbers| -> exact::Numbers {
            numbers.iter().map(|(name, values)| (name.clone(), widen(values))).collect()
        };
        let [weights, buffers, wide_inputs] = [&self.weights, &self.buffers, &self.inputs].map(wide);
        let pass = exact::run(self.spec, &weights, &buffers, &wide_inputs, self.batch, false);
        for (output, ours) in info.outputs.iter().zip(&outputs) {
            let theirs = &pass.values[output.name];
            let what = format!("{} in evaluation ({isa})", output.name);
            report.compare(&what, output.shape, ours, theirs, scaled(theirs));
        }
        let expected: Vec<Vec<f64>> = outputs.iter().map(|output| widen(output)).collect();
        frozen::check(subject, self.batch, &inputs, &expected, &isa.to_string(), report);
        for sample in 0..self.batch {
            let one: Vec<&[f32]> = info
                .inputs
                .iter()
                .map(|input| {
                    let len = input.len();
                    &self.inputs[input.name][sample * len..(sample + 1) * len]
                })
                .collect();
            let Some(prediction) = subject.predict(&one) else { break };
            for ((output, ours), batched) in info.outputs.iter().zip(&prediction).zip(&outputs) {
                let theirs = widen(&batched[sample * output.len()..(sample + 1) * output.len()]);
                let what = format!("{} of sample {sample} by predict ({isa})", output.name);
                report.compare(&what, output.shape, ours, &theirs, scaled(&theirs));
            }
        }
    }

    fn compare(&self, expected: &Pass, trained: &Trained, subject: &mut dyn Subject, report: &mut Report, isa: Isa) {
        let info = subject.info();
        for (output, ours) in info.outputs.iter().zip(&trained.outputs) {
            let theirs = widen(&expected.values[output.name]);
            let what = format!("{} in training ({isa})", output.name);
            report.compare(&what, output.shape, ours, &theirs, scaled(&theirs));
        }
        for (input, ours) in info.inputs.iter().zip(&trained.input_gradients) {
            let theirs = widen(&expected.value_gradients[input.name]);
            let what = format!("the gradient of input {} ({isa})", input.name);
            report.compare(&what, input.shape, ours, &theirs, scaled(&theirs));
        }
        for parameter in info.parameters {
            let theirs = widen(&expected.gradients[parameter.name]);
            let tolerance = self.parameter_tolerance(expected, parameter.name, &theirs);
            let what = format!("the gradient of {} ({isa})", parameter.name);
            report.compare(&what, parameter.shape, &trained.gradients[parameter.range()], &theirs, tolerance);
        }
        for buffer in info.buffers {
            let theirs = widen(&expected.buffers[buffer.name]);
            let what = format!("{} after training ({isa})", buffer.name);
            report.compare(&what, buffer.shape, &subject.buffers()[buffer.range()], &theirs, scaled(&theirs));
        }
    }

    /// A parameter's gradient is a sum of products of what flows in and of upstream gradients. Each is known to some 1e-6 of
    /// itself, and their sum to that share of the sum of their absolute values, however small it is itself.
    fn parameter_tolerance(&self, expected: &Pass, name: &str, theirs: &[f64]) -> Tolerance {
        let (owner, _) = name.rsplit_once('.').expect("a layer and a parameter");
        let layer = self.spec.layers.iter().find(|layer| layer.name == owner).expect("the layer");
        let upstream: f64 = expected.value_gradients[owner].iter().map(|&g| f64::from(g.abs())).sum();
        let most = largest(&widen(&expected.values[&layer.inputs[0]])).max(1.0);
        let Tolerance { absolute, relative } = scaled(theirs);
        Tolerance { absolute: absolute + 1e-6 * upstream * most, relative }
    }

    /// Bits for one, two and three threads, on a tape that is new and on one that has been used.
    fn bits(&self, subject: &mut dyn Subject, report: &mut Report) {
        let Some(first) = with_threads(1, || self.train(subject, report, false)) else { return };
        for (threads, poisoned) in [(1, true), (2, false), (3, true)] {
            let Some(other) = with_threads(threads, || self.train(subject, report, poisoned)) else { return };
            if bits(&first) != bits(&other) {
                report.fail(format!(
                    "other bits with {threads} threads and a {} tape",
                    if poisoned { "used" } else { "new" }
                ));
            }
        }
    }

    /// A loop that has run once allocates nothing.
    fn steady(&self, subject: &mut dyn Subject, report: &mut Report) {
        self.load(subject);
        let info = subject.info();
        let inputs = Self::ordered(info.inputs.iter().map(|input| input.name), &self.inputs);
        match subject.steady(self.batch, &inputs, &self.upstream[info.outputs[0].name]) {
            Ok(0) => {}
            Ok(allocations) => report.fail(format!("a steady loop allocates {allocations} times")),
            Err(error) => report.fail(error.to_string()),
        }
    }

    fn differences(&mut self, expected: &Pass, report: &mut Report) {
        let wide = |numbers: &Numbers| -> exact::Numbers {
            numbers.iter().map(|(name, values)| (name.clone(), widen(values))).collect()
        };
        let [weights, buffers, inputs, upstream] =
            [&self.weights, &self.buffers, &self.inputs, &self.upstream].map(wide);
        let mut point = Point { spec: self.spec, weights, buffers, inputs, upstream, batch: self.batch };
        let (mut smooth, mut kinks) = (0, 0);
        let parameters = expected.gradients.iter().map(|(name, gradients)| (Of::Parameter(name), name, gradients));
        let inputs = self.spec.inputs.iter();
        let inputs = inputs.map(|(name, _)| (Of::Input(name), name, &expected.value_gradients[name]));
        for (of, name, gradients) in parameters.chain(inputs) {
            let theirs = widen(gradients);
            let tolerance = match of {
                Of::Parameter(_) => self.parameter_tolerance(expected, name, &theirs),
                Of::Input(_) => scaled(&theirs),
            };
            let places: Vec<usize> = (0..PLACES.min(theirs.len())).map(|_| self.draw.below(theirs.len())).collect();
            for (&at, difference) in places.iter().zip(point.derivatives(of, &places)) {
                let Some(difference) = difference else {
                    kinks += 1;
                    continue;
                };
                smooth += 1;
                let what = format!("the reference's gradient of {name} at {at}");
                report.compare(&what, &[], &[theirs[at] as f32], &[difference], tolerance);
            }
        }
        if kinks > smooth {
            report.fail(format!("{kinks} of {} places are kinks", kinks + smooth));
        }
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()))
}

/// Sums round by shares of their largest terms.
fn scaled(theirs: &[f64]) -> Tolerance {
    Tolerance { absolute: 1e-5 + 1e-4 * largest(theirs), relative: 1e-4 }
}

fn bits(trained: &Trained) -> Vec<u32> {
    let Trained { outputs, input_gradients, gradients } = trained;
    outputs.iter().chain(input_gradients).chain([gradients]).flatten().map(|float| float.to_bits()).collect()
}
