//! Random networks: some layers of each type with arguments of their own, and whole graphs. Each is held against a
//! node-by-node run on the reference and against finite differences in 64-bit floats.
//!
//! ```text
//! cargo test -p castnet-tests --test gradients
//! CASTNET_RANDOM=200 CASTNET_SEED=1000 cargo test -p castnet-tests --test gradients
//! ```

include!(concat!(env!("OUT_DIR"), "/random.rs"));
