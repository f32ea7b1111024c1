"""Makes the networks of this folder and their gradients in float64 (Debian: python3-torch, python3-onnx; ../shared).

    /usr/bin/python3 make.py        # in this folder

Each NAME.onnx comes with NAME_x.npy, normalised images [N,C,H,W], their classes NAME_class.npy, and of the cross entropy
    NAME_params.txt, NAME_squares.npy   what counts as a parameter, and the square of the gradient's norm [N, parameters]
    NAME_dx.npy                         its gradient by the image
    NAME_ddx.npy                        the gradient by the image of the sum of those squares: a gradient of gradients
The interpreter of ../shared/reference runs the exported file, in float64. Both gradients by the image are compared with
central differences here before they are written.
"""
import os, sys, numpy as np, onnx, torch, torch.nn as nn, torch.nn.functional as F
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../../shared/reference"))
from onnx_torch import OnnxNet


class Curved(nn.Module):
    """Convolutions of all sorts, one of them used twice, batch norm, both pools, GELU, a gate; a dense layer used twice."""
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.wide, self.gate = nn.Conv2d(8, 8, (1, 3)), nn.Conv2d(8, 8, 1)
        self.dense, self.head = nn.Linear(8, 8), nn.Linear(8, 5)
    def forward(self, x):
        x = F.gelu(self.norm(self.stem(x)))
        x = torch.tanh(self.twice(F.silu(self.twice(x))))
        x = F.max_pool2d(self.wide(F.pad(x, (2, 1, 0, 0))), 3, 2, 1)
        x = x * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        x = F.avg_pool2d(x, 2, 1, 1).mean((2, 3))
        return self.head(self.dense(F.relu(self.dense(x))))


class Attended(nn.Module):
    """A transformer of one block: patches, a class token, layer norms, attention of two heads, GELU."""
    def __init__(self, d=12):
        super().__init__(); self.d = d
        self.patches, self.token, self.place = nn.Conv2d(3, d, 4, 4), nn.Parameter(torch.randn(1, 1, d)), nn.Parameter(torch.randn(1, 5, d))
        self.a, self.b = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down, self.head = nn.Linear(d, 2 * d), nn.Linear(2 * d, d), nn.Linear(d, 5)
    def forward(self, x):
        n = x.shape[0]
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(n, -1, -1), x], 1) + self.place
        q, k, v = self.qkv(self.a(x)).reshape(n, 5, 3, 2, self.d // 2).permute(2, 0, 3, 1, 4)
        x = x + self.out((torch.softmax(q @ k.transpose(-2, -1) / (self.d // 2) ** .5, -1) @ v).transpose(1, 2).reshape(n, 5, self.d))
        x = x + self.down(F.gelu(self.up(self.b(x))))
        return self.head(x[:, 0])


def shake(net):
    """Larger weights than PyTorch begins with, and random norms, so that every part shows."""
    with torch.no_grad():
        for p in net.parameters(): p.mul_(2)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d): m.running_mean.normal_(0, .3); m.running_var.uniform_(.5, 2)
        if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm)): nn.init.uniform_(m.weight, .5, 1.5); nn.init.normal_(m.bias, 0, .3)
    return net.eval()


class Double(OnnxNet):
    """The same in float64; numbers that the file holds in float32 are kept."""
    def __init__(self, path):
        super().__init__(path)
        self.const = {k: v.double() if v.is_floating_point() else v for k, v in self.const.items()}
    def op(self, t, a, i):
        r = super().op(t, a, i)
        return r.double() if torch.is_tensor(r) and r.dtype == torch.float32 else r


def loss(net, x, y): return F.cross_entropy(net(x), y, reduction="sum")


def squares(net, x, y, graph=False):
    """Of one row: the squares of the gradient's norm, by parameter."""
    for p in net.params(): p.requires_grad_(True)
    return torch.stack([(g ** 2).sum() for g in torch.autograd.grad(loss(net, x, y), net.params(), create_graph=graph)])


def check_slopes(f, x, g, within):
    """Along some directions, by central differences."""
    for _ in range(8):
        d = torch.randn_like(x); h = 1e-5
        slope, along = float((f(x + h * d) - f(x - h * d)) / (2 * h)), float((g * d).sum())
        assert abs(slope - along) <= within * float(g.norm() * d.norm()), (slope, along)


def row(net, x, y):
    x = x.double().requires_grad_(True)
    dx, = torch.autograd.grad(loss(net, x, y), x)
    parts = squares(net, x, y, graph=True)
    ddx, = torch.autograd.grad(parts.sum(), x)
    check_slopes(lambda v: loss(net, v, y).detach(), x.detach(), dx, 1e-6)
    check_slopes(lambda v: squares(net, v, y).sum(), x.detach(), ddx, 1e-6)
    return parts.detach(), dx, ddx


def make(name, net, shape, rows=3, **more):
    torch.onnx.export(shake(net), torch.randn(1, *shape), f"{name}.onnx", input_names=["input"], output_names=["logits"],
                      training=torch.onnx.TrainingMode.PRESERVE, dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}}, **more)
    x, y = torch.randn(rows, *shape), torch.arange(rows) % 5
    oracle = Double(f"{name}.onnx")
    parts, dx, ddx = zip(*[row(oracle, x[i:i + 1], y[i:i + 1]) for i in range(rows)])
    open(f"{name}_params.txt", "w").write("".join(k + "\n" for k in oracle.trainable))
    np.save(f"{name}_x.npy", x.numpy()); np.save(f"{name}_class.npy", y.numpy().astype(np.int32))
    for k, v in ("squares", torch.stack(parts)), ("dx", torch.cat(dx)), ("ddx", torch.cat(ddx)): np.save(f"{name}_{k}.npy", v.numpy().astype(np.float32))


torch.manual_seed(5)
make("curved", Curved(), (3, 12, 12), opset_version=13, do_constant_folding=False)
make("attended", Attended(), (3, 8, 8), opset_version=16, do_constant_folding=True)
