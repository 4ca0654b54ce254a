//! Compiles a neural network written in TOML into Rust.
