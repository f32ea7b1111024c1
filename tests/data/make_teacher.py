#!/usr/bin/python3
"""Trains the tests' teacher, a small residual network, and exports it to ONNX.

    python3 make_teacher.py [OUT = shapes.onnx beside this script]

Learns from freshly rendered images (examples/make_images.py), never from the files under
shapes/; those are only measured, at the end. Needs Debian's python3-torch, python3-onnx,
python3-numpy and python3-pil, one core and a minute. One thread and fixed seeds: the
same machine gives the same network again; another processor may round differently.
"""
import io
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "../../examples")
sys.path.insert(0, EXAMPLES)
import make_images  # noqa: E402

SEED = 0
FRESH = 400            # images a class rendered to learn from
EPOCHS, BATCH = 24, 128
PEAK_RATE, DECAY = 0.2, 5e-4
JPEG_SHARE = 1 / make_images.JPEG_EVERY
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # as in the .ddg files
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


# ---- the network -----------------------------------------------------------------------
def conv_norm(inputs, outputs, side, stride):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(outputs))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = conv_norm(inputs, outputs, 3, stride)
        self.conv2 = conv_norm(outputs, outputs, 3, 1)
        # No norm here: its shift would stay equal to conv2's, and the exporter merges
        # equal parameters into one.
        same = inputs == outputs and stride == 1
        self.shortcut = (nn.Identity() if same else
                         nn.Conv2d(inputs, outputs, 1, stride, bias=False))

    def forward(self, x):
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


class ResNet8(nn.Module):
    """Global average pooling at the end, so images of other sizes pass as well."""

    def __init__(self, classes):
        super().__init__()
        self.stem = conv_norm(3, 16, 3, 1)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        return self.linear(self.pool(self.blocks(F.relu(self.stem(x)))).flatten(1))


# ---- images ----------------------------------------------------------------------------
def through_jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=make_images.JPEG_QUALITY)
    return np.asarray(Image.open(file))


def normalise(pixels):
    """uint8 [N, H, W, 3] to the network's input."""
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return (x - MEAN) / STD


def fresh_images(rng):
    pixels, labels = [], []
    for index in range(FRESH):
        for cls in range(len(make_images.CLASSES)):
            image = make_images.scene(make_images.SPLIT_FRESH, cls, index,
                                      make_images.HARD)[0]
            pixels.append(through_jpeg(image) if rng.random() < JPEG_SHARE else image)
            labels.append(cls)
    return normalise(pixels), torch.tensor(labels)


def stored_images(root):
    pixels, labels = [], []
    for cls, name in enumerate(make_images.CLASSES):
        folder = os.path.join(root, name)
        for file in sorted(os.listdir(folder)):
            image = Image.open(os.path.join(folder, file)).convert("RGB")
            pixels.append(np.asarray(image))
            labels.append(cls)
    return normalise(pixels), torch.tensor(labels)


def augment(x, rng):
    """Each image turned by quarters, mirrored, moved up to 3 pixels, colours swapped."""
    out = torch.empty_like(x)
    for i, image in enumerate(F.pad(x, [3] * 4, mode="reflect")):
        image = torch.rot90(image, int(rng.integers(4)), (1, 2))
        image = image[torch.from_numpy(rng.permutation(3))]
        top, left = rng.integers(0, 7, 2)
        image = image[:, top:top + x.shape[2], left:left + x.shape[3]]
        out[i] = image.flip(2) if rng.random() < 0.5 else image
    return out


# ---- training --------------------------------------------------------------------------
def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        hits = [(net(a).argmax(1) == b).sum() for a, b in zip(x.split(256), y.split(256))]
    return float(sum(hits)) / len(y)


def train(net, x, y, rng):
    batches = len(x) // BATCH
    optimizer = torch.optim.SGD(net.parameters(), PEAK_RATE, momentum=0.9, nesterov=True,
                                weight_decay=DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, EPOCHS * batches,
                                                pct_start=0.2)
    net.train()
    for epoch in range(EPOCHS):
        order = torch.from_numpy(rng.permutation(len(x))[:batches * BATCH])
        total = 0.0
        for batch in order.split(BATCH):
            logits = net(augment(x[batch], rng))
            loss = F.cross_entropy(logits, y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            total += float(loss)
        print(f"epoch {epoch + 1:2}/{EPOCHS}: loss {total / batches:.3f}", flush=True)


def export(net, path):
    """Batch norm nodes are kept, so that their parameters still have gradients."""
    size = make_images.SIZE
    torch.onnx.export(
        net.eval(), torch.zeros(1, 3, size, size), path, opset_version=13,
        input_names=["input"], output_names=["logits"],
        dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}},
        do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "shapes.onnx")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    net = ResNet8(len(make_images.CLASSES))
    print(sum(p.numel() for p in net.parameters()), "parameters")
    train(net, *fresh_images(rng), rng)
    for split in make_images.SPLITS:
        stored = stored_images(os.path.join(HERE, "shapes", split))
        print(f"{split} accuracy {100 * accuracy(net, *stored):.1f}%")
    export(net, out)
    print(out)


if __name__ == "__main__":
    main()
