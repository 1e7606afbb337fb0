#!/usr/bin/python3
"""Reference vectors for package explain, by PyTorch's autograd in double precision.

    reference.py            writes the narrow networks (*.onnx) and the vectors (*.json) beside itself
    reference.py full DIR   writes VGG-19, ResNet-50 and MobileNetV2 at full size with random weights
                            into DIR, for the benchmarks

Needs Debian's python3-torch, python3-torchvision and python3-onnx. The narrow networks have the layers of the
originals with a fraction of their channels and random weights, so that they are small and ours.
"""
import json
import os
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

HERE = os.path.dirname(os.path.abspath(__file__))


def picture(*shape):
    """The input that the Go tests make as well."""
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    return torch.from_numpy((((i * 7919) % 512) / 128 - 2).reshape(shape))


def narrow(module, by, dense):
    """Divides the channels of every layer by `by`, of dense layers by `dense`; the picture and the classes stay."""
    for name, m in module.named_children():
        if isinstance(m, nn.Conv2d):
            cin = m.in_channels if m.in_channels == 3 else m.in_channels // by
            groups = 1 if m.groups == 1 else cin
            setattr(module, name, nn.Conv2d(cin, m.out_channels // by, m.kernel_size, m.stride, m.padding,
                                            m.dilation, groups, m.bias is not None))
        elif isinstance(m, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(m.num_features // by))
        elif isinstance(m, nn.Linear):
            cin = m.in_features // (dense if m.in_features == 4096 else by)
            setattr(module, name, nn.Linear(cin, m.out_features if m.out_features == 10 else m.out_features // dense))
        else:
            narrow(m, by, dense)
    return module


def settle(net):
    """Random weights and statistics under which activations neither die nor explode."""
    for m in net.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(m.weight, mode="fan_in")
            if m.bias is not None:
                nn.init.uniform_(m.bias, -0.1, 0.1)
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.0)
            nn.init.uniform_(m.bias, -0.2, 0.2)
            nn.init.uniform_(m.running_mean, -0.2, 0.2)
            nn.init.uniform_(m.running_var, 0.8, 1.5)
    return net.eval()


def vectors(run, x, layers, classes):
    """Grad-CAM and gradients; run(x) gives the logits and a dict of layer name -> activation."""
    x = x.clone().requires_grad_(True)
    logits, acts = run(x)
    out = {"shape": list(x.shape), "logits": logits[0].tolist(), "explained": []}
    for name in layers:
        for c in classes if name == "last" else classes[-1:]:
            da, dx = torch.autograd.grad(logits[0, c], [acts[name], x], retain_graph=True)
            a, da = acts[name][0].detach(), da[0]
            weights = da.mean(dim=(1, 2))
            cam = F.relu((weights[:, None, None] * a).sum(0))
            assert cam.max() > 0, "a zero map says nothing: take another class"
            at = np.linspace(0, da.numel() - 1, 40).astype(int)
            xt = np.linspace(0, dx.numel() - 1, 40).astype(int)
            out["explained"].append({
                "layer": name, "class": c, "cam_shape": list(cam.shape), "cam": cam.flatten().tolist(),
                "gradient_at": at.tolist(), "gradient": da.flatten()[at].tolist(), "gradient_max": da.abs().max().item(),
                "input_at": xt.tolist(), "input": dx.flatten()[xt].tolist(), "input_max": dx.abs().max().item()})
    return out


def write(name, v):
    def short(o):
        if isinstance(o, float):
            return float("%.7g" % o)
        if isinstance(o, list):
            return [short(e) for e in o]
        return {k: short(e) for k, e in o.items()} if isinstance(o, dict) else o
    with open(os.path.join(HERE, name + ".json"), "w") as f:
        json.dump(short(v), f, separators=(",", ":"))
        f.write("\n")


def export(net, path, x, opset, fold):
    torch.onnx.export(net, x.float(), path, opset_version=opset, input_names=["input"], output_names=["logits"],
                      dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}}, do_constant_folding=fold,
                      training=torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE)


def hooked(net, modules):
    def run(x):
        acts, hooks = {}, []
        for name, m in modules.items():
            hooks.append(m.register_forward_hook(lambda m, i, o, name=name: acts.__setitem__(name, o)))
        logits = net(x)
        for h in hooks:
            h.remove()
        return logits, acts
    return run


def not_inplace(net):
    for m in net.modules():
        if hasattr(m, "inplace"):
            m.inplace = False
    return net


def narrow_networks():
    models = torchvision.models
    vgg = settle(not_inplace(narrow(models.vgg19(num_classes=10), 32, 128)))
    resnet = settle(not_inplace(narrow(models.resnet50(num_classes=10), 32, 1)))
    mobile = settle(not_inplace(narrow(models.mobilenet_v2(num_classes=10), 8, 1)))
    small = picture(1, 3, 96, 96)
    jobs = [
        # name, network, input, module for each layer name of the ONNX graph ("last" or the convolution's), opset, BN folded
        ("vgg19", vgg, picture(1, 3, 224, 224), {"last": vgg.features[35], "/features/features.25/Conv": vgg.features[26]}, [17], True),
        ("resnet50", resnet, small, {"last": resnet.layer4[-1], "/layer2/layer2.3/conv3/Conv": resnet.layer2[-1]}, [11, 16], True),
        ("mobilenetv2", mobile, small, {"last": mobile.features[-1], "/features/features.9/conv/conv.0/conv.0.0/Conv": mobile.features[9].conv[0]}, [13], False),
    ]
    for name, net, x, layers, opsets, fold in jobs:
        for opset in opsets:
            export(net, os.path.join(HERE, "%s_%d.onnx" % (name, opset)), x, opset, fold)
        double = net.double()
        write(name, vectors(hooked(double, layers), x, layers, [0, 2]))


def interpret(path, tensors):
    """Runs an ONNX graph of the demo model's operators in torch, in double precision."""
    graph = onnx.load(path).graph
    weights = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()).double() for t in graph.initializer}

    def run(x):
        v = dict(weights, input=x)
        for n in graph.node:
            a = {p.name: onnx.helper.get_attribute_value(p) for p in n.attribute}
            i = [v[t] for t in n.input]
            if n.op_type == "Conv":
                assert a["pads"][:2] == a["pads"][2:] and a.get("group", 1) == 1
                y = F.conv2d(i[0], i[1], i[2], a["strides"], a["pads"][:2], a["dilations"])
            elif n.op_type == "MaxPool":
                y = F.max_pool2d(i[0], a["kernel_shape"], a["strides"], a["pads"][:2])
            elif n.op_type == "Gemm":
                y = F.linear(i[0], i[1], i[2])
            else:
                y = {"Relu": F.relu, "Add": torch.add, "GlobalAveragePool": lambda t: t.mean((2, 3), keepdim=True),
                     "Flatten": lambda t: t.flatten(1)}[n.op_type](*i)
            v[n.output[0]] = y
        return v[graph.output[0].name], {name: v[t] for name, t in tensors.items()}
    return run


def demo():
    path = os.path.join(HERE, "..", "..", "testdata", "models", "demo", "model.onnx")
    layers = {"last": "/layer4/layer4.1/relu2/Relu_output_0", "/layer2/layer2.0/conv1/Conv": "/layer2/layer2.0/relu1/Relu_output_0"}
    write("demo", vectors(interpret(path, layers), picture(1, 3, 160, 160), layers, [0, 2]))


def full(folder):
    for name in ["vgg19", "resnet50", "mobilenet_v2"]:
        net = settle(getattr(torchvision.models, name)())
        export(net, os.path.join(folder, name + ".onnx"), torch.zeros(1, 3, 224, 224), 17, True)
        print(name)


if __name__ == "__main__":
    torch.manual_seed(20)
    if sys.argv[1:2] == ["full"]:
        full(sys.argv[2])
    else:
        demo()
        narrow_networks()
