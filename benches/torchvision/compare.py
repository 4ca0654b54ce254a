#!/usr/bin/env python3
"""Compares the networks of specs/ with torchvision's: random weights, one state dict, the same inputs.

    benches/torchvision/compare.py [--seed 0] [--batch 2]

For each network torchvision makes it with random weights (running statistics too: a fresh model's would hide mistakes), its state
dict is saved as safetensors as it is, castnet loads that file, and both compute the outputs of the same random images. Printed is the
largest difference over the largest output; above 1e-4 the command fails. Needs torch, torchvision, numpy and safetensors (on PyPI).
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import torch
import torchvision.models as models
from safetensors.torch import load_file, save_file

NETWORKS = {
    "alexnet": models.alexnet,
    "vgg16": models.vgg16,
    "resnet18": models.resnet18,
    "resnet34": models.resnet34,
    "resnet50": models.resnet50,
    "mobilenet_v2": models.mobilenet_v2,
    "mobilenet_v3_small": models.mobilenet_v3_small,
    "squeezenet1_1": models.squeezenet1_1,
    "googlenet": lambda weights: models.googlenet(weights=weights, aux_logits=False, init_weights=False),
    "densenet121": models.densenet121,
}

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument("--seed", type=int, default=0)
a.add_argument("--batch", type=int, default=2)
o = a.parse_args()
root = pathlib.Path(__file__).resolve().parent.parent.parent
torch.manual_seed(o.seed)

with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for name, make in NETWORKS.items():
        net = make(weights=None).eval()
        with torch.no_grad():
            for key, buffer in net.named_buffers():
                if key.endswith("running_mean"):
                    buffer.copy_(torch.randn_like(buffer) * 0.1)
                if key.endswith("running_var"):
                    buffer.copy_(torch.rand_like(buffer) + 0.5)
            image = torch.randn(o.batch, 3, 224, 224)
            output = net(image)
        save_file(net.state_dict(), folder / f"{name}.weights.safetensors")
        save_file({"input": image, "output": output.contiguous()}, folder / f"{name}.io.safetensors")
    command = ["cargo", "run", "--release", "--quiet", "-p", "castnet-benches", "--bin", "torchvision", "--", str(folder)]
    sys.exit(subprocess.run(command, cwd=root).returncode)
