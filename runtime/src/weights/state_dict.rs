//! Weights files: safetensors with PyTorch's names and layouts, loaded whole or not at all.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
#[cfg(feature = "std")]
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorInfo, TensorView, View};

use crate::buffer::Buffer;
use crate::error::{Error, WeightsError, WeightsProblem};
use crate::info::NetworkInfo;
use crate::state::State;

/// Types of numbers that become `f32`.
const FLOATS: &str = "F32, F64, F16 or BF16";

/// Loads a network's tensors from a file.
#[cfg(feature = "std")]
pub(crate) fn load(info: &NetworkInfo, state: &mut State, path: &Path) -> Result<(), Error> {
    load_bytes(info, state, &crate::file::read(path)?, &path.display().to_string())
}

/// Loads a network's tensors from the bytes of a file.
pub(crate) fn load_bytes(info: &NetworkInfo, state: &mut State, bytes: &[u8], origin: &str) -> Result<(), Error> {
    let mut tensors = Tensors::parse(bytes, origin)?;
    let network = tensors.network(info, "");
    tensors.finish(info.name)?;
    network.apply(state);
    Ok(())
}

/// A network's tensors as the bytes of a file.
pub(crate) fn to_bytes(info: &NetworkInfo, state: &State) -> Vec<u8> {
    serialize(network_tensors(info, state, ""), None)
}

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

/// The tensors of a file, from which one takes what one knows; what is wrong with them is gathered on the way. They are there with
/// their numbers, or as the file's header describes them.
pub(crate) struct Tensors<T> {
    left: BTreeMap<String, T>,
    problems: Vec<WeightsProblem>,
    origin: String,
}

/// What a header says of a tensor.
pub(crate) trait Described {
    fn dtype(&self) -> Dtype;
    fn shape(&self) -> &[usize];
}

impl Described for TensorView<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype()
    }

    fn shape(&self) -> &[usize] {
        self.shape()
    }
}

impl Described for TensorInfo {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }
}

/// Parameters and buffers that have been found in a file: in the order of the network's description, `None` after a problem.
pub(crate) struct LoadedNetwork<'a, T> {
    info: &'a NetworkInfo,
    pub tensors: Vec<Option<T>>,
}

impl<'a> Tensors<TensorView<'a>> {
    pub fn parse(bytes: &'a [u8], origin: &str) -> Result<Self, Error> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|source| Error::Format { origin: origin.to_string(), source: Box::new(source) })?;
        Ok(Self::new(file.tensors(), origin))
    }

    /// Takes one number, in 8 bytes of this type.
    pub fn number(&mut self, name: &str, dtype: Dtype, expected: &'static str) -> Option<[u8; 8]> {
        let tensor = self.take(name, &[])?;
        let name = name.to_string();
        if !tensor.shape().is_empty() {
            let found = tensor.shape().to_vec();
            self.problems.push(WeightsProblem::Shape { name, expected: Vec::new(), found });
            return None;
        }
        match tensor.data().try_into() {
            Ok(bytes) if tensor.dtype() == dtype => Some(bytes),
            _ => {
                self.problems.push(WeightsProblem::Type { name, expected, found: format!("{:?}", tensor.dtype()) });
                None
            }
        }
    }

    /// Floats of a tensor, if there is one of this name.
    pub fn length(&self, name: &str) -> Option<usize> {
        self.left.get(name).map(|tensor| tensor.shape().iter().product())
    }

    /// Takes a tensor `[floats]`.
    pub fn buffer(&mut self, name: String, floats: usize) -> Result<Buffer, Error> {
        let Some(tensor) = self.floats(name, &[floats]) else { return Ok(Buffer::new()) };
        let mut buffer = Buffer::try_zeroed(floats).map_err(|_| Error::TooLarge {
            network: "safetensors",
            what: "the state of an optimizer",
            batch: None,
            bytes: floats.checked_mul(4),
        })?;
        read_floats(tensor.dtype(), tensor.data(), &mut buffer);
        Ok(buffer)
    }
}

impl<T: Described> Tensors<T> {
    pub fn new(tensors: impl IntoIterator<Item = (String, T)>, origin: &str) -> Self {
        Self { left: tensors.into_iter().collect(), problems: Vec::new(), origin: origin.to_string() }
    }

    /// Takes all tensors of a network.
    pub fn network<'a>(&mut self, info: &'a NetworkInfo, prefix: &str) -> LoadedNetwork<'a, T> {
        let parameters = info.parameters.iter().map(|p| (p.name, p.shape));
        let buffers = info.buffers.iter().map(|b| (b.name, b.shape));
        let tensors =
            parameters.chain(buffers).map(|(name, shape)| self.floats(format!("{prefix}{name}"), shape)).collect();
        // PyTorch counts the batches that a batch norm has seen, for a momentum that no spec can ask for.
        self.left.retain(|name, _| {
            let counted = name.strip_prefix(prefix).and_then(|name| name.strip_suffix("num_batches_tracked"));
            counted.is_none_or(|layer| info.buffer(&format!("{layer}running_mean")).is_none())
        });
        LoadedNetwork { info, tensors }
    }

    /// Takes a tensor of floats of this shape.
    pub fn floats(&mut self, name: String, shape: &[usize]) -> Option<T> {
        let tensor = self.take(&name, shape)?;
        if tensor.shape() != shape {
            let (expected, found) = (shape.to_vec(), tensor.shape().to_vec());
            self.problems.push(WeightsProblem::Shape { name, expected, found });
            return None;
        }
        match tensor.dtype() {
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16 => Some(tensor),
            found => {
                self.problems.push(WeightsProblem::Type { name, expected: FLOATS, found: format!("{found:?}") });
                None
            }
        }
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Option<T> {
        let tensor = self.left.remove(name);
        if tensor.is_none() {
            self.problems.push(WeightsProblem::Missing { name: name.to_string(), shape: shape.to_vec() });
        }
        tensor
    }

    /// Everything that is wrong, with what nobody has taken.
    pub fn finish(mut self, network: &'static str) -> Result<(), Error> {
        self.problems.extend(
            self.left
                .into_iter()
                .map(|(name, tensor)| WeightsProblem::Unknown { name, shape: tensor.shape().to_vec() }),
        );
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::Weights(Box::new(WeightsError { network, origin: self.origin, problems: self.problems })))
    }
}

impl LoadedNetwork<'_, TensorView<'_>> {
    /// Writes the tensors into a state: once nothing is wrong, so that nothing is half loaded.
    pub fn apply(&self, state: &mut State) {
        let parameters = self.info.parameters.iter().map(|p| (true, p.range()));
        let buffers = self.info.buffers.iter().map(|b| (false, b.range()));
        for ((parameter, range), tensor) in parameters.chain(buffers).zip(&self.tensors) {
            let to = if parameter { &mut state.parameters[range] } else { &mut state.buffers[range] };
            if let Some(tensor) = tensor {
                read_floats(tensor.dtype(), tensor.data(), to);
            }
        }
    }
}

/// Copies a tensor's numbers, or some of them, converted where they are no `f32`.
pub(crate) fn read_floats(dtype: Dtype, bytes: &[u8], to: &mut [f32]) {
    match dtype {
        Dtype::F64 => convert(bytes, to, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => convert(bytes, to, |bytes| half_to_float(u16::from_le_bytes(bytes))),
        // A bfloat16 is the upper half of a float.
        Dtype::BF16 => convert(bytes, to, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
        _ => convert(bytes, to, f32::from_le_bytes),
    }
}

fn convert<const BYTES: usize>(bytes: &[u8], to: &mut [f32], float: impl Fn([u8; BYTES]) -> f32) {
    let (numbers, rest) = bytes.as_chunks();
    assert!(rest.is_empty() && numbers.len() == to.len(), "the format's reader has checked the lengths");
    to.iter_mut().zip(numbers).for_each(|(to, number)| *to = float(*number));
}

/// IEEE 754 binary16 (1 sign, 5 exponent, 10 fraction bits) to binary32 (1, 8, 23). Exact.
fn half_to_float(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(half >> 10 & 0x1f), u32::from(half & 0x3ff));
    let magnitude = match exponent {
        // Subnormal: fraction * 2^-24, which a float holds as a normal number.
        0 => (fraction as f32 * (1.0 / 16_777_216.0)).to_bits(),
        // Infinity and NaN, whose payload is kept.
        0x1f => 0x7f80_0000 | fraction << 13,
        // The bias goes from 15 to 127.
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn halves_convert_exactly() {
        for (half, float) in [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x03ff, 6.097_555e-5),
            (0x0001, 5.960_464_5e-8),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half_to_float(half).to_bits(), f32::to_bits(float), "{half:#06x}");
        }
        assert!(half_to_float(0x7e00).is_nan());
    }
}
