//! The compiler's modules import one another in one direction: no circle of imports among its files, tests apart.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module by its path from the crate's root, and what it names of the crate.
type Modules = BTreeMap<Vec<String>, TokenStream>;

/// Reads a folder of modules.
fn read(folder: &Path, module: &[String], modules: &mut Modules) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("names are UTF-8").to_string();
        let child = match stem.as_str() {
            "lib" | "mod" => module.to_vec(),
            _ => module.iter().cloned().chain([stem]).collect(),
        };
        if path.is_dir() {
            read(&path, &child, modules);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("the file can be read");
            let mut file = syn::parse_file(&text).expect("the file is Rust");
            file.items.retain(|item| !is_test(item));
            modules.insert(child, file.into_token_stream());
        }
    }
}

/// Whether an item stands behind `#[cfg(test)]`.
fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| attribute.to_token_stream().to_string().replace(' ', "") == "#[cfg(test)]")
}

/// Modules that are declared behind `#[cfg(test)]`.
fn test_modules(folder: &Path, module: &[String], found: &mut BTreeSet<Vec<String>>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("names are UTF-8").to_string();
        if path.is_dir() {
            let child: Vec<String> = module.iter().cloned().chain([stem]).collect();
            test_modules(&path, &child, found);
        } else if stem == "lib" || stem == "mod" {
            let file = syn::parse_file(&fs::read_to_string(&path).expect("the file can be read")).expect("Rust");
            let tests = file.items.iter().filter(|item| is_test(item)).filter_map(|item| match item {
                syn::Item::Mod(item) => Some(item.ident.to_string()),
                _ => None,
            });
            found.extend(tests.map(|name| module.iter().cloned().chain([name]).collect()));
        }
    }
}

/// Every path in the tokens of `module` that begins in the crate.
fn paths(tokens: TokenStream, module: &[String], modules: &Modules, found: &mut BTreeSet<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            // `pub(super)` imports nothing.
            TokenTree::Group(_) if at > 0 && matches!(&tokens[at - 1], TokenTree::Ident(ident) if ident == "pub") => {}
            // What is quoted is generated code.
            TokenTree::Group(_) if is_quote(&tokens[..at]) => {}
            TokenTree::Group(group) => paths(group.stream(), module, modules, found),
            TokenTree::Ident(ident) if !follows_a_path(&tokens, at) => {
                let begin = match ident.to_string().as_str() {
                    "crate" => Some(Vec::new()),
                    "self" => Some(module.to_vec()),
                    "super" => Some(module[..module.len().saturating_sub(1)].to_vec()),
                    name => {
                        let child: Vec<String> = module.iter().cloned().chain([name.to_string()]).collect();
                        (modules.contains_key(&child) && is_separator(&tokens, at + 1)).then_some(child)
                    }
                };
                if let Some(begin) = begin {
                    follow(&tokens, at + 1, begin, found);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Whether tokens end with `quote!`.
fn is_quote(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Ident(name), TokenTree::Punct(mark)] if name == "quote" && mark.as_char() == '!')
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(tokens.get(at)) && colon(tokens.get(at + 1))
}

fn follows_a_path(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && is_separator(tokens, at - 2)
}

/// The path from `begin` on, with all branches of a `{…}` at its end.
fn follow(tokens: &[TokenTree], mut at: usize, mut path: Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    while is_separator(tokens, at) {
        match tokens.get(at + 2) {
            Some(TokenTree::Ident(ident)) if ident == "super" => drop(path.pop()),
            Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
                for branch in inside.split(comma) {
                    if let Some(TokenTree::Ident(first)) = branch.first() {
                        let own = path.iter().cloned().chain((first != "self").then(|| first.to_string())).collect();
                        follow(branch, 1, own, found);
                    }
                }
                return;
            }
            _ => break,
        }
        at += 3;
    }
    found.insert(path);
}

/// The modules that can be reached from `start`, with the one before each on the way.
fn reached(
    start: &[String],
    imports: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut before = BTreeMap::new();
    let mut open = vec![start.to_vec()];
    while let Some(module) = open.pop() {
        for next in imports.get(&module).into_iter().flatten() {
            if !before.contains_key(next) {
                before.insert(next.clone(), module.clone());
                open.push(next.clone());
            }
        }
    }
    before
}

#[test]
fn no_circle_of_imports() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut modules, mut tests) = (Modules::new(), BTreeSet::new());
    read(&source, &[], &mut modules);
    test_modules(&source, &[], &mut tests);
    modules.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
    assert!(modules.len() > 30, "only {} modules", modules.len());

    let mut imports: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, tokens) in &modules {
        let mut found = BTreeSet::new();
        paths(tokens.clone(), module, &modules, &mut found);
        let file = |mut path: Vec<String>| {
            while !modules.contains_key(&path) {
                path.pop();
            }
            path
        };
        let files = found.into_iter().map(file).filter(|other| other != module);
        imports.insert(module.clone(), files.collect());
    }

    let mut circles = BTreeMap::new();
    for module in modules.keys() {
        let before = reached(module, &imports);
        if !before.contains_key(module) {
            continue;
        }
        let mut circle = vec![module.clone()];
        let mut at = &before[module];
        while at != module {
            circle.push(at.clone());
            at = &before[at];
        }
        circle.push(module.clone());
        let text: Vec<String> = circle.iter().rev().map(|module| format!("crate::{}", module.join("::"))).collect();
        circle.sort();
        circle.dedup();
        circles.insert(circle, text.join(" -> "));
    }
    let circles: Vec<String> = circles.into_values().collect();
    assert!(circles.is_empty(), "modules import one another in a circle:\n{}", circles.join("\n"));
}
