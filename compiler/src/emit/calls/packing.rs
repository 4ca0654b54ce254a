//! The functions that pack weights, each for one call: weights and bias, and what is folded into them.

use super::{Emitter, local};
use crate::lower::operation::Norm;
use crate::tokens::{float, int};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use std::ops::Range;

impl Emitter<'_> {
    /// `const CONV1_PACKED: Range<usize> = part(LAST.end, len);`
    pub(super) fn place(&mut self, layer: usize, len: &TokenStream) -> (Ident, TokenStream) {
        let name = self.network.names.constant(layer, "_PACKED");
        let start = self.packed_end();
        self.last = Some(name.clone());
        let item = quote!(const #name: castnet::Range<usize> = castnet::blocked::part(#start, #len););
        (name, item)
    }

    /// The parameters and buffers of a layer: `parameter(0..150)` for each.
    fn pieces(&self, layer: usize) -> Vec<TokenStream> {
        let piece = |word: &str, &Range { start, end }: &Range<usize>| {
            let (word, from, to) = (local(word), int(start), int(end));
            quote!(castnet::#word(#from..#to))
        };
        let offsets = self.network.offsets;
        let parameters = offsets.parameters[layer].iter().map(|range| piece("parameter", range));
        parameters.chain(offsets.buffers[layer].iter().map(|range| piece("buffer", range))).collect()
    }

    /// Statements that bind `norm` to a batch norm's tensors, which come after those named already.
    fn norm(&self, norm: &Norm, variables: &mut Vec<Ident>, pieces: &mut Vec<TokenStream>) -> TokenStream {
        let words: &[&str] =
            if norm.affine { &["norm_weight", "norm_bias", "mean", "variance"] } else { &["mean", "variance"] };
        variables.extend(words.iter().map(|word| local(word)));
        pieces.extend(self.pieces(norm.layer));
        let eps = float(norm.eps);
        let (weight, bias) = if norm.affine {
            (quote!(Some(norm_weight)), quote!(Some(norm_bias)))
        } else {
            (quote!(None), quote!(None))
        };
        quote! {
            let norm = castnet::blocked::BatchNorm { weight: #weight, bias: #bias, mean, variance, eps: #eps };
        }
    }

    /// The function that packs a layer of weight and bias, with a batch norm folded in.
    pub(super) fn pack_weights(
        &self,
        layer: usize,
        folded: Option<&Norm>,
        module: &TokenStream,
        op: &Ident,
        place: &Ident,
    ) -> (Ident, TokenStream) {
        let name = self.network.names.function(layer, "_pack");
        let mut variables = vec![local("weight")];
        let mut pieces = self.pieces(layer);
        let bias = if pieces.len() > 1 {
            variables.push(local("bias"));
            quote!(Some(bias))
        } else {
            quote!(None)
        };
        let nodes = &self.network.shaped.nodes;
        let mut doc = format!(" Packs the weights of `{}`", nodes[layer].site.name);
        let (norm, value) = match folded {
            Some(norm) => {
                doc.push_str(&format!(", with `{}` folded in", nodes[norm.layer].site.name));
                (self.norm(norm, &mut variables, &mut pieces), quote!(Some(norm)))
            }
            None => (TokenStream::new(), quote!(None)),
        };
        doc.push('.');
        let item = quote! {
            #[doc = #doc]
            fn #name(tensors: &mut castnet::Tensors<'_>, packed: &mut [f32]) -> castnet::Result<()> {
                let [#(#variables),*] = tensors.get([#(#pieces),*])?;
                #norm
                let weights = castnet::blocked::Weights { weight, bias: #bias, norm: #value };
                castnet::blocked::#module::pack(&#op, &weights, &mut packed[#place]);
                Ok(())
            }
        };
        (name, item)
    }

    /// The function that packs a batch norm for itself.
    pub(super) fn pack_norm(&self, layer: usize, norm: &Norm, op: &Ident, place: &Ident) -> (Ident, TokenStream) {
        let name = self.network.names.function(layer, "_pack");
        let (mut variables, mut pieces) = (Vec::new(), Vec::new());
        let bind = self.norm(norm, &mut variables, &mut pieces);
        let doc = format!(" Packs the statistics of `{}`.", self.network.shaped.nodes[layer].site.name);
        let item = quote! {
            #[doc = #doc]
            fn #name(tensors: &mut castnet::Tensors<'_>, packed: &mut [f32]) -> castnet::Result<()> {
                let [#(#variables),*] = tensors.get([#(#pieces),*])?;
                #bind
                castnet::blocked::affine::pack(&#op, &norm, &mut packed[#place]);
                Ok(())
            }
        };
        (name, item)
    }
}

/// `Some(Activation::Relu)`, or `None`.
pub(super) fn optional(tokens: Option<TokenStream>) -> TokenStream {
    match tokens {
        Some(tokens) => quote!(Some(#tokens)),
        None => quote!(None),
    }
}
