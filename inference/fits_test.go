package inference_test

import (
	"testing"

	"endogate/explain"
	"endogate/inference"

	"github.com/stretchr/testify/require"
)

// What a manifest says of its network and is not so is an error that says both.
func TestBundle_Fits(t *testing.T) {
	for says, change := range map[string]func(b *inference.Bundle, n *explain.Outline){
		"": func(*inference.Bundle, *explain.Outline) {},
		"is [1 4 3 160 160], the network's is [-1 3 160 160]": func(b *inference.Bundle, _ *explain.Outline) {
			b.Clip = &inference.Clip{Frames: 4, Layout: inference.NTCHW}
		},
		`input.name is "picture"`: func(b *inference.Bundle, _ *explain.Outline) { b.Input.Name = "picture" },
		`inputs are ["input" "age"]`: func(_ *inference.Bundle, n *explain.Outline) {
			n.Inputs = append(n.Inputs, explain.Port{Name: "age"})
		},
		`output "logits" has no numbers but text`:           func(_ *inference.Bundle, n *explain.Outline) { n.Outputs[0].Type = 8 },
		`output.name is "scores"`:                           func(b *inference.Bundle, _ *explain.Outline) { b.Output.Name = "scores" },
		"has shape [5], which is one value for each frame":  func(_ *inference.Bundle, n *explain.Outline) { n.Outputs[0].Shape = []int64{5} },
		"lists 5 classes, output":                           func(_ *inference.Bundle, n *explain.Outline) { n.Outputs[0].Shape[1] = 6 },
		"is [1 160 160 3], the network's is [-1 3 160 160]": func(b *inference.Bundle, _ *explain.Outline) { b.Input.Layout = inference.NHWC },
		"whole numbers (int64), as ArgMax":                  func(_ *inference.Bundle, n *explain.Outline) { n.Outputs[0].Shape, n.Outputs[0].Type = []int64{-1}, 7 },
		"input is of float64; float32, uint8":               func(_ *inference.Bundle, n *explain.Outline) { n.Inputs[0].Type = 11 },
		"the network takes uint8: write that":               func(b *inference.Bundle, n *explain.Outline) { b.Input.DType, n.Inputs[0].Type = inference.Float32, 2 },
		"one colour, and frames have three":                 func(_ *inference.Bundle, n *explain.Outline) { n.Inputs[0].Shape[1] = 1 },
		"four colours, and frames have three":               func(_ *inference.Bundle, n *explain.Outline) { n.Inputs[0].Shape[1] = 4 },
		"[3 160 160], without an axis of frames":            func(_ *inference.Bundle, n *explain.Outline) { n.Inputs[0].Shape = []int64{3, 160, 160} },
		"takes 4 frames at a time":                          func(_ *inference.Bundle, n *explain.Outline) { n.Inputs[0].Shape = []int64{4, 3, 160, 160} },
		`of node "drop" is in training mode`: func(_ *inference.Bundle, n *explain.Outline) {
			n.Training = `operator Dropout (opset 17) of node "drop"`
		},
		"network's is [-1 3 8 160 160]": func(_ *inference.Bundle, n *explain.Outline) { n.Inputs[0].Shape = []int64{-1, 3, 8, 160, 160} },
	} {
		b, err := inference.LoadBundle("../testdata/models/demo")
		require.NoError(t, err)
		n := &explain.Outline{
			Inputs: []explain.Port{{Name: "input", Shape: []int64{-1, 3, 160, 160}}}, Outputs: []explain.Port{{Name: "logits", Shape: []int64{-1, 5}}},
		}
		change(b, n)
		if err = b.Fits(n); says == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, says)
		}
	}
}
