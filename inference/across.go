package inference

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"endogate/dicomnode/pixeldata"
	"endogate/inference/analysis"
)

// ClipWatcher is a Watcher that looks across the frames of a video.
type ClipWatcher interface {
	Watcher
	// Sequence says how it takes a sequence of frames; nil: it looks across none.
	Sequence() *Clip
	// Reduce makes of the only frame of a sample what is kept of it for a clip.
	Reduce(s analysis.Sample) (analysis.Prepared, error)
	// Encode gives the embeddings of frames, of a model that has an encoder of frames (Clip.Head).
	Encode(ctx context.Context, frames []analysis.Prepared) ([][]float32, error)
	// Across says what the head makes of a window of embeddings: the probability of each class.
	Across(ctx context.Context, window [][]float32) (map[string]float64, error)
	// Clip says what the network makes of a clip: the probability of each class.
	Clip(ctx context.Context, frames []analysis.Prepared) (map[string]float64, error)
	// Explain says how much each frame of a clip counts for a class, and where in it.
	Explain(ctx context.Context, frames []analysis.Prepared, class string) (Moments, analysis.Explanation, error)
}

// encodedTogether is how many frames are given to an encoder at once.
const encodedTogether = 8

// acrossTime is a task of a video by a model that looks across time. Of frames their embeddings are kept, or where the network is all one
// what is reduced of those that are in the clip under way: memory does not grow with the pictures.
type acrossTime struct {
	*watching
	model ClipWatcher
	clip  Clip

	frames    map[int]analysis.Prepared // of parts, those that are still needed
	explained []explainedClip
}

// explainedClip is a clip, explained for a class.
type explainedClip struct {
	class       string
	probability float64
	at          []int // its parts
	moments     Moments
	how         analysis.Explanation
}

// all says of clips what there is to say, and puts that together.
func (s *acrossTime) all(ctx context.Context, numbers []int, a *analysis.Analysis) error {
	chosen := len(numbers)
	numbers = s.clip.shown(numbers)
	rest, err := s.resume(ctx, numbers, s.usable)
	if err != nil {
		return err
	}
	s.frames = map[int]analysis.Prepared{}
	if err := s.look(ctx, rest); err != nil {
		return err
	}
	if err := s.nothing(); err != nil {
		return err
	}
	temporal, classes := s.model.Watching()
	windows := s.clip.Windows(len(s.parts))
	s.spread(windows, classes)
	frames := s.watched()
	a.Moving = temporal.sum(classes, frames)
	if err := s.explain(ctx, temporal, classes, windows, a.Moving); err != nil {
		return err
	}
	s.weigh(frames)
	a.Moving = temporal.sum(classes, frames)
	a.Moving.Selected, a.Moving.Rule = temporal.Select.String(), s.clip.rule()+"; "+a.Moving.Rule
	if chosen > len(numbers) {
		a.Moving.Selected += fmt.Sprintf("; of these %d", len(numbers))
	}
	s.settle(a.Moving)
	s.picture(a.Moving)
	a.Sheets = s.sheets()
	for i := range s.parts {
		s.parts[i].Embedding, s.parts[i].Clip = nil, nil
	}
	return nil
}

// shown are the numbers of the frames that a network is given of those that were chosen.
func (c Clip) shown(numbers []int) []int {
	if c.Longer == InWindows {
		return numbers
	}
	var some []int
	for _, w := range c.Windows(len(numbers)) {
		for _, i := range w {
			some = append(some, numbers[i])
		}
	}
	return some
}

// rule says in words how clips speak of frames.
func (c Clip) rule() string {
	text := fmt.Sprintf("seen in clips of %d frames", c.Frames)
	if c.Longer == InWindows {
		text += fmt.Sprintf(", %d frames apart; a frame has the highest probability of the clips that it is in", c.Stride)
	}
	return text
}

// usable reports whether what was kept can be gone on with.
func (s *acrossTime) usable(parts []analysis.Part) bool {
	for i, p := range parts {
		if s.clip.Head != "" && p.Embedding == nil || s.clip.Head == "" && i%s.clip.Stride == 0 && p.Clip == nil {
			return false
		}
	}
	return s.clip.Head != "" || len(parts)%s.clip.Stride == 0
}

// look has the network say something of every clip, and that kept.
func (s *acrossTime) look(ctx context.Context, numbers []int) error {
	ready := len(s.parts)
	err := s.each(ctx, numbers, func(frame pixeldata.Frame) error {
		sample := s.sample(frame)
		quality := Assess(frame.Image)
		reduced, err := s.model.Reduce(sample)
		if err != nil {
			return Permanent(err)
		}
		s.frames[len(s.parts)] = reduced
		g := reduced.Geometry
		s.parts = append(s.parts, analysis.Part{
			Result: analysis.Result{Span: sample.Span, Rows: g.Rows, Columns: g.Columns}, Geometry: g,
			Quality: &analysis.Quality{Sharpness: quality.Sharpness, Poor: quality.Poor()},
		})
		if s.clip.Head != "" {
			if len(s.frames) < encodedTogether {
				return nil
			}
			ready, err = len(s.parts), s.encode(ctx)
		} else if next := len(s.parts) - s.clip.Frames; s.clip.Longer == InWindows && next >= 0 && next%s.clip.Stride == 0 && s.parts[next].Clip == nil {
			ready, err = next+s.clip.Stride, s.single(ctx, next, len(s.parts))
		}
		return cmp.Or(err, s.keep(ctx, ready))
	})
	if err != nil {
		return err
	}
	if s.clip.Head != "" {
		if err := s.encode(ctx); err != nil {
			return err
		}
	}
	for _, w := range s.clip.Windows(len(s.parts)) { // those that were not seen on the way
		first, behind := w[0], w[len(w)-1]+1
		switch {
		case s.clip.Head != "":
			err = s.pair(ctx, first, behind)
		case s.parts[first].Clip == nil:
			err = s.single(ctx, first, behind)
		}
		if err != nil {
			return err
		}
		s.alive()
	}
	return nil
}

// encode has the frames that are held encoded, and lets them go.
func (s *acrossTime) encode(ctx context.Context) error {
	held := slices.Sorted(maps.Keys(s.frames))
	if len(held) == 0 {
		return nil
	}
	begun := time.Now()
	var frames []analysis.Prepared
	for _, i := range held {
		frames = append(frames, s.frames[i])
	}
	embeddings, err := s.model.Encode(ctx, frames)
	if err != nil {
		return err
	}
	for k, i := range held {
		s.parts[i].Embedding = embeddings[k]
		if s.Observe != nil {
			s.Observe(s.t.Model, time.Since(begun)/time.Duration(len(held)))
		}
	}
	clear(s.frames)
	return nil
}

// pair has the head say something of the parts from first on.
func (s *acrossTime) pair(ctx context.Context, first, behind int) (err error) {
	var window [][]float32
	for _, p := range s.parts[first:behind] {
		window = append(window, p.Embedding)
	}
	s.parts[first].Clip, err = s.model.Across(ctx, window)
	return err
}

// single has a network that is all one say something of the parts from first on, and lets the frames go that no later clip has.
func (s *acrossTime) single(ctx context.Context, first, behind int) (err error) {
	begun := time.Now()
	var frames []analysis.Prepared
	for i := first; i < behind; i++ {
		frames = append(frames, s.frames[i])
	}
	if s.parts[first].Clip, err = s.model.Clip(ctx, frames); err != nil {
		return err
	}
	if s.Observe != nil {
		s.Observe(s.t.Model, time.Since(begun))
	}
	for i := first; i < first+s.clip.Stride; i++ {
		delete(s.frames, i)
	}
	return nil
}

// spread gives frames the probabilities of the clips that they are in.
func (s *acrossTime) spread(windows [][]int, classes []analysis.Class) {
	for _, w := range windows {
		for _, i := range w {
			r := &s.parts[i].Result
			if r.Scores == nil {
				r.Scores = map[string]float64{}
			}
			for class, p := range s.parts[w[0]].Clip {
				r.Scores[class] = max(r.Scores[class], p)
			}
		}
	}
	for i := range s.parts {
		r := &s.parts[i].Result
		for _, c := range classes {
			if p := r.Scores[c.Name]; p >= c.Threshold {
				r.Findings = append(r.Findings, c.Seen(p))
			}
		}
	}
}

// explain explains of each class that persists the clips that say most of it, apart from one another.
func (s *acrossTime) explain(ctx context.Context, t Temporal, classes []analysis.Class, windows [][]int, m *analysis.Moving) error {
	for _, c := range classes {
		if c.Role != analysis.RoleFinding && !slices.Contains(s.t.Wishes.Classes, c.Name) {
			continue
		}
		for _, w := range s.telling(c, t.KeyFrames, windows, m) {
			frames, err := s.again(ctx, w)
			if err != nil {
				return err
			}
			e := explainedClip{class: c.Name, probability: s.parts[w[0]].Clip[c.Name], at: w}
			if e.moments, e.how, err = s.model.Explain(ctx, frames, c.Name); err != nil {
				return err
			}
			s.explained = append(s.explained, e)
			s.alive()
		}
	}
	return nil
}

// telling are at most so many of the clips in which a class persists, which have no frame in common: the most probable first.
func (s *acrossTime) telling(c analysis.Class, most int, windows [][]int, m *analysis.Moving) (some [][]int) {
	windows = slices.DeleteFunc(slices.Clone(windows), func(w []int) bool {
		return s.parts[w[0]].Clip[c.Name] < c.Threshold || !slices.ContainsFunc(w, func(i int) bool { return m.Within(s.parts[i].Result.Span.First, c.Name) })
	})
	slices.SortStableFunc(windows, func(a, b []int) int {
		return cmp.Compare(s.parts[b[0]].Clip[c.Name], s.parts[a[0]].Clip[c.Name])
	})
	for _, w := range windows {
		if len(some) < most && !slices.ContainsFunc(some, func(o []int) bool { return w[0] <= o[len(o)-1] && o[0] <= w[len(w)-1] }) {
			some = append(some, w)
		}
	}
	return some
}

// again decodes the frames of parts once more.
func (s *acrossTime) again(ctx context.Context, at []int) ([]analysis.Prepared, error) {
	var numbers []int
	for _, i := range at {
		numbers = append(numbers, s.parts[i].Result.Span.First)
	}
	var frames []analysis.Prepared
	for frame, err := range s.watching.clip.Frames(ctx, numbers) {
		if err != nil {
			return nil, err
		}
		reduced, err := s.model.Reduce(s.sample(frame))
		if err != nil {
			return nil, Permanent(err)
		}
		frames = append(frames, reduced)
		s.watching.clip.Recycle(frame.Image)
		s.alive()
	}
	return frames, nil
}

// weigh says of frames how much they count for each class, as their share in what all frames of the clip count, where that is known.
func (s *acrossTime) weigh(frames []watched) {
	for _, e := range s.explained {
		total := 0.0
		for _, v := range e.moments.Importance {
			total += float64(v)
		}
		if !(total > 0) || math.IsInf(total, 1) {
			continue // nothing counts, or what it counts is no number
		}
		for k, i := range e.at {
			if frames[i].counts == nil {
				frames[i].counts = map[string]float64{}
			}
			frames[i].counts[e.class] = max(frames[i].counts[e.class], float64(e.moments.Importance[k])/total)
		}
	}
}

// picture gives key frames their maps, and says which frames count.
func (s *acrossTime) picture(m *analysis.Moving) {
	for i := range s.parts {
		r := &s.parts[i].Result
		for _, f := range r.Findings {
			if !m.Key(r.Span.First, f.Class) {
				continue
			}
			for _, e := range s.explained {
				k := slices.Index(e.at, i)
				if k < 0 || e.class != f.Class {
					continue
				}
				r.Notes = append(r.Notes, s.counting(e))
				if len(e.moments.Maps) > 0 {
					s.parts[i].Maps = append(s.parts[i].Maps, mapOf(f, e.how, e.moments.Maps[k]))
				} else {
					r.Notes = append(r.Notes, f.Class+": "+unexplained(e.how))
				}
			}
		}
	}
}

// mostMoments is how many frames a sheet shows.
const mostMoments = 16

// sheets are the clips that were explained, to be drawn.
func (s *acrossTime) sheets() (all []analysis.Sheet) {
	for _, e := range s.explained {
		sheet := analysis.Sheet{
			Class: e.class, Probability: e.probability, Frames: len(e.at), By: e.moments.By, Explanation: e.how,
			First: s.parts[e.at[0]].Result.Span.First, Last: s.parts[e.at[len(e.at)-1]].Result.Span.First,
		}
		shown := byImportance(e.moments.Importance)
		for _, k := range slices.Sorted(slices.Values(shown[:min(len(shown), mostMoments)])) {
			span := s.parts[e.at[k]].Result.Span
			moment := analysis.SheetFrame{Frame: span.First, At: span.Start.Seconds(), Counts: float64(e.moments.Importance[k])}
			if len(e.moments.Maps) > 0 {
				one := mapOf(analysis.Finding{Class: e.class}, e.how, e.moments.Maps[k])
				moment.Map = &one
			}
			sheet.Moments = append(sheet.Moments, moment)
		}
		all = append(all, sheet)
	}
	return all
}

// counting names the frames of a clip that count most.
func (s *acrossTime) counting(e explainedClip) string {
	sample := analysis.Sample{Span: s.parts[e.at[0]].Result.Span}
	for _, i := range e.at {
		sample.Numbers = append(sample.Numbers, s.parts[i].Result.Span.First)
	}
	return fmt.Sprintf("%s: of the clip of frames %d to %d, whose probability is %.2f, the frames that count most are %s (%s).", e.class,
		sample.Numbers[0], sample.Numbers[len(sample.Numbers)-1], e.probability, counting(sample, e.moments.Importance, byImportance(e.moments.Importance)), e.moments.By)
}
