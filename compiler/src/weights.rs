//! Weights that are built into a program: whether a safetensors file has the tensors of the network, all of them and no others.
//!
//! What fits here loads at run time: `runtime/src/weights/` reads files with the same crate and by the same rules, and what both say of a
//! file is in `castnet_descriptors::state_dict`.

use crate::diagnostic::Diagnostic;
use crate::shape::Shaped;
use crate::source::Source;
use crate::suggest::nearest;
use castnet_descriptors::state_dict::{Prefix, batches_of, other_format};
use safetensors::tensor::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashSet};

/// The most tensors of a file for which the nearest name is sought among all of the network's.
const MOST_SOUGHT: usize = 100;

/// What is wrong with the file that messages call `path`: all of its tensors together.
pub fn check(path: &str, bytes: &[u8], shaped: &Shaped, source: &Source) -> Option<Diagnostic> {
    let file = match SafeTensors::deserialize(bytes) {
        Ok(file) => file,
        Err(error) => return Some(not_safetensors(path, bytes, &error)),
    };
    let mut left: BTreeMap<&str, (&[usize], Dtype)> = BTreeMap::new();
    let names: Vec<String> = file.names().into_iter().map(str::to_string).collect();
    let tensors = file.tensors();
    for (name, tensor) in &tensors {
        left.insert(name, (tensor.shape(), tensor.dtype()));
    }
    let (mut missing, mut others, mut types) = (Vec::new(), Vec::new(), Vec::new());
    let wanted = wanted(shaped);
    for Wanted { name, shape, layer, line } in &wanted {
        let place = format!("layer `{layer}` ({}:{line})", source.path);
        match left.remove(name.as_str()) {
            None => missing.push((name, format!("{place} needs `{name}` {shape:?}, which is missing"))),
            Some((found, _)) if found != shape => {
                others.push(format!("`{name}` has the shape {found:?}, but {place} needs {shape:?}"));
            }
            Some((_, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16)) => {}
            Some((_, found)) => types.push(format!("`{name}` is of type {found:?}, but must be F32, F64, F16 or BF16")),
        }
    }
    // PyTorch counts the batches that a batch norm has seen; nothing needs them.
    let known: HashSet<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
    left.retain(|name, _| {
        !batches_of(name).is_some_and(|layer| known.contains(format!("{layer}running_mean").as_str()))
    });
    let stored: HashSet<&str> = names.iter().map(String::as_str).collect();
    let absent: Vec<&Wanted> = wanted.iter().filter(|wanted| !stored.contains(wanted.name.as_str())).collect();
    let unknown: Vec<String> = left
        .iter()
        .enumerate()
        .map(|(i, (name, (shape, _)))| {
            // Past so many it is another network's file.
            let absent = absent.iter().filter(|wanted| i < MOST_SOUGHT && wanted.shape == *shape);
            let meant = nearest(name, absent.map(|wanted| wanted.name.as_str()));
            let meant = meant.map_or(String::new(), |meant| format!("; is it `{meant}`?"));
            format!("`{name}` {shape:?} belongs to no layer{meant}")
        })
        .collect();
    let counts = [
        (missing.len(), "is missing", "are missing"),
        (others.len(), "has another shape", "have other shapes"),
        (types.len(), "is not of floats", "are not of floats"),
        (unknown.len(), "belongs to no layer", "belong to no layer"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    if counts.is_empty() {
        return None;
    }
    let title = format!("the tensors in {path:?} are not those of the network: {}", counts.join(", "));
    let mut diagnostic = Diagnostic::new(title);
    let prefix = Prefix::of(names.iter().map(String::as_str), |name| known.contains(name));
    // Without a prefix all that is in the file belongs to the network, and that is said in place of each name.
    let (missing, unknown) = match prefix {
        Some(Prefix(prefix)) => {
            missing.retain(|(name, _)| !stored.contains(format!("{prefix}{name}").as_str()));
            (missing, Vec::new())
        }
        None => (missing, unknown),
    };
    for note in missing.into_iter().map(|(_, note)| note).chain(others).chain(types).chain(unknown) {
        diagnostic = diagnostic.note(note);
    }
    Some(match prefix {
        Some(prefix) => diagnostic.help(prefix.to_string()),
        None => diagnostic,
    })
}

/// A parameter or a buffer of the network.
struct Wanted {
    name: String,
    shape: Vec<usize>,
    layer: String,
    line: usize,
}

/// In the order of the layers.
fn wanted(shaped: &Shaped) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for node in &shaped.nodes {
        let parameters = node.op.parameters().into_iter().map(|parameter| (parameter.name, parameter.shape));
        let buffers = node.op.buffers().into_iter().map(|buffer| (buffer.name, buffer.shape));
        wanted.extend(parameters.chain(buffers).map(|(name, shape)| {
            let layer = node.site.name.clone();
            Wanted { name: format!("{layer}.{name}"), shape, layer, line: node.site.line }
        }));
    }
    wanted
}

/// What the file is instead, where its first bytes tell.
fn not_safetensors(path: &str, bytes: &[u8], error: &safetensors::SafeTensorError) -> Diagnostic {
    let diagnostic = Diagnostic::new(format!("{path:?} is not a safetensors file: {error}"));
    match other_format(bytes) {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    const SPEC: &str = "[network]\ninput = [1, 4, 4]\n\n[[layer]]\nname = \"conv1\"\ntype = \"conv2d\"\nout_channels = 2\n\
                        kernel_size = 3\n\n[[layer]]\nname = \"bn1\"\ntype = \"batch_norm2d\"\n\n[[layer]]\ntype = \"flatten\"\n\n\
                        [[layer]]\nname = \"fc1\"\ntype = \"linear\"\nout_features = 3\n";

    /// What is said of a file with the right tensors, changed by `change`.
    fn said(change: impl Fn(&mut BTreeMap<String, (Dtype, Vec<usize>)>)) -> Option<String> {
        let source = Source::new("net.toml", SPEC);
        let compiled = crate::compile(&source).expect("the spec is right");
        let mut tensors: BTreeMap<String, (Dtype, Vec<usize>)> =
            wanted(&compiled.shaped).into_iter().map(|wanted| (wanted.name, (Dtype::F32, wanted.shape))).collect();
        tensors.insert("bn1.num_batches_tracked".into(), (Dtype::I64, vec![]));
        change(&mut tensors);
        let bytes = [0u8; 1024];
        let views = tensors.iter().map(|(name, (dtype, shape))| {
            let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name.as_str(), TensorView::new(*dtype, shape.clone(), &bytes[..length]).expect("the length is right"))
        });
        let file = safetensors::serialize(views, None).expect("the tensors are right");
        check("w.safetensors", &file, &compiled.shaped, &source).map(|diagnostic| diagnostic.message(&source))
    }

    #[test]
    fn a_state_dict_fits() {
        assert_eq!(said(|_| ()), None);
        assert_eq!(said(|file| drop(file.remove("bn1.num_batches_tracked"))), None);
        assert_eq!(said(|file| file.get_mut("conv1.weight").unwrap().0 = Dtype::BF16), None);
    }

    #[test]
    fn all_that_is_wrong_comes_together() {
        let message = said(|file| {
            let bias = file.remove("fc1.bias").unwrap();
            file.insert("fc.bias".into(), bias);
            file.remove("bn1.running_var");
            file.get_mut("conv1.weight").unwrap().1 = vec![2, 1, 5, 5];
            file.get_mut("conv1.bias").unwrap().0 = Dtype::I32;
            file.insert("fc2.num_batches_tracked".into(), (Dtype::I64, vec![]));
        });
        let expected = "the tensors in \"w.safetensors\" are not those of the network: 2 are missing, 1 has another shape, 1 is not \
                        of floats, 2 belong to no layer\n |\n\
                        \x20= note: layer `bn1` (net.toml:10) needs `bn1.running_var` [2], which is missing\n\
                        \x20= note: layer `fc1` (net.toml:17) needs `fc1.bias` [3], which is missing\n\
                        \x20= note: `conv1.weight` has the shape [2, 1, 5, 5], but layer `conv1` (net.toml:4) needs [2, 1, 3, 3]\n\
                        \x20= note: `conv1.bias` is of type I32, but must be F32, F64, F16 or BF16\n\
                        \x20= note: `fc.bias` [3] belongs to no layer; is it `fc1.bias`?\n\
                        \x20= note: `fc2.num_batches_tracked` [] belongs to no layer";
        assert_eq!(message.unwrap(), expected);
    }

    #[test]
    fn a_prefix_of_all_names_is_seen() {
        let message =
            said(|file| *file = file.iter().map(|(name, tensor)| (format!("model.{name}"), tensor.clone())).collect());
        assert!(message.unwrap().contains("every name in the file begins with `model.`"));
    }

    #[test]
    fn other_files_are_told_apart() {
        let source = Source::new("net.toml", SPEC);
        let compiled = crate::compile(&source).expect("the spec is right");
        let message = |bytes: &[u8]| check("w.pt", bytes, &compiled.shaped, &source).unwrap().message(&source);
        assert!(message(b"").starts_with("\"w.pt\" is not a safetensors file: "));
        assert!(message(b"PK\x03\x04 and so on").contains("torch.save"));
        assert!(message(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
        assert!(message(&[255; 64]).contains("is not a safetensors file"));
    }
}
