#!/usr/bin/python3
"""The network that looks across time: clips that this script draws, training, ONNX bundles, and what PyTorch says of them.

    video.py                writes the narrow bundles beside itself: video/ (one graph over a clip) and video-pair/ (encoder and temporal
                            head), with reference clips, and video/expected.json, in double precision
    video.py --clips DIR    writes clips that were held out, with the frames that decide them, for endogate model check --frames DIR
    video.py --full DIR     writes the bundle at full size (128 dimensions, 224×224, at most 100 frames) into DIR

Both print their parameters and their accuracy on clips that were held out. Needs Debian's python3-torch, python3-torchvision, python3-onnx
and python3-pil. The network is the CNN-Transformer of Mahendar et al., "Deployment and Explanation of Deep Models for Endoscopy Video": ResNet-18
to some dimensions, a class token, sinusoidal positions, four layers of four heads, a head of two dense layers with dropout, two classes.
The clips show a probe that enters one of two openings, in a few frames alone, among clutter: what is decisive is known.
"""
import argparse
import json
import math
import os
import random
import shutil
import time
import warnings

import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = ["round-opening", "slit-opening"]


class Size:
    """What differs between the narrow network and the full one."""

    def __init__(self, side, frames, base, dim, inner, stride, fewest, longest):
        self.side, self.frames, self.base, self.dim, self.inner, self.stride = side, frames, base, dim, inner, stride
        self.fewest, self.longest = fewest, longest  # frames of a clip in training


NARROW = Size(64, 16, 8, 32, 64, False, 8, 16)
FULL = Size(224, 100, 64, 128, 384, True, 8, 16)


# --- the clips ---

def smooth(rng, side, cells, channels):
    """A texture of so many cells, as pixels of any side."""
    t = torch.from_numpy(rng.normal(size=(1, channels, cells, cells)).astype(np.float32))
    return F.interpolate(t, size=(side, side), mode="bicubic", align_corners=False)[0].numpy()


def draw(rng, side, label, decisive, hover):
    """One frame, 3×side×side from 0 to 1: two openings, clutter, and a probe in one of them (decisive), beside them (hover) or nowhere."""
    y, x = (np.mgrid[0:side, 0:side].astype(np.float32) + 0.5) / side
    base = np.array([0.78, 0.42, 0.36], np.float32)[:, None, None]
    img = base * (1 + 0.10 * smooth(rng, side, 6, 1)) + 0.02 * smooth(rng, side, 10, 3)

    def blend(mask, colour):
        img[:] = img * (1 - mask) + np.array(colour, np.float32)[:, None, None] * mask

    def ellipse(cx, cy, rx, ry, soft=0.15):
        d = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
        return np.clip((1 - d) / soft + 0.5, 0, 1)

    jitter = rng.uniform(-0.05, 0.05, 4)
    swap = rng.random() < 0.5  # the openings change sides, so that the place in the frame tells nothing
    left, right = (0.30 + jitter[0], 0.36 + jitter[1]), (0.70 + jitter[2], 0.36 + jitter[3])
    rounded, slit = (right, left) if swap else (left, right)
    blend(ellipse(*rounded, 0.14, 0.14), [0.90, 0.55, 0.45])
    blend(ellipse(*rounded, 0.10, 0.10), [0.16, 0.05, 0.05])
    blend(ellipse(*slit, 0.08, 0.19), [0.62, 0.20, 0.22])
    blend(ellipse(*slit, 0.045, 0.15), [0.16, 0.05, 0.05])
    for _ in range(rng.integers(2, 6)):  # bubbles and pools
        r = rng.uniform(0.02, 0.06)
        cx, cy = rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95)
        blend(0.5 * ellipse(cx, cy, r, r), [0.85, 0.80, 0.60])
        blend(ellipse(cx - r / 3, cy - r / 3, r / 4, r / 4, 0.6), [1, 1, 1])
    if decisive or hover:
        if decisive:
            tx, ty = rounded if label == 0 else slit
        else:
            tx, ty = rng.uniform(0.2, 0.8), rng.uniform(0.68, 0.85)
        bx = 0.5 + rng.uniform(-0.15, 0.15)
        for k in np.linspace(0, 1, 24):  # a shaft from the lower edge to the tip
            blend(ellipse(bx + (tx - bx) * k, 1.05 + (ty - 1.05) * k, 0.05, 0.05), [0.30, 0.42, 0.62])
        blend(ellipse(tx, ty, 0.055, 0.055), [0.85, 0.88, 0.92])
    img *= 1 - 0.5 * np.clip(((x - 0.5) ** 2 + (y - 0.5) ** 2) * 2 - 0.2, 0, 1)
    img += rng.normal(size=img.shape).astype(np.float32) * 0.01
    return np.clip(img, 0, 1)


def clip(rng, size, frames, label, count=None):
    """A clip: its frames as bytes, and the first and last of those that decide, from 0; with a count of 0 there are none."""
    count = int(rng.integers(2, 5)) if count is None else count
    first = int(rng.integers(0, frames - count + 1))
    last = first + count - 1
    pictures = [draw(rng, size.side, label, first <= i <= last, rng.random() < 0.5) for i in range(frames)]
    return (np.stack(pictures) * 255 + 0.5).astype(np.uint8), first, last


def normalised(pixels):
    """Bytes T×3×H×W as the network takes them. No byte becomes 0, so that a frame of zeros is no frame."""
    return (torch.from_numpy(pixels).float() / 255 - 0.5) / 0.25


def padded(x, frames):
    return F.pad(x, (0, 0, 0, 0, 0, 0, 0, frames - len(x)))


# --- the network ---

class Encoder(nn.Module):
    def __init__(self, size):
        super().__init__()
        net = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=size.dim)
        if size.base != 64:
            narrow(net, 64 // size.base)
            net.fc = nn.Linear(8 * size.base, size.dim)
        if not size.stride:  # for small pictures
            for layer in (net.layer3, net.layer4):
                layer[0].conv1.stride = layer[0].downsample[0].stride = (1, 1)
        self.net = net

    def forward(self, x):
        return self.net(x)


def narrow(module, by):
    for name, m in module.named_children():
        if isinstance(m, nn.Conv2d):
            cin = m.in_channels if m.in_channels == 3 else m.in_channels // by
            setattr(module, name, nn.Conv2d(cin, m.out_channels // by, m.kernel_size, m.stride, m.padding, bias=False))
        elif isinstance(m, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(m.num_features // by))
        else:
            narrow(m, by)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, keep):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(-1, int(t), 3, self.heads, int(d) // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * (int(d) // self.heads) ** -0.5
        self.matrix = scores.masked_fill(~keep[:, None, None, :], -1e9).softmax(-1)
        return self.out((self.matrix @ v).transpose(1, 2).reshape(-1, int(t), int(d)))


class Layer(nn.Module):
    def __init__(self, dim, heads, inner):
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(dim), nn.LayerNorm(dim), Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, inner), nn.GELU(), nn.Dropout(0.1), nn.Linear(inner, dim))

    def forward(self, x, keep):
        x = x + self.attention(self.norm1(x), keep)
        return x + self.mlp(self.norm2(x))


class Head(nn.Module):
    """Looks across embeddings N×T×D, of which those of zeros are no frames."""

    def __init__(self, size):
        super().__init__()
        d = size.dim
        place, rate = torch.arange(size.frames + 1)[:, None], torch.exp(torch.arange(0, d, 2) * (-math.log(10000.0) / d))
        waves = torch.zeros(1, size.frames + 1, d)
        waves[0, :, 0::2], waves[0, :, 1::2] = torch.sin(place * rate), torch.cos(place * rate)
        self.register_buffer("waves", waves)
        self.token = nn.Parameter(torch.randn(1, 1, d) * 0.02)
        self.layers = nn.ModuleList(Layer(d, 4, size.inner) for _ in range(4))
        self.norm = nn.LayerNorm(d)
        self.classify = nn.Sequential(nn.Linear(d, d // 2), nn.GELU(), nn.Dropout(0.2), nn.Linear(d // 2, len(CLASSES)))

    def forward(self, f):
        keep = f.abs().amax(-1) > 0
        keep = torch.cat([torch.ones_like(keep[:, :1]), keep], 1)
        x = torch.cat([self.token + 0 * f[:, :1], f], 1) + self.waves[:, :int(f.shape[1]) + 1]
        for layer in self.layers:
            x = layer(x, keep)
        return self.classify(self.norm(x)[:, 0])


class Network(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.encoder, self.head = Encoder(size), Head(size)

    def forward(self, x):
        t, c, h, w = (int(d) for d in x.shape[1:])
        keep = (x.abs().amax((2, 3, 4)) > 0).to(x.dtype)
        f = self.encoder(x.reshape(-1, c, h, w)).reshape(-1, t, self.head.token.shape[-1])
        return self.head(f * keep[:, :, None])


# --- training ---

UNDECIDED = 2  # the label of clips in which the probe enters neither


def drawn(rng, size, undecided=0.0):
    """A clip of any length with its label."""
    label = UNDECIDED if rng.random() < undecided else int(rng.integers(0, 2))
    return (*clip(rng, size, int(rng.integers(size.fewest, size.longest + 1)), label, 0 if label == UNDECIDED else None), label)


def batch(clips, frames, rng=None):
    """Clips padded with null frames to one length; with rng, each as it is or mirrored, which changes no label."""
    x, labels, states = [], [], []
    for pixels, first, last, label in clips:
        if rng is not None and rng.random() < 0.5:
            pixels = pixels[..., ::-1].copy()
        x.append(padded(normalised(pixels), frames))
        labels.append(label)
        states.append([0 if first <= i <= last else 1 if i < len(pixels) else 2 for i in range(frames)])
    return torch.stack(x), torch.tensor(labels), torch.tensor(states)


def train(net, size, steps, clips, pool, seed):
    """First the encoder learns what a frame shows by itself (either opening entered, or none), then all learn of clips alone. Of clips that
    decide nothing either class is half right, so that neither can be told by the other's absence."""
    rng = np.random.default_rng(seed)
    all_ = [drawn(rng, size, 0.25) for _ in range(pool)]
    targets = torch.tensor([[1, 0], [0, 1], [0.5, 0.5]])
    alone = nn.Linear(size.dim, 3)
    began = time.time()
    for stage, share in (("frames", 0.3), ("clips", 0.7)):
        n = max(int(steps * share), 1)
        weights = list(net.parameters()) + list(alone.parameters())
        o = torch.optim.AdamW(weights, 2e-3 if size.base < 64 else 5e-4, weight_decay=0.01)
        plan = torch.optim.lr_scheduler.OneCycleLR(o, o.param_groups[0]["lr"], total_steps=n)
        net.train()
        for step in range(n):
            x, label, state = batch([all_[i] for i in rng.choice(pool, clips, replace=False)], size.longest, rng)
            if stage == "frames":
                real = state.flatten() < 2
                target = torch.where(state == 0, label[:, None], UNDECIDED).flatten()
                loss = F.cross_entropy(alone(net.encoder(x.flatten(0, 1)[real])), target[real])
            else:
                loss = F.cross_entropy(net(x), targets[label])
            o.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            o.step()
            plan.step()
            if step % 20 == 0 or step == n - 1:
                print("%s %d of %d: loss %.3f, %d s" % (stage, step + 1, n, loss.item(), time.time() - began), flush=True)
    return net.eval()


def shown(rng, side, label):
    """A frame in which the probe is in an opening, or (UNDECIDED) elsewhere or nowhere."""
    return draw(rng, side, label, label != UNDECIDED, rng.random() < 0.5)


def train_apart(net, size, steps, seed):
    """For the full network, of which a step through whole clips takes a minute: the encoder learns what a frame shows, first of frames of half the
    side, then of whole ones; the head learns of clips that are put together of the embeddings of frames, which costs next to nothing."""
    rng, began = np.random.default_rng(seed), time.time()
    alone = nn.Linear(size.dim, 3)

    def learn(what, weights, steps, rate, loss):
        o = torch.optim.AdamW(weights, rate, weight_decay=0.01)
        plan = torch.optim.lr_scheduler.OneCycleLR(o, rate, total_steps=steps)
        for step in range(steps):
            o.zero_grad()
            value, right = loss()
            value.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            o.step()
            plan.step()
            if step % 10 == 0 or step == steps - 1:
                print("%s %d of %d: loss %.3f, %.2f right, %d s" % (what, step + 1, steps, value.item(), right, time.time() - began), flush=True)

    def pictures(side, labels):
        return normalised((np.stack([shown(rng, side, l) for l in labels]) * 255 + 0.5).astype(np.uint8))

    def frames(side, n):
        labels = rng.integers(0, 3, n)
        said, labels = alone(net.encoder(pictures(side, labels))), torch.tensor(labels)
        return F.cross_entropy(said, labels), (said.argmax(1) == labels).float().mean()

    encoder = list(net.encoder.parameters()) + list(alone.parameters())
    net.train()
    learn("frames of half the side,", encoder, steps, 1e-3, lambda: frames(size.side // 2, 32))
    learn("frames,", encoder, max(steps // 4, 2), 3e-4, lambda: frames(size.side, 24))
    net.encoder.eval()
    with torch.no_grad():
        pool = [torch.cat([net.encoder(pictures(size.side, [label] * 8)) for _ in range(max(steps // 4, 1))]) for label in range(3)]
    print("%d frames are encoded, %d s" % (sum(len(p) for p in pool), time.time() - began), flush=True)
    targets = torch.tensor([[1, 0], [0, 1], [0.5, 0.5]])

    def clips(n):
        longest = int(rng.choice([size.longest, 32, size.frames], p=[0.6, 0.3, 0.1]))  # most clips are short, and all lengths are learned
        x, labels = torch.zeros(n, longest, size.dim), rng.choice(3, n, p=[0.375, 0.375, 0.25])
        for i, label in enumerate(labels):
            t, count = int(rng.integers(size.fewest, longest + 1)), int(rng.integers(2, 5))
            x[i, :t] = pool[UNDECIDED][rng.integers(0, len(pool[UNDECIDED]), t)]
            if label != UNDECIDED:
                first = int(rng.integers(0, t - count + 1))
                x[i, first:first + count] = pool[label][rng.integers(0, len(pool[label]), count)]
        said, labels = net.head(x), torch.tensor(labels)
        decided = labels != UNDECIDED
        return F.cross_entropy(said, targets[labels]), (said.argmax(1) == labels)[decided].float().mean()

    learn("clips,", list(net.head.parameters()), 6 * steps, 1e-3, lambda: clips(32))
    return net.eval()


def accuracy(net, size, clips, seed):
    rng, right = np.random.default_rng(seed), 0
    with torch.no_grad():
        for _ in range(clips // 4):
            x, label, _ = batch([drawn(rng, size) for _ in range(4)], size.longest)
            right += int((net(x).argmax(1) == label).sum())
    return right, clips // 4 * 4


# --- what PyTorch says ---

def matrices(net):
    return [layer.attention.matrix for layer in net.head.layers]


def importance(matrix, frames):
    """The class token's row of a matrix over class token and frames, of which the lowest 30 % of all its weights were dropped."""
    m = matrix[:frames + 1, :frames + 1].clone()
    drop = int(0.3 * m.numel())
    m.view(-1)[m.reshape(-1).sort(stable=True).indices[:drop]] = 0
    return m[0, 1:]


def rollout(fused):
    out = torch.eye(len(fused[0]), dtype=fused[0].dtype)
    for a in fused:
        half = (a + torch.eye(len(a), dtype=a.dtype)) / 2
        out = half / half.sum(-1, keepdim=True) @ out
    return out[0, 1:]


def weighted(all_, grads):
    out = torch.eye(all_[0].shape[-1], dtype=all_[0].dtype)
    for a, g in zip(all_, grads):
        out = out + F.relu(a * g).mean(0) @ out
    return out[0, 1:]


def said(net, x, frames, c=None):
    """All that is said of a clip 1×T×3×H×W, in double precision."""
    kept = {}
    hook = net.encoder.net.layer4.register_forward_hook(lambda m, i, o: kept.__setitem__("a", o))
    logits = net(x.double().requires_grad_(True))
    hook.remove()
    c = int(logits[0].argmax()) if c is None else c
    all_ = matrices(net)
    grads = torch.autograd.grad(logits[0, c], all_ + [kept["a"]])
    fused = [m[0].mean(0).detach() for m in all_]
    a, g = kept["a"].detach(), grads[-1]
    cam = F.relu((g.mean((2, 3), keepdim=True) * a).sum(1))
    pad = lambda v: F.pad(v, (0, x.shape[1] - len(v)))
    return {
        "class": c, "logits": logits[0].detach(), "attention": torch.stack(fused),
        "importance": torch.stack([pad(importance(m, frames)) for m in fused]),
        "rollout": rollout(fused), "gradient": weighted([m[0].detach() for m in all_], [g[0] for g in grads[:-1]]), "gradcam": cam,
    }


def pointing(net, size, clips, seed):
    """How often the most important frame is one of those that decide, by each way to tell."""
    rng, hits = np.random.default_rng(seed), {}
    for _ in range(clips):
        label = int(rng.integers(0, 2))
        t = int(rng.integers(size.fewest, size.longest + 1))
        pixels, first, last = clip(rng, size, t, label)
        v = said(net, padded(normalised(pixels), size.frames)[None], t)
        ways = {"layer %d" % (i + 1): row for i, row in enumerate(v["importance"])}
        ways.update({"mean of layers": v["importance"].mean(0), "rollout": v["rollout"], "gradient": v["gradient"], "grad-CAM": v["gradcam"].sum((1, 2))})
        for name, row in ways.items():
            hits[name] = hits.get(name, 0) + int(first <= int(row[:t].argmax()) <= last)
    for name, n in hits.items():
        print("most important frame decides, %s: %d of %d" % (name, n, clips))


# --- bundles ---

MANIFEST = """# {title}. Drawn clips, not endoscopy: research and demonstration only; not a medical device.
name: {name}
version: 1.0.0
kind: video
intended_use: Demonstration of a network that looks across time, on drawn clips of a probe and two openings. Not for clinical use.
manufacturer: endogate
input:
  name: input
  layout: NCHW              # of a frame
  size: [{side}, {side}]
  channels: RGB
  resize: bilinear-antialias
  scale: 0.00392156862745098
  mean: [0.5, 0.5, 0.5]     # no pixel of a frame becomes 0: a frame of zeros is a null frame
  std: [0.25, 0.25, 0.25]
clip:
  frames: {frames}
{layout}
  pad: null-frames          # shorter ones are filled up with frames of zeros, which the network masks
  longer: windows           # one window after another, each beginning so many frames after the one before
  stride: {stride}
{head}output:
  name: logits
  activation: softmax
classes:
  - {{name: round-opening, threshold: 0.5, role: finding, finding: {{code: PROBE-ROUND, scheme: 99ENDOGATE, meaning: Probe in the round opening}}}}
  - {{name: slit-opening, threshold: 0.5, role: finding, finding: {{code: PROBE-SLIT, scheme: 99ENDOGATE, meaning: Probe in the slit opening}}}}
explain:
  method: gradcam
  layer: last
{reference}"""


def manifest(dir, name, title, size, layout, head="", reference=""):
    text = MANIFEST.format(name=name, title=title, side=size.side, frames=size.frames, stride=size.frames // 2, layout=layout, head=head, reference=reference)
    with open(os.path.join(dir, "model.yaml"), "w") as f:
        f.write(text)


def export(net, path, example, inputs, outputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, example, path, opset_version=16, input_names=inputs, output_names=outputs,
                          dynamic_axes={n: {0: "batch"} for n in inputs + outputs})
    onnx.checker.check_model(path)
    print("%s: %.2f MB" % (os.path.relpath(path), os.path.getsize(path) / 1e6))


def rounded(v):
    if isinstance(v, torch.Tensor):
        return rounded(v.tolist())
    if isinstance(v, list):
        return [rounded(w) for w in v]
    return float("%.7g" % v) if isinstance(v, float) else v


def references(net, size, dir):
    """Clips as folders of frames, with what PyTorch says of each."""
    shutil.rmtree(os.path.join(dir, "clips"), ignore_errors=True)
    net, all_ = net.double(), []
    for seed, (name, label, frames) in enumerate([("round", 0, 11), ("slit", 1, 16), ("long", 1, 28)]):
        rng = np.random.default_rng(9000 + seed)
        pixels, first, last = clip(rng, size, frames, label, 3)
        folder = os.path.join(dir, "clips", name)
        os.makedirs(folder)
        for i, p in enumerate(pixels):
            Image.fromarray(p.transpose(1, 2, 0)).save(os.path.join(folder, "%02d.png" % (i + 1)), optimize=True)
        windows = []
        for at in range(0, max(frames - size.frames, 0) + size.frames // 2, size.frames // 2):
            some = pixels[at:at + size.frames]
            v = said(net, padded(normalised(some), size.frames)[None], len(some))
            windows.append(dict(first=at + 1, frames=len(some), **{k: rounded(w) for k, w in v.items()}))
            if at + size.frames >= frames:
                break
        all_.append({"clip": "clips/" + name, "class": CLASSES[label], "decisive": [first + 1, last + 1], "windows": windows})
        print(name, "decisive", first + 1, last + 1, [w["logits"] for w in windows])
    net.float()
    with open(os.path.join(dir, "decisive.csv"), "w") as f:
        f.write("clip,first,last\n" + "".join("%s,%d,%d\n" % (os.path.basename(c["clip"]), *c["decisive"]) for c in all_))
    with open(os.path.join(dir, "expected.json"), "w") as f:
        json.dump({"model": "video", "clips": all_}, f, separators=(",", ":"))
        f.write("\n")
    return all_


def write(size, dir, clips, seed):
    """Clips that were held out, as folders of frames, with the frames that decide them."""
    rng = np.random.default_rng(seed)
    os.makedirs(dir)
    with open(os.path.join(dir, "decisive.csv"), "w") as f:
        f.write("clip,first,last\n")
        for i in range(clips):
            pixels, first, last, label = drawn(rng, size)
            name = "%04d-%s" % (i + 1, CLASSES[label])
            os.makedirs(os.path.join(dir, name))
            for k, p in enumerate(pixels):
                Image.fromarray(p.transpose(1, 2, 0)).save(os.path.join(dir, name, "%02d.png" % (k + 1)))
            f.write("%s,%d,%d\n" % (name, first + 1, last + 1))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--full", metavar="DIR")
    a.add_argument("--steps", type=int, help="of training; with --full those of the encoder on frames of half the side")
    a.add_argument("--batch", type=int, help="clips of a step, of the narrow network")
    a.add_argument("--pool", type=int, help="clips that are drawn to learn of, of the narrow network")
    a.add_argument("--held-out", type=int, default=200)
    a.add_argument("--weights", help="file of weights: read where it is there, written where it is not")
    a.add_argument("--clips", metavar="DIR", help="write held-out clips with what decides them, and nothing else")
    a = a.parse_args()
    random.seed(14), np.random.seed(14), torch.manual_seed(14)
    size = FULL if a.full else NARROW
    if a.clips:
        write(size, a.clips, a.held_out, 4712)
        return
    net = Network(size)
    print("%d parameters" % sum(p.numel() for p in net.parameters()), flush=True)
    if a.weights and os.path.exists(a.weights):
        net.load_state_dict(torch.load(a.weights))
        net.eval()
    else:
        if a.full:
            train_apart(net, size, a.steps or 60, 14)
        else:
            train(net, size, a.steps or 400, a.batch or 12, a.pool or 400, 14)
        if a.weights:
            torch.save(net.state_dict(), a.weights)
    right, of = accuracy(net, size, a.held_out, 4711)
    print("%d of %d held-out clips are classified rightly" % (right, of), flush=True)
    example = torch.randn(2, size.frames, 3, size.side, size.side)
    one = "  layout: NTCHW             # of a clip: frames before channels"
    if a.full:
        os.makedirs(a.full, exist_ok=True)
        export(net, os.path.join(a.full, "model.onnx"), example[:1], ["input"], ["logits"])
        manifest(a.full, "video-full", "The CNN-Transformer at full size", size, one)
        return
    for p in net.parameters():
        p.requires_grad_(False)
    dir, pair = os.path.join(HERE, "video"), os.path.join(HERE, "video-pair")
    os.makedirs(dir, exist_ok=True), os.makedirs(pair, exist_ok=True)
    export(net, os.path.join(dir, "model.onnx"), example, ["input"], ["logits"])
    said_ = [(c, c["windows"][0]) for c in references(net, size, dir) if len(c["windows"]) == 1]
    refer = "reference:\n" + "".join("  - {clip: %s, probabilities: {%s: %.5f}}\n" % (
        c["clip"], c["class"], torch.tensor(w["logits"]).softmax(0)[CLASSES.index(c["class"])]) for c, w in said_)
    manifest(dir, "demo-video", "The narrow CNN-Transformer", size, one, reference=refer)
    export(net.encoder, os.path.join(pair, "model.onnx"), example[0], ["input"], ["embedding"])
    export(net.head, os.path.join(pair, "head.onnx"), torch.randn(2, size.frames, size.dim), ["embeddings"], ["logits"])
    manifest(pair, "demo-video-pair", "The narrow CNN-Transformer in two parts", size, one, "head: head.onnx             # looks across the embeddings of model.onnx\n")
    pointing(net.double(), size, min(a.held_out, 100), 4712)


if __name__ == "__main__":
    main()
