package explain

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// Randomise returns the model with the weights of its last top operators that have some, counted from the output down, in a
// random order each; all of them for 0. Their values stay what they were, so that activations neither die nor
// explode. A map that is the same for such a model explains nothing (Adebayo et al. 2018, "Sanity Checks for Saliency Maps").
func Randomise(model []byte, seed uint64, top int) ([]byte, error) {
	m, err := unmarshal(model)
	if err != nil {
		return nil, fmt.Errorf("explain: not an ONNX model: %w", err)
	}
	if m.Graph == nil {
		return nil, fmt.Errorf("explain: the model has no graph")
	}
	weights := map[string]*onnxpb.TensorProto{}
	for i, t := range m.Graph.Initializer {
		m.Graph.Initializer[i] = proto.CloneOf(t) // the bytes are the caller's
		weights[t.GetName()] = m.Graph.Initializer[i]
	}
	for _, n := range m.Graph.Node {
		if n.GetOpType() == "Constant" && len(n.Output) == 1 && len(n.Attribute) == 1 && n.Attribute[0].T != nil {
			weights[n.Output[0]] = n.Attribute[0].T
		}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	done := 0
	for _, n := range slices.Backward(m.Graph.Node) {
		if !slices.Contains([]string{"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization"}, n.GetOpType()) {
			continue
		}
		changed := false
		for _, in := range n.Input {
			if t := weights[in]; t != nil && shuffle(t, random) {
				changed = true
				delete(weights, in) // once, however many read it
			}
		}
		if changed {
			done++
		}
		if top > 0 && done == top {
			break
		}
	}
	if done == 0 {
		return nil, fmt.Errorf("explain: the model has no weights to randomise")
	}
	return proto.MarshalOptions{AllowPartial: true}.Marshal(m)
}

// shuffle puts the elements of a tensor of floats into a random order, and reports whether it has several.
func shuffle(t *onnxpb.TensorProto, random *rand.Rand) bool {
	if !isFloat(t.GetDataType()) || size(t.Dims) < 2 {
		return false
	}
	if len(t.RawData) > 0 {
		width := elementSize(t.GetDataType())
		raw, buffer := t.RawData, make([]byte, width)
		random.Shuffle(len(raw)/width, func(i, j int) {
			copy(buffer, raw[i*width:])
			copy(raw[i*width:(i+1)*width], raw[j*width:(j+1)*width])
			copy(raw[j*width:(j+1)*width], buffer)
		})
		return true
	}
	random.Shuffle(len(t.FloatData), func(i, j int) { t.FloatData[i], t.FloatData[j] = t.FloatData[j], t.FloatData[i] })
	random.Shuffle(len(t.DoubleData), func(i, j int) { t.DoubleData[i], t.DoubleData[j] = t.DoubleData[j], t.DoubleData[i] })
	random.Shuffle(len(t.Int32Data), func(i, j int) { t.Int32Data[i], t.Int32Data[j] = t.Int32Data[j], t.Int32Data[i] }) // float16 by element
	return true
}
