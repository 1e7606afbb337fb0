#!/usr/bin/env python3
"""Makes the reference vectors of package inference: resize.json, demo.json and frames/*.png.

Needs Debian's python3-pil, python3-numpy, python3-torch and python3-onnx. Run it in this folder;
the tests read only what it wrote. It follows model.yaml by hand and shares no code with the Go package.
"""
import json
import os

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from PIL import Image

TESTDATA = "../../testdata"
FRAMES = ["polyp-0017b7c7", "polyp-316ca655", "cecum-2", "bbps-0-1-2", "polyp-2"]
CLASSES = ["polyp", "normal-cecum", "normal-mucosa", "inadequate-preparation", "esophagus"]


def noise(width, height):
    """Pixels that the Go test makes alike: a linear congruential generator, upper byte."""
    state, out = width * 1000 + height, bytearray()
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(state >> 24)
    return Image.frombytes("RGB", (width, height), bytes(out))


def resize_vectors():
    filters = {
        "bilinear-antialias": Image.Resampling.BILINEAR,
        "bicubic-antialias": Image.Resampling.BICUBIC,
        "area": Image.Resampling.BOX,
        "nearest": Image.Resampling.NEAREST,
    }
    sizes = [((37, 29), (16, 12)), ((64, 48), (16, 16)), ((11, 9), (20, 17)), ((90, 7), (13, 7)), ((5, 60), (5, 8)), ((1, 1), (4, 3))]
    for name, f in filters.items():
        for (w, h), size in sizes:
            yield {"filter": name, "from": [w, h], "to": list(size), "pixels": noise(w, h).resize(size, f).tobytes().hex()}


def crop_border(a, threshold=30, min_fraction=0.15, min_size=32):
    bright = a.max(axis=2) > threshold
    rows = np.nonzero(bright.mean(axis=1) >= min_fraction)[0]
    columns = np.nonzero(bright.mean(axis=0) >= min_fraction)[0]
    if len(rows) == 0 or len(columns) == 0:
        return 0, 0, a.shape[1], a.shape[0]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    if bottom - top < min_size or right - left < min_size:
        return 0, 0, a.shape[1], a.shape[0]
    return int(left), int(top), int(right), int(bottom)


def prepare(image):
    a = np.asarray(image.convert("RGB"))
    left, top, right, bottom = crop_border(a)
    a = a[top:bottom, left:right].copy()
    h, w = a.shape[:2]
    a[int(0.62 * h):, : int(0.38 * w)] = 0
    small = np.asarray(Image.fromarray(a).resize((160, 160), Image.Resampling.BILINEAR), dtype=np.float32)
    x = (small / 255 - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return torch.from_numpy(x.transpose(2, 0, 1)[None].astype(np.float32)), [left, top, right, bottom]


def forward(graph, x):
    """Runs the demo model's handful of operators with torch."""
    t = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in graph.initializer}
    t[graph.input[0].name] = x
    for node in graph.node:
        attr = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        a = [t[name] for name in node.input]
        if node.op_type == "Conv":
            y = F.conv2d(a[0], a[1], a[2], stride=attr["strides"], padding=attr["pads"][:2], groups=attr["group"])
        elif node.op_type == "Relu":
            y = F.relu(a[0])
        elif node.op_type == "MaxPool":
            y = F.max_pool2d(a[0], attr["kernel_shape"], attr["strides"], attr["pads"][:2])
        elif node.op_type == "Add":
            y = a[0] + a[1]
        elif node.op_type == "GlobalAveragePool":
            y = a[0].mean(dim=(2, 3), keepdim=True)
        elif node.op_type == "ReduceMean":
            y = a[0].mean(dim=attr["axes"], keepdim=bool(attr.get("keepdims", 1)))
        elif node.op_type == "Flatten":
            y = a[0].flatten(1)
        elif node.op_type == "Gemm":
            y = a[0] @ (a[1].T if attr.get("transB") else a[1]) + a[2]
        else:
            raise SystemExit(f"operator {node.op_type} is not known here")
        t[node.output[0]] = y
    return t[graph.output[0].name]


def main():
    with open("resize.json", "w") as f:
        json.dump(list(resize_vectors()), f, indent=0)
        f.write("\n")
    os.makedirs("frames", exist_ok=True)
    graph = onnx.load(f"{TESTDATA}/models/demo/model.onnx").graph
    expected = []
    for name in FRAMES:
        image = Image.open(f"{TESTDATA}/frames/{name}.jpg").convert("RGB")
        image = image.resize((image.width // 3, image.height // 3), Image.Resampling.BICUBIC)
        image.save(f"frames/{name}.png")
        x, crop = prepare(image)
        with torch.no_grad():
            p = torch.softmax(forward(graph, x)[0], 0)
        expected.append({
            "file": f"frames/{name}.png",
            "crop": crop,
            "probabilities": {c: round(float(v), 6) for c, v in zip(CLASSES, p)},
            "input_corner": [round(float(v), 6) for v in x[0, :, 0, 0]],
            "input_centre": [round(float(v), 6) for v in x[0, :, 80, 80]],
            "input_mean": [round(float(v), 6) for v in x[0].mean(dim=(1, 2))],
        })
    with open("demo.json", "w") as f:
        json.dump(expected, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
