//! Times castnet and other engines on one network, in turn, after checking that they compute the same.
//!
//! Prints a table in Markdown: see README.md beside this crate.

#[cfg(feature = "burn")]
mod burn;
#[cfg(feature = "candle")]
mod candle;
#[cfg(any(feature = "burn", feature = "candle"))]
mod layers;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod ours;
#[cfg(feature = "rten")]
mod rten;
#[cfg(feature = "tract")]
mod tract;

use clap::{Parser, ValueEnum};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A network in an engine, with its input at hand: one pass writes its outputs.
type Engine = Box<dyn FnMut(&mut [f32]) -> Result<()>>;

type Make = fn(&Setup) -> Result<Engine>;

const PEERS: &[(&str, Make)] = &[
    #[cfg(feature = "onnxruntime")]
    ("ONNX Runtime", onnxruntime::engine),
    #[cfg(feature = "rten")]
    ("rten", rten::engine),
    #[cfg(feature = "tract")]
    ("tract", tract::engine),
    #[cfg(feature = "candle")]
    ("candle", candle::engine),
    #[cfg(feature = "burn")]
    ("burn", burn::engine),
];

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Model {
    Lenet5,
    MnistCnn,
    Resnet18,
}

/// Times castnet and other engines on one network.
#[derive(Parser)]
struct Options {
    /// The network
    #[arg(long, value_enum, default_value = "resnet18")]
    model: Model,
    /// Threads of each engine
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// How often each engine has its turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of a turn
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// The folder that export.py wrote
    #[arg(long, default_value = "models")]
    models: PathBuf,
    /// ONNX Runtime's library; without it, what ORT_DYLIB_PATH names
    #[arg(long)]
    library: Option<PathBuf>,
}

/// What an engine is made from.
// Without the engines that read it, a part is of no use.
#[cfg_attr(not(feature = "default"), allow(dead_code))]
struct Setup {
    model: Model,
    threads: usize,
    onnx: PathBuf,
    weights: PathBuf,
    library: Option<PathBuf>,
    /// [1, channels, height, width]
    shape: [usize; 4],
    input: Vec<f32>,
    /// How many numbers come out.
    outputs: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let threads = options.threads as usize;
    #[cfg(any(feature = "burn", feature = "candle"))]
    {
        // candle asks the environment how many threads to give to a product.
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("RAYON_NUM_THREADS", threads.to_string()) };
        // Both take rayon's pool. With this thread in it, work for one thread need not go to another.
        rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global()?;
    }

    let name = options.model.to_possible_value().ok_or("no name")?.get_name().to_owned();
    let file = |extension| options.models.join(format!("{name}.{extension}"));
    let (shape, outputs) = match options.model {
        Model::Resnet18 => ([1, 3, 224, 224], 1000),
        Model::Lenet5 | Model::MnistCnn => ([1, 1, 28, 28], 10),
    };
    let mut state = 1u32;
    let input = (0..shape.iter().product()).map(|_| random(&mut state)).collect();
    let setup = Setup {
        model: options.model,
        threads,
        onnx: file("onnx"),
        weights: file("safetensors"),
        library: options.library.or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from)),
        shape,
        input,
        outputs,
    };

    let mut engines = vec![("castnet", ours::engine(&setup)?)];
    for &(name, make) in PEERS {
        match make(&setup) {
            Ok(engine) => engines.push((name, engine)),
            Err(error) => eprintln!("without {name}: {error}"),
        }
    }

    let (mut expected, mut output) = (vec![0.0; outputs], vec![0.0; outputs]);
    (engines[0].1)(&mut expected)?;
    let mut differences = Vec::new();
    for (name, engine) in &mut engines {
        output.fill(f32::NAN);
        engine(&mut output)?;
        let apart = difference(&output, &expected);
        if apart > 1e-3 {
            return Err(format!("{name} computes something else: {output:?} in place of {expected:?}").into());
        }
        differences.push(apart);
    }

    let mut times = vec![Vec::new(); engines.len()];
    for _ in 0..options.rounds {
        for ((_, engine), times) in engines.iter_mut().zip(&mut times) {
            // Threads of the engine before go to sleep.
            std::thread::sleep(Duration::from_millis(20));
            times.push(turn(engine, &mut output, options.seconds)?);
        }
    }
    println!("{name}, batch 1, {threads} thread(s), {} rounds of {} s", options.rounds, options.seconds);
    println!();
    println!("| engine | ms | times ours | largest difference |");
    println!("|---|---|---|---|");
    for (((name, _), theirs), apart) in engines.iter().zip(&times).zip(differences) {
        let ratios = theirs.iter().zip(&times[0]).map(|(theirs, ours)| theirs / ours).collect();
        println!("| {name} | {:.4} | {:.2} | {apart:.1e} |", median(theirs.clone()) * 1e3, median(ratios));
    }
    Ok(())
}

/// The median seconds of a pass, after two that do not count.
fn turn(engine: &mut Engine, output: &mut [f32], seconds: f64) -> Result<f64> {
    for _ in 0..2 {
        engine(output)?;
    }
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 3 || start.elapsed() < Duration::from_secs_f64(seconds) {
        let start = Instant::now();
        engine(output)?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(median(times))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The largest difference, relative to the largest number expected; infinite where there is a NaN.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    found.iter().zip(expected).fold(0.0f32, |most, (a, b)| {
        let apart = (a - b).abs() / largest;
        if apart.is_nan() { f32::INFINITY } else { most.max(apart) }
    })
}

/// A number between -1 and 1.
fn random(state: &mut u32) -> f32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) as f32 / (1 << 23) as f32 - 1.0
}
