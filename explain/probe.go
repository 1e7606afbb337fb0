package explain

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// ProbeInput is an input of a model that a [Probe] runs: Type is an ONNX element type
// (1 = float32, 10 = float16, ...), Shape has no open dimension.
type ProbeInput struct {
	Name  string
	Type  int32
	Shape []int64
}

// Probe runs a model once on zeros and returns the named outputs, which are vectors of int64.
// Package inference/onnx has one on ONNX Runtime.
type Probe func(model []byte, inputs []ProbeInput, outputs []string) ([][]int64, error)

// largeWeight is the number of elements from which the probe's copy of a model gets zeros made
// on the spot instead of the weight: values of floats do not decide shapes.
const largeWeight = 1024

// probeShapes learns the shapes of the tensors asked for, for a batch of one.
func (g *graph) probeShapes(run Probe, inputShape []int64, want []string) error {
	if run == nil {
		return errors.New("explain: Options.Probe is missing: shapes come from one run of the model")
	}
	inputs, err := g.probeInputs(inputShape)
	if err != nil {
		return err
	}
	var unknown []string
	for _, t := range want {
		if g.producer[t] != nil && g.shapes[t] == nil {
			unknown = append(unknown, t)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	model, outputs, err := g.probeModel(inputs, unknown)
	if err != nil {
		return err
	}
	shapes, err := run(model, inputs, outputs)
	if err != nil {
		return fmt.Errorf("explain: a run to learn the shapes: %w", err)
	}
	if len(shapes) != len(unknown) {
		return fmt.Errorf("explain: the probe returned %d shapes for %d tensors", len(shapes), len(unknown))
	}
	for i, t := range unknown {
		if n := size(shapes[i]); n > math.MaxInt32 || (n == 0 && !slices.Contains(shapes[i], 0)) {
			return fmt.Errorf("explain: tensor %q has shape %v: too large", t, shapes[i])
		}
		g.shapes[t] = append([]int64{}, shapes[i]...)
	}
	return nil
}

// probeInputs closes the open dimensions: the first is the batch and becomes one, the others
// come from inputShape, which is for the first input.
func (g *graph) probeInputs(inputShape []int64) ([]ProbeInput, error) {
	var inputs []ProbeInput
	for i, v := range g.inputs {
		t := v.GetType().GetTensorType()
		if t != nil && t.Shape == nil && i == 0 && len(inputShape) > 0 { // it does not say: as it is used, one frame at a time
			t.Shape = valueInfo("", 0, append([]int64{-1}, inputShape[1:]...)).GetType().GetTensorType().GetShape()
		}
		if t == nil || t.Shape == nil {
			return nil, fmt.Errorf("explain: input %q has no shape: export it with one", v.GetName())
		}
		in := ProbeInput{Name: v.GetName(), Type: t.GetElemType()}
		for axis, d := range t.Shape.Dim {
			n := d.GetDimValue()
			if n <= 0 && axis == 0 {
				n = 1
			}
			if n <= 0 && i == 0 && axis < len(inputShape) {
				n = inputShape[axis]
			}
			if n <= 0 {
				return nil, fmt.Errorf("explain: input %q: axis %d is open: set Options.InputShape", v.GetName(), axis)
			}
			in.Shape = append(in.Shape, n)
		}
		if size(in.Shape) <= 0 {
			return nil, fmt.Errorf("explain: input %q: shape %v is too large", v.GetName(), in.Shape)
		}
		g.shapes[in.Name] = in.Shape
		inputs = append(inputs, in)
	}
	return inputs, nil
}

// probeModel is the model up to the wanted tensors, with their shapes as its outputs.
func (g *graph) probeModel(inputs []ProbeInput, want []string) (model []byte, outputs []string, err error) {
	b := newBuilder(g)
	defer b.forget()
	for _, t := range want {
		outputs = append(outputs, b.op("Shape", []string{g.shapedAs(t)}))
	}
	shapes := b.nodes
	b.nodes = nil
	used := g.upTo(want)
	for _, n := range g.nodes {
		if anyOf(used, n.Output) && !g.thin(b, n) {
			b.nodes = append(b.nodes, n.NodeProto)
		}
	}
	body := b.nodes
	b.nodes = nil
	read := map[string]bool{}
	for _, n := range body {
		for _, in := range (&node{NodeProto: n}).uses() {
			read[in] = true
		}
	}
	var weights []*onnxpb.TensorProto
	for _, name := range sortedKeys(g.weights) {
		t := g.weights[name]
		if !read[name] {
			continue
		}
		if isFloat(t.GetDataType()) && size(t.Dims) >= largeWeight {
			b.add("ConstantOfShape", []string{b.ints(t.Dims...)}, []string{name}, zeroValue(t.GetDataType()))
			continue
		}
		weights = append(weights, t)
	}
	nodes := append(b.nodes, body...)
	gp := &onnxpb.GraphProto{
		Name: proto.String("probe"), Node: append(nodes, shapes...), Initializer: append(weights, b.inits...),
	}
	for _, in := range inputs {
		gp.Input = append(gp.Input, valueInfo(in.Name, in.Type, in.Shape))
	}
	for _, out := range outputs {
		gp.Output = append(gp.Output, &onnxpb.ValueInfoProto{Name: proto.String(out)})
	}
	model, err = g.marshal(gp)
	return model, outputs, err
}

// shapedAs is a tensor of the same shape, of a type of which the runtime tells that: it does not of four bits.
func (g *graph) shapedAs(tensor string) string {
	n := g.producer[tensor]
	if n.GetOpType() != "QuantizeLinear" || g.roundedTo(n) < 21 {
		return tensor
	}
	return n.in(0)
}

// upTo is the set of tensors that the wanted ones are made from, themselves included.
func (g *graph) upTo(want []string) map[string]bool {
	used := map[string]bool{}
	for _, t := range want {
		used[t] = true
	}
	for i := len(g.nodes) - 1; i >= 0; i-- {
		if n := g.nodes[i]; anyOf(used, n.Output) {
			for _, in := range n.uses() {
				used[in] = true
			}
		}
	}
	delete(used, "")
	return used
}

func anyOf(set map[string]bool, names []string) bool {
	for _, n := range names {
		if n != "" && set[n] {
			return true
		}
	}
	return false
}

func isFloat(dataType int32) bool {
	switch onnxpb.TensorProto_DataType(dataType) {
	case onnxpb.TensorProto_FLOAT, onnxpb.TensorProto_FLOAT16, onnxpb.TensorProto_DOUBLE, onnxpb.TensorProto_BFLOAT16:
		return true
	}
	return false
}

// zeroValue is ConstantOfShape's value attribute: one zero of the type.
func zeroValue(dataType int32) *onnxpb.AttributeProto {
	t := &onnxpb.TensorProto{Dims: []int64{1}, DataType: proto.Int32(dataType), RawData: make([]byte, elementSize(dataType))}
	return &onnxpb.AttributeProto{Name: proto.String("value"), Type: onnxpb.AttributeProto_TENSOR.Enum(), T: t}
}

func elementSize(dataType int32) int {
	switch onnxpb.TensorProto_DataType(dataType) {
	case onnxpb.TensorProto_FLOAT16, onnxpb.TensorProto_BFLOAT16:
		return 2
	case onnxpb.TensorProto_DOUBLE:
		return 8
	}
	return 4
}

// valueInfo declares a tensor; a dimension of -1 is open.
func valueInfo(name string, elemType int32, dims []int64) *onnxpb.ValueInfoProto {
	shape := &onnxpb.TensorShapeProto{}
	for _, d := range dims {
		dim := &onnxpb.TensorShapeProto_Dimension{}
		if d >= 0 {
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{
		Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(elemType), Shape: shape}},
	}}
}

// marshal writes a model with another graph, all else as it was.
func (g *graph) marshal(gp *onnxpb.GraphProto) ([]byte, error) {
	own := g.model.Graph
	g.model.Graph = gp
	defer func() { g.model.Graph = own }()
	out, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(g.model)
	if err != nil {
		return nil, fmt.Errorf("explain: writing the model: %w", err)
	}
	return out, nil
}
