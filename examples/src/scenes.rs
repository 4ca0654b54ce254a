//! Digits on backgrounds that make them hard to find, and where they are.

use std::ops::Range;

use castnet::ndarray::ArrayView4;
use fastrand::Rng;

use crate::digits::{Digits, SIDE as DIGIT};

/// Height and width of a scene.
pub const SIDE: usize = 48;
/// Pixels of a scene.
pub const PIXELS: usize = SIDE * SIDE;

/// Scenes and where their digits are.
#[derive(Clone, Debug, Default)]
pub struct Scenes {
    images: Vec<f32>, // [len, 48, 48], -0.5 for black to 0.5 for white
    masks: Vec<f32>,  // [len, 48, 48], 1 for ink, 0 for none
}

impl Scenes {
    /// No scenes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Paints this many scenes over those that are there, with digits drawn at random.
    pub fn paint(&mut self, digits: &Digits, count: usize, rng: &mut Rng) {
        self.images.resize(count * PIXELS, 0.0);
        self.masks.resize(count * PIXELS, 0.0);
        let images = self.images.as_chunks_mut().0.iter_mut();
        for (image, mask) in images.zip(self.masks.as_chunks_mut().0) {
            paint(digits, rng, image, mask);
        }
    }

    /// The number of scenes.
    pub fn len(&self) -> usize {
        self.images.len() / PIXELS
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// What is seen in some of the scenes, `[range, 1, 48, 48]`: -0.5 for black to 0.5 for white.
    ///
    /// # Panics
    ///
    /// Where the range goes past the last scene.
    pub fn images(&self, range: Range<usize>) -> ArrayView4<'_, f32> {
        view(&self.images, range)
    }

    /// Where the digits are in some of the scenes, `[range, 1, 48, 48]`: 1 for ink, elsewhere 0.
    ///
    /// # Panics
    ///
    /// Where the range goes past the last scene.
    pub fn masks(&self, range: Range<usize>) -> ArrayView4<'_, f32> {
        view(&self.masks, range)
    }

    /// How well the digits can be told by shade alone: the best overlap of a rule that takes for ink what differs by so
    /// much from the middle shade of its scene.
    pub fn best_by_shade(&self) -> Overlap {
        let mut overlaps = [Overlap::default(); 20];
        for (image, mask) in self.images.as_chunks::<PIXELS>().0.iter().zip(self.masks.as_chunks::<PIXELS>().0) {
            let mut sorted = *image;
            sorted.sort_by(f32::total_cmp);
            let middle = sorted[PIXELS / 2];
            for (step, overlap) in overlaps.iter_mut().enumerate() {
                let least = 0.025 * (step + 1) as f32;
                let guess = image.iter().map(|shade| (shade - middle).abs() > least);
                overlap.add(mask.iter().map(|&ink| ink > 0.5).zip(guess));
            }
        }
        overlaps.into_iter().max_by(|a, b| a.iou().total_cmp(&b.iou())).unwrap_or_default()
    }
}

/// Some of the images or masks as a batch.
fn view(pixels: &[f32], range: Range<usize>) -> ArrayView4<'_, f32> {
    let shape = (range.len(), 1, SIDE, SIDE);
    let pixels = &pixels[range.start * PIXELS..range.end * PIXELS];
    ArrayView4::from_shape(shape, pixels).expect("the slice has this many pixels")
}

/// How far what was found and what is there are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    both: u64,
    either: u64,
}

impl Overlap {
    /// Counts pixels: whether each is ink, and whether it was taken for ink.
    pub fn add(&mut self, pixels: impl IntoIterator<Item = (bool, bool)>) {
        for (truth, guess) in pixels {
            self.both += u64::from(truth && guess);
            self.either += u64::from(truth || guess);
        }
    }

    /// Intersection over union: 1 where both are the same, 0 where they have nothing in common.
    pub fn iou(&self) -> f64 {
        if self.either == 0 { 1.0 } else { self.both as f64 / self.either as f64 }
    }
}

/// A background of waves and scratches, one or two digits, and noise over all.
fn paint(digits: &Digits, rng: &mut Rng, image: &mut [f32; PIXELS], mask: &mut [f32; PIXELS]) {
    let base = between(rng, 0.25, 0.75);
    image.fill(base);
    for _ in 0..3 {
        wave(rng, image);
    }
    for _ in 0..rng.usize(2..=5) {
        let shade = base + contrast(rng, base);
        scratch(rng, image, shade);
    }
    mask.fill(0.0);
    for _ in 0..rng.usize(1..=2) {
        let shade = base + contrast(rng, base);
        let digit = digits.image(rng.usize(..digits.len()));
        place(rng, digit, shade, image, mask);
    }
    for pixel in image {
        // Four uniform numbers have nearly a normal distribution; their deviation is 1/√3, so this one's is 0.08.
        let noise: f32 = (0..4).map(|_| rng.f32() - 0.5).sum();
        *pixel = (*pixel + 0.08 * 1.732 * noise).clamp(0.0, 1.0) - 0.5;
    }
}

/// Lighter or darker by 0.25 to 0.5, and still a shade.
fn contrast(rng: &mut Rng, base: f32) -> f32 {
    let contrast = between(rng, 0.25, 0.5);
    let lighter = if base > 0.6 { false } else { base < 0.4 || rng.bool() };
    if lighter { contrast } else { -contrast }
}

/// Light and shadow.
fn wave(rng: &mut Rng, image: &mut [f32; PIXELS]) {
    let angle = between(rng, 0.0, std::f32::consts::TAU);
    let length = between(rng, 8.0, 60.0); // pixels from crest to crest
    let phase = between(rng, 0.0, std::f32::consts::TAU);
    let (step_y, step_x) = (std::f32::consts::TAU / length * angle.sin(), std::f32::consts::TAU / length * angle.cos());
    for (index, pixel) in image.iter_mut().enumerate() {
        let (x, y) = ((index % SIDE) as f32, (index / SIDE) as f32);
        *pixel += 0.06 * (x * step_x + y * step_y + phase).sin();
    }
}

/// A straight line, longer and thinner than a 1, of the digits' shades: shade alone does not tell what is a digit.
fn scratch(rng: &mut Rng, image: &mut [f32; PIXELS], shade: f32) {
    let side = SIDE as f32;
    let (x, y) = (between(rng, 0.0, side), between(rng, 0.0, side));
    let angle = between(rng, 0.0, std::f32::consts::TAU);
    let (dx, dy) = (angle.cos(), angle.sin());
    let (length, half) = (between(rng, 30.0, 70.0), between(rng, 0.2, 0.8));
    for (index, pixel) in image.iter_mut().enumerate() {
        let (px, py) = ((index % SIDE) as f32 - x, (index / SIDE) as f32 - y);
        let along = (px * dx + py * dy).clamp(0.0, length);
        let distance = (px - along * dx).hypot(py - along * dy);
        let cover = (half + 0.5 - distance).clamp(0.0, 1.0);
        *pixel += (shade - *pixel) * cover;
    }
}

/// Pastes a digit of a random size somewhere within the scene, and marks where its ink covers more than half of a pixel.
fn place(rng: &mut Rng, digit: &[u8; DIGIT * DIGIT], shade: f32, image: &mut [f32; PIXELS], mask: &mut [f32; PIXELS]) {
    let zoom = between(rng, 0.7, 1.4);
    let room = SIDE as f32 - DIGIT as f32 * zoom;
    let (left, top) = (between(rng, 0.0, room), between(rng, 0.0, room));
    let at = |x: isize, y: isize| {
        let inside = (0..DIGIT as isize).contains(&x) && (0..DIGIT as isize).contains(&y);
        if inside { f32::from(digit[y as usize * DIGIT + x as usize]) / 255.0 } else { 0.0 }
    };
    for (index, (pixel, mask)) in image.iter_mut().zip(mask).enumerate() {
        // The pixel's centre in the digit, and the four of the digit's pixels around it.
        let u = ((index % SIDE) as f32 + 0.5 - left) / zoom - 0.5;
        let v = ((index / SIDE) as f32 + 0.5 - top) / zoom - 0.5;
        let (x, y) = (u.floor() as isize, v.floor() as isize);
        let (a, b) = (u - u.floor(), v - v.floor());
        let row = |y| at(x, y) * (1.0 - a) + at(x + 1, y) * a;
        let cover = row(y) * (1.0 - b) + row(y + 1) * b;
        *pixel += (shade - *pixel) * cover;
        if cover > 0.5 {
            *mask = 1.0;
        }
    }
}

fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.f32()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits::DataSet;
    use crate::files::in_crate;

    #[test]
    fn scenes_hold_digits_and_shades() {
        let digits = DataSet::read(&in_crate("data/mnist")).unwrap().test;
        let mut scenes = Scenes::new();
        scenes.paint(&digits, 20, &mut Rng::with_seed(1));
        assert_eq!((scenes.len(), scenes.images(3..5).shape()), (20, &[2, 1, 48, 48][..]));
        assert!(scenes.images(0..20).iter().all(|shade| (-0.5..=0.5).contains(shade)));
        for index in 0..scenes.len() {
            let mask = scenes.masks(index..index + 1);
            assert!(mask.iter().all(|&ink| ink == 0.0 || ink == 1.0));
            let ink = mask.sum() / PIXELS as f32;
            assert!((0.003..0.4).contains(&ink), "{ink} of scene {index} is ink");
        }
        // Shade tells something, and not enough.
        let overlap = scenes.best_by_shade().iou();
        assert!((0.2..0.7).contains(&overlap), "{overlap}");

        let mut same = Scenes::new();
        same.paint(&digits, 30, &mut Rng::with_seed(2));
        same.paint(&digits, 20, &mut Rng::with_seed(1));
        assert_eq!((same.images(0..20), same.masks(0..20)), (scenes.images(0..20), scenes.masks(0..20)));
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let overlap = |pixels: &[(bool, bool)]| {
            let mut overlap = Overlap::default();
            overlap.add(pixels.iter().copied());
            overlap.iou()
        };
        assert_eq!(overlap(&[(true, false), (true, true), (false, true), (false, false)]), 1.0 / 3.0);
        assert_eq!((overlap(&[(false, false)]), overlap(&[(true, false)])), (1.0, 0.0));
    }
}
