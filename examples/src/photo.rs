//! From a picture of a digit to what a network trained on MNIST expects: white on black, cropped, scaled and centred.

use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Transformations};

use crate::digits::{PIXELS, SIDE};
use crate::error::{FileError, Problem};

/// MNIST's makers scaled each digit to fit a box of 20 x 20 and placed its centre of mass in the middle of 28 x 28.
const BOX: usize = 20;

/// Shades that differ by less are the same: paper and noise are not all one shade.
const CONTRAST: f32 = 16.0 / 255.0;

/// Ink lighter than this share of the darkest does not belong to the digit's box.
const FAINT: f32 = 0.2;

/// Bytes of a decoded image: a few bytes of a file can announce any size.
const LARGEST: usize = 256 << 20;

/// Shades of an image, 0 for black and 1 for white.
#[derive(Clone, Debug)]
pub struct Grey {
    width: usize,
    height: usize,
    shades: Vec<f32>, // [height, width]
}

/// Reads a PNG of a digit of any size, in grey or colour, with or without transparency, dark on light or light on dark,
/// and makes of it an image as MNIST has them.
///
/// # Errors
///
/// A file that cannot be read, is no PNG or a broken one, or has one colour all over.
pub fn read(path: &Path) -> Result<[u8; PIXELS], FileError> {
    let fail = |problem| FileError::new(path, problem);
    let bytes = std::fs::read(path).map_err(|error| fail(Problem::Read(error)))?;
    to_digit(&decode(&bytes).map_err(fail)?).ok_or_else(|| fail(Problem::Blank))
}

/// Decodes a PNG.
fn decode(bytes: &[u8]) -> Result<Grey, Problem> {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(Problem::NotPng);
    }
    let mut decoder = Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(Problem::Png)?;
    let size = reader.output_buffer_size().filter(|&size| size <= LARGEST);
    let size = size.ok_or(Problem::Png(png::DecodingError::LimitsExceeded))?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(Problem::Png)?;
    pixels.truncate(frame.buffer_size());
    debug_assert_eq!(frame.bit_depth, BitDepth::Eight, "the transformation was asked for");

    // A colour's lightness as Rec. 601 weighs it, and how opaque it is.
    let grey = |shade: u8| f32::from(shade) / 255.0;
    let weigh = |rgb: &[u8]| 0.299 * grey(rgb[0]) + 0.587 * grey(rgb[1]) + 0.114 * grey(rgb[2]);
    let shades: Vec<(f32, f32)> = match frame.color_type {
        ColorType::Grayscale => pixels.iter().map(|&shade| (grey(shade), 1.0)).collect(),
        ColorType::GrayscaleAlpha => pixels.chunks_exact(2).map(|p| (grey(p[0]), grey(p[1]))).collect(),
        ColorType::Rgb | ColorType::Indexed => pixels.chunks_exact(3).map(|p| (weigh(p), 1.0)).collect(),
        ColorType::Rgba => pixels.chunks_exact(4).map(|p| (weigh(p), grey(p[3]))).collect(),
    };

    // Transparent pixels show a background that the file does not have: the shade that what was drawn stands out from.
    let opaque: f32 = shades.iter().map(|(_, alpha)| alpha).sum();
    let drawn: f32 = shades.iter().map(|(shade, alpha)| shade * alpha).sum();
    let background = if drawn < opaque / 2.0 { 1.0 } else { 0.0 };
    let shades = shades.iter().map(|(shade, alpha)| shade * alpha + background * (1.0 - alpha)).collect();
    Ok(Grey { width: frame.width as usize, height: frame.height as usize, shades })
}

/// An image as MNIST has them; `None` where there is nothing in it.
fn to_digit(image: &Grey) -> Option<[u8; PIXELS]> {
    let ink = ink(image)?;
    let columns = span(ink.width, |x| (0..ink.height).any(|y| ink.at(x, y) >= FAINT))?;
    let rows = span(ink.height, |y| (0..ink.width).any(|x| ink.at(x, y) >= FAINT))?;

    let (width, height) = (columns.1 - columns.0, rows.1 - rows.0);
    let scale = width.max(height) as f32 / BOX as f32; // pixels of the image for one of the digit's
    let scaled = |length: usize| ((length as f32 / scale).round() as usize).clamp(1, BOX);
    let small = ink.resample(columns, rows, [scaled(width), scaled(height)]);

    // The centre of mass goes to the middle, as far as the digit's box stays within the image. MNIST's own middle is the
    // pixel 14, counted from 0: with it, nearly all of its images come out of this as they went in.
    let mass: f32 = small.shades.iter().sum();
    let moment = |coordinate: fn(usize, usize) -> usize| {
        let shades = small.shades.iter().enumerate();
        shades.map(|(i, shade)| shade * coordinate(i, small.width) as f32).sum::<f32>() / mass
    };
    let place =
        |centre: f32, length: usize| ((SIDE as f32 / 2.0 - centre).round().max(0.0) as usize).min(SIDE - length);
    let left = place(moment(|i, width| i % width), small.width);
    let top = place(moment(|i, width| i / width), small.height);
    let mut digit = [0; PIXELS];
    for y in 0..small.height {
        for x in 0..small.width {
            digit[(top + y) * SIDE + left + x] = (255.0 * small.at(x, y)).round() as u8;
        }
    }
    Some(digit)
}

/// How much ink there is at each pixel, 0 to 1, whichever of ink and paper is dark; `None` without contrast.
fn ink(image: &Grey) -> Option<Grey> {
    let Grey { width, height, ref shades } = *image;
    let mut border: Vec<f32> = (0..width).flat_map(|x| [image.at(x, 0), image.at(x, height - 1)]).collect();
    border.extend((0..height).flat_map(|y| [image.at(0, y), image.at(width - 1, y)]));
    border.sort_by(f32::total_cmp);
    let paper = border[border.len() / 2];

    let darkest = shades.iter().copied().fold(f32::INFINITY, f32::min);
    let lightest = shades.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let pen = if paper - darkest > lightest - paper { darkest } else { lightest };
    if (pen - paper).abs() < CONTRAST {
        return None;
    }
    let shades = shades.iter().map(|shade| ((shade - paper) / (pen - paper)).clamp(0.0, 1.0)).collect();
    Some(Grey { width, height, shades })
}

/// From the first to behind the last number below `end` that something holds for.
fn span(end: usize, holds: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
    let first = (0..end).find(|&i| holds(i))?;
    let last = (0..end).rev().find(|&i| holds(i))?;
    Some((first, last + 1))
}

impl Grey {
    fn at(&self, x: usize, y: usize) -> f32 {
        self.shades[y * self.width + x]
    }

    /// A part of the image, from and to columns and rows, with another width and height.
    fn resample(&self, columns: (usize, usize), rows: (usize, usize), [width, height]: [usize; 2]) -> Grey {
        let (across, down) = (weights(columns, width), weights(rows, height));
        let mut shades = Vec::with_capacity(width * height);
        for rows in &down {
            for columns in &across {
                let row = |y: usize| columns.iter().map(|&(x, weight)| weight * self.at(x, y)).sum::<f32>();
                shades.push(rows.iter().map(|&(y, weight)| weight * row(y)).sum());
            }
        }
        Grey { width, height, shades }
    }
}

/// For each of `length` pixels, which of the pixels `from..to` it is made of, and how much of each: a triangle as wide as
/// two pixels of the coarser of the two grids, which interpolates where it enlarges and averages where it shrinks.
fn weights((from, to): (usize, usize), length: usize) -> Vec<Vec<(usize, f32)>> {
    let scale = (to - from) as f32 / length as f32;
    let reach = scale.max(1.0);
    let each = |i: usize| {
        let centre = from as f32 + (i as f32 + 0.5) * scale;
        let weigh = |x: usize| (x, (1.0 - (x as f32 + 0.5 - centre).abs() / reach).max(0.0));
        let near: Vec<_> = (from..to).map(weigh).filter(|(_, weight)| *weight > 0.0).collect();
        let sum: f32 = near.iter().map(|(_, weight)| weight).sum();
        near.into_iter().map(|(x, weight)| (x, weight / sum)).collect()
    };
    (0..length).map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits::{DataSet, Digits};
    use crate::files::in_crate;

    fn digits() -> Digits {
        DataSet::read(&in_crate("data/mnist")).unwrap().test
    }

    /// A PNG of these pixels.
    fn png(width: u32, colour: ColorType, depth: BitDepth, bytes: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let row = colour.samples() * width as usize * if depth == BitDepth::Sixteen { 2 } else { 1 };
        let mut encoder = png::Encoder::new(&mut file, width, (bytes.len() / row) as u32);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(bytes).unwrap();
        writer.finish().unwrap();
        file
    }

    fn read_bytes(bytes: &[u8]) -> Result<[u8; PIXELS], FileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digit.png");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    /// Mean difference of two images' pixels.
    fn difference(a: &[u8; PIXELS], b: &[u8; PIXELS]) -> f32 {
        a.iter().zip(b).map(|(&a, &b)| f32::from(a.abs_diff(b))).sum::<f32>() / PIXELS as f32
    }

    #[test]
    fn a_digit_of_mnist_stays_what_it_is() {
        let digits = digits();
        for index in 0..100 {
            let original = digits.image(index);
            let found = read_bytes(&png(28, ColorType::Grayscale, BitDepth::Eight, original)).unwrap();
            // Nine of ten come out to the bit; of others a faint edge is cut off.
            let difference = difference(original, &found);
            assert!(difference < 0.5, "digit {index}: {difference}");
        }
    }

    #[test]
    fn kind_size_and_place_of_a_picture_do_not_matter() {
        let digits = digits();
        let original = digits.image(3);
        let plain = read_bytes(&png(28, ColorType::Grayscale, BitDepth::Eight, original)).unwrap();
        let each = |samples: fn(u8) -> Vec<u8>| original.iter().flat_map(|&shade| samples(shade)).collect::<Vec<_>>();
        let pictures = [
            png(28, ColorType::Grayscale, BitDepth::Eight, &each(|shade| vec![255 - shade])),
            png(28, ColorType::Grayscale, BitDepth::Sixteen, &each(|shade| vec![shade, shade])),
            png(28, ColorType::GrayscaleAlpha, BitDepth::Eight, &each(|shade| vec![shade, 255])),
            png(28, ColorType::Rgb, BitDepth::Eight, &each(|shade| vec![shade; 3])),
            // Dark ink, and light ink, on nothing.
            png(28, ColorType::Rgba, BitDepth::Eight, &each(|shade| vec![0, 0, 0, shade])),
            png(28, ColorType::Rgba, BitDepth::Eight, &each(|shade| vec![255, 255, 255, shade])),
            png(28, ColorType::GrayscaleAlpha, BitDepth::Eight, &each(|shade| vec![10, shade])),
        ];
        for (index, picture) in pictures.iter().enumerate() {
            assert!(difference(&plain, &read_bytes(picture).unwrap()) < 1.0, "picture {index}");
        }

        // Seven times as large, in a corner of a wide sheet of grey paper, in blue ink.
        let (width, height) = (500, 230);
        let mut sheet = vec![[200u8, 198, 196]; width * height];
        for y in 0..28 * 7 {
            for x in 0..28 * 7 {
                let ink = f32::from(original[y / 7 * 28 + x / 7]) / 255.0;
                let mix = |paper: u8, pen: f32| (f32::from(paper) * (1.0 - ink) + pen * ink) as u8;
                let pixel = &mut sheet[(y + 20) * width + x + 290];
                *pixel = [mix(pixel[0], 20.0), mix(pixel[1], 30.0), mix(pixel[2], 120.0)];
            }
        }
        let picture = png(width as u32, ColorType::Rgb, BitDepth::Eight, sheet.as_flattened());
        let difference = difference(&plain, &read_bytes(&picture).unwrap());
        assert!(difference < 6.0, "{difference}");
    }

    #[test]
    fn a_palette_is_looked_up() {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 8, 3);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(BitDepth::One);
        encoder.set_palette(vec![255, 255, 255, 0, 0, 0]);
        encoder.write_header().unwrap().write_image_data(&[0, 0b0001_0000, 0]).unwrap();
        assert_eq!(read_bytes(&file).unwrap().iter().filter(|&&pixel| pixel == 255).count(), 400);
    }

    #[test]
    fn pictures_without_a_digit_are_refused() {
        let message = |bytes: &[u8]| {
            let error = read_bytes(bytes).unwrap_err();
            let name = error.path.display().to_string();
            error.to_string().replace(&name, "digit.png")
        };
        let grey = |bytes: &[u8]| png(4, ColorType::Grayscale, BitDepth::Eight, bytes);
        let blank = "digit.png has one colour all over: there is no digit in it";
        assert_eq!(message(&grey(&[0; 16])), blank);
        assert_eq!(message(&grey(&[255; 16])), blank);
        assert_eq!(message(&grey(&[120, 121, 122, 123, 124, 125, 126, 127])), blank);
        assert_eq!(message(&png(2, ColorType::Rgba, BitDepth::Eight, &[9, 200, 7, 0, 200, 9, 7, 0])), blank);
        assert_eq!(message(b"\xff\xd8\xff\xe0 a photo"), "digit.png is not a PNG");
        assert_eq!(message(&[]), "digit.png is not a PNG");

        let whole = grey(&[0, 255, 0, 255, 0, 255, 0, 255]);
        for end in 8..whole.len() - 12 {
            let message = message(&whole[..end]);
            assert!(message.starts_with("digit.png is a PNG that cannot be decoded: "), "{end}: {message}");
        }
    }

    #[test]
    fn a_picture_that_announces_any_size_asks_for_no_memory() {
        let mut file = png(4, ColorType::Grayscale, BitDepth::Eight, &[0; 16]);
        // Width and height of the header, and its checksum.
        file[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        let checksum = flate2::Crc::new();
        let sum = {
            let mut c = checksum;
            c.update(&file[12..29]);
            c.sum()
        };
        file[29..33].copy_from_slice(&sum.to_be_bytes());
        assert!(matches!(read_bytes(&file).unwrap_err().problem, Problem::Png(_)));
    }

    #[test]
    fn extreme_shapes_are_centred() {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (2, 3)] {
            let mut shades = vec![0.0; (width + 2) * (height + 2)];
            for y in 1..=height {
                shades[y * (width + 2) + 1..][..width].fill(1.0);
            }
            let digit = to_digit(&Grey { width: width + 2, height: height + 2, shades }).unwrap();
            let ink: Vec<_> = (0..PIXELS).filter(|&i| digit[i] > 0).collect();
            assert!(!ink.is_empty() && ink.iter().all(|i| (4..25).contains(&(i / 28)) && (4..25).contains(&(i % 28))));
        }
    }

    #[test]
    fn an_image_of_one_pixel_or_row_is_no_digit() {
        for (width, height) in [(1, 1), (1, 5), (5, 1)] {
            let mut shades = vec![0.5; width * height];
            assert!(to_digit(&Grey { width, height, shades: shades.clone() }).is_none());
            if let Some(last) = shades.get_mut(4) {
                *last = 0.0;
                assert!(to_digit(&Grey { width, height, shades }).is_some());
            }
        }
    }
}
