package onnx

import (
	"errors"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"
)

// What a session may compute on.
const (
	CPU  = "cpu"
	CUDA = "cuda"
)

// provide has a session compute on something else than the processor. What a provider cannot do, ONNX Runtime does on
// the processor; the graphs are the same.
func provide(so *ort.SessionOptions, provider string) error {
	switch provider {
	case "", CPU:
		return nil
	case CUDA:
		cuda, err := ort.NewCUDAProviderOptions()
		if err == nil {
			defer func() { _ = cuda.Destroy() }()
			// TensorFloat-32 rounds to 10 bits: maps would differ from the processor's by a percent.
			err = errors.Join(cuda.Update(map[string]string{"use_tf32": "0"}), so.AppendExecutionProviderCUDA(cuda))
		}
		if err != nil {
			return &Error{"load", fmt.Errorf("the provider cuda is asked for and this ONNX Runtime cannot offer it; set onnxruntime.library to a build for GPUs with its CUDA libraries, or onnxruntime.provider to cpu: %w", err)}
		}
		return nil
	}
	return &Error{"load", fmt.Errorf("provider %q is unknown; there are %s and %s", provider, CPU, CUDA)}
}
