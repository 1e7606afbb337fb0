package explain

import (
	"slices"

	"endogate/explain/onnxpb"
)

// Inspection is what can be told of a model without explaining anything.
type Inspection struct {
	Opset     int64 // of the standard's operators, as exported
	Inputs    []Port
	Outputs   []Port
	Attention bool   // over patches of the picture, or over frames
	Attended  int    // frames of a clip that attentions are over; 0 for none
	Logits    string // where the gradient starts
	Classes   int
	Layers    []Layer             // Err says why one cannot be explained
	Blocks    []Layer             // the last layer of each grid that can be explained, from the input up
	Last      Layer               // what "last" stands for, and why (Chosen, Fallback); zero where there is none
	Lasts     []Layer             // the layers that are last together; Last alone where it is one
	Without   []*UnsupportedError // nodes on the way to the logits that have no rule
	Weights   int64               // bytes
	Tensors   int64               // bytes of everything that one input becomes on the way to the logits; a gradient keeps most of it
	Multiply  int64               // multiplications of convolutions and matrix products for one input
}

// Port is an input or an output of a model. An open axis is -1.
type Port struct {
	Name  string
	Type  int32 // an ONNX element type: 1 is float32, 10 float16
	Shape []int64

	other bool // declared as what is no tensor
}

// Numbers reports whether it can be a tensor of numbers: not of text, nor a sequence or a map as classifiers of other tools end in.
func (p Port) Numbers() bool { return !p.other && p.Type != int32(onnxpb.TensorProto_STRING) }

// Inspect looks at a model. Of the options all but Targets count.
func Inspect(model []byte, o Options) (*Inspection, error) {
	in, err := inspect(model, o)
	if err != nil || o.Single || !slices.ContainsFunc(in.Layers, func(l Layer) bool { return l.Err != nil }) {
		return in, err
	}
	o.Single = true // what depends on how many frames there are is known of one
	one, err := inspect(model, o)
	if err != nil {
		return in, nil
	}
	one.Inputs, one.Outputs = in.Inputs, in.Outputs
	return one, nil
}

func inspect(model []byte, o Options) (*Inspection, error) {
	g, h, err := open(model, o)
	if err != nil {
		return nil, err
	}
	in := &Inspection{Opset: g.exported, Logits: h.logits, Layers: g.judged(h)}
	if blocks, err := g.findLayers(BlockLayers, h); err == nil {
		in.Blocks = blocks
	}
	if last, err := g.findLayers(LastLayer, h); err == nil {
		in.Last, in.Lasts = last[0], last
		if g.parts || len(last) > 1 {
			in.Last = ofParts(last)
		}
	}
	if dims := g.shape(h.logits); len(dims) > 0 {
		in.Classes = int(size(dims[1:]))
	}
	for _, v := range g.inputs {
		in.Inputs = append(in.Inputs, portOf(v))
	}
	for _, v := range g.model.Graph.Output {
		in.Outputs = append(in.Outputs, portOf(v))
	}
	for _, t := range g.weights {
		in.Weights += size(t.Dims) * int64(elementSize(t.GetDataType()))
	}
	for _, a := range g.attentions(h) {
		in.Attention = in.Attention || a.places() > 0
		in.Attended = max(in.Attended, a.frames)
	}
	up := g.leadingTo(h.logits)
	for _, n := range g.nodes {
		if !anyOf(up, n.Output) {
			continue
		}
		if op, ok := n.known(); anyOf(g.varying(), n.Output) && (!ok || op.vjp == nil && !op.stop) {
			in.Without = append(in.Without, &UnsupportedError{Node: n.label(), Operator: n.GetOpType(), Opset: n.opset, Why: "no rule to differentiate it"})
		}
		for _, out := range n.Output {
			in.Tensors += 4 * size(g.shape(out))
		}
		in.Multiply += g.multiplications(n)
	}
	return in, nil
}

// multiplications of a convolution or a matrix product: those of one element of the output, times its elements.
func (g *graph) multiplications(n *node) int64 {
	out, weight := size(g.shape(n.out(0))), g.shape(n.in(1))
	switch {
	case n.GetOpType() == "Conv" && len(weight) > 2:
		return out * size(weight[1:])
	case n.GetOpType() == "ConvTranspose" && len(weight) > 2:
		return size(g.shape(n.in(0))) * size(weight[1:])
	case n.GetOpType() == "Gemm" && len(weight) == 2:
		return size(weight) * out / max(weight[n.attrInt("transB", 0)^1], 1)
	case n.GetOpType() == "MatMul" && len(weight) > 1:
		return out * weight[len(weight)-2]
	}
	return 0
}

// Methods lists what the model can be asked for: methods of attention only where there is one over patches or frames, methods of
// layers only where there are layers.
func (in *Inspection) Methods() []Method {
	var all []Method
	for _, m := range Methods() {
		attention := m.Method == AttentionRollout || m.Method == GradientAttention
		if (!attention || in.Attention) && (!m.AtLayer || len(in.Layers) > 0) {
			all = append(all, m.Method)
		}
	}
	return all
}

// Whole reports whether it is a tensor of whole numbers.
func (p Port) Whole() bool { return !p.other && wholeNumbers[p.Type] }

func portOf(v *onnxpb.ValueInfoProto) Port {
	t := v.GetType().GetTensorType()
	return Port{Name: v.GetName(), Type: t.GetElemType(), Shape: declaredShape(v), other: t == nil && v.GetType() != nil}
}
