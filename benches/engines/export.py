#!/usr/bin/env python3
"""Writes networks of specs/ with seeded weights: NAME.onnx for the engines that read ONNX, NAME.safetensors for the others.

    export.py [--out DIR] [NAME ...]

Needs torch, onnx and safetensors (all on PyPI). Running statistics of batch norms are those of random inputs, so that values
are of one size throughout the network, as in a trained one.
"""
import argparse
import pathlib
import sys
import tomllib

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/golden"))
from oracle import Network, expand  # noqa: E402

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("names", nargs="*", metavar="NAME", default=["lenet5", "mnist_cnn", "resnet18"])
a.add_argument("--out", type=pathlib.Path, default=pathlib.Path("models"))
a.add_argument("--seed", type=int, default=0)
o = a.parse_args()
o.out.mkdir(parents=True, exist_ok=True)


class Single(torch.nn.Module):
    """One tensor in, one tensor out."""

    def __init__(self, spec):
        super().__init__()
        inputs, flat, outputs = expand(spec)
        (self.input,), (self.output,) = inputs, outputs
        self.shape = inputs[self.input]
        self.net = Network(inputs, flat, outputs, 2)

    def forward(self, x):
        return self.net({self.input: x})[self.output]


for name in o.names:
    torch.manual_seed(o.seed)
    net = Single(tomllib.loads((ROOT / f"specs/{name}.toml").read_text()))
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.momentum = None  # the mean over all passes
        net.train()
        for _ in range(4):
            net(torch.randn(4, *net.shape))
        net.eval()
    state = {
        key.removeprefix("@").replace("/", "."): value.contiguous()
        for key, value in net.net.state_dict().items()
        if value.dtype == torch.float32
    }
    save_file(state, o.out / f"{name}.safetensors")
    torch.onnx.export(
        net, (torch.zeros(1, *net.shape),), o.out / f"{name}.onnx",
        dynamo=False, opset_version=17, input_names=["input"], output_names=["output"],
    )
    print(o.out / name)
