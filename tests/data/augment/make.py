#!/usr/bin/python3
"""What torchvision makes of an image, for tests/unit/test_augment.c.

Writes torchvision.bin: float32, the image [3,9,11], then one of that size a case, in the order
of the lists here and of the test's table.
"""
import os
import torch
import torchvision
import torchvision.transforms.functional as F

BOXES = [(0, 0, 9, 11), (2, 3, 4, 5), (0, 1, 9, 3), (5, 0, 1, 11), (8, 10, 1, 1)]
torch.manual_seed(0)
x = torch.rand(3, 9, 11)
x[:, 0, :3] = torch.tensor([[0.5, 0, 1], [0.5, 0, 1], [0.5, 0, 1]])  # grays
x[:, 1, :3] = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])  # and the corners of hue
x[:, 2, :3] = torch.tensor([[1.0, 0, 1], [1, 1, 0], [0, 1, 1]])
out = [x]
for top, left, h, w in BOXES:
    out.append(F.resized_crop(x, top, left, h, w, [9, 11]))
for change, factors in [
    (F.adjust_brightness, [0.4, 1.7]),
    (F.adjust_contrast, [0.4, 1.7]),
    (F.adjust_saturation, [0.4, 1.7]),
    (F.adjust_hue, [-0.3, 0.5]),
]:
    out += [change(x, f) for f in factors]
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torchvision.bin")
torch.stack(out).numpy().astype("<f4").tofile(path)
print(torchvision.__version__, len(out) - 1, "cases")
