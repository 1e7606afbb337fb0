// Package live analyses a signal while it comes: each frame by a model of stills, the newest first where the model does not keep up,
// and put together over time by the rule that the model has for videos. Decoding waits for nothing.
package live

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"log/slog"
	"sync"
	"time"

	"endogate/dicomnode/pixeldata/video"
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
)

// Watch analyses one signal. Its fields are set before Run.
type Watch struct {
	Signal video.Signal
	Model  inference.Watcher // of stills
	// Show is given what is said of each frame that was analysed, in their order. Decoding does not wait for it; the next frame does.
	Show func(Frame)
	// Lost is called when the source is gone, with the reason and the time to the next try; may be nil.
	Lost func(why error, next time.Duration)
	Log  *slog.Logger // nil: slog.Default
}

// Frame is what is said of a frame.
type Frame struct {
	video.Shot
	analysis.Part                    // what the model says of this frame alone, with maps of what reaches its threshold
	Present       []analysis.Present // what persists over time
	Poor          string             // in a word or two, why the frame is discounted; "" where it counts
	Latency       time.Duration      // from when the frame had come out of the decoder to its result
	Dropped       int                // of the frames so far, those that were not analysed, as newer ones had come
}

// Said is the frame in words and numbers.
func (f Frame) Said() analysis.Live {
	said := analysis.Live{
		Frame: f.Number, Time: f.Time.Seconds(), At: f.At, Probabilities: f.Result.Scores, Findings: append([]analysis.Present{}, f.Present...), Discounted: f.Poor,
		Latency: float64(f.Latency) / float64(time.Millisecond), Dropped: f.Dropped,
	}
	if m := f.shown(); m != nil {
		said.Heatmap = m.Class
	}
	return said
}

// shown is the map of what is most probable in the frame; nil for none.
func (f Frame) shown() (shown *analysis.Map) {
	for i, m := range f.Maps {
		if shown == nil || f.Result.Scores[m.Class] > f.Result.Scores[shown.Class] {
			shown = &f.Maps[i]
		}
	}
	return shown
}

// Drawn is the frame with the map of what is most probable laid over it, where something reaches its threshold and has a map that lies
// in the frame; else the frame itself. What the model did not see is hatched.
func (f Frame) Drawn(colours *explain.ColourMap, opacity float64) *image.RGBA {
	drawn, unseen := f.RGBA, inference.Unseen(f.Geometry, f.RGBA)
	if m := f.shown(); m != nil {
		if over, err := inference.Shown(f.Geometry, inference.Raw(*m)); err == nil {
			drawn = explain.Overlay(f.RGBA, over, colours, opacity)
		}
	}
	if len(unseen) == 0 {
		return drawn
	}
	if drawn == f.RGBA { // which may be captured
		drawn = image.NewRGBA(f.Rect)
		copy(drawn.Pix, f.Pix)
	}
	picture.Hatch(drawn, unseen)
	return drawn
}

// Run analyses the signal until ctx is done, or the end of a file, whose last frame is analysed before it returns. An error says
// what to do, or is the model's.
func (w *Watch) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	box := newest{come: make(chan struct{}, 1)}
	var analysing sync.WaitGroup
	var fault error
	analysing.Go(func() {
		if fault = w.analyse(ctx, &box); fault != nil {
			cancel()
		}
	})
	signal := w.Signal
	signal.Lost = w.Lost
	err := signal.Watch(ctx, box.put)
	box.end()
	analysing.Wait()
	return cmp.Or(fault, err)
}

// newest holds the frame that came last, where it waits.
type newest struct {
	mu      sync.Mutex
	shot    *video.Shot
	dropped int
	ended   bool
	come    chan struct{}
}

// put has a frame wait, in place of one that waits.
func (n *newest) put(s video.Shot) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.shot != nil {
		n.dropped++
	}
	n.shot = &s
	n.wake()
}

func (n *newest) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
	n.wake()
}

func (n *newest) wake() {
	select {
	case n.come <- struct{}{}:
	default: // it will be looked for
	}
}

// take waits for a frame, and returns how many were dropped before it.
func (n *newest) take(ctx context.Context) (shot video.Shot, dropped int, ok bool) {
	for {
		n.mu.Lock()
		waiting, ended := n.shot, n.ended
		n.shot, dropped = nil, n.dropped
		n.mu.Unlock()
		switch {
		case ctx.Err() != nil, waiting == nil && ended:
			return video.Shot{}, dropped, false
		case waiting != nil:
			return *waiting, dropped, true
		}
		select {
		case <-ctx.Done():
		case <-n.come:
		}
	}
}

// analyse has the model say what there is in the frames that come.
func (w *Watch) analyse(ctx context.Context, box *newest) error {
	rule, classes := w.Model.Watching()
	over, connection := rule.Follow(classes), 0
	var present []analysis.Present
	for {
		shot, dropped, ok := box.take(ctx)
		if !ok {
			return nil
		}
		if shot.Connection != connection { // perhaps of another patient: nothing of before persists
			over, present, connection = rule.Follow(classes), nil, shot.Connection
		}
		span := analysis.Still(shot.Number)
		span.Start = shot.Time
		f := Frame{Shot: shot, Dropped: dropped, Poor: inference.Assess(shot.RGBA).Poor()}
		err := inference.Guard(cmp.Or(w.Log, slog.Default()), fmt.Sprintf("frame %d", shot.Number), func() (err error) {
			f.Part, err = w.Model.Infer(ctx, analysis.Sample{Span: span, Frames: []*image.RGBA{shot.RGBA}, Pose: analysis.Pose{Aspect: shot.Aspect}}, inference.Wishes{})
			return err
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("frame %d: %w", shot.Number, err)
		}
		if f.Poor == "" {
			present = over.Next(shot.Number, f.Result.Scores)
		}
		f.Present, f.Latency = present, time.Since(shot.At)
		w.Show(f)
	}
}
