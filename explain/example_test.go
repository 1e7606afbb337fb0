package explain_test

import (
	"context"
	"fmt"
	"os"

	"endogate/explain"
	"endogate/inference/onnx"
)

// A model is compiled, run with a one-hot seed for the class in question, and its map drawn.
func Example() {
	model, err := os.ReadFile("../testdata/models/demo/model.onnx")
	if err != nil {
		panic(err)
	}
	library, err := onnx.FindLibrary("")
	if err != nil {
		panic(err)
	}
	runtime, err := onnx.Open(library)
	if err != nil {
		panic(err)
	}
	compiled, err := explain.Compile(model, explain.Options{
		Targets: []explain.Target{{Method: explain.GradCAM, Layer: explain.LastLayer}}, Probe: runtime.Probe,
	})
	if err != nil {
		panic(err)
	}
	session, err := runtime.NewSession(compiled.ONNX, onnx.SessionOptions{
		Inputs:  []string{compiled.InputName, compiled.SeedName},
		Outputs: []string{compiled.LogitsName, compiled.Maps[0].Name},
	})
	if err != nil {
		panic(err)
	}
	defer func() { _ = session.Close() }()
	shape := []int64{1, 3, 160, 160}
	out, err := session.Run(context.Background(), []onnx.Tensor{
		{Shape: shape, Values: picture(shape)},
		{Shape: []int64{1, 5}, Values: []float32{1, 0, 0, 0, 0}}, // why class 0?
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(compiled.Maps[0].Layer.Name, len(out[0].Values), "logits, map", out[1].Shape)
	// prints: /layer4/layer4.1/conv2/Conv 5 logits, map [1 10 10]
}
