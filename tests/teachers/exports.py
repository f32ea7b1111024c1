"""Exports small networks in every way people do, and compares ddg's logits and gradient norms of each with PyTorch's.

    /usr/bin/python3 exports.py RUN_MODEL [NAME...]        # sh tests/teachers.sh RUN_MODEL exports

A way that PyTorch itself cannot write is counted and left out. What ddg refuses must be in REFUSED, with its words.
"""
import sys, tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
import networks
from harness import *
import onnx.shape_inference, onnx.version_converter
from onnx import numpy_helper, TensorProto
from onnx.external_data_helper import convert_model_to_external_data

NETS = ["convnet3", "convnet3_batch", "convnet3_in", "resnet18_64", "mobilenet_64", "efficientnet_64", "small_densenet", "small_vit", "small_swin"]
FOLDED = {"do_constant_folding": True, "training": torch.onnx.TrainingMode.EVAL}


def exported(more={}, **kept):
    return lambda net, size, path: networks.export(net, size, path, **{**kept, **more})


def rewritten(change, **more):
    """Exported, then changed by change(message, path)."""
    def write(net, size, path):
        networks.export(net, size, path, 13, **more)
        m = onnx.load(path)
        change(m, path)
    return write


def external(m, path):
    convert_model_to_external_data(m, all_tensors_to_one_file=True, location=os.path.basename(path) + ".data", size_threshold=0)
    onnx.save(m, path)


def external_each(m, path):
    convert_model_to_external_data(m, all_tensors_to_one_file=False, size_threshold=1024)
    onnx.save(m, path)


def initializers_as_inputs(m, path):
    for t in m.graph.initializer: m.graph.input.append(onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)))
    m.ir_version = 3 + (m.opset_import[0].version > 8) * 4
    onnx.save(m, path)


def rounded(net, to):
    """The network with weights as a file of that type has them."""
    net = copy.deepcopy(net)
    for t in [*net.parameters(), *net.buffers()]:
        if t.is_floating_point(): t.data = t.data.to(to).float()
    return net


def narrow(t, to, name):
    """A stored float32 tensor, in half or bfloat16."""
    v = torch.from_numpy(numpy_helper.to_array(t).copy()).to(to)
    out = onnx.TensorProto(name=name, dims=list(t.dims), data_type=TensorProto.FLOAT16 if to == torch.half else TensorProto.BFLOAT16)
    out.raw_data = (v if to == torch.half else v.view(torch.int16)).numpy().tobytes()
    return out


def narrow_weights(to):
    """Weights of that type, widened by a Cast each: what converters that keep float32 inputs write."""
    def write(net, size, path):
        net = rounded(net, to)
        networks.export(net, size, path, 13)
        m = onnx.load(path)
        for t in list(m.graph.initializer):
            if t.data_type != TensorProto.FLOAT: continue
            name = t.name
            t.CopyFrom(narrow(t, to, name + ".narrow"))
            m.graph.node.insert(0, onnx.helper.make_node("Cast", [name + ".narrow"], [name], to=TensorProto.FLOAT))
        onnx.save(m, path)
        return net
    return write


def wholly_narrow(to):
    """Everything of that type, the image too: model.half()."""
    kind = TensorProto.FLOAT16 if to == torch.half else TensorProto.BFLOAT16

    def write(net, size, path):
        net = rounded(net, to)
        networks.export(net, size, path, 13)
        m = onnx.load(path)
        for t in m.graph.initializer:
            if t.data_type == TensorProto.FLOAT: t.CopyFrom(narrow(t, to, t.name))
        for v in [*m.graph.input, *m.graph.output]: v.type.tensor_type.elem_type = kind
        for n in m.graph.node:
            for a in n.attribute:
                if n.op_type == "Cast" and a.name == "to" and a.i == TensorProto.FLOAT: a.i = kind
                if a.HasField("t") and a.t.data_type == TensorProto.FLOAT: a.t.CopyFrom(narrow(a.t, to, a.t.name))
        del m.graph.value_info[:]
        onnx.save(m, path)
        return net
    return write


def as_constants(m, path):
    """Weights as Constant nodes."""
    for t in list(m.graph.initializer):
        m.graph.node.insert(0, onnx.helper.make_node("Constant", [], [t.name], value=t))
    del m.graph.initializer[:]
    onnx.save(m, path)


def typed_fields(m, path):
    """float_data and int64_data in place of raw bytes."""
    for t in m.graph.initializer:
        v = numpy_helper.to_array(t)
        t.CopyFrom(onnx.helper.make_tensor(t.name, t.data_type, v.shape, v.flatten().tolist()))
    onnx.save(m, path)


def simplified(m, path):
    """Without value_info, doc strings, node names."""
    del m.graph.value_info[:]
    for n in m.graph.node: n.name, n.doc_string = "", ""
    onnx.save(m, path)


def shapes_inferred(m, path): onnx.save(onnx.shape_inference.infer_shapes(m), path)


def version_converted(to):
    def change(m, path): onnx.save(onnx.version_converter.convert_version(m, to), path)
    return change


def scripted(net, size, path):
    networks.export(torch.jit.script(net), size, path, 13)


def traced(net, size, path):
    networks.export(torch.jit.trace(net, torch.randn(1, 3, size, size)), size, path, 13)


def free_axes(net, size, path):
    axes = {"input": {0: "N", 2: "H", 3: "W"}, "logits": {0: "N"}}
    networks.export(net, size, path, 13, dynamic=False, dynamic_axes=axes)


def softmaxed(net, size, path):
    networks.export(torch.nn.Sequential(net, torch.nn.Softmax(1)), size, path, 13)


def normalised(net, size, path):
    """mean and std inside the network, as torchvision's transforms are exported with it."""
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net
            self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)), self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        def forward(self, x): return self.net((x - self.mean) / self.std)
    whole = Whole().eval()
    networks.export(whole, size, path, 13)
    return whole


WAYS = {f"opset {v}": exported(opset=v) for v in range(9, 18)}
WAYS.update({f"folded, opset {v}": exported(FOLDED, opset=v) for v in (11, 13, 16, 17)})
WAYS.update({
    "folded only": exported(opset=14, do_constant_folding=True), "inference only": exported(opset=14, training=torch.onnx.TrainingMode.EVAL),
    "batch 1": exported(opset=13, dynamic=False), "batch 1, folded": exported(FOLDED, opset=17, dynamic=False), "batch 1, opset 11": exported(opset=11, dynamic=False),
    "batch 4": lambda net, size, path: networks.export(net, size, path, 13, dynamic=False, x=torch.randn(4, 3, size, size)),
    "dynamic height and width": free_axes, "no initializer names": exported(opset=13, keep_initializers_as_inputs=True),
    "functions, opset 15": exported(opset=15, export_modules_as_functions=True), "functions, opset 17, folded": exported(FOLDED, opset=17, export_modules_as_functions=True),
    "functions of layers": exported(opset=15, export_modules_as_functions={torch.nn.Conv2d, torch.nn.Linear, torch.nn.LayerNorm, torch.nn.BatchNorm2d}),
    "external data": rewritten(external), "external data, a file each": rewritten(external_each), "external, functions": lambda net, size, path: (networks.export(net, size, path, 15, export_modules_as_functions=True), external(onnx.load(path), path)) and None,
    "initializers as inputs": rewritten(initializers_as_inputs), "half weights": narrow_weights(torch.half), "bfloat16 weights": narrow_weights(torch.bfloat16),
    "half": wholly_narrow(torch.half), "bfloat16": wholly_narrow(torch.bfloat16), "weights as Constant": rewritten(as_constants),
    "typed fields": rewritten(typed_fields), "no names": rewritten(simplified), "shapes inferred": rewritten(shapes_inferred, dynamic=True),
    "converted to 14": rewritten(version_converted(14)), "converted to 17": rewritten(version_converted(17)), "scripted": scripted, "traced": traced,
    "softmax at the end": softmaxed, "normalised inside": normalised,
})
FUSED = {w for w in WAYS if "folded" in w and w != "folded only"} | {"inference only"}  # batch norm is, into convolutions
REFUSED = {  # (way, network or "*"): a part of what ddg says
    ("dynamic height and width", "*"): "has no fixed height",
    ("scripted", "small_densenet"): "op SequenceConstruct is not supported",
}
# torch 1.13 writes functions of Swin V2 that lack nodes: onnxruntime refuses them too.
REFUSED.update({(way, "small_swin"): "which nothing in the file makes" for way in ("functions, opset 15", "functions, opset 17, folded", "functions of layers", "external, functions")})


def try_way(way, name, folder):
    """None when it is right, else what is wrong; "-" when PyTorch cannot write it."""
    net, size = networks.make(name)
    path = f"{folder}/{name}.onnx"
    with torch.no_grad(): classes = net(torch.zeros(1, 3, size, size)).shape[1]
    try: net = WAYS[way](net, size, path) or net
    except Exception as e: return f"- {type(e).__name__}: {str(e).strip().splitlines()[0][:120]}"
    open(f"{folder}/exported", "w").close()
    if way == "softmax at the end": net = torch.nn.Sequential(net, torch.nn.Softmax(1))
    x, y = keep_rows(folder, *rows_for(folder, size, classes), 4)
    with torch.no_grad(): expected = net(x).numpy()
    facts, error = run(path, folder, "logits")
    refused = REFUSED.get((way, name)) or REFUSED.get((way, "*"))
    if refused: return None if refused in error else f"should say '{refused}', says '{error}'"
    if error: return error
    far = max(nearness(expected, np.load(f"{folder}/logits_{n}.npy")) for n in (1, 3, 17))
    if far > LOGITS: return f"logits are {far:.1e} off"
    return None if way in FUSED and any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()) else try_norm(way, net, path, folder, x, y)


def try_norm(way, net, path, folder, x, y):
    """The norm of the gradient is the network's, however it was exported."""
    x, y = keep_rows(folder, x, y, 2)
    facts, error = run(path, folder, "gradients")
    if error: return f"gradnorm: {error}"
    if way == "weights as Constant": return None if not facts["params"] else "constants are no parameters"
    if not facts["params"]: return "has no parameters"
    named = dict(net.named_parameters())
    norms = gradients(net, [named[k] for k in parameters_of(net)], x, y)[1]
    far = np.abs(np.load(f"{folder}/gradnorm.npy")[:, 0] / norms - 1).max()
    return None if far <= NORM else f"gradnorm is {far:.1e} off, over {len(facts['params'])} parameters in place of {len(parameters_of(net))}"


def try_apart(way, name):
    """In a process of its own: some ways crash PyTorch."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1) as pool:
        try: return pool.submit(try_way, way, name, folder).result()
        except BrokenProcessPool: return "crashes" if os.path.exists(f"{folder}/exported") else "- PyTorch crashes"


def main(names):
    wrong, left_out, right = 0, [], 0
    for name in names:
        for way in WAYS:
            said = try_apart(way, name)
            if said is None: right += 1
            elif said.startswith("- "): left_out.append(f"{name}, {way}: {said[2:]}")
            else: wrong += 1; print(f"FAIL: {name}, {way}: {said}", flush=True)
    print("PyTorch cannot write:", *left_out, sep="\n    ")
    print(f"{right} exports are right, {wrong} wrong, {len(left_out)} cannot be written")
    return 1 if wrong else 0


if __name__ == "__main__": sys.exit(main(sys.argv[2:] or NETS))
