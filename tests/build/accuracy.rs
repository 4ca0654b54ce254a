//! One network of `specs/` with each choice of algorithms.

use std::path::Path;

/// The network: convolutions of 3x3 on maps of 32x32 down to 2x2.
const NAME: &str = "vgg11_cifar";

/// The networks as items.
pub fn networks(manifest: &Path) -> String {
    let path = manifest.join(format!("../specs/{NAME}.toml"));
    println!("cargo::rerun-if-changed={}", path.display());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let network = |name: &str, winograd: &str| {
        let text = text.replacen("[network]\n", &format!("[network]\nwinograd = {winograd}\n"), 1);
        format!("/// With `winograd = {winograd}`.\n#[castnet::network(spec = r##\"{text}\"##)]\npub struct {name};\n")
    };
    let choices = [("Chosen", "true"), ("Direct", "false"), ("F2", "\"f2\""), ("F4", "\"f4\"")];
    let networks: String = choices.into_iter().map(|(name, winograd)| network(name, winograd)).collect();
    format!("/// The spec.\npub const SPEC: &str = r##\"{text}\"##;\n{networks}")
}
