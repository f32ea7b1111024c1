#!/usr/bin/env python3
"""Makes the networks of this folder (python3-onnx). They are committed with what `ddg model`
says of each beside them; run it to change or add one, then `tests/model.sh DDG update`."""
import os
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
f32 = np.float32


def node(op, inputs, output, name=None, **attrs):
    return helper.make_node(op, inputs, [output], name or f"/{output}/{op}", **attrs)


def weights(*shape):
    n = int(np.prod(shape))
    return (np.arange(n, dtype=f32) % 7 - 3).reshape(shape) / 8


def write(name, nodes, tensors, opset=17, shape=("N", 3, 8, 8), more=(), dtype=1, out=("N", 5)):
    value = helper.make_tensor_value_info
    inputs = [value("input", dtype, shape)] + list(more)
    outputs = [value("logits", TensorProto.FLOAT, out)]
    stored = [numpy_helper.from_array(a, n) for n, a in tensors.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    model = helper.make_model(graph, producer_name="pytorch", producer_version="2.7.0",
                              opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, os.path.join(HERE, name + ".onnx"))


def conv(x, y, bias=False, made=False, cin=3):
    """The nodes and tensors of a convolution; made: by the exporter, from others."""
    w, b = (f"onnx::Conv_{y}1", f"onnx::Conv_{y}2") if made else (f"{y}.weight", f"{y}.bias")
    tensors = {w: weights(4, cin, 3, 3)}
    if bias:
        tensors[b] = weights(4)
    return node("Conv", [x, w] + [b] * bias, y, pads=[1, 1, 1, 1]), tensors


def norm(x, y, **attrs):
    names = [f"{y}.{n}" for n in ("weight", "bias", "running_mean", "running_var")]
    tensors = dict(zip(names, (weights(4), weights(4) + 1, weights(4) - 1, weights(4) ** 2 + 1)))
    return node("BatchNormalization", [x] + names, y, **attrs), tensors


def head(x, y="logits", cin=4):
    nodes = [node("GlobalAveragePool", [x], "pooled"), node("Flatten", ["pooled"], "flat"),
             node("Gemm", ["flat", "fc.weight", "fc.bias"], y, transB=1)]
    return nodes, {"fc.weight": weights(5, cin), "fc.bias": weights(5)}


def net(*layers, x="norm1", y="logits"):
    nodes, tensors = [n for n, _ in layers], {}
    last, last_tensors = head(x, y)
    for _, t in layers:
        tensors.update(t)
    return nodes + last, {**tensors, **last_tensors}


c, n = conv("input", "conv1"), norm("conv1", "norm1")
write("kept", *net(c, n))
write("fixed_batch", *net(c, n), shape=(1, 3, 8, 8), out=(1, 5))
write("folded", *net(conv("input", "norm1", True, True)), opset=13)
write("partly_folded", *net(conv("input", "conv1", True, True),
                            (node("Relu", ["conv1"], "relu"), {}), norm("relu", "norm1")))
write("grey", *net(conv("input", "conv1", cin=1), n), shape=("N", 1, 8, 8))
write("half", *[(a, {k: v.astype(np.float16) for k, v in t.items()}) for a, t in
                [net(c, n)]][0], dtype=TensorProto.FLOAT16)

# Biases, no norm, and as many features as 8 x 8 pixels give.
a, b = conv("input", "conv1", True)
write("plain", [a, node("Flatten", ["conv1"], "flat"),
                node("Gemm", ["flat", "fc.weight", "fc.bias"], "logits", transB=1)],
      {**b, "fc.weight": weights(5, 256), "fc.bias": weights(5)})

a, b = net(c, n, y="scores")
write("softmax", a + [node("Softmax", ["scores"], "logits", axis=1)], b)
write("two_inputs", *net(c, n), more=[helper.make_tensor_value_info("mask", 1, ("N", 1, 8, 8))])
write("training", *net(c, norm("conv1", "norm1", training_mode=1)))
write("old", *net(c, n), opset=8)
write("channels_last", [node("Transpose", ["input"], "turned", perm=[0, 3, 1, 2]),
                        *net(conv("turned", "conv1"), n)[0]],
      net(conv("turned", "conv1"), n)[1], shape=("N", 8, 8, 3))
write("bytes", [node("Cast", ["input"], "cast", to=1), *net(conv("cast", "conv1"), n)[0]],
      net(conv("cast", "conv1"), n)[1], dtype=TensorProto.UINT8)

# One convolution used twice.
write("shared", *net(conv("input", "conv1", cin=3), n,
                     (node("Conv", ["norm1", "loop.weight"], "a", pads=[1, 1, 1, 1]), {}),
                     (node("Conv", ["a", "loop.weight"], "b", pads=[1, 1, 1, 1]),
                      {"loop.weight": weights(4, 4, 3, 3)}), x="b"))

# Layers of a transformer: a norm as one op, one in small ops, a linear layer as two.
tokens = [node("Reshape", ["conv1", "shape"], "tokens"),
          node("Transpose", ["tokens"], "rows", perm=[0, 2, 1]),
          node("LayerNormalization", ["rows", "ln.weight", "ln.bias"], "ln"),
          node("MatMul", ["ln", "linear.weight"], "product"),
          node("Add", ["linear.bias", "product"], "linear"),
          node("ReduceMean", ["linear"], "mean", axes=[-1]),
          node("Sub", ["linear", "mean"], "off"),
          node("Mul", ["off", "off"], "square"),
          node("ReduceMean", ["square"], "variance", axes=[-1]),
          node("Add", ["variance", "epsilon"], "above"),
          node("Sqrt", ["above"], "deviation"),
          node("Div", ["off", "deviation"], "normed"),
          node("ReduceMean", ["normed"], "pooled", axes=[1], keepdims=0),
          node("Gemm", ["pooled", "fc.weight", "fc.bias"], "logits", transB=1)]
a, b = conv("input", "conv1", True)
write("transformer", [a] + tokens,
      {**b, "shape": np.array([0, 4, -1], np.int64), "ln.weight": weights(4), "ln.bias": weights(4),
       "linear.weight": weights(4, 4), "linear.bias": weights(4), "epsilon": np.array(1e-5, f32),
       **head("x")[1]})

# Attention with two heads and a GELU in small ops, as a ViT has them; tests/target.sh runs it.
def linear(x, y, rows):
    return [node("MatMul", [x, f"{y}.weight"], f"{y}.product"),
            node("Add", [f"{y}.product", f"{y}.bias"], y)], \
        {f"{y}.weight": weights(rows, 4), f"{y}.bias": weights(4)}


def heads(x, y, perm):
    return [node("Reshape", [x, "heads"], f"{x}.heads"),
            node("Transpose", [f"{x}.heads"], y, perm=perm)]


(q, qt), (k, kt), (v, vt) = [linear("rows", n, 4) for n in "qkv"]
up, ut = linear("mixed", "up", 4)
attention = [node("Conv", ["input", "conv1.weight"], "conv1", pads=[1, 1, 1, 1], strides=[2, 2]),
             *tokens[:2], *q, *k, *v,
             *heads("q", "queries", [0, 2, 1, 3]), *heads("k", "keys", [0, 2, 3, 1]),
             *heads("v", "values", [0, 2, 1, 3]),
             node("MatMul", ["queries", "keys"], "scores"),
             node("Softmax", ["scores"], "weights", axis=-1),
             node("MatMul", ["weights", "values"], "mixture"),
             node("Transpose", ["mixture"], "together", perm=[0, 2, 1, 3]),
             node("Reshape", ["together", "width"], "mixed"), *up,
             node("Div", ["up", "root2"], "scaled"), node("Erf", ["scaled"], "erf"),
             node("Add", ["erf", "one"], "above"), node("Mul", ["up", "above"], "twice"),
             node("Mul", ["twice", "half"], "gelu"),
             node("ReduceMean", ["gelu"], "pooled", axes=[1], keepdims=0), tokens[-1]]
write("attention", attention,
      {"conv1.weight": weights(4, 3, 3, 3), **qt, **kt, **vt, **ut,
       "shape": np.array([0, 4, -1], np.int64), "heads": np.array([0, 16, 2, 2], np.int64),
       "width": np.array([0, 16, 4], np.int64), "root2": np.array(2 ** .5, f32),
       "one": np.array(1, f32), "half": np.array(.5, f32),
       "fc.weight": weights(10, 4), "fc.bias": weights(10)}, out=("N", 10))

# Ops that ddg does not have, of ONNX and of others.
a, b = conv("input", "conv1")
write("unsupported", [a, node("NonZero", ["conv1"], "where", "/deep/in/the/network/NonZero"),
                      node("Gelu", ["where"], "gelu", domain="com.microsoft"),
                      node("NonZero", ["gelu"], "again"),
                      node("Relu", ["again"], "logits")], b)
