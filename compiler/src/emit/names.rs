//! Rust names for layers and values: unique, snake case, never a keyword.

use crate::graph::ValueId;
use crate::layout::{Frozen, Id, Layout};
use crate::program::What;
use crate::shape::Shaped;
use proc_macro2::{Ident, Span};
use std::collections::HashSet;

/// The names of one network's generated code.
#[derive(Debug)]
pub(super) struct Names {
    functions: Vec<String>,
    inputs: Vec<String>,
}

/// Words that the generated functions use, and Rust's keywords.
const TAKEN: &str = "context parameters buffers arena gradients inputs input output saved indices grad_output grad_input \
    residual packed tensors castnet self super crate as async await box break const continue do dyn else enum extern false final fn for gen if impl in \
    let loop macro match mod move mut override priv pub ref return static struct trait true try type typeof unsafe unsized \
    use virtual where while yield abstract become union";

impl Names {
    /// Names for all layers and inputs. No name ends as the names that grow out of others do, so those are unique too.
    pub fn new(shaped: &Shaped) -> Self {
        let mut taken: HashSet<String> = TAKEN.split_whitespace().map(str::to_string).collect();
        let mut claim = |name: &str| {
            let mut base = snake_case(name);
            if grows(&base) {
                base.push_str("_layer");
            }
            let mut name = base.clone();
            let mut count = 1;
            while !taken.insert(name.clone()) {
                count += 1;
                name = format!("{base}_{count}");
            }
            name
        };
        let functions = shaped.nodes.iter().map(|node| claim(&node.site.name)).collect();
        // What flows into the network has `_in` behind it, and so has no rival: `claim` gives no such name.
        let mut inputs: Vec<String> = Vec::new();
        for input in &shaped.header.inputs {
            let base = snake_case(&input.name);
            let mut name = format!("{base}_in");
            while inputs.contains(&name) {
                name = format!("{}_{}_in", base, inputs.len() + 1);
            }
            inputs.push(name);
        }
        Self { functions, inputs }
    }

    /// The forward function of a layer, with a suffix for its other functions.
    pub fn function(&self, node: usize, suffix: &str) -> Ident {
        ident(&format!("{}{suffix}", self.functions[node]))
    }

    /// The `static` with a layer's descriptor.
    pub fn descriptor(&self, node: usize) -> Ident {
        ident(&self.functions[node].to_uppercase())
    }

    /// A constant or `static` of a layer beside its descriptor.
    pub fn constant(&self, node: usize, suffix: &str) -> Ident {
        ident(&format!("{}{suffix}", self.functions[node].to_uppercase()))
    }

    /// The variable for a buffer of the inference program: a value may lie in one of each layout.
    pub fn frozen(&self, frozen: &Frozen, home: Id) -> Ident {
        let value = &frozen.values[home];
        let name = self.variable(What::Value(value.of));
        let first =
            (0..frozen.values.len()).find(|&id| frozen.values[id].home == id && frozen.values[id].of == value.of);
        match (first == Some(home), value.layout) {
            (true, _) => name,
            (false, Layout::Plain) => ident(&format!("{name}_plain")),
            (false, Layout::Blocked { .. }) => ident(&format!("{name}_blocked")),
        }
    }

    /// The variable for a storage.
    pub fn variable(&self, what: What) -> Ident {
        let value = |value: ValueId| match value {
            ValueId::Input(i) => self.inputs[i].clone(),
            ValueId::Node(n) => format!("{}_out", self.functions[n]),
        };
        ident(&match what {
            What::Value(v) => value(v),
            What::Saved(n) => format!("{}_saved", self.functions[n]),
            What::Gradient(v) => format!("{}_grad", value(v)),
            What::Contribution(v, count) => format!("{}_grad_{}", value(v), count + 1),
        })
    }
}

/// Whether a name ends like one that grows out of another: `conv1_out`, `conv1_grad_input_0`, `training_pass_2`.
fn grows(name: &str) -> bool {
    const ENDS: [&str; 12] = [
        "_out",
        "_saved",
        "_in",
        "_grad",
        "_train",
        "_parameters",
        "_input",
        "_pass",
        "_frozen",
        "_pack",
        "_plain",
        "_blocked",
    ];
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
    ENDS.iter().any(|end| name.ends_with(end))
}

/// `Layer1.0-Conv` -> `layer1_0_conv`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        if c != '_' || !text.ends_with('_') {
            text.push(c);
        }
    }
    let text = text.trim_matches('_');
    match text.chars().next() {
        None => "layer".to_string(),
        Some(first) if first.is_ascii_lowercase() => text.to_string(),
        Some(_) => format!("layer_{text}"),
    }
}

fn ident(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_case() {
        assert_eq!(snake_case("layer1.0.conv1"), "layer1_0_conv1");
        assert_eq!(snake_case("Conv-1"), "conv_1");
        assert_eq!(snake_case("1x1"), "layer_1x1");
        assert_eq!(snake_case("été"), "t");
        assert_eq!(snake_case("層"), "layer");
        assert_eq!(snake_case("a._b_"), "a_b");
    }

    #[test]
    fn names_that_grow_do_not_clash() {
        assert!(
            ["conv1_out", "a_grad_input_0", "a_out_grad_2", "x_in", "bn_train", "training_pass_2"]
                .into_iter()
                .all(grows)
        );
        assert!(!["conv1", "out", "input_2", "train1", "margin"].into_iter().any(grows));
    }
}
