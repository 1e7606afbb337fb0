package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference/analysis"
)

// ClipNetwork is a Network of clips. Its methods may be called from any goroutine.
type ClipNetwork interface {
	Network
	// ExplainClip says of a clip of so many frames, which are followed by what fills it up, how much each counts and where in each something
	// speaks for a seed, by the gradient of the clip's own decision.
	ExplainClip(ctx context.Context, input []float32, frames int, seed []float32) (Moments, error)
	// Encode gives the embeddings of frames, which lie one behind the other, of a network with an encoder of frames. The input is not kept.
	Encode(ctx context.Context, frames []float32) ([][]float32, error)
	// Across is what the head says of embeddings, at most as many as a clip has frames: the outputs of the network.
	Across(ctx context.Context, window [][]float32) ([]explain.Tensor, error)
}

// Moments are the frames of a clip, explained.
type Moments struct {
	Importance []float32     // of each frame
	By         string        // what tells how much they count
	Maps       []explain.Map // of each frame; none where the manifest has none made
}

// clips is the network of a model that looks across time.
func (m *BundleModel) clips() (ClipNetwork, error) {
	n, ok := m.network.Network.(ClipNetwork)
	if !ok {
		return nil, Permanent(fmt.Errorf("inference: model %s: its network does not look across time", m.bundle.Name))
	}
	return n, nil
}

// inferClip is Infer of a model that looks across time.
func (m *BundleModel) inferClip(ctx context.Context, s analysis.Sample, w Wishes) (analysis.Part, error) {
	network, err := m.clips()
	if err != nil {
		return analysis.Part{}, err
	}
	if len(w.Heatmaps) > 0 {
		return analysis.Part{}, Permanent(fmt.Errorf("inference: model %s looks across time and explains by its own method alone", m.bundle.Name))
	}
	input := m.inputs.Get().(*[]float32)
	defer m.inputs.Put(input)
	var all []analysis.Geometry
	if s.Prepared != nil { // a still is a clip of one frame
		all, err = m.bundle.FillClip([]analysis.Prepared{*s.Prepared}, *input)
	} else {
		all, err = m.bundle.PrepareClip(s.Frames, s.Pose, *input)
	}
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	outputs, _, err := network.Explain(ctx, *input, m.bundle.Shape(), nil)
	if err != nil {
		return analysis.Part{}, err
	}
	said, err := m.network.Reading.Read(outputs, all[0])
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	m.values.Store(int64(said.values))
	part := analysis.Part{Geometry: all[0], Result: analysis.Result{
		Span: s.Span, Rows: all[0].Rows, Columns: all[0].Columns, Scores: m.scores(said),
	}}
	var explained []momentsOf
	for _, f := range m.found(said) {
		part.Result.Findings = append(part.Result.Findings, f.Finding)
		if f.Role != analysis.RoleFinding && !slices.Contains(w.Classes, f.Class) {
			continue
		}
		moments, err := network.ExplainClip(ctx, *input, len(all), f.seed())
		if err != nil {
			return analysis.Part{}, err
		}
		if len(moments.Maps) == 0 {
			part.Result.Notes = append(part.Result.Notes, f.Class+": "+m.unexplained())
			continue
		}
		explained = append(explained, momentsOf{f.Finding, moments})
	}
	m.drawOn(&part, s, all, explained)
	return part, nil
}

// scores are the probabilities of all classes.
func (m *BundleModel) scores(said Said) map[string]float64 {
	scores := make(map[string]float64, len(said.Probabilities))
	for i, class := range m.bundle.Classes {
		scores[class.Name] = said.Probabilities[i]
	}
	return scores
}

// Reduce implements ClipWatcher.
func (m *BundleModel) Reduce(s analysis.Sample) (analysis.Prepared, error) {
	return m.bundle.Reduce(s.Frames[0], s.Pose)
}

// Encode implements ClipWatcher.
func (m *BundleModel) Encode(ctx context.Context, frames []analysis.Prepared) ([][]float32, error) {
	network, err := m.clips()
	if err != nil {
		return nil, err
	}
	size := m.bundle.Input.Len()
	input := make([]float32, len(frames)*size)
	for i, f := range frames {
		if err := m.bundle.normalise(f, input[i*size:][:size]); err != nil {
			return nil, Permanent(err)
		}
	}
	embeddings, err := network.Encode(ctx, input)
	for _, e := range embeddings {
		if slices.ContainsFunc(e, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }) {
			return nil, Permanent(fmt.Errorf("inference: model %s: its encoder gives values that are no numbers", m.bundle.Name))
		}
	}
	return embeddings, err
}

// Across implements ClipWatcher.
func (m *BundleModel) Across(ctx context.Context, window [][]float32) (map[string]float64, error) {
	network, err := m.clips()
	if err != nil {
		return nil, err
	}
	outputs, err := network.Across(ctx, window)
	if err != nil {
		return nil, err
	}
	return m.said(outputs)
}

// Clip implements ClipWatcher.
func (m *BundleModel) Clip(ctx context.Context, frames []analysis.Prepared) (map[string]float64, error) {
	network, err := m.clips()
	if err != nil {
		return nil, err
	}
	input := m.inputs.Get().(*[]float32)
	defer m.inputs.Put(input)
	if _, err := m.bundle.FillClip(frames, *input); err != nil {
		return nil, Permanent(err)
	}
	outputs, _, err := network.Explain(ctx, *input, m.bundle.Shape(), nil)
	if err != nil {
		return nil, err
	}
	return m.said(outputs)
}

// said reads outputs of a clip.
func (m *BundleModel) said(outputs []explain.Tensor) (map[string]float64, error) {
	said, err := m.network.Reading.Read(outputs, analysis.Geometry{})
	if err != nil {
		return nil, Permanent(err)
	}
	return m.scores(said), nil
}

// Explain implements ClipWatcher.
func (m *BundleModel) Explain(ctx context.Context, frames []analysis.Prepared, class string) (Moments, analysis.Explanation, error) {
	network, err := m.clips()
	if err != nil {
		return Moments{}, m.network.How, err
	}
	input := m.inputs.Get().(*[]float32)
	defer m.inputs.Put(input)
	if _, err := m.bundle.FillClip(frames, *input); err != nil {
		return Moments{}, m.network.How, Permanent(err)
	}
	i := slices.Index(m.bundle.ClassNames(), class)
	moments, err := network.ExplainClip(ctx, *input, len(frames), m.network.Reading.Seed(int(m.values.Load()), i, -1))
	return moments, m.network.How, err
}

// momentsOf are those of a finding.
type momentsOf struct {
	analysis.Finding
	Moments
}

// drawOn has the maps of all findings be those of one frame, which is the one that they are drawn over: that which counts most for the most
// probable of them.
func (m *BundleModel) drawOn(part *analysis.Part, s analysis.Sample, all []analysis.Geometry, explained []momentsOf) {
	if len(explained) == 0 {
		return
	}
	first := slices.MaxFunc(explained, func(a, b momentsOf) int { return cmp.Compare(a.Probability, b.Probability) })
	peak := byImportance(first.Importance)[0]
	part.Geometry = all[peak]
	if s.Span.Count > 1 {
		part.Result.Peak = s.Number(peak)
	}
	for _, e := range explained {
		order := byImportance(e.Importance)
		of := "the first of them"
		if order[0] != peak {
			of = fmt.Sprintf("frame %d, which counts most for %s", s.Number(peak), first.Class)
		}
		part.Result.Notes = append(part.Result.Notes, fmt.Sprintf("%s: the frames that count most are %s (%s); the map is of %s", e.Class, counting(s, e.Importance, order), e.By, of))
		part.Maps = append(part.Maps, mapOf(e.Finding, m.network.How, e.Maps[peak]))
	}
}

// maxCounting is how many frames a note names.
const maxCounting = 3

// byImportance are the frames of a clip, from 0, those that count most first.
func byImportance(importance []float32) []int {
	order := make([]int, len(importance))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(importance[b], importance[a]) })
	return order
}

// counting names the frames that count most.
func counting(s analysis.Sample, importance []float32, order []int) string {
	var all []string
	for _, i := range order[:min(len(order), maxCounting)] {
		all = append(all, fmt.Sprintf("%d (%.2f)", s.Number(i), importance[i]))
	}
	return strings.Join(all, ", ")
}

// Sequence says how the model takes a sequence of frames; nil for one of single frames.
func (m *BundleModel) Sequence() *Clip { return m.bundle.Clip }

// maxClipBytes bounds the decoded frames of one clip: a hundred of 1920×1080 pixels have 830 MB.
const maxClipBytes = 1 << 30

// clips makes of the frames of an instance, of which there are so many, the samples of a model that looks across time. What cannot be decoded
// ends a clip: a network would see time jump. Alive is called of each frame that is decoded on the way to those that are wanted; one of them
// that cannot be decoded costs nothing.
func (c Clip) clips(frames iter.Seq2[analysis.Sample, error], count int, alive func()) iter.Seq2[analysis.Sample, error] {
	wanted := map[int]bool{} // of Uniform, by number
	if c.Longer == Uniform && count > c.Frames {
		for _, i := range c.Windows(count)[0] {
			wanted[i+1] = true
		}
	}
	return func(yield func(analysis.Sample, error) bool) {
		var held []analysis.Sample
		fresh := 0 // of them that were in no clip yet
		emit := func() bool {
			fresh = 0
			return yield(c.clip(held, count), nil)
		}
		for s, err := range frames {
			switch {
			case err == nil && len(wanted) > 0 && !wanted[s.Span.First], len(wanted) > 0 && passedOver(err, wanted):
				alive()
				continue
			case err == nil && len(s.Frames) > 0 && len(s.Frames[0].Pix)*c.Frames > maxClipBytes:
				size := s.Frames[0].Rect.Size()
				err = fmt.Errorf("%w: a clip of %d frames of %d x %d pixels", pixeldata.ErrTooMuch, c.Frames, size.X, size.Y)
			}
			if err != nil {
				if fresh > 0 && !emit() || !yield(analysis.Sample{}, err) || c.Longer == Truncate && len(held) > 0 {
					return
				}
				held = nil
				continue
			}
			held, fresh = append(held, s), fresh+1
			if len(held) < c.Frames {
				continue
			}
			if !emit() || c.Longer == Truncate {
				return
			}
			held = slices.Clone(held[min(c.Stride, len(held)):])
		}
		if fresh > 0 {
			emit()
		}
	}
}

// passedOver reports whether an error is of frames that nobody wants.
func passedOver(err error, wanted map[int]bool) bool {
	bad := (*pixeldata.FrameError)(nil)
	if !errors.As(err, &bad) {
		return false
	}
	for n := range wanted {
		if bad.First <= n && n <= bad.Last {
			return false
		}
	}
	return true
}

// clip is one sample of several.
func (c Clip) clip(frames []analysis.Sample, count int) analysis.Sample {
	first, last := frames[0].Span.First, frames[len(frames)-1].Span.First
	clip := frames[0] // and what it says of its orientation
	clip.Span = analysis.Span{First: first, Count: last - first + 1}
	clip.Frames = nil
	for _, f := range frames {
		clip.Frames = append(clip.Frames, f.Frames...)
		clip.Note = cmp.Or(clip.Note, f.Note)
		if c.Longer == Uniform {
			clip.Numbers = append(clip.Numbers, f.Span.First)
		}
	}
	if c.Longer == Truncate && count > c.Frames {
		clip.Note = both(clip.Note, fmt.Sprintf("only the first %d of %d frames are looked at", c.Frames, count))
	}
	return clip
}
