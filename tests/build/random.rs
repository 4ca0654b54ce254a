//! Random networks: some layers of each type, and graphs of all types. `CASTNET_RANDOM` says how many graphs, and
//! `CASTNET_SEED` with which seed to begin.

use castnet_compiler::{Source, compile};
use castnet_oracle::random;

use crate::module::Module;

/// Graphs in a run that nobody asked for more of.
const GRAPHS: u64 = 40;

/// The tests as the text of a module.
pub fn tests() -> String {
    let first = number("CASTNET_SEED").unwrap_or(0);
    let graphs = number("CASTNET_RANDOM").unwrap_or(GRAPHS);
    let mut root = Module::default();
    for kind in random::KINDS {
        let test = root.at(["layers"]).name(kind);
        // A batch norm on features alone sees nothing but the batch.
        let text = test_of(&test, &random::layers(kind, first, 4), first, 7);
        root.at(["layers"]).push(&text);
    }
    for seed in first..first + graphs {
        let test = root.at(["graphs"]).name(&format!("seed_{seed}"));
        let text = test_of(&test, &random::spec(seed, 24), seed, 3 + seed % 3);
        root.at(["graphs"]).push(&text);
    }
    root.text()
}

fn number(variable: &str) -> Option<u64> {
    println!("cargo::rerun-if-env-changed={variable}");
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable} = {text:?} is no number: {error}")))
}

/// A test that runs a spec; where it does not compile, a test that fails and says why.
fn test_of(name: &str, spec: &str, seed: u64, batch: u64) -> String {
    let source = Source::new(name, spec);
    match compile(&source) {
        Ok(compiled) => {
            let alone = !compiled.shaped.nodes.iter().any(|node| node.op.evaluates_as_trained());
            let new = if alone { "new" } else { "without_predict" };
            // Each algorithm for 3x3 convolutions in turn.
            let winograd = ["true", "false", "\"f2\"", "\"f4\""][(seed % 4) as usize];
            let forced = spec.replacen("[network]\n", &format!("[network]\nwinograd = {winograd}\n"), 1);
            format!(
                "#[test]\nfn {name}() {{\n    const SPEC: &str = r##\"{spec}\"##;\n    \
                 #[castnet::network(spec = r##\"{forced}\"##)]\n    pub struct Net;\n    \
                 castnet_tests::check::run(|| Box::new(castnet_tests::subject::Held::<Net>::{new}()), SPEC, {seed}, \
                 {batch});\n}}\n"
            )
        }
        Err(failure) => {
            let message = format!("{spec}\n{}", failure.render(&source));
            format!("#[test]\nfn {name}() {{\n    panic!(\"{{}}\", {message:?});\n}}\n")
        }
    }
}
