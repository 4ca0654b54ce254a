//! The network with all shapes known.

use crate::graph::ValueId;
use crate::layers::op::Op;
use crate::shape::sizes::Shape;
use crate::spec::header::Header;
use crate::spec::site::Site;

/// A node with everything known.
#[derive(Debug)]
pub struct ShapedNode {
    /// Its name, type and place in the text.
    pub site: Site,
    /// What flows in.
    pub inputs: Vec<ValueId>,
    /// For unpooling: the pooling layer whose indices it takes.
    pub indices: Option<usize>,
    /// Whether an unpooling layer takes this one's indices.
    pub gives_indices: bool,
    /// The result's shape per sample.
    pub output: Shape,
    /// What the later stages use.
    pub op: Box<dyn Op>,
}

/// The network with everything known: nothing in it is unchecked.
#[derive(Debug)]
pub struct Shaped {
    /// What `[network]` says; every input has a shape.
    pub header: Header,
    /// Shapes of the inputs.
    pub inputs: Vec<Shape>,
    /// The layers in an order in which they can run.
    pub nodes: Vec<ShapedNode>,
    /// The values that the network returns.
    pub outputs: Vec<ValueId>,
}

impl Shaped {
    /// The shape of a value.
    pub fn shape(&self, value: ValueId) -> &Shape {
        match value {
            ValueId::Input(i) => &self.inputs[i],
            ValueId::Node(n) => &self.nodes[n].output,
        }
    }

    /// The name of a value.
    pub fn name(&self, value: ValueId) -> &str {
        match value {
            ValueId::Input(i) => &self.header.inputs[i].name,
            ValueId::Node(n) => &self.nodes[n].site.name,
        }
    }
}
