//! The text of one spec and where it came from.

use std::ops::Range;

/// Bytes of the spec's text.
pub type Span = Range<usize>;

/// A spec's text with the path that messages show.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as the user wrote it, or a description such as `spec of Net` for TOML in place.
    pub path: String,
    /// The TOML text.
    pub text: String,
}

impl Source {
    /// A source from its path (as messages should show it) and its text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// The line of a byte offset, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|&&b| b == b'\n').count() + 1
    }
}
