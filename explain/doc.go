// Package explain shows why a network decided: it rewrites an ONNX model into one that also
// computes its own gradient, and turns the result into maps, overlays and outlines.
//
// [Compile] takes a classifier as plain ONNX and returns another ONNX model with a further
// input, the seed (a weight for each class), and a further output for each method and layer asked
// for: a class activation map, a gradient at the input, relevance, attention. The gradient is
// reverse-mode differentiation written as more ONNX: one rule per operator, in one table
// (rules.go), walked from the logits down to the deepest layer asked for and no further; guided
// backpropagation, LRP and DeepLIFT are other rules of the same walk. The table of methods is in
// method.go. Weights are referred to, never copied, and what no output needs is left out.
//
// [Map], [Overlay] and [Contours] make pictures and polygons of what the network says.
//
// # The layer
//
// A layer is named by its convolution, by any other node or by a tensor. A convolution stands
// for the activation people look at: what is left of it after the batch normalisation,
// activation, gate, residual sum or concatenation that directly follow it. "last" is the last one
// on a grid over the picture: layer4[-1] of a ResNet, the output of the last ReLU before the final
// pooling of a VGG (14×14 for 224×224), features[-1] of a MobileNetV2, norm5 and its ReLU of a
// DenseNet. Where dense layers work on each place beyond the last convolution (Swin, MaxViT, ConvNeXt) it
// is the last tensor over the picture that everything passes; where the last convolution is a gate, the kernel of an involution or one of
// several resolutions, it is the first that everything passes behind it, or where there is none the last before it (NetVLAD); where a class token is
// read, the patches that the last attention reads; where a class token comes in late or a learnt question asks (XCiT, SigLIP), the patches before
// that. Of networks or views of the picture side by side (branches.go) it is the last layer of each, and their maps are added up. [Layer] says
// which it is and why.
//
// # Places
//
// The rows and columns of the picture are followed through the graph (places.go), whatever its
// axes are: convolutions, transposes, windows, rolls, tokens, pixel shuffles, padding, crops and
// resizing. A layer has the grid that they make, and the part of the picture that it covers
// ([Extent]); what has none is refused with the node where it was lost. [TokenGrid] states it
// where a graph does not tell.
//
// # Left out
//
// The package runs nothing: it needs a [Probe] that runs a model once to learn its shapes, and
// the caller runs what it returns. Recurrent operators, attention, branches, loops and what ONNX
// Runtime's optimizer fused (lower_runtime.go) are written out as what they consist of (lower.go), operators
// of integers as the float network that was quantised, whose rounding is passed straight through; what
// depends on the picture in its number of steps has no rule: a model
// that has it between the chosen layer and its logits is refused with an [*UnsupportedError] that says which layers can be explained. Where a tensor's batch is not
// its first axis, only a batch of one is right.
package explain
