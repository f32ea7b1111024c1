"""Networks whose batch moves: attention with the sequence first, with heads merged into the
batch, and over shifted windows. Once with a free batch and once fixed to a batch of 1.

    /usr/bin/python3 make_places.py     (Debian: python3-torch, python3-numpy)
"""
import numpy as np
import torch
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


if __name__ == "__main__":
    torch.manual_seed(0)
    net = Net().eval()
    x = torch.randn(3, 2, 8, 8)
    write("places", net, x, dynamic_axes={"x": {0: "N"}, "y": {0: "N"}})
    write("places1", net, x)
