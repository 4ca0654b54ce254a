//! What a layer is: its type as the spec names it, and its arguments once read.

use crate::layers::infer::{Checked, Infer};
use crate::spec::args::Args;
use crate::spec::argument::Argument;
use std::fmt::Debug;

/// A type of layer as the spec names it.
#[derive(Debug)]
pub struct LayerType {
    /// The word after `type =`.
    pub name: &'static str,
    /// Whether it takes `input` or `inputs`.
    pub arity: Arity,
    /// Whether it has the argument `indices`.
    pub takes_indices: bool,
    /// Whether an unpooling layer may take its indices.
    pub gives_indices: bool,
    /// What it does, in a line.
    pub about: &'static str,
    /// Its arguments, apart from those that every layer has (`name`, `input`, …).
    pub arguments: &'static [Argument],
    /// Reads its arguments; `None` after an error.
    pub parse: Parse,
}

/// Reads a layer's arguments.
type Parse = fn(&mut Args<'_>) -> Option<Box<dyn Layer>>;

impl LayerType {
    /// A layer with one input.
    pub(super) const fn one(
        name: &'static str,
        about: &'static str,
        arguments: &'static [Argument],
        parse: Parse,
    ) -> Self {
        Self { name, arity: Arity::One, takes_indices: false, gives_indices: false, about, arguments, parse }
    }

    /// A layer with two inputs or more.
    pub(super) const fn many(
        name: &'static str,
        about: &'static str,
        arguments: &'static [Argument],
        parse: Parse,
    ) -> Self {
        Self { name, arity: Arity::Many, takes_indices: false, gives_indices: false, about, arguments, parse }
    }
}

/// How many inputs a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// `input = "a"`, or the layer above.
    One,
    /// `inputs = ["a", "b"]`.
    Many,
}

/// A layer with its arguments read, before any shape is known.
pub trait Layer: Debug {
    /// Infers the result's shape and checks the arguments against what flows in. Errors go to `cx`; `None` after one.
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked>;

    /// The same layer with one argument changed, each with words for it: `(line 9) has padding = 2; with padding = 0`.
    /// A size error below tries them, to say what would mend it.
    fn variants(&self) -> Vec<(String, Box<dyn Layer>)> {
        Vec::new()
    }

    /// A copy of its own.
    fn boxed(&self) -> Box<dyn Layer>;
}
