package explain

import (
	"fmt"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// Arrangement says what of a detector or a segmentation is put together, so that one output has all that is read of a place.
type Arrangement struct {
	Output string // that is read; what is made of it and the others takes its name

	// Boxes and Labels are outputs beside Output, which has the scores, as torchvision exports a detector: boxes×4, boxes, boxes, with or
	// without a batch axis. Each row of what is made of them is a box, its score and its label.
	Boxes, Labels string
	// Values is how many different numbers of a class the pixels of Output may have, as ArgMax makes them: rows×columns, with or without
	// a batch axis or one of a single channel. What is made of it has a value for each number, one or zero: 1×values×rows×columns.
	Values int64
	// Rows are outputs whose rows are boxes; one that has no batch axis gets one.
	Rows []string
}

// arrangeOpset is the oldest in which axes may count from the end.
const arrangeOpset = 11

// Arrange returns the model with its outputs so arranged. An input without a batch axis gets one.
func Arrange(model []byte, a Arrangement) ([]byte, error) {
	m, err := unmarshal(model)
	if err != nil || m.GetGraph() == nil {
		return nil, fmt.Errorf("explain: not an ONNX model: %w", err)
	}
	r := arranger{g: m.Graph}
	for _, s := range m.OpsetImport {
		if s.GetDomain() == "" || s.GetDomain() == "ai.onnx" {
			r.opset = s.GetVersion()
		}
	}
	r.batch()
	switch {
	case a.Labels != "":
		err = r.join(a)
	case a.Values > 0:
		err = r.spread(a)
	}
	for _, v := range r.g.Output {
		if shape := declaredShape(v); len(shape) == 2 && slices.Contains(a.Rows, v.GetName()) && r.opset >= arrangeOpset {
			apart := v.GetName() + "/rows"
			rename(r.g.Node, v.GetName(), apart)
			r.node("Unsqueeze", []string{apart}, v.GetName(), 0)
			declare(v, append([]int64{1}, shape...))
		}
	}
	switch {
	case err != nil:
		return nil, err
	case !r.changed:
		return model, nil
	case r.opset < arrangeOpset:
		return nil, fmt.Errorf("explain: opset %d: outputs can be put together from %d on; export the model again", r.opset, arrangeOpset)
	}
	return proto.MarshalOptions{AllowPartial: true}.Marshal(m)
}

type arranger struct {
	g       *onnxpb.GraphProto
	opset   int64
	made    int
	changed bool
}

// batch gives a picture without a batch axis one.
func (r *arranger) batch() {
	weights := map[string]bool{}
	for _, t := range r.g.Initializer {
		weights[t.GetName()] = true
	}
	for _, v := range r.g.Input {
		dims := v.GetType().GetTensorType().GetShape().GetDim()
		if weights[v.GetName()] || len(dims) != 3 {
			continue
		}
		frame := v.GetName() + "/frame"
		rename(r.g.Node, v.GetName(), frame)
		var before []*onnxpb.NodeProto
		before, r.g.Node = r.g.Node, nil
		r.node("Squeeze", []string{v.GetName()}, frame, 0)
		r.g.Node = append(r.g.Node, before...)
		v.GetType().GetTensorType().Shape.Dim = append(dimensions(1), dims...)
	}
}

// join makes rows of boxes, scores and labels.
func (r *arranger) join(a Arrangement) error {
	all := map[string]*onnxpb.ValueInfoProto{}
	var names []string
	for _, v := range r.g.Output {
		all[v.GetName()], names = v, append(names, v.GetName())
	}
	for _, name := range []string{a.Boxes, a.Output, a.Labels} {
		if all[name] == nil {
			return fmt.Errorf("explain: the network has no output %q; boxes, scores and labels are to be three of %q", name, names)
		}
	}
	if a.Boxes == a.Labels || a.Boxes == a.Output || a.Labels == a.Output {
		return fmt.Errorf("explain: boxes, scores and labels are in %q, %q and %q, which must be three outputs of %q", a.Boxes, a.Output, a.Labels, names)
	}
	of := func(name string) []int64 { return declaredShape(all[name]) }
	boxes, scores, labels := of(a.Boxes), of(a.Output), of(a.Labels)
	if n := len(boxes); n > 0 && (n < 2 || boxes[n-1] > 0 && boxes[n-1] != 4 || len(scores) != n-1 || len(labels) != n-1) {
		return fmt.Errorf("explain: output %q has shape %v, %q %v and %q %v; they must be boxes×4, boxes and boxes, or these with a batch axis", a.Boxes, boxes, a.Output, scores, a.Labels, labels)
	}
	apart := a.Output + "/apart"
	rename(r.g.Node, a.Output, apart)
	r.node("Concat", []string{
		r.float(a.Boxes), r.node("Unsqueeze", []string{r.float(apart)}, "", -1), r.node("Unsqueeze", []string{r.float(a.Labels)}, "", -1),
	}, a.Output, -1)
	if len(boxes) > 0 {
		boxes[len(boxes)-1] = 6
	}
	declare(all[a.Output], boxes)
	return nil
}

// spread makes a value of each number that a pixel may have.
func (r *arranger) spread(a Arrangement) error {
	at := slices.IndexFunc(r.g.Output, func(v *onnxpb.ValueInfoProto) bool { return v.GetName() == a.Output })
	if at < 0 {
		return nil // whoever reads it says so
	}
	shape := declaredShape(r.g.Output[at])
	apart := a.Output + "/apart"
	rename(r.g.Node, a.Output, apart)
	labels := r.cast(apart, onnxpb.TensorProto_INT64)
	switch {
	case len(shape) == 2:
		labels, shape = r.node("Unsqueeze", []string{r.node("Unsqueeze", []string{labels}, "", 0)}, "", 0), append([]int64{1, 1}, shape...)
	case len(shape) == 3:
		labels, shape = r.node("Unsqueeze", []string{labels}, "", 1), slices.Insert(shape, 1, 1)
	case len(shape) != 4 || shape[1] != 1:
		return fmt.Errorf("explain: output %q has shape %v; with the number of a class for each pixel it must be 1×rows×columns", a.Output, shape)
	}
	numbers := make([]int64, a.Values)
	for i := range numbers {
		numbers[i] = int64(i)
	}
	is := r.node("Equal", []string{labels, r.ints([]int64{1, a.Values, 1, 1}, numbers...)}, "")
	r.cast(is, onnxpb.TensorProto_FLOAT)
	r.g.Node[len(r.g.Node)-1].Output[0] = a.Output
	shape[1] = a.Values
	declare(r.g.Output[at], shape)
	return nil
}

// node adds one, with at most one axis, and returns its output: one of that name, or of any.
func (r *arranger) node(typ string, in []string, out string, axes ...int64) string {
	r.changed = true
	if out == "" {
		r.made++
		out = fmt.Sprintf("arranged/%d", r.made)
	}
	n := &onnxpb.NodeProto{OpType: proto.String(typ), Name: proto.String("arranged/" + typ + "/" + out), Input: in, Output: []string{out}}
	switch {
	case len(axes) == 0:
	case typ == "Concat":
		n.Attribute = append(n.Attribute, intAttr("axis", axes[0]))
	case r.opset >= 13: // Squeeze and Unsqueeze
		n.Input = append(n.Input, r.ints([]int64{1}, axes...))
	default:
		n.Attribute = append(n.Attribute, intsAttr("axes", axes...))
	}
	r.g.Node = append(r.g.Node, n)
	return out
}

func (r *arranger) float(x string) string { return r.cast(x, onnxpb.TensorProto_FLOAT) }

func (r *arranger) cast(x string, to onnxpb.TensorProto_DataType) string {
	out := r.node("Cast", []string{x}, "")
	last := r.g.Node[len(r.g.Node)-1]
	last.Attribute = append(last.Attribute, intAttr("to", int64(to)))
	return out
}

func (r *arranger) ints(dims []int64, v ...int64) string {
	r.made++
	t := &onnxpb.TensorProto{
		Name: proto.String(fmt.Sprintf("arranged/%d", r.made)), Dims: dims, DataType: proto.Int32(int32(onnxpb.TensorProto_INT64)), Int64Data: v,
	}
	r.g.Initializer = append(r.g.Initializer, t)
	return t.GetName()
}

// rename gives a tensor another name wherever it is made and read, in subgraphs too.
func rename(nodes []*onnxpb.NodeProto, from, to string) {
	for _, n := range nodes {
		for _, names := range [][]string{n.Input, n.Output} {
			for i, name := range names {
				if name == from {
					names[i] = to
				}
			}
		}
		for _, a := range n.Attribute {
			for _, sub := range append(a.Graphs[:len(a.Graphs):len(a.Graphs)], a.G) {
				rename(sub.GetNode(), from, to)
			}
		}
	}
}

// declare says of an output that it is of float32 and of a shape; of none where that is empty.
func declare(v *onnxpb.ValueInfoProto, shape []int64) {
	t := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(onnxpb.TensorProto_FLOAT))}
	if len(shape) > 0 {
		t.Shape = &onnxpb.TensorShapeProto{Dim: dimensions(shape...)}
	}
	v.Type = &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: t}}
}

func dimensions(shape ...int64) (dims []*onnxpb.TensorShapeProto_Dimension) {
	for _, d := range shape {
		one := &onnxpb.TensorShapeProto_Dimension{}
		if d > 0 {
			one.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}
		}
		dims = append(dims, one)
	}
	return dims
}
