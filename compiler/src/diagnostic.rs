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
        let end = source.text.len();
        let clamp = |span: &Span| span.start.min(end)..span.end.clamp(span.start.min(end), end);
        let title = Level::ERROR.primary_title(self.title.as_str());
        let mut group = match &self.primary {
            None => Group::with_title(title),
            Some((span, label)) => {
                let mut snippet = Snippet::source(source.text.as_str())
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
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds an error. The same line of a block, placed several times, is reported once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let same = |other: &Diagnostic| other.primary.is_some() && other.primary == diagnostic.primary;
        if !self.0.iter().any(|other| same(other) || *other == diagnostic) {
            self.0.push(diagnostic);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The errors in the order of the text.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.0.sort_by_key(|d| d.span().map_or(0, |span| span.start));
        self.0
    }
}
