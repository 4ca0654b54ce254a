//! From a picture of a digit to what a network trained on MNIST expects: white on black, cropped, scaled and centred.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{FilterType, crop_imm, resize};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Luma};

use crate::digits::{PIXELS, SIDE};
use crate::error::{FileError, Problem};

/// MNIST's makers scaled each digit to fit a box of 20 x 20 and placed its centre of mass in the middle of 28 x 28.
const BOX: u32 = 20;

/// Shades that differ by less are the same: paper and noise are not all one shade.
const CONTRAST: f32 = 16.0 / 255.0;

/// Ink lighter than this share of the darkest does not belong to the digit's box.
const FAINT: f32 = 0.2;

/// Pixels of a photograph's longer side that are enough: what is scaled down to them has less noise.
const ENOUGH: u32 = 512;

/// Shades of an image, 0 for black and 1 for white.
type Grey = image::ImageBuffer<Luma<f32>, Vec<f32>>;

/// Reads a PNG or JPEG of a digit of any size, in grey or colour, with or without transparency, dark on light or light on
/// dark, whichever way the camera was held, and makes of it an image as MNIST has them.
///
/// # Errors
///
/// A file that cannot be read, is neither of the two or a broken one, or has one colour all over.
pub fn read(path: &Path) -> Result<[u8; PIXELS], FileError> {
    let fail = |problem| FileError::new(path, problem);
    let bytes = std::fs::read(path).map_err(|error| fail(Problem::Read(error)))?;
    to_digit(&decode(&bytes).map_err(fail)?).ok_or_else(|| fail(Problem::Blank))
}

/// Decodes a PNG or a JPEG.
fn decode(bytes: &[u8]) -> Result<Grey, Problem> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(Problem::Read)?;
    let format = reader.format().filter(|format| format.reading_enabled()).ok_or(Problem::NotPicture)?;
    let broken = |error| Problem::Picture(format, error);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    // A few bytes of a file can announce any size.
    Limits::default().reserve(decoder.total_bytes()).map_err(broken)?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    if image.width().max(image.height()) > ENOUGH {
        image = image.thumbnail(ENOUGH, ENOUGH);
    }

    // Transparent pixels show a background that the file does not have: the shade that what was drawn stands out from.
    let image = image.to_luma_alpha32f();
    let (drawn, opaque) = image.pixels().fold((0.0, 0.0), |(drawn, opaque), pixel| {
        let [shade, alpha] = pixel.0;
        (drawn + shade * alpha, opaque + alpha)
    });
    let background = if drawn < opaque / 2.0 { 1.0 } else { 0.0 };
    Ok(Grey::from_fn(image.width(), image.height(), |x, y| {
        let [shade, alpha] = image.get_pixel(x, y).0;
        Luma([shade * alpha + background * (1.0 - alpha)])
    }))
}

/// An image as MNIST has them; `None` where there is nothing in it.
fn to_digit(image: &Grey) -> Option<[u8; PIXELS]> {
    let ink = ink(image)?;
    let (width, height) = ink.dimensions();
    let is_ink = |x, y| ink.get_pixel(x, y).0[0] >= FAINT;
    let columns = span(width, |x| (0..height).any(|y| is_ink(x, y)))?;
    let rows = span(height, |y| (0..width).any(|x| is_ink(x, y)))?;

    let (width, height) = (columns.1 - columns.0, rows.1 - rows.0);
    let scale = width.max(height) as f32 / BOX as f32; // pixels of the image for one of the digit's
    let scaled = |length: u32| ((length as f32 / scale).round() as u32).clamp(1, BOX);
    let digit = crop_imm(&ink, columns.0, rows.0, width, height);
    let small = resize(&*digit, scaled(width), scaled(height), FilterType::Triangle);

    // The centre of mass goes to the middle, as far as the digit's box stays within the image. MNIST's own middle is the
    // pixel 14, counted from 0: with it, nearly all of its images come out of this as they went in.
    let (mut mass, mut moments) = (0.0, [0.0; 2]);
    for (x, y, Luma([ink])) in small.enumerate_pixels() {
        mass += ink;
        moments = [moments[0] + ink * x as f32, moments[1] + ink * y as f32];
    }
    let place = |moment: f32, length: u32| {
        let start = (SIDE as f32 / 2.0 - moment / mass).round().max(0.0) as usize;
        start.min(SIDE - length as usize)
    };
    let (left, top) = (place(moments[0], small.width()), place(moments[1], small.height()));
    let mut digit = [0; PIXELS];
    for (x, y, Luma([ink])) in small.enumerate_pixels() {
        digit[(top + y as usize) * SIDE + left + x as usize] = (255.0 * ink).round() as u8;
    }
    Some(digit)
}

/// How much ink there is at each pixel, 0 to 1, whichever of ink and paper is dark; `None` without contrast.
fn ink(image: &Grey) -> Option<Grey> {
    let paper = Paper::of(image);
    let differences = || image.enumerate_pixels().map(|(x, y, Luma([shade]))| shade - paper.at(x, y));
    let darkest = differences().fold(f32::INFINITY, f32::min);
    let lightest = differences().fold(f32::NEG_INFINITY, f32::max);
    let dark = -darkest > lightest;
    if lightest.max(-darkest) < CONTRAST {
        return None;
    }
    // How far from the paper to black, or to white: where less light falls, ink and paper differ by less.
    let way = |x, y| {
        let (shade, paper) = (image.get_pixel(x, y).0[0], paper.at(x, y));
        let (far, all) = if dark { (paper - shade, paper) } else { (shade - paper, 1.0 - paper) };
        Luma([far / all.max(CONTRAST)])
    };
    let mut ink = Grey::from_fn(image.width(), image.height(), way);
    let most = ink.iter().copied().fold(0.0, f32::max);
    ink.iter_mut().for_each(|ink| *ink = (*ink / most).clamp(0.0, 1.0));
    Some(ink)
}

/// The shade of the paper, which light that comes from one side makes lighter there.
struct Paper {
    middle: f32,
    /// What is added for a pixel, and the coordinate where that is nothing; across and down.
    slopes: [(f32, f32); 2],
}

impl Paper {
    /// What the border shows. Medians, since the digit may touch it.
    fn of(image: &Grey) -> Self {
        let (right, bottom) = (image.width() - 1, image.height() - 1);
        let column = |x| (0..=bottom).map(move |y| image.get_pixel(x, y).0[0]);
        let row = |y| (0..=right).map(move |x| image.get_pixel(x, y).0[0]);
        let slope = |first: f32, last: f32, end: u32| ((last - first) / end.max(1) as f32, end as f32 / 2.0);
        Self {
            middle: median(column(0).chain(column(right)).chain(row(0)).chain(row(bottom))),
            slopes: [
                slope(median(column(0)), median(column(right)), right),
                slope(median(row(0)), median(row(bottom)), bottom),
            ],
        }
    }

    fn at(&self, x: u32, y: u32) -> f32 {
        let [across, down] = self.slopes;
        self.middle + across.0 * (x as f32 - across.1) + down.0 * (y as f32 - down.1)
    }
}

/// The middle one of some values, of which there is at least one.
fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

/// From the first to behind the last number below `end` that something holds for.
fn span(end: u32, holds: impl Fn(u32) -> bool) -> Option<(u32, u32)> {
    let first = (0..end).find(|&i| holds(i))?;
    let last = (0..end).rev().find(|&i| holds(i))?;
    Some((first, last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digits::{DataSet, Digits};
    use crate::files::in_crate;
    use image::codecs::jpeg::JpegEncoder;
    use image::codecs::png::PngEncoder;
    use image::metadata::Orientation;
    use image::{ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};

    fn digits() -> Digits {
        DataSet::read(&in_crate("data/mnist")).unwrap().test
    }

    /// A PNG of these pixels.
    fn png(width: u32, colour: ExtendedColorType, bytes: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let height = bytes.len() as u32 * 8 / u32::from(colour.bits_per_pixel()) / width;
        PngEncoder::new(&mut file).write_image(bytes, width, height, colour).unwrap();
        file
    }

    /// A JPEG whose EXIF data say how the camera was held.
    fn jpeg(picture: &RgbImage, orientation: Orientation) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut file, 90);
        // A little-endian directory of one entry: tag 0x0112, one short.
        let mut exif = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation.to_exif(), 0, 0, 0, 0, 0, 0, 0]);
        encoder.set_exif_metadata(exif).unwrap();
        let (width, height) = picture.dimensions();
        encoder.write_image(picture, width, height, ExtendedColorType::Rgb8).unwrap();
        file
    }

    fn read_bytes(bytes: &[u8]) -> Result<[u8; PIXELS], FileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digit");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    /// Mean difference of two images' pixels.
    fn difference(a: &[u8; PIXELS], b: &[u8; PIXELS]) -> f32 {
        a.iter().zip(b).map(|(&a, &b)| f32::from(a.abs_diff(b))).sum::<f32>() / PIXELS as f32
    }

    /// A digit in blue ink on a sheet of grey paper: its corner, how large a pixel of it is, and what the light makes of the
    /// shade of each pixel.
    fn sheet(
        original: &[u8; PIXELS],
        [width, height]: [u32; 2],
        corner: [u32; 2],
        scale: u32,
        light: impl Fn(u32, u32) -> f32,
    ) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let pixel = |at: u32, corner: u32| at.checked_sub(corner).map(|at| (at / scale) as usize);
            let ink = match (pixel(x, corner[0]), pixel(y, corner[1])) {
                (Some(x @ 0..SIDE), Some(y @ 0..SIDE)) => f32::from(original[y * SIDE + x]) / 255.0,
                _ => 0.0,
            };
            let mix = |paper: f32, pen: f32| (light(x, y) * (paper * (1.0 - ink) + pen * ink)) as u8;
            image::Rgb([mix(200.0, 20.0), mix(198.0, 30.0), mix(196.0, 120.0)])
        })
    }

    #[test]
    fn a_digit_of_mnist_stays_what_it_is() {
        let digits = digits();
        for index in 0..100 {
            let original = digits.image(index);
            let found = read_bytes(&png(28, ExtendedColorType::L8, original)).unwrap();
            // Nine of ten come out to the bit; of others a faint edge is cut off.
            let difference = difference(original, &found);
            assert!(difference < 0.5, "digit {index}: {difference}");
        }
    }

    #[test]
    fn kind_size_and_place_of_a_picture_do_not_matter() {
        let digits = digits();
        let original = digits.image(3);
        let plain = read_bytes(&png(28, ExtendedColorType::L8, original)).unwrap();
        let each = |samples: fn(u8) -> Vec<u8>| original.iter().flat_map(|&shade| samples(shade)).collect::<Vec<_>>();
        let pictures = [
            png(28, ExtendedColorType::L8, &each(|shade| vec![255 - shade])),
            png(28, ExtendedColorType::L16, &each(|shade| vec![shade, shade])),
            png(28, ExtendedColorType::La8, &each(|shade| vec![shade, 255])),
            png(28, ExtendedColorType::Rgb8, &each(|shade| vec![shade; 3])),
            // Dark ink, and light ink, on nothing.
            png(28, ExtendedColorType::Rgba8, &each(|shade| vec![0, 0, 0, shade])),
            png(28, ExtendedColorType::Rgba8, &each(|shade| vec![255, 255, 255, shade])),
            png(28, ExtendedColorType::La8, &each(|shade| vec![10, shade])),
        ];
        for (index, picture) in pictures.iter().enumerate() {
            assert!(difference(&plain, &read_bytes(picture).unwrap()) < 1.0, "picture {index}");
        }

        // Seven times as large, in a corner of a wide sheet.
        let sheet = sheet(original, [500, 230], [290, 20], 7, |_, _| 1.0);
        let difference = difference(&plain, &read_bytes(&png(500, ExtendedColorType::Rgb8, &sheet)).unwrap());
        assert!(difference < 6.0, "{difference}");
    }

    #[test]
    fn a_photograph_is_read_however_the_camera_was_held() {
        let digits = digits();
        let original = digits.image(2);
        let plain = read_bytes(&png(28, ExtendedColorType::L8, original)).unwrap();
        // Light from the left, and a grain of a few shades.
        let light = |x: u32, y: u32| 1.0 - 0.35 * x as f32 / 320.0 + 0.02 * ((x * 7 + y * 13) % 5) as f32;
        let upright = DynamicImage::from(sheet(original, [320, 240], [140, 60], 4, light));
        for orientation in (1..=8).filter_map(Orientation::from_exif) {
            // What the sensor saw: turned back by what is to be applied.
            let mut seen = upright.clone();
            seen.apply_orientation(match orientation {
                Orientation::Rotate90 => Orientation::Rotate270,
                Orientation::Rotate270 => Orientation::Rotate90,
                own_inverse => own_inverse,
            });
            let difference = difference(&plain, &read_bytes(&jpeg(&seen.to_rgb8(), orientation)).unwrap());
            assert!(difference < 8.0, "{orientation:?}: {difference}");
        }
    }

    #[test]
    fn a_palette_is_looked_up() {
        let mut file = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut file, 8, 3);
        encoder.set_color(::png::ColorType::Indexed);
        encoder.set_depth(::png::BitDepth::One);
        encoder.set_palette(vec![255, 255, 255, 0, 0, 0]);
        encoder.write_header().unwrap().write_image_data(&[0, 0b0001_0000, 0]).unwrap();
        assert_eq!(read_bytes(&file).unwrap().iter().filter(|&&pixel| pixel == 255).count(), 400);
    }

    #[test]
    fn pictures_without_a_digit_are_refused() {
        let message = |bytes: &[u8]| {
            let error = read_bytes(bytes).unwrap_err();
            let name = error.path.display().to_string();
            error.to_string().replace(&name, "digit")
        };
        let grey = |bytes: &[u8]| png(4, ExtendedColorType::L8, bytes);
        let blank = "digit has one colour all over: there is no digit in it";
        assert_eq!(message(&grey(&[0; 16])), blank);
        assert_eq!(message(&grey(&[255; 16])), blank);
        assert_eq!(message(&grey(&[120, 121, 122, 123, 124, 125, 126, 127])), blank);
        assert_eq!(message(&png(2, ExtendedColorType::Rgba8, &[9, 200, 7, 0, 200, 9, 7, 0])), blank);
        for other in [&b"GIF89a and so on"[..], b"no picture", b""] {
            assert_eq!(message(other), "digit is neither a PNG nor a JPEG");
        }

        let whole = grey(&[0, 255, 0, 255, 0, 255, 0, 255]);
        for end in 8..whole.len() - 12 {
            let message = message(&whole[..end]);
            assert!(message.starts_with("digit is a PNG that cannot be decoded: "), "{end}: {message}");
        }
        let photo = jpeg(&sheet(digits().image(0), [60, 40], [5, 5], 1, |_, _| 1.0), Orientation::Rotate90);
        let message = message(&photo[..photo.len() / 4]);
        assert!(message.starts_with("digit is a JPEG that cannot be decoded: "), "{message}");
    }

    #[test]
    fn a_picture_that_announces_any_size_asks_for_no_memory() {
        let mut file = png(4, ExtendedColorType::L8, &[0; 16]);
        // Width and height of the header, and its checksum.
        file[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        let mut checksum = flate2::Crc::new();
        checksum.update(&file[12..29]);
        file[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
        assert!(matches!(read_bytes(&file).unwrap_err().problem, Problem::Picture(ImageFormat::Png, _)));
    }

    #[test]
    fn extreme_shapes_are_centred() {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (2, 3)] {
            let inside = |x, y| (1..=width).contains(&x) && (1..=height).contains(&y);
            let image = Grey::from_fn(width + 2, height + 2, |x, y| Luma([f32::from(u8::from(inside(x, y)))]));
            let digit = to_digit(&image).unwrap();
            let ink: Vec<_> = (0..PIXELS).filter(|&i| digit[i] > 0).collect();
            assert!(!ink.is_empty() && ink.iter().all(|i| (4..25).contains(&(i / 28)) && (4..25).contains(&(i % 28))));
        }
    }

    #[test]
    fn an_image_of_one_pixel_or_row_is_no_digit() {
        for (width, height) in [(1, 1), (1, 5), (5, 1)] {
            let mut image = Grey::from_pixel(width, height, Luma([0.5]));
            assert!(to_digit(&image).is_none());
            if width * height > 1 {
                image.put_pixel(width - 1, height - 1, Luma([0.0]));
                assert!(to_digit(&image).is_some());
            }
        }
    }
}
