package explain_test

import (
	"math"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Operators of ONNX Runtime's own, written out as those of the standard, come to what the runtime makes of them itself, with a
// gradient as by differences.
func TestRules_runtimesOwn(t *testing.T) {
	r := openRuntime(t)
	for _, c := range ownCases() {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				model, shape, x, step := c.drawn(t)
				compiled, err := explain.Compile(model, explain.Options{Targets: []explain.Target{{Method: explain.Gradient}}, Probe: r.Probe})
				require.NoError(t, err)
				in := onnx.Tensor{Shape: shape, Values: x}
				seed := onnx.Tensor{Shape: []int64{shape[0], int64(compiled.Classes)}, Values: testSeed()[:int(shape[0])*compiled.Classes]}
				own := run(t, r, model, onnx.SessionOptions{Inputs: []string{"x"}, Outputs: []string{"logits"}}, in)
				out := run(t, r, compiled.ONNX, onnx.SessionOptions{Inputs: []string{"x", compiled.SeedName}, Outputs: []string{compiled.LogitsName}}, in, seed)
				require.InDeltaSlice(t, own[0].Values, out[0].Values, 1e-5*math.Max(1, greatest(own[0].Values)))
				checkGradient(t, r, model, shape, x, testSeed(), step)
			})
		})
	}
}

// ownCases have all that the operators can have but what is refused.
func ownCases() []ruleCase {
	return []ruleCase{
		{"FusedConv", fusedConvCase, 0},
		{"FusedGemm", fusedGemmCase, 0},
		{"FusedMatMul", fusedMatMulCase, 0},
		{"Gelu", ownUnary("Gelu"), 0},
		{"QuickGelu", ownUnary("QuickGelu", attrFloat("alpha", 1.5)), 0},
		{"FastGelu", func(t *rapid.T, s *small) { biasCase(t, s, "FastGelu", rapid.Bool().Draw(t, "bias")) }, 0},
		{"BiasGelu", func(t *rapid.T, s *small) { biasCase(t, s, "BiasGelu", true) }, 0},
		{"SimplifiedLayerNormalization", func(t *rapid.T, s *small) {
			s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "tokens"), dim(t, 2, 4, "width")}
			s.node("SimplifiedLayerNormalization", []string{"x", s.drawn(t, s.shape[2])}, []string{"y"}, attrFloat("epsilon", 1e-3))
		}, 0},
		{"SkipLayerNormalization", func(t *rapid.T, s *small) { skipNormCase(t, s, "SkipLayerNormalization") }, 0},
		{"SkipSimplifiedLayerNormalization", func(t *rapid.T, s *small) { skipNormCase(t, s, "SkipSimplifiedLayerNormalization") }, 0},
		{"Attention", ownAttentionCase, 0},
		{"MultiHeadAttention", multiHeadCase, 0},
		{"RotaryEmbedding", ownRotaryCase, 0},
		{"MatMulNBits", fewBitsCase, 0},
	}
}

// drawn is a weight of such dimensions.
func (s *small) drawn(t *rapid.T, dims ...int64) string {
	return s.weight(dims, floats(t, product(dims), "weight")...)
}

func ownUnary(typ string, attrs ...*onnxpb.AttributeProto) func(t *rapid.T, s *small) {
	return func(t *rapid.T, s *small) {
		s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "c"), dim(t, 1, 3, "h")}
		s.own(typ, []string{"x"}, []string{"y"}, attrs...)
	}
}

func biasCase(t *rapid.T, s *small, typ string, bias bool) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "tokens"), dim(t, 1, 4, "width")}
	inputs := []string{"x"}
	if bias {
		inputs = append(inputs, s.drawn(t, s.shape[2]))
	}
	s.own(typ, inputs, []string{"y"})
}

// fusedConvCase has smooth activations, and those whose kinks are far from what a convolution comes to.
func fusedConvCase(t *rapid.T, s *small) {
	image(t, s, 2, 2)
	attrs := []*onnxpb.AttributeProto{attrInts("kernel_shape", 3, 3), attrInts("pads", 1, 1, 1, 1)}
	switch typ := rapid.SampledFrom([]string{"", "Sigmoid", "Tanh", "Relu", "LeakyRelu", "Clip", "HardSigmoid"}).Draw(t, "activation"); typ {
	case "":
	case "LeakyRelu":
		attrs = append(attrs, attrString("activation", typ), attrFloats("activation_params", 0.5))
	case "Clip":
		attrs = append(attrs, attrString("activation", typ), attrFloats("activation_params", -900, 900))
	case "HardSigmoid":
		attrs = append(attrs, attrString("activation", typ), attrFloats("activation_params", 0.001, 0.5))
	default:
		attrs = append(attrs, attrString("activation", typ))
	}
	bias := s.weight([]int64{3}, 100.25, 90.125, 110.5) // beyond the kink at zero
	if typ := string(attrs[len(attrs)-1].GetS()); typ == "Sigmoid" || typ == "Tanh" {
		bias = s.weight([]int64{3}, 0.25, -0.5, 0.125)
	}
	inputs := []string{"x", s.drawn(t, 3, 2, 3, 3), bias}
	if rapid.Bool().Draw(t, "sum") {
		s.node("Conv", []string{"x", s.drawn(t, 3, 2, 1, 1)}, []string{"z"})
		inputs = append(inputs, "z")
	}
	s.own("FusedConv", inputs, []string{"activated"}, attrs...)
	s.node("Neg", []string{"activated"}, []string{"y"}) // a sigmoid at the end would be looked behind
}

func fusedGemmCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 3, "n"), dim(t, 1, 4, "width")}
	attrs := []*onnxpb.AttributeProto{attrFloat("alpha", 0.5), attrInt("transB", 1)}
	switch rapid.IntRange(0, 2).Draw(t, "activation") {
	case 0:
		attrs = append(attrs, attrString("activation", "Tanh"))
	case 1:
		attrs = append(attrs, attrString("activation", "LeakyRelu"), attrFloat("activation_alpha", 0.5))
	default:
		attrs = append(attrs, attrString("activation", "Elu"), attrFloat("activation_alpha", 1))
	}
	s.own("FusedGemm", []string{"x", s.drawn(t, 2, s.shape[1]), s.weight([]int64{2}, 40.25, -40.5)}, []string{"y"}, attrs...)
}

func fusedMatMulCase(t *rapid.T, s *small) {
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "rows"), dim(t, 1, 3, "columns")}
	inner, transA, transB := s.shape[2], dim(t, 0, 1, "transA"), dim(t, 0, 1, "transB")
	if transA == 1 {
		inner = s.shape[1]
	}
	weight := []int64{inner, 2}
	if transB == 1 {
		weight = []int64{2, inner}
	}
	s.own("FusedMatMul", []string{"x", s.drawn(t, weight...)}, []string{"y"}, attrFloat("alpha", 0.25), attrInt("transA", transA), attrInt("transB", transB))
}

// ownRotaryCase counts positions from a first one, or says each.
func ownRotaryCase(t *rapid.T, s *small) {
	const heads, pairs = 2, 2
	tokens := dim(t, 1, 3, "tokens")
	s.shape = []int64{1, tokens, heads * 2 * pairs}
	from := s.ints(dim(t, 0, 1, "from"))
	if rapid.Bool().Draw(t, "each") {
		s.node("Expand", []string{from, s.ints(1, tokens)}, []string{"positions"})
		from = "positions"
	}
	attrs := []*onnxpb.AttributeProto{attrInt("interleaved", dim(t, 0, 1, "interleaved"))}
	if rapid.Bool().Draw(t, "heads said") {
		attrs = append(attrs, attrInt("num_heads", heads))
	}
	s.own("RotaryEmbedding", []string{"x", from, s.drawn(t, tokens+1, pairs), s.drawn(t, tokens+1, pairs)}, []string{"y"}, attrs...)
}

// skipNormCase reads the sum as well.
func skipNormCase(t *rapid.T, s *small, typ string) {
	width := dim(t, 2, 4, "width")
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "tokens"), width}
	s.node("MatMul", []string{"x", s.drawn(t, width, width)}, []string{"skip"})
	inputs := []string{"x", "skip", s.drawn(t, width)}
	if typ == "SkipLayerNormalization" {
		inputs = append(inputs, s.drawn(t, width))
	}
	if rapid.Bool().Draw(t, "bias") {
		inputs = append(inputs, s.drawn(t, width))
	}
	s.own(typ, inputs, []string{"normal", "", "", "sum"}, attrFloat("epsilon", 0.25))
	s.node("Add", []string{"normal", "sum"}, []string{"y"})
}

func ownAttentionCase(t *rapid.T, s *small) {
	heads, size := dim(t, 1, 2, "heads"), dim(t, 1, 2, "size")
	width := heads * size
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "tokens"), 3}
	inputs := []string{"x", s.drawn(t, 3, 3*width), s.drawn(t, 3*width)}
	attrs := []*onnxpb.AttributeProto{attrInt("num_heads", heads), attrInt("unidirectional", dim(t, 0, 1, "unidirectional"))}
	inputs, attrs = maskCase(t, s, inputs, attrs)
	if rapid.Bool().Draw(t, "term") {
		inputs = append(append(inputs, "", "")[:5], s.drawn(t, 1, heads, s.shape[1], s.shape[1]))
	}
	if rapid.Bool().Draw(t, "scale") {
		attrs = append(attrs, attrFloat("scale", 0.25))
	}
	s.own("Attention", inputs, []string{"y"}, attrs...)
}

func multiHeadCase(t *rapid.T, s *small) {
	heads, size := dim(t, 1, 2, "heads"), dim(t, 1, 2, "size")
	width := heads * size
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "tokens"), 3}
	inputs := []string{"q", "k", "v"}
	for _, name := range inputs {
		s.node("MatMul", []string{"x", s.drawn(t, 3, width)}, []string{name})
	}
	if inputs = append(inputs, ""); rapid.Bool().Draw(t, "bias") {
		inputs[3] = s.drawn(t, 3*width)
	}
	inputs, attrs := maskCase(t, s, inputs, []*onnxpb.AttributeProto{attrInt("num_heads", heads)})
	if rapid.Bool().Draw(t, "term") {
		inputs = append(append(inputs, "")[:5], s.drawn(t, 1, heads, s.shape[1], s.shape[1]))
	}
	s.own("MultiHeadAttention", inputs, []string{"y"}, attrs...)
}

// fewBitsCase packs two weights a byte, in blocks of sixteen of which the last is not full.
func fewBitsCase(t *rapid.T, s *small) {
	const width, made = 20, 3
	s.shape = []int64{dim(t, 1, 2, "n"), dim(t, 1, 3, "rows"), width}
	packed := make([]int32, made*2*8)
	for i := range packed {
		packed[i] = int32(dim(t, 0, 255, "packed"))
	}
	inputs := []string{"x", s.integers("packed", onnxpb.TensorProto_UINT8, []int64{made, 2, 8}, packed...), s.drawn(t, made*2)}
	if rapid.Bool().Draw(t, "zeros") {
		inputs = append(inputs, s.integers("zeros", onnxpb.TensorProto_UINT8, []int64{made}, 0x79, 0x8a, 0x56))
	}
	if rapid.Bool().Draw(t, "bias") {
		inputs = append(append(inputs, "", "")[:5], s.drawn(t, made))
	}
	s.own("MatMulNBits", inputs, []string{"y"}, attrInt("K", width), attrInt("N", made), attrInt("bits", 4), attrInt("block_size", 16))
}

// maskCase hides keys of one frame in each of the ways there are.
func maskCase(t *rapid.T, s *small, inputs []string, attrs []*onnxpb.AttributeProto) ([]string, []*onnxpb.AttributeProto) {
	tokens, dims, v := s.shape[1], []int64(nil), []int32(nil)
	switch rapid.SampledFrom([]string{"none", "ends", "keys", "queries", "starts"}).Draw(t, "mask") {
	case "none":
		return inputs, attrs
	case "ends":
		dims, v = []int64{1}, []int32{int32(dim(t, 1, tokens, "end"))}
	case "starts":
		if len(inputs) > 3 { // an operator that has none
			return inputs, attrs
		}
		dims, v = []int64{2}, []int32{int32(tokens), int32(dim(t, 0, tokens-1, "start"))}
	case "keys":
		dims = []int64{1, tokens}
	case "queries":
		dims = []int64{1, tokens, tokens}
	}
	if s.shape[0] = 1; v == nil {
		for range product(dims) {
			v = append(v, int32(dim(t, 0, 1, "shown")))
		}
	}
	return append(inputs, s.integers("mask", onnxpb.TensorProto_INT32, dims, v...)), append(attrs, attrFloat("mask_filter_value", float32(dim(t, 1, 5, "hidden"))*-2))
}

// Weights of very many rows are not unpacked by a unit matrix of as many: it would be larger than the network.
func TestLower_wideMatMulNBits(t *testing.T) {
	const blocks, made = 563, 2
	s := &small{shape: []int64{1, 1, 16 * blocks}}
	packed := s.integers("packed", onnxpb.TensorProto_UINT8, []int64{made, blocks, 8}, make([]int32, made*blocks*8)...)
	scales := s.weight([]int64{made * blocks}, make([]float32, made*blocks)...)
	s.own("MatMulNBits", []string{"x", packed, scales}, []string{"y"}, attrInt("K", 16*blocks), attrInt("N", made), attrInt("bits", 4), attrInt("block_size", 16))
	_, err := explain.Compile(s.bytes(t), explain.Options{Targets: []explain.Target{{Method: explain.Gradient}}, Probe: openRuntime(t).Probe})
	require.ErrorContains(t, err, "it reads 9008 values of each token, and at most 8192 are written out")
}
