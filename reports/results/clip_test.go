package results

import (
	"context"
	"image"
	"image/color"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
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
	c, err := m.begin(t.Context(), analysis.Segment{Class: "polyp", PeakFrame: 2, Probability: 0.9}, peak, 10, []shape{{class: dicom.MultiFrameTrueColorSecondaryCapture}})
	require.NoError(t, err)
	defer c.end()
	var notes []string
	for n := 1; n <= 4; n++ {
		f := pixeldata.Frame{Number: n, Image: mucosa(n)}
		one, err := c.frame(t.Context(), f, time.Duration(n)*100*time.Millisecond)
		require.NoError(t, err)
		require.NoError(t, c.add(one))
		notes = append(notes, one.Note)
	}
	assert.Equal(t, []string{"below its threshold: no map", "", "no map is made of it", "no map is made of it"}, notes)
	o, err := c.forms[0].made.Object()
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

// mucosa is a small picture that counts, and differs by n.
func mucosa(n int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for i := range 64 * 48 {
		m.SetRGBA(i%64, i/64, color.RGBA{uint8(140 + 50*(i%3%2) + n), 80, 60, 255})
	}
	return m
}

// A frame that was discounted is marked with the reason, has no map, and is named; a dark one is.
func TestClip_discounted(t *testing.T) {
	b := newBench(t)
	found := analysis.Result{Findings: []analysis.Finding{{Class: "polyp", Role: analysis.RoleFinding, Probability: 0.9}}}
	b.shop.Worker = &inference.Worker{Models: map[string]inference.Model{"demo": seenIn{1: {Result: found, Maps: []analysis.Map{hot("gradcam")}}, 2: {Result: found, Maps: []analysis.Map{hot("gradcam")}}}}, Log: b.shop.Log}
	source, err := b.shop.Keeper.Source(t.Context(), b.job.Entry)
	require.NoError(t, err)
	source.Moving = 2
	m := &making{Workshop: b.shop, job: b.job, source: source, algorithm: b.shop.Algorithms["demo"]}
	m.algorithm.Explain = analysis.Explanation{Method: "gradcam", Layer: "last"}
	for _, class := range []dicom.UID{dicom.MultiFrameTrueColorSecondaryCapture, dicom.VideoEndoscopicImageStorage, dicom.VideoPhotographicImageStorage} {
		c, err := m.begin(t.Context(), analysis.Segment{Class: "polyp", PeakFrame: 1, Probability: 0.9}, seenIn{}[1], 10, []shape{{class: class}})
		require.NoError(t, err)
		for n, img := range []*image.RGBA{mucosa(0), image.NewRGBA(image.Rect(0, 0, 64, 48))} {
			one, err := c.frame(t.Context(), pixeldata.Frame{Number: n + 1, Image: img}, 0)
			require.NoError(t, err)
			assert.Equal(t, []string{"", "too dark"}[n], one.Poor)
			assert.Equal(t, n == 1, one.Overlay == img, "a map where it counts")
			require.NoError(t, c.add(one))
		}
		o, err := c.forms[0].made.Object()
		require.NoError(t, err)
		assert.Equal(t, 2, o.Header.NumberOfFrames)
		assert.Contains(t, string(o.Dataset), "Crossed out, as they were discounted (too dark): frames 2.")
		c.end()
	}
}

// Who gets which form.
func TestClips_shapes(t *testing.T) {
	video, pictures := dicom.VideoEndoscopicImageStorage, dicom.MultiFrameTrueColorSecondaryCapture
	c := Clips{Form: video, By: map[string]dicom.UID{"b": pictures, "none": ""}}
	assert.Equal(t, []shape{{video, []string{"a", "c"}}, {pictures, []string{"b"}}}, c.shapes([]string{"a", "b", "none", "c"}))
	assert.Equal(t, []shape{{class: video}}, c.shapes(nil), "nobody gets it, and the page shows it")
	assert.Empty(t, Clips{}.shapes([]string{"a"}))
}

// What the network did not see is hatched in the frames of a sheet, and in those with their maps.
func TestSheet_masked(t *testing.T) {
	b := newBench(t)
	frame := mucosa(1)
	raw := hot("gradcam")
	s := &sheet{Sheet: analysis.Sheet{Moments: []analysis.SheetFrame{{Frame: 3, Counts: 0.5, Map: &raw}}}, counts: 0.5, greatest: 1}
	geometry := analysis.Geometry{Rows: 48, Columns: 64, Crop: frame.Rect}
	plain := &sheet{Sheet: s.Sheet, counts: 0.5, greatest: 1}
	plain.add(b.shop, analysis.Part{Geometry: geometry}, pixeldata.Frame{Number: 3, Image: frame})
	geometry.Masked = []image.Rectangle{image.Rect(0, 24, 32, 48)}
	s.add(b.shop, analysis.Part{Geometry: geometry}, pixeldata.Frame{Number: 3, Image: frame})
	require.Len(t, s.moments, 1)
	assert.False(t, plain.masked)
	assert.True(t, s.masked)
	for i, pair := range [][2]*image.RGBA{{plain.moments[0].Frame, s.moments[0].Frame}, {plain.moments[0].Over, s.moments[0].Over}} {
		assert.NotEqual(t, pair[0].SubImage(image.Rect(0, 50, 40, 80)).(*image.RGBA).At(0, 60), pair[1].At(0, 60), "row %d, its border", i)
		assert.Equal(t, pair[0].At(100, 10), pair[1].At(100, 10), "row %d, outside", i)
	}
}
