//! What the examples print.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

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
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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

/// Whether the output may have colours: it is a terminal, and the user did not say no (<https://no-color.org>).
pub fn has_colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !refused && !dumb
}

/// A digit as 14 lines of 28 columns, each character two pixels: half blocks in shades of grey, or blocks of five
/// densities where there are no colours.
pub fn digit(image: &[u8; PIXELS], colours: bool) -> Vec<String> {
    let (rows, _) = image.as_chunks::<SIDE>();
    let (pairs, _) = rows.as_chunks::<2>();
    let line = |[upper, lower]: &[[u8; SIDE]; 2]| {
        let pixels = upper.iter().zip(lower);
        if colours {
            let mut line: String =
                pixels.map(|(&a, &b)| format!("\x1b[38;5;{};48;5;{}m▀", shade(a), shade(b))).collect();
            line.push_str("\x1b[0m");
            line
        } else {
            pixels.map(|(&a, &b)| [' ', '░', '▒', '▓', '█'][(usize::from(a) + usize::from(b)) * 4 / 510]).collect()
        }
    };
    pairs.iter().map(line).collect()
}

/// The nearest of the terminal's 24 shades of grey: 232 is nearly black, 255 nearly white.
fn shade(level: u8) -> usize {
    232 + usize::from(level) * 23 / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown = [0, 7, 999, 1000, 61706, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "7", "999", "1,000", "61,706", "1,234,567"]);
    }

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
        assert!(digit(&image, true)[0].starts_with("\x1b[38;5;255;48;5;255m▀\x1b[38;5;232;48;5;232m▀"));
    }
}
