//! Names and modules of generated tests.

use std::collections::{BTreeMap, BTreeSet};

/// Tests in modules, as folders hold files.
#[derive(Default)]
pub struct Module {
    modules: BTreeMap<String, Module>,
    names: BTreeSet<String>,
    body: String,
}

impl Module {
    /// The module at a path of names that need not be identifiers.
    pub fn at<'a>(&mut self, path: impl IntoIterator<Item = &'a str>) -> &mut Module {
        path.into_iter().fold(self, |module, name| module.modules.entry(identifier(name)).or_default())
    }

    /// An identifier for this name, different from all others that the module gave out.
    pub fn name(&mut self, name: &str) -> String {
        let name = identifier(name);
        let mut unique = name.clone();
        for count in 2.. {
            if self.names.insert(unique.clone()) {
                break;
            }
            unique = format!("{name}_{count}");
        }
        unique
    }

    /// Adds items.
    pub fn push(&mut self, items: &str) {
        self.body.push_str(items);
    }

    /// The text of everything in it.
    pub fn text(&self) -> String {
        let mut text = self.body.clone();
        for (name, module) in &self.modules {
            // A folder and a file of one name must not meet.
            let taken = self.names.contains(name);
            let name = if taken { format!("{name}_folder") } else { name.clone() };
            text.push_str(&format!("mod {name} {{\n{}}}\n", module.text()));
        }
        text
    }
}

/// The name with `_` for what an identifier cannot hold; never a keyword.
pub fn identifier(name: &str) -> String {
    let mut text: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        text.insert_str(0, "case_");
    }
    const KEYWORDS: [&str; 52] = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
        "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
        "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super",
        "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
        "union",
    ];
    if KEYWORDS.contains(&text.as_str()) {
        text.push('_');
    }
    text
}
