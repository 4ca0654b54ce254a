//! Pictures as files. What a picture shows is drawn on one of plotters' areas, and so is a PNG or an SVG.
//!
//! Letters come from a font that is compiled in, so that a PNG is the same on every machine, with or without fonts.

use std::error::Error;
use std::sync::Once;

use clap::ValueEnum;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, TextStyle, register_font};

/// Colours that go together.
pub mod palette {
    use plotters::style::RGBColor;

    /// The background.
    pub const PAPER: RGBColor = RGBColor(255, 255, 255);
    /// Text.
    pub const INK: RGBColor = RGBColor(31, 41, 51);
    /// Text that matters less.
    pub const MUTED: RGBColor = RGBColor(113, 124, 137);
    /// Lines behind a chart.
    pub const GRID: RGBColor = RGBColor(228, 232, 236);
    /// The first line of a chart.
    pub const BLUE: RGBColor = RGBColor(37, 99, 205);
    /// The second line of a chart.
    pub const ORANGE: RGBColor = RGBColor(226, 122, 26);
    /// What is wrong.
    pub const RED: RGBColor = RGBColor(200, 36, 60);
}

/// A part of a picture, in pixels from its upper left corner.
pub type Area<DB> = DrawingArea<DB, Shift>;

/// What drawing gives: nothing, or why the backend could not.
pub type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Pixels.
    Png,
    /// Shapes, sharp at any size.
    Svg,
}

impl Format {
    /// What the names of such files end in.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Svg => "svg",
        }
    }
}

/// Something that can be drawn.
pub trait Picture {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    /// Draws it on an area of that size, which is [`palette::PAPER`] all over.
    ///
    /// # Errors
    ///
    /// What the backend refuses.
    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB>;

    /// The bytes of a file.
    ///
    /// # Errors
    ///
    /// What the backend or the encoder refuses.
    fn encode(&self, format: Format) -> Result<Vec<u8>, Box<dyn Error>> {
        let (width, height) = self.size();
        match format {
            Format::Png => {
                let mut pixels = vec![0; width as usize * height as usize * 3]; // [height, width, 3]
                finish(self, BitMapBackend::with_buffer(&mut pixels, (width, height)))?;
                let mut bytes = Vec::new();
                PngEncoder::new(&mut bytes).write_image(&pixels, width, height, ExtendedColorType::Rgb8)?;
                Ok(bytes)
            }
            Format::Svg => {
                let mut text = String::new();
                finish(self, SVGBackend::with_string(&mut text, (width, height)))?;
                Ok(text.into_bytes())
            }
        }
    }
}

/// Draws a picture on a backend from beginning to end.
fn finish<DB: DrawingBackend, P: Picture + ?Sized>(picture: &P, backend: DB) -> Drawn<DB> {
    static FONTS: Once = Once::new();
    FONTS.call_once(|| {
        for (style, font) in [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())] {
            // Were it no font, the first text would say that there is none.
            let _ = register_font(FontFamily::SansSerif.as_str(), style, font);
        }
    });
    let area = backend.into_drawing_area();
    area.fill(&palette::PAPER)?;
    picture.draw(&area)?;
    area.present()
}

/// Size and weight of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// What is read last.
    Small,
    /// As small, but bold.
    Strong,
    /// What is read first.
    Title,
}

impl Text {
    /// The style of such a text that begins (left), lies around (centre) or ends (right) where it is put, below that point.
    pub fn style(self, colour: RGBColor, align: HPos) -> TextStyle<'static> {
        let (size, weight) = match self {
            Text::Small => (17, FontStyle::Normal),
            Text::Strong => (17, FontStyle::Bold),
            Text::Title => (28, FontStyle::Bold),
        };
        TextStyle {
            font: (FontFamily::SansSerif, size, weight).into(),
            color: colour.to_backend_color(),
            pos: Pos::new(align, VPos::Top),
        }
    }
}

/// Draws an image of `width` columns whose upper left corner is at `corner`, each pixel as a square of `scale` pixels.
///
/// Neighbours of one colour are one shape: an SVG is the smaller for it.
///
/// # Errors
///
/// What the backend refuses.
pub fn image<DB: DrawingBackend>(
    area: &Area<DB>,
    corner: (i32, i32),
    scale: i32,
    width: usize,
    pixels: &[RGBColor],
) -> Drawn<DB> {
    for (row, pixels) in pixels.chunks(width).enumerate() {
        let top = corner.1 + row as i32 * scale;
        let mut left = corner.0;
        for run in pixels.chunk_by(|a, b| a == b) {
            let right = left + run.len() as i32 * scale;
            area.draw(&Rectangle::new([(left, top), (right, top + scale)], run[0].filled()))?;
            left = right;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pixels, the right one enlarged to 3 x 3.
    struct Dot;

    impl Picture for Dot {
        fn size(&self) -> (u32, u32) {
            (8, 5)
        }

        fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
            image(area, (1, 1), 3, 2, &[palette::PAPER, palette::RED])
        }
    }

    #[test]
    fn a_png_holds_the_picture() {
        let picture = image::load_from_memory(&Dot.encode(Format::Png).unwrap()).unwrap().to_rgb8();
        let palette::RED = RGBColor(200, 36, 60) else { unreachable!("the colour of the test") };
        let red: Vec<_> = picture.enumerate_pixels().filter(|(.., pixel)| pixel.0 == [200, 36, 60]).collect();
        assert_eq!(picture.dimensions(), (8, 5));
        assert_eq!(red.len(), 9);
        assert!(red.iter().all(|(x, y, _)| (4..7).contains(x) && (1..4).contains(y)));
    }

    #[test]
    fn an_svg_holds_the_picture() {
        let text = String::from_utf8(Dot.encode(Format::Svg).unwrap()).unwrap();
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{text}");
        assert!(text.contains("#C8243C"), "{text}");
    }
}
