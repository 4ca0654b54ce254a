//! What is emitted after an error: the errors, and the type with its methods, so that the code that uses it brings no errors more.

use super::Item;
use super::interface::{Types, methods};
use crate::header::MOST_VALUES;
use crate::shape::{Interface, Shape};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

/// The errors at `span`, one each, and the type as a stub with what is known of its interface.
pub fn stub(item: &Item, interface: &Interface, messages: &[String], span: Span, tracked: Option<&str>) -> TokenStream {
    let Item { attributes, vis, name, krate } = item;
    let errors = messages.iter().map(|message| quote_spanned!(span=> ::core::compile_error!(#message);));
    // A shape that is not known is taken for one feature: its rank at least is likely right for a classifier.
    let guess = Shape(vec![1]);
    let known = |shapes: &[Option<Shape>]| -> Vec<Shape> {
        let shapes: Vec<Shape> =
            shapes.iter().map(|shape| shape.clone().unwrap_or(guess.clone())).take(MOST_VALUES).collect();
        if shapes.is_empty() { vec![guess.clone()] } else { shapes }
    };
    let (inputs, outputs) = (known(&interface.inputs), known(&interface.outputs));
    let (inputs, outputs): (Vec<&Shape>, Vec<&Shape>) = (inputs.iter().collect(), outputs.iter().collect());
    let named = Types::new(&inputs, &outputs, true);
    let methods = methods(item, &Types::new(&inputs, &outputs, false), true);
    let Types { inputs, output_views, outputs, sample, prediction } = named;
    let tracked = tracked.map(|path| {
        quote!(
            const _: &[u8] = ::core::include_bytes!(#path);
        )
    });
    quote! {
        #(#errors)*

        #attributes
        #vis struct #name {
            state: #krate::__private::State,
        }

        const _: () = {
            use #krate::__private as castnet;

            #tracked

            impl castnet::Network for #name {
                const INFO: &'static castnet::NetworkInfo = &castnet::NetworkInfo::UNKNOWN;

                type Inputs<'a> = #inputs;
                type OutputViews<'a> = #output_views;
                type Outputs = #outputs;
                type Sample<'a> = #sample;
                type Prediction = #prediction;

                fn state(&self) -> &castnet::State {
                    &self.state
                }

                fn state_mut(&mut self) -> &mut castnet::State {
                    &mut self.state
                }

                fn from_state(state: castnet::State) -> Self {
                    Self { state }
                }

                fn evaluation_pass(_: &mut castnet::Context, _: &[f32], _: &[f32], _: &mut castnet::Arena) {}

                fn training_pass(_: &mut castnet::Context, _: &[f32], _: &mut [f32], _: &mut castnet::Arena) {}

                fn backward_pass(_: &mut castnet::Context, _: &[f32], _: &mut [f32], _: &mut castnet::Arena, _: bool) {}
            }

            impl castnet::NetworkWithLoss for #name {
                const LOSS: castnet::Loss = castnet::Loss::Mse;
            }

            #[allow(dead_code, unreachable_pub)]
            impl #name {
                /// Not known: the spec has errors.
                #vis const INFO: &'static castnet::NetworkInfo = <Self as castnet::Network>::INFO;
                /// Not known: the spec has errors.
                #vis const PARAMETER_COUNT: usize = 0;
                /// Not known: the spec has errors.
                #vis const MACS: u64 = 0;
                /// Not known: the spec has errors.
                #vis const INFERENCE_BYTES_PER_SAMPLE: usize = 0;
                /// Not known: the spec has errors.
                #vis const TRAINING_BYTES_PER_SAMPLE: usize = 0;

                #methods
            }
        };
    }
}
