//! Losses by name.

use core::fmt;
use core::str::FromStr;

/// The losses that a spec may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// `torch.nn.functional.cross_entropy`, of scores before any softmax and class numbers.
    CrossEntropy,
    /// `torch.nn.functional.nll_loss`, of log-probabilities and class numbers.
    Nll,
    /// `torch.nn.functional.mse_loss`.
    Mse,
    /// `torch.nn.functional.l1_loss`.
    L1,
    /// `torch.nn.functional.smooth_l1_loss`.
    SmoothL1,
    /// `torch.nn.functional.binary_cross_entropy`, of probabilities.
    Bce,
    /// `torch.nn.functional.binary_cross_entropy_with_logits`, of scores before any sigmoid.
    BceWithLogits,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 7] =
        [Loss::CrossEntropy, Loss::Nll, Loss::Mse, Loss::L1, Loss::SmoothL1, Loss::Bce, Loss::BceWithLogits];

    /// The name in a spec.
    pub const fn name(self) -> &'static str {
        match self {
            Loss::CrossEntropy => "cross_entropy",
            Loss::Nll => "nll",
            Loss::Mse => "mse",
            Loss::L1 => "l1",
            Loss::SmoothL1 => "smooth_l1",
            Loss::Bce => "bce",
            Loss::BceWithLogits => "bce_with_logits",
        }
    }

    /// Whether its target holds class numbers, and not values.
    pub const fn wants_classes(self) -> bool {
        matches!(self, Loss::CrossEntropy | Loss::Nll)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no loss's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLoss;

impl fmt::Display for UnknownLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, loss) in Loss::ALL.iter().enumerate() {
            f.write_str(if i == 0 { "the losses are " } else { ", " })?;
            f.write_str(loss.name())?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownLoss {}

impl FromStr for Loss {
    type Err = UnknownLoss;

    fn from_str(name: &str) -> Result<Self, UnknownLoss> {
        Loss::ALL.into_iter().find(|loss| loss.name() == name).ok_or(UnknownLoss)
    }
}
