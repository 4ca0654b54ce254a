//! The layers' own functions as code: one for the forward pass, one for each gradient.

use super::{CallCode, Emitter, Run, local, many, part_name};
use crate::layers::op::Call as Names;
use crate::lower::operation::{Function, Gradient};
use crate::lower::program::{Access, Call, Part};
use crate::tokens::{grouped, int, long, mentions};
use proc_macro2::TokenStream;
use quote::quote;
use std::ops::Range;

impl Emitter<'_> {
    /// A function of a layer, with its descriptor, and the call of it.
    pub(super) fn own(&mut self, call: &Call, layer: usize, function: Function) -> CallCode {
        let it = &self.network.shaped.nodes[layer];
        let op = &it.op;
        let mut leading = vec!["context"];
        let suffix = match function {
            Function::Forward | Function::ForwardTrain => {
                leading.extend((!op.parameters().is_empty()).then_some("parameters"));
                leading.extend((!op.buffers().is_empty()).then_some("buffers"));
                if function == Function::ForwardTrain { "_train".into() } else { String::new() }
            }
            Function::Gradient(gradient) => {
                leading.extend(op.reads(gradient).parameters.then_some("parameters"));
                leading.extend((gradient == Gradient::Parameters).then_some("gradients"));
                match gradient {
                    Gradient::Parameters => "_grad_parameters".into(),
                    Gradient::Input(which) if it.inputs.len() > 1 => format!("_grad_input_{which}"),
                    Gradient::Input(_) => "_grad_input".into(),
                }
            }
        };
        let name = self.network.names.function(layer, &suffix);
        let run = Run::function(quote!(#name), &leading);
        if !self.done.insert(name.to_string()) {
            return CallCode { items: TokenStream::new(), pack: None, run };
        }
        let names = self.names_of(layer, &self.network.offsets.parameters[layer], &self.network.offsets.buffers[layer]);
        let (doc, body) = match function {
            Function::Forward => (self.forward_doc(layer), op.forward(&names)),
            Function::ForwardTrain => (self.train_doc(layer), op.forward_train(&names)),
            Function::Gradient(Gradient::Parameters) => {
                (format!("Gradients of the parameters of `{}`.", it.site.name), op.backward_parameters(&names))
            }
            Function::Gradient(Gradient::Input(which)) => {
                let from = self.network.shaped.name(it.inputs[which]);
                let doc = format!("Gradient of `{}` for its input, `{from}`.", it.site.name);
                (doc, op.backward_input(&names, which))
            }
        };
        let arguments = leading.iter().map(|&word| {
            let name = local(word);
            match word {
                "context" => quote!(#name: &mut castnet::Context),
                "gradients" => quote!(#name: &mut [f32]),
                "buffers" if function == Function::ForwardTrain => quote!(#name: &mut [f32]),
                _ => quote!(#name: &[f32]),
            }
        });
        let values = call.operands.iter().map(|operand| {
            let name = part_name(operand.part, it.inputs.len());
            if operand.access == Access::Read { quote!(#name: &[f32]) } else { quote!(#name: &mut [f32]) }
        });
        let many = many(leading.len() + call.operands.len());
        let doc = format!(" {doc}");
        let before = [self.descriptor(layer), self.stream(layer, &names, &body)];
        let items = quote! {
            #(#before)*
            #[doc = #doc]
            #many
            fn #name(#(#arguments,)* #(#values),*) {
                #body
            }
        };
        CallCode { items, pack: None, run }
    }

    /// The layer's descriptor of sizes, if it has one and it does not stand there already.
    fn descriptor(&mut self, layer: usize) -> Option<TokenStream> {
        let (kind, value) = self.network.shaped.nodes[layer].op.descriptor()?;
        let name = self.network.names.descriptor(layer);
        self.done.insert(name.to_string()).then(|| quote!(static #name: #kind = #value;))
    }

    /// The number of the layer's stream of random numbers, where a body draws from it.
    fn stream(&mut self, layer: usize, names: &Names, body: &TokenStream) -> Option<TokenStream> {
        let name = &names.stream;
        let draws = mentions(body, &name.to_string()) && self.done.insert(name.to_string());
        draws.then(|| {
            let doc = format!(
                " The stream of random numbers of `{}`: every layer that draws has one of its own.",
                self.network.shaped.nodes[layer].site.name
            );
            let number = long(layer as u64);
            quote! {
                #[doc = #doc]
                const #name: u64 = #number;
            }
        })
    }

    /// The names under which a layer's bodies find things, for these ranges of its parameters and buffers.
    pub(super) fn names_of(&self, layer: usize, parameters: &[Range<usize>], buffers: &[Range<usize>]) -> Names {
        let it = &self.network.shaped.nodes[layer];
        let tokens = parameters.iter().map(|range| {
            let (from, to) = (int(range.start), int(range.end));
            quote!(#from..#to)
        });
        Names {
            op: self.network.names.descriptor(layer),
            inputs: (0..it.inputs.len()).map(|i| part_name(Part::Input(i), it.inputs.len())).collect(),
            parameters: tokens.clone().map(|range| quote!(&parameters[#range])).collect(),
            gradients: tokens.map(|range| quote!(&mut gradients[#range])).collect(),
            ranges: parameters.to_vec(),
            buffers: buffers.to_vec(),
            stream: self.network.names.constant(layer, "_STREAM"),
            gives_indices: it.gives_indices,
        }
    }

    fn shapes(&self, layer: usize) -> String {
        let shaped = self.network.shaped;
        let it = &shaped.nodes[layer];
        let inputs: Vec<String> = it.inputs.iter().map(|&value| format!("`{}`", shaped.shape(value))).collect();
        format!("{} -> `{}`", inputs.join(", "), it.output)
    }

    /// `` `conv1` (conv2d), specs/lenet5.toml:8: `[1, 28, 28]` -> `[6, 28, 28]`; 156 parameters, 117,600 multiply-accumulates. ``
    fn forward_doc(&self, layer: usize) -> String {
        let it = &self.network.shaped.nodes[layer];
        let count: usize = it.op.parameters().iter().map(|it| it.shape.iter().product::<usize>()).sum();
        let mut costs = Vec::new();
        if count > 0 {
            costs.push(format!("{} parameters", grouped(count as u64)));
        }
        if it.op.macs() > 0 {
            costs.push(format!("{} multiply-accumulates", grouped(it.op.macs())));
        }
        let costs = if costs.is_empty() { String::new() } else { format!("; {}", costs.join(", ")) };
        format!("{}: {}{costs}.", self.at(layer, ""), self.shapes(layer))
    }

    fn train_doc(&self, layer: usize) -> String {
        format!("{}: {}.", self.at(layer, " in training"), self.shapes(layer))
    }

    fn at(&self, layer: usize, mode: &str) -> String {
        let site = &self.network.shaped.nodes[layer].site;
        format!("`{}` ({}){mode}, {}:{}", site.name, site.kind, self.network.source.path, site.line)
    }
}
