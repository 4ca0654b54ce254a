//! What the user sees of the generated type: its constants and methods, and its types of inputs and outputs.

use super::item::{Item, Weights};
use crate::shape::{Shape, Shaped};
use crate::tokens::{int, ints};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

/// Predictions larger than this are boxed: nothing large lies on the stack.
const LARGEST_BY_VALUE: usize = 16 * 1024;

/// The types of a network's inputs and outputs.
#[derive(Debug, Clone)]
pub(super) struct Types {
    /// Views of a batch of inputs.
    pub inputs: TokenStream,
    /// Views of a batch of outputs.
    pub output_views: TokenStream,
    /// Arrays of a batch of outputs.
    pub outputs: TokenStream,
    /// A sample as references to nested arrays.
    pub sample: TokenStream,
    /// A prediction as nested arrays.
    pub prediction: TokenStream,
}

impl Types {
    /// The types for these shapes. `named`: with the lifetime `'a`, for the trait; else it is left to the compiler.
    pub fn new(inputs: &[&Shape], outputs: &[&Shape], named: bool) -> Self {
        let lifetime = if named { quote!('a) } else { quote!('_) };
        let reference = if named { quote!(&'a) } else { quote!(&) };
        let view = |shape: &&Shape| {
            let name = format_ident!("ArrayView{}", shape.rank() + 1);
            quote!(castnet::ndarray::#name<#lifetime, f32>)
        };
        let array = |shape: &&Shape| {
            let name = format_ident!("Array{}", shape.rank() + 1);
            quote!(castnet::ndarray::#name<f32>)
        };
        let prediction = |shape: &&Shape| {
            let nested = nested(shape);
            if shape.len() * size_of::<f32>() > LARGEST_BY_VALUE { quote!(castnet::Box<#nested>) } else { nested }
        };
        Self {
            inputs: tuple(inputs.iter().map(view)),
            output_views: tuple(outputs.iter().map(view)),
            outputs: tuple(outputs.iter().map(array)),
            sample: tuple(inputs.iter().map(|shape| {
                let nested = nested(shape);
                quote!(#reference #nested)
            })),
            prediction: tuple(outputs.iter().map(prediction)),
        }
    }

    /// The types of a network whose spec has errors: `Unknown`, which the stub defines, for all of them.
    pub fn unknown() -> Self {
        let unknown = || quote!(Unknown);
        Self {
            inputs: unknown(),
            output_views: unknown(),
            outputs: unknown(),
            sample: unknown(),
            prediction: unknown(),
        }
    }
}

/// `T`, or `(T, U)`.
fn tuple(types: impl Iterator<Item = TokenStream>) -> TokenStream {
    let types: Vec<TokenStream> = types.collect();
    match types.as_slice() {
        [one] => one.clone(),
        _ => quote!((#(#types),*)),
    }
}

/// `[[[f32; 28]; 28]; 1]`.
fn nested(shape: &Shape) -> TokenStream {
    shape.0.iter().rev().fold(quote!(f32), |inner, &size| {
        let size = int(size);
        quote!([#inner; #size])
    })
}

/// Constants for sizes and shapes.
pub(super) fn constants(item: &Item, shaped: &Shaped) -> TokenStream {
    let vis = &item.vis;
    let mut tokens = TokenStream::new();
    let mut shape_constant = |name: &str, doc: &str, shape: &Shape| {
        let (name, rank, sizes) = (format_ident!("{name}"), int(shape.rank()), ints(&shape.0));
        tokens.extend(quote! {
            #[doc = #doc]
            #vis const #name: [usize; #rank] = #sizes;
        });
    };
    if let [shape] = shaped.inputs.as_slice() {
        shape_constant("INPUT_SHAPE", " The shape of one sample's input.", shape);
    }
    if let [value] = shaped.outputs.as_slice() {
        shape_constant("OUTPUT_SHAPE", " The shape of one sample's output.", shaped.shape(*value));
    }
    tokens.extend(quote! {
        /// Names, shapes and places of all inputs, outputs, parameters and buffers, and what the network costs.
        #vis const INFO: &'static castnet::NetworkInfo = <Self as castnet::Network>::INFO;
        /// The number of parameters: floats that training changes.
        #vis const PARAMETER_COUNT: usize = Self::INFO.parameter_count;
        /// Multiply-accumulates for one sample's forward pass.
        #vis const MACS: u64 = Self::INFO.macs;
        /// Bytes of activations for each sample of a batch in evaluation mode.
        #vis const INFERENCE_BYTES_PER_SAMPLE: usize = 4 * Self::INFO.evaluation.per_sample;
        /// Bytes of activations and their gradients for each sample of a batch in training.
        #vis const TRAINING_BYTES_PER_SAMPLE: usize = 4 * Self::INFO.training.per_sample;
    });
    tokens
}

/// The constructors of a network whose weights are built in.
pub(super) fn pretrained(item: &Item, weights: &Weights) -> TokenStream {
    let vis = &item.vis;
    let doc = format!(" The network with the weights of `{}`, which are built into the program.", weights.written);
    quote! {
        #[doc = #doc]
        #vis fn pretrained() -> Self {
            castnet::pretrained()
        }

        /// [`pretrained`](Self::pretrained) for inference, as `freeze` makes it: packed layer by layer, so that there is never
        /// a network that could be trained.
        #vis fn pretrained_frozen() -> castnet::Frozen<Self> {
            castnet::pretrained_frozen()
        }
    }
}

/// The methods, each one call of what the trait provides.
pub(super) fn methods(item: &Item, types: &Types, predicts: bool) -> TokenStream {
    let vis = &item.vis;
    let Types { inputs, output_views, outputs, sample, prediction } = types;
    let predict = predicts.then(|| {
        quote! {
            /// The prediction for one sample, in evaluation mode. Nothing is allocated after the first call; any number of
            /// threads may call it at once.
            #vis fn predict(&self, sample: #sample) -> #prediction {
                castnet::Network::predict(self, sample)
            }

            /// [`predict`](Self::predict), written over the prediction for another sample.
            ///
            /// # Errors
            ///
            /// Activations for which there is no memory.
            #vis fn predict_into(&self, sample: #sample, prediction: &mut #prediction) -> castnet::Result<()> {
                castnet::Network::predict_into(self, sample, prediction)
            }
        }
    });
    quote! {
        /// A network with parameters initialised from a seed, as PyTorch initialises each layer or as the spec says.
        #vis fn new(seed: u64) -> Self {
            castnet::Network::new(seed)
        }

        /// The outputs for a batch, in evaluation mode. Inputs are `[batch, …]`.
        ///
        /// # Errors
        ///
        /// Inputs whose shapes are not the network's, or a batch that memory cannot hold.
        #vis fn forward(&self, inputs: #inputs) -> castnet::Result<#outputs> {
            castnet::Network::forward(self, inputs)
        }

        /// [`forward`](Self::forward), written over the outputs of another batch: nothing is allocated where that had the same size.
        ///
        /// # Errors
        ///
        /// As `forward`.
        #vis fn forward_into(&self, inputs: #inputs, outputs: &mut #outputs) -> castnet::Result<()> {
            castnet::Network::forward_into(self, inputs, outputs)
        }

        #predict

        /// Runs a batch in training mode; the tape keeps what `backward` needs, and the outputs.
        ///
        /// # Errors
        ///
        /// Inputs whose shapes are not the network's, or a batch that is too small for its statistics or too large for memory.
        #vis fn forward_train(&mut self, tape: &mut castnet::Tape<Self>, inputs: #inputs) -> castnet::Result<()> {
            castnet::Network::forward_train(self, tape, inputs)
        }

        /// From gradients of the outputs to those of all parameters and inputs, which the tape holds afterwards.
        ///
        /// # Errors
        ///
        /// Gradients whose shapes are not the outputs', or a tape without a forward pass.
        #vis fn backward(
            &self,
            tape: &mut castnet::Tape<Self>,
            output_gradients: #output_views
        ) -> castnet::Result<()> {
            castnet::Network::backward(self, tape, output_gradients)
        }

        /// The loss of the first output on the tape, and from it the gradients of all parameters and inputs.
        ///
        /// # Errors
        ///
        /// A target that does not fit the output, or a tape without a forward pass.
        #vis fn backward_from_loss<'target>(
            &self,
            tape: &mut castnet::Tape<Self>,
            loss: castnet::Loss,
            target: impl castnet::Into<castnet::Target<'target>>
        ) -> castnet::Result<f32> {
            castnet::Network::backward_from_loss(self, tape, loss, target)
        }

        /// All parameters in the order of the layers, flat; `INFO.parameters` has their names, shapes and offsets.
        #vis fn parameters(&self) -> &[f32] {
            castnet::Network::parameters(self)
        }

        /// All parameters in the order of the layers, flat, to be changed.
        #vis fn parameters_mut(&mut self) -> &mut [f32] {
            castnet::Network::parameters_mut(self)
        }

        /// All buffers (running statistics) in the order of the layers, flat; `INFO.buffers` has their names.
        #vis fn buffers(&self) -> &[f32] {
            castnet::Network::buffers(self)
        }

        /// All buffers (running statistics) in the order of the layers, flat, to be changed.
        #vis fn buffers_mut(&mut self) -> &mut [f32] {
            castnet::Network::buffers_mut(self)
        }

        /// Loads parameters and buffers from the bytes of a safetensors file.
        ///
        /// # Errors
        ///
        /// As `load`.
        #vis fn load_bytes(&mut self, bytes: &[u8]) -> castnet::Result<()> {
            castnet::Network::load_bytes(self, bytes)
        }

        /// Parameters and buffers as the bytes of a safetensors file.
        #vis fn to_bytes(&self) -> castnet::Vec<u8> {
            castnet::Network::to_bytes(self)
        }

        /// The network for inference: batch norms and activations folded into other layers, weights packed for this
        /// program's kernels. It takes as much memory as those; this network is not needed any more.
        ///
        /// # Panics
        ///
        /// Where there is no memory for the packed weights.
        #vis fn freeze(&self) -> castnet::Frozen<Self> {
            castnet::Frozen::new(self)
        }

        castnet::with_std! {
            /// Loads parameters and buffers from a safetensors file with PyTorch's names and layouts.
            ///
            /// # Errors
            ///
            /// A file that cannot be read, or one whose tensors are not this network's: all that are missing, unknown or
            /// misshapen are named together, and nothing is loaded.
            #vis fn load(&mut self, path: impl castnet::AsRef<castnet::Path>) -> castnet::Result<()> {
                castnet::Network::load(self, path)
            }

            /// Writes parameters and buffers as a safetensors file with PyTorch's names and layouts. An existing file is
            /// replaced only by a whole one.
            ///
            /// # Errors
            ///
            /// A file that cannot be written.
            #vis fn save(&self, path: impl castnet::AsRef<castnet::Path>) -> castnet::Result<()> {
                castnet::Network::save(self, path)
            }
        }
    }
}
