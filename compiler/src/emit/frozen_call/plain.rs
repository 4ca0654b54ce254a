//! Calls of the inference program that make values as PyTorch has them: linear layers, and every layer by its own function.

use super::{Emitted, Emitter, local, many};
use crate::emit::layers::part_name;
use crate::layers::{self, Role};
use crate::layout::{Call, Layout};
use crate::program::Part;
use crate::tokens::{int, ints};
use proc_macro2::TokenStream;
use quote::quote;
use std::ops::Range;

impl Emitter<'_> {
    pub(super) fn linear(&mut self, call: &Call) -> Emitted {
        let main = call.fused.main;
        let Role::Linear { in_features, out_features, .. } = self.shaped.nodes[main].op.role() else {
            unreachable!("a linear layer")
        };
        let op = self.names.constant(main, "_FROZEN");
        let (in_features, out_features, activation) = (int(in_features), int(out_features), self.activation(call));
        let value = &self.frozen.values[call.inputs[0]];
        // A map of one pixel lies in both layouts alike.
        let (map, what) = match (value.layout, value.sizes) {
            (Layout::Blocked { .. }, sizes @ [_, height, width]) if height * width > 1 => {
                let sizes = ints(&sizes);
                (quote!(Some(#sizes)), "a product with weights that are packed in the order of the blocked map")
            }
            _ => (quote!(None), "a product with packed weights"),
        };
        let doc = self.doc(call, what);
        let run = self.names.function(main, "_frozen");
        let (place, place_item) = self.packed(call, quote!(castnet::blocked::linear::packed_len(&#op)));
        let (pack, pack_item) = self.pack_weights(call, &quote!(linear), &op, &place);
        let items = quote! {
            static #op: castnet::blocked::PackedLinear = castnet::blocked::PackedLinear {
                in_features: #in_features,
                out_features: #out_features,
                map: #map,
                activation: #activation,
            };
            #place_item
            #pack_item
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, packed: &[f32], input: &[f32], output: &mut [f32]) {
                castnet::blocked::linear::run(context, &#op, input, &packed[#place], output);
            }
        };
        Emitted { items, pack: Some(pack), run }
    }

    /// A layer's own function on plain values, its parameters and buffers copied behind each other.
    pub(super) fn layer(&mut self, call: &Call) -> Emitted {
        let node = call.fused.main;
        let it = &self.shaped.nodes[node];
        let run = self.names.function(node, "_frozen");
        let doc = self.doc(call, "as in evaluation");
        let relative = |places: &[(usize, usize)]| -> Vec<Range<usize>> {
            let start = places.first().map_or(0, |place| place.0);
            places.iter().map(|&(from, to)| from - start..to - start).collect()
        };
        let (parameters, buffers) = (&self.offsets.parameters[node], &self.offsets.buffers[node]);
        let span = |places: &[(usize, usize)]| Some((places.first()?.0, places.last()?.1));
        let (own, kept) = (span(parameters), span(buffers));
        let (ranges, buffers) = (relative(parameters), relative(buffers));
        let slices = ranges.iter().map(|range| {
            let (from, to) = (int(range.start), int(range.end));
            quote!(&parameters[#from..#to])
        });
        let ops_call = layers::Call {
            op: self.names.descriptor(node),
            inputs: (0..it.inputs.len()).map(|i| part_name(Part::Input(i), it.inputs.len())).collect(),
            parameters: slices.collect(),
            gradients: Vec::new(),
            ranges,
            buffers,
            number: node as u64,
            gives_indices: it.gives_indices,
        };
        let body = if call.saves { it.op.forward_train(&ops_call) } else { it.op.forward(&ops_call) };
        let inputs = &ops_call.inputs;
        let saves = call.saves && !it.op.saved().is_empty();
        let saved = saves.then(|| quote!(saved: &mut [f32],));
        let indices = call.indices.map(|_| quote!(indices: &[f32],));
        let mut items = TokenStream::new();
        let mut pack = None;
        let mut packed = TokenStream::new();
        let mut bind = TokenStream::new();
        if own.is_some() || kept.is_some() {
            let count = |span: Option<(usize, usize)>| span.map_or(0, |(from, to)| to - from);
            let (first, second) = (count(own), count(kept));
            let total = int(first + second);
            let (place, place_item) = self.packed(call, quote!(#total));
            let name = self.names.function(node, "_pack");
            let pieces = [("parameter", own), ("buffer", kept)].into_iter().filter_map(|(word, span)| {
                let (from, to) = span?;
                let (word, from, to) = (local(word), int(from), int(to));
                Some(quote!(castnet::#word(#from..#to)))
            });
            let pack_doc = format!(" Copies the tensors of `{}`.", it.site.name);
            items.extend(quote! {
                #place_item
                #[doc = #pack_doc]
                fn #name(tensors: &mut castnet::Tensors<'_>, packed: &mut [f32]) -> castnet::Result<()> {
                    tensors.copy([#(#pieces),*], &mut packed[#place])
                }
            });
            packed = quote!(packed: &[f32],);
            bind = match (own, kept) {
                (Some(_), Some(_)) => {
                    let first = int(first);
                    quote!(let (parameters, buffers) = packed[#place].split_at(#first);)
                }
                (Some(_), None) => quote!(let parameters = &packed[#place];),
                _ => quote!(let buffers = &packed[#place];),
            };
            pack = Some(name);
        }
        let many = many(inputs.len() + 5);
        items.extend(quote! {
            #[doc = #doc]
            #many
            fn #run(
                context: &mut castnet::Context,
                #packed
                #(#inputs: &[f32],)*
                output: &mut [f32],
                #saved
                #indices
            ) {
                #bind
                #body
            }
        });
        Emitted { items, pack, run }
    }
}
