//! Convolutions of the inference program as code.

use super::{Emitted, Emitter, local};
use crate::cost::{Algorithm, Work};
use crate::descriptor::Code;
use crate::layers::Role;
use crate::layout::{Call, sizes};
use crate::tokens::{int, ints};
use castnet_descriptors::Conv2d;
use proc_macro2::TokenStream;
use quote::quote;

impl Emitter<'_> {
    pub(super) fn convolution(&mut self, call: &Call, algorithm: Algorithm) -> Emitted {
        let main = call.fused.main;
        let Role::Convolution(form) = self.shaped.nodes[main].op.role() else { unreachable!("a convolution") };
        let Conv2d { kernel, stride, padding, dilation, groups, .. } = form;
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
        let module = path(algorithm.module());
        let work = Work {
            form,
            input: self.frozen.values[call.inputs[0]].sizes,
            output: self.frozen.values[call.output].sizes,
        };
        let doc =
            self.doc(call, &describe(&work, algorithm, "convolution", |algorithm| work.nanoseconds(algorithm, 1)));
        let run = self.names.function(main, "_frozen");
        let (place, place_item) = self.packed(call, quote!(castnet::blocked::#module::packed_len(&#op)));
        let (pack, pack_item) = self.pack_weights(call, &module, &op, &place);
        let (argument, value) = match call.inputs.len() {
            1 => (TokenStream::new(), quote!(None)),
            _ => (quote!(residual: &[f32],), quote!(Some(residual))),
        };
        let halo = self.halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::blocked::BlockedConv2d = castnet::blocked::BlockedConv2d {
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
                castnet::blocked::#module::run(context, &#op, input, &packed[#place], #value, output);
            }
        };
        Emitted { items, pack: Some(pack), run }
    }

    /// A convolution from a planar value: into a blocked one, by an algorithm, or where there are few channels into a planar one.
    pub(super) fn first_convolution(&mut self, call: &Call, algorithm: Option<Algorithm>) -> Emitted {
        let main = call.fused.main;
        let Role::Convolution(form) = self.shaped.nodes[main].op.role() else { unreachable!("a convolution") };
        let op = self.names.constant(main, "_FROZEN");
        let input = ints(&self.frozen.values[call.inputs[0]].sizes);
        let (module, kind, output, what) = if let Some(algorithm) = algorithm {
            // The sizes before the pool, which is a part of the call.
            let to = sizes(&self.shaped.nodes[main].output);
            let work = Work { form, input: self.frozen.values[call.inputs[0]].sizes, output: to };
            let what = describe(&work, algorithm, "convolution from a planar value", |algorithm| {
                work.planar_nanoseconds(algorithm)
            });
            (path(algorithm.planar_module()), quote!(PlanarInputConv2d), self.blocked(call.output), what)
        } else {
            let output = ints(&self.frozen.values[call.output].sizes);
            let what = "direct convolution between planar values of few channels";
            (quote!(planar), quote!(PlanarConv2d), output, what.into())
        };
        let activation = self.activation(call);
        let pool = call.fused.pool.map(|(_, pool)| pool).code();
        let [kernel, stride, padding, dilation] =
            [form.kernel, form.stride, form.padding, form.dilation].map(|sizes| ints(&sizes));
        let doc = self.doc(call, &what);
        let run = self.names.function(main, "_frozen");
        let (place, place_item) = self.packed(call, quote!(castnet::blocked::#module::packed_len(&#op)));
        let (pack, pack_item) = self.pack_weights(call, &module, &op, &place);
        let halo = self.halo(call, quote!(#op.output));
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
        Emitted { items, pack: Some(pack), run }
    }
}

/// The path of the module that computes what the algorithm has been chosen for.
fn path(names: Option<&[&str]>) -> TokenStream {
    let Some(names) = names else { unreachable!("an algorithm is chosen for what it computes") };
    let names = names.iter().map(|name| local(name));
    quote!(#(#names)::*)
}

/// `Winograd F(4x4) convolution, by the model 48.1 µs on one core; direct 119.0, Winograd F(2x2) 67.2`.
fn describe(work: &Work, algorithm: Algorithm, what: &str, nanoseconds: impl Fn(Algorithm) -> f64) -> String {
    let time = |algorithm: Algorithm| format!("{:.1}", nanoseconds(algorithm) / 1000.0);
    let others: Vec<String> = [Algorithm::Direct]
        .into_iter()
        .chain(Algorithm::OTHERS)
        .filter(|&other| other != algorithm && other != Algorithm::Depthwise && algorithm != Algorithm::Depthwise)
        .filter(|&other| work.allows(other) && nanoseconds(other).is_finite())
        .map(|other| format!("{other} {}", time(other)))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; {}", others.join(", ")) };
    format!("{algorithm} {what}, by the model {} µs on one core{others}", time(algorithm))
}
