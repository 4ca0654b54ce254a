//! Programs for tests.

use super::{Program, lower, program::Kind};
use crate::diagnostic::Diagnostics;
use crate::memory::{self, Planned};
use crate::shape::{self, Shaped};
use crate::source::Source;
use crate::spec;
use std::path::Path;

/// Networks of `specs/` of every kind.
pub const SPECS: [&str; 8] =
    ["lenet5", "resnet50", "densenet121", "googlenet", "mobilenet_v2", "mobilenet_v3_small", "unet", "segment_digits"];

/// A network with everything known.
pub fn shaped(text: &str) -> Shaped {
    let source = Source::new("test", text);
    let mut diagnostics = Diagnostics::default();
    let table = spec::table::parse(&source).unwrap_or_else(|_| panic!("{text}"));
    let graph = spec::build(&source, &table, &mut diagnostics);
    shape::infer(graph, &mut diagnostics).unwrap_or_else(|| panic!("{diagnostics:?}"))
}

/// A network of `specs/`.
pub fn read_spec(name: &str) -> Shaped {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../specs/{name}.toml"));
    shaped(&std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// The inference program of a spec.
pub fn inference(text: &str) -> Program {
    lower(&shaped(text), Kind::Inference, |_, _| ())
}

/// The planned inference program of a network of `specs/`.
pub fn planned(name: &str) -> Planned {
    memory::plan(super::inference(&read_spec(name)))
}
