"""Compares what ddg computes of networks with what PyTorch does (Debian: python3-torch, python3-torchvision, python3-onnx).

    /usr/bin/python3 teachers.py RUN_MODEL fast|full [NAME...]       # tests/teachers.sh calls this

Logits at batch 1, 3 and 17: within 1e-4 of the largest, and the same bytes; with bf16 permitted, 5e-2 (most are at 1e-2). The norm of the gradient over the network's
parameters: 1e-3 relative, a row; its parameters are those of ../shared/reference/onnx_torch.py, where that is there. The
gradient with respect to the image: within 1e-4 of the largest.
"""
import os, sys, tempfile, time
import networks
from harness import *

FAST = ["convnet3", "convnet3_group", "convnet4", "resnet18_64", "mobilenet_64", "small_densenet", "small_vit", "small_swin"]
BIG = ["resnet18", "resnet50", "resnet101", "mobilenet_v2", "vgg11", "alexnet", "vit_b_16", "densenet121", "efficientnet_b0", "swin_v2_t"]
FULL = list(networks.SMALL) + BIG + ["resnet20", "resnet56"]


def check_network(row, name, folder):
    net, size = networks.make(name)
    model = f"{folder}/{name}.onnx"
    networks.export(net, size, model, networks.OPSET.get(name, 13))
    with torch.no_grad(): classes = net(torch.zeros(1, 3, size, size)).shape[1]
    x, y = rows_for(folder, size, classes)
    with torch.no_grad(): expected = net(x).numpy()
    if "logits" not in check_logits(row, model, folder, expected) and row.wrong: return
    check_halves(row, model, folder, expected)
    x, y = keep_rows(folder, x, y, 2 if size == 224 else 5)
    names = check_gradients(row, model, folder, net, dict(net.named_parameters()), x, y)
    if names is not None: check_parameters(row, names, parameters_of(net))


def check_shared(row, name, folder):
    """A teacher of ../shared, whose module nobody has: the interpreter alone is the oracle."""
    model = f"{SHARED}/models/{name}.onnx"
    net = OnnxNet(model)
    x, y = rows_for(folder, 32, 10)
    with torch.no_grad(): expected = net(x).numpy()
    check_logits(row, model, folder, expected)
    if row.wrong: return
    check_halves(row, model, folder, expected)
    parameters = {k: net.const[k].requires_grad_() for k in net.trainable}
    x, y = keep_rows(folder, x, y, 5)
    names = check_gradients(row, model, folder, net, parameters, x, y)
    if names is not None: check_parameters(row, names, set(net.trainable))


COLUMNS = [("network", 16), ("logits", 8), ("same", 5), ("bf16", 8), ("gradnorm", 9), ("part", 8), ("pixels", 9), ("kinks", 6), ("params", 7), ("import", 9), ("of file", 8), ("compile", 9),
           ("17 rows", 9), ("grad compile", 13), ("rows", 14), ("peak", 8), ("took", 5)]


def show(row):
    print("".join(f"{row.cells.get(c, '-'):{w}}" + " " for c, w in COLUMNS).rstrip(), flush=True)
    for w in row.wrong: print(f"    FAIL: {row.cells['network']}: {w}", flush=True)


def main(names):
    print("".join(f"{c:{w}} " for c, w in COLUMNS).rstrip())
    failed = []
    for name in names:
        if name in ("resnet20", "resnet56") and not (OnnxNet and os.path.exists(f"{SHARED}/models/{name}.onnx")):
            print(f"{name:16} skipped: ../shared is not here"); continue
        row, start = Row(name), time.time()
        with tempfile.TemporaryDirectory() as folder:
            (check_shared if name in ("resnet20", "resnet56") else check_network)(row, name, folder)
        row.put("took", f"{time.time() - start:.0f} s")
        show(row)
        if row.wrong: failed.append(name)
    if failed: print(f"{len(failed)} of {len(names)} networks are wrong: {' '.join(failed)}")
    return 1 if failed else 0


sys.exit(main(sys.argv[3:] or (FAST if sys.argv[2] == "fast" else FULL)))
