//! Reading: the tensors of a file by name, taken one after the other, with everything that is wrong with them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use castnet_descriptors::state_dict::{Prefix, batches_of, other_format};
use safetensors::tensor::{Dtype, SafeTensors, TensorInfo, TensorView};

use super::floats::{FLOATS, are_floats, read_floats};
use crate::buffer::Buffer;
use crate::error::{Error, WeightsError, WeightsProblem};
use crate::info::NetworkInfo;
use crate::state::State;

/// The tensors of a file, from which one takes what one knows; what is wrong with them is gathered on the way. They are there with
/// their numbers, or as the file's header describes them.
pub(crate) struct StateDict<T> {
    left: BTreeMap<String, T>,
    /// Whether any has been taken.
    taken: bool,
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

impl<'a> StateDict<TensorView<'a>> {
    pub fn parse(bytes: &'a [u8], origin: &str) -> Result<Self, Error> {
        let file = SafeTensors::deserialize(bytes).map_err(|source| Error::Format {
            origin: origin.to_string(),
            help: other_format(bytes),
            source: Box::new(source),
        })?;
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

impl<T: Described> StateDict<T> {
    pub fn new(tensors: impl IntoIterator<Item = (String, T)>, origin: &str) -> Self {
        Self { left: tensors.into_iter().collect(), taken: false, problems: Vec::new(), origin: origin.to_string() }
    }

    /// Takes all tensors of a network.
    pub fn network<'a>(&mut self, info: &'a NetworkInfo, prefix: &str) -> LoadedNetwork<'a, T> {
        let parameters = info.parameters.iter().map(|p| (p.name, p.shape));
        let buffers = info.buffers.iter().map(|b| (b.name, b.shape));
        let tensors =
            parameters.chain(buffers).map(|(name, shape)| self.floats(format!("{prefix}{name}"), shape)).collect();
        self.left.retain(|name, _| {
            let counted = name.strip_prefix(prefix).and_then(batches_of);
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
        if !are_floats(tensor.dtype()) {
            let found = format!("{:?}", tensor.dtype());
            self.problems.push(WeightsProblem::Type { name, expected: FLOATS, found });
            return None;
        }
        Some(tensor)
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Option<T> {
        let tensor = self.left.remove(name);
        self.taken |= tensor.is_some();
        if tensor.is_none() {
            self.problems.push(WeightsProblem::Missing { name: name.to_string(), shape: shape.to_vec() });
        }
        tensor
    }

    /// What all names begin with before a name of the network: then none has been taken.
    fn prefix(&self) -> Option<String> {
        if self.taken {
            return None;
        }
        let missing: BTreeSet<&str> = self.problems.iter().filter_map(WeightsProblem::missing).collect();
        Prefix::of(self.left.keys().map(String::as_str), |name| missing.contains(name))
            .map(|prefix| prefix.0.to_string())
    }

    /// Everything that is wrong, with what nobody has taken.
    pub fn finish(mut self, network: &'static str) -> Result<(), Error> {
        let prefix = self.prefix();
        self.problems.extend(
            self.left
                .into_iter()
                .map(|(name, tensor)| WeightsProblem::Unknown { name, shape: tensor.shape().to_vec() }),
        );
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::Weights(Box::new(WeightsError { network, origin: self.origin, prefix, problems: self.problems })))
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
