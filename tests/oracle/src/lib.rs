//! A second reading of the spec format, for tests alone: any network in 64-bit floats by the formulas of PyTorch's
//! documentation, and its gradients by finite differences. It shares nothing with the compiler and the runtime, so that a
//! mistake in one shows against the other, and is itself held against PyTorch's numbers.

pub mod agreement;
pub mod exact;
pub mod finite;
pub mod layer;
pub mod random;
pub mod spec;
pub mod tensors;
