//! Weights that are built into the program, and weights that are packed for inference straight from a file.

use castnet::{Error, Frozen};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::Path;
use std::{env, fs};

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
    let digit = [[[0.5; 28]; 28]];
    assert_eq!(LeNet5::pretrained_frozen().predict(&digit), loaded.freeze().predict(&digit));
    assert_eq!(built_in.to_bytes(), fs::read(file).expect("the file is there"));
}

/// Layers of all kinds of tensors: folded, standing alone, copied one by one, and copied as several that follow each other.
#[castnet::network(spec = r#"
    [network]
    input = [3, 12, 12]

    [[layer]]
    type = "conv2d"
    out_channels = 20
    kernel_size = 3
    padding = 1

    [[layer]]
    type = "batch_norm2d"

    [[layer]]
    type = "relu"

    [[layer]]
    type = "batch_norm2d"

    [[layer]]
    type = "prelu"
    num_parameters = 20

    [[layer]]
    type = "group_norm"
    num_groups = 4

    [[layer]]
    type = "conv_transpose2d"
    out_channels = 5
    kernel_size = 2
    stride = 2

    [[layer]]
    type = "flatten"

    [[layer]]
    type = "linear"
    out_features = 7
"#)]
pub struct Mixed;

/// A network whose statistics are not what they begin as.
fn mixed() -> Mixed {
    let mut net = Mixed::new(5);
    net.buffers_mut().iter_mut().enumerate().for_each(|(i, float)| *float = 0.5 + (i % 7) as f32 / 8.0);
    net
}

fn image() -> [[[f32; 12]; 12]; 3] {
    std::array::from_fn(|c| {
        std::array::from_fn(|y| std::array::from_fn(|x| ((c * 7 + y * 3 + x) % 11) as f32 / 5.0 - 1.0))
    })
}

/// A network's file with its numbers in another type.
fn converted(file: &[u8], dtype: Dtype) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(file).expect("a file");
    let numbers = |bytes: &[u8]| -> Vec<u8> {
        let (floats, _) = bytes.as_chunks();
        let floats = floats.iter().map(|float| f32::from_le_bytes(*float));
        match dtype {
            Dtype::F64 => floats.flat_map(|float| f64::from(float).to_le_bytes()).collect(),
            Dtype::BF16 => floats.flat_map(|float| ((float.to_bits() >> 16) as u16).to_le_bytes()).collect(),
            _ => bytes.to_vec(),
        }
    };
    let data: Vec<_> = tensors.iter().map(|(name, it)| (name, it.shape().to_vec(), numbers(it.data()))).collect();
    let views =
        data.iter().map(|(name, shape, data)| (*name, TensorView::new(dtype, shape.clone(), data).expect("a tensor")));
    safetensors::serialize(views, None).expect("a file")
}

#[test]
fn packing_from_a_file_is_freezing() {
    let file = mixed().to_bytes();
    for dtype in [Dtype::F32, Dtype::F64, Dtype::BF16] {
        let bytes = converted(&file, dtype);
        let mut net = Mixed::new(0);
        net.load_bytes(&bytes).expect("the tensors are the network's");
        let expected = net.freeze().predict(&image());
        assert!(expected.iter().all(|score| score.is_finite()));
        assert_eq!(Frozen::<Mixed>::load_bytes(&bytes).expect("as above").predict(&image()), expected, "{dtype:?}");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packing-{dtype:?}.safetensors"));
        fs::write(&path, &bytes).expect("a file");
        assert_eq!(Frozen::<Mixed>::load(&path).expect("as above").predict(&image()), expected, "{dtype:?}");
    }
}

/// A network's file with other names.
fn renamed(file: &[u8], name: impl Fn(&str) -> String) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(file).expect("a file");
    safetensors::serialize(tensors.iter().map(|(old, tensor)| (name(old), tensor)), None).expect("a file")
}

/// A state dict of a module that holds the network.
#[test]
fn a_prefix_of_all_names_is_explained() {
    let file = mixed().to_bytes();
    for prefix in ["module.", "_orig_mod.", "model."] {
        let error = Mixed::new(0).load_bytes(&renamed(&file, |name| format!("{prefix}{name}"))).expect_err("a prefix");
        let expected = format!(
            "bytes does not fit Mixed (34 problems), nothing was loaded:\n  every name in the file begins with `{prefix}`: save \
             the state dict of the module that is called so, or take it off the names"
        );
        assert_eq!(error.to_string(), expected);
        let Error::Weights(error) = error else { panic!("{error}") };
        assert_eq!(error.prefix.as_deref(), Some(prefix));
    }
    // What would be missing without it is said too; a count of batches changes nothing.
    let old = SafeTensors::deserialize(&file).expect("a file");
    let count = TensorView::new(Dtype::I64, Vec::new(), &[0; 8]).expect("a tensor");
    let kept = old.iter().filter(|(name, _)| *name != "linear1.bias");
    let tensors = kept.map(|(name, tensor)| (format!("module.{name}"), tensor));
    let tensors = tensors.chain([("module.batch_norm2d1.num_batches_tracked".to_string(), count)]);
    let file = safetensors::serialize(tensors, None).expect("a file");
    let error = Mixed::new(0).load_bytes(&file).expect_err("a prefix").to_string();
    assert!(error.ends_with("or take it off the names\n  `linear1.bias` [7] is missing"), "{error}");
    // Names of which one is right have no prefix.
    let half = renamed(&mixed().to_bytes(), |name| match name {
        "linear1.bias" => name.to_string(),
        _ => format!("module.{name}"),
    });
    let error = Mixed::new(0).load_bytes(&half).expect_err("most are missing").to_string();
    assert!(!error.contains("every name") && error.lines().count() == 33, "{error}");
}

/// A file of another format is called what it is.
#[test]
fn other_formats_are_told_apart() {
    let said = |bytes: &[u8]| Mixed::new(0).load_bytes(bytes).expect_err("no safetensors").to_string();
    assert!(said(b"PK\x03\x04 and so on").contains("; this looks like a file of torch.save: write it with"));
    assert!(said(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
    assert!(!said(b"something else, and long enough").contains(';'));
}

/// What `load_bytes` of a network says of a file, `Frozen::load_bytes` says.
#[test]
fn a_wrong_file_is_refused_in_the_same_words() {
    let file = mixed().to_bytes();
    let header = 8 + u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let changed = |at: usize, byte: u8| {
        let mut file = file.clone();
        file[at] = byte;
        file
    };
    let files = [
        Vec::new(),
        file[..7].to_vec(),
        file[..header - 1].to_vec(),
        file[..file.len() - 1].to_vec(),
        [&file[..], &[0]].concat(),
        changed(7, 1),
        changed(9, b'!'),
        LeNet5::new(0).to_bytes(),
        renamed(&file, |name| format!("module.{name}")),
        b"PK\x03\x04 and so on".to_vec(),
        String::from_utf8_lossy(&file[..header])
            .replace("linear1.bias", "linear2.bias")
            .into_bytes()
            .into_iter()
            .chain(file[header..].iter().copied())
            .collect(),
    ];
    for file in files {
        let expected = Mixed::new(0).load_bytes(&file).expect_err("a wrong file").to_string();
        assert_eq!(Frozen::<Mixed>::load_bytes(&file).expect_err("a wrong file").to_string(), expected);
    }
    let missing = Frozen::<Mixed>::load("nowhere.safetensors").expect_err("no file").to_string();
    assert!(missing.contains("cannot read nowhere.safetensors"), "{missing}");
}
