//! Linear layers of the inference program as code.

use super::{CallCode, Emitter, Run};
use crate::descriptor::Code;
use crate::lower::operation::Linear;
use crate::lower::program::Call;
use crate::tokens::int;
use quote::quote;

impl Emitter<'_> {
    pub(super) fn linear(&mut self, call: &Call, layer: usize, it: &Linear) -> CallCode {
        let op = self.network.names.constant(layer, "_FROZEN");
        let [in_features, out_features] = [it.sizes.in_features, it.sizes.out_features].map(int);
        let activation = it.activation.code();
        let map = it.map.code();
        let what = match it.map {
            Some(_) => "a product with weights that are packed in the order of the blocked map",
            None => "a product with packed weights",
        };
        let doc = self.doc(call, what);
        let run = self.network.names.function(layer, "_frozen");
        let (place, place_item) = self.place(layer, &quote!(castnet::blocked::linear::packed_len(&#op)));
        let (pack, pack_item) = self.pack_weights(layer, it.norm.as_ref(), &quote!(linear), &op, &place);
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
        CallCode { items, pack: Some(pack), run: Run::function(quote!(#run), &["context", "packed"]) }
    }
}
