"""A network as TensorFlow's converter to ONNX writes one, by PyTorch and by hand: pictures channels last, asymmetric padding (SAME), ReLU6
and hard swish taken apart, axes moved back before the dense layers, Rescaling inside."""
import numpy as np
import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
from onnx import helper, numpy_helper


class Keras(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem, self.depth = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 3, groups=8)
        self.point, self.squeeze, self.excite = nn.Conv2d(8, 12, 1), nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.down, self.same, self.last = nn.Conv2d(12, 16, 3, 2), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(28, 16, 3, padding=1)
        self.dense, self.head = nn.Linear(16 * 16 * 16, 12), nn.Linear(12, classes)
        self.relu6a, self.relu6b, self.relu, self.leaky, self.at_last, self.relu2 = nn.ReLU6(), nn.ReLU6(), nn.ReLU(), nn.LeakyReLU(0.1), nn.ReLU(), nn.ReLU()

    def forward(self, x):
        x = (x * 0.5 + 0.1).permute(0, 3, 1, 2)
        x = self.relu6a(self.stem(F.pad(x, (0, 1, 0, 1))))
        x = self.relu6b(self.depth(F.pad(x, (1, 1, 1, 1))))
        x = F.hardswish(self.point(x))
        x = x * F.hardsigmoid(self.excite(self.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        skip = x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-1e30), 3, 2)
        x = self.leaky(self.down(F.pad(x, (1, 1, 1, 1))))
        x = x + self.same(x)
        x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], 1)
        x = self.at_last(self.last(x))
        return self.head(self.relu2(self.dense(x.permute(0, 2, 3, 1).flatten(1))))

    def write(self, path, opset):
        nodes, weights = [], []

        def const(name, value, dtype=np.float32):
            weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
            return name

        def op(kind, name, inputs, **attributes):
            nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
            return name

        def conv(name, x, layer, **attributes):
            w, b = (const("%s/%s" % (name, p), t.detach().numpy()) for p, t in (("kernel", layer.weight), ("bias", layer.bias)))
            return op("Conv", name, [x, w, b], kernel_shape=list(layer.kernel_size), strides=list(layer.stride), group=layer.groups, **attributes)

        def relu6(name, x):
            return op("Min", name, [op("Relu", name + "/Relu", [x]), const(name + "/six", 6)])

        def dense(name, x, layer):
            w, b = const(name + "/kernel", layer.weight.detach().numpy().T), const(name + "/bias", layer.bias.detach().numpy())
            return op("Add", name, [op("MatMul", name + "/MatMul", [x, w]), b])

        three, sixth = const("three", 3), const("sixth", 1 / 6)
        x = op("Add", "rescaled", [op("Mul", "rescaled/mul", ["input", const("scale", 0.5)]), const("offset", 0.1)])
        x = op("Transpose", "first", [x], perm=[0, 3, 1, 2])
        x = relu6("relu6a", conv("stem", x, self.stem, auto_pad="SAME_UPPER"))
        x = relu6("relu6b", conv("depth", x, self.depth, auto_pad="SAME_UPPER"))
        point = conv("point", x, self.point)
        gate = op("Mul", "swish/gate", [relu6("swish/relu6", op("Add", "swish/add", [point, three])), sixth])
        x = op("Mul", "swish", [point, gate])
        mean = op("ReduceMean", "mean", [x], axes=[2, 3], keepdims=1)
        excite = conv("excite", op("Relu", "squeeze/Relu", [conv("squeeze", mean, self.squeeze)]), self.excite)
        gate = op("Mul", "excited/gate", [relu6("excited/relu6", op("Add", "excited/add", [excite, three])), sixth])
        x = op("Mul", "excited", [gate, x])
        skip = op("MaxPool", "pool", [x], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
        pads = const("pads", [0, 0, 1, 1, 0, 0, 1, 1], np.int64)
        x = op("LeakyRelu", "leaky", [conv("down", op("Pad", "padded", [skip, pads]), self.down)], alpha=0.1)
        x = op("Add", "residual", [x, conv("same", x, self.same, auto_pad="SAME_UPPER")])
        x = op("Resize", "resized", [x, "", const("scales", [1, 1, 2, 2])], mode="nearest", nearest_mode="round_prefer_ceil", coordinate_transformation_mode="half_pixel")
        x = op("Concat", "joined", [x, skip], axis=1)
        x = op("Relu", "last/Relu", [conv("last", x, self.last, auto_pad="SAME_UPPER")])
        x = op("Reshape", "flat", [op("Transpose", "back", [x], perm=[0, 2, 3, 1]), const("size", [-1, 16 * 16 * 16], np.int64)])
        x = dense("head", op("Relu", "dense/Relu", [dense("dense", x, self.dense)]), self.head)
        op("Softmax", "output", [x], axis=-1)
        put = lambda name, *dims: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *dims])
        graph = helper.make_graph(nodes, "keras", [put("input", 64, 64, 3)], [put("output", self.head.out_features)], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
        onnx.checker.check_model(model)
        onnx.save(model, path)
