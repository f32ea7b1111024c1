#!/usr/bin/env python3
"""Grad-CAM by PyTorch, for tests/unit/test_model_ops.c: writes last.npy and first.npy here.

The network is ../onnx/pooled.onnx, the images are the first of each class in ../shapes,
brought to 16 x 16. Needs Debian's python3-torch, python3-onnx and python3-pil.
"""
import os

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = os.path.join(HERE, "../shapes/train")
graph = onnx.load(os.path.join(HERE, "../onnx/pooled.onnx")).graph
weights = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
attrs = {n.name: {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in graph.node}


def images():
    for name in sorted(os.listdir(SHAPES)):
        first = sorted(os.listdir(os.path.join(SHAPES, name)))[0]
        image = Image.open(os.path.join(SHAPES, name, first)).convert("RGB")
        yield np.asarray(image.resize((16, 16), Image.BILINEAR), np.float32) / 255


def conv(x, name):
    a = attrs[f"/{name}/Conv"]
    return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"),
                    stride=a["strides"], padding=a["pads"][:2], groups=a["group"])


def norm(x, name, node):
    w = [weights[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *w, eps=attrs[node]["epsilon"])


def network(x):
    """The logits, and the maps after the first and after the last layer."""
    first = F.relu(norm(conv(x, "a"), "n", "/n/BatchNormalization"))
    first.retain_grad()
    a = attrs["/p/MaxPool"]
    y = F.max_pool2d(first, a["kernel_shape"], a["strides"], a["pads"][:2])
    last = F.relu6(norm(conv(y, "b"), "m", "/m/BatchNormalization"))
    last.retain_grad()
    y = F.linear(last.mean((2, 3)), weights["head.weight"], weights["head.bias"])
    return norm(y, "last", "/last/BatchNormalization"), first, last


def cam(maps, grid):
    gain = maps.grad.mean((2, 3), keepdim=True)
    cam = F.relu((gain * maps).sum(1, keepdim=True)).detach()
    return F.interpolate(cam, (grid, grid), mode="bilinear")[:, 0].numpy()


mean = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)
std = torch.tensor([0.25, 0.5, 1.0]).view(3, 1, 1)
x = torch.tensor(np.stack(list(images())[:7])).permute(0, 3, 1, 2)
x = ((x - mean) / std).requires_grad_(True)
logits, first, last = network(x)
logits[torch.arange(len(x)), torch.arange(len(x)) % logits.shape[1]].sum().backward()
np.save(os.path.join(HERE, "last.npy"), cam(last, 4))
np.save(os.path.join(HERE, "first.npy"), cam(first, 3))
