//! Specs that are far too deep, too long or too wrong: each is refused in words, and none takes more than its text is worth. Where time
//! or memory grew faster than the text, these sizes would not come to an end.

use castnet_compiler::{Source, compile};

/// The errors of a spec that must be refused.
fn errors(spec: String) -> Vec<String> {
    let source = Source::new("net.toml", spec);
    let failure = compile(&source).expect_err("the spec must be refused");
    failure.diagnostics.iter().map(|diagnostic| diagnostic.render(&source)).collect()
}

/// The only error of a spec that must be refused; it must begin so.
#[track_caller]
fn one_error(spec: String, begin: &str) -> String {
    let errors = errors(spec);
    assert_eq!(errors.len(), 1, "{}", errors[..errors.len().min(3)].join("\n"));
    assert!(errors[0].starts_with(begin), "{}", errors[0]);
    errors.into_iter().next().unwrap_or_default()
}

const HEAD: &str = "[network]\ninput = [8]\n";

/// Blocks that each place the one before, and so many layers of the first.
fn nested(depth: usize, layers: usize) -> String {
    let mut spec = format!("{HEAD}[block.b0]\n{}", "[[block.b0.layer]]\ntype = \"relu\"\n".repeat(layers));
    for i in 1..depth {
        spec += &format!("[block.b{i}]\n[[block.b{i}.layer]]\nname = \"n\"\nblock = \"b{}\"\n", i - 1);
    }
    spec + &format!("[[layer]]\nname = \"top\"\nblock = \"b{}\"\n", depth - 1)
}

#[test]
fn blocks_nest_128_deep() {
    let compiled = compile(&Source::new("net.toml", nested(128, 3))).expect("the spec is right");
    let name = format!("top.{}relu3", "n.".repeat(127));
    assert_eq!(compiled.shaped.nodes[2].site.name, name);
    assert_eq!(compiled.shaped.nodes[2].site.placed.len(), 128);
    for depth in [129, 1500, 19_000] {
        let error = one_error(nested(depth, 1), "error: blocks are nested more than 128 deep\n");
        assert!(error.contains("while this was being placed"), "{error}");
    }
}

#[test]
fn a_run_of_layers_may_be_long() {
    let spec = format!("{HEAD}{}", "[[layer]]\ntype = \"relu\"\n".repeat(100_000));
    let error = one_error(spec, "error: the network has more than 20000 layers and blocks\n");
    assert!(error.contains("net.toml:40003"), "{error}");
}

#[test]
fn blocks_may_double_and_double() {
    let mut spec = format!("{HEAD}[block.b0]\n[[block.b0.layer]]\ntype = \"relu\"\n");
    for i in 1..100 {
        let layer = format!("[[block.b{i}.layer]]\nblock = \"b{}\"\n", i - 1);
        spec += &format!("[block.b{i}]\n{layer}{layer}");
    }
    one_error(spec + "[[layer]]\nblock = \"b99\"\n", "error: the network has more than 20000 layers and blocks\n");
}

#[test]
fn a_parameter_may_double_and_double() {
    let spec = |value: &str| {
        let mut spec = format!(
            "{HEAD}[block.b0]\nparams = {{ x = 1 }}\n[[block.b0.layer]]\ntype = \"layer_norm\"\nnormalized_shape = \"$x\"\n"
        );
        for i in 1..100 {
            spec += &format!("[block.b{i}]\nparams = {{ x = 1 }}\n[[block.b{i}.layer]]\nblock = \"b{}\"\n", i - 1);
            spec += &format!("with = {{ x = {value} }}\n");
        }
        spec + "[[layer]]\nblock = \"b99\"\n"
    };
    one_error(spec("[\"$x\", \"$x\"]"), "error: the placed layers hold more than 1000000 values\n");
    one_error(spec("[\"$x\"]"), "error: a value is nested more than 80 deep\n");
    one_error(spec("{ y = \"$x\" }"), "error: a value is nested more than 80 deep\n");
    assert!(compile(&Source::new("net.toml", spec("\"$x\"").replace("x = 1 }", "x = 8 }"))).is_ok());
}

#[test]
fn long_values_are_not_repeated_without_end() {
    let list = "\"@input\", ".repeat(10_000);
    let spec =
        format!("{HEAD}[block.b]\n[[block.b.layer]]\ntype = \"add\"\ninputs = [{list}]\n[[layer]]\nblock = \"b\"\n");
    one_error(spec + "repeat = 9000\n", "error: the placed layers hold more than 1000000 values\n");
    let word = "w".repeat(1 << 20);
    let spec =
        format!("{HEAD}[block.b]\n[[block.b.layer]]\nname = \"a\"\ntype = \"{word}\"\n[[layer]]\nblock = \"b\"\n");
    assert_eq!(errors(spec + "repeat = 9000\n").len(), 2);
    let name = "n".repeat(1000);
    let layer = |block: &str, what: &str| format!("[[block.{block}.layer]]\nname = \"{name}\"\n{what}\n");
    let blocks = ["[block.a]\n", &layer("a", "type = \"relu\""), "[block.b]\n", &layer("b", "block = \"a\"")].concat();
    let spec = format!("{HEAD}{blocks}[[layer]]\nblock = \"b\"\nrepeat = 9000\n");
    one_error(spec, "error: the full name of a layer has more than 1024 letters\n");
}

#[test]
fn a_hundred_errors_are_told() {
    let specs = [
        "[[layer]]\ntype = \"foo\"\n".repeat(5_000),
        "[[layer]]\ntype = \"linear\"\nout_features = 4\nin_features = 7\n".repeat(5_000),
        (0..5_000).map(|i| format!("[[layer]]\ntype = \"relu\"\ninput = \"no{i}\"\n")).collect(),
        (0..5_000).map(|i| format!("[[layer]]\nblock = \"no{i}\"\n")).collect(),
    ];
    for layers in specs {
        let errors = errors(format!("{HEAD}{layers}"));
        assert_eq!(errors.len(), 101, "{}", errors[0]);
        assert_eq!(errors[100], "error: there are more errors than these 100");
    }
}

#[test]
fn a_long_cycle_is_told_in_short() {
    let layers: String = (0..5_000)
        .map(|i| format!("[[layer]]\ntype = \"relu\"\ninput = \"relu{}\"\n", (i + 4_999) % 5_000 + 1))
        .collect();
    let error = one_error(format!("{HEAD}{layers}"), "error: layer `relu1` (relu) is part of a cycle\n");
    assert!(error.contains("`relu14` -> `relu15` -> … -> `relu5000` -> `relu1`"), "{error}");
}

#[test]
fn an_error_below_wide_layers_is_mended_or_not() {
    let wide = format!("[{}]", "\"conv2d1\", ".repeat(5_000));
    let layers = [
        "[[layer]]\ntype = \"conv2d\"\nout_channels = 2\nkernel_size = 3\n".to_string(),
        format!("[[layer]]\ntype = \"add\"\ninputs = {wide}\n").repeat(3),
        "[[layer]]\ntype = \"concat\"\ninputs = [\"add1\", \"add2\", \"add3\"]\n".to_string(),
        "[[layer]]\ntype = \"flatten\"\n[[layer]]\ntype = \"linear\"\nin_features = 5\nout_features = 2\n".to_string(),
    ];
    let spec = format!("[network]\ninput = [1, 8, 8]\n{}", layers.concat());
    one_error(spec, "error: layer `linear1` (linear) says in_features = 5, but it receives 216 features\n");
}

#[test]
fn toml_may_be_nested_too_deep() {
    for value in ["[".repeat(100_000), format!("{}1{}", "{a=".repeat(50_000), "}".repeat(50_000))] {
        assert!(errors(format!("[network]\ninput = {value}\n"))[0].contains("recurs"));
    }
    assert!(errors(format!("[network]\n{}a = 1\n", "a.".repeat(50_000)))[0].contains("recurs"));
}
