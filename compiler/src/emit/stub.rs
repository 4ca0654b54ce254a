//! What is emitted after an error: the errors, and the type with its methods, so that the code that uses it brings no errors more.

use super::interface::{Types, methods};
use super::item::{Files, Item, track};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

/// The errors where they belong, and the type as a stub.
///
/// Whatever hangs on the spec is `Unknown`: the type that rustc gives to what it has already reported, which fits everywhere and
/// whose every method and index exists. The shapes that a spec with an error gives are no better than a guess: the layer that
/// forgot its padding has a result too, and code that is right about the network would be told that it is wrong.
pub fn stub(item: &Item, errors: &[(Span, String)], files: &Files) -> TokenStream {
    let Item { attributes, vis, name, krate } = item;
    let mut errors = errors.iter().map(|(span, message)| quote_spanned!(*span=> ::core::compile_error!(#message)));
    let first = errors.next().unwrap_or_else(|| quote!(::core::compile_error!("the spec has errors")));
    let methods = methods(item, &Types::unknown(), true);
    let shapes = ["INPUT_SHAPE", "OUTPUT_SHAPE"].map(|shape| quote::format_ident!("{shape}"));
    let tracked = [files.spec.as_ref(), files.weights.as_ref().map(|weights| &weights.path)].map(track);
    quote! {
        #attributes
        #vis struct #name {
            state: #krate::__private::State,
        }

        const _: () = {
            use #krate::__private as castnet;
            use castnet::scope::*;

            // An array whose length is an error implements nothing, and rustc says nothing about what follows from an error.
            type Unknown = <[f32; #first] as castnet::Network>::Outputs;
            const UNKNOWN: Unknown = ();

            #(#errors;)*

            #(#tracked)*

            impl castnet::Network for #name {
                const INFO: &'static castnet::NetworkInfo = UNKNOWN;
                const PASSES: castnet::Passes = UNKNOWN;

                type Inputs<'a> = Unknown;
                type OutputViews<'a> = Unknown;
                type Outputs = Unknown;
                type Sample<'a> = Unknown;
                type Prediction = Unknown;

                fn state(&self) -> &castnet::State {
                    &self.state
                }

                fn state_mut(&mut self) -> &mut castnet::State {
                    &mut self.state
                }

                fn from_state(state: castnet::State) -> Self {
                    Self { state }
                }
            }

            impl castnet::Freeze for #name {
                const FROZEN: &'static castnet::FrozenInfo = UNKNOWN;
            }

            impl castnet::NetworkWithLoss for #name {
                const LOSS: castnet::Loss = UNKNOWN;
            }

            #[allow(dead_code, unreachable_pub)]
            impl #name {
                #(
                    /// Not known: the spec has errors.
                    #vis const #shapes: Unknown = UNKNOWN;
                )*
                /// Not known: the spec has errors.
                #vis const INFO: &'static castnet::NetworkInfo = UNKNOWN;
                /// Not known: the spec has errors.
                #vis const PARAMETER_COUNT: usize = UNKNOWN;
                /// Not known: the spec has errors.
                #vis const MACS: u64 = UNKNOWN;
                /// Not known: the spec has errors.
                #vis const INFERENCE_BYTES_PER_SAMPLE: usize = UNKNOWN;
                /// Not known: the spec has errors.
                #vis const TRAINING_BYTES_PER_SAMPLE: usize = UNKNOWN;

                /// Not known: the spec has errors.
                #vis fn pretrained() -> Self {
                    UNKNOWN
                }

                /// Not known: the spec has errors.
                #vis fn pretrained_frozen() -> castnet::Frozen<Self> {
                    UNKNOWN
                }

                #methods
            }
        };
    }
}
