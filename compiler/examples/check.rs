//! Checks a spec: prints its layers with their shapes and parameters, or its errors.
//!
//! ```text
//! cargo run -p castnet-compiler --example check -- specs/lenet5.toml
//! cargo run -p castnet-compiler --example check -- specs/resnet18.toml --inference
//! ```
//!
//! With `--inference`, the operations of the inference program: which layers are in each, and what is called.

use castnet_compiler::{Compiled, Source, compile};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: check SPEC.toml");
        return ExitCode::FAILURE;
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let source = Source::new(path, text);
    let compiled = match compile(&source) {
        Ok(compiled) => compiled,
        Err(failure) => {
            eprintln!("{}", failure.render(&source));
            return ExitCode::FAILURE;
        }
    };
    if std::env::args().any(|argument| argument == "--inference") {
        print_inference(&compiled);
        return ExitCode::SUCCESS;
    }
    for node in &compiled.shaped.nodes {
        let count: usize = node.op.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
        let (name, kind, shape) = (&node.site.name, &node.site.kind, node.output.to_string());
        println!("{name:<32} {kind:<20} {shape:<20} {count:>12}");
    }
    ExitCode::SUCCESS
}

/// One line for each operation of the inference program.
fn print_inference(compiled: &Compiled) {
    let planned = &compiled.inference;
    for (i, call) in planned.frozen.calls.iter().enumerate() {
        if i == planned.frozen.cut {
            println!("-- from here on, a batch goes through together --");
        }
        let name = |node: usize| compiled.shaped.nodes[node].site.name.as_str();
        // A conversion of the network's input belongs to no layer.
        let layers = call.fused.layers().into_iter().filter(|&node| node < compiled.shaped.nodes.len()).map(name);
        let layers = layers.collect::<Vec<_>>().join(" + ");
        println!("{layers:<64} {:?}", call.kernel);
    }
    println!("{} bytes of activations for a sample", planned.bytes_per_sample());
}
