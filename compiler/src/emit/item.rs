//! What the emitter is given beside the network: the user's struct, and the files that the code depends on.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

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
pub(super) fn track(path: Option<&String>) -> Option<TokenStream> {
    path.map(|path| {
        quote!(
            const _: &[u8] = ::core::include_bytes!(#path);
        )
    })
}
