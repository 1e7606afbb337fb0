package results

import (
	"context"
	"image"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
)

// seenIn is a model that says of each frame what stands here.
type seenIn map[int]analysis.Part

func (seenIn) Made() analysis.Model { return testModel }
func (s seenIn) Infer(_ context.Context, sample analysis.Sample, _ inference.Wishes) (analysis.Part, error) {
	size := sample.Frames[0].Rect.Size()
	p := s[sample.Span.First]
	p.Geometry = analysis.Geometry{Rows: size.Y, Columns: size.X, Crop: sample.Frames[0].Rect}
	return p, nil
}

// A clip is said to be explained as its peak is, also where the first of its frames has no map; a frame above the threshold is not said to
// be below it, and a map of another method is not shown under that name.
func TestClip_frames(t *testing.T) {
	b := newBench(t)
	found := analysis.Result{Findings: []analysis.Finding{{Class: "polyp", Role: analysis.RoleFinding, Probability: 0.9}}}
	wished := hot(string(explain.GuidedGradCAM))
	wished.Wished = true
	peak := analysis.Part{Result: found, Maps: []analysis.Map{hot("gradcam"), wished}}
	b.shop.Worker = &inference.Worker{Models: map[string]inference.Model{"demo": seenIn{2: peak, 3: {Result: found}, 4: {Result: found, Maps: []analysis.Map{hot("gradcam")}}}}, Log: b.shop.Log}
	source, err := b.shop.Keeper.Source(t.Context(), b.job.Entry)
	require.NoError(t, err)
	source.Moving = 4
	m := &making{Workshop: b.shop, job: b.job, source: source, algorithm: b.shop.Algorithms["demo"]}
	m.algorithm.Explain = analysis.Explanation{Method: "gradcam", Layer: "last"}
	c, err := m.begin(analysis.Segment{Class: "polyp", PeakFrame: 2, Probability: 0.9}, peak, 10)
	require.NoError(t, err)
	var notes []string
	for n := 1; n <= 4; n++ {
		f := pixeldata.Frame{Number: n, Image: image.NewRGBA(image.Rect(0, 0, 64, 48))}
		one, err := c.frame(t.Context(), f, time.Duration(n)*100*time.Millisecond)
		require.NoError(t, err)
		require.NoError(t, c.made.Add(one))
		notes = append(notes, one.Note)
	}
	assert.Equal(t, []string{"below its threshold: no map", "", "no map is made of it", "no map is made of it"}, notes)
	o, err := c.made.Object()
	require.NoError(t, err)
	assert.Contains(t, string(o.Dataset), "GUIDED_GRADCAM", "as the peak is explained")
}

// A clip of one frame ends where it begins.
func TestTimes(t *testing.T) {
	var m making
	for n := 1; n <= 3; n++ {
		span := analysis.Still(n)
		span.Start = time.Duration(n) * time.Second
		m.results = append(m.results, analysis.Result{Span: span})
	}
	assert.Equal(t, [2]float64{1, 3}, m.times(1, 3))
	assert.Equal(t, [2]float64{2, 2}, m.times(2, 2))
}
