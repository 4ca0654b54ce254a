//! Pictures of what a network has learned.

use crate::canvas::{Align, Canvas, Colour, Text, palette};
use crate::chart::{Area, Chart, Series};
use crate::digits::{PIXELS, SIDE};
use crate::scenes::Overlap;

/// What is known after an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Mean loss over the training images, each taken just before the network learned from it.
    pub train_loss: f64,
    /// Mean loss over the test images.
    pub test_loss: f64,
    /// Share of the test images that were read right, 0 to 1.
    pub accuracy: f64,
}

/// A test image that was read wrong.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// The image.
    pub image: [u8; PIXELS],
    /// What it is.
    pub truth: u8,
    /// What the network took it for.
    pub guess: u8,
    /// The probability that the network gave its guess.
    pub sureness: f32,
}

/// Mistakes that a picture has room for.
const COLUMNS: usize = 6;
const ROWS: usize = 4;

/// Curves of loss and accuracy, beside the mistakes that the network was surest of. `mistakes` are all, in any order.
pub fn training(title: &str, subtitle: &str, epochs: &[Epoch], mistakes: &[Mistake]) -> Canvas {
    let mut canvas = Canvas::new(1432, 760, palette::PAPER);
    header(&mut canvas, title, subtitle);

    let curve =
        |name, colour, value: fn(&Epoch) -> f64| Series { name, colour, values: epochs.iter().map(value).collect() };
    let accuracy = Chart {
        title: "Accuracy on test images",
        unit: " %",
        series: vec![curve("", palette::BLUE, |epoch| 100.0 * epoch.accuracy)],
    };
    accuracy.draw(&mut canvas, Area { x: 40, y: 116, width: 560, height: 294 });
    let loss = Chart {
        title: "Loss by epoch",
        unit: "",
        series: vec![
            curve("training", palette::ORANGE, |epoch| epoch.train_loss),
            curve("test", palette::BLUE, |epoch| epoch.test_loss),
        ],
    };
    loss.draw(&mut canvas, Area { x: 40, y: 436, width: 560, height: 294 });

    let mut surest: Vec<&Mistake> = mistakes.iter().collect();
    surest.sort_by(|a, b| b.sureness.total_cmp(&a.sureness));
    surest.truncate(COLUMNS * ROWS);
    let heading = match mistakes.len() {
        0 => "No test image was read wrong".to_string(),
        all if all == surest.len() => "What it got wrong".to_string(),
        all => format!("What it got wrong: the {} of {all} it was surest of", surest.len()),
    };
    canvas.text(660, 116, Align::Left, Text::Strong, palette::INK, &heading);
    for (index, mistake) in surest.into_iter().enumerate() {
        let (column, row) = ((index % COLUMNS) as i32, (index / COLUMNS) as i32);
        let (x, y) = (660 + 124 * column, 148 + 147 * row);
        canvas.image(x, y, 4, SIDE, mistake.image.map(grey));
        let labels = [format!("is {}", mistake.truth), format!("read {}", mistake.guess)];
        canvas.text(x, y + 115, Align::Left, Text::Small, palette::MUTED, &labels[0]);
        canvas.text(x + 112, y + 115, Align::Right, Text::Strong, palette::RED, &labels[1]);
    }
    canvas
}

/// A picture of segmentation: one column for each scene.
#[derive(Clone, Debug)]
pub struct Segmented {
    /// What the network saw, 0 to 1.
    pub image: Vec<f32>,
    /// Where the digits are.
    pub truth: Vec<bool>,
    /// Where the network says they are.
    pub guess: Vec<bool>,
}

/// Scenes, what is in them and what the network found, below one another. Images are `side` pixels wide and high.
pub fn segmentation(title: &str, subtitle: &str, side: usize, scenes: &[Segmented]) -> Canvas {
    const SCALE: i32 = 3;
    const LEFT: i32 = 140;
    let cell = side as i32 * SCALE;
    let (across, down) = (cell + 10, cell + 10);
    let width = LEFT + across * scenes.len() as i32 + 30;
    let height = 116 + 3 * down + 60;
    let mut canvas = Canvas::new(size(width), size(height), palette::PAPER);
    header(&mut canvas, title, subtitle);

    for (row, name) in ["image", "truth", "network"].into_iter().enumerate() {
        let middle = 116 + row as i32 * down + cell / 2 - 8;
        canvas.text(LEFT - 20, middle, Align::Right, Text::Strong, palette::INK, name);
    }
    for (column, scene) in scenes.iter().enumerate() {
        let x = LEFT + column as i32 * across;
        let pixels = scene.truth.iter().zip(&scene.guess);
        canvas.image(x, 116, SCALE, side, scene.image.iter().map(|&level| grey((255.0 * level) as u8)));
        canvas.image(x, 116 + down, SCALE, side, scene.truth.iter().map(|&ink| if ink { HIT } else { NOTHING }));
        canvas.image(x, 116 + 2 * down, SCALE, side, pixels.map(|(&truth, &guess)| verdict(truth, guess)));
        let mut overlap = Overlap::default();
        overlap.add(scene.truth.iter().copied().zip(scene.guess.iter().copied()));
        let iou = format!("IoU {:.2}", overlap.iou());
        canvas.text(x + cell / 2, 116 + 3 * down, Align::Centre, Text::Small, palette::MUTED, &iou);
    }
    let mut x = LEFT;
    for (colour, name) in [(HIT, "found"), (FALSE, "found, but is none"), (MISSED, "missed")] {
        canvas.fill(x - 1, height - 31, 16, 16, palette::MUTED);
        canvas.fill(x, height - 30, 14, 14, colour);
        canvas.text(x + 22, height - 31, Align::Left, Text::Small, palette::MUTED, name);
        x += 22 + Text::Small.width(name) + 30;
    }
    canvas
}

const NOTHING: Colour = [24, 28, 34];
const HIT: Colour = [244, 246, 248];
const FALSE: Colour = [236, 130, 36];
const MISSED: Colour = [60, 130, 230];

fn verdict(truth: bool, guess: bool) -> Colour {
    match (truth, guess) {
        (true, true) => HIT,
        (false, true) => FALSE,
        (true, false) => MISSED,
        (false, false) => NOTHING,
    }
}

fn header(canvas: &mut Canvas, title: &str, subtitle: &str) {
    canvas.text(40, 32, Align::Left, Text::Title, palette::INK, title);
    canvas.text(40, 66, Align::Left, Text::Small, palette::MUTED, subtitle);
}

fn grey(level: u8) -> Colour {
    [level; 3]
}

/// A side of a picture; it is cut where it would be past what a picture may have.
fn size(pixels: i32) -> u16 {
    pixels.clamp(1, i32::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_little_are_drawn() {
        let epochs = [Epoch { train_loss: f64::NAN, test_loss: 0.1, accuracy: 1.0 }];
        let mistake = Mistake { image: [9; PIXELS], truth: 1, guess: 7, sureness: 0.5 };
        for (epochs, mistakes) in [(&epochs[..], vec![]), (&[], vec![mistake; 100])] {
            assert!(training("title", "subtitle", epochs, &mistakes).to_png().is_ok());
        }
        assert!(segmentation("title", "subtitle", 48, &[]).to_png().is_ok());
    }
}
