"""Networks that together use every op ddg knows and PyTorch's exporter does not write, with PyTorch's answers.

    /usr/bin/python3 make_ops.py        # in this folder (Debian: python3-torch, python3-onnx)

Beside each NAME.onnx lie NAME_x.npy, images [N,C,H,W]; NAME_y.npy, their logits; NAME_g.npy, the sum of the squares of the
gradients of all parameters, a row, of 0.5 l0 - l1 + 0.5 l2 - l3 ...; and NAME_d.npy, that sum's gradient of the image.
"""
import numpy as np, onnx, torch, torch.nn.functional as F
from onnx import helper, numpy_helper, TensorProto

PARAMETERS = {"Conv": (1, 2), "Gemm": (1, 2), "MatMul": (1,), "BatchNormalization": (1, 2), "GroupNormalization": (1, 2),
              "InstanceNormalization": (1, 2), "LayerNormalization": (1, 2)}


def node(line):
    """"Op name: in in -> out | attr=value ..." """
    left, _, attrs = line.partition("|"); head, _, io = left.partition(":"); i, _, o = io.partition("->")
    op, label = head.split()
    return helper.make_node(op, ["" if n == "_" else n for n in i.split()], o.split(), name=label, **eval(f"dict({attrs})"))


def network(name, opset, shape, classes, stored, f, text, rows=3):
    """f(x, p) is what the nodes mean, p being what is stored, as tensors."""
    nodes = [node(line) for line in text.strip().splitlines()]
    g = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
                          [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", classes])],
                          [numpy_helper.from_array(np.asarray(v), n) for n, v in stored.items()])
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)]); m.ir_version = 8
    if opset <= onnx.defs.onnx_opset_version(): onnx.checker.check_model(m)
    onnx.save(m, f"{name}.onnx")
    trained = {i for n in nodes for k in PARAMETERS.get(n.op_type, ()) for i in n.input[k:k + 1]} & set(stored)
    answers(name, trained, stored, f, torch.randn(rows, *shape))


def answers(name, trained, stored, f, x):
    p = {k: torch.from_numpy(np.array(v)) for k, v in stored.items()}
    trained = [p[k].requires_grad_() for k in sorted(trained)]
    y, g, d = [], [], []
    for r in x:
        r = r[None].requires_grad_()
        l = f(r, p); weights = torch.tensor([-1. if k % 2 else .5 for k in range(l.shape[1])])
        grads = torch.autograd.grad((l * weights).sum(), [r] + trained, allow_unused=True)
        y.append(l.detach()), d.append(grads[0]), g.append(sum((t.double() ** 2).sum() for t in grads[1:] if t is not None))
    np.save(f"{name}_x.npy", x.numpy()), np.save(f"{name}_y.npy", torch.cat(y).numpy()), np.save(f"{name}_d.npy", torch.cat(d).numpy())
    np.save(f"{name}_g.npy", torch.stack(g).float().numpy())


def head(inputs, classes):
    """A dense layer, so that each of many features has its own say."""
    return dict(w=(r.normal(size=(inputs, classes)) / inputs ** .5).astype("f4"), b=r.normal(size=classes).astype("f4"))


def f32(*v): return np.array(v, "f4")
def i64(*v): return np.array(v, "i8")
r = np.random.default_rng(0)
torch.manual_seed(0)


# Activations, each of the same features; then a dense layer.
def activations(x, p):
    c = F.conv2d(x, p["k"], p["kb"])
    s = [c.abs(), F.celu(c, 1.5), F.elu(c, .7), torch.erf(c), F.gelu(c), F.gelu(c, approximate="tanh"), (c * .3 + .4).clamp(0, 1),
         F.hardswish(c), F.mish(c), F.prelu(c, p["slope"].flatten()), 1 / (c * c + 2), F.selu(c),
         torch.where(c > .5, c - .25, torch.where(c < -.5, c + .25, torch.zeros(()))), F.softplus(c), F.softsign(c), torch.where(c > .3, c, torch.zeros(())),
         F.leaky_relu(c, .2), F.relu(c), torch.tanh(c), torch.sigmoid(c)]
    return torch.stack([t.mean((2, 3)) for t in s], 2).flatten(1) @ p["w"] + p["b"]


kinds = ["Abs q0: c -> s0", "Celu q1: c -> s1 | alpha=1.5", "Elu q2: c -> s2 | alpha=0.7", "Erf q3: c -> s3", "Gelu q4: c -> s4", "Gelu q5: c -> s5 | approximate='tanh'",
         "HardSigmoid q6: c -> s6 | alpha=0.3, beta=0.4", "HardSwish q7: c -> s7", "Mish q8: c -> s8", "PRelu q9: c slope -> s9", "Reciprocal q10: c2 -> s10", "Selu q11: c -> s11",
         "Shrink q12: c -> s12 | bias=0.25, lambd=0.5", "Softplus q13: c -> s13", "Softsign q14: c -> s14", "ThresholdedRelu q15: c -> s15 | alpha=0.3", "LeakyRelu q16: c -> s16 | alpha=0.2",
         "Relu q17: c -> s17", "Tanh q18: c -> s18", "Sigmoid q19: c -> s19"]
means = "\n".join(f"ReduceMean m{i}: s{i} hw -> t{i} | keepdims=0\nUnsqueeze u{i}: t{i} two -> v{i}" for i in range(20))
network("activations", 20, (2, 5, 5), 4, dict(k=r.normal(size=(3, 2, 2, 2)).astype("f4"), kb=f32(.1, -.2, .3), slope=f32(.1, .2, .3).reshape(3, 1, 1), hw=i64(2, 3), two=i64(2), plus=f32(2),
                                              flat=i64(0, 60), **head(60, 4)), activations, "\n".join([
    "Conv conv: x k kb -> c", "Mul sq: c c -> cc", "Add ab: cc plus -> c2", *kinds, means,
    f"Concat cat: {' '.join(f'v{i}' for i in range(20))} -> all | axis=2", "Reshape rs: all flat -> f", "Gemm g: f w b -> y"]))


# Every reduction, over channels, places or both.
def reductions(x, p):
    c = F.conv2d(x, p["k"])
    e = c * c + .5
    s = [c.abs().sum((2, 3)), (c ** 2).sum((2, 3)).sqrt(), e.sum((2, 3)).log(), c.logsumexp((2, 3)), c.amin((2, 3)), c.amax((2, 3)), e.prod(3).prod(2), (c ** 2).sum((2, 3)), c.mean((2, 3)), c.sum((2, 3))]
    deep = c.norm(dim=1, keepdim=True).mean((2, 3))
    return torch.cat(s + [deep], 1) @ p["w"] + p["b"]


names = ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMin", "ReduceMax", "ReduceProd", "ReduceSumSquare", "ReduceMean", "ReduceSum"]
network("reductions", 18, (2, 4, 4), 4, dict(k=(r.normal(size=(3, 2, 3, 3)) * .5).astype("f4"), half=f32(.5), hw=i64(2, 3), one=i64(-3), flat=i64(-1, 31), **head(31, 4)), reductions, "\n".join([
    "Conv conv: x k -> c", "Mul sq: c c -> cc", "Add ab: cc half -> e", *[f"{n} r{i}: {'e' if n in ('ReduceLogSum', 'ReduceProd') else 'c'} hw -> s{i} | keepdims=0" for i, n in enumerate(names)],
    "ReduceL2 deep: c one -> d1 | keepdims=1", "ReduceMean deepmean: d1 hw -> d2 | keepdims=0", f"Concat cat: {' '.join(f's{i}' for i in range(10))} d2 -> f | axis=1", "Gemm g: f w b -> y"]))


# Comparisons and logic, on what is known and on features; rounding and remainders of constants.
def choices(x, p):
    c = F.conv2d(x, p["k"]).flatten(1)
    m = p["mask"].bool(); o = p["other"].bool()
    s = torch.where(m & o, c, -c) + torch.where(m | o, c * 2, c) + torch.where(m ^ o, torch.ones(()), c) + torch.where(~m, c * 3, torch.zeros(()))
    s = s + torch.where(c > p["level"], c, p["level"]) + torch.where(c < p["level"], c * c, c * .5) + (c >= p["level"]).float() * c - (c <= -p["level"]).float()
    s = s * (torch.remainder(p["number"], 3) + torch.fmod(p["number"], 4) + p["real"].floor() + p["real"].ceil() + p["real"].round() + p["real"].sign()) * .1
    return (c + s + c) / 3 @ p["w"] + torch.maximum(torch.minimum(p["b"], p["b"] * 2), p["b"] - 1)


network("choices", 17, (2, 4, 3), 4, dict(k=r.normal(size=(2, 2, 3, 2)).astype("f4"), mask=i64(0, 1, 0, 1, 1, 0, 1, 0), other=i64(1, 1, 0, 0, 1, 0, 0, 1), level=f32(.2), number=i64(5, -7, 9, -2, 4, 11, -5, 3),
                                          three=i64(3), four=i64(4), real=f32(.5, 1.5, -.5, -2.3, 2.7, 3.1, -1.5, .2), tenth=f32(.1), two=f32(2), triple=f32(3), zero=f32(0), one=f32(1), half=f32(.5), **head(8, 4)), choices, """
Conv conv: x k -> c4
Flatten fl: c4 -> c
Neg neg: c -> n
Cast bm: mask -> m | to=9
Cast bo: other -> o | to=9
And and: m o -> mo
Where w1: mo c n -> s1
Or or: m o -> mor
Mul dbl: c two -> c2
Where w2: mor c2 c -> s2
Xor xor: m o -> mx
Where w3: mx one c -> s3
Not not: m -> nm
Mul tri: c triple -> c3
Where w4: nm c3 zero -> s4
Greater gt: c level -> g
Where w5: g c level -> s5
Less lt: c level -> l
Mul csq: c c -> cc
Mul chalf: c half -> ch
Where w6: l cc ch -> s6
GreaterOrEqual ge: c level -> gte
Cast gef: gte -> gf | to=1
Mul s7m: gf c -> s7
Neg nl: level -> minus
LessOrEqual le: c minus -> lte
CastLike lef: lte c -> lf
Neg lfn: lf -> s8
Sum all: s1 s2 s3 s4 s5 s6 s7 s8 -> s
Mod md: number three -> r3
Mod fm: number four -> r4 | fmod=1
Add rr: r3 r4 -> ri
Cast rf: ri -> rem | to=1
Floor fo: real -> f1
Ceil ce: real -> f2
Round ro: real -> f3
Sign si: real -> f4
Sum consts: rem f1 f2 f3 f4 -> factor
Mul sf: s factor -> sfm
Mul st: sfm tenth -> scaled
Mean mean: c scaled c -> f
Mul b2: b two -> bb
Min mn: b bb -> bmin
Sub bo1: b one -> bless
Max mx: bmin bless -> bias
Gemm gm: f w bias -> y""")


# Elements picked, put and moved by number; the numbers are known, and the same for each row.
def scatters(x, p):
    c = F.conv2d(x, p["k"])                                            # [N,4,4,4]
    a = F.pixel_shuffle(c, 2)                                          # [N,1,8,8]
    put = c.clone(); put[:, :, :, [3, 0]] = F.pixel_unshuffle(a[:, :, :, :4], 2)
    t = c.tile((1, 1, 1, 2))[..., :6]
    picked = c.mean((2, 3)) * p["deep"][p["at"][:, 0], p["at"][:, 1]].sum(0)
    n = p["table"].clone(); n[p["rows"].flatten()] = p["new"]
    e = c.flatten(1)[:, p["order"][0]]
    return torch.cat([put.mean((2, 3)), (t[..., 4:] - t[..., :2]).abs().mean((2, 3)) + t.mean((2, 3)), picked, (c * n).mean((2, 3)), e], 1) @ p["w"] + p["b"]


put_at = np.broadcast_to(i64(3, 0), (1, 4, 4, 2)).copy()
network("scatters", 17, (2, 6, 6), 4, dict(k=r.normal(size=(4, 2, 3, 3)).astype("f4"), at=i64(0, 1, 3, 2, 1, 1).reshape(3, 2), order=i64(5, 0, 63, 7, 2).reshape(1, 5), table=r.normal(size=(4, 4)).astype("f4"),
                                           rows=i64(2, 0).reshape(2, 1), new=r.normal(size=(2, 4)).astype("f4"), reps=i64(1, 1, 1, 2), zero=i64(0), two=i64(2), four=i64(4), six=i64(6), last=i64(3),
                                           deep=r.normal(size=(4, 4, 4)).astype("f4"), per_image=i64(4, 4, 2), per_row=i64(5), put=put_at, **head(21, 4)), scatters, """
Conv conv: x k -> c
DepthToSpace d2s: c -> a | blocksize=2, mode='CRD'
Slice cut: a zero four last -> a4
SpaceToDepth s2d: a4 -> b2 | blocksize=2
Tile tile: c reps -> t8
Slice t6: t8 zero six last -> t
GatherND nd: deep at -> nds
ReduceSum ndr: nds zero -> nd1 | keepdims=0
Shape shape: x -> dims
Gather batch: dims zero -> n
Concat shp: n per_image -> puts | axis=0
Expand ex: put puts -> putn
ScatterElements se: c putn b2 -> p4 | axis=3
ScatterND snd: table rows new -> tab
Flatten fl: c -> cf
Concat shq: n per_row -> orders | axis=0
Expand exq: order orders -> ordern
GatherElements ge: cf ordern -> e | axis=1
ReduceMean r1: p4 -> f1 | axes=[2,3], keepdims=0
Slice ta: t four six last -> t1
Slice tb: t zero two last -> t2
Sub td: t1 t2 -> t3
Abs tabs: t3 -> t4
ReduceMean r2: t4 -> f2 | axes=[2,3], keepdims=0
ReduceMean r3: t -> f3 | axes=[2,3], keepdims=0
Add f23: f2 f3 -> f4
ReduceMean r4: c -> c1 | axes=[2,3], keepdims=0
Mul ndm: c1 nd1 -> f5
Mul ctab: c tab -> f6
ReduceMean r5: f6 -> f7 | axes=[2,3], keepdims=0
Concat cat: f1 f4 f5 f7 e -> f | axis=1
Gemm g: f w b -> y""")


# Images made larger and smaller; group norm as opset 21 has it.
def sizes(x, p):
    c = F.group_norm(F.conv2d(x, p["k"]), 2, p["scale"], p["shift"])   # [N,4,4,4]
    s = [F.interpolate(c, scale_factor=2, mode="nearest"), F.interpolate(c, scale_factor=2, mode="bilinear"), F.interpolate(c, (3, 7), mode="bilinear"),
         F.interpolate(c, (7, 3), mode="bilinear", align_corners=True), F.interpolate(c, (3, 3), mode="nearest"), c.repeat_interleave(2, 2)[:, :, ::2].repeat_interleave(3, 3)]
    return torch.cat([torch.tanh(t * (i + 1)).mean((2, 3)) for i, t in enumerate(s)], 1) @ p["w"] + p["b"]


resized = ["Resize q0: c _ twice -> s0 | mode='nearest', coordinate_transformation_mode='asymmetric', nearest_mode='floor'", "Resize q1: c _ twice -> s1 | mode='linear', coordinate_transformation_mode='half_pixel'",
           "Resize q2: c _ _ to37 -> s2 | mode='linear', coordinate_transformation_mode='pytorch_half_pixel'", "Resize q3: c _ _ to73 -> s3 | mode='linear', coordinate_transformation_mode='align_corners'",
           "Resize q4: c _ _ to33 -> s4 | mode='nearest', coordinate_transformation_mode='asymmetric', nearest_mode='floor'", "Resize q5: c _ thrice -> s5 | mode='nearest', coordinate_transformation_mode='asymmetric', nearest_mode='floor'"]
resized = [line.replace("to37", "n37").replace("to73", "n73").replace("to33", "n33") for line in resized]
network("sizes", 21, (2, 5, 5), 4, dict(k=r.normal(size=(4, 2, 2, 2)).astype("f4"), scale=f32(1, .5, 1.5, 2), shift=f32(.1, 0, -.1, .3), twice=f32(1, 1, 2, 2), thrice=f32(1, 1, 1, 3), zero=i64(0),
                                        four=i64(4), s37=i64(3, 7), s73=i64(7, 3), s33=i64(3, 3), hw=i64(2, 3), **{f"a{i}": f32(i + 1) for i in range(6)}, **head(24, 4)), sizes, "\n".join([
    "Conv conv: x k -> c0", "GroupNormalization gn: c0 scale shift -> c | num_groups=2", "Shape shape: x -> dims", "Gather batch: dims zero -> n",
    *[f"Concat cn{s}: n four s{s} -> n{s} | axis=0" for s in ("37", "73", "33")], *resized,
    *[f"Mul m{i}: s{i} a{i} -> t{i}\nTanh h{i}: t{i} -> u{i}\nReduceMean r{i}: u{i} hw -> v{i} | keepdims=0" for i in range(6)],
    "Concat cat: v0 v1 v2 v3 v4 v5 -> f | axis=1", "Gemm g: f w b -> y"]))


# Ops that opset 11 gave other names, and group norm as it was from 18 to 20.
def older(x, p):
    c = F.interpolate(F.conv2d(x, p["k"]), scale_factor=2, mode="nearest")
    n = p["table"].clone(); n[:, [3, 0]] = p["new"]
    return torch.tanh(c * n).flatten(1) @ p["w"] + p["b"]


network("older", 9, (2, 3, 3), 4, dict(k=r.normal(size=(2, 2, 2, 2)).astype("f4"), twice=f32(1, 1, 2, 2), table=r.normal(size=(4, 4)).astype("f4"), new=r.normal(size=(4, 2)).astype("f4"),
                                       put=np.broadcast_to(i64(3, 0), (4, 2)).copy(), **head(32, 4)), older, """
Conv conv: x k -> c0
Upsample up: c0 twice -> c | mode='nearest'
Scatter sc: table put new -> tab | axis=1
Mul mul: c tab -> m
Tanh tanh: m -> th
Flatten fl: th -> f
Gemm g: f w b -> y""")


def groups(x, p):
    return F.group_norm(F.conv2d(x, p["k"]), 2, p["scale"].repeat_interleave(2), p["shift"].repeat_interleave(2)).relu().mean((2, 3)) @ p["w"] + p["b"]


network("groups18", 18, (2, 5, 5), 4, dict(k=r.normal(size=(4, 2, 2, 2)).astype("f4"), scale=f32(1, .5), shift=f32(.1, -.1), **head(4, 4)), groups, """
Conv conv: x k -> c0
GroupNormalization gn: c0 scale shift -> c | num_groups=2
Relu relu: c -> d
GlobalAveragePool gap: d -> e
Flatten fl: e -> f
Gemm g: f w b -> y""")
