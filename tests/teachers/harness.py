"""What the scripts of this folder share: running run_model, PyTorch's answers, and how far apart they are."""
import copy, os, subprocess, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np, onnx, torch

SHARED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared")
ROWS = 17
LOGITS, HALVES, NORM, PIXELS = 1e-4, 5e-2, 1e-3, 1e-4
RUN_MODEL = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "run_model"


def reference():
    """The interpreter that says what a parameter is, or None."""
    sys.path.insert(0, os.path.join(SHARED, "reference"))
    try: from onnx_torch import OnnxNet
    except ImportError: return None
    return OnnxNet


def run(model, folder, what):
    """What run_model prints: {name: text}, parameters as a list; and the error it ends with."""
    p = subprocess.run([RUN_MODEL, model, folder, what], capture_output=True, text=True)
    facts = {"params": []}
    for line in p.stdout.splitlines():
        name, _, text = line.partition(" ")
        if name == "param": facts["params"].append(text)
        else: facts[name] = text
    return facts, "" if p.returncode == 0 else (p.stderr.strip() or f"ends with {p.returncode}").replace("\n", " | ")


def nearness(expected, got):
    """The largest difference, in units of the largest expected value; infinite for NaN."""
    d = np.abs(expected - got).max() / np.abs(expected).max()
    return float(d) if np.isfinite(d) else float("inf")


class Row:
    """One network's line of the table."""

    def __init__(self, name): self.cells, self.wrong = {"network": name}, []

    def put(self, column, text, ok=True, why=""):
        self.cells[column] = str(text) + ("" if ok else "!")
        if not ok: self.wrong.append(f"{column}: {why or text}")


def rows_for(folder, size, classes):
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(ROWS, 3, size, size, generator=g), torch.randint(classes, (ROWS,), generator=g)
    np.save(f"{folder}/x.npy", x.numpy()), np.save(f"{folder}/class.npy", y.numpy().astype("i4"))
    return x, y


def check_logits(row, model, folder, expected):
    facts, error = run(model, folder, "logits")
    if error: return row.put("logits", "fails", False, error) or facts
    got = [np.load(f"{folder}/logits_{n}.npy") for n in (1, 3, 17)]
    worst = max(nearness(expected, g) for g in got)
    row.put("logits", f"{worst:.1e}", worst <= LOGITS)
    same = all((g == got[0]).all() for g in got)
    row.put("same", "yes" if same else "no", same, "logits depend on the batch")
    size = os.path.getsize(model)
    row.put("import", facts["import_ms"] + " ms"), row.put("of file", f"{int(facts['import_kb']) * 1024 / size:.2f}")
    row.put("compile", facts["compile_ms"] + " ms"), row.put("17 rows", facts["run_ms_17"] + " ms")
    return facts


def check_halves(row, model, folder, expected):
    """The same with bf16 permitted; nothing to say where no layer is computed so."""
    facts, error = run(model, folder, "halves")
    if error: return row.put("bf16", "fails", False, error)
    if facts["dot_products"] == "0": return
    got = [np.load(f"{folder}/logits_{n}.npy") for n in (1, 3, 17)]
    worst = max(nearness(expected, g) for g in got)
    row.put("bf16", f"{worst:.1e}", worst <= HALVES and all((g == got[0]).all() for g in got), f"{worst:.1e}, or not the same in every batch")


def gradients(f, tensors, x, y):
    """By PyTorch, a row at a time: of the pixels, and the norm over `tensors`."""
    pixels, norms = [], []
    for i in range(len(x)):
        r = x[i:i + 1].clone().requires_grad_()
        g = torch.autograd.grad(torch.nn.functional.cross_entropy(f(r), y[i:i + 1]), [r] + tensors)
        pixels.append(g[0].numpy()), norms.append(sum(float((t.double() ** 2).sum()) for t in g[1:]) ** .5)
    return np.concatenate(pixels).reshape(len(x), -1), np.array(norms)


NOISE = 3e-6  # of a layer's results, relative: what rounding may do to them


def at_a_kink(net, x, y, far):
    """Whether PyTorch's gradient of the pixels moves as `far`, relative, when a layer's results do by what rounding does:
    a ReLU or a maximum close to a tie is taken for either side, and both are right."""
    if not isinstance(net, torch.nn.Module): return False
    net = copy.deepcopy(net).double()
    for m in net.modules():
        if not list(m.children()):
            m.register_forward_hook(lambda m, i, o: o + o.detach().std() * NOISE * torch.randn_like(o) if isinstance(o, torch.Tensor) and o.numel() > 1 else o)
    seen = [gradients(net, [], x.double(), y)[0] for _ in range(6)]
    return max(nearness(seen[0], g) for g in seen[1:]) > far / 4


def check_pixels(row, net, expected, got, x, y):
    near = [nearness(e, g) for e, g in zip(expected, got)]
    wrong = [i for i, d in enumerate(near) if d > PIXELS]
    apart = lambda i: np.linalg.norm(expected[i] - got[i]) / np.linalg.norm(expected[i])
    kinks = [i for i in wrong if apart(i) < .2 and at_a_kink(net, x[i:i + 1], y[i:i + 1], near[i])]
    row.put("pixels", f"{max([d for i, d in enumerate(near) if i not in kinks], default=0):.1e}", wrong == kinks)
    row.put("kinks", f"{len(kinks)} of {len(near)}", len(kinks) < len(near) or len(near) < 5, "every row is at a kink")


def check_gradients(row, model, folder, f, parameters, x, y):
    """`parameters`: the network's tensors by the names they have in the file."""
    part = reference_part(model, folder)
    facts, error = run(model, folder, "gradients")
    if error: return row.put("gradnorm", "fails", False, error)
    names = facts["params"]
    unknown = [n for n in names if n not in parameters]
    if unknown: row.put("params", len(names), False, f"not of the network: {unknown[:5]}")
    dx, norms = gradients(f, [parameters[n] for n in names if n in parameters], x, y)
    check_norm(row, "gradnorm", norms, f"{folder}/gradnorm.npy")
    check_pixels(row, f, dx, np.load(f"{folder}/dx.npy"), x, y)
    check_part(row, part, names, model, folder, f, parameters, x, y)
    row.put("grad compile", facts["compile_ms"] + " ms"), row.put("rows", f"{len(x)} in {facts['run_ms']} ms")
    row.put("peak", f"{int(facts['peak_kb']) >> 10} MB")
    return names


def check_norm(row, column, norms, path):
    far = np.abs(np.load(path)[:, 0] / norms - 1).max()
    row.put(column, f"{far:.1e}", far <= NORM)


def reference_part(model, folder):
    """The parameters that onnx_torch.py knows: it does not look through Transpose, nor for biases that are added."""
    part = OnnxNet(model).trainable if OnnxNet else []
    with open(f"{folder}/part.txt", "w") as f: f.write("\n".join(part))
    return part


def check_part(row, part, names, model, folder, f, parameters, x, y):
    """The norm over those alone, by that interpreter; by the network where it does not know an op."""
    if not set(part) & set(names): return
    try:
        net = OnnxNet(model)
        norms = gradients(net, [net.const[k].requires_grad_() for k in part if k in names], x, y)[1]
    except NotImplementedError: norms = gradients(f, [parameters[k] for k in part if k in names], x, y)[1]
    check_norm(row, "part", norms, f"{folder}/gradnorm_part.npy")


def parameters_of(net):
    """The names of what counts as a parameter: weights and biases of convolutions, linear layers, attention and norms."""
    layers = (torch.nn.Linear, torch.nn.MultiheadAttention, torch.nn.modules.conv._ConvNd)
    return {f"{m}.{p}" for m, layer in net.named_modules() if isinstance(layer, layers) or type(layer).__name__.rstrip("123d").endswith("Norm")
            for p, _ in layer.named_parameters(recurse=False)}


def check_parameters(row, names, expected):
    more, less = sorted(set(names) - expected), sorted(expected - set(names))
    row.put("params", len(names), not more and not less, f"{len(more)} too many {more[:4]}, {len(less)} too few {less[:4]}")


def keep_rows(folder, x, y, n):
    np.save(f"{folder}/x.npy", x[:n].numpy()), np.save(f"{folder}/class.npy", y[:n].numpy().astype("i4"))
    return x[:n], y[:n]


OnnxNet = reference()
torch.set_num_threads(1)
