//! The layers: one file per family, with its arguments, checks, shapes, gradient and emission. Each is registered in [`LAYERS`].

mod activation;
mod adaptive_pool;
mod affine;
mod batch_norm;
mod combine;
mod concat;
mod conv;
mod conv_transpose;
mod dropout;
mod flatten;
mod group_norm;
pub mod init;
mod layer_norm;
mod linear;
mod local_response_norm;
mod max_unpool;
mod pool;
mod prelu;
mod rrelu;
mod softmax;
#[cfg(test)]
pub(crate) mod testing;
mod upsample;
mod window;

use crate::args::Args;
use crate::lower::operation::Operation;
pub use crate::lower::operation::{Extent, Gradient};
use crate::shape::{Checked, Infer};
use castnet_descriptors::Init;
use proc_macro2::{Ident, TokenStream};
use std::fmt::Debug;
use std::ops::Range;

/// A type of layer as the spec names it.
#[derive(Debug)]
pub struct LayerType {
    /// The word after `type =`.
    pub name: &'static str,
    /// Whether it takes `input` or `inputs`.
    pub arity: Arity,
    /// Whether it has the argument `indices`.
    pub takes_indices: bool,
    /// Whether an unpooling layer may take its indices.
    pub gives_indices: bool,
    /// Reads its arguments; `None` after an error.
    pub parse: fn(&mut Args<'_>) -> Option<Box<dyn Layer>>,
}

impl LayerType {
    /// A layer with one input.
    const fn one(name: &'static str, parse: fn(&mut Args<'_>) -> Option<Box<dyn Layer>>) -> Self {
        Self { name, arity: Arity::One, takes_indices: false, gives_indices: false, parse }
    }

    /// A layer with two inputs or more.
    const fn many(name: &'static str, parse: fn(&mut Args<'_>) -> Option<Box<dyn Layer>>) -> Self {
        Self { name, arity: Arity::Many, takes_indices: false, gives_indices: false, parse }
    }
}

/// How many inputs a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// `input = "a"`, or the layer above.
    One,
    /// `inputs = ["a", "b"]`.
    Many,
}

/// Every type of layer. Of two that are equally near to an unknown word the first is proposed: what people mean most comes first.
pub static LAYERS: &[LayerType] = &[
    activation::ELU,
    activation::GELU,
    activation::HARDSIGMOID,
    activation::HARDSWISH,
    activation::LEAKY_RELU,
    activation::RELU,
    activation::RELU6,
    activation::SIGMOID,
    activation::SILU,
    activation::TANH,
    adaptive_pool::ADAPTIVE_AVG_POOL2D,
    adaptive_pool::ADAPTIVE_MAX_POOL2D,
    batch_norm::BATCH_NORM2D,
    batch_norm::BATCH_NORM1D,
    combine::ADD,
    combine::MUL,
    concat::CONCAT,
    conv::CONV2D,
    conv::CONV1D,
    conv_transpose::CONV_TRANSPOSE2D,
    dropout::DROPOUT,
    dropout::DROPOUT2D,
    flatten::FLATTEN,
    flatten::IDENTITY,
    group_norm::GROUP_NORM,
    layer_norm::LAYER_NORM,
    linear::LINEAR,
    local_response_norm::LOCAL_RESPONSE_NORM,
    max_unpool::MAX_UNPOOL2D,
    pool::AVG_POOL2D,
    pool::AVG_POOL1D,
    pool::MAX_POOL2D,
    pool::MAX_POOL1D,
    prelu::PRELU,
    rrelu::RRELU,
    softmax::LOG_SOFTMAX,
    softmax::SOFTMAX,
    upsample::UPSAMPLE,
];

/// Finds a type by its name.
pub fn find(name: &str) -> Option<&'static LayerType> {
    LAYERS.iter().find(|layer| layer.name == name)
}

/// A layer with its arguments read, before any shape is known.
pub trait Layer: Debug {
    /// Infers the result's shape and checks the arguments against what flows in. Errors go to `cx`; `None` after one.
    fn infer(&self, cx: &mut Infer<'_>) -> Option<Checked>;

    /// The same layer with one argument changed, each with words for it: `(line 9) has padding = 2; with padding = 0`.
    /// A size error below tries them, to say what would mend it.
    fn variants(&self) -> Vec<(String, Box<dyn Layer>)> {
        Vec::new()
    }

    /// A copy of its own.
    fn boxed(&self) -> Box<dyn Layer>;
}

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
