#!/usr/bin/python3
"""Narrow networks in which the last layer over the picture is no convolution (zoo/*.onnx), and what PyTorch says of them (zoo/*.json), in
the form of zoo.py. Swin, Swin-V2, MaxViT and EfficientNet-V2 are torchvision's; DINOv2 (registers), ConvNeXt-V2 and a network with an LSTM
over the rows of its map are written here. Needs what zoo.py needs."""
import functools
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
    for name, net, x, opset, last in jobs():
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
