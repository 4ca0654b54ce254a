//! Helpers for the tests of the layers: small specs, and what becomes of them.

use crate::shape::shaped::ShapedNode;
use crate::{Compiled, Source, compile};

/// The spec of a network with this input and layers; each layer is its lines after `[[layer]]`, separated by `;`.
pub fn spec(input: &str, layers: &[&str]) -> String {
    let layers = layers.iter().map(|layer| format!("[[layer]]\n{}\n", layer.replace("; ", "\n")));
    format!("[network]\ninput = {input}\n\n{}", layers.collect::<Vec<_>>().join("\n"))
}

/// The compiled network, or the text of its errors.
pub fn compiled(spec: &str) -> Result<Compiled, String> {
    let source = Source::new("net.toml", spec);
    compile(&source).map_err(|failure| failure.render(&source))
}

/// The shape of the result of the last layer, or the text of the errors.
pub fn shape(input: &str, layers: &[&str]) -> Result<Vec<usize>, String> {
    last(input, layers).map(|node| node.output.0)
}

/// The last layer with everything known, or the text of the errors.
pub fn last(input: &str, layers: &[&str]) -> Result<ShapedNode, String> {
    let compiled = compiled(&spec(input, layers))?;
    compiled.shaped.nodes.into_iter().last().ok_or_else(|| "no layers".to_string())
}

/// The descriptor of the last layer, as text.
pub fn descriptor(input: &str, layers: &[&str]) -> String {
    let node = last(input, layers).unwrap();
    node.op.descriptor().unwrap().1.to_string()
}

/// The text of the errors, which must hold all of `parts`.
#[track_caller]
pub fn refused(input: &str, layers: &[&str], parts: &[&str]) {
    refused_spec(&spec(input, layers), parts);
}

/// [`refused`] for a whole spec.
#[track_caller]
pub fn refused_spec(spec: &str, parts: &[&str]) {
    let errors = compiled(spec).expect_err("the spec must be refused");
    for part in parts {
        assert!(errors.contains(part), "{part:?} is not in:\n{errors}");
    }
}
