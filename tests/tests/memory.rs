//! How much memory inference takes at its worst moment, as Linux counts it: in a process of its own, since the count is the process's.
#![cfg(target_os = "linux")]

use castnet::{Freeze, Frozen};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[castnet::network("../specs/resnet18.toml")]
pub struct ResNet18;

const FILE: &str = "CASTNET_TEST_WEIGHTS";

/// Beside packed weights and activations: the program, its threads, the image, and what packing needs.
const BESIDE: usize = 10_000_000;

/// What huge pages add that nobody has asked for: a heap and a stack are rounded up to 2 MiB each.
fn unasked() -> usize {
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if setting.contains("[always]") { 4 << 20 } else { 0 }
}

#[test]
fn resnet18_takes_its_packed_weights_and_its_arena() {
    match env::var_os(FILE) {
        Some(file) => in_a_process_of_its_own(&PathBuf::from(file)),
        None => {
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("resnet18-memory.safetensors");
            ResNet18::new(1).save(&file).expect("a file");
            let own = env::current_exe().expect("this program");
            let output = Command::new(own)
                .args(["--exact", "resnet18_takes_its_packed_weights_and_its_arena", "--nocapture"])
                .env(FILE, &file)
                // On a machine of many cores each thread would bring its stack.
                .env("CASTNET_NUM_THREADS", "2")
                .output()
                .expect("it runs");
            fs::remove_file(&file).ok();
            println!("{}", String::from_utf8_lossy(&output.stdout));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn in_a_process_of_its_own(file: &Path) {
    let before = peak();
    let net = Frozen::<ResNet18>::load(file).expect("the file is the network's");
    let loaded = peak();
    let image = castnet::zeroed();
    let scores = net.predict(&image);
    assert!(scores.iter().all(|score| score.is_finite()));
    let info = ResNet18::FROZEN;
    let floats = [info.head, info.tail].map(|arena| arena.fixed + arena.per_sample);
    let (packed, arena) = (net.packed_bytes(), 4 * floats.iter().sum::<usize>());
    let peak = peak();
    println!(
        "{before} bytes at the start, {loaded} with weights, {peak} in the end; {packed} of packed weights, {arena} of activations"
    );
    let beside = peak.saturating_sub(packed + arena);
    assert!(beside < BESIDE + unasked(), "{beside} bytes beside weights and activations");
}

/// The most bytes that this process ever had in memory.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it names the peak");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number");
    kilobytes * 1024
}
