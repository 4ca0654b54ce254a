//! The `[network]` table: inputs, outputs, loss, choices for the whole network.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::shape::sizes::Shape;
use crate::source::Span;
use crate::spec::args::{Arg, Args};
use crate::spec::site::{NAME_RULE, Site, is_name};
use crate::spec::table::{Key, Table, Value, ValueKind};
use crate::suggest::list_words;
use castnet_descriptors::Loss;

/// An input of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name; `input` where the spec has only one.
    pub name: String,
    /// Its shape per sample. `None` after an error.
    pub shape: Option<Shape>,
    /// Where its shape is written.
    pub span: Span,
}

/// What `[network] winograd` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Winograd {
    /// `true`: where the model finds it faster.
    #[default]
    Chosen,
    /// `false`: never.
    Never,
    /// `"f2"`: tiles of 2x2 wherever there is such an algorithm, and larger ones nowhere.
    F2,
    /// `"f4"`: tiles of 4x4 wherever there is such an algorithm, and smaller ones nowhere.
    F4,
}

/// What `[network]` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The table's place.
    pub span: Span,
    /// In the order of the text.
    pub inputs: Vec<Input>,
    /// Names of output layers; `None`: the last layer.
    pub outputs: Option<Vec<Arg<String>>>,
    /// The loss for training.
    pub loss: Option<Arg<Loss>>,
    /// Where inference may use Winograd's algorithms.
    pub winograd: Winograd,
}

/// The most inputs, and the most outputs, of a network: the runtime has tuples of so many.
pub const MOST_VALUES: usize = 32;

/// Reads `[network]`.
pub fn read(root: &Table, diagnostics: &mut Diagnostics) -> Header {
    let empty = Header { span: 0..0, inputs: Vec::new(), outputs: None, loss: None, winograd: Winograd::Chosen };
    let table = match root.get("network") {
        Some(Value { kind: ValueKind::Table(table), .. }) => table,
        Some(other) => {
            let title = format!("`network` must be a table, not {}", other.describe());
            diagnostics.push(Diagnostic::new(title).at(other.span.clone(), "write [network] and its keys below it"));
            return empty;
        }
        None => {
            diagnostics.push(
                Diagnostic::new("the spec has no [network] table")
                    .at(0..0, "")
                    .help("begin with\n[network]\ninput = [3, 224, 224]"),
            );
            return empty;
        }
    };
    let site = Site::table("[network]", table.span.clone());
    let mut args = Args::new(&site, table, diagnostics);
    let inputs = read_inputs(&mut args, table);
    let outputs = args.references("outputs");
    if let (Some(names), Some(value)) = (&outputs, table.get("outputs")) {
        if names.is_empty() {
            args.refuse(value, "[network] lists no outputs".into(), "name at least one layer, or leave `outputs` out");
        }
        if names.len() > MOST_VALUES {
            let title = format!("[network] lists {} outputs, but a network has {MOST_VALUES} at most", names.len());
            args.refuse_with(value, title, "too many outputs", |diagnostic| {
                diagnostic.help("join some of them with a layer of type = \"concat\"")
            });
        }
        for (i, name) in names.iter().enumerate().take(MOST_VALUES) {
            if names[..i].iter().any(|other| other.value == name.value) {
                args.refuse(value, format!("output `{}` is named twice", name.value), "each output once");
            }
        }
    }
    let loss = args.word("loss", &Loss::ALL.map(|loss| (loss.name(), loss)));
    let winograd = read_winograd(&mut args).unwrap_or_default();
    args.finish();
    let outputs = outputs.filter(|names| !names.is_empty()).map(|mut names| {
        names.truncate(MOST_VALUES);
        names
    });
    Header { span: table.span.clone(), inputs, outputs, loss, winograd }
}

/// `true`, `false`, or one of the two algorithms.
fn read_winograd(args: &mut Args<'_>) -> Option<Winograd> {
    let value = args.value("winograd")?;
    match value.kind {
        ValueKind::Boolean(true) => Some(Winograd::Chosen),
        ValueKind::Boolean(false) => Some(Winograd::Never),
        ValueKind::String(_) => args.read_word("winograd", &value, &[("f2", Winograd::F2), ("f4", Winograd::F4)]),
        _ => {
            let title = format!("[network]: winograd must be true, false, \"f2\" or \"f4\", not {}", value.describe());
            args.refuse(&value, title, "true, false, \"f2\" or \"f4\"");
            None
        }
    }
}

fn read_inputs(args: &mut Args<'_>, table: &Table) -> Vec<Input> {
    let one = args.value("input");
    let several = args.value("inputs");
    match (one, &several) {
        (Some(value), None) => {
            let shape = read_shape(args, "input", &value);
            vec![Input { name: "input".into(), shape, span: value.span }]
        }
        (None, Some(value @ Value { kind: ValueKind::Table(inputs), .. })) if !inputs.entries.is_empty() => {
            let count = inputs.entries.len();
            if count > MOST_VALUES {
                let title = format!("[network] has {count} inputs, but a network has {MOST_VALUES} at most");
                args.refuse_with(value, title, "too many inputs", |diagnostic| {
                    diagnostic.help("let one input hold several of them, side by side")
                });
            }
            let read = |(key, value): &(Key, Value)| {
                if !is_name(&key.name) {
                    args.refuse(value, format!("{:?} cannot be the name of an input", key.name), NAME_RULE);
                }
                let shape = read_shape(args, &format!("inputs.{}", key.name), value);
                Input { name: key.name.clone(), shape, span: value.span.clone() }
            };
            inputs.entries.iter().map(read).collect()
        }
        (None, Some(value)) => {
            let title = format!("[network]: inputs must name shapes, not be {}", value.describe());
            args.refuse(value, title, "write inputs = { image = [3, 32, 32], features = [10] }");
            Vec::new()
        }
        (Some(one), Some(_)) => {
            args.refuse(&one, "[network] has both `input` and `inputs`".into(), "keep one of the two");
            Vec::new()
        }
        (None, None) => {
            let value = Value { kind: ValueKind::Boolean(false), span: table.span.clone(), given: None };
            args.refuse_with(&value, "[network] has no input".into(), "no `input` below this line", |diagnostic| {
                diagnostic.help("add `input = [channels, height, width]`, without the batch")
            });
            Vec::new()
        }
    }
}

fn read_shape(args: &mut Args<'_>, key: &str, value: &Value) -> Option<Shape> {
    let ValueKind::Array(items) = &value.kind else {
        let title = format!("[network]: {key} must be a shape, not {}", value.describe());
        args.refuse(value, title, "write [features], [channels, length] or [channels, height, width]");
        return None;
    };
    if items.is_empty() || items.len() > 3 {
        let title = format!("[network]: {key} has {} axes, but a shape has one, two or three", items.len());
        args.refuse_with(value, title, "[features], [channels, length] or [channels, height, width]", |diagnostic| {
            if items.len() == 4 { diagnostic.help("the batch axis is never written: leave it out") } else { diagnostic }
        });
        return None;
    }
    let mut sizes = Vec::new();
    for item in items {
        match item.kind {
            ValueKind::Integer(i) if i >= 1 => sizes.push(usize::try_from(i).ok()?),
            _ => {
                let title =
                    format!("[network]: {key} holds {}, but sizes are whole numbers of 1 or more", item.describe());
                args.refuse(item, title, "must be a whole number of 1 or more");
                return None;
            }
        }
    }
    let shape = Shape(sizes);
    if shape.checked_len().is_none() {
        let title = format!("[network]: {key} = {shape} is more than memory can address");
        args.refuse(value, title, "too large");
        return None;
    }
    Some(shape)
}

/// The words of the losses, for messages.
pub fn loss_words() -> String {
    list_words(Loss::ALL.iter().map(|loss| loss.name()))
}
