//! Calls on blocked maps that are no convolutions, as code.

use super::{CallCode, Emitter, Run, local, many, part_name};
use crate::descriptor::Code;
use crate::lower::operation::{Affine, Combine, Maps};
use crate::lower::program::{Call, Part};
use castnet_descriptors::Activation;
use proc_macro2::{Ident, TokenStream};
use quote::quote;

impl Emitter<'_> {
    pub(super) fn affine(&mut self, call: &Call, layer: usize, it: &Affine) -> CallCode {
        let op = self.network.names.constant(layer, "_FROZEN");
        let [input, output] = [Part::Input(0), Part::Output].map(|part| self.blocked(self.value(call, part)));
        let activation = it.activation.code();
        let doc = self.doc(call, "a factor and an addend for each channel");
        let run = self.network.names.function(layer, "_frozen");
        let (place, place_item) = self.place(layer, &quote!(castnet::blocked::affine::packed_len(&#op)));
        let (pack, pack_item) = self.pack_norm(layer, &it.norm, &op, &place);
        let halo = self.zero_halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::blocked::BlockedAffine =
                castnet::blocked::BlockedAffine { input: #input, output: #output, activation: #activation };
            #place_item
            #pack_item
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, packed: &[f32], input: &[f32], output: &mut [f32]) {
                #halo
                castnet::blocked::affine::run(context, &#op, input, &packed[#place], output);
            }
        };
        CallCode { items, pack: Some(pack), run: Run::function(quote!(#run), &["context", "packed"]) }
    }

    pub(super) fn activation(&mut self, call: &Call, layer: usize, activation: &Activation) -> CallCode {
        let activation = activation.code();
        let descriptor = quote!(BlockedActivation);
        self.of_one(call, layer, &descriptor, "every element of a blocked map", &quote!(activation), |input, output| {
            quote!(castnet::blocked::BlockedActivation { input: #input, output: #output, activation: #activation })
        })
    }

    pub(super) fn maps(&mut self, call: &Call, layer: usize, it: &Maps) -> CallCode {
        let own = self.network.names.descriptor(layer);
        let kind = self.network.shaped.nodes[layer].op.descriptor().map(|(kind, _)| kind);
        let descriptor = quote!(OnBlocked<#kind>);
        let module = local(it.module);
        self.of_one(
            call,
            layer,
            &descriptor,
            "on blocked maps",
            &quote!(#module),
            |input, output| quote!(castnet::blocked::OnBlocked { layer: #own, input: #input, output: #output }),
        )
    }

    /// From one blocked map to another, without weights.
    fn of_one(
        &mut self,
        call: &Call,
        layer: usize,
        descriptor: &TokenStream,
        what: &str,
        module: &TokenStream,
        value: impl Fn(TokenStream, TokenStream) -> TokenStream,
    ) -> CallCode {
        let op = self.network.names.constant(layer, "_FROZEN");
        let [input, output] = [Part::Input(0), Part::Output].map(|part| self.blocked(self.value(call, part)));
        let value = value(input, output);
        let doc = self.doc(call, what);
        let run = self.network.names.function(layer, "_frozen");
        let halo = self.zero_halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::blocked::#descriptor = #value;
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
                #halo
                castnet::blocked::#module::run(context, &#op, input, output);
            }
        };
        CallCode { items, pack: None, run: Run::function(quote!(#run), &["context"]) }
    }

    pub(super) fn combine(&mut self, call: &Call, layer: usize, it: &Combine) -> CallCode {
        let product = it.product;
        let activation = it.activation.code();
        let what = if product { "a product of blocked maps" } else { "a sum of blocked maps" };
        self.of_many(call, layer, what, &quote!(combine), &quote!(BlockedCombine), |inputs, output| {
            quote!(castnet::blocked::BlockedCombine {
                product: #product,
                inputs: #inputs,
                output: #output,
                activation: #activation,
            })
        })
    }

    pub(super) fn concat(&mut self, call: &Call, layer: usize) -> CallCode {
        let what = "copies blocked maps one behind the other";
        self.of_many(
            call,
            layer,
            what,
            &quote!(concat),
            &quote!(BlockedConcat),
            |inputs, output| quote!(castnet::blocked::BlockedConcat { inputs: #inputs, output: #output }),
        )
    }

    /// From several blocked maps to one.
    fn of_many(
        &mut self,
        call: &Call,
        layer: usize,
        what: &str,
        module: &TokenStream,
        descriptor: &TokenStream,
        value: impl Fn(TokenStream, TokenStream) -> TokenStream,
    ) -> CallCode {
        let op = self.network.names.constant(layer, "_FROZEN");
        let inputs = call.inputs().map(|id| self.blocked(id));
        let inputs = quote!(&[#(#inputs),*]);
        let value = value(inputs, self.blocked(self.value(call, Part::Output)));
        let doc = self.doc(call, what);
        let run = self.network.names.function(layer, "_frozen");
        let halo = self.zero_halo(call, quote!(#op.output));
        let arguments: Vec<Ident> = (0..call.inputs().count()).map(|i| part_name(Part::Input(i), 2)).collect();
        let many = many(1 + arguments.len() + 1);
        let items = quote! {
            static #op: castnet::blocked::#descriptor = #value;
            #[doc = #doc]
            #many
            fn #run(context: &mut castnet::Context, #(#arguments: &[f32],)* output: &mut [f32]) {
                #halo
                castnet::blocked::#module::run(context, &#op, &[#(#arguments),*], output);
            }
        };
        CallCode { items, pack: None, run: Run::function(quote!(#run), &["context"]) }
    }
}
