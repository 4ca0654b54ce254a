//! First stage: TOML text -> tables with a span on every value. Nothing is interpreted here.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{Source, Span};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A TOML value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: ValueKind,
    /// Where it is written; for a block's `$name`, where that stands.
    pub span: Span,
    /// For a value that came in through `$name`: the name, and where the value itself is written.
    pub given: Option<(String, Span)>,
}

/// The kinds of TOML values.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum ValueKind {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Value>),
    Table(Table),
    Datetime,
}

impl Value {
    /// The value in words, for messages: `a number`, `the text "same"`.
    pub fn describe(&self) -> String {
        match &self.kind {
            ValueKind::String(s) => format!("the text {s:?}"),
            ValueKind::Integer(i) => format!("the number {i}"),
            ValueKind::Float(f) => format!("the number {f:?}"),
            ValueKind::Boolean(b) => format!("{b}"),
            ValueKind::Array(a) => format!("a list of {}", a.len()),
            ValueKind::Table(_) => "a table".into(),
            ValueKind::Datetime => "a date".into(),
        }
    }

    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            ValueKind::String(s) => Some(s),
            _ => None,
        }
    }
}

/// A key and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key, without quotes.
    pub name: String,
    /// Where it is written.
    pub span: Span,
}

/// A TOML table in the order of the text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Keys and values.
    pub entries: Vec<(Key, Value)>,
    /// The table's header, or the braces of an inline table.
    pub span: Span,
}

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key with its value.
    pub fn entry(&self, key: &str) -> Option<&(Key, Value)> {
        self.entries.iter().find(|(k, _)| k.name == key)
    }

    /// The names of the keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(k, _)| k.name.as_str())
    }
}

/// Reads the text. What TOML refuses becomes a diagnostic at its place.
pub fn parse(source: &Source) -> Result<Table, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let (table, errors) = DeTable::parse_recoverable(source.text());
    for error in errors {
        let end = source.text().len();
        let span = error.span().unwrap_or(end..end);
        let message = error.message().trim_end();
        diagnostics.push(Diagnostic::new(format!("this is not valid TOML: {message}")).at(span, "here"));
        // Where a bracket is not closed, all that follows is read as if it stood inside.
        if ["array element", "inline table", "unclosed"].iter().any(|word| message.contains(word)) {
            break;
        }
    }
    let span = table.span();
    let table = read_table(table.get_ref(), span, &mut diagnostics);
    if diagnostics.is_empty() { Ok(table) } else { Err(diagnostics) }
}

fn read_table(table: &DeTable<'_>, span: Span, diagnostics: &mut Diagnostics) -> Table {
    let mut entries: Vec<(Key, Value)> = table
        .iter()
        .map(|(key, value)| {
            let key = Key { name: key.get_ref().to_string(), span: key.span() };
            (key, read_value(value, diagnostics))
        })
        .collect();
    // The parser's map is sorted by name; the order of the text has a meaning (the first input, parameters of a block).
    entries.sort_by_key(|(key, _)| key.span.start);
    Table { entries, span }
}

fn read_value(value: &Spanned<DeValue<'_>>, diagnostics: &mut Diagnostics) -> Value {
    let span = value.span();
    let kind = match value.get_ref() {
        DeValue::String(s) => ValueKind::String(s.to_string()),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(i) => ValueKind::Integer(i),
            Err(_) => {
                let title = format!("the number {} does not fit into 64 bits", i.as_str());
                diagnostics.push(Diagnostic::new(title).at(span.clone(), "too large"));
                ValueKind::Integer(1)
            }
        },
        DeValue::Float(f) => match f.as_str().parse::<f64>() {
            Ok(f) => ValueKind::Float(f),
            Err(_) => {
                let title = format!("{} is not a number", f.as_str());
                diagnostics.push(Diagnostic::new(title).at(span.clone(), "not a number"));
                ValueKind::Float(1.0)
            }
        },
        DeValue::Boolean(b) => ValueKind::Boolean(*b),
        DeValue::Datetime(_) => ValueKind::Datetime,
        DeValue::Array(items) => ValueKind::Array(items.iter().map(|item| read_value(item, diagnostics)).collect()),
        DeValue::Table(table) => ValueKind::Table(read_table(table, span.clone(), diagnostics)),
    };
    Value { kind, span, given: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_bracket_is_one_error() {
        let source = Source::new("net.toml", "[network]\ninput = [3, 8\n\n[[layer]]\ntype = \"relu\"\n");
        assert_eq!(parse(&source).unwrap_err().len(), 1);
        let source = Source::new("net.toml", "[network]\ninput = [3]\ninput = [4]\n[[layer]]\ntype = relu\n");
        assert_eq!(parse(&source).unwrap_err().len(), 2);
    }
}
