"""PyTorch's speed in training (Debian: python3-torch), eager, in its usual layout.

    python3 torch_train.py convnet|resnet20 BATCH THREADS SECONDS [ask]

ask: labels are a ResNet-20's of each batch, at temperature 20. Prints steps a second, the
median of those that fit into SECONDS, once warm. Batches are there already: no reading, no
augmentation.
"""
import json, statistics, sys, time
import torch
import torch.nn as nn
import torch.nn.functional as F


def convnet(width=128, classes=10):
    layers, c = [], 3
    for _ in range(3):
        layers += [nn.Conv2d(c, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.AvgPool2d(2)]
        c = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * 16, classes))


class Block(nn.Module):
    def __init__(self, c, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        project = stride > 1 or c != out
        self.down = nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=False), nn.BatchNorm2d(out)) if project else None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + (self.down(x) if self.down else x), inplace=True)


def resnet20(classes=10):
    layers, c = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)], 16
    for out, stride in ((16, 1), (32, 2), (64, 2)):
        for i in range(3):
            layers.append(Block(c, out, stride if i == 0 else 1))
            c = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def main():
    name, batch, threads, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    ask = sys.argv[5:] == ["ask"]
    torch.set_num_threads(threads)
    net = {"convnet": convnet, "resnet20": resnet20}[name]().train()
    teacher = resnet20().eval()
    optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9)
    x, classes = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))

    def step():
        if ask:
            with torch.no_grad(): soft = F.softmax(teacher(x) / 20, 1)
            loss = F.kl_div(F.log_softmax(net(x) / 20, 1), soft, reduction="batchmean")
        else:
            loss = F.cross_entropy(net(x), classes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    for _ in range(3): step()
    each, began = [], time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        step()
        each.append(time.perf_counter() - start)
    print(json.dumps({"peer": "pytorch " + torch.__version__, "steps_per_s": 1 / statistics.median(each)}))


if __name__ == "__main__":
    main()
