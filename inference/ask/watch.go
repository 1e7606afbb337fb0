package ask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"

	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/onnx"
)

// Watched is a question about a clip as the network sees it, answered in time and in space.
type Watched struct {
	*Asked
	Frames []analysis.Prepared // of the clip, without what fills it up

	// Layers are the attention that the class token gives to each frame in each layer, as explain.FrameImportance has it; Attention is
	// their mean. Rollout follows the attention of all layers down to the frames; Weighted is attention that speaks for the class. They
	// have a value for each frame that the network takes, of null frames zero; nil for a network without attention over frames.
	Layers                       [][]float32
	Attention, Rollout, Weighted []float32

	// Maps are those of each frame, of how much its places speak for the class by way of all that follows: the clip's own decision.
	Maps   []explain.Map
	Method explain.Method
	Layer  explain.Layer
	Note   string // what a reader of the maps has to know
}

// OfClips reports whether a method explains each frame of a clip: maps of a layer, by one gradient.
func OfClips(m explain.Method) bool {
	info, ok := explain.LookupMethod(m)
	return ok && info.AtLayer && !info.AtInput && !info.Runs && !info.Raw
}

// ErrNoClips says that a model does not look across time.
var ErrNoClips = errors.New("ask: the model takes single frames")

// Watch classifies a clip, of at most as many frames as the network takes at once, and explains the class in question by the attention over
// frames and by the manifest's method in space, with the gradient of the clip's decision. Of the question class, contrast, layer and first method count.
func (m *Model) Watch(ctx context.Context, frames []analysis.Prepared, q Question) (*Watched, error) {
	w, err := m.look(ctx, frames)
	if err != nil {
		return nil, err
	}
	if err := w.choose(q); err != nil {
		return nil, err
	}
	w.seed = w.reading.Seed(len(w.outputs[0].Values), w.Class, w.Against)
	return w, m.explainClip(ctx, w, q)
}

// Look classifies a clip alone.
func (m *Model) Look(ctx context.Context, frames []analysis.Prepared) ([]float64, error) {
	w, err := m.look(ctx, frames)
	if err != nil {
		return nil, err
	}
	return w.Probabilities, nil
}

func (m *Model) look(ctx context.Context, frames []analysis.Prepared) (*Watched, error) {
	if m.Bundle.Clip == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoClips, m.Bundle.Name)
	}
	values := make([]float32, m.Bundle.Len())
	geometry, err := m.Bundle.FillClip(frames, values)
	if err != nil {
		return nil, err
	}
	known, err := m.reading()
	if err != nil {
		return nil, err
	}
	a := &Asked{Geometry: geometry[0], Input: onnx.Input{Shape: m.Bundle.Shape(), Values: values}, bundle: m.Bundle, reading: known.reading}
	outputs, err := m.own.Outputs(ctx, a.Input, 1)
	if err != nil {
		return nil, err
	}
	a.outputs = outputs[0]
	a.Probabilities, err = a.reading.Shallow(a.outputs)
	return &Watched{Asked: a, Frames: frames}, err
}

// explainClip makes all explanations of a clip in one run.
func (m *Model) explainClip(ctx context.Context, w *Watched, q Question) error {
	targets, err := m.clipTargets(q)
	if err != nil || len(targets) == 0 {
		return err
	}
	_, all, err := m.output.Run(ctx, w.Input, [][]float32{w.seed}, targets)
	if err != nil {
		return err
	}
	for _, one := range all {
		switch one.Method {
		case explain.AttentionWeights:
			w.Layers = explain.FrameImportance(one.Values, one.Width, one.Prefix, len(w.Frames))
			w.Attention = meanOf(w.Layers)
		case explain.AttentionRollout:
			w.Rollout = w.real(one.Values)
		case explain.GradientAttention:
			w.Weighted = w.real(one.Values)
		default:
			w.Method, w.Layer, w.Note = one.Method, one.Layer, Answer{one}.remark()
			w.Maps = w.spread(one)
		}
	}
	return nil
}

// clipTargets are what explains a clip: the attentions, where there are any over frames, then the method in space.
func (m *Model) clipTargets(q Question) ([]explain.Target, error) {
	over, err := m.over()
	if err != nil {
		return nil, err
	}
	var targets []explain.Target
	if over {
		targets = []explain.Target{{Method: explain.AttentionWeights}, {Method: explain.AttentionRollout}, {Method: explain.GradientAttention}}
	}
	method := explain.Method(m.Bundle.Explain.Method)
	if len(q.Methods) > 0 {
		method = q.Methods[0]
	}
	switch {
	case method == inference.NoMethod:
	case !OfClips(method):
		return nil, Error(fmt.Sprintf("method %q is not made of clips", method))
	default:
		targets = append(targets, explain.Target{Method: method, Layer: cmp.Or(q.Layer, m.Bundle.Explain.Layer)})
	}
	return targets, nil
}

// attended reports whether the network has attention over frames.
func (m *Model) attended() (bool, error) {
	in, err := m.Inspect()
	if err != nil {
		return false, err
	}
	return in.Attended > 0, nil
}

// meanOf is the mean of rows.
func meanOf(rows [][]float32) []float32 {
	mean := make([]float32, len(rows[0]))
	for _, row := range rows {
		for i, v := range row {
			mean[i] += v / float32(len(rows))
		}
	}
	return mean
}

// real makes zero what fills the clip up.
func (w *Watched) real(values []float32) []float32 {
	values = slices.Clone(values)
	clear(values[min(len(w.Frames), len(values)):])
	return values
}

// spread gives each frame its map: a layer may have fewer frames than the clip, as of 3D convolutions.
func (w *Watched) spread(one onnx.Attribution) []explain.Map {
	maps := make([]explain.Map, len(w.Frames))
	size := one.Height * one.Width
	for i := range maps {
		at := i * one.Frames / w.bundle.Clip.Frames * size
		maps[i] = explain.Map{Width: one.Width, Height: one.Height, Values: one.Values[at : at+size : at+size], Extent: one.Extent}
	}
	return maps
}

// Importance says how much each frame counts: by attention, or for a network without by what its map adds up to.
func (w *Watched) Importance() []float32 {
	if w.Attention != nil {
		return w.Attention[:len(w.Frames)]
	}
	return w.sums()
}

// Peak is the frame that counts most, from 0; of equal ones the first.
func (w *Watched) Peak() int { return Greatest(w.Importance()) }

// Greatest is where the greatest of values is, the first of equal ones.
func Greatest(values []float32) int {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return best
}

// Picture is a prepared frame, as the network sees it.
func Picture(b *inference.Bundle, p analysis.Prepared) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, b.Input.Columns, b.Input.Rows))
	for i := range b.Input.Rows * b.Input.Columns {
		copy(out.Pix[4*i:], p.Pixels[3*i:3*i+3])
		out.Pix[4*i+3] = 255
	}
	return out
}

// mostColumns is how many frames a sheet has side by side.
const mostColumns = 16

// Sheet shows a clip in four rows: attention, frames, attention over the frames, and where each frame that counts speaks for the
// class. Name is what the clip is called, number what a frame is. Where there are more frames than columns, those that count most are shown, in
// their order.
func (w *Watched) Sheet(name string, number func(frame int) int, p *Painter) (*image.RGBA, error) {
	importance := w.Importance()
	top := importance[w.Peak()]
	order := make([]int, len(w.Frames))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(importance[b], importance[a]) })
	shown := slices.Sorted(slices.Values(order[:min(len(order), mostColumns)]))
	info, _ := explain.LookupMethod(w.Method)
	film := picture.Film{
		Title:   fmt.Sprintf("%s (p = %.2f), %s, %s %s", w.Subject(), w.Probabilities[w.Class], name, w.bundle.Name, w.bundle.Version),
		Rows:    [4]string{w.measure(), "Frames, as the network sees them", w.measure() + " over the frames", info.Title + at(w.Layer.Name) + ", of the clip's decision"},
		Colours: p.Colours,
	}
	greatest := float32(0) // of all maps, so that frames can be compared
	for _, m := range w.Maps {
		if v, err := m.Max(); err == nil {
			greatest = max(greatest, v)
		}
	}
	for _, i := range shown {
		frame := Picture(w.bundle, w.Frames[i])
		moment := picture.Moment{Caption: fmt.Sprint(number(i)), Frame: frame, Value: importance[i]}
		if top > 0 {
			moment.Share = float64(importance[i] / top)
		}
		if importance[i] > 0 && greatest > 0 && i < len(w.Maps) {
			m := w.Maps[i].Resize(w.bundle.Input.Columns, w.bundle.Input.Rows)
			for k, v := range m.Values {
				m.Values[k] = max(v, 0) / greatest
			}
			moment.Over = explain.Overlay(frame, m, p.Colours, p.Opacity)
		}
		film.Moments = append(film.Moments, moment)
	}
	if len(shown) < len(w.Frames) {
		film.Remark = fmt.Sprintf("the %d of %d frames that count most", len(shown), len(w.Frames))
	}
	film.Remark = joined(film.Remark, w.Note)
	return film.Draw(), nil
}

// measure says what tells how much frames count.
func (w *Watched) measure() string {
	if w.Attention != nil {
		return "Attention, mean of the layers"
	}
	return "What the maps add up to"
}

// Way is one way to tell which frames of a clip count.
type Way struct {
	Name       string
	Importance []float32 // of each frame of the clip
}

// Nothing reports whether no frame counts more than none.
func (w Way) Nothing() bool {
	for _, v := range w.Importance {
		if v > 0 {
			return false
		}
	}
	return true
}

// Ways are all that was made.
func (w *Watched) Ways() []Way {
	var all []Way
	add := func(name string, row []float32) {
		if row != nil {
			all = append(all, Way{name, row[:len(w.Frames)]})
		}
	}
	for i, row := range w.Layers {
		add(fmt.Sprintf("attention of layer %d", i+1), row)
	}
	add("attention, mean of layers", w.Attention)
	add("attention rollout", w.Rollout)
	add("gradient-weighted attention", w.Weighted)
	if len(w.Maps) > 0 {
		info, _ := explain.LookupMethod(w.Method)
		add(info.Title+", sum of each map", w.sums())
	}
	return all
}

// sums are what the maps add up to.
func (w *Watched) sums() []float32 {
	all := make([]float32, len(w.Frames))
	for i, m := range w.Maps {
		for _, v := range m.Values {
			all[i] += max(v, 0)
		}
	}
	return all
}

// LookAt classifies a clip of which some frames are there and the others are null frames.
func (m *Model) LookAt(ctx context.Context, w *Watched, there []bool) ([]float64, error) {
	in := w.Input
	in.Values = slices.Clone(in.Values)
	nothing := make([]float32, m.Bundle.Input.Len())
	for t, is := range there {
		if !is {
			m.Bundle.Place(nothing, t, in.Values)
		}
	}
	outputs, err := m.own.Outputs(ctx, in, 1)
	if err != nil {
		return nil, err
	}
	return w.reading.Shallow(outputs[0])
}
