package sampling_test

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/explain"
	"endogate/explain/sampling"
	"endogate/inference/onnx"
)

// torchVectors is what testdata/sampling.py wrote of a network, in double precision.
type torchVectors struct {
	Shape            []int64
	Class            int
	Logits           []float64
	Change, Gap, Fit float64
	Maps             []torchMap
}

type torchMap struct {
	Method   string
	Class    int
	Size     int
	Max      float64
	Rounding float64 // how far rounding the logits to single precision moves the map
	At       []int   // nil: all places
	Values   []float64
}

// tolerance is 1e-4 of the map's greatest value. A network of random weights may hardly answer to its input, and the
// runtime's rounding, a few units in a logit's last place, is then all that is left of a difference of logits.
func (m torchMap) tolerance() float64 { return max(1e-4*m.Max, 32*m.Rounding) }

// Every network of the zoo by every method of many runs against PyTorch.
func TestSampling_againstPyTorch(t *testing.T) {
	r := openRuntime(t)
	files, err := filepath.Glob("../testdata/zoo/*.onnx")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 20)
	opset := regexp.MustCompile(`_\d+\.onnx$`)
	for _, file := range files {
		name := opset.ReplaceAllString(filepath.Base(file), "")
		if name == "vgg11_half" || strings.HasSuffix(name, "_export") { // its weights are rounded; the same by another exporter
			continue
		}
		if _, err := os.Stat("../testdata/sampling/" + name + ".json"); err != nil { // of transformers.py, which has none
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			var want torchVectors
			readJSON(t, "../testdata/sampling/"+name+".json", &want)
			require.Len(t, want.Maps, 9)
			n := openTorchNetwork(t, r, file, want)
			for _, m := range want.Maps {
				got := n.explain(t, m)
				require.Len(t, got, m.Size, m.Method)
				worst := 0.0
				for k, v := range m.Values {
					at := k
					if m.At != nil {
						at = m.At[k]
					}
					require.InDelta(t, v, got[at], m.tolerance(), "%s, element %d", m.Method, at)
					worst = max(worst, math.Abs(v-float64(got[at])))
				}
				t.Logf("%s: %.1e of the greatest", m.Method, worst/max(m.Max, math.SmallestNonzeroFloat64))
			}
		})
	}
}

// torchNetwork is a network of the zoo and what sampling.py showed it.
type torchNetwork struct {
	explainer      *onnx.Explainer
	sampling       sampling.Network
	shape          []int64
	x, black, zero []float32
	labels         []int
	want           torchVectors
	layer          string // that the vectors are of
}

func openTorchNetwork(t *testing.T, r *onnx.Runtime, file string, want torchVectors) *torchNetwork {
	t.Helper()
	model, err := os.ReadFile(file)
	require.NoError(t, err)
	e := r.NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{})
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	l, ok := explain.LayoutOf(want.Shape)
	require.True(t, ok)
	p := sampling.Picture{Frames: l.Frames, Channels: l.Channels, Height: l.Height, Width: l.Width}
	switch {
	case l.ChannelsLast:
		p.Layout = sampling.ChannelsLast
	case l.Frames > 1 && !l.FramesFirst:
		p.Layout = sampling.FramesAfterChannels
	}
	n := &torchNetwork{explainer: e, shape: want.Shape, want: want, layer: explain.LastLayer}
	if strings.Contains(file, "convnext") { // they are of its last convolution, which the rest of its block is beyond
		n.layer = "/features/features.3/features.3.1/block/block.0/Conv"
	}
	if strings.Contains(file, "inceptionv3") { // of one branch, where "last" is what all of them read
		n.layer = "/Mixed_7a/branch7x7x3_3/conv/Conv"
	}
	n.x, n.black, n.zero = arrange(p, hills(p), false), filled(p.Size(), -2), filled(p.Size(), 0)
	n.labels = torchLabels(t, p)
	n.sampling = sampling.Network{Picture: p, Batch: 8, Logits: func(ctx context.Context, inputs []float32, count int) ([]float32, error) {
		var all []float32 // what PyTorch's vectors are of, also where the network's own output is behind a softmax or a sigmoid
		for i := range count {
			one := onnx.Input{Shape: want.Shape, Values: inputs[i*p.Size() : (i+1)*p.Size()]}
			logits, _, err := e.Run(ctx, one, [][]float32{make([]float32, len(want.Logits))}, nil)
			if err != nil {
				return nil, err
			}
			all = append(all, logits...)
		}
		return all, nil
	}, Gradients: func(ctx context.Context, inputs []float32, count int, seed []float32) (all []float32, _ error) {
		for i := range count {
			one := onnx.Input{Shape: want.Shape, Values: inputs[i*p.Size() : (i+1)*p.Size()]}
			_, answers, err := e.Run(ctx, one, [][]float32{seed}, []explain.Target{{Method: explain.Gradient}})
			if err != nil {
				return nil, err
			}
			all = append(all, answers[0].Values...)
		}
		return all, nil
	}}
	return n
}

// explain asks for one of the vectors.
func (n *torchNetwork) explain(t *testing.T, m torchMap) []float32 {
	t.Helper()
	ctx, net, logit := t.Context(), n.sampling, sampling.Logit(m.Class)
	seed := make([]float32, len(n.want.Logits))
	seed[m.Class] = 1
	switch m.Method {
	case "smoothgrad":
		values, err := sampling.SmoothGrad(ctx, net, n.x, seed, sampling.SmoothGradOptions{Samples: 8, Noise: 0.1, Normal: twelve})
		require.NoError(t, err)
		return values
	case "integrated-gradients":
		a, err := sampling.IntegratedGradients(ctx, net, n.x, n.black, seed, sampling.IntegratedGradientsOptions{})
		require.NoError(t, err)
		rounding := 1e-4*math.Abs(n.want.Change) + math.Abs(n.want.Logits[m.Class])/(1<<20)
		require.InDelta(t, n.want.Change, a.Change, rounding)
		require.InDelta(t, n.want.Gap, a.Gap, rounding)
		return a.Values
	case "occlusion":
		return n.ask(t, explain.Target{Method: explain.Occlusion}, logit)
	case "occlusion uneven":
		got, err := sampling.Occlusion(ctx, net, n.x, n.black, logit, sampling.OcclusionOptions{Patch: image.Pt(12, 10), Stride: image.Pt(7, 9)})
		require.NoError(t, err)
		return got.Values
	case "rise":
		got, err := sampling.RISE(ctx, net, n.x, n.black, sampling.Probability(m.Class), sampling.RISEOptions{Masks: 60, Grid: 5, Keep: 0.4, Seed: 3})
		require.NoError(t, err)
		return got.Values
	case "lime":
		got, err := sampling.LIME(ctx, net, n.x, n.black, logit, sampling.LIMEOptions{Samples: 80, Seed: 11, Labels: n.labels})
		require.NoError(t, err)
		require.InDelta(t, n.want.Fit, got.Fit, 1e-3)
		weights := make([]float32, len(got.Weights))
		for i, w := range got.Weights {
			weights[i] = float32(w)
		}
		return weights
	case "scorecam score":
		return n.ask(t, explain.Target{Method: explain.ScoreCAM, Layer: n.layer}, sampling.Probability(m.Class))
	case "scorecam increase":
		return n.scoreCAM(t, n.zero, logit, sampling.IncreaseWeight)
	case "scorecam softmax":
		return n.scoreCAM(t, n.black, logit, sampling.SoftmaxWeight)
	}
	require.Fail(t, "unknown vector", m.Method)
	return nil
}

// ask puts the question as the gateway does, with the methods' defaults; to a network behind whose logits, which the vectors are of,
// its output is another one, to the logits.
func (n *torchNetwork) ask(t *testing.T, target explain.Target, score sampling.Score) []float32 {
	t.Helper()
	if output, err := n.explainer.Output(t.Context(), onnx.Input{Shape: n.shape, Values: n.x}, 1); assert.NoError(t, err) && math.Abs(float64(output[0])-n.want.Logits[0]) > 1e-3 {
		if target.Method == explain.ScoreCAM {
			return n.scoreCAM(t, n.black, score, sampling.ScoreWeight)
		}
		m, err := sampling.Occlusion(t.Context(), n.sampling, n.x, n.black, score, sampling.OcclusionOptions{})
		require.NoError(t, err)
		return m.Values
	}
	answers, err := n.explainer.Explain(t.Context(), onnx.Input{Shape: n.shape, Values: n.x, Baseline: n.black}, onnx.Question{Target: target, Score: score})
	require.NoError(t, err)
	require.Len(t, answers, 1)
	return answers[0].Values
}

func (n *torchNetwork) scoreCAM(t *testing.T, baseline []float32, score sampling.Score, weight sampling.ChannelWeight) []float32 {
	t.Helper()
	target := explain.Target{Method: explain.Activation, Layer: n.layer}
	_, answers, err := n.explainer.Run(t.Context(), onnx.Input{Shape: n.shape, Values: n.x}, [][]float32{make([]float32, len(n.want.Logits))}, []explain.Target{target})
	require.NoError(t, err)
	m := answers[0]
	layer := sampling.Activation{Channels: m.Layer.Channels, Height: m.Height, Width: m.Width, Values: make([]float32, len(m.Values)/m.Frames)}
	cells := m.Height * m.Width
	for i, v := range m.Values { // the mean over frames, which are pictures of their own or lie within channels
		at := i % len(layer.Values)
		if m.Layer.TimeAxis {
			at = i/(m.Frames*cells)*cells + i%cells
		}
		layer.Values[at] += v / float32(m.Frames)
	}
	got, err := sampling.ScoreCAM(t.Context(), n.sampling, n.x, baseline, score, layer, sampling.ScoreCAMOptions{Weight: weight})
	require.NoError(t, err)
	return got.Values
}

// hills is sampling.py's picture, T×C×H×W.
func hills(p sampling.Picture) []float32 {
	ridge := func(k, n int) float64 { return math.Abs(float64(k%(2*n)-n)) / float64(n) }
	out := make([]float32, 0, p.Size())
	for i := range p.Size() {
		x, y := i%p.Width, i/p.Width%p.Height
		c, t := i/(p.Width*p.Height)%p.Channels, i/(p.Width*p.Height*p.Channels)
		v := 2*ridge(5*x+3*y+40*c+16*t, 128) + ridge(2*x+(600-9*y)+24*c+1280, 64) + ridge(x*y/8+32*c, 128)
		out = append(out, float32(v-2+float64(i*7919%512)/2048))
	}
	return out
}

// twelve is sampling.py's noise: twelve uniform values of 16 bits are nearly normal.
func twelve(sample int, into []float32) {
	rng := rand.New(rand.NewPCG(7, uint64(sample)))
	for i := range into {
		sum := 0.0
		for range 3 {
			for bits, k := rng.Uint64(), 0; k < 4; k++ {
				sum += float64(bits >> (16 * k) & 0xffff)
			}
		}
		into[i] = float32(sum/65536 - 6)
	}
}

// torchLabels are sampling.py's superpixels of its picture, a letter each.
func torchLabels(t *testing.T, p sampling.Picture) []int {
	t.Helper()
	var rows map[string][]string
	readJSON(t, "../testdata/sampling/superpixels.json", &rows)
	var labels []int
	for _, row := range rows[fmt.Sprintf("%dx%d", p.Height, p.Width)] {
		for _, letter := range row {
			labels = append(labels, int(letter-'a'))
		}
	}
	require.Len(t, labels, p.Height*p.Width)
	return labels
}

// Every piece of an implementation of our own in Python that is not too small is a region, with smaller ones added.
func TestSuperpixels_againstNumPy(t *testing.T) {
	const segments = 16
	for _, p := range []sampling.Picture{still(3, 64, 64), still(3, 96, 96), {Frames: 4, Channels: 3, Height: 36, Width: 36}} {
		of, sizes := pieces(torchLabels(t, p), p.Width, p.Height)
		labels, _ := sampling.Superpixels(p, hills(p), segments, 10)
		region, large := make(map[int]int), 0
		for at, l := range labels {
			piece := of[at]
			if sizes[piece] < len(labels)/segments/4 {
				continue
			}
			large++
			other, known := region[l]
			require.True(t, !known || other == piece, "%d×%d: pixel %d is in the region of another piece", p.Width, p.Height, at)
			region[l] = piece
		}
		require.Greater(t, large, len(labels)*9/10)
		found := slices.Collect(maps.Values(region))
		slices.Sort(found)
		require.Len(t, slices.Compact(found), len(region), "no piece is cut")
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

func openRuntime(t *testing.T) *onnx.Runtime {
	t.Helper()
	library, err := onnx.FindLibrary("")
	if err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	r, err := onnx.Open(library)
	require.NoError(t, err)
	return r
}
