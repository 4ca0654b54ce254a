//! Writes the networks of the tests: one struct under the macro for each spec, and a test that runs it.

#[path = "build/accuracy.rs"]
mod accuracy;
#[path = "build/golden.rs"]
mod golden;
#[path = "build/module.rs"]
mod module;
#[path = "build/random.rs"]
mod random;

use std::path::{Path, PathBuf};

fn main() {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    write(&out.join("accuracy.rs"), &accuracy::networks(&manifest));
    write(&out.join("golden.rs"), &golden::tests(&manifest));
    write(&out.join("random.rs"), &random::tests());
}

/// Writes a file only where it changes: what includes it is not compiled again otherwise.
fn write(path: &Path, text: &str) {
    if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return;
    }
    std::fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
