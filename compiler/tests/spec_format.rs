//! The tables of layers in docs/spec-format.md are those of the compiler, and a layer reads the arguments that its table lists.
//!
//! `CASTNET_WRITE_DOCS=1 cargo test -p castnet-compiler --test spec_format` writes the page's tables anew.

use castnet_compiler::diagnostic::Diagnostics;
use castnet_compiler::layers::contract::{Arity, LayerType};
use castnet_compiler::layers::registry::LAYERS;
use castnet_compiler::spec::args::Args;
use castnet_compiler::spec::argument::Argument;
use castnet_compiler::spec::site::Site;
use castnet_compiler::spec::table::Table;
use std::path::Path;

const BEGIN: &str = "<!-- These tables are the compiler's: compiler/tests/spec_format.rs writes them. -->\n\n";
const END: &str = "\n<!-- The end of the compiler's tables. -->";

/// A row for each type, or for neighbours that differ in their names alone.
fn types() -> String {
    let mut rows: Vec<(Vec<&str>, String)> = Vec::new();
    for layer in LAYERS {
        let inputs = (layer.arity == Arity::Many).then(|| "`inputs` (two or more)".to_string());
        let arguments: Vec<String> =
            inputs.into_iter().chain(layer.arguments.iter().map(Argument::with_default)).collect();
        let arguments = if arguments.is_empty() { "–".to_string() } else { arguments.join(", ") };
        let rest = format!("{} | {arguments} |", layer.about);
        match rows.last_mut() {
            Some((names, before)) if *before == rest => names.push(layer.name),
            _ => rows.push((vec![layer.name], rest)),
        }
    }
    let rows = rows.into_iter().map(|(names, rest)| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        format!("| {} | {rest}\n", names.join(", "))
    });
    format!("| type | what it makes | arguments (default) |\n|---|---|---|\n{}", rows.collect::<String>())
}

/// A row for each argument; the same argument of several types is told once.
fn arguments() -> String {
    let mut rows: Vec<(&Argument, Vec<&str>)> = Vec::new();
    for LayerType { name, arguments, .. } in LAYERS {
        for argument in *arguments {
            let same = |other: &Argument| {
                (other.name, other.about, other.kind) == (argument.name, argument.about, argument.kind)
            };
            match rows.iter_mut().find(|(other, _)| same(other)) {
                Some((_, types)) => types.push(name),
                None => rows.push((argument, vec![name])),
            }
        }
    }
    rows.sort_by_key(|(argument, _)| argument.name);
    let twice = |name: &str| rows.iter().filter(|(argument, _)| argument.name == name).count() > 1;
    let rows = rows.iter().map(|(argument, types)| {
        let types: Vec<String> = types.iter().map(|name| format!("`{name}`")).collect();
        let of = if twice(argument.name) { format!(" of {}", types.join(", ")) } else { String::new() };
        format!("| `{}`{of} | {} | {} |\n", argument.name, argument.values(), argument.about)
    });
    format!("| argument | values | what it says |\n|---|---|---|\n{}", rows.collect::<String>())
}

#[test]
fn the_page_has_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec-format.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let begin = page.find(BEGIN).expect("the tables begin") + BEGIN.len();
    let end = page.find(END).expect("the tables end");
    let tables = format!("{}\n{}", types(), arguments());
    if std::env::var_os("CASTNET_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{tables}{}", &page[..begin], &page[end..])).expect("the page can be written");
        return;
    }
    assert!(page[begin..end] == tables, "CASTNET_WRITE_DOCS=1 writes the tables; they should be\n{tables}");
}

/// What a layer asks for while it reads an empty table.
#[test]
fn a_layer_reads_the_arguments_of_its_table() {
    for LayerType { name, arguments, parse, .. } in LAYERS {
        let (table, mut diagnostics) = (Table::default(), Diagnostics::default());
        let site = Site::layer("layer", (name, 0..0), 0..0, 1, [].into());
        let mut args = Args::new(&site, &table, &mut diagnostics).with(arguments);
        let _ = parse(&mut args);
        let mut asked: Vec<&str> = args.asked().to_vec();
        // Names of layers are read by what places the layer.
        asked.extend(arguments.iter().filter(|argument| argument.is_reference()).map(|argument| argument.name));
        asked.sort_unstable();
        asked.dedup();
        let mut known: Vec<&str> = arguments.iter().map(|argument| argument.name).collect();
        known.sort_unstable();
        assert_eq!(asked, known, "{name}");
    }
}
