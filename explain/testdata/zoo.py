#!/usr/bin/python3
"""Narrow networks with random weights (zoo/*.onnx) and what PyTorch says of them (zoo/*.json), for package explain.

    zoo.py          writes them with the exporter that traces, at opsets 11 to 17
    zoo.py DIR      writes them into DIR with the exporter of torch.export at opset 18: names_export_18.onnx were made so, by PyTorch 2.11

Needs Debian's python3-torch, python3-torchvision and python3-onnx. A vector is {method, layer, class, shape, max, at, values}: at are
places of the flattened map, null where all values are there. The input is reference.py's picture.
"""
import itertools
import json
import os
import sys
import warnings

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models as tv

import keras_like
import methods
from reference import not_inplace, picture, settle

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "zoo")
CLASSES = 5


def vgg(plan, norm=False):
    layers, cin = [], 3
    for c in plan:
        if c == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(cin, c, 3, padding=1)] + ([nn.BatchNorm2d(c)] if norm else []) + [nn.ReLU()]
        cin = c
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * cin, 16), nn.ReLU(), nn.Linear(16, CLASSES))


PLANS = {
    "vgg11": [4, "M", 8, "M", 8, 8, "M", 12, 12, "M", 12, 12, "M"],
    "vgg16_bn": [4, 4, "M", 8, 8, "M", 8, 8, 8, "M", 12, 12, 12, "M", 12, 12, 12, "M"],
}


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.three = nn.Conv2d(12, 12, 3, padding=1)
        self.up = nn.ConvTranspose2d(12, 12, 2, 2)
        self.join, self.last = nn.Conv2d(24, 8, 3, padding=1), nn.Conv2d(16, CLASSES, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x):
        a = F.relu(self.one(x))
        b = F.relu(self.two(F.max_pool2d(a, 2)))
        c = F.relu(self.three(F.max_pool2d(b, 2)))
        d = F.relu(self.join(torch.cat([self.up(c), b], 1)))
        e = F.interpolate(d, scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(torch.cat([e, a], 1)).mean((2, 3))


class Clip3D(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d((1, 2, 2)),
            nn.Conv3d(8, 12, 3, stride=(1, 2, 2), padding=1), nn.ReLU(), nn.AvgPool3d(2),
            nn.Conv3d(12, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(12, CLASSES))

    def forward(self, x):
        return self.net(x)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        self.matrix = ((q @ k.transpose(-2, -1)) * (d // self.heads) ** -0.5).softmax(-1)
        return self.out((self.matrix @ v).transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(dim), nn.LayerNorm(dim), Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, 16, 16)
        self.token, self.place = nn.Parameter(torch.randn(1, 1, dim) * 0.1), nn.Parameter(torch.randn(1, 17, dim) * 0.1)
        self.blocks = nn.Sequential(Block(dim, 2), Block(dim, 2), Block(dim, 2))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.norm(self.blocks(x))[:, 0])


class CNNTransformer(nn.Module):
    """Frames through one network each, a transformer over the frames (N×T×3×H×W)."""

    def __init__(self, dim=16):
        super().__init__()
        self.frames = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, dim, 3, 2, 1), nn.ReLU())
        self.token = nn.Parameter(torch.randn(1, 1, dim) * 0.1)
        self.blocks, self.norm, self.head = nn.Sequential(Block(dim, 2), Block(dim, 2)), nn.LayerNorm(dim), nn.Linear(dim, CLASSES)

    def forward(self, x):
        n, t = x.shape[:2]
        f = self.frames(x.reshape(n * t, *x.shape[2:])).mean((2, 3)).reshape(n, t, -1)
        f = torch.cat([self.token.expand(n, -1, -1), f], 1)
        return self.head(self.norm(self.blocks(f))[:, 0])


class Wrapped(nn.Module):
    def __init__(self, net, before=None, after=None):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        x = self.net(self.before(x) if self.before else x)
        return self.after(x) if self.after else x


def inner(net):
    return inner(net.net) if isinstance(net, Wrapped) else net


def vector(method, layer, c, v, whole=False):
    v = v[0] if v.shape[0] == 1 else v
    flat = v.flatten()
    at = None if flat.numel() <= 64 else np.linspace(0, flat.numel() - 1, 40).astype(int).tolist()
    values = flat if at is None else flat[at]
    return {"method": method, "layer": layer, "class": c, "max": flat.abs().max().item(),
            "at": at, "size": flat.numel(), "values": values.tolist()}


def vectors(net, logits_net, x, last, full):
    """logits_net stops before a final softmax; last is the module of the last layer, None where there is no map of it."""
    with torch.no_grad():
        logits = logits_net(x)
    c = int(logits[0].argmax())
    seed = torch.zeros_like(logits)
    seed[0, c] = 1
    out = [vector("gradient", "", c, methods.gradient(logits_net, x, seed))]
    if full:
        out += [vector("guided-backprop", "", c, methods.ruled(logits_net, x, seed, "guided")),
                vector("deconvnet", "", c, methods.ruled(logits_net, x, seed, "deconvnet"))]
    if last is not None:
        a, g = methods.at_layer(logits_net, x, seed, last)
        for m in ["gradcam", "gradcam++", "hirescam", "layercam"]:
            out.append(vector(m, "last", c, methods.cam(m, a, g)))
        if full:
            cam = methods.cam("gradcam", a, g)
            guided = methods.ruled(logits_net, x, seed, "guided")
            out += [vector("guided-gradcam", "last", c, guided * methods.stretched(cam, x)),
                    vector("layer-saliency", "last", c, methods.layer_saliency(logits_net, x, last))]
    if isinstance(net, nn.Sequential) and not any(isinstance(m, nn.BatchNorm2d) for m in net):
        for rule in ["lrp-epsilon", "lrp-gamma", "lrp-alphabeta"]:
            out.append(vector(rule, "", c, methods.lrp(list(net), x, seed, rule)))
        out.append(vector("deeplift", "", c, methods.deeplift(list(net), x, seed)))
    if isinstance(net, ViT):
        score = (net(x.clone().requires_grad_(True)) * seed).sum()
        matrices = [b.attention.matrix for b in net.blocks]
        grads = torch.autograd.grad(score, matrices)
        kept = [m.detach()[0] for m in matrices]
        out += [vector("attention-rollout", "", c, methods.rollout(kept)[None]),
                vector("gradient-attention", "", c, methods.rollout(kept, [g[0] for g in grads])[None])]
        a, g = methods.at_layer(net, x, seed, net.blocks[2].norm1)
        grid = lambda t: t[:, 1:].transpose(1, 2).reshape(1, -1, 4, 4)
        out += [vector(m, "last", c, methods.cam(m, grid(a), grid(g))) for m in ["gradcam", "hirescam", "layercam"]]
    return {"shape": list(x.shape), "logits": logits[0].tolist(), "maps": out}


def export(net, path, x, opset):
    net.float()
    if hasattr(net, "write"):
        net.write(path, opset)
        net.double()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, x.float(), path, opset_version=opset, input_names=["input"], output_names=["output"],
                          dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}})
    onnx.checker.check_model(path)
    net.double()


def export_18(net, path, x):
    """By torch.export, which takes a batch of one for a constant: hence two."""
    net.float()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    torch.onnx.export(net, (torch.cat([x, x]).float(),), path, dynamo=True, opset_version=18, input_names=["input"], output_names=["output"],
                      dynamic_shapes=(batch,), external_data=False, verbose=False)
    m = onnx.load(path)
    for o in [m, m.graph, *m.graph.node, *m.graph.value_info, *m.graph.initializer, *m.graph.input, *m.graph.output, *m.functions]:
        del o.metadata_props[:]  # traces through the exporter's own files
        o.doc_string = ""
    onnx.checker.check_model(m)
    onnx.save(m, path)
    net.double()


def halve(path, to):
    """The network with weights of float16 that are cast before they are used."""
    m = onnx.load(path)
    casts = []
    for t in m.graph.initializer:
        a = onnx.numpy_helper.to_array(t)
        if a.dtype == np.float32 and a.size > 1:
            name = t.name
            t.CopyFrom(onnx.numpy_helper.from_array(a.astype(np.float16), name + "_half"))
            casts.append(onnx.helper.make_node("Cast", [name + "_half"], [name], to=1))
    nodes = list(m.graph.node)
    del m.graph.node[:]
    m.graph.node.extend(casts + nodes)
    onnx.checker.check_model(m)
    onnx.save(m, to)


def small(net, **_):
    return not_inplace(settle(net))


def jobs():
    nhwc, soft = (lambda x: x.permute(0, 3, 1, 2)), (lambda y: y.softmax(1))
    p64, p96 = picture(1, 3, 64, 64), picture(1, 3, 96, 96)
    vgg11, vggbn = small(vgg(PLANS["vgg11"])), small(vgg(PLANS["vgg16_bn"], True))
    resnet = small(tv.resnet.ResNet(tv.resnet.BasicBlock, [2, 2, 2, 2], num_classes=CLASSES))
    narrow_resnet(resnet)
    settle(resnet)
    yield "vgg11", vgg11, p64, 11, vgg11[19], True
    yield "vgg16_bn", vggbn, p64, 14, vggbn[42], True
    yield "resnet18", resnet, p64, 15, resnet.layer4[-1], False
    dense = small(tv.DenseNet(8, (2, 3, 3, 2), 16, num_classes=CLASSES))
    yield "densenet121", dense, p64, 12, None, False
    squeeze = small(tv.squeezenet1_1(num_classes=CLASSES))
    shrink(squeeze, 8)
    yield "squeezenet", squeeze, p64, 13, None, False
    shuffle = small(tv.ShuffleNetV2([2, 3, 2], [24, 16, 32, 64, 64], num_classes=CLASSES))
    yield "shufflenetv2", shuffle, p64, 11, None, False
    reg = small(tv.regnet.RegNet(tv.regnet.BlockParams.from_init_params(4, 16, 8.0, 2.5, 8, se_ratio=0.25), num_classes=CLASSES, stem_width=8))
    yield "regnet", reg, p64, 17, None, False
    mobile3 = small(tv.mobilenetv3.MobileNetV3(*mobile_settings(tv), num_classes=CLASSES))
    yield "mobilenetv3", mobile3, p64, 14, None, False
    efficient = small(tv.efficientnet._efficientnet(efficient_settings(tv), 0.0, 20, None, False, num_classes=CLASSES))
    yield "efficientnet", efficient, p64, 16, None, False
    next_ = small(tv.ConvNeXt([tv.convnext.CNBlockConfig(8, 16, 1), tv.convnext.CNBlockConfig(16, None, 2)], layer_scale=0.5, stochastic_depth_prob=0.0, num_classes=CLASSES))
    yield "convnext", next_, p64, 16, None, False
    google = small(tv.GoogLeNet(num_classes=CLASSES, aux_logits=False, init_weights=False))
    shrink(google, 8)
    yield "googlenet", google, p64, 13, None, False
    inception = small(tv.Inception3(num_classes=CLASSES, aux_logits=False, init_weights=False))
    shrink(inception, 16)
    yield "inceptionv3", inception, p96, 15, None, False
    unet, clip, vit, video = small(UNet()), small(Clip3D()), small(ViT()), small(CNNTransformer())
    yield "unet", unet, p64, 12, unet.last, False
    yield "cnn3d", clip, picture(1, 3, 4, 36, 36), 13, clip.net[8], True
    yield "vit", vit, p64, 14, None, False
    yield "vit", vit, p64, 17, None, False
    yield "cnntransformer", video, picture(1, 4, 3, 36, 36), 15, video.frames[3], True
    yield "vgg11_nhwc", Wrapped(vgg11, before=nhwc), p64.permute(0, 2, 3, 1).contiguous(), 13, vgg11[19], True
    yield "vgg11_softmax", Wrapped(vgg11, after=soft), p64, 12, vgg11[19], True
    yield "vgg11_sigmoid", Wrapped(vgg11, after=torch.sigmoid), p64, 16, vgg11[19], True


def keras_jobs():
    torch.manual_seed(22)
    net = small(keras_like.Keras(CLASSES))
    yield "keras", net, picture(1, 3, 64, 64).permute(0, 2, 3, 1).contiguous(), 13, net.at_last, True


def all_jobs():
    return itertools.chain(jobs(), keras_jobs())


def modern_jobs():
    p64 = picture(1, 3, 64, 64)
    bottleneck = small(tv.resnet.ResNet(tv.resnet.Bottleneck, [1, 2, 2, 1], num_classes=CLASSES))
    narrow_resnet(bottleneck)
    yield "resnet50", bottleneck, p64, 18, bottleneck.layer4[-1], False
    mobile2 = small(tv.MobileNetV2(num_classes=CLASSES, width_mult=0.25, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2], [6, 64, 1, 2]]))
    yield "mobilenetv2", mobile2, p64, 18, None, False
    yield "vit_b_16", small(tv.VisionTransformer(64, 16, 2, 2, 24, 48, num_classes=CLASSES)), p64, 18, None, False


def shrink(net, by):
    """Divides every channel but the picture's by a number."""
    for name, m in net.named_children():
        if isinstance(m, nn.Conv2d):
            cin = 3 if m.in_channels == 3 else m.in_channels // by
            cout = m.out_channels if m.out_channels == CLASSES else m.out_channels // by
            setattr(net, name, nn.Conv2d(cin, cout, m.kernel_size, m.stride, m.padding, m.dilation, 1, m.bias is not None))
        elif isinstance(m, nn.BatchNorm2d):
            setattr(net, name, nn.BatchNorm2d(m.num_features // by, eps=m.eps))
        elif isinstance(m, nn.Linear):
            setattr(net, name, nn.Linear(m.in_features // by, m.out_features))
        else:
            shrink(m, by)
    settle(net)


def narrow_resnet(net):
    shrink(net, 16)


def mobile_settings(tv):
    c = tv.mobilenetv3.InvertedResidualConfig
    rows = [(8, 3, 8, 8, True, "RE", 2, 1), (8, 3, 24, 12, False, "RE", 2, 1), (12, 5, 24, 12, True, "HS", 1, 1), (12, 5, 32, 16, True, "HS", 2, 1)]
    return [c(*r, 1.0) for r in rows], 32


def efficient_settings(tv):
    c = tv.efficientnet.MBConvConfig
    rows = [(1, 3, 1, 8, 8, 1), (4, 3, 2, 8, 8, 2), (4, 5, 2, 8, 16, 1)]
    return [c(*r, width_mult=1.0, depth_mult=1.0) for r in rows]


def rounded(o):
    if isinstance(o, float):
        return float("%.7g" % o)
    if isinstance(o, list):
        return [rounded(e) for e in o]
    return {k: rounded(v) for k, v in o.items()} if isinstance(o, dict) else o


def main():
    torch.manual_seed(21)
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE
    modern = folder != HERE
    os.makedirs(folder, exist_ok=True)
    for name, net, x, opset, last, full in itertools.chain(jobs(), modern_jobs()) if modern else all_jobs():
        try:
            net = net.double().eval()
            if modern:
                name, opset = name + "_export", 18
            path = os.path.join(folder, "%s_%d.onnx" % (name, opset))
            if modern:
                export_18(net, path, x)
            else:
                export(net, path, x, opset)
            after = net.after if isinstance(net, Wrapped) else None
            logits_net = Wrapped(inner(net), net.before) if isinstance(net, Wrapped) else net
            v = vectors(net, logits_net, x, last, full)
            with open(os.path.join(folder, name + ".json"), "w") as f:
                json.dump(rounded(v), f, separators=(",", ":"))
                f.write("\n")
            if name == "vgg11":
                halve(path, os.path.join(folder, "vgg11_half_11.onnx"))
            print(name, opset, os.path.getsize(path) // 1024, "KB")
        except Exception as e:  # one network's fault is told, the others are still made
            print(name, "FAILED", repr(e)[:300], file=sys.stderr)


if __name__ == "__main__":
    main()
