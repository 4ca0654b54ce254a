//! The tables that describe a network: names, shapes and places of everything, and the passes.

use super::calls::Emitter;
use super::offsets::Offsets;
use super::spans::Spans;
use crate::compiled::Compiled;
use crate::descriptor::Code;
use crate::lower::cut::TAIL_BATCH;
use crate::lower::operation::Extent;
use crate::shape::{Shape, Shaped};
use crate::tokens::{float, int, ints, long};
use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};

/// The modules with the places of all programs' values.
pub(super) struct AllSpans<'a> {
    pub evaluation: Spans<'a>,
    pub training: Spans<'a>,
    pub head: Spans<'a>,
    pub tail: Spans<'a>,
}

/// `INFO`.
pub(super) fn network(compiled: &Compiled, offsets: &Offsets, name: &Ident, spans: &AllSpans<'_>) -> TokenStream {
    let Compiled { shaped, evaluation, training, inference } = compiled;
    let name = name.to_string();
    let value = |name: &str, shape: &Shape, places: [TokenStream; 4]| {
        let (shape, [evaluation, training, gradient, frozen]) = (ints(&shape.0), places);
        quote! {
            castnet::ValueInfo {
                name: #name,
                shape: &#shape,
                evaluation: #evaluation,
                training: #training,
                gradient: #gradient,
                frozen: #frozen,
            }
        }
    };
    let (e, t, f) = (&evaluation.program, &training.program, &inference.program);
    let inputs = shaped.header.inputs.iter().zip(&shaped.inputs).enumerate().map(|(i, (input, shape))| {
        let [trained, gradient] = [t.inputs[i], t.input_gradients[i]].map(|id| spans.training.path(id));
        value(&input.name, shape, [spans.evaluation.path(e.inputs[i]), trained, gradient, spans.tail.path(f.inputs[i])])
    });
    let outputs = shaped.outputs.iter().enumerate().map(|(i, &output)| {
        let [trained, gradient] = [t.outputs[i], t.output_gradients[i]].map(|id| spans.training.path(id));
        let places = [spans.evaluation.path(e.outputs[i]), trained, gradient, spans.tail.path(f.outputs[i])];
        value(shaped.name(output), shaped.shape(output), places)
    });
    let parameters = shaped.nodes.iter().zip(&offsets.parameters).flat_map(|(node, places)| {
        node.op.parameters().into_iter().zip(places).map(|(parameter, place)| {
            let name = format!("{}.{}", node.site.name, parameter.name);
            let (shape, offset, init) = (ints(&parameter.shape), int(place.start), parameter.init.code());
            quote!(castnet::ParameterInfo { name: #name, shape: &#shape, offset: #offset, init: #init })
        })
    });
    let buffers = shaped.nodes.iter().zip(&offsets.buffers).flat_map(|(node, places)| {
        node.op.buffers().into_iter().zip(places).map(|(buffer, place)| {
            let name = format!("{}.{}", node.site.name, buffer.name);
            let (shape, offset, fill) = (ints(&buffer.shape), int(place.start), float(buffer.fill));
            quote!(castnet::BufferInfo { name: #name, shape: &#shape, offset: #offset, fill: #fill })
        })
    });
    let (parameter_count, buffer_count) = (int(offsets.parameter_count), int(offsets.buffer_count));
    let macs = long(shaped.nodes.iter().fold(0u64, |sum, node| sum.saturating_add(node.op.macs())));
    let (evaluation, training) = (size(evaluation.first.size), size(training.first.size));
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
        /// What is known of the network.
        pub(super) const INFO: &castnet::NetworkInfo = &castnet::NetworkInfo {
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
        };
    }
}

/// `FROZEN`: sizes, what the head leaves to the tail, and the functions that pack and run. `packs` are the functions that pack calls.
pub(super) fn frozen(
    compiled: &Compiled,
    emitter: &Emitter<'_>,
    spans: &AllSpans<'_>,
    packs: &[Ident],
    [head, tail]: [bool; 2],
) -> TokenStream {
    let planned = &compiled.inference;
    let packed = emitter.packed_end();
    let none = Extent::default();
    let (first, second) = (size(planned.first.size), size(planned.second.as_ref().map_or(none, |arena| arena.size)));
    let crossing = planned.crossing.iter().map(|&id| {
        let [from, to] = [&spans.head, &spans.tail].map(|spans| spans.path(id));
        quote!((#from, #to))
    });
    let tail_batch = if planned.program.whole_batch { quote!(usize::MAX) } else { int(TAIL_BATCH).to_token_stream() };
    let function = |there: bool, name: TokenStream| if there { quote!(Some(#name)) } else { quote!(None) };
    let pack = function(!packs.is_empty(), quote!(pack));
    let (head, tail) = (function(head, quote!(head_pass)), function(tail, quote!(tail_pass)));
    let pack_all = (!packs.is_empty()).then(|| {
        quote! {
            /// Packs the weights of all layers.
            fn pack(tensors: &mut castnet::Tensors<'_>, packed: &mut [f32]) -> castnet::Result<()> {
                #(#packs(tensors, packed)?;)*
                Ok(())
            }
        }
    });
    quote! {
        #pack_all

        /// The inference program.
        pub(super) const FROZEN: &castnet::FrozenInfo = &castnet::FrozenInfo {
            packed: #packed,
            head: #first,
            tail: #second,
            crossing: &[#(#crossing),*],
            tail_batch: #tail_batch,
            pack: #pack,
            head_pass: #head,
            tail_pass: #tail,
        };
    }
}

fn size(Extent { fixed, per_sample }: Extent) -> TokenStream {
    let (fixed, per_sample) = (int(fixed), int(per_sample));
    quote!(castnet::ArenaSize { fixed: #fixed, per_sample: #per_sample })
}

/// The smallest batch whose evaluation is defined: more than one only where statistics of the batch take the place of running ones.
pub(super) fn minimum_evaluation_batch(shaped: &Shaped) -> usize {
    let own = shaped.nodes.iter().filter(|node| node.op.evaluates_as_trained());
    own.map(|node| node.op.minimum_batch()).max().unwrap_or(1)
}
