//! The one error type of the compiler: what is wrong, where, where the values at odds came from, what would mend it.

use crate::source::{Source, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One error in a spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    title: String,
    primary: Option<(Span, String)>,
    context: Vec<(Span, String)>,
    notes: Vec<String>,
    helps: Vec<String>,
}

impl Diagnostic {
    /// An error that has no place in the text yet. `title` is one line in plain words: a name in it that has line breaks is
    /// escaped.
    pub fn new(title: impl Into<String>) -> Self {
        let mut title = title.into();
        if title.contains(char::is_control) {
            let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            title = title.chars().map(escaped).collect();
        }
        Self { title, primary: None, context: Vec::new(), notes: Vec::new(), helps: Vec::new() }
    }

    /// Where it is wrong; `label` stands under the marked text (it may be empty).
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some((span, label.into()));
        self
    }

    /// Another place that has to do with it.
    pub fn context(mut self, span: Span, label: impl Into<String>) -> Self {
        self.context.push((span, label.into()));
        self
    }

    /// A fact that explains the error.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// What would mend it.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }

    /// The place it points at.
    pub fn span(&self) -> Option<Span> {
        self.primary.as_ref().map(|(span, _)| span.clone())
    }

    /// The first line, without `error:`.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The whole text with the spec's lines, as a compiler would print it.
    pub fn render(&self, source: &Source) -> String {
        let end = source.text().len();
        // Of the text only the lines that the error is about: the renderer goes through all that it is given.
        let spans = || self.primary.iter().chain(&self.context).map(|(span, _)| span);
        // (What stands behind the last line break is shown at the end of the line before it.)
        let first = source.line(spans().map(|span| span.start).min().unwrap_or(0).min(end.saturating_sub(1)));
        let last = source.line(spans().map(|span| span.end).max().unwrap_or(0));
        let lines = source.lines(first, last);
        let clamp = |span: &Span| {
            let start = span.start.min(end);
            start - lines.start..span.end.clamp(start, end) - lines.start
        };
        let title = Level::ERROR.primary_title(self.title.as_str());
        let mut group = match &self.primary {
            None => Group::with_title(title),
            Some((span, label)) => {
                let mut snippet = Snippet::source(&source.text()[lines.clone()])
                    .line_start(first)
                    .path(source.path.as_str())
                    .annotation(annotation(AnnotationKind::Primary, clamp(span), label));
                for (span, label) in &self.context {
                    snippet = snippet.annotation(annotation(AnnotationKind::Context, clamp(span), label));
                }
                title.element(snippet)
            }
        };
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        for help in &self.helps {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        Renderer::plain().render(&[group])
    }

    /// [`Diagnostic::render`] without the leading `error: `, for a compiler that writes its own.
    pub fn message(&self, source: &Source) -> String {
        let text = self.render(source);
        text.strip_prefix("error: ").unwrap_or(&text).to_string()
    }
}

fn annotation<'a>(kind: AnnotationKind, span: Span, label: &'a str) -> annotate_snippets::Annotation<'a> {
    let annotation = kind.span(span);
    if label.is_empty() { annotation } else { annotation.label(label) }
}

/// The errors of one spec, in the order in which they were found.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
    /// Whether there was one more than are told.
    more: bool,
}

impl Diagnostics {
    /// The most errors that are told. Nobody reads more, and each is looked for a mend and written with the lines of the text.
    pub const MOST: usize = 100;

    /// Adds an error. The same line of a block, placed several times, is reported once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let same = |other: &Diagnostic| other.primary.is_some() && other.primary == diagnostic.primary;
        if self.found.iter().any(|other| same(other) || *other == diagnostic) {
            return;
        }
        if self.found.len() == Self::MOST {
            self.more = true;
            return;
        }
        self.found.push(diagnostic);
    }

    /// Whether no further error would be told: a stage that would only look for more may stop.
    pub fn is_full(&self) -> bool {
        self.more
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// The errors in the order of the text.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|d| d.span().map_or(0, |span| span.start));
        if self.more {
            self.found.push(Diagnostic::new(format!("there are more errors than these {}", Self::MOST)));
        }
        self.found
    }
}
