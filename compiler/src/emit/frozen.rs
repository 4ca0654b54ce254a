//! The inference program as code: for each call a descriptor, a place in the packed weights, a function that packs them and one that
//! runs; and the two passes, which are lists of the latter.

use super::frozen_call::{Emitted, Emitter};
use super::layers::Offsets;
use super::names::Names;
use super::passes::{LONGEST, place_tokens};
use crate::layout::{Call, Frozen, Id};
use crate::memory::{Half, Place, PlannedFrozen};
use crate::shape::Shaped;
use crate::source::Source;
use crate::split::TAIL_BATCH;
use crate::tokens::{int, mentions};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};

/// The items of the inference program: those that stand beside the network's, and those of its implementation of `Freeze`.
pub(super) fn emit(
    shaped: &Shaped,
    source: &Source,
    names: &Names,
    offsets: &Offsets,
    planned: &PlannedFrozen,
) -> (TokenStream, TokenStream) {
    let frozen = &planned.frozen;
    let mut emitter = Emitter::new(shaped, source, names, offsets, planned);
    let calls: Vec<Emitted> = frozen.calls.iter().map(|call| emitter.emit(call)).collect();
    let mut items: TokenStream = calls.iter().map(|call| call.items.clone()).collect();
    let packs: Vec<&Ident> = calls.iter().filter_map(|call| call.pack.as_ref()).collect();
    let info = info(planned, &emitter);

    let (head, tail) = frozen.calls.split_at(frozen.cut);
    let (emitted_head, emitted_tail) = calls.split_at(frozen.cut);
    let statements = |half: &Half, calls: &[Call], emitted: &[Emitted]| -> Vec<TokenStream> {
        calls.iter().zip(emitted).map(|(call, emitted)| statement(names, frozen, half, call, emitted)).collect()
    };
    let (head, head_parts) = pass(
        "head_pass",
        "The layers that samples go through one by one.",
        Some(quote!(&[&[f32]])),
        &statements(&planned.head, head, emitted_head),
    );
    let (tail, tail_parts) = pass(
        "tail_pass",
        "The layers that a batch goes through together.",
        None,
        &statements(&planned.tail, tail, emitted_tail),
    );
    items.extend([head_parts, tail_parts]);
    let (tensors, packed) = if packs.is_empty() {
        (format_ident!("_tensors"), format_ident!("_packed"))
    } else {
        (format_ident!("tensors"), format_ident!("packed"))
    };
    let body = quote! {
        const FROZEN: &'static castnet::FrozenInfo = &#info;

        /// Packs the weights of all layers.
        fn pack(#tensors: &mut castnet::Tensors<'_>, #packed: &mut [f32]) -> castnet::Result<()> {
            #(#packs(tensors, packed)?;)*
            Ok(())
        }

        #head

        #tail
    };
    (items, body)
}

/// Sizes, and what the head leaves to the tail.
fn info(planned: &PlannedFrozen, emitter: &Emitter<'_>) -> TokenStream {
    let packed = emitter.packed_end();
    let size = |half: &Half| {
        let (fixed, per_sample) = (int(half.size.fixed), int(half.size.per_sample));
        quote!(castnet::ArenaSize { fixed: #fixed, per_sample: #per_sample })
    };
    let (head, tail) = (size(&planned.head), size(&planned.tail));
    let crossing = planned.crossing.iter().map(|id| {
        let [from, to] = [&planned.head, &planned.tail].map(|half| place_tokens(half.places[id]));
        quote!((#from, #to))
    });
    let tail_batch = if planned.frozen.whole_batch { quote!(usize::MAX) } else { int(TAIL_BATCH).to_token_stream() };
    quote! {
        castnet::FrozenInfo {
            packed: #packed,
            head: #head,
            tail: #tail,
            crossing: &[#(#crossing),*],
            tail_batch: #tail_batch,
        }
    }
}

/// The place of an input or of an output in the tail's arena; of no floats where the tail does not take it.
pub(super) fn place(planned: &PlannedFrozen, id: Id) -> TokenStream {
    let place = planned.tail.places.get(&planned.frozen.values[id].home);
    place_tokens(place.copied().unwrap_or(Place::PerSample(0, 0)))
}

/// A pass: a function of the trait, and the functions that it calls where it is long. `inputs` is the type of what lies not in the arena.
fn pass(
    function: &str,
    doc: &str,
    inputs: Option<TokenStream>,
    statements: &[TokenStream],
) -> (TokenStream, TokenStream) {
    let write = |name: &Ident, doc: &str, body: &TokenStream| {
        let word = |word: &str| if mentions(body, word) { format_ident!("{word}") } else { format_ident!("_{word}") };
        let (context, packed, arena) = (word("context"), word("packed"), word("arena"));
        let inputs = inputs.as_ref().map(|of| {
            let inputs = word("inputs");
            quote!(#inputs: #of,)
        });
        let doc = format!(" {doc}");
        quote! {
            #[doc = #doc]
            fn #name(#context: &mut castnet::Context, #packed: &[f32], #inputs #arena: &mut castnet::Arena) {
                #body
            }
        }
    };
    let name = format_ident!("{function}");
    if statements.len() <= LONGEST {
        return (write(&name, doc, &statements.iter().cloned().collect()), TokenStream::new());
    }
    let mut parts = TokenStream::new();
    let mut all = TokenStream::new();
    let count = statements.len().div_ceil(LONGEST);
    let passed = inputs.as_ref().map(|_| quote!(inputs,));
    for (i, statements) in statements.chunks(LONGEST).enumerate() {
        let part = format_ident!("{function}_{}", i + 1);
        let doc = format!("{doc} Part {} of {count}.", i + 1);
        parts.extend(write(&part, &doc, &statements.iter().cloned().collect()));
        all.extend(quote!(#part(context, packed, #passed arena);));
    }
    (write(&name, doc, &all), parts)
}

/// One call: the buffers it takes, and the call. What has no place in the arena is an input that the caller has lent.
fn statement(names: &Names, frozen: &Frozen, half: &Half, call: &Call, emitted: &Emitted) -> TokenStream {
    let home = |id: Id| frozen.values[id].home;
    let mut buffers: Vec<Id> = Vec::new();
    for id in call.inputs.iter().chain([&call.output]).map(|&id| home(id)) {
        if !buffers.contains(&id) && half.places.contains_key(&id) {
            buffers.push(id);
        }
    }
    let mut variables: Vec<Ident> = buffers.iter().map(|&id| names.frozen(frozen, id)).collect();
    let mut places: Vec<TokenStream> = buffers.iter().map(|id| place_tokens(half.places[id])).collect();
    let argument = |id: Id| match frozen.inputs.iter().position(|&input| input == id) {
        Some(number) if !half.places.contains_key(&id) => {
            let number = int(number);
            quote!(inputs[#number])
        }
        _ => names.frozen(frozen, id).to_token_stream(),
    };
    let mut arguments: Vec<TokenStream> =
        call.inputs.iter().chain([&call.output]).map(|&id| argument(home(id))).collect();
    let own = Some(call.fused.main).filter(|node| call.saves && half.saved.contains_key(node));
    for node in own.into_iter().chain(call.indices) {
        let name = names.variable(crate::program::What::Saved(node));
        variables.push(name.clone());
        places.push(place_tokens(half.saved[&node]));
        arguments.push(name.to_token_stream());
    }
    let (function, packed) = (&emitted.run, emitted.pack.is_some().then(|| quote!(packed,)));
    quote! {
        let [#(#variables),*] = arena.get([#(#places),*]);
        #function(context, #packed #(#arguments),*);
    }
}
