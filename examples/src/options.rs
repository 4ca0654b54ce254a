//! Options that the training examples share, and how a program ends.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::files::in_crate;
use crate::picture::Format;

/// Where data come from and results go to, and what a run depends on.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Folder with the four files of MNIST or of another set in its format, packed (.gz) or not
    #[arg(long, value_name = "DIR", default_value_os_t = in_crate("data/mnist"))]
    pub data: PathBuf,

    /// Folder to write to; it is made if need be
    #[arg(long, value_name = "DIR", default_value_os_t = in_crate("out"))]
    pub out: PathBuf,

    /// Seed of everything random: the same seed gives the same run, with any number of threads
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Threads to work with [default: all cores, or CASTNET_NUM_THREADS]
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one)]
    pub threads: Option<usize>,

    /// What the picture is written as
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Png)]
    pub picture: Format,
}

impl Common {
    /// Runs with the number of threads that was asked for.
    pub fn with_threads<R>(&self, run: impl FnOnce() -> R) -> R {
        match self.threads {
            Some(threads) => castnet::parallel::with_threads(threads, run),
            None => run(),
        }
    }
}

/// Parses a count of things of which there must be one.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be 1 or more".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a whole number, 1 or more".into()),
    }
}

/// Parses a learning rate: above 0.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn learning_rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0).ok_or("must be a number above 0".into())
}

/// Parses a momentum: 0 or more, and below 1.
///
/// # Errors
///
/// What is wrong with it, for people.
pub fn momentum(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|momentum| (0.0..1.0).contains(momentum)).ok_or("must be 0 or more, and below 1".into())
}

/// The share of its learning rate that a training has left, after this share of it: from 1 to 0 along half a cosine, as
/// `CosineAnnealingLR` in PyTorch.
pub fn cosine(done: f64) -> f64 {
    0.5 + 0.5 * (std::f64::consts::PI * done).cos()
}

/// Ends a program: an error goes to where errors go, as a sentence.
pub fn finish(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
