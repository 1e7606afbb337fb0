package explain_test

import (
	"math"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"

	"github.com/stretchr/testify/require"

	"pgregory.net/rapid"
)

// ruleCase builds a model around one operator and says which values x may take.
type ruleCase struct {
	name  string
	build func(t *rapid.T, s *small)
	low   float32 // x stays above it; 0 means around zero
}

// dim draws a number from low to high.
func dim(t *rapid.T, low, high int64, name string) int64 {
	return rapid.Int64Range(low, high).Draw(t, name)
}

func floats(t *rapid.T, n int64, name string) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rapid.IntRange(-20, 20).Draw(t, name)) / 10
	}
	return v
}

func product(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return n
}

// unaryCase tests an operator of one input.
func unaryCase(typ string, low float32, attrs ...*onnxpb.AttributeProto) ruleCase {
	return ruleCase{typ, func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "c"), dim(t, 1, 3, "h"), dim(t, 1, 3, "w")}
		s.node(typ, []string{"x"}, []string{"y"}, attrs...)
	}, low}
}

// modCase stays away from where a multiple begins.
func modCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "c"), dim(t, 1, 3, "h"), dim(t, 1, 3, "w")}
	s.node("Tanh", []string{"x"}, []string{"within"})
	s.node("Add", []string{"within", s.weight(nil, 7.5)}, []string{"above"})
	s.node("Mod", []string{"above", s.weight(nil, 5)}, []string{"y"}, attrInt("fmod", 1))
}

func unpoolCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 2, "c"), 2 * dim(t, 1, 3, "h"), 2 * dim(t, 1, 3, "w")}
	window := []*onnxpb.AttributeProto{attrInts("kernel_shape", 2, 2), attrInts("strides", 2, 2)}
	s.node("MaxPool", []string{"x"}, []string{"greatest", "at"}, window...)
	s.node("MaxUnpool", []string{"greatest", "at"}, []string{"y"}, window...)
}

func col2ImCase(t *rapid.T, s *small) {
	block := []int64{dim(t, 1, 3, "block"), dim(t, 1, 3, "block")}
	var picture, strides, pads, dilations []int64
	columns := int64(1)
	for _, k := range block {
		stride, pad, dilation, count := dim(t, 1, 2, "stride"), dim(t, 0, 1, "pad"), dim(t, 1, 2, "dilation"), dim(t, 2, 3, "count")
		picture = append(picture, (count-1)*stride+(k-1)*dilation+1-2*pad)
		if picture[len(picture)-1] < 1 {
			pad, picture[len(picture)-1] = 0, picture[len(picture)-1]+2*pad
		}
		strides, pads, dilations = append(strides, stride), append(pads, pad), append(dilations, dilation)
		columns *= count
	}
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 2, "c") * product(block), columns}
	s.node("Col2Im", []string{"x", s.ints(picture...), s.ints(block...)}, []string{"y"}, attrInts("strides", strides...), attrInts("pads", append(pads, pads...)...), attrInts("dilations", dilations...))
	s.opset = 18
}

func dftCase(t *rapid.T, s *small) {
	numbers := dim(t, 1, 2, "numbers")
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 2, 4, "h"), dim(t, 2, 5, "w"), numbers}
	along, back := dim(t, 1, 2, "axis"), dim(t, 0, 1, "inverse")
	in, attrs := []string{"x", ""}, []*onnxpb.AttributeProto{attrInt("inverse", back)}
	if numbers == 1 && back == 0 {
		attrs = append(attrs, attrInt("onesided", dim(t, 0, 1, "onesided")))
	}
	if length := dim(t, 1, 6, "length"); length > 1 {
		in[1] = s.scalarInt(length)
	}
	if s.opset = rapid.SampledFrom([]int64{17, 20}).Draw(t, "opset"); s.opset == 20 {
		in = append(in, s.scalarInt(along))
	} else {
		attrs = append(attrs, attrInt("axis", along))
	}
	s.node("DFT", in, []string{"y"}, attrs...)
}

func image(t *rapid.T, s *small, channels int64, spatial int) {
	s.shape = []int64{dim(t, 1, 2, "n"), channels}
	for range spatial {
		s.shape = append(s.shape, dim(t, 3, 6, "extent"))
	}
}

// window draws strides, pads and dilations that leave at least one place.
func windowAttrs(t *rapid.T, s *small, kernel []int64, dilated bool) []*onnxpb.AttributeProto {
	var strides, begin, end, dilations []int64
	for i, k := range kernel {
		d := int64(1)
		if dilated {
			d = dim(t, 1, 2, "dilation")
		}
		reach := (k-1)*d + 1
		b, e := dim(t, 0, k-1, "pad"), dim(t, 0, k-1, "pad")
		if lack := reach - s.shape[i+2] - b - e; lack > 0 {
			s.shape[i+2] += lack
		}
		strides, dilations = append(strides, dim(t, 1, 3, "stride")), append(dilations, d)
		begin, end = append(begin, b), append(end, e)
	}
	attrs := []*onnxpb.AttributeProto{attrInts("kernel_shape", kernel...), attrInts("strides", strides...)}
	if dilated {
		attrs = append(attrs, attrInts("dilations", dilations...))
	}
	if auto := rapid.SampledFrom([]string{"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}).Draw(t, "auto_pad"); auto != "NOTSET" && (!dilated || s.pooling) {
		for i, k := range kernel {
			s.shape[i+2] = max(s.shape[i+2], (k-1)*dilations[i]+1)
			attrs[1].Ints[i] = min(attrs[1].Ints[i], k) // the runtime refuses SAME where windows leave gaps
		}
		return append(attrs, attrString("auto_pad", auto))
	}
	return append(attrs, attrInts("pads", append(begin, end...)...))
}

func kernel(t *rapid.T, spatial int, low int64) []int64 {
	var k []int64
	for range spatial {
		k = append(k, dim(t, low, 3, "kernel"))
	}
	return k
}

func convCase(t *rapid.T, s *small) {
	spatial := rapid.IntRange(1, 3).Draw(t, "spatial")
	group := dim(t, 1, 3, "group")
	in, out := dim(t, 1, 2, "in"), dim(t, 1, 2, "out")
	image(t, s, group*in, spatial)
	k := kernel(t, spatial, 1)
	attrs := append(windowAttrs(t, s, k, rapid.Bool().Draw(t, "dilated")), attrInt("group", group))
	dims := append([]int64{group * out, in}, k...)
	inputs := []string{"x", s.weight(dims, floats(t, product(dims), "weight")...)}
	if rapid.Bool().Draw(t, "bias") {
		inputs = append(inputs, s.weight(dims[:1], floats(t, dims[0], "bias")...))
	}
	s.node("Conv", inputs, []string{"y"}, attrs...)
}

func convTransposeCase(t *rapid.T, s *small) {
	group := dim(t, 1, 2, "group")
	in, out := dim(t, 1, 2, "in"), dim(t, 1, 2, "out")
	image(t, s, group*in, 2)
	k := kernel(t, 2, 1)
	stride := dim(t, 1, 3, "stride")
	dims := append([]int64{group * in, out}, k...)
	s.node("ConvTranspose", []string{"x", s.weight(dims, floats(t, product(dims), "weight")...)}, []string{"y"},
		attrInt("group", group), attrInts("strides", stride, 1), attrInts("kernel_shape", k...),
		attrInts("pads", dim(t, 0, (k[0]-1)/2, "pad"), 0, 0, dim(t, 0, (k[1]-1)/2, "pad")),
		attrInts("output_padding", dim(t, 0, stride-1, "output padding"), 0))
}

func maxPoolCase(t *rapid.T, s *small) {
	s.pooling = true
	spatial := rapid.IntRange(2, 3).Draw(t, "spatial")
	image(t, s, dim(t, 1, 2, "c"), spatial)
	attrs := windowAttrs(t, s, kernel(t, spatial, 1), rapid.Bool().Draw(t, "dilated"))
	s.node("MaxPool", []string{"x"}, []string{"y"}, append(attrs, attrInt("ceil_mode", dim(t, 0, 1, "ceil")))...)
}

func averagePoolCase(t *rapid.T, s *small) {
	s.pooling = true
	image(t, s, dim(t, 1, 2, "c"), rapid.IntRange(1, 3).Draw(t, "spatial"))
	dilated := rapid.Bool().Draw(t, "dilated")
	if dilated {
		s.opset = 22
	}
	attrs := windowAttrs(t, s, kernel(t, len(s.shape)-2, 1), dilated)
	if rapid.IntRange(0, 3).Draw(t, "whole") == 0 {
		attrs = []*onnxpb.AttributeProto{attrInts("kernel_shape", s.shape[2:]...)}
	}
	s.node("AveragePool", []string{"x"}, []string{"y"},
		append(attrs, attrInt("count_include_pad", dim(t, 0, 1, "include")), attrInt("ceil_mode", dim(t, 0, 1, "ceil")))...)
}

// reduceCase covers attribute and input form, negative axes and keepdims.
func reduceCase(typ string) ruleCase {
	return ruleCase{typ, func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "c"), dim(t, 1, 3, "h"), dim(t, 1, 3, "w")}
		x := "x"
		if typ == "ReduceL2" { // a length near zero bends too much for differences
			x = "offset"
			s.node("Add", []string{"x", s.weight([]int64{3, 1, 1}, 3, -3, 2.5)}, []string{x})
			s.shape[1] = 3
		}
		axes := rapid.SampledFrom([][]int64{{1}, {2}, {-1}, {2, 3}, {-2, -1}, {1, 2, 3}}).Draw(t, "axes")
		keep := attrInt("keepdims", dim(t, 0, 1, "keep"))
		asInput := rapid.Bool().Draw(t, "axes as input") || typ == "ReduceSum"
		if asInput {
			s.opset = 18
			s.node(typ, []string{x, s.ints(axes...)}, []string{"y"}, keep)
			return
		}
		s.node(typ, []string{x}, []string{"y"}, keep, attrInts("axes", axes...))
	}, 0}
}

// broadcastCase has the picture on one side or both, with shapes that broadcast against each other.
func broadcastCase(typ string, low float32) ruleCase {
	return ruleCase{typ, func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "c"), dim(t, 1, 3, "h"), dim(t, 1, 3, "w")}
		left, right := "x", "x"
		switch rapid.SampledFrom([]string{"weight", "wide weight", "mean", "self", "both means"}).Draw(t, "kind") {
		case "weight":
			dims := [][]int64{{}, {1}, {s.shape[3]}, {s.shape[1], 1, 1}, {1, s.shape[1], s.shape[2], 1}}[rapid.IntRange(0, 4).Draw(t, "dims")]
			right = s.weight(dims, positive(floats(t, product(dims), "weight"))...)
		case "wide weight": // x is the one that is broadcast
			s.shape[3] = 1
			right = s.weight([]int64{1, s.shape[1], 1, 3}, positive(floats(t, s.shape[1]*3, "weight"))...)
		case "mean":
			s.node("GlobalAveragePool", []string{"x"}, []string{"mean"})
			right = "mean"
		case "both means":
			s.node("ReduceMean", []string{"x"}, []string{"rows"}, attrInts("axes", 2), attrInt("keepdims", 1))
			s.node("ReduceMean", []string{"x"}, []string{"columns"}, attrInts("axes", 3), attrInt("keepdims", 1))
			left, right = "rows", "columns"
		}
		if rapid.Bool().Draw(t, "swapped") {
			left, right = right, left
		}
		s.node(typ, []string{left, right}, []string{"y"})
	}, low}
}

func positive(v []float32) []float32 {
	for i := range v {
		v[i] = max(v[i], -v[i]) + 0.5
	}
	return v
}

func gemmCase(t *rapid.T, s *small) {
	n, k, m := dim(t, 1, 2, "n"), dim(t, 1, 5, "k"), dim(t, 1, 5, "m")
	s.shape = []int64{n, k}
	dims, trans := []int64{k, m}, dim(t, 0, 1, "transB")
	if trans == 1 {
		dims = []int64{m, k}
	}
	inputs := []string{"x", s.weight(dims, floats(t, k*m, "weight")...)}
	if rapid.Bool().Draw(t, "bias") {
		inputs = append(inputs, s.weight([]int64{m}, floats(t, m, "bias")...))
	}
	s.node("Gemm", inputs, []string{"y"}, attrInt("transB", trans), attrFloat("alpha", 1.5), attrFloat("beta", -0.5))
}

func matMulCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 2, "heads"), dim(t, 1, 3, "rows"), dim(t, 1, 4, "k")}
	switch rapid.SampledFrom([]string{"weight", "left weight", "vector", "left vector", "attention"}).Draw(t, "kind") {
	case "weight":
		dims := []int64{s.shape[3], 3}
		s.node("MatMul", []string{"x", s.weight(dims, floats(t, product(dims), "weight")...)}, []string{"y"})
	case "left weight":
		dims := []int64{2, s.shape[2]}
		s.node("MatMul", []string{s.weight(dims, floats(t, product(dims), "weight")...), "x"}, []string{"y"})
	case "vector":
		s.node("MatMul", []string{"x", s.weight(s.shape[3:], floats(t, s.shape[3], "weight")...)}, []string{"y"})
	case "left vector":
		s.node("MatMul", []string{s.weight(s.shape[2:3], floats(t, s.shape[2], "weight")...), "x"}, []string{"y"})
	default:
		s.node("Transpose", []string{"x"}, []string{"k"}, attrInts("perm", 0, 1, 3, 2))
		s.node("MatMul", []string{"x", "k"}, []string{"y"})
	}
}

func batchNormCase(t *rapid.T, s *small) {
	c := dim(t, 1, 3, "c")
	image(t, s, c, rapid.IntRange(1, 2).Draw(t, "spatial"))
	w := func(name string) string { return s.weight([]int64{c}, positive(floats(t, c, name))...) }
	s.node("BatchNormalization", []string{"x", w("scale"), w("bias"), w("mean"), w("variance")}, []string{"y"}, attrFloat("epsilon", 0.01))
}

// kinkCase tests an operator that is not smooth at multiples of a half: x is made of odd multiples of a
// quarter or an eighth.
func kinkCase(typ string, scale float32, attrs ...*onnxpb.AttributeProto) ruleCase {
	return ruleCase{typ, func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), 6}
		s.node("Mul", []string{"x", s.weight(nil, scale)}, []string{"scaled"})
		s.node(typ, []string{"scaled"}, []string{"y"}, attrs...)
	}, 0}
}

func clipCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 6}
	bounds := []string{"", ""}
	if rapid.Bool().Draw(t, "low") {
		bounds[0] = s.weight(nil, -1)
	}
	if rapid.Bool().Draw(t, "high") {
		bounds[1] = s.weight(nil, 0.5)
	}
	s.node("Clip", append([]string{"x"}, bounds...), []string{"y"})
}

func softmaxCase(typ string, opset int64) ruleCase {
	return ruleCase{typ, func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 2, 3, "c"), dim(t, 1, 3, "h")}
		s.opset = opset
		s.node(typ, []string{"x"}, []string{"p"}, attrInt("axis", rapid.SampledFrom([]int64{1, 2}).Draw(t, "axis")))
		dims := []int64{1, s.shape[1], s.shape[2]} // a sum of probabilities alone would have no gradient
		s.node("Mul", []string{"p", s.weight(dims, positive(floats(t, product(dims), "weight"))...)}, []string{"y"})
	}, 0}
}

func concatCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "c"), 2, 3}
	s.node("Relu", []string{"x"}, []string{"a"})
	s.node("Concat", []string{"x", "a", "x"}, []string{"y"}, attrInt("axis", rapid.SampledFrom([]int64{1, 2, -1}).Draw(t, "axis")))
}

func splitCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 5, 2}
	s.node("Split", []string{"x", s.ints(1, 2, 2)}, []string{"a", "unused", "b"}, attrInt("axis", 1))
	s.node("Mul", []string{"b", "b"}, []string{"bb"})
	s.node("Mul", []string{"bb", "a"}, []string{"y"})
}

func sliceCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 2, 4, "c"), dim(t, 3, 5, "h")}
	inputs := []string{"x", s.ints(1, dim(t, -3, 2, "start")), s.ints(100, dim(t, 5, 9, "end")), s.ints(1, 2)}
	switch rapid.SampledFrom([]string{"one", "steps", "backwards"}).Draw(t, "steps") {
	case "steps":
		inputs = append(inputs, s.ints(dim(t, 1, 3, "step"), dim(t, 1, 3, "step")))
	case "backwards":
		inputs = []string{
			"x", s.ints(dim(t, -3, 9, "start"), rapid.SampledFrom([]int64{-1, 1, 9}).Draw(t, "start")),
			s.ints(math.MinInt64, rapid.SampledFrom([]int64{-9, 0}).Draw(t, "end")), s.ints(-1, 1),
			s.ints(dim(t, -3, -1, "step"), dim(t, -3, -1, "step")),
		}
	}
	s.node("Slice", inputs, []string{"y"})
}

func padCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 2, "c"), 3, 3}
	if mode := rapid.SampledFrom([]string{"constant", "reflect", "edge", "wrap"}).Draw(t, "mode"); mode != "constant" {
		s.opset = 19
		s.node("Pad", []string{"x", s.ints(dim(t, 0, 2, "top"), dim(t, 0, 2, "left"), dim(t, 0, 2, "bottom"), dim(t, 0, 2, "right")), "", s.ints(2, -1)},
			[]string{"y"}, attrString("mode", mode))
		return
	}
	s.node("Pad", []string{"x", s.ints(0, 0, dim(t, -1, 2, "top"), 1, 0, dim(t, 0, 1, "channel"), 0, dim(t, -1, 2, "right"))}, []string{"y"})
}

func reshapeCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 4, 3, 2}
	s.node("Reshape", []string{"x", s.ints(0, 2, 2, -1)}, []string{"a"}) // a channel shuffle
	s.node("Transpose", []string{"a"}, []string{"b"}, attrInts("perm", 0, 2, 1, 3))
	s.node("Unsqueeze", []string{"b", s.ints(1)}, []string{"c"})
	s.node("Squeeze", []string{"c", s.ints(1)}, []string{"d"})
	s.node("Flatten", []string{"d"}, []string{"e"}, attrInt("axis", dim(t, 1, 3, "axis")))
	s.node("Mul", []string{"e", "e"}, []string{"f"})
	s.node("Reshape", []string{"f", s.ints(-1, 24)}, []string{"y"})
}

func lrnCase(t *rapid.T, s *small) {
	image(t, s, dim(t, 1, 5, "c"), 2)
	s.shape[2], s.shape[3] = 2, 2
	s.node("LRN", []string{"x"}, []string{"y"}, attrInt("size", 2*dim(t, 0, 2, "size")+1),
		attrFloat("alpha", 0.5), attrFloat("beta", 0.75), attrFloat("bias", 1.5))
}

func preluCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 2}
	s.node("PRelu", []string{"x", s.weight([]int64{3, 1}, floats(t, 3, "slope")...)}, []string{"y"})
}

func powCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 4}
	s.node("Pow", []string{"x", s.weight(nil, rapid.SampledFrom([]float32{2, 3, 0.5, -1}).Draw(t, "exponent"))}, []string{"y"})
}

func expandCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 1}
	s.node("Expand", []string{"x", s.ints(1, 1, 4)}, []string{"y"})
}

func castCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3}
	s.node("Cast", []string{"x"}, []string{"wide"}, attrInt("to", int64(onnxpb.TensorProto_DOUBLE)))
	s.node("Mul", []string{"wide", "wide"}, []string{"square"})
	s.node("Cast", []string{"square"}, []string{"y"}, attrInt("to", int64(onnxpb.TensorProto_FLOAT)))
}

func sumCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), 3, 2}
	s.node("Relu", []string{"x"}, []string{"a"})
	s.node("Sum", []string{"x", s.weight([]int64{3, 1}, 1, 2, 3), "a"}, []string{"y"})
}

func ruleCases() []ruleCase {
	return []ruleCase{
		{"Conv", convCase, 0},
		{"ConvTranspose", convTransposeCase, 0},
		{"MaxPool", maxPoolCase, 0},
		{"AveragePool", averagePoolCase, 0},
		unaryCase("GlobalAveragePool", 0), unaryCase("GlobalMaxPool", 0),
		reduceCase("ReduceMean"), reduceCase("ReduceSum"), reduceCase("ReduceMax"), reduceCase("ReduceMin"),
		{"Gemm", gemmCase, 0},
		{"MatMul", matMulCase, 0},
		{"BatchNormalization", batchNormCase, 0},
		{"LRN", lrnCase, 0},
		broadcastCase("Add", 0), broadcastCase("Sub", 0), broadcastCase("Mul", 0), broadcastCase("Div", 0.5),
		{"Sum", sumCase, 0},
		{"Pow", powCase, 0.5},
		unaryCase("Relu", 0), unaryCase("LeakyRelu", 0, attrFloat("alpha", 0.3)),
		{"PRelu", preluCase, 0},
		unaryCase("Elu", 0, attrFloat("alpha", 1.3)),
		{"Clip", clipCase, 0},
		unaryCase("Sigmoid", 0), kinkCase("HardSigmoid", 1, attrFloat("alpha", 1)), kinkCase("HardSwish", 3), unaryCase("Tanh", 0),
		unaryCase("Softplus", 0), unaryCase("Exp", 0), unaryCase("Log", 0.5), unaryCase("Sqrt", 0.5), unaryCase("Reciprocal", 0.7),
		unaryCase("Erf", 0), unaryCase("Abs", 0), unaryCase("Neg", 0),
		softmaxCase("Softmax", 17), softmaxCase("LogSoftmax", 17), softmaxCase("Softmax", 11), softmaxCase("LogSoftmax", 9),
		unaryCase("Identity", 0), unaryCase("Dropout", 0),
		{"Cast", castCase, 0},
		{"Reshape", reshapeCase, 0},
		{"Concat", concatCase, 0},
		{"Split", splitCase, 0},
		{"Slice", sliceCase, 0},
		{"Pad", padCase, 0},
		{"Expand", expandCase, 0},
		{"LayerNormalization", layerNormCase, 0},
		{"InstanceNormalization", instanceNormCase, 0},
		{"GroupNormalization", groupNormCase(18), 0},
		{"GroupNormalization", groupNormCase(21), 0},
		{"Gather", gatherCase, 0},
		{"GatherElements", gatherElementsCase, 0},
		{"Tile", tileCase, 0},
		{"Where", whereCase, 0},
		{"Max", extremeCase("Max"), 0},
		{"Min", extremeCase("Min"), 0},
		{"Resize", resizeCase, 0},
		{"Einsum", einsumCase, 0},
		{"DepthToSpace", depthCase, 0},
		{"Mod", modCase, 0},
		{"MaxUnpool", unpoolCase, 0},
		{"Col2Im", col2ImCase, 0},
		{"DFT", dftCase, 0},
		{"SpaceToDepth", spaceCase, 0},
		reduceCase("ReduceL1"), reduceCase("ReduceL2"), reduceCase("ReduceSumSquare"), reduceCase("ReduceLogSumExp"),
		laterCase("Gelu", 20), laterCase("Gelu", 20, attrString("approximate", "tanh")), laterCase("Mish", 18),
		unaryCase("Selu", 0), unaryCase("Celu", 0, attrFloat("alpha", 1.5)), kinkCase("ThresholdedRelu", 1, attrFloat("alpha", 0.5)),
		unaryCase("Softsign", 0), unaryCase("Sin", 0), unaryCase("Cos", 0),
		kinkCase("Tan", 0.5), unaryCase("Sinh", 0), unaryCase("Cosh", 0), kinkCase("Asin", 0.5), kinkCase("Acos", 0.5), unaryCase("Atan", 0),
		unaryCase("Asinh", 0), unaryCase("Acosh", 1.5), kinkCase("Atanh", 0.5),
		kinkCase("Shrink", 1, attrFloat("bias", 0.25)), laterCase("Swish", 24, attrFloat("alpha", 1.5)),
		{"RMSNormalization", rmsNormCase, 0},
		{"LpNormalization", lpNormCase, 0},
		{"MeanVarianceNormalization", meanVarianceCase, 0},
		{"Mean", meanCase, 0},
		{"CumSum", cumSumCase, 0},
		{"Trilu", triluCase, 0},
		{"CastLike", castLikeCase, 0},
		{"ScatterElements", scatterCase("ScatterElements"), 0},
		{"ScatterND", scatterCase("ScatterND"), 0},
	}
}

func TestRules_finiteDifferences(t *testing.T) {
	r := openRuntime(t)
	for _, c := range append(ruleCases(), loweredCases()...) {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				model, shape, x, step := c.drawn(t)
				checkGradient(t, r, model, shape, x, testSeed(), step)
			})
		})
	}
}

// drawn is a model of the case with an input that suits it, and the step of differences.
func (c ruleCase) drawn(t *rapid.T) (model []byte, shape []int64, x []float32, h float32) {
	s := &small{}
	c.build(t, s)
	model = s.bytes(t)
	n := int(product(s.shape))
	// values all differ by a step at least, and none is nearer than half a step to zero, so that
	// no kink and no change of a maximum lies within the difference
	step := max(3/float32(n), 0.04)
	order := rapid.Permutation(indices(n)).Draw(t, "x")
	x = make([]float32, n)
	for i, k := range order {
		x[i] = (float32(k) + 0.5 - float32(n/2)) * step
		if c.low > 0 {
			x[i] = c.low + (float32(k)+0.5)*step
		}
	}
	return model, s.shape, x, min(step/4, 0.005)
}

func testSeed() []float32 {
	seed := make([]float32, 4096)
	for i := range seed {
		seed[i] = float32((i*37+11)%17)/8 - 1
	}
	return seed
}

// Every rule of the table has a case above.
func TestRules_everyOperatorTested(t *testing.T) {
	tested := map[string]bool{"Flatten": true, "Squeeze": true, "Unsqueeze": true, "Transpose": true} // in the Reshape case
	for _, typ := range []string{"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"} {     // which have no differences to speak of
		tested[typ] = true
	}
	for _, c := range append(ruleCases(), loweredCases()...) {
		tested[c.name] = true
	}
	for _, name := range explain.DifferentiableOperators() {
		require.True(t, tested[name], "no test of the rule for %s", name)
	}
}

func indices(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	return v
}
