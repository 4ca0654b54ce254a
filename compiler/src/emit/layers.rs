//! The functions of the layers: one for the forward pass, one for each gradient.

use super::names::Names;
use crate::layers::{Call, Gradient};
use crate::program::{Action, Part, Step};
use crate::shape::Shaped;
use crate::source::Source;
use crate::tokens::{grouped, int};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use std::collections::HashSet;

/// Where the parameters and buffers of each layer lie in the flat buffers.
#[derive(Debug)]
pub(super) struct Offsets {
    /// For each node, from and to of each parameter.
    pub parameters: Vec<Vec<(usize, usize)>>,
    /// For each node, from and to of each buffer.
    pub buffers: Vec<Vec<(usize, usize)>>,
    /// Floats of all parameters.
    pub parameter_count: usize,
    /// Floats of all buffers.
    pub buffer_count: usize,
}

impl Offsets {
    /// In the order of the layers, without gaps.
    pub fn new(shaped: &Shaped) -> Self {
        let mut offsets = Self { parameters: Vec::new(), buffers: Vec::new(), parameter_count: 0, buffer_count: 0 };
        fn place(shape: &[usize], next: &mut usize) -> (usize, usize) {
            let from = *next;
            *next += shape.iter().product::<usize>();
            (from, *next)
        }
        for node in &shaped.nodes {
            let parameters = node.op.parameters();
            let next = &mut offsets.parameter_count;
            offsets.parameters.push(parameters.iter().map(|p| place(&p.shape, next)).collect());
            let buffers = node.op.buffers();
            let next = &mut offsets.buffer_count;
            offsets.buffers.push(buffers.iter().map(|b| place(&b.shape, next)).collect());
        }
        offsets
    }
}

/// A function of a layer: its name and what it takes before the storages.
#[derive(Debug)]
pub(super) struct Function {
    pub name: Ident,
    /// `context`, `parameters`, … in order.
    pub leading: Vec<&'static str>,
}

/// The function that a step calls; `None` for steps without one.
pub(super) fn function(shaped: &Shaped, names: &Names, step: &Step) -> Option<Function> {
    let mut leading = vec!["context"];
    let name = match step.action {
        Action::Forward { node, train } => {
            let op = &shaped.nodes[node].op;
            if !op.parameters().is_empty() {
                leading.push("parameters");
            }
            if !op.buffers().is_empty() {
                leading.push("buffers");
            }
            names.function(node, if train { "_train" } else { "" })
        }
        Action::Backward { node, gradient } => {
            let op = &shaped.nodes[node].op;
            if op.reads(gradient).parameters {
                leading.push("parameters");
            }
            match gradient {
                Gradient::Parameters => {
                    leading.push("gradients");
                    names.function(node, "_grad_parameters")
                }
                Gradient::Input(which) if shaped.nodes[node].inputs.len() > 1 => {
                    names.function(node, &format!("_grad_input_{which}"))
                }
                Gradient::Input(_) => names.function(node, "_grad_input"),
            }
        }
        Action::Accumulate | Action::Zero => return None,
    };
    Some(Function { name, leading })
}

/// The functions and descriptors that the steps need, each once.
pub(super) fn emit(shaped: &Shaped, source: &Source, names: &Names, offsets: &Offsets, steps: &[&Step]) -> TokenStream {
    let mut done = HashSet::new();
    let mut functions: Vec<(usize, TokenStream)> = Vec::new();
    for step in steps {
        let Some(function) = function(shaped, names, step) else { continue };
        if done.insert(function.name.to_string()) {
            functions.push(emit_function(shaped, source, names, offsets, step, &function));
        }
    }
    functions.sort_by_key(|(node, _)| *node);
    let mut tokens = TokenStream::new();
    let mut last = None;
    for (node, function) in functions {
        if last != Some(node) {
            tokens.extend(emit_descriptor(shaped, names, node));
            last = Some(node);
        }
        tokens.extend(function);
    }
    tokens
}

fn emit_descriptor(shaped: &Shaped, names: &Names, node: usize) -> Option<TokenStream> {
    let (kind, value) = shaped.nodes[node].op.descriptor()?;
    let name = names.descriptor(node);
    Some(quote!(static #name: #kind = #value;))
}

fn emit_function(
    shaped: &Shaped,
    source: &Source,
    names: &Names,
    offsets: &Offsets,
    step: &Step,
    function: &Function,
) -> (usize, TokenStream) {
    let (node, train) = match step.action {
        Action::Forward { node, train } => (node, train),
        Action::Backward { node, .. } => (node, false),
        Action::Accumulate | Action::Zero => unreachable!("only layers have functions"),
    };
    let it = &shaped.nodes[node];
    let call = call(shaped, names, offsets, node);
    let (doc, body) = match step.action {
        Action::Forward { train: true, .. } => (train_doc(shaped, source, node), it.op.forward_train(&call)),
        Action::Backward { gradient: Gradient::Parameters, .. } => {
            (format!("Gradients of the parameters of `{}`.", it.site.name), it.op.backward_parameters(&call))
        }
        Action::Backward { gradient: Gradient::Input(which), .. } => {
            let from = shaped.name(it.inputs[which]);
            let doc = format!("Gradient of `{}` for its input, `{from}`.", it.site.name);
            (doc, it.op.backward_input(&call, which))
        }
        _ => (forward_doc(shaped, source, node), it.op.forward(&call)),
    };
    // Clippy's limit: a sum of many values has more.
    let many = (function.leading.len() + step.operands.len() > 7).then(|| quote!(#[allow(clippy::too_many_arguments)]));
    let leading = function.leading.iter().map(|&word| {
        let name = Ident::new(word, Span::mixed_site());
        match word {
            "context" => quote!(#name: &mut castnet::Context),
            "gradients" => quote!(#name: &mut [f32]),
            "buffers" if train => quote!(#name: &mut [f32]),
            _ => quote!(#name: &[f32]),
        }
    });
    let storages = step.operands.iter().map(|operand| {
        let name = part_name(operand.part, it.inputs.len());
        if operand.writes { quote!(#name: &mut [f32]) } else { quote!(#name: &[f32]) }
    });
    let name = &function.name;
    let doc = format!(" {doc}");
    let tokens = quote! {
        #[doc = #doc]
        #many
        fn #name(#(#leading,)* #(#storages),*) {
            #body
        }
    };
    (node, tokens)
}

/// The name under which a body finds a storage.
pub(super) fn part_name(part: Part, inputs: usize) -> Ident {
    let name = |word: &str| Ident::new(word, Span::mixed_site());
    match part {
        Part::Input(_) if inputs == 1 => name("input"),
        Part::Input(i) => format_ident!("input_{}", i, span = Span::mixed_site()),
        Part::Output => name("output"),
        Part::Saved => name("saved"),
        Part::Indices => name("indices"),
        Part::GradOutput => name("grad_output"),
        Part::GradInput => name("grad_input"),
    }
}

fn call(shaped: &Shaped, names: &Names, offsets: &Offsets, node: usize) -> Call {
    let it = &shaped.nodes[node];
    let tokens = |&(from, to): &(usize, usize)| {
        let (from, to) = (int(from), int(to));
        quote!(#from..#to)
    };
    let ranges = |places: &[(usize, usize)]| places.iter().map(|&(from, to)| from..to).collect();
    let parameters = offsets.parameters[node].iter().map(tokens);
    Call {
        op: names.descriptor(node),
        inputs: (0..it.inputs.len()).map(|i| part_name(Part::Input(i), it.inputs.len())).collect(),
        parameters: parameters.clone().map(|range| quote!(&parameters[#range])).collect(),
        gradients: parameters.map(|range| quote!(&mut gradients[#range])).collect(),
        ranges: ranges(&offsets.parameters[node]),
        buffers: ranges(&offsets.buffers[node]),
        number: node as u64,
        gives_indices: it.gives_indices,
    }
}

fn shapes(shaped: &Shaped, node: usize) -> String {
    let it = &shaped.nodes[node];
    let inputs: Vec<String> = it.inputs.iter().map(|&value| format!("`{}`", shaped.shape(value))).collect();
    format!("{} -> `{}`", inputs.join(", "), it.output)
}

/// `` `conv1` (conv2d), specs/lenet5.toml:8: `[1, 28, 28]` -> `[6, 28, 28]`; 156 parameters, 117,600 multiply-accumulates. ``
pub(super) fn forward_doc(shaped: &Shaped, source: &Source, node: usize) -> String {
    let it = &shaped.nodes[node];
    let count: usize = it.op.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let mut costs = Vec::new();
    if count > 0 {
        costs.push(format!("{} parameters", grouped(count as u64)));
    }
    if it.op.macs() > 0 {
        costs.push(format!("{} multiply-accumulates", grouped(it.op.macs())));
    }
    let costs = if costs.is_empty() { String::new() } else { format!("; {}", costs.join(", ")) };
    let at = it.site.line;
    format!("`{}` ({}), {}:{at}: {}{costs}.", it.site.name, it.site.kind, source.path, shapes(shaped, node))
}

fn train_doc(shaped: &Shaped, source: &Source, node: usize) -> String {
    let it = &shaped.nodes[node];
    let line = it.site.line;
    format!("`{}` ({}) in training, {}:{line}: {}.", it.site.name, it.site.kind, source.path, shapes(shaped, node))
}
