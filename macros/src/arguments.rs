//! What stands between the parentheses of `#[castnet::network(…)]`.

use castnet_compiler::Source;
use proc_macro2::{Ident, Span};
use std::path::{Path, PathBuf};
use syn::parse::{Parse, ParseStream};

/// The spec, and the weights that are built in.
pub(crate) struct Arguments {
    spec: Spec,
    /// The path of a safetensors file.
    pub weights: Option<syn::LitStr>,
}

/// A path, or the spec itself.
enum Spec {
    Path(syn::LitStr),
    InPlace(syn::LitStr),
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let usage = "write a path, `\"specs/net.toml\"`, or the spec itself, `spec = r#\"…\"#`";
        let spec = if input.peek(syn::LitStr) {
            Spec::Path(input.parse()?)
        } else {
            Spec::InPlace(value(input, "spec", usage)?)
        };
        comma(input, usage)?;
        let usage =
            "after the spec there may be a file with its weights, `weights = \"net.safetensors\"`, and nothing else";
        let weights = if input.is_empty() { None } else { Some(value(input, "weights", usage)?) };
        comma(input, usage)?;
        if input.is_empty() { Ok(Self { spec, weights }) } else { Err(input.error(usage)) }
    }
}

/// `key = "…"`.
fn value(input: ParseStream<'_>, key: &str, usage: &str) -> syn::Result<syn::LitStr> {
    let found: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), usage))?;
    if found != key {
        return Err(syn::Error::new(found.span(), usage));
    }
    input.parse::<syn::Token![=]>()?;
    input.parse()
}

/// A comma, or the end.
fn comma(input: ParseStream<'_>, usage: &str) -> syn::Result<()> {
    if !input.is_empty() && input.parse::<Option<syn::Token![,]>>()?.is_none() {
        return Err(input.error(usage));
    }
    Ok(())
}

impl Arguments {
    /// The literal of the spec: what errors in it point at.
    pub fn span(&self) -> Span {
        match &self.spec {
            Spec::Path(literal) | Spec::InPlace(literal) => literal.span(),
        }
    }

    /// The spec, and the absolute path of its file, which the generated code tracks. The error is a whole message.
    pub fn read_spec(&self, name: &Ident) -> Result<(Source, Option<String>), String> {
        let literal = match &self.spec {
            Spec::InPlace(spec) => return Ok((Source::new(format!("the spec of {name}"), spec.value()), None)),
            Spec::Path(path) => path,
        };
        let written = literal.value();
        let (path, text) = read("spec", literal)?;
        let text = String::from_utf8(text).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
            format!("the spec {written:?} is not UTF-8: line {line} of {}", path.display())
        })?;
        Ok((Source::new(written, text), path.to_str().map(str::to_string)))
    }
}

/// The bytes of a file with weights, and its absolute path. The error is a whole message.
pub(crate) fn read_weights(literal: &syn::LitStr) -> Result<(String, Vec<u8>), String> {
    let (path, bytes) = read("weights", literal)?;
    match path.to_str() {
        Some(path) => Ok((path.into(), bytes)),
        None => Err(format!("{} cannot be built in: its path is not UTF-8", path.display())),
    }
}

/// A file and its absolute path.
fn read(what: &str, literal: &syn::LitStr) -> Result<(PathBuf, Vec<u8>), String> {
    let written = literal.value();
    let path = resolve(&written, literal.span())?;
    match std::fs::read(&path) {
        Ok(bytes) => Ok((path, bytes)),
        Err(error) => {
            let (base, shown) =
                (if is_beside(&written) { "the source file's folder" } else { "the crate's manifest" }, path.display());
            Err(format!("cannot read the {what} {written:?}: {error}\n\ntried {shown}\nthe path is relative to {base}"))
        }
    }
}

/// Whether a path is meant from the source file rather than from the manifest.
fn is_beside(path: &str) -> bool {
    path.starts_with("./")
}

fn resolve(written: &str, span: Span) -> Result<PathBuf, String> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    if !is_beside(written) {
        return Ok(manifest.join(written));
    }
    let file = span.unwrap().local_file().ok_or("a path with ./ needs a source file on disk; here there is none")?;
    let folder = file.parent().unwrap_or(Path::new(""));
    // The compiler names files relative to where it runs: the workspace's root for members, the package for others.
    if folder.is_absolute() {
        return Ok(folder.join(written));
    }
    let working = std::env::current_dir().unwrap_or_default();
    let candidates = [working.join(folder), manifest.join(folder)];
    let found = candidates.iter().find(|folder| folder.join(written).exists()).unwrap_or(&candidates[0]);
    Ok(found.join(written))
}
