//! The network as layers joined by values: what a spec says, before any shape is known.

use crate::layers::contract::Layer;
use crate::source::Span;
use crate::spec::header::Header;
use crate::spec::site::Site;

/// A value that flows in the network: an input, or the result of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ValueId {
    /// An input of the network, counted in the order of the text.
    Input(usize),
    /// The result of a node.
    Node(usize),
}

/// A layer with its place in the graph.
#[derive(Debug)]
pub struct Node {
    /// Its name, type and place in the text.
    pub site: Site,
    /// Its arguments; `None` where they could not be read.
    pub layer: Option<Box<dyn Layer>>,
    /// What flows in; `None` where a name could not be resolved.
    pub inputs: Vec<Option<ValueId>>,
    /// Where each of them is named; `None` for the layer above.
    pub input_spans: Vec<Option<Span>>,
    /// For unpooling: the pooling layer whose indices it takes.
    pub indices: Option<usize>,
    /// Where that layer is named.
    pub indices_span: Option<Span>,
    /// Whether an unpooling layer takes this one's indices.
    pub gives_indices: bool,
}

/// The network as typed layers, each after those whose results it takes.
#[derive(Debug)]
pub struct Graph {
    /// What `[network]` says.
    pub header: Header,
    /// The layers in an order in which they can run: the order of the text wherever that is one.
    pub nodes: Vec<Node>,
    /// The values that the network returns; `None` where a name could not be resolved.
    pub outputs: Vec<Option<ValueId>>,
}
