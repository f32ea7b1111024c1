"""Steps of trainings beside PyTorch; see tests/train_gradients.sh.

First one step, in float64. A line a network: the loss's difference, the largest difference of a parameter's gradient in units of its own norm, the same of
the running statistics, and seconds. Gradients that are nothing but rounding (a bias before a batch norm) are compared with the
whole gradient instead. At a tie of a ReLU or a maximum both sides are right, and a batch norm of few pixels makes much of it: a
gradient that is far off is excused (column kinks: how far PyTorch's moved) when PyTorch's own, in double, moves about as far once
layers' results are disturbed by what rounding is. The weights are those of tests/data/networks/make.py, shaken, the images random.

Then a hundred steps from PyTorch's first weights, on the same batches: how far the curve of the loss, smoothed over ten steps, is
from PyTorch's. Rates are small: at larger ones PyTorch's own curves in float32 and float64 go apart by more than a percent.
"""
import copy, os, subprocess, sys, tempfile, time, warnings
warnings.filterwarnings("ignore")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/networks"))
import numpy as np, torch, torch.nn as nn, torchvision.models as tv
import make

WITHIN, STATISTICS, NOTHING = 1e-3, 1e-4, 1e-6
ROUNDING, TRIALS = 3e-7, 8  # of a layer's result, in units of its size; how often it is disturbed
MEAN, STD = 0.5, 0.25

BUILT = {  # name: (how run_step is asked for it, PyTorch's, image size)
    "mlp": ("mlp size=16 classes=7 hidden=[64,32]", lambda: make.MLP(16, 7, [64, 32]), 16),
    "lenet": ("lenet size=32", lambda: make.LeNet(32, 10), 32),
    "convnet_batch": ("convnet size=32 depth=3 width=32", lambda: make.ConvNet(32, 10, 3, 32, "batch"), 32),
    "convnet_instance": ("convnet size=32 depth=3 width=32 norm=instance", lambda: make.ConvNet(32, 10, 3, 32, "instance"), 32),
    "convnet_group": ("convnet size=32 depth=2 width=16 norm=group", lambda: make.ConvNet(32, 10, 2, 16, "group"), 32),
    "convnet_layer": ("convnet size=32 depth=2 width=16 norm=layer", lambda: make.ConvNet(32, 10, 2, 16, "layer"), 32),
    "convnet_none": ("convnet size=20 depth=4 width=16 norm=none", lambda: make.ConvNet(20, 10, 4, 16, "none"), 20),
    "resnet20": ("resnet size=32 depth=20", lambda: make.CifarResNet(3, 10), 32),
    "resnet18_cifar": ("resnet size=32 depth=18", lambda: make.shallow_stem(tv.resnet18(weights=None, num_classes=10), 64), 32),
    "resnet18": ("resnet size=65 depth=18", lambda: tv.resnet18(weights=None, num_classes=10), 65),
    "resnet50": ("resnet size=65 depth=50", lambda: tv.resnet50(weights=None, num_classes=10), 65),
    "vgg11_small": ("vgg11 size=32", lambda: make.SmallVGG(10, False), 32),
    "vgg11_bn_small": ("vgg11 size=40 norm=batch", lambda: make.SmallVGG(10, True), 40),
    "mobilenet_v2_small": ("mobilenet_v2 size=32", lambda: make.SmallMobileNet(10), 32),
    "mobilenet_v2": ("mobilenet_v2 size=72", lambda: tv.mobilenet_v2(weights=None, num_classes=10), 72),
}
IMPORTED = {
    "onnx_resnet18": (lambda: tv.resnet18(weights=None, num_classes=10), 64),
    "onnx_mobilenet_v2": (lambda: tv.mobilenet_v2(weights=None, num_classes=10), 64),
    "onnx_vgg11": (lambda: make.SmallVGG(10, False), 32),
    "onnx_vgg11_bn": (lambda: make.SmallVGG(10, True), 32),
    "onnx_resnet20": (lambda: make.CifarResNet(3, 10), 32),
}
FAST = ["mlp", "lenet", "convnet_batch", "convnet_layer", "resnet20", "mobilenet_v2_small", "onnx_resnet20"]
ROWS = 6
CURVES = {"resnet20": (32, {"sgd": 0.003, "adamw": 0.0002}), "convnet_batch": (50, {"sgd": 0.01, "adamw": 0.001})}  # batch, rates
STEPS, CURVE = 100, 0.01


def network(name, folder):
    """What run_step is given, and PyTorch's network; nothing in it drops out."""
    spec, net, size = BUILT[name] if name in BUILT else (f"{folder}/net.onnx", *IMPORTED[name])
    net = net()
    with torch.no_grad():
        make.fill(net)
        for p in net.state_dict().values():  # an export joins equal tensors
            if p.dim(): p.mul_(1 + 0.05 * torch.randn_like(p))
    for m in net.modules():
        if isinstance(m, nn.Dropout): m.p = 0.0
    if name in IMPORTED:
        torch.onnx.export(net.eval(), torch.randn(1, 3, size, size), spec, input_names=["input"], output_names=["logits"], opset_version=13,
                          do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE, dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}})
    return spec, net, size


def flat(tensors): return np.concatenate([t.detach().numpy().astype(np.float32).ravel() for t in tensors])


def expected(net, x, target):
    """The loss, gradients and statistics after the step: by name, in run_step's order."""
    net = net.double().train()
    loss = -(target.double() * torch.log_softmax(net((x.double() - MEAN) / STD), 1)).sum(1).mean()
    loss.backward()
    grads = {k: p.grad for k, p in net.named_parameters()}
    return float(loss), grads, {k: b for k, b in net.named_buffers() if "running" in k}


def distances(got, tensors, floor):
    """By name, in units of the tensor's norm; floor: what counts as nothing."""
    far, at = {}, 0
    for name, t in tensors.items():
        e = t.detach().numpy().ravel()
        g, at = got[at:at + e.size], at + e.size
        d = np.linalg.norm(g - e) / max(np.linalg.norm(e), floor)
        far[name] = float(d) if np.isfinite(d) else float("inf")
    return far, got[at:]


def moved(net, x, target, grads, floor):
    """How far rounding moves PyTorch's own gradients, by name."""
    far = dict.fromkeys(grads, 0.0)
    disturb = lambda m, i, y: y + ROUNDING * y.detach().std() * torch.randn_like(y)
    for _ in range(TRIALS):
        shaken = copy.deepcopy(net)
        for m in shaken.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)): m.register_forward_hook(disturb)
        got = np.concatenate([g.numpy().ravel() for g in expected(shaken, x, target)[1].values()])
        for k, d in distances(got, grads, floor)[0].items(): far[k] = max(far[k], d)
    return far


def compare(name, run_step, folder):
    began = time.time()
    torch.manual_seed(1)
    spec, net, size = network(name, folder)
    classes = [m for m in net.modules() if isinstance(m, nn.Linear)][-1].out_features
    x, target = torch.rand(ROWS, 3, size, size), torch.softmax(2 * torch.randn(ROWS, classes), 1)
    save(folder, net, x, target)
    loss, grads, after = expected(copy.deepcopy(net), x, target)
    p = subprocess.run([run_step, spec, folder, "2"], capture_output=True, text=True)
    if p.returncode: return [name, "fails: " + (p.stderr.strip() or str(p.returncode))], False
    got = np.load(f"{folder}/step.npy")
    whole = np.sqrt(sum(float((g ** 2).sum()) for g in grads.values()))
    floor = NOTHING * whole / WITHIN
    far, rest = distances(got[1:], grads, floor)
    off = max(distances(rest, after, 0)[0].values(), default=0.0)
    last, kinks = max(far, key=far.get), ""
    ok = abs(got[0] - loss) <= 1e-4 * abs(loss) and off <= STATISTICS
    if far[last] > WITHIN:
        able = moved(net, x, target, grads, floor)
        kinks, ok = f"{able[last]:.1e}", ok and all(d <= max(WITHIN, 3 * able[k]) for k, d in far.items())
    return [name, f"{abs(got[0] - loss) / loss:.1e}", f"{far[last]:.1e} {last}", kinks, f"{off:.1e}", f"{time.time() - began:.1f}"], ok


def prototypes(rows, classes, size):
    """Images that can be learnt, noise around one image of each class; soft labels, so that the loss stays far from 0."""
    y = torch.arange(rows) % classes
    x = 0.3 * torch.rand(classes, 3, size, size)[y] + 0.7 * torch.rand(rows, 3, size, size)
    return x, 0.7 * nn.functional.one_hot(y, classes) + 0.3 / classes


def curve(name, optimizer, run_step, folder):
    torch.manual_seed(2)
    (spec, net, size), (batch, rates) = BUILT[name], CURVES[name]
    net = net().train()
    x, target = prototypes(STEPS * batch, 10, size)
    save(folder, net, x, target)
    p = subprocess.run([run_step, spec, folder, "2", optimizer, str(rates[optimizer]), str(batch)], capture_output=True, text=True)
    if p.returncode: return [f"{name} {optimizer}", "fails: " + (p.stderr.strip() or str(p.returncode))], False
    o = torch.optim.SGD(net.parameters(), rates[optimizer], momentum=0.9) if optimizer == "sgd" else torch.optim.AdamW(net.parameters(), rates[optimizer], weight_decay=0)
    losses = []
    for i in range(0, len(x), batch):
        o.zero_grad()
        loss = -(target[i:i + batch] * torch.log_softmax(net((x[i:i + batch] - MEAN) / STD), 1)).sum(1).mean()
        loss.backward(); o.step(); losses.append(float(loss))
    smooth = lambda v: np.convolve(v, np.ones(10) / 10, "valid")
    theirs, ours = smooth(losses), smooth(np.load(f"{folder}/losses.npy"))
    far = np.abs(ours / theirs - 1)
    return [f"{name} {optimizer}", f"{far.max():.1e}", f"from {losses[0]:.3f} to {losses[-1]:.3f}"], bool(far.max() <= CURVE)


def save(folder, net, x, target):
    """What run_step reads; the parameters and statistics by name."""
    params, stats = dict(net.named_parameters()), {k: b for k, b in net.named_buffers() if "running" in k}
    open(f"{folder}/names.txt", "w").write("".join(k + "\n" for k in [*params, *stats]))
    np.save(f"{folder}/values.npy", flat([*params.values(), *stats.values()]))
    np.save(f"{folder}/x.npy", x.numpy()), np.save(f"{folder}/target.npy", target.numpy())


def main():
    run_step, what = os.path.abspath(sys.argv[1]), sys.argv[2]
    names, good = sys.argv[3:] or (FAST if what == "fast" else [*BUILT, *IMPORTED]), True
    print("{:20} {:9} {:42} {:9} {:10} {}".format("network", "loss", "gradients", "kinks", "statistics", "s"))
    for name in names:
        with tempfile.TemporaryDirectory() as folder: cells, ok = compare(name, run_step, folder)
        print("{:20} {:9} {:42} {:9} {:10} {}".format(*cells, *[""] * (6 - len(cells))) + ("" if ok else "  !"), flush=True)
        good = good and ok
    for name, optimizer in [(n, o) for n in names if n in CURVES for o in CURVES[n][1]]:
        with tempfile.TemporaryDirectory() as folder: cells, ok = curve(name, optimizer, run_step, folder)
        print("{:30} {:9} {}".format(*cells, *[""] * (3 - len(cells))) + ("" if ok else "  !"), flush=True)
        good = good and ok
    print("train_gradients: " + ("all is well" if good else "not all is well"))
    return not good


sys.exit(main())
