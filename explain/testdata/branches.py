#!/usr/bin/python3
"""Narrow networks in which the last layer is one of several (mirror images, ensembles, heads), or lies before what weighs or pools its places
(NetVLAD, class attention, attention pooling, a scan), and what PyTorch says of them, in the form of zoo.py. Needs what zoo.py needs."""
import json
import os
import sys

import numpy as np
import onnx
import onnx.numpy_helper as nh
import torch
import torch.nn as nn
import torch.nn.functional as F
from onnx import helper

import methods
import zoo
from reference import picture
from transformers import Conv, Even

CLASSES = zoo.CLASSES


def stem():
    return nn.Sequential(Conv(3, 8, 3, 2), Conv(8, 16, 3, 2))


def tokens(side, skip=0):
    return lambda t: t[:, skip:].transpose(1, 2).reshape(t.shape[0], -1, side, side)


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.at, self.head = stem(), Even(), nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.head(self.at(self.stem(x)).mean((2, 3)))


class Mirror(CNN):
    """The mean probability of the picture and its mirror image."""

    def forward(self, x):
        return (super().forward(x).softmax(1) + super().forward(x.flip(3)).softmax(1)) / 2

    def marks(self):
        return [(self.at, [lambda t: t, lambda t: t.flip(3)])]


class Stacked(CNN):
    """The same in one batch."""

    def forward(self, x):
        return super().forward(torch.stack([x, x.flip(3)], 1).flatten(0, 1)).reshape(-1, 2, CLASSES).mean(1)

    def marks(self):
        return [(self.at, [lambda t: t[:1], lambda t: t[1:].flip(3)])]


class Ensemble(nn.Module):
    """A transformer and a convolutional network, of other grids."""

    def __init__(self):
        super().__init__()
        self.vit, self.cnn = zoo.ViT(8), CNN()

    def forward(self, x):
        return self.vit(x) + self.cnn(x)

    def marks(self):
        return [(self.vit.blocks[2].norm1, [tokens(4, 1)]), (self.cnn.at, [lambda t: t])]


class Heads(nn.Module):
    """Two branches behind one stem, pooled apart."""

    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b, self.x, self.y, self.head = stem(), Conv(16, 16), Conv(16, 8, 5), Even(), Even(), nn.Linear(24, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.cat([self.x(self.a(x)).mean((2, 3)), self.y(self.b(x)).amax((2, 3))], 1))

    def marks(self):
        return [(self.x, [lambda t: t]), (self.y, [lambda t: t])]


class NetVLAD(nn.Module):
    """Descriptors added up by the words that they are near to (Arandjelović et al. 2016)."""

    def __init__(self, words=4):
        super().__init__()
        self.stem, self.at, self.assign = stem(), Even(), nn.Conv2d(16, words, 1)
        self.words, self.head = nn.Parameter(torch.randn(words, 16) * 0.3), nn.Linear(16 * words, CLASSES)

    def forward(self, x):
        x = self.at(self.stem(x))
        a = self.assign(x).flatten(2).softmax(1)
        v = F.normalize(a @ x.flatten(2).transpose(1, 2) - a.sum(2, keepdim=True) * self.words, dim=2)
        return self.head(F.normalize(v.flatten(1), dim=1))

    def marks(self):
        return [(self.at, [lambda t: t])]


class CrossCovariance(nn.Module):
    """A block of XCiT: attention over channels, two convolutions over the tokens, dense layers (El-Nouby et al. 2021)."""

    def __init__(self, dim):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out, self.local = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim), nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, 2, d // 2).permute(2, 0, 3, 4, 1)
        a = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)).softmax(-1)
        x = x + self.out((a @ v).permute(0, 3, 1, 2).reshape(n, t, d))
        x = x + F.gelu(self.local(self.norm3(x).transpose(1, 2).reshape(n, d, 8, 8))).flatten(2).transpose(1, 2)
        return x + self.mlp(self.norm2(x))


class ClassAttention(nn.Module):
    """The class token alone asks, and the patches go on as they are normalised."""

    def __init__(self, dim):
        super().__init__()
        self.norm1, self.norm2, self.qkv, self.out = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        y = self.norm1(x)
        q, k, v = self.qkv(y).chunk(3, -1)
        c = self.out((q[:, :1] @ k.transpose(1, 2) * x.shape[-1] ** -0.5).softmax(-1) @ v)
        x = x + torch.cat([c, y[:, 1:]], 1)
        return torch.cat([x[:, :1] + self.mlp(self.norm2(x[:, :1])), x[:, 1:]], 1)


class Patches(nn.Module):
    def __init__(self, dim, size):
        super().__init__()
        self.conv, self.even, self.place = nn.Conv2d(3, dim, size, size), Even(), nn.Parameter(torch.randn(1, (64 // size) ** 2, dim) * 0.1)

    def forward(self, x):
        return self.even(self.conv(x)).flatten(2).transpose(1, 2) + self.place


class XCiT(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.patches, self.block, self.at, self.token = Patches(dim, 8), CrossCovariance(dim), nn.Identity(), nn.Parameter(torch.randn(1, 1, dim))
        self.classes, self.norm, self.head = nn.Sequential(ClassAttention(dim), ClassAttention(dim)), nn.LayerNorm(dim), nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.at(self.block(self.patches(x)))
        x = self.classes(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1))
        return self.head(self.norm(x)[:, 0])

    def marks(self):
        return [(self.at, [tokens(8)])]


class Pooled(nn.Module):
    """A learnt question asks all tokens, registers too (SigLIP's head)."""

    def __init__(self, dim=8, registers=2):
        super().__init__()
        self.patches, self.registers, self.prefix = Patches(dim, 8), nn.Parameter(torch.randn(1, registers, dim)), registers
        self.block, self.norm, self.probe = zoo.Block(dim, 2), nn.LayerNorm(dim), nn.Parameter(torch.randn(1, 1, dim))
        self.q, self.kv, self.out, self.after = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim), nn.LayerNorm(dim)
        self.mlp, self.head = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)), nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.patches(x)
        n, d = x.shape[0], x.shape[2]
        x = self.norm(self.block(torch.cat([self.registers.expand(n, -1, -1), x], 1)))
        k, v = self.kv(x).reshape(n, -1, 2, 2, d // 2).permute(2, 0, 3, 1, 4).unbind(0)
        q = self.q(self.probe).expand(n, -1, -1).reshape(n, 1, 2, d // 2).transpose(1, 2)
        y = self.out(((q @ k.transpose(-2, -1)) * (d // 2) ** -0.5).softmax(-1).matmul(v).transpose(1, 2).reshape(n, 1, d))
        return self.head((y + self.mlp(self.after(y)))[:, 0])

    def marks(self):
        return [(self.norm, [tokens(8, self.prefix)])]


class Scanned(nn.Module):
    """Tokens scanned both ways, the class token in their middle (Vision Mamba)."""

    def __init__(self, dim=6):
        super().__init__()
        self.patches, self.token, self.norm, self.into = Patches(dim, 16), nn.Parameter(torch.randn(1, 1, dim)), nn.LayerNorm(dim), nn.Linear(dim, 2 * dim)
        self.conv, self.step, self.last, self.head = nn.Conv1d(dim, dim, 3, padding=2, groups=dim), nn.Linear(dim, dim), nn.LayerNorm(dim), nn.Linear(dim, CLASSES)

    def scan(self, x):
        keep, h, all_ = torch.sigmoid(self.step(x)), torch.zeros_like(x[:, 0]), []
        for i in range(17):
            h = keep[:, i] * h + x[:, i]
            all_.append(h)
        return torch.stack(all_, 1)

    def forward(self, x):
        x = self.patches(x)
        x = torch.cat([x[:, :8], self.token.expand(x.shape[0], -1, -1), x[:, 8:]], 1)
        u, z = self.into(self.norm(x)).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., :17].transpose(1, 2))
        x = x + (self.scan(u) + self.scan(u.flip(1)).flip(1)) * F.silu(z)
        return self.head(self.last(x)[:, 8])

    def marks(self):
        return [(self.norm, [lambda t: tokens(4)(torch.cat([t[:, :8], t[:, 9:]], 1))])]


class Wrapped(nn.Module):
    """What tf2onnx writes before its optimizer: channels last, and each convolution between two transpositions."""

    def __init__(self):
        super().__init__()
        self.one, self.norm1, self.two, self.norm2 = nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.Conv2d(8, 12, 3, 2, bias=False), nn.BatchNorm2d(12)
        self.at, self.head = Even(), nn.Linear(12, CLASSES)

    def forward(self, x):
        x = (x.permute(0, 3, 1, 2) / 255 - 0.4) / 0.3
        x = F.silu(self.norm1(self.one(F.pad(x, (0, 1, 0, 1)))))
        x = self.at(F.silu(self.norm2(self.two(F.pad(x, (0, 1, 0, 1))))))
        return self.head(x.mean((2, 3)))

    def marks(self):
        return [(self.at, [lambda t: t])]

    def write(self, path, opset):
        nodes, weights = [], []

        def op(typ, inputs, **attributes):
            out = "%s_%d" % (typ, len(nodes))
            nodes.append(helper.make_node(typ, [i if isinstance(i, str) else constant(i) for i in inputs], [out], name=out, **attributes))
            return out

        def constant(v):
            v = v.detach().numpy() if isinstance(v, torch.Tensor) else np.array(v, np.float32)
            weights.append(nh.from_array(v.astype(np.float32), "const_%d" % len(weights)))
            return weights[-1].name

        def block(x, conv, norm):
            x = op("Conv", [op("Transpose", [x], perm=[0, 3, 1, 2]), conv.weight], strides=[2, 2], auto_pad="SAME_UPPER")
            by = norm.weight / (norm.running_var + norm.eps).sqrt()
            x = op("Add", [op("Mul", [op("Transpose", [x], perm=[0, 2, 3, 1]), by]), norm.bias - norm.running_mean * by])
            return op("Mul", [x, op("Sigmoid", [x])])

        x = op("Div", [op("Sub", [op("Mul", ["input", 1 / 255]), 0.4]), 0.3])
        x = block(block(x, self.one, self.norm1), self.two, self.norm2)
        x = op("Add", [op("MatMul", [op("ReduceMean", [x], axes=[1, 2], keepdims=0), self.head.weight.t()]), self.head.bias])
        nodes[-1].output[0] = "output"
        g = helper.make_graph(nodes, "wrapped", [helper.make_tensor_value_info("input", 1, ["batch", 64, 64, 3])],
                              [helper.make_tensor_value_info("output", 1, ["batch", CLASSES])], weights)
        m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)], producer_name="endogate")
        m.ir_version = 8
        onnx.checker.check_model(m)
        onnx.save(m, path)


def jobs():
    x = picture(1, 3, 64, 64)
    for name, net, opset in [("mirror", Mirror(), 13), ("mirror_stacked", Stacked(), 14), ("ensemble", Ensemble(), 14), ("heads", Heads(), 12), ("netvlad", NetVLAD(), 13),
                             ("xcit", XCiT(), 14), ("attentionpooled", Pooled(), 16), ("scanned", Scanned(), 15)]:
        yield name, net, x, opset
    yield "wrapped", Wrapped(), x.permute(0, 2, 3, 1).contiguous(), 13


def spread(cam, side):
    """A map in smaller cells, its sum as it was."""
    by = side // cam.shape[-1]
    return cam if by == 1 else F.interpolate(cam[:, None], size=(side, side), mode="bilinear", align_corners=False)[:, 0] / by**2


def last(net, x, v):
    """Maps of the layers that "last" stands for, those of several added up."""
    kept, views = [], []
    hooks = [m.register_forward_hook(lambda m, i, o, f=f: kept.append(o) or views.append(f)) for m, f in net.marks()]
    score = net(x.clone().requires_grad_(True))[0, v["maps"][0]["class"]]
    for h in hooks:
        h.remove()
    grads = torch.autograd.grad(score, kept)
    for method in ["gradcam", "hirescam", "layercam"]:
        seen, cams = {}, []
        for a, g, f in zip(kept, grads, views):
            k = seen[id(f)] = seen.get(id(f), -1) + 1
            for one in f if len(kept) < len(f) else [f[k]]:  # views in one batch, or one run each
                cams.append(methods.cam(method, one(a.detach()), one(g)))
        side = max(c.shape[-1] for c in cams)
        v["maps"].append(zoo.vector(method, "last", v["maps"][0]["class"], sum(spread(c, side) for c in cams)))


def main():
    torch.manual_seed(24)
    for name, net, x, opset in jobs():
        for m in net.modules():
            if isinstance(m, nn.LayerNorm):
                nn.init.uniform_(m.weight, 0.6, 1.4)
                nn.init.normal_(m.bias, 0, 0.2)
        net = zoo.small(net).double().eval()
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        path = os.path.join(zoo.HERE, "%s_%d.onnx" % (name, opset))
        zoo.export(net, path, x, opset)
        v = zoo.vectors(net, net, x, None, False)
        last(net, x, v)
        with open(os.path.join(zoo.HERE, name + ".json"), "w") as f:
            json.dump(zoo.rounded(v), f, separators=(",", ":"))
            f.write("\n")
        print(name, opset, os.path.getsize(path) // 1024, "KB")


if __name__ == "__main__":
    main()
