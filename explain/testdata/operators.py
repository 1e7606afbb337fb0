#!/usr/bin/python3
"""Small networks of one operator each (operators/*.onnx), and what PyTorch's autograd says of them in double precision
(operators/*.json): logits and the gradient of the second one at the picture. Where Debian's torch has no such operator (Attention of
ONNX 23, RotaryEmbedding) it is written here as the standard has it. Needs Debian's python3-torch,
python3-torchvision and python3-onnx."""
import json
import os

import numpy as np
import onnx
import torch
import torch.nn.functional as F
import torchvision
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "operators")
SHAPE, CLASSES = [1, 2, 4, 4], 3
random = np.random.default_rng(11)


class Network:
    """Nodes over x, of which y is the last."""

    def __init__(self, opset=17):
        self.opset, self.nodes, self.weights = opset, [], []

    def weight(self, *dims, values=None, spread=0.6):
        v = random.normal(0, spread, dims).astype(np.float32) if values is None else np.asarray(values)
        name = "w%d" % len(self.weights)
        self.weights.append(numpy_helper.from_array(v, name))
        return name, torch.from_numpy(v).double() if v.dtype == np.float32 else torch.from_numpy(v)

    def node(self, typ, inputs, outputs, **attributes):
        self.nodes.append(helper.make_node(typ, inputs, outputs if isinstance(outputs, list) else [outputs], name="%s_%d" % (typ, len(self.nodes)), **attributes))

    def reshape(self, x, y, *dims):
        self.node("Reshape", [x, self.weight(values=np.array(dims, np.int64))[0]], y)


def gather_nd(n):
    at = np.array([[[0, 1, 2], [1, -1, 0], [1, 3, 0], [0, 0, -2]]], np.int64)
    n.node("GatherND", ["x", n.weight(values=at)[0]], "y", batch_dims=1)
    return lambda x: torch.stack([x[0, c, h, w] for c, h, w in at[0]])[None]


def top_k(n):
    n.node("TopK", ["x", n.weight(values=np.array([2], np.int64))[0]], ["y", "at"], axis=3)
    return lambda x: torch.topk(x, 2, 3).values


def scan(n):
    start, s0 = n.weight(1, 2, 4)
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    port = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 4])
    body = helper.make_graph([
        helper.make_node("Mul", ["s", "half"], ["less"]), helper.make_node("Add", ["less", "row"], ["sum"]), helper.make_node("Tanh", ["sum"], ["next"]),
        helper.make_node("Identity", ["next"], ["row_out"]),
    ], "body", [port("s"), port("row")], [port("next"), port("row_out")], [half])
    n.node("Scan", [start, "x"], ["end", "y"], body=body, num_scan_inputs=1, scan_input_axes=[2], scan_output_axes=[2])

    def run(x):
        s, rows = s0, []
        for i in range(4):
            s = torch.tanh(0.5 * s + x[:, :, i])
            rows.append(s)
        return torch.stack(rows, 2)
    return run


def grid_sample(n):
    grid, g = n.weight(1, 3, 5, 2)
    n.node("GridSample", ["x", grid], "y", mode="bilinear", padding_mode="zeros", align_corners=0)
    return lambda x: F.grid_sample(x, g, mode="bilinear", padding_mode="zeros", align_corners=False)


def affine_grid(n):
    """The picture says itself where it is looked at: a spatial transformer."""
    n.reshape("x", "flat", 1, 32)
    dense, d = n.weight(32, 6, spread=0.05)
    own, o = n.weight(values=np.array([0.8, 0.1, 0.05, -0.1, 0.7, -0.03], np.float32))
    n.node("MatMul", ["flat", dense], "turn")
    n.node("Add", ["turn", own], "six")
    n.reshape("six", "theta", 1, 2, 3)
    n.node("AffineGrid", ["theta", n.weight(values=np.array(SHAPE, np.int64))[0]], "grid", align_corners=0)
    n.node("GridSample", ["x", "grid"], "y", mode="linear", padding_mode="zeros", align_corners=0)
    return lambda x: F.grid_sample(x, F.affine_grid((x.reshape(1, 32) @ d + o).reshape(1, 2, 3), SHAPE, align_corners=False), align_corners=False)


def rotary(n):
    cos, c = n.weight(4, 2)
    sin, s = n.weight(4, 2)
    n.node("RotaryEmbedding", ["x", cos, sin, n.weight(values=np.array([[2, 0, 1, 3]], np.int64))[0]], "y")

    def run(x):
        cosines, sines = c[[2, 0, 1, 3]], s[[2, 0, 1, 3]]
        low, high = x[..., :2], x[..., 2:]
        return torch.cat([low * cosines - high * sines, low * sines + high * cosines], -1)
    return run


def lp_pool(n):
    n.node("LpPool", ["x"], "y", p=2, kernel_shape=[2, 2], strides=[1, 2])
    return lambda x: F.lp_pool2d(x, 2, (2, 2), (1, 2))


def reduce_prod(n):
    n.node("ReduceProd", ["x"], "y", axes=[3], keepdims=1)
    return lambda x: torch.prod(x, 3, keepdim=True)


def attention(four, causal=False, cap=0.0, mask=None, past=0, value=2, lengths=0, products=None, computed=False):
    """Four heads of two, keys for two: with four axes as torch.nn.functional.scaled_dot_product_attention is exported, or with three.
    products puts the scores out, by the mode of that number; computed makes the mask of the picture."""
    def build(n):
        n.reshape("x", "tokens", 1, 4, 8)
        names, w = [], []
        for k, (heads, size) in enumerate([(4, 2), (2, 2), (2, value)]):
            weight, v = n.weight(8, heads * size)
            w.append(v)
            name = "qkv"[k]
            n.node("MatMul", ["tokens", weight], name)
            if four:
                n.reshape(name, name + "_apart", 1, 4, heads, size)
                n.node("Transpose", [name + "_apart"], name + "_heads", perm=[0, 2, 1, 3])
                name += "_heads"
            names.append(name)
        attributes = {} if four else {"q_num_heads": 4, "kv_num_heads": 2}
        if causal:
            attributes["is_causal"] = 1
        if cap:
            attributes["softcap"] = cap
        names += ["", "", "", ""]
        bias, before = torch.zeros(4, 4 + past), None
        if mask is not None:
            names[3], bias = n.weight(values=np.array(mask))
        if computed:
            n.reshape("x", "rows", 1, 1, 8, 4)
            n.node("Slice", ["rows"] + [n.weight(values=np.array(v, np.int64))[0] for v in ([0], [4], [2])], "square")
            n.node("Greater", ["square", n.weight(values=np.array(-0.7, np.float32))[0]], "seen")
            n.node("Or", ["seen", n.weight(values=np.eye(4, dtype=bool))[0]], "mask")
            names[3] = "mask"
        outputs = ["out"]
        if past:
            (pk, k0), (pv, v0) = n.weight(1, 2, past, 2), n.weight(1, 2, past, value)
            names[4:6], before, outputs = [pk, pv], (k0, v0), ["out", "present_key", "present_value"]
        if lengths:
            names[6] = n.weight(values=np.array([lengths], np.int64))[0]
        if products is not None:
            attributes["qk_matmul_output_mode"], outputs = products, ["out", "", "", "products"]
        while not names[-1]:
            names.pop()
        n.node("Attention", names, outputs, **attributes)
        if products is not None:
            n.reshape("products", "line of products", 1, 64)
            n.reshape("out", "line of values", 1, 32)
            n.node("Concat", ["line of products", "line of values"], "y", axis=1)
        else:
            n.node("Identity", ["out"], "y")

        def run(x):
            q, k, v = [(x.reshape(1, 4, 8) @ one).reshape(1, 4, h, -1).transpose(1, 2) for one, h in zip(w, (4, 2, 2))]
            if before:
                k, v = torch.cat([before[0], k], 2), torch.cat([before[1], v], 2)
            k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
            keys = k.shape[2]
            stages = [q @ k.transpose(2, 3) / 2 ** 0.5]
            stages.append(cap * torch.tanh(stages[0] / cap) if cap else stages[0])
            b = (x.reshape(8, 4)[:4] > np.float32(-0.7)) | torch.eye(4, dtype=torch.bool) if computed else bias
            b = torch.zeros(b.shape).masked_fill(~b, -np.inf) if b.dtype == torch.bool else b
            if causal:
                offset = lengths - 4 if lengths and not past else past
                b = b.masked_fill(torch.arange(keys) > torch.arange(4)[:, None] + offset, -np.inf)
            if lengths:
                b = b.masked_fill(torch.arange(keys) >= lengths, -np.inf)
            stages.append(stages[1] + b)
            stages.append(stages[2].softmax(-1))
            y = stages[3] @ v
            if products is not None:
                return torch.cat([stages[products].reshape(1, 64), y.reshape(1, 32) if four else y.transpose(1, 2).reshape(1, 32)], 1)
            return y if four else y.transpose(1, 2).reshape(1, 4, -1)
        return run
    return build


def deform_conv(n):
    """The picture says itself where each place of a kernel reads, and how much that counts."""
    kernels, k = n.weight(4, 1, 3, 3)
    bias, b = n.weight(4)
    where, o = n.weight(36, 2, 3, 3, spread=0.2)
    much, m = n.weight(18, 2, 3, 3)
    n.node("Conv", ["x", where], "offset", pads=[1, 1, 0, 0], strides=[2, 1])
    n.node("Conv", ["x", much], "open", pads=[1, 1, 0, 0], strides=[2, 1])
    n.node("Sigmoid", ["open"], "mask")
    n.node("DeformConv", ["x", kernels, "offset", bias, "mask"], "y", pads=[2, 1, 1, 0], strides=[2, 1], dilations=[2, 1], group=2, offset_group=2)

    def run(x):
        read = lambda w: F.conv2d(F.pad(x, (1, 0, 1, 0)), w, stride=(2, 1))
        padded = F.pad(x, (1, 0, 2, 1))
        return torchvision.ops.deform_conv2d(padded, read(o), k, b, (2, 1), (0, 0), (2, 1), torch.sigmoid(read(m)))
    return run


SEEN = np.array([[1, 1, 0, 1], [0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
BIAS = np.array([[0.5, -1, 0, 1], [0, 0.25, -np.inf, 1], [1, 0, 2, 0], [-0.75, 1, 1, -np.inf]], np.float32)

JOBS = {
    "gathernd": (gather_nd, 17), "topk": (top_k, 17), "scan": (scan, 17), "gridsample": (grid_sample, 17), "affinegrid": (affine_grid, 20),
    "rotaryembedding": (rotary, 23), "lppool": (lp_pool, 18), "reduceprod": (reduce_prod, 17),
    "attention4": (attention(True), 23), "attention3": (attention(False, value=3), 23), "attention4_causal": (attention(True, causal=True), 23),
    "attention3_causal": (attention(False, causal=True), 24), "attention3_softcap": (attention(False, cap=0.7), 23),
    "attention4_mask": (attention(True, mask=SEEN), 23),
    "attention4_past": (attention(True, past=3), 23), "attention3_past_causal": (attention(False, causal=True, past=2), 23),
    "attention4_softcap_mask": (attention(True, cap=0.7, mask=SEEN), 23), "attention3_softcap_causal": (attention(False, cap=0.7, causal=True), 24),
    "attention4_softcap_bias": (attention(True, cap=0.7, mask=BIAS), 24), "attention3_mask_causal": (attention(False, causal=True, mask=SEEN | np.eye(4, dtype=bool)), 24),
    "attention4_lengths": (attention(True, lengths=3), 24),
    "attention3_lengths_causal": (attention(False, causal=True, lengths=4, cap=0.9), 24), "attention4_computed_mask": (attention(True, computed=True, cap=1.1), 24),
    "attention4_products": (attention(True, products=0, mask=SEEN), 24), "attention3_capped_products": (attention(False, products=1, cap=0.7, mask=SEEN), 24),
    "attention4_biased_products": (attention(True, products=2, cap=0.7, mask=np.maximum(BIAS, -2)), 24), "attention4_shares": (attention(True, products=3, cap=0.7, mask=BIAS), 24),
    "deformconv": (deform_conv, 22),
}


def main():
    os.makedirs(HERE, exist_ok=True)
    for name, (build, opset) in JOBS.items():
        n = Network(opset)
        run = build(n)
        i = torch.arange(32)
        x = (((i * 7919) % 512).double() / 128 - 2).reshape(SHAPE).requires_grad_()
        y = run(x)
        n.node("Flatten", ["y"], "line", axis=1)
        dense, d = n.weight(y.numel(), CLASSES)
        n.node("MatMul", ["line", dense], "logits")
        logits = y.reshape(1, -1) @ d
        logits[0, 1].backward()
        port = lambda name, dims: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        graph = helper.make_graph(n.nodes, name, [port("x", SHAPE)], [port("logits", [1, CLASSES])], n.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 18 else 10)
        with open(os.path.join(HERE, name + ".onnx"), "wb") as f:
            f.write(model.SerializeToString())
        with open(os.path.join(HERE, name + ".json"), "w") as f:
            json.dump({"shape": SHAPE, "logits": logits[0].tolist(), "gradient": x.grad.reshape(-1).tolist()}, f)
        print(name, logits[0].tolist())


if __name__ == "__main__":
    main()
