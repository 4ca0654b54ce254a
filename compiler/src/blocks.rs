//! Blocks: their definitions, their parameters, and `$name` put in place.

use crate::args::{Args, Site};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Span;
use crate::spec::{Key, Table, Value, ValueKind};
use crate::suggest::nearest;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// A run of layers with parameters.
#[derive(Debug)]
pub struct Block {
    /// Its name and where that is written.
    pub key: Key,
    /// Parameters with their defaults.
    pub params: Table,
    /// The layers' tables.
    pub layers: Vec<Table>,
    /// Whether a layer places it, or means to.
    pub placed: Cell<bool>,
    /// Whether all `$name`s in it have been seen and are known, so that the parameters that none named are unused.
    pub complete: Cell<bool>,
    /// The parameters that a `$name` in it names.
    pub used: RefCell<BTreeSet<String>>,
}

/// Reads `[block.*]`.
pub fn read(root: &Table, diagnostics: &mut Diagnostics) -> Vec<Block> {
    let Some(value) = root.get("block") else { return Vec::new() };
    let ValueKind::Table(table) = &value.kind else {
        diagnostics.push(
            Diagnostic::new("`block` must hold blocks by name")
                .at(value.span.clone(), "write [block.name] and [[block.name.layer]]"),
        );
        return Vec::new();
    };
    table.entries.iter().filter_map(|(key, value)| read_block(key, value, diagnostics)).collect()
}

fn read_block(key: &Key, value: &Value, diagnostics: &mut Diagnostics) -> Option<Block> {
    let ValueKind::Table(table) = &value.kind else {
        let title = format!("block `{}` must be a table, not {}", key.name, value.describe());
        diagnostics.push(Diagnostic::new(title).at(value.span.clone(), "write [block.name] and [[block.name.layer]]"));
        return None;
    };
    let site = Site::table(&format!("block `{}`", key.name), table.span.clone());
    let mut args = Args::new(&site, table, diagnostics);
    let params = match args.value("params") {
        None => Table::default(),
        Some(Value { kind: ValueKind::Table(params), .. }) => params,
        Some(other) => {
            let title = format!("block `{}`: params must be a table of names and defaults", key.name);
            args.refuse(&other, title, "write params = { channels = 64 }");
            Table::default()
        }
    };
    args.value("layer");
    args.finish();
    let layers = read_layers(table, diagnostics);
    if layers.is_empty() {
        let title = format!("block `{}` has no layers", key.name);
        diagnostics.push(
            Diagnostic::new(title)
                .at(key.span.clone(), "nothing to place")
                .help(format!("add layers as [[block.{}.layer]]", key.name)),
        );
    }
    Some(Block {
        key: key.clone(),
        params,
        layers,
        placed: Cell::new(false),
        complete: Cell::new(false),
        used: RefCell::default(),
    })
}

/// The tables under `[[layer]]`.
pub fn read_layers(table: &Table, diagnostics: &mut Diagnostics) -> Vec<Table> {
    let Some(value) = table.get("layer") else { return Vec::new() };
    let wrong = |value: &Value| {
        Diagnostic::new(format!("`layer` must be a list of tables, not {}", value.describe()))
            .at(value.span.clone(), "write each layer as [[layer]]")
    };
    let ValueKind::Array(items) = &value.kind else {
        diagnostics.push(wrong(value));
        return Vec::new();
    };
    let mut tables = Vec::new();
    for item in items {
        match &item.kind {
            ValueKind::Table(table) => tables.push(table.clone()),
            _ => diagnostics.push(wrong(item)),
        }
    }
    tables
}

/// The parameters that layers of one placed block see.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The block, or `None` at the top of the file.
    pub block: Option<&'a Block>,
    /// Values by name.
    pub values: &'a [(String, Value)],
}

impl Scope<'_> {
    /// `table` with every `"$name"` replaced by its value.
    pub fn substitute(&self, table: &Table, diagnostics: &mut Diagnostics) -> Table {
        let entries = table.entries.iter();
        let entries = entries.map(|(key, value)| (key.clone(), self.replace(value, diagnostics))).collect();
        Table { entries, span: table.span.clone() }
    }

    fn replace(&self, value: &Value, diagnostics: &mut Diagnostics) -> Value {
        let kind = match &value.kind {
            ValueKind::String(text) if text.starts_with('$') => return self.look_up(&text[1..], value, diagnostics),
            ValueKind::Array(items) => {
                ValueKind::Array(items.iter().map(|item| self.replace(item, diagnostics)).collect())
            }
            ValueKind::Table(table) => ValueKind::Table(self.substitute(table, diagnostics)),
            other => other.clone(),
        };
        Value { kind, ..value.clone() }
    }

    fn look_up(&self, name: &str, value: &Value, diagnostics: &mut Diagnostics) -> Value {
        let Some(block) = self.block else {
            let title = format!("`${name}` stands outside of a block");
            diagnostics.push(
                Diagnostic::new(title)
                    .at(value.span.clone(), "only a layer of a block can name a parameter")
                    .help("write the value itself"),
            );
            return value.clone();
        };
        block.used.borrow_mut().insert(name.to_string());
        if let Some((_, found)) = self.values.iter().find(|(known, _)| known == name) {
            let origin = found.given.as_ref().map_or(&found.span, |(_, span)| span);
            return relocate(found, &value.span, name, origin);
        }
        block.complete.set(false);
        let title = format!("block `{}` has no parameter `{name}`", block.key.name);
        let diagnostic = Diagnostic::new(title).at(value.span.clone(), "not a parameter of this block");
        diagnostics.push(match nearest(name, block.params.keys()) {
            Some(near) => diagnostic.help(format!("did you mean `${near}`?")),
            None => diagnostic.help(format!("add it to the block: params = {{ {name} = … }}")),
        });
        value.clone()
    }
}

/// The value with every part of it placed at `span`, given by `$name` at `origin`.
fn relocate(value: &Value, span: &Span, name: &str, origin: &Span) -> Value {
    let kind = match &value.kind {
        ValueKind::Array(items) => {
            ValueKind::Array(items.iter().map(|item| relocate(item, span, name, origin)).collect())
        }
        other => other.clone(),
    };
    Value { kind, span: span.clone(), given: Some((name.to_string(), origin.clone())) }
}

/// The parameters of one placing: the block's defaults, with `with` over them.
pub fn bind(block: &Block, with: Option<&Value>, diagnostics: &mut Diagnostics) -> Vec<(String, Value)> {
    let mut values: Vec<(String, Value)> =
        block.params.entries.iter().map(|(key, value)| (key.name.clone(), value.clone())).collect();
    let Some(with) = with else { return values };
    let ValueKind::Table(table) = &with.kind else {
        let title = format!("`with` must be a table of parameters, not {}", with.describe());
        diagnostics.push(Diagnostic::new(title).at(with.span.clone(), "write with = { channels = 128 }"));
        return values;
    };
    for (key, value) in &table.entries {
        match values.iter_mut().find(|(name, _)| *name == key.name) {
            Some(slot) => slot.1 = value.clone(),
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

/// Reports blocks that nothing places and parameters that nothing names.
pub fn report_unused(blocks: &[Block], diagnostics: &mut Diagnostics) {
    for block in blocks {
        if !block.placed.get() {
            let title = format!("block `{}` is never placed", block.key.name);
            diagnostics.push(
                Diagnostic::new(title)
                    .at(block.key.span.clone(), "no layer says block = this name")
                    .help(format!("place it with [[layer]] block = {:?}, or remove it", block.key.name)),
            );
            continue;
        }
        for (key, _) in block.params.entries.iter().filter(|_| block.complete.get()) {
            if !block.used.borrow().contains(&key.name) {
                let title = format!("block `{}` never uses its parameter `{}`", block.key.name, key.name);
                diagnostics.push(
                    Diagnostic::new(title)
                        .at(key.span.clone(), format!("no layer of the block says \"${}\"", key.name))
                        .help("use it or remove it"),
                );
            }
        }
    }
}
