//! Puts the network of `CASTNET_SPEC` into the program `time`.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=CASTNET_SPEC");
    println!("cargo::rerun-if-changed=build.rs");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = manifest.parent().expect("the workspace around this crate");
    // A relative path is meant from the workspace's root: a build script does not know where cargo was called.
    let spec = match env::var("CASTNET_SPEC") {
        Ok(path) if Path::new(&path).is_relative() => root.join(path),
        Ok(path) => PathBuf::from(path),
        Err(_) => root.join("specs/lenet5.toml"),
    };
    let spec = spec.display().to_string();
    let code = format!("/// The network of `CASTNET_SPEC`.\n#[castnet::network({spec:?})]\npub struct Net;\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("network.rs"), code).expect("a file in OUT_DIR");
}
