//! Snapshots of the inference program's code: one small network for each kind of call, and of what it becomes the items of that call
//! alone. After a change `cargo insta test --accept -p castnet-compiler` writes them anew; read the difference.

mod convolution;
mod first;
mod maps;
mod passes;
mod plain;
mod winograd;

use super::{Files, Item, network};
use crate::tokens::mentions;
use crate::{Source, compile};
use proc_macro2::Ident;
use quote::{ToTokens, format_ident, quote};
use syn::{Expr, Item as Syntax, Stmt};

/// What stands behind the name of a layer or a value in the names of its items.
const SUFFIXES: [&str; 7] = ["", "_frozen", "_packed", "_pack", "_blocked", "_to_blocked", "_to_plain"];

/// The items of the inference program for layers, values and passes of these names, as rustfmt would write them.
///
/// `header` and each layer are lines of the spec, separated by `; `.
#[track_caller]
fn items(header: &str, layers: &[&str], names: &[&str]) -> String {
    let lines = |table: &str, text: &str| format!("{table}\n{}\n", text.replace("; ", "\n"));
    let layers: String = layers.iter().map(|layer| lines("\n[[layer]]", layer)).collect();
    let source = Source::new("net.toml", lines("[network]", header) + &layers);
    let compiled = compile(&source).unwrap_or_else(|failure| panic!("{}", failure.render(&source)));
    let item = Item { attributes: quote!(), vis: quote!(), name: format_ident!("Net"), krate: quote!(::castnet) };
    let tokens = network(&item, &source, &compiled, &Files::default());
    let all = inside(syn::parse2(tokens).expect("the emitted code is Rust"));
    let mut items = Vec::new();
    for name in names {
        let before = items.len();
        items.extend(all.iter().filter(|item| belongs(item, name) && is_for_inference(item, &all)).cloned());
        assert!(items.len() > before, "nothing of the inference program belongs to `{name}`");
    }
    prettyplease::unparse(&syn::File { items, ..syn::parse_quote!() })
}

/// The items in the module of the generated code, which stands in the `const _` of the emitted code.
fn inside(file: syn::File) -> Vec<Syntax> {
    let constants = file.items.into_iter().filter_map(|item| match item {
        Syntax::Const(constant) => Some(*constant.expr),
        _ => None,
    });
    let statements = constants.flat_map(|body| match body {
        Expr::Block(body) => body.block.stmts,
        _ => Vec::new(),
    });
    let modules = statements.filter_map(|statement| match statement {
        Stmt::Item(Syntax::Mod(module)) => module.content,
        _ => None,
    });
    modules.flat_map(|(_, items)| items).collect()
}

fn name(item: &Syntax) -> Option<&Ident> {
    match item {
        Syntax::Fn(item) => Some(&item.sig.ident),
        Syntax::Const(item) => Some(&item.ident),
        Syntax::Static(item) => Some(&item.ident),
        Syntax::Mod(item) => Some(&item.ident),
        _ => None,
    }
}

/// Whether an item is the layer's, the value's or the pass's of this name.
fn belongs(item: &Syntax, owner: &str) -> bool {
    let name = name(item).map(|name| name.to_string().to_lowercase());
    SUFFIXES.iter().any(|suffix| name.as_deref() == Some(&format!("{owner}{suffix}")))
}

/// Whether an item is the inference program's: of what training has too, only the descriptors that its items name.
fn is_for_inference(item: &Syntax, all: &[Syntax]) -> bool {
    let Some(name) = name(item).map(Ident::to_string) else { return false };
    let own = |name: &str| {
        let name = name.to_lowercase();
        SUFFIXES[1..].iter().any(|suffix| name.ends_with(suffix))
            || name.contains("_pass")
            || ["frozen", "pack", "head", "tail"].contains(&name.as_str())
    };
    let named_by = |other: &&Syntax| mentions(&other.to_token_stream(), &name);
    let by_own = |other: &&Syntax| self::name(other).is_some_and(|name| own(&name.to_string()));
    own(&name) || matches!(item, Syntax::Static(_)) && all.iter().filter(by_own).any(|other| named_by(&other))
}
