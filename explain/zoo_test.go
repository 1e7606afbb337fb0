package explain_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// zooVectors is what testdata/zoo.py wrote of a network, in double precision.
type zooVectors struct {
	Shape  []int64
	Logits []float64
	Maps   []struct {
		Method explain.Method
		Layer  string
		Class  int
		Size   int
		Max    float64
		At     []int
		Values []float64
	}
}

// channelsLast is reference.py's picture with its axes moved about, as zoo.py does it for NHWC.
func channelsLast(shape []int64) []float32 {
	h, w, c := int(shape[1]), int(shape[2]), int(shape[3])
	from, to := picture([]int64{1, shape[3], shape[1], shape[2]}), make([]float32, h*w*c)
	for i := range to {
		to[i] = from[i%c*h*w+i/c]
	}
	return to
}

// network is a model in a file and what it is given.
type network struct {
	file    string
	shape   []int64
	classes int
}

func (n network) input() onnx.Input {
	if n.shape[3] == 3 {
		return onnx.Input{Shape: n.shape, Values: channelsLast(n.shape)}
	}
	return onnx.Input{Shape: n.shape, Values: picture(n.shape)}
}

// networks are the zoo and the models that are as large as real ones.
func networks(t *testing.T) []network {
	t.Helper()
	all := []network{
		{"testdata/vgg19_17.onnx", []int64{1, 3, 224, 224}, 10},
		{"testdata/resnet50_16.onnx", []int64{1, 3, 96, 96}, 10},
		{"testdata/mobilenetv2_13.onnx", []int64{1, 3, 96, 96}, 10},
		{"../testdata/models/demo/model.onnx", []int64{1, 3, 160, 160}, 5},
	}
	files, err := filepath.Glob("testdata/zoo/*.onnx")
	require.NoError(t, err)
	for _, file := range files {
		v := readZoo(t, opsetOf.ReplaceAllString(strings.Replace(file, "_half", "", 1), ".json"))
		all = append(all, network{file, v.Shape, len(v.Logits)})
	}
	return all
}

var opsetOf = regexp.MustCompile(`_\d+\.onnx$`)

// Every network of the zoo by every method against PyTorch, to 1e-4 of the greatest value.
func TestZoo_againstPyTorch(t *testing.T) {
	files, err := filepath.Glob("testdata/zoo/*.onnx")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 20)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			vectors, tolerance := opsetOf.ReplaceAllString(file, ".json"), 1e-4
			if strings.Contains(file, "half") { // its weights are rounded
				vectors, tolerance = "testdata/zoo/vgg11.json", 0.02
			}
			requireVectors(t, file, vectors, tolerance)
		})
	}
}

// The same for LRP and DeepLIFT, which testdata/relevance.py computes on the graph of PyTorch's own operators.
func TestRelevance_againstPyTorch(t *testing.T) {
	files, err := filepath.Glob("testdata/relevance/*.json")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 19)
	for _, vectors := range files {
		models, err := filepath.Glob("testdata/zoo/" + strings.TrimSuffix(filepath.Base(vectors), ".json") + "_[0-9]*.onnx")
		require.NoError(t, err)
		require.NotEmpty(t, models, vectors)
		for _, model := range models {
			t.Run(filepath.Base(model), func(t *testing.T) { requireVectors(t, model, vectors, 1e-4) })
		}
	}
}

// requireVectors holds a network's maps against those of a file.
func requireVectors(t *testing.T, file, vectors string, tolerance float64) {
	t.Helper()
	want, model := readZoo(t, vectors), readFile(t, file)
	in := network{shape: want.Shape}.input()
	in.Low, in.High = constants(len(in.Values), -2.5), constants(len(in.Values), 2.5)
	targets := make([]explain.Target, len(want.Maps))
	for i, m := range want.Maps {
		targets[i] = explain.Target{Method: m.Method, Layer: m.Layer}
	}
	logits, maps := explained(t, openRuntime(t), model, in, oneHot(want.Maps[0].Class, len(want.Logits)), targets...)
	requireWithin(t, tolerance, want.Logits, logits)
	require.Len(t, maps, len(want.Maps))
	for i, m := range want.Maps {
		require.Len(t, maps[i].Values, m.Size, m.Method)
		for k, v := range m.Values {
			at := k
			if m.At != nil {
				at = m.At[k]
			}
			if !assert.InDelta(t, v, maps[i].Values[at], tolerance*m.Max, "%s, element %d, of %g", m.Method, at, m.Max) {
				break
			}
		}
	}
}

// A batch of two inputs gives what two runs of one give, in networks that leave their batch open.
func TestZoo_batch(t *testing.T) {
	r := openRuntime(t)
	files, err := filepath.Glob("testdata/zoo/*.onnx")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if strings.Contains(file, "half") || strings.Contains(file, "attentionpool") { // whose tokens lie before its batch
				return
			}
			want, model := readZoo(t, opsetOf.ReplaceAllString(file, ".json")), readFile(t, file)
			targets := []explain.Target{{Method: explain.GradCAM}, {Method: explain.Gradient}, {Method: explain.GuidedBackprop}}
			c, err := explain.Compile(model, explain.Options{Targets: targets, Probe: r.Probe})
			require.NoError(t, err)
			s, err := r.NewSession(c.ONNX, onnx.SessionOptions{
				Provider: provider,
				Inputs:   []string{c.InputName, c.SeedName}, Outputs: []string{c.Maps[0].Name, c.Maps[1].Name, c.Maps[2].Name},
			})
			require.NoError(t, err)
			defer func() { _ = s.Close() }()
			one := int(product(want.Shape))
			twice := picture(append([]int64{2}, want.Shape[1:]...))
			run := func(n int64, x, seed []float32) []onnx.Tensor {
				out, err := s.Run(t.Context(), []onnx.Tensor{
					{Shape: append([]int64{n}, want.Shape[1:]...), Values: x}, {Shape: []int64{n, int64(c.Classes)}, Values: seed},
				})
				require.NoError(t, err)
				return out
			}
			a, b := oneHot(0, c.Classes), oneHot(2, c.Classes)
			both := run(2, twice, append(append([]float32{}, a...), b...))
			first, second := run(1, twice[:one], a), run(1, twice[one:], b)
			for i := range both {
				requireWithin(t, 1e-4, append(wide(first[i].Values), wide(second[i].Values)...), both[i].Values)
			}
		})
	}
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

func constants(n int, v float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func readZoo(t *testing.T, path string) (v zooVectors) {
	t.Helper()
	require.NoError(t, json.Unmarshal(readFile(t, path), &v))
	return v
}

// requireWithin holds values to a part of the greatest.
func requireWithin(t *testing.T, tolerance float64, want []float64, got []float32) {
	t.Helper()
	require.Len(t, got, len(want))
	largest := 0.
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range want {
		require.InDelta(t, v, got[i], tolerance*max(largest, 1e-6), "element %d", i)
	}
}

// Two classes of one frame in one run are what two runs give, and so are two frames: relevance too, whose bounds and baseline are
// one frame's.
func TestZoo_relevanceOfSeveral(t *testing.T) {
	r := openRuntime(t)
	for _, name := range []string{"cnntransformer_15", "convnext_16", "keras_13", "mobilenetv3_14", "resnet18_15", "unet_12", "vit_17"} {
		file := "testdata/zoo/" + name + ".onnx"
		t.Run(name, func(t *testing.T) {
			want, model := readZoo(t, opsetOf.ReplaceAllString(file, ".json")), readFile(t, file)
			targets := []explain.Target{{Method: explain.LRPGamma}, {Method: explain.LRPAlphaBeta}, {Method: explain.DeepLIFT}}
			c, err := explain.Compile(model, explain.Options{Targets: targets, Probe: r.Probe})
			require.NoError(t, err)
			s, err := r.NewSession(c.ONNX, onnx.SessionOptions{
				Provider: provider,
				Inputs:   []string{c.InputName, c.SeedName, c.BaselineName, c.LowName, c.HighName},
				Outputs:  []string{c.Maps[0].Name, c.Maps[1].Name, c.Maps[2].Name},
			})
			require.NoError(t, err)
			defer func() { _ = s.Close() }()
			one := int(product(want.Shape))
			run := func(frames, seeds int64, x, seed []float32) []onnx.Tensor {
				out, err := s.Run(t.Context(), []onnx.Tensor{
					{Shape: append([]int64{frames}, want.Shape[1:]...), Values: x},
					{Shape: []int64{seeds, int64(c.Classes)}, Values: seed},
					{Shape: want.Shape, Values: make([]float32, one)},
					{Shape: want.Shape, Values: constants(one, -2.5)},
					{Shape: want.Shape, Values: constants(one, 2.5)},
				})
				require.NoError(t, err)
				return out
			}
			a, b := oneHot(0, c.Classes), oneHot(2, c.Classes)
			x := picture(append([]int64{2}, want.Shape[1:]...))
			same := func(first, second, both []onnx.Tensor) {
				for i := range both {
					requireWithin(t, 1e-4, append(wide(first[i].Values), wide(second[i].Values)...), both[i].Values)
				}
			}
			first := run(1, 1, x[:one], a)
			same(first, run(1, 1, x[one:], b), run(2, 2, x, slices.Concat(a, b)))
			if c.ManySeeds {
				same(first, run(1, 1, x[:one], b), run(1, 2, x[:one], slices.Concat(a, b)))
			}
		})
	}
}
