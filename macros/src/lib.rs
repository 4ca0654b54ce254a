//! The procedural macro of castnet. Its documentation is that of `castnet::network`.

mod arguments;

use castnet_compiler::{Failure, Item, Source, compile, emit};
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
/// The argument is one of:
///
/// - a path relative to the crate's manifest: `"specs/lenet5.toml"`;
/// - a path relative to the source file, where it begins with `./`: `"./lenet5.toml"`;
/// - TOML in place: `spec = r#"…"#`.
///
/// The struct keeps its name, visibility, attributes and doc comments (`#[derive(Debug, Clone)]` goes below this attribute: above it,
/// a derive would see a struct without fields); editing the file recompiles the crate. The generated
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
    let refuse = |message: String, span: Span| emit::stub(&network, &[message], span, None);
    let more = match &item.fields {
        syn::Fields::Named(fields) => Some(fields.brace_token.span.join()),
        syn::Fields::Unnamed(fields) => Some(fields.paren_token.span.join()),
        syn::Fields::Unit => item.generics.lt_token.map(|token| token.span),
    };
    if let Some(span) = more {
        return refuse("a network is a struct without fields and generics: `pub struct Net;`".into(), span);
    }
    let arguments: arguments::Arguments = match syn::parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(error.to_string(), error.span()),
    };
    let (source, tracked) = match arguments.read(&network.name) {
        Ok(found) => found,
        Err(message) => return refuse(message, arguments.span()),
    };
    match compile(&source) {
        Ok(compiled) => emit::network(&network, &source, &compiled, tracked.as_deref()),
        Err(Failure { diagnostics }) => {
            let messages: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.message(&source)).collect();
            emit::stub(&network, &messages, arguments.span(), tracked.as_deref())
        }
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
