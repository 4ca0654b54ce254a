//! The procedural macro of castnet. Its documentation is that of `castnet::network`.

mod arguments;

use castnet_compiler::{Failure, Item, Source, compile, emit};
use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::TokenStream;
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
    expand(arguments, item).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn expand(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> syn::Result<TokenStream> {
    let arguments: arguments::Arguments = syn::parse(arguments)?;
    let item: syn::ItemStruct = syn::parse(item)?;
    if !matches!(item.fields, syn::Fields::Unit) || !item.generics.params.is_empty() {
        let message = "a network is a struct without fields and generics: `pub struct Net;`";
        return Err(syn::Error::new_spanned(&item, message));
    }
    let attributes = item.attrs.iter();
    let vis = &item.vis;
    let item =
        Item { attributes: quote!(#(#attributes)*), vis: quote!(#vis), name: item.ident.clone(), krate: runtime() };
    let (source, tracked) = match arguments.read(&item.name) {
        Ok(found) => found,
        Err(message) => return Ok(emit::stub(&item, &Default::default(), &[message], arguments.span(), None)),
    };
    Ok(match compile(&source) {
        Ok(compiled) => emit::network(&item, &source, &compiled, tracked.as_deref()),
        Err(Failure { diagnostics, interface }) => {
            let messages: Vec<String> = diagnostics.iter().map(|diagnostic| diagnostic.message(&source)).collect();
            emit::stub(&item, &interface, &messages, arguments.span(), tracked.as_deref())
        }
    })
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
