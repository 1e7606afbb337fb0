#!/usr/bin/python3
"""Frames per second of what TestVideo does, by PyTorch: ffmpeg decodes, frames are resized to 224 x 224 (antialiased), ResNet-50 classifies
and grad-CAM explains its last block, on one thread, with frozen parameters. Arguments: the video, how many frames at most, for how many seconds at most."""
import subprocess
import sys
import time

import numpy
import torch
import torch.nn.functional as F
import torchvision.models as models

torch.set_num_threads(1)
WIDTH, HEIGHT = 1920, 1080
net = models.resnet50().eval()
for p in net.parameters():
    p.requires_grad_(False)
for m in net.modules():
    if hasattr(m, "inplace"):
        m.inplace = False
kept = {}
net.layer4[-1].register_forward_hook(lambda m, i, o: kept.__setitem__("a", o))


def explain(frame):
    x = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
    x = F.interpolate(x, size=(224, 224), mode="bilinear", antialias=True).requires_grad_(True)
    score = net(x)[0, 1]
    g, = torch.autograd.grad(score, kept["a"])
    return F.relu((g.mean((2, 3), keepdim=True) * kept["a"]).sum(1))


def main(path, count, most):
    explain(numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8))  # the first run allocates
    begin = time.monotonic()
    child = subprocess.Popen(["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", path, "-frames:v", str(count),
                              "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], stdout=subprocess.PIPE)
    done = 0
    while done < count and (done == 0 or time.monotonic() - begin < most):
        data = child.stdout.read(WIDTH * HEIGHT * 3)
        explain(numpy.frombuffer(data, numpy.uint8).reshape(HEIGHT, WIDTH, 3).copy())
        done += 1
    took = time.monotonic() - begin
    child.kill()
    child.wait()
    print(done / took)


main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
