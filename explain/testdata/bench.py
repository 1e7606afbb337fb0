#!/usr/bin/python3
"""What PyTorch takes for the same on this machine, on one thread: the least of several runs by turns, and the ratio to the forward pass.

Needs Debian's python3-torch and python3-torchvision. "frozen" differentiates the activation or the input alone; "library" is
loss.backward() through everything, as grad-CAM packages do it.
"""
import time

import torch
import torch.nn as nn
import torchvision.models as models

RUNS = 7


def last_layer(net):
    return net.features[35] if hasattr(net, "features") else net.layer4[-1]


def jobs(net, x):
    kept = {}
    last_layer(net).register_forward_hook(lambda m, i, o: kept.__setitem__("a", o))

    def forward():
        with torch.no_grad():
            net(x)

    def frozen_cam():
        for p in net.parameters():
            p.requires_grad_(False)
        score = net(x.requires_grad_(True))[0, 1]
        torch.autograd.grad(score, kept["a"])

    def library_cam():
        for p in net.parameters():
            p.requires_grad_(True)
            p.grad = None
        net(x.detach().requires_grad_(True))[0, 1].backward(retain_graph=True)

    def guided():
        for p in net.parameters():
            p.requires_grad_(False)
        hooks = [m.register_full_backward_hook(lambda m, i, o: (torch.relu(i[0]),)) for m in net.modules() if isinstance(m, nn.ReLU)]
        y = x.detach().requires_grad_(True)
        torch.autograd.grad(net(y)[0, 1], y)
        for h in hooks:
            h.remove()

    return {"forward": forward, "grad-CAM, frozen": frozen_cam, "grad-CAM, library": library_cam, "guided, frozen": guided}


def main():
    torch.set_num_threads(1)
    for name in ["vgg19", "resnet50"]:
        net = getattr(models, name)().eval()
        for m in net.modules():
            if hasattr(m, "inplace"):
                m.inplace = False
        best = {}
        work = jobs(net, torch.randn(1, 3, 224, 224))
        for _ in range(RUNS):
            for what, run in work.items():
                start = time.process_time()
                run()
                best[what] = min(best.get(what, 1e9), time.process_time() - start)
        for what, t in best.items():
            print("PyTorch %s  %-10s %-18s %7.1f ms  ratio %.2f" % (torch.__version__, name, what, 1000 * t, t / best["forward"]), flush=True)


if __name__ == "__main__":
    main()
