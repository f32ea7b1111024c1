"""Makes the networks of this folder, and what PyTorch's training makes of one batch and of a few updates, in float64
(Debian: python3-torch, python3-onnx).

    /usr/bin/python3 make_steps.py        # in this folder

Each NAME.onnx comes with NAME_x.npy, pixels / 255 [N,C,H,W], NAME_target.npy, soft labels [N,K], and of the mean over the
batch of -sum(target log_softmax(logits / T)), batch norm in training mode,
    NAME_names.txt      parameters, then running statistics, in the order of
    NAME_step.npy       the loss, every parameter's gradient and the running statistics after the step, flat
MEAN, STD and T stand in tests/unit/test_train_step.c too. Of each optimizer in UPDATES,
    update_NAME.npy     [5 + 5, 128]: gradients of 5 steps, and the parameters after each; the first 64 decay, the others not
and update_start.npy, the parameters that all begin with.
"""
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F

MEAN, STD, T, ROWS, CLASSES = [0.4, 0.5, 0.6], [0.5, 0.25, 0.4], 2.0, 5, 4


class Res(nn.Module):
    """Residual blocks as ResNet has them: strides, projections, a pool of overlapping windows."""
    def __init__(self):
        super().__init__()
        self.stem, self.n0 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.a, self.n1, self.b, self.n2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.c, self.n3, self.d, self.n4 = nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.Conv2d(12, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12)
        self.skip, self.n5, self.head = nn.Conv2d(8, 12, 1, 2, bias=False), nn.BatchNorm2d(12), nn.Linear(12, CLASSES)
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.n0(self.stem(x))), 3, 2, 1)
        x = F.relu(x + self.n2(self.b(F.relu(self.n1(self.a(x))))))
        x = F.relu(self.n5(self.skip(x)) + self.n4(self.d(F.relu(self.n3(self.c(x))))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Inverted(nn.Module):
    """MobileNet's block: 1 x 1, depthwise with a stride, 1 x 1; ReLU6."""
    def __init__(self):
        super().__init__()
        self.up, self.n0 = nn.Conv2d(3, 12, 1, bias=False), nn.BatchNorm2d(12)
        self.deep, self.n1 = nn.Conv2d(12, 12, 3, 2, 1, groups=12, bias=False), nn.BatchNorm2d(12)
        self.down, self.n2, self.head = nn.Conv2d(12, 8, 1, bias=False), nn.BatchNorm2d(8, momentum=0.3), nn.Linear(8, CLASSES)
    def forward(self, x):
        x = self.n2(self.down(F.relu6(self.n1(self.deep(F.relu6(self.n0(self.up(x))))))))
        return self.head(x.mean((2, 3)))


def block(c, o, norm, pool): return [nn.Conv2d(c, o, 3, padding=1), norm(o), nn.ReLU(), pool(2)]


def instance(o): return nn.InstanceNorm2d(o, affine=True)


NETS = {
    "convnet": (lambda: nn.Sequential(*block(3, 16, nn.BatchNorm2d, nn.AvgPool2d), *block(16, 8, nn.BatchNorm2d, nn.AvgPool2d), nn.Flatten(), nn.Linear(8 * 9, CLASSES)), 12),
    "instances": (lambda: nn.Sequential(*block(3, 8, instance, nn.AvgPool2d), *block(8, 8, instance, nn.MaxPool2d), nn.Flatten(), nn.Linear(8 * 4, CLASSES)), 8),
    "mlp": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, CLASSES)), 6),
    "residual": (Res, 16),
    "inverted": (Inverted, 9),
}
UPDATES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.999), eps=1e-8),
}


def shake(net):
    """Norms that are not as at first, so that every part shows, and no two stored tensors equal."""
    for m in net.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)): m.running_mean.normal_(0, .3); m.running_var.uniform_(.5, 2)
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)): nn.init.uniform_(m.weight, .5, 1.5); nn.init.normal_(m.bias, 0, .3)
    return net


def make_net(name, make, side):
    net, x = shake(make()).eval(), torch.rand(ROWS, 3, side, side)
    target = torch.softmax(2 * torch.randn(ROWS, CLASSES), 1)
    torch.onnx.export(net, x[:1], f"{name}.onnx", input_names=["input"], output_names=["logits"], opset_version=13, do_constant_folding=False,
                      training=torch.onnx.TrainingMode.PRESERVE, dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}})
    net = net.double().train()
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
    loss = -(target.double() * torch.log_softmax(net((x.double() - mean) / std) / T, 1)).sum(1).mean()
    loss.backward()
    params = dict(net.named_parameters())
    stats = {k: v for k, v in net.named_buffers() if "running" in k}
    open(f"{name}_names.txt", "w").write("".join(k + "\n" for k in [*params, *stats]))
    step = torch.cat([loss.detach()[None], *(p.grad.flatten() for p in params.values()), *stats.values()])
    for k, v in ("x", x), ("target", target), ("step", step): np.save(f"{name}_{k}.npy", v.detach().numpy().astype(np.float32))


def make_update(name, optimizer, start):
    p = [nn.Parameter(start[:64].double()), nn.Parameter(start[64:].double())]
    o, rows, after = optimizer([{"params": p[:1], "weight_decay": 0.05}, {"params": p[1:], "weight_decay": 0.0}]), [], []
    for _ in range(5):
        g = torch.randn(128)
        p[0].grad, p[1].grad = g[:64].double(), g[64:].double()
        o.step()
        rows.append(g); after.append(torch.cat([v.detach() for v in p]).clone())
    np.save(f"update_{name}.npy", torch.stack([*rows, *after]).numpy().astype(np.float32))


torch.manual_seed(7)
for name, (make, side) in NETS.items(): make_net(name, make, side)
start = torch.randn(128)
np.save("update_start.npy", start.numpy())
for name, optimizer in UPDATES.items(): make_update(name, optimizer, start)
# As PyTorch begins: the exporter joins the tensors that are all ones or all zeros.
torch.onnx.export(nn.Sequential(*block(3, 4, nn.BatchNorm2d, nn.AvgPool2d), *block(4, 4, nn.BatchNorm2d, nn.AvgPool2d), nn.Flatten(), nn.Linear(16, CLASSES)).eval(),
                  torch.randn(1, 3, 8, 8), "untrained.onnx", input_names=["input"], output_names=["logits"], opset_version=13, do_constant_folding=False,
                  training=torch.onnx.TrainingMode.PRESERVE, dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}})
