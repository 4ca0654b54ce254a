//! Writes random specs to a folder: `random_specs DIR COUNT [SEED [LAYERS]]`, and as many for each type of layer alone. With what `tests/golden/oracle.py` makes of
//! them, `CASTNET_GOLDEN=DIR cargo test -p castnet-tests --test golden` holds random networks against PyTorch.

use std::path::PathBuf;

use castnet_oracle::random;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "random_specs DIR COUNT [SEED [LAYERS]]";
    let folder = PathBuf::from(arguments.next().ok_or(usage)?);
    let count: u64 = arguments.next().ok_or(usage)?.parse()?;
    let seed: u64 = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let layers: usize = arguments.next().map_or(Ok(16), |text| text.parse())?;
    std::fs::create_dir_all(&folder)?;
    for seed in seed..seed + count {
        for kind in random::KINDS {
            std::fs::write(folder.join(format!("{kind}_{seed}.toml")), random::layers(kind, seed, 3))?;
        }
        std::fs::write(folder.join(format!("random_{seed}.toml")), random::spec(seed, layers))?;
    }
    Ok(())
}
