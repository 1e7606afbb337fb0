// Package trial measures a model on frames: how well it classifies sets of them, of one hospital and another, and how faithful its
// explanations are, each method at each layer, against masks and against a network of random weights.
package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"endogate/explain"
	"endogate/explain/faithfulness"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/frames"
)

// Trial measures the explanations of a model on frames. It is used by one goroutine.
type Trial struct {
	Bundle *inference.Bundle
	Open   func(ask.Options) (*ask.Model, error) // of the bundle
	Files  frames.Files
	Masks  string  // folder of masks, named as their frames: where the finding is; "" for none
	Class  string  // to explain, as ask.Question.Class
	Limit  int     // frames at most; 0: all
	Draws  int     // of random weights, at least one; the frames are gone over once for each
	Margin float64 // how far beside the mask the pointing game allows, in parts of the frame's width
	Log    io.Writer

	frames   int
	masked   int
	resized  int       // masks of other proportions than their frames
	chance   []float64 // the masks' shares of their frames
	order    []string
	measured map[string]*measurement // by method and layer
	layers   int
}

// measurement is what was found of one method at one layer.
type measurement struct {
	method, layer             string
	frames                    []string // that have a map
	deletion, insertion, gain []float64
	energy                    []float64
	similarity                map[string][]float64 // by frame: to the map of each draw of random weights that has one
	hits, pointed, nothing    int
}

// Layer measures methods at one layer, on every frame. With frames.ErrUnread the others are measured.
func (t *Trial) Layer(ctx context.Context, layer string, methods []explain.Method) (err error) {
	x, err := t.Open(ask.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	t.frames, t.masked, t.resized, t.chance = 0, 0, 0, nil
	t.layers++
	var unread error
	for draw := 1; draw <= t.Draws; draw++ {
		switch err := t.pass(ctx, x, layer, methods, draw); {
		case errors.Is(err, frames.ErrUnread):
			unread = err
		case err != nil:
			return err
		}
	}
	return unread
}

// pass goes over the frames with one draw of random weights, which is in memory until it returns. The first pass measures
// everything, the others what depends on the draw.
func (t *Trial) pass(ctx context.Context, x *ask.Model, layer string, methods []explain.Method, draw int) (err error) {
	random, err := t.Open(ask.Options{Load: func() ([]byte, error) {
		model, err := t.Bundle.Network()
		if err != nil {
			return nil, err
		}
		return explain.Randomise(model, uint64(draw), 0)
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, random.Close()) }()
	q := ask.Question{Class: t.Class, Layer: layer, Methods: methods}
	began, seen := time.Now(), 0
	err = t.Files.Each(ctx, func(ctx context.Context, f frames.Frame) error {
		if t.Limit > 0 && seen >= t.Limit {
			return fs.SkipAll
		}
		seen++
		if seen%10 == 0 {
			fmt.Fprintf(t.Log, "layer %s, random weights %d of %d: %d frames in %s\n", layer, draw, t.Draws, seen, time.Since(began).Round(time.Second))
		}
		if draw == 1 {
			t.frames++
		}
		if err := t.frame(ctx, x, random, f, q, draw == 1); err != nil || seen != t.Limit {
			return err
		}
		return fs.SkipAll
	})
	if err == nil && seen == 0 {
		return fmt.Errorf("no frame in %s", strings.Join(t.Files.Paths, ", "))
	}
	return err
}

// frame measures all methods on one frame: everything, or only what depends on the random weights.
func (t *Trial) frame(ctx context.Context, x, random *ask.Model, f frames.Frame, q ask.Question, everything bool) error {
	q.Pose = analysis.Pose{Orientation: analysis.Orientation(f.Orientation), Aspect: f.Aspect}
	asked, err := x.Ask(ctx, f.Image, q)
	if err != nil {
		return err
	}
	answers, err := x.Answers(ctx, asked)
	if err != nil {
		return err
	}
	if everything {
		if err := t.measure(ctx, x, f, asked, answers); err != nil {
			return err
		}
	}
	others, err := random.Answers(ctx, asked)
	if err != nil {
		return err
	}
	for i, a := range answers {
		if err := t.of(a).compare(f, asked.Input.Shape, a, others[i]); err != nil {
			return err
		}
	}
	return nil
}

// measure takes down what the maps of a frame are worth without another network.
func (t *Trial) measure(ctx context.Context, x *ask.Model, f frames.Frame, asked *ask.Asked, answers []ask.Answer) error {
	mask, hasMask, err := t.mask(f)
	if err != nil {
		return err
	}
	for _, a := range answers {
		m := t.of(a)
		maps, err := a.Maps(asked.Input.Shape)
		if err != nil {
			return err
		}
		if _, err := maps[0].Magnitude(); err != nil {
			m.nothing++
			continue
		}
		deletion, insertion, err := x.Faithfulness(ctx, asked, a)
		if err != nil {
			return err
		}
		m.add(f, deletion, insertion)
		if hasMask {
			m.hold(inference.ToSource(asked.Geometry, maps[0]), mask, t.Margin)
		}
	}
	return nil
}

// mask finds that of a frame, if there is one.
func (t *Trial) mask(f frames.Frame) (faithfulness.Mask, bool, error) {
	if t.Masks == "" {
		return faithfulness.Mask{}, false, nil
	}
	for _, name := range maskNames(f) {
		path := filepath.Join(t.Masks, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		m, err := faithfulness.ReadMask(path)
		if err == nil {
			t.masked++
			if size := f.Image.Rect.Size(); max(m.Width*size.Y-m.Height*size.X, m.Height*size.X-m.Width*size.Y) > max(size.X, size.Y) { // more than rounding
				t.resized++
			}
			t.chance = append(t.chance, m.Share())
		}
		return m, err == nil, err
	}
	return faithfulness.Mask{}, false, nil
}

// maskNames are those a frame's mask may have; that of a first frame may be called as its file.
func maskNames(f frames.Frame) (names []string) {
	stems := []string{f.Name}
	if f.Number == 1 {
		stems = append(stems, strings.TrimSuffix(filepath.Base(f.Path), filepath.Ext(f.Path)))
	}
	for _, stem := range stems {
		names = append(names, maskNamesOf(stem)...)
	}
	return names
}

// maskNamesOf are the names of masks of a frame called so.
func maskNamesOf(stem string) (names []string) {
	for _, ending := range []string{".png", ".jpg", ".jpeg", "-mask.png", "_mask.png", "-mask.jpg", "_mask.jpg"} {
		names = append(names, stem+ending)
	}
	return names
}

// of is the measurement that an answer belongs to.
func (t *Trial) of(a ask.Answer) *measurement {
	key := string(a.Method) + "\n" + a.Layer.Name
	m := t.measured[key]
	if t.measured == nil {
		t.measured = map[string]*measurement{}
	}
	if m == nil {
		m = &measurement{method: string(a.Method), layer: a.Layer.Name, similarity: map[string][]float64{}}
		t.measured[key] = m
		t.order = append(t.order, key)
	}
	return m
}

func (m *measurement) add(f frames.Frame, deletion, insertion faithfulness.Curve) {
	m.frames = append(m.frames, f.ID())
	m.deletion, m.insertion = append(m.deletion, deletion.Area), append(m.insertion, insertion.Area)
	m.gain = append(m.gain, insertion.Area-deletion.Area)
}

// compare takes down how like the map of random weights is to that of the network, where both are any.
func (m *measurement) compare(f frames.Frame, shape []int64, a, other ask.Answer) error {
	maps, err := a.Maps(shape)
	if err != nil {
		return err
	}
	others, err := other.Maps(shape)
	if err != nil {
		return err
	}
	_, nothing := maps[0].Magnitude()
	_, nothingElse := others[0].Magnitude()
	if nothing == nil && nothingElse == nil {
		m.similarity[f.ID()] = append(m.similarity[f.ID()], faithfulness.RankCorrelation(maps[0].Values, others[0].Values))
	}
	return nil
}

// draws are the similarities of each frame.
func (m *measurement) draws() [][]float64 {
	all := make([][]float64, len(m.frames))
	for i, f := range m.frames {
		all[i] = m.similarity[f]
	}
	return all
}

// hold takes down how a map of the source frame agrees with a mask.
func (m *measurement) hold(shown explain.Map, mask faithfulness.Mask, margin float64) {
	m.energy = append(m.energy, faithfulness.EnergyInside(shown, mask))
	m.pointed++
	if faithfulness.Pointing(shown, mask, margin) {
		m.hits++
	}
}
