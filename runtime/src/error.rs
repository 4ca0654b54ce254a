//! The one error type: what went wrong in plain words, with the network, the value and both shapes.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use castnet_descriptors::Loss;
use castnet_descriptors::state_dict::Prefix;

/// The result of a call that may fail with an [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What can go wrong in a call to a network, a loss, an optimizer or a weights file.
///
/// No call leaves anything half done: after an error parameters, buffers and optimizer are as they were, except that
/// a training pass which ended after its forward part has moved the running statistics of batch norms.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An array does not have the shape of the input or output that it was given for.
    Shape {
        /// The network.
        network: &'static str,
        /// What the array was given for.
        role: Role,
        /// The name of the input or output.
        name: &'static str,
        /// The shape of a sample; the array has the batch axis in front of it.
        expected: &'static [usize],
        /// The array's shape.
        found: Vec<usize>,
    },
    /// Arrays that belong together have different batch sizes.
    Batches {
        /// The network.
        network: &'static str,
        /// What the arrays were given for.
        role: Role,
        /// The first array, and its batch size.
        first: (&'static str, usize),
        /// The array that differs, and its batch size.
        other: (&'static str, usize),
    },
    /// Gradients were given for a batch of another size than the forward pass had.
    GradientBatch {
        /// The network.
        network: &'static str,
        /// The batch size of the forward pass.
        expected: usize,
        /// The batch size of the gradients.
        found: usize,
    },
    /// The batch is smaller than the pass is defined for: empty in training, or one sample where a batch norm sees one
    /// value per channel and sample.
    BatchTooSmall {
        /// The network.
        network: &'static str,
        /// Whether the pass was one of training.
        training: bool,
        /// The smallest batch.
        minimum: usize,
        /// The batch size.
        found: usize,
    },
    /// Memory for a batch, or for a state, is past what can be addressed or cannot be had.
    TooLarge {
        /// The network or the optimizer.
        network: &'static str,
        /// What the memory is for.
        what: &'static str,
        /// The batch size, where the size depends on it.
        batch: Option<usize>,
        /// Bytes that were asked for; `None` where the number itself is past what can be addressed.
        bytes: Option<usize>,
    },
    /// A backward pass was asked for and the tape holds no forward pass of training, or one that a backward pass has
    /// used up.
    NoForwardPass {
        /// The network.
        network: &'static str,
    },
    /// The target is of the wrong kind: class numbers for a loss on values, or the reverse.
    TargetKind {
        /// The loss.
        loss: Loss,
    },
    /// The target's shape does not fit the output's.
    TargetShape {
        /// The loss.
        loss: Loss,
        /// The shape that the target must have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
        /// The shape of the output.
        output: Vec<usize>,
    },
    /// The output is not of a shape that the loss is defined for: at least one value, and a class axis for
    /// cross_entropy and nll.
    LossShape {
        /// The loss.
        loss: Loss,
        /// The shape of the output, with the batch axis.
        output: Vec<usize>,
    },
    /// A target is not one of the classes.
    Class {
        /// The loss.
        loss: Loss,
        /// The number that was given.
        class: i128,
        /// The number of classes.
        classes: usize,
        /// Where in the target, counted over all its axes.
        position: usize,
    },
    /// An output or a target of binary cross-entropy is not within 0 ..= 1.
    Probability {
        /// The loss.
        loss: Loss,
        /// What the number belongs to: the output or the target.
        what: &'static str,
        /// The number.
        value: f32,
        /// Where, counted over all axes.
        position: usize,
    },
    /// An optimizer's setting is out of its range, or two settings exclude each other.
    Setting {
        /// The optimizer.
        optimizer: &'static str,
        /// What is wrong with which setting.
        message: String,
    },
    /// An optimizer was given parameters and gradients, or a state, of different lengths.
    Lengths {
        /// The optimizer.
        optimizer: &'static str,
        /// Floats of the parameters.
        parameters: usize,
        /// What else was given.
        what: &'static str,
        /// Its floats.
        found: usize,
    },
    /// A file cannot be read or written.
    #[cfg(feature = "std")]
    Io {
        /// What was tried: "read", "write".
        action: &'static str,
        /// The path as it was given.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file, or bytes, are not in the safetensors format.
    Format {
        /// Where the bytes came from.
        origin: String,
        /// What the file is instead, where that can be told, and what mends it.
        help: Option<&'static str>,
        /// What the format's reader says.
        source: Box<safetensors::SafeTensorError>,
    },
    /// Tensors do not fit the network: everything that is wrong with a file, together.
    Weights(Box<WeightsError>),
}

/// What arrays are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// As the inputs of a network.
    Input,
    /// As the gradients of its outputs.
    OutputGradient,
}

/// Everything that keeps the tensors of a file from being loaded. Nothing of the file was.
#[derive(Debug)]
pub struct WeightsError {
    /// The network.
    pub network: &'static str,
    /// Where the tensors came from: a path, or "bytes".
    pub origin: String,
    /// What every name in the file begins with, where the rest is a name of the network.
    pub prefix: Option<String>,
    /// What is wrong, one entry for each tensor.
    pub problems: Vec<WeightsProblem>,
}

/// What is wrong with one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightsProblem {
    /// The network has the tensor and the file has not.
    Missing {
        /// Its name.
        name: String,
        /// The shape that the network wants.
        shape: Vec<usize>,
    },
    /// The file has the tensor and the network has not.
    Unknown {
        /// Its name.
        name: String,
        /// Its shape in the file.
        shape: Vec<usize>,
    },
    /// The shapes differ.
    Shape {
        /// Its name.
        name: String,
        /// The shape that the network wants.
        expected: Vec<usize>,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// Its numbers are of a type that does not convert.
    Type {
        /// Its name.
        name: String,
        /// The types that can be loaded.
        expected: &'static str,
        /// The type in the file.
        found: String,
    },
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Input => "the input",
            Role::OutputGradient => "the gradient of the output",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Shape { network, role, name, expected, found } => {
                write!(f, "{network}: {role} `{name}` has the shape {}, ", Batched(expected))?;
                write!(f, "but the array given for it has the shape {found:?}")?;
                if let ([c, h, w], [_, rest @ ..]) = (expected, &found[..])
                    && rest == [*h, *w, *c]
                {
                    write!(f, "; with channels last, give `.permuted_axes([0, 3, 1, 2])` of it")?;
                }
                Ok(())
            }
            Error::Batches { network, role, first, other } => write!(
                f,
                "{network}: {role} `{}` has a batch of {} and {role} `{}` one of {}; they must be equal",
                first.0, first.1, other.0, other.1
            ),
            Error::GradientBatch { network, expected, found } => write!(
                f,
                "{network}: the gradients of the outputs are for a batch of {found}, but the forward pass had one of \
                 {expected}"
            ),
            Error::BatchTooSmall { network, training, minimum, found } => {
                let pass = if *training { "training" } else { "evaluation" };
                write!(f, "{network}: a batch of {found} in {pass}, which needs at least {minimum}")?;
                if *minimum > 1 {
                    write!(f, ": a batch norm takes its statistics over one value per channel and sample")?;
                }
                Ok(())
            }
            Error::TooLarge { network, what, batch, bytes } => {
                write!(f, "{network}: no memory for {what}")?;
                if let Some(batch) = batch {
                    write!(f, " of a batch of {batch}")?;
                }
                match bytes {
                    Some(bytes) => write!(f, ": {bytes} bytes cannot be had"),
                    None => write!(f, ": the size is past what memory can address"),
                }
            }
            Error::NoForwardPass { network } => write!(
                f,
                "{network}: a backward pass needs a forward pass in training (`forward_train`) on the same tape \
                 before it, one for each"
            ),
            Error::TargetKind { loss } => {
                let (wanted, given) =
                    if loss.wants_classes() { ("class numbers", "values") } else { ("values", "class numbers") };
                write!(f, "{loss}: the target must be {wanted}, but {given} were given")
            }
            Error::TargetShape { loss, expected, found, output } => write!(
                f,
                "{loss}: for an output of shape {output:?} the target must have the shape {expected:?}, but it has \
                 {found:?}"
            ),
            Error::LossShape { loss, output } => {
                let wanted = if loss.wants_classes() {
                    "[batch, classes], [batch, classes, length] or [batch, classes, height, width]"
                } else {
                    "a batch axis in front"
                };
                write!(f, "{loss} wants an output of shape {wanted}, with no axis of length 0, not {output:?}")
            }
            Error::Class { loss, class, classes, position } => write!(
                f,
                "{loss}: the target at position {position} is class {class}, but there are {classes} classes, 0 to {}",
                classes.saturating_sub(1)
            ),
            Error::Probability { loss, what, value, position } => write!(
                f,
                "{loss}: the {what} at position {position} is {value}, but must lie within 0 and 1; for outputs \
                 before a sigmoid take bce_with_logits"
            ),
            Error::Setting { optimizer, message } => write!(f, "{optimizer}: {message}"),
            Error::Lengths { optimizer, parameters, what, found } => {
                write!(f, "{optimizer}: {parameters} floats of parameters, but {found} of {what}")
            }
            #[cfg(feature = "std")]
            Error::Io { action, path, source } => write!(f, "cannot {action} {}: {source}", path.display()),
            Error::Format { origin, help, source } => {
                write!(f, "{origin} is not a safetensors file: {source}")?;
                help.map_or(Ok(()), |help| write!(f, "; {help}"))
            }
            Error::Weights(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(feature = "std")]
            Error::Io { source, .. } => Some(source),
            Error::Format { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, origin, prefix, problems } = self;
        let plural = if problems.len() == 1 { "problem" } else { "problems" };
        write!(f, "{origin} does not fit {network} ({} {plural}), nothing was loaded:", problems.len())?;
        let Some(prefix) = prefix else {
            return problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"));
        };
        write!(f, "\n  {}", Prefix(prefix))?;
        // Without the prefix all that is in the file belongs to the network. What is missing then is still said.
        let others: BTreeSet<&str> = problems.iter().filter_map(WeightsProblem::unknown).collect();
        let there = |name: &str| others.contains(format!("{prefix}{name}").as_str());
        let rest = problems.iter().filter(|problem| problem.missing().is_some_and(|name| !there(name)));
        rest.into_iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl WeightsProblem {
    /// The name of a tensor that is missing.
    pub(crate) fn missing(&self) -> Option<&str> {
        match self {
            Self::Missing { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The name of a tensor that is not the network's.
    fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown { name, .. } => Some(name),
            _ => None,
        }
    }
}

impl core::error::Error for WeightsError {}

impl fmt::Display for WeightsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, shape } => write!(f, "`{name}` {shape:?} is missing"),
            Self::Unknown { name, shape } => write!(f, "`{name}` {shape:?} is not a tensor of the network"),
            Self::Shape { name, expected, found } => {
                write!(f, "`{name}` has the shape {found:?}, but the network wants {expected:?}")
            }
            Self::Type { name, expected, found } => write!(f, "`{name}` is of type {found}, but must be {expected}"),
        }
    }
}

/// Shows a sample's shape with the batch axis in front.
struct Batched<'a>(&'a [usize]);

impl fmt::Display for Batched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[batch")?;
        self.0.iter().try_for_each(|length| write!(f, ", {length}"))?;
        f.write_str("]")
    }
}
