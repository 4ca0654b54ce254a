//! Compiles a neural network written in TOML into Rust: the library behind castnet's macro, usable without one.
//!
//! Data flows one way, and each stage has a type of its own:
//! [`Source`] -> [`spec::table::Table`] -> [`graph::Graph`] -> [`shape::Shaped`] -> [`lower::Program`] -> [`memory::Planned`] -> tokens.
//! From `Shaped` on there are three programs of one type: for evaluation, for training and for inference.

mod compiled;
mod descriptor;
pub mod diagnostic;
pub mod emit;
pub mod graph;
pub mod layers;
pub mod lower;
pub mod memory;
pub mod shape;
pub mod source;
pub mod spec;
pub mod suggest;
pub mod tokens;
pub mod weights;

pub use compiled::Compiled;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use emit::{Files, Item, Weights};
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
    let table = spec::table::parse(source).map_err(|errors| Failure { diagnostics: errors.into_sorted() })?;
    let graph = spec::build(source, &table, &mut diagnostics);
    let Some(shaped) = shape::infer(graph, &mut diagnostics) else {
        return Err(Failure { diagnostics: diagnostics.into_sorted() });
    };
    let evaluation = memory::plan(lower::evaluation(&shaped));
    let training = memory::plan(lower::training(&shaped));
    let inference = memory::plan(lower::inference(&shaped));
    Ok(Compiled { shaped, evaluation, training, inference })
}
