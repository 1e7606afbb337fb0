package explain_test

import (
	"slices"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// unbiased is a model in which every constant that is added is zero.
func unbiased(t *testing.T, model []byte) []byte {
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(model, &m))
	added := map[string]bool{}
	for _, n := range slices.Backward(m.Graph.Node) {
		var at []int
		switch n.GetOpType() {
		case "Conv", "ConvTranspose", "Gemm", "LayerNormalization":
			at = []int{2}
		case "BatchNormalization":
			at = []int{2, 3}
		case "LSTM", "GRU":
			at = []int{3}
		case "Add", "Concat": // a class token is concatenated
			at = []int{0, 1}
		case "Cast", "Expand", "Identity":
			if added[n.Output[0]] {
				at = []int{0}
			}
		}
		for _, i := range at {
			if i < len(n.Input) {
				added[n.Input[i]] = true
			}
		}
	}
	for _, w := range m.Graph.Initializer {
		if typ := onnxpb.TensorProto_DataType(w.GetDataType()); added[w.GetName()] && len(w.Dims) > 0 &&
			(typ == onnxpb.TensorProto_FLOAT || typ == onnxpb.TensorProto_FLOAT16) {
			clear(w.FloatData)
			clear(w.RawData)
		}
	}
	out, err := proto.Marshal(&m)
	require.NoError(t, err)
	return out
}

// Every operator passes on all the relevance that it gets, unless a constant or a sum of exponentials takes part of it.
func TestLRPEpsilon_everyRule(t *testing.T) {
	takes := []string{
		"Conv", "Gemm", "BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "Sum", "Mean",
		"Max", "Min", "Where", "Softmax", "LogSoftmax", "ReduceLogSumExp", "Mod",
		"Cast", // in float64 there is none
	}
	r := openRuntime(t)
	for _, c := range ruleCases() {
		if slices.Contains(takes, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := &small{}
				c.build(t, s)
				model := s.bytes(t)
				s.shape[0] = 1
				x := make([]float32, product(s.shape))
				for i := range x {
					x[i] = c.low + float32(i*37%23+1)/15
					if c.low == 0 && i%2 == 1 {
						x[i] = -x[i] / 2
					}
				}
				compiled, err := explain.Compile(model, explain.Options{Targets: []explain.Target{{Method: explain.LRPEpsilon}}, Probe: r.Probe})
				require.NoError(t, err)
				seed := slices.Repeat([]float32{1}, compiled.Classes)
				logits, maps := explained(t, r, model, onnx.Input{Shape: s.shape, Values: x}, seed, explain.Target{Method: explain.LRPEpsilon})
				require.InDelta(t, total(logits), total(maps[0].Values), 1e-3*float64(1+compiled.Classes))
			})
		})
	}
}

// Relevance is conserved where nothing takes any of it: biases, and in three networks what is named here, without which it is conserved in them too.
func TestLRPEpsilon_complete(t *testing.T) {
	without := map[string]func(m *onnxpb.GraphProto){
		"testdata/zoo/mirror_13.onnx": func(m *onnxpb.GraphProto) { // a softmax of each view, which is no share of what it is made of
			for _, n := range m.Node {
				if n.GetOpType() == "Softmax" {
					n.OpType, n.Attribute = proto.String("Identity"), nil
				}
			}
		},
		"testdata/zoo/netvlad_13.onnx": func(m *onnxpb.GraphProto) { // words, of which as many are subtracted as places are near to: a bias
			for _, w := range m.Initializer {
				if w.GetName() == "words" {
					clear(w.RawData)
				}
			}
		},
		"testdata/zoo/scanned_15.onnx": func(m *onnxpb.GraphProto) { // a class token that the score is a multiple of: it is zero without biases; the first patch then
			for _, n := range m.Node {
				if n.GetOpType() == "Gather" && n.Output[0] == "/Gather_70_output_0" {
					n.Input[1] = "first"
				}
			}
			m.Initializer = append(m.Initializer, &onnxpb.TensorProto{Name: proto.String("first"), DataType: proto.Int32(7), Int64Data: []int64{0}})
		},
	}
	r := openRuntime(t)
	for _, n := range networks(t) {
		t.Run(n.file, func(t *testing.T) {
			model := unbiased(t, readFile(t, n.file))
			if change := without[n.file]; change != nil {
				var m onnxpb.ModelProto
				require.NoError(t, proto.Unmarshal(model, &m))
				change(m.Graph)
				var err error
				model, err = proto.Marshal(&m)
				require.NoError(t, err)
			}
			logits, maps := explained(t, r, model, n.input(), oneHot(2, n.classes), explain.Target{Method: explain.LRPEpsilon})
			require.InEpsilon(t, logits[2], total(maps[0].Values), 0.01)
		})
	}
}

// A network that normalises its pixels itself gives the relevance that one does whose pixels come normalised.
func TestLRP_normalisesItself(t *testing.T) {
	r := openRuntime(t)
	const mean, deviation = 120, -60 // a negative scale swaps the least and the greatest
	net := func(itself bool) ([]byte, []int64) {
		s := &small{shape: []int64{1, 2, 6, 6}, logits: true}
		x := "x"
		if itself {
			s.node("Sub", []string{"x", s.weight([]int64{2, 1, 1}, mean, mean)}, []string{"centred"})
			s.node("Div", []string{"centred", s.weight([]int64{1}, deviation)}, []string{"scaled"})
			x = "scaled"
		}
		weights := make([]float32, 72)
		for i := range weights {
			weights[i] = float32(i*37%19)/10 - 0.85
		}
		s.node("Conv", []string{x, s.weight([]int64{4, 2, 3, 3}, weights...), s.weight([]int64{4}, 0.3, -0.2, 0.1, 0.2)}, []string{"a"})
		s.node("Relu", []string{"a"}, []string{"b"})
		s.node("Flatten", []string{"b"}, []string{"c"})
		s.node("MatMul", []string{"c", s.weight([]int64{64, 1}, weights[:64]...)}, []string{"logits"})
		return s.bytes(t), s.shape
	}
	targets := []explain.Target{{Method: explain.LRPEpsilon}, {Method: explain.LRPGamma}, {Method: explain.LRPAlphaBeta}}
	raw, shape := net(true)
	given, _ := net(false)
	in := onnx.Input{Shape: shape, Values: picture(shape)}
	bounds := func(a, b float32) { in.Low, in.High = constants(len(in.Values), a), constants(len(in.Values), b) }
	bounds(-2.5, 2.5)
	want, maps := explained(t, r, given, in, []float32{1}, targets...)
	for i, v := range in.Values {
		in.Values[i] = v*deviation + mean
	}
	bounds(2.5*deviation+mean, -2.5*deviation+mean)
	logits, got := explained(t, r, raw, in, []float32{1}, targets...)
	require.InDelta(t, want[0], logits[0], 1e-4)
	for i := range maps {
		requireWithin(t, 1e-4, wide(maps[i].Values), got[i].Values)
	}
}
