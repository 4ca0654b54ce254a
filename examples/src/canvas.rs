//! A picture to draw on: boxes, lines, discs, enlarged images and text, and out as a PNG.
//!
//! Text comes from glyphs that are compiled in, so that a picture is the same on every machine, with or without fonts.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Red, green and blue.
pub type Colour = [u8; 3];

/// Colours that go together.
pub mod palette {
    use super::Colour;

    /// The background.
    pub const PAPER: Colour = [255, 255, 255];
    /// Text and axes.
    pub const INK: Colour = [31, 41, 51];
    /// Text that matters less.
    pub const MUTED: Colour = [113, 124, 137];
    /// Lines behind a chart.
    pub const GRID: Colour = [228, 232, 236];
    /// The first line of a chart.
    pub const BLUE: Colour = [37, 99, 205];
    /// The second line of a chart.
    pub const ORANGE: Colour = [226, 122, 26];
    /// What is wrong.
    pub const RED: Colour = [200, 36, 60];
    /// What is right.
    pub const GREEN: Colour = [26, 138, 82];
}

/// Size and weight of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// 16 pixels high.
    Small,
    /// 16 pixels high, bold.
    Strong,
    /// 24 pixels high, bold.
    Title,
}

impl Text {
    fn font(self) -> (FontWeight, RasterHeight) {
        match self {
            Text::Small => (FontWeight::Regular, RasterHeight::Size16),
            Text::Strong => (FontWeight::Bold, RasterHeight::Size16),
            Text::Title => (FontWeight::Bold, RasterHeight::Size24),
        }
    }

    /// Pixels from the top of a line to its bottom.
    pub fn height(self) -> i32 {
        self.font().1.val() as i32
    }

    /// Pixels that a text takes.
    pub fn width(self, text: &str) -> i32 {
        let (weight, height) = self.font();
        (get_raster_width(weight, height) * text.chars().count()) as i32
    }
}

/// Where a text stands relative to its x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// It begins there.
    Left,
    /// Its middle is there.
    Centre,
    /// It ends there.
    Right,
}

/// A picture. Coordinates are pixels from the upper left corner; what lies outside is left out.
#[derive(Clone, Debug)]
pub struct Canvas {
    width: i32,
    height: i32,
    pixels: Vec<Colour>, // [height, width]
}

impl Canvas {
    /// A picture of one colour.
    pub fn new(width: u16, height: u16, colour: Colour) -> Self {
        let pixels = vec![colour; usize::from(width) * usize::from(height)];
        Self { width: i32::from(width), height: i32::from(height), pixels }
    }

    /// The colour of a pixel, if it lies within.
    pub fn get(&self, x: i32, y: i32) -> Option<Colour> {
        self.index(x, y).map(|index| self.pixels[index])
    }

    fn index(&self, x: i32, y: i32) -> Option<usize> {
        let inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
        inside.then(|| y as usize * self.width as usize + x as usize)
    }

    /// Lays a colour over a pixel: 0 leaves the pixel, 1 covers it.
    fn blend(&mut self, x: i32, y: i32, colour: Colour, cover: f32) {
        let Some(index) = self.index(x, y) else { return };
        let cover = cover.clamp(0.0, 1.0);
        for (below, above) in self.pixels[index].iter_mut().zip(colour) {
            *below = (f32::from(*below) + (f32::from(above) - f32::from(*below)) * cover).round() as u8;
        }
    }

    /// Fills a box.
    pub fn fill(&mut self, x: i32, y: i32, width: i32, height: i32, colour: Colour) {
        for y in y.max(0)..(y + height).min(self.height) {
            for x in x.max(0)..(x + width).min(self.width) {
                self.blend(x, y, colour, 1.0);
            }
        }
    }

    /// Draws a line with round ends. Its points are where pixels' centres are: (0.5, 0.5) is the middle of the first.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), thickness: f32, colour: Colour) {
        if ![from.0, from.1, to.0, to.1].iter().all(|coordinate| coordinate.is_finite()) {
            return;
        }
        let reach = thickness / 2.0 + 1.0;
        // Casts saturate, and the range is cut to the picture: far points cost nothing.
        let range = |a: f32, b: f32, end: i32| {
            ((a.min(b) - reach).floor() as i32).max(0)..((a.max(b) + reach).ceil() as i32).min(end)
        };
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let square = dx * dx + dy * dy;
        for y in range(from.1, to.1, self.height) {
            for x in range(from.0, to.0, self.width) {
                let (px, py) = (x as f32 + 0.5 - from.0, y as f32 + 0.5 - from.1);
                let along = if square > 0.0 { ((px * dx + py * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
                let distance = (px - along * dx).hypot(py - along * dy);
                // A pixel whose centre lies on the edge is half covered.
                self.blend(x, y, colour, thickness / 2.0 + 0.5 - distance);
            }
        }
    }

    /// Draws a disc.
    pub fn disc(&mut self, centre: (f32, f32), radius: f32, colour: Colour) {
        self.line(centre, centre, 2.0 * radius, colour);
    }

    /// Writes one line of text whose upper edge is at `y`. Letters that the font lacks are shown as `?`.
    pub fn text(&mut self, x: i32, y: i32, align: Align, style: Text, colour: Colour, text: &str) {
        let (weight, height) = style.font();
        let mut left = match align {
            Align::Left => x,
            Align::Centre => x - style.width(text) / 2,
            Align::Right => x - style.width(text),
        };
        for letter in text.chars() {
            let raster = get_raster(letter, weight, height).or_else(|| get_raster('?', weight, height));
            let rows = raster.iter().flat_map(|raster| raster.rows());
            for (dy, row) in rows.enumerate() {
                for (dx, &cover) in row.iter().enumerate() {
                    self.blend(left + dx as i32, y + dy as i32, colour, f32::from(cover) / 255.0);
                }
            }
            left += get_raster_width(weight, height) as i32;
        }
    }

    /// Draws an image of `width` columns, each pixel as a square of `scale` pixels.
    pub fn image(&mut self, x: i32, y: i32, scale: i32, width: usize, pixels: impl IntoIterator<Item = Colour>) {
        for (index, colour) in pixels.into_iter().enumerate() {
            let (column, row) = ((index % width) as i32, (index / width) as i32);
            self.fill(x + column * scale, y + row * scale, scale, scale, colour);
        }
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    ///
    /// A picture without pixels.
    pub fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        writer.finish()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(canvas: &Canvas, holds: impl Fn(Colour) -> bool) -> usize {
        canvas.pixels.iter().filter(|&&pixel| holds(pixel)).count()
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        let mut canvas = Canvas::new(10, 10, palette::PAPER);
        canvas.fill(-5, -5, 6, 6, palette::RED);
        assert_eq!((canvas.get(0, 0), count(&canvas, |pixel| pixel == palette::RED)), (Some(palette::RED), 1));
        assert_eq!((canvas.get(-1, 0), canvas.get(0, 10)), (None, None));
        canvas.text(-20, 3, Align::Left, Text::Title, palette::INK, "Wide");
        canvas.line((-1e9, -1e9), (1e9, 1e9), 2.0, palette::BLUE);
        canvas.line((f32::NAN, 0.0), (f32::INFINITY, 5.0), 2.0, palette::BLUE);
        canvas.image(8, 8, 4, 2, [palette::GREEN; 4]);
        assert_eq!(canvas.get(9, 9), Some(palette::GREEN));
    }

    #[test]
    fn a_disc_has_its_area() {
        let mut canvas = Canvas::new(40, 40, [255; 3]);
        canvas.disc((20.0, 20.0), 10.0, [0; 3]);
        let ink: f32 = canvas.pixels.iter().map(|pixel| 1.0 - f32::from(pixel[0]) / 255.0).sum();
        assert!((ink - 314.16).abs() < 4.0, "{ink}");
    }

    #[test]
    fn text_is_as_wide_as_it_says() {
        for style in [Text::Small, Text::Strong, Text::Title] {
            let mut canvas = Canvas::new(200, 40, palette::PAPER);
            canvas.text(100, 5, Align::Centre, style, palette::INK, "Mé8");
            let columns: Vec<i32> =
                (0..200).filter(|&x| (0..40).any(|y| canvas.get(x, y) != Some(palette::PAPER))).collect();
            let (first, last) = (columns[0], columns[columns.len() - 1]);
            assert!(first >= 100 - style.width("Mé8") / 2 && last <= 100 + style.width("Mé8") / 2);
            assert!(last - first > style.width("Mé"));
        }
    }

    #[test]
    fn a_png_holds_the_picture() {
        let mut canvas = Canvas::new(3, 2, palette::PAPER);
        canvas.fill(1, 1, 1, 1, [1, 2, 3]);
        let bytes = canvas.to_png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.width, frame.height, &pixels[12..15]), (3, 2, &[1, 2, 3][..]));
    }
}
