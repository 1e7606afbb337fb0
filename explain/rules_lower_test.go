package explain_test

import (
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// loweredCases are operators that are written out as others.
func loweredCases() []ruleCase {
	return []ruleCase{
		{"LSTM", func(t *rapid.T, s *small) { recurrentCase(t, s, "LSTM", 4) }, 0},
		{"GRU", func(t *rapid.T, s *small) { recurrentCase(t, s, "GRU", 3) }, 0},
		{"RNN", func(t *rapid.T, s *small) { recurrentCase(t, s, "RNN", 1) }, 0},
		{"Attention", attentionCase, 0},
		{"If", ifCase, 0},
		{"Loop", loopCase, 0},
		{"Pad of computed pads", computedPadCase, 0},
		{"Scan", scanCase, 0},
		{"LpPool", lpPoolCase, 0.3},
		{"GlobalLpPool", globalLpPoolCase, 0.3},
		{"ReduceProd", reducedCase("ReduceProd"), 0},
		{"ReduceLogSum", reducedCase("ReduceLogSum"), 0.5},
		{"RotaryEmbedding", rotaryCase, 0},
		{"Pow of the picture", powerCase, 0.5},
		{"Compress", compressCase, 0},
		{"GatherND", gatherNDCase, 0},
		{"TopK", topKCase, 0},
		{"GridSample", gridSampleCase, 0},
		{"GridSample of a grid of the picture", gridOfPictureCase, 0.2},
	}
}

// recurrentCase has all that the operators can have but what is refused: directions, biases, states of before that depend on the
// picture too, peepholes, and outputs of every step or of the last.
func recurrentCase(t *rapid.T, s *small, typ string, gates int64) {
	n, steps, in, hidden := dim(t, 1, 2, "n"), dim(t, 1, 3, "steps"), dim(t, 1, 2, "in"), dim(t, 1, 2, "hidden")
	direction := rapid.SampledFrom([]string{"forward", "reverse", "bidirectional"}).Draw(t, "direction")
	dirs := int64(1)
	if direction == "bidirectional" {
		dirs = 2
	}
	s.shape = []int64{n, steps, in}
	weight := func(dims ...int64) string { return s.weight(dims, floats(t, product(dims), "weight")...) }
	s.node("Transpose", []string{"x"}, []string{"sequence"}, attrInts("perm", 1, 0, 2))
	inputs := []string{"sequence", weight(dirs, gates*hidden, in), weight(dirs, gates*hidden, hidden), "", "", "", "", ""}
	if rapid.Bool().Draw(t, "bias") {
		inputs[3] = weight(dirs, 2*gates*hidden)
	}
	if rapid.Bool().Draw(t, "state") { // of the picture
		s.node("ReduceMean", []string{"x"}, []string{"mean"}, attrInts("axes", 1, 2), attrInt("keepdims", 1))
		s.node("Transpose", []string{"mean"}, []string{"turned"}, attrInts("perm", 1, 0, 2))
		s.node("Mul", []string{"turned", weight(dirs, 1, hidden)}, []string{"before"})
		inputs[5], inputs[6] = "before", "before"
	}
	attrs := []*onnxpb.AttributeProto{attrInt("hidden_size", hidden), attrString("direction", direction)}
	switch typ {
	case "LSTM":
		if rapid.Bool().Draw(t, "peepholes") {
			inputs[7] = weight(dirs, 3*hidden)
		}
	case "GRU":
		inputs = inputs[:6]
		attrs = append(attrs, attrInt("linear_before_reset", dim(t, 0, 1, "linear before reset")))
	default:
		inputs = inputs[:6]
	}
	outputs := []string{"all", "last", "cells"}[:2]
	if typ == "LSTM" {
		outputs = outputs[:3]
	}
	s.node(typ, inputs, outputs, attrs...)
	switch read := rapid.SampledFrom(outputs).Draw(t, "output"); read {
	case "all":
		s.node("Transpose", []string{"all"}, []string{"y"}, attrInts("perm", 2, 0, 1, 3))
	default:
		s.node("Transpose", []string{read}, []string{"y"}, attrInts("perm", 1, 0, 2))
	}
}

// attentionCase is of opset 23: heads in axes of their own or not, keys for several heads, masks.
func attentionCase(t *rapid.T, s *small) {
	s.opset = rapid.Int64Range(23, 24).Draw(t, "opset")
	n, queries, size, keys := dim(t, 1, 2, "n"), dim(t, 1, 3, "queries"), dim(t, 1, 2, "size"), dim(t, 1, 2, "key heads")
	heads := keys * dim(t, 1, 2, "repeats")
	s.shape = []int64{n, queries, heads * size}
	project := func(name string, heads int64) string {
		dims := []int64{s.shape[2], heads * size}
		s.node("MatMul", []string{"x", s.weight(dims, floats(t, product(dims), "weight")...)}, []string{name})
		return name
	}
	inputs := []string{project("q", heads), project("k", keys), project("v", keys)}
	attrs := []*onnxpb.AttributeProto{}
	four := rapid.Bool().Draw(t, "four axes")
	if four {
		for i, h := range []int64{heads, keys, keys} {
			split := inputs[i] + "4"
			s.node("Reshape", []string{inputs[i], s.ints(0, queries, h, size)}, []string{split + "r"})
			s.node("Transpose", []string{split + "r"}, []string{split}, attrInts("perm", 0, 2, 1, 3))
			inputs[i] = split
		}
	} else {
		attrs = append(attrs, attrInt("q_num_heads", heads), attrInt("kv_num_heads", keys))
	}
	if rapid.Bool().Draw(t, "mask") {
		inputs = append(inputs, s.weight([]int64{queries, queries}, floats(t, queries*queries, "mask")...))
	}
	if rapid.Bool().Draw(t, "causal") {
		attrs = append(attrs, attrInt("is_causal", 1))
	}
	if rapid.Bool().Draw(t, "cap") {
		attrs = append(attrs, attrFloat("softcap", 1.5))
	}
	if rapid.Bool().Draw(t, "scale") {
		attrs = append(attrs, attrFloat("scale", 0.3))
	}
	s.node("Attention", inputs, []string{"y"}, attrs...)
}

func subgraph(nodes []*onnxpb.NodeProto, inputs, outputs []string) *onnxpb.GraphProto {
	g := &onnxpb.GraphProto{Name: proto.String("inner"), Node: nodes}
	for _, name := range inputs {
		g.Input = append(g.Input, &onnxpb.ValueInfoProto{Name: proto.String(name)})
	}
	for _, name := range outputs {
		g.Output = append(g.Output, &onnxpb.ValueInfoProto{Name: proto.String(name)})
	}
	return g
}

func inner(typ string, inputs []string, output string, attrs ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &typ, Name: proto.String(output), Input: inputs, Output: []string{output}, Attribute: attrs}
}

func attrGraph(name string, g *onnxpb.GraphProto) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_GRAPH.Enum(), G: g}
}

// ifCase has a condition that follows from the shape, or from the picture; both branches use the same names within.
func ifCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "channels"), 3}
	switch rapid.SampledFrom([]string{"shape", "picture"}).Draw(t, "condition") {
	case "shape":
		s.node("Shape", []string{"x"}, []string{"dims"})
		s.node("Gather", []string{"dims", s.ints(1)}, []string{"channels"})
		s.node("Greater", []string{"channels", s.ints(1)}, []string{"condition"})
	default: // of all frames: kept apart from the numbers that are tried
		s.node("ReduceMax", []string{"x"}, []string{"most"}, attrInt("keepdims", 0))
		s.node("Greater", []string{"most", s.weight(nil, rapid.SampledFrom([]float32{-100, 100}).Draw(t, "bound"))}, []string{"condition"})
	}
	s.node("If", []string{"condition"}, []string{"y"},
		attrGraph("then_branch", subgraph([]*onnxpb.NodeProto{inner("Sigmoid", []string{"x"}, "s"), inner("Mul", []string{"s", "x"}, "out")}, nil, []string{"out"})),
		attrGraph("else_branch", subgraph([]*onnxpb.NodeProto{inner("Neg", []string{"x"}, "out")}, nil, []string{"out"})))
}

// loopCase carries a value, reads one from outside and the number of the turn, and puts something out at each turn.
func loopCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "channels")}
	turns := dim(t, 1, 3, "turns")
	s.graph.Initializer = append(s.graph.Initializer, &onnxpb.TensorProto{Name: proto.String("turns"), DataType: proto.Int32(7), Int64Data: []int64{turns}})
	body := subgraph([]*onnxpb.NodeProto{
		inner("Cast", []string{"turn"}, "number", attrInt("to", 1)),
		inner("Tanh", []string{"state"}, "t"),
		inner("Mul", []string{"t", "x"}, "product"),
		inner("Add", []string{"product", "number"}, "next"),
		inner("Sigmoid", []string{"next"}, "scanned"),
		inner("Identity", []string{"on"}, "goes on"),
	}, []string{"turn", "on", "state"}, []string{"goes on", "next", "scanned"})
	for i, typ := range []int32{7, 9, 1} {
		of := &onnxpb.TypeProto_Tensor{ElemType: &typ}
		if typ != 1 {
			of.Shape = &onnxpb.TensorShapeProto{}
		}
		body.Input[i].Type = &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: of}}
	}
	s.node("Loop", []string{"turns", "", "x"}, []string{"end", "turned"}, attrGraph("body", body))
	s.node("Transpose", []string{"turned"}, []string{"first"}, attrInts("perm", 1, 0, 2))
	s.node("ReduceSum", []string{"first", s.ints(1)}, []string{"sum"}, attrInt("keepdims", 0))
	s.node("Add", []string{"sum", "end"}, []string{"y"})
}

// scanCase carries a state through the places of an axis, forwards or backwards.
func scanCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "steps"), dim(t, 1, 2, "channels")}
	body := subgraph([]*onnxpb.NodeProto{
		inner("Add", []string{"state", "part"}, "sum"),
		inner("Tanh", []string{"sum"}, "next"),
		inner("Mul", []string{"next", "part"}, "scanned"),
	}, []string{"state", "part"}, []string{"next", "scanned"})
	one := int32(1)
	for _, in := range body.Input {
		in.Type = &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: &one}}}
	}
	s.node("ReduceMean", []string{"x"}, []string{"before"}, attrInts("axes", 1), attrInt("keepdims", 0))
	s.node("Scan", []string{"before", "x"}, []string{"end", "all"}, attrGraph("body", body), attrInt("num_scan_inputs", 1),
		attrInts("scan_input_axes", 1), attrInts("scan_input_directions", dim(t, 0, 1, "direction")),
		attrInts("scan_output_axes", rapid.SampledFrom([]int64{1, -1}).Draw(t, "axis")), attrInts("scan_output_directions", dim(t, 0, 1, "out")))
	s.node("Flatten", []string{"all"}, []string{"flat"})
	s.node("Concat", []string{"end", "flat"}, []string{"y"}, attrInt("axis", 1))
}

func lpPoolCase(t *rapid.T, s *small) {
	s.pooling = true
	image(t, s, dim(t, 1, 2, "c"), rapid.IntRange(1, 2).Draw(t, "spatial"))
	dilated := rapid.Bool().Draw(t, "dilated")
	if dilated {
		s.opset = 19
	}
	attrs := windowAttrs(t, s, kernel(t, len(s.shape)-2, 1), dilated)
	s.node("LpPool", []string{"x"}, []string{"y"}, append(attrs, attrInt("p", dim(t, 1, 3, "p")))...)
}

func globalLpPoolCase(t *rapid.T, s *small) {
	image(t, s, dim(t, 1, 2, "c"), rapid.IntRange(1, 2).Draw(t, "spatial"))
	s.node("GlobalLpPool", []string{"x"}, []string{"y"}, attrInt("p", dim(t, 1, 3, "p")))
}

// reducedCase is of reductions that are written out: axes as an attribute, or as an input.
func reducedCase(typ string) func(t *rapid.T, s *small) {
	return func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "a"), dim(t, 1, 3, "b")}
		keep := attrInt("keepdims", dim(t, 0, 1, "keepdims"))
		axes := rapid.SampledFrom([][]int64{{1}, {-1}, {1, 2}}).Draw(t, "axes")
		if rapid.Bool().Draw(t, "input") {
			s.opset = 18
			s.node(typ, []string{"x", s.ints(axes...)}, []string{"y"}, keep)
			return
		}
		s.node(typ, []string{"x"}, []string{"y"}, keep, attrInts("axes", axes...))
	}
}

func rotaryCase(t *rapid.T, s *small) {
	s.opset = 23
	n, tokens, heads, pairs := dim(t, 1, 2, "n"), dim(t, 1, 3, "tokens"), dim(t, 1, 2, "heads"), dim(t, 1, 2, "pairs")
	width := 2*pairs + 2*dim(t, 0, 1, "left as they are")
	s.shape = []int64{n, tokens, heads * width}
	attrs := []*onnxpb.AttributeProto{attrInt("interleaved", dim(t, 0, 1, "interleaved")), attrInt("rotary_embedding_dim", 2*pairs)}
	cache := []int64{tokens + 2, pairs} // by position
	inputs := []string{"x", "", "", "positions"}
	for i := range 2 {
		inputs[1+i] = s.weight(cache, floats(t, product(cache), "cache")...)
	}
	s.node("Shape", []string{"x"}, []string{"dims"})
	s.node("Gather", []string{"dims", s.ints(0)}, []string{"frames"})
	s.node("Concat", []string{"frames", s.ints(tokens)}, []string{"places"}, attrInt("axis", 0))
	s.node("Expand", []string{s.ints(dim(t, 0, 1, "position")), "places"}, []string{"positions"})
	if rapid.Bool().Draw(t, "four axes") {
		s.node("Reshape", []string{"x", s.ints(0, 0, heads, width)}, []string{"split"})
		s.node("Transpose", []string{"split"}, []string{"x4"}, attrInts("perm", 0, 2, 1, 3))
		inputs[0] = "x4"
	} else {
		attrs = append(attrs, attrInt("num_heads", heads))
	}
	s.node("RotaryEmbedding", inputs, []string{"y"}, attrs...)
}

// powerCase has an exponent that depends on the picture, and a base that does or does not.
func powerCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 2, 3}
	s.node("MatMul", []string{"x", s.weight([]int64{3, 3}, floats(t, 9, "weight")...)}, []string{"z"})
	s.node("Tanh", []string{"z"}, []string{"exponent"})
	base := s.weight([]int64{3}, 2, 0.5, 1)
	if rapid.Bool().Draw(t, "base of the picture") {
		base = "base"
		s.node("Exp", []string{"x"}, []string{base})
	}
	s.node("Pow", []string{base, "exponent"}, []string{"y"})
}

func compressCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 2}
	s.node("Greater", []string{s.weight([]int64{3}, 1, -1, 2), s.weight(nil, 0)}, []string{"kept"})
	s.node("Compress", []string{"x", "kept"}, []string{"y"}, attrInt("axis", 1))
}

// gatherNDCase reads places of each frame, or counts frames too; some from the end.
func gatherNDCase(t *rapid.T, s *small) {
	s.shape = []int64{1, dim(t, 2, 3, "a"), dim(t, 2, 3, "b"), dim(t, 1, 2, "c")}
	batches := dim(t, 0, 1, "batch_dims")
	depth := dim(t, 1, 2, "depth")
	count := dim(t, 1, 3, "count")
	var at []int64
	for range count {
		for i := range depth {
			extent := s.shape[batches+i]
			at = append(at, dim(t, -extent, extent-1, "index"))
		}
	}
	s.node("Reshape", []string{s.ints(at...), s.ints(append([]int64{1}, count, depth)...)}, []string{"indices"})
	s.node("GatherND", []string{"x", "indices"}, []string{"y"}, attrInt("batch_dims", batches))
}

func topKCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 2, 4, "a"), dim(t, 1, 2, "b")}
	places := []int64{1, s.shape[1], s.shape[2]}
	far := make([]float32, product(places))
	for i := range far { // which are greatest does not change
		far[i] = float32(i*7%5)*100 + float32(i)*10
	}
	s.node("Add", []string{"x", s.weight(places, far...)}, []string{"apart"})
	s.node("TopK", []string{"apart", s.ints(dim(t, 1, s.shape[1], "k"))}, []string{"y", "at"}, attrInt("axis", 1), attrInt("largest", dim(t, 0, 1, "largest")))
}

func gridAttrs(t *rapid.T, s *small, modes ...string) []*onnxpb.AttributeProto {
	s.opset = rapid.SampledFrom([]int64{16, 20}).Draw(t, "opset")
	mode := rapid.SampledFrom(modes).Draw(t, "mode")
	if s.opset < 20 && mode == "linear" {
		mode = "bilinear"
	}
	return []*onnxpb.AttributeProto{
		attrString("mode", mode), attrString("padding_mode", rapid.SampledFrom([]string{"zeros", "border"}).Draw(t, "padding")),
		attrInt("align_corners", dim(t, 0, 1, "corners")),
	}
}

// gridSampleCase reads at fixed points, some beyond the picture.
func gridSampleCase(t *rapid.T, s *small) {
	s.shape = []int64{1, dim(t, 1, 2, "c"), dim(t, 1, 3, "h"), dim(t, 1, 3, "w")}
	rows, columns := dim(t, 1, 3, "rows"), dim(t, 1, 2, "columns")
	dims := []int64{1, rows, columns, 2}
	grid := s.weight(dims, floats(t, product(dims), "grid")...)
	s.node("GridSample", []string{"x", grid}, []string{"y"}, gridAttrs(t, s, "linear", "nearest")...)
}

// gridOfPictureCase reads where the picture says, as spatial transformers do: within a cell, where there is a slope.
func gridOfPictureCase(t *rapid.T, s *small) {
	s.shape = []int64{1, 1, 4, 4}
	s.node("GlobalAveragePool", []string{"x"}, []string{"mean"})
	s.node("Tanh", []string{"mean"}, []string{"t"})
	s.node("Mul", []string{"t", s.weight(nil, 0.1)}, []string{"little"})
	dims := []int64{1, 2, 2, 2}
	s.node("Add", []string{"little", s.weight(dims, -0.6, -0.6, 0.35, -0.6, -0.6, 0.35, 0.35, 0.35)}, []string{"grid"})
	s.node("GridSample", []string{"x", "grid"}, []string{"y"}, gridAttrs(t, s, "linear")...)
}

// computedPadCase pads to a multiple, as torchvision's Swin transformer is exported.
func computedPadCase(t *rapid.T, s *small) {
	image(t, s, 1, 2)
	window := dim(t, 2, 4, "window")
	s.node("Shape", []string{"x"}, []string{"dims"})
	lacks := func(axis int64) string {
		name := string(rune('a' + axis))
		s.node("Gather", []string{"dims", s.ints(axis)}, []string{"extent " + name})
		s.node("Mod", []string{"extent " + name, s.ints(window)}, []string{"over " + name})
		s.node("Sub", []string{s.ints(window), "over " + name}, []string{"missing " + name})
		s.node("Mod", []string{"missing " + name, s.ints(window)}, []string{"lack " + name})
		return "lack " + name
	}
	s.node("Concat", []string{s.ints(0, 0, 0, 1, 0, 0), lacks(2), lacks(3)}, []string{"pads"}, attrInt("axis", 0))
	s.node("Pad", []string{"x", "pads"}, []string{"y"})
}

// A quantised network has the gradient of the one that it was made of, and its own output.
func TestQuantised_straightThrough(t *testing.T) {
	r := openRuntime(t)
	build := func(quantised bool) []byte {
		s := &small{shape: []int64{1, 2, 4, 4}}
		s.graph.Initializer = append(s.graph.Initializer, &onnxpb.TensorProto{Name: proto.String("zero"), DataType: proto.Int32(2), Int32Data: []int32{128}})
		step := 0
		coded := func(x string) string {
			if !quantised {
				return x
			}
			scale := s.weight(nil, 0.0625)
			step++
			q, d := "q"+string(rune('0'+step)), "d"+string(rune('0'+step))
			s.node("QuantizeLinear", []string{x, scale, "zero"}, []string{q})
			s.node("DequantizeLinear", []string{q, scale, "zero"}, []string{d})
			return d
		}
		w := make([]float32, 3*2*9)
		for i := range w {
			w[i] = float32((i*37+5)%19)/16 - 0.5
		}
		s.node("Conv", []string{coded("x"), s.weight([]int64{3, 2, 3, 3}, w...)}, []string{"c"}, attrInts("pads", 1, 1, 1, 1))
		s.node("GlobalAveragePool", []string{coded("c")}, []string{"p"})
		s.node("Flatten", []string{coded("p")}, []string{"y"})
		return s.bytes(t)
	}
	in := onnx.Input{Shape: []int64{1, 2, 4, 4}, Values: picture([]int64{1, 2, 4, 4})}
	quantised, q := explained(t, r, build(true), in, oneHot(1, 3), explain.Target{Method: explain.Gradient}, explain.Target{Method: explain.Activation})
	float, f := explained(t, r, build(false), in, oneHot(1, 3), explain.Target{Method: explain.Gradient}, explain.Target{Method: explain.Activation})
	require.NotEqual(t, float, quantised)
	require.InDeltaSlice(t, float, quantised, 0.1)
	require.InDeltaSlice(t, f[0].Values, q[0].Values, 1e-6)
	require.InDeltaSlice(t, f[1].Values, q[1].Values, 0.2) // before it is rounded
}
