//! Times the network of `CASTNET_SPEC` (from the workspace's root; LeNet-5 without it), with random weights and inputs.
//!
//! ```text
//! CASTNET_SPEC=specs/lenet5.toml cargo run --release -p castnet-benches --bin time -- --batch 32 --threads 1 --train
//! ```
//!
//! A forward pass is that of the frozen network, whose outputs are first held against the training program's evaluation mode.
//! Printed last is the median of the seconds of one pass, or of one training step: what `benches/peers/peers.py` takes as `--ours`.

use castnet::arena::Arena;
use castnet::ndarray::{Array, ArrayD, Dimension};
use castnet::views::Views;
use castnet::{Loss, Network, Sgd, Target, Trainer, parallel, simd::Isa};
use clap::Parser;
use std::error::Error;
use std::time::{Duration, Instant};

include!(concat!(env!("OUT_DIR"), "/network.rs"));

/// Times the network of `CASTNET_SPEC`.
#[derive(Parser)]
struct Options {
    /// Samples in a batch
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Threads; without it all cores, or what CASTNET_NUM_THREADS or RAYON_NUM_THREADS says
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// One step of SGD with momentum in place of one forward pass
    #[arg(long)]
    train: bool,
    /// The forward pass of the training program in evaluation mode in place of the frozen network's
    #[arg(long, conflicts_with = "train")]
    unfrozen: bool,
    /// Seconds to measure for
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    match options.threads {
        Some(threads) => parallel::with_threads(threads as usize, || run(&options)),
        None => run(&options),
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (info, batch) = (Net::INFO, options.batch as usize);
    // An arena is where views of all inputs can be had for any network.
    let mut arena = Arena::new();
    arena.prepare(info.name, info.training, batch)?;
    let mut rng = fastrand::Rng::with_seed(1);
    for input in info.inputs {
        let [floats] = arena.get([input.training]);
        floats.fill_with(|| random(&mut rng));
    }
    let inputs = || <<Net as Network>::Inputs<'_> as Views<'_>>::read(&arena, info.inputs, |value| value.training);
    let net = Net::new(0);
    let seconds = if options.train {
        let loss = info.loss.unwrap_or(Loss::CrossEntropy);
        let mut trainer = Trainer::with_loss(net, Sgd::new(0.01).momentum(0.9), loss);
        let shape = info.outputs[0].shape;
        if matches!(loss, Loss::CrossEntropy | Loss::Nll) {
            let labels = vec![0usize; batch * shape[1..].iter().product::<usize>()];
            median(options.seconds, || trainer.step(inputs(), &labels).map(drop))?
        } else {
            let shape: Vec<usize> = [batch].into_iter().chain(shape.iter().copied()).collect();
            let target = ArrayD::from_shape_simple_fn(shape, || rng.f32());
            median(options.seconds, || trainer.step(inputs(), Target::Values(target.view())).map(drop))?
        }
    } else if options.unfrozen {
        median(options.seconds, || net.forward(inputs()).map(drop))?
    } else {
        let mut net = net;
        vary_statistics(&mut net, &mut rng);
        let model = net.freeze();
        let mut outputs = model.forward(inputs())?;
        agree(&outputs, &net.forward(inputs())?)?;
        drop(net);
        median(options.seconds, || model.forward_into(inputs(), &mut outputs))?
    };
    let what = match (options.train, options.unfrozen) {
        (true, _) => "training step",
        (false, true) => "forward pass in evaluation mode",
        (false, false) => "forward pass",
    };
    println!("one {what}, batch {batch}, {} thread(s), {}", parallel::threads(), Isa::active());
    println!("{seconds}");
    Ok(())
}

/// Running statistics of a batch norm as training leaves them: means about 0, variances about 1.
fn vary_statistics(net: &mut Net, rng: &mut fastrand::Rng) {
    for buffer in Net::INFO.buffers {
        for value in &mut net.buffers_mut()[buffer.range()] {
            *value += 0.3 * random(rng);
        }
    }
}

/// The frozen network's outputs against those of evaluation mode: at most 1e-4 of the largest apart.
fn agree<O: Flat>(frozen: &O, evaluated: &O) -> Result<(), Box<dyn Error>> {
    let (frozen, evaluated) = (frozen.flat(), evaluated.flat());
    let largest = evaluated.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let apart = frozen.iter().zip(&evaluated).fold(0.0f32, |most, (a, b)| {
        // A NaN on either side is as far apart as can be.
        let apart = (a - b).abs();
        if apart.is_nan() { f32::INFINITY } else { most.max(apart) }
    });
    println!("frozen and evaluation mode are {:.1e} of the largest output apart", apart / largest);
    if frozen.len() == evaluated.len() && apart <= 1e-4 * largest {
        Ok(())
    } else {
        Err(format!("the frozen network is {apart} off at outputs of {largest}").into())
    }
}

/// The outputs of any network as one list.
trait Flat {
    fn flat(&self) -> Vec<f32>;
}

impl<D: Dimension> Flat for Array<f32, D> {
    fn flat(&self) -> Vec<f32> {
        self.iter().copied().collect()
    }
}

impl<A: Flat, B: Flat> Flat for (A, B) {
    fn flat(&self) -> Vec<f32> {
        [self.0.flat(), self.1.flat()].concat()
    }
}

impl<A: Flat, B: Flat, C: Flat> Flat for (A, B, C) {
    fn flat(&self) -> Vec<f32> {
        [self.0.flat(), self.1.flat(), self.2.flat()].concat()
    }
}

/// A number between -1 and 1.
fn random(rng: &mut fastrand::Rng) -> f32 {
    2.0 * rng.f32() - 1.0
}

/// The median of the seconds of `f`, after two runs that do not count.
fn median(seconds: f64, mut f: impl FnMut() -> castnet::Result<()>) -> castnet::Result<f64> {
    for _ in 0..2 {
        f()?;
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 3 || start.elapsed() < Duration::from_secs_f64(seconds) {
        let start = Instant::now();
        f()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
