//! Last stage: programs -> tokens. The generated code is documentation: it must read well.

mod frozen;
mod frozen_call;
mod interface;
mod layers;
mod names;
mod passes;
#[cfg(test)]
mod snapshots;
mod stub;

use crate::descriptor::Code;
use crate::graph::ValueId;
use crate::memory::{Planned, PlannedFrozen};
use crate::program::{Step, StorageId};
use crate::shape::{Shape, Shaped};
use crate::source::Source;
use crate::tokens::{hygienic, int, ints, long, mentions};
use interface::Types;
use layers::Offsets;
use names::Names;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

pub use stub::stub;

/// The struct that the user wrote.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its attributes and doc comments.
    pub attributes: TokenStream,
    /// Its visibility.
    pub vis: TokenStream,
    /// Its name.
    pub name: Ident,
    /// The path of the runtime crate: `::castnet`, whatever the user's crate calls it.
    pub krate: TokenStream,
}

/// Files that the generated code depends on, by their absolute paths: an edit of one compiles the crate again.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The spec; `None` where it stands in the attribute.
    pub spec: Option<String>,
    /// The weights that are built in.
    pub weights: Option<Weights>,
}

/// A file with weights, whose tensors are known to be the network's.
#[derive(Debug, Clone)]
pub struct Weights {
    /// The path as the user wrote it.
    pub written: String,
    /// The absolute path.
    pub path: String,
}

/// What lets an edit of a file compile the crate again.
fn track(path: Option<&String>) -> Option<TokenStream> {
    path.map(|path| {
        quote!(
            const _: &[u8] = ::core::include_bytes!(#path);
        )
    })
}

/// A network that is ready to be emitted.
#[derive(Debug)]
pub struct Compiled {
    /// Shapes, parameters and names.
    pub shaped: Shaped,
    /// The program of evaluation mode.
    pub evaluation: Planned,
    /// The program of a training step.
    pub training: Planned,
    /// The inference program.
    pub inference: PlannedFrozen,
}

/// The struct with its documentation and its implementation.
pub fn network(item: &Item, source: &Source, compiled: &Compiled, files: &Files) -> TokenStream {
    let Compiled { shaped, evaluation, training, inference } = compiled;
    let names = Names::new(shaped);
    let offsets = Offsets::new(shaped);
    let Item { attributes, vis, name, krate } = item;
    let docs = interface::documentation(compiled, source, offsets.parameter_count);
    let docs = docs.iter().map(|line| format!(" {line}"));
    let steps: Vec<&Step> = evaluation.program.steps.iter().chain(&training.program.steps).collect();
    let layers = hygienic(layers::emit(shaped, source, &names, &offsets, &steps));
    let (passes, parts) = emit_passes(compiled, &names);
    let (passes, parts) = (hygienic(passes), hygienic(parts));
    let (frozen_items, freeze) = frozen::emit(shaped, source, &names, &offsets, inference);
    let (frozen_items, freeze) = (hygienic(frozen_items), hygienic(freeze));
    let info = emit_info(compiled, source, &offsets, name);
    let input_shapes: Vec<&Shape> = shaped.inputs.iter().collect();
    let output_shapes: Vec<&Shape> = shaped.outputs.iter().map(|&value| shaped.shape(value)).collect();
    let Types { inputs, output_views, outputs, sample, prediction } = Types::new(&input_shapes, &output_shapes, true);
    let types = Types::new(&input_shapes, &output_shapes, false);
    let constants = interface::constants(item, shaped);
    let predicts = minimum_evaluation_batch(shaped) <= 1;
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
    let body = quote! {
        #layers

        #parts

        impl castnet::Network for #name {
            const INFO: &'static castnet::NetworkInfo = &#info;

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

            #passes
        }

        #frozen_items

        impl castnet::Freeze for #name {
            #freeze
        }

        #loss

        #built_in

        #[allow(dead_code, unreachable_pub)]
        impl #name {
            #constants

            #pretrained

            #methods
        }
    };
    // A user's module may have a `None` of its own.
    let options = ["None", "Some"].map(|word| (mentions(&body, word), format_ident!("{word}")));
    let options = options.iter().filter(|(used, _)| *used).map(|(_, word)| word);
    quote! {
        #attributes
        #(#[doc = #docs])*
        #vis struct #name {
            state: #krate::__private::State,
        }

        const _: () = {
            use ::core::option::Option::{#(#options),*};
            use ::core::result::Result::Ok;
            use #krate::__private as castnet;

            #tracked

            #body
        };
    }
}

/// The passes as functions of the trait, and the functions that the long ones among them call.
fn emit_passes(compiled: &Compiled, names: &Names) -> (TokenStream, TokenStream) {
    let Compiled { shaped, evaluation, training, .. } = compiled;
    let forward = training.program.forward;
    let evaluate = passes::statements(shaped, evaluation, names, &evaluation.program.steps);
    let train = passes::statements(shaped, training, names, &training.program.steps[..forward]);
    let backward = passes::statements(shaped, training, names, &training.program.steps[forward..]);
    let mut parts = TokenStream::new();
    // What a pass does not use is called `_so`, since the user's lints see this code.
    let name = |body: &TokenStream, word: &str| {
        if mentions(body, word) { format_ident!("{word}") } else { format_ident!("_{word}") }
    };
    let write = |function: &Ident, doc: &str, body: &TokenStream, extra: &[(&str, TokenStream)]| {
        let (context, parameters, arena) = (name(body, "context"), name(body, "parameters"), name(body, "arena"));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (word, kind) in extra {
            let word_name = name(body, word);
            let argument = quote!(#word_name: #kind);
            if *word == "inputs" { after.push(argument) } else { before.push(argument) }
        }
        quote! {
            #[doc = #doc]
            fn #function(
                #context: &mut castnet::Context,
                #parameters: &[f32],
                #(#before,)*
                #arena: &mut castnet::Arena,
                #(#after,)*
            ) {
                #body
            }
        }
    };
    let mut pass = |function: &str, doc: &str, bodies: Vec<TokenStream>, extra: &[(&str, TokenStream)]| {
        if let [body] = bodies.as_slice() {
            return write(&format_ident!("{function}"), doc, body, extra);
        }
        let known = |word: &&str| extra.iter().any(|(extra, _)| extra == word);
        let (before, after) =
            (["buffers", "gradients"].into_iter().filter(known), ["inputs"].into_iter().filter(known));
        let arguments: Vec<Ident> = ["context", "parameters"]
            .into_iter()
            .chain(before)
            .chain(["arena"])
            .chain(after)
            .map(|word| format_ident!("{word}"))
            .collect();
        let mut calls = TokenStream::new();
        for (i, body) in bodies.iter().enumerate() {
            let part = format_ident!("{function}_{}", i + 1);
            let doc = format!("{doc} Part {} of {}.", i + 1, bodies.len());
            parts.extend(write(&part, &doc, body, extra));
            calls.extend(quote!(#part(#(#arguments),*);));
        }
        write(&format_ident!("{function}"), doc, &calls, extra)
    };
    let evaluate =
        pass("evaluation_pass", " Evaluation: every layer in turn.", evaluate, &[("buffers", quote!(&[f32]))]);
    let train = pass(
        "training_pass",
        " The forward pass of training: every layer in turn, keeping what the gradients read.",
        train,
        &[("buffers", quote!(&mut [f32]))],
    );
    let backward = pass(
        "backward_pass",
        " The backward pass: the gradients of every layer, the last one first.",
        backward,
        &[("gradients", quote!(&mut [f32])), ("inputs", quote!(bool))],
    );
    let passes = quote! {
        #evaluate

        #train

        #backward
    };
    (passes, parts)
}

fn emit_info(compiled: &Compiled, _source: &Source, offsets: &Offsets, name: &Ident) -> TokenStream {
    let Compiled { shaped, evaluation, training, inference } = compiled;
    let name = name.to_string();
    let value = |name: &str, shape: &Shape, [eval, train, gradient]: [StorageId; 3], frozen: TokenStream| {
        let shape = ints(&shape.0);
        let [eval, train, gradient] = [(evaluation, eval), (training, train), (training, gradient)]
            .map(|(planned, storage)| passes::place(planned, storage));
        quote! {
            castnet::ValueInfo {
                name: #name,
                shape: &#shape,
                evaluation: #eval,
                training: #train,
                gradient: #gradient,
                frozen: #frozen,
            }
        }
    };
    let (e, t) = (&evaluation.program, &training.program);
    let inputs = shaped.header.inputs.iter().zip(&shaped.inputs).enumerate().map(|(i, (input, shape))| {
        let frozen = frozen::place(inference, inference.frozen.inputs[i]);
        value(&input.name, shape, [e.inputs[i], t.inputs[i], t.input_gradients[i]], frozen)
    });
    let outputs = shaped.outputs.iter().enumerate().map(|(i, &output): (usize, &ValueId)| {
        let frozen = frozen::place(inference, inference.frozen.outputs[i]);
        value(shaped.name(output), shaped.shape(output), [e.outputs[i], t.outputs[i], t.output_gradients[i]], frozen)
    });
    let parameters = shaped.nodes.iter().zip(&offsets.parameters).flat_map(|(node, places)| {
        node.op.parameters().into_iter().zip(places).map(|(parameter, &(from, _))| {
            let name = format!("{}.{}", node.site.name, parameter.name);
            let (shape, offset, init) = (ints(&parameter.shape), int(from), parameter.init.code());
            quote!(castnet::ParameterInfo { name: #name, shape: &#shape, offset: #offset, init: #init })
        })
    });
    let buffers = shaped.nodes.iter().zip(&offsets.buffers).flat_map(|(node, places)| {
        node.op.buffers().into_iter().zip(places).map(|(buffer, &(from, _))| {
            let name = format!("{}.{}", node.site.name, buffer.name);
            let (shape, offset, fill) = (ints(&buffer.shape), int(from), crate::tokens::float(buffer.fill));
            quote!(castnet::BufferInfo { name: #name, shape: &#shape, offset: #offset, fill: #fill })
        })
    });
    let (parameter_count, buffer_count) = (int(offsets.parameter_count), int(offsets.buffer_count));
    let macs = long(shaped.nodes.iter().fold(0u64, |sum, node| sum.saturating_add(node.op.macs())));
    let size = |planned: &Planned| {
        let (fixed, per_sample) = (int(planned.size.fixed), int(planned.size.per_sample));
        quote!(castnet::ArenaSize { fixed: #fixed, per_sample: #per_sample })
    };
    let (evaluation, training) = (size(evaluation), size(training));
    let loss = match &shaped.header.loss {
        Some(loss) => {
            let loss = loss.value.code();
            quote!(Some(#loss))
        }
        None => quote!(None),
    };
    let minimum_training = int(shaped.nodes.iter().map(|node| node.op.minimum_batch()).max().unwrap_or(1));
    let minimum_evaluation = int(minimum_evaluation_batch(shaped));
    quote! {
        castnet::NetworkInfo {
            name: #name,
            inputs: &[#(#inputs),*],
            outputs: &[#(#outputs),*],
            parameters: &[#(#parameters),*],
            buffers: &[#(#buffers),*],
            parameter_count: #parameter_count,
            buffer_count: #buffer_count,
            macs: #macs,
            evaluation: #evaluation,
            training: #training,
            loss: #loss,
            minimum_training_batch: #minimum_training,
            minimum_evaluation_batch: #minimum_evaluation,
        }
    }
}

/// The smallest batch whose evaluation is defined: more than one only where statistics of the batch take the place of running ones.
fn minimum_evaluation_batch(shaped: &Shaped) -> usize {
    let own = shaped.nodes.iter().filter(|node| node.op.evaluates_as_trained());
    own.map(|node| node.op.minimum_batch()).max().unwrap_or(1)
}
