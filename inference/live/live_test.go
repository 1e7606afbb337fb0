package live

import (
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// watcher says that a frame is bright, and how much.
type watcher struct {
	infer func(ctx context.Context, frame int) error
}

func (watcher) Made() analysis.Model { return analysis.Model{Name: "bright"} }

func (w watcher) Infer(ctx context.Context, s analysis.Sample, _ inference.Wishes) (analysis.Part, error) {
	if err := w.infer(ctx, s.Span.First); err != nil {
		return analysis.Part{}, err
	}
	p := float64(s.Frames[0].RGBAAt(0, 0).G) / 255
	size := s.Frames[0].Rect.Size()
	part := analysis.Part{Result: analysis.Result{Span: s.Span, Scores: map[string]float64{"bright": p}}, Geometry: analysis.Geometry{Rows: size.Y, Columns: size.X, Crop: image.Rectangle{Max: size}}}
	if p >= 0.5 {
		part.Maps = []analysis.Map{{Class: "bright", Width: 2, Height: 1, Values: []float32{1, 0}}}
	}
	return part, nil
}

func (w watcher) Classify(ctx context.Context, s analysis.Sample) (analysis.Part, error) {
	return w.Infer(ctx, s, inference.Wishes{})
}

func (watcher) Watching() (inference.Temporal, []analysis.Class) {
	rule := inference.DefaultTemporal()
	rule.Smoothing = 1
	return rule, []analysis.Class{{Name: "bright", Role: analysis.RoleFinding, Threshold: 0.5}}
}

// mucosa is a picture that counts, of so much brightness at its corner.
func mucosa(corner uint8) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 96, 64))
	for i := range 96 * 64 {
		img.Pix[4*i], img.Pix[4*i+1], img.Pix[4*i+2], img.Pix[4*i+3] = 200, uint8(60+40*((i/2+i/192)%2)), 60, 255
	}
	img.Pix[1] = corner
	return img
}

// While the model is busy, frames are decoded, the newest waits, and those that it takes the place of are counted.
func TestWatch_newestFirst(t *testing.T) {
	busy, begun := make(chan struct{}), make(chan struct{}, 2)
	var shown []Frame
	w := Watch{Model: watcher{func(context.Context, int) error { begun <- struct{}{}; <-busy; return nil }}, Show: func(f Frame) { shown = append(shown, f) }}
	box := newest{come: make(chan struct{}, 1)}
	var analysing sync.WaitGroup
	analysing.Go(func() { assert.NoError(t, w.analyse(t.Context(), &box)) })
	box.put(video.Shot{Number: 1, At: time.Now(), RGBA: mucosa(200)})
	<-begun
	for n := 2; n <= 25; n++ {
		box.put(video.Shot{Number: n, Time: time.Second, At: time.Now(), RGBA: mucosa(201)})
	}
	box.end()
	close(busy)
	analysing.Wait()
	require.Len(t, shown, 2)
	assert.Equal(t, []int{1, 25}, []int{shown[0].Number, shown[1].Number})
	assert.Equal(t, []int{0, 23}, []int{shown[0].Dropped, shown[1].Dropped})
	assert.Empty(t, shown[0].Poor)
	assert.Empty(t, shown[0].Said().Findings, "one frame alone does not count")
	said := shown[1].Said()
	assert.Equal(t, []analysis.Present{{Class: "bright", Role: analysis.RoleFinding, Probability: 201.0 / 255, Threshold: 0.5, Since: 25}}, said.Findings)
	assert.Equal(t, "bright", said.Heatmap)
	assert.Positive(t, said.Latency)
	colours, err := explain.NamedColourMap("jet")
	require.NoError(t, err)
	drawn := shown[1].Drawn(colours, 0.5)
	assert.NotEqual(t, shown[1].RGBA.At(4, 4), drawn.At(4, 4), "there is its map")
	assert.Equal(t, shown[1].RGBA.At(90, 4), drawn.At(90, 4), "and nothing here")
	masked := shown[1]
	masked.Geometry.Masked = []image.Rectangle{image.Rect(60, 10, 96, 60)}
	before := masked.RGBA.At(60, 10)
	assert.NotEqual(t, before, masked.Drawn(colours, 0.5).At(60, 10), "what the model does not see is hatched")
	masked.Maps = nil
	assert.NotEqual(t, before, masked.Drawn(colours, 0.5).At(60, 10), "whether there is a map or not")
	assert.Equal(t, before, masked.RGBA.At(60, 10), "not in what is captured")
}

// What persisted before a source was gone does not when it is there again: it may be of another patient. A frame that is discounted says nothing new, then either.
func TestWatch_anotherConnection(t *testing.T) {
	var shown [][]analysis.Present
	done := make(chan struct{})
	w := Watch{Model: watcher{func(context.Context, int) error { return nil }}, Show: func(f Frame) { shown = append(shown, f.Present); done <- struct{}{} }}
	box := newest{come: make(chan struct{}, 1)}
	var analysing sync.WaitGroup
	analysing.Go(func() { assert.NoError(t, w.analyse(t.Context(), &box)) })
	grey := image.NewRGBA(image.Rect(0, 0, 96, 64))
	for i, s := range []video.Shot{{Connection: 1, RGBA: mucosa(200)}, {Connection: 1, RGBA: mucosa(200)}, {Connection: 1, RGBA: grey}, {Connection: 2, RGBA: grey}, {Connection: 2, RGBA: mucosa(200)}} {
		s.Number = i + 1
		box.put(s)
		<-done
	}
	box.end()
	analysing.Wait()
	require.Len(t, shown, 5)
	assert.Len(t, shown[1], 1)
	assert.Len(t, shown[2], 1, "a discounted frame changes nothing")
	assert.Empty(t, shown[3], "of the connection before")
	assert.Empty(t, shown[4])
}

// A file is watched to its end: every frame was either analysed or dropped, and the last one was analysed.
func TestWatch_file(t *testing.T) {
	installed.Require(t, "ffmpeg")
	name := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, os.WriteFile(name, dicomtest.Stream(t, "mp4", append(dicomtest.Levels(25), "-t", "0.6", "-c:v", "libx264")...), 0o600))
	analysed, last := 0, Frame{}
	w := Watch{Signal: video.Signal{Name: name}, Model: watcher{func(context.Context, int) error { return nil }}, Show: func(f Frame) { analysed, last = analysed+1, f }}
	require.NoError(t, w.Run(t.Context()))
	assert.Equal(t, 15, last.Number)
	assert.Equal(t, 15, analysed+last.Dropped)
	assert.Equal(t, "out of the body", last.Poor, "grey")

	w.Model = watcher{func(_ context.Context, n int) error { return errors.New("the network has gone") }}
	require.EqualError(t, w.Run(t.Context()), "frame 1: the network has gone")
	w.Model = watcher{func(context.Context, int) error { panic("the network") }}
	require.ErrorContains(t, w.Run(t.Context()), "panic")

	ctx, stop := context.WithCancel(t.Context())
	w.Model = watcher{func(ctx context.Context, _ int) error { stop(); <-ctx.Done(); return ctx.Err() }}
	require.NoError(t, w.Run(ctx), "to be stopped is no fault")
}
