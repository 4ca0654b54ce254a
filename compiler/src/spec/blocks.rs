//! Blocks: their definitions.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::spec::args::Args;
use crate::spec::site::Site;
use crate::spec::table::{Key, Table, Value, ValueKind};
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
