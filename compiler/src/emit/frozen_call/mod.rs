//! One call of the inference program as code.

mod convolution;
mod plain;

use super::layers::{Offsets, part_name};
use super::names::Names;
use crate::descriptor::Code;
use crate::graph::ValueId;
use crate::halo;
use crate::layers::Role;
use crate::layout::{Call, Frozen, Id, Kernel, Layout};
use crate::memory::PlannedFrozen;
use crate::program::Part;
use crate::shape::Shaped;
use crate::source::Source;
use crate::tokens::{float, int, ints};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use std::collections::HashMap;

/// The code of one call.
pub(super) struct Emitted {
    /// Its descriptor, its place in the packed weights, and its functions.
    pub items: TokenStream,
    /// The function that packs its weights, if it has any.
    pub pack: Option<Ident>,
    /// The function that runs it.
    pub run: Ident,
}

/// Emits calls one after the other; their packed weights follow each other.
pub(super) struct Emitter<'a> {
    shaped: &'a Shaped,
    source: &'a Source,
    names: &'a Names,
    offsets: &'a Offsets,
    frozen: &'a Frozen,
    /// Values whose halo is zero already, left by another one.
    kept: HashMap<Id, Id>,
    /// The place of the last packed weights.
    last: Option<Ident>,
}

impl<'a> Emitter<'a> {
    pub fn new(
        shaped: &'a Shaped,
        source: &'a Source,
        names: &'a Names,
        offsets: &'a Offsets,
        planned: &'a PlannedFrozen,
    ) -> Self {
        Self { shaped, source, names, offsets, frozen: &planned.frozen, kept: halo::kept(planned), last: None }
    }

    /// Where the packed weights so far end.
    pub fn packed_end(&self) -> TokenStream {
        match &self.last {
            Some(last) => quote!(#last.end),
            None => quote!(0),
        }
    }

    /// The code of a call.
    pub fn emit(&mut self, call: &Call) -> Emitted {
        match &call.kernel {
            Kernel::Convolution(algorithm) => self.convolution(call, *algorithm),
            Kernel::FirstConvolution(algorithm) => self.first_convolution(call, Some(*algorithm)),
            Kernel::NarrowConvolution => self.first_convolution(call, None),
            Kernel::Linear => self.linear(call),
            Kernel::Affine => self.affine(call),
            Kernel::Activation => self.map(call),
            Kernel::Combine { product } => self.combine(call, *product),
            Kernel::Blocked(module) => self.on_blocked(call, module),
            Kernel::Concat => self.concat(call),
            Kernel::ToBlocked => self.conversion(call, true),
            Kernel::ToPlain => self.conversion(call, false),
            Kernel::Layer => self.layer(call),
        }
    }

    /// A value's place in its buffer: `Blocked::new(64, 56, 56).with_halo([1, 1, 1, 1])`.
    fn blocked(&self, id: Id) -> TokenStream {
        let value = &self.frozen.values[id];
        let [channels, height, width] = value.sizes.map(int);
        let mut tokens = quote!(castnet::blocked::Blocked::new(#channels, #height, #width));
        if let Layout::Blocked { halo } = value.layout
            && halo != [0; 4]
        {
            let halo = ints(&halo);
            tokens.extend(quote!(.with_halo(#halo)));
        }
        let total = self.frozen.values[value.home].blocks();
        if value.first_block != 0 || total != value.blocks() {
            let (first, total) = (int(value.first_block), int(total));
            tokens.extend(quote!(.within(#first, #total)));
        }
        tokens
    }

    fn has_halo(&self, id: Id) -> bool {
        matches!(self.frozen.values[id].layout, Layout::Blocked { halo } if halo != [0; 4])
    }

    /// `OP.output.zero_halo(output);` where the output has a halo.
    fn halo(&self, call: &Call, output: TokenStream) -> TokenStream {
        let written = self.has_halo(call.output) && !self.kept.contains_key(&call.output);
        if written { quote!(#output.zero_halo(output);) } else { TokenStream::new() }
    }

    /// `` `conv1` (conv2d) + `bn1` + `relu1`, specs/net.toml:8, frozen: ``, and what follows.
    fn doc(&self, call: &Call, what: &str) -> String {
        let layers = call.fused.layers();
        let site = |node: usize| &self.shaped.nodes[node].site;
        let main = site(layers[0]);
        let mut text = format!(" `{}` ({})", main.name, main.kind);
        for &node in &layers[1..] {
            text.push_str(&format!(" + `{}`", site(node).name));
        }
        text.push_str(&format!(", {}:{}, frozen: {what}.", self.source.path, main.line));
        if let Some(&before) = self.kept.get(&call.output)
            && let ValueId::Node(node) = self.frozen.values[before].of
        {
            text.push_str(&format!(" The halo is that of `{}`, zero still.", site(node).name));
        }
        text
    }

    fn activation(&self, call: &Call) -> TokenStream {
        call.fused.activation.map(|(_, activation)| activation).code()
    }

    /// `const CONV1_PACKED: Range<usize> = part(LAST.end, len);`
    fn packed(&mut self, call: &Call, len: TokenStream) -> (Ident, TokenStream) {
        let name = self.names.constant(call.fused.main, "_PACKED");
        let start = self.packed_end();
        self.last = Some(name.clone());
        let item = quote!(const #name: castnet::Range<usize> = castnet::blocked::part(#start, #len););
        (name, item)
    }

    /// The parameters and buffers of a layer: how many of each, and `parameter(0..150)` for each.
    fn pieces(&self, node: usize) -> Vec<TokenStream> {
        let piece = |word: &str, &(from, to): &(usize, usize)| {
            let (word, from, to) = (format_ident!("{word}"), int(from), int(to));
            quote!(castnet::#word(#from..#to))
        };
        let parameters = self.offsets.parameters[node].iter().map(|range| piece("parameter", range));
        parameters.chain(self.offsets.buffers[node].iter().map(|range| piece("buffer", range))).collect()
    }

    /// Statements that bind `norm` to a batch norm's tensors, which come after those named already.
    fn norm(&self, node: usize, variables: &mut Vec<Ident>, pieces: &mut Vec<TokenStream>) -> TokenStream {
        let Role::Affine { eps } = self.shaped.nodes[node].op.role() else { unreachable!("a batch norm is folded") };
        let affine = !self.offsets.parameters[node].is_empty();
        let words: &[&str] =
            if affine { &["norm_weight", "norm_bias", "mean", "variance"] } else { &["mean", "variance"] };
        variables.extend(words.iter().map(|word| local(word)));
        pieces.extend(self.pieces(node));
        let eps = float(eps);
        let (weight, bias) =
            if affine { (quote!(Some(norm_weight)), quote!(Some(norm_bias))) } else { (quote!(None), quote!(None)) };
        quote! {
            let norm = castnet::blocked::BatchNorm { weight: #weight, bias: #bias, mean, variance, eps: #eps };
        }
    }

    /// The function that packs a layer of weight and bias, with what is folded in.
    fn pack_weights(&self, call: &Call, module: &TokenStream, op: &Ident, place: &Ident) -> (Ident, TokenStream) {
        let main = call.fused.main;
        let name = self.names.function(main, "_pack");
        let mut variables = vec![local("weight")];
        let mut pieces = self.pieces(main);
        let bias = if pieces.len() > 1 {
            variables.push(local("bias"));
            quote!(Some(bias))
        } else {
            quote!(None)
        };
        let (norm, value) = match call.fused.affine {
            Some(node) => (self.norm(node, &mut variables, &mut pieces), quote!(Some(norm))),
            None => (TokenStream::new(), quote!(None)),
        };
        let doc = match call.fused.affine {
            Some(node) => format!(
                " Packs the weights of `{}`, with `{}` folded in.",
                self.shaped.nodes[main].site.name, self.shaped.nodes[node].site.name
            ),
            None => format!(" Packs the weights of `{}`.", self.shaped.nodes[main].site.name),
        };
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

    fn affine(&mut self, call: &Call) -> Emitted {
        let main = call.fused.main;
        let op = self.names.constant(main, "_FROZEN");
        let (input, output) = (self.blocked(call.inputs[0]), self.blocked(call.output));
        let activation = self.activation(call);
        let doc = self.doc(call, "a factor and an addend for each channel");
        let run = self.names.function(main, "_frozen");
        let pack = self.names.function(main, "_pack");
        let (place, place_item) = self.packed(call, quote!(castnet::blocked::affine::packed_len(&#op)));
        let (mut variables, mut pieces) = (Vec::new(), Vec::new());
        let norm = self.norm(main, &mut variables, &mut pieces);
        let pack_doc = format!(" Packs the statistics of `{}`.", self.shaped.nodes[main].site.name);
        let halo = self.halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::blocked::BlockedAffine =
                castnet::blocked::BlockedAffine { input: #input, output: #output, activation: #activation };
            #place_item
            #[doc = #pack_doc]
            fn #pack(tensors: &mut castnet::Tensors<'_>, packed: &mut [f32]) -> castnet::Result<()> {
                let [#(#variables),*] = tensors.get([#(#pieces),*])?;
                #norm
                castnet::blocked::affine::pack(&#op, &norm, &mut packed[#place]);
                Ok(())
            }
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, packed: &[f32], input: &[f32], output: &mut [f32]) {
                #halo
                castnet::blocked::affine::run(context, &#op, input, &packed[#place], output);
            }
        };
        Emitted { items, pack: Some(pack), run }
    }

    fn map(&mut self, call: &Call) -> Emitted {
        let main = call.fused.main;
        let Role::Activation(activation) = self.shaped.nodes[main].op.role() else { unreachable!("an activation") };
        let op = self.names.constant(main, "_FROZEN");
        let (input, output) = (self.blocked(call.inputs[0]), self.blocked(call.output));
        let activation = activation.code();
        let doc = self.doc(call, "every element of a blocked map");
        let run = self.names.function(main, "_frozen");
        let halo = self.halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::blocked::BlockedActivation =
                castnet::blocked::BlockedActivation { input: #input, output: #output, activation: #activation };
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
                #halo
                castnet::blocked::activation::run(context, &#op, input, output);
            }
        };
        Emitted { items, pack: None, run }
    }

    fn combine(&mut self, call: &Call, product: bool) -> Emitted {
        let main = call.fused.main;
        let op = self.names.constant(main, "_FROZEN");
        let inputs = call.inputs.iter().map(|&id| self.blocked(id));
        let output = self.blocked(call.output);
        let activation = self.activation(call);
        let doc = self.doc(call, if product { "a product of blocked maps" } else { "a sum of blocked maps" });
        let run = self.names.function(main, "_frozen");
        let halo = self.halo(call, quote!(#op.output));
        let arguments: Vec<Ident> = (0..call.inputs.len()).map(|i| part_name(Part::Input(i), 2)).collect();
        let many = many(1 + arguments.len() + 1);
        let items = quote! {
            static #op: castnet::blocked::BlockedCombine = castnet::blocked::BlockedCombine {
                product: #product,
                inputs: &[#(#inputs),*],
                output: #output,
                activation: #activation,
            };
            #[doc = #doc]
            #many
            fn #run(context: &mut castnet::Context, #(#arguments: &[f32],)* output: &mut [f32]) {
                #halo
                castnet::blocked::combine::run(context, &#op, &[#(#arguments),*], output);
            }
        };
        Emitted { items, pack: None, run }
    }

    fn concat(&mut self, call: &Call) -> Emitted {
        let main = call.fused.main;
        let op = self.names.constant(main, "_FROZEN");
        let inputs = call.inputs.iter().map(|&id| self.blocked(id));
        let output = self.blocked(call.output);
        let doc = self.doc(call, "copies blocked maps one behind the other");
        let run = self.names.function(main, "_frozen");
        let halo = self.halo(call, quote!(#op.output));
        let arguments: Vec<Ident> = (0..call.inputs.len()).map(|i| part_name(Part::Input(i), 2)).collect();
        let many = many(1 + arguments.len() + 1);
        let items = quote! {
            static #op: castnet::blocked::BlockedConcat =
                castnet::blocked::BlockedConcat { inputs: &[#(#inputs),*], output: #output };
            #[doc = #doc]
            #many
            fn #run(context: &mut castnet::Context, #(#arguments: &[f32],)* output: &mut [f32]) {
                #halo
                castnet::blocked::concat::run(context, &#op, &[#(#arguments),*], output);
            }
        };
        Emitted { items, pack: None, run }
    }

    fn on_blocked(&mut self, call: &Call, module: &str) -> Emitted {
        let main = call.fused.main;
        let op = self.names.constant(main, "_FROZEN");
        let (input, output) = (self.blocked(call.inputs[0]), self.blocked(call.output));
        let layer = self.names.descriptor(main);
        let (kind, _) = self.shaped.nodes[main].op.descriptor().expect("a layer on blocked maps has a descriptor");
        let doc = self.doc(call, "on blocked maps");
        let run = self.names.function(main, "_frozen");
        let module = local(module);
        let halo = self.halo(call, quote!(#op.output));
        let items = quote! {
            static #op: castnet::blocked::OnBlocked<#kind> =
                castnet::blocked::OnBlocked { layer: #layer, input: #input, output: #output };
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
                #halo
                castnet::blocked::#module::run(context, &#op, input, output);
            }
        };
        Emitted { items, pack: None, run }
    }

    fn conversion(&mut self, call: &Call, to_blocked: bool) -> Emitted {
        let id = if to_blocked { call.output } else { call.inputs[0] };
        let value = self.names.variable(crate::program::What::Value(self.frozen.values[id].of)).to_string();
        let op = local(&format!("{value}_blocked").to_uppercase());
        let blocked = self.blocked(id);
        let run = local(&if to_blocked { format!("{value}_to_blocked") } else { format!("{value}_to_plain") });
        let (doc, function, halo) = if to_blocked {
            let halo = self.halo(call, quote!(#op));
            (" From PyTorch's layout to channels in blocks of 16.", local("to_blocked"), halo)
        } else {
            (" From channels in blocks of 16 to PyTorch's layout.", local("from_blocked"), TokenStream::new())
        };
        let items = quote! {
            static #op: castnet::blocked::Blocked = #blocked;
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
                #halo
                castnet::blocked::conversion::#function(context, &#op, input, output);
            }
        };
        Emitted { items, pack: None, run }
    }
}

/// Clippy's limit: a sum of many values has more arguments.
fn many(arguments: usize) -> Option<TokenStream> {
    (arguments > 7).then(|| quote!(#[allow(clippy::too_many_arguments)]))
}

fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
