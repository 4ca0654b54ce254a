//! Writes random specs to a folder, and as many for each type of layer alone. With what `tests/golden/oracle.py` makes of them,
//! `CASTNET_GOLDEN=DIR cargo test -p castnet-tests --test golden` holds random networks against PyTorch.

use std::path::PathBuf;

use castnet_oracle::random;
use clap::Parser;

/// Writes random specs to a folder.
#[derive(Parser)]
struct Options {
    /// The folder; it is made if need be
    folder: PathBuf,
    /// How many of each kind
    count: u64,
    /// The seed of the first; the others' follow
    #[arg(default_value_t = 0)]
    seed: u64,
    /// Layers of a network
    #[arg(default_value_t = 16)]
    layers: usize,
}

fn main() -> std::io::Result<()> {
    let Options { folder, count, seed, layers } = Options::parse();
    std::fs::create_dir_all(&folder)?;
    for seed in (seed..).take(count as usize) {
        for kind in random::KINDS {
            std::fs::write(folder.join(format!("{kind}_{seed}.toml")), random::layers(kind, seed, 3))?;
        }
        std::fs::write(folder.join(format!("random_{seed}.toml")), random::spec(seed, layers))?;
    }
    Ok(())
}
