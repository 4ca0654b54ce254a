//! Reads a handwritten digit from a picture with the weights that the example mnist made.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use castnet_examples::digits::{self, SIDE, normalise};
use castnet_examples::{files, options, photo, terminal};
use clap::Parser;

/// LeNet-5 for 28 x 28 digits.
#[castnet::network("../specs/lenet5.toml")]
pub struct LeNet5;

/// What is said below the options.
const MORE: &str = "\
The picture is a PNG or a JPEG of one digit, a photograph for example: any size, grey or colour, transparent or not, dark on light or light on dark. \
The digit is cropped, scaled and centred as those that the network has learned from.";

/// Say which digit is in a picture, and how sure the network is
#[derive(Parser, Debug)]
#[command(name = "classify", after_help = MORE)]
struct Options {
    /// A PNG or JPEG with a digit; examples/data/digit.png is one
    image: PathBuf,

    /// Weights that the example mnist has written
    #[arg(long, value_name = "FILE", default_value_os_t = files::in_crate("out/mnist.safetensors"))]
    weights: PathBuf,
}

fn main() -> ExitCode {
    options::finish(run(&Options::parse()))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let weights = &options.weights;
    if !weights.exists() {
        let message = format!(
            "there are no weights at {}; this makes them, in a few seconds:\n  cargo run --release --example mnist",
            weights.display()
        );
        return Err(message.into());
    }
    let mut network = LeNet5::new(0);
    network.load(weights)?;

    let pixels = photo::read(&options.image)?;
    let (rows, _) = pixels.as_chunks::<SIDE>();
    let mut image = [[[0.0; SIDE]; SIDE]; 1]; // one channel
    for (row, pixels) in image[0].iter_mut().zip(rows) {
        *row = pixels.map(normalise);
    }
    let probabilities = digits::softmax(&network.freeze().predict(&image));
    let (digit, sureness) = digits::most_likely(&probabilities);

    // The digit as the network sees it, beside the probabilities of the classes.
    let colours = console::colors_enabled();
    println!();
    for (line, picture) in terminal::digit(&pixels, colours).into_iter().enumerate() {
        // The first two of the 14 lines stay empty beside the picture, and the last two.
        let class = line.checked_sub(2).filter(|class| *class < digits::CLASSES);
        let row = class.map(|class| probability(class, probabilities[class], class == usize::from(digit)));
        println!("{}", format!("  {picture}   {}", row.unwrap_or_default()).trim_end());
    }
    let verdict = match sureness {
        0.9.. => "This is a",
        0.6.. => "This is probably a",
        _ => "Hard to say; perhaps a",
    };
    println!("\n{verdict} {digit}: {:.1} % sure.", 100.0 * sureness);
    Ok(())
}

/// `7 ███████▌ 41.2 %`
fn probability(class: usize, share: f32, best: bool) -> String {
    let bar = terminal::bar(share, 24);
    let row = format!("{class} {bar:<24} {:>5.1} %", 100.0 * share);
    if best { console::style(row).bold().to_string() } else { row }
}
