"""Explanation methods in plain PyTorch, double precision, from their papers: what endogate's graphs are held against."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Rule:
    """Changes the backward pass of every ReLU of a network while it is active."""

    def __init__(self, net, rule):
        self.net, self.rule, self.hooks = net, rule, []

    def __enter__(self):
        def hook(module, into, out):
            if self.rule == "guided":
                return (F.relu(out[0]) * module.mask,)
            return (F.relu(out[0]),)

        def keep(module, args, out):
            module.mask = ((out > 0) & (out < 6)).double() if isinstance(module, nn.ReLU6) else (out > 0).double()

        for m in self.net.modules():
            if isinstance(m, (nn.ReLU, nn.ReLU6)):
                self.hooks.append(m.register_forward_hook(keep))
                self.hooks.append(m.register_full_backward_hook(hook))

    def __exit__(self, *_):
        for h in self.hooks:
            h.remove()


def gradient(net, x, seed):
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad((net(x) * seed).sum(), x)[0]


def ruled(net, x, seed, rule):
    with Rule(net, rule):
        return gradient(net, x, seed)


def at_layer(net, x, seed, layer):
    """Activation and gradient of a module's output."""
    kept = {}
    hook = layer.register_forward_hook(lambda m, i, o: kept.__setitem__("a", o))
    logits = net(x.clone().requires_grad_(True))
    hook.remove()
    return kept["a"].detach(), torch.autograd.grad((logits * seed).sum(), kept["a"])[0]


def cam(method, a, g):
    places = tuple(range(2, a.dim()))
    if method == "gradcam":
        return F.relu((g.mean(places, keepdim=True) * a).sum(1))
    if method == "hirescam":
        return F.relu((g * a).sum(1))
    if method == "layercam":
        return F.relu((F.relu(g) * a).sum(1))
    below = 2 * g**2 + g**3 * a.sum(places, keepdim=True)
    alpha = torch.where(below == 0, torch.zeros_like(g), g**2 / torch.where(below == 0, torch.ones_like(g), below))
    return F.relu(((alpha * F.relu(g)).sum(places, keepdim=True) * a).sum(1))


def stretched(m, x):
    """A map at the input's size with a channel axis of one: N×C×H×W, N×H×W×C, N×C×T×H×W or N×T×C×H×W."""
    if x.dim() == 5 and x.shape[1] == 3:
        return F.interpolate(m[:, None], size=x.shape[2:], mode="trilinear", align_corners=False)
    if x.shape[-1] == 3:
        return F.interpolate(m[:, None], size=x.shape[1:3], mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    up = F.interpolate(m[:, None], size=x.shape[-2:], mode="bilinear", align_corners=False)
    return up[None] if x.dim() == 5 else up


def layer_saliency(net, x, layer):
    kept = {}
    hook = layer.register_forward_hook(lambda m, i, o: kept.__setitem__("a", o))
    x = x.clone().requires_grad_(True)
    net(x)
    hook.remove()
    return torch.autograd.grad(kept["a"].max(1).values.sum(), x)[0]


EPS = 1e-6


def stable(z):
    return z + torch.where(z < 0, -EPS, EPS).to(z)


def back(f, x, s):
    x = x.detach().clone().requires_grad_(True)
    return torch.autograd.grad((f(x) * s).sum(), x)[0]


def with_weights(m, w, b):
    if isinstance(m, nn.Conv2d):
        return lambda x: F.conv2d(x, w, b, m.stride, m.padding, m.dilation, m.groups)
    return lambda x: F.linear(x, w, b)


def lrp_layer(m, x, r, rule, first):
    """Relevance of the inputs of one layer of a sequential network."""
    if isinstance(m, (nn.ReLU, nn.Dropout)):
        return r
    if isinstance(m, nn.MaxPool2d):
        return back(m, x, r)
    if isinstance(m, nn.Flatten):
        return r.reshape(x.shape)
    if not isinstance(m, (nn.Conv2d, nn.Linear)) or rule == "lrp-epsilon":
        return x * back(m, x, r / stable(m(x)))
    w, b = m.weight, m.bias
    if rule == "lrp-gamma" and not first:
        f = with_weights(m, w + 0.25 * F.relu(w), b + 0.25 * F.relu(b))
        return x * back(f, x, r / stable(f(x)))
    wp, wn = F.relu(w), -F.relu(-w)
    if first:
        low, high = torch.full_like(x, -2.5), torch.full_like(x, 2.5)
        f, fp, fn = (with_weights(m, v, None) for v in (w, wp, wn))
        s = r / stable(f(x) - fp(low) - fn(high))
        return x * back(f, x, s) - low * back(fp, x, s) - high * back(fn, x, s)
    xp, xn = F.relu(x), -F.relu(-x)
    bp, bn = F.relu(b), -F.relu(-b)
    up, down = with_weights(m, wp, None), with_weights(m, wn, None)
    shape = (1, -1) + (1,) * (r.dim() - 2)
    zp = up(xp) + down(xn) + bp.view(shape)
    zn = down(xp) + up(xn) + bn.view(shape)
    sp, sn = 2 * r / (zp + EPS), -1 * r / (zn - EPS)
    return (xp * back(up, x, sp) + xn * back(down, x, sp)) + (xp * back(down, x, sn) + xn * back(up, x, sn))


def lrp(layers, x, seed, rule):
    acts = [x]
    for m in layers:
        acts.append(m(acts[-1]).detach())
    r = seed * acts[-1]
    for i in reversed(range(len(layers))):
        r = lrp_layer(layers[i], acts[i], r, rule, i == 0)
    return r


def deeplift(layers, x, seed):
    """Rescale rule against zeros; max pooling shares its difference out as SHAP's does."""
    a, b = [x], [torch.zeros_like(x)]
    for m in layers:
        a.append(m(a[-1]).detach())
        b.append(m(b[-1]).detach())
    m_out = seed.expand_as(a[-1])
    for i in reversed(range(len(layers))):
        layer, d = layers[i], a[i] - b[i]
        far = d.abs() > EPS
        one = torch.where(far, d, torch.ones_like(d))
        plain = back(layer, a[i], m_out)
        if isinstance(layer, nn.ReLU):
            m_out = torch.where(far, m_out * (a[i + 1] - b[i + 1]) / one, plain)
        elif isinstance(layer, nn.MaxPool2d):
            both = torch.maximum(a[i + 1], b[i + 1])
            total = back(layer, a[i], m_out * (both - b[i + 1])) + back(layer, b[i], m_out * (a[i + 1] - both))
            m_out = torch.where(far, total / one, torch.zeros_like(total))
        else:
            m_out = plain
    return m_out * x


def rollout(attentions, weighted=None):
    """Attention rollout, or with gradients the gradient-weighted attention of Chefer et al.; heads×T×T each."""
    eye = torch.eye(attentions[0].shape[-1]).double()
    r = eye.clone()
    for i, a in enumerate(attentions):
        if weighted is None:
            m = 0.5 * a.mean(0) + 0.5 * eye
            r = (m / m.sum(1, keepdim=True)) @ r
        else:
            r = r + F.relu(weighted[i] * a).mean(0) @ r
    return r[0, 1:]
