//! The places of a program's values as named constants, each with its shape beside it.

use crate::lower::program::{Content, Id, Layout, Program};
use crate::memory::{Arena, Place};
use crate::tokens::int;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};

/// The constants for an arena, in a module of its own.
pub(super) struct Spans<'a> {
    program: &'a Program,
    arena: &'a Arena,
    module: Ident,
    /// By home.
    variables: &'a [Ident],
}

impl<'a> Spans<'a> {
    /// Those of an arena, in a module of this name; `variables` are what [`super::names::Names`] calls them.
    pub fn new(program: &'a Program, arena: &'a Arena, module: &str, variables: &'a [Ident]) -> Self {
        Self { program, arena, module: format_ident!("{module}"), variables }
    }

    /// Whether a value has a place there.
    pub fn has(&self, value: Id) -> bool {
        self.arena.place(self.program, value).is_some()
    }

    /// The constant for the place of a value, by its path; of no floats where it has none.
    pub fn path(&self, value: Id) -> TokenStream {
        if !self.has(value) {
            return quote!(castnet::per_sample(0, 0));
        }
        let (module, name) = (&self.module, self.name(value));
        quote!(#module::#name)
    }

    /// The module with the constants; none where nothing has a place.
    pub fn emit(&self, doc: &str) -> Option<TokenStream> {
        let homes = (0..self.program.values.len()).filter(|&id| self.program.home(id) == id);
        let constants: Vec<TokenStream> = homes
            .filter_map(|id| {
                let place = place(self.arena.place(self.program, id)?);
                let (name, doc) = (self.name(id), format!(" {}", self.describe(id)));
                Some(quote! {
                    #[doc = #doc]
                    pub(super) const #name: castnet::Span = #place;
                })
            })
            .collect();
        let (module, doc) = (&self.module, format!(" {doc}"));
        (!constants.is_empty()).then(|| {
            quote! {
                #[doc = #doc]
                mod #module {
                    use super::castnet;

                    #(#constants)*
                }
            }
        })
    }

    /// The variable for the buffer in which a value lies.
    pub fn variable(&self, value: Id) -> &Ident {
        &self.variables[self.program.home(value)]
    }

    fn name(&self, value: Id) -> Ident {
        Ident::new(&self.variable(value).to_string().to_uppercase(), Span::mixed_site())
    }

    /// `[6, 28, 28]`, and how it lies where that is not as in PyTorch.
    fn describe(&self, id: Id) -> String {
        let value = &self.program.values[id];
        let shape = match &value.content {
            Content::Tensor(shape) => format!("`{shape}`"),
            Content::Floats(extent) if extent.per_sample > 0 => format!("{} floats for each sample", extent.per_sample),
            Content::Floats(extent) => format!("{} floats for the batch", extent.fixed),
        };
        match value.layout {
            Layout::Plain => shape,
            Layout::Blocked { halo: [0, 0, 0, 0] } => format!("{shape}, blocked"),
            Layout::Blocked { halo: [top, left, bottom, right] } => {
                format!("{shape}, blocked, with {top}, {left}, {bottom} and {right} around it")
            }
        }
    }
}

/// `castnet::per_sample(0, 784)`.
fn place(place: Place) -> TokenStream {
    let (word, from, to) = match place {
        Place::PerSample(from, to) => ("per_sample", from, to),
        Place::Fixed(from, to) => ("fixed", from, to),
    };
    let (word, from, to) = (format_ident!("{word}"), int(from), int(to));
    quote!(castnet::#word(#from, #to))
}
