//! Writing: tensors with PyTorch's names and layouts as the bytes of a safetensors file.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use safetensors::tensor::{Dtype, View};

use crate::info::NetworkInfo;
use crate::state::State;

/// A network's parameters and buffers, each name behind a prefix.
pub(crate) fn network_tensors<'a>(info: &'a NetworkInfo, state: &'a State, prefix: &str) -> Vec<(String, Tensor<'a>)> {
    let parameters = info.parameters.iter().map(|p| (p.name, p.shape, &state.parameters[p.range()]));
    let buffers = info.buffers.iter().map(|b| (b.name, b.shape, &state.buffers[b.range()]));
    parameters
        .chain(buffers)
        .map(|(name, shape, floats)| {
            (format!("{prefix}{name}"), Tensor { shape: shape.into(), numbers: floats.into() })
        })
        .collect()
}

/// A tensor to be written.
pub(crate) struct Tensor<'a> {
    pub shape: Vec<usize>,
    pub numbers: Numbers<'a>,
}

/// Numbers to be written.
pub(crate) enum Numbers<'a> {
    F32(&'a [f32]),
    F64(f64),
    U64(u64),
}

impl<'a> From<&'a [f32]> for Numbers<'a> {
    fn from(floats: &'a [f32]) -> Self {
        Numbers::F32(floats)
    }
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.numbers {
            Numbers::F32(_) => Dtype::F32,
            Numbers::F64(_) => Dtype::F64,
            Numbers::U64(_) => Dtype::U64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.numbers {
            Numbers::F32(floats) => {
                let mut bytes = vec![0; size_of_val(*floats)];
                let (numbers, _) = bytes.as_chunks_mut();
                numbers.iter_mut().zip(*floats).for_each(|(number, float)| *number = float.to_le_bytes());
                bytes.into()
            }
            Numbers::F64(number) => number.to_le_bytes().to_vec().into(),
            Numbers::U64(number) => number.to_le_bytes().to_vec().into(),
        }
    }

    fn data_len(&self) -> usize {
        match self.numbers {
            Numbers::F32(floats) => size_of_val(floats),
            _ => 8,
        }
    }
}

/// The bytes of a file with these tensors and these notes.
pub(crate) fn serialize(tensors: Vec<(String, Tensor<'_>)>, notes: Option<(&str, &str)>) -> Vec<u8> {
    let notes = notes.map(|(name, note)| [(name.to_string(), note.to_string())].into_iter().collect());
    match safetensors::serialize(tensors, notes) {
        Ok(bytes) => bytes,
        // Shapes and lengths agree, and the header of 100 MB that a file may have holds a million names.
        Err(error) => unreachable!("a network's tensors make a valid file: {error}"),
    }
}
