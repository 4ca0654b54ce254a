//! Compiles a neural network written in TOML into Rust: the library behind castnet's macro, usable without one.
//!
//! Data flows one way, and each stage has a type of its own:
//! [`Source`] -> [`spec::Table`] -> [`graph::Graph`] -> [`shape::Shaped`] -> [`program::Program`] -> [`memory::Planned`] -> tokens,
//! and for inference [`shape::Shaped`] -> [`fuse::FusedGraph`] -> [`layout::Frozen`] -> [`memory::PlannedFrozen`] -> tokens.

pub mod args;
pub mod blocks;
pub mod cost;
mod descriptor;
pub mod diagnostic;
pub mod emit;
mod flattened;
pub mod fuse;
pub mod gradient;
pub mod graph;
mod halo;
pub mod header;
pub mod layers;
pub mod layout;
pub mod memory;
mod order;
mod pooled;
pub mod program;
pub mod shape;
pub mod source;
pub mod spec;
pub mod split;
pub mod suggest;
pub mod tokens;
pub mod weights;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use emit::{Compiled, Files, Item, Weights};
pub use source::Source;

/// What is left of a spec with errors.
#[derive(Debug)]
pub struct Failure {
    /// The errors in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Failure {
    /// The errors as a terminal shows them, one after the other.
    pub fn render(&self, source: &Source) -> String {
        self.diagnostics.iter().map(|diagnostic| diagnostic.render(source)).collect::<Vec<_>>().join("\n\n")
    }
}

/// Compiles a spec. With errors, all independent ones come together.
pub fn compile(source: &Source) -> Result<Compiled, Failure> {
    let mut diagnostics = Diagnostics::default();
    let table = spec::parse(source).map_err(|errors| Failure { diagnostics: errors.into_sorted() })?;
    let graph = graph::build(source, &table, &mut diagnostics);
    let Some(shaped) = shape::infer(graph, &mut diagnostics) else {
        return Err(Failure { diagnostics: diagnostics.into_sorted() });
    };
    let evaluation = memory::plan(program::evaluation(&shaped));
    let training = memory::plan(gradient::training(&shaped));
    let inference = memory::plan_frozen(&shaped, layout::freeze(&shaped));
    Ok(Compiled { shaped, evaluation, training, inference })
}
