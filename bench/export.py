"""Writes the benchmark's networks, with random weights (Debian: python3-torch, python3-torchvision).

    python3 export.py FOLDER NAME...      # FOLDER/NAME.onnx of each

Names: those of tests/teachers/networks.py and of torchvision; NAME_24 has 24 classes, as the sample of photographs has.
"""
import os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "teachers"))
import networks
from torchvision import models

CLASSES = 24
folder = sys.argv[1]
for name in sys.argv[2:]:
    base = name.removesuffix(f"_{CLASSES}")
    if base != name: networks.SMALL[name] = (lambda: getattr(models, base)(num_classes=CLASSES), 224)
    net, size = networks.make(name)
    path = f"{folder}/{name}.onnx"
    networks.export(net, size, path + ".part", networks.OPSET.get(base, 13))
    os.rename(path + ".part", path)
