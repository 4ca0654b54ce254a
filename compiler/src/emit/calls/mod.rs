//! Calls as code: for each the functions, descriptors and packed weights that it needs. There is one match over what a call may do.

mod convolution;
mod linear;
mod maps;
mod own;
mod packed_own;
mod packing;

use super::names::Names;
use super::offsets::Offsets;
use crate::graph::ValueId;
use crate::lower::operation::{ConvolutionKernel, Operation};
use crate::lower::program::{Call, Id, Kind, Layout, Part, Program, What};
use crate::memory::Planned;
use crate::shape::Shaped;
use crate::source::Source;
use crate::tokens::{int, ints};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use std::collections::{HashMap, HashSet};

/// The code of one call.
pub(super) struct CallCode {
    /// What stands beside the passes: a descriptor, a place in the packed weights, functions. Nothing where another
    /// call has it already.
    pub items: TokenStream,
    /// The function that packs its weights, if it has any.
    pub pack: Option<Ident>,
    /// How a pass calls it.
    pub run: Run,
}

/// How a pass calls something.
pub(super) enum Run {
    /// A function, with what comes before the values.
    Function { path: TokenStream, leading: Vec<Ident> },
    /// Zeros.
    Zero,
}

impl Run {
    fn function(path: TokenStream, leading: &[&str]) -> Self {
        Self::Function { path, leading: leading.iter().map(|word| local(word)).collect() }
    }
}

/// What is known of the network, whichever program is emitted.
#[derive(Clone, Copy)]
pub(super) struct Network<'a> {
    pub shaped: &'a Shaped,
    pub source: &'a Source,
    pub names: &'a Names,
    pub offsets: &'a Offsets,
}

/// Emits the calls of a program in turn: packed weights follow each other, and what two calls share stands once.
pub(super) struct Emitter<'a> {
    network: Network<'a>,
    program: &'a Program,
    /// Values whose halo is zero already, left by another one.
    kept: HashMap<Id, Id>,
    /// Names of items that stand there already.
    done: &'a mut HashSet<String>,
    /// The place of the last packed weights.
    last: Option<Ident>,
}

impl<'a> Emitter<'a> {
    /// For a program; `done` is what other programs' calls have brought.
    pub fn new(network: Network<'a>, planned: &'a Planned, done: &'a mut HashSet<String>) -> Self {
        let kept = planned.kept_halos.iter().copied().collect();
        Self { network, program: &planned.program, kept, done, last: None }
    }

    /// Where the packed weights so far end.
    pub fn packed_end(&self) -> TokenStream {
        match &self.last {
            Some(last) => quote!(#last.end),
            None => quote!(0),
        }
    }

    /// The code of a call.
    pub fn emit(&mut self, call: &Call) -> CallCode {
        let Some(layer) = call.layer() else { return self.between(call) };
        match &call.operation {
            Operation::Convolution(it) => match it.kernel {
                ConvolutionKernel::Blocked(algorithm) => self.blocked_convolution(call, layer, it, algorithm),
                ConvolutionKernel::FromPlanar(algorithm) => self.convolution_from_planar(call, layer, it, algorithm),
                ConvolutionKernel::Planar => self.planar_convolution(call, layer, it),
            },
            Operation::Linear(it) => self.linear(call, layer, it),
            Operation::Affine(it) => self.affine(call, layer, it),
            Operation::Activation(activation) => self.activation(call, layer, activation),
            Operation::Combine(it) => self.combine(call, layer, it),
            Operation::Maps(it) => self.maps(call, layer, it),
            Operation::Concat { .. } => self.concat(call, layer),
            Operation::Layer(function) if self.program.kind == Kind::Inference => {
                self.packed_own(call, layer, *function)
            }
            Operation::Layer(function) => self.own(call, layer, *function),
            Operation::Accumulate
            | Operation::Zero
            | Operation::Nothing
            | Operation::Flatten
            | Operation::ToBlocked
            | Operation::ToPlain => self.between(call),
        }
    }

    /// What stands between layers.
    fn between(&mut self, call: &Call) -> CallCode {
        let run = match call.operation {
            Operation::ToBlocked => return self.conversion(call, Part::Output, "to_blocked", "to_blocked"),
            Operation::ToPlain => return self.conversion(call, Part::Input(0), "to_plain", "from_blocked"),
            Operation::Zero => Run::Zero,
            Operation::Accumulate => Run::function(quote!(castnet::elementwise::accumulate), &["context"]),
            _ => Run::function(quote!(castnet::elementwise::copy), &["context"]),
        };
        CallCode { items: TokenStream::new(), pack: None, run }
    }

    /// The value that plays a part that every call of the kind has.
    fn value(&self, call: &Call, part: Part) -> Id {
        call.part(part).unwrap_or_default()
    }

    /// A blocked value's place in its buffer: `Blocked::new(64, 56, 56).with_halo([1, 1, 1, 1])`.
    fn blocked(&self, id: Id) -> TokenStream {
        let value = &self.program.values[id];
        let [channels, height, width] = value.sizes().map(int);
        let mut tokens = quote!(castnet::blocked::Blocked::new(#channels, #height, #width));
        if let Layout::Blocked { halo } = value.layout
            && halo != [0; 4]
        {
            let halo = ints(&halo);
            tokens.extend(quote!(.with_halo(#halo)));
        }
        let total = self.program.values[value.home].blocks();
        if value.first_block != 0 || total != value.blocks() {
            let (first, total) = (int(value.first_block), int(total));
            tokens.extend(quote!(.within(#first, #total)));
        }
        tokens
    }

    /// `OP.output.zero_halo(output);` where the output has a halo that is not zero yet.
    fn zero_halo(&self, call: &Call, output: TokenStream) -> TokenStream {
        let id = self.value(call, Part::Output);
        let has_halo = matches!(self.program.values[id].layout, Layout::Blocked { halo } if halo != [0; 4]);
        if has_halo && !self.kept.contains_key(&id) { quote!(#output.zero_halo(output);) } else { TokenStream::new() }
    }

    /// `` `conv1` (conv2d) + `bn1` + `relu1`, specs/net.toml:8, frozen: ``, and what follows.
    fn doc(&self, call: &Call, what: &str) -> String {
        let site = |layer: usize| &self.network.shaped.nodes[layer].site;
        let mut text = String::new();
        if let Some((&main, folded)) = call.layers.split_first() {
            let main = site(main);
            text.push_str(&format!(" `{}` ({})", main.name, main.kind));
            for &layer in folded {
                text.push_str(&format!(" + `{}`", site(layer).name));
            }
            text.push_str(&format!(", {}:{}, frozen: {what}.", self.network.source.path, main.line));
        }
        if let Some(&before) = call.part(Part::Output).and_then(|id| self.kept.get(&id))
            && let What::Value(ValueId::Node(node)) = self.program.values[before].what
        {
            text.push_str(&format!(" The halo is that of `{}`, zero still.", site(node).name));
        }
        text
    }

    /// From one layout to the other; `part` is the value that is blocked.
    fn conversion(&mut self, call: &Call, part: Part, suffix: &str, function: &str) -> CallCode {
        let id = self.value(call, part);
        let name = self.network.names.what(self.program.values[id].what);
        let op = local(&format!("{name}_blocked").to_uppercase());
        let blocked = self.blocked(id);
        let run = local(&format!("{name}_{suffix}"));
        let to_blocked = part == Part::Output;
        let (doc, halo) = match to_blocked {
            true => (" From PyTorch's layout to channels in blocks of 16.", self.zero_halo(call, quote!(#op))),
            false => (" From channels in blocks of 16 to PyTorch's layout.", TokenStream::new()),
        };
        let function = local(function);
        let items = quote! {
            static #op: castnet::blocked::Blocked = #blocked;
            #[doc = #doc]
            fn #run(context: &mut castnet::Context, input: &[f32], output: &mut [f32]) {
                #halo
                castnet::blocked::conversion::#function(context, &#op, input, output);
            }
        };
        CallCode { items, pack: None, run: Run::function(quote!(#run), &["context"]) }
    }
}

/// The name under which a function finds a value.
fn part_name(part: Part, inputs: usize) -> Ident {
    match part {
        Part::Input(_) if inputs == 1 => local("input"),
        Part::Input(i) => format_ident!("input_{}", i, span = Span::mixed_site()),
        Part::Residual => local("residual"),
        Part::Output => local("output"),
        Part::Saved => local("saved"),
        Part::Indices => local("indices"),
        Part::GradOutput => local("grad_output"),
        Part::GradInput => local("grad_input"),
    }
}

/// Clippy's limit: a sum of many values has more arguments.
fn many(arguments: usize) -> Option<TokenStream> {
    (arguments > 7).then(|| quote!(#[allow(clippy::too_many_arguments)]))
}

/// A name with hygiene.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
