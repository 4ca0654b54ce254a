//! A second reading of the spec format, for tests alone: nothing here is shared with the compiler, so that a mistake in one
//! shows against the other. It trusts its input: a spec that the compiler refuses makes it panic.

use std::collections::HashMap;

use toml::{Table, Value};

use crate::layer::{Op, Shape};

/// A network: inputs, layers in an order in which they can run, outputs.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Names and shapes.
    pub inputs: Vec<(String, Shape)>,
    /// Blocks are expanded.
    pub layers: Vec<Layer>,
    /// Names of layers.
    pub outputs: Vec<String>,
    /// The loss on the first output.
    pub loss: Option<String>,
}

/// A layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its full name.
    pub name: String,
    /// What flows in, by full name.
    pub inputs: Vec<String>,
    /// For unpooling: the pooling layer.
    pub indices: Option<String>,
    /// What it computes.
    pub op: Op,
    /// The shape of its result.
    pub shape: Shape,
}

impl Spec {
    /// Reads a spec.
    pub fn parse(text: &str) -> Self {
        let root: Table = text.parse().expect("TOML");
        let network = root["network"].as_table().expect("a table");
        let inputs: Vec<(String, Shape)> = match network.get("inputs") {
            Some(inputs) => table(inputs).iter().map(|(name, shape)| (name.clone(), sizes(shape))).collect(),
            None => vec![("input".into(), sizes(&network["input"]))],
        };
        // The `toml` crate sorts a table's keys; the first input is the first of the text.
        let inputs = in_order_of(text, inputs);
        let no_blocks = Table::new();
        let mut flat = Flat { blocks: root.get("block").map_or(&no_blocks, table), layers: Vec::new() };
        let mut scope: HashMap<String, String> = inputs.iter().map(|(name, _)| (name.clone(), name.clone())).collect();
        let last = flat.place(list(&root["layer"]), "", &inputs[0].0, &Table::new(), &mut scope);
        let outputs = match network.get("outputs") {
            Some(names) => {
                let names = names.as_array().expect("a list").iter().map(text_of);
                names.map(|name| scope.get(&name).cloned().unwrap_or(name)).collect()
            }
            None => vec![last],
        };
        let layers = shapes(flat.layers, &inputs);
        Self { inputs, layers, outputs, loss: network.get("loss").map(text_of) }
    }

    /// The shape of an input or of a layer's result.
    pub fn shape(&self, name: &str) -> &[usize] {
        let input = self.inputs.iter().find(|(input, _)| input == name).map(|(_, shape)| shape);
        let layer = || self.layers.iter().find(|layer| layer.name == name).map(|layer| &layer.shape);
        input.or_else(layer).expect("the name is known")
    }
}

fn table(value: &Value) -> &Table {
    value.as_table().expect("a table")
}

fn list(value: &Value) -> Vec<&Table> {
    value.as_array().expect("a list").iter().map(table).collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("text").to_string()
}

fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(|size| size.as_integer().expect("a number") as usize).collect()
}

/// Sorts by where a name first stands after `inputs`, as a key.
fn in_order_of(text: &str, mut inputs: Vec<(String, Shape)>) -> Vec<(String, Shape)> {
    let from = text.find("inputs").unwrap_or(0);
    inputs.sort_by_key(|(name, _)| {
        let keys = [format!("{name} ="), format!("{name:?} =")];
        keys.iter().filter_map(|key| text[from..].find(key.as_str())).min()
    });
    inputs
}

/// A layer before its shape is known.
struct Draft {
    name: String,
    kind: String,
    inputs: Vec<String>,
    indices: Option<String>,
    args: Table,
}

struct Flat<'a> {
    blocks: &'a Table,
    layers: Vec<Draft>,
}

impl Flat<'_> {
    /// Places a run of layers and returns the full name of its result.
    fn place(
        &mut self,
        layers: Vec<&Table>,
        prefix: &str,
        entry: &str,
        params: &Table,
        scope: &mut HashMap<String, String>,
    ) -> String {
        let tables: Vec<Table> =
            layers.into_iter().map(|layer| table(&substitute(layer.clone().into(), params)).clone()).collect();
        let mut counts: HashMap<String, usize> = HashMap::new();
        let names: Vec<String> = tables
            .iter()
            .map(|table| {
                let kind = text_of(table.get("block").unwrap_or_else(|| &table["type"]));
                let count = counts.entry(kind.clone()).or_default();
                *count += 1;
                table.get("name").map_or(format!("{kind}{count}"), text_of)
            })
            .collect();
        // A name may be used before its layer stands in the text: the results' names are all known beforehand.
        for (name, table) in names.iter().zip(&tables) {
            let result = self.result_name(table, &format!("{prefix}{name}"));
            scope.insert(name.clone(), result);
        }
        let mut previous = entry.to_string();
        for (name, table) in names.iter().zip(&tables) {
            let full = format!("{prefix}{name}");
            let resolve = |name: &Value| match text_of(name).as_str() {
                "@input" => entry.to_string(),
                name => scope[name].clone(),
            };
            let input = table.get("input").map_or(previous.clone(), &resolve);
            if let Some(block) = table.get("block") {
                let block = &self.blocks[&text_of(block)];
                let mut bound = block.get("params").map_or(Table::new(), |params| self::table(params).clone());
                bound.extend(table.get("with").map_or(Table::new(), |with| self::table(with).clone()));
                let layers: Vec<Table> = list(&block["layer"]).into_iter().cloned().collect();
                previous = input;
                for instance in instances(table, &full) {
                    let layers = layers.iter().collect();
                    previous = self.place(layers, &format!("{instance}."), &previous, &bound, &mut HashMap::new());
                }
            } else {
                let inputs = match table.get("inputs") {
                    Some(names) => names.as_array().expect("a list").iter().map(&resolve).collect(),
                    None => vec![input],
                };
                let indices = table.get("indices").map(&resolve);
                let kind = text_of(&table["type"]);
                self.layers.push(Draft { name: full.clone(), kind, inputs, indices, args: table.clone() });
                previous = full;
            }
        }
        previous
    }

    /// The full name of the layer whose result a layer or a placed block has.
    fn result_name(&self, layer: &Table, full: &str) -> String {
        let Some(block) = layer.get("block") else { return full.to_string() };
        let layers = list(&self.blocks[&text_of(block)]["layer"]);
        let last = *layers.last().expect("a block has layers");
        let key = if last.contains_key("block") { "block" } else { "type" };
        let count = layers.iter().filter(|layer| layer.get(key) == last.get(key)).count();
        let name = last.get("name").map_or_else(|| format!("{}{count}", text_of(&last[key])), text_of);
        let instance = instances(layer, full).pop().expect("a block is placed once at least");
        self.result_name(last, &format!("{instance}.{name}"))
    }
}

/// The names of the instances of a placed block.
fn instances(layer: &Table, full: &str) -> Vec<String> {
    match layer.get("repeat") {
        Some(repeat) => {
            let repeat = repeat.as_integer().expect("a number");
            (0..repeat).map(|i| format!("{full}.{i}")).collect()
        }
        None => vec![full.to_string()],
    }
}

/// The value with every `$name` replaced.
fn substitute(value: Value, params: &Table) -> Value {
    match value {
        Value::String(text) if text.starts_with('$') => params[&text[1..]].clone(),
        Value::Array(items) => items.into_iter().map(|item| substitute(item, params)).collect::<Vec<_>>().into(),
        Value::Table(table) => {
            table.into_iter().map(|(key, value)| (key, substitute(value, params))).collect::<Table>().into()
        }
        other => other,
    }
}

/// Orders the layers so that each can run, and works out what each computes.
fn shapes(drafts: Vec<Draft>, inputs: &[(String, Shape)]) -> Vec<Layer> {
    let mut known: HashMap<String, Shape> = inputs.iter().cloned().collect();
    let mut layers: Vec<Layer> = Vec::new();
    let mut left = drafts;
    while !left.is_empty() {
        let ready = |draft: &Draft| draft.inputs.iter().chain(&draft.indices).all(|name| known.contains_key(name));
        let at = left.iter().position(ready).expect("no cycle");
        let Draft { name, kind, inputs, indices, args } = left.remove(at);
        let shapes: Vec<&[usize]> = inputs.iter().map(|name| known[name].as_slice()).collect();
        // What flowed into the pooling layer.
        let pooled = indices.as_ref().map(|name| {
            let pool = layers.iter().find(|layer| layer.name == *name).expect("a layer");
            known[&pool.inputs[0]].clone()
        });
        let (op, shape) = Op::new(&kind, &args, &shapes, pooled.as_deref());
        known.insert(name.clone(), shape.clone());
        layers.push(Layer { name, inputs, indices, op, shape });
    }
    layers
}
