//! Last stage: programs -> tokens. The generated code is documentation: it must read well.

mod calls;
mod documentation;
mod info;
mod interface;
mod item;
mod names;
mod offsets;
mod passes;
#[cfg(test)]
mod snapshots;
mod spans;
mod stub;

use crate::compiled::Compiled;
use crate::descriptor::Code;
use crate::memory::Planned;
use crate::shape::Shape;
use crate::source::Source;
use crate::tokens::hygienic;
use calls::{CallCode, Emitter};
use info::AllSpans;
use interface::Types;
use item::track;
use names::Names;
use offsets::Offsets;
use passes::Pass;
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use spans::Spans;
use std::collections::HashSet;
use std::ops::Range;

pub use item::{Files, Item, Weights};
pub use stub::stub;

/// The struct with its documentation and its implementation.
pub fn network(item: &Item, source: &Source, compiled: &Compiled, files: &Files) -> TokenStream {
    let shaped = &compiled.shaped;
    let Item { attributes, vis, name, krate } = item;
    let offsets = Offsets::new(shaped);
    let docs = documentation::lines(compiled, source, offsets.parameter_count);
    let docs = docs.iter().map(|line| format!(" {line}"));
    let inside = hygienic(inside(item, source, compiled, &offsets));
    let input_shapes: Vec<&Shape> = shaped.inputs.iter().collect();
    let output_shapes: Vec<&Shape> = shaped.outputs.iter().map(|&value| shaped.shape(value)).collect();
    let Types { inputs, output_views, outputs, sample, prediction } = Types::new(&input_shapes, &output_shapes, true);
    let types = Types::new(&input_shapes, &output_shapes, false);
    let constants = interface::constants(item, shaped);
    let predicts = info::minimum_evaluation_batch(shaped) <= 1;
    let methods = interface::methods(item, &types, predicts);
    let loss = shaped.header.loss.as_ref().map(|loss| {
        let loss = loss.value.code();
        quote! {
            impl castnet::NetworkWithLoss for #name {
                const LOSS: castnet::Loss = #loss;
            }
        }
    });
    let tracked = track(files.spec.as_ref());
    let pretrained = files.weights.as_ref().map(|weights| interface::pretrained(item, weights));
    let built_in = files.weights.as_ref().map(|weights| {
        let path = &weights.path;
        quote! {
            impl castnet::Pretrained for #name {
                const FILE: &'static [u8] = ::core::include_bytes!(#path);
            }
        }
    });
    quote! {
        #attributes
        #(#[doc = #docs])*
        #vis struct #name {
            state: #krate::__private::State,
        }

        const _: () = {
            use #krate::__private as castnet;
            use castnet::scope::*;

            #tracked

            /// The layers, and the passes through them.
            mod network {
                use #krate::__private as castnet;
                use castnet::scope::*;

                #inside
            }

            impl castnet::Network for #name {
                const INFO: &'static castnet::NetworkInfo = network::INFO;
                const PASSES: castnet::Passes = network::PASSES;

                type Inputs<'a> = #inputs;
                type OutputViews<'a> = #output_views;
                type Outputs = #outputs;
                type Sample<'a> = #sample;
                type Prediction = #prediction;

                fn state(&self) -> &castnet::State {
                    &self.state
                }

                fn state_mut(&mut self) -> &mut castnet::State {
                    &mut self.state
                }

                fn from_state(state: castnet::State) -> Self {
                    Self { state }
                }
            }

            impl castnet::Freeze for #name {
                const FROZEN: &'static castnet::FrozenInfo = network::FROZEN;
            }

            #loss

            #built_in

            #[allow(dead_code, unreachable_pub, clippy::missing_errors_doc)]
            impl #name {
                #constants

                #pretrained

                #methods
            }
        };
    }
}

/// What stands in the module of the generated code, where nothing of the user's module is in sight.
fn inside(item: &Item, source: &Source, compiled: &Compiled, offsets: &Offsets) -> TokenStream {
    let Compiled { shaped, evaluation, training, inference } = compiled;
    let names = Names::new(shaped);
    let network = calls::Network { shaped, source, names: &names, offsets };
    let variables = [evaluation, training, inference].map(|planned| names.variables(&planned.program));
    let [of_evaluation, of_training, of_inference] = variables.each_ref().map(Vec::as_slice);
    let second = inference.second.as_ref().unwrap_or(&inference.first);
    let spans = AllSpans {
        evaluation: Spans::new(&evaluation.program, &evaluation.first, "evaluation", of_evaluation),
        training: Spans::new(&training.program, &training.first, "training", of_training),
        head: Spans::new(&inference.program, &inference.first, "head", of_inference),
        tail: Spans::new(&inference.program, second, "tail", of_inference),
    };
    let mut done = HashSet::new();
    let mut codes = |planned| {
        let mut emitter = Emitter::new(network, planned, &mut done);
        planned.program.calls.iter().map(|call| emitter.emit(call)).collect::<Vec<CallCode>>()
    };
    let evaluated = codes(evaluation);
    let trained = codes(training);
    let mut emitter = Emitter::new(network, inference, &mut done);
    let frozen: Vec<CallCode> = inference.program.calls.iter().map(|call| emitter.emit(call)).collect();
    let layers = by_layer(&[(evaluation, &evaluated), (training, &trained)]);
    let frozen_items = frozen.iter().map(|code| &code.items);
    let packs: Vec<Ident> = frozen.iter().filter_map(|code| code.pack.clone()).collect();

    let context = ("context", quote!(&mut castnet::Context));
    let parameters = ("parameters", quote!(&[f32]));
    let packed = ("packed", quote!(&[f32]));
    let arena = ("arena", quote!(&mut castnet::Arena));
    let evaluation_pass = Pass {
        name: "evaluation_pass",
        doc: "Evaluation: every layer in turn.",
        arguments: vec![context.clone(), parameters.clone(), ("buffers", quote!(&[f32])), arena.clone()],
        spans: &spans.evaluation,
    };
    let training_pass = Pass {
        name: "training_pass",
        doc: "The forward pass of training: every layer in turn, keeping what the gradients read.",
        arguments: vec![context.clone(), parameters.clone(), ("buffers", quote!(&mut [f32])), arena.clone()],
        spans: &spans.training,
    };
    let gradients = ("gradients", quote!(&mut [f32]));
    let backward_pass = Pass {
        name: "backward_pass",
        doc: "The backward pass: the gradients of every layer, the last one first; those of the network's inputs if `inputs` says so.",
        arguments: vec![context.clone(), parameters, gradients, arena.clone(), ("inputs", quote!(bool))],
        spans: &spans.training,
    };
    let head_pass = Pass {
        name: "head_pass",
        doc: "The layers that samples go through one by one.",
        arguments: vec![context.clone(), packed.clone(), ("inputs", quote!(&[&[f32]])), arena.clone()],
        spans: &spans.head,
    };
    let tail_pass = Pass {
        name: "tail_pass",
        doc: "The layers that a batch goes through together.",
        arguments: vec![context, packed, arena],
        spans: &spans.tail,
    };

    let emit = |pass: &Pass<'_>, planned: &Planned, codes: &[CallCode], calls: Range<usize>| {
        pass.emit(&planned.program, &planned.program.calls[calls.clone()], &codes[calls])
    };
    let whole = |planned: &Planned| planned.program.calls.len();
    let evaluate = emit(&evaluation_pass, evaluation, &evaluated, 0..whole(evaluation));
    let train = emit(&training_pass, training, &trained, 0..training.program.cut);
    let backward = emit(&backward_pass, training, &trained, training.program.cut..whole(training));
    let head = emit(&head_pass, inference, &frozen, 0..inference.program.cut);
    let tail = emit(&tail_pass, inference, &frozen, inference.program.cut..whole(inference));
    let frozen_info = info::frozen(compiled, &emitter, &spans, &packs, [head.is_some(), tail.is_some()]);
    let info = info::network(compiled, offsets, &item.name, &spans);
    let modules = [
        spans.evaluation.emit("Where values lie in evaluation."),
        spans.training.emit("Where values and their gradients lie in training."),
        spans.head.emit("Where values lie while samples go through the inference program one by one."),
        spans.tail.emit("Where values lie while a batch goes through the inference program together."),
    ];
    quote! {
        #info

        #layers

        #(#modules)*

        #evaluate

        #train

        #backward

        /// The passes of evaluation and of training.
        pub(super) const PASSES: castnet::Passes =
            castnet::Passes { evaluation: evaluation_pass, training: training_pass, backward: backward_pass };

        #(#frozen_items)*

        #head

        #tail

        #frozen_info
    }
}

/// The functions of the layers in the order of the spec, each layer's together.
fn by_layer(programs: &[(&Planned, &Vec<CallCode>)]) -> TokenStream {
    let codes = programs.iter().flat_map(|(planned, codes)| planned.program.calls.iter().zip(codes.iter()));
    let mut items: Vec<(usize, &TokenStream)> =
        codes.filter_map(|(call, code)| Some((call.layer()?, &code.items))).collect();
    items.sort_by_key(|(layer, _)| *layer);
    items.into_iter().flat_map(|(_, items)| items.clone()).collect()
}
