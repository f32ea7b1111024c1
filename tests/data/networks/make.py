#!/usr/bin/python3
"""Writes networks.txt: PyTorch's parameters, statistics and logits of the networks that ddg
builds itself (frontend/networks), which tests/unit/test_networks.c reads.

    /usr/bin/python3 make.py

torchvision's own networks where it has them; the others as their papers' code has them. Weights
are numbers that a formula gives (see `fill`), so that no file of weights is needed.
"""
import math
import torch
import torch.nn as nn
import torchvision.models as tv


class MLP(nn.Module):
    def __init__(self, size, classes, hidden):
        super().__init__()
        widths = [3 * size * size] + hidden + [classes]
        for i in range(len(widths) - 1):
            setattr(self, f"fc_{i + 1}", nn.Linear(widths[i], widths[i + 1]))
        self.n = len(widths) - 1

    def forward(self, x):
        x = x.flatten(1)
        for i in range(1, self.n):
            x = torch.relu(getattr(self, f"fc_{i}")(x))
        return getattr(self, f"fc_{self.n}")(x)


class LeNet(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2, 2))
        side = ((size - 4) // 2 - 4) // 2
        self.fc_1 = nn.Linear(16 * side * side, 120)
        self.fc_2 = nn.Linear(120, 84)
        self.fc_3 = nn.Linear(84, classes)

    def forward(self, x):
        x = self.features(x).flatten(1)
        return self.fc_3(torch.relu(self.fc_2(torch.relu(self.fc_1(x)))))


class ConvNet(nn.Module):
    def __init__(self, size, classes, depth, width, norm):
        super().__init__()
        layers, channels, side = [], 3, size
        for _ in range(depth):
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(width))
            elif norm == "instance":
                layers.append(nn.GroupNorm(width, width))
            elif norm == "group":
                layers.append(nn.GroupNorm(4, width))
            elif norm == "layer":
                layers.append(nn.LayerNorm([width, side, side]))
            layers += [nn.ReLU(), nn.AvgPool2d(2, 2)]
            channels, side = width, side // 2
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * side * side, classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def shallow_stem(net, width):
    net.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return net


class CifarResNet(nn.Module):
    """torchvision's blocks in three stages of 16, 32, 64 channels."""

    def __init__(self, n, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        channels = 16
        for s, width in enumerate([16, 32, 64]):
            blocks = []
            for i in range(n):
                stride = 2 if s and not i else 1
                down = None
                if stride != 1 or channels != width:
                    down = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False),
                                         nn.BatchNorm2d(width))
                blocks.append(tv.resnet.BasicBlock(channels, width, stride, down))
                channels = width
            setattr(self, f"layer{s + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class SmallVGG(nn.Module):
    def __init__(self, classes, bn):
        super().__init__()
        self.features = (tv.vgg11_bn if bn else tv.vgg11)(weights=None).features
        self.classifier = nn.Linear(512, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class SmallMobileNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        net = tv.mobilenet_v2(weights=None, num_classes=classes)
        net.features[0][0].stride = (1, 1)
        net.features[2].conv[1][0].stride = (1, 1)
        self.features, self.classifier = net.features, net.classifier

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def noise(n, seed):
    v = torch.sin(torch.arange(n, dtype=torch.float64) * 12.9898 + seed * 78.233) * 43758.5453
    return 2 * (v - v.floor()) - 1


def fill(net):
    """Numbers between -1 and 1, scaled so that activations stay as large as they are."""
    for name, t in net.state_dict().items():
        if t.dim() == 0:
            continue
        n = t.numel()
        wave = noise(n, len(name))
        if name.endswith("running_var"):
            v = 1 + 0.5 * wave
        elif t.dim() == 1 or "weight" not in name or t.dim() == 3:
            v = (1 if name.endswith("weight") else 0) + 0.1 * wave
        else:
            v = math.sqrt(6 / (n / t.shape[0])) * wave
        t.copy_(v.reshape(t.shape).float())


def image(size):
    return noise(3 * size * size, 0).reshape(1, 3, size, size).float()


NETWORKS = [  # name, what is built, image size
    ("mlp", MLP(16, 7, [64, 32]), 16),
    ("lenet", LeNet(32, 10), 32),
    ("convnet_batch", ConvNet(32, 10, 3, 32, "batch"), 32),
    ("convnet_instance", ConvNet(32, 10, 3, 32, "instance"), 32),
    ("convnet_group", ConvNet(32, 10, 2, 16, "group"), 32),
    ("convnet_layer", ConvNet(32, 10, 2, 16, "layer"), 32),
    ("convnet_none", ConvNet(20, 10, 4, 16, "none"), 20),
    ("resnet20", CifarResNet(3, 10), 32),
    ("resnet18_cifar", shallow_stem(tv.resnet18(weights=None, num_classes=10), 64), 32),
    ("resnet18", tv.resnet18(weights=None, num_classes=10), 65),
    ("resnet50", tv.resnet50(weights=None, num_classes=10), 65),
    ("vgg11_small", SmallVGG(10, False), 32),
    ("vgg11_bn_small", SmallVGG(10, True), 40),
    ("mobilenet_v2_small", SmallMobileNet(10), 32),
    ("mobilenet_v2", tv.mobilenet_v2(weights=None, num_classes=10), 72),
]


def main():
    torch.manual_seed(0)
    with open("networks.txt", "w") as out, torch.no_grad():
        for name, net, size in NETWORKS:
            net.eval()
            fill(net)
            print(f"network {name}", file=out)
            for key, t in net.state_dict().items():
                if t.dim():
                    print(key, *t.shape, file=out)
            logits = net.double()(image(size).double())[0]
            print("logits", *(f"{v:.9g}" for v in logits), file=out)


if __name__ == "__main__":
    main()
