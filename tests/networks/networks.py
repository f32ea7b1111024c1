"""Compares the networks that ddg builds with PyTorch's, through the ONNX files that ddg writes.

    /usr/bin/python3 networks.py DDG RUN_MODEL       # tests/networks.sh calls this

`save(resnet(...), to = "x.onnx")` writes each. The file must please ONNX's checker; what it stores
must be PyTorch's parameters and statistics by name and shape. Random weights are put in, and ddg's
logits (and onnxruntime's, where node finds it) must be PyTorch's within 1e-4 of the largest (1e-5).
"""
import os, subprocess, sys, tempfile
import numpy as np, onnx, torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../data/networks"))
import make
DDG, RUN_MODEL = map(os.path.abspath, sys.argv[1:3])
ROWS = 17  # as many as run_model takes

CALLS = {
    "mlp": "mlp(classes = 7, size = 16, hidden = [64, 32])",
    "lenet": "lenet(classes = 10, size = 32)",
    "convnet_batch": "convnet(classes = 10, size = 32, depth = 3, width = 32)",
    "convnet_instance": 'convnet(classes = 10, size = 32, depth = 3, width = 32, norm = "instance")',
    "convnet_group": 'convnet(classes = 10, size = 32, depth = 2, width = 16, norm = "group")',
    "convnet_layer": 'convnet(classes = 10, size = 32, depth = 2, width = 16, norm = "layer")',
    "convnet_none": 'convnet(classes = 10, size = 20, depth = 4, width = 16, norm = "none")',
    "resnet20": "resnet(classes = 10, size = 32, depth = 20)",
    "resnet18_cifar": "resnet(classes = 10, size = 32, depth = 18)",
    "resnet18": "resnet(classes = 10, size = 65, depth = 18)",
    "resnet50": "resnet(classes = 10, size = 65, depth = 50)",
    "vgg11_small": "vgg11(classes = 10, size = 32)",
    "vgg11_bn_small": 'vgg11(classes = 10, size = 40, norm = "batch")',
    "mobilenet_v2_small": "mobilenet_v2(classes = 10, size = 32)",
    "mobilenet_v2": "mobilenet_v2(classes = 10, size = 72)",
}


def write(folder, call):
    """The network as ddg writes it."""
    with open(f"{folder}/net.ddg", "w") as f: f.write(f'save({call}, to = "net.onnx")\n')
    env = dict(os.environ, DDG_STORE=f"{folder}/store")
    p = subprocess.run([DDG, "run", f"{folder}/net.ddg"], capture_output=True, text=True, env=env)
    if p.returncode: raise SystemExit(f"{call}: {p.stderr}")
    return onnx.load(f"{folder}/net.onnx")


def randomise(net, generator):
    """Of the size that keeps activations as large as they are."""
    for name, t in net.state_dict().items():
        if not t.dim(): continue
        r = torch.randn(t.shape, generator=generator)
        if name.endswith("running_var"): r = r.abs() + 0.5
        elif t.dim() in (1, 3): r = (1 if name.endswith("weight") else 0) + 0.2 * r
        else: r = r * (2 / (t.numel() / t.shape[0])) ** 0.5
        t.copy_(r)


def put_in(model, net):
    """PyTorch's numbers into the file, by name. What is wrong with names and shapes, or None."""
    stored = {t.name: t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    wanted = {k: v for k, v in net.state_dict().items() if v.dim()}
    if set(stored) != set(wanted): return f"names differ: {sorted(set(stored) ^ set(wanted))}"
    for name, v in wanted.items():
        if tuple(stored[name].dims) != tuple(v.shape): return f"{name} has another shape"
        stored[name].raw_data = v.numpy().tobytes()
    return None


def of_ddg(folder, x):
    np.save(f"{folder}/x.npy", x)
    np.save(f"{folder}/class.npy", np.zeros(len(x), np.int32))
    p = subprocess.run([RUN_MODEL, f"{folder}/net.onnx", folder, "logits"], capture_output=True, text=True)
    if p.returncode: raise SystemExit(p.stderr)
    return np.load(f"{folder}/logits_{ROWS}.npy")


def of_onnxruntime(folder, x):
    """None where there is none."""
    x.tofile(f"{folder}/x.bin")
    shape = ",".join(map(str, x.shape))
    p = subprocess.run(["node", f"{HERE}/logits.js", f"{folder}/net.onnx", f"{folder}/x.bin", shape, f"{folder}/y.bin"],
                       capture_output=True, text=True)
    if p.returncode == 77: return None
    if p.returncode: raise SystemExit(p.stderr)
    return np.fromfile(f"{folder}/y.bin", np.float32).reshape(len(x), -1)


def nearness(expected, got):
    return float(np.abs(expected - got).max() / np.abs(expected).max())


def check(folder, name, net, size, generator):
    """What is wrong, a line each."""
    model = write(folder, CALLS[name])
    onnx.checker.check_model(model, full_check=True)
    randomise(net, generator)
    wrong = put_in(model, net)
    if wrong: return [wrong]
    onnx.save(model, f"{folder}/net.onnx")
    x = torch.randn((ROWS, 3, size, size), generator=generator)
    expected, x = net(x).numpy(), x.numpy()
    near = {"ddg": (nearness(expected, of_ddg(folder, x)), 1e-4)}
    other = of_onnxruntime(folder, x)
    if other is not None: near["onnxruntime"] = (nearness(expected, other), 1e-5)
    print(f"{name:20}", *(f"{k} {v:.1e}" for k, (v, _) in near.items()), flush=True)
    return [f"logits of {k} are {v:.1e} off" for k, (v, most) in near.items() if not v <= most]


def main():
    generator, failed = torch.Generator().manual_seed(0), 0
    with torch.no_grad():
        for name, net, size in make.NETWORKS:
            with tempfile.TemporaryDirectory() as folder:
                for wrong in check(folder, name, net.eval(), size, generator):
                    print(f"FAIL: {name}: {wrong}")
                    failed += 1
    sys.exit(failed > 0)


main()
