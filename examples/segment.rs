//! Trains a small encoder-decoder to find digits on noisy backgrounds.
//!
//! The network is in specs/segment_digits.toml. The scenes are painted as they are needed: digits in random sizes and
//! places over light and shadow, between scratches of the same shades and under noise. What the network gives for each
//! pixel is the logit of its being ink.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use castnet::{Adam, Trainer};
use castnet_examples::digits::DataSet;
use castnet_examples::options::{self, Common};
use castnet_examples::picture::Picture;
use castnet_examples::report::{Segmentation, Segmented};
use castnet_examples::scenes::{Overlap, SIDE, Scenes};
use castnet_examples::{files, terminal};
use clap::Parser;

/// Says of each pixel of a scene whether it belongs to a digit.
#[castnet::network("../specs/segment_digits.toml")]
pub struct Segmenter;

/// Scenes that the network is tested on, and how many of them at once.
const TESTS: usize = 500;
const TEST_BATCH: usize = 50;

/// Scenes in the picture.
const SHOWN: usize = 8;

/// What is said below the options.
const MORE: &str = "\
Prints the intersection over union (IoU) of the digits that are there and those that are found, and writes the \
weights (segment.safetensors) and a picture of scenes, truth and result (segment.png).";

/// Train an encoder-decoder (specs/segment_digits.toml) to find digits on noisy backgrounds
#[derive(Parser, Debug)]
#[command(name = "segment", after_help = MORE)]
struct Options {
    /// Epochs, each over new scenes
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = options::at_least_one)]
    epochs: usize,

    /// Scenes in each epoch
    #[arg(long, value_name = "NUMBER", default_value_t = 2000, value_parser = options::at_least_one)]
    scenes: usize,

    /// Scenes for each step
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = options::at_least_one)]
    batch: usize,

    /// Learning rate of Adam at the beginning; it falls to 0
    #[arg(long, value_name = "NUMBER", default_value_t = 0.003, value_parser = options::learning_rate)]
    lr: f64,

    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let options = Options::parse();
    options::finish(options.common.with_threads(|| run(&options)))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let Common { data, out, seed, picture: format, .. } = &options.common;
    let data = DataSet::read(data)?;
    files::create_folder(out)?;
    let mut rng = fastrand::Rng::with_seed(*seed);
    let (mut scenes, mut tests) = (Scenes::new(), Scenes::new());
    tests.paint(&data.test, TESTS, &mut rng);
    let count = terminal::grouped;
    println!(
        "Encoder-decoder, {} parameters: {} new scenes in each epoch, {TESTS} to be tested on ({}, {} threads)",
        count(Segmenter::PARAMETER_COUNT),
        count(options.scenes),
        castnet::simd::Isa::active(),
        castnet::parallel::threads(),
    );
    println!("By its shade alone, ink can be told with an IoU of {:.3} at best.\n", tests.best_by_shade().iou());

    let mut trainer = Trainer::new(Segmenter::new(*seed), Adam::new(options.lr));
    let started = Instant::now();
    let mut iou = 0.0;
    println!("epoch   loss   test IoU   scenes/s");
    for number in 1..=options.epochs {
        scenes.paint(&data.train, options.scenes, &mut rng);
        let epoch = Instant::now();
        let loss = learn(&mut trainer, &scenes, number, options)?;
        let speed = scenes.len() as f64 / epoch.elapsed().as_secs_f64();
        if !loss.is_finite() {
            return Err(format!("the loss is {loss} in epoch {number}: try a smaller --lr").into());
        }
        iou = test(trainer.network(), &tests)?.iou();
        println!("{number:>5} {loss:>6.4} {iou:>10.3} {:>10}", count(speed as usize));
    }
    let result = format!("IoU {iou:.3} on {TESTS} test scenes after {:.1} s", started.elapsed().as_secs_f64());
    println!("\n{result}");

    let network = trainer.network();
    let weights = out.join("segment.safetensors");
    network.save(&weights)?;
    let title = "Digits found on noisy backgrounds";
    let scenes = shown(network, &tests)?;
    let segmentation = Segmentation { title, subtitle: &result, side: SIDE, scenes: &scenes };
    let picture = out.join("segment").with_extension(format.extension());
    files::write(&picture, &segmentation.encode(*format)?)?;
    println!("\nweights   {}\npicture   {}", weights.display(), picture.display());
    Ok(())
}

/// One epoch. Returns the mean loss.
fn learn(
    trainer: &mut Trainer<Segmenter, Adam>,
    scenes: &Scenes,
    epoch: usize,
    options: &Options,
) -> Result<f64, castnet::Error> {
    let bar = terminal::progress(format!("{epoch:>5}"), scenes.len());
    let mut sum = 0.0;
    for start in (0..scenes.len()).step_by(options.batch) {
        let epochs_done = (epoch - 1) as f64 + start as f64 / scenes.len() as f64;
        trainer.set_learning_rate(options.lr * options::cosine(epochs_done / options.epochs as f64));
        let batch = start..scenes.len().min(start + options.batch);
        let loss = trainer.step(scenes.images(batch.clone()), scenes.masks(batch.clone()))?;
        sum += f64::from(loss) * batch.len() as f64;
        bar.inc(batch.len() as u64);
        bar.set_message(format!("loss {:.4}", sum / batch.end as f64));
    }
    bar.finish_and_clear();
    Ok(sum / scenes.len() as f64)
}

/// How far the network's masks and the true ones are the same. A logit above 0 is a probability above one half.
fn test(network: &Segmenter, scenes: &Scenes) -> Result<Overlap, castnet::Error> {
    let mut overlap = Overlap::default();
    for start in (0..scenes.len()).step_by(TEST_BATCH) {
        let batch = start..scenes.len().min(start + TEST_BATCH);
        let logits = network.forward(scenes.images(batch.clone()))?;
        let guesses = logits.iter().map(|&logit| logit > 0.0);
        overlap.add(scenes.masks(batch).iter().map(|&ink| ink > 0.5).zip(guesses));
    }
    Ok(overlap)
}

/// The first scenes, for the picture.
fn shown(network: &Segmenter, scenes: &Scenes) -> Result<Vec<Segmented>, castnet::Error> {
    let one = |index: usize| {
        let (image, mask) = (scenes.images(index..index + 1), scenes.masks(index..index + 1));
        let logits = network.forward(image)?;
        Ok(Segmented {
            image: image.iter().map(|shade| shade + 0.5).collect(),
            truth: mask.iter().map(|&ink| ink > 0.5).collect(),
            guess: logits.iter().map(|&logit| logit > 0.0).collect(),
        })
    };
    (0..SHOWN).map(one).collect()
}
