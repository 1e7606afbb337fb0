package onnx

import (
	"context"
	"fmt"
	"runtime"

	"endogate/explain"

	ort "github.com/yalue/onnxruntime_go"
)

// Probe is an explain.Probe: it loads the model without optimising it and runs it once on zeros.
func (r *Runtime) Probe(model []byte, inputs []explain.ProbeInput, outputs []string) ([][]int64, error) {
	o := SessionOptions{Outputs: outputs, IntraOpThreads: runtime.NumCPU()} // once, at start
	in := make([]ort.Value, 0, len(inputs))
	defer func() { destroy(in) }()
	for _, v := range inputs {
		zeros, err := zeroTensor(v)
		if err != nil {
			return nil, err
		}
		in = append(in, zeros)
		o.Inputs = append(o.Inputs, v.Name)
	}
	session, err := load(model, o, ort.GraphOptimizationLevelDisableAll)
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Destroy() }()
	out := make([]ort.Value, len(outputs))
	defer func() { destroy(out) }()
	if err := runUntil(context.Background(), session, in, out); err != nil {
		return nil, err
	}
	result := make([][]int64, len(out))
	for i, v := range out {
		t, ok := v.(*ort.Tensor[int64])
		if !ok {
			return nil, &Error{"run", fmt.Errorf("output %s is not of int64", outputs[i])}
		}
		result[i] = t.GetData()
	}
	return result, nil
}

// elementSizes are the bytes of an element by ONNX type: 1 float32, 2 uint8, 3 int8, 4 uint16, 5 int16,
// 6 int32, 7 int64, 9 bool, 10 float16, 11 double, 16 bfloat16.
var elementSizes = map[int32]int64{1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}

func zeroTensor(v explain.ProbeInput) (ort.Value, error) {
	shape := ort.Shape(v.Shape)
	element := elementSizes[v.Type]
	if element == 0 || shape.Validate() != nil {
		return nil, &Error{"run", fmt.Errorf("input %s: no zeros of type %d and shape %v", v.Name, v.Type, v.Shape)}
	}
	// ONNX Runtime numbers element types as ONNX does
	zeros, err := ort.NewCustomDataTensor(shape, make([]byte, element*shape.FlattenedSize()), ort.TensorElementDataType(v.Type))
	if err != nil {
		return nil, &Error{"run", err}
	}
	return zeros, nil
}
