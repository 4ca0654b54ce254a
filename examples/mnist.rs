//! Trains LeNet-5 on handwritten digits.
//!
//! The network is in specs/lenet5.toml: castnet compiled it into the type below while this program was compiled. Ten
//! epochs on the digits that come with the repository take a few seconds; the weights and a picture of the training
//! remain in examples/out.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use castnet::{Sgd, Trainer};
use castnet_examples::digits::{self, Batch, DataSet, Digits};
use castnet_examples::options::{self, Common};
use castnet_examples::picture::Picture;
use castnet_examples::report::{Epoch, Mistake, Training};
use castnet_examples::{files, terminal};
use clap::{Parser, ValueEnum};

/// LeNet-5 for 28 x 28 digits.
#[castnet::network("../specs/lenet5.toml")]
pub struct LeNet5;

/// Images that are run through the network at once where it does not learn.
const TEST_BATCH: usize = 250;

/// Train LeNet-5 (specs/lenet5.toml) on handwritten digits
#[derive(Parser, Debug)]
#[command(name = "mnist", after_help = MORE)]
struct Options {
    /// How often to go over all training images
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = options::at_least_one)]
    epochs: usize,

    /// Images for each step
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = options::at_least_one)]
    batch: usize,

    /// Learning rate of SGD
    #[arg(long, value_name = "NUMBER", default_value_t = 0.05, value_parser = options::learning_rate)]
    lr: f64,

    /// Momentum of SGD
    #[arg(long, value_name = "NUMBER", default_value_t = 0.9, value_parser = options::momentum)]
    momentum: f64,

    /// cosine: the learning rate falls to 0; constant: it stays
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Schedule::Cosine, hide_possible_values = true)]
    schedule: Schedule,

    /// Move each training image by up to so many pixels, each time anew
    #[arg(long, value_name = "PIXELS", default_value_t = 1, value_parser = clap::value_parser!(i32).range(0..=14))]
    shift: i32,

    #[command(flatten)]
    common: Common,
}

/// What is said below the options.
const MORE: &str = "\
Writes the weights (mnist.safetensors) and a picture of the training (mnist.png).

The digits that come with the repository are 5,000 of MNIST's: 4,000 to learn from, 1,000 to be tested on. With \
--data it takes the full MNIST, or Fashion-MNIST: then give --out too, to keep the digits' weights.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Schedule {
    Cosine,
    Constant,
}

fn main() -> ExitCode {
    let options = Options::parse();
    options::finish(options.common.with_threads(|| run(&options)))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let Common { data, out, seed, picture: format, .. } = &options.common;
    let data = DataSet::read(data)?;
    files::create_folder(out)?;
    let count = terminal::grouped;
    println!(
        "LeNet-5, {} parameters: {} images to learn from, {} to be tested on ({}, {} threads)\n",
        count(LeNet5::PARAMETER_COUNT),
        count(data.train.len()),
        count(data.test.len()),
        castnet::simd::Isa::active(),
        castnet::parallel::threads(),
    );

    let sgd = Sgd::new(options.lr).momentum(options.momentum);
    let mut trainer = Trainer::new(LeNet5::new(*seed), sgd);
    let mut rng = fastrand::Rng::with_seed(*seed);
    let mut order: Vec<usize> = (0..data.train.len()).collect();
    let (mut epochs, mut wrong) = (Vec::new(), Vec::new());
    let started = Instant::now();

    println!("epoch   loss   test loss   accuracy   images/s");
    for number in 1..=options.epochs {
        rng.shuffle(&mut order);
        let (train_loss, time) = learn(&mut trainer, &data.train, &order, number, options, &mut rng)?;
        if !train_loss.is_finite() {
            return Err(format!("the loss is {train_loss} in epoch {number}: try a smaller --lr").into());
        }
        let test = test(trainer.network(), &data.test)?;
        wrong = mistakes(&test, &data.test);
        let accuracy = 1.0 - wrong.len() as f64 / data.test.len() as f64;
        println!(
            "{number:>5} {train_loss:>6.4} {:>11.4} {:>8.2} % {:>10}",
            test.loss,
            100.0 * accuracy,
            count((data.train.len() as f64 / time.as_secs_f64()) as usize),
        );
        epochs.push(Epoch { train_loss, test_loss: test.loss, accuracy });
    }
    let seconds = started.elapsed().as_secs_f64();

    let right = data.test.len() - wrong.len();
    let result = format!(
        "{:.1} % of {} test images right",
        100.0 * right as f64 / data.test.len() as f64,
        count(data.test.len())
    );
    println!("\n{result} ({} wrong) after {seconds:.1} s", count(wrong.len()));

    let weights = out.join("mnist.safetensors");
    trainer.network().save(&weights)?;
    let title = format!("LeNet-5: {result}");
    let Options { epochs: number, batch, lr, momentum, schedule, shift, .. } = options;
    let schedule = if *schedule == Schedule::Cosine { " falling to 0" } else { "" };
    let subtitle = format!(
        "{} training images, {number} epochs in {seconds:.1} s: SGD, learning rate {lr}{schedule}, momentum {momentum}, \
         batches of {batch}, shifts of up to {shift} px, seed {seed}",
        count(data.train.len()),
    );
    let training = Training { title: &title, subtitle: &subtitle, epochs: &epochs, mistakes: &wrong };
    let picture = out.join("mnist").with_extension(format.extension());
    files::write(&picture, &training.encode(*format)?)?;
    println!("\nweights   {}\npicture   {}", weights.display(), picture.display());
    let sample = files::in_crate("data/digit.png");
    println!("\nTo read a digit with them:\n  cargo run --release --example classify -- {}{}", sample.display(), {
        let usual = weights == files::in_crate("out/mnist.safetensors");
        if usual { String::new() } else { format!(" --weights {}", weights.display()) }
    });
    Ok(())
}

/// One epoch: every image once, in this order. Returns the mean loss and the time it took.
fn learn(
    trainer: &mut Trainer<LeNet5, Sgd>,
    digits: &Digits,
    order: &[usize],
    epoch: usize,
    options: &Options,
    rng: &mut fastrand::Rng,
) -> Result<(f64, Duration), castnet::Error> {
    let bar = terminal::progress(format!("{epoch:>5}"), order.len());
    let started = Instant::now();
    let mut batch = Batch::default();
    let (mut sum, mut done) = (0.0, 0);
    for indices in order.chunks(options.batch) {
        if options.schedule == Schedule::Cosine {
            let epochs_done = (epoch - 1) as f64 + done as f64 / order.len() as f64;
            trainer.set_learning_rate(options.lr * options::cosine(epochs_done / options.epochs as f64));
        }
        batch.fill_shifted(digits, indices, || [0; 2].map(|_| rng.i32(-options.shift..=options.shift)));
        let loss = trainer.step(batch.images(), batch.labels())?;
        sum += f64::from(loss) * indices.len() as f64;
        done += indices.len();
        bar.inc(indices.len() as u64);
        bar.set_message(format!("loss {:.4}", sum / done as f64));
    }
    let time = started.elapsed();
    bar.finish_and_clear();
    Ok((sum / order.len() as f64, time))
}

/// What a network makes of images that it does not learn from.
struct Test {
    /// Mean loss.
    loss: f64,
    /// For each image, the class that the network takes it for, and the probability that it gives that class.
    guesses: Vec<(u8, f32)>,
}

/// Runs the network over all images.
fn test(network: &LeNet5, digits: &Digits) -> Result<Test, castnet::Error> {
    let order: Vec<usize> = (0..digits.len()).collect();
    let mut batch = Batch::default();
    let (mut sum, mut guesses) = (0.0, Vec::new());
    for indices in order.chunks(TEST_BATCH) {
        batch.fill(digits, indices);
        let scores = network.forward(batch.images())?;
        let (loss, _) = castnet::loss::cross_entropy(scores.view(), batch.labels())?;
        sum += f64::from(loss) * indices.len() as f64;
        guesses.extend(scores.rows().into_iter().map(|scores| digits::most_likely(&digits::softmax(&scores))));
    }
    Ok(Test { loss: sum / digits.len() as f64, guesses })
}

/// The images that the network takes for something else than they are.
fn mistakes(test: &Test, digits: &Digits) -> Vec<Mistake> {
    let all = test.guesses.iter().enumerate().map(|(index, &(guess, sureness))| Mistake {
        image: *digits.image(index),
        truth: digits.label(index),
        guess,
        sureness,
    });
    all.filter(|mistake| mistake.guess != mistake.truth).collect()
}
