package explain_test

import (
	"math"
	"testing"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"

	"pgregory.net/rapid"
)

// Every operator shares out the difference that the baseline makes to what it computes.
func TestDeepLIFT_everyRule(t *testing.T) {
	r := openRuntime(t)
	for _, c := range ruleCases() {
		if c.name == "Where" || c.name == "MaxUnpool" {
			continue // a change of its condition, or of where a maximum goes, is no one's share
		}
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := &small{}
				c.build(t, s)
				compiled, err := explain.Compile(s.bytes(t), explain.Options{
					Targets: []explain.Target{{Method: explain.DeepLIFT}}, Probe: r.Probe,
				})
				require.NoError(t, err)
				s.shape[0] = 1 // a baseline is one frame
				n := int(product(s.shape))
				x, base := make([]float32, n), make([]float32, n)
				for i := range n {
					x[i] = c.low + float32(math.Abs(float64(i*37%23)-11)/7)
					base[i] = c.low + float32(math.Abs(float64(i*29%19)-9)/7)
					if c.low == 0 {
						x[i], base[i] = x[i]-0.6, base[i]-0.7
					}
				}
				seed := make([]float32, int(s.shape[0])*compiled.Classes)
				for i := range seed {
					seed[i] = float32((i*37+11)%17)/8 - 1
				}
				session, err := r.NewSession(compiled.ONNX, onnx.SessionOptions{
					Provider: provider,
					Inputs:   []string{compiled.InputName, compiled.SeedName, compiled.BaselineName},
					Outputs:  []string{compiled.LogitsName, compiled.Maps[0].Name},
				})
				require.NoError(t, err)
				defer func() { _ = session.Close() }()
				run := func(x []float32) (logits, relevance []float32) {
					out, err := session.Run(t.Context(), []onnx.Tensor{
						{Shape: s.shape, Values: x},
						{Shape: []int64{s.shape[0], int64(compiled.Classes)}, Values: seed},
						{Shape: s.shape, Values: base},
					})
					require.NoError(t, err)
					return out[0].Values, out[1].Values
				}
				logits, relevance := run(x)
				atBase, _ := run(base)
				want, scale := 0., 1.
				for i, v := range logits {
					d := float64(seed[i]) * float64(v-atBase[i])
					want, scale = want+d, scale+math.Abs(d)
				}
				require.InDelta(t, want, total(relevance), 1e-4*scale)
			})
		})
	}
}

// DeepLIFT shares out the difference to the baseline, whatever pools, norms, gates and attention the network has.
func TestDeepLIFT_complete(t *testing.T) {
	r := openRuntime(t)
	for _, n := range networks(t) {
		t.Run(n.file, func(t *testing.T) {
			model, in := readFile(t, n.file), n.input()
			seed := oneHot(2, n.classes)
			logits, maps := explained(t, r, model, in, seed, explain.Target{Method: explain.DeepLIFT})
			atBase, _ := explained(t, r, model, onnx.Input{Shape: in.Shape, Values: make([]float32, len(in.Values))}, seed)
			require.InEpsilon(t, float64(logits[2]-atBase[2]), total(maps[0].Values), 0.01)
		})
	}
}
