package inference

import (
	"context"
	"errors"
	"image"
	"math"
	"slices"
	"testing"

	"endogate/dicomnode/pixeldata"
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

func (s *scripted) Classes() int { return len(s.logits) }

func (s *scripted) Logits(ctx context.Context, input []float32, shape []int64) ([]float32, error) {
	logits, _, err := s.Explain(ctx, input, shape, nil)
	return logits, err
}

func (s *scripted) Explain(_ context.Context, _ []float32, _ []int64, classes []int) ([]float32, []explain.Map, error) {
	s.asked = append(s.asked, slices.Clone(classes))
	maps := make([]explain.Map, len(classes))
	for i, c := range classes {
		maps[i] = s.maps[c]
	}
	return s.logits, maps, s.err
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
	m, err := NewModel(t.Context(), demoBundle(t), n, ModelOptions{})
	require.NoError(t, err)
	n.asked = nil
	return m
}

func bright(columns, rows int) pixeldata.Frame {
	img := image.NewRGBA(image.Rect(0, 0, columns, rows))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	return pixeldata.Frame{Number: 3, Image: img}
}

func TestInfer_findingIsExplained(t *testing.T) {
	n := &scripted{logits: []float32{5, 0, 0, 0, 0}, maps: map[int]explain.Map{0: hot(6, 2)}}
	a, err := demoWith(t, n).Infer(t.Context(), bright(200, 100))
	require.NoError(t, err)
	assert.Equal(t, analysis.Still(3), a.Span)
	assert.Equal(t, 100, a.Rows)
	assert.Equal(t, 200, a.Columns)
	require.Len(t, a.Scores, 5)
	sum := 0.0
	for _, p := range a.Scores {
		sum += p
	}
	assert.InDelta(t, 1, sum, 1e-12)
	assert.InDelta(t, math.Exp(5)/(math.Exp(5)+4), a.Scores["polyp"], 1e-12)

	require.Len(t, a.Findings, 1)
	f, shown := a.Findings[0], a.Maps[0]
	assert.Equal(t, "polyp", f.Class)
	assert.Equal(t, "68496003", f.Finding.Value)
	assert.Empty(t, a.Notes)
	assert.Equal(t, 200, shown.Width)
	assert.Equal(t, 100, shown.Height)
	x, y := centreOf(shown)
	assert.InDelta(t, 130, x, 1.5) // the middle of the seventh of ten cells of 20 columns
	assert.InDelta(t, 25, y, 1.5)
	assert.InDelta(t, 1, slices.Max(shown.Values), 1e-6)
	assert.GreaterOrEqual(t, slices.Min(shown.Values), float32(0))
	require.Len(t, f.Contours, 1)
	outline := f.Contours[0]
	assert.Equal(t, outline[0], outline[len(outline)-1], "closed")
	for _, p := range outline {
		assert.True(t, p[0] > 110 && p[0] < 150 && p[1] > 15 && p[1] < 35, "%v lies around the hot cell", p)
	}
	assert.Equal(t, [][]int{{0}}, n.asked, "one pass for logits and map")
}

func TestInfer_belowThreshold(t *testing.T) {
	n := &scripted{logits: []float32{0, 0, 0, 0, 0}, maps: map[int]explain.Map{0: hot(1, 1)}}
	a, err := demoWith(t, n).Infer(t.Context(), bright(50, 50))
	require.NoError(t, err)
	assert.Empty(t, a.Findings)
	assert.InDelta(t, 0.2, a.Scores[demoBundle(t).Classes[4].Name], 1e-12)
}

func TestInfer_thresholdIsReached(t *testing.T) {
	b := demoBundle(t)
	for i := range b.Classes {
		b.Classes[i].Threshold = 0.2
	}
	m, err := NewModel(t.Context(), b, &scripted{logits: make([]float32, 5), maps: map[int]explain.Map{0: hot(1, 1)}}, ModelOptions{})
	require.NoError(t, err)
	a, err := m.Infer(t.Context(), bright(50, 50))
	require.NoError(t, err)
	assert.Len(t, a.Findings, 5, "a probability that equals the threshold is a finding")
}

func TestInfer_onlyFindingsAreExplained(t *testing.T) {
	for class, name := range map[int]string{1: "normal-cecum", 2: "normal-mucosa", 3: "inadequate-preparation"} {
		n := &scripted{logits: make([]float32, 5), maps: map[int]explain.Map{0: hot(1, 1), class: hot(1, 1)}}
		n.logits[class] = 9
		a, err := demoWith(t, n).Infer(t.Context(), bright(50, 50))
		require.NoError(t, err)
		require.Len(t, a.Findings, 1)
		assert.Equal(t, name, a.Findings[0].Class)
		assert.Zero(t, a.Maps[0].Width)
		assert.Empty(t, a.Notes)
	}
}

func TestInfer_mapsThatAreNotShown(t *testing.T) {
	with := func(v float32) explain.Map { m := hot(6, 2); m.Values[3] = v; return m }
	for _, tt := range []struct {
		name string
		m    explain.Map
		want string
	}{
		{"zero", explain.Map{Width: 10, Height: 10, Values: make([]float32, 100)}, NoteZero},
		{"nan", with(float32(math.NaN())), NoteNotANumber},
		{"infinite", with(float32(math.Inf(1))), NoteNotANumber},
		{"in the masked box", hot(1, 9), NoteUnseen},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &scripted{logits: []float32{9, 0, 0, 0, 0}, maps: map[int]explain.Map{0: hot(1, 1)}}
			m := demoWith(t, n)
			n.maps[0] = tt.m
			a, err := m.Infer(t.Context(), bright(50, 50))
			require.NoError(t, err)
			require.Len(t, a.Findings, 1)
			assert.Equal(t, []string{"polyp: " + tt.want}, a.Notes)
			assert.Zero(t, a.Maps[0].Width)
			assert.Empty(t, a.Findings[0].Contours)
		})
	}
}

func TestInfer_logitsThatAreNoNumbers(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		n := &scripted{logits: make([]float32, 5), maps: map[int]explain.Map{0: hot(1, 1)}}
		m := demoWith(t, n)
		n.logits[4] = float32(bad)
		_, err := m.Infer(t.Context(), bright(50, 50))
		require.ErrorIs(t, err, errNotANumber)
		assert.Equal(t, jobs.Term, jobs.DispositionOf(err))
	}
}

func TestInfer_networkErrorMayPass(t *testing.T) {
	n := &scripted{logits: make([]float32, 5), maps: map[int]explain.Map{0: hot(1, 1)}}
	m := demoWith(t, n)
	n.err = errors.New("out of memory")
	_, err := m.Infer(t.Context(), bright(50, 50))
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
	m, err := NewModel(t.Context(), b, n, ModelOptions{})
	require.NoError(t, err)
	n.asked = nil
	a, err := m.Infer(t.Context(), bright(100, 100))
	require.NoError(t, err)
	require.Len(t, a.Findings, 2)
	assert.Equal(t, [][]int{nil, {1, 3}}, n.asked)
	assert.InDelta(t, 1/(1+math.Exp(-2)), a.Findings[0].Probability, 1e-12)
	assert.InDelta(t, 0.5, a.Findings[1].Probability, 1e-12)
	x, y := centreOf(a.Maps[1])
	assert.InDelta(t, 55, x, 1)
	assert.InDelta(t, 55, y, 1)
}

func TestNewModel_refuses(t *testing.T) {
	b := demoBundle(t)
	_, err := NewModel(t.Context(), b, &scripted{logits: make([]float32, 3)}, ModelOptions{})
	require.EqualError(t, err, "inference: model demo-colon: the network has 3 classes, model.yaml lists 5; make them agree")
	_, err = NewModel(t.Context(), b, &scripted{logits: make([]float32, 5)}, ModelOptions{ContourLevel: 1})
	require.ErrorContains(t, err, "contour level 1 is not between 0 and 1")
	broken := errors.New("shape does not fit")
	_, err = NewModel(t.Context(), b, &scripted{logits: make([]float32, 5), err: broken}, ModelOptions{})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "trial on a black frame")
}

func TestSoftmax_largeLogits(t *testing.T) {
	p := softmax([]float32{1e30, 1e30, -1e30})
	assert.Equal(t, []float64{0.5, 0.5, 0}, p)
}
