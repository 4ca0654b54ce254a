//! Checks a spec: prints its layers with their shapes and parameters, or its errors.
//!
//! `cargo run -p castnet-compiler --example check -- specs/lenet5.toml`

use castnet_compiler::{Source, compile};
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
    for node in &compiled.shaped.nodes {
        let count: usize = node.op.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
        let (name, kind, shape) = (&node.site.name, &node.site.kind, node.output.to_string());
        println!("{name:<32} {kind:<20} {shape:<20} {count:>12}");
    }
    ExitCode::SUCCESS
}
