//! Tensors by name, in a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// A tensor of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its shape, with the batch axis where it has one.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub numbers: Numbers,
}

/// The numbers of a tensor, the last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Values.
    F32(Vec<f32>),
    /// Class numbers.
    I64(Vec<i64>),
}

/// The tensors of a file.
pub type Tensors = BTreeMap<String, Tensor>;

/// Reads the bytes of a file. The error says what is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| format!("not a safetensors file: {error}"))?;
    let tensor = |(name, view): (String, TensorView<'_>)| {
        let numbers = match view.dtype() {
            Dtype::F32 => Numbers::F32(view.data().as_chunks().0.iter().map(|&le| f32::from_le_bytes(le)).collect()),
            Dtype::I64 => Numbers::I64(view.data().as_chunks().0.iter().map(|&le| i64::from_le_bytes(le)).collect()),
            other => return Err(format!("`{name}` holds {other:?}, where F32 or I64 belongs")),
        };
        Ok((name, Tensor { shape: view.shape().to_vec(), numbers }))
    };
    file.tensors().into_iter().map(tensor).collect()
}

/// Reads a file. The error says which, and what is wrong with it.
pub fn read(path: &Path) -> Result<Tensors, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// The bytes of a file that holds these tensors of values.
pub fn to_bytes<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [f32])>) -> Vec<u8> {
    let tensors: Vec<(&str, &[usize], Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, floats)| (name, shape, floats.iter().flat_map(|float| float.to_le_bytes()).collect()))
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("four bytes for each number"))
    });
    safetensors::serialize(views, None).expect("tensors in memory")
}
