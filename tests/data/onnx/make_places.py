"""Networks whose batch moves: attention with the sequence first, with heads merged into the
batch, and over shifted windows. Once with a free batch and once fixed to a batch of 1.

    /usr/bin/python3 make_places.py     (Debian: python3-torch, python3-onnx)
"""
import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch import nn


class Sequence(nn.Module):
    """nn.MultiheadAttention as it is with batch_first=False: [L,N,E], [L,N*heads,E/heads],
    [L*N,E]."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads)

    def forward(self, x):  # [N,L,E]
        y = self.norm(x).transpose(0, 1)
        y, _ = self.attention(y, y, y, need_weights=False)
        return x + y.transpose(0, 1)


class Windows(nn.Module):
    """Attention inside shifted windows: [N*windows, T, E], the batch behind q, k, v."""

    def __init__(self, width, heads, side, shift):
        super().__init__()
        self.heads, self.side, self.shift = heads, side, shift
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mask = nn.Parameter(torch.randn(4, side * side, side * side), False)

    def forward(self, x):  # [N,H,W,E]
        n, h, w, e = x.shape
        s, heads = self.side, self.heads
        x = torch.roll(x, shifts=(-self.shift, -self.shift), dims=(1, 2))
        x = x.view(n, h // s, s, w // s, s, e).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(n * (h // s) * (w // s), s * s, e)
        qkv = self.qkv(x).reshape(x.size(0), x.size(1), 3, heads, e // heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        a = (q * (e // heads) ** -0.5) @ k.transpose(-2, -1)
        windows = self.mask.size(0)
        a = a.view(x.size(0) // windows, windows, heads, s * s, s * s)
        a = (a + self.mask.unsqueeze(1).unsqueeze(0)).view(-1, heads, s * s, s * s)
        x = (a.softmax(-1) @ v).transpose(1, 2).reshape(x.size(0), s * s, e)
        x = self.out(x).view(n, h // s, w // s, s, s, e).permute(0, 1, 3, 2, 4, 5)
        x = x.reshape(n, h, w, e)
        return torch.roll(x, shifts=(self.shift, self.shift), dims=(1, 2))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(2, 8, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.sequence = Sequence(8, 2)
        self.windows = Windows(8, 2, 2, 1)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.patches(x).permute(0, 2, 3, 1)
        x = x + self.windows(self.norm(x))
        x = x.flatten(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.sequence(x)
        return self.head(x[:, 0] + x.mean(1))


def write(name, net, x, **kind):
    torch.onnx.export(net, x[:1], f"{name}.onnx", opset_version=17, input_names=["x"],
                      output_names=["y"], do_constant_folding=False,
                      training=torch.onnx.TrainingMode.PRESERVE, **kind)
    with torch.no_grad():
        y = net(x)
    np.save(f"{name}_x.npy", x.numpy())
    np.save(f"{name}_y.npy", y.numpy())


def wander(steps, seed):
    """A row of 48 numbers led through reshapes and transposes that carry the batch along, merge
    it with neighbours and take it out again; numpy says where every number comes out."""
    rng = np.random.RandomState(seed)
    nodes, stored, names = [], [], iter(range(10 ** 6))

    def add(op, inputs, **attributes):
        out = f"v{next(names)}"
        nodes.append(helper.make_node(op, inputs, [out], **attributes))
        return out

    def ints(values):
        name = f"c{next(names)}"
        stored.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    count = add("Gather", [add("Shape", ["x"]), ints([0])])

    def shape_of(dims):
        """The dims (each a number, or ("N", k)) as a shape made by arithmetic."""
        parts = [add("Mul", [count, ints([d[1]])]) if isinstance(d, tuple) else ints([d])
                 for d in dims]
        return add("Concat", parts, axis=0)

    def sizes(dims, n): return [d[1] * n if isinstance(d, tuple) else d for d in dims]

    n, dims, at = 3, [("N", 1), 3, 4, 4], "x"
    x = rng.randn(n, 3, 4, 4).astype(np.float32)
    y = x
    for step in range(steps):
        if rng.rand() < .4:
            perm = rng.permutation(len(dims))
            dims, y = [dims[p] for p in perm], y.transpose(perm)
            at = add("Transpose", [at], perm=perm.tolist())
            continue
        i = [isinstance(d, tuple) for d in dims].index(True)
        if dims[i][1] == 1 and i > 0 and rng.rand() < .5:  # L, N -> L*N
            merged = dims[:i - 1] + [("N", dims[i - 1], "in")] + dims[i + 1:]
        elif dims[i][1] == 1 and i + 1 < len(dims):  # N, L -> N*L
            merged = dims[:i] + [("N", dims[i + 1], "out")] + dims[i + 2:]
        elif dims[i][1] > 1:  # back
            d = dims[i]
            merged = dims[:i] + ([("N", 1), d[1]] if d[2] == "out" else [d[1], ("N", 1)]) + dims[i + 1:]
        else:  # others are flattened or split
            merged = dims
        dims, y = merged, y.reshape(sizes(merged, n))
        at = add("Reshape", [at, shape_of(merged)])
    i = [isinstance(d, tuple) for d in dims].index(True)
    if dims[i][1] > 1:
        d = dims[i]
        dims = dims[:i] + ([("N", 1), d[1]] if d[2] == "out" else [d[1], ("N", 1)]) + dims[i + 1:]
        y = y.reshape(sizes(dims, n))
        at = add("Reshape", [at, shape_of(dims)])
        i = [isinstance(d, tuple) for d in dims].index(True)
    perm = [i] + [k for k in range(len(dims)) if k != i]
    y = y.transpose(perm).reshape(n, -1)
    at = add("Transpose", [at], perm=perm)
    at = add("Flatten", [at], axis=1)
    nodes.append(helper.make_node("Identity", [at], ["y"]))
    return x, y, nodes, stored


def write_nodes(name, batch, stored, nodes, x, y):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, name, [info("x", TensorProto.FLOAT, [batch, *x.shape[1:]])],
        [info("y", TensorProto.FLOAT, [batch, *y.shape[1:]])], stored)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]),
         f"{name}.onnx")
    np.save(f"{name}_x.npy", x)
    np.save(f"{name}_y.npy", y)


def shapes(**of):
    return [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in of.items()]


def alone():
    """Fixed to one image: a slice of the axis that the batch is merged with, a shape that is
    read off the image, an output in front of which other axes are merged."""
    x = np.random.RandomState(3).randn(3, 3, 4, 4).astype(np.float32)
    node = helper.make_node
    write_nodes("alone", 1, shapes(flat=[-1, 16], zero=[0], two=[2], rest=[2, 16], out=[1, -1]), [
        node("Reshape", ["x", "flat"], ["rows"]),
        node("Slice", ["rows", "zero", "two", "zero"], ["first"]),
        node("Shape", ["x"], ["one"], end=1),
        node("Concat", ["one", "rest"], ["whole"], axis=0),
        node("Reshape", ["first", "whole"], ["image"]),
        node("Transpose", ["image"], ["turned"], perm=[2, 0, 1]),
        node("Reshape", ["turned", "out"], ["y"]),
    ], x, x.reshape(3, 3, 16)[:, :2].transpose(0, 2, 1).reshape(3, 32))


def several():
    """Fixed to three images: -1 stands beside the batch, which is merged with what follows;
    indices that are stored for each image, and what they write into, are the same for all."""
    x = np.random.RandomState(4).randn(3, 3, 4, 4).astype(np.float32)
    node, write = helper.make_node, [[1, 0, 3, 2]] * 4
    read = np.argsort(np.random.RandomState(5).randn(3, 4, 4))
    stored = shapes(halves=[-1, 6, 8], out=[3, -1], read=[read] * 3, write=[[write] * 3] * 3)
    stored += [numpy_helper.from_array(np.zeros_like(x), "zeros")]
    y = np.take_along_axis(x, read[None], 3)[..., write[0]]
    write_nodes("several", 3, stored, [
        node("GatherElements", ["x", "read"], ["picked"], axis=3),
        node("ScatterElements", ["zeros", "write", "picked"], ["placed"], axis=3),
        node("Transpose", ["placed"], ["channels"], perm=[1, 0, 2, 3]),
        node("Reshape", ["channels", "halves"], ["parts"]),
        node("Transpose", ["parts"], ["turned"], perm=[1, 0, 2]),
        node("Reshape", ["turned", "out"], ["y"]),
    ], x, y.reshape(3, 3, 2, 8).transpose(0, 2, 1, 3).reshape(3, 48))


if __name__ == "__main__":
    torch.manual_seed(0)
    net = Net().eval()
    x = torch.randn(3, 2, 8, 8)
    write("places", net, x, dynamic_axes={"x": {0: "N"}, "y": {0: "N"}})
    write("places1", net, x)
    for name, batch, seed in ("wander", "N", 1), ("wander1", 1, 2):
        x, y, nodes, stored = wander(60, seed)
        write_nodes(name, batch, stored, nodes, x, y)
    alone()
    several()
