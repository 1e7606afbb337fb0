#!/usr/bin/python3
"""Narrow networks in which the last layer over the picture is no convolution (zoo/*.onnx), and what PyTorch says of them (zoo/*.json), in
the form of zoo.py, or one that only weighs or joins others. Swin, Swin-V2, MaxViT and EfficientNet-V2 are torchvision's; DINOv2 (registers),
ConvNeXt-V2, a network with an LSTM over the rows of its map and those that end in gates and branches are written here. Needs what zoo.py needs."""
import functools
import itertools
import json
import os
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models as tv
from torchvision.models import efficientnet, maxvit, swin_transformer

import methods
import zoo
from reference import picture

CLASSES = zoo.CLASSES


class DINOv2(nn.Module):
    """Class token and four registers before the patches; the class token is read, or with mean the patches."""

    def __init__(self, dim=24, registers=4, mean=False):
        super().__init__()
        self.prefix, self.mean = 1 + registers, mean
        self.patch = nn.Conv2d(3, dim, 8, 8)
        self.token, self.registers = nn.Parameter(torch.randn(1, 1, dim) * 0.1), nn.Parameter(torch.randn(1, registers, dim) * 0.1)
        self.place = nn.Parameter(torch.randn(1, 64, dim) * 0.1)
        self.blocks = nn.Sequential(zoo.Block(dim, 2), zoo.Block(dim, 2))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2) + self.place
        n = x.shape[0]
        x = torch.cat([self.token.expand(n, -1, -1), self.registers.expand(n, -1, -1), x], 1)
        x = self.norm(self.blocks(x))
        return self.head(x[:, self.prefix:].mean(1) if self.mean else x[:, 0])


class GRN(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.rand(1, 1, 1, dim)), nn.Parameter(torch.randn(1, 1, 1, dim) * 0.1)

    def forward(self, x):
        g = x.norm(p=2, dim=(1, 2), keepdim=True)
        return self.gamma * (x * (g / (g.mean(-1, keepdim=True) + 1e-6))) + self.beta + x


class BlockV2(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.deep, self.norm = nn.Conv2d(dim, dim, 7, padding=3, groups=dim), nn.LayerNorm(dim)
        self.up, self.grn, self.down = nn.Linear(dim, 4 * dim), GRN(4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        y = self.norm(self.deep(x).permute(0, 2, 3, 1))
        return x + self.down(self.grn(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class ConvNeXtV2(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.one = nn.Conv2d(3, 8, 4, 4), BlockV2(8)
        self.shrink, self.two = nn.Conv2d(8, 16, 2, 2), BlockV2(16)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.head(self.norm(self.two(self.shrink(self.one(self.stem(x)))).mean((2, 3))))


class Rows(nn.Module):
    """An LSTM or GRU, both ways, over the rows of a feature map."""

    def __init__(self, kind):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.rows, self.head = kind(64, 10, batch_first=True, bidirectional=True), nn.Linear(20, CLASSES)

    def forward(self, x):
        rows, _ = self.rows(self.net(x).permute(0, 2, 1, 3).flatten(2))
        return self.head(rows[:, -1])


class Conv(nn.Sequential):
    def __init__(self, cin, cout, size=3, stride=1, **k):
        super().__init__(nn.Conv2d(cin, cout, size, stride, size // 2, bias=False, **k), nn.BatchNorm2d(cout), nn.ReLU())


class Ending(nn.Module):
    """A network by what its last block is; at is the layer that a specialist takes."""

    def __init__(self, block, dim=16):
        super().__init__()
        self.stem, self.block, self.at, self.head = nn.Sequential(Conv(3, 8, 3, 2), Conv(8, 16, 3, 2)), block, nn.Identity(), nn.Linear(dim, CLASSES)

    def forward(self, x):
        return self.head(self.at(self.block(self.stem(x))).mean((2, 3)))


class Excited(nn.Module):
    """A squeeze and excitation before the residual sum that ends the block (SE-ResNet)."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.down, self.up = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.Linear(16, 4), nn.Linear(4, 16)

    def forward(self, x):
        y = self.norm(self.conv(x))
        return F.relu(x + y * torch.sigmoid(self.up(F.relu(self.down(y.mean((2, 3))))))[:, :, None, None])


class Coordinates(nn.Module):
    """Gates for each row and each column (Hou et al. 2021)."""

    def __init__(self):
        super().__init__()
        self.conv, self.both, self.rows, self.columns = Conv(16, 16), Conv(16, 8, 1), nn.Conv2d(8, 16, 1), nn.Conv2d(8, 16, 1)

    def forward(self, x):
        x = self.conv(x)
        rows, columns = self.both(torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2)).split([16, 16], 2)
        return x * torch.sigmoid(self.rows(rows)) * torch.sigmoid(self.columns(columns.transpose(2, 3)))


class Involution(nn.Module):
    """The last convolution makes the kernels for each place (Li et al. 2021)."""

    def __init__(self):
        super().__init__()
        self.reduce, self.span, self.norm = Conv(16, 4, 1), nn.Conv2d(4, 9 * 4, 1), nn.BatchNorm2d(16)

    def forward(self, x):
        kernels = self.span(self.reduce(x)).reshape(-1, 4, 1, 9, 16, 16)
        return F.relu(x + self.norm((kernels * F.unfold(x, 3, padding=1).reshape(-1, 4, 4, 9, 16, 16)).sum(3).reshape(-1, 16, 16, 16)))


class Resolutions(nn.Module):
    """Three resolutions side by side (HRNet)."""

    def __init__(self):
        super().__init__()
        self.middle, self.low = Conv(16, 16, 3, 2), Conv(16, 8, 3, 2)

    def forward(self, x):
        a = self.middle(x)
        return torch.cat([x, *[F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False) for y in (a, self.low(a))]], 1)


class Standardised(nn.Conv2d):
    """Weights standardised at every run, as timm has them (BiT, NFNet), and a norm over groups."""

    def forward(self, x):
        w = F.batch_norm(self.weight.reshape(1, 16, -1), None, None, torch.full((16,), 0.5, dtype=x.dtype), training=True, momentum=0.0, eps=1e-6)
        return F.relu(F.group_norm(F.conv2d(x, w.reshape_as(self.weight), self.bias, padding=1), 4))


class Weighed(nn.Module):
    """The last convolution says what counts of each place, in parts of all of it (PCAM)."""

    def __init__(self):
        super().__init__()
        self.stem, self.at, self.last, self.heads = nn.Sequential(Conv(3, 8, 3, 2), Conv(8, 16, 3, 2)), nn.Identity(), nn.Conv2d(16, CLASSES, 1), nn.Parameter(torch.randn(CLASSES, 16))

    def forward(self, x):
        x = self.at(self.stem(x))
        p = torch.sigmoid(self.last(x)).flatten(2)
        return ((p / p.sum(2, keepdim=True)) @ x.flatten(2).transpose(1, 2) * self.heads).sum(2)


class Even(nn.Module):
    """Nothing, but that gradients pass it in the order of their axes: PyTorch 1.13 has the gradient of a strided convolution wrong without."""

    def forward(self, x):
        if x.requires_grad:
            x.register_hook(lambda g: g.contiguous())
        return x


class AttentionPool(nn.Module):
    """Tokens before the batch: their mean asks all of them (CLIP's ResNets)."""

    def __init__(self):
        super().__init__()
        self.stem, self.at = nn.Sequential(Conv(3, 8, 3, 2), Conv(8, 16, 3, 2)), Even()
        self.place, self.attention, self.head = nn.Parameter(torch.randn(257, 1, 16) * 0.2), nn.MultiheadAttention(16, 2), nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.at(self.stem(x)).flatten(2).permute(2, 0, 1)
        x = torch.cat([x.mean(0, keepdim=True), x]) + self.place
        return self.head(self.attention(x[:1], x, x, need_weights=False)[0][0])


def endings():
    for name, block, dim, opset in [("excited", Excited(), 16, 11), ("coordinates", Coordinates(), 16, 14), ("involution", Involution(), 16, 13),
                                    ("resolutions", Resolutions(), 40, 11), ("standardised", Standardised(16, 16, 3), 16, 13)]:
        net = Ending(block, dim)
        yield name, net, picture(1, 3, 64, 64), opset, net.at
    for name, net, opset in [("weighed", Weighed(), 12), ("attentionpool", AttentionPool(), 14)]:
        yield name, net, picture(1, 3, 64, 64), opset, net.at


def jobs():
    plain = functools.partial(nn.LayerNorm, eps=1e-5)
    swin = tv.SwinTransformer([4, 4], 12, [2, 2], [2, 4], [5, 5], stochastic_depth_prob=0.0, num_classes=CLASSES)
    yield "swin", swin, picture(1, 3, 64, 64), 17, swin.permute
    swin2 = tv.SwinTransformer([4, 4], 12, [2, 2], [2, 4], [4, 4], stochastic_depth_prob=0.0, num_classes=CLASSES, norm_layer=plain,
                               block=swin_transformer.SwinTransformerBlockV2, downsample_layer=swin_transformer.PatchMergingV2)
    yield "swinv2", swin2, picture(1, 3, 64, 64), 17, swin2.permute
    most = tv.MaxVit((32, 32), 8, 4, [8, 16], [1, 1], 8, 0.0, num_classes=CLASSES)
    yield "maxvit", most, picture(1, 3, 32, 32), 17, most.blocks[-1]
    c, f = efficientnet.MBConvConfig, efficientnet.FusedMBConvConfig
    rows = [f(1, 3, 1, 8, 8, 1), f(4, 3, 2, 8, 16, 1), c(4, 3, 2, 16, 24, 2)]
    yield "efficientnetv2", tv.efficientnet._efficientnet(rows, 0.0, 24, None, False, num_classes=CLASSES), picture(1, 3, 64, 64), 17, None
    yield "dinov2", DINOv2(), picture(1, 3, 64, 64), 17, None
    mean = DINOv2(mean=True)
    yield "dinov2_mean", mean, picture(1, 3, 64, 64), 16, None
    next_ = ConvNeXtV2()
    yield "convnextv2", next_, picture(1, 3, 64, 64), 17, next_.two
    lstm, gru = Rows(nn.LSTM), Rows(nn.GRU)
    yield "lstm", lstm, picture(1, 3, 64, 64), 14, lstm.net[3]
    yield "gru", gru, picture(1, 3, 64, 64), 17, gru.net[3]


def tokens(net, x, v):
    """Maps at the tokens that "last" means: before the last attention, or after all blocks where patches are read there."""
    c = v["maps"][0]["class"]
    seed = torch.zeros(1, CLASSES, dtype=torch.float64)
    seed[0, c] = 1
    a, g = methods.at_layer(net, x, seed, net.norm if net.mean else net.blocks[-1].norm1)
    grid = lambda t: t[:, net.prefix:].transpose(1, 2).reshape(1, -1, 8, 8)
    v["maps"] += [zoo.vector(m, "last", c, methods.cam(m, grid(a), grid(g))) for m in ["gradcam", "hirescam", "layercam"]]


def main():
    torch.manual_seed(23)
    for name, net, x, opset, last in itertools.chain(jobs(), endings()):
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        for m in net.modules():
            if isinstance(m, nn.LayerNorm):
                nn.init.uniform_(m.weight, 0.6, 1.4)
                nn.init.normal_(m.bias, 0, 0.2)
        net = zoo.small(net).double().eval()
        if name == "swinv2":  # clears the bias of its keys anew at every run, which has no ONNX: once is enough
            for m in net.modules():
                if hasattr(m, "qkv"):
                    m.qkv.bias.data[len(m.qkv.bias) // 3:2 * len(m.qkv.bias) // 3] = 0
            torch.Tensor.zero_ = lambda self: self
        path = os.path.join(zoo.HERE, "%s_%d.onnx" % (name, opset))
        zoo.export(net, path, x, opset)
        v = zoo.vectors(net, net, x, last, False)
        if isinstance(net, DINOv2):
            tokens(net, x, v)
        with open(os.path.join(zoo.HERE, name + ".json"), "w") as f:
            json.dump(zoo.rounded(v), f, separators=(",", ":"))
            f.write("\n")
        print(name, opset, os.path.getsize(path) // 1024, "KB")


if __name__ == "__main__":
    main()
