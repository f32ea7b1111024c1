"""Makes the networks of this folder and what PyTorch says of them (Debian: python3-torch, python3-onnx).

    /usr/bin/python3 make.py        # in this folder

Each NAME.onnx comes with NAME_x.npy, normalised images [N,C,H,W], and NAME_y.npy, their logits. The networks are
exported by PyTorch where it can; ops and attributes that its exporter never writes are put into a graph by hand, with
the same function written in PyTorch beside it.
"""
import numpy as np, onnx, torch, torch.nn as nn, torch.nn.functional as F
from onnx import helper, numpy_helper, TensorProto


def save(name, f, x):
    with torch.no_grad(): y = f(x)
    np.save(f"{name}_x.npy", x.numpy()); np.save(f"{name}_y.npy", y.numpy().astype(np.float32))


def shake(net):
    """Random norm statistics and parameters, so that a wrong one shows."""
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm1d)):
            m.running_mean.normal_(0, .3); m.running_var.uniform_(.5, 2)
        if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm1d, nn.InstanceNorm2d, nn.LayerNorm, nn.GroupNorm)) and m.weight is not None:
            nn.init.uniform_(m.weight, .5, 1.5); nn.init.normal_(m.bias, 0, .3)
    return net.eval()


def export(name, net, shape, opset=13, batch=4, fixed=False, **more):
    shake(net)
    one = torch.randn(1, *shape)
    axes = {} if fixed else {"dynamic_axes": {"input": {0: "N"}, "logits": {0: "N"}}}
    torch.onnx.export(net, one, f"{name}.onnx", opset_version=opset, input_names=["input"], output_names=["logits"],
                      training=torch.onnx.TrainingMode.PRESERVE, **{"do_constant_folding": False, **axes, **more})
    x = torch.randn(batch, *shape)
    # A network fixed to a batch of one is asked row by row.
    save(name, (lambda x: torch.cat([net(r[None]) for r in x])) if fixed else net, x)
    return net


class ConvNet(nn.Module):
    """Three of conv - instance norm - relu - average pool, then a dense layer: what distillation papers use."""
    def __init__(self):
        super().__init__(); width = [3, 6, 8, 8]; layers = []
        for a, b in zip(width, width[1:]):
            layers += [nn.Conv2d(a, b, 3, padding=1), nn.InstanceNorm2d(b, affine=True), nn.ReLU(), nn.AvgPool2d(2)]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(8 * 4, 10)
    def forward(self, x): return self.head(self.features(x).flatten(1))


class Pooled(nn.Module):
    """Batch norm, max pool, dropout and a global pool: takes images of any size."""
    def __init__(self):
        super().__init__()
        self.a, self.n, self.p = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.MaxPool2d(3, 2, 1)
        self.b, self.m, self.d = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=4), nn.BatchNorm2d(12), nn.Dropout(.5)
        self.head, self.last = nn.Linear(12, 7), nn.BatchNorm1d(7)
    def forward(self, x):
        x = self.p(F.relu(self.n(self.a(x)))); x = F.relu6(self.m(self.b(x)))
        return self.last(self.head(self.d(F.adaptive_avg_pool2d(x, 1).flatten(1))))


class Fixed(nn.Module):
    """Shapes written down for a batch of one."""
    def __init__(self): super().__init__(); self.a, self.head = nn.Conv2d(1, 4, (3, 2), stride=(2, 1)), nn.Linear(4 * 4 * 7, 5)
    def forward(self, x): return self.head(F.leaky_relu(self.a(x), .2).view(1, -1))


class Shapes(nn.Module):
    """Shapes worked out from Shape nodes with a free batch; the padded shortcut of CIFAR residual networks."""
    def __init__(self):
        super().__init__(); self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 9, 3, stride=2, padding=1)
        self.norm, self.head = nn.GroupNorm(3, 9), nn.Linear(9, 4)
        self.scale = nn.Parameter(torch.randn(9, 1, 1)); self.register_buffer("row", torch.randn(1, 4))
    def forward(self, x):
        x = torch.tanh(self.a(x)); y = self.b(x)
        y = y + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))
        n, c, h, w = y.shape
        y = self.norm(y) * self.scale
        y = y.view(n, 3, c // 3, h, w).transpose(1, 2).reshape(n, -1, h, w)   # channel shuffle
        y = y.reshape(n, c, h * w).mean(2)
        return self.head(y.view(y.size(0), -1)) + self.row.expand(y.size(0), -1)


class Moves(nn.Module):
    """Splits, slices, gathers, concatenation, reductions and a softmax gate over row values."""
    def __init__(self, flip=True):
        super().__init__(); self.flip = flip; self.a = nn.Conv2d(2, 8, 3, padding=2, dilation=2); self.head = nn.Linear(16, 6)
        self.norm = nn.LayerNorm(6)
    def forward(self, x):
        a, b = self.a(x).split([3, 5], 1)
        b = (b.flip(3) if self.flip else b)[:, 1:4]; gate = torch.softmax(a.mean((2, 3), keepdim=True), 1)
        y = torch.cat([torch.sigmoid(a) * gate, b.clamp(-.5, .5), torch.exp(-(b * b)), a[:, [2, 0, -1]], a[:, -1:], torch.sqrt(a ** 2 + 1)], 1)
        z = y.amax((2, 3)).unsqueeze(1).squeeze(1)
        return torch.log_softmax(self.norm(self.head(z) / 2 - 1), 1)


class Tokens(nn.Module):
    """Dense layers over three axes: MatMul by a transposed weight, then Add."""
    def __init__(self): super().__init__(); self.a, self.b, self.head = nn.Linear(8, 6), nn.Linear(6, 5, bias=False), nn.Linear(5, 3)
    def forward(self, x):
        t = x.flatten(2).transpose(1, 2).reshape(x.size(0), -1, 8)
        return self.head(self.b(F.relu(self.a(t))).mean(1))


def tensor(name, v): return numpy_helper.from_array(np.asarray(v), name)


def graph(name, nodes, shape, classes, weights, f, opset=17, batch=3):
    """A network written as nodes, "Op name: in in -> out | attr=value ..."; f is what it means."""
    made = []
    for line in nodes:
        left, _, attrs = line.partition("|"); head, _, io = left.partition(":"); i, _, o = io.partition("->")
        op, label = head.split()
        made.append(helper.make_node(op, ["" if n == "_" else n for n in i.split()], o.split(), name=label,
                                     **eval(f"dict({attrs})")))
    g = helper.make_graph(made, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", classes])],
                          [tensor(n, v) for n, v in weights.items()])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)]); m.ir_version = 8
    onnx.checker.check_model(m); onnx.save(m, f"{name}.onnx")
    save(name, f, torch.randn(batch, *shape))


def windows():
    """auto_pad, ceil_mode, count_include_pad, and an unequal border."""
    r = np.random.default_rng(1); w = r.normal(size=(3, 2, 3, 2)).astype("f4"); v = r.normal(size=(4, 3, 2, 3)).astype("f4")
    def f(x):
        x = F.conv2d(F.pad(x, (0, 1, 1, 1)), torch.tensor(w), stride=(2, 1))        # 9x8: SAME_UPPER
        x = F.conv2d(F.pad(x, (1, 1, 1, 0)), torch.tensor(v))                       # SAME_LOWER
        x = F.conv2d(F.pad(x, (2, 0, 0, 1)), torch.ones(4, 1, 2, 2), groups=4)      # pads
        a = F.max_pool2d(x, 2, 2, ceil_mode=True); b = F.avg_pool2d(x, 2, 2, ceil_mode=True)
        c = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True); d = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        return sum(t.sum((2, 3)) * s for t, s in ((a, 1), (b, .5), (c, -1), (d, .25))) + x.amax((2, 3))
    graph("windows", ["Conv c1: x w -> a | auto_pad='SAME_UPPER', strides=[2,1]", "Conv c2: a v -> b | auto_pad='SAME_LOWER'",
        "Conv c3: b u -> c | pads=[0,2,1,0], group=4",
        "MaxPool p1: c -> p | kernel_shape=[2,2], strides=[2,2], ceil_mode=1", "AveragePool p2: c -> q | kernel_shape=[2,2], strides=[2,2], ceil_mode=1",
        "AveragePool p3: c -> r | kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1, count_include_pad=1",
        "AveragePool p4: c -> s | kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1",
        "ReduceSum s1: p ax -> p1 | keepdims=0", "ReduceSum s2: q ax -> q1 | keepdims=0", "ReduceSum s3: r ax -> r1 | keepdims=0", "ReduceSum s4: s ax -> s5 | keepdims=0",
        "Mul m2: q1 half -> q2", "Neg m3: r1 -> r2", "Div m4: s5 four -> s6", "GlobalMaxPool g: c -> g1", "Squeeze sq: g1 ax -> g2",
        "Add a1: p1 q2 -> t1", "Add a2: t1 r2 -> t2", "Add a3: t2 s6 -> t3", "Add a4: t3 g2 -> y"],
        (2, 9, 8), 4, dict(w=w, v=v, u=np.ones((4, 1, 2, 2), "f4"), ax=np.array([2, 3]), half=np.float32(.5), four=np.array([4], "f4")), f)


def arithmetic():
    """Powers, clips, scaled products, choices, ranges: constants folded on the way."""
    r = np.random.default_rng(2); w = r.normal(size=(12, 5)).astype("f4"); b = r.normal(size=(1, 5)).astype("f4"); m = r.normal(size=(5, 5)).astype("f4")
    def f(x):
        x = torch.log(x.flatten(1) ** 2 + 1) - (x.flatten(1) ** 2 + 1) ** -.5 + (x.flatten(1) ** 3).clamp(-3.0, None)
        y = .5 * (x @ torch.tensor(w)) + 2 * torch.tensor(b)
        y = y + torch.tensor([0., 9, 2, 9, 4]) * torch.softmax(y, 1)
        return torch.minimum(torch.maximum(y @ torch.tensor(m), -y), y + 3)
    graph("arithmetic", ["Constant m: -> mask | value_ints=[0,1,0,1,0]", "Flatten f: x -> a", "Pow p2: a two -> a2", "Add one1: a2 one -> b1", "Log l: b1 -> l1", "Pow p3: b1 neghalf -> s", "Pow p4: a three -> a3",
        "Clip c: a3 low _ -> c1", "Sub d: l1 s -> d1", "Add e: d1 c1 -> e1", "Gemm g: e1 w b -> g1 | alpha=0.5, beta=2.0",
        "Size sz: mask -> i5", "Range r: i0 i5 i1 -> r1", "Cast rc: r1 -> rf | to=1", "ConstantOfShape k: shape5 -> k9 | value=helper.make_tensor('v', 1, [1], [9.0])",
        "Gather og: mask i1 -> odd", "Equal eq: mask odd -> eq1", "Where wh: eq1 k9 rf -> wh1",
        "Softmax sm: g1 -> sm1 | axis=-1", "Mul mm: sm1 wh1 -> mm1", "Add ad: g1 mm1 -> h", "MatMul mt: h m -> i", "Neg n: h -> j", "Max mx: i j -> k", "Add a3: h three -> h3", "Min mn: k h3 -> l", "Dropout dr: l half -> dr1", "Identity id: dr1 -> y"],
        (3, 2, 2), 5, dict(w=w, b=b, m=m, two=np.float32(2), one=np.float32(1), neghalf=np.float32(-.5), three=np.float32(3), low=np.float32(-3), i0=np.int64(0), half=np.float32(.5),
        i1=np.int64(1), shape5=np.array([5])), f)


torch.manual_seed(0)
with torch.no_grad():
    export("convnet", ConvNet(), (3, 16, 16))
    net = export("pooled", Pooled(), (3, 16, 12))
    x = torch.randn(2, 3, 8, 8); np.save("pooled_8_x.npy", x.numpy()); np.save("pooled_8_y.npy", net(x).numpy())
    export("fixed", Fixed(), (1, 9, 8), fixed=True)
    export("shapes", Shapes(), (3, 8, 8), opset=12)
    export("moves", Moves(), (2, 7, 6), opset=13)
    export("moves9", Moves(flip=False), (2, 7, 6), opset=9)
    export("moves17", Moves(), (2, 7, 6), opset=17)
    export("tokens", Tokens(), (2, 4, 4), opset=14)
windows(); arithmetic()
