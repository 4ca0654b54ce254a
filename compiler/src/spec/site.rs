//! Where a layer stands in the text, and what it is called.

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use std::rc::Rc;

/// A layer in the text: what messages call it and which blocks placed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// The full name, `layer1.0.conv1`.
    pub name: String,
    /// The type, `conv2d`.
    pub kind: String,
    /// What messages call it: `` layer `conv1` (conv2d) ``.
    pub what: String,
    /// The layer's header, `[[layer]]`.
    pub span: Span,
    /// Its type, the value of `type =`.
    pub kind_span: Span,
    /// The line of the header, counted from 1.
    pub line: usize,
    /// The layers that placed the blocks around it, outermost first. All layers of an instance share them.
    pub placed: Rc<[Placed]>,
}

/// A layer that placed a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Where it names the block.
    pub span: Span,
    /// The instance that it made.
    pub instance: Rc<str>,
}

impl Site {
    /// The site of a layer of type `kind.0`, which is written at `kind.1`.
    pub fn layer(name: &str, kind: (&str, Span), span: Span, line: usize, placed: Rc<[Placed]>) -> Self {
        let (kind, kind_span) = kind;
        let what = format!("layer `{name}` ({kind})");
        Self { name: name.into(), kind: kind.into(), what, span, kind_span, line, placed }
    }

    /// The site of another table, such as `[network]`.
    pub fn table(what: &str, span: Span) -> Self {
        let (name, kind_span) = (what.to_string(), span.clone());
        Self { name: name.clone(), kind: name.clone(), what: name, span, kind_span, line: 0, placed: Rc::new([]) }
    }

    /// What messages call it: `` layer `conv1` (conv2d) ``.
    pub fn title(&self) -> &str {
        &self.what
    }

    /// An error at a place inside this layer, with the lines that placed the blocks around it.
    pub fn error(&self, title: impl Into<String>, span: Span, label: impl Into<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(title).at(span, label);
        for Placed { span, instance } in self.placed.iter() {
            diagnostic = diagnostic.context(span.clone(), format!("placed here as `{instance}`"));
        }
        diagnostic
    }
}

/// What a name may consist of, for messages.
pub const NAME_RULE: &str = "a name has letters, digits, `_`, `-` and `.`, and no part of it is empty";

/// Whether a layer or an input may be called so.
pub fn is_name(name: &str) -> bool {
    name.split('.').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-'))
}
