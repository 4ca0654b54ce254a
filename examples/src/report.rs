//! Pictures of what a network has learned.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::chart::{Chart, Series};
use crate::digits::{PIXELS, SIDE};
use crate::picture::{Area, Drawn, Picture, Text, image, palette};
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

/// Rows of pixels above what a picture shows: its title and subtitle.
const HEADER: u32 = 116;
/// Pixels beside and below it.
const MARGIN: i32 = 40;

/// Mistakes that a picture has room for.
const COLUMNS: usize = 6;
const ROWS: usize = 4;

/// Curves of loss and accuracy, beside the mistakes that the network was surest of.
#[derive(Clone, Debug)]
pub struct Training<'a> {
    /// What has been learned, and how well.
    pub title: &'a str,
    /// How.
    pub subtitle: &'a str,
    /// The epochs in order.
    pub epochs: &'a [Epoch],
    /// All mistakes, in any order.
    pub mistakes: &'a [Mistake],
}

impl Training<'_> {
    fn charts(&self) -> [Chart; 2] {
        let curve = |name, colour, value: fn(&Epoch) -> f64| {
            let values = self.epochs.iter().map(value).collect();
            Series { name, colour, values }
        };
        let accuracy = Chart {
            title: "Accuracy on test images",
            unit: " %",
            series: vec![curve("", palette::BLUE, |epoch| 100.0 * epoch.accuracy)],
        };
        let loss = Chart {
            title: "Loss by epoch",
            unit: "",
            series: vec![
                curve("training", palette::ORANGE, |epoch| epoch.train_loss),
                curve("test", palette::BLUE, |epoch| epoch.test_loss),
            ],
        };
        [accuracy, loss]
    }
}

impl Picture for Training<'_> {
    fn size(&self) -> (u32, u32) {
        (1432, 760)
    }

    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        header(area, self.title, self.subtitle)?;
        for (row, chart) in self.charts().iter().enumerate() {
            chart.draw(&area.clone().shrink((MARGIN, HEADER as i32 + 320 * row as i32), (570, 294)))?;
        }

        let mut surest: Vec<&Mistake> = self.mistakes.iter().collect();
        surest.sort_by(|a, b| b.sureness.total_cmp(&a.sureness));
        surest.truncate(COLUMNS * ROWS);
        let heading = match self.mistakes.len() {
            0 => "No test image was read wrong".to_string(),
            all if all == surest.len() => "What it got wrong".to_string(),
            all => format!("What it got wrong: the {} of {all} it was surest of", surest.len()),
        };
        area.draw_text(&heading, &Text::Strong.style(palette::INK, HPos::Left), (660, HEADER as i32))?;
        for (index, mistake) in surest.into_iter().enumerate() {
            let (column, row) = ((index % COLUMNS) as i32, (index / COLUMNS) as i32);
            let (x, y) = (660 + 124 * column, 148 + 148 * row);
            image(area, (x, y), 4, SIDE, &mistake.image.map(grey))?;
            let truth = format!("is {}", mistake.truth);
            area.draw_text(&truth, &Text::Small.style(palette::MUTED, HPos::Left), (x, y + 119))?;
            let guess = format!("read {}", mistake.guess);
            area.draw_text(&guess, &Text::Strong.style(palette::RED, HPos::Right), (x + 112, y + 119))?;
        }
        Ok(())
    }
}

/// A scene, and what became of it.
#[derive(Clone, Debug)]
pub struct Segmented {
    /// What the network saw, 0 to 1.
    pub image: Vec<f32>,
    /// Where the digits are.
    pub truth: Vec<bool>,
    /// Where the network says they are.
    pub guess: Vec<bool>,
}

impl Segmented {
    fn overlap(&self) -> Overlap {
        let mut overlap = Overlap::default();
        overlap.add(self.truth.iter().copied().zip(self.guess.iter().copied()));
        overlap
    }
}

/// Scenes, what is in them and what the network found, below one another: one column for each scene.
#[derive(Clone, Debug)]
pub struct Segmentation<'a> {
    /// What has been learned.
    pub title: &'a str,
    /// How well.
    pub subtitle: &'a str,
    /// Pixels of a scene's row.
    pub side: usize,
    /// The scenes.
    pub scenes: &'a [Segmented],
}

impl Segmentation<'_> {
    /// Pixels of the picture for one of a scene's.
    const SCALE: i32 = 3;
    /// Pixels between scenes.
    const GAP: i32 = 10;
    /// Where the first scene begins, behind the names of the rows.
    const LEFT: i32 = 140;

    /// Pixels from one scene to the next.
    fn step(&self) -> i32 {
        self.side as i32 * Self::SCALE + Self::GAP
    }
}

impl Picture for Segmentation<'_> {
    fn size(&self) -> (u32, u32) {
        let width = Self::LEFT + self.step() * self.scenes.len() as i32 + MARGIN;
        (width as u32, HEADER + 3 * self.step() as u32 + 64)
    }

    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        header(area, self.title, self.subtitle)?;
        let (step, top) = (self.step(), HEADER as i32);
        for (row, name) in ["image", "truth", "network"].into_iter().enumerate() {
            let middle = top + row as i32 * step + (step - Self::GAP) / 2 - 8;
            let style = Text::Strong.style(palette::INK, HPos::Right);
            area.draw_text(name, &style, (Self::LEFT - 20, middle))?;
        }
        for (column, scene) in self.scenes.iter().enumerate() {
            let left = Self::LEFT + column as i32 * step;
            let rows: [Vec<RGBColor>; 3] = [
                scene.image.iter().map(|&level| grey((255.0 * level) as u8)).collect(),
                scene.truth.iter().map(|&ink| verdict(ink, ink)).collect(),
                scene.truth.iter().zip(&scene.guess).map(|(&truth, &guess)| verdict(truth, guess)).collect(),
            ];
            for (row, pixels) in (0..).zip(&rows) {
                image(area, (left, top + row * step), Self::SCALE, self.side, pixels)?;
            }
            let iou = format!("IoU {:.2}", scene.overlap().iou());
            let style = Text::Small.style(palette::MUTED, HPos::Center);
            area.draw_text(&iou, &style, (left + (step - Self::GAP) / 2, top + 3 * step))?;
        }
        let style = Text::Small.style(palette::MUTED, HPos::Left);
        let (mut x, y) = (Self::LEFT, top + 3 * step + 34);
        for (colour, name) in [(HIT, "found"), (FALSE, "found, but is none"), (MISSED, "missed")] {
            area.draw(&Rectangle::new([(x - 1, y - 1), (x + 15, y + 15)], palette::MUTED.filled()))?;
            area.draw(&Rectangle::new([(x, y), (x + 14, y + 14)], colour.filled()))?;
            area.draw_text(name, &style, (x + 22, y))?;
            x += 22 + area.estimate_text_size(name, &style)?.0 as i32 + 30;
        }
        Ok(())
    }
}

const NOTHING: RGBColor = RGBColor(24, 28, 34);
const HIT: RGBColor = RGBColor(244, 246, 248);
const FALSE: RGBColor = RGBColor(236, 130, 36);
const MISSED: RGBColor = RGBColor(60, 130, 230);

fn verdict(truth: bool, guess: bool) -> RGBColor {
    match (truth, guess) {
        (true, true) => HIT,
        (false, true) => FALSE,
        (true, false) => MISSED,
        (false, false) => NOTHING,
    }
}

fn header<DB: DrawingBackend>(area: &Area<DB>, title: &str, subtitle: &str) -> Drawn<DB> {
    area.draw_text(title, &Text::Title.style(palette::INK, HPos::Left), (MARGIN, 32))?;
    area.draw_text(subtitle, &Text::Small.style(palette::MUTED, HPos::Left), (MARGIN, 68))
}

fn grey(level: u8) -> RGBColor {
    RGBColor(level, level, level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Format;

    #[test]
    fn pictures_of_little_are_drawn() {
        let epochs = [Epoch { train_loss: f64::NAN, test_loss: 0.1, accuracy: 1.0 }];
        let mistake = Mistake { image: [9; PIXELS], truth: 1, guess: 7, sureness: 0.5 };
        let (title, subtitle) = ("title", "subtitle");
        for format in [Format::Png, Format::Svg] {
            for (epochs, mistakes) in [(&epochs[..], vec![]), (&[], vec![mistake.clone(); 100])] {
                assert!(Training { title, subtitle, epochs, mistakes: &mistakes }.encode(format).is_ok());
            }
            assert!(Segmentation { title, subtitle, side: 48, scenes: &[] }.encode(format).is_ok());
        }
    }
}
