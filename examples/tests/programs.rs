//! Runs the examples as a user does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The folder with the examples. `cargo test` builds them before it runs this test; only where it was told to run this
/// test alone (`--test programs`), and never built them before, they are built here.
fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // target/debug/deps/programs-… or target/release/deps/programs-…
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        let folder = profile.join("examples");
        let program = |name: &str| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        if !["mnist", "classify", "segment"].iter().all(|name| program(name).exists()) {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--package", "castnet-examples", "--examples", "--target-dir"]);
            cargo.arg(profile.parent().unwrap());
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(cargo.status().unwrap().success(), "the examples do not build");
        }
        folder
    })
}

fn run(example: &str, arguments: &[&str]) -> Output {
    // From the workspace's root, where the README says to start them.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    Command::new(built().join(example)).args(arguments).current_dir(root).output().unwrap()
}

fn printed(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a failing run says. No run may fail by a panic, whose exit code is 101.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_network_is_trained_and_reads_a_digit() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/folder");
    let out = out.to_str().unwrap();
    let log = printed(&run("mnist", &["--epochs", "2", "--out", out]));
    assert!(log.contains("\nepoch   loss   test loss   accuracy   images/s\n    1 "), "{log}");
    let (_, command) = log.rsplit_once("-- ").unwrap();

    let arguments: Vec<&str> = command.split_whitespace().collect();
    let answer = printed(&run("classify", &arguments));
    assert!(answer.contains(" a 2: "), "{answer}");
    assert_eq!(answer.lines().filter(|line| line.ends_with(" %")).count(), 10, "{answer}");

    let mut files: Vec<_> = std::fs::read_dir(out).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["mnist.png", "mnist.safetensors"]);
}

#[test]
fn the_same_seed_gives_the_same_weights_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let weights = ["1", "3"].map(|threads| {
        let out = folder.path().join(threads);
        printed(&run("mnist", &["--epochs", "1", "--threads", threads, "--out", out.to_str().unwrap()]));
        std::fs::read(out.join("mnist.safetensors")).unwrap()
    });
    assert!(weights[0] == weights[1]);
}

#[test]
fn scenes_are_segmented() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    for format in ["png", "svg"] {
        let options = ["--epochs", "1", "--scenes", "45", "--picture", format, "--out", out];
        let log = printed(&run("segment", &options));
        assert!(log.contains("on 500 test scenes"), "{log}");
        assert!(folder.path().join("segment").with_extension(format).exists());
    }
    assert!(folder.path().join("segment.safetensors").exists());
}

#[test]
fn errors_are_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();

    let error = refused(&run("classify", &["examples/data/digit.png", "--weights", &path("none.safetensors")]));
    assert!(error.starts_with("error: there are no weights at "), "{error}");
    assert!(error.ends_with(":\n  cargo run --release --example mnist\n"), "{error}");

    std::fs::write(path("text.safetensors"), "no weights").unwrap();
    let error = refused(&run("classify", &["examples/data/digit.png", "--weights", &path("text.safetensors")]));
    assert!(error.contains("text.safetensors is not a safetensors file"), "{error}");

    for example in ["mnist", "segment"] {
        let error = refused(&run(example, &["--data", &path("nowhere"), "--out", &path("out")]));
        assert!(error.contains("nowhere lacks 4 of the four files of a data set"), "{error}");
        assert!(!folder.path().join("out").exists());

        let error = refused(&run(example, &["--out", &path("text.safetensors/out")]));
        assert!(error.starts_with("error: cannot write "), "{error}");
    }
    let error = refused(&run("mnist", &["--lr", "1e300", "--epochs", "1", "--out", &path("out")]));
    assert!(error.contains("in epoch 1: try a smaller --lr"), "{error}");
    assert_eq!(std::fs::read_dir(path("out")).unwrap().count(), 0);

    for arguments in [["--epochs", "0"], ["--batch", "0"], ["--lr", "nan"], ["--momentum", "1"], ["--threads", "0"]] {
        let output = run("mnist", &arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(error.starts_with("error: invalid value "), "{error}");
    }
}
