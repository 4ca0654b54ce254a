//! The golden cases of a folder: pairs NAME.toml and NAME.safetensors, at any depth. Whatever is wrong with a pair becomes a
//! test of its name that fails and says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use castnet_compiler::lower::algorithm::Algorithm;
use castnet_compiler::lower::operation::{Convolution, ConvolutionKernel, Operation};
use castnet_compiler::{Source, compile};

use crate::module::Module;

/// The folder whose cases run in place of the shipped ones.
const VARIABLE: &str = "CASTNET_GOLDEN";

/// The two files of a case, as far as they exist.
#[derive(Default)]
struct Pair {
    spec: bool,
    tensors: bool,
}

/// The tests as the text of a module.
pub fn tests(manifest: &Path) -> String {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let given = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty());
    let folder = match &given {
        None => manifest.join("golden"),
        Some(folder) => find(manifest, Path::new(folder)),
    };
    let mut root = Module::default();
    let mut pairs = BTreeMap::new();
    if let Err(error) = list(&folder, &folder, &mut pairs) {
        failing(&mut root, "golden_folder", &error);
    } else if pairs.is_empty() {
        let message = format!("{} holds no pairs NAME.toml and NAME.safetensors", folder.display());
        failing(&mut root, "golden_folder", &message);
    }
    for (name, pair) in &pairs {
        let path: Vec<&str> = name.components().filter_map(|part| part.as_os_str().to_str()).collect();
        let (name, folders) = path.split_last().expect("a file has a name");
        let module = root.at(folders.iter().copied());
        match case(&folder.join(path.iter().collect::<PathBuf>()), pair) {
            Ok(case) => passing(module, name, &case),
            Err(message) => failing(module, name, &message),
        }
    }
    let count = pairs.len();
    let shipped = given.is_none();
    format!(
        "/// Cases in the folder.\nconst CASES: usize = {count};\n\
         /// Whether it is the one that is shipped.\nconst SHIPPED: bool = {shipped};\n{}",
        root.text()
    )
}

/// A relative path is meant from where the command was typed, from the workspace, or from this crate.
fn find(manifest: &Path, folder: &Path) -> PathBuf {
    println!("cargo::rerun-if-env-changed=PWD");
    let typed = std::env::var_os("PWD").map(PathBuf::from);
    let bases = typed.iter().map(PathBuf::as_path).chain(manifest.ancestors().take(2));
    let mut candidates = bases.map(|base| base.join(folder));
    let first = candidates.next().expect("a manifest has a folder");
    if first.is_dir() { first } else { candidates.find(|path| path.is_dir()).unwrap_or(first) }
}

/// Lists the pairs below a folder by their path without the ending.
fn list(root: &Path, folder: &Path, pairs: &mut BTreeMap<PathBuf, Pair>) -> Result<(), String> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let unreadable = |error: std::io::Error| format!("cannot list {}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            list(root, &path, pairs)?;
            continue;
        }
        let (spec, tensors) = match path.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => (true, false),
            Some("safetensors") => (false, true),
            _ => continue,
        };
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.strip_prefix(root).map_err(|error| error.to_string())?.with_extension("");
        if name.to_str().is_none() {
            return Err(format!("the name of {} is not Unicode", path.display()));
        }
        let pair: &mut Pair = pairs.entry(name).or_default();
        pair.spec |= spec;
        pair.tensors |= tensors;
    }
    Ok(())
}

/// A case that can be compiled.
struct Case {
    spec: String,
    tensors: String,
    /// Whether a layer draws in training.
    random: bool,
    /// Whether a sample alone means something: no layer takes statistics over the batch in evaluation.
    predicts: bool,
    /// The spec with each algorithm for 3x3 convolutions asked for in turn, where that makes a difference.
    forced: Vec<(&'static str, String)>,
}

fn case(path: &Path, pair: &Pair) -> Result<Case, String> {
    // Not `with_extension`: a name may hold dots.
    let file = |ending: &str| format!("{}.{ending}", path.display());
    let (spec, tensors) = (file("toml"), file("safetensors"));
    if !pair.spec || !pair.tensors {
        let (there, missing) = if pair.spec { (&spec, &tensors) } else { (&tensors, &spec) };
        return Err(format!("{there} has no {missing} beside it"));
    }
    let text = std::fs::read_to_string(&spec).map_err(|error| format!("cannot read {spec}: {error}"))?;
    let forced = forced(&text);
    let source = Source::new(spec.as_str(), text);
    let compiled =
        compile(&source).map_err(|failure| format!("the spec does not compile\n{}", failure.render(&source)))?;
    let nodes = &compiled.shaped.nodes;
    let random = nodes.iter().any(|node| ["dropout", "dropout2d", "rrelu"].contains(&node.site.kind.as_str()));
    let predicts = !nodes.iter().any(|node| node.op.evaluates_as_trained());
    Ok(Case { spec, tensors, random, predicts, forced })
}

/// The spec with each value of `winograd`, if one of them brings Winograd's algorithm in.
fn forced(text: &str) -> Vec<(&'static str, String)> {
    let with = |value: &str| text.replacen("[network]\n", &format!("[network]\nwinograd = {value}\n"), 1);
    let takes = compile(&Source::new("forced", with("\"f2\""))).is_ok_and(|compiled| {
        compiled.inference.program.calls.iter().any(|call| match call.operation {
            Operation::Convolution(Convolution { kernel: ConvolutionKernel::Blocked(algorithm), .. }) => {
                algorithm.tile().is_some()
            }
            Operation::Convolution(Convolution { kernel: ConvolutionKernel::FromPlanar(algorithm), .. }) => {
                algorithm.tile().is_some()
            }
            _ => false,
        })
    });
    let values = [("direct", "false"), ("f2", "\"f2\""), ("f4", "\"f4\"")];
    values.into_iter().filter(|_| takes).map(|(name, value)| (name, with(value))).collect()
}

fn passing(module: &mut Module, name: &str, case: &Case) {
    let test = module.name(name);
    let Case { spec, tensors, random, .. } = case;
    let new = if case.predicts { "new" } else { "without_predict" };
    // A module of its own, since two networks may bring helpers of one name.
    for (algorithm, spec) in &case.forced {
        let test = module.name(&format!("{name}_{algorithm}"));
        module.push(&format!(
            "#[test]\nfn {test}() {{\n    #[castnet::network(spec = r##\"{spec}\"##)]\n    pub struct Net;\n    \
             castnet_tests::golden::run_frozen(|| Box::new(castnet_tests::subject::Held::<Net>::{new}()), {tensors:?});\n}}\n"
        ));
    }
    module.push(&format!(
        "#[test]\nfn {test}() {{\n    #[castnet::network({spec:?})]\n    pub struct Net;\n    \
         castnet_tests::golden::run(|| Box::new(castnet_tests::subject::Held::<Net>::{new}()), {tensors:?}, {random});\n}}\n"
    ));
}

fn failing(module: &mut Module, name: &str, message: &str) {
    let test = module.name(name);
    module.push(&format!("#[test]\nfn {test}() {{\n    panic!(\"{{}}\", {message:?});\n}}\n"));
}
