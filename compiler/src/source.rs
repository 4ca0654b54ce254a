//! The text of one spec and where it came from.

use std::ops::Range;

/// Bytes of the spec's text.
pub type Span = Range<usize>;

/// A spec's text with the path that messages show.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as the user wrote it, or a description such as `spec of Net` for TOML in place.
    pub path: String,
    text: String,
    /// Where each line ends, in order: a line's number is asked for once for every layer.
    line_ends: Vec<usize>,
}

impl Source {
    /// A source from its path (as messages should show it) and its text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at).collect();
        Self { path: path.into(), text, line_ends }
    }

    /// The TOML text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line of a byte offset, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|&end| end < offset) + 1
    }

    /// The bytes of the lines from `first` to `last`, counted from 1.
    pub fn lines(&self, first: usize, last: usize) -> Span {
        let end = |line: usize| self.line_ends.get(line - 1).map_or(self.text.len(), |&end| end + 1);
        let start = if first > 1 { end(first - 1) } else { 0 };
        start..end(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_its_line_break() {
        let source = Source::new("net.toml", "a\n\nbc");
        assert_eq!([0, 1, 2, 3, 4, 5, 99].map(|offset| source.line(offset)), [1, 1, 2, 3, 3, 3, 3]);
        assert_eq!(
            [(1, 1), (2, 2), (3, 3), (1, 3), (2, 9)].map(|(first, last)| source.lines(first, last)),
            [0..2, 2..3, 3..5, 0..5, 2..5]
        );
        let empty = Source::new("net.toml", "");
        assert_eq!((empty.line(0), empty.lines(1, 1)), (1, 0..0));
    }
}
