//! What stands between the parentheses of `#[castnet::network(…)]`.

use super::Source;
use proc_macro2::{Ident, Span};
use std::path::{Path, PathBuf};
use syn::parse::{Parse, ParseStream};

/// A path, or the spec itself.
pub(crate) enum Arguments {
    Path(syn::LitStr),
    Spec(syn::LitStr),
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let usage = "write a path, `\"specs/net.toml\"`, or the spec itself, `spec = r#\"…\"#`";
        if input.peek(syn::LitStr) {
            let path = input.parse()?;
            input.parse::<Option<syn::Token![,]>>()?;
            return if input.is_empty() { Ok(Self::Path(path)) } else { Err(input.error(usage)) };
        }
        let key: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), usage))?;
        if key != "spec" {
            return Err(syn::Error::new(key.span(), usage));
        }
        input.parse::<syn::Token![=]>()?;
        let spec = input.parse()?;
        input.parse::<Option<syn::Token![,]>>()?;
        if input.is_empty() { Ok(Self::Spec(spec)) } else { Err(input.error(usage)) }
    }
}

impl Arguments {
    /// The literal: what errors point at.
    pub fn span(&self) -> Span {
        match self {
            Self::Path(literal) | Self::Spec(literal) => literal.span(),
        }
    }

    /// The spec, and the absolute path of its file, which the generated code tracks. The error is a whole message.
    pub fn read(&self, name: &Ident) -> Result<(Source, Option<String>), String> {
        let literal = match self {
            Self::Spec(spec) => return Ok((Source::new(format!("the spec of {name}"), spec.value()), None)),
            Self::Path(path) => path,
        };
        let written = literal.value();
        let path = resolve(&written, literal.span())?;
        let shown = path.display();
        let text = std::fs::read(&path).map_err(|error| {
            let base = if is_beside(&written) { "the source file's folder" } else { "the crate's manifest" };
            format!("cannot read the spec {written:?}: {error}\n\ntried {shown}\nthe path is relative to {base}")
        })?;
        let text = String::from_utf8(text).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
            format!("the spec {written:?} is not UTF-8: line {line} of {shown}")
        })?;
        let tracked = path.to_str().map(str::to_string);
        Ok((Source::new(written, text), tracked))
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
