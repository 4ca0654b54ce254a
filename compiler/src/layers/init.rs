//! How parameters begin: PyTorch's defaults and `torch.nn.init`.

use crate::layers::infer::Infer;
use crate::source::Span;
use crate::spec::args::Args;
use crate::spec::argument::{Argument, Fallback, Kind};
use crate::spec::site::Site;
use crate::spec::table::{Value, ValueKind};
use castnet_descriptors::Init;

/// What `init` says for a layer's weight.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    KaimingUniform,
    KaimingNormal,
    XavierUniform,
    XavierNormal,
    Fixed(Init),
}

/// A rule and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightInit {
    rule: Rule,
    span: Span,
}

const WORDS: [(&str, Rule); 6] = [
    ("kaiming_uniform", Rule::KaimingUniform),
    ("kaiming_normal", Rule::KaimingNormal),
    ("xavier_uniform", Rule::XavierUniform),
    ("xavier_normal", Rule::XavierNormal),
    ("zeros", Rule::Fixed(Init::Constant(0.0))),
    ("ones", Rule::Fixed(Init::Constant(1.0))),
];

/// The argument `init`.
pub const ARGUMENT: Argument =
    Argument::new("init", Kind::Init, Fallback::Described("PyTorch's own"), "how the weight begins");

/// Reads the argument `init`.
pub fn read(args: &mut Args<'_>) -> Option<WeightInit> {
    let value = args.value("init")?;
    let span = value.span.clone();
    let rule = match &value.kind {
        ValueKind::Table(table) if table.entries.len() == 1 => {
            let (key, number) = &table.entries[0];
            read_spread(args, &key.name, number, &value)
        }
        ValueKind::String(_) => args.read_word("init", &value, &WORDS),
        _ => {
            let title = format!("{}: init cannot be {}", args.site().title(), value.describe());
            args.refuse(&value, title, "write a word such as \"kaiming_uniform\", or { normal = 0.01 }");
            None
        }
    };
    Some(WeightInit { rule: rule?, span })
}

fn read_spread(args: &mut Args<'_>, key: &str, number: &Value, whole: &Value) -> Option<Rule> {
    let spread = args.read_number(&format!("init.{key}"), number)?;
    let make = match key {
        "normal" => Init::Normal,
        "uniform" => Init::Uniform,
        _ => {
            let title = format!("{}: init knows no {key:?}", args.site().title());
            args.refuse(whole, title, "write { normal = 0.01 } or { uniform = 0.1 }");
            return None;
        }
    };
    if spread < 0.0 {
        let title = format!("{} says init.{key} = {spread}, which must be 0 or more", args.site().title());
        args.refuse(number, title, "must be 0 or more");
        return None;
    }
    Some(Rule::Fixed(make(spread as f32)))
}

/// `1 / sqrt(fan_in)`: the bound with which PyTorch begins the weights and biases of convolutions and linear layers
/// (`kaiming_uniform_` with `a = sqrt(5)`, whose bound is `sqrt(6 / ((1 + 5) fan_in))`).
pub fn default_bound(fan_in: usize) -> Init {
    Init::Uniform((1.0 / (fan_in.max(1) as f64).sqrt()) as f32)
}

/// The weight's init: what the spec says, or `default`. Fans are PyTorch's `_calculate_fan_in_and_fan_out`:
/// the second axis and the first, times the size of the kernel.
pub fn weight(cx: &mut Infer<'_>, init: &Option<WeightInit>, shape: &[usize], default: Init) -> Option<Init> {
    let Some(WeightInit { rule, span }) = init else { return Some(default) };
    if let Rule::Fixed(init) = rule {
        return Some(*init);
    }
    if shape.len() < 2 {
        let site: &Site = cx.site;
        let title = format!("{}: this init needs a weight with two axes or more, but it has {shape:?}", site.title());
        let diagnostic = site.error(title, span.clone(), "has no fan-in and fan-out");
        cx.push(diagnostic.help("use \"zeros\", \"ones\", { normal = … } or { uniform = … }"));
        return None;
    }
    let kernel: f64 = shape[2..].iter().map(|&size| size as f64).product();
    let (fan_in, fan_out) = (shape[1] as f64 * kernel, shape[0] as f64 * kernel);
    Some(match rule {
        // torch.nn.init with its defaults: gain sqrt(2) for kaiming (leaky_relu with a = 0), 1 for xavier.
        Rule::KaimingUniform => Init::Uniform((6.0 / fan_in).sqrt() as f32),
        Rule::KaimingNormal => Init::Normal((2.0 / fan_in).sqrt() as f32),
        Rule::XavierUniform => Init::Uniform((6.0 / (fan_in + fan_out)).sqrt() as f32),
        Rule::XavierNormal => Init::Normal((2.0 / (fan_in + fan_out)).sqrt() as f32),
        Rule::Fixed(init) => *init,
    })
}
