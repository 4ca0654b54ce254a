//! How long networks take to compile: the macro's own work, and a user's crate around it.
//!
//! ```text
//! cargo run -p castnet-benches --bin compile_time
//! ```
//!
//! Run it without `--release`: cargo builds procedural macros without optimisation, and so is the compiler in this program then.

use castnet_compiler::{Files, Item, Source, compile, emit};
use quote::{format_ident, quote};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no workspace around this crate")?.to_path_buf();
    let mut specs: Vec<PathBuf> =
        fs::read_dir(root.join("specs"))?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    specs.sort();
    let profile = if cfg!(debug_assertions) {
        "without optimisation, as cargo builds macros"
    } else {
        "OPTIMISED: not what a user gets"
    };
    println!("The macro's work, {profile} (best of 3):\n");
    println!("{:20} {:>12} {:>12} {:>10}", "spec", "checks", "tokens", "together");
    for spec in &specs {
        let (checks, tokens) = (0..3)
            .map(|_| expand(spec))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .min_by_key(|(a, b)| *a + *b)
            .unwrap_or_default();
        let name = spec.file_stem().unwrap_or_default().display();
        println!("{name:20} {:>9.1} ms {:>9.1} ms {:>7.0} ms", ms(checks), ms(tokens), ms(checks + tokens));
    }
    println!("\nA crate with one network, its dependencies built (best of 3 after a change of the source):\n");
    println!("{:20} {:>12} {:>12}", "spec", "cargo check", "cargo build");
    for name in ["lenet5", "resnet18", "resnet50", "densenet121"] {
        let (check, build) = user_crate(&root, name)?;
        println!("{name:20} {:>10.2} s {:>10.2} s", check.as_secs_f64(), build.as_secs_f64());
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The time of the checks and of the emission of one spec.
fn expand(spec: &Path) -> Result<(Duration, Duration), Box<dyn Error>> {
    let text = fs::read_to_string(spec)?;
    let start = Instant::now();
    let source = Source::new(spec.display().to_string(), text);
    let compiled = compile(&source).map_err(|failure| failure.render(&source))?;
    let checks = start.elapsed();
    let item = Item { attributes: quote!(), vis: quote!(pub), name: format_ident!("Net"), krate: quote!(::castnet) };
    let start = Instant::now();
    let tokens = emit::network(&item, &source, &compiled, &Files::default());
    let emission = start.elapsed();
    if tokens.is_empty() {
        return Err("no tokens".into());
    }
    Ok((checks, emission))
}

/// The time of `cargo check` and `cargo build` of a crate with one network.
fn user_crate(root: &Path, spec: &str) -> Result<(Duration, Duration), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let runtime = root.join("runtime");
    fs::create_dir(folder.path().join("src"))?;
    fs::write(
        folder.path().join("Cargo.toml"),
        format!(
            "[package]\nname = \"user\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\ncastnet = {{ path = {:?} }}\n\n\
             [workspace]\n\n[profile.dev.package.castnet]\nopt-level = 3\n",
            runtime.display().to_string()
        ),
    )?;
    fs::copy(root.join("specs").join(format!("{spec}.toml")), folder.path().join("net.toml"))?;
    // The same versions as here, and dependencies that are built once for all networks.
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock"))?;
    let target = root.join("target/compile_time");
    let source = folder.path().join("src/main.rs");
    let mut run = 0;
    let mut cargo = |command: &str| -> Result<Duration, Box<dyn Error>> {
        let mut best = Duration::MAX;
        for round in 0..4 {
            run += 1;
            fs::write(
                &source,
                format!(
                    "#[castnet::network(\"net.toml\")]\npub struct Net;\n\nfn main() {{\n    let net = Net::new({run});\n    \
                     println!(\"{{}}\", net.parameters().len());\n}}\n"
                ),
            )?;
            let start = Instant::now();
            let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
                .args([command, "--quiet", "--offline"])
                .env("CARGO_TARGET_DIR", &target)
                .env("CARGO_INCREMENTAL", "0")
                .current_dir(folder.path())
                .status()?;
            if !status.success() {
                return Err(format!("cargo {command} of {spec} failed").into());
            }
            // The first one builds the dependencies.
            if round > 0 {
                best = best.min(start.elapsed());
            }
        }
        Ok(best)
    };
    Ok((cargo("check")?, cargo("build")?))
}
