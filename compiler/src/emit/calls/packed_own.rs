//! Layers of the inference program that run by their own function on plain values, their tensors copied behind each other.

use super::{CallCode, Emitter, Run, local, many, part_name};
use crate::lower::operation::Function;
use crate::lower::program::{Access, Call};
use crate::tokens::int;
use proc_macro2::TokenStream;
use quote::quote;
use std::ops::Range;

impl Emitter<'_> {
    /// A layer's own function, reading what was packed.
    pub(super) fn packed_own(&mut self, call: &Call, layer: usize, function: Function) -> CallCode {
        let it = &self.network.shaped.nodes[layer];
        let run = self.network.names.function(layer, "_frozen");
        let doc = self.doc(call, "as in evaluation");
        let offsets = self.network.offsets;
        let [parameters, buffers] = [&offsets.parameters[layer], &offsets.buffers[layer]];
        let names = self.names_of(layer, &relative(parameters), &relative(buffers));
        let body = match function {
            Function::ForwardTrain => it.op.forward_train(&names),
            _ => it.op.forward(&names),
        };
        let mut items = TokenStream::new();
        let (mut pack, mut leading) = (None, vec!["context"]);
        let (mut packed, mut bind) = (None, TokenStream::new());
        let spans = [span(parameters), span(buffers)];
        let [own, kept] = spans.each_ref().map(Range::len);
        if own + kept > 0 {
            let total = int(own + kept);
            let (place, place_item) = self.place(layer, &quote!(#total));
            let name = self.network.names.function(layer, "_pack");
            let pieces = ["parameter", "buffer"].into_iter().zip(&spans).filter(|(_, span)| !span.is_empty());
            let pieces = pieces.map(|(word, span)| {
                let (word, from, to) = (local(word), int(span.start), int(span.end));
                quote!(castnet::#word(#from..#to))
            });
            let pack_doc = format!(" Copies the tensors of `{}`.", it.site.name);
            items.extend(quote! {
                #place_item
                #[doc = #pack_doc]
                fn #name(tensors: &mut castnet::Tensors<'_>, packed: &mut [f32]) -> castnet::Result<()> {
                    tensors.copy([#(#pieces),*], &mut packed[#place])
                }
            });
            leading.push("packed");
            packed = Some(quote!(packed: &[f32],));
            bind = match (own, kept) {
                (_, 0) => quote!(let parameters = &packed[#place];),
                (0, _) => quote!(let buffers = &packed[#place];),
                _ => {
                    let first = int(own);
                    quote!(let (parameters, buffers) = packed[#place].split_at(#first);)
                }
            };
            pack = Some(name);
        }
        let values = call.operands.iter().map(|operand| {
            let name = part_name(operand.part, it.inputs.len());
            if operand.access == Access::Read { quote!(#name: &[f32]) } else { quote!(#name: &mut [f32]) }
        });
        let many = many(leading.len() + call.operands.len());
        items.extend(quote! {
            #[doc = #doc]
            #many
            fn #run(context: &mut castnet::Context, #packed #(#values),*) {
                #bind
                #body
            }
        });
        CallCode { items, pack, run: Run::function(quote!(#run), &leading) }
    }
}

/// The same ranges counted from the first one's beginning.
fn relative(ranges: &[Range<usize>]) -> Vec<Range<usize>> {
    let start = ranges.first().map_or(0, |range| range.start);
    ranges.iter().map(|range| range.start - start..range.end - start).collect()
}

/// From the first range's beginning to the last one's end.
fn span(ranges: &[Range<usize>]) -> Range<usize> {
    ranges.first().map_or(0, |range| range.start)..ranges.last().map_or(0, |range| range.end)
}
