#!/usr/bin/env python3
"""Times networks frozen with each choice of algorithms, and in evaluation mode, in turn, and prints a table of milliseconds.

    choices.py [NETWORK …] [--batch 1] [--threads 1] [--rounds 5] [--seconds 0.5]

Networks are names of files in specs/. What `[network] winograd` says is put into a copy of the spec. Needs Python alone.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHOICES = {"chosen": "true", "direct": "false", "F(2x2)": '"f2"', "F(4x4)": '"f4"'}

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("networks", nargs="*", default=["vgg11_cifar", "vgg16", "resnet18", "mobilenet_v2"])
a.add_argument("--batch", default="1")
a.add_argument("--threads", default="1")
a.add_argument("--rounds", type=int, default=5)
a.add_argument("--seconds", default="0.5")
o = a.parse_args()

metadata = subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT, capture_output=True, text=True, check=True)
built = pathlib.Path(json.loads(metadata.stdout)["target_directory"]) / "release/time"
print(f"batch {o.batch}, {o.threads} thread(s), milliseconds")
print("| network | " + " | ".join(CHOICES) + " | evaluation mode |")
print("|---" * (len(CHOICES) + 2) + "|", flush=True)
with tempfile.TemporaryDirectory() as folder:
    for network in o.networks:
        text = (ROOT / f"specs/{network}.toml").read_text()
        commands = {}
        for choice, winograd in CHOICES.items():
            spec = pathlib.Path(folder) / f"{network}.toml"
            spec.write_text(text.replace("[network]\n", f"[network]\nwinograd = {winograd}\n", 1))
            build = ["cargo", "build", "--release", "--quiet", "-p", "castnet-benches", "--bin", "time"]
            subprocess.run(build, cwd=ROOT, env=os.environ | {"CASTNET_SPEC": str(spec)}, check=True)
            program = pathlib.Path(folder) / f"time_{len(commands)}"
            shutil.copy2(built, program)
            commands[choice] = [str(program)]
        commands["evaluation mode"] = [commands["chosen"][0], "--unfrozen"]
        times = {name: [] for name in commands}
        for _ in range(o.rounds):
            for name, command in commands.items():
                arguments = ["--batch", o.batch, "--threads", o.threads, "--seconds", o.seconds]
                out = subprocess.run(command + arguments, capture_output=True, text=True, check=True).stdout
                times[name].append(float(out.split()[-1]) * 1e3)
        print(f"| {network} | " + " | ".join(f"{statistics.median(values):.3g}" for values in times.values()) + " |", flush=True)
