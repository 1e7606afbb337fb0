#!/usr/bin/python3
"""LRP and DeepLIFT of the networks of zoo.py in plain PyTorch, double precision (relevance/*.json), for package explain.

Needs what zoo.py needs. A vector is zoo.py's. Both methods walk the graph of ATen operators that a run of the network leaves, each from
its paper: LRP of Bach et al. 2015 and Montavon et al. 2019, gates and attention by Arras et al. 2019 and Ali et al. 2022, DeepLIFT's
rescale rule of Shrikumar et al. 2017, products half-way.
"""
import json
import operator
import os
import sys

import torch
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx

import zoo

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relevance")
STABILISER, NEAR, GAMMA = 1e-9, 1e-6, 0.25
LOW, HIGH = -2.5, 2.5

ACTIVATIONS = {"relu", "hardtanh", "clamp", "sigmoid", "hardsigmoid", "hardswish", "silu", "gelu", "tanh", "elu", "dropout", "leaky_relu"}
MOVES = {"view", "_unsafe_view", "_reshape_alias", "reshape", "permute", "transpose", "t", "expand", "slice", "select", "cat", "split", "split_with_sizes", "unbind",
         "unsqueeze", "squeeze", "constant_pad_nd", "clone", "detach", "alias", "max_pool2d_with_indices", "max_pool3d_with_indices", "getitem"}
POOLS = {"max_pool2d_with_indices", "max_pool3d_with_indices"}
WEIGHTED = {"convolution", "addmm", "mm", "bmm"}
GATES = {"_softmax": 3, "sigmoid": 2, "hardsigmoid": 2}


def first(v):
    return v[0] if isinstance(v, (tuple, list)) else v


class Graph:
    """One run of a network: nodes in order, what each computed, and which depend on the input."""

    def __init__(self, net, x):
        with torch.no_grad():
            self.module = make_fx(net)(x)
        self.nodes = list(self.module.graph.nodes)
        self.input = next(n for n in self.nodes if n.op == "placeholder")
        self.output = self.nodes[-1].args[0]
        self.varying = {self.input}
        for n in self.nodes:
            if any(i in self.varying for i in n.all_input_nodes):
                self.varying.add(n)
        self.values = self.run(x)

    def kind(self, n):
        if n.op != "call_function":
            return n.op
        return "getitem" if n.target is operator.getitem else n.target.__name__.split(".")[0].rstrip("_")

    def call(self, n, known):
        arguments = torch.fx.node.map_arg(n.args, lambda i: known[i])
        if n.target is not operator.getitem and n.target.__name__.split(".")[0].endswith("_"):  # works in place
            arguments = (arguments[0].clone(), *arguments[1:])
        return n.target(*arguments, **torch.fx.node.map_arg(n.kwargs, lambda i: known[i]))

    def run(self, x):
        known = {}
        with torch.no_grad():
            for n in self.nodes:
                if n.op == "placeholder":
                    known[n] = x
                elif n.op == "get_attr":
                    known[n] = getattr(self.module, n.target)
                elif n.op == "call_function":
                    known[n] = self.call(n, known)
        return known

    def inputs(self, n):
        return [i for i in n.all_input_nodes if i in self.varying]

    def pull(self, n, values, s, only=None):
        """The vector-Jacobian product of one operator, for each input that depends on the network's."""
        wanted = [i for i in self.inputs(n) if only is None or i is only]
        known = dict(values)
        for i in wanted:
            if isinstance(values[i], (tuple, list)):
                return [s_of_item(n, values[i], s)]
            known[i] = values[i].detach().clone().requires_grad_(True)
        with torch.enable_grad():
            y = self.call(n, known)
        outs = list(y) if isinstance(y, (tuple, list)) else [y]
        grads = s if isinstance(s, list) else [s]
        pairs = [(o, g) for o, g in zip(outs, grads) if g is not None and o.requires_grad]
        return torch.autograd.grad([o for o, _ in pairs], [known[i] for i in wanted], [g for _, g in pairs])

    def fused(self):
        """Batch norms that alone read a convolution, with the weights and the bias of both."""
        found = {}
        for n in self.nodes:
            if self.kind(n) != "native_batch_norm":
                continue
            c, (gamma, beta, mean, var) = n.args[0], [self.values[a] for a in n.args[1:5]]
            if self.kind(c) == "convolution" and len(c.users) == 1 and not c.args[6]:
                scale = gamma / (var + n.args[7]).sqrt()
                w, b = self.values[c.args[1]], 0 if c.args[2] is None else self.values[c.args[2]]
                found[c] = (n, w * scale.view(-1, *[1] * (w.dim() - 1)), beta + (b - mean) * scale)
        return found


def s_of_item(n, values, s):
    """What an element of a list gets, as a list with nothing for the others."""
    return [s if k == n.args[1] else None for k in range(len(values))]


def added(a, b):
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, list):
        return [added(p, q) for p, q in zip(a, b)]
    return a + b


def filled(s, y):
    """The gradients of a list, zeros where none came."""
    if not isinstance(s, list):
        return s
    return [torch.zeros_like(v) if g is None and v.is_floating_point() else g for g, v in zip(s, y)]


def stable(z):
    return z + torch.where(z < 0, -STABILISER, STABILISER).to(z)


def fitted(r, x):
    """Summed over what was broadcast."""
    return r.sum_to_size(x.shape)


class LRP:
    def __init__(self, graph, rule):
        self.g, self.rule, self.v, self.fused = graph, rule, graph.values, graph.fused()
        self.folded = {n for n, _, _ in self.fused.values()}
        self.biases = {}  # of products that PyTorch leaves apart from them: mm, view, add
        for n in graph.nodes:
            if graph.kind(n) == "add" and len(graph.inputs(n)) == 1:
                view = graph.inputs(n)[0]
                if graph.kind(view) == "_unsafe_view" and graph.kind(view.args[0]) == "mm":
                    self.biases[view.args[0]] = self.v[next(a for a in n.args if a is not view)]
                    self.folded.add(n)

    def relevance(self, seed):
        g, r = self.g, {self.g.output: seed * self.v[self.g.output]}
        for n in reversed(g.nodes):
            if n in r and n is not g.input and n in g.varying and n.op == "call_function":
                for i, part in zip(g.inputs(n), self.step(n, filled(r[n], self.v[n]))):
                    if part is not None:
                        r[i] = added(r.get(i), part)
        return r[g.input]

    def gate(self, n):
        """How surely a tensor only scales what it is multiplied with."""
        kind = self.g.kind(n)
        if kind in GATES:
            return GATES[kind]
        inputs = self.g.inputs(n)
        return self.gate(inputs[0]) if kind in MOVES | {"mul", "div", "add", "sub"} and len(inputs) == 1 else 0

    def step(self, n, r):
        g, v, kind = self.g, self.v, self.g.kind(n)
        inputs = g.inputs(n)
        if kind in ACTIVATIONS or n in self.folded:
            return [first(r)]
        if kind in MOVES:
            return g.pull(n, v, r)
        if kind in ("mul", "bmm") and len(inputs) == 2:
            a, b = (self.gate(i) for i in inputs)
            if a != b:
                at = 0 if a < b else 1
                parts = [None, None]
                if kind == "mul":
                    parts[at] = fitted(r, v[inputs[at]])
                else:
                    parts[at] = v[inputs[at]] * g.pull(n, v, r / stable(v[n]), inputs[at])[0]
                return parts
            return [0.5 * v[i] * d for i, d in zip(inputs, g.pull(n, v, r / stable(v[n])))]
        if kind in ("mul", "div") or (kind == "add" and self.bounds(n)[0] is not None):
            return [fitted(r, v[inputs[0]])]
        if kind == "native_layer_norm":
            return [self.norm(n, first(r))]
        if kind in WEIGHTED and len(inputs) == 1:
            return [self.layer(n, inputs[0], r)]
        return [v[i] * d for i, d in zip(inputs, g.pull(n, v, first(r) / stable(first(v[n]))))]

    def norm(self, n, r):
        x, scale, eps = self.v[n.args[0]], self.v[n.args[2]], n.args[4]
        axes = tuple(range(x.dim() - len(n.args[1]), x.dim()))
        s = r / stable(self.v[n][0]) * scale / (x.var(axes, unbiased=False, keepdim=True) + eps).sqrt()
        return x * (s - s.mean(axes, keepdim=True))

    def layer(self, n, i, r):
        """A layer with weights: f(x, w, b)."""
        g, v, kind = self.g, self.v, self.g.kind(n)
        at = n.args.index(i)
        if kind == "convolution":
            w, b, rest = v[n.args[1]], None if n.args[2] is None else v[n.args[2]], n.args[3:]
            if n in self.fused:
                _, w, b = self.fused[n]
            f = lambda x, w, b: torch.ops.aten.convolution(x, w, b, *rest)
        else:
            pair = n.args[-2:]
            w, b = v[pair[0] if pair[1] is i else pair[1]], v[n.args[0]] if kind == "addmm" else self.biases.get(n)
            left = pair[0] is i
            f = lambda x, w, b: (x @ w if left else w @ x) + (0 if b is None else b)
        x = v[i]

        def pull(w, x, s):
            x = x.detach().clone().requires_grad_(True)
            with torch.enable_grad():
                return torch.autograd.grad(f(x, w, None), x, s)[0]

        if self.rule == "lrp-epsilon":
            return x * pull(w, x, r / stable(f(x, w, b)))
        low, high = self.bounds(i)
        p, m = F.relu, lambda t: -F.relu(-t)
        if low is not None:
            s = r / stable(f(x, w, None) - f(low, p(w), None) - f(high, m(w), None))
            return x * pull(w, x, s) - low * pull(p(w), x, s) - high * pull(m(w), x, s)
        bp, bm = (None, None) if b is None else (p(b), m(b))
        zp, zn = f(p(x), p(w), bp) + f(m(x), m(w), None), f(p(x), m(w), bm) + f(m(x), p(w), None)
        if self.rule == "lrp-gamma":  # in the general form of Andéol et al. 2021, for values of either sign
            z = f(x, w, b)
            sp, sn = (torch.where(side, r / stable(z + GAMMA * part), torch.zeros_like(r)) for side, part in ((z >= 0, zp), (z < 0, zn)))
            return x * pull(w, x, sp + sn) + GAMMA * (
                p(x) * pull(p(w), x, sp) + m(x) * pull(m(w), x, sp) + p(x) * pull(m(w), x, sn) + m(x) * pull(p(w), x, sn))
        sp, sn = 2 * r / (zp + STABILISER), -r / (zn - STABILISER)
        return p(x) * pull(p(w), x, sp) + m(x) * pull(m(w), x, sp) + p(x) * pull(m(w), x, sn) + m(x) * pull(p(w), x, sn)

    def bounds(self, n):
        """The least and the greatest picture as a tensor that only rearranges, scales or shifts the input shows it."""
        if n is self.g.input:
            return torch.full_like(self.v[n], LOW), torch.full_like(self.v[n], HIGH)
        affine = self.g.kind(n) in ("mul", "add")
        if not (affine or self.g.kind(n) in MOVES - POOLS) or len(self.g.inputs(n)) != 1 or isinstance(self.v[n], (tuple, list)):
            return None, None
        bounds = self.bounds(self.g.inputs(n)[0])
        if bounds[0] is None:
            return None, None
        low, high = (self.g.call(n, {**self.v, self.g.inputs(n)[0]: bound}) for bound in bounds)
        return (torch.minimum(low, high), torch.maximum(low, high)) if affine else (low, high)


class DeepLIFT:
    def __init__(self, graph, x):
        self.g, self.a, self.b = graph, graph.values, graph.run(torch.zeros_like(x))

    def contributions(self, seed):
        g, m = self.g, {self.g.output: seed}
        for n in reversed(g.nodes):
            if n in m and n is not g.input and n in g.varying and n.op == "call_function":
                for i, part in zip(g.inputs(n), self.step(n, filled(m[n], self.a[n]))):
                    m[i] = added(m.get(i), part)
        return m[g.input] * (self.a[g.input] - self.b[g.input])

    def quotient(self, difference, run, slope):
        far = run.abs() > NEAR
        return torch.where(far, difference / torch.where(far, run, torch.ones_like(run)), slope)

    def step(self, n, m):
        g, a, b, kind = self.g, self.a, self.b, self.g.kind(n)
        inputs = g.inputs(n)
        if kind in ACTIVATIONS:
            i = inputs[0]
            slope = g.pull(n, a, torch.ones_like(a[n]))[0]
            return [m * self.quotient(a[n] - b[n], a[i] - b[i], slope)]
        if kind in POOLS:
            i, y, y0, m = inputs[0], a[n][0], b[n][0], m[0]
            both = torch.maximum(y, y0)
            total = g.pull(n, a, [m * (both - y0)])[0] + g.pull(n, b, [m * (y - both)])[0]
            return [self.quotient(total, a[i] - b[i], torch.zeros_like(total))]
        if kind in ("mul", "bmm") and len(inputs) == 2:
            return g.pull(n, {**a, **{i: (a[i] + b[i]) / 2 for i in inputs}}, m)
        if kind == "_softmax":
            return [self.softmax(a[inputs[0]], b[inputs[0]], n.args[1], m)]
        if kind == "native_layer_norm":
            return [self.norm(n, m[0])]
        return g.pull(n, a, m)

    def softmax(self, x, x0, axis, m):
        """exp(z) with z = x - log(Σexp(x))."""
        exp = lambda v, v0: self.quotient(v.exp() - v0.exp(), v - v0, v.exp())
        total, total0 = (v.logsumexp(axis, keepdim=True) for v in (x, x0))
        of_z = m * exp(x - total, x0 - total0)
        top = torch.maximum(total, total0)
        share = exp(x - top, x0 - top) / exp(total - top, total0 - top)
        return of_z - share * of_z.sum(axis, keepdim=True)

    def norm(self, n, m):
        """d·i·scale with d = x - mean and i = 1/√(mean(d²)+eps)."""
        x, x0, scale, eps = self.a[n.args[0]], self.b[n.args[0]], self.a[n.args[2]], n.args[4]
        axes = tuple(range(x.dim() - len(n.args[1]), x.dim()))
        d, d0 = x - x.mean(axes, keepdim=True), x0 - x0.mean(axes, keepdim=True)
        q, q0 = (d**2).mean(axes, keepdim=True), (d0**2).mean(axes, keepdim=True)
        i, i0 = (q + eps) ** -0.5, (q0 + eps) ** -0.5
        of_i = (m * scale * (d + d0) / 2).sum(axes, keepdim=True)
        of_q = of_i * self.quotient(i - i0, q - q0, -0.5 * (q + eps) ** -1.5)
        of_d = m * scale * (i + i0) / 2 + of_q * (d + d0) * (d.numel() // q.numel()) ** -1
        return of_d - of_d.mean(axes, keepdim=True)


def main():
    torch.manual_seed(21)
    os.makedirs(HERE, exist_ok=True)
    for name, net, x, _, _, _ in zoo.all_jobs():
        net = net.double().eval()
        net.float().double()  # what the exporter wrote
        if isinstance(net, zoo.Wrapped):
            net = zoo.Wrapped(zoo.inner(net), net.before)
        with torch.no_grad():
            logits = net(x)[0]
        c = int(logits.argmax())
        seed = torch.zeros_like(logits)[None]
        seed[0, c] = 1
        graph = Graph(net, x)
        maps = [zoo.vector(rule, "", c, LRP(graph, rule).relevance(seed)) for rule in ["lrp-epsilon", "lrp-gamma", "lrp-alphabeta"]]
        maps.append(zoo.vector("deeplift", "", c, DeepLIFT(graph, x).contributions(seed)))
        with open(os.path.join(HERE, name + ".json"), "w") as f:
            json.dump(zoo.rounded({"shape": list(x.shape), "logits": logits.tolist(), "maps": maps}), f, separators=(",", ":"))
            f.write("\n")
        print(name, *("%s %.3g" % (m["method"], m["max"]) for m in maps), flush=True)


if __name__ == "__main__":
    main()
