//! What the examples print.

use console::Style;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::digits::{PIXELS, SIDE};

/// A progress bar over the images of one epoch. Where the output is no terminal it is not shown.
pub fn progress(prefix: String, images: usize) -> ProgressBar {
    let template = "{prefix} [{bar:36}] {human_pos} of {human_len} images  {msg}";
    // The template is a constant; if it were wrong the default bar would do.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(images as u64).with_prefix(prefix);
    bar.set_style(style.progress_chars("=> "));
    bar
}

/// A number with commas: 61,706.
pub fn grouped(number: usize) -> String {
    HumanCount(number as u64).to_string()
}

/// A bar of this many columns for a share from 0 to 1, to an eighth of a column.
pub fn bar(share: f32, columns: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * 8.0 * columns as f32).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(['▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8 - 1]);
    }
    bar
}

/// A digit as 14 lines of 28 columns, each character two pixels: half blocks in shades of grey, or blocks of five
/// densities where there are no colours.
pub fn digit(image: &[u8; PIXELS], colours: bool) -> Vec<String> {
    let (rows, _) = image.as_chunks::<SIDE>();
    let (pairs, _) = rows.as_chunks::<2>();
    let line = |[upper, lower]: &[[u8; SIDE]; 2]| {
        let pixels = upper.iter().zip(lower);
        if colours {
            let halves = |(&a, &b)| Style::new().color256(shade(a)).on_color256(shade(b)).apply_to('▀');
            pixels.map(|pair| halves(pair).force_styling(true).to_string()).collect()
        } else {
            pixels.map(|(&a, &b)| [' ', '░', '▒', '▓', '█'][(usize::from(a) + usize::from(b)) * 4 / 510]).collect()
        }
    };
    pairs.iter().map(line).collect()
}

/// The nearest of the terminal's 24 shades of grey: 232 is nearly black, 255 nearly white.
fn shade(level: u8) -> u8 {
    232 + (u16::from(level) * 23 / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_eighths() {
        assert_eq!(
            [0.0, 0.125, 0.5, 0.9, 1.0, f32::NAN].map(|share| bar(share, 4)),
            ["", "▌", "██", "███▋", "████", ""]
        );
    }

    #[test]
    fn a_digit_has_14_lines_of_28_columns() {
        let mut image = [0; PIXELS];
        image[0] = 255;
        image[SIDE] = 255;
        let lines = digit(&image, false);
        assert_eq!((lines.len(), lines[0].chars().count()), (14, 28));
        assert!(lines[0].starts_with("█ "));
        assert!(
            digit(&image, true)[0].starts_with("\x1b[38;5;255m\x1b[48;5;255m▀\x1b[0m\x1b[38;5;232m\x1b[48;5;232m▀")
        );
    }
}
