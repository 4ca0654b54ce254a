//! Parameters of blocks: what each is where a block is placed, and `$name` put in place.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Span;
use crate::spec::blocks::Block;
use crate::spec::table::{Table, Value, ValueKind};
use crate::suggest::nearest;
use std::collections::HashMap;

/// What the placing of blocks may still copy. A block that places another with `with = { x = ["$x", "$x"] }` doubles a value, and so
/// does each block around it.
#[derive(Debug)]
pub struct Copies {
    left: usize,
}

impl Default for Copies {
    /// Nothing is copied yet.
    fn default() -> Self {
        Self { left: Self::MOST }
    }
}

impl Copies {
    /// The most values in all placed layers together, 50 for each of the 20,000 layers that a network may have. A text counts as
    /// one for every [`Copies::LETTERS`].
    const MOST: usize = 1_000_000;
    /// As deep as TOML's own lists may be nested; what `$name`s put inside one another may be no deeper.
    const DEPTH: usize = 80;
    const LETTERS: usize = 32;

    /// Counts one value, so many lists and tables deep. Past the limits it is an error, and nothing more is to be copied.
    fn count(&mut self, value: &Value, depth: usize, span: &Span, diagnostics: &mut Diagnostics) -> bool {
        if self.is_spent() {
            return false;
        }
        let letters = match &value.kind {
            ValueKind::String(text) => text.len(),
            ValueKind::Table(table) => table.keys().map(str::len).sum(),
            _ => 0,
        };
        self.left = self.left.saturating_sub(1 + letters / Self::LETTERS);
        let title = match () {
            () if self.is_spent() => format!("the placed layers hold more than {} values", Self::MOST),
            () if depth > Self::DEPTH => format!("a value is nested more than {} deep", Self::DEPTH),
            () => return true,
        };
        self.left = 0;
        diagnostics.push(Diagnostic::new(title).at(span.clone(), "while this was being placed"));
        false
    }

    /// Whether nothing more is to be copied.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }
}

/// The parameters that layers of one placed block see.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The block, or `None` at the top of the file.
    pub block: Option<&'a Block>,
    /// Values by name.
    pub values: &'a HashMap<&'a str, &'a Value>,
}

impl Scope<'_> {
    /// `table` with every `"$name"` replaced by its value.
    pub fn substitute(&self, table: &Table, copies: &mut Copies, diagnostics: &mut Diagnostics) -> Table {
        self.substitute_at(table, 0, copies, diagnostics)
    }

    fn substitute_at(&self, table: &Table, depth: usize, copies: &mut Copies, diagnostics: &mut Diagnostics) -> Table {
        let entries = table.entries.iter().map_while(|(key, value)| {
            let value = self.replace(value, depth, copies, diagnostics)?;
            Some((key.clone(), value))
        });
        Table { entries: entries.collect(), span: table.span.clone() }
    }

    /// `None` past the limits.
    fn replace(
        &self,
        value: &Value,
        depth: usize,
        copies: &mut Copies,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        if !copies.count(value, depth, &value.span, diagnostics) {
            return None;
        }
        let kind = match &value.kind {
            ValueKind::String(text) if text.starts_with('$') => {
                return self.look_up(&text[1..], value, depth, copies, diagnostics);
            }
            ValueKind::Array(items) => {
                let items = items.iter().map_while(|item| self.replace(item, depth + 1, copies, diagnostics));
                ValueKind::Array(items.collect())
            }
            ValueKind::Table(table) => ValueKind::Table(self.substitute_at(table, depth + 1, copies, diagnostics)),
            other => other.clone(),
        };
        Some(Value { kind, span: value.span.clone(), given: value.given.clone() })
    }

    fn look_up(
        &self,
        name: &str,
        value: &Value,
        depth: usize,
        copies: &mut Copies,
        diagnostics: &mut Diagnostics,
    ) -> Option<Value> {
        let Some(block) = self.block else {
            let title = format!("`${name}` stands outside of a block");
            diagnostics.push(
                Diagnostic::new(title)
                    .at(value.span.clone(), "only a layer of a block can name a parameter")
                    .help("write the value itself"),
            );
            return Some(value.clone());
        };
        block.used.borrow_mut().insert(name.to_string());
        if let Some(found) = self.values.get(name) {
            let origin = found.given.as_ref().map_or(&found.span, |(_, span)| span);
            let mut relocation = Relocation { span: &value.span, name, origin, copies, diagnostics };
            return relocation.of(found, depth);
        }
        block.complete.set(false);
        if diagnostics.is_full() {
            return Some(value.clone());
        }
        let title = format!("block `{}` has no parameter `{name}`", block.key.name);
        let diagnostic = Diagnostic::new(title).at(value.span.clone(), "not a parameter of this block");
        diagnostics.push(match nearest(name, block.params.keys()) {
            Some(near) => diagnostic.help(format!("did you mean `${near}`?")),
            None => diagnostic.help(format!("add it to the block: params = {{ {name} = … }}")),
        });
        Some(value.clone())
    }
}

/// Puts a value in the place of a `$name`.
struct Relocation<'a> {
    span: &'a Span,
    name: &'a str,
    origin: &'a Span,
    copies: &'a mut Copies,
    diagnostics: &'a mut Diagnostics,
}

impl Relocation<'_> {
    /// The value with every part of it placed at the `$name`; `None` past the limits.
    fn of(&mut self, value: &Value, depth: usize) -> Option<Value> {
        if !self.copies.count(value, depth, self.span, self.diagnostics) {
            return None;
        }
        let kind = match &value.kind {
            ValueKind::Array(items) => {
                ValueKind::Array(items.iter().map_while(|item| self.of(item, depth + 1)).collect())
            }
            ValueKind::Table(table) => {
                let entries = table.entries.iter();
                let entries = entries.map_while(|(key, value)| Some((key.clone(), self.of(value, depth + 1)?)));
                ValueKind::Table(Table { entries: entries.collect(), span: table.span.clone() })
            }
            other => other.clone(),
        };
        Some(Value { kind, span: self.span.clone(), given: Some((self.name.to_string(), self.origin.clone())) })
    }
}

/// The parameters of one placing: the block's defaults, with `with` over them.
pub fn bind<'a>(
    block: &'a Block,
    with: Option<&'a Value>,
    copies: &mut Copies,
    diagnostics: &mut Diagnostics,
) -> HashMap<&'a str, &'a Value> {
    let mut values = HashMap::new();
    for (key, value) in &block.params.entries {
        if !copies.count(value, 0, &value.span, diagnostics) {
            return values;
        }
        values.insert(key.name.as_str(), value);
    }
    let Some(with) = with else { return values };
    let ValueKind::Table(table) = &with.kind else {
        let title = format!("`with` must be a table of parameters, not {}", with.describe());
        diagnostics.push(Diagnostic::new(title).at(with.span.clone(), "write with = { channels = 128 }"));
        return values;
    };
    for (key, value) in &table.entries {
        match values.get_mut(key.name.as_str()) {
            Some(slot) => *slot = value,
            None if diagnostics.is_full() => break,
            None => {
                let title = format!("block `{}` has no parameter `{}`", block.key.name, key.name);
                let diagnostic = Diagnostic::new(title)
                    .at(key.span.clone(), "not a parameter of this block")
                    .context(block.key.span.clone(), "the block");
                diagnostics.push(match nearest(&key.name, block.params.keys()) {
                    Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                    None => diagnostic,
                });
            }
        }
    }
    values
}
