package inference

import (
	"context"
	"errors"
	"image"
	"math"
	"slices"
	"testing"

	"endogate/explain"
	"endogate/inference/analysis"
	"endogate/inference/jobs"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripted is a network that answers what the test wants.
type scripted struct {
	logits []float32
	maps   map[int]explain.Map
	err    error
	asked  [][]int // classes of each call
}

func (s *scripted) Explain(_ context.Context, _ []float32, _ []int64, seeds [][]float32) ([]explain.Tensor, []explain.Map, error) {
	var classes []int
	maps := make([]explain.Map, len(seeds))
	for i, seed := range seeds {
		classes = append(classes, slices.Index(seed, 1))
		maps[i] = s.maps[classes[i]]
	}
	s.asked = append(s.asked, classes)
	return []explain.Tensor{{Shape: []int64{1, int64(len(s.logits))}, Values: s.logits}}, maps, s.err
}

// opened reads a network as its bundle has it.
func opened(t testing.TB, b *Bundle, n Network) Opened {
	t.Helper()
	reading, err := b.Reading(explain.Linear)
	require.NoError(t, err)
	return Opened{Network: n, Reading: reading, How: b.Explain.Explanation}
}

// hot is a map of 10x10 with one hot cell.
func hot(x, y int) explain.Map {
	m := explain.Map{Width: 10, Height: 10, Values: make([]float32, 100)}
	m.Values[10*y+x] = 7
	return m
}

// demoWith is the demo bundle with a network of the test's.
func demoWith(t *testing.T, n *scripted) *BundleModel {
	t.Helper()
	m, err := NewModel(t.Context(), demoBundle(t), opened(t, demoBundle(t), n), nil)
	require.NoError(t, err)
	n.asked = nil
	return m
}

func bright(columns, rows int) analysis.Sample {
	img := image.NewRGBA(image.Rect(0, 0, columns, rows))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	return still(3, img)
}

func TestInfer_findingIsExplained(t *testing.T) {
	n := &scripted{logits: []float32{5, 0, 0, 0, 0}, maps: map[int]explain.Map{0: hot(6, 2)}}
	a, err := demoWith(t, n).Infer(t.Context(), bright(200, 100), Wishes{})
	require.NoError(t, err)
	assert.Equal(t, analysis.Still(3), a.Result.Span)
	assert.Equal(t, 100, a.Result.Rows)
	assert.Equal(t, 200, a.Result.Columns)
	require.Len(t, a.Result.Scores, 5)
	sum := 0.0
	for _, p := range a.Result.Scores {
		sum += p
	}
	assert.InDelta(t, 1, sum, 1e-12)
	assert.InDelta(t, math.Exp(5)/(math.Exp(5)+4), a.Result.Scores["polyp"], 1e-12)

	require.Len(t, a.Result.Findings, 1)
	f := a.Result.Findings[0]
	require.Len(t, a.Maps, 1)
	assert.Equal(t, analysis.Map{
		Class: "polyp", Explanation: analysis.Explanation{Method: "gradcam", Layer: "last"}, Width: 10, Height: 10, Values: hot(6, 2).Values,
	}, a.Maps[0])
	shown, err := Shown(a.Geometry, Raw(a.Maps[0]))
	require.NoError(t, err)
	assert.Equal(t, "polyp", f.Class)
	assert.Equal(t, "68496003", f.Finding.Value)
	assert.Empty(t, a.Result.Notes)
	assert.Equal(t, 200, shown.Width)
	assert.Equal(t, 100, shown.Height)
	x, y := centreOf(shown)
	assert.InDelta(t, 130, x, 1.5) // the middle of the seventh of ten cells of 20 columns
	assert.InDelta(t, 25, y, 1.5)
	assert.InDelta(t, 1, slices.Max(shown.Values), 1e-6)
	assert.GreaterOrEqual(t, slices.Min(shown.Values), float32(0))
	assert.Equal(t, [][]int{{0}}, n.asked, "one pass for logits and map")
}

func TestInfer_belowThreshold(t *testing.T) {
	n := &scripted{logits: []float32{0, 0, 0, 0, 0}, maps: map[int]explain.Map{0: hot(1, 1)}}
	a, err := demoWith(t, n).Infer(t.Context(), bright(50, 50), Wishes{})
	require.NoError(t, err)
	assert.Empty(t, a.Result.Findings)
	assert.InDelta(t, 0.2, a.Result.Scores[demoBundle(t).Classes[4].Name], 1e-12)
}

func TestInfer_thresholdIsReached(t *testing.T) {
	b := demoBundle(t)
	for i := range b.Classes {
		b.Classes[i].Threshold = 0.2
	}
	m, err := NewModel(t.Context(), b, opened(t, b, &scripted{logits: make([]float32, 5), maps: map[int]explain.Map{0: hot(1, 1)}}), nil)
	require.NoError(t, err)
	a, err := m.Infer(t.Context(), bright(50, 50), Wishes{})
	require.NoError(t, err)
	assert.Len(t, a.Result.Findings, 5, "a probability that equals the threshold is a finding")
}

func TestInfer_onlyFindingsAreExplained(t *testing.T) {
	for class, name := range map[int]string{1: "normal-cecum", 2: "normal-mucosa", 3: "inadequate-preparation"} {
		n := &scripted{logits: make([]float32, 5), maps: map[int]explain.Map{0: hot(1, 1), class: hot(1, 1)}}
		n.logits[class] = 9
		a, err := demoWith(t, n).Infer(t.Context(), bright(50, 50), Wishes{})
		require.NoError(t, err)
		require.Len(t, a.Result.Findings, 1)
		assert.Equal(t, name, a.Result.Findings[0].Class)
		assert.Empty(t, a.Maps)
	}
}

func TestInfer_logitsThatAreNoNumbers(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		n := &scripted{logits: make([]float32, 5), maps: map[int]explain.Map{0: hot(1, 1)}}
		m := demoWith(t, n)
		n.logits[4] = float32(bad)
		_, err := m.Infer(t.Context(), bright(50, 50), Wishes{})
		require.ErrorIs(t, err, errNotANumber)
		assert.Equal(t, jobs.Term, jobs.DispositionOf(err))
	}
}

func TestInfer_networkErrorMayPass(t *testing.T) {
	n := &scripted{logits: make([]float32, 5), maps: map[int]explain.Map{0: hot(1, 1)}}
	m := demoWith(t, n)
	n.err = errors.New("out of memory")
	_, err := m.Infer(t.Context(), bright(50, 50), Wishes{})
	require.ErrorIs(t, err, n.err)
	assert.Equal(t, jobs.Nak, jobs.DispositionOf(err))
}

func TestInfer_manyFindingClassesAreExplainedWhenFound(t *testing.T) {
	b := demoBundle(t)
	for i := range b.Classes {
		b.Classes[i].Role = analysis.RoleFinding
	}
	b.Output.Activation = Sigmoid
	n := &scripted{logits: []float32{-3, 2, -3, 0, -3}, maps: map[int]explain.Map{1: hot(1, 1), 3: hot(5, 5)}}
	m, err := NewModel(t.Context(), b, opened(t, b, n), nil)
	require.NoError(t, err)
	n.asked = nil
	a, err := m.Infer(t.Context(), bright(100, 100), Wishes{})
	require.NoError(t, err)
	require.Len(t, a.Result.Findings, 2)
	assert.Equal(t, [][]int{nil, {1, 3}}, n.asked)
	assert.InDelta(t, 1/(1+math.Exp(-2)), a.Result.Findings[0].Probability, 1e-12)
	assert.InDelta(t, 0.5, a.Result.Findings[1].Probability, 1e-12)
	shown, err := Shown(a.Geometry, Raw(a.Maps[1]))
	require.NoError(t, err)
	x, y := centreOf(shown)
	assert.InDelta(t, 55, x, 1)
	assert.InDelta(t, 55, y, 1)
}

// wisher explains as it is asked.
type wisher struct{ asked []explain.Target }

func (w *wisher) Explain(_ context.Context, _, seed []float32, targets []explain.Target) ([]Explained, error) {
	w.asked = append(w.asked, targets...)
	maps := make([]Explained, len(targets))
	for i, t := range targets {
		maps[i] = Explained{analysis.Explanation{Method: string(t.Method), Layer: t.Layer, Fallback: "another"}, hot(slices.Index(seed, 1), i)}
	}
	return maps, nil
}

func TestInfer_wishes(t *testing.T) {
	n, w := &scripted{logits: []float32{5, 0, 0, 0, 0}, maps: map[int]explain.Map{0: hot(6, 2)}}, &wisher{}
	m, err := NewModel(t.Context(), demoBundle(t), opened(t, demoBundle(t), n), w)
	require.NoError(t, err)
	wishes := []explain.Target{{Method: explain.GuidedGradCAM, Layer: "a"}, {Method: explain.GradCAM, Layer: "b"}}
	a, err := m.Infer(t.Context(), bright(50, 50), Wishes{Heatmaps: wishes})
	require.NoError(t, err)
	assert.Equal(t, wishes, w.asked)
	require.Len(t, a.Maps, 3, "the model's own, then those that are wished")
	assert.False(t, a.Maps[0].Wished)
	for i, wish := range wishes {
		assert.Equal(t, analysis.Map{
			Class: "polyp", Explanation: analysis.Explanation{Method: string(wish.Method), Layer: wish.Layer, Fallback: "another"}, Wished: true,
			Width: 10, Height: 10, Values: hot(0, i).Values,
		}, a.Maps[1+i])
	}

	n.logits = make([]float32, 5) // nothing is found
	w.asked = nil
	_, err = m.Infer(t.Context(), bright(50, 50), Wishes{Heatmaps: wishes})
	require.NoError(t, err)
	assert.Empty(t, w.asked, "and nothing explained")

	n.logits = []float32{5, 0, 0, 0, 0}
	_, err = demoWith(t, n).Infer(t.Context(), bright(50, 50), Wishes{Heatmaps: wishes})
	require.ErrorContains(t, err, "explains by its own method alone")
}

// A class that is no finding is explained where somebody asks why: in a run of its own, where it is found.
func TestInfer_whyNormal(t *testing.T) {
	n := &scripted{logits: []float32{0, 0, 9, 0, 0}, maps: map[int]explain.Map{0: hot(1, 1), 2: hot(6, 2)}}
	m := demoWith(t, n)
	for _, classes := range [][]string{nil, {"normal-cecum"}, {"normal-mucosa"}} {
		n.asked = nil
		a, err := m.Infer(t.Context(), bright(50, 50), Wishes{Classes: classes})
		require.NoError(t, err)
		require.Len(t, a.Result.Findings, 1)
		if !slices.Contains(classes, "normal-mucosa") {
			assert.Empty(t, a.Maps)
			continue
		}
		require.Len(t, a.Maps, 1)
		assert.Equal(t, hot(6, 2).Values, a.Maps[0].Values)
		assert.Equal(t, []int{2}, n.asked[len(n.asked)-1])
	}
}

func TestNewModel_refuses(t *testing.T) {
	b := demoBundle(t)
	_, err := NewModel(t.Context(), b, opened(t, b, &scripted{logits: make([]float32, 3)}), nil)
	require.EqualError(t, err, "inference: model demo-colon: trial on a black frame: inference: the network gave 3 values for 5 classes")
	broken := errors.New("shape does not fit")
	_, err = NewModel(t.Context(), b, opened(t, b, &scripted{logits: make([]float32, 5), err: broken}), nil)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "trial on a black frame")
}

func TestSoftmax_largeLogits(t *testing.T) {
	p := softmax([]float32{1e30, 1e30, -1e30})
	assert.Equal(t, []float64{0.5, 0.5, 0}, p)
}
