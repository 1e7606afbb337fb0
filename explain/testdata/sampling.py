#!/usr/bin/python3
"""Methods of many runs in plain PyTorch, double precision, from their papers, and what they say of the networks of
zoo.py (sampling/*.json), for package explain/sampling.

Needs what zoo.py needs. A vector is zoo.py's. What is drawn by chance comes from Go's generator (PCG-DXSM, see Random),
so that both sides see the same masks; noise is made of its bits, exact in single precision (see normal).
"""
import json
import os

import numpy as np
import torch
import torch.nn.functional as F

import zoo

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sampling")
BITS = (1 << 64) - 1


class Random:
    """PCG-DXSM of O'Neill with 128 bits of state, as math/rand/v2 of Go has it: rand.New(rand.NewPCG(seed, stream))."""

    def __init__(self, seed, stream=0):
        self.state = seed << 64 | stream

    def bits(self):
        self.state = self.state * 0x2360ED051FC65DA44385DF649FCCF645 + 0x5851F42D4C957F2D14057B7EF767814F & (1 << 128) - 1
        high, low = self.state >> 64, self.state & BITS
        high = (high ^ high >> 32) * 0xDA942042E4DD58B5 & BITS
        return (high ^ high >> 48) * (low | 1) & BITS

    def uniform(self):
        return (self.bits() & (1 << 53) - 1) / (1 << 53)

    def below(self, n):
        return self.bits() & n - 1 if n & n - 1 == 0 else self.bits() * n >> 64


def normal(seed, stream, n):
    """The sum of twelve uniform values of 16 bits, four of each draw, less six."""
    r = Random(seed, stream)
    draws = np.array([[r.bits() for _ in range(3)] for _ in range(n)], dtype=np.uint64)
    return torch.from_numpy(draws.view(np.uint16).astype(np.float64).sum(1) / 65536 - 6)


def hills(frames, channels, height, width):
    """T×C×H×W: slopes and ridges with some grain, from -2 to 2.25; exact in single precision."""
    t, c, y, x = np.indices((frames, channels, height, width))
    ridge = lambda k, n: np.abs(k % (2 * n) - n) / n
    v = 2 * ridge(5 * x + 3 * y + 40 * c + 16 * t, 128) + ridge(2 * x - 9 * y + 24 * c + 600, 64) + ridge(x * y // 8 + 32 * c, 128)
    i = np.arange(v.size).reshape(v.shape)
    return torch.from_numpy(v - 2 + i * 7919 % 512 / 2048)


class Scene:
    """A network that is given pictures as T×C×H×W, whatever the order of its axes."""

    def __init__(self, net, shape):
        self.net, self.single = net, False
        if len(shape) == 4:
            last = shape[3] == 3
            self.order = (0, 2, 3, 1) if last else (0, 1, 2, 3)
            self.sizes = (1, 3, shape[1], shape[2]) if last else (1,) + tuple(shape[1:])
        else:
            first = shape[1] != 3
            self.order = (0, 1, 2, 3, 4) if first else (0, 2, 1, 3, 4)
            self.sizes = tuple(shape[1:]) if first else (shape[2], 3) + tuple(shape[3:])

    def arranged(self, x):
        return (x[:, 0] if len(self.order) == 4 else x).permute(self.order)

    def logits(self, x):
        y = torch.cat([self.net(self.arranged(part)) for part in x.split(16)])
        return y.float().double() if self.single else y

    def flat(self, x):
        """The values of a picture in the network's order."""
        return self.arranged(x[None]).flatten()

    def picture(self, flat):
        x = torch.empty(len(flat)).double()
        x[self.flat(torch.arange(len(flat)).view(self.sizes))] = flat
        return x.view(self.sizes)


def attribution(scene, x, c):
    """Gradients of a class's logit at each picture of a batch."""
    x = x.detach().clone().requires_grad_(True)
    return torch.autograd.grad(scene.logits(x)[:, c].sum(), x)[0]


def smoothgrad(scene, x, c, noise, share):
    """Smilkov et al. 2017: the mean gradient under noise, whose deviation is a share of the range of the input."""
    return attribution(scene, x + share * (x.max() - x.min()) * noise, c).mean(0)


def integrated_gradients(scene, x, base, c, steps):
    """Sundararajan et al. 2017, equation 1, by the midpoint rule."""
    alpha = (torch.arange(steps).double() + 0.5).div(steps).view(-1, 1, 1, 1, 1)
    return (x - base) * attribution(scene, base + alpha * (x - base), c).mean(0)


def scores(scene, c, probability):
    """The score of a batch of pictures."""
    def score(x):
        with torch.no_grad():
            y = scene.logits(x)
        return (y.softmax(1) if probability else y)[:, c]
    return score


def blend(x, base, masks):
    """The input where a mask (N×H×W) is 1, the baseline where it is 0."""
    m = masks[:, None, None]
    return x * m + base * (1 - m)


def occlusion(score, x, base, patch, stride):
    """Zeiler and Fergus 2014: the loss of score under a moving patch; at a pixel the mean of the patches over it."""
    (pw, ph), (height, width) = patch, x.shape[-2:]
    tops = sorted({min(at, height - ph) for at in range(0, height, stride[1])})
    lefts = sorted({min(at, width - pw) for at in range(0, width, stride[0])})
    hidden = torch.zeros(len(tops) * len(lefts), height, width).double()
    for k, (top, left) in enumerate((a, b) for a in tops for b in lefts):
        hidden[k, top:top + ph, left:left + pw] = 1
    loss = score(x[None]) - score(blend(x, base, 1 - hidden))
    return (loss.view(-1, 1, 1) * hidden).sum(0) / hidden.sum(0)


def rise_masks(n, grid, keep, height, width, seed):
    """Petsiuk et al. 2018, section 3.2: cells are kept by chance, enlarged to one cell more than the picture and cut out."""
    r = Random(seed)
    cells = -(-height // grid), -(-width // grid)
    masks = []
    for _ in range(n):
        small = torch.tensor([[float(r.uniform() < keep) for _ in range(grid)] for _ in range(grid)]).double()
        large = F.interpolate(small[None, None], size=[(grid + 1) * s for s in cells], mode="bilinear", align_corners=False)[0, 0]
        left = r.below(cells[1])
        top = r.below(cells[0])
        masks.append(large[top:top + height, left:left + width])
    return torch.stack(masks)


def rise(score, x, base, masks, keep):
    """Equation 6."""
    return torch.einsum("n,nhw->hw", score(blend(x, base, masks)), masks) / (keep * len(masks))


def scorecam(score, x, base, a, weight):
    """Wang et al. 2020 for the activation C×h×w, at its resolution. weight: "score" (the authors' code), "increase"
    (definition 3) or "softmax" (algorithm 1). A channel that is flat is left out, as the authors' code does it."""
    up = F.interpolate(a[None], size=x.shape[-2:], mode="bilinear", align_corners=False)[0]
    low, high = up.amin((1, 2), keepdim=True), up.amax((1, 2), keepdim=True)
    kept = (high > low).flatten()
    s = score(blend(x, base, ((up - low) / (high - low))[kept]))
    if weight == "increase":
        s = s - score(base[None])
    elif weight == "softmax":
        s = (s - score(base[None])).softmax(0)
    return F.relu(torch.einsum("c,chw->hw", s, a[kept]))


def lime_choices(n, segments, seed):
    """Which segments are seen in each sample: all of them in the first, then each by the lowest bit of a draw."""
    r = Random(seed)
    return torch.tensor([[1] * segments] + [[r.bits() & 1 for _ in range(segments)] for _ in range(n - 1)]).double()


def lime(score, x, base, labels, seen, width, penalty):
    """Ribeiro et al. 2016, sections 3.3 and 3.4: weighted ridge regression of the scores on what is seen, the constant
    without penalty. The weight of each segment, and the weighted R² of the fit."""
    y = score(blend(x, base, seen[:, labels]))
    cosine = F.cosine_similarity(seen, torch.ones_like(seen), dim=1)
    pi = torch.exp(-((1 - cosine) ** 2) / width**2)
    rows = torch.cat([seen, torch.ones(len(seen), 1).double()], 1) * pi.sqrt()[:, None]
    ridge = np.sqrt(penalty) * torch.eye(seen.shape[1] + 1).double()[:-1]
    w = torch.linalg.lstsq(torch.cat([rows, ridge]), torch.cat([y * pi.sqrt(), torch.zeros(len(ridge)).double()])[:, None], driver="gelsd").solution[:, 0]
    mean = (pi * y).sum() / pi.sum()
    fit = 1 - (pi * (y - seen @ w[:-1] - w[-1]) ** 2).sum() / (pi * (y - mean) ** 2).sum()
    return w[:-1], fit.item()


def superpixels(x, segments, compactness):
    """Achanta et al. 2012, algorithm 1, on the values of a pixel (0 to 100, root mean square over frames and channels) in
    place of CIELAB and without the step off edges. Pieces are not joined: a label may lie in several."""
    height, width = x.shape[-2:]
    pixels = (100 * (x - x.min()) / (x.max() - x.min())).reshape(-1, height, width).numpy()
    pixels = pixels / np.sqrt(len(pixels))
    step = np.sqrt(height * width / segments)
    across, down = round(width / step), round(height / step)
    y, x = np.indices((height, width))
    features, label = np.concatenate([[y, x], pixels]), y * down // height * across + x * across // width
    at = [((2 * j + 1) * height // (2 * down), (2 * i + 1) * width // (2 * across)) for j in range(down) for i in range(across)]
    centres = [features[:, cy, cx] for cy, cx in at]
    for _ in range(10):
        d = np.stack([((features - c[:, None, None])[2:] ** 2).sum(0) + ((y - c[0]) ** 2 + (x - c[1]) ** 2) * (compactness / step) ** 2
                      for c in centres])
        far = lambda at, c: (at < np.floor(c - step)) | (at > np.floor(c + step))  # in whole pixels, as the authors' code
        d[np.stack([far(y, c[0]) | far(x, c[1]) for c in centres])] = np.inf
        label = np.where(np.isfinite(d.min(0)), d.argmin(0), label)
        centres = [features[:, label == k].mean(1) if (label == k).any() else c for k, c in enumerate(centres)]
    return torch.from_numpy(np.unique(label, return_inverse=True)[1].reshape(height, width))


def layer_of(name, net):
    """What the last layer of a network is to endogate: a module, and how its answer becomes C×h×w."""
    modules = {
        "densenet121": lambda: net.features, "squeezenet": lambda: net.classifier[2], "shufflenetv2": lambda: net.conv5,
        "regnet": lambda: net.trunk_output[-1], "mobilenetv3": lambda: net.features[-1], "efficientnet": lambda: net.features[-1],
        "convnext": lambda: net.features[3][1].block[0], "googlenet": lambda: net.inception5b,
        "inceptionv3": lambda: net.Mixed_7a.branch7x7x3_3, "vit": lambda: net.blocks[2].norm1,
    }
    shapes = {
        "densenet121": F.relu, "vit": lambda a: a[:, 1:].transpose(1, 2).reshape(1, -1, 4, 4),
        "cnn3d": lambda a: a.mean(2), "cnntransformer": lambda a: a.mean(0, keepdim=True),
    }
    return modules.get(name, lambda: None)(), shapes.get(name, lambda a: a)


def activation(scene, x, layer, shaped):
    kept = []
    hook = layer.register_forward_hook(lambda m, i, o: kept.append(o.detach()))
    scene.logits(x[None])
    hook.remove()
    return shaped(kept[0])[0]


SEGMENTS = 16
SCORECAMS = {"score": True, "increase": False, "softmax": False}  # with probabilities


def forward_maps(scene, x, a, c, classes, labels):
    """The maps that are made of scores alone, as the Go test asks for them, and the fit of LIME."""
    logit, probability = scores(scene, c, False), scores(scene, c, True)
    black, zero = torch.full_like(x, -2), torch.zeros_like(x)
    weights, fit = lime(logit, x, black, labels, lime_choices(80, int(labels.max()) + 1, 11), 0.25, 1)
    maps = {
        "occlusion": occlusion(logit, x, black, (x.shape[3] // 8, x.shape[2] // 8), (x.shape[3] // 16, x.shape[2] // 16)),
        "occlusion uneven": occlusion(logit, x, black, (12, 10), (7, 9)),
        "rise": rise(probability, x, black, rise_masks(60, 5, 0.4, *x.shape[2:], 3), 0.4),
        "lime": weights,
    }
    for weight, p in SCORECAMS.items():
        score = scores(scene, classes[weight], p)
        maps["scorecam " + weight] = scorecam(score, x, zero if weight == "increase" else black, a, weight)
    return maps, fit


def shown(scene, x, a, ranked):
    """For each Score-CAM the first class whose map is not zero everywhere."""
    base, out = {"increase": torch.zeros_like(x)}, {}
    for weight, p in SCORECAMS.items():
        maps = (scorecam(scores(scene, k, p), x, base.get(weight, torch.full_like(x, -2)), a, weight) for k in ranked)
        out[weight] = next((k for k, m in zip(ranked, maps) if m.max() > 0), ranked[0])
    return out


def vectors(scene, x, a):
    """Of each map also how far rounding the logits to single precision moves it: where a network hardly answers to its
    input, no runtime in single precision comes nearer."""
    with torch.no_grad():
        logits = scene.logits(x[None])
    ranked, black = logits[0].argsort(descending=True).tolist(), torch.full_like(x, -2)
    c, classes, labels = ranked[0], shown(scene, x, a, ranked), superpixels(x, SEGMENTS, 10)
    noise = torch.stack([scene.picture(normal(7, k, x.numel())) for k in range(8)])
    integrated = integrated_gradients(scene, x, black, c, 32)
    out = [zoo.vector("smoothgrad", "", c, scene.flat(smoothgrad(scene, x, c, noise, 0.1))[None]),
           zoo.vector("integrated-gradients", "", c, scene.flat(integrated)[None])]
    maps, fit = forward_maps(scene, x, a, c, classes, labels)
    scene.single = True
    rounded, _ = forward_maps(scene, x, a, c, classes, labels)
    scene.single = False
    for name, m in maps.items():
        out.append(zoo.vector(name, "", classes.get(name.removeprefix("scorecam "), c), m[None]))
        out[-1]["rounding"] = (m - rounded[name]).abs().max().item()
    with torch.no_grad():
        change = (logits[0, c] - scene.logits(black[None])[0, c]).item()
    return {"shape": None, "class": c, "logits": logits[0].tolist(), "change": change,
            "gap": abs(integrated.sum().item() - change), "fit": fit, "maps": out}


def write(name, v):
    with open(os.path.join(HERE, name + ".json"), "w") as f:
        json.dump(zoo.rounded(v), f, separators=(",", ":"))
        f.write("\n")


def main():
    torch.manual_seed(21)
    os.makedirs(HERE, exist_ok=True)
    labels = {}
    for name, net, example, _, last, _ in zoo.all_jobs():
        net = net.double().eval()
        module, shaped = layer_of(name, net)
        logits_net = zoo.Wrapped(zoo.inner(net), net.before) if isinstance(net, zoo.Wrapped) else net
        scene = Scene(logits_net, example.shape)
        with torch.no_grad(), open(os.path.join(zoo.HERE, name + ".json")) as f:
            assert np.allclose(logits_net(example)[0], json.load(f)["logits"], rtol=1e-5), name + ": not the network of the zoo"
        x = hills(*scene.sizes)
        v = vectors(scene, x, activation(scene, x, last if module is None else module, shaped))
        v["shape"] = list(example.shape)
        write(name, v)
        labels["%dx%d" % tuple(x.shape[2:])] = ["".join(chr(ord("a") + k) for k in row) for row in superpixels(x, SEGMENTS, 10)]
        print(name, ["%.2g" % (m.get("rounding", 0) / max(m["max"], 1e-30)) for m in v["maps"]])
    write("superpixels", labels)


if __name__ == "__main__":
    main()
