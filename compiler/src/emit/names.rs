//! Rust names for layers and values: unique, snake case, never a keyword.

use crate::graph::ValueId;
use crate::lower::program::{Layout, Program, Value, What};
use crate::shape::Shaped;
use proc_macro2::{Ident, Span};
use std::collections::{HashMap, HashSet};

/// The names of one network's generated code.
#[derive(Debug)]
pub(super) struct Names {
    functions: Vec<String>,
    inputs: Vec<String>,
}

/// Words that the generated functions use, and Rust's keywords.
const TAKEN: &str = "context parameters buffers arena gradients inputs input output saved indices grad_output grad_input \
    residual packed tensors castnet info frozen passes packed_floats self super crate as async await box break const \
    continue do dyn else enum extern false final fn for gen if impl in let loop macro match mod move mut override priv pub \
    ref return static struct trait true try type typeof unsafe unsized use virtual where while yield abstract become union";

impl Names {
    /// Names for all layers and inputs. No name ends as the names that grow out of others do, so those are unique too.
    pub fn new(shaped: &Shaped) -> Self {
        let mut taken: HashSet<String> = TAKEN.split_whitespace().map(str::to_string).collect();
        // What flows into the network may be called `input`: no variable beside it is, where it is one.
        taken.remove("input");
        // How many names of a kind there are: a thousand layers whose names are alike are not each tried against all.
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut claim = |name: &str| {
            let mut base = snake_case(name);
            if grows(&base) {
                base.push_str("_layer");
            }
            let mut name = base.clone();
            let count = counts.entry(base.clone()).or_insert(1);
            while !taken.insert(name.clone()) {
                *count += 1;
                name = format!("{base}_{count}");
            }
            name
        };
        let inputs = shaped.header.inputs.iter().map(|input| claim(&input.name)).collect();
        claim("input");
        let functions = shaped.nodes.iter().map(|node| claim(&node.site.name)).collect();
        Self { functions, inputs }
    }

    /// The forward function of a layer, with a suffix for its other functions.
    pub fn function(&self, layer: usize, suffix: &str) -> Ident {
        ident(&format!("{}{suffix}", self.functions[layer]))
    }

    /// The `static` with a layer's descriptor.
    pub fn descriptor(&self, layer: usize) -> Ident {
        self.constant(layer, "")
    }

    /// A constant or `static` of a layer beside its descriptor.
    pub fn constant(&self, layer: usize, suffix: &str) -> Ident {
        ident(&format!("{}{suffix}", self.functions[layer].to_uppercase()))
    }

    /// For each value of a program that is a home, the variable for its buffer. A tensor may lie in one of each layout: then the name of
    /// the second says which.
    pub fn variables(&self, program: &Program) -> Vec<Ident> {
        let mut named: HashSet<What> = HashSet::new();
        let name = |value: &Value| {
            let name = self.what(value.what);
            ident(&match (named.insert(value.what), value.layout) {
                (true, _) => name,
                (false, Layout::Plain) => format!("{name}_plain"),
                (false, Layout::Blocked { .. }) => format!("{name}_blocked"),
            })
        };
        program.values.iter().map(name).collect()
    }

    /// A name for a value, in whichever layout.
    pub fn what(&self, what: What) -> String {
        let value = |value: ValueId| match value {
            ValueId::Input(i) => self.inputs[i].clone(),
            ValueId::Node(n) => format!("{}_out", self.functions[n]),
        };
        match what {
            What::Value(v) => value(v),
            What::Saved(n) => format!("{}_saved", self.functions[n]),
            What::Gradient(v) => format!("{}_grad", value(v)),
            What::Contribution(v, count) => format!("{}_grad_{}", value(v), count + 1),
        }
    }
}
/// Whether a name ends like one that grows out of another: `conv1_out`, `conv1_grad_input_0`, `training_pass_2`.
fn grows(name: &str) -> bool {
    const ENDS: [&str; 13] = [
        "_out",
        "_saved",
        "_stream",
        "_grad",
        "_train",
        "_parameters",
        "_input",
        "_pass",
        "_frozen",
        "_pack",
        "_packed",
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
            ["conv1_out", "a_grad_input_0", "a_out_grad_2", "x_packed", "bn_train", "training_pass_2"]
                .into_iter()
                .all(grows)
        );
        assert!(!["conv1", "out", "input_2", "train1", "margin"].into_iter().any(grows));
    }
}
