//! Vectorised, blocked kernels: what generated code calls.
