//! Weights files.

use std::fs;
use std::path::PathBuf;

use castnet::{Error, Network, Sgd, Trainer};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::mlp::Mlp;
use crate::parts::Parts;
use crate::{inputs, labels};

/// An empty directory of this test's own.
fn directory(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("files").join(test);
    fs::remove_dir_all(&path).ok();
    fs::create_dir_all(&path).unwrap();
    path
}

/// A tensor's name, type, shape and bytes.
type Entry<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

fn file(entries: &[Entry<'_>]) -> Vec<u8> {
    let views = entries
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    serialize(views, None).unwrap()
}

fn floats(name: &str, shape: Vec<usize>, value: f32) -> Entry<'_> {
    let bytes = value.to_le_bytes().repeat(shape.iter().product());
    (name, Dtype::F32, shape, bytes)
}

#[test]
fn a_file_has_pytorchs_names_and_layouts() {
    let net = Mlp::new(9);
    let bytes = net.to_bytes();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 4);
    for parameter in Mlp::INFO.parameters {
        let tensor = file.tensor(parameter.name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, parameter.shape));
        let numbers: Vec<_> =
            tensor.data().chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        assert_eq!(numbers, net.parameters()[parameter.range()]);
    }
    let mut other = Mlp::new(1);
    other.load_bytes(&bytes).unwrap();
    assert_eq!(other.parameters(), net.parameters());
}

#[test]
fn buffers_are_weights_too() {
    let mut net = Parts::new(0);
    net.buffers_mut().copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let mut other = Parts::new(0);
    other.load_bytes(&net.to_bytes()).unwrap();
    assert_eq!(other.buffers(), net.buffers());
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let directory = directory("whole");
    let path = directory.join("weights.safetensors");
    let net = Mlp::new(9);
    for net in [&Mlp::new(1), &net] {
        net.save(&path).unwrap();
    }
    let mut loaded = Mlp::new(2);
    loaded.load(&path).unwrap();
    assert_eq!(loaded.parameters(), net.parameters());

    let mut trainer = Trainer::new(net.clone(), Sgd::new(0.1).momentum(0.9));
    trainer.step(inputs(3).view(), &labels(3)).unwrap();
    let training = directory.join("training.safetensors");
    trainer.save(&training).unwrap();
    let mut resumed = Trainer::new(Mlp::new(0), Sgd::new(0.1));
    resumed.load(&training).unwrap();
    assert_eq!(resumed.to_bytes(), trainer.to_bytes());

    // A directory stands where the file should go: the rename fails, and what was written is cleared away.
    let taken = directory.join("taken");
    fs::create_dir(&taken).unwrap();
    let error = net.save(&taken).unwrap_err();
    assert!(matches!(&error, Error::Io { action: "write", path, .. } if *path == taken), "{error}");
    assert!(net.save(directory.join("no/such/directory/w.safetensors")).is_err());
    let mut names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["taken", "training.safetensors", "weights.safetensors"]);

    let error = loaded.load(directory.join("none")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("none: "), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let directory = directory("link");
    let (file, link) = (directory.join("file"), directory.join("link"));
    Mlp::new(1).save(&file).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let net = Mlp::new(2);
    net.save(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let mut loaded = Mlp::new(3);
    loaded.load(&file).unwrap();
    assert_eq!(loaded.parameters(), net.parameters());
}

#[test]
fn everything_wrong_is_said_together_and_nothing_is_loaded() {
    let mut net = Mlp::new(9);
    let before = net.parameters().to_vec();
    let bytes = file(&[
        floats("fc1.weight", vec![8, 12], 0.0),
        floats("fc2.weight", vec![8, 5], 0.0),
        ("fc2.bias", Dtype::I64, vec![5], vec![0; 40]),
        floats("fc3.weight", vec![2, 2], 0.0),
        ("num_batches_tracked", Dtype::I64, vec![], vec![0; 8]),
    ]);
    let error = net.load_bytes(&bytes).unwrap_err().to_string();
    assert_eq!(
        error,
        "bytes does not fit Mlp (5 problems), nothing was loaded:\n\
         \x20 `fc1.bias` [8] is missing\n\
         \x20 `fc2.weight` has the shape [8, 5], but the network wants [5, 8]\n\
         \x20 `fc2.bias` is of type I64, but must be F32, F64, F16 or BF16\n\
         \x20 `fc3.weight` [2, 2] is not a tensor of the network\n\
         \x20 `num_batches_tracked` [] is not a tensor of the network"
    );
    assert_eq!(net.parameters(), before);

    let whole = net.to_bytes();
    for length in [0, 7, 8, 100, whole.len() - 1] {
        let error = net.load_bytes(&whole[..length]).unwrap_err().to_string();
        assert!(error.starts_with("bytes is not a safetensors file: "), "{error}");
    }
}

#[test]
fn counts_of_batches_are_accepted() {
    let entries = [
        floats("norm.scale", vec![3], 2.0),
        floats("norm.running_mean", vec![3], 3.0),
        floats("norm.running_var", vec![3], 4.0),
        ("norm.num_batches_tracked", Dtype::I64, vec![], vec![0; 8]),
    ];
    let mut net = Parts::new(0);
    net.load_bytes(&file(&entries)).unwrap();
    assert_eq!(net.parameters(), [2.0; 3]);
    assert_eq!(net.buffers(), [3.0, 3.0, 3.0, 4.0, 4.0, 4.0]);
}

#[test]
fn other_floats_are_converted() {
    let halves = |bits: [u16; 3]| bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let entries = [
        // 1, -2 and 2^-24
        ("norm.scale", Dtype::F16, vec![3], halves([0x3c00, 0xc000, 0x0001])),
        // 1, -2 and infinity
        ("norm.running_mean", Dtype::BF16, vec![3], halves([0x3f80, 0xc000, 0x7f80])),
        ("norm.running_var", Dtype::F64, vec![3], [0.1f64, 2.0, 1e-300].iter().flat_map(|x| x.to_le_bytes()).collect()),
    ];
    let mut net = Parts::new(0);
    net.load_bytes(&file(&entries)).unwrap();
    assert_eq!(net.parameters(), [1.0, -2.0, 1.0 / 16_777_216.0]);
    assert_eq!(net.buffers(), [1.0, -2.0, f32::INFINITY, 0.1, 2.0, 0.0]);
}
