//! The procedural macro of castnet. Its documentation is that of `castnet::network`.

mod arguments;

use arguments::{Arguments, read_weights};
use castnet_compiler::{Failure, Files, Item, Weights, compile, emit, weights};
use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};

/// Compiles a network written in TOML into the struct that it stands on.
///
/// ```text
/// #[castnet::network("specs/lenet5.toml")]
/// pub struct LeNet5;
/// ```
///
/// The spec is one of:
///
/// - a path relative to the crate's manifest: `"specs/lenet5.toml"`;
/// - a path relative to the source file, where it begins with `./`: `"./lenet5.toml"`;
/// - TOML in place: `spec = r#"…"#`.
///
/// Behind it a safetensors file may be named, whose path is meant in the same way:
///
/// ```text
/// #[castnet::network("specs/lenet5.toml", weights = "lenet5.safetensors")]
/// pub struct LeNet5;
/// ```
///
/// It becomes part of the program, its tensors' names and shapes are checked while compiling, and `LeNet5::pretrained()` is the
/// network with these weights, `LeNet5::pretrained_frozen()` the same for inference alone.
///
/// The struct keeps its name, visibility, attributes and doc comments (`#[derive(Debug, Clone)]` goes below this attribute: above it,
/// a derive would see a struct without fields); editing a file recompiles the crate. The generated
/// type implements `castnet::Network` and has that trait's methods as its own.
#[proc_macro_attribute]
pub fn network(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(arguments, item.into()).into()
}

/// With an error in anything but the item itself the type is there all the same, so that the code that uses it brings none more.
fn expand(arguments: proc_macro::TokenStream, written: TokenStream) -> TokenStream {
    let item: syn::ItemStruct = match syn::parse2(written.clone()) {
        Ok(item) => item,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#error #written);
        }
    };
    let (attributes, vis) = (item.attrs.iter(), &item.vis);
    let network =
        Item { attributes: quote!(#(#attributes)*), vis: quote!(#vis), name: item.ident.clone(), krate: runtime() };
    let refuse = |message: String, span: Span| emit::stub(&network, &[(span, message)], &Files::default());
    let more = match &item.fields {
        syn::Fields::Named(fields) => Some(fields.brace_token.span.join()),
        syn::Fields::Unnamed(fields) => Some(fields.paren_token.span.join()),
        syn::Fields::Unit => item.generics.lt_token.map(|token| token.span),
    };
    if let Some(span) = more {
        return refuse("a network is a struct without fields and generics: `pub struct Net;`".into(), span);
    }
    let arguments: Arguments = match syn::parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(error.to_string(), error.span()),
    };
    compiled(&network, &arguments)
}

/// The network, or a stub with all that is wrong with its files.
fn compiled(network: &Item, arguments: &Arguments) -> TokenStream {
    let mut errors = Vec::new();
    let mut files = Files::default();
    let mut compiled = None;
    match arguments.read_spec(&network.name) {
        Ok((source, path)) => {
            files.spec = path;
            match compile(&source) {
                Ok(network) => compiled = Some((source, network)),
                Err(Failure { diagnostics }) => {
                    errors.extend(diagnostics.iter().map(|error| (arguments.span(), error.message(&source))));
                }
            }
        }
        Err(message) => errors.push((arguments.span(), message)),
    }
    if let Some(literal) = &arguments.weights {
        match (read_weights(literal), &compiled) {
            (Ok((path, bytes)), Some((source, network))) => {
                let written = literal.value();
                if let Some(error) = weights::check(&written, &bytes, &network.shaped, source) {
                    errors.push((literal.span(), error.message(source)));
                }
                files.weights = Some(Weights { written, path });
            }
            // Which tensors there should be is not known.
            (Ok(_), None) => {}
            (Err(message), _) => errors.push((literal.span(), message)),
        }
    }
    match compiled {
        Some((source, compiled)) if errors.is_empty() => emit::network(network, &source, &compiled, &files),
        _ => emit::stub(network, &errors, &files),
    }
}

/// The path of the runtime crate, under whatever name the user's manifest gives it.
fn runtime() -> TokenStream {
    match crate_name("castnet") {
        Ok(FoundCrate::Name(name)) => {
            let name = format_ident!("{name}");
            quote!(::#name)
        }
        // The runtime's own tests and examples, and builds without a manifest.
        _ => quote!(::castnet),
    }
}
