"""Makes nodes/: tests like the node tests of the ONNX standard (tests/unit/test_onnx_nodes.c), of ops and
attributes that Debian's onnx 1.12 does not know yet or does not test. The outputs are onnxruntime's.

    NODE_PATH=.../node_modules /usr/bin/python3 make_nodes.py     # onnxruntime-node, see ../shared/bench
"""
import json, os, shutil, subprocess, tempfile
import numpy as np, onnx
from onnx import helper, numpy_helper, TensorProto

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nodes")
rng = np.random.default_rng(5)
TESTS = []
KIND = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}


def f(*shape, low=-2.0, high=2.0):
    return rng.uniform(low, high, shape).astype("float32")


def i(*v):
    return np.array(v, "int64")


def test(name, op, opset, inputs, outputs=1, **attrs):
    """inputs: arrays that vary; a list of arrays in the place of one: stored in the file; None: left out."""
    names, graph_in, stored, data = [], [], [], []
    for k, x in enumerate(inputs):
        if x is None:
            names.append("")
            continue
        names.append(f"x{k}")
        if isinstance(x, list):
            stored.append(numpy_helper.from_array(x[0], f"x{k}"))
        else:
            graph_in.append(helper.make_tensor_value_info(f"x{k}", KIND[str(x.dtype)], x.shape))
            data.append((f"x{k}", x))
    outs = [f"y{k}" for k in range(outputs)]
    nodes = [helper.make_node(op, names, outs, **attrs)]
    add(name, nodes, opset, graph_in, outs, stored, data)


def batch_last(name, op, x, *stored, **attrs):
    """The op on x as [.., N], with stored arrays and then, if the last is a tuple, one more such value."""
    more = stored[-1] if stored and isinstance(stored[-1], tuple) else ()
    data = [("x0", x)] + [(f"z{k}", z) for k, z in enumerate(more)]
    stored = stored[:-1] if more else stored
    nodes = [helper.make_node("Transpose", [k], [k + "t"], perm=list(range(1, v.ndim)) + [0]) for k, v in data]
    names = ["x0t"] + [f"s{k}" for k in range(len(stored))] + [f"z{k}t" for k in range(len(more))]
    nodes.append(helper.make_node(op, names, ["t"], **attrs))
    rank = OUT_RANK[name]
    nodes.append(helper.make_node("Transpose", ["t"], ["y0"], perm=[rank - 1] + list(range(rank - 1))))
    graph_in = [helper.make_tensor_value_info(k, KIND[str(v.dtype)], v.shape) for k, v in data]
    add(name, nodes, 16, graph_in, ["y0"], [numpy_helper.from_array(s, f"s{k}") for k, s in enumerate(stored)], data)


OUT_RANK = {"gathernd_batch_last": 3, "scatternd_batch_last": 4, "reduce_batch_last": 2}


def add(name, nodes, opset, graph_in, outs, stored, data):
    out_types = [helper.make_empty_tensor_value_info(o) for o in outs]
    graph = helper.make_graph(nodes, name, graph_in, out_types, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    TESTS.append((name, model, data, outs))


x = f(2, 6, 4, 5)
test("gelu", "Gelu", 20, [f(3, 40, low=-5, high=5)])
test("gelu_tanh", "Gelu", 20, [f(3, 40, low=-5, high=5)], approximate="tanh")
test("mish", "Mish", 18, [f(3, 40, low=-20, high=20)])
test("hard_swish", "HardSwish", 14, [f(3, 40, low=-5, high=5)])
test("group_norm_18", "GroupNormalization", 18, [x, [f(3)], [f(3)]], num_groups=3, epsilon=1e-3)
test("group_norm_21", "GroupNormalization", 21, [x, [f(6)], [f(6)]], num_groups=3)
test("instance_norm_1d", "InstanceNormalization", 6, [f(2, 6, 9), [f(6)], [f(6)]])
test("layer_norm_17", "LayerNormalization", 17, [x, [f(4, 5)], [f(4, 5)]], axis=2, epsilon=1e-2)
test("batch_norm_9", "BatchNormalization", 9, [x, [f(6)], [f(6)], [f(6)], [f(6, low=0.1)]], momentum=0.5)
test("pow_many", "Pow", 13, [f(2, 9), [np.array(7, "int64")]])
test("pow_odd_fraction", "Pow", 13, [f(2, 9, low=0), [np.float32(2.9)]])
test("pow_negative_half", "Pow", 13, [f(2, 9, low=0.1), [np.float32(-1.5)]])
test("pow_large", "Pow", 13, [f(2, 9, low=-1.05, high=1.05), [np.float32(99)]])
test("pow_of_constant", "Pow", 13, [[f(9, low=0.1)], f(2, 9)])
for op in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
           "ReduceProd", "ReduceSumSquare"):
    test(op.lower() + "_18", op, 18, [f(2, 3, 5, 4, low=0.2), [i(-1, 1)]], keepdims=0)
test("reduceprod_negative", "ReduceProd", 13, [f(3, 7)], axes=[1])
test("resize_10", "Resize", 10, [f(2, 3, 4, 5), [np.array([1, 1, 2.5, 2], "float32")]], mode="nearest")
test("resize_10_linear", "Resize", 10, [f(2, 3, 4, 5), [np.array([1, 1, 2.5, 0.7], "float32")]], mode="linear")
test("upsample_9", "Upsample", 9, [f(2, 3, 4, 5), [np.array([1, 1, 3, 2], "float32")]], mode="linear")
PLACES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
for p in PLACES:
    v = 19 if p == "half_pixel_symmetric" else 13
    test(f"resize_linear_{p}", "Resize", v, [f(2, 3, 4, 5), None, None, [i(2, 3, 7, 4)]], mode="linear",
         coordinate_transformation_mode=p)
    for r in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        test(f"resize_nearest_{p}_{r}", "Resize", v, [f(2, 3, 4, 5), None, None, [i(2, 3, 7, 4)]], mode="nearest",
             coordinate_transformation_mode=p, nearest_mode=r)
test("resize_nearest_twice", "Resize", 13, [x, None, [np.array([1, 1, 2, 2], "float32")]], mode="nearest",
     coordinate_transformation_mode="asymmetric", nearest_mode="floor")
test("resize_nearest_third", "Resize", 13, [f(1, 2, 9, 12), None, [np.array([1, 1, 1 / 3, 1 / 6], "float32")]],
     mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
test("resize_linear_scales", "Resize", 13, [x, None, [np.array([1, 1, 1.7, 0.6], "float32")]], mode="linear")
test("resize_18_axes", "Resize", 18, [x, None, None, [i(9, 3)]], mode="linear", axes=[3, 2])
test("resize_18_not_larger", "Resize", 18, [x, None, None, [i(9, 7)]], mode="linear", axes=[2, 3],
     keep_aspect_ratio_policy="not_larger")
test("resize_18_not_smaller", "Resize", 18, [x, None, None, [i(9, 7)]], mode="nearest", axes=[2, 3],
     keep_aspect_ratio_policy="not_smaller")
test("resize_crop", "Resize", 13, [f(1, 1, 4, 5), [np.array([0, 0, 0.2, -0.2, 1, 1, 0.8, 1.1], "float32")], None,
                                   [i(1, 1, 6, 7)]], mode="linear",
     coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=3.0)
test("pad_18_axes", "Pad", 18, [x, [i(1, 2, 0, 1)], [np.float32(0.5)], [i(3, 1)]])
test("pad_reflect", "Pad", 13, [x, [i(0, 0, 3, 2, 0, 0, 1, 4)]], mode="reflect")
test("pad_edge", "Pad", 13, [x, [i(0, 2, 3, 2, 0, 0, 1, 6)]], mode="edge")
test("pad_wrap", "Pad", 19, [x, [i(0, 0, 3, 2, 0, 0, 1, 4)]], mode="wrap")
test("pad_cut", "Pad", 13, [x, [i(0, 0, -1, 2, 0, 0, 1, -2)]], mode="constant")
for v in (11, 19):
    for c in (0, 1):
        test(f"averagepool_{v}_ceil_{c}", "AveragePool", v, [f(2, 2, 8, 9)], kernel_shape=[3, 3], strides=[2, 3],
             pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=c)
test("averagepool_odd_pads", "AveragePool", 11, [f(2, 2, 8, 9)], kernel_shape=[3, 4], strides=[2, 2], pads=[0, 1, 2, 0])
test("averagepool_same_lower", "AveragePool", 11, [f(2, 2, 8, 9)], kernel_shape=[3, 4], strides=[2, 2],
     auto_pad="SAME_LOWER", count_include_pad=1)
test("maxpool_dilations", "MaxPool", 12, [f(2, 2, 9, 8)], kernel_shape=[3, 2], strides=[2, 1], dilations=[2, 3],
     pads=[1, 1, 2, 1])
test("maxpool_dilations_ceil", "MaxPool", 12, [f(2, 2, 10, 9)], kernel_shape=[3, 2], strides=[2, 2], dilations=[2, 1],
     ceil_mode=1)
test("maxpool_ceil", "MaxPool", 12, [f(2, 2, 10, 9)], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 0],
     ceil_mode=1)
test("maxpool_valid", "MaxPool", 12, [f(2, 2, 10, 9)], kernel_shape=[3, 3], strides=[2, 2], auto_pad="VALID")
test("conv_odd_pads", "Conv", 11, [f(2, 4, 9, 8), [f(6, 4, 3, 2)]], pads=[0, 1, 2, 0], strides=[2, 1])
test("softmax_11", "Softmax", 11, [f(2, 3, 4, 5)], axis=2)
test("logsoftmax_11", "LogSoftmax", 11, [f(2, 3, 4, 5)])
test("clip_6", "Clip", 6, [f(3, 9)], min=-1.0, max=0.5)
test("clip_13_min", "Clip", 13, [f(3, 9), [np.float32(-0.5)]])
test("prelu_channel", "PRelu", 16, [x, [f(6, 1, 1)]])
test("where_rows", "Where", 16, [[rng.random((1, 5)) < 0.5], f(4, 5), [np.full((1, 5), -np.inf, "float32")]])
test("where_data", "Where", 16, [rng.random((4, 5)) < 0.5, f(4, 5), f(4, 1)])
test("where_integers", "Where", 16, [rng.random((4, 5)) < 0.5, rng.integers(-9, 9, (4, 5)), rng.integers(-9, 9, (5,))])
test("scatternd_max", "ScatterND", 18, [f(5, 3), [np.array([[1], [4], [1]], "int64")], f(3, 3)], reduction="max")
test("scatternd_elements", "ScatterND", 13, [f(4, 5), [np.array([[[0, 1], [3, 4]], [[2, -2], [-1, 0]]], "int64")],
                                             f(2, 2)])
test("scatterelements_min", "ScatterElements", 18, [f(3, 4), [np.array([[1, 1, -1, 0]], "int64")], f(1, 4)], axis=0,
     reduction="min")
test("gathernd_slices", "GatherND", 13, [f(3, 4, 5), [np.array([[0, -1], [2, 1]], "int64")]])
test("gatherelements_rows", "GatherElements", 13, [f(3, 4), [rng.integers(-4, 4, (3, 6))]], axis=1)
test("gathernd_batch_dims", "GatherND", 13, [f(2, 3, 4), [np.array([[[0], [2]], [[1], [1]]], "int64")]], batch_dims=1)
batch_last("gathernd_batch_last", "GatherND", f(2, 4, 5, 3), np.array([[0, 1], [3, -1], [2, 2]], "int64"))
batch_last("scatternd_batch_last", "ScatterND", f(2, 4, 5, 3), np.array([[0, 1], [3, -1]], "int64"), (f(2, 2, 3),))
batch_last("reduce_batch_last", "ReduceMax", f(2, 4, 5, 3), axes=[0, 2], keepdims=0)
test("tile", "Tile", 13, [f(2, 3, 4), [i(1, 2, 3)]])
test("depth_to_space", "DepthToSpace", 13, [f(2, 8, 3, 2)], blocksize=2, mode="CRD")
test("space_to_depth", "SpaceToDepth", 13, [f(2, 3, 4, 6)], blocksize=2)
test("split_uneven", "Split", 18, [f(2, 7)], outputs=3, axis=1, num_outputs=3)
test("mod_negative", "Mod", 13, [[i(-7, 7, -7, 7, 5)], [i(3, -3, -3, 3, 5)]])
test("mod_fmod", "Mod", 13, [[i(-7, 7, -7, 7, 5)], [i(3, -3, -3, 3, 5)]], fmod=1)
test("div_negative", "Div", 14, [i(-7, 7, -7, 7, 0), [i(2, -2, -2, 2, 5)]])
test("floor", "Floor", 13, [[np.array([-1.5, 2.5, -0.0, 7.0], "float32")]])
test("less_or_equal_nan", "LessOrEqual", 16, [np.array([1, np.nan, np.inf, -np.inf], "float32"),
                                              [np.array([1, 1, np.inf, np.inf], "float32")]])
test("max_of_three", "Max", 13, [f(4, 5), f(4, 1), [f(5)]])
test("global_average_1d", "GlobalAveragePool", 1, [f(2, 3, 7)])

RUN = """
const ort = require('onnxruntime-node'), fs = require('fs');
(async () => { for (const t of JSON.parse(fs.readFileSync(process.argv[2]))) { try {
  const s = await ort.InferenceSession.create(t.model, {graphOptimizationLevel: 'disabled', logSeverityLevel: 3});
  const feed = {};
  for (const v of t.inputs) {
    const b = fs.readFileSync(v.file), ab = b.buffer.slice(b.byteOffset, b.byteOffset + b.length);
    feed[v.name] = new ort.Tensor(v.type, {float32: a => new Float32Array(a), int64: a => new BigInt64Array(a),
                                           bool: a => new Uint8Array(a)}[v.type](ab), v.dims);
  }
  const r = await s.run(feed), meta = [];
  for (const o of t.outputs) {
    const d = r[o].data; fs.writeFileSync(t.model + '.' + o, Buffer.from(d.buffer, d.byteOffset, d.byteLength));
    meta.push({type: r[o].type, dims: r[o].dims});
  }
  fs.writeFileSync(t.model + '.json', JSON.stringify(meta));
} catch (e) { console.error(t.model, String(e).slice(0, 300)); } } })();
"""


def main():
    work = tempfile.mkdtemp()
    jobs = []
    for name, model, data, outs in TESTS:
        path = f"{work}/{name}.onnx"
        onnx.save(model, path)
        job = {"model": path, "outputs": outs, "inputs": []}
        for key, v in data:
            np.ascontiguousarray(v).tofile(f"{path}.{key}")
            job["inputs"].append({"name": key, "file": f"{path}.{key}", "type": str(v.dtype), "dims": list(v.shape)})
        jobs.append(job)
    json.dump(jobs, open(f"{work}/jobs", "w"))
    open(f"{work}/run.js", "w").write(RUN)
    subprocess.check_call(["node", f"{work}/run.js", f"{work}/jobs"])
    shutil.rmtree(HERE, ignore_errors=True)
    for (name, model, data, outs), job in zip(TESTS, jobs):
        if not os.path.exists(job["model"] + ".json"):
            print("no answer:", name)
            continue
        to = f"{HERE}/test_{name}/test_data_set_0"
        os.makedirs(to)
        meta = json.load(open(job["model"] + ".json"))
        for k, (key, v) in enumerate(data):
            open(f"{to}/input_{k}.pb", "wb").write(numpy_helper.from_array(v, key).SerializeToString())
        for k, (o, m) in enumerate(zip(outs, meta)):
            v = np.fromfile(f"{job['model']}.{o}", m["type"]).reshape(m["dims"])
            open(f"{to}/output_{k}.pb", "wb").write(numpy_helper.from_array(v, o).SerializeToString())
            model.graph.output[k].CopyFrom(helper.make_tensor_value_info(o, KIND[m["type"]], m["dims"]))
        onnx.save(model, f"{HERE}/test_{name}/model.onnx")
    shutil.rmtree(work)


main()
