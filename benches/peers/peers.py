#!/usr/bin/env python3
"""Times one spec in PyTorch, ONNX Runtime and OpenVINO, in turn with a command of ours, and prints the ratios.

    peers.py SPEC.toml [--batch 1] [--threads 1] [--rounds 5] [--train] [--peers NAMES] [--ours 'COMMAND …']

COMMAND runs the same network on the same batch and number of threads and prints, last, its median seconds for one pass (or one
training step). Rounds alternate ours and the peers, so that a drift of the machine's clock meets all of them; a ratio is the
median over rounds of peer / ours, and above 1 means that ours is faster. Weights are random: only time is measured here.
Training is SGD with momentum on the spec's loss. Needs torch; onnxruntime, onnx and openvino for inference (all on PyPI).
"""
import argparse
import io
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import time

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("spec")
a.add_argument("--batch", type=int, default=1)
a.add_argument("--threads", type=int, default=1)
a.add_argument("--rounds", type=int, default=5)
a.add_argument("--seconds", type=float, default=0.5, help="per measurement")
a.add_argument("--train", action="store_true")
a.add_argument("--inductor", action="store_true", help="torch.compile as well (needs a C++ compiler, minutes)")
a.add_argument("--peers", default="torch,onnxruntime,openvino", help="which of them, with commas between")
a.add_argument("--json", action="store_true", help="the medians and ratios as one line of JSON in place of the table")
a.add_argument("--ours")
o = a.parse_args()
os.environ["OMP_NUM_THREADS"] = str(o.threads)

import tomllib  # noqa: E402

import torch  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tests/golden"))
from oracle import LOSSES, Network, expand  # noqa: E402

torch.set_num_threads(o.threads)
spec = tomllib.load(open(o.spec, "rb"))
inputs, flat, outputs = expand(spec)
names = list(inputs)
torch.manual_seed(0)
feeds = [torch.randn(o.batch, *inputs[n]) for n in names]


class Positional(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Network(inputs, flat, outputs, 2)

    def forward(self, *xs):
        ys = self.net(dict(zip(names, xs)))
        return tuple(ys[n] for n in outputs)


def median(f):
    for _ in range(2):
        f()
    times, end = [], time.perf_counter() + o.seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 5000):
        t = time.perf_counter()
        f()
        times.append(time.perf_counter() - t)
    return statistics.median(times)


def channels_last(t):
    return t.to(memory_format=torch.channels_last) if t.dim() == 4 else t


def inference():
    net = Positional().eval()
    last = Positional().eval().to(memory_format=torch.channels_last)
    last_feeds = [channels_last(x) for x in feeds]

    def eager(n, xs):
        def f():
            with torch.inference_mode():
                n(*xs)
        return f

    wanted = o.peers.split(",")
    if "torch" in wanted:
        yield "torch", eager(net, feeds)
        yield "torch channels_last", eager(last, last_feeds)
    if o.inductor:
        yield "torch inductor", eager(torch.compile(Positional().eval()), feeds)
    if not {"onnxruntime", "openvino"} & set(wanted):
        return
    import numpy as np

    file = io.BytesIO()
    torch.onnx.export(net, tuple(feeds), file, dynamo=False, opset_version=17, input_names=names)
    arrays = {n: np.ascontiguousarray(x.numpy()) for n, x in zip(names, feeds)}
    if "onnxruntime" in wanted:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = o.threads
        options.inter_op_num_threads = 1
        # A thread of theirs that spins while it is our turn would take a core from us.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
        yield "onnxruntime", lambda: session.run(None, arrays)
    if "openvino" in wanted:
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": o.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        core = openvino.Core()
        request = core.compile_model(core.read_model(file.getvalue()), "CPU", settings).create_infer_request()
        yield "openvino", lambda: request.infer(arrays)


def training():
    loss = LOSSES[spec["network"].get("loss", "cross_entropy")]

    def step(net, xs, run):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
        with torch.no_grad():
            y = net(*xs)[0]
        target = torch.randint(0, y.shape[1], (o.batch, *y.shape[2:])) if loss in (LOSSES["cross_entropy"], LOSSES["nll"]) else torch.rand_like(y)

        def f():
            optimizer.zero_grad()
            loss(run(*xs)[0], target).backward()
            optimizer.step()
        return f

    net = Positional().train()
    yield "torch", step(net, feeds, net)
    last = Positional().train().to(memory_format=torch.channels_last)
    yield "torch channels_last", step(last, [channels_last(x) for x in feeds], last)
    if o.inductor:
        compiled = Positional().train()
        yield "torch inductor", step(compiled, feeds, torch.compile(compiled))


def ours():
    env = os.environ | {"RAYON_NUM_THREADS": str(o.threads)}
    out = subprocess.run(shlex.split(o.ours), env=env, capture_output=True, text=True, check=True).stdout
    return float(out.split()[-1])


peers = list((training if o.train else inference)())
rows = {name: [] for name, _ in peers}
mine = []
for _ in range(o.rounds):
    if o.ours:
        mine.append(ours())
    for name, f in peers:
        rows[name].append(median(f))
ratio = {name: statistics.median(t / m for t, m in zip(times, mine)) for name, times in rows.items()} if mine else {}
if o.json:
    import json

    medians = {name: statistics.median(times) for name, times in rows.items()}
    print(json.dumps({"ours": statistics.median(mine) if mine else None, "peers": medians, "ratios": ratio}))
    sys.exit()
what = "training step" if o.train else "forward pass"
print(f"{pathlib.Path(o.spec).stem}: one {what}, batch {o.batch}, {o.threads} thread(s), {o.rounds} rounds")
if mine:
    print(f"  {'ours':20} {statistics.median(mine) * 1e3:10.4f} ms")
for name, times in rows.items():
    times_ours = f"  {ratio[name]:6.2f} x ours" if mine else ""
    print(f"  {name:20} {statistics.median(times) * 1e3:10.4f} ms{times_ours}")
