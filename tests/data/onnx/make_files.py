"""Makes networks that are stored as newer exporters do it (Debian: python3-torch, python3-onnx).

    /usr/bin/python3 make_files.py  # in this folder; make.py has the rest

modules.onnx    torch.onnx.export(export_modules_as_functions = True): functions with attributes, nested
flat.onnx       the same network without functions
dynamo.onnx     what torch 2 writes: opset 18, functions of pkg.* domains that call each other, overloads, defaults of
                attributes, an optional input left out, no names of nodes, value_info; weights in dynamo.onnx.data
half.onnx       all of it in float16: the input, the weights, the casts
brain.onnx      weights in bfloat16, cast where they are used
"""
import os, numpy as np, onnx, torch, torch.nn as nn, torch.nn.functional as F
from onnx import helper, numpy_helper, TensorProto


def save(name, f, x):
    with torch.no_grad(): y = f(x)
    np.save(f"{name}_x.npy", x.numpy()); np.save(f"{name}_y.npy", y.numpy().astype(np.float32))


# ---- functions of torch 1.13 --------------------------------------------------------------------------------------
class Block(nn.Module):
    def __init__(self, c, slope):
        super().__init__(); self.a, self.n, self.act = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c), nn.LeakyReLU(slope)
        for p in (self.n.weight, self.n.bias, self.n.running_mean): nn.init.normal_(p)
        nn.init.uniform_(self.n.running_var, .5, 2)
    def forward(self, x): return x + self.act(self.n(self.a(x)))


class Modules(nn.Module):
    """Blocks of blocks; two kinds of the same class differ in an attribute."""
    def __init__(self):
        super().__init__(); self.stem = nn.Conv2d(3, 6, 3, stride=2)
        self.body, self.head = nn.Sequential(Block(6, .1), Block(6, .3)), nn.Linear(6, 4)
    def forward(self, x): return self.head(self.body(F.relu(self.stem(x))).mean((2, 3)))


def modules():
    net = Modules().eval(); one = torch.randn(1, 3, 9, 9)
    for name, functions in (("modules", True), ("flat", False)):
        torch.onnx.export(net, one, f"{name}.onnx", opset_version=15, input_names=["input"], output_names=["logits"],
                          training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                          dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}}, export_modules_as_functions=functions)
    assert len(onnx.load("modules.onnx").functions) >= 3
    save("modules", net, torch.randn(4, 3, 9, 9))


# ---- functions and data files of torch 2 --------------------------------------------------------------------------
def node(op, i, o, domain="", overload="", refs={}, **attrs):
    """refs: attributes that stand for one of the function around it, name -> (its name there, its type)."""
    n = helper.make_node(op, i.split(), o.split(), domain=domain, **attrs)
    for k, v in enumerate(n.input): n.input[k] = "" if v == "_" else v
    for k, (name, kind) in refs.items():
        n.attribute.append(onnx.AttributeProto(name=k, ref_attr_name=name, type=kind))
    if overload: n.MergeFromString(field(8, overload.encode()))
    return n


def field(number, data):
    """A field of bytes that this python3-onnx is too old to know."""
    assert len(data) < 16384 and number < 16
    return bytes([number << 3 | 2, len(data) & 127 | 128, len(data) >> 7]) + data


def function(domain, name, i, o, nodes, attributes=(), opset=18, overload="", defaults={}):
    f = helper.make_function(domain, name, i.split(), o.split(), nodes,
                             [helper.make_opsetid("", opset), helper.make_opsetid(LIB, 1)], list(attributes))
    for k, v in defaults.items(): f.MergeFromString(field(11, helper.make_attribute(k, v).SerializeToString()))
    if overload: f.MergeFromString(field(13, overload.encode()))
    return f


LIB, TOP = "pkg.onnxscript.torch_lib", "pkg.torch.2.1"
INT, FLOAT = onnx.AttributeProto.INT, onnx.AttributeProto.FLOAT


def dynamo():
    r = np.random.default_rng(7)
    w, b = r.normal(size=(5, 2, 3, 3)).astype("f4"), r.normal(size=5).astype("f4")
    v, c = r.normal(size=(5, 40)).astype("f4"), r.normal(size=40).astype("f4")
    h = r.normal(size=(40, 3)).astype("f4")
    functions = [
        function(LIB, "aten_conv2d", "self weight bias", "out",
                 [node("Conv", "self weight bias", "out", refs={"pads": ("padding", onnx.AttributeProto.INTS)})],
                 ["padding"]),
        # The exponent of two calls differs; the slope is a default in one and given in the other.
        function(LIB, "aten_leaky_relu", "self", "out", [node("LeakyRelu", "self", "out", refs={"alpha": ("slope", FLOAT)})],
                 defaults={"slope": .25}),
        function(LIB, "aten_mean", "self dims", "result",
                 [node("ReduceMean", "self dims", "result", refs={"keepdims": ("keepdim", INT)})], defaults={"keepdim": 0}),
        # With two outputs, one of which is an input passed on, and one that nobody wants.
        function(LIB, "aten_linear", "self weight bias", "out self weight_t",
                 [node("Transpose", "weight", "weight_t", perm=[1, 0]), node("MatMul", "self weight_t", "tmp"),
                  node("Add", "tmp bias", "out")]),
        function(LIB, "aten_linear", "self weight bias", "out", [node("MatMul", "self weight", "out")], overload="no_bias"),
        function(LIB, "aten_softmax", "self", "out", [node("Softmax", "self", "out", refs={"axis": ("dim", INT)})], ["dim"]),
        # An older opset, whose Softmax is over all axes from `axis` on.
        function(LIB, "softmax_flat", "self", "out", [node("Softmax", "self", "out", axis=1)], opset=11),
        # A clip whose lower bound the caller may leave out.
        function(LIB, "aten_clamp", "self low high", "out", [node("Clip", "self low high", "out")]),
        function(TOP, "features", "x conv_weight conv_bias", "y z",
                 [node("aten_conv2d", "x conv_weight conv_bias", "tmp", LIB, padding=[1, 1, 1, 1]),
                  node("aten_leaky_relu", "tmp", "y", LIB), node("aten_leaky_relu", "tmp", "z", LIB, slope=.75)]),
        function(TOP, "head", "x weight bias last", "logits",
                 [node("aten_linear", "x weight bias", "tmp same", LIB), node("aten_softmax", "tmp", "tmp_1", LIB, dim=-1),
                  node("Constant", "", "high", value=numpy_helper.from_array(np.float32(.5))),
                  node("aten_clamp", "tmp _ high", "tmp_2", LIB), node("Add", "tmp_1 tmp_2", "tmp_3"),
                  node("Constant", "", "dims", value_ints=[1]), node("aten_mean", "same dims", "mean", LIB, keepdim=1),
                  node("Mul", "tmp_3 mean", "tmp_4"), node("aten_linear", "tmp_4 last _", "logits", LIB, "no_bias")]),
    ]
    def t(x): return torch.tensor(x)
    def f(x):
        y = F.conv2d(x, t(w), t(b), padding=1); p = F.softmax(y.flatten(1), 1).view_as(y)
        z = (F.leaky_relu(y, .25) + F.leaky_relu(y, .75) * p).mean((2, 3)); a = z @ t(v) + t(c)
        return ((F.softmax(a, 1) + a.clamp(max=.5)) * z.mean(1, keepdim=True)) @ t(h)
    g = helper.make_graph(
        [node("features", "x w b", "y z", TOP), node("aten_conv2d", "x w b", "s", LIB, padding=[1, 1, 1, 1]), node("softmax_flat", "s", "p", LIB), node("Mul", "z p", "zp"), node("Add", "y zp", "u"),
         node("aten_mean", "u dims", "m", LIB), node("head", "m v c h", "logits", TOP)],
        "main_graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 6, 5])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(a, n) for n, a in (("w", w), ("b", b), ("v", np.ascontiguousarray(v.T)), ("c", c), ("h", h), ("dims", np.array([2, 3])))],
        value_info=[helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5, 6, 5])])
    m = helper.make_model(g, functions=functions, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(LIB, 1), helper.make_opsetid(TOP, 1)])
    m.ir_version = 10; m.producer_name = "pytorch"
    if os.path.exists("dynamo.onnx.data"): os.remove("dynamo.onnx.data")  # else it is added to
    onnx.save(m, "dynamo.onnx", save_as_external_data=True, all_tensors_to_one_file=True, location="dynamo.onnx.data", size_threshold=0)
    save("dynamo", f, torch.randn(4, 2, 6, 5))


# ---- half floats --------------------------------------------------------------------------------------------------
def half():
    """The input in float16 too. Numbers are small eighths, exact in float16; ddg computes in f32."""
    r = np.random.default_rng(8); w = (r.integers(-8, 9, (4, 3, 3, 3)) / 8).astype("f2"); v = (r.integers(-8, 9, (4, 5)) / 8).astype("f2")
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("GlobalMaxPool", ["b"], ["c"]), helper.make_node("Flatten", ["c"], ["d"]),
             helper.make_node("Cast", ["d"], ["e"], to=TensorProto.FLOAT), helper.make_node("Cast", ["e"], ["f"], to=TensorProto.FLOAT16),
             helper.make_node("MatMul", ["f", "v"], ["y"])]
    g = helper.make_graph(nodes, "half", [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["N", 3, 6, 6])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["N", 5])], [numpy_helper.from_array(a, n) for n, a in (("w", w), ("v", v))])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)]); m.ir_version = 8; onnx.checker.check_model(m); onnx.save(m, "half.onnx")
    save("half", lambda x: F.conv2d(x, torch.tensor(w.astype("f4"))).relu().amax((2, 3)) @ torch.tensor(v.astype("f4")), torch.randint(-8, 9, (3, 3, 6, 6)) / 8)


def brain():
    r = np.random.default_rng(9); w = r.normal(size=(4, 3, 3, 3)).astype("f4"); v = r.normal(size=(4, 5)).astype("f4")
    cut = lambda a: (a.view("u4") >> 16).astype("u2")
    wide = lambda a: torch.tensor((cut(a).astype("u4") << 16).view("f4"))
    def bf16(name, a): return onnx.TensorProto(name=name, dims=a.shape, data_type=TensorProto.BFLOAT16, raw_data=cut(a).tobytes())
    nodes = [helper.make_node("Cast", ["w"], ["wf"], to=TensorProto.FLOAT), helper.make_node("Cast", ["v"], ["vf"], to=TensorProto.FLOAT),
             helper.make_node("Conv", ["x", "wf"], ["a"]), helper.make_node("GlobalMaxPool", ["a"], ["c"]), helper.make_node("Flatten", ["c"], ["d"]),
             helper.make_node("MatMul", ["d", "vf"], ["y"])]
    g = helper.make_graph(nodes, "brain", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 6])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])], [bf16("w", w), bf16("v", v)])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)]); m.ir_version = 8; onnx.save(m, "brain.onnx")
    save("brain", lambda x: F.conv2d(x, wide(w)).amax((2, 3)) @ wide(v), torch.randn(3, 3, 6, 6))


if __name__ == "__main__":
    torch.manual_seed(0)
    modules(); dynamo(); half(); brain()
