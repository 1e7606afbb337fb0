package explain_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fullNetworks is a folder of VGG-19, ResNet-50 and MobileNetV2 at full size: ENDOGATE_BENCH_MODELS, or made anew
// with random weights where python3-torch is there.
var fullNetworks = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("ENDOGATE_BENCH_MODELS"); dir != "" {
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "endogate-bench-")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("/usr/bin/python3", "testdata/reference.py", "full", dir).CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", &benchError{string(out), err}
	}
	benchFolder = dir
	return dir, nil
})

var benchFolder string // to be removed by TestMain

type benchError struct {
	out string
	err error
}

func (e *benchError) Error() string { return e.err.Error() + ": " + e.out }

// timed is a loaded model with its input.
type timed struct {
	session *onnx.Session
	inputs  []onnx.Tensor
	best    time.Duration
}

// load loads a model for one frame, and with maps for one seed.
func load(b *testing.B, r *onnx.Runtime, model []byte, c *explain.Compiled, maps ...explain.Output) *timed {
	b.Helper()
	shape := append([]int64{1}, c.InputShape[1:]...)
	t := &timed{best: time.Hour, inputs: []onnx.Tensor{{Shape: shape, Values: picture(shape)}}}
	o := onnx.SessionOptions{Inputs: []string{c.InputName}, Outputs: []string{c.OutputName}, Provider: provider}
	if len(maps) > 0 {
		seed := make([]float32, c.Classes)
		seed[1] = 1
		o.Inputs, o.Lean, o.Weights = append(o.Inputs, c.SeedName), true, c.Weights
		t.inputs = append(t.inputs, onnx.Tensor{Shape: []int64{1, int64(c.Classes)}, Values: seed})
	}
	for _, m := range maps {
		o.Outputs = append(o.Outputs, m.Name)
	}
	s, err := r.NewSession(model, o)
	require.NoError(b, err)
	b.Cleanup(func() { _ = s.Close() })
	t.session = s
	return t
}

// run takes the processor time of this thread, on which a session of one thread computes: other processes
// then hardly show. On a GPU it takes the time that passes.
func (t *timed) run(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime(b)
	if _, err := t.session.Run(context.Background(), t.inputs); err != nil {
		b.Fatal(err)
	}
	t.best = min(t.best, threadTime(b)-start)
}

func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	clock := int32(unix.CLOCK_THREAD_CPUTIME_ID)
	if provider == onnx.CUDA {
		clock = unix.CLOCK_MONOTONIC
	}
	if err := unix.ClockGettime(clock, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkGradCAM is grad-CAM at the last convolution.
func BenchmarkGradCAM(b *testing.B) {
	againstPlain(b, explain.Target{Method: explain.GradCAM})
}

// BenchmarkInputGradient is the gradient at the input.
func BenchmarkInputGradient(b *testing.B) {
	againstPlain(b, explain.Target{Method: explain.Gradient})
}

// BenchmarkGuidedBackprop is guided backpropagation to the input.
func BenchmarkGuidedBackprop(b *testing.B) {
	againstPlain(b, explain.Target{Method: explain.GuidedBackprop})
}

// BenchmarkBlocks is grad-CAM of every block and guided backpropagation in one run.
func BenchmarkBlocks(b *testing.B) {
	againstPlain(b, explain.Target{Method: explain.GradCAM, Layer: explain.BlockLayers}, explain.Target{Method: explain.GuidedBackprop})
}

// againstPlain runs each plain network and its explanation by turns on one thread and reports the least processor
// time of each and the ratio.
func againstPlain(b *testing.B, targets ...explain.Target) {
	r := openRuntime(b)
	dir, err := fullNetworks()
	if err != nil {
		b.Skip("no networks: set ENDOGATE_BENCH_MODELS to a folder of them, or install python3-torch and python3-torchvision: ", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.onnx"))
	require.NoError(b, err)
	for _, file := range append(files, "../testdata/models/demo/model.onnx") {
		b.Run(filepath.Base(file), func(b *testing.B) {
			model, err := os.ReadFile(file)
			require.NoError(b, err)
			start := time.Now()
			c, err := explain.Compile(model, explain.Options{Targets: targets, Single: true, WeightsApart: true, Probe: r.Probe})
			require.NoError(b, err)
			compile := time.Since(start)
			plain := load(b, r, model, c)
			start = time.Now()
			explained := load(b, r, c.ONNX, c, c.Maps...)
			loading := time.Since(start)
			c.ONNX, c.Weights = nil, nil
			for b.Loop() {
				plain.run(b)
				explained.run(b)
			}
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ms(compile), "compile-ms")
			b.ReportMetric(ms(loading), "load-ms")
			b.ReportMetric(ms(plain.best), "forward-ms")
			b.ReportMetric(ms(explained.best), "explained-ms")
			b.ReportMetric(float64(explained.best)/float64(plain.best), "ratio")
		})
	}
}
