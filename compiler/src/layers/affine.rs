//! What normalisations share: a weight and a bias behind them.

use super::init::{self, WeightInit};
use super::op::{Call, Parameter};
use crate::spec::args::Args;
use crate::spec::argument::{Argument, Fallback, Kind};
use crate::tokens::int;
use castnet_descriptors::Init;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use std::ops::Range;

/// What `eps` is in every norm.
pub(super) const EPS_ABOUT: &str = "what is added to the variance";

/// The argument `affine`.
pub(super) const AFFINE: Argument =
    Argument::new("affine", Kind::Boolean, Fallback::Boolean(true), "whether a weight and a bias follow the norm");

/// Reads the argument `init` of a layer that has a weight only where `has_weight`; `reason` says why it has none.
pub(super) fn read_init(args: &mut Args<'_>, has_weight: bool, reason: &str) -> Option<WeightInit> {
    let init = init::read(args)?;
    if has_weight {
        return Some(init);
    }
    let title = format!("{} says init, but with {reason} it has no weight", args.site().title());
    let value = args.value("init")?;
    args.refuse_with(&value, title, "nothing begins so", |diagnostic| {
        diagnostic.help(format!("leave init out, or take {reason} away"))
    });
    None
}

/// The weight, which begins with ones, and the bias, which begins with zeros.
pub(super) fn parameters(shape: &[usize], weight: Init, bias: bool) -> Vec<Parameter> {
    let weight = Parameter { name: "weight", shape: shape.to_vec(), init: weight };
    let bias = bias.then(|| Parameter { name: "bias", shape: shape.to_vec(), init: Init::Constant(0.0) });
    [weight].into_iter().chain(bias).collect()
}

/// `let (grad_weight, grad_bias) = gradients[0..16].split_at_mut(8);` for the gradients of weight and bias, which are neighbours.
pub(super) fn split_gradients(call: &Call) -> TokenStream {
    split(["grad_weight", "grad_bias"], "gradients", &call.ranges)
}

/// Two neighbours in a flat buffer as two slices that can both be written.
pub(super) fn split(names: [&str; 2], of: &str, ranges: &[Range<usize>]) -> TokenStream {
    let [first, second] = ranges else { return TokenStream::new() };
    let (from, to, middle) = (int(first.start), int(second.end), int(first.len()));
    let ([a, b], of) = (names.map(|name| format_ident!("{name}")), format_ident!("{of}"));
    quote!(let (#a, #b) = #of[#from..#to].split_at_mut(#middle);)
}
