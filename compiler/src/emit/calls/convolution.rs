//! Convolutions of the inference program as code.

use super::packing::optional;
use super::{CallCode, Emitter, Run};
use crate::descriptor::Code;
use crate::lower::algorithm::{BlockedAlgorithm, PlanarAlgorithm};
use crate::lower::cost::Modelled;
use crate::lower::operation::Convolution;
use crate::lower::program::{Call, Part};
use crate::tokens::{int, ints};
use castnet_descriptors::Conv2d;
use proc_macro2::TokenStream;
use quote::quote;

impl Emitter<'_> {
    /// Between blocked values.
    pub(super) fn blocked_convolution(
        &mut self,
        call: &Call,
        layer: usize,
        it: &Convolution,
        algorithm: BlockedAlgorithm,
    ) -> CallCode {
        let op = self.network.names.constant(layer, "_FROZEN");
        let [input, output] = [Part::Input(0), Part::Output].map(|part| self.blocked(self.value(call, part)));
        let residual = call.part(Part::Residual);
        let place_of_residual = optional(residual.map(|id| self.blocked(id)));
        let Conv2d { kernel, stride, padding, dilation, groups, .. } = it.sizes;
        let [kernel, stride, padding, dilation] = [kernel, stride, padding, dilation].map(|sizes| ints(&sizes));
        let groups = int(groups);
        let activation = it.activation.code();
        let module = match algorithm {
            BlockedAlgorithm::Direct => quote!(direct),
            BlockedAlgorithm::Depthwise => quote!(depthwise),
            BlockedAlgorithm::WinogradF2 => quote!(winograd::f2),
            BlockedAlgorithm::WinogradF4 => quote!(winograd::f4),
            BlockedAlgorithm::WinogradF2Of5 => quote!(winograd::f2_5x5),
        };
        let doc = self.doc(call, &describe(&it.sizes, algorithm, "convolution"));
        let run = self.network.names.function(layer, "_frozen");
        let (place, place_item) = self.place(layer, &quote!(castnet::blocked::#module::packed_len(&#op)));
        let (pack, pack_item) = self.pack_weights(layer, it.norm.as_ref(), &module, &op, &place);
        let (argument, value) = match residual {
            None => (TokenStream::new(), quote!(None)),
            Some(_) => (quote!(residual: &[f32],), quote!(Some(residual))),
        };
        let halo = self.zero_halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
                input: #input,
                output: #output,
                kernel: #kernel,
                stride: #stride,
                padding: #padding,
                dilation: #dilation,
                groups: #groups,
                residual: #place_of_residual,
                activation: #activation,
            };
            #place_item
            #pack_item
            #[doc = #doc]
            fn #run(
                context: &mut castnet::Context,
                packed: &[f32],
                input: &[f32],
                #argument
                output: &mut [f32],
            ) {
                #halo
                castnet::blocked::#module::run(context, &#op, input, &packed[#place], #value, output);
            }
        };
        CallCode { items, pack: Some(pack), run: Run::function(quote!(#run), &["context", "packed"]) }
    }

    /// From a plain value of few channels to a blocked one.
    pub(super) fn convolution_from_planar(
        &mut self,
        call: &Call,
        layer: usize,
        it: &Convolution,
        algorithm: PlanarAlgorithm,
    ) -> CallCode {
        let module = match algorithm {
            PlanarAlgorithm::Direct => quote!(planar_input),
            PlanarAlgorithm::WinogradF2Of5 => quote!(winograd::planar_input::f2_5x5),
            PlanarAlgorithm::WinogradF4Of7 => quote!(winograd::planar_input::f4_7x7),
        };
        let what = describe(&it.sizes, algorithm, "convolution from a planar value");
        let output = self.blocked(self.value(call, Part::Output));
        self.of_plain_input(call, layer, it, &module, &quote!(PlanarInputConv2d), &output, &what)
    }

    /// From few channels to few, between plain values.
    pub(super) fn planar_convolution(&mut self, call: &Call, layer: usize, it: &Convolution) -> CallCode {
        let output = ints(&self.program.values[self.value(call, Part::Output)].sizes());
        let what = "direct convolution between planar values of few channels";
        self.of_plain_input(call, layer, it, &quote!(planar), &quote!(PlanarConv2d), &output, what)
    }

    #[allow(clippy::too_many_arguments)]
    fn of_plain_input(
        &mut self,
        call: &Call,
        layer: usize,
        it: &Convolution,
        module: &TokenStream,
        kind: &TokenStream,
        output: &TokenStream,
        what: &str,
    ) -> CallCode {
        let op = self.network.names.constant(layer, "_FROZEN");
        let Conv2d { input, kernel, stride, padding, dilation, .. } = it.sizes;
        let input = ints(&input);
        let [kernel, stride, padding, dilation] = [kernel, stride, padding, dilation].map(|sizes| ints(&sizes));
        let activation = it.activation.code();
        let pool = it.pool.code();
        let doc = self.doc(call, what);
        let run = self.network.names.function(layer, "_frozen");
        let (place, place_item) = self.place(layer, &quote!(castnet::blocked::#module::packed_len(&#op)));
        let (pack, pack_item) = self.pack_weights(layer, it.norm.as_ref(), module, &op, &place);
        let halo = self.zero_halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::blocked::#kind = castnet::blocked::#kind {
                input: #input,
                output: #output,
                kernel: #kernel,
                stride: #stride,
                padding: #padding,
                dilation: #dilation,
                activation: #activation,
                pool: #pool,
            };
            #place_item
            #pack_item
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, packed: &[f32], input: &[f32], output: &mut [f32]) {
                #halo
                castnet::blocked::#module::run(context, &#op, input, &packed[#place], output);
            }
        };
        CallCode { items, pack: Some(pack), run: Run::function(quote!(#run), &["context", "packed"]) }
    }
}

/// `Winograd F(4x4) convolution, by the model 48.1 µs on one core; direct 119.0, Winograd F(2x2) 67.2`.
fn describe<A: Modelled>(sizes: &Conv2d, algorithm: A, what: &str) -> String {
    let time = |algorithm: A| format!("{:.1}", algorithm.nanoseconds(sizes, 1) / 1000.0);
    let others: Vec<String> = A::ALL
        .iter()
        .filter(|other| **other != algorithm && !other.is_depthwise() && !algorithm.is_depthwise())
        .filter(|other| other.computes(sizes))
        .map(|&other| format!("{other} {}", time(other)))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    format!("{algorithm} {what}, by the model {} µs on one core{others}", time(algorithm))
}
