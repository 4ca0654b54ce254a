//! Checks a spec: prints its layers with their shapes and parameters, or its errors.
//!
//! ```text
//! cargo run -p castnet-compiler --example check -- specs/lenet5.toml
//! cargo run -p castnet-compiler --example check -- specs/resnet18.toml --inference
//! cargo run -p castnet-compiler --example check -- specs/lenet5.toml --passes
//! ```
//!
//! With `--inference`, the calls of the inference program. With `--passes`, the programs of evaluation, training and inference before the
//! first pass and after each.

use castnet_compiler::lower::{Kind, lower, text};
use castnet_compiler::{Compiled, Source, compile};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: check SPEC.toml [--inference | --passes]");
        return ExitCode::FAILURE;
    };
    let source = match std::fs::read_to_string(&path) {
        Ok(text) => Source::new(path, text),
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let compiled = match compile(&source) {
        Ok(compiled) => compiled,
        Err(failure) => {
            eprintln!("{}", failure.render(&source));
            return ExitCode::FAILURE;
        }
    };
    let asks = |word: &str| std::env::args().any(|argument| argument == word);
    if asks("--passes") {
        print_passes(&compiled);
    } else if asks("--inference") {
        print!("{}", text(&compiled.shaped, &compiled.inference.program));
        println!("{} bytes of activations for a sample", compiled.inference.bytes_per_sample());
    } else {
        print_layers(&compiled);
    }
    ExitCode::SUCCESS
}

fn print_layers(compiled: &Compiled) {
    for node in &compiled.shaped.nodes {
        let count: usize = node.op.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
        let (name, kind, shape) = (&node.site.name, &node.site.kind, node.output.to_string());
        println!("{name:<32} {kind:<20} {shape:<20} {count:>12}");
    }
}

/// Every program as it comes out of each pass; a pass that changes nothing is only named.
fn print_passes(compiled: &Compiled) {
    for kind in [Kind::Evaluation, Kind::Training, Kind::Inference] {
        let mut last = String::new();
        lower(&compiled.shaped, kind, |pass, program| {
            let text = text(&compiled.shaped, program);
            println!("== {kind:?}, {pass}{}", if text == last { ": no change" } else { "" });
            if text != last {
                println!("{text}");
            }
            last = text;
        });
    }
}
