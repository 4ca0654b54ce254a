//! The inference program as code: for each call a descriptor, a place in the packed weights, a function that packs them and one that
//! runs; and the two passes, which are lists of the latter.

use super::frozen_call::{Emitted, Emitter};
use super::layers::Offsets;
use super::names::Names;
use super::passes::{LONGEST, place_tokens};
use crate::layout::{Call, Frozen, Id};
use crate::memory::{Half, PlannedFrozen};
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
    let head = pass(
        "head_pass",
        "The layers that samples go through one by one.",
        names,
        frozen,
        &planned.head,
        head,
        emitted_head,
    );
    let tail = pass(
        "tail_pass",
        "The layers that a batch goes through together.",
        names,
        frozen,
        &planned.tail,
        tail,
        emitted_tail,
    );
    let (head, head_parts) = head;
    let (tail, tail_parts) = tail;
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

/// The place of an input in the head's arena, or of an output in the tail's.
pub(super) fn place(planned: &PlannedFrozen, half: &Half, id: Id) -> TokenStream {
    place_tokens(half.places[&planned.frozen.values[id].home])
}

/// A pass: a function of the trait, and the functions that it calls where it is long.
fn pass(
    function: &str,
    doc: &str,
    names: &Names,
    frozen: &Frozen,
    half: &Half,
    calls: &[Call],
    emitted: &[Emitted],
) -> (TokenStream, TokenStream) {
    let statements: Vec<TokenStream> =
        calls.iter().zip(emitted).map(|(call, emitted)| statement(names, frozen, half, call, emitted)).collect();
    let write = |name: &Ident, doc: &str, body: &TokenStream| {
        let word = |word: &str| if mentions(body, word) { format_ident!("{word}") } else { format_ident!("_{word}") };
        let (context, packed, arena) = (word("context"), word("packed"), word("arena"));
        let doc = format!(" {doc}");
        quote! {
            #[doc = #doc]
            fn #name(#context: &mut castnet::Context, #packed: &[f32], #arena: &mut castnet::Arena) {
                #body
            }
        }
    };
    let name = format_ident!("{function}");
    if statements.len() <= LONGEST {
        return (write(&name, doc, &statements.into_iter().collect()), TokenStream::new());
    }
    let mut parts = TokenStream::new();
    let mut all = TokenStream::new();
    let count = statements.len().div_ceil(LONGEST);
    for (i, statements) in statements.chunks(LONGEST).enumerate() {
        let part = format_ident!("{function}_{}", i + 1);
        let doc = format!("{doc} Part {} of {count}.", i + 1);
        parts.extend(write(&part, &doc, &statements.iter().cloned().collect()));
        all.extend(quote!(#part(context, packed, arena);));
    }
    (write(&name, doc, &all), parts)
}

/// One call: the buffers it takes, and the call.
fn statement(names: &Names, frozen: &Frozen, half: &Half, call: &Call, emitted: &Emitted) -> TokenStream {
    let home = |id: Id| frozen.values[id].home;
    let mut buffers: Vec<Id> = Vec::new();
    for id in call.inputs.iter().chain([&call.output]).map(|&id| home(id)) {
        if !buffers.contains(&id) {
            buffers.push(id);
        }
    }
    let mut variables: Vec<Ident> = buffers.iter().map(|&id| names.frozen(frozen, id)).collect();
    let mut places: Vec<TokenStream> = buffers.iter().map(|id| place_tokens(half.places[id])).collect();
    let mut arguments: Vec<Ident> =
        call.inputs.iter().chain([&call.output]).map(|&id| names.frozen(frozen, home(id))).collect();
    let own = Some(call.fused.main).filter(|node| call.saves && half.saved.contains_key(node));
    for node in own.into_iter().chain(call.indices) {
        let name = names.variable(crate::program::What::Saved(node));
        variables.push(name.clone());
        places.push(place_tokens(half.saved[&node]));
        arguments.push(name);
    }
    let (function, packed) = (&emitted.run, emitted.pack.is_some().then(|| quote!(packed,)));
    quote! {
        let [#(#variables),*] = arena.get([#(#places),*]);
        #function(context, #packed #(#arguments),*);
    }
}
