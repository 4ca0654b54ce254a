//! Weights that are built into the program.

use std::fs;

#[castnet::network("../specs/lenet5.toml", weights = "../examples/no_std/lenet5.safetensors")]
pub struct LeNet5;

/// As `load` would have them, and not as they are initialised.
#[test]
fn what_is_built_in_is_what_the_file_holds() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/no_std/lenet5.safetensors");
    let (built_in, mut loaded) = (LeNet5::pretrained(), LeNet5::new(1));
    assert_ne!(built_in.parameters(), loaded.parameters());
    loaded.load(file).expect("the file is there");
    assert_eq!(built_in.parameters(), loaded.parameters());
    assert_eq!(built_in.to_bytes(), fs::read(file).expect("the file is there"));
}
