//! A layer with everything known, as the later stages see it.

use crate::lower::operation::Operation;
pub use crate::lower::operation::{Extent, Gradient};
use castnet_descriptors::Init;
use proc_macro2::{Ident, TokenStream};
use std::fmt::Debug;
use std::ops::Range;

/// A parameter of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// PyTorch's name: `weight`, `bias`.
    pub name: &'static str,
    /// PyTorch's layout.
    pub shape: Vec<usize>,
    /// How it begins.
    pub init: Init,
}

/// A tensor that training changes but no gradient does: running statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferDecl {
    /// PyTorch's name: `running_mean`.
    pub name: &'static str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The value of every element at the beginning.
    pub fill: f32,
}

/// What a gradient reads beside `grad_output`: what it does not read need not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// What flowed in.
    pub inputs: bool,
    /// What came out.
    pub output: bool,
    /// What the forward pass saved.
    pub saved: bool,
    /// The parameters.
    pub parameters: bool,
}

/// The names under which the body of a generated function finds things. By convention of the emitter, `context`, `output`,
/// `saved`, `indices`, `buffers`, `grad_output` and `grad_input` are always called so.
#[derive(Debug)]
pub struct Call {
    /// The `static` that holds the descriptor.
    pub op: Ident,
    /// What flows in: `input`, or `input_0`, `input_1`, … .
    pub inputs: Vec<Ident>,
    /// For each parameter the expression of its slice: `&parameters[0..150]`.
    pub parameters: Vec<TokenStream>,
    /// For each parameter the expression of its gradient: `&mut gradients[0..150]`.
    pub gradients: Vec<TokenStream>,
    /// The range of each parameter, and of its gradient, in the flat buffer. They are neighbours.
    pub ranges: Vec<Range<usize>>,
    /// The range of each of the layer's buffers in the flat one. They are neighbours.
    pub buffers: Vec<Range<usize>>,
    /// The constant with the number of the layer's stream of random numbers.
    pub stream: Ident,
    /// Whether an unpooling layer takes this one's indices.
    pub gives_indices: bool,
}

impl Call {
    /// The only input.
    pub fn input(&self) -> &Ident {
        &self.inputs[0]
    }

    /// `Some(&parameters[..])` or `None`.
    pub fn optional(&self, i: usize) -> TokenStream {
        match self.parameters.get(i) {
            Some(slice) => quote::quote!(Some(#slice)),
            None => quote::quote!(None),
        }
    }
}

/// A layer with everything known: what the later stages use. The bodies of generated functions are its tokens.
pub trait Op: Debug {
    /// Parameters in PyTorch's order.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// Buffers in PyTorch's order.
    fn buffers(&self) -> Vec<BufferDecl> {
        Vec::new()
    }

    /// Multiply-accumulates for one sample.
    fn macs(&self) -> u64 {
        0
    }

    /// Whether the result is the input itself under another shape (no code, no memory, and its gradient likewise),
    /// in evaluation or in training.
    fn is_alias(&self, _training: bool) -> bool {
        false
    }

    /// What the forward pass of training keeps for the backward pass, beside inputs and output.
    fn saved(&self) -> Extent {
        Extent::default()
    }

    /// What one of its gradients reads.
    fn reads(&self, gradient: Gradient) -> Reads;

    /// Whether training's forward pass differs from evaluation's: [`Op::forward_train`] is emitted as well.
    fn trains_differently(&self) -> bool {
        false
    }

    /// Whether evaluation runs [`Op::forward_train`] too: statistics of the batch at hand.
    fn evaluates_as_trained(&self) -> bool {
        false
    }

    /// Samples that a batch needs at least for statistics over it.
    fn minimum_batch(&self) -> usize {
        1
    }

    /// For a pooling layer: the largest index it can give.
    fn largest_index(&self) -> Option<usize> {
        None
    }

    /// Type and value of the descriptor of sizes, if it has one.
    fn descriptor(&self) -> Option<(TokenStream, TokenStream)>;

    /// The body of the forward function: writes `output`.
    fn forward(&self, call: &Call) -> TokenStream;

    /// The body of training's forward function where it differs: writes `output` and `saved`.
    fn forward_train(&self, call: &Call) -> TokenStream {
        self.forward(call)
    }

    /// The body of the function for the gradient of input number `which`: writes `grad_input`.
    fn backward_input(&self, call: &Call, which: usize) -> TokenStream;

    /// The body of the function for the gradients of the parameters.
    fn backward_parameters(&self, _call: &Call) -> TokenStream {
        TokenStream::new()
    }

    /// The operation that the inference program may run in place of its forward function, as layer number `layer`. It may take in what
    /// stands beside the layer, and read and write blocked maps. `None`: its function is called on plain values.
    fn operation(&self, _layer: usize) -> Option<Operation> {
        None
    }
}
