//! Convolutions of the inference program as code.

use super::{Emitted, Emitter, local};
use crate::cost::{Algorithm, Work};
use crate::layout::{Call, Kernel};
use crate::ops::{Convolution, Role};
use crate::tokens::{int, ints};
use proc_macro2::TokenStream;
use quote::quote;

impl Emitter<'_> {
    pub(super) fn convolution(&mut self, call: &Call, algorithm: Algorithm) -> Emitted {
        let main = call.fused.main;
        let Role::Convolution(form) = self.shaped.nodes[main].op.role() else { unreachable!("a convolution") };
        let Convolution { kernel, stride, padding, dilation, groups, .. } = form;
        let op = self.names.constant(main, "_FROZEN");
        let (input, output) = (self.blocked(call.inputs[0]), self.blocked(call.output));
        let residual = match call.inputs.get(1) {
            Some(&id) => {
                let residual = self.blocked(id);
                quote!(Some(#residual))
            }
            None => quote!(None),
        };
        let activation = self.activation(call);
        let [kernel, stride, padding, dilation] = [kernel, stride, padding, dilation].map(|sizes| ints(&sizes));
        let groups = int(groups);
        let path = algorithm.module().iter().map(|name| local(name));
        let module = quote!(#(#path)::*);
        let work = Work {
            form,
            input: self.frozen.values[call.inputs[0]].sizes,
            output: self.frozen.values[call.output].sizes,
        };
        let doc = self.doc(call, &describe(&work, algorithm));
        let run = self.names.function(main, "_frozen");
        let (place, place_item) = self.packed(call, quote!(castnet::inference::#module::packed_len(&#op)));
        let (pack, pack_item) = self.pack_weights(call, &module, &op, &place);
        let (argument, value) = match call.inputs.len() {
            1 => (TokenStream::new(), quote!(None)),
            _ => (quote!(residual: &[f32],), quote!(Some(residual))),
        };
        let halo = self.halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::inference::BlockedConv2d = castnet::inference::BlockedConv2d {
                input: #input,
                output: #output,
                kernel: #kernel,
                stride: #stride,
                padding: #padding,
                dilation: #dilation,
                groups: #groups,
                residual: #residual,
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
                castnet::inference::#module::run(context, &#op, input, &packed[#place], #value, output);
            }
        };
        Emitted { items, pack: Some(pack), run }
    }

    /// A convolution from a planar value, into a blocked one or, where there are few channels, a planar one.
    pub(super) fn first_convolution(&mut self, call: &Call) -> Emitted {
        let main = call.fused.main;
        let Role::Convolution(form) = self.shaped.nodes[main].op.role() else { unreachable!("a convolution") };
        let op = self.names.constant(main, "_FROZEN");
        let input = ints(&self.frozen.values[call.inputs[0]].sizes);
        let narrow = call.kernel == Kernel::NarrowConvolution;
        let (module, kind, output, what) = if narrow {
            let output = ints(&self.frozen.values[call.output].sizes);
            (quote!(narrow), quote!(NarrowConv2d), output, "direct convolution between planar values of few channels")
        } else {
            let output = self.blocked(call.output);
            (quote!(planar), quote!(PlanarConv2d), output, "direct convolution from a planar value")
        };
        let activation = self.activation(call);
        let pool = match call.fused.pool {
            Some((_, pool)) => {
                let pool = pool.tokens();
                quote!(Some(#pool))
            }
            None => quote!(None),
        };
        let [kernel, stride, padding, dilation] =
            [form.kernel, form.stride, form.padding, form.dilation].map(|sizes| ints(&sizes));
        let doc = self.doc(call, what);
        let run = self.names.function(main, "_frozen");
        let (place, place_item) = self.packed(call, quote!(castnet::inference::#module::packed_len(&#op)));
        let (pack, pack_item) = self.pack_weights(call, &module, &op, &place);
        let halo = self.halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::inference::#kind = castnet::inference::#kind {
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
                castnet::inference::#module::run(context, &#op, input, &packed[#place], output);
            }
        };
        Emitted { items, pack: Some(pack), run }
    }
}

/// `Winograd F(4x4), which the model gives 48 µs of one core (direct 119, F(2x2) 67)`.
fn describe(work: &Work, algorithm: Algorithm) -> String {
    let time = |algorithm: Algorithm| format!("{:.1}", work.nanoseconds(algorithm, 1) / 1000.0);
    let others: Vec<String> = [Algorithm::Direct, Algorithm::WinogradF2, Algorithm::WinogradF4]
        .into_iter()
        .filter(|&other| other != algorithm && algorithm != Algorithm::Depthwise && work.allows(other))
        .map(|other| format!("{other} {}", time(other)))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    format!("{algorithm} convolution, by the model {} µs on one core{others}", time(algorithm))
}
