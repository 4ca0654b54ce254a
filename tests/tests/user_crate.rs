//! A crate as a user writes it: strict lints, networks in all places, hostile names around them, edits of a spec.

use safetensors::tensor::{Dtype, TensorView};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// A crate in a folder of its own, with castnet as a dependency under a name.
struct Crate {
    folder: PathBuf,
}

impl Crate {
    fn new(name: &str, dependency: &str) -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace around this crate");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("src/inner")).expect("a folder");
        fs::create_dir_all(folder.join("specs")).expect("a folder");
        let it = Self { folder };
        let runtime = workspace.join("runtime").display().to_string();
        let package = if dependency == "castnet" { "" } else { "package = \"castnet\", " };
        it.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
                 {dependency} = {{ {package}path = {runtime:?} }}\n\n[workspace]\n"
            ),
        );
        // The versions of this workspace: nothing is to be looked up.
        fs::copy(workspace.join("Cargo.lock"), it.folder.join("Cargo.lock")).expect("the workspace's lock file");
        it
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.join(path), text).expect("a file");
    }

    /// `cargo COMMAND`, offline, with dependencies that all these crates share.
    fn cargo(&self, command: &str) -> Output {
        Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args([command, "--offline", "--all-targets"])
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("user_crates"))
            .env_remove("RUSTFLAGS")
            .current_dir(&self.folder)
            .output()
            .expect("cargo runs")
    }

    /// Clippy, or the compiler alone where clippy is not installed.
    #[track_caller]
    fn passes_lints(&self) {
        let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
        let installed = Command::new(cargo).args(["clippy", "--version"]).output().is_ok_and(|it| it.status.success());
        if !installed {
            eprintln!("CLIPPY IS NOT INSTALLED: its lints are not tested (rustup component add clippy)");
        }
        self.passes(if installed { "clippy" } else { "check" });
    }

    #[track_caller]
    fn passes(&self, command: &str) {
        let output = self.cargo(command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[track_caller]
    fn fails(&self, command: &str, expected: &str) {
        let output = self.cargo(command);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "it compiles");
        assert!(text.contains(expected), "{text}");
    }
}

fn spec(out_features: usize) -> String {
    format!(
        "[network]\ninput = [4]\nloss = \"mse\"\n\n[[layer]]\nname = \"fc\"\ntype = \"linear\"\nout_features = {out_features}\n"
    )
}

#[test]
fn an_edit_of_a_spec_recompiles_the_crate() {
    let user = Crate::new("edits", "castnet");
    let source = "//! A crate.\n\n/// Its network.\n#[castnet::network(\"specs/net.toml\")]\npub struct Net;\n\n\
                  const _: () = assert!(Net::PARAMETER_COUNT == 10, \"not ten\");\n";
    user.write("src/lib.rs", source);
    user.write("specs/net.toml", &spec(2));
    user.passes("check");
    // Only the TOML file changes from here on.
    user.write("specs/net.toml", &spec(3));
    user.fails("check", "not ten");
    user.write("specs/net.toml", &spec(0));
    user.fails("check", "which must be 1 or more");
    user.write("specs/net.toml", &spec(2));
    user.passes("check");
    fs::remove_file(user.folder.join("specs/net.toml")).expect("the spec is there");
    user.fails("check", "cannot read the spec");
}

/// What stands in a Markdown text between a fence of a language and the next, and holds a word.
fn snippet(text: &str, language: &str, word: &str) -> String {
    let fences = text.split("```").skip(1).step_by(2);
    let mut found = fences.filter_map(|it| it.strip_prefix(language)).filter(|it| it.contains(word));
    found.next().unwrap_or_else(|| panic!("no {language} with {word}")).to_string()
}

#[test]
fn the_readme_makes_a_crate() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace around this crate");
    let readme = fs::read_to_string(workspace.join("README.md")).expect("the README");
    let user = Crate::new("first", "castnet");
    // The repository is at another place than the README supposes.
    let manifest = snippet(&readme, "toml", "[dependencies]");
    let runtime = workspace.join("runtime").display().to_string();
    let manifest = manifest.replace("\"../castnet/runtime\"", &format!("{runtime:?}"));
    let package = "[package]\nname = \"first\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    user.write("Cargo.toml", &format!("{package}{manifest}\n[workspace]\n"));
    user.write("net.toml", &snippet(&readme, "toml", "[network]"));
    user.write("src/main.rs", &snippet(&readme, "rust", "fn main()"));
    user.passes("check");
}

#[test]
fn strict_lints_and_networks_everywhere() {
    let user = Crate::new("strict", "castnet");
    user.write("specs/net.toml", &spec(2));
    user.write("src/inner/beside.toml", &spec(3));
    user.write(
        "src/lib.rs",
        r##"//! A crate with strict lints.
#![deny(warnings, missing_docs, unused, nonstandard_style, rust_2018_idioms, unreachable_pub)]
#![deny(missing_debug_implementations, unused_qualifications, clippy::all)]
#![forbid(unsafe_code)]

pub mod inner;

/// One network, with what a user puts around it.
#[castnet::network("specs/net.toml")]
#[derive(Debug, Clone)]
pub struct First;

/// Another in the same module.
#[castnet::network(spec = r#"
    [network]
    inputs = { image = [2, 5, 5], extra = [3] }
    outputs = ["conv1_out", "fc"]

    [[layer]]
    name = "Conv-1"
    type = "conv2d"
    input = "image"
    out_channels = 4
    kernel_size = 3
    padding = 1

    [[layer]]
    name = "conv1_out"
    type = "batch_norm2d"

    [[layer]]
    name = "flat"
    type = "flatten"

    [[layer]]
    name = "loop"
    type = "dropout"

    [[layer]]
    name = "all"
    type = "concat"
    inputs = ["loop", "extra"]

    [[layer]]
    name = "fc"
    type = "linear"
    out_features = 2
"#)]
#[derive(Debug)]
pub struct Second;

/// What a caller does with them.
pub fn run() -> (f32, usize) {
    #[castnet::network("specs/net.toml")]
    #[derive(Debug)]
    struct Local;

    let scores = First::new(1).predict(&[0.0; 4]);
    let (maps, classes) = Second::new(1).predict((&[[[0.0; 5]; 5]; 2], &[0.0; 3]));
    let local = Local::new(2).predict(&[1.0; 4]);
    (scores[0] + maps[0][0][0] + classes[0] + local[1], Second::PARAMETER_COUNT)
}
"##,
    );
    user.write(
        "src/inner/mod.rs",
        r#"//! Names that a generated network must not fall over.

/// A name of the prelude.
#[derive(Debug, Clone, Copy)]
pub enum Option {
    /// A name of the prelude.
    None,
    /// A name of the prelude.
    Some(u8),
}
pub use self::Option::{None, Some};

/// A name of the runtime.
#[derive(Debug, Clone, Copy)]
pub struct Context;
/// A name of the runtime.
#[derive(Debug, Clone, Copy)]
pub struct Network;
/// A name of the prelude.
pub type Result = u8;
/// A name of the prelude.
#[derive(Debug, Clone, Copy)]
pub struct Box;
/// A name of a kernel.
pub mod linear {}
/// The runtime's own.
pub mod castnet {}

/// A network among them, its spec beside this file.
#[::castnet::network("./beside.toml")]
#[derive(Debug)]
pub(crate) struct Conv2d;

/// What keeps it used.
pub fn uses() -> (usize, Option, Option) {
    (Conv2d::PARAMETER_COUNT, None, Some(1))
}
"#,
    );
    user.passes_lints();
}

/// Constants and types of the user's that are called like what generated code binds or takes for granted.
#[test]
fn names_of_the_users_module_leak_nowhere() {
    let user = Crate::new("names", "castnet");
    // What functions of generated code bind: in the passes, in the layers' functions, in methods.
    let bound = "context parameters buffers arena gradients inputs input output saved indices grad_output grad_input residual packed \
                 tensors state seed sample prediction outputs output_gradients tape loss target path bytes weight bias norm weights \
                 norm_weight norm_bias mean variance running_mean running_var grad_weight grad_bias image image_grad conv_out \
                 bn_out bn_saved relu1_out conv_out_grad pool_out pool_saved pool_out_plain image_blocked drop_saved fc_out";
    let constants: String =
        bound.split_whitespace().map(|name| format!("    pub const {name}: char = 'x';\n")).collect();
    let types = "f32 f64 u8 u64 usize bool str Vec Box Option Result Range AsRef Into Path Copy Clone Send Sync Sized";
    let types: String = types.split_whitespace().map(|name| format!("    pub struct {name};\n")).collect();
    let values = "None Some Ok Err";
    let values: String = values.split_whitespace().map(|name| format!("    pub const {name}: char = 'x';\n")).collect();
    let network = r##"
    #[castnet::network(spec = r#"
        [network]
        inputs = { image = [3, 8, 8] }
        loss = "cross_entropy"
        [[layer]]
        name = "conv"
        type = "conv2d"
        out_channels = 16
        kernel_size = 3
        padding = 1
        [[layer]]
        name = "bn"
        type = "batch_norm2d"
        [[layer]]
        type = "relu"
        [[layer]]
        name = "twice"
        type = "add"
        inputs = ["relu1", "conv"]
        [[layer]]
        name = "pool"
        type = "max_pool2d"
        kernel_size = 2
        [[layer]]
        name = "drop"
        type = "dropout"
        [[layer]]
        type = "flatten"
        [[layer]]
        name = "fc"
        type = "linear"
        out_features = 4
    "#)]
    pub struct Net;
"##;
    let main = "fn main() {\n    let net = hostile::Net::new(1);\n    let scores: [f32; 4] = net.freeze().predict(&[[[0.5; 8]; 8]; 3]);\n    \
                println!(\"{scores:?}\");\n}\n";
    user.write(
        "src/main.rs",
        &format!(
            "//! A program.\n#![deny(warnings)]\n#![allow(dead_code, non_upper_case_globals, non_camel_case_types)]\n\n\
             mod hostile {{\n{constants}{types}{values}{network}}}\n\n{main}"
        ),
    );
    user.passes("check");
}

/// A macro of the user's own that declares networks: its code is the user's as much as what it is given.
#[test]
fn a_users_macro_declares_networks() {
    let user = Crate::new("declared", "castnet");
    user.write("specs/net.toml", &spec(2));
    user.write(
        "src/lib.rs",
        "//! A library whose networks come from a macro.\n#![deny(warnings, missing_docs, unused, unreachable_pub)]\n\
         #![deny(clippy::all, clippy::pedantic, clippy::nursery)]\n#![forbid(unsafe_code)]\n\n\
         macro_rules! declare {\n    ($name:ident, $path:literal) => {\n        /// A network.\n        #[castnet::network($path)]\n        \
         #[derive(Debug)]\n        pub struct $name;\n    };\n}\n\ndeclare!(First, \"specs/net.toml\");\ndeclare!(Second, \"specs/net.toml\");\n",
    );
    user.passes_lints();
}

#[test]
fn under_another_name() {
    let user = Crate::new("renamed", "cn");
    user.write("specs/net.toml", &spec(2));
    user.write(
        "src/lib.rs",
        "//! A library with a network.\n#![deny(warnings)]\n\n/// The network.\n#[cn::network(\"specs/net.toml\")]\npub struct Net;\n",
    );
    // The binary uses the library's network.
    user.write(
        "src/main.rs",
        "//! A program.\n#![deny(warnings)]\n\nfn main() {\n    let scores: [f32; 2] = renamed::Net::new(0).predict(&[0.0; 4]);\n    \
         println!(\"{scores:?}\");\n}\n",
    );
    user.passes("check");
}

#[test]
fn weights_are_built_in_and_tracked() {
    let user = Crate::new("weights", "castnet");
    user.write("specs/net.toml", &spec(2));
    let source = "//! A crate.\n#![deny(warnings, missing_docs)]\n#![forbid(unsafe_code)]\n\n/// Its network.\n\
                  #[castnet::network(\"specs/net.toml\", weights = \"./net.safetensors\")]\n#[derive(Debug)]\npub struct Net;\n\n\
                  /// What it says.\npub fn scores() -> [f32; 2] {\n    Net::pretrained().predict(&[1.0; 4])\n}\n";
    user.write("src/lib.rs", source);
    let weights = |bias: &[f32]| {
        let floats = |floats: &[f32]| floats.iter().flat_map(|float| float.to_le_bytes()).collect::<Vec<u8>>();
        let (weight, bias) = (floats(&[1.0; 8]), floats(bias));
        let tensor = |shape: Vec<usize>, bytes| TensorView::new(Dtype::F32, shape, bytes).expect("a tensor");
        let tensors = [("fc.weight", tensor(vec![2, 4], &weight)), ("fc.bias", tensor(vec![bias.len() / 4], &bias))];
        safetensors::serialize(tensors, None).expect("a file")
    };
    let file = user.folder.join("src/net.safetensors");
    fs::write(&file, weights(&[2.0, 5.0])).expect("a file");
    user.passes_lints();
    fs::write(&file, weights(&[2.0, 5.0, 0.0])).expect("a file");
    user.fails("check", "`fc.bias` has the shape [3], but layer `fc` (specs/net.toml:5) needs [2]");
    fs::write(&file, weights(&[2.0, 6.0])).expect("a file");
    user.passes("check");
    fs::remove_file(&file).expect("it is there");
    user.fails("check", "cannot read the weights \"./net.safetensors\"");
}

/// Lints that nobody turns on for all of a crate, over networks with every kind of layer.
#[test]
fn no_lint_of_the_user_fires() {
    let user = Crate::new("pedantic", "castnet");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/nets");
    let mut source =
        "//! A crate with all the lints there are.\n#![deny(warnings, missing_docs, unused, unused_results, \
                      unused_qualifications, unused_lifetimes, single_use_lifetimes, unreachable_pub, trivial_casts, \
                      trivial_numeric_casts, explicit_outlives_requirements, elided_lifetimes_in_paths, \
                      missing_copy_implementations, variant_size_differences, non_ascii_idents)]\n\
                      #![deny(clippy::all, clippy::pedantic, clippy::nursery)]\n#![forbid(unsafe_code)]\n\n"
            .to_string();
    for entry in fs::read_dir(golden).expect("the golden networks") {
        let path = entry.expect("a file").path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let camel: String = path.file_stem().expect("a name").to_string_lossy().split('_').map(capital).collect();
            source += &format!(
                "/// A network.\n#[castnet::network({path:?})]\n#[derive(Debug, Clone)]\npub struct {camel};\n\n"
            );
        }
    }
    assert!(source.matches("pub struct").count() >= 30);
    user.write("src/lib.rs", &source);
    user.passes_lints();
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}
