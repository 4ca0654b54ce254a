#!/usr/bin/env python3
"""Times frozen networks beside ONNX Runtime and OpenVINO and prints a table of ratios: the better of the two / ours.

    table.py [NETWORK …] [--columns 1x1,1x2,32x2] [--isa avx2] [--rounds 5] [--seconds 0.5] [--built]

Networks are names of files in specs/; without any, all that the project's figures are about. A column is BATCH x THREADS. Each
network is compiled into benches' program `time`, which holds the frozen outputs against evaluation mode before it measures, and
peers.py runs it in turn with the peers. With `--isa avx2` all are held to AVX2, ONNX Runtime left out: it has no switch for that.
Needs what peers.py needs, in the Python that runs this.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NETWORKS = [
    "lenet5", "mnist_cnn", "vgg11_cifar", "vgg16", "resnet18", "resnet50", "squeezenet1_1", "googlenet", "mobilenet_v2",
]
# A batch of 32 of these would take minutes a round.
HEAVY = {"vgg16"}

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("networks", nargs="*", default=NETWORKS)
a.add_argument("--columns", default="1x1,1x2,32x2")
a.add_argument("--isa")
a.add_argument("--rounds", default="5")
a.add_argument("--seconds", default="0.5")
a.add_argument("--built", action="store_true", help="measure the programs that an earlier call has built")
o = a.parse_args()

env = dict(os.environ)
peers = "onnxruntime,openvino"
if o.isa:
    env["CASTNET_ISA"] = o.isa
    if o.isa == "avx2":
        env["ONEDNN_MAX_CPU_ISA"] = "AVX2"
        peers = "openvino"
metadata = subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT, capture_output=True, text=True, check=True)
built = pathlib.Path(json.loads(metadata.stdout)["target_directory"]) / "release/time"
columns = [tuple(int(n) for n in column.split("x")) for column in o.columns.split(",")]
titles = [f"batch {batch}, {threads} thread{'s' if threads > 1 else ''}" for batch, threads in columns]
print("| network | " + " | ".join(titles) + " |", flush=True)
print("|---" * (len(columns) + 1) + "|", flush=True)
for network in o.networks or NETWORKS:
    spec = ROOT / f"specs/{network}.toml"
    program = built.with_name(f"time_{network}")
    build = ["cargo", "build", "--release", "--quiet", "-p", "castnet-benches", "--bin", "time"]
    if not o.built:
        subprocess.run(build, cwd=ROOT, env=env | {"CASTNET_SPEC": str(spec)}, check=True)
        shutil.copy2(built, program)
    cells = []
    for batch, threads in columns:
        if batch > 1 and network in HEAVY:
            cells.append("-")
            continue
        ours = f"{program} --batch {batch} --threads {threads} --seconds {o.seconds}"
        command = [sys.executable, str(ROOT / "benches/peers/peers.py"), str(spec), "--json", "--peers", peers, "--ours", ours]
        command += ["--batch", str(batch), "--threads", str(threads), "--rounds", o.rounds, "--seconds", o.seconds]
        out = subprocess.run(command, env=env, capture_output=True, text=True)
        if out.returncode != 0:
            sys.exit(f"{network}, batch {batch}, {threads} threads:\n{out.stderr}")
        result = json.loads(out.stdout.splitlines()[-1])
        name, ratio = min(result["ratios"].items(), key=lambda item: item[1])
        cells.append(f"{ratio:.2f} ({result['ours'] * 1e3:.3g} ms, {name} {result['peers'][name] * 1e3:.3g})")
    print(f"| {network} | " + " | ".join(cells) + " |", flush=True)
