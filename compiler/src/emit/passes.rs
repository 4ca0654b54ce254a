//! The passes: evaluation, training, backward, each the list of layers with the places of their values.

use super::layers::function;
use super::names::Names;
use crate::memory::{Place, Planned};
use crate::program::{Action, Step, StorageId};
use crate::shape::Shaped;
use crate::tokens::int;
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

/// The expression of a place: `castnet::per_sample(0, 784)`.
pub(super) fn place(planned: &Planned, storage: StorageId) -> TokenStream {
    place_tokens(planned.places[storage])
}

/// The same for a place at hand.
pub(super) fn place_tokens(place: Place) -> TokenStream {
    match place {
        Place::PerSample(from, to) => {
            let (from, to) = (int(from), int(to));
            quote!(castnet::per_sample(#from, #to))
        }
        Place::Fixed(from, to) => {
            let (from, to) = (int(from), int(to));
            quote!(castnet::fixed(#from, #to))
        }
    }
}

/// The most steps of one function. Without optimisation every step of a function has a place of its own on the stack, some 200
/// bytes: 200 of them take 40 KiB, and a network of any depth runs in a thread with 256 KiB.
pub(super) const LONGEST: usize = 200;

/// The statements of a run of steps, as one list or, where that is long, in parts.
pub(super) fn statements(shaped: &Shaped, planned: &Planned, names: &Names, steps: &[Step]) -> Vec<TokenStream> {
    if steps.is_empty() {
        return vec![TokenStream::new()];
    }
    steps.chunks(LONGEST).map(|steps| list(shaped, planned, names, steps)).collect()
}

/// The statements of a run of steps. Steps for the inputs' gradients alone stand in `if inputs { … }`.
fn list(shaped: &Shaped, planned: &Planned, names: &Names, steps: &[Step]) -> TokenStream {
    let mut tokens = TokenStream::new();
    let mut at = 0;
    while at < steps.len() {
        let for_inputs = steps[at].for_inputs;
        let end = at + steps[at..].iter().take_while(|step| step.for_inputs == for_inputs).count();
        let run: TokenStream = steps[at..end].iter().map(|step| statement(shaped, planned, names, step)).collect();
        tokens.extend(if for_inputs { quote!(if inputs { #run }) } else { run });
        at = end;
    }
    tokens
}

fn statement(shaped: &Shaped, planned: &Planned, names: &Names, step: &Step) -> TokenStream {
    let mut storages: Vec<StorageId> = Vec::new();
    for operand in &step.operands {
        if !storages.contains(&operand.storage) {
            storages.push(operand.storage);
        }
    }
    let variable = |storage: StorageId| names.variable(planned.program.storages[storage].what);
    let variables = storages.iter().map(|&storage| variable(storage));
    let places = storages.iter().map(|&storage| place(planned, storage));
    let arguments = step.operands.iter().map(|operand| variable(operand.storage));
    let call = match (function(shaped, names, step), step.action) {
        (Some(function), _) => {
            let name = &function.name;
            let leading = function.leading.iter().map(|word| Ident::new(word, Span::mixed_site()));
            quote!(#name(#(#leading,)* #(#arguments),*);)
        }
        (None, Action::Accumulate) => quote!(castnet::elementwise::accumulate(context, #(#arguments),*);),
        (None, _) => quote!(#(#arguments)*.fill(0.0);),
    };
    quote! {
        let [#(#variables),*] = arena.get([#(#places),*]);
        #call
    }
}
