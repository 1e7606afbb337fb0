#!/usr/bin/python3
"""Detectors and a segmentation with random weights, and what PyTorch says of them in double precision: boxes after torchvision's
non-maximum suppression, masks, and maps by autograd. Writes *.onnx and *.json beside itself.

Needs Debian's python3-torch, python3-torchvision and python3-onnx. The networks are small and ours, with the shape of YOLOv8 (two scales,
distances as distributions, boxes and sigmoids in one output), DETR (an encoder, a decoder of queries, two outputs with a class for
nothing) and U-Net (softmax over channels with a background).
"""
import json
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

HERE = os.path.dirname(os.path.abspath(__file__))
SIDE, CLASSES, THRESHOLD, IOU, MOST = 64, 3, 0.5, 0.45, 10


def frame():
    """The frame that the Go test makes as well, normalised."""
    y, x, c = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
    v = (x * 7 + y * 13 + c * 29 + (x * y) // 3 + 90 * ((x // 16 + y // 16) % 2)) % 256
    return torch.from_numpy((v / 255 - 0.45) / 0.25).permute(2, 0, 1)[None]


class Block(nn.Module):
    def __init__(self, cin, cout, stride=1):
        super().__init__()
        self.conv, self.act = nn.Conv2d(cin, cout, 3, stride, 1), nn.SiLU()

    def forward(self, x):
        return self.act(self.conv(x))


class YOLO(nn.Module):
    bins = 4

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(Block(3, 8, 2), Block(8, 12, 2), Block(12, 16, 2))
        self.down, self.neck = Block(16, 24, 2), Block(40, 16)
        self.box = nn.ModuleList([nn.Sequential(Block(c, 8), nn.Conv2d(8, 4 * self.bins, 1)) for c in (16, 24)])
        self.cls = nn.ModuleList([nn.Sequential(Block(c, 8), nn.Conv2d(8, CLASSES, 1)) for c in (16, 24)])

    def forward(self, x):
        p3 = self.stem(x)
        p4 = self.down(p3)
        n3 = self.neck(torch.cat([F.interpolate(p4, scale_factor=2.0, mode="nearest"), p3], 1))
        self.features = []
        outs, anchors, strides = [], [], []
        for i, f in enumerate((n3, p4)):
            hidden = self.cls[i][0](f)
            self.features.append(hidden)
            outs.append(torch.cat([self.box[i](f), self.cls[i][1](hidden)], 1).flatten(2))
            n = f.shape[2]
            g = (torch.arange(n, dtype=x.dtype) + 0.5)
            anchors.append(torch.stack([g.repeat(n), g.repeat_interleave(n)]))
            strides.append(torch.full((n * n,), float(SIDE // n), dtype=x.dtype))
        all_, anchors, strides = torch.cat(outs, 2), torch.cat(anchors, 1), torch.cat(strides)
        box, self.logits = all_.split((4 * self.bins, CLASSES), 1)
        d = box.view(1, 4, self.bins, -1).transpose(2, 1).softmax(1)
        d = (d * torch.arange(self.bins, dtype=x.dtype).view(1, -1, 1, 1)).sum(1)
        low, high = anchors - d[:, :2], anchors + d[:, 2:]
        return torch.cat([torch.cat([(low + high) / 2, high - low], 1) * strides, self.logits.sigmoid()], 1)


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, q, kv):
        a = (self.q(q) @ self.k(kv).transpose(1, 2) / q.shape[2] ** 0.5).softmax(2)
        return self.o(a @ self.v(kv))


class DETR(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1), nn.ReLU())
        self.pos, self.queries = nn.Parameter(torch.randn(1, 64, 16)), nn.Parameter(2 * torch.randn(1, 6, 16))
        self.enc, self.dec, self.n1, self.n2 = Attention(16), Attention(16), nn.LayerNorm(16), nn.LayerNorm(16)
        self.cls, self.box = nn.Linear(16, CLASSES + 1), nn.Linear(16, 4)

    def forward(self, x):
        f = self.stem(x)
        self.features = [f]
        t = f.flatten(2).transpose(1, 2) + self.pos
        t = self.n1(t + self.enc(t, t))
        q = self.n2(self.queries + self.dec(self.queries, t))
        self.logits = self.cls(q)
        return self.logits, self.box(q).sigmoid()


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 1, 1), nn.Conv2d(24, 8, 3, 1, 1)
        self.out = nn.Conv2d(8, CLASSES + 1, 1)

    def forward(self, x):
        a = F.relu(self.a(x))
        b = F.relu(self.b(F.max_pool2d(a, 2)))
        c = F.relu(self.c(torch.cat([F.interpolate(b, scale_factor=2.0, mode="bilinear", align_corners=False), a], 1)))
        self.features = [c]
        self.logits = self.out(c)
        return self.logits


def maps(net, score, size):
    """Grad-CAM and HiResCAM of a score, summed over the features at the finest size."""
    grads = torch.autograd.grad(score, net.features, retain_graph=True, allow_unused=True)
    out = {}
    for name in ("gradcam", "hirescam"):
        total = torch.zeros(1, 1, size, size, dtype=torch.float64)
        for a, g in zip(net.features, grads):
            if g is None:
                continue
            w = g.mean((2, 3), keepdim=True) if name == "gradcam" else g
            cam = F.relu((w * a).sum(1, keepdim=True))
            total = total + F.interpolate(cam, size=(size, size), mode="bilinear", align_corners=False)
        out[name] = total.flatten().tolist()
    return out


def boxes(scores, corners, logit):
    """What is kept of candidates: torchvision's suppression, class by class."""
    kept = []
    for c in range(CLASSES):
        p = scores[:, c]
        at = torch.nonzero(p >= THRESHOLD).flatten()
        for i in at[torchvision.ops.nms(corners[at], p[at], IOU)].tolist():
            kept.append((float(p[i]), c, i))
    kept.sort(key=lambda k: -k[0])
    return [{"class": c, "probability": p, "box": corners[i].clamp(0, SIDE).tolist(), "logit": logit(i, c)} for p, c, i in kept[:MOST]]


def finish(name, net, x, found, scores, size, outputs):
    for f in found:
        f["maps"] = maps(net, f.pop("logit"), size)
    torch.onnx.export(net.float(), x.float(), os.path.join(HERE, name + ".onnx"), opset_version=14, input_names=["images"], output_names=outputs)
    with open(os.path.join(HERE, name + ".json"), "w") as out:
        json.dump(rounded({"scores": scores, "size": size, "found": found}), out)
        out.write("\n")
    print(name, len(found), [round(s, 3) for s in scores])


def rounded(o):
    if isinstance(o, float):
        return float("%.7g" % o)
    if isinstance(o, list):
        return [rounded(e) for e in o]
    return {k: rounded(v) for k, v in o.items()} if isinstance(o, dict) else o


def settle(net):
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(m.weight, mode="fan_in")
    return net.double().eval()


def yolo(x):
    net = settle(YOLO())
    net(x)
    for i in range(2):  # so that some boxes of each scale are found
        with torch.no_grad():
            net.cls[i][1].bias -= net.logits[0][:, 64 * i:64 + 16 * i].topk(6 - 2 * i).values.mean(1) - 0.1
    out = net(x)
    p, b = out[0, 4:].T, out[0, :4].T
    corners = torchvision.ops.box_convert(b, "cxcywh", "xyxy").detach()
    finish("yolo", net, x, boxes(p.detach(), corners, lambda i, c: net.logits[0, c, i]), p.max(0).values.tolist(), 8, ["output0"])


def detr(x):
    net = settle(DETR())
    with torch.no_grad():
        net.cls.weight *= 3
    logits, b = net(x)
    p = logits[0].softmax(1)[:, :CLASSES]
    corners = (torchvision.ops.box_convert(b[0], "cxcywh", "xyxy") * SIDE).detach()
    finish("detr", net, x, boxes(p.detach(), corners, lambda i, c: net.logits[0, i, c]), p.max(0).values.tolist(), 8, ["logits", "pred_boxes"])


def largest(mask):
    """The largest region of a mask whose pixels share edges, of equal ones the first in reading order."""
    order, best = [tuple(p) for p in torch.nonzero(mask).tolist()], []
    left = set(order)
    for start in order:
        if start not in left:
            continue
        left.remove(start)
        open_, region = [start], []
        while open_:
            y, x = open_.pop()
            region.append((y, x))
            for q in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if q in left:
                    left.remove(q)
                    open_.append(q)
        best = max(best, region, key=len)
    return best


def unet(x):
    net = settle(UNet())
    with torch.no_grad():
        net.out.weight *= 2
    p = net(x)[0].softmax(0)[1:].detach()
    found, scores = [], []
    for c in range(CLASSES):
        core = largest(p[c] >= 0.5)
        if len(core) < int(0.001 * SIDE * SIDE):
            n = int(0.001 * SIDE * SIDE)
            scores.append(min(p[c].flatten().topk(n).values.mean().item(), 0.5 * (1 - 1e-6)))
            continue
        y, xx = torch.tensor(core).T
        scores.append(p[c][y, xx].mean().item())
        found.append({"class": c, "probability": scores[-1], "share": (p[c] >= 0.5).double().mean().item(), "logit": net.logits[0, c + 1][y, xx].mean()})
    finish("unet", net, x, found, scores, SIDE, ["mask"])


if __name__ == "__main__":
    torch.manual_seed(5)
    for make in (yolo, detr, unet):
        make(frame())
