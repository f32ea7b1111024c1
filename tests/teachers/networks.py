"""The networks of the field, with random weights, as PyTorch modules; and what exports them (see teachers.py).

    /usr/bin/python3 networks.py FOLDER NAME...      # writes FOLDER/NAME.onnx of each
"""
import inspect, sys
import torch, torch.nn as nn, torchvision
import torchvision.models.swin_transformer as swin
from torchvision import models


class ConvNet(nn.Module):
    """What dataset distillation is measured with: `depth` of conv - norm - relu - average pool, then a dense layer."""

    def __init__(self, depth, size, classes, norm, width=128):
        super().__init__()
        norms = {"instance": lambda: nn.GroupNorm(width, width), "group": lambda: nn.GroupNorm(4, width), "batch": lambda: nn.BatchNorm2d(width),
                 "true_instance": lambda: nn.InstanceNorm2d(width, affine=True), "none": nn.Identity}
        layers = []
        for i in range(depth):
            layers += [nn.Conv2d(width if i else 3, width, 3, padding=1), norms[norm](), nn.ReLU(), nn.AvgPool2d(2)]
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(width * (size >> depth) ** 2, classes)

    def forward(self, x):
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))


def patch_swin():
    """torch 1.13 cannot export assignments to slices: the zeroed key bias of Swin V2 becomes a concatenation."""
    source = inspect.getsource(swin.shifted_window_attention)
    zeroed = "qkv_bias[length : 2 * length].zero_()"
    if zeroed not in source: return  # done before, or a torchvision that does otherwise
    joined = "qkv_bias = torch.cat([qkv_bias[:length], torch.zeros_like(qkv_bias[length : 2 * length]), qkv_bias[2 * length :]])"
    exec(compile(source.replace(zeroed, joined).replace("torch.fx.wrap", "#"), swin.__file__, "exec"), swin.__dict__)


def small_vit():
    return models.VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10)


def small_swin(v2=True):
    block, merge = (swin.SwinTransformerBlockV2, swin.PatchMergingV2) if v2 else (swin.SwinTransformerBlock, swin.PatchMerging)
    return swin.SwinTransformer(patch_size=[4, 4], embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=10,
                                block=block, downsample_layer=merge)


def small_densenet():
    return models.DenseNet(growth_rate=8, block_config=(2, 3, 2), num_init_features=16, num_classes=10)


OPSET = {"vit_b_16": 16, "swin_v2_t": 16, "swin_t": 16, "small_vit": 16, "small_swin": 16, "small_swin1": 16}
SMALL = {  # name: how it is made, the size of its images
    "convnet3": (lambda: ConvNet(3, 32, 10, "instance"), 32), "convnet3_group": (lambda: ConvNet(3, 32, 10, "group"), 32),
    "convnet3_batch": (lambda: ConvNet(3, 32, 10, "batch"), 32), "convnet3_in": (lambda: ConvNet(3, 32, 10, "true_instance"), 32),
    "convnet4": (lambda: ConvNet(4, 64, 200, "instance"), 64), "convnet4_none": (lambda: ConvNet(4, 64, 200, "none"), 64),
    "resnet18_64": (lambda: models.resnet18(num_classes=10), 64), "mobilenet_64": (lambda: models.mobilenet_v2(num_classes=10), 64),
    "efficientnet_64": (lambda: models.efficientnet_b0(num_classes=10), 64), "small_densenet": (small_densenet, 64),
    "small_vit": (small_vit, 32), "small_swin": (small_swin, 32), "small_swin1": (lambda: small_swin(False), 32),
}


def make(name):
    """A network in inference mode, and the size of its images."""
    torch.manual_seed(0)
    patch_swin()
    net, size = (SMALL[name][0](), SMALL[name][1]) if name in SMALL else (getattr(models, name)(), 224)
    for m in net.modules():  # statistics and parameters that show it when they are used wrongly
        if isinstance(m, nn.BatchNorm2d): m.running_mean.normal_(0, .1); m.running_var.uniform_(.5, 2)
        if isinstance(m, (nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm)) and m.weight is not None:
            nn.init.uniform_(m.weight, .5, 1.5); nn.init.normal_(m.bias, 0, .1)
    for p in net.parameters():  # the exporter keeps what is equal, as biases of zeros are, once
        if float((p.detach() - p.detach().flatten()[0]).abs().max()) == 0: nn.init.normal_(p, 0, .02)
    return net.eval(), size


def export(net, size, path, opset=13, dynamic=True, x=None, **more):
    axes = {"dynamic_axes": {"input": {0: "N"}, "logits": {0: "N"}}} if dynamic else {}
    x = torch.randn(1, 3, size, size) if x is None else x
    options = {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE, **axes, **more}
    torch.onnx.export(net, x, path, opset_version=opset, input_names=["input"], output_names=["logits"], **options)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        net, size = make(name)
        export(net, size, f"{sys.argv[1]}/{name}.onnx", OPSET.get(name, 13))
