//! Specs that must be refused, one for each rule, with the error as a person reads it.
//!
//! `TRYBUILD=overwrite cargo test -p castnet-tests --test compile_fail` writes the expected texts anew: read the difference.

#[test]
fn wrong_specs_do_not_compile() {
    trybuild::TestCases::new().compile_fail("compile_fail/*.rs");
}

#[path = "../compile_fail/uses/lines.rs"]
mod lines;
#[path = "../compile_fail/uses/maps.rs"]
mod maps;

#[castnet::network("../specs/lenet5.toml")]
#[derive(Debug, Clone)]
pub struct Maps;

#[castnet::network(spec = r#"
    [network]
    inputs = { signal = [2, 100], features = [10] }
    outputs = ["sequence", "classes"]

    [[layer]]
    name = "sequence"
    type = "conv1d"
    input = "signal"
    out_channels = 3
    kernel_size = 3

    [[layer]]
    name = "classes"
    type = "linear"
    input = "features"
    out_features = 5
"#)]
#[derive(Debug, Clone)]
pub struct Lines;

/// The code of the cases `uses_*`, to which an error in a spec must bring no further error, is right about a right network.
#[test]
fn the_code_around_wrong_specs_is_right() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("uses");
    std::fs::create_dir_all(&folder).expect("a folder");
    maps::all(&folder).expect("nothing in it fails");
    lines::all().expect("nothing in it fails");
}
